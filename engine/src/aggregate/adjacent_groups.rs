//! [`AdjacentGroups`]: groups of clustered rows are detected by comparing each row with the one before; nothing is hashed.
//!
//! ```text
//!  customer | session     group starts where the customer changes (partition)
//!  c1       | 1       <-  or where the session number grows within the partition
//!  c1       | 1
//!  c1       | 2       <-
//!  c2       | 1       <-
//! ```

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::{cast, concat, take};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::{AggregateCall, slice_into_batches};
use crate::clustering::position_of;
use crate::exec_util::concat_column;
use crate::kernels::partition_keys::PartitionKeys;

/// An aggregate whose group keys are the clustering columns, alone or with one integer more.
///
/// That integer, such as the number of a session, must not decrease within a partition: if it did, a group could have rows in
/// two group_indices. This is a property of the data, so that [`AdjacentGroups::groups`] checks it row by row.
pub(super) struct AdjacentGroups {
    aggregate: Arc<AggregateExec>,
    /// Indices of the group keys by which the input is clustered.
    partition: Vec<usize>,
    /// Index of the group key that does not decrease within a partition.
    other: Option<usize>,
}

impl AdjacentGroups {
    /// `None` for other keys, types that have no cheap comparison, and functions with ORDER BY. `columns` are the clustering
    /// columns of the input.
    ///
    /// # Errors
    /// A key that is not an expression over the input.
    pub(super) fn new(aggregate: &Arc<AggregateExec>, columns: &[usize]) -> Result<Option<Self>> {
        let schema = aggregate.input().schema();
        let keys = || aggregate.group_expr().expr().iter().map(|(key, _)| key);
        let types = keys().map(|key| key.data_type(&schema)).collect::<Result<Vec<_>>>()?;
        let Some(partition) = columns.iter().map(|&column| position_of(column, keys())).collect::<Option<Vec<usize>>>()
        else {
            return Ok(None);
        };
        let mut others = (0..types.len()).filter(|key| !partition.contains(key));
        let other = others.next();
        let is_supported = aggregate.group_expr().is_single()
            && aggregate.aggr_expr().iter().all(|call| call.order_bys().is_empty())
            && others.next().is_none()
            && other.is_none_or(|key| compares_as_integer(&types[key]))
            && partition.iter().all(|&key| compares_as_integer(&types[key]) || types[key] == DataType::Utf8View);
        Ok(is_supported.then(|| Self { aggregate: Arc::clone(aggregate), partition, other }))
    }

    /// Aggregates a chunk of whole partitions. `None` if the integer key decreases within a partition or has a NULL.
    ///
    /// # Errors
    /// Evaluation of the keys and of the aggregate functions.
    pub(super) fn groups(&self, batches: &[RecordBatch], batch_size: usize) -> Result<Option<Vec<RecordBatch>>> {
        let mut calls = AggregateCall::all(&self.aggregate)?;
        let mut count = 0;
        let mut group_indices = vec![];
        let mut group_keys = vec![];
        let mut last: Option<(Vec<ArrayRef>, i64)> = None;
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let rows = batch.num_rows();
            let keys = self.aggregate.group_expr().expr().iter().map(|(key, _)| key);
            let keys = evaluate_expressions_to_arrays(keys, batch)?;
            let partition: Vec<ArrayRef> = self.partition.iter().map(|&key| Arc::clone(&keys[key])).collect();
            let others = match self.other {
                Some(key) => cast(&keys[key], &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
                None => Int64Array::from_value(0, rows),
            };
            if others.null_count() > 0 {
                return Ok(None);
            }
            let others = others.values();
            group_indices.clear();
            let mut starts: Vec<u32> = vec![];
            // whether the first row continues the partition of the batch before, and the integer of that batch's last row
            let (is_same, before) = match &last {
                None => (false, 0),
                Some((last, before)) => {
                    let pair = last.iter().zip(&partition);
                    let pair = pair.map(|(last, first)| Ok(concat(&[last.as_ref(), first.slice(0, 1).as_ref()])?));
                    (PartitionKeys::new(&pair.collect::<Result<Vec<_>>>()?)?.equal_rows(0, 1), *before)
                }
            };
            let mut is_ordered = !is_same || before <= others[0];
            let mut add = |row: usize, is_new: bool| {
                if is_new {
                    count += 1;
                    starts.push(row as u32);
                }
                group_indices.push(count - 1);
            };
            // partition by partition, so that the inner loop compares the integer only
            let partitions = PartitionKeys::new(&partition)?.starts(rows);
            let ends = partitions.iter().map(|&start| start as usize).chain([rows]);
            let mut start = 0;
            for end in ends {
                add(start, start > 0 || !is_same || before != others[0]);
                for row in start + 1..end {
                    let (before, other) = (others[row - 1], others[row]);
                    is_ordered &= before <= other;
                    add(row, before != other);
                }
                start = end;
            }
            if !is_ordered {
                return Ok(None);
            }
            let starts = UInt32Array::from(starts);
            group_keys.push(keys.iter().map(|key| Ok(take(key, &starts, None)?)).collect::<Result<Vec<_>>>()?);
            for call in &mut calls {
                call.update(batch, &group_indices, count)?;
            }
            last = Some((partition.iter().map(|key| key.slice(rows - 1, 1)).collect(), others[rows - 1]));
        }
        if count == 0 {
            return Ok(Some(vec![]));
        }
        let keys = (0..self.aggregate.group_expr().expr().len()).map(|key| concat_column(&group_keys, key));
        let mut columns = keys.collect::<Result<Vec<_>>>()?;
        for call in &mut calls {
            columns.push(call.state.evaluate(EmitTo::All)?);
        }
        slice_into_batches(&self.aggregate.schema(), columns, count, batch_size).map(Some)
    }
}

/// Returns true if values of the type can be compared as 64-bit signed integers.
fn compares_as_integer(data_type: &DataType) -> bool {
    let is_integer = data_type.is_integer() && data_type != &DataType::UInt64;
    is_integer || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Timestamp(..))
}

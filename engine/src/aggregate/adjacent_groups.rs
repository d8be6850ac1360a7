//! Groups of rows whose equal keys are neighbours.

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

/// How to tell the groups of an aggregate apart by comparing each row with the one before it.
///
/// The rows of a partition of the windows stand clustered_columns. Groups of whole partitions are told by that alone; where there is
/// one key more, as the number of a session, it must not decrease within a partition.
pub(super) struct AdjacentGroups {
    aggregate: Arc<AggregateExec>,
    /// The keys that stand clustered_columns.
    partition: Vec<usize>,
    /// The key that does not decrease within a partition.
    other: Option<usize>,
}

impl AdjacentGroups {
    /// `None` for keys that are not told apart so, and functions that want an order. `columns` are those of the input whose
    /// equal rows stand clustered_columns.
    ///
    /// # Errors
    /// None for plans of the engine.
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
        let are_known = aggregate.group_expr().is_single()
            && aggregate.aggr_expr().iter().all(|call| call.order_bys().is_empty())
            && others.next().is_none()
            && other.is_none_or(|key| is_number(&types[key]))
            && partition.iter().all(|&key| is_number(&types[key]) || types[key] == DataType::Utf8View);
        Ok(are_known.then(|| Self { aggregate: Arc::clone(aggregate), partition, other }))
    }

    /// The groups of whole partitions; `None` if the key that should not decrease does, or has a NULL.
    ///
    /// # Errors
    /// Those of keys and functions.
    pub(super) fn groups(&self, batches: &[RecordBatch], batch_size: usize) -> Result<Option<Vec<RecordBatch>>> {
        let mut calls = AggregateCall::all(&self.aggregate)?;
        let mut count = 0;
        let mut places = vec![];
        let mut keys_of_groups = vec![];
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
            places.clear();
            let mut starts: Vec<u32> = vec![];
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
                places.push(count - 1);
            };
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
            keys_of_groups.push(keys.iter().map(|key| Ok(take(key, &starts, None)?)).collect::<Result<Vec<_>>>()?);
            for call in &mut calls {
                call.update(batch, &places, count)?;
            }
            last = Some((partition.iter().map(|key| key.slice(rows - 1, 1)).collect(), others[rows - 1]));
        }
        if count == 0 {
            return Ok(Some(vec![]));
        }
        let keys = (0..self.aggregate.group_expr().expr().len()).map(|key| concat_column(&keys_of_groups, key));
        let mut columns = keys.collect::<Result<Vec<_>>>()?;
        for call in &mut calls {
            columns.push(call.state.evaluate(EmitTo::All)?);
        }
        slice_into_batches(&self.aggregate.schema(), columns, count, batch_size).map(Some)
    }
}

/// Whether values are compared as whole numbers of 64 bits.
fn is_number(data_type: &DataType) -> bool {
    let is_whole = data_type.is_integer() && data_type != &DataType::UInt64;
    is_whole || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Timestamp(..))
}

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

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
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
/// two groups. This is a property of the data, so that [`GroupScan::add`] checks it row by row.
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

    /// Returns true if the groups are the partitions, which are adjacent whatever the rows are.
    pub(super) fn are_partitions(&self) -> bool {
        self.other.is_none()
    }

    /// Begins a chunk of whole partitions.
    ///
    /// # Errors
    /// A function that has no accumulator for its arguments.
    pub(super) fn scan(&self) -> Result<GroupScan<'_>> {
        let calls = AggregateCall::all(&self.aggregate)?;
        Ok(GroupScan { groups: self, calls, count: 0, group_indices: vec![], group_keys: vec![], last: None })
    }
}

/// The groups of a chunk of which some batches were aggregated.
pub(super) struct GroupScan<'a> {
    groups: &'a AdjacentGroups,
    calls: Vec<AggregateCall>,
    /// The number of groups so far.
    count: usize,
    /// The group of each row of a batch.
    group_indices: Vec<usize>,
    /// The group keys of the groups that begin in each batch.
    group_keys: Vec<Vec<ArrayRef>>,
    /// The clustering columns of the last row, and the integer.
    last: Option<(Vec<ArrayRef>, i64)>,
}

impl GroupScan<'_> {
    /// Aggregates the next batch. False if the integer key decreases within a partition or has a NULL: then the chunk has other
    /// groups.
    ///
    /// # Errors
    /// Evaluation of the keys and of the arguments.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<bool> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(true);
        }
        let keys = self.groups.aggregate.group_expr().expr().iter().map(|(key, _)| key);
        let keys = evaluate_expressions_to_arrays(keys, batch)?;
        let partition: Vec<ArrayRef> = self.groups.partition.iter().map(|&key| Arc::clone(&keys[key])).collect();
        let others = match self.groups.other {
            Some(key) => Some(cast(&keys[key], &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
            None => None,
        };
        if others.as_ref().is_some_and(|others| others.null_count() > 0) {
            return Ok(false);
        }
        let others = others.as_ref().map(|others| others.values().as_ref());
        let first_other = others.map_or(0, |others| others[0]);
        // whether the first row continues the partition of the batch before, and the integer of that batch's last row
        let (is_same, before) = match &self.last {
            None => (false, 0),
            Some((last, before)) => {
                let pair = last.iter().zip(&partition);
                let pair = pair.map(|(last, first)| Ok(concat(&[last.as_ref(), first.slice(0, 1).as_ref()])?));
                (PartitionKeys::new(&pair.collect::<Result<Vec<_>>>()?)?.equal_rows(0, 1), *before)
            }
        };
        let mut is_ordered = !is_same || before <= first_other;
        let mut starts: Vec<u32> = vec![];
        let (count, group_indices) = (&mut self.count, &mut self.group_indices);
        group_indices.clear();
        let mut add = |row: usize, is_new: bool| {
            if is_new {
                *count += 1;
                starts.push(row as u32);
            }
            group_indices.push(*count - 1);
        };
        // partition by partition, so that the inner loop compares the integer only
        let partitions = PartitionKeys::new(&partition)?.starts(rows);
        let ends = partitions.iter().map(|&start| start as usize).chain([rows]);
        let mut start = 0;
        for end in ends {
            add(start, start > 0 || !is_same || before != first_other);
            match others {
                Some(others) => {
                    for row in start + 1..end {
                        let (before, other) = (others[row - 1], others[row]);
                        is_ordered &= before <= other;
                        add(row, before != other);
                    }
                }
                None => (start + 1..end).for_each(|row| add(row, false)),
            }
            start = end;
        }
        if !is_ordered {
            return Ok(false);
        }
        let starts = UInt32Array::from(starts);
        self.group_keys.push(keys.iter().map(|key| Ok(take(key, &starts, None)?)).collect::<Result<Vec<_>>>()?);
        for call in &mut self.calls {
            call.update(batch, &self.group_indices, self.count)?;
        }
        let last = partition.iter().map(|key| key.slice(rows - 1, 1)).collect();
        self.last = Some((last, others.map_or(0, |others| others[rows - 1])));
        Ok(true)
    }

    /// The bytes of the states of all groups.
    pub(super) fn bytes(&self) -> usize {
        self.calls.iter().map(|call| call.state.size()).sum()
    }

    /// The groups.
    ///
    /// # Errors
    /// Evaluation of the aggregate functions.
    pub(super) fn finish(mut self, batch_size: usize) -> Result<Vec<RecordBatch>> {
        if self.count == 0 {
            return Ok(vec![]);
        }
        let aggregate = &self.groups.aggregate;
        let keys = (0..aggregate.group_expr().expr().len()).map(|key| concat_column(&self.group_keys, key));
        let mut columns = keys.collect::<Result<Vec<_>>>()?;
        for call in &mut self.calls {
            columns.push(call.state.evaluate(EmitTo::All)?);
        }
        slice_into_batches(&aggregate.schema(), columns, self.count, batch_size)
    }
}

/// Returns true if values of the type can be compared as 64-bit signed integers.
fn compares_as_integer(data_type: &DataType) -> bool {
    let is_integer = data_type.is_integer() && data_type != &DataType::UInt64;
    is_integer || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Timestamp(..))
}

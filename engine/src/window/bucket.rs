//! Evaluates one hash bucket: groups rows by PARTITION BY key, sorts each partition by ORDER BY, evaluates the functions, emits
//! batches.
//!
//! ```text
//! rows of the bucket    0:a 1:b 2:a 3:c 4:b
//! group_rows            partitions a b c, bounds 0 2 4 5, arrival order 0 2 | 1 4 | 3
//! sort_partitions       per distinct ORDER BY clause: 2 0 | 1 4 | 3, only where a partition is not in order already
//! evaluate              per function: arguments in that order, one call for all partitions
//! next                  batches in the order of the first clause, columns gathered per batch
//! ```
//! Columns that are neither keys, order keys nor arguments stay in the slices in which they were buffered, and are gathered
//! (`interleave`) only when a batch is emitted.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::{SortOptions, cast, interleave, take};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::{Result, exec_datafusion_err, internal_datafusion_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::encoding::ColumnEncoder;
use super::functions::{Partitions, WindowCall};
use super::sort::{permutation, sort_partitions};
use crate::clustering::CHUNK_ROWS;
use crate::kernels::hash::SEED;
use crate::kernels::inline_strings::unpack_strings;
use crate::kernels::partition_keys::PartitionKeys;
use crate::kernels::scatter::{prefix_sums, rows_by_group};

/// The columns that are buffered per row, the functions computed from them, and the output columns.
#[derive(Debug)]
pub(super) struct WindowPlan {
    /// The buffered columns, each once: first the computed columns (keys, order keys, arguments, and all strings), then
    /// columns that are only emitted.
    pub(super) columns: Vec<Arc<dyn PhysicalExpr>>,
    /// The PARTITION BY columns, as indices into `columns`.
    pub(super) keys: Vec<usize>,
    /// Which of `columns` are strings.
    are_strings: Vec<bool>,
    /// The number of computed columns: those that are concatenated per bucket.
    pub(super) computed_count: usize,
    /// The distinct ORDER BY clauses; the first is the order of the output within a partition.
    orders: Vec<Vec<(usize, SortOptions)>>,
    calls: Vec<PlannedCall>,
    /// The rows of each partition that are wanted; all if `None`.
    pub(super) fetch: Option<usize>,
    /// The output columns.
    output: Vec<OutputColumn>,
    schema: SchemaRef,
}

/// A function with its arguments and its ORDER BY clause, as indices into `columns` and `orders`.
#[derive(Debug)]
struct PlannedCall {
    call: WindowCall,
    args: Vec<usize>,
    order: usize,
}

/// Where an output column comes from.
#[derive(Debug, Clone, Copy)]
enum OutputColumn {
    /// A buffered column of the input.
    Buffered(usize),
    /// The result of a function.
    Result(usize),
}

impl WindowPlan {
    /// Plans `calls` over partitions by `keys`. `output` are the output columns as indices into the input columns followed by
    /// the calls; `schema` is theirs.
    pub(super) fn new(
        keys: &[Arc<dyn PhysicalExpr>],
        calls: Vec<WindowCall>,
        input: &Schema,
        output: &[usize],
        schema: SchemaRef,
    ) -> Self {
        let mut columns: Vec<Arc<dyn PhysicalExpr>> = vec![];
        let mut buffer = |expr: &Arc<dyn PhysicalExpr>| {
            columns.iter().position(|other| other == expr).unwrap_or_else(|| {
                columns.push(Arc::clone(expr));
                columns.len() - 1
            })
        };
        let key_columns: Vec<usize> = keys.iter().map(&mut buffer).collect();
        let mut orders: Vec<Vec<(usize, SortOptions)>> = vec![];
        let mut planned: Vec<PlannedCall> = Vec::with_capacity(calls.len());
        for call in calls {
            let args = call.args.iter().map(&mut buffer).collect();
            let order: Vec<_> = call.order_by.iter().map(|sort| (buffer(&sort.expr), sort.options)).collect();
            let order = match orders.iter().position(|other| other == &order) {
                Some(order) => order,
                // calls that do not depend on the order share one, which saves a sort
                None if call.is_order_free() && !orders.is_empty() => 0,
                None => {
                    orders.push(order);
                    orders.len() - 1
                }
            };
            planned.push(PlannedCall { call, args, order });
        }
        // strings that are only emitted are computed columns too, so that they may be dictionary-encoded
        let fields = output.iter().filter_map(|&index| Some((index, input.fields().get(index)?)));
        let (strings, others): (Vec<_>, Vec<_>) = fields.partition(|(_, field)| {
            matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        });
        let column = |index, field: &Field| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new(field.name(), index)) };
        let mut buffered: HashMap<usize, usize> =
            strings.iter().map(|&(index, field)| (index, buffer(&column(index, field)))).collect();
        let computed_count = columns.len();
        for (index, field) in others {
            let existing = columns.iter().position(|other| other == &column(index, field));
            buffered.insert(
                index,
                existing.unwrap_or_else(|| {
                    columns.push(column(index, field));
                    columns.len() - 1
                }),
            );
        }
        let width = input.fields().len();
        let output = output.iter().map(|&index| match buffered.get(&index) {
            Some(&column) => OutputColumn::Buffered(column),
            None => OutputColumn::Result(index.saturating_sub(width)),
        });
        let output = output.collect();
        let is_string = |column: &Arc<dyn PhysicalExpr>| {
            column.data_type(input).is_ok_and(|data_type| buffered_type(&data_type) == DataType::Utf8View)
        };
        let are_strings = columns.iter().map(is_string).collect();
        Self {
            columns,
            are_strings,
            keys: key_columns,
            computed_count,
            orders,
            calls: planned,
            fetch: None,
            output,
            schema,
        }
    }

    /// The type in which a column is buffered: computed columns in one that is cheap to copy and to compare.
    fn buffered_type_of(&self, column: usize, data_type: &DataType) -> DataType {
        if column < self.computed_count { buffered_type(data_type) } else { data_type.clone() }
    }

    /// Evaluates the buffered columns of an input batch.
    ///
    /// # Errors
    /// An expression failed.
    pub(super) fn buffered(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let columns = self.columns.iter().enumerate().map(|(index, column)| {
            let values = column.evaluate(batch)?.into_array(batch.num_rows())?;
            let expected = self.buffered_type_of(index, values.data_type());
            Ok(if values.data_type() == &expected { values } else { cast(&values, &expected)? })
        });
        columns.collect()
    }

    /// The first encoders of the buffered columns of an input.
    pub(super) fn encoders(&self) -> Vec<ColumnEncoder> {
        let encoder = |(column, &is_string): (usize, &bool)| match is_string && column < self.computed_count {
            true => ColumnEncoder::for_strings(self.is_inlinable(column)),
            false => ColumnEncoder::Plain,
        };
        self.are_strings.iter().enumerate().map(encoder).collect()
    }

    /// Returns true if the strings of a column may be packed into integers: keys, which are only compared. Functions do not
    /// know the encoding.
    fn is_inlinable(&self, column: usize) -> bool {
        self.keys.contains(&column) && !self.calls.iter().any(|planned| planned.args.contains(&column))
    }

    /// The first column of the first ORDER BY clause, and its direction.
    pub(super) fn leading_order(&self) -> Option<(usize, SortOptions)> {
        self.order().first().copied()
    }

    /// The first ORDER BY clause.
    pub(super) fn order(&self) -> &[(usize, SortOptions)] {
        self.orders.first().map_or(&[], Vec::as_slice)
    }

    /// Groups rows by key: the bounds of the partitions, and the rows partition by partition in order of arrival.
    ///
    /// # Errors
    /// There are more than 2^32 rows.
    pub(super) fn group(&self, columns: &[ArrayRef]) -> Result<(Vec<usize>, Vec<u32>)> {
        self.group_rows(columns, row_count(columns)?)
    }

    /// The schema of the buffered columns when they are spilled.
    pub(super) fn buffered_schema(&self, input: &Schema) -> Result<SchemaRef> {
        let fields = self.columns.iter().enumerate().map(|(index, column)| {
            let data_type = self.buffered_type_of(index, &column.data_type(input)?);
            Ok(Field::new(format!("column{index}"), data_type, true))
        });
        Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
    }

    /// The approximate memory per row of evaluating a bucket: its columns twice (concatenated and permuted), the results, the
    /// partition id and indices.
    pub(super) fn row_bytes(&self) -> usize {
        2 * size_of::<u128>() * (self.computed_count + self.calls.len()) + 6 * size_of::<u64>()
    }

    /// Evaluates all functions over the rows of a bucket. `columns` are the computed columns, `slices` the columns that are
    /// only emitted, of the same rows in the same order.
    ///
    /// # Errors
    /// A function failed.
    pub(super) fn evaluate(
        self: Arc<Self>,
        columns: Vec<ArrayRef>,
        slices: Vec<Vec<ArrayRef>>,
    ) -> Result<EvaluatedBucket> {
        let (bounds, arrival) = self.group_rows(&columns, row_count(&columns)?)?;
        self.evaluate_partitions(columns, slices, &bounds, arrival)
    }

    /// As [`Self::evaluate`], for rows that are grouped already: partition `i` is `arrival[bounds[i]..bounds[i + 1]]`, in
    /// order of arrival.
    ///
    /// # Errors
    /// A function failed.
    pub(super) fn evaluate_partitions(
        self: Arc<Self>,
        columns: Vec<ArrayRef>,
        slices: Vec<Vec<ArrayRef>>,
        bounds: &[usize],
        arrival: Vec<u32>,
    ) -> Result<EvaluatedBucket> {
        let mut results: Vec<Option<ArrayRef>> = vec![None; self.calls.len()];
        // rows are emitted in the order of the first clause; results in another order are permuted into it
        let mut output_order: Option<Vec<u32>> = None;
        let mut permuted_columns: Vec<Option<ArrayRef>> = vec![];
        for (order_index, order_by) in self.orders.iter().enumerate() {
            let calls = || self.calls.iter().enumerate().filter(move |(_, planned)| planned.order == order_index);
            let needs_peers = calls().any(|(_, planned)| planned.call.needs_peers());
            let (order, peers) = sort_partitions(&columns, order_by, bounds, &arrival, needs_peers)?;
            let partitions = Partitions { bounds, peers: &peers };
            let to_output = output_order.as_ref().map(|output_order| permutation(&order, output_order));
            // common where there are few partitions: nothing is copied then
            let is_identity = order.iter().enumerate().all(|(index, row)| index == *row as usize);
            let order = UInt32Array::from(order);
            let mut values: Vec<Option<ArrayRef>> = vec![None; columns.len()];
            for (index, planned) in calls() {
                let mut args = Vec::with_capacity(planned.args.len());
                for &column in &planned.args {
                    let permuted = match &values[column] {
                        Some(permuted) => Arc::clone(permuted),
                        None if is_identity => Arc::clone(&columns[column]),
                        None => take(&columns[column], &order, None)?,
                    };
                    args.push(Arc::clone(values[column].insert(permuted)));
                }
                let result = planned.call.evaluate(&args, &partitions)?;
                let result = match &to_output {
                    Some(to_output) => take(&result, to_output, None)?,
                    None => result,
                };
                let expected = planned.call.field.data_type();
                results[index] = Some(if result.data_type() == expected { result } else { cast(&result, expected)? });
            }
            if output_order.is_none() {
                output_order = Some(order.values().to_vec());
                permuted_columns = match is_identity {
                    true => columns.iter().cloned().map(Some).collect(),
                    false => values,
                };
            }
        }
        let results: Option<Vec<ArrayRef>> = results.into_iter().collect();
        let results = results.ok_or_else(|| internal_datafusion_err!("a window function has no result"))?;
        let starts = slices.iter().scan(0, |start, slice| {
            let here = *start;
            *start += slice.first().map_or(0, |column| column.len());
            Some(here)
        });
        let starts = starts.collect();
        permuted_columns.resize(columns.len(), None);
        Ok(EvaluatedBucket {
            columns,
            permuted: permuted_columns,
            slices,
            starts,
            bounds: bounds.to_vec(),
            order: output_order.unwrap_or(arrival),
            results,
            next: 0,
            plan: self,
        })
    }

    fn keys_of(&self, columns: &[ArrayRef]) -> Vec<ArrayRef> {
        self.keys.iter().map(|&key| Arc::clone(&columns[key])).collect()
    }

    /// The bounds of the partitions of clustered rows, found by comparing adjacent rows.
    ///
    /// # Errors
    /// There are more than 2^32 rows.
    pub(super) fn clustered_bounds(&self, columns: &[ArrayRef]) -> Result<Vec<usize>> {
        let rows = row_count(columns)? as usize;
        let keys = self.keys_of(columns);
        let starts = PartitionKeys::new(&keys)?.starts(rows).into_iter().map(|row| row as usize);
        Ok(std::iter::once(0).chain(starts).chain((rows > 0).then_some(rows)).collect())
    }

    /// Groups rows by key: returns the bounds of the partitions, and the rows partition by partition in order of arrival.
    fn group_rows(&self, columns: &[ArrayRef], rows: u32) -> Result<(Vec<usize>, Vec<u32>)> {
        let keys = self.keys_of(columns);
        let mut ids = Vec::with_capacity(rows as usize);
        let mut bounds = vec![0];
        let mut assign = |id: u32| {
            if id as usize + 1 == bounds.len() {
                bounds.push(0);
            }
            bounds[id as usize + 1] += 1;
            ids.push(id);
        };
        if let [key] = keys.as_slice()
            && let Some(key) = key.as_any_dictionary_opt()
            && let Some(codes) = key.keys().as_primitive_opt::<UInt32Type>()
        {
            // codes are dense: an array indexed by code replaces the hash table; its last slot is for NULL
            let mut ids_by_code: Vec<Option<u32>> = vec![None; key.values().len() + 1];
            let mut next = 0..;
            for (row, &code) in codes.values().iter().enumerate() {
                let slot = if codes.is_valid(row) { code as usize } else { ids_by_code.len() - 1 };
                assign(*ids_by_code[slot].get_or_insert_with(|| next.next().unwrap_or_default()));
            }
        } else {
            let mut hashes = vec![0; rows as usize];
            create_hashes(&keys, &SEED, &mut hashes)?;
            PartitionKeys::new(&keys)?.assign_ids(&hashes, assign);
        }
        prefix_sums(&mut bounds);
        let arrival = rows_by_group(ids.into_iter().map(|id| id as usize), &bounds);
        Ok((bounds, arrival))
    }
}

/// The number of rows, which are indexed by `u32`.
fn row_count(columns: &[ArrayRef]) -> Result<u32> {
    let rows = columns.first().map_or(0, |column| column.len());
    u32::try_from(rows)
        .map_err(|_| exec_datafusion_err!("a hash bucket of a window has {rows} rows, more than 4,294,967,295"))
}

/// The size of output batches.
#[derive(Debug, Clone, Copy)]
pub(super) enum BatchSize {
    /// This many rows.
    Rows(usize),
    /// Whole partitions (`batches=unsplit`): those of a bucket, or if it has more than [`CHUNK_ROWS`] rows, several batches
    /// that end at partition boundaries.
    Partitions,
}

/// A bucket with its results, emitted batch by batch.
pub(super) struct EvaluatedBucket {
    plan: Arc<WindowPlan>,
    /// The computed columns.
    columns: Vec<ArrayRef>,
    /// Those of them that are in output order already, since a function took them.
    permuted: Vec<Option<ArrayRef>>,
    /// The columns that are only emitted, in the slices in which they were buffered.
    slices: Vec<Vec<ArrayRef>>,
    /// The first row of each slice.
    starts: Vec<usize>,
    /// The rows in output order.
    order: Vec<u32>,
    /// The bounds of the partitions in output order.
    bounds: Vec<usize>,
    /// The results of the functions, in output order.
    results: Vec<ArrayRef>,
    /// The next row to emit, in output order.
    next: usize,
}

impl EvaluatedBucket {
    /// The next batch; `None` after the last.
    pub(super) fn next(&mut self, batch_size: BatchSize) -> Result<Option<RecordBatch>> {
        let rows_left = self.order.len() - self.next;
        if rows_left == 0 {
            return Ok(None);
        }
        let end = match batch_size {
            BatchSize::Rows(rows) => self.next + rows_left.min(rows.max(1)),
            BatchSize::Partitions => {
                // as few batches as possible, of about equal size
                let target = self.next + rows_left.div_ceil(rows_left.div_ceil(CHUNK_ROWS));
                let end = self.bounds.partition_point(|&bound| bound < target);
                self.bounds.get(end).copied().unwrap_or(self.order.len())
            }
        };
        let range = self.next..end;
        self.next = end;
        // a copy rather than a slice: operators above count all memory behind a slice. A batch of all rows is shared
        let is_shared = matches!(batch_size, BatchSize::Partitions) && range.len() == self.order.len();
        let rows = UInt32Array::from(self.order[range.clone()].to_vec());
        let output_range = |values: &ArrayRef| {
            let indices = || UInt32Array::from_iter_values(range.start as u32..range.end as u32);
            if is_shared { Ok(Arc::clone(values)) } else { take(values, &indices(), None) }
        };
        let mut indices = None;
        let columns = self.plan.output.iter().zip(self.plan.schema.fields()).map(|(output, field)| {
            let values = match *output {
                OutputColumn::Buffered(column) if column < self.plan.computed_count => {
                    let values = match &self.permuted[column] {
                        Some(permuted) => output_range(permuted)?,
                        None => take(&self.columns[column], &rows, None)?,
                    };
                    match values.as_primitive_opt() {
                        Some(packed) if self.plan.are_strings[column] => Arc::new(unpack_strings(packed)),
                        _ => values,
                    }
                }
                OutputColumn::Buffered(column) => {
                    let slices = self.slices.iter().map(|slice| slice[column - self.plan.computed_count].as_ref());
                    let slices: Vec<&dyn Array> = slices.collect();
                    interleave(&slices, indices.get_or_insert_with(|| self.slice_indices(&rows)))?
                }
                OutputColumn::Result(call) => output_range(&self.results[call])?,
            };
            let values = compact(values);
            Ok(if values.data_type() == field.data_type() { values } else { cast(&values, field.data_type())? })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(range.len()));
        Ok(Some(RecordBatch::try_new_with_options(Arc::clone(&self.plan.schema), columns, &options)?))
    }

    /// The (slice, row in the slice) of each row, for `interleave`.
    fn slice_indices(&self, rows: &UInt32Array) -> Vec<(usize, usize)> {
        let index = |&row: &u32| {
            let slice = self.starts.partition_point(|&start| start <= row as usize).saturating_sub(1);
            (slice, row as usize - self.starts[slice])
        };
        rows.values().iter().map(index).collect()
    }
}

/// Copies the strings of a view array out of its data buffers if most of those belong to rows of other batches.
pub(super) fn compact(values: ArrayRef) -> ArrayRef {
    const SLACK: usize = 64 << 10;
    if let Some(strings) = values.as_string_view_opt() {
        let held: usize = strings.data_buffers().iter().map(Buffer::capacity).sum();
        if held > SLACK && held > 2 * strings.total_buffer_bytes_used() {
            return Arc::new(strings.gc());
        }
    }
    values
}

/// The type in which a computed column is buffered: dictionaries as their values, strings and binary as views, which are cheap
/// to copy.
pub(super) fn buffered_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => buffered_type(values),
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::Int64Type;

    use super::*;

    /// No partition is in two batches, and batches are of about equal size.
    #[test]
    fn unsplit_batches_end_at_partition_boundaries() {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
        let keys: [Arc<dyn PhysicalExpr>; 1] = [Arc::new(Column::new("k", 0))];
        for (rows, partitions, counts) in [(0, 1, 0..=0), (10, 3, 1..=1), (200_000, 900, 4..=4), (200_000, 1, 1..=1)] {
            let plan = Arc::new(WindowPlan::new(&keys, vec![], &schema, &[0], Arc::clone(&schema)));
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 7919 % partitions)));
            let mut evaluated = plan.evaluate(vec![column], vec![]).unwrap();
            let (mut seen, mut sizes) = (std::collections::HashSet::new(), vec![]);
            while let Some(batch) = evaluated.next(BatchSize::Partitions).unwrap() {
                let mut keys = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
                sizes.push(keys.len());
                keys.dedup();
                assert!(keys.iter().all(|key| seen.insert(*key)), "{rows} rows of {partitions}: a partition twice");
            }
            assert_eq!(sizes.iter().sum::<usize>(), rows as usize);
            assert!(counts.contains(&sizes.len()), "{rows} rows of {partitions}: {sizes:?}");
            assert!(sizes.iter().max() <= sizes.iter().min().map(|least| least * 5 / 4).as_ref(), "{sizes:?}");
        }
    }
}

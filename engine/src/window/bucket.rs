//! One bucket: its rows are put into partitions, ordered, and asked.

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
use super::sort::{moved, ordered};
use crate::clustering::CHUNK_ROWS;
use crate::kernels::hash::SEED;
use crate::kernels::inline_strings::unpack_strings;
use crate::kernels::partition_keys::PartitionKeys;
use crate::kernels::scatter::{prefix_sums, rows_by_group};

/// What the operator carries of each row, computes from it, and gives.
#[derive(Debug)]
pub(super) struct WindowPlan {
    /// The buffered columns, each once: keys, orders, arguments and texts, then others that are only given.
    pub(super) columns: Vec<Arc<dyn PhysicalExpr>>,
    /// The columns of PARTITION BY.
    pub(super) keys: Vec<usize>,
    /// Which of them are texts.
    are_strings: Vec<bool>,
    /// How many columns are computed with, or are texts.
    pub(super) computed_count: usize,
    /// The different ORDER BY clauses.
    orders: Vec<Vec<(usize, SortOptions)>>,
    calls: Vec<PlannedCall>,
    /// The columns of the result.
    given: Vec<OutputColumn>,
    schema: SchemaRef,
}

#[derive(Debug)]
struct PlannedCall {
    call: WindowCall,
    args: Vec<usize>,
    order: usize,
}

#[derive(Debug, Clone, Copy)]
enum OutputColumn {
    Carried(usize),
    Result(usize),
}

impl WindowPlan {
    /// `calls` over partitions by `keys`. The result has the columns of `schema`, which stand at `places` of the input's
    /// columns followed by the calls.
    pub(super) fn new(
        keys: &[Arc<dyn PhysicalExpr>],
        calls: Vec<WindowCall>,
        input: &Schema,
        places: &[usize],
        schema: SchemaRef,
    ) -> Self {
        let mut columns: Vec<Arc<dyn PhysicalExpr>> = vec![];
        let mut carry = |expr: &Arc<dyn PhysicalExpr>| {
            columns.iter().position(|known| known == expr).unwrap_or_else(|| {
                columns.push(Arc::clone(expr));
                columns.len() - 1
            })
        };
        let key_places: Vec<usize> = keys.iter().map(&mut carry).collect();
        let mut orders: Vec<Vec<(usize, SortOptions)>> = vec![];
        let mut planned: Vec<PlannedCall> = Vec::with_capacity(calls.len());
        for call in calls {
            let args = call.args.iter().map(&mut carry).collect();
            let order: Vec<_> = call.order_by.iter().map(|sort| (carry(&sort.expr), sort.options)).collect();
            let order = match orders.iter().position(|known| known == &order) {
                Some(order) => order,
                // those that are the same in every order are asked in that of others
                None if call.is_order_free() && !orders.is_empty() => 0,
                None => {
                    orders.push(order);
                    orders.len() - 1
                }
            };
            planned.push(PlannedCall { call, args, order });
        }
        // texts that are only given come before the others: all of them may be buffered as numbers
        let fields = places.iter().filter_map(|&place| Some((place, input.fields().get(place)?)));
        let (texts, others): (Vec<_>, Vec<_>) = fields.partition(|(_, field)| {
            matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        });
        let column = |place, field: &Field| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new(field.name(), place)) };
        let mut given: HashMap<usize, usize> =
            texts.iter().map(|&(place, field)| (place, carry(&column(place, field)))).collect();
        let computed_count = columns.len();
        for (place, field) in others {
            let known = columns.iter().position(|known| known == &column(place, field));
            given.insert(
                place,
                known.unwrap_or_else(|| {
                    columns.push(column(place, field));
                    columns.len() - 1
                }),
            );
        }
        let width = input.fields().len();
        let given = places.iter().map(|&place| match given.get(&place) {
            Some(&buffered) => OutputColumn::Carried(buffered),
            None => OutputColumn::Result(place.saturating_sub(width)),
        });
        let given = given.collect();
        let is_text = |column: &Arc<dyn PhysicalExpr>| {
            column.data_type(input).is_ok_and(|data_type| buffered_type(&data_type) == DataType::Utf8View)
        };
        let are_strings = columns.iter().map(is_text).collect();
        Self { columns, are_strings, keys: key_places, computed_count, orders, calls: planned, given, schema }
    }

    /// The type in which a column is buffered: one that is computed with in a form that is cheap to move and to compare.
    fn buffered_type_of(&self, column: usize, data_type: &DataType) -> DataType {
        if column < self.computed_count { buffered_type(data_type) } else { data_type.clone() }
    }

    /// The buffered columns of some rows of the input.
    ///
    /// # Errors
    /// What an expression gives.
    pub(super) fn buffered(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let columns = self.columns.iter().enumerate().map(|(place, column)| {
            let values = column.evaluate(batch)?.into_array(batch.num_rows())?;
            let wanted = self.buffered_type_of(place, values.data_type());
            Ok(if values.data_type() == &wanted { values } else { cast(&values, &wanted)? })
        });
        columns.collect()
    }

    /// How the buffered columns of an input are encode at first.
    pub(super) fn encoders(&self) -> Vec<ColumnEncoder> {
        let form = |(place, &is_text): (usize, &bool)| match is_text && place < self.computed_count {
            true => ColumnEncoder::for_strings(self.is_inlinable(place)),
            false => ColumnEncoder::Plain,
        };
        self.are_strings.iter().enumerate().map(form).collect()
    }

    /// Whether texts may be packed: those that nothing but their equality and their order is asked of.
    fn is_inlinable(&self, column: usize) -> bool {
        self.keys.contains(&column) && !self.calls.iter().any(|planned| planned.args.contains(&column))
    }

    /// The column that comes first in the order in which rows come out, and its direction.
    pub(super) fn leading_order(&self) -> Option<(usize, SortOptions)> {
        self.orders.first()?.first().copied()
    }

    /// The buffered columns as a table.
    ///
    /// # Errors
    /// An expression without a type.
    pub(super) fn buffered_schema(&self, input: &Schema) -> Result<SchemaRef> {
        let fields = self.columns.iter().enumerate().map(|(place, column)| {
            let data_type = self.buffered_type_of(place, &column.data_type(input)?);
            Ok(Field::new(format!("column{place}"), data_type, true))
        });
        Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
    }

    /// About what computing takes for each row of a bucket: its columns twice, its partition and its places.
    pub(super) fn row_bytes(&self) -> usize {
        2 * size_of::<u128>() * (self.computed_count + self.calls.len()) + 6 * size_of::<u64>()
    }

    /// Computes all functions for the rows of a bucket. `parts` are the columns that are only given, row for row the same.
    ///
    /// # Errors
    /// What a function gives.
    pub(super) fn evaluate(
        self: Arc<Self>,
        columns: Vec<ArrayRef>,
        parts: Vec<Vec<ArrayRef>>,
    ) -> Result<EvaluatedBucket> {
        let (bounds, arrival) = self.groups(&columns, row_count(&columns)?)?;
        self.evaluate_partitions(columns, parts, &bounds, arrival)
    }

    /// Computes all functions for rows of which the partitions are known: `bounds` of each in `arrival`, the rows
    /// partition by partition as they arrived.
    ///
    /// # Errors
    /// What a function gives.
    pub(super) fn evaluate_partitions(
        self: Arc<Self>,
        columns: Vec<ArrayRef>,
        parts: Vec<Vec<ArrayRef>>,
        bounds: &[usize],
        arrival: Vec<u32>,
    ) -> Result<EvaluatedBucket> {
        let mut results: Vec<Option<ArrayRef>> = vec![None; self.calls.len()];
        // the rows come out in the order of the first clause
        let mut given: Option<Vec<u32>> = None;
        let mut moved_columns: Vec<Option<ArrayRef>> = vec![];
        for (number, order_by) in self.orders.iter().enumerate() {
            let calls = || self.calls.iter().enumerate().filter(move |(_, planned)| planned.order == number);
            let needs_peers = calls().any(|(_, planned)| planned.call.needs_peers());
            let (order, peers) = ordered(&columns, order_by, bounds, &arrival, needs_peers)?;
            let slices = Partitions { bounds, peers: &peers };
            let back = given.as_ref().map(|given| moved(&order, given));
            // one partition in its order is the rule where there are few
            let is_in_place = order.iter().enumerate().all(|(place, row)| place == *row as usize);
            let order = UInt32Array::from(order);
            let mut values: Vec<Option<ArrayRef>> = vec![None; columns.len()];
            for (place, planned) in calls() {
                let mut args = Vec::with_capacity(planned.args.len());
                for &column in &planned.args {
                    let moved = match &values[column] {
                        Some(moved) => Arc::clone(moved),
                        None if is_in_place => Arc::clone(&columns[column]),
                        None => take(&columns[column], &order, None)?,
                    };
                    args.push(Arc::clone(values[column].insert(moved)));
                }
                let result = planned.call.evaluate(&args, &slices)?;
                let result = match &back {
                    Some(back) => take(&result, back, None)?,
                    None => result,
                };
                let wanted = planned.call.field.data_type();
                results[place] = Some(if result.data_type() == wanted { result } else { cast(&result, wanted)? });
            }
            if given.is_none() {
                given = Some(order.values().to_vec());
                moved_columns = match is_in_place {
                    true => columns.iter().cloned().map(Some).collect(),
                    false => values,
                };
            }
        }
        let results: Option<Vec<ArrayRef>> = results.into_iter().collect();
        let results = results.ok_or_else(|| internal_datafusion_err!("a window without its result"))?;
        let starts = parts.iter().scan(0, |start, part| {
            let here = *start;
            *start += part.first().map_or(0, |column| column.len());
            Some(here)
        });
        let starts = starts.collect();
        moved_columns.resize(columns.len(), None);
        Ok(EvaluatedBucket {
            columns,
            moved: moved_columns,
            parts,
            starts,
            bounds: bounds.to_vec(),
            order: given.unwrap_or(arrival),
            results,
            next: 0,
            plan: self,
        })
    }

    fn keys_of(&self, columns: &[ArrayRef]) -> Vec<ArrayRef> {
        self.keys.iter().map(|&key| Arc::clone(&columns[key])).collect()
    }

    /// The bounds of the partitions of rows that stand clustered_columns.
    ///
    /// # Errors
    /// Those of encoding keys; too many rows.
    pub(super) fn runs(&self, columns: &[ArrayRef]) -> Result<Vec<usize>> {
        let rows = row_count(columns)? as usize;
        let keys = self.keys_of(columns);
        let starts = PartitionKeys::new(&keys)?.starts(rows).into_iter().map(|row| row as usize);
        Ok(std::iter::once(0).chain(starts).chain((rows > 0).then_some(rows)).collect())
    }

    /// Numbers the partitions: the bounds of each, and the rows partition by partition as they arrived.
    fn groups(&self, columns: &[ArrayRef], rows: u32) -> Result<(Vec<usize>, Vec<u32>)> {
        let keys = self.keys_of(columns);
        let mut groups = Vec::with_capacity(rows as usize);
        let mut bounds = vec![0];
        let mut put = |group: u32| {
            if group as usize + 1 == bounds.len() {
                bounds.push(0);
            }
            bounds[group as usize + 1] += 1;
            groups.push(group);
        };
        if let [key] = keys.as_slice()
            && let Some(key) = key.as_any_dictionary_opt()
            && let Some(numbers) = key.keys().as_primitive_opt::<UInt32Type>()
        {
            // the numbers of texts need no table of hashes; the last place is for NULL
            let mut known: Vec<Option<u32>> = vec![None; key.values().len() + 1];
            let mut next = 0..;
            for (row, &number) in numbers.values().iter().enumerate() {
                let place = if numbers.is_valid(row) { number as usize } else { known.len() - 1 };
                put(*known[place].get_or_insert_with(|| next.next().unwrap_or_default()));
            }
        } else {
            let mut hashes = vec![0; rows as usize];
            create_hashes(&keys, &SEED, &mut hashes)?;
            PartitionKeys::new(&keys)?.number(&hashes, put);
        }
        prefix_sums(&mut bounds);
        let arrival = rows_by_group(groups.into_iter().map(|group| group as usize), &bounds);
        Ok((bounds, arrival))
    }
}

fn row_count(columns: &[ArrayRef]) -> Result<u32> {
    let rows = columns.first().map_or(0, |column| column.len());
    u32::try_from(rows).map_err(|_| exec_datafusion_err!("{rows} rows of a window at once"))
}

/// Which rows are given at once.
#[derive(Debug, Clone, Copy)]
pub(super) enum BatchSize {
    /// So many.
    Rows(usize),
    /// Whole partitions: those of a bucket, in parts that end with the first partition after [`CHUNK_ROWS`] if it has more.
    Partitions,
}

/// A bucket with its results, given batch by batch.
pub(super) struct EvaluatedBucket {
    plan: Arc<WindowPlan>,
    /// The columns that were computed with.
    columns: Vec<ArrayRef>,
    /// Those that stand as the results do already.
    moved: Vec<Option<ArrayRef>>,
    /// The others, in parts.
    parts: Vec<Vec<ArrayRef>>,
    /// The first row of each part.
    starts: Vec<usize>,
    /// The rows in the order in which they are given.
    order: Vec<u32>,
    /// Where in that order the partitions begin, and the end.
    bounds: Vec<usize>,
    /// In that order.
    results: Vec<ArrayRef>,
    next: usize,
}

impl EvaluatedBucket {
    /// The next rows; none after the last.
    ///
    /// # Errors
    /// Those of casts.
    pub(super) fn next(&mut self, batch_size: BatchSize) -> Result<Option<RecordBatch>> {
        let rows_left = self.order.len() - self.next;
        if rows_left == 0 {
            return Ok(None);
        }
        let end = match batch_size {
            BatchSize::Rows(rows) => self.next + rows_left.min(rows.max(1)),
            BatchSize::Partitions => {
                // as few as may be, about equally large
                let wanted = self.next + rows_left.div_ceil(rows_left.div_ceil(CHUNK_ROWS));
                let end = self.bounds.partition_point(|&bound| bound < wanted);
                self.bounds.get(end).copied().unwrap_or(self.order.len())
            }
        };
        let range = self.next..end;
        self.next = end;
        // operators that come after count all memory behind a slice; those that take whole partitions do not
        let is_shared = matches!(batch_size, BatchSize::Partitions) && range.len() == self.order.len();
        let rows = UInt32Array::from(self.order[range.clone()].to_vec());
        let part = |values: &ArrayRef| {
            let places = || UInt32Array::from_iter_values(range.start as u32..range.end as u32);
            if is_shared { Ok(Arc::clone(values)) } else { take(values, &places(), None) }
        };
        let mut places = None;
        let columns = self.plan.given.iter().zip(self.plan.schema.fields()).map(|(given, field)| {
            let values = match *given {
                OutputColumn::Carried(column) if column < self.plan.computed_count => {
                    let values = match &self.moved[column] {
                        Some(moved) => part(moved)?,
                        None => take(&self.columns[column], &rows, None)?,
                    };
                    match values.as_primitive_opt() {
                        Some(packed) if self.plan.are_strings[column] => Arc::new(unpack_strings(packed)),
                        _ => values,
                    }
                }
                OutputColumn::Carried(column) => {
                    let parts = self.parts.iter().map(|part| part[column - self.plan.computed_count].as_ref());
                    let parts: Vec<&dyn Array> = parts.collect();
                    interleave(&parts, places.get_or_insert_with(|| self.places(&rows)))?
                }
                OutputColumn::Result(call) => part(&self.results[call])?,
            };
            let values = compact(values);
            Ok(if values.data_type() == field.data_type() { values } else { cast(&values, field.data_type())? })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(range.len()));
        Ok(Some(RecordBatch::try_new_with_options(Arc::clone(&self.plan.schema), columns, &options)?))
    }

    /// BucketSlice and row of rows.
    fn places(&self, rows: &UInt32Array) -> Vec<(usize, usize)> {
        let place = |&row: &u32| {
            let part = self.starts.partition_point(|&start| start <= row as usize).saturating_sub(1);
            (part, row as usize - self.starts[part])
        };
        rows.values().iter().map(place).collect()
    }
}

/// Texts without the buffers of rows that are elsewhere, if those are much.
fn compact(values: ArrayRef) -> ArrayRef {
    const SLACK: usize = 64 << 10;
    if let Some(texts) = values.as_string_view_opt() {
        let held: usize = texts.data_buffers().iter().map(Buffer::capacity).sum();
        if held > SLACK && held > 2 * texts.total_buffer_bytes_used() {
            return Arc::new(texts.gc());
        }
    }
    values
}

/// The type in which a column is encode: dictionaries as their values, texts as views, which are cheap to move.
fn buffered_type(data_type: &DataType) -> DataType {
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

    /// No partition is in two batches, and batches are about equally large.
    #[test]
    fn whole_partitions_are_given() {
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

//! The cells of all groups of a GROUP BY, and the columns in which they travel between partitions.
//!
//! State of a group: one list per key column with the key of each cell, a list with the number of numbers of each cell, and
//! a list of all numbers.

use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{HashMap, Result, exec_err, internal_datafusion_err, internal_err};
use datafusion::logical_expr::EmitTo;

use super::record::Record;
use super::statistic::{BoundCall, Cell, Entry, Statistic};

/// The numbers of the values of a row's key columns; 0 where the function has fewer.
type Key = [u32; 2];

/// Stands for NULL among the numbers of a column.
const NULL: u32 = u32::MAX;

/// The distinct values of one key column, in the row format, with a number for each.
#[derive(Debug)]
struct KeyInterner {
    data_type: DataType,
    converter: RowConverter,
    numbers: HashMap<Arc<[u8]>, u32>,
    values: Vec<Arc<[u8]>>,
    value_bytes: usize,
}

impl KeyInterner {
    fn try_new(data_type: DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self { data_type, converter, numbers: HashMap::default(), values: vec![], value_bytes: 0 })
    }

    /// The number of each value of `column`, [`NULL`] for NULL.
    fn numbers(&mut self, column: &ArrayRef) -> Result<Vec<u32>> {
        let rows = self.converter.convert_columns(&[canonical(column)])?;
        let nulls = column.logical_nulls();
        let mut numbers = Vec::with_capacity(column.len());
        let mut last: Option<(&[u8], u32)> = None;
        for index in 0..rows.num_rows() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(index)) {
                numbers.push(NULL);
                continue;
            }
            let value = rows.row(index).data();
            let number = match last {
                Some((known, number)) if known == value => number,
                _ => match self.numbers.get(value) {
                    Some(number) => *number,
                    None => intern(&mut self.numbers, &mut self.values, &mut self.value_bytes, value)?,
                },
            };
            last = Some((value, number));
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn value(&self, number: u32) -> &[u8] {
        self.values.get(number as usize).map(Arc::as_ref).unwrap_or_default()
    }

    /// The values with these numbers.
    fn column(&self, numbers: impl Iterator<Item = u32>) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let values = numbers.filter_map(|number| self.values.get(number as usize));
        let columns = self.converter.convert_rows(values.map(|value| parser.parse(value)))?;
        let column = columns.into_iter().next().ok_or_else(|| internal_datafusion_err!("rows without a column"))?;
        Ok(if *column.data_type() == self.data_type { column } else { cast(&column, &self.data_type)? })
    }

    fn memory_size(&self) -> usize {
        // a slot of a hash table has a byte of its own, an Arc two counters
        self.converter.size()
            + self.numbers.capacity() * (size_of::<(Arc<[u8]>, u32)>() + 1)
            + self.values.capacity() * (size_of::<Arc<[u8]>>() + 2 * size_of::<usize>())
            + self.value_bytes
    }
}

/// Floats with one zero and one NaN: values that are equal are one key.
fn canonical(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => Arc::new(
            column
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        ),
        DataType::Float32 => Arc::new(
            column
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        ),
        _ => Arc::clone(column),
    }
}

fn intern(
    numbers: &mut HashMap<Arc<[u8]>, u32>,
    values: &mut Vec<Arc<[u8]>>,
    value_bytes: &mut usize,
    value: &[u8],
) -> Result<u32> {
    let number = u32::try_from(values.len()).ok().filter(|number| *number != NULL);
    let number = number.ok_or_else(|| internal_datafusion_err!("more than 2^32 distinct values"))?;
    let value: Arc<[u8]> = value.into();
    *value_bytes += value.len();
    values.push(Arc::clone(&value));
    numbers.insert(value, number);
    Ok(number)
}

/// The cells by group and key. Without key columns a group has one cell, which is found by its index.
#[derive(Debug)]
pub(crate) struct CellMap<C> {
    has_keys: bool,
    keyed: HashMap<(usize, Key), C>,
    single: Vec<C>,
    group_count: usize,
}

impl<C: Cell> CellMap<C> {
    /// The cell of a group and key; `None` for a group that was not announced.
    #[inline]
    pub(crate) fn get(&mut self, group: usize, key: Key) -> Option<&mut C> {
        if self.has_keys { Some(self.keyed.entry((group, key)).or_default()) } else { self.single.get_mut(group) }
    }

    fn resize(&mut self, group_count: usize) {
        self.group_count = self.group_count.max(group_count);
        if !self.has_keys {
            self.single.resize_with(self.group_count, C::default);
        }
    }

    fn heap_size(&self) -> usize {
        self.keyed.values().chain(&self.single).map(Cell::heap_size).sum()
    }

    fn clear(&mut self) {
        self.keyed.clear();
        self.single.clear();
        self.group_count = 0;
    }

    /// Removes the cells of the groups to emit that have a row, in any order. Other groups move to the front.
    fn emit(&mut self, emit_to: EmitTo) -> (usize, Vec<(usize, Key, C)>) {
        let emitted_count = match emit_to {
            EmitTo::All => self.group_count,
            EmitTo::First(count) => count.min(self.group_count),
        };
        let mut emitted = vec![];
        if self.has_keys {
            let mut rest = HashMap::default();
            for ((group, key), cell) in self.keyed.drain().filter(|(_, cell)| !cell.is_empty()) {
                if group < emitted_count {
                    emitted.push((group, key, cell));
                } else {
                    rest.insert((group - emitted_count, key), cell);
                }
            }
            self.keyed = rest;
        } else {
            let cells = self.single.drain(..emitted_count).enumerate().filter(|(_, cell)| !cell.is_empty());
            emitted.extend(cells.map(|(group, cell)| (group, [0; 2], cell)));
        }
        self.group_count -= emitted_count;
        (emitted_count, emitted)
    }
}

/// The cells of all groups of one call.
#[derive(Debug)]
pub(crate) struct CellGroups<S: Statistic> {
    bound: Arc<BoundCall<S>>,
    keys: Vec<KeyInterner>,
    cells: CellMap<S::Cell>,
    /// Bytes that the cells hold beside their own size, at most.
    heap_size: usize,
}

impl<S: Statistic> CellGroups<S> {
    pub(crate) fn try_new(bound: Arc<BoundCall<S>>) -> Result<Self> {
        let keys = bound.key_types.iter().cloned().map(KeyInterner::try_new).collect::<Result<Vec<_>>>()?;
        let cells = CellMap { has_keys: !keys.is_empty(), keyed: HashMap::default(), single: vec![], group_count: 0 };
        Ok(Self { bound, keys, cells, heap_size: 0 })
    }

    /// Groups of the same call, without rows.
    pub(crate) fn new_like(&self) -> Result<Self> {
        Self::try_new(Arc::clone(&self.bound))
    }

    /// The call.
    pub(crate) fn bound(&self) -> &BoundCall<S> {
        &self.bound
    }

    pub(crate) fn resize(&mut self, group_count: usize) {
        self.cells.resize(group_count);
    }

    /// Calls `each` once per row, in order, with its key and what it adds; `None` for a NULL key or a row that does not
    /// count.
    pub(crate) fn each_row(
        &mut self,
        columns: &[ArrayRef],
        mut each: impl FnMut(&mut CellMap<S::Cell>, Option<Key>, Option<<S::Cell as Cell>::Row>),
    ) -> Result<()> {
        let mut numbers = vec![];
        for (interner, index) in self.keys.iter_mut().zip(S::KEYS) {
            let Some(column) = columns.get(*index) else {
                return internal_err!("{}: evaluated without its arguments", S::CALL.function);
            };
            numbers.push(interner.numbers(column)?);
        }
        let row_bytes = S::Cell::NUMBERS_PER_ROW * S::Cell::HEAP_BYTES_PER_NUMBER;
        self.heap_size += columns.first().map_or(0, |column| column.len()) * row_bytes;
        let cells = &mut self.cells;
        match numbers.as_slice() {
            [] => S::each_row(&self.bound.options, columns, |row| each(cells, Some([0; 2]), row)),
            [only] => {
                let mut only = only.iter();
                S::each_row(&self.bound.options, columns, |row| {
                    let key = only.next().filter(|number| **number != NULL).map(|number| [*number, 0]);
                    each(cells, key, row);
                })
            }
            [first, second, ..] => {
                let mut both = first.iter().zip(second);
                S::each_row(&self.bound.options, columns, |row| {
                    let key = both.next().filter(|(a, b)| **a != NULL && **b != NULL).map(|(a, b)| [*a, *b]);
                    each(cells, key, row);
                })
            }
        }
    }

    /// Replaces all cells by those of one group with `rows`.
    pub(crate) fn refill(&mut self, rows: impl Iterator<Item = (Key, <S::Cell as Cell>::Row)>) {
        self.cells.clear();
        self.cells.resize(1);
        for (key, row) in rows {
            if let Some(cell) = self.cells.get(0, key) {
                cell.add(row);
            }
        }
        self.heap_size = self.cells.heap_size();
    }

    fn key_bytes(keys: &[KeyInterner], key: Key) -> [&[u8]; 2] {
        let value = |index: usize, number: u32| keys.get(index).map(|keys| keys.value(number)).unwrap_or_default();
        let [first, second] = key;
        [value(0, first), value(1, second)]
    }

    /// The result of the only group. Its cells stay: a window asks again.
    pub(crate) fn only_record(&mut self) -> Record {
        let keys = &self.keys;
        let keyed = self.cells.keyed.iter_mut().map(|((_, key), cell)| (*key, cell));
        let single = self.cells.single.iter_mut().map(|cell| ([0; 2], cell));
        let cells = keyed.chain(single).filter(|(_, cell)| !cell.is_empty());
        let mut entries: Vec<_> = cells.map(|(key, cell)| Entry { keys: Self::key_bytes(keys, key), cell }).collect();
        entries.sort_unstable_by_key(|entry| entry.keys);
        S::finish(&self.bound.options, &mut entries, self.bound.baseline.as_deref())
    }

    /// The cells of the groups to emit, by group and key.
    fn emit(&mut self, emit_to: EmitTo) -> (usize, Vec<(usize, Key, S::Cell)>) {
        let (group_count, mut emitted) = self.cells.emit(emit_to);
        self.heap_size = self.cells.heap_size();
        if !self.keys.is_empty() {
            let keys = &self.keys;
            emitted.sort_unstable_by(|(one, a, _), (other, b, _)| {
                one.cmp(other).then_with(|| Self::key_bytes(keys, *a).cmp(&Self::key_bytes(keys, *b)))
            });
        }
        (group_count, emitted)
    }

    /// The results of the groups to emit, which are removed.
    pub(crate) fn records(&mut self, emit_to: EmitTo) -> Vec<Record> {
        let (group_count, mut emitted) = self.emit(emit_to);
        let baseline = self.bound.baseline.as_deref();
        let mut records = Vec::with_capacity(group_count);
        let mut rest = emitted.as_mut_slice();
        for group in 0..group_count {
            let end = rest.iter().position(|(other, ..)| *other != group).unwrap_or(rest.len());
            let (cells, others) = rest.split_at_mut(end);
            rest = others;
            let mut entries: Vec<_> = cells
                .iter_mut()
                .map(|(_, key, cell)| Entry { keys: Self::key_bytes(&self.keys, *key), cell })
                .collect();
            records.push(S::finish(&self.bound.options, &mut entries, baseline));
        }
        records
    }

    /// The states of the groups to emit, which are removed.
    pub(crate) fn states(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (group_count, emitted) = self.emit(emit_to);
        let (mut cell_counts, mut number_counts) = (vec![0; group_count], vec![0; group_count]);
        let (mut lengths, mut numbers) = (Vec::with_capacity(emitted.len()), vec![]);
        for (group, _, cell) in &emitted {
            let before = numbers.len();
            cell.write(&mut numbers);
            let length = numbers.len() - before;
            lengths.push(length as i64);
            if let (Some(cells), Some(numbers)) = (cell_counts.get_mut(*group), number_counts.get_mut(*group)) {
                *cells += 1;
                *numbers += length;
            }
        }
        if numbers.len() > i32::MAX as usize {
            return exec_err!("{}: more than 2^31 values in one state; aggregate fewer rows at once", S::CALL.function);
        }
        let list = |counts: &[usize], values: ArrayRef| -> Result<ArrayRef> {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths(counts.iter().copied());
            Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
        };
        let mut columns = vec![];
        for (index, interner) in self.keys.iter().enumerate() {
            let values = emitted.iter().filter_map(|(_, key, _)| key.get(index).copied());
            columns.push(list(&cell_counts, interner.column(values)?)?);
        }
        columns.push(list(&cell_counts, Arc::new(Int64Array::from(lengths)))?);
        columns.push(list(&number_counts, Arc::new(Float64Array::from(numbers)))?);
        Ok(columns)
    }

    /// Adds the states of other accumulators; row i belongs to group `group_indices[i]`.
    pub(crate) fn merge(&mut self, states: &[ArrayRef], group_indices: &[usize]) -> Result<()> {
        let wrong = || internal_datafusion_err!("{}: its state is not lists of keys and numbers", S::CALL.function);
        let lists = states.iter().map(|column| column.as_list_opt::<i32>()).collect::<Option<Vec<_>>>();
        let lists = lists.ok_or_else(wrong)?;
        let Some((key_lists, [lengths, numbers])) = lists.split_at_checked(self.keys.len()) else {
            return Err(wrong());
        };
        let mut keys = vec![];
        for (interner, list) in self.keys.iter_mut().zip(key_lists) {
            keys.push(interner.numbers(list.values())?);
        }
        let all_lengths = lengths.values().as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.values();
        let all_numbers = numbers.values().as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.values();
        let range = |list: &ListArray, row: usize| {
            let offsets = list.value_offsets();
            Some(usize::try_from(*offsets.get(row)?).ok()?..usize::try_from(*offsets.get(row + 1)?).ok()?)
        };
        self.heap_size += all_numbers.len() * S::Cell::HEAP_BYTES_PER_NUMBER;
        for (row, group) in group_indices.iter().enumerate() {
            let cells = range(lengths, row).ok_or_else(wrong)?;
            let mut at = range(numbers, row).ok_or_else(wrong)?.start;
            let key_starts =
                key_lists.iter().map(|list| range(list, row).map(|range| range.start)).collect::<Option<Vec<_>>>();
            let key_starts = key_starts.ok_or_else(wrong)?;
            for (position, index) in cells.enumerate() {
                let length =
                    all_lengths.get(index).and_then(|length| usize::try_from(*length).ok()).ok_or_else(wrong)?;
                let state = all_numbers.get(at..at.saturating_add(length)).and_then(S::Cell::read).ok_or_else(wrong)?;
                at += length;
                let mut key = [0; 2];
                for ((number, keys), start) in key.iter_mut().zip(&keys).zip(&key_starts) {
                    *number = *keys.get(start + position).ok_or_else(wrong)?;
                }
                if let Some(cell) = self.cells.get(*group, key) {
                    cell.merge(state);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn memory_size(&self) -> usize {
        size_of_val(self)
            + self.keys.iter().map(KeyInterner::memory_size).sum::<usize>()
            + self.cells.keyed.capacity() * (size_of::<((usize, Key), S::Cell)>() + 1)
            + self.cells.single.capacity() * size_of::<S::Cell>()
            + self.heap_size
    }
}

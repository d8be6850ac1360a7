//! The rows that fits keep, by group, and the columns in which they travel between partitions.
//!
//! ```text
//!  arguments                                  rows of a group (numbers)
//!  +----------+----------+--------------+     +----------+----------+-----+---------+---------+-------+
//!  | duration | is_event | struct(..)   | --> | duration | is_event | age | segment | stratum | count |
//!  | 12       | true     | (31, 'gold') |     | 12       | 1        | 31  | code 0  | code 0  | 1     |
//!  +----------+----------+--------------+     +----------+----------+-----+---------+---------+-------+
//! ```
//!
//! Equal rows are one row with a count whenever the rows have doubled, so that memory is bounded by the distinct rows. A fit
//! gets its rows sorted: its result depends neither on their order nor on how they were split between partitions.
//!
//! State of a group: a list of all its numbers, how many rows were left out, and for each string column a list of its strings.

use std::collections::BTreeMap;
use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StringArray, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, exec_err, internal_datafusion_err};
use datafusion::logical_expr::EmitTo;

use crate::regression::design::{Feature, FeatureEncoder, FeatureKind, OTHER, numbers_of};

/// Rows from which equal ones are searched.
const FEW_ROWS: usize = 1_024;

/// The columns of a row, from the arguments of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowLayout {
    /// The indices of the arguments that are numbers or flags.
    pub(crate) numbers: Vec<usize>,
    /// The index of the struct of features and its fields.
    pub(crate) features: Option<(usize, Vec<Feature>)>,
    /// The index of the argument by which rows are told apart, as strings.
    pub(crate) key: Option<usize>,
}

impl RowLayout {
    fn feature_count(&self) -> usize {
        self.features.as_ref().map_or(0, |(_, features)| features.len())
    }

    /// The numbers of a row, its count included.
    pub(crate) fn width(&self) -> usize {
        self.numbers.len() + self.feature_count() + usize::from(self.key.is_some()) + 1
    }

    /// The columns that hold codes of strings.
    fn text_columns(&self) -> Vec<usize> {
        let first = self.numbers.len();
        let features = self.features.iter().flat_map(|(_, features)| features.iter().enumerate());
        let texts = features.filter(|(_, feature)| feature.kind == FeatureKind::Text).map(|(index, _)| first + index);
        texts.chain(self.key.map(|_| first + self.feature_count())).collect()
    }

    /// The columns of the state.
    pub(crate) fn state_fields(&self) -> Vec<(String, DataType)> {
        let list = |data_type: DataType| DataType::List(item(data_type));
        let mut fields =
            vec![("numbers".to_owned(), list(DataType::Float64)), ("left_out".to_owned(), DataType::Int64)];
        fields.extend(self.text_columns().iter().map(|column| (format!("strings_{column}"), list(DataType::Utf8))));
        fields
    }
}

fn item(data_type: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(data_type, true))
}

/// The rows of one group.
#[derive(Debug, Default)]
struct GroupRows {
    numbers: Vec<f64>,
    left_out: i64,
    /// Equal rows are searched when there are more numbers than this.
    merge_above: usize,
}

impl GroupRows {
    fn push(&mut self, row: impl Iterator<Item = f64>, width: usize) {
        // minus zero is zero
        self.numbers.extend(row.map(|value| value + 0.0));
        if self.numbers.len() > self.merge_above.max(FEW_ROWS * width) {
            self.merge_equal(width);
        }
    }

    /// Sorts the rows and makes equal ones one.
    fn merge_equal(&mut self, width: usize) {
        let before = self.numbers.len();
        sort_rows(&mut self.numbers, width);
        let is_worth_it = self.numbers.len() < before / 10 * 9;
        self.merge_above = self.numbers.len() * if is_worth_it { 2 } else { 8 };
    }
}

/// Sorts rows by their values, of which the last is a count, and adds up the counts of equal ones.
fn sort_rows(numbers: &mut Vec<f64>, width: usize) {
    let compare = |one: &[f64], other: &[f64]| {
        let pairs = one.iter().zip(other).take(width - 1);
        pairs.map(|(one, other)| one.total_cmp(other)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    let mut rows: Vec<&[f64]> = numbers.chunks_exact(width).collect();
    if rows.is_sorted_by(|one, other| compare(one, other).is_lt()) {
        return;
    }
    rows.sort_unstable_by(|one, other| compare(one, other));
    let mut sorted: Vec<f64> = vec![];
    let mut rest = rows.as_slice();
    while let Some(first) = rest.first() {
        let same = rest.partition_point(|row| compare(first, row).is_eq()).max(1);
        let (equal, others) = rest.split_at(same);
        rest = others;
        let count: f64 = equal.iter().filter_map(|row| row.last()).sum();
        sorted.extend(first.iter().take(width - 1));
        sorted.push(count);
    }
    *numbers = sorted;
}

/// What a fit is computed from: distinct rows in a fixed order.
#[derive(Debug)]
pub(crate) struct FitRows<'a> {
    pub(crate) numbers: &'a [f64],
    pub(crate) width: usize,
    pub(crate) left_out: i64,
    /// The features, which begin at `first_feature` in each row.
    pub(crate) encoder: Option<&'a FeatureEncoder>,
    pub(crate) first_feature: usize,
    /// The strings of the key column in ascending order; its values are indices of it. `None` for too many.
    pub(crate) keys: Option<Vec<String>>,
}

impl FitRows<'_> {
    /// The rows; the last number of each is its count.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> + Clone {
        self.numbers.chunks_exact(self.width)
    }

    /// The rows with their counts.
    pub(crate) fn count(&self) -> f64 {
        self.rows().filter_map(|row| row.last()).sum()
    }
}

/// The rows of all groups of one call.
#[derive(Debug)]
pub(crate) struct RowGroups {
    function: &'static str,
    layout: RowLayout,
    features: Option<FeatureEncoder>,
    keys: Option<FeatureEncoder>,
    groups: Vec<GroupRows>,
}

impl RowGroups {
    pub(crate) fn new(function: &'static str, layout: RowLayout) -> Self {
        let features = layout.features.as_ref().map(|(_, features)| FeatureEncoder::new(features.clone()));
        let key = || FeatureEncoder::new(vec![Feature { name: "key".to_owned(), kind: FeatureKind::Text }]);
        let keys = layout.key.map(|_| key());
        Self { function, layout, features, keys, groups: vec![] }
    }

    /// The same call without rows.
    pub(crate) fn new_like(&self) -> Self {
        Self::new(self.function, self.layout.clone())
    }

    pub(crate) fn resize(&mut self, group_count: usize) {
        if self.groups.len() < group_count {
            self.groups.resize_with(group_count, GroupRows::default);
        }
    }

    /// Removes all rows; the codes of strings stay.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
    }

    /// The columns of a batch as numbers, without the counts; NaN where a value is not known.
    pub(crate) fn encode(&mut self, columns: &[ArrayRef]) -> Result<Vec<Vec<f64>>> {
        let column = |index: usize| {
            let missing = || internal_datafusion_err!("{}: evaluated without its arguments", self.function);
            columns.get(index).ok_or_else(missing)
        };
        let mut encoded = vec![];
        for index in &self.layout.numbers {
            encoded.push(numbers_of(column(*index)?)?);
        }
        if let (Some((index, _)), Some(encoder)) = (&self.layout.features, &mut self.features) {
            encoded.extend(encoder.encode(column(*index)?)?);
        }
        if let (Some(index), Some(encoder)) = (self.layout.key, &mut self.keys) {
            let key = column(index)?;
            let field = Field::new("key", key.data_type().clone(), true);
            let wrapped: ArrayRef = Arc::new(StructArray::try_new(vec![field].into(), vec![Arc::clone(key)], None)?);
            encoded.extend(encoder.encode(&wrapped)?);
        }
        Ok(encoded)
    }

    /// Adds a row of encoded columns to a group; one that is `None` is counted as left out.
    pub(crate) fn add(&mut self, group: usize, row: Option<&[f64]>) {
        let width = self.layout.width();
        if let Some(group) = self.groups.get_mut(group) {
            match row {
                None => group.left_out += 1,
                Some(row) => group.push(row.iter().copied().chain([1.0]), width),
            }
        }
    }

    /// Hands the sorted rows of a group to `finish`.
    pub(crate) fn finish<T>(&mut self, group: usize, finish: impl FnOnce(FitRows<'_>) -> T) -> Option<T> {
        let width = self.layout.width();
        let rows = self.groups.get_mut(group)?;
        sort_rows(&mut rows.numbers, width);
        let mut input = FitRows {
            numbers: &rows.numbers,
            width,
            left_out: rows.left_out,
            encoder: self.features.as_ref(),
            first_feature: self.layout.numbers.len(),
            keys: Some(vec![]),
        };
        let Some(encoder) = &self.keys else { return Some(finish(input)) };
        // codes are numbered as strings came: ranks are not
        let mut names: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        let codes = rows.numbers.chunks_exact(width).filter_map(|row| row.get(width - 2));
        let levels = encoder.levels.first();
        let mut distinct: Vec<u32> = codes.map(|code| *code as u32).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let is_complete = distinct.iter().all(|code| *code != OTHER);
        for code in distinct {
            names.entry(levels.and_then(|levels| levels.name(code)).unwrap_or_default()).or_default().push(code);
        }
        let ranks: BTreeMap<u32, usize> =
            names.values().enumerate().flat_map(|(rank, codes)| codes.iter().map(move |code| (*code, rank))).collect();
        let mut numbers = rows.numbers.clone();
        for row in numbers.chunks_exact_mut(width) {
            if let Some(code) = row.get_mut(width - 2) {
                *code = ranks.get(&(*code as u32)).map_or(0.0, |rank| *rank as f64);
            }
        }
        sort_rows(&mut numbers, width);
        input.numbers = &numbers;
        input.keys = is_complete.then(|| names.into_keys().map(str::to_owned).collect());
        Some(finish(input))
    }

    /// How many groups are to be emitted.
    pub(crate) fn emitted(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.groups.len(),
            EmitTo::First(count) => count.min(self.groups.len()),
        }
    }

    /// Removes the first groups.
    pub(crate) fn remove(&mut self, count: usize) {
        self.groups.drain(..count.min(self.groups.len()));
    }

    /// The tables of strings by column.
    fn encoders(&self) -> impl Iterator<Item = &FeatureEncoder> {
        self.features.iter().chain(&self.keys)
    }

    /// The states of the groups to emit, which are removed.
    pub(crate) fn states(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (width, texts) = (self.layout.width(), self.layout.text_columns());
        let mut groups: Vec<GroupRows> = {
            let count = self.emitted(emit_to);
            self.groups.drain(..count).collect()
        };
        let levels = self.encoders().flat_map(|encoder| encoder.features.iter().zip(&encoder.levels));
        let levels: Vec<_> =
            levels.filter(|(feature, _)| feature.kind == FeatureKind::Text).map(|(_, levels)| levels).collect();
        let mut strings: Vec<(Vec<usize>, Vec<&str>)> = vec![(vec![], vec![]); texts.len()];
        for group in &mut groups {
            group.merge_equal(width);
            for ((column, levels), (lengths, names)) in texts.iter().zip(&levels).zip(&mut strings) {
                let before = names.len();
                let mut local: BTreeMap<u32, f64> = BTreeMap::new();
                for row in group.numbers.chunks_exact_mut(width) {
                    let Some(code) = row.get_mut(*column) else { continue };
                    let global = *code as u32;
                    *code = *local.entry(global).or_insert_with(|| match levels.name(global) {
                        None => f64::from(OTHER),
                        Some(name) => {
                            names.push(name);
                            (names.len() - before - 1) as f64
                        }
                    });
                }
                lengths.push(names.len() - before);
            }
        }
        let too_many = groups.iter().map(|group| group.numbers.len()).sum::<usize>() > i32::MAX as usize
            || strings.iter().any(|(_, names)| names.len() > i32::MAX as usize);
        if too_many {
            return exec_err!("{}: more than 2^31 values in one state; aggregate fewer rows at once", self.function);
        }
        let numbers: Float64Array = groups.iter().flat_map(|group| group.numbers.iter().copied()).map(Some).collect();
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| group.numbers.len()));
        let left_out: Int64Array = groups.iter().map(|group| Some(group.left_out)).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(ListArray::try_new(item(DataType::Float64), offsets, Arc::new(numbers), None)?),
            Arc::new(left_out),
        ];
        for (lengths, names) in strings {
            let names: StringArray = names.into_iter().map(Some).collect();
            let offsets = OffsetBuffer::from_lengths(lengths);
            columns.push(Arc::new(ListArray::try_new(item(DataType::Utf8), offsets, Arc::new(names), None)?));
        }
        Ok(columns)
    }

    /// Adds states of other accumulators; row i belongs to group `group_indices[i]`.
    pub(crate) fn merge(&mut self, states: &[ArrayRef], group_indices: &[usize]) -> Result<()> {
        let (width, texts) = (self.layout.width(), self.layout.text_columns());
        let function = self.function;
        let wrong = || internal_datafusion_err!("{function}: its state is not lists of numbers and strings");
        let [numbers, left_out, strings @ ..] = states else { return Err(wrong()) };
        let numbers = numbers.as_list_opt::<i32>().ok_or_else(wrong)?;
        let left_out = left_out.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let strings = strings.iter().map(|list| list.as_list_opt::<i32>().ok_or_else(wrong));
        let strings = strings.collect::<Result<Vec<&ListArray>>>()?;
        let encoders = self.features.iter_mut().chain(&mut self.keys);
        let mut levels: Vec<_> = encoders
            .flat_map(|encoder| encoder.features.iter().zip(&mut encoder.levels))
            .filter(|(feature, _)| feature.kind == FeatureKind::Text)
            .map(|(_, levels)| levels)
            .collect();
        for (state, group) in group_indices.iter().enumerate() {
            let Some(group) = self.groups.get_mut(*group) else { continue };
            group.left_out += left_out.value(state);
            let mut codes: Vec<Vec<f64>> = vec![];
            for (list, levels) in strings.iter().zip(&mut levels) {
                let names = list.value(state);
                let names = names.as_string_opt::<i32>().ok_or_else(wrong)?;
                codes.push(names.iter().map(|name| f64::from(levels.code(name.unwrap_or_default()))).collect());
            }
            let values = numbers.value(state);
            let values = values.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.values();
            for row in values.chunks_exact(width) {
                let mut row = row.to_vec();
                for (column, codes) in texts.iter().zip(&codes) {
                    if let Some(code) = row.get_mut(*column) {
                        *code = codes.get(*code as usize).copied().unwrap_or(f64::from(OTHER));
                    }
                }
                group.push(row.into_iter(), width);
            }
        }
        Ok(())
    }

    /// Bytes that it holds, its own included.
    pub(crate) fn memory_size(&self) -> usize {
        let numbers = self.groups.iter().map(|group| group.numbers.capacity() * size_of::<f64>()).sum::<usize>();
        size_of_val(self)
            + self.groups.capacity() * size_of::<GroupRows>()
            + numbers
            + self.encoders().map(FeatureEncoder::memory_size).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_are_one_row_with_a_count() {
        let mut numbers = vec![2.0, 1.0, 1.0, 1.0, 2.0, 1.0, 5.0, 1.0];
        sort_rows(&mut numbers, 2);
        assert_eq!(numbers, [1.0, 1.0, 2.0, 2.0, 5.0, 1.0]);
        let mut group = GroupRows::default();
        for index in 0..100_000 {
            group.push([f64::from(index % 7), 1.0].into_iter(), 2);
        }
        assert!(group.numbers.capacity() < 16 * FEW_ROWS, "{}", group.numbers.capacity());
        group.merge_equal(2);
        assert_eq!(group.numbers.iter().skip(1).step_by(2).sum::<f64>(), 100_000.0);
    }
}

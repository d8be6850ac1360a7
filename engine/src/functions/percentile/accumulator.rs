//! [`PercentileAccumulator`]: row and grouped accumulator of the percentile functions, over one [`ValueCounts`] per group.
//!
//! ```text
//!  values of a group: 3 0 3 2.5 -1     state: integers [0, 3]   counts [1, 2]   values [2.5, -1]
//! ```
//! Merging adds counts and appends values, so that the result does not depend on how rows were split into partial states.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, ListArray, ListBuilder, UInt32Builder,
    UInt64Builder,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt32Type, UInt64Type};
use datafusion::common::{ScalarValue, exec_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::counts::ValueCounts;

/// The state of a group as three lists: the integers that occur, their counts, and the other values.
pub(super) fn state_fields(name: &str) -> Vec<FieldRef> {
    let list = |part, item| {
        let items = DataType::List(Arc::new(Field::new_list_field(item, true)));
        Arc::new(Field::new(format_state_name(name, part), items, true))
    };
    vec![list("integers", DataType::UInt32), list("counts", DataType::UInt64), list("values", DataType::Float64)]
}

/// The values of all groups; of one group, if it serves as row accumulator.
#[derive(Debug)]
pub(super) struct PercentileAccumulator {
    percentiles: Vec<f64>,
    /// Whether the result of a group is the list of all percentiles.
    is_list: bool,
    groups: Vec<ValueCounts>,
}

impl PercentileAccumulator {
    pub(super) fn new(percentiles: Vec<f64>, is_list: bool) -> Self {
        Self { percentiles, is_list, groups: vec![] }
    }

    /// With one group, as a row accumulator.
    pub(super) fn ungrouped(mut self) -> Self {
        self.groups.push(ValueCounts::default());
        self
    }

    fn take_groups(&mut self, emit_to: EmitTo) -> Vec<ValueCounts> {
        emit_to.take_needed(&mut self.groups)
    }

    /// The state columns, see [`state_fields`].
    fn state_arrays(groups: &[ValueCounts]) -> Vec<ArrayRef> {
        let mut integers = ListBuilder::new(UInt32Builder::new());
        let mut counts = ListBuilder::new(UInt64Builder::new());
        let mut others = ListBuilder::new(Float64Builder::new());
        for group in groups {
            for (integer, count) in group.counted() {
                // integers have at most 32 bits, see `ValueCounts`
                integers.values().append_value(integer as u32);
                counts.values().append_value(count);
            }
            integers.append(true);
            counts.append(true);
            others.values().append_slice(&group.others);
            others.append(true);
        }
        vec![Arc::new(integers.finish()), Arc::new(counts.finish()), Arc::new(others.finish())]
    }

    /// Merges states; `group_of` maps a row to its group.
    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let [integers, counts, others] = states else {
            return internal_err!("percentile_cont: {} states", states.len());
        };
        let lists: [&ListArray; 3] = [integers.as_list(), counts.as_list(), others.as_list()];
        let [integers, counts, others] = lists;
        for row in 0..counts.len() {
            let Some(group) = self.groups.get_mut(group_of(row)) else {
                return internal_err!("percentile_cont: a group index out of range");
            };
            let (integers, counts) = (integers.value(row), counts.value(row));
            let (integers, counts) = (integers.as_primitive::<UInt32Type>(), counts.as_primitive::<UInt64Type>());
            // the integers are sorted: one allocation for all
            if let Some(&last) = integers.values().last() {
                group.reserve(last as usize);
            }
            for (&integer, &count) in integers.values().iter().zip(counts.values()) {
                group.add_many(integer as usize, count);
            }
            for &value in others.value(row).as_primitive::<Float64Type>().values() {
                group.add(value);
            }
        }
        Ok(())
    }

    fn values(values: &[ArrayRef]) -> Result<&Float64Array> {
        match values.first().and_then(|values| values.as_primitive_opt::<Float64Type>()) {
            Some(values) => Ok(values),
            None => exec_err!("percentile_cont: the values are not of type double"),
        }
    }
}

/// The result column: for each group its percentile, or the list of its percentiles.
fn results(groups: &mut [ValueCounts], percentiles: &[f64], is_list: bool) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(groups.iter().map(|_| percentiles.len()));
    let all = groups.iter_mut().flat_map(|group| percentiles.iter().map(|&one| group.percentile(one)));
    let all = Arc::new(all.collect::<Float64Array>());
    if is_list {
        Arc::new(ListArray::new(Arc::new(Field::new_list_field(DataType::Float64, true)), offsets, all, None))
    } else {
        all
    }
}

impl GroupsAccumulator for PercentileAccumulator {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups.max(self.groups.len()), ValueCounts::default);
        let values = Self::values(values)?;
        // the common case, without two tests per row
        if values.null_count() == 0 && opt_filter.is_none() {
            for (&value, &group) in values.values().iter().zip(group_indices) {
                self.groups[group].add(value);
            }
            return Ok(());
        }
        for (row, (value, &group)) in values.iter().zip(group_indices).enumerate() {
            let is_selected = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (Some(value), true) = (value, is_selected) {
                self.groups[group].add(value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut groups = self.take_groups(emit_to);
        Ok(results(&mut groups, &self.percentiles, self.is_list))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(Self::state_arrays(&self.take_groups(emit_to)))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups.max(self.groups.len()), ValueCounts::default);
        self.merge(values, |row| group_indices.get(row).copied().unwrap_or(usize::MAX))
    }

    /// For partial aggregation that DataFusion skips because nearly every row is a group.
    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = Self::values(values)?;
        let mut rows = Self::new(vec![], false);
        // each row is a group of its own
        let group_indices: Vec<usize> = (0..values.len()).collect();
        GroupsAccumulator::update_batch(
            &mut rows,
            &[Arc::new(values.clone())],
            &group_indices,
            opt_filter,
            values.len(),
        )?;
        Ok(Self::state_arrays(&rows.groups))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<ValueCounts>() + self.groups.iter().map(ValueCounts::size).sum::<usize>()
    }
}

impl Accumulator for PercentileAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = Self::values(values)?;
        let group = &mut self.groups[0];
        values.iter().flatten().for_each(|value| group.add(value));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = Self::values(values)?;
        let group = &mut self.groups[0];
        values.iter().flatten().try_for_each(|value| group.remove(value))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        // a sliding frame evaluates once per row: the state must stay
        ScalarValue::try_from_array(&results(&mut self.groups, &self.percentiles, self.is_list), 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + GroupsAccumulator::size(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Self::state_arrays(&self.groups).iter().map(|list| ScalarValue::try_from_array(list, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge(states, |_| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More of one value than 32 bits count: five billion ones, then three twos.
    #[test]
    fn counts_beyond_32_bits() {
        let part = |integer: usize, count: u64| {
            let mut values = ValueCounts::default();
            values.add_many(integer, count);
            values
        };
        let mut all = PercentileAccumulator::new(vec![0.5], false).ungrouped();
        for part in [part(1, 3_000_000_000), part(1, 2_000_000_000), part(2, 3)] {
            all.merge(&PercentileAccumulator::state_arrays(&[part]), |_| 0).unwrap();
        }
        let values = &mut all.groups[0];
        assert_eq!(
            (values.len, values.counted().collect::<Vec<_>>()),
            (5_000_000_003, vec![(1, 5_000_000_000), (2, 3)])
        );
        assert_eq!((values.percentile(0.5), values.percentile(1.0)), (Some(1.0), Some(2.0)));
        assert_eq!((values.at(&[], 4_999_999_999), values.at(&[], 5_000_000_000)), (Some(1.0), Some(2.0)));
        values.remove(1.0).unwrap();
        assert_eq!(values.at(&[], 4_999_999_999), Some(2.0));
    }
}

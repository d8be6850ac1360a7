//! `max_concurrent(start, end)`: how many stretches there are at most at once.
//!
//! Formula: the largest number of stretches with start <= t < end over all t.
//! Units:   times in, a count out.
//! NULL:    a stretch without a start or an end is skipped, as is one that ends before its start; none left gives NULL.
//! Edges:   where one ends and another starts there is one; a stretch without a length is at no time.
//! Source:  the sweep over starts and ends: J. L. Bentley and T. A. Ottmann, IEEE Transactions on Computers C-28 (1979).
//!
//! The state is the set of changes: +1 at each start, -1 at each end, changes of one time added up. It is a commutative group,
//! so that states merge in any order and rows leave a window by the opposite changes. It holds up to two changes per stretch;
//! changes are sorted, and those of one time added, each time their number has doubled, and when the answer is asked for.

use std::mem::{size_of, size_of_val, take};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, ReversedUDAF,
    Signature,
};

use super::SECTION;
use crate::args::{Call, Kind, Parameter};

const CALL: Call = Call {
    function: "max_concurrent",
    syntax: "max_concurrent(start, end)",
    parameters: &[Parameter::column("start", Kind::Time), Parameter::column("end", Kind::Time)],
    arities: &[2],
};

/// `max_concurrent`.
pub(super) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(MaxConcurrent { signature: CALL.signature() }))
}

/// How many stretches begin less how many end at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    at: i64,
    by: i64,
}

/// The stretches of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Changes {
    stretch_count: i64,
    changes: Vec<Change>,
    /// The changes up to here are in order of time, each time once.
    sorted_len: usize,
}

impl Changes {
    /// Fewer are not worth the sort.
    const FEW: usize = 64;

    /// Adds `count` times a stretch.
    fn add(&mut self, start: i64, end: i64, count: i64) {
        if start > end {
            return;
        }
        self.stretch_count += count;
        if start < end {
            self.push(Change { at: start, by: count });
            self.push(Change { at: end, by: -count });
        }
    }

    fn push(&mut self, change: Change) {
        if self.changes.len() == self.changes.capacity() && self.changes.len() > 2 * self.sorted_len.max(Self::FEW) {
            self.sort();
        }
        self.changes.push(change);
    }

    /// Brings the changes into order and adds up those of one time.
    fn sort(&mut self) {
        if self.sorted_len == self.changes.len() {
            return;
        }
        self.changes.sort_by_key(|change| change.at);
        self.changes.dedup_by(|later, earlier| {
            let is_same = later.at == earlier.at;
            if is_same {
                earlier.by += later.by;
            }
            is_same
        });
        self.changes.retain(|change| change.by != 0);
        self.sorted_len = self.changes.len();
    }

    /// The most stretches at once; `None` without a stretch.
    fn most(&mut self) -> Option<i64> {
        self.sort();
        let mut count = 0;
        let counts = self.changes.iter().map(|change| {
            count += change.by;
            count
        });
        let most = counts.max().unwrap_or(0);
        (self.stretch_count > 0).then_some(most)
    }

    fn heap_size(&self) -> usize {
        self.changes.capacity() * size_of::<Change>()
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MaxConcurrent {
    signature: Signature,
}

fn refuse_distinct(is_distinct: bool) -> Result<()> {
    if is_distinct {
        return plan_err!(
            "max_concurrent: DISTINCT is not supported, equal rows are different contacts; remove duplicate rows before with \
             select distinct"
        );
    }
    Ok(())
}

impl AggregateUDFImpl for MaxConcurrent {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Both times as timestamps of one unit, without a time zone: the ticks are those of UTC.
    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let types = CALL.coerce(arg_types)?;
        let is_nanosecond = |data_type: &DataType| matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _));
        let unit = if types.iter().any(is_nanosecond) { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
        let same_unit = |data_type: DataType| match data_type {
            DataType::Timestamp(_, zone) => DataType::Timestamp(unit, zone),
            _ => DataType::Timestamp(unit, None),
        };
        Ok(types.into_iter().map(same_unit).collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        true
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call: AggregateFunction, _| {
            refuse_distinct(call.params.distinct)?;
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        refuse_distinct(args.is_distinct)?;
        let list = |name: &str| {
            let item = Field::new_list_field(DataType::Int64, true);
            Arc::new(Field::new_list(format_state_name(args.name, name), item, true))
        };
        let count = Arc::new(Field::new(format_state_name(args.name, "stretch_count"), DataType::Int64, true));
        Ok(vec![list("times"), list("changes"), count])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        refuse_distinct(args.is_distinct)?;
        Ok(Box::new(ChangeGroups { groups: vec![Changes::default()], heap_size: 0 }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        refuse_distinct(args.is_distinct)?;
        Ok(Box::new(ChangeGroups::default()))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

/// The ticks of a column of times.
fn ticks(columns: &[ArrayRef], index: usize) -> Result<&[i64]> {
    let column =
        columns.get(index).ok_or_else(|| internal_datafusion_err!("max_concurrent: evaluated without times"))?;
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        return Ok(times.values());
    }
    let times = column.as_primitive_opt::<TimestampNanosecondType>();
    let times =
        times.ok_or_else(|| internal_datafusion_err!("max_concurrent: cannot read times of {}", column.data_type()));
    Ok(times?.values())
}

/// All groups of a GROUP BY; one group of a query without it, and of a window.
#[derive(Debug, Default)]
struct ChangeGroups {
    groups: Vec<Changes>,
    /// Bytes of the changes of all groups.
    heap_size: usize,
}

impl ChangeGroups {
    /// Changes a group and keeps account of its bytes.
    fn update(&mut self, group: usize, change: impl FnOnce(&mut Changes)) {
        if let Some(changes) = self.groups.get_mut(group) {
            let before = changes.heap_size();
            change(changes);
            self.heap_size = (self.heap_size + changes.heap_size()).saturating_sub(before);
        }
    }

    fn add(&mut self, values: &[ArrayRef], groups: impl Iterator<Item = Option<usize>>, count: i64) -> Result<()> {
        let (starts, ends) = (ticks(values, 0)?, ticks(values, 1)?);
        let is_known = |row| values.iter().all(|column| column.is_valid(row));
        for (row, ((&start, &end), group)) in starts.iter().zip(ends).zip(groups).enumerate() {
            if let Some(group) = group.filter(|_| is_known(row)) {
                self.update(group, |changes| changes.add(start, end, count));
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: impl Iterator<Item = usize>) -> Result<()> {
        let wrong = || internal_datafusion_err!("max_concurrent: its state is not two lists and a count");
        let list = |index: usize| states.get(index).and_then(|column| column.as_list_opt::<i32>()).ok_or_else(wrong);
        let (times, changes) = (list(0)?, list(1)?);
        let counts = states.get(2).and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or_else(wrong)?;
        for (row, group) in groups.enumerate().take(times.len()) {
            let (times, by) = (times.value(row), changes.value(row));
            let times = times.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            let by = by.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            self.update(group, |changes| {
                changes.stretch_count += counts.value(row);
                times.values().iter().zip(by.values()).for_each(|(&at, &by)| changes.push(Change { at, by }));
            });
        }
        Ok(())
    }

    /// Removes the groups to emit; the others move to the front.
    fn emitted(&mut self, emit_to: EmitTo) -> Vec<Changes> {
        let emitted = emit_to.take_needed(&mut self.groups);
        let bytes: usize = emitted.iter().map(Changes::heap_size).sum();
        self.heap_size = self.heap_size.saturating_sub(bytes);
        emitted
    }

    fn states(groups: &mut [Changes]) -> Result<Vec<ArrayRef>> {
        groups.iter_mut().for_each(Changes::sort);
        let list = |value: fn(&Change) -> i64| -> Result<ArrayRef> {
            let lengths = groups.iter().map(|group| group.changes.len());
            let values: Int64Array = groups.iter().flat_map(|group| &group.changes).map(value).map(Some).collect();
            let field = Arc::new(Field::new_list_field(DataType::Int64, true));
            Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(values), None)?))
        };
        let counts: Int64Array = groups.iter().map(|group| Some(group.stretch_count)).collect();
        Ok(vec![list(|change| change.at)?, list(|change| change.by)?, Arc::new(counts)])
    }

    fn bytes(&self) -> usize {
        size_of_val(self) + self.groups.capacity() * size_of::<Changes>() + self.heap_size
    }
}

impl GroupsAccumulator for ChangeGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, Changes::default);
        let groups = group_indices.iter().enumerate().map(|(row, group)| {
            let is_kept = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            is_kept.then_some(*group)
        });
        self.add(values, groups, 1)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, Changes::default);
        self.merge(values, group_indices.iter().copied())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut emitted = self.emitted(emit_to);
        Ok(Arc::new(emitted.iter_mut().map(Changes::most).collect::<Int64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut emitted = self.emitted(emit_to);
        Self::states(&mut emitted)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = Self::default();
        let groups: Vec<usize> = (0..values.first().map_or(0, Array::len)).collect();
        GroupsAccumulator::update_batch(&mut rows, values, &groups, opt_filter, groups.len())?;
        Self::states(&mut rows.groups)
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

impl Accumulator for ChangeGroups {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, std::iter::repeat(Some(0)), 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, std::iter::repeat(Some(0)), -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge(states, std::iter::repeat(0))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut groups = take(&mut self.groups);
        let states = Self::states(&mut groups)?.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect();
        self.groups = groups;
        states
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut most = None;
        self.update(0, |changes| most = changes.most());
        Ok(ScalarValue::Int64(most))
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "The most stretches at once, such as the contacts that were open at the same time.\n\
         Formula: the largest number of stretches with start <= t < end, over all times t.\n\
         Units: timestamps or dates in, a count out.\n\
         NULL: a stretch without a start or an end is skipped; where one without an end is to count up to now, write \
         coalesce(ended_at, now()). A stretch that ends before its start is skipped. No stretch left gives NULL.\n\
         Edges: where one ends and another starts there is one at a time. A stretch without a length is at no time: only such give \
         0. For each half hour, group the pieces of split_interval. The state holds two numbers for each start and each end that \
         differs from the others. DISTINCT is refused.\n\
         Source: a sweep over the ordered starts and ends, as in J. L. Bentley and T. A. Ottmann, IEEE Transactions on Computers \
         C-28 (1979) 643-647.",
        CALL.syntax,
    )
    .with_argument("start", "Timestamp or date: the start of the stretch.")
    .with_argument("end", "Timestamp or date: its end, exclusive.")
    .with_sql_example(
        "```sql
select max_concurrent(started_at, ended_at) as most_at_once
from (values
    (timestamp '2025-03-03 09:00:00', timestamp '2025-03-03 09:20:00'),
    (timestamp '2025-03-03 09:10:00', timestamp '2025-03-03 09:15:00'),
    (timestamp '2025-03-03 09:15:00', timestamp '2025-03-03 09:30:00')
) as contacts(started_at, ended_at);
+--------------+
| most_at_once |
+--------------+
| 2            |
+--------------+
```",
    )
    .with_related_udf("split_interval")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: of all starts, the one at which most stretches are.
    fn by_definition(stretches: &[(i64, i64)]) -> Option<i64> {
        let at = |time: i64| stretches.iter().filter(|(start, end)| *start <= time && time < *end).count() as i64;
        stretches.iter().filter(|(start, end)| start <= end).map(|(start, _)| at(*start)).max()
    }

    fn changes(stretches: &[(i64, i64)]) -> Changes {
        let mut changes = Changes::default();
        stretches.iter().for_each(|(start, end)| changes.add(*start, *end, 1));
        changes
    }

    fn stretches(seed: i64) -> Vec<(i64, i64)> {
        let number = |index: i64| (index * 7919 + seed * 104_729) % 1009;
        (0..500).map(|index| (number(index), number(index) + number(index + 3) % 40 - 2)).collect()
    }

    #[test]
    fn the_sweep_finds_what_the_definition_says() {
        assert_eq!(changes(&[]).most(), None);
        assert_eq!(changes(&[(5, 5)]).most(), Some(0));
        assert_eq!(changes(&[(5, 4)]).most(), None);
        assert_eq!(changes(&[(0, 10), (10, 20)]).most(), Some(1));
        for seed in 0..20 {
            let stretches = stretches(seed);
            assert_eq!(changes(&stretches).most(), by_definition(&stretches), "{seed}");
        }
    }

    #[test]
    fn states_merge_in_any_order_and_grouping() {
        let all = stretches(3);
        for split in [0, 1, 13, 250, 499, 500] {
            let (one, other) = all.split_at(split);
            for parts in [[one, other], [other, one]] {
                let mut merged = ChangeGroups { groups: vec![Changes::default()], heap_size: 0 };
                for part in parts {
                    let states = ChangeGroups::states(&mut [changes(part)]).unwrap();
                    Accumulator::merge_batch(&mut merged, &states).unwrap();
                }
                let most = merged.groups[0].most();
                assert_eq!((most, merged.groups[0].stretch_count), (changes(&all).most(), changes(&all).stretch_count));
                assert_eq!(merged.groups[0], {
                    let mut whole = changes(&all);
                    whole.sort();
                    whole
                });
            }
        }
    }

    #[test]
    fn rows_leave_as_they_came() {
        let (mut kept, mut all) = (changes(&stretches(1)), changes(&stretches(1)));
        for (start, end) in stretches(2) {
            all.add(start, end, 1);
        }
        for (start, end) in stretches(2) {
            all.add(start, end, -1);
        }
        kept.sort();
        all.sort();
        assert_eq!((kept.changes, kept.stretch_count), (all.changes, all.stretch_count));
    }
}

//! [`MomentGroups`]: `covar_*`, `corr` and `regr_*` of many groups, and of all rows as one.
//!
//! DataFusion has a boxed accumulator per group for `covar_*` and `regr_*`, and raw power sums for `corr`, which lose all digits
//! of values far from 0. Here the moments of a group are six numbers in one vector, updated row by row (Welford) and merged by
//! Chan's formula ([`super::moments`]).

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::moments::{Moments, Statistic};

/// The moments of each group.
#[derive(Debug)]
pub(crate) struct MomentGroups {
    statistic: Statistic,
    groups: Vec<Moments>,
}

/// The states of a partial aggregate: the count, and the other moments.
pub(crate) fn state_fields(name: &str) -> Vec<FieldRef> {
    let state =
        |(state, data_type): (&str, DataType)| Arc::new(Field::new(format_state_name(name, state), data_type, true));
    let floats = ["mean_y", "mean_x", "squares_y", "squares_x", "products"].map(|state| (state, DataType::Float64));
    [("count", DataType::UInt64)].into_iter().chain(floats).map(state).collect()
}

impl MomentGroups {
    pub(crate) fn new(statistic: Statistic) -> Self {
        Self { statistic, groups: vec![] }
    }

    fn taken(&mut self, emit_to: EmitTo) -> Vec<Moments> {
        emit_to.take_needed(&mut self.groups)
    }
}

/// Calls `add` with each row that counts: both values are there, and the filter is true.
fn for_each_pair(
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
    mut add: impl FnMut(usize, f64, f64),
) -> Result<()> {
    let [y, x] = values else { return internal_err!("moments of pairs got {} columns", values.len()) };
    let (Some(y), Some(x)) = (y.as_primitive_opt::<Float64Type>(), x.as_primitive_opt::<Float64Type>()) else {
        return internal_err!("moments of pairs got {} and {}", y.data_type(), x.data_type());
    };
    let (y_values, x_values) = (y.values(), x.values());
    if filter.is_none() && y.null_count() == 0 && x.null_count() == 0 {
        for (row, (y, x)) in y_values.iter().zip(x_values).enumerate() {
            add(row, *y, *x);
        }
        return Ok(());
    }
    for row in 0..y.len() {
        let is_chosen = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        if is_chosen && y.is_valid(row) && x.is_valid(row) {
            add(row, y_values[row], x_values[row]);
        }
    }
    Ok(())
}

/// The states as columns.
fn state_columns(groups: &[Moments]) -> Vec<ArrayRef> {
    let states: Vec<(u64, [f64; 5])> = groups.iter().map(|moments| moments.state()).collect();
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(UInt64Array::from_iter_values(states.iter().map(|(count, _)| *count)))];
    for index in 0..5 {
        columns.push(Arc::new(Float64Array::from_iter_values(states.iter().map(|(_, state)| state[index]))));
    }
    columns
}

impl GroupsAccumulator for MomentGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups, Moments::default());
        let groups = &mut self.groups;
        for_each_pair(values, opt_filter, |row, y, x| groups[group_indices[row]].add(y, x))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize(total_num_groups, Moments::default());
        let Some((counts, others)) = values.split_first() else { return internal_err!("moments without states") };
        let counts = counts.as_primitive::<UInt64Type>().values();
        let others: Vec<&Float64Array> = others.iter().map(|state| state.as_primitive::<Float64Type>()).collect();
        let Ok(others) = <[&Float64Array; 5]>::try_from(others) else {
            return internal_err!("moments with {} states", values.len());
        };
        for (row, (&group, &count)) in group_indices.iter().zip(counts).enumerate() {
            let other = Moments::from_state(count, others.map(|state| state.values()[row]));
            self.groups[group] = self.groups[group].merge(other);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let statistic = self.statistic;
        let results = self.taken(emit_to).into_iter().map(|moments| moments.finish(statistic));
        Ok(Arc::new(results.collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(state_columns(&self.taken(emit_to)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut states = vec![Moments::default(); values.first().map_or(0, |values| values.len())];
        for_each_pair(values, opt_filter, |row, y, x| states[row].add(y, x))?;
        Ok(state_columns(&states))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.groups.capacity() * size_of::<Moments>()
    }
}

/// The moments of all rows.
#[derive(Debug)]
pub(crate) struct MomentAccumulator {
    statistic: Statistic,
    moments: Moments,
}

impl MomentAccumulator {
    pub(crate) fn new(statistic: Statistic) -> Self {
        Self { statistic, moments: Moments::default() }
    }
}

impl Accumulator for MomentAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let moments = &mut self.moments;
        for_each_pair(values, None, |_, y, x| moments.add(y, x))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |states| states.len());
        let mut groups = MomentGroups { statistic: self.statistic, groups: vec![self.moments] };
        groups.merge_batch(states, &vec![0; rows], 1)?;
        self.moments = groups.groups.pop().unwrap_or_default();
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (count, others) = self.moments.state();
        Ok(std::iter::once(ScalarValue::from(count)).chain(others.map(ScalarValue::from)).collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.moments.finish(self.statistic)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

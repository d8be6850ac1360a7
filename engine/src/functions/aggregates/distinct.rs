//! `count`, `sum`, `avg`, `var_*` and `stddev_*` of DISTINCT values, over many groups.
//!
//! ```text
//!  rows               GroupedValues                     inner accumulator
//!  group  value       (0, 'billing')   new      ----->  count of group 0 = 1
//!    0    'billing'   (1, 'billing')   new      ----->  count of group 1 = 1
//!    1    'billing'
//!    0    'billing'   known            -----x
//! ```
//! DataFusion has a boxed set for each group, of some hundred bytes to 20 KB, which it does not account for in full. Here one set
//! holds the pairs of all groups, 8 or 12 bytes each, and what is new goes to the accumulator of the function without DISTINCT.
//!
//! States: a list of values per group, as DataFusion's; of strings as `LargeUtf8`. States of any partitions merge in any order.
//! Memory: [`DistinctGroups::size`] is what the tables have allocated, and they grow in steps of a hundredth.
//! NULL: not counted. -0.0 and NaN: made canonical before, by the rule `float_equality`.

mod domain;
mod grouped_values;
mod interner;
mod pairs;
mod sharded_table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{cast, filter};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, internal_err};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use self::domain::Domain;
use self::grouped_values::{GroupedValues, selected_rows};

/// Whether distinct values of a type are stored by [`DistinctGroups`].
pub(crate) fn is_supported(data_type: &DataType) -> bool {
    Domain::new(data_type).is_some()
}

/// Whether [`DistinctCount`] replaces DataFusion's accumulator of a single group, so that the states are of one type.
pub(crate) fn is_interned(data_type: &DataType) -> bool {
    matches!(Domain::new(data_type), Some(Domain::Strings | Domain::Binaries))
}

/// The state of a distinct count of strings; other states have the type that DataFusion gives them.
pub(crate) fn state_field(name: &str, data_type: &DataType) -> Option<FieldRef> {
    let domain = Domain::new(data_type).filter(|domain| matches!(domain, Domain::Strings | Domain::Binaries))?;
    let item = Field::new_list_field(domain.state_type(domain::value_type(data_type)), true);
    Some(Arc::new(Field::new_list(format_state_name(name, "count distinct"), item, false)))
}

fn grouped_values(data_type: &DataType) -> Result<GroupedValues> {
    match Domain::new(data_type) {
        Some(domain) => Ok(GroupedValues::new(domain, data_type)),
        None => internal_err!("distinct values of {data_type}"),
    }
}

fn only<'a>(columns: &'a [ArrayRef], what: &str) -> Result<&'a ArrayRef> {
    match columns {
        [column] => Ok(column),
        _ => internal_err!("{what} of {} columns", columns.len()),
    }
}

/// The values of lists, and the group of each value.
fn flattened(lists: &ArrayRef, groups: &[usize]) -> Result<(ArrayRef, Vec<usize>)> {
    let lists: &ListArray =
        lists.as_list_opt().ok_or_else(|| internal_datafusion_err!("distinct values in {}", lists.data_type()))?;
    let offsets = lists.offsets();
    let start = offsets.first().copied().unwrap_or_default() as usize;
    let end = offsets.last().copied().unwrap_or_default() as usize;
    let mut of_values = Vec::with_capacity(end - start);
    for (group, length) in groups.iter().zip(offsets.lengths()) {
        of_values.resize(of_values.len() + length, *group);
    }
    Ok((lists.values().slice(start, end - start), of_values))
}

/// See the page of this module.
pub(crate) struct DistinctGroups {
    values: GroupedValues,
    /// The function without DISTINCT, which gets the values that are new to their group.
    inner: Box<dyn GroupsAccumulator>,
    /// The type of the values in states.
    state_type: DataType,
}

impl fmt::Debug for DistinctGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistinctGroups").field("state_type", &self.state_type).finish_non_exhaustive()
    }
}

impl DistinctGroups {
    /// `state`: the state field of the function, a list of values.
    ///
    /// # Errors
    /// A type that is not supported.
    pub(crate) fn new(inner: Box<dyn GroupsAccumulator>, data_type: &DataType, state: &DataType) -> Result<Self> {
        let DataType::List(item) = state else { return internal_err!("distinct values in {state}") };
        Ok(Self { values: grouped_values(data_type)?, inner, state_type: item.data_type().clone() })
    }

    /// Lists in the declared type: of decimals, sums and averages declare more digits than the values have.
    fn declared(&self, values: ArrayRef, offsets: OffsetBuffer<i32>) -> Result<ArrayRef> {
        let values = if *values.data_type() == self.state_type { values } else { cast(&values, &self.state_type)? };
        let field = Arc::new(Field::new_list_field(self.state_type.clone(), true));
        Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
    }
}

impl GroupsAccumulator for DistinctGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        opt_filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let is_new = self.values.insert(only(values, "distinct values")?, groups, opt_filter, count)?;
        self.inner.update_batch(values, groups, Some(&BooleanArray::new(is_new, None)), count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.values.forget(emit_to);
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        // the inner state follows from the values
        drop(self.inner.state(emit_to)?);
        let (_, offsets, values, _) = self.values.take(emit_to)?.into_parts();
        Ok(vec![self.declared(values, offsets)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        let (values, groups) = flattened(only(states, "states of distinct values")?, groups)?;
        let values = self.values.state_values(&values)?;
        let is_new = self.values.insert(&values, &groups, None, count)?;
        self.inner.update_batch(&[values], &groups, Some(&BooleanArray::new(is_new, None)), count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = only(values, "distinct values")?;
        let state = match selected_rows(values, opt_filter) {
            None => self.declared(Arc::clone(values), OffsetBuffer::from_lengths((0..values.len()).map(|_| 1)))?,
            Some(selected) => {
                let offsets = OffsetBuffer::from_lengths(selected.iter().map(usize::from));
                self.declared(filter(values, &BooleanArray::new(selected, None))?, offsets)?
            }
        };
        Ok(vec![state])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size() + self.inner.size()
    }
}

/// `count(distinct x)` of strings in one group: a query without GROUP BY, or a frame that only grows.
#[derive(Debug)]
pub(crate) struct DistinctCount {
    values: GroupedValues,
}

impl DistinctCount {
    /// # Errors
    /// A type that is not supported.
    pub(crate) fn new(data_type: &DataType) -> Result<Self> {
        Ok(Self { values: grouped_values(data_type)? })
    }

    fn insert(&mut self, values: &ArrayRef) -> Result<()> {
        self.values.insert(values, &vec![0; values.len()], None, 1)?;
        Ok(())
    }
}

impl Accumulator for DistinctCount {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.insert(only(values, "distinct values")?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.values.len() as i64)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let lists = match self.values.len() {
            0 => {
                let field = Arc::new(Field::new_list_field(self.values.state_type(), true));
                let values = datafusion::arrow::array::new_empty_array(field.data_type());
                ListArray::try_new(field, OffsetBuffer::new(vec![0, 0].into()), values, None)?
            }
            _ => self.values.take(EmitTo::All)?,
        };
        Ok(vec![ScalarValue::List(Arc::new(lists))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = only(states, "states of distinct values")?;
        let (values, _) = flattened(lists, &vec![0; lists.len()])?;
        self.insert(&values)
    }
}

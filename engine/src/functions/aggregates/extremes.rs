//! `min` and `max` of floats in which NaN is the largest value and -0.0 equals 0.0.
//!
//! Formula: the least and the greatest value in the order -inf < ... < 0 < ... < inf < NaN.
//! NULL:    skipped; no rows left gives NULL.
//! Edges:   `max` is NaN if one value is, `min` only if all are; zeros and NaN come out as 0.0 and the positive NaN.
//! Source:  PostgreSQL 17, 8.1.3 ("treats NaN values as equal, and greater than all non-NaN values"); DuckDB 1.4 likewise.
//!
//! DataFusion's groups start with the largest finite value and compare with `<`: infinities become 1.8e308, and NaN counts
//! or not depending on the order of rows.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::sliding::TwoStacks;
use crate::functions::canonical_float::FloatType;

fn least(left: f64, right: f64) -> f64 {
    // NaN is larger than all: the other one is the least
    if right.is_nan() || left < right { left } else { right }
}

fn greatest(left: f64, right: f64) -> f64 {
    if right.is_nan() || left < right { right } else { left }
}

fn merge(is_max: bool) -> fn(f64, f64) -> f64 {
    if is_max { greatest } else { least }
}

/// The values as doubles, which hold halves and singles exactly.
fn doubles(values: &[ArrayRef]) -> Result<ArrayRef> {
    match values {
        [values] if values.data_type().is_floating() => Ok(cast(values, &DataType::Float64)?),
        _ => internal_err!("an extreme of other columns than one of floats"),
    }
}

fn declared(value: Option<f64>, data_type: &DataType) -> Result<ScalarValue> {
    ScalarValue::Float64(value.map(Float64Type::canonical)).cast_to(data_type)
}

/// One extreme.
#[derive(Debug)]
pub(crate) struct ExtremeAccumulator {
    data_type: DataType,
    is_max: bool,
    value: Option<f64>,
}

impl ExtremeAccumulator {
    pub(crate) fn new(data_type: DataType, is_max: bool) -> Self {
        Self { data_type, is_max, value: None }
    }
}

impl Accumulator for ExtremeAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = doubles(values)?;
        let merge = merge(self.is_max);
        self.value = values.as_primitive::<Float64Type>().iter().flatten().chain(self.value).reduce(merge);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        declared(self.value, &self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// An extreme over a sliding frame.
#[derive(Debug)]
pub(crate) struct SlidingExtreme {
    data_type: DataType,
    values: TwoStacks<f64>,
}

impl SlidingExtreme {
    pub(crate) fn new(data_type: DataType, is_max: bool) -> Self {
        Self { data_type, values: TwoStacks::new(merge(is_max)) }
    }
}

impl Accumulator for SlidingExtreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = doubles(values)?;
        values.as_primitive::<Float64Type>().iter().flatten().for_each(|value| self.values.push(value));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else { return internal_err!("an extreme of {} columns", values.len()) };
        (0..values.len() - values.logical_null_count()).for_each(|_| self.values.pop());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        declared(self.values.total(), &self.data_type)
    }

    fn size(&self) -> usize {
        self.values.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a sliding extreme has no state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a sliding extreme has no state")
    }
}

/// The extremes of many groups.
pub(crate) fn groups_accumulator(data_type: &DataType, is_max: bool) -> Result<Box<dyn GroupsAccumulator>> {
    Ok(match data_type {
        DataType::Float16 => Box::new(ExtremeGroups::<Float16Type>::new(is_max)),
        DataType::Float32 => Box::new(ExtremeGroups::<Float32Type>::new(is_max)),
        DataType::Float64 => Box::new(ExtremeGroups::<Float64Type>::new(is_max)),
        other => return internal_err!("an extreme of {other}"),
    })
}

struct ExtremeGroups<T: FloatType> {
    is_max: bool,
    values: Vec<Option<T::Native>>,
}

impl<T: FloatType> ExtremeGroups<T> {
    fn new(is_max: bool) -> Self {
        Self { is_max, values: vec![] }
    }
}

impl<T: FloatType> GroupsAccumulator for ExtremeGroups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let [values] = values else { return internal_err!("an extreme of {} columns", values.len()) };
        let Some(values) = values.as_primitive_opt::<T>() else {
            return internal_err!("an extreme of {}", values.data_type());
        };
        self.values.resize(count, None);
        for (row, group) in groups.iter().enumerate() {
            let is_counted =
                values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            let Some(best) = self.values.get_mut(*group).filter(|_| is_counted) else { continue };
            let value = values.value(row);
            *best = Some(match *best {
                None => value,
                Some(best) => {
                    // the larger one, NaN above all
                    let is_larger = T::is_nan(value) || best < value;
                    if is_larger == self.is_max { value } else { best }
                }
            });
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = emit_to.take_needed(&mut self.values);
        Ok(Arc::new(values.into_iter().map(|value| value.map(T::canonical)).collect::<PrimitiveArray<T>>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.update_batch(states, groups, None, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let [values] = values else { return internal_err!("an extreme of {} columns", values.len()) };
        let Some(filter) = filter else { return Ok(vec![Arc::clone(values)]) };
        // rows that are not counted become NULL
        let dropped: BooleanArray = filter.iter().map(|is_counted| Some(is_counted != Some(true))).collect();
        Ok(vec![datafusion::arrow::compute::nullif(values, &dropped)?])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<T::Native>>()
    }
}

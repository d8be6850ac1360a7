//! `avg` of decimals, rounded half away from zero at the last digit of DataFusion's type; DataFusion truncates.
//!
//! Formula: sum / count with four more digits than the values, the sum in 128 bits.
//! NULL:    skipped; no rows left gives NULL.
//! Edges:   a sum beyond 38 digits, or an average beyond the type, is an error.
//! Source:  PostgreSQL 17 and DuckDB 1.4 round. Averages of decimals of more than 38 digits are left to DataFusion.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, UInt64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, UInt64Type, i256};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::sum::distinct_values;
use crate::functions::exact::rounded_quotient;

fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}

/// The scale of the averaged column.
pub(crate) fn input_scale(fields: &[FieldRef]) -> i8 {
    fields.first().map_or(0, |field| scale_of(field.data_type()))
}

fn sum_type(scale: i8) -> DataType {
    DataType::Decimal128(38, scale)
}

pub(crate) fn state_fields(name: &str, _return_type: &DataType, fields: &[FieldRef]) -> Vec<FieldRef> {
    vec![
        Arc::new(Field::new(format_state_name(name, "count"), DataType::UInt64, true)),
        Arc::new(Field::new(format_state_name(name, "sum"), sum_type(input_scale(fields)), true)),
    ]
}

/// Sum and count of one group.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Average {
    sum: i128,
    count: u64,
}

impl Average {
    fn merge(&mut self, sum: i128, count: u64) -> Result<()> {
        self.sum = self.sum.checked_add(sum).ok_or_else(overflow)?;
        self.count += count;
        Ok(())
    }

    /// The average in units of 10^-to, of a sum in units of 10^-from.
    fn finish(self, from: i8, to: i8) -> Result<Option<i128>> {
        if self.count == 0 {
            return Ok(None);
        }
        let power = |digits: i16| i256::from_i128(10).checked_pow(u32::from(digits.max(0).unsigned_abs()));
        let shift = i16::from(to) - i16::from(from);
        let dividend = power(shift).and_then(|power| i256::from_i128(self.sum).checked_mul(power));
        let divisor = power(-shift).and_then(|power| i256::from_i128(i128::from(self.count)).checked_mul(power));
        let quotient = dividend.zip(divisor).and_then(|(dividend, divisor)| rounded_quotient(dividend, divisor));
        let limit = 10_u128.pow(38);
        let quotient = quotient.and_then(i256::to_i128).filter(|quotient| quotient.unsigned_abs() < limit);
        quotient.map(Some).ok_or_else(overflow)
    }
}

fn overflow() -> DataFusionError {
    exec_datafusion_err!("an average of decimals has more than 38 digits; write avg(cast(... as double))")
}

/// Averages in units of the last digit as the declared type.
fn declared(averages: Vec<Option<i128>>, data_type: &DataType) -> Result<ArrayRef> {
    let wide = Decimal128Array::from(averages).with_precision_and_scale(38, scale_of(data_type))?;
    let wide: ArrayRef = Arc::new(wide);
    cast(&wide, data_type).map_err(|error| DataFusionError::from(error).context("avg of decimals"))
}

/// The values in 128 bits with the scale of the column.
fn values_of(values: &ArrayRef, scale: i8) -> Result<Decimal128Array> {
    Ok(cast(values, &sum_type(scale))?.as_primitive::<Decimal128Type>().clone())
}

/// The average of one group, also over a sliding frame.
#[derive(Debug)]
pub(crate) struct AverageAccumulator {
    data_type: DataType,
    scale: i8,
    average: Average,
}

impl AverageAccumulator {
    pub(crate) fn new(data_type: DataType, scale: i8) -> Self {
        Self { data_type, scale, average: Average::default() }
    }
}

impl Accumulator for AverageAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else { return internal_err!("an average of {} columns", values.len()) };
        values_of(values, self.scale)?.iter().flatten().try_for_each(|value| self.average.merge(value, 1))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else { return internal_err!("an average of {} columns", values.len()) };
        for value in values_of(values, self.scale)?.iter().flatten() {
            self.average.sum = self.average.sum.checked_sub(value).ok_or_else(overflow)?;
            self.average.count = self.average.count.saturating_sub(1);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let average = self.average.finish(self.scale, scale_of(&self.data_type))?;
        ScalarValue::try_from_array(&declared(vec![average], &self.data_type)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Average { sum, count } = self.average;
        let sum = (count > 0).then_some(sum);
        Ok(vec![ScalarValue::UInt64(Some(count)), ScalarValue::Decimal128(sum, 38, self.scale)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (counts, sums) = state_columns(states)?;
        for (count, sum) in counts.iter().zip(sums) {
            self.average.merge(sum.unwrap_or_default(), count.unwrap_or_default())?;
        }
        Ok(())
    }
}

fn state_columns(states: &[ArrayRef]) -> Result<(&UInt64Array, &Decimal128Array)> {
    match states {
        [counts, sums] => match (counts.as_primitive_opt::<UInt64Type>(), sums.as_primitive_opt::<Decimal128Type>()) {
            (Some(counts), Some(sums)) => Ok((counts, sums)),
            _ => internal_err!("averages from {} and {}", counts.data_type(), sums.data_type()),
        },
        _ => internal_err!("averages from {} columns", states.len()),
    }
}

/// `avg(distinct x)`: DataFusion collects the values, which are averaged here.
#[derive(Debug)]
pub(crate) struct DistinctAverage {
    inner: Box<dyn Accumulator>,
    data_type: DataType,
    scale: i8,
}

impl DistinctAverage {
    pub(crate) fn new(inner: Box<dyn Accumulator>, data_type: DataType, scale: i8) -> Self {
        Self { inner, data_type, scale }
    }
}

impl Accumulator for DistinctAverage {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut average = AverageAccumulator::new(self.data_type.clone(), self.scale);
        average.update_batch(&[distinct_values(&mut self.inner)?])?;
        average.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

/// The averages of many groups.
pub(crate) struct AverageGroups {
    data_type: DataType,
    scale: i8,
    averages: Vec<Average>,
}

impl AverageGroups {
    pub(crate) fn new(data_type: DataType, scale: i8) -> Self {
        Self { data_type, scale, averages: vec![] }
    }
}

impl GroupsAccumulator for AverageGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let [values] = values else { return internal_err!("an average of {} columns", values.len()) };
        let values = values_of(values, self.scale)?;
        self.averages.resize(count, Average::default());
        for (row, group) in groups.iter().enumerate() {
            let is_counted =
                values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let Some(average) = self.averages.get_mut(*group).filter(|_| is_counted) {
                average.merge(values.value(row), 1)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let averages = emit_to.take_needed(&mut self.averages).into_iter();
        let averages = averages.map(|average| average.finish(self.scale, scale_of(&self.data_type)));
        declared(averages.collect::<Result<_>>()?, &self.data_type)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let averages = emit_to.take_needed(&mut self.averages);
        let counts: UInt64Array = averages.iter().map(|average| average.count).collect::<Vec<_>>().into();
        let sums: Decimal128Array = averages.iter().map(|average| Some(average.sum)).collect();
        Ok(vec![Arc::new(counts), Arc::new(sums.with_precision_and_scale(38, self.scale)?)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        let (counts, sums) = state_columns(states)?;
        self.averages.resize(count, Average::default());
        for ((group, count), sum) in groups.iter().zip(counts).zip(sums) {
            if let Some(average) = self.averages.get_mut(*group) {
                average.merge(sum.unwrap_or_default(), count.unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let [values] = values else { return internal_err!("an average of {} columns", values.len()) };
        let values = values_of(values, self.scale)?;
        let is_counted =
            |row| values.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let counts: UInt64Array = (0..values.len()).map(|row| u64::from(is_counted(row))).collect::<Vec<_>>().into();
        let sums: Decimal128Array = (0..values.len()).map(|row| is_counted(row).then(|| values.value(row))).collect();
        Ok(vec![Arc::new(counts), Arc::new(sums.with_precision_and_scale(38, self.scale)?)])
    }

    fn size(&self) -> usize {
        self.averages.capacity() * size_of::<Average>()
    }
}

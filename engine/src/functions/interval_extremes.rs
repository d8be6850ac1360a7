//! [`IntervalExtreme`] and [`IntervalSelection`]: `min`, `max`, `least` and `greatest` of intervals by their length.
//!
//! Formula: the value with the smallest or greatest length ([`super::interval_key`]); of equal ones the first that was met.
//! Units:   intervals of any unit in, the same out.
//! NULL:    skipped; no value left gives NULL.
//! Edges:   `interval '24 hours'` and `interval '1 day'` are equal, and either may be the result.
//! Source:  PostgreSQL `interval_smaller`, `interval_larger`. DataFusion 55.2 compares the parts one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, IntervalMonthDayNanoArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNano};
use datafusion::common::utils::take_function_args;
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::interval_key::{INTERVAL, as_month_day_nano, length};

fn intervals(values: &ArrayRef) -> Result<IntervalMonthDayNanoArray> {
    match as_month_day_nano(values) {
        Some(intervals) => Ok(intervals),
        None => internal_err!("an interval was expected, not {}", values.data_type()),
    }
}

/// `min(x)` or `max(x)` of intervals. The analyzer rule `IntervalComparison` puts it in place of DataFusion's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct IntervalExtreme {
    is_max: bool,
    signature: Signature,
}

impl IntervalExtreme {
    pub(crate) fn udf(is_max: bool) -> AggregateUDF {
        AggregateUDF::from(Self { is_max, signature: Signature::any(1, Volatility::Immutable) })
    }
}

impl AggregateUDFImpl for IntervalExtreme {
    fn name(&self) -> &str {
        if self.is_max { "max" } else { "min" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format!("{}[{}]", args.name, self.name());
        Ok(vec![Arc::new(datafusion::arrow::datatypes::Field::new(name, INTERVAL, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Extreme { is_max: self.is_max, best: None }))
    }

    fn create_sliding_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SlidingExtreme { is_max: self.is_max, values: BTreeMap::new() }))
    }
}

/// The best value so far, with its length.
#[derive(Debug)]
struct Extreme {
    is_max: bool,
    best: Option<(i128, IntervalMonthDayNano)>,
}

impl Accumulator for Extreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = take_function_args("an extreme", values)?;
        for value in intervals(values)?.iter().flatten() {
            let length = length(value);
            let is_better = self.best.is_none_or(|(best, _)| if self.is_max { length > best } else { length < best });
            if is_better {
                self.best = Some((length, value));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::IntervalMonthDayNano(self.best.map(|(_, value)| value)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The values of a frame by length, with their counts.
#[derive(Debug)]
struct SlidingExtreme {
    is_max: bool,
    values: BTreeMap<(i128, IntervalMonthDayNano), usize>,
}

impl Accumulator for SlidingExtreme {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = take_function_args("an extreme", values)?;
        for value in intervals(values)?.iter().flatten() {
            *self.values.entry((length(value), value)).or_default() += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = take_function_args("an extreme", values)?;
        for value in intervals(values)?.iter().flatten() {
            let key = (length(value), value);
            match self.values.get_mut(&key) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.values.remove(&key);
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let best = if self.is_max { self.values.last_key_value() } else { self.values.first_key_value() };
        Ok(ScalarValue::IntervalMonthDayNano(best.map(|((_, value), _)| *value)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.len() * size_of::<((i128, IntervalMonthDayNano), usize)>()
    }
}

/// `least(...)` or `greatest(...)` of intervals. The analyzer rule `IntervalComparison` puts it in place of DataFusion's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct IntervalSelection {
    is_greatest: bool,
    signature: Signature,
}

impl IntervalSelection {
    pub(crate) fn udf(is_greatest: bool) -> ScalarUDF {
        ScalarUDF::from(Self { is_greatest, signature: Signature::variadic_any(Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for IntervalSelection {
    fn name(&self) -> &str {
        if self.is_greatest { "greatest" } else { "least" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let mut best: Vec<Option<(i128, IntervalMonthDayNano)>> = vec![None; rows];
        for arg in &args.args {
            let values = cast(&arg.to_array(rows)?, &INTERVAL)?;
            for (value, best) in intervals(&values)?.iter().zip(&mut best) {
                let Some(value) = value else { continue };
                let length = length(value);
                let is_better = |best: &(i128, _)| if self.is_greatest { length > best.0 } else { length < best.0 };
                if best.as_ref().is_none_or(is_better) {
                    *best = Some((length, value));
                }
            }
        }
        let selected: IntervalMonthDayNanoArray = best.into_iter().map(|best| best.map(|(_, value)| value)).collect();
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&selected, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(selected))
        })
    }
}

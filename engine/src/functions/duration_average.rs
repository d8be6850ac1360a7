//! [`DurationAverage`]: `avg(x)` of durations.
//!
//! Formula: the sum, in 128 bits, divided by the number of values, rounded half away from zero.
//! Units:   durations of any unit in; microseconds out, nanoseconds of nanoseconds.
//! NULL:    skipped; no value left gives NULL.
//! Edges:   none: an average lies between its values.
//! Source:  PostgreSQL `avg(interval)`. DataFusion 55.2 sums in 64 bits, which wraps (292 years of nanoseconds: 35 million contacts of
//!          five minutes), and truncates to the unit of the values: 1 s for 1 s and 2 s.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, TimeUnit};
use datafusion::common::utils::take_function_args;
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::interval_key::duration_ticks;
use super::ticks_per_second;

/// See the module. The analyzer rule `IntervalComparison` puts it in place of DataFusion's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DurationAverage {
    signature: Signature,
}

impl DurationAverage {
    pub(crate) fn udf() -> AggregateUDF {
        AggregateUDF::from(Self { signature: Signature::any(1, Volatility::Immutable) })
    }
}

/// The unit of the average.
fn unit_of(data_type: &DataType) -> Result<TimeUnit> {
    match data_type {
        DataType::Duration(TimeUnit::Nanosecond) => Ok(TimeUnit::Nanosecond),
        DataType::Duration(_) => Ok(TimeUnit::Microsecond),
        other => internal_err!("an average of durations over {other}"),
    }
}

impl AggregateUDFImpl for DurationAverage {
    fn name(&self) -> &str {
        "avg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [value] = take_function_args(self.name(), arg_types)?;
        Ok(DataType::Duration(unit_of(value)?))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![
            Arc::new(Field::new(format!("{}[sum]", args.name), DataType::Decimal128(38, 0), true)),
            Arc::new(Field::new(format!("{}[count]", args.name), DataType::Int64, true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let unit = unit_of(args.return_field.data_type())?;
        Ok(Box::new(Average { unit, sum: 0, count: 0 }))
    }
}

/// Sum in ticks of `unit`, and number of values.
#[derive(Debug)]
struct Average {
    unit: TimeUnit,
    sum: i128,
    count: i64,
}

impl Average {
    fn add(&mut self, values: &[ArrayRef], sign: i128) -> Result<()> {
        let [values] = take_function_args("avg", values)?;
        let Some((unit, ticks)) = duration_ticks(values) else {
            return internal_err!("an average of durations over {}", values.data_type());
        };
        let factor = i128::from(ticks_per_second(self.unit) / ticks_per_second(unit));
        let valid = ticks.iter().enumerate().filter(|(row, _)| values.is_valid(*row));
        let sum: i128 = valid.map(|(_, ticks)| i128::from(*ticks)).sum();
        self.sum += sign * sum * factor;
        self.count += sign as i64 * (values.len() - values.null_count()) as i64;
        Ok(())
    }
}

impl Accumulator for Average {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [sums, counts] = take_function_args("avg", states)?;
        self.sum += sums.as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>();
        self.count += counts.as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let count = i128::from(self.count);
        let average = (count > 0).then(|| {
            let half = count / 2 * self.sum.signum();
            // an average lies between its values, except that coarse units become finer ones
            i64::try_from((self.sum + half) / count)
        });
        let average = match average.transpose() {
            Ok(average) => average,
            Err(_) => return datafusion::common::exec_err!("an average of durations is beyond the range of 64 bits"),
        };
        Ok(match self.unit {
            TimeUnit::Nanosecond => ScalarValue::DurationNanosecond(average),
            _ => ScalarValue::DurationMicrosecond(average),
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(Some(self.sum), 38, 0), ScalarValue::Int64(Some(self.count))])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

//! `saturating_cast(x)`: a date or timestamp as a timestamp of a finer unit; beyond its range the least or largest one. No SQL
//! name: the rule `timestamp_comparison` puts it around compared values, whose order it keeps.
//!
//! Units:  nanoseconds reach from 1677 to 2262, so that the usual `9999-12-31` for "never" is beyond them.
//! NULL:   gives NULL.
//! Edges:  all values beyond the range are equal to one another, and to the last nanosecond within.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::local_time::{midnights, ticks, timestamps, to_unit};
use super::temporal_cast::{TemporalCast, is_repaired};

/// See the page of this module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SaturatingCast {
    target: DataType,
    signature: Signature,
}

impl SaturatingCast {
    pub(crate) fn udf(target: DataType) -> ScalarUDF {
        ScalarUDF::from(Self { target, signature: Signature::any(1, Volatility::Immutable) })
    }
}

/// Dates and timestamps as a timestamp of this type.
pub(crate) fn saturating_cast(values: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, zone) = target else { return internal_err!("a saturating cast to {target}") };
    let is_timestamp = matches!(values.data_type(), DataType::Timestamp(..));
    let result = if is_repaired(values.data_type(), target) {
        TemporalCast::try_to(target.clone()).of(values)?
    } else if is_timestamp {
        to_unit(values, *unit, true)?
    } else {
        midnights(values, *unit, true)?
    };
    let result = ticks(&result)?;
    if result.null_count() == values.null_count() {
        return Ok(timestamps(&result, *unit, zone.clone()));
    }
    let signs = if is_timestamp { ticks(values)? } else { ticks(&midnights(values, TimeUnit::Second, true)?)? };
    let saturated = result
        .iter()
        .zip(&signs)
        .map(|(result, sign)| result.or_else(|| sign.map(|sign| if sign < 0 { i64::MIN } else { i64::MAX })));
    Ok(timestamps(&saturated.collect::<Int64Array>(), *unit, zone.clone()))
}

impl ScalarUDFImpl for SaturatingCast {
    fn name(&self) -> &str {
        "saturating_cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.target.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [value] = take_function_args(self.name(), args.arg_fields)?;
        Ok(Arc::new(Field::new(self.name(), self.target.clone(), value.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = take_function_args(self.name(), args.args)?;
        Ok(match value {
            ColumnarValue::Array(values) => ColumnarValue::Array(saturating_cast(&values, &self.target)?),
            ColumnarValue::Scalar(value) => {
                let cast = saturating_cast(&value.to_array()?, &self.target)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?)
            }
        })
    }
}

//! `saturating_cast(x)`: a date or timestamp as a timestamp of a finer unit; beyond its range the least or largest one. No SQL
//! name: the rule `timestamp_comparison` puts it around compared values, whose order it keeps.
//!
//! Units:  nanoseconds reach from 1677 to 2262, so that the usual `9999-12-31` for "never" is beyond them.
//! NULL:   gives NULL.
//! Edges:  all values beyond the range are equal to one another, and to the last nanosecond within.
//!
//! Compared with a constant, also one that is known only when the query begins such as `now()`, a timestamp
//! is compared in its own unit, so that statistics of Parquet prune: `at >= '00:00:00.0000005'` in nanoseconds
//! is `at >= '00:00:00.000001'` in microseconds.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::local_time::{midnights, ticks, timestamps, to_unit};
use super::temporal_cast::{TemporalCast, is_repaired};
use super::ticks_per_second;

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

    fn preimage(&self, args: &[Expr], value: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        let ([expr], Some(value)) = (args, value.as_literal()) else { return Ok(PreimageResult::None) };
        let DataType::Timestamp(unit, zone) = expr.get_type(info.schema())? else { return Ok(PreimageResult::None) };
        let Some((lower, upper)) = source_ticks(value, unit, zone.as_ref(), &self.target) else {
            return Ok(PreimageResult::None);
        };
        let bound = |ticks| timestamp(ticks, unit, zone.clone());
        let interval = Box::new(Interval::try_new(bound(lower), bound(upper))?);
        Ok(PreimageResult::Range { expr: expr.clone(), interval })
    }
}

/// The first tick of a coarser unit that is cast to at least `value`, and the first that is cast to more: the same one if
/// none is cast to it. `None` where values are saturated, and between local times and points in time.
fn source_ticks(value: &ScalarValue, unit: TimeUnit, zone: Option<&Arc<str>>, target: &DataType) -> Option<(i64, i64)> {
    let DataType::Timestamp(finer, target_zone) = target else { return None };
    // points in time are the same in every zone, local times have none
    if value.data_type() != *target || target_zone.is_some() != zone.is_some() {
        return None;
    }
    let ticks = match value {
        ScalarValue::TimestampMillisecond(ticks, _)
        | ScalarValue::TimestampMicrosecond(ticks, _)
        | ScalarValue::TimestampNanosecond(ticks, _) => (*ticks)?,
        _ => return None,
    };
    if ticks == i64::MIN || ticks == i64::MAX {
        return None;
    }
    let factor = ticks_per_second(*finer) / ticks_per_second(unit);
    if factor < 2 {
        return None;
    }
    let (floor, is_between) = (ticks.div_euclid(factor), ticks.rem_euclid(factor) != 0);
    Some((floor + i64::from(is_between), floor + 1))
}

/// A timestamp of a unit.
pub(super) fn timestamp(ticks: i64, unit: TimeUnit, zone: Option<Arc<str>>) -> ScalarValue {
    match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(Some(ticks), zone),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(ticks), zone),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(ticks), zone),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(ticks), zone),
    }
}

//! `date_part`, `date_trunc` and `date_bin` of timestamps whose time zone is not UTC: on the local time of the zone.
//!
//! Formula: the local time is computed, the function runs on it, and the result is a time of the zone again. Hours and shorter
//!          periods keep the offset of the timestamp, so that both hours of an autumn night stay apart; for longer periods see
//!          [`super::local_time`]. `epoch` needs no zone.
//! Source:  PostgreSQL `timestamptz_trunc`, which does the same; its `date_bin` knows no zones. DataFusion 55.2 bins by UTC days, and
//!          fails where a day begins with a clock change.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::extract::plain_field;
use super::local_time::{LocalClock, as_local, from_local, ticks, timestamps, with_seconds};
use super::{calendar, overrides::without_utc, ticks_per_second};

const HOUR_NS: i64 = 3_600_000_000_000;

/// The result; `None` if the value's time zone is UTC, or if it has none.
pub(super) fn invoke(function: &Arc<ScalarUDF>, args: &ScalarFunctionArgs) -> Result<Option<ColumnarValue>> {
    let Some(value) = args.args.get(1) else { return Ok(None) };
    let data_type = value.data_type();
    let DataType::Timestamp(unit, Some(zone)) = &data_type else { return Ok(None) };
    let name = match &args.args[0] {
        ColumnarValue::Scalar(name) => name.try_as_str().flatten().map(plain_field).unwrap_or_default(),
        ColumnarValue::Array(_) => String::new(),
    };
    let is_epoch = function.name() == "date_part" && name == "epoch";
    if without_utc(&data_type).is_some() && !is_epoch {
        return Ok(None);
    }
    let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let values = value.to_array(if is_scalar { 1 } else { args.number_rows })?;
    let result = if is_epoch {
        seconds(&ticks(&values)?, ticks_per_second(*unit))
    } else if keeps_offset(function.name(), &name, &args.args[0]) {
        let utc = ticks(&values)?;
        let mut clock = LocalClock::new(zone)?;
        let second = ticks_per_second(*unit);
        let offsets = with_seconds(&utc, *unit, true, |utc| clock.offset(utc))?;
        let starts = ticks(&local_result(function, args, &as_local(&values, false)?)?)?;
        // `with_seconds` keeps fractions of a second, an offset has none
        let shifted = starts.iter().zip(utc.iter().zip(offsets.iter())).map(|(start, (utc, offset))| {
            let offset = offset? - utc?.rem_euclid(second);
            start?.checked_sub(offset)
        });
        timestamps(&shifted.collect::<Int64Array>(), *unit, Some(Arc::clone(zone)))
    } else {
        let result = local_result(function, args, &as_local(&values, false)?)?;
        match result.data_type() {
            DataType::Timestamp(..) => from_local(&result, zone, Some(Arc::clone(zone)), false)?,
            _ => result,
        }
    };
    Ok(Some(if is_scalar {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
    } else {
        ColumnarValue::Array(result)
    }))
}

/// Seconds since 1970 with their fraction.
fn seconds(ticks: &Int64Array, second: i64) -> ArrayRef {
    let seconds = |ticks: i64| (ticks / second) as f64 + (ticks % second) as f64 / second as f64;
    Arc::new(ticks.unary::<_, Float64Type>(seconds)) as ArrayRef
}

/// Whether a period is an hour or shorter.
fn keeps_offset(function: &str, name: &str, stride: &ColumnarValue) -> bool {
    match (function, stride) {
        ("date_trunc", _) => matches!(name, "microsecond" | "millisecond" | "second" | "minute" | "hour"),
        ("date_bin", ColumnarValue::Scalar(stride)) => match stride.cast_to(&super::interval_key::INTERVAL) {
            Ok(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months: 0, days: 0, nanoseconds }))) => {
                nanoseconds > 0 && HOUR_NS % nanoseconds == 0
            }
            _ => false,
        },
        _ => false,
    }
}

/// The function of local times.
fn local_result(function: &Arc<ScalarUDF>, args: &ScalarFunctionArgs, local: &ArrayRef) -> Result<ArrayRef> {
    let rows = local.len();
    let mut values = vec![args.args[0].clone(), ColumnarValue::Array(Arc::clone(local))];
    for origin in args.args.iter().skip(2) {
        values.push(match origin {
            ColumnarValue::Array(origin) => ColumnarValue::Array(as_local(origin, false)?),
            ColumnarValue::Scalar(origin) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&as_local(&origin.to_array()?, false)?, 0)?)
            }
        });
    }
    if function.name() == "date_bin"
        && let Some(bins) = calendar::binned(&values)
    {
        return bins?.into_array(rows);
    }
    if let Some(result) = calendar::computed(function.name(), &values) {
        return result.into_array(rows);
    }
    let without = |data_type: &DataType| match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
        other => other.clone(),
    };
    let arg_fields =
        values.iter().map(|value| Arc::new(Field::new("value", value.data_type(), true))).collect::<Vec<_>>();
    let return_field = &args.return_field;
    let return_field = Arc::new(return_field.as_ref().clone().with_data_type(without(return_field.data_type())));
    let config_options = Arc::clone(&args.config_options);
    let args = ScalarFunctionArgs { args: values, arg_fields, number_rows: rows, return_field, config_options };
    function.inner().invoke_with_args(args)?.into_array(rows)
}

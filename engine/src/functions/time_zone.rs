//! [`TimeZone`]: `timezone(zone, value)`, which `value at time zone zone` calls.
//!
//! Formula: a timestamp or date without a time zone is read as local time of `zone` and becomes a timestamp with time zone, shown
//!          in the time zone of the session; a timestamp with time zone becomes the local time of `zone`, a timestamp without
//!          time zone. A string with an offset is that point in time, without one a local time of `zone`; both become a timestamp
//!          with time zone. A number is seconds since 1970 and becomes local time.
//! Units:   timestamps of any unit in, the same unit out; dates, strings and numbers become microseconds.
//! NULL:    NULL if one of both is NULL.
//! Edges:   local times at a change of the clock: [`super::local_time`].
//! Source:  PostgreSQL, section 9.9.4, whose function has this name; DuckDB has both too. DataFusion 55.2 plans AT TIME ZONE as a
//!          cast to nanoseconds, which does not tell the two apart.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::utils::take_function_args;
use datafusion::common::{ScalarValue, exec_datafusion_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::local_time::{LocalClock, midnights, ticks, timestamps, with_seconds};
use super::temporal_cast::string_timestamps;

/// The name of the function.
pub(crate) const TIME_ZONE_FUNCTION: &str = "timezone";

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "Local time of a zone as a timestamp with time zone, or a timestamp with time zone as local time; `value at time zone zone`.",
        "timezone(zone, value)",
    )
    .build()
});

/// The function; see the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimeZone {
    /// The time zone of the session, in which results are shown.
    session: Arc<str>,
    signature: Signature,
}

impl TimeZone {
    pub(crate) fn udf(config: &ConfigOptions) -> ScalarUDF {
        let session = config.execution.time_zone.as_deref().unwrap_or("UTC").into();
        ScalarUDF::from(Self { session, signature: Signature::user_defined(Volatility::Immutable) })
    }
}

/// The type of the values that are converted.
fn unit_of(data_type: &DataType) -> TimeUnit {
    match data_type {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Microsecond,
    }
}

impl ScalarUDFImpl for TimeZone {
    fn name(&self) -> &str {
        TIME_ZONE_FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [zone, value] = take_function_args(self.name(), arg_types)?;
        match zone {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {}
            other => {
                return plan_err!("AT TIME ZONE wants the name of a time zone, such as 'Europe/Berlin', not {other}");
            }
        }
        let value = match value {
            DataType::Timestamp(..) => value.clone(),
            DataType::Date32 | DataType::Date64 => DataType::Date32,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            DataType::Null => DataType::Timestamp(TimeUnit::Microsecond, None),
            number if number.is_integer() => DataType::Int64,
            number if number.is_numeric() => DataType::Float64,
            other => return plan_err!("AT TIME ZONE wants a timestamp, a date or a string, not {other}"),
        };
        Ok(vec![DataType::Utf8, value])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let [_, value] = take_function_args(self.name(), arg_types)?;
        let is_point = matches!(value, DataType::Timestamp(_, Some(_))) || value.is_numeric();
        Ok(DataType::Timestamp(unit_of(value), (!is_point).then(|| Arc::clone(&self.session))))
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        Some(Self::udf(config))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [zone, value] = take_function_args(self.name(), &args.args)?;
        let is_scalar = matches!((zone, value), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let values = value.to_array(rows)?;
        let converted = match zone {
            ColumnarValue::Scalar(zone) => match zone.try_as_str().flatten() {
                Some(zone) => self.in_zone(&values, zone)?,
                None => ScalarValue::try_from(args.return_field.data_type())?.to_array_of_size(rows)?,
            },
            ColumnarValue::Array(zones) => self.in_zones(&values, zones.as_string::<i32>())?,
        };
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?)
        } else {
            ColumnarValue::Array(converted)
        })
    }
}

/// Numbers as points in time, dates as midnights.
fn plain(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Date32 => midnights(values, TimeUnit::Microsecond, false)?,
        DataType::Int64 | DataType::Float64 => {
            let seconds = cast(values, &DataType::Float64)?;
            let micros = seconds.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
            let micros: Int64Array = micros.try_unary(|seconds| {
                let micros = (seconds * 1e6).round();
                let is_within = micros.abs() < i64::MAX as f64;
                is_within
                    .then_some(micros as i64)
                    .ok_or_else(|| exec_datafusion_err!("{seconds} seconds are beyond the range"))
            })?;
            timestamps(&micros, TimeUnit::Microsecond, Some("UTC".into()))
        }
        _ => Arc::clone(values),
    })
}

impl TimeZone {
    fn in_zone(&self, values: &ArrayRef, zone: &str) -> Result<ArrayRef> {
        if values.data_type() == &DataType::Utf8 {
            let at = string_timestamps(values.as_string(), TimeUnit::Microsecond, Some(zone.into()), false)?;
            return Ok(timestamps(&ticks(&at)?, TimeUnit::Microsecond, Some(Arc::clone(&self.session))));
        }
        let mut clock = LocalClock::new(zone)?;
        self.converted(values, Some(&mut clock))
    }

    fn in_zones(&self, values: &ArrayRef, zones: &StringArray) -> Result<ArrayRef> {
        if values.data_type() == &DataType::Utf8 {
            let strings = values.as_string::<i32>();
            let rows = (0..strings.len()).map(|row| {
                if strings.is_null(row) || zones.is_null(row) {
                    return Ok(None);
                }
                let zone: Arc<str> = zones.value(row).into();
                let at = string_timestamps(&strings.slice(row, 1), TimeUnit::Microsecond, Some(zone), false)?;
                Ok(Some(ticks(&at)?.value(0)))
            });
            let at: Int64Array = rows.collect::<Result<_>>()?;
            return Ok(timestamps(&at, TimeUnit::Microsecond, Some(Arc::clone(&self.session))));
        }
        let mut clocks: HashMap<&str, LocalClock> = HashMap::new();
        for zone in zones.iter().flatten() {
            if !clocks.contains_key(zone) {
                clocks.insert(zone, LocalClock::new(zone)?);
            }
        }
        let converted = (0..values.len()).map(|row| {
            let zone = (!zones.is_null(row)).then(|| zones.value(row));
            let clock = zone.and_then(|zone| clocks.get_mut(zone));
            let value = self.converted(&values.slice(row, 1), clock)?;
            let ticks = ticks(&value)?;
            Ok((!ticks.is_null(0)).then(|| ticks.value(0)))
        });
        let converted: Int64Array = converted.collect::<Result<_>>()?;
        let DataType::Timestamp(unit, zone) = self.return_type(&[DataType::Utf8, values.data_type().clone()])? else {
            return Ok(Arc::new(converted));
        };
        Ok(timestamps(&converted, unit, zone))
    }

    /// The values by a clock; NULL where there is none.
    fn converted(&self, values: &ArrayRef, clock: Option<&mut LocalClock>) -> Result<ArrayRef> {
        let values = plain(values)?;
        let (is_point, unit) = match values.data_type() {
            DataType::Timestamp(unit, zone) => (zone.is_some(), *unit),
            _ => (false, TimeUnit::Microsecond),
        };
        let zone = (!is_point).then(|| Arc::clone(&self.session));
        let Some(clock) = clock else { return Ok(timestamps(&Int64Array::new_null(values.len()), unit, zone)) };
        let converted = with_seconds(&ticks(&values)?, unit, false, |seconds| {
            if is_point { seconds.checked_add(clock.offset(seconds)?) } else { clock.utc(seconds) }
        })?;
        Ok(timestamps(&converted, unit, zone))
    }
}

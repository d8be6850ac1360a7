//! [`TryToTimestamp`] and [`TryToDate`]: `try_to_timestamp(text [, format, ...])` and `try_to_date(text [, format, ...])`, which
//! return NULL for what is no date.
//!
//! Formula: the first format that reads the whole string; without a format, the spellings that a cast reads. Formats are those of
//!          `to_timestamp` (`%d.%m.%Y %H:%M`).
//! Units:   strings in; a timestamp in microseconds or a date out. As for `to_timestamp`, the timestamp has no time zone where no
//!          format has an offset (`%z`, `%:z`, `%Z`, `%s`); else it has, and what is read without an offset is in the time zone of
//!          the session.
//! NULL:    NULL, a string that no format reads, and a time beyond the range.
//! Edges:   a format without a time is midnight, one without a day is NULL.
//! Source:  DuckDB `try_strptime`; `to_timestamp` of DataFusion ends the query at the first bad date.

use std::sync::{Arc, LazyLock};

use chrono::format::{Parsed, StrftimeItems, parse};
use chrono::{DateTime, NaiveDateTime, Utc};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, FieldRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::local_time::{LocalClock, timestamps};
use super::overrides::reads_local_time;
use super::temporal_cast::{TemporalCast, string_timestamps};

static TIMESTAMP_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "Timestamp of a string by the first format that reads it, NULL if there is none.",
        "try_to_timestamp(text [, format, ...])",
    )
    .build()
});

static DATE_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "Date of a string by the first format that reads it, NULL if there is none.",
        "try_to_date(text [, format, ...])",
    )
    .build()
});

/// `try_to_timestamp`; see the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TryToTimestamp {
    session: Arc<str>,
    signature: Signature,
}

impl TryToTimestamp {
    pub(crate) fn udf(config: &ConfigOptions) -> ScalarUDF {
        let session = config.execution.time_zone.as_deref().unwrap_or("UTC").into();
        ScalarUDF::from(Self { session, signature: Signature::user_defined(Volatility::Immutable) })
    }
}

/// `try_to_date`; see the module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TryToDate {
    signature: Signature,
}

impl TryToDate {
    pub(crate) fn udf() -> ScalarUDF {
        ScalarUDF::from(Self { signature: Signature::user_defined(Volatility::Immutable) })
    }
}

/// What a format reads.
enum Reading {
    Point(DateTime<Utc>),
    Local(NaiveDateTime),
}

/// Reads a string by a format, as `to_timestamp` does.
fn read(text: &str, format: &str) -> Option<Reading> {
    let parsed = |text: &str, format: &str| {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, StrftimeItems::new(format)).ok().map(|()| parsed)
    };
    let local = |parsed: &Parsed| {
        let time = parsed.to_naive_datetime_with_offset(0).ok();
        time.or_else(|| Some(parsed.to_naive_date().ok()?.into()))
    };
    // the name of a zone is read at the end only
    if let Some(format) = format.trim_end().strip_suffix(" %Z") {
        let (text, zone) = text.trim_end().rsplit_once(' ')?;
        let at = local(&parsed(text, format)?)?.and_utc();
        let utc = LocalClock::new(zone).ok()?.utc(at.timestamp())?;
        return DateTime::from_timestamp(utc, at.timestamp_subsec_nanos()).map(Reading::Point);
    }
    let parsed = parsed(text, format)?;
    if let Ok(at) = parsed.to_datetime() {
        return Some(Reading::Point(at.to_utc()));
    }
    let time = local(&parsed)?;
    Some(if parsed.timestamp().is_some() { Reading::Point(time.and_utc()) } else { Reading::Local(time) })
}

/// The strings of all arguments, and the number of rows.
fn strings(args: &ScalarFunctionArgs) -> Result<(Vec<StringArray>, bool)> {
    let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if is_scalar { 1 } else { args.number_rows };
    let texts = args.args.iter().map(|arg| Ok(arg.to_array(rows)?.as_string::<i32>().clone()));
    Ok((texts.collect::<Result<_>>()?, is_scalar))
}

fn result(values: ArrayRef, is_scalar: bool) -> Result<ColumnarValue> {
    Ok(if is_scalar {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)
    } else {
        ColumnarValue::Array(values)
    })
}

fn string_types(name: &str, arg_types: &[DataType]) -> Result<Vec<DataType>> {
    let is_string =
        |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
    match arg_types {
        [] => plan_err!("{name} wants a string, and formats such as '%d.%m.%Y %H:%M'"),
        types if types.iter().all(is_string) => Ok(vec![DataType::Utf8; types.len()]),
        types => plan_err!(
            "{name} reads strings, not {}",
            types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        ),
    }
}

impl ScalarUDFImpl for TryToTimestamp {
    fn name(&self) -> &str {
        "try_to_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        string_types(self.name(), arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(&self.session))))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let zone = (!reads_local_time(&args)).then(|| Arc::clone(&self.session));
        Ok(Arc::new(Field::new(self.name(), DataType::Timestamp(TimeUnit::Microsecond, zone), true)))
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        Some(Self::udf(config))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&TIMESTAMP_DOCUMENTATION)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (strings, is_scalar) = strings(&args)?;
        let zone = match args.return_field.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let [texts, formats @ ..] = strings.as_slice() else { return plan_err!("{} without arguments", self.name()) };
        if formats.is_empty() {
            return result(string_timestamps(texts, TimeUnit::Microsecond, zone, true)?, is_scalar);
        }
        let mut clock = zone.as_deref().map(LocalClock::new).transpose()?;
        let mut micros = |text: &str, row: usize| -> Option<i64> {
            let by_format = |format: &StringArray| {
                if format.is_null(row) { None } else { read(text, format.value(row)) }
            };
            let (at, is_local) = match formats.iter().find_map(by_format)? {
                Reading::Point(at) => (at, false),
                Reading::Local(time) => (time.and_utc(), true),
            };
            let seconds = match &mut clock {
                Some(clock) if is_local => clock.utc(at.timestamp())?,
                _ => at.timestamp(),
            };
            seconds.checked_mul(1_000_000)?.checked_add(at.timestamp_subsec_micros().into())
        };
        let read = texts.iter().enumerate().map(|(row, text)| micros(text?, row));
        result(timestamps(&read.collect::<Int64Array>(), TimeUnit::Microsecond, zone), is_scalar)
    }
}

impl ScalarUDFImpl for TryToDate {
    fn name(&self) -> &str {
        "try_to_date"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        string_types(self.name(), arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DATE_DOCUMENTATION)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (strings, is_scalar) = strings(&args)?;
        let [texts, formats @ ..] = strings.as_slice() else { return plan_err!("{} without arguments", self.name()) };
        if formats.is_empty() {
            let texts: ArrayRef = Arc::new(texts.clone());
            return result(TemporalCast::try_to(DataType::Date32).of(&texts)?, is_scalar);
        }
        let day = |text: &str, row: usize| -> Option<i32> {
            let by_format = |format: &StringArray| {
                if format.is_null(row) { None } else { read(text, format.value(row)) }
            };
            let date = match formats.iter().find_map(by_format)? {
                Reading::Point(at) => at.date_naive(),
                Reading::Local(time) => time.date(),
            };
            Some(Date32Type::from_naive_date(date))
        };
        let days = texts.iter().enumerate().map(|(row, text)| day(text?, row));
        result(Arc::new(days.collect::<Date32Array>()), is_scalar)
    }
}

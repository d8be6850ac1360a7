//! [`Columns`]: the fields of rows as Arrow arrays of the table's types.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, IntervalMonthDayNanoBuilder, RecordBatch,
    RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder, TimestampNanosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use object_store::path::Path;

use super::settings::CsvSettings;
use super::tokenizer::Record;
use super::value::{boolean, date, timestamp};
use crate::error::Error;
use crate::types::type_name;

/// Bytes of strings in a batch, far from the two gigabytes that an array can hold.
const MAX_BATCH_BYTES: usize = 64 << 20;

enum Builder {
    Text(StringBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    /// Whether values with an offset fit.
    Micros(TimestampMicrosecondBuilder, bool),
    Nanos(TimestampNanosecondBuilder, bool),
    Interval(IntervalMonthDayNanoBuilder),
}

/// Columns that grow row by row.
pub(super) struct Columns {
    schema: SchemaRef,
    builders: Vec<Builder>,
    /// The field of each column; `None` where the file does not have it.
    fields: Vec<Option<usize>>,
    rows: usize,
    bytes: usize,
}

impl Columns {
    /// # Errors
    /// A type that no table of text has.
    pub(super) fn new(schema: SchemaRef, fields: Vec<Option<usize>>) -> Result<Self> {
        let builders = schema.fields().iter().map(|field| builder(field.data_type()));
        let builders = builders.collect::<Result<Vec<Builder>>>()?;
        Ok(Self { schema, builders, fields, rows: 0, bytes: 0 })
    }

    pub(super) fn is_full(&self, batch_size: usize) -> bool {
        self.rows >= batch_size || self.bytes >= MAX_BATCH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row.
    ///
    /// # Errors
    /// A value that does not have its column's type: file, line, column, value.
    pub(super) fn add(&mut self, record: &Record, settings: &CsvSettings, location: &Path) -> Result<(), Error> {
        for (index, builder) in self.builders.iter_mut().enumerate() {
            let value = self.fields[index].and_then(|index| record.field(index));
            let Some(value) = value.filter(|value| !settings.is_null(value)) else {
                append_null(builder);
                continue;
            };
            self.bytes += value.len();
            if !append(builder, value, settings) {
                return Err(match std::str::from_utf8(value) {
                    Ok(value) => misfit(settings, location, record.line, self.schema.field(index), value),
                    Err(_) => settings.not_utf8(location, record),
                });
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far.
    pub(super) fn take(&mut self) -> Result<RecordBatch> {
        let types = self.schema.fields().iter().map(|field| field.data_type());
        let columns: Vec<ArrayRef> =
            self.builders.iter_mut().zip(types).map(|(builder, data_type)| finish(builder, data_type)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

fn misfit(
    settings: &CsvSettings,
    location: &Path,
    line: u64,
    field: &datafusion::arrow::datatypes::Field,
    value: &str,
) -> Error {
    let name = field.name();
    Error::data(format!(
        "{}, line {line}: the value '{value}' of the column `{name}` is no {}; read the column as text by columns = {{ {name} \
         = \"text\" }} under [tables.NAME] in cxql.toml, or say by null = \"{value}\" that it means NULL",
        settings.shown(location),
        type_name(field.data_type()),
    ))
}

fn builder(data_type: &DataType) -> Result<Builder> {
    Ok(match data_type {
        DataType::Utf8 => Builder::Text(StringBuilder::new()),
        DataType::Int64 => Builder::Integer(Int64Builder::new()),
        DataType::Float64 => Builder::Float(Float64Builder::new()),
        DataType::Boolean => Builder::Boolean(BooleanBuilder::new()),
        DataType::Date32 => Builder::Date(Date32Builder::new()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Builder::Micros(TimestampMicrosecondBuilder::new(), zone.is_some())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            Builder::Nanos(TimestampNanosecondBuilder::new(), zone.is_some())
        }
        DataType::Interval(_) => Builder::Interval(IntervalMonthDayNanoBuilder::new()),
        other => return datafusion::common::internal_err!("no column of a CSV table has the type {other}"),
    })
}

fn append_null(builder: &mut Builder) {
    match builder {
        Builder::Text(builder) => builder.append_null(),
        Builder::Integer(builder) => builder.append_null(),
        Builder::Float(builder) => builder.append_null(),
        Builder::Boolean(builder) => builder.append_null(),
        Builder::Date(builder) => builder.append_null(),
        Builder::Micros(builder, _) => builder.append_null(),
        Builder::Nanos(builder, _) => builder.append_null(),
        Builder::Interval(builder) => builder.append_null(),
    }
}

/// Appends a value; false if it does not have the type.
fn append(builder: &mut Builder, value: &[u8], settings: &CsvSettings) -> bool {
    match builder {
        Builder::Text(builder) => match std::str::from_utf8(value) {
            Ok(text) => builder.append_value(text),
            Err(_) => return false,
        },
        Builder::Integer(builder) => match text(value).and_then(|text| text.parse().ok()) {
            Some(number) => builder.append_value(number),
            None => return false,
        },
        Builder::Float(builder) => match float(value, settings.numbers.decimal) {
            Some(number) => builder.append_value(number),
            None => return false,
        },
        Builder::Boolean(builder) => match boolean(value.trim_ascii()) {
            Some(flag) => builder.append_value(flag),
            None => return false,
        },
        Builder::Date(builder) => match date(value) {
            Some(day) => builder.append_value(days(day)),
            None => return false,
        },
        Builder::Micros(builder, is_zoned) => match utc(value, *is_zoned) {
            Some(time) => builder.append_value(time.timestamp_micros()),
            None => return false,
        },
        Builder::Nanos(builder, is_zoned) => match utc(value, *is_zoned).and_then(|time| time.timestamp_nanos_opt()) {
            Some(nanos) => builder.append_value(nanos),
            None => return false,
        },
        Builder::Interval(builder) => {
            let data_type = DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano);
            let parsed = text(value).map(|text| ScalarValue::try_from_string(text.to_string(), &data_type));
            match parsed {
                Some(Ok(ScalarValue::IntervalMonthDayNano(Some(span)))) => builder.append_value(span),
                _ => return false,
            }
        }
    }
    true
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(str::trim)
}

fn float(value: &[u8], decimal: u8) -> Option<f64> {
    let text = text(value)?;
    let number: f64 = match decimal {
        b',' if text.contains('.') => return None,
        b',' => text.replace(',', ".").parse().ok()?,
        _ => text.parse().ok()?,
    };
    // Rust also reads inf and nan
    number.is_finite().then_some(number)
}

fn days(day: NaiveDate) -> i32 {
    let days = day.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).unwrap_or(i32::MAX)
}

/// A time in UTC. Where the column has no zone, a value with an offset does not fit: its offset would be lost.
fn utc(value: &[u8], is_zoned: bool) -> Option<DateTime<chrono::Utc>> {
    let time = match timestamp(value) {
        Some(stamp) if stamp.offset.is_some() && !is_zoned => return None,
        Some(stamp) => stamp.utc()?,
        None => date(value)?.and_hms_opt(0, 0, 0)?,
    };
    Some(time.and_utc())
}

fn finish(builder: &mut Builder, data_type: &DataType) -> ArrayRef {
    let zone = match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    match builder {
        Builder::Text(builder) => Arc::new(builder.finish()),
        Builder::Integer(builder) => Arc::new(builder.finish()),
        Builder::Float(builder) => Arc::new(builder.finish()),
        Builder::Boolean(builder) => Arc::new(builder.finish()),
        Builder::Date(builder) => Arc::new(builder.finish()),
        Builder::Micros(builder, _) => Arc::new(builder.finish().with_timezone_opt(zone)),
        Builder::Nanos(builder, _) => Arc::new(builder.finish().with_timezone_opt(zone)),
        Builder::Interval(builder) => Arc::new(builder.finish()),
    }
}

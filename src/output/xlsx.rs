//! Excel workbooks: one sheet per section, written row by row to a temporary file.
//!
//! Cells are typed: numbers, booleans, dates and times (the wall clock of the column's time zone, UTC for `*_at`
//! columns), strings. Values that Excel cannot represent are strings: integers and decimals of more than 15 digits, NaN,
//! dates before 1900, lists, structs. The name of a column gives the format of its numbers: `_ratio` per cent, `_count`
//! thousands, with two decimals where they are no integers, `_s` and `_h` one decimal. Beside a column `unit`, as the KPI
//! overview has, those of columns such as `value` and `difference` have the format of their row's unit. The last sheet says what the others are ([`AboutSheet`]). The header is bold, frozen and has filters. A string longer than a
//! cell, or more rows than a sheet, is an error before anything is visible.

mod about;
mod chart;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::str::FromStr;

use chrono::{DateTime, Offset};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit, UInt64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::ArrayFormatter;
use rust_xlsxwriter::{Format as CellFormat, Workbook, Worksheet, XlsxError};

pub(crate) use self::about::{AboutRow, AboutSheet};
pub(crate) use self::chart::SheetChart;
use self::chart::{SeriesRun, add_row};
use super::shape::plain;
use super::text::{self, Times};
use super::writer::CHUNK_BYTES;
use super::{FinishState, Format, OutputError, Result, Sink};

/// Rows of a sheet below its header.
pub(super) const MAX_ROWS: u64 = 1_048_575;
/// Columns of a sheet.
pub(super) const MAX_COLUMNS: usize = 16_384;
/// UTF-16 units of a cell's string.
pub(super) const MAX_TEXT: usize = 32_767;

/// Integers from here on have more than 15 digits, which Excel replaces by zeros.
const ROUNDED: u64 = 1_000_000_000_000_000;
/// Digits of a number that Excel keeps.
const DIGITS: usize = 15;
/// Rows that determine the width of a column.
const WIDTH_ROWS: u64 = 1000;
/// Widths of columns, in characters.
const NARROWEST: usize = 6;
const WIDEST: usize = 60;
/// The width of a header's filter button.
const FILTER_BUTTON: usize = 3;

/// Days from 1899-12-30, Excel's day 0, to 1970-01-01.
const UNIX_DAY: i64 = 25_569;
/// Day of 1900-03-01. Excel's 1900 has a 29 February, so that days before it are numbered one lower.
const MARCH_1900: i64 = 61;
/// Day of 9999-12-31, the last one.
const LAST_DAY: i64 = 2_958_465;
const DAY_SECONDS: i64 = 86_400;

pub(crate) struct XlsxSink {
    workbook: Workbook,
    formats: Formats,
    names: HashSet<String>,
    sections: usize,
    sheet: Option<Sheet>,
    file: Option<File>,
    /// The charts of the remaining sheets.
    charts: std::vec::IntoIter<Option<SheetChart>>,
    /// Name and columns of the sheets that are written.
    written: Vec<(String, SchemaRef)>,
    about: Option<AboutSheet>,
}

struct Sheet {
    name: String,
    schema: SchemaRef,
    rows: u64,
    widths: Vec<usize>,
    chart: Option<SheetChart>,
    /// The rows of each series of the chart; `None` once a series is not contiguous.
    runs: Option<Vec<SeriesRun>>,
}

struct Formats {
    header: CellFormat,
    whole: CellFormat,
    date: CellFormat,
    time: CellFormat,
    time_fraction: CellFormat,
    date_time: CellFormat,
    date_time_fraction: CellFormat,
    duration: CellFormat,
    percent: CellFormat,
    thousands: CellFormat,
    hundredths: CellFormat,
    decimal: CellFormat,
}

impl Formats {
    /// The format of the numbers of a column, by its name; `None` is Excel's own.
    fn of(&self, name: &str, data_type: &DataType) -> Option<&CellFormat> {
        let name = name.to_lowercase();
        let ends = |ending: &str| name.ends_with(ending);
        match () {
            () if ends("_ratio") || name == "ratio" => Some(&self.percent),
            () if ends("_count") || name == "count" => {
                Some(if data_type.is_integer() { &self.thousands } else { &self.hundredths })
            }
            // whole seconds need no decimals
            () if (ends("_s") || ends("_h")) && !data_type.is_integer() => Some(&self.decimal),
            () => None,
        }
    }

    /// The format of the numbers of a row that has a unit; `None` is Excel's own.
    fn of_unit(&self, unit: &str) -> Option<&CellFormat> {
        match unit {
            "ratio" => Some(&self.percent),
            "count" => Some(&self.thousands),
            "seconds" | "points" => Some(&self.decimal),
            _ => None,
        }
    }
}

/// Whether the numbers of a column are in the unit that the column `unit` says.
fn is_in_unit(name: &str) -> bool {
    let is_value = name == "value" || name.starts_with("value_") || name.ends_with("_value");
    is_value && name != "p_value" || name == "difference" || name.starts_with("difference_")
}

impl Default for XlsxSink {
    fn default() -> Self {
        let number = |format| CellFormat::new().set_num_format(format);
        Self {
            workbook: Workbook::new(),
            formats: Formats {
                header: CellFormat::new().set_bold(),
                whole: number("0"),
                date: number("yyyy-mm-dd"),
                time: number("hh:mm:ss"),
                time_fraction: number("hh:mm:ss.000"),
                date_time: number("yyyy-mm-dd hh:mm:ss"),
                date_time_fraction: number("yyyy-mm-dd hh:mm:ss.000"),
                duration: number("[h]:mm:ss"),
                percent: number("0.0%"),
                thousands: number("#,##0"),
                hundredths: number("#,##0.00"),
                decimal: number("#,##0.0"),
            },
            names: HashSet::new(),
            sections: 0,
            sheet: None,
            file: None,
            charts: Vec::new().into_iter(),
            written: Vec::new(),
            about: None,
        }
    }
}

fn failed(source: XlsxError) -> OutputError {
    match source {
        XlsxError::IoError(source) => OutputError::io(std::env::temp_dir().display().to_string(), source),
        XlsxError::TempFileError(folder, source) => OutputError::io(folder.display().to_string(), source),
        other => OutputError::encode(Format::Xlsx, other),
    }
}

impl XlsxSink {
    /// A workbook with a chart on each sheet that has one, and a last sheet that says what the others are.
    pub(crate) fn new(charts: Vec<Option<SheetChart>>, about: Option<AboutSheet>) -> Self {
        Self { charts: charts.into_iter(), about, ..Self::default() }
    }

    fn worksheet(workbook: &mut Workbook, sections: usize) -> Result<&mut Worksheet> {
        workbook.worksheet_from_index(sections.saturating_sub(1)).map_err(failed)
    }
}

impl Sink for XlsxSink {
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, _: &mut Vec<u8>) -> Result<()> {
        self.sections += 1;
        let name = sheet_name(title, self.sections, &mut self.names);
        let columns = schema.fields().len();
        if columns > MAX_COLUMNS {
            return Err(OutputError::SheetColumns { sheet: name, columns });
        }
        let worksheet = self.workbook.add_worksheet_with_constant_memory().map_err(failed)?;
        worksheet.set_name(name.as_str()).map_err(failed)?;
        worksheet.set_freeze_panes(1, 0).map_err(failed)?;
        for (column, field) in (0..).zip(schema.fields()) {
            let text = checked(field.name(), field.name(), 0)?;
            worksheet.write_string_with_format(0, column, text, &self.formats.header).map_err(failed)?;
        }
        let widths = schema.fields().iter().map(|field| text_width(field.name()) + FILTER_BUTTON).collect();
        let chart = self.charts.next().flatten();
        let schema = SchemaRef::clone(schema);
        self.written.push((name.clone(), SchemaRef::clone(&schema)));
        self.sheet = Some(Sheet { name, schema, rows: 0, widths, chart, runs: Some(Vec::new()) });
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        let Some(sheet) = &mut self.sheet else { return Ok(()) };
        let rows = batch.num_rows() as u64;
        if sheet.rows + rows > MAX_ROWS {
            return Err(OutputError::SheetRows { sheet: sheet.name.clone() });
        }
        sheet.add_to_runs(batch)?;
        let worksheet = Self::worksheet(&mut self.workbook, self.sections)?;
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (column, field) in batch.columns().iter().zip(sheet.schema.fields()) {
            columns.push((flat(column)?, field.name()));
        }
        let formats = &self.formats;
        let columns: Vec<(Cells<'_>, &String, Option<&CellFormat>)> = columns
            .iter()
            .map(|(column, name)| Ok((Cells::new(column)?, *name, formats.of(name, column.data_type()))))
            .collect::<Result<_>>()?;
        let unit_column = sheet.schema.fields().iter().position(|field| field.name() == "unit");
        for row in 0..batch.num_rows() {
            sheet.rows += 1;
            let unit = match unit_column.and_then(|index| columns.get(index)).map(|(cells, ..)| cells.value(row)) {
                Some(Ok(Value::Text(unit))) => formats.of_unit(&unit),
                _ => None,
            };
            // checked above to be within the sheet
            let at = u32::try_from(sheet.rows).unwrap_or(u32::MAX);
            for ((index, (cells, name, own)), widest) in (0..).zip(&columns).zip(&mut sheet.widths) {
                let value =
                    cells.value(row).map_err(|source| text::unprintable(Format::Xlsx, name, sheet.rows, &source))?;
                if sheet.rows <= WIDTH_ROWS {
                    *widest = (*widest).max(value.width());
                }
                let written = match value {
                    Value::Null => continue,
                    Value::Boolean(value) => worksheet.write_boolean(at, index, value),
                    Value::Number(value) => match own.or_else(|| unit.filter(|_| is_in_unit(name))) {
                        Some(format) => worksheet.write_number_with_format(at, index, value, format),
                        None => worksheet.write_number(at, index, value),
                    },
                    Value::Whole(value) => worksheet.write_number_with_format(at, index, value, &formats.whole),
                    Value::Date(day) => worksheet.write_number_with_format(at, index, day, &formats.date),
                    Value::Time(day, fraction) => {
                        let format = if fraction { &formats.time_fraction } else { &formats.time };
                        worksheet.write_number_with_format(at, index, day, format)
                    }
                    Value::DateTime(day, fraction) => {
                        let format = if fraction { &formats.date_time_fraction } else { &formats.date_time };
                        worksheet.write_number_with_format(at, index, day, format)
                    }
                    Value::Duration(days) => worksheet.write_number_with_format(at, index, days, &formats.duration),
                    Value::Text(text) => worksheet.write_string(at, index, checked(&text, name, sheet.rows)?),
                };
                written.map_err(failed)?;
            }
        }
        Ok(())
    }

    fn end_section(&mut self, _: &mut Vec<u8>) -> Result<()> {
        let Some(sheet) = self.sheet.take() else { return Ok(()) };
        let worksheet = Self::worksheet(&mut self.workbook, self.sections)?;
        for (column, width) in (0..).zip(&sheet.widths) {
            let width = u32::try_from((*width).clamp(NARROWEST, WIDEST) + 1).unwrap_or(u32::MAX);
            worksheet.set_column_width(column, width).map_err(failed)?;
        }
        if let Some(last) = sheet.widths.len().checked_sub(1).and_then(|last| u16::try_from(last).ok()) {
            worksheet.autofilter(0, 0, u32::try_from(sheet.rows).unwrap_or(u32::MAX), last).map_err(failed)?;
            let rows = u32::try_from(sheet.rows).unwrap_or(u32::MAX);
            let drawn = sheet.chart.as_ref().and_then(|chart| {
                let mut drawn = chart.draw(&sheet.name, &sheet.schema, rows, sheet.runs.as_deref())?;
                drawn.set_alt_text(chart.title.clone().unwrap_or_else(|| sheet.name.clone()));
                Some(drawn)
            });
            if let Some(drawn) = drawn {
                // beside the rows, so that it covers none of them
                worksheet.insert_chart(1, last.saturating_add(2), &drawn).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<FinishState> {
        let folder = std::env::temp_dir();
        let io = |source| OutputError::io(folder.display().to_string(), source);
        if self.file.is_none() {
            if self.sections == 0 {
                return Err(OutputError::NoResult { format: Format::Xlsx });
            }
            if let Some(about) = self.about.take() {
                let name = sheet_name(Some(&about.name), self.sections + 1, &mut self.names);
                let rows = (about.rows)(&std::mem::take(&mut self.written));
                about::add(&mut self.workbook, &name, &rows).map_err(failed)?;
            }
            let mut file = tempfile::tempfile().map_err(io)?;
            self.workbook.save_to_writer(&mut file).map_err(failed)?;
            file.rewind().map_err(io)?;
            // the sheets' temporary files are no longer needed
            self.workbook = Workbook::new();
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(FinishState::Done) };
        let read = file.take(CHUNK_BYTES as u64).read_to_end(out).map_err(io)?;
        Ok(if read < CHUNK_BYTES { FinishState::Done } else { FinishState::More })
    }
}

impl Sheet {
    /// Records the rows of each series of the chart.
    fn add_to_runs(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(name) = self.chart.as_ref().and_then(|chart| chart.series.as_ref()) else { return Ok(()) };
        let (Some(runs), Some(column)) = (&mut self.runs, batch.column_by_name(name)) else { return Ok(()) };
        let options = text::options(column.data_type(), Times::Spaced).with_display_error(true);
        let formatter = text::formatter(Format::Xlsx, column, &options)?;
        for row in 0..batch.num_rows() {
            let at = u32::try_from(self.rows + row as u64 + 1).unwrap_or(u32::MAX);
            if !add_row(runs, &formatter.value(row).to_string(), at) {
                self.runs = None;
                break;
            }
        }
        Ok(())
    }
}

/// A valid sheet name: at most 31 characters, none of `[]:*?/\`, no apostrophe at either end, not "History", unique
/// without regard to case.
fn sheet_name(title: Option<&str>, section: usize, taken: &mut HashSet<String>) -> String {
    const LONGEST: usize = 31;
    let cut = |text: &str, longest: usize| {
        let mut units = 0;
        let kept: String = text
            .chars()
            .take_while(|character| {
                units += character.len_utf16();
                units <= longest
            })
            .collect();
        kept.trim_end_matches(|end: char| end.is_whitespace() || end == '\'').to_owned()
    };
    let cleaned: String = title
        .unwrap_or_default()
        .chars()
        .map(|character| match character {
            '[' | ']' | ':' | '*' | '?' | '/' | '\\' => '-',
            control if control.is_control() => ' ',
            other => other,
        })
        .collect();
    let mut base = cut(cleaned.trim().trim_start_matches('\'').trim_start(), LONGEST);
    if base.is_empty() {
        base = if section == 1 { "Result".to_owned() } else { format!("Section {section}") };
    }
    if base.eq_ignore_ascii_case("history") {
        base.push('_');
    }
    let mut name = base.clone();
    let mut number = 2;
    while !taken.insert(name.to_lowercase()) {
        let suffix = format!(" ({number})");
        name = cut(&base, LONGEST - suffix.len()) + &suffix;
        number += 1;
    }
    name
}

/// Checks that a cell can hold the string. Row 0 is the header.
fn checked<'a>(text: &'a str, column: &str, row: u64) -> Result<&'a str> {
    if text.len() > MAX_TEXT {
        let length = text.encode_utf16().count();
        if length > MAX_TEXT {
            return Err(OutputError::CellText { column: column.to_owned(), row, length });
        }
    }
    Ok(text)
}

/// The approximate width of the string in characters of a spreadsheet's default font: characters from Hangul on are
/// wide.
fn text_width(text: &str) -> usize {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(WIDEST).map(|character| if character >= '\u{1100}' { 2 } else { 1 }).sum()
}

/// A cell's value.
#[derive(Debug, PartialEq)]
enum Value {
    Null,
    Boolean(bool),
    Number(f64),
    /// A number with more digits than Excel shows by default.
    Whole(f64),
    Date(f64),
    /// Days, and whether there is a fraction of a second.
    Time(f64, bool),
    DateTime(f64, bool),
    Duration(f64),
    Text(String),
}

impl Value {
    fn width(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 5,
            Self::Number(value) => value.to_string().len().min(12),
            Self::Whole(_) => 17,
            Self::Date(_) | Self::Duration(_) => 10,
            Self::Time(_, fraction) => {
                if *fraction {
                    12
                } else {
                    8
                }
            }
            Self::DateTime(_, fraction) => {
                if *fraction {
                    23
                } else {
                    19
                }
            }
            Self::Text(text) => text_width(text),
        }
    }
}

/// The column without dictionaries and run-end encoding.
fn flat(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => {
            cast(column, &plain(column.data_type())).map_err(|source| OutputError::encode(Format::Xlsx, source))
        }
        _ => Ok(ArrayRef::clone(column)),
    }
}

/// A column's values.
struct Cells<'a> {
    column: &'a ArrayRef,
    kind: Kind,
    formatter: ArrayFormatter<'a>,
    nulls: Option<datafusion::arrow::buffer::NullBuffer>,
}

enum Kind {
    Boolean,
    Signed(ArrayRef),
    Unsigned(ArrayRef),
    Float(ArrayRef),
    Decimal,
    /// Days since 1970.
    Date(ArrayRef),
    /// Integer units of a second since midnight.
    Time(ArrayRef, i64),
    DateTime(ArrayRef, i64, Option<Tz>),
    Duration(ArrayRef, i64),
    Text,
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

impl<'a> Cells<'a> {
    fn new(column: &'a ArrayRef) -> Result<Self> {
        let as_type =
            |wanted: DataType| cast(column, &wanted).map_err(|source| OutputError::encode(Format::Xlsx, source));
        let kind = match column.data_type() {
            DataType::Boolean => Kind::Boolean,
            DataType::UInt64 => Kind::Unsigned(ArrayRef::clone(column)),
            whole if whole.is_integer() => Kind::Signed(as_type(DataType::Int64)?),
            DataType::Float64 => Kind::Float(ArrayRef::clone(column)),
            // via the shortest decimal representation: a direct cast of a 32-bit float adds digits
            DataType::Float16 | DataType::Float32 => {
                let failed = |source| OutputError::encode(Format::Xlsx, source);
                Kind::Float(cast(&as_type(DataType::Utf8)?, &DataType::Float64).map_err(failed)?)
            }
            decimal if decimal.is_decimal() => Kind::Decimal,
            DataType::Date32 => Kind::Date(as_type(DataType::Int32).and_then(|days| {
                cast(&days, &DataType::Int64).map_err(|source| OutputError::encode(Format::Xlsx, source))
            })?),
            DataType::Date64 => Kind::DateTime(as_type(DataType::Int64)?, 1_000, None),
            DataType::Time32(unit) => {
                let counts = as_type(DataType::Int32)?;
                let counts = cast(&counts, &DataType::Int64);
                Kind::Time(counts.map_err(|source| OutputError::encode(Format::Xlsx, source))?, per_second(*unit))
            }
            DataType::Time64(unit) => Kind::Time(as_type(DataType::Int64)?, per_second(*unit)),
            DataType::Timestamp(unit, zone) => {
                let zone = zone.as_deref().map(Tz::from_str).transpose();
                let zone = zone.map_err(|source| OutputError::encode(Format::Xlsx, source))?;
                Kind::DateTime(as_type(DataType::Int64)?, per_second(*unit), zone)
            }
            DataType::Duration(unit) => Kind::Duration(as_type(DataType::Int64)?, per_second(*unit)),
            _ => Kind::Text,
        };
        let options = text::options(column.data_type(), Times::Spaced);
        let formatter = text::formatter(Format::Xlsx, column, &options)?;
        Ok(Self { column, kind, formatter, nulls: column.logical_nulls() })
    }

    fn value(&self, row: usize) -> Result<Value, datafusion::arrow::error::ArrowError> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(Value::Null);
        }
        let count = |counts: &ArrayRef| counts.as_primitive::<Int64Type>().value(row);
        let value = match &self.kind {
            Kind::Boolean => Some(Value::Boolean(self.column.as_boolean().value(row))),
            Kind::Signed(values) => {
                let value = count(values);
                whole(value.unsigned_abs(), value as f64)
            }
            Kind::Unsigned(values) => {
                let value = values.as_primitive::<UInt64Type>().value(row);
                whole(value, value as f64)
            }
            Kind::Float(values) => {
                let value = values.as_primitive::<Float64Type>().value(row);
                value.is_finite().then_some(Value::Number(value))
            }
            Kind::Decimal => {
                let text = self.formatter.value(row).try_to_string()?;
                decimal(text)
            }
            Kind::Date(days) => serial(count(days).saturating_mul(DAY_SECONDS), 0.0).map(Value::Date),
            Kind::Time(counts, unit) => {
                let (seconds, rest) = (count(counts).div_euclid(*unit), count(counts).rem_euclid(*unit));
                let day = (seconds as f64 + rest as f64 / *unit as f64) / DAY_SECONDS as f64;
                Some(Value::Time(day, rest != 0))
            }
            Kind::DateTime(counts, unit, zone) => {
                let (seconds, rest) = (count(counts).div_euclid(*unit), count(counts).rem_euclid(*unit));
                let offset = zone.and_then(|zone| {
                    let timestamp = DateTime::from_timestamp(seconds, 0)?.with_timezone(&zone);
                    Some(i64::from(timestamp.offset().fix().local_minus_utc()))
                });
                serial(seconds.saturating_add(offset.unwrap_or(0)), rest as f64 / *unit as f64)
                    .map(|day| Value::DateTime(day, rest != 0))
            }
            Kind::Duration(counts, unit) => {
                // Excel cannot show negative times
                (count(counts) >= 0).then(|| Value::Duration(count(counts) as f64 / *unit as f64 / DAY_SECONDS as f64))
            }
            Kind::Text => None,
        };
        match value {
            Some(value) => Ok(value),
            None => self.formatter.value(row).try_to_string().map(Value::Text),
        }
    }
}

fn whole(size: u64, value: f64) -> Option<Value> {
    // by default Excel shows an exponent from 12 digits on
    const SHOWN: u64 = 100_000_000_000;
    match size {
        0..SHOWN => Some(Value::Number(value)),
        SHOWN..ROUNDED => Some(Value::Whole(value)),
        _ => None,
    }
}

fn decimal(text: String) -> Option<Value> {
    let digits = text.trim_start_matches('-').replace('.', "");
    let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
    if significant > DIGITS { None } else { text.parse().ok().map(Value::Number) }
}

/// Excel's serial number of a timestamp; `None` before 1900 and after 9999.
fn serial(seconds: i64, fraction: f64) -> Option<f64> {
    let mut day = seconds.div_euclid(DAY_SECONDS) + UNIX_DAY;
    if day < MARCH_1900 {
        day -= 1;
    }
    let of_day = seconds.rem_euclid(DAY_SECONDS) as f64 + fraction;
    (1..=LAST_DAY).contains(&day).then(|| day as f64 + of_day / DAY_SECONDS as f64)
}

#[cfg(test)]
mod tests;

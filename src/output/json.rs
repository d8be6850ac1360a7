//! JSON and NDJSON, encoded by the `arrow` crate.
//!
//! Every row has every key, NULL as `null`; NaN and the infinities, which JSON cannot represent, are `null` too. Times
//! are RFC 3339 (`2025-01-01T00:00:00Z`), durations and intervals ISO 8601, decimals numbers with all their digits,
//! binary data hexadecimal. Duplicate column names get a number: `a`, `a_2`. Unions, and maps whose keys are not
//! strings, are formatted by Arrow.
//!
//! JSON with one section is an array of objects, one a line. With several it is an object: the title of each section,
//! or `section_N`, and its array.

use std::collections::HashSet;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::{JsonFormat, LineDelimited, Writer};
use datafusion::arrow::record_batch::RecordBatch;

use super::shape::{Fit, Shape, any_part, plain};
use super::text;
use super::{FinishState, Format, OutputError, Result, Sink};

fn shape(format: Format, schema: &SchemaRef) -> Shape {
    Shape::new(format, schema, |data_type| {
        // Arrow's encoder writes the words of an interval
        let is_interval = matches!(data_type, DataType::Interval(_));
        let has_text_only_parts = is_interval
            || any_part(data_type, &|part| match part {
                DataType::Union(..) => true,
                DataType::Map(entries, _) => match entries.data_type() {
                    DataType::Struct(fields) => !fields.first().is_some_and(|key| {
                        matches!(key.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
                    }),
                    _ => true,
                },
                _ => false,
            });
        // the encoder writes "" for a NULL in the values of a dictionary
        if has_text_only_parts { Fit::Text } else { Fit::As(plain(data_type)) }
    })
}

/// Appends the batch; `rows` rows of the section precede it.
fn encode<F: JsonFormat>(
    format: Format,
    shape: &Shape,
    batch: &RecordBatch,
    rows: u64,
    out: &mut Vec<u8>,
) -> Result<()> {
    let batch = shape.apply(batch, rows)?;
    for (column, field) in batch.columns().iter().zip(shape.schema().fields()) {
        if let Some(row) = text::beyond_calendar(column) {
            let message = "the date is beyond the calendar".to_owned();
            let column = field.name().clone();
            return Err(OutputError::Value { format, column, row: rows + row as u64 + 1, message });
        }
    }
    let mut writer: Writer<&mut Vec<u8>, F> = WriterBuilder::new().with_explicit_nulls(true).build(out);
    writer.write(&batch).map_err(|source| OutputError::encode(format, source))
}

/// One object a line.
#[derive(Debug, Default)]
pub(crate) struct NdjsonSink {
    shape: Option<Shape>,
    rows: u64,
}

impl Sink for NdjsonSink {
    fn begin_section(&mut self, _: Option<&str>, schema: &SchemaRef, _: &mut Vec<u8>) -> Result<()> {
        self.shape = Some(shape(Format::Ndjson, schema));
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let Some(shape) = &self.shape else { return Ok(()) };
        encode::<LineDelimited>(Format::Ndjson, shape, batch, self.rows, out)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn end_section(&mut self, _: &mut Vec<u8>) -> Result<()> {
        self.shape = None;
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<FinishState> {
        Ok(FinishState::Done)
    }
}

/// The rows of a batch as elements of an array, one per line.
#[derive(Debug, Default)]
struct Elements;

impl JsonFormat for Elements {
    fn start_row<W: std::io::Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        writer.write_all(if is_first_row { b"\n" } else { b",\n" })?;
        Ok(())
    }
}

/// An array of objects, or an object of such arrays.
#[derive(Debug)]
pub(crate) struct JsonSink {
    keyed: bool,
    keys: HashSet<String>,
    section: usize,
    shape: Option<Shape>,
    rows: u64,
}

impl JsonSink {
    pub(crate) fn new(sections: usize) -> Self {
        Self { keyed: sections > 1, keys: HashSet::new(), section: 0, shape: None, rows: 0 }
    }

    fn key(&mut self, title: Option<&str>) -> String {
        let wanted = title.map_or_else(|| format!("section_{}", self.section), str::to_owned);
        let mut key = wanted.clone();
        let mut number = 2;
        while !self.keys.insert(key.clone()) {
            key = format!("{wanted}_{number}");
            number += 1;
        }
        key
    }
}

impl Sink for JsonSink {
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        self.section += 1;
        self.shape = Some(shape(Format::Json, schema));
        self.rows = 0;
        if self.keyed {
            out.extend_from_slice(if self.section == 1 { b"{\n" } else { b",\n" });
            let key = self.key(title);
            out.extend_from_slice(json_string(&key).as_bytes());
            out.extend_from_slice(b": ");
        }
        out.push(b'[');
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let Some(shape) = &self.shape else { return Ok(()) };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.rows > 0 {
            out.push(b',');
        }
        encode::<Elements>(Format::Json, shape, batch, self.rows, out)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn end_section(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.shape = None;
        out.extend_from_slice(if self.rows > 0 { b"\n]" } else { b"]" });
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<FinishState> {
        let end: &[u8] = match (self.keyed, self.section) {
            (true, 0) => b"{}\n",
            (true, _) => b"\n}\n",
            (false, 0) => b"[]\n",
            (false, _) => b"\n",
        };
        out.extend_from_slice(end);
        Ok(FinishState::Done)
    }
}

/// The string as a JSON string (RFC 8259, section 7).
fn json_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::json_string;

    #[test]
    fn titles_are_json_strings() {
        assert_eq!(json_string("a \"b\" \\ \n 漢"), "\"a \\\"b\\\" \\\\ \\u000a 漢\"");
    }
}

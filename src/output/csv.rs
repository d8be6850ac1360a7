//! CSV and TSV: RFC 4180 quoting, lines that end in `\n`, always with a header.
//!
//! NULL is an empty field and the empty string is `""`, as PostgreSQL and DuckDB write them. In a single column NULL is
//! `""` too: most readers skip an empty line. TSV is quoted as CSV, which spreadsheets and data frames read back;
//! floats have all their digits; lists, structs and maps are formatted by Arrow.
//!
//! Several sections are blocks: a line `# TITLE`, the header and the rows; an empty line ends all blocks but the last.

use std::io::Write;

use datafusion::arrow::array::{Array, AsArray, Int64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::shape::unique_names;
use super::text::{self, Appender, Times};
use super::{FinishState, Format, OutputError, Result, Sink};

#[derive(Debug)]
pub(crate) struct CsvSink {
    format: Format,
    separator: u8,
    options: Vec<FormatOptions<'static>>,
    rows: u64,
    sections: usize,
}

impl CsvSink {
    pub(crate) fn new(format: Format, separator: u8) -> Self {
        Self { format, separator, options: Vec::new(), rows: 0, sections: 0 }
    }

    fn put(&self, text: &[u8], out: &mut Vec<u8>) {
        // no early exit: the loop vectorizes
        let special = |byte: &u8| (*byte == b'"') | (*byte == b'\n') | (*byte == b'\r') | (*byte == self.separator);
        let plain = !text.is_empty() && !text.iter().fold(false, |found, byte| found | special(byte));
        if plain {
            out.extend_from_slice(text);
            return;
        }
        out.push(b'"');
        for (index, part) in text.split(|byte| *byte == b'"').enumerate() {
            if index > 0 {
                out.extend_from_slice(b"\"\"");
            }
            out.extend_from_slice(part);
        }
        out.push(b'"');
    }
}

/// The values of a column.
enum Values<'a> {
    Text(Box<dyn Fn(usize) -> &'a str + 'a>),
    Whole(Int64Array),
    /// Formatted values that contain only digits, letters, signs and colons, which need no quotes.
    Bare(ArrayFormatter<'a>),
    Formatted(ArrayFormatter<'a>),
}

impl<'a> Values<'a> {
    fn new(format: Format, column: &'a dyn Array, options: &FormatOptions<'a>) -> Result<Self> {
        Ok(match column.data_type() {
            DataType::Utf8 => {
                let texts = column.as_string::<i32>();
                Self::Text(Box::new(|row| texts.value(row)))
            }
            DataType::LargeUtf8 => {
                let texts = column.as_string::<i64>();
                Self::Text(Box::new(|row| texts.value(row)))
            }
            DataType::Utf8View => {
                let texts = column.as_string_view();
                Self::Text(Box::new(|row| texts.value(row)))
            }
            DataType::UInt64 => Self::Bare(text::formatter(format, column, options)?),
            whole if whole.is_integer() => {
                let whole = cast(column, &DataType::Int64).map_err(|source| OutputError::encode(format, source))?;
                Self::Whole(whole.as_primitive::<Int64Type>().clone())
            }
            other if other.is_primitive() || *other == DataType::Boolean => {
                Self::Bare(text::formatter(format, column, options)?)
            }
            _ => Self::Formatted(text::formatter(format, column, options)?),
        })
    }
}

impl Sink for CsvSink {
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        if self.sections > 0 {
            out.push(b'\n');
        }
        self.sections += 1;
        self.rows = 0;
        if let Some(title) = title {
            out.extend_from_slice(format!("# {}\n", text::visible(title)).as_bytes());
        }
        self.options = schema.fields().iter().map(|field| text::options(field.data_type(), Times::Iso)).collect();
        // unique, so that the file can be read again: `a`, `a_2`
        let names = unique_names(schema.fields().iter().map(|field| field.name().as_str()));
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                out.push(self.separator);
            }
            self.put(name.as_bytes(), out);
        }
        out.push(b'\n');
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let columns: Vec<(Values<'_>, Option<NullBuffer>)> = batch
            .columns()
            .iter()
            .zip(&self.options)
            .map(|(column, options)| Ok((Values::new(self.format, column, options)?, column.logical_nulls())))
            .collect::<Result<_>>()?;
        let mut scratch = String::new();
        for row in 0..batch.num_rows() {
            for (index, (values, nulls)) in columns.iter().enumerate() {
                if index > 0 {
                    out.push(self.separator);
                }
                if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    if columns.len() == 1 {
                        out.extend_from_slice(b"\"\"");
                    }
                    continue;
                }
                let written = match values {
                    Values::Text(value) => {
                        self.put(value(row).as_bytes(), out);
                        continue;
                    }
                    // writing to a Vec cannot fail
                    Values::Whole(values) => write!(out, "{}", values.value(row)).map_err(ArrowError::from),
                    Values::Bare(formatter) => formatter.value(row).write(&mut Appender(out)),
                    Values::Formatted(formatter) => {
                        scratch.clear();
                        let written = formatter.value(row).write(&mut scratch);
                        self.put(scratch.as_bytes(), out);
                        written
                    }
                };
                written.map_err(|source| {
                    let schema = batch.schema();
                    text::unprintable(self.format, schema.field(index).name(), self.rows + row as u64 + 1, &source)
                })?;
            }
            out.push(b'\n');
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn end_section(&mut self, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<FinishState> {
        Ok(FinishState::Done)
    }
}

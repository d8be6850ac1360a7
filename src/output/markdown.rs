//! Markdown tables as GitHub, GitLab and most others render them; a section's title is a heading.
//!
//! Values are formatted for readers: floats with at most four decimals, times as `2025-01-01 00:00:00`, NULL as `NULL`.
//! Markup is escaped, and a line break within a value is `<br>`.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use super::text::{self, Times};
use super::{FinishState, Format, OutputError, Result, Sink};

#[derive(Debug, Default)]
pub(crate) struct MarkdownSink {
    sections: usize,
    rows: u64,
}

impl Sink for MarkdownSink {
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        if self.sections > 0 {
            out.push(b'\n');
        }
        self.sections += 1;
        self.rows = 0;
        if let Some(title) = title {
            out.extend_from_slice(format!("## {}\n\n", escaped(title).replace("<br>", " ")).as_bytes());
        }
        if schema.fields().is_empty() {
            return Ok(());
        }
        for field in schema.fields() {
            out.extend_from_slice(format!("| {} ", escaped(field.name())).as_bytes());
        }
        out.extend_from_slice(b"|\n");
        for field in schema.fields() {
            let rule: &[u8] = if text::is_number(field.data_type()) { b"| ---: " } else { b"| --- " };
            out.extend_from_slice(rule);
        }
        out.extend_from_slice(b"|\n");
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if batch.num_columns() == 0 {
            return Ok(());
        }
        let mut columns = Vec::with_capacity(batch.num_columns());
        for column in batch.columns() {
            columns.push(texts(column, self.rows, &batch.schema().field(columns.len()).name().clone())?);
        }
        for row in 0..batch.num_rows() {
            for column in &columns {
                out.extend_from_slice(b"| ");
                out.extend_from_slice(column.get(row).map_or("", String::as_str).as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(b"|\n");
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

fn texts(column: &dyn Array, rows_before: u64, name: &str) -> Result<Vec<String>> {
    let nulls = column.logical_nulls();
    let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    if column.data_type().is_floating() {
        let floats =
            cast(column, &DataType::Float64).map_err(|source| OutputError::encode(Format::Markdown, source))?;
        let floats = floats.as_primitive::<Float64Type>();
        let one = |row: usize| text::float(floats.value(row), text::decimals(floats.value(row)).unwrap_or(1));
        return Ok((0..column.len()).map(|row| if is_null(row) { "NULL".to_owned() } else { one(row) }).collect());
    }
    let options = text::options(column.data_type(), Times::Spaced);
    let formatter = text::formatter(Format::Markdown, column, &options)?;
    (0..column.len())
        .map(|row| {
            if is_null(row) {
                return Ok("NULL".to_owned());
            }
            let value = formatter.value(row).try_to_string();
            value
                .map(|value| escaped(&value))
                .map_err(|source| text::unprintable(Format::Markdown, name, rows_before + row as u64 + 1, &source))
        })
        .collect()
}

/// Escapes Markdown markup (CommonMark 2.4, GitHub tables).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' | '|' | '*' | '`' | '<' | '[' | '~' | '&' => escaped.extend(['\\', character]),
            // an underscore within a word is not markup
            '_' if before.is_alphanumeric() && rest.peek().is_some_and(|after| after.is_alphanumeric()) => {
                escaped.push('_');
            }
            '_' => escaped.push_str("\\_"),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' | '\n' => escaped.push_str("<br>"),
            control if control.is_control() => escaped.push_str(&text::visible(&control.to_string())),
            other => escaped.push(other),
        }
        before = character;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn markup_in_values_is_text() {
        assert_eq!(escaped("a|b\r\nc"), "a\\|b<br>c");
        assert_eq!(escaped("fcr_ratio _x_ <b>*"), "fcr_ratio \\_x\\_ \\<b>\\*");
        assert_eq!(escaped("\x1b[1m"), "␛\\[1m");
    }
}

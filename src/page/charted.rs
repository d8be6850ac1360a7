//! Tables with their charts below them, for a terminal.

use cxql_chart::Language;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;

use crate::output::{Format, OutputError, Progress, Result, Sink, TableOptions};
use crate::report::{Chart, Drawing};

/// Writes tables, and below each the chart of its section.
pub struct ChartedTables {
    table: Box<dyn Sink>,
    charts: std::vec::IntoIter<Option<Chart>>,
    language: Language,
    current: Option<Drawing>,
    width: usize,
    has_color: bool,
}

impl ChartedTables {
    /// Tables that look as `options` say, on a terminal; the charts are as wide as the tables may be.
    pub fn new(options: &TableOptions, table: Box<dyn Sink>, charts: Vec<Option<Chart>>, language: Language) -> Self {
        Self {
            table,
            charts: charts.into_iter(),
            language,
            current: None,
            // a terminal that does not know its width has the usual one
            width: options.columns(true).unwrap_or(80),
            has_color: options.is_styled(true),
        }
    }
}

impl Sink for ChartedTables {
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        let chart = self.charts.next().flatten();
        self.current = chart.map(|chart| Drawing::new(&chart, schema, self.language));
        self.table.begin_section(title, schema, out)
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if let Some(drawing) = &mut self.current {
            drawing.add(batch).map_err(|source| OutputError::encode(Format::Table, source))?;
        }
        self.table.write(batch, out)
    }

    fn end_section(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.table.end_section(out)?;
        if let Some(drawing) = self.current.take() {
            let text = cxql_chart::terminal(&drawing.plot(), self.width, self.has_color);
            if !text.is_empty() {
                out.push(b'\n');
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Progress> {
        self.table.finish(out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;
    use crate::output::{Color, Options, Width};
    use crate::report::Report;
    use crate::source::Source;

    #[test]
    fn a_chart_stands_below_its_table() {
        let topic: ArrayRef = Arc::new(StringArray::from(vec!["billing", "delivery"]));
        let ratio: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.0]));
        let batch = RecordBatch::try_from_iter([("topic", topic), ("fcr_ratio", ratio)]).unwrap();
        let source = Arc::new(Source::query("-- chart: bar x=topic y=fcr_ratio format=percent\nselect 1 as a"));
        let chart = Report::parse("r", &source).unwrap().sections[0].chart.clone();
        let table = TableOptions { width: Width::Fixed(40), color: Color::Never, ..TableOptions::default() };
        let options = Options { table: table.clone(), ..Options::default() };
        let inner = Format::Table.sink(&options, false);
        let mut sink = ChartedTables::new(&table, inner, vec![chart], Language::English);
        let mut out = Vec::new();
        sink.begin_section(None, &batch.schema(), &mut out).unwrap();
        sink.write(&batch, &mut out).unwrap();
        sink.end_section(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (table, chart) = text.split_once("(2 rows)\n\n").unwrap();
        assert!(table.contains("0.5"), "{text}");
        // 40 columns less 8 for names, 6 for values and 4 between
        assert_eq!(chart.lines().last().unwrap(), format!("delivery {} 100.0%", "█".repeat(22)));
    }
}

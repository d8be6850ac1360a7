//! Tables with charts below them, for a terminal.

use cxql_chart::Language;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;

use crate::output::{FinishState, Format, OutputError, Result, Sink, TableOptions};
use crate::report::{Chart, ChartData};

/// Writes each section as a table with its chart below.
pub(super) struct ChartedTableSink {
    table: Box<dyn Sink>,
    charts: std::vec::IntoIter<Option<Chart>>,
    language: Language,
    current: Option<ChartData>,
    width: usize,
    has_color: bool,
}

impl ChartedTableSink {
    /// A sink that writes tables with `table`; the charts are as wide as `options` let tables be on a terminal.
    pub(super) fn new(
        options: &TableOptions,
        table: Box<dyn Sink>,
        charts: Vec<Option<Chart>>,
        language: Language,
    ) -> Self {
        Self {
            table,
            charts: charts.into_iter(),
            language,
            current: None,
            // the usual width, for a terminal that does not know its own
            width: options.columns(true).unwrap_or(80),
            has_color: options.is_styled(true),
        }
    }
}

impl Sink for ChartedTableSink {
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()> {
        let chart = self.charts.next().flatten();
        self.current = chart.map(|chart| ChartData::new(&chart, schema, self.language));
        self.table.begin_section(title, schema, out)
    }

    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if let Some(chart_data) = &mut self.current {
            chart_data.add(batch).map_err(|source| OutputError::encode(Format::Table, source))?;
        }
        self.table.write(batch, out)
    }

    fn end_section(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.table.end_section(out)?;
        if let Some(chart_data) = self.current.take() {
            let text = cxql_chart::terminal(&chart_data.plot(), self.width, self.has_color);
            if !text.is_empty() {
                out.push(b'\n');
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<FinishState> {
        self.table.finish(out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;
    use crate::output::sinks::TableSink;
    use crate::output::{Color, Width};
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
        let inner = Box::new(TableSink::new(table.clone(), false));
        let mut sink = ChartedTableSink::new(&table, inner, vec![chart], Language::English);
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

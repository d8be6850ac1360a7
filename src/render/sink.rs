//! The one place that chooses the sink of a format.
//!
//! | format | sink |
//! |---|---|
//! | `table` on a terminal, with charts | [`ChartedTableSink`] |
//! | `html` with facts; without | [`PageSink`]; the rows alone |
//! | `png` | [`PngSink`] |
//! | `xlsx` | sheets with Excel's own charts, and one that says what they are |
//! | all others | the rows alone |

use cxql_chart::Language;

use super::{ChartedTableSink, PageFacts, PageSection, PageSink, PngSink, SharedFindings, about};
use crate::output::{Destination, Format, OutputOptions, Result, Sink, Writer, sinks};
use crate::report::Chart;

/// What a format may show beside the rows of a result. The default is the rows alone, such as those of a list.
#[derive(Debug, Default)]
pub(crate) struct Presentation {
    /// Title and chart of each section.
    pub sections: Vec<PageSection>,
    /// The report's title; charts below tables use its language.
    pub title: String,
    /// The facts of a page, for formats of [`Format::shows_facts`].
    pub facts: Option<PageFacts>,
    /// Checks and notes, complete when the rows have ended.
    pub findings: SharedFindings,
}

/// Opens the writer of a result. Every command and job opens its writers here.
///
/// # Errors
/// As [`Writer::open`].
pub(crate) async fn open_writer(
    format: Format,
    destination: Destination,
    options: OutputOptions,
    presentation: Presentation,
) -> Result<Writer> {
    let sink = sink(format, destination.is_terminal(), &options, presentation);
    Writer::open(format, destination, options, sink).await
}

fn sink(format: Format, to_terminal: bool, options: &OutputOptions, presentation: Presentation) -> Box<dyn Sink> {
    let Presentation { sections, title, facts, findings } = presentation;
    match format {
        Format::Table => {
            let table = sinks::TableSink::new(options.table.clone(), to_terminal);
            let charts: Vec<Option<Chart>> = sections.into_iter().map(|section| section.chart).collect();
            // a chart is for a reader: there is none when the table goes into a pipe or a file
            if to_terminal && charts.iter().any(Option::is_some) {
                Box::new(ChartedTableSink::new(&options.table, Box::new(table), charts, Language::of(&title)))
            } else {
                Box::new(table)
            }
        }
        Format::Csv => Box::new(sinks::CsvSink::new(format, b',')),
        Format::Tsv => Box::new(sinks::CsvSink::new(format, b'\t')),
        Format::Json => Box::new(sinks::JsonSink::new(options.sections)),
        Format::Ndjson => Box::new(sinks::NdjsonSink::default()),
        Format::Markdown => Box::new(sinks::MarkdownSink::default()),
        Format::Parquet => Box::new(sinks::ParquetSink::new(options.memory)),
        Format::Arrow => Box::new(sinks::ArrowSink::default()),
        Format::Xlsx => {
            let chart = |section: &PageSection| section.chart.as_ref().and_then(Chart::sheet_chart);
            let about = facts.map(|facts| about::sheet(facts, &findings));
            Box::new(sinks::XlsxSink::new(sections.iter().map(chart).collect(), about))
        }
        Format::Html => match facts {
            Some(facts) => Box::new(PageSink::new(facts, sections, findings, options.page_rows)),
            None => Box::new(sinks::HtmlSink::new(options.page_rows)),
        },
        Format::Png => {
            let section = sections.into_iter().next().unwrap_or_default();
            Box::new(PngSink::new(section.chart, &section.title.unwrap_or_default()))
        }
    }
}

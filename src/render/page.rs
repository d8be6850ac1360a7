//! The page of a report: one HTML file with its title, its parameters, the freshness of the data, a chart and a table for
//! each section, the checks, and the definitions of the functions that it uses.
//!
//! A page is a [`Sink`], so it is written whole or not at all, as any other format. Its [`PageFacts`] are known before the
//! rows arrive; its checks and notes ([`SharedFindings`]) are complete when the rows have ended.

use std::sync::PoisonError;

use cxql_chart::Size;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use maud::{Markup, PreEscaped, html};

use super::words::Words;
use super::{Findings, PageFacts, PageSection, SharedFindings};
use crate::output::html::{Rows, document};
use crate::output::{FinishState, Format, OutputError, Result, Sink, visible};
use crate::report::{ChartData, Verdict};

/// Tables with more rows are collapsed below a chart.
const OPEN_ROWS: usize = 12;

/// Writes the page of a report.
#[derive(Debug)]
pub(super) struct PageSink {
    facts: PageFacts,
    sections: std::vec::IntoIter<PageSection>,
    findings: SharedFindings,
    max_rows: usize,
    current: Option<OpenSection>,
    /// The sections that have ended.
    done: Vec<Markup>,
    /// Id and text of the headings, for the contents at the top.
    headings: Vec<(String, String)>,
}

/// The section whose rows are arriving.
#[derive(Debug)]
struct OpenSection {
    title: Option<String>,
    rows: Rows,
    chart_data: Option<ChartData>,
}

impl PageSink {
    /// A page with at most `max_rows` rows in a table; 0 shows all.
    pub(super) fn new(facts: PageFacts, sections: Vec<PageSection>, findings: SharedFindings, max_rows: usize) -> Self {
        Self {
            facts,
            sections: sections.into_iter(),
            findings,
            max_rows,
            current: None,
            done: vec![],
            headings: vec![],
        }
    }

    fn words(&self) -> &'static Words {
        Words::of(self.facts.language)
    }
}

impl Sink for PageSink {
    fn begin_section(&mut self, _: Option<&str>, schema: &SchemaRef, _: &mut Vec<u8>) -> Result<()> {
        let section = self.sections.next().unwrap_or_default();
        let chart_data = section.chart.map(|chart| ChartData::new(&chart, schema, self.facts.language));
        self.current = Some(OpenSection { title: section.title, rows: Rows::new(schema, self.max_rows), chart_data });
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        if let Some(current) = &mut self.current {
            current.rows.add(batch);
            if let Some(chart_data) = &mut current.chart_data {
                chart_data.add(batch).map_err(|source| OutputError::encode(Format::Html, source))?;
            }
        }
        Ok(())
    }

    fn end_section(&mut self, _: &mut Vec<u8>) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let words = self.words();
        let title = current.title.as_deref().map(visible);
        let name = title.clone().unwrap_or_else(|| visible(&self.facts.title));
        let count = current.rows.count();
        let table = current.rows.table(&name, self.facts.language)?;
        let chart = current.chart_data.as_ref().map(|chart_data| (chart_data.plot(), chart_data.left_out()));
        let id = format!("s{}", self.done.len() + 1);
        if let Some(title) = &title {
            self.headings.push((id.clone(), title.clone()));
        }
        self.done.push(html! {
            section id=(id) {
                @if let Some(title) = &title { h2 { (title) } }
                @if let Some((plot, left_out)) = &chart {
                    figure {
                        @if let Some(title) = &plot.title { figcaption { (title) } }
                        (PreEscaped(cxql_chart::svg(plot, Size::Wide).replacen("<svg class=\"cx\"", "<svg class=\"cx wide\"", 1)))
                        (PreEscaped(cxql_chart::svg(plot, Size::Narrow).replacen("<svg class=\"cx\"", "<svg class=\"cx narrow\"", 1)))
                        @if *left_out > 0 { p.muted { ((words.left_out)(*left_out)) } }
                    }
                    details open[count <= OPEN_ROWS] {
                        summary { ((words.table)(count)) }
                        (table)
                    }
                } @else {
                    (table)
                }
            }
        });
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<FinishState> {
        let Findings { checks, notes } = self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let words = self.words();
        let facts = &self.facts;
        let failed = checks.iter().filter(|(_, verdict)| verdict.failed_count > 0).count();
        let body = html! {
            header {
                h1 { (visible(&facts.title)) }
                @if let Some(description) = &facts.description { p.lead { (visible(description)) } }
                @if !checks.is_empty() {
                    a.badge href="#checks" {
                        span class=(if failed == 0 { "ok" } else { "failed" }) { ((words.checks_short)(checks.len() - failed, checks.len())) }
                    }
                }
                @if !notes.is_empty() {
                    section.notes aria-label=(words.notes) {
                        h2 { (words.notes) }
                        ul { @for note in &notes { li { (visible(note)) } } }
                    }
                }
                (self.facts_list())
                @if self.headings.len() > 1 {
                    nav aria-label=(words.contents) {
                        p.muted {
                            @for (at, (id, heading)) in self.headings.iter().enumerate() {
                                @if at > 0 { " · " }
                                a href=(format!("#{id}")) { (heading) }
                            }
                        }
                    }
                }
            }
            @for section in &self.done { (section) }
            @if !checks.is_empty() { (self.checks(&checks)) }
            @if !facts.functions.is_empty() { (self.definitions()) }
            @if let Some(sql) = &facts.sql {
                section id="sql" {
                    details {
                        summary { (words.sql) }
                        pre { code { (visible_lines(sql)) } }
                    }
                }
            }
            footer { p { (words.made_by) " cxql " (env!("CARGO_PKG_VERSION")) " · " time datetime=(facts.generated_at) { (facts.generated_at.replace('T', " ").replace('Z', " UTC")) } } }
        };
        out.extend_from_slice(document(&facts.title, facts.language, &body).as_bytes());
        Ok(FinishState::Done)
    }
}

/// [`visible`] per line: line breaks are kept.
fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

impl PageSink {
    fn facts_list(&self) -> Markup {
        let (facts, words) = (&self.facts, self.words());
        let zoned = |time: &str| time.replace('T', " ").replace('Z', " UTC");
        html! {
            div.facts {
                @if !facts.parameters.is_empty() {
                    div {
                        h2 { (words.parameters) }
                        dl {
                            @for (name, value, note) in &facts.parameters {
                                dt title=[note.as_ref()] { (visible(name)) }
                                dd { (visible(value)) }
                            }
                        }
                    }
                }
                @if !facts.freshness.is_empty() {
                    div {
                        h2 { (words.newest) }
                        dl {
                            @for table in &facts.freshness {
                                dt { (visible(&table.table)) }
                                dd {
                                    @match &table.newest {
                                        Some(newest) => span title=(visible(table.column.as_deref().unwrap_or_default())) { (zoned(newest)) },
                                        None if table.column.is_none() => span.muted { (words.no_time) },
                                        None => span.muted { (words.empty) },
                                    }
                                }
                            }
                        }
                    }
                }
                div {
                    h2 { (words.generated) }
                    dl {
                        dt { (words.at) }
                        dd { (zoned(&facts.generated_at)) }
                        @if let Some(report) = &facts.report {
                            dt { (words.report) }
                            dd { (visible(report)) }
                        }
                        @if let Some(grain) = &facts.grain {
                            dt { (words.grain) }
                            dd { (visible(grain)) }
                        }
                    }
                }
            }
        }
    }

    fn checks(&self, checks: &[(String, Verdict)]) -> Markup {
        let words = self.words();
        html! {
            section id="checks" {
                h2 { (words.checks) }
                ul.checks {
                    @for (text, verdict) in checks {
                        @if verdict.failed_count == 0 {
                            li.ok { code { (visible(text)) } " " span.muted { ((words.holds)(verdict.row_count)) } }
                        } @else {
                            li.failed {
                                code { (visible(text)) } " "
                                span.muted { ((words.fails)(verdict.failed_count, verdict.row_count)) }
                                @if let Some(first) = &verdict.first_failed { " " code { (visible(first)) } }
                            }
                        }
                    }
                }
            }
        }
    }

    fn definitions(&self) -> Markup {
        let words = self.words();
        html! {
            section id="definitions" {
                h2 { (words.definitions) }
                div.defs {
                    @for page in &self.facts.functions {
                        article {
                            h3 { code { (page.name) } }
                            p { (page.description) }
                            dl {
                                @for (label, text) in &page.sections {
                                    dt { ((words.label)(label)) }
                                    dd { (text) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;
    use cxql_chart::Language;

    fn facts() -> PageFacts {
        PageFacts {
            title: "A <script>alert(1)</script> title".into(),
            description: Some("What & why".into()),
            report: Some("r".into()),
            grain: None,
            language: Language::English,
            parameters: vec![("queue".into(), "<b>".into(), Some("a \"note\"".into()))],
            generated_at: "2025-06-01T08:00:00Z".into(),
            freshness: vec![crate::render::facts::Freshness {
                table: "interactions".into(),
                column: Some("started_at".into()),
                newest: Some("2025-05-31T23:59:00Z".into()),
            }],
            functions: cxql_udfs::docs::page("fcr").into_iter().collect(),
            sql: Some("select '<script>'".into()),
        }
    }

    fn page(facts: PageFacts, checks: Vec<(String, Verdict)>) -> String {
        let findings = Findings { checks, notes: vec!["2 of 5 rows have no <topic>".into()] };
        let topic: ArrayRef = Arc::new(StringArray::from(vec!["<script>x</script>", "delivery"]));
        let ratio: ArrayRef = Arc::new(Float64Array::from(vec![0.25, 0.75]));
        let batch = RecordBatch::try_from_iter([("topic", topic), ("fcr_ratio", ratio)]).unwrap();
        let source = Arc::new(crate::source::Source::query(
            "-- chart: bar x=topic y=fcr_ratio format=percent title=\"<script>t</script>\"\nselect 1 as a",
        ));
        let report = crate::report::Report::parse("r", &source).unwrap();
        let section = PageSection { title: None, chart: report.sections[0].chart.clone() };
        let mut sink = PageSink::new(facts, vec![section], Arc::new(Mutex::new(findings)), 0);
        let mut out = Vec::new();
        sink.begin_section(None, &batch.schema(), &mut out).unwrap();
        sink.write(&batch, &mut out).unwrap();
        sink.end_section(&mut out).unwrap();
        assert_eq!(sink.finish(&mut out).unwrap(), FinishState::Done);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_page_shows_its_facts_and_escapes_everything() {
        let page = page(facts(), vec![("fcr_ratio <= 1".into(), Verdict { row_count: 2, ..Verdict::default() })]);
        assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
        for wanted in [
            "A &lt;script&gt;alert(1)&lt;/script&gt; title</h1>",
            "What &amp; why",
            "<dd>&lt;b&gt;</dd>",
            "2025-05-31 23:59:00 UTC",
            "2025-06-01 08:00:00 UTC",
            "fcr_ratio &lt;= 1",
            "<li>2 of 5 rows have no &lt;topic&gt;</li>",
            "id=\"definitions\"",
            "resolved at first contact / (resolved",
            "<svg class=\"cx wide\"",
            "<svg class=\"cx narrow\"",
            "role=\"img\" aria-label=\"Bar chart: fcr ratio by topic. 2 values",
            "<figcaption>&lt;script&gt;t&lt;/script&gt;</figcaption>",
            "&lt;script&gt;x&lt;/script&gt;",
            "<td class=\"n\" data-v=\"0.25\">25.0%</td>",
            "default-src 'none'",
        ] {
            assert!(page.contains(wanted), "{wanted}\n{page}");
        }
        // no address but the name of SVG's language would ask the network
        assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    }

    #[test]
    fn a_failed_check_is_shown_with_its_first_row() {
        let verdict = Verdict { row_count: 2, failed_count: 1, first_failed: Some("topic=x".into()) };
        let page = page(facts(), vec![("fcr_ratio > 0.5".into(), verdict)]);
        assert!(page.contains("class=\"failed\">0 of 1 checks hold"), "{page}");
        assert!(page.contains("fails for 1 of 2 rows") && page.contains("topic=x"), "{page}");
    }

    #[test]
    fn a_chinese_report_has_chinese_words() {
        let page = page(PageFacts { title: "首次联系解决率".into(), language: Language::Chinese, ..facts() }, vec![]);
        assert!(
            page.contains("<html lang=\"zh-CN\">") && page.contains("数据截至") && page.contains("指标定义"),
            "{page}"
        );
        assert!(page.contains("柱形图"), "{page}");
    }
}

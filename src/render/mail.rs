//! The mail of a report: HTML for mail programs, its charts as inline attachments, and a plain text alternative.
//!
//! Mail programs drop scripts, style sheets and inline SVG. Styles are therefore inline, charts are PNG attachments that
//! the HTML references by content id, and tables are short: the whole result is in the attachments or outputs of the job.

use std::sync::PoisonError;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use maud::{DOCTYPE, Markup, html};

use super::png::picture;
use super::words::Words;
use super::{Findings, PageFacts, PageSection, SharedFindings};
use crate::output::html::Rows;
use crate::output::sinks::TableSink;
use crate::output::{Color, Format, OutputError, Result, Sink, TableOptions, Width, visible};
use crate::report::{ChartData, Verdict};

const FONT: &str = "font-family:-apple-system,'Segoe UI',Roboto,'Noto Sans','PingFang SC','Microsoft YaHei',sans-serif";
const MUTED: &str = "color:#5b6573;font-size:13px";
const TEXT_COLUMNS: u16 = 100;

/// A warning at the top of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Banner {
    /// What is wrong.
    pub text: String,
    /// An error, which needs action, rather than a warning.
    pub is_error: bool,
}

/// A mail's content.
#[derive(Debug, Clone)]
pub(crate) struct MailBody {
    /// The HTML.
    pub html: String,
    /// The same as plain text.
    pub text: String,
    /// The pictures that the HTML references: content id and PNG.
    pub pictures: Vec<(String, Vec<u8>)>,
}

/// Collects the content of a mail while the rows are written.
#[derive(Debug)]
pub(crate) struct MailPage {
    facts: PageFacts,
    sections: std::vec::IntoIter<PageSection>,
    findings: SharedFindings,
    max_rows: usize,
    done: Vec<MailSection>,
}

#[derive(Debug)]
struct MailSection {
    title: Option<String>,
    schema: SchemaRef,
    rows: Rows,
    chart_data: Option<ChartData>,
}

impl MailPage {
    /// A mail with at most `max_rows` rows in a table.
    pub(crate) fn new(facts: PageFacts, sections: Vec<PageSection>, findings: SharedFindings, max_rows: usize) -> Self {
        Self { facts, sections: sections.into_iter(), findings, max_rows, done: vec![] }
    }

    /// Starts a section of rows of this schema.
    pub(crate) fn begin(&mut self, schema: &SchemaRef) {
        let section = self.sections.next().unwrap_or_default();
        let chart_data = section.chart.map(|chart| ChartData::new(&chart, schema, self.facts.language));
        let rows = Rows::new(schema, self.max_rows);
        self.done.push(MailSection { title: section.title, schema: SchemaRef::clone(schema), rows, chart_data });
    }

    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// A column that no chart can draw.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(section) = self.done.last_mut() else { return Ok(()) };
        section.rows.add(batch);
        match &mut section.chart_data {
            Some(chart_data) => chart_data.add(batch).map_err(|source| OutputError::encode(Format::Html, source)),
            None => Ok(()),
        }
    }

    /// The mail, headed by `banners`. `name` makes the content ids of its pictures unique; `links` lead to the whole result.
    ///
    /// # Errors
    /// A value that cannot be formatted.
    pub(crate) fn finish(&self, name: &str, banners: &[Banner], links: &[String]) -> Result<MailBody> {
        let words = Words::of(self.facts.language);
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Findings { checks, notes } = &findings;
        let mut pictures = Vec::new();
        let mut sections = Vec::with_capacity(self.done.len());
        for section in &self.done {
            sections.push(self.section(section, name, words, &mut pictures)?);
        }
        let body = html! {
            (DOCTYPE)
            html lang=(self.facts.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light";
                    title { (visible(&self.facts.title)) }
                }
                body style=(format!("margin:0;padding:0;background:#f4f5f7;color:#1b2330;{FONT}")) {
                    table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="border-collapse:collapse" {
                        tr { td align="center" style="padding:16px 8px" {
                            table role="presentation" width="720" cellpadding="0" cellspacing="0"
                                style="border-collapse:collapse;table-layout:fixed;width:100%;max-width:720px;background:#ffffff" {
                                tr { td style="padding:20px 24px" {
                                    @for banner in banners { (strip(banner)) }
                                    h1 style="font-size:22px;line-height:1.25;margin:0 0 6px" { (visible(&self.facts.title)) }
                                    @if let Some(description) = &self.facts.description {
                                        p style="margin:0 0 10px;font-size:15px;line-height:1.45" { (visible(description)) }
                                    }
                                    p style=(format!("margin:0 0 14px;{MUTED};line-height:1.5")) { (self.facts_line(words)) }
                                    @if !notes.is_empty() { (notes_list(notes, words)) }
                                    @for section in &sections { (section) }
                                    @if !checks.is_empty() { (checks_list(checks, words)) }
                                    @if !links.is_empty() {
                                        p style=(format!("margin:16px 0 0;{MUTED}")) {
                                            @for link in links { code { (visible(link)) } br; }
                                        }
                                    }
                                    p style=(format!("margin:18px 0 0;border-top:1px solid #d9dde3;padding-top:8px;{MUTED}")) {
                                        (words.made_by) " cxql " (env!("CARGO_PKG_VERSION")) " · " (name)
                                    }
                                } }
                            }
                        } }
                    }
                }
            }
        };
        Ok(MailBody { html: body.into_string(), text: self.text(name, banners, &findings, links)?, pictures })
    }

    fn section(
        &self,
        section: &MailSection,
        name: &str,
        words: &Words,
        pictures: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<Markup> {
        let heading = section.title.as_deref().map(visible);
        let table_name = heading.clone().unwrap_or_else(|| visible(&self.facts.title));
        let mut shown = None;
        if let Some(chart_data) = &section.chart_data {
            let mut plot = chart_data.plot();
            let described = cxql_chart::description(&plot);
            plot.title.get_or_insert_with(|| table_name.clone());
            match picture(&plot) {
                Ok(png) => {
                    let id = format!("chart{}.{name}@cxql", pictures.len() + 1);
                    shown = Some(Ok((id.clone(), described)));
                    pictures.push((id, png));
                }
                // the table has the figures; one strange character must not hold back the mail
                Err(error) => shown = Some(Err(error.to_string())),
            }
        }
        Ok(html! {
            @if let Some(heading) = &heading { h2 style="font-size:17px;margin:20px 0 8px" { (heading) } }
            @match &shown {
                Some(Ok((id, described))) => {
                    img src=(format!("cid:{id}")) alt=(described) width="672" style="display:block;width:100%;height:auto;border:0;margin:0 0 10px";
                }
                Some(Err(error)) => { p style=(MUTED) { (visible(error)) } }
                None => {}
            }
            (section.rows.mail_table(&table_name, self.facts.language)?)
            @if let Some(chart_data) = &section.chart_data {
                @if chart_data.left_out() > 0 { p style=(MUTED) { ((words.left_out)(chart_data.left_out())) } }
            }
        })
    }

    /// Parameters, how new the data is, and when the mail was made.
    fn facts_line(&self, words: &Words) -> Markup {
        let zoned = |time: &str| time.replace('T', " ").replace('Z', " UTC");
        html! {
            @for (name, value, _) in &self.facts.parameters { (visible(name)) " = " (visible(value)) " · " }
            @for table in &self.facts.freshness {
                @if let Some(newest) = &table.newest { (words.newest) " " (visible(&table.table)) " " (zoned(newest)) " · " }
            }
            (words.generated) " " (zoned(&self.facts.generated_at))
        }
    }

    fn text(&self, name: &str, banners: &[Banner], findings: &Findings, links: &[String]) -> Result<String> {
        let words = Words::of(self.facts.language);
        let Findings { checks, notes } = findings;
        let mut out = Vec::new();
        for banner in banners {
            out.extend_from_slice(format!("! {}\n", visible(&banner.text)).as_bytes());
        }
        let facts = &self.facts;
        out.extend_from_slice(format!("{}\n", visible(&facts.title)).as_bytes());
        if let Some(description) = &facts.description {
            out.extend_from_slice(format!("{}\n", visible(description)).as_bytes());
        }
        for (parameter, value, _) in &facts.parameters {
            out.extend_from_slice(format!("{} = {}\n", visible(parameter), visible(value)).as_bytes());
        }
        out.extend_from_slice(format!("{} {}\n", words.generated, facts.generated_at).as_bytes());
        if !notes.is_empty() {
            out.extend_from_slice(format!("\n{}\n", words.notes).as_bytes());
            for note in notes {
                out.extend_from_slice(format!("- {}\n", visible(note)).as_bytes());
            }
        }
        let table = TableOptions { width: Width::Fixed(TEXT_COLUMNS), color: Color::Never, max_rows: self.max_rows };
        for section in &self.done {
            out.push(b'\n');
            let mut sink = TableSink::new(table.clone(), false);
            sink.begin_section(section.title.as_deref(), &section.schema, &mut out)?;
            for batch in section.rows.batches() {
                sink.write(batch, &mut out)?;
            }
            sink.end_section(&mut out)?;
            sink.finish(&mut out)?;
        }
        if !checks.is_empty() {
            let failed = checks.iter().filter(|(_, verdict)| verdict.failed_count > 0).count();
            let line = (words.checks_short)(checks.len() - failed, checks.len());
            out.extend_from_slice(format!("\n{line}\n").as_bytes());
        }
        for link in links {
            out.extend_from_slice(format!("{}\n", visible(link)).as_bytes());
        }
        out.extend_from_slice(format!("\n{} cxql {} · {name}\n", words.made_by, env!("CARGO_PKG_VERSION")).as_bytes());
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

fn strip(banner: &Banner) -> Markup {
    let (ground, line) = if banner.is_error { ("#fdecea", "#b3261e") } else { ("#fff6e0", "#8a5a00") };
    let style = format!(
        "margin:0 0 12px;padding:8px 12px;background:{ground};border-left:4px solid {line};color:#1b2330;font-size:15px"
    );
    html! { div style=(style) { (visible(&banner.text)) } }
}

fn notes_list(notes: &[String], words: &Words) -> Markup {
    html! {
        p style="margin:0 0 2px;font-size:13px;font-weight:600" { (words.notes) }
        ul style=(format!("margin:0 0 14px;padding-left:18px;{MUTED};line-height:1.5")) {
            @for note in notes { li { (visible(note)) } }
        }
    }
}

fn checks_list(checks: &[(String, Verdict)], words: &Words) -> Markup {
    let failed: Vec<_> = checks.iter().filter(|(_, verdict)| verdict.failed_count > 0).collect();
    html! {
        p style=(format!("margin:16px 0 4px;{MUTED}")) { ((words.checks_short)(checks.len() - failed.len(), checks.len())) }
        @for (text, verdict) in failed {
            p style="margin:0 0 4px;font-size:13px;color:#b3261e" {
                code { (visible(text)) } " " ((words.fails)(verdict.failed_count, verdict.row_count)) " "
                @if let Some(first) = &verdict.first_failed { code { (visible(first)) } }
            }
        }
    }
}

/// A message of a few lines, such as one that a job failed.
pub(crate) fn note_body(title: &str, lines: &[String], banner: &Banner) -> MailBody {
    let body = html! {
        (DOCTYPE)
        html {
            head { meta charset="utf-8"; title { (visible(title)) } }
            body style=(format!("margin:0;padding:16px;color:#1b2330;{FONT}")) {
                (strip(banner))
                @for line in lines {
                    pre style="margin:0 0 8px;font-size:14px;white-space:pre-wrap;font-family:inherit" {
                        (line.lines().map(visible).collect::<Vec<_>>().join("\n"))
                    }
                }
                p style=(MUTED) { "cxql " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    let text = format!("{}\n\n{}\n", banner.text, lines.join("\n"));
    MailBody { html: body.into_string(), text, pictures: vec![] }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;
    use crate::report::Report;
    use crate::source::Source;
    use cxql_chart::Language;

    #[test]
    fn a_mail_attaches_its_charts_and_has_the_same_content_as_plain_text() {
        let topic: ArrayRef = Arc::new(StringArray::from(vec!["<b>billing</b>", "delivery", "other"]));
        let ratio: ArrayRef = Arc::new(Float64Array::from(vec![0.25, 0.75, 0.5]));
        let batch = RecordBatch::try_from_iter([("topic", topic), ("fcr_ratio", ratio)]).unwrap();
        let source = Arc::new(Source::query("-- chart: bar x=topic y=fcr_ratio format=percent\nselect 1 as a"));
        let report = Report::parse("r", &source).unwrap();
        let facts = PageFacts {
            title: "A <i>title</i>".into(),
            description: None,
            report: Some("r".into()),
            grain: None,
            language: Language::English,
            parameters: vec![("queue".into(), "<b>".into(), None)],
            generated_at: "2025-06-01T08:00:00Z".into(),
            freshness: vec![],
            functions: vec![],
            sql: None,
        };
        let section = PageSection { title: None, chart: report.sections[0].chart.clone() };
        let findings = Findings { checks: vec![], notes: vec!["1 of 3 rows has no <topic>".into()] };
        let mut page = MailPage::new(facts, vec![section], Arc::new(Mutex::new(findings)), 2);
        page.begin(&batch.schema());
        page.add(&batch).unwrap();
        let banner = Banner { text: "bad & worse".into(), is_error: true };
        let body = page.finish("weekly-1", &[banner], &["s3://b/x.html".into()]).unwrap();
        assert_eq!(body.pictures[0].0, "chart1.weekly-1@cxql");
        assert_eq!(&body.pictures[0].1[1..4], b"PNG");
        for wanted in [
            "src=\"cid:chart1.weekly-1@cxql\"",
            "alt=\"Bar chart: fcr ratio by topic",
            "&lt;b&gt;billing&lt;/b&gt;",
            "A &lt;i&gt;title&lt;/i&gt;</h1>",
            "25.0%",
            "1 of 3 rows has no &lt;topic&gt;",
            "The first 2 of 3 rows.",
            "bad &amp; worse",
            "s3://b/x.html",
        ] {
            assert!(body.html.contains(wanted), "{wanted}\n{}", body.html);
        }
        // nothing that mail programs drop or fetch from the network
        for unwanted in ["<script", "<svg", "<style", "http"] {
            assert!(!body.html.contains(unwanted), "{unwanted}");
        }
        for wanted in ["! bad & worse", "A <i>title</i>", "delivery", "queue = <b>", "- 1 of 3 rows has no <topic>"] {
            assert!(body.text.contains(wanted), "{wanted}\n{}", body.text);
        }
    }
}

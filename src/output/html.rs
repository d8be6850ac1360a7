//! HTML tables: one self-contained file that needs no network.
//!
//! [`HtmlSink`] writes tables alone. Pages and mails of reports (`render`) use its parts: [`Rows`] buffers the rows
//! that are shown and formats them as a table, [`document`] is the HTML document with style and script. All data is
//! escaped, and control characters are made visible.
//!
//! A column whose name ends in `_ratio` is shown in per cent and one in `_count` with thousands separators; the cell
//! keeps the exact value for sorting.

use cxql_chart::{Form, Language, Theme, stylesheet, variables};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::text::{self, Times};
use super::{FinishState, Format, OutputError, Result, Sink};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Maximum characters of a cell; a page with whole transcripts would be unreadable.
const LONGEST_CELL: usize = 2_000;

/// Writes tables alone.
#[derive(Debug)]
pub(crate) struct HtmlSink {
    most: usize,
    tables: Vec<(Option<String>, Markup)>,
    rows: Option<(Option<String>, Rows)>,
}

impl HtmlSink {
    /// A sink that shows at most this many rows of a section; 0 shows all.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, tables: vec![], rows: None }
    }
}

impl Sink for HtmlSink {
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, _: &mut Vec<u8>) -> Result<()> {
        self.rows = Some((title.map(str::to_owned), Rows::new(schema, self.most)));
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        if let Some((_, rows)) = &mut self.rows {
            rows.add(batch);
        }
        Ok(())
    }

    fn end_section(&mut self, _: &mut Vec<u8>) -> Result<()> {
        if let Some((title, rows)) = self.rows.take() {
            let language = Language::of(title.as_deref().unwrap_or_default());
            let name = title.clone().unwrap_or_else(|| "Result".to_owned());
            self.tables.push((title, rows.table(&name, language)?));
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<FinishState> {
        let titles: String = self.tables.iter().filter_map(|(title, _)| title.as_deref()).collect();
        let body = html! {
            @for (title, table) in &self.tables {
                section {
                    @if let Some(title) = title { h2 { (text::visible(title)) } }
                    (table)
                }
            }
        };
        out.extend_from_slice(document("cxql", Language::of(&titles), &body).as_bytes());
        Ok(FinishState::Done)
    }
}

/// The HTML document around `body`, with style and script.
pub(crate) fn document(title: &str, language: Language, body: &Markup) -> String {
    // content security policy: no network access, whatever the data contains
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                  base-uri 'none'; form-action 'none'";
    let style = format!(
        ":root{{color-scheme:light dark;{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n\
         @media print{{:root{{color-scheme:light;{}}}}}\n{STYLE}\n{}",
        variables(Theme::Light),
        variables(Theme::Dark),
        variables(Theme::Light),
        stylesheet(None)
    );
    let page = html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="generator" content=(concat!("cxql ", env!("CARGO_PKG_VERSION")));
                link rel="icon" href="data:,";
                title { (text::visible(title)) }
                style { (PreEscaped(style)) }
            }
            body {
                main { (body) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

/// The first rows of a section, and the number of all.
#[derive(Debug)]
pub(crate) struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    most: usize,
    shown: usize,
    all: usize,
}

impl Rows {
    /// Buffers at most this many rows; 0 buffers all.
    pub(crate) fn new(schema: &SchemaRef, most: usize) -> Self {
        let most = if most == 0 { usize::MAX } else { most };
        Self { schema: SchemaRef::clone(schema), batches: vec![], most, shown: 0, all: 0 }
    }

    /// Adds the rows of a batch.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.all += batch.num_rows();
        let kept = batch.num_rows().min(self.most - self.shown);
        if kept > 0 {
            self.batches.push(batch.slice(0, kept));
            self.shown += kept;
        }
    }

    /// The number of rows, including those that are not buffered.
    pub(crate) fn count(&self) -> usize {
        self.all
    }

    /// The table, with a line about the rows that are not shown.
    ///
    /// # Errors
    /// A value that cannot be formatted.
    pub(crate) fn table(&self, name: &str, language: Language) -> Result<Markup> {
        let columns = (0..self.schema.fields().len()).map(|index| self.column(index)).collect::<Result<Vec<_>>>()?;
        Ok(html! {
            div.scroll tabindex="0" role="region" aria-label=(text::visible(name)) {
                table {
                    caption.hidden { (text::visible(name)) }
                    thead {
                        tr {
                            @for column in &columns {
                                th scope="col" class=[column.is_number.then_some("n")] { (column.header) }
                            }
                        }
                    }
                    tbody {
                        @for row in 0..self.shown {
                            tr {
                                @for column in &columns {
                                    @match &column.cells[row] {
                                        None => { td class=(if column.is_number { "null n" } else { "null" }) { "NULL" } }
                                        Some(cell) => {
                                            td class=[column.is_number.then_some("n")] data-v=[cell.value.as_ref()] { (cell.shown) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if let Some(missing) = self.missing(language) { p.muted { (missing) } }
        })
    }

    /// The buffered rows.
    pub(crate) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The table for a mail, with inline styles, because mail programs drop style sheets.
    ///
    /// # Errors
    /// A value that cannot be formatted.
    pub(crate) fn mail_table(&self, name: &str, language: Language) -> Result<Markup> {
        let columns = (0..self.schema.fields().len()).map(|index| self.column(index)).collect::<Result<Vec<_>>>()?;
        let style = |is_number: bool, extra: &str| {
            let side = if is_number { "right" } else { "left" };
            format!("padding:4px 8px;text-align:{side};border-bottom:1px solid #e3e6ea;vertical-align:top{extra}")
        };
        Ok(html! {
            div style="overflow-x:auto" {
              table aria-label=(text::visible(name)) cellpadding="0" cellspacing="0"
                style="border-collapse:collapse;font-size:13px;line-height:1.35" {
                thead { tr {
                    @for column in &columns {
                        th scope="col" style=(style(column.is_number, ";border-bottom:2px solid #9aa3af")) {
                            // allow line breaks after underscores
                            @for (at, part) in column.header.split('_').enumerate() {
                                @if at > 0 { "_" wbr; }
                                (part)
                            }
                        }
                    }
                } }
                tbody {
                    @for row in 0..self.shown {
                        tr {
                            @for column in &columns {
                                @match column.cells.get(row).and_then(Option::as_ref) {
                                    None => { td style=(style(column.is_number, ";color:#7a8491")) { "NULL" } }
                                    Some(cell) => { td style=(style(column.is_number, "")) { (cell.shown) } }
                                }
                            }
                        }
                    }
                }
              }
            }
            @if let Some(line) = self.missing(language) { p style="color:#5b6573;font-size:13px;margin:6px 0 0" { (line) } }
        })
    }

    /// The line about rows that are not shown.
    fn missing(&self, language: Language) -> Option<String> {
        let is_english = language == Language::English;
        match self.all - self.shown {
            _ if self.all == 0 => Some(if is_english { "No rows." } else { "没有数据行。" }.to_owned()),
            0 => None,
            _ if is_english => Some(format!("The first {} of {} rows.", whole(self.shown), whole(self.all))),
            _ => Some(format!("共 {} 行，此处为前 {} 行。", whole(self.all), whole(self.shown))),
        }
    }

    fn column(&self, index: usize) -> Result<HtmlColumn> {
        let field = self.schema.field(index);
        let is_number = text::is_number(field.data_type());
        let form = reading_form(field.name()).filter(|_| is_number);
        let mut cells = Vec::with_capacity(self.shown);
        let mut floats: Vec<Option<f64>> = Vec::new();
        let is_float = field.data_type().is_floating();
        for batch in &self.batches {
            let column = batch.column(index);
            let nulls = column.logical_nulls();
            let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            if is_float || form.is_some() {
                let wide = cast(column, &DataType::Float64);
                let wide = wide.map_err(|source| OutputError::encode(Format::Html, source))?;
                let wide = wide.as_primitive::<Float64Type>();
                floats.extend((0..wide.len()).map(|row| (!is_null(row)).then(|| wide.value(row))));
                continue;
            }
            // a value that cannot be formatted does not fail the page
            let options = text::options(column.data_type(), Times::Spaced).with_display_error(true);
            let formatter = text::formatter(Format::Html, column, &options)?;
            for row in 0..column.len() {
                cells.push((!is_null(row)).then(|| Cell {
                    shown: text::shortened(&formatter.value(row).to_string(), LONGEST_CELL),
                    value: None,
                }));
            }
        }
        if !floats.is_empty() {
            let decimals = floats.iter().flatten().filter_map(|value| text::decimals(*value)).max().unwrap_or(1);
            let shown = |value: f64| match form {
                Some(form) if value.is_finite() => form.value(value, Language::English),
                _ => text::aligned(value, decimals).trim_end().to_owned(),
            };
            let cell = |value: f64| Cell { shown: shown(value), value: Some(value.to_string()) };
            cells = floats.into_iter().map(|value| value.map(cell)).collect();
        }
        Ok(HtmlColumn { header: text::visible(field.name()), cells, is_number })
    }
}

/// A column of a page's table.
struct HtmlColumn {
    header: String,
    cells: Vec<Option<Cell>>,
    is_number: bool,
}

/// A cell: the displayed string, and the sort key if it differs.
struct Cell {
    shown: String,
    value: Option<String>,
}

/// Number format of a column, implied by its name.
fn reading_form(name: &str) -> Option<Form> {
    let name = name.to_lowercase();
    if name.ends_with("_ratio") {
        Some(Form::Percent)
    } else if name.ends_with("_count") {
        Some(Form::Number)
    } else {
        None
    }
}

fn whole(count: usize) -> String {
    Form::Number.tick(count as f64, 1.0, Language::English)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        let text: ArrayRef =
            Arc::new(StringArray::from(vec![Some("<script>alert(1)</script>"), None, Some("满意 & \u{1b}[1m")]));
        let ratio: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.731_25), None, Some(1.0)]));
        let count: ArrayRef = Arc::new(Int64Array::from(vec![12_345, 0, -1]));
        RecordBatch::try_from_iter([("t<b>", text), ("fcr_ratio", ratio), ("contact_count", count)]).unwrap()
    }

    #[test]
    fn nothing_in_the_data_is_markup() {
        let batch = batch();
        let mut sink = HtmlSink::new(0);
        let mut out = Vec::new();
        sink.begin_section(Some("A <script> \"title\""), &batch.schema(), &mut out).unwrap();
        sink.write(&batch, &mut out).unwrap();
        sink.end_section(&mut out).unwrap();
        assert_eq!(sink.finish(&mut out).unwrap(), FinishState::Done);
        let page = String::from_utf8(out).unwrap();
        // the page's own script is the only one
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(page.contains("t&lt;b&gt;") && page.contains("A &lt;script&gt; &quot;title&quot;"), "{page}");
        assert!(page.contains("满意 &amp; ␛[1m"), "{page}");
    }

    #[test]
    fn ratios_are_read_in_per_cent_and_keep_their_value() {
        let batch = batch();
        let mut rows = Rows::new(&batch.schema(), 2);
        rows.add(&batch);
        let table = rows.table("Rows", Language::English).unwrap().into_string();
        assert!(table.contains("data-v=\"0.73125\">73.1%</td>"), "{table}");
        assert!(table.contains(">12,345</td>") && table.contains("<td class=\"null n\">NULL</td>"), "{table}");
        assert!(table.contains("The first 2 of 3 rows.") && !table.contains("100.0%"), "{table}");
    }
}

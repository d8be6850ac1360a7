//! Results as files: one [`Sink`] per format, and a [`Writer`] that brings its bytes to a place whole or not at all.
//!
//! A result is a stream of record batches in one or more sections. A [`Writer`] is opened for a [`Format`] and a
//! [`Destination`]; then, for each section, come its title and schema and its batches, and `end` puts the result in its
//! place. A local file is written beside its place and renamed, an object appears as one completed upload, and a writer
//! that is dropped before `end` leaves nothing behind. Standard output is streamed as it comes.
//!
//! | format | sections | NULL | times with a zone | how much is in memory |
//! |---|---|---|---|---|
//! | `table` | one below the other | `NULL` | `2025-01-01 00:00:00` | the rows that are shown |
//! | `csv`, `tsv` | one | empty field (`""` is the empty text) | `2025-01-01T00:00:00Z` | one batch |
//! | `json` | one: array of objects; several: object of arrays by title | `null`, every key in every row | RFC 3339 | one batch |
//! | `ndjson` | one | as `json` | RFC 3339 | one batch |
//! | `markdown` | one below the other | `NULL` | as `table` | one batch |
//! | `parquet` | one | NULL | kept | one row group (at most 128 MB encoded) |
//! | `arrow` | one | NULL | kept | one batch |
//! | `xlsx` | one sheet each | empty cell | wall clock of the zone | one row; the sheets are in temporary files |
//! | `png` | one | | as the chart's axis says | the columns that are drawn |
//! | `html` | one below the other | `NULL` | as `table` | the rows that are shown |
//!
//! Every Arrow type can be written in every format: what a format has no type for is written as text.

mod arrow;
mod csv;
mod error;
pub(crate) mod html;
mod json;
mod markdown;
mod parquet;
mod shape;
mod table;
mod target;
mod text;
mod xlsx;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::object_store::ObjectStore;
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;

pub use error::{OutputError, Result};
pub use table::{Color, TableOptions, Width};
pub use target::{has_uploads, remove_unfinished};
pub(crate) use text::visible;
pub use xlsx::SheetChart;

use target::Target;

/// The form in which a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A table for people: aligned, cut to the width of the terminal, long results elided.
    Table,
    /// Comma-separated values (RFC 4180 quoting, lines end in `\n`).
    Csv,
    /// Tab-separated values, quoted as CSV.
    Tsv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// A Markdown table.
    Markdown,
    /// Apache Parquet, compressed with zstd.
    Parquet,
    /// Arrow IPC file (Feather version 2).
    Arrow,
    /// An Excel workbook with a sheet for each section.
    Xlsx,
    /// A page that needs nothing from any network.
    Html,
    /// A picture of a section's chart.
    Png,
}

impl Format {
    /// Every format, in the order in which help texts list them.
    pub const ALL: [Self; 11] = [
        Self::Table,
        Self::Csv,
        Self::Tsv,
        Self::Json,
        Self::Ndjson,
        Self::Markdown,
        Self::Parquet,
        Self::Arrow,
        Self::Xlsx,
        Self::Html,
        Self::Png,
    ];

    /// The name under which the format is asked for.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Markdown => "markdown",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
            Self::Png => "png",
        }
    }

    /// The path endings that stand for the format, the usual one first, without the dot.
    pub const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Table => &["txt"],
            Self::Csv => &["csv"],
            Self::Tsv => &["tsv", "tab"],
            Self::Json => &["json"],
            Self::Ndjson => &["ndjson", "jsonl"],
            Self::Markdown => &["md", "markdown"],
            Self::Parquet => &["parquet", "pq"],
            Self::Arrow => &["arrow", "feather", "ipc"],
            Self::Xlsx => &["xlsx"],
            Self::Html => &["html", "htm"],
            Self::Png => &["png"],
        }
    }

    /// The format that the ending of a path or URL stands for, in any case.
    ///
    /// # Errors
    /// [`OutputError::UnknownEnding`] if there is no ending or nothing is written in it; it lists the endings.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        Self::ALL
            .into_iter()
            .find(|format| ending.as_deref().is_some_and(|ending| format.endings().contains(&ending)))
            .ok_or_else(|| OutputError::UnknownEnding { path: path.display().to_string() })
    }

    /// Whether the format is no text, and so nothing for a terminal.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow | Self::Xlsx | Self::Png)
    }

    /// Whether one output can hold several sections.
    pub const fn holds_sections(self) -> bool {
        matches!(self, Self::Table | Self::Json | Self::Markdown | Self::Xlsx | Self::Html)
    }

    /// The sink that writes the format.
    pub(crate) fn sink(self, options: &Options, to_terminal: bool) -> Box<dyn Sink> {
        match self {
            Self::Table => Box::new(table::TableSink::new(options.table.clone(), to_terminal)),
            Self::Csv => Box::new(csv::CsvSink::new(self, b',')),
            Self::Tsv => Box::new(csv::CsvSink::new(self, b'\t')),
            Self::Json => Box::new(json::JsonSink::new(options.sections)),
            Self::Ndjson => Box::new(json::NdjsonSink::default()),
            Self::Markdown => Box::new(markdown::MarkdownSink::default()),
            Self::Parquet => Box::new(parquet::ParquetSink::new(options.memory)),
            Self::Arrow => Box::new(arrow::ArrowSink::default()),
            Self::Xlsx => Box::new(xlsx::XlsxSink::with_charts(options.sheet_charts.clone())),
            Self::Html => Box::new(html::HtmlSink::new(options.page_rows)),
            Self::Png => Box::new(NoChart),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = OutputError;

    /// A format's name or one of its path endings, in any case.
    fn from_str(name: &str) -> Result<Self> {
        let wanted = name.trim().to_lowercase();
        Self::ALL
            .into_iter()
            .find(|format| format.name() == wanted || format.endings().contains(&wanted.as_str()))
            .ok_or_else(|| OutputError::UnknownFormat { name: name.to_owned(), nearest: nearest(&wanted) })
    }
}

/// The format whose name or ending is near enough to be a slip of the hand.
fn nearest(wanted: &str) -> Option<Format> {
    Format::ALL
        .into_iter()
        .flat_map(|format| {
            format.endings().iter().chain([&format.name()]).map(|name| (format, *name)).collect::<Vec<_>>()
        })
        .map(|(format, name)| (strsim::damerau_levenshtein(wanted, name), name.len(), format))
        .filter(|(distance, length, _)| *distance <= (length.saturating_sub(1) / 2).clamp(1, 2) && *distance > 0)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., format)| format)
}

/// Where a result goes.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Standard output, streamed as it comes.
    Stdout,
    /// A local file, replaced as a whole. A pipe or device that exists (`/dev/stdout`, a FIFO) is streamed to instead,
    /// and a link is followed.
    File(PathBuf),
    /// An object, replaced as a whole by one completed upload.
    Object {
        /// The store that holds the object.
        store: Arc<dyn ObjectStore>,
        /// The object's path in the store.
        path: datafusion::object_store::path::Path,
        /// How the user wrote it; used in messages.
        url: String,
    },
}

/// How a result is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many sections will come. More than one is refused by formats that hold one table, and decides the shape of
    /// JSON. Default 1.
    pub sections: usize,
    /// How tables look.
    pub table: TableOptions,
    /// How many rows of a section a page shows; 0 shows all. Default 1,000.
    pub page_rows: usize,
    /// The chart of each section, for formats that draw charts of their own over their cells (xlsx). Default none.
    pub sheet_charts: Vec<Option<SheetChart>>,
    /// Bytes that the encoder may hold. Only formats that collect rows (Parquet) look at it. Default: no limit.
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sections: 1,
            table: TableOptions::default(),
            page_rows: PAGE_ROWS,
            sheet_charts: Vec::new(),
            memory: usize::MAX,
        }
    }
}

/// Whether more of a result is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The destination takes what comes.
    Open,
    /// The reader has closed the pipe and wants no more. This is no error.
    Closed,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows in all sections, with those that a table does not show.
    pub rows: u64,
    /// Bytes that reached the destination.
    pub bytes: u64,
    /// Whether the reader closed the pipe before the end.
    pub outcome: Outcome,
}

/// One format: turns sections of record batches into bytes.
///
/// A sink never sees the destination. It appends to `out`, which the [`Writer`] empties between the calls, so that a
/// format that streams holds no more than one batch.
pub trait Sink: Send {
    /// Starts a section of rows of this schema.
    ///
    /// # Errors
    /// If the format cannot hold the section.
    fn begin_section(&mut self, title: Option<&str>, schema: &SchemaRef, out: &mut Vec<u8>) -> Result<()>;

    /// Appends the rows of a batch to the section.
    ///
    /// # Errors
    /// If the format cannot hold a value.
    fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;

    /// Ends the section.
    ///
    /// # Errors
    /// If the section cannot be encoded.
    fn end_section(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// Ends the result. Called until it says [`Progress::Done`], so that a format which has its bytes in a temporary
    /// file can hand them on in pieces.
    ///
    /// # Errors
    /// If the result cannot be encoded.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Progress>;
}

/// Stands for a format that draws a chart where there is none.
struct NoChart;

impl Sink for NoChart {
    fn begin_section(&mut self, _: Option<&str>, _: &SchemaRef, _: &mut Vec<u8>) -> Result<()> {
        Err(OutputError::NoChart { format: Format::Png })
    }

    fn write(&mut self, _: &RecordBatch, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn end_section(&mut self, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<Progress> {
        Err(OutputError::NoChart { format: Format::Png })
    }
}

/// Whether [`Sink::finish`] has given everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to come.
    More,
    /// That was all.
    Done,
}

/// Rows of a section that a page shows unless it is told otherwise: more take a browser seconds.
pub const PAGE_ROWS: usize = 1_000;

/// Encoded bytes that are collected before they go to a file or an object.
const CHUNK_BYTES: usize = 1 << 20;

/// The size of batch up to which rows are encoded in one step; larger ones are sliced, so that wide rows cost little
/// memory above what they already take.
const STEP_BYTES: usize = 8 << 20;

/// A sink at work off the async threads, and what it gave.
type Step = JoinHandle<(Box<dyn Sink>, Vec<u8>, Result<Progress>)>;

/// Writes one result to one destination.
///
/// The encoding of a batch runs on a blocking thread while the next batch is computed, one batch ahead at most; so an
/// error may show one call later than the batch that caused it, and always by [`Writer::end`]. After an error, and after
/// a call that was cancelled, the result can only be given up: every further call fails.
pub struct Writer {
    format: Format,
    sections: usize,
    begun: usize,
    in_section: bool,
    /// Whether a call failed, or was cancelled and so may have lost rows.
    torn: bool,
    sink: Option<Box<dyn Sink>>,
    step: Option<Step>,
    buffer: Vec<u8>,
    target: Target,
    rows: u64,
    bytes: u64,
    outcome: Outcome,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("format", &self.format)
            .field("target", &self.target)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Opens the destination. Nothing is visible there before [`Writer::end`].
    ///
    /// # Errors
    /// If the format is binary and the destination is a terminal, if it cannot hold that many sections, or if the place
    /// cannot be written to: a folder, a missing folder, no permission.
    pub async fn open(format: Format, destination: Destination, options: Options) -> Result<Self> {
        let to_terminal = matches!(destination, Destination::Stdout) && target::stdout_is_terminal();
        let sink = format.sink(&options, to_terminal);
        Self::open_with(format, destination, options, sink).await
    }

    /// As [`Writer::open`], with a sink of the caller's own that writes the format, such as the page of a report.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub async fn open_with(
        format: Format,
        destination: Destination,
        options: Options,
        sink: Box<dyn Sink>,
    ) -> Result<Self> {
        let to_terminal = matches!(destination, Destination::Stdout) && target::stdout_is_terminal();
        if to_terminal && format.is_binary() {
            return Err(OutputError::BinaryToTerminal { format });
        }
        if options.sections > 1 && !format.holds_sections() {
            return Err(OutputError::Sections { format, sections: options.sections });
        }
        let target = Target::open(destination).await?;
        Ok(Self::new(format, target, &options, sink))
    }

    fn new(format: Format, target: Target, options: &Options, sink: Box<dyn Sink>) -> Self {
        Self {
            format,
            sections: options.sections,
            begun: 0,
            in_section: false,
            torn: false,
            sink: Some(sink),
            step: None,
            buffer: Vec::new(),
            target,
            rows: 0,
            bytes: 0,
            outcome: Outcome::Open,
        }
    }

    /// Starts a section, and ends the one before. A section without batches still yields its header or schema.
    ///
    /// # Errors
    /// [`OutputError::Sections`] if the format cannot hold another one; else as [`Writer::write`].
    pub async fn begin_section(&mut self, title: Option<&str>, schema: SchemaRef) -> Result<Outcome> {
        self.tear()?;
        let begun = self.begin(title, schema).await;
        self.kept(begun).await
    }

    async fn begin(&mut self, title: Option<&str>, schema: SchemaRef) -> Result<Outcome> {
        self.begun += 1;
        let fits = self.format.holds_sections() && (self.format != Format::Json || self.sections > 1);
        if self.begun > 1 && !fits {
            return Err(OutputError::Sections { format: self.format, sections: self.begun });
        }
        self.settle().await?;
        let ends = std::mem::replace(&mut self.in_section, true);
        let title = title.map(str::to_owned);
        self.start(move |sink, out| {
            if ends {
                sink.end_section(out)?;
            }
            sink.begin_section(title.as_deref(), &schema, out)?;
            Ok(Progress::Done)
        });
        self.settle().await?;
        Ok(self.outcome)
    }

    /// Appends a batch to the section. Waits while the destination is slower than the query.
    ///
    /// # Errors
    /// If the format cannot hold a value or the destination fails.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<Outcome> {
        self.tear()?;
        let appended = self.append(batch).await;
        self.kept(appended).await
    }

    async fn append(&mut self, batch: &RecordBatch) -> Result<Outcome> {
        if !self.in_section {
            self.begin(None, batch.schema()).await?;
        }
        self.rows += batch.num_rows() as u64;
        for slice in slices(batch) {
            self.settle().await?;
            if self.outcome == Outcome::Closed {
                break;
            }
            self.start(move |sink, out| sink.write(&slice, out).map(|()| Progress::Done));
        }
        Ok(self.outcome)
    }

    /// Ends the result and puts it in its place.
    ///
    /// # Errors
    /// As [`Writer::write`]. After an error there is nothing in the place, or what was there before.
    pub async fn end(mut self) -> Result<Written> {
        self.tear()?;
        let closed = self.close().await;
        self.kept(closed).await?;
        let Self { target, rows, bytes, mut outcome, .. } = self;
        if target.commit().await? == Outcome::Closed {
            outcome = Outcome::Closed;
        }
        Ok(Written { rows, bytes, outcome })
    }

    async fn close(&mut self) -> Result<()> {
        self.settle().await?;
        if std::mem::take(&mut self.in_section) {
            self.start(|sink, out| sink.end_section(out).map(|()| Progress::Done));
            self.settle().await?;
        }
        let mut progress = Progress::More;
        while progress == Progress::More && self.outcome == Outcome::Open {
            self.start(|sink, out| sink.finish(out));
            progress = self.settle().await?;
        }
        self.send(true).await
    }

    /// Marks the result as torn until the call has come to its end.
    fn tear(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.torn, true) {
            true => Err(OutputError::Torn { format: self.format }),
            false => Ok(()),
        }
    }

    /// Ends what [`Writer::tear`] began. After an error what is written is removed at once, for a program that ends on an
    /// error may not drop the writer.
    async fn kept<T>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Ok(_) => self.torn = false,
            Err(_) => self.target.discard().await,
        }
        result
    }

    /// Gives the result up and waits until nothing is left of it. Dropping the writer does the same without waiting,
    /// which may leave parts of an upload in the store if the program ends at once.
    pub async fn abort(mut self) {
        self.target.discard().await;
    }

    /// Runs the sink on a blocking thread. Must follow a `settle`.
    fn start(&mut self, work: impl FnOnce(&mut dyn Sink, &mut Vec<u8>) -> Result<Progress> + Send + 'static) {
        // The sink is away only while a step runs, or after a step that panicked.
        let Some(mut sink) = self.sink.take() else { return };
        let mut out = std::mem::take(&mut self.buffer);
        self.step = Some(tokio::task::spawn_blocking(move || {
            let result = work(sink.as_mut(), &mut out);
            (sink, out, result)
        }));
    }

    /// Waits for the running step and hands its bytes on.
    async fn settle(&mut self) -> Result<Progress> {
        let Some(step) = self.step.as_mut() else { return Ok(Progress::Done) };
        let ended = step.await;
        self.step = None;
        let (sink, out, result) = ended.map_err(|source| OutputError::panicked(self.format, source))?;
        self.sink = Some(sink);
        self.buffer = out;
        let progress = result?;
        self.send(false).await?;
        Ok(progress)
    }

    async fn send(&mut self, all: bool) -> Result<()> {
        let due = all || self.target.is_stream() || self.buffer.len() >= CHUNK_BYTES;
        if !due || self.buffer.is_empty() || self.outcome == Outcome::Closed {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        let length = chunk.len() as u64;
        self.outcome = self.target.send(chunk).await?;
        if self.outcome == Outcome::Open {
            self.bytes += length;
        }
        Ok(())
    }
}

/// Brings a finished file to a place, whole or not at all, and gives its size.
///
/// # Errors
/// A file that cannot be read, a place that cannot be written.
pub async fn bring(file: &Path, destination: Destination) -> Result<u64> {
    let failed = |source| OutputError::io(file.display().to_string(), source);
    let mut reader = tokio::fs::File::open(file).await.map_err(failed)?;
    let mut target = Target::open(destination).await?;
    let mut bytes = 0;
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
        if reader.read_buf(&mut chunk).await.map_err(failed)? == 0 {
            break;
        }
        bytes += chunk.len() as u64;
        if let Err(error) = target.send(chunk.freeze()).await {
            target.discard().await;
            return Err(error);
        }
    }
    target.commit().await?;
    Ok(bytes)
}

/// The batch in pieces of at most about [`STEP_BYTES`].
fn slices(batch: &RecordBatch) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    let pieces = (batch.get_array_memory_size() / STEP_BYTES).clamp(1, 64);
    let step = rows.div_ceil(pieces).max(1);
    (0..rows).step_by(step).map(|start| batch.slice(start, step.min(rows - start))).collect()
}

#[cfg(test)]
mod tests;

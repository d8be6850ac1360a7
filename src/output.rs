//! Results as files: one [`Sink`] per format encodes them, and a [`Writer`] writes the bytes to a destination, whole or not
//! at all.
//!
//! A result is a stream of record batches in one or more sections. A [`Writer`] is opened for a [`Format`], a
//! [`Destination`] and the format's sink, which [`render`](crate::render) chooses. For each section it takes the title and
//! schema, then the batches; [`Writer::end`] makes the result visible. A local file is written to a temporary file and
//! renamed, an object appears as one completed upload, and a writer that is dropped before `end` leaves nothing behind.
//! Standard output is streamed.
//!
//! | format | sections | NULL | timestamps with a time zone | in memory |
//! |---|---|---|---|---|
//! | `table` | one below the other | `NULL` | `2025-01-01 00:00:00` | the rows that are shown |
//! | `csv`, `tsv` | one | empty field (`""` is the empty string) | `2025-01-01T00:00:00Z` | one batch |
//! | `json` | one: array of objects; several: object of arrays by title | `null`, every key in every row | RFC 3339 | one batch |
//! | `ndjson` | one | as `json` | RFC 3339 | one batch |
//! | `markdown` | one below the other | `NULL` | as `table` | one batch |
//! | `parquet` | one | NULL | kept | one row group (at most 128 MB encoded) |
//! | `arrow` | one | NULL | kept | one batch |
//! | `xlsx` | one sheet each | empty cell | wall clock of the time zone | one row; the sheets are in temporary files |
//! | `png` | one | | as the chart's axis says | the columns that are drawn |
//! | `html` | one below the other | `NULL` | as `table` | the rows that are shown |
//!
//! Every Arrow type can be written in every format: a type that the format lacks is written as a string.

mod arrow;
mod csv;
pub(crate) mod durations;
mod error;
mod format;
pub(crate) mod html;
mod json;
mod markdown;
mod parquet;
mod shape;
mod table;
mod target;
mod text;
mod writer;
mod xlsx;

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::object_store::ObjectStore;

pub(crate) use error::{OutputError, Result};
pub(crate) use format::Format;
pub(crate) use table::{Color, TableOptions, Width};
pub(crate) use target::{has_uploads, remove_unfinished};
pub(crate) use text::visible;
pub(crate) use writer::{Writer, copy_file};
pub(crate) use xlsx::{AboutRow, AboutSheet, SheetChart};

/// The sinks, for [`render`](crate::render), which chooses one.
pub(crate) mod sinks {
    pub(crate) use super::arrow::ArrowSink;
    pub(crate) use super::csv::CsvSink;
    pub(crate) use super::html::HtmlSink;
    pub(crate) use super::json::{JsonSink, NdjsonSink};
    pub(crate) use super::markdown::MarkdownSink;
    pub(crate) use super::parquet::ParquetSink;
    pub(crate) use super::table::TableSink;
    pub(crate) use super::xlsx::XlsxSink;
}

/// Where a result goes.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
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
        /// The URL as the user wrote it, for messages.
        url: String,
    },
}

impl Destination {
    /// Returns true if the destination is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout) && target::stdout_is_terminal()
    }
}

/// How a result is written.
#[derive(Debug, Clone)]
pub(crate) struct OutputOptions {
    /// The number of sections. Formats that hold one table refuse more than one, and JSON takes another shape. Default 1.
    pub sections: usize,
    /// Layout of tables.
    pub table: TableOptions,
    /// Rows of a section that a page shows; 0 shows all. Default 1,000.
    pub page_rows: usize,
    /// Whether CSV and TSV hold several sections: blocks with a line `# TITLE` and an empty line between them. Default false.
    pub csv_blocks: bool,
    /// Memory limit of the encoder in bytes, for formats that buffer rows (Parquet). Default: no limit.
    pub memory: usize,
}

impl OutputOptions {
    /// Returns true if an output of this format can hold several sections.
    pub(crate) fn holds_sections(&self, format: Format) -> bool {
        format.holds_sections() || self.csv_blocks && matches!(format, Format::Csv | Format::Tsv)
    }
}

impl Default for OutputOptions {
    fn default() -> Self {
        Self {
            sections: 1,
            table: TableOptions::default(),
            page_rows: PAGE_ROWS,
            csv_blocks: false,
            memory: usize::MAX,
        }
    }
}

/// Whether the destination takes more of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReaderState {
    /// The destination takes more.
    Open,
    /// The reader has closed the pipe. This is no error.
    Closed,
}

/// The size of a written result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Rows of all sections, including those that a table does not show.
    pub rows: u64,
    /// Bytes that reached the destination.
    pub bytes: u64,
    /// [`ReaderState::Closed`] if the reader closed the pipe before the end.
    pub reader_state: ReaderState,
}

/// Encoder of one format: turns sections of record batches into bytes.
///
/// A sink does not know the destination. It appends to `out`, which the [`Writer`] empties between calls, so that a format
/// that streams buffers no more than one batch.
pub(crate) trait Sink: Send {
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

    /// Ends the result. Called until it returns [`FinishState::Done`], so that a format that has its bytes in a temporary file
    /// can return them in pieces.
    ///
    /// # Errors
    /// If the result cannot be encoded.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<FinishState>;
}

/// Whether [`Sink::finish`] has returned all bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinishState {
    /// Call again for more bytes.
    More,
    /// All bytes have been returned.
    Done,
}

/// Default of [`OutputOptions::page_rows`]: more rows take a browser seconds.
pub(crate) const PAGE_ROWS: usize = 1_000;

#[cfg(test)]
mod tests;

//! [`FileProfile`]: what is known of a file after it has been read once: dialect, columns with their types, and where
//! records start, so that the file is split between threads only there, line breaks inside quotes or not.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use datafusion::error::Result;
use encoding_rs::{Encoding, UTF_8};
use futures::StreamExt;
use futures::stream::{BoxStream, Fuse};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::input::{TextDecoder, bytes, encoding_of, likely_encoding};
use super::settings::{BadRows, CsvSettings};
use super::sniff::{Given, sniff};
use super::tokenizer::{Dialect, Fault, Record, Tokenizer};
use super::value::Kinds;
use crate::error::Error;
use crate::session::pinned::is_same_version;

/// Bytes from which the dialect is found out.
const SNIFFED_BYTES: usize = 256 << 10;

/// Bytes between two marks.
const MARK_BYTES: u64 = 1 << 20;

/// Bytes of the longest record.
const MAX_RECORD_BYTES: usize = 64 << 20;

/// Where a record starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: u64,
    pub(super) line: u64,
}

/// A row with the wrong number of fields, or with wrong quotes.
#[derive(Debug, Clone)]
pub(super) struct BadRow {
    line: u64,
    what: String,
}

/// What is known of one file.
#[derive(Debug)]
pub(super) struct FileProfile {
    /// The file as it was then.
    pub(super) meta: ObjectMeta,
    pub(super) dialect: Dialect,
    pub(super) names: Vec<String>,
    /// What the values of each column are.
    pub(super) kinds: Vec<Kinds>,
    /// The first row.
    pub(super) body: Mark,
    /// Starts of later rows, about [`MARK_BYTES`] apart.
    pub(super) marks: Vec<Mark>,
    /// Each row has one empty field too many: a delimiter at the end of the line.
    pub(super) has_trailing_delimiter: bool,
    /// How many rows are left out, and the first of them.
    pub(super) skipped: (u64, Option<BadRow>),
    /// The names look like values.
    pub(super) names_like_values: bool,
}

impl FileProfile {
    /// Whether a file is still the one that was read.
    pub(super) fn is_of(&self, meta: &ObjectMeta) -> bool {
        is_same_version(&self.meta, meta)
    }

    /// What the user should know of the file.
    pub(super) fn notes(&self, settings: &CsvSettings, location: &Path) -> Vec<String> {
        let mut notes = Vec::new();
        if let (count @ 1.., Some(BadRow { line, what })) = &self.skipped {
            let rows = if *count == 1 { "1 row is".to_string() } else { format!("{count} rows are") };
            notes.push(format!("{}: {rows} left out; line {line} has {what}", settings.shown(location)));
        }
        if self.names_like_values {
            notes.push(format!(
                "{}: the first line looks like a row ({}), but is read as the names of the columns; header = false reads \
                 it as a row",
                settings.shown(location),
                self.names.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", "),
            ));
        }
        notes
    }
}

/// The text of a file in pieces of UTF-8.
pub(super) struct Text {
    stream: Fuse<BoxStream<'static, Result<Bytes>>>,
    decoder: TextDecoder,
    ahead: Option<Bytes>,
    is_done: bool,
}

impl Text {
    /// Starts to read; the start is searched for the encoding unless it is known.
    pub(super) async fn open(
        store: &Arc<dyn ObjectStore>,
        location: &Path,
        settings: &CsvSettings,
        range: Option<Range<u64>>,
        encoding: Option<&'static Encoding>,
    ) -> Result<(ObjectMeta, &'static Encoding, usize, Self)> {
        let (meta, stream) = bytes(store, location, settings.compression, range).await?;
        let mut stream = stream.fuse();
        let (encoding, mark, ahead) = match encoding {
            Some(encoding) => (encoding, 0, Bytes::new()),
            None => {
                let mut ahead = BytesMut::new();
                while ahead.len() < SNIFFED_BYTES
                    && let Some(piece) = stream.next().await
                {
                    ahead.extend_from_slice(&piece?);
                }
                let (encoding, mark) = encoding_of(&ahead, settings.encoding);
                (encoding, mark, ahead.freeze().slice(mark..))
            }
        };
        let mut text = Self { stream, decoder: TextDecoder::new(encoding), ahead: None, is_done: false };
        text.ahead = Some(text.decode(ahead, false, settings, location)?);
        Ok((meta, encoding, mark, text))
    }

    /// Puts what was not wanted of a piece back.
    pub(super) fn put_back(&mut self, piece: Bytes) {
        self.ahead = Some(piece);
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self, settings: &CsvSettings, location: &Path) -> Result<Option<Bytes>> {
        if let Some(ahead) = self.ahead.take()
            && !ahead.is_empty()
        {
            return Ok(Some(ahead));
        }
        if self.is_done {
            return Ok(None);
        }
        let piece = match self.stream.next().await {
            Some(piece) => piece?,
            None => {
                self.is_done = true;
                Bytes::new()
            }
        };
        let piece = self.decode(piece, self.is_done, settings, location)?;
        Ok((!self.is_done || !piece.is_empty()).then_some(piece))
    }

    fn decode(&mut self, piece: Bytes, is_last: bool, settings: &CsvSettings, location: &Path) -> Result<Bytes> {
        Ok(self.decoder.decode(piece, is_last).map_err(|encoding| {
            Error::data(format!(
                "cannot read {}: it is not in the encoding {encoding} throughout; name the right one under [tables.NAME] \
                 in cxql.toml, as encoding = \"gb18030\", or convert the file to UTF-8 with iconv",
                settings.shown(location)
            ))
        })?)
    }
}

/// Reads a file once.
///
/// # Errors
/// Quotes that do not close, rows with the wrong number of fields, bytes that are not in the encoding: file and line.
pub(super) async fn profile(
    store: &Arc<dyn ObjectStore>,
    location: &Path,
    settings: &CsvSettings,
) -> Result<FileProfile> {
    let first = Pass::run(store, location, settings, settings.escape).await?;
    match first {
        // quotes may be escaped by a backslash where a doubled quote would be usual
        Err(_) if settings.escape.is_none() => {
            let (fault, has_backslash_quote) = match first {
                Err(failed) => failed,
                Ok(profile) => return Ok(profile),
            };
            if has_backslash_quote && let Ok(profile) = Pass::run(store, location, settings, Some(b'\\')).await? {
                return Ok(profile);
            }
            Err(fault.into())
        }
        Err((fault, _)) => Err(fault.into()),
        Ok(profile) => Ok(profile),
    }
}

/// One pass over a file.
struct Pass<'a> {
    settings: &'a CsvSettings,
    location: &'a Path,
    names: Option<Vec<String>>,
    first_row: Option<Mark>,
    kinds: Vec<Kinds>,
    marks: Vec<Mark>,
    has_marks: bool,
    full_rows: u64,
    /// Rows with one empty field too many, and the first.
    trailing: (u64, Option<BadRow>),
    skipped: (u64, Option<BadRow>),
    has_backslash_quote: bool,
}

/// An error, and whether another escape character may be the remedy.
type Failed = (Error, bool);

impl<'a> Pass<'a> {
    async fn run(
        store: &Arc<dyn ObjectStore>,
        location: &'a Path,
        settings: &'a CsvSettings,
        escape: Option<u8>,
    ) -> Result<Result<FileProfile, Failed>> {
        let (meta, encoding, mark, mut text) = Text::open(store, location, settings, None, None).await?;
        let ahead = text.ahead.clone().unwrap_or_default();
        let given = Given {
            delimiter: settings.delimiter,
            usual_delimiter: settings.usual_delimiter,
            quote: settings.quote,
            escape,
            skip_lines: settings.skip_lines,
        };
        let sniffed = sniff(&ahead, ahead.len() < SNIFFED_BYTES, given);
        text.ahead = Some(ahead.slice(sniffed.skipped.0..));
        let start = Mark { offset: (mark + sniffed.skipped.0) as u64, line: 1 + sniffed.skipped.1 };
        let mut pass = Pass {
            settings,
            location,
            names: None,
            first_row: None,
            kinds: Vec::new(),
            marks: Vec::new(),
            has_marks: encoding == UTF_8 && !settings.compression.is_compressed(),
            full_rows: 0,
            trailing: (0, None),
            skipped: (0, None),
            has_backslash_quote: false,
        };
        let mut tokenizer = Tokenizer::new(sniffed.dialect, start.line, start.offset);
        while let Some(piece) = text.next(settings, location).await? {
            let mut rest = &piece[..];
            while let Some(record) = tokenizer.next(&mut rest) {
                if let Err(error) = pass.add(record) {
                    return Ok(Err((error, pass.has_backslash_quote)));
                }
            }
            if tokenizer.pending_bytes() > MAX_RECORD_BYTES {
                let line = tokenizer.line();
                return Ok(Err((settings.too_long(location, line), pass.has_backslash_quote)));
            }
            tokio::task::consume_budget().await;
        }
        if let Some(record) = tokenizer.finish()
            && let Err(error) = pass.add(record)
        {
            return Ok(Err((error, pass.has_backslash_quote)));
        }
        let end = Mark { offset: tokenizer.offset(), line: tokenizer.line() };
        Ok(pass.finish(meta, sniffed.dialect, end))
    }

    fn finish(mut self, meta: ObjectMeta, dialect: Dialect, end: Mark) -> Result<FileProfile, Failed> {
        let mut has_trailing_delimiter = false;
        if let (count @ 1.., Some(row)) = std::mem::take(&mut self.trailing) {
            // one row of many with an empty field more is a shifted row
            has_trailing_delimiter = self.full_rows == 0 && self.skipped.0 == 0;
            if !has_trailing_delimiter {
                self.bad(row.line, row.what).map_err(|error| (error, self.has_backslash_quote))?;
                self.skipped.0 += count - 1;
            }
        }
        let names = self.names.unwrap_or_default();
        let looks_typed = |name: &String, kinds: &Kinds| {
            let mut own = Kinds::default();
            own.add(name.as_bytes(), 1, self.settings.numbers);
            (own.is_typed(), own.is_typed() && own.data_type() == kinds.data_type(), kinds.is_typed())
        };
        let columns: Vec<(bool, bool, bool)> =
            names.iter().zip(&self.kinds).map(|(name, kinds)| looks_typed(name, kinds)).collect();
        // a heading over numbers is one
        let names_like_values = self.settings.has_header.is_none()
            && columns.iter().any(|(_, is_same, _)| *is_same)
            && columns.iter().all(|(is_typed, _, is_typed_below)| *is_typed || !is_typed_below);
        Ok(FileProfile {
            meta,
            dialect,
            names,
            kinds: self.kinds,
            body: self.first_row.unwrap_or(end),
            marks: self.marks,
            has_trailing_delimiter,
            skipped: self.skipped,
            names_like_values,
        })
    }

    fn add(&mut self, record: &Record) -> Result<(), Error> {
        self.has_backslash_quote |= record.has_backslash_quote;
        let Some(names) = &self.names else {
            if record.is_blank() {
                return Ok(());
            }
            self.check_text(record)?;
            if let Some(fault) = record.fault {
                return Err(self.settings.fault(self.location, fault));
            }
            let has_header = self.settings.has_header.unwrap_or(true);
            let names = self.settings.names(self.location, record, has_header)?;
            self.kinds = vec![Kinds::default(); names.len()];
            self.names = Some(names);
            return if has_header { Ok(()) } else { self.add(record) };
        };
        let wanted = names.len();
        if is_no_row(record, wanted) {
            return Ok(());
        }
        let start = Mark { offset: record.offset, line: record.line };
        let last = self.marks.last().or(self.first_row.as_ref()).copied();
        match last {
            None => self.first_row = Some(start),
            Some(last) if self.has_marks && start.offset >= last.offset + MARK_BYTES => self.marks.push(start),
            Some(_) => {}
        }
        self.check_text(record)?;
        match row_fault(record, wanted, self.settings.bad_rows, false) {
            None => self.full_rows += 1,
            Some(RowFault::Fields) if record.len() == wanted + 1 && is_empty(record, wanted) => {
                self.trailing.0 += 1;
                let row = || BadRow { line: record.line, what: fields(record.len(), wanted) };
                self.trailing.1.get_or_insert_with(row);
            }
            Some(RowFault::Fields) => return self.bad(record.line, fields(record.len(), wanted)),
            Some(RowFault::Quotes(Fault::AfterQuote(line))) => return self.bad(line, AFTER_QUOTE.into()),
            Some(RowFault::Quotes(fault)) => return Err(self.settings.fault(self.location, fault)),
        }
        for (index, kinds) in self.kinds.iter_mut().enumerate() {
            if let Some(field) = record.field(index)
                && !self.settings.is_null(field)
            {
                kinds.add(field, record.line, self.settings.numbers);
            }
        }
        Ok(())
    }

    fn bad(&mut self, line: u64, what: String) -> Result<(), Error> {
        if self.settings.bad_rows != BadRows::Skip {
            return Err(self.settings.bad_row(self.location, line, &what));
        }
        self.skipped.0 += 1;
        self.skipped.1.get_or_insert(BadRow { line, what });
        Ok(())
    }

    fn check_text(&self, record: &Record) -> Result<(), Error> {
        if std::str::from_utf8(record.bytes()).is_ok() {
            return Ok(());
        }
        Err(self.settings.not_utf8(self.location, record))
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowFault {
    /// The number of its fields.
    Fields,
    Quotes(Fault),
}

const AFTER_QUOTE: &str = "more after the quote that closes a field";

/// Whether a record is a blank line. In a file of one column that is a row.
pub(super) fn is_no_row(record: &Record, columns: usize) -> bool {
    columns != 1 && record.is_blank()
}

pub(super) fn row_fault(
    record: &Record,
    wanted: usize,
    bad_rows: BadRows,
    has_trailing_delimiter: bool,
) -> Option<RowFault> {
    if let Some(fault) = record.fault {
        return Some(RowFault::Quotes(fault));
    }
    let is_right = match record.len() {
        len if len == wanted => true,
        len if len < wanted => bad_rows == BadRows::Fill,
        len => has_trailing_delimiter && len == wanted + 1 && is_empty(record, wanted),
    };
    (!is_right).then_some(RowFault::Fields)
}

fn is_empty(record: &Record, index: usize) -> bool {
    record.field(index).is_some_and(<[u8]>::is_empty)
}

/// `1 field where the header has 2`.
pub(super) fn fields(got: usize, wanted: usize) -> String {
    let plural = if got == 1 { "" } else { "s" };
    format!("{got} field{plural} where the header has {wanted}")
}

impl CsvSettings {
    /// The names of the columns that a first record gives.
    fn names(&self, location: &Path, record: &Record, has_header: bool) -> Result<Vec<String>, Error> {
        let names = record.fields().enumerate().map(|(index, field)| {
            let name = String::from_utf8_lossy(field).trim().to_string();
            if has_header && !name.is_empty() { name } else { format!("column_{}", index + 1) }
        });
        let names: Vec<String> = names.collect();
        let mut sorted: Vec<(&String, usize)> = names.iter().zip(1..).collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(Error::data(format!(
                "cannot read {}: the column `{}` stands twice in its header (columns {} and {}); rename one of them, or leave \
                 the header out with header = false and skip_lines = {} under [tables.NAME] in cxql.toml",
                self.shown(location),
                pair[0].0,
                pair[0].1,
                pair[1].1,
                record.line,
            ))),
            None => Ok(names),
        }
    }

    pub(super) fn fault(&self, location: &Path, fault: Fault) -> Error {
        match fault {
            Fault::Unterminated(line) => self.unterminated(location, line),
            Fault::AfterQuote(line) => self.bad_row(location, line, AFTER_QUOTE),
        }
    }

    fn too_long(&self, location: &Path, line: u64) -> Error {
        Error::data(format!(
            "{}, line {line}: a row of more than {} MB; correct the line, or say under [tables.NAME] in cxql.toml quote = \"\" \
             if quotes mean nothing",
            self.shown(location),
            MAX_RECORD_BYTES >> 20,
        ))
    }

    fn unterminated(&self, location: &Path, line: u64) -> Error {
        Error::data(format!(
            "{}, line {line}: a quoted field starts here and does not end; correct the line, or say under [tables.NAME] in \
             cxql.toml escape = \"\\\\\" if quotes are escaped by a backslash, quote = \"\" if quotes mean nothing",
            self.shown(location),
        ))
    }

    pub(super) fn bad_row(&self, location: &Path, line: u64, what: &str) -> Error {
        Error::data(format!(
            "{}, line {line}: {what}; correct the line, or under [tables.NAME] in cxql.toml leave out such rows by bad_rows \
             = \"skip\", fill missing fields with NULL by \"fill\", or pass over lines before the header by skip_lines = N",
            self.shown(location),
        ))
    }

    pub(super) fn not_utf8(&self, location: &Path, record: &Record) -> Error {
        // the field with the fault, whose line is that of the record
        let wrong = record.fields().find(|field| std::str::from_utf8(field).is_err()).unwrap_or(record.bytes());
        let encoding = likely_encoding(wrong);
        Error::data(format!(
            "cannot read {}: line {} is not UTF-8; it looks like {encoding}: say encoding = \"{encoding}\" under \
             [tables.NAME] in cxql.toml, or convert it with `iconv -f {encoding} -t utf-8`",
            self.shown(location),
            record.line,
        ))
    }
}

//! [`CsvSettings`]: what `[tables.NAME]` says of a CSV table.

use std::collections::BTreeSet;
use std::str::FromStr;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use encoding_rs::Encoding;
use object_store::path::Path;

use super::value::Numbers;
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::session::tables::display_address;

/// What is done with rows that do not have as many fields as the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadRows {
    /// The table cannot be read.
    Error,
    /// They are left out, and a note counts them.
    Skip,
    /// Missing fields are NULL; too many are an error.
    Fill,
}

impl FromStr for BadRows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "error" => Ok(Self::Error),
            "skip" => Ok(Self::Skip),
            "fill" => Ok(Self::Fill),
            _ => Err(format!("bad_rows is \"error\", \"skip\" or \"fill\", not \"{text}\"")),
        }
    }
}

/// What a table's configuration says.
#[derive(Debug, Clone)]
pub(super) struct CsvSettings {
    /// The address of the store, for messages.
    pub(super) store_address: String,
    pub(super) delimiter: Option<u8>,
    pub(super) usual_delimiter: u8,
    /// `None` where quotes mean nothing.
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    pub(super) has_header: Option<bool>,
    pub(super) skip_lines: u64,
    pub(super) nulls: Vec<String>,
    pub(super) numbers: Numbers,
    pub(super) encoding: Option<&'static Encoding>,
    pub(super) bad_rows: BadRows,
    pub(super) compression: FileCompressionType,
    /// Columns whose types are declared, or `*`.
    declared: BTreeSet<String>,
}

impl CsvSettings {
    /// # Errors
    /// A setting with a value that it cannot have.
    pub(super) fn new(
        name: &str,
        config: &TableConfig,
        compression: FileCompressionType,
        store_address: &str,
    ) -> Result<Self> {
        let wrong = |text: String| Error::usage(format!("table `{name}`: {text}"));
        let ascii = |key: &str, value: Option<char>| match value {
            Some(char) if !char.is_ascii() || matches!(char, '"' | '\n' | '\r') => {
                Err(wrong(format!("the {key} must be one ASCII character, got `{char}`")))
            }
            other => Ok(other.and_then(|char| u8::try_from(char).ok())),
        };
        let encoding = match &config.encoding {
            None => None,
            Some(label) => {
                let encoding = Encoding::for_label(label.as_bytes());
                Some(encoding.ok_or_else(|| {
                    wrong(format!(
                        "unknown encoding `{label}`; some of the known are utf-8, utf-16le, gb18030, big5, shift_jis, \
                         windows-1252, latin1"
                    ))
                })?)
            }
        };
        let quote = match config.quote.as_deref().map(str::as_bytes) {
            None => Some(b'"'),
            Some([]) => None,
            Some([quote]) if quote.is_ascii_graphic() => Some(*quote),
            Some(_) => return Err(wrong("quote is one ASCII character, or \"\" where quotes mean nothing".into())),
        };
        let decimal = match config.decimal {
            None | Some('.') => b'.',
            Some(',') => b',',
            Some(other) => return Err(wrong(format!("decimal is \".\" or \",\", not \"{other}\""))),
        };
        let path = config.path.to_ascii_lowercase();
        let is_tab = [".tsv", ".tab"].iter().any(|ending| path.contains(ending));
        Ok(Self {
            store_address: store_address.to_string(),
            delimiter: ascii("delimiter", config.delimiter)?,
            usual_delimiter: if is_tab { b'\t' } else { b',' },
            quote,
            escape: ascii("escape", config.escape)?,
            has_header: config.header,
            skip_lines: config.skip_lines.unwrap_or(0),
            nulls: config.null.iter().flat_map(|nulls| nulls.words().iter().cloned()).collect(),
            numbers: Numbers { decimal },
            encoding,
            bad_rows: config.bad_rows.as_deref().unwrap_or("error").parse().map_err(wrong)?,
            compression,
            declared: config.columns.keys().cloned().collect(),
        })
    }

    /// The address of a file as a user writes it.
    pub(super) fn shown(&self, location: &Path) -> String {
        display_address(&format!("{}{location}", self.store_address))
    }

    pub(super) fn is_declared(&self, column: &str) -> bool {
        self.declared.contains(column) || self.declared.contains("*")
    }

    pub(super) fn is_null(&self, field: &[u8]) -> bool {
        field.is_empty() || self.nulls.iter().any(|null| null.as_bytes() == field)
    }
}

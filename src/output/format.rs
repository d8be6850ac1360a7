//! The formats, their names and path endings.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{OutputError, Result};

/// A format in which results are written.
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

    /// The name for `-f`.
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

    /// The path endings of the format without the dot, the usual one first.
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

    /// The format of the ending of a path or URL, in any case.
    ///
    /// # Errors
    /// [`OutputError::UnknownEnding`], which lists the endings, if there is none or it is not one of them.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        Self::ALL
            .into_iter()
            .find(|format| ending.as_deref().is_some_and(|ending| format.endings().contains(&ending)))
            .ok_or_else(|| OutputError::UnknownEnding { path: path.display().to_string() })
    }

    /// Returns true if the format is binary, which is refused on a terminal.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow | Self::Xlsx | Self::Png)
    }

    /// Returns true if one output can hold several sections.
    pub const fn holds_sections(self) -> bool {
        matches!(self, Self::Table | Self::Json | Self::Markdown | Self::Xlsx | Self::Html)
    }

    /// Returns true if the format shows facts about the result beside its rows, as a page does.
    pub const fn shows_facts(self) -> bool {
        matches!(self, Self::Html | Self::Xlsx)
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

/// The format whose name or ending is close enough to be a typing error.
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

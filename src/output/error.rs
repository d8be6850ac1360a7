//! What can go wrong when a result is written, each with its remedy.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::Format;

/// A result, or what kept it from being written.
pub type Result<T, E = OutputError> = std::result::Result<T, E>;

/// What kept a result from being written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// No format has this name.
    #[error("unknown format '{name}'{}; the formats are {}", did_you_mean(*nearest), names())]
    UnknownFormat {
        /// What was asked for.
        name: String,
        /// The format that was probably meant.
        nearest: Option<Format>,
    },

    /// A path's ending stands for no format.
    #[error("the ending of '{path}' stands for no format: use one of {}, or say the format with -f", endings())]
    UnknownEnding {
        /// The path as the user wrote it.
        path: String,
    },

    /// Bytes that would garble a terminal.
    #[error("{format} is a binary format and standard output is a terminal: write it to a file with -o NAME.{}", ending(*format))]
    BinaryToTerminal {
        /// The format that was asked for.
        format: Format,
    },

    /// The format holds one table, and there are more.
    #[error(
        "{format} holds one table, and this result has {sections} sections: \
         pick one with --section N, or write table, markdown, json, xlsx or html"
    )]
    Sections {
        /// The format that was asked for.
        format: Format,
        /// How many sections there are, as far as is known.
        sections: usize,
    },

    /// The format needs a table, and there is none.
    #[error("there is no result to write as {format}: no statement returns rows")]
    NoResult {
        /// The format that was asked for.
        format: Format,
    },

    /// The format is a picture of a chart, and there is none.
    #[error(
        "{format} is a picture of a chart, and this result has none: run a report whose section has a `-- chart:` line, \
         or write html"
    )]
    NoChart {
        /// The format that was asked for.
        format: Format,
    },

    /// A picture would have empty boxes in place of letters.
    #[error("no font has {}: install one that does, such as the package fonts-noto, or write html", named(characters))]
    Glyphs {
        /// The characters.
        characters: Vec<char>,
    },

    /// A folder stands where the file should be.
    #[error("'{}' is a folder: name a file in it, such as '{}'", path.display(), path.join("result.csv").display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },

    /// The folder for the file does not exist.
    #[error("cannot write '{}': there is no folder '{}'; create it with: mkdir -p '{}'", path.display(), folder.display(), folder.display())]
    MissingFolder {
        /// The file that was to be written.
        path: PathBuf,
        /// The folder that is missing.
        folder: PathBuf,
    },

    /// A file stands where the folder for the file should be.
    #[error("cannot write '{}': '{}' is a file and no folder; choose another place", path.display(), folder.display())]
    NoFolder {
        /// The file that was to be written.
        path: PathBuf,
        /// The file in the way.
        folder: PathBuf,
    },

    /// The file or its folder may not be written.
    #[error("no permission to write '{place}': choose another place, or change the rights of the file and its folder")]
    Denied {
        /// The file or stream.
        place: String,
        /// The system's answer.
        source: io::Error,
    },

    /// The disk, or the user's share of it, is full.
    #[error("no space left to write '{place}': free some, or choose a place on another disk; nothing was left there")]
    Full {
        /// The file or stream.
        place: String,
        /// The system's answer.
        source: io::Error,
    },

    /// Any other failure of the system.
    #[error("cannot write '{place}'")]
    Io {
        /// The file or stream.
        place: String,
        /// The system's answer.
        source: io::Error,
    },

    /// The object store refused or failed.
    #[error("cannot write '{url}': check the bucket, the credentials and the right to put objects there")]
    Object {
        /// The object's address as the user wrote it.
        url: String,
        /// The store's answer.
        source: datafusion::object_store::Error,
    },

    /// More rows than a sheet of Excel has.
    #[error(
        "sheet '{sheet}' would need more than the {} rows below the header that Excel can hold: \
         add a LIMIT or a condition, or write parquet or csv",
        super::xlsx::MAX_ROWS
    )]
    SheetRows {
        /// The sheet.
        sheet: String,
    },

    /// More columns than a sheet of Excel has.
    #[error(
        "sheet '{sheet}' would need {columns} columns and Excel can hold {}: select fewer, or write parquet or csv",
        super::xlsx::MAX_COLUMNS
    )]
    SheetColumns {
        /// The sheet.
        sheet: String,
        /// How many columns the section has.
        columns: usize,
    },

    /// A text that is longer than a cell of Excel.
    #[error(
        "row {row} of column '{column}' has a text of {length} characters and a cell of Excel holds {}: \
         cut it with left({column}, {}), or write parquet or csv",
        super::xlsx::MAX_TEXT,
        super::xlsx::MAX_TEXT
    )]
    CellText {
        /// The column.
        column: String,
        /// The row of the section, counted from 1.
        row: u64,
        /// The text's length in UTF-16 units, as Excel counts.
        length: usize,
    },

    /// A value that has no written form, such as a date beyond the calendar.
    #[error("row {row} of column '{column}' cannot be written as {format}: {message}")]
    Value {
        /// The format.
        format: Format,
        /// The column.
        column: String,
        /// The row of the section, counted from 1.
        row: u64,
        /// What is wrong with the value.
        message: String,
    },

    /// The encoder refused a batch.
    #[error("cannot write the result as {format}")]
    Encode {
        /// The format.
        format: Format,
        /// The encoder's answer.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The writer was used after a call had failed or had been cancelled.
    #[error("the {format} result was given up after an error; nothing was left of it")]
    Torn {
        /// The format.
        format: Format,
    },

    /// A fault of this program.
    #[error("internal fault while writing {format}; please report it")]
    Internal {
        /// The format.
        format: Format,
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OutputError {
    /// Names the place and the remedy of a system error.
    pub(super) fn io(place: impl Into<String>, source: io::Error) -> Self {
        let place = place.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied { place, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { place, source }
            }
            _ => Self::Io { place, source },
        }
    }

    /// What the panic of an encoder means.
    pub(super) fn panicked(format: Format, source: tokio::task::JoinError) -> Self {
        // The crate rust_xlsxwriter has no error for a temporary file that cannot be written.
        if format == Format::Xlsx && source.is_panic() {
            let folder = std::env::temp_dir();
            let place = format!("temporary sheets below {}", folder.display());
            return Self::Full { place, source: io::Error::other(source) };
        }
        Self::Internal { format, source: Box::new(source) }
    }

    pub(crate) fn encode(format: Format, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Encode { format, source: source.into() }
    }
}

impl From<OutputError> for crate::error::Error {
    /// Errors of the command line (a wrong format or path) become [`Error::WriteUsage`], exit code 2.
    ///
    /// [`Error::WriteUsage`]: crate::error::Error::WriteUsage
    fn from(error: OutputError) -> Self {
        let is_usage = matches!(
            error,
            OutputError::UnknownFormat { .. }
                | OutputError::UnknownEnding { .. }
                | OutputError::BinaryToTerminal { .. }
                | OutputError::Sections { .. }
                | OutputError::NoChart { .. }
                | OutputError::NoResult { .. }
                | OutputError::Folder { .. }
                | OutputError::MissingFolder { .. }
                | OutputError::NoFolder { .. }
        );
        if is_usage { Self::WriteUsage(Box::new(error)) } else { Self::Write(Box::new(error)) }
    }
}

fn names() -> String {
    Format::ALL.map(Format::name).join(", ")
}

fn named(characters: &[char]) -> String {
    let named = |c: &char| format!("{} (U+{:04X})", c.escape_debug(), u32::from(*c));
    characters.iter().map(named).collect::<Vec<_>>().join(", ")
}

fn ending(format: Format) -> &'static str {
    format.endings().first().copied().unwrap_or_default()
}

fn endings() -> String {
    Format::ALL
        .iter()
        .flat_map(|format| format.endings())
        .map(|ending| format!(".{ending}"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn did_you_mean(nearest: Option<Format>) -> String {
    nearest.map(|format| format!(", did you mean '{format}'?")).unwrap_or_default()
}

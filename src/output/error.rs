//! Errors of writing results, each with its remedy.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::Format;

/// Result of writing.
pub(crate) type Result<T, E = OutputError> = std::result::Result<T, E>;

/// An error of writing a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// No format has this name.
    #[error("unknown format '{name}'{}; the formats are {}", did_you_mean(*nearest), names())]
    UnknownFormat {
        /// The name as given.
        name: String,
        /// The most similar format.
        nearest: Option<Format>,
    },

    /// A path ending that is not one of a format.
    #[error("the ending of '{path}' stands for no format: use one of {}, or say the format with -f", endings())]
    UnknownEnding {
        /// The path as the user wrote it.
        path: String,
    },

    /// A binary format on a terminal.
    #[error("{format} is a binary format and standard output is a terminal: write it to a file with -o NAME.{}", ending(*format))]
    BinaryToTerminal {
        /// The requested format.
        format: Format,
    },

    /// Several sections for a format that holds one table.
    #[error(
        "{format} holds one table, and this result has {sections} sections: \
         pick one with --section N, or write table, markdown, json, xlsx or html"
    )]
    Sections {
        /// The requested format.
        format: Format,
        /// The number of sections, as far as it is known.
        sections: usize,
    },

    /// No table for a format that needs one.
    #[error("there is no result to write as {format}: no statement returns rows")]
    NoResult {
        /// The requested format.
        format: Format,
    },

    /// No chart for a format that is a picture of one.
    #[error(
        "{format} is a picture of a chart, and this result has none: run a report whose section has a `-- chart:` line, \
         or write html"
    )]
    NoChart {
        /// The requested format.
        format: Format,
    },

    /// Characters of a picture that no font has.
    #[error(
        "no font has {}: install one that does, such as the package fonts-noto, or write html",
        character_list(characters)
    )]
    Glyphs {
        /// The characters.
        characters: Vec<char>,
    },

    /// The file is a folder.
    #[error("'{}' is a folder: name a file in it, such as '{}'", path.display(), path.join("result.csv").display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },

    /// The folder for the file does not exist.
    #[error("cannot write '{}': there is no folder '{}'; create it with: mkdir -p '{}'", path.display(), folder.display(), folder.display())]
    MissingFolder {
        /// The file to write.
        path: PathBuf,
        /// The missing folder.
        folder: PathBuf,
    },

    /// The folder of the file is a file.
    #[error("cannot write '{}': '{}' is a file and no folder; choose another place", path.display(), folder.display())]
    NoFolder {
        /// The file to write.
        path: PathBuf,
        /// The file in place of the folder.
        folder: PathBuf,
    },

    /// No permission to write the file or its folder.
    #[error("no permission to write '{place}': choose another place, or change the rights of the file and its folder")]
    Denied {
        /// The file or stream.
        place: String,
        /// The system's error.
        source: io::Error,
    },

    /// The disk or the user's quota is full.
    #[error("no space left to write '{place}': free some, or choose a place on another disk; nothing was left there")]
    Full {
        /// The file or stream.
        place: String,
        /// The system's error.
        source: io::Error,
    },

    /// Any other system error.
    #[error("cannot write '{place}'")]
    Io {
        /// The file or stream.
        place: String,
        /// The system's error.
        source: io::Error,
    },

    /// An error of the object store.
    #[error("cannot write '{url}': check the bucket, the credentials and the right to put objects there")]
    Object {
        /// The object's URL as the user wrote it.
        url: String,
        /// The store's error.
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

    /// A string that is longer than a cell of Excel.
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
        /// The string's length in UTF-16 units, as Excel counts.
        length: usize,
    },

    /// A value that cannot be formatted, such as a date beyond the calendar.
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

    /// An error of the encoder.
    #[error("cannot write the result as {format}")]
    Encode {
        /// The format.
        format: Format,
        /// The encoder's error.
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
    /// Converts a system error, with the path and the remedy.
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

    /// Converts the panic of an encoder.
    pub(super) fn panicked(format: Format, source: tokio::task::JoinError) -> Self {
        // rust_xlsxwriter panics if a temporary file cannot be written
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

fn character_list(characters: &[char]) -> String {
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

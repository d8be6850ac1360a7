//! [`Error`]: the error type of the program. Each variant carries its location and a remedy.
//!
//! This module knows no layer above it: errors of the output formats, the sample data and the job history are boxed, and
//! each of those layers converts its own errors (see `From<OutputError>` in `output/error.rs`).

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::error::DataFusionError;

use crate::source::{Source, Spot};

/// An error of another layer or library.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// The result of this crate's functions.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The chain of sources of an error, outermost first.
pub(crate) fn causes(error: &dyn StdError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// The message of an error, followed by the messages of its sources that it does not contain already.
pub(crate) fn with_causes(error: &dyn StdError) -> String {
    causes(error).map(ToString::to_string).fold(error.to_string(), |text, cause| match text.contains(&cause) {
        true => text,
        false => format!("{text}: {cause}"),
    })
}

/// The message of an error, followed by the messages of all its sources.
pub(crate) fn with_all_causes(error: &dyn StdError) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Everything that cxql reports to a user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line, the environment or `cxql.toml` is wrong. Exit code 2.
    #[error("{message}")]
    Usage {
        /// What is wrong, and the remedy.
        message: String,
    },

    /// An error at a position in a SQL source: in a header, a statement or a name.
    #[error("{}", source_text.render(title, *spot, label, helps))]
    At {
        /// The SQL source.
        source_text: Arc<Source>,
        /// What is wrong.
        title: String,
        /// The position; `None` when DataFusion does not report one.
        spot: Option<Spot>,
        /// The label below the caret; may be empty.
        label: String,
        /// The remedies.
        helps: Vec<String>,
    },

    /// A parameter of a report has no value, or one of the wrong type. Exit code 2.
    #[error("{message}")]
    Parameter {
        /// Report, parameter, got, wanted, remedy.
        message: String,
    },

    /// Data cannot be read: file or address, what is wrong, remedy.
    #[error("{message}")]
    Data {
        /// File or address, what is wrong with it, remedy.
        message: String,
        /// The error of the library that reported it, if any.
        #[source]
        cause: Option<Box<DataFusionError>>,
    },

    /// The files of a table changed while a statement was planned or read them.
    #[error("{message}")]
    Changed {
        /// The file or table, what happened, the remedy.
        message: String,
        /// Whether planning the statement again may succeed: a file was replaced, but no columns are known to differ.
        can_retry: bool,
    },

    /// A `-- check:` of a report or view failed.
    #[error("{message}")]
    Check {
        /// The check, the number of violating rows, the first of them.
        message: String,
    },

    /// The requested output is impossible: its format, path or number of sections is wrong. Exit code 2.
    #[error(transparent)]
    WriteUsage(BoxError),

    /// A result or the sample data cannot be written.
    #[error(transparent)]
    Write(BoxError),

    /// A file of the project cannot be read or written.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: std::io::Error,
    },

    /// The history of jobs cannot be read or written.
    #[error("cannot {action} the history of jobs in {}: {cause}", path.display())]
    History {
        /// `open`, `read` or `write`.
        action: &'static str,
        /// The database file.
        path: PathBuf,
        /// The error of the database.
        #[source]
        cause: BoxError,
    },

    /// A notification cannot be delivered: the mail server, the address or the program failed.
    #[error("{message}")]
    Channel {
        /// The channel and its response.
        message: String,
        /// True if a retry may succeed.
        is_transient: bool,
    },

    /// DataFusion or the runtime failed in a way that no other variant covers.
    #[error("{message}")]
    Engine {
        /// The message, with a remedy.
        message: String,
    },

    /// The user pressed Ctrl-C. Exit code 130.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// A usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into() }
    }

    /// A data error without a source.
    pub fn data(message: impl Into<String>) -> Self {
        Self::Data { message: message.into(), cause: None }
    }

    /// An error at a position in a SQL source.
    pub fn at(source: &Arc<Source>, spot: Option<Spot>, title: impl Into<String>) -> Self {
        Self::At { source_text: Arc::clone(source), title: title.into(), spot, label: String::new(), helps: Vec::new() }
    }

    /// Adds a remedy to an [`Error::At`]; other errors are returned unchanged.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        if let Self::At { helps, .. } = &mut self {
            helps.push(help.into());
        }
        self
    }

    /// Sets the label below the caret of an [`Error::At`]; other errors are returned unchanged.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Self::At { label, .. } = &mut self {
            *label = text.into();
        }
        self
    }

    /// The exit code of the process: 1 the analysis failed, 2 usage or configuration, 130 stopped by Ctrl-C.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Parameter { .. } | Self::WriteUsage(_) => 2,
            Self::At { .. }
            | Self::Data { .. }
            | Self::Changed { .. }
            | Self::Check { .. }
            | Self::Write(_)
            | Self::Io { .. }
            | Self::History { .. }
            | Self::Channel { .. }
            | Self::Engine { .. } => 1,
            Self::Stopped => 130,
        }
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

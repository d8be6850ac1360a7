//! What can go wrong, each with where it happened and how to mend it.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::error::DataFusionError;

use crate::output::OutputError;
use crate::source::{Source, Spot};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The errors below an error, the nearest first.
pub(crate) fn causes(error: &dyn StdError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// An error with the words of its causes that it does not have itself.
pub(crate) fn with_causes(error: &dyn StdError) -> String {
    causes(error).map(ToString::to_string).fold(error.to_string(), |text, cause| match text.contains(&cause) {
        true => text,
        false => format!("{text}: {cause}"),
    })
}

/// An error with the words of all its causes.
pub(crate) fn with_all_causes(error: &dyn StdError) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Everything that cxql reports to a user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line, the environment or `cxql.toml` is wrong. Exit code 2.
    #[error("{message}")]
    Usage {
        /// What is wrong and how to mend it.
        message: String,
    },

    /// Something is wrong at one place of a SQL text: a header, a statement, a name.
    #[error("{}", source_text.render(title, *spot, label, helps))]
    At {
        /// The text.
        source_text: Arc<Source>,
        /// What is wrong.
        title: String,
        /// Where; `None` when the engine does not say.
        spot: Option<Spot>,
        /// A few words below the caret; may be empty.
        label: String,
        /// How to mend it.
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
        /// Which file or address, what is wrong with it, and how to mend it.
        message: String,
        /// The cause, when another library reported it.
        #[source]
        cause: Option<Box<DataFusionError>>,
    },

    /// A check that a report or view states does not hold.
    #[error("{message}")]
    Check {
        /// Which check, how many rows, the first of them.
        message: String,
    },

    /// A result cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),

    /// Sample data cannot be written.
    #[error(transparent)]
    Demo(#[from] cxql_demo::DemoError),

    /// A file of the project cannot be read or written.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// `read`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: std::io::Error,
    },

    /// The history of jobs cannot be read or written.
    #[error("cannot {action} the history of jobs in {}: {cause}", path.display())]
    History {
        /// `open`, `read` or `write`.
        action: &'static str,
        /// Its file.
        path: PathBuf,
        /// The database's reason.
        #[source]
        cause: Box<rusqlite::Error>,
    },

    /// A message cannot be brought to somebody: a mail server, an address, a program.
    #[error("{message}")]
    Channel {
        /// Which channel, what it said.
        message: String,
        /// Whether it makes sense to try again.
        is_transient: bool,
    },

    /// The engine failed in a way that no other variant names.
    #[error("{message}")]
    Engine {
        /// The engine's message with our remedy.
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

    /// A data error without a cause.
    pub fn data(message: impl Into<String>) -> Self {
        Self::Data { message: message.into(), cause: None }
    }

    /// An error at a place of a text.
    pub fn at(source: &Arc<Source>, spot: Option<Spot>, title: impl Into<String>) -> Self {
        Self::At { source_text: Arc::clone(source), title: title.into(), spot, label: String::new(), helps: Vec::new() }
    }

    /// Adds a remedy to an error at a place; other errors stay as they are.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        if let Self::At { helps, .. } = &mut self {
            helps.push(help.into());
        }
        self
    }

    /// Adds a few words below the caret of an error at a place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Self::At { label, .. } = &mut self {
            *label = text.into();
        }
        self
    }

    /// The process's exit code: 1 the analysis failed, 2 usage or configuration, 130 stopped by Ctrl-C.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Parameter { .. } => 2,
            Self::Output(error) if is_usage(error) => 2,
            Self::At { .. }
            | Self::Data { .. }
            | Self::Check { .. }
            | Self::Output(_)
            | Self::Demo(_)
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

/// Whether an output error is one of the command line.
fn is_usage(error: &OutputError) -> bool {
    matches!(
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
    )
}

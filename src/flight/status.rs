//! gRPC statuses of errors: the code by the kind of error, the message as on the command line.

use std::error::Error as StdError;
use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::error::Error;
use crate::session::{Session, changed, is_missing};
use crate::source::Source;

/// Maximum length of an encoded message. It is sent in a header, and clients accept 8 KB of headers in total.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The status of a DataFusion error of a statement.
pub(super) async fn failure(session: &Session, source: &Arc<Source>, error: DataFusionError) -> Status {
    let code = code_of(&error);
    status(code, &session.error(error, source).await)
}

/// The status of an error of this program.
pub(super) fn from_error(error: &Error) -> Status {
    status(code_of_own(error), error)
}

/// A status with the message of an error. Internal errors are logged and not shown to the client.
pub(super) fn status(code: Code, error: &Error) -> Status {
    let text = error.to_string();
    if code == Code::Internal { fault(&text) } else { Status::new(code, truncated(&text)) }
}

/// A fault of the program: the details are logged, under a number that the client gets.
pub(super) fn fault(details: &str) -> Status {
    let number = Uuid::new_v4().simple().to_string();
    let number = &number[..12];
    tracing::error!(fault = number, details, "a fault of the program");
    Status::internal(format!("a fault of the server, number {number}; its log says more, please report it"))
}

/// An invalid request.
pub(super) fn invalid(text: impl Into<String>) -> Status {
    Status::invalid_argument(truncated(&text.into()))
}

/// A request that needs more than its limit.
pub(super) fn exhausted(text: impl Into<String>) -> Status {
    Status::resource_exhausted(truncated(&text.into()))
}

/// A request that is rejected for every user.
pub(super) fn refused(text: impl Into<String>) -> Status {
    Status::permission_denied(truncated(&text.into()))
}

/// The gRPC code of a DataFusion error.
pub(super) fn code_of(error: &DataFusionError) -> Code {
    if is_missing(error) {
        return Code::NotFound;
    }
    if changed(error).is_some() {
        return Code::Aborted;
    }
    match error {
        DataFusionError::ArrowError(error, _) => code_of_arrow(error),
        DataFusionError::ParquetError(error) => code_of_parquet(error),
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => Code::Unavailable,
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_) => Code::InvalidArgument,
        DataFusionError::NotImplemented(_) | DataFusionError::Substrait(_) => Code::Unimplemented,
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { .. } => Code::NotFound,
            SchemaError::AmbiguousReference { .. }
            | SchemaError::DuplicateQualifiedField { .. }
            | SchemaError::DuplicateUnqualifiedField { .. } => Code::InvalidArgument,
        },
        DataFusionError::ExecutionJoin(error) if error.is_cancelled() => Code::Cancelled,
        DataFusionError::Internal(_) | DataFusionError::Ffi(_) | DataFusionError::ExecutionJoin(_) => Code::Internal,
        DataFusionError::ResourcesExhausted(_) => Code::ResourceExhausted,
        DataFusionError::External(error) => code_of_any(error.as_ref()),
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => code_of(error),
        DataFusionError::Collection(errors) => errors.first().map_or(Code::Internal, code_of),
        DataFusionError::Shared(error) => code_of(error),
    }
}

fn code_of_arrow(error: &ArrowError) -> Code {
    match error {
        ArrowError::NotYetImplemented(_) => Code::Unimplemented,
        ArrowError::ExternalError(error) => code_of_any(error.as_ref()),
        ArrowError::CastError(_)
        | ArrowError::ParseError(_)
        | ArrowError::SchemaError(_)
        | ArrowError::ComputeError(_)
        | ArrowError::DivideByZero
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::InvalidArgumentError(_) => Code::InvalidArgument,
        ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::AvroError(_)
        | ArrowError::IpcError(_)
        | ArrowError::ParquetError(_) => Code::DataLoss,
        ArrowError::IoError(..) => Code::Unavailable,
        ArrowError::MemoryError(_)
        | ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError
        | ArrowError::OffsetOverflowError(_) => Code::ResourceExhausted,
        ArrowError::CDataInterface(_) => Code::Internal,
    }
}

fn code_of_parquet(error: &ParquetError) -> Code {
    match error {
        // an error of decoding, such as a string of the footer that is not UTF-8, unless it is known
        ParquetError::External(error) => known_code(error.as_ref()).unwrap_or(Code::DataLoss),
        // files that are corrupt, truncated or not Parquet
        ParquetError::General(_)
        | ParquetError::EOF(_)
        | ParquetError::ArrowError(_)
        | ParquetError::IndexOutOfBound(..)
        | ParquetError::NeedMoreData(_)
        | ParquetError::NeedMoreDataRange(_) => Code::DataLoss,
        ParquetError::NYI(_) => Code::Unimplemented,
        // the enum is non-exhaustive
        _ => Code::Internal,
    }
}

/// The code of an external error that DataFusion wraps.
fn code_of_any(error: &(dyn StdError + Send + Sync + 'static)) -> Code {
    known_code(error).unwrap_or(Code::Internal)
}

/// The same; `None` for an error of a type that is not known here.
fn known_code(error: &(dyn StdError + Send + Sync + 'static)) -> Option<Code> {
    if let Some(error) = error.downcast_ref::<Error>() {
        Some(code_of_own(error))
    } else if let Some(error) = error.downcast_ref::<DataFusionError>() {
        Some(code_of(error))
    } else if let Some(error) = error.downcast_ref::<ArrowError>() {
        Some(code_of_arrow(error))
    } else if let Some(error) = error.downcast_ref::<ParquetError>() {
        Some(code_of_parquet(error))
    } else if error.is::<object_store::Error>() || error.is::<std::io::Error>() {
        Some(Code::Unavailable)
    } else {
        None
    }
}

/// The gRPC code of an error of this program.
fn code_of_own(error: &Error) -> Code {
    match error {
        // the fault is in a file of the project and not in the request
        Error::At { source_text, .. } if source_text.path.is_some() || source_text.is_shipped => {
            Code::FailedPrecondition
        }
        Error::At { .. } | Error::Parameter { .. } => Code::InvalidArgument,
        Error::Usage { .. } | Error::Check { .. } => Code::FailedPrecondition,
        Error::Data { cause: Some(cause), .. } => match code_of(cause) {
            // what a decoder cannot read is a fault of the file
            Code::Internal => Code::DataLoss,
            code => code,
        },
        Error::Data { cause: None, .. } | Error::Io { .. } | Error::History { .. } => Code::Unavailable,
        Error::WriteUsage(_) | Error::Write(_) | Error::Channel { .. } | Error::Engine { .. } => Code::Internal,
        Error::Stopped => Code::Cancelled,
        Error::Changed { .. } => Code::Aborted,
    }
}

/// Truncates a message to the limit of a header, in which all but printable ASCII is percent-encoded: three bytes for
/// one.
fn truncated(text: &str) -> String {
    let mut length = 0;
    for (at, c) in text.char_indices() {
        length += if (' '..='~').contains(&c) && c != '%' { 1 } else { 3 * c.len_utf8() };
        if length > MAX_MESSAGE_BYTES {
            return format!("{}...", &text[..at]);
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use datafusion::common::Diagnostic;

    use super::*;

    #[test]
    fn wrapped_errors_have_the_code_of_their_root() {
        let root = || DataFusionError::ResourcesExhausted("x".into());
        assert_eq!(code_of(&root()), Code::ResourceExhausted);
        assert_eq!(code_of(&DataFusionError::Context("c".into(), Box::new(root()))), Code::ResourceExhausted);
        assert_eq!(code_of(&DataFusionError::Shared(Arc::new(root()))), Code::ResourceExhausted);
        assert_eq!(code_of(&DataFusionError::Collection(vec![root()])), Code::ResourceExhausted);
        let external = DataFusionError::External(Box::new(root()));
        assert_eq!(code_of(&external), Code::ResourceExhausted);
        let arrow = ArrowError::ExternalError(Box::new(external));
        assert_eq!(code_of(&DataFusionError::ArrowError(Box::new(arrow), None)), Code::ResourceExhausted);
        let diagnostic = Diagnostic::new_error("x", None);
        assert_eq!(
            code_of(&DataFusionError::Diagnostic(Box::new(diagnostic), Box::new(root()))),
            Code::ResourceExhausted
        );
    }

    #[test]
    fn storage_is_unavailable_and_broken_files_are_data_loss() {
        let store = || object_store::Error::Generic { store: "S3", source: "down".into() };
        assert_eq!(code_of(&DataFusionError::ObjectStore(Box::new(store()))), Code::Unavailable);
        let parquet = ParquetError::External(Box::new(store()));
        assert_eq!(code_of(&DataFusionError::ParquetError(Box::new(parquet))), Code::Unavailable);
        let broken = ParquetError::General("bad magic".into());
        assert_eq!(code_of(&DataFusionError::ParquetError(Box::new(broken))), Code::DataLoss);
        let footer = ParquetError::External(Box::new(String::from_utf8(vec![0xff]).unwrap_err()));
        assert_eq!(code_of(&DataFusionError::ParquetError(Box::new(footer))), Code::DataLoss);
        assert_eq!(code_of(&Error::data("no such bucket").into()), Code::Unavailable);
        let cause = DataFusionError::ParquetError(Box::new(ParquetError::General("bad magic".into())));
        let broken = Error::Data { message: "cannot read".into(), cause: Some(Box::new(cause)) };
        assert_eq!(code_of(&broken.into()), Code::DataLoss);
        let cause = Box::new(DataFusionError::External("a length is wrong".into()));
        let unreadable = Error::Data { message: "cannot read x.parquet".into(), cause: Some(cause) };
        assert_eq!(code_of_own(&unreadable), Code::DataLoss);
    }

    #[test]
    fn faults_show_nothing_of_the_inside() {
        let status = status(Code::Internal, &Error::Engine { message: "downcast of Foo failed".into() });
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("Foo"), "{status}");
    }

    #[test]
    fn a_message_fits_into_a_header() {
        assert_eq!(truncated("short\n"), "short\n");
        // each of these is encoded as nine bytes
        let long = truncated(&"满".repeat(2000));
        assert_eq!(long.chars().count(), MAX_MESSAGE_BYTES / 9 + 3);
    }
}

//! Headers of requests that change how statements are planned: they work for clients that cannot set options of a session.

use std::sync::Arc;

use tonic::Status;
use tonic::metadata::MetadataMap;

use super::client_sessions::ClientSession;
use super::status;
use crate::session::Session;

/// The headers with the schema in which names without one are looked up. The second is that of other servers, which tools
/// know.
const SCHEMAS: [&str; 2] = ["x-cxql-schema", "schema"];

/// The header with the form of points in time.
const TIMESTAMPS: &str = "x-cxql-timestamps";

/// How points in time are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum TimestampForm {
    /// As timestamps with the time zone of the session.
    #[default]
    Zoned,
    /// As timestamps in UTC without a time zone, for clients that cannot read others.
    Utc,
}

/// The session and the form of results that a request asks for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) session: Arc<Session>,
    pub(super) timestamps: TimestampForm,
}

/// Reads the headers of a request.
///
/// # Errors
/// A schema that does not exist, another form of timestamps.
pub(super) fn asked(client: &ClientSession, headers: &MetadataMap) -> Result<Asked, Status> {
    let text = |name: &'static str| match headers.get(name).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(Err(_)) => Err(status::invalid(format!("{name}: printable ASCII is wanted"))),
    };
    let timestamps = match text(TIMESTAMPS)? {
        None | Some("zoned") => TimestampForm::Zoned,
        Some("utc") => TimestampForm::Utc,
        Some(other) => {
            return Err(status::invalid(format!("{TIMESTAMPS}: utc or zoned is wanted, got `{other}`")));
        }
    };
    let mut session = client.session();
    for name in SCHEMAS {
        if let Some(schema) = text(name)? {
            session = client.with_schema(schema).map_err(|error| status::invalid(format!("{name}: {error}")))?;
            break;
        }
    }
    Ok(Asked { session, timestamps })
}

//! Session options: the Flight messages that arrow-flight lacks, and the meaning of each option.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tonic::Status;

use super::client_sessions::{ClientSession, ClientSessions, SessionKind, SessionSettings};
use super::status;
use crate::session::CATALOG;

/// The action types.
pub(super) const SET: &str = "SetSessionOptions";
pub(super) const GET: &str = "GetSessionOptions";
pub(super) const CLOSE: &str = "CloseSession";

const OPTIONS: [&str; 4] = ["catalog", "schema", "time_zone", "timeout_s"];

/// The value of an option; without one the option is reset.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Boolean(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Float(f64),
    #[prost(message, tag = "5")]
    Strings(StringList),
}

#[derive(Clone, PartialEq, Message)]
struct StringList {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

/// The body of [`SET`], and the response to [`GET`].
#[derive(Clone, PartialEq, Message)]
struct OptionsMessage {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

/// The response to [`SET`]: the options that were rejected.
#[derive(Clone, PartialEq, Message)]
struct SetResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, SetError>,
}

#[derive(Clone, PartialEq, Message)]
struct SetError {
    #[prost(int32, tag = "1")]
    value: i32,
}

/// Values of [`SetError`].
const INVALID_NAME: i32 = 1;
const INVALID_VALUE: i32 = 2;

/// The response to [`CLOSE`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseResult {
    /// 1 closed, 3 not closeable.
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

/// Sets options of a session. Returns the response, and the session if a new one was opened.
pub(super) fn set(
    sessions: &ClientSessions,
    client: &Arc<ClientSession>,
    body: &[u8],
) -> Result<(Vec<u8>, Option<Arc<ClientSession>>), Status> {
    let request = OptionsMessage::decode(body);
    let request = request.map_err(|_| status::invalid(format!("{SET} wants a SetSessionOptionsRequest")))?;
    let new = if client.kind == SessionKind::Direct { Some(sessions.open_for(client)?) } else { None };
    let target = new.as_ref().unwrap_or(client);
    let mut errors = HashMap::new();
    let mut names: Vec<_> = request.options.into_iter().collect();
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in names {
        let mut settings = target.settings();
        let taken = apply(&mut settings, &name, value.value);
        let taken = taken.and_then(|()| {
            target.set(settings).map_err(|error| {
                tracing::info!(session_id = %target.id, option = name.as_str(), %error, "an option of a session was not taken");
                INVALID_VALUE
            })
        });
        if let Err(value) = taken {
            errors.insert(name, SetError { value });
        }
    }
    Ok((SetResult { errors }.encode_to_vec(), new))
}

/// Changes one setting.
///
/// # Errors
/// A value of [`SetError`].
fn apply(settings: &mut SessionSettings, name: &str, value: Option<Value>) -> Result<(), i32> {
    if !OPTIONS.contains(&name) {
        return Err(INVALID_NAME);
    }
    let text = |value: Option<Value>| match value {
        None => Ok(None),
        // an empty string resets too: some clients cannot send a missing value
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(Value::Boolean(_) | Value::Integer(_) | Value::Float(_) | Value::Strings(_)) => Err(INVALID_VALUE),
    };
    match name {
        // there is only one catalog
        "catalog" => match text(value)? {
            Some(name) if name != CATALOG => return Err(INVALID_VALUE),
            _ => {}
        },
        "schema" => settings.schema = text(value)?,
        "time_zone" => settings.time_zone = text(value)?,
        _ => {
            let seconds = match value {
                None => None,
                Some(Value::Integer(seconds)) => Some(seconds as f64),
                Some(Value::Float(seconds)) => Some(seconds),
                Some(Value::String(text)) if text.is_empty() => None,
                Some(Value::String(text)) => Some(text.trim().parse::<f64>().map_err(|_| INVALID_VALUE)?),
                Some(Value::Boolean(_) | Value::Strings(_)) => return Err(INVALID_VALUE),
            };
            let timeout = seconds.map(|seconds| match Duration::try_from_secs_f64(seconds) {
                Ok(timeout) if !timeout.is_zero() => Ok(timeout),
                _ => Err(INVALID_VALUE),
            });
            settings.timeout = timeout.transpose()?;
        }
    }
    Ok(())
}

/// The response to [`GET`].
pub(super) fn get(client: &ClientSession) -> Vec<u8> {
    let settings = client.settings();
    let config = client.session().context().copied_config();
    let options = config.options();
    let schema = options.catalog.default_schema.clone();
    let zone = options.execution.time_zone.clone().unwrap_or_default();
    let text = |text: String| OptionValue { value: Some(Value::String(text)) };
    let mut all = HashMap::from([
        ("catalog".to_owned(), text(CATALOG.to_owned())),
        ("schema".to_owned(), text(schema)),
        ("time_zone".to_owned(), text(zone)),
    ]);
    if let Some(timeout) = settings.timeout {
        all.insert("timeout_s".to_owned(), OptionValue { value: Some(Value::Float(timeout.as_secs_f64())) });
    }
    OptionsMessage { options: all }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_names_and_types() {
        let mut settings = SessionSettings::default();
        apply(&mut settings, "timeout_s", Some(Value::Integer(5))).unwrap();
        apply(&mut settings, "schema", Some(Value::String("reports".into()))).unwrap();
        apply(&mut settings, "catalog", Some(Value::String(CATALOG.into()))).unwrap();
        let expected =
            SessionSettings { schema: Some("reports".into()), time_zone: None, timeout: Some(Duration::from_secs(5)) };
        assert_eq!(settings, expected);
        apply(&mut settings, "timeout_s", None).unwrap();
        apply(&mut settings, "schema", Some(Value::String(String::new()))).unwrap();
        assert_eq!(settings, SessionSettings::default());
        assert_eq!(apply(&mut settings, "colour", None), Err(INVALID_NAME));
        for (name, value) in [
            ("catalog", Value::String("other".into())),
            ("schema", Value::Integer(1)),
            ("timeout_s", Value::Integer(0)),
            ("timeout_s", Value::Float(f64::NAN)),
            ("timeout_s", Value::String("soon".into())),
            ("time_zone", Value::Boolean(true)),
        ] {
            assert_eq!(apply(&mut settings, name, Some(value)), Err(INVALID_VALUE), "{name}");
        }
    }

    #[test]
    fn messages_are_those_of_flight() {
        // {"a": 1}: field 1 with key and value, whose field 3 has 64 bits
        let bytes = [0x0a, 0x0e, 0x0a, 0x01, b'a', 0x12, 0x09, 0x19, 1, 0, 0, 0, 0, 0, 0, 0];
        let options = HashMap::from([("a".to_owned(), OptionValue { value: Some(Value::Integer(1)) })]);
        assert_eq!(OptionsMessage { options: options.clone() }.encode_to_vec(), bytes);
        assert_eq!(OptionsMessage::decode(&bytes[..]).unwrap().options, options);
    }
}

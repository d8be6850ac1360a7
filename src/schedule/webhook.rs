//! Webhook channels: messages as HTTP POST requests, signed where the receiver supports it.
//!
//! The generic shape is signed by `X-Cxql-Signature: v1=HEX`, where HEX is the HMAC-SHA256 of `TIMESTAMP.BODY` under
//! the channel's secret and TIMESTAMP, in Unix seconds, is sent as `X-Cxql-Timestamp`. `X-Cxql-Delivery` is the
//! delivery id, the same in each attempt. Feishu and DingTalk have their own signatures.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio_rustls::rustls::crypto::ring;
use url::{Host, Url};

use super::deliver::{CHANNEL_TIMEOUT, MAX_ANSWER_CHARS};
use super::mail::SendOutcome;
use crate::config::{ChannelConfig, SecretText, WebhookShape};
use crate::error::{Error, Result, with_all_causes};

/// Maximum bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Posts a message. `before_send` is called directly before.
///
/// # Errors
/// An invalid channel configuration, an error of `before_send`.
pub(super) async fn send(
    name: &str,
    channel: &ChannelConfig,
    folder: &Path,
    delivery_id: &str,
    body: &[u8],
    now: DateTime<Utc>,
    before_send: impl FnOnce() -> Result<()>,
) -> Result<SendOutcome> {
    let wrong = |what: &str| Error::usage(format!("[channels.{name}] in cxql.toml: {what}"));
    let address = channel.url.as_ref().ok_or_else(|| wrong("a webhook needs `url`"))?.read(folder)?;
    // the URL may contain a secret, so that no error shows it
    let mut url = Url::parse(address.expose()).map_err(|_| wrong("`url` is no address such as https://host/path"))?;
    match url.scheme() {
        "https" => {}
        "http" if channel.allow_http || is_here(&url) => {}
        "http" => {
            return Err(wrong("`url` is plain http, which anybody on the way can read; use https, or set allow_http"));
        }
        _ => return Err(wrong("`url` begins with https://")),
    }
    let secret = channel.secret.as_ref().map(|secret| secret.read(folder)).transpose()?;
    let timeout = channel.timeout.map_or(CHANNEL_TIMEOUT, |span| span.0);
    // the whole program uses one TLS provider; a second call has no effect
    let _ = ring::default_provider().install_default();
    let client = Client::builder().timeout(timeout).redirect(Policy::none()).build();
    let client = client.map_err(|error| wrong(&format!("no connection can be made: {}", error.without_url())))?;
    let mut body = body.to_vec();
    let mut headers = vec![("content-type", "application/json".to_string())];
    headers.push(("user-agent", concat!("cxql/", env!("CARGO_PKG_VERSION")).to_string()));
    match (channel.shape, &secret) {
        (WebhookShape::Json, secret) => {
            let timestamp = now.timestamp().to_string();
            headers.push(("x-cxql-delivery", delivery_id.to_string()));
            if let Some(secret) = secret {
                let signed = [timestamp.as_bytes(), b".", body.as_slice()].concat();
                headers.push(("x-cxql-signature", format!("v1={}", hex(&hmac(secret.expose(), &signed)))));
            }
            headers.push(("x-cxql-timestamp", timestamp));
        }
        (WebhookShape::Feishu, Some(secret)) => body = feishu(&body, secret, now)?,
        (WebhookShape::Dingtalk, Some(secret)) => {
            let timestamp = now.timestamp_millis().to_string();
            let sign = hmac(secret.expose(), format!("{timestamp}\n{}", secret.expose()).as_bytes());
            url.query_pairs_mut().append_pair("timestamp", &timestamp).append_pair("sign", &STANDARD.encode(sign));
        }
        _ => {}
    }
    let mut request = client.post(url).body(body);
    for (header, value) in headers {
        request = request.header(header, value);
    }
    let hide = |text: String| {
        let text = address.hide_in(&text);
        secret.as_ref().map_or(text.clone(), |secret| secret.hide_in(&text))
    };
    before_send()?;
    let describe = |text: String| format!("channel {name}: {}", hide(text));
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => {
            return Ok(SendOutcome::Retry(describe(with_all_causes(&error.without_url()))));
        }
        Err(error) => return Ok(SendOutcome::Unknown(describe(with_all_causes(&error.without_url())))),
    };
    let status = response.status();
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = retry_after(header.unwrap_or_default(), now);
    let answer = read(response).await;
    let short: String = answer.chars().take(MAX_ANSWER_CHARS).collect();
    let sent = match status {
        _ if status.is_success() => match refusal(channel.shape, &answer) {
            None => {
                SendOutcome::Accepted { response: describe(format!("{} {short}", status.as_u16())), refused: vec![] }
            }
            // these services answer 200 and put the error into the body
            Some(Refusal { is_transient: true, text }) => SendOutcome::Retry(describe(text)),
            Some(Refusal { text, .. }) => SendOutcome::Rejected(describe(text)),
        },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY => {
            SendOutcome::RetryAfter(describe(format!("{status}: {short}")), wait)
        }
        _ if status.is_server_error() => SendOutcome::RetryAfter(describe(format!("{status}: {short}")), wait),
        _ => SendOutcome::Rejected(describe(format!("{status}: {short}"))),
    };
    Ok(sent)
}

/// The wait that `Retry-After` requests, in seconds or until a date (RFC 9110, section 10.2.3); 0 if it is absent or
/// invalid.
fn retry_after(header: &str, now: DateTime<Utc>) -> Duration {
    let until = || DateTime::parse_from_rfc2822(header).ok().and_then(|at| (at.to_utc() - now).to_std().ok());
    header.parse().map(Duration::from_secs).ok().or_else(until).unwrap_or_default()
}

async fn read(mut response: reqwest::Response) -> String {
    let mut answer = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        answer.extend_from_slice(&chunk);
        if answer.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    String::from_utf8_lossy(&answer).trim().to_string()
}

struct Refusal {
    text: String,
    is_transient: bool,
}

/// The error in the body of a service that always answers 200.
fn refusal(shape: WebhookShape, answer: &str) -> Option<Refusal> {
    let key = match shape {
        WebhookShape::Feishu => "code",
        WebhookShape::Dingtalk | WebhookShape::Wecom => "errcode",
        WebhookShape::Json | WebhookShape::Slack | WebhookShape::Teams => return None,
    };
    let answer: Value = serde_json::from_str(answer).ok()?;
    let code = answer.get(key).and_then(Value::as_i64).unwrap_or(0);
    let text = answer.get("errmsg").or_else(|| answer.get("msg")).and_then(Value::as_str).unwrap_or_default();
    // rate limits: Feishu 9499 and 11232, DingTalk 130101, WeCom 45009; -1 is a busy server
    let is_transient = [-1, 9499, 11232, 130_101, 45009].contains(&code);
    (code != 0).then(|| Refusal { text: format!("{key} {code}: {text}"), is_transient })
}

/// Adds Feishu's signature to the body: the HMAC-SHA256 of an empty message under the key `TIMESTAMP\nSECRET`.
fn feishu(body: &[u8], secret: &SecretText, now: DateTime<Utc>) -> Result<Vec<u8>> {
    let failed = |cause: serde_json::Error| Error::Engine { message: format!("the message cannot be signed: {cause}") };
    let mut message: Value = serde_json::from_slice(body).map_err(failed)?;
    let timestamp = now.timestamp().to_string();
    let sign = hmac(&format!("{timestamp}\n{}", secret.expose()), b"");
    if let Some(fields) = message.as_object_mut() {
        fields.insert("timestamp".into(), json!(timestamp));
        fields.insert("sign".into(), json!(STANDARD.encode(sign)));
    }
    serde_json::to_vec(&message).map_err(failed)
}

fn hmac(key: &str, data: &[u8]) -> Vec<u8> {
    match Hmac::<Sha256>::new_from_slice(key.as_bytes()) {
        Ok(mut mac) => {
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        // HMAC accepts keys of any length
        Err(_) => vec![],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a URL points to this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_services() {
        // RFC 4231, test case 2
        let mac = hex(&hmac("Jefe", b"what do ya want for nothing?"));
        assert_eq!(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        // openssl dgst -sha256 -hmac $'1700000000\nhush' -binary </dev/null | base64
        let secret = SecretText::from("hush".to_string());
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let body: Value = serde_json::from_slice(&feishu(b"{\"msg_type\":\"text\"}", &secret, now).unwrap()).unwrap();
        assert_eq!(body["timestamp"], "1700000000");
        assert_eq!(body["sign"], "hr9XYhIKnr9hsmPfMb6rGd7Y0SONRmoNUPqB7k9RizM=");
    }

    #[test]
    fn waits_are_read_as_seconds_and_as_times() {
        let now = "1994-11-06T08:49:07Z".parse().unwrap();
        // the time is RFC 9110's own example
        for (header, seconds) in [
            ("120", 120),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 30),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ("soon", 0),
            ("-1", 0),
            ("", 0),
        ] {
            assert_eq!(retry_after(header, now), Duration::from_secs(seconds), "{header}");
        }
    }

    #[test]
    fn a_refusal_inside_a_good_answer_is_seen() {
        assert!(refusal(WebhookShape::Slack, "ok").is_none());
        assert!(refusal(WebhookShape::Wecom, "{\"errcode\":0,\"errmsg\":\"ok\"}").is_none());
        let refused = refusal(WebhookShape::Dingtalk, "{\"errcode\":310000,\"errmsg\":\"sign not match\"}").unwrap();
        assert_eq!((refused.text.as_str(), refused.is_transient), ("errcode 310000: sign not match", false));
        assert!(refusal(WebhookShape::Wecom, "{\"errcode\":45009}").unwrap().is_transient);
        assert!(refusal(WebhookShape::Feishu, "{\"code\":19021,\"msg\":\"sign match fail\"}").is_some());
    }
}

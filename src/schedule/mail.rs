//! Mail over SMTP, with TLS unless the configuration turns it off.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use lettre::Message;
use lettre::address::{Address, Envelope};
use lettre::message::header::{ContentType, HeaderName, HeaderValue, Headers, MessageId, To};
use lettre::message::{Attachment, Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use parking_lot::Mutex;

use super::message::Attachments;
use crate::config::{Encryption, MailConfig, SecretText};
use crate::error::{Error, Result, with_causes};
use crate::render::MailBody;

const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection is kept for the next mail.
const IDLE: Duration = Duration::from_secs(10);

/// Connections to the mail server that have sent a mail and wait for the next.
#[derive(Default)]
pub(super) struct Connections(Mutex<Vec<(Instant, AsyncSmtpConnection)>>);

impl Connections {
    /// The connection that was used last, if it is still fresh.
    fn take(&self) -> Option<AsyncSmtpConnection> {
        let (kept_at, connection) = self.0.lock().pop()?;
        (kept_at.elapsed() < IDLE).then_some(connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        self.0.lock().push((Instant::now(), connection));
    }

    /// Ends the connections that were not used for a while, or all of them. No mail depends on the server's answer.
    pub(super) async fn close(&self, all: bool) {
        let old: Vec<_> = {
            let mut kept = self.0.lock();
            let is_old = |kept_at: &Instant| all || kept_at.elapsed() >= IDLE;
            kept.extract_if(.., |(kept_at, _)| is_old(kept_at)).collect()
        };
        for (_, mut connection) in old {
            let _ = tokio::time::timeout(Duration::from_secs(2), connection.quit()).await;
        }
    }
}

/// The outcome of sending a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendOutcome {
    /// The remote side has accepted it.
    Accepted {
        /// The answer of the remote side.
        response: String,
        /// Recipients that the server rejected, with its answers.
        refused: Vec<String>,
    },
    /// It was not accepted; a retry may succeed.
    Retry(String),
    /// It was not accepted, and the remote side requests this wait before a retry.
    RetryAfter(String, Duration),
    /// It was rejected for good.
    Rejected(String),
    /// It is unknown whether the remote side has accepted it.
    Unknown(String),
}

/// Composes the part of a mail that is the same for all of its recipients: the headers without `To` and `Message-ID`, and
/// the content.
///
/// # Errors
/// Content that cannot be encoded as a mail.
pub(super) fn compose(
    config: &MailConfig,
    subject: &str,
    body: &MailBody,
    attachments: &Attachments,
    now: DateTime<Utc>,
) -> Result<Vec<u8>> {
    let from: Mailbox = config.from.parse().map_err(|error| failed(&error))?;
    // a line break in a subject would start another header
    let subject: String = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(250).collect();
    // the envelope is that of the delivery; without one the builder wants a recipient in the headers
    let envelope = Envelope::new(Some(from.email.clone()), vec![from.email.clone()]).map_err(|error| failed(&error))?;
    let builder = Message::builder()
        .from(from)
        .envelope(envelope)
        .subject(subject)
        .date(SystemTime::from(now))
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into()));
    let png = ContentType::parse("image/png").map_err(|error| failed(&error))?;
    let mut related = MultiPart::related().singlepart(SinglePart::html(body.html.clone()));
    for (id, picture) in &body.pictures {
        let name = format!("{}.png", id.split('.').next().unwrap_or("chart"));
        let part = Attachment::new_inline_with_name(id.clone(), name).body(picture.clone(), png.clone());
        related = related.singlepart(part);
    }
    let both = MultiPart::alternative().singlepart(SinglePart::plain(body.text.clone())).multipart(related);
    let message = if attachments.is_empty() {
        builder.multipart(both)
    } else {
        let mut mixed = MultiPart::mixed().multipart(both);
        for (name, content_type, bytes) in attachments {
            let content_type = ContentType::parse(content_type).map_err(|error| failed(&error))?;
            mixed = mixed.singlepart(Attachment::new(name.clone()).body(bytes.clone(), content_type));
        }
        builder.multipart(mixed)
    };
    Ok(message.map_err(|error| failed(&error))?.formatted())
}

/// The headers that stand before what [`compose`] returns: `To` with these addresses, or with nobody's, and `Message-ID`.
/// Returns the message id, derived from `name` so that a receiver can recognize a duplicate, and the headers.
///
/// # Errors
/// A sender that is no address.
pub(super) fn headers(config: &MailConfig, to: &[&Mailbox], name: &str) -> Result<(String, Vec<u8>)> {
    let from: Mailbox = config.from.parse().map_err(|error| failed(&error))?;
    let message_id = format!("<{name}@{}>", from.email.domain());
    let mut headers = Headers::new();
    headers.set(MessageId::from(message_id.clone()));
    if to.is_empty() {
        // RFC 5322, section 3.4: a group without members
        let name = HeaderName::new_from_ascii_str("To");
        headers.insert_raw(HeaderValue::new(name, "undisclosed-recipients:;".into()));
    } else {
        headers.set(To::from(to.iter().map(|mailbox| (*mailbox).clone()).collect::<Mailboxes>()));
    }
    Ok((message_id, headers.to_string().into_bytes()))
}

fn failed(cause: &dyn std::fmt::Display) -> Error {
    Error::Engine { message: format!("the mail cannot be made: {cause}") }
}

/// Sends a mail. `before_send` is called when the server has accepted everything but the content, directly before the
/// content is sent; its error aborts the delivery.
///
/// # Errors
/// An invalid configuration, an error of `before_send`.
pub(super) async fn send(
    config: &MailConfig,
    folder: &Path,
    to: &[String],
    mail: &[u8],
    connections: &Connections,
    before_send: impl FnOnce() -> Result<()>,
) -> Result<SendOutcome> {
    let password = config.password.as_ref().map(|secret| secret.read(folder)).transpose()?;
    let hide = |text: String| password.as_ref().map_or(text.clone(), |secret| secret.hide_in(&text));
    let timeout = config.timeout.map_or(TIMEOUT, |span| span.0);
    let from: Mailbox = config.from.parse().map_err(|error| Error::usage(format!("[mail] from: {error}")))?;
    let mut addresses = Vec::with_capacity(to.len());
    for text in to {
        let address: Address =
            text.parse().map_err(|error| Error::usage(format!("`{text}` is no address: {error}")))?;
        addresses.push(address);
    }
    let envelope = Envelope::new(Some(from.email), addresses)
        .map_err(|error| Error::usage(format!("a mail needs at least one recipient: {error}")))?;
    let prepare = prepare(config, folder, password.as_ref(), timeout, &envelope, mail, connections);
    let (mut connection, refused) = match tokio::time::timeout(timeout.saturating_mul(4), prepare).await {
        Ok(Ok(ready)) => ready,
        Ok(Err(PrepareError::Configuration(error))) => return Err(error),
        Ok(Err(PrepareError::Rejected(text))) => return Ok(SendOutcome::Rejected(hide(text))),
        Ok(Err(PrepareError::Server(error))) => {
            let text = hide(format!("{}: {}", server_name(config), with_causes(&error)));
            return Ok(if error.is_permanent() { SendOutcome::Rejected(text) } else { SendOutcome::Retry(text) });
        }
        Err(_) => return Ok(SendOutcome::Retry(format!("{} does not answer", server_name(config)))),
    };
    before_send()?;
    let answer = tokio::time::timeout(timeout.saturating_mul(4), connection.message(mail)).await;
    let sent = match answer {
        Ok(Ok(response)) => {
            let answer_text = response.message().collect::<Vec<_>>().join(" ");
            SendOutcome::Accepted { response: hide(format!("{} {answer_text}", response.code())), refused }
        }
        // the server has rejected it
        Ok(Err(error)) if error.is_permanent() => {
            SendOutcome::Rejected(hide(format!("{}: {}", server_name(config), with_causes(&error))))
        }
        Ok(Err(error)) if error.is_transient() => {
            SendOutcome::Retry(hide(format!("{}: {}", server_name(config), with_causes(&error))))
        }
        Ok(Err(error)) => SendOutcome::Unknown(hide(format!("{}: {}", server_name(config), with_causes(&error)))),
        Err(_) => SendOutcome::Unknown(format!("{} did not answer after it had the mail", server_name(config))),
    };
    if matches!(sent, SendOutcome::Accepted { .. }) {
        connections.keep(connection);
    }
    Ok(sent)
}

enum PrepareError {
    Configuration(Error),
    Server(lettre::transport::smtp::Error),
    Rejected(String),
}

impl From<lettre::transport::smtp::Error> for PrepareError {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        Self::Server(error)
    }
}

/// Sends the envelope, over a connection that is kept or over a new one: everything that can be rejected before the
/// content is sent. Returns the connection and the recipients that were rejected, with the answers.
async fn prepare(
    config: &MailConfig,
    folder: &Path,
    password: Option<&SecretText>,
    timeout: Duration,
    envelope: &Envelope,
    mail: &[u8],
    connections: &Connections,
) -> std::result::Result<(AsyncSmtpConnection, Vec<String>), PrepareError> {
    if let Some(mut kept) = connections.take() {
        // a server may end a connection, or want a new one, after some mails
        if begin(&mut kept, config, envelope, mail).await.is_ok() {
            return recipients(kept, envelope).await;
        }
    }
    let mut connection = connect(config, folder, password, timeout).await?;
    begin(&mut connection, config, envelope, mail).await?;
    recipients(connection, envelope).await
}

/// Connects and authenticates.
async fn connect(
    config: &MailConfig,
    folder: &Path,
    password: Option<&SecretText>,
    timeout: Duration,
) -> std::result::Result<AsyncSmtpConnection, PrepareError> {
    let name = ClientId::default();
    let port = config.port.unwrap_or(if config.encryption == Encryption::Tls { 465 } else { 587 });
    let server = (config.host.as_str(), port);
    let tls = || tls(config, folder);
    let is_here = ["localhost", "127.0.0.1", "::1"].contains(&config.host.as_str());
    if config.encryption == Encryption::None && password.is_some() && !is_here {
        return Err(PrepareError::Rejected(format!(
            "a password is not sent to {} without encryption; set `encryption` in [mail] to \"starttls\" or \"tls\"",
            server_name(config)
        )));
    }
    let first = match config.encryption {
        Encryption::Tls => Some(tls().map_err(PrepareError::Configuration)?),
        Encryption::Starttls | Encryption::None => None,
    };
    let mut connection = AsyncSmtpConnection::connect_tokio1(server, Some(timeout), &name, first, None).await?;
    if config.encryption == Encryption::Starttls {
        if !connection.can_starttls() {
            return Err(PrepareError::Rejected(format!(
                "{} offers no STARTTLS; set `encryption` in [mail] to \"tls\", or to \"none\" for a server on this machine",
                server_name(config)
            )));
        }
        connection.starttls(tls().map_err(PrepareError::Configuration)?, &name).await?;
    }
    if let (Some(user), Some(password)) = (&config.user, password) {
        let credentials = Credentials::new(user.clone(), password.expose().to_string());
        connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
    }
    Ok(connection)
}

/// Sends `MAIL FROM`.
async fn begin(
    connection: &mut AsyncSmtpConnection,
    config: &MailConfig,
    envelope: &Envelope,
    mail: &[u8],
) -> std::result::Result<(), PrepareError> {
    let mut options = vec![];
    let is_plain = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if !envelope.to().iter().chain(envelope.from()).all(is_plain) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(PrepareError::Rejected(format!(
                "{} takes only addresses of plain letters",
                server_name(config)
            )));
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    if !mail.is_ascii() {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(Mail::new(envelope.from().cloned(), options)).await?;
    Ok(())
}

/// Sends the recipients and `DATA`. The others get the mail if some are rejected.
async fn recipients(
    mut connection: AsyncSmtpConnection,
    envelope: &Envelope,
) -> std::result::Result<(AsyncSmtpConnection, Vec<String>), PrepareError> {
    let mut refused = vec![];
    let mut last = None;
    for address in envelope.to() {
        match connection.command(Rcpt::new(address.clone(), vec![])).await {
            Ok(_) => {}
            Err(error) if error.is_permanent() => {
                refused.push(format!("{address}: {}", with_causes(&error)));
                last = Some(error);
            }
            Err(error) => return Err(PrepareError::Server(error)),
        }
    }
    // without any recipient there is nothing to send
    if let Some(error) = last.filter(|_| refused.len() == envelope.to().len()) {
        return Err(PrepareError::Server(error));
    }
    connection.command(Data).await?;
    Ok((connection, refused))
}

fn tls(config: &MailConfig, folder: &Path) -> Result<TlsParameters> {
    let failed = |cause: &dyn std::fmt::Display| Error::usage(format!("[mail] encryption: {cause}"));
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(ca) = &config.ca {
        let path = folder.join(ca);
        let pem = std::fs::read(&path).map_err(|cause| Error::Io { action: "read", path, cause })?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| failed(&error))?);
    }
    builder.build_rustls().map_err(|error| failed(&error))
}

fn server_name(config: &MailConfig) -> String {
    format!("the mail server {}", config.host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Addressing;

    fn config() -> MailConfig {
        MailConfig {
            from: "Reports <reports@example.com>".into(),
            host: "localhost".into(),
            port: None,
            encryption: Encryption::None,
            ca: None,
            user: None,
            password: None,
            timeout: None,
            addressing: Addressing::default(),
        }
    }

    #[test]
    fn a_mail_has_its_parts() {
        let body = MailBody {
            html: "<p>满意度</p>".into(),
            text: "满意度".into(),
            pictures: vec![("chart1.w@cxql".into(), vec![1, 2, 3])],
        };
        let to: Mailbox = "张三 <a@example.com>".parse().unwrap();
        let attachments = [("满意度.csv".to_string(), "text/csv", b"a\n1\n".to_vec())];
        let now = "2025-01-06T08:00:00Z".parse().unwrap();
        let (id, mut bytes) = headers(&config(), &[&to], "w.1").unwrap();
        bytes.extend(compose(&config(), "a\r\nBcc: x@y.z", &body, &attachments, now).unwrap());
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(id, "<w.1@example.com>");
        for wanted in [
            "Message-ID: <w.1@example.com>",
            "Auto-Submitted: auto-generated",
            "Date: Mon, 06 Jan 2025 08:00:00 +0000",
            "Content-ID: <chart1.w@cxql>",
            "Content-Type: image/png",
            "multipart/mixed",
            "multipart/alternative",
            "multipart/related",
            "text/csv",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
        assert!(!text.contains("\nBcc:"), "{text}");
        let (_, nobody) = headers(&config(), &[], "w.1").unwrap();
        assert!(String::from_utf8(nobody).unwrap().contains("To: undisclosed-recipients:;\r\n"));
    }

    #[test]
    fn a_header_of_many_addresses_is_made_once() {
        let many: Vec<Mailbox> = (0..5_000).map(|n| format!("Name {n} <a{n}@example.com>").parse().unwrap()).collect();
        let started = Instant::now();
        let (_, bytes) = headers(&config(), &many.iter().collect::<Vec<_>>(), "w.1").unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("<a4999@example.com>"));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

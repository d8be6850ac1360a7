//! Messages before they are encoded as a mail, a webhook's JSON or a program's input.

use chrono::{DateTime, SecondsFormat, Utc};
use lettre::message::Mailbox;
use serde_json::{Value, json};

use super::job::Recipient;
use super::mail;
use crate::config::{ChannelKind, WebhookShape};
use crate::error::Result;
use crate::history::{AlertNotification, Content, DeliveryKind, NewDelivery, Purpose};
use crate::project::Project;
use crate::render::{Banner, MailBody, note_body};

/// Maximum lines of a chat message.
const MAX_LINES: usize = 40;

/// A message of a run.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Why it is sent.
    pub(super) purpose: Purpose,
    /// The job.
    pub(super) job: String,
    /// The id of the run.
    pub(super) run_id: String,
    /// The scheduled time of the run.
    pub(super) scheduled_at: DateTime<Utc>,
    /// The first line, and the subject of a mail.
    pub(super) title: String,
    /// Whether it reports an error.
    pub(super) is_error: bool,
    /// The other lines.
    pub(super) lines: Vec<String>,
    /// Paths and URLs of the results.
    pub(super) links: Vec<String>,
    /// The alerts that it reports.
    pub(super) alerts: Vec<AlertNotification>,
}

/// Attachments of a mail: name, content type, content.
pub(super) type Attachments = [(String, &'static str, Vec<u8>)];

impl Message {
    /// Encodes the message for its recipients: one mail for all addresses, and one delivery per channel. `body` is the
    /// mail's content; without it the mail contains the lines. `number` distinguishes the mails of one run.
    ///
    /// # Errors
    /// A mail that cannot be composed.
    pub(super) fn deliveries(
        &self,
        project: &Project,
        recipients: &[Recipient],
        body: Option<&MailBody>,
        attachments: &Attachments,
        number: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<NewDelivery>> {
        let mut deliveries = Vec::new();
        let mut addresses: Vec<&Mailbox> = Vec::new();
        for recipient in recipients {
            match recipient {
                Recipient::Mail(mailbox) if addresses.iter().any(|known| known.email == mailbox.email) => {}
                Recipient::Mail(mailbox) => addresses.push(mailbox),
                Recipient::Channel(name) => {
                    let Some(channel) = project.job_settings.channels.get(name) else { continue };
                    if deliveries.iter().any(|known: &NewDelivery| known.target == *name) {
                        continue;
                    }
                    let is_json = channel.kind == ChannelKind::Command || channel.shape == WebhookShape::Json;
                    let shape = if is_json { WebhookShape::Json } else { channel.shape };
                    deliveries.push(NewDelivery {
                        purpose: self.purpose,
                        kind: DeliveryKind::Channel,
                        target: name.clone(),
                        recipients: vec![],
                        content: Content::Bytes(self.payload(shape).to_string().into_bytes()),
                        message_id: None,
                        // a receiver of the generic format recognizes a duplicate by its delivery id
                        is_repeatable: channel.kind == ChannelKind::Webhook && is_json,
                        keep: None,
                    });
                }
            }
        }
        if let (false, Some(config)) = (addresses.is_empty(), &project.job_settings.mail) {
            let note;
            let body = match body {
                Some(body) => body,
                None => {
                    let banner = Banner { text: self.title.clone(), is_error: self.is_error };
                    let lines: Vec<String> = self.lines.iter().chain(&self.links).cloned().collect();
                    note = note_body(&self.title, &lines, &banner);
                    &note
                }
            };
            let (message_id, bytes) = mail::compose(
                config,
                &addresses,
                &self.title,
                body,
                attachments,
                &format!("{}.{number}", self.run_id),
                now,
            )?;
            deliveries.push(NewDelivery {
                purpose: self.purpose,
                kind: DeliveryKind::Mail,
                target: "mail".into(),
                recipients: addresses.iter().map(|mailbox| mailbox.email.to_string()).collect(),
                content: Content::Bytes(bytes),
                message_id: Some(message_id),
                is_repeatable: false,
                keep: None,
            });
        }
        Ok(deliveries)
    }

    /// The JSON payload of a webhook of this shape.
    fn payload(&self, shape: WebhookShape) -> Value {
        let mut lines: Vec<String> = self.lines.clone();
        lines.extend(self.links.iter().cloned());
        if lines.len() > MAX_LINES {
            let more = lines.len() - MAX_LINES;
            lines.truncate(MAX_LINES);
            lines.push(format!("and {more} lines more"));
        }
        let text = lines.join("\n");
        let full_text = format!("{}\n{text}", self.title).trim_end().to_string();
        match shape {
            WebhookShape::Json => json!({
                "version": 1,
                "purpose": self.purpose.name(),
                "severity": if self.is_error { "error" } else { "info" },
                "job": self.job,
                "run": self.run_id,
                "scheduled_at": self.scheduled_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                "title": self.title,
                "lines": self.lines,
                "links": self.links,
                "alerts": self.alerts.iter().map(|notification| json!({
                    "alert": notification.alert,
                    "severity": notification.severity,
                    "group": notification.group,
                    "figures": notification.figures,
                    "is_over": notification.is_over,
                    "is_unknown": notification.is_unknown,
                })).collect::<Vec<_>>(),
            }),
            // Slack interprets `<...>` as links and mentions
            WebhookShape::Slack => {
                let escaped = full_text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                json!({ "text": cut(&escaped, 3_900) })
            }
            WebhookShape::Teams => json!({
                "type": "message",
                "attachments": [{
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "body": [
                            {
                                "type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": true,
                                "color": if self.is_error { "Attention" } else { "Default" },
                                "text": cut(&self.title, 500),
                            },
                            // Adaptive Cards need an empty line for a line break
                            { "type": "TextBlock", "wrap": true, "text": cut(&text.replace('\n', "\n\n"), 6_000) },
                        ],
                    },
                }],
            }),
            WebhookShape::Feishu => json!({ "msg_type": "text", "content": { "text": cut(&full_text, 6_000) } }),
            WebhookShape::Dingtalk => json!({
                "msgtype": "markdown",
                "markdown": {
                    "title": cut(&self.title, 100),
                    "text": cut(&format!("**{}**\n\n{}", self.title, text.replace('\n', "\n\n")), 6_000),
                },
            }),
            // at most 4,096 bytes, and a Chinese character takes three
            WebhookShape::Wecom => json!({
                "msgtype": "markdown",
                "markdown": { "content": cut(&format!("**{}**\n{text}", self.title), 1_200) },
            }),
        }
    }
}

/// Truncates a string to `most` characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            purpose: Purpose::Alert,
            job: "weekly".into(),
            run_id: "weekly-20250106T080000Z".into(),
            scheduled_at: "2025-01-06T08:00:00Z".parse().unwrap(),
            title: "FCR <low> & falling".into(),
            is_error: true,
            lines: vec!["queue=billing".into(), "fcr_ratio=0.4".into()],
            links: vec!["s3://b/x.html".into()],
            alerts: vec![],
        }
    }

    #[test]
    fn each_shape_has_its_form() {
        let message = message();
        let json = message.payload(WebhookShape::Json);
        assert_eq!((&json["run"], &json["severity"]), (&json!("weekly-20250106T080000Z"), &json!("error")));
        let slack = message.payload(WebhookShape::Slack);
        assert_eq!(slack["text"], "FCR &lt;low&gt; &amp; falling\nqueue=billing\nfcr_ratio=0.4\ns3://b/x.html");
        let card = &message.payload(WebhookShape::Teams)["attachments"][0]["content"];
        assert_eq!((&card["type"], &card["body"][0]["color"]), (&json!("AdaptiveCard"), &json!("Attention")));
        assert_eq!(message.payload(WebhookShape::Feishu)["msg_type"], "text");
        assert_eq!(message.payload(WebhookShape::Dingtalk)["markdown"]["title"], "FCR <low> & falling");
        assert!(message.payload(WebhookShape::Wecom)["markdown"]["content"].as_str().unwrap().starts_with("**FCR"));
    }

    #[test]
    fn a_long_message_is_cut_to_what_the_other_side_takes() {
        let lines: Vec<String> = (0..10_000).map(|line| format!("满意度 {line}")).collect();
        let message = Message { lines, ..message() };
        let text = message.payload(WebhookShape::Wecom)["markdown"]["content"].as_str().unwrap().to_string();
        assert!(text.len() <= 4_096, "{}", text.len());
        assert!(message.payload(WebhookShape::Slack)["text"].as_str().unwrap().contains("and 9961 lines more"));
    }
}

//! Messages before they are encoded as a mail, a webhook's JSON or a program's input.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use lettre::message::Mailbox;
use serde_json::{Value, json};

use super::chat_text::plain;
use super::job::Recipient;
use super::mail;
use crate::config::{Addressing, ChannelConfig, ChannelKind, MailConfig, WebhookShape};
use crate::error::Result;
use crate::history::{AlertNotification, Content, DeliveryKind, NewDelivery, Purpose};
use crate::output::visible;
use crate::project::Project;
use crate::render::{Banner, MailBody, note_body};

/// Recipients of one transmission of a mail, which every server takes (RFC 5321, section 4.5.3.1.8).
const MAX_ENVELOPE: usize = 100;

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

/// What a message is sent with, beside its own lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct MailParts<'a> {
    /// The content of mails; without it they contain the lines.
    pub(super) body: Option<&'a MailBody>,
    /// Their attachments.
    pub(super) attachments: &'a Attachments,
    /// Who sees whom among the recipients.
    pub(super) addressing: Addressing,
}

impl Message {
    /// Encodes the message for its recipients: mails for the addresses, and one delivery per channel. `number`
    /// distinguishes the mails of one run.
    ///
    /// # Errors
    /// A mail that cannot be composed.
    pub(super) fn deliveries(
        &self,
        project: &Project,
        recipients: &[Recipient],
        parts: MailParts<'_>,
        number: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<NewDelivery>> {
        let mut deliveries = Vec::new();
        let mut addresses: Vec<&Mailbox> = Vec::new();
        let (mut known_addresses, mut known_channels) = (HashSet::new(), HashSet::new());
        for recipient in recipients {
            match recipient {
                Recipient::Mail(mailbox) => {
                    if known_addresses.insert(&mailbox.email) {
                        addresses.push(mailbox);
                    }
                }
                Recipient::Channel(name) => {
                    let Some(channel) = project.job_settings.channels.get(name) else { continue };
                    if known_channels.insert(name) {
                        deliveries.push(self.channel_delivery(name, channel));
                    }
                }
            }
        }
        if let (false, Some(config)) = (addresses.is_empty(), &project.job_settings.mail) {
            deliveries.extend(self.mails(config, &addresses, parts, number, now)?);
        }
        Ok(deliveries)
    }

    fn channel_delivery(&self, name: &str, channel: &ChannelConfig) -> NewDelivery {
        let is_json = channel.kind == ChannelKind::Command || channel.shape == WebhookShape::Json;
        let shape = if is_json { WebhookShape::Json } else { channel.shape };
        NewDelivery {
            purpose: self.purpose,
            kind: DeliveryKind::Channel,
            target: name.to_string(),
            recipients: vec![],
            content: Content::Bytes(self.payload(shape).to_string().into_bytes()),
            message_id: None,
            // a receiver of the generic format recognizes a duplicate by its delivery id
            is_repeatable: channel.kind == ChannelKind::Webhook && is_json,
            keep: None,
        }
    }

    /// The mails to all addresses. What they have in common is composed and stored once.
    fn mails(
        &self,
        config: &MailConfig,
        addresses: &[&Mailbox],
        parts: MailParts<'_>,
        number: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<NewDelivery>> {
        let note;
        let body = match parts.body {
            Some(body) => body,
            None => {
                let banner = Banner { text: self.title.clone(), is_error: self.is_error };
                let lines: Vec<String> = self.lines.iter().chain(&self.links).map(|line| visible(line)).collect();
                note = note_body(&self.title, &lines, &banner);
                &note
            }
        };
        let rest = Arc::new(mail::compose(config, &self.title, body, parts.attachments, now)?);
        let name = format!("{}.{number}", self.run_id);
        let delivery = |message_id: String, own: Vec<u8>, to: &[&Mailbox]| NewDelivery {
            purpose: self.purpose,
            kind: DeliveryKind::Mail,
            target: "mail".into(),
            recipients: to.iter().map(|mailbox| mailbox.email.to_string()).collect(),
            content: Content::Shared { own, rest: Arc::clone(&rest) },
            message_id: Some(message_id),
            is_repeatable: false,
            keep: None,
        };
        if parts.addressing == Addressing::Separate && addresses.len() > 1 {
            let mails = addresses.chunks(1).enumerate().map(|(at, to)| {
                let (message_id, own) = mail::headers(config, to, &format!("{name}.{}", at + 1))?;
                Ok(delivery(message_id, own, to))
            });
            return mails.collect();
        }
        let shown = if parts.addressing == Addressing::Hidden { &[][..] } else { addresses };
        let (message_id, own) = mail::headers(config, shown, &name)?;
        let envelopes = addresses.chunks(MAX_ENVELOPE);
        Ok(envelopes.map(|to| delivery(message_id.clone(), own.clone(), to)).collect())
    }

    /// The JSON payload of a webhook of this shape. The chat services get plain text, without what their clients would
    /// interpret in it.
    fn payload(&self, shape: WebhookShape) -> Value {
        let mut lines: Vec<String> = self.lines.iter().map(|line| plain(line)).collect();
        // addresses of results are of the configuration, and may be links
        lines.extend(self.links.iter().map(|link| visible(link)));
        if lines.len() > MAX_LINES {
            let more = lines.len() - MAX_LINES;
            lines.truncate(MAX_LINES);
            lines.push(format!("and {more} lines more"));
        }
        let title = plain(&self.title);
        let full_text = format!("{title}\n{}", lines.join("\n")).trim_end().to_string();
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
            // Slack decodes `&lt;` in all text; the other keys turn off its own markup, links and previews
            WebhookShape::Slack => {
                let escaped = full_text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                json!({
                    "text": cut(&escaped, 3_900), "mrkdwn": false, "parse": "none", "link_names": false,
                    "unfurl_links": false, "unfurl_media": false,
                })
            }
            // a TextRun knows no Markdown, a TextBlock would
            WebhookShape::Teams => {
                let block = |text: &str, is_title: bool| {
                    let mut run = json!({ "type": "TextRun", "text": text });
                    if let (true, Some(fields)) = (is_title, run.as_object_mut()) {
                        fields.insert("size".into(), json!("Medium"));
                        fields.insert("weight".into(), json!("Bolder"));
                        fields.insert("color".into(), json!(if self.is_error { "Attention" } else { "Default" }));
                    }
                    json!({ "type": "RichTextBlock", "inlines": [run] })
                };
                let mut body = vec![block(&cut(&title, 500), true)];
                // at most 28 KB altogether
                body.extend(lines.iter().map(|line| block(&cut(line, 150), false)));
                json!({
                    "type": "message",
                    "attachments": [{
                        "contentType": "application/vnd.microsoft.card.adaptive",
                        "content": {
                            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                            "type": "AdaptiveCard",
                            "version": "1.4",
                            "body": body,
                        },
                    }],
                })
            }
            WebhookShape::Feishu => json!({ "msg_type": "text", "content": { "text": cut(&full_text, 6_000) } }),
            WebhookShape::Dingtalk => json!({
                "msgtype": "text",
                "text": { "content": cut(&full_text, 6_000) },
                "at": { "isAtAll": false, "atMobiles": [], "atUserIds": [] },
            }),
            // at most 2,048 bytes, and a Chinese character takes three
            WebhookShape::Wecom => json!({ "msgtype": "text", "text": { "content": cut(&full_text, 660) } }),
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
        assert_eq!(slack["text"], "FCR ＜low&gt; &amp; falling\nqueue=billing\nfcr_ratio=0.4\ns3://b/x.html");
        assert_eq!((&slack["mrkdwn"], &slack["parse"]), (&json!(false), &json!("none")));
        let card = &message.payload(WebhookShape::Teams)["attachments"][0]["content"];
        let color = &card["body"][0]["inlines"][0]["color"];
        assert_eq!((&card["type"], color), (&json!("AdaptiveCard"), &json!("Attention")));
        assert_eq!(card["body"].as_array().unwrap().len(), 4);
        assert_eq!(message.payload(WebhookShape::Feishu)["msg_type"], "text");
        let dingtalk = message.payload(WebhookShape::Dingtalk);
        assert_eq!((&dingtalk["msgtype"], &dingtalk["at"]["isAtAll"]), (&json!("text"), &json!(false)));
        assert!(message.payload(WebhookShape::Wecom)["text"]["content"].as_str().unwrap().starts_with("FCR"));
    }

    #[test]
    fn data_is_text_in_every_chat() {
        let attack = "queue=x\n<at user_id=\"all\">all</at> @all **b** [c](https://example.com) <!channel> <@U1>";
        let message = Message { title: attack.into(), lines: vec![attack.into()], links: vec![], ..message() };
        for shape in [
            WebhookShape::Slack,
            WebhookShape::Teams,
            WebhookShape::Feishu,
            WebhookShape::Dingtalk,
            WebhookShape::Wecom,
        ] {
            let payload = message.payload(shape).to_string();
            // adaptivecards.io is the schema's own address
            for part in ["<at", "<!", "<@", "@all", "](", "https://", "markdown", "TextBlock\",\"text"] {
                assert!(!payload.contains(part), "{shape:?}: {part} in {payload}");
            }
        }
    }

    #[test]
    fn each_recipient_gets_its_mail_and_the_content_is_one() {
        let config = MailConfig {
            from: "r@example.com".into(),
            host: "x".into(),
            port: None,
            encryption: crate::config::Encryption::None,
            ca: None,
            user: None,
            password: None,
            timeout: None,
            addressing: Addressing::Together,
        };
        let all: Vec<Mailbox> = (0..250).map(|n| format!("a{n}@example.com").parse().unwrap()).collect();
        let all: Vec<&Mailbox> = all.iter().collect();
        let now = "2025-01-06T08:00:00Z".parse().unwrap();
        let mails = |addressing: Addressing| {
            let parts = MailParts { body: None, attachments: &[], addressing };
            message().mails(&config, &all, parts, "r", now).unwrap()
        };
        let own = |mail: &NewDelivery| match &mail.content {
            Content::Shared { own, .. } => String::from_utf8(own.clone()).unwrap(),
            _ => String::new(),
        };
        let separate = mails(Addressing::Separate);
        assert_eq!(separate.len(), 250);
        assert!(separate.iter().all(|mail| mail.recipients.len() == 1 && own(mail).matches('@').count() == 2));
        let ids: HashSet<_> = separate.iter().map(|mail| mail.message_id.clone()).collect();
        assert_eq!(ids.len(), 250);
        for addressing in [Addressing::Together, Addressing::Hidden] {
            let mails = mails(addressing);
            let sizes: Vec<usize> = mails.iter().map(|mail| mail.recipients.len()).collect();
            assert_eq!(sizes, [100, 100, 50]);
            assert_eq!(own(&mails[0]).contains("a249@example.com"), addressing == Addressing::Together);
        }
    }

    #[test]
    fn a_long_message_is_cut_to_what_the_other_side_takes() {
        let lines: Vec<String> = (0..10_000).map(|line| format!("满意度 {line}")).collect();
        let message = Message { lines, ..message() };
        let text = message.payload(WebhookShape::Wecom)["text"]["content"].as_str().unwrap().to_string();
        assert!(text.len() <= 2_048, "{}", text.len());
        assert!(message.payload(WebhookShape::Slack)["text"].as_str().unwrap().contains("and 9961 lines more"));
    }
}

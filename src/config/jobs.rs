//! `[[job]]`, `[jobs]`, `[mail]` and `[channels.NAME]`: scheduled reports and their destinations.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::secret::{Address, Secret};

/// `[[job]]`: a report with a schedule and destinations.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobConfig {
    /// Its name: lower case letters, digits, `_` and `-`.
    pub name: String,
    /// The report's name or the path of a `.sql` file.
    pub report: Option<String>,
    /// SQL in place of a report, with header lines as in a file.
    pub sql: Option<String>,
    /// The title of `sql` that has no `title:` line; default the job's name.
    pub title: Option<String>,
    /// A cron expression: when it runs.
    pub cron: Option<String>,
    /// The time zone of `cron`, of relative dates in parameters and of output names; default that of `[jobs]`.
    pub timezone: Option<String>,
    /// Values of the report's parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, toml::Value>,
    /// Files and objects to write.
    #[serde(default)]
    pub outputs: Vec<OutputConfig>,
    /// Mail addresses and channels that receive the result.
    #[serde(default)]
    pub recipients: OneOrMany,
    /// A query whose column `recipient` returns more of them.
    pub recipients_sql: Option<String>,
    /// When recipients receive the result.
    #[serde(default)]
    pub send: SendPolicy,
    /// Template of the subject of mails, with `{title}`, `{job}`, `{date}`, `{scheduled}`.
    pub subject: Option<String>,
    /// Who sees whom among the recipients of its mails; default that of `[mail]`.
    pub addressing: Option<Addressing>,
    /// Formats of the result that are attached to mails.
    #[serde(default)]
    pub attach: OneOrMany,
    /// Addresses and channels that are notified of alerts; default those of the result.
    pub alert_recipients: Option<OneOrMany>,
    /// A query whose column `recipient` returns more of them; its other columns select groups.
    pub alert_recipients_sql: Option<String>,
    /// Who is notified of failures; default that of `[jobs]`.
    pub owner: Option<OneOrMany>,
    /// What follows from a failed check.
    #[serde(default)]
    pub failed_check: FailedCheck,
    /// How many times a failed run is retried; default 3.
    pub retries: Option<u32>,
    /// Wait before the first retry, doubled for each further one; default 1 minute.
    pub retry_delay: Option<Span>,
    /// Maximum wait between retries; default 1 hour.
    pub retry_max: Option<Span>,
    /// Maximum duration of an attempt; default 1 hour.
    pub timeout: Option<Span>,
    /// What happens if it is due while an earlier run is active.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens to times at which no scheduler ran.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Jobs whose run for the same time must have succeeded.
    #[serde(default)]
    pub depends_on: OneOrMany,
    /// Conditions on the freshness of the data: `newest(TABLE.COLUMN) >= DATE`.
    #[serde(default)]
    pub wait_for: OneOrMany,
    /// How long after its scheduled time a run waits for data and other jobs; default 1 hour.
    pub wait_deadline: Option<Span>,
    /// Interval between checks while it waits; default 1 minute.
    pub wait_every: Option<Span>,
    /// False disables the job.
    pub enabled: Option<bool>,
}

/// `[jobs]`: settings of all jobs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobsConfig {
    /// Folders outside the project folder that outputs may be written to.
    #[serde(default)]
    pub output_folders: Vec<PathBuf>,
    /// The file of the history, on a local disk; default `.cxql/jobs.db` in the project folder.
    pub store: Option<PathBuf>,
    /// The time zone of jobs without their own; default UTC.
    pub timezone: Option<String>,
    /// Who is notified of failures of a job without an owner.
    #[serde(default)]
    pub owner: OneOrMany,
    /// Maximum number of jobs that run at a time; default 2.
    pub max_parallel: Option<usize>,
    /// How long a delivery is retried before it has failed; default 24 hours.
    pub give_up: Option<Span>,
    /// Days for which the history and what was sent are kept; default 400.
    pub keep_days: Option<u32>,
    /// How long active jobs may take to end when the scheduler is stopped; default 30 seconds.
    pub drain: Option<Span>,
}

/// One of `outputs`: a path or URL, or a table with `path` and more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OutputConfig {
    /// The path or URL; its extension is the format.
    pub path: String,
    /// How many of the newest are kept; default all.
    pub keep: Option<usize>,
    /// The only section that is written, counted from 1.
    pub section: Option<usize>,
}

/// When recipients receive a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SendPolicy {
    /// After every run.
    #[default]
    Always,
    /// If there is an alert to notify of.
    Alert,
    /// If the result has rows.
    Rows,
}

/// What follows from a failed check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FailedCheck {
    /// The owner is notified and the result is sent.
    #[default]
    #[serde(rename = "tell")]
    Notify,
    /// The run fails.
    Fail,
}

/// What happens if a job is due while an earlier run is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Overlap {
    /// The new run is skipped, which is recorded.
    #[default]
    Skip,
    /// The new run waits.
    Queue,
    /// The earlier run is stopped.
    Kill,
}

/// What happens to times at which no scheduler ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CatchUp {
    /// They are recorded as missed.
    None,
    /// The newest runs, the others are recorded as missed.
    #[default]
    Last,
    /// All run, the oldest first.
    All,
}

/// `[mail]`: the SMTP server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailConfig {
    /// The sender, as `Name <address>` or an address.
    pub from: String,
    /// The host name.
    pub host: String,
    /// The port; default 465 with `tls`, else 587.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default)]
    pub encryption: Encryption,
    /// A PEM file with a certificate authority beside those of the system, relative to the project folder.
    pub ca: Option<PathBuf>,
    /// The user name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// Timeout of the server's answers; default 60 seconds.
    pub timeout: Option<Span>,
    /// Who sees whom among the recipients of a job's mails.
    #[serde(default)]
    pub addressing: Addressing,
}

/// Who sees whom among the recipients of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Addressing {
    /// All see all.
    #[default]
    Together,
    /// Each gets a mail of its own.
    Separate,
    /// One mail whose recipients see nobody.
    Hidden,
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encryption {
    /// By STARTTLS; a server without it is rejected.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None; for a server on the same machine.
    None,
}

/// `[channels.NAME]`: a webhook or command that is notified.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelConfig {
    /// The kind.
    pub kind: ChannelKind,
    /// Webhook: the URL, or where it is stored.
    pub url: Option<Address>,
    /// Webhook: the shape of the message.
    #[serde(default)]
    pub shape: WebhookShape,
    /// Webhook: the key that signs the message.
    pub secret: Option<Secret>,
    /// Webhook: true allows plain http to other machines.
    #[serde(default)]
    pub allow_http: bool,
    /// Command: the program and its arguments; no shell is involved.
    #[serde(default)]
    pub command: Vec<String>,
    /// Command: names of environment variables that the program gets beside the usual ones.
    #[serde(default)]
    pub environment: Vec<String>,
    /// The timeout; default 30 seconds.
    pub timeout: Option<Span>,
}

/// The kinds of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChannelKind {
    /// An HTTP request.
    Webhook,
    /// A program with the message on its standard input.
    Command,
}

/// The shape of a webhook's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WebhookShape {
    /// All fields by name.
    #[default]
    Json,
    /// Slack's incoming webhooks.
    Slack,
    /// Microsoft Teams' workflows.
    Teams,
    /// Feishu and Lark bots.
    Feishu,
    /// DingTalk bots.
    Dingtalk,
    /// WeCom group bots.
    Wecom,
}

/// A duration as `90s`, `5m`, `2h` or `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub Duration);

/// Parses a duration.
///
/// # Errors
/// The rejected text and the accepted form.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("a duration such as 90s, 5m, 2h or 1d is wanted, got `{text}`");
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return Err(wrong()),
    };
    // a year is longer than any wait
    match number.checked_mul(millis) {
        Some(millis) if millis <= 366 * 86_400_000 => Ok(Duration::from_millis(millis)),
        _ => Err(format!("a duration of at most a year is wanted, got `{text}`")),
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanText;
        impl Visitor<'_> for SpanText {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as \"90s\", \"5m\", \"2h\" or \"1d\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                parse_span(text).map(Span).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Span, E> {
                Err(E::custom(format!("{number} has no unit; write \"{number}s\", \"{number}m\" or \"{number}h\"")))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Span, E> {
                Err(E::custom(format!("{number} has no unit; write a length of time such as \"90s\" or \"5m\"")))
            }
        }
        deserializer.deserialize_any(SpanText)
    }
}

/// One string or a list of strings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

impl<'de> Deserialize<'de> for OutputConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            path: String,
            keep: Option<usize>,
            section: Option<usize>,
        }
        struct Output;
        impl<'de> Visitor<'de> for Output {
            type Value = OutputConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path in quotes or { path = \"...\", keep = 30 }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OutputConfig, E> {
                Ok(OutputConfig { path: text.to_string(), keep: None, section: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OutputConfig, A::Error> {
                let full = Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(OutputConfig { path: full.path, keep: full.keep, section: full.section })
            }
        }
        deserializer.deserialize_any(Output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFile;

    #[test]
    fn a_job_with_every_key_parses() {
        let text = r#"
[jobs]
store = "state/jobs.db"
timezone = "Europe/Berlin"
owner = "ops@example.com"
max_parallel = 4
give_up = "6h"
keep_days = 90
drain = "1m"

[mail]
from = "Reports <reports@example.com>"
host = "smtp.example.com"
port = 25
encryption = "none"
ca = "ca.pem"
user = "reports"
password = { env = "SMTP_PASSWORD" }
timeout = "10s"

[channels.ops]
kind = "webhook"
url = { file = "hook" }
shape = "slack"
secret = { env = "HOOK_KEY" }
timeout = "5s"

[channels.page]
kind = "command"
command = ["/bin/page", "--now"]

[[job]]
name = "weekly"
report = "fcr_by_topic"
cron = "0 8 * * MON"
timezone = "Asia/Shanghai"
parameters = { since = "start of last week", days = 7, queues = ["a", "b"] }
outputs = ["out/{job}.html", { path = "s3://b/{date}.parquet", keep = 3, section = 1 }]
recipients = ["a@example.com", "ops"]
recipients_sql = "select 'x@example.com' as recipient"
send = "alert"
subject = "{title}"
attach = "xlsx"
alert_recipients = "page"
alert_recipients_sql = "select 1"
owner = ["b@example.com"]
failed_check = "fail"
retries = 5
retry_delay = "10s"
retry_max = "5m"
timeout = "2h"
overlap = "kill"
catch_up = "all"
depends_on = "load"
wait_for = "newest(interactions.started_at) >= today"
wait_deadline = "3h"
wait_every = "30s"
enabled = false
"#;
        let config = ConfigFile::parse(text, "cxql.toml").unwrap();
        let job = &config.job[0];
        assert_eq!(job.outputs[1].keep, Some(3));
        assert_eq!(job.recipients.0.len(), 2);
        assert_eq!((job.overlap, job.catch_up, job.send), (Overlap::Kill, CatchUp::All, SendPolicy::Alert));
        assert_eq!(job.timeout, Some(Span(Duration::from_secs(7200))));
        assert_eq!(config.channels.len(), 2);
    }

    #[test]
    fn errors_have_their_position() {
        let error = |text: &str| ConfigFile::parse(text, "cxql.toml").unwrap_err().to_string();
        let text = error("[[job]]\nname = \"a\"\ncorn = \"* * * * *\"\n");
        assert!(text.contains("cxql.toml:3:1") && text.contains("did you mean `cron`?"), "{text}");
        let text = error("[[job]]\nname = \"a\"\ntimeout = \"soon\"\n");
        assert!(text.contains("cxql.toml:3:11") && text.contains("such as 90s, 5m, 2h or 1d"), "{text}");
        let text = error("[[job]]\nname = \"a\"\noutputs = [{ path = \"x.csv\", kep = 3 }]\n");
        assert!(text.contains("cxql.toml:3") && text.contains("did you mean `keep`?"), "{text}");
        let text = error("[[job]]\nname = \"a\"\noverlap = \"wait\"\n");
        assert!(text.contains("cxql.toml:3:11") && text.contains("queue"), "{text}");
    }

    #[test]
    fn a_password_in_the_file_is_refused_and_not_shown_twice() {
        let text = "[mail]\nfrom = \"a@b.c\"\nhost = \"h\"\npassword = \"hush\"\n";
        let text = ConfigFile::parse(text, "cxql.toml").unwrap_err().to_string();
        assert!(text.contains("cxql.toml:4:12") && text.contains("cxql.toml holds no secrets"), "{text}");
        assert_eq!(text.matches("hush").count(), 0, "{text}");
    }

    #[test]
    fn spans_have_units() {
        assert_eq!(parse_span("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(parse_span("2 hours").unwrap(), Duration::from_secs(7200));
        assert!(parse_span("9").unwrap_err().contains("got `9`"));
        assert!(parse_span("9999d").unwrap_err().contains("at most a year"));
    }
}

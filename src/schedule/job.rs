//! Validated jobs: a `[[job]]` of `cxql.toml` with its report, schedule and destinations resolved. Nothing is executed
//! here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use lettre::message::Mailbox;

use super::cron::{self, Schedule};
use super::output_names::{TemplateFields, fill_output, fill_template, repeated, stamp};
use super::relative_dates::DateExpr;
use super::wait_for::WaitFor;
use crate::config::{
    Addressing, CatchUp, ChannelConfig, ChannelKind, FailedCheck, JobConfig, OneOrMany, Overlap, SendPolicy, Span,
    WebhookShape,
};
use crate::error::{Error, Result};
use crate::history::{NewRun, Trigger};
use crate::output::Format;
use crate::project::Project;
use crate::report::{BoundValues, Param, Report};
use crate::source::{Source, nearest};
use crate::types::BaseType;

const RETRIES: u32 = 3;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Someone who is notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// A mail address.
    Mail(Box<Mailbox>),
    /// A channel of `cxql.toml`.
    Channel(String),
}

impl Recipient {
    /// A string that is the same for the same recipient.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Mail(mailbox) => mailbox.to_string(),
            Self::Channel(name) => name.clone(),
        }
    }
}

/// A file or object that a job writes.
#[derive(Debug, Clone)]
pub(crate) struct JobOutput {
    /// Template of its path or URL.
    pub template: String,
    /// Its format.
    pub format: Format,
    /// How many of the newest are kept; `None` keeps all.
    pub keep: Option<usize>,
    /// The only section that is written, counted from 1; `None` writes all.
    pub section: Option<usize>,
}

/// A configured parameter value.
#[derive(Debug, Clone)]
enum ParameterValue {
    Text(String),
    Date(DateExpr, BaseType),
}

/// A validated job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The name.
    pub name: String,
    /// The report.
    pub report: Report,
    /// The schedule; `None` if it is run manually or after the jobs that it depends on.
    pub schedule: Option<Schedule>,
    /// Whether the scheduler runs it.
    pub is_enabled: bool,
    /// The time zone of its schedule, relative dates and output names.
    pub zone: Tz,
    parameters: BTreeMap<String, ParameterValue>,
    /// The files and objects that it writes.
    pub outputs: Vec<JobOutput>,
    /// Recipients of the result.
    pub recipients: Vec<Recipient>,
    /// A query that returns more of them.
    pub recipients_sql: Option<String>,
    /// When the result is sent to them.
    pub send: SendPolicy,
    /// Template of the subject of mails.
    pub subject: Option<String>,
    /// Who sees whom among the recipients of its mails.
    pub addressing: Addressing,
    /// Formats of the result that are attached to mails.
    pub attach: Vec<Format>,
    /// Recipients of alerts.
    pub alert_recipients: Vec<Recipient>,
    /// A query that returns more of them.
    pub alert_recipients_sql: Option<String>,
    /// Who is notified of failures.
    pub owner: Vec<Recipient>,
    /// What follows from a failed check.
    pub failed_check: FailedCheck,
    /// Maximum number of attempts of a run.
    pub max_attempts: u32,
    /// Wait before the first retry.
    pub retry_delay: Duration,
    /// Maximum wait before a retry.
    pub retry_max: Duration,
    /// Maximum duration of an attempt.
    pub timeout: Duration,
    /// What happens if it is due while an earlier run is active.
    pub overlap: Overlap,
    /// What happens to missed times.
    pub catch_up: CatchUp,
    /// Jobs whose run for the same time must have succeeded.
    pub depends_on: Vec<String>,
    /// Conditions on the freshness of the data.
    pub wait_for: Vec<WaitFor>,
    /// How long after its scheduled time a run waits for data and other jobs.
    pub wait_deadline: Duration,
    /// Interval between checks while it waits.
    pub wait_every: Duration,
}

impl Job {
    /// The id of the run for a scheduled time.
    pub(crate) fn run_id(&self, scheduled: DateTime<Utc>) -> String {
        format!("{}-{}", self.name, stamp(scheduled))
    }

    /// A new run for a scheduled time.
    pub(crate) fn new_run(&self, scheduled: DateTime<Utc>, trigger: Trigger) -> NewRun {
        NewRun {
            run_id: self.run_id(scheduled),
            job: self.name.clone(),
            report: self.report.name.clone(),
            scheduled_at: scheduled,
            trigger,
            max_attempts: self.max_attempts,
        }
    }

    /// Parameter values of the report for a scheduled time.
    ///
    /// # Errors
    /// A value that does not fit its parameter, a date out of range.
    pub(crate) fn values(&self, scheduled: DateTime<Utc>) -> Result<BoundValues> {
        let mut texts = BTreeMap::new();
        for (name, value) in &self.parameters {
            let text = match value {
                ParameterValue::Text(text) => Some(text.clone()),
                ParameterValue::Date(expr, BaseType::Date) => expr.day(scheduled, self.zone).map(|day| day.to_string()),
                ParameterValue::Date(expr, _) => expr
                    .timestamp(scheduled, self.zone)
                    .map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true).replace(".000000Z", "Z")),
            };
            let beyond = || self.wrong(format!("parameter `{name}` for {scheduled} lies beyond the calendar"));
            texts.insert(name.clone(), text.ok_or_else(beyond)?);
        }
        self.report.bind(&texts)
    }

    /// The values of the template fields of a run.
    pub(super) fn template_fields<'a>(&'a self, run_id: &'a str, scheduled: DateTime<Utc>) -> TemplateFields<'a> {
        TemplateFields {
            job: &self.name,
            report: &self.report.name,
            title: &self.report.title,
            run: run_id,
            scheduled,
            zone: self.zone,
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        wrong(&self.name, what)
    }
}

fn wrong(job: &str, what: impl std::fmt::Display) -> Error {
    Error::usage(format!("job `{job}` in cxql.toml: {what}"))
}

/// Validates the jobs of a project.
///
/// # Errors
/// The first invalid setting, with its job and its remedy.
pub(crate) fn jobs(project: &Project) -> Result<Vec<Job>> {
    let mut jobs: Vec<Job> = Vec::with_capacity(project.job_settings.jobs.len());
    if let Some(mail) = &project.job_settings.mail {
        let from: std::result::Result<Mailbox, _> = mail.from.parse();
        from.map_err(|error| {
            Error::usage(format!("[mail] from in cxql.toml: `{}` is no address: {error}", mail.from))
        })?;
    }
    for (name, channel) in &project.job_settings.channels {
        validate_channel(name, channel)?;
    }
    for config in &project.job_settings.jobs {
        if jobs.iter().any(|job| job.name == config.name) {
            return Err(wrong(&config.name, "there are two of this name; rename one"));
        }
        jobs.push(job(project, config)?);
    }
    for job in &jobs {
        for needed in &job.depends_on {
            if !jobs.iter().any(|other| other.name == *needed) {
                let near = nearest(needed, jobs.iter().map(|job| job.name.as_str()));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(job.wrong(format!("depends_on: there is no job `{needed}`{hint}")));
            }
        }
        let mut seen = BTreeSet::new();
        let mut next = job.depends_on.clone();
        while let Some(name) = next.pop() {
            if name == job.name {
                return Err(job.wrong("depends_on leads back to itself"));
            }
            if seen.insert(name.clone()) {
                let further = jobs.iter().find(|other| other.name == name);
                next.extend(further.map(|other| other.depends_on.clone()).unwrap_or_default());
            }
        }
    }
    Ok(jobs)
}

fn validate_channel(name: &str, channel: &ChannelConfig) -> Result<()> {
    let wrong = |what: &str| Err(Error::usage(format!("[channels.{name}] in cxql.toml: {what}")));
    match channel.kind {
        _ if name.contains('@') => wrong("a name with `@` would be read as a mail address; choose another"),
        ChannelKind::Webhook if channel.url.is_none() => wrong("a webhook needs `url`"),
        ChannelKind::Webhook if !channel.command.is_empty() => wrong("a webhook has no `command`"),
        ChannelKind::Webhook
            if channel.secret.is_some()
                && matches!(channel.shape, WebhookShape::Slack | WebhookShape::Teams | WebhookShape::Wecom) =>
        {
            wrong("this shape knows no signature; remove `secret`")
        }
        ChannelKind::Webhook if !channel.environment.is_empty() => wrong("a webhook has no `environment`"),
        ChannelKind::Command if channel.command.is_empty() => {
            wrong("a command needs `command = [\"/path/of/program\", \"argument\"]`")
        }
        ChannelKind::Command if channel.url.is_some() || channel.secret.is_some() => {
            wrong("a command has no `url` and no `secret`")
        }
        _ => Ok(()),
    }
}

fn job(project: &Project, config: &JobConfig) -> Result<Job> {
    let name = &config.name;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 60 || !name.chars().all(is_name) {
        return Err(wrong(name, "a name is up to 60 lower case letters, digits, `_` and `-`"));
    }
    let job_settings = &project.job_settings;
    let report = report(project, config)?;
    let zone_name = config.timezone.as_ref().or(job_settings.defaults.timezone.as_ref()).map_or("UTC", String::as_str);
    let zone = cron::time_zone(zone_name).map_err(|error| wrong(name, error))?;
    let schedule = config.cron.as_ref().map(|cron| Schedule::parse(cron, zone)).transpose();
    let span = |span: Option<Span>, default: Duration| span.map_or(default, |span| span.0);
    let parse_recipients = |key: &str, texts: &[String]| -> Result<Vec<Recipient>> {
        texts
            .iter()
            .map(|text| parse_recipient(project, text).map_err(|error| wrong(name, format!("{key}: {error}"))))
            .collect()
    };
    let recipients = parse_recipients("recipients", &config.recipients.0)?;
    let alert_recipients = match &config.alert_recipients {
        Some(OneOrMany(texts)) => parse_recipients("alert_recipients", texts)?,
        None if config.alert_recipients_sql.is_some() => vec![],
        None => recipients.clone(),
    };
    let job = Job {
        name: name.clone(),
        schedule: schedule.map_err(|error| wrong(name, format!("cron: {error}")))?,
        is_enabled: config.enabled.unwrap_or(true),
        zone,
        parameters: parameters(name, &report, &config.parameters)?,
        outputs: config.outputs.iter().map(|output| self::output(name, output)).collect::<Result<_>>()?,
        recipients,
        recipients_sql: config.recipients_sql.clone(),
        send: config.send,
        subject: config.subject.clone(),
        addressing: config.addressing.or(job_settings.mail.as_ref().map(|mail| mail.addressing)).unwrap_or_default(),
        attach: formats(name, &config.attach.0)?,
        alert_recipients,
        alert_recipients_sql: config.alert_recipients_sql.clone(),
        owner: parse_recipients(
            "owner",
            config.owner.as_ref().map_or(&job_settings.defaults.owner.0, |owner| &owner.0),
        )?,
        failed_check: config.failed_check,
        max_attempts: config.retries.unwrap_or(RETRIES).min(100_000) + 1,
        retry_delay: span(config.retry_delay, MINUTE),
        retry_max: span(config.retry_max, HOUR),
        timeout: span(config.timeout, HOUR),
        overlap: config.overlap,
        catch_up: config.catch_up,
        depends_on: config.depends_on.0.clone(),
        wait_for: config
            .wait_for
            .0
            .iter()
            .map(|text| WaitFor::parse(text).map_err(|error| wrong(name, format!("wait_for: {error}"))))
            .collect::<Result<_>>()?,
        wait_deadline: span(config.wait_deadline, HOUR),
        wait_every: span(config.wait_every, MINUTE),
        report,
    };
    if job.timeout.is_zero() || job.wait_every.is_zero() {
        return Err(job.wrong("timeout and wait_every are longer than 0"));
    }
    // reports errors of the templates and parameters now and not at the scheduled time
    let now = Utc::now();
    job.values(now)?;
    let run_id = job.run_id(now);
    let mut names = Vec::with_capacity(job.outputs.len());
    for output in &job.outputs {
        let folders = &job_settings.defaults.output_folders;
        let name = fill_output(&output.template, job.template_fields(&run_id, now), &project.folder, folders)
            .map_err(|error| job.wrong(format!("outputs: {error}")))?;
        names.push(name);
        check_format(&job, output.format, output.section)?;
    }
    if let Some(name) = repeated(&names, &project.folder) {
        return Err(job.wrong(format!("outputs: two of them are `{name}`, and one would replace the other")));
    }
    for format in &job.attach {
        check_format(&job, *format, None)?;
    }
    if let Some(subject) = &job.subject {
        fill_template(subject, job.template_fields(&run_id, now))
            .map_err(|error| job.wrong(format!("subject: {error}")))?;
    }
    Ok(job)
}

/// Checks that a format can hold the job's result.
fn check_format(job: &Job, format: Format, section: Option<usize>) -> Result<()> {
    let count = job.report.sections.len();
    if let Some(number) = section.filter(|number| !(1..=count).contains(number)) {
        return Err(job.wrong(format!("outputs: `section` is a number from 1 to {count}, got {number}")));
    }
    if section.is_none() && count > 1 && !format.holds_sections() {
        return Err(job.wrong(format!(
            "{format} holds one section and the report has {count}; write {{ path = \"...\", section = 1 }}, or take xlsx, \
             html, json or markdown"
        )));
    }
    let charted = job.report.sections.get(section.unwrap_or(1) - 1).is_some_and(|section| section.chart.is_some());
    if format == Format::Png && !charted {
        return Err(job.wrong("png needs a section with a `chart:` line"));
    }
    Ok(())
}

fn report(project: &Project, config: &JobConfig) -> Result<Report> {
    let name = &config.name;
    match (&config.report, &config.sql) {
        (Some(report), None) => {
            let is_path = report.ends_with(".sql") || report.contains(['/', '\\']);
            let found = if is_path { project.folder.join(report).display().to_string() } else { report.clone() };
            project.library.report(&found).map_err(|error| match error {
                Error::Usage { message } => wrong(name, message),
                other => other,
            })
        }
        (None, Some(sql)) => {
            let source = Source { name: format!("cxql.toml, sql of job `{name}`"), ..Source::query(sql) };
            let mut report = Report::parse(name, &std::sync::Arc::new(source))?;
            if let Some(title) = &config.title {
                report.title.clone_from(title);
            }
            Ok(report)
        }
        (None, None) => Err(wrong(name, "it needs `report = \"NAME\"` or `sql = \"select ...\"`")),
        (Some(_), Some(_)) => Err(wrong(name, "it has both `report` and `sql`; keep one")),
    }
}

fn parameters(
    job: &str,
    report: &Report,
    values: &BTreeMap<String, toml::Value>,
) -> Result<BTreeMap<String, ParameterValue>> {
    let mut parameters = BTreeMap::new();
    for (name, value) in values {
        let known = report.params.iter().find(|param| param.name == *name);
        let Some(param) = known else {
            // the report's own error lists its parameter names
            report.bind(&BTreeMap::from([(name.clone(), String::new())])).map_err(|error| wrong(job, error))?;
            continue;
        };
        let text = value_text(value).ok_or_else(|| {
            wrong(job, format!("parameter `{name}`: a text, a number, true, false, a date or a list of them is wanted"))
        })?;
        parameters.insert(
            name.clone(),
            parse_value(param, &text).map_err(|error| wrong(job, format!("parameter `{name}`: {error}")))?,
        );
    }
    Ok(parameters)
}

fn parse_value(param: &Param, text: &str) -> Result<ParameterValue, String> {
    let param_type = param.param_type;
    let is_date = !param_type.is_list && matches!(param_type.base, BaseType::Date | BaseType::Timestamp);
    match param.value(text) {
        Ok(_) => Ok(ParameterValue::Text(text.to_string())),
        Err(_) if is_date => DateExpr::parse(text).map(|expr| ParameterValue::Date(expr, param_type.base)),
        Err(error) => Err(error),
    }
}

/// A TOML value as it would be written after `-p name=`.
fn value_text(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Datetime(at) => at.to_string(),
        toml::Value::Array(items) => {
            let quoted = |item: &toml::Value| match item {
                toml::Value::Array(_) => None,
                item => Some(format!("\"{}\"", value_text(item)?.replace('"', "\"\""))),
            };
            items.iter().map(quoted).collect::<Option<Vec<_>>>()?.join(",")
        }
        toml::Value::Table(_) => return None,
    })
}

fn output(job: &str, config: &crate::config::OutputConfig) -> Result<JobOutput> {
    if config.keep == Some(0) {
        return Err(wrong(job, "outputs: `keep` is at least 1"));
    }
    // a placeholder may contain a dot or a slash
    let ending = config.path.rsplit('}').next().unwrap_or_default();
    let format = Format::from_path(format!("x{ending}")).map_err(|error| wrong(job, format!("outputs: {error}")))?;
    Ok(JobOutput { template: config.path.clone(), format, keep: config.keep, section: config.section })
}

fn formats(job: &str, names: &[String]) -> Result<Vec<Format>> {
    names.iter().map(|name| name.parse::<Format>().map_err(|error| wrong(job, format!("attach: {error}")))).collect()
}

/// Parses a recipient of the configuration or of a query.
///
/// # Errors
/// A string that is neither a mail address nor a channel.
pub(super) fn parse_recipient(project: &Project, text: &str) -> Result<Recipient, String> {
    let text = text.trim();
    if text.contains('@') {
        if project.job_settings.mail.is_none() {
            return Err(format!("`{text}` is a mail address, and cxql.toml has no [mail]"));
        }
        let mailbox = text.parse::<Mailbox>().map_err(|error| format!("`{text}` is no mail address: {error}"))?;
        return Ok(Recipient::Mail(Box::new(mailbox)));
    }
    if project.job_settings.channels.contains_key(text) {
        return Ok(Recipient::Channel(text.to_string()));
    }
    let near = nearest(text, project.job_settings.channels.keys().map(String::as_str));
    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("`{text}` is no mail address and no channel of cxql.toml{hint}"))
}

//! Who receives what of a run: the result goes to its recipients, alerts to the recipients of alerts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::sql::parser::Statement;
use futures::TryStreamExt;

use super::context::SchedulerContext;
use super::job::{Job, Recipient, parse_recipient};
use super::job_run::ResultCollector;
use super::message::{Attachments, MailParts, Message};
use super::output_names::fill_template;
use crate::config::SendPolicy;
use crate::error::{Error, Result};
use crate::history::{AlertNotification, AlertRecord, NewDelivery, Purpose, Run};
use crate::output::visible;
use crate::project::Project;
use crate::render::Banner;
use crate::report::{Group, parse_group};
use crate::session::Session;
use crate::source::Source;
use crate::sqlfile;

impl SchedulerContext {
    /// Plans the deliveries of the result to its recipients, and of the alerts to theirs.
    #[expect(clippy::too_many_arguments, reason = "everything that a run has come to meets here")]
    pub(super) async fn messages(
        &self,
        project: &Project,
        job: &Job,
        run: &Run,
        session: &Session,
        collector: &ResultCollector,
        notifications: &[AlertNotification],
        alerts: &[AlertRecord],
        groups: &BTreeMap<String, Group>,
        links: &[String],
        attachments: &Attachments,
    ) -> Result<Vec<NewDelivery>> {
        let now = self.now();
        let title = match &job.subject {
            Some(subject) => fill_template(subject, job.template_fields(&run.run_id, run.scheduled_at))
                .map_err(|error| Error::usage(format!("job `{}`: {error}", job.name)))?,
            None => job.report.title.clone(),
        };
        let is_bad = notifications.iter().any(|notification| !notification.is_over);
        let is_sent = match job.send {
            SendPolicy::Always => true,
            SendPolicy::Alert => is_bad,
            SendPolicy::Rows => collector.row_count > 0,
        };
        let mut deliveries = Vec::new();
        let mut recipients = job.recipients.clone();
        if let Some(sql) = job.recipients_sql.as_ref().filter(|_| is_sent) {
            recipients.extend(
                query_recipients(project, session, "recipients_sql", sql)
                    .await?
                    .into_iter()
                    .map(|(recipient, _)| recipient),
            );
        }
        if is_sent && !recipients.is_empty() {
            let message = message(job, run, Purpose::Result, &title, notifications, links);
            let mut banners = banners(notifications);
            // notified of once, shown each time
            let still = |alert: &&AlertRecord| {
                !notifications.iter().any(|known| known.is_unknown && known.alert == alert.alert)
            };
            banners.extend(alerts.iter().filter(still).filter_map(|alert| {
                let reason = alert.unknown.as_deref()?;
                Some(Banner { text: unknown_line(&alert.alert, reason), is_error: false })
            }));
            let body = collector.page.finish(&run.run_id, &banners, links)?;
            let parts = MailParts { body: Some(&body), attachments, addressing: job.addressing };
            deliveries.extend(message.deliveries(project, &recipients, parts, "r", now)?);
        } else {
            recipients.clear();
        }
        if notifications.is_empty() {
            return Ok(deliveries);
        }
        // recipients of the result see its alerts there
        let mut alert_recipients: BTreeMap<String, (Recipient, BTreeSet<usize>)> = BTreeMap::new();
        let everything = || (0..notifications.len()).collect::<BTreeSet<usize>>();
        for recipient in &job.alert_recipients {
            alert_recipients.insert(recipient.key(), (recipient.clone(), everything()));
        }
        if let Some(sql) = &job.alert_recipients_sql {
            for (recipient, only) in query_recipients(project, session, "alert_recipients_sql", sql).await? {
                let concerns = |notification: &AlertNotification| {
                    // a group that is good again has no row any more; its columns are parsed from its name
                    let named = || parse_group(&notification.group);
                    let group: Group = groups.get(&notification.group).cloned().unwrap_or_else(named);
                    only.iter().all(|(column, value)| {
                        let of_group = group.iter().find(|(name, _)| name == column);
                        of_group.is_none_or(|(_, of_group)| of_group.as_ref() == Some(value))
                    })
                };
                let concerned = (0..notifications.len()).filter(|at| notifications.get(*at).is_some_and(concerns));
                let known = alert_recipients.entry(recipient.key()).or_insert_with(|| (recipient, BTreeSet::new()));
                known.1.extend(concerned);
            }
        }
        let told: HashSet<String> = recipients.iter().map(Recipient::key).collect();
        let mut by_alerts: BTreeMap<BTreeSet<usize>, Vec<Recipient>> = BTreeMap::new();
        for (key, (recipient, concerned)) in alert_recipients {
            if !concerned.is_empty() && !told.contains(&key) {
                by_alerts.entry(concerned).or_default().push(recipient);
            }
        }
        for (number, (concerned, recipients)) in by_alerts.into_iter().enumerate() {
            let notifications: Vec<AlertNotification> =
                concerned.iter().filter_map(|at| notifications.get(*at).cloned()).collect();
            let message =
                message(job, run, Purpose::Alert, &alert_title(&title, &notifications), &notifications, links);
            let body = collector.page.finish(&run.run_id, &banners(&notifications), links)?;
            let parts = MailParts { body: Some(&body), attachments: &[], addressing: job.addressing };
            deliveries.extend(message.deliveries(project, &recipients, parts, &format!("a{number}"), now)?);
        }
        Ok(deliveries)
    }
}

/// Whether a notification is about an alert of severity `error` that is met.
fn is_error(notification: &AlertNotification) -> bool {
    notification.severity == "error" && !notification.is_over && !notification.is_unknown
}

fn alert_title(title: &str, notifications: &[AlertNotification]) -> String {
    let severity = if notifications.iter().any(is_error) { "error" } else { "warn" };
    if notifications.iter().all(|notification| notification.is_over) {
        format!("[good again] {title}")
    } else if notifications.iter().all(|notification| notification.is_unknown || notification.is_over) {
        format!("[unknown] {title}")
    } else {
        format!("[{severity}] {title}")
    }
}

/// Tells of an alert that could not be evaluated.
pub(super) fn unknown_line(alert: &str, reason: &str) -> String {
    format!("unknown: whether `{alert}` is met: {reason}")
}

/// The line of an alert, in which the data have no line breaks and no control characters.
fn alert_line(notification: &AlertNotification) -> String {
    visible(&raw_alert_line(notification))
}

fn raw_alert_line(notification: &AlertNotification) -> String {
    let group = if notification.group.is_empty() { String::new() } else { format!("{}: ", notification.group) };
    if notification.is_over {
        return format!("good again: {group}`{}` is not met any more", notification.alert);
    }
    if notification.is_unknown {
        return unknown_line(&notification.alert, &notification.figures);
    }
    let figures = if notification.figures.is_empty() { String::new() } else { format!(" ({})", notification.figures) };
    format!("{}: {group}`{}` is met{figures}", notification.severity, notification.alert)
}

/// One banner per notification; the rest of very many is summarized in the last.
fn banners(notifications: &[AlertNotification]) -> Vec<Banner> {
    const MAX_BANNERS: usize = 30;
    let banner =
        |notification: &AlertNotification| Banner { text: alert_line(notification), is_error: is_error(notification) };
    let mut banners: Vec<Banner> = notifications.iter().take(MAX_BANNERS).map(banner).collect();
    if notifications.len() > MAX_BANNERS {
        banners.push(Banner { text: format!("and {} more", notifications.len() - MAX_BANNERS), is_error: false });
    }
    banners
}

fn message(
    job: &Job,
    run: &Run,
    purpose: Purpose,
    title: &str,
    notifications: &[AlertNotification],
    links: &[String],
) -> Message {
    Message {
        purpose,
        job: job.name.clone(),
        run_id: run.run_id.clone(),
        scheduled_at: run.scheduled_at,
        title: title.to_string(),
        is_error: notifications.iter().any(is_error),
        lines: notifications.iter().map(alert_line).collect(),
        links: links.to_vec(),
        alerts: notifications.to_vec(),
    }
}

/// Runs a query for recipients: those in its column `recipient`, each with the values of its other columns.
async fn query_recipients(
    project: &Project,
    session: &Session,
    key: &str,
    sql: &str,
) -> Result<Vec<(Recipient, Vec<(String, String)>)>> {
    let source = Arc::new(Source { name: format!("cxql.toml, {key}"), ..Source::query(sql) });
    let mut statements = sqlfile::parse(&source)?;
    if statements.len() != 1 {
        return Err(Error::at(&source, None, "one select is wanted"));
    }
    let plan = session.plan(&source, Statement::Statement(Box::new(statements.swap_remove(0).statement))).await?;
    if crate::session::writes(&plan) {
        return Err(Error::at(&source, None, "a query for recipients only reads"));
    }
    let execution = session.execute(&source, &plan).await?;
    let Ok(recipient_index) = execution.schema.index_of("recipient") else {
        return Err(
            Error::at(&source, None, "the query has no column `recipient`").help("write `select address as recipient`")
        );
    };
    let batches: Vec<RecordBatch> = match execution.stream.try_collect().await {
        Ok(batches) => batches,
        Err(error) => return Err(session.execution_error(error, &source, &execution.plan).await),
    };
    let options = FormatOptions::new();
    let mut recipients: Vec<(Recipient, Vec<(String, String)>)> = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let mut found = None;
            let mut only = Vec::new();
            for (at, column) in batch.columns().iter().enumerate() {
                // NULL in `recipient` is nobody, in another column every group
                if column.logical_nulls().is_some_and(|nulls| nulls.is_null(row)) {
                    continue;
                }
                let text = ArrayFormatter::try_new(column.as_ref(), &options)
                    .map(|formatter| formatter.value(row).to_string());
                let text = text.map_err(|error| Error::Engine { message: error.to_string() })?;
                if at == recipient_index {
                    found =
                        Some(parse_recipient(project, &text).map_err(|error| Error::data(format!("{key}: {error}")))?);
                } else {
                    only.push((execution.schema.field(at).name().clone(), text));
                }
            }
            if let Some(recipient) = found {
                recipients.push((recipient, only));
            }
        }
    }
    Ok(recipients)
}

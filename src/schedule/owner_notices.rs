//! Notices to a job's owner: failed runs, missed times, failed checks and deliveries that failed or are uncertain.

use chrono::{DateTime, SecondsFormat, Utc};

use super::context::{SchedulerContext, log};
use super::job::Job;
use super::message::{MailParts, Message};
use crate::config::Addressing;
use crate::history::{Delivery, DeliveryState, NewDelivery, Purpose, Run};

/// Maximum lines of an error in a message.
const MAX_LINES: usize = 60;

fn format_timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl SchedulerContext {
    /// Encodes a message for a job's owner. It is always logged too.
    fn to_owner(&self, job: Option<&Job>, message: &Message) -> Vec<NewDelivery> {
        let level = if message.is_error { "error" } else { "warn" };
        log(level, &format!("{}: {}", message.title, message.lines.join("; ")));
        let Some(job) = job else { return vec![] };
        // message ids must be unique within a run
        let number = uuid::Uuid::new_v4().simple().to_string();
        let parts = MailParts { body: None, attachments: &[], addressing: Addressing::Together };
        match message.deliveries(&self.project, &job.owner, parts, &number, self.now()) {
            Ok(deliveries) => deliveries,
            Err(error) => {
                log("error", &format!("the owner of {} cannot be notified: {error}", job.name));
                vec![]
            }
        }
    }

    fn message(&self, purpose: Purpose, run: &Run, title: String, is_error: bool, lines: Vec<String>) -> Message {
        Message {
            purpose,
            job: run.job.clone(),
            run_id: run.run_id.clone(),
            scheduled_at: run.scheduled_at,
            title,
            is_error,
            lines,
            links: vec![],
            alerts: vec![],
        }
    }

    /// The notice of a run that has failed for good.
    pub(super) fn failure(&self, job: Option<&Job>, run: &Run, error: &str) -> Vec<NewDelivery> {
        let mut lines = vec![
            format!("job {}, run {}, scheduled at {}", run.job, run.run_id, format_timestamp(run.scheduled_at)),
            format!("tried {} times", run.attempt),
        ];
        lines.extend(error.lines().take(MAX_LINES).map(str::to_string));
        lines.push(format!("again: cxql job run {} --at {}", run.job, format_timestamp(run.scheduled_at)));
        let message = self.message(Purpose::Failure, run, format!("job {} failed", run.job), true, lines);
        self.to_owner(job, &message)
    }

    /// A notice that reports no failure.
    pub(super) fn notice(&self, job: &Job, run: &Run, title: String, lines: Vec<String>) -> Vec<NewDelivery> {
        let message = self.message(Purpose::Notice, run, title, false, lines);
        self.to_owner(Some(job), &message)
    }

    /// The notice of deliveries of one run that failed, are uncertain, or did not reach all recipients. Those that were
    /// themselves notices to the owner are only logged.
    pub(super) fn delivery_notice(&self, deliveries: &[Delivery], run: &Run) -> Vec<NewDelivery> {
        let mut lines = vec![format!("run {}", run.run_id)];
        let (mut told, mut what) = (0, "");
        for delivery in deliveries {
            let outcome = match delivery.state {
                DeliveryState::Uncertain => "may have arrived or not",
                DeliveryState::Sent => "did not reach everybody",
                _ => "was not delivered",
            };
            let line = format!(
                "{} ({} to {}) {outcome}: {}",
                delivery.delivery_id,
                delivery.purpose.name(),
                delivery.destination(),
                delivery.error.as_deref().unwrap_or_default()
            );
            if matches!(delivery.purpose, Purpose::Failure | Purpose::Notice) {
                log("error", &format!("job {}: a notice to its owner: {line}", run.job));
                continue;
            }
            told += 1;
            what = outcome;
            if told <= MAX_LINES {
                lines.push(line);
            }
        }
        let title = match told {
            0 => return vec![],
            1 => format!("job {}: a delivery {what}", run.job),
            _ => format!(
                "job {}: {told} deliveries failed, may have arrived or not, or did not reach everybody",
                run.job
            ),
        };
        if told > MAX_LINES {
            lines.push(format!("and {} more: cxql job history {}", told - MAX_LINES, run.run_id));
        }
        lines.push(format!("what was to be sent is kept; send it again: cxql job resend {}", run.run_id));
        let job = self.jobs.iter().find(|job| job.name == run.job);
        let message = self.message(Purpose::Failure, run, title, true, lines);
        self.to_owner(job, &message)
    }
}

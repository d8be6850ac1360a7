//! Notices to a job's owner: failed runs, missed times, failed checks and deliveries that failed or are uncertain.

use chrono::{DateTime, SecondsFormat, Utc};

use super::context::{SchedulerContext, log};
use super::job::Job;
use super::message::Message;
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
        match message.deliveries(&self.project, &job.owner, None, &[], &number, self.now()) {
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

    /// The notice of a delivery that failed, is uncertain, or did not reach all recipients. If that was itself a notice
    /// to the owner, it is only logged.
    pub(super) fn delivery_notice(&self, delivery: &Delivery, run: &Run) -> Vec<NewDelivery> {
        let what = match delivery.state {
            DeliveryState::Uncertain => "may have arrived or not",
            DeliveryState::Sent => "did not reach everybody",
            _ => "was not delivered",
        };
        let to = if delivery.recipients.is_empty() { delivery.target.clone() } else { delivery.recipients.join(", ") };
        let lines = vec![
            format!("run {}, delivery {} ({} to {to})", run.run_id, delivery.delivery_id, delivery.purpose.name()),
            delivery.error.clone().unwrap_or_default(),
            format!("what was to be sent is kept; send it again: cxql job resend {}", run.run_id),
        ];
        let title = format!("job {}: a delivery {what}", run.job);
        if matches!(delivery.purpose, Purpose::Failure | Purpose::Notice) {
            log("error", &format!("{title}: {}", lines.join("; ")));
            return vec![];
        }
        let job = self.jobs.iter().find(|job| job.name == run.job);
        let message = self.message(Purpose::Failure, run, title, true, lines);
        self.to_owner(job, &message)
    }
}

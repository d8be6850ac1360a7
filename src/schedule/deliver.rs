//! Sends planned deliveries to their destinations and records each step.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::context::{SchedulerContext, log, retry_at};
use super::mail::{self, SendOutcome};
use super::{command, webhook};
use crate::config::ChannelKind;
use crate::error::{Error, Result, with_causes};
use crate::history::{Delivery, DeliveryKind};
use crate::output::{self, Destination};
use crate::session;

const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// Default timeout of a channel.
pub(super) const CHANNEL_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum length, in characters, of a remote answer that is recorded.
pub(super) const MAX_ANSWER_CHARS: usize = 300;

/// Maximum wait that a remote `Retry-After` can request.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl SchedulerContext {
    /// Sends a delivery, unless another process has claimed it.
    ///
    /// # Errors
    /// A history that cannot be written. Failures to send are recorded and not returned.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Result<()> {
        if !self.store.claim_delivery(delivery)? {
            return Ok(());
        }
        if delivery.kind == DeliveryKind::Output && self.store.supersede(delivery, self.now())? {
            log("info", &format!("{} is not written: a newer output is at {}", delivery.delivery_id, delivery.target));
            return Ok(());
        }
        let sent = match self.send(delivery).await {
            Ok(sent) => sent,
            Err(error @ Error::History { .. }) => return Err(error),
            // the configuration may be corrected before the next attempt
            Err(error) => SendOutcome::Retry(error.to_string()),
        };
        let now = self.now();
        let name = &delivery.delivery_id;
        match sent {
            SendOutcome::Accepted { response, refused } => {
                log("info", &format!("{name} is at {}", delivery.destination()));
                let text = if refused.is_empty() { response } else { format!("refused: {}", refused.join("; ")) };
                self.store.mark_delivered(
                    delivery,
                    Some(&text).filter(|text| !text.is_empty()).map(String::as_str),
                    refused.is_empty(),
                    now,
                )?;
                self.clean_up(delivery).await?;
            }
            SendOutcome::Unknown(error) if !delivery.recipients.is_empty() || !self.is_repeatable(delivery) => {
                log("error", &format!("{name} may be there or not: {error}"));
                self.store.mark_uncertain(delivery, &error, now)?;
            }
            SendOutcome::Retry(error) | SendOutcome::Unknown(error) => {
                self.schedule_retry(delivery, &error, Duration::ZERO)?
            }
            SendOutcome::RetryAfter(error, wait) => self.schedule_retry(delivery, &error, wait)?,
            SendOutcome::Rejected(error) => {
                log("error", &format!("{name} is not delivered: {error}"));
                self.store.mark_not_delivered(delivery, &error, None, now)?;
            }
        }
        Ok(())
    }

    /// Plans the next attempt of a delivery, after `wait` at the earliest; gives up after the configured period.
    fn schedule_retry(&self, delivery: &Delivery, error: &str, wait: Duration) -> Result<()> {
        let now = self.now();
        let span = |span: Duration| chrono::Duration::from_std(span).unwrap_or_default();
        let until =
            delivery.planned_at + span(self.project.job_settings.defaults.give_up.map_or(GIVE_UP, |span| span.0));
        let job = self.jobs.iter().find(|job| job.name == delivery.job);
        let (delay, max) =
            job.map_or((Duration::from_secs(60), Duration::from_secs(3600)), |job| (job.retry_delay, job.retry_max));
        let at = retry_at(now, delay, max, delivery.tries + 1).max(now + span(wait.min(LONGEST_WAIT)));
        let again = Some(at).filter(|_| now < until);
        let follows = again.map_or("given up".into(), |at| format!("again at {}", at.format("%H:%M:%S")));
        log("warn", &format!("{} is not delivered ({follows}): {error}", delivery.delivery_id));
        self.store.mark_not_delivered(delivery, error, again, now)
    }

    /// Whether sending it twice has the same effect as sending it once.
    fn is_repeatable(&self, delivery: &Delivery) -> bool {
        let channel = self.project.job_settings.channels.get(&delivery.target);
        let is_named = channel.is_some_and(|channel| {
            channel.kind == ChannelKind::Webhook && channel.shape == crate::config::WebhookShape::Json
        });
        delivery.kind == DeliveryKind::Output || (delivery.kind == DeliveryKind::Channel && is_named)
    }

    async fn send(&self, delivery: &Delivery) -> Result<SendOutcome> {
        let (job_settings, folder) = (&self.project.job_settings, &self.project.folder);
        let before_send = || match self.store.mark_sending(delivery)? {
            true => Ok(()),
            false => Err(Error::Channel { message: "another process has it".into(), is_transient: true }),
        };
        if delivery.kind == DeliveryKind::Output {
            return self.send_output(delivery, before_send).await;
        }
        let Some(content) = self.store.content(delivery)? else {
            return Ok(SendOutcome::Rejected("the history does not hold what is to be sent".into()));
        };
        if delivery.kind == DeliveryKind::Mail {
            let Some(config) = &job_settings.mail else { return Err(Error::usage("cxql.toml has no [mail]")) };
            let connections = &self.connections;
            return mail::send(config, folder, &delivery.recipients, &content, connections, before_send).await;
        }
        let name = &delivery.target;
        let Some(channel) = job_settings.channels.get(name) else {
            return Err(Error::usage(format!("cxql.toml has no [channels.{name}]")));
        };
        let id = &delivery.delivery_id;
        match channel.kind {
            ChannelKind::Webhook => webhook::send(name, channel, folder, id, &content, self.now(), before_send).await,
            ChannelKind::Command => command::send(name, channel, folder, id, &content, before_send).await,
        }
    }

    /// Moves a staged file to its destination.
    async fn send_output(&self, delivery: &Delivery, before_send: impl FnOnce() -> Result<()>) -> Result<SendOutcome> {
        let Some(file) = &delivery.file else {
            return Ok(SendOutcome::Rejected("its file is not known any more".into()));
        };
        let file = self.store.folder().join(file);
        if !file.is_file() {
            return Ok(SendOutcome::Rejected(format!("its file {} is gone", file.display())));
        }
        let destination = self.destination(&delivery.target)?;
        if let Destination::File(path) = &destination
            && let Some(parent) = path.parent()
        {
            let made = tokio::fs::create_dir_all(parent).await;
            made.map_err(|cause| Error::Io { action: "make", path: parent.to_path_buf(), cause })?;
        }
        before_send()?;
        match output::copy_file(&file, destination).await {
            Ok(bytes) => Ok(SendOutcome::Accepted { response: format!("{bytes} bytes"), refused: vec![] }),
            Err(error) => Ok(SendOutcome::Retry(with_causes(&error).chars().take(MAX_ANSWER_CHARS).collect())),
        }
    }

    fn destination(&self, target: &str) -> Result<Destination> {
        if !target.contains("://") {
            return Ok(Destination::File(self.project.folder.join(target)));
        }
        let url = Url::parse(target).map_err(|error| Error::usage(format!("`{target}` is no address: {error}")))?;
        let (store, path) = session::object_store(&self.project.options, &url)?;
        Ok(Destination::Object { store, path, url: target.to_string() })
    }

    /// After an output is delivered: removes its staged copy and outputs beyond the number to keep.
    async fn clean_up(&self, delivery: &Delivery) -> Result<()> {
        if let Some(file) = &delivery.file {
            let path: PathBuf = self.store.folder().join(file);
            // what cannot be removed now is removed with the run
            let _ = tokio::fs::remove_file(&path).await;
            if let Some(folder) = path.parent() {
                let _ = tokio::fs::remove_dir(folder).await;
            }
        }
        let Some((slot, keep)) = &delivery.keep else { return Ok(()) };
        for old in self.store.expired_outputs(&delivery.job, slot, *keep)? {
            match self.remove(&old.target).await {
                Ok(()) => {
                    log("info", &format!("{} is removed: {keep} newer ones are kept", old.target));
                    self.store.mark_removed(&old, self.now())?;
                }
                // tried again after the next run
                Err(error) => log("warn", &format!("{} cannot be removed: {error}", old.target)),
            }
        }
        Ok(())
    }

    async fn remove(&self, target: &str) -> Result<()> {
        match self.destination(target)? {
            Destination::Object { store, path, url } => {
                use datafusion::object_store::{Error as StoreError, ObjectStoreExt};
                match store.delete(&path).await {
                    Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
                    Err(error) => Err(Error::data(format!("{url}: {error}"))),
                }
            }
            Destination::File(path) => match tokio::fs::remove_file(&path).await {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::Io { action: "remove", path, cause })
                }
                _ => Ok(()),
            },
            Destination::Stdout => Ok(()),
        }
    }

    /// Notifies owners of deliveries that failed, are uncertain or did not reach all recipients.
    ///
    /// # Errors
    /// A history that cannot be read or written.
    pub(crate) fn notify_owners(&self) -> Result<()> {
        for deliveries in self.store.unnotified()?.chunk_by(|one, next| one.run_id == next.run_id) {
            let Some(first) = deliveries.first() else { continue };
            let Some(run) = self.store.run(&first.run_id)? else { continue };
            let messages = self.delivery_notice(deliveries, &run);
            self.store.notify(deliveries, &messages, self.now())?;
        }
        Ok(())
    }
}

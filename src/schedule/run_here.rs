//! Runs a job in this process from the request to the last delivery, as `cxql job run` and `cxql job backfill` do.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt};

use super::context::{SchedulerContext, log};
use super::job::Job;
use super::scheduler::{MAX_DELIVERIES, POLL_INTERVAL};
use crate::error::{Error, Result};
use crate::history::{Delivery, DeliveryKind, DeliveryState, Requested, Run, RunState, Trigger};

/// Interval between checks for a delivery that is due, or that another process has ended.
const DELIVERY_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How many messages are sent between two looks for a request to stop.
const DELIVERIES_BETWEEN_STOPS: usize = 64;

impl SchedulerContext {
    /// Takes over what processes that have ended held.
    ///
    /// # Errors
    /// A history that cannot be written, or that was removed or replaced.
    pub(super) fn recover(&self) -> Result<()> {
        self.store.check_file()?;
        for run in self.store.recover(self.now())? {
            log("warn", &format!("{} was cut off: the process that ran it ended; it is tried again", run.run_id));
        }
        Ok(())
    }

    /// Records a run of a job for a scheduled time, or continues the newest one; `again` asks for a new one.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn request_run(&self, job: &Job, at: DateTime<Utc>, trigger: Trigger, again: bool) -> Result<Requested> {
        // what a process that was killed has left counts as it is, not as it was
        self.recover()?;
        self.store.request_run(&job.new_run(at, trigger), again, self.now())
    }

    /// Marks a run as failed if its attempts are used up or its job no longer exists. Returns whether it did.
    pub(super) fn give_up_if_spent(&self, run: &Run, now: DateTime<Utc>) -> Result<bool> {
        let job = self.jobs.iter().find(|job| job.name == run.job);
        let error = if job.is_none() {
            format!("cxql.toml has no job `{}` any more", run.job)
        } else if run.state != RunState::Running && run.attempt >= run.max_attempts {
            run.error.clone().unwrap_or_else(|| "it was tried as often as it may".into())
        } else {
            return Ok(false);
        };
        let notices = self.failure(job, run, &error);
        self.store.give_up(run, &error, now, notices)
    }

    /// Executes a run in this process until it has ended for good, then sends its deliveries. A run that another process
    /// executes or delivers is waited for. Returns the run as recorded.
    ///
    /// # Errors
    /// An unknown run, a history that cannot be written, a request to stop.
    pub(crate) async fn run_here(&self, run_id: &str, stopped: impl Future<Output = ()>) -> Result<Run> {
        let mut stopped = std::pin::pin!(stopped);
        let found = || -> Result<Run> {
            self.store.run(run_id)?.ok_or_else(|| Error::usage(format!("the history has no run `{run_id}`")))
        };
        loop {
            self.recover()?;
            let run = found()?;
            let now = self.now();
            if run.state.is_final() || run.state == RunState::Delivering || self.give_up_if_spent(&run, now)? {
                break;
            }
            let next = run.next_at.unwrap_or(now);
            if next <= now
                && let Some(run) = self.store.claim(run_id, now)?
            {
                let stop = async { stopped.as_mut().await };
                let state = self.execute(&run, std::future::pending(), stop).await?;
                if state == RunState::Stopped {
                    return Err(Error::Stopped);
                }
                continue;
            }
            // until its next attempt, or the end of another run of its job
            let wait = (next - now).to_std().unwrap_or_default().clamp(Duration::from_millis(200), POLL_INTERVAL);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = &mut stopped => {
                    self.store.request_stop(run_id, self.now())?;
                    return Err(Error::Stopped);
                }
            }
        }
        self.deliver_here(run_id, stopped).await?;
        found()
    }

    /// Sends the due deliveries of the project. Those of one run are retried until they are sent or have had as many
    /// attempts as a run of the job, and those that another process sends are waited for.
    ///
    /// # Errors
    /// A history that cannot be written, a request to stop.
    pub(crate) async fn deliver_here(&self, run_id: &str, stopped: impl Future<Output = ()>) -> Result<()> {
        let mut stopped = std::pin::pin!(stopped);
        let tries = self.store.run(run_id)?.map_or(1, |run| run.max_attempts);
        let mut announced = None;
        loop {
            self.recover()?;
            self.notify_owners()?;
            let due = self.store.due_deliveries(None, self.now())?;
            let (own, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|delivery| delivery.run_id == run_id);
            let own: Vec<Delivery> = own.into_iter().filter(|delivery| delivery.tries < tries).collect();
            // outputs first: mails name them. Deliveries of other runs are tried once
            for delivery in own.iter().filter(|delivery| delivery.kind == DeliveryKind::Output) {
                self.deliver(delivery).await?;
            }
            let messages: Vec<&Delivery> =
                own.iter().filter(|delivery| delivery.kind != DeliveryKind::Output).collect();
            for some in messages.chunks(DELIVERIES_BETWEEN_STOPS) {
                let sends: Vec<_> = some.iter().map(|delivery| self.deliver(delivery).boxed()).collect();
                futures::stream::iter(sends).buffer_unordered(MAX_DELIVERIES).try_collect::<()>().await?;
                // what is sent is recorded before the program stops
                if stopped.as_mut().now_or_never().is_some() {
                    return Err(Error::Stopped);
                }
            }
            for delivery in &others {
                self.deliver(delivery).await?;
            }
            self.notify_owners()?;
            if !own.is_empty() {
                continue;
            }
            let deliveries = self.store.deliveries(run_id)?;
            let is_open = |delivery: &&Delivery| match delivery.state {
                DeliveryState::Planned => delivery.tries < tries,
                // another process sends it
                DeliveryState::Claimed | DeliveryState::Sending => true,
                _ => false,
            };
            let open: Vec<&Delivery> = deliveries.iter().filter(is_open).collect();
            let Some(first) = open.first() else {
                self.connections.close(true).await;
                return Ok(());
            };
            if announced.as_ref() != Some(&first.delivery_id) {
                log("info", &format!("{} waits: {} of its deliveries are open", run_id, open.len()));
                announced = Some(first.delivery_id.clone());
            }
            tokio::select! {
                () = tokio::time::sleep(DELIVERY_POLL_INTERVAL) => {}
                () = &mut stopped => return Err(Error::Stopped),
            }
        }
    }
}

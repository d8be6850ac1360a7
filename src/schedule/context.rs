//! Shared state of the scheduler: project, jobs, history store, clock; the log and the retry backoff.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::job::{Job, jobs};
use super::mail::Connections;
use crate::error::{Error, Result};
use crate::history::{Origin, Store};
use crate::output::visible;
use crate::project::{CliOptions, Project};
use crate::source::nearest;

/// Source of the current time; tests have their own.
pub(crate) trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> DateTime<Utc>;
}

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Shared state of the scheduler.
pub(crate) struct SchedulerContext {
    /// How the project is found: it is resolved again for every run, so that changed reports take effect.
    pub cli_options: CliOptions,
    /// The project as resolved at the start.
    pub project: Project,
    /// Its jobs.
    pub jobs: Vec<Job>,
    /// The history store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Connections to the mail server.
    pub(super) connections: Connections,
}

impl fmt::Debug for SchedulerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerContext").field("store", &self.store).finish_non_exhaustive()
    }
}

impl SchedulerContext {
    /// Resolves the project, validates its jobs and opens its history.
    ///
    /// # Errors
    /// An invalid project or job, a history that cannot be opened.
    pub(crate) fn open(cli_options: &CliOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let project = Project::resolve(cli_options)?;
        let jobs = jobs(&project)?;
        let path = &project.job_settings.store;
        let store = Store::open(path)?;
        let unknown =
            "what ran before is not known: alerts are told again, and times that were missed are not caught up";
        match store.origin() {
            Origin::Known => {}
            Origin::New => log("info", &format!("the history {} is new", path.display())),
            Origin::Vanished => {
                log("warn", &format!("the history {} has vanished, a new one is made; {unknown}", path.display()))
            }
            Origin::Empty => log("warn", &format!("the history {} was empty; {unknown}", path.display())),
        }
        Ok(Self { cli_options: cli_options.clone(), project, jobs, store, clock, connections: Connections::default() })
    }

    /// The current time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Returns a job by name.
    ///
    /// # Errors
    /// An unknown name; the message suggests the nearest.
    pub(crate) fn job(&self, name: &str) -> Result<&Job> {
        self.jobs.iter().find(|job| job.name == name).ok_or_else(|| {
            let near = nearest(name, self.jobs.iter().map(|job| job.name.as_str()));
            let hint = match near {
                Some(near) => format!("; did you mean `{near}`?"),
                None if self.jobs.is_empty() => "; cxql.toml has no [[job]]".into(),
                None => "; `cxql job list` shows all".into(),
            };
            Error::usage(format!("there is no job `{name}`{hint}"))
        })
    }

    /// Reads every secret of the mail server and the channels, so that a missing one is reported at the start.
    ///
    /// # Errors
    /// The first secret that cannot be read.
    pub(crate) fn check_secrets(&self) -> Result<()> {
        let folder = &self.project.folder;
        let job_settings = &self.project.job_settings;
        if let Some(secret) = job_settings.mail.as_ref().and_then(|mail| mail.password.as_ref()) {
            secret.read(folder)?;
        }
        for channel in job_settings.channels.values() {
            if let Some(url) = &channel.url {
                url.read(folder)?;
            }
            if let Some(secret) = &channel.secret {
                secret.read(folder)?;
            }
        }
        Ok(())
    }
}

/// Writes one line to the log on standard error.
pub(super) fn log(level: &str, text: &str) {
    let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    // one event is one line and one write; an error of the log stops nothing
    let line = format!("{at} {level} {}\n", visible(&text.replace('\n', "\\n")));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The wait after `tries` failures: `delay` doubled for each failure after the first, at most `max`, with jitter
/// between half of it and all of it, so that retries of simultaneous failures spread out. `random` is in [0, 1].
pub(crate) fn backoff(delay: Duration, max: Duration, tries: u32, random: f64) -> Duration {
    let doubled = delay.saturating_mul(2u32.saturating_pow(tries.saturating_sub(1).min(31)));
    doubled.min(max).mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

/// The time of the next attempt after `tries` failures.
pub(super) fn retry_at(now: DateTime<Utc>, delay: Duration, max: Duration, tries: u32) -> DateTime<Utc> {
    // a random UUID: the `rand` of the workspace has no generator of its own
    let random = f64::from(Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    let wait = backoff(delay, max, tries, random);
    now + chrono::Duration::from_std(wait).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_spread() {
        let seconds = Duration::from_secs;
        let waits =
            |random: f64| (1..=5).map(|tries| backoff(seconds(10), seconds(60), tries, random)).collect::<Vec<_>>();
        assert_eq!(waits(1.0), [10, 20, 40, 60, 60].map(seconds));
        assert_eq!(waits(0.0), [5, 10, 20, 30, 30].map(seconds));
        assert_eq!(backoff(seconds(1), seconds(3600), u32::MAX, 1.0), seconds(3600));
    }
}

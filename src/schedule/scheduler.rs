//! The scheduler loop: records due runs, executes them, sends deliveries; all state is in the history, so that it
//! resumes after a crash.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::context::{SchedulerContext, log};
use super::cron::{self, DueTimes};
use super::job::Job;
use crate::error::{Error, Result};
use crate::history::{NewRun, RunState, Trigger};
use crate::signals::Signals;

/// Maximum time between polls: other processes may have left work.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

const DRAIN: Duration = Duration::from_secs(30);
const MAX_PARALLEL: usize = 2;
pub(super) const MAX_DELIVERIES: usize = 8;
const KEEP_DAYS: u32 = 400;

/// How often the history is marked as in use.
const MARK_INTERVAL: chrono::Duration = chrono::Duration::hours(1);

/// A clock that has moved on by more than this since the history was last used may be wrong.
const CLOCK_GAP: chrono::Duration = chrono::Duration::days(90);

/// How far back the runs of dependencies are searched for jobs without a schedule.
const DEPENDENCIES: chrono::Duration = chrono::Duration::days(3);

/// Maximum number of times that a message lists.
const MAX_LISTED: usize = 20;

/// Runs the jobs of a project.
#[derive(Debug)]
pub(crate) struct Scheduler {
    context: Arc<SchedulerContext>,
    /// When each job with a schedule was last polled.
    polled_at: BTreeMap<String, DateTime<Utc>>,
    last_poll: Option<DateTime<Utc>>,
    pruned_at: Option<DateTime<Utc>>,
    /// When the history was last marked as in use.
    marked_at: Option<DateTime<Utc>>,
    /// Whether nothing is done because the clock is far ahead.
    is_held: bool,
    running: JoinSet<Result<()>>,
    deliveries: JoinSet<Result<String>>,
    in_flight: HashSet<String>,
    release: watch::Sender<bool>,
    max_parallel: usize,
}

impl Scheduler {
    /// Creates a scheduler for the jobs of a project.
    ///
    /// # Errors
    /// A secret that cannot be read, a history that cannot be written, a clock that is far ahead of the history unless
    /// `accept_clock`.
    pub(crate) fn new(context: Arc<SchedulerContext>, accept_clock: bool) -> Result<Self> {
        context.check_secrets()?;
        let now = context.now();
        if let Some(gap) = clock_gap(context.store.used_at(now)?, now).filter(|_| !accept_clock) {
            return Err(Error::usage(format!(
                "{gap}. Nothing is queued, sent or removed until you have looked: set the clock right, or say that it is \
                 right by `cxql schedule --accept-clock`"
            )));
        }
        context.store.mark_used(now)?;
        let mut polled_at = BTreeMap::new();
        for job in &context.jobs {
            if !job.is_enabled {
                context.store.drop_cursor(&job.name)?;
            } else if job.schedule.is_some() {
                // a clock that was ahead has left a cursor in the future
                polled_at.insert(job.name.clone(), context.store.ensure_cursor(&job.name, now)?.min(now));
            } else {
                context.store.ensure_cursor(&job.name, now)?;
            }
        }
        let max_parallel = context.project.job_settings.defaults.max_parallel.unwrap_or(MAX_PARALLEL).max(1);
        Ok(Self {
            context,
            polled_at,
            last_poll: None,
            pruned_at: None,
            marked_at: None,
            is_held: false,
            running: JoinSet::new(),
            deliveries: JoinSet::new(),
            in_flight: HashSet::new(),
            release: watch::Sender::new(false),
            max_parallel,
        })
    }

    /// Runs until the first signal, then starts nothing more and waits for active runs and deliveries, for the
    /// configured time; the rest is left to the next scheduler. A second signal ends the wait.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) async fn run(mut self, mut signals: Signals) -> Result<()> {
        loop {
            let wait = self.poll()?;
            tokio::select! {
                () = signals.next() => break,
                () = tokio::time::sleep(wait) => {}
                Some(ended) = self.running.join_next() => done(ended)?,
                Some(ended) = self.deliveries.join_next() => { self.in_flight.remove(&done(ended)?); }
            }
        }
        let drain = self.context.project.job_settings.defaults.drain.map_or(DRAIN, |span| span.0);
        if !self.running.is_empty() || !self.deliveries.is_empty() {
            log("info", &format!("stopping; what runs has {} seconds to end", drain.as_secs()));
        }
        let everything = async {
            while let Some(ended) = self.running.join_next().await {
                done(ended)?;
            }
            while let Some(ended) = self.deliveries.join_next().await {
                done(ended)?;
            }
            Ok(())
        };
        tokio::select! {
            ended = everything => return ended,
            () = tokio::time::sleep(drain) => {}
            () = signals.next() => {}
        }
        self.release.send_replace(true);
        while let Some(ended) = self.running.join_next().await {
            done(ended)?;
        }
        Ok(())
    }

    /// Polls once: records due runs, starts what can be started. Returns the wait until the next poll.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn poll(&mut self) -> Result<Duration> {
        let now = self.context.now();
        if let Some(gap) = clock_gap(self.last_poll, now) {
            if !self.is_held {
                log(
                    "error",
                    &format!(
                        "{gap}. Nothing is queued, sent or removed until the clock is right, or a scheduler is started by `cxql \
                     schedule --accept-clock`"
                    ),
                );
            }
            self.is_held = true;
            return Ok(POLL_INTERVAL);
        }
        if std::mem::take(&mut self.is_held) {
            log("info", "the clock is right again");
        }
        if self.marked_at.is_none_or(|marked| now - marked >= MARK_INTERVAL || now < marked) {
            self.context.store.mark_used(now)?;
            self.marked_at = Some(now);
        }
        self.context.recover()?;
        self.record_due_runs(now)?;
        self.start(now)?;
        self.deliver(now)?;
        self.context.notify_owners()?;
        let context = Arc::clone(&self.context);
        tokio::spawn(async move { context.connections.close(false).await });
        self.prune(now)?;
        self.last_poll = Some(now);
        let due = self.context.jobs.iter().filter(|job| self.polled_at.contains_key(&job.name));
        let due = due.filter_map(|job| job.schedule.as_ref()?.after(now));
        let next = due.chain(self.context.store.next_due_at()?).min();
        let wait = next.and_then(|next| (next - now).to_std().ok()).unwrap_or(POLL_INTERVAL);
        Ok(wait.clamp(Duration::from_millis(10), POLL_INTERVAL))
    }

    /// Records the due runs of all enabled jobs.
    fn record_due_runs(&mut self, now: DateTime<Utc>) -> Result<()> {
        if let Some(last) = self.last_poll.filter(|last| now < *last) {
            // retries that wait must not wait longer by the difference
            self.context.store.shift_next_at(last - now)?;
            log("warn", &format!("the clock was set back to {now}; times that have run are not run again"));
            for polled_at in self.polled_at.values_mut() {
                *polled_at = now.min(*polled_at);
            }
        }
        let context = Arc::clone(&self.context);
        for job in context.jobs.iter().filter(|job| job.is_enabled) {
            match &job.schedule {
                Some(schedule) => {
                    let polled_at = self.polled_at.get(&job.name).copied().unwrap_or(now);
                    if schedule.after(polled_at).is_none_or(|next| next > now) {
                        continue;
                    }
                    let due = cron::due(schedule, polled_at, now, job.catch_up);
                    self.record(job, &due, now)?;
                    self.polled_at.insert(job.name.clone(), now);
                }
                None if !job.depends_on.is_empty() => self.record_dependents(job, now)?,
                None => {}
            }
        }
        Ok(())
    }

    fn record(&self, job: &Job, due: &DueTimes, now: DateTime<Utc>) -> Result<()> {
        let trigger = |at: &DateTime<Utc>| if due.late.contains(at) { Trigger::CatchUp } else { Trigger::Schedule };
        let run: Vec<NewRun> = due.run.iter().map(|at| job.new_run(*at, trigger(at))).collect();
        let missed: Vec<NewRun> = due.missed.iter().map(|at| job.new_run(*at, Trigger::Schedule)).collect();
        let recorded = self.context.store.record_due(&job.name, job.overlap, now, run, missed)?;
        for (run, state) in &recorded {
            match state {
                RunState::Skipped => {
                    log("warn", &format!("{} is left out: the run before it has not ended", run.run_id))
                }
                RunState::Missed => log("warn", &format!("{} was missed: no scheduler ran", run.run_id)),
                _ => log("info", &format!("{} is due", run.run_id)),
            }
        }
        let shown = |at: DateTime<Utc>| at.with_timezone(&job.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
        let missed: Vec<&NewRun> =
            recorded.iter().filter(|(_, state)| *state == RunState::Missed).map(|(run, _)| run).collect();
        let late: Vec<&NewRun> =
            recorded.iter().filter(|(run, _)| run.trigger == Trigger::CatchUp).map(|(run, _)| run).collect();
        let Some(last) = missed.last().or(late.last()) else { return Ok(()) };
        let mut lines = vec![format!("no scheduler ran at {} of its times", missed.len() + late.len())];
        let list = |what: &str, runs: &[&NewRun], lines: &mut Vec<String>| {
            lines.extend(runs.iter().take(MAX_LISTED).map(|run| format!("{what}: {}", shown(run.scheduled_at))));
            if runs.len() > MAX_LISTED {
                lines.push(format!("{what}: {} more", runs.len() - MAX_LISTED));
            }
        };
        list("not run", &missed, &mut lines);
        list("run now", &late, &mut lines);
        if let (Some(first), Some(last)) = (missed.first(), missed.last()) {
            lines.push(format!(
                "run them: cxql job backfill {} --from {} --to {}",
                job.name,
                first.scheduled_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                last.scheduled_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            ));
        }
        if let Some(run) = self.context.store.run(&last.run_id)? {
            let messages = self.context.notice(job, &run, format!("job {}: times were missed", job.name), lines);
            self.context.store.add_messages(&run.run_id, &job.name, &messages, now)?;
        }
        Ok(())
    }

    /// Records the runs of a job without a schedule: one for each time for which all its dependencies have succeeded.
    fn record_dependents(&self, job: &Job, now: DateTime<Utc>) -> Result<()> {
        let store = &self.context.store;
        let since = store.ensure_cursor(&job.name, now)?.max(now - DEPENDENCIES);
        let mut ready: Option<BTreeSet<DateTime<Utc>>> = None;
        for name in &job.depends_on {
            let times: BTreeSet<DateTime<Utc>> = store.succeeded_since(name, since)?.into_iter().collect();
            ready = Some(match ready {
                Some(ready) => ready.intersection(&times).copied().collect(),
                None => times,
            });
        }
        for at in ready.unwrap_or_default() {
            if store.run(&job.run_id(at))?.is_none() && store.add_run(&job.new_run(at, Trigger::Dependency), now)? {
                log("info", &format!("{} is due: what it depends on has succeeded", job.run_id(at)));
            }
        }
        Ok(())
    }

    /// Starts the runs that are ready.
    fn start(&mut self, now: DateTime<Utc>) -> Result<()> {
        for run in self.context.store.ready_runs(now)? {
            if self.context.give_up_if_spent(&run, now)? {
                continue;
            }
            if self.running.len() >= self.max_parallel {
                break;
            }
            let Some(run) = self.context.store.claim(&run.run_id, now)? else { continue };
            let context = Arc::clone(&self.context);
            let mut released = self.release.subscribe();
            self.running.spawn(async move {
                let release = async move {
                    // the sender is dropped with the scheduler
                    let _ = released.wait_for(|is_released| *is_released).await;
                };
                context.execute(&run, release, std::future::pending()).await.map(drop)
            });
        }
        Ok(())
    }

    fn deliver(&mut self, now: DateTime<Utc>) -> Result<()> {
        // those that are being sent may still be planned
        let limit = MAX_DELIVERIES + self.in_flight.len();
        for delivery in self.context.store.due_deliveries(Some(limit), now)? {
            if self.deliveries.len() >= MAX_DELIVERIES {
                break;
            }
            if !self.in_flight.insert(delivery.delivery_id.clone()) {
                continue;
            }
            let context = Arc::clone(&self.context);
            self.deliveries.spawn(async move { context.deliver(&delivery).await.map(|()| delivery.delivery_id) });
        }
        Ok(())
    }

    fn prune(&mut self, now: DateTime<Utc>) -> Result<()> {
        if self.pruned_at.is_some_and(|last| now - last < chrono::Duration::days(1)) {
            return Ok(());
        }
        self.pruned_at = Some(now);
        let days = self.context.project.job_settings.defaults.keep_days.unwrap_or(KEEP_DAYS);
        let removed = self.context.store.prune(now - chrono::Duration::days(days.into()))?;
        if removed > 0 {
            log("info", &format!("{removed} runs older than {days} days are removed from the history"));
        }
        Ok(())
    }
}

/// Describes how far the clock has moved on since `used_at`, if it is too far to be believed.
fn clock_gap(used_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<String> {
    let used_at = used_at.filter(|used_at| now - *used_at > CLOCK_GAP)?;
    Some(format!(
        "the clock says {}, {} days after the history was last used ({})",
        now.format("%Y-%m-%d %H:%M UTC"),
        (now - used_at).num_days(),
        used_at.format("%Y-%m-%d %H:%M UTC")
    ))
}

fn done<T>(ended: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    ended.unwrap_or_else(|error| {
        Err(Error::Engine { message: format!("a fault of the program ended a job: {error}; please report it") })
    })
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::project::CliOptions;
    use crate::schedule::context::Clock;

    /// A clock that is set by the test.
    #[derive(Debug)]
    struct FakeClock(Mutex<DateTime<Utc>>);

    impl Clock for FakeClock {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock()
        }
    }

    struct TestProject {
        clock: Arc<FakeClock>,
        cli_options: CliOptions,
        _folder: tempfile::TempDir,
    }

    impl TestProject {
        fn new(job: &str, now: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let text = format!("[[job]]\nname = \"a\"\nsql = \"select 1 as a\"\noverlap = \"queue\"\n{job}\n");
            std::fs::write(folder.path().join("cxql.toml"), text).unwrap();
            let cli_options = CliOptions { project: Some(folder.path().to_path_buf()), ..CliOptions::default() };
            Self { clock: Arc::new(FakeClock(Mutex::new(now.parse().unwrap()))), cli_options, _folder: folder }
        }

        fn scheduler(&self) -> Scheduler {
            let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
            self.started(clock, false).unwrap()
        }

        fn started(&self, clock: Arc<dyn Clock>, accept_clock: bool) -> Result<Scheduler> {
            Scheduler::new(Arc::new(SchedulerContext::open(&self.cli_options, clock).unwrap()), accept_clock)
        }

        fn set(&self, now: &str) {
            *self.clock.0.lock() = now.parse().unwrap();
        }

        /// Polls at a given time, and starts nothing.
        fn poll(&self, scheduler: &mut Scheduler, now: &str) {
            self.set(now);
            let now = self.clock.now();
            scheduler.record_due_runs(now).unwrap();
            scheduler.last_poll = Some(now);
        }
    }

    fn runs(scheduler: &Scheduler) -> Vec<String> {
        let mut runs = scheduler.context.store.runs(None, 10_000).unwrap();
        runs.reverse();
        runs.iter().map(|run| format!("{} {}", run.scheduled_at.format("%m-%dT%H:%M"), run.state.name())).collect()
    }

    #[test]
    fn half_a_year_of_days_has_each_day_once() {
        let stage = TestProject::new("cron = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"", "2025-01-01T00:00:00Z");
        let mut scheduler = stage.scheduler();
        let mut now: DateTime<Utc> = "2025-01-01T00:00:00Z".parse().unwrap();
        // from winter over both offset changes: polled every half an hour
        while now < "2025-11-10T00:00:00Z".parse::<DateTime<Utc>>().unwrap() {
            *stage.clock.0.lock() = now;
            scheduler.record_due_runs(now).unwrap();
            scheduler.last_poll = Some(now);
            now += chrono::Duration::minutes(30);
        }
        let runs = runs(&scheduler);
        // 1 January to 9 November
        assert_eq!(runs.len(), 313);
        assert!(runs.contains(&"03-30T01:00 queued".to_string()) && runs.contains(&"10-26T00:30 queued".to_string()));
        assert!(runs.iter().all(|run| run.ends_with("queued")));
    }

    #[test]
    fn a_clock_set_back_runs_nothing_twice() {
        let stage = TestProject::new("cron = \"0 * * * *\"", "2025-01-01T07:30:00Z");
        let mut scheduler = stage.scheduler();
        for now in ["08:00:01", "09:00:01", "07:10:00", "08:00:01", "09:00:01", "10:00:01"] {
            stage.poll(&mut scheduler, &format!("2025-01-01T{now}Z"));
        }
        assert_eq!(runs(&scheduler), ["01-01T08:00 queued", "01-01T09:00 queued", "01-01T10:00 queued"]);
        // a clock that was years ahead does not stop the job for years
        let stage = TestProject::new("cron = \"0 * * * *\"", "2031-01-01T07:30:00Z");
        drop(stage.scheduler());
        stage.set("2025-01-01T07:30:00Z");
        let mut scheduler = stage.scheduler();
        stage.poll(&mut scheduler, "2025-01-01T08:00:01Z");
        assert_eq!(runs(&scheduler), ["01-01T08:00 queued"]);
    }

    #[tokio::test]
    async fn a_clock_that_is_years_ahead_queues_and_removes_nothing() {
        let stage = TestProject::new("cron = \"0 8 * * *\"", "2025-01-01T07:00:00Z");
        let mut scheduler = stage.scheduler();
        scheduler.poll().unwrap();
        stage.set("2025-01-02T08:00:01Z");
        scheduler.poll().unwrap();
        let known = runs(&scheduler);
        stage.set("2031-01-01T09:00:00Z");
        scheduler.poll().unwrap();
        assert_eq!(runs(&scheduler), known);
        let clock = Arc::clone(&stage.clock) as Arc<dyn Clock>;
        let refused = stage.started(Arc::clone(&clock), false).unwrap_err().to_string();
        assert!(refused.contains("2190 days after") && refused.contains("--accept-clock"), "{refused}");
        // back again, it goes on
        stage.set("2025-01-03T08:00:01Z");
        scheduler.poll().unwrap();
        assert_eq!(runs(&scheduler).len(), known.len() + 1);
        // and who says that it is right has it so
        stage.set("2031-01-01T09:00:00Z");
        let mut accepted = stage.started(clock, true).unwrap();
        accepted.poll().unwrap();
        assert!(runs(&accepted).iter().any(|run| run == "01-01T08:00 queued" || run == "01-01T08:00 running"));
    }

    #[test]
    fn a_scheduler_that_was_down_records_what_it_missed() {
        let stage = TestProject::new("cron = \"0 8 * * *\"", "2025-01-01T09:00:00Z");
        drop(stage.scheduler());
        stage.set("2025-01-04T12:00:00Z");
        let mut scheduler = stage.scheduler();
        stage.poll(&mut scheduler, "2025-01-04T12:00:00Z");
        assert_eq!(runs(&scheduler), ["01-02T08:00 missed", "01-03T08:00 missed", "01-04T08:00 queued"]);
        // a scheduler that starts later records nothing again
        let mut other = stage.scheduler();
        stage.poll(&mut other, "2025-01-04T12:00:01Z");
        assert_eq!(runs(&other).len(), 3);
    }

    #[test]
    fn two_schedulers_record_each_time_once() {
        let stage = TestProject::new("cron = \"0 8 * * *\"", "2025-01-01T07:00:00Z");
        let (mut one, mut two) = (stage.scheduler(), stage.scheduler());
        stage.poll(&mut one, "2025-01-01T08:00:01Z");
        stage.poll(&mut two, "2025-01-01T08:00:02Z");
        assert_eq!(runs(&one), ["01-01T08:00 queued"]);
    }

    #[test]
    fn a_job_that_is_switched_off_misses_nothing() {
        let stage = TestProject::new("cron = \"0 8 * * *\"", "2025-01-01T07:00:00Z");
        drop(stage.scheduler());
        let path = stage.cli_options.project.clone().unwrap().join("cxql.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}enabled = false\n")).unwrap();
        let mut off = stage.scheduler();
        stage.poll(&mut off, "2025-02-01T07:00:00Z");
        std::fs::write(&path, text).unwrap();
        let mut on = stage.scheduler();
        stage.poll(&mut on, "2025-02-01T08:00:01Z");
        assert_eq!(runs(&on), ["02-01T08:00 queued"]);
    }
}

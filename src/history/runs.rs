//! Runs: recorded before they start, and queried.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{NewDelivery, Store, deliveries, micros, timestamp, timestamp_column};
use crate::config::Overlap;
use crate::error::Result;

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    /// Due, waiting to be started.
    Queued,
    /// Waiting for data or other jobs.
    Waiting,
    /// An attempt is active.
    Running,
    /// Failed, waiting for the next attempt.
    Retrying,
    /// Completed; its deliveries are open.
    Delivering,
    /// Completed and delivered.
    Succeeded,
    /// Failed for good, or a delivery of it failed.
    Failed,
    /// Left out because an earlier run was active.
    Skipped,
    /// No scheduler ran at its time, and it is not caught up.
    Missed,
    /// Stopped on request.
    Stopped,
}

impl RunState {
    const ALL: [Self; 10] = [
        Self::Queued,
        Self::Waiting,
        Self::Running,
        Self::Retrying,
        Self::Delivering,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Missed,
        Self::Stopped,
    ];

    /// The value of the column `state`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Delivering => "delivering",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the state is final.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Missed | Self::Stopped)
    }

    fn from_name(name: &str) -> Self {
        // a state of a newer program must not be continued by this one
        Self::ALL.into_iter().find(|state| state.name() == name).unwrap_or(Self::Failed)
    }
}

/// What created a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The schedule.
    Schedule,
    /// The schedule, after the time had passed.
    CatchUp,
    /// The success of its dependencies.
    Dependency,
    /// `cxql job run`.
    Manual,
    /// `cxql job backfill`.
    Backfill,
}

impl Trigger {
    /// The value of the column `trigger`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::CatchUp => "catch_up",
            Self::Dependency => "dependency",
            Self::Manual => "manual",
            Self::Backfill => "backfill",
        }
    }
}

/// A run to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct NewRun {
    /// Its id, made of the job's name and the scheduled time.
    pub run_id: String,
    /// The job.
    pub job: String,
    /// The report.
    pub report: String,
    /// The scheduled time.
    pub scheduled_at: DateTime<Utc>,
    /// What created it.
    pub trigger: Trigger,
    /// Maximum number of attempts.
    pub max_attempts: u32,
}

/// A recorded run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Its id.
    pub run_id: String,
    /// The job.
    pub job: String,
    /// The scheduled time.
    pub scheduled_at: DateTime<Utc>,
    /// What created it: the value of the column `trigger`.
    pub trigger: String,
    /// The state.
    pub state: RunState,
    /// Attempts so far.
    pub attempt: u32,
    /// Maximum number of attempts.
    pub max_attempts: u32,
    /// When it is due next.
    pub next_at: Option<DateTime<Utc>>,
    /// When its first attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Rows of the result.
    pub row_count: Option<u64>,
    /// The error, or the reason why it waits.
    pub error: Option<String>,
}

pub(super) const COLUMNS: &str = "run_id, job, scheduled_at, trigger, state, attempt, max_attempts, next_at, started_at, \
                       ended_at, row_count, error";

/// The states of runs that are neither completed nor final.
const OPEN: &str = "('queued', 'waiting', 'running', 'retrying')";

impl Run {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            run_id: row.get("run_id")?,
            job: row.get("job")?,
            scheduled_at: timestamp(row.get("scheduled_at")?),
            trigger: row.get("trigger")?,
            state: RunState::from_name(&row.get::<_, String>("state")?),
            attempt: row.get("attempt")?,
            max_attempts: row.get("max_attempts")?,
            next_at: timestamp_column(row, "next_at")?,
            started_at: timestamp_column(row, "started_at")?,
            ended_at: timestamp_column(row, "ended_at")?,
            row_count: row.get::<_, Option<i64>>("row_count")?.map(|count| count.max(0) as u64),
            error: row.get("error")?,
        })
    }
}

pub(super) fn insert(
    transaction: &Transaction<'_>,
    run: &NewRun,
    state: RunState,
    error: Option<&str>,
    now: DateTime<Utc>,
) -> rusqlite::Result<bool> {
    let is_final = state.is_final();
    let sql = "INSERT OR IGNORE INTO runs (run_id, job, report, scheduled_at, trigger, state, max_attempts, recorded_at, \
               next_at, ended_at, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let inserted = transaction.prepare_cached(sql)?.execute(params![
        run.run_id,
        run.job,
        run.report,
        micros(run.scheduled_at),
        run.trigger.name(),
        state.name(),
        run.max_attempts,
        micros(now),
        (!is_final).then_some(micros(now)),
        is_final.then_some(micros(now)),
        error
    ])?;
    Ok(inserted == 1)
}

impl Store {
    /// Records a job's due runs, those to queue and the missed ones, and advances its cursor in one transaction, so that of
    /// two schedulers polling at once only one records them. Returns the runs that are new, with their states.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn record_due(
        &self,
        job: &str,
        overlap: Overlap,
        now: DateTime<Utc>,
        due: Vec<NewRun>,
        missed: Vec<NewRun>,
    ) -> Result<Vec<(NewRun, RunState)>> {
        self.write(|transaction| {
            let mut recorded = Vec::new();
            for run in missed {
                if insert(transaction, &run, RunState::Missed, Some("no scheduler ran at this time"), now)? {
                    recorded.push((run, RunState::Missed));
                }
            }
            // runs that catch up wait for one another
            let sql = format!(
                "SELECT run_id FROM runs WHERE job = ? AND state IN {OPEN} AND NOT (state = 'queued' AND trigger = 'catch_up')"
            );
            let mut before: Vec<String> =
                transaction.prepare(&sql)?.query_map([job], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for run in due {
                let state = match overlap {
                    Overlap::Skip if !before.is_empty() => RunState::Skipped,
                    _ => RunState::Queued,
                };
                let reason = (state == RunState::Skipped).then(|| format!("{} had not ended", before.join(", ")));
                if !insert(transaction, &run, state, reason.as_deref(), now)? {
                    continue;
                }
                if overlap == Overlap::Kill {
                    for run_id in before.drain(..) {
                        stop_run(transaction, &run_id, now)?;
                    }
                }
                if state == RunState::Queued && run.trigger != Trigger::CatchUp {
                    before.push(run.run_id.clone());
                }
                recorded.push((run, state));
            }
            let sql = "INSERT INTO cursors (job, looked_at) VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET \
                       looked_at = excluded.looked_at";
            transaction.prepare_cached(sql)?.execute(params![job, micros(now)])?;
            Ok(recorded)
        })
    }

    /// The time of the last poll of a job; creates the cursor with the current time if the job is new.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn ensure_cursor(&self, job: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
        if let Some(at) = self.polled_at(job)? {
            return Ok(at);
        }
        self.write(|transaction| {
            transaction
                .execute("INSERT OR IGNORE INTO cursors (job, looked_at) VALUES (?, ?)", params![job, micros(now)])?;
            Ok(now)
        })
    }

    /// Drops the cursor of a job that is no longer scheduled, so that no missed runs are recorded for it.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn drop_cursor(&self, job: &str) -> Result<()> {
        self.write(|transaction| transaction.execute("DELETE FROM cursors WHERE job = ?", [job]).map(drop))
    }

    /// Records a queued run. False if a run of this id exists.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn add_run(&self, run: &NewRun, now: DateTime<Utc>) -> Result<bool> {
        self.write(|transaction| insert(transaction, run, RunState::Queued, None, now))
    }

    /// The runs that are due, the oldest first.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn ready_runs(&self, now: DateTime<Utc>) -> Result<Vec<Run>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM runs WHERE state IN ('queued', 'waiting', 'retrying') AND holder IS NULL AND \
                 next_at <= ? ORDER BY scheduled_at, run_id"
            );
            connection.prepare_cached(&sql)?.query_map([micros(now)], Run::from_row)?.collect()
        })
    }

    /// When the next waiting run or delivery is due; `None` if nothing waits.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn next_due_at(&self) -> Result<Option<DateTime<Utc>>> {
        self.read(|connection| {
            let sql = "SELECT min(next_at) FROM (SELECT next_at FROM runs WHERE state IN ('queued', 'waiting', \
                       'retrying') AND holder IS NULL UNION ALL SELECT next_at FROM deliveries WHERE state = 'planned')";
            let next: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(next.map(timestamp))
        })
    }

    /// Ends an unclaimed run as failed, and plans the notices to its owner. False if it is claimed or has ended.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn give_up(
        &self,
        run: &Run,
        error: &str,
        now: DateTime<Utc>,
        notices: Vec<NewDelivery>,
    ) -> Result<bool> {
        self.write(|transaction| {
            let sql = format!(
                "UPDATE runs SET state = 'failed', ended_at = ?2, next_at = NULL, error = ?3 WHERE run_id = ?1 AND holder \
                 IS NULL AND state IN {OPEN}"
            );
            let is_over = transaction.execute(&sql, params![run.run_id, micros(now), error])? == 1;
            if is_over {
                deliveries::insert(transaction, &run.run_id, &run.job, &notices, now)?;
            }
            Ok(is_over)
        })
    }

    /// Moves the times for which runs and deliveries wait back by `by`, after the clock was set back.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn shift_next_at(&self, by: chrono::Duration) -> Result<()> {
        let by = by.num_microseconds().unwrap_or(0);
        self.write(|transaction| {
            for table in ["runs", "deliveries"] {
                let sql = format!("UPDATE {table} SET next_at = next_at - ? WHERE next_at IS NOT NULL");
                transaction.execute(&sql, [by])?;
            }
            Ok(())
        })
    }

    /// Requests that a run be stopped. An unclaimed run is stopped at once, an active one by the process that holds it.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn request_stop(&self, run_id: &str, now: DateTime<Utc>) -> Result<()> {
        self.write(|transaction| stop_run(transaction, run_id, now))
    }

    /// Whether a run was requested to stop.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn is_stop_requested(&self, run_id: &str) -> Result<bool> {
        self.read(|connection| {
            let sql = "SELECT is_stop_asked FROM runs WHERE run_id = ?";
            Ok(connection.prepare_cached(sql)?.query_row([run_id], |row| row.get(0)).optional()?.unwrap_or(false))
        })
    }

    /// Returns a run by id.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn run(&self, run_id: &str) -> Result<Option<Run>> {
        self.read(|connection| find(connection, run_id))
    }

    /// The runs of a job, or of all jobs, the newest first, at most `limit`.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn runs(&self, job: Option<&str>, limit: usize) -> Result<Vec<Run>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM runs WHERE ?1 IS NULL OR job = ?1 ORDER BY scheduled_at DESC, recorded_at DESC, \
                 run_id DESC LIMIT ?2"
            );
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            connection.prepare_cached(&sql)?.query_map(params![job, limit], Run::from_row)?.collect()
        })
    }

    /// The runs of a job for one scheduled time, in the order in which they were recorded.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn runs_for(&self, job: &str, scheduled_at: DateTime<Utc>) -> Result<Vec<Run>> {
        self.read(|connection| {
            let sql =
                format!("SELECT {COLUMNS} FROM runs WHERE job = ? AND scheduled_at = ? ORDER BY recorded_at, rowid");
            connection.prepare_cached(&sql)?.query_map(params![job, micros(scheduled_at)], Run::from_row)?.collect()
        })
    }

    /// The scheduled times of a job's runs that succeeded after `after`, the oldest first.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn succeeded_since(&self, job: &str, after: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>> {
        self.read(|connection| {
            let sql = "SELECT DISTINCT scheduled_at FROM runs WHERE job = ? AND state = 'succeeded' AND ended_at > ? \
                       ORDER BY scheduled_at";
            connection
                .prepare_cached(sql)?
                .query_map(params![job, micros(after)], |row| Ok(timestamp(row.get(0)?)))?
                .collect()
        })
    }
}

pub(super) fn find(connection: &rusqlite::Connection, run_id: &str) -> rusqlite::Result<Option<Run>> {
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE run_id = ?");
    connection.prepare_cached(&sql)?.query_row([run_id], Run::from_row).optional()
}

fn stop_run(transaction: &Transaction<'_>, run_id: &str, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let sql = "UPDATE runs SET is_stop_asked = 1 WHERE run_id = ? AND state = 'running'";
    transaction.execute(sql, [run_id])?;
    let sql = "UPDATE runs SET state = 'stopped', ended_at = ?2, next_at = NULL, error = 'stopped before it ran' WHERE \
               run_id = ?1 AND holder IS NULL AND state IN ('queued', 'waiting', 'retrying')";
    transaction.execute(sql, params![run_id, micros(now)])?;
    Ok(())
}

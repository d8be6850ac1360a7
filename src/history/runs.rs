//! Runs: recorded before they start and after they end.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{
    AlertNotification, AlertRecord, NewDelivery, Store, alerts, deliveries, micros, timestamp, timestamp_column,
};
use crate::config::Overlap;
use crate::error::Result;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It is due and waits for its turn.
    Queued,
    /// It waits for data or for other jobs.
    Waiting,
    /// It is being made.
    Running,
    /// It failed and is tried again.
    Retrying,
    /// Its results are made and on their way.
    Delivering,
    /// Everything is where it belongs.
    Succeeded,
    /// It failed for good, or something of it could not be delivered.
    Failed,
    /// It was left out because the run before it had not ended.
    Skipped,
    /// Nobody ran at its time, and it is not caught up.
    Missed,
    /// Somebody stopped it.
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

    /// Its word in the history.
    pub fn name(self) -> &'static str {
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

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Missed | Self::Stopped)
    }

    fn from_name(name: &str) -> Self {
        // a word of a newer program is nothing that this one may go on with
        Self::ALL.into_iter().find(|state| state.name() == name).unwrap_or(Self::Failed)
    }
}

/// What made a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Its time.
    Schedule,
    /// Its time, which had passed.
    CatchUp,
    /// The runs that it depends on.
    Dependency,
    /// `cxql job run`.
    Manual,
    /// `cxql job backfill`.
    Backfill,
}

impl Trigger {
    /// Its word in the history.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::CatchUp => "catch_up",
            Self::Dependency => "dependency",
            Self::Manual => "manual",
            Self::Backfill => "backfill",
        }
    }
}

/// A run that is to be recorded.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its name, made of job and time.
    pub run_id: String,
    /// The job.
    pub job: String,
    /// The report.
    pub report: String,
    /// The time for which it is.
    pub scheduled_at: DateTime<Utc>,
    /// What made it.
    pub trigger: Trigger,
    /// How often it may be tried.
    pub max_attempts: u32,
}

/// A run as it is recorded.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name.
    pub run_id: String,
    /// The job.
    pub job: String,
    /// The time for which it is.
    pub scheduled_at: DateTime<Utc>,
    /// What made it: a word.
    pub trigger: String,
    /// How it stands.
    pub state: RunState,
    /// Its tries so far.
    pub attempt: u32,
    /// How often it may be tried.
    pub max_attempts: u32,
    /// When it is looked at next.
    pub next_at: Option<DateTime<Utc>>,
    /// When it was tried first.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Rows of its result.
    pub row_count: Option<u64>,
    /// What went wrong.
    pub error: Option<String>,
}

const COLUMNS: &str = "run_id, job, scheduled_at, trigger, state, attempt, max_attempts, next_at, started_at, \
                       ended_at, row_count, error";

/// The states of runs that are neither made nor given up.
const OPEN: &str = "('queued', 'waiting', 'running', 'retrying')";

impl Run {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
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

/// How a try ended.
#[derive(Debug)]
pub enum AttemptOutcome {
    /// The results are made: what is to be delivered, and what the alerts found.
    Completed {
        /// Rows of the result.
        row_count: u64,
        /// The values of the parameters.
        parameters: String,
        /// What is worth knowing, such as a check that fails.
        note: Option<String>,
        /// What the alerts found.
        alerts: Vec<AlertRecord>,
    },
    /// It is tried again at an instant.
    Retry {
        /// When.
        at: DateTime<Utc>,
        /// What went wrong.
        error: String,
    },
    /// It is looked at again at an instant: something that it needs is not there. No try is counted.
    Wait {
        /// When.
        at: DateTime<Utc>,
        /// What it waits for.
        reason: String,
    },
    /// It failed for good, or was stopped.
    Terminated {
        /// `Failed` or `Stopped`.
        state: RunState,
        /// What went wrong.
        error: String,
    },
    /// The process ends and somebody else goes on. No try is counted.
    Released,
}

fn insert(
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
    /// Records what is due for a job and that somebody looked: at once, so that of two who look at the same time one
    /// records it. `due` gets the time at which somebody looked last and says what to run and what was missed; the runs
    /// that are new are given back with how they stand.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn record_due(
        &self,
        job: &str,
        overlap: Overlap,
        now: DateTime<Utc>,
        due: impl FnOnce(Option<DateTime<Utc>>) -> (Vec<NewRun>, Vec<NewRun>),
    ) -> Result<Vec<(NewRun, RunState)>> {
        self.write(|transaction| {
            let sql = "SELECT looked_at FROM cursors WHERE job = ?";
            let polled_at: Option<i64> = transaction.prepare_cached(sql)?.query_row([job], |row| row.get(0)).optional()?;
            let (run, missed) = due(polled_at.map(timestamp));
            let mut recorded = Vec::new();
            for run in missed {
                if insert(transaction, &run, RunState::Missed, Some("no scheduler ran at this time"), now)? {
                    recorded.push((run, RunState::Missed));
                }
            }
            // those that catch up wait for one another
            let sql = format!(
                "SELECT run_id FROM runs WHERE job = ? AND state IN {OPEN} AND NOT (state = 'queued' AND trigger = 'catch_up')"
            );
            let mut before: Vec<String> =
                transaction.prepare(&sql)?.query_map([job], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for run in run {
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

    /// When a job was seen first, now if it is new: for jobs that run after others.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn ensure_cursor(&self, job: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
        if let Some(at) = self.polled_at(job)? {
            return Ok(at);
        }
        self.write(|transaction| {
            transaction
                .execute("INSERT OR IGNORE INTO cursors (job, looked_at) VALUES (?, ?)", params![job, micros(now)])?;
            Ok(now)
        })
    }

    /// Forgets when somebody looked last at a job: it is not scheduled any more, and what it misses is not missed.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn drop_cursor(&self, job: &str) -> Result<()> {
        self.write(|transaction| transaction.execute("DELETE FROM cursors WHERE job = ?", [job]).map(drop))
    }

    /// Records one run that waits for its turn; false when there is one of that name.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn add_run(&self, run: &NewRun, now: DateTime<Utc>) -> Result<bool> {
        self.write(|transaction| insert(transaction, run, RunState::Queued, None, now))
    }

    /// Makes a run that has ended wait for its turn again, with as many tries as at first.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn run_again(&self, run_id: &str, max_attempts: u32, now: DateTime<Utc>) -> Result<bool> {
        self.write(|transaction| {
            let sql = "UPDATE runs SET state = 'queued', max_attempts = attempt + ?2, next_at = ?3, ended_at = NULL, error \
                       = NULL, is_stop_asked = 0 WHERE run_id = ?1 AND state IN ('failed', 'stopped', 'missed', 'skipped')";
            Ok(transaction.execute(sql, params![run_id, max_attempts, micros(now)])? == 1)
        })
    }

    /// The runs whose turn has come, the oldest first.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn ready_runs(&self, now: DateTime<Utc>) -> Result<Vec<Run>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM runs WHERE state IN ('queued', 'waiting', 'retrying') AND holder IS NULL AND \
                 next_at <= ? ORDER BY scheduled_at, run_id"
            );
            connection.prepare_cached(&sql)?.query_map([micros(now)], Run::from_row)?.collect()
        })
    }

    /// When the next run or delivery has its turn, of those that wait for an instant.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn next_due_at(&self) -> Result<Option<DateTime<Utc>>> {
        self.read(|connection| {
            let sql = "SELECT min(next_at) FROM (SELECT next_at FROM runs WHERE state IN ('queued', 'waiting', \
                       'retrying') AND holder IS NULL UNION ALL SELECT next_at FROM deliveries WHERE state = 'planned')";
            let next: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(next.map(timestamp))
        })
    }

    /// Takes a run to work on it; `None` when somebody else has it or its job, or its turn has not come. The try is
    /// recorded before it starts.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn claim(&self, run_id: &str, now: DateTime<Utc>) -> Result<Option<Run>> {
        let holder = self.holder().to_string();
        self.write(|transaction| {
            let sql = "UPDATE runs SET state = 'running', holder = ?2, attempt = attempt + 1, started_at = \
                       coalesce(started_at, ?3), next_at = NULL WHERE run_id = ?1 AND holder IS NULL AND state IN \
                       ('queued', 'waiting', 'retrying') AND next_at <= ?3 AND NOT EXISTS (SELECT 1 FROM runs other \
                       WHERE other.job = runs.job AND other.state = 'running')";
            if transaction.prepare_cached(sql)?.execute(params![run_id, holder, micros(now)])? == 0 {
                return Ok(None);
            }
            let run = find(transaction, run_id)?;
            if let Some(run) = &run {
                let sql = "INSERT OR REPLACE INTO attempts (run_id, attempt, host, started_at, outcome) VALUES \
                           (?, ?, ?, ?, 'running')";
                transaction.execute(sql, params![run_id, run.attempt, host(), micros(now)])?;
            }
            Ok(run)
        })
    }

    /// What the alerts of a run would tell if it ended now. Only one run of a job is worked on at a time, so that
    /// [`Store::finish_attempt`] finds the same.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn preview_alerts(
        &self,
        run: &Run,
        alerts: &[AlertRecord],
        now: DateTime<Utc>,
    ) -> Result<Vec<AlertNotification>> {
        self.preview_change(|transaction| alerts::record(transaction, run, alerts, now))
    }

    /// Records how a try ended, with everything that follows from it: what is to be delivered, which alerts are told.
    /// False when the run is not this process's any more.
    ///
    /// # Errors
    /// A history that cannot be written: then nothing is recorded.
    pub fn finish_attempt(
        &self,
        run: &Run,
        ended: &AttemptOutcome,
        deliveries: &[NewDelivery],
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let holder = self.holder().to_string();
        self.write(|transaction| {
            let sql = "SELECT count(*) FROM runs WHERE run_id = ? AND holder = ? AND state = 'running'";
            let is_held: bool =
                transaction.prepare_cached(sql)?.query_row(params![run.run_id, holder], |row| row.get(0))?;
            if !is_held {
                return Ok(false);
            }
            if let AttemptOutcome::Completed { alerts, .. } = ended {
                alerts::record(transaction, run, alerts, now)?;
            }
            let is_waited_for = deliveries.iter().any(|delivery| delivery.purpose.is_result());
            for delivery in deliveries {
                deliveries::insert(transaction, &run.run_id, &run.job, delivery, now)?;
            }
            let (state, next, error, attempt_outcome) = match ended {
                AttemptOutcome::Completed { note, .. } if is_waited_for => {
                    (RunState::Delivering, None, note.clone(), "made")
                }
                AttemptOutcome::Completed { note, .. } => (RunState::Succeeded, None, note.clone(), "made"),
                AttemptOutcome::Retry { at, error } => (RunState::Retrying, Some(*at), Some(error.clone()), "failed"),
                AttemptOutcome::Wait { at, reason } => (RunState::Waiting, Some(*at), Some(reason.clone()), "waited"),
                AttemptOutcome::Terminated { state, error } => (*state, None, Some(error.clone()), state.name()),
                AttemptOutcome::Released => (RunState::Queued, Some(now), None, "released"),
            };
            let (row_count, parameters) = match ended {
                AttemptOutcome::Completed { row_count, parameters, .. } => (Some(*row_count as i64), Some(parameters)),
                _ => (None, None),
            };
            let sql = "UPDATE runs SET state = ?2, next_at = ?3, ended_at = ?4, error = ?5, row_count = coalesce(?6, \
                       row_count), parameters = coalesce(?7, parameters), holder = NULL, attempt = attempt - ?8 WHERE \
                       run_id = ?1";
            let is_counted = !matches!(ended, AttemptOutcome::Wait { .. } | AttemptOutcome::Released);
            transaction.execute(
                sql,
                params![
                    run.run_id,
                    state.name(),
                    next.map(micros),
                    state.is_final().then_some(micros(now)),
                    error,
                    row_count,
                    parameters,
                    i64::from(!is_counted)
                ],
            )?;
            let sql = "UPDATE attempts SET ended_at = ?3, outcome = ?4, error = ?5 WHERE run_id = ?1 AND attempt = ?2";
            transaction.execute(sql, params![run.run_id, run.attempt, micros(now), attempt_outcome, error])?;
            Ok(true)
        })
    }

    /// Takes back what processes held that have ended, and gives the runs among it. Runs are queued again, with the try
    /// counted. Deliveries are planned again where doing them twice changes nothing; a message that may be out already is
    /// marked as uncertain.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn recover(&self, now: DateTime<Utc>) -> Result<Vec<Run>> {
        let mut recovered = Vec::new();
        for holder in self.dead_holders()? {
            recovered.extend(self.write(|transaction| {
                let error = "the process that ran it ended before it did";
                let sql = format!("SELECT {COLUMNS} FROM runs WHERE holder = ? AND state = 'running'");
                let runs: Vec<Run> =
                    transaction.prepare(&sql)?.query_map([&holder], Run::from_row)?.collect::<Result<_, _>>()?;
                for run in &runs {
                    let sql = "UPDATE attempts SET ended_at = ?3, outcome = 'lost', error = ?4 WHERE run_id = ?1 AND \
                               attempt = ?2";
                    transaction.execute(sql, params![run.run_id, run.attempt, micros(now), error])?;
                    let sql =
                        "UPDATE runs SET state = 'queued', holder = NULL, next_at = ?2, error = ?3 WHERE run_id = ?1";
                    transaction.execute(sql, params![run.run_id, micros(now), error])?;
                }
                deliveries::recover(transaction, &holder, now)?;
                Ok(runs)
            })?);
        }
        Ok(recovered)
    }

    /// Ends a run that nobody works on as failed, and plans what its owner is told.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn give_up(&self, run: &Run, error: &str, now: DateTime<Utc>, notices: Vec<NewDelivery>) -> Result<bool> {
        self.write(|transaction| {
            let sql = format!(
                "UPDATE runs SET state = 'failed', ended_at = ?2, next_at = NULL, error = ?3 WHERE run_id = ?1 AND holder \
                 IS NULL AND state IN {OPEN}"
            );
            let is_over = transaction.execute(&sql, params![run.run_id, micros(now), error])? == 1;
            if is_over {
                for delivery in &notices {
                    deliveries::insert(transaction, &run.run_id, &run.job, delivery, now)?;
                }
            }
            Ok(is_over)
        })
    }

    /// Moves the instants for which runs and deliveries wait, after the clock was set back by so much.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn shift_next_at(&self, by: chrono::Duration) -> Result<()> {
        let by = by.num_microseconds().unwrap_or(0);
        self.write(|transaction| {
            for table in ["runs", "deliveries"] {
                let sql = format!("UPDATE {table} SET next_at = next_at - ? WHERE next_at IS NOT NULL");
                transaction.execute(&sql, [by])?;
            }
            Ok(())
        })
    }

    /// Asks that a run be stopped: one that nobody works on is, another is by whoever works on it.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn request_stop(&self, run_id: &str, now: DateTime<Utc>) -> Result<()> {
        self.write(|transaction| stop_run(transaction, run_id, now))
    }

    /// Whether somebody asked that a run be stopped.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn is_stop_requested(&self, run_id: &str) -> Result<bool> {
        self.read(|connection| {
            let sql = "SELECT is_stop_asked FROM runs WHERE run_id = ?";
            Ok(connection.prepare_cached(sql)?.query_row([run_id], |row| row.get(0)).optional()?.unwrap_or(false))
        })
    }

    /// A run by its name.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn run(&self, run_id: &str) -> Result<Option<Run>> {
        self.read(|connection| find(connection, run_id))
    }

    /// The runs of a job, or of all, the newest first.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn runs(&self, job: Option<&str>, limit: usize) -> Result<Vec<Run>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM runs WHERE ?1 IS NULL OR job = ?1 ORDER BY scheduled_at DESC, recorded_at DESC, \
                 run_id DESC LIMIT ?2"
            );
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            connection.prepare_cached(&sql)?.query_map(params![job, limit], Run::from_row)?.collect()
        })
    }

    /// The runs of a job for one time.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn runs_for(&self, job: &str, scheduled_at: DateTime<Utc>) -> Result<Vec<Run>> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM runs WHERE job = ? AND scheduled_at = ? ORDER BY recorded_at");
            connection.prepare_cached(&sql)?.query_map(params![job, micros(scheduled_at)], Run::from_row)?.collect()
        })
    }

    /// The times after an instant for which a job has succeeded, the oldest first.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn succeeded_since(&self, job: &str, after: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>> {
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

fn find(connection: &rusqlite::Connection, run_id: &str) -> rusqlite::Result<Option<Run>> {
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

/// The machine's name, as far as it is known.
fn host() -> String {
    sysinfo::System::host_name().unwrap_or_default()
}

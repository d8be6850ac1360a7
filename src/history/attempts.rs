//! Attempts: a run is claimed, executed and released with an outcome; the attempts of dead processes are recovered.

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::runs::{COLUMNS, find};
use super::{AlertNotification, AlertRecord, NewDelivery, Run, RunState, Store, alerts, deliveries, micros};
use crate::error::Result;

/// The outcome of an attempt.
#[derive(Debug)]
pub(crate) enum AttemptOutcome {
    /// The results are written.
    Completed {
        /// Rows of the result.
        row_count: u64,
        /// The parameter values.
        parameters: String,
        /// A notice, such as of a failed check.
        note: Option<String>,
        /// The outcome of the alerts.
        alerts: Vec<AlertRecord>,
    },
    /// Failed; another attempt follows.
    Retry {
        /// When.
        at: DateTime<Utc>,
        /// The error.
        error: String,
    },
    /// A dependency is missing. The attempt does not count.
    Wait {
        /// When to check again.
        at: DateTime<Utc>,
        /// What it waits for.
        reason: String,
    },
    /// Failed for good, or stopped.
    Terminated {
        /// `Failed` or `Stopped`.
        state: RunState,
        /// The error.
        error: String,
    },
    /// Given up by a process that ends, so that another continues. The attempt does not count.
    Released,
}

impl Store {
    /// Claims a run and starts an attempt. `None` if another process has it, another run of its job is active, or it is
    /// not due. The attempt is recorded before it starts.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn claim(&self, run_id: &str, now: DateTime<Utc>) -> Result<Option<Run>> {
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

    /// The notifications of a run's alerts if it completed now. Only one run of a job is active at a time, so that
    /// [`Store::finish_attempt`] records the same.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn preview_alerts(
        &self,
        run: &Run,
        alerts: &[AlertRecord],
        now: DateTime<Utc>,
    ) -> Result<Vec<AlertNotification>> {
        self.preview_change(|transaction| alerts::record(transaction, run, alerts, now))
    }

    /// Records the outcome of an attempt, with its deliveries and alerts. False if the run is no longer held by this
    /// process.
    ///
    /// # Errors
    /// A history that cannot be written: then nothing is recorded.
    pub(crate) fn finish_attempt(
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
            deliveries::insert(transaction, &run.run_id, &run.job, deliveries, now)?;
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

    /// Recovers what processes that have ended held, and returns the runs among it. Runs are queued again; the attempt
    /// counts. Idempotent deliveries are planned again; a message that may have been sent becomes uncertain.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn recover(&self, now: DateTime<Utc>) -> Result<Vec<Run>> {
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
}

/// The host name; empty if it is unknown.
fn host() -> String {
    sysinfo::System::host_name().unwrap_or_default()
}

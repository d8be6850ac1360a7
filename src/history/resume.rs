//! Requests for a run of a job at a scheduled time: what is recorded, what is continued, and what is complete already.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Transaction, params};

use super::runs::{COLUMNS, insert};
use super::{NewRun, Run, RunState, Store, micros};
use crate::error::Result;

/// What a request for a run has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Requested {
    /// The run of this id is to be executed, continued, or delivered.
    Open(String),
    /// The newest run for the time has succeeded, and everything of it is delivered.
    Complete,
}

impl Store {
    /// Records a run, or continues the newest one for the same job and time:
    ///
    /// - a run whose results exist goes on delivering those that have not arrived. What failed is sent again; what may
    ///   have arrived is not;
    /// - a run that has failed or was stopped before that gets all its attempts again;
    /// - an open run is continued, with all its attempts if a process that ended has used them up;
    /// - with `again`, a run whose results exist, or that has ended, is followed by a new one.
    ///
    /// It is one transaction, so that of several callers at once one records the run and the others continue it.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn request_run(&self, run: &NewRun, again: bool, now: DateTime<Utc>) -> Result<Requested> {
        self.write(|transaction| {
            let sql = format!(
                "SELECT {COLUMNS} FROM runs WHERE job = ? AND scheduled_at = ? ORDER BY recorded_at DESC, rowid DESC LIMIT 1"
            );
            let newest: Option<Run> = transaction
                .prepare_cached(&sql)?
                .query_row(params![run.job, micros(run.scheduled_at)], Run::from_row)
                .optional()?;
            let Some(newest) = newest else {
                add_numbered(transaction, run, now)?;
                return Ok(Requested::Open(run.run_id.clone()));
            };
            match newest.state {
                state if again && (state.is_final() || state == RunState::Delivering) => {
                    return Ok(Requested::Open(add_numbered(transaction, run, now)?));
                }
                RunState::Succeeded => return Ok(Requested::Complete),
                RunState::Delivering => deliver_again(transaction, &newest.run_id, now)?,
                RunState::Failed if has_undelivered(transaction, &newest.run_id)? => {
                    deliver_again(transaction, &newest.run_id, now)?;
                }
                _ => run_again(transaction, &newest, run.max_attempts, now)?,
            }
            Ok(Requested::Open(newest.run_id))
        })
    }
}

/// Records a run under its id, or under that id and the first number that is free.
fn add_numbered(transaction: &Transaction<'_>, run: &NewRun, now: DateTime<Utc>) -> rusqlite::Result<String> {
    let mut numbered = run.clone();
    let mut number = 1;
    while !insert(transaction, &numbered, RunState::Queued, None, now)? {
        number += 1;
        numbered.run_id = format!("{}-{number}", run.run_id);
    }
    Ok(numbered.run_id)
}

/// Whether results of a run exist that failed to arrive, or that may have arrived or not.
fn has_undelivered(transaction: &Transaction<'_>, run_id: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM deliveries WHERE run_id = ? AND purpose IN ('result', 'alert') AND state IN \
               ('failed', 'uncertain')";
    transaction.prepare_cached(sql)?.query_row([run_id], |row| row.get(0))
}

/// Plans the failed deliveries of a run again, and gives those that wait all their attempts again.
fn deliver_again(transaction: &Transaction<'_>, run_id: &str, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET state = 'planned', next_at = ?2, planned_at = ?2, tries = 0, error = NULL WHERE \
               run_id = ?1 AND state = 'failed' AND purpose IN ('result', 'alert')";
    let again = transaction.execute(sql, params![run_id, micros(now)])?;
    transaction.execute("UPDATE deliveries SET tries = 0 WHERE run_id = ? AND state = 'planned'", [run_id])?;
    if again > 0 {
        let sql =
            "UPDATE runs SET state = 'delivering', ended_at = NULL, error = NULL WHERE run_id = ? AND state = 'failed'";
        transaction.execute(sql, [run_id])?;
    }
    Ok(())
}

/// Queues a run that has ended, with all its attempts; an open one that no process executes has at least one left.
fn run_again(transaction: &Transaction<'_>, run: &Run, max_attempts: u32, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let attempts = run.attempt.saturating_add(max_attempts);
    if run.state.is_final() {
        let sql = "UPDATE runs SET state = 'queued', max_attempts = ?2, next_at = ?3, ended_at = NULL, error = NULL, \
                   is_stop_asked = 0 WHERE run_id = ?1";
        transaction.execute(sql, params![run.run_id, attempts, micros(now)])?;
    } else {
        let sql = "UPDATE runs SET max_attempts = ?2 WHERE run_id = ?1 AND holder IS NULL AND attempt >= max_attempts";
        transaction.execute(sql, params![run.run_id, attempts])?;
    }
    Ok(())
}

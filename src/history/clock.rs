//! When the history was last in use, by which a clock that is far ahead is recognized.

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::{Store, micros, timestamp};
use crate::error::Result;

/// The cursor of the scheduler itself; no job has an empty name.
const SCHEDULER: &str = "";

impl Store {
    /// The newest time up to `now` at which the history is known to have been in use; `None` for a new one. What was
    /// recorded by a clock that was ahead does not count.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn used_at(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        self.read(|connection| {
            let sql = "SELECT max(at) FROM (SELECT looked_at AS at FROM cursors UNION ALL SELECT recorded_at FROM runs) \
                       WHERE at <= ?";
            let newest: Option<i64> = connection.prepare_cached(sql)?.query_row([micros(now)], |row| row.get(0))?;
            Ok(newest.map(timestamp))
        })
    }

    /// Records that a scheduler uses the history now.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn mark_used(&self, now: DateTime<Utc>) -> Result<()> {
        self.write(|transaction| {
            let sql = "INSERT INTO cursors (job, looked_at) VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET looked_at = \
                       excluded.looked_at";
            transaction.execute(sql, params![SCHEDULER, micros(now)]).map(drop)
        })
    }
}

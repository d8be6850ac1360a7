//! The history of jobs, a SQLite database: runs, attempts, deliveries and alerts. Each change is one durable
//! transaction, so that the history is consistent after a crash at any point. SQL reads it as `system.runs`,
//! `system.deliveries` and the other tables of [`system`].
//!
//! Ownership: a process that works on a run or delivery writes its name into the column `holder` and keeps an exclusive
//! lock on a file of that name. The operating system releases the lock when the process ends, however it ends. So the
//! work of a dead process is detected at once and without a clock, and a suspended process keeps its own.

mod alerts;
mod attempts;
mod clock;
mod deliveries;
mod resume;
mod runs;
pub(crate) mod system;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior};

pub(crate) use self::alerts::{AlertNotification, AlertRecord};
pub(crate) use self::attempts::AttemptOutcome;
pub(crate) use self::deliveries::{Content, Delivery, DeliveryKind, DeliveryState, NewDelivery, Purpose};
pub(crate) use self::resume::Requested;
pub(crate) use self::runs::{NewRun, Run, RunState, Trigger};
use crate::error::{Error, Result};
use crate::temporary::remove_unlocked;

/// Path of the history in a project folder.
pub(crate) const FILE_NAME: &str = ".cxql/jobs.db";

/// Version of the table layout; a file with a newer one is rejected.
const LAYOUT: i64 = 2;

/// How long to wait for a lock that another process holds on the file.
const BUSY: Duration = Duration::from_secs(20);

const TABLES: &str = "
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, job TEXT NOT NULL, report TEXT NOT NULL, scheduled_at INTEGER NOT NULL,
    trigger TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, max_attempts INTEGER NOT NULL,
    parameters TEXT, holder TEXT, is_stop_asked INTEGER NOT NULL DEFAULT 0, recorded_at INTEGER NOT NULL,
    next_at INTEGER, started_at INTEGER, ended_at INTEGER, row_count INTEGER, error TEXT);
CREATE INDEX runs_by_job ON runs (job, scheduled_at);
CREATE INDEX runs_by_state ON runs (state);
CREATE TABLE attempts (
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, host TEXT NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER,
    outcome TEXT NOT NULL, error TEXT, PRIMARY KEY (run_id, attempt));
CREATE TABLE deliveries (
    delivery_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, job TEXT NOT NULL, purpose TEXT NOT NULL, kind TEXT NOT NULL,
    target TEXT NOT NULL, recipients TEXT NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, holder TEXT,
    planned_at INTEGER NOT NULL, next_at INTEGER, sent_at INTEGER, removed_at INTEGER, message_id TEXT,
    sha256 TEXT NOT NULL, byte_count INTEGER NOT NULL, is_repeatable INTEGER NOT NULL, slot TEXT, keep INTEGER,
    file TEXT, content BLOB, is_told INTEGER NOT NULL DEFAULT 1, error TEXT);
CREATE INDEX deliveries_by_run ON deliveries (run_id);
CREATE INDEX deliveries_by_state ON deliveries (state);
CREATE TABLE alerts (
    run_id TEXT NOT NULL, job TEXT NOT NULL, alert TEXT NOT NULL, severity TEXT NOT NULL, section INTEGER NOT NULL,
    bad_group TEXT NOT NULL, evaluated_at INTEGER NOT NULL, is_met INTEGER NOT NULL, is_told INTEGER NOT NULL,
    figures TEXT NOT NULL);
CREATE INDEX alerts_by_job ON alerts (job, alert);
CREATE TABLE alert_states (
    job TEXT NOT NULL, alert TEXT NOT NULL, bad_group TEXT NOT NULL, good_runs INTEGER NOT NULL,
    since INTEGER NOT NULL, PRIMARY KEY (job, alert, bad_group));
CREATE TABLE cursors (job TEXT PRIMARY KEY, looked_at INTEGER NOT NULL);
";

/// What layout 2 adds: a content that many deliveries share is stored once, and work among many deliveries is found by
/// an index.
const TABLES_2: &str = "
CREATE TABLE contents (content_id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
ALTER TABLE deliveries ADD COLUMN shared INTEGER;
DROP INDEX deliveries_by_run;
CREATE INDEX deliveries_by_run ON deliveries (run_id, state);
CREATE INDEX deliveries_by_shared ON deliveries (shared) WHERE shared IS NOT NULL;
CREATE INDEX deliveries_by_holder ON deliveries (holder) WHERE holder IS NOT NULL;
CREATE INDEX deliveries_by_told ON deliveries (is_told) WHERE is_told = 0;
CREATE INDEX runs_by_holder ON runs (holder) WHERE holder IS NOT NULL;
";

/// The history, opened for writing.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Mutex<Connection>,
    path: PathBuf,
    holder: Holder,
    /// The file that was opened.
    identity: Option<(u64, u64)>,
    /// What was found at its path.
    origin: Origin,
}

/// What was at the path of a history before it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A history.
    Known,
    /// Nothing, in a folder that no history was in.
    New,
    /// Nothing, in a folder that a history was in.
    Vanished,
    /// A file without anything in it.
    Empty,
}

/// Device and inode of the file at a path, by which one that was replaced is recognized; `None` if there is none. Where
/// the system has no such numbers, all files have the same.
fn file_identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Some((0, 0))
    }
}

/// This process's lock file, by which others see that it is alive.
#[derive(Debug)]
struct Holder {
    name: String,
    path: PathBuf,
    _lock: File,
}

impl Drop for Holder {
    fn drop(&mut self) {
        // a file that remains is removed by the next process that checks it
        let _ = fs::remove_file(&self.path);
    }
}

/// Turns to the write-ahead log. SQLite does not wait for another process that does the same with a new file.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    let started = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(rusqlite::Error::SqliteFailure(error, _))
                if error.code == rusqlite::ErrorCode::DatabaseBusy && started.elapsed() < BUSY =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

impl Store {
    /// Opens the history, and creates it if the file does not exist.
    ///
    /// # Errors
    /// A path that cannot be written, a file that is no history or was written by a newer program.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let made = |folder: &Path| {
            fs::create_dir_all(folder).map_err(|cause| Error::Io { action: "make", path: folder.into(), cause })
        };
        made(folder)?;
        let origin = match fs::metadata(path) {
            Ok(metadata) if metadata.len() == 0 => Origin::Empty,
            Ok(_) => Origin::Known,
            Err(_) if holders(path).exists() => Origin::Vanished,
            Err(_) => Origin::New,
        };
        made(&holders(path))?;
        let failed = failed(path, "open");
        let mut connection = Connection::open(path).map_err(&failed)?;
        connection.busy_timeout(BUSY).map_err(&failed)?;
        // a commit is on the disk even if the machine loses power
        use_write_ahead_log(&connection).map_err(&failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(&failed)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let layout = layout(&transaction, path)?;
        if layout < 1 {
            transaction.execute_batch(TABLES).map_err(&failed)?;
        }
        if layout < LAYOUT {
            transaction.execute_batch(TABLES_2).map_err(&failed)?;
            transaction.pragma_update(None, "user_version", LAYOUT).map_err(&failed)?;
        }
        transaction.commit().map_err(&failed)?;
        remove_dead_holders(path);
        let holder = Holder::new(path)?;
        let identity = file_identity(path);
        Ok(Self { connection: Mutex::new(connection), path: path.to_path_buf(), holder, identity, origin })
    }

    /// What was found at its path when it was opened.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// Checks that the file is still the one that was opened: SQLite goes on writing to a file that was removed.
    ///
    /// # Errors
    /// A file that was removed or replaced.
    pub(crate) fn check_file(&self) -> Result<()> {
        if file_identity(&self.path) == self.identity {
            return Ok(());
        }
        Err(Error::data(format!(
            "the history {} was removed or replaced while the program used it; what has run and what was sent is not known \
             any more. Restore it, or start again with an empty one",
            self.path.display()
        )))
    }

    /// The folder that holds the results of a run until they are delivered.
    pub(crate) fn staging(&self, run_id: &str) -> PathBuf {
        folder_of(&self.path).join("runs").join(run_id)
    }

    /// The folder of the history; paths of staged files are relative to it.
    pub(crate) fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// This process's name in `holder` columns.
    pub(crate) fn holder(&self) -> &str {
        &self.holder.name
    }

    /// Runs a change in one transaction.
    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let failed = failed(&self.path, "write");
        self.check_file()?;
        let mut connection = self.connection.lock();
        // the write lock is taken first, so that what is read here stays true until the commit
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let value = change(&transaction).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(value)
    }

    /// Returns what a change would return, and rolls it back.
    fn preview_change<T>(&self, change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let failed = failed(&self.path, "read");
        let mut connection = self.connection.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        // a dropped transaction is rolled back
        change(&transaction).map_err(&failed)
    }

    /// Runs a query.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        query(&self.connection.lock()).map_err(failed(&self.path, "read"))
    }

    /// Whether the process of this name is alive.
    fn is_alive(&self, holder: &str) -> bool {
        if holder == self.holder.name {
            return true;
        }
        let path = holders(&self.path).join(format!("{holder}.lock"));
        let Ok(file) = File::open(&path) else { return false };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => true,
            // unknown whether it is locked: a late recovery is better than running it twice
            Err(TryLockError::Error(_)) => true,
            Ok(()) => {
                // names are never reused
                let _ = fs::remove_file(&path);
                false
            }
        }
    }

    /// The names in `holder` columns whose processes have ended.
    fn dead_holders(&self) -> Result<Vec<String>> {
        let holders: Vec<String> = self.read(|connection| {
            let sql = "SELECT holder FROM runs WHERE holder IS NOT NULL UNION \
                       SELECT holder FROM deliveries WHERE holder IS NOT NULL";
            connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        })?;
        Ok(holders.into_iter().filter(|holder| !self.is_alive(holder)).collect())
    }

    /// When a job was last polled for due runs; `None` if never.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn polled_at(&self, job: &str) -> Result<Option<DateTime<Utc>>> {
        self.read(|connection| {
            let sql = "SELECT looked_at FROM cursors WHERE job = ?";
            let found: Option<i64> = connection.prepare_cached(sql)?.query_row([job], |row| row.get(0)).optional()?;
            Ok(found.map(timestamp))
        })
    }

    /// Removes runs that ended before `before`, with their staged files. Runs with open deliveries or outputs that are
    /// still kept stay. Returns how many were removed.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn prune(&self, before: DateTime<Utc>) -> Result<usize> {
        let before = micros(before);
        let old: Vec<String> = self.write(|transaction| {
            let sql = "SELECT run_id FROM runs WHERE ended_at < ?1 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE \
                       d.run_id = runs.run_id AND (d.state IN ('planned', 'claimed', 'sending') OR \
                       (d.keep IS NOT NULL AND d.removed_at IS NULL)))";
            let old: Vec<String> =
                transaction.prepare(sql)?.query_map([before], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for run in &old {
                for table in ["deliveries", "attempts", "alerts", "runs"] {
                    transaction.execute(&format!("DELETE FROM {table} WHERE run_id = ?"), [run])?;
                }
            }
            let sql =
                "DELETE FROM contents WHERE content_id NOT IN (SELECT shared FROM deliveries WHERE shared IS NOT NULL)";
            transaction.execute(sql, [])?;
            Ok(old)
        })?;
        for run in &old {
            let _ = fs::remove_dir_all(self.staging(run));
        }
        Ok(old.len())
    }
}

impl Holder {
    fn new(store: &Path) -> Result<Self> {
        loop {
            let name = format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
            let path = holders(store).join(format!("{name}.lock"));
            let failed = |cause| Error::Io { action: "lock", path: path.clone(), cause };
            let lock = File::create_new(&path).map_err(failed)?;
            match lock.try_lock() {
                Ok(()) if path.exists() => return Ok(Self { name, path, _lock: lock }),
                // another process took it for one of a process that has ended
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            }
        }
    }
}

/// Removes the lock files of processes that have ended without it.
fn remove_dead_holders(store: &Path) {
    for entry in fs::read_dir(holders(store)).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "lock") {
            // names are never reused
            remove_unlocked(&entry.path());
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn holders(store: &Path) -> PathBuf {
    folder_of(store).join("holders")
}

fn failed(path: &Path, action: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    let path = path.to_path_buf();
    move |cause| Error::History { action, path: path.clone(), cause: Box::new(cause) }
}

/// The version of the layout; 0 for a file that was just created.
fn layout(connection: &Connection, path: &Path) -> Result<i64> {
    let failed = failed(path, "open");
    let version = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map_err(&failed)?;
    match version {
        0 => {
            let sql = "SELECT count(*) FROM sqlite_master";
            let is_used: bool = connection.query_row(sql, [], |row| row.get(0)).map_err(&failed)?;
            if is_used {
                return Err(Error::usage(format!(
                    "{} is a database and no history of jobs; name another file by `store` in [jobs]",
                    path.display()
                )));
            }
            Ok(0)
        }
        known @ 1..=LAYOUT => Ok(known),
        newer => Err(Error::usage(format!(
            "{} was written by a newer cxql (layout {newer}, this one knows {LAYOUT}); use that one",
            path.display()
        ))),
    }
}

/// Opens the history for reading; `None` if it does not exist or has no tables yet.
fn open_to_read(path: &Path) -> Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed(path, "open"))?;
    connection.busy_timeout(BUSY).map_err(failed(path, "open"))?;
    Ok((layout(&connection, path)? > 0).then_some(connection))
}

fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

fn timestamp(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
}

fn timestamp_column(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<DateTime<Utc>>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(timestamp))
}

#[cfg(test)]
mod tests;

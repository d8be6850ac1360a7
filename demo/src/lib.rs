//! Sample data of a contact centre: one year of contacts with planted effects, at any size.
//!
//! [`write()`] writes the seven tables of the interaction model as Parquet: a folder `interactions/` with files in time
//! order and one file for each other table. They cover 2025-01-01 to 2025-12-31 UTC, independent of the current date.
//! The same [`Options`] produce the same bytes. The planted effects and their sizes are described in `data/README.md` and
//! defined as constants in `demo/src/story.rs`.
//!
//! The year is simulated day by day: contacts arrive, wait, are resolved or not; unresolved contacts come back days
//! later; contacts lead to surveys, clicks, orders, agent states, and customers who leave. Memory grows with the number
//! of customers (12 bytes each) and the rows of a day. Each table is encoded on its own thread.
//!
//! ```
//! let folder = tempfile::tempdir()?;
//! let options = cxql_demo::Options { contacts: 100, seed: 1 };
//! let summary = cxql_demo::write(folder.path(), &options, &mut |_| {})?;
//! assert_eq!(summary.tables[0].table, "interactions");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod simulation;
mod story;
mod tables;
mod text;
mod world;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use thiserror::Error;

use simulation::Simulation;

/// The maximum number of contacts: customer numbers still fit into 32 bits, and memory is about 2 GB.
pub const CONTACTS_MAX: u64 = 1_000_000_000;

/// The names of the tables in the target folder.
const TABLES: [&str; 7] = ["interactions", "surveys", "customers", "orders", "events", "agents", "agent_states"];

/// The start of the names of hidden folders.
const HIDDEN: &str = ".cxql-demo-";

/// The file in a hidden folder that its process holds a lock on.
const LOCK: &str = "lock";

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of distinct contacts. Planted duplicates add 0.3 % more rows to `interactions`.
    pub contacts: u64,
    /// Seed of the random numbers. Another seed produces other data with the same effects.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { contacts: 20_000, seed: 1 }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The tables, `interactions` first.
    pub tables: Vec<TableSummary>,
}

impl Summary {
    /// Number of files of all tables.
    pub fn files(&self) -> u64 {
        self.tables.iter().map(|table| table.files).sum()
    }

    /// Number of rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Size of all tables in bytes.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// What was written of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSummary {
    /// The table's name.
    pub table: &'static str,
    /// Number of Parquet files.
    pub files: u64,
    /// Number of rows.
    pub rows: u64,
    /// Size of its files in bytes.
    pub bytes: u64,
}

/// Errors of [`write()`]. On every error the target folder is left unchanged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The number of contacts is out of range.
    #[error("cannot write {contacts} contacts: ask for 1 to {CONTACTS_MAX}")]
    Contacts {
        /// The requested number.
        contacts: u64,
    },
    /// A file or folder of that name exists already and would be overwritten.
    #[error("'{}' exists already: remove it, or choose another folder", path.display())]
    Exists {
        /// The existing file or folder.
        path: PathBuf,
    },
    /// The target is a file.
    #[error("'{}' is not a folder: choose a folder, new or existing", path.display())]
    NotAFolder {
        /// The target.
        path: PathBuf,
    },
    /// An I/O error.
    #[error("cannot write '{}': {source}; check that the folder is writable and the disk is not full", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Parquet cannot be written.
    #[error("cannot write '{}' as Parquet: {source}; check that the disk is not full", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The error of the Parquet writer.
        source: ParquetError,
    },
}

/// Writes sample data into the folder `dir`. The folder may exist if it contains none of the tables yet.
///
/// `progress` is called repeatedly with the number of contacts so far. The data is written atomically: to a hidden
/// temporary folder on the same file system, which is renamed at the end.
///
/// # Errors
///
/// See [`DemoError`].
pub fn write(dir: &Path, options: &Options, progress: &mut dyn FnMut(u64)) -> Result<Summary, DemoError> {
    if !(1..=CONTACTS_MAX).contains(&options.contacts) {
        return Err(DemoError::Contacts { contacts: options.contacts });
    }
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let is_new = refuse_to_overwrite(dir)?;
    // An existing folder may be a mount point: then only paths inside it are on the same file system.
    let beside = if is_new { parent(dir) } else { dir };
    let io_error = |path: &Path| {
        let path = path.to_path_buf();
        |source| DemoError::Io { path, source }
    };
    let created = if is_new { create_missing(beside)? } else { Vec::new() };
    let result = stage(dir, beside, is_new, options, progress, &io_error);
    if result.is_err() {
        // Remove the created parents, deepest first. Removal fails for one that is in use by now.
        for folder in created.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
    result
}

fn stage<F: FnOnce(io::Error) -> DemoError>(
    dir: &Path,
    beside: &Path,
    is_new: bool,
    options: &Options,
    progress: &mut dyn FnMut(u64),
    io_error: &impl Fn(&Path) -> F,
) -> Result<Summary, DemoError> {
    let hidden = tempfile::Builder::new().prefix(HIDDEN).tempdir_in(beside).map_err(io_error(beside))?;
    let _lock = lock(hidden.path()).map_err(io_error(hidden.path()))?;
    remove_left_over(beside);
    // A subfolder: the temporary folder is private to its owner, the data has default permissions.
    let staged = hidden.path().join("data");
    fs::create_dir(&staged).map_err(io_error(&staged))?;
    let tables = Simulation::new(&staged, options)?.run(&staged, progress)?;
    if is_new {
        fs::rename(&staged, dir).map_err(io_error(dir))?;
    } else {
        refuse_to_overwrite(dir)?;
        move_into(&staged, dir)?;
    }
    Ok(Summary { tables })
}

/// Locks a hidden folder until its process ends; `None` on a file system without locks. The lock has its name only while it
/// is locked.
fn lock(hidden: &Path) -> io::Result<Option<File>> {
    let new = hidden.join("new");
    let lock = File::create_new(&new)?;
    match lock.try_lock() {
        Ok(()) => fs::rename(&new, hidden.join(LOCK)).map(|()| Some(lock)),
        Err(_) => fs::remove_file(&new).map(|()| None),
    }
}

/// Removes the hidden folders that killed processes left in a folder.
fn remove_left_over(beside: &Path) {
    for entry in fs::read_dir(beside).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(HIDDEN.as_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_ours && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            // what cannot be removed is tried by the next process
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The parent folder of `dir`.
fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Creates the missing folders of a path and returns them, outermost first.
fn create_missing(path: &Path) -> Result<Vec<PathBuf>, DemoError> {
    let missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|folder| *folder != Path::new("") && !folder.exists())
        .map(Path::to_path_buf)
        .collect();
    fs::create_dir_all(path).map_err(|source| DemoError::Io { path: path.to_path_buf(), source })?;
    Ok(missing.into_iter().rev().collect())
}

/// Returns true if the folder does not exist yet, and an error if a table would be overwritten.
fn refuse_to_overwrite(dir: &Path) -> Result<bool, DemoError> {
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // `metadata` does not see a dangling link, but it would make the rename fail.
            return match fs::symlink_metadata(dir) {
                Ok(_) => Err(DemoError::NotAFolder { path: dir.to_path_buf() }),
                Err(_) => Ok(true),
            };
        }
        Err(source) => return Err(DemoError::Io { path: dir.to_path_buf(), source }),
        Ok(metadata) if !metadata.is_dir() => return Err(DemoError::NotAFolder { path: dir.to_path_buf() }),
        Ok(_) => {}
    }
    for table in TABLES {
        // Check both layouts: a folder and a file of the same name would be the same table twice.
        for path in [dir.join(table), dir.join(format!("{table}.parquet"))] {
            if fs::symlink_metadata(&path).is_ok() {
                return Err(DemoError::Exists { path });
            }
        }
    }
    Ok(false)
}

/// Moves all entries of `from` into `to`; on failure moved entries are moved back.
fn move_into(from: &Path, to: &Path) -> Result<(), DemoError> {
    let mut moved: Vec<PathBuf> = Vec::new();
    let mut move_all = || {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            fs::rename(entry.path(), &target)?;
            moved.push(target);
        }
        Ok(())
    };
    let result: io::Result<()> = move_all();
    result.map_err(|source| {
        for target in &moved {
            if let Some(name) = target.file_name() {
                // Back into the temporary folder, which is removed.
                let _ = fs::rename(target, from.join(name));
            }
        }
        DemoError::Io { path: to.to_path_buf(), source }
    })
}

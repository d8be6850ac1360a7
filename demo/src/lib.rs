//! Sample data: a year of contacts with a story, at any size.
//!
//! [`write()`] writes the seven tables of the interaction model as Parquet: a folder `interactions/` with files in order of
//! time and one file for each other table. The span is 2025-01-01 to 2025-12-31 UTC, whatever the day it runs on. The same
//! contacts and seed give the same bytes. What is planted in the data, with its size, stands in `data/README.md`
//! and, as constants, in `demo/src/story.rs`.
//!
//! The year is played day by day, so memory grows with customers (12 bytes each) and with a day's rows, not with the year:
//! contacts arrive, wait, are solved or not; what is not solved comes back days later; from each follow surveys, clicks,
//! orders, the states of agents, and customers who leave. Each table is encoded on a thread of its own.

mod simulation;
mod story;
mod tables;
mod text;
mod world;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use thiserror::Error;

use simulation::Simulation;

/// The most contacts that can be asked for: customers' numbers still fit, at about 2 GB of memory.
pub const CONTACTS_MAX: u64 = 1_000_000_000;

/// The tables, as they are named in the folder.
const TABLES: [&str; 7] = ["interactions", "surveys", "customers", "orders", "events", "agents", "agent_states"];

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many different contacts. A few are written twice on purpose, so `interactions` has 0.3 % more rows.
    pub contacts: u64,
    /// Another seed gives other data with the same story.
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
    /// Each table, `interactions` first.
    pub tables: Vec<TableSummary>,
}

impl Summary {
    /// Files of all tables.
    pub fn files(&self) -> u64 {
        self.tables.iter().map(|table| table.files).sum()
    }

    /// Rows of all tables.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Bytes of all tables.
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// What was written of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSummary {
    /// The table's name.
    pub table: &'static str,
    /// Its Parquet files.
    pub files: u64,
    /// Its rows.
    pub rows: u64,
    /// The size of its files.
    pub bytes: u64,
}

/// Why no sample data was written. In every case the folder is as it was before.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The number of contacts is out of range.
    #[error("cannot write {contacts} contacts: ask for 1 to {CONTACTS_MAX}")]
    Contacts {
        /// The number asked for.
        contacts: u64,
    },
    /// There is something in the way that would have to be overwritten.
    #[error("'{}' exists already: remove it, or choose another folder", path.display())]
    Exists {
        /// What is in the way.
        path: PathBuf,
    },
    /// The target is a file.
    #[error("'{}' is not a folder: choose a folder, new or existing", path.display())]
    NotAFolder {
        /// The target.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write '{}': {source}; check that the folder is writable and the disk is not full", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Parquet could not be written.
    #[error("cannot write '{}' as Parquet: {source}; check that the disk is not full", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        source: ParquetError,
    },
}

/// Writes sample data into the folder `dir`, which may exist if it has no table of these names yet.
///
/// `progress` is told from time to time how many contacts there are so far. The data appears whole or not at all: it is
/// written to a hidden temporary folder on the same file system and moved in the end.
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
    // A folder that exists may be a mount point: then only a place inside it is on the same file system.
    let beside = if is_new { parent(dir) } else { dir };
    let io_error = |path: &Path| {
        let path = path.to_path_buf();
        |source| DemoError::Io { path, source }
    };
    let created = if is_new { create_missing(beside)? } else { Vec::new() };
    let result = stage(dir, beside, is_new, options, progress, &io_error);
    if result.is_err() {
        // Parents that were made for nothing; deepest first. One that is in use by now stays.
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
    let hidden = tempfile::Builder::new().prefix(".cxql-demo-").tempdir_in(beside).map_err(io_error(beside))?;
    // A folder within: the temporary one is private to its owner, the data has the usual permissions.
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

/// The folder that holds `dir`.
fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Creates the folders of a path that are missing and says which, outermost first.
fn create_missing(path: &Path) -> Result<Vec<PathBuf>, DemoError> {
    let missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|folder| *folder != Path::new("") && !folder.exists())
        .map(Path::to_path_buf)
        .collect();
    fs::create_dir_all(path).map_err(|source| DemoError::Io { path: path.to_path_buf(), source })?;
    Ok(missing.into_iter().rev().collect())
}

/// True when the folder does not exist yet; an error when something is in the way.
fn refuse_to_overwrite(dir: &Path) -> Result<bool, DemoError> {
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link to nowhere is not there by `metadata`, but in the way of a rename.
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
        // Both forms of a table's name: a folder and a file of one name would be one table twice.
        for path in [dir.join(table), dir.join(format!("{table}.parquet"))] {
            if fs::symlink_metadata(&path).is_ok() {
                return Err(DemoError::Exists { path });
            }
        }
    }
    Ok(false)
}

/// Moves everything in `from` into `to`; on failure what was moved is taken out again.
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
                // Back into the temporary folder, which is removed with all it holds.
                let _ = fs::rename(target, from.join(name));
            }
        }
        DemoError::Io { path: to.to_path_buf(), source }
    })
}

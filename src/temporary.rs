//! Temporary files and folders, which become something else or go with their process.
//!
//! A process holds a lock on each while it writes it. A killed process cannot remove its own; its locks end with it, so that
//! the next writer to the same folder removes what it left behind and never what a living process writes. What has not our
//! name, or is on a file system without locks, is left alone (docs/decisions/design.md#temporary-files).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, TempPath};

/// The end of the names of temporary files, which begin with a dot.
const SUFFIX: &str = ".cxql.tmp";

/// The file in a temporary folder that its process holds a lock on.
const LOCK: &str = "lock";

/// The longest file name that a temporary name repeats; names have at most 255 bytes.
const MAX_NAME_BYTES: usize = 200;

/// Another process may remove a file between its creation and its lock; each time is as unlikely.
const TRIES: usize = 8;

/// A new temporary file that is locked until it, and all its clones, are closed.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    /// Where bytes are written to.
    pub(crate) file: File,
    /// Its path. Dropping it removes the file.
    pub(crate) path: TempPath,
}

impl TemporaryFile {
    /// Creates a file in the folder of `target`, which it may be renamed to, and removes the files that killed processes
    /// left there. Only its owner can read it, unless `is_shared`: then the system's mask applies as for every new file.
    ///
    /// # Errors
    /// A folder in which no file can be created.
    pub(crate) fn beside(target: &Path, is_shared: bool) -> io::Result<Self> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        remove_left_over_files(folder);
        let mut prefix = OsString::from(".");
        prefix.push(target.file_name().filter(|name| name.len() <= MAX_NAME_BYTES).unwrap_or(OsStr::new("cxql")));
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX);
        #[cfg(unix)]
        if is_shared {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        #[cfg(not(unix))]
        let _ = is_shared;
        for _ in 0..TRIES {
            let (file, path) = builder.tempfile_in(folder)?.into_parts();
            if is_kept(&file, &path) {
                return Ok(Self { file, path });
            }
        }
        Err(io::Error::other("other processes remove temporary files while they are created"))
    }

    /// Renames the file to `target`, and replaces what is there.
    ///
    /// # Errors
    /// A rename that the system refuses.
    pub(crate) fn persist(self, target: &Path) -> io::Result<()> {
        // locked until it has its name
        let Self { file, path } = self;
        path.persist(target).map_err(|error| error.error)?;
        drop(file);
        Ok(())
    }
}

/// Locks a file that was just created. False if another process has taken it for one that was left over.
fn is_kept(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        // names are random: what is there is this file
        Ok(()) => path.exists(),
        Err(TryLockError::WouldBlock) => false,
        // without locks on this file system nobody can take it either
        Err(TryLockError::Error(_)) => true,
    }
}

/// Removes the file if nobody holds a lock on it. Returns true if it is gone.
pub(crate) fn remove_unlocked(path: &Path) -> bool {
    // a pipe of that name would block
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return false;
    }
    let Ok(file) = File::open(path) else { return false };
    file.try_lock().is_ok() && fs::remove_file(path).is_ok()
}

fn remove_left_over_files(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(SUFFIX.as_bytes()) {
            remove_unlocked(&entry.path());
        }
    }
}

/// A new temporary folder that is locked until it is dropped, which removes it.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    folder: TempDir,
    lock: Option<File>,
}

impl TemporaryFolder {
    /// Creates a folder in `parent` whose name begins with `prefix`, and removes the folders of that prefix that killed
    /// processes of this user left there.
    ///
    /// # Errors
    /// A folder that cannot be created.
    pub(crate) fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
        remove_left_over_folders(parent, prefix, folder.path());
        let lock = lock_folder(folder.path())?;
        Ok(Self { folder, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of the folder, which is not locked and not removed any more.
    pub(crate) fn keep(mut self) -> PathBuf {
        // some systems do not remove a locked file
        self.lock = None;
        self.folder.keep()
    }
}

/// The lock of a folder, which is there only while it is locked; `None` on a file system without locks.
fn lock_folder(folder: &Path) -> io::Result<Option<File>> {
    let new = folder.join("new");
    let lock = File::create_new(&new)?;
    match lock.try_lock() {
        Ok(()) => fs::rename(&new, folder.join(LOCK)).map(|()| Some(lock)),
        Err(_) => fs::remove_file(&new).map(|()| None),
    }
}

fn remove_left_over_folders(parent: &Path, prefix: &str, own: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
        if !is_ours || path == own || !has_same_owner(&path, own) {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            drop(lock);
            // a file that cannot be removed is tried by the next process
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Whether both are folders, and of the same user: a folder for temporary files is shared with others.
fn has_same_owner(one: &Path, other: &Path) -> bool {
    let (Ok(one), Ok(other)) = (fs::symlink_metadata(one), fs::symlink_metadata(other)) else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        one.is_dir() && one.uid() == other.uid()
    }
    #[cfg(not(unix))]
    {
        one.is_dir() && other.is_dir()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_without_a_writer_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // as a killed process leaves them, and what others may have there
        fs::write(at(".out.csv.x1y2z3.cxql.tmp"), "half").unwrap();
        for name in [".out.csv.x1y2z3.tmp", "out.cxql.tmp", ".other.cxql.tmp.bak", "out.csv"] {
            fs::write(at(name), "theirs").unwrap();
        }
        fs::create_dir(at(".folder.cxql.tmp")).unwrap();
        let living = TemporaryFile::beside(&at("out.csv"), true).unwrap();
        let living_name = living.path.file_name().unwrap().to_str().unwrap().to_string();
        assert!(living_name.starts_with(".out.csv.") && living_name.ends_with(SUFFIX), "{living_name}");
        let theirs = [".folder.cxql.tmp", ".other.cxql.tmp.bak", ".out.csv.x1y2z3.tmp", "out.csv", "out.cxql.tmp"];
        let mut expected: Vec<String> = theirs.map(String::from).to_vec();
        expected.push(living_name);
        expected.sort();
        assert_eq!(names(folder.path()), expected);
        // another writer to the folder leaves the living one its file
        TemporaryFile::beside(&at("next.csv"), false).unwrap().persist(&at("next.csv")).unwrap();
        assert!(living.path.exists());
        living.persist(&at("out.csv")).unwrap();
        expected = theirs.map(String::from).to_vec();
        expected.push("next.csv".into());
        expected.sort();
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn folders_without_a_process_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".spill-killed", ".spill-other", "other-killed"] {
            fs::create_dir_all(at(name).join("inner")).unwrap();
        }
        fs::write(at(".spill-killed/lock"), "").unwrap();
        fs::write(at("other-killed/lock"), "").unwrap();
        let living = TemporaryFolder::new(folder.path(), ".spill-").unwrap();
        let next = TemporaryFolder::new(folder.path(), ".spill-").unwrap();
        assert!(living.path().join(LOCK).exists() && next.path().join(LOCK).exists());
        drop(next);
        let kept = living.keep();
        assert!(kept.exists());
        drop(TemporaryFolder::new(folder.path(), ".spill-").unwrap());
        // without a lock it is unknown whose it is
        assert_eq!(names(folder.path()), [".spill-other", "other-killed"]);
    }
}

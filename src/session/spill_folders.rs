//! The folders for spill files, which the program removes at its end.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::temporary::TemporaryFolder;

/// The folders that sessions of this process spill to; `None` once the program ends.
static SPILL_FOLDERS: Mutex<Option<Vec<TemporaryFolder>>> = Mutex::new(Some(vec![]));

/// A new folder for spill files, kept until [`remove_spill_folders`]. Those of killed processes are removed.
pub(super) fn spill_folder(parent: Option<&Path>) -> Result<PathBuf> {
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let folder = TemporaryFolder::new(&parent, ".cxql-spill-").map_err(|cause| {
        Error::usage(format!("cannot spill to {}: {cause}; name a folder with --temp-dir", parent.display()))
    })?;
    let path = folder.path().to_path_buf();
    SPILL_FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).as_mut().ok_or(Error::Stopped)?.push(folder);
    Ok(path)
}

/// Removes the spill folders of this process, also those that a query which is still busy holds. For the end of a
/// program: no session can spill afterwards.
pub(crate) fn remove_spill_folders() {
    // a file that is made in a folder while it is emptied keeps it; afterwards none can be made
    const TRIES: usize = 20;
    let folders = SPILL_FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).take();
    for folder in folders.into_iter().flatten() {
        let path = folder.keep();
        for _ in 0..TRIES {
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {}
                _ => break,
            }
        }
    }
}

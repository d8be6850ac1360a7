//! [`KeyScanStore`]: results of key scans in a folder, so that the next process need not read the keys of files that are the same.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::key_scan::KeyScan;
use super::positions::RowPositions;
use super::repeated_hashes::RepeatedHashes;

/// Most bytes of one result; a larger one is not kept.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Most bytes of all results; the least recently used go.
const MAX_BYTES: u64 = 256 << 20;
const EXTENSION: &str = "keys";
/// The end of the names of files that are being written; they begin with a dot.
const UNFINISHED: &str = ".part";

/// A folder of results of key scans. It holds places of rows and hashes, no values.
///
/// A result is found again by what the scan read (see `cache.rs`) and by the version of the program, since hashes and the values of
/// expressions are those of one version. What cannot be read or written is as if it were not there: the keys are read.
#[derive(Debug)]
pub struct KeyScanStore {
    folder: PathBuf,
    version: String,
}

/// The content of a file, below a line with its checksum.
#[derive(Serialize, Deserialize)]
struct StoredEntry<'a> {
    version: &'a str,
    key: &'a str,
    scan: StoredScan,
}

#[derive(Serialize, Deserialize)]
enum StoredScan {
    Few(Vec<u64>),
    Positions(RowPositions),
    Many,
}

impl StoredScan {
    fn of(scan: &KeyScan) -> Option<Self> {
        match scan {
            KeyScan::Few(repeated) => Some(Self::Few(repeated.iter().collect())),
            KeyScan::Positions(positions) => Some(Self::Positions(RowPositions::clone(positions))),
            KeyScan::Many => Some(Self::Many),
            KeyScan::NoMemory => None,
        }
    }

    fn is_valid(&self) -> bool {
        match self {
            Self::Positions(positions) => positions.is_valid(),
            Self::Few(_) | Self::Many => true,
        }
    }

    fn into_scan(self) -> KeyScan {
        match self {
            Self::Few(hashes) => KeyScan::Few(Arc::new(RepeatedHashes::new(&hashes))),
            Self::Positions(positions) => KeyScan::Positions(Arc::new(positions)),
            Self::Many => KeyScan::Many,
        }
    }
}

impl KeyScanStore {
    /// The store in `folder`, which is created by the first result. `version` differs between programs that may compute other
    /// hashes or other values of an expression.
    pub fn new(folder: PathBuf, version: String) -> Self {
        Self { folder, version }
    }

    /// The result of an earlier scan of the same keys.
    pub(super) fn get(&self, key: &str) -> Option<KeyScan> {
        let path = self.path(key);
        let mut text = String::new();
        let file = File::open(&path).ok()?;
        (&file).take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
        let (sum, body) = text.split_once('\n')?;
        if sum != checksum(body) {
            return None;
        }
        let entry: OwnedEntry = serde_json::from_str(body).ok()?;
        if entry.version != self.version || entry.key != key || !entry.scan.is_valid() {
            return None;
        }
        // when it was used last; a folder that cannot be written to stays as it is
        let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(entry.scan.into_scan())
    }

    /// Keeps a result, and removes others if there are too many. A result that cannot be written is not kept.
    pub(super) fn put(&self, key: &str, scan: &KeyScan) {
        let Some(scan) = StoredScan::of(scan) else { return };
        let entry = StoredEntry { version: &self.version, key, scan };
        let Ok(body) = serde_json::to_string(&entry) else { return };
        if body.len() as u64 + 32 > MAX_FILE_BYTES {
            return;
        }
        if self.write(key, &body).is_ok() {
            self.remove_oldest(MAX_BYTES);
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{}.{EXTENSION}", checksum(key)))
    }

    /// Writes beside the file and renames, so that a file is there whole or not at all.
    fn write(&self, key: &str, body: &str) -> std::io::Result<()> {
        create_private(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(".").suffix(UNFINISHED).tempfile_in(&self.folder)?;
        // a file without a lock is one that a killed process left; on a file system without locks all stay
        let _ = file.as_file().try_lock();
        writeln!(file, "{}", checksum(body))?;
        file.write_all(body.as_bytes())?;
        file.persist(self.path(key))?;
        Ok(())
    }

    /// Removes the least recently used beyond `max_bytes`, and what killed processes left.
    fn remove_oldest(&self, max_bytes: u64) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let file = |entry: fs::DirEntry| {
            let meta = entry.metadata().ok().filter(|meta| meta.is_file())?;
            Some((meta.modified().ok()?, meta.len(), entry.path()))
        };
        let (mut files, others): (Vec<_>, Vec<_>) = entries
            .flatten()
            .filter_map(file)
            .partition(|(_, _, path)| path.extension().is_some_and(|extension| extension == EXTENSION));
        for (_, _, path) in others.iter().filter(|(_, _, path)| is_unfinished(path)) {
            let is_left_over = File::open(path).is_ok_and(|file| file.try_lock().is_ok());
            if is_left_over {
                let _ = fs::remove_file(path);
            }
        }
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= max_bytes {
                return;
            }
            let _ = fs::remove_file(path);
            total -= bytes;
        }
    }
}

#[derive(Deserialize)]
struct OwnedEntry {
    version: String,
    key: String,
    scan: StoredScan,
}

/// The same in every process of one program.
fn checksum(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(UNFINISHED.as_bytes())
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shown(scan: Option<KeyScan>) -> String {
        match scan {
            Some(KeyScan::Few(repeated)) => {
                let mut hashes: Vec<u64> = repeated.iter().collect();
                hashes.sort_unstable();
                format!("{hashes:?}")
            }
            other => format!("{other:?}"),
        }
    }

    fn few(hashes: &[u64]) -> KeyScan {
        KeyScan::Few(Arc::new(RepeatedHashes::new(hashes)))
    }

    fn positions(json: &str) -> Option<KeyScan> {
        Some(KeyScan::Positions(Arc::new(serde_json::from_str(json).ok()?)))
    }

    const PLACES: &str =
        r#"{"files":[{"file":{"location":"a b/c%20.parquet","rows":9},"kept":[[0,4],[6,9]],"repeated":[1,8]}]}"#;

    #[test]
    fn another_process_finds_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("cache/keys");
        let store = || KeyScanStore::new(place.clone(), "1".into());
        assert!(store().get("k").is_none());
        let scans = [few(&[0, 7, u64::MAX]), few(&[]), KeyScan::Many, positions(PLACES).unwrap()];
        for (index, scan) in scans.iter().enumerate() {
            store().put(&format!("k{index}"), scan);
        }
        store().put("memory", &KeyScan::NoMemory);
        for (index, scan) in scans.into_iter().enumerate() {
            assert_eq!(shown(store().get(&format!("k{index}"))), shown(Some(scan)));
        }
        assert!(store().get("memory").is_none());
        assert!(KeyScanStore::new(place.clone(), "2".into()).get("k1").is_none());
        store().put("k1", &KeyScan::Many);
        assert_eq!(shown(store().get("k1")), "Some(Many)");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 4);
    }

    #[test]
    fn damaged_files_are_as_if_they_were_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyScanStore::new(folder.path().to_path_buf(), "1".into());
        store.put("k", &positions(PLACES).unwrap());
        let path = store.path("k");
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(store.get("k").is_none(), "{end}");
        }
        for index in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[index] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(store.get("k").is_none(), "{index}");
        }
        // the file of another key of the same name
        let other = String::from_utf8(whole.clone()).unwrap().replace(r#""k""#, r#""j""#);
        let body = other.split_once('\n').unwrap().1;
        store.write("k", body).unwrap();
        assert!(store.get("k").is_none());
        fs::write(&path, &whole).unwrap();
        assert!(store.get("k").is_some());
        // where no folder can be, nothing is kept
        let store = KeyScanStore::new(path.join("below a file"), "1".into());
        store.put("k", &KeyScan::Many);
        assert!(store.get("k").is_none());
    }

    #[test]
    fn places_beyond_the_files_or_out_of_order_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyScanStore::new(folder.path().to_path_buf(), "1".into());
        let kept = |kept: &str| PLACES.replace("[[0,4],[6,9]]", kept);
        let cases = [
            (PLACES.to_string(), true),
            (kept("[[0,4],[6,10]]"), false),
            (kept("[[0,7],[6,9]]"), false),
            (kept("[[4,0],[6,9]]"), false),
            (PLACES.replace("[1,8]", "[1,9]"), false),
            (PLACES.replace("[1,8]", "[8,1]"), false),
        ];
        for (json, is_valid) in cases {
            store.put("k", &positions(&json).unwrap());
            assert_eq!(store.get("k").is_some(), is_valid, "{json}");
        }
        assert!(positions(&PLACES.replace("a b", "a/../b")).is_none());
    }

    #[test]
    fn the_least_recently_used_and_left_over_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyScanStore::new(folder.path().to_path_buf(), "1".into());
        for key in ["a", "b", "c"] {
            store.put(key, &few(&[1, 2, 3]));
        }
        let at = |name: &str| folder.path().join(name);
        let (left, written, other) = (at(".x.part"), at(".y.part"), at("notes.txt"));
        let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
        for (path, age) in [
            (&left, 60),
            (&written, 7200),
            (&other, 7200),
            (&store.path("a"), 30),
            (&store.path("b"), 20),
            (&store.path("c"), 10),
        ] {
            File::options().create(true).append(true).open(path).unwrap().set_modified(ago(age)).unwrap();
        }
        let writer = File::open(&written).unwrap();
        writer.lock().unwrap();
        assert!(store.get("a").is_some());
        let bytes = fs::metadata(store.path("a")).unwrap().len();
        store.remove_oldest(2 * bytes);
        assert!(store.get("b").is_none() && store.get("a").is_some() && store.get("c").is_some());
        assert!(!left.exists() && written.exists() && other.exists());
        drop(writer);
        store.put("d", &few(&[1]));
        assert!(!written.exists() && other.exists());
    }
}

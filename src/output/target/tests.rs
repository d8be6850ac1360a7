use std::io::Read;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::object_store::memory::InMemory;
use tempfile::TempDir;

use super::super::{Format, OutputOptions, Sink, Writer, sinks};
use super::*;

fn rows(count: usize, text: &str) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(vec![text; count]));
    RecordBatch::try_from_iter([("text", column)]).unwrap()
}

fn csv() -> Box<dyn Sink> {
    Box::new(sinks::CsvSink::new(Format::Csv, b','))
}

async fn open(path: &Path) -> Result<Writer> {
    Writer::open(Format::Csv, Destination::File(path.to_owned()), OutputOptions::default(), csv()).await
}

fn names(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_old_content_stays_until_the_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.csv");
    fs::write(&path, "old").unwrap();
    let mut writer = open(&path).await.unwrap();
    // More than the buffers hold, so that some of it is on the disk.
    for _ in 0..8 {
        writer.write(&rows(8192, &"x".repeat(100))).await.unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let hidden = names(&folder);
    assert!(hidden[0].starts_with(".out.csv.") && hidden[0].ends_with(".tmp"), "{hidden:?}");
    assert_eq!(hidden.len(), 2);
    let written = writer.end().await.unwrap();
    assert_eq!(names(&folder), ["out.csv"]);
    // A header, and 101 bytes for each row.
    assert_eq!(written.bytes, 5 + 8 * 8192 * 101);
    assert_eq!(fs::metadata(&path).unwrap().len(), written.bytes);
}

#[tokio::test]
async fn dropping_the_writer_leaves_nothing_and_keeps_the_old() {
    let folder = TempDir::new().unwrap();
    let (new, old) = (folder.path().join("new.csv"), folder.path().join("old.csv"));
    fs::write(&old, "old").unwrap();
    for path in [&new, &old] {
        let mut writer = open(path).await.unwrap();
        for _ in 0..8 {
            writer.write(&rows(8192, &"x".repeat(100))).await.unwrap();
        }
        drop(writer);
        assert_eq!(names(&folder), ["old.csv"]);
        open(path).await.unwrap().abort().await;
        assert_eq!(names(&folder), ["old.csv"]);
    }
    assert_eq!(fs::read(&old).unwrap(), b"old");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_has_the_usual_rights_and_a_replaced_one_keeps_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let folder = TempDir::new().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let path = folder.path().join("out.csv");
    open(&path).await.unwrap().end().await.unwrap();
    assert_eq!(mode(&path), mode(&plain));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    open(&path).await.unwrap().end().await.unwrap();
    assert_eq!(mode(&path), 0o640);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_stays_and_what_it_points_at_is_replaced() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    for (link, end) in [("link.csv", "sub/real.csv"), ("dangling.csv", "sub/new.csv")] {
        let link = folder.path().join(link);
        std::os::unix::fs::symlink(end, &link).unwrap();
        fs::write(folder.path().join("sub/real.csv"), "old").unwrap();
        let mut writer = open(&link).await.unwrap();
        writer.write(&rows(1, "new")).await.unwrap();
        writer.end().await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(folder.path().join(end)).unwrap(), "text\nnew\n");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_shell_has_opened_is_appended_to() {
    use std::os::fd::AsRawFd;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let mut log = File::create(&path).unwrap();
    log.write_all(b"before\n").unwrap();
    // As `-o /dev/fd/3` with `3>>log`.
    let mut writer = open(Path::new(&format!("/dev/fd/{}", log.as_raw_fd()))).await.unwrap();
    writer.write(&rows(1, "a")).await.unwrap();
    writer.end().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before\ntext\na\n");
    assert_eq!(names(&folder), ["log"]);
}

#[tokio::test]
async fn places_that_cannot_be_written_are_named_with_a_remedy() {
    let folder = TempDir::new().unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OutputError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("result.csv"), "{error}");
    let error = open(&folder.path().join("new/")).await.unwrap_err();
    assert!(matches!(error, OutputError::Folder { .. }), "{error}");

    let missing = folder.path().join("no").join("such");
    let error = open(&missing.join("out.csv")).await.unwrap_err();
    assert!(error.to_string().contains(&format!("mkdir -p '{}'", missing.display())), "{error}");
    fs::write(folder.path().join("file"), "").unwrap();
    let error = open(&folder.path().join("file").join("out.csv")).await.unwrap_err();
    assert!(matches!(error, OutputError::NoFolder { .. }), "{error}");
    assert_eq!(names(&folder), ["file"]);
}

#[test]
fn system_errors_have_their_remedies() {
    // Numbers of errno on Linux: EACCES, EROFS, ENOSPC, EDQUOT, EIO.
    let named = |number| OutputError::io("out.csv", io::Error::from_raw_os_error(number));
    for (number, words) in [
        (13, "no permission to write 'out.csv'"),
        (30, "no permission to write 'out.csv'"),
        (28, "no space left to write 'out.csv'"),
        (122, "no space left to write 'out.csv'"),
        (5, "cannot write 'out.csv'"),
    ] {
        let error = named(number);
        assert!(error.to_string().starts_with(words), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error_that_names_the_place() {
    // The device answers every write with ENOSPC.
    let mut writer = open(Path::new("/dev/full")).await.unwrap();
    let mut result = Ok(ReaderState::Open);
    for _ in 0..100 {
        result = writer.write(&rows(8192, "text")).await;
        if result.is_err() {
            break;
        }
    }
    let error = result.unwrap_err();
    assert!(matches!(error, OutputError::Full { .. }), "{error}");
    assert!(error.to_string().contains("/dev/full"), "{error}");
    // A result so short that only the end can tell.
    let error = open(Path::new("/dev/full")).await.unwrap().end().await;
    assert!(error.is_ok(), "nothing was written");
    let mut writer = open(Path::new("/dev/full")).await.unwrap();
    writer.write(&rows(1, "text")).await.unwrap();
    assert!(matches!(writer.end().await, Err(OutputError::Full { .. })));
    assert!(!fs::metadata("/dev/full").unwrap().is_file(), "the device is not replaced");
}

#[tokio::test]
async fn a_closed_pipe_ends_the_result_without_an_error() {
    let (reader, pipe) = io::pipe().unwrap();
    let target = Target::stream("pipe".to_owned(), pipe).unwrap();
    let mut writer = Writer::new(Format::Csv, target, &OutputOptions::default(), csv());
    writer.write(&rows(1, "a")).await.unwrap();
    drop(reader);
    let mut reader_state = ReaderState::Open;
    for _ in 0..100 {
        reader_state = writer.write(&rows(8192, "text")).await.unwrap();
        if reader_state == ReaderState::Closed {
            break;
        }
    }
    assert_eq!(reader_state, ReaderState::Closed);
    assert_eq!(writer.write(&rows(1, "a")).await.unwrap(), ReaderState::Closed);
    assert_eq!(writer.end().await.unwrap().reader_state, ReaderState::Closed);
}

#[tokio::test]
async fn a_pipe_closed_before_a_short_result_is_told_at_the_end() {
    let (reader, pipe) = io::pipe().unwrap();
    drop(reader);
    let target = Target::stream("pipe".to_owned(), pipe).unwrap();
    let mut writer = Writer::new(
        Format::Table,
        target,
        &OutputOptions::default(),
        Box::new(sinks::TableSink::new(Default::default(), false)),
    );
    writer.write(&rows(1, "a")).await.unwrap();
    assert_eq!(writer.end().await.unwrap().reader_state, ReaderState::Closed);
}

#[tokio::test]
async fn a_stream_gets_each_batch_as_it_comes_and_holds_back_a_fast_query() {
    let (mut reader, pipe) = io::pipe().unwrap();
    let target = Target::stream("pipe".to_owned(), pipe).unwrap();
    let mut writer = Writer::new(Format::Csv, target, &OutputOptions::default(), csv());
    writer.write(&rows(1, "first")).await.unwrap();
    writer.write(&rows(1, "second")).await.unwrap();
    let mut start = [0; 11];
    reader.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"text\nfirst\n");
    // Nobody reads: a pipe holds 64 KB and the queue two chunks, so that this cannot all be taken.
    let held = tokio::time::timeout(Duration::from_millis(300), async {
        for _ in 0..20 {
            writer.write(&rows(8192, &"x".repeat(100))).await.unwrap();
        }
    });
    assert!(held.await.is_err());
    // The call was cancelled amid its rows: the result is incomplete, and end() fails
    assert!(matches!(writer.end().await, Err(OutputError::Torn { .. })));
}

fn object(store: &Arc<InMemory>) -> Destination {
    let store: Arc<dyn ObjectStore> = Arc::<InMemory>::clone(store);
    Destination::Object { store, path: "a/out.csv".into(), url: "s3://bucket/a/out.csv".to_owned() }
}

#[tokio::test]
async fn an_object_appears_at_the_end_and_whole() {
    let store = Arc::new(InMemory::new());
    // A small one is one put, a large one (about 53 MB) four parts.
    for batches in [1, 64] {
        let path: ObjectPath = "a/out.csv".into();
        let mut writer = Writer::open(Format::Csv, object(&store), OutputOptions::default(), csv()).await.unwrap();
        for _ in 0..batches {
            writer.write(&rows(8192, &"x".repeat(100))).await.unwrap();
        }
        assert!(store.get(&path).await.is_err());
        let written = writer.end().await.unwrap();
        let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(written.bytes, 5 + batches * 8192 * 101);
        assert_eq!(bytes.len() as u64, written.bytes);
        let lines = bytes.split(|byte| *byte == b'\n').skip(1);
        assert!(lines.take(batches as usize * 8192).all(|line| line == "x".repeat(100).as_bytes()));
        store.delete(&path).await.unwrap();
    }
}

#[tokio::test]
async fn an_upload_given_up_leaves_no_object() {
    let store = Arc::new(InMemory::new());
    let path: ObjectPath = "a/out.csv".into();
    for abort in [true, false] {
        let mut writer = Writer::open(Format::Csv, object(&store), OutputOptions::default(), csv()).await.unwrap();
        for _ in 0..64 {
            writer.write(&rows(8192, &"x".repeat(100))).await.unwrap();
        }
        if abort {
            writer.abort().await;
        } else {
            drop(writer);
        }
        tokio::task::yield_now().await;
        assert!(store.get(&path).await.is_err());
    }
}

/// An upload that fails at a part or at its completion, and counts how often it is aborted.
#[derive(Debug)]
struct Failing {
    part: Option<usize>,
    parts: usize,
    aborted: Arc<std::sync::atomic::AtomicUsize>,
}

fn refused() -> datafusion::object_store::Error {
    datafusion::object_store::Error::Generic { store: "test", source: "connection reset".into() }
}

#[async_trait::async_trait]
impl MultipartUpload for Failing {
    fn put_part(&mut self, _: PutPayload) -> datafusion::object_store::UploadPart {
        self.parts += 1;
        let fails = self.part == Some(self.parts);
        Box::pin(async move { if fails { Err(refused()) } else { Ok(()) } })
    }

    async fn complete(&mut self) -> datafusion::object_store::Result<datafusion::object_store::PutResult> {
        Err(refused())
    }

    async fn abort(&mut self) -> datafusion::object_store::Result<()> {
        self.aborted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn an_upload_that_fails_or_is_dropped_is_aborted_once() {
    use std::sync::atomic::Ordering::SeqCst;
    for part in [Some(1), Some(3), None] {
        for commit in [true, false] {
            let aborted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let upload = Failing { part, parts: 0, aborted: Arc::clone(&aborted) };
            let mut object = Object::new(Arc::new(InMemory::new()), "x".into(), "s3://bucket/x".to_owned());
            object.part_bytes = 10;
            object.upload = Some(Upload { upload: Some(Box::new(upload)), parts: JoinSet::new(), counted: None });
            object.send(Bytes::from(vec![0; 25])).await.unwrap();
            if commit {
                let error = Box::new(object).commit().await.unwrap_err();
                assert!(error.to_string().contains("'s3://bucket/x'"), "{error}");
            } else {
                drop(object);
            }
            // The abort of a dropped upload is a task of its own.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(aborted.load(SeqCst), 1, "part {part:?}, commit {commit}");
        }
    }
}

#[tokio::test]
async fn parts_have_one_size_and_keep_their_order() {
    let mut object = Object::new(Arc::new(InMemory::new()), "x".into(), String::new());
    let bytes: Vec<u8> = (0..250).collect();
    for chunk in bytes.chunks(7) {
        object.waiting.push_back(Bytes::copy_from_slice(chunk));
        object.waiting_bytes += chunk.len();
    }
    let mut taken = Vec::new();
    for expected in [100, 100, 50, 0] {
        let part = object.take(100);
        assert_eq!(part.content_length(), expected);
        taken.extend(part.iter().flat_map(|bytes| bytes.to_vec()));
    }
    assert_eq!(taken, bytes);
    assert_eq!(object.waiting_bytes, 0);
}

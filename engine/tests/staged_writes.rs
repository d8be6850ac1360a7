//! Files that COPY and INSERT write: what stock DataFusion leaves of a statement that fails, and what the rule leaves.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::execution::memory_pool::{GreedyMemoryPool, UnboundedMemoryPool};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;

/// Fails at its last row, after many batches.
const FAILS: &str = "select value as v, 1 / (100000 - value) as w from generate_series(1, 100000)";
const WORKS: &str = "select value as v, value % 7 as w from generate_series(1, 100000)";

fn session(options: Option<EngineOptions>) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2).with_batch_size(1024);
    // larger files are uploads in parts
    config.options_mut().execution.objectstore_writer_buffer_size = 64 << 10;
    common::context(options, config, Arc::new(UnboundedMemoryPool::default()))
}

async fn run(context: &SessionContext, sql: &str) -> Result<usize, String> {
    let frame = context.sql(sql).await.map_err(|error| error.to_string())?;
    frame.collect().await.map(|batches| batches.len()).map_err(|error| error.to_string())
}

/// The files below a folder and their contents.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            found.extend(files(&entry.path()).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            found.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Removing a part file is a task of the store.
async fn settled(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    for _ in 0..500 {
        let found = files(folder);
        if !found.keys().any(|name| name.contains('#')) {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("parts are left: {:?}", files(folder).keys())
}

const FORMATS: [&str; 4] = ["csv", "json", "parquet", "arrow"];

/// Fails on the day on which DataFusion mends this: then the rule can go.
#[tokio::test]
async fn stock_datafusion_completes_files_whose_input_failed() {
    let folder = tempfile::tempdir().unwrap();
    let stock = session(None);
    for format in FORMATS {
        let path = folder.path().join(format!("x.{format}"));
        fs::write(&path, "before").unwrap();
        let error = run(&stock, &format!("copy ({FAILS}) to '{}'", path.display())).await.unwrap_err();
        assert!(error.contains("Divide by zero"), "{error}");
        assert_ne!(fs::read(&path).unwrap(), b"before", "{format}");
    }
}

#[tokio::test]
async fn a_copy_that_fails_leaves_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let ours = session(Some(EngineOptions::default()));
    for format in FORMATS {
        for name in [format!("old.{format}"), format!("new.{format}")] {
            let path = folder.path().join(&name);
            if name.starts_with("old") {
                fs::write(&path, "before").unwrap();
            }
            let error = run(&ours, &format!("copy ({FAILS}) to '{}'", path.display())).await.unwrap_err();
            assert!(error.contains("Divide by zero"), "{name}: {error}");
        }
    }
    let expected = FORMATS.map(|format| (format!("old.{format}"), b"before".to_vec()));
    assert_eq!(settled(folder.path()).await, BTreeMap::from(expected));
}

#[tokio::test]
async fn a_copy_that_works_writes_what_stock_datafusion_writes() {
    let (ours_folder, stock_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (folder, options) in [(&ours_folder, Some(EngineOptions::default())), (&stock_folder, None)] {
        let context = session(options);
        for format in FORMATS {
            let path = folder.path().join(format!("x.{format}"));
            fs::write(&path, "before").unwrap();
            run(&context, &format!("copy ({WORKS}) to '{}'", path.display())).await.unwrap();
        }
        let parted = folder.path().join("parted/");
        let parted = parted.display();
        run(&context, &format!("copy ({WORKS}) to '{parted}' stored as csv partitioned by (w)")).await.unwrap();
    }
    // the names of files in a folder are random
    let nameless = |found: BTreeMap<String, Vec<u8>>| -> Vec<(String, Vec<u8>)> {
        let name = |name: String| match name.rsplit_once('/') {
            Some((folder, _)) => folder.to_owned(),
            None => name,
        };
        found.into_iter().map(|(file, bytes)| (name(file), bytes)).collect()
    };
    let (ours, stock) = (nameless(files(ours_folder.path())), nameless(files(stock_folder.path())));
    assert_eq!(stock.len(), FORMATS.len() + 7);
    for (ours, stock) in ours.iter().zip(&stock) {
        assert_eq!(ours.0, stock.0);
        assert!(ours.1 == stock.1, "{}", ours.0);
    }
    assert_eq!(ours.len(), stock.len());
}

#[tokio::test]
async fn of_several_files_none_appears_when_the_statement_fails() {
    let folder = tempfile::tempdir().unwrap();
    let ours = session(Some(EngineOptions::default()));
    for format in FORMATS {
        let path = folder.path().join(format);
        let sql = format!("copy (select v % 5 as k, * from ({FAILS})) to '{}/' stored as {format}", path.display());
        for sql in [sql.clone(), format!("{sql} partitioned by (k)")] {
            let error = run(&ours, &sql).await.unwrap_err();
            assert!(error.contains("Divide by zero"), "{error}");
        }
    }
    assert_eq!(settled(folder.path()).await, BTreeMap::new());
}

/// The second batch has a value that CSV cannot hold.
#[tokio::test]
async fn a_batch_that_cannot_be_encoded_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    let sql = format!(
        "copy (select value as v, make_array(value) as w from generate_series(1, 5000)) to '{}'",
        path.display()
    );
    let is_there = |options| {
        let (sql, path) = (sql.clone(), path.clone());
        async move {
            let error = run(&session(options), &sql).await.unwrap_err();
            assert!(error.contains("list") || error.contains("List"), "{error}");
            path.exists()
        }
    };
    assert!(!is_there(Some(EngineOptions::default())).await);
    assert!(is_there(None).await, "DataFusion has mended this");
}

#[tokio::test]
async fn an_insert_that_fails_adds_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let ours = session(Some(EngineOptions::default()));
    let table = format!(
        "create external table t (v bigint, w bigint) stored as parquet location '{}/'",
        folder.path().display()
    );
    run(&ours, &table).await.unwrap();
    run(&ours, &format!("insert into t {WORKS}")).await.unwrap();
    let before = files(folder.path());
    assert!(!before.is_empty());
    let error = run(&ours, &format!("insert into t {FAILS}")).await.unwrap_err();
    assert!(error.contains("Divide by zero"), "{error}");
    assert_eq!(settled(folder.path()).await, before);
}

#[tokio::test]
async fn a_copy_that_is_canceled_leaves_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    fs::write(&path, "before").unwrap();
    let ours = session(Some(EngineOptions::default()));
    let sql = format!("copy (select value as v from generate_series(1, 1000000000)) to '{}'", path.display());
    let mut rows = ours.sql(&sql).await.unwrap().execute_stream().await.unwrap();
    // parts are written
    let ended = tokio::time::timeout(std::time::Duration::from_millis(300), rows.next()).await;
    assert!(ended.is_err(), "a thousand million rows in 300 ms");
    drop(rows);
    assert_eq!(settled(folder.path()).await, BTreeMap::from([("x.csv".to_owned(), b"before".to_vec())]));
}

#[tokio::test]
async fn small_files_beyond_the_memory_limit_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = SessionConfig::new().with_target_partitions(1);
    let pool = Arc::new(GreedyMemoryPool::new(100_000));
    let ours = common::context(Some(EngineOptions::default()), config, pool);
    let sql = format!("copy ({WORKS}) to '{}'", folder.path().join("x.csv").display());
    let error = run(&ours, &sql).await.unwrap_err();
    assert!(error.contains("StagedWriteExec"), "{error}");
    assert_eq!(files(folder.path()), BTreeMap::new());
}

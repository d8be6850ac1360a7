//! Files that are replaced, added and removed while the server runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use tonic::{Code, Status};

use crate::access::{as_user, user};
use crate::server::{Client, Served, fetch, query, status};

/// What must come soon is asked for so long.
const SOON: Duration = Duration::from_secs(60);

/// The rows of a version; each value is the version.
fn rows(version: i64) -> i64 {
    20_000 + 100 * version
}

/// A table of Parquet with these columns, each of one value.
fn parquet(columns: &[(&str, i64)], rows: i64) -> Vec<u8> {
    let column = |value: i64| Arc::new(Int64Array::from(vec![value; usize::try_from(rows).unwrap()])) as ArrayRef;
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, value)| (*name, column(*value)))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2_000)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn content(name: &str, version: i64) -> Vec<u8> {
    let lines = |head: &str, line: String| {
        let lines = line.repeat(usize::try_from(rows(version)).unwrap());
        format!("{head}{lines}").into_bytes()
    };
    match name.rsplit('.').next() {
        Some("parquet") => parquet(&[("v", version), ("w", version)], rows(version)),
        Some("csv") => lines("v,w\n", format!("{version},{version}\n")),
        Some("ndjson") => lines("", format!("{{\"v\":{version},\"w\":{version}}}\n")),
        _ => panic!("{name}"),
    }
}

/// Replaces a file by one that is written beside it.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, path).unwrap();
}

fn number(batch: &RecordBatch, column: usize) -> i64 {
    batch.column(column).as_primitive::<Int64Type>().value(0)
}

/// Asks until an answer is as it should be in the end.
async fn soon(client: &mut Client, sql: &str, mut is_right: impl FnMut(&Result<RecordBatch, Status>) -> bool) {
    let started = Instant::now();
    loop {
        let answer = query(client, sql).await;
        if is_right(&answer) {
            return;
        }
        assert!(started.elapsed() < SOON, "{sql}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const CHANGING: [(&str, &str); 4] =
    [("single", "single.parquet"), ("folder", "folder/x.parquet"), ("lines", "x.csv"), ("objects", "x.ndjson")];

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_of_one_version_however_often_a_file_is_replaced() {
    let config = "[tables.lines]\npath = 'x.csv'\n[tables.objects]\npath = 'x.ndjson'\n";
    let first: Vec<Vec<u8>> = CHANGING.iter().map(|(_, file)| content(file, 1)).collect();
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("folder")).unwrap();
    for ((_, file), bytes) in CHANGING.iter().zip(&first) {
        fs::write(data.path().join(file), bytes).unwrap();
    }
    let served = Served::start(&[("cxql.toml", config)], &["--data", data.path().to_str().unwrap()]);
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (is_over, folder) = (Arc::clone(&is_over), data.path().to_owned());
        let versions: Vec<Vec<Vec<u8>>> =
            (1..6).map(|version| CHANGING.iter().map(|(_, file)| content(file, version)).collect()).collect();
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                for version in &versions {
                    for ((_, file), bytes) in CHANGING.iter().zip(version) {
                        replace(&folder.join(file), bytes);
                    }
                    thread::sleep(Duration::from_millis(150));
                }
            }
        })
    };
    let mut client = served.client().await;
    for (table, _) in CHANGING {
        let mut answers = 0;
        for _ in 0..25 {
            let sql = format!("select min(v), max(w), count(v) as n from {table}");
            let counted = format!("select count(*) as n from {table}");
            match query(&mut client, &sql).await {
                Ok(batch) => {
                    let [v, w, n] = [0, 1, 2].map(|column| number(&batch, column));
                    assert_eq!((w, n), (v, rows(v)), "{table}");
                    answers += 1;
                }
                Err(error) => assert_replaced(&error),
            }
            match query(&mut client, &counted).await {
                Ok(batch) => assert!((1..6).map(rows).any(|n| n == number(&batch, 0)), "{table}: {batch:?}"),
                Err(error) => assert_replaced(&error),
            }
            // rows that are sent as they are read
            match query(&mut client, &format!("select v, w from {table} where v > 0")).await {
                Ok(batch) => {
                    let v = number(&batch, 0);
                    assert_eq!(i64::try_from(batch.num_rows()).unwrap(), rows(v), "{table}");
                    let is_same =
                        |column| batch.column(column).as_primitive::<Int64Type>().values().iter().all(|x| *x == v);
                    assert!(is_same(0) && is_same(1), "{table}");
                }
                Err(error) => assert_replaced(&error),
            }
        }
        assert!(answers > 0, "{table}: no answer at all");
    }
    is_over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    for (table, _) in CHANGING {
        let sql = format!("select min(v), max(w), count(*) as n from {table}");
        let batch = query(&mut client, &sql).await.unwrap();
        assert_eq!([0, 1, 2].map(|column| number(&batch, column)), [5, 5, rows(5)], "{table}");
    }
}

#[track_caller]
fn assert_replaced(error: &Status) {
    assert_eq!(error.code(), Code::Aborted, "{error:?}");
    assert!(error.message().contains("was replaced while it was read; run it again"), "{error:?}");
    assert!(error.message().contains("the file "), "{error:?}");
}

#[tokio::test]
async fn new_columns_and_files_are_seen_also_by_views_and_roles() {
    let role = "[roles.some]\ntables = ['t', 'v']\nrows.t = \"a < 10\"\n";
    let config = format!("{role}{}{}", user("ana", &["some"]), user("eve", &["admin"]));
    let files = [("cxql.toml", config.as_str()), ("sql/views/v.sql", "select * from t")];
    let data = tempfile::tempdir().unwrap();
    let file = |name: &str| data.path().join("t").join(name);
    fs::create_dir(data.path().join("t")).unwrap();
    fs::write(file("1.parquet"), parquet(&[("a", 1)], 3)).unwrap();
    let served = Served::start(&files, &["--data", data.path().to_str().unwrap()]);
    let (mut eve, mut ana) = (as_user(&served, "eve").await, as_user(&served, "ana").await);
    for client in [&mut eve, &mut ana] {
        for table in ["t", "v"] {
            assert_eq!(query(client, &format!("select * from {table}")).await.unwrap().num_columns(), 1);
        }
    }
    let mut prepared = eve.prepare("select * from t where a > 0".to_owned(), None).await.unwrap();
    // another column, in a file of the same name
    replace(&file("1.parquet"), &parquet(&[("a", 2), ("b", 5)], 4));
    for client in [&mut eve, &mut ana] {
        for table in ["t", "v"] {
            let is_right = |answer: &Result<RecordBatch, Status>| {
                answer.as_ref().is_ok_and(|batch| (batch.num_columns(), batch.num_rows()) == (2, 4))
            };
            soon(client, &format!("select * from {table}"), is_right).await;
            let sum = query(client, &format!("select sum(b) as s, count(*) as n from {table}")).await.unwrap();
            assert_eq!((number(&sum, 0), number(&sum, 1)), (20, 4));
        }
    }
    // what was prepared before says so
    let error = match prepared.execute().await {
        Ok(info) => fetch(&mut eve, info).await.unwrap_err(),
        Err(error) => status(error),
    };
    assert_eq!(error.code(), Code::Aborted, "{error:?}");
    assert!(error.message().contains("`b` is new"), "{error:?}");
    // another file, whose rows ana may not see
    fs::write(file("2.parquet"), parquet(&[("a", 20), ("b", 7)], 6)).unwrap();
    for (client, rows) in [(&mut eve, 10), (&mut ana, 4)] {
        let is_right = |answer: &Result<RecordBatch, Status>| {
            answer.as_ref().is_ok_and(|batch| number(batch, 0) == rows && number(batch, 1) == rows)
        };
        soon(client, "select count(*) as n, count(b) as m from v", is_right).await;
    }
    // one of them goes
    fs::remove_file(file("1.parquet")).unwrap();
    soon(&mut eve, "select count(*) as n from v", |answer| answer.as_ref().is_ok_and(|batch| number(batch, 0) == 6))
        .await;
}

#[tokio::test]
async fn files_that_are_gone_or_empty_are_no_table_without_rows() {
    let data = tempfile::tempdir().unwrap();
    let path = |name: &str| data.path().join(name);
    for folder in ["t", "parts/k=1"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    let files = ["s.parquet", "t/x.parquet", "parts/k=1/x.parquet"];
    let config = "[tables.c]\npath = 'c.csv'\n";
    fs::write(path("c.csv"), "a\n1\n").unwrap();
    for file in files {
        fs::write(path(file), parquet(&[("a", 1)], 3)).unwrap();
    }
    let served = Served::start(&[("cxql.toml", config)], &["--data", data.path().to_str().unwrap()]);
    let mut client = served.client().await;
    let tables = ["s", "t", "parts", "c"];
    for table in tables {
        query(&mut client, &format!("select count(*) as n from {table}")).await.unwrap();
    }
    for file in files {
        replace(&path(file), &parquet(&[("a", 2)], 5));
    }
    replace(&path("c.csv"), b"a\n1\n2\n3\n4\n5\n");
    for table in tables {
        // the number is that of the rows
        let is_right = |answer: &Result<RecordBatch, Status>| answer.as_ref().is_ok_and(|batch| number(batch, 0) == 5);
        soon(&mut client, &format!("select count(*) as n from {table}"), is_right).await;
    }
    for file in files.iter().chain(&["c.csv"]) {
        fs::write(path(file), "").unwrap();
    }
    for table in tables {
        for sql in [format!("select * from {table}"), format!("select count(*) as n from {table}")] {
            let mut last = None;
            soon(&mut client, &sql, |answer| {
                // the listing may still be that of before, but no table has no rows
                assert!(answer.as_ref().is_ok_and(|batch| batch.num_rows() > 0) || answer.is_err(), "{answer:?}");
                last = answer.as_ref().err().cloned();
                last.as_ref().is_some_and(|error| error.message().contains("empty (0 bytes)"))
            })
            .await;
            assert!(last.is_some(), "{sql}");
        }
    }
    for file in files.iter().chain(&["c.csv"]) {
        fs::remove_file(path(file)).unwrap();
    }
    for table in tables {
        let is_right = |answer: &Result<RecordBatch, Status>| {
            answer.as_ref().is_err_and(|error| {
                error.message().contains("no such file") || error.message().contains("holds no parquet files")
            })
        };
        soon(&mut client, &format!("select * from {table}"), is_right).await;
    }
    // and they may come back
    for file in files {
        fs::write(path(file), parquet(&[("a", 3)], 2)).unwrap();
    }
    for table in ["s", "t", "parts"] {
        let is_right = |answer: &Result<RecordBatch, Status>| answer.as_ref().is_ok_and(|batch| batch.num_rows() == 2);
        soon(&mut client, &format!("select * from {table}"), is_right).await;
    }
}

//! Fuzz targets of what is parsed and decoded: changed inputs end in a value or an error with its words, never in a panic.

#[path = "../fuzz/mutate.rs"]
mod mutate;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, ListArray, RecordBatch, StringArray, StringViewArray,
};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::Int32Type;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use rand::Rng;

use crate::ipc::{Decoded, IpcDecoder};
use crate::project::{CliOptions, Project};
use crate::report::Report;
use crate::source::Source;
use crate::{schedule, sqlfile};

/// The files of a folder of the repository.
fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().filter(|path| path.is_file()).map(|path| fs::read(path).unwrap()).collect()
}

/// An error has words of its own, and none of a panic.
fn check_words(error: &str) {
    let lower = error.to_lowercase();
    let inside = ["panicked", "internal error", "unwrap", "backtrace", "index out of bounds"];
    assert!(!error.trim().is_empty() && !inside.iter().any(|word| lower.contains(word)), "{error}");
}

const HEADER_WORDS: [&str; 40] = [
    "-- ",
    "\n",
    ": ",
    "title",
    "description",
    "grain",
    "param",
    "section",
    "chart",
    "check",
    "alert",
    "notes",
    "since",
    "timestamp",
    "interval",
    "list of",
    "text",
    "integer",
    "boolean",
    "float",
    "date",
    " = ",
    " # ",
    " like ",
    " in (",
    ")",
    "(",
    "between",
    "bar",
    "x=",
    "y=",
    "format=percent",
    "title=\"",
    "filter (where ",
    "severity error",
    "for 2 good runs",
    "group by",
    "$since",
    ";",
    "\u{feff}",
];

#[test]
fn fuzzed_headers_are_parsed_or_refused() {
    let corpus = [corpus("fuzz/corpus/header"), corpus("sql/descriptive"), corpus("sql/diagnostic")].concat();
    let (mut parsed, mut refused) = (0, 0);
    let count = mutate::run("header", 1_500, &corpus, &HEADER_WORDS, |_, input| {
        let text = String::from_utf8_lossy(&input);
        let source = Arc::new(Source { name: "r.sql".into(), ..Source::query(&text) });
        if let Err(error) = sqlfile::statements(&source) {
            check_words(&error.to_string());
        }
        match Report::parse("r", &source) {
            Ok(report) => {
                parsed += 1;
                for param in &report.params {
                    assert_eq!(source.text_at(param.spot), Some(param.name.as_str()));
                }
            }
            Err(error) => {
                refused += 1;
                check_words(&error.to_string());
            }
        }
    });
    // both ways are taken
    assert!(count < 500 || parsed > count / 50 && refused > count / 50, "{parsed} parsed, {refused} refused");
}

const CONFIG_WORDS: [&str; 34] = [
    "[",
    "]",
    "[[",
    "]]",
    " = ",
    "\"",
    "'''",
    "{ ",
    " }",
    "\n",
    "job",
    "jobs",
    "tables",
    "serve",
    "users",
    "roles",
    "engine",
    "mail",
    "channels",
    "memory",
    "cron",
    "0 8 * * MON",
    "*/0 * * * *",
    "@daily",
    "31 2 30 2 *",
    "{date:%",
    "{scheduled}",
    "../",
    "retries",
    "timeout",
    "\"9999999999999h\"",
    "Europe/Berlin",
    "newest(",
    ">= today - 1 day",
];

#[test]
fn fuzzed_configurations_are_resolved_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cxql.toml");
    let options = CliOptions { project: Some(folder.path().to_owned()), ..CliOptions::default() };
    let (mut resolved, mut refused) = (0, 0);
    let count = mutate::run("config", 1_500, &corpus("fuzz/corpus/config"), &CONFIG_WORDS, |_, input| {
        fs::write(&path, String::from_utf8_lossy(&input).as_bytes()).unwrap();
        match Project::resolve(&options).and_then(|project| schedule::jobs(&project)) {
            Ok(jobs) => {
                resolved += 1;
                for job in &jobs {
                    // a schedule without an end is asked for its times
                    let now = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
                    let _ = job.schedule.as_ref().and_then(|schedule| schedule.after(now));
                    let _ = job.values(now);
                }
            }
            Err(error) => {
                refused += 1;
                check_words(&error.to_string());
            }
        }
    });
    assert!(count < 500 || resolved > count / 50 && refused > count / 50, "{resolved} resolved, {refused} refused");
}

/// Streams of messages as they are on the wire.
fn streams() -> Vec<Vec<u8>> {
    let labels: DictionaryArray<Int32Type> = ["a", "b", "a", "c"].into_iter().collect();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(3)]),
    ]);
    let columns: [(&str, ArrayRef); 5] = [
        ("number", Arc::new(Int32Array::from(vec![1, 2, 3, 4]))),
        ("text", Arc::new(StringArray::from(vec![Some("alpha"), None, Some("gamma"), Some("中文")]))),
        ("label", Arc::new(labels)),
        ("view", Arc::new(StringViewArray::from(vec!["a string of more than twelve bytes", "x", "", "y"]))),
        ("list", Arc::new(lists)),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let codecs = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];
    let stream = |codec: Option<CompressionType>| {
        let options = IpcWriteOptions::default().try_with_compression(codec).unwrap();
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch.slice(1, 2)).unwrap();
        writer.finish().unwrap();
        drop(writer);
        bytes
    };
    codecs.into_iter().map(stream).collect()
}

/// The next message of a stream, as far as it is there: header and body.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let length = u32::from_le_bytes(rest.get(4..8)?.try_into().ok()?) as usize;
    let header = rest.get(8..8_usize.checked_add(length)?).filter(|header| !header.is_empty())?;
    let body = arrow_ipc::root_as_message(header).map_or(0, |message| message.bodyLength());
    let after = &rest[8 + length..];
    let (body, after) = after.split_at(usize::try_from(body).unwrap_or(0).min(after.len()));
    *rest = after;
    Some((header, body))
}

#[test]
fn fuzzed_messages_are_decoded_or_refused() {
    const LIMIT: usize = 64 << 20;
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(LIMIT));
    let (mut decoded, mut refused) = (0, 0);
    let count = mutate::run("ipc", 3_000, &streams(), &[], |random, mut input| {
        // lengths of buffers, nodes and bodies
        for _ in 0..random.random_range(0..3) {
            let at = random.random_range(0..=input.len()) & !7;
            let length =
                mutate::pick(random, &[i64::MAX, i64::MIN, -1, -2, 1 << 60, 1 << 31, 1 << 20, 0]).to_le_bytes();
            if let Some(bytes) = input.get_mut(at..at + 8) {
                bytes.copy_from_slice(&length);
            }
        }
        let mut decoder = IpcDecoder::of_stream(LIMIT, &pool, "fuzz");
        let mut rest = &input[..];
        while let Some((header, body)) = next(&mut rest) {
            match decoder.decode(header, &Buffer::from(body)) {
                Ok(Decoded::Batch(batch)) => {
                    decoded += 1;
                    // what was taken is valid, value by value
                    for column in batch.columns() {
                        column.to_data().validate_full().unwrap();
                    }
                }
                Ok(Decoded::NoRows) => {}
                Err(fault) => {
                    refused += 1;
                    assert!(!fault.to_string().trim().is_empty());
                    break;
                }
            }
        }
        drop(decoder);
        assert_eq!(pool.reserved(), 0);
    });
    assert!(count < 500 || decoded > count / 50 && refused > count / 50, "{decoded} decoded, {refused} refused");
}

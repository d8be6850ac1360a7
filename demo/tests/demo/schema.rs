//! The schema of the sample data, its size, and what is the same each time.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use arrow_schema::{DataType, TimeUnit};
use cxql_demo::Options;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::data::{DATA, END, TABLES, bytes_of, files_of, read, relative_bytes, seconds, texts};

#[test]
fn same_contacts_and_seed_give_the_same_bytes_and_another_seed_does_not() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, contacts, seed| {
        let dir = folder.path().join(name);
        cxql_demo::write(&dir, &Options { contacts, seed }, &mut |_| {}).unwrap();
        relative_bytes(&dir)
    };
    let (one, again, other) = (write("one", 1500, 7), write("again", 1500, 7), write("other", 1500, 8));
    assert_eq!(one.len(), 7);
    assert!(one == again);
    for (path, bytes) in &one {
        assert_ne!(other.get(path), Some(bytes), "{}", path.display());
    }
}

#[test]
fn default_data_is_small_and_the_summary_agrees_with_the_disk() {
    let files = bytes_of(DATA.folder.path());
    let bytes: usize = files.values().map(Vec::len).sum();
    assert!(bytes <= 3_000_000, "{bytes}");
    assert_eq!(DATA.summary.bytes(), bytes as u64);
    assert_eq!(DATA.summary.files(), files.len() as u64);
    let names: Vec<&str> = DATA.summary.tables.iter().map(|table| table.table).collect();
    assert_eq!(names, TABLES);
    for table in &DATA.summary.tables {
        assert_eq!(read(DATA.folder.path(), table.table).num_rows() as u64, table.rows, "{}", table.table);
    }
    let all: u64 = DATA.summary.tables.iter().map(|table| table.rows).sum();
    assert_eq!(DATA.summary.rows(), all);
}

/// The committed folder equals the output. On other platforms the last bit of a logarithm may differ.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn committed_data_is_what_the_program_writes() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
    for table in TABLES {
        assert!(read(&committed, table) == read(DATA.folder.path(), table), "data/{table} is not up to date");
    }
}

#[test]
fn columns_are_those_of_the_interaction_model() {
    let id = || DataType::Utf8;
    let at = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let count = || DataType::Int32;
    let flag = || DataType::Boolean;
    let model: [(&str, Vec<(&str, DataType)>); 7] = [
        (
            "interactions",
            vec![
                ("interaction_id", id()),
                ("customer_id", id()),
                ("started_at", at()),
                ("ended_at", at()),
                ("channel", id()),
                ("direction", id()),
                ("queue", id()),
                ("team", id()),
                ("agent_id", id()),
                ("topic", id()),
                ("product", id()),
                ("wait_s", count()),
                ("talk_s", count()),
                ("hold_s", count()),
                ("wrap_s", count()),
                ("is_abandoned", flag()),
                ("is_resolved", flag()),
                ("transfer_count", count()),
                ("text", id()),
                ("language", id()),
            ],
        ),
        (
            "surveys",
            vec![
                ("survey_id", id()),
                ("interaction_id", id()),
                ("customer_id", id()),
                ("responded_at", at()),
                ("kind", id()),
                ("score", count()),
                ("comment", id()),
                ("language", id()),
            ],
        ),
        (
            "customers",
            vec![
                ("customer_id", id()),
                ("signed_up_at", at()),
                ("birth_date", DataType::Date32),
                ("region", id()),
                ("city", id()),
                ("segment", id()),
                ("acquisition_cost", DataType::Float64),
                ("churned_at", at()),
            ],
        ),
        (
            "orders",
            vec![("order_id", id()), ("customer_id", id()), ("ordered_at", at()), ("amount", DataType::Float64)],
        ),
        (
            "events",
            vec![
                ("event_id", id()),
                ("customer_id", id()),
                ("session_id", id()),
                ("event", id()),
                ("page", id()),
                ("occurred_at", at()),
                ("dwell_s", count()),
            ],
        ),
        ("agents", vec![("agent_id", id()), ("name", id()), ("team", id()), ("hired_at", at())]),
        ("agent_states", vec![("agent_id", id()), ("state", id()), ("started_at", at()), ("ended_at", at())]),
    ];
    for (table, columns) in model {
        let batch = read(DATA.folder.path(), table);
        let schema = batch.schema();
        let found: Vec<(&str, DataType)> =
            schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
        assert_eq!(found, columns, "{table}");
        assert!(schema.fields().iter().all(|field| field.is_nullable()), "{table}");
    }
}

#[test]
fn every_column_of_every_row_group_has_statistics() {
    for table in TABLES {
        for file in files_of(DATA.folder.path(), table) {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
            for group in reader.metadata().row_groups() {
                assert!(group.columns().iter().all(|column| column.statistics().is_some()), "{table}");
            }
        }
    }
}

#[test]
fn rows_are_in_order_of_time() {
    let folder = DATA.folder.path();
    for (table, name) in [
        ("surveys", "responded_at"),
        ("customers", "signed_up_at"),
        ("orders", "ordered_at"),
        ("events", "occurred_at"),
        ("agent_states", "started_at"),
    ] {
        assert!(seconds(&read(folder, table), name).is_sorted(), "{table}");
    }
    let started = seconds(&read(folder, "interactions"), "started_at");
    let future = started.iter().filter(|at| at.unwrap() >= END).count();
    assert_eq!(future, 2);
    assert!(started.iter().filter(|at| at.unwrap() < END).is_sorted());
}

#[test]
fn exactly_the_contacts_asked_for_are_written_at_every_size() {
    let folder = TempDir::new().unwrap();
    for contacts in [1, 2, 3, 10, 365, 1234] {
        let dir = folder.path().join(contacts.to_string());
        let mut told = Vec::new();
        cxql_demo::write(&dir, &Options { contacts, seed: 3 }, &mut |so_far| told.push(so_far)).unwrap();
        let ids: HashSet<_> = texts(&read(&dir, "interactions"), "interaction_id").into_iter().collect();
        assert_eq!(ids.len() as u64, contacts);
        assert!(told.is_sorted());
        assert_eq!(told.last(), Some(&contacts));
    }
}

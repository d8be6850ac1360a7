//! Runs every SQL logic test of `tests/slt/`, each file in a fresh session with all functions registered.
//!
//! Column types are strict: T text, I integer, R float, B Boolean, D date, P timestamp, ? anything else. NULL is `NULL`, an
//! empty string `(empty)`, a float the shortest form of its value at 12 significant digits.

use std::fs;
use std::future::Future;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use cxql_udfs::privacy::{PrivacySettings, PseudonymKey};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use sqllogictest::{AsyncDB, ColumnType, DBOutput, Record, Runner, strict_column_validator};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Integer,
    Float,
    Boolean,
    Date,
    Timestamp,
    Other,
}

impl ColumnType for Type {
    fn from_char(value: char) -> Option<Self> {
        match value {
            'T' => Some(Type::Text),
            'I' => Some(Type::Integer),
            'R' => Some(Type::Float),
            'B' => Some(Type::Boolean),
            'D' => Some(Type::Date),
            'P' => Some(Type::Timestamp),
            '?' => Some(Type::Other),
            _ => None,
        }
    }

    fn to_char(&self) -> char {
        match self {
            Type::Text => 'T',
            Type::Integer => 'I',
            Type::Float => 'R',
            Type::Boolean => 'B',
            Type::Date => 'D',
            Type::Timestamp => 'P',
            Type::Other => '?',
        }
    }
}

impl Type {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::Text,
            integer if integer.is_integer() => Type::Integer,
            float if float.is_floating() => Type::Float,
            DataType::Boolean => Type::Boolean,
            DataType::Date32 | DataType::Date64 => Type::Date,
            DataType::Timestamp(..) => Type::Timestamp,
            _ => Type::Other,
        }
    }
}

/// A float at 12 significant digits, without trailing zeros.
fn float_text(value: f64) -> String {
    match format!("{value:.11e}").parse::<f64>() {
        Ok(rounded) => rounded.to_string(),
        Err(_) => value.to_string(),
    }
}

/// The values of one column as the tests write them.
fn column_texts(column: &dyn Array) -> Result<Vec<String>, DataFusionError> {
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let text = |row: usize| {
        if column.is_null(row) {
            return "NULL".to_owned();
        }
        match column.data_type() {
            DataType::Float64 => float_text(column.as_primitive::<Float64Type>().value(row)),
            DataType::Float32 => float_text(f64::from(column.as_primitive::<Float32Type>().value(row))),
            _ => match formatter.value(row).to_string() {
                text if text.is_empty() => "(empty)".to_owned(),
                text => text,
            },
        }
    };
    Ok((0..column.len()).map(text).collect())
}

struct Session(SessionContext);

impl Session {
    fn new() -> Result<Self, DataFusionError> {
        let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(4));
        cxql_udfs::register_all(&mut *ctx.state_ref().write())?;
        let settings = PrivacySettings {
            pseudonym_key: PseudonymKey::derive("the key of the examples").ok(),
            ..PrivacySettings::default()
        };
        cxql_udfs::privacy::register(&mut *ctx.state_ref().write(), &settings)?;
        Ok(Self(ctx))
    }

    async fn output(&self, sql: &str) -> Result<DBOutput<Type>, DataFusionError> {
        let frame = self.0.sql(sql).await?;
        let types = frame.schema().fields().iter().map(|field| Type::of(field.data_type())).collect::<Vec<_>>();
        let batches = frame.collect().await?;
        if types.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut rows = vec![];
        for batch in batches {
            // What a plan promises and what it delivers may differ; the tests are about what is delivered.
            let delivered = batch.columns().iter().map(|column| Type::of(column.data_type())).collect::<Vec<_>>();
            assert_eq!(delivered, types, "types of the batch and of the plan of {sql}");
            let columns = batch.columns().iter().map(|column| column_texts(column)).collect::<Result<Vec<_>, _>>()?;
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()));
        }
        Ok(DBOutput::Rows { types, rows })
    }
}

impl AsyncDB for Session {
    type Error = DataFusionError;
    type ColumnType = Type;

    // What the attribute `async_trait` would write.
    fn run<'life0, 'life1, 'async_trait>(
        &'life0 mut self,
        sql: &'life1 str,
    ) -> Pin<Box<dyn Future<Output = Result<DBOutput<Type>, DataFusionError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.output(sql))
    }

    fn shutdown<'life0, 'async_trait>(&'life0 mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(()))
    }

    fn engine_name(&self) -> &str {
        "datafusion"
    }
}

/// Runs one file; the number of its statements and queries.
async fn run_file(path: &Path) -> Result<usize, String> {
    let records = sqllogictest::parse_file::<Type>(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let count =
        records.iter().filter(|record| matches!(record, Record::Statement { .. } | Record::Query { .. })).count();
    if count == 0 {
        return Err(format!("{}: holds no test", path.display()));
    }
    if records.iter().any(|record| matches!(record, Record::Halt { .. })) {
        return Err(format!("{}: halts before its end", path.display()));
    }
    let mut runner = Runner::new(|| async { Session::new() });
    runner.with_column_validator(strict_column_validator);
    let mut failures = vec![];
    for record in records {
        if let Err(failure) = runner.run_async(record).await {
            failures.push(failure.display(false).to_string());
        }
    }
    if failures.is_empty() { Ok(count) } else { Err(failures.join("\n\n")) }
}

fn slt_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "slt")).collect::<Vec<_>>();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_logic_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let files = slt_files(&folder);
    assert!(!files.is_empty(), "no .slt file in {}", folder.display());
    let mut failures = vec![];
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // Straight to stderr: the test harness shows what is printed only of tests that fail.
        match run_file(&file).await {
            Ok(count) => writeln!(stderr(), "{name}: {count} statements and queries pass").unwrap(),
            Err(failure) => {
                writeln!(stderr(), "{name}: FAILED").unwrap();
                failures.push(failure);
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Writes `text` to a file of its own and runs it.
async fn run_text(name: &str, text: &str) -> Result<usize, String> {
    let path = std::env::temp_dir().join(format!("cxql-{}-{name}.slt", std::process::id()));
    fs::write(&path, text).unwrap();
    let result = run_file(&path).await;
    fs::remove_file(&path).unwrap();
    result
}

#[tokio::test]
async fn a_file_without_tests_fails() {
    assert!(run_text("empty", "# nothing\n").await.unwrap_err().contains("holds no test"));
    assert!(run_text("halt", "halt\n\nquery I\nselect 1\n----\n1\n").await.unwrap_err().contains("halts"));
}

#[tokio::test]
async fn wrong_types_values_and_errors_fail() {
    assert_eq!(run_text("right", "query RT\nselect 1.5e0, ''\n----\n1.5 (empty)\n").await, Ok(1));
    assert!(run_text("type", "query I\nselect 1.5e0\n----\n1.5\n").await.is_err());
    assert!(run_text("value", "query R\nselect 1.5e0\n----\n1.6\n").await.is_err());
    assert!(run_text("error", "query error no such text\nselect nps()\n").await.is_err());
    assert!(run_text("no-error", "query error\nselect 1\n").await.is_err());
}

#[test]
fn floats_have_twelve_digits() {
    assert_eq!(float_text(0.1 + 0.2), "0.3");
    assert_eq!(float_text(2.0 / 3.0), "0.666666666667");
    assert_eq!(float_text(30.0), "30");
    assert_eq!(float_text(f64::NAN), "NaN");
}

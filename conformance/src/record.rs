//! Runs the SQL logic tests of a folder in one session and writes what each record answered.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::{Value, json};
use sqllogictest::{Condition, Control, DefaultColumnType, QueryExpect, Record, SortMode, StatementExpect};

use crate::session::Kind;
use crate::values;

/// Longer runs of one record count as an error of that record.
const LIMIT: Duration = Duration::from_secs(60);

/// All files with tests below `folder`, sorted.
fn test_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).map_err(|error| format!("{}: {error}", next.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "slt") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What a record expects, in the form that the session's answer has.
enum Expected {
    Anything,
    Error,
    Rows { rows: Vec<String>, sort: SortMode },
}

fn is_for_us(conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| match condition {
        Condition::OnlyIf { label } => label == "DataFusion" || label == "datafusion",
        Condition::SkipIf { label } => label != "DataFusion" && label != "datafusion",
    })
}

/// Runs `sql` on a task of its own, so that a panic is an answer too.
async fn answer(context: &SessionContext, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let (context, sql) = (context.clone(), sql.to_string());
    let task = tokio::spawn(async move {
        let frame = cxql_engine::planning::sql(&context, &sql).await?;
        let batches = frame.collect().await?;
        values::rows(&batches)
    });
    let abort = task.abort_handle();
    match tokio::time::timeout(LIMIT, task).await {
        Ok(Ok(Ok(rows))) => Ok(rows),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(panic)) => Err(format!("panic: {panic}")),
        Err(_) => {
            abort.abort();
            Err(format!("no answer within {} s", LIMIT.as_secs()))
        }
    }
}

/// One string per row, sorted as the record says: how tests compare.
fn lines(rows: &[Vec<String>], sort: &SortMode) -> Vec<String> {
    match sort {
        SortMode::ValueSort => {
            let mut values = rows.iter().flatten().map(|value| normalized(value)).collect::<Vec<_>>();
            values.sort();
            values
        }
        SortMode::RowSort => {
            let mut lines = rows.iter().map(|row| normalized(&row.join(" "))).collect::<Vec<_>>();
            lines.sort();
            lines
        }
        SortMode::NoSort => rows.iter().map(|row| normalized(&row.join(" "))).collect(),
    }
}

/// White space does not count.
fn normalized(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the answer is what the file expects.
fn is_as_expected(expected: &Expected, answer: &Result<Vec<Vec<String>>, String>) -> bool {
    match (expected, answer) {
        (Expected::Anything, Ok(_)) | (Expected::Error, Err(_)) => true,
        (Expected::Rows { rows, sort }, Ok(answer)) => {
            let mut rows = rows.iter().map(|row| normalized(row)).collect::<Vec<_>>();
            if !matches!(sort, SortMode::NoSort) {
                rows.sort();
            }
            rows == lines(answer, sort)
        }
        _ => false,
    }
}

fn expected_of(record: &Record<DefaultColumnType>, file_sort: SortMode) -> Option<(String, u32, Expected)> {
    match record {
        Record::Statement { loc, conditions, sql, expected, .. } if is_for_us(conditions) => {
            let expected = match expected {
                StatementExpect::Ok | StatementExpect::Count(_) => Expected::Anything,
                StatementExpect::Error(_) => Expected::Error,
            };
            Some((sql.clone(), loc.line(), expected))
        }
        Record::Query { loc, conditions, sql, expected, .. } if is_for_us(conditions) => {
            let expected = match expected {
                QueryExpect::Results { results, sort_mode, .. } => {
                    Expected::Rows { rows: results.clone(), sort: sort_mode.unwrap_or(file_sort) }
                }
                QueryExpect::Error(_) => Expected::Error,
            };
            Some((sql.clone(), loc.line(), expected))
        }
        _ => None,
    }
}

/// Runs one file in a fresh session; one JSON value per record. Paths below `root` are written without it.
async fn run_file(kind: Kind, path: &Path, name: &str, root: &str) -> Result<Vec<Value>, String> {
    let config = SessionConfig::new().with_target_partitions(4);
    let context = kind.session(config).map_err(|error| error.to_string())?;
    let records = match sqllogictest::parse_file::<DefaultColumnType>(path) {
        Ok(records) => records,
        Err(error) => return Ok(vec![json!({"file": name, "line": 0, "sql": "", "error": format!("parse: {error}")})]),
    };
    let mut sort = SortMode::NoSort;
    let mut output = vec![];
    for record in &records {
        match record {
            Record::Control(Control::SortMode(mode)) => sort = *mode,
            Record::Halt { .. } => break,
            _ => (),
        }
        let Some((sql, line, expected)) = expected_of(record, sort) else { continue };
        let answer = answer(&context, &sql).await;
        let is_passed = is_as_expected(&expected, &answer);
        let sort = match &expected {
            Expected::Rows { sort, .. } => *sort,
            _ => SortMode::NoSort,
        };
        let (rows, error) = match answer {
            Ok(mut rows) => {
                for value in rows.iter_mut().flatten().filter(|value| value.contains(root)) {
                    *value = value.replace(root, "ROOT");
                }
                (Some(lines(&rows, &sort)), None)
            }
            Err(error) => (None, Some(error)),
        };
        let is_query = matches!(expected, Expected::Rows { .. });
        output.push(json!({
            "file": name, "line": line, "sql": sql, "query": is_query, "passed": is_passed, "rows": rows, "error": error,
        }));
    }
    Ok(output)
}

/// Runs every file below `folder`, with `folder`'s parent as the current directory (the tests name files relative to it),
/// and writes one line per record to `output`.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) async fn run(kind: Kind, folder: &Path, output: &Path) -> Result<(), String> {
    let output = File::create(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let mut output = BufWriter::new(output);
    let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    let parent = folder.parent().ok_or("the folder of tests has no parent")?.to_path_buf();
    std::env::set_current_dir(&parent).map_err(|error| error.to_string())?;
    let root = parent.to_string_lossy().trim_start_matches('/').to_string();
    for path in test_files(&folder)? {
        let name = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy().into_owned();
        for line in run_file(kind, &path, &name, &root).await? {
            writeln!(output, "{line}").map_err(|error| error.to_string())?;
        }
    }
    output.flush().map_err(|error| error.to_string())
}

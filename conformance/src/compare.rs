//! Compares what two sessions answered, record by record.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

/// What one session answered to all records: file and line to answer.
type Answers = BTreeMap<(String, u64), Value>;

fn answers(path: &Path) -> Result<Answers, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut answers = Answers::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()))?;
        let file = value["file"].as_str().unwrap_or_default().to_string();
        answers.insert((file, value["line"].as_u64().unwrap_or_default()), value);
    }
    Ok(answers)
}

/// The explained differences: reasons, and file and line with the reason's name.
struct Explained {
    reasons: BTreeMap<String, String>,
    /// the reasons whose records do not differ in every run
    sometimes: BTreeSet<String>,
    records: BTreeMap<(String, u64), String>,
}

/// Reads `reason NAME: sentence`, `sometimes NAME: sentence` (its records need not differ in every run) and `FILE:LINE NAME`
/// lines; `#` starts a comment.
fn explained(path: &Path) -> Result<Explained, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut list = Explained { reasons: BTreeMap::new(), sometimes: BTreeSet::new(), records: BTreeMap::new() };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let wrong = || format!("{}:{}: write `reason NAME: sentence` or `FILE:LINE NAME`", path.display(), number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let sometimes = line.strip_prefix("sometimes ");
        if let Some(reason) = line.strip_prefix("reason ").or(sometimes) {
            let (name, sentence) = reason.split_once(':').ok_or_else(wrong)?;
            if sometimes.is_some() {
                list.sometimes.insert(name.trim().to_string());
            }
            list.reasons.insert(name.trim().to_string(), sentence.trim().to_string());
            continue;
        }
        let (record, name) = line.split_once(' ').ok_or_else(wrong)?;
        let (file, line) = record.rsplit_once(':').ok_or_else(wrong)?;
        if !list.reasons.contains_key(name.trim()) {
            return Err(format!("{}:{}: no reason is named `{name}`", path.display(), number + 1));
        }
        list.records.insert((file.to_string(), line.parse().map_err(|_| wrong())?), name.trim().to_string());
    }
    Ok(list)
}

/// Whether the record is about plans: those differ on purpose and are compared by tests of the rules.
fn is_about_plans(sql: &str) -> bool {
    let sql = sql.trim_start().to_ascii_lowercase();
    sql.starts_with("explain") || sql.starts_with("show") || sql.contains("information_schema.df_settings")
}

/// The rows in any order.
fn sorted(answer: &Value) -> Option<Vec<&str>> {
    let mut rows = answer["rows"].as_array()?.iter().filter_map(Value::as_str).collect::<Vec<_>>();
    rows.sort_unstable();
    Some(rows)
}

fn shown(value: &Value) -> String {
    let text = match (&value["rows"], &value["error"]) {
        (Value::Array(rows), _) => rows.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "),
        (_, error) => format!("error: {}", error.as_str().unwrap_or_default()),
    };
    text.chars().take(400).collect()
}

/// Prints the counts and every difference without a reason; fails on one, and on a reason that explains nothing any more.
///
/// # Errors
/// A file cannot be read, or there are differences without a reason.
pub(crate) fn run(stock: &Path, cxql: &Path, list: &Path) -> Result<(), String> {
    let (stock, cxql, list) = (answers(stock)?, answers(cxql)?, explained(list)?);
    let (mut plans, mut failing, mut better, mut compared, mut equal, mut answered) = (0, 0, 0, 0, 0, 0);
    let mut used = BTreeSet::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = vec![];
    for (record, theirs) in &stock {
        let sql = theirs["sql"].as_str().unwrap_or_default();
        if is_about_plans(sql) {
            plans += 1;
            continue;
        }
        let ours = cxql.get(record).unwrap_or(&Value::Null);
        if theirs["passed"] == true {
            compared += 1;
            if ours["passed"] == true {
                equal += 1;
                continue;
            }
        } else if theirs["rows"].is_array() && theirs["query"] == true {
            // over a table of our own, or written in another way: the two sessions are compared with one another
            answered += 1;
            if sorted(theirs) == sorted(ours) {
                continue;
            }
        } else {
            // a table, function or file that is not here
            failing += 1;
            better += usize::from(ours["passed"] == true);
            continue;
        }
        match list.records.get(record) {
            Some(reason) => {
                used.insert(record.clone());
                *counts.entry(reason.as_str()).or_default() += 1;
            }
            None => unexplained.push(format!(
                "{}:{}\n  {}\n  stock: {}\n  cxql:  {}\n",
                record.0,
                record.1,
                sql.replace('\n', "\n  "),
                shown(theirs),
                shown(ours)
            )),
        }
    }
    println!(
        "{} records: {plans} about plans, {failing} that stock DataFusion cannot run here ({better} of them pass in cxql)",
        stock.len()
    );
    println!("{compared} compared by what their file expects: {equal} equal, {} different", compared - equal);
    println!("{answered} without a fitting expectation compared with stock DataFusion's answer");
    for (reason, count) in counts {
        println!("  {count} {reason}: {}", list.reasons[reason]);
    }
    let is_due =
        |(record, reason): &(&(String, u64), &String)| !used.contains(*record) && !list.sometimes.contains(*reason);
    let idle = list.records.iter().filter(is_due).map(|(record, _)| record).collect::<Vec<_>>();
    for (file, line) in &idle {
        println!("{file}:{line} is listed but does not differ: remove it");
    }
    for difference in &unexplained {
        println!("{difference}");
    }
    match (unexplained.len(), idle.len()) {
        (0, 0) => Ok(()),
        (differences, idle) => {
            Err(format!("{differences} differences without a reason, {idle} reasons without a difference"))
        }
    }
}

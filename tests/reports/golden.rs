//! Every shipped report runs over the sample data, its checks hold, and its rows are those of `tests/golden`.
//!
//! `UPDATE_GOLDEN=1 cargo test --test reports golden` writes the files anew; read the difference before you commit it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::program::{Project, Table, root};

/// Sums of fractions depend on the order in which threads add them.
const TOLERANCE: f64 = 1e-9;

/// The shipped reports with their numbers of sections.
fn reports() -> Vec<(String, usize)> {
    let mut reports = Vec::new();
    for kind in fs::read_dir(root().join("sql")).expect("there is sql/") {
        let kind = kind.expect("sql/ can be read").path();
        if kind.file_name().is_some_and(|name| name == "views") {
            continue;
        }
        for file in fs::read_dir(kind).expect("a folder of reports can be read") {
            let path = file.expect("a folder of reports can be read").path();
            let text = fs::read_to_string(&path).expect("a report can be read");
            let sections = text.lines().filter(|line| line.starts_with("-- section:")).count().max(1);
            let name = path.file_stem().expect("a report has a name").to_string_lossy().into_owned();
            reports.push((name, sections));
        }
    }
    reports.sort();
    reports
}

fn golden(report: &str, section: usize, sections: usize) -> PathBuf {
    let name = if sections == 1 { format!("{report}.csv") } else { format!("{report}.{section}.csv") };
    root().join("tests/golden").join(name)
}

#[test]
fn every_report_gives_its_golden_rows() {
    let project = Project::shipped();
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut known = BTreeSet::new();
    let mut faults = Vec::new();
    for (report, sections) in reports() {
        for section in 1..=sections {
            let path = golden(&report, section, sections);
            let text = project.output(&["run", &report, "--section", &section.to_string(), "-f", "csv"]);
            known.insert(path.clone());
            if is_update {
                fs::create_dir_all(root().join("tests/golden")).expect("tests/golden can be made");
                fs::write(&path, text).expect("a golden file can be written");
                continue;
            }
            let Ok(expected) = fs::read_to_string(&path) else {
                faults.push(format!("{} is missing; see the top of golden.rs", path.display()));
                continue;
            };
            let (result, expected) = (Table::parse(&text), Table::parse(&expected));
            let compare = || result.assert_equal(&expected, TOLERANCE, &format!("{report}, section {section}"));
            if let Err(fault) = std::panic::catch_unwind(compare) {
                faults.push(fault.downcast_ref::<String>().cloned().unwrap_or_else(|| format!("{report} differs")));
            }
        }
    }
    for file in fs::read_dir(root().join("tests/golden")).expect("there is tests/golden") {
        let path = file.expect("tests/golden can be read").path();
        if !known.contains(&path) {
            faults.push(format!("{} belongs to no report", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// With one thread no part of a plan runs beside another: what waits for a part that comes later would wait for ever.
#[test]
fn every_report_runs_with_one_thread() {
    let output = Project::shipped().output(&["check", "--threads", "1"]);
    assert!(output.lines().last().unwrap_or_default().ends_with(" 0 failed"), "{output}");
}

#[test]
fn every_view_and_report_fits_the_sample_data_and_its_checks_hold() {
    let output = Project::shipped().output(&["check"]);
    let last = output.lines().last().unwrap_or_default();
    assert!(last.ends_with(" 0 failed"), "{output}");
    let view_count = fs::read_dir(root().join("sql/views")).expect("there is sql/views").count();
    let outcomes = output.lines().filter(|line| !line.starts_with("note "));
    assert_eq!(outcomes.count(), view_count + reports().len() + 1, "{output}");
}

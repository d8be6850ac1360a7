//! Reports over real exports, against figures that the scripts in `tests/expected` computed without the program.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::program::{Project, Table, assert_begins, assert_is, root};

fn shared(file: &str) -> Option<PathBuf> {
    let found = root().join("../shared/data").join(file).canonicalize().ok();
    if found.is_none() {
        println!("skipped: ../shared/data/{file} is not here");
    }
    found
}

#[test]
fn servicenow_figures_are_those_of_duckdb_and_pandas() {
    let Some(archive) = shared("servicenow_incidents/incident_event_log.zip") else { return };
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).expect("the archive opens")).expect("it is a zip");
    let mut log = archive.by_name("incident_event_log.csv").expect("the log is in it");
    let mut file = fs::File::create(data.path().join("incident_event_log.csv")).expect("a file in the folder");
    io::copy(&mut log, &mut file).expect("the log is unpacked");
    let project = Project::of_tests("servicenow", data.path());

    assert_is(&project.run("fcr_by_window", 1, &[]), "servicenow_fcr_by_window.csv");
    assert_begins(&project.run("fcr_by_topic", 1, &[]), "servicenow_fcr_by_category.csv");
    assert_begins(&project.run("fcr_by_caller_category", 1, &[]), "servicenow_fcr_by_caller_category.csv");
    assert_is(&project.run("reopened_and_transferred", 1, &[]), "servicenow_shares.csv");
    assert_begins(&project.run("reopened_and_transferred", 2, &[]), "servicenow_shares_by_category.csv");
    assert_begins(&project.run("reopened_and_transferred", 3, &[]), "servicenow_shares_by_group.csv");
    assert_is(&project.run("resolution_time_outliers", 1, &[]), "servicenow_resolution_time.csv");

    // every shipped report fits the mapped export; written out once, so that the log is not read again for each of them
    let model = tempfile::tempdir().expect("a temporary folder");
    let table = model.path().join("interactions.parquet");
    project.output(&["query", "select * from interactions", "-o", table.to_str().expect("the path is UTF-8")]);
    let check = Project::over(model.path()).output(&["check"]);
    assert!(check.lines().last().unwrap_or_default().ends_with(" 0 failed"), "{check}");
}

#[test]
fn new_york_figures_are_those_of_pandas() {
    let Some(cases) = shared("nyc_constituent_services/nycomplaints.csv.gz") else { return };
    let project = Project::of_tests("nyc", cases.parent().expect("the file is in a folder"));

    assert_is(&project.run("volume_by_month", 1, &[]), "nyc_volume_by_month.csv");
    let boroughs = project.run("volume_by_month", 2, &[]);
    let recent = Table {
        rows: boroughs.rows.iter().filter(|row| row[0].as_str() >= "2023-01-01").cloned().collect(),
        columns: boroughs.columns,
    };
    assert_is(&recent, "nyc_volume_by_borough.csv");
    assert_is(&project.run("backlog", 1, &["step=month"]), "nyc_backlog.csv");
    assert_begins(&project.run("resolution_time", 1, &[]), "nyc_resolution_time.csv");
}

/// The export alone has no comment of any of its tickets: made-up rows stand after its own. What a report of business time shows
/// was counted second by second in Python.
#[test]
fn zendesk_tickets_have_the_business_time_that_was_counted_second_by_second() {
    let Some(export) = shared("vendor_exports/zendesk") else { return };
    let data = tempfile::tempdir().expect("a temporary folder");
    let made_up = root().join("tests/projects/zendesk/made_up");
    for file in fs::read_dir(export).expect("the export is a folder") {
        let path = file.expect("the folder can be read").path();
        let name = path.file_name().expect("a file has a name");
        let Ok(mut text) = fs::read_to_string(&path) else { continue };
        if let Ok(more) = fs::read_to_string(made_up.join(name)) {
            text = format!("{}\n{more}", text.trim_end());
        }
        fs::write(data.path().join(name), text).expect("a file in the folder");
    }
    let project = Project::of_tests("zendesk", data.path());
    assert_is(&project.run("ticket_sla", 1, &[]), "zendesk_ticket_sla.csv");
    let check = project.output(&["check", "ticket_sla", "tickets", "ticket_spans", "sla_clock", "sla_times"]);
    assert!(check.lines().last().unwrap_or_default().ends_with(" 0 failed"), "{check}");

    // the note of an agent at 23:45 was no reply; the first business second of Monday, after the clock change, counts
    let notes = project.query(
        "select count(*) as n from comment_export inner join user_export on user_export.id = user_id \
         where not public and role = 'agent' and ticket_id = '20001'",
    );
    assert_eq!(notes.numbers("n"), [1.0]);
}

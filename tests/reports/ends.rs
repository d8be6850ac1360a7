//! Figures at the ends of the data: an extract says of a contact what the whole data says of it, or nothing.

use tempfile::TempDir;

use crate::program::{Project, assert_is};

/// The contacts of some days of the sample data, in a folder of their own.
fn extract(from: &str, until: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("interactions.parquet");
    let days = format!("started_at >= timestamp '{from}' and started_at < timestamp '{until}'");
    let sql = format!("select * from interactions where {days}");
    Project::shipped().output(&["query", &sql, "-o", file.to_str().expect("the path is UTF-8")]);
    folder
}

#[test]
fn an_extract_gives_the_figures_of_the_whole_data_for_the_contacts_that_it_judges() {
    let folder = extract("2025-03-01", "2025-04-01");
    let (part, whole) = (Project::over(folder.path()), Project::shipped());
    let judged = "select count(is_repeat) as judged_count, count(*) filter (where is_repeat) as repeat_count, \
                  min(started_at) as first_at, max(started_at) as last_at from contact_outcomes where is_repeat is not null";
    let known = judged.replace("is_repeat", "is_first_contact_resolved");
    for sql in [judged, known.as_str()] {
        let of_part = part.query(sql);
        let ends = format!(
            " and started_at between timestamp '{}' and timestamp '{}'",
            of_part.texts("first_at")[0],
            of_part.texts("last_at")[0]
        );
        assert!(of_part.numbers("judged_count")[0] > 500.0, "{of_part:?}");
        assert_eq!(of_part, whole.query(&format!("{sql}{ends}")), "{sql}");
    }
}

#[test]
fn a_window_for_which_the_data_is_too_short_is_unknown_and_says_so() {
    let folder = extract("2025-03-01", "2025-04-01");
    let project = Project::over(folder.path());
    let windows = project.run("fcr_by_window", 1, &[]);
    // 31 days hold no contact with 30 days before and after it, and some with 14.
    assert_eq!(windows.filter(&[("window_days", "30")]).texts("fcr_ratio"), [""]);
    assert_eq!(windows.number(&[("window_days", "30")], "known_count"), 0.0);
    assert!(windows.number(&[("window_days", "14")], "known_count") > 0.0);
    for days in ["1", "3", "7", "14"] {
        let figure = |column| windows.number(&[("window_days", days)], column);
        let judged = figure("contact_count") - figure("early_count");
        let repeats = (figure("repeat_ratio") * judged).round();
        assert_eq!(judged, repeats + figure("unknown_count") + figure("known_count"), "{days} days");
        // Both estimate the share in one month of the same contacts: within three of the margins.
        let distance = (figure("fcr_ratio") - figure("fcr_survival_ratio")).abs();
        assert!(distance < 3.0 * figure("fcr_survival_margin"), "{days} days: {windows:?}");
    }
    let notes = String::from_utf8(project.cxql(&["run", "fcr_by_window"]).stderr).expect("notes are UTF-8");
    let about: Vec<&str> = notes.lines().filter(|line| line.contains("a window of")).collect();
    assert!(about.len() == 1 && about[0].contains("a window of 30 days"), "{notes}");
}

#[test]
fn resolution_of_a_period_shorter_than_its_window_is_unknown_not_zero() {
    let project = Project::shipped();
    let week = project.run("kpi_overview", 1, &["period=7 days"]);
    let fcr = week.filter(&[("kpi", "first-contact resolution")]);
    assert_eq!((fcr.texts("value"), fcr.texts("known_count")), (vec![""], vec!["0"]));
    assert!(fcr.numbers("previous_value")[0] > 0.5, "{fcr:?}");
    let notes = |period| {
        let output = project.cxql(&["run", "kpi_overview", "-p", period]);
        String::from_utf8(output.stderr).expect("notes are UTF-8")
    };
    assert!(notes("period=7 days").contains("first-contact resolution of the newest period is not known"));
    assert!(!notes("period=28 days").contains("is not known"));
}

#[test]
fn relations_are_what_scipy_computes() {
    assert_is(&Project::shipped().run("relations", 1, &[]), "sample_relations.csv");
}

#[test]
fn churn_after_repeats_is_what_plain_loops_count() {
    assert_is(&Project::shipped().run("churn_after_repeats", 1, &[]), "sample_churn.csv");
}

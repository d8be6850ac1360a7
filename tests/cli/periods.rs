//! Periods: what the data do not cover has no figures, parts of periods are marked, and `until` gives a report the
//! figures of a date. The data are made so that the figures can be counted by hand.

use super::program::Folder;

/// Contacts of 5 per day from Monday 2025-03-03 to Sunday 2025-03-16, one per hour from 08:00; 2 of 5 are of `billing` in
/// the first week, 3 of 5 in the second.
fn two_weeks() -> Folder {
    let mut text = "interaction_id,customer_id,started_at,topic,channel\n".to_string();
    for day in 3..=16 {
        for hour in 0..5 {
            let billing = if day < 10 { 2 } else { 3 };
            let topic = if hour < billing { "billing" } else { "delivery" };
            text += &format!("{day}-{hour},c{day}{hour},2025-03-{day:02}T{:02}:00:00Z,{topic},phone\n", 8 + hour);
        }
    }
    over(&[("data/interactions.csv", &text)])
}

/// A project over CSV tables.
fn over(files: &[(&str, &str)]) -> Folder {
    let tables = "[tables.interactions]\npath = \"interactions.csv\"\n[tables.surveys]\npath = \"surveys.csv\"\n";
    let tables = if files.len() > 1 { tables } else { &tables[..tables.find("[tables.s").unwrap()] };
    Folder::with(&[files, &[("cxql.toml", tables)]].concat())
}

fn kpi(folder: &Folder, args: &[&str]) -> Vec<String> {
    let text = folder.cxql(&[&["run", "kpi_overview", "-f", "csv"], args].concat()).out();
    // value, previous value and difference of the contacts
    let line = text.lines().find(|line| line.starts_with("contacts,")).unwrap_or_default().to_string();
    line.split(',').skip(2).take(3).map(str::to_string).collect()
}

#[test]
fn periods_that_the_data_do_not_cover_have_no_figures() {
    let folder = two_weeks();
    // two whole weeks of 35 contacts each; the periods end with the newest contact
    assert_eq!(kpi(&folder, &["-p", "period=7 days"]), ["35.0", "35.0", "0.0"]);
    // of the 14 days before 3 March nothing is known: no change of +70
    assert_eq!(kpi(&folder, &["-p", "period=14 days"]), ["70.0", "", ""]);
    assert_eq!(kpi(&folder, &["-p", "period=28 days"]), ["70.0", "", ""]);
    // a calendar week
    assert_eq!(kpi(&folder, &["-p", "period=7 days", "-p", "until=2025-03-17"]), ["35.0", "35.0", "0.0"]);
    // three days from the 9th on, and the three before
    assert_eq!(kpi(&folder, &["-p", "period=3 days", "-p", "until=2025-03-12"]), ["15.0", "15.0", "0.0"]);
    // before 10 March there is one week and nothing before it
    assert_eq!(kpi(&folder, &["-p", "period=7 days", "-p", "until=2025-03-10"]), ["35.0", "", ""]);
    // the data end on the 16th: the week until the 20th has four of its days, 20 contacts, and does not compare
    assert_eq!(kpi(&folder, &["-p", "period=7 days", "-p", "until=2025-03-20"]), ["20.0", "", ""]);
    for until in ["until=2025-03-03", "until=2024-01-01", "until=2026-01-01"] {
        assert_eq!(kpi(&folder, &["-p", "period=7 days", "-p", until]), ["", "", ""], "{until}");
    }
    // why is said
    let said = |args: &[&str], wanted: &str| {
        folder.cxql(&[&["run", "kpi_overview"], args].concat()).says(wanted);
    };
    said(&["-p", "period=14 days"], "not all of the period before, 2025-02-16 to before 2025-03-02");
    said(&["-p", "period=7 days", "-p", "until=2025-03-20"], "a part of the newest period");
    said(&["-p", "until=2024-01-01"], "nothing of the newest period");
    let quiet = folder.cxql(&["run", "kpi_overview", "-p", "period=7 days"]).err;
    assert!(!quiet.contains("the data cover"), "{quiet}");
}

#[test]
fn changes_by_topic_need_both_periods() {
    let folder = two_weeks();
    let changes = |args: &[&str]| {
        let text = folder.cxql(&[&["run", "topic_changes", "-f", "csv"], args].concat()).out();
        let first = |line: &str| line.split(',').take(6).collect::<Vec<_>>().join(",");
        text.lines().skip(1).map(first).collect::<Vec<_>>()
    };
    // billing 3 * 7 after 2 * 7, delivery 2 * 7 after 3 * 7
    let wanted = ["billing,21,14,7,0.5,0.5", "delivery,14,21,-7,-0.3333333333333333,0.5"];
    assert_eq!(changes(&["-p", "period=7 days"]), wanted);
    assert_eq!(changes(&["-p", "period=7 days", "-p", "until=2025-03-17"]), wanted);
    assert_eq!(changes(&["-p", "period=14 days"]), ["billing,35,,,,", "delivery,35,,,,"]);
    assert_eq!(changes(&["-p", "period=7 days", "-p", "until=2025-03-10"]), ["delivery,21,,,,", "billing,14,,,,"]);
}

#[test]
fn parts_of_weeks_and_months_are_marked() {
    let folder = two_weeks();
    let section = |report: &str, number: &str, args: &[&str]| {
        let all = [&["run", report, "--section", number, "-f", "csv"], args].concat();
        let text = folder.cxql(&all).out();
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            format!("{} {}", cells[0], cells[cells.len() - 1])
        };
        text.lines().skip(1).map(row).collect::<Vec<_>>()
    };
    assert_eq!(section("contact_volume", "2", &[]), ["2025-03-03 false", "2025-03-10 false"]);
    assert_eq!(
        section("contact_volume", "2", &["-p", "since=2025-03-04", "-p", "until=2025-03-17"]),
        ["2025-03-03 true", "2025-03-10 false"]
    );
    assert_eq!(section("contact_volume", "2", &["-p", "until=2025-03-16"]), ["2025-03-03 false", "2025-03-10 true"]);
    // March is known from the 3rd to the 16th
    assert_eq!(section("fcr_by_month", "1", &[]), ["2025-03-01 true"]);
    assert_eq!(section("backlog", "1", &["-p", "step=week"]), ["2025-03-03 false", "2025-03-10 false"]);
    assert_eq!(
        section("backlog", "1", &["-p", "step=week", "-p", "until=2025-03-12"]),
        ["2025-03-03 false", "2025-03-10 true"]
    );
    // six days are no mean of seven
    let days = folder.cxql(&["run", "contact_volume", "--section", "1", "-f", "csv"]).out();
    let means: Vec<&str> = days.lines().skip(1).map(|line| line.split(',').nth(4).unwrap()).collect();
    assert_eq!(means, [&[""; 6][..], &["5.0"; 8]].concat());
    let days = folder.cxql(&["run", "contact_volume", "--section", "1", "-p", "until=2025-03-10", "-f", "csv"]).out();
    assert_eq!(days.lines().count(), 8, "{days}");
}

#[test]
fn a_week_of_a_team_that_works_from_monday_to_friday_is_whole_on_friday() {
    let mut text = "interaction_id,customer_id,started_at\n".to_string();
    // three weeks from Monday 3 March, no contact on Saturdays and Sundays, the last on Friday the 21st
    for day in (3..=21).filter(|day| (day - 3) % 7 < 5) {
        text += &format!("i{day},c{day},2025-03-{day:02}T09:00:00Z\n");
    }
    let folder = over(&[("data/interactions.csv", &text)]);
    let covered = folder.cxql(&["query", "select * from covered_period", "-f", "csv"]).out();
    assert_eq!(covered, "covered_from,covered_until\n2025-03-01T00:00:00Z,2025-03-24T00:00:00Z\n");
    let weeks = folder.cxql(&["run", "contact_volume", "--section", "2", "-f", "csv"]).out();
    assert!(weeks.lines().skip(1).all(|line| line.ends_with(",false")), "{weeks}");
}

#[test]
fn a_score_of_one_answer_has_no_interval() {
    let contacts = "interaction_id,customer_id,started_at\na,1,2025-03-01T09:00:00Z\nb,2,2025-04-30T09:00:00Z\n";
    let surveys = "survey_id,interaction_id,customer_id,responded_at,kind,score\n\
                   1,a,1,2025-03-02T09:00:00Z,nps,10\n2,b,2,2025-04-30T10:00:00Z,nps,3\n";
    let folder = over(&[("data/interactions.csv", contacts), ("data/surveys.csv", surveys)]);
    let months = folder.cxql(&["run", "nps_by_month", "--section", "1", "-f", "csv"]).out();
    let lines: Vec<&str> = months.lines().skip(1).collect();
    assert_eq!(lines, ["2025-03-01,1,1,0,0,100.0,,,,false", "2025-04-01,1,0,0,1,-100.0,,,,false"]);
}

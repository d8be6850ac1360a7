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

/// Contacts of 5 per day in the 28 days from Monday 2025-03-03 to Sunday 2025-03-30, and `strays` of 1970.
fn four_weeks(strays: usize) -> Folder {
    let mut text = "interaction_id,customer_id,started_at,topic,channel\n".to_string();
    for stray in 0..strays {
        text += &format!("stray{stray},s{stray},1970-01-01T00:0{stray}:00Z,billing,phone\n");
    }
    for day in 3..=30 {
        for hour in 8..13 {
            text += &format!("{day}-{hour},c{day}{hour},2025-03-{day:02}T{hour:02}:00:00Z,billing,phone\n");
        }
    }
    over(&[("data/interactions.csv", &text)])
}

#[test]
fn a_stray_contact_of_1970_does_not_begin_the_data() {
    let folder = four_weeks(1);
    // 1 of 141 is 0.7 %; of the 28 days before nothing is known
    let observed = folder.cxql(&["query", "select observed_from, stray_count from observed_period", "-f", "csv"]).out();
    assert_eq!(observed, "observed_from,stray_count\n2025-03-03T08:00:00Z,1\n");
    assert_eq!(kpi(&folder, &["-p", "period=14 days"]), ["70.0", "70.0", "0.0"]);
    assert_eq!(kpi(&folder, &["-p", "period=28 days"]), ["140.0", "", ""]);
    let days = folder.cxql(&["run", "contact_volume", "--section", "1", "-f", "csv"]);
    days.says("1 of 141 contacts start before 2025-03-03 and apart from all others, by more than 30 days");
    assert_eq!(days.out().lines().count(), 1 + 28);
    let months = folder.cxql(&["run", "fcr_by_month", "-f", "csv"]).out();
    // 7 days of 5 contacts are too early
    assert!(months.lines().count() == 2 && months.contains("\n2025-03-01,140,35,"), "{months}");
    let found = folder.cxql(&["run", "data_quality", "-f", "csv"]).out();
    assert!(found.contains("interactions,started_at,far before all others,1,141,"), "{found}");
    // 2 of 142 are 1.4 %: the data begin with them, as few as they are
    let sql = "select cast(observed_from as date) as d, stray_count from observed_period";
    assert_eq!(four_weeks(2).query(sql).out(), "d,stray_count\n1970-01-01,0\n");
    assert_eq!(four_weeks(0).query(sql).out(), "d,stray_count\n2025-03-03,0\n");
}

#[test]
fn hours_of_the_week_are_counted_from_since_to_until() {
    let folder = two_weeks();
    let hour = |args: &[&str]| {
        let text = folder.cxql(&[&["run", "contact_volume", "--section", "3", "-f", "csv"], args].concat()).out();
        text.lines().find(|line| line.starts_with("1,8,")).unwrap_or_default().to_string()
    };
    // Mondays at 8: two in the data, one from the 10th on, one before it
    assert_eq!(hour(&[]), "1,8,2,2,1.0");
    assert_eq!(hour(&["-p", "since=2025-03-10"]), "1,8,1,1,1.0");
    assert_eq!(hour(&["-p", "until=2025-03-10"]), "1,8,1,1,1.0");
    assert_eq!(hour(&["-p", "since=2025-03-12", "-p", "until=2025-03-11"]), "");
}

#[test]
fn why_first_contact_resolution_is_not_known_is_said() {
    let reason = |folder: &Folder, period: &str, until: &str| {
        let (period, until) = (format!("period={period}"), format!("until={until}"));
        let ran = folder.cxql(&["run", "kpi_overview", "-p", &period, "-p", &until]);
        let note = ran.err.lines().find_map(|line| line.split_once("of the newest period is not known: "));
        note.map(|(_, reason)| reason.to_string()).unwrap_or_default()
    };
    // known are first contacts from the 10th, 8:00, to the 23rd, 12:00
    let folder = four_weeks(0);
    assert_eq!(reason(&folder, "7 days", "2025-03-24"), "");
    assert_eq!(reason(&folder, "10 days", "2025-03-31"), "");
    assert!(reason(&folder, "7 days", "2025-03-31").starts_with("the 7 days of its contacts have not elapsed"));
    assert!(reason(&folder, "7 days", "2025-03-10").starts_with("the data begin less than 7 days before"));
    // the data end on the 30th: the last 3 of these 10 days are not in them
    assert!(reason(&folder, "9 days", "2025-04-02").starts_with("the 7 days of its contacts have not elapsed"));
    assert!(reason(&two_weeks(), "8 days", "2025-03-16").starts_with("the data would have to hold 7 days before"));
}

/// The shipped reports with a parameter `since`.
fn with_since() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut names = vec![];
    for kind in ["descriptive", "diagnostic"] {
        for file in std::fs::read_dir(root.join(kind)).unwrap() {
            let path = file.unwrap().path();
            if std::fs::read_to_string(&path).unwrap().contains("-- param: since ") {
                names.push(path.file_stem().unwrap().to_str().unwrap().to_string());
            }
        }
    }
    names.sort();
    names
}

#[test]
fn every_report_says_that_a_period_is_not_covered() {
    let folder = two_weeks();
    let names = with_since();
    assert!(names.len() > 25, "{names:?}");
    let covered = "the data cover 2025-03-03 to before 2025-03-17: ";
    for name in &names {
        let ran = folder.cxql(&["run", name, "--section", "1", "-p", "since=2025-04-01", "-f", "csv"]);
        ran.says(&format!("{covered}nothing from 2025-04-01 on"));
    }
    let said = |args: &[&str], wanted: &str| {
        let ran = folder.cxql(&[&["run", "abandonment", "--section", "1"], args].concat());
        if wanted.is_empty() {
            assert!(!ran.err.contains("the data cover") && !ran.err.contains("is not before"), "{ran:?}");
        } else {
            ran.says(wanted);
        }
    };
    said(&[], "");
    said(&["-p", "since=2025-03-03", "-p", "until=2025-03-17"], "");
    said(&["-p", "until=2025-03-03"], &format!("{covered}nothing before 2025-03-03"));
    said(&["-p", "since=2025-03-01"], &format!("{covered}a part of the period from 2025-03-01"));
    let week = ["-p", "since=2025-03-12", "-p", "until=2025-03-19"];
    said(&week, &format!("{covered}a part of the period from 2025-03-12 to before 2025-03-19"));
    let later = ["-p", "since=2025-03-17", "-p", "until=2025-03-24"];
    said(&later, &format!("{covered}nothing of the period from 2025-03-17 to before 2025-03-24"));
    let none = ["-p", "since=2025-03-12", "-p", "until=2025-03-10"];
    said(&none, "since, 2025-03-12, is not before until, 2025-03-10: no row is between them");
    // counts of hours that the data do not cover are no zeros
    let hours = folder.cxql(&["run", "service_level_by_hour_of_week", "-p", "since=2025-04-01", "-f", "csv"]).out();
    assert!(hours.lines().count() == 169 && hours.lines().nth(1) == Some("1,0,,,,"), "{hours}");
    // five of seven days
    let sql = "select covered_ratio from reports.period_coverage(since => '2025-03-12', until => '2025-03-19')";
    assert_eq!(folder.query(sql).out(), format!("covered_ratio\n{}\n", 5.0 / 7.0));
    // SQL that reads a report has its notes
    let sql = "select count(*) as n from reports.abandonment(since => '2025-04-01')";
    folder.query(sql).says(&format!("{covered}nothing from 2025-04-01 on"));
    folder.query("select kpi from reports.kpi_overview(until => '2026-03-01')").says("nothing of the newest period");
}

#[test]
fn answers_without_contacts_have_their_own_period() {
    let surveys = "survey_id,responded_at,kind,score\n1,2025-03-02T09:00:00Z,nps,10\n2,2025-03-20T09:00:00Z,nps,3\n\
                   3,2025-04-02T09:00:00Z,NPS,9\n4,2025-04-03T09:00:00Z,Net Promoter,5\n";
    let tables = "[tables.surveys]\npath = \"surveys.csv\"\n";
    let folder = Folder::with(&[("data/surveys.csv", surveys), ("cxql.toml", tables)]);
    // the last 7 days have the answer 9; contacts are not known, which is not 0
    let ran = folder.cxql(&["run", "kpi_overview", "-p", "period=7 days", "-f", "csv"]);
    let figures = ran.out();
    assert!(figures.contains("net promoter score,points,100.0,") && figures.contains("contacts,count,,,"), "{figures}");
    ran.says("1 of 4 survey answers are of no kind that is known, such as \"net promoter\"");
    // 2 March to 3 April: a part of both months
    let months = folder.cxql(&["run", "nps_by_month", "--section", "1", "-f", "csv"]).out();
    let lines: Vec<&str> = months.lines().skip(1).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with(",true")), "{months}");
}

#[test]
fn scores_between_the_numbers_of_their_scale_are_left_out_with_a_note() {
    let mut surveys = "survey_id,responded_at,kind,score\n".to_string();
    for (id, kind, score) in [
        (1, "csat", "5"),
        (2, "csat", "4.5"),
        (3, "csat", "4.5"),
        (4, "csat", "3"),
        (5, "csat", "2.5"),
        (6, "nps", "9"),
        (7, "nps", "8.5"),
    ] {
        surveys += &format!("{id},2025-03-02T09:00:00Z,{kind},{score}\n");
    }
    let tables = "[tables.surveys]\npath = \"surveys.csv\"\n";
    let folder = Folder::with(&[("data/surveys.csv", &surveys), ("cxql.toml", tables)]);
    // 5 and 3 count: one of two is satisfied, the mean is 4
    let ran = folder.cxql(&["run", "csat_by_channel", "--section", "1", "-f", "csv"]);
    let row = ran.out().lines().nth(1).unwrap_or_default().to_string();
    assert!(row.starts_with(",2,1,0.5,") && row.ends_with(",4.0"), "{row}");
    ran.says("3 of 5 CSAT answers have no score on the scale: left out");
    let ran = folder.cxql(&["run", "nps_by_month", "--section", "1", "-f", "csv"]);
    assert!(ran.out().contains("\n2025-03-01,1,1,0,0,100.0,"), "{}", ran.out());
    let found = folder.cxql(&["run", "data_quality", "-f", "csv"]).out();
    assert!(found.contains("surveys,score,csat score off the scale,3,5,0.6"), "{found}");
}

//! Report files: their headers, parameters, what they may do, and how they are found.

use super::program::{Folder, sample};

/// A report file's text, and what the message must say; the place is `sql/kpi/bad.sql:LINE:COLUMN`.
const FAULTS: [(&str, &str, &[&str]); 18] = [
    ("-- titel: A\nselect 1 as a", "1:4", &["unknown header key `titel`", "did you mean `title`?"]),
    ("-- title: A\n-- title: B\nselect 1 as a", "2:4", &["`title`", "twice"]),
    ("-- title:\nselect 1 as a", "1:4", &["`title` has no value"]),
    ("-- title: A\n", "1:4", &["no statement"]),
    ("-- param: x timestmp\nselect $x as a", "1:13", &["`timestmp`", "did you mean `timestamp`?", "integer"]),
    ("-- param: x integer = abc\nselect $x as a", "1:23", &["`abc` is no integer", "42"]),
    ("-- param: x integer = 1\nselect 1 as a", "1:11", &["`x` is never used", "$x"]),
    ("-- param: x integer = 1\n-- param: x text = a\nselect $x as a", "2:11", &["`x`", "twice"]),
    ("-- title: A\nselect $y as a", "2:8", &["$y", "-- param: y"]),
    ("-- title: A\n-- chart: bar x=topic y=a\nselect 1 as a", "2:17", &["no column `topic`", "are a"]),
    ("-- title: A\n-- chart: bra x=a y=a\nselect 1 as a", "2:11", &["`bra`", "did you mean `bar`?"]),
    ("-- title: A\n-- alert: min(a)\nselect 1 as a", "2:11", &["true or false", "compare it"]),
    ("-- title: A\n-- alert: min(b) > 1\nselect 1 as a", "2:15", &["no column `b`"]),
    ("-- title: A\n-- check: min(a) > 0\nselect 1 as a", "2:11", &["aggregate", "alert"]),
    ("-- title: A\n-- check: b > 0\nselect 1 as a", "2:11", &["no column `b`"]),
    ("-- title: A\n-- check: a +\nselect 1 as a", "2:14", &["expression"]),
    ("-- title: A\nselect 1 as a\nwhere scor > 3", "3:7", &["no column `scor`"]),
    ("-- title: A\nselect 1 as a;\n-- param: x text\nselect 2 as b", "3:4", &["top of the file"]),
];

#[test]
fn a_fault_of_a_report_is_shown_at_its_place() {
    for (text, place, wanted) in FAULTS {
        let folder = Folder::with(&[("sql/kpi/bad.sql", text)]);
        let place = format!("sql/kpi/bad.sql:{place}\n");
        let ran = folder.cxql(&["run", "bad"]);
        ran.fails(1, wanted).fails(1, &[&place]);
        assert_eq!(ran.text(), "", "{text}");
        // `check` tells the same
        let checked = folder.cxql(&["check", "bad"]);
        assert_eq!(checked.code, 1, "{text}");
        assert!(checked.text().contains(&place) && checked.text().contains(wanted[0]), "{}", checked.text());
    }
}

#[test]
fn a_wrong_parameter_is_a_fault_of_usage() {
    let text = "-- title: A\n-- param: since timestamp\n-- param: limit_count integer = 3\n\
                select $since as since_at, $limit_count as n";
    let folder = Folder::with(&[("sql/kpi/when.sql", text)]);
    let run = |given: &[&str]| {
        let mut args = vec!["run", "when"];
        given.iter().for_each(|value| args.extend(["-p", value]));
        folder.cxql(&args)
    };
    assert_eq!(run(&["since=2025-03-01"]).out(), "since_at,n\n2025-03-01T00:00:00Z,3\n");
    assert_eq!(run(&["limit_count=7", "since=2025-03-01T08:30:00Z"]).out(), "since_at,n\n2025-03-01T08:30:00Z,7\n");
    run(&[]).fails(2, &["'when'", "-p since=", "timestamp", "cxql show when"]);
    run(&["since=soon"]).fails(2, &["'when'", "since", "`soon`", "timestamp", "2025-01-31"]);
    run(&["since=2025-02-30"]).fails(2, &["since", "`2025-02-30`"]);
    run(&["since=2025-01-01", "limit_count=2.5"]).fails(2, &["limit_count", "`2.5`", "integer"]);
    run(&["sinse=2025-01-01"]).fails(2, &["`sinse`", "did you mean `since`?"]);
    run(&["since=2025-01-01", "since=2025-01-02"]).fails(2, &["since", "twice"]);
    run(&["since"]).fails(2, &["name=value", "`since`"]);
}

#[test]
fn a_value_is_bound_and_never_becomes_sql() {
    let folder = Folder::with(&[("sql/kpi/say.sql", "-- param: x text\nselect $x as said")]);
    let evil = "x'; drop table surveys; --";
    assert_eq!(folder.cxql(&["run", "say", "-p", &format!("x={evil}")]).out(), format!("said\n{evil}\n"));
    assert_eq!(folder.cxql(&["run", "say", "-p", "x=a=b"]).out(), "said\na=b\n");
}

#[test]
fn a_report_only_reads() {
    let statements = [
        "drop table surveys",
        "copy surveys to 'made.csv'",
        "copy (select 1 as a) to 'made.csv'",
        "create external table t stored as csv location 'x.csv'",
        "create table t as select 1 as a",
        "insert into surveys select * from surveys",
        "update surveys set score = 1",
        "select 1 as a into t",
        "explain analyze copy (select 1 as a) to 'made.csv'",
        "set datafusion.execution.batch_size = 1",
    ];
    for statement in statements {
        let folder = Folder::with(&[("sql/kpi/bad.sql", &format!("-- title: A\n{statement}"))]);
        for args in [["run", "bad"], ["run", "sql/kpi/bad.sql"]] {
            let ran = folder.cxql(&[args[0], args[1], "--data", &sample()]);
            ran.fails(1, &["only read", "refused", "sql/kpi/bad.sql:2:"]);
        }
        assert_eq!(folder.names("."), ["sql"], "{statement}");
    }
}

#[test]
fn a_report_reads_tables_and_no_files_in_from() {
    let folder = Folder::with(&[("calls.csv", "a\n1\n"), ("sql/kpi/bad.sql", "select *\nfrom 'calls.csv'")]);
    folder.cxql(&["run", "bad"]).fails(1, &["calls.csv", "sql/kpi/bad.sql:2:6", "[tables]", "cxql.toml"]);
}

#[test]
fn a_report_that_is_not_utf8_is_named() {
    let folder = Folder::new();
    folder.write("sql/kpi/latin.sql", b"-- title: A\nselect 'caf\xe9' as a\n");
    folder.write("sql/kpi/good.sql", "select 1 as a");
    folder.cxql(&["run", "sql/kpi/latin.sql"]).fails(1, &["sql/kpi/latin.sql:2", "UTF-8"]);
}

#[test]
fn a_report_that_is_not_there_has_a_nearest_name() {
    let folder = Folder::new();
    folder.cxql(&["run", "kpi_overvew"]).fails(2, &["'kpi_overvew'", "did you mean `kpi_overview`?"]);
    folder.cxql(&["show", "kpi_overvew"]).fails(2, &["did you mean `kpi_overview`?"]);
    folder.cxql(&["check", "kpi_overvew"]).fails(2, &["did you mean `kpi_overview`?"]);
    folder.cxql(&["run", "zzz"]).fails(2, &["'zzz'", "cxql list"]);
    folder.cxql(&["run", "nowhere.sql"]).fails(2, &["nowhere.sql"]);
    folder.cxql(&["run", "kpis"]).fails(2, &["`kpis` is a view", "select * from kpis"]);
}

#[test]
fn two_files_of_one_name_are_both_named() {
    let folder = Folder::with(&[("sql/x/same.sql", "select 1 as a"), ("sql/y/same.sql", "select 2 as a")]);
    folder.cxql(&["run", "same"]).fails(2, &["`same`", "sql/x/same.sql", "sql/y/same.sql", "rename"]);
}

#[test]
fn a_failed_check_fails_check_and_warns_in_run() {
    let text = "-- title: A\n-- check: n > 5\nselect * from (values (1), (7), (2)) as t(n)";
    let folder = Folder::with(&[("sql/kpi/low.sql", text), ("sql/kpi/high.sql", &text.replace("> 5", "> 0"))]);
    folder.cxql(&["run", "low"]).says("the check `n > 5` fails for 2 of 3 rows, first: n=1");
    let ran = folder.cxql(&["check", "low", "high"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("FAIL") && lines[0].contains("low: the check `n > 5` fails for 2 of 3 rows"),
        "{text}"
    );
    assert!(lines[1].starts_with("ok") && lines[1].contains("high: 3 rows, 1 checks hold"), "{text}");
    assert_eq!(lines[2], "1 passed, 1 failed");
}

#[test]
fn values_outside_the_domain_of_a_parameter_are_errors() {
    let folder = Folder::new();
    let run = |report: &str, value: &str| folder.cxql(&["run", report, "-p", value, "--data", &sample()]);
    for (report, value, parts) in [
        ("kpi_overview", "period=0days", ["-p period: `0days`", "above zero, such as 7 days"]),
        ("kpi_overview", "period=-7days", ["-p period: `-7days`", "above zero, such as 7 days"]),
        ("fcr_by_topic", "window=0s", ["-p window: `0s`", "above zero"]),
        ("churn_after_repeats", "within=-1 month", ["-p within: `-1 month`", "above zero"]),
        ("backlog", "step=1", ["-p step: `1`", "one of day, week, month, quarter, year"]),
        ("backlog", "step=weeks", ["-p step", "did you mean `week`?"]),
        ("repeat_contacts", "max_rows=0", ["-p max_rows: `0`", "at least 1"]),
        ("service_level_by_queue", "threshold_s=20s", ["`20s` has a unit", "write `20`"]),
        ("service_level_by_queue", "threshold_s=-1", ["-p threshold_s: `-1`", "at least 0"]),
    ] {
        run(report, value).fails(2, &parts);
    }
    folder
        .cxql(&["query", "select * from reports.fcr_by_topic(window => interval '0 days')", "--data", &sample()])
        .fails(1, &["`window` of reports.fcr_by_topic: it must be above zero", "<query>:1:36"]);
    // spellings of one value
    let usual = run("fcr_by_topic", "window=7 days").out();
    assert_eq!(run("fcr_by_topic", "window=P7D").out(), usual);
    let usual = run("fcr_by_topic", "since=2025-06-01T12:00:00Z").out();
    assert_eq!(run("fcr_by_topic", "since=2025-06-01T12:00").out(), usual);
}

// Wilson, z = 1.96: 0 of 100 has its lower end at 0, 100 of 100 its upper end at 1, which sums in floats miss by 1e-17
#[test]
fn intervals_of_shares_end_at_0_and_1() {
    let mut text = "interaction_id,customer_id,started_at,queue,channel,wait_s,is_abandoned\n".to_string();
    for number in 0..300 {
        let queue = ["none", "all", "some"][number % 3];
        let is_abandoned = number % 3 == 1 || number % 6 == 2;
        text += &format!("{number},c{number},2025-03-03T08:00:00Z,{queue},phone,30,{is_abandoned}\n");
    }
    let folder = Folder::with(&[
        ("cxql.toml", "[tables.interactions]\npath = \"interactions.csv\"\n"),
        ("data/interactions.csv", &text),
    ]);
    let sql = "select min(abandonment_low_ratio) between 0 and 1e-15 as low, \
               max(abandonment_high_ratio) between 1 - 1e-15 and 1 as high from reports.abandonment";
    assert_eq!(folder.query(sql).out(), "low,high\ntrue,true\n");
}

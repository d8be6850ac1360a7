//! The ways that work: reports by name and path, queries, files in FROM, lists, pages, limits, time zone.

use std::fs;

use super::data::GZIPPED;
use super::program::{Folder, sample};

const TWO: &str = "-- title: Two results\n-- param: n integer = 3\nselect $n as n;\n-- section: Words\nselect 'x' as b";

#[test]
fn a_report_runs_by_name_and_by_path() {
    let folder =
        Folder::with(&[("sql/kpi/one.sql", "-- title: One\nselect 1 as a"), ("else/where.sql", "select 2 as a")]);
    assert_eq!(folder.cxql(&["run", "one"]).out(), "a\n1\n");
    assert_eq!(folder.cxql(&["run", "sql/kpi/one.sql"]).out(), "a\n1\n");
    assert_eq!(folder.cxql(&["run", "else/where.sql"]).out(), "a\n2\n");
    let path = folder.path("else/where.sql").display().to_string();
    assert_eq!(folder.cxql(&["run", &path]).out(), "a\n2\n");
}

#[test]
fn a_shipped_report_runs_without_a_project() {
    let text = Folder::new().cxql(&["run", "kpi_overview", "--data", &sample()]).out();
    assert!(text.starts_with("kpi,unit,value,"), "{text}");
}

#[test]
fn statements_are_sections() {
    let folder = Folder::with(&[("sql/kpi/two.sql", TWO)]);
    let table = folder.cxql(&["run", "two", "-f", "table"]).out();
    assert!(table.starts_with("Two results\n") && table.contains("\nWords\n"), "{table}");
    let json = "{\n\"Two results\": [\n{\"n\":3}\n],\n\"Words\": [\n{\"b\":\"x\"}\n]\n}\n";
    assert_eq!(folder.cxql(&["run", "two", "-f", "json"]).out(), json);
    assert_eq!(folder.cxql(&["run", "two", "--section", "2"]).out(), "b\nx\n");
    folder.cxql(&["run", "two", "-f", "csv"]).fails(2, &["--section"]);
    folder.cxql(&["run", "two", "--section", "3"]).fails(2, &["--section", "2", "3"]);
}

#[test]
fn a_query_comes_from_the_line_or_from_standard_input() {
    let folder = Folder::new();
    assert_eq!(folder.query("select 1 as a").out(), "a\n1\n");
    assert_eq!(folder.cxql_with("select 2 as a;\n-- the end\n", &["query", "-"]).out(), "a\n2\n");
}

#[test]
fn files_are_read_in_from() {
    let folder = Folder::with(&[
        ("calls.csv", "a,b\n1,x\n"),
        ("calls.tsv", "a\tb\n1\tx\n"),
        ("calls.ndjson", "{\"a\":1,\"b\":\"x\"}\n"),
        ("many/1.csv", "a,b\n1,x\n"),
        ("many/2.csv", "a,b\n2,y\n"),
    ]);
    folder.write("calls.csv.gz", GZIPPED);
    for name in ["parquet", "arrow"] {
        folder.make(&format!("calls.{name}"), "select 1 as a, 'x' as b");
    }
    for name in ["csv", "tsv", "ndjson", "csv.gz", "parquet", "arrow"] {
        assert_eq!(folder.query(&format!("select a, b from 'calls.{name}'")).out(), "a,b\n1,x\n", "{name}");
    }
    let path = folder.path("calls.csv").display().to_string();
    assert_eq!(folder.query(&format!("select c.a from '{path}' as c")).out(), "a\n1\n");
    assert_eq!(folder.query("select sum(a) as n from 'many/*.csv'").out(), "n\n3\n");
    folder.make("folder/1.parquet", "select 1 as a");
    folder.make("folder/2.parquet", "select 2 as a");
    assert_eq!(folder.query("select sum(a) as n from 'folder/'").out(), "n\n3\n");
    assert_eq!(folder.query("select sum(a) as n from './folder'").out(), "n\n3\n");
}

#[test]
fn tables_are_files_folders_and_partitions_below_the_data() {
    let folder = Folder::new();
    folder.make("data/one.parquet", "select 1 as a");
    folder.make("data/many/1.parquet", "select 1 as a");
    folder.make("data/many/2.parquet", "select 2 as a");
    folder.make("data/deep/er/parts/year=2024/x.parquet", "select 4 as a");
    folder.make("data/deep/er/parts/year=2025/x.parquet", "select 5 as a");
    assert_eq!(folder.query("select a from one").out(), "a\n1\n");
    assert_eq!(folder.query("select sum(a) as n from many").out(), "n\n3\n");
    assert_eq!(folder.query("select a from parts where year = 2025").out(), "a\n5\n");
}

#[test]
fn list_and_show_tell_what_there_is() {
    let folder = Folder::with(&[("sql/kpi/two.sql", TWO), ("sql/views/own.sql", "-- title: Our own\nselect 1 as a")]);
    let list = folder.cxql(&["list", "--data", &sample()]).out();
    for part in ["two", "Two results", "own", "Our own", "kpi_overview", "contact_outcomes", "interactions"] {
        assert!(list.contains(part), "`{part}` is not in\n{list}");
    }
    let shown = folder.cxql(&["show", "two"]).out();
    for part in ["Two results", "sql/kpi/two.sql", "n integer = 3", "select $n as n"] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
}

#[test]
fn check_plans_everything_over_the_sample_data() {
    let text = Folder::new().cxql(&["check", "--data", &sample()]).out();
    assert!(text.contains("ok    report kpi_overview: ") && text.trim_end().ends_with(", 0 failed"), "{text}");
}

#[test]
fn explain_shows_the_plan_and_runs_nothing() {
    let folder = Folder::new();
    let ran = folder.sampled("select 1 as a");
    assert_eq!(ran.out(), "a\n1\n");
    let text = folder.cxql(&["query", "select 1/0 as a", "--explain", "--data", &sample()]);
    assert!(text.code == 0 || text.err.contains("ivide by zero"), "{text:?}");
    let text = folder.cxql(&["query", "select topic from interactions", "--explain", "--data", &sample()]).out();
    assert!(
        text.contains("logical plan\n") && text.contains("physical plan\n") && text.contains("interactions"),
        "{text}"
    );
}

#[test]
fn explain_tells_how_windows_run() {
    let folder = Folder::new();
    let explain = |over: &str| {
        let sql = format!(
            "select sum(wait_s) filter (where wait_s > 1) over ({over}) as a, lag(topic) over ({over}) as b from interactions"
        );
        folder.cxql(&["query", &sql, "--explain", "--data", &sample()])
    };
    let ran = explain("partition by customer_id order by started_at");
    assert!(ran.out().contains("WindowAggExec"), "{}", ran.text());
    assert!(ran.err.contains("sorts its input") && ran.err.contains("sum has a FILTER"), "{}", ran.err);
    let sql = "select lag(topic) over (partition by customer_id order by started_at) as b from interactions";
    let ask = || folder.cxql(&["query", sql, "--explain", "--data", &sample()]);
    let ran = ask();
    assert!(ran.out().contains("HashWindowAggExec") && ran.err.is_empty(), "{} {}", ran.text(), ran.err);
    fs::write(folder.path("cxql.toml"), "grouped_windows = false\n").unwrap();
    let ran = ask();
    assert!(!ran.out().contains("HashWindowAggExec") && ran.err.contains("hash_window_agg is off"), "{}", ran.err);
    fs::write(folder.path("cxql.toml"), "[engine]\nhash_window_agg = false\nperfect_hash_bits = 9\n").unwrap();
    let ran = ask();
    assert!(!ran.out().contains("HashWindowAggExec"), "{}", ran.text());
    assert!(
        ran.err.contains("differ from their defaults: hash_window_agg = false, perfect_hash_bits = 9"),
        "{}",
        ran.err
    );
    fs::write(folder.path("cxql.toml"), "[engine]\nhash_windows = false\n").unwrap();
    ask().fails(2, &["cxql.toml:2:1", "hash_windows"]);
}

#[test]
fn timing_goes_to_standard_error() {
    let folder = Folder::new();
    let sql = "select count(topic) as n from interactions";
    let ran = folder.cxql(&["query", sql, "--timing", "--data", &sample()]);
    assert_eq!(ran.out().lines().next(), Some("n"));
    let count: String = ran.text().lines().nth(1).unwrap().into();
    assert!(count.parse::<u64>().unwrap() > 1_000, "{count}");
    for part in [" s, ", "rows", "read", "1 rows out"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
}

#[test]
fn times_are_utc_wherever_the_machine_is() {
    let folder = Folder::new();
    let sql = "select to_timestamp('2025-06-01T12:00:00+08:00') as at, arrow_typeof(now()) as kind";
    let ran = folder.cxql_env(&[("TZ", "Asia/Shanghai")], &["query", sql]);
    let text = ran.out();
    assert!(text.contains("2025-06-01T04:00:00Z") && text.contains("UTC"), "{text}");
    let ran = folder.cxql_env(&[("TZ", "Asia/Shanghai")], &["query", "show datafusion.execution.time_zone"]);
    assert!(ran.out().ends_with(",UTC\n"), "{}", ran.text());
}

#[test]
fn a_query_larger_than_its_memory_spills_and_is_right() {
    let folder = Folder::new();
    folder.cxql(&["demo", "data", "--contacts", "300000", "--seed", "1"]).out();
    fs::create_dir_all(folder.path("spill")).unwrap();
    let limits = ["--memory", "64MB", "--threads", "2", "--temp-dir", "spill"];
    let sql = "select *, row_number() over () as at from interactions order by text, interaction_id, started_at";
    let plan = folder.cxql(&[&["query", &format!("explain analyze {sql}")], &limits[..]].concat()).out();
    let spilled = plan.split("spill_count=").skip(1).any(|rest| !rest.starts_with('0'));
    assert!(spilled, "nothing was spilled, so the test shows nothing:\n{plan}");
    folder.cxql(&[&["query", sql, "-o", "sorted.parquet"], &limits[..]].concat()).out();
    let sums = |from: &str| {
        let text = format!("select count(*) as n, sum(wait_s) as w, count(distinct interaction_id) as d from {from}");
        folder.query(&text).out()
    };
    assert_eq!(sums("'sorted.parquet'"), sums("interactions"));
    assert!(folder.names("spill").is_empty(), "{:?}", folder.names("spill"));
}

#[test]
fn too_little_memory_is_told_with_a_remedy() {
    let folder = Folder::new();
    let sql = "select array_agg(value) as all_values from range(30000000)";
    let ran = folder.cxql(&["query", sql, "--memory", "16MB"]);
    ran.fails(1, &["--memory"]);
}

#[test]
fn demo_refuses_what_is_there_and_what_cannot_be() {
    let folder = Folder::with(&[("file", "old\n")]);
    folder.cxql(&["demo", "made", "--contacts", "50", "--seed", "3"]).says("cxql run kpi_overview --data made");
    let names = folder.names("made");
    folder.cxql(&["demo", "made", "--contacts", "50"]).fails(1, &["made", "exists already", "another folder"]);
    assert_eq!(folder.names("made"), names);
    assert!(folder.cxql(&["run", "kpi_overview", "--data", "made"]).out().starts_with("kpi,"));
    let ran = folder.cxql(&["demo", "none", "--contacts", "0"]);
    assert!(ran.code != 0 && ran.err.contains("0 contacts") && !folder.path("none").exists(), "{ran:?}");
    let ran = folder.cxql(&["demo", "file"]);
    assert!(ran.code != 0 && ran.err.contains("file") && folder.read("file") == "old\n", "{ran:?}");
    let ran = folder.cxql(&["demo", "none", "--contacts", "many"]);
    ran.fails(2, &["--contacts", "many"]);
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let folder = Folder::new();
    assert_eq!(folder.cxql(&["query", "select 1 as a"]).code, 0);
    assert_eq!(folder.cxql(&["query", "select nope"]).code, 1);
    for usage in [&[][..], &["rum"], &["run"], &["query"], &["query", "select 1", "--nope"], &["query", "a", "b"]] {
        let ran = folder.cxql(usage);
        assert!(ran.code == 2 && ran.text().is_empty() && ran.err.contains("Usage:"), "{usage:?}: {ran:?}");
    }
    for help in [&["--help"][..], &["run", "--help"], &["--version"]] {
        assert!(!folder.cxql(help).out().is_empty());
    }
    assert!(folder.cxql(&["--help"]).out().contains("Exit codes"));
}

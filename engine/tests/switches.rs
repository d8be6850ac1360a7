//! Switches: all of them off, plans are DataFusion's own; each alone changes what it is there for, and no answer.

mod common;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

/// For each rule a query that it changes, a word of the plan, and whether that is there when the rule is on.
const CASES: &[(&str, &str, &str, bool)] = &[
    ("session_time_zone", "select count(distinct at) as n from steps", "Europe/Berlin", true),
    ("sql_rewrites", "select v from steps as a full join steps as b using (v)", "ELSE b.v END", true),
    ("subqueries", "select v from steps where nullif(v, 7) not in (select v + 10 from steps)", "LeftMark", true),
    ("multiset_operations", "select v from steps intersect all select v from steps", "row_number()", true),
    (
        "equijoin_keys",
        "select a.v from steps as a inner join steps as b on a.v is not distinct from b.v where a.at = b.at",
        "Filter: a.v IS NOT DISTINCT FROM b.v",
        true,
    ),
    (
        "window_keys",
        "select sum(v % 7) over (partition by v % 7) as s from calls",
        "PARTITION BY [__common_expr_1 AS",
        false,
    ),
    (
        "plain_window_strings",
        "select k, min(k) over (partition by c order by at rows between 1 preceding and current row) as s from calls",
        "AS Utf8)",
        true,
    ),
    (
        "mixed_types",
        "select v from steps where cast(v as decimal(10, 2)) < cast(v as double) / 2 or at is null",
        "Decimal128(30, 15)",
        false,
    ),
    (
        "range_frames",
        "select count(*) over (order by v range between 1 preceding and current row) as n from steps",
        "AS Decimal128(38, 0))",
        true,
    ),
    ("exact_arithmetic", "select max(v + 1) as n from calls", "exact_add", true),
    (
        "timestamp_comparison",
        "select v from steps where cast(at as date) > timestamp '2025-01-01' or at is null",
        "Timestamp(µs)) >",
        true,
    ),
    ("temporal_casts", "select cast(cast(v as varchar) || ' days' as interval) as i from steps", "temporal_cast", true),
    ("interval_comparison", "select i, count(*) as n from steps group by i", "interval_key", true),
    (
        "float_equality",
        "select count(distinct f) as n, max(f) as m from (select cast(v as double) / 2 as f from calls)",
        "canonical_float",
        true,
    ),
    (
        "utc_interval_arithmetic",
        "select at + interval '1 day' as next_day, at + i as next_month from steps",
        "utc_plus",
        true,
    ),
    (
        "merge_percentiles",
        "select k, percentile_cont(cast(v as double), 0.5) as p, percentile_cont(cast(v as double), 0.9) as q from calls group by k",
        "percentiles_cont",
        true,
    ),
    ("float_statistics", "select h from halves", "Max=Exact(Float64(499.5))", false),
    (
        "build_side_selection",
        "select count(*) from calls where not exists \
         (select 1 from (select c from calls group by c having count(*) > 100) as often where often.c = calls.c)",
        "join_type=RightAnti",
        true,
    ),
    (
        "hash_window_agg",
        "select lag(v) over (partition by c order by at, v) as l from calls",
        "HashWindowAggExec",
        true,
    ),
    (
        "merge_windows",
        "select v, n, lead(v) over (partition by c order by at) as l from (select *, row_number() over (partition by c order by v, at) as n from calls) as t",
        "input=clustered",
        false,
    ),
    (
        "unpartitioned_window",
        "select v, rank() over (order by v) as r, rank() over (order by c) as q from calls",
        "UnpartitionedWindowExec",
        true,
    ),
    (
        "window_fetch",
        "select v from (select *, row_number() over (partition by c order by v, at) as n from calls) as t where n <= 2",
        "fetch=2",
        true,
    ),
    (
        "unique_keys",
        "select v from (select *, row_number() over (partition by c, at order by v) as n from calls) as t where n = 1",
        "UniqueKeysExec",
        true,
    ),
    (
        "clustered_aggregation",
        "select c, max(n) as m from (select c, row_number() over (partition by c order by at, v) as n from calls) as t group by c",
        "ClusteredAggregateExec",
        true,
    ),
    (
        "unsplit_partitions",
        "select c, max(n) as m from (select c, row_number() over (partition by c order by at, v) as n from calls) as t group by c",
        "batches=unsplit",
        true,
    ),
    (
        "ordering_claims",
        "select a.v from (select v from steps order by v limit 5) as a \
         inner join (select v from steps order by v limit 5) as b on a.v = b.v",
        "UnorderedExec",
        true,
    ),
    (
        "duplicate_names",
        "select b.v from (select v, v as w from steps) as a left join steps as b on a.w = b.v where a.v < 9 or b.v > 1",
        "NameGuardExec",
        true,
    ),
    (
        "dictionary_keys",
        "select count(*) as n from (select arrow_cast(v * 1000000, 'Dictionary(Int32, Int64)') as k from steps) as a \
         inner join (select arrow_cast(v * 1000000, 'Dictionary(Int32, Int64)') as k from steps) as b on a.k = b.k",
        "CAST(k@0 AS Int64)",
        true,
    ),
    (
        "dictionary_evaluation",
        "select lower(trim(k)) as l, count(*) as n from calls where upper(k) like '%1%' group by l",
        "dictionary_eval(lower(",
        true,
    ),
    ("perfect_hash_aggregation", "select k, count(*) as n from calls group by k", "PerfectHashAggregateExec", true),
    ("dictionary_scan", "select k, count(*) as n from calls group by k", "dictionary=[k]", true),
    (
        "shared_subplans",
        "with w as (select c, count(*) as n from calls group by c) select a.c, b.n from w as a inner join w as b using (c)",
        "SharedExec",
        true,
    ),
    (
        "cooperative_joins",
        "select count(*) as n from steps as a inner join steps as b on a.v < b.v",
        "CooperativeExec\nNestedLoopJoinExec",
        true,
    ),
    ("window_memory", "select v, sum(v) filter (where v > 1) over () as total from steps", "AccountedWindowExec", true),
    (
        "join_bloom_filter",
        "select count(*) as n from (values ('c 1'), ('c 2')) as few (c) inner join calls on few.c = calls.c",
        "bloom_filter",
        true,
    ),
];

/// Functions are repaired when a session is built; without `like_escape` a statement that it changes is refused; `key_cache`
/// changes no plan; `staged_writes` changes statements that write files (tests/staged_writes.rs).
const WITHOUT_CASE: [&str; 4] = ["function_overrides", "like_escape", "key_cache", "staged_writes"];

/// 150,000 calls in a Parquet file whose footer is known, and a few steps in memory.
async fn context(options: Option<EngineOptions>, folder: &std::path::Path) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(4);
    config.options_mut().execution.time_zone = Some("UTC".into());
    let context = common::context(options, config, Arc::new(UnboundedMemoryPool::default()));
    let path = folder.join("calls.parquet");
    if !path.exists() {
        let rows = 0..150_000_i64;
        let string = |text: &str, count: i64| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(
                rows.clone().map(|row| format!("{text} {}", row * 7919 % count)),
            ))
        };
        let at =
            TimestampMicrosecondArray::from_iter_values(rows.clone().map(|row| row * 60_000_000)).with_timezone("UTC");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", string("queue", 20)),
            ("c", string("c", 40_000)),
            ("at", Arc::new(at)),
            ("v", Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| row * 31 % 1000)))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }
    context.register_parquet("calls", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    let path = folder.join("halves.parquet");
    if !path.exists() {
        let halves: ArrayRef = Arc::new(Float64Array::from_iter_values((0..1000).map(|row| f64::from(row) / 2.0)));
        let rows = RecordBatch::try_from_iter([("h", halves)]).unwrap();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
    }
    context.register_parquet("halves", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    // reads the footer into the cache of the session
    context.sql("select count(*) from calls where v > 500").await.unwrap().collect().await.unwrap();
    let steps = "create table steps as select column1 as v, timestamptz '2025-01-01T00:00:00Z' as at, interval '1 month' as i \
                 from (values (1), (2), (3))";
    context.sql(steps).await.unwrap().collect().await.unwrap();
    context
}

/// The plan of a query as text, logical and physical, and its rows in a fixed order.
async fn run(context: &SessionContext, sql: &str) -> (String, Vec<String>) {
    let state = context.state();
    let statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect).unwrap();
    let plan = cxql_engine::planning::statement_to_plan(&state, statement).await.unwrap();
    let frame = context.execute_logical_plan(plan).await.unwrap();
    let logical = frame.clone().into_optimized_plan().unwrap().display_indent().to_string();
    let plan = frame.create_physical_plan().await.unwrap();
    let physical = displayable(plan.as_ref()).indent(false).to_string();
    let statistics = displayable(plan.as_ref()).set_show_statistics(true).indent(false).to_string();
    let shown = format!("{logical}\n{physical}\n{statistics}");
    let shown: Vec<&str> = shown.lines().map(str::trim_start).collect();
    let shown = shown.join("\n");
    let rows = pretty_format_batches(&collect(plan, context.task_ctx()).await.unwrap()).unwrap().to_string();
    let mut rows: Vec<String> = rows.lines().map(str::to_string).collect();
    rows.sort();
    (shown, rows)
}

#[tokio::test]
async fn every_switch_off_gives_the_plans_of_datafusion() {
    let folder = tempfile::tempdir().unwrap();
    let stock = context(None, folder.path()).await;
    let off = context(Some(EngineOptions::off()), folder.path()).await;
    let by_set = EngineOptions { function_overrides: false, ..EngineOptions::default() };
    let by_set = context(Some(by_set), folder.path()).await;
    for option in EngineOptions::default().describe().iter().filter(|option| option.default == "true") {
        if option.name != "function_overrides" {
            let set = format!("set cxql.engine.{} = false", option.name);
            by_set.sql(&set).await.unwrap().collect().await.unwrap();
        }
    }
    for (_, sql, ..) in CASES {
        let (expected, rows) = run(&stock, sql).await;
        for session in [&off, &by_set] {
            let (shown, found) = run(session, sql).await;
            assert_eq!(shown, expected, "{sql}");
            assert_eq!(found, rows, "{sql}");
        }
    }
}

#[tokio::test]
async fn each_switch_reaches_its_rule_and_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let on = context(Some(EngineOptions::default()), folder.path()).await;
    let mut names: Vec<&str> = vec![];
    for (name, sql, word, is_there) in CASES {
        let options = EngineOptions::default().with_option(name, "false").unwrap();
        let off = context(Some(options), folder.path()).await;
        // the rule does nothing in UTC
        let zone = if *name == "session_time_zone" { "Europe/Berlin" } else { "UTC" };
        for context in [&on, &off] {
            let set = format!("set datafusion.execution.time_zone = '{zone}'");
            context.sql(&set).await.unwrap().collect().await.unwrap();
        }
        let ((with_rule, rows), (without_rule, found)) = (run(&on, sql).await, run(&off, sql).await);
        assert_eq!(with_rule.contains(word), *is_there, "{name} is on: {sql}\n{with_rule}");
        assert_ne!(without_rule.contains(word), *is_there, "{name} is off: {sql}\n{without_rule}");
        assert_eq!(found, rows, "{name}: {sql}");
        names.push(name);
    }
    let default = EngineOptions::default().describe();
    let switches = default.iter().filter(|option| option.default == "true").map(|option| option.name);
    assert_eq!(switches.filter(|name| !WITHOUT_CASE.contains(name)).collect::<Vec<_>>(), names);
}

#[tokio::test]
async fn without_its_rule_like_escape_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "select count(*) as n from calls where k like 'queue!_%' escape '!'";
    let options = EngineOptions::default().with_option("like_escape", "false").unwrap();
    let off = context(Some(options), folder.path()).await;
    let error = off.sql(sql).await.unwrap().collect().await.unwrap_err().to_string();
    assert!(error.contains("escape_char"), "{error}");
}

/// `grouped_windows = false` reaches the rule for plain strings too: below DataFusion's operator strings are plain.
#[tokio::test]
async fn windows_that_are_switched_off_get_plain_strings() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(Some(EngineOptions::default()), folder.path()).await;
    let sql = "select c, lag(k) over (partition by c order by at, v) as l from calls";
    assert!(!run(&context, sql).await.0.contains("AS Utf8)"));
    context.sql("set cxql.grouped_windows = false").await.unwrap().collect().await.unwrap();
    let (shown, _) = run(&context, sql).await;
    assert!(shown.contains("AS Utf8)") && !shown.contains("HashWindowAggExec"), "{shown}");
}

/// docs/configuration.md lists every option with its default value and description, and no other.
#[test]
fn the_configuration_page_lists_all_options() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split("\n## [engine]\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let options = EngineOptions::default().describe();
    let expected: Vec<String> = options
        .iter()
        .map(|option| format!("| `{}` | {} | {} |", option.name, option.default, option.description))
        .collect();
    assert_eq!(listed, expected);
}

//! [`PerfectHashAggregateExec`] and dictionary scans return what DataFusion's own operators return.

mod common;

use std::fs::File;
use std::sync::Arc;

use cxql_engine::EngineOptions;
use cxql_engine::aggregate::PerfectHashAggregateExec;
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch,
    StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, UnboundedMemoryPool};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// A session with this crate's rules or without them.
fn session(is_ours: bool, batch_size: usize, memory: usize) -> SessionContext {
    session_in(is_ours, batch_size, Arc::new(GreedyMemoryPool::new(memory)))
}

fn session_in(is_ours: bool, batch_size: usize, pool: Arc<dyn MemoryPool>) -> SessionContext {
    let config = SessionConfig::new().with_batch_size(batch_size).with_target_partitions(2);
    common::context(is_ours.then(EngineOptions::default), config, pool)
}

/// Rows with keys of low cardinality, except for the last `unique` rows, which have distinct keys.
fn rows(random: &mut Pcg64, count: usize, unique: usize) -> RecordBatch {
    let mut ints = |range: i64, null_ratio: f64| -> Vec<Option<i64>> {
        let value = |row: usize| if row + unique >= count { row as i64 } else { random.random_range(0..range) };
        let values: Vec<i64> = (0..count).map(value).collect();
        values.into_iter().map(|value| (!random.random_bool(null_ratio)).then_some(value)).collect()
    };
    let text = |value: i64| if value % 3 == 0 { format!("a long text, number {value}") } else { format!("t{value}") };
    let hour = 3_600_000_000;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k_text", Arc::new(StringViewArray::from_iter(ints(9, 0.1).into_iter().map(|v| v.map(text))))),
        ("k_full", Arc::new(StringViewArray::from_iter_values(ints(40, 0.0).into_iter().flatten().map(text)))),
        ("k_int", Arc::new(Int64Array::from_iter(ints(300, 0.1).into_iter().map(|v| v.map(|v| (v - 7) << 40))))),
        ("k_tiny", Arc::new(Int8Array::from_iter(ints(5, 0.1).into_iter().map(|v| v.map(|v| (v % 100) as i8 - 2))))),
        ("k_bool", Arc::new(BooleanArray::from_iter(ints(2, 0.2).into_iter().map(|v| v.map(|v| v == 1))))),
        ("k_day", Arc::new(Date32Array::from_iter(ints(30, 0.1).into_iter().map(|v| v.map(|v| v as i32 - 9))))),
        (
            "k_at",
            Arc::new(
                TimestampMicrosecondArray::from_iter(ints(20, 0.1).into_iter().map(|v| v.map(|v| v * hour)))
                    .with_timezone("UTC"),
            ),
        ),
        ("v_int", Arc::new(Int64Array::from(ints(1000, 0.2)))),
        ("v_small", Arc::new(Int32Array::from_iter(ints(1000, 0.2).into_iter().map(|v| v.map(|v| v as i32 - 400))))),
        ("v_float", Arc::new(Float64Array::from_iter(ints(50, 0.2).into_iter().map(|v| v.map(|v| v as f64 / 4.0))))),
        ("v_text", Arc::new(StringViewArray::from_iter(ints(99, 0.2).into_iter().map(|v| v.map(text))))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn find<T: ExecutionPlan>(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    if plan.is::<T>() { Some(plan) } else { plan.children().into_iter().find_map(find::<T>) }
}

fn nodes<T: ExecutionPlan>(plan: &Arc<dyn ExecutionPlan>) -> usize {
    usize::from(plan.is::<T>()) + plan.children().into_iter().map(nodes::<T>).sum::<usize>()
}

async fn run(context: &SessionContext, sql: &str) -> (RecordBatch, Arc<dyn ExecutionPlan>) {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    (concat_batches(&plan.schema(), &batches).unwrap(), plan)
}

fn assert_same(ours: &RecordBatch, theirs: &RecordBatch, what: &str) {
    assert_eq!(ours.schema(), theirs.schema(), "{what}");
    assert_eq!(ours.num_rows(), theirs.num_rows(), "{what}");
    for (ours, theirs) in ours.columns().iter().zip(theirs.columns()) {
        if ours.data_type() == &DataType::Float64 {
            let floats = |column: &ArrayRef| column.as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
            for (row, pair) in floats(ours).into_iter().zip(floats(theirs)).enumerate() {
                let is_same = match pair {
                    (Some(ours), Some(theirs)) => {
                        ours.is_nan() && theirs.is_nan() || (ours - theirs).abs() <= 1e-12 * theirs.abs().max(1.0)
                    }
                    (ours, theirs) => ours == theirs,
                };
                assert!(is_same, "{what}: row {row}: {pair:?}");
            }
        } else if ours != theirs {
            let shown =
                |column| pretty_format_batches(&[RecordBatch::try_from_iter([("x", column)]).unwrap()]).unwrap();
            panic!("{what}\n{}\n{}", shown(Arc::clone(ours)), shown(Arc::clone(theirs)));
        }
    }
}

const GROUPED: &[&str] = &[
    "k_text",
    "k_full",
    "k_int",
    "k_tiny",
    "k_bool",
    "k_day",
    "k_at",
    "k_text, k_bool",
    "k_tiny, k_full, k_day",
    "k_int, k_at, k_text",
    "upper(k_text), k_tiny + 1",
    "case when k_bool then k_day end",
];

const CALLS: &str = "count(*), count(v_text), sum(v_int), min(v_text), max(v_small), avg(v_float), \
     count(distinct v_text), sum(v_int) filter (where v_float > 5), count(*) filter (where k_bool), \
     bool_or(k_bool), nps(v_int % 11), aht(v_small, v_float, null, k_bool), median(v_float)";

/// A table of two partitions in batches.
fn in_two_parts(all: &RecordBatch, batch_size: usize) -> Arc<MemTable> {
    let half = all.num_rows() / 2;
    let batches = |start: usize, rows: usize| -> Vec<RecordBatch> {
        let starts = (start..start + rows).step_by(batch_size);
        starts.map(|first| all.slice(first, batch_size.min(start + rows - first))).collect()
    };
    let parts = vec![batches(0, half), batches(half, all.num_rows() - half)];
    Arc::new(MemTable::try_new(all.schema(), parts).unwrap())
}

async fn compare_groups(all: &RecordBatch, batch_size: usize) {
    for keys in GROUPED {
        let positions =
            (1..=keys.split(", ").count()).map(|position| position.to_string()).collect::<Vec<_>>().join(", ");
        for calls in [format!(", {CALLS}"), String::new()] {
            let sql = format!("select {keys}{calls} from t group by {keys} order by {positions}");
            let mut results = vec![];
            for is_ours in [true, false] {
                let context = session(is_ours, batch_size, usize::MAX);
                context.register_table("t", in_two_parts(all, batch_size)).unwrap();
                let (result, plan) = run(&context, &sql).await;
                let shown = displayable(plan.as_ref()).indent(false).to_string();
                assert_eq!(nodes::<PerfectHashAggregateExec>(&plan), usize::from(is_ours), "{shown}");
                results.push(result);
            }
            assert_same(&results[0], &results[1], &sql);
        }
    }
}

#[tokio::test]
async fn groups_match_datafusion() {
    let mut random = Pcg64::seed_from_u64(3);
    for (count, batch_size) in [(0, 8192), (1, 8192), (60, 1), (500, 7), (9000, 1000)] {
        compare_groups(&rows(&mut random, count, 0), batch_size).await;
    }
}

#[tokio::test]
async fn fallback_for_many_groups_matches_datafusion() {
    let mut random = Pcg64::seed_from_u64(4);
    compare_groups(&rows(&mut random, 60_000, 25_000), 5_000).await;
}

#[tokio::test]
async fn groups_beyond_the_memory_are_emitted_early() {
    let mut random = Pcg64::seed_from_u64(5);
    let all = rows(&mut random, 20_000, 0);
    let sql = "select k_full, k_int, count(*) as n, sum(v_int) as s from t group by 1, 2 order by 1, 2";
    let context = session(true, 100, 300 << 10);
    let batches = (0..200).map(|part| all.slice(100 * part, 100)).collect();
    context.register_table("t", Arc::new(MemTable::try_new(all.schema(), vec![batches]).unwrap())).unwrap();
    let (expected, _) = {
        let theirs = session(false, 8192, usize::MAX);
        theirs.register_batch("t", all).unwrap();
        run(&theirs, sql).await
    };
    // the output of the operator itself: the states of the two functions
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let partial = find::<PerfectHashAggregateExec>(&plan).unwrap();
    let states =
        concat_batches(&partial.schema(), &collect(Arc::clone(partial), context.task_ctx()).await.unwrap()).unwrap();
    assert!(states.num_rows() > expected.num_rows() + 1000, "{} {}", states.num_rows(), expected.num_rows());
    let states = RecordBatch::try_from_iter(["k_full", "k_int", "n", "s"].into_iter().zip(states.columns().to_vec()));
    let theirs = session(false, 8192, usize::MAX);
    theirs.register_batch("t", states.unwrap()).unwrap();
    let sql = "select k_full, k_int, sum(n) as n, sum(s) as s from t group by 1, 2 order by 1, 2";
    let (found, _) = run(&theirs, sql).await;
    assert_eq!(found.columns(), expected.columns());
}

/// A session over two Parquet files of the rows.
async fn over_files(is_ours: bool, batch_size: usize, all: &RecordBatch, folder: &std::path::Path) -> SessionContext {
    let half = all.num_rows() / 2;
    for (number, part) in [all.slice(0, half), all.slice(half, all.num_rows() - half)].iter().enumerate() {
        let file = File::create(folder.join(format!("part-{number}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, all.schema(), None).unwrap();
        writer.write(part).unwrap();
        writer.close().unwrap();
    }
    let context = session(is_ours, batch_size, usize::MAX);
    let path = folder.to_str().unwrap();
    context.register_parquet("t", path, ParquetReadOptions::default()).await.unwrap();
    let table = MemTable::try_new(all.schema(), vec![vec![all.clone()]]).unwrap();
    context.register_table("in_memory", Arc::new(table)).unwrap();
    context
}

/// A session over Parquet files with their writer properties, and an in-memory table `many`.
async fn over_written(
    is_ours: bool,
    files: &[(RecordBatch, WriterProperties)],
    folder: &std::path::Path,
) -> SessionContext {
    for (number, (rows, properties)) in files.iter().enumerate() {
        let file = File::create(folder.join(format!("part-{number}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties.clone())).unwrap();
        writer.write(rows).unwrap();
        writer.close().unwrap();
    }
    let context = session(is_ours, 1000, usize::MAX);
    context.register_parquet("t", folder.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    let numbers = Int64Array::from_iter_values((0..300).map(|row| row % 150));
    let many = RecordBatch::try_from_iter([("number", Arc::new(numbers) as ArrayRef)]).unwrap();
    context.register_batch("many", many).unwrap();
    context
}

/// String keys with `count` distinct values from `first` on; every seventh is NULL.
fn written(rows: usize, first: usize, count: usize) -> RecordBatch {
    let key = |row: usize| (row % 7 != 5).then(|| format!("queue {}", first + row * 31 % count));
    let other = |row: usize| {
        Some(if row.is_multiple_of(3) { String::new() } else { format!("a channel with a long name, {}", row % 4) })
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new((0..rows).map(key).collect::<StringViewArray>())),
        ("other", Arc::new((0..rows).map(other).collect::<StringViewArray>())),
        ("empty", Arc::new(StringViewArray::new_null(rows))),
        ("constant", Arc::new(StringViewArray::from_iter_values((0..rows).map(|_| "same")))),
        ("v", Arc::new(Int64Array::from_iter((0..rows as i64).map(|row| (row % 5 > 0).then_some(row * 7 % 1000))))),
        ("number", Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| row % 200)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Grouping by dictionary arrays returns what grouping by strings returns; where an operator needs the strings, the scan emits
/// them.
#[tokio::test]
async fn groups_over_dictionary_scans_match_datafusion() {
    let small_parts = || WriterProperties::builder().set_max_row_group_row_count(Some(700)).build();
    let plain = || WriterProperties::builder().set_dictionary_enabled(false).build();
    let half_plain =
        || WriterProperties::builder().set_dictionary_page_size_limit(300).set_data_page_row_count_limit(100).build();
    let packed = || WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let whole = WriterProperties::default;
    let without_key = written(900, 0, 5).project(&[1, 2, 3, 4, 5]).unwrap();
    let folders = [
        ("one part", vec![(written(5000, 0, 20), whole())], true),
        (
            "parts of other dictionaries",
            vec![(written(5000, 0, 20), small_parts()), (written(3000, 15, 40), whole())],
            true,
        ),
        ("no rows", vec![(written(0, 0, 20), whole()), (written(3, 15, 40), whole())], true),
        ("no dictionary", vec![(written(5000, 0, 20), whole()), (written(500, 0, 20), plain())], false),
        ("a dictionary that grew too large", vec![(written(5000, 0, 900), half_plain())], false),
        ("no such column", vec![(written(5000, 0, 20), whole()), (without_key, whole())], false),
        ("too many groups", vec![(written(3000, 0, 20), whole()), (written(20_000, 10, 5500), packed())], true),
        ("a dictionary that is too large", vec![(written(80_000, 0, 40_000), whole())], false),
    ];
    for (what, files, has_dictionaries) in folders {
        let folder = tempfile::tempdir().unwrap();
        let theirs = over_written(false, &files, folder.path()).await;
        let ours = over_written(true, &files, folder.path()).await;
        for (sql, dictionary_keys) in [
            ("select k, count(*), sum(v), min(v) from t group by 1 order by 1", "k"),
            ("select k, other, count(v) from t where k is not null and v > 3 group by 1, 2 order by 1, 2", "k, other"),
            ("select k as x, upper(other), count(*) from t group by 1, 2 order by 1, 2", "k"),
            (
                "select k, constant, empty, count(*) from t where k is null or v > 10 group by 1, 2, 3 order by 1, 2, 3",
                "k",
            ),
            (
                "select k, max(z), count(*) filter (where abs(z) > 1.5)
                 from (select k, zscore(v) over (partition by k) as z from t where k is not null) as scores
                 group by 1 order by 1",
                "",
            ),
            (
                "select k, sum(z) from (select k, zscore(v) over (partition by k) as z from t) as s group by 1 order by 1",
                "",
            ),
            (
                "select k, count(*) from many inner join t on many.number = t.number where v > 3 group by 1 order by 1",
                "k",
            ),
            ("select k, count(*) from many left join t on many.number = t.number group by 1 order by 1", "k"),
            (
                "select k, avg(distinct v) from (select k, v from t union all select k, v from t) as u group by 1 order by 1",
                "k",
            ),
            (
                "select x, count(*) from (select upper(k) as x from t union all select k from t) as u group by 1 order by 1",
                "",
            ),
            ("select k, sum(length(k)), count(*) from t group by 1 order by 1", "k"),
            // NULL is a group that is dropped in place of a filter
            (
                "select k, count(*), avg(v), min(v), count(v) filter (where v > 3) from t where k is not null group by 1 order by 1",
                "k",
            ),
            (
                "select k, other, max(v), count(*) from t where other is not null and k is not null group by 2, 1 order by 1, 2",
                "k, other",
            ),
            ("select upper(other), k, count(*) from t where k is not null group by 1, 2 order by 1, 2", "k"),
            // what follows needs the strings
            ("select k, count(*) from t where k like '%1%' group by 1 order by 1", ""),
            ("select k, min(k), count(*) from t group by 1 order by 1", ""),
            ("select k, k || v, count(*) from t group by 1, 2 order by 1, 2", ""),
            ("select k, count(*) filter (where k > 'queue 2') from t group by 1 order by 1", ""),
            ("select k, count(*) from (select * from t limit 10) as few group by 1 order by 1 limit 0", ""),
        ] {
            let what = format!("{what}: {sql}");
            let (expected, _) = run(&theirs, sql).await;
            let (found, plan) = run(&ours, sql).await;
            let shown = displayable(plan.as_ref()).indent(false).to_string();
            assert_same(&found, &expected, &what);
            let tests_keys = sql.contains("where k is not null group") || sql.contains("where other is not null");
            // a function may fail
            let is_dropped = tests_keys && !sql.contains("upper");
            // a file without rows needs no filter
            assert!(shown.contains("not_null=[") == is_dropped || what.starts_with("no rows"), "{what}\n{shown}");
            let has_dictionaries = has_dictionaries && !dictionary_keys.is_empty();
            if has_dictionaries && !sql.contains("union") && (!sql.contains("join") || what.starts_with("one part")) {
                assert!(shown.contains(&format!("dictionary=[{dictionary_keys}")), "{what}\n{shown}");
            }
            assert!(has_dictionaries || !shown.contains("dictionary=[k"), "{what}\n{shown}");
            // a plan can be executed again
            let again = collect(reset_plan_states(plan).unwrap(), ours.task_ctx()).await.unwrap();
            assert_same(&concat_batches(&found.schema(), &again).unwrap(), &found, &what);
        }
    }
}

/// Key counts at the limit of integer codes, one less and one more; then 5,000 strings.
#[tokio::test]
async fn keys_at_the_limits_match_datafusion() {
    let folder = tempfile::tempdir().unwrap();
    for (count, is_string) in [(16_383, false), (16_384, false), (16_385, false), (5_000, true), (60_000, false)] {
        let keys: Vec<i64> = (0..2 * count).map(|row| row % count).collect();
        let key: ArrayRef = match is_string {
            // low cardinality at first, so that the interner goes on
            true => Arc::new(StringViewArray::from_iter_values(
                (0..60_000).map(|row| format!("agent {}", row % (row / 10 + 1).min(count))),
            )),
            false => Arc::new(Int64Array::from(keys)),
        };
        let value = Int32Array::from_iter_values((0..key.len() as i32).map(|row| row * 7 % 1000));
        let all = RecordBatch::try_from_iter([("k", key), ("v", Arc::new(value) as ArrayRef)]).unwrap();
        let sql = "select k, count(*), sum(v) from t group by k order by k";
        let (expected, _) = run(&over_files(false, 8192, &all, folder.path()).await, sql).await;
        let (found, plan) = run(&over_files(true, 8192, &all, folder.path()).await, sql).await;
        assert_eq!(nodes::<PerfectHashAggregateExec>(&plan), 1);
        assert_same(&found, &expected, &format!("{count} keys"));
    }
}

/// An expression that fails on a row which the filter drops is not evaluated there.
#[tokio::test]
async fn a_filter_stays_below_what_could_fail() {
    let context =
        common::context(Some(EngineOptions::default()), SessionConfig::new(), Arc::new(UnboundedMemoryPool::default()));
    let table = "create table t as select * from (values ('a', 1), ('a', 2), (null, 0)) as t(k, v)";
    context.sql(table).await.unwrap().collect().await.unwrap();
    let sql = "select k, count(*) filter (where 4 / v > 2) as n, sum(v) as s from t where k is not null group by k";
    let (found, plan) = run(&context, sql).await;
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    assert!(shown.contains("PerfectHashAggregateExec") && !shown.contains("not_null"), "{shown}");
    let found = pretty_format_batches(&[found]).unwrap().to_string();
    assert!(found.contains("| a | 1 | 3 |"), "{found}");
}

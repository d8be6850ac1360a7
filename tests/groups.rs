//! Groups by the numbers of their keys, and scores by reading twice, give what the engine's own operators give.

use std::fmt::{Display, Formatter};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cxql::groups::{CodeGroups, CodedAggregateExec, CollectSets, DistinctSetsExec, ReadNumbers};
use cxql::windows::{ChunkedAggregateExec, GroupWindows, GroupedWindowExec, TwoPassWindowExec, WindowOptions};
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch,
    StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, MemoryReservation, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// A session with our rules, or with the engine's alone.
fn session(is_ours: bool, batch_size: usize, memory: usize) -> SessionContext {
    session_in(is_ours, batch_size, Arc::new(GreedyMemoryPool::new(memory)))
}

fn session_in(is_ours: bool, batch_size: usize, pool: Arc<dyn MemoryPool>) -> SessionContext {
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
    let config = SessionConfig::new().with_batch_size(batch_size).with_target_partitions(2);
    let config = config.with_option_extension(WindowOptions::default());
    let mut rules = PhysicalOptimizer::new().rules;
    if is_ours {
        let place = rules.iter().position(|rule| rule.name() == "EnsureRequirements").expect("the engine's rule");
        rules.splice(place..place, [Arc::new(GroupWindows) as _, Arc::new(CollectSets) as _]);
        rules.push(Arc::new(CodeGroups));
        rules.push(Arc::new(ReadNumbers::new(runtime.cache_manager.get_file_metadata_cache())));
    }
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(rules)
        .build();
    let context = SessionContext::new_with_state(state);
    cxql_udfs::register_all(&mut *context.state_ref().write()).unwrap();
    context
}

/// Rows whose keys have few values but for the last `many` rows, where they have a value each.
fn rows(random: &mut Pcg64, count: usize, many: usize) -> RecordBatch {
    let mut ints = |range: i64, null_ratio: f64| -> Vec<Option<i64>> {
        let value = |row: usize| if row + many >= count { row as i64 } else { random.random_range(0..range) };
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

fn assert_same(ours: &RecordBatch, engine: &RecordBatch, what: &str) {
    assert_eq!(ours.schema(), engine.schema(), "{what}");
    assert_eq!(ours.num_rows(), engine.num_rows(), "{what}");
    for (ours, engine) in ours.columns().iter().zip(engine.columns()) {
        if ours.data_type() == &DataType::Float64 {
            let floats = |column: &ArrayRef| column.as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
            for (row, pair) in floats(ours).into_iter().zip(floats(engine)).enumerate() {
                let is_same = match pair {
                    (Some(ours), Some(engine)) => {
                        ours.is_nan() && engine.is_nan() || (ours - engine).abs() <= 1e-12 * engine.abs().max(1.0)
                    }
                    (ours, engine) => ours == engine,
                };
                assert!(is_same, "{what}: row {row}: {pair:?}");
            }
        } else if ours != engine {
            let shown =
                |column| pretty_format_batches(&[RecordBatch::try_from_iter([("x", column)]).unwrap()]).unwrap();
            panic!("{what}\n{}\n{}", shown(Arc::clone(ours)), shown(Arc::clone(engine)));
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

async fn compare_groups(all: &RecordBatch, batch_size: usize) {
    for keys in GROUPED {
        let places = (1..=keys.split(", ").count()).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        for calls in [format!(", {CALLS}"), String::new()] {
            let sql = format!("select {keys}{calls} from t group by {keys} order by {places}");
            let mut results = vec![];
            for is_ours in [true, false] {
                let context = session(is_ours, batch_size, usize::MAX);
                context.register_table("t", in_two_parts(all, batch_size)).unwrap();
                let (result, plan) = run(&context, &sql).await;
                let shown = displayable(plan.as_ref()).indent(false).to_string();
                let is_distinct = calls.is_empty() && keys.contains(", ");
                let (coded, sets) = (nodes::<CodedAggregateExec>(&plan), nodes::<DistinctSetsExec>(&plan));
                assert_eq!(
                    [coded, sets],
                    [is_ours && !is_distinct, is_ours && is_distinct].map(usize::from),
                    "{shown}"
                );
                results.push(result);
            }
            assert_same(&results[0], &results[1], &sql);
        }
    }
}

#[tokio::test]
async fn groups_are_the_engine_s() {
    let mut random = Pcg64::seed_from_u64(3);
    for (count, batch_size) in [(0, 8192), (1, 8192), (60, 1), (500, 7), (9000, 1000)] {
        compare_groups(&rows(&mut random, count, 0), batch_size).await;
    }
}

#[tokio::test]
async fn groups_that_become_many_are_the_engine_s() {
    let mut random = Pcg64::seed_from_u64(4);
    compare_groups(&rows(&mut random, 60_000, 25_000), 5_000).await;
}

#[tokio::test]
async fn groups_beyond_the_memory_are_given_early() {
    let mut random = Pcg64::seed_from_u64(5);
    let all = rows(&mut random, 20_000, 0);
    let sql = "select k_full, k_int, count(*) as n, sum(v_int) as s from t group by 1, 2 order by 1, 2";
    let context = session(true, 100, 300 << 10);
    let batches = (0..200).map(|part| all.slice(100 * part, 100)).collect();
    context.register_table("t", Arc::new(MemTable::try_new(all.schema(), vec![batches]).unwrap())).unwrap();
    let (expected, _) = {
        let engine = session(false, 8192, usize::MAX);
        engine.register_batch("t", all).unwrap();
        run(&engine, sql).await
    };
    // what the operator itself gives, the states of the two functions
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let coded = find::<CodedAggregateExec>(&plan).unwrap();
    let states =
        concat_batches(&coded.schema(), &collect(Arc::clone(coded), context.task_ctx()).await.unwrap()).unwrap();
    assert!(states.num_rows() > expected.num_rows() + 1000, "{} {}", states.num_rows(), expected.num_rows());
    let states = RecordBatch::try_from_iter(["k_full", "k_int", "n", "s"].into_iter().zip(states.columns().to_vec()));
    let engine = session(false, 8192, usize::MAX);
    engine.register_batch("t", states.unwrap()).unwrap();
    let sql = "select k_full, k_int, sum(n) as n, sum(s) as s from t group by 1, 2 order by 1, 2";
    let (found, _) = run(&engine, sql).await;
    assert_eq!(found.columns(), expected.columns());
}

/// How many rows there are, how many of the last have a key of their own, and how many are in a batch.
const SIZES: [(usize, usize, usize); 5] =
    [(0, 0, 8192), (1, 0, 8192), (300, 0, 7), (20_000, 0, 8192), (40_000, 21_000, 8192)];

/// A session of ours and one of the engine over two Parquet files of the rows.
async fn both_over_files(
    all: &RecordBatch,
    batch_size: usize,
    folder: &std::path::Path,
) -> (SessionContext, SessionContext) {
    let ours = over_files(true, batch_size, all, folder).await;
    (ours, over_files(false, batch_size, all, folder).await)
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

#[tokio::test]
async fn scores_by_reading_twice_are_the_engine_s() {
    let mut random = Pcg64::seed_from_u64(6);
    let folder = tempfile::tempdir().unwrap();
    let scores = "zscore(v_int) over (partition by {k}) as z, modified_zscore(v_small) over (partition by {k}) as m,
        zscore(v_small) over (partition by {k}) as s";
    for (count, many, batch_size) in SIZES {
        let (ours, engine) = both_over_files(&rows(&mut random, count, many), batch_size, folder.path()).await;
        for keys in ["k_text", "k_full", "k_tiny, k_bool", "k_int", "k_day, k_text"] {
            for from in
                ["t", "t where k_full is not null and v_int < 900", "(select * from t where k_tiny in (1, 2)) as t"]
            {
                let scores = scores.replace("{k}", keys);
                let count = keys.split(", ").count() + 5;
                let places = (1..=count).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
                let sql = format!("select {keys}, v_int, v_small, {scores} from {from} order by {places}");
                let (expected, _) = run(&engine, &sql).await;
                let (found, plan) = run(&ours, &sql).await;
                let shown = displayable(plan.as_ref()).indent(false).to_string();
                assert_eq!(nodes::<TwoPassWindowExec>(&plan), 1, "{shown}");
                assert_same(&found, &expected, &sql);
            }
        }
    }
}

/// How many rows are of each kind follows from the first reading.
#[tokio::test]
async fn counted_rows_give_the_engine_s_groups() {
    let mut random = Pcg64::seed_from_u64(8);
    let folder = tempfile::tempdir().unwrap();
    let queries = [
        "select {k}, count(*), count(v_small), count(m), count(1, m), min(m), max(m), max(v_small) from {scores} group by {k}",
        "select {k}, count(*) filter (where abs(m) > 1), count(v_small) filter (where m < 0),
            min(v_small) filter (where m > 0.5), max(m) filter (where v_small < 0), count(null)
        from {scores} group by {k}",
        "select count(*), count(m), min(m), max(abs(m)), count(*) filter (where m > 1) from {scores}",
        "select m > 0.5, v_small % 3, max(m), min(m), count(*) from {scores} where v_small is not null group by 1, 2",
        "select distinct {k}, round(m) from {scores} where m is null or m > -0.5",
    ];
    for (count, many, batch_size) in SIZES {
        let (ours, engine) = both_over_files(&rows(&mut random, count, many), batch_size, folder.path()).await;
        for keys in ["k_text", "k_full", "k_tiny, k_bool", "k_int", "k_day, k_text"] {
            for from in ["t", "t where k_full is not null and v_int < 900"] {
                let window = format!("over (partition by {keys})");
                let scores = format!("(select {keys}, v_small, modified_zscore(v_small) {window} as m from {from})");
                for query in queries {
                    let query = query.replace("{k}", keys).replace("{scores}", &scores);
                    // NULL stands for several in one column, so that all are needed to tell rows apart
                    let width = ours.sql(&query).await.unwrap().schema().fields().len();
                    let places = (1..=width).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
                    let sql = format!("{query} order by {places}");
                    let (expected, _) = run(&engine, &sql).await;
                    let (found, plan) = run(&ours, &sql).await;
                    let shown = displayable(plan.as_ref()).indent(false).to_string();
                    assert!(shown.contains("rows=counted"), "{sql}\n{shown}");
                    assert_same(&found, &expected, &sql);
                }
            }
        }
        let sql = "select k_text, count(*) from
            (select k_text, modified_zscore(v_small) over (partition by k_text) as m from t) where m < 1 group by 1 order by 1";
        let (found, plan) = run(&ours, sql).await;
        let again = collect(reset_plan_states(plan).unwrap(), ours.task_ctx()).await.unwrap();
        assert_same(&concat_batches(&found.schema(), &again).unwrap(), &found, "the same plan again");
    }
}

/// Two scores of one column over one file, of which the engine divides the batches.
#[tokio::test]
async fn scores_of_one_column_of_one_file_are_the_engine_s() {
    let mut random = Pcg64::seed_from_u64(16);
    let folder = tempfile::tempdir().unwrap();
    let all = rows(&mut random, 20_000, 0);
    let window = "over (partition by k_full)";
    let scores = format!(
        "select k_full, v_small, zscore(v_small) {window} as z, modified_zscore(v_small) {window} as m from one where v_int < 900"
    );
    let counts = format!("select k_full, count(*), max(z), min(m) from ({scores}) group by 1 order by 1");
    for sql in [format!("{scores} order by 1, 2"), counts] {
        let mut found = vec![];
        for is_ours in [true, false] {
            let context = over_files(is_ours, 500, &all, folder.path()).await;
            let file = folder.path().join("part-0.parquet");
            context.register_parquet("one", file.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
            let (rows, plan) = run(&context, &sql).await;
            let shown = displayable(plan.as_ref()).indent(false).to_string();
            assert!(!is_ours || shown.contains("RepartitionExec: partitioning=RoundRobin"), "{shown}");
            assert_eq!(nodes::<TwoPassWindowExec>(&plan), usize::from(is_ours), "{shown}");
            found.push(rows);
        }
        assert_same(&found[0], &found[1], &sql);
    }
}

#[tokio::test]
async fn rows_are_counted_only_where_that_is_enough() {
    let mut random = Pcg64::seed_from_u64(9);
    let folder = tempfile::tempdir().unwrap();
    let all = rows(&mut random, 500, 0);
    let context = over_files(true, 8192, &all, folder.path()).await;
    let window = "over (partition by k_text)";
    for (what, scores, is_counted) in [
        ("k_text, max(s)", format!("select k_text, modified_zscore(v_int) {window} as s from t"), true),
        ("k_text, max(s)", format!("select k_text, zscore(v_int) {window} as s from t"), false),
        ("k_text, sum(s)", format!("select k_text, modified_zscore(v_int) {window} as s from t"), false),
        ("k_text, count(distinct s)", format!("select k_text, modified_zscore(v_int) {window} as s from t"), true),
        ("k_text, avg(s)", format!("select k_text, modified_zscore(v_int) {window} as s from t"), false),
        (
            "k_text, max(s) filter (where random() < 2)",
            format!("select k_text, modified_zscore(v_int) {window} as s from t"),
            false,
        ),
        (
            "k_text, max(s), max(r)",
            format!("select k_text, modified_zscore(v_int) {window} as s, random() as r from t"),
            false,
        ),
        (
            "k_text, max(s)",
            format!("select k_text, modified_zscore(v_int) {window} as s from t order by v_small limit 30"),
            false,
        ),
        (
            "k_text, max(s), max(v_small)",
            format!("select k_text, v_small, modified_zscore(v_int) {window} as s from t"),
            false,
        ),
        (
            "k_text, max(s), max(z)",
            format!("select k_text, modified_zscore(v_int) {window} as s, zscore(v_small) {window} as z from t"),
            false,
        ),
        (
            "k_text, max(s), max(z)",
            format!("select k_text, modified_zscore(v_small) {window} as s, zscore(v_small) {window} as z from t"),
            true,
        ),
        ("k_text, max(s)", format!("select k_text, modified_zscore(v_int + 1) {window} as s from t"), false),
        (
            "k_int, max(s)",
            "select k_int, modified_zscore(k_int) over (partition by k_int) as s from t".to_string(),
            false,
        ),
    ] {
        let sql = format!("select {what} from ({scores}) group by 1");
        let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(shown.contains("rows=counted"), is_counted, "{sql}\n{shown}");
        collect(plan, context.task_ctx()).await.unwrap();
    }
}

/// A session over files, each written with its properties; its table `many` lies in memory.
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

/// Texts with `count` different ones from `first` on; every seventh is NULL.
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

/// Numbers of a file's dictionary give the groups that its texts give, and where something needs the texts, they are read.
#[tokio::test]
async fn texts_read_as_numbers_give_the_engine_s_groups() {
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
    for (what, files, is_numbered) in folders {
        let folder = tempfile::tempdir().unwrap();
        let engine = over_written(false, &files, folder.path()).await;
        let ours = over_written(true, &files, folder.path()).await;
        for (sql, numbered) in [
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
                "k",
            ),
            (
                "select k, sum(z) from (select k, zscore(v) over (partition by k) as z from t) as s group by 1 order by 1",
                "k",
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
            // what follows needs the texts
            ("select k, count(*) from t where k like '%1%' group by 1 order by 1", ""),
            ("select k, min(k), count(*) from t group by 1 order by 1", ""),
            ("select k, sum(length(k)), count(*) from t group by 1 order by 1", ""),
            ("select k, k || v, count(*) from t group by 1, 2 order by 1, 2", ""),
            ("select k, count(*) filter (where k > 'queue 2') from t group by 1 order by 1", ""),
            ("select k, count(*) from (select * from t limit 10) as few group by 1 order by 1 limit 0", ""),
        ] {
            let what = format!("{what}: {sql}");
            let (expected, _) = run(&engine, sql).await;
            let (found, plan) = run(&ours, sql).await;
            let shown = displayable(plan.as_ref()).indent(false).to_string();
            assert_same(&found, &expected, &what);
            let is_numbered = is_numbered && !numbered.is_empty();
            if is_numbered && !sql.contains("union") && (!sql.contains("join") || what.starts_with("one part")) {
                assert!(shown.contains(&format!("numbered=[{numbered}")), "{what}\n{shown}");
            }
            assert!(is_numbered || !shown.contains("numbered=[k"), "{what}\n{shown}");
            // a plan may run again
            let again = collect(reset_plan_states(plan).unwrap(), ours.task_ctx()).await.unwrap();
            assert_same(&concat_batches(&found.schema(), &again).unwrap(), &found, &what);
        }
    }
}

/// As many different keys as there is room for numbers, or one less or more, each pass finds again; 5,000 texts too.
#[tokio::test]
async fn keys_at_the_limits_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    for (count, is_text) in [(16_383, false), (16_384, false), (16_385, false), (5_000, true), (60_000, false)] {
        let keys: Vec<i64> = (0..2 * count).map(|row| row % count).collect();
        let key: ArrayRef = match is_text {
            // few at first, so that they count as few
            true => Arc::new(StringViewArray::from_iter_values(
                (0..60_000).map(|row| format!("agent {}", row % (row / 10 + 1).min(count))),
            )),
            false => Arc::new(Int64Array::from(keys)),
        };
        let value = Int32Array::from_iter_values((0..key.len() as i32).map(|row| row * 7 % 1000));
        let all = RecordBatch::try_from_iter([("k", key), ("v", Arc::new(value) as ArrayRef)]).unwrap();
        let sql = "select k, v, zscore(v) over (partition by k) as z from t order by 1, 2, 3";
        let (expected, _) = run(&over_files(false, 8192, &all, folder.path()).await, sql).await;
        let (found, plan) = run(&over_files(true, 8192, &all, folder.path()).await, sql).await;
        assert_eq!(nodes::<TwoPassWindowExec>(&plan), 1);
        assert_same(&found, &expected, &format!("{count} keys"));
    }
}

/// Rows spread over far too many places to count them all.
#[tokio::test]
async fn wide_numbers_of_many_partitions_are_left_to_the_other_operator() {
    let folder = tempfile::tempdir().unwrap();
    let rows = 8_000;
    let key = Int64Array::from_iter_values((0..rows).map(|row| row / 2));
    let value = Int64Array::from_iter_values((0..rows).map(|row| row % 2 * 1_000_000));
    let all = RecordBatch::try_from_iter([("k", Arc::new(key) as ArrayRef), ("v", Arc::new(value) as ArrayRef)]);
    let all = all.unwrap();
    let sql = "select k, v, modified_zscore(v) over (partition by k) as z from t order by 1, 2";
    let (expected, _) = run(&over_files(false, 8192, &all, folder.path()).await, sql).await;
    let (found, _) = run(&over_files(true, 8192, &all, folder.path()).await, sql).await;
    assert_same(&found, &expected, "wide");
    let counted = format!("select k, v, count(*), max(z) from ({sql}) group by k, v order by k, v");
    let (expected, _) = run(&over_files(false, 8192, &all, folder.path()).await, &counted).await;
    let (found, plan) = run(&over_files(true, 8192, &all, folder.path()).await, &counted).await;
    assert!(displayable(plan.as_ref()).indent(false).to_string().contains("rows=counted"));
    assert_same(&found, &expected, "wide, counted");
    // numbers that are added up
    let key =
        Arc::new(StringViewArray::from_iter_values((0..rows).map(|row| format!("queue {}", row % 5)))) as ArrayRef;
    let value = Int64Array::from_iter_values((0..rows).map(|row| row * row * 7 % 5_000_000));
    let all = RecordBatch::try_from_iter([("k", key), ("v", Arc::new(value) as ArrayRef)]).unwrap();
    let sql = "select k, count(*), max(z), min(z), count(*) filter (where z > 1) from \
               (select k, zscore(v) over (partition by k) as z from t) group by k order by k";
    let (expected, _) = run(&over_files(false, 8192, &all, folder.path()).await, sql).await;
    let (found, plan) = run(&over_files(true, 8192, &all, folder.path()).await, sql).await;
    assert_eq!(nodes::<TwoPassWindowExec>(&plan), 1);
    assert_same(&found, &expected, "wide sums");
}

#[tokio::test]
async fn only_what_is_cheap_is_read_twice() {
    let mut random = Pcg64::seed_from_u64(7);
    let folder = tempfile::tempdir().unwrap();
    let all = rows(&mut random, 500, 0);
    let context = over_files(true, 8192, &all, folder.path()).await;
    for (sql, is_twice) in [
        ("select zscore(v_int) over (partition by k_text) from t", true),
        (
            "select zscore(v_int) over (partition by k_text), modified_zscore(v_small) over (partition by k_text) from t",
            true,
        ),
        (
            "select v_small, zscore(v_small) over (partition by k_text), modified_zscore(v_small) over (partition by k_text) from t where v_int > 7",
            true,
        ),
        // a float has not all of these
        (
            "select zscore(v_int) over (partition by k_text), modified_zscore(v_int) over (partition by k_text) from t",
            false,
        ),
        // the second window reads what the first gives
        ("select zscore(v_int) over (partition by k_text), zscore(v_small) over (partition by k_day) from t", true),
        ("select zscore(v_float) over (partition by k_text) from t", false),
        ("select zscore(v_int) over (partition by upper(k_text)) from t", false),
        ("select zscore(v_int) over (partition by k_text) from in_memory", false),
        ("select zscore(v_int) over (partition by k_text) from (select * from t limit 50)", false),
        ("select zscore(v_int) over (partition by k_text) from t where random() < 0.5", false),
        (
            "select zscore(v_int) over (partition by k_text) from t where k_text like 'a%' or v_text > upper(k_text)",
            false,
        ),
        ("select zscore(v_int) over (partition by k_text), row_number() over (partition by k_text) from t", false),
        ("select zscore(v_int) over (partition by k_text) from (select distinct k_text, v_int from t)", false),
    ] {
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(nodes::<TwoPassWindowExec>(&plan) > 0, is_twice, "{sql}\n{shown}");
        assert!(is_twice || nodes::<GroupedWindowExec>(&plan) > 0, "{sql}\n{shown}");
        collect(plan, context.task_ctx()).await.unwrap();
    }
}

/// Customers with what they have few of.
fn customers(random: &mut Pcg64, count: usize) -> RecordBatch {
    let customers = (count as i64 / 3).max(1);
    let mut ints = |most: &dyn Fn(usize) -> i64| -> Vec<Option<i64>> {
        let value = |row: usize| random.random_range(0..most(row));
        let values: Vec<i64> = (0..count).map(value).collect();
        values.into_iter().map(|value| (value % 17 != 3).then_some(value)).collect()
    };
    let customer = |value: i64| match value % 3 {
        0 => format!("c{value}"),
        1 => format!("a customer with a long name, {value}"),
        _ => format!("{value:012}"),
    };
    let texts = |ints: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(StringViewArray::from_iter(ints.into_iter().map(|value| value.map(customer))))
    };
    let month = 2_592_000_000_000;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("c_text", texts(ints(&|_| customers))),
        ("c_int", Arc::new(Int64Array::from(ints(&|_| customers)))),
        (
            "c_float",
            Arc::new(Float64Array::from_iter(ints(&|_| customers).into_iter().map(|v| v.map(|v| v as f64 / 8.0)))),
        ),
        (
            "month",
            Arc::new(
                TimestampMicrosecondArray::from_iter(
                    ints(&|row| 1 + 12 * row as i64 / count as i64).into_iter().map(|v| v.map(|v| v * month)),
                )
                .with_timezone("UTC"),
            ),
        ),
        ("topic", texts(ints(&|_| 20))),
        ("flag", Arc::new(BooleanArray::from_iter(ints(&|_| 2).into_iter().map(|v| v.map(|v| v == 1))))),
        // more than a number of bits, as many as there is room for, too many at last, very many at once
        (
            "day",
            Arc::new(Date32Array::from_iter(
                ints(&|row| if row < 5000 { 40 } else { 150 }).into_iter().map(|v| v.map(|v| v as i32)),
            )),
        ),
        (
            "late",
            Arc::new(Int32Array::from_iter(
                ints(&|row| if row < 6000 { 50 } else { 400 }).into_iter().map(|v| v.map(|v| v as i32)),
            )),
        ),
        ("last", Arc::new(Int64Array::from(ints(&|row| if row + 500 < count { 9 } else { 1 << 40 })))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn in_batches(rows: &RecordBatch, size: usize) -> Vec<RecordBatch> {
    let starts = (0..rows.num_rows()).step_by(size);
    starts.map(|start| rows.slice(start, size.min(rows.num_rows() - start))).collect()
}

/// The rows in two parts, batch by batch.
fn in_two_parts(all: &RecordBatch, batch_size: usize) -> Arc<MemTable> {
    let half = all.num_rows() / 2;
    let parts =
        [(0, half), (half, all.num_rows() - half)].map(|(start, rows)| in_batches(&all.slice(start, rows), batch_size));
    Arc::new(MemTable::try_new(all.schema(), parts.to_vec()).unwrap())
}

/// How many groups with sets an operator gave; 0 if the engine's operators did the work.
fn sets(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    let metrics = find::<DistinctSetsExec>(plan).and_then(|sets| sets.metrics()).unwrap_or_else(|| panic!("{shown}"));
    metrics.sum_by_name("groups").map_or(0, |groups| groups.as_usize())
}

async fn compare_sets(all: &RecordBatch, batch_size: usize, memory: usize, sql: &str) -> (usize, RecordBatch) {
    let mut results = vec![];
    for (is_ours, memory) in [(true, memory), (false, usize::MAX)] {
        let context = session(is_ours, batch_size, memory);
        context.register_table("t", in_two_parts(all, batch_size)).unwrap();
        results.push(run(&context, sql).await);
    }
    let [(found, plan), (expected, _)] = results.try_into().unwrap();
    assert_same(&found, &expected, sql);
    (sets(&plan), found)
}

#[tokio::test]
async fn distinct_rows_are_the_engine_s() {
    let mut random = Pcg64::seed_from_u64(8);
    for (count, batch_size) in [(0, 8192), (1, 8192), (300, 7), (30_000, 1000)] {
        let all = customers(&mut random, count);
        for (keys, has_sets) in [
            ("c_text, month", true),
            ("month, c_text", true),
            ("topic, c_int, flag", true),
            ("c_text, day", true),
            ("c_int, c_text, flag, month", true),
            ("c_float, topic", true),
            ("upper(c_text), month, c_int % 2 = 0", true),
            ("arrow_cast(c_text,'Utf8'), month", true),
            ("arrow_cast(c_text,'Dictionary(Int32,Utf8)'), month", true),
            ("case c_int % 3 when 0 then 0.0 when 1 then -0.0 else c_float end, topic", true),
            ("case c_int % 3 when 0 then c_float else 'NaN'::double end, topic", true),
            ("c_text, c_text as again, topic", true),
            // some of the few count as many where all together would be too many
            ("c_text, topic, topic || 'x' as other", true),
            ("c_text, late", false),
            ("c_text, last", false),
            ("c_int, topic, day", true),
            ("month, topic", false),
            ("c_text, c_int", false),
        ] {
            let places = (1..=keys.split(", ").count()).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
            let sql = format!("select distinct {keys} from t order by {places}");
            let (groups, found) = compare_sets(&all, batch_size, usize::MAX, &sql).await;
            if count > 10_000 {
                assert_eq!(groups > 0, has_sets, "{sql}");
                assert!(groups <= found.num_rows(), "{sql}");
            }
        }
    }
}

/// Inputs of any size, in any order of ending: which keys have few values is told by all of them.
#[tokio::test]
async fn distinct_rows_of_uneven_inputs_are_the_engine_s() {
    let all = customers(&mut Pcg64::seed_from_u64(12), 30_000);
    let sql = "select distinct c_text, month from t order by 1, 2";
    let engine = session(false, 8192, usize::MAX);
    engine.register_batch("t", all.clone()).unwrap();
    let (expected, _) = run(&engine, sql).await;
    for (bounds, has_sets) in [
        (vec![0, 40, 30_000], true),
        (vec![0, 0, 29_990, 30_000], true),
        (vec![0, 30_000], true),
        ((0..=60).map(|part| 500 * part).collect(), true),
        (vec![0, 30, 30, 30_000, 30_000], true),
    ] {
        let context = session(true, 1000, usize::MAX);
        let part = |bounds: &[usize]| in_batches(&all.slice(bounds[0], bounds[1] - bounds[0]), 1000);
        let parts = bounds.windows(2).map(part);
        context.register_table("t", Arc::new(MemTable::try_new(all.schema(), parts.collect()).unwrap())).unwrap();
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        // a plan may run again, with a state of its own
        for plan in [Arc::clone(&plan), reset_plan_states(plan).unwrap()] {
            let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
            assert_same(&concat_batches(&plan.schema(), &batches).unwrap(), &expected, &format!("{bounds:?}"));
            assert_eq!(sets(&plan) > 0, has_sets, "{bounds:?}");
        }
    }
}

/// What is counted as held goes back, and not before the last row.
#[tokio::test]
async fn the_memory_of_sets_is_held_until_the_end() {
    let all = customers(&mut Pcg64::seed_from_u64(13), 100_000);
    let context = session(true, 1000, 1 << 30);
    context.register_table("t", in_two_parts(&all, 1000)).unwrap();
    let plan = context.sql("select distinct c_text, month from t").await.unwrap().create_physical_plan().await.unwrap();
    let pool = Arc::clone(&context.runtime_env().memory_pool);
    let mut outputs: Vec<_> = (0..2).map(|part| plan.execute(part, context.task_ctx()).unwrap()).collect();
    let (first, _) = (outputs[0].next().await.unwrap().unwrap(), outputs[1].next().await.unwrap().unwrap());
    // a view and a set for each of at least 25,000 customers
    assert!(pool.reserved() > 25_000 * 24, "{}", pool.reserved());
    assert_eq!(first.num_rows(), 1000);
    for output in &mut outputs {
        while output.next().await.transpose().unwrap().is_some() {}
    }
    drop((outputs, plan));
    assert_eq!(pool.reserved(), 0);
}

/// DISTINCT over windows goes chunk by chunk as any GROUP BY does.
#[tokio::test]
async fn distinct_rows_of_windows_keep_their_operator() {
    let all = customers(&mut Pcg64::seed_from_u64(14), 9_000);
    let context = session(true, 1000, usize::MAX);
    context.register_table("t", in_two_parts(&all, 1000)).unwrap();
    let sql = "select distinct c_text, first from \
        (select c_text, first_value(topic) over (partition by c_text order by c_int, month) as first from t)";
    let (_, plan) = run(&context, sql).await;
    assert_eq!([nodes::<DistinctSetsExec>(&plan), nodes::<ChunkedAggregateExec>(&plan)], [0, 1]);
}

#[tokio::test]
async fn windows_over_distinct_rows_are_the_engine_s() {
    let mut random = Pcg64::seed_from_u64(9);
    let all = customers(&mut random, 20_000);
    for (rows, key, has_sets) in [
        ("(select distinct c_text, month as k from t)", "c_text", true),
        ("(select distinct month as k, c_text from t)", "c_text", true),
        (
            "(select k, c_text from (select c_text, upper(topic) as k from (select distinct topic, c_text from t)) where k is not null)",
            "c_text",
            true,
        ),
        (
            "(select c_text, k from (select distinct flag as k, topic, c_text from t) where c_text > 'b' and topic is not null)",
            "c_text",
            true,
        ),
        ("(select distinct c_int as k, c_text, flag from t)", "c_text, k", true),
        // the partitions are not the groups
        ("(select distinct month as k, c_text from t)", "k", false),
        ("(select distinct c_int as k, c_text, flag from t)", "c_text", false),
        // the engine's operators give the rows, and they are brought together
        ("(select distinct last as k, c_text from t)", "c_text", false),
        ("(select distinct month as k, topic as c_text from t)", "c_text", false),
    ] {
        let sql = format!(
            "select c_text, k, min(k) over (partition by {key}) as least, count(*) over (partition by {key}) as n, \
             row_number() over (partition by {key} order by k, c_text) as place from {rows} order by 1, 2, 3, 4, 5"
        );
        for batch_size in [500, 8192] {
            let (groups, _) = compare_sets(&all, batch_size, usize::MAX, &sql).await;
            assert_eq!(groups > 0, has_sets, "{sql}");
        }
    }
}

/// How many customers there are of each kind is counted in the sets.
#[tokio::test]
async fn counts_of_distinct_values_are_the_engine_s() {
    let mut random = Pcg64::seed_from_u64(15);
    for (count, batch_size) in [(0, 8192), (1, 8192), (300, 7), (30_000, 8192)] {
        let all = customers(&mut random, count);
        let (ours, engine) = (session(true, batch_size, usize::MAX), session(false, batch_size, usize::MAX));
        for context in [&ours, &engine] {
            context.register_table("t", in_two_parts(&all, 1000)).unwrap();
        }
        for (sql, is_counted) in [
            ("select month, count(distinct c_text) from t group by month order by 1", true),
            ("select month, count(distinct c_int) from t where c_int > 9 group by month order by 1", true),
            ("select month, topic, flag, count(distinct c_text) from t group by 1, 2, 3 order by 1, 2, 3", true),
            (
                "select month, count(*), count(c) from (select distinct month, c_text as c from t) group by 1 order by 1",
                true,
            ),
            (
                "select month, count(*) filter (where topic is null), min(topic) from
                    (select distinct topic, c_text, month from t where c_text > 'b') group by 1 order by 1",
                true,
            ),
            (
                "select count(*), count(c_text), max(month) from (select distinct month, c_text from t) where month is not null",
                true,
            ),
            // last has few values at first
            ("select last, count(distinct c_text) from t group by 1 order by 1", true),
            // both have many
            (
                "select month, count(a), count(b) from (select distinct c_text as a, c_int as b, month from t) group by 1 order by 1",
                true,
            ),
            // which customers there are matters
            ("select month, max(c_text) from (select distinct month, c_text from t) group by 1 order by 1", false),
            (
                "select month, count(*) from (select distinct month, c_text from t) where c_text > 'b' group by 1 order by 1",
                true,
            ),
            (
                "select month, count(*) filter (where c_text > 'b') from (select distinct month, c_text from t) group by 1 order by 1",
                false,
            ),
            (
                "select month, count(nullif(c_text, 'c1')) from (select distinct month, c_text from t) group by 1 order by 1",
                false,
            ),
        ] {
            let (expected, _) = run(&engine, sql).await;
            let (found, plan) = run(&ours, sql).await;
            let shown = displayable(plan.as_ref()).indent(false).to_string();
            assert_eq!(shown.contains("rows=counted"), is_counted, "{sql}\n{shown}");
            assert_same(&found, &expected, sql);
            let again = collect(reset_plan_states(plan).unwrap(), ours.task_ctx()).await.unwrap();
            assert_same(&concat_batches(&found.schema(), &again).unwrap(), &found, "the same plan again");
        }
    }
}

/// When memory does not suffice, what is known goes on to the engine's operators, which write to disk.
#[tokio::test]
async fn distinct_rows_beyond_the_memory_are_the_engine_s() {
    let mut random = Pcg64::seed_from_u64(10);
    let all = customers(&mut random, 200_000);
    let sql = "select count(*) as n, min(c_text) as c, max(month) as m from (select distinct c_text, month from t)";
    let (groups, _) = compare_sets(&all, 1000, usize::MAX, sql).await;
    assert!(groups > 50_000, "{groups}");
    let engine = session(false, 1000, usize::MAX);
    engine.register_table("t", in_two_parts(&all, 1000)).unwrap();
    let (expected, _) = run(&engine, sql).await;
    for most in [0, 100_000, 1 << 20, 3 << 20] {
        let pool = Arc::new(NoneForSets { all: UnboundedMemoryPool::default(), most, of_sets: AtomicUsize::new(0) });
        let ours = session_in(true, 1000, Arc::clone(&pool) as _);
        ours.register_table("t", in_two_parts(&all, 1000)).unwrap();
        let (found, plan) = run(&ours, sql).await;
        assert_same(&found, &expected, sql);
        assert_eq!(sets(&plan), 0, "{most}");
        let written = find::<DistinctSetsExec>(&plan).and_then(|sets| sets.metrics()).unwrap();
        assert!(written.spilled_rows().is_some_and(|rows| rows > 0), "{most}");
        drop(plan);
        assert_eq!((pool.reserved(), pool.of_sets.load(Ordering::Relaxed)), (0, 0), "{most}");
    }
}

/// A pool that has `most` bytes for sets, and any number for others.
#[derive(Debug)]
struct NoneForSets {
    all: UnboundedMemoryPool,
    most: usize,
    of_sets: AtomicUsize,
}

impl NoneForSets {
    fn is_of_sets(reservation: &MemoryReservation) -> bool {
        reservation.consumer().name() == "DistinctSetsExec"
    }
}

impl Display for NoneForSets {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes for sets", self.most)
    }
}

impl MemoryPool for NoneForSets {
    fn name(&self) -> &str {
        "none for sets"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        if Self::is_of_sets(reservation) {
            self.of_sets.fetch_add(additional, Ordering::Relaxed);
        }
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        if Self::is_of_sets(reservation) {
            self.of_sets.fetch_sub(shrink, Ordering::Relaxed);
        }
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> datafusion::error::Result<()> {
        if Self::is_of_sets(reservation) && self.of_sets.load(Ordering::Relaxed) + additional > self.most {
            return Err(DataFusionError::ResourcesExhausted("no more for sets".to_string()));
        }
        self.grow(reservation, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.all.reserved()
    }
}

#[tokio::test]
async fn a_limit_reads_no_further_than_it_must() {
    let context = session(true, 100, usize::MAX);
    let all = customers(&mut Pcg64::seed_from_u64(11), 10_000);
    context.register_table("t", in_two_parts(&all, 100)).unwrap();
    for (sql, has_sets) in [
        ("select distinct c_text, month from t limit 5", false),
        ("select distinct c_text, month from t order by 1, 2 limit 5", true),
        ("select distinct c_text from t", false),
        ("select c_text, month, count(*) from t group by 1, 2", false),
        ("select c_text, month from t group by 1, 2", true),
        ("select month, count(distinct c_text) from t group by 1", true),
        ("select distinct c_float, c_float + 1 from t", false),
    ] {
        let (_, plan) = run(&context, sql).await;
        assert_eq!(nodes::<DistinctSetsExec>(&plan), usize::from(has_sets), "{sql}");
    }
}

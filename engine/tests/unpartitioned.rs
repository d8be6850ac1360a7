//! [`UnpartitionedWindowExec`] returns what DataFusion's own operators return, and ranks as the standard defines them.

mod common;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use cxql_engine::window::UnpartitionedWindowExec;
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray, UInt32Array,
};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

fn session(is_ours: bool, batch_size: usize, partitions: usize, memory: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_batch_size(batch_size).with_target_partitions(partitions);
    config.options_mut().execution.sort_spill_reservation_bytes = 0;
    let options = EngineOptions { unpartitioned_window: is_ours, ..EngineOptions::default() };
    common::context(Some(options), config, Arc::new(FairSpillPool::new(memory)))
}

/// Rows with NULLs and ties in all columns, and every kind of float.
fn rows(random: &mut Pcg64, count: usize) -> RecordBatch {
    let floats = [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, 2.5, -7.25, 1e300];
    let mut some = |range: usize| -> Vec<Option<usize>> {
        (0..count).map(|_| (!random.random_bool(0.1)).then(|| random.random_range(0..range))).collect()
    };
    let text = |value: usize| if value % 3 == 0 { format!("a long text, {}", value % 40) } else { format!("t{value}") };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..count as i64))),
        ("few", Arc::new(Int64Array::from_iter(some(4).into_iter().map(|v| v.map(|v| v as i64))))),
        ("many", Arc::new(Int64Array::from_iter(some(count).into_iter().map(|v| v.map(|v| v as i64 * 7 - 9))))),
        ("f", Arc::new(Float64Array::from_iter(some(8).into_iter().map(|v| v.map(|v| floats[v]))))),
        ("s", Arc::new(StringArray::from_iter(some(300).into_iter().map(|v| v.map(text))))),
        ("v", Arc::new(StringViewArray::from_iter(some(90).into_iter().map(|v| v.map(text))))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A table of these rows, split at random into partitions and batches, of which there are at least so many.
fn table(random: &mut Pcg64, all: &RecordBatch, partitions: usize, pieces: usize) -> Arc<MemTable> {
    let mut parts = vec![vec![]; partitions];
    let mut start = 0;
    while start < all.num_rows() {
        let length = random.random_range(1..=all.num_rows().div_ceil(pieces)).min(all.num_rows() - start);
        // copied: sorts count the whole buffers of a slice
        let chosen = UInt32Array::from_iter_values(start as u32..(start + length) as u32);
        parts[random.random_range(0..partitions)].push(take_record_batch(all, &chosen).unwrap());
        start += length;
    }
    Arc::new(MemTable::try_new(all.schema(), parts).unwrap())
}

fn has_operator(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<UnpartitionedWindowExec>() || plan.children().into_iter().any(has_operator)
}

/// The rows of a query as text, sorted; and whether the operator is in the plan.
async fn answer(context: &SessionContext, sql: &str) -> (Vec<String>, bool) {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    let batches =
        collect(Arc::clone(&plan), context.task_ctx()).await.unwrap_or_else(|e| panic!("{sql}: {e}\n{shown}"));
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort();
    (lines, has_operator(&plan))
}

const FUNCTIONS: &[&str] = &[
    "row_number() over (order by {o}, id)",
    "ntile(5) over (order by {o}, id)",
    "ntile(7000) over (order by {o}, id desc)",
    "rank() over (order by {o})",
    "dense_rank() over (order by {o})",
    "percent_rank() over (order by {o})",
    "cume_dist() over (order by {o})",
    "lag(v, 2) over (order by {o}, id)",
    "lead(many, 1, -1) over (order by {o}, id)",
    "first_value(s) over (order by {o}, id)",
    "last_value(few) over (order by {o}, id rows between current row and 2 following)",
    "count(*) over (order by {o})",
    "count(s) over (order by {o}, id rows between 3 preceding and 1 following)",
    "sum(few) over (order by {o})",
    "max(v) over (order by {o}, id)",
    "min(f) over (order by {o}, id)",
    "sum(many) over ()",
    "count(*) over ()",
    "max(s) over ()",
    "rank() over ()",
    "percent_rank() over ()",
    "cume_dist() over ()",
];

const ORDERS: &[&str] = &[
    "few",
    "few desc nulls last, s",
    "many desc",
    "many nulls first, v desc",
    "f",
    "f desc nulls last, few",
    "s",
    "v desc nulls last, f",
    "lower(s), many % 3",
    "cast(few as decimal(9, 2)) desc, v",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_over_random_rows_are_those_of_datafusion() {
    let mut random = Pcg64::seed_from_u64(3);
    for (count, batch_size, partitions, questions) in
        [(0, 8192, 2, 2), (1, 8192, 2, 4), (60, 1, 3, 12), (900, 7, 2, 25), (5000, 8192, 4, 25), (150_000, 8192, 2, 3)]
    {
        let all = rows(&mut random, count);
        let table = table(&mut random, &all, partitions, 5);
        let [ours, stock] = [true, false].map(|is_ours| session(is_ours, batch_size, partitions, usize::MAX));
        for context in [&ours, &stock] {
            context.register_table("t", Arc::clone(&table) as _).unwrap();
        }
        for _ in 0..questions {
            let mut functions = FUNCTIONS.to_vec();
            functions.shuffle(&mut random);
            let functions: Vec<String> = functions[..random.random_range(1..=6)]
                .iter()
                .enumerate()
                .map(|(number, function)| {
                    format!("{} as f{number}", function.replace("{o}", ORDERS[random.random_range(0..ORDERS.len())]))
                })
                .collect();
            let columns = ["id", "id, s", "*"][random.random_range(0..3)];
            let sql = format!("select {columns}, {} from t", functions.join(", "));
            let ((found, is_replaced), (expected, is_stock)) = (answer(&ours, &sql).await, answer(&stock, &sql).await);
            assert!(is_replaced && !is_stock, "{sql}");
            assert_eq!(found, expected, "{sql}\n{count} rows, batch size {batch_size}, {partitions} partitions");
        }
    }
}

/// Windows over windows, filters and limits above, and aggregates of the results.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_within_larger_queries() {
    let mut random = Pcg64::seed_from_u64(5);
    let all = rows(&mut random, 4000);
    let table = table(&mut random, &all, 3, 5);
    let [ours, stock] = [true, false].map(|is_ours| session(is_ours, 1000, 3, usize::MAX));
    for context in [&ours, &stock] {
        context.register_table("t", Arc::clone(&table) as _).unwrap();
    }
    for (sql, is_ours) in [
        (
            "select id, rank() over (order by r, id) as q from (select id, ntile(9) over (order by many, id) as r from t)",
            true,
        ),
        (
            "select a, b, count(*), round(sum(p), 6) from (select ntile(3) over (order by s, id) as a, ntile(3) over (order by f, id) as b, cume_dist() over (order by few) as p from t) group by a, b",
            true,
        ),
        ("select id, r from (select id, rank() over (order by many) as r from t) where r < 50", true),
        ("select id, rank() over (order by many) as r from t order by r, id", false),
        (
            "select id, rank() over (order by many) as r, ntile(4) over (order by s, id) as q from t order by r, id",
            true,
        ),
        ("select row_number() over (order by many, id) as r from t limit 7", false),
        (
            "select sum(r) from (select rank() over (order by v) - lag(few) over (partition by few order by id) as r from t)",
            true,
        ),
        (
            "select a.id, b.r from t as a inner join (select id, rank() over (order by f) as r from t) as b on a.id = b.id + 1",
            true,
        ),
    ] {
        let ((found, is_replaced), (expected, _)) = (answer(&ours, sql).await, answer(&stock, sql).await);
        assert_eq!(is_replaced, is_ours, "{sql}");
        assert_eq!(found, expected, "{sql}");
    }
}

/// What is buffered when memory is short goes on in DataFusion's operators, which spill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_memory_gives_the_same_rows() {
    let mut random = Pcg64::seed_from_u64(9);
    let all = rows(&mut random, 60_000);
    let table = table(&mut random, &all, 2, 100);
    let sql = "select count(*), sum(r * (id % 7)), sum(q * (id % 5)) from (select id, s, \
               row_number() over (order by s, id) as r, dense_rank() over (order by many desc) as q from t)";
    let mut answers = vec![];
    // the operator would reserve 14 MB
    for (is_ours, memory) in [(false, usize::MAX), (true, usize::MAX), (true, 6 << 20)] {
        let context = session(is_ours, 1024, 2, memory);
        context.register_table("t", Arc::clone(&table) as _).unwrap();
        let (rows, is_replaced) = answer(&context, sql).await;
        assert_eq!(is_replaced, is_ours);
        answers.push(rows);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

/// By hand, ISO 9075-2: percent_rank is (rank - 1) / (rows - 1), cume_dist the share of rows up to the last peer; of 5 rows in 3
/// tiles the first two tiles have two.
#[tokio::test]
async fn ranks_of_five_rows() {
    let context = session(true, 8192, 2, usize::MAX);
    let sql = "select x, rank() over (order by x) as r, dense_rank() over (order by x) as d, \
               percent_rank() over (order by x) as p, cume_dist() over (order by x) as c, ntile(3) over (order by x, y) as n \
               from (values (10, 1), (20, 2), (20, 3), (null, 4), (30, 5)) as t (x, y)";
    let (rows, is_replaced) = answer(&context, sql).await;
    assert!(is_replaced);
    let mut expected = vec![
        "+----+---+---+------+-----+---+",
        "| x  | r | d | p    | c   | n |",
        "+----+---+---+------+-----+---+",
        "| 10 | 1 | 1 | 0.0  | 0.2 | 1 |",
        "| 20 | 2 | 2 | 0.25 | 0.6 | 1 |",
        "| 20 | 2 | 2 | 0.25 | 0.6 | 2 |",
        "| 30 | 4 | 3 | 0.75 | 0.8 | 2 |",
        "|    | 5 | 4 | 1.0  | 1.0 | 3 |",
        "+----+---+---+------+-----+---+",
    ];
    expected.sort_unstable();
    assert_eq!(rows, expected);
}

//! [`HashWindowAggExec`] returns what DataFusion's own operators return.
//!
//! DataFusion is the expected value: every query runs twice over the same random rows, with this crate and without it, and
//! both results are compared row by row.

mod common;

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use cxql_engine::EngineOptions;
use cxql_engine::window::HashWindowAggExec;
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// A session with the operators of this crate, or with DataFusion's. Both have the repairs, whose own tests are in
/// `numbers.rs`, `plans.rs` and `temporal.rs`.
fn session(is_ours: bool, batch_size: usize, partitions: usize) -> SessionContext {
    session_with_memory(is_ours, batch_size, partitions, usize::MAX)
}

fn session_with_memory(is_ours: bool, batch_size: usize, partitions: usize, memory: usize) -> SessionContext {
    let pool = Arc::new(FairSpillPool::new(memory));
    let config = SessionConfig::new().with_batch_size(batch_size).with_target_partitions(partitions);
    let options = EngineOptions {
        clustered_aggregation: is_ours,
        dictionary_scan: is_ours,
        hash_window_agg: is_ours,
        perfect_hash_aggregation: is_ours,
        plain_window_strings: is_ours,
        unsplit_partitions: is_ours,
        ..EngineOptions::default()
    };
    common::context(Some(options), config, pool)
}

fn window_operator(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    if plan.is::<HashWindowAggExec>() { Some(plan) } else { plan.children().into_iter().find_map(window_operator) }
}

/// Rows with few distinct values per column, so that partitions, ties and NULLs are common.
fn rows(random: &mut Pcg64, count: usize, keys: i64) -> RecordBatch {
    let mut ints = |range: i64, null_ratio: f64| -> Vec<Option<i64>> {
        (0..count).map(|_| (!random.random_bool(null_ratio)).then(|| random.random_range(0..range.max(1)))).collect()
    };
    let strings = |values: Vec<Option<i64>>| -> ArrayRef {
        // every third string is too long for an inline view
        let text =
            |value: i64| if value % 3 == 0 { format!("a long text, number {value}") } else { format!("t{value}") };
        Arc::new(StringArray::from_iter(values.into_iter().map(|value| value.map(text))))
    };
    let as_type = |column: ArrayRef, data_type: &DataType| cast(&column, data_type).unwrap();
    let dictionary = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    let day = 86_400_000_000;
    let times = ints(60, 0.0).into_iter().map(|at| at.map(|at| at * day)).collect::<Vec<_>>();
    let gappy = ints(60, 0.2).into_iter().map(|at| at.map(|at| at * day)).collect::<Vec<_>>();
    let as_float = |value: i64| if value == 0 { -0.0 } else { (value - 3) as f64 / 2.0 };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..count as i64))),
        ("k_int", Arc::new(Int64Array::from(ints(keys, 0.1)))),
        ("k_full", Arc::new(Int64Array::from(ints(keys, 0.0)))),
        ("k_text", strings(ints(keys, 0.1))),
        ("k_view", as_type(strings(ints(keys, 0.1)), &DataType::Utf8View)),
        ("k_dict", as_type(strings(ints(7, 0.1)), &dictionary)),
        ("k_bool", Arc::new(BooleanArray::from_iter(ints(2, 0.2).into_iter().map(|v| v.map(|v| v == 1))))),
        ("k_day", Arc::new(Date32Array::from_iter(ints(keys, 0.1).into_iter().map(|v| v.map(|v| v as i32))))),
        ("k_dec", Arc::new(Decimal128Array::from_iter(ints(5, 0.1).into_iter().map(|v| v.map(i128::from))))),
        ("o_at", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))),
        ("o_gap", Arc::new(TimestampMicrosecondArray::from(gappy))),
        ("o_int", Arc::new(Int64Array::from(ints(9, 0.0)))),
        ("o_float", Arc::new(Float64Array::from_iter(ints(9, 0.0).into_iter().map(|v| v.map(as_float))))),
        ("o_text", strings(ints(20, 0.2))),
        ("v_int", Arc::new(Int64Array::from(ints(1000, 0.2)))),
        ("v_float", Arc::new(Float64Array::from_iter(ints(50, 0.2).into_iter().map(|v| v.map(|v| v as f64))))),
        ("v_text", strings(ints(1000, 0.2))),
        ("v_view", as_type(strings(ints(1000, 0.2)), &DataType::Utf8View)),
        ("v_dict", as_type(strings(ints(9, 0.2)), &dictionary)),
        ("v_bool", Arc::new(BooleanArray::from_iter(ints(2, 0.2).into_iter().map(|v| v.map(|v| v == 1))))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A table of these rows, split at random into partitions and batches.
fn table(random: &mut Pcg64, all: &RecordBatch, partitions: usize) -> MemTable {
    let mut parts = vec![vec![]; partitions];
    let mut start = 0;
    while start < all.num_rows() {
        let length = random.random_range(1..=all.num_rows().div_ceil(5)).min(all.num_rows() - start);
        parts[random.random_range(0..partitions)].push(all.slice(start, length));
        start += length;
    }
    MemTable::try_new(all.schema(), parts).unwrap()
}

/// The result, sorted by its first column, which is unique; and whether the rule chose our operator.
async fn answer(context: &SessionContext, sql: &str) -> (RecordBatch, bool) {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let rows = rows_of(&plan, context).await;
    (rows, window_operator(&plan).is_some())
}

async fn rows_of(plan: &Arc<dyn ExecutionPlan>, context: &SessionContext) -> RecordBatch {
    let schema = plan.schema();
    let batches = collect(Arc::clone(plan), context.task_ctx()).await.unwrap();
    let all = concat_batches(&schema, &batches).unwrap();
    let ids = all.column(0).as_primitive::<Int64Type>();
    let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
    order.sort_unstable_by_key(|row| ids.value(*row as usize));
    datafusion::arrow::compute::take_record_batch(&all, &UInt32Array::from(order)).unwrap()
}

/// Functions that depend on the order of rows; `id` makes it total.
const ORDERED: &[&str] = &[
    "row_number() over (partition by {k} order by {o}, id)",
    "ntile(3) over (partition by {k} order by {o}, id)",
    "lag(v_int) over (partition by {k} order by {o}, id)",
    "lead(v_text) over (partition by {k} order by {o}, id)",
    "lag(v_view, 2) over (partition by {k} order by {o}, id)",
    "lead(v_int, 3, -1) over (partition by {k} order by {o}, id)",
    "lag(v_text, 1, 'none') over (partition by {k} order by {o}, id)",
    "lag(v_dict) over (partition by {k} order by {o}, id)",
    "lead(v_bool, -1) over (partition by {k} order by {o}, id)",
    "lag(v_int, 0) over (partition by {k} order by {o}, id)",
    "first_value(v_text) over (partition by {k} order by {o}, id)",
    "last_value(v_int) over (partition by {k} order by {o}, id)",
    "last_value(v_int) over (partition by {k} order by {o}, id rows between unbounded preceding and unbounded following)",
    "first_value(v_float) over (partition by {k} order by {o}, id rows between 2 preceding and 1 preceding)",
    "last_value(v_view) over (partition by {k} order by {o}, id rows between current row and 2 following)",
    "nth_value(v_int, 2) over (partition by {k} order by {o}, id rows between 1 preceding and unbounded following)",
    "count(v_int) over (partition by {k} order by {o}, id rows between 3 preceding and 1 following)",
    "count(*) over (partition by {k} order by {o}, id rows between unbounded preceding and 1 preceding)",
    "sum(v_int) over (partition by {k} order by {o}, id rows between unbounded preceding and 1 following)",
    "sum(v_float) over (partition by {k} order by {o}, id)",
    "max(v_int) over (partition by {k} order by {o}, id rows between unbounded preceding and 1 preceding)",
    "min(v_text) over (partition by {k} order by {o}, id)",
    "max(v_float) over (partition by {k} order by {o}, id rows between unbounded preceding and 2 following)",
    "min(o_gap) over (partition by {k} order by {o}, id)",
];

/// Functions whose results do not depend on the order of ties.
const TIED: &[&str] = &[
    "rank() over (partition by {k} order by {o})",
    "dense_rank() over (partition by {k} order by {o})",
    "percent_rank() over (partition by {k} order by {o})",
    "cume_dist() over (partition by {k} order by {o})",
    "first_value({k1}) over (partition by {k} order by {o})",
    "count(*) over (partition by {k} order by {o})",
    "count(v_text) over (partition by {k} order by {o} range between current row and unbounded following)",
    "sum(v_int) over (partition by {k} order by {o})",
    "max(v_dict) over (partition by {k} order by {o})",
    "min(v_bool) over (partition by {k} order by {o})",
    "count(*) over (partition by {k})",
    "count(v_dict) over (partition by {k})",
    "sum(v_int) over (partition by {k})",
    "avg(v_int) over (partition by {k})",
    "min(v_text) over (partition by {k})",
    "max(v_float) over (partition by {k})",
    "bool_or(v_bool) over (partition by {k})",
    "zscore(v_float) over (partition by {k})",
    "modified_zscore(v_int) over (partition by {k})",
    "is_repeat_contact(o_at, interval '3 days') over (partition by {k} order by o_at, id)",
    "is_repeat_contact(o_at, interval '3 days', o_gap) over (partition by {k} order by o_at, id)",
    "is_repeat_contact(o_gap, interval '1 month', timestamp '1970-01-03') over (partition by {k} order by o_gap, id)",
    "first_contact_resolved(o_at, interval '2 days', timestamp '1970-02-20', o_gap) over (partition by {k} order by o_at, id)",
    "first_contact_resolved(o_gap, interval '2 days', o_at, timestamp '1970-01-02') over (partition by {k} order by o_gap, id)",
    "first_contact_resolved(o_gap, interval '3 days', timestamp '1970-02-20') over (partition by {k} order by o_gap desc, id)",
    "first_contact_resolved(o_at, interval '1 month', o_gap) over (partition by {k} order by o_at, id)",
];

const KEYS: &[&str] = &[
    "k_int",
    "k_full",
    "k_text",
    "k_view",
    "k_dict",
    "k_bool",
    "k_day",
    "k_dec",
    "k_view, k_dict",
    "k_full, k_int",
    "k_text, k_bool, k_day",
    "o_float",
    "o_at, k_full",
    "k_int % 2, upper(k_text)",
    "k_dict, k_dec",
];

const ORDERS: &[&str] = &[
    "o_at",
    "o_at desc",
    "o_gap nulls first",
    "o_gap nulls last",
    "o_gap desc nulls first",
    "o_gap desc nulls last",
    "o_int desc",
    "o_float",
    "o_float desc",
    "o_text",
    "o_text desc nulls last",
    "o_int, o_text desc",
    "o_at + interval '1 day'",
];

/// The first row in which two columns differ. Sums of floats depend on the order of rows, which is undefined, and are compared
/// with a tolerance; all else must be identical.
fn first_difference(ours: &ArrayRef, stock: &ArrayRef) -> Option<usize> {
    if ours == stock {
        return None;
    }
    let (Some(left), Some(right)) = (ours.as_primitive_opt::<Float64Type>(), stock.as_primitive_opt::<Float64Type>())
    else {
        return (0..ours.len().max(1)).find(|&row| ours.slice(row, 1) != stock.slice(row, 1));
    };
    left.iter().zip(right).position(|pair| match pair {
        (Some(left), Some(right)) => (left - right).abs() > 1e-9 * right.abs().max(1.0),
        (left, right) => left != right,
    })
}

async fn compare(random: &mut Pcg64, all: &RecordBatch, batch_size: usize, partitions: usize, questions: usize) {
    let table = Arc::new(table(random, all, partitions));
    let [ours, stock] = [true, false].map(|is_ours| session(is_ours, batch_size, partitions));
    for context in [&ours, &stock] {
        context.register_table("t", Arc::clone(&table) as _).unwrap();
    }
    for _ in 0..questions {
        let pick = |random: &mut Pcg64, list: &[&'static str]| list[random.random_range(0..list.len())];
        let (keys, order) = (pick(random, KEYS), pick(random, ORDERS));
        let mut functions: Vec<&str> = ORDERED.iter().chain(TIED).copied().collect();
        functions.shuffle(random);
        let functions: Vec<String> = functions[..random.random_range(1..=6)]
            .iter()
            .enumerate()
            .map(|(number, function)| {
                let first_key = keys.split(',').next().unwrap_or(keys);
                let function = function.replace("{k}", keys).replace("{k1}", first_key).replace("{o}", order);
                format!("{function} as f{number}")
            })
            .collect();
        let columns =
            pick(random, &["id, v_text", "id, *", "id, k_view, o_at", "id"]).replace('*', "k_int, v_dict, v_float");
        let sql = format!("select {columns}, {} from t", functions.join(", "));
        let ((ours, is_replaced), (stock, is_stock_replaced)) = (answer(&ours, &sql).await, answer(&stock, &sql).await);
        assert!(is_replaced, "the rule did not apply to {sql}");
        assert!(!is_stock_replaced, "the setting does not turn the rule off");
        assert_eq!(ours.schema(), stock.schema(), "{sql}");
        assert_same(&ours, &stock, &format!("{sql}\nbatch size {batch_size}, {partitions} partitions"));
    }
}

fn assert_same(ours: &RecordBatch, stock: &RecordBatch, what: &str) {
    assert_eq!(ours.num_rows(), stock.num_rows(), "{what}");
    for (column, field) in ours.schema().fields().iter().enumerate() {
        if let Some(row) = first_difference(ours.column(column), stock.column(column)) {
            let lines = |batch: &RecordBatch| pretty_format_batches(&[batch.slice(row, 1)]).unwrap().to_string();
            panic!("{what}, {}\nours\n{}\nstock\n{}", field.name(), lines(ours), lines(stock));
        }
    }
}

#[tokio::test]
async fn results_over_random_rows_are_those_of_datafusion() {
    let mut random = Pcg64::seed_from_u64(7);
    for (count, keys, batch_size, partitions, questions) in [
        (60, 8, 1, 3, 12),
        (500, 40, 7, 2, 25),
        (3000, 900, 8192, 4, 25),
        (3000, 1, 8192, 2, 12),
        (1, 1, 8192, 2, 5),
        (20_000, 6000, 1000, 3, 8),
    ] {
        let all = rows(&mut random, count, keys);
        compare(&mut random, &all, batch_size, partitions, questions).await;
    }
}

/// A window over another with the same partitions takes its output as clustered input.
#[tokio::test]
async fn windows_over_windows_take_clustered_input() {
    // the first four need the result of the inner window
    const OUTER: &[&str] = &[
        "lag(a) over (partition by {k} order by {o}, id)",
        "sum(case when a % 3 = 0 then 0 else 1 end) over (partition by {k} order by {o}, id)",
        "count(a) over (partition by {k})",
        "lead(v_text) over (partition by {k} order by a desc)",
        "row_number() over (partition by {k} order by id desc)",
        "max(v_float) over (partition by {k})",
    ];
    let mut unsplit_plans = 0;
    let mut random = Pcg64::seed_from_u64(13);
    for (count, keys, batch_size, partitions) in
        [(400, 30, 1, 2), (500, 40, 7, 3), (40_000, 9_000, 8192, 2), (40_000, 1, 8192, 2)]
    {
        let all = rows(&mut random, count, keys);
        let table = Arc::new(table(&mut random, &all, partitions));
        let [ours, stock] = [true, false].map(|is_ours| session(is_ours, batch_size, partitions));
        for context in [&ours, &stock] {
            context.register_table("t", Arc::clone(&table) as _).unwrap();
        }
        // large inputs test the boundaries between chunks, for which the keys do not matter
        let few = if count > 10_000 { 2 } else { 5 };
        let keys = ["k_view, k_dict", "k_full", "k_text", "k_day, k_bool", "k_int % 2, upper(k_text)"];
        for keys in keys.into_iter().take(few) {
            let order = ORDERS[random.random_range(0..ORDERS.len())];
            for filter in ["", "where a % 5 <> 2"] {
                let outer = OUTER[random.random_range(0..4)];
                let sql = format!(
                    "select id, v_view, {outer} as f0, {} as f1
                     from (select *, row_number() over (partition by {{k}} order by {{o}}, id) as a from t) {filter}",
                    OUTER[random.random_range(0..OUTER.len())]
                );
                let sql = sql.replace("{k}", keys).replace("{o}", order);
                let plan = ours.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
                let text = displayable(plan.as_ref()).indent(false).to_string();
                assert!(keys.contains('(') || text.contains("input=clustered"), "{sql}\n{text}");
                // a filter coalesces batches, which may split partitions
                let is_unsplit = text.contains("batches=unsplit");
                assert!(!is_unsplit || filter.is_empty(), "{sql}\n{text}");
                unsplit_plans += usize::from(is_unsplit);
                assert_same(&rows_of(&plan, &ours).await, &answer(&stock, &sql).await.0, &sql);
            }
        }
    }
    assert!(unsplit_plans > 3, "{unsplit_plans} plans had unsplit batches");
}

/// Inserts a round-robin exchange above the window operators, so that their output is not clustered any more.
fn with_repartitioning(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let plan = plan.transform_up(|plan| {
        if !plan.is::<HashWindowAggExec>() {
            return Ok(Transformed::no(plan));
        }
        Ok(Transformed::yes(Arc::new(RepartitionExec::try_new(plan, Partitioning::RoundRobinBatch(3))?) as _))
    });
    plan.unwrap().data
}

/// GROUP BY over windows uses `ClusteredAggregateExec` where every group lies in one partition, and stays correct when an
/// exchange takes the clustering away.
#[tokio::test]
async fn groups_within_window_partitions_are_aggregated_clustered() {
    let mut unsplit_plans = 0;
    let mut random = Pcg64::seed_from_u64(14);
    let inner = "(select *, lag(o_at) over (partition by {k} order by {o}, id) as a from t)";
    for (count, keys, batch_size, partitions) in [
        (0, 1, 8192, 2),
        (1, 1, 8192, 2),
        (400, 30, 1, 2),
        (600, 40, 7, 3),
        (200_000, 50_000, 8192, 2),
        // partitions larger than what is buffered
        (450_000, 1, 8192, 2),
    ] {
        let all = rows(&mut random, count.max(1), keys).slice(0, count);
        let table = Arc::new(table(&mut random, &all, partitions));
        let [ours, stock] = [true, false].map(|is_ours| session(is_ours, batch_size, partitions));
        for context in [&ours, &stock] {
            context.register_table("t", Arc::clone(&table) as _).unwrap();
        }
        // large inputs test the boundaries between chunks, for which the keys do not matter
        let few = if count > 10_000 { 1 } else { 5 };
        for keys in ["k_view", "k_text", "k_full", "k_view, k_dict", "k_day, k_bool"].into_iter().take(few) {
            let order = ORDERS[random.random_range(0..ORDERS.len())];
            for (sql, is_clustered) in [
                // results are sorted by the first column
                (
                    "select min(id), {k}, count(*), count(a), sum(v_int), max(v_view), count(distinct v_dict) from {t} group by {k}",
                    true,
                ),
                (
                    "select min(id), v_int, {k}, count(*) filter (where a is not null), min(a) from {t} group by v_int, {k}",
                    true,
                ),
                (
                    "select min(i), {k}, count(*), count(c) from (select {k}, v_bool, min(id) as i, count(a) as c from {t} where v_int > 1 group by {k}, v_bool) group by {k}",
                    true,
                ),
                // session numbers, which do not decrease within a partition
                (
                    "select min(id), n, {k}, count(*), max(v_view), min(v_int) filter (where v_bool), count(distinct v_dict)
                     from (select *, sum(case when a > o_at or v_int % 3 = 0 then 1 else 0 end)
                                         over (partition by {k} order by {o}, id) as n from {t})
                     group by n, {k}",
                    true,
                ),
                ("select min(id), v_int, count(*), count(a) from {t} group by v_int", false),
                ("select min(id), {k}, count(a), first_value(v_text order by id) from {t} group by {k}", true),
                ("select min(id), {k}, count(a), median(v_int) from {t} group by {k}", true),
                ("select min(id), {k}, count(a), array_agg(v_text order by id) from {t} group by {k}", false),
            ] {
                let sql = sql.replace("{t}", inner).replace("{k}", keys).replace("{o}", order);
                let plan = ours.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
                let text = displayable(plan.as_ref()).indent(false).to_string();
                assert_eq!(text.contains("ClusteredAggregateExec"), is_clustered, "{sql}\n{text}");
                let is_unsplit = text.contains("batches=unsplit");
                assert!(!is_unsplit || (is_clustered && !sql.contains("where v_int")), "{sql}\n{text}");
                unsplit_plans += usize::from(is_unsplit);
                let expected = answer(&stock, &sql).await.0;
                assert_same(&rows_of(&plan, &ours).await, &expected, &sql);
                if is_clustered {
                    assert_same(&rows_of(&with_repartitioning(plan), &ours).await, &expected, &format!("not clustered: {sql}"));
                }
                assert_eq!(ours.runtime_env().memory_pool.reserved(), 0, "memory was kept");
            }
        }
    }
    assert!(unsplit_plans > 20, "{unsplit_plans} plans had unsplit batches");
}

#[tokio::test]
async fn inputs_larger_than_a_morsel() {
    let mut random = Pcg64::seed_from_u64(8);
    let all = rows(&mut random, 300_000, 40_000);
    compare(&mut random, &all, 8192, 2, 4).await;
    // one partition has two thirds of the rows
    let all = rows(&mut random, 200_000, 2);
    compare(&mut random, &all, 8192, 2, 3).await;
}

#[tokio::test]
async fn empty_input_returns_no_rows() {
    let mut random = Pcg64::seed_from_u64(9);
    let all = rows(&mut random, 10, 3).slice(0, 0);
    compare(&mut random, &all, 8192, 2, 6).await;
}

/// With little memory an input spills all its rows; whether both do depends on which reserves first.
#[tokio::test]
async fn whole_inputs_spill_and_are_read_back() {
    let mut random = Pcg64::seed_from_u64(10);
    let all = rows(&mut random, 300_000, 40_000);
    let table = Arc::new(table(&mut random, &all, 2));
    for (sql, memory) in [
        ("select id, v_text, lead(v_view) over w as a, row_number() over w as b, count(*) over (partition by k_full) as c
          from t window w as (partition by k_full, k_dict order by o_at, id)", 6 << 20),
        ("select id, sum(v_int) over (partition by k_text order by o_gap, id) as a from t", 2 << 20),
    ] {
        let small = session_with_memory(true, 8192, 2, memory);
        let stock = session(false, 8192, 2);
        for context in [&small, &stock] {
            context.register_table("t", Arc::clone(&table) as _).unwrap();
        }
        let plan = small.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let ours = rows_of(&plan, &small).await;
        // the lowest operator, since only its inputs have a known number of rows: above it, the rows of an input depend on
        // which buckets that output partition took
        let lowest = iter::successors(window_operator(&plan), |plan| plan.children().into_iter().find_map(window_operator)).last();
        let spilled = lowest.unwrap().metrics().unwrap().spilled_rows().unwrap_or_default();
        let mut inputs = vec![];
        for batches in &table.batches {
            inputs.push(batches.read().await.iter().map(RecordBatch::num_rows).sum::<usize>());
        }
        inputs.push(300_000);
        assert_same(&ours, &answer(&stock, sql).await.0, sql);
        assert!(
            spilled > 0 && inputs.contains(&spilled),
            "{spilled} rows were spilled, the inputs have {inputs:?}: {sql}"
        );
        assert_eq!(small.runtime_env().memory_pool.reserved(), 0, "memory was kept");
    }
}

/// Strings are buffered as codes while their cardinality is low. One input stays low, one is high at once, one late; then
/// all of them spill.
#[tokio::test]
async fn strings_of_growing_cardinality() {
    let mut random = Pcg64::seed_from_u64(12);
    let mut next = 0_i64;
    let mut part = |few_until: i64| -> Vec<RecordBatch> {
        (0..20)
            .map(|_| {
                let ids: Vec<i64> = (0..9_000).map(|row| next + row).collect();
                let text = |&id: &i64| match id % 180_000 < few_until {
                    _ if random.random_bool(0.05) => None,
                    true => Some(format!("one of a few texts, number {}", random.random_range(0..20))),
                    false => {
                        Some(format!("{}{}", "text ".repeat(random.random_range(0..4)), random.random_range(0..60_000)))
                    }
                };
                let strings: StringArray = ids.iter().map(text).collect();
                next += 9_000;
                let columns: [(&str, ArrayRef); 2] =
                    [("id", Arc::new(Int64Array::from(ids))), ("k", Arc::new(strings))];
                RecordBatch::try_from_iter(columns).unwrap()
            })
            .collect()
    };
    let parts = vec![part(180_000), part(0), part(150_000)];
    let table = Arc::new(MemTable::try_new(parts[0][0].schema(), parts.clone()).unwrap());
    let few = Arc::new(MemTable::try_new(parts[0][0].schema(), parts[..1].to_vec()).unwrap());
    let stock = session(false, 8192, 3);
    for (name, table) in [("t", &table), ("few", &few)] {
        stock.register_table(name, Arc::clone(table) as _).unwrap();
    }
    for memory in [usize::MAX, 12 << 20, 2 << 20] {
        let ours = session_with_memory(true, 8192, 3, memory);
        for (name, table) in [("t", &table), ("few", &few)] {
            ours.register_table(name, Arc::clone(table) as _).unwrap();
        }
        for sql in [
            "select id, k, count(*) over (partition by k) as a, lag(k) over (partition by k order by id) as b from t",
            "select id, min(id) over (partition by id % 1000) as a, row_number() over (partition by id % 1000 order by k desc nulls last, id) as b from t",
            "select id, k, row_number() over (partition by k order by id desc) as a, lead(k, 1, 'none') over (partition by id % 7 order by k, id) as b from few",
        ] {
            let (found, is_replaced) = answer(&ours, sql).await;
            assert!(is_replaced, "{sql}");
            assert_same(&found, &answer(&stock, sql).await.0, sql);
        }
    }
}

/// Keys are packed into 8 bytes while they are short. All inputs stay short, or one has a long key early, one late, and one is of
/// low cardinality; then all of them spill.
#[tokio::test]
async fn short_keys_followed_by_long_ones() {
    let mut random = Pcg64::seed_from_u64(15);
    let mut next = 0_i64;
    let mut part = |count: i64, short_until: i64, keys: i64| -> Vec<RecordBatch> {
        let batch = |number: i64| {
            let ids: Vec<i64> = (0..9_000).map(|row| next + row).collect();
            let text = |_: &i64| match random.random_range(0..keys) {
                _ if random.random_bool(0.02) => None,
                key if key % 7 == 0 && number >= short_until => Some(format!("key number {key}")),
                key => Some(format!("{}{key}", if key % 3 == 0 { "é" } else { "" })),
            };
            let strings: StringArray = ids.iter().map(text).collect();
            next += 9_000;
            let columns: [(&str, ArrayRef); 2] = [("id", Arc::new(Int64Array::from(ids))), ("k", Arc::new(strings))];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        (0..count).map(batch).collect()
    };
    let (short, other, early) = (part(7, 7, 50_000), part(4, 4, 50_000), part(2, 0, 50_000));
    let (few, late) = (part(2, 2, 50), part(18, 16, 50_000));
    let schema = short[0].schema();
    let table = |parts: Vec<Vec<RecordBatch>>| Arc::new(MemTable::try_new(Arc::clone(&schema), parts).unwrap());
    let tables = [
        ("short", table(vec![short.clone(), vec![], other])),
        ("late", table(vec![late.clone()])),
        ("mixed", table(vec![short, early, few, late])),
    ];
    let stock = session(false, 8192, 3);
    let sessions = [usize::MAX, 6 << 20, 1 << 20].map(|memory| session_with_memory(true, 8192, 3, memory));
    for (name, table) in &tables {
        for session in sessions.iter().chain([&stock]) {
            session.register_table(*name, Arc::clone(table) as _).unwrap();
        }
        for what in [
            "k, count(*) over (partition by k) as a, lag(id) over (partition by k order by id) as b",
            "k, max(id) over (partition by id % 5, k) as a, count(k) over (partition by id % 5, k) as b",
            "count(*) over (partition by id % 9, k order by k desc nulls last, id) as a, upper(k) as b",
        ] {
            let sql = format!("select id, {what} from {name}");
            let (expected, _) = answer(&stock, &sql).await;
            for session in &sessions {
                let (found, is_replaced) = answer(session, &sql).await;
                assert!(is_replaced, "{sql}");
                assert_same(&found, &expected, &sql);
            }
        }
    }
}

/// Dropping the stream cancels the query and releases its memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_stream_cancels_the_query() {
    let mut random = Pcg64::seed_from_u64(11);
    let all = rows(&mut random, 400_000, 50_000);
    let context = session_with_memory(true, 8192, 2, 1 << 30);
    context.register_table("t", Arc::new(table(&mut random, &all, 2))).unwrap();
    let sql = "select id, lead(v_text) over (partition by k_text, k_view order by o_at, id) as a from t";
    let mut stream = context.sql(sql).await.unwrap().execute_stream().await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(20), stream.next()).await;
    assert!(waited.is_err(), "the query was over before it could be stopped");
    drop(stream);
    let reserved = || context.runtime_env().memory_pool.reserved();
    for _ in 0..200 {
        if reserved() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} bytes are still reserved two seconds after the result was dropped", reserved());
}

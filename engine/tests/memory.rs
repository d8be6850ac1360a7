//! What accumulators report to the memory pool is what they hold on the heap, counted by the allocator.
#![expect(unsafe_code, reason = "an allocator that counts bytes has no safe form")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cxql_engine::EngineOptions;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};

/// Bytes on the heap.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Aggregate calls that hold more than a few numbers for each group.
const CALLS: &[&str] = &[
    "count(distinct number)",
    "count(distinct far)",
    "count(distinct name)",
    "count(distinct topic) filter (where flag)",
    "count(distinct at)",
    "count(distinct half)",
    "count(distinct cast(number as decimal(30, 2)))",
    "sum(distinct number)",
    "avg(distinct half)",
    "median(half)",
    "median(distinct half)",
    "percentile_cont(0.5) within group (order by half)",
    "percentile_cont(0.5) within group (order by number)",
    "percentile_disc(0.5) within group (order by half)",
    "percentile_disc(0.5) within group (order by name)",
    "array_agg(number)",
    "array_agg(name)",
    "array_agg(topic) filter (where flag)",
    "array_agg(distinct name)",
    "array_agg(name order by number)",
    "string_agg(name, ',')",
    "string_agg(topic, ',')",
    "string_agg(distinct name, ',')",
    "string_agg(name, ',' order by number)",
    "approx_distinct(name)",
    "approx_distinct(number)",
    "approx_percentile_cont(0.5) within group (order by half)",
    "first_value(name order by number)",
    "last_value(number order by half)",
    "first_value(name)",
    "nth_value(name, 2 order by number)",
    "min(name)",
    "max(at - timestamp '2024-01-01T00:00:00Z')",
    "corr(half, number)",
    "regr_slope(half, number)",
    "sum(cast(number as decimal(12, 2)))",
    "fcr(flag)",
    "fcr_survival(at, at + interval '1 day', '7 days', timestamp '2025-01-01T00:00:00Z')",
];

/// Rows from `first` on. Strings of one batch share buffers with strings that no row has, as those of a Parquet page do.
fn batch(first: i64, rows: i64) -> RecordBatch {
    let rows: Vec<i64> = (first..first + rows).collect();
    let ints = |value: fn(i64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| value(*row))))
    };
    let names = StringViewArray::from_iter_values((0..rows.len() * 2).map(|at| {
        let row = rows[at / 2];
        if at % 2 == 0 {
            format!("a customer with a long name {row}")
        } else {
            format!("a string that is in no row, number {row}")
        }
    }));
    let evens: Int64Array = (0..rows.len() as i64).map(|row| Some(row * 2)).collect();
    let seconds = ints(|row| 1_700_000_000 + row);
    RecordBatch::try_from_iter([
        ("number", ints(|row| row * 31 % 1_000_003)),
        ("far", ints(|row| row << 36)),
        ("half", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| *row as f64 / 2.0)))),
        ("name", datafusion::arrow::compute::take(&names, &evens, None).unwrap()),
        ("topic", Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| format!("topic {}", row % 13))))),
        ("flag", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row % 3 == 0))))),
        ("at", cast(&seconds, &DataType::Timestamp(TimeUnit::Second, Some("UTC".into()))).unwrap()),
    ])
    .unwrap()
}

fn aggregate(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let is_first = plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| {
        aggregate.mode().input_mode() == datafusion::physical_plan::aggregates::AggregateInputMode::Raw
    });
    if is_first { Some(Arc::clone(plan)) } else { plan.children().into_iter().find_map(aggregate) }
}

fn register(context: &SessionContext, rows: RecordBatch) {
    context.deregister_table("t").unwrap();
    context.register_table("t", Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap())).unwrap();
}

fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "current_thread")]
async fn accumulators_report_what_they_hold() {
    let config = SessionConfig::new().with_target_partitions(1);
    let context: SessionContext =
        common::context(Some(EngineOptions::default()), config, Arc::new(UnboundedMemoryPool::default()));
    register(&context, batch(0, 1));
    let mut wrong = vec![];
    for call in CALLS {
        // count(*) keeps the aggregate of distinct values as it is
        let sql = format!("select number % 7, count(*), {call} from t group by 1");
        let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let plan = aggregate(&plan).unwrap_or_else(|| panic!("{call}: no aggregate"));
        let plan = plan.downcast_ref::<AggregateExec>().unwrap();
        let (function, filter) = (Arc::clone(&plan.aggr_expr()[1]), plan.filter_expr()[1].clone());
        let is_grouped = function.groups_accumulator_supported();
        for (shape, rows, groups) in [("many groups", 60_000, 30_000), ("few groups", 60_000, 3)] {
            let before = live();
            let mut accumulator: Box<dyn GroupsAccumulator> = if is_grouped {
                function.create_groups_accumulator().unwrap()
            } else {
                let function = Arc::clone(&function);
                Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator()))
            };
            let mut largest = 0;
            for first in (0..rows).step_by(4000) {
                register(&context, batch(first, 4000));
                // the input of the aggregate: a scan, or a projection with what the calls share
                let sql = format!("select number % 7, count(*), {call} from t group by 1");
                let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
                let plan = aggregate(&plan).unwrap();
                let input = Arc::clone(plan.children()[0]);
                let rows = collect(input, context.task_ctx()).await.unwrap().pop().unwrap();
                drop(plan);
                let of_rows: Vec<usize> = (first..first + 4000).map(|row| (row % groups) as usize).collect();
                let evaluate = |expr: &Arc<dyn datafusion::physical_expr::PhysicalExpr>| {
                    expr.evaluate(&rows).unwrap().into_array(4000).unwrap()
                };
                let args: Vec<ArrayRef> = function
                    .expressions()
                    .iter()
                    .map(evaluate)
                    .chain(function.order_bys().iter().map(|sort| evaluate(&sort.expr)))
                    .collect();
                let mask = filter.as_ref().map(evaluate);
                let mask = mask.as_ref().map(datafusion::arrow::array::AsArray::as_boolean);
                let known = (first + 4000).min(groups) as usize;
                accumulator.update_batch(&args, &of_rows, mask, known).unwrap();
                drop((args, of_rows, rows));
                register(&context, batch(0, 1));
                largest = largest.max(accumulator.size());
            }
            let (held, reported) = (live() - before, accumulator.size());
            let kind = if is_grouped { "grouped" } else { "boxed" };
            println!(
                "{call:60} {shape:12} {kind:8} holds {held:>10} reports {reported:>10} {:.2}",
                held as f64 / reported as f64
            );
            if held as f64 > reported as f64 * 1.15 + 65_536.0 || reported as f64 > held as f64 * 2.0 + 65_536.0 {
                wrong.push(format!("{call}, {shape}, {kind}: holds {held} bytes, reports {reported}"));
            }
            drop(accumulator.state(EmitTo::All).unwrap());
            let left = live() - before;
            if left > 65_536 || accumulator.size() > 65_536 {
                wrong.push(format!(
                    "{call}, {shape}, {kind}: holds {left} bytes after all was emitted, reports {}",
                    accumulator.size()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

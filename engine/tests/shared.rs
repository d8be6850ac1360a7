//! Shared subplans: what is shared, and that the rows are those of plans without it.

mod common;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use cxql_engine::memory::SpillHeadroomPool;
use cxql_engine::shared::plan_together;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::{MemoryPool, UnboundedMemoryPool};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;

const ROWS: i64 = 60_000;

/// A session with a table `calls` of several partitions and a view `followed` with a window over it.
async fn session(is_on: bool, threads: usize, pool: Arc<dyn MemoryPool>) -> SessionContext {
    let options = EngineOptions::default().with_option("shared_subplans", &is_on.to_string()).unwrap();
    let config = SessionConfig::new().with_target_partitions(threads).with_batch_size(1000);
    let context = common::context(Some(options), config, pool);
    let part = |part: i64| {
        let ids = || (0..ROWS).filter(move |id| id % 3 == part);
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(Int64Array::from_iter_values(ids()))),
            ("customer", Arc::new(Int64Array::from_iter(ids().map(|id| (id % 11 > 0).then_some(id * 7919 % 5003))))),
            ("topic", Arc::new(StringArray::from_iter_values(ids().map(|id| format!("topic number {}", id % 17))))),
        ];
        vec![RecordBatch::try_from_iter(columns).unwrap()]
    };
    let parts: Vec<Vec<RecordBatch>> = (0..3).map(part).collect();
    let table = datafusion::datasource::MemTable::try_new(parts[0][0].schema(), parts).unwrap();
    context.register_table("calls", Arc::new(table)).unwrap();
    for view in [
        "create view followed as select id, customer, topic, \
         lag(id) over (partition by customer order by id) as previous_id from calls",
        "create view span as select min(id) as first_id, max(id) as last_id from calls",
    ] {
        cxql_engine::planning::sql(&context, view).await.unwrap().collect().await.unwrap();
    }
    context
}

fn unbounded() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

async fn logical(context: &SessionContext, sql: &str) -> LogicalPlan {
    cxql_engine::planning::sql(context, sql).await.unwrap().into_unoptimized_plan()
}

/// The result, sorted.
async fn answer(context: &SessionContext, sql: &str) -> Result<String> {
    let plan = context.state().create_physical_plan(&logical(context, sql).await).await?;
    Ok(sorted(&collect(plan, context.task_ctx()).await?))
}

fn sorted(batches: &[RecordBatch]) -> String {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

async fn shown(context: &SessionContext, sql: &str) -> String {
    let plan = context.state().create_physical_plan(&logical(context, sql).await).await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

fn count(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

/// Statements whose views and common table expressions are read several times.
const SHARED: &[&str] = &[
    // readers at the same pace
    "select count(*), sum(previous_id) from followed union all select count(previous_id), max(id) from followed",
    // one is read to its end before the other
    "select count(*), sum(a.id) from followed as a inner join followed as b on a.id = b.previous_id",
    "select count(*) from followed where id in (select previous_id from followed where topic = 'topic number 3')",
    "select topic, (select count(*) from followed where previous_id is not null) as n, \
     count(*) as m from followed group by topic",
    // one reader ends early
    "select * from (select id from followed where previous_id < 0 limit 3) union all select count(*) from followed",
    // sort-merge of a view with itself
    "select count(*) from (select id from followed order by id) as a full join \
     (select previous_id from followed order by previous_id) as b on a.id = b.previous_id",
    // a shared subplan over another
    "with w as (select f.*, last_id from followed as f cross join span) \
     select count(*), max(last_id) from w where id > 40000 \
     union all select count(*), min(first_id) from w cross join span where id > 50000 \
     union all select count(id), 0 from followed",
    // no column at all
    "with t as (select topic, count(*) as n from calls group by topic) \
     select count(*) from t where random() >= 0 union all select count(*) from t where random() >= 0",
    "with t as (select topic, count(*) as n from calls group by topic) \
     select a.topic, a.n, b.n as m from t as a inner join t as b using (topic) where b.n > 10",
    // conditions of both uses
    "select count(*) from followed where id > 10 and topic = 'topic number 1' \
     union all select count(*) from followed where id > 10 and previous_id > 100",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_rows_are_those_of_plans_that_share_nothing() {
    let stock = session(false, 4, unbounded()).await;
    for threads in [1, 4] {
        let shared = session(true, threads, unbounded()).await;
        for sql in SHARED {
            let plan = shown(&shared, sql).await;
            assert!(plan.contains("SharedExec"), "{sql}\n{plan}");
            assert!(!shown(&stock, sql).await.contains("SharedExec"), "{sql}");
            assert_eq!(answer(&shared, sql).await.unwrap(), answer(&stock, sql).await.unwrap(), "{threads}: {sql}");
        }
    }
}

#[tokio::test]
async fn a_table_is_scanned_once() {
    let shared = session(true, 2, unbounded()).await;
    for (sql, scans) in [(SHARED[0], 1), (SHARED[1], 1), (SHARED[6], 2), (SHARED[8], 1)] {
        let plan = shown(&shared, sql).await;
        assert_eq!(count(&plan, "DataSourceExec"), scans, "{plan}");
    }
    let plan = shown(&shared, SHARED[0]).await;
    assert!(plan.contains("SharedExec: shared_1 (followed), uses=2, columns=["), "{plan}");
    assert_eq!(count(&plan, "SharedExec"), 2, "{plan}");
    // of a condition of all uses only the rows are kept that meet it, of others those that any use needs
    let plan = shown(&shared, SHARED[9]).await;
    assert!(plan.contains("id@0 > 10 AND (topic@1 = topic number 1 OR "), "{plan}");
}

/// Expressions over the rows of a table are evaluated again by each use, also with a value that is computed once for all.
#[tokio::test]
async fn single_values_are_computed_once_for_rows_that_are_read_again() {
    let sql = "with recent as (select id, topic, id > (select last_id from span) - 20000 as is_new from calls) \
               select count(*) from recent where is_new union all select max(id) from recent where not is_new \
               union all select count(distinct topic) from recent union all select first_id from span";
    for threads in [1, 4] {
        let (shared, stock) = (session(true, threads, unbounded()).await, session(false, threads, unbounded()).await);
        let plan = shown(&shared, sql).await;
        assert!(!plan.contains("(recent)"), "{plan}");
        assert_eq!(count(&plan, "SharedExec: shared_2 (span)"), 2, "{plan}");
        // the value is one subquery of both uses with a condition
        // three times for `recent`, of which the last needs no condition, and once for `span`
        assert_eq!(count(&plan, "DataSourceExec"), 4, "{plan}");
        assert_eq!(answer(&shared, sql).await.unwrap(), answer(&stock, sql).await.unwrap(), "{threads}");
    }
}

/// A column that cannot be NULL stays so, whatever the optimizer makes of its expression.
#[tokio::test]
async fn columns_without_null_stay_so_in_rows_that_are_read_again() {
    let sql = "with recent as (select id, topic, coalesce(nothing, false) as is_odd, id > (select last_id from span) - 9 as is_new \
               from (select *, cast(null as boolean) as nothing from calls)) \
               select is_odd, count(*) from recent group by is_odd union all select not is_odd, max(id) from recent \
               where is_new group by is_odd, topic union all select is_new, count(*) filter (where not is_odd) from recent group by 1";
    let (shared, stock) = (session(true, 2, unbounded()).await, session(false, 2, unbounded()).await);
    assert_eq!(answer(&shared, sql).await.unwrap(), answer(&stock, sql).await.unwrap());
}

#[tokio::test]
async fn some_subplans_are_not_shared() {
    let context = session(true, 2, unbounded()).await;
    for sql in [
        // cheap to read again
        "with c as (select id, topic from calls where id > 5) select count(*) from c union all select max(id) from c",
        // volatile
        "with r as (select random() as r, count(*) as n from calls group by r) \
         select count(*) from r as a inner join r as b using (r)",
        // used once
        "select count(*) from followed",
        // without a table
        "with s as (select distinct v from (values (1), (1)) as t (v)) select * from s union all select * from s",
    ] {
        let plan = shown(&context, sql).await;
        assert!(!plan.contains("SharedExec"), "{sql}\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_use_sees_an_error() {
    let context = session(true, 4, unbounded()).await;
    let sql = "with e as (select id, 10 / (id - 30000) as q, row_number() over (partition by topic order by id) as n from calls) \
         select count(q) from e union all select sum(q + n) from e";
    assert!(shown(&context, sql).await.contains("SharedExec"));
    let error = answer(&context, sql).await.unwrap_err().to_string();
    assert!(error.to_lowercase().contains("divide by zero"), "{error}");
}

/// The operators of the statements of a run.
async fn run(context: &SessionContext, state: &SessionState, statements: &[&str]) -> Vec<Arc<dyn ExecutionPlan>> {
    let mut plans = vec![];
    for sql in statements {
        plans.push(logical(context, sql).await);
    }
    let together = plan_together(state, &plans.iter().collect::<Vec<_>>());
    let mut operators = vec![];
    for plan in together {
        operators.push(state.query_planner().create_physical_plan(&plan.unwrap(), state).await.unwrap());
    }
    operators
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn statements_of_a_run_share_subplans() {
    let statements = [
        "select topic, count(*) as n, count(previous_id) as m from followed group by topic",
        "select id from followed where previous_id is not null limit 5",
        "select customer, max(id) as n from followed where customer is not null group by customer",
        "select count(*), max(last_id) from followed cross join span",
    ];
    let stock = session(false, 4, unbounded()).await;
    // the smaller limit makes the buffer spill
    let pools: [(Arc<dyn MemoryPool>, bool); 2] =
        [(unbounded(), false), (Arc::new(SpillHeadroomPool::new(8 << 20)), true)];
    for (pool, is_spilled) in pools {
        for threads in [1, 4] {
            let context = session(true, threads, Arc::clone(&pool)).await;
            let state = context.state();
            let operators = run(&context, &state, &statements).await;
            let all: String =
                operators.iter().map(|plan| displayable(plan.as_ref()).indent(false).to_string()).collect();
            assert_eq!(count(&all, "SharedExec: shared_1 (followed), uses=4"), 4, "{all}");
            let mut spills = 0;
            for (plan, sql) in operators.into_iter().zip(statements) {
                let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
                match sql.contains("limit") {
                    true => assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 5),
                    false => assert_eq!(sorted(&batches), answer(&stock, sql).await.unwrap(), "{threads}: {sql}"),
                }
                spills += spill_count(&plan);
            }
            assert_eq!(spills > 0, is_spilled, "{spills}");
            assert_eq!(pool.reserved(), 0);
        }
    }
}

/// The spills of buffers of shared subplans.
fn spill_count(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = match plan.name() {
        "SharedExec" => plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0),
        _ => 0,
    };
    own + plan.children().into_iter().map(spill_count).sum::<usize>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_statement_may_end_early_fail_or_run_twice() {
    let statements = ["select id from followed", "select count(*), count(previous_id) from followed"];
    let stock = session(false, 4, unbounded()).await;
    let expected = answer(&stock, statements[1]).await.unwrap();
    let context = session(true, 4, unbounded()).await;
    let state = context.state();
    let operators = run(&context, &state, &statements).await;
    // the first is dropped after a batch
    let mut stream = execute_stream(Arc::clone(&operators[0]), context.task_ctx()).unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    for _ in 0..2 {
        let batches = collect(Arc::clone(&operators[1]), context.task_ctx()).await.unwrap();
        assert_eq!(sorted(&batches), expected);
    }
    // both at once
    let operators = run(&context, &state, &statements).await;
    let tasks = operators.into_iter().map(|plan| tokio::spawn(collect(plan, context.task_ctx())));
    let results = futures::future::join_all(tasks).await;
    let rows: usize = results[0].as_ref().unwrap().as_ref().unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, ROWS as usize);
    assert_eq!(sorted(results[1].as_ref().unwrap().as_ref().unwrap()), expected);
}

/// Without a switch, and with one statement, nothing is shared between statements.
#[tokio::test]
async fn a_run_without_sharing_is_planned_statement_by_statement() {
    let context = session(false, 2, unbounded()).await;
    let state = context.state();
    let plan = logical(&context, "select count(*) from followed").await;
    assert!(plan_together(&state, &[&plan, &plan]).iter().all(Option::is_none));
    let context = session(true, 2, unbounded()).await;
    let state = context.state();
    assert!(plan_together(&state, &[&plan]).iter().all(Option::is_none));
    let explain = logical(&context, "explain select count(*) from followed").await;
    let planned = plan_together(&state, &[&plan, &explain]);
    assert_eq!(planned.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
}

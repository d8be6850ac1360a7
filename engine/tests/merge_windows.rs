//! Windows over the same partitions share one operator through the projections of views, and only those.

mod common;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use cxql_engine::window::HashWindowAggExec;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};

/// Contacts of three customers; those of b lie in two years.
const CONTACTS: &str = "create table contacts as
    select column1 as id, column2 as customer, cast(column3 as timestamp) as at, column4 as topic, column5 as wait_s
    from (values
        (1, 'a', '2025-01-01T09:00:00', 'bill', 10),
        (2, 'a', '2025-01-03T09:00:00', 'bill', 30),
        (3, 'b', '2024-12-31T08:00:00', 'bill', 5),
        (4, 'b', '2025-01-02T08:00:00', 'line', null),
        (5, 'a', '2025-01-02T09:00:00', 'line', 20),
        (6, null, '2025-01-05T09:00:00', 'line', 7)
    )";

/// A view whose window gives the contact before.
const BEFORE: &str = "with before as (
    select id, customer as who, at as started_at, topic, wait_s * 2 as double_wait_s, wait_s,
        lag(id) over (partition by customer order by at) as previous_id
    from contacts
)";

async fn context(options: Option<EngineOptions>) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(3).with_batch_size(2);
    let context = common::context(options, config, Arc::new(UnboundedMemoryPool::default()));
    context.sql(CONTACTS).await.unwrap().collect().await.unwrap();
    context
}

fn window_count(plan: &Arc<dyn ExecutionPlan>) -> usize {
    usize::from(plan.is::<HashWindowAggExec>()) + plan.children().into_iter().map(window_count).sum::<usize>()
}

/// The number of window operators of a statement, and its rows.
async fn run(context: &SessionContext, sql: &str) -> (usize, String) {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let count = window_count(&plan);
    let batches = collect(plan, context.task_ctx()).await.unwrap();
    (count, pretty_format_batches(&batches).unwrap().to_string())
}

/// The statements with the operators that are left, merged and not.
const CASES: &[(&str, usize, usize)] = &[
    // the same order, another order, none; the projection renames the key and computes a column
    (
        "{before} select id, previous_id, double_wait_s, lead(id) over (partition by who order by started_at) as next_id,
            row_number() over (partition by who order by wait_s desc, id) as by_wait,
            count(*) over (partition by who) as n, sum(wait_s) over (partition by who) as waited
        from before order by id",
        1,
        4,
    ),
    // DataFusion drops `at` between the two
    (
        "select id, lag(id) over (partition by customer order by at) as a,
            count(*) over (partition by customer order by id rows between 1 preceding and current row) as b
        from contacts order by id",
        1,
        2,
    ),
    // the keys in another order
    (
        "select id, lag(id) over (partition by customer, topic order by at) as a,
            lead(id) over (partition by topic, customer order by id) as b
        from contacts order by id",
        1,
        2,
    ),
    // a key that is an expression
    (
        "with days as (
            select id, customer as who, at as started_at,
                lag(id) over (partition by customer, date_trunc('year', at) order by at) as a
            from contacts
        )
        select id, a, lead(id) over (partition by who, date_trunc('year', started_at) order by started_at, id) as b
        from days order by id",
        1,
        2,
    ),
    // an aggregate that looks at the type of its argument
    (
        "{before} select id, previous_id, min(topic) over (partition by who) as t,
            median(wait_s) over (partition by who) as p
        from before order by id",
        1,
        2,
    ),
    // three views
    (
        "{before}, after as (
            select who as c, started_at, id, previous_id, lead(id) over (partition by who order by started_at) as next_id
            from before
        )
        select id, previous_id, next_id, count(*) over (partition by c) as n from after order by id",
        1,
        3,
    ),
    // the third would compute a column of the first view twice
    (
        "{before}, after as (
            select who as c, id, previous_id, double_wait_s as x, double_wait_s as y,
                lead(id) over (partition by who order by started_at) as next_id
            from before
        )
        select id, x, y, previous_id, next_id, count(*) over (partition by c) as n from after order by id",
        2,
        3,
    ),
    // needs a result of the window below
    ("{before} select id, max(previous_id) over (partition by who) as m from before order by id", 2, 2),
    // needs a column that the projection computes
    ("{before} select id, previous_id, sum(double_wait_s) over (partition by who) as m from before order by id", 2, 2),
    // a filter in between removes rows
    (
        "{before} select id, count(*) over (partition by who) as n from before where previous_id is not null order by id",
        2,
        2,
    ),
    // other partitions
    ("{before} select id, previous_id, count(*) over (partition by topic) as n from before order by id", 2, 2),
    ("{before} select id, previous_id, count(*) over (partition by who, topic) as n from before order by id", 2, 2),
];

#[tokio::test]
async fn windows_of_several_views_share_one_operator() {
    let ours = context(Some(EngineOptions::default())).await;
    let unmerged = context(Some(EngineOptions { merge_windows: false, ..EngineOptions::default() })).await;
    let stock = context(None).await;
    for (sql, merged_count, unmerged_count) in CASES {
        let sql = sql.replace("{before}", BEFORE);
        let (count, rows) = run(&ours, &sql).await;
        assert_eq!(count, *merged_count, "{sql}");
        let (count, expected) = run(&unmerged, &sql).await;
        assert_eq!(count, *unmerged_count, "{sql}");
        assert_eq!(rows, expected, "{sql}");
        assert_eq!(rows, run(&stock, &sql).await.1, "{sql}");
    }
}

/// Counted by hand: the contacts of a in order of time are 1, 5, 2, and by wait 2, 5, 1.
#[tokio::test]
async fn merged_windows_keep_their_orders() {
    let sql = "{before} select id, previous_id, lead(id) over (partition by who order by started_at) as next_id,
            row_number() over (partition by who order by wait_s desc nulls last) as by_wait
        from before where true order by id";
    let (count, rows) = run(&context(Some(EngineOptions::default())).await, &sql.replace("{before}", BEFORE)).await;
    assert_eq!(count, 1);
    let expected = [
        "+----+-------------+---------+---------+",
        "| id | previous_id | next_id | by_wait |",
        "+----+-------------+---------+---------+",
        "| 1  |             | 5       | 3       |",
        "| 2  | 5           |         | 1       |",
        "| 3  |             | 4       | 1       |",
        "| 4  | 3           |         | 2       |",
        "| 5  | 1           | 2       | 2       |",
        "| 6  |             |         | 1       |",
        "+----+-------------+---------+---------+",
    ];
    assert_eq!(rows, expected.join("\n"));
}

//! Statements that DataFusion 55.2 answers wrongly or refuses: here they are answered rightly, and DataFusion still does
//! not. A case that fails under `stock_still_has_the_fault` has been mended in DataFusion: its repair can go.
//!
//! Expected rows: worked out by hand from the tables below, and the same in DuckDB 2.0.1 unless a case says otherwise.

mod common;
#[path = "common/text.rs"]
mod text;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::common::Result;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::prelude::{SessionConfig, SessionContext};

/// A statement, its rows (`;` between rows, `,` between columns), and what stock DataFusion does.
struct Case {
    sql: &'static str,
    expected: &'static str,
    stock: Stock,
}

/// What stock DataFusion makes of a statement.
enum Stock {
    /// Other rows, with one thread or with several.
    Wrong,
    /// An error.
    Refuses,
    /// The right rows: a neighbour of a fault, tested so that the repair does not break it.
    Right,
}

use Stock::{Refuses, Right, Wrong};

const fn case(stock: Stock, sql: &'static str, expected: &'static str) -> Case {
    Case { sql, expected, stock }
}

/// `t`: x is 1, 2, NULL. `n`: 1, 2, 3. `m`: 2, 2, 3. `a` and `b` have the keys 1, 2 and 2, 3. `e`: events. `p`: prices.
const TABLES: &[&str] = &[
    "create table t as select * from (values (1), (2), (null)) as v (x)",
    "create table n as select * from (values (1), (2), (3)) as v (x)",
    "create table m as select * from (values (2), (2), (3)) as v (x)",
    "create table none as select x from n where false",
    "create table a as select * from (values (1, 10), (2, 20)) as v (k, x)",
    "create table b as select * from (values (2, 200), (3, 300)) as v (k, y)",
    "create table c as select * from (values (3, 3000), (4, 4000)) as v (k, z)",
    "create table e as select * from (values (1, 'a', 5), (2, 'a', 15), (3, 'b', 7), (4, null, 1)) as v (id, sku, t)",
    "create table p as select * from (values ('a', 0, 100), ('a', 10, 110), ('b', 10, 50)) as v (sku, t, price)",
    "create table g as select * from (values (1, 10), (2, 20), (3, 30), (4, 40), (5, null), (6, null), (7, 70), (8, 80), (9, null)) as v (o, x)",
    "create table w as select * from (values (1, 1), (2, null), (3, null), (4, 4), (5, 5)) as v (o, x)",
];

fn context(options: Option<EngineOptions>, threads: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(threads);
    common::context(options, config, Arc::new(UnboundedMemoryPool::default()))
}

async fn with_tables(options: Option<EngineOptions>, threads: usize) -> SessionContext {
    let context = context(options, threads);
    for sql in TABLES {
        context.sql(sql).await.unwrap().collect().await.unwrap();
    }
    context
}

async fn rows(context: &SessionContext, sql: &str) -> Result<String> {
    let state = context.state();
    let statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect)?;
    let plan = match state.config_options().extensions.get::<EngineOptions>() {
        Some(_) => cxql_engine::planning::statement_to_plan(&state, statement).await?,
        None => state.statement_to_plan(statement).await?,
    };
    let batches = context.execute_logical_plan(plan).await?.collect().await?;
    text::rows_text(&batches)
}

async fn check(cases: &[Case]) {
    let mut right_counts = vec![0; cases.len()];
    for threads in [1, 4] {
        let ours = with_tables(Some(EngineOptions::default()), threads).await;
        let stock = with_tables(None, threads).await;
        for (Case { sql, expected, stock: outcome }, right_count) in cases.iter().zip(&mut right_counts) {
            assert_eq!(rows(&ours, sql).await.unwrap_or_else(|error| error.to_string()), *expected, "{sql}");
            match (outcome, rows(&stock, sql).await) {
                (Refuses, found) => assert!(found.is_err(), "stock_still_has_the_fault: {sql}\n{found:?}"),
                (Wrong, Err(error)) => panic!("stock refuses: {sql}\n{error}"),
                (Right, Err(error)) => panic!("stock refuses: {sql}\n{error}"),
                (Wrong | Right, Ok(found)) => *right_count += usize::from(found == *expected),
            }
        }
    }
    // some faults need one thread, some several
    for (Case { sql, stock, .. }, right_count) in cases.iter().zip(right_counts) {
        match stock {
            Wrong => assert!(right_count < 2, "stock_still_has_the_fault: {sql}"),
            Right => assert_eq!(right_count, 2, "{sql}"),
            Refuses => {}
        }
    }
}

/// <https://github.com/apache/datafusion/issues/22881>, see `planning/using_joins.rs`.
#[tokio::test]
async fn the_key_of_using_is_that_of_the_side_that_has_the_row() {
    check(&[
        case(Wrong, "select k, x, y from a full join b using (k) order by k", "1,10,NULL;2,20,200;3,NULL,300"),
        case(Wrong, "select * from a right join b using (k) order by y", "2,20,200;3,NULL,300"),
        case(Wrong, "select * from a natural full join b order by y nulls first", "1,10,NULL;2,20,200;3,NULL,300"),
        // in `*` DataFusion takes the key of the table whose name comes first
        case(Wrong, "select * from b left join a using (k) order by y", "2,200,20;3,300,NULL"),
        case(Wrong, "select k, count(*) as n from a full join b using (k) group by k order by k", "1,1;2,1;3,1"),
        case(
            Wrong,
            "select a.k, b.k, k as merged from a full join b using (k) order by merged",
            "1,NULL,1;2,2,2;NULL,3,3",
        ),
        case(Refuses, "select k from a full join b using (k) where k > 1 order by k", "2;3"),
        case(Refuses, "select k from a full join b using (k) full join c using (k) order by k", "1;2;3;4"),
        case(Refuses, "select k, z from a join b using (k) left join c using (k)", "2,NULL"),
        case(
            Wrong,
            "select * from a natural full join b natural full join c order by k",
            "1,10,NULL,NULL;2,20,200,NULL;3,NULL,300,3000;4,NULL,NULL,4000",
        ),
        case(Right, "select x from a full join b using (k) where a.k is null", "NULL"),
        case(Wrong, "with j as (select * from a full join b using (k)) select k from j order by k", "1;2;3"),
        case(Wrong, "select k from (select k from a right join b using (k)) as j order by k", "2;3"),
        case(Right, "select k, x, y from a inner join b using (k)", "2,20,200"),
        case(Wrong, "select x, coalesce(k, 0) as k from a full join b using (k) order by k", "10,1;20,2;NULL,3"),
        // the keys of a subquery are not those of the query
        case(Right, "select * from b where y in (select y from a join b using (k))", "2,200"),
    ])
    .await;
}

/// Three-valued logic, ISO/IEC 9075-2, 8.4 and 8.8.
#[tokio::test]
async fn in_any_and_all_are_three_valued() {
    check(&[
        case(Wrong, "select x from n where x >= all (select x from n)", "3"),
        case(Wrong, "select x from n where x = any (select x from n where x > 1) order by x", "2;3"),
        case(Right, "select x from n where x > all (select x from none) order by x", "1;2;3"),
        case(
            Refuses,
            "select x, x > any (select x from t) as a, x <= all (select x from t) as b from n order by x",
            "1,NULL,NULL;2,true,false;3,true,false",
        ),
        case(Wrong, "select x from n where x not in (select x from t where x is null) or x = 1", "1"),
        case(Right, "select x from t where not (x not in (select x from t)) or x is null and x = 5 order by x", "1;2"),
        case(Refuses, "select x, x not in (select x from t) as v from n order by x", "1,false;2,false;3,NULL"),
        case(Refuses, "select x, x in (select x from none) as v from t order by x", "1,false;2,false;NULL,false"),
        case(Wrong, "select x from n where nullif(1, 1) not in (select x from n)", ""),
        case(Right, "select x from n where nullif(1, 1) not in (select x from none) order by x", "1;2;3"),
        case(Right, "select x from n where x not in (select x from t)", ""),
        case(Wrong, "select x from n where x not in (select t.x from t where t.x is null or t.x < n.x) or x = 0", ""),
        case(
            Refuses,
            "select case when x not in (select x from t) then 'new' else 'old' end as c from n where x > 2",
            "old",
        ),
        case(Right, "select x, count(*) as c from n group by x having x not in (select x from t) or x > 2", "3,1"),
        case(
            Refuses,
            "select n.x, m.x from n left join m on n.x = m.x and n.x not in (select x from t where x > 1) order by n.x",
            "1,NULL;2,NULL;3,3",
        ),
    ])
    .await;
}

/// Rows of several columns. `e`: id, sku, t; `p`: sku, t, price.
#[tokio::test]
async fn rows_are_in_subqueries() {
    check(&[
        case(Refuses, "select id from e where (sku, t - 5) in (select sku, t from p) order by id", "1;2"),
        case(Refuses, "select id from e where (sku, t - 5) not in (select sku, t from p) order by id", "3;4"),
        case(Refuses, "select id from e where (sku, id) not in (select null, 3) order by id", "1;2;4"),
        case(Refuses, "select id from e where (sku, id) not in (select null, 3) and id < 3 order by id", "1;2"),
        case(
            Refuses,
            "select id from e where (sku, 5) in (select sku, t from e as i where i.id <= e.id) order by id",
            "1;2",
        ),
        case(Right, "select id from e where (sku, t) in (('a', 5), ('b', 7)) order by id", "1;3"),
    ])
    .await;
    let context = with_tables(Some(EngineOptions::default()), 1).await;
    let error = rows(&context, "select (id, t) in (select id, t from e) from e").await.unwrap_err().to_string();
    assert!(
        error.contains("(id, t) in (select ...) stands alone or beside AND in WHERE only: write exists"),
        "{error}"
    );
}

/// The same for arrays.
#[tokio::test]
async fn any_of_arrays_is_three_valued() {
    check(&[
        case(
            Wrong,
            "select x, x = any(make_array(1, null)) as a, x > any(make_array(2, null)) as b from n order by x",
            "1,true,NULL;2,NULL,NULL;3,NULL,true",
        ),
        case(Right, "select x from t where not (x = any(make_array(1, null)))", ""),
        case(Right, "select x, x <> all(make_array(1, null)) as a from n order by x", "1,false;2,NULL;3,NULL"),
        case(Right, "select x from n where x = any(make_array(3, 1)) order by x", "1;3"),
    ])
    .await;
}

#[tokio::test]
async fn exists_and_in_are_columns() {
    check(&[
        case(
            Refuses,
            "select id, exists (select 1 from p where p.sku = e.sku) as v from e order by id",
            "1,true;2,true;3,true;4,false",
        ),
        case(
            Refuses,
            "select id, not exists (select 1 from p where p.t > e.t) as v from e order by id",
            "1,false;2,true;3,false;4,false",
        ),
        case(
            Refuses,
            "select sum(case when exists (select 1 from p where p.t = e.t) then 1 else 0 end) as v from e",
            "0",
        ),
        case(
            Refuses,
            "select id, sku from e order by exists (select 1 from p where p.sku = e.sku), id",
            "4,NULL;1,a;2,a;3,b",
        ),
        case(Refuses, "select exists (select 1 from p) as a, exists (select 1 from none) as b", "true,false"),
    ])
    .await;
}

#[tokio::test]
async fn subqueries_are_values_at_a_time() {
    check(&[
        case(
            Refuses,
            "select id, (select price from p where p.sku = e.sku and p.t <= e.t order by p.t desc limit 1) as v from e order by id",
            "1,100;2,110;3,NULL;4,NULL",
        ),
        case(Refuses, "select id, (select max(price) from p where p.t <= e.t) as v from e order by id", "1,100;2,110;3,100;4,100"),
        case(Refuses, "select id, (select count(*) from p where p.t > e.t) as v from e order by id", "1,2;2,0;3,2;4,2"),
        case(Refuses, "select id from e where t > (select p.t from p where p.sku = e.sku order by p.t limit 1 offset 1)", "2"),
        case(
            Refuses,
            "select e.id, l.price from e cross join lateral (select price from p where p.sku = e.sku and p.t <= e.t order by p.t desc limit 1) as l order by id",
            "1,100;2,110",
        ),
        case(
            Refuses,
            "select e.id, l.n from e left join lateral (select p.sku, count(*) as n from p where p.t < e.t group by p.sku) as l on l.sku = e.sku order by id",
            "1,1;2,2;3,NULL;4,NULL",
        ),
        // two queries further out
        case(Refuses, "select x, (select count(*) from m where m.x <= n.x and exists (select 1 from t where t.x = n.x)) as v from n order by x", "1,0;2,2;3,0"),
        case(
            Refuses,
            "select x from n where exists (select 1 from m where m.x < 3 and m.x not in (select t.x from t where t.x = n.x or t.x > m.x)) order by x",
            "1;3",
        ),
        case(Right, "select id, (select count(*) from p where p.sku = e.sku) as v from e order by id", "1,2;2,2;3,1;4,0"),
    ])
    .await;
    let context = with_tables(Some(EngineOptions::default()), 2).await;
    let several = "select id, (select price from p where p.sku = e.sku) as v from e";
    let error = rows(&context, several).await.unwrap_err().to_string();
    assert!(error.contains("order by ... limit 1"), "{error}");
}

/// <https://github.com/apache/datafusion/issues/12955>, <https://github.com/apache/datafusion/issues/12956>
#[tokio::test]
async fn intersect_all_and_except_all_count_duplicates() {
    check(&[
        case(Wrong, "select x from m intersect all select x from n order by x", "2;3"),
        case(Wrong, "select x from m except all select x from n", "2"),
        case(Right, "select x from m intersect select x from n order by x", "2;3"),
        case(Right, "select x from m except select x from n", ""),
        case(Wrong, "select x from (values (null), (null), (1)) as v (x) except all select x from t", "NULL"),
        case(Wrong, "select x from n union all select x from m intersect all select x from n order by x", "1;2;2;3;3"),
        case(
            Wrong,
            "select count(*) as c from (select x, x + 1 as y from m except all select x, x + 1 from n) as d",
            "1",
        ),
    ])
    .await;
}

/// <https://github.com/apache/datafusion/issues/25471>
#[tokio::test]
async fn lag_and_lead_ignore_nulls() {
    check(&[
        case(
            Wrong,
            "select o, lead(x, 2) ignore nulls over (order by o) as a, lag(x, -2, -1) ignore nulls over (order by o) as b from g order by o",
            "1,30,30;2,40,40;3,70,70;4,80,80;5,80,80;6,80,80;7,NULL,-1;8,NULL,-1;9,NULL,-1",
        ),
        case(
            Wrong,
            "select o, lead(x) ignore nulls over (order by o rows between unbounded preceding and current row) as v from w order by o limit 1",
            "1,4",
        ),
        case(
            Wrong,
            "select x, lag(x, -1) over (order by x rows between unbounded preceding and current row) as v from n order by x limit 1",
            "1,2",
        ),
        case(Right, "select o, lag(x, 2, 0) ignore nulls over (order by o) as v from w order by o", "1,0;2,0;3,0;4,0;5,1"),
        case(Right, "select o, lead(x, 1, 99) ignore nulls over (order by o desc) as v from w order by o limit 2", "1,99;2,1"),
        case(Right, "select o, lag(x, 1) over (order by o) as v, sum(x) over (order by o desc) as s from w order by o limit 2", "1,NULL,10;2,1,9"),
    ])
    .await;
}

/// No issue was found.
#[tokio::test]
async fn ignore_nulls_belongs_to_the_outer_call() {
    check(&[
        case(
            Wrong,
            "select o, first_value(abs(x) ignore nulls) over (order by o rows between 1 preceding and 1 following) as a, \
             last_value(abs(x) ignore nulls) over (order by o rows between 1 preceding and 1 following) as b, \
             nth_value(-abs(x), 1) ignore nulls over (order by o rows between 1 preceding and 1 following) as c from w order by o",
            "1,1,1,-1;2,1,1,-1;3,4,4,-4;4,4,5,-4;5,4,5,-4",
        ),
        case(Wrong, "select o, lag(1 + abs(x) ignore nulls) over (order by o) as v from w order by o", "1,NULL;2,2;3,2;4,2;5,5"),
        case(
            Right,
            "select o, first_value(abs(x)) ignore nulls over (order by o rows between 1 preceding and 1 following) as v from w order by o",
            "1,1;2,1;3,4;4,4;5,4",
        ),
        case(Wrong, "select array_agg(abs(x) ignore nulls order by o) as v from w", "[1, 4, 5]"),
    ])
    .await;
}

/// No issue was found.
#[tokio::test]
async fn an_equality_beside_is_not_distinct_from_drops_nulls() {
    check(&[
        case(
            Wrong,
            "select l.o from w as l inner join w as r on l.o is not distinct from r.o where l.x = r.x order by 1",
            "1;4;5",
        ),
        case(
            Right,
            "select l.o from w as l inner join w as r on l.x is not distinct from r.x where l.o = r.o order by 1",
            "1;2;3;4;5",
        ),
    ])
    .await;
}

/// <https://github.com/apache/datafusion/issues/25052>, <https://github.com/apache/datafusion/issues/16965>
#[tokio::test]
async fn joins_and_grouping_sets_claim_no_order_that_they_lack() {
    check(&[
        case(
            Wrong,
            "select l.q, r.h from (select x as q from n order by x limit 9) as l \
             join (select h, k from (values (1, 1), (1, 1), (2, 1)) as v (h, k) order by h limit 9) as r on r.k <= l.q + 1 and r.k = l.q - l.q + 1 \
             order by r.h, l.q",
            "1,1;1,1;2,1;2,1;3,1;3,1;1,2;2,2;3,2",
        ),
        case(
            Wrong,
            "select n.x, f.k from n full join (select k from b where k = 3) as f on n.x < f.k - 1 order by f.k desc nulls first, n.x",
            "2,NULL;3,NULL;1,3",
        ),
        case(Wrong, "select id from (select 'id' as id union all select 'id' as id order by id) as u group by grouping sets ((id), ()) order by id", "id;NULL"),
        case(Right, "select x, count(*) as c from (select x from n union all select x from m order by x) as u group by rollup (x) order by x nulls last", "1,1;2,3;3,2;NULL,6"),
    ])
    .await;
}

#[tokio::test]
async fn small_gaps() {
    check(&[
        case(Refuses, "select x from n where cast(x as varchar) || '%' like '3!%' escape '!'", "3"),
        case(Refuses, r"select 'a\b' like 'a\b' escape '#' as a, 'a_b' not like 'a#_b' escape '#' as b", "true,false"),
        case(Refuses, "select percentile_disc(0.5) within group (order by x) as p, percentile_disc(0.9) within group (order by x desc) as q from n", "2,1"),
        case(Refuses, "select percentile_disc(0.25) within group (order by sku) as p from p", "a"),
        case(Refuses, "select x, percentile_disc(0) within group (order by x) as p from m group by x order by x", "2,2;3,3"),
    ])
    .await;
}

/// No issue was found.
#[tokio::test]
async fn filters_are_not_pushed_down_by_name() {
    let union = "select s.k, count(*) as c from (select a.k, a.k as m from a) as u \
                 right join (select * from b union all select * from b) as s on u.m = s.k where u.k is null group by s.k";
    check(&[case(Wrong, union, "3,2")]).await;
}

/// `planning/cast_names.rs`: <https://github.com/apache/datafusion/issues/18975>.
#[tokio::test]
async fn calls_that_differ_in_a_cast_alone_are_two_columns() {
    check(&[
        case(Refuses, "select sum(x), sum(x::double) from n", "6,6.0"),
        case(
            Refuses,
            "select x::text as a, x::double as b, count(*) from n where x = 2 group by x::text, x::double",
            "2,2.0,1",
        ),
        case(Right, "select sum(x) as a, sum(x + 1) as b from n", "6,9"),
    ])
    .await;
}

/// `functions/series.rs`; no issue was found.
#[tokio::test]
async fn series_of_years_beyond_nanoseconds_are_errors() {
    check(&[
        case(
            Wrong,
            "select generate_series(cast('2300-01-01' as timestamp(6)), cast('2300-01-02' as timestamp(6)), interval '1 day')",
            "Execution error: generate_series: timestamps are between the years 1677 and 2262; of other years write generate_series(date '2300-01-01', ...)",
        ),
        case(
            Right,
            "select array_length(generate_series(cast('2200-01-01' as timestamp(6)), cast('2200-01-02' as timestamp(6)), interval '1 day'))",
            "2",
        ),
    ])
    .await;
}

/// PostgreSQL 17 reads them so; `engine/src/sql/precedence.rs` has the whole table.
#[tokio::test]
async fn operators_bind_as_in_postgresql() {
    check(&[
        case(Wrong, "select true is distinct from false and false", "false"),
        case(Refuses, "select count(*) from n where x is distinct from 2 and x < 3 or x = 3", "2"),
        case(Wrong, "select false = false in (false, null)", "false"),
        case(Wrong, "select false = true between false and true", "false"),
        case(Refuses, "select ~1 + 1", "-3"),
        case(Wrong, "select 'ab' ~ 'a' || 'c'", "truec"),
        case(Right, "select 'a' || 'b' ~ 'ab', not 1 = 2, 1 = 2 is null, -2 - -1", "true,true,false,-1"),
    ])
    .await;
}

/// PostgreSQL 17 refuses them too.
#[tokio::test]
async fn clauses_without_a_use_are_errors() {
    let refusals = [
        (
            "select corr(distinct x, x + 1) from n",
            "`corr` has no DISTINCT; take the rows of a subquery: from (select distinct x, y from t)",
        ),
        (
            "select nth_value(distinct x, 2) from n",
            "`nth_value` has no DISTINCT; take the rows of a subquery: from (select distinct x, y from t)",
        ),
        (
            "select sum(x) over (w order by x) from n window w as (partition by x)",
            "a window that extends a named one is not supported; write the whole window: over (partition by ... order by ...)",
        ),
        (
            "select x, count(*) from n group by x with rollup",
            "GROUP BY ... WITH ROLLUP is not supported: write group by rollup (a, b)",
        ),
        (
            "select x, count(*) from n group by x with totals",
            "GROUP BY ... WITH TOTALS is not supported: write group by grouping sets ((a, b), ())",
        ),
        ("select count(*) from n tablesample (10)", "TABLESAMPLE is not supported: write where random() < 0.1"),
        (
            "select count(*) from (select x from n) as s tablesample (10)",
            "TABLESAMPLE is not supported: write where random() < 0.1",
        ),
        (
            "select * from generate_series(1, 3) with ordinality",
            "WITH ORDINALITY is not supported: write row_number() over (order by ...) as a column",
        ),
        (
            "select count(*) from n partition (p)",
            "PARTITION after a table is not supported: write a condition on the column of the partitions",
        ),
        ("select count(*) from n prewhere x > 1", "PREWHERE is not supported: write where"),
        ("select * ilike 'a%' from n", "* ILIKE is not supported: name the columns, or write * exclude (a, b)"),
        ("select 5 xor 3", "XOR is not supported: write (a) <> (b) for conditions"),
        (
            "select length('abc') filter (where false)",
            "`length` is computed from one row: FILTER has no meaning here; write case when false then length('abc') end, or put the condition into WHERE",
        ),
        (
            "select abs(distinct x) from t",
            "`abs` is computed from one row: DISTINCT has no meaning here; write select distinct abs(x)",
        ),
        (
            "select upper('a' order by 1)",
            "`upper` is computed from one row: ORDER BY has no meaning here; write upper('a'), and ORDER BY at the end of the query",
        ),
        (
            "select abs(x) ignore nulls from t",
            "`abs` is computed from one row: IGNORE NULLS has no meaning here; write abs(x)",
        ),
        (
            "select abs(1) within group (order by x) from t",
            "`abs` is computed from one row: WITHIN GROUP has no meaning here; write abs(1), and ORDER BY at the end of the query",
        ),
        (
            "select 1 + coalesce(x, 0) over (order by x) from t",
            "`coalesce` is computed from one row: OVER has no meaning here; write coalesce(x, 0)",
        ),
        (
            "select unnest([1, 2]) filter (where false)",
            "`unnest` is computed from one row: FILTER has no meaning here; write case when false then unnest([1, 2]) end, or put the condition into WHERE",
        ),
        (
            "select row_number() filter (where x > 1) over (order by x) from n",
            "`row_number` is a window function: FILTER has no meaning here; put the condition into WHERE of a subquery, or into an argument: case when ... then x end",
        ),
        (
            "select lag(distinct x) over (order by x) from n",
            "`lag` is a window function: DISTINCT has no meaning here; take the rows of a subquery with select distinct",
        ),
        (
            "select rank() ignore nulls over (order by x) from n",
            "`rank` is a window function: IGNORE NULLS has no meaning here; leave out IGNORE NULLS",
        ),
        (
            "select sum(x) respect nulls over () from n",
            "`sum` has one treatment of NULLs: RESPECT NULLS has no meaning here; leave out RESPECT NULLS",
        ),
    ];
    let ours = with_tables(Some(EngineOptions::default()), 1).await;
    let stock = with_tables(None, 1).await;
    for (sql, message) in refusals {
        let error = rows(&ours, sql).await.unwrap_err();
        assert_eq!(error.strip_backtrace(), format!("Error during planning: {message}"), "{sql}");
        // DataFusion refuses this one in its own words
        let is_refused = sql.contains("row_number() filter");
        assert_eq!(rows(&stock, sql).await.is_err(), is_refused, "stock_still_has_the_fault: {sql}");
    }
    check(&[
        case(Right, "select count(*) filter (where x > 1), count(distinct x), sum(distinct x) from m", "3,2,5"),
        case(Right, "select lag(x) ignore nulls over (order by o) from w order by o", "NULL;1;1;1;4"),
        case(Right, "select first_value(x) respect nulls over (order by o) from w where o > 3 order by o", "4;4"),
        case(Right, "select array_agg(x) filter (where x > 1) from n", "[2, 3]"),
    ])
    .await;
}

/// DuckDB 2.0: rows in which both values are known.
#[tokio::test]
async fn max_by_over_a_partition() {
    check(&[
        case(Refuses, "select max_by(o, x) over (), min_by(o, x) over () from w order by o limit 1", "5,1"),
        case(
            Refuses,
            "select o, max_by(o, x) filter (where o < 5) over (partition by o > 2) from w order by o",
            "1,1;2,1;3,4;4,4;5,4",
        ),
        case(Refuses, "select arg_min(x, -o) over (partition by o = 3) from w order by o limit 3", "5;5;NULL"),
    ])
    .await;
    let context = with_tables(Some(EngineOptions::default()), 1).await;
    let running = rows(&context, "select max_by(o, x) over (order by o) from w").await.unwrap_err().to_string();
    assert!(running.contains("write max_by(x, y) over (partition by ...), without ORDER BY"), "{running}");
}

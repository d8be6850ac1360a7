//! Statements whose SQL is rewritten before it is planned: powers, the precedence of operators, literals of decimals.

mod common;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::prelude::{SessionConfig, SessionContext};

fn context() -> SessionContext {
    let pool = Arc::new(UnboundedMemoryPool::default());
    common::context(Some(EngineOptions::default()), SessionConfig::new(), pool)
}

/// The values of the one row of a statement.
async fn row(context: &SessionContext, sql: &str) -> Result<String> {
    let batches = cxql_engine::planning::sql(context, sql).await?.collect().await?;
    let options = FormatOptions::new().with_null("NULL");
    let batch = batches.iter().find(|batch| batch.num_rows() == 1).unwrap();
    let cells =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap().value(0).to_string());
    Ok(cells.collect::<Vec<_>>().join(" | "))
}

async fn check(cases: &[(&str, &str)]) {
    let context = context();
    for (sql, expected) in cases {
        match row(&context, sql).await {
            Ok(found) => assert_eq!(found, *expected, "{sql}"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

/// PostgreSQL 17, 4.1.6 and table 9.4: `^` binds tighter than `*`, `||` looser than `+`; both from left to right.
#[tokio::test]
async fn powers_and_precedence() {
    check(&[
        (
            "select 2 ^ 3, 2 ^ 3 * 2, 2 * 3 ^ 2, 2 ^ 3 ^ 2, -2 ^ 2, 2 ^ -1, 1 + 2 ^ 3 - 4",
            "8.0 | 16.0 | 18.0 | 64.0 | 4.0 | 0.5 | 5.0",
        ),
        (
            "select (1 + 2) ^ 2, 2 ^ (1 + 2), 2 ^ 0.5 > 1.4, n ^ 2 = 49, null ^ 2 is null from (values (7)) as t (n)",
            "9.0 | 8.0 | true | true | true",
        ),
        (
            "select 'a' || 7 % 3, 'a' || 7 + 3, 1 + 2 || 'b', 'a' || 2 * 3 || 'b' || 1 - 1, 'a' || 'b' = 'ab'",
            "a1 | a10 | 3b | a6b0 | true",
        ),
        (
            "select 'x' || 2 ^ 3 || 'y' || 2 * 2 ^ 2 + 1, ('a' || '1') || 1, 5 - 2 - 1, 8 / 2 / 2, 7 - 2 * 3 % 4",
            "x8.0y9.0 | a11 | 2 | 2 | 5",
        ),
        ("select 6 & 3 | 8, 2 ^ 3 > 7 and 'a' || 1 + 1 like 'a%', 2 ^ 3 between 2 * 2 ^ 1 and 9", "10 | true | true"),
    ])
    .await;
    let error = row(&context(), "select true ^ false").await.unwrap_err().to_string();
    assert!(error.contains("^ is the power of two numbers"), "{error}");
}

/// PostgreSQL 17 and DuckDB 2.0, in which such literals are decimals.
#[tokio::test]
async fn literals_that_are_cast_keep_their_digits() {
    check(&[
        ("select cast(12345678901234567.89 as decimal(20, 2)), 12345678901234567.89::numeric(20, 2) as n", "12345678901234567.89 | 12345678901234567.89"),
        ("select cast(1.005 as decimal(9, 2)), cast(-1.005 as decimal(9, 2)), try_cast(0.125 as decimal(9, 2)), cast(.5 as decimal(9, 2))", "1.01 | -1.01 | 0.13 | 0.50"),
        ("select cast(2.5 as int), cast(-2.5 as bigint), 0.5::smallint, cast(2.4 as int)", "3 | -3 | 1 | 2"),
        ("select round(1.005, 2), round(-1.005, 2), round(2.5), arrow_typeof(round(1.005, 2))", "1.01 | -1.01 | 3.0 | Float64"),
        // doubles: halves round to even, and a ratio keeps its digits
        ("select cast(2.5e0 as int), cast(x as int), arrow_typeof(1.5), 1.0 * 2 / 3 from (values (2.5)) as t (x)", "2 | 2 | Float64 | 0.6666666666666666"),
        ("select round(1.005::decimal(9, 3), 2), arrow_typeof(round(1.005::decimal(9, 3), 2)) like 'Decimal%'", "1.01 | true"),
    ])
    .await;
}

/// The manual's list of calls that are rewritten, each beside what it stands for.
#[tokio::test]
async fn calls_of_other_databases_are_what_the_manual_says() {
    let context = context();
    let from = "from (values (1, 3, 5, 'b', timestamp '1999-12-31 10:00'), (2, 7, 4, 'a', timestamp '2000-01-01'), \
                (3, null, 9, 'c', timestamp '2001-01-01'), (-4, 7, 1, null, timestamp '1700-12-31')) as t (x, y, z, t, at)";
    for (call, stands_for) in cxql_udfs::docs::REWRITTEN {
        let sorted =
            |call: &str| format!("select array_agg(v order by v) from (select cast({call} as text) as v {from})");
        let found = row(&context, &sorted(call)).await.unwrap_or_else(|error| panic!("{call}: {error}"));
        let expected = row(&context, &sorted(stands_for)).await.unwrap_or_else(|error| panic!("{stands_for}: {error}"));
        assert_eq!(found, expected, "{call}");
    }
    // one column of each kind, so that equal faults on both sides are seen
    let sql = format!("select max_by(x, y), min_by(x, y), listagg(t) within group (order by x desc) {from}");
    let known = row(&context, &sql).await.unwrap();
    assert!(["2 | 1 | cab", "-4 | 1 | cab"].contains(&known.as_str()), "{known}");
    assert_eq!(
        row(&context, "select mod(-7, 3), sign(-2.5), variance(x) from (values (1), (2), (3)) as t (x)").await.unwrap(),
        "-1 | -1.0 | 1.0"
    );
}

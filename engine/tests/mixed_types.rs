//! Decimals beside floats, numbers beside dates, `round` of decimals, NaN below NOT, RANGE frames, dictionaries, and filters over
//! statistics: what is right here, and what DataFusion 55.2 makes of it.
//!
//! Expected values: PostgreSQL 15 and DuckDB 2.0.1, which agree unless a case says otherwise.

mod common;
#[path = "common/text.rs"]
mod text;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::arrow::array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::common::Result;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

fn context(options: Option<EngineOptions>) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(3).with_batch_size(4);
    config.options_mut().execution.time_zone = Some("UTC".into());
    common::context(options, config, Arc::new(UnboundedMemoryPool::default()))
}

/// The rows of a statement: `;` between rows, `,` between columns.
async fn rows(context: &SessionContext, sql: &str) -> Result<String> {
    let state = context.state();
    let frame = match state.config_options().extensions.get::<EngineOptions>() {
        Some(_) => cxql_engine::planning::sql(context, sql).await?,
        None => context.sql(sql).await?,
    };
    text::rows_text(&frame.collect().await?)
}

async fn check_in(context: &SessionContext, cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(rows(context, sql).await.unwrap_or_else(|error| error.to_string()), *expected, "{sql}");
    }
}

async fn check(cases: &[(&str, &str)]) {
    check_in(&context(Some(EngineOptions::default())), cases).await;
}

async fn check_errors(context: &SessionContext, cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        let error = rows(context, sql).await.expect_err(sql).to_string();
        assert!(error.contains(expected), "{sql}\n{error}");
    }
}

/// What stock DataFusion gives, which is wrong. A case that fails is mended there: the repair can go.
async fn check_stock(context: &SessionContext, cases: &[(&str, &str)]) {
    for (sql, wrong) in cases {
        let found = rows(context, sql).await.unwrap_or_else(|error| error.to_string());
        assert!(found.contains(wrong), "stock_still_has_the_fault: {sql}\n{found}");
    }
}

/// A session whose table `t` is a Parquet file of the rows of a query.
async fn over_file(options: Option<EngineOptions>, folder: &tempfile::TempDir, query: &str) -> SessionContext {
    let path = folder.path().join("t.parquet").to_str().unwrap().to_string();
    context(None).sql(&format!("copy ({query}) to '{path}'")).await.unwrap().collect().await.unwrap();
    let session = context(options);
    session.register_parquet("t", &path, ParquetReadOptions::default()).await.unwrap();
    session
}

#[tokio::test]
async fn decimals_beside_floats_are_doubles() {
    let of = "from (select cast(value / 100.0 as decimal(10, 2)) as dec, value / 100.0 as dbl from generate_series(0, 1999) as g (value))";
    let counts = format!(
        "with d as (select * {of}) select count(*) filter (where dec = dbl), \
         count(*) filter (where dec is not distinct from dbl), count(*) filter (where dbl between dec and dec), \
         count(nullif(dec, dbl)), count(*) filter (where case dec when dbl then true end), \
         count(*) filter (where dec in (dbl)) from d"
    );
    let joined = format!("with d as (select * {of}) select count(*) from d as a join d as b on a.dec = b.dbl");
    let subqueries = format!(
        "with d as (select * {of}) select (select count(*) from d where dec in (select dbl from d)) as a, \
         (select count(*) from d where dbl in (select dec from d)) as b, \
         (select count(*) from d as a where exists (select 1 from d as b where a.dec = b.dbl)) as c"
    );
    let sets = format!(
        "with d as (select * {of}) select (select count(*) from (select dec from d union select dbl from d)) as a, \
         (select count(*) from (select dec from d except select dbl from d)) as b, \
         (select count(*) from (select dec from d intersect select dbl from d)) as c"
    );
    check(&[
        (&counts, "2000,2000,2000,0,2000,2000"),
        (&joined, "2000"),
        (&subqueries, "2000,2000,2000"),
        (&sets, "2000,0,2000"),
        ("select cast(0 as decimal(10, 2)) < x, cast(0 as decimal(10, 2)) <> x from (select cast(1e-17 as double) as x)", "true,true"),
        (
            "select s, d < x, x is distinct from d from (values ('nan'), ('inf'), ('-inf'), ('1e20')) as t (s) \
             cross join lateral (select cast(s as double) as x) as u cross join (select cast(1.5 as decimal(10, 2)) as d) order by s",
            "-inf,false,true;1e20,true,true;inf,true,true;nan,true,true",
        ),
        (
            "select coalesce(d, x), greatest(d, x), least(d, x), case when d > 1 then x else d end, [d, x] \
             from (select cast(1.5 as decimal(10, 2)) as d, cast('1e20' as double) as x)",
            "1.5,1e20,1.5,1e20,[1.5, 1e20]",
        ),
        (
            "select arrow_typeof(coalesce(d, 0.5)), coalesce(d, 0.5), case when d > 1 then d else 0.25 end, d > 1.25 \
             from (select cast(1.5 as decimal(10, 2)) as d)",
            "Decimal128(10, 2),1.50,1.50,true",
        ),
        (
            "select arrow_typeof(a), a from (select cast(1.5 as decimal(10, 2)) as a union all select 0.5) order by a",
            "Decimal128(10, 2),0.50;Decimal128(10, 2),1.50",
        ),
        // unions of unions, and by name
        (
            "select arrow_typeof(x), x from (select 3 as x union all select cast(1.15 as decimal(10, 2)) union all \
             select cast(1.15 as double) union all select null) where x = cast(1.15 as double)",
            "Float64,1.15;Float64,1.15",
        ),
        (
            "select arrow_typeof(x), x from (select cast(1.15 as decimal(10, 2)) as x union all select cast(1.15 as double) \
             union all select 3) where x < 2",
            "Float64,1.15;Float64,1.15",
        ),
        (
            "select arrow_typeof(x), x from (select 3 as x union select cast(1.15 as decimal(10, 2)) union all \
             select cast(1.15 as double)) where x < 2",
            "Float64,1.15;Float64,1.15",
        ),
        (
            "select u.x = y, w.x = d from (select 3 as x union all select cast(1.15 as decimal(10, 2))) as u, \
             (select 3 as x union all select cast(1.15 as double)) as w, \
             (select cast(1.15 as double) as y, cast(1.15 as decimal(10, 2)) as d) order by 1, 2",
            "false,false;false,true;true,false;true,true",
        ),
        (
            "select x from (select 1 as n, cast(1.5 as decimal(10, 2)) as x union all by name select cast('1e20' as double) as x) order by x",
            "1.5;1e20",
        ),
        // DuckDB compares reals here; PostgreSQL doubles
        ("select i = r, i < r from (select 16777217 as i, cast(16777216 as real) as r)", "false,false"),
    ])
    .await;
    check_stock(
        &context(None),
        &[
            (&format!("select count(*) < 2000 {of} where dec = dbl"), "true"),
            ("select cast(0 as decimal(10, 2)) < x from (select cast(1e-17 as double) as x)", "false"),
        ],
    )
    .await;
}

#[tokio::test]
async fn numbers_are_no_dates() {
    let ours = context(Some(EngineOptions::default()));
    let d = "from (values (date '2025-03-01')) as t (d)";
    let (compared, between, one_of, least) = (
        format!("select d >= 20250301 {d}"),
        format!("select d between 20250301 and 20250302 {d}"),
        format!("select d in (20250301) {d}"),
        format!("select least(d, 20250102) {d}"),
    );
    let joined = format!("select 1 {d} join (values (20250301)) as u (k) on t.d = u.k");
    let subquery = format!("select d in (select 20250301) {d}");
    check_errors(
        &ours,
        &[
            (&compared, "a date and a number (20250301) have no common type; write date '2025-03-01'"),
            (&between, "write date '2025-03-01'"),
            (&one_of, "write date '2025-03-01'"),
            (&least, "write date '2025-01-02'"),
            (&joined, "a date and a number"),
            (&subquery, "a date and a number"),
            ("select cast(20250101 as date)", "a number is no date; write date '2025-01-01'"),
            ("select to_date(20250101)", "write date '2025-01-01'"),
            ("select cast(8 as time)", "write a time of day as time '09:30:00'"),
            ("select cast(1735689600 as timestamp)", "to_timestamp_seconds(x)"),
            ("select cast(timestamp '2025-01-01' as bigint)", "write extract(epoch from x)"),
            ("select cast(timestamp '2025-01-02' - timestamp '2025-01-01' as int)", "write extract(epoch from x)"),
        ],
    )
    .await;
    check_in(
        &ours,
        &[
            (
                "select to_timestamp_seconds(1735689600), d - date '2025-01-01' = 59, extract(epoch from d) > 0, d = null \
                 from (select date '2025-03-01' as d)",
                "2025-01-01T00:00:00Z,true,true,NULL",
            ),
            ("select cast(null as date), cast('2025-01-01' as date) > date '2024-12-31'", "NULL,true"),
        ],
    )
    .await;
    check_stock(&context(None), &[(&compared, "false"), ("select cast(20250101 as date)", "57412")]).await;
}

#[tokio::test]
async fn round_of_decimals_has_one_type() {
    let of = "from (select column1 as i, cast(column2 as decimal(10, 2)) as m from (values (1, 2.00), (2, 1.44)))";
    let case = format!("select sum(case when i = 1 then round(m, 0) else m end) {of}");
    let equal = format!("select count(*) {of} where round(m, 1) = 2.0 and round(m, 2) = 2.00");
    check(&[
        (&case, "3.44"),
        (&equal, "1"),
        (&format!("select coalesce(round(case when i = 1 then m end, 1), m) {of} order by i"), "2.00;1.44"),
        (&format!("select greatest(m, round(m, 1)), least(round(m, 1), m) {of} order by m desc"), "2.00,2.00;1.44,1.40"),
        (&format!("select min(coalesce(round(case when i < 10 then m end, 1), m)) {of}"), "1.40"),
        (&format!("select round(sum(m), 1) {of} having round(sum(m), 1) > 3.25"), "3.4"),
        // of a literal the type has its digits; a column that turns out to be a constant changes no type
        ("select arrow_typeof(round(m, 1)), arrow_typeof(round(m, n)), round(m, n), round(m, -1) from (select cast(15.25 as decimal(10, 2)) as m, 1 as n)", "Decimal128(10, 1),Decimal128(11, 2),15.30,20"),
        ("select round(cast(2.5 as decimal(2, 1))), round(cast(null as decimal(10, 2)), 1), round(m, null) from (select cast(1.5 as decimal(10, 2)) as m)", "3,NULL,NULL"),
    ])
    .await;
    check_stock(&context(None), &[(&case, "3")]).await;
    let stock = rows(&context(None), &case).await.unwrap_or_else(|error| error.to_string());
    assert_ne!(stock, "3.44", "stock_still_has_the_fault: {case}");
}

#[tokio::test]
async fn negated_comparisons_find_nan_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let query = "select cast(column1 as double) as x from (values ('1'), ('nan'))";
    let ours = over_file(Some(EngineOptions::default()), &folder, query).await;
    let conditions = [
        ("not (x <= 2)", "1"),
        ("x > 2", "1"),
        ("(x <= 2) = false", "1"),
        ("(x <= 2) is false", "1"),
        ("(x <= 2) is not true", "1"),
        ("not (x < 2)", "1"),
        ("not (x = 1)", "1"),
        ("not (x between 1 and 1)", "1"),
        ("not (x <= 2 and x >= 0)", "1"),
        ("not (x <= 2 and not (x > 5))", "1"),
        ("x not in (1, 2)", "1"),
        ("not (x in (1, 2))", "1"),
        ("not (x < 0)", "2"),
        ("not (x = 0)", "2"),
        ("case when x <= 2 then false else true end", "1"),
        ("x <= 2", "1"),
        ("x = 1 or x < 1", "1"),
        ("x in (1, 2)", "1"),
        ("x between 1 and 2", "1"),
    ];
    for (condition, expected) in conditions {
        check_in(&ours, &[(&format!("select count(*) from t where {condition}"), expected)]).await;
    }
    check_in(
        &ours,
        &[
            ("select count(*) from (select x <= 2 as is_small from t) where not is_small", "1"),
            (
                "select x <= 2, x = 1, x in (1, 2), x between 0 and 2 from t order by x",
                "true,true,true,true;false,false,false,false",
            ),
        ],
    )
    .await;
    let stock = over_file(None, &folder, query).await;
    check_stock(&stock, &[("select count(*) from t where not (x <= 2)", "0")]).await;
}

#[tokio::test]
async fn range_frames_fit_their_keys() {
    let ours = context(Some(EngineOptions::default()));
    let over = |key: &str, frame: &str, values: &str| {
        format!(
            "select k, count(*) over (order by k range between {frame}) from (select {key} as k from (values {values}) as t (x)) order by k nulls last"
        )
    };
    let (dates, strings) = ("(date '2025-01-01')", "('a'), ('b')");
    check_errors(
        &ours,
        &[
            (&over("x", "7 preceding and current row", dates), "write interval '7 days'"),
            (&over("cast(x as timestamp)", "7.5 preceding and current row", dates), "write interval '7.5 days'"),
            (&over("x", "1 preceding and current row", strings), "got a string; write rows between 1 preceding"),
            (&over("x = 'a'", "1 preceding and current row", strings), "got Boolean"),
            (
                "select count(*) over (order by d range between interval '7 days' preceding and current row), \
                 count(*) over (order by d range between interval '1 week' preceding and current row) \
                 from (values (date '2025-01-01')) as t (d)",
                "one frame in two spellings, 1 week and 7 days: write them alike",
            ),
            (&over("x", "1.5 preceding and current row", "(1)"), "takes a whole number, got 1.5"),
        ],
    )
    .await;
    let tiny = over("cast(x as tinyint)", "current row and 100 following", "(100), (1), (null)");
    let below = over("cast(x as tinyint)", "100 preceding and current row", "(-100), (null)");
    let bytes = over("arrow_cast(x, 'UInt8')", "current row and 10 following", "(255), (null)");
    let long = over("x", "5 preceding and 5 following", "(9223372036854775807), (9223372036854775800), (1), (null)");
    check_in(
        &ours,
        &[
            // by hand: 1 and 100 lie within 100 of 1; NULL has itself only
            (&tiny, "1,2;100,1;NULL,1"),
            (&below, "-100,1;NULL,1"),
            (&bytes, "255,1;NULL,1"),
            (&long, "1,1;9223372036854775800,1;9223372036854775807,1;NULL,1"),
            (&over("x", "interval '7 days' preceding and current row", "(date '2025-01-01'), (date '2025-01-08'), (date '2025-01-09')"), "2025-01-01,1;2025-01-08,2;2025-01-09,2"),
            (&over("x", "1.5 preceding and current row", "(1e0), (2e0), (3e0)"), "1.0,1;2.0,2;3.0,2"),
            // functions with the same keys and other frames
            (
                "select k, count(*) over (order by k range between 1 preceding and current row) as a, sum(k) over (order by k) as b, \
                 rank() over (order by k desc) as c from (values (1), (2), (4)) as t (k) order by k",
                "1,1,1,3;2,2,3,2;4,1,7,1",
            ),
        ],
    )
    .await;
    let stock = context(None);
    check_stock(&stock, &[(&tiny, "100,2")]).await;
    check_stock(&stock, &[(&over("x", "1 preceding and current row", strings), "a,1;b,2")]).await;
}

#[tokio::test]
async fn filters_over_statistics_do_not_fail() {
    let folder = tempfile::tempdir().unwrap();
    let query = "select date '2025-03-05' as d, timestamp '2025-03-05 23:30:00' as p, 1 as n \
                 union all select date '2025-03-17', timestamp '2025-03-17 08:30:00', 2";
    let ours = over_file(Some(EngineOptions::default()), &folder, query).await;
    let conditions = [
        ("d = p::date", "2"),
        ("p::date > d", "0"),
        ("p::date >= date '2025-03-05' and d > date '2025-03-05'", "1"),
        ("p::date <= date '2025-03-05' and d >= date '2025-03-05'", "1"),
        ("p::date = date '2025-03-05'", "1"),
        ("p::date <> date '2025-03-05'", "1"),
        ("p::date in (date '2025-03-05', date '2025-03-06')", "1"),
        ("p::date between date '2025-03-06' and date '2025-03-17'", "1"),
        ("date '2025-04-01' - d > 20", "1"),
        ("p::date - d = 0", "2"),
        ("d - p::date < n", "2"),
        ("current_date - p::date > 365 or true", "2"),
    ];
    for (condition, expected) in conditions {
        check_in(&ours, &[(&format!("select count(*) from t where {condition}"), expected)]).await;
    }
    let by_day = "select p::date as day, max(p::date - date '2025-03-01') from t group by 1 order by 1";
    check_in(&ours, &[(by_day, "2025-03-05,4;2025-03-17,16")]).await;
    // the date is compared as its timestamps, by which row groups are pruned
    let explained = rows(&ours, "explain select count(*) from t where p::date >= date '2025-03-06'").await.unwrap();
    assert!(explained.contains("p >= TimestampNanosecond(") && !explained.contains("temporal_cast"), "{explained}");
    let stock = over_file(None, &folder, query).await;
    check_stock(
        &stock,
        &[
            ("select count(*) from t where d = cast(p as date)", "Selectivity is out of limit"),
            ("select count(*) from t where date '2025-04-01' - d > 20", "Assertion failed"),
        ],
    )
    .await;
}

#[tokio::test]
async fn dictionaries_are_cast_by_rows() {
    let session = context(Some(EngineOptions::default()));
    let stock = context(None);
    let strings = StringArray::from(vec!["1", "x", "2"]);
    let codes = DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0, 1, 2, 0]), Arc::new(strings)).unwrap();
    let floats = Float64Array::from(vec![1.5, f64::NAN]);
    let values = DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0, 1, 0, 0]), Arc::new(floats)).unwrap();
    let columns = [("code", Arc::new(codes) as ArrayRef), ("f", Arc::new(values) as ArrayRef)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for session in [&session, &stock] {
        session.register_batch("t", batch.clone()).unwrap();
    }
    let guarded = "select sum(case when regexp_like(code, '^[0-9]+$') and f > 1 then cast(code as int) end) from t";
    check_in(
        &session,
        &[
            (guarded, "4"),
            ("select sum(cast(code as int)) from t where code <> 'x'", "4"),
            ("select sum(cast(f as int)) from t where not isnan(f)", "6"),
            ("select string_agg(distinct code, ',' order by code) from t", "1,2,x"),
            ("select code || 7 from t where code = 'x'", "x7"),
            ("select code || '-' || f from t where code = '2'", "2-1.5"),
        ],
    )
    .await;
    check_stock(&stock, &[("select sum(cast(code as int)) from t where code <> 'x'", "Cannot cast string")]).await;
}

#[tokio::test]
async fn frames_slide_over_bits_and_strings() {
    let of = "from (values (1, true, 6, 'a'), (2, false, 3, 'b'), (3, null, null, null), (4, true, 5, 'b'), (5, true, 4, 'c')) as t (i, b, n, s)";
    let frame = "over (order by i rows between 1 preceding and current row)";
    check(&[
        // by hand, row by row
        (
            &format!("select bool_and(b) {frame}, bool_or(b) {frame} {of} order by i"),
            "true,true;false,true;false,false;true,true;true,true",
        ),
        // 6; 6 and 3: 2, 7, 5; 3; 5; 5 and 4: 4, 5, 1
        (
            &format!("select bit_and(n) {frame}, bit_or(n) {frame}, bit_xor(n) {frame} {of} order by i"),
            "6,6,6;2,7,5;3,3,3;5,5,5;4,5,1",
        ),
        (
            &format!("select string_agg(s, '+') {frame}, approx_distinct(s) {frame} {of} order by i"),
            "a,1;a+b,2;b,1;b,1;b+c,2",
        ),
        (&format!("select bit_and(cast(n - 8 as smallint)) {frame} {of} order by i"), "-2;-6;-5;-3;-4"),
        (
            &format!(
                "select bool_and(b) over (order by i rows between 1 preceding and 1 preceding) {of} order by i limit 1"
            ),
            "NULL",
        ),
    ])
    .await;
    let stock = format!("select bool_and(b) {frame} {of}");
    check_stock(&context(None), &[(&stock, "retract_batch")]).await;
}

#[tokio::test]
async fn windows_and_ordinals_are_where_they_may_be() {
    let ours = context(Some(EngineOptions::default()));
    let of = "from (values (1, 'a'), (2, 'a'), (2, 'b')) as t (n, s)";
    let sql = |select: &str, rest: &str| format!("select {select} {of} {rest}");
    check_errors(
        &ours,
        &[
            (
                &sql("n", "where row_number() over (order by n) = 1"),
                "a window function in WHERE is not supported: write QUALIFY",
            ),
            (&sql("s", "group by s having rank() over (order by s) = 1"), "a window function in HAVING"),
            (&sql("count(*)", "group by rank() over (order by n)"), "a window function in GROUP BY"),
            (&sql("t.n", "join t as u on row_number() over (order by t.n) = u.n"), "a window function in ON"),
            (&sql("n, count(*)", "group by grouping sets ((1), (5))"), "the number 5 in a grouping set"),
        ],
    )
    .await;
    check_in(
        &ours,
        &[
            (&sql("n", "where n in (select row_number() over (order by m) from (values (7)) as u (m))"), "1"),
            (&sql("n", "qualify row_number() over (order by n) = 1"), "1"),
            (&sql("n, count(*)", "group by grouping sets ((n), (1)) order by 1, 2"), "1,1;1,1;2,2;2,2"),
            (
                &sql("n, s, count(*)", "group by rollup (1, 2) order by 1, 2"),
                "1,a,1;1,NULL,1;2,a,1;2,b,1;2,NULL,2;NULL,NULL,3",
            ),
            (&sql("n, count(*)", "group by cube (1) order by 1"), "1,1;2,2;NULL,3"),
        ],
    )
    .await;
    check_stock(&context(None), &[(&sql("count(*)", "group by grouping sets ((1))"), "3")]).await;
}

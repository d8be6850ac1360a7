//! Comparisons with literals, casts of timestamps to fewer digits, ages, deviations of DISTINCT values, windows with FILTER and
//! joins by dictionaries: what is right here, and what DataFusion 55.2 makes of it.
//!
//! Expected values: PostgreSQL 15 and DuckDB 2.0.1, which agree unless a case says otherwise.

mod common;
#[path = "common/text.rs"]
mod text;

use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::common::Result;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
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
    let batches = frame.collect().await?;
    text::rows_text(&batches)
}

async fn check(cases: &[(&str, &str)]) {
    let context = context(Some(EngineOptions::default()));
    for (sql, expected) in cases {
        assert_eq!(rows(&context, sql).await.unwrap_or_else(|error| error.to_string()), *expected, "{sql}");
    }
}

/// What stock DataFusion gives, which is wrong. A case that fails is mended there: the repair can go.
async fn check_stock(context: &SessionContext, cases: &[(&str, &str)]) {
    for (sql, wrong) in cases {
        let found = rows(context, sql).await.unwrap_or_else(|error| error.to_string());
        assert!(found.contains(wrong), "stock_still_has_the_fault: {sql}\n{found}");
    }
}

/// A double has no room for 9007199254740993 and makes it 9007199254740992.
#[tokio::test]
async fn integers_compare_exactly_with_literals() {
    let big = "(values (9007199254740993)) as t (x)";
    let small = "(values (1), (2), (3), (null)) as t (x)";
    let comparisons = format!(
        "select x = 9007199254740992.0, x > 9007199254740992.0, x = 9007199254740993.0, 9007199254740992.9 < x, \
         x <> 9007199254740993.0, x is distinct from 9007199254740993.0, x between 9007199254740992.0 and \
         9007199254740992.5, x in (9007199254740992.0, 1.5), x not in (9007199254740993.0), \
         case x when 9007199254740992.0 then 'a' when 9007199254740993.0 then 'b' end from {big}"
    );
    check(&[
        (&comparisons, "false,true,true,true,false,false,false,false,false,b"),
        ("select 9007199254740993 = 9007199254740993.0, 9007199254740992.0 < 9007199254740993", "true,true"),
        (
            "select -9007199254740993 = -9007199254740993.0, -9007199254740993 < -9007199254740992.5, \
             -9007199254740993 >= -9007199254740993.5",
            "true,true,true",
        ),
        ("select a.x from (values (9007199254740993)) as a (x) join (values (1)) as b (y) on a.x = 9007199254740992.0 * b.y", "9007199254740993"),
        (&format!("select x from {small} where x > 1.5 and x <= 2.5"), "2"),
        (&format!("select x from {small} where x >= -0.5 and x < 1.000000001"), "1"),
        (&format!("select x from {small} where x between 1.5 and 2.5 or x in (2.5, 3.0) order by x"), "2;3"),
        (&format!("select x from {small} where x not in (2.5, 2.0) order by x"), "1;3"),
        (&format!("select x = 2.5, x <> 2.5, x = 2.0, x in (2.5) from {small} order by x"), "false,true,false,false;false,true,true,false;false,true,false,false;NULL,NULL,NULL,NULL"),
        (&format!("select x, case x when 1.0 then 'one' when 1.5 then 'half' end from {small} order by x"), "1,one;2,NULL;3,NULL;NULL,NULL"),
        (&format!("select sum(x) filter (where x <> 2.0), count(*) filter (where x is distinct from 2.0) from {small}"), "4,3"),
        (&format!("select x from {small} group by x having sum(x) > 1.99999999999999999 order by x"), "2;3"),
        ("select 9223372036854775807 < 9223372036854775808.0, -9223372036854775807 > -1e300, 5 < 1e300", "true,true,true"),
        ("select x in (1, 2.5, y), x in (1.0, y) from (values (3, 3e0), (2, 2.5e0)) as t (x, y) order by x", "false,false;true,true"),
        // beside doubles the literal is the double that it was
        ("select x = 0.30000000000000004, x = 0.3, x in (0.30000000000000004), -x = -0.30000000000000004 from (select 0.1 + 0.2 as x)", "true,false,true,true"),
        // beside decimals a decimal
        ("select d = 12345678901234567.89, d > 12345678901234567.88, d = 12345678901234567.9 from (select cast('12345678901234567.89' as decimal(20, 2)) as d)", "true,true,false"),
        ("select d > 1.5 from (select cast('1.50000000000000000001' as decimal(38, 20)) as d)", "true"),
        ("select x < cast('2.55' as decimal(10, 1)) from (values (2)) as t (x)", "true"),
    ])
    .await;
    let stock = context(None);
    check_stock(&stock, &[("select 9007199254740993 = 9007199254740992.0", "true")]).await;
}

/// PostgreSQL rounds halves before 2000 to the earlier second, DuckDB before 1970, here none.
#[tokio::test]
async fn timestamps_round_to_fewer_digits() {
    let at = "(values (timestamp '2025-01-01 10:00:00.5'), (timestamp '2025-01-01 10:00:01')) as t (at)";
    check(&[
        (
            "select cast(timestamp '2025-01-01 10:00:00.5' as timestamp(0)), timestamp '2025-01-01 10:00:01.499'::timestamp(0), \
             cast(timestamp '1990-12-31 23:59:57.4' as timestamp(0)), cast(timestamp '1990-12-31 23:59:57.6' as timestamp(0))",
            "2025-01-01T10:00:01,2025-01-01T10:00:01,1990-12-31T23:59:57,1990-12-31T23:59:58",
        ),
        (
            "select cast('2025-12-31 23:59:59.5' as timestamp(0)), cast('2025-01-01 10:00:00.4569' as timestamp(3)), \
             timestamp(3) '2025-01-01 10:00:00.4571' as t, cast(s as timestamp(3)), try_cast(s as timestamp(0)) \
             from (values ('1969-12-31 23:59:59.9995')) as t (s)",
            "2026-01-01T00:00:00,2025-01-01T10:00:00.457,2025-01-01T10:00:00.457,1970-01-01T00:00:00,1970-01-01T00:00:00",
        ),
        (
            "select cast(timestamptz '2025-01-01 10:00:00.5Z' as timestamp(0)), \
             cast(timestamp '2025-01-01 10:00:00.1234567' as timestamp(6))",
            "2025-01-01T10:00:01,2025-01-01T10:00:00.123457",
        ),
        // the day is not rounded
        (
            "select cast(timestamp '2025-01-01 23:59:59.9' as date), cast(timestamp '1969-12-31 12:00' as date), \
             cast(timestamp '2025-01-01 10:00:00.9' as time)",
            "2025-01-01,1969-12-31,10:00:00.900",
        ),
        (&format!("select count(*) from {at} where cast(at as timestamp(0)) = timestamp '2025-01-01 10:00:01'"), "2"),
        // a string beside a column in seconds is no cast
        (
            "select at = '2025-01-01 10:00:00.5', at < '2025-01-01 10:00:00.5', at in ('2025-01-01 10:00:00.5'), \
             at between '2025-01-01 09:59:59.5' and '2025-01-01 10:00:00.0000001', \
             at = cast('2025-01-01 10:00:00.4' as timestamp(0)) from (select timestamp(0) '2025-01-01 10:00:00' as at)",
            "false,true,false,true,true",
        ),
        ("select cast(s as time), try_cast('5' as time) from (values ('10:15')) as t (s)", "10:15:00,NULL"),
    ])
    .await;
    let context_with = context(Some(EngineOptions::default()));
    let error = rows(&context_with, "select cast('5' as time)").await.unwrap_err().to_string();
    assert!(error.contains("cannot cast string '5' to a time; write it like 09:30:00"), "{error}");
    check_stock(
        &context(None),
        &[
            ("select cast(timestamp '2025-01-01 10:00:00.5' as timestamp(0))", "2025-01-01T10:00:00"),
            ("select cast('5' as time)", "00:00:00.000000005"),
        ],
    )
    .await;
}

/// Expected values: `age` of PostgreSQL 15.
#[tokio::test]
async fn ages_are_counted_in_years_months_and_days() {
    let context = context(Some(EngineOptions::default()));
    for (later, earlier, age) in [
        ("2024-02-29", "2024-03-31 12:00", "-1 mons -2 days -12:00:00"),
        ("2024-02-29", "2023-12-31 23:59:59", "1 mon 28 days 00:00:01"),
        ("2024-02-29", "2025-04-30", "-1 years -2 mons -1 days"),
        ("2024-03-31 12:00", "2025-01-31 00:00:00.5", "-9 mons -30 days -12:00:00.5"),
        ("2024-03-31 12:00", "1999-02-28", "25 years 1 mon 3 days 12:00:00"),
        ("2025-03-01", "2024-03-31 12:00", "11 mons 12:00:00"),
        ("2025-03-01", "2024-10-27 02:30", "4 mons 4 days 21:30:00"),
        ("2025-01-31 00:00:00.5", "2024-02-29", "11 mons 2 days 00:00:00.5"),
        ("2025-01-31 00:00:00.5", "2023-12-31 23:59:59", "1 year 30 days 00:00:01.5"),
        ("2025-01-31 00:00:00.5", "2025-04-30", "-2 mons -29 days -23:59:59.5"),
        ("2023-12-31 23:59:59", "2025-03-01", "-1 years -2 mons -00:00:01"),
        ("2023-12-31 23:59:59", "1999-02-28", "24 years 10 mons 3 days 23:59:59"),
        ("2024-10-27 02:30", "2024-03-31 12:00", "6 mons 26 days 14:30:00"),
        ("2024-10-27 02:30", "2023-12-31 23:59:59", "9 mons 26 days 02:30:01"),
        ("1999-02-28", "2024-02-29", "-25 years -1 days"),
        ("1999-02-28", "2025-01-31 00:00:00.5", "-25 years -11 mons -3 days -00:00:00.5"),
        ("1999-02-28", "2025-04-30", "-26 years -2 mons -2 days"),
        ("2025-04-30", "2025-03-01", "1 mon 29 days"),
        ("2025-04-30", "2024-10-27 02:30", "6 mons 2 days 21:30:00"),
    ] {
        let sql = format!("select cast(age(timestamp '{later}', timestamp '{earlier}') as text)");
        let found = rows(&context, &sql).await.unwrap();
        assert_eq!(found.replace('+', ""), age, "{sql}");
    }
    check(&[
        ("select age(null, date '2025-01-01'), age(date '2025-01-01', null)", "NULL,NULL"),
        ("select extract(year from age(date '2025-03-31', date '1990-06-15')), age(current_date) = interval '0 days'", "34,true"),
        ("select age(date '2025-03-31', date '2025-02-28') > interval '1 month'", "true"),
        ("select cast(max(age(at, started)) as text) from (values (date '2025-03-01', date '2025-01-31')) as t (at, started)", "1 mon 1 day"),
        // what the clocks of Berlin show, across a change of them
        (
            "select cast(age(timestamptz '2025-03-30 22:00:00Z' at time zone 'Europe/Berlin', timestamptz '2025-03-29 23:00:00Z' at time zone 'Europe/Berlin') as text)",
            "1 day",
        ),
    ])
    .await;
    let error = rows(&context, "select age(5, 3)").await.unwrap_err().to_string();
    assert!(error.contains("age: one or two timestamps or dates are wanted"), "{error}");
}

/// A column that is NULL throughout has the type NULL in files of pandas. Expected: DuckDB, which reads it as an integer.
#[tokio::test]
async fn columns_without_any_value() {
    let nulls = "(values (1, 'a', null), (2, 'b', null)) as t (id, k, x)";
    check(&[
        (
            &format!(
                "select sum(x), avg(x), sum(distinct x), count(x), max(x), percentile_disc(0.5) within group (order by x), \
                 median(x) from {nulls}"
            ),
            "NULL,NULL,NULL,0,NULL,NULL,NULL",
        ),
        (&format!("select k, sum(x), avg(x) from {nulls} group by k order by k"), "a,NULL,NULL;b,NULL,NULL"),
        (&format!("select sum(x) over (partition by k), avg(x) over () from {nulls} order by id"), "NULL,NULL;NULL,NULL"),
        (
            &format!("select date_trunc('day', x), extract(year from x), extract(epoch from x) from {nulls} where id = 1"),
            "NULL,NULL,NULL",
        ),
    ])
    .await;
    check_stock(&context(None), &[(&format!("select sum(x) from {nulls}"), "not supported for Null")]).await;
}

/// A minus is that of the whole interval, as in PostgreSQL.
#[tokio::test]
async fn intervals_are_negated_as_a_whole() {
    check(&[
        (
            "select timestamp '2025-01-03' + (-interval '1 day 2 hours'), -interval '1 day 2 hours' = interval '-26 hours', \
             - (interval '1 day 2 hours') = interval '-26 hours'",
            "2025-01-01T22:00:00,true,true",
        ),
        (
            "select -(timestamp '2025-01-01' - timestamp '2025-01-03') = interval '2 days', -(5 - 3 - 4), -(1.5 - 2), \
             -(interval '1 day' - interval '25 hours') = interval '1 hour', 10 - -(2 - 3)",
            "true,2,0.5,true,9",
        ),
        ("select date '2025-03-31' + -interval '1 month 1 day' = timestamp '2025-02-27'", "true"),
    ])
    .await;
    check_stock(
        &context(None),
        &[("select timestamp '2025-01-03' + (-interval '1 day 2 hours')", "2025-01-02T02:00:00")],
    )
    .await;
}

#[tokio::test]
async fn deviations_of_distinct_values() {
    let t = "(values (1, 1, 1), (2, 1, 2), (3, 1, 2), (4, 2, 7), (5, 2, null)) as t (o, k, x)";
    check(&[
        (
            &format!("select k, stddev(distinct x), stddev_pop(distinct x), count(*), avg(x) from {t} group by k order by k"),
            "1,0.7071067811865476,0.5,3,1.6666666666666667;2,NULL,0.0,2,7.0",
        ),
        (&format!("select round(stddev(distinct x), 6), round(stddev_pop(distinct x), 6), count(*) from {t}"), "3.21455,2.624669,5"),
        (
            &format!("select distinct k, stddev(distinct x) over (partition by k), var_pop(distinct x) over () * 9 from {t} order by k"),
            "1,0.7071067811865476,62.0;2,NULL,62.0",
        ),
        (
            &format!("select o, stddev(distinct x) over (order by o rows between 1 preceding and current row) is null from {t} order by o"),
            "1,true;2,false;3,true;4,false;5,true",
        ),
        (&format!("select stddev(distinct x) over () from {t} where false"), ""),
        ("select stddev_pop(x) over (order by x rows between current row and current row) from (values (-2)) as t (x)", "0.0"),
        (&format!("select stddev(distinct x), count(*) from {t} where false"), "NULL,0"),
        // the value as an argument, or WITHIN GROUP
        (&format!("select percentile_cont(0.5) within group (order by x) over (partition by k) from {t} order by o"), "2.0;2.0;2.0;7.0;7.0"),
    ])
    .await;
    check_stock(
        &context(None),
        &[(&format!("select k, stddev(distinct x), avg(x) from {t} group by k"), "not available")],
    )
    .await;
}

/// `HashWindowAggExec` leaves FILTER to DataFusion's operator.
#[tokio::test]
async fn windows_with_a_filter() {
    let t = "(values (1, 1), (2, 1), (3, 2), (null, 2), (9, null)) as t (x, k)";
    check(&[
        (
            &format!(
                "select k, x, sum(x) filter (where x > 1) over (partition by k), count(*) filter (where x > 1) over \
                 (partition by k order by x), avg(x) filter (where x < 3) over (), count(x) over (partition by k) \
                 from {t} order by k, x"
            ),
            "1,1,2,0,1.5,2;1,2,2,1,1.5,2;2,3,3,1,1.5,1;2,NULL,3,1,1.5,1;NULL,9,9,1,1.5,1",
        ),
        (
            &format!("select k, max(x) filter (where false) over (partition by k), lag(x) over (partition by k order by x) from {t} where k = 1 order by x"),
            "1,NULL,NULL;1,NULL,1",
        ),
    ])
    .await;
}

/// Small build sides of a join by integers are looked up in an array, which DataFusion fails to build from a dictionary where
/// the probe side is a scan that takes filters.
#[tokio::test]
async fn joins_by_integers_in_dictionaries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.parquet");
    let keys = Int32Array::from(vec![Some(0), Some(1), None, Some(0)]);
    let keys = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(Int64Array::from(vec![10, 20]))).unwrap();
    let names = DictionaryArray::<Int32Type>::from_iter([Some("ab"), Some("abc"), None, Some("de")]);
    let columns: [(&str, ArrayRef); 3] =
        [("k", Arc::new(keys)), ("s", Arc::new(names)), ("n", Arc::new(Int64Array::from(vec![1, 2, 3, 4])))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    // a row group for each row: one of them is all NULL
    let rows_alone = WriterProperties::builder().set_max_row_group_row_count(Some(1)).build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(rows_alone)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let ours = context(Some(EngineOptions::default()));
    let stock = context(None);
    // a NULL among the values of a dictionary
    let values = datafusion::arrow::array::StringArray::from(vec![Some("ab"), None]);
    let labels = DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0, 1]), Arc::new(values)).unwrap();
    let labels = RecordBatch::try_from_iter_with_nullable([("s", Arc::new(labels) as ArrayRef, true)]).unwrap();
    for session in [&ours, &stock] {
        session.register_batch("labels", labels.clone()).unwrap();
        session.register_parquet("calls", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    }
    let by_key = "select a.n, b.n from calls as a join calls as b on a.k = b.k order by a.n, b.n";
    for (sql, expected) in [
        (by_key, "1,1;1,4;2,2;4,1;4,4"),
        (
            "select a.n, b.n from calls as a join calls as b on length(a.s) = length(b.s) order by a.n, b.n",
            "1,1;1,4;2,2;4,1;4,4",
        ),
        ("select s from labels intersect select s from calls order by s", "ab;NULL"),
        ("select length(s) as l from calls where n < 3 intersect select length(s) from calls order by l", "2;3"),
        ("select n from calls where k in (select k from calls where n = 4) order by n", "1;4"),
        (
            "select a.n, b.n from calls as a left join calls as b on a.k = b.k and b.n > 1 order by a.n, b.n",
            "1,4;2,2;3,NULL;4,4",
        ),
    ] {
        assert_eq!(rows(&ours, sql).await.unwrap_or_else(|error| error.to_string()), expected, "{sql}");
    }
    check_stock(&stock, &[(by_key, "Unsupported type for ArrayMap")]).await;
}

/// Row groups are not left out by the bounds of values that a cast puts into another order. By hand: of each group of rows the
/// first and last time of day are before noon, and one between them is after; the least and the largest number are not zero.
#[tokio::test]
async fn casts_into_another_order_leave_no_row_groups_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let hour = 3_600_000_000_i64;
    let hours = [1, 20, 25, 26, 45, 50].map(|hours| hours * hour);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("at", Arc::new(TimestampMicrosecondArray::from(hours.to_vec()))),
        ("zoned", Arc::new(TimestampMicrosecondArray::from(hours.to_vec()).with_timezone("UTC"))),
        ("n", Arc::new(Int64Array::from(vec![-1, 0, 1, -2, 0, 2]))),
        ("x", Arc::new(Float64Array::from(vec![-1.0, 0.0, 1.0, -2.0, 0.0, 2.0]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let cases = [
        ("select count(*) from t where cast(at as time) > time '12:00:00'", "2"),
        ("select count(*) from t where time '12:00:00' < zoned::time", "2"),
        ("select count(*) from t where try_cast(at as time) between time '20:00:00' and time '22:00:00'", "2"),
        ("select count(*) from t where cast(at as time) in (time '20:00:00', time '21:00:00')", "2"),
        ("select count(*) from t where not cast(n as boolean)", "2"),
        ("select count(*) from t where cast(n as boolean) = false", "2"),
        ("select count(*) from t where cast(x as boolean) is false", "2"),
    ];
    for options in [Some(EngineOptions::default()), None] {
        let is_stock = options.is_none();
        let session = context(options);
        session.register_parquet("t", path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
        if is_stock {
            check_stock(&session, &[(cases[0].0, "0")]).await;
            continue;
        }
        for (sql, expected) in cases {
            assert_eq!(rows(&session, sql).await.unwrap_or_else(|error| error.to_string()), expected, "{sql}");
        }
    }
}

//! Values of parameters: each means what a literal of its type means in its place.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, DurationMicrosecondArray,
    Float32Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch, StringArray, Time32SecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNano, i256};
use tonic::{Code, Status};

use crate::params::run;
use crate::server::{Client, Served, query};

/// Midnight of 2025-06-01 in Greenwich, in seconds since 1970: `date -ud 2025-06-01 +%s`.
const JUNE: i64 = 1_748_736_000;

/// The same in days.
const JUNE_DAY: i32 = 20_240;

const DAY: i64 = 86_400;

fn row(values: &[ArrayRef]) -> RecordBatch {
    let named = values.iter().enumerate().map(|(at, value)| (at.to_string(), Arc::clone(value), true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

fn int(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

fn null() -> ArrayRef {
    Arc::new(Int64Array::from(vec![None]))
}

fn float(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

fn decimal(value: i128, precision: u8, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn date(day: i32) -> ArrayRef {
    Arc::new(Date32Array::from(vec![day]))
}

fn instant(seconds: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000]).with_timezone("UTC"))
}

fn clock(seconds: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![seconds * 1_000_000]))
}

fn days(days: i32) -> ArrayRef {
    Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(0, days, 0)]))
}

fn number(batch: &RecordBatch) -> i64 {
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

/// The number of rows of a table, which are not all of them and not none.
async fn count(client: &mut Client, table: &str, condition: &str) -> i64 {
    let sql = format!("select count(*), (select count(*) from {table}) from {table} where {condition}");
    let batch = query(client, &sql).await.unwrap();
    let all = batch.column(1).as_primitive::<Int64Type>().value(0);
    assert!((1..all).contains(&number(&batch)), "{condition} does not divide the rows: {batch:?}");
    number(&batch)
}

/// Compares a condition with parameters with one without, which divides the rows.
async fn same(client: &mut Client, condition: &str, values: &[ArrayRef], literal: &str) {
    let expected = count(client, "interactions", literal).await;
    let sql = format!("select count(*) as n from interactions where {condition}");
    let got = run(client, &sql, row(values)).await.unwrap_or_else(|error| panic!("{condition}: {error:?}"));
    assert_eq!(number(&got), expected, "{condition} with {values:?} is not {literal}");
}

async fn refused(client: &mut Client, condition: &str, value: ArrayRef, wanted: &str) {
    let sql = format!("select count(*) as n from interactions where {condition}");
    let error: Status = run(client, &sql, row(&[value])).await.expect_err(condition);
    assert_eq!(error.code(), Code::InvalidArgument, "{condition}: {error:?}");
    assert!(error.message().contains(&format!("parameter $1: {wanted}")), "{condition}: {error:?}");
}

#[tokio::test]
async fn numbers_compare_as_numbers() {
    let served = Served::sample();
    let mut client = served.client().await;
    let client = &mut client;
    for value in
        [int(30), float(30.0), float(30.5), decimal(305, 3, 1), decimal(3_050, 38, 2), text("30"), text("30.5")]
    {
        same(client, "wait_s > ?", &[value], "wait_s > 30").await;
    }
    // numbers that are wider than the column
    let wide: [ArrayRef; 5] = [
        int(1 << 40),
        Arc::new(UInt64Array::from(vec![u64::MAX])),
        float(1e300),
        decimal(10_i128.pow(30), 31, 0),
        Arc::new(
            Decimal256Array::from(vec![i256::from_i128(10_i128.pow(30))]).with_precision_and_scale(50, 0).unwrap(),
        ),
    ];
    for value in wide {
        same(client, "wait_s < ?", &[value], "wait_s is not null").await;
    }
    same(client, "wait_s + ? > 100", &[float(0.5)], "wait_s >= 100").await;
    same(client, "wait_s in (?, ?)", &[float(30.5), int(30)], "wait_s = 30").await;
    same(client, "wait_s between ? and ?", &[float(29.5), decimal(305, 3, 1)], "wait_s = 30").await;
    same(client, "(wait_s, channel) = (?, ?)", &[int(30), text("phone")], "wait_s = 30 and channel = 'phone'").await;
    same(client, "wait_s > (select max(score) from surveys where score < ?)", &[float(5.5)], "wait_s > 5").await;
    let tenth: ArrayRef = Arc::new(Float32Array::from(vec![30.1]));
    same(client, "wait_s > ?", &[tenth], "wait_s > 30").await;
    // no row has half a second
    let sql = "select count(*) as n from interactions where wait_s = ?";
    for value in [float(30.5), decimal(305, 3, 1), text("30.5"), float(30.000_001)] {
        assert_eq!(number(&run(client, sql, row(&[value])).await.unwrap()), 0);
    }
    // each row of values has its own type
    let both: ArrayRef = Arc::new(Float64Array::from(vec![30.0, 30.5]));
    let batch = run(client, sql, row(&[both])).await.unwrap();
    let counts: Vec<i64> = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(counts, [count(client, "interactions", "wait_s = 30").await, 0]);
}

#[tokio::test]
async fn values_of_another_kind_are_refused_by_name() {
    let served = Served::sample();
    let mut client = served.client().await;
    let client = &mut client;
    let yes: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    same(client, "is_resolved = ?", &[Arc::clone(&yes)], "is_resolved").await;
    same(client, "is_resolved = ?", &[int(1)], "is_resolved").await;
    same(client, "is_resolved = ?", &[text("false")], "not is_resolved").await;
    for (condition, value, wanted) in [
        ("is_resolved = ?", int(2), "boolean is wanted, got bigint 2"),
        ("is_resolved = ?", float(0.5), "boolean is wanted, got double 0.5"),
        ("is_resolved = $1 or wait_s = $1", int(2), "boolean is wanted, got bigint 2"),
        ("wait_s > ?", Arc::clone(&yes), "integer is wanted, got boolean true"),
        ("wait_s > ?", text("soon"), "integer is wanted, got text 'soon'"),
        ("wait_s > ?", instant(JUNE), "integer is wanted, got timestamp with time zone"),
        ("started_at >= ?", int(2025), "timestamp with time zone is wanted, got bigint 2025"),
        ("cast(started_at as date) = ?", int(20_240), "date is wanted, got bigint 20240"),
        ("started_at > now() - ?", int(7), "`7` has no unit; write `7 days`"),
        ("wait_s > cast(? as integer)", float(30.5), "integer is wanted, got double 30.5; the statement casts it"),
        ("wait_s > ?::smallint", int(1 << 20), "smallint is wanted, got bigint 1048576; the statement casts it"),
        ("cast(started_at as date) = ?::date", clock(JUNE + 9), "date is wanted, got timestamp"),
        ("1 = 1 limit ?", float(1.5), "bigint is wanted, got double 1.5"),
    ] {
        refused(client, condition, value, wanted).await;
    }
    // what cannot be compared at all says which parameter it was
    let sql = "select count(*) from interactions where channel like ?";
    let error = run(client, sql, row(&[yes])).await.unwrap_err();
    assert!(error.message().contains("parameter $1: text is wanted, got boolean true"), "{error:?}");
}

#[tokio::test]
async fn moments_of_every_sort_divide_the_rows() {
    let served = Served::sample();
    let mut client = served.client().await;
    let client = &mut client;
    let june = "started_at >= timestamptz '2025-06-01T00:00:00Z'";
    let units: [ArrayRef; 4] = [
        Arc::new(TimestampSecondArray::from(vec![JUNE]).with_timezone("UTC")),
        Arc::new(TimestampMillisecondArray::from(vec![JUNE * 1_000]).with_timezone("+02:00")),
        Arc::new(TimestampNanosecondArray::from(vec![JUNE * 1_000_000_000]).with_timezone("UTC")),
        // what a clock on the wall showed is read in the time zone of the session
        clock(JUNE),
    ];
    for value in units {
        same(client, "started_at >= ?", &[value], june).await;
    }
    for value in [date(JUNE_DAY), text("2025-06-01"), text("2025-06-01 00:00:00"), text("2025-06-01T02:00:00+02:00")] {
        same(client, "started_at >= ?", &[value], june).await;
    }
    // a fraction of a microsecond after the last row before
    let sql = "select count(*) as n from interactions where started_at > ?";
    let fine = |nanos: i64| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(vec![JUNE * 1_000_000_000 + nanos]).with_timezone("UTC"))
    };
    let (before, after) =
        (run(client, sql, row(&[fine(-1)])).await.unwrap(), run(client, sql, row(&[fine(1)])).await.unwrap());
    assert_eq!(number(&before), count(client, "interactions", june).await);
    assert!(number(&before) >= number(&after));
    // dates
    let day = "started_at >= timestamptz '2025-06-02T00:00:00Z' and started_at < timestamptz '2025-06-03T00:00:00Z'";
    for value in [date(JUNE_DAY + 1), clock(JUNE + DAY), text("2025-06-02"), text("2025-06-02T00:00:00")] {
        same(client, "cast(started_at as date) = ?", &[value], day).await;
    }
    let later = "started_at >= timestamptz '2025-06-03T00:00:00Z'";
    for value in [clock(JUNE + DAY + 9 * 3_600), text("2025-06-02 09:00:00"), date(JUNE_DAY + 1)] {
        same(client, "cast(started_at as date) > ?", &[value], later).await;
    }
    // a time of day is no midnight of a date
    let sql = "select count(*) as n from interactions where cast(started_at as date) = ?";
    for value in [clock(JUNE + DAY + 9 * 3_600), text("2025-06-02 09:00:00")] {
        assert_eq!(number(&run(client, sql, row(&[value])).await.unwrap()), 0);
    }
    let noon: ArrayRef = Arc::new(Time32SecondArray::from(vec![43_200]));
    for value in [noon, text("12:00"), text("12:00:00")] {
        let sql = "select count(*) as n from (values (time '09:30:00'), (time '12:30:00'), (time '18:00:00')) t(at) where at > ?";
        assert_eq!(number(&run(client, sql, row(&[value])).await.unwrap()), 2);
    }
}

#[tokio::test]
async fn intervals_move_moments() {
    let served = Served::sample();
    let mut client = served.client().await;
    let client = &mut client;
    let june = "started_at >= timestamptz '2025-06-01T00:00:00Z'";
    let day: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![DAY * 1_000_000]));
    for (condition, values) in [
        ("started_at >= ? - interval '1 day'", vec![instant(JUNE + DAY)]),
        ("started_at >= ? - interval '1 day'", vec![date(JUNE_DAY + 1)]),
        ("started_at >= ? - interval '1 day'", vec![text("2025-06-02")]),
        ("started_at >= ? + interval '1 day'", vec![instant(JUNE - DAY)]),
        ("started_at >= interval '1 day' + ?", vec![instant(JUNE - DAY)]),
        ("started_at - interval '1 day' >= ?", vec![instant(JUNE - DAY)]),
        ("started_at + ? >= timestamptz '2025-06-02T00:00:00Z'", vec![days(1)]),
        ("started_at + ? >= timestamptz '2025-06-02T00:00:00Z'", vec![text("1 day")]),
        ("started_at >= ? - ?", vec![instant(JUNE + DAY), days(1)]),
        ("started_at >= ? - ?", vec![instant(JUNE + DAY), Arc::clone(&day)]),
        ("started_at >= ? - ?", vec![text("2025-06-02"), text("1 day")]),
        ("started_at >= ? + ?", vec![instant(JUNE - DAY), text("24 hours")]),
        ("started_at >= date_trunc('day', ?)", vec![instant(JUNE + 3_600)]),
        ("started_at >= date_trunc('day', ?)", vec![text("2025-06-01 11:00")]),
        ("started_at >= date_trunc(?, ?)", vec![text("day"), instant(JUNE + 3_600)]),
        ("started_at - ? >= interval '0 days'", vec![instant(JUNE)]),
        ("? <= started_at", vec![instant(JUNE)]),
        ("case when true then started_at >= ? else false end", vec![instant(JUNE)]),
        ("started_at >= coalesce(?, started_at)", vec![instant(JUNE)]),
        ("started_at >= case when wait_s > 0 then ? else ? end", vec![instant(JUNE), instant(JUNE)]),
    ] {
        same(client, condition, &values, june).await;
    }
    same(
        client,
        "started_at between ? and ? + interval '1 day'",
        &[instant(JUNE), instant(JUNE)],
        "started_at between timestamptz '2025-06-01T00:00:00Z' and timestamptz '2025-06-02T00:00:00Z'",
    )
    .await;
    same(client, "started_at < now() - ?", &[text("1 day")], "started_at < now() - interval '1 day'").await;
}

#[tokio::test]
async fn parameters_of_intervals_are_announced_as_what_clients_can_bind() {
    let served = Served::sample();
    let client = &mut served.client().await;
    let at = "Timestamp(ms, \"UTC\")";
    for (sql, expected) in [
        ("select * from interactions where started_at >= ? - interval '1 day'", vec![at]),
        ("select * from interactions where started_at >= ? - ?", vec![at, "Utf8"]),
        ("select * from interactions where started_at between ? and ? + interval '1 day'", vec![at, at]),
        ("select * from interactions where cast(started_at as date) = ? - interval '1 day'", vec!["Date32"]),
        ("select ? + interval '1 day'", vec![at]),
        ("select date_trunc('day', ?)", vec![at]),
        ("select * from interactions where date_trunc(?, started_at) = ?", vec!["Utf8", at]),
        ("select * from interactions where wait_s > ? and wait_s < cast(? as smallint)", vec!["Int64", "Int64"]),
        ("select * from interactions where cast(started_at as time) > ?", vec!["Time32(ms)"]),
        ("select * from interactions where wait_s > $1 or talk_s * 1.5 > $1", vec!["Float64"]),
        ("select * from generate_series(1, ?)", vec!["Int64"]),
        ("select * from generate_series(timestamp '2025-01-01', ?, ?)", vec!["Timestamp(ms)", "Utf8"]),
    ] {
        let prepared = client.prepare(sql.to_owned(), None).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let schema = prepared.parameter_schema().unwrap();
        let types: Vec<String> = schema.fields().iter().map(|field| field.data_type().to_string()).collect();
        assert_eq!(types, expected, "{sql}");
    }
}

#[tokio::test]
async fn results_have_the_types_of_their_values() {
    let served = Served::sample();
    let client = &mut served.client().await;
    for (sql, values, expected) in [
        ("select ? + interval '1 day' as a", vec![date(JUNE_DAY)], DataType::Date32),
        ("select wait_s + ? as a from interactions limit 1", vec![float(0.5)], DataType::Float64),
        ("select wait_s + ? as a from interactions limit 1", vec![int(1)], DataType::Int64),
    ] {
        let batch = run(client, sql, row(&values)).await.unwrap();
        assert_eq!(batch.column(0).data_type(), &expected, "{sql}");
    }
}

#[tokio::test]
async fn table_functions_take_parameters() {
    let served = Served::sample();
    let client = &mut served.client().await;
    for (sql, values, expected) in [
        ("select count(*) from generate_series(1, ?)", vec![int(3)], 3),
        ("select count(*) from generate_series(?, ?, ?)", vec![int(1), int(9), int(4)], 3),
        ("select count(*) from generate_series(1, ? + 1)", vec![int(3)], 4),
        ("select count(*) from range(?, 5)", vec![int(-5)], 10),
        ("select sum(x) from generate_series(1, $1) a(x) where x < $1", vec![int(4)], 6),
        (
            "select count(*) from generate_series(timestamp '2025-06-01', ?, ?)",
            vec![clock(JUNE + 2 * DAY), text("1 day")],
            3,
        ),
        ("select count(*) from generate_series(?, date '2025-06-03', interval '1 day')", vec![date(JUNE_DAY)], 3),
        ("select count(*) from generate_series(1, ?)", vec![null()], 0),
    ] {
        let batch = run(client, sql, row(&values)).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(number(&batch), expected, "{sql}");
    }
    let rows: ArrayRef = Arc::new(Int64Array::from(vec![2, 0, 1]));
    let batch = run(client, "select value from generate_series(1, ?)", row(&[rows])).await.unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 1]);
    let error = run(client, "select * from generate_series(1, ?)", row(&[float(2.5)])).await.unwrap_err();
    assert!(error.message().contains("parameter $1: bigint is wanted, got double 2.5"), "{error:?}");
}

//! Times of several zones and of none in one statement, in a session of Berlin: the zone of the session stays, and what has no zone is
//! a local time of it.
//!
//! Expected values, unless a comment says otherwise: PostgreSQL 15 with `set time zone 'Europe/Berlin'`, run for each statement.

use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::arrow::array::{
    ArrayRef, Date32Array, Int32Array, RecordBatch, TimestampMicrosecondArray, TimestampNanosecondArray, UInt32Array,
};
use datafusion::prelude::SessionContext;

use super::{context, rows};

/// `ev`, one row: `at` and `en` are 00:30 and 01:30 of 6 March 2025 in Berlin, stored in UTC, in microseconds and nanoseconds; `tk` is
/// `at` of Tokyo, `lo` midnight without a zone, `d` that day; `b` and `u` are 2025-01-01 00:00 UTC in seconds.
fn with_events(zone: &str) -> SessionContext {
    let context = context(Some(EngineOptions::default()), zone);
    let at = 1_741_217_400;
    let micros = || TimestampMicrosecondArray::from_iter_values([at * 1_000_000]);
    let columns: [(&str, ArrayRef); 8] = [
        ("n", Arc::new(Int32Array::from_iter_values([1]))),
        ("at", Arc::new(micros().with_timezone("UTC"))),
        (
            "en",
            Arc::new(TimestampNanosecondArray::from_iter_values([(at + 3600) * 1_000_000_000]).with_timezone("UTC")),
        ),
        ("tk", Arc::new(micros().with_timezone("Asia/Tokyo"))),
        ("lo", Arc::new(TimestampMicrosecondArray::from_iter_values([(at + 1800) * 1_000_000]))),
        ("d", Arc::new(Date32Array::from_iter_values([20_153]))),
        ("b", Arc::new(Int32Array::from_iter_values([1_735_689_600]))),
        ("u", Arc::new(UInt32Array::from_iter_values([1_735_689_600]))),
    ];
    context.register_batch("ev", RecordBatch::try_from_iter(columns).unwrap()).unwrap();
    context
}

async fn check(zone: &str, cases: &[(&str, &[&str])]) {
    let context = with_events(zone);
    for (sql, expected) in cases {
        match rows(&context, sql, true).await {
            Ok(mut found) => {
                found.sort();
                assert_eq!(found, *expected, "{zone}: {sql}");
            }
            Err(error) => panic!("{zone}: {sql}: {error}"),
        }
    }
}

#[tokio::test]
async fn set_operations_keep_the_zone_of_the_session() {
    let half_past = "2025-03-06T00:30:00+01:00 | 2025-03-06";
    let later = "2025-03-06T01:30:00+01:00 | 2025-03-06";
    let midnight = "2025-03-06T00:00:00+01:00 | 2025-03-06";
    check(
        "Europe/Berlin",
        &[
            ("select t, t::date as day from (select at t from ev union all select at from ev)", &[half_past, half_past]),
            ("select t, t::date as day from (select at t from ev union all select en from ev)", &[half_past, later]),
            (
                "select t, t::date as day from (select at t from ev union all select timestamptz '2025-03-05 23:30Z')",
                &[half_past, half_past],
            ),
            ("select t, t::date as day from (select at t from ev union select en from ev)", &[half_past, later]),
            ("select t, t::date as day from (select at t from ev union by name select 1 x, en t from ev)", &[half_past, later]),
            ("select t, t::date as day from (select 1 x union by name select at t from ev)", &[half_past, "NULL | NULL"]),
            ("select t, t::date as day from (select null t union all select at from ev)", &[half_past, "NULL | NULL"]),
            ("select t, t::date as day from (select at t from ev union all select lo from ev)", &[midnight, half_past]),
            ("select t, t::date as day from (select lo t from ev union all select at from ev)", &[midnight, half_past]),
            ("select t, t::date as day from (select d t from ev union all select at from ev)", &[midnight, half_past]),
            ("select t, t::date as day from (select at t from ev intersect select at from ev)", &[half_past]),
            ("select t, t::date as day from (select at t from ev except select en from ev)", &[half_past]),
            (
                "with c as (select at t from ev union all select en from ev) select date_trunc('day', t) from c group by 1",
                &["2025-03-06T00:00:00+01:00"],
            ),
            (
                "with recursive c as (select at t, 1 k from ev union all select t + interval '1 day', k + 1 from c where k < 2) select t, t::date as day from c",
                &[half_past, "2025-03-07T00:30:00+01:00 | 2025-03-07"],
            ),
            ("select (select max(t) from (select at t from ev union all select a.at) s) from ev a", &["2025-03-06T00:30:00+01:00"]),
            (
                "select n from ev a where exists (select 1 from (select at t from ev union all select en from ev) s where s.t = a.lo + interval '30 minutes')",
                &["1"],
            ),
            (
                "select count(*) from ev where at in (select lo + interval '30 minutes' from ev union all select lo from ev)",
                &["1"],
            ),
            (
                "select extract(hour from s.t), x.t::date from (select at t from ev union all select en from ev) s join (select at t from ev union all select at from ev) x using (t)",
                &["0 | 2025-03-06", "0 | 2025-03-06"],
            ),
            // the first column that has another zone in its file keeps it, as that of Tokyo alone; by decision
            ("select t from (select tk t from ev union all select tk from ev)", &["2025-03-06T08:30:00+09:00", "2025-03-06T08:30:00+09:00"]),
            ("select t from (select at t from ev union all select tk from ev)", &["2025-03-06T00:30:00+01:00", "2025-03-06T00:30:00+01:00"]),
            ("select column1::date from (values (timestamptz '2025-03-05 23:30Z'), (timestamp '2025-03-05 23:30'))", &["2025-03-05", "2025-03-06"]),
        ],
    )
    .await;
    check(
        "UTC",
        &[(
            "select t, t::date as day from (select at t from ev union all select at from ev)",
            &["2025-03-05T23:30:00Z | 2025-03-05"; 2],
        )],
    )
    .await;
}

/// Both Sundays in Berlin on which clocks go back have two hours from 02:00: in UTC they differ.
#[tokio::test]
async fn dates_beside_points_in_time_are_local_midnights() {
    check(
        "Europe/Berlin",
        &[
            ("select coalesce(d, at), coalesce(cast(null as date), at) from ev", &["2025-03-06T00:00:00+01:00 | 2025-03-06T00:30:00+01:00"]),
            ("select case when n = 2 then d else at end, case when n = 1 then d else at end from ev", &["2025-03-06T00:30:00+01:00 | 2025-03-06T00:00:00+01:00"]),
            ("select greatest(at, d), least(at, d), nvl(at, d) from ev", &["2025-03-06T00:30:00+01:00 | 2025-03-06T00:00:00+01:00 | 2025-03-06T00:30:00+01:00"]),
            ("select coalesce(lo, at), coalesce(at, lo), case when n = 1 then lo else at end from ev", &["2025-03-06T00:00:00+01:00 | 2025-03-06T00:30:00+01:00 | 2025-03-06T00:00:00+01:00"]),
            ("select count(*) from (select coalesce(cast(null as date), at) t from ev) x where exists (select 1 from ev b where b.at = x.t)", &["1"]),
            (
                "select count(distinct t) from (select d t from ev union all select timestamptz '2025-10-26 00:30Z' union all select timestamptz '2025-10-26 01:30Z')",
                &["3"],
            ),
        ],
    )
    .await;
    check(
        "UTC",
        &[(
            "select coalesce(cast(null as date), at), coalesce(d, at) from ev",
            &["2025-03-05T23:30:00Z | 2025-03-06T00:00:00Z"],
        )],
    )
    .await;
}

#[tokio::test]
async fn differences_read_local_times_in_the_zone_of_the_session() {
    let shown = |sql: &str| format!("select {sql} from ev");
    for (difference, berlin, utc) in [
        ("at - lo", "00:30:00", "-00:30:00"),
        ("lo - at", "-00:30:00", "00:30:00"),
        ("en - lo", "01:30:00", "00:30:00"),
        ("at - timestamp '2025-01-01'", "64 days 00:30:00", "63 days 23:30:00"),
        ("at - date_trunc('day', at)::timestamp", "00:30:00", "23:30:00"),
        ("(d + interval '1 hour') - at", "00:30:00", "01:30:00"),
        ("at - d", "00:30:00", "-00:30:00"),
        ("d - at", "-00:30:00", "00:30:00"),
        ("max(lo) - min(at)", "-00:30:00", "00:30:00"),
        // a local time that does not exist
        ("at - timestamp '2025-03-30 02:30'", "-24 days -02:00:00", "-24 days -03:00:00"),
        ("at - timestamptz '2025-03-05 23:00Z'", "00:30:00", "00:30:00"),
        ("coalesce(en, now()) - at", "01:00:00", "01:00:00"),
        ("max(en) - min(at)", "01:00:00", "01:00:00"),
        // the column of Tokyo is the same point in time; a local time beside it is one of Tokyo (docs/times.md)
        ("at - tk", "00:00:00", "00:00:00"),
        ("tk - at", "00:00:00", "00:00:00"),
        ("en - tk", "01:00:00", "01:00:00"),
        ("tk - en", "-01:00:00", "-01:00:00"),
        ("tk - lo", "08:30:00", "08:30:00"),
        ("lo - tk", "-08:30:00", "-08:30:00"),
        ("arrow_cast(en, 'Timestamp(us, \"UTC\")') - at", "01:00:00", "01:00:00"),
        ("at - arrow_cast(en, 'Timestamp(us, \"UTC\")')", "-01:00:00", "-01:00:00"),
    ] {
        let sql = shown(&format!("cast({difference} as varchar)"));
        check("Europe/Berlin", &[(&sql, &[berlin])]).await;
        check("UTC", &[(&sql, &[utc])]).await;
        // in a view of a union too
        let sql = format!(
            "select cast({difference} as varchar) from (select * from ev union all select * from ev where n = 2)"
        );
        check("Europe/Berlin", &[(&sql, &[berlin])]).await;
    }
    let later =
        "select now() - at > interval '1 day', now() - tk > interval '1 day', at - now() < interval '0 days' from ev";
    check("Europe/Berlin", &[(later, &["true | true | true"])]).await;
    check("UTC", &[(later, &["true | true | true"])]).await;
}

#[tokio::test]
async fn seconds_since_1970_are_points_in_time() {
    let shown = "2025-01-01T01:00:00+01:00";
    check(
        "Europe/Berlin",
        &[
            ("select to_timestamp(b), to_timestamp(u) from ev", &[&format!("{shown} | {shown}")]),
            ("select to_timestamp(b::bigint), to_timestamp(1735689600) from ev", &[&format!("{shown} | {shown}")]),
            (
                "select extract(epoch from to_timestamp(b)), to_timestamp(b::double) = to_timestamp(b) from ev",
                &["1735689600.0 | true"],
            ),
            (
                "select to_timestamp(cast(n as smallint)), to_timestamp(cast(null as int)) is null from ev",
                &["1970-01-01T01:00:01+01:00 | true"],
            ),
            // an hour that exists twice, and one that does not
            (
                "select to_timestamp(1761438600), to_timestamp(1761442200), to_timestamp(1743298200)",
                &["2025-10-26T02:30:00+02:00 | 2025-10-26T02:30:00+01:00 | 2025-03-30T03:30:00+02:00"],
            ),
            (
                "select to_timestamp_seconds(b), to_timestamp_millis(1735689600000) from ev",
                &[&format!("{shown} | {shown}")],
            ),
            (
                "select to_timestamp(lo), to_timestamp(timestamp '2025-03-30 02:30') from ev",
                &["2025-03-06T00:00:00+01:00 | 2025-03-30T03:30:00+02:00"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn times_without_seconds_are_arguments() {
    check(
        "Europe/Berlin",
        &[
            ("select to_timestamp('2025-01-01 10:00'), to_timestamp('2025-01-01 10:00Z')", &["2025-01-01T10:00:00 | 2025-01-01T11:00:00+01:00"]),
            (
                "select to_timestamp(t) from (values ('2025-01-01 10:00'), ('2025-01-01 10:00Z'), ('2025-03-30 02:30:00'), ('2025-10-26 02:30'), (null)) v (t)",
                &["2025-01-01T10:00:00+01:00", "2025-01-01T11:00:00+01:00", "2025-03-30T03:30:00+02:00", "2025-10-26T02:30:00+01:00", "NULL"],
            ),
            // digits are cut off, as DataFusion does
            ("select to_timestamp_seconds('2025-01-01 10:00:00.7'), to_timestamp_millis(t) from (values ('2025-01-01 10:00:00.7777+01')) v (t)", &["2025-01-01T10:00:00 | 2025-01-01T10:00:00.777+01:00"]),
            ("select to_date('2025-03-29 08:00'), to_date('2025-03-29'), to_unixtime('2025-01-01 01:00'), to_unixtime('2025-01-01 00:00Z')", &["2025-03-29 | 2025-03-29 | 1735689600 | 1735689600"]),
            ("select * from generate_series(timestamp '2025-03-29 08:00', '2025-03-29 09:00'::timestamp, interval '1 hour')", &["2025-03-29T08:00:00", "2025-03-29T09:00:00"]),
            ("select * from range(timestamptz '2025-03-29 08:00', timestamptz '2025-03-29 08:00Z', interval '1 hour')", &["2025-03-29T08:00:00+01:00"]),
            ("select lag(at, 1, '2025-03-05 23:30') over (order by n), lag(lo, 1, '2025-03-05 23:30') over (order by n) from ev", &["2025-03-05T23:30:00+01:00 | 2025-03-05T23:30:00"]),
            ("select lead(at, 1, timestamp '2025-03-30 02:30') over (partition by n order by n), lead(d, 1, '2025-03-05 23:30') over (partition by n order by n) from ev", &["2025-03-30T03:30:00+02:00 | 2025-03-05"]),
        ],
    )
    .await;
    let context = with_events("Europe/Berlin");
    for (sql, part) in [
        ("select to_timestamp('never')", "cannot cast string 'never' to a timestamp"),
        ("select to_timestamp_seconds('31.01.2025')", "cannot cast string '31.01.2025' to a timestamp"),
        ("select lag(at, 1, 'never') over (order by n) from ev", "cannot cast string 'never' to a timestamp"),
    ] {
        let error = rows(&context, sql, true).await.unwrap_err().to_string();
        assert!(error.contains(part), "{sql}: {error}");
    }
}

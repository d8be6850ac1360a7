//! Business time against figures that `expected/business_time_reference.py` counted minute by minute, and against itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cxql_udfs::business_time::{self, CalendarDefinition, Calendars, DateRange, DayHours, HoursChange, WeeklyHours};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};

fn hours(spans: &str) -> DayHours {
    DayHours::parse([spans]).unwrap()
}

fn week(days: &[(&str, &str)]) -> WeeklyHours {
    let mut week = WeeklyHours::default();
    for (days, spans) in days {
        week.set(days, hours(spans)).unwrap();
    }
    week
}

fn calendar(zone: &str, days: &[(&str, &str)]) -> CalendarDefinition {
    CalendarDefinition { time_zone: Some(zone.to_owned()), hours: Some(week(days)), ..CalendarDefinition::default() }
}

fn dates(ranges: &[&str]) -> Vec<DateRange> {
    ranges.iter().map(|range| DateRange::parse(range).unwrap()).collect()
}

/// The calendars of the Python script.
fn calendars() -> Calendars {
    let support = CalendarDefinition {
        extends: Some("de".to_owned()),
        hours: Some(week(&[("mon-fri", "08:00-12:00, 12:45-18:00"), ("sat", "10:00-14:00")])),
        working_day_hours: Some(hours("08:00-16:00")),
        changes: vec![HoursChange { from: "2025-07-01".parse().unwrap(), hours: week(&[("mon-sat", "07:00-19:30")]) }],
        holidays: dates(&["2024-12-24", "2024-12-31", "2023-12-27..2023-12-29"]),
        working_days: dates(&["2024-03-17", "2025-10-03"]),
        special_days: BTreeMap::from([("2024-12-23".parse().unwrap(), hours("10:00-12:00"))]),
        ..CalendarDefinition::default()
    };
    let nights = &[("sun", "22:00-06:00"), ("mon-thu", "22:00-06:00")];
    let night = CalendarDefinition { holidays: dates(&["2025-11-27"]), ..calendar("America/New_York", nights) };
    let definitions = [
        ("support", support),
        ("night", night),
        ("early", calendar("Europe/Berlin", &[("mon-sun", "01:00-02:30, 02:45-03:15")])),
        ("midnight", calendar("America/Sao_Paulo", &[("mon-sun", "20:00-01:00")])),
        ("half", calendar("Australia/Lord_Howe", &[("mon-sun", "00:00-24:00")])),
        ("half_days", calendar("Australia/Lord_Howe", &[("mon-sun", "01:15-02:20")])),
        ("far", calendar("America/New_York", &[("mon-fri", "00:30-13:00")])),
    ];
    let definitions = definitions.into_iter().map(|(name, definition)| (name.to_owned(), definition));
    Calendars::new(definitions.collect()).unwrap()
}

fn session() -> Result<SessionContext> {
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_batch_size(100));
    cxql_udfs::register_all(&mut *ctx.state_ref().write())?;
    business_time::register(&mut *ctx.state_ref().write(), &Arc::new(calendars()))?;
    Ok(ctx)
}

async fn rows(ctx: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let batches = ctx.sql(sql).await?.collect().await?;
    Ok(concat_batches(&batches[0].schema(), &batches)?)
}

#[tokio::test]
async fn figures_are_those_that_were_counted_minute_by_minute() -> Result<()> {
    let ctx = session()?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected/business_time_expected.csv");
    let text = std::fs::read_to_string(path)?;
    let cases: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert!(cases.len() > 250, "{} cases", cases.len());
    let values: Vec<String> = cases
        .iter()
        .map(|case| {
            let [calendar, start, end, business, is_open, next_open, s, added] = case[..] else { panic!("{case:?}") };
            format!(
                "('{calendar}', timestamptz '{start}', timestamptz '{end}', {business}, {is_open}, \
                 timestamptz '{next_open}', {s}, timestamptz '{added}')"
            )
        })
        .collect();
    let table = format!(
        "create table cases (calendar text, start_at timestamptz, end_at timestamptz, business double, is_open boolean, next_open \
         timestamptz, s bigint, added timestamptz) as values {}",
        values.join(", ")
    );
    ctx.sql(&table).await?.collect().await?;
    let count = rows(&ctx, "select count(*) from cases").await?;
    assert_eq!(count.column(0).as_primitive::<Int64Type>().value(0), i64::try_from(cases.len()).unwrap());
    let wrong = "select * from (
            select
                *,
                business_s(start_at, end_at, calendar) as got_business,
                is_business_time(start_at, calendar) as got_is_open,
                next_business_time(start_at, calendar) as got_next_open,
                business_add(start_at, s, calendar) as got_added
            from cases
        ) as answers
        where (got_business is distinct from business) or (got_is_open is distinct from is_open)
            or (got_next_open is distinct from next_open) or (got_added is distinct from added)";
    let wrong = ctx.sql(wrong).await?.collect().await?;
    let count: usize = wrong.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count, 0, "\n{}", pretty_format_batches(&wrong)?);
    Ok(())
}

/// Days, hours and calendars of every kind: what is added is what lies between, parts add up to the whole, a constant calendar
/// is the same as a column of it.
#[tokio::test]
async fn business_time_adds_up() -> Result<()> {
    let ctx = session()?;
    let wrong = "
        with calendars as (
            select column1 as calendar
            from (values ('de'), ('cn'), ('support'), ('night'), ('early'), ('midnight'), ('half'), ('half_days'), ('far'))
        ),
        ticks as (
            select
                calendar,
                1454284800000000 + value * 61 * 4033250000 as a_us,
                1725148800000000 - value * 37 * 1031500000 as b_us,
                (value * 7919 % 20011 - 10000) * 37.5 as s
            from calendars cross join generate_series(1, 900) as numbers (value)
        ),
        times as (
            select
                *,
                arrow_cast(a_us, 'Timestamp(Microsecond, Some(\"UTC\"))') as a,
                arrow_cast(b_us, 'Timestamp(Microsecond, Some(\"UTC\"))') as b
            from ticks
        ),
        figures as (
            select
                *,
                business_s(a, b, calendar) as forth,
                business_s(b, a, calendar) as back,
                business_s(a, timestamptz '2020-02-29T12:00:00Z', calendar) as first_part,
                business_s(timestamptz '2020-02-29T12:00:00Z', b, calendar) as second_part,
                business_add(a, s, calendar) as added,
                next_business_time(a, calendar) as next_at
            from times
        )
        select * from figures
        where forth is null or forth <> -back or forth <> first_part + second_part or abs(forth) > abs(b_us - a_us) / 1e6
            or added is null or business_s(a, added, calendar) <> s
            or s > 0 and added <= a or s < 0 and added >= a or s = 0 and added <> a
            or business_s(a, next_at, calendar) <> 0
            or not is_business_time(next_at, calendar)
            or is_business_time(a, calendar) <> (next_at = a)
            or calendar = 'cn' and (forth is distinct from business_s(a, b, 'cn'))
            or calendar = 'night' and (added is distinct from business_add(a, s, 'night'))";
    let wrong = ctx.sql(wrong).await?.collect().await?;
    let count: usize = wrong.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(count, 0, "\n{}", pretty_format_batches(&wrong)?);
    Ok(())
}

/// Every unit of timestamps, with and without a zone, gives the same.
#[tokio::test]
async fn units_and_zones_do_not_matter() -> Result<()> {
    let ctx = session()?;
    for unit in ["Second", "Millisecond", "Microsecond", "Nanosecond"] {
        for zone in ["None", "Some(\"UTC\")", "Some(\"Asia/Shanghai\")", "Some(\"+05:30\")"] {
            let time = |text: &str| {
                format!("arrow_cast(arrow_cast('{text}', 'Timestamp({unit}, None)'), 'Timestamp({unit}, {zone})')")
            };
            // what the session reads in the zone is put back to the same point in time
            let shift = match zone {
                "Some(\"Asia/Shanghai\")" => " + interval '8 hours'",
                "Some(\"+05:30\")" => " + interval '5 hours 30 minutes'",
                _ => "",
            };
            let start = format!("{}{shift}", time("2025-03-28 15:30:00"));
            let end = format!("{}{shift}", time("2025-03-31 08:15:00"));
            // Friday 16:30 to Monday 10:15 in Berlin: 30 minutes and 75 minutes
            let batch = rows(&ctx, &format!("select business_s({start}, {end}, 'de')")).await?;
            assert_eq!(batch.column(0).as_primitive::<Float64Type>().value(0), 6300.0, "{unit} {zone}");
            let kept = format!("select arrow_typeof(business_add({start}, 60, 'de')) = arrow_typeof({start})");
            assert!(rows(&ctx, &kept).await?.column(0).as_boolean().value(0), "{unit} {zone}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_calendar_is_an_error_of_planning_that_lists_the_names() -> Result<()> {
    let ctx = session()?;
    let error = ctx.sql("select business_s(now(), now(), 'suport')").await.unwrap_err().strip_backtrace();
    let message = "Error during planning: business_s: calendar must be one of cn, de, early, far, half, half_days, midnight, night or \
                   support, got 'suport'; did you mean 'support'?; cxql.toml adds others under [calendars.NAME]";
    assert_eq!(error, message);
    Ok(())
}

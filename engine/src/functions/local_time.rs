//! Local time: conversion between UTC and the wall clock of a time zone, with an answer for every local time.
//!
//! Where clocks go forward, a local time does not exist: it is read with the offset before the change, which shifts it forward
//! (02:30 in Berlin on 30 March 2025 is 03:30+02:00). Where they go back, a local time exists twice: the second one is meant,
//! standard time in most zones (02:30 on 26 October 2025 is 02:30+01:00).
//!
//! Source: PostgreSQL, `DetermineTimeZoneOffset` in datetime.c; DuckDB answers the same. Arrow's kernels fail with "Cannot cast
//! timezone to different timezone", or return NULL.

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion::common::{exec_datafusion_err, exec_err, internal_err};
use datafusion::error::Result;

use super::ticks_per_second;

const DAY_S: i64 = 86_400;

/// A time zone as a clock. Times are seconds from 1970-01-01, UTC or local.
#[derive(Debug)]
pub(crate) struct LocalClock {
    zone: Tz,
    /// UTC seconds of one offset, and that offset.
    known: (Range<i64>, i64),
    /// Local seconds of one offset, and that offset.
    known_local: (Range<i64>, i64),
}

impl LocalClock {
    /// # Errors
    /// No such time zone.
    pub(crate) fn new(zone: &str) -> Result<Self> {
        match Tz::from_str(zone) {
            Ok(zone) => Ok(Self { zone, known: (0..0, 0), known_local: (0..0, 0) }),
            Err(_) => exec_err!(
                "`{zone}` is no time zone; a name such as Europe/Berlin or an offset such as +01:00 is wanted"
            ),
        }
    }

    fn lookup(&self, utc: i64) -> Option<i64> {
        let utc = DateTime::from_timestamp(utc, 0)?.naive_utc();
        Some(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc().into())
    }

    /// The offset at a UTC time; `None` beyond the calendar.
    pub(crate) fn offset(&mut self, utc: i64) -> Option<i64> {
        if self.known.0.contains(&utc) {
            return Some(self.known.1);
        }
        // no zone changes its clock twice within a day
        let day = utc.div_euclid(DAY_S).checked_mul(DAY_S)?;
        let (start, end) = (self.lookup(day)?, self.lookup(day.checked_add(DAY_S)?)?);
        if start == end {
            self.known = (day..day + DAY_S, start);
            return Some(start);
        }
        self.lookup(utc)
    }

    /// The UTC time of a local time; see the module.
    pub(crate) fn utc(&mut self, local: i64) -> Option<i64> {
        if self.known_local.0.contains(&local) {
            return Some(local - self.known_local.1);
        }
        let day = local.div_euclid(DAY_S).checked_mul(DAY_S)?;
        let before = self.lookup(day.checked_sub(DAY_S)?)?;
        let after = self.lookup(day.checked_add(2 * DAY_S)?)?;
        if before == after {
            self.known_local = (day..day + DAY_S, before);
            return Some(local - before);
        }
        let is_after = self.lookup(local - after)? == after;
        Some(local - if is_after { after } else { before })
    }
}

/// Ticks of timestamps of any unit; the time zone is dropped.
pub(crate) fn ticks(timestamps: &ArrayRef) -> Result<Int64Array> {
    Ok(match timestamps.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => timestamps.as_primitive::<TimestampSecondType>().reinterpret_cast(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            timestamps.as_primitive::<TimestampMillisecondType>().reinterpret_cast()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            timestamps.as_primitive::<TimestampMicrosecondType>().reinterpret_cast()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            timestamps.as_primitive::<TimestampNanosecondType>().reinterpret_cast()
        }
        other => return internal_err!("timestamps were expected, not {other}"),
    })
}

/// Ticks as timestamps.
pub(crate) fn timestamps(ticks: &Int64Array, unit: TimeUnit, zone: Option<Arc<str>>) -> ArrayRef {
    match unit {
        TimeUnit::Second => {
            Arc::new(ticks.reinterpret_cast::<TimestampSecondType>().with_timezone_opt(zone)) as ArrayRef
        }
        TimeUnit::Millisecond => Arc::new(ticks.reinterpret_cast::<TimestampMillisecondType>().with_timezone_opt(zone)),
        TimeUnit::Microsecond => Arc::new(ticks.reinterpret_cast::<TimestampMicrosecondType>().with_timezone_opt(zone)),
        TimeUnit::Nanosecond => Arc::new(ticks.reinterpret_cast::<TimestampNanosecondType>().with_timezone_opt(zone)),
    }
}

/// Changes the whole seconds of ticks; fractions stay. What `change` cannot answer is an error, or NULL.
pub(crate) fn with_seconds(
    ticks: &Int64Array,
    unit: TimeUnit,
    is_safe: bool,
    mut change: impl FnMut(i64) -> Option<i64>,
) -> Result<Int64Array> {
    let second = ticks_per_second(unit);
    let mut changed = |ticks: i64| -> Option<i64> {
        let seconds = change(ticks.div_euclid(second))?;
        seconds.checked_mul(second)?.checked_add(ticks.rem_euclid(second))
    };
    let changed = ticks.iter().map(|ticks| match ticks.map(&mut changed) {
        Some(None) if !is_safe => exec_err!("a timestamp is beyond the range of Timestamp({unit})"),
        changed => Ok(changed.flatten()),
    });
    changed.collect()
}

/// Zoned timestamps as the local time of their zone, without a zone; others unchanged.
pub(crate) fn as_local(values: &ArrayRef, is_safe: bool) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, Some(zone)) = values.data_type() else { return Ok(Arc::clone(values)) };
    let mut clock = LocalClock::new(zone)?;
    let local = with_seconds(&ticks(values)?, *unit, is_safe, |utc| utc.checked_add(clock.offset(utc)?))?;
    Ok(timestamps(&local, *unit, None))
}

/// Timestamps without a zone as local times of `zone`.
pub(crate) fn from_local(
    values: &ArrayRef,
    zone: &Arc<str>,
    result: Option<Arc<str>>,
    is_safe: bool,
) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, None) = values.data_type() else {
        return internal_err!("local times were expected, not {}", values.data_type());
    };
    let mut clock = LocalClock::new(zone)?;
    let utc = with_seconds(&ticks(values)?, *unit, is_safe, |local| clock.utc(local))?;
    Ok(timestamps(&utc, *unit, result))
}

/// Another unit; a value beyond its range is an error, or NULL.
pub(crate) fn to_unit(values: &ArrayRef, unit: TimeUnit, is_safe: bool) -> Result<ArrayRef> {
    let DataType::Timestamp(from, zone) = values.data_type() else {
        return internal_err!("timestamps were expected, not {}", values.data_type());
    };
    if *from == unit {
        return Ok(Arc::clone(values));
    }
    let (from, to) = (ticks_per_second(*from), ticks_per_second(unit));
    let change = |ticks: i64| if to >= from { ticks.checked_mul(to / from) } else { Some(ticks.div_euclid(from / to)) };
    let before = ticks(values)?;
    let after: Int64Array = if is_safe {
        before.unary_opt::<_, Int64Type>(change)
    } else {
        before.try_unary(|ticks| {
            change(ticks).ok_or_else(|| exec_datafusion_err!("a timestamp is beyond the range of Timestamp({unit})"))
        })?
    };
    Ok(timestamps(&after, unit, zone.clone()))
}

/// Dates as midnights; a date beyond the unit's range is an error, or NULL.
pub(crate) fn midnights(dates: &ArrayRef, unit: TimeUnit, is_safe: bool) -> Result<ArrayRef> {
    // seconds hold every date
    let seconds = cast(dates, &DataType::Timestamp(TimeUnit::Second, None))?;
    to_unit(&seconds, unit, is_safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> i64 {
        chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp()
    }

    /// Expected values: PostgreSQL 15, `select timestamp '...' at time zone '...'` with `set time zone 'UTC'`.
    #[test]
    fn local_times_at_clock_changes() {
        for (zone, local, utc) in [
            ("Europe/Berlin", "2025-03-30 01:59", "2025-03-30 00:59"),
            ("Europe/Berlin", "2025-03-30 02:30", "2025-03-30 01:30"),
            ("Europe/Berlin", "2025-03-30 03:00", "2025-03-30 01:00"),
            ("Europe/Berlin", "2025-10-26 01:59", "2025-10-25 23:59"),
            ("Europe/Berlin", "2025-10-26 02:30", "2025-10-26 01:30"),
            ("Europe/Berlin", "2025-10-26 03:00", "2025-10-26 02:00"),
            ("America/New_York", "2025-11-02 01:30", "2025-11-02 06:30"),
            ("America/New_York", "2025-03-09 02:15", "2025-03-09 07:15"),
            // midnight does not exist
            ("Asia/Beirut", "2025-03-30 00:00", "2025-03-29 22:00"),
            // half an hour
            ("Australia/Lord_Howe", "2025-10-05 02:15", "2025-10-04 15:45"),
            ("Asia/Shanghai", "2025-06-01 08:00", "2025-06-01 00:00"),
            ("+02:00", "2025-06-01 08:00", "2025-06-01 06:00"),
            ("Europe/Berlin", "1890-01-01 00:00", "1889-12-31 23:06"),
        ] {
            let mut clock = LocalClock::new(zone).unwrap();
            // seconds of local mean time are cut off: 53 minutes 28 seconds
            let found = clock.utc(seconds(local)).unwrap();
            assert_eq!(found - found.rem_euclid(60), seconds(utc), "{zone} {local}");
            // with a warm cache too
            assert_eq!(clock.utc(seconds(local)), Some(found));
        }
    }

    /// Every second quarter of an hour of two years: the local time of a UTC time is read back, except where it exists twice.
    #[test]
    fn local_times_are_read_back() {
        for zone in ["Europe/Berlin", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"] {
            let mut clock = LocalClock::new(zone).unwrap();
            let start = seconds("2024-01-01 00:00");
            let differing = (0..2 * 366 * 48).filter(|step| {
                let utc = start + step * 1800;
                let offset = clock.lookup(utc).unwrap();
                assert_eq!(clock.offset(utc), Some(offset));
                let back = clock.utc(utc + offset).unwrap();
                assert!(back == utc || clock.lookup(back).unwrap() + back == utc + offset, "{zone} {utc}");
                back != utc
            });
            // the first of both hours of two autumns
            assert!(differing.count() <= 4, "{zone}");
        }
    }

    #[test]
    fn beyond_the_calendar() {
        let mut clock = LocalClock::new("Europe/Berlin").unwrap();
        assert_eq!((clock.offset(i64::MAX), clock.utc(i64::MIN)), (None, None));
        assert!(LocalClock::new("Mars").unwrap_err().to_string().contains("no time zone"));
        let far = timestamps(&Int64Array::from(vec![253_402_300_799, 0]), TimeUnit::Second, None);
        assert!(to_unit(&far, TimeUnit::Nanosecond, false).unwrap_err().to_string().contains("beyond the range"));
        assert_eq!(to_unit(&far, TimeUnit::Nanosecond, true).unwrap().null_count(), 1);
    }
}

//! [`TemporalCast`]: casts between local and zoned times, of strings to timestamps and intervals, and of those to strings.
//!
//! Formula: a zoned timestamp as a timestamp, date or time is the local time of its zone; a timestamp or date as a zoned timestamp
//!          is the local time of that zone ([`super::local_time`] for clock changes). A string as a zoned timestamp is the point in
//!          time that its offset says, without one a local time; as a timestamp or date it is what it shows, without the offset.
//! Units:   any; a coarser unit is rounded, halves to the later tick ([`super::coarser_unit`]). The date of a timestamp is not.
//! NULL:    NULL; `try_cast` gives NULL for what cannot be cast.
//! Edges:   a value beyond the range of the unit is an error.
//!          Times of day of timestamps, and numbers as truth values, are as Arrow casts them.
//! Source:  PostgreSQL 15 and DuckDB. DataFusion 55.2 casts a zoned timestamp to the wall clock of UTC, fails at clock changes,
//!          makes UTC of strings with an offset, and reads neither `2025-04-03 08:00` nor `27:15:08`.

use std::sync::Arc;

use chrono::FixedOffset;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, StringArray};
use datafusion::arrow::compute::kernels::cast_utils::{parse_interval_month_day_nano, string_to_datetime};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::utils::take_function_args;
use datafusion::common::{ScalarValue, exec_datafusion_err, exec_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::coarser_unit::{fraction_ticks, is_coarser, rounded_timestamps};
use super::interval_key::{DAY_NS, as_month_day_nano, duration_ticks};
use super::interval_text::{self, number_without_unit};
use super::local_time::{LocalClock, as_local, from_local, midnights, timestamps, to_unit};
use super::{overrides::without_utc, ticks_per_second};

/// Whether the cast is one of those that [`TemporalCast`] makes.
pub(crate) fn is_repaired(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Date64, Interval, LargeUtf8, Time64, Timestamp, Utf8, Utf8View};
    match (from, to) {
        (Interval(_) | DataType::Duration(_), Utf8 | LargeUtf8 | Utf8View) => true,
        (Utf8 | LargeUtf8 | Utf8View, Timestamp(..) | Date32 | Date64) => true,
        (Utf8 | LargeUtf8 | Utf8View, Time64(TimeUnit::Nanosecond) | Interval(IntervalUnit::MonthDayNano)) => true,
        (from, to) if is_not_monotonic(from, to) => true,
        (from, to) => is_coarser(from, to) || is_local_cast(from, to),
    }
}

/// Whether a larger value may become a smaller one. DataFusion 55.2 casts the bounds of a row group, as if that could not be, and
/// leaves out row groups that have rows; it does not look into functions.
fn is_not_monotonic(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Time32, Time64, Timestamp};
    matches!((from, to), (Timestamp(..), Time32(_) | Time64(_))) || (from.is_numeric() && *to == Boolean)
}

/// Whether the cast is one between points in time of a time zone other than UTC and what its clocks show.
fn is_local_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Date64, Time32, Time64, Timestamp};
    let is_local = |zoned: &DataType| matches!(zoned, Timestamp(_, Some(_))) && without_utc(zoned).is_none();
    match (from, to) {
        (from, Timestamp(_, None) | Date32 | Date64 | Time32(_) | Time64(_)) => is_local(from),
        (Timestamp(_, None) | Date32 | Date64, to) => is_local(to),
        _ => false,
    }
}

/// A cast to `target`; see the module. No SQL name: only the analyzer rule `TemporalCasts` calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TemporalCast {
    target: DataType,
    is_try: bool,
    signature: Signature,
}

impl TemporalCast {
    pub(crate) fn udf(target: DataType, is_try: bool) -> ScalarUDF {
        ScalarUDF::from(Self { target, is_try, signature: Signature::any(1, Volatility::Immutable) })
    }

    /// A cast that is an error for what cannot be cast.
    pub(crate) fn to(target: DataType) -> Self {
        Self { target, is_try: false, signature: Signature::any(1, Volatility::Immutable) }
    }

    /// A cast that gives NULL for what cannot be cast.
    pub(crate) fn try_to(target: DataType) -> Self {
        Self { target, is_try: true, signature: Signature::any(1, Volatility::Immutable) }
    }

    pub(crate) fn of(&self, values: &ArrayRef) -> Result<ArrayRef> {
        match &self.target {
            DataType::Timestamp(unit, _) if is_coarser(values.data_type(), &self.target) => {
                self.converted(&rounded_timestamps(values, *unit)?)
            }
            _ => self.converted(values),
        }
    }

    /// The cast of values that have no more digits of seconds than the type.
    fn converted(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let is_safe = self.is_try;
        let options = CastOptions { safe: is_safe, ..CastOptions::default() };
        match (values.data_type(), &self.target) {
            (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, target) => strings(values, target, is_safe),
            (DataType::Interval(_) | DataType::Duration(_), target) => Ok(cast(&shown(values)?, target)?),
            (DataType::Timestamp(_, Some(_)), target) if is_local_cast(values.data_type(), target) => {
                let local = as_local(values, is_safe)?;
                match target {
                    DataType::Timestamp(unit, None) => to_unit(&local, *unit, is_safe),
                    target => Ok(cast_with_options(&local, target, &options)?),
                }
            }
            (from, DataType::Timestamp(unit, Some(zone))) if is_local_cast(from, &self.target) => {
                let local = match from {
                    DataType::Timestamp(..) => to_unit(values, *unit, is_safe)?,
                    _ => midnights(values, *unit, is_safe)?,
                };
                from_local(&local, zone, Some(Arc::clone(zone)), is_safe)
            }
            (_, target) => Ok(cast_with_options(values, target, &options)?),
        }
    }
}

/// Durations and intervals as PostgreSQL writes them.
fn shown(values: &ArrayRef) -> Result<ArrayRef> {
    let texts: StringArray = if let Some((unit, ticks)) = duration_ticks(values) {
        let tick = 1_000_000_000 / i128::from(ticks_per_second(unit));
        let text = |(row, ticks): (usize, &i64)| {
            let length = i128::from(*ticks) * tick;
            (!values.is_null(row)).then(|| interval_text::shown(0, length / DAY_NS, length % DAY_NS))
        };
        ticks.iter().enumerate().map(text).collect()
    } else if let Some(intervals) = as_month_day_nano(values) {
        let text = |interval: IntervalMonthDayNano| {
            let IntervalMonthDayNano { months, days, nanoseconds } = interval;
            interval_text::shown(months, days.into(), nanoseconds.into())
        };
        intervals.iter().map(|interval| interval.map(text)).collect()
    } else {
        return internal_err!("an interval was expected, not {}", values.data_type());
    };
    Ok(Arc::new(texts))
}

/// Strings as timestamps or intervals: by Arrow's cast, and what that cannot read one by one.
fn strings(values: &ArrayRef, target: &DataType, is_safe: bool) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let texts = cast(values, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let shown = match target {
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => without_offsets(texts),
        _ => None,
    };
    let (values, texts) = match &shown {
        Some(shown) => (&(Arc::new(shown.clone()) as ArrayRef), shown),
        None => (values, texts),
    };
    let is_plain = |text: &str| match target {
        // Arrow reads a number without a unit as months
        DataType::Interval(_) => number_without_unit(text).is_none(),
        // and one alone as nanoseconds
        DataType::Time64(_) => text.contains(':'),
        // and cuts digits off
        DataType::Timestamp(unit, _) => !has_more_digits(text, *unit),
        _ => true,
    };
    if texts.iter().flatten().all(is_plain)
        && let Ok(cast) = cast_with_options(values, target, &options)
    {
        return Ok(cast);
    }
    let values = texts;
    match target {
        DataType::Timestamp(unit, zone) => string_timestamps(values, *unit, zone.clone(), is_safe),
        DataType::Date32 | DataType::Date64 => {
            // a date with a time; what is none keeps Arrow's error
            let days = values.iter().map(|text| text.map(|text| day_of(text).unwrap_or(text)));
            Ok(cast_with_options(&days.collect::<StringArray>(), target, &CastOptions { safe: is_safe, ..options })?)
        }
        DataType::Time64(_) => times(values, is_safe),
        _ => {
            let intervals = values.iter().map(|text| match text.map(interval) {
                Some(Ok(interval)) => Ok(Some(interval)),
                Some(Err(error)) if !is_safe => Err(error),
                _ => Ok(None),
            });
            Ok(Arc::new(intervals.collect::<Result<IntervalMonthDayNanoArray>>()?))
        }
    }
}

/// Strings as times of day in nanoseconds.
fn times(texts: &StringArray, is_safe: bool) -> Result<ArrayRef> {
    let with_colons: StringArray = texts.iter().map(|text| text.filter(|text| text.contains(':'))).collect();
    let target = DataType::Time64(TimeUnit::Nanosecond);
    let times = cast_with_options(&with_colons, &target, &CastOptions { safe: true, ..CastOptions::default() })?;
    match texts.iter().enumerate().find(|(row, text)| text.is_some() && times.is_null(*row)) {
        Some((_, Some(text))) if !is_safe => {
            exec_err!("cannot cast string '{text}' to a time; write it like 09:30:00 or 09:30:00.25")
        }
        _ => Ok(times),
    }
}

/// Whether a timestamp is written with more digits of a second than the unit has.
pub(crate) fn has_more_digits(text: &str, unit: TimeUnit) -> bool {
    let digits = match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    let fraction = text.rsplit_once('.').map_or("", |(_, fraction)| fraction);
    fraction.bytes().take_while(u8::is_ascii_digit).count() > digits
}

/// Strings without the digits of a second that the unit has no room for. A cast rounds them.
pub(crate) fn cut_digits(texts: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef> {
    let texts = cast(texts, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    if !texts.iter().flatten().any(|text| has_more_digits(text, unit)) {
        return Ok(Arc::new(texts.clone()));
    }
    let digits = ticks_per_second(unit).ilog10() as usize;
    let cut = |text: &str| match text.rsplit_once('.') {
        Some((whole, fraction)) if whole.contains(':') && has_more_digits(text, unit) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            let point = if digits > 0 { "." } else { "" };
            format!("{whole}{point}{}{zone}", fraction.get(..digits).unwrap_or_default())
        }
        _ => text.to_string(),
    };
    Ok(Arc::new(texts.iter().map(|text| text.map(cut)).collect::<StringArray>()))
}

/// Strings without their offsets: what a clock on the wall showed. `None` if no string has one.
fn without_offsets(texts: &StringArray) -> Option<StringArray> {
    // `2025-01-31` and `2025-01-31 09:00:00.5` have no offset
    let may_have = |text: &str| {
        let time = text.trim().get(10..).unwrap_or_default();
        time.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b' ' | b':' | b'.' | b'T'))
    };
    if !texts.iter().flatten().any(may_have) {
        return None;
    }
    let shown = |text| if may_have(text) { shown_time(text).unwrap_or(text) } else { text };
    Some(texts.iter().map(|text| text.map(shown)).collect())
}

/// The date and time of a timestamp with an offset; `None` for other strings.
fn shown_time(text: &str) -> Option<&str> {
    let (_, is_local) = read(text)?;
    let text = text.trim();
    let time = text.find(['T', 't', ' ']).filter(|_| !is_local)? + 1;
    let rest = text.get(time..)?;
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | ':' | '.' | ' '))?;
    Some(text.get(..time + end)?.trim_end())
}

/// The date of a timestamp.
fn day_of(text: &str) -> Option<&str> {
    read(text)?;
    text.trim().split(['T', 't', ' ']).next()
}

fn interval(text: &str) -> Result<IntervalMonthDayNano> {
    let spelled = interval_text::spelled_out(text);
    let text = text.trim();
    match number_without_unit(spelled.as_deref().unwrap_or(text)) {
        Some(number) if number == text => {
            return exec_err!(
                "cannot cast string '{text}' to an interval: it has no unit; write interval '{number} days', or {number} * interval '1 day'"
            );
        }
        Some(number) => {
            return exec_err!(
                "cannot cast string '{text}' to an interval: its {number} has no unit; write one, as in interval '1 day 3 hours'"
            );
        }
        None => {}
    }
    parse_interval_month_day_nano(spelled.as_deref().unwrap_or(text)).map_err(|_| {
        exec_datafusion_err!("cannot cast string '{text}' to an interval; write it like 2 days 03:00:00 or 90 minutes")
    })
}

/// Strings as timestamps: with an offset that point in time, without one a local time of `zone`.
pub(crate) fn string_timestamps(
    values: &StringArray,
    unit: TimeUnit,
    zone: Option<Arc<str>>,
    is_safe: bool,
) -> Result<ArrayRef> {
    let mut clock = zone.as_deref().map(LocalClock::new).transpose()?;
    let ticks = values.iter().map(|text| {
        let Some(text) = text else { return Ok(None) };
        match timestamp(text, unit, clock.as_mut()) {
            None if !is_safe && read(text).is_some() => Err(exec_datafusion_err!(
                "'{text}' is beyond the range of Timestamp({unit}); cast it to timestamp(6), whose microseconds reach further"
            )),
            None if !is_safe => Err(exec_datafusion_err!(
                "cannot cast string '{text}' to a timestamp; write it like 2025-01-31 09:00:00, or read it with to_timestamp('{text}', format)"
            )),
            ticks => Ok(ticks),
        }
    });
    Ok(timestamps(&ticks.collect::<Result<Int64Array>>()?, unit, zone))
}

/// A string as a timestamp, as casts read it: with an offset that point in time, without one a local time of `zone`. `None` if it
/// is no timestamp, is beyond the range of the unit, or is a time that the clocks of the zone left out.
pub fn string_timestamp(text: &str, unit: TimeUnit, zone: Option<&str>) -> Option<ScalarValue> {
    let timestamps = string_timestamps(&StringArray::from(vec![text]), unit, zone.map(Arc::from), true).ok()?;
    ScalarValue::try_from_array(&timestamps, 0).ok().filter(|timestamp| !timestamp.is_null())
}

/// Whether a string is a timestamp with an offset.
pub fn has_offset(text: &str) -> bool {
    read(text).is_some_and(|(_, is_local)| !is_local)
}

/// Whether a string is a timestamp without an offset.
pub(super) fn is_local(text: &str) -> bool {
    read(text).is_some_and(|(_, is_local)| is_local)
}

/// A string as a point in time, that of UTC where it has no offset, and whether it has none.
fn read(text: &str) -> Option<(chrono::DateTime<chrono::Utc>, bool)> {
    let padded = padded(text.trim());
    let text = padded.as_deref().unwrap_or(text.trim());
    let read = |hours: i32| string_to_datetime(&FixedOffset::east_opt(hours * 3600)?, text).ok();
    let at = read(0)?.to_utc();
    // a string without an offset is another point in time elsewhere
    Some((at, read(1)?.to_utc() != at))
}

/// The ticks of a string; `None` if it is no timestamp or beyond the range.
fn timestamp(text: &str, unit: TimeUnit, clock: Option<&mut LocalClock>) -> Option<i64> {
    let (at, is_local) = read(text)?;
    let seconds = match clock {
        Some(clock) if is_local => clock.utc(at.timestamp())?,
        _ => at.timestamp(),
    };
    let per_second = ticks_per_second(unit);
    seconds.checked_mul(per_second)?.checked_add(fraction_ticks(at.timestamp_subsec_nanos(), unit))
}

/// `2025-04-03 08:00`, `2025-04-03T08:00Z` and `2025-4-3 8:00` with all digits and seconds; `None` where nothing is missing.
pub(crate) fn padded(text: &str) -> Option<String> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time.trim_start())),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || year.len() != 4 || ![year, month, day].into_iter().all(is_number) {
        return None;
    }
    let mut full = format!("{year}-{month:0>2}-{day:0>2}");
    if let Some(time) = time {
        let end = time.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(time.len());
        let (clock, zone) = time.split_at(end);
        full.push(' ');
        match clock.split(':').collect::<Vec<_>>().as_slice() {
            [hour, minute] if minute.len() == 2 => full.push_str(&format!("{hour:0>2}:{minute}:00")),
            [hour, rest @ ..] if !rest.is_empty() => full.push_str(&format!("{hour:0>2}:{}", rest.join(":"))),
            _ => full.push_str(clock),
        }
        full.push_str(zone);
    }
    Some(full)
}

impl ScalarUDFImpl for TemporalCast {
    fn name(&self) -> &str {
        if self.is_try { "temporal_try_cast" } else { "temporal_cast" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.target.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [value] = take_function_args(self.name(), args.arg_fields)?;
        let is_nullable = value.is_nullable() || self.is_try;
        Ok(Arc::new(datafusion::arrow::datatypes::Field::new(self.name(), self.target.clone(), is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = take_function_args(self.name(), args.args)?;
        Ok(match value {
            ColumnarValue::Array(values) => ColumnarValue::Array(self.of(&values)?),
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&self.of(&value.to_array()?)?, 0)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: PostgreSQL 15 with `set time zone 'Europe/Berlin'`, in UTC seconds.
    #[test]
    fn strings_are_read_as_postgresql_reads_them() {
        for (text, expected) in [
            ("2025-04-03 08:00", Some(1_743_660_000)),
            ("2025-4-3 8:00", Some(1_743_660_000)),
            ("2025-04-03T08:00Z", Some(1_743_667_200)),
            ("2025-04-03 08:00+00", Some(1_743_667_200)),
            ("2025-03-30 02:30:00", Some(1_743_298_200)),
            ("2025-10-26 02:30:00", Some(1_761_442_200)),
            ("2025-10-26 02:30:00+02:00", Some(1_761_438_600)),
            ("2025-04-03", Some(1_743_631_200)),
            ("3 April", None),
            ("2025-13-01 08:00", None),
            ("", None),
        ] {
            let mut clock = LocalClock::new("Europe/Berlin").unwrap();
            assert_eq!(timestamp(text, TimeUnit::Second, Some(&mut clock)), expected, "{text}");
        }
    }
}

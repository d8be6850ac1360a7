//! Formatting of values, shared by the text formats.

use std::fmt;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::durations;
use super::shape::any_part;
use super::{Format, OutputError, Result};

/// Format of timestamps. Fractions of a second are never lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// For machines: `2025-01-01T00:00:00Z`, and without a time zone `2025-01-01T00:00:00`.
    Iso,
    /// For readers: `2025-01-01 00:00:00`; a time zone other than UTC is shown as `+02:00`.
    Spaced,
}

/// Formatter of a type's values. The caller handles top-level NULLs; within a list or struct NULL is `NULL`.
pub(super) fn options(data_type: &DataType, times: Times) -> FormatOptions<'static> {
    let options = FormatOptions::new().with_null("NULL").with_display_error(false);
    if times == Times::Iso {
        return options;
    }
    let has_offset = any_part(
        data_type,
        &|part| matches!(part, DataType::Timestamp(_, Some(zone)) if !matches!(zone.as_ref(), "UTC" | "utc" | "Z" | "+00:00" | "Etc/UTC")),
    );
    let zoned = if has_offset { "%Y-%m-%d %H:%M:%S%.f%:z" } else { "%Y-%m-%d %H:%M:%S%.f" };
    options.with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f")).with_timestamp_tz_format(Some(zoned))
}

pub(super) fn formatter<'a>(
    format: Format,
    column: &'a dyn Array,
    options: &FormatOptions<'a>,
) -> Result<ArrayFormatter<'a>> {
    let formatter = match format {
        Format::Json | Format::Ndjson => durations::iso_formatter(column, options),
        _ => durations::formatter(column, options),
    };
    formatter.map_err(|source| OutputError::encode(format, source))
}

pub(super) fn unprintable(format: Format, column: &str, row: u64, source: &ArrowError) -> OutputError {
    OutputError::Value { format, column: column.to_owned(), row, message: source.to_string() }
}

/// The first row whose date or time is beyond the calendar of the `chrono` crate (year 262142), which some encoders
/// would replace by an error message. Does not look into lists or structs.
pub(super) fn beyond_calendar(column: &dyn Array) -> Option<usize> {
    let per_second = match column.data_type() {
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            let first = |(row, day): (usize, Option<i32>)| (day?.unsigned_abs() > CALENDAR_DAYS).then_some(row);
            return days.iter().enumerate().find_map(first);
        }
        DataType::Date64 | DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
        DataType::Timestamp(TimeUnit::Second, _) => 1,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000_000,
        // 64 bits of nanoseconds are less than 300 years
        _ => return None,
    };
    let counts = cast(column, &DataType::Int64).ok()?;
    let farthest = u64::from(CALENDAR_DAYS) * 86_400 * per_second;
    let first = |(row, count): (usize, Option<i64>)| (count?.unsigned_abs() > farthest).then_some(row);
    counts.as_primitive::<Int64Type>().iter().enumerate().find_map(first)
}

/// Days from 1970 to the end of the year 262141.
const CALENDAR_DAYS: u32 = 95_026_000;

/// A `fmt::Write` over bytes.
pub(super) struct Appender<'a>(pub(super) &'a mut Vec<u8>);

impl fmt::Write for Appender<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Returns true if values of the type are numbers, which are right-aligned.
pub(super) fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        DataType::RunEndEncoded(_, values) => is_number(values.data_type()),
        other => other.is_numeric(),
    }
}

/// Maximum decimals of a float for readers.
const MAX_DECIMALS: usize = 4;

/// Floats from here on have an exponent.
const LARGE: f64 = 1e15;

/// The number of decimals that the value needs, from 1 to [`MAX_DECIMALS`]; `None` if it has none.
pub(super) fn decimals(value: f64) -> Option<usize> {
    if !value.is_finite() || value.abs() >= LARGE || is_lost(value, MAX_DECIMALS) {
        return None;
    }
    let shortest = value.to_string();
    let needed = shortest.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    Some(needed.clamp(1, MAX_DECIMALS))
}

/// Formats the value for readers with this many decimals. If rounding would change it by more than 5 %, it has an
/// exponent instead (0.00012 is not 0.0001), as has a very large one.
pub(super) fn float(value: f64, decimals: usize) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value == 0.0 {
        // minus zero is shown as zero
        return format!("{:.decimals$}", 0.0);
    }
    if value.abs() >= LARGE || is_lost(value, decimals) {
        let text = format!("{value:.3e}");
        let Some((digits, exponent)) = text.split_once('e') else { return text };
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return format!("{digits}e{exponent}");
    }
    format!("{value:.decimals$}")
}

/// As [`float`], with fewer decimals for larger values, and spaces in their place, so that the decimal points of a
/// column are aligned: integers have none, tens and hundreds two, thousands one.
pub(super) fn aligned(value: f64, decimals: usize) -> String {
    let shown = match value.abs() {
        _ if decimals <= 1 => decimals,
        _ if value.fract() == 0.0 => 0,
        size if size >= 1e3 => 1,
        size if size >= 1e1 => 2.min(decimals),
        _ => decimals,
    };
    let text = float(value, shown);
    if !value.is_finite() || text.contains('e') {
        return text;
    }
    let blanks = decimals - shown + usize::from(shown == 0 && decimals > 0);
    text + &" ".repeat(blanks)
}

fn is_lost(value: f64, decimals: usize) -> bool {
    // rounding changes a value by at most 0.00005 here
    value != 0.0
        && value.abs() < 0.01
        && format!("{value:.decimals$}").parse::<f64>().is_ok_and(|shown| (shown - value).abs() > 0.05 * value.abs())
}

/// [`visible`], truncated to this many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => visible(text.get(..end).unwrap_or_default()) + "…",
        None => visible(text),
    }
}

/// Escapes a string for a terminal: control characters, escape sequences and bidirectional marks are made visible.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' => shown.push('⏎'),
            '\u{0}'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}')),
            '\u{7f}' => shown.push('␡'),
            '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' => shown.extend(character.escape_unicode()),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_short_and_not_misleading() {
        // rounded by hand
        assert_eq!(float(0.731_234_567_8, 4), "0.7312");
        assert_eq!(float(-0.0, 2), "0.00");
        assert_eq!(float(3.0, 1), "3.0");
        assert_eq!(float(0.000_123_4, 4), "1.234e-4");
        assert_eq!(float(0.000_05, 4), "5e-5");
        assert_eq!(float(1.5e20, 2), "1.5e20");
        assert_eq!(float(f64::NAN, 2), "NaN");
        assert_eq!(float(f64::NEG_INFINITY, 2), "-inf");
    }

    #[test]
    fn decimals_are_as_many_as_needed_up_to_four() {
        assert_eq!(decimals(2.0), Some(1));
        assert_eq!(decimals(2.25), Some(2));
        assert_eq!(decimals(1.0 / 3.0), Some(4));
        assert_eq!(decimals(1e-9), None);
        assert_eq!(decimals(1e15), None);
        assert_eq!(decimals(f64::INFINITY), None);
    }

    #[test]
    fn nothing_in_the_data_can_steer_a_terminal() {
        let shown = visible("a\x1b[31mred\x07\r\nb\tc\u{9b}2J\u{202e}x\u{7f}");
        assert_eq!(shown, "a␛[31mred␇⏎b␉c\\u{9b}2J\\u{202e}x␡");
        assert!(shown.chars().all(|character| !character.is_control()));
        assert_eq!(visible("漢字 👩‍👩‍👧 é"), "漢字 👩‍👩‍👧 é");
    }
}

//! Casts of timestamps to a coarser unit: `cast(at as timestamp(0))`.
//!
//! Formula: the nearest tick of the coarser unit, halves to the later one.
//! Edges:   next to the end of the range of its unit a timestamp is rounded down.
//! Source:  PostgreSQL 15, which rounds halves before 2000 to the earlier tick; DuckDB 2.0 does so before 1970.
//!          DataFusion 55.2 cuts digits off.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::Result;

use super::local_time::{ticks, timestamps};
use super::ticks_per_second;

/// Whether a cast between these types drops digits of seconds. One to a date does not: it is the day of the timestamp.
pub(crate) fn is_coarser(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) => ticks_per_second(*to) < ticks_per_second(*from),
        _ => false,
    }
}

/// The ticks of a fraction of a second, in nanoseconds; all of a second for a fraction that is nearly one.
pub(crate) fn fraction_ticks(nanoseconds: u32, unit: TimeUnit) -> i64 {
    let tick = 1_000_000_000 / ticks_per_second(unit);
    (i64::from(nanoseconds) + tick / 2) / tick
}

/// The multiple of `step` nearest to a value.
fn nearest(value: i64, step: i64) -> i64 {
    value.checked_add(step / 2).unwrap_or(value).div_euclid(step) * step
}

/// Timestamps with the digits of a coarser unit, in the unit that they have.
///
/// # Errors
/// Other values than timestamps.
pub(crate) fn rounded_timestamps(values: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef> {
    let DataType::Timestamp(from, zone) = values.data_type() else { return Ok(Arc::clone(values)) };
    let step = ticks_per_second(*from) / ticks_per_second(unit);
    let rounded: Int64Array = ticks(values)?.unary::<_, Int64Type>(|ticks| nearest(ticks, step));
    Ok(timestamps(&rounded, *from, zone.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand; after 1999 as `'...'::timestamp(0)` of PostgreSQL 15.
    #[test]
    fn halves_go_to_the_later_tick() {
        for (millis, rounded) in [(1_499, 1_000), (1_500, 2_000), (-1_500, -1_000), (-1_501, -2_000), (-400, 0)] {
            assert_eq!(nearest(millis, 1_000), rounded, "{millis}");
        }
        // near the end there is no later tick
        assert_eq!(nearest(i64::MAX, 1_000), i64::MAX / 1_000 * 1_000);
        for (nanoseconds, millis) in [(499_999, 0), (500_000, 1), (999_499_999, 999), (999_500_000, 1_000)] {
            assert_eq!(fraction_ticks(nanoseconds, TimeUnit::Millisecond), millis);
        }
    }
}

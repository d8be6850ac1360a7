//! Columns of times as nanoseconds since 1970-01-01T00:00:00 UTC, whatever their type.
//!
//! Nanoseconds of every year fit into 128 bits, so that no unit and no year needs an error of its own. A timestamp without a
//! time zone and a date are of UTC.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion::common::{Result, internal_err};

pub(crate) const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Nanoseconds of one tick.
pub(crate) const fn tick_ns(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

#[derive(Debug, Clone, Copy)]
enum Ticks<'a> {
    Timestamps(&'a [i64]),
    Days(&'a [i32]),
}

/// A column of times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times<'a> {
    ticks: Ticks<'a>,
    tick_ns: i64,
    nulls: Option<&'a NullBuffer>,
    is_constant: bool,
}

impl<'a> Times<'a> {
    /// Reads a column that is planned as a time; the only value of a constant column is that of every row.
    ///
    /// # Errors
    /// When it is of another type.
    pub(crate) fn new(column: &'a ArrayRef, is_constant: bool) -> Result<Self> {
        let (ticks, tick_ns): (Ticks<'a>, i64) = match column.data_type() {
            DataType::Timestamp(unit, _) => {
                let values: &[i64] = match unit {
                    TimeUnit::Second => column.as_primitive::<TimestampSecondType>().values(),
                    TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().values(),
                    TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().values(),
                    TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().values(),
                };
                (Ticks::Timestamps(values), tick_ns(*unit))
            }
            DataType::Date32 => {
                (Ticks::Days(column.as_primitive::<Date32Type>().values()), SECONDS_PER_DAY * tick_ns(TimeUnit::Second))
            }
            other => return internal_err!("a time is planned as a timestamp or a date, got {other}"),
        };
        Ok(Self { ticks, tick_ns, nulls: column.nulls().filter(|nulls| nulls.null_count() > 0), is_constant })
    }

    /// The time of a row; `None` where it is not known.
    pub(crate) fn get(&self, row: usize) -> Option<i128> {
        let row = if self.is_constant { 0 } else { row };
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        let ticks = match self.ticks {
            Ticks::Timestamps(values) => *values.get(row)?,
            Ticks::Days(values) => i64::from(*values.get(row)?),
        };
        Some(i128::from(ticks) * i128::from(self.tick_ns))
    }
}

//! The argument `at`: when a value was measured. Timestamps, dates and numbers are held as integers that sort as they do, so
//! that rows are ordered the same way whatever the type.
//!
//! | type of `at` | position | unit of a distance |
//! |---|---|---|
//! | timestamp | its ticks | day |
//! | date | days since 1970-01-01 | day |
//! | Int64 | the integer | 1 |
//! | Float64 | its bits, in the order of the numbers | 1 |

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::common::{Result, internal_datafusion_err, internal_err};

use crate::aggregate::numbers;

/// Calls `each` once per row with the position of column 0 and the number of column 1; with `None` where one of them is NULL or
/// no finite number.
///
/// # Errors
/// When a column is not of the type that the call was planned with.
pub(super) fn each_row(columns: &[ArrayRef], mut each: impl FnMut(Option<(i64, f64)>)) -> Result<()> {
    let at = columns.first().ok_or_else(|| internal_datafusion_err!("at is not among the arguments"))?;
    let at = positions(at)?;
    for (at, x) in at.iter().zip(numbers(columns, 1)?) {
        each(at.zip(x.filter(|x| x.is_finite())));
    }
    Ok(())
}

/// The positions of a column.
fn positions(column: &ArrayRef) -> Result<Int64Array> {
    if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
        return Ok(numbers.iter().map(|number| number.filter(|number| number.is_finite()).map(of_float)).collect());
    }
    let integers = match column.data_type() {
        DataType::Date32 => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        DataType::Timestamp(..) | DataType::Int64 => cast(column, &DataType::Int64)?,
        other => return internal_err!("at was not coerced, it is {other}"),
    };
    integers.as_primitive_opt::<Int64Type>().cloned().ok_or_else(|| internal_datafusion_err!("a cast to Int64 is none"))
}

/// A column of a type from its positions.
///
/// # Errors
/// When the type is none of those that `at` has.
pub(super) fn column(positions: impl Iterator<Item = Option<i64>>, data_type: &DataType) -> Result<ArrayRef> {
    if *data_type == DataType::Float64 {
        return Ok(Arc::new(positions.map(|position| position.map(to_float)).collect::<Float64Array>()));
    }
    let integers: ArrayRef = Arc::new(positions.collect::<Int64Array>());
    Ok(match data_type {
        DataType::Date32 => cast(&cast(&integers, &DataType::Int32)?, data_type)?,
        _ => cast(&integers, data_type)?,
    })
}

/// A number as an integer that sorts as it does: the bits of a negative one are reversed, but for the sign.
pub(super) fn of_float(number: f64) -> i64 {
    // -0 and 0 are one time
    reversed_if_negative((number + 0.0).to_bits() as i64)
}

/// The inverse of [`of_float`].
pub(super) fn to_float(position: i64) -> f64 {
    f64::from_bits(reversed_if_negative(position) as u64)
}

fn reversed_if_negative(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// How distances between positions are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Timestamp(TimeUnit),
    Date,
    Integer,
    Float,
}

impl Axis {
    /// That of a type of `at`; `None` for any other type.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Timestamp(unit, _) => Some(Axis::Timestamp(*unit)),
            DataType::Date32 => Some(Axis::Date),
            DataType::Int64 => Some(Axis::Integer),
            DataType::Float64 => Some(Axis::Float),
            _ => None,
        }
    }

    /// The ticks of a day, of timestamps and dates.
    pub(super) fn ticks_per_day(self) -> Option<i64> {
        match self {
            Axis::Timestamp(TimeUnit::Second) => Some(86_400),
            Axis::Timestamp(TimeUnit::Millisecond) => Some(86_400_000),
            Axis::Timestamp(TimeUnit::Microsecond) => Some(86_400_000_000),
            Axis::Timestamp(TimeUnit::Nanosecond) => Some(86_400_000_000_000),
            Axis::Date => Some(1),
            Axis::Integer | Axis::Float => None,
        }
    }

    /// How far a position is from `origin`: in days, or in the unit of the numbers.
    pub(super) fn distance(self, position: i64, origin: i64) -> f64 {
        if self == Axis::Float {
            return to_float(position) - to_float(origin);
        }
        let ticks = (i128::from(position) - i128::from(origin)) as f64;
        ticks / self.ticks_per_day().unwrap_or(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_numbers_sort_as_they_do() {
        let sorted = [f64::MIN, -2.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 1.0, 1.5, f64::MAX];
        let positions = sorted.map(of_float);
        assert!(positions.is_sorted_by(|one, other| one < other), "{positions:?}");
        assert_eq!(positions.map(to_float), sorted);
        assert_eq!(of_float(-0.0), of_float(0.0));
    }

    #[test]
    fn columns_of_every_type_are_read_and_written() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(20_000), None, Some(-1)]));
        let zoned = DataType::Timestamp(TimeUnit::Second, Some("+02:00".into()));
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
        for data_type in [DataType::Int64, DataType::Float64, zoned, nanoseconds] {
            let given = cast(&numbers, &data_type).unwrap();
            let written = column(positions(&given).unwrap().iter(), &data_type).unwrap();
            assert_eq!(&written, &given, "{data_type}");
        }
        let dates = cast(&cast(&numbers, &DataType::Int32).unwrap(), &DataType::Date32).unwrap();
        assert_eq!(positions(&dates).unwrap().values()[..1], [20_000]);
        assert_eq!(&column(positions(&dates).unwrap().iter(), &DataType::Date32).unwrap(), &dates);
        assert!(positions(&(Arc::new(datafusion::arrow::array::StringArray::from(vec!["x"])) as ArrayRef)).is_err());
    }

    #[test]
    fn distances_are_days_or_numbers() {
        assert_eq!(Axis::Timestamp(TimeUnit::Second).distance(129_600, 0), 1.5);
        assert_eq!(Axis::Date.distance(3, -4), 7.0);
        assert_eq!(Axis::Integer.distance(i64::MAX, i64::MIN), 2_f64.powi(64));
        assert_eq!(Axis::Float.distance(of_float(0.75), of_float(-0.5)), 1.25);
    }
}

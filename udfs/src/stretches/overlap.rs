//! `interval_overlap_s(start, end, from, to)`: how long a stretch is within another one.
//!
//! Formula: min(end, to) - max(start, from), or 0 where that is negative.
//! Units:   times in, seconds out, with fractions.
//! NULL:    a NULL in any argument gives NULL; so does a stretch that ends before its start.
//! Edges:   stretches that meet do not overlap: 0.
//! Source:  arithmetic; half-open intervals as in SQL:2011 periods.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::Float64Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use super::{Arguments, SECTION};
use crate::args::{Call, Kind, Parameter};
use crate::times::{NANOSECONDS_PER_SECOND, Times};

const CALL: Call = Call {
    function: "interval_overlap_s",
    syntax: "interval_overlap_s(start, end, from, to)",
    parameters: &[
        Parameter::column("start", Kind::Time),
        Parameter::column("end", Kind::Time),
        Parameter::column("from", Kind::Time),
        Parameter::column("to", Kind::Time),
    ],
    arities: &[4],
};

/// `interval_overlap_s`.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(IntervalOverlap { signature: CALL.signature() }))
}

/// Seconds of nanoseconds.
pub(super) fn seconds(nanoseconds: i128) -> f64 {
    let (whole, rest) = (nanoseconds / NANOSECONDS_PER_SECOND, nanoseconds % NANOSECONDS_PER_SECOND);
    // the division of a whole number of nanoseconds is rounded once where it can be
    if whole.unsigned_abs() < 1 << 23 { nanoseconds as f64 / 1e9 } else { whole as f64 + rest as f64 / 1e9 }
}

/// The seconds that two stretches have in common; `None` for a stretch that ends before its start.
fn overlap_s(start: i128, end: i128, from: i128, to: i128) -> Option<f64> {
    (start <= end && from <= to).then(|| seconds((end.min(to) - start.max(from)).max(0)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalOverlap {
    signature: Signature,
}

impl ScalarUDFImpl for IntervalOverlap {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        CALL.coerce(arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = Arguments::new(&args.args, args.number_rows)?;
        let [start, end, from, to] = arguments.columns.as_slice() else {
            return internal_err!("interval_overlap_s: evaluated with {} arguments", arguments.columns.len());
        };
        let times = |(column, is_constant)| Times::new(column, is_constant);
        let [start, end, from, to] = [start, end, from, to].map(|(column, is_constant)| times((column, *is_constant)));
        let (start, end, from, to) = (start?, end?, from?, to?);
        let overlap = |row| overlap_s(start.get(row)?, end.get(row)?, from.get(row)?, to.get(row)?);
        let overlaps: Float64Array = (0..arguments.row_count).map(overlap).collect();
        if arguments.is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&overlaps, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(overlaps)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "How many seconds of a stretch are within another one, such as the part of a contact or of a state within a report.\n\
         Formula: min(end, to) - max(start, from), or 0 where that is negative.\n\
         Units: timestamps or dates in, seconds with fractions out.\n\
         NULL: a NULL in any argument gives NULL: a stretch without an end has no known length; where it is to count up to now, \
         write coalesce(ended_at, now()). A stretch that ends before its start, and a to before from, give NULL: they cannot be.\n\
         Edges: a stretch that ends where the other one starts has no overlap, 0. Equal start and end give 0. Times of different \
         units and time zones are compared as points in time; a date or a time without a time zone is UTC.\n\
         Source: arithmetic of half-open intervals, as the periods of SQL:2011.",
        CALL.syntax,
    )
    .with_argument("start", "Timestamp or date: the start of the stretch.")
    .with_argument("end", "Timestamp or date: its end, exclusive.")
    .with_argument("from", "Timestamp or date: the start of the other stretch, such as that of a report.")
    .with_argument("to", "Timestamp or date: its end, exclusive.")
    .with_sql_example(
        "```sql
select state, interval_overlap_s(started_at, ended_at, date '2025-03-04', date '2025-03-05') as state_s
from (values
    ('idle', timestamp '2025-03-03 22:00:00', timestamp '2025-03-04 06:30:00'),
    ('on_contact', timestamp '2025-03-04 23:59:59.5', timestamp '2025-03-05 00:10:00'),
    ('break', timestamp '2025-03-05 00:10:00', timestamp '2025-03-05 01:00:00'),
    ('idle', timestamp '2025-03-05 01:00:00', null)
) as states(state, started_at, ended_at);
+------------+---------+
| state      | state_s |
+------------+---------+
| idle       | 23400.0 |
| on_contact | 0.5     |
| break      | 0.0     |
| idle       |         |
+------------+---------+
```",
    )
    .with_related_udf("split_interval")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_part_of_two_stretches() {
        const S: i128 = NANOSECONDS_PER_SECOND;
        assert_eq!(overlap_s(10 * S, 20 * S, 15 * S, 30 * S), Some(5.0));
        assert_eq!(overlap_s(10 * S, 20 * S, 20 * S, 30 * S), Some(0.0));
        assert_eq!(overlap_s(10 * S, 20 * S, 25 * S, 30 * S), Some(0.0));
        assert_eq!(overlap_s(10 * S, 20 * S + 1, 0, 100 * S), Some(10.000000001));
        assert_eq!(overlap_s(20 * S, 10 * S, 0, 100 * S), None);
        assert_eq!(overlap_s(10 * S, 20 * S, 100 * S, 0), None);
    }

    #[test]
    fn seconds_of_every_length_are_near() {
        for (nanoseconds, wanted) in [
            (1, 1e-9),
            (100_000_000, 0.1),
            (86_400_500_000_000, 86_400.5),
            (i128::from(i64::MAX), 9_223_372_036.854_776),
        ] {
            assert_eq!(seconds(nanoseconds), wanted, "{nanoseconds}");
        }
    }
}

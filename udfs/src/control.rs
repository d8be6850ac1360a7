//! `ewma(x, lambda)` and `cusum(x, target, k, h, sigma)`: control charts, which see a small shift that lasts.
//!
//! Formula: z_i = lambda x_i + (1 - lambda) z_i-1; C+_i = max(0, C+_i-1 + (x_i - target) / sigma - k) and C- of the other side, an
//!          alarm where one of them is above h.
//! Units:   those of x; standard deviations.
//! NULL:    a row with a NULL has no value and leaves the sums as they are.
//! Edges:   the order of the window counts, a frame does not; NaN and infinities count as NULL.
//! Source:  S. W. Roberts 1959; E. S. Page 1954; D. C. Montgomery, Introduction to Statistical Quality Control, chapter 9.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StructArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{DocSection, Documentation, WindowUDF};

use crate::aggregate::numbers;
use crate::args::{Call, Constants, Kind, Parameter};
use crate::grouped::ranges;
use crate::partition::{PartitionFunction, known_numbers, partition_function};

/// The window functions of the family.
pub(crate) fn window_functions() -> Vec<Arc<WindowUDF>> {
    vec![partition_function(Ewma), partition_function(Cusum)]
}

pub(crate) const SECTION: DocSection = DocSection {
    include: true,
    label: "Change over time",
    description: Some(
        "Whether and when a figure changed: control charts for one that is watched (`ewma`, `cusum`), tests for one that is looked back \
         at. The tests return a STRUCT as those of Intervals and tests do; rows may come in any order, `at` says when.",
    ),
};

const ORDER: &str = "the time of the value";
const X: Parameter = Parameter::column("x", Kind::Number);
const X_TEXT: &str = "The values: integers, floats or decimals.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ewma;

/// One step of the average. Of the difference, so that a constant series stays as it is.
fn next_average(average: f64, x: f64, lambda: f64) -> f64 {
    let difference = x - average;
    // a difference of two large numbers may leave the range of a Float64, the average of them does not
    if difference.is_finite() { average + lambda * difference } else { lambda * x + (1.0 - lambda) * average }
}

impl PartitionFunction for Ewma {
    const CALL: Call = Call {
        function: "ewma",
        syntax: "ewma(x, lambda [, start]) over (partition by queue order by day)",
        parameters: &[X, Parameter::constant("lambda", Kind::Number), Parameter::column("start", Kind::Number)],
        arities: &[2, 3],
    };
    const ORDER: Option<&'static str> = Some(ORDER);
    /// The weight of the newest value.
    type Options = f64;

    fn result_type() -> DataType {
        DataType::Float64
    }

    fn bind(constants: &Constants, _given: usize) -> Result<f64> {
        match constants.number("lambda")? {
            Some(lambda) if lambda > 0.0 && lambda <= 1.0 => Ok(lambda),
            Some(lambda) => plan_err!("ewma: lambda must be > 0 and <= 1, got {lambda}"),
            None => plan_err!("ewma: lambda must be > 0 and <= 1, got NULL"),
        }
    }

    fn evaluate(lambda: &f64, columns: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef> {
        let x = numbers(columns, 0)?;
        let start = if columns.len() > 1 { Some(numbers(columns, 1)?) } else { None };
        let mut averages = Vec::with_capacity(bounds.last().copied().unwrap_or_default());
        for range in ranges(bounds) {
            let first_row = range.start..range.end.min(range.start + 1);
            let mut average = start.and_then(|start| known_numbers(start, first_row).flatten().next());
            averages.extend(known_numbers(x, range).map(|x| {
                let x = x?;
                average = Some(average.map_or(x, |average| next_average(average, x, *lambda)));
                average
            }));
        }
        Ok(Arc::new(Float64Array::from(averages)))
    }

    fn documentation() -> &'static Documentation {
        &EWMA_PAGE
    }
}

static EWMA_PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "Exponentially weighted moving average: the newest value counts lambda, each one before it less by the factor 1 - lambda. It \
         smooths a daily figure, and as a control chart it shows small shifts that single values hide.\n\
         Formula: z_i = lambda x_i + (1 - lambda) z_i-1, with z_0 = start; without a start z_1 = x_1. Around a target with the standard \
         deviation sigma of x, the limits of the chart are target -+ L sigma sqrt(lambda / (2 - lambda) (1 - (1 - lambda)^(2 i))), \
         with L = 2.7 for lambda = 0.1, L = 3 for 0.2 and more.\n\
         Units: those of x.\n\
         NULL: a NULL has no part in the average, and gives NULL. A start that is NULL is none.\n\
         Edges: the rows count in the order of the window from the first of the partition: a frame has no effect, ORDER BY is needed. Of \
         rows with equal keys the order is not fixed: order by more. start is read in the first row of the partition. NaN and infinities \
         are no measurements and count as NULL.\n\
         Source: S. W. Roberts, Technometrics 1 (1959) 239-250; D. C. Montgomery, Introduction to Statistical Quality Control, 7th ed., \
         Wiley 2013, section 9.2; as pandas' ewm(alpha=lambda, adjust=False).",
        Ewma::CALL.syntax,
    )
    .with_argument("x", X_TEXT)
    .with_argument("lambda", "Constant number > 0 and <= 1: the weight of the newest value; 0.05 to 0.25 for a chart.")
    .with_argument("start", "Number: the average before the first value, such as the target. Default: the first value.")
    .with_sql_example(
        "```sql
select day, aht_s, round(ewma(aht_s, 0.2, start => 300) over (order by day), 2) as smooth_s
from (values (1, 310), (2, 290), (3, null), (4, 350), (5, 355)) as days(day, aht_s)
order by day;
+-----+-------+----------+
| day | aht_s | smooth_s |
+-----+-------+----------+
| 1   | 310   | 302.0    |
| 2   | 290   | 299.6    |
| 3   |       |          |
| 4   | 350   | 309.68   |
| 5   | 355   | 318.74   |
+-----+-------+----------+
```",
    )
    .with_related_udf("cusum")
    .with_related_udf("changepoints")
    .build()
});

/// When a cumulative sum is an alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits {
    k: f64,
    h: f64,
}

/// The cumulative sums of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    high: f64,
    low: f64,
    /// The rows at which the sums were last 0, plus 1.
    high_since: i64,
    low_since: i64,
    /// The first row with an alarm, and the row at which its shift began.
    alarm: Option<(i64, i64)>,
}

impl Sums {
    /// Adds a value, `deviation` standard deviations from the target, in row `index`, counted from 1.
    fn add(&mut self, deviation: f64, index: i64, limits: Limits) {
        if self.high == 0.0 {
            self.high_since = index;
        }
        if self.low == 0.0 {
            self.low_since = index;
        }
        self.high = (self.high + (deviation - limits.k)).max(0.0);
        self.low = (self.low + (-deviation - limits.k)).max(0.0);
        if self.is_alarm(limits) && self.alarm.is_none() {
            let since = if self.high > limits.h { self.high_since } else { self.low_since };
            self.alarm = Some((index, since));
        }
    }

    fn is_alarm(&self, limits: Limits) -> bool {
        self.high > limits.h || self.low > limits.h
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Cusum;

impl PartitionFunction for Cusum {
    const CALL: Call = Call {
        function: "cusum",
        syntax: "cusum(x, target, k, h [, sigma]) over (partition by queue order by day)",
        parameters: &[
            X,
            Parameter::column("target", Kind::Number),
            Parameter::constant("k", Kind::Number),
            Parameter::constant("h", Kind::Number),
            Parameter::column("sigma", Kind::Number),
        ],
        arities: &[4, 5],
    };
    const ORDER: Option<&'static str> = Some(ORDER);
    type Options = Limits;

    fn result_type() -> DataType {
        DataType::Struct(fields())
    }

    fn bind(constants: &Constants, given: usize) -> Result<Limits> {
        let is_in_units_of_x = given < Self::CALL.parameters.len();
        if is_in_units_of_x && (constants.value("k").is_none() || constants.value("h").is_none()) {
            return plan_err!(
                "cusum: k and h must be given where sigma is not: they are in the units of x then, got NULL"
            );
        }
        Ok(Limits { k: constants.not_negative("k", 0.5)?, h: constants.not_negative("h", 5.0)? })
    }

    fn evaluate(limits: &Limits, columns: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef> {
        let (x, target) = (numbers(columns, 0)?, numbers(columns, 1)?);
        let sigma = if columns.len() > 2 { Some(numbers(columns, 2)?) } else { None };
        let count = bounds.last().copied().unwrap_or_default();
        let mut rows: Vec<Option<Sums>> = Vec::with_capacity(count);
        for range in ranges(bounds) {
            let mut sums = Sums::default();
            let known = known_numbers(x, range.clone()).zip(known_numbers(target, range.clone()));
            for ((row, index), (x, target)) in range.zip(1..).zip(known) {
                let sigma = sigma.map_or(Some(1.0), |sigma| known_numbers(sigma, row..row + 1).flatten().next());
                let deviation = x.zip(target).zip(sigma).and_then(|((x, target), sigma)| {
                    // halves, as the difference of two large numbers may leave the range of a Float64
                    let deviation = 2.0 * ((x / 2.0 - target / 2.0) / sigma);
                    (sigma > 0.0 && deviation.is_finite()).then_some(deviation)
                });
                rows.push(deviation.map(|deviation| {
                    sums.add(deviation, index, *limits);
                    sums
                }));
            }
        }
        let number = |value: fn(&Sums) -> f64| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row.as_ref().map(value)).collect::<Float64Array>())
        };
        let alarm = |value: fn((i64, i64)) -> i64| -> ArrayRef {
            Arc::new(rows.iter().map(|row| row.as_ref()?.alarm.map(value)).collect::<Int64Array>())
        };
        let is_alarm: BooleanArray = rows.iter().map(|row| row.map(|sums| sums.is_alarm(*limits))).collect();
        let columns: Vec<ArrayRef> = vec![
            number(|sums| sums.high),
            number(|sums| sums.low),
            Arc::new(is_alarm),
            alarm(|(index, _)| index),
            alarm(|(_, since)| since),
        ];
        let known: NullBuffer = rows.iter().map(Option::is_some).collect();
        Ok(Arc::new(StructArray::try_new(fields(), columns, Some(known))?))
    }

    fn documentation() -> &'static Documentation {
        &CUSUM_PAGE
    }
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("high", DataType::Float64, true),
        Field::new("low", DataType::Float64, true),
        Field::new("is_alarm", DataType::Boolean, true),
        Field::new("alarm_index", DataType::Int64, true),
        Field::new("shift_index", DataType::Int64, true),
    ])
}

static CUSUM_PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "Cumulative sums of what values are above and below a target, the control chart that sees a small shift of the mean soonest: \
         a shift of one standard deviation after some 10 values, with one false alarm in 465. Each row has a STRUCT: high and low \
         (the sums of both sides, none negative), is_alarm (one of them is above h), alarm_index (the row of the partition, from 1, with \
         the first alarm up to here) and shift_index (the row at which the sum of that alarm began to rise: about when the mean shifted).\n\
         Formula: high_i = max(0, high_i-1 + (x_i - target) / sigma - k), low_i = max(0, low_i-1 - (x_i - target) / sigma - k), both 0 \
         at first; alarm where high > h or low > h. k is half of the shift to be found.\n\
         Units: high, low, k and h are in standard deviations sigma; without sigma in the units of x.\n\
         NULL: a NULL as x, target or sigma, and a sigma that is not above 0, leave the sums as they are, and give NULL; the row counts in \
         the index. alarm_index and shift_index are NULL before the first alarm.\n\
         Edges: the rows count in the order of the window from the first of the partition: a frame has no effect, ORDER BY is needed. Of \
         rows with equal keys the order is not fixed: order by more. The sums go on after an alarm. target and sigma are those of a time \
         without a shift, not of the rows that are watched; they may differ from row to row, so that each queue has its own. NaN and \
         infinities are no measurements and count as NULL.\n\
         Source: E. S. Page, Biometrika 41 (1954) 100-115; D. C. Montgomery, Introduction to Statistical Quality Control, 7th ed., Wiley \
         2013, section 9.1 (tabular CUSUM).",
        Cusum::CALL.syntax,
    )
    .with_argument("x", X_TEXT)
    .with_argument("target", "Number: the mean that is wanted, or was before.")
    .with_argument("k", "Constant number >= 0: what does not count of each difference. Default, with sigma, 0.5.")
    .with_argument("h", "Constant number >= 0: the alarm limit. Default, with sigma, 5.")
    .with_argument("sigma", "Number above 0: the standard deviation of x. Default 1: k and h are in the units of x.")
    .with_sql_example(
        "```sql
select day, c['high'] as high, c['low'] as low, c['is_alarm'] as is_alarm, c['alarm_index'] as alarm_index, c['shift_index'] as shift_index
from (
    select day, cusum(aht_s, target => 300, k => 0.5, h => 4, sigma => 20) over (order by day) as c
    from (values (1, 310), (2, 290), (3, 350), (4, 340), (5, 350)) as days(day, aht_s)
)
order by day;
+-----+------+-----+----------+-------------+-------------+
| day | high | low | is_alarm | alarm_index | shift_index |
+-----+------+-----+----------+-------------+-------------+
| 1   | 0.0  | 0.0 | false    |             |             |
| 2   | 0.0  | 0.0 | false    |             |             |
| 3   | 2.0  | 0.0 | false    |             |             |
| 4   | 3.5  | 0.0 | false    |             |             |
| 5   | 5.5  | 0.0 | true     | 5           | 3           |
+-----+------+-----+----------+-------------+-------------+
```",
    )
    .with_related_udf("ewma")
    .with_related_udf("changepoints")
    .with_related_udf("always_valid_ci")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_names_the_row_and_the_beginning_of_the_shift() {
        // k = .5: 0, .5, 2, 4.5, 5.5 up; down 0 all along
        let limits = Limits { k: 0.5, h: 5.0 };
        let mut sums = Sums::default();
        let mut highs = vec![];
        for (deviation, index) in [-1.0, 1.0, 2.0, 3.0, 1.5, -9.0].into_iter().zip(1..) {
            sums.add(deviation, index, limits);
            highs.push(sums.high);
        }
        assert_eq!(highs, [0.0, 0.5, 2.0, 4.5, 5.5, 0.0]);
        assert_eq!(sums.alarm, Some((5, 2)));
        // 9 - .5 on the other side
        assert!(sums.is_alarm(limits));
        assert_eq!((sums.low, sums.low_since), (8.5, 6));
    }

    #[test]
    fn averages_neither_drift_nor_overflow() {
        assert_eq!(next_average(0.1, 0.1, 0.3), 0.1);
        assert_eq!(next_average(f64::MAX, -f64::MAX, 0.5), 0.0);
        assert_eq!(next_average(10.0, 20.0, 0.1), 11.0);
    }
}

//! `trend_test(at, x)`: whether values rise or fall over time, and by how much.
//!
//! Formula: S = pairs that rise less pairs that fall, z = (S -+ 1) / sqrt(Var(S)) with the correction for ties; the estimate is the
//!          median of the slopes of all pairs (Sen), with its interval.
//! Units:   x per day, or per 1 where at is a number.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   pairs of one time have no slope; NaN and infinities count as NULL.
//! Source:  H. B. Mann 1945; M. G. Kendall 1948; P. K. Sen 1968.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::axis::Axis;
use super::cells::{ALL_EQUAL, NO_ROWS, Series, TOO_LARGE};
use super::distribution::normal_two_sided;
use super::proportion::Level;
use super::record::{FieldType, Figure, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{AT, LEVEL, LEVEL_TEXT, axis, change_page, level};
use crate::args::{Call, Constants, Kind, Parameter};

mod slopes;

use slopes::{Concordance, Slopes};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(TrendTest)]
}

const METHOD: &str = "Mann-Kendall test";
const FEW_ROWS: &str = "fewer than 3 values";
const ONE_TIME: &str = "all values are of one time";
const MANY_ROWS: &str = "too many values for the slope, 20000 at most; aggregate them to hours, days or weeks before";

/// More values have a test but no slope, whose search sorts them some hundred times.
const MOST_ROWS: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Options {
    level: Level,
    axis: Axis,
}

/// The figures of a test.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Trend {
    z: Option<f64>,
    s: Option<i64>,
    tau: Option<f64>,
    slope: Option<f64>,
    bounds: Option<(f64, f64)>,
    reason: Option<&'static str>,
}

impl Trend {
    fn none(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// That of rows in the order of time, by the distances of their times from the first one.
    fn of(points: &[(f64, f64)], level: Level) -> Self {
        match points {
            [] => return Self::none(NO_ROWS),
            [_] | [_, _] => return Self::none(FEW_ROWS),
            [(first, _), .., (last, _)] if first == last => return Self::none(ONE_TIME),
            _ => {}
        }
        let pairs = Concordance::of(points);
        let deviation = pairs.variance.sqrt();
        if deviation <= 0.0 || deviation.is_nan() {
            return Self { s: Some(0), ..Self::none(ALL_EQUAL) };
        }
        let s = pairs.s as f64;
        let test = Self {
            z: Some((s - s.signum() * s.abs().min(1.0)) / deviation),
            s: Some(pairs.s),
            tau: Some(pairs.tau),
            ..Self::default()
        };
        if points.len() > MOST_ROWS {
            return Self { reason: Some(MANY_ROWS), ..test };
        }
        let slopes = Slopes::of(points);
        if !slopes.is_finite() {
            return Self { reason: Some(TOO_LARGE), ..test };
        }
        let (count, margin) = (slopes.count as f64, level.z * deviation);
        // as scipy's theilslopes: ranks counted from 1
        let low = ((count - margin) / 2.0).round().max(1.0) as u64;
        let high = (((count + margin) / 2.0).round() + 1.0).min(count) as u64;
        Self { slope: Some(slopes.median()), bounds: Some((slopes.at_rank(low), slopes.at_rank(high))), ..test }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TrendTest;

impl Statistic for TrendTest {
    const CALL: Call = Call {
        function: "trend_test",
        syntax: "trend_test(at, x [, level])",
        parameters: &[AT, Parameter::column("x", Kind::Number), LEVEL],
        arities: &[2, 3],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("statistic", FieldType::Number),
        ("p_value", FieldType::Number),
        ("estimate", FieldType::Number),
        ("low", FieldType::Number),
        ("high", FieldType::Number),
        ("s", FieldType::Count),
        ("tau", FieldType::Number),
        ("n", FieldType::Count),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Series;
    type Options = Options;

    fn bind(constants: &Constants) -> Result<Options> {
        Ok(Options { level: level(constants)?, axis: Axis::Float })
    }

    fn bind_types(options: Options, types: &[DataType]) -> Result<Options> {
        let axis = types.first().and_then(Axis::of);
        let axis = axis.ok_or_else(|| internal_datafusion_err!("trend_test: at was not coerced, it is {types:?}"))?;
        Ok(Options { axis, ..options })
    }

    fn each_row(_: &Options, columns: &[ArrayRef], each: impl FnMut(Option<(i64, f64)>)) -> Result<()> {
        axis::each_row(columns, each)
    }

    fn finish(options: &Options, entries: &mut [Entry<Series>], _: Option<&[u8]>) -> Record {
        let rows = entries.first_mut().map(|entry| entry.cell.sorted()).unwrap_or_default();
        let origin = rows.first().map_or(0, |(at, _)| *at);
        let points: Vec<(f64, f64)> = rows.iter().map(|(at, x)| (options.axis.distance(*at, origin), *x)).collect();
        let trend = Trend::of(&points, options.level);
        let (low, high) = trend.bounds.unzip();
        vec![
            Figure::Number(trend.z),
            Figure::Number(trend.z.map(normal_two_sided)),
            Figure::Number(trend.slope),
            Figure::Number(low),
            Figure::Number(high),
            Figure::Count(trend.s),
            Figure::Number(trend.tau),
            Figure::Count(Some(rows.len() as i64)),
            Figure::Text(Some(METHOD)),
            Figure::Text(trend.reason),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            change_page(
                TrendTest::CALL,
                "Whether values rise or fall over time, and by how much, without an assumption on their distribution or on the shape of \
                 the trend: the test of Mann and Kendall with the slope of Sen.\n\
                 Formula: s = pairs in which the later value is larger less those in which it is smaller; statistic = z = (s - 1) / \
                 sqrt(Var(s)) for s > 0, (s + 1) / sqrt(Var(s)) for s < 0, else 0, with the variance corrected for equal values and \
                 equal times; p_value of the normal distribution, two-sided; tau = s / sqrt((pairs of different times) (pairs of \
                 different values)); estimate = the median of the slopes of all pairs of different times; low and high are the slopes of \
                 the ranks (N -+ z_level sqrt(Var(s))) / 2 among the N of them.\n\
                 Units: estimate, low and high in x per day where at is a timestamp or a date, else in x per 1 of at: times 7 is per week.\n\
                 NULL: a row with a NULL at or x is skipped. Fewer than 3 values, values that are all equal or all of one time: NULL for \
                 the figures, and a reason. More than 20,000 values have a test, but no slope, with a reason.\n\
                 Edges: rows may come in any order; rows of one time are compared with others, not with each other. With fewer than 10 \
                 values the p_value is an approximation. Values that depend on their neighbours (a season, a slow drift) make the \
                 p_value too small: give daily, weekly or monthly figures. NaN and infinities are no measurements and count as NULL. \
                 Rows are held in memory, 16 bytes each, and as much again for the search. DISTINCT is refused.\n\
                 Source: H. B. Mann, Econometrica 13 (1945) 245-259; M. G. Kendall, Rank Correlation Methods, Griffin 1948 (ties); P. K. \
                 Sen, Journal of the American Statistical Association 63 (1968) 1379-1389; as Python's pymannkendall and scipy's \
                 theilslopes.",
            )
            .with_argument("at", "When x was measured: a timestamp, a date or a number.")
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select round(t['p_value'], 4) as p_value, t['estimate'] as per_week_s, t['low'] as low, t['high'] as high
from (
    select trend_test(week, aht_s) as t
    from (values (1, 310), (2, 325), (3, 318), (4, 331), (5, 329), (6, 340), (7, 338), (8, 352)) as weeks(week, aht_s)
);
+---------+------------+-----+-------------------+
| p_value | per_week_s | low | high              |
+---------+------------+-----+-------------------+
| 0.0094  | 4.875      | 2.6 | 7.333333333333333 |
+---------+------------+-----+-------------------+
```",
            )
            .with_related_udf("changepoints")
            .with_related_udf("season_test")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(points: &[(f64, f64)]) -> Trend {
        Trend::of(points, Level { level: 0.95, z: 1.959_963_984_540_054 })
    }

    #[test]
    fn four_values_by_hand() {
        // Pairs of 1 3 2 4: 5 rise, 1 falls: s = 4; Var = 4 * 3 * 13 / 18 = 26 / 3; z = 3 / sqrt(26 / 3).
        // Slopes 2, .5, 1, -1, .5, 2: median (.5 + 1) / 2.
        let trend = trend(&[(0.0, 1.0), (1.0, 3.0), (2.0, 2.0), (3.0, 4.0)]);
        assert_eq!(trend.s, Some(4));
        assert!((trend.z.unwrap() - 3.0 / (26.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((trend.tau.unwrap() - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(trend.slope, Some(0.75));
        // margin 5.77 of 6: ranks 0 and 6, so 1 and 6
        assert_eq!(trend.bounds, Some((-1.0, 2.0)));
    }

    #[test]
    fn figures_that_are_not_defined_have_a_reason() {
        assert_eq!(trend(&[]), Trend::none(NO_ROWS));
        assert_eq!(trend(&[(0.0, 1.0), (1.0, 2.0)]), Trend::none(FEW_ROWS));
        assert_eq!(trend(&[(0.0, 1.0), (0.0, 2.0), (0.0, 3.0)]), Trend::none(ONE_TIME));
        let equal = trend(&[(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)]);
        assert_eq!((equal.reason, equal.s, equal.z), (Some(ALL_EQUAL), Some(0), None));
    }

    #[test]
    fn many_values_have_a_test_without_a_slope() {
        let points: Vec<(f64, f64)> = (0..=MOST_ROWS).map(|row| (row as f64, (row % 7) as f64 + row as f64)).collect();
        let trend = trend(&points);
        assert_eq!((trend.slope, trend.reason), (None, Some(MANY_ROWS)));
        assert!(trend.z.unwrap() > 100.0);
    }
}

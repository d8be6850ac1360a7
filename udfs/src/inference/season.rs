//! `season_test(at, x, period)`: whether a figure depends on the hour of the day, the day of the week, the month of the year, or
//! on the place in another period.
//!
//! Formula: Friedman's: the ranks of the seasons within each period; 12 / (b k (k + 1)) sum (R_j - b (k + 1) / 2)^2, divided by
//!          1 - sum(t^3 - t) / (b k (k^2 - 1)).
//! Units:   any number in; Kendall's W, a ratio from 0 to 1, out.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   a level that differs from period to period has no part in it; NaN and infinities count as NULL.
//! Source:  M. Friedman 1937; the stable seasonality of X-11 is tested by it (J. Lothian and M. Morry 1978).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{HashMap, Result, internal_datafusion_err, plan_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::axis::Axis;
use super::cells::{ALL_EQUAL, NO_ROWS, Series};
use super::distribution::chi_square_upper;
use super::record::{FieldType, Figure, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{AT, axis, change_page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(SeasonTest)]
}

const METHOD: &str = "Friedman test";
const ONE_SEASON: &str = "values of one season only; two are compared";
const FEW_PERIODS: &str = "fewer than two periods with a value of each season";

/// What repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    /// Hours of a day.
    Day,
    /// Days of a week.
    Week,
    /// Months of a year.
    Year,
    /// So many units of `at`.
    Units(i64),
}

const PERIODS: &[(&str, Period)] = &[("day", Period::Day), ("week", Period::Week), ("year", Period::Year)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Options {
    period: Period,
    axis: Axis,
}

impl Options {
    /// The period of a position, and its season in it.
    fn season(&self, position: i64) -> (i64, i64) {
        let ticks = self.axis.ticks_per_day().unwrap_or(1);
        let day = position.div_euclid(ticks);
        match self.period {
            Period::Day => (day, position.rem_euclid(ticks) / (ticks / 24).max(1)),
            // 1970-01-01 was a Thursday; a week begins on Monday, which is 1
            Period::Week => ((day.saturating_add(3)).div_euclid(7), (day.saturating_add(3)).rem_euclid(7) + 1),
            Period::Year => year_and_month(day),
            Period::Units(units) => (position.div_euclid(units), position.rem_euclid(units)),
        }
    }
}

/// The year and the month of a day since 1970-01-01 in the Gregorian calendar (H. Hinnant, chrono-compatible low-level date
/// algorithms, 2013): years begin in March, so that the leap day is the last one.
fn year_and_month(day: i64) -> (i64, i64) {
    let day = i128::from(day) + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i128::from(month <= 2);
    (year as i64, month as i64)
}

/// The figures of a test.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Seasons {
    statistic: Option<f64>,
    period_count: i64,
    season_count: i64,
    /// The seasons of the highest and the lowest values.
    extremes: Option<(i64, i64)>,
    reason: Option<&'static str>,
}

impl Seasons {
    fn none(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// Those of values with their period and season, in the order of time.
    fn of(values: &[((i64, i64), f64)]) -> Self {
        if values.is_empty() {
            return Self::none(NO_ROWS);
        }
        // several values of one season in one period count as their mean
        let means = values.chunk_by(|one, other| one.0 == other.0).filter_map(|cell| {
            let ((period, season), _) = *cell.first()?;
            Some((period, season, cell.iter().map(|(_, x)| x / cell.len() as f64).sum::<f64>()))
        });
        let means: Vec<(i64, i64, f64)> = means.collect();
        let periods = || means.chunk_by(|one, other| one.0 == other.0);
        let known_periods = periods().count();
        let mut periods_of_season: HashMap<i64, usize> = HashMap::default();
        for (_, season, _) in &means {
            *periods_of_season.entry(*season).or_default() += 1;
        }
        let mut seasons: Vec<i64> = periods_of_season
            .iter()
            .filter(|(_, count)| 2 * **count >= known_periods)
            .map(|(season, _)| *season)
            .collect();
        seasons.sort_unstable();
        if seasons.len() < 2 {
            return Self::none(ONE_SEASON);
        }
        let k = seasons.len() as f64;
        let mut rank_sums = vec![0.0; seasons.len()];
        let (mut period_count, mut tie_term) = (0, 0.0);
        for period in periods() {
            let kept = period.iter().filter_map(|(_, season, x)| Some((seasons.binary_search(season).ok()?, *x)));
            let mut kept: Vec<(usize, f64)> = kept.collect();
            if kept.len() < seasons.len() {
                continue;
            }
            period_count += 1;
            kept.sort_unstable_by(|(_, one), (_, other)| one.total_cmp(other));
            let mut below = 0.0;
            for tied in kept.chunk_by(|(_, one), (_, other)| one == other) {
                let count = tied.len() as f64;
                // from their mean
                let rank = below + (count + 1.0) / 2.0 - (k + 1.0) / 2.0;
                for (season, _) in tied {
                    if let Some(sum) = rank_sums.get_mut(*season) {
                        *sum += rank;
                    }
                }
                tie_term += count * count * count - count;
                below += count;
            }
        }
        let counted = Self { period_count, season_count: seasons.len() as i64, ..Self::default() };
        if period_count < 2 {
            return Self { reason: Some(FEW_PERIODS), ..counted };
        }
        let b = period_count as f64;
        let untied = 1.0 - tie_term / (b * (k * k * k - k));
        if untied <= 1e-12 {
            return Self { reason: Some(ALL_EQUAL), ..counted };
        }
        let squares: f64 = rank_sums.iter().map(|sum| sum * sum).sum();
        let ranked = || rank_sums.iter().zip(&seasons);
        let highest = ranked().rev().max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, season)| *season);
        let lowest = ranked().min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, season)| *season);
        Self {
            statistic: Some(12.0 / (b * k * (k + 1.0)) * squares / untied),
            extremes: highest.zip(lowest),
            ..counted
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SeasonTest;

impl Statistic for SeasonTest {
    const CALL: Call = Call {
        function: "season_test",
        syntax: "season_test(at, x, period)",
        parameters: &[AT, Parameter::column("x", Kind::Number), Parameter::constant("period", Kind::TextOrNumber)],
        arities: &[3],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("statistic", FieldType::Number),
        ("df", FieldType::Number),
        ("p_value", FieldType::Number),
        ("estimate", FieldType::Number),
        ("n", FieldType::Count),
        ("period_count", FieldType::Count),
        ("season_count", FieldType::Count),
        ("highest", FieldType::Count),
        ("lowest", FieldType::Count),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Series;
    type Options = Options;

    fn bind(constants: &Constants) -> Result<Options> {
        let Some(value) = constants.value("period") else {
            return plan_err!("season_test: period must be 'day', 'week', 'year' or an integer >= 2, got NULL");
        };
        let period = if value.data_type().is_string() {
            constants.choice("period", PERIODS)?
        } else {
            constants.integer("period", 2)?.map(|units| Period::Units(i64::from(units)))
        };
        Ok(Options { period: period.unwrap_or(Period::Week), axis: Axis::Integer })
    }

    fn bind_types(options: Options, types: &[DataType]) -> Result<Options> {
        let axis = types.first().and_then(Axis::of);
        let axis = axis.ok_or_else(|| internal_datafusion_err!("season_test: at was not coerced, it is {types:?}"))?;
        match (options.period, axis) {
            (Period::Units(_), Axis::Integer | Axis::Date) | (Period::Week | Period::Year, Axis::Date) => {}
            (Period::Day | Period::Week | Period::Year, Axis::Timestamp(_)) => {}
            (Period::Units(_), Axis::Timestamp(_)) => {
                return plan_err!(
                    "season_test: period must be 'day', 'week' or 'year' where at is a timestamp, got a number"
                );
            }
            (Period::Day, Axis::Date) => {
                return plan_err!(
                    "season_test: period 'day' has the hours as seasons, at must be a timestamp, got a date"
                );
            }
            (_, Axis::Float) => {
                return plan_err!("season_test: at must be a timestamp, a date or an integer, got Float64");
            }
            (_, Axis::Integer) => {
                return plan_err!("season_test: period must be an integer >= 2 where at is an integer, got a string");
            }
        }
        Ok(Options { axis, ..options })
    }

    fn each_row(_: &Options, columns: &[ArrayRef], each: impl FnMut(Option<(i64, f64)>)) -> Result<()> {
        axis::each_row(columns, each)
    }

    fn finish(options: &Options, entries: &mut [Entry<Series>], _: Option<&[u8]>) -> Record {
        let rows = entries.first_mut().map(|entry| entry.cell.sorted()).unwrap_or_default();
        let values: Vec<((i64, i64), f64)> = rows.iter().map(|(at, x)| (options.season(*at), *x)).collect();
        let seasons = Seasons::of(&values);
        let df = seasons.statistic.map(|_| seasons.season_count as f64 - 1.0);
        let (highest, lowest) = seasons.extremes.unzip();
        vec![
            Figure::Number(seasons.statistic),
            Figure::Number(df),
            Figure::Number(seasons.statistic.zip(df).map(|(statistic, df)| chi_square_upper(statistic, df))),
            Figure::Number(
                seasons.statistic.zip(df).map(|(statistic, df)| statistic / (seasons.period_count as f64 * df)),
            ),
            Figure::Count(Some(rows.len() as i64)),
            Figure::Count(Some(seasons.period_count)),
            Figure::Count(Some(seasons.season_count)),
            Figure::Count(highest),
            Figure::Count(lowest),
            Figure::Text(Some(METHOD)),
            Figure::Text(seasons.reason),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            change_page(
                SeasonTest::CALL,
                "Whether a figure depends on the season: the hour of the day, the day of the week, the month of the year, or the place \
                 in another period. Friedman's test compares the seasons within each period, so that a level that differs from \
                 period to period, or a slow trend, is no season.\n\
                 Formula: in each of b periods the k seasons are ranked by their values, equal ones with the mean of their ranks; with \
                 R_j the sum of the ranks of season j, statistic = 12 / (b k (k + 1)) sum (R_j - b (k + 1) / 2)^2, divided by 1 - sum(t^3 - \
                 t) / (b (k^3 - k)) for t equal values; df = k - 1; p_value is the upper tail of the chi-square distribution; estimate = \
                 Kendall's W = statistic / (b (k - 1)), 1 where all periods have the same order. highest and lowest are the seasons with \
                 the largest and the smallest R_j.\n\
                 Units: any number in; estimate is a ratio from 0 to 1. A season is an hour from 0 to 23 (of 'day'), a day from 1, \
                 Monday, to 7 (of 'week'), a month from 1 to 12 (of 'year'), or the remainder of at / period.\n\
                 NULL: a row with a NULL at or x is skipped. Fewer than two seasons, fewer than two whole periods, or values that are \
                 all equal within each period: NULL for the figures, and a reason.\n\
                 Edges: several values of one season in one period count as their mean. A season that more than half of the periods \
                 lack (a closed Sunday) is left out, then periods that lack one of the others; period_count and season_count are those \
                 that are left. Periods begin at midnight, on Monday and on 1 January, in UTC. A trend that is steep within a period shows \
                 as a season. With fewer than 5 periods and 5 seasons the p_value is an approximation. NaN and infinities are no \
                 measurements and count as NULL. Rows are held in memory, 16 bytes each, and as much again for the test. DISTINCT is \
                 refused.\n\
                 Source: M. Friedman, Journal of the American Statistical Association 32 (1937) 675-701; J. Lothian and M. Morry, A Test of \
                 the Presence of Identifiable Seasonality When Using the X-11 Program, Statistics Canada 1978 (stable seasonality); as \
                 scipy.stats.friedmanchisquare.",
            )
            .with_argument("at", "When x was measured: a timestamp, a date or an integer.")
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_argument(
                "period",
                "Constant: 'day' (seasons are its hours; at is a timestamp), 'week' (its days), 'year' (its months), or an integer >= 2, \
                 the length of a period in units of at (days of a date, or those of an integer).",
            )
            .with_sql_example(
                "```sql
select round(t['p_value'], 4) as p_value, round(t['estimate'], 3) as w, t['highest'] as highest, t['lowest'] as lowest
from (
    select season_test(day, contacts, 'week') as t
    from (values
        (date '2025-03-03', 120), (date '2025-03-04', 101), (date '2025-03-05', 98), (date '2025-03-06', 90), (date '2025-03-07', 70),
        (date '2025-03-10', 131), (date '2025-03-11', 95), (date '2025-03-12', 99), (date '2025-03-13', 92), (date '2025-03-14', 75),
        (date '2025-03-17', 128), (date '2025-03-18', 99), (date '2025-03-19', 94), (date '2025-03-20', 97), (date '2025-03-21', 69)
    ) as days(day, contacts)
);
+---------+-------+---------+--------+
| p_value | w     | highest | lowest |
+---------+-------+---------+--------+
| 0.0306  | 0.889 | 1       | 5      |
+---------+-------+---------+--------+
```",
            )
            .with_related_udf("trend_test")
            .with_related_udf("kruskal_test")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    fn values(periods: &[&[f64]]) -> Vec<((i64, i64), f64)> {
        let rows = periods.iter().enumerate().flat_map(|(period, values)| {
            values.iter().enumerate().map(move |(season, x)| ((period as i64, season as i64), *x))
        });
        rows.filter(|(_, x)| x.is_finite()).collect()
    }

    #[test]
    fn three_periods_by_hand() {
        // The same order of 3 seasons in 3 periods: R = 3, 6, 9 around 6: 12 / 36 * 18 = 6, W = 6 / (3 * 2) = 1.
        let test = Seasons::of(&values(&[&[1.0, 2.0, 3.0], &[11.0, 12.0, 13.0], &[4.0, 5.0, 60.0]]));
        assert!((test.statistic.unwrap() - 6.0).abs() < 1e-12);
        assert_eq!((test.period_count, test.season_count, test.extremes), (3, 3, Some((2, 0))));
        // ranks 1.5 1.5 3 and 1 2 3: R = 2.5 3.5 6 around 4: 12 / 24 * 6.5 = 3.25, over 1 - 6 / 48
        let tied = Seasons::of(&values(&[&[1.0, 1.0, 3.0], &[1.0, 2.0, 3.0]]));
        assert!((tied.statistic.unwrap() - 3.25 / 0.875).abs() < 1e-12);
    }

    #[test]
    fn seasons_and_periods_that_lack_values_are_left_out() {
        const NONE: f64 = f64::NAN;
        // season 3 is in one of four periods, the last period lacks season 1
        let periods: [&[f64]; 4] = [&[1.0, 2.0, 3.0, 9.0], &[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, NONE], &[1.0, NONE, 3.0]];
        let test = Seasons::of(&values(&periods));
        assert_eq!((test.period_count, test.season_count), (3, 3));
        assert_eq!(Seasons::of(&[]), Seasons::none(NO_ROWS));
        assert_eq!(Seasons::of(&values(&[&[1.0], &[2.0]])), Seasons::none(ONE_SEASON));
        assert_eq!(Seasons::of(&values(&[&[1.0, 2.0]])).reason, Some(FEW_PERIODS));
        assert_eq!(Seasons::of(&values(&[&[1.0, 1.0], &[2.0, 2.0]])).reason, Some(ALL_EQUAL));
    }

    #[test]
    fn seasons_of_the_calendar() {
        let of = |period, axis, position| Options { period, axis }.season(position);
        // 2024-02-29, day 19782, a Thursday
        assert_eq!(of(Period::Year, Axis::Date, 19_782), (2024, 2));
        assert_eq!(of(Period::Year, Axis::Date, 19_783), (2024, 3));
        assert_eq!(of(Period::Year, Axis::Date, -1), (1969, 12));
        assert_eq!(of(Period::Week, Axis::Date, 19_782).1, 4);
        assert_eq!(of(Period::Week, Axis::Date, -4).1, 7);
        assert_eq!(of(Period::Day, Axis::Timestamp(TimeUnit::Second), 19_782 * 86_400 + 3_599), (19_782, 0));
        assert_eq!(of(Period::Day, Axis::Timestamp(TimeUnit::Second), -1), (-1, 23));
        assert_eq!(of(Period::Units(7), Axis::Integer, -1), (-1, 6));
        for position in [i64::MIN, i64::MAX] {
            let _ = of(Period::Year, Axis::Date, position);
            let _ = of(Period::Week, Axis::Date, position);
            let _ = of(Period::Day, Axis::Timestamp(TimeUnit::Nanosecond), position);
        }
    }
}

//! `nps(score)`, `csat(score [, satisfied_from [, scale_max [, scale_min]]])`: what surveys say.
//!
//! Formula: nps = 100 * (promoters - detractors) / answers, promoters 9 and 10, detractors 0 to 6;
//!          csat = answers of at least `satisfied_from` / answers.
//! Units:   scores in; nps in points from -100 to 100, csat a ratio in [0, 1].
//! NULL:    a NULL score is skipped; so is one that is not on the scale; no answers left gives NULL.
//! Edges:   scales hold whole numbers: 7.5, 11, -1 and NaN are no NPS answers, 0 is no CSAT answer on 1 to 5.
//! Source:  F. F. Reichheld, "The One Number You Need to Grow", Harvard Business Review, December 2003 (nps);
//!          Delighted, "How is CSAT calculated?", help.delighted.com (csat: scores 4 and 5 of 5).
//! Choices: csat counts 4 and 5 of 1 to 5 by default (7-point scales count 5 to 7: `csat(score, 5, 7)`).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use crate::aggregate::{Function, Measure, Tally, aggregate, count_column, counts, each_known, numbers, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::rate::Share;

mod effort;

/// Answers to "how likely are you to recommend us".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recommendations {
    pub(crate) answers: i64,
    /// Promoters less detractors.
    pub(crate) balance: i64,
}

impl Recommendations {
    /// One answer; one that is not a whole number from 0 to 10 does not count.
    pub(crate) fn of(score: f64) -> Self {
        // The cast truncates, saturates, and makes NaN 0: only whole numbers come back as they were.
        let whole = score as i32;
        let is_on_scale = (f64::from(whole) == score) & (0..=10).contains(&whole);
        let balance = i64::from(whole >= 9) - i64::from(whole <= 6);
        Self { answers: i64::from(is_on_scale), balance: if is_on_scale { balance } else { 0 } }
    }
}

impl Tally for Recommendations {
    const COLUMNS: &'static [(&'static str, DataType)] = &[("answers", DataType::Int64), ("balance", DataType::Int64)];

    fn merge(&mut self, other: Self) {
        self.answers += other.answers;
        self.balance += other.balance;
    }

    fn retract(&mut self, other: Self) {
        self.answers -= other.answers;
        self.balance -= other.balance;
    }

    fn finish(self) -> Option<f64> {
        (self.answers > 0).then(|| 100.0 * self.balance as f64 / self.answers as f64)
    }

    fn to_columns(tallies: &[Self]) -> Vec<ArrayRef> {
        vec![count_column(tallies, |tally| tally.answers), count_column(tallies, |tally| tally.balance)]
    }

    fn from_columns(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let rows = counts(columns, 0)?.iter().zip(counts(columns, 1)?);
        Ok(rows.map(|(&answers, &balance)| Self { answers, balance }).collect())
    }
}

#[derive(Debug, Clone, Copy)]
struct NpsMeasure;

impl Measure for NpsMeasure {
    type Tally = Recommendations;

    fn each_row(&self, columns: &[ArrayRef], each: impl FnMut(Recommendations)) -> Result<()> {
        let scores = numbers(columns, 0)?;
        each_known(scores.values().iter().copied(), scores.nulls(), Recommendations::of, each);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Nps;

impl Function for Nps {
    const CALL: Call = Call {
        function: "nps",
        syntax: "nps(score)",
        parameters: &[Parameter::column("score", Kind::Number)],
        arities: &[1],
    };

    type Measure = NpsMeasure;

    fn bind(_: &Constants) -> Result<NpsMeasure> {
        Ok(NpsMeasure)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Nps::CALL,
                "Satisfaction",
                "Net Promoter Score of answers from 0 to 10.\n\
                 Formula: 100 * (promoters - detractors) / answers; promoters answered 9 or 10, detractors 0 to 6.\n\
                 Units: scores in, points from -100 to 100 out.\n\
                 NULL: a NULL score is skipped, and so is one that is not on the scale; no answers left gives NULL.\n\
                 Edges: the scale holds the whole numbers 0 to 10: 11, -1, 7.5 and NaN count as NULL. DISTINCT is \
                 refused.\n\
                 Source: F. F. Reichheld, The One Number You Need to Grow, Harvard Business Review, December 2003.",
            )
            .with_argument("score", "Number: the answer to the question how likely a recommendation is.")
            .with_sql_example(
                "```sql
select product, nps(score) as nps
from (values ('app', 10), ('app', 9), ('app', 8), ('app', 3), ('web', 6), ('web', 11)) as t(product, score)
group by product
order by product;
+---------+--------+
| product | nps    |
+---------+--------+
| app     | 25.0   |
| web     | -100.0 |
+---------+--------+
```",
            )
            .with_related_udf("csat")
            .build()
        });
        &PAGE
    }
}

/// A scale of whole numbers, and where satisfaction begins on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    min: f64,
    max: f64,
    satisfied_from: f64,
}

impl Scale {
    /// The scale that the constants `satisfied_from`, `scale_max` and `scale_min` name; 4 and 5 of 1 to 5 where they are absent.
    ///
    /// # Errors
    /// A planning error for a scale that is empty or not of whole numbers, or a start of satisfaction that is not on it.
    pub(crate) fn bind(constants: &Constants) -> Result<Self> {
        Self::bind_to("satisfied_from", Self { min: 1.0, max: 5.0, satisfied_from: 4.0 }, constants)
    }

    /// As [`Scale::bind`], with another name of the parameter `satisfied_from` and other defaults.
    fn bind_to(from_name: &str, default: Self, constants: &Constants) -> Result<Self> {
        let function = constants.function();
        let satisfied_from = constants.number(from_name)?.unwrap_or(default.satisfied_from);
        let max = constants.number("scale_max")?.unwrap_or(default.max);
        let min = constants.number("scale_min")?.unwrap_or(default.min);
        for (name, bound) in [("scale_max", max), ("scale_min", min)] {
            if f64::from(bound as i32) != bound {
                return plan_err!("{function}: {name} must be a whole number, got {bound}");
            }
        }
        if max <= min {
            return plan_err!("{function}: scale_max must be > scale_min ({min}), got {max}");
        }
        if !(min..=max).contains(&satisfied_from) {
            return plan_err!("{function}: {from_name} must be on the scale {min} to {max}, got {satisfied_from}");
        }
        Ok(Self { min, max, satisfied_from })
    }

    /// One answer; one that is not on the scale does not count.
    pub(crate) fn of(self, score: f64) -> Share {
        // The cast truncates, saturates, and makes NaN 0: only whole numbers come back as they were.
        let is_whole = f64::from(score as i32) == score;
        Share::of_known(score >= self.satisfied_from, is_whole & (score >= self.min) & (score <= self.max))
    }
}

impl Measure for Scale {
    type Tally = Share;

    fn each_row(&self, columns: &[ArrayRef], each: impl FnMut(Share)) -> Result<()> {
        let scores = numbers(columns, 0)?;
        each_known(scores.values().iter().copied(), scores.nulls(), |score| self.of(score), each);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Csat;

impl Function for Csat {
    const CALL: Call = Call {
        function: "csat",
        syntax: "csat(score [, satisfied_from [, scale_max [, scale_min]]])",
        parameters: &[
            Parameter::column("score", Kind::Number),
            Parameter::constant("satisfied_from", Kind::Number),
            Parameter::constant("scale_max", Kind::Number),
            Parameter::constant("scale_min", Kind::Number),
        ],
        arities: &[1, 2, 3, 4],
    };

    type Measure = Scale;

    fn bind(constants: &Constants) -> Result<Scale> {
        Scale::bind(constants)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Csat::CALL,
                "Satisfaction",
                "Customer satisfaction: share of answers in the top boxes of the scale.\n\
                 Formula: answers >= satisfied_from / answers.\n\
                 Units: scores in, ratio from 0 to 1 out.\n\
                 NULL: a NULL score is skipped, and so is one that is not on the scale; no answers left gives NULL.\n\
                 Edges: the scale holds the whole numbers from scale_min to scale_max: on 1 to 5, the answers 0, 6, 4.5 \
                 and NaN count as NULL. Half stars are whole after doubling: csat(2 * stars, 8, 10, 2). A constant that \
                 is NULL takes its default. DISTINCT is refused.\n\
                 Source: Delighted, How is CSAT calculated?, help.delighted.com (scores 4 and 5 of 5 are satisfied); \
                 7-point scales count 5 to 7: csat(score, 5, 7).",
            )
            .with_argument("score", "Number: the answer.")
            .with_argument("satisfied_from", "Constant number: the lowest answer that is satisfied. Default 4.")
            .with_argument("scale_max", "Constant whole number: the highest answer of the scale. Default 5.")
            .with_argument("scale_min", "Constant whole number: the lowest answer of the scale. Default 1.")
            .with_sql_example(
                "```sql
select csat(score) as csat_ratio, csat(score, satisfied_from => 5) as top_box_ratio
from (values (5), (4), (4), (2), (0), (null)) as t(score);
+------------+---------------+
| csat_ratio | top_box_ratio |
+------------+---------------+
| 0.75       | 0.25          |
+------------+---------------+
```",
            )
            .with_related_udf("nps")
            .build()
        });
        &PAGE
    }
}

pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [vec![aggregate(Nps), aggregate(Csat)], effort::aggregate_functions()].concat()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn nps(scores: impl IntoIterator<Item = f64>) -> Option<f64> {
        let mut tally = Recommendations::default();
        scores.into_iter().for_each(|score| tally.merge(Recommendations::of(score)));
        tally.finish()
    }

    fn csat(scale: Scale, scores: impl IntoIterator<Item = f64>) -> Option<f64> {
        let mut share = Share::default();
        scores.into_iter().for_each(|score| share.merge(scale.of(score)));
        share.finish()
    }

    const FIVE: Scale = Scale { min: 1.0, max: 5.0, satisfied_from: 4.0 };

    fn repeat(score: f64, times: usize) -> impl Iterator<Item = f64> {
        std::iter::repeat_n(score, times)
    }

    #[test]
    fn promoters_less_detractors_in_points() {
        // 5 promoters, 3 passives, 2 detractors of 10: 100 * (5 - 2) / 10 = 30.
        assert_eq!(nps(repeat(10.0, 5).chain(repeat(8.0, 3)).chain(repeat(4.0, 2))), Some(30.0));
    }

    #[test]
    fn each_score_is_what_reichheld_calls_it() {
        for score in 0..=10 {
            let wanted = match score {
                9 | 10 => 100.0,
                7 | 8 => 0.0,
                _ => -100.0,
            };
            assert_eq!(nps([f64::from(score)]), Some(wanted), "{score}");
        }
    }

    #[test]
    fn what_is_not_on_the_scale_does_not_count() {
        for score in
            [11.0, -1.0, 7.5, -0.5, 10.000001, 1e300, -1e300, 4294967296.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
        {
            assert_eq!(Recommendations::of(score), Recommendations::default(), "{score}");
            assert_eq!(FIVE.of(score), Share::default(), "{score}");
        }
        assert_eq!(nps([11.0, 9.0]), Some(100.0));
        assert_eq!(csat(FIVE, [0.0, 6.0, 4.5]), None);
    }

    #[test]
    fn csat_of_the_published_example() {
        // Delighted: 42 fives, 32 fours, 10 threes, 9 twos, 14 ones: 74 satisfied of 107.
        let answers = repeat(5.0, 42).chain(repeat(4.0, 32)).chain(repeat(3.0, 10));
        let answers = answers.chain(repeat(2.0, 9)).chain(repeat(1.0, 14));
        assert_eq!(csat(FIVE, answers), Some(74.0 / 107.0));
    }

    #[test]
    fn csat_counts_from_where_it_is_told() {
        let seven = Scale { min: 1.0, max: 7.0, satisfied_from: 5.0 };
        // 5, 6 and 7 of the 6 answers on the scale: 3 / 6.
        assert_eq!(csat(seven, [7.0, 6.0, 5.0, 4.0, 2.0, 1.0, 8.0]), Some(0.5));
    }

    #[test]
    fn no_answers_is_null() {
        assert_eq!(nps([]), None);
        assert_eq!(csat(FIVE, []), None);
    }

    #[test]
    fn retract_undoes_merge() {
        let mut tally = Recommendations::of(9.0);
        let passive = Recommendations::of(7.0);
        tally.merge(passive);
        tally.retract(passive);
        assert_eq!(tally, Recommendations::of(9.0));
    }

    /// Preppin' Data's exercise: 39 answers, 8 promoters, 22 detractors, NPS -35.9 (see PROVENANCE.txt beside it).
    #[test]
    fn nps_of_the_published_survey() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("shared/data/nps_small"))
            .find(|folder| folder.is_dir());
        let Some(folder) = folder else {
            eprintln!("skipped: shared/data/nps_small is not here");
            return;
        };
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let scores = read("input_01.csv")
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).unwrap().trim().parse::<f64>().unwrap())
            .collect::<Vec<_>>();
        let expected = read("expected_output_01.csv");
        let expected = expected.lines().nth(1).unwrap().split(',').collect::<Vec<_>>();

        let mut tally = Recommendations::default();
        scores.iter().for_each(|score| tally.merge(Recommendations::of(*score)));
        assert_eq!(tally.answers.to_string(), expected[1]);
        assert_eq!(format!("{:.1}", tally.finish().unwrap()), expected[0]);
        // 8 promoters - 22 detractors.
        assert_eq!(tally.balance, 8 - 22);
    }
}

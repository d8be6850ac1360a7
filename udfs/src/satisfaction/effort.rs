//! `ces_mean(score)`, `ces_ratio(score)`: the Customer Effort Score, as the mean of the answers and as the share of easy ones.
//!
//! Formula: ces_mean = sum of the answers / answers; ces_ratio = answers of at least `easy_from` / answers.
//! Units:   scores in; a score of the scale, or a ratio in [0, 1] out.
//! NULL:    a NULL score is skipped; so is one that is not on the scale; no answers left gives NULL.
//! Edges:   scales hold whole numbers: 4.5, 0 and 8 are no answers on 1 to 7.
//! Source:  CEB (now Gartner), "Customer Effort Score 2.0", 2013: seven degrees of agreement with "the company made it easy
//!          for me to handle my issue"; easy is 5 to 7. Choices: both figures are given, neither is called just "ces".

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::Scale;
use crate::aggregate::{Function, Measure, Tally, aggregate, count_column, counts, each_known, numbers, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// Answers on a scale of whole numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Scores {
    answers: i64,
    /// Exact: 2^31 answers of 2^31 fit.
    sum: i64,
}

impl Tally for Scores {
    const COLUMNS: &'static [(&'static str, DataType)] = &[("answers", DataType::Int64), ("sum", DataType::Int64)];

    fn merge(&mut self, other: Self) {
        self.answers += other.answers;
        self.sum = self.sum.saturating_add(other.sum);
    }

    fn retract(&mut self, other: Self) {
        self.answers -= other.answers;
        self.sum = self.sum.saturating_sub(other.sum);
    }

    fn finish(self) -> Option<f64> {
        (self.answers > 0).then(|| self.sum as f64 / self.answers as f64)
    }

    fn to_columns(tallies: &[Self]) -> Vec<ArrayRef> {
        vec![count_column(tallies, |tally| tally.answers), count_column(tallies, |tally| tally.sum)]
    }

    fn from_columns(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let rows = counts(columns, 0)?.iter().zip(counts(columns, 1)?);
        Ok(rows.map(|(&answers, &sum)| Self { answers, sum }).collect())
    }
}

/// The mean of the answers on a scale.
#[derive(Debug, Clone, Copy)]
struct MeanScore(Scale);

impl MeanScore {
    fn of(self, score: f64) -> Scores {
        let is_answer = self.0.of(score).known;
        // a score that is no answer may be any number: it is multiplied by 0 after the cast
        Scores { answers: is_answer, sum: is_answer * i64::from(score as i32) }
    }
}

impl Measure for MeanScore {
    type Tally = Scores;

    fn each_row(&self, columns: &[ArrayRef], each: impl FnMut(Scores)) -> Result<()> {
        let scores = numbers(columns, 0)?;
        each_known(scores.values().iter().copied(), scores.nulls(), |score| self.of(score), each);
        Ok(())
    }
}

/// 1 to 7, and easy from 5 on.
const EFFORT_SCALE: Scale = Scale { min: 1.0, max: 7.0, satisfied_from: 5.0 };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CesMean;

impl Function for CesMean {
    const CALL: Call = Call {
        function: "ces_mean",
        syntax: "ces_mean(score [, scale_max [, scale_min]])",
        parameters: &[
            Parameter::column("score", Kind::Number),
            Parameter::constant("scale_max", Kind::Number),
            Parameter::constant("scale_min", Kind::Number),
        ],
        arities: &[1, 2, 3],
    };

    type Measure = MeanScore;

    fn bind(constants: &Constants) -> Result<MeanScore> {
        // no share is asked for: any scale has its own highest answer
        let max = constants.number("scale_max")?.unwrap_or(EFFORT_SCALE.max);
        Ok(MeanScore(Scale::bind_to("easy_from", Scale { satisfied_from: max, ..EFFORT_SCALE }, constants)?))
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CesMean::CALL,
                "Satisfaction",
                "Customer Effort Score as the mean of the answers.\n\
                 Formula: sum of the answers / answers.\n\
                 Units: scores in, a score of the scale out.\n\
                 NULL: a NULL score is skipped, and so is one that is not on the scale; no answers left gives NULL.\n\
                 Edges: the scale holds the whole numbers from scale_min to scale_max: on 1 to 7, the answers 0, 8, 4.5 \
                 and NaN count as NULL. On 1 to 7 more is less effort (agreement with: the company made it easy); on the \
                 older scale of 1 to 5 more is more effort, ces_mean(score, 5). A constant that is NULL takes its \
                 default. DISTINCT is refused.\n\
                 Source: M. Dixon, K. Freeman and N. Toman, Stop Trying to Delight Your Customers, Harvard Business Review, \
                 July 2010 (1 to 5); CEB, Customer Effort Score 2.0, 2013 (1 to 7).",
            )
            .with_argument("score", "Number: the answer.")
            .with_argument("scale_max", "Constant whole number: the highest answer of the scale. Default 7.")
            .with_argument("scale_min", "Constant whole number: the lowest answer of the scale. Default 1.")
            .with_sql_example(
                "```sql
select ces_mean(score) as ces_mean
from (values (7), (6), (5), (2), (0), (null)) as t(score);
+----------+
| ces_mean |
+----------+
| 5.0      |
+----------+
```",
            )
            .with_related_udf("ces_ratio")
            .with_related_udf("mean_ci")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CesRatio;

impl Function for CesRatio {
    const CALL: Call = Call {
        function: "ces_ratio",
        syntax: "ces_ratio(score [, easy_from [, scale_max [, scale_min]]])",
        parameters: &[
            Parameter::column("score", Kind::Number),
            Parameter::constant("easy_from", Kind::Number),
            Parameter::constant("scale_max", Kind::Number),
            Parameter::constant("scale_min", Kind::Number),
        ],
        arities: &[1, 2, 3, 4],
    };

    type Measure = Scale;

    fn bind(constants: &Constants) -> Result<Scale> {
        Scale::bind_to("easy_from", EFFORT_SCALE, constants)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CesRatio::CALL,
                "Satisfaction",
                "Customer Effort Score as the share of answers that found it easy.\n\
                 Formula: answers >= easy_from / answers.\n\
                 Units: scores in, ratio from 0 to 1 out.\n\
                 NULL: a NULL score is skipped, and so is one that is not on the scale; no answers left gives NULL.\n\
                 Edges: the scale holds the whole numbers from scale_min to scale_max: on 1 to 7, the answers 0, 8, 4.5 \
                 and NaN count as NULL. A constant that is NULL takes its default. DISTINCT is refused.\n\
                 Source: CEB, Customer Effort Score 2.0, 2013: the share that at least somewhat agrees, 5 to 7 of 7, that \
                 the company made it easy to handle the issue.",
            )
            .with_argument("score", "Number: the answer.")
            .with_argument("easy_from", "Constant number: the lowest answer that is easy. Default 5.")
            .with_argument("scale_max", "Constant whole number: the highest answer of the scale. Default 7.")
            .with_argument("scale_min", "Constant whole number: the lowest answer of the scale. Default 1.")
            .with_sql_example(
                "```sql
select ces_ratio(score) as easy_ratio, ces_ratio(score, easy_from => 6) as very_easy_ratio
from (values (7), (6), (5), (2), (0), (null)) as t(score);
+------------+-----------------+
| easy_ratio | very_easy_ratio |
+------------+-----------------+
| 0.75       | 0.5             |
+------------+-----------------+
```",
            )
            .with_related_udf("ces_mean")
            .with_related_udf("csat")
            .build()
        });
        &PAGE
    }
}

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![aggregate(CesMean), aggregate(CesRatio)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(scores: &[f64]) -> Scores {
        let mut tally = Scores::default();
        scores.iter().for_each(|score| tally.merge(MeanScore(EFFORT_SCALE).of(*score)));
        tally
    }

    #[test]
    fn the_mean_is_of_the_answers_on_the_scale() {
        // (7 + 6 + 5 + 2) / 4; the others are no answers on 1 to 7
        let scores = [7.0, 6.0, 5.0, 2.0, 0.0, 8.0, 4.5, f64::NAN, f64::INFINITY, 1e300, -1e300];
        assert_eq!(mean(&scores), Scores { answers: 4, sum: 20 });
        assert_eq!(mean(&scores).finish(), Some(5.0));
        assert_eq!(mean(&[]).finish(), None);
    }

    #[test]
    fn retract_undoes_merge() {
        let mut tally = mean(&[7.0, 3.0, 2.0]);
        tally.retract(mean(&[3.0]));
        assert_eq!(tally, mean(&[7.0, 2.0]));
    }
}

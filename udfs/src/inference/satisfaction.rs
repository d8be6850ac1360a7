//! `nps_ci(score)`, `nps_test(score, group)`: the Net Promoter Score with its margin, and its difference between groups.
//!
//! Formula: nps -+ z * 100 * sqrt((p + d - (p - d)^2) / n) with the shares p of promoters and d of detractors.
//! Units:   scores in, points out.
//! NULL:    a NULL score, and one that is not on the scale, is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   answers that are all of one kind have no margin; ends stay between -100 and 100.
//! Source:  B. Rocks, The American Statistician 70 (2016) 365-372 (the Wald interval of the score).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{Answers, NO_ROWS, two_groups};
use super::distribution::normal_two_sided;
use super::proportion::Level;
use super::record::{COMPARISON, Comparison, FieldType, INTERVAL, Interval, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{BASELINE, BASELINE_TEXT, GROUP, GROUP_TEXT, LEVEL, LEVEL_TEXT, each_answer, level, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(NpsCi), statistic(NpsTest)]
}

const ONE_KIND: &str = "all answers are of one kind";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NpsCi;

impl Statistic for NpsCi {
    const CALL: Call = Call {
        function: "nps_ci",
        syntax: "nps_ci(score [, level])",
        parameters: &[Parameter::column("score", Kind::Number), LEVEL],
        arities: &[1, 2],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = INTERVAL;

    type Cell = Answers;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<i8>)) -> Result<()> {
        each_answer(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Answers>], _: Option<&[u8]>) -> Record {
        let Some(answers) = entries.first().map(|entry| *entry.cell) else {
            return Interval::none(NO_ROWS).record();
        };
        let points = answers.points();
        let margin = level.z * (answers.variance() / answers.n as f64).sqrt();
        let has_margin = margin > 0.0;
        Interval {
            estimate: Some(points),
            bounds: has_margin.then(|| ((points - margin).max(-100.0), (points + margin).min(100.0))),
            n: answers.n,
            reason: if has_margin { None } else { Some(ONE_KIND) },
        }
        .record()
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                NpsCi::CALL,
                "Net Promoter Score with its confidence interval.\n\
                 Formula: estimate = nps(score); low and high are estimate -+ z * 100 * sqrt((p + d - (p - d)^2) / n) with the \
                 shares p of promoters and d of detractors, and at least -100 and at most 100.\n\
                 Units: scores in; estimate, low and high in points from -100 to 100.\n\
                 NULL: a NULL score is skipped, and so is one that is not on the scale; no answers left gives n = 0, NULL for \
                 the figures, and a reason. Answers that are all of one kind have a variance of 0: low and high are NULL, with \
                 a reason.\n\
                 Edges: the scale holds the whole numbers 0 to 10. With fewer than some 30 answers the interval is too narrow. \
                 DISTINCT is refused.\n\
                 Source: B. Rocks, Interval Estimation for the Net Promoter Score, The American Statistician 70 (2016) 365-372: \
                 the Wald interval.",
            )
            .with_argument("score", "Number: the answer to the question how likely a recommendation is.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select ci['estimate'] as nps, round(ci['low'], 2) as low, round(ci['high'], 2) as high, ci['is_small'] as is_small
from (
    select nps_ci(score) as ci
    from (values (10), (10), (9), (9), (10), (8), (7), (8), (4), (6)) as t(score)
);
+------+--------+-------+----------+
| nps  | low    | high  | is_small |
+------+--------+-------+----------+
| 30.0 | -18.41 | 78.41 | true     |
+------+--------+-------+----------+
```",
            )
            .with_related_udf("nps")
            .with_related_udf("nps_test")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NpsTest;

impl Statistic for NpsTest {
    const CALL: Call = Call {
        function: "nps_test",
        syntax: "nps_test(score, group [, baseline [, level]])",
        parameters: &[Parameter::column("score", Kind::Number), GROUP, BASELINE, LEVEL],
        arities: &[2, 3, 4],
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = COMPARISON;

    type Cell = Answers;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<i8>)) -> Result<()> {
        each_answer(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Answers>], baseline: Option<&[u8]>) -> Record {
        const METHOD: &str = "z test, separate variances";
        let [one, other] = match two_groups(entries, baseline) {
            Ok(cells) => cells.map(|cell| *cell),
            Err(reason) => return Comparison::none(METHOD, reason).record(),
        };
        let difference = other.points() - one.points();
        let error = (one.variance() / one.n as f64 + other.variance() / other.n as f64).sqrt();
        let comparison = Comparison {
            difference: Some(difference),
            counts: Some([one.n, other.n]),
            method: METHOD,
            ..Comparison::default()
        };
        if error > 0.0 {
            let z = difference / error;
            let margin = level.z * error;
            let bounds = Some(((difference - margin).max(-200.0), (difference + margin).min(200.0)));
            Comparison { statistic: Some(z), p_value: Some(normal_two_sided(z)), bounds, ..comparison }.record()
        } else {
            Comparison { reason: Some("all answers of each group are of one kind"), ..comparison }.record()
        }
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                NpsTest::CALL,
                "Whether the Net Promoter Score differs between two groups, and by how much.\n\
                 Formula: difference = nps of the other group - nps of the baseline; statistic = z = difference / e with \
                 e = sqrt(v_a / n_a + v_b / n_b) and the variance v = 100^2 (p + d - (p - d)^2) of an answer; p_value is two-sided by \
                 the normal distribution; low and high are difference -+ z(level) e.\n\
                 Units: scores in; difference, low and high in points.\n\
                 NULL: a row with a NULL score or group, or a score that is not on the scale, is skipped. Not two groups left: NULL \
                 for the figures, and a reason. Answers that are all of one kind in each group: no statistic and no interval, and \
                 a reason.\n\
                 Edges: with fewer than some 30 answers in a group the p_value is too small. low and high stay between -200 and \
                 200. DISTINCT is refused.\n\
                 Source: the difference of two means of large samples; the variance as in B. Rocks, The American Statistician 70 \
                 (2016) 365-372.",
            )
            .with_argument("score", "Number: the answer to the question how likely a recommendation is.")
            .with_argument("group", GROUP_TEXT)
            .with_argument("baseline", BASELINE_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select round(t['difference'], 2) as difference, round(t['low'], 2) as low, round(t['high'], 2) as high, round(t['p_value'], 4) as p_value
from (
    select nps_test(score, month) as t
    from (values
        (1, 10), (1, 9), (1, 8), (1, 6), (1, 3), (1, 9),
        (2, 10), (2, 10), (2, 9), (2, 7), (2, 9), (2, 5)
    ) as answers(month, score)
);
+------------+--------+--------+---------+
| difference | low    | high   | p_value |
+------------+--------+--------+---------+
| 33.33      | -60.97 | 127.63 | 0.4884  |
+------------+--------+--------+---------+
```",
            )
            .with_related_udf("nps_ci")
            .with_related_udf("proportion_test")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use crate::inference::cells::Answers;

    #[test]
    fn variance_of_the_defined_example() {
        // 5 promoters, 3 passives, 2 detractors: p + d - (p - d)^2 = .5 + .2 - .09 = .61.
        let answers = Answers { promoters: 5, detractors: 2, n: 10 };
        assert_eq!(answers.points(), 30.0);
        assert!((answers.variance() - 6_100.0).abs() < 1e-9);
    }

    #[test]
    fn answers_of_one_kind_have_no_variance() {
        for (promoters, detractors) in [(7, 0), (0, 7), (0, 0)] {
            assert_eq!(Answers { promoters, detractors, n: 7 }.variance(), 0.0);
        }
    }
}

//! `roc_auc(score, flag [, level])`: how well a score tells true from false.
//!
//! Formula: P(score of a true row > score of a false row) + half of P(equal); DeLong's variance.
//! Units:   any score in; a probability from 0 to 1 out.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   0.5 is chance, below it the score is turned round.
//! Source:  E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson 1988; X. Sun and W. Xu 2014 (by ranks).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::scored::{FLAG, SCORE, Scored, Tie, each_scored};
use super::{LEVEL, LEVEL_TEXT, page};
use crate::args::{Call, Constants};
use crate::inference::distribution::normal_critical;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(RocAuc)]
}

/// The area and its standard error, which one row of a kind has not.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    area: f64,
    std_error: Option<f64>,
}

/// By ties in ascending order; `None` without rows of both kinds.
fn area(ties: &[Tie]) -> Option<Area> {
    let (hits, misses) = ties.iter().fold((0, 0), |(hits, misses), tie| (hits + tie.hits, misses + tie.misses));
    if hits == 0 || misses == 0 {
        return None;
    }
    let (positives, negatives) = (hits as f64, misses as f64);
    // Of each true row the share of false rows below it, of each false row that of true rows above it; a tie is a half.
    let mut below = (0_i64, 0_i64);
    let placements: Vec<(Tie, f64, f64)> = ties
        .iter()
        .map(|tie| {
            let beaten = (below.1 as f64 + tie.misses as f64 / 2.0) / negatives;
            below = (below.0 + tie.hits, below.1 + tie.misses);
            let above = ((hits - below.0) as f64 + tie.hits as f64 / 2.0) / positives;
            (*tie, beaten, above)
        })
        .collect();
    let area = placements.iter().map(|(tie, beaten, _)| tie.hits as f64 * beaten).sum::<f64>() / positives;
    let spread = |n: i64, share: f64| n as f64 * (share - area).powi(2);
    let won: f64 = placements.iter().map(|(tie, beaten, _)| spread(tie.hits, *beaten)).sum();
    let lost: f64 = placements.iter().map(|(tie, _, above)| spread(tie.misses, *above)).sum();
    let of_positives = won / (positives - 1.0) / positives;
    let of_negatives = lost / (negatives - 1.0) / negatives;
    let has_error = hits > 1 && misses > 1;
    Some(Area { area, std_error: has_error.then(|| (of_positives + of_negatives).sqrt()) })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RocAuc;

impl Statistic for RocAuc {
    const CALL: Call = Call {
        function: "roc_auc",
        syntax: "roc_auc(score, flag [, level])",
        parameters: &[SCORE, FLAG, LEVEL],
        arities: &[2, 3],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("estimate", FieldType::Number),
        ("std_error", FieldType::Number),
        ("low", FieldType::Number),
        ("high", FieldType::Number),
        ("n", FieldType::Count),
        ("event_count", FieldType::Count),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Scored;
    /// The quantile of the normal distribution.
    type Options = f64;

    fn bind(constants: &Constants) -> Result<f64> {
        Ok(normal_critical(constants.probability("level", 0.95)?))
    }

    fn each_row(_: &f64, columns: &[ArrayRef], each: impl FnMut(Option<(f64, bool)>)) -> Result<()> {
        each_scored(columns, |_| true, each)
    }

    fn finish(critical: &f64, entries: &mut [Entry<Scored>], _: Option<&[u8]>) -> Record {
        let ties = entries.first_mut().map(|entry| entry.cell.ties()).unwrap_or_default();
        let hits: i64 = ties.iter().map(|tie| tie.hits).sum();
        let n: i64 = ties.iter().map(Tie::n).sum();
        let area = area(&ties);
        let reason = match (area, n, hits) {
            (Some(Area { std_error: Some(_), .. }), ..) => None,
            (Some(_), ..) => Some("one row only is true, or false: no interval"),
            (None, 0, _) => Some(super::NO_ROWS),
            (None, _, 0) => Some("the flag is false in all rows"),
            (None, ..) => Some("the flag is true in all rows"),
        };
        let error = area.and_then(|area| area.std_error);
        let bound =
            |sign: f64| area.zip(error).map(|(area, error)| (area.area + sign * critical * error).clamp(0.0, 1.0));
        vec![
            Figure::Number(area.map(|area| area.area)),
            Figure::Number(error),
            Figure::Number(bound(-1.0)),
            Figure::Number(bound(1.0)),
            Figure::Count(Some(n)),
            Figure::Count(Some(hits)),
            Figure::Text(Some("DeLong")),
            Figure::Text(reason),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                RocAuc::CALL,
                "How well a score tells true from false: the area under the ROC curve, the probability that a true row has a higher \
                 score than a false one.\n\
                 Formula: estimate = (pairs of a true and a false row in which the true one has the higher score + half of those with \
                 equal scores) / all pairs; std_error by DeLong: the variances of each row's share of won pairs, over the true and over \
                 the false rows; low and high = estimate -+ z * std_error, at most 1 and at least 0.\n\
                 Units: any score in; a probability from 0 to 1 out: 0.5 is chance.\n\
                 NULL: a row with a NULL is skipped. Rows that are all true or all false: NULL, with a reason.\n\
                 Edges: where the score separates all rows, std_error is 0. NaN and infinities count as NULL. The model must not have \
                 seen the rows: see train_test. All rows are kept, 16 bytes each. DISTINCT is refused.\n\
                 Source: E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, Biometrics 44 (1988) 837-845; X. Sun and W. Xu, IEEE \
                 Signal Processing Letters 21 (2014) 1389-1393.",
            )
            .with_argument("score", "Number: higher where the flag is more likely, such as a probability of predict.")
            .with_argument("flag", "Boolean: the outcome.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select roc_auc(score, is_churned)['estimate'] as auc
from (values (0.1, false), (0.4, false), (0.35, true), (0.8, true)) as customers(score, is_churned);
+------+
| auc  |
+------+
| 0.75 |
+------+
```",
            )
            .with_related_udf("predict")
            .with_related_udf("calibration")
            .with_related_udf("lift")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(f64, bool)]) -> Option<Area> {
        use crate::inference::statistic::Cell;
        let mut scored = Scored::default();
        rows.iter().for_each(|row| scored.add(*row));
        area(&scored.ties())
    }

    #[test]
    fn four_rows_by_hand() {
        // Pairs .35 > .1, .35 < .4, .8 > .1, .8 > .4: 3 of 4. Shares of the true rows .5 and 1, of the false ones 1 and .5:
        // variances 1/8 each, over 2 rows each: 1/8 in all.
        let got = of(&[(0.1, false), (0.4, false), (0.35, true), (0.8, true)]).unwrap();
        assert_eq!((got.area, got.std_error), (0.75, Some(0.125_f64.sqrt())));
    }

    #[test]
    fn ties_are_half() {
        assert_eq!(of(&[(1.0, true), (1.0, false)]), Some(Area { area: 0.5, std_error: None }));
        assert_eq!(of(&[(1.0, true), (2.0, false)]), Some(Area { area: 0.0, std_error: None }));
        assert_eq!(of(&[(1.0, true)]), None);
        assert_eq!(of(&[]), None);
    }
}

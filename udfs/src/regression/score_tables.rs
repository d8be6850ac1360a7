//! `calibration(score, flag [, bins])` and `lift(score, flag [, bins])`: a score against what happened, in bins.
//!
//! Formula: rows in the order of the score, in bins of as many rows each; of each bin the share of true rows.
//! Units:   probabilities in (`lift`: any score); ratios out.
//! NULL:    a row with a NULL is skipped; no rows left give NULL.
//! Edges:   equal scores are in one bin; a bin without rows is left out.
//! Source:  D. W. Hosmer and S. Lemeshow 1980 (deciles of risk); E. B. Wilson 1927.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::page;
use super::scored::{FLAG, SCORE, Scored, Tie, binned, each_scored};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::cells::Hits;
use crate::inference::distribution::normal_critical;
use crate::inference::proportion::wilson;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Calibration), statistic(Lift)]
}

const BINS: Parameter = Parameter::constant("bins", Kind::Number);
const BINS_TEXT: &str = "Constant integer from 1 to 1000: how many bins. Default 10.";

fn bins(constants: &Constants) -> Result<i64> {
    match constants.number("bins")? {
        None => Ok(10),
        Some(bins) if (1.0..=1000.0).contains(&bins) && bins.fract() == 0.0 => Ok(bins as i64),
        Some(bins) => plan_err!("{}: bins must be an integer from 1 to 1000, got {bins}", constants.function()),
    }
}

/// The result: a list of these bins, or NULL without rows.
fn table(bins: Vec<Record>) -> Record {
    vec![Figure::List((!bins.is_empty()).then_some(bins))]
}

/// The sums of a bin.
#[derive(Debug, Clone, Copy)]
struct Bin {
    n: i64,
    hits: i64,
    low: f64,
    high: f64,
    mean: f64,
}

impl Bin {
    fn of(ties: &[Tie]) -> Self {
        let n: i64 = ties.iter().map(Tie::n).sum();
        let low = ties.iter().map(|tie| tie.score).fold(f64::INFINITY, f64::min);
        let high = ties.iter().map(|tie| tie.score).fold(f64::NEG_INFINITY, f64::max);
        // From the lowest score, so that the mean is between the ends.
        let above: f64 = ties.iter().map(|tie| tie.n() as f64 / n as f64 * (tie.score - low)).sum();
        Self { n, hits: ties.iter().map(|tie| tie.hits).sum(), low, high, mean: low + above }
    }

    fn ratio(&self) -> f64 {
        self.hits as f64 / self.n as f64
    }
}

/// The fields of a bin of `calibration`.
const CALIBRATION_BIN: &[(&str, FieldType)] = &[
    ("bin", FieldType::Count),
    ("n", FieldType::Count),
    ("score_low", FieldType::Number),
    ("score_high", FieldType::Number),
    ("mean_score", FieldType::Number),
    ("event_count", FieldType::Count),
    ("event_ratio", FieldType::Number),
    ("low", FieldType::Number),
    ("high", FieldType::Number),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Calibration;

impl Statistic for Calibration {
    const CALL: Call = Call {
        function: "calibration",
        syntax: "calibration(score, flag [, bins])",
        parameters: &[SCORE, FLAG, BINS],
        arities: &[2, 3],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("calibration", FieldType::List(CALIBRATION_BIN))];
    const IS_STRUCT: bool = false;

    type Cell = Scored;
    type Options = i64;

    fn bind(constants: &Constants) -> Result<i64> {
        bins(constants)
    }

    fn each_row(_: &i64, columns: &[ArrayRef], each: impl FnMut(Option<(f64, bool)>)) -> Result<()> {
        each_scored(columns, |score| (0.0..=1.0).contains(&score), each)
    }

    fn finish(bins: &i64, entries: &mut [Entry<Scored>], _: Option<&[u8]>) -> Record {
        let ties = entries.first_mut().map(|entry| entry.cell.ties()).unwrap_or_default();
        let z = normal_critical(0.95);
        let rows = binned(&ties, *bins).into_iter().map(|(number, ties)| {
            let bin = Bin::of(ties);
            let (low, high) = wilson(Hits { hits: bin.hits, n: bin.n }, z);
            vec![
                Figure::Count(Some(number)),
                Figure::Count(Some(bin.n)),
                Figure::Number(Some(bin.low)),
                Figure::Number(Some(bin.high)),
                Figure::Number(Some(bin.mean)),
                Figure::Count(Some(bin.hits)),
                Figure::Number(Some(bin.ratio())),
                Figure::Number(Some(low)),
                Figure::Number(Some(high)),
            ]
        });
        table(rows.collect())
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Calibration::CALL,
                "Whether probabilities are right: bins of rows with similar scores, the mean score of each and how often it happened. \
                 In a good model mean_score lies between low and high.\n\
                 Formula: rows in ascending order of the score, in bins of as many rows each; event_ratio = true rows / n; low and high \
                 are Wilson's 95 % interval of it.\n\
                 Units: probabilities in; ratios from 0 to 1 out. A list of rows: `unnest(calibration(..))`.\n\
                 NULL: a row with a NULL is skipped, and one whose score is no probability from 0 to 1. No rows left: NULL.\n\
                 Edges: equal scores are in one bin, that of the middle of them; a bin without rows is left out, its number with it. \
                 All rows are kept, 16 bytes each. DISTINCT is refused.\n\
                 Source: D. W. Hosmer and S. Lemeshow, Communications in Statistics A 9 (1980) 1043-1069; E. B. Wilson, Journal of \
                 the American Statistical Association 22 (1927) 209-212.",
            )
            .with_argument("score", "Number from 0 to 1: the probability that was expected.")
            .with_argument("flag", "Boolean: the outcome.")
            .with_argument("bins", BINS_TEXT)
            .with_sql_example(
                "```sql
select b['bin'] as bin, b['n'] as n, round(b['mean_score'], 2) as mean_score, round(b['event_ratio'], 2) as event_ratio
from (
    select unnest(calibration(score, is_churned, 2)) as b
    from (values (0.2, false), (0.1, false), (0.3, true), (0.7, true), (0.8, true), (0.9, false)) as customers(score, is_churned)
);
+-----+---+------------+-------------+
| bin | n | mean_score | event_ratio |
+-----+---+------------+-------------+
| 1   | 3 | 0.2        | 0.33        |
| 2   | 3 | 0.8        | 0.67        |
+-----+---+------------+-------------+
```",
            )
            .with_related_udf("roc_auc")
            .with_related_udf("lift")
            .build()
        });
        &PAGE
    }
}

/// The fields of a bin of `lift`.
const LIFT_BIN: &[(&str, FieldType)] = &[
    ("bin", FieldType::Count),
    ("n", FieldType::Count),
    ("score_low", FieldType::Number),
    ("score_high", FieldType::Number),
    ("event_count", FieldType::Count),
    ("event_ratio", FieldType::Number),
    ("lift", FieldType::Number),
    ("cumulative_n_ratio", FieldType::Number),
    ("cumulative_event_ratio", FieldType::Number),
    ("cumulative_lift", FieldType::Number),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Lift;

impl Statistic for Lift {
    const CALL: Call = Call {
        function: "lift",
        syntax: "lift(score, flag [, bins])",
        parameters: &[SCORE, FLAG, BINS],
        arities: &[2, 3],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[("lift", FieldType::List(LIFT_BIN))];
    const IS_STRUCT: bool = false;

    type Cell = Scored;
    type Options = i64;

    fn bind(constants: &Constants) -> Result<i64> {
        bins(constants)
    }

    fn each_row(_: &i64, columns: &[ArrayRef], each: impl FnMut(Option<(f64, bool)>)) -> Result<()> {
        each_scored(columns, |_| true, each)
    }

    fn finish(bins: &i64, entries: &mut [Entry<Scored>], _: Option<&[u8]>) -> Record {
        let mut ties = entries.first_mut().map(|entry| entry.cell.ties()).unwrap_or_default();
        ties.reverse();
        let all_n = ties.iter().map(Tie::n).sum::<i64>() as f64;
        let all_hits = ties.iter().map(|tie| tie.hits).sum::<i64>() as f64;
        let overall = all_hits / all_n;
        let mut seen = (0, 0);
        let rows = binned(&ties, *bins).into_iter().map(|(number, ties)| {
            let bin = Bin::of(ties);
            seen = (seen.0 + bin.n, seen.1 + bin.hits);
            let (n, hits) = (seen.0 as f64, seen.1 as f64);
            vec![
                Figure::Count(Some(number)),
                Figure::Count(Some(bin.n)),
                Figure::Number(Some(bin.low)),
                Figure::Number(Some(bin.high)),
                Figure::Count(Some(bin.hits)),
                Figure::Number(Some(bin.ratio())),
                // NaN, which is NULL, where no row is true
                Figure::Number(Some(bin.ratio() / overall)),
                Figure::Number(Some(n / all_n)),
                Figure::Number(Some(hits / all_hits)),
                Figure::Number(Some(hits / n / overall)),
            ]
        });
        table(rows.collect())
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Lift::CALL,
                "How much better than chance it is to call those with the highest scores: bins in descending order of the score.\n\
                 Formula: rows in descending order of the score, in bins of as many rows each; lift = share of true rows in the bin / \
                 share of true rows in all; cumulative_event_ratio = true rows in this bin and those above / all true rows; \
                 cumulative_lift = it / cumulative_n_ratio.\n\
                 Units: any score in; ratios out. A list of rows: `unnest(lift(..))`.\n\
                 NULL: a row with a NULL is skipped. No rows left: NULL. No true row: NULL for what is divided by them.\n\
                 Edges: equal scores are in one bin, that of the middle of them; a bin without rows is left out, its number with it. \
                 NaN and infinities count as NULL. All rows are kept, 16 bytes each. DISTINCT is refused.\n\
                 Source: I. H. Witten, E. Frank and M. A. Hall, Data Mining, 3rd ed., Morgan Kaufmann 2011, section 5.7.",
            )
            .with_argument("score", "Number: higher where the flag is more likely, such as a probability of predict.")
            .with_argument("flag", "Boolean: the outcome.")
            .with_argument("bins", BINS_TEXT)
            .with_sql_example(
                "```sql
select b['bin'] as bin, b['score_low'] as score_low, b['lift'] as lift, b['cumulative_event_ratio'] as cumulative_event_ratio
from (
    select unnest(lift(score, is_churned, 3)) as b
    from (values (0.2, false), (0.1, false), (0.3, true), (0.7, true), (0.8, true), (0.9, true)) as customers(score, is_churned)
);
+-----+-----------+------+------------------------+
| bin | score_low | lift | cumulative_event_ratio |
+-----+-----------+------+------------------------+
| 1   | 0.8       | 1.5  | 0.5                    |
| 2   | 0.3       | 1.5  | 1.0                    |
| 3   | 0.1       | 0.0  | 1.0                    |
+-----+-----------+------+------------------------+
```",
            )
            .with_related_udf("roc_auc")
            .with_related_udf("calibration")
            .build()
        });
        &PAGE
    }
}

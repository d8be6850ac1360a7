//! `changepoints(at, x)`: when the mean, or mean and variance, of a series changed.
//!
//! Formula: the segments with the least sum of costs and penalties, by PELT or binary segmentation; a cost is twice the negative
//!          log-likelihood of a segment.
//! Units:   those of x; `at` is of its type.
//! NULL:    a row with a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   no change lies between values of one time; NaN and infinities count as NULL.
//! Source:  R. Killick, P. Fearnhead and I. A. Eckley 2012; A. J. Scott and M. Knott 1974; N. R. Zhang and D. O. Siegmund 2007.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{Moments, NO_ROWS, Series};
use super::distribution::{chi_square_upper, student_two_sided};
use super::record::{FieldType, Figure, Record};
use super::statistic::{Cell, Entry, Statistic, statistic};
use super::{AT, axis, change_page};
use crate::args::{Call, Constants, Kind, Parameter};

mod segments;

use segments::{Costs, Model, Search, search, usual_penalty};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Changepoints)]
}

const SEARCHES: &[(&str, Search)] = &[
    ("pelt", Search::Pelt),
    ("binary_segmentation", Search::BinarySegmentation),
    ("binseg", Search::BinarySegmentation),
];

const MODELS: &[(&str, Model)] =
    &[("mean", Model::Mean), ("mean_variance", Model::MeanVariance), ("poisson", Model::Poisson)];

/// Values of a segment at least, unless the call says otherwise: a single outlier is no change.
const MIN_SIZE: u32 = 2;

/// Evaluations of the cost after which a search stops: some seconds.
const MOST_EVALUATIONS: usize = 200_000_000;

const FEW_ROWS: &str = "too few values for two segments";

#[derive(Debug, Clone, Copy, PartialEq)]
struct Options {
    search: Search,
    model: Model,
    penalty: Option<f64>,
    min_size: usize,
}

impl Options {
    fn method(&self) -> &'static str {
        match (self.search, self.model) {
            (Search::Pelt, Model::Mean) => "PELT, mean",
            (Search::Pelt, Model::MeanVariance) => "PELT, mean and variance",
            (Search::Pelt, Model::Poisson) => "PELT, Poisson",
            (Search::BinarySegmentation, Model::Mean) => "binary segmentation, mean",
            (Search::BinarySegmentation, Model::MeanVariance) => "binary segmentation, mean and variance",
            (Search::BinarySegmentation, Model::Poisson) => "binary segmentation, Poisson",
        }
    }
}

/// The segments of a series.
#[derive(Debug)]
struct Segmentation {
    penalty: f64,
    /// Values before each change.
    changes: Vec<usize>,
    /// One more than there are changes.
    segments: Vec<Moments>,
    /// Of each change.
    p_values: Vec<f64>,
}

impl Segmentation {
    /// That of rows in the order of time.
    ///
    /// # Errors
    /// The reason why there is none.
    fn of(rows: &[(i64, f64)], options: &Options) -> Result<Self, &'static str> {
        if rows.is_empty() {
            return Err(NO_ROWS);
        }
        if rows.len() < 2 * options.min_size {
            return Err(FEW_ROWS);
        }
        let x: Vec<f64> = rows.iter().map(|(_, x)| *x).collect();
        let costs = Costs::new(options.model, &x)?;
        let penalty = options.penalty.unwrap_or_else(|| usual_penalty(options.model, x.len()));
        let at = |index: usize| rows.get(index).map(|(at, _)| *at);
        let may_begin = |index: usize| index > 0 && at(index) != at(index - 1);
        let changes = search(options.search, &costs, may_begin, penalty, options.min_size, MOST_EVALUATIONS)?;
        let ends = changes.iter().copied().chain([x.len()]);
        let mut from = 0;
        let mut segments = Vec::with_capacity(changes.len() + 1);
        for until in ends {
            let mut moments = Moments::default();
            x.get(from..until).unwrap_or_default().iter().for_each(|x| moments.add(*x));
            segments.push(moments);
            from = until;
        }
        let starts = std::iter::once(0).chain(changes.iter().copied());
        let nexts = changes.iter().copied().skip(1).chain([x.len()]);
        let neighbours = segments.iter().zip(segments.iter().skip(1));
        let p_values =
            starts.zip(&changes).zip(nexts).zip(neighbours).map(|(((from, middle), until), (one, other))| {
                p_value(options.model, costs.gain(from, *middle, until), *one, *other)
            });
        let p_values = p_values.collect();
        Ok(Self { penalty, changes, segments, p_values })
    }

    /// The sum of squared deviations from the means of the segments.
    fn sse(&self) -> f64 {
        self.segments.iter().map(|segment| segment.squares).sum()
    }

    fn rows(&self, rows: &[(i64, f64)]) -> Vec<Record> {
        let neighbours = self.segments.iter().zip(self.segments.iter().skip(1));
        let changes = self.changes.iter().zip(neighbours).zip(&self.p_values);
        let at = |index: usize| Figure::At(rows.get(index).map(|(at, _)| *at));
        changes
            .map(|((change, (before, after)), p_value)| {
                vec![
                    at(change - 1),
                    Figure::Number(Some(before.mean)),
                    Figure::Number(Some(after.mean)),
                    Figure::Number(Some(*p_value)),
                    at(*change),
                    Figure::Count(Some(*change as i64)),
                    Figure::Number(Some(before.variance().sqrt())),
                    Figure::Number(Some(after.variance().sqrt())),
                ]
            })
            .collect()
    }
}

/// The probability of so clear a change where there is none, times the number of places between the neighbouring changes at
/// which it was looked for (Bonferroni).
fn p_value(model: Model, gain: f64, one: Moments, other: Moments) -> f64 {
    let (n_one, n_other) = (one.n as f64, other.n as f64);
    let p_value = match model {
        Model::Mean => {
            let df = n_one + n_other - 2.0;
            let variance = (one.squares + other.squares) / df;
            let t = (other.mean - one.mean) / (variance * (1.0 / n_one + 1.0 / n_other)).sqrt();
            student_two_sided(t, df)
        }
        Model::MeanVariance => chi_square_upper(gain, 2.0),
        Model::Poisson => chi_square_upper(gain, 1.0),
    };
    (p_value * (n_one + n_other - 1.0)).min(1.0)
}

/// The fields of a change.
const CHANGE: &[(&str, FieldType)] = &[
    ("at", FieldType::At),
    ("before", FieldType::Number),
    ("after", FieldType::Number),
    ("p_value", FieldType::Number),
    ("next_at", FieldType::At),
    ("index", FieldType::Count),
    ("before_deviation", FieldType::Number),
    ("after_deviation", FieldType::Number),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Changepoints;

impl Statistic for Changepoints {
    const CALL: Call = Call {
        function: "changepoints",
        syntax: "changepoints(at, x [, method [, model [, penalty [, min_size]]]])",
        parameters: &[
            AT,
            Parameter::column("x", Kind::Number),
            Parameter::constant("method", Kind::Text),
            Parameter::constant("model", Kind::Text),
            Parameter::constant("penalty", Kind::Number),
            Parameter::constant("min_size", Kind::Number),
        ],
        arities: &[2, 3, 4, 5, 6],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = &[
        ("n", FieldType::Count),
        ("changes", FieldType::List(CHANGE)),
        ("sse", FieldType::Number),
        ("penalty", FieldType::Number),
        ("method", FieldType::Text),
        ("reason", FieldType::Text),
    ];

    type Cell = Series;
    type Options = Options;

    fn bind(constants: &Constants) -> Result<Options> {
        let penalty = constants.not_negative("penalty", -1.0)?;
        let min_size = constants.integer("min_size", 1)?.unwrap_or(MIN_SIZE);
        let model = constants.choice("model", MODELS)?.unwrap_or(Model::Mean);
        Ok(Options {
            search: constants.choice("method", SEARCHES)?.unwrap_or(Search::Pelt),
            model,
            penalty: (penalty >= 0.0).then_some(penalty),
            // one value has no variance
            min_size: if model == Model::MeanVariance { min_size.max(2) } else { min_size } as usize,
        })
    }

    fn each_row(_: &Options, columns: &[ArrayRef], each: impl FnMut(Option<(i64, f64)>)) -> Result<()> {
        axis::each_row(columns, each)
    }

    fn finish(options: &Options, entries: &mut [Entry<Series>], _: Option<&[u8]>) -> Record {
        let rows = entries.first_mut().map(|entry| entry.cell.sorted()).unwrap_or_default();
        let (segmentation, reason) = match Segmentation::of(rows, options) {
            Ok(segmentation) => (Some(segmentation), None),
            Err(reason) => (None, Some(reason)),
        };
        vec![
            Figure::Count(Some(rows.len() as i64)),
            Figure::List(segmentation.as_ref().map(|segmentation| segmentation.rows(rows))),
            Figure::Number(segmentation.as_ref().map(Segmentation::sse)),
            Figure::Number(segmentation.map(|segmentation| segmentation.penalty)),
            Figure::Text(Some(options.method())),
            Figure::Text(reason),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            change_page(
                Changepoints::CALL,
                "When a series changed, how often, and from what to what: `unnest(changepoints(week, x)['changes'])` is one row per \
                 change. Each has at (the last time before it), next_at (the first time after it), index (the values before it), before \
                 and after (the means of the segments beside it) with before_deviation and after_deviation, and p_value. No change \
                 found is an empty list.\n\
                 Formula: the segments for which the sum of their costs and of one penalty per change is least. A cost is twice the \
                 negative log-likelihood. model 'mean': the mean of normal values changes, cost = sum of squared deviations from the \
                 mean of the segment / s^2, where s = 1.4826 median |x_i+1 - x_i| / sqrt(2), of the differences of neighbours (where \
                 more than half of them are 0, the root of half their mean square). 'mean_variance': both change, cost = n ln(variance), \
                 to which 1 % of s^2 is added. 'poisson': the mean of counts changes, cost = -2 sum(x) \
                 ln(mean). method 'pelt' finds the least sum of all; 'binary_segmentation' splits one segment after the other where \
                 that helps most, which is faster and may miss changes that hide each other. penalty = (p + 2) ln n, p = 1 or, for \
                 mean_variance, 2: the first term of the modified BIC. p_value: of the t test with one variance (mean) or the \
                 likelihood ratio (others) between the two segments, times the number of places between the neighbouring changes, at \
                 most 1. sse = the sum of squared deviations from the means of the segments.\n\
                 Units: before, after and deviations in those of x, at and next_at of the type of at; penalty on the scale of twice a \
                 log-likelihood, for each change.\n\
                 NULL: a row with a NULL at or x is skipped. Too few values for two segments of min_size: NULL for the list, and a \
                 reason; so for a value that is no count where the model is poisson, for values beyond 1e150, and for more values than \
                 can be searched in some seconds (PELT: 20,000 without a change, many more with changes).\n\
                 Edges: rows may come in any order; of one time their values belong together, no change lies between them. The model \
                 takes the values of a segment as independent: a season, a trend or a slow drift shows as several changes, so remove \
                 the season before, for instance by weekly figures. Contacts vary more than Poisson counts mostly; 'mean' then is the \
                 safer model. NaN and infinities are no measurements and count as NULL. Rows are held in memory, 16 bytes each, and as \
                 much again for the search. DISTINCT is refused.\n\
                 Source: R. Killick, P. Fearnhead and I. A. Eckley, Journal of the American Statistical Association 107 (2012) \
                 1590-1598 (PELT); A. J. Scott and M. Knott, Biometrics 30 (1974) 507-512; N. R. Zhang and D. O. Siegmund, Biometrics 63 \
                 (2007) 22-32 (penalty); as R's changepoint and Python's ruptures.",
            )
            .with_argument("at", "When x was measured: a timestamp, a date or a number.")
            .with_argument("x", "The values: integers, floats or decimals.")
            .with_argument("method", "Constant string: 'pelt' (default) or 'binary_segmentation' (also 'binseg').")
            .with_argument("model", "Constant string: 'mean' (default), 'mean_variance' or 'poisson'.")
            .with_argument("penalty", "Constant number >= 0: what a change must gain. Default (p + 2) ln n.")
            .with_argument(
                "min_size",
                "Constant integer >= 1: values of a segment at least. Default 2, which is the least for mean_variance.",
            )
            .with_sql_example(
                "```sql
select change['at'] as last_week, change['next_at'] as since_week, change['before'] as before_s, change['after'] as after_s
from (
    select unnest(changepoints(week, aht_s)['changes']) as change
    from (values
        (1, 310), (2, 325), (3, 318), (4, 309), (5, 322), (6, 316), (7, 388), (8, 401), (9, 395), (10, 392)
    ) as weeks(week, aht_s)
);
+-----------+------------+-------------------+---------+
| last_week | since_week | before_s          | after_s |
+-----------+------------+-------------------+---------+
| 6         | 7          | 316.6666666666667 | 394.0   |
+-----------+------------+-------------------+---------+
```",
            )
            .with_related_udf("trend_test")
            .with_related_udf("cusum")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::TOO_LARGE;
    use super::*;

    const OPTIONS: Options = Options { search: Search::Pelt, model: Model::Mean, penalty: None, min_size: 2 };

    fn series(x: &[f64]) -> Vec<(i64, f64)> {
        x.iter().enumerate().map(|(at, x)| (at as i64, *x)).collect()
    }

    #[test]
    fn a_change_has_the_figures_of_its_neighbours() {
        // means 1.5 and 11.5, squares 1 + 1: t = 10 / sqrt(2 / 6 (1/4 + 1/4)), 6 degrees of freedom, 7 places
        let rows = series(&[1.0, 2.0, 1.0, 2.0, 11.0, 12.0, 11.0, 12.0]);
        let segmentation = Segmentation::of(&rows, &OPTIONS).unwrap();
        assert_eq!(segmentation.changes, [4]);
        assert_eq!(segmentation.sse(), 2.0);
        let expected = 7.0 * student_two_sided(10.0 / (1.0_f64 / 6.0).sqrt(), 6.0);
        assert!((segmentation.p_values[0] / expected - 1.0).abs() < 1e-9);
        let record = &segmentation.rows(&rows)[0];
        assert_eq!(record[..3], [Figure::At(Some(3)), Figure::Number(Some(1.5)), Figure::Number(Some(11.5))]);
        assert_eq!(record[4..6], [Figure::At(Some(4)), Figure::Count(Some(4))]);
    }

    #[test]
    fn values_of_one_time_stay_together() {
        // sorted within the time: 1, 1, 9, 9 would be two segments
        let rows = [(0, 1.0), (0, 1.0), (0, 9.0), (0, 9.0), (1, 1.0), (1, 9.0)];
        let free = Options { penalty: Some(0.0), ..OPTIONS };
        assert_eq!(Segmentation::of(&rows, &free).unwrap().changes, [0_usize; 0]);
        assert_eq!(Segmentation::of(&series(&[1.0, 1.0, 9.0, 9.0, 1.0, 9.0]), &free).unwrap().changes, [2, 4]);
    }

    #[test]
    fn series_without_a_change_and_without_an_answer() {
        assert_eq!(Segmentation::of(&series(&[4.0; 9]), &OPTIONS).unwrap().changes, [0_usize; 0]);
        let reason = |x: &[f64], options| Segmentation::of(&series(x), options).err();
        assert_eq!(reason(&[], &OPTIONS), Some(NO_ROWS));
        assert_eq!(reason(&[1.0, 2.0, 3.0], &OPTIONS), Some(FEW_ROWS));
        assert_eq!(reason(&[1.0, 2.0, 3.0, 1e200], &OPTIONS), Some(TOO_LARGE));
        let poisson = Options { model: Model::Poisson, ..OPTIONS };
        assert_eq!(reason(&[1.0, 2.0, 3.0, 0.5], &poisson), Some(segments::NOT_COUNTS));
        assert_eq!(reason(&[1.0, 2.0, 3.0, 4.0], &Options { min_size: usize::MAX / 2, ..OPTIONS }), Some(FEW_ROWS));
    }
}

//! `proportion_ci(flag)`, `fcr_ci(flag)`, `csat_ci(score)`, `proportion_test(flag, group)`: shares.
//!
//! Formula: Wilson's score interval, or Clopper and Pearson's or Jeffreys'; the difference of two shares with Newcombe's
//!          hybrid score interval and the z test with the pooled share.
//! Units:   Booleans or scores in, ratios out.
//! NULL:    a row with a NULL flag, score or group is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   no hit has the lower end 0, all hits the upper end 1, exactly.
//! Source:  E. B. Wilson 1927; C. J. Clopper and E. S. Pearson 1934; L. D. Brown, T. T. Cai and A. DasGupta 2001 (Jeffreys);
//!          R. G. Newcombe 1998.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::cells::{ALL_EQUAL, Hits, NO_ROWS, two_groups};
use super::proportion::{self, Level, METHODS, Method};
use super::record::{COMPARISON, Comparison, FieldType, INTERVAL, Interval, Record};
use super::statistic::{Entry, Statistic, statistic};
use super::{BASELINE, BASELINE_TEXT, GROUP, GROUP_TEXT, LEVEL, LEVEL_TEXT, each_flag, each_number, level, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::satisfaction::Scale;

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(ProportionCi), statistic(FcrCi), statistic(CsatCi), statistic(ProportionTest)]
}

/// Level and method of an interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShareOptions {
    level: Level,
    method: Method,
}

impl ShareOptions {
    fn bind(constants: &Constants) -> Result<Self> {
        Ok(Self { level: level(constants)?, method: constants.choice("method", METHODS)?.unwrap_or(Method::Wilson) })
    }

    fn record(&self, entries: &[Entry<Hits>]) -> Record {
        let Some(share) = entries.first().map(|entry| *entry.cell) else {
            return Interval::none(NO_ROWS).record();
        };
        let bounds = proportion::interval(share, self.method, self.level);
        Interval { estimate: Some(share.ratio()), bounds: Some(bounds), n: share.n, reason: None }.record()
    }
}

pub(super) const METHOD: Parameter = Parameter::constant("method", Kind::Text);
pub(super) const METHOD_TEXT: &str =
    "Constant string: 'wilson' (default), 'clopper_pearson' (also 'exact') or 'jeffreys'.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ProportionCi;

impl Statistic for ProportionCi {
    const CALL: Call = Call {
        function: "proportion_ci",
        syntax: "proportion_ci(flag [, level [, method]])",
        parameters: &[Parameter::column("flag", Kind::Flag), LEVEL, METHOD],
        arities: &[1, 2, 3],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = INTERVAL;

    type Cell = Hits;
    type Options = ShareOptions;

    fn bind(constants: &Constants) -> Result<ShareOptions> {
        ShareOptions::bind(constants)
    }

    fn each_row(_: &ShareOptions, columns: &[ArrayRef], each: impl FnMut(Option<bool>)) -> Result<()> {
        each_flag(columns, 0, each)
    }

    fn finish(options: &ShareOptions, entries: &mut [Entry<Hits>], _: Option<&[u8]>) -> Record {
        options.record(entries)
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                ProportionCi::CALL,
                "Share of true among the known values of a flag, with its confidence interval.\n\
                 Formula: estimate = hits / n. Wilson: (hits + z^2/2 -+ z sqrt(hits (n - hits) / n + z^2/4)) / (n + z^2). \
                 Clopper-Pearson: the quantiles (1 - level) / 2 and (1 + level) / 2 of Beta(hits, n - hits + 1) and \
                 Beta(hits + 1, n - hits). Jeffreys: of Beta(hits + 1/2, n - hits + 1/2).\n\
                 Units: Boolean in; estimate, low and high are ratios from 0 to 1.\n\
                 NULL: a NULL flag is skipped; no known flag gives n = 0, NULL for the figures, and a reason.\n\
                 Edges: no hit has low exactly 0, all hits have high exactly 1. Wilson's interval has the level on average, \
                 Clopper and Pearson's at least the level for every true share, and is wider. DISTINCT is refused.\n\
                 Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927) 209-212; C. J. Clopper and \
                 E. S. Pearson, Biometrika 26 (1934) 404-413; L. D. Brown, T. T. Cai and A. DasGupta, Statistical Science 16 \
                 (2001) 101-133 (Jeffreys, and the ends for no and for all hits).",
            )
            .with_argument("flag", "Boolean: whether the row is a hit; NULL where it is not known.")
            .with_argument("level", LEVEL_TEXT)
            .with_argument("method", METHOD_TEXT)
            .with_sql_example(
                "```sql
select ci['estimate'] as estimate, round(ci['low'], 4) as low, round(ci['high'], 4) as high, ci['n'] as n
from (
    select proportion_ci(is_resolved) as ci
    from (values (true), (false), (true), (true), (null)) as t(is_resolved)
);
+----------+--------+--------+---+
| estimate | low    | high   | n |
+----------+--------+--------+---+
| 0.75     | 0.3006 | 0.9544 | 4 |
+----------+--------+--------+---+
```",
            )
            .with_related_udf("rate")
            .with_related_udf("proportion_ci_of")
            .with_related_udf("proportion_test")
            .with_related_udf("always_valid_ci")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FcrCi;

impl Statistic for FcrCi {
    const CALL: Call = Call { function: "fcr_ci", syntax: "fcr_ci(flag [, level [, method]])", ..ProportionCi::CALL };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = INTERVAL;

    type Cell = Hits;
    type Options = ShareOptions;

    fn bind(constants: &Constants) -> Result<ShareOptions> {
        ShareOptions::bind(constants)
    }

    fn each_row(_: &ShareOptions, columns: &[ArrayRef], each: impl FnMut(Option<bool>)) -> Result<()> {
        each_flag(columns, 0, each)
    }

    fn finish(options: &ShareOptions, entries: &mut [Entry<Hits>], _: Option<&[u8]>) -> Record {
        options.record(entries)
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                FcrCi::CALL,
                "First-contact resolution with its confidence interval: proportion_ci under the name of the field.\n\
                 Formula: estimate = fcr(flag); low and high as in proportion_ci.\n\
                 Units: Boolean in; estimate, low and high are ratios from 0 to 1.\n\
                 NULL: a NULL flag (no first contact, or not known yet) is skipped; no known flag gives n = 0, NULL for the \
                 figures, and a reason.\n\
                 Edges: no hit has low exactly 0, all hits have high exactly 1. Contacts of one customer are counted as \
                 independent. DISTINCT is refused.\n\
                 Source: as proportion_ci.",
            )
            .with_argument(
                "flag",
                "Boolean: whether the contact was resolved at first contact; NULL where it is not known.",
            )
            .with_argument("level", LEVEL_TEXT)
            .with_argument("method", METHOD_TEXT)
            .with_sql_example(
                "```sql
select topic, ci['estimate'] as fcr_ratio, round(ci['low'], 4) as low, round(ci['high'], 4) as high, ci['reason'] as reason
from (
    select topic, fcr_ci(is_resolved) as ci
    from (values ('billing', true), ('billing', true), ('billing', false), ('login', null)) as t(topic, is_resolved)
    group by topic
)
order by topic;
+---------+--------------------+--------+--------+---------------------------+
| topic   | fcr_ratio          | low    | high   | reason                    |
+---------+--------------------+--------+--------+---------------------------+
| billing | 0.6666666666666666 | 0.2077 | 0.9385 |                           |
| login   |                    |        |        | no row with a known value |
+---------+--------------------+--------+--------+---------------------------+
```",
            )
            .with_related_udf("fcr")
            .with_related_udf("proportion_ci")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CsatCi;

#[derive(Debug, Clone, Copy)]
struct CsatOptions {
    share: ShareOptions,
    scale: Scale,
}

impl Statistic for CsatCi {
    const CALL: Call = Call {
        function: "csat_ci",
        syntax: "csat_ci(score [, level [, satisfied_from [, scale_max [, scale_min]]]])",
        parameters: &[
            Parameter::column("score", Kind::Number),
            LEVEL,
            Parameter::constant("satisfied_from", Kind::Number),
            Parameter::constant("scale_max", Kind::Number),
            Parameter::constant("scale_min", Kind::Number),
        ],
        arities: &[1, 2, 3, 4, 5],
    };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] = INTERVAL;

    type Cell = Hits;
    type Options = CsatOptions;

    fn bind(constants: &Constants) -> Result<CsatOptions> {
        let share = ShareOptions { level: level(constants)?, method: Method::Wilson };
        Ok(CsatOptions { share, scale: Scale::bind(constants)? })
    }

    fn each_row(options: &CsatOptions, columns: &[ArrayRef], mut each: impl FnMut(Option<bool>)) -> Result<()> {
        each_number(columns, 0, |score| {
            let answer = score.map(|score| options.scale.of(score)).filter(|answer| answer.known > 0);
            each(answer.map(|answer| answer.hits > 0));
        })
    }

    fn finish(options: &CsatOptions, entries: &mut [Entry<Hits>], _: Option<&[u8]>) -> Record {
        options.share.record(entries)
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                CsatCi::CALL,
                "Customer satisfaction with its confidence interval.\n\
                 Formula: estimate = csat(score, satisfied_from, scale_max, scale_min); low and high by Wilson, as in \
                 proportion_ci.\n\
                 Units: scores in; estimate, low and high are ratios from 0 to 1.\n\
                 NULL: a NULL score is skipped, and so is one that is not on the scale; no answers left gives n = 0, NULL for \
                 the figures, and a reason.\n\
                 Edges: no satisfied answer has low exactly 0, all satisfied have high exactly 1. A constant that is NULL takes \
                 its default. DISTINCT is refused.\n\
                 Source: as csat and proportion_ci.",
            )
            .with_argument("score", "Number: the answer.")
            .with_argument("level", LEVEL_TEXT)
            .with_argument("satisfied_from", "Constant number: the lowest answer that is satisfied. Default 4.")
            .with_argument("scale_max", "Constant whole number: the highest answer of the scale. Default 5.")
            .with_argument("scale_min", "Constant whole number: the lowest answer of the scale. Default 1.")
            .with_sql_example(
                "```sql
select ci['estimate'] as csat_ratio, round(ci['low'], 4) as low, round(ci['high'], 4) as high, ci['n'] as n
from (select csat_ci(score) as ci from (values (5), (4), (4), (2), (0), (null)) as t(score));
+------------+--------+--------+---+
| csat_ratio | low    | high   | n |
+------------+--------+--------+---+
| 0.75       | 0.3006 | 0.9544 | 4 |
+------------+--------+--------+---+
```",
            )
            .with_related_udf("csat")
            .with_related_udf("proportion_ci")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ProportionTest;

impl Statistic for ProportionTest {
    const CALL: Call = Call {
        function: "proportion_test",
        syntax: "proportion_test(flag, group [, baseline [, level]])",
        parameters: &[Parameter::column("flag", Kind::Flag), GROUP, BASELINE, LEVEL],
        arities: &[2, 3, 4],
    };
    const KEYS: &'static [usize] = &[1];
    const FIELDS: &'static [(&'static str, FieldType)] = COMPARISON;

    type Cell = Hits;
    type Options = Level;

    fn bind(constants: &Constants) -> Result<Level> {
        level(constants)
    }

    fn each_row(_: &Level, columns: &[ArrayRef], each: impl FnMut(Option<bool>)) -> Result<()> {
        each_flag(columns, 0, each)
    }

    fn finish(level: &Level, entries: &mut [Entry<Hits>], baseline: Option<&[u8]>) -> Record {
        const METHOD: &str = "z test, Newcombe interval";
        let [one, other] = match two_groups(entries, baseline) {
            Ok(cells) => cells.map(|cell| *cell),
            Err(reason) => return Comparison::none(METHOD, reason).record(),
        };
        let test = proportion::pooled_test(one, other);
        let (statistic, p_value) = test.unzip();
        Comparison {
            statistic,
            p_value,
            difference: Some(other.ratio() - one.ratio()),
            bounds: Some(proportion::newcombe(one, other, level.z)),
            counts: Some([one.n, other.n]),
            method: METHOD,
            reason: if test.is_none() { Some(ALL_EQUAL) } else { None },
            ..Comparison::default()
        }
        .record()
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                ProportionTest::CALL,
                "Whether a share differs between two groups, and by how much.\n\
                 Formula: difference = share of the other group - share of the baseline; low and high by Newcombe's hybrid score \
                 interval, from the Wilson intervals of both shares. statistic = z = difference / sqrt(p (1 - p) (1 / n_a + 1 / \
                 n_b)) with the share p of all rows; p_value is two-sided by the normal distribution. z^2 is the chi-square \
                 statistic without a correction for continuity.\n\
                 Units: Boolean in; difference, low and high are differences of ratios, from -1 to 1.\n\
                 NULL: a row with a NULL flag or group is skipped. Not two groups left: NULL for the figures, and a reason. All rows \
                 alike: no statistic and no p_value, and a reason.\n\
                 Edges: with few hits the p_value is an approximation: fisher_test is exact. An interval without 0 and a p_value \
                 below 1 - level mostly, not always, go together. DISTINCT is refused.\n\
                 Source: R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10.",
            )
            .with_argument("flag", "Boolean: whether the row is a hit; NULL where it is not known.")
            .with_argument("group", GROUP_TEXT)
            .with_argument("baseline", BASELINE_TEXT)
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select round(t['difference'], 4) as difference, round(t['low'], 4) as low, round(t['high'], 4) as high, round(t['p_value'], 4) as p_value
from (
    select proportion_test(number <= case script when 'old' then 48 else 56 end, script, 'old') as t
    from (values ('old', 80), ('new', 70)) as scripts(script, contact_count), generate_series(1, 80) as numbers(number)
    where number <= contact_count
);
+------------+--------+--------+---------+
| difference | low    | high   | p_value |
+------------+--------+--------+---------+
| 0.2        | 0.0524 | 0.3339 | 0.008   |
+------------+--------+--------+---------+
```",
            )
            .with_related_udf("proportion_ci")
            .with_related_udf("fisher_test")
            .with_related_udf("cohens_h")
            .build()
        });
        &PAGE
    }
}

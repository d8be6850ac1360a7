//! `service_level`, `asa`, `aht`, `abandonment_rate`, `occupancy`: how long customers wait and how long they are served.
//!
//! Formula: see each function; A answered, AW answered within the threshold, B abandoned, BW abandoned within the
//!          threshold, S short abandons (abandoned within `short_abandon_s`). Service level is AW / (A + B) unless a
//!          dialect says otherwise; ASA is the mean wait of A; AHT is the mean of talk + hold + wrap-up; abandonment rate is
//!          B / (A + B); occupancy is time on contacts / (time on contacts + idle).
//! Units:   seconds in; ratio in [0, 1] out (AHT: seconds).
//! NULL:    what a row must have depends on the formula. A NULL `is_abandoned` and an answered contact without a wait
//!          are skipped. An abandoned contact without a wait counts in B, and is skipped by the formulas that need BW
//!          or S, since it may belong there; no rows left gives NULL.
//! Edges:   wait == threshold is within; wait == short_abandon_s is short; a duration that is negative, infinite or NaN
//!          counts as NULL.
//! Source:  Call Centre Helper, "Service Level Threshold Calculations", and ICMI QueueTips, 2002 (service level);
//!          Genesys Cloud glossary, "average handle time" (AHT); Call Centre Helper, "How to Measure Call Abandon Rate".
//! Choices: `offered` is the default dialect: every abandon counts against, nothing can be hidden by it. A NULL
//!          `is_abandoned` means not known, not answered.

mod abandonment;
mod answer;
mod handle_time;
mod occupancy;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, Float64Array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use crate::aggregate::{Function, Measure, aggregate, each_with_bits, flags, numbers, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::rate::Share;

/// What is done with abandons; how the field's products and reports differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// AW / (A + B)
    Offered,
    /// AW / A
    Answered,
    /// AW / (A + B - BW)
    LateAbandons,
    /// (AW + BW) / (A + B)
    AbandonsMet,
    /// (AW + S) / (A + B)
    ShortMet,
    /// AW / (A + B - S)
    ShortExcluded,
}

const DIALECTS: [(&str, Dialect); 9] = [
    ("offered", Dialect::Offered),
    ("answered", Dialect::Answered),
    ("late_abandons", Dialect::LateAbandons),
    ("abandons_met", Dialect::AbandonsMet),
    ("connect", Dialect::AbandonsMet),
    ("short_met", Dialect::ShortMet),
    ("short_excluded", Dialect::ShortExcluded),
    ("talkdesk", Dialect::ShortExcluded),
    ("genesys", Dialect::ShortExcluded),
];

/// Where the lines are drawn, in seconds of waiting: first for answered contacts, then for abandoned ones.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ServiceLevelLines {
    /// Up to here is in time.
    met_s: [f64; 2],
    /// Up to here is left out.
    left_out_s: [f64; 2],
    /// Whether an abandoned contact without a wait counts: all of B stands in the formula, and no part of it.
    counts_unknown_abandons: bool,
}

impl ServiceLevelLines {
    /// Below every wait, and above what is no wait: the largest negative number.
    const NONE: f64 = -f64::from_bits(1);
    /// Above every wait.
    const ALL: f64 = f64::INFINITY;

    fn new(dialect: Dialect, threshold_s: f64, short_abandon_s: f64) -> Self {
        let (abandon_met_s, abandon_left_out_s) = match dialect {
            Dialect::Offered => (Self::NONE, Self::NONE),
            Dialect::Answered => (Self::NONE, Self::ALL),
            Dialect::LateAbandons => (Self::NONE, threshold_s),
            Dialect::AbandonsMet => (threshold_s, Self::NONE),
            Dialect::ShortMet => (short_abandon_s, Self::NONE),
            Dialect::ShortExcluded => (Self::NONE, short_abandon_s),
        };
        Self {
            met_s: [threshold_s, abandon_met_s],
            left_out_s: [Self::NONE, abandon_left_out_s],
            counts_unknown_abandons: dialect == Dialect::Offered,
        }
    }

    /// One contact, whose wait may be no duration.
    fn of(self, wait_s: f64, is_abandoned: bool) -> Share {
        self.of_known(wait_s, true, is_abandoned)
    }

    /// One contact, of which the wait may be NULL.
    fn of_known(self, wait_s: f64, has_wait: bool, is_abandoned: bool) -> Share {
        let pick = |[answered, abandoned]: [f64; 2]| if is_abandoned { abandoned } else { answered };
        let has_wait = has_wait & (wait_s > Self::NONE) & (wait_s < f64::INFINITY);
        let is_counted =
            (has_wait & (wait_s > pick(self.left_out_s))) | (!has_wait & is_abandoned & self.counts_unknown_abandons);
        Share::of_known(has_wait & (wait_s <= pick(self.met_s)), is_counted)
    }
}

fn is_duration(seconds: f64) -> bool {
    (0.0..f64::INFINITY).contains(&seconds)
}

/// The values, NaN where they are null.
fn or_nan(array: &Float64Array) -> Cow<'_, [f64]> {
    let Some(known) = array.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return Cow::Borrowed(array.values());
    };
    let mut values = vec![0.0; array.len()];
    let mut slots = values.iter_mut();
    each_with_bits(array.values(), [known.inner()], |value, [is_known]| {
        if let Some(slot) = slots.next() {
            // All bits set is NaN.
            *slot = f64::from_bits(value.to_bits() | u64::from(is_known).wrapping_sub(1));
        }
    });
    Cow::Owned(values)
}

impl Measure for ServiceLevelLines {
    type Tally = Share;

    fn each_row(&self, columns: &[ArrayRef], mut each: impl FnMut(Share)) -> Result<()> {
        let (waits, abandoned) = (numbers(columns, 0)?, flags(columns, 1)?);
        match (waits.nulls(), abandoned.nulls()) {
            (None, None) => each_with_bits(waits.values(), [abandoned.values()], |wait_s, [is_abandoned]| {
                each(self.of(wait_s, is_abandoned));
            }),
            (waits_known, outcomes_known) => {
                let all = BooleanBuffer::new_set(waits.len());
                let bits =
                    |known: Option<&NullBuffer>| known.map_or_else(|| all.clone(), |known| known.inner().clone());
                let (has_waits, is_known) = (bits(waits_known), bits(outcomes_known));
                let bits = [abandoned.values(), &has_waits, &is_known];
                each_with_bits(waits.values(), bits, |wait_s, [is_abandoned, has_wait, is_known]| {
                    each(if is_known { self.of_known(wait_s, has_wait, is_abandoned) } else { Share::default() });
                });
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ServiceLevel;

impl Function for ServiceLevel {
    const CALL: Call = Call {
        function: "service_level",
        syntax: "service_level(wait_s, is_abandoned, threshold_s [, dialect [, short_abandon_s]])",
        parameters: &[
            Parameter::column("wait_s", Kind::Number),
            Parameter::column("is_abandoned", Kind::Flag),
            Parameter::constant("threshold_s", Kind::Number),
            Parameter::constant("dialect", Kind::Text),
            Parameter::constant("short_abandon_s", Kind::Number),
        ],
        arities: &[3, 4, 5],
    };

    type Measure = ServiceLevelLines;

    fn bind(constants: &Constants) -> Result<ServiceLevelLines> {
        let Some(threshold_s) = constants.seconds("threshold_s")? else {
            return plan_err!("service_level: threshold_s must be >= 0, got NULL");
        };
        let dialect = constants.choice("dialect", &DIALECTS)?.unwrap_or(Dialect::Offered);
        let short_abandon_s = constants.seconds("short_abandon_s")?;
        if short_abandon_s.is_none() && matches!(dialect, Dialect::ShortMet | Dialect::ShortExcluded) {
            return plan_err!(
                "service_level: short_abandon_s must be >= 0 with the dialects short_met, short_excluded, talkdesk and \
                 genesys, got none"
            );
        }
        Ok(ServiceLevelLines::new(dialect, threshold_s, short_abandon_s.unwrap_or(ServiceLevelLines::NONE)))
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                ServiceLevel::CALL,
                "Queue",
                "Share of contacts answered in time.\n\
                 Formula: with A answered, AW answered within threshold_s, B abandoned, BW abandoned within threshold_s \
                 and S abandoned within short_abandon_s, by dialect: offered AW / (A + B); answered AW / A; \
                 late_abandons AW / (A + B - BW); abandons_met, connect (AW + BW) / (A + B); short_met \
                 (AW + S) / (A + B); short_excluded, talkdesk, genesys AW / (A + B - S).\n\
                 Units: seconds in, ratio from 0 to 1 out.\n\
                 NULL: a row whose is_abandoned is NULL is skipped, and so is an answered contact whose wait_s is NULL: \
                 it is not known where it belongs. An abandoned contact whose wait_s is NULL counts in offered, which \
                 needs no wait of it, and is skipped by the dialects with BW or S. No rows left gives NULL. A dialect or \
                 short_abandon_s that is NULL is taken as not given.\n\
                 Edges: wait_s equal to threshold_s is within, wait_s equal to short_abandon_s is short. A wait that is \
                 negative, infinite or NaN counts as NULL. The short_ dialects need short_abandon_s, the others ignore \
                 it. DISTINCT is refused.\n\
                 Source: Call Centre Helper, Service Level Threshold Calculations, \
                 callcentrehelper.com/service-level-threshold-calculations-206890.htm (five formulas and their example; \
                 by the same example ICMI, 2002); the names of products by their own metric definitions.",
            )
            .with_argument("wait_s", "Number: seconds from entering the queue to the answer or the abandon.")
            .with_argument("is_abandoned", "Boolean: whether the customer left before an answer.")
            .with_argument("threshold_s", "Constant number >= 0: an answer up to here is in time.")
            .with_argument(
                "dialect",
                "Constant string, whatever its case: offered (default), answered, late_abandons, abandons_met, connect, \
                 short_met, short_excluded, talkdesk, genesys.",
            )
            .with_argument(
                "short_abandon_s",
                "Constant number >= 0: an abandon up to here is short. Required by the short_ dialects and their aliases.",
            )
            .with_sql_example(
                "```sql
select
    service_level(wait_s, is_abandoned, threshold_s => 20) as offered_ratio,
    service_level(wait_s, is_abandoned, 20, 'answered') as answered_ratio,
    service_level(wait_s, is_abandoned, 20, 'genesys', 5) as genesys_ratio
from (values (8, false), (20, false), (45, false), (3, true), (60, true)) as t(wait_s, is_abandoned);
+---------------+--------------------+---------------+
| offered_ratio | answered_ratio     | genesys_ratio |
+---------------+--------------------+---------------+
| 0.4           | 0.6666666666666666 | 0.5           |
+---------------+--------------------+---------------+
```",
            )
            .with_related_udf("abandonment_rate")
            .build()
        });
        &PAGE
    }
}

pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![
        aggregate(ServiceLevel),
        handle_time::function(),
        abandonment::function(),
        answer::function(),
        occupancy::function(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Tally;

    /// (wait_s, is_abandoned, contacts) of Call Centre Helper's example: A 1000, B 60, AW 860, BW 20 at 20 s, S 10 at 5 s.
    const PUBLISHED: [(f64, bool, usize); 5] =
        [(10.0, false, 860), (40.0, false, 140), (3.0, true, 10), (12.0, true, 10), (90.0, true, 40)];

    fn service_level(dialect: &str, rows: &[(f64, bool, usize)]) -> Option<f64> {
        let (_, dialect) = DIALECTS.iter().find(|(name, _)| *name == dialect).unwrap();
        let lines = ServiceLevelLines::new(*dialect, 20.0, 5.0);
        let mut share = Share::default();
        for (wait_s, is_abandoned, contacts) in rows {
            (0..*contacts).for_each(|_| share.merge(lines.of(*wait_s, *is_abandoned)));
        }
        share.finish()
    }

    #[test]
    fn service_level_of_the_published_example() {
        for (dialect, expected) in [
            ("offered", 860.0 / 1060.0),               // .8113: 860 / (1000 + 60)
            ("answered", 860.0 / 1000.0),              // .8600
            ("late_abandons", 860.0 / 1040.0),         // .8269: 1000 + 60 - 20
            ("abandons_met", (860.0 + 20.0) / 1060.0), // .8302
            ("connect", (860.0 + 20.0) / 1060.0),
            ("short_met", (860.0 + 10.0) / 1060.0), // .8208
            ("short_excluded", 860.0 / 1050.0),     // .8190: 1000 + 60 - 10
            ("talkdesk", 860.0 / 1050.0),
            ("genesys", 860.0 / 1050.0),
        ] {
            assert_eq!(service_level(dialect, &PUBLISHED), Some(expected), "{dialect}");
        }
    }

    #[test]
    fn a_wait_equal_to_the_line_is_within() {
        assert_eq!(service_level("offered", &[(20.0, false, 1)]), Some(1.0));
        assert_eq!(service_level("offered", &[(20.000001, false, 1)]), Some(0.0));
        assert_eq!(service_level("abandons_met", &[(20.0, true, 1)]), Some(1.0));
        assert_eq!(service_level("late_abandons", &[(20.0, true, 1)]), None);
        assert_eq!(service_level("short_excluded", &[(5.0, true, 1), (5.1, true, 1)]), Some(0.0));
        assert_eq!(service_level("short_excluded", &[(5.0, true, 1)]), None);
    }

    /// 4 answered within the threshold and 1 abandoned without a wait: 4 / 5 where the formula has all of B; where it has
    /// BW or S the abandon is left out, and 4 / 4 remain.
    #[test]
    fn an_abandon_without_a_wait_counts_where_no_wait_is_needed() {
        let lines = |dialect| ServiceLevelLines::new(dialect, 20.0, 5.0);
        for (name, dialect) in DIALECTS {
            let mut share = Share::default();
            (0..4).for_each(|_| share.merge(lines(dialect).of_known(10.0, true, false)));
            share.merge(lines(dialect).of_known(0.0, false, true));
            // an answered contact without a wait is left out everywhere
            share.merge(lines(dialect).of_known(0.0, false, false));
            let expected = if name == "offered" { 0.8 } else { 1.0 };
            assert_eq!(share.finish(), Some(expected), "{name}");
        }
    }

    #[test]
    fn only_abandons_have_no_answered_service_level() {
        assert_eq!(service_level("answered", &[(3.0, true, 2), (300.0, true, 5)]), None);
        assert_eq!(service_level("offered", &[(3.0, true, 2), (300.0, true, 5)]), Some(0.0));
    }

    #[test]
    fn what_is_no_duration_is_no_wait() {
        for wait_s in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for (dialect, _) in DIALECTS {
                // an abandoned contact counts in A + B all the same: 0 / 1
                let abandoned = (dialect == "offered").then_some(0.0);
                assert_eq!(service_level(dialect, &[(wait_s, true, 1)]), abandoned, "{dialect} {wait_s}");
                assert_eq!(service_level(dialect, &[(wait_s, false, 1)]), None, "{dialect} {wait_s}");
            }
        }
    }
}

//! `abandonment_rate`: the share of offered contacts whose customer left. Its page answers for formula, units, NULLs and source.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::{is_duration, or_nan};
use crate::aggregate::{Function, Measure, Tally, aggregate, each_with_bits, flags, numbers, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::rate::{FlagShare, Share};

/// What is done with short abandons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// B / (A + B)
    Offered,
    /// (B - S) / (A + B - S)
    ShortExcluded,
    /// (B - S) / (A + B)
    LongAbandons,
}

const DIALECTS: [(&str, Dialect); 9] = [
    ("offered", Dialect::Offered),
    ("connect", Dialect::Offered),
    ("genesys", Dialect::Offered),
    ("nice", Dialect::Offered),
    ("short_excluded", Dialect::ShortExcluded),
    ("talkdesk", Dialect::ShortExcluded),
    ("google", Dialect::ShortExcluded),
    ("long_abandons", Dialect::LongAbandons),
    ("nice_long", Dialect::LongAbandons),
];

/// How one contact counts.
#[derive(Debug, Clone, Copy)]
enum AbandonmentMeasure {
    /// No wait is needed.
    All,
    /// Up to this wait an abandon is short.
    Late { short_abandon_s: f64, counts_short: bool },
}

/// One contact. A short abandon is no abandon; it counts as offered if `counts_short`. An abandon of which the wait is not
/// known may be short, and does not count.
fn abandonment(wait_s: f64, is_abandoned: bool, short_abandon_s: f64, counts_short: bool) -> Share {
    let has_wait = is_duration(wait_s);
    let is_late = wait_s > short_abandon_s;
    Share::of_known(is_abandoned & is_late, !is_abandoned | (has_wait & (is_late | counts_short)))
}

impl Measure for AbandonmentMeasure {
    type Tally = Share;

    fn each_row(&self, columns: &[ArrayRef], mut each: impl FnMut(Share)) -> Result<()> {
        let Self::Late { short_abandon_s, counts_short } = *self else {
            return FlagShare.each_row(columns, each);
        };
        let (abandoned, waits) = (flags(columns, 0)?, numbers(columns, 1)?);
        let waits = or_nan(waits);
        let contact = |wait_s, is_abandoned| abandonment(wait_s, is_abandoned, short_abandon_s, counts_short);
        match abandoned.nulls() {
            None => each_with_bits(&waits, [abandoned.values()], |wait_s, [is_abandoned]| {
                each(contact(wait_s, is_abandoned));
            }),
            Some(known) => {
                each_with_bits(&waits, [abandoned.values(), known.inner()], |wait_s, [is_abandoned, is_known]| {
                    each(if is_known { contact(wait_s, is_abandoned) } else { Share::default() });
                });
            }
        }
        Ok(())
    }

    fn total(&self, columns: &[ArrayRef]) -> Result<Share> {
        if matches!(self, Self::All) {
            return FlagShare.total(columns);
        }
        let mut total = Share::default();
        self.each_row(columns, |row| total.merge(row))?;
        Ok(total)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct AbandonmentRate;

impl Function for AbandonmentRate {
    const CALL: Call = Call {
        function: "abandonment_rate",
        syntax: "abandonment_rate(is_abandoned [, wait_s, short_abandon_s [, dialect]])",
        parameters: &[
            Parameter::column("is_abandoned", Kind::Flag),
            Parameter::column("wait_s", Kind::Number),
            Parameter::constant("short_abandon_s", Kind::Number),
            Parameter::constant("dialect", Kind::Text),
        ],
        arities: &[1, 3, 4],
    };

    type Measure = AbandonmentMeasure;

    fn bind(constants: &Constants) -> Result<AbandonmentMeasure> {
        let short_abandon_s = constants.seconds("short_abandon_s")?;
        // a limit is given to leave short abandons out
        let usual = if short_abandon_s.is_some() { Dialect::ShortExcluded } else { Dialect::Offered };
        let dialect = constants.choice("dialect", &DIALECTS)?.unwrap_or(usual);
        match (dialect, short_abandon_s) {
            (Dialect::Offered, _) => Ok(AbandonmentMeasure::All),
            (dialect, Some(short_abandon_s)) => {
                Ok(AbandonmentMeasure::Late { short_abandon_s, counts_short: dialect == Dialect::LongAbandons })
            }
            (_, None) => plan_err!(
                "abandonment_rate: short_abandon_s must be >= 0 with the dialects short_excluded, talkdesk, google, \
                 long_abandons and nice_long, got none"
            ),
        }
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                AbandonmentRate::CALL,
                "Queue",
                "Share of offered contacts whose customer left before an answer.\n\
                 Formula: with A answered, B abandoned and S abandoned within short_abandon_s, by dialect: offered, connect, \
                 genesys, nice B / (A + B); short_excluded, talkdesk, google (B - S) / (A + B - S); long_abandons, nice_long \
                 (B - S) / (A + B). Without a dialect short_excluded where short_abandon_s is given, else offered.\n\
                 Units: Boolean and seconds in, ratio from 0 to 1 out.\n\
                 NULL: a row whose is_abandoned is NULL is skipped; by the dialects with S so is an abandon whose wait_s is \
                 NULL, since it may be short. No rows left gives NULL. A short_abandon_s or dialect that is NULL is taken as \
                 not given.\n\
                 Edges: wait_s equal to short_abandon_s is short. A wait that is negative, infinite or NaN counts as \
                 NULL. The dialects with S need short_abandon_s, offered ignores it. DISTINCT is refused.\n\
                 Source: Call Centre Helper, How to Measure Call Abandon Rate, \
                 callcentrehelper.com/measure-call-abandon-rate-75869.htm (also on leaving out the first five seconds); the \
                 products by their own metric definitions, see docs/dialects.md.",
            )
            .with_argument("is_abandoned", "Boolean: whether the customer left before an answer.")
            .with_argument("wait_s", "Number: seconds from entering the queue to the answer or the abandon.")
            .with_argument("short_abandon_s", "Constant number >= 0: an abandon up to here is short.")
            .with_argument(
                "dialect",
                "Constant string, whatever its case: offered, connect, genesys, nice, short_excluded, talkdesk, google, \
                 long_abandons, nice_long.",
            )
            .with_sql_example(
                "```sql
select
    abandonment_rate(is_abandoned) as abandonment_ratio,
    abandonment_rate(is_abandoned, wait_s, 5) as late_abandonment_ratio,
    abandonment_rate(is_abandoned, wait_s, 5, 'nice_long') as long_abandons_ratio
from (values (false, 12), (false, 30), (false, 4), (true, 5), (true, 60)) as t(is_abandoned, wait_s);
+-------------------+------------------------+---------------------+
| abandonment_ratio | late_abandonment_ratio | long_abandons_ratio |
+-------------------+------------------------+---------------------+
| 0.4               | 0.25                   | 0.2                 |
+-------------------+------------------------+---------------------+
```",
            )
            .with_related_udf("service_level")
            .build()
        });
        &PAGE
    }
}

/// `abandonment_rate`.
pub(super) fn function() -> Arc<AggregateUDF> {
    aggregate(AbandonmentRate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(contacts: &[(f64, bool)], counts_short: bool) -> Share {
        let mut share = Share::default();
        contacts.iter().for_each(|(wait_s, flag)| share.merge(abandonment(*wait_s, *flag, 5.0, counts_short)));
        share
    }

    #[test]
    fn short_abandons_leave_both_sides_or_one() {
        // 3 answered, one abandon at 5 s (short), one at 60 s: 1 / 4, or 1 / 5
        let contacts = [(12.0, false), (30.0, false), (4.0, false), (5.0, true), (60.0, true)];
        assert_eq!(share(&contacts, false), Share { hits: 1, known: 4 });
        assert_eq!(share(&contacts, true), Share { hits: 1, known: 5 });
    }

    #[test]
    fn an_answered_contact_counts_whatever_its_wait() {
        assert_eq!(share(&[(f64::NAN, false)], false), Share::of(false));
    }

    #[test]
    fn an_abandon_without_a_wait_may_be_short() {
        for wait_s in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(share(&[(wait_s, true)], false), Share::default(), "{wait_s}");
            assert_eq!(share(&[(wait_s, true)], true), Share::default(), "{wait_s}");
        }
    }
}

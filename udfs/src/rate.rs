//! `rate(flag)`, `fcr(flag)`: share of true among the known.
//!
//! Formula: true / (true + false).
//! Units:   Booleans in, ratio in [0, 1] out.
//! NULL:    a NULL flag is not known and is skipped; no known flag gives NULL.
//! Edges:   all true is 1, all false is 0, exactly.
//! Source:  FCR as the share of contacts resolved at the first: B. Cleveland, Call Center Management on Fast Forward,
//!          4th ed., ICMI Press 2019.
//! Choices: `fcr` is `rate` under the name of the field. What "resolved" means is the flag's business: the agent's
//!          `is_resolved`, a survey, or the window function `first_contact_resolved`.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use crate::aggregate::{Function, Measure, Tally, aggregate, count_column, counts, each_known, flags, page};
use crate::args::{Call, Constants, Kind, Parameter};

mod contacts;

/// Hits among the rows that count: the state of every ratio of this crate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) hits: i64,
    pub(crate) known: i64,
}

impl Share {
    /// One row that counts.
    pub(crate) fn of(is_hit: bool) -> Self {
        Self { hits: i64::from(is_hit), known: 1 }
    }

    /// One row, that may not count.
    pub(crate) fn of_known(is_hit: bool, is_known: bool) -> Self {
        Self { hits: i64::from(is_hit & is_known), known: i64::from(is_known) }
    }
}

impl Tally for Share {
    const COLUMNS: &'static [(&'static str, DataType)] = &[("hits", DataType::Int64), ("known", DataType::Int64)];

    fn merge(&mut self, other: Self) {
        self.hits += other.hits;
        self.known += other.known;
    }

    fn retract(&mut self, other: Self) {
        self.hits -= other.hits;
        self.known -= other.known;
    }

    fn finish(self) -> Option<f64> {
        (self.known > 0).then(|| self.hits as f64 / self.known as f64)
    }

    fn to_columns(tallies: &[Self]) -> Vec<ArrayRef> {
        vec![count_column(tallies, |share| share.hits), count_column(tallies, |share| share.known)]
    }

    fn from_columns(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let rows = counts(columns, 0)?.iter().zip(counts(columns, 1)?);
        Ok(rows.map(|(&hits, &known)| Self { hits, known }).collect())
    }
}

/// Counts a flag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlagShare;

impl Measure for FlagShare {
    type Tally = Share;

    fn each_row(&self, columns: &[ArrayRef], each: impl FnMut(Share)) -> Result<()> {
        let flags = flags(columns, 0)?;
        each_known(flags.values().iter(), flags.nulls(), Share::of, each);
        Ok(())
    }

    /// Counts 64 rows at a time.
    fn total(&self, columns: &[ArrayRef]) -> Result<Share> {
        let flags = flags(columns, 0)?;
        Ok(Share { hits: flags.true_count() as i64, known: (flags.len() - flags.null_count()) as i64 })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Rate;

impl Function for Rate {
    const CALL: Call = Call {
        function: "rate",
        syntax: "rate(flag)",
        parameters: &[Parameter::column("flag", Kind::Flag)],
        arities: &[1],
    };

    type Measure = FlagShare;

    fn bind(_: &Constants) -> Result<FlagShare> {
        Ok(FlagShare)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Rate::CALL,
                "Resolution",
                "Share of true among the known values of a flag.\n\
                 Formula: true / (true + false).\n\
                 Units: Boolean in, ratio from 0 to 1 out.\n\
                 NULL: a NULL flag is not known and is skipped; no known flag gives NULL.\n\
                 Edges: all true gives exactly 1, all false exactly 0. DISTINCT is refused.\n\
                 Source: the sample proportion; its interval is E. B. Wilson, Journal of the American Statistical \
                 Association 22 (1927) 209-212.",
            )
            .with_argument("flag", "Boolean: whether the row is a hit; NULL where it is not known.")
            .with_sql_example(
                "```sql
select rate(is_transferred) as transfer_ratio
from (values (true), (false), (false), (null), (false)) as t(is_transferred);
+----------------+
| transfer_ratio |
+----------------+
| 0.25           |
+----------------+
```",
            )
            .with_related_udf("fcr")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Fcr;

impl Function for Fcr {
    const CALL: Call = Call { function: "fcr", syntax: "fcr(flag)", ..Rate::CALL };

    type Measure = FlagShare;

    fn bind(_: &Constants) -> Result<FlagShare> {
        Ok(FlagShare)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Fcr::CALL,
                "Resolution",
                "First-contact resolution: share of first contacts that were resolved, among those for which it is \
                 known.\n\
                 Formula: resolved at first contact / (resolved + not resolved at first contact).\n\
                 Units: Boolean in, ratio from 0 to 1 out.\n\
                 NULL: a NULL flag (no first contact, or not known yet) is skipped; no known flag gives NULL.\n\
                 Edges: the flag decides what resolved means: the window function first_contact_resolved (no repeat \
                 within a window), the agent's is_resolved, or a survey answer are different measures; do not mix them. \
                 DISTINCT is refused.\n\
                 Source: B. Cleveland, Call Center Management on Fast Forward, 4th ed., ICMI Press 2019: contacts \
                 resolved at the first contact / all contacts.",
            )
            .with_argument(
                "flag",
                "Boolean: whether the contact was resolved at first contact; NULL where it is not known.",
            )
            .with_sql_example(
                "```sql
select topic, fcr(is_resolved) as fcr_ratio
from (values ('billing', true), ('billing', true), ('billing', false), ('billing', true), ('login', null))
    as t(topic, is_resolved)
group by topic
order by topic;
+---------+-----------+
| topic   | fcr_ratio |
+---------+-----------+
| billing | 0.75      |
| login   |           |
+---------+-----------+
```",
            )
            .with_related_udf("rate")
            .build()
        });
        &PAGE
    }
}

pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [vec![aggregate(Rate), aggregate(Fcr)], contacts::aggregate_functions()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(flags: &[Option<bool>]) -> Share {
        let mut share = Share::default();
        for flag in flags.iter().flatten() {
            share.merge(Share::of(*flag));
        }
        share
    }

    #[test]
    fn share_of_true_among_the_known() {
        // 3 of the 4 known are true: 3 / 4.
        let flags = [Some(true), None, Some(true), Some(false), Some(true), None];
        assert_eq!(share(&flags).finish(), Some(0.75));
    }

    #[test]
    fn nothing_known_is_null() {
        assert_eq!(share(&[None, None]).finish(), None);
        assert_eq!(Share::default().finish(), None);
    }

    #[test]
    fn merge_of_empty_state_is_identity() {
        let mut merged = share(&[Some(true), Some(false)]);
        merged.merge(Share::default());
        assert_eq!(merged, Share { hits: 1, known: 2 });
    }

    #[test]
    fn retract_undoes_merge() {
        let mut shares = share(&[Some(true), Some(false), Some(true)]);
        shares.retract(share(&[Some(true), Some(false)]));
        assert_eq!(shares, share(&[Some(true)]));
    }

    #[test]
    fn a_row_that_does_not_count_is_empty() {
        assert_eq!(Share::of_known(true, false), Share::default());
        assert_eq!(Share::of_known(true, true), Share::of(true));
    }
}

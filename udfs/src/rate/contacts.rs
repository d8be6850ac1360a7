//! `transfer_rate(transfer [, is_abandoned])`, `repeat_rate(is_repeat)`: contacts that cost more than one agent or one call.
//!
//! Formula: transfer_rate = contacts with a transfer / contacts of which it is known; repeat_rate = repeats / contacts of
//!          which it is known.
//! Units:   Booleans or counts in, ratio in [0, 1] out.
//! NULL:    what is not known is skipped; nothing known gives NULL.
//! Edges:   a count that is negative, fractional, infinite or NaN is no count of transfers and counts as NULL.
//! Source:  B. Cleveland, Call Center Management on Fast Forward, 4th ed., ICMI Press 2019.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::{FlagShare, Share};
use crate::aggregate::{Function, Measure, aggregate, flags, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// Counts contacts with a transfer, given as a flag or as a number of transfers.
#[derive(Debug, Clone, Copy)]
struct Transfers;

/// Whether a contact was transferred that often; not known for what is no count.
fn is_transferred(count: f64) -> Share {
    Share::of_known(count > 0.0, (0.0..f64::INFINITY).contains(&count) & (count.fract() == 0.0))
}

impl Transfers {
    /// Calls `each` once per contact that may count, and with an empty tally for the others.
    fn each(columns: &[ArrayRef], row: impl Fn(usize) -> Share, mut each: impl FnMut(Share)) -> Result<()> {
        let (transfers, abandoned) = match columns {
            [transfers] => (transfers, None),
            _ => (
                columns
                    .first()
                    .ok_or_else(|| internal_datafusion_err!("transfer_rate: evaluated without its argument"))?,
                Some(flags(columns, 1)?),
            ),
        };
        let is_answered = |abandoned: &BooleanArray, row| abandoned.is_valid(row) && !abandoned.value(row);
        for index in 0..transfers.len() {
            let counts = transfers.is_valid(index) && abandoned.is_none_or(|abandoned| is_answered(abandoned, index));
            each(if counts { row(index) } else { Share::default() });
        }
        Ok(())
    }
}

impl Measure for Transfers {
    type Tally = Share;

    fn each_row(&self, columns: &[ArrayRef], each: impl FnMut(Share)) -> Result<()> {
        let transfers = columns.first().map(AsRef::as_ref);
        if let Some(flags) = transfers.and_then(|column: &dyn Array| column.as_boolean_opt()) {
            return Self::each(columns, |row| Share::of(flags.value(row)), each);
        }
        let counts = transfers.and_then(|column: &dyn Array| column.as_primitive_opt::<Float64Type>());
        let counts = counts.ok_or_else(|| {
            internal_datafusion_err!("transfer_rate: transfer is planned as Boolean or Float64, got {columns:?}")
        })?;
        Self::each(columns, |row| is_transferred(counts.value(row)), each)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TransferRate;

impl Function for TransferRate {
    const CALL: Call = Call {
        function: "transfer_rate",
        syntax: "transfer_rate(transfer [, is_abandoned])",
        parameters: &[Parameter::column("transfer", Kind::FlagOrNumber), Parameter::column("is_abandoned", Kind::Flag)],
        arities: &[1, 2],
    };

    type Measure = Transfers;

    fn bind(_: &Constants) -> Result<Transfers> {
        Ok(Transfers)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                TransferRate::CALL,
                "Resolution",
                "Share of contacts that were passed on at least once.\n\
                 Formula: contacts with a transfer / contacts of which it is known.\n\
                 Units: Boolean or number of transfers in, ratio from 0 to 1 out.\n\
                 NULL: a NULL transfer is skipped; with is_abandoned so is a contact that was abandoned, or of which that is \
                 NULL: nobody was there to pass it on. Nothing known gives NULL.\n\
                 Edges: a contact counts once, however often it was passed on. A number that is negative, infinite, NaN or \
                 not whole counts as NULL. DISTINCT is refused.\n\
                 Source: B. Cleveland, Call Center Management on Fast Forward, 4th ed., ICMI Press 2019: contacts \
                 transferred / contacts handled.",
            )
            .with_argument("transfer", "Boolean or number: whether, or how often, the contact was passed on.")
            .with_argument("is_abandoned", "Boolean: whether the customer left before an answer.")
            .with_sql_example(
                "```sql
select transfer_rate(transfer_count, is_abandoned) as transfer_ratio
from (values (0, false), (2, false), (1, false), (0, false), (0, true), (null, false)) as t(transfer_count, is_abandoned);
+----------------+
| transfer_ratio |
+----------------+
| 0.5            |
+----------------+
```",
            )
            .with_related_udf("rate")
            .with_related_udf("proportion_ci")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RepeatRate;

impl Function for RepeatRate {
    const CALL: Call = Call {
        function: "repeat_rate",
        syntax: "repeat_rate(is_repeat)",
        parameters: &[Parameter::column("is_repeat", Kind::Flag)],
        arities: &[1],
    };

    type Measure = FlagShare;

    fn bind(_: &Constants) -> Result<FlagShare> {
        Ok(FlagShare)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                RepeatRate::CALL,
                "Resolution",
                "Share of contacts that repeat an earlier one, among those for which it is known.\n\
                 Formula: repeats / (repeats + contacts that repeat none).\n\
                 Units: Boolean in, ratio from 0 to 1 out.\n\
                 NULL: a NULL flag is skipped: is_repeat_contact is NULL for a contact so near to the begin of the data that \
                 what it may repeat was not observed. No known flag gives NULL.\n\
                 Edges: it is not 1 - fcr: fcr looks from the first contact forward, repeat_rate from every contact back, and \
                 a customer who calls three times has one first contact and two repeats. DISTINCT is refused.\n\
                 Source: B. Cleveland, Call Center Management on Fast Forward, 4th ed., ICMI Press 2019: repeat contacts / \
                 contacts; the window is that of is_repeat_contact.",
            )
            .with_argument("is_repeat", "Boolean: whether the contact repeats an earlier one; NULL where it is not known.")
            .with_sql_example(
                "```sql
select repeat_rate(is_repeat) as repeat_ratio
from (
    select is_repeat_contact(at, interval '7 days') over (partition by customer_id, topic order by at) as is_repeat
    from (values
        (1, 'billing', timestamp '2025-03-01 09:00:00'), (1, 'billing', timestamp '2025-03-04 10:00:00'),
        (2, 'billing', timestamp '2025-03-05 09:00:00'), (2, 'login', timestamp '2025-03-06 09:00:00')
    ) as contacts(customer_id, topic, at)
);
+--------------+
| repeat_ratio |
+--------------+
| 0.25         |
+--------------+
```",
            )
            .with_related_udf("is_repeat_contact")
            .with_related_udf("fcr")
            .build()
        });
        &PAGE
    }
}

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![aggregate(TransferRate), aggregate(RepeatRate)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_count_is_not_known() {
        assert_eq!(is_transferred(0.0), Share::of(false));
        assert_eq!(is_transferred(3.0), Share::of(true));
        for count in [-1.0, 0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(is_transferred(count), Share::default(), "{count}");
        }
    }
}

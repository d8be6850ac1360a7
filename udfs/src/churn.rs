//! `churn_rate(signed_up_at, churned_at, from, until)`: the share of customers who left in a period.
//!
//! Formula: customers active at `from` who left before `until` / customers active at `from`.
//! Units:   times in, ratio in [0, 1] out.
//! NULL:    a NULL `churned_at` has not left; a NULL in another argument is skipped; nobody active at `from` gives NULL.
//! Edges:   active at `from`: signed up before it, and not left before it. Left at `from` is left in the period, left at
//!          `until` is not. Who left before signing up cannot be, and is skipped; so is a period that ends before it begins.
//! Source:  F. F. Reichheld, The Loyalty Effect, 1996: customers lost in a period / customers at its start.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use crate::aggregate::{Function, Measure, aggregate, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::rate::Share;
use crate::times::Times;

/// Customers by their times and the period that is asked about.
#[derive(Debug, Clone, Copy)]
struct ChurnMeasure;

/// One customer. Times are nanoseconds.
fn churn(signed_up_at: i128, churned_at: Option<i128>, from: i128, until: i128) -> Share {
    let is_active = signed_up_at < from
        && from < until
        && churned_at.is_none_or(|churned_at| churned_at >= from && churned_at >= signed_up_at);
    Share::of_known(churned_at.is_some_and(|churned_at| churned_at < until), is_active)
}

impl Measure for ChurnMeasure {
    type Tally = Share;

    fn each_row(&self, columns: &[ArrayRef], mut each: impl FnMut(Share)) -> Result<()> {
        let [signed_up_at, churned_at, from, until] = columns else {
            return internal_err!("churn_rate: evaluated with {} arguments", columns.len());
        };
        let row_count = signed_up_at.len();
        let times = |column| Times::new(column, false);
        let (signed_up_at, churned_at) = (times(signed_up_at)?, times(churned_at)?);
        let (from, until) = (times(from)?, times(until)?);
        let customer = |row| Some(churn(signed_up_at.get(row)?, churned_at.get(row), from.get(row)?, until.get(row)?));
        (0..row_count).for_each(|row| each(customer(row).unwrap_or_default()));
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ChurnRate;

impl Function for ChurnRate {
    const CALL: Call = Call {
        function: "churn_rate",
        syntax: "churn_rate(signed_up_at, churned_at, from, until)",
        parameters: &[
            Parameter::column("signed_up_at", Kind::Time),
            Parameter::column("churned_at", Kind::Time),
            Parameter::column("from", Kind::Time),
            Parameter::column("until", Kind::Time),
        ],
        arities: &[4],
    };

    type Measure = ChurnMeasure;

    fn bind(_: &Constants) -> Result<ChurnMeasure> {
        Ok(ChurnMeasure)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                ChurnRate::CALL,
                "Customers",
                "Share of the customers of a day who left in the period from then on.\n\
                 Formula: active at from and left before until / active at from; active at from is signed_up_at < from and \
                 (churned_at is null or churned_at >= from).\n\
                 Units: timestamps or dates in, ratio from 0 to 1 out. One row is one customer.\n\
                 NULL: a NULL churned_at is a customer who has not left; a row with a NULL in another argument is skipped; \
                 nobody active at from gives NULL.\n\
                 Edges: who left at from left in the period, who left at until did not; who signed up in the period is in \
                 neither count. A customer who left before signing up is skipped, and so is a period that ends before it \
                 begins. from and until may differ between rows: customers joined with months give churn by month. A period that has not ended yet has too few \
                 leavers: let until be known. Where leaving is not recorded, take a stated span of inactivity: \
                 case when last_contact_at < until - interval '90 days' then last_contact_at + interval '90 days' end as \
                 churned_at. A date or a time without a time zone is UTC. DISTINCT is refused.\n\
                 Source: F. F. Reichheld, The Loyalty Effect, Harvard Business School Press 1996: customers lost in a period / \
                 customers at its start.",
            )
            .with_argument("signed_up_at", "Timestamp or date: when the customer came.")
            .with_argument("churned_at", "Timestamp or date: when the customer left; NULL for one who is still there.")
            .with_argument("from", "Timestamp or date: the start of the period.")
            .with_argument("until", "Timestamp or date: the end of the period, exclusive.")
            .with_sql_example(
                "```sql
select churn_rate(signed_up_at, churned_at, date '2025-02-01', date '2025-03-01') as churn_ratio
from (values
    (date '2024-05-01', null), (date '2024-07-15', date '2025-02-10'), (date '2025-01-31', date '2025-03-01'),
    (date '2024-06-01', date '2025-01-10'), (date '2025-02-05', date '2025-02-20'), (date '2023-01-01', null)
) as customers(signed_up_at, churned_at);
+-------------+
| churn_ratio |
+-------------+
| 0.25        |
+-------------+
```",
            )
            .with_related_udf("rate")
            .with_related_udf("proportion_ci_of")
            .build()
        });
        &PAGE
    }
}

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![aggregate(ChurnRate)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_of_the_start_who_left_in_the_period() {
        for (signed_up_at, churned_at, wanted) in [
            (99, None, Share::of(false)),
            (99, Some(100), Share::of(true)),
            (99, Some(199), Share::of(true)),
            (99, Some(200), Share::of(false)),
            (99, Some(99), Share::default()),
            (100, None, Share::default()),
            (100, Some(150), Share::default()),
        ] {
            assert_eq!(churn(signed_up_at, churned_at, 100, 200), wanted, "{signed_up_at} {churned_at:?}");
            assert_eq!(churn(signed_up_at, churned_at, 200, 100), Share::default());
        }
    }
}

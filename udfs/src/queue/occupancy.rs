//! `occupancy`: how much of their time agents are busy. Its page answers for formula, units, NULLs and source.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::handle_time::lost_in_sum;
use super::{is_duration, or_nan};
use crate::aggregate::{Function, Measure, Tally, aggregate, count_column, counts, numbers, page, sum_column, sums};
use crate::args::{Call, Constants, Kind, Parameter};

/// A sum with what rounding took from it (D. E. Knuth's two-sum).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Total {
    sum: f64,
    lost: f64,
}

impl Total {
    fn add(&mut self, sum: f64, lost: f64) {
        let total = self.sum + sum;
        self.lost += lost_in_sum(self.sum, sum, total) + lost;
        self.sum = total;
    }

    fn value(self) -> f64 {
        if self.lost.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

/// Time on contacts, and all time that counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Occupied {
    stretches: i64,
    contact: Total,
    other: Total,
}

impl Tally for Occupied {
    const COLUMNS: &'static [(&'static str, DataType)] = &[
        ("stretches", DataType::Int64),
        ("contact", DataType::Float64),
        ("contact_lost", DataType::Float64),
        ("other", DataType::Float64),
        ("other_lost", DataType::Float64),
    ];

    fn merge(&mut self, rows: Self) {
        self.stretches += rows.stretches;
        self.contact.add(rows.contact.sum, rows.contact.lost);
        self.other.add(rows.other.sum, rows.other.lost);
    }

    fn retract(&mut self, rows: Self) {
        self.stretches -= rows.stretches;
        self.contact.add(-rows.contact.sum, -rows.contact.lost);
        self.other.add(-rows.other.sum, -rows.other.lost);
        if self.stretches == 0 {
            *self = Self::default();
        }
    }

    fn finish(self) -> Option<f64> {
        let (contact, other) = (self.contact.value().max(0.0), self.other.value().max(0.0));
        // halves, so that the sum of two huge numbers stays a number
        let all = contact / 2.0 + other / 2.0;
        (self.stretches > 0 && all > 0.0 && all.is_finite()).then(|| contact / 2.0 / all)
    }

    fn to_columns(tallies: &[Self]) -> Vec<ArrayRef> {
        vec![
            count_column(tallies, |tally| tally.stretches),
            sum_column(tallies, |tally| tally.contact.sum),
            sum_column(tallies, |tally| tally.contact.lost),
            sum_column(tallies, |tally| tally.other.sum),
            sum_column(tallies, |tally| tally.other.lost),
        ]
    }

    fn from_columns(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let column = |index| sums(columns, index);
        let (contact, contact_lost, other, other_lost) = (column(1)?, column(2)?, column(3)?, column(4)?);
        let contact = contact.iter().zip(contact_lost).map(|(&sum, &lost)| Total { sum, lost });
        let other = other.iter().zip(other_lost).map(|(&sum, &lost)| Total { sum, lost });
        let rows = counts(columns, 0)?.iter().zip(contact.zip(other));
        Ok(rows.map(|(&stretches, (contact, other))| Self { stretches, contact, other }).collect())
    }
}

/// Which time counts beside that on contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Only idle time.
    Available,
    /// Idle time and `other_s`.
    WithOther,
}

const DIALECTS: [(&str, Dialect); 6] = [
    ("available", Dialect::Available),
    ("connect", Dialect::Available),
    ("on_queue", Dialect::WithOther),
    ("genesys", Dialect::WithOther),
    ("paid", Dialect::WithOther),
    ("zendesk", Dialect::WithOther),
];

#[derive(Debug, Clone, Copy)]
struct OccupancyMeasure {
    has_other: bool,
}

/// One stretch of time; a part that is no duration is 0 if another part is known.
fn occupied(contact_s: f64, idle_s: f64, other_s: f64) -> Occupied {
    let known = |seconds: f64| if is_duration(seconds) { seconds } else { 0.0 };
    let is_known = is_duration(contact_s) | is_duration(idle_s) | is_duration(other_s);
    let mut other = Total { sum: known(idle_s), lost: 0.0 };
    other.add(known(other_s), 0.0);
    Occupied { stretches: i64::from(is_known), contact: Total { sum: known(contact_s), lost: 0.0 }, other }
}

impl Measure for OccupancyMeasure {
    type Tally = Occupied;

    fn each_row(&self, columns: &[ArrayRef], mut each: impl FnMut(Occupied)) -> Result<()> {
        let (contact, idle) = (or_nan(numbers(columns, 0)?), or_nan(numbers(columns, 1)?));
        let rows = contact.iter().zip(idle.iter());
        if self.has_other {
            let other = or_nan(numbers(columns, 2)?);
            rows.zip(other.iter()).for_each(|((&contact, &idle), &other)| each(occupied(contact, idle, other)));
        } else {
            rows.for_each(|(&contact, &idle)| each(occupied(contact, idle, f64::NAN)));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Occupancy;

impl Function for Occupancy {
    const CALL: Call = Call {
        function: "occupancy",
        syntax: "occupancy(contact_s, idle_s [, other_s, dialect])",
        parameters: &[
            Parameter::column("contact_s", Kind::Number),
            Parameter::column("idle_s", Kind::Number),
            Parameter::column("other_s", Kind::Number),
            Parameter::constant("dialect", Kind::Text),
        ],
        arities: &[2, 4],
    };

    type Measure = OccupancyMeasure;

    fn bind(constants: &Constants) -> Result<OccupancyMeasure> {
        let dialect = constants.choice("dialect", &DIALECTS)?.unwrap_or(Dialect::Available);
        Ok(OccupancyMeasure { has_other: dialect == Dialect::WithOther })
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Occupancy::CALL,
                "Queue",
                "Share of their time in which agents are busy with contacts.\n\
                 Formula: with the sums C of contact_s, I of idle_s and O of other_s, by dialect: available (default), connect \
                 C / (C + I); on_queue, genesys and paid, zendesk C / (C + I + O). For on_queue other_s is time on queue with \
                 something else, for paid all other paid time.\n\
                 Units: seconds, or any other unit of time, in; ratio from 0 to 1 out.\n\
                 NULL: a part that is NULL counts 0 if another part of the row is known, else the row is skipped. No rows left, \
                 or no time in them, gives NULL. A dialect that is NULL is taken as not given.\n\
                 Edges: wrap-up is time on contacts. A part that is negative, infinite or NaN counts as NULL. The dialects \
                 available and connect ignore other_s. Times of contacts that an agent has at once add up: an occupancy above \
                 what the clock allows; use stretches of agent states, split at the ends of the period by split_interval. The sums \
                 are compensated: the order of the rows does not matter. DISTINCT is refused.\n\
                 Source: Amazon Connect Administrator Guide, occupancy: agent on contact time / (agent on contact time + agent \
                 idle time); other products by their own definitions, see docs/dialects.md.",
            )
            .with_argument("contact_s", "Number: time on contacts, with hold and wrap-up.")
            .with_argument("idle_s", "Number: time ready for a contact without one.")
            .with_argument("other_s", "Number: other time, see Formula.")
            .with_argument(
                "dialect",
                "Constant string, whatever its case: available (default), connect, on_queue, genesys, paid, zendesk.",
            )
            .with_sql_example(
                "```sql
select
    occupancy(contact_s, idle_s) as occupancy_ratio,
    occupancy(contact_s, idle_s, other_s, 'zendesk') as of_paid_time_ratio
from (values (5400, 1800, 0), (1800, 600, 2400)) as t(contact_s, idle_s, other_s);
+-----------------+--------------------+
| occupancy_ratio | of_paid_time_ratio |
+-----------------+--------------------+
| 0.75            | 0.6                |
+-----------------+--------------------+
```",
            )
            .with_related_udf("aht")
            .with_related_udf("split_interval")
            .build()
        });
        &PAGE
    }
}

/// `occupancy`.
pub(super) fn function() -> Arc<AggregateUDF> {
    aggregate(Occupancy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(rows: &[(f64, f64, f64)]) -> Occupied {
        let mut tally = Occupied::default();
        rows.iter().for_each(|(contact, idle, other)| tally.merge(occupied(*contact, *idle, *other)));
        tally
    }

    #[test]
    fn occupancy_is_contact_time_of_all_time() {
        // 7200 of 7200 + 2400 + 2400
        assert_eq!(total(&[(5400.0, 1800.0, 0.0), (1800.0, 600.0, 2400.0)]).finish(), Some(0.6));
        assert_eq!(total(&[(f64::NAN, -1.0, f64::INFINITY)]), Occupied::default());
        assert_eq!(total(&[(0.0, 0.0, 0.0)]).finish(), None);
        assert_eq!(total(&[(f64::NAN, 60.0, f64::NAN)]).finish(), Some(0.0));
        assert_eq!(total(&[(f64::MAX, f64::MAX, f64::NAN)]).finish(), Some(0.5));
    }

    #[test]
    fn retract_undoes_merge() {
        let mut tally = total(&[(1e16, 1.0, 0.0), (1.0, 1.0, 0.0)]);
        tally.retract(total(&[(1e16, 1.0, 0.0)]));
        assert_eq!(tally.finish(), Some(0.5));
        tally.retract(total(&[(1.0, 1.0, 0.0)]));
        assert_eq!(tally, Occupied::default());
    }
}

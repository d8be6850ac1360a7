//! `aht`: the mean handle time, in a compensated sum; also the mean of any duration of a contact. Its page answers for formula, units, NULLs and source.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::{is_duration, or_nan};
use crate::aggregate::{
    Function, Measure, Tally, aggregate, count_column, counts, each_known, flags, numbers, page, sum_column, sums,
};
use crate::args::{Call, Constants, Kind, Parameter};

/// Whether all parts of a contact are durations, and their sum too.
#[inline]
fn is_whole(talk_s: f64, hold_s: f64, wrap_s: f64) -> bool {
    (talk_s >= 0.0) & (hold_s >= 0.0) & (wrap_s >= 0.0) & (talk_s + hold_s + wrap_s < f64::INFINITY)
}

/// What is lost by rounding in `sum = one + other` (D. E. Knuth's two-sum).
#[inline]
pub(super) fn lost_in_sum(one: f64, other: f64, sum: f64) -> f64 {
    let added = sum - one;
    (one - (sum - added)) + (other - added)
}

/// Handle times of the contacts that count, in a compensated sum.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct HandleTime {
    contacts: i64,
    sum_s: f64,
    /// What rounding took from `sum_s` (A. Neumaier, ZAMM 54, 1974; here by Knuth's two-sum, which needs no branch).
    lost_s: f64,
}

impl HandleTime {
    /// One contact; a part that is not a duration is missing, a contact without any part does not count.
    #[inline]
    fn of(talk_s: f64, hold_s: f64, wrap_s: f64) -> Self {
        let sum_s = talk_s + hold_s + wrap_s;
        if is_whole(talk_s, hold_s, wrap_s) {
            Self { contacts: 1, sum_s, lost_s: 0.0 }
        } else {
            Self::of_broken(talk_s, hold_s, wrap_s)
        }
    }

    #[cold]
    fn of_broken(talk_s: f64, hold_s: f64, wrap_s: f64) -> Self {
        Self::of_parts(talk_s, hold_s, wrap_s)
    }

    /// Without a branch: what is missing where cannot be predicted.
    #[inline]
    fn of_parts(talk_s: f64, hold_s: f64, wrap_s: f64) -> Self {
        let mut contact = Self::default();
        for seconds in [talk_s, hold_s, wrap_s] {
            let is_known = is_duration(seconds);
            contact.contacts |= i64::from(is_known);
            // All bits of a part that is known, none of one that is not: 0.0.
            contact.sum_s += f64::from_bits(seconds.to_bits() & u64::from(is_known).wrapping_neg());
        }
        contact
    }

    /// One contact of which one duration is asked; what is none does not count.
    #[inline]
    pub(super) fn of_duration(seconds: f64) -> Self {
        Self::of_parts(seconds, f64::NAN, f64::NAN)
    }

    fn add(&mut self, sum_s: f64, lost_s: f64) {
        let sum = self.sum_s + sum_s;
        self.lost_s += lost_in_sum(self.sum_s, sum_s, sum) + lost_s;
        self.sum_s = sum;
    }
}

impl Tally for HandleTime {
    const COLUMNS: &'static [(&'static str, DataType)] =
        &[("contacts", DataType::Int64), ("sum_s", DataType::Float64), ("lost_s", DataType::Float64)];

    fn merge(&mut self, other: Self) {
        self.contacts += other.contacts;
        self.add(other.sum_s, other.lost_s);
    }

    fn retract(&mut self, other: Self) {
        self.contacts -= other.contacts;
        self.add(-other.sum_s, -other.lost_s);
        if self.contacts == 0 {
            *self = Self::default();
        }
    }

    fn finish(self) -> Option<f64> {
        // Beyond the largest float the compensation is NaN and the sum infinite, which is then the answer.
        let total_s = if self.lost_s.is_finite() { self.sum_s + self.lost_s } else { self.sum_s };
        (self.contacts > 0).then(|| total_s / self.contacts as f64)
    }

    fn to_columns(tallies: &[Self]) -> Vec<ArrayRef> {
        vec![
            count_column(tallies, |tally| tally.contacts),
            sum_column(tallies, |tally| tally.sum_s),
            sum_column(tallies, |tally| tally.lost_s),
        ]
    }

    fn from_columns(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let rows = counts(columns, 0)?.iter().zip(sums(columns, 1)?).zip(sums(columns, 2)?);
        Ok(rows.map(|((&contacts, &sum_s), &lost_s)| Self { contacts, sum_s, lost_s }).collect())
    }
}

/// Which contacts were answered: those that are known not to be abandoned.
pub(super) fn answered(abandoned: &BooleanArray) -> NullBuffer {
    let answered = !abandoned.values();
    NullBuffer::new(match abandoned.nulls() {
        Some(known) => &answered & known.inner(),
        None => answered,
    })
}

/// Whether the work after the contact belongs to its handle time.
const DIALECTS: [(&str, HandleTimeMeasure); 6] = [
    ("with_wrap", HandleTimeMeasure { has_wrap: true }),
    ("connect", HandleTimeMeasure { has_wrap: true }),
    ("genesys", HandleTimeMeasure { has_wrap: true }),
    ("talkdesk", HandleTimeMeasure { has_wrap: true }),
    ("without_wrap", HandleTimeMeasure { has_wrap: false }),
    ("8x8", HandleTimeMeasure { has_wrap: false }),
];

#[derive(Debug, Clone, Copy)]
struct HandleTimeMeasure {
    has_wrap: bool,
}

impl Measure for HandleTimeMeasure {
    type Tally = HandleTime;

    fn each_row(&self, columns: &[ArrayRef], each: impl FnMut(HandleTime)) -> Result<()> {
        let parts @ [talk, hold, wrap] = [numbers(columns, 0)?, numbers(columns, 1)?, numbers(columns, 2)?];
        let answered = if columns.len() > 3 { Some(answered(flags(columns, 3)?)) } else { None };
        if !self.has_wrap {
            let [talk, hold] = [talk, hold].map(or_nan);
            let of_parts = |(&talk, &hold)| HandleTime::of_parts(talk, hold, f64::NAN);
            each_known(talk.iter().zip(hold.iter()), answered.as_ref(), of_parts, each);
            return Ok(());
        }
        if parts.iter().all(|part| part.null_count() == 0) {
            let rows = talk.values().iter().zip(hold.values()).zip(wrap.values());
            each_known(rows, answered.as_ref(), |((&talk, &hold), &wrap)| HandleTime::of(talk, hold, wrap), each);
            return Ok(());
        }
        let [talk, hold, wrap] = parts.map(or_nan);
        let rows = talk.iter().zip(hold.iter()).zip(wrap.iter());
        let of_parts = |((&talk, &hold), &wrap)| HandleTime::of_parts(talk, hold, wrap);
        each_known(rows, answered.as_ref(), of_parts, each);
        Ok(())
    }

    /// Where nothing is missing, in eight compensated sums side by side, for which processors have instructions.
    fn total(&self, columns: &[ArrayRef]) -> Result<HandleTime> {
        let parts @ [talk, hold, wrap] = [numbers(columns, 0)?, numbers(columns, 1)?, numbers(columns, 2)?];
        let mut total = HandleTime::default();
        if !self.has_wrap || columns.len() > 3 || parts.iter().any(|part| part.null_count() > 0) {
            self.each_row(columns, |row| total.merge(row))?;
            return Ok(total);
        }
        let (mut sums, mut lost) = ([0.0; 8], [0.0; 8]);
        let (talk, talk_rest) = talk.values().as_chunks::<8>();
        let (hold, hold_rest) = hold.values().as_chunks::<8>();
        let (wrap, wrap_rest) = wrap.values().as_chunks::<8>();
        let mut add_rows = |talk: &[f64], hold: &[f64], wrap: &[f64]| {
            let rows = talk.iter().zip(hold).zip(wrap);
            rows.for_each(|((&talk_s, &hold_s), &wrap_s)| total.merge(HandleTime::of(talk_s, hold_s, wrap_s)));
        };
        let mut contacts = 0;
        for ((talk, hold), wrap) in talk.iter().zip(hold).zip(wrap) {
            let are_whole = (0..8).fold(true, |all, row| all & is_whole(talk[row], hold[row], wrap[row]));
            if !are_whole {
                add_rows(talk, hold, wrap);
                continue;
            }
            contacts += 8;
            for row in 0..8 {
                let sum_s = talk[row] + hold[row] + wrap[row];
                let sum = sums[row] + sum_s;
                lost[row] += lost_in_sum(sums[row], sum_s, sum);
                sums[row] = sum;
            }
        }
        add_rows(talk_rest, hold_rest, wrap_rest);
        total.contacts += contacts;
        sums.into_iter().zip(lost).for_each(|(sum_s, lost_s)| total.add(sum_s, lost_s));
        Ok(total)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Aht;

impl Function for Aht {
    const CALL: Call = Call {
        function: "aht",
        syntax: "aht(talk_s, hold_s, wrap_s [, is_abandoned [, dialect]])",
        parameters: &[
            Parameter::column("talk_s", Kind::Number),
            Parameter::column("hold_s", Kind::Number),
            Parameter::column("wrap_s", Kind::Number),
            Parameter::column("is_abandoned", Kind::Flag),
            Parameter::constant("dialect", Kind::Text),
        ],
        arities: &[3, 4, 5],
    };

    type Measure = HandleTimeMeasure;

    fn bind(constants: &Constants) -> Result<HandleTimeMeasure> {
        Ok(constants.choice("dialect", &DIALECTS)?.unwrap_or(HandleTimeMeasure { has_wrap: true }))
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Aht::CALL,
                "Queue",
                "Average handle time: how long an answered contact keeps an agent busy.\n\
                 Formula: over answered contacts, by dialect: with_wrap (default), connect, genesys, talkdesk the mean of \
                 talk_s + hold_s + wrap_s; without_wrap, 8x8 the mean of talk_s + hold_s.\n\
                 Units: seconds in, seconds out.\n\
                 NULL: a missing part counts 0 if another part of the contact is known, else the contact is skipped; so \
                 is a contact whose is_abandoned is true or NULL; no contacts left gives NULL. Without wrap-up a contact \
                 of which nothing else is known is skipped. A dialect that is NULL is taken as not given.\n\
                 Edges: without is_abandoned, or with false in its place, every contact is taken as answered. A part that is negative, infinite or \
                 NaN counts as NULL. The sum is compensated: the order of the rows does not matter. DISTINCT is \
                 refused.\n\
                 Source: Genesys Cloud, glossary, average handle time: (talk + hold + after-call work) / contacts \
                 handled (outbound also dialing and contacting); other products by their own definitions, see \
                 docs/dialects.md.",
            )
            .with_argument("talk_s", "Number: seconds of talking.")
            .with_argument("hold_s", "Number: seconds on hold.")
            .with_argument("wrap_s", "Number: seconds of wrap-up after the contact.")
            .with_argument("is_abandoned", "Boolean: whether the customer left before an answer.")
            .with_argument(
                "dialect",
                "Constant string, whatever its case: with_wrap (default), connect, genesys, talkdesk, without_wrap, 8x8.",
            )
            .with_sql_example(
                "```sql
select
    aht(talk_s, hold_s, wrap_s, is_abandoned) as aht_s,
    aht(talk_s, hold_s, wrap_s, is_abandoned, '8x8') as without_wrap_s
from (values (180, 20, 40, false), (300, null, 60, false), (null, null, null, false), (5, 0, 0, true))
    as t(talk_s, hold_s, wrap_s, is_abandoned);
+-------+----------------+
| aht_s | without_wrap_s |
+-------+----------------+
| 300.0 | 250.0          |
+-------+----------------+
```",
            )
            .build()
        });
        &PAGE
    }
}

/// `aht`.
pub(super) fn function() -> Arc<AggregateUDF> {
    aggregate(Aht)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aht(contacts: &[(f64, f64, f64)]) -> HandleTime {
        let mut tally = HandleTime::default();
        contacts.iter().for_each(|(talk, hold, wrap)| tally.merge(HandleTime::of(*talk, *hold, *wrap)));
        tally
    }

    #[test]
    fn handle_time_is_talk_and_hold_and_wrap() {
        // (180 + 20 + 40) + (300 + 0 + 60) = 600 over 2 contacts; the third knows no part.
        let known = [(180.0, 20.0, 40.0), (300.0, f64::NAN, 60.0), (f64::NAN, -1.0, f64::NAN)];
        assert_eq!(aht(&known).finish(), Some(300.0));
        assert_eq!(aht(&[]).finish(), None);
        assert_eq!(aht(&[(0.0, 0.0, 0.0)]).finish(), Some(0.0));
    }

    #[test]
    fn handle_time_keeps_what_plain_sums_lose() {
        // 1e16 + 1 is 1e16 in floats; the exact mean of 1e16, 1 and 1 is (1e16 + 2) / 3.
        let tally = aht(&[(1e16, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0)]);
        assert_eq!(tally.finish(), Some(10_000_000_000_000_002.0 / 3.0));
        let mut rest = tally;
        rest.retract(aht(&[(1e16, 0.0, 0.0)]));
        assert_eq!(rest.finish(), Some(1.0));
        rest.retract(aht(&[(1.0, 0.0, 0.0), (1.0, 0.0, 0.0)]));
        assert_eq!(rest, HandleTime::default());
    }

    #[test]
    fn handle_time_beyond_floats_is_infinite() {
        assert_eq!(aht(&[(1e308, 0.0, 0.0), (1e308, 0.0, 0.0)]).finish(), Some(f64::INFINITY));
    }

    #[test]
    fn what_is_no_duration_is_no_part() {
        for part_s in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(HandleTime::of(part_s, part_s, part_s), HandleTime::default(), "{part_s}");
        }
    }
}

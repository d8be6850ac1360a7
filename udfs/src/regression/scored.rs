//! Scores of rows and what they turned out to be.

use std::cmp::Ordering;
use std::mem::size_of;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;

use crate::args::{Kind, Parameter};
use crate::inference::statistic::Cell;
use crate::inference::{each_flag, each_number};

pub(super) const SCORE: Parameter = Parameter::column("score", Kind::Number);
pub(super) const FLAG: Parameter = Parameter::column("flag", Kind::Flag);

/// All rows of a group.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scored(Vec<(f64, bool)>);

/// Rows with one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tie {
    pub(super) score: f64,
    pub(super) hits: i64,
    pub(super) misses: i64,
}

impl Tie {
    pub(super) fn n(&self) -> i64 {
        self.hits + self.misses
    }
}

impl Scored {
    /// The scores in ascending order, each once.
    pub(super) fn ties(&mut self) -> Vec<Tie> {
        self.0.sort_unstable_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap_or(Ordering::Equal));
        let mut ties: Vec<Tie> = vec![];
        for (score, flag) in &self.0 {
            let (hits, misses) = (i64::from(*flag), i64::from(!*flag));
            match ties.last_mut() {
                Some(tie) if tie.score == *score => {
                    tie.hits += hits;
                    tie.misses += misses;
                }
                _ => ties.push(Tie { score: *score, hits, misses }),
            }
        }
        ties
    }
}

impl Cell for Scored {
    type Row = (f64, bool);

    const CAN_REMOVE: bool = false;

    /// A vector grows to twice its length.
    const HEAP_BYTES_PER_NUMBER: usize = 2 * size_of::<(f64, bool)>();

    fn add(&mut self, row: (f64, bool)) {
        // -0 and 0 are ties
        self.0.push((row.0 + 0.0, row.1));
    }

    fn merge(&mut self, mut other: Self) {
        if self.0.is_empty() {
            *self = other;
        } else {
            self.0.append(&mut other.0);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend(self.0.iter().flat_map(|(score, flag)| [*score, f64::from(u8::from(*flag))]));
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let (rows, rest) = numbers.as_chunks::<2>();
        rest.is_empty().then(|| Self(rows.iter().map(|[score, flag]| (*score, *flag != 0.0)).collect()))
    }

    fn heap_size(&self) -> usize {
        self.0.capacity() * size_of::<(f64, bool)>()
    }
}

/// Calls `each` once per row of `score, flag`, with `None` where one is not known or the score does not count.
pub(super) fn each_scored(
    columns: &[ArrayRef],
    does_count: impl Fn(f64) -> bool,
    mut each: impl FnMut(Option<(f64, bool)>),
) -> Result<()> {
    let mut flags = vec![];
    each_flag(columns, 1, |flag| flags.push(flag))?;
    let mut flags = flags.into_iter();
    each_number(columns, 0, |score| each(score.filter(|score| does_count(*score)).zip(flags.next().flatten())))
}

/// The ties of each bin: of `bins` parts with as many rows as possible each, in the order of `ties`. A tie is in the bin of
/// the middle of its rows, so that equal scores are never apart; a bin without rows is left out.
pub(super) fn binned(ties: &[Tie], bins: i64) -> Vec<(i64, &[Tie])> {
    let n: i64 = ties.iter().map(Tie::n).sum();
    let mut before = 0;
    let bin_of = |tie: &Tie| {
        let middle = 2 * i128::from(before) + i128::from(tie.n());
        before += tie.n();
        (i128::from(bins) * middle / (2 * i128::from(n.max(1)))).min(i128::from(bins - 1)) as i64
    };
    let numbers: Vec<i64> = ties.iter().map(bin_of).collect();
    let mut binned = vec![];
    let mut rest = ties;
    for run in numbers.chunk_by(|one, other| one == other) {
        let Some((number, (ties, others))) = run.first().zip(rest.split_at_checked(run.len())) else { break };
        binned.push((number + 1, ties));
        rest = others;
    }
    binned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(rows: &[(f64, bool)]) -> Scored {
        let mut scored = Scored::default();
        rows.iter().for_each(|row| scored.add(*row));
        scored
    }

    #[test]
    fn equal_scores_are_one_tie() {
        let ties = scored(&[(0.5, true), (0.1, false), (0.5, false), (-0.0, true), (0.0, true)]).ties();
        let wanted = [(0.0, 2, 0), (0.1, 0, 1), (0.5, 1, 1)];
        assert_eq!(ties, wanted.map(|(score, hits, misses)| Tie { score, hits, misses }));
    }

    #[test]
    fn bins_have_as_many_rows_each_and_ties_stay_together() {
        let ties = |counts: &[i64]| -> Vec<Tie> {
            counts.iter().zip(0..).map(|(n, i)| Tie { score: f64::from(i), hits: *n, misses: 0 }).collect()
        };
        let sizes = |counts: &[i64], bins| -> Vec<(i64, i64)> {
            binned(&ties(counts), bins).iter().map(|(bin, ties)| (*bin, ties.iter().map(Tie::n).sum())).collect()
        };
        assert_eq!(sizes(&[1; 10], 5), [(1, 2), (2, 2), (3, 2), (4, 2), (5, 2)]);
        assert_eq!(sizes(&[1; 3], 10), [(2, 1), (6, 1), (9, 1)]);
        // middles of 8: 3, 6.5 and 7.5 of 8, in halves
        assert_eq!(sizes(&[6, 1, 1], 2), [(1, 6), (2, 2)]);
        assert_eq!(sizes(&[8], 4), [(3, 8)]);
        assert!(sizes(&[], 4).is_empty());
    }

    #[test]
    fn a_state_is_read_as_written() {
        let one = scored(&[(0.5, true), (0.25, false)]);
        let mut numbers = vec![];
        one.write(&mut numbers);
        assert_eq!(numbers, [0.5, 1.0, 0.25, 0.0]);
        assert_eq!(Scored::read(&numbers), Some(one));
        assert_eq!(Scored::read(&numbers[1..]), None);
    }
}

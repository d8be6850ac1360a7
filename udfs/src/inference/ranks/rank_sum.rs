//! Ranks of two sorted samples, and the order of their pairwise differences, without forming all pairs.

/// Mann and Whitney's statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RankSums {
    /// Pairs in which the second sample has the larger value; ties are half a pair.
    pub(super) u: f64,
    /// The sum of t^3 - t over the groups of t tied values.
    pub(super) tie_term: f64,
}

impl RankSums {
    /// Of two sorted samples.
    pub(super) fn of(one: &[f64], other: &[f64]) -> Self {
        let mut sums = Self { u: 0.0, tie_term: 0.0 };
        let (mut rest_one, mut rest_other) = (one, other);
        while let Some(value) = smaller(rest_one.first(), rest_other.first()) {
            let (tied_one, tied_other) = (leading(rest_one, value), leading(rest_other, value));
            rest_one = rest_one.get(tied_one..).unwrap_or_default();
            rest_other = rest_other.get(tied_other..).unwrap_or_default();
            let below = (one.len() - rest_one.len() - tied_one) as f64;
            sums.u += tied_other as f64 * (below + 0.5 * tied_one as f64);
            let tied = (tied_one + tied_other) as f64;
            sums.tie_term += tied * tied * tied - tied;
        }
        sums
    }
}

fn smaller(one: Option<&f64>, other: Option<&f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(*other)),
        (one, other) => one.or(other).copied(),
    }
}

/// How many of the first values equal `value`.
fn leading(sorted: &[f64], value: f64) -> usize {
    sorted.iter().take_while(|other| **other == value).count()
}

/// P(U <= u) for u = 0, 1, .. and samples of these sizes without ties.
///
/// The numbers of arrangements are the coefficients of the Gaussian polynomial, the product over i = 1..m of
/// (1 - q^(n + i)) / (1 - q^i). Below 50 values in each sample they fit an i128 exactly.
pub(super) fn exact_tails(m: usize, n: usize) -> Vec<f64> {
    let mut counts = vec![0_i128; m * n + 1];
    if let Some(first) = counts.first_mut() {
        *first = 1;
    }
    for i in 1..=m {
        for index in (n + i..counts.len()).rev() {
            let shifted = counts.get(index - n - i).copied().unwrap_or_default();
            if let Some(count) = counts.get_mut(index) {
                *count -= shifted;
            }
        }
        for index in i..counts.len() {
            let shifted = counts.get(index - i).copied().unwrap_or_default();
            if let Some(count) = counts.get_mut(index) {
                *count += shifted;
            }
        }
    }
    let total = counts.iter().sum::<i128>() as f64;
    let cumulated = counts.iter().scan(0_i128, |sum, count| {
        *sum += count;
        Some(*sum as f64 / total)
    });
    cumulated.collect()
}

/// All differences of a value of the second sample less one of the first. Both are sorted.
#[derive(Debug)]
pub(super) struct PairwiseDifferences<'a> {
    one: &'a [f64],
    other: &'a [f64],
}

impl<'a> PairwiseDifferences<'a> {
    pub(super) fn new(one: &'a [f64], other: &'a [f64]) -> Self {
        Self { one, other }
    }

    fn count(&self) -> u64 {
        (self.one.len() as u64).saturating_mul(self.other.len() as u64)
    }

    /// How many differences are at most `bound`.
    fn at_most(&self, bound: f64) -> u64 {
        let mut count = 0_u64;
        let mut end = 0;
        for one in self.one {
            // As one grows, more of the second sample is within the bound.
            while self.other.get(end).is_some_and(|other| other - one <= bound) {
                end += 1;
            }
            count = count.saturating_add(end as u64);
        }
        count
    }

    /// The difference of this rank, counted from 1: the smallest one with as many at most as large.
    fn ranked(&self, rank: u64) -> f64 {
        let (mut low, mut high) = (ordered(f64::NEG_INFINITY), ordered(f64::INFINITY));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at_most(unordered(middle)) >= rank {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        // -0 is the smaller of two equal zeros
        unordered(low) + 0.0
    }

    /// The median of all differences.
    pub(super) fn median(&self) -> f64 {
        let count = self.count();
        let lower = self.ranked(count.div_ceil(2));
        if count % 2 == 1 {
            return lower;
        }
        let upper = self.ranked(count / 2 + 1);
        if lower == upper { lower } else { lower / 2.0 + upper / 2.0 }
    }

    /// The differences of this rank from below and from above; `None` for rank 0.
    pub(super) fn between(&self, rank: u64) -> Option<(f64, f64)> {
        let upper = (self.count() + 1).checked_sub(rank)?;
        (rank > 0 && rank <= upper).then(|| (self.ranked(rank), self.ranked(upper)))
    }
}

/// A number of the same order as the value.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

/// The inverse of [`ordered`].
fn unordered(number: u64) -> f64 {
    f64::from_bits(if number >> 63 == 1 { number & !(1 << 63) } else { !number })
}

/// Sums of squared deviations of dominance from delta: by the rows of each sample and by pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dominance {
    pub(super) rows_one: f64,
    pub(super) rows_other: f64,
    pub(super) pairs: f64,
}

/// How the values of two sorted samples dominate each other.
pub(super) fn dominance(one: &[f64], other: &[f64], delta: f64) -> Dominance {
    let (m, n) = (one.len() as f64, other.len() as f64);
    let (rows_one, untied) = row_squares(one, other, -delta);
    let (rows_other, _) = row_squares(other, one, delta);
    Dominance { rows_one, rows_other, pairs: untied - m * n * delta * delta }
}

/// The sum over `rows` of (share of `others` below - share above - delta)^2, and the number of pairs that are not tied.
fn row_squares(rows: &[f64], others: &[f64], delta: f64) -> (f64, f64) {
    let (mut below, mut up_to) = (0, 0);
    let (mut squares, mut untied) = (0.0, 0.0);
    for value in rows {
        while others.get(below).is_some_and(|other| other < value) {
            below += 1;
        }
        while others.get(up_to).is_some_and(|other| other <= value) {
            up_to += 1;
        }
        let above = others.len() - up_to;
        let share = (below as f64 - above as f64) / others.len() as f64;
        squares += (share - delta) * (share - delta);
        untied += (below + above) as f64;
    }
    (squares, untied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<(Vec<f64>, Vec<f64>)> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |bound: u64| {
            // Marsaglia's xorshift64 (2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % bound
        };
        let mut sample = || {
            let mut values: Vec<f64> = (0..1 + below(9)).map(|_| below(12) as f64 - 6.0).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        (0..300).map(|_| (sample(), sample())).collect()
    }

    #[test]
    fn ranks_and_differences_agree_with_all_pairs() {
        for (one, other) in samples() {
            let pairs = || one.iter().flat_map(|a| other.iter().map(move |b| b - a));
            let u = pairs()
                .map(|d| {
                    if d > 0.0 {
                        1.0
                    } else if d == 0.0 {
                        0.5
                    } else {
                        0.0
                    }
                })
                .sum::<f64>();
            assert_eq!(RankSums::of(&one, &other).u, u, "{one:?} {other:?}");
            let mut sorted: Vec<f64> = pairs().collect();
            sorted.sort_by(f64::total_cmp);
            let differences = PairwiseDifferences::new(&one, &other);
            for (index, difference) in sorted.iter().enumerate() {
                assert_eq!(differences.ranked(index as u64 + 1), *difference);
            }
            let middle = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
            assert_eq!(differences.median(), middle);
            assert_eq!(differences.between(0), None);
            assert_eq!(differences.between(1), Some((sorted[0], sorted[sorted.len() - 1])));
        }
    }

    #[test]
    fn dominance_agrees_with_all_pairs() {
        for (one, other) in samples() {
            let (m, n) = (one.len() as f64, other.len() as f64);
            let sign = |a: f64, b: f64| f64::from(i8::from(b > a) - i8::from(b < a));
            let delta = one.iter().flat_map(|a| other.iter().map(move |b| sign(*a, *b))).sum::<f64>() / (m * n);
            let square = |x: f64| x * x;
            let rows_one: f64 =
                one.iter().map(|a| square(other.iter().map(|b| sign(*a, *b)).sum::<f64>() / n - delta)).sum();
            let rows_other: f64 =
                other.iter().map(|b| square(one.iter().map(|a| sign(*a, *b)).sum::<f64>() / m - delta)).sum();
            let pairs: f64 = one.iter().flat_map(|a| other.iter().map(move |b| square(sign(*a, *b) - delta))).sum();
            let got = dominance(&one, &other, delta);
            for (got, wanted) in [(got.rows_one, rows_one), (got.rows_other, rows_other), (got.pairs, pairs)] {
                assert!((got - wanted).abs() < 1e-9, "{got} {wanted}: {one:?} {other:?}");
            }
        }
    }

    #[test]
    fn tails_of_three_and_two() {
        // Of the 10 arrangements 1, 1, 2, 2, 2, 1, 1 have U = 0 .. 6.
        assert_eq!(exact_tails(3, 2), [0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0]);
        // The largest that is used sums to one, and is symmetric.
        let tails = exact_tails(49, 49);
        assert_eq!(tails.last(), Some(&1.0));
        assert!((tails[1199] + tails[1201] - 1.0).abs() < 1e-12);
        assert!(tails.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn order_of_numbers_is_that_of_values() {
        let values = [f64::NEG_INFINITY, -1e300, -1.0, -0.0, 0.0, 1e-310, 1.0, f64::INFINITY];
        assert!(values.windows(2).all(|pair| ordered(pair[0]) < ordered(pair[1])));
        assert!(values.iter().all(|value| unordered(ordered(*value)).to_bits() == value.to_bits()));
    }
}

//! Concordant and discordant pairs in O(n log n), and the distribution of Kendall's statistic.
//!
//! Source: W. R. Knight, Journal of the American Statistical Association 61 (1966) 436-439; M. G. Kendall, Rank Correlation
//! Methods, 4th ed. 1970, chapters 4 and 5.

use super::correlation::{CONSTANT, Correlation, FEW_PAIRS, NO_PAIRS};
use crate::inference::distribution::normal_two_sided;
use crate::inference::proportion::Level;

pub(super) const EXACT: &str = "Kendall's tau-b, exact";
pub(super) const NORMAL: &str = "Kendall's tau-b, normal approximation";

/// Up to as many pairs of values the distribution is exact, as in scipy.
const FEW: usize = 33;

/// The sums over the groups of t tied values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Ties {
    /// t (t - 1) / 2: pairs that are tied.
    pairs: i128,
    /// t (t - 1) (t - 2)
    triples: f64,
    /// t (t - 1) (2 t + 5)
    variance: f64,
}

impl Ties {
    fn add(&mut self, tied: usize) {
        let t = tied as f64;
        self.pairs += pairs_of(tied);
        self.triples += t * (t - 1.0) * (t - 2.0);
        self.variance += t * (t - 1.0) * (2.0 * t + 5.0);
    }
}

fn pairs_of(n: usize) -> i128 {
    let n = n as i128;
    n * (n - 1) / 2
}

/// Sorts `values` and counts the exchanges of neighbours that this takes: pairs that stand in the wrong order.
fn sort_counting(values: &mut Vec<f64>) -> i128 {
    let mut exchanges = 0_i128;
    let mut merged = Vec::with_capacity(values.len());
    let mut width = 1;
    while width < values.len() {
        merged.clear();
        for block in values.chunks(width * 2) {
            let (mut left, mut right) = block.split_at(width.min(block.len()));
            while let ([first, left_rest @ ..], [second, right_rest @ ..]) = (left, right) {
                if second < first {
                    // passes all that are left of the first half
                    exchanges += left.len() as i128;
                    merged.push(*second);
                    right = right_rest;
                } else {
                    merged.push(*first);
                    left = left_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(values, &mut merged);
        width *= 2;
    }
    exchanges
}

/// P(at most `discordant` of all pairs are discordant) among `n` values without ties.
///
/// The k-th value is before 0, 1, .. or k - 1 of the earlier ones with equal probability.
fn exact_tail(n: usize, discordant: usize) -> f64 {
    let mut tail = vec![0.0; discordant + 1];
    if let Some(first) = tail.first_mut() {
        *first = 1.0;
    }
    for k in 2..=n {
        let mut window = 0.0;
        let before = tail.clone();
        for (index, probability) in tail.iter_mut().enumerate() {
            window += before.get(index).copied().unwrap_or_default();
            if index >= k {
                window -= before.get(index - k).copied().unwrap_or_default();
            }
            *probability = window / k as f64;
        }
        if tail.iter().all(|probability| *probability == 0.0) {
            return 0.0;
        }
    }
    tail.iter().sum()
}

/// Kendall's tau-b with its interval and p-value, and how this was computed. Puts the pairs into order.
pub(super) fn kendall(pairs: &mut [(f64, f64)], level: Level) -> (Correlation, &'static str) {
    let n = pairs.len();
    let none = |reason| (Correlation::none(n as i64, reason), NORMAL);
    match n {
        0 => return none(NO_PAIRS),
        1 => return none(FEW_PAIRS),
        _ => {}
    }
    pairs.sort_unstable_by(|(x, y), (other_x, other_y)| x.total_cmp(other_x).then_with(|| y.total_cmp(other_y)));
    let (mut ties_x, mut ties_y, mut ties_both) = (Ties::default(), Ties::default(), Ties::default());
    pairs.chunk_by(|(x, _), (other, _)| x == other).for_each(|tied| ties_x.add(tied.len()));
    pairs.chunk_by(|one, other| one == other).for_each(|tied| ties_both.add(tied.len()));
    let mut y: Vec<f64> = pairs.iter().map(|(_, y)| *y).collect();
    let discordant = sort_counting(&mut y);
    y.chunk_by(|one, other| one == other).for_each(|tied| ties_y.add(tied.len()));

    let all = pairs_of(n);
    let (untied_x, untied_y) = (all - ties_x.pairs, all - ties_y.pairs);
    if untied_x == 0 || untied_y == 0 {
        return none(CONSTANT);
    }
    let difference = all - ties_x.pairs - ties_y.pairs + ties_both.pairs - 2 * discordant;
    // Of equal counts the root of the square would round.
    let scale =
        if untied_x == untied_y { untied_x as f64 } else { (untied_x as f64).sqrt() * (untied_y as f64).sqrt() };
    let estimate = (difference as f64 / scale).clamp(-1.0, 1.0);

    let fewer = usize::try_from(discordant.min(all - discordant)).unwrap_or(usize::MAX);
    let is_exact = ties_x.pairs == 0 && ties_y.pairs == 0 && (n <= FEW || fewer <= 1);
    let (p_value, method) = if is_exact {
        let is_middle = 2 * discordant == all;
        (if is_middle { 1.0 } else { (2.0 * exact_tail(n, fewer)).min(1.0) }, EXACT)
    } else {
        (normal_two_sided(difference as f64 / variance(n as f64, ties_x, ties_y).sqrt()), NORMAL)
    };
    let correlation = Correlation {
        estimate: Some(estimate),
        p_value: (!p_value.is_nan()).then_some(p_value),
        n: n as i64,
        reason: if p_value.is_nan() { Some(FEW_PAIRS) } else { None },
        bounds: None,
    };
    // D. G. Bonett and T. A. Wright, Psychometrika 65 (2000) 23-28
    let variance = (n > 4).then(|| 0.437 / (n as f64 - 4.0));
    (correlation.with_interval(variance, level), method)
}

/// The variance of concordant less discordant pairs where x and y are independent.
fn variance(n: f64, x: Ties, y: Ties) -> f64 {
    let pairs = n * (n - 1.0);
    let triples = if n > 2.0 { x.triples / (9.0 * pairs * (n - 2.0)) * y.triples } else { 0.0 };
    (pairs * (2.0 * n + 5.0) - x.variance - y.variance) / 18.0 + 2.0 * x.pairs as f64 / pairs * y.pairs as f64 + triples
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: Level = Level { level: 0.95, z: 1.959_963_984_540_054 };

    #[test]
    fn exchanges_are_those_of_all_pairs() {
        let mut values: Vec<f64> = (0..257_u32).map(|i| f64::from(i * 7919 % 61)).collect();
        let wrong = (0..values.len()).map(|i| values[i..].iter().filter(|later| **later < values[i]).count());
        let wanted = wrong.sum::<usize>() as i128;
        assert_eq!(sort_counting(&mut values), wanted);
        assert!(values.is_sorted());
        assert_eq!(sort_counting(&mut vec![]), 0);
    }

    #[test]
    fn the_tail_of_few_values_by_hand() {
        // Of the 6 orders of three values 1, 2, 2, 1 have 0, 1, 2, 3 pairs in the wrong order.
        assert!((exact_tail(3, 0) - 1.0 / 6.0).abs() < 1e-15);
        assert!((exact_tail(3, 1) - 3.0 / 6.0).abs() < 1e-15);
        assert!((exact_tail(3, 3) - 1.0).abs() < 1e-15);
        // 24 orders of four: 1, 3, 5, 6, 5, 3, 1
        assert!((exact_tail(4, 2) - 9.0 / 24.0).abs() < 1e-15);
        assert_eq!(exact_tail(1_000_000, 1), 0.0);
    }

    #[test]
    fn tau_by_hand() {
        // (1,1) (2,3) (3,2) (3,4): concordant 1-2 1-3 1-4 2-4, discordant 2-3, 3-4 tied in x:
        // (4 - 1) / sqrt((6 - 1) 6)
        let (tau, method) = kendall(&mut [(3.0, 4.0), (1.0, 1.0), (3.0, 2.0), (2.0, 3.0)], LEVEL);
        assert!((tau.estimate.unwrap() - 3.0 / 30_f64.sqrt()).abs() < 1e-15);
        assert_eq!((method, tau.reason), (NORMAL, Some(FEW_PAIRS)));
        // 3 of 3 pairs concordant: one order of six each way
        let (tau, method) = kendall(&mut [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)], LEVEL);
        assert_eq!((tau.estimate, method), (Some(1.0), EXACT));
        assert!((tau.p_value.unwrap() - 2.0 / 6.0).abs() < 1e-15);
    }

    #[test]
    fn what_is_not_defined_has_a_reason() {
        assert_eq!(kendall(&mut [], LEVEL).0, Correlation::none(0, NO_PAIRS));
        assert_eq!(kendall(&mut [(1.0, 2.0)], LEVEL).0, Correlation::none(1, FEW_PAIRS));
        assert_eq!(kendall(&mut [(1.0, 2.0), (1.0, 3.0)], LEVEL).0, Correlation::none(2, CONSTANT));
    }
}

//! Pearson's coefficient from moments that merge, ranks, and the interval and p-value of a coefficient.

use crate::inference::distribution::student_two_sided;
use crate::inference::proportion::Level;

pub(super) const NO_PAIRS: &str = "no row with both values known";
pub(super) const FEW_PAIRS: &str = "too few pairs for an interval or a p-value";
pub(super) const CONSTANT: &str = "all values of one of the two are equal";
const PERFECT: &str = "a coefficient of 1 or -1 has no interval";
const TOO_LARGE: &str = "values too large for Float64";

/// A coefficient with its uncertainty.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Correlation {
    pub(super) estimate: Option<f64>,
    pub(super) bounds: Option<(f64, f64)>,
    pub(super) p_value: Option<f64>,
    pub(super) n: i64,
    pub(super) reason: Option<&'static str>,
}

impl Correlation {
    /// A coefficient that is not defined.
    pub(super) fn none(n: i64, reason: &'static str) -> Self {
        Self { n, reason: Some(reason), ..Self::default() }
    }

    /// With the interval tanh(artanh r -+ z sqrt(variance)); `variance` is `None` where there are too few pairs for one.
    pub(super) fn with_interval(self, variance: Option<f64>, level: Level) -> Self {
        let Some(estimate) = self.estimate else { return self };
        let Some(variance) = variance else { return Self { reason: Some(FEW_PAIRS), ..self } };
        if estimate.abs() >= 1.0 {
            return Self { reason: Some(PERFECT), ..self };
        }
        let (middle, margin) = (estimate.atanh(), level.z * variance.sqrt());
        Self { bounds: Some(((middle - margin).tanh(), (middle + margin).tanh())), ..self }
    }
}

/// P(|T| > |t|) of the t that belongs to a coefficient; `None` of fewer than three pairs.
fn coefficient_p_value(estimate: f64, n: i64) -> Option<f64> {
    let df = (n - 2) as f64;
    // (1 - r)(1 + r) loses no digits near 1
    let t = estimate * (df / ((1.0 - estimate) * (1.0 + estimate))).sqrt();
    (n > 2).then(|| student_two_sided(t, df))
}

/// Number of pairs, both means, sums of squared deviations and of their products.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PairMoments {
    n: i64,
    mean_x: f64,
    mean_y: f64,
    squares_x: f64,
    squares_y: f64,
    products: f64,
}

impl PairMoments {
    /// As many numbers as [`PairMoments::to_numbers`] has.
    pub(super) const NUMBERS: usize = 6;

    /// Of the pairs in which neither is NaN, in two passes: means first, then deviations from them. Both count from the first
    /// pair, so that equal values have no deviation at all and values far from 0 keep their digits.
    pub(super) fn of(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let known = pairs.filter(|(x, y)| !x.is_nan() && !y.is_nan());
        let Some((first_x, first_y)) = known.clone().next() else { return Self::default() };
        let moved = known.map(|(x, y)| (x - first_x, y - first_y));
        let (n, sum_x, sum_y) =
            moved.clone().fold((0_i64, 0.0, 0.0), |(n, sum_x, sum_y), (x, y)| (n + 1, sum_x + x, sum_y + y));
        let count = n as f64;
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (mut squares_x, mut squares_y, mut products, mut rest_x, mut rest_y) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, y) in moved {
            let (x, y) = (x - mean_x, y - mean_y);
            rest_x += x;
            rest_y += y;
            squares_x += x * x;
            squares_y += y * y;
            products += x * y;
        }
        // What the rounded means leave (T. F. Chan, G. H. Golub and R. J. LeVeque, 1983).
        Self {
            n,
            mean_x: first_x + (mean_x + rest_x / count),
            mean_y: first_y + (mean_y + rest_y / count),
            squares_x: (squares_x - rest_x * rest_x / count).max(0.0),
            squares_y: (squares_y - rest_y * rest_y / count).max(0.0),
            products: products - rest_x * rest_y / count,
        }
    }

    /// Adds the pairs of `other`.
    pub(super) fn merge(&mut self, other: Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = other;
            return;
        }
        let (one, two) = (self.n as f64, other.n as f64);
        let (share, weight) = (two / (one + two), one * (two / (one + two)));
        let (x, y) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        self.n += other.n;
        self.mean_x += x * share;
        self.mean_y += y * share;
        self.squares_x += other.squares_x + x * (x * weight);
        self.squares_y += other.squares_y + y * (y * weight);
        self.products += other.products + x * (y * weight);
    }

    pub(super) fn to_numbers(self) -> [f64; Self::NUMBERS] {
        [self.n as f64, self.mean_x, self.mean_y, self.squares_x, self.squares_y, self.products]
    }

    /// The inverse of [`PairMoments::to_numbers`]; `None` for another number of numbers.
    pub(super) fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let [n, mean_x, mean_y, squares_x, squares_y, products] = *numbers else { return None };
        Some(Self { n: n as i64, mean_x, mean_y, squares_x, squares_y, products })
    }

    /// Pearson's coefficient and its p-value, without an interval.
    fn coefficient(self) -> Correlation {
        if self.n == 0 {
            return Correlation::none(0, NO_PAIRS);
        }
        if !(self.squares_x.is_finite() && self.squares_y.is_finite() && self.products.is_finite()) {
            return Correlation::none(self.n, TOO_LARGE);
        }
        if self.n == 1 {
            return Correlation::none(1, FEW_PAIRS);
        }
        if self.squares_x <= 0.0 || self.squares_y <= 0.0 {
            return Correlation::none(self.n, CONSTANT);
        }
        let product = self.squares_x * self.squares_y;
        // The root of a square is exact, so that equal columns give 1; the square must not leave the range of a Float64.
        let scale = if product.is_normal() { product.sqrt() } else { self.squares_x.sqrt() * self.squares_y.sqrt() };
        let estimate = (self.products / scale).clamp(-1.0, 1.0);
        let p_value = coefficient_p_value(estimate, self.n);
        Correlation { estimate: Some(estimate), p_value, n: self.n, ..Correlation::default() }
    }

    /// Pearson's coefficient with Fisher's interval.
    pub(super) fn pearson(self, level: Level) -> Correlation {
        let variance = (self.n > 3).then(|| 1.0 / (self.n - 3) as f64);
        self.coefficient().with_interval(variance, level)
    }

    /// Spearman's coefficient of moments of ranks, with the interval of Bonett and Wright.
    pub(super) fn spearman(self, level: Level) -> Correlation {
        let coefficient = self.coefficient();
        let variance = coefficient.estimate.filter(|_| self.n > 3);
        let variance = variance.map(|estimate| (1.0 + estimate * estimate / 2.0) / (self.n - 3) as f64);
        coefficient.with_interval(variance, level)
    }
}

/// The rank of each value from 1; tied values have the mean of their ranks.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tied in order.chunk_by(|(one, _), (other, _)| one == other) {
        let rank = start as f64 + (tied.len() + 1) as f64 / 2.0;
        start += tied.len();
        for (_, index) in tied {
            if let Some(place) = ranks.get_mut(*index) {
                *place = rank;
            }
        }
    }
    ranks
}

/// Moments of the ranks of pairs.
pub(super) fn rank_moments(x: &[f64], y: &[f64]) -> PairMoments {
    PairMoments::of(x.iter().copied().zip(y.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: Level = Level { level: 0.95, z: 1.959_963_984_540_054 };

    fn of(pairs: &[(f64, f64)]) -> PairMoments {
        PairMoments::of(pairs.iter().copied())
    }

    #[test]
    fn tied_values_share_their_mean_rank() {
        assert_eq!(ranks(&[30.0, 10.0, 20.0, 10.0, -0.0, 0.0]), [6.0, 3.5, 5.0, 3.5, 1.5, 1.5]);
        assert!(ranks(&[]).is_empty());
    }

    #[test]
    fn pearson_by_hand() {
        // deviations -1.5 -0.5 0.5 1.5 and -2 0 -1 3: products 3 + 0 - .5 + 4.5 = 7, squares 5 and 14, r = 7 / sqrt(70)
        let correlation = of(&[(1.0, 2.0), (2.0, 4.0), (3.0, 3.0), (4.0, 7.0)]).pearson(LEVEL);
        assert!((correlation.estimate.unwrap() - 7.0 / 70_f64.sqrt()).abs() < 1e-15);
        assert_eq!((correlation.n, correlation.reason), (4, None));
    }

    #[test]
    fn values_far_from_zero_keep_their_digits() {
        let pairs: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), f64::from(i * 7919 % 1009))).collect();
        let moved: Vec<(f64, f64)> = pairs.iter().map(|(x, y)| (x + 1e9, y - 1e9)).collect();
        let (one, other) = (of(&pairs).pearson(LEVEL), of(&moved).pearson(LEVEL));
        assert!((one.estimate.unwrap() - other.estimate.unwrap()).abs() < 1e-12);
        let (front, back) = moved.split_at(17);
        let mut merged = of(front);
        merged.merge(of(back));
        // a mean near 1e9 is known to 1e-7
        assert!((merged.pearson(LEVEL).estimate.unwrap() - other.estimate.unwrap()).abs() < 1e-8);
    }

    #[test]
    fn what_is_not_defined_has_a_reason() {
        assert_eq!(of(&[]).pearson(LEVEL), Correlation::none(0, NO_PAIRS));
        assert_eq!(of(&[(f64::NAN, 1.0)]).pearson(LEVEL).n, 0);
        assert_eq!(of(&[(1.0, 2.0)]).pearson(LEVEL), Correlation::none(1, FEW_PAIRS));
        assert_eq!(of(&[(1.0, 2.0), (1.0, 3.0)]).spearman(LEVEL), Correlation::none(2, CONSTANT));
        // three times 0.1 is not 0.3, so that a mean of sums would differ from all of them
        assert_eq!(of(&[(0.1, 2.0), (0.1, 3.0), (0.1, 5.0)]).pearson(LEVEL), Correlation::none(3, CONSTANT));
        assert_eq!(of(&[(1e300, 2.0), (-1e300, 3.0)]).pearson(LEVEL), Correlation::none(2, TOO_LARGE));
        let perfect = of(&[(0.1, 0.3), (0.2, 0.6), (0.7, 2.1), (0.9, 2.7), (5.0, 15.0)]).pearson(LEVEL);
        assert!(perfect.bounds.is_none_or(|(low, high)| low <= high && high <= 1.0), "{perfect:?}");
        let same = of(&[(0.1, 0.1), (0.2, 0.2), (0.7, 0.7), (0.9, 0.9)]).pearson(LEVEL);
        assert_eq!((same.estimate, same.p_value, same.reason), (Some(1.0), Some(0.0), Some(PERFECT)));
    }

    #[test]
    fn small_and_large_squares_do_not_leave_the_range() {
        let small = of(&[(1e-160, 2e-160), (2e-160, 1e-160), (3e-160, 4e-160), (5e-160, 3e-160)]);
        let usual = of(&[(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (5.0, 3.0)]);
        let (small, usual) = (small.pearson(LEVEL).estimate.unwrap(), usual.pearson(LEVEL).estimate.unwrap());
        assert!((small - usual).abs() < 1e-2, "{small} {usual}");
    }
}

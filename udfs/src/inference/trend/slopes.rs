//! All pairs of a series: how many rise and fall, and their slopes.
//!
//! Rising and falling pairs are counted in O(n log n) (W. R. Knight, A Computer Method for Calculating Kendall's Tau with Ungrouped
//! Data, Journal of the American Statistical Association 61 (1966) 436-439). So are the slopes up to b: those of the pairs in
//! which x - b at does not rise. The slope of a rank is found by halving the numbers between which it lies (R. Cole, J. Salowe, W.
//! Steiger and E. Szemeredi, SIAM Journal on Computing 18 (1989) 792-810); of few points all slopes are computed.

use super::super::axis::{of_float, to_float};

/// Up to so many points all slopes are held.
const FEW_POINTS: usize = 200;

/// The pairs of points in the order of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Concordance {
    /// Pairs that rise less pairs that fall.
    pub(super) s: i64,
    /// The variance of `s` where there is no trend.
    pub(super) variance: f64,
    /// Kendall's tau-b.
    pub(super) tau: f64,
}

impl Concordance {
    /// Of points `(at, x)` that are sorted by at, and by x where at is equal.
    pub(super) fn of(points: &[(f64, f64)]) -> Self {
        let n = points.len();
        let mut times = Ties::default();
        let mut both = Ties::default();
        for of_time in points.chunk_by(|one, other| one.0 == other.0) {
            times.add(of_time.len());
            of_time.chunk_by(|one, other| one.1 == other.1).for_each(|equal| both.add(equal.len()));
        }
        let mut x: Vec<f64> = points.iter().map(|(_, x)| *x).collect();
        let falling = inversions(&mut x, &mut vec![0.0; n]);
        let mut values = Ties::default();
        x.chunk_by(|one, other| one == other).for_each(|equal| values.add(equal.len()));
        let pairs = pairs_of(n);
        let untied = pairs - times.pairs - values.pairs + both.pairs;
        let s = untied - 2 * falling;
        let count = n as f64;
        let (ordered_pairs, pairs) = (count * (count - 1.0), pairs as f64);
        let tied_twice =
            if n > 2 { times.of_three * values.of_three / (9.0 * ordered_pairs * (count - 2.0)) } else { 0.0 };
        let variance = (ordered_pairs * (2.0 * count + 5.0) - times.of_variance - values.of_variance) / 18.0
            + 2.0 * times.pairs as f64 * values.pairs as f64 / ordered_pairs
            + tied_twice;
        let tau = s as f64 / ((pairs - times.pairs as f64) * (pairs - values.pairs as f64)).sqrt();
        Self { s, variance, tau }
    }
}

/// Sums over runs of t equal values.
#[derive(Debug, Clone, Copy, Default)]
struct Ties {
    /// t (t - 1) / 2
    pairs: i64,
    /// t (t - 1) (t - 2)
    of_three: f64,
    /// t (t - 1) (2 t + 5)
    of_variance: f64,
}

impl Ties {
    fn add(&mut self, count: usize) {
        let t = count as f64;
        self.pairs += pairs_of(count);
        self.of_three += t * (t - 1.0) * (t - 2.0);
        self.of_variance += t * (t - 1.0) * (2.0 * t + 5.0);
    }
}

fn pairs_of(count: usize) -> i64 {
    let count = count as i64;
    count * (count - 1).max(0) / 2
}

/// The pairs of which the first is larger. Sorts the values; `buffer` has their length.
fn inversions(values: &mut [f64], buffer: &mut [f64]) -> i64 {
    let n = values.len();
    if n < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(n / 2);
    let (buffer_left, buffer_right) = buffer.split_at_mut(n / 2);
    let mut count = inversions(left, buffer_left) + inversions(right, buffer_right);
    let (mut lefts, mut rights) = (left.iter().copied().peekable(), right.iter().copied().peekable());
    let mut rest = n / 2;
    for out in buffer.iter_mut() {
        let is_right = match (lefts.peek(), rights.peek()) {
            (Some(left), Some(right)) => right < left,
            (None, _) => true,
            (_, None) => false,
        };
        if is_right {
            count += rest as i64;
        } else {
            rest -= 1;
        }
        if let Some(next) = if is_right { rights.next() } else { lefts.next() } {
            *out = next;
        }
    }
    values.copy_from_slice(buffer);
    count
}

/// The slopes of all pairs of different times.
#[derive(Debug)]
pub(super) struct Slopes<'a> {
    /// Sorted by at, and by x where at is equal.
    points: &'a [(f64, f64)],
    /// How many.
    pub(super) count: u64,
    /// All are between this and its negative.
    bound: f64,
    /// A value near the middle.
    center: f64,
    /// All in ascending order, of few points.
    sorted: Option<Vec<f64>>,
}

impl<'a> Slopes<'a> {
    /// Of points `(at, x)` that are sorted by at, and by x where at is equal.
    pub(super) fn of(points: &'a [(f64, f64)]) -> Self {
        let of_one_time: i64 = points.chunk_by(|one, other| one.0 == other.0).map(|tied| pairs_of(tied.len())).sum();
        let count = (pairs_of(points.len()) - of_one_time).max(0) as u64;
        let neighbours = points.iter().zip(points.iter().skip(1));
        let distances = neighbours.map(|(one, other)| other.0 - one.0).filter(|distance| *distance > 0.0);
        let values = || points.iter().map(|(_, x)| *x);
        let range = values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min);
        let bound = 2.0 * range / distances.fold(f64::INFINITY, f64::min);
        let center = points.get(points.len() / 2).map_or(0.0, |(_, x)| *x);
        let sorted = (points.len() <= FEW_POINTS).then(|| {
            let mut slopes = Vec::with_capacity(count as usize);
            for (index, one) in points.iter().enumerate() {
                slopes.extend(points.iter().skip(index + 1).filter_map(|other| slope(*one, *other)));
            }
            slopes.sort_unstable_by(f64::total_cmp);
            slopes
        });
        Self { points, count, bound, center, sorted }
    }

    /// Whether no slope leaves the range of a Float64, nor the values that are compared to find one.
    pub(super) fn is_finite(&self) -> bool {
        let last = self.points.last().map_or(0.0, |(at, _)| *at);
        (self.bound * last.max(1.0)).is_finite()
    }

    /// The value of a point above the line with the slope `b`.
    fn residual(&self, b: f64, (at, x): (f64, f64)) -> f64 {
        (x - self.center) - b * at
    }

    /// The median, of an even number of slopes the mean of the two in the middle.
    pub(super) fn median(&self) -> f64 {
        let (lower, upper) = (self.at_rank(self.count.div_ceil(2)), self.at_rank(self.count / 2 + 1));
        lower / 2.0 + upper / 2.0
    }

    /// The slope of a rank, counted from 1; NaN where there is none.
    pub(super) fn at_rank(&self, rank: u64) -> f64 {
        if rank == 0 || rank > self.count {
            return f64::NAN;
        }
        match &self.sorted {
            Some(sorted) => sorted.get(rank as usize - 1).copied().unwrap_or(f64::NAN),
            None => self.search(rank),
        }
    }

    fn search(&self, rank: u64) -> f64 {
        let mut buffer = vec![0.0; self.points.len()];
        let mut scratch = vec![0.0; self.points.len()];
        // integers that sort as the numbers do: there are 2^64 at most
        let (mut low, mut high) = (of_float(-self.bound), of_float(self.bound));
        while i128::from(high) - i128::from(low) > 1 {
            let middle = ((i128::from(low) + i128::from(high)) / 2) as i64;
            if self.count_up_to(to_float(middle), &mut scratch, &mut buffer) >= rank {
                high = middle;
            } else {
                low = middle;
            }
        }
        self.nearest(to_float(high))
    }

    /// The slopes that are at most `b`: pairs in which x - b at does not rise.
    fn count_up_to(&self, b: f64, residuals: &mut [f64], buffer: &mut [f64]) -> u64 {
        // In the reverse order of time a pair that does not rise is an order of values, or a tie: counted are those that do.
        let mut rising_of_one_time = 0;
        for (residual, point) in residuals.iter_mut().zip(self.points.iter().rev()) {
            *residual = self.residual(b, *point);
        }
        let mut start = 0;
        for tied in self.points.chunk_by(|one, other| one.0 == other.0).rev() {
            // of one time x - b at rises as x does, and is in descending order here
            if let Some(residuals) = residuals.get(start..start + tied.len()) {
                let equal: i64 = residuals.chunk_by(|one, other| one == other).map(|equal| pairs_of(equal.len())).sum();
                rising_of_one_time += pairs_of(tied.len()) - equal;
            }
            start += tied.len();
        }
        let rising = inversions(residuals, buffer) - rising_of_one_time;
        self.count.saturating_sub(rising.max(0) as u64)
    }

    /// The slope of a pair for which `b` stands but for rounding: the two are neighbours in the order of x - b at.
    fn nearest(&self, b: f64) -> f64 {
        let residuals = self.points.iter().map(|point| (self.residual(b, *point), *point));
        let mut residuals: Vec<(f64, (f64, f64))> = residuals.collect();
        residuals.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let neighbours = residuals.iter().zip(residuals.iter().skip(1));
        let slopes = neighbours.filter_map(|((one, first), (other, second))| {
            let (near, far) = (first.1 - self.center, second.1 - self.center);
            let magnitude = near.abs().max(far.abs()).max((b * first.0).abs()).max((b * second.0).abs());
            slope(*first, *second).filter(|_| other - one <= 1e-12 * magnitude)
        });
        slopes.min_by(|one, other| (one - b).abs().total_cmp(&(other - b).abs())).unwrap_or(b)
    }
}

/// The slope of a pair; `None` for one time.
fn slope(one: (f64, f64), other: (f64, f64)) -> Option<f64> {
    let distance = other.0 - one.0;
    (distance != 0.0).then(|| (other.1 - one.1) / distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: usize, times: u64, values: u64) -> Vec<(f64, f64)> {
        let mut state = 11_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % bound) as f64
        };
        let mut points: Vec<(f64, f64)> = (0..count).map(|_| (below(times), below(values) - 20.0)).collect();
        points.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
        points
    }

    #[test]
    fn rising_and_falling_pairs_are_counted_as_one_by_one() {
        for (count, times, values) in [(2, 9, 9), (30, 1000, 1000), (40, 8, 1000), (40, 1000, 5), (200, 20, 20)] {
            let points = points(count, times, values);
            let mut s = 0;
            for (index, one) in points.iter().enumerate() {
                for other in &points[index + 1..] {
                    let sign = |x: f64| if x > 0.0 { 1 } else { -i64::from(x < 0.0) };
                    s += sign(other.0 - one.0) * sign(other.1 - one.1);
                }
            }
            assert_eq!(Concordance::of(&points).s, s, "{count} {times} {values}");
        }
    }

    #[test]
    fn slopes_of_every_rank_are_found_as_in_their_list() {
        for (count, times, values) in [(40, 1000, 1000), (40, 8, 1000), (50, 1000, 3), (60, 10, 10)] {
            let points = points(count, times, values);
            let sorted = Slopes::of(&points);
            let searched = Slopes { sorted: None, ..Slopes::of(&points) };
            for rank in 1..=sorted.count {
                let (expected, got) = (sorted.at_rank(rank), searched.at_rank(rank));
                assert!((got - expected).abs() <= 1e-9 * expected.abs(), "{rank}: {got}, in the list {expected}");
            }
            assert!(searched.at_rank(0).is_nan() && searched.at_rank(sorted.count + 1).is_nan());
        }
    }

    #[test]
    fn many_points_on_a_line_have_its_slope() {
        let points: Vec<(f64, f64)> =
            (0..3_000).map(|row| (f64::from(row) * 0.1, 5.0 - 0.25 * f64::from(row))).collect();
        let slopes = Slopes::of(&points);
        assert!((slopes.median() + 2.5).abs() < 1e-9, "{}", slopes.median());
        let equal: Vec<(f64, f64)> = (0..3_000).map(|row| (f64::from(row), 7.0)).collect();
        assert_eq!(Slopes::of(&equal).median(), 0.0);
    }
}

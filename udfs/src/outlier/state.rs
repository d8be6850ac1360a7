//! The arithmetic of z-scores, over plain slices.
//!
//! One call works on one partition. Nothing is allocated but, when a partition is larger than all before it, more of the
//! scratch space that the caller keeps, and counts of whole numbers, which are fewer than the partition's rows.
//!
//! - `is_known(row)` says whether the value of the row is known. Unknown values, NaN and infinities are no measurements:
//!   they are left out of the mean and the median, and have no score.
//! - `out` has one place per row, in the order of the rows. [`NO_SCORE`] is SQL's NULL; a score is never NaN.

/// Stands in the output where there is no score.
pub(crate) const NO_SCORE: f64 = f64::NAN;

/// The multiple of the MAD that estimates a normal distribution's standard deviation, as rounded by Iglewicz and Hoaglin
/// (1993): the upper quartile of the standard normal distribution, 0.67449.
const MAD_FACTOR: f64 = 0.6745;

/// The same for the mean absolute deviation: sqrt(pi / 2) = 1.2533141.
const MEAN_DEVIATION_FACTOR: f64 = 1.253_314;

/// z-scores: (x - mean) / sample standard deviation.
///
/// No score where the deviation is 0 or there are fewer than two values.
pub(crate) fn zscores(x: &[f64], is_known: impl Fn(usize) -> bool, out: &mut [f64]) {
    out.fill(NO_SCORE);
    let Some(spread) = Spread::of(x, &is_known) else { return };
    let values = || measurements(x, &is_known).map(|(row, value)| (row, value * spread.scale));
    let scale = match Sums::of(&spread, values) {
        Some(sums) => sums.scale(),
        None => {
            // Counted from one of the values, so that a mean between two representable numbers is not rounded to one of
            // them, and the mean of equal values equals them.
            let origin = spread.least * spread.scale;
            // Two passes, and the second corrected by the rounding error of the first mean (Chan, Golub and LeVeque 1983).
            let n = spread.count as f64;
            let mean = values().map(|(_, value)| value - origin).sum::<f64>() / n;
            let (mut sum, mut sum_of_squares) = (0.0, 0.0);
            for (_, value) in values() {
                let difference = value - origin - mean;
                sum += difference;
                sum_of_squares += difference * difference;
            }
            Scale::new(origin, mean, ((sum_of_squares - sum * sum / n) / (n - 1.0)).sqrt())
        }
    };
    if let Some(scale) = scale {
        write(out, values().map(|(row, value)| (row, scale.score(value))));
    }
}

/// Modified z-scores: 0.6745 (x - median) / MAD, the median absolute deviation from the median.
///
/// Where the MAD is 0 (more than half of the values are equal): (x - median) / (1.253314 * mean absolute deviation from the
/// median). No score where that is 0 too. Linear in the number of values; `scratch` is overwritten.
pub(crate) fn modified_zscores(x: &[f64], is_known: impl Fn(usize) -> bool, scratch: &mut Vec<f64>, out: &mut [f64]) {
    out.fill(NO_SCORE);
    let Some(spread) = Spread::of(x, &is_known) else { return };
    let values = || measurements(x, &is_known).map(|(row, value)| (row, value * spread.scale));

    let middle = match Counts::of(&spread, values) {
        Some(counts) => counts.middle(),
        None => {
            scratch.clear();
            scratch.extend(values().map(|(_, value)| value));
            let median = median(scratch);
            for value in scratch.iter_mut() {
                *value = (*value - median).abs();
            }
            let mean_deviation = scratch.iter().sum::<f64>() / spread.count as f64;
            Middle { median, median_deviation: self::median(scratch), mean_deviation }
        }
    };
    if let Some(scale) = middle.scale() {
        write(out, values().map(|(row, value)| (row, scale.score(value))));
    }
}

/// Location and scale of a partition.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// A value near the middle, from which `middle` is counted.
    origin: f64,
    middle: f64,
    unit: f64,
}

impl Scale {
    /// `None` where no score is defined.
    fn new(origin: f64, middle: f64, unit: f64) -> Option<Self> {
        (unit > 0.0).then_some(Self { origin, middle, unit })
    }

    /// The score of a value.
    fn score(&self, value: f64) -> f64 {
        (value - self.origin - self.middle) / self.unit
    }
}

/// Whole numbers added up without rounding: their mean and deviation do not depend on the order in which they come.
#[derive(Debug, Clone, Copy)]
struct Sums {
    count: u64,
    least: i64,
    sum: i128,
    sum_of_squares: i128,
}

impl Default for Sums {
    fn default() -> Self {
        Self { count: 0, least: i64::MAX, sum: 0, sum_of_squares: 0 }
    }
}

impl Sums {
    /// Beyond this no value is added, so that sums of any number of squares are exact.
    const GREATEST: i64 = 1 << 32;

    /// `None` when the values are others.
    fn of<V: Iterator<Item = (usize, f64)>>(spread: &Spread, values: impl Fn() -> V) -> Option<Self> {
        let greatest = Self::GREATEST as f64;
        if spread.scale != 1.0 || spread.least < -greatest || spread.greatest > greatest {
            return None;
        }
        let mut sums = Self::default();
        for (_, value) in values() {
            let whole = value as i64;
            if whole as f64 != value {
                return None;
            }
            sums.add(whole);
        }
        Some(sums)
    }

    /// Adds a value of at most [`Sums::GREATEST`] to either side.
    fn add(&mut self, value: i64) {
        self.count += 1;
        self.least = self.least.min(value);
        let value = i128::from(value);
        self.sum += value;
        self.sum_of_squares += value * value;
    }

    /// The scale of z-scores; `None` where none is defined.
    fn scale(&self) -> Option<Scale> {
        let n = i128::from(self.count);
        if n < 2 {
            return None;
        }
        let mean = (self.sum - n * i128::from(self.least)) as f64 / n as f64;
        // n (n - 1) times the variance; without rounding but for more than two billion of the greatest values
        let exact = n.checked_mul(self.sum_of_squares).zip(self.sum.checked_mul(self.sum));
        let squares = match exact {
            Some((squares, square)) => (squares - square) as f64,
            None => n as f64 * self.sum_of_squares as f64 - (self.sum as f64).powi(2),
        };
        let deviation = (squares / (n as f64 * (n - 1) as f64)).sqrt();
        Scale::new(self.least as f64, mean, deviation)
    }
}

fn measurements(x: &[f64], is_known: impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, f64)> {
    x.iter().copied().enumerate().filter(move |(row, value)| value.is_finite() && is_known(*row))
}

fn write(out: &mut [f64], scores: impl Iterator<Item = (usize, f64)>) {
    for (row, score) in scores {
        if let Some(place) = out.get_mut(row) {
            *place = score;
        }
    }
}

/// Count and range of the values.
struct Spread {
    count: usize,
    least: f64,
    greatest: f64,
    /// A power of two by which values are multiplied before they are squared or subtracted: both scores stay the same, and
    /// neither the square of 1e200 nor that of 1e-200 leaves the range of an f64.
    scale: f64,
}

impl Spread {
    /// `None` when no score is defined: fewer than two values, or all equal.
    fn of(x: &[f64], is_known: impl Fn(usize) -> bool) -> Option<Self> {
        let (mut count, mut least, mut greatest) = (0, f64::INFINITY, f64::NEG_INFINITY);
        for (_, value) in measurements(x, is_known) {
            count += 1;
            least = least.min(value);
            greatest = greatest.max(value);
        }
        let half_width = greatest / 2.0 - least / 2.0;
        let scale = if half_width > 1e140 {
            2_f64.powi(-600)
        } else if half_width < 1e-140 {
            // Values that differ by so little are below 1e-124 themselves, there are no closer neighbours above.
            2_f64.powi(600)
        } else {
            1.0
        };
        (count >= 2 && greatest > least).then_some(Self { count, least, greatest, scale })
    }
}

/// The median of values, and their deviations from it.
struct Middle {
    median: f64,
    median_deviation: f64,
    mean_deviation: f64,
}

impl Middle {
    /// `None` where no score is defined.
    fn scale(&self) -> Option<Scale> {
        let unit = if self.median_deviation > 0.0 {
            self.median_deviation / MAD_FACTOR
        } else {
            MEAN_DEVIATION_FACTOR * self.mean_deviation
        };
        Scale::new(0.0, self.median, unit)
    }
}

/// How often each value occurs, where all are whole numbers and their range is no wider than they are many: durations in
/// seconds. Medians are read off the counts, to the last digit those of the values.
struct Counts {
    least: f64,
    counts: Vec<u32>,
    count: usize,
}

impl Counts {
    /// `None` when the values are others.
    fn of<V: Iterator<Item = (usize, f64)>>(spread: &Spread, values: impl Fn() -> V) -> Option<Self> {
        // so that the counts stay in the cache
        const MOST_PLACES: f64 = 65536.0;
        let Spread { count, least, greatest, scale } = *spread;
        let width = greatest - least + 1.0;
        if scale != 1.0 || width > MOST_PLACES || width > count as f64 || u32::try_from(count).is_err() {
            return None;
        }
        let mut counts = vec![0; width as usize];
        for (_, value) in values() {
            let place = (value - least) as u32;
            if f64::from(place) + least != value {
                return None;
            }
            *counts.get_mut(place as usize)? += 1;
        }
        Some(Self { least, counts, count })
    }

    /// The values that occur, with their counts, from the least.
    fn values(&self) -> impl DoubleEndedIterator<Item = (f64, usize)> + Clone {
        let known = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        known.map(|(place, &count)| (place as f64 + self.least, count as usize))
    }

    /// The median of values that come in order with their counts.
    fn median(&self, mut ordered: impl Iterator<Item = (f64, usize)>) -> f64 {
        let (middle, is_odd) = (self.count / 2, self.count % 2 == 1);
        let mut passed = 0;
        let mut lower_middle = f64::NAN;
        loop {
            let Some((value, count)) = ordered.next() else { return f64::NAN };
            passed += count;
            // the value before the middle one may be another
            if passed == middle {
                lower_middle = value;
            }
            if passed > middle {
                let is_before = !is_odd && passed - count < middle;
                let lower_middle = if is_before { value } else { lower_middle };
                return if is_odd { value } else { (lower_middle + value) / 2.0 };
            }
        }
    }

    fn middle(&self) -> Middle {
        let median = self.median(self.values());
        let deviations = |(value, count): (f64, usize)| ((value - median).abs(), count);
        // away from the median to both sides, the nearer first
        let below = self.values().rev().skip_while(|(value, _)| *value >= median).map(deviations);
        let above = self.values().skip_while(|(value, _)| *value < median).map(deviations);
        let (mut below, mut above) = (below.peekable(), above.peekable());
        let nearer = std::iter::from_fn(|| match (below.peek(), above.peek()) {
            (Some((lower, _)), Some((upper, _))) if lower < upper => below.next(),
            (_, Some(_)) => above.next(),
            (_, None) => below.next(),
        });
        let mean_deviation = self.values().map(deviations).map(|(value, count)| value * count as f64).sum::<f64>();
        Middle { median, median_deviation: self.median(nearer), mean_deviation: mean_deviation / self.count as f64 }
    }
}

/// The median, of an even number of values the mean of the two in the middle. Reorders the values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let middle = values.len() / 2;
    let is_odd = values.len() % 2 == 1;
    let (lower, &mut upper_middle, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_odd {
        return upper_middle;
    }
    let lower_middle = lower.iter().copied().max_by(f64::total_cmp).unwrap_or(upper_middle);
    let sum = lower_middle + upper_middle;
    // of halves where the sum leaves the range of an f64
    if sum.is_finite() { sum / 2.0 } else { lower_middle / 2.0 + upper_middle / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn z(x: &[f64]) -> Vec<f64> {
        let mut out = vec![7.0; x.len()];
        zscores(x, |_| true, &mut out);
        out
    }

    fn modified(x: &[f64]) -> Vec<f64> {
        let mut out = vec![7.0; x.len()];
        modified_zscores(x, |_| true, &mut vec![7.0], &mut out);
        out
    }

    fn assert_close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            let is_close = (got - expected).abs() <= 1e-12 * expected.abs().max(1.0);
            assert!(is_close || (got.is_nan() && expected.is_nan()), "got {got}, expected {expected}");
        }
    }

    #[test]
    fn zscores_divide_by_the_sample_deviation() {
        // mean 5, squares of 3, 1, 1, 3 = 20, / (4 - 1), root = 2.581989: -3 / 2.581989 = -1.161895.
        let deviation = (20.0_f64 / 3.0).sqrt();
        assert_close(&z(&[2.0, 4.0, 6.0, 8.0]), &[-3.0, -1.0, 1.0, 3.0].map(|difference| difference / deviation));
        // Two values are always 1 / sqrt(2) away: d = (b - a) / 2, deviation = d * sqrt(2).
        assert_close(&z(&[10.0, 30.0]), &[-(0.5_f64.sqrt()), 0.5_f64.sqrt()]);
    }

    #[test]
    fn modified_zscores_divide_by_the_median_deviation() {
        // median 3; deviations 2, 1, 0, 1, 97, sorted 0 1 1 2 97: MAD 1; 0.6745 * 97 / 1 = 65.4265.
        let expected = [-1.349, -0.6745, 0.0, 0.6745, 65.4265];
        assert_close(&modified(&[1.0, 2.0, 3.0, 4.0, 100.0]), &expected);
        // Even count: median (2 + 4) / 2 = 3; deviations 2, 1, 1, 7, sorted 1 1 2 7: MAD 1.5; 0.6745 / 1.5 = 0.449666..
        let expected = [-2.0, -1.0, 1.0, 7.0].map(|difference| difference * 0.6745 / 1.5);
        assert_close(&modified(&[1.0, 2.0, 4.0, 10.0]), &expected);
    }

    #[test]
    fn when_the_median_deviation_is_0_the_mean_deviation_replaces_it() {
        // median 5, MAD 0; mean deviation 10 / 5 = 2; 10 / (1.253314 * 2) = 3.989423.
        assert_close(&modified(&[5.0, 5.0, 5.0, 5.0, 15.0]), &[0.0, 0.0, 0.0, 0.0, 10.0 / 2.506_628]);
    }

    #[test]
    fn counted_values_have_the_scores_of_kept_ones() {
        // a fraction that is moved away again keeps them from being counted
        let mut random = 1_u64;
        for (size, width, least) in
            [(2, 2, 0), (3, 2, -1), (100, 7, 1000), (101, 60, -30), (5000, 4000, 0), (400, 3, 5)]
        {
            for _ in 0..20 {
                let mut x: Vec<f64> = (0..size)
                    .map(|_| {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (least + (random >> 33) as i64 % width) as f64
                    })
                    .collect();
                let spread = Spread::of(&x, |_| true);
                let whole = modified(&x);
                let is_counted =
                    spread.is_none_or(|spread| Counts::of(&spread, || x.iter().copied().enumerate()).is_some());
                x.iter_mut().for_each(|value| *value /= 1024.0);
                assert_close(&whole, &modified(&x));
                assert!(is_counted, "{size} {width}");
            }
        }
    }

    #[test]
    fn equal_values_and_single_values_have_no_score() {
        for values in [&[][..], &[4.0], &[0.1, 0.1, 0.1], &[1e300, 1e300], &[-0.0, 0.0]] {
            assert!(z(values).iter().all(|score| score.is_nan()), "{values:?}");
            assert!(modified(values).iter().all(|score| score.is_nan()), "{values:?}");
        }
    }

    #[test]
    fn what_is_no_finite_number_is_left_out() {
        let x = [2.0, f64::NAN, 4.0, f64::INFINITY, 6.0, 1e9, f64::NEG_INFINITY, 8.0];
        let is_known = |row: usize| row != 5;
        let kept = [0, 2, 4, 7];
        let mut out = vec![7.0; x.len()];
        zscores(&x, is_known, &mut out);
        assert_close(&kept.map(|row| out[row]), &z(&[2.0, 4.0, 6.0, 8.0]));
        assert!([1, 3, 5, 6].iter().all(|&row| out[row].is_nan()));
        let mut out = vec![7.0; x.len()];
        modified_zscores(&x, is_known, &mut vec![], &mut out);
        assert_close(&kept.map(|row| out[row]), &modified(&[2.0, 4.0, 6.0, 8.0]));
        assert!([1, 3, 5, 6].iter().all(|&row| out[row].is_nan()));
    }

    #[test]
    fn scores_do_not_depend_on_unit_and_origin() {
        let small = [2.0, 3.0, 5.0, 7.0, 11.0, 40.0];
        // 2^1015 and, below the normal numbers, 2^-1060.
        for (factor, origin) in
            [(2_f64.powi(1015), 0.0), (f64::from_bits(1 << 14), 0.0), (-2.0, 0.0), (1.0, 2_f64.powi(44))]
        {
            let moved = small.map(|value| value * factor + origin);
            let sign = f64::signum(factor);
            assert_close(&z(&moved), &z(&small).iter().map(|score| score * sign).collect::<Vec<_>>());
            assert_close(&modified(&moved), &modified(&small).iter().map(|score| score * sign).collect::<Vec<_>>());
        }
        // The whole range of an f64: mean 0, deviation sqrt(2 / 1) * max for two values.
        assert_close(&z(&[-f64::MAX, f64::MAX]), &[-(0.5_f64.sqrt()), 0.5_f64.sqrt()]);
        // median 0, MAD f64::MAX.
        assert_close(&modified(&[-f64::MAX, 0.0, f64::MAX]), &[-0.6745, 0.0, 0.6745]);
    }

    #[test]
    fn sums_of_squares_do_not_cancel() {
        // NIST StRD NumAcc4: 10000000.2, then 10000000.1 and 10000000.3 in turn, 1001 values; mean 10000000.2, sample
        // deviation 0.1 (certified). The values themselves carry about 9 digits after the subtraction of the mean.
        let x: Vec<f64> = (0..1001)
            .map(|row| {
                if row == 0 {
                    10000000.2
                } else if row % 2 == 1 {
                    10000000.1
                } else {
                    10000000.3
                }
            })
            .collect();
        let scores = z(&x);
        assert!(scores[0].abs() < 1e-7, "{}", scores[0]);
        assert!((scores[1] + 1.0).abs() < 1e-7, "{}", scores[1]);
        assert!((scores[2] - 1.0).abs() < 1e-7, "{}", scores[2]);
    }

    #[test]
    fn medians_agree_with_sorting() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |bound: u64| {
            // Marsaglia's xorshift64 (2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % bound
        };
        for _ in 0..2_000 {
            let mut values: Vec<f64> = (0..1 + below(12)).map(|_| below(10) as f64 - 5.0).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let n = sorted.len();
            assert_eq!(median(&mut values), (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0, "{sorted:?}");
        }
    }
}

//! Statistics computed by charts.

/// The quantile `share` of sorted values, interpolated linearly between ranks (type 7 of Hyndman and Fan).
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = share * last as f64;
    let (below, above) = (sorted.get(rank.floor() as usize)?, sorted.get(rank.ceil() as usize)?);
    Some(below + (above - below) * rank.fract())
}

/// A least-squares line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    pub(crate) intercept: f64,
    pub(crate) slope: f64,
    pub(crate) r_squared: f64,
}

/// Fits a line; `None` for fewer than three points or if all have the same x.
pub(crate) fn least_squares(points: &[(f64, f64)]) -> Option<Line> {
    let count = points.len() as f64;
    if points.len() < 3 {
        return None;
    }
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|(x, y)| of(x - mean_x, y - mean_y)).sum::<f64>();
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    if xx <= 0.0 {
        return None;
    }
    let slope = xy / xx;
    let r_squared = if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 };
    let line = Line { intercept: mean_y - slope * mean_x, slope, r_squared };
    // squares of very large numbers overflow to infinity
    (line.intercept.is_finite() && line.slope.is_finite() && line.r_squared.is_finite()).then_some(line)
}

/// The width of a histogram's bins by Freedman and Diaconis, 2 * IQR / n^(1/3), and by Sturges where the quartiles
/// coincide; at most 60 bins.
pub(crate) fn bin_width(sorted: &[f64]) -> Option<f64> {
    let (first, last) = (sorted.first()?, sorted.last()?);
    let range = last - first;
    if range <= 0.0 {
        return None;
    }
    let count = sorted.len() as f64;
    let spread = quantile(sorted, 0.75)? - quantile(sorted, 0.25)?;
    let width = if spread > 0.0 { 2.0 * spread / count.cbrt() } else { range / (count.log2().ceil() + 1.0) };
    Some(width.clamp(range / 60.0, range))
}

/// The five-number summary of a box plot after Tukey, and the outliers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FiveNumbers {
    pub(crate) low: f64,
    pub(crate) first: f64,
    pub(crate) median: f64,
    pub(crate) third: f64,
    pub(crate) high: f64,
    pub(crate) outside: Vec<f64>,
}

/// Quartiles by type 7; the whiskers end at the last values within 1.5 IQR of them.
pub(crate) fn five_numbers(values: &[f64]) -> Option<FiveNumbers> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, median, third) = (quantile(&sorted, 0.25)?, quantile(&sorted, 0.5)?, quantile(&sorted, 0.75)?);
    let reach = 1.5 * (third - first);
    let is_inside = |value: &&f64| **value >= first - reach && **value <= third + reach;
    let low = *sorted.iter().find(is_inside)?;
    let high = *sorted.iter().rev().find(is_inside)?;
    let outside = sorted.iter().filter(|value| !is_inside(value)).copied().collect();
    Some(FiveNumbers { low, first, median, third, high, outside })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_ranks() {
        // rank 0.25 * 3 = 0.75: 1 + 0.75 * (2 - 1)
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.25), Some(1.75));
        assert_eq!(quantile(&[5.0], 0.5), Some(5.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn the_line_of_anscombes_first_set() {
        // Anscombe 1973: y = 3.00 + 0.500 x, R² = 0.67
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let line = least_squares(&x.into_iter().zip(y).collect::<Vec<_>>()).unwrap();
        assert!((line.intercept - 3.0).abs() < 0.01 && (line.slope - 0.5).abs() < 0.001, "{line:?}");
        assert!((line.r_squared - 0.667).abs() < 0.001, "{line:?}");
        assert_eq!(least_squares(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
    }

    #[test]
    fn whiskers_end_at_values_within_the_fences() {
        // quartiles 2.25, 3.5, 4.75; reach 3.75; 100 lies outside
        let five = five_numbers(&[1.0, 2.0, 3.0, 4.0, 5.0, 100.0]).unwrap();
        assert_eq!((five.low, five.first, five.median, five.third, five.high), (1.0, 2.25, 3.5, 4.75, 5.0));
        assert_eq!(five.outside, [100.0]);
        assert_eq!(five_numbers(&[]), None);
    }

    #[test]
    fn bins_follow_the_spread() {
        // quartiles of 1 to 8 are 2.75 and 6.25; 2 * 3.5 / 2 = 3.5
        let values: Vec<f64> = (1..=8).map(f64::from).collect();
        assert_eq!(bin_width(&values), Some(3.5));
        assert_eq!(bin_width(&[3.0, 3.0]), None);
    }
}

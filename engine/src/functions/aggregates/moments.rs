//! Moments of pairs: counts, means and centred sums of products, which merge without losing digits.
//!
//! Formula: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1 and its analogue for
//!          products; results as SQL:2016, 10.9 (aggregate function) defines them.
//! NULL:    too few pairs, and slopes and correlations of a constant, give NULL, as DataFusion's accumulators do.
//! Edges:   NaN in one of the values makes the moments NaN as long as it is among them.

/// What is computed from the moments. `y` is the first argument of functions of two, as in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Statistic {
    VarianceSample,
    VariancePopulation,
    DeviationSample,
    DeviationPopulation,
    CovarianceSample,
    CovariancePopulation,
    Correlation,
    Slope,
    Intercept,
    Determination,
    MeanX,
    MeanY,
    SquaresX,
    SquaresY,
    Products,
}

impl Statistic {
    /// Returns true if the function has two arguments.
    pub(crate) fn is_of_pairs(self) -> bool {
        use Statistic::{DeviationPopulation, DeviationSample, VariancePopulation, VarianceSample};
        !matches!(self, VarianceSample | VariancePopulation | DeviationSample | DeviationPopulation)
    }

    /// The statistic of an aggregate function of DataFusion.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "var" | "var_samp" => Self::VarianceSample,
            "var_pop" => Self::VariancePopulation,
            "stddev" | "stddev_samp" => Self::DeviationSample,
            "stddev_pop" => Self::DeviationPopulation,
            "covar" | "covar_samp" => Self::CovarianceSample,
            "covar_pop" => Self::CovariancePopulation,
            "corr" => Self::Correlation,
            "regr_slope" => Self::Slope,
            "regr_intercept" => Self::Intercept,
            "regr_r2" => Self::Determination,
            "regr_avgx" => Self::MeanX,
            "regr_avgy" => Self::MeanY,
            "regr_sxx" => Self::SquaresX,
            "regr_syy" => Self::SquaresY,
            "regr_sxy" => Self::Products,
            _ => return None,
        })
    }
}

/// The moments of pairs (y, x); of single values, y is the value and x is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    count: f64,
    mean_y: f64,
    mean_x: f64,
    /// Sum of squares of y - mean(y).
    squares_y: f64,
    squares_x: f64,
    products: f64,
}

impl Moments {
    pub(crate) fn of(y: f64, x: f64) -> Self {
        // an infinite value has no deviation from itself; 0 times a negative one is -0.0
        let none = |value: f64| value * 0.0 + 0.0;
        Self { count: 1.0, mean_y: y, mean_x: x, squares_y: none(y), squares_x: none(x), products: none(y) + none(x) }
    }

    /// Adds a pair (Welford).
    pub(crate) fn add(&mut self, y: f64, x: f64) {
        self.count += 1.0;
        let share = 1.0 / self.count;
        let (dy, dx) = (y - self.mean_y, x - self.mean_x);
        // the first pair is the mean exactly
        self.mean_y += dy * share;
        self.mean_x += dx * share;
        let (after_y, after_x) = (y - self.mean_y, x - self.mean_x);
        self.squares_y += dy * after_y;
        self.squares_x += dx * after_x;
        self.products += dx * after_y;
    }

    /// The count, and the other moments.
    pub(crate) fn state(self) -> (u64, [f64; 5]) {
        (self.count as u64, [self.mean_y, self.mean_x, self.squares_y, self.squares_x, self.products])
    }

    /// The moments of a state.
    pub(crate) fn from_state(count: u64, [mean_y, mean_x, squares_y, squares_x, products]: [f64; 5]) -> Self {
        Self { count: count as f64, mean_y, mean_x, squares_y, squares_x, products }
    }

    pub(crate) fn merge(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let (dy, dx) = (other.mean_y - self.mean_y, other.mean_x - self.mean_x);
        let weight = self.count * (other.count / count);
        Self {
            count,
            mean_y: self.mean_y + dy * (other.count / count),
            mean_x: self.mean_x + dx * (other.count / count),
            squares_y: self.squares_y + other.squares_y + dy * dy * weight,
            squares_x: self.squares_x + other.squares_x + dx * dx * weight,
            products: self.products + other.products + dy * dx * weight,
        }
    }

    pub(crate) fn finish(self, statistic: Statistic) -> Option<f64> {
        let n = self.count;
        let from = |least: f64, value: f64| (n >= least).then_some(value);
        let varies = |squares: f64, value: f64| (n >= 2.0 && squares != 0.0).then_some(value);
        match statistic {
            Statistic::VarianceSample => from(2.0, self.squares_y / (n - 1.0)),
            Statistic::VariancePopulation => from(1.0, self.squares_y / n),
            Statistic::DeviationSample => from(2.0, (self.squares_y / (n - 1.0)).sqrt()),
            Statistic::DeviationPopulation => from(1.0, (self.squares_y / n).sqrt()),
            Statistic::CovarianceSample => from(2.0, self.products / (n - 1.0)),
            Statistic::CovariancePopulation => from(1.0, self.products / n),
            Statistic::Correlation => {
                // one root rounds once; two do not overflow
                let product = self.squares_y * self.squares_x;
                let scale =
                    if product.is_normal() { product.sqrt() } else { self.squares_y.sqrt() * self.squares_x.sqrt() };
                // rounding must not leave [-1, 1]; NaN stays
                varies(scale, (self.products / scale).clamp(-1.0, 1.0))
            }
            Statistic::Slope => varies(self.squares_x, self.products / self.squares_x),
            Statistic::Intercept => varies(self.squares_x, self.mean_y - self.products / self.squares_x * self.mean_x),
            Statistic::Determination => varies(
                if self.squares_y == 0.0 { 0.0 } else { self.squares_x },
                self.products / self.squares_x * (self.products / self.squares_y),
            ),
            Statistic::MeanX => from(1.0, self.mean_x),
            Statistic::MeanY => from(1.0, self.mean_y),
            Statistic::SquaresX => from(1.0, self.squares_x),
            Statistic::SquaresY => from(1.0, self.squares_y),
            Statistic::Products => from(1.0, self.products),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(pairs: &[(f64, f64)]) -> Moments {
        pairs.iter().fold(Moments::default(), |total, (y, x)| total.merge(Moments::of(*y, *x)))
    }

    /// By hand: y = 1, 3, 8 and x = 1, 2, 3; means 4 and 2; squares 9+1+16 = 26 and 2; products 3+0+4 = 7.
    #[test]
    fn statistics_of_three_pairs() {
        let moments = total(&[(1.0, 1.0), (3.0, 2.0), (8.0, 3.0)]);
        for (name, expected) in [
            ("var_samp", 13.0),
            ("var_pop", 26.0 / 3.0),
            ("stddev_samp", 13_f64.sqrt()),
            ("stddev_pop", (26.0_f64 / 3.0).sqrt()),
            ("covar_samp", 3.5),
            ("covar_pop", 7.0 / 3.0),
            ("corr", 7.0 / 52_f64.sqrt()),
            ("regr_slope", 3.5),
            ("regr_intercept", -3.0),
            ("regr_r2", 49.0 / 52.0),
            ("regr_avgx", 2.0),
            ("regr_avgy", 4.0),
            ("regr_sxx", 2.0),
            ("regr_syy", 26.0),
            ("regr_sxy", 7.0),
        ] {
            let found = moments.finish(Statistic::of(name).unwrap()).unwrap();
            assert!((found - expected).abs() < 1e-14, "{name}: {found} for {expected}");
        }
    }

    /// As above, pair by pair, and with values whose squares have no digits left for the differences.
    #[test]
    fn added_pairs_are_those_merged() {
        for offset in [0.0, 1e9] {
            let mut moments = Moments::default();
            for (y, x) in [(1.0, 1.0), (3.0, 2.0), (8.0, 3.0)] {
                moments.add(y + offset, x + offset);
            }
            let (count, state) = moments.state();
            assert_eq!(moments, Moments::from_state(count, state));
            for (name, expected) in [("corr", 7.0 / 52_f64.sqrt()), ("regr_slope", 3.5), ("covar_samp", 3.5)] {
                let found = moments.finish(Statistic::of(name).unwrap()).unwrap();
                assert!((found - expected).abs() < 1e-6, "{name}: {found} for {expected}");
            }
        }
        let mut constant = Moments::default();
        (0..7).for_each(|_| constant.add(0.1, 0.3));
        assert_eq!(constant.finish(Statistic::Slope), None);
    }

    #[test]
    fn merge_of_empty_moments_is_identity() {
        let moments = total(&[(1.5, 2.0), (3.0, -1.0)]);
        assert_eq!(moments.merge(Moments::default()), moments);
        assert_eq!(Moments::default().merge(moments), moments);
        assert_eq!(Moments::default().finish(Statistic::MeanX), None);
        assert_eq!(Moments::of(5.0, 0.0).finish(Statistic::VarianceSample), None);
        assert_eq!(total(&[(2.0, 1.0), (2.0, 1.0)]).finish(Statistic::Correlation), None);
        assert!(Moments::of(f64::INFINITY, 0.0).finish(Statistic::VariancePopulation).unwrap().is_nan());
    }
}

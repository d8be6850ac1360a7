//! Maximum likelihood of logistic and Poisson regression by Newton's method with step halving.
//!
//! Columns are centred and scaled to a deviation of 1 while it runs, so that the matrix of second derivatives is as well
//! conditioned as the columns allow. Each step is one pass over the rows. A flag that a combination of the columns
//! separates has no finite estimates: the likelihood grows for ever along one direction. It is found by its sign, a long
//! step with hardly any gain, and confirmed row by row (A. Albert and J. A. Anderson, Biometrika 71 (1984) 1-10).
//!
//! Source: P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., 1989, sections 2.5 and 4.4.

use statrs::function::gamma::ln_gamma;

use super::matrix::{BLOCK_ROWS, Column, Rows, add_scaled, cholesky, cholesky_inverse, cholesky_solve, dot};

/// Most steps.
const MAX_STEPS: i64 = 50;

/// Most halvings of a step.
const MAX_HALVINGS: u32 = 30;

/// The last step is the one whose gain is below this: the one after it would gain its square.
const LAST_GAIN: f64 = 1e-10;

/// The distribution of the response and its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    /// A flag, 0 or 1; the logit of its probability is linear.
    Logistic,
    /// A number >= 0; the logarithm of its mean is linear.
    Poisson,
}

/// A column with its mean and its deviation, which is > 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ScaledColumn {
    pub(super) column: Column,
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

/// The result of a fit: the intercept, then the columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NewtonFit {
    pub(super) estimates: Vec<f64>,
    /// Their standard errors; empty where there are none.
    pub(super) std_errors: Vec<f64>,
    pub(super) log_likelihood: f64,
    /// What of it does not depend on the estimates.
    pub(super) constant: f64,
    /// Pearson's chi-square.
    pub(super) pearson: f64,
    pub(super) steps: i64,
    pub(super) end: End,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Converged,
    /// No finite estimates: these columns separate the response.
    Separated(Vec<usize>),
    NotConverged,
}

/// A fit of the response in number 0 of each row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) family: Family,
    pub(super) rows: Rows<'a>,
    pub(super) columns: &'a [ScaledColumn],
    /// Half of it times the squared coefficients (but the intercept) is taken from the log likelihood.
    pub(super) ridge: f64,
}

/// Sums over the rows at one point: the log likelihood without constants and its derivatives.
#[derive(Debug, Clone)]
struct Sums {
    value: f64,
    gradient: Vec<f64>,
    /// Minus the second derivatives, row by row.
    curvature: Vec<f64>,
    pearson: f64,
}

impl Problem<'_> {
    fn size(&self) -> usize {
        self.columns.len() + 1
    }

    /// Maximizes; `mean` is that of the response and neither 0 nor, of flags, 1.
    pub(super) fn fit(&self, mean: f64) -> NewtonFit {
        let size = self.size();
        let mut point = vec![0.0; size];
        point[0] = match self.family {
            Family::Logistic => (mean / (1.0 - mean)).ln(),
            Family::Poisson => mean.ln(),
        };
        let mut sums = self.sums(&point);
        let mut fit = NewtonFit { end: End::NotConverged, ..NewtonFit::default() };
        let mut is_last = false;
        while fit.steps < MAX_STEPS && !is_last {
            let Some(factor) = cholesky(&sums.curvature, size) else {
                // Flat: what is left of the curvature is rounding.
                let direction = point.clone();
                fit.end = self.separated(&direction).map_or(End::NotConverged, End::Separated);
                break;
            };
            let step = cholesky_solve(&factor, size, &sums.gradient);
            let gain = dot(&step, &sums.gradient);
            fit.steps += 1;
            let longest = step.iter().fold(0.0_f64, |longest, value| longest.max(value.abs()));
            if gain < 1e-4
                && longest > 1e-2
                && let Some(columns) = self.separated(&step)
            {
                fit.end = End::Separated(columns);
                break;
            }
            is_last = gain < LAST_GAIN;
            let mut scale = 1.0;
            let mut is_better = false;
            for _ in 0..MAX_HALVINGS {
                let next: Vec<f64> = point.iter().zip(&step).map(|(point, step)| point + scale * step).collect();
                let there = self.sums(&next);
                // The last step gains less than the sums are exact.
                if there.value.is_finite() && (there.value >= sums.value || is_last) {
                    (point, sums, is_better) = (next, there, true);
                    break;
                }
                scale /= 2.0;
            }
            if !is_better {
                // No gain in the direction of the gradient: the maximum, as far as rounding shows.
                is_last = gain < 1e-6;
                break;
            }
        }
        if is_last {
            fit.end = End::Converged;
        }
        self.finish(fit, &point, &sums)
    }

    fn finish(&self, mut fit: NewtonFit, point: &[f64], sums: &Sums) -> NewtonFit {
        let size = self.size();
        // What the penalty took is no likelihood.
        fit.constant = self.constant();
        fit.log_likelihood = sums.value + self.penalty(point) + fit.constant;
        fit.pearson = sums.pearson;
        fit.estimates = point.to_vec();
        for (estimate, column) in fit.estimates.iter_mut().skip(1).zip(self.columns) {
            *estimate /= column.deviation;
        }
        let means = self.columns.iter().map(|column| column.mean);
        let moved: f64 = fit.estimates.iter().skip(1).zip(means).map(|(estimate, mean)| estimate * mean).sum();
        fit.estimates[0] -= moved;
        if self.ridge > 0.0 || fit.end != End::Converged {
            return fit;
        }
        let Some(factor) = cholesky(&sums.curvature, size) else { return fit };
        let covariance = cholesky_inverse(&factor, size);
        // The intercept is that of the centred columns less their means times the estimates.
        let mut weights = vec![1.0];
        weights.extend(self.columns.iter().map(|column| -column.mean / column.deviation));
        let spread: f64 =
            (0..size).map(|row| weights[row] * dot(&covariance[row * size..(row + 1) * size], &weights)).sum();
        fit.std_errors.push(spread.sqrt());
        fit.std_errors.extend(
            self.columns
                .iter()
                .enumerate()
                .map(|(index, column)| covariance[(index + 1) * size + index + 1].sqrt() / column.deviation),
        );
        fit
    }

    fn penalty(&self, point: &[f64]) -> f64 {
        let squares = point.iter().skip(1).zip(self.columns).map(|(value, column)| (value / column.deviation).powi(2));
        self.ridge / 2.0 * squares.sum::<f64>()
    }

    /// What of the log likelihood does not depend on the estimates.
    fn constant(&self) -> f64 {
        match self.family {
            Family::Logistic => 0.0,
            Family::Poisson => -self.rows.iter().filter_map(|row| row.first()).map(|y| ln_gamma(y + 1.0)).sum::<f64>(),
        }
    }

    /// Calls `each` per block with the scaled columns, one after the other, and the linear predictor of each row.
    fn each_block(&self, point: &[f64], mut each: impl FnMut(Rows<'_>, &[f64], &mut [f64])) {
        let mut values = vec![];
        let mut columns = Vec::with_capacity(BLOCK_ROWS * self.columns.len());
        let mut predictor = Vec::with_capacity(BLOCK_ROWS);
        for rows in self.rows.blocks() {
            columns.clear();
            predictor.clear();
            predictor.resize(rows.len(), point.first().copied().unwrap_or(0.0));
            for (scaled, estimate) in self.columns.iter().zip(point.iter().skip(1)) {
                scaled.column.fill(rows, &mut values);
                let factor = 1.0 / scaled.deviation;
                values.iter_mut().for_each(|value| *value = (*value - scaled.mean) * factor);
                add_scaled(&mut predictor, *estimate, &values);
                columns.extend_from_slice(&values);
            }
            each(rows, &columns, &mut predictor);
        }
    }

    fn sums(&self, point: &[f64]) -> Sums {
        let size = self.size();
        let mut sums = Sums { value: 0.0, gradient: vec![0.0; size], curvature: vec![0.0; size * size], pearson: 0.0 };
        let (mut residuals, mut weights, mut weighted) = (vec![], vec![], vec![]);
        self.each_block(point, |rows, columns, predictor| {
            residuals.clear();
            weights.clear();
            let mut value = 0.0;
            for (row, predictor) in rows.iter().zip(predictor.iter()) {
                let y = row.first().copied().unwrap_or(f64::NAN);
                let (gain, mean, weight) = self.family.at(y, *predictor);
                value += gain;
                residuals.push(y - mean);
                weights.push(weight);
            }
            sums.value += value;
            let squares = residuals.iter().zip(&weights).filter(|(_, weight)| **weight > 0.0);
            sums.pearson += squares.map(|(residual, weight)| residual * residual / weight).sum::<f64>();
            sums.gradient[0] += residuals.iter().sum::<f64>();
            sums.curvature[0] += weights.iter().sum::<f64>();
            let height = rows.len();
            for (index, column) in columns.chunks_exact(height.max(1)).enumerate() {
                let row = index + 1;
                sums.gradient[row] += dot(column, &residuals);
                weighted.clear();
                weighted.extend(column.iter().zip(&weights).map(|(value, weight)| value * weight));
                sums.curvature[row * size] += weighted.iter().sum::<f64>();
                for (other, column) in columns.chunks_exact(height.max(1)).enumerate().take(row) {
                    sums.curvature[row * size + other + 1] += dot(&weighted, column);
                }
            }
        });
        for row in 0..size {
            for column in 0..row {
                sums.curvature[column * size + row] = sums.curvature[row * size + column];
            }
        }
        if self.ridge > 0.0 {
            sums.value -= self.penalty(point);
            for (index, column) in self.columns.iter().enumerate() {
                let penalty = self.ridge / (column.deviation * column.deviation);
                sums.gradient[index + 1] -= penalty * point[index + 1];
                sums.curvature[(index + 1) * (size + 1)] += penalty;
            }
        }
        sums
    }

    /// The columns that separate the response, each by itself.
    fn separating_alone(&self) -> Vec<usize> {
        let mut ranges = vec![(Range::EMPTY, Range::EMPTY); self.columns.len()];
        for row in self.rows.iter() {
            let is_event = row.first().is_some_and(|y| *y > 0.0);
            for (scaled, (events, others)) in self.columns.iter().zip(&mut ranges) {
                let range = if is_event { events } else { others };
                range.add(scaled.column.value(row));
            }
        }
        let is_separated = |(index, (events, others)): (usize, &(Range, Range))| {
            self.family.is_separated(*events, *others).then_some(index)
        };
        ranges.iter().enumerate().filter_map(is_separated).collect()
    }

    /// The columns that make up `direction` if the likelihood grows for ever along it: no row is against it, and it is no
    /// constant.
    fn separated(&self, direction: &[f64]) -> Option<Vec<usize>> {
        if self.ridge > 0.0 {
            return None;
        }
        let (mut largest, mut against) = (0.0_f64, 0.0_f64);
        self.each_block(direction, |rows, _, predictor| {
            for (row, value) in rows.iter().zip(predictor.iter()) {
                let y = row.first().copied().unwrap_or(f64::NAN);
                largest = largest.max(value.abs());
                against = against.max(match self.family {
                    Family::Logistic if y > 0.5 => -value,
                    Family::Logistic => *value,
                    // With a mean that falls to 0 only rows of 0 agree; the others must not move.
                    Family::Poisson if y > 0.0 => value.abs(),
                    Family::Poisson => *value,
                });
            }
        });
        if !(largest > 0.0 && against <= 1e-3 * largest) {
            return None;
        }
        let alone = self.separating_alone();
        if !alone.is_empty() {
            return Some(alone);
        }
        let longest = direction.iter().skip(1).fold(0.0_f64, |longest, value| longest.max(value.abs()));
        let is_part = |(index, value): (usize, &f64)| (value.abs() >= 0.05 * longest).then_some(index);
        Some(direction.iter().skip(1).enumerate().filter_map(is_part).collect())
    }
}

/// The least and the largest value of a column.
#[derive(Debug, Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    const EMPTY: Self = Self { low: f64::INFINITY, high: f64::NEG_INFINITY };

    fn add(&mut self, value: f64) {
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }

    /// Whether no value of this one is above one of `other`, and some are below.
    fn is_below(self, other: Self) -> bool {
        self.high <= other.low && self.low < other.high
    }
}

impl Family {
    /// Whether a column alone separates, by its values in rows with an event and in those without.
    fn is_separated(self, events: Range, others: Range) -> bool {
        let is_apart = events.is_below(others) || others.is_below(events);
        match self {
            Family::Logistic => is_apart,
            Family::Poisson => is_apart && events.low == events.high,
        }
    }

    /// Of one row: its log likelihood without constants, the mean, and minus the second derivative.
    #[inline]
    fn at(self, y: f64, predictor: f64) -> (f64, f64, f64) {
        match self {
            Family::Logistic => {
                let small = (-predictor.abs()).exp();
                let mean = if predictor >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
                let value = y * predictor - predictor.max(0.0) - small.ln_1p();
                (value, mean, small / ((1.0 + small) * (1.0 + small)))
            }
            Family::Poisson => {
                let mean = predictor.exp();
                (y * predictor - mean, mean, mean)
            }
        }
    }
}

#[cfg(test)]
mod tests;

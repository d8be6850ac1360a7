//! A mixture of normal distributions by expectation and maximization: pure state, in standardised features.
//!
//! It begins with the clusters of `kmeans.rs` and goes on until a pass gains less than [`LEAST_GAIN`] of log likelihood per
//! row. A small constant is added to the variances, so that no cluster can shrink to one point.
//!
//! Source: A. P. Dempster, N. M. Laird and D. B. Rubin, Journal of the Royal Statistical Society B 39 (1977) 1-38.

use super::kmeans::Clusters;
use super::matrix::cholesky;

/// Added to each variance of standardised features.
const LEAST_VARIANCE: f64 = 1e-6;

const LEAST_GAIN: f64 = 1e-10;

const MAX_PASSES: i64 = 2_000;

/// One normal distribution.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Component {
    pub(super) weight: f64,
    pub(super) mean: Vec<f64>,
    /// Row by row.
    pub(super) covariance: Vec<f64>,
}

/// A mixture, the component with the largest weight first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Mixture {
    pub(super) components: Vec<Component>,
    /// How many rows are most probable in each.
    pub(super) sizes: Vec<i64>,
    pub(super) log_likelihood: f64,
    pub(super) passes: i64,
    pub(super) is_converged: bool,
}

/// A component as its density needs it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Density {
    mean: Vec<f64>,
    factor: Vec<f64>,
    /// ln(weight / sqrt((2 pi)^d |covariance|))
    constant: f64,
}

impl Density {
    /// `None` for a covariance that is not positive definite.
    pub(super) fn of(component: &Component) -> Option<Self> {
        let size = component.mean.len();
        let factor = cholesky(&component.covariance, size)?;
        let logs: f64 = (0..size).map(|index| factor[index * size + index].ln()).sum();
        let constant = component.weight.ln() - logs - size as f64 / 2.0 * (2.0 * std::f64::consts::PI).ln();
        Some(Self { mean: component.mean.clone(), factor, constant })
    }

    /// ln(weight * density) of a row; `solved` is space for as many numbers.
    pub(super) fn log(&self, row: &[f64], solved: &mut Vec<f64>) -> f64 {
        let size = self.mean.len();
        solved.clear();
        let mut squares = 0.0;
        for (index, (value, mean)) in row.iter().zip(&self.mean).enumerate() {
            let line = self.factor.get(index * size..(index + 1) * size).unwrap_or_default();
            let known: f64 = line.iter().zip(solved.iter()).map(|(factor, solved)| factor * solved).sum();
            let next = (value - mean - known) / line.get(index).copied().unwrap_or(f64::NAN);
            squares += next * next;
            solved.push(next);
        }
        self.constant - squares / 2.0
    }
}

/// Sums over the rows, weighted by how probable each component is.
#[derive(Debug, Clone)]
struct Sums {
    weight: f64,
    mean: Vec<f64>,
    products: Vec<f64>,
}

impl Sums {
    /// Adds a row less `origin`, near which the sums lose no digits.
    fn add(&mut self, weight: f64, row: &[f64], origin: &[f64], moved: &mut Vec<f64>) {
        moved.clear();
        moved.extend(row.iter().zip(origin).map(|(value, origin)| value - origin));
        self.weight += weight;
        let size = moved.len();
        for (index, value) in moved.iter().enumerate() {
            let factor = weight * value;
            if let Some(sum) = self.mean.get_mut(index) {
                *sum += factor;
            }
            let line = self.products.get_mut(index * size..(index + 1) * size).unwrap_or_default();
            line.iter_mut().zip(moved.iter()).take(index + 1).for_each(|(sum, other)| *sum += factor * other);
        }
    }

    fn component(&self, origin: &[f64], total: f64) -> Component {
        let size = origin.len();
        let shift: Vec<f64> = self.mean.iter().map(|sum| sum / self.weight).collect();
        let mut covariance = vec![0.0; size * size];
        for row in 0..size {
            for column in 0..=row {
                let value = self.products[row * size + column] / self.weight - shift[row] * shift[column];
                covariance[row * size + column] = value;
                covariance[column * size + row] = value;
            }
            covariance[row * size + row] = covariance[row * size + row].max(0.0) + LEAST_VARIANCE;
        }
        let mean = origin.iter().zip(&shift).map(|(origin, shift)| origin + shift).collect();
        Component { weight: self.weight / total, mean, covariance }
    }
}

/// The mixture with as many components as clusters; `None` where a component has no rows left.
pub(super) fn mixture(rows: &[f64], width: usize, clusters: &Clusters) -> Option<Mixture> {
    let count = (rows.len() / width) as f64;
    let mut origins: Vec<Vec<f64>> = clusters.centroids.chunks_exact(width).map(<[f64]>::to_vec).collect();
    let k = origins.len();
    let empty = Sums { weight: 0.0, mean: vec![0.0; width], products: vec![0.0; width * width] };
    let (mut moved, mut solved, mut logs) = (vec![], vec![], vec![0.0; k]);
    // The rows of each cluster first.
    let mut sums = vec![empty.clone(); k];
    for row in rows.chunks_exact(width) {
        let (cluster, ..) = super::kmeans::nearest(row, &clusters.centroids);
        sums.get_mut(cluster)?.add(1.0, row, origins.get(cluster)?, &mut moved);
    }
    let mut mixture = Mixture { log_likelihood: f64::NEG_INFINITY, ..Mixture::default() };
    loop {
        let components: Vec<Component> =
            sums.iter().zip(&origins).map(|(sums, origin)| sums.component(origin, count)).collect();
        let densities = components.iter().map(Density::of).collect::<Option<Vec<_>>>()?;
        origins = components.iter().map(|component| component.mean.clone()).collect();
        sums = vec![empty.clone(); k];
        let mut sizes = vec![0; k];
        let mut log_likelihood = 0.0;
        for row in rows.chunks_exact(width) {
            let (mut best, mut largest) = (0, f64::NEG_INFINITY);
            for (index, (log, density)) in logs.iter_mut().zip(&densities).enumerate() {
                *log = density.log(row, &mut solved);
                if *log > largest {
                    (best, largest) = (index, *log);
                }
            }
            let total: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
            log_likelihood += largest + total.ln();
            sizes[best] += 1;
            for ((log, sums), origin) in logs.iter().zip(&mut sums).zip(&origins) {
                let share = (log - largest).exp() / total;
                // What is nothing beside the rows of a component costs no time.
                if share > 1e-18 {
                    sums.add(share, row, origin, &mut moved);
                }
            }
        }
        if !log_likelihood.is_finite() {
            return None;
        }
        let gain = (log_likelihood - mixture.log_likelihood) / count;
        mixture =
            Mixture { components, sizes, log_likelihood, passes: mixture.passes + 1, is_converged: gain < LEAST_GAIN };
        if mixture.is_converged || mixture.passes >= MAX_PASSES {
            break;
        }
    }
    let mut order: Vec<(Component, i64)> = mixture.components.into_iter().zip(mixture.sizes).collect();
    order.sort_by(|(one, _), (other, _)| {
        let means = one.mean.iter().zip(&other.mean).map(|(one, other)| one.total_cmp(other));
        other.weight.total_cmp(&one.weight).then(means.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then))
    });
    (mixture.components, mixture.sizes) = order.into_iter().unzip();
    Some(mixture)
}

#[cfg(test)]
mod tests;

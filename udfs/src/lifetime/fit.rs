//! Maximum likelihood of the lifetime models: from several starts, in the logarithms of the parameters.
//!
//! With very many distinct rows the starts are tried on every so many-th row, and the best one goes on with all rows. Rows are
//! sorted, so that the result does not depend on their order.

use super::orders::{Histories, OrderModel, minus_log_likelihood as minus_log_likelihood_of_orders};
use super::spend::{Spend, minus_log_likelihood as minus_log_likelihood_of_spend};
use crate::numerics::cholesky::Cholesky;
use crate::numerics::minimise::{Minimum, Objective, descend, descend_with, polish};

/// Gains of the log likelihood below this are none.
const TOLERANCE: f64 = 1e-8;

/// Distinct rows on which starts are tried.
const TRIAL_ROWS: usize = 4_096;

/// A parameter on its way to 0 or infinity is stopped when its logarithm is so far from that of its start.
const FARTHEST: f64 = 12.0;

/// Where the likelihood did not reach its maximum, a parameter so far from its start is on its way to 0 or infinity.
const FAR: f64 = 5.0;

/// Parameters with their errors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    pub(crate) parameters: Vec<f64>,
    /// The covariance of the logarithms of the parameters, by rows; empty when there is none.
    pub(crate) log_covariance: Vec<f64>,
    pub(crate) log_likelihood: f64,
    pub(crate) is_converged: bool,
    /// Parameters without a finite estimate above 0.
    pub(crate) runaway: Vec<usize>,
}

/// The best of several starts.
fn best(function: &mut impl Objective, starts: &[Vec<f64>], max_steps: usize) -> Option<Minimum> {
    let minima = starts.iter().map(|start| descend(function, start, TOLERANCE, max_steps));
    minima.filter(|minimum| minimum.value.is_finite()).min_by(|one, other| one.value.total_cmp(&other.value))
}

/// Tries the starts with `trial`, if there is one, and goes on from the best with `whole`. `share` is the share of the rows
/// that `trial` sees.
fn maximise(
    trial: Option<impl Objective>,
    share: f64,
    mut whole: impl Objective,
    starts: Vec<Vec<f64>>,
) -> Option<Fit> {
    let centre = starts.first()?.clone();
    // beyond the limits the likelihood is not asked: what has no finite estimate ends there
    let is_near = |x: &[f64]| x.iter().zip(&centre).all(|(x, centre)| (x - centre).abs() <= FARTHEST + 1.0);
    let mut whole = |x: &[f64], gradient: &mut [f64]| if is_near(x) { whole(x, gradient) } else { f64::INFINITY };
    let first = match trial {
        None => best(&mut whole, &starts, 100)?,
        Some(mut trial) => {
            let mut trial =
                |x: &[f64], gradient: &mut [f64]| if is_near(x) { trial(x, gradient) } else { f64::INFINITY };
            let of_trial = best(&mut trial, &starts, 60)?;
            let of_trial = polish(&mut trial, of_trial, TOLERANCE);
            // what the trial knows of the second derivatives saves most steps over all rows
            let size = of_trial.x.len();
            let factor = of_trial.is_converged.then(|| Cholesky::of(&of_trial.curvature, size, 1e-10));
            let inverse = factor.filter(|factor| factor.rank() == size).map(|factor| factor.inverse());
            let inverse: Option<Vec<f64>> =
                inverse.map(|inverse| inverse.into_iter().map(|value| value * share).collect());
            let max_steps = if inverse.is_some() { 100 } else { 25 };
            Some(descend_with(&mut whole, &of_trial.x, TOLERANCE, max_steps, inverse))
                .filter(|minimum| minimum.value.is_finite())?
        }
    };
    let beyond = |x: &[f64], limit: f64| -> Vec<usize> {
        (0..x.len()).filter(|index| (x[*index] - centre[*index]).abs() > limit).collect()
    };
    // far out there is no maximum to polish
    let is_lost = !beyond(&first.x, (FAR + FARTHEST) / 2.0).is_empty();
    let minimum = if is_lost { first } else { polish(&mut whole, first, TOLERANCE) };
    let size = minimum.x.len();
    let runaway = beyond(&minimum.x, if minimum.is_converged { FARTHEST } else { FAR });
    let factor = minimum.is_converged.then(|| Cholesky::of(&minimum.curvature, size, 1e-10));
    let factor = factor.filter(|factor| runaway.is_empty() && factor.rank() == size);
    Some(Fit {
        parameters: minimum.x.iter().map(|log| log.exp()).collect(),
        is_converged: factor.is_some(),
        log_covariance: factor.map(|factor| factor.inverse()).unwrap_or_default(),
        log_likelihood: -minimum.value,
        runaway,
    })
}

/// Every so many-th of the rows, if they are many, and which share of them these are.
fn thinned<T: Copy>(rows: &[T]) -> (Option<Vec<T>>, f64) {
    let step = rows.len().div_ceil(TRIAL_ROWS).max(1);
    ((step > 1).then(|| rows.iter().step_by(step).copied().collect()), 1.0 / step as f64)
}

/// Fits a model of orders to sorted rows. `None` when the likelihood has no value at any start.
pub(crate) fn fit_orders(model: OrderModel, rows: &Histories) -> Option<Fit> {
    let customers: f64 = rows.rows.iter().map(|(_, count)| count).sum();
    let orders: f64 = rows.rows.iter().map(|(history, count)| history.frequency * (count / customers)).sum();
    let age: f64 = rows.rows.iter().map(|(history, count)| history.age * (count / customers)).sum();
    let rate = orders / age;
    if !(rate > 0.0 && rate.is_finite()) {
        return None;
    }
    let starts = [(0.5, 1.0, 2.0), (1.0, 0.3, 1.0), (0.2, 0.5, 0.5), (2.0, 2.0, 8.0), (0.3, 3.0, 20.0)];
    let starts = starts.iter().map(|(r, third, fourth)| {
        if model == OrderModel::BetaBinomial {
            // the mean of p is near the rate
            return [2.0 * r, 2.0 * r * (1.0 / rate - 1.0).max(0.1), *third, *fourth].map(f64::ln).to_vec();
        }
        // beta of Pareto/NBD is a time
        let fourth = if model == OrderModel::Pareto { fourth * age } else { *fourth };
        [*r, r / rate, *third, fourth].map(f64::ln).to_vec()
    });
    let (trial, share) = thinned(&rows.rows);
    let trial = trial.map(|rows| {
        let rows = Histories { rows };
        move |logs: &[f64], gradient: &mut [f64]| minus_log_likelihood_of_orders(model, &rows, logs, gradient)
    });
    let whole = |logs: &[f64], gradient: &mut [f64]| minus_log_likelihood_of_orders(model, rows, logs, gradient);
    maximise(trial, share, whole, starts.collect())
}

/// Fits the gamma-gamma model to sorted rows.
pub(crate) fn fit_spend(rows: &[Spend]) -> Option<Fit> {
    let customers: f64 = rows.iter().map(|row| row.count).sum();
    let mean: f64 = rows.iter().map(|row| row.mean_amount * (row.count / customers)).sum();
    if !(mean > 0.0 && mean.is_finite()) {
        return None;
    }
    // the mean amount of all customers is p gamma / (q - 1)
    let starts = [(2.0, 4.0), (6.0, 4.0), (1.0, 2.0), (20.0, 10.0)];
    let starts = starts.iter().map(|(p, q): &(f64, f64)| [*p, *q, mean * (q - 1.0) / p].map(f64::ln).to_vec());
    let (trial, share) = thinned(rows);
    let trial = trial
        .map(|rows| move |logs: &[f64], gradient: &mut [f64]| minus_log_likelihood_of_spend(&rows, logs, gradient));
    let whole = |logs: &[f64], gradient: &mut [f64]| minus_log_likelihood_of_spend(rows, logs, gradient);
    maximise(trial, share, whole, starts.collect())
}

#[cfg(test)]
mod tests;

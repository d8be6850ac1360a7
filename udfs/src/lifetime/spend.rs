//! The gamma-gamma model of how much customers spend per order.
//!
//! The mean amount of x orders of a customer is gamma distributed with shape p x and rate v x; v varies between customers as a
//! gamma distribution (shape q, rate gamma). Source: P. S. Fader and B. G. S. Hardie, The Gamma-Gamma Model of Monetary Value,
//! 2013.

use statrs::function::gamma::{digamma, ln_gamma};

/// Repeat orders of a customer, at least 1, their mean amount, > 0, and how many customers are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spend {
    pub(crate) frequency: f64,
    pub(crate) mean_amount: f64,
    pub(crate) count: f64,
}

/// Minus the log likelihood of the customers at the logarithms of (p, q, gamma), and its gradient.
pub(crate) fn minus_log_likelihood(rows: &[Spend], logs: &[f64], gradient: &mut [f64]) -> f64 {
    let [p, q, scale]: [f64; 3] = std::array::from_fn(|index| logs.get(index).map_or(f64::NAN, |log| log.exp()));
    let mut sums = [0.0; 4];
    for same in rows.chunk_by(|one, other| one.frequency == other.frequency) {
        let Some(x) = same.first().map(|row| row.frequency) else { continue };
        let shape = p * x;
        let of_x = ln_gamma(shape + q) - ln_gamma(shape) - ln_gamma(q) + q * scale.ln() + shape * x.ln();
        let (both, own) = (digamma(shape + q), digamma(shape));
        for Spend { mean_amount, count, .. } in same {
            let (log_mean, total) = (mean_amount.ln(), scale + x * mean_amount);
            let log_total = total.ln();
            sums[0] += count * (of_x + (shape - 1.0) * log_mean - (shape + q) * log_total);
            sums[1] += count * x * (both - own + x.ln() + log_mean - log_total);
            sums[2] += count * (both - digamma(q) + scale.ln() - log_total);
            sums[3] += count * (q / scale - (shape + q) / total);
        }
    }
    let [value, derivatives @ ..] = sums;
    for ((slot, derivative), parameter) in gradient.iter_mut().zip(derivatives).zip([p, q, scale]) {
        *slot = -derivative * parameter;
    }
    if value.is_finite() { -value } else { f64::INFINITY }
}

/// The expected mean amount of an order of a customer with so many repeat orders; of one without, that of all customers. `None`
/// where it is infinite.
pub(crate) fn expected_amount([p, q, scale]: [f64; 3], frequency: f64, mean_amount: f64) -> Option<f64> {
    let below = p * frequency + q - 1.0;
    let total = if frequency > 0.0 { scale + frequency * mean_amount } else { scale };
    (below > 0.0).then(|| p * total / below)
}

#[cfg(test)]
mod tests;

//! The BG/BB model: orders in periods of which each is an opportunity, such as a yearly donation.
//!
//! A customer orders in a period with a probability p of his own, beta distributed (alpha, beta), until he leaves; before each
//! period he leaves with a probability of his own, beta distributed (gamma, delta). All terms of the likelihood, and of the
//! expected orders, are positive. Source: P. S. Fader, B. G. S. Hardie and J. Shang, Marketing Science 29 (2010) 1086-1108.

use statrs::function::gamma::{digamma, ln_gamma};

use super::orders::{Histories, History};

/// Most periods of a customer.
pub(crate) const MAX_PERIODS: f64 = 1e4;

/// Most terms of the likelihood of all customers.
pub(crate) const MAX_TERMS: f64 = 1e7;

/// Whether a history is one of periods: integers, with no more orders than periods up to the last order.
pub(crate) fn is_of_periods(History { frequency, recency, age }: History) -> bool {
    recency.fract() == 0.0 && age.fract() == 0.0 && frequency <= recency && age <= MAX_PERIODS
}

/// How many terms the likelihood of the customers has.
pub(crate) fn term_count(rows: &Histories) -> f64 {
    rows.rows.iter().map(|(history, _)| history.age - history.recency + 1.0).sum()
}

/// ln B(a, b)
fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// Calls `each` with the logarithm of each way in which a customer with this history may have left, and the index of the
/// period before which he did; the last one is that he has not.
fn each_way([alpha, beta, gamma, delta]: [f64; 4], history: History, mut each: impl FnMut(f64, f64, bool)) {
    let History { frequency: x, recency, age } = history;
    let constant = ln_beta(alpha, beta) + ln_beta(gamma, delta);
    let mut period = recency;
    while period < age {
        each(ln_beta(alpha + x, beta + period - x) + ln_beta(gamma + 1.0, delta + period) - constant, period, false);
        period += 1.0;
    }
    each(ln_beta(alpha + x, beta + age - x) + ln_beta(gamma, delta + age) - constant, age, true);
}

/// The largest of the logarithms, and the sum of their exponentials over that of the largest.
fn total(parameters: [f64; 4], history: History) -> (f64, f64) {
    let (mut largest, mut sum) = (f64::NEG_INFINITY, 0.0);
    each_way(parameters, history, |log, _, _| {
        if log > largest {
            sum = sum * (largest - log).exp() + 1.0;
            largest = log;
        } else {
            sum += (log - largest).exp();
        }
    });
    (largest, sum)
}

/// Adds the log likelihood of all rows and its derivatives.
pub(super) fn beta_binomial(rows: &Histories, parameters: [f64; 4], sums: &mut [f64; 5]) {
    let [alpha, beta, gamma, delta] = parameters;
    let (of_orders, of_leaving) = (digamma(alpha + beta), digamma(gamma + delta));
    let constants = [
        digamma(alpha) - of_orders,
        digamma(beta) - of_orders,
        digamma(gamma) - of_leaving,
        digamma(delta) - of_leaving,
    ];
    for (history, count) in &rows.rows {
        let x = history.frequency;
        let (largest, sum) = total(parameters, *history);
        let mut slopes = [0.0; 4];
        each_way(parameters, *history, |log, period, is_alive| {
            let share = (log - largest).exp() / sum;
            let left = if is_alive { 0.0 } else { 1.0 };
            let (orders, leaving) = (digamma(alpha + beta + period), digamma(gamma + delta + period + left));
            slopes[0] += share * (digamma(alpha + x) - orders);
            slopes[1] += share * (digamma(beta + period - x) - orders);
            slopes[2] += share * (digamma(gamma + left) - leaving);
            slopes[3] += share * (digamma(delta + period) - leaving);
        });
        sums[0] += count * (largest + sum.ln());
        for ((sum, slope), constant) in sums.iter_mut().skip(1).zip(slopes).zip(constants) {
            *sum += count * (slope - constant);
        }
    }
}

/// The probability that a customer is still there before the next period after `later` further ones.
pub(super) fn p_alive(parameters: [f64; 4], history: History, later: f64) -> f64 {
    let [alpha, beta, gamma, delta] = parameters;
    let (largest, sum) = total(parameters, history);
    let alive = ln_beta(alpha + history.frequency, beta + history.age - history.frequency) - ln_beta(alpha, beta)
        + ln_beta(gamma, delta + history.age + later)
        - ln_beta(gamma, delta);
    (alive - largest).exp() / sum
}

/// The expected number of orders in the next `horizon` periods, an integer.
pub(super) fn expected_orders(parameters: [f64; 4], history: History, horizon: f64) -> f64 {
    let [alpha, beta, gamma, delta] = parameters;
    // of one who is there: (alpha + x) / (alpha + beta + n) in each period
    let share = (alpha + history.frequency) / (alpha + beta + history.age);
    // B(gamma, delta + n + k + 1) / B(gamma, delta + n + k) = (delta + n + k) / (gamma + delta + n + k)
    let mut alive = p_alive(parameters, history, 0.0);
    let mut sum = 0.0;
    for period in 0..horizon as u32 {
        let since = history.age + f64::from(period);
        alive *= (delta + since) / (gamma + delta + since);
        sum += alive;
    }
    share * sum
}

#[cfg(test)]
mod tests;

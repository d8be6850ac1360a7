//! Models of how often customers order and whether they still do: BG/NBD, MBG/NBD and Pareto/NBD (and BG/BB, see [`periods`]).
//!
//! A customer orders at a rate of his own, which varies as a gamma distribution (shape r, rate alpha), until he leaves: with a
//! probability p after each order, beta distributed (a, b), in BG/NBD and MBG/NBD; at a rate of his own, gamma distributed
//! (s, beta), in Pareto/NBD. In MBG/NBD he may also leave after the first order.
//!
//! Everything is computed from logarithms. The likelihood of Pareto/NBD is the integral over the time of leaving, whose terms
//! are all positive, and expected orders are the mean over p: no hypergeometric function, no difference of large numbers.
//!
//! Source: P. S. Fader, B. G. S. Hardie and K. L. Lee, Marketing Science 24 (2005) 275-284 (BG/NBD); E. P. Batislam, M. Denizel
//! and A. Filiztekin, International Journal of Research in Marketing 24 (2007) 201-209 (MBG/NBD); D. C. Schmittlein, D. G.
//! Morrison and R. Colombo, Management Science 33 (1987) 1-24 (Pareto/NBD).

use std::sync::LazyLock;

use statrs::function::gamma::{digamma, ln_gamma};

use super::periods;

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OrderModel {
    /// BG/NBD
    BetaGeometric,
    /// MBG/NBD
    ModifiedBetaGeometric,
    /// Pareto/NBD
    Pareto,
    /// BG/BB
    BetaBinomial,
}

impl OrderModel {
    /// The names of its four parameters.
    pub(crate) fn parameters(self) -> [&'static str; 4] {
        match self {
            OrderModel::BetaGeometric | OrderModel::ModifiedBetaGeometric => ["r", "alpha", "a", "b"],
            OrderModel::Pareto => ["r", "alpha", "s", "beta"],
            OrderModel::BetaBinomial => ["alpha", "beta", "gamma", "delta"],
        }
    }
}

/// The orders of a customer: repeat orders, the time from the first to the last order, and from the first order until now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct History {
    pub(crate) frequency: f64,
    pub(crate) recency: f64,
    pub(crate) age: f64,
}

impl History {
    /// `None` for what no customer can have: a frequency that is no count, a recency after the age, a recency without repeat
    /// orders.
    pub(crate) fn checked(frequency: f64, recency: f64, age: f64) -> Option<Self> {
        let is_count = (0.0..=1e12).contains(&frequency) && frequency.fract() == 0.0;
        let is_ordered = 0.0 <= recency && recency <= age && age <= 1e12;
        (is_count && is_ordered && (frequency > 0.0 || recency == 0.0)).then_some(Self { frequency, recency, age })
    }
}

/// Distinct histories with counts, sorted, for the likelihood.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histories {
    pub(crate) rows: Vec<(History, f64)>,
}

/// ln(exp(one) + exp(other)), and the share of the first.
fn log_sum(one: f64, other: f64) -> (f64, f64) {
    let difference = other - one;
    if difference > 0.0 {
        let ratio = (-difference).exp();
        (other + ratio.ln_1p(), ratio / (1.0 + ratio))
    } else {
        let ratio = difference.exp();
        (one + ratio.ln_1p(), 1.0 / (1.0 + ratio))
    }
}

/// Minus the log likelihood of all rows at the logarithms of the parameters, and its gradient.
pub(crate) fn minus_log_likelihood(model: OrderModel, rows: &Histories, logs: &[f64], gradient: &mut [f64]) -> f64 {
    let parameters: [f64; 4] = std::array::from_fn(|index| logs.get(index).map_or(f64::NAN, |log| log.exp()));
    let mut sums = [0.0; 5];
    match model {
        OrderModel::BetaGeometric => beta_geometric(rows, parameters, 0.0, &mut sums),
        OrderModel::ModifiedBetaGeometric => beta_geometric(rows, parameters, 1.0, &mut sums),
        OrderModel::Pareto => pareto(rows, parameters, &mut sums),
        OrderModel::BetaBinomial => periods::beta_binomial(rows, parameters, &mut sums),
    }
    let [value, derivatives @ ..] = sums;
    for ((slot, derivative), parameter) in gradient.iter_mut().zip(derivatives).zip(parameters) {
        *slot = -derivative * parameter;
    }
    if value.is_finite() { -value } else { f64::INFINITY }
}

/// Adds the log likelihood and its derivatives. `extra` is 1 where a customer may leave after the first order.
fn beta_geometric(rows: &Histories, [r, alpha, a, b]: [f64; 4], extra: f64, sums: &mut [f64; 5]) {
    let constant = r * alpha.ln() - ln_gamma(r) + ln_gamma(a + b) - ln_gamma(b);
    let slopes = [alpha.ln() - digamma(r), r / alpha, digamma(a + b), digamma(a + b) - digamma(b)];
    let log_a = a.ln();
    // what depends on the frequency alone: rows are sorted by it
    for same in rows.rows.chunk_by(|one, other| one.0.frequency == other.0.frequency) {
        let Some((History { frequency: x, .. }, _)) = same.first().copied() else { continue };
        let times = x + extra;
        let of_x = constant + ln_gamma(r + x) + ln_gamma(b + times) - ln_gamma(a + b + times);
        let slopes_of_x = [
            slopes[0] + digamma(r + x),
            slopes[1],
            slopes[2] - digamma(a + b + times),
            slopes[3] + digamma(b + times) - digamma(a + b + times),
        ];
        let can_leave = times > 0.0;
        let log_leaving = log_a - (b + times - 1.0).ln();
        for (History { recency, age, .. }, count) in same {
            let (until_now, until_last) = (alpha + age, alpha + recency);
            let log_now = until_now.ln();
            let alive = -(r + x) * log_now;
            let (log, share, log_last) = if can_leave {
                let log_last = until_last.ln();
                let (log, share) = log_sum(alive, log_leaving - (r + x) * log_last);
                (log, share, log_last)
            } else {
                (alive, 1.0, log_now)
            };
            let left = 1.0 - share;
            sums[0] += count * (of_x + log);
            sums[1] += count * (slopes_of_x[0] - share * log_now - left * log_last);
            sums[2] += count * (slopes_of_x[1] - (r + x) * (share / until_now + left / until_last));
            sums[3] += count * (slopes_of_x[2] + left / a);
            sums[4] += count * (slopes_of_x[3] - if can_leave { left / (b + times - 1.0) } else { 0.0 });
        }
    }
}

/// Adds the log likelihood and its derivatives.
fn pareto(rows: &Histories, parameters: [f64; 4], sums: &mut [f64; 5]) {
    let [r, alpha, s, beta] = parameters;
    let constant = r * alpha.ln() - ln_gamma(r) + s * beta.ln();
    let slopes = [alpha.ln() - digamma(r), r / alpha, beta.ln(), s / beta];
    for same in rows.rows.chunk_by(|one, other| one.0.frequency == other.0.frequency) {
        let Some((History { frequency: x, .. }, _)) = same.first().copied() else { continue };
        let (of_x, slope_of_x) = (constant + ln_gamma(r + x), slopes[0] + digamma(r + x));
        for (history, count) in same {
            let alive = log_alive(parameters, *history);
            let left = leaving(parameters, *history);
            let (log, share) = log_sum(alive, left.log);
            let other = 1.0 - share;
            let (now, beta_now) = (alpha + history.age, beta + history.age);
            sums[0] += count * (of_x + log);
            sums[1] += count * (slope_of_x - share * now.ln() + other * left.slopes[0]);
            sums[2] += count * (slopes[1] - share * (r + x) / now + other * left.slopes[1]);
            sums[3] += count * (slopes[2] - share * beta_now.ln() + other * left.slopes[2]);
            sums[4] += count * (slopes[3] - share * s / beta_now + other * left.slopes[3]);
        }
    }
}

/// ln of (alpha + T)^-(r + x) (beta + T)^-s: a customer of Pareto/NBD who has not left.
fn log_alive([r, alpha, s, beta]: [f64; 4], History { frequency, age, .. }: History) -> f64 {
    -(r + frequency) * (alpha + age).ln() - s * (beta + age).ln()
}

/// ln of the integral over the time u of leaving, from the last order until now, of
/// s (alpha + u)^-(r + x) (beta + u)^-(s + 1), and the derivatives of the logarithm.
struct Leaving {
    log: f64,
    slopes: [f64; 4],
}

/// Nodes and weights of Gauss and Legendre on [-1, 1].
static LEGENDRE: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| legendre(14));

fn legendre(size: u32) -> Vec<(f64, f64)> {
    let n = f64::from(size);
    let node = |index: u32| {
        let mut x = (std::f64::consts::PI * (f64::from(index) + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut before, mut now) = (1.0, x);
            for degree in 2..=size {
                let degree = f64::from(degree);
                (before, now) = (now, ((2.0 * degree - 1.0) * x * now - (degree - 1.0) * before) / degree);
            }
            slope = n * (x * now - before) / (x * x - 1.0);
            let step = now / slope;
            x -= step;
            if step.abs() < 1e-16 {
                break;
            }
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..size).map(node).collect()
}

fn leaving([r, alpha, s, beta]: [f64; 4], History { frequency: x, recency, age }: History) -> Leaving {
    // On v = ln((smaller + u) / (smaller + recency)) the integrand is nearly exponential, with another rate before and after
    // u is as large as the larger of alpha and beta: two panels, each on a scale w = 1 - exp(-rate v).
    let (smaller, larger) = (alpha.min(beta), alpha.max(beta));
    let (start, apart) = (smaller + recency, larger - smaller);
    let length = ((age - recency) / start).ln_1p();
    let log_start = start.ln();
    let bend = (larger / start).ln();
    let middle = if bend > 0.7 { bend.min(length) } else { 0.0 };
    // scaled by the value at the start, so that neither overflow nor underflow matters
    let at_start = -(r + x) * (alpha + recency).ln() - (s + 1.0) * (beta + recency).ln() + log_start;
    let mut sums = [0.0; 5];
    for (from, to) in [(0.0, middle), (middle, length)] {
        if to <= from {
            continue;
        }
        let by_smaller = start * f64::exp(from);
        let ratio = by_smaller / (by_smaller + apart);
        let (of_alpha, of_beta) = if alpha <= beta { (1.0, ratio) } else { (ratio, 1.0) };
        // a fourth of the rate at the start: on the scale w the integrand is about (1 - w)^3, which the nodes see exactly
        let rate = ((r + x) * of_alpha + (s + 1.0) * of_beta - 1.0) / 4.0;
        let is_flat = (rate * (to - from)).abs() < 1e-3;
        let most = if is_flat { to - from } else { -(-rate * (to - from)).exp_m1() / rate };
        for (node, weight) in LEGENDRE.iter() {
            let w = most * (1.0 + node) / 2.0;
            let (since, slope) = if is_flat { (w, 0.0) } else { (-(-rate * w).ln_1p() / rate, rate) };
            let v = from + since;
            let by_smaller = start * v.exp();
            let by_larger = apart + by_smaller;
            let (log_smaller, log_larger) = (log_start + v, by_larger.ln());
            let (by_alpha, log_alpha, by_beta, log_beta) = if alpha <= beta {
                (by_smaller, log_smaller, by_larger, log_larger)
            } else {
                (by_larger, log_larger, by_smaller, log_smaller)
            };
            let log = -(r + x) * log_alpha - (s + 1.0) * log_beta + log_smaller + slope * since;
            let value = most * weight * (log - at_start).exp();
            sums[0] += value;
            sums[1] -= value * log_alpha;
            sums[2] -= value * (r + x) / by_alpha;
            sums[3] += value * (1.0 / s - log_beta);
            sums[4] -= value * (s + 1.0) / by_beta;
        }
    }
    let [total, slopes @ ..] = sums;
    if total > 0.0 && total.is_finite() {
        Leaving { log: (s * total / 2.0).ln() + at_start, slopes: slopes.map(|slope| slope / total) }
    } else {
        Leaving { log: f64::NEG_INFINITY, slopes: [0.0; 4] }
    }
}

/// The probability that a customer has not left.
pub(crate) fn p_alive(model: OrderModel, parameters: [f64; 4], history: History) -> f64 {
    let [r, alpha, a, b] = parameters;
    let History { frequency: x, recency, age } = history;
    // ln of the odds of having left
    let log_odds = match model {
        OrderModel::BetaGeometric if x == 0.0 => return 1.0,
        OrderModel::BetaGeometric => {
            a.ln() - (b + x - 1.0).ln() + (r + x) * ((age - recency) / (alpha + recency)).ln_1p()
        }
        OrderModel::ModifiedBetaGeometric => {
            a.ln() - (b + x).ln() + (r + x) * ((age - recency) / (alpha + recency)).ln_1p()
        }
        OrderModel::Pareto => leaving(parameters, history).log - log_alive(parameters, history),
        OrderModel::BetaBinomial => return periods::p_alive(parameters, history, 1.0),
    };
    if log_odds > 0.0 {
        let inverse = (-log_odds).exp();
        inverse / (1.0 + inverse)
    } else {
        1.0 / (1.0 + log_odds.exp())
    }
}

/// The expected number of orders within `horizon` from now on.
pub(crate) fn expected_orders(model: OrderModel, parameters: [f64; 4], history: History, horizon: f64) -> f64 {
    Outlook::new(model, parameters, history).orders_until(horizon)
}

/// What is expected of one customer, for any number of horizons.
#[derive(Debug)]
pub(crate) struct Outlook {
    parameters: [f64; 4],
    history: History,
    alive: f64,
    future: Future,
}

/// How a customer who has not left goes on.
#[derive(Debug)]
enum Future {
    /// He leaves with a probability after each order: its values with their weights.
    AfterOrders(Vec<(f64, f64)>),
    /// He leaves at a rate.
    InTime,
    /// He leaves before a period.
    BeforePeriods,
}

impl Outlook {
    pub(crate) fn new(model: OrderModel, parameters: [f64; 4], history: History) -> Self {
        let [_, _, third, fourth] = parameters;
        let x = history.frequency;
        let future = match model {
            OrderModel::BetaGeometric => Future::AfterOrders(beta_nodes(third, fourth + x)),
            OrderModel::ModifiedBetaGeometric => Future::AfterOrders(beta_nodes(third, fourth + x + 1.0)),
            OrderModel::Pareto => Future::InTime,
            OrderModel::BetaBinomial => Future::BeforePeriods,
        };
        Self { parameters, history, alive: p_alive(model, parameters, history), future }
    }

    /// The expected number of orders within `horizon`.
    pub(crate) fn orders_until(&self, horizon: f64) -> f64 {
        let [r, alpha, third, fourth] = self.parameters;
        let History { frequency: x, age, .. } = self.history;
        match &self.future {
            Future::AfterOrders(nodes) => self.alive * of_alive(nodes, r + x, horizon / (alpha + age)),
            Future::InTime => {
                // (1 - ((beta + T) / (beta + T + t))^(s - 1)) / (s - 1), which is a logarithm for s = 1
                let (log, power) = ((horizon / (fourth + age)).ln_1p(), third - 1.0);
                let span = if power.abs() * log < 1e-8 { log } else { -(-power * log).exp_m1() / power };
                self.alive * ((r + x) * (fourth + age) / (alpha + age) * span)
            }
            Future::BeforePeriods => periods::expected_orders(self.parameters, self.history, horizon),
        }
    }
}

/// The mean of (1 - (1 + p t)^-shape) / p over p: the orders of one who has not left.
fn of_alive(nodes: &[(f64, f64)], shape: f64, t: f64) -> f64 {
    let value = |p: f64| {
        if p * t * shape < 1e-12 { shape * t } else { -(-shape * (p * t).ln_1p()).exp_m1() / p }
    };
    nodes.iter().map(|(p, weight)| weight * value(*p)).sum()
}

/// Values of p, beta distributed with (a, b), with weights that add up to 1.
///
/// In y = ln(p / (1 - p)) the density p^a (1 - p)^b is a bell with exponential tails; the trapezoid rule over y = mode + width
/// sinh(x) converges exponentially.
fn beta_nodes(a: f64, b: f64) -> Vec<(f64, f64)> {
    let mode = (a / b).ln();
    let width = (1.0 / a + 1.0 / b).sqrt();
    // poles of the integrand are at an imaginary part of pi in y
    let step = 0.1 * (std::f64::consts::PI / width).min(1.0).asin();
    let log_density = |y: f64| {
        // ln p and ln (1 - p)
        let (log_p, log_q) = if y > 0.0 {
            let tail = (-y).exp().ln_1p();
            (-tail, -y - tail)
        } else {
            let tail = y.exp().ln_1p();
            (y - tail, -tail)
        };
        (a * log_p + b * log_q, log_p)
    };
    let (at_mode, _) = log_density(mode);
    let (mut nodes, mut total) = (vec![], 0.0);
    let mut add = |x: f64| {
        let (log, log_p) = log_density(mode + width * x.sinh());
        let density = (log - at_mode).exp() * x.cosh();
        total += density;
        nodes.push((log_p.exp(), density));
        density > 1e-18 * total
    };
    add(0.0);
    for sign in [1.0, -1.0] {
        for index in 1..2_000_u32 {
            if !add(sign * f64::from(index) * step) {
                break;
            }
        }
    }
    nodes.iter_mut().for_each(|(_, weight)| *weight /= total);
    nodes
}

#[cfg(test)]
mod tests;

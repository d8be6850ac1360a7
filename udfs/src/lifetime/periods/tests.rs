use super::super::orders::{OrderModel, minus_log_likelihood};
use super::*;

const PARAMETERS: [f64; 4] = [1.2, 0.75, 0.66, 2.8];

fn history(frequency: f64, recency: f64, age: f64) -> History {
    History::checked(frequency, recency, age).unwrap()
}

fn near(got: f64, wanted: f64, tolerance: f64) {
    assert!((got - wanted).abs() <= tolerance * wanted.abs(), "{got}, wanted {wanted}");
}

#[test]
fn one_period_by_hand() {
    // An order: alpha / (alpha + beta) of those who did not leave before, delta / (gamma + delta).
    let rows = |frequency: f64, recency: f64| Histories { rows: vec![(history(frequency, recency, 1.0), 1.0)] };
    let logs = PARAMETERS.map(f64::ln);
    let mut gradient = [0.0; 4];
    let order = 1.2 / 1.95 * 2.8 / 3.46;
    let value = minus_log_likelihood(OrderModel::BetaBinomial, &rows(1.0, 1.0), &logs, &mut gradient);
    near((-value).exp(), order, 1e-12);
    let value = minus_log_likelihood(OrderModel::BetaBinomial, &rows(0.0, 0.0), &logs, &mut gradient);
    near((-value).exp(), 1.0 - order, 1e-12);
}

#[test]
fn donors_as_by_lifetimes() {
    // lifetimes 0.11.3 (udfs/tests/expected/lifetime_reference.py, `periods`)
    let expected = [(0.93023255814, 3.75002139362), (0.589145252508, 1.05555793263), (0.108549237641, 0.0729319351116)];
    for ((frequency, recency), (alive, orders)) in [(6.0, 6.0), (2.0, 4.0), (0.0, 0.0)].into_iter().zip(expected) {
        let history = history(frequency, recency, 6.0);
        near(p_alive(PARAMETERS, history, 1.0), alive, 1e-9);
        near(expected_orders(PARAMETERS, history, 5.0), orders, 1e-9);
    }
}

#[test]
fn the_gradient_is_the_derivative() {
    let rows = Histories {
        rows: vec![(history(2.0, 4.0, 6.0), 3.0), (history(0.0, 0.0, 6.0), 5.0), (history(6.0, 6.0, 6.0), 2.0)],
    };
    let logs = PARAMETERS.map(f64::ln);
    let (mut gradient, mut unused) = ([0.0; 4], [0.0; 4]);
    minus_log_likelihood(OrderModel::BetaBinomial, &rows, &logs, &mut gradient);
    for (index, slope) in gradient.iter().enumerate() {
        let mut shifted = |step: f64| {
            let mut at = logs;
            at[index] += step;
            minus_log_likelihood(OrderModel::BetaBinomial, &rows, &at, &mut unused)
        };
        let difference = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
        assert!((slope - difference).abs() < 1e-6 * slope.abs().max(1.0), "{index}: {slope} {difference}");
    }
}

#[test]
fn what_is_no_history_of_periods() {
    assert!(is_of_periods(history(2.0, 4.0, 6.0)));
    for (frequency, recency, age) in [(2.0, 4.5, 6.0), (2.0, 4.0, 6.5), (5.0, 4.0, 6.0), (1.0, 1.0, 20_000.0)] {
        assert!(!is_of_periods(history(frequency, recency, age)));
    }
}

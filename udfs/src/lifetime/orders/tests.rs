use super::*;

const HISTORIES: [(History, f64); 3] = [
    (History { frequency: 2.0, recency: 30.0, age: 39.0 }, 26.0),
    (History { frequency: 0.0, recency: 0.0, age: 39.0 }, 26.0),
    (History { frequency: 10.0, recency: 20.0, age: 39.0 }, 100.0),
];

/// The probability to be alive and the expected orders of each history.
type Figures = [(f64, f64); 3];

/// lifetimes 0.11.3 (udfs/tests/expected/lifetime_reference.py, `orders`): probabilities to be alive and expected orders.
const EXPECTED: [(OrderModel, [f64; 4], Figures); 3] = [
    (OrderModel::BetaGeometric, [0.25, 4.0, 0.8, 2.5], BG),
    (OrderModel::ModifiedBetaGeometric, [0.25, 4.0, 0.8, 2.5], MBG),
    (OrderModel::Pareto, [0.5, 10.0, 0.6, 12.0], PARETO),
];

const BG: Figures = [(0.720615641175, 0.862461283134), (1.0, 0.139418621659), (0.0351699876287, 0.51878756471)];
const MBG: Figures =
    [(0.768316914161, 0.936729610858), (0.633139206019, 0.0898347843791), (0.0381116919673, 0.575561731737)];
const PARETO: Figures =
    [(0.860830125903, 1.00318928), (0.311403980418, 0.072580437302), (0.0792386726572, 1.17706209198)];

fn is_near(got: f64, wanted: f64, tolerance: f64) -> bool {
    (got - wanted).abs() <= tolerance * wanted.abs()
}

#[test]
fn expectations_as_by_hypergeometric_functions() {
    for (model, parameters, expected) in EXPECTED {
        for ((history, horizon), (alive, orders)) in HISTORIES.into_iter().zip(expected) {
            let got = (p_alive(model, parameters, history), expected_orders(model, parameters, history, horizon));
            assert!(is_near(got.0, alive, 1e-8) && is_near(got.1, orders, 1e-8), "{model:?} {history:?}: {got:?}");
        }
    }
}

#[test]
fn expected_orders_do_not_jump_where_the_closed_form_divides_by_zero() {
    // the closed forms have a - 1 and s - 1 below: values around 1 lie on a line
    for (model, third) in [(OrderModel::BetaGeometric, 1.0), (OrderModel::Pareto, 1.0)] {
        let at = |third: f64| expected_orders(model, [0.25, 4.0, third, 2.5], HISTORIES[0].0, 26.0);
        let (below, middle, above) = (at(third - 1e-6), at(third), at(third + 1e-6));
        assert!(is_near((below + above) / 2.0, middle, 1e-9), "{model:?}: {below} {middle} {above}");
    }
}

#[test]
fn gradients_are_the_derivatives() {
    let rows = Histories { rows: HISTORIES.map(|(history, _)| (history, 2.0)).to_vec() };
    for (model, parameters, _) in EXPECTED {
        let logs = parameters.map(f64::ln);
        let (mut gradient, mut unused) = ([0.0; 4], [0.0; 4]);
        minus_log_likelihood(model, &rows, &logs, &mut gradient);
        for (index, slope) in gradient.iter().enumerate() {
            let mut shifted = |step: f64| {
                let mut at = logs;
                at[index] += step;
                minus_log_likelihood(model, &rows, &at, &mut unused)
            };
            let difference = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!(
                (slope - difference).abs() < 1e-6 * slope.abs().max(1.0),
                "{model:?} {index}: {slope} {difference}"
            );
        }
    }
}

#[test]
fn extreme_customers_have_finite_figures() {
    let parameters = [
        [1e-5; 4],
        [1e5; 4],
        [0.25, 4.0, 0.01, 0.01],
        [0.5, 10.0, 1e6, 1e6],
        [0.5, 10.0, 1e-6, 1e6],
        [10.0, 1e-3, 1e6, 1e-6],
    ];
    let histories =
        [(0.0, 0.0, 0.0), (0.0, 0.0, 1e6), (1.0, 0.0, 0.0), (5.0, 3.0, 3e8), (1e6, 1e6, 1e6), (1e12, 1e12, 1e12)];
    for (model, _, _) in EXPECTED {
        for parameters in parameters {
            for (frequency, recency, age) in histories {
                let history = History::checked(frequency, recency, age).unwrap();
                let (alive, orders) =
                    (p_alive(model, parameters, history), expected_orders(model, parameters, history, 50.0));
                assert!((0.0..=1.0).contains(&alive), "{model:?} {parameters:?} {history:?}: {alive}");
                assert!(orders >= 0.0 && orders.is_finite(), "{model:?} {parameters:?} {history:?}: {orders}");
            }
        }
    }
}

#[test]
fn what_no_customer_can_have_is_refused() {
    for (frequency, recency, age) in
        [(-1.0, 0.0, 5.0), (1.5, 1.0, 5.0), (1.0, 6.0, 5.0), (0.0, 1.0, 5.0), (1.0, -1.0, 5.0), (f64::NAN, 0.0, 5.0)]
    {
        assert_eq!(History::checked(frequency, recency, age), None);
    }
}

use std::path::Path;

use super::super::orders::History;
use super::*;

/// The customers of CDNOW, `ID,x,t_x,T,zbar`; `None` where the data are not there.
fn cdnow() -> Option<Vec<[f64; 5]>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/statistics/btyd/cdnow_customers_summary_with_transactions.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    let rows = text.lines().skip(1).filter(|line| !line.trim().is_empty()).map(|line| {
        let mut numbers = line.split(',').map(|number| number.trim().parse::<f64>().unwrap());
        std::array::from_fn(|_| numbers.next().unwrap())
    });
    Some(rows.collect())
}

fn histories(rows: &[[f64; 5]]) -> Histories {
    let mut rows: Vec<_> =
        rows.iter().map(|[_, x, t_x, age, _]| (History::checked(*x, *t_x, *age).unwrap(), 1.0)).collect();
    rows.sort_by(|(one, _), (other, _)| one.frequency.total_cmp(&other.frequency));
    Histories { rows }
}

fn assert_near(got: &[f64], wanted: &[f64], tolerance: f64) {
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() <= tolerance * wanted.abs(), "{got}, wanted {wanted}");
    }
}

#[test]
fn orders_of_cdnow_as_published() {
    let Some(rows) = cdnow() else { return };
    let rows = histories(&rows);
    // Fader, Hardie and Lee 2005: .2426, 4.4136, .7929, 2.4259, -9582.4; lifetimes 0.11.3 has the digits and the errors
    let fit = fit_orders(OrderModel::BetaGeometric, &rows).unwrap();
    assert!(fit.is_converged);
    assert_near(&fit.parameters, &[0.2425945, 4.4136019, 0.7929199, 2.4258881], 1e-4);
    assert_near(&[fit.log_likelihood], &[-9582.429], 1e-6);
    let errors: Vec<f64> = fit
        .parameters
        .iter()
        .zip(fit.log_covariance.iter().step_by(5))
        .map(|(value, square)| value * square.sqrt())
        .collect();
    // six decimals
    assert_near(&errors, &[0.012557, 0.378221, 0.185719, 0.705345], 5e-5);
    let fit = fit_orders(OrderModel::ModifiedBetaGeometric, &rows).unwrap();
    assert!(fit.is_converged);
    assert_near(&fit.parameters, &[0.524838, 6.182988, 0.891356, 1.614000], 1e-5);
    // R's BTYD: .5534, 10.578, .6061, 11.669, -9594.976
    let fit = fit_orders(OrderModel::Pareto, &rows).unwrap();
    assert!(fit.is_converged);
    assert_near(&fit.parameters, &[0.5533, 10.578, 0.6062, 11.668], 2e-4);
    assert_near(&[fit.log_likelihood], &[-9594.976], 1e-6);
}

#[test]
fn donations_as_published() {
    // Fader, Hardie and Shang 2010: 1.204, .750, .657, 2.783, -33225.6; the digits are lifetimes 0.11.3's
    let donors = [
        (0.0, 0.0, 3_464.0),
        (1.0, 1.0, 1_091.0),
        (1.0, 2.0, 277.0),
        (1.0, 3.0, 129.0),
        (1.0, 4.0, 78.0),
        (1.0, 5.0, 119.0),
        (1.0, 6.0, 129.0),
        (2.0, 2.0, 613.0),
        (2.0, 3.0, 255.0),
        (2.0, 4.0, 155.0),
        (2.0, 5.0, 173.0),
        (2.0, 6.0, 234.0),
        (3.0, 3.0, 322.0),
        (3.0, 4.0, 181.0),
        (3.0, 5.0, 225.0),
        (3.0, 6.0, 357.0),
        (4.0, 4.0, 240.0),
        (4.0, 5.0, 284.0),
        (4.0, 6.0, 512.0),
        (5.0, 5.0, 335.0),
        (5.0, 6.0, 728.0),
        (6.0, 6.0, 1_203.0),
    ];
    let rows = donors.map(|(x, t_x, count)| (History::checked(x, t_x, 6.0).unwrap(), count)).to_vec();
    let fit = fit_orders(OrderModel::BetaBinomial, &Histories { rows }).unwrap();
    assert!(fit.is_converged);
    assert_near(&fit.parameters, &[1.20352239361, 0.749716358176, 0.65671816955, 2.78344198289], 1e-6);
    assert_near(&[fit.log_likelihood], &[-33225.5812743], 1e-9);
}

#[test]
fn amounts_of_cdnow_as_published() {
    let Some(rows) = cdnow() else { return };
    let mut rows: Vec<Spend> = rows
        .iter()
        .filter(|row| row[1] > 0.0)
        .map(|[_, frequency, _, _, mean_amount]| Spend { frequency: *frequency, mean_amount: *mean_amount, count: 1.0 })
        .collect();
    rows.sort_by(|one, other| one.frequency.total_cmp(&other.frequency));
    // Fader and Hardie 2013: 6.25, 3.74, 15.44, -4055.9
    let fit = fit_spend(&rows).unwrap();
    assert!(fit.is_converged);
    assert_near(&fit.parameters, &[6.25, 3.74, 15.44], 2e-3);
    assert_near(&[fit.log_likelihood], &[-4055.92], 1e-5);
}

#[test]
fn customers_who_do_not_differ_have_no_finite_estimate() {
    let rows = Histories { rows: vec![(History { frequency: 3.0, recency: 5.0, age: 10.0 }, 1_000.0)] };
    for model in [OrderModel::BetaGeometric, OrderModel::ModifiedBetaGeometric, OrderModel::Pareto] {
        let fit = fit_orders(model, &rows).unwrap();
        assert!(!fit.is_converged && !fit.runaway.is_empty() && fit.log_covariance.is_empty(), "{fit:?}");
    }
    let nobody = Histories { rows: vec![(History { frequency: 0.0, recency: 0.0, age: 10.0 }, 5.0)] };
    assert_eq!(fit_orders(OrderModel::BetaGeometric, &nobody), None);
}

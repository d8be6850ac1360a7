use super::*;

fn data(rows: &[(f64, bool, &[f64])]) -> WeibullData {
    WeibullData {
        times: rows.iter().map(|row| row.0).collect(),
        is_event: rows.iter().map(|row| row.1).collect(),
        counts: vec![1.0; rows.len()],
        features: rows.iter().flat_map(|row| row.2.iter().copied()).collect(),
        width: rows.first().map_or(0, |row| row.2.len()),
    }
}

fn near(got: f64, wanted: f64, tolerance: f64) {
    assert!((got - wanted).abs() < tolerance, "{got}, wanted {wanted}");
}

#[test]
fn ovarian_as_in_r() {
    // R, example(survreg): survreg(Surv(futime, fustat) ~ ecog.ps + rx, ovarian): 6.897, -0.385, 0.529, scale 0.884, -97.1;
    // the digits and errors of lifelines 0.30.3
    let rows: [(f64, bool, &[f64]); 26] = [
        (59.0, true, &[1.0, 1.0]),
        (115.0, true, &[1.0, 1.0]),
        (156.0, true, &[2.0, 1.0]),
        (421.0, false, &[1.0, 2.0]),
        (431.0, true, &[1.0, 1.0]),
        (448.0, false, &[2.0, 1.0]),
        (464.0, true, &[2.0, 2.0]),
        (475.0, true, &[2.0, 2.0]),
        (477.0, false, &[1.0, 1.0]),
        (563.0, true, &[2.0, 2.0]),
        (638.0, true, &[2.0, 1.0]),
        (744.0, false, &[1.0, 2.0]),
        (769.0, false, &[2.0, 2.0]),
        (770.0, false, &[1.0, 2.0]),
        (803.0, false, &[1.0, 1.0]),
        (855.0, false, &[2.0, 1.0]),
        (1040.0, false, &[2.0, 1.0]),
        (1106.0, false, &[1.0, 1.0]),
        (1129.0, false, &[1.0, 2.0]),
        (1206.0, false, &[1.0, 2.0]),
        (1227.0, false, &[2.0, 2.0]),
        (268.0, true, &[2.0, 1.0]),
        (329.0, true, &[1.0, 1.0]),
        (353.0, true, &[2.0, 2.0]),
        (365.0, true, &[1.0, 2.0]),
        (377.0, false, &[1.0, 2.0]),
    ];
    let fitted = fit(&data(&rows)).unwrap();
    for (got, wanted) in fitted.estimates.iter().zip([6.8967, -0.385043, 0.528643]) {
        near(got.unwrap(), wanted, 1e-5);
    }
    near(fitted.log_scale.exp(), 0.884, 5e-4);
    near(fitted.log_likelihood, -97.08449316844917, 1e-8);
    for (index, wanted) in [1.177551, 0.527003, 0.529203, 0.252214].into_iter().enumerate() {
        near(fitted.covariance[index * 5].sqrt(), wanted, 2e-5);
    }
    assert!(fitted.is_converged);
}

#[test]
fn the_unit_of_time_shifts_the_intercept() {
    let rows: Vec<(f64, bool, &[f64])> =
        (1..40).map(|day| (f64::from(day * day % 31 + 1), day % 3 > 0, &[][..])).collect();
    let days = fit(&data(&rows)).unwrap();
    let seconds: Vec<(f64, bool, &[f64])> = rows.iter().map(|row| (row.0 * 86_400.0, row.1, row.2)).collect();
    let seconds = fit(&data(&seconds)).unwrap();
    near(seconds.estimates[0].unwrap() - days.estimates[0].unwrap(), 86_400.0_f64.ln(), 1e-9);
    near(seconds.log_scale, days.log_scale, 1e-9);
}

#[test]
fn fits_that_are_not_defined_have_a_reason() {
    let equal: [(f64, bool, &[f64]); 2] = [(5.0, true, &[1.0]), (5.0, true, &[2.0])];
    assert_eq!(fit(&data(&equal)), Err("all durations are equal"));
    let huge: [(f64, bool, &[f64]); 2] = [(5.0, true, &[1e300]), (6.0, true, &[-1e300])];
    assert!(fit(&data(&huge)).is_err());
    let separated: [(f64, bool, &[f64]); 4] =
        [(1.0, true, &[1.0]), (2.0, true, &[1.0]), (4.0, false, &[0.0]), (5.0, false, &[0.0])];
    let separated = fit(&data(&separated)).unwrap();
    assert!(!separated.is_converged && separated.runaway == [1], "{separated:?}");
}

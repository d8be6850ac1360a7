use super::*;

// The values of `observations` in udfs/tests/expected/regression_reference.py; expected figures by statsmodels 0.15.0 and
// scikit-learn 1.9.1 from the same script.
fn observations(family: Family) -> Vec<f64> {
    let mut values = vec![];
    for number in 1..=400_i64 {
        let x = (number * 7919 % 1009) as f64 / 100.0;
        let z = (number * 104_729 % 787) as f64 / 50.0;
        let is_vip = f64::from(u8::from(number * 31 % 7 < 3));
        let segment = [0.0, 1.0, 2.0, 0.0][(number * 17 % 4) as usize];
        let noise = (number * number * 31 % 997) as f64 / 997.0;
        let silver = f64::from(u8::from(segment == 2.0));
        let logit = -2.0 + 0.4 * x - 0.1 * z + 0.8 * is_vip - 0.5 * silver;
        let y = match family {
            Family::Logistic => f64::from(u8::from(noise < 1.0 / (1.0 + (-logit).exp()))),
            Family::Poisson => (6.0 * noise * (0.1 * x - 0.02 * z + 0.3 * is_vip).exp()).floor(),
        };
        values.extend([y, x, z, is_vip, segment]);
    }
    values
}

fn columns(rows: Rows<'_>) -> Vec<ScaledColumn> {
    let columns = [(1, None), (2, None), (3, None), (4, Some(1.0)), (4, Some(2.0))];
    let scaled = columns.map(|(index, level)| {
        let column = Column { index, level };
        let values: Vec<f64> = rows.iter().map(|row| column.value(row)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        ScaledColumn { column, mean, deviation: (squares / values.len() as f64).sqrt() }
    });
    scaled.to_vec()
}

fn fit(family: Family, ridge: f64) -> NewtonFit {
    let values = observations(family);
    let rows = Rows { values: &values, width: 5 };
    let mean = rows.iter().map(|row| row[0]).sum::<f64>() / 400.0;
    Problem { family, rows, columns: &columns(rows), ridge }.fit(mean)
}

fn assert_near(got: &[f64], wanted: &[f64]) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() <= 3e-11 * wanted.abs(), "{got}, wanted {wanted}");
    }
}

#[test]
fn logistic_as_statsmodels() {
    let fit = fit(Family::Logistic, 0.0);
    assert_eq!(fit.end, End::Converged);
    let estimates = [-2.06642990257, 0.461027577327, -0.163498629227, 0.874349848289, 0.665634805744, -0.166328533596];
    let errors = [0.377286284584, 0.0516570401496, 0.0293566253612, 0.254372151743, 0.305210643217, 0.305077309328];
    assert_near(&fit.estimates, &estimates);
    assert_near(&fit.std_errors, &errors);
    assert_near(&[fit.log_likelihood, fit.pearson], &[-196.870003876, 400.16309406]);
}

#[test]
fn ridge_as_scikit_learn() {
    let fit = fit(Family::Logistic, 5.0);
    let estimates = [-1.87054576574, 0.444857500029, -0.158305987642, 0.655897825916, 0.465333471458, -0.15977884944];
    assert_near(&fit.estimates, &estimates);
    assert!(fit.std_errors.is_empty());
}

#[test]
fn poisson_as_statsmodels() {
    let fit = fit(Family::Poisson, 0.0);
    let estimates =
        [0.875251067048, 0.113716586355, -0.0132140877356, 0.285055127861, -0.0335719046875, -0.0449052097945];
    let errors =
        [0.0743664074969, 0.00834099363266, 0.00516861813644, 0.0468516657082, 0.0573970960725, 0.0577469805131];
    assert_near(&fit.estimates, &estimates);
    assert_near(&fit.std_errors, &errors);
    assert_near(&[fit.log_likelihood, fit.pearson], &[-1070.15968001, 790.288758474]);
}

fn of_pairs(family: Family, pairs: &[(f64, f64)]) -> NewtonFit {
    let values: Vec<f64> = pairs.iter().flat_map(|(y, x)| [*y, *x]).collect();
    let rows = Rows { values: &values, width: 2 };
    let count = pairs.len() as f64;
    let middle = pairs.iter().map(|(_, x)| x).sum::<f64>() / count;
    let deviation = (pairs.iter().map(|(_, x)| (x - middle).powi(2)).sum::<f64>() / count).sqrt();
    let columns = [ScaledColumn { column: Column { index: 1, level: None }, mean: middle, deviation }];
    let mean = pairs.iter().map(|(y, _)| y).sum::<f64>() / count;
    Problem { family, rows, columns: &columns, ridge: 0.0 }.fit(mean)
}

#[test]
fn separation_is_found_and_near_separation_is_none() {
    let separated: Vec<(f64, f64)> = (0..40).map(|i| (f64::from(u8::from(i > 17)), f64::from(i))).collect();
    assert_eq!(of_pairs(Family::Logistic, &separated).end, End::Separated(vec![0]));
    // a column that has no part in it is not named; two that separate together only are
    let mut values: Vec<f64> = separated.iter().flat_map(|(y, x)| [*y, *x, x * 7.0 % 5.0]).collect();
    let of_two = |values: &[f64]| {
        let rows = Rows { values, width: 3 };
        let column = |index| ScaledColumn { column: Column { index, level: None }, mean: 2.0, deviation: 3.0 };
        Problem { family: Family::Logistic, rows, columns: &[column(1), column(2)], ridge: 0.0 }.fit(0.5).end
    };
    assert_eq!(of_two(&values), End::Separated(vec![0]));
    for (row, i) in values.chunks_mut(3).zip(0..) {
        let (a, b) = (f64::from(i % 8), f64::from(i / 8));
        row.copy_from_slice(&[f64::from(u8::from(a + b > 5.5)), a, b]);
    }
    assert_eq!(of_two(&values), End::Separated(vec![0, 1]));
    // one row on the other side: finite, though steep
    let mut near = separated.clone();
    near[17].0 = 1.0;
    near[18].0 = 0.0;
    let fit = of_pairs(Family::Logistic, &near);
    assert_eq!(fit.end, End::Converged);
    assert!(fit.std_errors.iter().all(|error| error.is_finite()));
    // all rows with x = 1 are true, those with x = 0 are not
    let quasi: Vec<(f64, f64)> =
        (0..60).map(|i| (f64::from(u8::from(i % 3 == 0 || i % 2 == 0)), f64::from(u8::from(i % 3 == 0)))).collect();
    assert_eq!(of_pairs(Family::Logistic, &quasi).end, End::Separated(vec![0]));
    // no event where x = 1
    let none: Vec<(f64, f64)> =
        (0..60).map(|i| (f64::from(if i % 3 == 0 { 0 } else { i % 4 }), f64::from(u8::from(i % 3 == 0)))).collect();
    assert_eq!(of_pairs(Family::Poisson, &none).end, End::Separated(vec![0]));
}

#[test]
fn two_groups_by_hand() {
    // logits of 3/10 and 6/10: ln(3/7), ln(6/4) - ln(3/7); errors of a logit 1/k + 1/(n - k)
    let pairs: Vec<(f64, f64)> = (0..10)
        .map(|i| (f64::from(u8::from(i < 3)), 0.0))
        .chain((0..10).map(|i| (f64::from(u8::from(i < 6)), 1.0)))
        .collect();
    let fit = of_pairs(Family::Logistic, &pairs);
    let (a, b) = ((3.0_f64 / 7.0).ln(), 1.5_f64.ln());
    assert_near(&fit.estimates, &[a, b - a]);
    let (va, vb) = (1.0 / 3.0 + 1.0 / 7.0_f64, 1.0 / 6.0 + 1.0 / 4.0);
    assert_near(&fit.std_errors, &[va.sqrt(), (va + vb).sqrt()]);
}

#[test]
fn rare_events_and_steep_predictors_converge() {
    // 2 of 100,000 by one group, 20 by the other: ln of the rates
    let pairs: Vec<(f64, f64)> = (0..200_000)
        .map(|i| (f64::from(u8::from(i < 2 || (100_000..100_020).contains(&i))), f64::from(i / 100_000)))
        .collect();
    let fit = of_pairs(Family::Logistic, &pairs);
    let logit = |k: f64| (k / (100_000.0 - k)).ln();
    assert_eq!(fit.end, End::Converged);
    assert_near(&fit.estimates, &[logit(2.0), logit(20.0) - logit(2.0)]);
    let fit = of_pairs(Family::Poisson, &[(1e6, 0.0), (1.0, 1.0), (1e6, 0.0), (3.0, 1.0)]);
    assert_eq!(fit.end, End::Converged);
    assert_near(&fit.estimates, &[1e6_f64.ln(), (2.0_f64 / 1e6).ln()]);
}

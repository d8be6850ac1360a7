use super::super::concordance::concordance;
use super::super::proportionality::{Transform, test};
use super::*;

/// Rows `(time, is_event, stratum, features)`.
fn data(rows: impl IntoIterator<Item = (f64, bool, u32, Vec<f64>)>) -> CoxData {
    let mut data = CoxData::default();
    for (time, is_event, stratum, features) in rows {
        data.width = features.len();
        data.features.extend(features);
        data.rows.push(Row { time, is_event, stratum, count: 1.0 });
    }
    data.sort();
    data
}

fn near(got: f64, wanted: f64, tolerance: f64) {
    assert!((got - wanted).abs() < tolerance, "{got}, wanted {wanted}");
}

/// Remissions in weeks (Freireich 1963), placebo 1 and 6-MP 0; negative: censored.
fn leukaemia() -> CoxData {
    let six_mp = [6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35];
    let placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23];
    let rows =
        |weeks: &'static [i32], x: f64| weeks.iter().map(move |week| (f64::from(week.abs()), *week > 0, 0, vec![x]));
    static SIX_MP: std::sync::OnceLock<Vec<i32>> = std::sync::OnceLock::new();
    static PLACEBO: std::sync::OnceLock<Vec<i32>> = std::sync::OnceLock::new();
    data(rows(SIX_MP.get_or_init(|| six_mp.to_vec()), 0.0).chain(rows(PLACEBO.get_or_init(|| placebo.to_vec()), 1.0)))
}

#[test]
fn leukaemia_as_published() {
    // Kalbfleisch and Prentice 2002; R survival 3
    let data = leukaemia();
    let efron = fit(&data, Ties::Efron).unwrap();
    near(efron.estimates[0].unwrap(), 1.5721251488, 1e-9);
    near(efron.covariance[0].sqrt(), 0.4123966777, 5e-8);
    near(efron.log_likelihood, -85.0084246, 5e-8);
    let breslow = fit(&data, Ties::Breslow).unwrap();
    near(breslow.estimates[0].unwrap(), 1.5091914126, 1e-9);
    near(breslow.covariance[0].sqrt(), 0.4095644064, 5e-8);
    assert!(efron.is_converged && breslow.is_converged);
}

/// Ovarian cancer (Edmunson 1979), R's `ovarian`: time, status, age, ecog.ps.
const OVARIAN: [(f64, bool, f64, f64); 26] = [
    (59.0, true, 72.3315, 1.0),
    (115.0, true, 74.4932, 1.0),
    (156.0, true, 66.4658, 2.0),
    (421.0, false, 53.3644, 1.0),
    (431.0, true, 50.3397, 1.0),
    (448.0, false, 56.4301, 2.0),
    (464.0, true, 56.9370, 2.0),
    (475.0, true, 59.8548, 2.0),
    (477.0, false, 64.1753, 1.0),
    (563.0, true, 55.1781, 2.0),
    (638.0, true, 56.7562, 2.0),
    (744.0, false, 50.1096, 1.0),
    (769.0, false, 59.6301, 2.0),
    (770.0, false, 57.0521, 1.0),
    (803.0, false, 39.2712, 1.0),
    (855.0, false, 43.1233, 2.0),
    (1040.0, false, 38.8932, 2.0),
    (1106.0, false, 44.6000, 1.0),
    (1129.0, false, 53.9068, 1.0),
    (1206.0, false, 44.2055, 1.0),
    (1227.0, false, 59.5890, 2.0),
    (268.0, true, 74.5041, 2.0),
    (329.0, true, 43.1370, 1.0),
    (353.0, true, 63.2192, 2.0),
    (365.0, true, 64.4247, 1.0),
    (377.0, false, 58.3096, 1.0),
];

#[test]
fn the_test_of_proportional_hazards_as_in_r() {
    // R survival 3, example(cox.zph): age 0.698, ecog.ps 2.371, GLOBAL 3.633
    let data = data(OVARIAN.into_iter().map(|(time, is_event, age, ecog)| (time, is_event, 0, vec![age, ecog])));
    let fitted = fit(&data, Ties::Efron).unwrap();
    let (tests, global) = test(&data, &fitted, Ties::Efron, Transform::KaplanMeier);
    near(tests[0].unwrap().statistic, 0.698, 5e-4);
    near(tests[1].unwrap().statistic, 2.371, 5e-4);
    let global = global.unwrap();
    near(global.statistic, 3.633, 6e-4);
    assert_eq!(global.df, 2);
}

#[test]
fn counts_are_equal_rows_and_order_does_not_matter() {
    let data_once = leukaemia();
    let mut counted = CoxData { width: 1, ..CoxData::default() };
    for (index, row) in data_once.rows.iter().enumerate().rev() {
        let x = data_once.row_features(index)[0];
        let known = (0..counted.rows.len()).find(|known| {
            let other = &counted.rows[*known];
            other.time == row.time && other.is_event == row.is_event && counted.features[*known] == x
        });
        match known {
            Some(known) => counted.rows[known].count += 1.0,
            None => {
                counted.rows.push(*row);
                counted.features.push(x);
            }
        }
    }
    counted.sort();
    assert!(counted.rows.len() < data_once.rows.len());
    for ties in [Ties::Efron, Ties::Breslow] {
        let (one, other) = (fit(&data_once, ties).unwrap(), fit(&counted, ties).unwrap());
        near(one.estimates[0].unwrap(), other.estimates[0].unwrap(), 1e-12);
        near(one.log_likelihood, other.log_likelihood, 1e-10);
        assert_eq!(baseline(&data_once, &one, ties).len(), baseline(&counted, &other, ties).len());
    }
}

#[test]
fn features_that_tell_nothing_have_no_estimate() {
    // x, a constant, and 3 x + 1
    let rows = OVARIAN.into_iter().map(|(time, is_event, age, _)| (time, is_event, 0, vec![age, 7.0, 3.0 * age + 1.0]));
    let fitted = fit(&data(rows), Ties::Efron).unwrap();
    assert!(fitted.estimates[0].is_some() && fitted.is_converged);
    assert_eq!((fitted.estimates[1], fitted.estimates[2], fitted.df), (None, None, 1));
}

#[test]
fn what_separates_the_events_is_said() {
    // all with x = 1 leave before anybody with x = 0 does
    let rows = [(1.0, true, 1.0), (2.0, true, 1.0), (3.0, true, 1.0), (4.0, false, 0.0), (5.0, false, 0.0)];
    let fitted = fit(&data(rows.map(|(time, is_event, x)| (time, is_event, 0, vec![x]))), Ties::Efron).unwrap();
    assert!(!fitted.is_converged);
    assert_eq!(fitted.runaway, [0]);
}

#[test]
fn strata_are_not_compared() {
    // Two strata with the same rows: twice the log likelihood, the same estimate.
    let once = leukaemia();
    let twice = data((0..2).flat_map(|stratum| {
        let once = leukaemia();
        (0..once.rows.len()).map(move |row| {
            let Row { time, is_event, .. } = once.rows[row];
            (time, is_event, stratum, once.row_features(row).to_vec())
        })
    }));
    let (one, two) = (fit(&once, Ties::Efron).unwrap(), fit(&twice, Ties::Efron).unwrap());
    near(two.estimates[0].unwrap(), one.estimates[0].unwrap(), 1e-9);
    near(two.log_likelihood, 2.0 * one.log_likelihood, 1e-9);
    near(two.covariance[0], one.covariance[0] / 2.0, 1e-9);
    let risks = |data: &CoxData| -> Vec<(u32, f64, bool, f64, f64)> {
        data.rows
            .iter()
            .enumerate()
            .map(|(index, row)| (row.stratum, row.time, row.is_event, 1.0, data.row_features(index)[0]))
            .collect()
    };
    near(concordance(&risks(&once)).unwrap(), concordance(&risks(&twice)).unwrap(), 1e-12);
}

#[test]
fn the_cumulative_hazard_by_hand() {
    // No effect: 1/3 at 1, then 1/2, then 1; with stratum 1 apart.
    let rows = [(1.0, true, 0, 0.0), (2.0, true, 0, 0.0), (3.0, true, 0, 0.0), (9.0, true, 1, 0.0)];
    let data = data(rows.map(|(time, is_event, stratum, x)| (time, is_event, stratum, vec![x])));
    let fitted = fit(&data, Ties::Efron).unwrap();
    let steps = baseline(&data, &fitted, Ties::Efron);
    let wanted = [(0, 1.0, 1.0 / 3.0), (0, 2.0, 5.0 / 6.0), (0, 3.0, 11.0 / 6.0), (1, 9.0, 1.0)];
    assert_eq!(steps.len(), wanted.len());
    for ((stratum, time, hazard), wanted) in steps.into_iter().zip(wanted) {
        assert_eq!((stratum, time), (wanted.0, wanted.1));
        near(hazard, wanted.2, 1e-12);
    }
}

use super::*;
use crate::regression::kmeans::{canonical_order, clusters};

/// Two clouds along lines of other directions, and one that is round.
fn clouds() -> Vec<f64> {
    (0..600_i64)
        .flat_map(|number| {
            let u = (number * 7919 % 101) as f64 / 50.0 - 1.0;
            let v = (number * 104_729 % 97) as f64 / 48.0 - 1.0;
            match number % 6 {
                0..=2 => [u, u + 0.2 * v],
                3 | 4 => [4.0 + u, -u + 0.3 * v],
                _ => [2.0 + 0.4 * u, 5.0 + 0.4 * v],
            }
        })
        .collect()
}

const MEAN_LOG_LIKELIHOOD: f64 = -1.2582020535175373;
/// The weight, the mean and the covariance of each component.
const COMPONENTS: [[f64; 6]; 3] = [
    [0.5, -0.00286666666667, -0.00365833333333, 0.340063448889, 0.342593235, 0.358748873542],
    [0.333333333333, 4.0002, -0.0007625, 0.33979696, -0.3355164725, 0.362280637344],
    [0.166666666667, 1.9992, 4.99975, 0.05488036, -0.00681153333333, 0.0529030208333],
];

fn of(rows: &[f64], k: usize) -> Mixture {
    let (rows, _) = canonical_order(rows, 2, 42);
    mixture(&rows, 2, &clusters(&rows, 2, k, 42)).unwrap()
}

// Expected values: udfs/tests/expected/regression_reference.py (GaussianMixture of scikit-learn 1.9.1 over the same rows).
#[test]
fn clouds_as_scikit_learn() {
    let got = of(&clouds(), 3);
    assert!(got.is_converged);
    assert_eq!(got.sizes, [300, 200, 100]);
    assert!((got.log_likelihood / 600.0 - MEAN_LOG_LIKELIHOOD).abs() < 1e-8, "{}", got.log_likelihood / 600.0);
    for (component, wanted) in got.components.iter().zip(COMPONENTS) {
        let got = [
            component.weight,
            component.mean[0],
            component.mean[1],
            component.covariance[0],
            component.covariance[1],
            component.covariance[3],
        ];
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-7, "{got}, wanted {wanted}");
        }
    }
}

#[test]
fn one_component_is_the_normal_distribution() {
    // 1, 2, 6: mean 3, variance 14/3
    let got = of(&[1.0, 0.0, 2.0, 1.0, 6.0, -1.0], 1);
    assert!((got.components[0].mean[0] - 3.0).abs() < 1e-12);
    assert!((got.components[0].covariance[0] - 14.0 / 3.0 - LEAST_VARIANCE).abs() < 1e-12);
    // products -2 0, -1 1, 3 -1: -4 of 3
    assert!((got.components[0].covariance[1] + 4.0 / 3.0).abs() < 1e-12);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let mut rows: Vec<[f64; 2]> = clouds().chunks(2).map(|row| [row[0], row[1]]).collect();
    let wanted = of(&rows.concat(), 4);
    rows.reverse();
    assert_eq!(of(&rows.concat(), 4), wanted);
}

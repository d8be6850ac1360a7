use super::*;

/// Standardised columns, as scikit-learn's StandardScaler.
fn standardised(columns: &[Vec<f64>]) -> Vec<f64> {
    let scaled: Vec<Vec<f64>> = columns
        .iter()
        .map(|column| {
            let n = column.len() as f64;
            let mean = column.iter().sum::<f64>() / n;
            let deviation = (column.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
            column.iter().map(|value| (value - mean) / deviation).collect()
        })
        .collect();
    (0..columns[0].len()).flat_map(|row| scaled.iter().map(move |column| column[row])).collect()
}

fn blobs() -> Vec<f64> {
    let (mut a, mut b) = (vec![], vec![]);
    for number in 1..=300_i64 {
        let group = [0, 0, 0, 1, 1, 2][(number % 6) as usize];
        a.push([0.0, 5.0, 9.0][group] + (number * 7919 % 101) as f64 / 50.0);
        b.push([100.0, 400.0, 0.0][group] + (number * 104_729 % 97) as f64 * 1.5);
    }
    standardised(&[a, b])
}

fn observations() -> Vec<f64> {
    let number = 1..=400_i64;
    let x = number.clone().map(|number| (number * 7919 % 1009) as f64 / 100.0).collect();
    let z = number.map(|number| (number * 104_729 % 787) as f64 / 50.0).collect();
    standardised(&[x, z])
}

fn of(rows: &[f64], k: usize, seed: u64) -> Clusters {
    clusters(&canonical_order(rows, 2, seed).0, 2, k, seed)
}

// Expected values: udfs/tests/expected/regression_reference.py (scikit-learn 1.9.1, the best of 50 starts).

#[test]
fn blobs_as_scikit_learn() {
    let got = of(&blobs(), 3, 42);
    assert_eq!((got.sizes, got.is_converged), (vec![150, 100, 50], true));
    assert!((got.inertias.iter().sum::<f64>() - 28.6241869333).abs() < 1e-9);
    assert!((got.silhouette - 0.833342783727).abs() < 1e-11, "{}", got.silhouette);
}

#[test]
fn what_has_no_clusters_as_scikit_learn() {
    let got = of(&observations(), 4, 42);
    assert_eq!(got.sizes, [110, 102, 97, 91]);
    assert!((got.inertias.iter().sum::<f64>() - 199.029862073).abs() < 1e-9, "{:?}", got.inertias);
    assert!((got.silhouette - 0.40888854234).abs() < 1e-11);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let mut rows: Vec<[f64; 2]> = observations().chunks(2).map(|row| [row[0], row[1]]).collect();
    rows.extend_from_within(..50);
    let wanted = of(&rows.concat(), 5, 7);
    rows.reverse();
    assert_eq!(of(&rows.concat(), 5, 7), wanted);
    rows.rotate_left(123);
    assert_eq!(of(&rows.concat(), 5, 7), wanted);
}

#[test]
fn copies_are_counted_once_and_spread() {
    let rows: Vec<f64> = (0..3000).flat_map(|i| [f64::from(i % 3), 0.0]).collect();
    let (ordered, distinct) = canonical_order(&rows, 2, 42);
    assert_eq!((ordered.len(), distinct), (rows.len(), 3));
    // of the first 300 rows about a third each, four deviations 33
    for value in 0..3 {
        let count = ordered.chunks(2).take(300).filter(|row| row[0] == f64::from(value)).count();
        assert!(count.abs_diff(100) < 33, "{value}: {count}");
    }
    assert_eq!(canonical_order(&[0.0, -0.0, -0.0, 0.0], 2, 1), (vec![0.0; 4], 1));
}

#[test]
fn as_many_clusters_as_distinct_rows() {
    let rows: Vec<f64> = (0..90).flat_map(|i| [f64::from(i % 3), 1.0]).collect();
    let got = of(&rows, 3, 42);
    assert_eq!((got.sizes.as_slice(), got.inertias.as_slice()), (&[30, 30, 30][..], &[0.0; 3][..]));
    assert_eq!(got.centroids, [0.0, 1.0, 1.0, 1.0, 2.0, 1.0]);
    assert_eq!(got.silhouette, 1.0);
    let one = of(&rows, 1, 42);
    // the mean of 0, 1, 2; squares 60
    assert!((one.inertias[0] - 60.0).abs() < 1e-9 && one.silhouette.is_nan());
}

#[test]
fn more_rows_than_the_sample_find_the_same_blobs() {
    let blobs = blobs();
    let mut random = Random(1);
    let rows: Vec<f64> = (0..30_000)
        .flat_map(|_| {
            let row = (random.next() % 300) as usize;
            [blobs[2 * row] + random.share() * 1e-3, blobs[2 * row + 1]]
        })
        .collect();
    let got = of(&rows, 3, 42);
    for (size, wanted) in got.sizes.iter().zip([15_000, 10_000, 5_000]) {
        assert!(size.abs_diff(wanted) < 400, "{size}");
    }
    assert_eq!((got.silhouette_rows, got.is_converged), (SILHOUETTE_ROWS, true));
}

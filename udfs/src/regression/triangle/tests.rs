use super::*;

/// J. W. Longley 1967, as NIST's StRD has it: employed, deflator, gnp, unemployed, armed forces, population, year.
const LONGLEY: [[f64; 7]; 16] = [
    [60323., 83.0, 234289., 2356., 1590., 107608., 1947.],
    [61122., 88.5, 259426., 2325., 1456., 108632., 1948.],
    [60171., 88.2, 258054., 3682., 1616., 109773., 1949.],
    [61187., 89.5, 284599., 3351., 1650., 110929., 1950.],
    [63221., 96.2, 328975., 2099., 3099., 112075., 1951.],
    [63639., 98.1, 346999., 1932., 3594., 113270., 1952.],
    [64989., 99.0, 365385., 1870., 3547., 115094., 1953.],
    [63761., 100.0, 363112., 3578., 3350., 116219., 1954.],
    [66019., 101.2, 397469., 2904., 3048., 117388., 1955.],
    [67857., 104.6, 419180., 2822., 2857., 118734., 1956.],
    [68169., 108.4, 442769., 2936., 2798., 120445., 1957.],
    [66513., 110.8, 444546., 4681., 2637., 121950., 1958.],
    [68655., 112.6, 482704., 3813., 2552., 123366., 1959.],
    [69564., 114.2, 502601., 3931., 2514., 125368., 1960.],
    [69331., 115.7, 518173., 4806., 2572., 127852., 1961.],
    [70551., 116.9, 554894., 4007., 2827., 130081., 1962.],
];

/// NIST's certified values, and the certified standard deviations.
const CERTIFIED: [f64; 6] = [
    15.0618722713733,
    -0.358191792925910e-1,
    -2.02022980381683,
    -1.03322686717359,
    -0.511041056535807e-1,
    1829.15146461355,
];
const DEVIATIONS: [f64; 6] =
    [84.9149257747669, 0.334910077722432e-1, 0.488399681651699, 0.214274163161675, 0.226073200069370, 455.478499142212];

fn absorb(triangle: &mut Triangle, rows: &[[f64; 7]]) {
    triangle.widen(7);
    let columns: Vec<f64> = (0..7).flat_map(|column| rows.iter().map(move |row| row[column])).collect();
    triangle.absorb(&columns, &vec![1.0; rows.len()]);
}

/// The decimal digits in which two figures agree.
fn digits(got: f64, wanted: f64) -> f64 {
    -((got - wanted) / wanted).abs().max(1e-16).log10()
}

fn assert_longley(triangle: &Triangle) {
    let fit = triangle.least_squares(0, &[1, 2, 3, 4, 5, 6]);
    let sigma = fit.residual / 3.0;
    assert!(digits(sigma, 304.854073561965) > 11.0, "{sigma}");
    let intercept =
        triangle.mean(0) - fit.estimates.iter().zip(1..).map(|(b, column)| b * triangle.mean(column)).sum::<f64>();
    assert!(digits(intercept, -3482258.63459582) > 10.0, "{intercept}");
    for (index, estimate) in fit.estimates.iter().enumerate() {
        assert!(digits(*estimate, CERTIFIED[index]) > 10.0, "{index}: {estimate}");
        let error = sigma * fit.inverse[index * 7].sqrt();
        assert!(digits(error, DEVIATIONS[index]) > 10.0, "{index}: {error}");
    }
}

#[test]
fn longley_has_the_certified_digits() {
    let mut whole = Triangle::default();
    absorb(&mut whole, &LONGLEY);
    assert_longley(&whole);
}

#[test]
fn merged_in_any_order_is_the_whole() {
    for split in 1..15 {
        let (first, last) = LONGLEY.split_at(split);
        let mut parts = [Triangle::default(), Triangle::default()];
        absorb(&mut parts[0], first);
        absorb(&mut parts[1], last);
        let positions: Vec<usize> = (0..7).collect();
        let mut one = parts[0].clone();
        one.merge(&parts[1], &positions);
        assert_longley(&one);
        let mut other = parts[1].clone();
        other.merge(&parts[0], &positions);
        assert_longley(&other);
        assert_eq!((one.rows, one.weight), (16, 16.0));
        // in other columns
        let mut turned = Triangle::default();
        turned.widen(7);
        turned.merge(&one, &[6, 5, 4, 3, 2, 1, 0]);
        let fit = turned.least_squares(6, &[5, 4, 3, 2, 1, 0]);
        assert!(fit.estimates.iter().zip(CERTIFIED).all(|(got, wanted)| digits(*got, wanted) > 10.0));
    }
    let mut by_row = Triangle::default();
    LONGLEY.iter().for_each(|row| absorb(&mut by_row, std::slice::from_ref(row)));
    assert_longley(&by_row);
}

#[test]
fn a_column_that_comes_later_was_zero() {
    let (x, late) = ([1.0, 2.0, 3.0, 4.0, 7.0], [0.0, 0.0, 0.0, 1.0, 1.0]);
    let mut parts = Triangle::default();
    parts.widen(1);
    parts.absorb(&x[..3], &[1.0; 3]);
    parts.widen(2);
    parts.absorb(&[&x[3..], &late[3..]].concat(), &[1.0; 2]);
    let mut whole = Triangle::default();
    whole.widen(2);
    whole.absorb(&[x, late].concat(), &[1.0; 5]);
    // means 3.4 and .4; squares 79 - 57.8 = 21.2 and 2 - .8 = 1.2; products 11 - 5 3.4 .4 = 4.2
    for triangle in [&parts, &whole] {
        assert!((triangle.length(0).powi(2) - 21.2).abs() < 1e-12);
        assert!((triangle.length(1).powi(2) - 1.2).abs() < 1e-12);
        let fit = triangle.least_squares(0, &[1]);
        assert!((fit.estimates[0] - 4.2 / 1.2).abs() < 1e-12);
    }
}

#[test]
fn far_from_zero_no_digits_are_lost() {
    // y = 2 x by seconds since 1970: squares of the values have no digit left for the spread
    let x: Vec<f64> = (0..1000).map(|i| 1.7e9 + f64::from(i % 13)).collect();
    let y: Vec<f64> =
        x.iter().enumerate().map(|(i, x)| 2.0 * (x - 1.7e9) + if i % 2 == 0 { 0.5 } else { -0.5 }).collect();
    let mut triangle = Triangle::default();
    triangle.widen(2);
    for block in 0..10 {
        let range = block * 100..(block + 1) * 100;
        triangle.absorb(&[&y[range.clone()], &x[range]].concat(), &[1.0; 100]);
    }
    let near: Vec<f64> = x.iter().map(|x| x - 1.7e9).collect();
    let mut wanted = Triangle::default();
    wanted.widen(2);
    wanted.absorb(&[y, near].concat(), &[1.0; 1000]);
    let (got, wanted) = (triangle.least_squares(0, &[1]).estimates[0], wanted.least_squares(0, &[1]).estimates[0]);
    assert!(digits(got, wanted) > 12.0, "{got}, wanted {wanted}");
}

#[test]
fn combinations_and_constants_are_left_out() {
    let a = [1.0, 2.0, 3.0, 5.0, 8.5, 0.1];
    let b = [2.0, 1.0, 0.3, 5.0, 7.0, 1.1];
    let sum: Vec<f64> = a.iter().zip(b).map(|(a, b)| a + b).collect();
    let y = [1.0, 3.0, 2.0, 5.0, 4.0, 9.0];
    let mut triangle = Triangle::default();
    triangle.widen(5);
    triangle.absorb(&[&y[..], &a[..], &b[..], &sum[..], &[0.1; 6][..]].concat(), &[1.0; 6]);
    let fit = triangle.least_squares(0, &[1, 2, 3, 4]);
    assert_eq!((fit.kept, fit.left_out), (vec![0, 1], vec![2, 3]));
    assert_eq!(fit.estimates.len(), 2);
}

#[test]
fn weights_are_as_many_rows() {
    let (y, x) = ([1.0, 3.0, 2.0], [1.0, 2.0, 4.0]);
    let mut weighted = Triangle::default();
    weighted.widen(2);
    weighted.absorb(&[y, x].concat(), &[1.0, 3.0, 2.0]);
    let mut repeated = Triangle::default();
    repeated.widen(2);
    repeated.absorb(&[1.0, 3.0, 3.0, 3.0, 2.0, 2.0, 1.0, 2.0, 2.0, 2.0, 4.0, 4.0], &[1.0; 6]);
    let (one, other) = (weighted.least_squares(0, &[1]), repeated.least_squares(0, &[1]));
    assert!((one.estimates[0] - other.estimates[0]).abs() < 1e-14);
    assert!((one.residual - other.residual).abs() < 1e-14);
    assert_eq!((weighted.rows, repeated.rows), (3, 6));
}

#[test]
fn a_state_is_read_as_written() {
    let mut triangle = Triangle::default();
    absorb(&mut triangle, &LONGLEY);
    let mut numbers = vec![];
    triangle.write(&mut numbers);
    assert_eq!(numbers.len(), Triangle::written_len(7));
    assert_eq!(Triangle::read(&numbers, 7), Some(triangle));
    assert_eq!(Triangle::read(&numbers, 6), None);
    assert_eq!(Triangle::read(&numbers[1..], 7), None);
    assert_eq!(Triangle::read(&[], 0), None);
}

#[test]
fn huge_and_tiny_values_do_not_overflow() {
    for scale in [1e-200, 1e150] {
        let mut triangle = Triangle::default();
        triangle.widen(2);
        triangle.absorb(&[scale, 3.0 * scale, 2.0 * scale, scale, 2.0 * scale, 4.0 * scale], &[1.0; 3]);
        // x - mean: -4/3, -1/3, 5/3, squares 14/3; products with y 1, 3, 2: -4/3 - 1 + 10/3 = 1
        let estimate = triangle.least_squares(0, &[1]).estimates[0];
        assert!((estimate - 3.0 / 14.0).abs() < 1e-14, "{scale}: {estimate}");
    }
}

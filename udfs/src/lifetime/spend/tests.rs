use super::*;

#[test]
fn the_expected_amount_by_hand() {
    // 6 (15 + 2 * 22) / (6 * 2 + 4 - 1) = 354 / 15; of all 6 * 15 / 3
    assert_eq!(expected_amount([6.0, 4.0, 15.0], 2.0, 22.0), Some(354.0 / 15.0));
    assert_eq!(expected_amount([6.0, 4.0, 15.0], 0.0, f64::NAN), Some(30.0));
    assert_eq!(expected_amount([6.0, 0.5, 15.0], 0.0, f64::NAN), None);
}

#[test]
fn the_gradient_is_the_derivative() {
    let rows = [(1.0, 20.0), (1.0, 35.0), (4.0, 27.0)];
    let rows = rows.map(|(frequency, mean_amount)| Spend { frequency, mean_amount, count: 3.0 });
    let logs = [6.0_f64, 4.0, 15.0].map(f64::ln);
    let (mut gradient, mut unused) = ([0.0; 3], [0.0; 3]);
    minus_log_likelihood(&rows, &logs, &mut gradient);
    for (index, slope) in gradient.iter().enumerate() {
        let mut shifted = |step: f64| {
            let mut at = logs;
            at[index] += step;
            minus_log_likelihood(&rows, &at, &mut unused)
        };
        let difference = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
        assert!((slope - difference).abs() < 1e-6 * slope.abs().max(1.0), "{index}: {slope} {difference}");
    }
}

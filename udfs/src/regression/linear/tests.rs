use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field};

use super::*;
use crate::regression::design::{FeatureEncoder, features};
use crate::regression::state::{GroupState, Layout};

/// The fit of y on x and a string, over rows of weight 1.
fn fitted(y: &[f64], x: &[f64], names: &[&str], errors: Errors) -> Vec<ScalarValue> {
    let fields = vec![Field::new("x", DataType::Float64, true), Field::new("name", DataType::Utf8, true)];
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Float64Array::from(x.to_vec())), Arc::new(StringArray::from_iter_values(names.iter().copied()))];
    let column: ArrayRef = Arc::new(StructArray::new(fields.into(), columns, None));
    let mut encoder = FeatureEncoder::new(features("f", column.data_type()).unwrap());
    let encoded = encoder.encode(&column).unwrap();
    let mut state = GroupState::default();
    for row in 0..y.len() {
        state.rows.extend([y[row], 1.0, encoded[0][row], encoded[1][row]]);
    }
    let layout = Layout { first: 2, width: 4 };
    let options = Options { errors, level: 0.95 };
    if LinearFit::reduces(&options) {
        state.reduce(&encoder, layout, true);
    }
    LinearFit::finish(&options, Group { encoder: &encoder, layout, state: &state }).unwrap()
}

fn value(values: &[ScalarValue], name: &str) -> ScalarValue {
    let index = LinearFit::fields().iter().position(|field| field.name() == name).unwrap();
    values[index].clone()
}

fn figure(values: &[ScalarValue], name: &str) -> f64 {
    match value(values, name) {
        ScalarValue::Float64(Some(figure)) => figure,
        other => panic!("{name}: {other}"),
    }
}

#[test]
fn a_line_by_hand() {
    // x 1 2 3 4, y 1 3 2 4: slope 4 / 5, intercept .5; residuals -.3 .9 -.9 .3, squares 1.8 of 5
    let values = fitted(&[1.0, 3.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0], &["a"; 4], Errors::Equal);
    assert!((figure(&values, "r_squared") - 0.64).abs() < 1e-14);
    assert!((figure(&values, "sigma") - 0.9_f64.sqrt()).abs() < 1e-14);
    assert_eq!(figure(&values, "df"), 2.0);
    // F = .64 / .36 * 2
    assert!((figure(&values, "f_statistic") - 0.64 / 0.36 * 2.0).abs() < 1e-12);
    assert_eq!(value(&values, "reason"), ScalarValue::Utf8(None));
}

#[test]
fn what_is_not_defined_has_a_reason() {
    let reason = |values: Vec<ScalarValue>| match value(&values, "reason") {
        ScalarValue::Utf8(Some(reason)) => reason,
        other => panic!("{other}"),
    };
    assert_eq!(reason(fitted(&[], &[], &[], Errors::Equal)), NO_ROWS);
    assert!(reason(fitted(&[1.0, 2.0], &[1.0, 2.0], &["a"; 2], Errors::Equal)).contains("as many terms as rows"));
    assert!(
        reason(fitted(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], &["a"; 3], Errors::Equal)).contains("without a residual")
    );
    assert!(
        reason(fitted(&[1.0; 3], &[1.0, 2.0, 4.0], &["a"; 3], Errors::Robust)).contains("all values of y are equal")
    );
    assert_eq!(
        reason(fitted(&[1.0, 2.0, 5.0, 4.0], &[7.0; 4], &["a", "b", "a", "b"], Errors::Robust)),
        "left out, constant or a combination of the terms before: x"
    );
    let names: Vec<String> = (0..150).map(|index| index.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let y: Vec<f64> = (0..150).map(f64::from).collect();
    for errors in [Errors::Equal, Errors::Robust] {
        assert!(reason(fitted(&y, &y, &names, errors)).contains("name has more than 100 different strings"));
    }
    assert!(
        reason(fitted(&[1.7e308, -1.7e308, 1e300], &[1.0, 2.0, 4.0], &["a"; 3], Errors::Equal)).contains("too large")
    );
}

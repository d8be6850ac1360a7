//! What is evaluated, counted by a function that remembers its arguments.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringArray, StringViewArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use parking_lot::Mutex;

use super::DictionaryEvalExpr;

type Calls = Arc<Mutex<Vec<Option<String>>>>;

/// `shout(string)`: the string in capitals, NULL as 'none'; the string 'bad' is an error.
fn shout(calls: &Calls) -> ScalarUDF {
    let calls = Arc::clone(calls);
    let function = move |args: &[ColumnarValue]| -> Result<ColumnarValue> {
        let ColumnarValue::Array(strings) = &args[0] else { return exec_err!("an array is wanted") };
        let strings: Vec<Option<&str>> = strings.as_string_view().iter().collect();
        calls.lock().extend(strings.iter().map(|string| string.map(str::to_string)));
        if strings.contains(&Some("bad")) {
            return exec_err!("a bad string");
        }
        let shouted = strings.iter().map(|string| string.map_or("none".to_string(), str::to_uppercase));
        Ok(ColumnarValue::Array(Arc::new(StringViewArray::from_iter_values(shouted))))
    };
    create_udf("shout", vec![DataType::Utf8View], DataType::Utf8View, Volatility::Immutable, Arc::new(function))
}

/// `shout(k)` over the second of two columns.
fn expr(calls: &Calls, max_values: usize) -> (DictionaryEvalExpr, SchemaRef) {
    let fields = vec![Field::new("v", DataType::Int32, true), Field::new("k", DataType::Utf8View, true)];
    let schema = Arc::new(Schema::new(fields));
    let args: Vec<Arc<dyn PhysicalExpr>> = vec![Arc::new(Column::new("k", 1))];
    let options = Arc::new(ConfigOptions::default());
    let call = ScalarFunctionExpr::try_new(Arc::new(shout(calls)), args, &schema, options).unwrap();
    let call: Arc<dyn PhysicalExpr> = Arc::new(call);
    (DictionaryEvalExpr::try_new(&call, &schema, max_values).unwrap().unwrap(), schema)
}

fn batch(strings: ArrayRef) -> RecordBatch {
    let rows: ArrayRef = Arc::new(Int32Array::from_iter_values(0..strings.len() as i32));
    RecordBatch::try_from_iter([("v", rows), ("k", strings)]).unwrap()
}

fn evaluated(expr: &dyn PhysicalExpr, strings: ArrayRef) -> Vec<Option<String>> {
    let rows = strings.len();
    let array = expr.evaluate(&batch(strings)).unwrap().into_array(rows).unwrap();
    let strings = cast(&array, &DataType::Utf8).unwrap();
    strings.as_string::<i32>().iter().map(|string| string.map(str::to_string)).collect()
}

/// Row 0 is NULL, the others have one of three strings, one of which is no inline view.
fn rows() -> Vec<Option<&'static str>> {
    (0..2000).map(|row| (row > 0).then(|| ["a", "b", "a string of 21 bytes"][row % 3])).collect()
}

#[test]
fn distinct_strings_are_evaluated_once_across_batches() {
    for data_type in [DataType::Utf8View, DataType::Utf8, DataType::LargeUtf8] {
        let calls = Calls::default();
        let (expr, _) = expr(&calls, 100);
        for _ in 0..3 {
            let strings: ArrayRef = Arc::new(StringArray::from(rows()));
            let found = evaluated(&expr, cast(&strings, &data_type).unwrap());
            assert_eq!(found[..3], ["none", "B", "A STRING OF 21 BYTES"].map(|string| Some(string.to_string())));
            assert_eq!(found.len(), 2000);
        }
        let mut calls = calls.lock().clone();
        calls.sort();
        let once = [None, Some("a"), Some("a string of 21 bytes"), Some("b")];
        assert_eq!(calls, once.map(|string| string.map(str::to_string)), "{data_type}");
    }
}

#[test]
fn only_values_that_a_row_has_are_evaluated() {
    let calls = Calls::default();
    let (expr, _) = expr(&calls, 100);
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("bad"), Some("x"), None, Some("y")]));
    // rows: x, NULL key, NULL value, x; then y and x of the same dictionary
    for (keys, expected) in [
        (vec![Some(1), None, Some(2), Some(1)], vec!["X", "none", "none", "X"]),
        (vec![Some(3), Some(1)], vec!["Y", "X"]),
    ] {
        let dictionary = DictionaryArray::<Int32Type>::new(Int32Array::from(keys), Arc::clone(&values));
        let found = evaluated(&expr, Arc::new(dictionary));
        assert_eq!(found, expected.iter().map(|string| Some((*string).to_string())).collect::<Vec<_>>());
    }
    assert_eq!(calls.lock().len(), 4, "{:?}", calls.lock());
    let dictionary = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0]), values);
    let error = expr.evaluate(&batch(Arc::new(dictionary))).unwrap_err().to_string();
    assert!(error.contains("a bad string"), "{error}");
}

#[test]
fn many_distinct_strings_are_evaluated_row_by_row() {
    let calls = Calls::default();
    let (expr, schema) = expr(&calls, 100);
    let dictionaries = expr.with_dictionary_output().unwrap().unwrap();
    assert!(matches!(dictionaries.data_type(&schema).unwrap(), DataType::Dictionary(..)));
    let strings: Vec<String> = (0..2000).map(|row| format!("k{}", row % 101)).collect();
    for expr in [&expr, &dictionaries] {
        for _ in 0..2 {
            calls.lock().clear();
            let found = evaluated(expr, Arc::new(StringViewArray::from_iter_values(&strings)));
            assert_eq!(found[101], Some("K0".to_string()));
            assert_eq!(calls.lock().len(), 2000);
        }
    }
    // a long text is not kept
    let calls = Calls::default();
    let (expr, _) = self::expr(&calls, 100);
    let text = "t".repeat(1000);
    evaluated(&expr, Arc::new(StringViewArray::from_iter_values((0..2000).map(|_| &text))));
    assert_eq!(calls.lock().len(), 2000);
}

#[test]
fn a_few_rows_and_none_need_no_interner() {
    let calls = Calls::default();
    let (expr, _) = expr(&calls, 100);
    assert_eq!(evaluated(&expr, Arc::new(StringViewArray::from_iter_values(["a", "a"]))).len(), 2);
    assert!(evaluated(&expr, Arc::new(StringViewArray::new_null(0))).is_empty());
    assert_eq!(calls.lock().len(), 2);
}

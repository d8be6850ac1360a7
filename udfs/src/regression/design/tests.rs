use datafusion::arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, Int64Array, StringArray, StringViewArray, StructArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{Field, Fields, Int32Type, TimeUnit};
use datafusion::functions::core::r#struct;
use datafusion::prelude::{col, lit};

use super::*;

fn struct_of(columns: Vec<(&str, ArrayRef)>, nulls: Option<NullBuffer>) -> ArrayRef {
    let fields: Fields =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    Arc::new(StructArray::new(fields, columns.into_iter().map(|(_, column)| column).collect(), nulls))
}

fn encoder(column: &ArrayRef) -> FeatureEncoder {
    FeatureEncoder::new(features("f", column.data_type()).unwrap())
}

#[test]
fn numbers_flags_and_strings_are_encoded_and_what_is_unknown_is_nan() {
    let column = struct_of(
        vec![
            ("age", Arc::new(Int64Array::from(vec![Some(31), None, Some(52)]))),
            ("is_vip", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ("segment", Arc::new(StringArray::from(vec![Some("gold"), Some("basic"), None]))),
            ("share", Arc::new(Float64Array::from(vec![0.5, f64::INFINITY, f64::NAN]))),
        ],
        None,
    );
    let encoded = encoder(&column).encode(&column).unwrap();
    assert!(encoded[0][1].is_nan() && encoded[0][0] == 31.0);
    assert_eq!(encoded[1], [1.0, 0.0, 1.0]);
    assert!(encoded[2][2].is_nan() && encoded[2][..2] == [0.0, 1.0]);
    assert!(encoded[3][0] == 0.5 && encoded[3][1].is_nan() && encoded[3][2].is_nan());
}

#[test]
fn a_null_struct_has_no_known_feature() {
    let ages: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let column = struct_of(vec![("age", ages)], Some(NullBuffer::from(vec![true, false])));
    let encoded = encoder(&column).encode(&column).unwrap();
    assert!(encoded[0][0] == 1.0 && encoded[0][1].is_nan());
}

#[test]
fn strings_of_every_type_have_the_same_codes() {
    let values = ["b", "a", "b", "c"];
    let dictionary: DictionaryArray<Int32Type> = values.into_iter().collect();
    let columns: [ArrayRef; 3] = [
        Arc::new(StringArray::from_iter_values(values)),
        Arc::new(StringViewArray::from_iter_values(values)),
        Arc::new(dictionary),
    ];
    for column in columns {
        let column = struct_of(vec![("x", column)], None);
        assert_eq!(encoder(&column).encode(&column).unwrap()[0], [0.0, 1.0, 0.0, 2.0]);
    }
}

#[test]
fn the_most_frequent_level_is_the_baseline_and_of_ties_the_first() {
    let names: ArrayRef = Arc::new(StringArray::from(vec!["c", "b", "b", "a", "c"]));
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5]));
    let column = struct_of(vec![("n", numbers), ("x", names)], None);
    let mut encoder = encoder(&column);
    let encoded = encoder.encode(&column).unwrap();
    let rows: Vec<f64> = (0..5).flat_map(|row| [encoded[0][row], encoded[1][row]]).collect();
    let design = Design::of_rows(&encoder, &rows, 2, 0).unwrap();
    let names: Vec<&str> = design.terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(names, ["n", "x=a", "x=c"]);
    assert_eq!(design.baselines, [(1, "b".to_owned())]);
    let mut values = vec![];
    // the first row is n = 1, x = c, the second n = 2, x = b
    design.expand(&rows[..2], &mut values);
    design.expand(&rows[2..4], &mut values);
    assert_eq!(values, [1.0, 0.0, 1.0, 2.0, 0.0, 0.0]);
}

#[test]
fn too_many_levels_are_a_reason_and_do_not_grow_without_bound() {
    let column = |count: usize| {
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(|i| format!("customer {i}"))));
        struct_of(vec![("id", names)], None)
    };
    let of = |count: usize| {
        let column = column(count);
        let mut encoder = encoder(&column);
        let encoded = encoder.encode(&column).unwrap();
        (Design::of_rows(&encoder, &encoded[0], 1, 0), encoder.levels[0].names.len())
    };
    assert_eq!(of(MAX_LEVELS).0.map(|design| design.terms.len()), Ok(MAX_LEVELS - 1));
    let wanted = "feature id has more than 100 different strings; group them before, or leave it out";
    assert_eq!(of(MAX_LEVELS + 1).0, Err(wanted.to_owned()));
    let (design, kept) = of(MAX_STRINGS + 10);
    assert_eq!((design, kept), (Err(wanted.to_owned()), MAX_STRINGS));
}

#[test]
fn wrong_structs_are_refused() {
    let error = |data_type: &DataType| features("f", data_type).unwrap_err().strip_backtrace();
    let of = |names: &[(&str, DataType)]| {
        let fields = names.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
        DataType::Struct(fields.collect())
    };
    assert_eq!(
        error(&DataType::Int64),
        "Error during planning: f: features must be a struct such as struct(a, b), got Int64"
    );
    assert!(error(&of(&[])).contains("must be a struct"));
    assert!(error(&of(&[("at", DataType::Timestamp(TimeUnit::Second, None))])).contains("feature at must be a number"));
    assert!(error(&of(&[("a", DataType::Int8), ("a", DataType::Utf8)])).contains("two features are named a"));
    assert!(features("f", &of(&[("a", DataType::Decimal128(10, 2)), ("b", DataType::Null)])).is_ok());
}

#[test]
fn columns_of_a_struct_give_it_their_names() {
    let shown = |expr: &Expr| name_features(expr).map(|expr| expr.to_string());
    let plain = r#struct().call(vec![col("t.age"), col("csat") + lit(1), lit(2).alias("two")]);
    let wanted = r#"named_struct(Utf8("age"), t.age, Utf8("c1"), csat + Int32(1), Utf8("two"), Int32(2) AS two)"#;
    assert_eq!(shown(&plain).as_deref(), Some(wanted));
    // what struct(a, b as x) is planned as
    let mixed = named_struct().call(vec![lit("c0"), col("a"), lit("x"), col("b")]);
    assert_eq!(shown(&mixed).as_deref(), Some(r#"named_struct(Utf8("a"), a, Utf8("x"), b)"#));
    let named = named_struct().call(vec![lit("y"), col("a"), lit("x"), col("b")]);
    assert_eq!((shown(&named), shown(&col("a"))), (None, None));
}

#[test]
fn names_in_a_reason_are_few() {
    assert_eq!(listed(&["a"]), "a");
    assert_eq!(listed(&["a", "b"]), "a and b");
    assert_eq!(listed(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
}

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::array::{
    BinaryArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    LargeStringArray, StringArray, StringViewArray, StructArray, UInt8Array, UInt64Array,
};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{Int32Type, Int64Type, IntervalMonthDayNanoType};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::physical_expr::expressions::Column;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::*;

fn accumulator(data_type: &DataType) -> DistinctGroups {
    let schema = datafusion::arrow::datatypes::Schema::new(vec![Field::new("v", data_type.clone(), true)]);
    let inner = count_udaf()
        .create_groups_accumulator(AccumulatorArgs {
            return_field: Arc::new(Field::new("count", DataType::Int64, false)),
            schema: &schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: "count",
            is_distinct: false,
            exprs: &[Arc::new(Column::new("v", 0))],
            expr_fields: &[Arc::clone(&schema.fields()[0])],
        })
        .unwrap();
    let values = grouped_values(data_type).unwrap();
    let state = DataType::List(Arc::new(Field::new_list_field(values.state_type(), true)));
    DistinctGroups::new(inner, data_type, &state).unwrap()
}

/// Columns of every kind of type from numbers below `range`; a fifth is NULL.
fn columns(random: &mut Pcg64, rows: usize, range: i64) -> Vec<ArrayRef> {
    let mut ints = || -> Vec<Option<i64>> {
        (0..rows).map(|_| random.random_bool(0.8).then(|| random.random_range(0..range))).collect()
    };
    let text = |value: Option<i64>| {
        value.map(|v| if v % 3 == 0 { format!("a string of more than twelve bytes {v}") } else { format!("t{v}") })
    };
    let integers: ArrayRef = Arc::new(Int64Array::from(ints()));
    let strings = StringArray::from_iter(ints().into_iter().map(text));
    let small = cast(
        &(Arc::new(Int64Array::from_iter(ints().into_iter().map(|v| v.map(|v| v % 100)))) as ArrayRef),
        &DataType::Int8,
    )
    .unwrap();
    let far = Int64Array::from_iter(ints().into_iter().map(|v| v.map(|v| if v % 2 == 0 { -v } else { v << 40 })));
    let intervals = ints().into_iter().map(|v| v.map(|v| IntervalMonthDayNanoType::make_value(v as i32, 1, v)));
    let dictionary = DictionaryArray::<Int32Type>::new(
        Int32Array::from_iter(ints().into_iter().map(|v| v.map(|v| v as i32 % 7))),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("c"), Some("d"), Some("a"), Some(""), Some("unused")])),
    );
    let large = DictionaryArray::<Int32Type>::new(
        Int32Array::from_iter(ints().into_iter().map(|v| v.map(|v| (v % 50) as i32))),
        Arc::new(StringArray::from_iter_values((0..5000).map(|v| format!("value {}", v % 30)))),
    );
    let pair = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Int64, true)), Arc::clone(&integers)),
        (Arc::new(Field::new("b", DataType::Utf8, true)), Arc::new(strings.clone()) as ArrayRef),
    ]);
    vec![
        cast(&integers, &DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())))
            .unwrap(),
        cast(&integers, &DataType::Date32).unwrap(),
        cast(&integers, &DataType::Boolean).unwrap(),
        cast(&integers, &DataType::Float64).unwrap(),
        cast(&integers, &DataType::Float32).unwrap(),
        cast(&integers, &DataType::Decimal128(12, 2)).unwrap(),
        cast(&integers, &DataType::Decimal128(30, 2)).unwrap(),
        cast(&integers, &DataType::Decimal256(50, 2)).unwrap(),
        cast(&integers, &DataType::Duration(datafusion::arrow::datatypes::TimeUnit::Second)).unwrap(),
        cast(&strings, &DataType::Utf8View).unwrap(),
        cast(&strings, &DataType::LargeUtf8).unwrap(),
        cast(&strings, &DataType::BinaryView).unwrap(),
        Arc::new(BinaryArray::from_iter(ints().into_iter().map(|v| v.map(|v| v.to_le_bytes().to_vec())))),
        Arc::new(UInt64Array::from_iter(ints().into_iter().map(|v| v.map(|v| u64::MAX - v as u64)))),
        Arc::new(UInt8Array::from_iter(ints().into_iter().map(|v| v.map(|v| v as u8)))),
        Arc::new(IntervalMonthDayNanoArray::from_iter(intervals)),
        Arc::new(dictionary),
        Arc::new(large),
        Arc::new(pair),
        Arc::new(far),
        small,
        integers,
        Arc::new(strings),
    ]
}

/// The distinct values of each group, as text.
type Model = BTreeMap<usize, BTreeSet<String>>;

fn add(model: &mut Model, values: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>) {
    let unpacked = cast(values, domain::value_type(values.data_type())).unwrap();
    for (row, group) in groups.iter().enumerate() {
        let of_group = model.entry(*group).or_default();
        if unpacked.is_valid(row) && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) {
            of_group.insert(array_value_to_string(&unpacked, row).unwrap());
        }
    }
}

fn counts(model: &Model, groups: usize) -> Vec<i64> {
    (0..groups).map(|group| model.get(&group).map_or(0, |values| values.len() as i64)).collect()
}

fn as_counts(array: &ArrayRef) -> Vec<i64> {
    array.as_primitive::<Int64Type>().values().to_vec()
}

/// The values of each list, as text, without duplicates.
fn listed(state: &ArrayRef) -> Vec<BTreeSet<String>> {
    let lists = state.as_list::<i32>();
    let list = |row: usize| {
        let values = lists.value(row);
        let listed: BTreeSet<String> =
            (0..values.len()).map(|at| array_value_to_string(&values, at).unwrap()).collect();
        assert_eq!(listed.len(), values.len(), "a value twice in one state");
        listed
    };
    (0..lists.len()).map(list).collect()
}

#[test]
fn values_of_all_types_are_counted_once_per_group() {
    let mut random = Pcg64::seed_from_u64(1);
    for (rows, groups, range) in [(300, 1, 250), (2000, 700, 4), (3000, 50, 60)] {
        for index in 0..columns(&mut random, 1, 5).len() {
            let data_type = columns(&mut random, 1, 5)[index].data_type().clone();
            let (mut whole, mut partial) = (accumulator(&data_type), accumulator(&data_type));
            let (mut merged, mut model) = (accumulator(&data_type), Model::new());
            for batch in 0..4 {
                let values = columns(&mut random, rows, range).swap_remove(index);
                let of_rows: Vec<usize> = (0..rows).map(|_| random.random_range(0..groups)).collect();
                let mask = (0..rows).map(|_| random.random_bool(0.9).then(|| random.random_bool(0.8)));
                let mask: Option<BooleanArray> = (batch % 2 == 1).then(|| mask.collect());
                add(&mut model, &values, &of_rows, mask.as_ref());
                let columns = [values];
                whole.update_batch(&columns, &of_rows, mask.as_ref(), groups).unwrap();
                if batch == 3 {
                    // partial aggregation is skipped
                    let states = partial.convert_to_state(&columns, mask.as_ref()).unwrap();
                    merged.merge_batch(&states, &of_rows, groups).unwrap();
                } else {
                    partial.update_batch(&columns, &of_rows, mask.as_ref(), groups).unwrap();
                    let states = partial.state(EmitTo::All).unwrap();
                    let all: Vec<usize> = (0..groups).collect();
                    merged.merge_batch(&states, &all, groups).unwrap();
                }
            }
            let expected = counts(&model, groups);
            let states = whole.state(EmitTo::All).unwrap();
            let lengths: Vec<i64> = listed(&states[0]).iter().map(|list| list.len() as i64).collect();
            assert_eq!(lengths, expected, "{data_type}: state");
            assert_eq!(as_counts(&merged.evaluate(EmitTo::All).unwrap()), expected, "{data_type}: merged");
            // the accumulator is as new after its state was taken
            let all: Vec<usize> = (0..groups).collect();
            whole.merge_batch(&states, &all, groups).unwrap();
            assert_eq!(as_counts(&whole.evaluate(EmitTo::All).unwrap()), expected, "{data_type}: again");
        }
    }
}

/// Input that is sorted by its groups emits those that are complete; the others are renumbered.
#[test]
fn first_groups_are_emitted_and_the_others_renumbered() {
    let mut random = Pcg64::seed_from_u64(2);
    for index in 0..columns(&mut random, 1, 5).len() {
        let data_type = columns(&mut random, 1, 5)[index].data_type().clone();
        let (mut counting, mut stating) = (accumulator(&data_type), accumulator(&data_type));
        let (mut model, mut known) = (Model::new(), 0);
        for _ in 0..12 {
            known += 40;
            let values = [columns(&mut random, 400, 3000).swap_remove(index)];
            let of_rows: Vec<usize> = (0..400).map(|_| random.random_range(0..known)).collect();
            add(&mut model, &values[0], &of_rows, None);
            counting.update_batch(&values, &of_rows, None, known).unwrap();
            stating.update_batch(&values, &of_rows, None, known).unwrap();
            let first = known - 5;
            let expected = counts(&model, first);
            assert_eq!(as_counts(&counting.evaluate(EmitTo::First(first)).unwrap()), expected, "{data_type}");
            let states = stating.state(EmitTo::First(first)).unwrap();
            let lengths: Vec<i64> = listed(&states[0]).iter().map(|list| list.len() as i64).collect();
            assert_eq!(lengths, expected, "{data_type}: state");
            model =
                model.into_iter().filter(|(group, _)| *group >= first).map(|(group, v)| (group - first, v)).collect();
            known -= first;
        }
        assert_eq!(as_counts(&counting.evaluate(EmitTo::All).unwrap()), counts(&model, known), "{data_type}: rest");
        assert!(counting.size() < 20_000, "{data_type}: {} bytes of no values", counting.size());
    }
}

#[test]
fn states_hold_the_values() {
    let mut groups = accumulator(&DataType::Utf8View);
    let values: ArrayRef = Arc::new(StringViewArray::from(vec![Some("x"), Some("y"), None, Some("x"), Some("")]));
    groups.update_batch(&[values], &[0, 0, 2, 2, 2], None, 3).unwrap();
    let states = groups.state(EmitTo::All).unwrap();
    let set = |values: &[&str]| values.iter().map(|value| value.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(listed(&states[0]), [set(&["x", "y"]), set(&[]), set(&["", "x"])]);
    let strings = states[0].as_list::<i32>().values();
    assert!(strings.as_any().is::<LargeStringArray>(), "{}", strings.data_type());

    let mut groups = accumulator(&DataType::Decimal128(12, 2));
    let values: ArrayRef =
        Arc::new(Decimal128Array::from(vec![-999_999_999_999, 5, 5]).with_precision_and_scale(12, 2).unwrap());
    groups.update_batch(&[values], &[0, 0, 0], None, 1).unwrap();
    let states = groups.state(EmitTo::All).unwrap();
    assert_eq!(listed(&states[0]), [set(&["-9999999999.99", "0.05"])]);
}

/// A hundred thousand groups with a few strings, and one group with a hundred thousand.
#[test]
fn pairs_take_few_bytes() {
    let mut many = accumulator(&DataType::Utf8View);
    let strings = |range: i64| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values((0..100_000).map(|row: i64| format!("value {}", row % range))))
    };
    let groups: Vec<usize> = (0..100_000).collect();
    many.update_batch(&[strings(7)], &groups, None, 100_000).unwrap();
    // 8 bytes of the count, 8 of the pair and one of the table's tags, with room for growth
    assert!(many.size() < 100_000 * 30, "{}", many.size());
    let mut one = accumulator(&DataType::Utf8View);
    one.update_batch(&[strings(i64::MAX)], &vec![0; 100_000], None, 1).unwrap();
    // 11 bytes of the string, 8 of its start, 8 of its code and hash, 4 of its first group
    assert!(one.size() < 100_000 * 56, "{}", one.size());
    for (mut groups, expected) in [(many, 1), (one, 100_000)] {
        assert_eq!(as_counts(&groups.evaluate(EmitTo::All).unwrap())[0], expected);
        assert!(groups.size() < 4096, "{} bytes after all was emitted", groups.size());
    }
}

#[test]
fn one_group_of_strings_is_counted_as_it_grows() {
    let mut one = DistinctCount::new(&DataType::Utf8).unwrap();
    assert_eq!(one.evaluate().unwrap(), ScalarValue::Int64(Some(0)));
    let mut merged = DistinctCount::new(&DataType::Utf8).unwrap();
    merged.merge_batch(&[one.state().unwrap()[0].to_array().unwrap()]).unwrap();
    for (values, expected) in [(vec![Some("a"), None, Some("b")], 2), (vec![Some("b"), Some("c")], 3)] {
        one.update_batch(&[Arc::new(StringArray::from(values))]).unwrap();
        assert_eq!(one.evaluate().unwrap(), ScalarValue::Int64(Some(expected)));
        assert_eq!(one.evaluate().unwrap(), ScalarValue::Int64(Some(expected)));
    }
    let state = one.state().unwrap()[0].to_array().unwrap();
    let both = concat(&[&state, &state]).unwrap();
    merged.merge_batch(&[both]).unwrap();
    assert_eq!(merged.evaluate().unwrap(), ScalarValue::Int64(Some(3)));
}

#[test]
fn floats_are_told_apart_by_their_bits() {
    // the rule `float_equality` gives zeros and NaNs one form each before they come here
    let mut groups = accumulator(&DataType::Float64);
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, f64::NAN, f64::NAN, 1.5, 0.0]));
    groups.update_batch(&[values], &[0; 5], None, 1).unwrap();
    assert_eq!(as_counts(&groups.evaluate(EmitTo::All).unwrap()), [3]);
}

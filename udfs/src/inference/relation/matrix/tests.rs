use datafusion::arrow::array::BooleanArray;
use datafusion::arrow::datatypes::Int64Type;

use super::*;

const LEVEL: Level = Level { level: 0.95, z: 1.959_963_984_540_054 };

/// Marsaglia's xorshift64 (2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound as u64) as usize
    }
}

/// Three fields of a row; the last is a flag.
type Row = [Option<f64>; 3];

fn rows(random: &mut Random, count: usize) -> Vec<Row> {
    let number = |random: &mut Random| match random.below(12) {
        0 => None,
        1 => [f64::NAN, f64::INFINITY, -0.0, 1e6].get(random.below(4)).copied(),
        _ => Some(random.below(11) as f64),
    };
    (0..count).map(|_| [number(random), number(random), [Some(1.0), Some(0.0), None][random.below(3)]]).collect()
}

fn column(rows: &[Row]) -> Vec<ArrayRef> {
    let number = |field: usize| Arc::new(rows.iter().map(|row| row[field]).collect::<Float64Array>()) as ArrayRef;
    let flag = Arc::new(rows.iter().map(|row| row[2].map(|flag| flag == 1.0)).collect::<BooleanArray>());
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let fields = vec![field("a", DataType::Float64), field("b", DataType::Float64), field("c", DataType::Boolean)];
    vec![Arc::new(StructArray::try_new(fields.into(), vec![number(0), number(1), flag], None).unwrap())]
}

fn accumulator(method: Method, is_sliding: bool) -> MatrixAccumulator {
    MatrixAccumulator::new(["a", "b", "c"].map(String::from).to_vec(), method, LEVEL, is_sliding)
}

fn whole(method: Method, rows: &[Row]) -> Vec<Correlation> {
    let mut accumulator = accumulator(method, false);
    accumulator.update_batch(&column(rows)).unwrap();
    accumulator.correlations()
}

fn assert_same(got: &[Correlation], wanted: &[Correlation], rows: &[Row]) {
    let near = |got: Option<f64>, wanted: Option<f64>| match (got, wanted) {
        (Some(got), Some(wanted)) => (got - wanted).abs() <= 1e-9,
        (got, wanted) => got.is_none() && wanted.is_none(),
    };
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert_eq!(got.n, wanted.n, "{rows:?}");
        assert!(near(got.estimate, wanted.estimate), "{got:?} {wanted:?} of {rows:?}");
        // a coefficient a digit below 1 has an interval
        if wanted.estimate.is_none_or(|estimate| estimate.abs() < 1.0 - 1e-9) {
            assert!(near(got.p_value, wanted.p_value), "{got:?} {wanted:?} of {rows:?}");
            assert!(near(got.bounds.map(|bounds| bounds.0), wanted.bounds.map(|bounds| bounds.0)), "{rows:?}");
            assert!(near(got.bounds.map(|bounds| bounds.1), wanted.bounds.map(|bounds| bounds.1)), "{rows:?}");
            assert_eq!(got.reason, wanted.reason, "{rows:?}");
        }
    }
}

fn for_random_rows(seed: u64, mut check: impl FnMut(Method, &mut Random, &[Row])) {
    for method in [Method::Pearson, Method::Spearman] {
        let mut random = Random(seed);
        for round in 0..60 {
            let count = if round % 5 == 4 { 100 + random.below(200) } else { random.below(40) };
            let rows = rows(&mut random, count);
            check(method, &mut random, &rows);
        }
    }
}

#[test]
fn split_anywhere_and_merged_in_any_order_equals_the_whole() {
    for_random_rows(31, |method, random, rows| {
        let state = |rows: &[Row]| {
            let mut part = accumulator(method, false);
            part.update_batch(&column(rows)).unwrap();
            part.state().unwrap().iter().map(|state| state.to_array().unwrap()).collect::<Vec<_>>()
        };
        let mut states = vec![state(&[])];
        let mut rest = rows;
        while !rest.is_empty() {
            let (part, others) = rest.split_at(1 + random.below(rest.len()));
            states.push(state(part));
            rest = others;
        }
        let mut merged = accumulator(method, false);
        while !states.is_empty() {
            merged.merge_batch(&states.swap_remove(random.below(states.len()))).unwrap();
        }
        assert_same(&merged.correlations(), &whole(method, rows), rows);
    });
}

#[test]
fn sliding_equals_computing_each_frame() {
    for_random_rows(32, |method, random, rows| {
        let mut sliding = accumulator(method, true);
        assert!(sliding.supports_retract_batch());
        let (mut start, mut end) = (0, 0);
        while end < rows.len() {
            let grown = end + 1 + random.below(rows.len() - end);
            sliding.update_batch(&column(&rows[end..grown])).unwrap();
            end = grown;
            let shrunk = start + random.below(end - start + 1);
            sliding.retract_batch(&column(&rows[start..shrunk])).unwrap();
            start = shrunk;
            assert_same(&sliding.correlations(), &whole(method, &rows[start..end]), rows);
        }
    });
}

#[test]
fn a_figure_is_null_only_with_a_reason() {
    for_random_rows(33, |method, _, rows| {
        for correlation in whole(method, rows) {
            let lacks = correlation.estimate.is_none() || correlation.bounds.is_none() || correlation.p_value.is_none();
            assert_eq!(lacks, correlation.reason.is_some(), "{correlation:?} of {rows:?}");
            if let (Some(estimate), Some((low, high))) = (correlation.estimate, correlation.bounds) {
                assert!(low <= estimate && estimate <= high, "{correlation:?}");
            }
        }
    });
}

#[test]
fn memory_is_that_of_pairs_or_of_all_values() {
    let rows = rows(&mut Random(5), 1000);
    let size = |method| {
        let mut accumulator = accumulator(method, false);
        let empty = accumulator.size();
        accumulator.update_batch(&column(&rows)).unwrap();
        accumulator.size() - empty
    };
    assert_eq!(size(Method::Pearson), 0);
    assert!(size(Method::Spearman) >= 3 * 1000 * size_of::<f64>());
}

#[test]
fn the_result_and_the_state_are_of_the_declared_types() {
    let mut accumulator = accumulator(Method::Pearson, false);
    accumulator.update_batch(&column(&rows(&mut Random(7), 50))).unwrap();
    let result = accumulator.evaluate().unwrap();
    assert_eq!(result.data_type(), DataType::List(pair_item()));
    let list = result.to_array().unwrap();
    let pairs = list.as_list::<i32>().value(0);
    assert_eq!(pairs.len(), 3);
    assert_eq!(pairs.as_struct().column_by_name("n").unwrap().as_primitive::<Int64Type>().null_count(), 0);
    let state = accumulator.state().unwrap();
    assert_eq!(state.len(), 1);
    assert_eq!(state[0].data_type(), DataType::new_list(DataType::Float64, true));
}

#[test]
fn foreign_states_and_columns_are_errors() {
    let strings: ArrayRef = Arc::new(datafusion::arrow::array::StringArray::from(vec!["a"]));
    for method in [Method::Pearson, Method::Spearman] {
        let mut accumulator = accumulator(method, false);
        assert!(accumulator.update_batch(&[Arc::clone(&strings)]).is_err());
        assert!(accumulator.merge_batch(&[Arc::clone(&strings)]).is_err());
        assert!(accumulator.merge_batch(&[]).is_err());
        let short = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(1.0), Some(2.0)])]);
        assert!(accumulator.merge_batch(&[Arc::new(short)]).is_err());
    }
}

#[test]
fn fields_of_struct_have_the_names_of_their_columns() {
    use datafusion::functions::core::r#struct;
    use datafusion::prelude::col;

    let call = |args: Vec<Expr>| Expr::ScalarFunction(ScalarFunction::new_udf(r#struct(), args));
    let names = |x: &Expr| match named(x) {
        Some(Expr::ScalarFunction(call)) => call.args.iter().step_by(2).map(ToString::to_string).collect(),
        _ => vec![],
    };
    assert_eq!(names(&call(vec![col("t.a"), col("t.b")])), ["Utf8(\"a\")", "Utf8(\"b\")"]);
    assert!(names(&call(vec![col("t.a"), col("u.a")])).is_empty());
    assert!(names(&col("x")).is_empty());
}

#[test]
fn every_pair_is_there_once() {
    assert_eq!(pairs(3).collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 2)]);
    assert_eq!(pairs(MOST_FIELDS).count(), 4950);
}

#[test]
fn ranks_of_whole_columns_are_those_of_each_pair() {
    let whole: Vec<f64> = (0..50_u32).map(|i| f64::from(i * 7 % 23)).collect();
    let other: Vec<f64> = (0..50_u32).map(|i| f64::from(i * 11 % 19)).collect();
    let gaps: Vec<f64> = (0..50_u32).map(|i| if i % 5 == 0 { f64::NAN } else { f64::from(i % 9) }).collect();
    let moments = pair_ranks(&[whole.clone(), other.clone(), gaps.clone()]);
    assert_eq!(moments[0], rank_moments(&ranks(&whole), &ranks(&other)));
    let (kept, known): (Vec<f64>, Vec<f64>) = whole.iter().zip(&gaps).filter(|(_, gap)| !gap.is_nan()).unzip();
    assert_eq!(moments[1], rank_moments(&ranks(&kept), &ranks(&known)));
}

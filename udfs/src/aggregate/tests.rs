//! Properties of every aggregate, driven through DataFusion's own interfaces over random rows.

use datafusion::arrow::array::StringArray;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{col, lit};

use super::*;

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

#[derive(Debug, Clone, Copy)]
struct Row {
    number: [Option<f64>; 3],
    flag: Option<bool>,
}

/// Rows with much of what may go wrong, or with nothing that may.
fn rows(random: &mut Random, count: usize, is_dirty: bool) -> Vec<Row> {
    const CLEAN: [f64; 14] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 0.0, 5.0, 10.0];
    const DIRTY: [f64; 10] = [-1.0, 11.0, 7.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e9, 0.1, 1e-3, 4.999];
    let number = |random: &mut Random| match random.below(10) {
        0 | 1 if is_dirty => None,
        2 if is_dirty => Some(random.one_of(&DIRTY)),
        _ => Some(random.one_of(&CLEAN)),
    };
    let flag = |random: &mut Random| match random.below(10) {
        0 | 1 if is_dirty => None,
        value => Some(value % 3 == 0),
    };
    (0..count).map(|_| Row { number: [number(random), number(random), number(random)], flag: flag(random) }).collect()
}

/// Flags with true under every null.
fn flag_array(flags: impl Iterator<Item = Option<bool>> + Clone) -> BooleanArray {
    let values = flags.clone().map(|flag| flag.unwrap_or(true)).collect::<Vec<_>>();
    let known = flags.map(|flag| flag.is_some()).collect::<Vec<_>>();
    BooleanArray::new(values.into(), Some(known.into()))
}

/// The columns a, b, c, flag, as an offset slice of longer arrays: offsets into bitmaps must be right too.
fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let pad = Row { number: [Some(10.0); 3], flag: Some(true) };
    let padded = [&[pad; 3], rows, &[pad; 2]].concat();
    // Under a null lies a value that would count.
    let mut columns = (0..3)
        .map(|index| {
            let values = padded.iter().map(|row| row.number[index].unwrap_or(3.0)).collect::<Vec<_>>();
            let known = padded.iter().map(|row| row.number[index].is_some()).collect::<Vec<_>>();
            Arc::new(Float64Array::new(values.into(), Some(known.into()))) as ArrayRef
        })
        .collect::<Vec<_>>();
    columns.push(Arc::new(flag_array(padded.iter().map(|row| row.flag))));
    columns.iter().map(|column| column.slice(3, rows.len())).collect()
}

struct Case {
    name: &'static str,
    function: &'static str,
    /// The columns among a, b, c, flag that are its first arguments.
    arguments: &'static [usize],
    constants: Vec<ScalarValue>,
    /// The same, row by row, in the plainest way.
    oracle: fn(&[Row]) -> Option<f64>,
}

fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values = values.into_iter().collect::<Vec<_>>();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn duration(value: Option<f64>) -> Option<f64> {
    value.filter(|seconds| *seconds >= 0.0 && seconds.is_finite())
}

/// Answered within 4, answered, abandoned within 4, abandoned within 1, abandoned, of the rows that are known.
fn queue_counts(rows: &[Row]) -> [f64; 5] {
    let known = rows.iter().filter_map(|row| Some((duration(row.number[0])?, row.flag?))).collect::<Vec<_>>();
    let count = |is_abandoned: bool, limit_s: f64| {
        known.iter().filter(|(wait_s, flag)| *flag == is_abandoned && *wait_s <= limit_s).count() as f64
    };
    [count(false, 4.0), count(false, 1e300), count(true, 4.0), count(true, 1.0), count(true, 1e300)]
}

fn ratio(over: f64, under: f64) -> Option<f64> {
    (under > 0.0).then(|| over / under)
}

fn cases() -> Vec<Case> {
    fn nps(rows: &[Row]) -> Option<f64> {
        let scores =
            rows.iter().filter_map(|row| row.number[0]).filter(|score| (0..11).any(|x| f64::from(x) == *score));
        mean(scores.map(|score| {
            if score > 8.5 {
                100.0
            } else if score < 6.5 {
                -100.0
            } else {
                0.0
            }
        }))
    }
    fn csat(rows: &[Row]) -> Option<f64> {
        let scores = rows.iter().filter_map(|row| row.number[0]);
        mean(scores.filter(|s| [1.0, 2.0, 3.0, 4.0, 5.0].contains(s)).map(|s| f64::from(s > 3.5)))
    }
    fn csat_seven(rows: &[Row]) -> Option<f64> {
        let scores = rows.iter().filter_map(|row| row.number[0]);
        mean(scores.filter(|s| (0..8).any(|x| f64::from(x) == *s)).map(|s| f64::from(s >= 5.0)))
    }
    fn rate(rows: &[Row]) -> Option<f64> {
        mean(rows.iter().filter_map(|row| row.flag).map(f64::from))
    }
    fn aht(rows: &[Row]) -> Option<f64> {
        mean(rows.iter().filter_map(|row| row.number.into_iter().filter_map(duration).reduce(|one, other| one + other)))
    }
    fn aht_answered(rows: &[Row]) -> Option<f64> {
        aht(&rows.iter().copied().filter(|row| row.flag == Some(false)).collect::<Vec<_>>())
    }
    fn abandonment(rows: &[Row]) -> Option<f64> {
        let known = rows.iter().filter(|row| match row.flag {
            None => false,
            Some(false) => true,
            Some(true) => duration(row.number[0]).is_some_and(|wait_s| wait_s > 1.0),
        });
        mean(known.map(|row| f64::from(row.flag == Some(true))))
    }
    let case = |name, function, arguments, constants, oracle| Case { name, function, arguments, constants, oracle };
    let number = |value: f64| ScalarValue::Float64(Some(value));
    let dialect = |name: &'static str, short: Option<f64>, oracle| Case {
        name,
        function: "service_level",
        arguments: &[0, 3],
        constants: vec![number(4.0), ScalarValue::from(name), ScalarValue::Float64(short)],
        oracle,
    };
    vec![
        case("nps", "nps", &[0], vec![], nps),
        case("csat", "csat", &[0], vec![], csat),
        case("csat of 0 to 7", "csat", &[0], vec![number(5.0), number(7.0), number(0.0)], csat_seven),
        case("rate", "rate", &[3], vec![], rate),
        case("fcr", "fcr", &[3], vec![], rate),
        case("aht", "aht", &[0, 1, 2], vec![], aht),
        case("aht of answered", "aht", &[0, 1, 2, 3], vec![], aht_answered),
        case("abandonment_rate", "abandonment_rate", &[3], vec![], rate),
        case("late abandonment_rate", "abandonment_rate", &[3, 0], vec![number(1.0)], abandonment),
        dialect("offered", None, |rows| {
            let [aw, a, ..] = queue_counts(rows);
            // an abandoned contact needs no wait
            let abandoned = rows.iter().filter(|row| row.flag == Some(true)).count() as f64;
            ratio(aw, a + abandoned)
        }),
        dialect("answered", None, |rows| {
            let [aw, a, ..] = queue_counts(rows);
            ratio(aw, a)
        }),
        dialect("late_abandons", None, |rows| {
            let [aw, a, bw, _, b] = queue_counts(rows);
            ratio(aw, a + b - bw)
        }),
        dialect("connect", None, |rows| {
            let [aw, a, bw, _, b] = queue_counts(rows);
            ratio(aw + bw, a + b)
        }),
        dialect("short_met", Some(1.0), |rows| {
            let [aw, a, _, s, b] = queue_counts(rows);
            ratio(aw + s, a + b)
        }),
        dialect("Genesys", Some(1.0), |rows| {
            let [aw, a, _, s, b] = queue_counts(rows);
            ratio(aw, a + b - s)
        }),
    ]
}

fn schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Float64, true);
    Arc::new(Schema::new(vec![number("a"), number("b"), number("c"), Field::new("flag", DataType::Boolean, true)]))
}

impl Case {
    fn try_expr(&self, is_distinct: bool) -> Result<AggregateFunctionExpr> {
        let schema = schema();
        let columns = self.arguments.iter().map(|index| col(schema.field(*index).name(), &schema));
        let constants = self.constants.iter().map(|value| Ok(lit(value.clone())));
        let args = columns.chain(constants).collect::<Result<Vec<Arc<dyn PhysicalExpr>>>>()?;
        let functions = crate::aggregate_functions();
        let function = functions.iter().find(|function| function.name() == self.function).unwrap();
        let builder = AggregateExprBuilder::new(Arc::clone(function), args);
        builder.schema(schema).alias("result").with_distinct(is_distinct).build()
    }

    fn expr(&self) -> AggregateFunctionExpr {
        self.try_expr(false).unwrap()
    }

    /// The arguments as DataFusion evaluates them: the columns, and each constant repeated.
    fn args(&self, rows: &[Row]) -> Vec<ArrayRef> {
        let columns = columns(rows);
        let constants = self.constants.iter().map(|value| value.to_array_of_size(rows.len()).unwrap());
        self.arguments.iter().map(|index| Arc::clone(&columns[*index])).chain(constants).collect()
    }

    fn assert_near(&self, got: Option<f64>, wanted: Option<f64>, what: &str) {
        let is_near = match (got, wanted) {
            (Some(got), Some(wanted)) => (got - wanted).abs() <= 1e-9 * wanted.abs().max(1.0),
            (got, wanted) => got == wanted,
        };
        assert!(is_near, "{}, {what}: got {got:?}, wanted {wanted:?}", self.name);
    }
}

fn value(scalar: ScalarValue) -> Option<f64> {
    match scalar {
        ScalarValue::Float64(value) => value,
        other => panic!("no Float64: {other:?}"),
    }
}

fn values(array: &ArrayRef) -> Vec<Option<f64>> {
    array.as_primitive::<Float64Type>().iter().collect()
}

fn state_arrays(accumulator: &mut dyn Accumulator) -> Vec<ArrayRef> {
    accumulator.state().unwrap().iter().map(|scalar| scalar.to_array().unwrap()).collect()
}

/// Calls `check` with many small and a few large sets of rows.
fn for_random_rows(seed: u64, mut check: impl FnMut(&Case, &mut Random, &[Row])) {
    for case in cases() {
        let mut random = Random(seed);
        for round in 0..60 {
            let count = match round % 6 {
                0 => random.below(3),
                5 => 200 + random.below(500),
                _ => 1 + random.below(70),
            };
            let rows = rows(&mut random, count, round % 3 != 0);
            check(&case, &mut random, &rows);
        }
    }
}

#[test]
fn whole_equals_the_plain_formula() {
    for_random_rows(11, |case, _, rows| {
        let mut accumulator = case.expr().create_accumulator().unwrap();
        accumulator.update_batch(&case.args(rows)).unwrap();
        case.assert_near(value(accumulator.evaluate().unwrap()), (case.oracle)(rows), "whole");
    });
}

#[test]
fn split_anywhere_and_merged_in_any_order_equals_the_whole() {
    for_random_rows(12, |case, random, rows| {
        let expr = case.expr();
        let mut states = vec![];
        let mut rest = rows;
        while !rest.is_empty() {
            let (part, others) = rest.split_at(1 + random.below(rest.len()));
            let mut accumulator = expr.create_accumulator().unwrap();
            accumulator.update_batch(&case.args(part)).unwrap();
            states.push(state_arrays(accumulator.as_mut()));
            rest = others;
        }
        let mut merged = expr.create_accumulator().unwrap();
        while !states.is_empty() {
            merged.merge_batch(&states.swap_remove(random.below(states.len()))).unwrap();
        }
        case.assert_near(value(merged.evaluate().unwrap()), (case.oracle)(rows), "merged");
    });
}

#[test]
fn sliding_equals_computing_each_frame() {
    for_random_rows(13, |case, random, rows| {
        let mut accumulator = case.expr().create_sliding_accumulator().unwrap();
        let (mut start, mut end) = (0, 0);
        while end < rows.len() {
            let grown = end + 1 + random.below(rows.len() - end);
            accumulator.update_batch(&case.args(&rows[end..grown])).unwrap();
            end = grown;
            let shrunk = start + random.below(end - start + 1);
            accumulator.retract_batch(&case.args(&rows[start..shrunk])).unwrap();
            start = shrunk;
            let wanted = (case.oracle)(&rows[start..end]);
            case.assert_near(value(accumulator.evaluate().unwrap()), wanted, "frame");
        }
    });
}

/// Random group and filter of each row; some groups get no row.
fn grouping(random: &mut Random, count: usize) -> (Vec<usize>, BooleanArray, usize) {
    let group_count = 1 + random.below(9);
    let groups = (0..count).map(|_| random.below(group_count)).collect();
    let filter = (0..count).map(|_| random.one_of(&[Some(true), Some(true), Some(false), None])).collect::<Vec<_>>();
    (groups, flag_array(filter.into_iter()), group_count)
}

fn of_group(rows: &[Row], groups: &[usize], filter: Option<&BooleanArray>, group: usize) -> Vec<Row> {
    let is_kept = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
    (0..rows.len()).filter(|row| groups[*row] == group && is_kept(*row)).map(|row| rows[row]).collect()
}

#[test]
fn grouped_equals_each_group_alone() {
    for_random_rows(14, |case, random, rows| {
        let (groups, filter, group_count) = grouping(random, rows.len());
        let filter = (random.below(2) == 0).then_some(filter);
        let mut grouped = case.expr().create_groups_accumulator().unwrap();
        // In two batches, the first of which knows fewer groups.
        let cut = random.below(rows.len() + 1);
        let known = groups[..cut].iter().max().map_or(0, |last| last + 1);
        for (from, to, known) in [(0, cut, known), (cut, rows.len(), group_count)] {
            let filter = filter.as_ref().map(|filter| filter.slice(from, to - from));
            grouped.update_batch(&case.args(&rows[from..to]), &groups[from..to], filter.as_ref(), known).unwrap();
        }
        assert!(grouped.size() >= group_count * 16);
        // The first groups leave, the others move down.
        let first = random.below(group_count + 1);
        let mut results = values(&grouped.evaluate(EmitTo::First(first)).unwrap());
        assert_eq!(results.len(), first);
        results.extend(values(&grouped.evaluate(EmitTo::All).unwrap()));
        assert_eq!(results.len(), group_count);
        for (group, result) in results.into_iter().enumerate() {
            let wanted = (case.oracle)(&of_group(rows, &groups, filter.as_ref(), group));
            case.assert_near(result, wanted, "group");
        }
    });
}

#[test]
fn grouped_state_and_converted_rows_merge_to_the_whole() {
    for_random_rows(15, |case, random, rows| {
        let (groups, filter, group_count) = grouping(random, rows.len());
        let filter = (random.below(2) == 0).then_some(filter);
        let cut = random.below(rows.len() + 1);
        let filter_of = |from: usize, to: usize| filter.as_ref().map(|filter| filter.slice(from, to - from));
        let expr = case.expr();

        let mut partial = expr.create_groups_accumulator().unwrap();
        let first_filter = filter_of(0, cut);
        partial.update_batch(&case.args(&rows[..cut]), &groups[..cut], first_filter.as_ref(), group_count).unwrap();
        let first = random.below(group_count + 1);
        let mut states = vec![(partial.state(EmitTo::First(first)).unwrap(), (0..first).collect::<Vec<_>>())];
        states.push((partial.state(EmitTo::All).unwrap(), (first..group_count).collect()));
        let converted =
            partial.convert_to_state(&case.args(&rows[cut..]), filter_of(cut, rows.len()).as_ref()).unwrap();
        states.push((converted, groups[cut..].to_vec()));

        let mut merged = expr.create_groups_accumulator().unwrap();
        while !states.is_empty() {
            let (state, groups) = states.swap_remove(random.below(states.len()));
            merged.merge_batch(&state, &groups, group_count).unwrap();
        }
        for (group, result) in values(&merged.evaluate(EmitTo::All).unwrap()).into_iter().enumerate() {
            let wanted = (case.oracle)(&of_group(rows, &groups, filter.as_ref(), group));
            case.assert_near(result, wanted, "merged group");
        }
    });
}

#[test]
fn state_columns_are_what_is_declared() {
    for case in cases() {
        let expr = case.expr();
        let declared = expr.state_fields().unwrap();
        let mut accumulator = expr.create_accumulator().unwrap();
        accumulator.update_batch(&case.args(&rows(&mut Random(3), 20, true))).unwrap();
        let row = state_arrays(accumulator.as_mut());
        let mut grouped = expr.create_groups_accumulator().unwrap();
        grouped.update_batch(&case.args(&[]), &[], None, 2).unwrap();
        for state in [row, grouped.state(EmitTo::All).unwrap()] {
            let types = state.iter().map(|column| column.data_type()).collect::<Vec<_>>();
            assert_eq!(types, declared.iter().map(|field| field.data_type()).collect::<Vec<_>>(), "{}", case.name);
        }
        assert!(expr.is_nullable() && expr.field().is_nullable());
    }
}

#[test]
fn foreign_state_and_columns_are_errors() {
    for case in cases() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let text = vec![column; 5];
        let mut accumulator = case.expr().create_accumulator().unwrap();
        assert!(accumulator.update_batch(&text).is_err(), "{}", case.name);
        assert!(accumulator.merge_batch(&text).is_err(), "{}", case.name);
        let mut grouped = case.expr().create_groups_accumulator().unwrap();
        assert!(grouped.update_batch(&text, &[0], None, 1).is_err(), "{}", case.name);
        assert!(grouped.merge_batch(&[], &[0], 1).is_err(), "{}", case.name);
    }
}

#[test]
fn distinct_is_refused() {
    for case in cases() {
        let expr = case.try_expr(true).unwrap();
        for error in [
            expr.create_accumulator().err(),
            expr.create_sliding_accumulator().err(),
            expr.create_groups_accumulator().err(),
            expr.state_fields().err(),
        ] {
            let error = error.unwrap().strip_backtrace();
            assert!(error.starts_with(&format!("Error during planning: {}: DISTINCT", case.function)), "{error}");
        }
    }
}

#[test]
fn constants_that_are_columns_are_refused_by_the_physical_call() {
    let case = Case { name: "", function: "csat", arguments: &[0, 1], constants: vec![], oracle: |_| None };
    let error = case.expr().create_groups_accumulator().err().unwrap().strip_backtrace();
    assert_eq!(error, "Error during planning: csat: satisfied_from must be a constant, got b@1");
}

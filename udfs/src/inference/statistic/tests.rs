//! What every function of the family has in common: however rows are split, grouped, filtered or windowed, the result is that
//! of all rows at once. That one is compared with other programs in `tests/slt`.

use datafusion::arrow::array::{AsArray, Float64Array, Int64Array, StringArray, StructArray};
use datafusion::arrow::datatypes::{Float64Type, Int64Type, Schema, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{col, lit};

use super::*;

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

#[derive(Debug, Clone, Copy)]
struct Row {
    x: Option<f64>,
    y: Option<f64>,
    flag: Option<bool>,
    group: Option<&'static str>,
    label: Option<&'static str>,
}

fn rows(random: &mut Random, count: usize) -> Vec<Row> {
    const NUMBERS: [f64; 4] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e6];
    (0..count)
        .map(|_| {
            let mut number = || match random.below(12) {
                0 => None,
                1 => NUMBERS.get(random.below(4)).copied(),
                _ => Some(random.below(11) as f64),
            };
            let (x, y) = (number(), number());
            let flag = [Some(true), Some(false), None][random.below(3)];
            let group = [Some("old"), Some("new"), None][random.below(3).min(random.below(3))];
            let label = [Some("a"), Some("b"), Some("c"), None][random.below(4)];
            Row { x, y, flag, group, label }
        })
        .collect()
}

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    vec![
        Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.y).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.group).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.label).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.y.filter(|y| y.is_finite()).map(|y| y as i64)).collect::<Int64Array>()),
    ]
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("x", DataType::Float64),
        field("y", DataType::Float64),
        field("flag", DataType::Boolean),
        field("group", DataType::Utf8),
        field("label", DataType::Utf8),
        field("day", DataType::Int64),
    ]))
}

/// A function, its columns, and its constants.
struct Case {
    function: &'static str,
    arguments: &'static [usize],
    constants: Vec<ScalarValue>,
}

fn cases() -> Vec<Case> {
    let case = |function, arguments| Case { function, arguments, constants: vec![] };
    let old = |function, arguments| Case { function, arguments, constants: vec![ScalarValue::from("old")] };
    let cases = vec![
        case("proportion_ci", &[2][..]),
        case("fcr_ci", &[2]),
        case("csat_ci", &[0]),
        case("nps_ci", &[0]),
        case("mean_ci", &[0]),
        case("median_ci", &[0]),
        case("always_valid_ci", &[0]),
        case("always_valid_ci", &[2]),
        case("paired_test", &[0, 1]),
        case("proportion_test", &[2, 3]),
        case("nps_test", &[0, 3]),
        old("welch_test", &[0, 3]),
        case("mann_whitney_test", &[0, 3]),
        case("cohens_h", &[2, 3]),
        case("cohens_d", &[0, 3]),
        old("cliffs_delta", &[0, 3]),
        case("chi_square_test", &[3, 4]),
        case("cramers_v", &[4, 2]),
        case("fisher_test", &[2, 3]),
        case("anova", &[0, 4]),
        case("kruskal_test", &[0, 4]),
        case("mad", &[0]),
        case("changepoints", &[5, 0]),
        Case {
            constants: vec![ScalarValue::from("binseg"), ScalarValue::from("mean_variance")],
            ..case("changepoints", &[1, 0])
        },
        case("trend_test", &[1, 0]),
        case("trend_test", &[5, 0]),
        Case { constants: vec![ScalarValue::from(3_i64)], ..case("season_test", &[5, 0]) },
        case("skewness", &[0]),
        case("kurtosis", &[0]),
        case("describe", &[0]),
        case("histogram", &[0]),
        Case { constants: vec![ScalarValue::from(4_i64)], ..case("histogram", &[0]) },
        case("weighted_mean", &[0, 1]),
        Case { constants: vec![ScalarValue::from(0.3)], ..case("weighted_quantile", &[0, 1]) },
        case("gini", &[0]),
        case("entropy", &[4]),
        case("spearman", &[0, 1]),
        case("kendall", &[0, 1]),
        case("kendall", &[0, 2]),
        case("mutual_information", &[3, 4]),
        case("correlation_ratio", &[4, 0]),
    ];
    let tested: std::collections::BTreeSet<_> = cases.iter().map(|case| case.function).collect();
    // correlation_matrix, whose result is no figures of one type each, has its own tests
    assert_eq!(tested.len(), crate::inference::aggregate_functions().len() - 1, "a function is not tested");
    cases
}

impl Case {
    fn try_expr(&self, is_distinct: bool) -> Result<AggregateFunctionExpr> {
        let schema = schema();
        let columns = self.arguments.iter().map(|index| col(schema.field(*index).name(), &schema));
        let constants = self.constants.iter().map(|value| Ok(lit(value.clone())));
        let args = columns.chain(constants).collect::<Result<Vec<Arc<dyn PhysicalExpr>>>>()?;
        let functions = crate::inference::aggregate_functions();
        let function = functions.iter().find(|function| function.name() == self.function).unwrap();
        let builder = AggregateExprBuilder::new(Arc::clone(function), args);
        builder.schema(schema).alias("result").with_distinct(is_distinct).build()
    }

    fn expr(&self) -> AggregateFunctionExpr {
        self.try_expr(false).unwrap()
    }

    fn args(&self, rows: &[Row]) -> Vec<ArrayRef> {
        let columns = columns(rows);
        let constants = self.constants.iter().map(|value| value.to_array_of_size(rows.len()).unwrap());
        self.arguments.iter().map(|index| Arc::clone(&columns[*index])).chain(constants).collect()
    }

    fn whole(&self, rows: &[Row]) -> ArrayRef {
        let mut accumulator = self.expr().create_accumulator().unwrap();
        accumulator.update_batch(&self.args(rows)).unwrap();
        let result = array(accumulator.evaluate().unwrap());
        // A window evaluates again and again.
        assert_eq!(&array(accumulator.evaluate().unwrap()), &result, "{} twice", self.function);
        result
    }

    /// Compares row `index` of `got` with the result of `rows`.
    fn assert_same(&self, got: &ArrayRef, index: usize, rows: &[Row], what: &str) {
        let (wanted, got) = (fields(&self.whole(rows)), fields(got));
        for (field, wanted) in wanted.fields().iter().zip(wanted.columns()) {
            let got = got.column_by_name(field.name()).unwrap();
            let is_same = match field.data_type() {
                DataType::Float64 => {
                    let value = |array: &ArrayRef, index: usize| {
                        array.is_valid(index).then(|| array.as_primitive::<Float64Type>().value(index))
                    };
                    match (value(got, index), value(wanted, 0)) {
                        (Some(got), Some(wanted)) => {
                            got == wanted || (got - wanted).abs() <= 1e-9 * wanted.abs().max(1.0)
                        }
                        (got, wanted) => got == wanted,
                    }
                }
                _ => got.slice(index, 1).to_data() == wanted.to_data(),
            };
            let text = |array: &ArrayRef, index: usize| {
                let options = FormatOptions::default().with_null("NULL");
                ArrayFormatter::try_new(array, &options).unwrap().value(index).to_string()
            };
            assert!(
                is_same,
                "{}, {what}, {}: got {}, wanted {}, of {rows:?}",
                self.function,
                field.name(),
                text(got, index),
                text(wanted, 0)
            );
        }
    }
}

/// The fields of a result; one that is no STRUCT is its only field.
fn fields(result: &ArrayRef) -> StructArray {
    result.as_struct_opt().cloned().unwrap_or_else(|| {
        let field = Field::new("value", result.data_type().clone(), true);
        StructArray::from(vec![(Arc::new(field), Arc::clone(result))])
    })
}

fn array(scalar: ScalarValue) -> ArrayRef {
    scalar.to_array().unwrap()
}

fn state_arrays(accumulator: &mut dyn Accumulator) -> Vec<ArrayRef> {
    accumulator.state().unwrap().iter().map(|scalar| scalar.to_array().unwrap()).collect()
}

fn for_random_rows(seed: u64, mut check: impl FnMut(&Case, &mut Random, &[Row])) {
    for case in cases() {
        let mut random = Random(seed);
        for round in 0..30 {
            let count = match round % 5 {
                0 => random.below(4),
                4 => 100 + random.below(200),
                _ => 1 + random.below(40),
            };
            let rows = rows(&mut random, count);
            check(&case, &mut random, &rows);
        }
    }
}

#[test]
fn split_anywhere_and_merged_in_any_order_equals_the_whole() {
    for_random_rows(21, |case, random, rows| {
        let expr = case.expr();
        let mut states = vec![state_arrays(expr.create_accumulator().unwrap().as_mut())];
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
        case.assert_same(&array(merged.evaluate().unwrap()), 0, rows, "merged");
    });
}

#[test]
fn sliding_equals_computing_each_frame() {
    for_random_rows(22, |case, random, rows| {
        let mut accumulator = case.expr().create_sliding_accumulator().unwrap();
        assert!(accumulator.supports_retract_batch());
        let (mut start, mut end) = (0, 0);
        while end < rows.len() {
            let grown = end + 1 + random.below(rows.len() - end);
            accumulator.update_batch(&case.args(&rows[end..grown])).unwrap();
            end = grown;
            let shrunk = start + random.below(end - start + 1);
            accumulator.retract_batch(&case.args(&rows[start..shrunk])).unwrap();
            start = shrunk;
            case.assert_same(&array(accumulator.evaluate().unwrap()), 0, &rows[start..end], "frame");
            assert!(accumulator.size() > 0);
        }
    });
}

/// Random group and filter of each row; some groups get no row.
fn grouping(random: &mut Random, count: usize) -> (Vec<usize>, Option<BooleanArray>, usize) {
    let group_count = 1 + random.below(5);
    let groups = (0..count).map(|_| random.below(group_count)).collect();
    let filter: BooleanArray =
        (0..count).map(|_| [Some(true), Some(true), Some(false), None][random.below(4)]).collect();
    (groups, (random.below(2) == 0).then_some(filter), group_count)
}

fn of_group(rows: &[Row], groups: &[usize], filter: Option<&BooleanArray>, group: usize) -> Vec<Row> {
    let is_kept = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
    (0..rows.len()).filter(|row| groups[*row] == group && is_kept(*row)).map(|row| rows[row]).collect()
}

#[test]
fn grouped_equals_each_group_alone() {
    for_random_rows(23, |case, random, rows| {
        let (groups, filter, group_count) = grouping(random, rows.len());
        let mut grouped = case.expr().create_groups_accumulator().unwrap();
        // In two batches, the first of which knows fewer groups.
        let cut = random.below(rows.len() + 1);
        let known = groups[..cut].iter().max().map_or(0, |last| last + 1);
        for (from, to, known) in [(0, cut, known), (cut, rows.len(), group_count)] {
            let filter = filter.as_ref().map(|filter| filter.slice(from, to - from));
            grouped.update_batch(&case.args(&rows[from..to]), &groups[from..to], filter.as_ref(), known).unwrap();
        }
        assert!(grouped.size() > 0);
        // The first groups leave, the others move down.
        let first = random.below(group_count + 1);
        let results = [grouped.evaluate(EmitTo::First(first)).unwrap(), grouped.evaluate(EmitTo::All).unwrap()];
        assert_eq!(results.each_ref().map(|results| results.len()), [first, group_count - first]);
        for group in 0..group_count {
            let (result, index) = if group < first { (&results[0], group) } else { (&results[1], group - first) };
            case.assert_same(result, index, &of_group(rows, &groups, filter.as_ref(), group), "group");
        }
    });
}

#[test]
fn grouped_state_and_converted_rows_merge_to_the_whole() {
    for_random_rows(24, |case, random, rows| {
        let (groups, filter, group_count) = grouping(random, rows.len());
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
        // Sliced, as a batch that is repartitioned is.
        let middle = random.below(rows.len() - cut + 1);
        for (from, to) in [(0, middle), (middle, rows.len() - cut)] {
            let sliced = converted.iter().map(|column| column.slice(from, to - from)).collect();
            states.push((sliced, groups[cut + from..cut + to].to_vec()));
        }

        let mut merged = expr.create_groups_accumulator().unwrap();
        while !states.is_empty() {
            let (state, groups) = states.swap_remove(random.below(states.len()));
            merged.merge_batch(&state, &groups, group_count).unwrap();
        }
        let results = merged.evaluate(EmitTo::All).unwrap();
        assert_eq!(results.len(), group_count);
        for group in 0..group_count {
            case.assert_same(&results, group, &of_group(rows, &groups, filter.as_ref(), group), "merged group");
        }
    });
}

#[test]
fn types_of_results_and_states_are_what_is_declared() {
    for case in cases() {
        let expr = case.expr();
        let declared = expr.state_fields().unwrap();
        let mut accumulator = expr.create_accumulator().unwrap();
        accumulator.update_batch(&case.args(&rows(&mut Random(3), 20))).unwrap();
        let row = state_arrays(accumulator.as_mut());
        let mut grouped = expr.create_groups_accumulator().unwrap();
        grouped.update_batch(&case.args(&[]), &[], None, 2).unwrap();
        for state in [row, grouped.state(EmitTo::All).unwrap()] {
            let types = state.iter().map(|column| column.data_type()).collect::<Vec<_>>();
            assert_eq!(types, declared.iter().map(|field| field.data_type()).collect::<Vec<_>>(), "{}", case.function);
        }
        let result = case.whole(&[]);
        assert_eq!(result.data_type(), expr.field().data_type());
        assert!(expr.is_nullable() && expr.field().is_nullable());
    }
}

#[test]
fn a_figure_is_null_only_with_a_reason() {
    for_random_rows(25, |case, _, rows| {
        let result = case.whole(rows);
        // a figure alone has no reason
        let Some(result) = result.as_struct_opt() else { return };
        assert!(result.is_valid(0));
        let reason = result.column_by_name("reason").unwrap();
        let lacks = result
            .fields()
            .iter()
            .zip(result.columns())
            .any(|(field, column)| field.name() != "reason" && column.is_null(0));
        if lacks {
            assert!(reason.is_valid(0), "{} of {rows:?}: {result:?}", case.function);
        }
        if let (Some(low), Some(high)) = (result.column_by_name("low"), result.column_by_name("high"))
            && low.is_valid(0)
        {
            let value = |column: &ArrayRef| column.as_primitive::<Float64Type>().value(0);
            assert!(value(low) <= value(high), "{} of {rows:?}: {result:?}", case.function);
        }
        if let Some(n) = result.column_by_name("n") {
            assert!((0..=rows.len() as i64).contains(&n.as_primitive::<Int64Type>().value(0)));
        }
    });
}

#[test]
fn foreign_states_and_columns_are_errors() {
    for case in cases() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let text = vec![column; 5];
        let mut accumulator = case.expr().create_accumulator().unwrap();
        assert!(accumulator.merge_batch(&text).is_err(), "{}", case.function);
        let mut grouped = case.expr().create_groups_accumulator().unwrap();
        assert!(grouped.merge_batch(&[], &[0], 1).is_err(), "{}", case.function);
        assert!(grouped.update_batch(&[], &[0], None, 1).is_err() || case.arguments.is_empty());
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
fn a_baseline_of_another_type_is_refused() {
    let case = Case { function: "welch_test", arguments: &[0, 3], constants: vec![ScalarValue::from(7_i64)] };
    let error = case.expr().create_accumulator().err().unwrap().strip_backtrace();
    assert_eq!(error, "Error during planning: welch_test: baseline must be a value of group (Utf8), got 7");
}

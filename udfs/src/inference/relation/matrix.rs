//! `correlation_matrix(x [, method [, level]])`: the correlation of every pair of the fields of a struct.
//!
//! Formula: Pearson's or Spearman's coefficient of each pair, over the rows in which both are known.
//! Units:   numbers or flags in; -1 to 1 out.
//! NULL:    a field that is NULL leaves the row out of the pairs of that field alone.
//! Edges:   each pair once, in the order of the fields; Spearman's holds all rows in memory.
//! Source:  K. Pearson 1896; R. A. Fisher 1921; C. Spearman 1904; D. G. Bonett and T. A. Wright 2000.
//!
//! ```text
//!  struct of k columns        state                                     result
//!  +---+---+---+    add    +---------------------------------+  finish  +------------------------------+
//!  | a | b | c | --------> | pearson: moments of ab, ac, bc  | -------> | [{a, b, estimate, ..}, ..]   |
//!  +---+---+---+           | spearman: all rows, k each      |          | one of each of the 3 pairs   |
//!                          +---------------------------------+          +------------------------------+
//! ```
//!
//! A sliding window keeps the rows of its frame for both: moments cannot be subtracted without a loss of digits.

use std::collections::VecDeque;
use std::mem::{size_of, size_of_val};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, Int64Builder, ListArray, StringBuilder, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::functions::core::named_struct;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, ReversedUDAF, Signature, lit,
};

use super::correlation::{Correlation, PairMoments, rank_moments, ranks};
use super::page;
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::proportion::Level;
use crate::inference::{LEVEL, LEVEL_TEXT, level};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![Arc::new(AggregateUDF::from(CorrelationMatrix { signature: CALL.signature() }))]
}

const CALL: Call = Call {
    function: "correlation_matrix",
    syntax: "correlation_matrix(x [, method [, level]])",
    // x is a struct: `coerce_types` checks it
    parameters: &[Parameter::column("x", Kind::Number), Parameter::constant("method", Kind::Text), LEVEL],
    arities: &[1, 2, 3],
};

/// The most fields: 4,950 pairs.
const MOST_FIELDS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Pearson,
    Spearman,
}

const METHODS: &[(&str, Method)] = &[("pearson", Method::Pearson), ("spearman", Method::Spearman)];

#[derive(Debug, PartialEq, Eq, Hash)]
struct CorrelationMatrix {
    signature: Signature,
}

/// # Errors
/// A planning error for a constant that is no method or level.
fn bind(constants: &Constants) -> Result<(Method, Level)> {
    Ok((constants.choice("method", METHODS)?.unwrap_or(Method::Pearson), level(constants)?))
}

fn refuse_distinct(is_distinct: bool) -> Result<()> {
    if is_distinct {
        return plan_err!(
            "correlation_matrix: DISTINCT is not supported, equal rows are different contacts; remove duplicate rows before \
             with select distinct"
        );
    }
    Ok(())
}

/// The names of the fields of a struct of numbers and flags.
///
/// # Errors
/// A planning error for any other type.
fn field_names(x: &DataType) -> Result<Vec<String>> {
    let DataType::Struct(fields) = x else {
        return plan_err!(
            "correlation_matrix: x must be a struct of numbers, such as struct(handle_s, wait_s), got {x}"
        );
    };
    if !(2..=MOST_FIELDS).contains(&fields.len()) {
        return plan_err!("correlation_matrix: x must have 2 to {MOST_FIELDS} fields, got {}", fields.len());
    }
    for field in fields {
        let value_type = match field.data_type() {
            DataType::Dictionary(_, value_type) => value_type.as_ref(),
            other => other,
        };
        if !(value_type.is_numeric() || value_type.is_null() || *value_type == DataType::Boolean) {
            return plan_err!(
                "correlation_matrix: field {} must be a number or a Boolean, got {value_type}",
                field.name()
            );
        }
    }
    Ok(fields.iter().map(|field| field.name().clone()).collect())
}

/// `named_struct` with the names of the columns in place of `struct`, whose fields are c0, c1, ..; `None` where two columns
/// have one name.
fn named(x: &Expr) -> Option<Expr> {
    let Expr::ScalarFunction(call) = x else { return None };
    if call.func.name() != "struct" {
        return None;
    }
    let mut names: Vec<String> = vec![];
    let mut args = vec![];
    for arg in &call.args {
        let mut inner = arg;
        while let Expr::Cast(cast) = inner {
            inner = &cast.expr;
        }
        let name = match inner {
            Expr::Column(column) => column.name.clone(),
            other => other.schema_name().to_string(),
        };
        if names.contains(&name) {
            return None;
        }
        args.extend([lit(name.as_str()), arg.clone()]);
        names.push(name);
    }
    Some(Expr::ScalarFunction(ScalarFunction::new_udf(named_struct(), args)))
}

/// The fields of one pair.
fn pair_fields() -> Fields {
    let field = |(name, data_type): (&str, DataType)| Field::new(name, data_type, true);
    [
        ("a", DataType::Utf8),
        ("b", DataType::Utf8),
        ("estimate", DataType::Float64),
        ("low", DataType::Float64),
        ("high", DataType::Float64),
        ("p_value", DataType::Float64),
        ("n", DataType::Int64),
        ("reason", DataType::Utf8),
    ]
    .into_iter()
    .map(field)
    .collect()
}

fn pair_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(pair_fields()), true))
}

impl CorrelationMatrix {
    fn accumulator(args: &AccumulatorArgs, is_sliding: bool) -> Result<Box<dyn Accumulator>> {
        refuse_distinct(args.is_distinct)?;
        let x = args.expr_fields.first().map(|field| field.data_type());
        let x = x.ok_or_else(|| internal_datafusion_err!("correlation_matrix: planned without its arguments"))?;
        let (method, level) = bind(&Constants::of_physical(&CALL, args.exprs)?)?;
        Ok(Box::new(MatrixAccumulator::new(field_names(x)?, method, level, is_sliding)))
    }
}

impl AggregateUDFImpl for CorrelationMatrix {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [x, rest @ ..] = arg_types else {
            return CALL.coerce(arg_types);
        };
        field_names(x)?;
        // the number of arguments and the types of the others; x stands as a number
        let mut given = vec![DataType::Float64];
        given.extend_from_slice(rest);
        let checked = CALL.coerce(&given)?;
        Ok(std::iter::once(x.clone()).chain(checked.into_iter().skip(1)).collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(pair_item()))
    }

    fn is_nullable(&self) -> bool {
        true
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        refuse_distinct(args.is_distinct)?;
        let item = Field::new_list_field(DataType::Float64, true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "numbers"), item, true))])
    }

    /// Checks constants as soon as parameters are bound and expressions folded, and gives the fields of `struct(..)` the
    /// names of their columns.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|mut call: AggregateFunction, _| {
            refuse_distinct(call.params.distinct)?;
            if let Some(constants) = Constants::of_logical(&CALL, &call.params.args)? {
                bind(&constants)?;
            }
            if let Some(x) = call.params.args.first_mut()
                && let Some(named) = named(x)
            {
                *x = named;
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Self::accumulator(&args, false)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Self::accumulator(&args, true)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

/// The state of a group.
#[derive(Debug)]
enum State {
    /// Of each pair of fields, in the order of [`pairs`].
    Moments(Vec<PairMoments>),
    /// All rows, one after another; NaN for what is not known.
    Rows(VecDeque<f64>),
}

#[derive(Debug)]
struct MatrixAccumulator {
    names: Vec<String>,
    method: Method,
    level: Level,
    is_sliding: bool,
    state: State,
}

/// Each pair of fields once.
fn pairs(field_count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..field_count).flat_map(move |a| (a + 1..field_count).map(move |b| (a, b)))
}

/// Each field of a batch as numbers: NaN for NULL and infinities, 1 and 0 for flags.
fn field_values(values: &[ArrayRef], field_count: usize) -> Result<Vec<Vec<f64>>> {
    let x = values.first().and_then(|x| x.as_struct_opt()).filter(|x| x.num_columns() == field_count);
    let x = x.ok_or_else(|| internal_datafusion_err!("correlation_matrix: evaluated without its struct"))?;
    let field = |column: &ArrayRef| -> Result<Vec<f64>> {
        let column = cast(column, &DataType::Float64)?;
        let numbers = column.as_primitive::<Float64Type>();
        let value = |index: usize| {
            let is_known = x.is_valid(index) && numbers.is_valid(index);
            // -0 and 0 are ties
            if is_known && numbers.value(index).is_finite() { numbers.value(index) + 0.0 } else { f64::NAN }
        };
        Ok((0..x.len()).map(value).collect())
    };
    x.columns().iter().map(field).collect()
}

/// The columns of rows that stand one after another.
fn columns_of(rows: &VecDeque<f64>, field_count: usize) -> Vec<Vec<f64>> {
    (0..field_count).map(|field| rows.iter().skip(field).step_by(field_count.max(1)).copied().collect()).collect()
}

fn pair_moments(columns: &[Vec<f64>]) -> Vec<PairMoments> {
    let pair = |(a, b): (usize, usize)| match (columns.get(a), columns.get(b)) {
        (Some(a), Some(b)) => PairMoments::of(a.iter().copied().zip(b.iter().copied())),
        _ => PairMoments::default(),
    };
    pairs(columns.len()).map(pair).collect()
}

/// The moments of the ranks of each pair, over the rows in which both are known.
fn pair_ranks(columns: &[Vec<f64>]) -> Vec<PairMoments> {
    let is_whole = |column: &&Vec<f64>| !column.iter().any(|value| value.is_nan());
    // A column without a gap has the same ranks in every pair with another such.
    let whole: Vec<Option<Vec<f64>>> =
        columns.iter().map(|column| Some(column).filter(is_whole).map(|column| ranks(column))).collect();
    let pair = |(a, b): (usize, usize)| {
        if let (Some(Some(a)), Some(Some(b))) = (whole.get(a), whole.get(b)) {
            return rank_moments(a, b);
        }
        let (Some(a), Some(b)) = (columns.get(a), columns.get(b)) else { return PairMoments::default() };
        let known = a.iter().zip(b).filter(|(a, b)| !a.is_nan() && !b.is_nan());
        let (a, b): (Vec<f64>, Vec<f64>) = known.unzip();
        rank_moments(&ranks(&a), &ranks(&b))
    };
    pairs(columns.len()).map(pair).collect()
}

impl MatrixAccumulator {
    fn new(names: Vec<String>, method: Method, level: Level, is_sliding: bool) -> Self {
        let state = if is_sliding || method == Method::Spearman {
            State::Rows(VecDeque::new())
        } else {
            State::Moments(pairs(names.len()).map(|_| PairMoments::default()).collect())
        };
        Self { names, method, level, is_sliding, state }
    }

    /// Bytes in which the result of `value_count` values is computed: the columns, their ranks, and those of one pair.
    fn working_bytes(&self, value_count: usize) -> usize {
        value_count * 2 * size_of::<f64>() + value_count / self.names.len().max(1) * 6 * size_of::<f64>()
    }

    fn correlations(&self) -> Vec<Correlation> {
        let (method, level) = (self.method, self.level);
        let moments = match (&self.state, method) {
            (State::Moments(moments), _) => moments.clone(),
            (State::Rows(rows), Method::Pearson) => pair_moments(&columns_of(rows, self.names.len())),
            (State::Rows(rows), Method::Spearman) => pair_ranks(&columns_of(rows, self.names.len())),
        };
        let correlation = |moments: PairMoments| match method {
            Method::Pearson => moments.pearson(level),
            Method::Spearman => moments.spearman(level),
        };
        moments.into_iter().map(correlation).collect()
    }

    /// One row: the list of all pairs.
    fn list(&self) -> Result<ArrayRef> {
        let (mut a, mut b, mut reason) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
        let mut figures: [Float64Builder; 4] = std::array::from_fn(|_| Float64Builder::new());
        let mut n = Int64Builder::new();
        for ((first, second), correlation) in pairs(self.names.len()).zip(self.correlations()) {
            a.append_option(self.names.get(first));
            b.append_option(self.names.get(second));
            let (low, high) = correlation.bounds.unzip();
            for (figure, value) in figures.iter_mut().zip([correlation.estimate, low, high, correlation.p_value]) {
                figure.append_option(value);
            }
            n.append_value(correlation.n);
            reason.append_option(correlation.reason);
        }
        let figures = figures.map(|mut figure| Arc::new(figure.finish()) as ArrayRef);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(a.finish()), Arc::new(b.finish())];
        columns.extend(figures);
        columns.extend([Arc::new(n.finish()) as ArrayRef, Arc::new(reason.finish())]);
        let structs = StructArray::try_new(pair_fields(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths([structs.len()]);
        Ok(Arc::new(ListArray::try_new(pair_item(), offsets, Arc::new(structs), None)?))
    }
}

impl Accumulator for MatrixAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = field_values(values, self.names.len())?;
        match &mut self.state {
            State::Moments(moments) => {
                moments.iter_mut().zip(pair_moments(&columns)).for_each(|(moments, batch)| moments.merge(batch));
            }
            State::Rows(rows) => {
                let row_count = columns.first().map_or(0, Vec::len);
                rows.reserve(row_count * columns.len());
                for row in 0..row_count {
                    rows.extend(columns.iter().map(|column| column.get(row).copied().unwrap_or(f64::NAN)));
                }
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if let State::Rows(rows) = &mut self.state {
            let leaving = values.first().map_or(0, Array::len) * self.names.len();
            rows.drain(..leaving.min(rows.len()));
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.is_sliding
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let wrong = || internal_datafusion_err!("correlation_matrix: its state is not a list of numbers");
        let lists = states.first().and_then(|state| state.as_list_opt::<i32>()).ok_or_else(wrong)?;
        for list in lists.iter().flatten() {
            let numbers = list.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?.values();
            match &mut self.state {
                State::Moments(moments) => {
                    if numbers.len() != moments.len() * PairMoments::NUMBERS {
                        return Err(wrong());
                    }
                    for (moments, numbers) in moments.iter_mut().zip(numbers.chunks(PairMoments::NUMBERS)) {
                        moments.merge(PairMoments::from_numbers(numbers).ok_or_else(wrong)?);
                    }
                }
                State::Rows(rows) => {
                    if !numbers.len().is_multiple_of(self.names.len().max(1)) {
                        return Err(wrong());
                    }
                    rows.extend(numbers.iter().copied());
                }
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let numbers: Float64Array = match &self.state {
            State::Moments(moments) => moments.iter().flat_map(|moments| moments.to_numbers()).map(Some).collect(),
            State::Rows(rows) => rows.iter().copied().map(Some).collect(),
        };
        let item = Arc::new(Field::new_list_field(DataType::Float64, true));
        let offsets = OffsetBuffer::from_lengths([numbers.len()]);
        let list = ListArray::try_new(item, offsets, Arc::new(numbers), None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.list()?, 0)
    }

    fn size(&self) -> usize {
        let state = match &self.state {
            State::Moments(moments) => moments.capacity() * size_of::<PairMoments>(),
            State::Rows(rows) => rows.capacity() * size_of::<f64>() + self.working_bytes(rows.len()),
        };
        let names = self.names.iter().map(|name| size_of::<String>() + name.capacity()).sum::<usize>();
        size_of_val(self) + names + state
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        CALL,
        "The correlation of every pair of columns at once, as a LIST of (a, b, estimate, low, high, p_value, n, reason): unnest makes it \
         rows, p_adjust over them accounts for the number of pairs.\n\
         Formula: of each pair of fields Pearson's coefficient, or with method 'spearman' that of the ranks. p_value is two-sided, of t = r \
         sqrt((n - 2) / (1 - r^2)) with n - 2 degrees of freedom; low and high are tanh(artanh r -+ z sqrt(v / (n - 3))), v = 1, or \
         of ranks 1 + r^2 / 2.\n\
         Units: numbers or Booleans (1 and 0) in; -1 to 1 out.\n\
         NULL: a row counts in a pair where both fields are known, so that n differs from pair to pair. No such row, one, or a field \
         whose values are all equal: NULL for the figures of the pair, and a reason. Fewer than 4 rows, and a coefficient of 1 or -1: no \
         interval, and a reason.\n\
         Edges: no cause is shown; one of twenty pairs that have nothing to do with one another has a p_value below 0.05. Each pair is \
         there once, a before b in the struct. The fields of struct(x, y) are named by their columns, but \
         c0, c1 in a window; those of struct(x as a) and named_struct as written; 2 to 100 fields. NaN and infinities are no measurements and count as NULL. Pearson's takes 48 bytes of \
         memory for each pair, Spearman's some 40 for each value. Pearson's sees straight lines and follows single far values, Spearman's \
         neither. DISTINCT is refused.\n\
         Source: R. A. Fisher, Metron 1 (1921) 3-32 (interval); T. F. Chan, G. H. Golub and R. J. LeVeque, The American Statistician 37 \
         (1983) 242-247 (moments that merge); for ranks as spearman; estimate and p_value as scipy's pearsonr and spearmanr.",
    )
    .with_argument("x", "A struct of 2 to 100 numbers or Booleans, such as `struct(handle_s, wait_s, score)`.")
    .with_argument("method", "Constant: 'pearson' or 'spearman'. Default 'pearson'.")
    .with_argument("level", LEVEL_TEXT)
    .with_sql_example(
        "```sql
select pair['a'] as a, pair['b'] as b, round(pair['estimate'], 4) as estimate, round(pair['p_value'], 4) as p_value, pair['n'] as n
from (
    select unnest(correlation_matrix(struct(handle_s, wait_s, score), 'spearman')) as pair
    from (values
        (120, 5, 5), (300, 60, 4), (240, 10, 5), (420, 30, 2), (380, 90, 4), (610, 45, 1), (150, 20, 3), (510, null, 2)
    ) as contacts(handle_s, wait_s, score)
);
+----------+--------+----------+---------+---+
| a        | b      | estimate | p_value | n |
+----------+--------+----------+---------+---+
| handle_s | wait_s | 0.6786   | 0.0938  | 7 |
| handle_s | score  | -0.8244  | 0.0118  | 8 |
| wait_s   | score  | -0.4364  | 0.3276  | 7 |
+----------+--------+----------+---------+---+
```",
    )
    .with_related_udf("spearman")
    .with_related_udf("p_adjust")
    .build()
});

#[cfg(test)]
mod tests;

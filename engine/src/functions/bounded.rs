//! [`Bounded`]: functions whose result may be far larger than their arguments, with a limit.
//!
//! `repeat('x', 1000000000)` asks for a gigabyte that no memory pool counts, and DataFusion computes it while it plans, where
//! nothing can be cancelled. The size of the result is computed from the arguments, before the function is: a result of
//! constants may take [`MAX_CONSTANT_STRING`] or [`MAX_CONSTANT_ARRAY`] bytes, one of a batch of rows [`MAX_BATCH`], and the
//! constants of a statement together what its [`budget`] allows. An error while a constant is folded leaves the call in the
//! plan, so that it is the error of the execution.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use super::delegate::delegate_to_inner;
use crate::planning::budget;

/// The names of the functions.
pub(super) const BOUNDED: [&str; 11] = [
    "array_repeat",
    "array_resize",
    "concat",
    "concat_ws",
    "generate_series",
    "lpad",
    "range",
    "regexp_replace",
    "repeat",
    "replace",
    "rpad",
];

/// Maximum bytes of a string that is computed from constants: it is written out for each row.
const MAX_CONSTANT_STRING: u128 = 4 << 20;

/// Maximum bytes of an array that is computed from constants.
const MAX_CONSTANT_ARRAY: u128 = 64 << 20;

/// Maximum bytes of the result of a batch of rows.
const MAX_BATCH: u128 = 256 << 20;

/// Replacements from this length on count; shorter ones make little of much.
const LONG_REPLACEMENT: u128 = 256;

/// One of the functions of [`BOUNDED`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    pub(super) inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Bounded {
    delegate_to_inner!(name, aliases, signature, coerce_types, return_type, documentation);

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn is_strict(&self) -> bool {
        self.inner.inner().is_strict()
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.inner().output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.inner().preserves_lex_ordering(inputs)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        // wrong arguments are the function's to refuse
        let bytes = result_bytes(self.inner.name(), &args.args, rows).unwrap_or(0);
        let limit = match args.return_field.data_type() {
            _ if !is_constant => MAX_BATCH,
            data_type if data_type.is_nested() => MAX_CONSTANT_ARRAY,
            _ => MAX_CONSTANT_STRING,
        };
        if bytes > limit {
            let (name, got, limit) = (self.inner.name(), bytes >> 20, limit >> 20);
            let of = if is_constant { "constants" } else { "a batch of rows" };
            return exec_err!(
                "{name}: a result of {got} MB is too large, at most {limit} MB are computed from {of}; ask for less"
            );
        }
        if is_constant && !budget::spend(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            return exec_err!("{}: the constants of the statement are too large together", self.inner.name());
        }
        self.inner.inner().invoke_with_args(args)
    }
}

/// A number of each row, or the same of all.
enum Numbers {
    Same(i64),
    Each(Int64Array),
}

impl Numbers {
    fn of(value: &ColumnarValue, to_numbers: impl Fn(&ArrayRef) -> Option<ArrayRef>) -> Option<Self> {
        let number =
            |array: &ArrayRef, row| if array.is_null(row) { 0 } else { array.as_primitive::<Int64Type>().value(row) };
        match value {
            ColumnarValue::Scalar(scalar) => Some(Self::Same(number(&to_numbers(&scalar.to_array().ok()?)?, 0))),
            ColumnarValue::Array(array) => Some(Self::Each(to_numbers(array)?.as_primitive::<Int64Type>().clone())),
        }
    }

    /// Bytes of strings, elements of arrays.
    fn lengths(value: &ColumnarValue) -> Option<Self> {
        Self::of(value, |array| cast(&length(array.as_ref()).ok()?, &DataType::Int64).ok())
    }

    fn counts(value: &ColumnarValue) -> Option<Self> {
        Self::of(value, |array| cast(array, &DataType::Int64).ok())
    }

    /// Nanoseconds of dates and timestamps.
    fn nanoseconds(value: &ColumnarValue) -> Option<Self> {
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
        Self::of(value, |array| cast(&cast(array, &nanoseconds).ok()?, &DataType::Int64).ok())
    }

    fn get(&self, row: usize) -> i128 {
        match self {
            Self::Same(number) => i128::from(*number),
            Self::Each(numbers) if numbers.is_null(row) => 0,
            Self::Each(numbers) => i128::from(numbers.value(row)),
        }
    }

    /// The number, 0 for a negative one.
    fn positive(&self, row: usize) -> u128 {
        self.get(row).try_into().unwrap_or(0)
    }
}

/// The bytes of the result, or an upper bound; `None` for arguments that the function refuses.
fn result_bytes(name: &str, args: &[ColumnarValue], rows: usize) -> Option<u128> {
    let sum = |bytes: &dyn Fn(usize) -> u128| (0..rows).map(bytes).fold(0u128, u128::saturating_add);
    match (name, args) {
        ("repeat", [text, count]) => {
            let (text, count) = (Numbers::lengths(text)?, Numbers::counts(count)?);
            Some(sum(&|row| text.positive(row).saturating_mul(count.positive(row))))
        }
        ("lpad" | "rpad", [text, count, fill @ ..]) => {
            let (text, count) = (Numbers::lengths(text)?, Numbers::counts(count)?);
            let width = if fill.iter().all(is_ascii) { 1 } else { 4 };
            Some(sum(&|row| count.positive(row).saturating_mul(width).saturating_add(text.positive(row))))
        }
        ("replace", [text, from, to]) => {
            let (text, from, to) = (Numbers::lengths(text)?, Numbers::lengths(from)?, Numbers::lengths(to)?);
            Some(sum(&|row| {
                let length = text.positive(row);
                let found = length.checked_div(from.positive(row)).unwrap_or(length + 1);
                found.saturating_mul(to.positive(row)).saturating_add(length)
            }))
        }
        ("regexp_replace", [text, _, to, ..]) => {
            let (text, to) = (Numbers::lengths(text)?, Numbers::lengths(to)?);
            Some(sum(&|row| match to.positive(row) {
                short if short < LONG_REPLACEMENT => 0,
                long => (text.positive(row) + 1).saturating_mul(long),
            }))
        }
        ("concat" | "concat_ws", args) => {
            let lengths = args.iter().map(Numbers::lengths).collect::<Option<Vec<_>>>()?;
            Some(sum(&|row| lengths.iter().map(|length| length.positive(row)).sum()))
        }
        ("array_repeat", [value, count]) => {
            let (size, count) = (value_bytes(value, rows), Numbers::counts(count)?);
            Some(sum(&|row| count.positive(row).saturating_mul(size)))
        }
        ("array_resize", [array, count, fill @ ..]) => {
            let fill = fill.first().map_or(8, |fill| value_bytes(fill, rows));
            let (array, count) = (Numbers::lengths(array)?, Numbers::counts(count)?);
            Some(sum(&|row| count.positive(row).max(array.positive(row)).saturating_mul(fill)))
        }
        ("range" | "generate_series", [first, rest @ ..]) => series_bytes(first, rest, rows),
        _ => None,
    }
}

/// Whether a constant is ASCII; a column may not be.
fn is_ascii(value: &ColumnarValue) -> bool {
    matches!(value, ColumnarValue::Scalar(scalar) if scalar.try_as_str().flatten().is_none_or(str::is_ascii))
}

/// The bytes of a value: of a column the mean, rounded up.
fn value_bytes(value: &ColumnarValue, rows: usize) -> u128 {
    let bytes = match value {
        ColumnarValue::Scalar(scalar) => scalar.size(),
        // a part of a column shares the buffers of all
        ColumnarValue::Array(array) => {
            array.to_data().get_slice_memory_size().map_or(0, |bytes| bytes.div_ceil(rows.max(1)))
        }
    };
    (bytes as u128).max(8)
}

fn series_bytes(first: &ColumnarValue, rest: &[ColumnarValue], rows: usize) -> Option<u128> {
    const DAY: i128 = 86_400_000_000_000;
    let is_integer = first.data_type().is_integer() || first.data_type().is_null();
    let numbers = |value: &ColumnarValue| if is_integer { Numbers::counts(value) } else { Numbers::nanoseconds(value) };
    let zero = ColumnarValue::Scalar(ScalarValue::Int64(Some(0)));
    let (start, stop, step) = match rest {
        [] => (&zero, first, None),
        [stop] => (first, stop, None),
        [stop, step, ..] => (first, stop, Some(step)),
    };
    let (start, stop) = (numbers(start)?, numbers(stop)?);
    let step: Box<dyn Fn(usize) -> i128> = match step {
        None if is_integer => Box::new(|_| 1),
        None => Box::new(|_| DAY),
        Some(step) if is_integer => {
            let step = Numbers::counts(step)?;
            Box::new(move |row| step.get(row))
        }
        Some(ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(step)))) => {
            let nanoseconds =
                i128::from(step.months) * 28 * DAY + i128::from(step.days) * DAY + i128::from(step.nanoseconds);
            Box::new(move |_| nanoseconds)
        }
        Some(_) => return None,
    };
    let count = |row| ((stop.get(row) - start.get(row)).checked_div(step(row)).unwrap_or(0) + 1).max(0).unsigned_abs();
    Some((0..rows).map(count).fold(0u128, u128::saturating_add).saturating_mul(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(text))
    }

    fn number(number: i64) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::Int64(Some(number)))
    }

    #[test]
    fn sizes_follow_from_the_arguments() {
        let bytes = |name, args: &[ColumnarValue]| result_bytes(name, args, 1).unwrap();
        assert_eq!(bytes("repeat", &[text("abc"), number(1_000_000_000)]), 3_000_000_000);
        assert_eq!(bytes("repeat", &[text("abc"), number(-1)]), 0);
        assert_eq!(bytes("lpad", &[text("abc"), number(100)]), 103);
        assert_eq!(bytes("rpad", &[text("abc"), number(100), text("满")]), 403);
        // xx xx xx: three times ten bytes
        assert_eq!(bytes("replace", &[text("xxxxxx"), text("xx"), text("0123456789")]), 36);
        assert_eq!(bytes("replace", &[text("ab"), text(""), text("0123456789")]), 32);
        assert_eq!(bytes("range", &[number(10)]), 88);
        assert_eq!(bytes("range", &[number(0), number(100), number(10)]), 88);
        assert_eq!(bytes("range", &[number(i64::MIN), number(i64::MAX)]), 8 << 64);
        let rows = ColumnarValue::Array(Arc::new(Int64Array::from(vec![Some(2), None, Some(5)])));
        assert_eq!(result_bytes("repeat", &[text("abc"), rows], 3), Some(21));
    }
}

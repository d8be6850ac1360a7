//! Integer and decimal arithmetic that is exact or an error, and casts that round. The rule `exact_arithmetic` puts these
//! functions in place of operators and casts; they have no SQL name, and output columns are named as the operators.
//!
//! [`ExactArithmetic`]: `+`, `-`, `*` and unary minus of integers in `Int64`, and operators on decimals. A chain such as
//! `a + b - c` is one call of three arguments, computed from left to right: DataFusion derives the name and the type of each
//! call in a nest again and again, so that planning a sum of 300 columns took minutes.
//!   Formula: that of the operator; the quotient of decimals has the scale that DataFusion declares, rounded half away from zero.
//!   Edges:   beyond `Int64`, or the digits of a decimal, is an error; division by zero is an error.
//!
//! [`RoundingCast`]: `cast(x as bigint)` and its like of doubles and decimals, and of decimals to a smaller scale.
//!   Formula: doubles round half to even, decimals half away from zero, as PostgreSQL 17 and DuckDB 1.4 do.
//!   Edges:   NaN, infinities and values beyond the type are an error, with `try_cast` NULL.
//!
//! NULL operands give NULL. Source: SQL:2016, 6.27 (numeric value expression): an exact result that does not fit "is an
//! exception: data exception, numeric value out of range".

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, Int64Array, PrimitiveArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options, kernels::numeric};
use datafusion::arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Field, FieldRef, Float32Type,
    Float64Type, Int64Type, i256,
};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// An operator on integers, or the division of decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    /// Of decimals only: integers are divided by DataFusion's operator, which checks.
    Divide,
    Negate,
}

impl Operation {
    /// The operation of an operator.
    pub(crate) fn of(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Plus => Self::Add,
            Operator::Minus => Self::Subtract,
            Operator::Multiply => Self::Multiply,
            Operator::Divide => Self::Divide,
            _ => return None,
        })
    }

    /// The result for two constants; `None` for other arguments, or beyond `Int64`.
    pub(crate) fn of_constants(self, left: &Expr, right: &Expr) -> Option<Expr> {
        let constant = |expr: &Expr| match expr {
            Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some(*value),
            _ => None,
        };
        let (left, right) = (constant(left)?, constant(right)?);
        let value = match self {
            Self::Add => left.checked_add(right)?,
            Self::Subtract => left.checked_sub(right)?,
            Self::Multiply => left.checked_mul(right)?,
            Self::Divide | Self::Negate => return None,
        };
        Some(Expr::Literal(ScalarValue::Int64(Some(value)), None))
    }

    fn operator(self) -> Operator {
        match self {
            Self::Add => Operator::Plus,
            Self::Subtract | Self::Negate => Operator::Minus,
            Self::Multiply => Operator::Multiply,
            Self::Divide => Operator::Divide,
        }
    }
}

/// An expression and its type.
pub(crate) type Typed = (Expr, DataType);

/// See the page of this module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExactArithmetic {
    /// Those between the arguments, in their order; `Negate` stands alone before its only one.
    operations: Vec<Operation>,
    /// The type of the result when the call was made, so that [`Self::type_of`] need not derive that of a long chain.
    planned: DataType,
    signature: Signature,
}

impl ExactArithmetic {
    fn new(operations: Vec<Operation>, planned: DataType) -> Self {
        Self { operations, planned, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// `-value` of an integer.
    pub(crate) fn negate(value: Expr) -> Expr {
        ScalarUDF::from(Self::new(vec![Operation::Negate], DataType::Int64)).call(vec![value])
    }

    /// The type of a call of this function; `None` for other expressions.
    pub(crate) fn type_of(expr: &Expr) -> Option<DataType> {
        match expr {
            Expr::ScalarFunction(call) => call.func.inner().downcast_ref::<Self>().map(|chain| chain.planned.clone()),
            _ => None,
        }
    }

    /// `left operation right` as one call: a left side that is a chain is prolonged.
    ///
    /// # Errors
    /// There is no such operator of the types.
    pub(crate) fn combine(left: Typed, operation: Operation, right: Typed) -> Result<Expr> {
        let planned = step_types(&left.1, operation, &right.1)?.2;
        let (left, right) = (left.0, right.0);
        let (mut operations, mut args) = match left {
            Expr::ScalarFunction(ScalarFunction { func, args }) => match func.inner().downcast_ref::<Self>() {
                Some(chain) if chain.operations != [Operation::Negate] => (chain.operations.clone(), args),
                _ => (vec![], vec![Expr::ScalarFunction(ScalarFunction { func, args })]),
            },
            left => (vec![], vec![left]),
        };
        operations.push(operation);
        args.push(right);
        Ok(ScalarUDF::from(Self::new(operations, planned)).call(args))
    }

    /// The operation between an argument and what stands before it, for all arguments but the first.
    fn steps<'a, T>(&'a self, args: &'a [T]) -> Result<(&'a T, impl Iterator<Item = (Operation, &'a T)>)> {
        match args {
            [first, rest @ ..] if rest.len() == self.operations.len() => {
                Ok((first, self.operations.iter().copied().zip(rest)))
            }
            _ => internal_err!("{} of {} arguments", self.name(), args.len()),
        }
    }

    fn is_negation(&self) -> bool {
        self.operations == [Operation::Negate]
    }
}

/// The types in which two operands are combined, and that of the result.
fn step_types(left: &DataType, operation: Operation, right: &DataType) -> Result<(DataType, DataType, DataType)> {
    if !(left.is_decimal() || right.is_decimal()) {
        return Ok((DataType::Int64, DataType::Int64, DataType::Int64));
    }
    let operator = operation.operator();
    let (left, right) = BinaryTypeCoercer::new(left, &operator, right).get_input_types()?;
    let result = BinaryTypeCoercer::new(&left, &operator, &right).get_result_type()?;
    Ok((left, right, result))
}

impl ScalarUDFImpl for ExactArithmetic {
    fn name(&self) -> &str {
        let [first, rest @ ..] = self.operations.as_slice() else { return "exact" };
        if rest.iter().any(|operation| operation != first) {
            return "exact_arithmetic";
        }
        match first {
            Operation::Add => "exact_add",
            Operation::Subtract => "exact_subtract",
            Operation::Multiply => "exact_multiply",
            Operation::Divide => "exact_divide",
            Operation::Negate => "exact_negate",
        }
    }

    /// As of the operators, whose names have no parentheses.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        if let ([value], true) = (args, self.is_negation()) {
            return Ok(Expr::Negative(Box::new(value.clone())).schema_name().to_string());
        }
        let (first, rest) = self.steps(args)?;
        let mut name = first.schema_name().to_string();
        for (operation, arg) in rest {
            // writing to a string does not fail
            let _ = write!(name, " {} {}", operation.operator(), arg.schema_name());
        }
        Ok(name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if self.is_negation() {
            return Ok(vec![DataType::Int64; arg_types.len()]);
        }
        let (first, rest) = self.steps(arg_types)?;
        let (mut result, mut coerced) = (first.clone(), Vec::with_capacity(arg_types.len()));
        for (operation, arg_type) in rest {
            let (left, right, next) = step_types(&result, operation, arg_type)?;
            if coerced.is_empty() {
                coerced.push(left);
            }
            coerced.push(right);
            result = next;
        }
        Ok(coerced)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        if self.is_negation() {
            return Ok(DataType::Int64);
        }
        let (first, mut rest) = self.steps(arg_types)?;
        rest.try_fold(first.clone(), |left, (operation, right)| Ok(step_types(&left, operation, right)?.2))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, is_nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        let types: Vec<DataType> = inputs.iter().map(|input| input.data_type()).collect();
        Interval::make_unbounded(&self.return_type(&types)?)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        if let ([value], true) = (inputs, self.is_negation()) {
            return Ok(-value.sort_properties);
        }
        // the order of a sum that does not wrap follows from those of its terms
        let (first, rest) = self.steps(inputs)?;
        Ok(rest.fold(first.sort_properties, |left, (operation, right)| match operation {
            Operation::Add => left.add(&right.sort_properties),
            Operation::Subtract => left.sub(&right.sort_properties),
            _ => SortProperties::Unordered,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let result: ArrayRef = match args.args.as_slice() {
            [value] if self.is_negation() => {
                let value = value.to_array(rows)?;
                Arc::new(negated(value.as_primitive())?)
            }
            args => {
                let (first, rest) = self.steps(args)?;
                let mut result = first.clone();
                for (operation, arg) in rest {
                    result = ColumnarValue::Array(step(operation, &result, arg, rows)?);
                }
                result.into_array(rows)?
            }
        };
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// `left operation right`.
fn step(operation: Operation, left: &ColumnarValue, right: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    let (left_type, right_type, result) = step_types(&left.data_type(), operation, &right.data_type())?;
    if !result.is_decimal() {
        return combined(operation, left, right, rows);
    }
    let (left, right) = (cast(&left.to_array(rows)?, &left_type)?, cast(&right.to_array(rows)?, &right_type)?);
    match operation {
        Operation::Divide => quotients(&left, &right, &result),
        _ => decimals(operation, &left, &right),
    }
}

/// `left operation right` of `Int64`.
fn combined(operation: Operation, left: &ColumnarValue, right: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    type Combine = fn(i64, i64) -> (i64, bool);
    let combine: Combine = match operation {
        Operation::Add => i64::overflowing_add,
        Operation::Subtract => i64::overflowing_sub,
        _ => i64::overflowing_mul,
    };
    let found = match (left, right) {
        (ColumnarValue::Array(left), ColumnarValue::Scalar(ScalarValue::Int64(Some(right)))) => {
            let left = left.as_primitive::<Int64Type>();
            match operation {
                Operation::Add => unary(left, |left| left.overflowing_add(*right)),
                Operation::Subtract => unary(left, |left| left.overflowing_sub(*right)),
                _ => unary(left, |left| left.overflowing_mul(*right)),
            }
        }
        (ColumnarValue::Scalar(ScalarValue::Int64(Some(left))), ColumnarValue::Array(right)) => {
            let right = right.as_primitive::<Int64Type>();
            match operation {
                Operation::Add => unary(right, |right| left.overflowing_add(right)),
                Operation::Subtract => unary(right, |right| left.overflowing_sub(right)),
                _ => unary(right, |right| left.overflowing_mul(right)),
            }
        }
        _ => None,
    };
    if let Some(found) = found {
        return Ok(Arc::new(found));
    }
    let (left, right) = (left.to_array(rows)?, right.to_array(rows)?);
    let (left, right) = (left.as_primitive::<Int64Type>(), right.as_primitive::<Int64Type>());
    let found = match operation {
        Operation::Add => binary(left, right, i64::overflowing_add),
        Operation::Subtract => binary(left, right, i64::overflowing_sub),
        _ => binary(left, right, i64::overflowing_mul),
    };
    if let Some(found) = found {
        return Ok(Arc::new(found));
    }
    // a value beyond `Int64`, or one below a NULL
    let pairs = left.iter().zip(right);
    let checked = pairs.map(|(left, right)| {
        let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
        match combine(left, right) {
            (value, false) => Ok(Some(value)),
            _ => out_of_range(&format!("{left} {} {right}", operation.operator())),
        }
    });
    Ok(Arc::new(checked.collect::<Result<Int64Array>>()?))
}

fn out_of_range<T>(what: &str) -> Result<T> {
    exec_err!("{what} is out of the range of BIGINT; write cast(... as decimal(38, 0)) or cast(... as double)")
}

/// Maps all values without branches; `None` if one of them overflows, which may be one below a NULL.
fn unary(values: &Int64Array, map: impl Fn(i64) -> (i64, bool)) -> Option<Int64Array> {
    let mut has_overflow = false;
    let mapped: Vec<i64> = values
        .values()
        .iter()
        .map(|value| {
            let (value, overflows) = map(*value);
            has_overflow |= overflows;
            value
        })
        .collect();
    (!has_overflow).then(|| Int64Array::new(mapped.into(), values.nulls().cloned()))
}

/// As [`unary`], of two columns.
fn binary(left: &Int64Array, right: &Int64Array, combine: impl Fn(i64, i64) -> (i64, bool)) -> Option<Int64Array> {
    let mut has_overflow = false;
    let combined: Vec<i64> = left
        .values()
        .iter()
        .zip(right.values())
        .map(|(left, right)| {
            let (value, overflows) = combine(*left, *right);
            has_overflow |= overflows;
            value
        })
        .collect();
    let nulls = NullBuffer::union(left.nulls(), right.nulls());
    (!has_overflow).then(|| Int64Array::new(combined.into(), nulls))
}

fn negated(values: &Int64Array) -> Result<Int64Array> {
    if let Some(negated) = unary(values, i64::overflowing_neg) {
        return Ok(negated);
    }
    let checked = values.iter().map(|value| match value {
        Some(i64::MIN) => out_of_range("-(-9223372036854775808)"),
        value => Ok(value.map(|value| -value)),
    });
    checked.collect()
}

/// `left operation right` of decimals. Arrow checks the bits of the result, and not its digits.
fn decimals(operation: Operation, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    let result = match operation {
        Operation::Add => numeric::add(left, right)?,
        Operation::Subtract => numeric::sub(left, right)?,
        _ => numeric::mul(left, right)?,
    };
    match result.data_type() {
        DataType::Decimal32(precision, _) => {
            result.as_primitive::<Decimal32Type>().validate_decimal_precision(*precision)?
        }
        DataType::Decimal64(precision, _) => {
            result.as_primitive::<Decimal64Type>().validate_decimal_precision(*precision)?
        }
        DataType::Decimal128(precision, _) => {
            result.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)?;
        }
        DataType::Decimal256(precision, _) => {
            result.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision)?;
        }
        other => return internal_err!("decimals that give {other}"),
    }
    Ok(result)
}

/// Quotients of decimals, rounded half away from zero.
fn quotients(left: &ArrayRef, right: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    fn quotients_of<T: DecimalType>(
        left: &ArrayRef,
        right: &ArrayRef,
        data_type: &DataType,
        shift: i32,
        wide: impl Fn(T::Native) -> i256,
        narrow: impl Fn(i256) -> Option<T::Native>,
    ) -> Result<ArrayRef> {
        let (Some(left), Some(right)) = (left.as_primitive_opt::<T>(), right.as_primitive_opt::<T>()) else {
            return internal_err!("a quotient of {} and {}", left.data_type(), right.data_type());
        };
        let power = i256::from_i128(10).pow_checked(shift.unsigned_abs())?;
        let pairs = left.iter().zip(right);
        let quotients = pairs.map(|(left, right)| {
            let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
            let (left, right) = (wide(left), wide(right));
            if right == i256::ZERO {
                return Err(DataFusionError::from(datafusion::arrow::error::ArrowError::DivideByZero));
            }
            let scaled = if shift >= 0 {
                left.checked_mul(power).map(|left| (left, right))
            } else {
                right.checked_mul(power).map(|right| (left, right))
            };
            let quotient = scaled.and_then(|(left, right)| rounded_quotient(left, right)).and_then(&narrow);
            match quotient {
                Some(quotient) => Ok(Some(quotient)),
                None => exec_err!("a quotient is out of the range of {data_type}; write cast(... as double)"),
            }
        });
        let quotients = quotients.collect::<Result<PrimitiveArray<T>>>()?.with_data_type(data_type.clone());
        quotients.validate_decimal_precision(quotients.precision())?;
        Ok(Arc::new(quotients))
    }
    let scale = |data_type: &DataType| match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => i32::from(*scale),
        _ => 0,
    };
    // left / right has the scale s1 - s2
    let shift = scale(data_type) - scale(left.data_type()) + scale(right.data_type());
    match data_type {
        DataType::Decimal128(..) => {
            quotients_of::<Decimal128Type>(left, right, data_type, shift, i256::from_i128, i256::to_i128)
        }
        DataType::Decimal256(..) => quotients_of::<Decimal256Type>(left, right, data_type, shift, |value| value, Some),
        // of at most 18 digits: the scale is cut where four more do not fit
        _ => Ok(numeric::div(left, right)?),
    }
}

/// The quotient rounded half away from zero; `None` if it overflows. The divisor is not 0.
pub(crate) fn rounded_quotient(left: i256, right: i256) -> Option<i256> {
    let (quotient, remainder) = (left.checked_div(right)?, left.checked_rem(right)?);
    let (rest, divisor) = (remainder.checked_abs()?, right.checked_abs()?);
    // rest >= divisor / 2, without overflow
    if rest < divisor.checked_sub(rest)? {
        return Some(quotient);
    }
    let is_negative = (left < i256::ZERO) != (right < i256::ZERO);
    quotient.checked_add(if is_negative { i256::MINUS_ONE } else { i256::ONE })
}

/// See the page of this module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RoundingCast {
    to: DataType,
    /// Whether values that do not fit become NULL.
    is_try: bool,
    signature: Signature,
}

impl RoundingCast {
    pub(crate) fn new(to: DataType, is_try: bool) -> Self {
        Self { to, is_try, signature: Signature::any(1, Volatility::Immutable) }
    }

    /// Whether a cast between these types loses a fraction.
    pub(crate) fn rounds(from: &DataType, to: &DataType) -> bool {
        let scale = |data_type: &DataType| match data_type {
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
            | DataType::Decimal256(_, scale) => Some(*scale),
            _ => None,
        };
        match (scale(from), scale(to)) {
            (Some(from), Some(to)) => to < from,
            (Some(from), None) => from > 0 && to.is_integer(),
            (None, _) => from.is_floating() && to.is_integer(),
        }
    }

    fn cast(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let options = CastOptions { safe: self.is_try, ..CastOptions::default() };
        let whole: ArrayRef = match values.data_type() {
            DataType::Float16 => return self.cast(&cast_with_options(values, &DataType::Float32, &options)?),
            DataType::Float32 => {
                Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::round_ties_even))
            }
            DataType::Float64 => {
                Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::round_ties_even))
            }
            // Arrow rounds decimals to decimals half away from zero, and truncates them to integers
            DataType::Decimal32(precision, _) if self.to.is_integer() => {
                cast_with_options(values, &DataType::Decimal32(*precision, 0), &options)?
            }
            DataType::Decimal64(precision, _) if self.to.is_integer() => {
                cast_with_options(values, &DataType::Decimal64(*precision, 0), &options)?
            }
            DataType::Decimal128(precision, _) if self.to.is_integer() => {
                cast_with_options(values, &DataType::Decimal128(*precision, 0), &options)?
            }
            DataType::Decimal256(precision, _) if self.to.is_integer() => {
                cast_with_options(values, &DataType::Decimal256(*precision, 0), &options)?
            }
            _ => Arc::clone(values),
        };
        Ok(cast_with_options(&whole, &self.to, &options)?)
    }
}

impl ScalarUDFImpl for RoundingCast {
    fn name(&self) -> &str {
        if self.is_try { "try_rounding_cast" } else { "rounding_cast" }
    }

    /// With the type: two casts of a value are two columns.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [value] => Ok(format!("{}({} AS {})", self.name(), value.schema_name(), self.to)),
            _ => internal_err!("a cast of {} arguments", args.len()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let is_nullable = self.is_try || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), is_nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn evaluate_bounds(&self, _inputs: &[&Interval]) -> Result<Interval> {
        Interval::make_unbounded(&self.to)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        // NULLs of `try_cast` are not where the values were
        Ok(match inputs {
            [value] if !self.is_try => value.sort_properties,
            _ => SortProperties::Unordered,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(values)] => Ok(ColumnarValue::Array(self.cast(values)?)),
            [ColumnarValue::Scalar(value)] => {
                let cast = self.cast(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&cast, 0)?))
            }
            _ => internal_err!("a cast of {} arguments", args.args.len()),
        }
    }
}

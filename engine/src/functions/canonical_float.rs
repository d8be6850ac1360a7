//! `canonical_float(x)`: 0.0 for both zeros and one NaN for all, also inside lists and structs, everything else unchanged. No SQL name: the rule
//! `float_equality` puts it around keys and compared values.
//!
//! DataFusion hashes, sorts and compares floats by their bits (IEEE 754 `totalOrder`): -0.0 and 0.0 are two values, and a NaN
//! with the sign bit, as x86 computes it for 0.0 / 0.0, is the smallest value. With one zero and one NaN that order is the
//! one of PostgreSQL and DuckDB: NaN equals NaN and is larger than all numbers.
//! NULL: gives NULL.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, make_array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float16Type, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// The name by which the physical plan shows it.
pub(crate) const NAME: &str = "canonical_float";

/// Floats, which have several forms of 0 and NaN.
pub(crate) trait FloatType: ArrowPrimitiveType {
    /// The value with one zero and one NaN.
    fn canonical(value: Self::Native) -> Self::Native;
    fn is_nan(value: Self::Native) -> bool;
}

macro_rules! float_type {
    ($T:ty, $nan:expr, $zero:expr) => {
        impl FloatType for $T {
            fn canonical(value: Self::Native) -> Self::Native {
                // -0.0 + 0.0 is 0.0
                if value.is_nan() { $nan } else { value + $zero }
            }
            fn is_nan(value: Self::Native) -> bool {
                value.is_nan()
            }
        }
    };
}
type Half = <Float16Type as ArrowPrimitiveType>::Native;
float_type!(Float16Type, Half::NAN, Half::ZERO);
float_type!(Float32Type, f32::NAN, 0.0);
float_type!(Float64Type, f64::NAN, 0.0);

/// Returns true for floats, and for lists, structs and maps of floats.
pub(crate) fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        DataType::Dictionary(_, value) => has_floats(value),
        other => other.is_floating(),
    }
}

/// The canonical form of a column of floats, also inside lists and structs; other columns unchanged.
///
/// # Errors
/// Arrow's; none is known.
pub(crate) fn canonical_array(values: &ArrayRef) -> Result<ArrayRef> {
    fn of<T: FloatType>(values: &ArrayRef) -> ArrayRef {
        Arc::new(values.as_primitive::<T>().unary::<_, T>(T::canonical))
    }
    Ok(match values.data_type() {
        DataType::Float16 => of::<Float16Type>(values),
        DataType::Float32 => of::<Float32Type>(values),
        DataType::Float64 => of::<Float64Type>(values),
        nested if has_floats(nested) => {
            let data = values.to_data();
            let children =
                data.child_data().iter().map(|child| Ok(canonical_array(&make_array(child.clone()))?.to_data()));
            let children: Result<Vec<_>> = children.collect();
            make_array(data.clone().into_builder().child_data(children?).build()?)
        }
        _ => Arc::clone(values),
    })
}

/// The canonical form of a float, also inside lists and structs; other values unchanged.
///
/// # Errors
/// Those of [`canonical_array`].
pub(crate) fn canonical_scalar(value: ScalarValue) -> Result<ScalarValue> {
    Ok(match value {
        ScalarValue::Float16(value) => ScalarValue::Float16(value.map(Float16Type::canonical)),
        ScalarValue::Float32(value) => ScalarValue::Float32(value.map(Float32Type::canonical)),
        ScalarValue::Float64(value) => ScalarValue::Float64(value.map(Float64Type::canonical)),
        other if has_floats(&other.data_type()) => {
            ScalarValue::try_from_array(&canonical_array(&other.to_array()?)?, 0)?
        }
        other => other,
    })
}

/// See the page of this module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CanonicalFloatFunction {
    signature: Signature,
}

impl CanonicalFloatFunction {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for CanonicalFloatFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [data_type] => Ok(data_type.clone()),
            _ => internal_err!("{NAME} of {} arguments", arg_types.len()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(Arc::new(Field::new(NAME, field.data_type().clone(), field.is_nullable()))),
            fields => internal_err!("{NAME} of {} arguments", fields.len()),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    /// That of a field of a struct, so that the call moves with it: DataFusion looks for the name of a call whose argument alone has
    /// moved below a join.
    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        match args {
            [ExpressionPlacement::MoveTowardsLeafNodes] => ExpressionPlacement::MoveTowardsLeafNodes,
            _ => ExpressionPlacement::KeepInPlace,
        }
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        match inputs {
            [input] => Interval::make_unbounded(&input.data_type()),
            _ => internal_err!("{NAME} of {} arguments", inputs.len()),
        }
    }

    fn output_ordering(&self, _inputs: &[ExprProperties]) -> Result<SortProperties> {
        // a NaN with the sign bit moves from one end of the order to the other
        Ok(SortProperties::Unordered)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(values)] => Ok(ColumnarValue::Array(canonical_array(values)?)),
            [ColumnarValue::Scalar(value)] => Ok(ColumnarValue::Scalar(canonical_scalar(value.clone())?)),
            _ => internal_err!("{NAME} of {} arguments", args.args.len()),
        }
    }
}

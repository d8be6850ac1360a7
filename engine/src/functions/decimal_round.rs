//! [`DecimalRound`]: `round(decimal, n)` with a type that is settled when the query is planned.
//!
//! Formula: DataFusion's.
//! Type:    of a literal n the decimal with n digits behind the point; otherwise that of the argument, with a digit more.
//! NULL:    NULL.
//! Source:  DataFusion 55.2 has the same types, but a literal that type coercion casts is none for it, until constants are
//!          folded: the type changes after the other branches of CASE and the arguments of `coalesce` were cast to it, and these
//!          lose digits. So does a column that turns out to be a constant.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use super::delegate::delegate_to_inner;

/// See the page of this module. Only the analyzer rule `exact_arithmetic` calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DecimalRound {
    inner: Arc<ScalarUDF>,
    places: Option<i32>,
}

impl DecimalRound {
    /// The call with a settled type; `None` for one that has it.
    pub(crate) fn settled(call: &ScalarFunction) -> Option<Expr> {
        let [_, places] = call.args.as_slice() else { return None };
        if call.func.name() != "round" || call.func.inner().downcast_ref::<Self>().is_some() {
            return None;
        }
        let function = Self { inner: Arc::clone(&call.func), places: literal(places) };
        Some(ScalarUDF::from(function).call(call.args.clone()))
    }
}

/// A constant that is an integer.
fn literal(expr: &Expr) -> Option<i32> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&datafusion::arrow::datatypes::DataType::Int32) {
            Ok(ScalarValue::Int32(value)) => value,
            _ => None,
        },
        Expr::Negative(value) => literal(value)?.checked_neg(),
        Expr::Cast(Cast { expr, field }) if field.data_type().is_integer() => literal(expr),
        _ => None,
    }
}

impl ScalarUDFImpl for DecimalRound {
    delegate_to_inner! { name, aliases, signature, return_type, documentation }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let places = self.places.map(|places| ScalarValue::Int32(Some(places)));
        let value = args.scalar_arguments.first().copied().flatten();
        let scalar_arguments = [value, places.as_ref()];
        self.inner.return_field_from_args(ReturnFieldArgs { scalar_arguments: &scalar_arguments, ..args })
    }

    fn is_strict(&self) -> bool {
        self.inner.inner().is_strict()
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.inner.inner().invoke_with_args(args)
    }
}

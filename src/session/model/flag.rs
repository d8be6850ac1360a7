//! [`Flag`]: 0 and 1 as a boolean, and no other number.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::error::Error;

/// Converts the numbers 0 and 1 to false and true. A 2 could mean "no" as well as "yes", so it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Flag {
    /// The column, for errors.
    column: String,
    signature: Signature,
}

impl Flag {
    pub(super) fn new(column: String) -> Self {
        Self { column, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Flag {
    fn name(&self) -> &'static str {
        "flag"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = matches!(args.args.first(), Some(ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [numbers] = arrays.as_slice() else { return datafusion::common::internal_err!("flag of no column") };
        let numbers = cast(numbers, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        if let Some(other) = numbers.iter().flatten().find(|number| *number != 0. && *number != 1.) {
            let column = &self.column;
            let name = column.rsplit('.').next().unwrap_or(column);
            return Err(Error::data(format!(
                "`{column}` is a number, of which the interaction model reads 0 as false and 1 as true, but it also holds \
                 {other}; say what it means in a view: `(... = 1) as {name}`"
            ))
            .into());
        }
        let flags: BooleanArray = numbers.iter().map(|number| number.map(|number| number != 0.)).collect();
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&flags, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(flags))
        })
    }
}

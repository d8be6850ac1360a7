//! [`DateDifference`]: the days between two dates.
//!
//! Formula: `end - start` in days.
//! NULL:    a NULL gives NULL.
//! Source:  PostgreSQL, table 9.32. DataFusion 55.2 has the same operator, but its interval arithmetic, by which it estimates
//!          filters over files with statistics, makes an interval of the difference and fails beside a number. It does not look
//!          into functions.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::binary;
use datafusion::arrow::datatypes::{DataType, Date32Type};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// See the page of this module. No SQL name: only the analyzer rule `temporal_casts` calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DateDifference {
    signature: Signature,
}

impl DateDifference {
    /// `left - right` of two `Date32`.
    pub(crate) fn of(left: Expr, right: Expr) -> Expr {
        let signature = Signature::exact(vec![DataType::Date32, DataType::Date32], Volatility::Immutable);
        ScalarUDF::from(Self { signature }).call(vec![left, right])
    }
}

impl ScalarUDFImpl for DateDifference {
    fn name(&self) -> &str {
        "date_difference"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let [left, right] = take_function_args(self.name(), args.args)?;
        let (left, right) = (left.into_array(rows)?, right.into_array(rows)?);
        let days: Int64Array =
            binary(left.as_primitive::<Date32Type>(), right.as_primitive::<Date32Type>(), |l, r| {
                i64::from(l) - i64::from(r)
            })?;
        let days: ArrayRef = Arc::new(days);
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&days, 0)?));
        }
        Ok(ColumnarValue::Array(days))
    }
}

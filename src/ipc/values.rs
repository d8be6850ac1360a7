//! Values that a message may hold and its types may not: decimals with more digits than their precision. The decoder takes
//! them, DataFusion calculates with them, and other clients refuse the rows.

use datafusion::arrow::array::{Array, ArrayData, Decimal32Array, Decimal64Array, Decimal128Array, Decimal256Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;

/// Checks the values of a column, those within lists, structs and dictionaries among them.
///
/// # Errors
/// The first value that its type does not hold.
pub(super) fn check_values(column: &dyn Array) -> Result<(), ArrowError> {
    check_data(&column.to_data())
}

fn check_data(data: &ArrayData) -> Result<(), ArrowError> {
    match data.data_type() {
        DataType::Decimal32(precision, _) => {
            Decimal32Array::from(data.clone()).validate_decimal_precision(*precision)?;
        }
        DataType::Decimal64(precision, _) => {
            Decimal64Array::from(data.clone()).validate_decimal_precision(*precision)?;
        }
        DataType::Decimal128(precision, _) => {
            Decimal128Array::from(data.clone()).validate_decimal_precision(*precision)?;
        }
        DataType::Decimal256(precision, _) => {
            Decimal256Array::from(data.clone()).validate_decimal_precision(*precision)?;
        }
        _ => {}
    }
    data.child_data().iter().try_for_each(check_data)
}

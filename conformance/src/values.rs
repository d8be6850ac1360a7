//! Values as strings: as DataFusion's SQL logic tests write them.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;

/// A float with at most twelve digits behind the point and without trailing zeros.
fn float_string(value: f64, shortest: &str) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_string();
    }
    // the shortest form has the digits that were meant: 0.1, not 0.1000000000000000055
    let digits = shortest.split_once('.').map_or(0, |(_, digits)| digits.len());
    if digits <= 12 {
        return if shortest == "-0" { "0".to_string() } else { shortest.to_string() };
    }
    let rounded = format!("{value:.12}");
    let rounded = rounded.trim_end_matches('0').trim_end_matches('.');
    if rounded == "-0" { "0".to_string() } else { rounded.to_string() }
}

/// Decimals without trailing zeros.
fn decimal_string(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    }
}

fn cell(column: &ArrayRef, row: usize, formatter: &ArrayFormatter<'_>) -> Result<String> {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        return Ok("NULL".to_string());
    }
    Ok(match column.data_type() {
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            float_string(value, &value.to_string())
        }
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            float_string(f64::from(value), &value.to_string())
        }
        DataType::Float16 => {
            let value = column.as_primitive::<Float16Type>().value(row);
            float_string(f64::from(value), &value.to_string())
        }
        decimal if decimal.is_decimal() => decimal_string(&formatter.value(row).try_to_string()?),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let values = dictionary.values();
            let options = FormatOptions::default().with_null("NULL");
            let formatter = ArrayFormatter::try_new(values.as_ref(), &options)?;
            return cell(values, dictionary.normalized_keys()[row], &formatter);
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match formatter.value(row).try_to_string()? {
            string if string.is_empty() => "(empty)".to_string(),
            string => string.trim_end_matches('\n').to_string(),
        },
        _ => formatter.value(row).try_to_string()?,
    })
}

/// The rows of `batches`, each value as the tests write it.
///
/// # Errors
/// A type that Arrow cannot write.
pub(crate) fn rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in batches {
        let columns =
            batch.columns().iter().map(|column| Ok((column, ArrayFormatter::try_new(column.as_ref(), &options)?)));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            rows.push(
                columns.iter().map(|(column, formatter)| cell(column, row, formatter)).collect::<Result<Vec<_>>>()?,
            );
        }
    }
    Ok(rows)
}

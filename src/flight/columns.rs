//! The columns of results as clients see them: data types that clients support, and the Flight SQL metadata of columns.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::RecordBatchOptions;
use datafusion::arrow::compute::{can_cast_types, cast};
use datafusion::arrow::datatypes::{
    DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION, DataType, Field, Schema, SchemaRef, TimeUnit,
};
use datafusion::arrow::error::ArrowError;

use super::headers::TimestampForm;
use super::sql_types::SqlType;
use crate::session::model;
use crate::types::{plain_part, rebuilt};

/// The table that a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) catalog: String,
    pub(super) schema: String,
    pub(super) table: String,
}

/// The schema that is sent to clients. `origins` is the table of each column that has one; `always_nullable` is for
/// statements whose parameter values are not known yet.
pub(super) fn client_schema(
    schema: &Schema,
    origins: &[Option<Origin>],
    always_nullable: bool,
    timestamps: TimestampForm,
) -> SchemaRef {
    let field = |(at, field): (usize, &Arc<Field>)| {
        let data_type = client_type(field.data_type(), timestamps);
        let mut metadata = field.metadata().clone();
        metadata.extend(sql_metadata(field.name(), &data_type, origins.get(at).and_then(Option::as_ref)));
        Field::new(field.name(), data_type, always_nullable || field.is_nullable()).with_metadata(metadata)
    };
    // schema metadata of Parquet files (such as a pandas index) describes the file and not the result
    Arc::new(Schema::new(schema.fields().iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// The data type that is sent to clients: dictionaries and views decoded, and types that clients do not support
/// replaced by older ones.
pub(super) fn client_type(data_type: &DataType, timestamps: TimestampForm) -> DataType {
    let change = |part: &DataType| match part {
        // the values are those of UTC in either form
        DataType::Timestamp(unit, Some(_)) if timestamps == TimestampForm::Utc => {
            Some(DataType::Timestamp(*unit, None))
        }
        DataType::ListView(field) => Some(DataType::List(Arc::clone(field))),
        DataType::LargeListView(field) => Some(DataType::LargeList(Arc::clone(field))),
        DataType::Decimal32(precision, scale) => {
            Some(DataType::Decimal128((*precision).min(DECIMAL64_MAX_PRECISION), *scale))
        }
        DataType::Decimal64(precision, scale) => {
            Some(DataType::Decimal128((*precision).min(DECIMAL128_MAX_PRECISION), *scale))
        }
        DataType::Float16 => Some(DataType::Float32),
        other => plain_part(other),
    };
    let client_type = rebuilt(data_type, &change);
    if client_type == *data_type || can_cast_types(data_type, &client_type) { client_type } else { data_type.clone() }
}

/// Casts a batch to the schema that was sent.
///
/// # Errors
/// A value that does not fit, which means that the schema was wrong.
pub(super) fn cast_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// The Flight SQL metadata of a column.
fn sql_metadata(name: &str, data_type: &DataType, origin: Option<&Origin>) -> HashMap<String, String> {
    let sql = SqlType::of(data_type);
    let mut pairs = vec![
        ("TYPE_NAME", sql.name.to_owned()),
        ("IS_AUTO_INCREMENT", "0".to_owned()),
        ("IS_CASE_SENSITIVE", if sql.is_text() { "1" } else { "0" }.to_owned()),
        ("IS_READ_ONLY", "1".to_owned()),
        ("IS_SEARCHABLE", "1".to_owned()),
    ];
    if let Some(precision) = precision(data_type) {
        pairs.push(("PRECISION", precision.to_string()));
    }
    if let Some(scale) = scale(data_type) {
        pairs.push(("SCALE", scale.to_string()));
    }
    if let Some(remark) = model::remark(name) {
        pairs.push(("REMARKS", remark.to_owned()));
    }
    if let Some(origin) = origin {
        pairs.push(("CATALOG_NAME", origin.catalog.clone()));
        pairs.push(("SCHEMA_NAME", origin.schema.clone()));
        pairs.push(("TABLE_NAME", origin.table.clone()));
    }
    pairs.into_iter().map(|(key, value)| (format!("ARROW:FLIGHT:SQL:{key}"), value)).collect()
}

/// Decimal digits of a numeric type.
fn precision(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        DataType::UInt64 => 20,
        DataType::Float32 => 7,
        DataType::Float64 => 15,
        DataType::Decimal32(precision, _)
        | DataType::Decimal64(precision, _)
        | DataType::Decimal128(precision, _)
        | DataType::Decimal256(precision, _) => *precision,
        _ => return None,
    })
}

/// Digits of the fraction of a number or of a second.
fn scale(data_type: &DataType) -> Option<i8> {
    Some(match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        },
        other if other.is_integer() => 0,
        _ => return None,
    })
}

/// Splits a batch into slices of at most about `max_bytes`; a single row is never split.
pub(super) fn split(batch: RecordBatch, max_bytes: usize, parts: &mut Vec<RecordBatch>) {
    let size = |batch: &RecordBatch| -> usize {
        batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX / 4096)).sum()
    };
    if batch.num_rows() < 2 || size(&batch) <= max_bytes {
        parts.push(batch);
        return;
    }
    let half = batch.num_rows() / 2;
    split(batch.slice(0, half), max_bytes, parts);
    split(batch.slice(half, batch.num_rows() - half), max_bytes, parts);
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, AsArray, DictionaryArray, Int64Array, StringArray, StringViewArray};
    use datafusion::arrow::datatypes::Int8Type;

    use super::*;

    #[test]
    fn views_and_dictionaries_become_plain_in_schema_and_data() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("view", Arc::new(StringViewArray::from(vec![Some("a"), None]))),
            ("coded", Arc::new(vec!["x", "x"].into_iter().collect::<DictionaryArray<Int8Type>>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let schema = client_schema(&batch.schema(), &[], false, TimestampForm::Zoned);
        let types: Vec<_> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, [DataType::Utf8, DataType::Utf8]);
        let fitted = cast_batch(&batch, &schema).unwrap();
        assert_eq!(fitted.schema(), schema);
        assert_eq!(fitted.column(1).as_string::<i32>().value(1), "x");
    }

    #[test]
    fn new_forms_become_old_ones_at_any_depth() {
        let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
        let zoned = |data_type: &DataType| client_type(data_type, TimestampForm::Zoned);
        assert_eq!(zoned(&DataType::ListView(item(DataType::Utf8View))), DataType::List(item(DataType::Utf8)));
        assert_eq!(zoned(&DataType::Decimal64(12, 2)), DataType::Decimal128(12, 2));
        let interval = DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano);
        assert_eq!(zoned(&interval), interval);
        let at = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        assert_eq!(zoned(&at(Some("Asia/Shanghai"))), at(Some("Asia/Shanghai")));
        let list = DataType::List(item(at(Some("Asia/Shanghai"))));
        assert_eq!(client_type(&list, TimestampForm::Utc), DataType::List(item(at(None))));
    }

    #[test]
    fn columns_say_their_type_and_table() {
        let origin = Origin { catalog: "c".into(), schema: "s".into(), table: "t".into() };
        let schema = Schema::new(vec![Field::new("d", DataType::Decimal128(10, 2), false)]);
        let client_schema = client_schema(&schema, &[Some(origin)], false, TimestampForm::Zoned);
        let field = client_schema.field(0);
        let get = |key: &str| field.metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).map(String::as_str);
        assert_eq!((get("PRECISION"), get("SCALE"), get("TABLE_NAME")), (Some("10"), Some("2"), Some("t")));
        assert_eq!(get("TYPE_NAME"), Some("DECIMAL"));
        assert!(!field.is_nullable());
    }

    #[test]
    fn parts_are_small_and_whole() {
        let texts: Vec<String> = (0..100).map(|row| "x".repeat(if row < 5 { 5000 } else { 5 })).collect();
        let columns: Vec<(&str, ArrayRef)> =
            vec![("n", Arc::new(Int64Array::from_iter_values(0..100))), ("text", Arc::new(StringArray::from(texts)))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut parts = Vec::new();
        split(batch.clone(), 8000, &mut parts);
        assert_eq!(parts.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
        // the long rows are alone, the short ones together
        assert_eq!(parts[0].num_rows(), 1);
        assert!(parts.len() < 12, "{}", parts.len());
        let mut one = Vec::new();
        split(batch.slice(50, 2), 8000, &mut one);
        assert_eq!(one.len(), 1);
    }
}

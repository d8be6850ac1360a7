//! Casts batches to the types that a format supports.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray};
use datafusion::arrow::compute::{can_cast_types, cast};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::text::{self, Times};
use super::{Format, OutputError, Result};
pub(super) use crate::types::plain;

/// How a format writes a column's type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fit {
    /// As it is.
    Keep,
    /// Cast to this type; as a string if the cast does not exist.
    As(DataType),
    /// As a string.
    Text,
}

/// The schema that a format writes for a section, and the casts to it.
#[derive(Debug)]
pub(super) struct Shape {
    format: Format,
    schema: SchemaRef,
    as_text: Vec<bool>,
}

impl Shape {
    /// Columns are nullable in the written schema, and names are unique: `a`, `a_2`.
    pub(super) fn new(format: Format, schema: &Schema, fit: impl Fn(&DataType) -> Fit) -> Self {
        let names = unique_names(schema.fields().iter().map(|field| field.name().as_str()));
        let mut as_text = Vec::with_capacity(names.len());
        let mut fields = Vec::with_capacity(names.len());
        for (field, name) in schema.fields().iter().zip(names) {
            let data_type = match fit(field.data_type()) {
                Fit::Keep => Some(field.data_type().clone()),
                Fit::As(data_type) => can_cast_types(field.data_type(), &data_type).then_some(data_type),
                Fit::Text => None,
            };
            as_text.push(data_type.is_none());
            let written = Field::new(name, data_type.unwrap_or(DataType::Utf8), true);
            fields.push(written.with_metadata(field.metadata().clone()));
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Self { format, schema, as_text }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Casts the batch to the written schema; `rows` rows of the section precede it.
    pub(super) fn apply(&self, batch: &RecordBatch, rows: u64) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
        for ((column, field), as_text) in batch.columns().iter().zip(self.schema.fields()).zip(&self.as_text) {
            columns.push(if *as_text {
                self.texts(column, field.name(), rows)?
            } else if column.data_type() == field.data_type() {
                Arc::clone(column)
            } else {
                cast(column, field.data_type()).map_err(|source| OutputError::encode(self.format, source))?
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|source| OutputError::encode(self.format, source))
    }

    fn texts(&self, column: &ArrayRef, name: &str, rows: u64) -> Result<ArrayRef> {
        let options = text::options(column.data_type(), Times::Iso);
        let formatter = text::formatter(self.format, column, &options)?;
        let nulls = column.logical_nulls();
        let mut texts = Vec::with_capacity(column.len());
        for row in 0..column.len() {
            texts.push(if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                None
            } else {
                let text = formatter.value(row).try_to_string();
                Some(text.map_err(|source| text::unprintable(self.format, name, rows + row as u64 + 1, &source))?)
            });
        }
        Ok(Arc::new(StringArray::from(texts)))
    }
}

/// Makes names unique by the first free number: `a`, `a_2`.
pub(super) fn unique_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<&str> = names.collect();
    let mut taken: HashSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut seen = HashSet::new();
    names
        .into_iter()
        .map(|name| {
            if seen.insert(name) {
                return name.to_owned();
            }
            let mut number = 2;
            loop {
                let candidate = format!("{name}_{number}");
                if taken.insert(candidate.clone()) {
                    return candidate;
                }
                number += 1;
            }
        })
        .collect()
}

/// Returns true if the type or a part of it, at any depth, meets the condition.
pub(super) fn any_part(data_type: &DataType, meets: &dyn Fn(&DataType) -> bool) -> bool {
    if meets(data_type) {
        return true;
    }
    match data_type {
        DataType::Dictionary(_, values) => any_part(values, meets),
        DataType::RunEndEncoded(_, field)
        | DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _) => any_part(field.data_type(), meets),
        DataType::Struct(fields) => fields.iter().any(|field| any_part(field.data_type(), meets)),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| any_part(field.data_type(), meets)),
        _ => false,
    }
}

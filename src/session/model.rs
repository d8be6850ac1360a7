//! The interaction model: the tables and columns that shipped views and reports know.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use DataType::{Boolean, Date32, Float64, Int32, Utf8};

fn at() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The names of the model's tables.
pub const TABLES: [&str; 7] = ["interactions", "surveys", "customers", "orders", "events", "agents", "agent_states"];

/// The columns of a table of the model; `None` for another name.
pub fn schema(table: &str) -> Option<SchemaRef> {
    let columns: Vec<(&str, DataType)> = match table {
        "interactions" => vec![
            ("interaction_id", Utf8),
            ("customer_id", Utf8),
            ("started_at", at()),
            ("ended_at", at()),
            ("channel", Utf8),
            ("direction", Utf8),
            ("queue", Utf8),
            ("team", Utf8),
            ("agent_id", Utf8),
            ("topic", Utf8),
            ("product", Utf8),
            ("wait_s", Int32),
            ("talk_s", Int32),
            ("hold_s", Int32),
            ("wrap_s", Int32),
            ("is_abandoned", Boolean),
            ("is_resolved", Boolean),
            ("transfer_count", Int32),
            ("text", Utf8),
            ("language", Utf8),
        ],
        "surveys" => vec![
            ("survey_id", Utf8),
            ("interaction_id", Utf8),
            ("customer_id", Utf8),
            ("responded_at", at()),
            ("kind", Utf8),
            ("score", Int32),
            ("comment", Utf8),
            ("language", Utf8),
        ],
        "customers" => vec![
            ("customer_id", Utf8),
            ("signed_up_at", at()),
            ("birth_date", Date32),
            ("region", Utf8),
            ("city", Utf8),
            ("segment", Utf8),
            ("acquisition_cost", Float64),
            ("churned_at", at()),
        ],
        "orders" => vec![("order_id", Utf8), ("customer_id", Utf8), ("ordered_at", at()), ("amount", Float64)],
        "events" => vec![
            ("event_id", Utf8),
            ("customer_id", Utf8),
            ("session_id", Utf8),
            ("event", Utf8),
            ("page", Utf8),
            ("occurred_at", at()),
            ("dwell_s", Int32),
        ],
        "agents" => vec![("agent_id", Utf8), ("name", Utf8), ("team", Utf8), ("hired_at", at())],
        "agent_states" => vec![("agent_id", Utf8), ("state", Utf8), ("started_at", at()), ("ended_at", at())],
        _ => return None,
    };
    let fields: Vec<Field> = columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    Some(Arc::new(Schema::new(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_columns_named_by_the_rules() {
        for table in TABLES {
            let schema = schema(table).unwrap();
            for field in schema.fields() {
                let name = field.name();
                assert_eq!(name.ends_with("_at"), *field.data_type() == at(), "{table}.{name}");
                assert_eq!(name.starts_with("is_"), *field.data_type() == Boolean, "{table}.{name}");
            }
        }
    }
}

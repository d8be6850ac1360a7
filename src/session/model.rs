//! The interaction model: the tables and columns that the shipped views and reports use.

mod fit;
mod flag;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

pub(crate) use self::fit::{Misfit, fit, near_names};
use DataType::{Boolean, Date32, Float64, Int32, Utf8};

fn at() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The names of the model's tables.
pub(crate) const TABLES: [&str; 7] =
    ["interactions", "surveys", "customers", "orders", "events", "agents", "agent_states"];

/// The columns of a table of the model; `None` for another name.
pub(crate) fn schema(table: &str) -> Option<SchemaRef> {
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

/// A short description of a column of the model, or of one whose suffix implies its unit.
pub(crate) fn remark(column: &str) -> Option<&'static str> {
    let known = match column {
        "interaction_id" => "one contact on any channel",
        "customer_id" => "one customer",
        "survey_id" => "one answer to a survey",
        "agent_id" => "one agent",
        "order_id" => "one order",
        "event_id" => "one click, view or step",
        "session_id" => "one visit of the site",
        "channel" => "phone, chat, email and the like",
        "direction" => "inbound or outbound",
        "queue" => "where the contact waited",
        "team" => "the agent's team",
        "topic" => "what the contact was about",
        "product" => "the product that the contact was about",
        "wait_s" => "seconds until an agent answered or the customer left",
        "talk_s" => "seconds of conversation",
        "hold_s" => "seconds on hold",
        "wrap_s" => "seconds of work after the conversation",
        "dwell_s" => "seconds on the page",
        "is_abandoned" => "the customer left before an answer",
        "is_resolved" => "the agent logged the contact as resolved",
        "transfer_count" => "how often the contact was passed on",
        "text" => "what was said or written",
        "language" => "ISO 639 code",
        "kind" => "nps, csat or ces",
        "score" => "the answer on the scale of its kind",
        "comment" => "what the customer wrote beside the score",
        "segment" => "the customer's segment",
        "acquisition_cost" => "what winning the customer cost",
        "churned_at" => "when the customer left, UTC; NULL for one who stays",
        "amount" => "what the order was worth",
        "state" => "what the agent was doing",
        _ => return unit(column),
    };
    Some(known)
}

/// The unit that the suffix of a column's name implies.
fn unit(column: &str) -> Option<&'static str> {
    let endings = [
        ("_at", "timestamp, UTC"),
        ("_s", "seconds"),
        ("_ratio", "share, 0 to 1"),
        ("_count", "number of rows or things"),
        ("_date", "calendar day"),
    ];
    let found = endings.iter().find(|(ending, _)| column.ends_with(ending));
    found.map(|(_, unit)| *unit).or_else(|| column.starts_with("is_").then_some("yes or no; NULL is not known"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_column_of_the_model_means_something() {
        for table in super::TABLES {
            for field in super::schema(table).unwrap().fields() {
                let plain = ["name", "event", "page", "region", "city"];
                let is_known = super::remark(field.name()).is_some() || plain.contains(&field.name().as_str());
                assert!(is_known, "{table}.{}", field.name());
            }
        }
        assert_eq!(super::remark("fcr_ratio"), Some("share, 0 to 1"));
        assert_eq!(super::remark("x"), None);
    }

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

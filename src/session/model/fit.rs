//! Fits a table or view with the name of one of the model to the model's types: what can be converted without a doubt is
//! converted once, here; for the rest there is a [`Misfit`] that says what to write.
//!
//! | the model has | converted | else |
//! |---|---|---|
//! | text | whole numbers, as ids are | an error; a float id would be `1001.0` |
//! | timestamp | dates, as their midnight; timestamps without a time zone, as UTC | an error |
//! | date | timestamps, as their day | an error |
//! | number | | an error |
//! | boolean | 0 and 1; another number is an error when it is met | an error |
//!
//! A column that is NULL throughout fits, and a column that is not there is NULL.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, cast, ident};

use super::flag::Flag;
use super::schema;
use crate::session::csv::WITHOUT_VALUES;
use crate::types::type_name;

/// A column whose type does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) column: String,
    /// Its type.
    has: String,
    /// The model's.
    wanted: &'static str,
    /// The expression to write, of `{}`.
    write: &'static str,
    /// What else can be written.
    or: &'static str,
}

impl Misfit {
    /// What is wrong.
    pub(crate) fn title(&self, table: &str) -> String {
        format!("`{table}.{}` is {}, and the interaction model wants {}", self.column, self.has, self.wanted)
    }

    /// What to write instead, of an expression.
    pub(crate) fn remedy(&self, expression: &str) -> String {
        let Self { column, write, or, .. } = self;
        format!("`{} as {column}`{or}", write.replace("{}", expression))
    }
}

/// A table with all columns of the model, converted where that is safe, and the columns that do not fit.
///
/// # Errors
/// DataFusion's, of planning the conversions.
pub(crate) fn fit(name: &str, table: Arc<dyn TableProvider>) -> Result<(Arc<dyn TableProvider>, Vec<Misfit>)> {
    let Some(wanted) = schema(name) else { return Ok((table, Vec::new())) };
    let has = table.schema();
    let mut misfits = Vec::new();
    let mut is_changed = false;
    let mut columns: Vec<Expr> = Vec::new();
    for field in has.fields() {
        let column = ident(field.name());
        let fitted = match wanted.field_with_name(field.name()) {
            Err(_) => Fit::As,
            Ok(model) => fit_column(field, model.data_type()),
        };
        columns.push(match fitted {
            Fit::As => column,
            Fit::Cast(data_type) => {
                is_changed = true;
                cast(column, data_type).alias(field.name())
            }
            Fit::Flag => {
                is_changed = true;
                let flag = ScalarUDF::new_from_impl(Flag::new(format!("{name}.{}", field.name())));
                flag.call(vec![column]).alias(field.name())
            }
            Fit::Not(misfit) => {
                misfits.push(misfit);
                column
            }
        });
    }
    for field in wanted.fields().iter().filter(|field| has.index_of(field.name()).is_err()) {
        is_changed = true;
        columns.push(Expr::Literal(ScalarValue::try_from(field.data_type())?, None).alias(field.name()));
    }
    if !is_changed {
        return Ok((table, misfits));
    }
    let plan: LogicalPlan =
        LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.project(columns)?.build()?;
    Ok((Arc::new(ViewTable::new(plan, None)), misfits))
}

enum Fit {
    As,
    Cast(DataType),
    Flag,
    Not(Misfit),
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64)
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

fn fit_column(field: &Field, wanted: &DataType) -> Fit {
    let has = field.data_type();
    let misfit =
        |wanted, write, or| Fit::Not(Misfit { column: field.name().clone(), has: described(has), wanted, write, or });
    if has.is_null() || field.metadata().contains_key(WITHOUT_VALUES) {
        return Fit::Cast(wanted.clone());
    }
    if has.is_nested() {
        let wanted = name_of(wanted);
        return match has {
            DataType::Struct(_) => misfit(wanted, "get_field({}, 'FIELD')", " for one of its fields"),
            DataType::Map(..) => misfit(wanted, "map_extract({}, 'KEY')[1]", " for one of its values"),
            _ => misfit(wanted, "{}[1]", " for its first element, or `array_to_string(..., ', ')` for all of them"),
        };
    }
    match wanted {
        DataType::Utf8 if is_text(has) => Fit::As,
        DataType::Utf8 if has.is_integer() || matches!(has, DataType::Decimal128(_, 0)) => Fit::Cast(DataType::Utf8),
        DataType::Utf8 if has.is_floating() || matches!(has, DataType::Decimal128(..) | DataType::Decimal256(..)) => {
            misfit(
                "text",
                "cast(cast({} as bigint) as text)",
                ": an id is a whole number, and text of a float would be 1001.0",
            )
        }
        DataType::Utf8 if is_binary(has) => misfit("text", "cast({} as text)", ", or `encode(..., 'hex')` for a UUID"),
        DataType::Utf8 => misfit("text", "cast({} as text)", ""),
        DataType::Timestamp(..) if matches!(has, DataType::Timestamp(..)) => match has {
            DataType::Timestamp(unit, None) => Fit::Cast(DataType::Timestamp(*unit, Some("UTC".into()))),
            _ => Fit::As,
        },
        DataType::Timestamp(..) if is_date(has) => Fit::Cast(wanted.clone()),
        DataType::Timestamp(..) if is_text(has) => misfit(
            "a timestamp",
            "to_timestamp({})",
            ", or with the format of the text `to_timestamp(..., '%d.%m.%Y %H:%M')`; local times become UTC by `at time zone`",
        ),
        DataType::Timestamp(..) if has.is_numeric() => {
            misfit("a timestamp", "to_timestamp_seconds({})", ", or `to_timestamp_millis(...)` for milliseconds")
        }
        DataType::Timestamp(..) => misfit("a timestamp", "cast({} as timestamp)", ""),
        DataType::Date32 if is_date(has) => Fit::As,
        DataType::Date32 if matches!(has, DataType::Timestamp(..)) => Fit::Cast(DataType::Date32),
        DataType::Date32 if is_text(has) => {
            misfit("a date", "cast({} as date)", ", or with the format of the text `to_date(..., '%d.%m.%Y')`")
        }
        DataType::Date32 => misfit("a date", "cast({} as date)", ""),
        DataType::Boolean if matches!(has, DataType::Boolean) => Fit::As,
        DataType::Boolean if has.is_integer() || has.is_floating() => Fit::Flag,
        DataType::Boolean if is_text(has) => misfit("a boolean", "({} = 'yes')", ", with the word that means it"),
        DataType::Boolean => misfit("a boolean", "({} = 1)", ""),
        _ if has.is_numeric() => Fit::As,
        _ if is_text(has) => misfit(
            "a number",
            "cast({} as double)",
            ", or `try_cast(... as double)` where some are no numbers and become NULL; for 00:05:12 write \
             `extract(epoch from cast(... as time))`",
        ),
        _ if field.name().ends_with("_s") => misfit("a number of seconds", "extract(epoch from {})", ""),
        _ => misfit("a number", "cast({} as double)", ""),
    }
}

fn name_of(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Utf8 => "text",
        DataType::Timestamp(..) => "a timestamp",
        DataType::Date32 => "a date",
        DataType::Boolean => "a boolean",
        _ => "a number",
    }
}

fn described(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(_) => "a struct".into(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_) => {
            "a list".into()
        }
        DataType::Map(..) => "a map".into(),
        DataType::Decimal128(..) | DataType::Decimal256(..) => "a decimal".into(),
        DataType::Time32(_) | DataType::Time64(_) => "a time of day".into(),
        _ if is_binary(data_type) => "binary".into(),
        _ => {
            let name = type_name(data_type);
            let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            if name == "text" { name } else { format!("{article} {name}") }
        }
    }
}

/// Columns of a table that nearly have a name of the model, and the name.
pub(crate) fn near_names(table: &str, has: &Schema) -> Vec<(String, String)> {
    let Some(wanted) = schema(table) else { return Vec::new() };
    let missing: Vec<&str> =
        wanted.fields().iter().map(|field| field.name().as_str()).filter(|name| has.index_of(name).is_err()).collect();
    let others = has.fields().iter().filter(|field| wanted.index_of(field.name()).is_err());
    let near = others.filter_map(|field| {
        let own = letters(field.name());
        let close = |name: &&&str| {
            let model = letters(name);
            let limit = if model.len() >= 8 { 2 } else { usize::from(model.len() >= 4) };
            strsim::damerau_levenshtein(&own, &model) <= limit
        };
        missing
            .iter()
            .find(|name| letters(name) == own)
            .or_else(|| missing.iter().find(close))
            .map(|name| (field.name().clone(), (*name).to_string()))
    });
    near.collect()
}

/// `customerId`, `Customer ID` and `customer_id` are one.
fn letters(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{IntervalUnit, TimeUnit};
    use datafusion::datasource::empty::EmptyTable;

    use super::*;

    fn fitted(name: &str, columns: &[(&str, DataType)]) -> (Arc<dyn TableProvider>, Vec<Misfit>) {
        let fields: Vec<Field> =
            columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
        fit(name, Arc::new(EmptyTable::new(Arc::new(Schema::new(fields))))).unwrap()
    }

    #[test]
    fn what_fits_without_a_doubt_is_converted() {
        let (table, misfits) = fitted(
            "interactions",
            &[
                ("customer_id", DataType::Int64),
                ("interaction_id", DataType::UInt32),
                ("started_at", DataType::Timestamp(TimeUnit::Second, None)),
                ("ended_at", DataType::Date32),
                ("is_abandoned", DataType::Int8),
                ("is_resolved", DataType::Float64),
                ("topic", DataType::Null),
                ("wait_s", DataType::Float32),
                ("own", DataType::Int64),
            ],
        );
        assert_eq!(misfits, []);
        let schema = table.schema();
        let of = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
        assert_eq!([of("customer_id"), of("interaction_id"), of("topic")], [const { DataType::Utf8 }; 3]);
        assert_eq!([of("is_abandoned"), of("is_resolved")], [const { DataType::Boolean }; 2]);
        assert_eq!(of("started_at"), DataType::Timestamp(TimeUnit::Second, Some("UTC".into())));
        assert_eq!(of("ended_at"), super::super::at());
        assert_eq!([of("wait_s"), of("own")], [DataType::Float32, DataType::Int64]);
        assert_eq!(schema.fields().len(), 21);
    }

    #[test]
    fn what_may_be_wrong_says_what_to_write() {
        let texts = DataType::new_list(DataType::Utf8, true);
        let cases = [
            ("interactions", "started_at", DataType::Utf8, "text", "to_timestamp(x) as started_at"),
            ("interactions", "started_at", DataType::Int64, "bigint", "to_timestamp_seconds(x) as started_at"),
            (
                "interactions",
                "customer_id",
                DataType::Float64,
                "double",
                "cast(cast(x as bigint) as text) as customer_id",
            ),
            ("interactions", "is_abandoned", DataType::Utf8View, "text", "(x = 'yes') as is_abandoned"),
            ("interactions", "wait_s", DataType::Utf8, "text", "cast(x as double) as wait_s"),
            (
                "interactions",
                "talk_s",
                DataType::Interval(IntervalUnit::MonthDayNano),
                "interval",
                "extract(epoch from x)",
            ),
            ("interactions", "talk_s", DataType::Duration(TimeUnit::Second), "interval", "extract(epoch from x)"),
            ("interactions", "hold_s", DataType::Time64(TimeUnit::Microsecond), "time of day", "extract(epoch from x)"),
            ("interactions", "topic", texts, "list", "x[1] as topic"),
            ("interactions", "queue", DataType::Struct(Default::default()), "struct", "get_field(x, 'FIELD') as queue"),
            ("interactions", "text", DataType::Binary, "binary", "cast(x as text) as text"),
            ("customers", "birth_date", DataType::Utf8, "text", "cast(x as date) as birth_date"),
            ("orders", "amount", DataType::Boolean, "boolean", "cast(x as double) as amount"),
            ("surveys", "score", DataType::Utf8, "text", "cast(x as double) as score"),
        ];
        for (table, column, data_type, has, write) in cases {
            let (_, misfits) = fitted(table, &[(column, data_type)]);
            let [misfit] = misfits.as_slice() else { panic!("{table}.{column}: {misfits:?}") };
            let title = misfit.title(table);
            assert!(title.contains(&format!("`{table}.{column}`")) && title.contains(has), "{title}");
            assert!(misfit.remedy("x").contains(write), "{}", misfit.remedy("x"));
        }
    }

    #[test]
    fn names_that_are_nearly_those_of_the_model_are_found() {
        let near = |table: &str, names: &[&str]| {
            let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
            near_names(table, &Schema::new(fields))
        };
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        assert_eq!(
            near("interactions", &["startet_at", "customerId", "Wait S", "channel", "opened", "page"]),
            [pair("startet_at", "started_at"), pair("customerId", "customer_id"), pair("Wait S", "wait_s")]
        );
        assert_eq!(near("interactions", &["started_at", "startet_at"]), []);
        assert_eq!(near("tickets", &["startet_at"]), []);
    }
}

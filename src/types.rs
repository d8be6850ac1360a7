//! The types of parameters and declared columns.

mod domain;
mod names;
mod spelling;

use std::sync::Arc;

use cxql_engine::number_without_unit;
use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, TimezoneInfo};

pub(crate) use self::domain::Domain;
pub(crate) use self::names::{type_name, with_type_names};
pub(crate) use self::spelling::unit_wanted;
use self::spelling::{timestamp_with_seconds, unit_not_wanted};
use crate::source::nearest;

/// A scalar type with a name for users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BaseType {
    /// A string.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A 64-bit float.
    Float,
    /// `true` or `false`.
    Boolean,
    /// A date.
    Date,
    /// A timestamp, UTC unless it has an offset.
    Timestamp,
    /// An interval such as `7 days` or `1 month`.
    Interval,
}

const NAMES: [(&str, BaseType); 7] = [
    ("text", BaseType::Text),
    ("integer", BaseType::Integer),
    ("float", BaseType::Float),
    ("boolean", BaseType::Boolean),
    ("date", BaseType::Date),
    ("timestamp", BaseType::Timestamp),
    ("interval", BaseType::Interval),
];

/// The SQL names of these types, as [`type_name`] shows them, and their usual synonyms.
const SQL_NAMES: [(&str, BaseType); 9] = [
    ("varchar", BaseType::Text),
    ("bigint", BaseType::Integer),
    ("int", BaseType::Integer),
    ("int8", BaseType::Integer),
    ("double", BaseType::Float),
    ("double precision", BaseType::Float),
    ("bool", BaseType::Boolean),
    ("timestamp with time zone", BaseType::Timestamp),
    ("timestamptz", BaseType::Timestamp),
];

impl BaseType {
    /// Parses a type name.
    ///
    /// # Errors
    /// An unknown name; lists the names and the nearest.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = name.as_str();
        let known = NAMES.iter().chain(&SQL_NAMES).find(|(known, _)| *known == name).map(|(_, base)| *base);
        known.ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name);
            let hint = nearest(name, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("unknown type `{name}`: the types are {}{hint}", names.join(", "))
        })
    }

    /// The usual SQL names of types.
    pub(crate) fn sql_names() -> [&'static str; 9] {
        ["text", "bigint", "integer", "double", "decimal(10,2)", "boolean", "date", "timestamp", "interval"]
    }

    /// The name that users write.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, base)| *base == self).map_or("text", |(name, _)| name)
    }

    /// The Arrow type.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        }
    }

    /// A description of the type's values, for errors.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Text => "billing",
            Self::Integer => "42",
            Self::Float => "0.5",
            Self::Boolean => "true",
            Self::Date => "2025-01-31",
            Self::Timestamp => "2025-01-31 or 2025-01-31T09:00:00Z",
            Self::Interval => "7 days",
        }
    }

    /// Parses a value.
    ///
    /// # Errors
    /// As [`ParamType::value`].
    pub(crate) fn value(self, text: &str) -> Result<ScalarValue, String> {
        let wrong = || format!("`{text}` is no {}; write it like {}", self.name(), self.example());
        let value = match self {
            Self::Text => return Ok(ScalarValue::Utf8(Some(text.to_string()))),
            // the cast would also accept 1, 0, yes and t
            Self::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" => ScalarValue::Boolean(Some(true)),
                "false" => ScalarValue::Boolean(Some(false)),
                _ => return Err(wrong()),
            },
            Self::Float => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => ScalarValue::Float64(Some(number)),
                _ => return Err(unit_not_wanted(text).unwrap_or_else(wrong)),
            },
            Self::Integer => text
                .parse::<i64>()
                .map(|number| ScalarValue::Int64(Some(number)))
                .map_err(|_| unit_not_wanted(text).unwrap_or_else(wrong))?,
            Self::Date | Self::Timestamp | Self::Interval => {
                if self == Self::Interval
                    && let Some(number) = number_without_unit(text)
                {
                    return Err(unit_wanted(text, number));
                }
                let spelled = match self {
                    Self::Interval => cxql_engine::spelled_interval(text),
                    Self::Timestamp => timestamp_with_seconds(text),
                    _ => None,
                };
                let spelled = spelled.unwrap_or_else(|| text.to_string());
                let value = ScalarValue::try_from_string(spelled, &self.data_type()).map_err(|_| wrong())?;
                if value.is_null() {
                    return Err(wrong());
                }
                value
            }
        };
        Ok(value)
    }
}

/// A parameter's type: a scalar type or a list of one, written `list(text)` or `text[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParamType {
    /// The type, or that of the elements.
    pub base: BaseType,
    /// True for a list.
    pub is_list: bool,
}

impl ParamType {
    /// Parses `text`, `list(text)` or `text[]`.
    ///
    /// # Errors
    /// As [`BaseType::parse`].
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let elements = name.strip_prefix("list(").and_then(|rest| rest.strip_suffix(')'));
        match elements.or_else(|| name.strip_suffix("[]")) {
            Some(base) => Ok(Self { base: BaseType::parse(base.trim())?, is_list: true }),
            None => Ok(Self { base: BaseType::parse(name)?, is_list: false }),
        }
    }

    /// The name that users write.
    pub(crate) fn name(self) -> String {
        if self.is_list { format!("list({})", self.base.name()) } else { self.base.name().to_string() }
    }

    /// A value of the type as SQL.
    pub(crate) fn sql_example(self) -> String {
        let base = match self.base {
            BaseType::Text => "'billing'",
            BaseType::Integer => "42",
            BaseType::Float => "0.5",
            BaseType::Boolean => "true",
            BaseType::Date => "date '2025-01-31'",
            BaseType::Timestamp => "timestamp '2025-01-31 09:00:00'",
            BaseType::Interval => "interval '7 days'",
        };
        if self.is_list { format!("[{base}, ...]") } else { base.to_string() }
    }

    /// The Arrow type.
    pub(crate) fn data_type(self) -> DataType {
        let base = self.base.data_type();
        if self.is_list { DataType::List(Arc::new(Field::new_list_field(base, true))) } else { base }
    }

    /// Parses a value: `null` is NULL, quotes are optional, list elements are separated by commas.
    ///
    /// # Errors
    /// A value of another type; says what was got and what is wanted.
    pub(crate) fn value(self, text: &str) -> Result<ScalarValue, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("null") {
            return ScalarValue::try_from(&self.data_type()).map_err(|error| error.to_string());
        }
        if !self.is_list {
            return self.base.value(&unquote(text));
        }
        let values = split_list(text)?.iter().map(|item| self.base.value(item)).collect::<Result<Vec<_>, _>>()?;
        Ok(ScalarValue::List(ScalarValue::new_list(&values, &self.base.data_type(), true)))
    }
}

/// Removes one pair of quotes; a doubled quote inside is an escaped one.
fn unquote(text: &str) -> String {
    for quote in ['\'', '"'] {
        if text.len() >= 2 && text.starts_with(quote) && text.ends_with(quote) {
            let inside = &text[1..text.len() - 1];
            // `'a', 'b'` is no quoted text
            if inside.replace(&format!("{quote}{quote}"), "").contains(quote) {
                return text.to_string();
            }
            return text[1..text.len() - 1].replace(&format!("{quote}{quote}"), &quote.to_string());
        }
    }
    text.to_string()
}

/// Splits at commas outside quotes. A quote counts at the start of an element only: `O'Brien, Smith` has two elements. An
/// empty string is an empty list.
///
/// # Errors
/// A quote that is not closed, text after a closing one.
fn split_list(text: &str) -> Result<Vec<String>, String> {
    let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut items = Vec::new();
    let mut rest = text;
    loop {
        let start = rest.trim_start();
        let Some(quote) = start.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            let (item, after) = rest.split_once(',').map_or((rest, None), |(item, after)| (item, Some(after)));
            items.push(item.trim().to_string());
            match after {
                Some(after) => rest = after,
                None => return Ok(items),
            }
            continue;
        };
        let mut item = String::new();
        let mut inside = &start[1..];
        loop {
            let Some((before, after)) = inside.split_once(quote) else {
                return Err(format!(
                    "the quote {quote} before `{}` is not closed; an element with commas is written {quote}like, \
                     this{quote}, a quote inside it twice",
                    start[1..].split(',').next().unwrap_or_default()
                ));
            };
            item.push_str(before);
            match after.strip_prefix(quote) {
                Some(after) => {
                    item.push(quote);
                    inside = after;
                }
                None => {
                    inside = after;
                    break;
                }
            }
        }
        items.push(item);
        let after = inside.trim_start();
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(items),
            None => {
                return Err(format!("a comma is wanted after the closing quote, got `{after}`; double a quote inside"));
            }
        }
    }
}

/// The SQL type that the planner maps to an Arrow type.
///
/// # Errors
/// An Arrow type without a SQL type.
pub(crate) fn sql_type(data_type: &DataType) -> Result<SqlType, String> {
    Ok(match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => SqlType::Text,
        DataType::Boolean => SqlType::Boolean,
        DataType::Int8 => SqlType::TinyInt(None),
        DataType::Int16 => SqlType::SmallInt(None),
        DataType::Int32 => SqlType::Int(None),
        DataType::Int64 => SqlType::BigInt(None),
        DataType::UInt8 => SqlType::TinyIntUnsigned(None),
        DataType::UInt16 => SqlType::SmallIntUnsigned(None),
        DataType::UInt32 => SqlType::IntUnsigned(None),
        DataType::UInt64 => SqlType::BigIntUnsigned(None),
        DataType::Float16 | DataType::Float32 => SqlType::Real,
        DataType::Float64 => SqlType::Double(ExactNumberInfo::None),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            SqlType::Decimal(ExactNumberInfo::PrecisionAndScale((*precision).into(), (*scale).into()))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            SqlType::Bytea
        }
        DataType::Date32 | DataType::Date64 => SqlType::Date,
        DataType::Time32(_) | DataType::Time64(_) => SqlType::Time(None, TimezoneInfo::None),
        DataType::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            let zone = if zone.is_some() { TimezoneInfo::WithTimeZone } else { TimezoneInfo::None };
            SqlType::Timestamp(Some(digits), zone)
        }
        DataType::Interval(_) => SqlType::Interval { fields: None, precision: None },
        DataType::List(field) | DataType::LargeList(field) => {
            SqlType::Array(ArrayElemTypeDef::AngleBracket(Box::new(sql_type(field.data_type())?)))
        }
        DataType::Dictionary(_, values) => sql_type(values)?,
        other => return Err(format!("a parameter of the type {other} is not supported; cast it in the statement")),
    })
}

/// The non-view type of a string view or binary view; `None` for all other types.
pub(crate) fn plain_of_view(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        _ => None,
    }
}

/// The type without dictionaries, run-end encoding and views, at any depth: formats that cannot replace a dictionary
/// between batches write plain values, and many readers do not support views.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    rebuilt(data_type, &plain_part)
}

/// The plain type of an encoded type; `None` for plain types.
pub(crate) fn plain_part(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Dictionary(_, values) => Some(values.as_ref().clone()),
        DataType::RunEndEncoded(_, values) => Some(values.data_type().clone()),
        other => plain_of_view(other),
    }
}

/// Replaces every part of the type, at any depth, for which `change` returns another one.
pub(crate) fn rebuilt(data_type: &DataType, change: &dyn Fn(&DataType) -> Option<DataType>) -> DataType {
    if let Some(changed) = change(data_type) {
        return rebuilt(&changed, change);
    }
    let child =
        |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(rebuilt(field.data_type(), change)));
    match data_type {
        DataType::List(field) => DataType::List(child(field)),
        DataType::LargeList(field) => DataType::LargeList(child(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(child(field), *size),
        DataType::ListView(field) => DataType::ListView(child(field)),
        DataType::LargeListView(field) => DataType::LargeListView(child(field)),
        DataType::Map(field, sorted) => DataType::Map(child(field), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;

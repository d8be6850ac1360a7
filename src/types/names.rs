//! The SQL names of Arrow types, also in messages of DataFusion.

use datafusion::arrow::datatypes::DataType;

/// The SQL name of an Arrow type: `text`, `bigint`, `decimal(10,2)`, `timestamp with time zone`, `text[]`.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt8 => "tinyint unsigned".into(),
        DataType::UInt16 => "smallint unsigned".into(),
        DataType::UInt32 => "integer unsigned".into(),
        DataType::UInt64 => "bigint unsigned".into(),
        DataType::Float16 | DataType::Float32 => "real".into(),
        DataType::Float64 => "double".into(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytea".into()
        }
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".into(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".into(),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => format!("{}[]", type_name(field.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
            format!("struct({})", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                let parts: Vec<String> = fields.iter().map(|field| type_name(field.data_type())).collect();
                format!("map({})", parts.join(", "))
            }
            _ => "map".into(),
        },
        DataType::Union(..) => "union".into(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::RunEndEncoded(_, values) => type_name(values.data_type()),
    }
}

/// Replaces the names of Arrow types in a message by SQL names, and literals of DataFusion's plans by SQL literals:
/// `Int64(6)` by `6`, `Utf8("EPOCH")` by `'EPOCH'`.
pub(crate) fn with_type_names(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(c) = rest.chars().next() {
        let is_inside_word = text.chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_');
        if let (false, Some((name, length))) = (is_inside_word || !c.is_ascii_uppercase(), sql_name(rest)) {
            text.push_str(&name);
            rest = &rest[length..];
        } else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    text
}

/// The SQL name of the Arrow type, or the SQL literal of the value, with which `text` starts, and its length.
fn sql_name(text: &str) -> Option<(String, usize)> {
    // words that are no types in most messages
    const WORDS: [&str; 5] = ["Null", "Binary", "Struct", "Map", "Union"];
    let word = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if text[word..].starts_with('(')
        && let Some(length) = closing(&text[word..]).map(|end| word + end)
    {
        let whole = &text[..length];
        if let Ok(data_type) = whole.parse::<DataType>() {
            return Some((type_name(&data_type), length));
        }
        return literal(&text[..word], &text[word + 1..length - 1]).map(|literal| (literal, length));
    }
    let name = &text[..word];
    if WORDS.contains(&name) {
        return None;
    }
    name.parse::<DataType>().ok().map(|data_type| (type_name(&data_type), word))
}

/// The length up to the parenthesis that closes the first one; quotes are honoured.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0usize, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The SQL literal of a value as plans show it, such as `Int64(6)`.
fn literal(name: &str, value: &str) -> Option<String> {
    let quoted = || value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let is_null = value == "NULL" || value.starts_with("NULL,");
    match name {
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" | "Float16" | "Float32"
        | "Float64" | "Boolean"
            if value.parse::<f64>().is_ok() || is_null || ["true", "false"].contains(&value) =>
        {
            Some(value.to_string())
        }
        "Utf8"
        | "LargeUtf8"
        | "Utf8View"
        | "Date32"
        | "Date64"
        | "IntervalMonthDayNano"
        | "TimestampNanosecond"
        | "TimestampMicrosecond"
        | "TimestampMillisecond"
        | "TimestampSecond"
        | "DurationNanosecond"
            if is_null =>
        {
            Some("NULL".into())
        }
        "Utf8" | "LargeUtf8" | "Utf8View" => Some(format!("'{}'", quoted()?.replace('\'', "''"))),
        "Date32" | "Date64" => Some(format!("date '{}'", quoted()?)),
        _ => None,
    }
}

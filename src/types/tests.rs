use super::*;

fn value(name: &str, text: &str) -> Result<String, String> {
    ParamType::parse(name)?.value(text).map(|value| format!("{value:?}"))
}

#[test]
fn values_of_each_type() {
    assert_eq!(value("integer", "42").unwrap(), "Int64(42)");
    assert_eq!(value("date", "2025-01-31").unwrap(), "Date32(\"2025-01-31\")");
    // 2025-01-31T09:00:00+01:00 = 08:00 UTC = 1738310400 s
    let at = value("timestamp", "2025-01-31T09:00:00+01:00").unwrap();
    assert!(at.contains("1738310400000000"), "{at}");
    assert_eq!(value("timestamp", "2025-01-31 08:00:00").unwrap(), at);
    assert!(value("timestamp", "9999-12-31").is_ok());
    assert!(value("interval", "7 days").unwrap().contains("days: 7"));
    assert_eq!(value("text", "'it''s'").unwrap(), "Utf8(\"it's\")");
    assert_eq!(value("text", "'a', 'b'").unwrap(), "Utf8(\"'a', 'b'\")");
    assert_eq!(value("boolean", "TRUE").unwrap(), "Boolean(true)");
    assert_eq!(value("integer", "null").unwrap(), "Int64(NULL)");
}

#[test]
fn lists_split_at_commas_outside_quotes() {
    let split = |text: &str| split_list(text).unwrap();
    assert_eq!(split("a, 'b,c' ,d"), ["a", "b,c", "d"]);
    assert!(split(" ").is_empty());
    // a quote inside a word is a character
    assert_eq!(split("O'Brien, Smith"), ["O'Brien", "Smith"]);
    assert_eq!(split("O'Brien, 'Smith, J.', \"D'Arcy, \"\"F\"\"\""), ["O'Brien", "Smith, J.", "D'Arcy, \"F\""]);
    assert_eq!(split("['it''s', 5\", ]"), ["it's", "5\"", ""]);
    assert!(split_list("a, 'b, c").unwrap_err().contains("the quote ' before `b` is not closed"));
    assert!(split_list("'a' b, c").unwrap_err().contains("a comma is wanted after the closing quote, got `b, c`"));
    // of a text parameter all of it is one value
    assert_eq!(value("text", "O'Brien, Smith").unwrap(), "Utf8(\"O'Brien, Smith\")");
    assert_eq!(value("list(text)", "O'Brien, Smith").unwrap(), "List([O'Brien, Smith])");
    assert_eq!(value("list(integer)", "1, 2").unwrap(), "List([1, 2])");
}

#[test]
fn messages_use_our_names_of_types() {
    assert_eq!(
        with_type_names("got Utf8 and Timestamp(µs, \"UTC\"), MyInt64 stays, List(Int64), Timestamp(ns)"),
        "got text and timestamp with time zone, MyInt64 stays, bigint[], timestamp"
    );
    assert_eq!(
        with_type_names("Dictionary(Int8, Utf8View) Decimal128(10, 2), Null is NULL: Utf8(\"it's\") + Int64(6)"),
        "text decimal(10,2), Null is NULL: 'it''s' + 6"
    );
    assert_eq!(with_type_names("sum(Utf8) (Date32(\"2025-01-01\"))"), "sum(text) (date '2025-01-01')");
}

#[test]
fn parameters_may_have_sql_names_of_types() {
    for (name, same) in [
        ("bigint", "integer"),
        ("double  precision", "float"),
        ("timestamp with time zone", "timestamp"),
        ("text[]", "list(text)"),
        ("list(bigint)", "list(integer)"),
    ] {
        assert_eq!(ParamType::parse(name).unwrap(), ParamType::parse(same).unwrap(), "{name}");
    }
}

#[test]
fn types_have_the_names_that_cast_takes() {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    let list = |data_type| DataType::List(Arc::new(Field::new_list_field(data_type, true)));
    for (data_type, name) in [
        (DataType::Utf8View, "text"),
        (DataType::Int64, "bigint"),
        (DataType::Int32, "integer"),
        (DataType::UInt64, "bigint unsigned"),
        (DataType::Float64, "double"),
        (DataType::Decimal128(10, 2), "decimal(10,2)"),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), "timestamp"),
        (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp with time zone"),
        (DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), "text"),
        (DataType::Duration(TimeUnit::Second), "interval"),
        (list(DataType::Utf8), "text[]"),
        (list(list(DataType::Int64)), "bigint[][]"),
    ] {
        assert_eq!(type_name(&data_type), name);
        let parsed = Parser::parse_sql(&GenericDialect {}, &format!("select cast(a as {name})"));
        assert!(parsed.is_ok(), "{name}: {parsed:?}");
    }
}

#[test]
fn wrong_values_say_what_is_wanted() {
    assert_eq!(value("date", "tomorrow").unwrap_err(), "`tomorrow` is no date; write it like 2025-01-31");
    assert!(value("boolean", "yes").is_err() && value("float", "NaN").is_err() && value("integer", "1.5").is_err());
    assert!(value("interval", "seven").is_err());
    let error = value("interval", "7").unwrap_err();
    assert_eq!(error, "`7` has no unit; write `7 days`, `7 hours`, `7 weeks` or `7 months`");
    let error = value("interval", "1").unwrap_err();
    assert_eq!(error, "`1` has no unit; write `1 day`, `1 hour`, `1 week` or `1 month`");
    for text in ["'7'", " 7 ", "-7", "1.5", "1 day 3", "2 3 days", "list(7)"] {
        assert!(value("interval", text).is_err(), "{text}");
    }
    assert!(value("list(interval)", "7 days, 7").unwrap_err().contains("has no unit"));
    for text in ["7 days", "7days", "90s", "1 day 3 hours", "-7 days", "1.5 months"] {
        assert!(value("interval", text).is_ok(), "{text}");
    }
    assert_eq!(
        value("string", "x").unwrap_err(),
        "unknown type `string`: the types are text, integer, float, boolean, date, timestamp, interval"
    );
    assert!(value("timestmp", "x").unwrap_err().contains("did you mean `timestamp`?"));
}

#[test]
fn spellings_of_times_and_spans() {
    let same = |name: &str, text: &str, usual: &str| assert_eq!(value(name, text), value(name, usual), "{text}");
    same("interval", "P7D", "7 days");
    same("interval", "PT1H30M", "90 minutes");
    same("interval", "7:00", "7 hours");
    same("interval", "1 day 03:04:05", "1 day 3 hours 4 minutes 5 seconds");
    for text in ["2025-06-01T12:00", "2025-06-01 12:00", "2025-06-01T12:00Z", "2025-06-01T14:00+02:00"] {
        same("timestamp", text, "2025-06-01T12:00:00Z");
    }
    assert!(value("timestamp", "2025-06-01T12").is_err() && value("interval", "P7").is_err());
}

#[test]
fn a_unit_is_refused_where_a_number_is_wanted() {
    let error = "`20s` has a unit, and a number alone is wanted; write `20`";
    assert_eq!(value("float", "20s").unwrap_err(), error);
    assert_eq!(value("integer", "20s").unwrap_err(), error);
    assert!(value("integer", "1.5").unwrap_err().contains("is no integer"));
    assert!(value("float", "inf").unwrap_err().contains("is no float"));
}

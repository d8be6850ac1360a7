//! Bound values of parameters: each has the type of its place in the statement if that loses nothing, else its own.
//!
//! ```text
//!  wait_s = ?    integer   30      -> integer 30
//!                          30.5    -> double 30.5; the statement is planned with it: no row has it
//!                          '30'    -> integer 30; strings are read as what is wanted
//!                          true    -> INVALID_ARGUMENT
//! ```
//!
//! Nothing is rounded or cut off: a number against a column of another numeric type compares as a number, a timestamp against a
//! date as a timestamp.

use std::collections::HashMap;

use cxql_engine::{has_offset, number_without_unit, string_timestamp};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use tonic::{Code, Status};

use super::infer::{INTERVAL, Use, UseKind, canonical};
use super::params::{MAX_ROWS, StatementParameter};
use super::status;
use crate::types::{type_name, unit_wanted};

/// Characters of a value in an error.
const MAX_SHOWN: usize = 40;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Converts record batches to rows of values. Columns are matched by name if their names are those of the parameters, else
/// by position. `zone` is the time zone of the session.
///
/// # Errors
/// Another number of values, more than [`MAX_ROWS`] rows, a value that the parameter cannot have.
pub(super) fn rows(
    params: &[StatementParameter],
    batches: &[RecordBatch],
    zone: &str,
) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let mut rows = Vec::new();
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        if batch.num_columns() != params.len() {
            return Err(status::invalid(format!(
                "the statement has {} parameters and {} values were given; one value for each is wanted",
                params.len(),
                batch.num_columns()
            )));
        }
        if rows.len() + batch.num_rows() > MAX_ROWS {
            return Err(too_many_rows());
        }
        let order = order(params, &batch.schema());
        for row in 0..batch.num_rows() {
            let value = |(param, column): (&StatementParameter, &usize)| {
                let value = ScalarValue::try_from_array(batch.column(*column), row);
                bound(param, value.map_err(|error| status::fault(&error.to_string()))?, zone)
            };
            rows.push(params.iter().zip(&order).map(value).collect::<Result<Vec<_>, Status>>()?);
        }
    }
    Ok(rows)
}

/// The error of more rows than an execution takes.
pub(super) fn too_many_rows() -> Status {
    status::invalid(format!("at most {MAX_ROWS} rows of parameters are taken at a time"))
}

/// The column index of each parameter.
fn order(params: &[StatementParameter], schema: &Schema) -> Vec<usize> {
    let columns: HashMap<&str, usize> =
        schema.fields().iter().enumerate().map(|(at, field)| (field.name().trim_start_matches('$'), at)).collect();
    let by_name: Option<Vec<usize>> = params.iter().map(|param| columns.get(param.name.as_str()).copied()).collect();
    match by_name {
        // otherwise names such as `0`, `1`, ... are positions
        Some(order) if columns.len() == params.len() => order,
        _ => (0..params.len()).collect(),
    }
}

/// The value of a parameter.
fn bound(param: &StatementParameter, given: ScalarValue, zone: &str) -> Result<ScalarValue, Status> {
    let own = own_value(given.clone(), zone)
        .ok_or_else(|| status::invalid(format!("parameter ${}: {} is out of range", param.name, shown(&given))))?;
    if own.is_null() {
        let data_type = param.data_type.as_ref().unwrap_or(&DataType::Utf8);
        return ScalarValue::try_from(data_type).map_err(|error| status::fault(&error.to_string()));
    }
    for place in &param.uses {
        check_unit(param, &own, &place.data_type)?;
        if !is_taken(&read(&own, &place.data_type, zone), place) {
            let wanted = type_name(&place.data_type);
            let got = shown(&given);
            let how = match place.kind {
                UseKind::Cast => "; the statement casts it, which would change it",
                UseKind::Operand | UseKind::Exact => "",
            };
            return Err(status::invalid(format!("parameter ${}: {wanted} is wanted, got {got}{how}", param.name)));
        }
    }
    let Some(wanted) = &param.data_type else { return Ok(own) };
    let read = read(&own, wanted, zone);
    let is_exact = param.uses.iter().any(|place| place.kind == UseKind::Exact);
    let fit = if is_exact { read.cast_to(wanted).ok() } else { lossless(&read, wanted) };
    Ok(fit.unwrap_or(read))
}

/// The status of a statement that could not be planned with these values, with those that have another type than their
/// parameter.
pub(super) fn with_other_types(failure: Status, params: &[StatementParameter], values: &[ScalarValue]) -> Status {
    let others = params.iter().zip(values).filter_map(|(param, value)| {
        let wanted = param.data_type.as_ref().filter(|wanted| **wanted != value.data_type())?;
        Some(format!("parameter ${}: {} is wanted, got {}", param.name, type_name(wanted), shown(value)))
    });
    let others: Vec<String> = others.collect();
    match failure.code() {
        Code::InvalidArgument | Code::Unimplemented if !others.is_empty() => {
            status::invalid(format!("{}; {}", others.join("; "), failure.message()))
        }
        _ => failure,
    }
}

/// The type and the value for an error.
fn shown(value: &ScalarValue) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(MAX_SHOWN).filter(|c| !c.is_control()).collect();
    if text.chars().count() > MAX_SHOWN {
        short.push_str("...");
    }
    match value {
        ScalarValue::Utf8(_) | ScalarValue::LargeUtf8(_) | ScalarValue::Utf8View(_) => format!("text '{short}'"),
        other => format!("{} {short}", type_name(&other.data_type())),
    }
}

/// The value as one of the type that a literal of SQL would have; `None` if it is out of its range.
fn own_value(value: ScalarValue, zone: &str) -> Option<ScalarValue> {
    let value = match value {
        ScalarValue::Dictionary(_, value) => *value,
        ScalarValue::Null => return Some(ScalarValue::Utf8(None)),
        // milliseconds of a day are a timestamp
        ScalarValue::Date64(Some(milliseconds)) if milliseconds % DAY_MS != 0 => {
            ScalarValue::TimestampMillisecond(Some(milliseconds), None)
        }
        other => other,
    };
    let wanted = match value.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, at) => {
            DataType::Timestamp(TimeUnit::Nanosecond, at.map(|_| zone.into()))
        }
        DataType::Timestamp(_, at) => DataType::Timestamp(TimeUnit::Microsecond, at.map(|_| zone.into())),
        other => canonical(&other),
    };
    let value = if value.data_type() == wanted { value } else { value.cast_to(&wanted).ok()? };
    Some(match value {
        ScalarValue::Decimal128(Some(number), _, scale) => short_decimal(number, scale),
        other => other,
    })
}

/// A decimal with the fewest digits: those of its type may be too many to compare it with others.
fn short_decimal(mut number: i128, mut scale: i8) -> ScalarValue {
    while scale > 0 && number % 10 == 0 {
        number /= 10;
        scale -= 1;
    }
    let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
    let precision = u8::try_from(digits).unwrap_or(DECIMAL128_MAX_PRECISION).max(scale.unsigned_abs());
    ScalarValue::Decimal128(Some(number), precision.min(DECIMAL128_MAX_PRECISION), scale)
}

/// Refuses numbers for an interval, as integers or as strings without a unit: a cast would take them as months or
/// nanoseconds.
fn check_unit(param: &StatementParameter, value: &ScalarValue, wanted: &DataType) -> Result<(), Status> {
    if *wanted != INTERVAL {
        return Ok(());
    }
    let text = match value {
        ScalarValue::Utf8(Some(text)) => text.clone(),
        number if number.data_type().is_numeric() => number.to_string(),
        _ => return Ok(()),
    };
    match number_without_unit(&text) {
        Some(number) => Err(status::invalid(format!("parameter ${}: {}", param.name, unit_wanted(&text, number)))),
        None => Ok(()),
    }
}

/// A string as a value of the kind that is wanted; unchanged if it is none, or if the kind is not that of literals.
fn read(value: &ScalarValue, wanted: &DataType, zone: &str) -> ScalarValue {
    let ScalarValue::Utf8(Some(text)) = value else { return value.clone() };
    let cast = |data_type: &DataType| value.cast_to(data_type).ok().filter(|value| !value.is_null());
    let found = match wanted {
        wanted if wanted.is_numeric() => number(text),
        DataType::Date32 => cast(&DataType::Date32).and_then(|date| {
            let timestamp = |zone| string_timestamp(text, TimeUnit::Microsecond, zone);
            match (text.trim().len() > 10).then(|| timestamp(None)).flatten() {
                Some(_) if has_offset(text) => timestamp(Some(zone)),
                Some(at) if at.cast_to(&DataType::Date32).ok()?.cast_to(&at.data_type()).ok()? == at => Some(date),
                Some(at) => Some(at),
                None => Some(date),
            }
        }),
        // such a string is what the clock showed, which casts of the statement know
        DataType::Timestamp(_, None) if has_offset(text) => None,
        DataType::Timestamp(unit, zone) => string_timestamp(text, *unit, zone.as_deref()),
        DataType::Utf8 => None,
        other => cast(other),
    };
    found.unwrap_or_else(|| value.clone())
}

/// The number that a text is.
fn number(text: &str) -> Option<ScalarValue> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(ScalarValue::Int64(Some(number)));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if let (Ok(number), Ok(scale)) = (format!("{whole}{fraction}").parse::<i128>(), i8::try_from(fraction.len()))
        && number.unsigned_abs() < 10_u128.pow(u32::from(DECIMAL128_MAX_PRECISION))
        && scale.unsigned_abs() <= DECIMAL128_MAX_PRECISION
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(short_decimal(number, scale));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| ScalarValue::Float64(Some(number)))
}

/// The kinds of types whose values compare with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Number,
    Text,
    Binary,
    /// Dates and timestamps.
    Moment,
    Time,
    Interval,
    Nested,
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            number if number.is_numeric() => Self::Number,
            DataType::Utf8 | DataType::Null => Self::Text,
            DataType::Binary => Self::Binary,
            DataType::Date32 | DataType::Timestamp(..) => Self::Moment,
            DataType::Time64(_) => Self::Time,
            DataType::Interval(_) => Self::Interval,
            _ => Self::Nested,
        }
    }
}

/// Whether a value can stand at a place of the statement.
fn is_taken(value: &ScalarValue, place: &Use) -> bool {
    if lossless(value, &place.data_type).is_some() {
        return true;
    }
    let (wanted, got) = (Kind::of(&place.data_type), Kind::of(&value.data_type()));
    match place.kind {
        // as a literal of its type; the planner knows what a string is beside a timestamp, and may have been wrong about
        // intervals
        UseKind::Operand => match (wanted, got) {
            (Kind::Text, _) | (Kind::Moment, Kind::Interval) | (Kind::Interval, Kind::Moment) => true,
            (Kind::Moment, Kind::Text) => is_moment_with_offset(value),
            (Kind::Boolean, _) => false,
            (wanted, got) => wanted == got,
        },
        UseKind::Cast => match (wanted, got) {
            (Kind::Text, _) | (Kind::Nested, Kind::Nested) => true,
            (Kind::Moment, Kind::Text) => is_moment_with_offset(value),
            (Kind::Moment, Kind::Moment) => is_moved(value, &place.data_type),
            _ => false,
        },
        UseKind::Exact => match (wanted, got) {
            (Kind::Moment, Kind::Text) => is_moment_with_offset(value),
            (Kind::Moment, Kind::Moment) => is_moved(value, &place.data_type),
            (Kind::Nested, Kind::Nested) => value.cast_to(&place.data_type).is_ok(),
            _ => false,
        },
    }
}

fn is_moment_with_offset(value: &ScalarValue) -> bool {
    matches!(value, ScalarValue::Utf8(Some(text)) if has_offset(text))
}

/// Whether a date or timestamp of one sort becomes one of the other without losing a part of it.
fn is_moved(value: &ScalarValue, wanted: &DataType) -> bool {
    match (value.data_type(), wanted) {
        (DataType::Date32, DataType::Timestamp(..)) => true,
        (DataType::Timestamp(_, own), DataType::Timestamp(unit, _)) => {
            lossless(value, &DataType::Timestamp(*unit, own)).is_some()
        }
        _ => false,
    }
}

/// The value as one of another type, if that is the same value.
fn lossless(value: &ScalarValue, wanted: &DataType) -> Option<ScalarValue> {
    let got = value.data_type();
    if got == *wanted {
        return Some(value.clone());
    }
    let is_same_kind = match (Kind::of(wanted), Kind::of(&got)) {
        (Kind::Boolean, Kind::Number) | (Kind::Binary, Kind::Text) => true,
        (Kind::Moment, Kind::Moment) => match (wanted, &got) {
            (DataType::Timestamp(_, wanted), DataType::Timestamp(_, got)) => wanted.is_some() == got.is_some(),
            _ => false,
        },
        (wanted, got) => wanted == got,
    };
    if !is_same_kind {
        return None;
    }
    let cast = value.cast_to(wanted).ok().filter(|cast| !cast.is_null())?;
    (cast.cast_to(&got).ok()? == *value).then_some(cast)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, NullArray, StringArray};

    use super::*;

    fn typed(name: &str, data_type: Option<DataType>) -> StatementParameter {
        let uses = data_type.map(|data_type| Use { data_type, kind: UseKind::Operand });
        StatementParameter::new(name.into(), uses.into_iter().collect())
    }

    fn operand(data_type: DataType, value: ScalarValue) -> Result<ScalarValue, Status> {
        bound(&typed("1", Some(data_type)), value, "UTC")
    }

    fn used(kind: UseKind, data_type: DataType, value: ScalarValue) -> Result<ScalarValue, Status> {
        bound(&StatementParameter::new("1".into(), vec![Use { data_type, kind }]), value, "UTC")
    }

    fn text(text: &str) -> ScalarValue {
        ScalarValue::Utf8(Some(text.into()))
    }

    fn utc() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }

    #[test]
    fn values_have_the_parameters_type_where_that_loses_nothing() {
        let params = [typed("1", Some(DataType::Int64)), typed("2", None), typed("3", Some(DataType::Float64))];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(Int32Array::from(vec![Some(1), None]))),
            ("b", Arc::new(StringArray::from(vec!["x", "y"]))),
            ("c", Arc::new(NullArray::new(2))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let rows = rows(&params, &[batch], "UTC").unwrap();
        let expected = vec![ScalarValue::Int64(Some(1)), text("x"), ScalarValue::Float64(None)];
        assert_eq!(rows[0], expected);
        assert_eq!(rows[1][0], ScalarValue::Int64(None));
    }

    #[test]
    fn numbers_that_do_not_fit_keep_their_type() {
        let int = DataType::Int32;
        assert_eq!(operand(int.clone(), ScalarValue::Float64(Some(30.0))).unwrap(), ScalarValue::Int32(Some(30)));
        for (given, kept) in [
            (ScalarValue::Float64(Some(30.5)), ScalarValue::Float64(Some(30.5))),
            (ScalarValue::Decimal128(Some(30_500), 10, 3), ScalarValue::Decimal128(Some(305), 3, 1)),
            (ScalarValue::Int64(Some(1 << 40)), ScalarValue::Int64(Some(1 << 40))),
            (ScalarValue::UInt64(Some(u64::MAX)), ScalarValue::UInt64(Some(u64::MAX))),
            (text("30.5"), ScalarValue::Decimal128(Some(305), 3, 1)),
            (text("-.5e300"), ScalarValue::Float64(Some(-5e299))),
        ] {
            assert_eq!(operand(int.clone(), given.clone()).unwrap(), kept, "{given}");
        }
        assert_eq!(operand(int.clone(), text(" 30.00 ")).unwrap(), ScalarValue::Int32(Some(30)));
        let cents = DataType::Decimal128(10, 2);
        let fits = operand(cents.clone(), ScalarValue::Float64(Some(0.1))).unwrap();
        assert_eq!(fits, ScalarValue::Decimal128(Some(10), 10, 2));
        let more = ScalarValue::Float64(Some(0.125));
        assert_eq!(operand(cents, more.clone()).unwrap(), more);
    }

    #[test]
    fn moments_of_other_sorts_keep_their_type() {
        let noon = ScalarValue::TimestampMicrosecond(Some(43_200_000_000), None);
        assert_eq!(operand(DataType::Date32, noon.clone()).unwrap(), noon);
        assert_eq!(operand(DataType::Date32, text("1970-01-01 12:00:00")).unwrap(), noon);
        assert_eq!(operand(DataType::Date32, ScalarValue::Date64(Some(43_200_000))).unwrap(), noon);
        assert_eq!(operand(DataType::Date32, text("1970-01-02")).unwrap(), ScalarValue::Date32(Some(1)));
        let day = ScalarValue::Date32(Some(1));
        assert_eq!(operand(utc(), day.clone()).unwrap(), day);
        let milliseconds = ScalarValue::TimestampMillisecond(Some(5), Some("UTC".into()));
        let expected = ScalarValue::TimestampMicrosecond(Some(5_000), Some("UTC".into()));
        assert_eq!(operand(utc(), milliseconds).unwrap(), expected);
        let fine = ScalarValue::TimestampNanosecond(Some(5_001), Some("UTC".into()));
        assert_eq!(operand(utc(), fine.clone()).unwrap(), fine);
    }

    #[test]
    fn a_cast_of_the_statement_takes_what_it_does_not_change() {
        let cast = |data_type, value| used(UseKind::Cast, data_type, value);
        for (data_type, value) in [
            (DataType::Int64, ScalarValue::Float64(Some(30.5))),
            (DataType::Int16, ScalarValue::Int64(Some(1 << 20))),
            (DataType::Boolean, ScalarValue::Int64(Some(2))),
            (DataType::Date32, ScalarValue::TimestampMicrosecond(Some(1), None)),
            (DataType::Int64, text("30.5")),
        ] {
            let error = cast(data_type, value.clone()).unwrap_err();
            assert!(error.message().contains("the statement casts it"), "{value}: {error:?}");
        }
        assert_eq!(cast(DataType::Utf8, ScalarValue::Int64(Some(5))).unwrap(), ScalarValue::Int64(Some(5)));
        assert_eq!(cast(utc(), ScalarValue::Date32(Some(5))).unwrap(), ScalarValue::Date32(Some(5)));
        let exact = |value| used(UseKind::Exact, DataType::Int64, value);
        assert_eq!(exact(ScalarValue::Float64(Some(3.0))).unwrap(), ScalarValue::Int64(Some(3)));
        assert!(
            exact(ScalarValue::Float64(Some(3.5))).unwrap_err().message().contains("bigint is wanted, got double 3.5")
        );
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        let int = ScalarValue::Int64(Some(2));
        for (data_type, value, got) in [
            (DataType::Boolean, int.clone(), "boolean is wanted, got bigint 2"),
            (DataType::Boolean, ScalarValue::Float64(Some(0.5)), "boolean is wanted, got double 0.5"),
            (DataType::Int32, ScalarValue::Boolean(Some(true)), "integer is wanted, got boolean true"),
            (DataType::Int32, text("soon"), "integer is wanted, got text 'soon'"),
            (DataType::Int32, text("nan"), "integer is wanted, got text 'nan'"),
            (utc(), int.clone(), "timestamp with time zone is wanted, got bigint 2"),
            (DataType::Date32, int.clone(), "date is wanted, got bigint 2"),
            (DataType::Time64(TimeUnit::Nanosecond), int, "time is wanted, got bigint 2"),
            (DataType::Date32, text("31.1."), "date is wanted, got text '31.1.'"),
        ] {
            let error = operand(data_type, value).unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert!(error.message().contains(&format!("parameter $1: {got}")), "{got}: {error:?}");
        }
        assert_eq!(operand(DataType::Boolean, ScalarValue::Int64(Some(1))).unwrap(), ScalarValue::Boolean(Some(true)));
        let far = ScalarValue::TimestampSecond(Some(i64::MAX), None);
        assert!(operand(utc(), far).unwrap_err().message().contains("out of range"));
    }

    #[test]
    fn columns_with_the_parameters_names_come_in_any_order() {
        let params = [typed("b", None), typed("a", None)];
        let columns: Vec<(&str, ArrayRef)> =
            vec![("a", Arc::new(Int64Array::from(vec![1]))), ("b", Arc::new(Int64Array::from(vec![2])))];
        let rows = rows(&params, &[RecordBatch::try_from_iter(columns).unwrap()], "UTC").unwrap();
        assert_eq!(rows, [vec![ScalarValue::Int64(Some(2)), ScalarValue::Int64(Some(1))]]);
    }

    #[test]
    fn intervals_have_units_and_statements_one_value_for_each_parameter() {
        let interval = typed("1", Some(INTERVAL));
        for value in [text("7"), ScalarValue::Int64(Some(7))] {
            let error = bound(&interval, value, "UTC").unwrap_err();
            assert!(error.message().contains("parameter $1: `7` has no unit; write `7 days`"), "{error}");
        }
        let week = ScalarValue::new_interval_mdn(0, 7, 0);
        assert_eq!(bound(&interval, text("7 days"), "UTC").unwrap(), week);
        let batch = |rows: usize| {
            RecordBatch::try_from_iter([("1", Arc::new(StringArray::from(vec!["x"; rows])) as ArrayRef)]).unwrap()
        };
        let two = [typed("1", None), typed("2", None)];
        let error = rows(&two, &[batch(1)], "UTC").unwrap_err();
        assert!(error.message().contains("2 parameters and 1 values"), "{error}");
        let error = rows(&two[..1], &[batch(MAX_ROWS + 1)], "UTC").unwrap_err();
        assert!(error.message().contains("at most"), "{error}");
    }
}

//! Values that cannot be computed, and arguments that DataFusion refuses in words of its own: what was got, what to write.

use std::sync::Arc;

use super::{between, token_spot};
use crate::error::Error;
use crate::source::{Source, Spot};
use crate::types::with_type_names;

/// Words of DataFusion's for a clause that it does not have there, ours, the word in the statement, and what to write.
const CLAUSES: [(&str, &str, &str, &str); 7] = [
    (
        "OVER and WITHIN GROUP clause cannot be used together",
        "WITHIN GROUP and OVER do not stand together",
        "within",
        "write percentile_cont(x, 0.9) over (partition by y); from above: percentile_cont(x, 1 - 0.9)",
    ),
    (
        "Aggregate ORDER BY is not implemented for window functions",
        "an aggregate with OVER has no ORDER BY of its own",
        "over",
        "write array_agg(x) over (order by x rows between unbounded preceding and unbounded following)",
    ),
    (
        "Unary operator '-' only supports signed numeric",
        "a minus stands before signed numbers and intervals",
        "-",
        "before an unsigned number or a duration write -1 * x; a text that holds numbers: -try_cast(x as double)",
    ),
    (
        "Expected: ), found: exclude",
        "frames of windows have no EXCLUDE",
        "exclude",
        "without the row itself: sum(x) over (...) - coalesce(x, 0), or two frames that end and begin beside it",
    ),
    (
        "COUNT DISTINCT with multiple arguments",
        "count takes one value",
        "count",
        "write count(distinct (x, y)), with the columns in brackets of their own",
    ),
    (
        "Only identifiers and literals are supported in tuples",
        "rows of several values have columns and literals only here",
        "overlaps",
        "write the comparisons: x = 1 and y = 2; of two periods that overlap: a.from_at < b.to_at and b.from_at < a.to_at",
    ),
    (
        "Unsupported binary operator: Overlaps",
        "OVERLAPS compares rows of several values, which are not known here",
        "overlaps",
        "write the comparisons: a.from_at < b.to_at and b.from_at < a.to_at",
    ),
];

/// The error of a message that is known here.
pub(super) fn known_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    clause_error(text, source, spot)
        .or_else(|| value_error(text, source, spot))
        .or_else(|| argument_error(text, source, spot))
        .or_else(|| common_type_error(text, source, spot))
}

/// A clause that is not there, by the words of the parser or the planner.
pub(crate) fn clause_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    let (_, title, word, help) = CLAUSES.iter().find(|(words, ..)| text.contains(words))?;
    Some(Error::at(source, spot.or_else(|| token_spot(source, word)), *title).help(*help))
}

/// A value outside what a function or a type has.
fn value_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    if text.contains("cannot take square root of a negative number") {
        let spot = spot.or_else(|| token_spot(source, "sqrt"));
        return Some(
            Error::at(source, spot, "the square root of a negative number")
                .help("write sqrt(greatest(x, 0)), or case when x >= 0 then sqrt(x) end for NULL"),
        );
    }
    // integers have errors of their own, decimals name their digits
    if let Some((_, values)) = text.split_once("Overflow happened on: ")
        && let Some((left, right)) = values.lines().next()?.split_once(" - ")
        && [left, right].iter().all(|side| side.trim().parse::<i64>().is_ok())
    {
        return Some(
            Error::at(source, spot, "the difference of these timestamps is beyond the 292 years of nanoseconds")
                .help("cast them first: cast(x as timestamp(6)) - cast(y as timestamp(6)), or age(x, y)"),
        );
    }
    if let Some(value) = between(text, "overflow on abs(", ")") {
        let name = between(text, "error: ", "Array overflow on abs(").unwrap_or("Int64");
        let name = with_type_names(name.rsplit(' ').next().unwrap_or(name));
        let spot = spot.or_else(|| token_spot(source, "abs"));
        return Some(
            Error::at(source, spot, format!("abs({value}) is beyond {name}")).help("write abs(cast(x as double))"),
        );
    }
    for (words, limit, is_large) in [
        (" is too large to store in a Decimal", "Max is ", true),
        (" is too small to store in a Decimal", "Min is ", false),
    ] {
        let Some((before, after)) = text.split_once(words) else { continue };
        let value = before.rsplit(' ').next()?;
        let limit = after.split(limit).nth(1)?.lines().next()?.trim_end_matches('.');
        let precision = between(after, "precision ", ".")?;
        let scale = limit.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let bound = if is_large { "largest" } else { "smallest" };
        let title = format!("{value} does not fit decimal({precision},{scale}), whose {bound} value is {limit}");
        return Some(Error::at(source, spot, title).help(
            "take a wider type, such as decimal(38,2) or double, or try_cast(x as type) for NULL where it does not fit",
        ));
    }
    if text.contains("First argument must be a timestamp or NULL, got Literal(Timestamp") {
        let spot = spot.or_else(|| token_spot(source, "generate_series")).or_else(|| token_spot(source, "range"));
        return Some(Error::at(source, spot, "a series of timestamps is between the years 1677 and 2262").help(
            "of other years write dates: generate_series(date '2300-01-01', date '2300-12-31', interval '1 day')",
        ));
    }
    if let Some(format) = between(text, "using format '", "'")
        && !format.contains('%')
    {
        let title = format!("`{format}` is no format of dates and times");
        return Some(
            Error::at(source, spot.or_else(|| token_spot(source, format)), title)
                .help("write one as in strftime: to_date(text, '%Y-%m-%d'), to_timestamp(text, '%d.%m.%Y %H:%M')"),
        );
    }
    if let Some(unit) = between(text, "Unsupported date_trunc granularity: '", "'") {
        let spot = spot.or_else(|| token_spot(source, unit));
        return Some(
            Error::at(source, spot, format!("date_trunc has no `{unit}`"))
                .help("it has microsecond, millisecond, second, minute, hour, day, week, month, quarter and year")
                .help("a number of decade, century or millennium: extract(decade from at)"),
        );
    }
    None
}

/// An argument that a function does not take.
fn argument_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    if let Some(rest) = text.split("There is only support Literal types for field at idx: ").nth(1) {
        let what = if rest.starts_with('1') { "the offset" } else { "the third argument" };
        let spot =
            spot.or_else(|| ["lag", "lead", "nth_value", "ntile"].iter().find_map(|name| token_spot(source, name)));
        return Some(
            Error::at(source, spot, format!("{what} of a window function is a constant here"))
                .help("write a number, such as lag(x, 1); for a column, join the table with itself over row_number()"),
        );
    }
    if let Some(rest) = text.split("Support for '").nth(1) {
        let (function, rest) = rest.split_once("' for data type ")?;
        let data_type = with_type_names(rest.split(" is not implemented").next()?);
        let spot = spot.or_else(|| token_spot(source, function));
        let error = Error::at(source, spot, format!("`{function}` cannot be used with {data_type}"));
        return Some(match function {
            "approx_distinct" => {
                error.help("write count(distinct x), or approx_distinct(cast(x as text)) for an estimate")
            }
            _ => error.help("cast the argument: cast(x as type)"),
        });
    }
    if let Some(rest) = text.split("Failed to coerce arguments to satisfy a call to '").nth(1) {
        let (function, rest) = rest.split_once('\'')?;
        let types = between(rest, "coercion from ", " to the signature").map(with_type_names)?;
        let spot = spot.or_else(|| token_spot(source, function));
        let error = Error::at(source, spot, format!("`{function}` cannot be used with ({types})"));
        return Some(match super::statement::candidates(text).as_slice() {
            _ if function == "to_char" => {
                error.help("to_char writes dates and times; a number: cast(round(x, 2) as text)")
            }
            [] => error.help("cast the arguments: cast(x as type)"),
            calls => error.help(format!("write {}", calls.join(" or "))),
        });
    }
    None
}

/// Values of two types that have none in common.
fn common_type_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    if let Some(types) = between(text, "Failed to coerce types ", " in BETWEEN expression") {
        let title = format!("{} cannot be compared by BETWEEN: the types do not fit", with_type_names(types));
        let spot = spot.or_else(|| token_spot(source, "between"));
        return Some(
            Error::at(source, spot, title).help("cast one of them: x between cast(a as type) and cast(b as type)"),
        );
    }
    let got = text.split("Expect to get struct but got ").nth(1)?;
    if !text.contains("Fail to find the coerced type") {
        return None;
    }
    let got = got.split(". No function").next()?.lines().next()?;
    let got = with_type_names(got.trim_end_matches(['.', ' ']));
    let function = between(text, "given name and argument types '", "(").map(str::to_lowercase);
    let spot = spot.or_else(|| token_spot(source, function.as_deref()?));
    let title = match &function {
        Some(function) => format!("the arguments of `{function}` have no common type: one is {got}"),
        None => format!("these values have no common type: one is {got}"),
    };
    let error = Error::at(source, spot, title);
    Some(match (got.as_str(), function) {
        ("interval", Some(function)) => {
            error.help(format!("an interval has its word: {function}(x, interval '5 days')"))
        }
        _ => error.help("cast one of them: cast(x as type)"),
    })
}

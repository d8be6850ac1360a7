//! Mistakes in statements that DataFusion reports in words of its own: functions with wrong arguments, operators over types
//! that do not fit, columns outside GROUP BY, and what other databases call differently.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{between, token_spot, unmatched_function};
use crate::error::Error;
use crate::source::{Source, Spot, nearest};
use crate::sqlfile;
use crate::types::{BaseType, with_type_names};

/// Functions of other databases, and what to write here.
const ELSEWHERE: [(&str, &str); 96] = [
    ("any", "bool_or(condition)"),
    ("approx_count_distinct", "approx_distinct(x)"),
    ("approx_quantile", "approx_percentile_cont(0.9) within group (order by x)"),
    ("approx_top_k", "select x, count(*) from t group by x order by 2 desc limit 5"),
    ("arg_max", "arg_max(x, y)"),
    ("arg_min", "arg_min(x, y)"),
    ("array_join", "array_to_string(list, ',')"),
    ("charindex", "strpos(text, part)"),
    ("collect_list", "array_agg(x)"),
    ("collect_set", "array_agg(distinct x)"),
    ("contains_substr", "contains(text, part)"),
    ("convert", "cast(x as type)"),
    ("count_if", "count(*) filter (where condition)"),
    ("countif", "count(*) filter (where condition)"),
    ("curdate", "current_date"),
    ("date_add", "at + interval '1 day'"),
    ("date_diff", "ended_at - started_at, or date_part('epoch', ended_at - started_at) for seconds"),
    ("date_sub", "at - interval '1 day'"),
    ("dateadd", "at + interval '1 day'"),
    ("datediff", "ended_at - started_at, or date_part('epoch', ended_at - started_at) for seconds"),
    ("datename", "to_char(at, '%A')"),
    ("dateparse", "to_timestamp(text, '%d.%m.%Y')"),
    ("day", "date_part('day', at)"),
    ("day_of_week", "date_part('dow', at)"),
    ("day_of_year", "date_part('doy', at)"),
    ("dayname", "to_char(at, '%A')"),
    ("dayofmonth", "date_part('day', at)"),
    ("dayofweek", "date_part('dow', at)"),
    ("dayofyear", "date_part('doy', at)"),
    ("decode", "case x when 1 then 'a' when 2 then 'b' else 'c' end"),
    ("div", "x / y of integers, or trunc(x / y)"),
    ("div0", "coalesce(x / nullif(y, 0), 0)"),
    ("divide", "x / y"),
    ("epoch", "date_part('epoch', at)"),
    ("epoch_ms", "date_part('epoch', at) * 1000"),
    ("first", "first_value(x order by at)"),
    ("format", "round(x, 2), or to_char(at, '%Y-%m')"),
    ("from_unixtime", "to_timestamp(seconds)"),
    ("getdate", "now()"),
    ("group_concat", "string_agg(x, ',')"),
    ("hour", "date_part('hour', at)"),
    ("if", "case when condition then x else y end"),
    ("iif", "case when condition then x else y end"),
    ("ilike", "x ilike '%part%'"),
    ("instr", "strpos(text, part)"),
    ("isnull", "coalesce(x, y), or x is null"),
    ("isodow", "date_part('isodow', at)"),
    ("last", "last_value(x order by at)"),
    ("last_day", "date_trunc('month', at) + interval '1 month' - interval '1 day'"),
    ("lcase", "lower(text)"),
    ("len", "length(text)"),
    ("list", "array_agg(x)"),
    ("locate", "strpos(text, part)"),
    ("max_by", "max_by(x, y)"),
    ("min_by", "min_by(x, y)"),
    ("minute", "date_part('minute', at)"),
    ("month", "date_part('month', at)"),
    ("monthname", "to_char(at, '%B')"),
    ("nullifzero", "nullif(x, 0)"),
    ("parse_date", "to_date(text, '%d.%m.%Y')"),
    ("parse_timestamp", "to_timestamp(text, '%d.%m.%Y')"),
    ("pg_typeof", "arrow_typeof(x)"),
    ("quantile", "percentile_cont(0.9) within group (order by x)"),
    ("quantile_disc", "percentile_disc(0.9) within group (order by x)"),
    ("quarter", "date_part('quarter', at)"),
    ("rand", "random()"),
    ("ratio_to_report", "x / sum(x) over ()"),
    ("regexp_extract", "regexp_match(text, pattern)[1]"),
    ("safe_cast", "try_cast(x as type)"),
    ("safe_divide", "x / nullif(y, 0)"),
    ("second", "date_part('second', at)"),
    ("split", "string_to_array(text, ',')"),
    ("str_split", "string_to_array(text, ',')"),
    ("str_to_date", "to_timestamp(text, '%d.%m.%Y')"),
    ("strftime", "to_char(at, '%Y-%m')"),
    ("string_split", "string_to_array(text, ',')"),
    ("strptime", "to_timestamp(text, '%d.%m.%Y')"),
    ("substring_index", "split_part(text, ',', 1)"),
    ("sysdate", "now()"),
    ("time_bucket", "date_bin(interval '15 minutes', at)"),
    ("timestamp_diff", "ended_at - started_at, or date_part('epoch', ended_at - started_at) for seconds"),
    ("timestamp_trunc", "date_trunc('month', at)"),
    ("timestampdiff", "ended_at - started_at, or date_part('epoch', ended_at - started_at) for seconds"),
    ("to_number", "cast(text as double)"),
    ("truncate", "trunc(x, 2)"),
    ("try_strptime", "try_to_timestamp(text, '%d.%m.%Y')"),
    ("typeof", "arrow_typeof(x)"),
    ("ucase", "upper(text)"),
    ("unix_seconds", "date_part('epoch', at)"),
    ("unix_timestamp", "date_part('epoch', at)"),
    ("week", "date_part('week', at)"),
    ("weekday", "date_part('dow', at)"),
    ("weekofyear", "date_part('week', at)"),
    ("width_bucket", "least(greatest(floor((x - low) / (high - low) * n) + 1, 0), n + 1)"),
    ("year", "date_part('year', at)"),
    ("zeroifnull", "coalesce(x, 0)"),
];

/// What to write for a function of another database.
pub(super) fn elsewhere(name: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, here)| *here)
}

/// The function that was probably meant: of equally near ones a common one.
pub(super) fn nearest_function<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const COMMON: [&str; 12] = [
        "avg",
        "coalesce",
        "count",
        "date_part",
        "date_trunc",
        "lower",
        "max",
        "min",
        "replace",
        "round",
        "sum",
        "upper",
    ];
    let near_common = COMMON.into_iter().find(|common| strsim::damerau_levenshtein(&name.to_lowercase(), common) == 1);
    near_common.or_else(|| nearest(name, names))
}

/// The error of a statement, if its message is one of those that are known here.
pub(super) fn known_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    signature_error(text, source, spot)
        .or_else(|| grouping_error(text, source, spot))
        .or_else(|| operator_error(text, source, spot))
        .or_else(|| clause_error(text, source, spot))
}

/// A function whose arguments fit none of its signatures.
fn signature_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    let name = unmatched_function(text)?;
    let spot = spot.or_else(|| token_spot(source, name));
    let mut types: Vec<String> = Vec::new();
    for part in text.split("(DataType: ").skip(1) {
        // the type may hold parentheses itself
        let data_type = part.split(").").next().unwrap_or(part);
        let is_closed = data_type.matches('(').count() == data_type.matches(')').count();
        let data_type = if is_closed { data_type } else { data_type.strip_suffix(')').unwrap_or(data_type) };
        let data_type = with_type_names(data_type);
        if !types.contains(&data_type) {
            types.push(data_type);
        }
    }
    let error = match types.as_slice() {
        [] => {
            let counts = || text.split("expects ").skip(1).filter_map(|part| part.split(' ').next());
            let mut wanted: Vec<&str> = counts().collect();
            wanted.sort_unstable();
            wanted.dedup();
            let got = between(text, "but received ", ",").or_else(|| between(text, "but received ", "."))?;
            let got = got.split_whitespace().next().unwrap_or(got);
            Error::at(source, spot, format!("`{name}` takes {} arguments, got {got}", wanted.join(" or ")))
        }
        types => {
            let error = Error::at(source, spot, format!("`{name}` cannot be used with {}", types.join(" and ")));
            let is_text = types.iter().any(|name| name == "text");
            if types.iter().any(|name| name == "interval") {
                return Some(error.help(format!("the seconds of an interval: {name}(date_part('epoch', x))")));
            }
            if is_text { error.help("a text that holds numbers: `try_cast(x as double)`") } else { error }
        }
    };
    Some(match candidates(text).as_slice() {
        [] => error,
        calls => error.help(format!("write {}", calls.join(" or "))),
    })
}

/// The calls that DataFusion offers, with SQL names of types; none that say nothing.
pub(super) fn candidates(text: &str) -> Vec<String> {
    const WORDS: [(&str, &str); 9] = [
        ("String", "text"),
        ("Integer", "bigint"),
        ("Decimal", "decimal"),
        ("Float", "double"),
        ("Numeric", "number"),
        ("Timestamp", "timestamp"),
        ("Duration", "interval"),
        ("Interval", "interval"),
        ("Any", "any"),
    ];
    let Some(calls) = text.split("Candidate functions:").nth(1) else { return vec![] };
    let is_telling =
        |call: &&str| !["UserDefined", "Signature", "Coercible", "CAST"].iter().any(|word| call.contains(word));
    let calls = calls.trim().lines().map(|call| call.trim().trim_end_matches('.')).filter(|call| !call.is_empty());
    let renamed = calls.filter(is_telling).map(|call| {
        let call = with_type_names(call);
        let mut out = String::new();
        for piece in call.split_inclusive(|c: char| !c.is_alphanumeric()) {
            let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric());
            let rest = &piece[word.len()..];
            let renamed = WORDS.iter().find(|(name, _)| *name == word).map_or(word, |(_, name)| *name);
            out.push_str(renamed);
            out.push_str(rest);
        }
        out
    });
    let mut calls: Vec<String> = renamed.collect();
    calls.dedup();
    calls.truncate(3);
    calls
}

/// A column that is neither grouped by nor aggregated.
fn grouping_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    let end = if text.contains("must appear in GROUP BY clause") {
        "must appear in GROUP BY"
    } else {
        "must appear in the GROUP BY"
    };
    let at = text.find(end)?;
    let name = text[..at].trim_end().trim_end_matches(['"', '\'']).rsplit(['"', '\'']).next()?;
    let column = Column::from_qualified_name(name).name;
    let points_at =
        |spot: &Spot| source.text_at(*spot).is_some_and(|text| text.to_lowercase().contains(&column.to_lowercase()));
    // `*` stands for the column
    let spot = spot.filter(points_at).or_else(|| token_spot(source, &column)).or_else(|| star_spot(source));
    Some(
        Error::at(source, spot, format!("`{column}` is neither in GROUP BY nor in an aggregate"))
            .help(format!("add `{column}` to GROUP BY, or use an aggregate such as `max({column})`")),
    )
}

fn star_spot(source: &Arc<Source>) -> Option<Spot> {
    let tokens = sqlfile::tokenize(source).ok()?;
    tokens.iter().find(|token| token.token == Token::Mul).map(sqlfile::token_spot)
}

/// An operator over types that do not fit.
fn operator_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    let arithmetic = between(text, "Cannot coerce arithmetic expression ", " to valid types");
    let comparison = between(text, "Cannot infer common argument type for comparison operation ", "\n")
        .or_else(|| text.split("Cannot infer common argument type for comparison operation ").nth(1));
    let expression = with_type_names(arithmetic.or(comparison)?.trim().trim_end_matches('.'));
    let title = match arithmetic {
        Some(_) => format!("{expression} cannot be computed: the types do not fit"),
        None => format!("{expression} cannot be compared: the types do not fit"),
    };
    let error = Error::at(source, spot, title);
    let is_of_time =
        ["timestamp", "date "].iter().any(|word| expression.contains(word)) || expression.starts_with("date");
    let is_of_number =
        ["bigint", "integer", "double", "smallint", "decimal"].iter().any(|word| expression.contains(word));
    Some(match (arithmetic.is_some(), is_of_time && is_of_number, expression.contains("text")) {
        (true, true, _) => error.help("a number of days or seconds is an interval: `at + interval '7 days'`"),
        (true, _, true) => {
            error.help("a text that holds numbers: `try_cast(x as double)`; texts are joined by `a || b`")
        }
        _ => error.help("cast one of them: `cast(x as type)`"),
    })
}

/// Faults of one clause.
fn clause_error(text: &str, source: &Arc<Source>, spot: Option<Spot>) -> Option<Error> {
    if let Some(rest) = text.split("Cannot create filter with non-boolean predicate '").nth(1) {
        let (name, data_type) = rest.split_once("' returning ")?;
        let column = Column::from_qualified_name(name).name;
        let data_type = with_type_names(data_type.trim().trim_end_matches('.'));
        return Some(
            Error::at(
                source,
                spot,
                format!("a condition is true or false, `{}` is {data_type}", with_type_names(&column)),
            )
            .help("compare it with something, such as `x = 'a'` or `x > 0`"),
        );
    }
    if let Some(rest) = text.split("Order by column out of bounds, specified: ").nth(1) {
        let (number, most) = rest.split_once(", max: ")?;
        let most = most.trim_end_matches('.').trim();
        return Some(
            Error::at(source, spot, format!("`order by {number}`: the result has {most} columns"))
                .help("a number in ORDER BY is the position of a column of the result, from 1"),
        );
    }
    if let Some(name) = between(text, "table function '", "' not found") {
        let spot = spot.or_else(|| token_spot(source, name));
        return Some(
            Error::at(source, spot, format!("there is no table function `{name}`"))
                .help("a file in FROM stands in quotes: from 'calls.csv'"),
        );
    }
    if let Some(name) = text.split("Invalid qualifier ").nth(1) {
        let name = name.trim();
        return Some(Error::at(source, token_spot(source, name), format!("there is no table `{name}` in FROM")));
    }
    if let Some(name) = text.split("Unsupported SQL type ").nth(1) {
        let name = name.trim().trim_end_matches('.');
        let error = Error::at(source, token_spot(source, name), format!("there is no type `{name}`"));
        if name.starts_with("TIMESTAMP(") {
            return Some(error.help("a timestamp has 0, 3, 6 or 9 digits of a second: write timestamp(3)"));
        }
        if name.starts_with("TIME(") {
            return Some(error.help("write time: a time has all digits of a second"));
        }
        let near = BaseType::sql_names().into_iter().find(|known| nearest(name, [*known]).is_some());
        return Some(match near {
            Some(near) => error.label(format!("did you mean `{near}`?")),
            None => error.help(format!("types are {}", BaseType::sql_names().join(", "))),
        });
    }
    let row_count = ["FETCH clause is not supported", ": TOP", "implemented: TOP"];
    if row_count.iter().any(|part| text.contains(part)) {
        let spot = token_spot(source, "fetch").or_else(|| token_spot(source, "top"));
        return Some(Error::at(source, spot, "FETCH and TOP are not supported").help("write `limit 5` at the end"));
    }
    None
}

/// Remedies for a column that does not exist.
pub(super) fn column_helps(source: &Arc<Source>, name: &str, spot: Option<Spot>) -> Vec<String> {
    let Ok(tokens) = sqlfile::tokenize(source) else { return vec![] };
    let is_word = |token: &Token| matches!(token, Token::Word(word) if word.value == name);
    let quoted = |token: &&TokenWithSpan| {
        matches!(&token.token, Token::Word(word) if word.value == name && word.quote_style == Some('"'))
            && spot.is_none_or(|spot| sqlfile::token_spot(token).line == spot.line)
    };
    let mut helps = Vec::new();
    if tokens.iter().any(|token| quoted(&token)) {
        helps.push(format!("a string stands in single quotes: '{name}'; double quotes are for names"));
    }
    let words: Vec<&Token> =
        tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let is_alias = words
        .windows(2)
        .any(|pair| matches!(pair[0], Token::Word(word) if word.value.eq_ignore_ascii_case("as")) && is_word(pair[1]));
    if is_alias {
        helps.push(format!(
            "`{name}` is a name of the same SELECT, which its columns and WHERE cannot use: repeat the expression, or put \
             it into a subquery"
        ));
    }
    helps
}

/// The keyword that was probably meant where the parser found a word.
pub(crate) fn nearest_keyword(word: &str) -> Option<&'static str> {
    const WORDS: [&str; 16] = [
        "select",
        "from",
        "where",
        "group",
        "order",
        "having",
        "limit",
        "join",
        "inner",
        "left",
        "right",
        "union",
        "with",
        "between",
        "partition",
        "distinct",
    ];
    let word = word.to_lowercase();
    // two letters in the other order count as one
    let is_near = |known: &&str| word.len() > 2 && strsim::damerau_levenshtein(&word, known) == 1;
    WORDS.into_iter().find(is_near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;

    /// What is advised can be planned as it stands.
    #[tokio::test]
    async fn advice_can_be_planned() {
        let session = Session::open(Default::default()).await.unwrap();
        let table = "with t as (select 1 as x, 2 as y, 3 as n, 0 as low, 9 as high, 'a' as text, 'b' as part, 'c' as pattern, \
                     now() as at, now() as ended_at, now() as started_at, ['d'] as list, 5 as seconds, true as condition)";
        let mut faults = Vec::new();
        for (name, advice) in ELSEWHERE {
            for part in advice.split(", or ") {
                let part = part.trim_end_matches(" for seconds").trim_end_matches(" of integers");
                let part = part.replace("as type)", "as double)");
                let sql = match part.strip_prefix("select ") {
                    Some(_) => format!("{table} {part}"),
                    None if part.contains("ilike") => format!("{table} select text ilike '%part%' from t"),
                    None => format!("{table} select {part} from t"),
                };
                let source = Arc::new(Source::query(&sql));
                let statement = sqlfile::statements(&source).unwrap().pop_front().unwrap();
                if let Err(error) = session.plan(&source, statement).await {
                    faults.push(format!("{name}: {part}: {error}"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

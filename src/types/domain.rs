//! [`Domain`]: the values that a parameter may have, beside its type.
//!
//! | in the file | values |
//! |---|---|
//! | `interval > 0`, `integer >= 1` | numbers and intervals above, or at least, a number |
//! | `text in (day, week, month)` | these words |
//! | `text like contacts_clean.topic` | patterns of LIKE that a value of the column meets; others are a note |

use std::fmt;

use datafusion::arrow::array::Array;
use datafusion::common::ScalarValue;

use super::BaseType;
use crate::source::nearest;

/// Nanoseconds of a day; a month has 30 days.
const DAY: i128 = 86_400_000_000_000;

/// The values that a parameter may have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Domain {
    /// Numbers or intervals from a limit on.
    From {
        /// The limit; of an interval in nanoseconds, which only 0 has a use for.
        limit: f64,
        /// Whether the limit itself is a value.
        is_inclusive: bool,
    },
    /// Words.
    Words(Vec<String>),
    /// Patterns of the values of a column.
    Labels {
        /// The table or view.
        table: String,
        /// The column.
        column: String,
    },
}

impl Domain {
    /// Splits a declaration `type domain`: the name of the type, and the rest.
    pub(crate) fn split(declaration: &str) -> (&str, &str) {
        let lower = declaration.to_ascii_lowercase();
        let starts = [lower.find('>'), lower.find(" in "), lower.find(" in("), lower.find(" like ")];
        let at = starts.into_iter().flatten().min().unwrap_or(declaration.len());
        (declaration[..at].trim(), declaration[at..].trim())
    }

    /// Parses a domain of a type; `None` for an empty text.
    ///
    /// # Errors
    /// Another text, or one that the type does not have.
    pub(crate) fn parse(text: &str, base: BaseType) -> Result<Option<Self>, String> {
        let wrong = || {
            format!(
                "`{text}` is no domain of {}: write `> 0`, `>= 1`, `in (day, week)` or `like TABLE.COLUMN`",
                base.name()
            )
        };
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(rest) = text.strip_prefix('>') {
            let (limit, is_inclusive) = rest.strip_prefix('=').map_or((rest, false), |rest| (rest, true));
            let limit: f64 = limit.trim().parse().map_err(|_| wrong())?;
            let is_fit = match base {
                BaseType::Integer | BaseType::Float => limit.is_finite(),
                BaseType::Interval => limit == 0.0,
                _ => false,
            };
            return if is_fit { Ok(Some(Self::From { limit, is_inclusive })) } else { Err(wrong()) };
        }
        if base != BaseType::Text {
            return Err(wrong());
        }
        if let Some(rest) = text.strip_prefix("in") {
            let words = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
            let words: Vec<String> = words.split(',').map(|word| word.trim().to_string()).collect();
            return if words.iter().any(String::is_empty) { Err(wrong()) } else { Ok(Some(Self::Words(words))) };
        }
        let column = text.strip_prefix("like").map(str::trim).ok_or_else(wrong)?;
        let (table, column) = column.rsplit_once('.').ok_or_else(wrong)?;
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !(is_name(table) && is_name(column)) {
            return Err(wrong());
        }
        Ok(Some(Self::Labels { table: table.into(), column: column.into() }))
    }

    /// Checks a value. NULL is in every domain, and so is every string in that of [`Domain::Labels`].
    ///
    /// # Errors
    /// What the value must be.
    pub(crate) fn check(&self, value: &ScalarValue) -> Result<(), String> {
        if let ScalarValue::List(list) = value {
            let items = list.value(0);
            return (0..items.len())
                .filter_map(|row| ScalarValue::try_from_array(&items, row).ok())
                .try_for_each(|item| self.check(&item));
        }
        match (self, value) {
            (Self::From { limit, is_inclusive }, value) => {
                let (number, example) = match value {
                    ScalarValue::Int64(Some(number)) => (*number as f64, None),
                    ScalarValue::Float64(Some(number)) => (*number, None),
                    ScalarValue::IntervalMonthDayNano(Some(span)) => {
                        let days = i128::from(span.months) * 30 + i128::from(span.days);
                        ((days * DAY + i128::from(span.nanoseconds)) as f64, Some("such as 7 days"))
                    }
                    _ => return Ok(()),
                };
                if number > *limit || *is_inclusive && number == *limit {
                    return Ok(());
                }
                let least = match (is_inclusive, limit) {
                    (true, limit) => format!("at least {limit}"),
                    (false, 0.0) => "above zero".into(),
                    (false, limit) => format!("above {limit}"),
                };
                Err(match example {
                    Some(example) => format!("it must be {least}, {example}"),
                    None => format!("it must be {least}"),
                })
            }
            (Self::Words(words), ScalarValue::Utf8(Some(text))) if !words.contains(text) => {
                let near = nearest(text, words.iter().map(String::as_str));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                Err(format!("it must be one of {}{hint}", words.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From { limit, is_inclusive } => write!(f, "{} {limit}", if *is_inclusive { ">=" } else { ">" }),
            Self::Words(words) => write!(f, "in ({})", words.join(", ")),
            Self::Labels { table, column } => write!(f, "like {table}.{column}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn domain(text: &str, base: BaseType) -> Domain {
        Domain::parse(text, base).unwrap().unwrap()
    }

    #[test]
    fn a_limit_is_that_of_numbers_and_of_lengths() {
        let span = |months, days, nanoseconds| {
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }))
        };
        let positive = domain("> 0", BaseType::Interval);
        assert!(positive.check(&span(0, 0, 1)).is_ok());
        // a month is 30 days here
        assert!(positive.check(&span(1, -29, 0)).is_ok());
        for value in [span(0, 0, 0), span(0, -7, 0), span(1, -30, 0)] {
            assert_eq!(positive.check(&value).unwrap_err(), "it must be above zero, such as 7 days");
        }
        let from_one = domain(">= 1", BaseType::Integer);
        assert!(from_one.check(&ScalarValue::from(1i64)).is_ok());
        assert_eq!(from_one.check(&ScalarValue::from(0i64)).unwrap_err(), "it must be at least 1");
        assert!(from_one.check(&ScalarValue::Int64(None)).is_ok());
    }

    #[test]
    fn words_and_columns() {
        let words = domain("in (day, week)", BaseType::Text);
        assert!(words.check(&ScalarValue::from("week")).is_ok());
        assert_eq!(
            words.check(&ScalarValue::from("weeks")).unwrap_err(),
            "it must be one of day, week; did you mean `week`?"
        );
        let labels = domain("like calls.topic", BaseType::Text);
        assert_eq!(labels, Domain::Labels { table: "calls".into(), column: "topic".into() });
        assert!(labels.check(&ScalarValue::from("anything")).is_ok());
        for (text, base) in [("> x", BaseType::Float), ("> 0", BaseType::Text), ("in day", BaseType::Text)] {
            assert!(Domain::parse(text, base).unwrap_err().contains("is no domain of"), "{text}");
        }
        assert_eq!(Domain::split("text like calls.topic"), ("text", "like calls.topic"));
        assert_eq!(Domain::split("list(integer) >= 1"), ("list(integer)", ">= 1"));
        assert_eq!(Domain::split("timestamp with time zone"), ("timestamp with time zone", ""));
    }
}

//! Statement parameters: numbering of placeholders, types that are planned with and announced.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::infer::{self, Use, UseKind};
use crate::error::{Error, Result};
use crate::source::Source;
use crate::sqlfile;

/// Maximum number of parameters; a larger one is a typo such as `$20250101`.
const MAX_PARAMS: usize = 10_000;

/// Maximum rows of bound values of an execution; each row is executed as a query.
pub(super) const MAX_ROWS: usize = 10_000;

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatementParameter {
    /// Its name in the statement: `1`, `2`, ... or the name after `$`.
    pub(super) name: String,
    /// Its type if the plan determines it; `None` takes the type of the value.
    pub(super) data_type: Option<DataType>,
    /// What the statement does with it.
    pub(super) uses: Vec<Use>,
}

impl StatementParameter {
    pub(super) fn new(name: String, uses: Vec<Use>) -> Self {
        Self { name, data_type: common_type(&uses), uses }
    }

    /// Adds a use.
    pub(super) fn add_use(&mut self, found: Use) {
        self.uses.push(found);
        self.data_type = common_type(&self.uses);
    }
}

/// Rewrites the placeholders `?`, `$1` and `$name` to `$1`, `$2`, ... and returns their names in that order. Tokens
/// keep their positions, so that errors point into the original text.
///
/// # Errors
/// Mixed forms in one statement, or a number out of range.
pub(super) fn number_placeholders(source: &Arc<Source>, tokens: &mut [TokenWithSpan]) -> Result<Vec<String>> {
    #[derive(PartialEq, Clone, Copy)]
    enum Form {
        Anonymous,
        Numbered,
        Named,
    }
    let mut form = None;
    let mut names: Vec<String> = Vec::new();
    for token in tokens {
        let Token::Placeholder(text) = &token.token else { continue };
        let spot = Some(sqlfile::token_spot(token));
        let name = &text[1..];
        let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let this = match (text.starts_with('$'), digits, name.is_empty()) {
            (_, true, _) => Form::Numbered,
            (false, _, true) => Form::Anonymous,
            (true, false, false) => Form::Named,
            _ => return Err(Error::at(source, spot, format!("`{text}` is no parameter")).help("write ?, $1 or $name")),
        };
        if form.is_some_and(|form| form != this) {
            return Err(Error::at(source, spot, "parameters of different forms in one statement")
                .help("write all of them as ?, or all as $1, $2, ..., or all as $name"));
        }
        form = Some(this);
        let number = match this {
            Form::Anonymous => names.len() + 1,
            Form::Named => names.iter().position(|known| known == name).unwrap_or(names.len()) + 1,
            Form::Numbered => name.parse().unwrap_or(usize::MAX),
        };
        if !(1..=MAX_PARAMS).contains(&number) {
            return Err(Error::at(source, spot, format!("`{text}`: parameters have numbers from 1 to {MAX_PARAMS}")));
        }
        while names.len() < number {
            names.push(if this == Form::Named { name.to_owned() } else { (names.len() + 1).to_string() });
        }
        token.token = Token::Placeholder(format!("${number}"));
    }
    Ok(names)
}

/// The parameters of a plan whose placeholders were rewritten by [`number_placeholders`]. `zone` is the time zone of the
/// session.
///
/// # Errors
/// A plan that cannot be traversed.
pub(super) fn params(plan: &LogicalPlan, names: Vec<String>, zone: &str) -> DataFusionResult<Vec<StatementParameter>> {
    let uses = infer::uses(plan, names.len(), zone)?;
    Ok(names.into_iter().zip(uses).map(|(name, uses)| StatementParameter::new(name, uses)).collect())
}

/// The type of a parameter with these uses: the widest of numbers and of timestamps; `None` if there is none.
fn common_type(uses: &[Use]) -> Option<DataType> {
    let exact = uses.iter().find(|place| place.kind == UseKind::Exact);
    if let Some(place) = exact {
        return Some(place.data_type.clone());
    }
    let mut types = uses.iter().map(|place| &place.data_type);
    let first = types.next()?.clone();
    types.try_fold(first, |common, next| {
        if common == *next {
            return Some(common);
        }
        match (&common, next) {
            (a, b) if a.is_integer() && b.is_integer() => Some(DataType::Int64),
            (a, b) if a.is_numeric() && b.is_numeric() => Some(DataType::Float64),
            (DataType::Timestamp(..), DataType::Date32) => Some(common),
            (DataType::Date32, DataType::Timestamp(..)) => Some(next.clone()),
            _ => None,
        }
    })
}

/// The schema of the bound values as it is announced: one column per parameter, Utf8 where the type is not known.
///
/// The JDBC driver writes milliseconds into timestamps and times of every unit, and can bind no interval but as a string;
/// Go's `database/sql` knows one integer and one float. Values of other types are taken too.
pub(super) fn schema(params: &[StatementParameter]) -> Schema {
    let field = |param: &StatementParameter| {
        let name = if param.name.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("${}", param.name)
        } else {
            param.name.clone()
        };
        Field::new(name, param.data_type.as_ref().map_or(DataType::Utf8, announced), true)
    };
    Schema::new(params.iter().map(field).collect::<Vec<_>>())
}

fn announced(data_type: &DataType) -> DataType {
    match data_type {
        integer if integer.is_integer() => DataType::Int64,
        DataType::Float32 => DataType::Float64,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::Time64(_) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Interval(_) => DataType::Utf8,
        other => other.clone(),
    }
}

/// The type with which each parameter is planned as long as there are no values.
pub(super) fn planned_types(params: &[StatementParameter]) -> Vec<DataType> {
    params.iter().map(|param| param.data_type.clone().unwrap_or(DataType::Utf8)).collect()
}

/// A NULL per parameter, for planning without values.
pub(super) fn nulls(params: &[StatementParameter]) -> DataFusionResult<Vec<ScalarValue>> {
    planned_types(params).iter().map(ScalarValue::try_from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(text: &str) -> Result<(String, Vec<String>)> {
        let source = Arc::new(Source::query(text));
        let mut tokens = sqlfile::tokenize(&source)?;
        let names = number_placeholders(&source, &mut tokens)?;
        Ok((tokens.iter().map(|token| token.token.to_string()).collect(), names))
    }

    #[test]
    fn question_marks_count_outside_texts_and_comments() {
        let (text, names) = numbered("select '?', \"?\", ? -- ?\n, /* ? */ ?").unwrap();
        assert!(text.contains("'?', \"?\", $1 -- ?\n, /* ? */ $2"), "{text}");
        assert_eq!(names, ["1", "2"]);
    }

    #[test]
    fn numbers_and_names_keep_their_order() {
        let (_, names) = numbered("select $12, $2, $10").unwrap();
        assert_eq!(names.len(), 12);
        let (text, names) = numbered("select $b, $a, $b").unwrap();
        assert_eq!((text.as_str(), names), ("select $1, $2, $1", vec!["b".to_string(), "a".to_string()]));
    }

    #[test]
    fn forms_are_not_mixed() {
        let error = numbered("select ?,\n $1").unwrap_err().to_string();
        assert!(error.contains("<query>:2:2") && error.contains("different forms"), "{error}");
        assert!(numbered("select $0").unwrap_err().to_string().contains("numbers from 1"));
        assert!(numbered("select $99999999999999999999").is_err());
    }
}

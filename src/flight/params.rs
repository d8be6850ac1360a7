//! Statement parameters: numbering of placeholders, inferred types, bound values.

use std::collections::HashMap;
use std::sync::Arc;

use cxql_engine::number_without_unit;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use tonic::Status;

use super::status;
use crate::error::{Error, Result};
use crate::source::Source;
use crate::sqlfile;
use crate::types::{plain, type_name, unit_wanted};

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

/// The type of a parameter that a plan determines.
#[derive(Clone, PartialEq)]
enum InferredType {
    Unknown,
    Type(DataType),
    /// Used with different types.
    Conflicting,
}

/// The parameters of a plan whose placeholders were rewritten by [`number_placeholders`].
///
/// # Errors
/// A plan that cannot be traversed.
pub(super) fn params(plan: &LogicalPlan, names: Vec<String>) -> DataFusionResult<Vec<StatementParameter>> {
    let mut inferred = vec![InferredType::Unknown; names.len()];
    let mut infer = |placeholder: &Placeholder, context: Option<&DataType>| {
        let data_type = placeholder.field.as_ref().map(|field| field.data_type()).or(context).map(plain);
        let index = placeholder.id.get(1..).and_then(|number| number.parse::<usize>().ok());
        let slot = index.and_then(|index| inferred.get_mut(index.checked_sub(1)?));
        if let (Some(slot), Some(data_type)) = (slot, data_type.filter(|data_type| *data_type != DataType::Null)) {
            let data_type = InferredType::Type(data_type);
            *slot = if *slot == InferredType::Unknown || *slot == data_type {
                data_type
            } else {
                InferredType::Conflicting
            };
        }
    };
    plan.apply_with_subqueries(|node| {
        // LIMIT and OFFSET are row counts
        let row_count_type = matches!(node, LogicalPlan::Limit(_)).then_some(DataType::Int64);
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Placeholder(placeholder) => infer(placeholder, row_count_type.as_ref()),
                    Expr::Cast(cast) => {
                        if let Expr::Placeholder(placeholder) = cast.expr.as_ref() {
                            infer(placeholder, Some(cast.field.data_type()));
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let data_type = |inferred| match inferred {
        InferredType::Type(data_type) => Some(data_type),
        InferredType::Unknown | InferredType::Conflicting => None,
    };
    Ok(names
        .into_iter()
        .zip(inferred)
        .map(|(name, inferred)| StatementParameter { name, data_type: data_type(inferred) })
        .collect())
}

/// The schema of the bound values: one column per parameter, Utf8 where the type is not known.
pub(super) fn schema(params: &[StatementParameter]) -> Schema {
    let field = |param: &StatementParameter| {
        let name = if param.name.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("${}", param.name)
        } else {
            param.name.clone()
        };
        Field::new(name, param.data_type.clone().unwrap_or(DataType::Utf8), true)
    };
    Schema::new(params.iter().map(field).collect::<Vec<_>>())
}

/// A NULL per parameter, for planning without values.
pub(super) fn nulls(params: &[StatementParameter]) -> DataFusionResult<Vec<ScalarValue>> {
    params.iter().map(|param| ScalarValue::try_from(param.data_type.as_ref().unwrap_or(&DataType::Utf8))).collect()
}

/// Converts record batches to rows of values. Columns are matched by name if their names are those of the parameters,
/// else by position.
pub(super) fn rows(params: &[StatementParameter], batches: &[RecordBatch]) -> Result<Vec<Vec<ScalarValue>>, Status> {
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
        let columns: Vec<_> = params
            .iter()
            .zip(&order)
            .map(|(param, column)| {
                let column = batch.column(*column);
                let wanted = param.data_type.clone().unwrap_or_else(|| plain(column.data_type()));
                let wanted = if wanted == DataType::Null { DataType::Utf8 } else { wanted };
                check_unit(param, column, &wanted)?;
                let strict = CastOptions { safe: false, ..Default::default() };
                cast_with_options(column, &wanted, &strict).map_err(|_| {
                    status::invalid(format!(
                        "parameter ${}: {} is wanted, and the value given, of the type {}, is none",
                        param.name,
                        type_name(&wanted),
                        type_name(column.data_type())
                    ))
                })
            })
            .collect::<Result<_, Status>>()?;
        for row in 0..batch.num_rows() {
            let value = |column: &Arc<dyn Array>| ScalarValue::try_from_array(column, row);
            let values = columns.iter().map(value).collect::<DataFusionResult<Vec<_>>>();
            rows.push(values.map_err(|error| status::fault(&error.to_string()))?);
        }
    }
    Ok(rows)
}

/// The error of more rows than an execution takes.
pub(super) fn too_many_rows() -> Status {
    status::invalid(format!("at most {MAX_ROWS} rows of parameters are taken at a time"))
}

/// Rejects numbers for an interval, as integers or as strings without a unit: a cast would take them as months or
/// nanoseconds.
fn check_unit(param: &StatementParameter, column: &Arc<dyn Array>, wanted: &DataType) -> Result<(), Status> {
    if !matches!(wanted, DataType::Interval(_) | DataType::Duration(_)) {
        return Ok(());
    }
    let fault = |text: &str, number: &str| {
        Err(status::invalid(format!("parameter ${}: {}", param.name, unit_wanted(text, number))))
    };
    let given = plain(column.data_type());
    let strings = match &given {
        DataType::Utf8 | DataType::LargeUtf8 => cast_with_options(column, &DataType::Utf8, &CastOptions::default()),
        number if number.is_numeric() => cast_with_options(column, &DataType::Utf8, &CastOptions::default()),
        _ => return Ok(()),
    };
    let strings = strings.map_err(|error| status::fault(&error.to_string()))?;
    for text in strings.as_string::<i32>().iter().flatten() {
        if let Some(number) = number_without_unit(text) {
            return fault(text, number);
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, NullArray, StringArray};
    use datafusion::arrow::datatypes::IntervalUnit;

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

    fn typed(name: &str, data_type: Option<DataType>) -> StatementParameter {
        StatementParameter { name: name.into(), data_type }
    }

    #[test]
    fn values_are_cast_to_the_parameters_type() {
        let params = [typed("1", Some(DataType::Int64)), typed("2", None), typed("3", Some(DataType::Float64))];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(Int32Array::from(vec![Some(1), None]))),
            ("b", Arc::new(StringArray::from(vec!["x", "y"]))),
            ("c", Arc::new(NullArray::new(2))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let rows = rows(&params, &[batch]).unwrap();
        let expected =
            vec![ScalarValue::Int64(Some(1)), ScalarValue::Utf8(Some("x".into())), ScalarValue::Float64(None)];
        assert_eq!(rows[0], expected);
        assert_eq!(rows[1][0], ScalarValue::Int64(None));
    }

    #[test]
    fn columns_with_the_parameters_names_come_in_any_order() {
        let params = [typed("b", None), typed("a", None)];
        let columns: Vec<(&str, ArrayRef)> =
            vec![("a", Arc::new(Int64Array::from(vec![1]))), ("b", Arc::new(Int64Array::from(vec![2])))];
        let rows = rows(&params, &[RecordBatch::try_from_iter(columns).unwrap()]).unwrap();
        assert_eq!(rows, [vec![ScalarValue::Int64(Some(2)), ScalarValue::Int64(Some(1))]]);
    }

    #[test]
    fn wrong_values_are_refused() {
        let batch = |values: Vec<&str>| {
            RecordBatch::try_from_iter([("1", Arc::new(StringArray::from(values)) as ArrayRef)]).unwrap()
        };
        let error = rows(&[typed("1", Some(DataType::Int64))], &[batch(vec!["x"])]).unwrap_err();
        assert!(error.message().contains("parameter $1: bigint is wanted"), "{error}");
        let interval = typed("1", Some(DataType::Interval(IntervalUnit::MonthDayNano)));
        let number = RecordBatch::try_from_iter([("1", Arc::new(Int64Array::from(vec![7])) as ArrayRef)]).unwrap();
        for batch in [batch(vec!["7"]), number] {
            let error = rows(std::slice::from_ref(&interval), &[batch]).unwrap_err();
            assert!(error.message().contains("parameter $1: `7` has no unit; write `7 days`"), "{error}");
        }
        assert!(rows(&[interval], &[batch(vec!["7 days"])]).is_ok());
        let two = [typed("1", None), typed("2", None)];
        assert!(rows(&two, &[batch(vec!["x"])]).unwrap_err().message().contains("2 parameters and 1 values"));
        assert!(rows(&two[..1], &[batch(vec!["x"; MAX_ROWS + 1])]).unwrap_err().message().contains("at most"));
    }
}

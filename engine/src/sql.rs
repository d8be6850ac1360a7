//! Rewrites of a parsed statement, before it is planned.
//!
//! | SQL | as | why |
//! |---|---|---|
//! | `value at time zone zone` | `timezone(zone, value)` | DataFusion plans a cast, which does not tell local times from points in time; the zone may be a column |
//! | `to_timestamp(column) at time zone zone` | `timezone(zone, text)` | the string may have an offset or not, row by row |
//! | `timestamp '9999-12-31'`, a cast of such a string | `timestamp(6) '9999-12-31'` | nanoseconds reach from 1677 to 2262 |
//! | `first_value(upper(x) ignore nulls)` | `first_value(upper(x)) ignore nulls` | the parser gives the clause to `upper`, which has no use for it, and DataFusion drops it |
//! | `interval '27:15:08'` | `interval '27 hours 15 minutes 8 seconds'` | DataFusion's planner does not read it |
//! | `mod(x, y)`, `max_by(x, y)`, `listagg(x)`, ... | other functions, see [`calls`] | DataFusion has them not |
//!
//! A program calls [`rewrite`] between parsing and planning. Without it the statement has DataFusion's meaning.

mod calls;

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Interval,
    ObjectName, Value, VisitMut, visit_expressions_mut,
};

use crate::functions::interval_text;
use crate::functions::time_zone::TIME_ZONE_FUNCTION;

/// Rewrites a statement; see the module.
pub fn rewrite_statement(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => rewrite(statement.as_mut()),
        Statement::Explain(explain) => rewrite_statement(&mut explain.statement),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => rewrite(query.as_mut()),
            CopyToSource::Relation(_) => {}
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => {}
    }
}

/// Rewrites the expressions of a statement, a query or an expression; see the module.
pub fn rewrite<T: VisitMut>(tree: &mut T) {
    let _: ControlFlow<()> = visit_expressions_mut(tree, |expr| {
        if let Some(rewritten) = calls::rewritten(expr) {
            *expr = rewritten;
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::AtTimeZone { .. } => at_time_zone(expr),
            Expr::Function(call) => outer_null_treatment(call),
            Expr::Interval(interval) => spelled_interval(interval),
            Expr::TypedString(typed) => {
                if let Value::SingleQuotedString(text) = &typed.value.value {
                    wide_timestamp(&mut typed.data_type, text);
                }
            }
            Expr::Cast { expr, data_type, .. } => {
                if let Expr::Value(value) = expr.as_ref()
                    && let Value::SingleQuotedString(text) = &value.value
                {
                    wide_timestamp(data_type, text);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
}

/// Functions that have a NULL treatment of their own.
const WITH_NULL_TREATMENT: [&str; 6] = ["first_value", "last_value", "nth_value", "lag", "lead", "array_agg"];

/// Moves a NULL treatment that the parser gave to the end of the last argument to the call itself.
fn outer_null_treatment(call: &mut Function) {
    if call.null_treatment.is_some() {
        return;
    }
    let FunctionArguments::List(list) = &mut call.args else { return };
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(last))) = list.args.last_mut()
        && let Some(inner) = trailing_call(last)
        && inner.over.is_none()
        && !WITH_NULL_TREATMENT.contains(&inner.name.to_string().to_lowercase().as_str())
    {
        call.null_treatment = inner.null_treatment.take();
    }
}

/// The call with which an expression ends.
fn trailing_call(expr: &mut Expr) -> Option<&mut Function> {
    match expr {
        Expr::Function(call) => Some(call),
        Expr::BinaryOp { right, .. } | Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => {
            trailing_call(right)
        }
        Expr::UnaryOp { expr, .. } => trailing_call(expr),
        Expr::Between { high, .. } => trailing_call(high),
        Expr::Like { pattern, escape_char: None, .. } | Expr::ILike { pattern, escape_char: None, .. } => {
            trailing_call(pattern)
        }
        _ => None,
    }
}

fn at_time_zone(expr: &mut Expr) {
    let Expr::AtTimeZone { timestamp, time_zone } = std::mem::replace(expr, Expr::Value(Value::Null.into())) else {
        return;
    };
    let args = [*time_zone, single_string(*timestamp)];
    *expr = Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(TIME_ZONE_FUNCTION)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).into(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    });
}

/// The argument of `to_timestamp(x)`; other expressions unchanged.
fn single_string(expr: Expr) -> Expr {
    if let Expr::Function(function) = &expr
        && function.name.to_string().eq_ignore_ascii_case("to_timestamp")
        && let FunctionArguments::List(list) = &function.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] = list.args.as_slice()
        // of a literal it is known whether it has an offset
        && !matches!(arg, Expr::Value(_))
    {
        return arg.clone();
    }
    expr
}

fn spelled_interval(interval: &mut Interval) {
    if let Expr::Value(value) = interval.value.as_mut()
        && let Value::SingleQuotedString(text) = &mut value.value
        && interval.leading_field.is_none()
        && let Some(spelled) = interval_text::spelled_out(text)
    {
        *text = spelled;
    }
}

/// Microseconds for years that nanoseconds do not reach.
fn wide_timestamp(data_type: &mut DataType, text: &str) {
    let year: Option<u32> = text.trim().split('-').next().and_then(|year| year.parse().ok());
    if let DataType::Timestamp(precision @ None, _) = data_type
        && year.is_some_and(|year| !(1678..2262).contains(&year))
    {
        *precision = Some(6);
    }
}

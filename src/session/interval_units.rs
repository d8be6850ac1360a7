//! Refuses intervals without a unit before a statement is planned.
//!
//! PostgreSQL reads `interval '7'` as seconds, DataFusion reads the same literal as seconds and `cast('7' as interval)`
//! as months, and its author usually means days. No reading is right, so there is none.

use std::ops::ControlFlow;

use cxql_engine::number_without_unit;
use datafusion::common::{DataFusionError, Diagnostic, Span};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer;

use crate::types::unit_wanted;

/// Checks all interval literals of a statement.
///
/// # Errors
/// The first one without a unit, with its position.
pub(super) fn check_statement(statement: &Statement) -> Result<(), DataFusionError> {
    match statement {
        Statement::Statement(statement) => check(statement.as_ref()),
        Statement::Explain(explain) => check_statement(&explain.statement),
        Statement::CopyTo(copy) => match &copy.source {
            datafusion::sql::parser::CopyToSource::Query(query) => check(query.as_ref()),
            datafusion::sql::parser::CopyToSource::Relation(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

/// As [`check_statement`], for a part of the syntax tree such as the expression of a check.
pub(super) fn check(part: &impl Visit) -> Result<(), DataFusionError> {
    match part.visit(&mut Literals) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Literals;

impl Visitor for Literals {
    type Break = Box<DataFusionError>;

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Self::Break> {
        let value = match expr {
            ast::Expr::Interval(interval) if interval.leading_field.is_none() => interval.value.as_ref(),
            ast::Expr::Cast { expr, data_type: ast::DataType::Interval { fields: None, .. }, .. } => expr.as_ref(),
            _ => return ControlFlow::Continue(()),
        };
        let value = match value {
            ast::Expr::Value(value) => value,
            ast::Expr::UnaryOp { expr, .. } if matches!(**expr, ast::Expr::Value(_)) => match expr.as_ref() {
                ast::Expr::Value(value) => value,
                _ => return ControlFlow::Continue(()),
            },
            _ => return ControlFlow::Continue(()),
        };
        let text = match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::DoubleQuotedString(text) => text.clone(),
            ast::Value::Number(number, _) => number.to_string(),
            _ => return ControlFlow::Continue(()),
        };
        match number_without_unit(&text) {
            Some(number) => ControlFlow::Break(Box::new(error(&text, number, value.span))),
            None => ControlFlow::Continue(()),
        }
    }
}

fn error(text: &str, number: &str, span: tokenizer::Span) -> DataFusionError {
    let message = format!("the interval {}", unit_wanted(text, number));
    let diagnostic = Diagnostic::new_error(message.clone(), Span::try_from_sqlparser_span(span));
    DataFusionError::Plan(message).with_diagnostic(diagnostic)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::Source;

    fn fault(text: &str) -> Option<String> {
        let statement = crate::sqlfile::statements(&Arc::new(Source::query(text))).unwrap().pop_front().unwrap();
        check_statement(&statement).err().map(|error| error.strip_backtrace())
    }

    #[test]
    fn a_number_alone_is_no_interval_wherever_it_stands() {
        for text in [
            "select interval '7'",
            "select interval 7",
            "select -interval '7'",
            "select interval '-7'",
            "select * from t where at > now() - interval '7'",
            "select * from t join u on t.at > u.at - interval '1 day 3'",
            "select sum(n) over (order by at range between interval '7' preceding and current row) from t",
            "select case when a then interval '1.5' end from t",
            "with a as (select interval '7' as x) select * from a",
            "select * from t where at in (select at + interval ' 7 ' from u)",
            "select 1 from t group by date_bin(interval '15', at) having max(at) > now() - interval '7'",
            "select cast('7' as interval)",
            "select '7'::interval",
            "select try_cast('7' as interval)",
            "explain select interval '7'",
        ] {
            let error = fault(text).unwrap_or_else(|| panic!("{text}"));
            assert!(error.contains("has no unit"), "{text}: {error}");
        }
    }

    #[test]
    fn intervals_with_units_pass() {
        for text in [
            "select interval '7 days', interval '7' day, interval 7 day, interval '1 day 3 hours', interval '90s'",
            "select cast('7 days' as interval), '2 hours'::interval, interval '1.5 months', cast(x as interval) from t",
            "select 7, '7', cast('7' as int)",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
    }
}

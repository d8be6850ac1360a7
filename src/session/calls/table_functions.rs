//! Parameters as arguments of table functions: `generate_series(1, ?)`.
//!
//! DataFusion makes the table while it plans, from constants. A parameter is replaced by its value before, by NULL as long as
//! there is none; the types of the other arguments give its type.

use std::ops::ControlFlow;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, ObjectName, Value, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::{Binder, StatementValues, encoded, folded, placeholder};
use crate::error::Result;
use crate::source::Spot;
use crate::types::{BaseType, type_name};

impl Binder<'_> {
    pub(super) fn is_table_function(&self, name: &ObjectName) -> bool {
        let function = match name.0.as_slice() {
            [part] => part.as_ident().map(folded),
            _ => None,
        };
        function.is_some_and(|function| self.state.table_functions().contains_key(&function))
    }

    /// Replaces the parameters among the arguments of a table function, which takes constants only.
    pub(super) fn function_arguments(&mut self, spot: Option<Spot>, args: &mut [FunctionArg]) -> Result<()> {
        let mut exprs: Vec<&mut Expr> = Vec::new();
        for arg in args {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
            | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. } = arg
            {
                exprs.push(expr);
            }
        }
        // the bounds have one type; the third argument of dates and timestamps is the interval from each to the next
        let constant = |expr: &Expr| if has_parameter(expr) { None } else { self.evaluated(expr).ok().flatten() };
        let bound = exprs.iter().take(2).find_map(|expr| constant(expr)).map(|value| value.data_type());
        let step = exprs.get(2).and_then(|expr| constant(expr));
        let is_step_interval = step.is_some_and(|step| matches!(step.data_type(), DataType::Interval(_)));
        let bound = match bound {
            Some(DataType::Date32) => DataType::Date32,
            Some(DataType::Timestamp(_, zone)) => DataType::Timestamp(TimeUnit::Microsecond, zone),
            _ if is_step_interval => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => DataType::Int64,
        };
        let step = if bound == DataType::Int64 { DataType::Int64 } else { BaseType::Interval.data_type() };
        for (at, expr) in exprs.into_iter().enumerate() {
            let data_type = if at < 2 { &bound } else { &step };
            let flow = visit_expressions_mut(expr, |part| match self.function_argument(spot, part, data_type) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            });
            if let ControlFlow::Break(error) = flow {
                return Err(error);
            }
            // an expression over NULL, such as that of a parameter without a value
            if self.evaluated(expr).ok().flatten().is_some_and(|value| value.is_null()) {
                *expr = Expr::Value(Value::Null.with_empty_span());
            }
        }
        Ok(())
    }

    /// Replaces a parameter by its value; as long as there is none by NULL, or by any date or timestamp.
    fn function_argument(&mut self, spot: Option<Spot>, part: &mut Expr, data_type: &DataType) -> Result<()> {
        let Some((id, number)) = placeholder(part) else { return Ok(()) };
        self.parameters.insert(number, data_type.clone());
        let value = match self.values {
            StatementValues::Later => None,
            StatementValues::Given(values) => match number.checked_sub(1).and_then(|index| values.get(index)) {
                Some(value) => Some(value).filter(|value| !value.is_null()),
                None => return Err(self.at(spot, format!("`{id}` has no value"))),
            },
        };
        // a date or timestamp without a value is another table function: any stands for it until there is one
        let stand_in = match (self.values, data_type) {
            (StatementValues::Later, DataType::Date32) => Some(ScalarValue::Date32(Some(0))),
            (StatementValues::Later, DataType::Timestamp(_, zone)) => {
                Some(ScalarValue::TimestampMicrosecond(Some(0), zone.clone()))
            }
            _ => None,
        };
        *part = match value.or(stand_in.as_ref()).map(literal) {
            None => Expr::Value(Value::Null.with_empty_span()),
            Some(Some(literal)) => literal,
            Some(None) => return Err(self.at(spot, format!("`{id}` is no {}", type_name(data_type)))),
        };
        Ok(())
    }
}

fn has_parameter(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |part| match placeholder(part) {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// A value as a literal of SQL; `None` for types that table functions do not take.
fn literal(value: &ScalarValue) -> Option<Expr> {
    let text = match value {
        ScalarValue::Int64(Some(number)) => number.to_string(),
        value => {
            let name = match value.data_type() {
                DataType::Date32 => "date",
                DataType::Timestamp(_, None) => "timestamp",
                DataType::Timestamp(_, Some(_)) => "timestamptz",
                DataType::Interval(_) => "interval",
                _ => return None,
            };
            format!("{name} {}", encoded(value)?)
        }
    };
    Parser::new(&GenericDialect {}).try_with_sql(&text).ok()?.parse_expr().ok()
}

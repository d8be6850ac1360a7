//! Arguments of table functions: `generate_series(timestamp '2025-03-29 08:00', ...)`.
//!
//! DataFusion computes them while it plans, by Arrow's casts, which read no time without seconds; rules of a plan do not reach them.
//! The strings of casts get their seconds here. Part of [`rewrite`](super::rewrite).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, TableFactor, Value, VisitorMut, visit_expressions_mut,
};

use crate::functions::temporal_cast::padded;

/// Completes the timestamps in all arguments of table functions.
pub(super) struct TableArguments;

impl VisitorMut for TableArguments {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let args = match factor {
            TableFactor::Table { args: Some(args), .. } => &mut args.args,
            TableFactor::Function { args, .. } => args,
            _ => return ControlFlow::Continue(()),
        };
        for arg in args {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
            | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. } = arg
            {
                // it never breaks off
                let _: ControlFlow<()> = visit_expressions_mut(expr, |part| {
                    complete(part);
                    ControlFlow::Continue(())
                });
            }
        }
        ControlFlow::Continue(())
    }
}

fn complete(expr: &mut Expr) {
    let (data_type, value) = match expr {
        Expr::TypedString(typed) => (&typed.data_type, &mut typed.value.value),
        Expr::Cast { expr, data_type, .. } => match expr.as_mut() {
            Expr::Value(value) => (&*data_type, &mut value.value),
            _ => return,
        },
        _ => return,
    };
    if let (DataType::Timestamp(..), Value::SingleQuotedString(text)) = (data_type, value)
        && let Some(full) = padded(text.trim())
    {
        *text = full;
    }
}

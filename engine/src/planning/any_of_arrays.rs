//! [`AnyOfArrays`]: `x = any(array)` is three-valued.
//!
//! ```text
//!  x = ANY (array)    ->    NOT (x <> ALL (array))
//! ```
//! | array | x | `x = ANY (array)` |
//! |---|---|---|
//! | 1, NULL | 1 | true |
//! | 1, NULL | 2 | NULL (DataFusion 55.2: false) |
//! | empty | NULL | false (DataFusion 55.2: NULL) |
//!
//! DataFusion plans ANY over arrays as `array_has` or a comparison with the smallest or largest element, which ignore NULL,
//! and ALL in three-valued logic (no issue was found). Switch: `cxql.engine.sql_rewrites`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, VisitorMut};

/// Writes ANY over arrays as ALL. ANY over a subquery stays.
pub(super) struct AnyOfArrays;

impl VisitorMut for AnyOfArrays {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::AnyOp { left, compare_op, right, .. } = expr
            && !matches!(right.as_ref(), Expr::Subquery(_))
            && let Some(compare_op) = negated(compare_op)
        {
            let all = Expr::AllOp { left: left.clone(), compare_op, right: right.clone() };
            let all = Box::new(Expr::Nested(Box::new(all)));
            *expr = Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: all }));
        }
        ControlFlow::Continue(())
    }
}

fn negated(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        _ => return None,
    })
}

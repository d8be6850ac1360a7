//! [`RowIn`]: `(a, b) in (select ...)` in WHERE, as EXISTS.
//!
//! ```text
//!  (a, b) IN (S)        ->    EXISTS (SELECT 1 FROM (S) AS __row (__row_0, __row_1) WHERE a = __row_0 AND b = __row_1)
//!  (a, b) NOT IN (S)    ->    NOT EXISTS (... WHERE (a = __row_0) IS NOT FALSE AND (b = __row_1) IS NOT FALSE)
//! ```
//! | S | (a, b) | IN | NOT IN |
//! |---|---|---|---|
//! | (1, NULL) | (1, 2) | NULL | NULL |
//! | (1, NULL) | (2, 2) | false | true |
//!
//! In WHERE, alone or beside AND, NULL is as good as false. Elsewhere it is not, and such a comparison is an error:
//! DataFusion 55.2 has subqueries of one column only. Switch: `cxql.engine.sql_rewrites`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, Select, SetExpr, TableFactor, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Rewrites comparisons of rows with subqueries.
#[derive(Default)]
pub(super) struct RowIn {
    /// The first comparison that is not supported.
    pub(super) refused: Option<String>,
}

impl VisitorMut for RowIn {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let Some(condition) = &mut select.selection {
            rewrite(condition);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::InSubquery { expr: row, negated, .. } = expr
            && matches!(row.as_ref(), Expr::Tuple(_))
        {
            let not = if *negated { "not " } else { "" };
            self.refused.get_or_insert(format!(
                "{row} {not}in (select ...) stands alone or beside AND in WHERE only: write {not}exists (select 1 from ... where ...)"
            ));
        }
        ControlFlow::Continue(())
    }
}

/// Rewrites the conditions of a conjunction.
fn rewrite(condition: &mut Expr) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            rewrite(left);
            rewrite(right);
        }
        Expr::Nested(inner) => rewrite(inner),
        Expr::InSubquery { expr, subquery, negated } => {
            if let Expr::Tuple(row) = expr.as_ref()
                && let Some(exists) = exists(row, subquery, *negated)
            {
                *condition = exists;
            }
        }
        _ => {}
    }
}

/// EXISTS for a row; `None` if the template does not parse.
fn exists(row: &[Expr], rows: &Query, is_negated: bool) -> Option<Expr> {
    let columns: Vec<String> = (0..row.len()).map(|n| format!("__row_{n}")).collect();
    let equal = |column: &String| {
        if is_negated { format!("(1 = {column}) is not false") } else { format!("1 = {column}") }
    };
    let conditions: Vec<String> = columns.iter().map(equal).collect();
    let template = format!(
        "{}exists (select 1 from (select 1) as __row ({}) where {})",
        if is_negated { "not " } else { "" },
        columns.join(", "),
        conditions.join(" and ")
    );
    let mut exists = Parser::new(&GenericDialect {}).try_with_sql(&template).ok()?.parse_expr().ok()?;
    let inner = match &mut exists {
        Expr::UnaryOp { expr, .. } => expr.as_mut(),
        exists => exists,
    };
    let Expr::Exists { subquery, .. } = inner else { return None };
    let SetExpr::Select(select) = subquery.body.as_mut() else { return None };
    let [from] = select.from.as_mut_slice() else { return None };
    let TableFactor::Derived { subquery, .. } = &mut from.relation else { return None };
    **subquery = rows.clone();
    let mut values = row.iter().rev();
    set_left_sides(select.selection.as_mut()?, &mut values);
    values.next().is_none().then_some(exists)
}

/// Puts the values in place of the constants of the template, the last one first.
fn set_left_sides<'a>(condition: &mut Expr, values: &mut impl Iterator<Item = &'a Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            set_left_sides(right, values);
            set_left_sides(left, values);
        }
        Expr::BinaryOp { left, .. } => {
            if let Some(value) = values.next() {
                **left = Expr::Nested(Box::new(value.clone()));
            }
        }
        Expr::IsNotFalse(inner) | Expr::Nested(inner) => set_left_sides(inner, values),
        _ => {}
    }
}

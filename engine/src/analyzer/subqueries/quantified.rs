//! `IN`, `ANY` and `ALL` as EXISTS, in three-valued logic.
//!
//! ```text
//!  x = ANY (S)    CASE WHEN EXISTS (S WHERE x = y) THEN true
//!                      WHEN EXISTS (S WHERE y IS NULL) OR (x IS NULL AND EXISTS (S)) THEN NULL
//!                      ELSE false END
//!  x IN (S)       x = ANY (S)            x NOT IN (S)    NOT (x = ANY (S))
//!  x >= ALL (S)   NOT (x < ANY (S))
//! ```
//! | S | x | `x = ANY (S)` | `x <> ALL (S)`, `x NOT IN (S)` |
//! |---|---|---|---|
//! | empty | NULL | false | true |
//! | 1 | NULL | NULL | NULL |
//! | 1, NULL | 1 | true | false |
//! | 1, NULL | 2 | NULL | NULL |
//!
//! Where the subquery does not depend on the row, an inequality needs its smallest or largest value only.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema, Result, ScalarValue, Spans, plan_err};
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, when,
};

use super::{Names, columns_of, has_outer_references};

/// `value op ANY (subquery)`, or with `is_all` `value op ALL (subquery)`; `schema` is that of the columns of `value`.
pub(super) fn quantified(
    value: &Expr,
    op: Operator,
    is_all: bool,
    subquery: &LogicalPlan,
    schema: &DFSchema,
    names: &mut Names,
) -> Result<Expr> {
    if subquery.schema().fields().len() != 1 {
        return plan_err!(
            "the subquery to the right of IN, ANY or ALL has one column, got {}",
            subquery.schema().fields().len()
        );
    }
    let op = match (is_all, op.negate()) {
        (false, _) => op,
        (true, Some(negated)) => negated,
        (true, None) => return plan_err!("{op} ALL (...) is not supported: write NOT EXISTS"),
    };
    let (set, element) = aliased(subquery, names)?;
    let is_nullable = set.schema().field(0).is_nullable();
    let outer = outer_references(value.clone(), schema)?;

    let mut candidates = LogicalPlanBuilder::from(set.clone());
    if !has_outer_references(&set) && op != Operator::Eq {
        candidates = candidates.filter(element.clone().is_not_null())?;
        candidates = match op {
            Operator::Gt | Operator::GtEq => candidates.sort([element.clone().sort(true, false)])?.limit(0, Some(1))?,
            Operator::Lt | Operator::LtEq => {
                candidates.sort([element.clone().sort(false, false)])?.limit(0, Some(1))?
            }
            Operator::NotEq => candidates.distinct()?.limit(0, Some(2))?,
            _ => candidates,
        };
    }
    let compared = Expr::BinaryExpr(BinaryExpr::new(Box::new(outer), op, Box::new(element.clone())));
    let mut cases = when(exists(candidates.filter(compared)?.build()?), lit(true));
    let null = Expr::Literal(ScalarValue::Boolean(None), None);
    if is_nullable {
        let with_null = LogicalPlanBuilder::from(set.clone()).filter(element.is_null())?.build()?;
        cases = cases.when(exists(with_null), null.clone());
    }
    if value.nullable(schema)? {
        cases = cases.when(value.clone().is_null().and(exists(set)), null);
    }
    let any = cases.otherwise(lit(false))?;
    Ok(if is_all { !any } else { any })
}

/// The rows of a subquery that are equal to `value`.
pub(super) fn matching(
    value: &Expr,
    subquery: &LogicalPlan,
    schema: &DFSchema,
    names: &mut Names,
) -> Result<LogicalPlan> {
    let (set, element) = aliased(subquery, names)?;
    LogicalPlanBuilder::from(set).filter(outer_references(value.clone(), schema)?.eq(element))?.build()
}

/// A subquery of one column under a name that is used nowhere else, and the column.
fn aliased(subquery: &LogicalPlan, names: &mut Names) -> Result<(LogicalPlan, Expr)> {
    let column = columns_of(subquery.schema()).swap_remove(0);
    let set = LogicalPlanBuilder::from(subquery.clone())
        .project([Expr::Column(column).alias("value")])?
        .alias(names.next("__set"))?
        .build()?;
    let element = Expr::Column(columns_of(set.schema()).swap_remove(0));
    Ok((set, element))
}

/// EXISTS over a plan.
pub(super) fn exists(plan: LogicalPlan) -> Expr {
    Expr::Exists(Exists { subquery: subquery(plan), negated: false })
}

/// A subquery with its references to outer columns.
pub(super) fn subquery(plan: LogicalPlan) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: Spans::new() }
}

/// An expression of the outer query within a subquery.
fn outer_references(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        expr => Ok(Transformed::no(expr)),
    })?;
    Ok(expr.data)
}

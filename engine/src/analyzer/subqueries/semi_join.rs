//! Conditions of WHERE that are semi or anti joins: which ones DataFusion makes, and those that are made here.

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder};

use super::pull_up::{joined, pull_up};
use super::{Names, has_outer_references, has_subquery, outer_columns, quantified, without_irrelevant};

/// Returns true if a subquery in FROM reads outer columns: DataFusion looks for its columns under the alias, where they are not.
fn reads_outer_below_alias(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|plan| Ok(matches!(plan, LogicalPlan::SubqueryAlias(alias) if has_outer_references(&alias.input))))
}

/// The input of a condition `x IN (subquery)` that reads outer columns, or of `[NOT] EXISTS` that DataFusion joins wrongly,
/// joined to the subquery; `None` for others.
pub(super) fn semi_join(expr: &Expr, input: &LogicalPlan, names: &mut Names) -> Result<Option<LogicalPlan>> {
    let (is_not, expr) = match expr {
        Expr::Not(expr) => (true, expr.as_ref()),
        expr => (false, expr),
    };
    let (found, join_type, is_exists) = match expr {
        Expr::InSubquery(InSubquery { expr: value, subquery, negated: false }) if !is_not && !has_subquery(value) => {
            if !has_outer_references(&subquery.subquery) {
                return Ok(None);
            }
            (quantified::matching(value, &subquery.subquery, input.schema(), names)?, JoinType::LeftSemi, false)
        }
        Expr::Exists(exists) => {
            let is_anti = exists.negated != is_not;
            let join_type = if is_anti { JoinType::LeftAnti } else { JoinType::LeftSemi };
            (without_irrelevant(&exists.subquery.subquery)?, join_type, true)
        }
        _ => return Ok(None),
    };
    let (columns, has_others) = outer_columns(&found, input.schema());
    if columns.is_empty() || has_others {
        return Ok(None);
    }
    let Some(pulled_up) = pull_up(&found, names)? else { return Ok(None) };
    if is_exists && !pulled_up.compares_floats() && !reads_outer_below_alias(&found)? {
        return Ok(None);
    }
    let (right, _, conditions) = pulled_up.keys_only(names)?;
    let joined = LogicalPlanBuilder::from(input.clone()).join_on(right, join_type, joined(conditions)?)?;
    Ok(Some(joined.build()?))
}

/// Returns true for a condition of WHERE that DataFusion makes a semi or anti join of, rightly.
pub(super) fn is_semi_join(expr: &Expr, schema: &DFSchema, names: &mut Names) -> Result<bool> {
    let (is_not, expr) = match expr {
        Expr::Not(expr) => (true, expr.as_ref()),
        expr => (false, expr),
    };
    let (subquery, is_plain) = match expr {
        Expr::Exists(exists) => (&exists.subquery, true),
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            // the null-aware anti join of DataFusion loses NULLs to conditions that it infers
            let has_nulls = expr.nullable(schema)? || subquery.subquery.schema().field(0).is_nullable();
            let is_column = matches!(expr.as_ref(), Expr::Column(_));
            (subquery, !has_subquery(expr) && (*negated == is_not || (is_column && !has_nulls)))
        }
        _ => return Ok(false),
    };
    let (_, has_others) = outer_columns(&subquery.subquery, schema);
    let is_plain = is_plain && !reads_outer_below_alias(&subquery.subquery)?;
    let pulled_up = if is_plain && !has_others { pull_up(&subquery.subquery, names)? } else { None };
    Ok(pulled_up.is_some_and(|pulled_up| !pulled_up.compares_floats()))
}

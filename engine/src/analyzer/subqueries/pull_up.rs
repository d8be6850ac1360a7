//! Conditions on outer columns, taken out of a subquery that consists of filters, projections and inner joins only.
//!
//! ```text
//!  SubqueryAlias: s                          Filter of the join: o.k = s.__key_1 AND s.__key_2 > o.n
//!    Projection: t.a                         SubqueryAlias: s
//!      Filter: t.k = outer(o.k)         ->     Projection: t.a, t.k AS __key_1, t.n AS __key_2
//!              AND t.n > outer(o.n)              Filter: t.a > 0
//!              AND t.a > 0                         TableScan: t
//!        TableScan: t
//! ```
//! DataFusion's rules do the same, but find inner columns in the conditions by name, so that columns of the outer and the
//! inner query with equal qualified names are confused.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, lit};

use super::{Names, columns_of, has_outer_references};

/// A subquery without its conditions on outer columns.
pub(super) struct PulledUp {
    pub(super) plan: LogicalPlan,
    /// The conditions: outer columns are references, inner ones columns of the plan.
    pub(super) conditions: Vec<Expr>,
}

/// Takes the conditions on outer columns out of a subquery; `None` if it has an operator through which they cannot pass.
pub(super) fn pull_up(plan: &LogicalPlan, names: &mut Names) -> Result<Option<PulledUp>> {
    if !has_outer_references(plan) {
        return Ok(Some(PulledUp { plan: plan.clone(), conditions: vec![] }));
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            let Some(PulledUp { plan, mut conditions }) = pull_up(&filter.input, names)? else { return Ok(None) };
            let conjuncts = split_conjunction_owned(filter.predicate.clone());
            let (outer, own): (Vec<_>, Vec<_>) = conjuncts.into_iter().partition(Expr::contains_outer);
            conditions.extend(outer);
            let mut plan = LogicalPlanBuilder::from(plan);
            if let Some(own) = conjunction(own) {
                plan = plan.filter(own)?;
            }
            Ok(Some(PulledUp { plan: plan.build()?, conditions }))
        }
        LogicalPlan::Projection(projection) if !projection.expr.iter().any(Expr::contains_outer) => {
            let Some(PulledUp { plan, conditions }) = pull_up(&projection.input, names)? else { return Ok(None) };
            let mut exprs = projection.expr.clone();
            let conditions = expose(conditions, |column| {
                let name = names.next("__key");
                exprs.push(Expr::Column(column.clone()).alias(name.as_str()));
                Column::new_unqualified(name)
            })?;
            Ok(Some(PulledUp { plan: LogicalPlanBuilder::from(plan).project(exprs)?.build()?, conditions }))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(PulledUp { plan, conditions }) = pull_up(&alias.input, names)? else { return Ok(None) };
            let mut exprs = columns_of(alias.input.schema()).into_iter().map(Expr::Column).collect::<Vec<_>>();
            let conditions = expose(conditions, |column| {
                let name = names.next("__key");
                exprs.push(Expr::Column(column.clone()).alias(name.as_str()));
                Column::new(Some(alias.alias.clone()), name)
            })?;
            let plan = LogicalPlanBuilder::from(plan).project(exprs)?.alias(alias.alias.clone())?.build()?;
            Ok(Some(PulledUp { plan, conditions }))
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let (Some(left), Some(right)) = (pull_up(&join.left, names)?, pull_up(&join.right, names)?) else {
                return Ok(None);
            };
            if join.on.iter().any(|(left, right)| left.contains_outer() || right.contains_outer()) {
                return Ok(None);
            }
            let conjuncts = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
            let (outer, own): (Vec<_>, Vec<_>) = conjuncts.into_iter().partition(Expr::contains_outer);
            let mut join = join.clone();
            (join.left, join.right) = (Arc::new(left.plan), Arc::new(right.plan));
            join.filter = conjunction(own);
            let plan = LogicalPlan::Join(join).recompute_schema()?;
            Ok(Some(PulledUp { plan, conditions: [left.conditions, right.conditions, outer].concat() }))
        }
        _ => Ok(None),
    }
}

/// Returns true if an expression reads a float, of the outer query or of `schema`.
pub(super) fn reads_float(expr: &Expr, schema: &DFSchema) -> bool {
    let is_float = |expr: &Expr| Ok(expr.get_type(schema).is_ok_and(|data_type| data_type.is_floating()));
    // the closure returns no error
    expr.exists(is_float).unwrap_or(true)
}

impl PulledUp {
    /// Returns true if a condition reads floats.
    pub(super) fn compares_floats(&self) -> bool {
        self.conditions.iter().any(|condition| reads_float(condition, self.plan.schema()))
    }

    /// Only the columns that the conditions read, under an alias that is used nowhere else.
    pub(super) fn keys_only(self, names: &mut Names) -> Result<(LogicalPlan, String, Vec<Expr>)> {
        let alias = names.next("__exists");
        let mut exprs = vec![];
        let conditions = expose(self.conditions, |column| {
            let name = format!("k{}", exprs.len());
            exprs.push(Expr::Column(column.clone()).alias(name.as_str()));
            Column::new(Some(alias.as_str()), name)
        })?;
        if exprs.is_empty() {
            exprs.push(lit(true).alias("k0"));
        }
        let plan = LogicalPlanBuilder::from(self.plan).project(exprs)?.alias(alias.as_str())?.build()?;
        Ok((plan, alias, conditions))
    }
}

/// Replaces the inner columns of conditions; `name` is asked once per column.
fn expose(conditions: Vec<Expr>, mut name: impl FnMut(&Column) -> Column) -> Result<Vec<Expr>> {
    let mut exposed: HashMap<Column, Column> = HashMap::new();
    let conditions = conditions.into_iter().map(|condition| {
        let condition = condition.transform_up(|expr| match &expr {
            Expr::Column(column) => {
                let exposed = exposed.entry(column.clone()).or_insert_with(|| name(column));
                Ok(Transformed::yes(Expr::Column(exposed.clone())))
            }
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(condition.data)
    });
    conditions.collect()
}

/// Conditions of a join: outer columns are columns of its left side.
pub(super) fn joined(conditions: Vec<Expr>) -> Result<Vec<Expr>> {
    let conditions = conditions.into_iter().map(|condition| {
        let condition = condition.transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(condition.data)
    });
    conditions.collect()
}

/// A plan's `columns` as `value`, `v1` and so on, and what the conditions read, under `alias`.
pub(super) fn under_alias(
    plan: LogicalPlan,
    columns: Vec<Column>,
    conditions: Vec<Expr>,
    alias: &str,
) -> Result<(LogicalPlan, Vec<Expr>)> {
    let name = |n: usize| if n == 0 { "value".to_string() } else { format!("v{n}") };
    let mut exprs: Vec<Expr> =
        columns.into_iter().enumerate().map(|(n, column)| Expr::Column(column).alias(name(n))).collect();
    let mut count = 0;
    let conditions = expose(conditions, |column| {
        let name = format!("k{count}");
        count += 1;
        exprs.push(Expr::Column(column.clone()).alias(name.as_str()));
        Column::new(Some(alias), name)
    })?;
    Ok((LogicalPlanBuilder::from(plan).project(exprs)?.alias(alias)?.build()?, conditions))
}

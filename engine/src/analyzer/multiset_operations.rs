//! [`MultisetOperations`]: `INTERSECT ALL` and `EXCEPT ALL` count duplicates.
//!
//! ```text
//!  LeftAnti Join: a.x = b.x                Projection: a.x
//!    TableScan: a                    ->      LeftAnti Join: a.x = b.x, a.__copy = b.__copy
//!    TableScan: b                              Projection: a.x, row_number() PARTITION BY a.x AS __copy
//!                                                TableScan: a
//!                                              Projection: b.x, row_number() PARTITION BY b.x AS __copy
//!                                                TableScan: b
//! ```
//! The n-th copy of a row on the left meets the n-th copy on the right: a row that is m times on the left and n times on
//! the right is min(m, n) times in the intersection and max(m - n, 0) times in the difference (SQL:2016, 7.17).
//! DataFusion plans both without counting: a row of the left side is kept as often as it is there, or not at all
//! (<https://github.com/apache/datafusion/issues/12955>, <https://github.com/apache/datafusion/issues/12956>). Switch:
//! `cxql.engine.multiset_operations`.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, NullEquality, Result};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

/// Numbers the copies of rows on both sides of `INTERSECT ALL` and `EXCEPT ALL`.
#[derive(Debug)]
pub(crate) struct MultisetOperations;

impl AnalyzerRule for MultisetOperations {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) if is_multiset_operation(&join) => Ok(Transformed::yes(with_copies(join)?)),
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(plan.data)
    }

    fn name(&self) -> &str {
        "multiset_operations"
    }
}

/// Before optimization only set operations have joins in which NULL equals NULL. Without ALL the left side is distinct,
/// and where it is so anyway both forms have the same rows.
fn is_multiset_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_))
}

/// The number of a copy among equal rows.
const COPY: &str = "__copy";

fn with_copies(join: Join) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = join.left.schema().iter().map(|field| Expr::Column(Column::from(field))).collect();
    let left = numbered(join.left.as_ref().clone())?;
    let right = numbered(join.right.as_ref().clone())?;
    let mut join = Join { left: left.into(), right: right.into(), ..join };
    let copy = || Expr::Column(Column::new_unqualified(COPY));
    join.on.push((copy(), copy()));
    let joined = LogicalPlan::Join(join).recompute_schema()?;
    LogicalPlanBuilder::from(joined).project(columns)?.build()
}

fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().iter().map(|field| Expr::Column(Column::from(field))).collect();
    let number = row_number().partition_by(columns.clone()).build()?;
    let name = number.schema_name().to_string();
    let columns = columns.into_iter().chain([Expr::Column(Column::new_unqualified(name)).alias(COPY)]);
    LogicalPlanBuilder::from(plan).window([number])?.project(columns.collect::<Vec<_>>())?.build()
}

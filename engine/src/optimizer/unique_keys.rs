//! [`UniqueKeys`]: windows are evaluated over the rows of repeated keys only.
//!
//! ```text
//!  FilterExec: n = 1                         UniqueKeysExec: keys=[id]
//!    HashWindowAggExec: row_number() n         ProjectionExec: id                 keys
//!      DataSourceExec: contacts           ->     DataSourceExec: contacts
//!                                              DataSourceExec: contacts           rows
//!                                              ProjectionExec: ..., 1 as n        unique: n = 1 is true
//!                                                SplitRowsExec: rows=unique
//!                                              FilterExec: n = 1                  windows
//!                                                HashWindowAggExec: row_number() n
//!                                                  SplitRowsExec: rows=repeated
//! ```
//! The page of the module `unique_keys` says when. Switch: `cxql.engine.unique_keys`.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::new_null_array;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal, lit};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{replace_children_if_necessary, reset_plan_states};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use crate::EngineOptions;
use crate::clustering::column_source;
use crate::exec_util::{columns_of, statistics_of};
use crate::unique_keys::{Inputs, KeyScanCache, PositionScan, SplitRows, SplitRowsExec, UniqueKeysExec, narrowed};
use crate::window::{HashWindowAggExec, WindowCall};

type Plan = Arc<dyn ExecutionPlan>;

/// Replaces stacks of windows by a [`UniqueKeysExec`].
#[derive(Debug, Default)]
pub(crate) struct UniqueKeys {
    cache: Arc<KeyScanCache>,
}

impl PhysicalOptimizerRule for UniqueKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_down(|plan| match self.split(&plan, config)? {
            Some(split) => Ok(Transformed::new(split, true, TreeNodeRecursion::Jump)),
            None => Ok(Transformed::no(plan)),
        })?;
        Ok(plan.data)
    }

    fn name(&self) -> &str {
        "unique_keys"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl UniqueKeys {
    /// The operator in place of the stack of which `plan` is the top; `None` if it is none.
    fn split(&self, plan: &Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some((stack, rows)) = stack_of(plan) else { return Ok(None) };
        if !is_repeatable(rows)? || !has_rows(rows, EngineOptions::of(config).unique_keys_min_rows)? {
            return Ok(None);
        }
        let Some(columns) = common_keys(&stack).filter(|columns| !columns.is_empty()) else { return Ok(None) };
        let columns: Vec<usize> = columns.into_iter().collect();
        let rows = divided(Arc::clone(rows), config)?;
        let Some(unique) = unique_rows(&stack, &rows)? else { return Ok(None) };
        let all: Vec<usize> = (0..unique.schema().fields().len()).collect();
        let unique = narrowed(&unique, &all)?;
        let mut windows: Arc<dyn ExecutionPlan> = Arc::new(SplitRowsExec::new(SplitRows::Windows, &rows)?);
        for operator in stack.iter().rev() {
            windows = replace_children_if_necessary(Arc::clone(operator), vec![windows])?;
        }
        // a scan of its own: one hands its files to its partitions once
        let keys = narrowed(&reset_plan_states(Arc::clone(&rows))?, &columns)?;
        let positions = PositionScan::try_new(&rows, &columns, config)?.map(Arc::new);
        let inputs = Inputs { keys, rows, unique, windows };
        Ok(Some(Arc::new(UniqueKeysExec::new(inputs, columns, positions, Arc::clone(&self.cache)))))
    }
}

/// The windows, filters and projections from `top` to the lowest window, and the input of that.
fn stack_of(top: &Plan) -> Option<(Vec<&Plan>, &Plan)> {
    let (mut stack, mut lowest) = (vec![], 0);
    let mut plan = top;
    while is_row_by_row(plan) || plan.is::<HashWindowAggExec>() {
        stack.push(plan);
        if let Some(window) = plan.downcast_ref::<HashWindowAggExec>() {
            if window.has_projection() {
                return None;
            }
            lowest = stack.len();
        }
        plan = plan.children().first().copied()?;
    }
    stack.truncate(lowest);
    let rows = stack.last()?.children().first().copied()?;
    Some((stack, rows))
}

/// Whether an operator is a filter or a projection that has the same result for a row in whatever company.
fn is_row_by_row(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return filter.fetch().is_none() && !is_volatile(filter.predicate());
    }
    plan.downcast_ref::<ProjectionExec>()
        .is_some_and(|projection| projection.expr().iter().all(|expr| !is_volatile(&expr.expr)))
}

/// Whether a plan can be executed twice with the same rows, without more than reading them.
fn is_repeatable(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let source = scan.data_source();
        return Ok(scan.fetch().is_none() && (source.is::<FileScanConfig>() || source.is::<MemorySourceConfig>()));
    }
    match plan.children().as_slice() {
        [input] if is_row_by_row(plan) => is_repeatable(input),
        _ => Ok(false),
    }
}

/// Whether a plan has so many rows, as far as known.
fn has_rows(plan: &Arc<dyn ExecutionPlan>, least: usize) -> Result<bool> {
    let rows = statistics_of(plan)?.num_rows;
    Ok(rows.get_value().is_none_or(|&rows| rows >= least))
}

/// The columns of the input of a stack by which all its windows are partitioned.
fn common_keys(stack: &[&Arc<dyn ExecutionPlan>]) -> Option<BTreeSet<usize>> {
    let windows = stack.iter().enumerate().filter_map(|(index, plan)| {
        let window = plan.downcast_ref::<HashWindowAggExec>()?.windows().first()?;
        let columns = window.partition_by().iter().filter_map(|key| {
            let mut column = key.downcast_ref::<Column>()?.index();
            column = window_input(plan, column)?;
            stack[index + 1..].iter().try_fold(column, |column, plan| match plan.downcast_ref::<HashWindowAggExec>() {
                Some(_) => window_input(plan, column),
                None => column_source(plan, column).map(|source| source.column),
            })
        });
        Some(columns.collect::<BTreeSet<usize>>())
    });
    windows.reduce(|left, right| &left & &right)
}

/// A column of the input of a window; `None` if it is the result of a function.
fn window_input(window: &Arc<dyn ExecutionPlan>, column: usize) -> Option<usize> {
    let width = window.children().first()?.schema().fields().len();
    (column < width).then_some(column)
}

/// The plan with its scan divided among the threads, as `EnsureRequirements` does it below an operator that benefits.
fn divided(plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    if !config.optimizer.repartition_file_scans {
        return Ok(plan);
    }
    let plan = plan.transform_up(|plan| match plan.is::<DataSourceExec>() {
        true => match plan.repartitioned(config.execution.target_partitions, config)? {
            Some(divided) => Ok(Transformed::yes(divided)),
            None => Ok(Transformed::no(plan)),
        },
        false => Ok(Transformed::no(plan)),
    })?;
    Ok(plan.data)
}

/// The stack for rows that are alone with their key: constants and columns in place of window functions. `None` if the value of a
/// function is not known.
fn unique_rows(
    stack: &[&Arc<dyn ExecutionPlan>],
    rows: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let leaf = |part| SplitRowsExec::new(part, rows).map(|leaf| Arc::new(leaf) as Arc<dyn ExecutionPlan>);
    match unique_stack(stack, leaf(SplitRows::Unique)?)? {
        // no such row passes: none is emitted, and the stack is there for its schema
        Some(Unique { has_rows: false, .. }) => {
            Ok(unique_stack(stack, leaf(SplitRows::Discarded)?)?.map(|unique| unique.plan))
        }
        unique => Ok(unique.map(|unique| unique.plan)),
    }
}

struct Unique {
    plan: Arc<dyn ExecutionPlan>,
    /// False if a filter drops all rows.
    has_rows: bool,
}

fn unique_stack(stack: &[&Arc<dyn ExecutionPlan>], leaf: Arc<dyn ExecutionPlan>) -> Result<Option<Unique>> {
    let mut constants: Vec<Option<ScalarValue>> = vec![None; leaf.schema().fields().len()];
    let mut unique = Unique { plan: leaf, has_rows: true };
    for operator in stack.iter().rev() {
        let schema = unique.plan.schema();
        let exprs: Vec<ProjectionExpr>;
        if let Some(window) = operator.downcast_ref::<HashWindowAggExec>() {
            let mut all = columns_of(&unique.plan, 0..schema.fields().len());
            for (expr, field) in window.windows().iter().zip(&operator.schema().fields()[all.len()..]) {
                let value = WindowCall::new(expr, &schema).ok().and_then(|call| call.single_row_value(&schema));
                let Some(value) = value else { return Ok(None) };
                all.push(ProjectionExpr { expr: folded(&value, &constants)?, alias: field.name().clone() });
            }
            exprs = all;
        } else if let Some(projection) = operator.downcast_ref::<ProjectionExec>() {
            let fold = |expr: &ProjectionExpr| {
                Ok(ProjectionExpr { expr: folded(&expr.expr, &constants)?, alias: expr.alias.clone() })
            };
            exprs = projection.expr().iter().map(fold).collect::<Result<_>>()?;
        } else if let Some(filter) = operator.downcast_ref::<FilterExec>() {
            let predicate = folded(filter.predicate(), &constants)?;
            let passes = predicate.downcast_ref::<Literal>().map(|value| value.value() == &ScalarValue::from(true));
            unique.has_rows &= passes != Some(false);
            let output: Vec<usize> = match filter.projection() {
                Some(columns) => columns.to_vec(),
                None => (0..schema.fields().len()).collect(),
            };
            if passes != Some(true) {
                let builder = FilterExecBuilder::from(filter).with_input(Arc::clone(&unique.plan));
                unique.plan = Arc::new(builder.with_predicate(predicate).build()?);
                constants = output.iter().map(|&column| constants[column].clone()).collect();
                continue;
            }
            if filter.projection().is_none() {
                continue;
            }
            exprs = columns_of(&unique.plan, output);
        } else {
            return Ok(None);
        }
        constants = exprs.iter().map(|expr| constant(&expr.expr, &constants)).collect();
        unique.plan = Arc::new(ProjectionExec::try_new(exprs, unique.plan)?);
    }
    Ok(Some(unique))
}

/// The value of an expression that is a constant, or a column that is one.
fn constant(expr: &Arc<dyn PhysicalExpr>, constants: &[Option<ScalarValue>]) -> Option<ScalarValue> {
    match expr.downcast_ref::<Column>() {
        Some(column) => constants.get(column.index())?.clone(),
        None => Some(expr.downcast_ref::<Literal>()?.value().clone()),
    }
}

/// The expression with constants for columns, and evaluated as far as they reach. What cannot be evaluated stays.
fn folded(expr: &Arc<dyn PhysicalExpr>, constants: &[Option<ScalarValue>]) -> Result<Arc<dyn PhysicalExpr>> {
    let is_true = |expr: &Arc<dyn PhysicalExpr>| {
        expr.downcast_ref::<Literal>().and_then(|literal| match literal.value() {
            ScalarValue::Boolean(value) => *value,
            _ => None,
        })
    };
    let expr = Arc::clone(expr).transform_up(|expr| {
        if expr.is::<Column>() {
            return Ok(match constant(&expr, constants) {
                Some(value) => Transformed::yes(lit(value)),
                None => Transformed::no(expr),
            });
        }
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
            && let (Operator::And | Operator::Or, left, right) = (binary.op(), binary.left(), binary.right())
        {
            // the operand that decides, and the one that does not matter
            let decides = binary.op() == &Operator::Or;
            for (operand, other) in [(left, right), (right, left)] {
                match is_true(operand) {
                    Some(value) if value == decides => return Ok(Transformed::yes(lit(decides))),
                    Some(_) => return Ok(Transformed::yes(Arc::clone(other))),
                    None => {}
                }
            }
        }
        let children = expr.children();
        if children.is_empty() || !children.iter().all(|child| child.is::<Literal>()) {
            return Ok(Transformed::no(expr));
        }
        let row = RecordBatch::try_from_iter([("none", new_null_array(&DataType::Null, 1))])?;
        let value = expr.evaluate(&row).and_then(|value| value.into_array(1));
        match value.and_then(|value| ScalarValue::try_from_array(&value, 0)) {
            Ok(value) => Ok(Transformed::yes(lit(value))),
            // an error belongs to the rows, if there are any
            Err(_) => Ok(Transformed::no(expr)),
        }
    })?;
    Ok(expr.data)
}

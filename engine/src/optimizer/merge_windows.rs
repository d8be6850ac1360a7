//! [`MergeWindows`]: windows over the same partitions are one operator, also through projections.
//!
//! ```text
//!  HashWindowAggExec: windows=[lead(s)] by c              ProjectionExec: s, lag, lead
//!    ProjectionExec: c, at as s, lag              ->        HashWindowAggExec: windows=[lag(at), lead(at)] by c
//!      HashWindowAggExec: windows=[lag(at)] by c              contacts
//!        contacts
//! ```
//! Rows are buffered, hashed and grouped once, and sorted once per ORDER BY. DataFusion plans one operator per ORDER BY, often
//! with a projection in between that drops a column; a view over a view brings others. A window that needs a result of the
//! operator below, or a column that the projection computes, stays where it is, and so does one above a filter, which
//! removes rows. Switch: `cxql.engine.merge_windows`.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::WindowFunctionDefinition;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::windows::{WindowUDFExpr, create_window_expr};

use crate::exec_util::rewrite_plan;
use crate::window::HashWindowAggExec;

/// Merges a [`HashWindowAggExec`] with one below that has the same PARTITION BY.
#[derive(Debug)]
pub(crate) struct MergeWindows;

impl PhysicalOptimizerRule for MergeWindows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| match plan.downcast_ref::<HashWindowAggExec>() {
            Some(above) => merged(above),
            None => Ok(None),
        })
    }

    fn name(&self) -> &str {
        "merge_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A window operator merged with the one below it; `None` if that is none, or the windows cannot be merged.
fn merged(above: &HashWindowAggExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (columns, input) = columns_below(above.input());
    let Some(below) = input.downcast_ref::<HashWindowAggExec>() else { return Ok(None) };
    if !above.is_as_planned() || !below.is_as_planned() {
        return Ok(None);
    }
    let source = InputColumns { columns: &columns, below };
    let Some(windows) = above.windows().iter().map(|window| source.rebased(window)).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let keys = |windows: &[Arc<dyn WindowExpr>]| -> HashSet<Arc<dyn PhysicalExpr>> {
        windows.first().into_iter().flat_map(|window| window.partition_by().iter().cloned()).collect()
    };
    if keys(&windows) != keys(below.windows()) {
        return Ok(None);
    }
    let first = input.schema().fields().len();
    let merged = Arc::new(HashWindowAggExec::try_new(
        [below.windows(), windows.as_slice()].concat(),
        Arc::clone(below.input()),
    )?);
    let is_projected = !above.input().is::<HashWindowAggExec>();
    if !is_projected {
        return Ok(Some(merged));
    }
    let schema = above.schema();
    let results = windows
        .iter()
        .enumerate()
        .map(|(number, window)| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new(window.name(), first + number)) });
    let exprs = columns.iter().cloned().chain(results).zip(schema.fields());
    let exprs = exprs.map(|(expr, field)| ProjectionExpr { expr, alias: field.name().clone() });
    let projection = ProjectionExec::try_new(exprs, merged)?;
    Ok((projection.schema() == schema).then(|| Arc::new(projection) as _))
}

/// The output columns of a plan as expressions over the first operator below it that is no projection, and that operator.
fn columns_below(plan: &Arc<dyn ExecutionPlan>) -> (Vec<Arc<dyn PhysicalExpr>>, &Arc<dyn ExecutionPlan>) {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let (columns, input) = columns_below(projection.input());
        if let Some(columns) = composed(projection, &columns) {
            return (columns, input);
        }
    }
    let schema = plan.schema();
    let columns = schema.fields().iter().enumerate();
    (columns.map(|(index, field)| Arc::new(Column::new(field.name(), index)) as _).collect(), plan)
}

/// The columns of a projection with `columns` in place of those of its input; `None` where one that is computed would be
/// computed twice.
fn composed(projection: &ProjectionExec, columns: &[Arc<dyn PhysicalExpr>]) -> Option<Vec<Arc<dyn PhysicalExpr>>> {
    let mut uses = vec![0; columns.len()];
    for output in projection.expr() {
        output
            .expr
            .apply(|expr| {
                let used = expr.downcast_ref::<Column>().and_then(|column| uses.get_mut(column.index()));
                used.into_iter().for_each(|uses| *uses += 1);
                Ok(TreeNodeRecursion::Continue)
            })
            .ok()?;
    }
    let is_computed = |expr: &Arc<dyn PhysicalExpr>| !expr.is::<Column>();
    if columns.iter().zip(uses).any(|(expr, uses)| uses > 1 && is_computed(expr)) {
        return None;
    }
    projection.expr().iter().map(|column| substituted(&column.expr, &|index| columns.get(index).cloned())).collect()
}

/// An expression with others in place of its columns; `None` if one has none.
fn substituted(
    expr: &Arc<dyn PhysicalExpr>,
    column_of: &dyn Fn(usize) -> Option<Arc<dyn PhysicalExpr>>,
) -> Option<Arc<dyn PhysicalExpr>> {
    let mut is_complete = true;
    let result = Arc::clone(expr).transform_up(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        match column_of(column.index()) {
            Some(other) => Ok(Transformed::yes(other)),
            None => {
                is_complete = false;
                Ok(Transformed::no(expr))
            }
        }
    });
    result.ok().filter(|_| is_complete).map(|expr| expr.data)
}

/// The columns of a window operator's input, as expressions over the output of the window operator below.
struct InputColumns<'a> {
    columns: &'a [Arc<dyn PhysicalExpr>],
    below: &'a HashWindowAggExec,
}

impl InputColumns<'_> {
    /// The column of the lower operator's input that a column is, unchanged.
    fn source(&self, index: usize) -> Option<Arc<dyn PhysicalExpr>> {
        let expr = self.columns.get(index)?;
        let width = self.below.input().schema().fields().len();
        // from `width` on they are results
        expr.downcast_ref::<Column>().filter(|column| column.index() < width)?;
        Some(Arc::clone(expr))
    }

    fn rebased_expr(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
        substituted(expr, &|index| self.source(index))
    }

    fn rebased_exprs(&self, exprs: &[Arc<dyn PhysicalExpr>]) -> Option<Vec<Arc<dyn PhysicalExpr>>> {
        exprs.iter().map(|expr| self.rebased_expr(expr)).collect()
    }

    /// A window over the input of the lower operator; `None` if it needs what that does not have.
    fn rebased(&self, window: &Arc<dyn WindowExpr>) -> Option<Arc<dyn WindowExpr>> {
        let keys = self.rebased_exprs(window.partition_by())?;
        let sorts = window.order_by().iter();
        let order = sorts.map(|sort| Some(PhysicalSortExpr { expr: self.rebased_expr(&sort.expr)?, ..sort.clone() }));
        let order: Vec<PhysicalSortExpr> = order.collect::<Option<_>>()?;
        let any = window.as_any();
        let (function, args, ignores_nulls) = if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
            let call = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()?;
            // DataFusion has no accessors for these flags, and a new call has them off
            let shown = format!("{call:?}");
            if shown.contains("ignore_nulls: true") || shown.contains("is_reversed: true") {
                return None;
            }
            (WindowFunctionDefinition::WindowUDF(Arc::clone(call.fun())), call.args().to_vec(), false)
        } else {
            let aggregate = match any.downcast_ref::<PlainAggregateWindowExpr>() {
                Some(plain) => plain.get_aggregate_expr(),
                None => any.downcast_ref::<SlidingAggregateWindowExpr>()?.get_aggregate_expr(),
            };
            // the operator supports neither DISTINCT nor FILTER
            if !aggregate.order_bys().is_empty() || aggregate.is_reversed() {
                return None;
            }
            let function = WindowFunctionDefinition::AggregateUDF(Arc::new(aggregate.fun().clone()));
            (function, aggregate.expressions(), aggregate.ignore_nulls())
        };
        let args = self.rebased_exprs(&args)?;
        let (name, frame) = (window.name().to_string(), Arc::clone(window.get_window_frame()));
        let schema = self.below.input().schema();
        let rebased =
            create_window_expr(&function, name, &args, &keys, &order, frame, schema, ignores_nulls, false, None)
                .ok()?;
        (rebased.field().ok()? == window.field().ok()?).then_some(rebased)
    }
}

//! Texts for the engine's own window operator.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::{Projection, Window};
use datafusion::logical_expr::{Expr, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;

use super::functions;
use crate::types::plain_of_view;

/// Gives windows plain texts where the plan has string views, and views again above them.
///
/// The engine's window operator joins the batches of a partition again and again; string views keep the buffers of
/// every joined batch alive, which over many partitions is several times slower than the copy that plain texts cost.
/// Windows that [`super::GroupedWindowExec`] will most likely compute keep their views: which operator it is shows later,
/// and both are right.
#[derive(Debug)]
pub struct PlainTextWindows;

impl AnalyzerRule for PlainTextWindows {
    fn name(&self) -> &str {
        "plain_text_windows"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_down_with_subqueries(|plan| match plan {
            LogicalPlan::Window(window) if !is_likely_grouped(&window) => plain(window),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(rewritten.data)
    }
}

/// Whether the grouped operator knows all functions of the window, as far as the names tell.
fn is_likely_grouped(window: &Window) -> bool {
    window.window_expr.iter().all(|expr| match expr.clone().unalias_nested().data {
        Expr::WindowFunction(call) => !call.params.partition_by.is_empty() && functions::is_known(&call),
        _ => false,
    })
}

/// A chain of windows over plain texts, with the columns that it had.
fn plain(top: Window) -> Result<Transformed<LogicalPlan>> {
    let wanted = Arc::clone(&top.schema);
    let mut chain = vec![top.window_expr];
    let mut input = Arc::unwrap_or_clone(top.input);
    while let LogicalPlan::Window(window) = input {
        chain.push(window.window_expr);
        input = Arc::unwrap_or_clone(window.input);
    }
    // what stands below the chain is looked at here: it may hold further windows
    let mut plan = PlainTextWindows.analyze(input, &ConfigOptions::default())?;
    let is_plain = !plan.schema().fields().iter().any(|field| plain_of_view(field.data_type()).is_some());
    if !is_plain {
        let columns = plan.schema().iter().map(|(qualifier, field)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            match plain_of_view(field.data_type()) {
                Some(plain) => cast(column, plain).alias_qualified(qualifier.cloned(), field.name()),
                None => column,
            }
        });
        let columns = columns.collect();
        plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
    }
    for window_expr in chain.into_iter().rev() {
        plan = LogicalPlan::Window(Window::try_new(window_expr, Arc::new(plan))?);
    }
    if !is_plain {
        let columns = restored(&wanted, plan.schema());
        plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
    }
    Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
}

/// The columns of `given` with the types of `wanted`.
fn restored(wanted: &DFSchema, given: &DFSchema) -> Vec<Expr> {
    let pairs = wanted.iter().zip(given.iter());
    pairs
        .map(|((_, wanted), (qualifier, given))| {
            let column = Expr::Column(Column::new(qualifier.cloned(), given.name()));
            if wanted.data_type() == given.data_type() {
                column
            } else {
                cast(column, wanted.data_type().clone()).alias_qualified(qualifier.cloned(), given.name())
            }
        })
        .collect()
}

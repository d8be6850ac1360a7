//! Texts for the engine's own window operator.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::{Projection, Window};
use datafusion::logical_expr::{Expr, LogicalPlan, cast};
use datafusion::optimizer::AnalyzerRule;

use crate::EngineOptions;
use crate::window;

/// Gives windows plain texts where the plan has string views, and views again above them.
///
/// The engine's window operator joins the batches of a partition again and again; string views keep the buffers of
/// every joined batch alive, which over many partitions is several times slower than the copy that plain texts cost.
/// Windows that [`crate::window::HashWindowAggExec`] will most likely compute keep their views: which operator it is shows later,
/// and both are right.
#[derive(Debug)]
pub(crate) struct PlainWindowStrings;

impl AnalyzerRule for PlainWindowStrings {
    fn name(&self) -> &str {
        "plain_window_strings"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, EngineOptions::of(config).hash_window_agg)
    }
}

/// `has_hash_windows`: whether windows may be computed by [`crate::window::HashWindowAggExec`], which keeps views.
fn rewrite(plan: LogicalPlan, has_hash_windows: bool) -> Result<LogicalPlan> {
    let rewritten = plan.transform_down_with_subqueries(|plan| match plan {
        LogicalPlan::Window(window) if !(has_hash_windows && is_likely_hash_window(&window)) => {
            with_plain_strings(window, has_hash_windows)
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// The plain type of a view type; `None` for all other types.
fn plain_of_view(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        _ => None,
    }
}

/// Whether the grouped operator knows all functions of the window, as far as the names tell.
fn is_likely_hash_window(window: &Window) -> bool {
    window.window_expr.iter().all(|expr| match expr.clone().unalias_nested().data {
        Expr::WindowFunction(call) => !call.params.partition_by.is_empty() && window::is_likely_supported(&call),
        _ => false,
    })
}

/// A chain of windows over plain texts, with the columns that it had.
fn with_plain_strings(top: Window, has_hash_windows: bool) -> Result<Transformed<LogicalPlan>> {
    let wanted = Arc::clone(&top.schema);
    let mut chain = vec![top.window_expr];
    let mut input = Arc::unwrap_or_clone(top.input);
    while let LogicalPlan::Window(window) = input {
        chain.push(window.window_expr);
        input = Arc::unwrap_or_clone(window.input);
    }
    // what stands below the chain is looked at here: it may hold further windows
    let mut plan = rewrite(input, has_hash_windows)?;
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
        let columns = decode(&wanted, plan.schema());
        plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
    }
    Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
}

/// The columns of `given` with the types of `wanted`.
fn decode(wanted: &DFSchema, given: &DFSchema) -> Vec<Expr> {
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

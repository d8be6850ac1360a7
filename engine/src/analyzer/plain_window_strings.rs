//! [`PlainWindowStrings`]: plain strings below DataFusion's own window operators.
//!
//! ```text
//!  WindowAggr: ntile(4) ...               Projection: cast(topic as Utf8View)
//!    contacts (topic Utf8View)      ->      WindowAggr: ntile(4) ...
//!                                             Projection: cast(topic as Utf8)
//!                                               contacts (topic Utf8View)
//! ```
//! Switch: `cxql.engine.plain_window_strings`.

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

/// Casts string views to `Utf8` below windows and back above them.
///
/// DataFusion's window operators concatenate the batches of a partition again and again. String views keep the buffers of every
/// concatenated batch alive, which over many partitions is several times slower than copying plain strings. Windows that
/// an operator of ours will probably evaluate keep their views. The physical plan decides that later; either
/// way the result is the same.
#[derive(Debug)]
pub(crate) struct PlainWindowStrings;

impl AnalyzerRule for PlainWindowStrings {
    fn name(&self) -> &str {
        "plain_window_strings"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let options = EngineOptions::of(config);
        rewrite(plan, OwnWindows { partitioned: options.hash_window_agg, whole: options.unpartitioned_window })
    }
}

/// Which of the rules are on that replace DataFusion's window operators.
#[derive(Clone, Copy)]
struct OwnWindows {
    /// The rule of windows with PARTITION BY.
    partitioned: bool,
    /// The rule of windows without.
    whole: bool,
}

impl OwnWindows {
    /// Returns true if, by the names of its functions, one of our operators supports the window.
    fn likely_support(self, window: &Window) -> bool {
        window.window_expr.iter().all(|expr| match expr.clone().unalias_nested().data {
            Expr::WindowFunction(call) => {
                let is_on = if call.params.partition_by.is_empty() { self.whole } else { self.partitioned };
                is_on && window::is_likely_supported(&call)
            }
            _ => false,
        })
    }
}

fn rewrite(plan: LogicalPlan, own: OwnWindows) -> Result<LogicalPlan> {
    let rewritten = plan.transform_down_with_subqueries(|plan| match plan {
        LogicalPlan::Window(window) if !own.likely_support(&window) => with_plain_strings(window, own),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// The type with offsets for a view type; `None` for all other types.
fn plain_of_view(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        _ => None,
    }
}

/// A chain of windows between two projections: to plain strings below it, and back to the original types above.
fn with_plain_strings(top: Window, own: OwnWindows) -> Result<Transformed<LogicalPlan>> {
    let output = Arc::clone(&top.schema);
    let mut chain = vec![top.window_expr];
    let mut input = Arc::unwrap_or_clone(top.input);
    while let LogicalPlan::Window(window) = input {
        chain.push(window.window_expr);
        input = Arc::unwrap_or_clone(window.input);
    }
    // the traversal skips the children of the result (`Jump`), which may have further windows
    let mut plan = rewrite(input, own)?;
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
        let columns = cast_columns(&output, plan.schema());
        plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
    }
    Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
}

/// The columns of `input`, cast to the types of `output` where these differ.
fn cast_columns(output: &DFSchema, input: &DFSchema) -> Vec<Expr> {
    let pairs = output.iter().zip(input.iter());
    pairs
        .map(|((_, output), (qualifier, input))| {
            let column = Expr::Column(Column::new(qualifier.cloned(), input.name()));
            if output.data_type() == input.data_type() {
                column
            } else {
                cast(column, output.data_type().clone()).alias_qualified(qualifier.cloned(), input.name())
            }
        })
        .collect()
}

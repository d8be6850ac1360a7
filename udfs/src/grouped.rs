//! Window functions over many partitions in one call.
//!
//! DataFusion evaluates a window function partition by partition. Where a partition is one customer with one or two
//! contacts, the calls cost far more than the evaluation. An operator that has many partitions at hand makes one call.

use std::any::Any;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::WindowUDF;
use datafusion::logical_expr::function::PartitionEvaluatorArgs;

/// A window function that is evaluated for many partitions at once and ignores its frame.
pub trait GroupedEvaluator: Send {
    /// The results, one per row.
    ///
    /// `values` are the columns that the function's expressions give, with the rows of each partition together and in the
    /// order of the window. Partition `i` is the rows `bounds[i]..bounds[i + 1]`; `bounds` begins with 0 and ends with the
    /// number of rows.
    ///
    /// # Errors
    /// Columns of other types than the function asked for.
    fn evaluate_groups(&mut self, values: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef>;
}

/// The evaluator of a function of this crate; `None` for any other function.
///
/// # Errors
/// As the function's own `partition_evaluator`.
pub fn grouped_evaluator(
    function: &WindowUDF,
    args: PartitionEvaluatorArgs<'_>,
) -> Result<Option<Box<dyn GroupedEvaluator>>> {
    let inner: &dyn Any = function.inner().as_ref();
    if let Some(function) = inner.downcast_ref::<crate::resolution::ContactFunction>() {
        return function.evaluator(args).map(|evaluator| Some(Box::new(evaluator) as Box<dyn GroupedEvaluator>));
    }
    if let Some(function) = inner.downcast_ref::<crate::outlier::ScoreFunction>() {
        return function.evaluator(args).map(|evaluator| Some(Box::new(evaluator) as Box<dyn GroupedEvaluator>));
    }
    if let Some(function) = inner.downcast_ref::<crate::partition::PartitionWindow<crate::outlier::TukeyOutlier>>() {
        return function.evaluator(&args).map(|evaluator| Some(Box::new(evaluator) as Box<dyn GroupedEvaluator>));
    }
    Ok(None)
}

/// The ranges of rows that `bounds` separates.
pub fn ranges(bounds: &[usize]) -> impl Iterator<Item = std::ops::Range<usize>> {
    bounds.windows(2).filter_map(|pair| match pair {
        [start, end] => Some(*start..*end),
        _ => None,
    })
}

//! [`DictionaryEvaluation`]: expressions over one string column are evaluated once per distinct string.
//!
//! ```text
//!  PerfectHashAggregateExec: gby=[topic]               PerfectHashAggregateExec: gby=[topic]
//!    DataSourceExec: lower(trim(topic)) as topic  ->     ProjectionExec: dictionary_eval(lower(trim(topic))) as topic
//!                                                          DataSourceExec: topic
//! ```
//! Wrapped are maximal subexpressions that read one string column beside literals and uncorrelated scalar subqueries, are
//! deterministic, and cost more than a comparison: functions, CASE, LIKE, regular expressions, IN lists, casts. The operator is
//! [`DictionaryEvalExpr`], which falls back to rows where a column has many distinct strings: statistics do not tell.
//!
//! It applies to projections, filters, and keys, arguments and filters of aggregates. An expression that DataFusion pushed into a
//! Parquet scan moves into a projection above it, so that the rule `DictionaryScan` can make the scan emit dictionary arrays.
//!
//! Switch: `cxql.engine.dictionary_evaluation`. Threshold: `cxql.engine.dictionary_evaluation_values` (4,096).

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::{Operator, Volatility};
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr,
    NotExpr, TryCastExpr,
};
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode, PhysicalGroupBy};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputOrderMode, Partitioning,
};

use crate::EngineOptions;
use crate::exec_util::{parquet_source, rewrite_plan};
use crate::expressions::DictionaryEvalExpr;

/// An IN list of fewer values is compared faster than a string is looked up.
const LONG_LIST: usize = 4;

/// Wraps expressions over one string column into [`DictionaryEvalExpr`].
#[derive(Debug)]
pub(crate) struct DictionaryEvaluation;

impl PhysicalOptimizerRule for DictionaryEvaluation {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let max_values = EngineOptions::of(config).dictionary_evaluation_values;
        rewrite_plan(plan, |plan| {
            let changed = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
                over_projection(projection, max_values)?
            } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
                over_filter(filter, max_values)?
            } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
                over_aggregate(aggregate, max_values)?
            } else if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
                over_scan(scan, max_values)?
            } else {
                None
            };
            // operators above rely on the order and the partitions of rows, which DataFusion derives from expressions
            Ok(changed.filter(|changed| {
                changed.output_ordering() == plan.output_ordering()
                    && has_equal_partitions(changed.output_partitioning(), plan.output_partitioning())
                    && changed.schema() == plan.schema()
            }))
        })
    }

    fn name(&self) -> &str {
        "dictionary_evaluation"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns true for equal partitionings. Unknown ones, which DataFusion never takes as equal, claim nothing but their number.
fn has_equal_partitions(one: &Partitioning, other: &Partitioning) -> bool {
    match (one, other) {
        (Partitioning::UnknownPartitioning(one), Partitioning::UnknownPartitioning(other)) => one == other,
        _ => one == other,
    }
}

fn over_projection(projection: &ProjectionExec, max_values: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = projection.input().schema();
    let Some(exprs) = wrapped_projection(projection.expr(), &schema, max_values)? else { return Ok(None) };
    Ok(Some(Arc::new(ProjectionExec::try_new(exprs, Arc::clone(projection.input()))?)))
}

fn over_filter(filter: &FilterExec, max_values: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(predicate) = wrapped(filter.predicate(), &filter.input().schema(), max_values)? else { return Ok(None) };
    Ok(Some(Arc::new(FilterExecBuilder::from(filter).with_predicate(predicate).build()?)))
}

fn over_aggregate(aggregate: &AggregateExec, max_values: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let calls = aggregate.aggr_expr();
    let is_supported = aggregate.mode().input_mode() == AggregateInputMode::Raw
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.dynamic_expressions_produced().is_empty()
        && calls.iter().all(|call| call.order_bys().is_empty());
    if !is_supported {
        return Ok(None);
    }
    let schema = aggregate.input().schema();
    let mut is_changed = false;
    let mut changed = |expr: &Arc<dyn PhysicalExpr>| -> Result<Arc<dyn PhysicalExpr>> {
        let expr = wrapped(expr, &schema, max_values)?.inspect(|_| is_changed = true).ok_or(expr);
        Ok(expr.unwrap_or_else(Arc::clone))
    };
    let keys = aggregate.group_expr();
    let exprs = keys.expr().iter().map(|(key, name)| Ok((changed(key)?, name.clone())));
    let group_by = PhysicalGroupBy::new(
        exprs.collect::<Result<_>>()?,
        keys.null_expr().to_vec(),
        keys.groups().to_vec(),
        keys.has_grouping_set(),
    );
    let mut new_calls = Vec::with_capacity(calls.len());
    for call in calls {
        let args = call.expressions().iter().map(&mut changed).collect::<Result<Vec<_>>>()?;
        let call = call.with_new_expressions(args, vec![]);
        new_calls.push(Arc::new(call.ok_or_else(|| internal_datafusion_err!("an aggregate takes its arguments"))?));
    }
    let filters = aggregate.filter_expr().iter();
    let filters = filters.map(|filter| filter.as_ref().map(&mut changed).transpose()).collect::<Result<Vec<_>>>()?;
    if !is_changed {
        return Ok(None);
    }
    let (mode, input) = (*aggregate.mode(), Arc::clone(aggregate.input()));
    let new = AggregateExec::try_new(mode, group_by, new_calls, filters, input, aggregate.input_schema())?;
    Ok(Some(Arc::new(new.with_limit_options(aggregate.limit_options()))))
}

/// The scan with its columns only, and the expressions that were pushed into it in a projection above.
fn over_scan(scan: &DataSourceExec, max_values: usize) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else { return Ok(None) };
    let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else { return Ok(None) };
    let Some(projection) = source.projection() else { return Ok(None) };
    let table = source.table_schema();
    if !table.virtual_columns().is_empty() || is_reordered(source) {
        return Ok(None);
    }
    let exprs: Vec<ProjectionExpr> = projection.iter().cloned().collect();
    if wrapped_projection(&exprs, table.table_schema(), max_values)?.is_none() {
        return Ok(None);
    }
    let columns = projection.column_indices();
    let new = parquet_source(source, table.clone());
    let columns_only = ProjectionExprs::from_indices(&columns, table.table_schema());
    let Some(new) = new.try_pushdown_projection(&columns_only)? else { return Ok(None) };
    let config = FileScanConfigBuilder::from(config.clone()).with_source(new).build();
    let scan = DataSourceExec::from_data_source(config);
    let above = exprs.into_iter().map(|ProjectionExpr { expr, alias }| {
        let expr = expr.transform_down(|part| {
            let Some(column) = part.downcast_ref::<Column>() else { return Ok(Transformed::no(part)) };
            let Some(index) = columns.iter().position(|&known| known == column.index()) else {
                return Err(internal_datafusion_err!("{column} is not read by the scan"));
            };
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), index)) as _))
        })?;
        Ok(ProjectionExpr { expr: expr.data, alias })
    });
    let above = above.collect::<Result<Vec<_>>>()?;
    let Some(above) = wrapped_projection(&above, &scan.schema(), max_values)? else { return Ok(None) };
    Ok(Some(Arc::new(ProjectionExec::try_new(above, scan)?)))
}

/// Returns true if a scan reads its row groups in another order for a sort above. This shows in the plan only, and a source that
/// is built again loses it.
fn is_reordered(source: &ParquetSource) -> bool {
    struct Shown<'a>(&'a ParquetSource);
    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt_extra(DisplayFormatType::Default, f)
        }
    }
    let shown = Shown(source).to_string();
    shown.contains("sort_order_for_reorder") || shown.contains("reverse_row_groups")
}

/// The projection with wrapped expressions; `None` if there is nothing to wrap.
fn wrapped_projection(
    exprs: &[ProjectionExpr],
    schema: &Schema,
    max_values: usize,
) -> Result<Option<Vec<ProjectionExpr>>> {
    let mut is_changed = false;
    let new = exprs.iter().map(|ProjectionExpr { expr, alias }| {
        let expr = match wrapped(expr, schema, max_values)? {
            Some(new) => {
                is_changed = true;
                new
            }
            None => Arc::clone(expr),
        };
        Ok(ProjectionExpr { expr, alias: alias.clone() })
    });
    let new = new.collect::<Result<Vec<_>>>()?;
    Ok(is_changed.then_some(new))
}

/// The expression with its maximal subexpressions over one string column wrapped; `None` if there are none.
fn wrapped(expr: &Arc<dyn PhysicalExpr>, schema: &Schema, max_values: usize) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let new = Arc::clone(expr).transform_down(|part| {
        if is_costly(&part)
            && let Some(evaluated) = DictionaryEvalExpr::try_new(&part, schema, max_values)?
        {
            return Ok(Transformed::new(Arc::new(evaluated) as _, true, TreeNodeRecursion::Jump));
        }
        // dynamic filters and lambdas evaluate their children in ways of their own
        let recursion = if is_known(&part) { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Jump };
        Ok(Transformed::new(part, false, recursion))
    })?;
    Ok(new.transformed.then_some(new.data))
}

/// Returns true if an expression is deterministic and costs more than comparisons of strings.
fn is_costly(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let (mut are_known, mut is_costly) = (true, false);
    let visited = expr.apply(|part| {
        are_known &= is_known(part);
        is_costly |= part.is::<ScalarFunctionExpr>()
            || part.is::<CaseExpr>()
            || part.is::<LikeExpr>()
            || part.downcast_ref::<CastExpr>().is_some_and(|cast| !cast.cast_type().is_string())
            || part.downcast_ref::<TryCastExpr>().is_some_and(|cast| !cast.cast_type().is_string())
            || part.downcast_ref::<InListExpr>().is_some_and(|list| list.list().len() >= LONG_LIST)
            || part.downcast_ref::<BinaryExpr>().is_some_and(|binary| is_costly_operator(*binary.op()));
        Ok(if are_known { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    visited.is_ok() && are_known && is_costly
}

/// Returns true for operators that are not arithmetic or comparisons, such as those of regular expressions.
fn is_costly_operator(operator: Operator) -> bool {
    use Operator::*;
    !matches!(
        operator,
        Eq | NotEq
            | Lt
            | LtEq
            | Gt
            | GtEq
            | And
            | Or
            | IsDistinctFrom
            | IsNotDistinctFrom
            | Plus
            | Minus
            | Multiply
            | Divide
            | Modulo
    )
}

/// Returns true for nodes whose value for a row depends on the row only.
fn is_known(expr: &Arc<dyn PhysicalExpr>) -> bool {
    if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
        return function.fun().signature().volatility != Volatility::Volatile;
    }
    expr.is::<Column>()
        || expr.is::<Literal>()
        || expr.is::<CaseExpr>()
        || expr.is::<CastExpr>()
        || expr.is::<TryCastExpr>()
        || expr.is::<LikeExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<BinaryExpr>()
        || expr.is::<NotExpr>()
        || expr.is::<NegativeExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<ScalarSubqueryExpr>()
}

//! [`MergePercentiles`]: several percentiles of the same values in one aggregate call.
//!
//! ```text
//!                                                  Projection: p[1] as median, p[2] as p90
//!  Aggregate: percentile_cont(x, 0.5) as median,     Aggregate: percentiles_cont(x, 0.5, 0.9) as p
//!             percentile_cont(x, 0.9) as p90    ->     contacts
//!    contacts
//! ```
//! The values are accumulated once; three percentiles took half of the time. Switch: `cxql.engine.merge_percentiles`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::functions_nested::extract::array_element;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::logical_plan::{Aggregate, Projection};
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::optimizer::AnalyzerRule;

use crate::functions::percentile::{PercentileCont, PercentilesCont};

/// Replaces calls of `percentile_cont` with equal values and FILTER by one call of `percentiles_cont`, which returns a list.
/// Aggregates with grouping sets are left alone.
#[derive(Debug)]
pub(crate) struct MergePercentiles {
    function: Arc<AggregateUDF>,
}

/// Calls that differ in their percentile only, and become one.
struct MergedCall {
    values: Expr,
    filter: Option<Box<Expr>>,
    percentiles: Vec<f64>,
}

impl MergePercentiles {
    pub(crate) fn new() -> Self {
        Self { function: Arc::new(AggregateUDF::from(PercentilesCont::new())) }
    }

    fn rewritten(&self, aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
        let unchanged = |aggregate| Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return unchanged(aggregate);
        }
        let mut merged: Vec<MergedCall> = vec![];
        // for each aggregate expression the index of its merged call and, from 1, of its percentile in that call's list
        let mut sources: Vec<Option<(usize, usize)>> = vec![];
        for expr in &aggregate.aggr_expr {
            sources.push(match mergeable_call(expr, &aggregate)? {
                None => None,
                Some(mut call) => {
                    let known =
                        merged.iter().position(|known| known.values == call.values && known.filter == call.filter);
                    let index = known.unwrap_or(merged.len());
                    match known {
                        Some(known) => merged[known].percentiles.append(&mut call.percentiles),
                        None => merged.push(call),
                    }
                    Some((index, merged[index].percentiles.len()))
                }
            });
        }
        // a single percentile stays as it is
        sources
            .iter_mut()
            .for_each(|source| *source = source.filter(|(index, _)| merged[*index].percentiles.len() > 1));
        if sources.iter().all(Option::is_none) {
            return unchanged(aggregate);
        }
        // the calls of the new aggregate, and for each old expression its call and, if that is merged, its list element
        let mut calls: Vec<Expr> = vec![];
        let mut outputs: Vec<(usize, Option<usize>)> = vec![];
        let mut merged_calls: Vec<Option<usize>> = vec![None; merged.len()];
        for (expr, source) in aggregate.aggr_expr.iter().zip(&sources) {
            match *source {
                None => {
                    outputs.push((calls.len(), None));
                    calls.push(expr.clone());
                }
                Some((index, element)) => {
                    let call = *merged_calls[index].get_or_insert_with(|| {
                        calls.push(self.call(&merged[index]));
                        calls.len() - 1
                    });
                    outputs.push((call, Some(element)));
                }
            }
        }
        let schema = Arc::clone(&aggregate.schema);
        let group_count = schema.fields().len() - aggregate.aggr_expr.len();
        let inner = Aggregate::try_new(aggregate.input, aggregate.group_expr, calls)?;
        let columns = schema.iter().enumerate().map(|(index, (qualifier, field))| {
            let (column, element) = match index.checked_sub(group_count) {
                None => (index, None),
                Some(call) => (group_count + outputs[call].0, outputs[call].1),
            };
            let column = Expr::Column(Column::from(inner.schema.qualified_field(column)));
            match element {
                None => column,
                Some(element) => {
                    array_element(column, lit(element as i64)).alias_qualified(qualifier.cloned(), field.name())
                }
            }
        });
        let columns = columns.collect();
        let plan = Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(inner)))?;
        Ok(Transformed::yes(LogicalPlan::Projection(plan)))
    }

    /// The call of `percentiles_cont`.
    fn call(&self, merged: &MergedCall) -> Expr {
        let percentiles = merged.percentiles.iter().map(|&percentile| lit(percentile));
        let args = std::iter::once(merged.values.clone()).chain(percentiles).collect();
        let filter = merged.filter.clone();
        Expr::AggregateFunction(AggregateFunction {
            func: Arc::clone(&self.function),
            params: AggregateFunctionParams { args, distinct: false, filter, order_by: vec![], null_treatment: None },
        })
    }
}

/// Values, filter and percentile of a call that can be merged; `None` for all others.
fn mergeable_call(expr: &Expr, aggregate: &Aggregate) -> Result<Option<MergedCall>> {
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return Ok(None) };
    let [values, Expr::Literal(ScalarValue::Float64(Some(percentile)), _)] = params.args.as_slice() else {
        return Ok(None);
    };
    let is_percentile =
        func.inner().as_ref().is::<PercentileCont>() && !params.distinct && params.null_treatment.is_none();
    // `percentile_cont` reports a percentile out of range
    let is_supported =
        (0.0..=1.0).contains(percentile) && values.get_type(aggregate.input.schema())? == DataType::Float64;
    if !is_percentile || !is_supported || params.order_by.len() > 1 {
        return Ok(None);
    }
    let is_descending = params.order_by.first().is_some_and(|sort| !sort.asc);
    let percentile = if is_descending { 1.0 - percentile } else { *percentile };
    Ok(Some(MergedCall { values: values.clone(), filter: params.filter.clone(), percentiles: vec![percentile] }))
}

impl AnalyzerRule for MergePercentiles {
    fn name(&self) -> &str {
        "merge_percentiles"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Aggregate(aggregate) => self.rewritten(aggregate),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(rewritten.data)
    }
}

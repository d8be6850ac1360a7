//! Several percentiles of the same values in one pass.

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

/// Puts one call of `percentiles_cont` in place of several of `percentile_cont` over the same values: the values are
/// collected once, whatever number of percentiles is asked.
#[derive(Debug)]
pub(crate) struct MergePercentiles {
    function: Arc<AggregateUDF>,
}

/// Calls that differ in their percentile only.
struct Shared {
    values: Expr,
    filter: Option<Box<Expr>>,
    percentiles: Vec<f64>,
}

impl MergePercentiles {
    pub(crate) fn new() -> Self {
        Self { function: Arc::new(AggregateUDF::from(PercentilesCont::new())) }
    }

    fn rewritten(&self, aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
        let untouched = |aggregate| Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return untouched(aggregate);
        }
        let mut shared: Vec<Shared> = vec![];
        // of each aggregate its place among the shared ones and in their list
        let mut places: Vec<Option<(usize, usize)>> = vec![];
        for expr in &aggregate.aggr_expr {
            places.push(match call(expr, &aggregate)? {
                None => None,
                Some(mut one) => {
                    let known =
                        shared.iter().position(|known| known.values == one.values && known.filter == one.filter);
                    let place = known.unwrap_or(shared.len());
                    match known {
                        Some(known) => shared[known].percentiles.append(&mut one.percentiles),
                        None => shared.push(one),
                    }
                    Some((place, shared[place].percentiles.len()))
                }
            });
        }
        places.iter_mut().for_each(|place| *place = place.filter(|(place, _)| shared[*place].percentiles.len() > 1));
        if places.iter().all(Option::is_none) {
            return untouched(aggregate);
        }
        // the calls that stay, then the shared ones; where each aggregate is found among them
        let mut calls: Vec<Expr> = vec![];
        let mut found: Vec<(usize, Option<usize>)> = vec![];
        let mut of_shared: Vec<Option<usize>> = vec![None; shared.len()];
        for (expr, place) in aggregate.aggr_expr.iter().zip(&places) {
            match *place {
                None => {
                    found.push((calls.len(), None));
                    calls.push(expr.clone());
                }
                Some((place, element)) => {
                    let call = *of_shared[place].get_or_insert_with(|| {
                        calls.push(self.call(&shared[place]));
                        calls.len() - 1
                    });
                    found.push((call, Some(element)));
                }
            }
        }
        let wanted = Arc::clone(&aggregate.schema);
        let group_count = wanted.fields().len() - aggregate.aggr_expr.len();
        let inner = Aggregate::try_new(aggregate.input, aggregate.group_expr, calls)?;
        let columns = wanted.iter().enumerate().map(|(place, (qualifier, field))| {
            let (column, element) = match place.checked_sub(group_count) {
                None => (place, None),
                Some(call) => (group_count + found[call].0, found[call].1),
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

    fn call(&self, shared: &Shared) -> Expr {
        let percentiles = shared.percentiles.iter().map(|&percentile| lit(percentile));
        let args = std::iter::once(shared.values.clone()).chain(percentiles).collect();
        let filter = shared.filter.clone();
        Expr::AggregateFunction(AggregateFunction {
            func: Arc::clone(&self.function),
            params: AggregateFunctionParams { args, distinct: false, filter, order_by: vec![], null_treatment: None },
        })
    }
}

/// Values, filter and percentile of a call that can be shared.
fn call(expr: &Expr, aggregate: &Aggregate) -> Result<Option<Shared>> {
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return Ok(None) };
    let [values, Expr::Literal(ScalarValue::Float64(Some(percentile)), _)] = params.args.as_slice() else {
        return Ok(None);
    };
    let is_ours = func.inner().as_ref().is::<PercentileCont>() && !params.distinct && params.null_treatment.is_none();
    // what is out of range is for the function itself to refuse
    let is_usable = (0.0..=1.0).contains(percentile) && values.get_type(aggregate.input.schema())? == DataType::Float64;
    if !is_ours || !is_usable || params.order_by.len() > 1 {
        return Ok(None);
    }
    let is_descending = params.order_by.first().is_some_and(|sort| !sort.asc);
    let percentile = if is_descending { 1.0 - percentile } else { *percentile };
    Ok(Some(Shared { values: values.clone(), filter: params.filter.clone(), percentiles: vec![percentile] }))
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

//! Dates beside timestamps with time zone in one column are local midnights of that zone: `coalesce(day, at)`, CASE, UNION.
//!
//! Source: PostgreSQL, whose common type of both is the timestamp with time zone. Type coercion of DataFusion 55.2 makes both
//! timestamps without one, so that the two hours of an autumn night become one.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, Union, cast};

use crate::analyzer::{recomputed, rewrite_expressions, rewrite_expressions_above};

/// Functions whose arguments have one type, that of the result.
const OF_ONE_TYPE: [&str; 5] = ["coalesce", "greatest", "least", "make_array", "nvl"];

/// Casts the dates of a plan that stand beside timestamps with time zone.
pub(super) fn as_midnights(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = rewrite_expressions(plan, in_expression)?;
    let plan = plan.transform_up_with_subqueries(in_union)?;
    match plan.transformed {
        true => rewrite_expressions_above(plan.data, true, in_expression),
        false => Ok(plan.data),
    }
}

/// The timestamp with time zone among types of which one is a date.
fn zoned(types: &[Option<DataType>]) -> Option<DataType> {
    let zoned = types.iter().flatten().find(|data_type| matches!(data_type, DataType::Timestamp(_, Some(_))))?;
    types.iter().flatten().any(is_date).then(|| zoned.clone())
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64)
}

fn in_expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Case(mut case) => {
            let results = case.when_then_expr.iter_mut().map(|(_, then)| then);
            let is_changed = cast_dates(results.chain(&mut case.else_expr).map(Box::as_mut).collect(), schema);
            Transformed::new_transformed(Expr::Case(case), is_changed)
        }
        Expr::ScalarFunction(mut call) if OF_ONE_TYPE.contains(&call.func.name()) => {
            let is_changed = cast_dates(call.args.iter_mut().collect(), schema);
            Transformed::new_transformed(Expr::ScalarFunction(call), is_changed)
        }
        other => Transformed::no(other),
    })
}

/// Casts the dates among values of one type; returns whether there are any.
fn cast_dates(values: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    let types: Vec<Option<DataType>> = values.iter().map(|value| value.get_type(schema).ok()).collect();
    let Some(zoned) = zoned(&types) else { return false };
    for (value, data_type) in values.into_iter().zip(&types) {
        if data_type.as_ref().is_some_and(is_date) {
            *value = cast(value.clone(), zoned.clone());
        }
    }
    true
}

fn in_union(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Union(Union { inputs, schema }) = plan else { return Ok(Transformed::no(plan)) };
    let types = |index: usize| -> Vec<Option<DataType>> {
        inputs.iter().map(|input| input.schema().fields().get(index).map(|field| field.data_type().clone())).collect()
    };
    let targets: Vec<Option<DataType>> = (0..schema.fields().len()).map(|index| zoned(&types(index))).collect();
    if targets.iter().all(Option::is_none) {
        return Ok(Transformed::no(LogicalPlan::Union(Union { inputs, schema })));
    }
    let inputs = inputs.into_iter().map(|input| {
        let columns = input.schema().iter().zip(&targets).map(|((qualifier, field), target)| {
            let column = Expr::Column(Column::from((qualifier, field)));
            match target {
                Some(target) if is_date(field.data_type()) => {
                    cast(column, target.clone()).alias_qualified(qualifier.cloned(), field.name())
                }
                _ => column,
            }
        });
        let columns = columns.collect();
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns, input)?)))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(recomputed(LogicalPlan::Union(Union { inputs, schema }))?))
}

//! Analyzer rules, one file each; their order is in [`crate::rules`].

pub(crate) mod exact_arithmetic;
mod exact_comparison;
pub(crate) mod float_equality;
pub(crate) mod interval_comparison;
pub(crate) mod like_escape;
pub(crate) mod merge_percentiles;
pub(crate) mod multiset_operations;
pub(crate) mod plain_window_strings;
pub(crate) mod session_time_zone;
pub(crate) mod subqueries;
pub(crate) mod temporal_casts;
pub(crate) mod timestamp_comparison;
pub(crate) mod utc_interval_arithmetic;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Union, Values};

/// Rewrites all expressions of a plan bottom-up, also in subqueries; output columns keep their names. `f` receives each
/// expression and the schema of its columns.
///
/// # Errors
/// Those of `f`.
pub(crate) fn rewrite_expressions(
    plan: LogicalPlan,
    f: impl FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    rewrite_expressions_above(plan, false, f)
}

/// As [`rewrite_expressions`]; `is_changed` says that the types of leaves have changed, so that those of all plans above do.
///
/// # Errors
/// Those of `f`.
pub(crate) fn rewrite_expressions_above(
    plan: LogicalPlan,
    mut is_changed: bool,
    mut f: impl FnMut(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&scan.projected_schema);
        }
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| f(expr, &schema))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        is_changed |= plan.transformed;
        // column types may have changed, here and in all plans above
        if is_changed { plan.map_data(recomputed) } else { Ok(plan) }
    })?;
    Ok(plan.data)
}

/// A plan with the schema of its inputs and expressions, also of unions and VALUES, of which DataFusion's `recompute_schema` keeps
/// the types that were planned.
fn recomputed(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Union(Union { inputs, schema })
            if inputs.iter().all(|input| input.schema().fields().len() == schema.fields().len()) =>
        {
            // as where it was planned: the type of the first input, which type coercion settles with those of the others
            let types = (0..schema.fields().len()).map(|index| {
                let mut types = inputs.iter().map(|input| input.schema().field(index).data_type());
                types.find(|data_type| !data_type.is_null()).cloned()
            });
            let schema = with_types(&schema, types.collect())?;
            LogicalPlan::Union(Union { inputs, schema })
        }
        LogicalPlan::Values(Values { schema, values }) => {
            let empty = DFSchema::empty();
            let types = (0..schema.fields().len()).map(|index| {
                let mut types = values.iter().map(|row| row.get(index)?.get_type(&empty).ok());
                let first = types.next()??;
                // planned with casts to one type
                types.all(|data_type| data_type.as_ref() == Some(&first)).then_some(first)
            });
            let schema = with_types(&schema, types.collect())?;
            LogicalPlan::Values(Values { schema, values })
        }
        plan => plan.recompute_schema()?,
    })
}

/// A schema with other types, where there are any.
fn with_types(schema: &DFSchemaRef, types: Vec<Option<DataType>>) -> Result<DFSchemaRef> {
    let fields = schema.fields().iter();
    if fields.zip(&types).all(|(field, to)| to.as_ref().is_none_or(|to| to == field.data_type())) {
        return Ok(Arc::clone(schema));
    }
    let fields = schema.iter().zip(types).map(|((qualifier, field), to)| {
        let field = match to {
            Some(to) => Arc::new(field.as_ref().clone().with_data_type(to)),
            None => Arc::clone(field),
        };
        (qualifier.cloned(), field)
    });
    Ok(Arc::new(DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?))
}

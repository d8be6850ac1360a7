//! [`TemporalCasts`]: casts of zoned timestamps and of strings by the rules of PostgreSQL.
//!
//! ```text
//!  Projection: CAST(at AS Timestamp(us))        ->  Projection: temporal_cast(at)     (local time of the zone of `at`)
//!    contacts: at Timestamp(us, Europe/Berlin)       contacts
//! ```
//! [`is_repaired`](crate::functions::temporal_cast::is_repaired) says which casts; those between UTC and no zone are right and
//! stay. Timestamps become dates, and dates are subtracted, by functions too: DataFusion's interval arithmetic, by which it
//! estimates filters over files with statistics, fails with both. Dictionaries are cast value by value of the rows. Also the casts that type coercion adds are reached. Switch: `cxql.engine.temporal_casts`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::TryCast;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, cast};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::functions::date_difference::DateDifference;
use crate::functions::temporal_cast::{TemporalCast, is_repaired};

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct TemporalCasts;

impl AnalyzerRule for TemporalCasts {
    fn name(&self) -> &str {
        "temporal_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, rewritten)
    }
}

fn rewritten(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) = &expr {
        let is_date = |expr: &Expr| expr.get_type(schema).is_ok_and(|found| found == DataType::Date32);
        return Ok(match is_date(left) && is_date(right) {
            true => Transformed::yes(DateDifference::of(left.as_ref().clone(), right.as_ref().clone())),
            false => Transformed::no(expr),
        });
    }
    let (inner, field, is_try) = match &expr {
        Expr::Cast(Cast { expr, field }) => (expr, field, false),
        Expr::TryCast(TryCast { expr, field }) => (expr, field, true),
        _ => return Ok(Transformed::no(expr)),
    };
    let Ok(from) = inner.get_type(schema) else { return Ok(Transformed::no(expr)) };
    // Arrow casts all values of a dictionary, also those that no row has any more
    if let DataType::Dictionary(_, values) = &from
        && !matches!(field.data_type(), DataType::Dictionary(..))
        && field.data_type() != values.as_ref()
    {
        let inner = Box::new(cast(inner.as_ref().clone(), values.as_ref().clone()));
        let field = Arc::clone(field);
        let outer = match is_try {
            true => Expr::TryCast(TryCast { expr: inner, field }),
            false => Expr::Cast(Cast { expr: inner, field }),
        };
        return Ok(Transformed::yes(rewritten(outer, schema)?.data));
    }
    if !is_repaired(&from, field.data_type()) {
        return Ok(Transformed::no(expr));
    }
    let function = Arc::new(TemporalCast::udf(field.data_type().clone(), is_try));
    Ok(Transformed::yes(function.call(vec![inner.as_ref().clone()])))
}

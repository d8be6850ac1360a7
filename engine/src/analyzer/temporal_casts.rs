//! [`TemporalCasts`]: casts of zoned timestamps and of strings by the rules of PostgreSQL.
//!
//! ```text
//!  Projection: CAST(at AS Timestamp(us))        ->  Projection: temporal_cast(at)     (local time of the zone of `at`)
//!    contacts: at Timestamp(us, Europe/Berlin)       contacts
//! ```
//! [`is_repaired`](crate::functions::temporal_cast::is_repaired) says which casts; those between UTC and no zone are right and
//! stay. Also the casts that type coercion adds are reached. Switch: `cxql.engine.temporal_casts`.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::TryCast;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
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
    let (inner, field, is_try) = match &expr {
        Expr::Cast(Cast { expr, field }) => (expr, field, false),
        Expr::TryCast(TryCast { expr, field }) => (expr, field, true),
        _ => return Ok(Transformed::no(expr)),
    };
    if !inner.get_type(schema).is_ok_and(|from| is_repaired(&from, field.data_type())) {
        return Ok(Transformed::no(expr));
    }
    let function = Arc::new(TemporalCast::udf(field.data_type().clone(), is_try));
    Ok(Transformed::yes(function.call(vec![inner.as_ref().clone()])))
}

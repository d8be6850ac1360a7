//! [`ExtractPlanner`]: `extract(field from x)` is planned as the `date_part` of the session.
//!
//! DataFusion's planner takes its own function, not the one that the session has under this name, so that an override was
//! reached by `date_part('epoch', x)` and not by `extract(epoch from x)`. The field may be quoted, in any case.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::{Expr, ScalarUDF};

/// See the module.
#[derive(Debug)]
struct ExtractPlanner {
    date_part: Arc<ScalarUDF>,
}

impl ExprPlanner for ExtractPlanner {
    fn plan_extract(&self, mut args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        // the heading of the column: date_part('epoch', ...) as by the function
        if let Some(Expr::Literal(ScalarValue::Utf8(Some(field)), _)) = args.first_mut() {
            *field = plain_field(field);
        }
        Ok(PlannerResult::Planned(self.date_part.call(args)))
    }
}

/// The name of a field without quotes, in lower case.
pub(super) fn plain_field(field: &str) -> String {
    let quoted = field.strip_prefix(['\'', '"']).and_then(|rest| rest.strip_suffix(['\'', '"']));
    quoted.unwrap_or(field).to_lowercase()
}

/// Places the planner before DataFusion's.
pub(super) fn plan_with_override(builder: &mut SessionStateBuilder) {
    let mut functions = builder.scalar_functions().iter().flatten();
    let date_part = functions.rfind(|function| function.name() == "date_part").map(Arc::clone);
    if let (Some(date_part), Some(planners)) = (date_part, builder.expr_planners()) {
        planners.insert(0, Arc::new(ExtractPlanner { date_part }));
    }
}

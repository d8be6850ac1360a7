//! [`CastNames`]: calls that differ in a cast alone have two names: `sum(x), sum(x::bigint)`.
//!
//! ```text
//!  sum(x::bigint)    ->    sum(x::bigint AS "cast(x as bigint)")
//! ```
//! DataFusion 55.2 leaves casts out of the names of expressions, and refuses an Aggregate or Window whose columns have one
//! name ("require unique expression names", <https://github.com/apache/datafusion/issues/18975>). SQL has no alias inside an expression: casts of columns
//! become an operator that an [`ExprPlanner`] plans as an alias. It is used for statements that are refused without it
//! only, so that all other plans stay as they are. Switch: `cxql.engine.sql_rewrites`.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, SchemaError};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::Expr as PlanExpr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value, VisitorMut, visit_expressions};

/// The operator that gives its left side the name on its right side.
const NAMED: &str = "as#";

/// Returns true for the error that two columns have one name.
pub(super) fn is_duplicate_name(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => matches!(
            error.as_ref(),
            SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. }
        ),
        other => other.to_string().contains("require unique expression names"),
    }
}

/// Gives each cast of a statement a name. Returns the state that plans it, or `None` if there are no casts.
///
/// # Errors
/// A state that takes no planner of expressions.
pub(super) fn name_casts(state: &SessionState, statement: &mut Statement) -> Result<Option<SessionState>> {
    let mut names = CastNames::default();
    super::visit(statement, &mut names);
    if !names.found {
        return Ok(None);
    }
    let mut state = state.clone();
    state.register_expr_planner(Arc::new(NamePlanner))?;
    Ok(Some(state))
}

#[derive(Default)]
struct CastNames {
    /// The names of the casts around the visited expression, outermost first.
    open: Vec<String>,
    found: bool,
}

impl VisitorMut for CastNames {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr, data_type, .. } = expr {
            self.open.push(format!("cast({expr} as {data_type})").to_lowercase());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Cast { .. })
            && let Some(name) = self.open.pop()
            // a constant stays one: functions ask for it
            && reads_column(expr)
        {
            self.found = true;
            let cast = std::mem::replace(expr, Expr::Value(Value::Null.into()));
            *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                left: Box::new(Expr::Nested(Box::new(cast))),
                op: BinaryOperator::Custom(NAMED.into()),
                right: Box::new(Expr::Value(Value::SingleQuotedString(name).into())),
            }));
        }
        ControlFlow::Continue(())
    }
}

fn reads_column(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |part| match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Plans the operator [`NAMED`] as an alias.
#[derive(Debug)]
struct NamePlanner;

impl ExprPlanner for NamePlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let is_named = matches!(&expr.op, BinaryOperator::Custom(name) if name == NAMED);
        Ok(match (is_named, &expr.right) {
            (true, PlanExpr::Literal(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)), _)) => {
                PlannerResult::Planned(expr.left.alias(name))
            }
            _ => PlannerResult::Original(expr),
        })
    }
}

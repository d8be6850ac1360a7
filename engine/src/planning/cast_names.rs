//! [`CastNames`]: calls that differ in a cast alone have two names: `sum(x), sum(x::bigint)`.
//!
//! ```text
//!  sum(x::bigint)    ->    sum(x::bigint AS "cast(x as bigint)")
//! ```
//! DataFusion 55.2 leaves casts out of the names of expressions, and refuses an Aggregate or Window whose columns have one
//! name, or a rule of the optimizer does ("require unique expression names", <https://github.com/apache/datafusion/issues/18975>). SQL has no alias inside an expression: casts of columns
//! become an operator that an [`ExprPlanner`] plans as an alias. It is used for statements that are refused without it
//! only, so that all other plans stay as they are. Switch: `cxql.engine.sql_rewrites`.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, SchemaError};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::Expr as PlanExpr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Select, SelectItem, Value, VisitorMut, visit_expressions_mut,
};

use crate::sql::reads_column;

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

/// Returns true if keys of a GROUP BY differ in a cast alone, which rules of the optimizer refuse later.
pub(super) fn has_same_keys(statement: &mut Statement) -> bool {
    let mut keys = SameKeys::default();
    super::visit(statement, &mut keys);
    keys.found
}

#[derive(Default)]
struct SameKeys {
    found: bool,
}

impl VisitorMut for SameKeys {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let GroupByExpr::Expressions(keys, _) = &select.group_by else { return ControlFlow::Continue(()) };
        let mut known: HashMap<String, String> = HashMap::new();
        for key in keys {
            let key = item_of(key, &select.projection).unwrap_or(key);
            let (bare, full) = (without_casts(key), key.to_string());
            self.found |= known.insert(bare, full.clone()).is_some_and(|other| other != full);
        }
        ControlFlow::Continue(())
    }
}

/// The expression of the select list that a key names by its position or alias.
fn item_of<'a>(key: &Expr, items: &'a [SelectItem]) -> Option<&'a Expr> {
    let of = |item: &'a SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    };
    match key {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => {
                let index = number.to_string().parse::<usize>().ok()?.checked_sub(1)?;
                items.get(index).and_then(of)
            }
            _ => None,
        },
        Expr::Identifier(name) => items.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => Some(expr),
            _ => None,
        }),
        _ => None,
    }
}

/// An expression as text, without its casts and the tables of its columns.
fn without_casts(expr: &Expr) -> String {
    let mut expr = expr.clone();
    let _: ControlFlow<()> = visit_expressions_mut(&mut expr, |part| {
        match part {
            Expr::Cast { expr: inner, .. } | Expr::Nested(inner) => *part = inner.as_ref().clone(),
            Expr::CompoundIdentifier(names) => {
                if let Some(last) = names.pop() {
                    *part = Expr::Identifier(last);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    expr.to_string()
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

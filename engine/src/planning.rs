//! Planning of SQL: what has to be decided before there is a plan.

mod any_of_arrays;
pub(crate) mod budget;
mod call_clauses;
mod cast_names;
mod query_clauses;
mod row_in;
pub(crate) mod using_joins;

use datafusion::common::{Result, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

pub use self::budget::{PlanningBudget, spent_bytes};
use crate::EngineOptions;

/// Plans a statement as [`SessionState::statement_to_plan`] does, with the repairs of this crate that need its SQL.
///
/// # Errors
/// Those of DataFusion.
pub async fn statement_to_plan(state: &SessionState, mut statement: Statement) -> Result<LogicalPlan> {
    let options = state.config_options().extensions.get::<EngineOptions>();
    // a session without the options has no planner for such joins either
    if options.is_some_and(|options| options.sql_rewrites) {
        crate::sql::rewrite_statement(&mut statement);
        let mut dropped = query_clauses::QueryClauses::default();
        visit(&mut statement, &mut dropped);
        if let Some(refused) = dropped.refused {
            return plan_err!("{refused}");
        }
        let mut clauses = call_clauses::CallClauses::new(state);
        visit(&mut statement, &mut clauses);
        if let Some(refused) = clauses.refused {
            return Err(refused);
        }
        visit(&mut statement, &mut any_of_arrays::AnyOfArrays);
        let mut row_in = row_in::RowIn::default();
        visit(&mut statement, &mut row_in);
        if let Some(refused) = row_in.refused {
            return plan_err!("{refused}");
        }
        visit(&mut statement, &mut using_joins::Nesting::default());
        return plan_with_cast_names(state, statement).await;
    }
    state.statement_to_plan(statement).await
}

/// Plans a statement; casts get names where two columns have one name without.
async fn plan_with_cast_names(state: &SessionState, mut statement: Statement) -> Result<LogicalPlan> {
    if cast_names::has_same_keys(&mut statement) {
        let mut named = statement.clone();
        if let Some(state) = cast_names::name_casts(state, &mut named)?
            && let Ok(plan) = state.statement_to_plan(named).await
        {
            return Ok(plan);
        }
    }
    let error = match state.statement_to_plan(statement.clone()).await {
        Err(error) if cast_names::is_duplicate_name(&error) => error,
        planned => return planned,
    };
    match cast_names::name_casts(state, &mut statement)? {
        Some(state) => match state.statement_to_plan(statement).await {
            // the names that are there twice are those that were typed
            Err(second) if cast_names::is_duplicate_name(&second) => Err(error),
            planned => planned,
        },
        None => Err(error),
    }
}

/// Plans one statement as [`SessionContext::sql`] does, with the repairs of this crate.
///
/// # Errors
/// SQL that does not parse, or those of DataFusion.
pub async fn sql(context: &SessionContext, sql: &str) -> Result<DataFrame> {
    let state = context.state();
    let statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect)?;
    let plan = statement_to_plan(&state, statement).await?;
    context.execute_logical_plan(plan).await
}

/// Lets a visitor rewrite the SQL of a statement.
fn visit(statement: &mut Statement, visitor: &mut impl VisitorMut<Break = ()>) {
    // no visitor here breaks off
    match statement {
        Statement::Statement(statement) => {
            let _ = statement.visit(visitor);
        }
        Statement::Explain(explain) => visit(&mut explain.statement, visitor),
        Statement::CopyTo(copy) => {
            if let CopyToSource::Query(query) = &mut copy.source {
                let _ = query.visit(visitor);
            }
        }
        _ => {}
    }
}

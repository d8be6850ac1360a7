//! The one way from a parsed statement to its logical plan.
//!
//! ```text
//!  statement of a user, view, report or job
//!        | joins         a join without a condition is refused
//!        | interval_units   so is a number without a unit in an interval
//!        | calls         reports with arguments become tables
//!        | labels        calls of standard_label get the synonyms of the project
//!        | headings      unnamed expressions are named by their text
//!        v
//!  DataFusion            SqlToRel
//!        | information_schema   views that cannot be planned have no columns
//!        | sql_types     DESCRIBE and the information schema show SQL names of types
//!        v
//!  logical plan
//! ```

use std::sync::Arc;

use cxql_engine::planning::statement_to_plan;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;

use super::calls::{self, StatementValues};
use super::catalog::ProjectSchema;
use super::headings::{self, Unnests};
use super::information_schema;
use super::interval_units;
use super::joins;
use super::labels;
use super::sql_types;
use crate::source::Source;

/// Plans a statement of `source`. `values` are those of its parameters, as far as calls of reports use them.
///
/// # Errors
/// DataFusion's, and those of [`calls::bind`].
pub(super) async fn plan(
    state: &SessionState,
    schema: &ProjectSchema,
    source: &Arc<Source>,
    mut statement: Statement,
    values: StatementValues<'_>,
) -> Result<LogicalPlan, DataFusionError> {
    joins::refuse_without_condition(source, &statement)?;
    interval_units::check_statement(&statement)?;
    calls::bind(state, schema.callable_reports(), source, &mut statement, values)?;
    labels::add_synonyms(&mut statement)?;
    // a struct that is unnested becomes several columns, which cannot have one name
    for unnests in [Unnests::Named, Unnests::Unnamed] {
        let mut named = statement.clone();
        if headings::name_columns(source, &mut named, unnests)
            && let Ok(plan) = statement_to_plan(state, named).await
        {
            return with_information_schema(plan, state).await;
        }
    }
    // an error is that of the statement as it was typed
    with_information_schema(statement_to_plan(state, statement).await?, state).await
}

/// The plan with the information schema as this project shows it.
async fn with_information_schema(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan, DataFusionError> {
    sql_types::show_sql_names(information_schema::leave_out_unplannable(plan, state).await?)
}

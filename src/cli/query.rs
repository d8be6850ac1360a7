//! `cxql query SQL`.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::logical_expr::{LogicalPlan, Statement as PlanStatement};
use datafusion::sql::parser::Statement;
use futures::TryStreamExt;

use super::remote::{self, ServerArgs};
use super::results::{self, ResultArgs};
use crate::error::{Error, Result};
use crate::execute::{self, PlannedStatement};
use crate::project::Project;
use crate::session::{Session, writes};
use crate::source::Source;
use crate::sqlfile;

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// The SQL, or `-` to read it from standard input. FROM may name a file: from 'calls.csv'
    #[arg(required_unless_present = "cancel")]
    sql: Option<String>,
    /// Allow statements that write: COPY, INSERT, CREATE, DROP
    #[arg(long, conflicts_with = "server")]
    write: bool,
    /// Only the Nth result
    #[arg(long, value_name = "N")]
    section: Option<usize>,
    #[command(flatten)]
    result: ResultArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl QueryArgs {
    /// Returns true if the command leaves nothing behind but files of this process.
    pub(super) fn is_brief(&self) -> bool {
        !self.write && self.server.server.is_none()
    }
}

pub(super) async fn run(args: QueryArgs, project: Project) -> Result<ExitCode> {
    let text = if args.sql.as_deref() == Some("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|cause| Error::Io {
            action: "read",
            path: "standard input".into(),
            cause,
        })?;
        text
    } else {
        args.sql.unwrap_or_default()
    };
    if let Some(url) = args.server.server.clone() {
        return remote::run(args.server, &url, text, &args.result, project).await;
    }
    let source = Arc::new(Source::query(&text));
    let statements = sqlfile::statements(&source)?;
    if statements.is_empty() {
        return Err(Error::usage("there is no statement to run; write one, such as cxql query 'select 1'"));
    }
    let session = project.open(true).await?;
    let count = statements.len();
    let mut planned = Vec::new();
    for (number, statement) in statements.into_iter().enumerate() {
        if let Some(plan) = plan(&session, &source, statement, args.write).await? {
            let title = (count > 1).then(|| format!("Result {}", number + 1));
            planned.push(PlannedStatement::new(title, Arc::clone(&source), plan));
        }
    }
    if planned.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    results::show(&session, &args.result, execute::select_section(planned, args.section)?, None).await?;
    Ok(ExitCode::SUCCESS)
}

/// Plans a statement. One that changes the session is executed; `None` if it returns no rows.
pub(super) async fn plan(
    session: &Session,
    source: &Arc<Source>,
    statement: Statement,
    may_write: bool,
) -> Result<Option<LogicalPlan>> {
    let first_word = statement.to_string().split_whitespace().next().unwrap_or_default().to_lowercase();
    if !may_write && sqlfile::WRITING.contains(&first_word.as_str()) {
        return Err(refused(source));
    }
    let plan = session.plan(source, statement).await?;
    if !may_write && writes(&plan) {
        return Err(refused(source));
    }
    let plan = match &plan {
        LogicalPlan::Statement(PlanStatement::ResetVariable(reset)) => session.reset(&reset.variable).unwrap_or(plan),
        _ => plan,
    };
    match &plan {
        LogicalPlan::Statement(PlanStatement::SetVariable(_) | PlanStatement::ResetVariable(_))
        | LogicalPlan::Ddl(_) => match session.context().execute_logical_plan(plan).await {
            Ok(_) => Ok(None),
            Err(error) => Err(session.error(error, source).await),
        },
        LogicalPlan::Statement(_) => {
            Err(Error::at(source, None, "transactions and prepared statements are not supported here"))
        }
        // statements that write are executed at once, so that later statements see their effect
        _ if may_write && writes(&plan) => {
            let execution = session.execute(source, &plan).await?;
            match execution.stream.try_collect::<Vec<RecordBatch>>().await {
                Ok(batches) => {
                    let count = batches.first().and_then(|batch| {
                        batch.column_by_name("count")?.as_primitive_opt::<UInt64Type>()?.iter().next().flatten()
                    });
                    super::note(&count.map_or_else(|| "done".into(), |count| format!("{count} rows written")));
                    Ok(None)
                }
                Err(error) => Err(session.execution_error(error, source, &execution.plan).await),
            }
        }
        _ => Ok(Some(plan)),
    }
}

fn refused(source: &Arc<Source>) -> Error {
    Error::at(source, sqlfile::writing_spot(source), "this statement writes, which is refused")
        .help("add --write if you mean it (cxql query --write, cxql shell --write); results are saved with -o")
}

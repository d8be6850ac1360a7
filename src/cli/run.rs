//! `cxql run REPORT`.

use std::process::ExitCode;

use clap::Args;

use super::results::{self, ResultArgs};
use crate::error::Result;
use crate::execute::plan_report;
use crate::project::Project;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Name of a report (`cxql list` shows all), or path of a .sql file
    report: String,
    /// Value of a parameter, such as -p since=2025-01-01
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    param: Vec<String>,
    /// Only the Nth section
    #[arg(long, value_name = "N")]
    section: Option<usize>,
    /// Leave out the charts
    #[arg(long)]
    no_chart: bool,
    #[command(flatten)]
    result: ResultArgs,
}

pub(super) async fn run(args: RunArgs, project: Project) -> Result<ExitCode> {
    let report = project.library.report(&args.report)?;
    let values = report.bind(&results::parameters(&args.param)?)?;
    let session = project.open(false).await?;
    let mut statements = plan_report(&session, &report, &values, args.section).await?;
    if args.no_chart {
        for statement in &mut statements {
            statement.chart = None;
        }
    }
    results::show(&session, &args.result, statements, Some((&report, &values))).await?;
    Ok(ExitCode::SUCCESS)
}

//! `cxql list`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};

use super::results::{self, ResultArgs};
use crate::error::{Error, Result};
use crate::project::Project;
use crate::source::Source;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    result: ResultArgs,
}

pub(super) async fn run(args: ListArgs, project: Project) -> Result<ExitCode> {
    let session = project.open(false).await?;
    let reports: Vec<[String; 4]> = project
        .library
        .reports()
        .into_iter()
        .map(|file| match file.parse() {
            Ok(report) => {
                let params = report.params.iter().map(|param| match &param.default {
                    Some(_) => param.name.clone(),
                    None => format!("{} (needed)", param.name),
                });
                [file.name.clone(), file.kind.clone(), report.title.clone(), params.collect::<Vec<_>>().join(", ")]
            }
            Err(error) => [file.name.clone(), file.kind.clone(), first_line(&error), String::new()],
        })
        .collect();
    let views: Vec<[String; 3]> = session
        .views()
        .map(|view| {
            let about = view.parse().map_or_else(
                |error| first_line(&error),
                |statement| {
                    let line_of = |key: &str| statement.header.iter().find(|line| line.key == key);
                    let about = line_of("description").or_else(|| line_of("title"));
                    about.map(|line| line.value.clone()).unwrap_or_default()
                },
            );
            [view.name.clone(), origin(&view.source), about]
        })
        .collect();
    let tables: Vec<[String; 2]> = session.tables().map(|(name, place)| [name.to_string(), place]).collect();
    let sections = [
        (Some("reports"), batch(["report", "kind", "title", "parameters"], &reports)?),
        (Some("views"), batch(["view", "from", "about"], &views)?),
        (Some("tables"), batch(["table", "place"], &tables)?),
    ];
    let mut options = args.result.options(sections.len());
    options.table.max_rows = 0;
    let format = match (&args.result.format, &args.result.output) {
        // three tables: a table also into a pipe, since csv holds one
        (None, None) => crate::output::Format::Table,
        _ => args.result.format()?,
    };
    results::write_batches(&args.result, format, options, &sections).await?;
    Ok(ExitCode::SUCCESS)
}

fn origin(source: &Source) -> String {
    if source.is_shipped { "shipped".into() } else { source.name.clone() }
}

fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

fn batch<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> Result<RecordBatch> {
    let columns = names.iter().enumerate().map(|(at, name)| {
        let column: StringArray = rows.iter().map(|row| Some(row[at].as_str())).collect();
        (*name, Arc::new(column) as ArrayRef, false)
    });
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| Error::Engine { message: error.to_string() })
}

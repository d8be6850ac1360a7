//! `cxql show REPORT|VIEW|TABLE`.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use datafusion::logical_expr::LogicalPlan;

use crate::error::{Error, Result};
use crate::project::Project;
use crate::report::{plan_section, plan_view};
use crate::session::View;
use crate::source::Source;
use crate::sqlfile;
use crate::types::type_name;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Name of a report, view or table, or path of a .sql file
    report: String,
}

/// `LABEL        VALUE`.
fn line(text: &mut String, label: &str, value: &str) {
    // writing into a String cannot fail
    let _ = writeln!(text, "{label:<12} {value}");
}

fn file(text: &mut String, source: &Source) {
    line(text, "file", &if source.is_shipped { format!("{} (shipped)", source.name) } else { source.name.clone() });
}

fn columns(text: &mut String, plan: &LogicalPlan) {
    for field in plan.schema().fields() {
        line(text, "column", &format!("{} {}", field.name(), type_name(field.data_type())));
    }
}

pub(super) async fn run(args: ShowArgs, project: Project) -> Result<ExitCode> {
    let name = args.report.to_lowercase();
    let report = match (project.library.report(&args.report), project.library.views().get(&name)) {
        (Ok(report), _) => report,
        (Err(_), Some(view)) => return show_view(view, &project).await,
        (Err(error), None) => return show_table(&args.report, &project, error).await,
    };
    let mut text = format!("{}\n", report.title);
    line(&mut text, "report", &report.name);
    file(&mut text, &report.source);
    if let Some(description) = &report.description {
        line(&mut text, "about", description);
    }
    if let Some(grain) = &report.grain {
        line(&mut text, "grain", grain);
    }
    for param in &report.params {
        let value = match &param.default {
            Some((default, _)) => format!("{} {} = {default}", param.name, param.declared_type()),
            None => format!("{} {} (needed)", param.name, param.declared_type()),
        };
        line(&mut text, "parameter", &param.note.as_ref().map_or(value.clone(), |note| format!("{value}  # {note}")));
    }
    let values = report.sample_values()?;
    let session = project.open(false).await;
    for (number, section) in report.sections.iter().enumerate() {
        if report.sections.len() > 1 {
            line(&mut text, "section", &format!("{} {}", number + 1, section.title.as_deref().unwrap_or_default()));
        }
        // without data the columns are unknown, but everything else is shown
        if let Ok(session) = &session
            && let Ok(planned) = plan_section(session, &report, section, &values).await
        {
            columns(&mut text, &planned.plan);
        }
        for check in &section.checks {
            line(&mut text, "check", &check.text);
        }
        for alert in &section.alerts {
            line(&mut text, "alert", &alert.text);
        }
    }
    for notes in &report.notes {
        line(&mut text, "notes", notes.about.as_deref().unwrap_or("on the figures, after each run"));
    }
    super::print(&format!("{text}\n{}\n", report.source.text.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

/// The columns of a table, or the error that there is no report of the name.
async fn show_table(name: &str, project: &Project, error: Error) -> Result<ExitCode> {
    let Ok(session) = project.open(false).await else { return Err(error) };
    let Some((table, address)) = session.tables().find(|(table, _)| table.eq_ignore_ascii_case(name)) else {
        return Err(error);
    };
    let mut text = format!("{table}\n");
    line(&mut text, "table", table);
    line(&mut text, "data", &address);
    let source = Arc::new(Source::query(&format!("select * from \"{table}\"")));
    if let Some(statement) = sqlfile::statements(&source)?.pop_front() {
        columns(&mut text, &session.plan(&source, statement).await?);
    }
    for note in session.take_notes() {
        super::note(&note);
    }
    super::print(&format!("{text}\nits rows: cxql query 'select * from {table} limit 10'\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn show_view(view: &View, project: &Project) -> Result<ExitCode> {
    let parsed = view.parse()?;
    let of_key = |key: &str| -> Vec<&str> {
        parsed.header.iter().filter(|line| line.key == key).map(|line| line.value.as_str()).collect()
    };
    let mut text = format!("{}\n", of_key("title").first().copied().unwrap_or(&view.name));
    line(&mut text, "view", &view.name);
    file(&mut text, &view.source);
    for (key, label) in [("description", "about"), ("grain", "grain")] {
        for value in of_key(key) {
            line(&mut text, label, value);
        }
    }
    // without data the columns are unknown, but everything else is shown
    if let Ok(session) = project.open(false).await
        && let Ok(planned) = plan_view(&session, view).await
    {
        columns(&mut text, &planned.plan);
    }
    for check in of_key("check") {
        line(&mut text, "check", check);
    }
    super::print(&format!("{text}\n{}\n", view.source.text.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

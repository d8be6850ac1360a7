//! `cxql show REPORT`.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;

use crate::error::Result;
use crate::project::Project;
use crate::report::plan_section;
use crate::types::type_name;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Name of a report, or path of a .sql file
    report: String,
}

pub(super) async fn run(args: ShowArgs, project: Project) -> Result<ExitCode> {
    let report = project.library.report(&args.report)?;
    let mut text = format!("{}\n", report.title);
    // writing into a String cannot fail
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "{label:<12} {value}");
    };
    line("report", &report.name);
    line(
        "file",
        &if report.source.is_shipped {
            format!("{} (shipped)", report.source.name)
        } else {
            report.source.name.clone()
        },
    );
    if let Some(description) = &report.description {
        line("about", description);
    }
    if let Some(grain) = &report.grain {
        line("grain", grain);
    }
    for param in &report.params {
        let value = match &param.default {
            Some((default, _)) => format!("{} {} = {default}", param.name, param.param_type.name()),
            None => format!("{} {} (needed)", param.name, param.param_type.name()),
        };
        line("parameter", &param.note.as_ref().map_or(value.clone(), |note| format!("{value}  # {note}")));
    }
    let values = report.sample_values()?;
    let session = project.open(false).await;
    for (number, section) in report.sections.iter().enumerate() {
        if report.sections.len() > 1 {
            line("section", &format!("{} {}", number + 1, section.title.as_deref().unwrap_or_default()));
        }
        // without data the columns are unknown, but everything else is shown
        if let Ok(session) = &session
            && let Ok(planned) = plan_section(session, &report, section, &values).await
        {
            for field in planned.plan.schema().fields() {
                line("column", &format!("{} {}", field.name(), type_name(field.data_type())));
            }
        }
        for check in &section.checks {
            line("check", &check.text);
        }
        for alert in &section.alerts {
            line("alert", &alert.text);
        }
    }
    for notes in &report.notes {
        line("notes", notes.about.as_deref().unwrap_or("on the figures, after each run"));
    }
    super::print(&format!("{text}\n{}\n", report.source.text.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

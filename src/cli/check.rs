//! `cxql check`: plans every view and report against the data and runs their checks.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::util::display::array_value_to_string;
use futures::StreamExt;

use crate::error::{Error, Result};
use crate::notes::PlannedNotes;
use crate::project::Project;
use crate::report::{Check, Report, integer_divisions, plan_section, plan_view};
use crate::schedule;
use crate::session::{Session, View};
use crate::source::{Source, Spot};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Names of reports and views, or paths of .sql files [default: all]
    names: Vec<String>,
}

pub(super) async fn run(args: CheckArgs, project: Project) -> Result<ExitCode> {
    let session = project.open(false).await?;
    let mut failures = 0u64;
    let mut passed = 0u64;
    let mut report_outcome = |kind: &str, name: &str, outcome: Result<Outcome>| -> Result<()> {
        match outcome {
            Ok(Outcome { text, notes }) => {
                passed += 1;
                let notes: String = notes.iter().map(|note| format!("note  {kind:<6} {name}: {note}\n")).collect();
                super::print(&format!("ok    {kind:<6} {name}: {text}\n{notes}"))
            }
            Err(Error::Stopped) => Err(Error::Stopped),
            Err(error) => {
                failures += 1;
                let text = error.to_string().replace('\n', "\n      ");
                super::print(&format!("FAIL  {kind:<6} {name}: {text}\n"))
            }
        }
    };
    let views: Vec<&View> = session.views().collect();
    if args.names.is_empty() {
        for view in &views {
            report_outcome("view", &view.name, check_view(&session, view).await)?;
        }
        for file in project.library.reports() {
            let outcome = match file.parse() {
                Ok(report) => check_report(&session, &report).await,
                Err(error) => Err(error),
            };
            report_outcome("report", &file.name, outcome)?;
        }
        match schedule::jobs(&project) {
            Ok(jobs) => {
                for job in jobs {
                    let sections = job.report.sections.len();
                    report_outcome(
                        "job",
                        &job.name,
                        Ok(format!("{} with {sections} sections", job.report.name).into()),
                    )?;
                }
            }
            Err(error) => report_outcome("job", "cxql.toml", Err(error))?,
        }
    }
    for name in &args.names {
        if let Some(view) = views.iter().find(|view| view.name == *name) {
            report_outcome("view", name, check_view(&session, view).await)?;
        } else {
            let outcome = match project.library.report(name) {
                Ok(report) => check_report(&session, &report).await,
                Err(error @ Error::Usage { .. }) => return Err(error),
                Err(error) => Err(error),
            };
            report_outcome("report", name, outcome)?;
        }
    }
    for (table, column, name) in session.near_names().await {
        super::note(&format!(
            "`{table}` has a column `{column}` and none of the interaction model's name `{name}`; if it is that one, \
             sql/views/{table}.sql can say `\"{column}\" as {name}`"
        ));
    }
    for text in session.take_notes() {
        super::note(&text);
    }
    for text in division_warnings(&session, &project, &views, &args.names).await {
        super::print(&format!("warning: {text}\n"))?;
    }
    super::print(&format!("{passed} passed, {failures} failed\n"))?;
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A warning for each division of integers in the files. A file with an error has none: the error is shown elsewhere.
async fn division_warnings(session: &Session, project: &Project, views: &[&View], names: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    let warning = |source: &Source, spot: &Spot| {
        format!(
            "{}:{spot}: a division of integers, which drops the fraction: 7 / 2 is 3; write `x / 2.0` or \
             `cast(x as double) / y` for 3.5, `floor(x / y)` if 3 is meant",
            source.name
        )
    };
    for view in views.iter().filter(|view| names.is_empty() || names.contains(&view.name)) {
        let spots = session.integer_divisions_of_view(view).await.unwrap_or_default();
        warnings.extend(spots.iter().map(|spot| warning(&view.source, spot)));
    }
    let reports: Vec<Result<Report>> = match names {
        [] => project.library.reports().into_iter().map(|file| file.parse()).collect(),
        names => names
            .iter()
            .filter(|name| !views.iter().any(|view| view.name == **name))
            .map(|name| project.library.report(name))
            .collect(),
    };
    for report in reports.into_iter().flatten() {
        let spots = integer_divisions(session, &report).await.unwrap_or_default();
        warnings.extend(spots.iter().map(|spot| warning(&report.source, spot)));
    }
    warnings
}

/// What is printed of a view or report that is in order.
struct Outcome {
    text: String,
    notes: Vec<String>,
}

impl From<String> for Outcome {
    fn from(text: String) -> Self {
        Self { text, notes: vec![] }
    }
}

async fn check_view(session: &Session, view: &View) -> Result<Outcome> {
    let planned = plan_view(session, view).await?;
    let notes = PlannedNotes::of_view(session, view).await?.check(session).await?;
    if planned.checks.is_empty() {
        return Ok(Outcome { text: "planned".into(), notes });
    }
    let checked = run_checks(session, &view.source, planned).await?;
    Ok(Outcome { text: format!("{} rows, {} checks hold", checked.rows, checked.checks), notes })
}

async fn check_report(session: &Session, report: &Report) -> Result<Outcome> {
    let needed: Vec<&str> =
        report.params.iter().filter(|param| param.default.is_none()).map(|param| param.name.as_str()).collect();
    let values = report.sample_values()?;
    let (mut rows, mut checks, mut unknown) = (0, 0, Vec::new());
    for section in &report.sections {
        let planned = plan_section(session, report, section, &values).await?;
        if needed.is_empty() {
            let checked = run_checks(session, &report.source, planned).await?;
            rows += checked.rows;
            checks += checked.checks;
            unknown.extend(checked.nulls.names());
        }
    }
    let notes = PlannedNotes::of_report(session, report, &values).await?;
    if needed.is_empty() {
        let mut notes = notes.check(session).await?;
        if !unknown.is_empty() {
            notes.push(format!("NULL throughout: {}", unknown.join(", ")));
        }
        return Ok(Outcome { text: format!("{rows} rows, {checks} checks hold"), notes });
    }
    Ok(format!("planned; not run, it needs -p {}", needed.join(", -p ")).into())
}

/// What running a plan with its checks showed.
struct Checked {
    rows: u64,
    checks: usize,
    nulls: Nulls,
}

/// Which figures of a result are NULL throughout.
struct Nulls {
    /// Columns, and whether any value of them is known.
    columns: Vec<(String, bool)>,
    /// The figures of a result with one figure per row (`kpi`, `value`), and whether any value of them is known.
    figures: BTreeMap<String, bool>,
    has_rows: bool,
}

impl Nulls {
    fn new(schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| (field.name().clone(), false)).collect();
        Self { columns, figures: BTreeMap::new(), has_rows: false }
    }

    fn add(&mut self, batch: &RecordBatch) {
        self.has_rows |= batch.num_rows() > 0;
        for ((_, is_known), column) in self.columns.iter_mut().zip(batch.columns()) {
            *is_known |= column.logical_null_count() < column.len();
        }
        let (Some(names), Some(values)) = (batch.column_by_name("kpi"), batch.column_by_name("value")) else { return };
        for row in 0..batch.num_rows() {
            if let Ok(name) = array_value_to_string(names, row) {
                *self.figures.entry(name).or_insert(false) |= values.is_valid(row);
            }
        }
    }

    fn names(self) -> Vec<String> {
        if !self.has_rows {
            return Vec::new();
        }
        let all = if self.figures.is_empty() { self.columns } else { self.figures.into_iter().collect() };
        all.into_iter().filter(|(_, is_known)| !is_known).map(|(name, _)| name).collect()
    }
}

/// Executes a plan and checks every row.
async fn run_checks(
    session: &Session,
    source: &std::sync::Arc<crate::source::Source>,
    planned: crate::report::CheckedPlan,
) -> Result<Checked> {
    let mut checks = planned.checks;
    let mut execution = session.execute(source, &planned.plan).await?;
    let mut rows = 0;
    let mut nulls = Nulls::new(&execution.schema);
    while let Some(batch) = execution.stream.next().await {
        let looked = batch.and_then(|batch| {
            rows += batch.num_rows() as u64;
            nulls.add(&batch);
            checks.iter_mut().try_for_each(|check: &mut Check| check.check_batch(&batch))
        });
        if let Err(error) = looked {
            return Err(session.execution_error(error, source, &execution.plan).await);
        }
    }
    let failed: Vec<String> =
        checks.iter().filter(|check| check.verdict.failed_count > 0).map(Check::failure).collect();
    if failed.is_empty() {
        Ok(Checked { rows, checks: checks.len(), nulls })
    } else {
        Err(Error::Check { message: failed.join("\n") })
    }
}

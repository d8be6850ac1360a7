//! Executes planned statements: each section once, its rows into every output that takes them, its checks on the way.
//!
//! The command line writes one output; a job writes several at once, so that a page, a workbook and a mail of one run hold
//! the same figures.

use std::sync::{Arc, LazyLock, PoisonError};
use std::time::Duration;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::notes::PlannedNotes;
use crate::output::{Destination, Format, OutputOptions, ReaderState, Writer};
use crate::render::{self, PageFacts, PageSection, Presentation, SharedFindings};
use crate::report::{Alert, BoundValues, Chart, Check, Report, plan_section};
use crate::session::{Session, SharedPlan};
use crate::source::Source;

/// Interval of [`RunObserver::tick`].
const TICK: Duration = Duration::from_millis(100);

static STOP: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Requests that running statements be cancelled.
pub(crate) fn request_stop() {
    STOP.send_replace(true);
}

/// Waits for [`request_stop`].
pub(crate) async fn stop_requested() {
    // the sender is static and never closes
    let _ = STOP.subscribe().wait_for(|is_stopped| *is_stopped).await;
}

/// A statement that is ready to be executed, with its presentation and its conditions.
#[derive(Debug)]
pub(crate) struct PlannedStatement {
    /// Its heading.
    pub title: Option<String>,
    /// The source that contains it.
    pub source: Arc<Source>,
    /// The logical plan with all parameters bound.
    pub plan: LogicalPlan,
    /// The plan as it is executed, if it was optimized with the other statements of its run.
    pub shared: Option<SharedPlan>,
    /// Conditions that every row must meet.
    pub checks: Vec<Check>,
    /// Conditions over the result of which recipients are notified.
    pub alerts: Vec<Alert>,
    /// Its chart.
    pub chart: Option<Chart>,
}

impl PlannedStatement {
    /// A statement without checks, alerts and chart.
    pub(crate) fn new(title: Option<String>, source: Arc<Source>, plan: LogicalPlan) -> Self {
        Self { title, source, plan, shared: None, checks: vec![], alerts: vec![], chart: None }
    }
}

/// Plans the sections of a report, or only the one with the number `section`.
///
/// # Errors
/// As [`plan_section`]; a section that does not exist.
pub(crate) async fn plan_report(
    session: &Session,
    report: &Report,
    values: &BoundValues,
    section: Option<usize>,
) -> Result<Vec<PlannedStatement>> {
    let sections = select_section(report.sections.iter().collect(), section)?;
    let mut statements = Vec::with_capacity(sections.len());
    for section in sections {
        let planned = plan_section(session, report, section, values).await?;
        statements.push(PlannedStatement {
            title: Some(section.title.clone().unwrap_or_else(|| report.title.clone())),
            source: Arc::clone(&report.source),
            plan: planned.plan,
            shared: None,
            checks: planned.checks,
            alerts: section.alerts.clone(),
            chart: section.chart.clone(),
        });
    }
    Ok(statements)
}

/// Optimizes the statements and notes of a run together: what several of them read is computed once.
pub(crate) fn share(session: &Session, statements: &mut [PlannedStatement], notes: &mut PlannedNotes) {
    let plans: Vec<&LogicalPlan> = statements.iter().map(|statement| &statement.plan).chain(notes.plans()).collect();
    let mut shared = session.share(&plans).into_iter();
    for (statement, plan) in statements.iter_mut().zip(shared.by_ref()) {
        statement.shared = plan;
    }
    notes.set_shared(shared);
}

/// Keeps the section with the number `wanted`, counted from 1; all without a number.
///
/// # Errors
/// A number that no section has.
pub(crate) fn select_section<T>(sections: Vec<T>, wanted: Option<usize>) -> Result<Vec<T>> {
    let count = sections.len();
    match wanted {
        None => Ok(sections),
        Some(number) if (1..=count).contains(&number) => Ok(sections.into_iter().skip(number - 1).take(1).collect()),
        Some(number) => Err(Error::usage(format!("--section wants a number from 1 to {count}, got {number}"))),
    }
}

/// Opens a writer for the rows of `statements`. Pages show `report` and the values of its parameters.
///
/// # Errors
/// As [`render::open_writer`]; a table whose freshness cannot be read, for a page.
pub(crate) async fn open_writer(
    session: &Session,
    format: Format,
    destination: Destination,
    options: OutputOptions,
    statements: &[&PlannedStatement],
    report: Option<(&Report, &BoundValues)>,
    findings: &SharedFindings,
) -> Result<Writer> {
    let options = OutputOptions { memory: session.encoder_memory(), ..options };
    // facts cost queries of their own
    let facts = if format.shows_facts() { Some(page_facts(session, statements, report).await?) } else { None };
    let presentation = Presentation {
        sections: page_sections(statements, facts.as_ref()),
        title: report.map(|(report, _)| report.title.clone()).unwrap_or_default(),
        facts,
        findings: Arc::clone(findings),
    };
    Ok(render::open_writer(format, destination, options, presentation).await?)
}

/// The facts of a page or mail about the statements.
///
/// # Errors
/// A table that cannot be read; no statement at all.
pub(crate) async fn page_facts(
    session: &Session,
    statements: &[&PlannedStatement],
    report: Option<(&Report, &BoundValues)>,
) -> Result<PageFacts> {
    let plans: Vec<&LogicalPlan> = statements.iter().map(|statement| &statement.plan).collect();
    match (report, statements.first()) {
        (Some((report, values)), _) => PageFacts::of_report(session, report, values, &plans).await,
        (None, Some(statement)) => PageFacts::of_plans(session, &statement.source, &plans).await,
        (None, None) => Err(Error::usage("there is no result to make a page of")),
    }
}

/// Title and chart of each statement. A title that repeats that of the page is left out.
pub(crate) fn page_sections(statements: &[&PlannedStatement], facts: Option<&PageFacts>) -> Vec<PageSection> {
    let section = |statement: &&PlannedStatement| PageSection {
        title: statement.title.clone().filter(|title| facts.is_none_or(|facts| *title != facts.title)),
        chart: statement.chart.clone(),
    };
    statements.iter().map(section).collect()
}

/// An output of a run: all sections, or one of them.
#[derive(Debug)]
pub(crate) struct OutputTarget {
    /// Writes the output.
    pub writer: Writer,
    /// The only section that is written, counted from 1; `None` for all.
    pub section: Option<usize>,
}

/// Observes a run. Sections are counted from 1.
pub(crate) trait RunObserver: Send {
    /// A section's physical plan has been started.
    ///
    /// # Errors
    /// An error ends the run.
    fn begun(&mut self, _section: usize, _statement: &PlannedStatement, _plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        Ok(())
    }

    /// A section has returned a batch.
    ///
    /// # Errors
    /// An error ends the run.
    fn rows(&mut self, _section: usize, _batch: &RecordBatch) -> Result<()> {
        Ok(())
    }

    /// Called ten times a second while a section runs.
    fn tick(&mut self, _plan: &Arc<dyn ExecutionPlan>) {}

    /// A section has returned all its rows.
    ///
    /// # Errors
    /// An error ends the run.
    fn ended(&mut self, _section: usize, _statement: &PlannedStatement, _plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        Ok(())
    }
}

/// Evaluates the notes of a run whose rows have ended and adds them to its findings.
///
/// # Errors
/// Notes of the report that fail.
pub(crate) async fn add_notes(
    session: &Session,
    notes: &PlannedNotes,
    findings: &SharedFindings,
) -> Result<Vec<String>> {
    let notes = notes.evaluate(session).await?;
    findings.lock().unwrap_or_else(PoisonError::into_inner).notes.extend(notes.iter().cloned());
    Ok(notes)
}

/// Executes the statements into the targets. The caller ends the writers, or aborts them after an error.
///
/// # Errors
/// A statement that fails, an output that cannot be written, an error of the observer.
pub(crate) async fn write(
    session: &Session,
    statements: &mut [PlannedStatement],
    targets: &mut [OutputTarget],
    findings: &SharedFindings,
    observer: &mut dyn RunObserver,
) -> Result<()> {
    for index in 0..statements.len() {
        if write_section(session, statements, index, targets, findings, observer).await? == ReaderState::Closed {
            break;
        }
    }
    Ok(())
}

async fn write_section(
    session: &Session,
    statements: &mut [PlannedStatement],
    index: usize,
    targets: &mut [OutputTarget],
    findings: &SharedFindings,
    observer: &mut dyn RunObserver,
) -> Result<ReaderState> {
    let (section, sections) = (index + 1, statements.len());
    let Some(statement) = statements.get_mut(index) else { return Ok(ReaderState::Closed) };
    let mut takers: Vec<&mut OutputTarget> =
        targets.iter_mut().filter(|target| target.section.is_none_or(|wanted| wanted == section)).collect();
    let mut execution = session.execute_of_run(&statement.source, &statement.plan, statement.shared.as_ref()).await?;
    observer.begun(section, statement, &execution.plan)?;
    let mut open = 0;
    for target in &mut takers {
        let title = statement.title.as_deref().filter(|_| sections > 1 && target.section.is_none());
        let reader_state = target.writer.begin_section(title, Arc::clone(&execution.schema)).await?;
        open += usize::from(reader_state == ReaderState::Open);
    }
    // without a target the rows are only for the observer and the checks
    let mut is_wanted = open > 0 || takers.is_empty();
    let mut ticks = tokio::time::interval(TICK);
    while is_wanted {
        tokio::select! {
            batch = execution.stream.next() => {
                let Some(batch) = batch else { break };
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(error) => return Err(session.execution_error(error, &statement.source, &execution.plan).await),
                };
                for check in &mut statement.checks {
                    if let Err(error) = check.check_batch(&batch) {
                        return Err(session.error(error, &statement.source).await);
                    }
                }
                observer.rows(section, &batch)?;
                let mut open = 0;
                for target in &mut takers {
                    open += usize::from(target.writer.write(&batch).await? == ReaderState::Open);
                }
                is_wanted = open > 0 || takers.is_empty();
            }
            _ = ticks.tick() => observer.tick(&execution.plan),
        }
    }
    let verdicts = statement.checks.iter().map(|check| (check.text.clone(), check.verdict.clone()));
    findings.lock().unwrap_or_else(PoisonError::into_inner).checks.extend(verdicts);
    observer.ended(section, statement, &execution.plan)?;
    Ok(if is_wanted { ReaderState::Open } else { ReaderState::Closed })
}

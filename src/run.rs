//! Running planned statements: each section once, its rows into every result that wants them, its checks on the way.
//!
//! The command line writes one result to one place; a job writes several at once, so that a page, a workbook and a mail
//! of one run hold the same figures.

use std::sync::{Arc, LazyLock, PoisonError};
use std::time::Duration;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::output::{Destination, Format, Options, Outcome, Writer};
use crate::page::{Checked, Facts, PageSection, PageSink, PngSink};
use crate::report::{Alert, Chart, Check, Report, Values, plan_section};
use crate::session::Session;
use crate::source::Source;

/// How often a watcher hears of a running statement.
const TICK: Duration = Duration::from_millis(100);

static STOP: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Asks what runs to give its result up.
pub fn request_stop() {
    STOP.send_replace(true);
}

/// Waits for [`request_stop`].
pub async fn stop_requested() {
    // the sender is static and never closes
    let _ = STOP.subscribe().wait_for(|is_stopped| *is_stopped).await;
}

/// One statement to run.
#[derive(Debug)]
pub struct Step {
    /// Its heading.
    pub title: Option<String>,
    /// The text that holds it.
    pub source: Arc<Source>,
    /// The statement with its values bound.
    pub plan: LogicalPlan,
    /// Conditions that every row meets.
    pub checks: Vec<Check>,
    /// Conditions that somebody wants to be told of.
    pub alerts: Vec<Alert>,
    /// How it is drawn.
    pub chart: Option<Chart>,
}

/// The sections of a report, planned; `section` picks one.
///
/// # Errors
/// As [`plan_section`]; a section that is not there.
pub async fn plan_report(
    session: &Session,
    report: &Report,
    values: &Values,
    section: Option<usize>,
) -> Result<Vec<Step>> {
    let sections = pick(report.sections.iter().collect(), section)?;
    let mut steps = Vec::with_capacity(sections.len());
    for section in sections {
        let planned = plan_section(session, report, section, values).await?;
        steps.push(Step {
            title: Some(section.title.clone().unwrap_or_else(|| report.title.clone())),
            source: Arc::clone(&report.source),
            plan: planned.plan,
            checks: planned.checks,
            alerts: section.alerts.clone(),
            chart: section.chart.clone(),
        });
    }
    Ok(steps)
}

/// Picks one of several sections; without a wish all.
///
/// # Errors
/// A number that no section has.
pub fn pick<T>(items: Vec<T>, wanted: Option<usize>) -> Result<Vec<T>> {
    let count = items.len();
    match wanted {
        None => Ok(items),
        Some(number) if (1..=count).contains(&number) => Ok(items.into_iter().skip(number - 1).take(1).collect()),
        Some(number) => Err(Error::usage(format!("--section wants a number from 1 to {count}, got {number}"))),
    }
}

/// Opens a writer for the rows of `steps`. `report` and the values of its parameters are told on a page.
///
/// # Errors
/// As [`Writer::open`]; a page whose facts cannot be gathered.
pub async fn open_writer(
    session: &Session,
    format: Format,
    destination: Destination,
    options: Options,
    steps: &[&Step],
    report: Option<(&Report, &Values)>,
    checked: &Checked,
) -> Result<Writer> {
    let sheet_charts = steps.iter().map(|step| step.chart.as_ref().and_then(Chart::sheet_chart)).collect();
    let options = Options { memory: session.encoder_memory(), sheet_charts, ..options };
    Ok(match format {
        Format::Html => {
            let facts = facts(session, steps, report).await?;
            let section = |step: &&Step| {
                // the page's heading is not said twice
                let title = step.title.clone().filter(|title| *title != facts.title);
                PageSection { title, chart: step.chart.clone() }
            };
            let sections = steps.iter().map(section).collect();
            let sink = PageSink::new(facts, sections, Arc::clone(checked), options.page_rows);
            Writer::open_with(format, destination, options, Box::new(sink)).await?
        }
        Format::Png => {
            let step = steps.first();
            let title = step.and_then(|step| step.title.clone()).unwrap_or_default();
            let sink = PngSink::new(step.and_then(|step| step.chart.clone()), &title);
            Writer::open_with(format, destination, options, Box::new(sink)).await?
        }
        _ => Writer::open(format, destination, options).await?,
    })
}

/// What a page or mail of the steps says beside their rows.
///
/// # Errors
/// A table that cannot be read; no step at all.
pub async fn facts(session: &Session, steps: &[&Step], report: Option<(&Report, &Values)>) -> Result<Facts> {
    let plans: Vec<&LogicalPlan> = steps.iter().map(|step| &step.plan).collect();
    match (report, steps.first()) {
        (Some((report, values)), _) => Facts::of_report(session, report, values, &plans).await,
        (None, Some(step)) => Facts::of_plans(session, &step.source, &plans).await,
        (None, None) => Err(Error::usage("there is no result to make a page of")),
    }
}

/// One result and the section that it holds; all without a number.
#[derive(Debug)]
pub struct Target {
    /// Where the rows go.
    pub writer: Writer,
    /// The only section that it takes, counted from 1.
    pub section: Option<usize>,
}

/// Who looks at a run while it goes on. Sections are counted from 1.
pub trait Watch: Send {
    /// A section's operators have started.
    ///
    /// # Errors
    /// What the watcher cannot take ends the run.
    fn begun(&mut self, _section: usize, _step: &Step, _plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        Ok(())
    }

    /// A section has given rows.
    ///
    /// # Errors
    /// As [`Watch::begun`].
    fn rows(&mut self, _section: usize, _batch: &RecordBatch) -> Result<()> {
        Ok(())
    }

    /// Time has passed.
    fn tick(&mut self, _plan: &Arc<dyn ExecutionPlan>) {}

    /// A section has given all its rows.
    ///
    /// # Errors
    /// As [`Watch::begun`].
    fn ended(&mut self, _section: usize, _step: &Step, _plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        Ok(())
    }
}

/// Runs the steps into the targets. The writers still have to be ended, or aborted after an error.
///
/// # Errors
/// A statement that fails, a result that cannot be written, what the watcher gives.
pub async fn write(
    session: &Session,
    steps: &mut [Step],
    targets: &mut [Target],
    checked: &Checked,
    watch: &mut dyn Watch,
) -> Result<()> {
    for at in 0..steps.len() {
        if write_step(session, steps, at, targets, checked, watch).await? == Outcome::Closed {
            break;
        }
    }
    Ok(())
}

async fn write_step(
    session: &Session,
    steps: &mut [Step],
    at: usize,
    targets: &mut [Target],
    checked: &Checked,
    watch: &mut dyn Watch,
) -> Result<Outcome> {
    let (section, sections) = (at + 1, steps.len());
    let Some(step) = steps.get_mut(at) else { return Ok(Outcome::Closed) };
    let mut wanting: Vec<&mut Target> =
        targets.iter_mut().filter(|target| target.section.is_none_or(|wanted| wanted == section)).collect();
    let mut execution = session.execute(&step.source, &step.plan).await?;
    watch.begun(section, step, &execution.plan)?;
    let mut open = 0;
    for target in &mut wanting {
        let title = step.title.as_deref().filter(|_| sections > 1 && target.section.is_none());
        let outcome = target.writer.begin_section(title, Arc::clone(&execution.schema)).await?;
        open += usize::from(outcome == Outcome::Open);
    }
    // without any target the rows are only looked at
    let mut is_wanted = open > 0 || wanting.is_empty();
    let mut ticks = tokio::time::interval(TICK);
    while is_wanted {
        tokio::select! {
            batch = execution.stream.next() => {
                let Some(batch) = batch else { break };
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(error) => return Err(session.execution_error(error, &step.source, &execution.plan).await),
                };
                for check in &mut step.checks {
                    if let Err(error) = check.look_at(&batch) {
                        return Err(session.error(error, &step.source).await);
                    }
                }
                watch.rows(section, &batch)?;
                let mut open = 0;
                for target in &mut wanting {
                    open += usize::from(target.writer.write(&batch).await? == Outcome::Open);
                }
                is_wanted = open > 0 || wanting.is_empty();
            }
            _ = ticks.tick() => watch.tick(&execution.plan),
        }
    }
    let verdicts = step.checks.iter().map(|check| (check.text.clone(), check.verdict.clone()));
    checked.lock().unwrap_or_else(PoisonError::into_inner).extend(verdicts);
    watch.ended(section, step, &execution.plan)?;
    Ok(if is_wanted { Outcome::Open } else { Outcome::Closed })
}

//! Notes of a run: sentences about its figures, such as how many rows were left out and why.
//!
//! They are the rows of statements headed `-- notes:`, in the file of the report and in those of the views that it reads,
//! also by way of other views and reports. The statements are planned with the run, so that faults show before it starts,
//! and executed once, after the rows, so that these do not wait for them.

use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::LogicalPlan;
use futures::StreamExt;

use crate::error::{Error, Result};
use crate::report::{BoundValues, Report, plan_notes};
use crate::session::{Session, SharedPlan, View};
use crate::source::Source;

/// Maximum notes of one statement; the others are counted.
const MAX_NOTES: usize = 20;

/// The planned notes of a run.
#[derive(Debug, Default)]
pub(crate) struct PlannedNotes {
    /// Notes that are known before the run.
    known: Vec<String>,
    statements: Vec<NotesStatement>,
}

/// A planned statement of notes.
#[derive(Debug)]
struct NotesStatement {
    source: Arc<Source>,
    plan: LogicalPlan,
    /// The plan as it is executed, if it was optimized with the other statements of its run.
    shared: Option<SharedPlan>,
    /// The view that it is about, if it is not that of the report.
    view: Option<String>,
}

impl PlannedNotes {
    /// Plans the notes of a report, and of the views and reports that the statements planned since the last run read.
    ///
    /// # Errors
    /// Notes that cannot be planned or are no column of strings.
    pub(crate) async fn of_run(session: &Session, report: Option<(&Report, &BoundValues)>) -> Result<Self> {
        let reads = session.take_reads();
        let mut planned = match report {
            Some((report, values)) => Self::of_report(session, report, values).await?,
            None => Self::default(),
        };
        for view in session.views().filter(|view| reads.contains(&view.name)) {
            planned.statements.extend(Self::of_view(session, view).await?.statements);
        }
        for name in &reads {
            if let Some(notes) = session.report_notes(name).await? {
                planned.statements.extend(Self::new(&notes.source, None, notes.plans)?.statements);
            }
        }
        planned.known = session.take_notes();
        Ok(planned)
    }

    /// Plans the notes of a report, without those of the views that it reads.
    ///
    /// # Errors
    /// As [`PlannedNotes::of_run`].
    pub(crate) async fn of_report(session: &Session, report: &Report, values: &BoundValues) -> Result<Self> {
        let plans = plan_notes(session, report, values).await?;
        Self::new(&report.source, None, plans)
    }

    /// Plans the notes of a view, without those of the views that it reads.
    ///
    /// # Errors
    /// As [`PlannedNotes::of_run`].
    pub(crate) async fn of_view(session: &Session, view: &View) -> Result<Self> {
        Self::new(&view.source, Some(&view.name), session.view_notes(view).await?)
    }

    fn new(source: &Arc<Source>, view: Option<&str>, plans: Vec<LogicalPlan>) -> Result<Self> {
        let mut statements = Vec::with_capacity(plans.len());
        for plan in plans {
            let fields = plan.schema().fields();
            let is_text = fields.first().is_some_and(|field| is_string(field.data_type()));
            if fields.len() != 1 || !is_text {
                let found: Vec<String> =
                    fields.iter().map(|field| crate::types::type_name(field.data_type()).to_string()).collect();
                return Err(Error::at(
                    source,
                    None,
                    format!("notes are one column of text, here are {} ({})", fields.len(), found.join(", ")),
                )
                .help("select one expression, such as count(*) || ' contacts have no start'"));
            }
            let (source, view) = (Arc::clone(source), view.map(str::to_string));
            statements.push(NotesStatement { source, plan, shared: None, view });
        }
        Ok(Self { known: vec![], statements })
    }

    /// The notes that are known before the run.
    pub(crate) fn known(&self) -> &[String] {
        &self.known
    }

    /// The plans of the statements.
    pub(crate) fn plans(&self) -> impl Iterator<Item = &LogicalPlan> {
        self.statements.iter().map(|statement| &statement.plan)
    }

    /// Sets the plans that are executed, one for each of [`PlannedNotes::plans`].
    pub(crate) fn set_shared(&mut self, plans: impl Iterator<Item = Option<SharedPlan>>) {
        for (statement, plan) in self.statements.iter_mut().zip(plans) {
            statement.shared = plan;
        }
    }

    /// Executes the statements. Returns all notes, those known before the run first.
    ///
    /// The notes of a view that fail are a note themselves: the figures of the run do not depend on them.
    ///
    /// # Errors
    /// Notes of the report that fail.
    pub(crate) async fn evaluate(&self, session: &Session) -> Result<Vec<String>> {
        let mut notes = self.known.clone();
        for statement in &self.statements {
            let found = match (statement.evaluate(session).await, &statement.view) {
                (Err(Error::Stopped), _) => return Err(Error::Stopped),
                (Err(error), Some(view)) => {
                    vec![format!(
                        "the notes of the view {view} fail, `cxql check {view}` shows where: {}",
                        first_line(&error)
                    )]
                }
                (found, _) => found?,
            };
            for note in found {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        Ok(notes)
    }

    /// Executes the statements; the first that fails is an error.
    ///
    /// # Errors
    /// Notes that fail.
    pub(crate) async fn check(&self, session: &Session) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for statement in &self.statements {
            notes.extend(statement.evaluate(session).await?);
        }
        Ok(notes)
    }
}

impl NotesStatement {
    async fn evaluate(&self, session: &Session) -> Result<Vec<String>> {
        let mut execution = session.execute_of_run(&self.source, &self.plan, self.shared.as_ref()).await?;
        let mut notes = Vec::new();
        let mut more_count = 0;
        while let Some(batch) = execution.stream.next().await {
            let texts = batch.and_then(|batch| Ok(cast(batch.column(0), &DataType::Utf8)?));
            let texts = match texts {
                Ok(texts) => texts,
                Err(error) => return Err(session.execution_error(error, &self.source, &execution.plan).await),
            };
            for text in texts.as_string::<i32>().iter().flatten().map(str::trim).filter(|text| !text.is_empty()) {
                if notes.len() < MAX_NOTES { notes.push(text.to_string()) } else { more_count += 1 }
            }
        }
        // the parts of a UNION come in any order
        if !matches!(self.plan, LogicalPlan::Sort(_) | LogicalPlan::Limit(_)) {
            notes.sort();
        }
        if more_count > 0 {
            notes.push(format!("... and {more_count} notes more"));
        }
        Ok(notes)
    }
}

fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_string(values),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_string()
}

//! One attempt of a run: wait for its dependencies, write its results to the staging folder, plan its deliveries.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{MemTable, provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;

use super::context::{SchedulerContext, log, retry_at};
use super::job::{Job, jobs};
use super::output_names::fill_output;
use super::recipients::unknown_line;
use crate::config::FailedCheck;
use crate::error::{Error, Result};
use crate::execute::{self, OutputTarget, PlannedStatement, RunObserver, plan_report};
use crate::history::{AlertRecord, AttemptOutcome, Content, DeliveryKind, NewDelivery, Purpose, Run, RunState};
use crate::notes::PlannedNotes;
use crate::output::{Destination, Format, OutputOptions};
use crate::project::Project;
use crate::render::{MailPage, SharedFindings, value_text};
use crate::report::Group;
use crate::report::{AlertOutcome, BoundValues};
use crate::session::Session;

/// Maximum rows of a table in a mail.
const MAIL_ROWS: usize = 50;

/// Interval between checks whether the run was requested to stop.
const STOP_POLL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// The result of an attempt.
enum AttemptResult {
    /// A dependency is not available yet.
    Wait { at: DateTime<Utc>, reason: String },
    /// A dependency was not available by the deadline.
    WaitExpired(String),
    /// The run has completed.
    Completed(Box<RunResults>),
}

struct RunResults {
    row_count: u64,
    parameters: String,
    note: Option<String>,
    alerts: Vec<AlertRecord>,
    deliveries: Vec<NewDelivery>,
}

impl SchedulerContext {
    /// Executes one attempt of a run that this process has claimed, and records its outcome. `release` ends it so that
    /// another process continues; `stopped` ends it for good.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) async fn execute(
        &self,
        run: &Run,
        release: impl Future<Output = ()>,
        stopped: impl Future<Output = ()>,
    ) -> Result<RunState> {
        log("info", &format!("{} starts, try {}", run.run_id, run.attempt));
        let known = self.jobs.iter().find(|job| job.name == run.job);
        let timeout = known.map_or(std::time::Duration::from_secs(3600), |job| job.timeout);
        let ended = tokio::select! {
            result = tokio::time::timeout(timeout, self.attempt(run)) => match result {
                Ok(Ok(result)) => Ok(result),
                Ok(Err(error)) => Err((error.to_string(), false)),
                Err(_) => Err((format!("it took longer than its limit of {} seconds", timeout.as_secs()), false)),
            },
            () = release => {
                self.with_retries(|| self.store.finish_attempt(run, &AttemptOutcome::Released, &[], self.now())).await?;
                log("info", &format!("{} is left to the next scheduler", run.run_id));
                return Ok(RunState::Queued);
            }
            () = stopped => Err(("stopped by Ctrl-C".into(), true)),
            () = self.stop_requested(run) => Err(("stopped for the run after it, or by hand".into(), true)),
        };
        let (outcome, deliveries) = match ended {
            Ok(AttemptResult::Completed(results)) => {
                let RunResults { row_count, parameters, note, alerts, deliveries } = *results;
                (AttemptOutcome::Completed { row_count, parameters, note, alerts }, deliveries)
            }
            Ok(AttemptResult::Wait { at, reason }) => (AttemptOutcome::Wait { at, reason }, vec![]),
            Ok(AttemptResult::WaitExpired(error)) => {
                let notices = self.failure(known, run, &error);
                (AttemptOutcome::Terminated { state: RunState::Failed, error }, notices)
            }
            Err((error, true)) => (AttemptOutcome::Terminated { state: RunState::Stopped, error }, vec![]),
            Err((error, false)) => match known.filter(|_| run.attempt < run.max_attempts) {
                Some(job) => {
                    let at = retry_at(self.now(), job.retry_delay, job.retry_max, run.attempt);
                    (AttemptOutcome::Retry { at, error }, vec![])
                }
                None => {
                    let notices = self.failure(known, run, &error);
                    (AttemptOutcome::Terminated { state: RunState::Failed, error }, notices)
                }
            },
        };
        if !matches!(outcome, AttemptOutcome::Completed { .. }) {
            let _ = fs::remove_dir_all(self.store.staging(&run.run_id));
        }
        let state = match &outcome {
            AttemptOutcome::Completed { .. } if deliveries.iter().any(|delivery| delivery.purpose.is_result()) => {
                RunState::Delivering
            }
            AttemptOutcome::Completed { .. } => RunState::Succeeded,
            AttemptOutcome::Retry { .. } => RunState::Retrying,
            AttemptOutcome::Wait { .. } => RunState::Waiting,
            AttemptOutcome::Terminated { state, .. } => *state,
            AttemptOutcome::Released => RunState::Queued,
        };
        let text = match &outcome {
            AttemptOutcome::Retry { at, error } => format!("failed, again at {}: {error}", at.format("%H:%M:%S")),
            AttemptOutcome::Wait { reason, .. } => format!("waits: {reason}"),
            AttemptOutcome::Terminated { state, error } => format!("{}: {error}", state.name()),
            AttemptOutcome::Completed { row_count, note: None, .. } => format!("is made, {row_count} rows"),
            AttemptOutcome::Completed { row_count, note: Some(note), .. } => {
                format!("is made, {row_count} rows; {}", note.replace('\n', "; "))
            }
            AttemptOutcome::Released => "is released".into(),
        };
        log(
            if matches!(outcome, AttemptOutcome::Completed { .. } | AttemptOutcome::Wait { .. }) {
                "info"
            } else {
                "error"
            },
            &format!("{} {text}", run.run_id),
        );
        if !self.with_retries(|| self.store.finish_attempt(run, &outcome, &deliveries, self.now())).await? {
            log("error", &format!("{} was taken over by another process", run.run_id));
        }
        Ok(state)
    }

    /// Writes to the history, retrying for a minute: a disk may be full for a moment.
    async fn with_retries<T>(&self, change: impl Fn() -> Result<T>) -> Result<T> {
        const TRIES: u32 = 30;
        for _ in 1..TRIES {
            match change() {
                Err(error @ Error::History { .. }) => log("error", &error.to_string()),
                done => return done,
            }
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        }
        change()
    }

    /// Completes when the run is requested to stop.
    async fn stop_requested(&self, run: &Run) {
        loop {
            tokio::time::sleep(STOP_POLL_INTERVAL).await;
            // a history that cannot be read now may be readable at the next check
            if self.store.is_stop_requested(&run.run_id).unwrap_or(false) {
                return;
            }
        }
    }

    async fn attempt(&self, run: &Run) -> Result<AttemptResult> {
        // reports and settings are resolved again for every run
        let project = Project::resolve(&self.cli_options)?;
        let jobs = jobs(&project)?;
        let job = jobs.iter().find(|job| job.name == run.job);
        let job = job.ok_or_else(|| Error::usage(format!("cxql.toml has no job `{}` any more", run.job)))?;
        if let Some(reason) = self.missing_dependency(&jobs, job, run)? {
            return Ok(self.wait(job, run, reason));
        }
        let session = project.open(false).await?;
        for wait in &job.wait_for {
            if let Some(reason) = wait.missing(&session, run.scheduled_at, job.zone).await? {
                return Ok(self.wait(job, run, reason));
            }
        }
        let results = self.produce(&project, job, run, &session).await?;
        Ok(AttemptResult::Completed(Box::new(results)))
    }

    fn wait(&self, job: &Job, run: &Run, reason: String) -> AttemptResult {
        let now = self.now();
        // the deadline of a run for a time long past counts from its own start
        let base = run.started_at.unwrap_or(now).max(run.scheduled_at);
        let span = |span: std::time::Duration| chrono::Duration::from_std(span).unwrap_or_default();
        let deadline = base + span(job.wait_deadline);
        if now >= deadline {
            return AttemptResult::WaitExpired(format!(
                "waited until {} in vain: {reason}",
                deadline.format("%Y-%m-%d %H:%M:%S UTC")
            ));
        }
        AttemptResult::Wait { at: (now + span(job.wait_every)).min(deadline), reason }
    }

    /// Describes the first dependency without a successful run for this time; `None` if there is none.
    fn missing_dependency(&self, jobs: &[Job], job: &Job, run: &Run) -> Result<Option<String>> {
        for name in &job.depends_on {
            let needed = jobs.iter().find(|other| other.name == *name);
            let at = match needed.and_then(|needed| needed.schedule.as_ref()) {
                Some(schedule) => schedule.before(run.scheduled_at),
                None => Some(run.scheduled_at),
            };
            let Some(at) = at else { continue };
            let runs = self.store.runs_for(name, at)?;
            if !runs.iter().any(|run| run.state == RunState::Succeeded) {
                let state = runs.last().map_or("has not run", |run| run.state.name());
                return Ok(Some(format!("job {name} for {}: {state}", at.format("%Y-%m-%d %H:%M:%S UTC"))));
            }
        }
        Ok(None)
    }

    async fn produce(&self, project: &Project, job: &Job, run: &Run, session: &Session) -> Result<RunResults> {
        let report = &job.report;
        let values = job.values(run.scheduled_at)?;
        let mut steps = plan_report(session, report, &values, None).await?;
        let mut planned_notes = PlannedNotes::of_run(session, Some((report, &values))).await?;
        execute::share(session, &mut steps, &mut planned_notes);
        let absent = planned_notes.known();
        if !absent.is_empty() && steps.iter().all(|step| !reads_data(&step.plan)) {
            return Err(Error::data(format!("no data: {}", absent.join("; "))));
        }
        let checked = SharedFindings::default();
        let staging = self.store.staging(&run.run_id);
        // left over from an interrupted attempt
        let _ = fs::remove_dir_all(&staging);
        fs::create_dir_all(&staging).map_err(|cause| Error::Io { action: "make", path: staging.clone(), cause })?;
        let mut files: Vec<(Format, PathBuf)> = Vec::new();
        let mut targets: Vec<OutputTarget> = Vec::new();
        let wanted = job.outputs.iter().map(|output| (output.format, output.section));
        for (format, section) in wanted.chain(job.attach.iter().map(|format| (*format, None))) {
            let path = staging.join(format!("{}-{}.{}", run.attempt, files.len() + 1, format.endings()[0]));
            let section_steps: Vec<&PlannedStatement> = steps
                .iter()
                .enumerate()
                .filter(|(at, _)| section.is_none_or(|wanted| wanted == at + 1))
                .map(|(_, step)| step)
                .collect();
            let options = OutputOptions { sections: section_steps.len(), ..OutputOptions::default() };
            let destination = Destination::File(path.clone());
            let opened = execute::open_writer(
                session,
                format,
                destination,
                options,
                &section_steps,
                Some((report, &values)),
                &checked,
            )
            .await;
            match opened {
                Ok(writer) => targets.push(OutputTarget { writer, section }),
                Err(error) => {
                    abort(targets).await;
                    return Err(error);
                }
            }
            files.push((format, path));
        }
        let all: Vec<&PlannedStatement> = steps.iter().collect();
        let facts = execute::page_facts(session, &all, Some((report, &values))).await?;
        let sections = execute::page_sections(&all, Some(&facts));
        let page = MailPage::new(facts, sections, Arc::clone(&checked), MAIL_ROWS);
        let mut collector = ResultCollector {
            page,
            row_count: 0,
            has_figures: false,
            alert_rows: vec![],
            memory_left: session.encoder_memory(),
        };
        let written = match execute::write(session, &mut steps, &mut targets, &checked, &mut collector).await {
            Ok(()) if collector.row_count > 0 && !collector.has_figures => {
                let mut reasons = vec![format!("all figures of the {} rows are NULL", collector.row_count)];
                reasons.extend_from_slice(absent);
                Err(Error::data(format!("no data: {}", reasons.join("; "))))
            }
            Ok(()) => execute::add_notes(session, &planned_notes, &checked).await,
            Err(error) => Err(error),
        };
        let notes = match written {
            Ok(notes) => notes,
            Err(error) => {
                abort(targets).await;
                return Err(error);
            }
        };
        for target in targets {
            target.writer.end().await?;
        }
        let failed_checks = self.failed_checks(job, &checked)?;
        let (alerts, groups) = collector.alerts(session, &steps, &values).await?;
        let notifications = self.store.preview_alerts(run, &alerts, self.now())?;
        let mut deliveries = self.outputs(project, job, run, &files)?;
        let links: Vec<String> = deliveries.iter().map(|delivery| delivery.target.clone()).collect();
        let attachments = attachments(job, run, &files)?;
        deliveries.extend(
            self.messages(
                project,
                job,
                run,
                session,
                &collector,
                &notifications,
                &alerts,
                &groups,
                &links,
                &attachments,
            )
            .await?,
        );
        if let Some(note) = &failed_checks {
            let title = format!("job {}: a check fails", job.name);
            deliveries.extend(self.notice(job, run, title, vec![format!("run {}", run.run_id), note.clone()]));
        }
        let parameters = report.params.iter().zip(&values);
        let parameters = parameters.map(|(param, value)| format!("{}={}", param.name, value_text(value)));
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        let unknown = alerts.iter().filter_map(|alert| Some(unknown_line(&alert.alert, alert.unknown.as_deref()?)));
        let remarks: Vec<String> =
            failed_checks.into_iter().chain(unknown).chain(notes.iter().map(|note| format!("note: {note}"))).collect();
        let note = (!remarks.is_empty()).then(|| remarks.join("\n"));
        Ok(RunResults { row_count: collector.row_count, parameters, note, alerts, deliveries })
    }

    fn failed_checks(&self, job: &Job, checked: &SharedFindings) -> Result<Option<String>> {
        let checked = checked.lock().unwrap_or_else(PoisonError::into_inner);
        let failed: Vec<String> = checked
            .checks
            .iter()
            .filter(|(_, verdict)| verdict.failed_count > 0)
            .map(|(text, verdict)| {
                let first = verdict.first_failed.as_deref().unwrap_or_default();
                format!(
                    "the check `{text}` fails for {} of {} rows, first: {first}",
                    verdict.failed_count, verdict.row_count
                )
            })
            .collect();
        if failed.is_empty() {
            return Ok(None);
        }
        let message = failed.join("\n");
        match job.failed_check {
            FailedCheck::Notify => Ok(Some(message)),
            FailedCheck::Fail => Err(Error::Check { message }),
        }
    }

    /// Plans the delivery of the files and objects of a job.
    fn outputs(
        &self,
        project: &Project,
        job: &Job,
        run: &Run,
        files: &[(Format, PathBuf)],
    ) -> Result<Vec<NewDelivery>> {
        let mut deliveries = Vec::with_capacity(job.outputs.len());
        for (output, (_, path)) in job.outputs.iter().zip(files) {
            let fields = job.template_fields(&run.run_id, run.scheduled_at);
            let folders = &project.job_settings.defaults.output_folders;
            let target = fill_output(&output.template, fields, &project.folder, folders);
            let target = target.map_err(|error| Error::usage(format!("job `{}`: {error}", job.name)))?;
            let (sha256, byte_count) = hash(path)?;
            let relative = path.strip_prefix(self.store.folder()).unwrap_or(path).display().to_string();
            deliveries.push(NewDelivery {
                purpose: Purpose::Result,
                kind: DeliveryKind::Output,
                target,
                recipients: vec![],
                content: Content::File { path: relative, sha256, byte_count },
                message_id: None,
                is_repeatable: true,
                keep: output.keep.map(|keep| (output.template.clone(), keep)),
            });
        }
        Ok(deliveries)
    }
}

async fn abort(targets: Vec<OutputTarget>) {
    for target in targets {
        target.writer.abort().await;
    }
}

/// The SHA-256 hash in hexadecimal digits and the size in bytes of a file.
fn hash(path: &Path) -> Result<(String, u64)> {
    use sha2::{Digest, Sha256};
    let failed = |cause| Error::Io { action: "read", path: path.to_path_buf(), cause };
    let mut file = fs::File::open(path).map_err(failed)?;
    let (mut digest, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        size += read as u64;
    }
    Ok((digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

/// Reads the files that are attached to mails.
fn attachments(job: &Job, run: &Run, files: &[(Format, PathBuf)]) -> Result<Vec<(String, &'static str, Vec<u8>)>> {
    let mut attachments = Vec::with_capacity(job.attach.len());
    for (format, path) in files.iter().skip(job.outputs.len()) {
        let bytes = fs::read(path).map_err(|cause| Error::Io { action: "read", path: path.clone(), cause })?;
        // the mail contains it from here on
        let _ = fs::remove_file(path);
        let day = run.scheduled_at.with_timezone(&job.zone).format("%Y-%m-%d");
        attachments.push((format!("{}-{day}.{}", job.report.name, format.endings()[0]), media_type(*format), bytes));
    }
    Ok(attachments)
}

fn media_type(format: Format) -> &'static str {
    match format {
        Format::Table => "text/plain; charset=utf-8",
        Format::Csv => "text/csv; charset=utf-8",
        Format::Tsv => "text/tab-separated-values; charset=utf-8",
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Markdown => "text/markdown; charset=utf-8",
        Format::Parquet => "application/vnd.apache.parquet",
        Format::Arrow => "application/vnd.apache.arrow.file",
        Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Format::Html => "text/html; charset=utf-8",
        Format::Png => "image/png",
    }
}

/// Observes a run: collects what mails show and the rows that alerts are evaluated on.
pub(super) struct ResultCollector {
    pub(super) page: MailPage,
    pub(super) row_count: u64,
    /// Whether any cell but labels has a value; a result of labels only has no figures to lack.
    has_figures: bool,
    /// The rows of each section with alerts; `None` if they exceed the memory limit.
    alert_rows: Vec<Option<Vec<RecordBatch>>>,
    memory_left: usize,
}

impl RunObserver for ResultCollector {
    fn begun(&mut self, _section: usize, step: &PlannedStatement, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        self.page.begin(&plan.schema());
        self.alert_rows.push((!step.alerts.is_empty()).then(Vec::new));
        Ok(())
    }

    fn rows(&mut self, _section: usize, batch: &RecordBatch) -> Result<()> {
        self.row_count += batch.num_rows() as u64;
        self.has_figures = self.has_figures || has_figures(batch);
        self.page.add(batch)?;
        if let Some(alert_rows) = self.alert_rows.last_mut()
            && let Some(batches) = alert_rows
        {
            match self.memory_left.checked_sub(batch.get_array_memory_size()) {
                Some(memory_left) => {
                    self.memory_left = memory_left;
                    batches.push(batch.clone());
                }
                None => *alert_rows = None,
            }
        }
        Ok(())
    }
}

impl ResultCollector {
    /// Evaluates the alerts. Returns their records, and the columns of the groups by group name.
    async fn alerts(
        &self,
        session: &Session,
        steps: &[PlannedStatement],
        values: &BoundValues,
    ) -> Result<(Vec<AlertRecord>, BTreeMap<String, Group>)> {
        let mut records = Vec::new();
        let mut groups = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            let alert_rows = self.alert_rows.get(at).and_then(Option::as_ref);
            for alert in &step.alerts {
                // the rows that were delivered, so that result and alert agree; if they were too many, the query runs
                // again
                let plan = alert_rows.and_then(|batches| rows_as_plan(&step.plan, batches));
                let AlertOutcome { bad, unknown } =
                    alert.evaluate(session, &step.source, values, plan.as_ref().unwrap_or(&step.plan)).await?;
                for bad in &bad {
                    groups.insert(bad.name(), bad.group.clone());
                }
                records.push(AlertRecord {
                    alert: alert.text.clone(),
                    severity: alert.severity.name().into(),
                    section: at + 1,
                    good_runs: alert.good_runs,
                    bad: bad.iter().map(|bad| (bad.name(), bad.figures.clone())).collect(),
                    unknown: unknown.map(str::to_string),
                });
            }
        }
        Ok((records, groups))
    }
}

/// Returns true if any cell but labels has a value, or there are labels only.
fn has_figures(batch: &RecordBatch) -> bool {
    let figures = || batch.columns().iter().filter(|column| !is_label(column.data_type()));
    let is_known = |column: &Arc<dyn Array>| column.logical_null_count() < column.len();
    batch.num_rows() > 0 && (figures().next().is_none() || figures().any(is_known))
}

fn is_label(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_label(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        _ => false,
    }
}

/// Returns true if a plan reads a table that is not one of the model's absent ones, or none at all.
fn reads_data(plan: &LogicalPlan) -> bool {
    let (mut scan_count, mut absent_count) = (0, 0);
    let counted = plan.apply_with_subqueries(|node| {
        // table functions such as range() are no data
        if let LogicalPlan::TableScan(scan) = node
            && !scan.table_name.table().ends_with(')')
        {
            scan_count += 1;
            let provider = source_as_provider(&scan.source);
            absent_count += usize::from(provider.is_ok_and(|table| table.is::<EmptyTable>()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    counted.is_err() || scan_count == 0 || absent_count < scan_count
}

/// A plan that returns these rows under the column names of `plan`.
fn rows_as_plan(plan: &LogicalPlan, batches: &[RecordBatch]) -> Option<LogicalPlan> {
    let schema = batches.first()?.schema();
    let table = MemTable::try_new(schema, vec![batches.to_vec()]).ok()?;
    let scan = LogicalPlanBuilder::scan("result", provider_as_source(Arc::new(table)), None).ok()?;
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(Some("result"), field.name()));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    scan.project(columns).ok()?.build().ok()
}

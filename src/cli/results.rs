//! Executes planned statements and writes their results: shared by `run`, `query` and `shell`.

use std::collections::{BTreeMap, HashSet};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use cxql_engine::EngineOptions;
use cxql_engine::shared::SharedExec;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use url::Url;

use crate::error::{Error, Result};
use crate::execute::{self, OutputTarget, PlannedStatement, RunObserver};
use crate::notes::PlannedNotes;
use crate::output::{Destination, Format, OutputError, OutputOptions, TableOptions, Width};
use crate::render::{self, Presentation, SharedFindings};
use crate::report::{BoundValues, Report};
use crate::session::Session;

/// Duration after which a query shows a progress bar.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// Format and destination of results.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ResultArgs {
    /// table, csv, tsv, json, ndjson, markdown, parquet, arrow, xlsx, html or png [default: by the ending of -o; table on a
    /// terminal, csv into a pipe]
    #[arg(short, long, value_name = "FORMAT")]
    pub(super) format: Option<String>,
    /// File or address to write to, whole or not at all
    #[arg(short, long, value_name = "PATH|URL")]
    pub(super) output: Option<String>,
    /// Rows that a table shows; 0 shows all [default: 40, in html 1000]
    #[arg(long, value_name = "N")]
    pub(super) max_rows: Option<usize>,
    /// Width of a table [default: the terminal's]
    #[arg(long, value_name = "COLUMNS")]
    pub(super) width: Option<u16>,
    /// Show the plan instead of running
    #[arg(long)]
    pub(super) explain: bool,
    /// Show time, rows and bytes read on standard error
    #[arg(long)]
    pub(super) timing: bool,
}

impl ResultArgs {
    pub(super) fn format(&self) -> Result<Format> {
        if let Some(path) = self.output.as_ref().filter(|path| std::path::Path::new(path).is_dir()) {
            return Err(OutputError::Folder { path: path.into() }.into());
        }
        Ok(match (&self.format, &self.output) {
            (Some(name), _) => name.parse::<Format>()?,
            (None, Some(path)) => Format::from_path(path)?,
            (None, None) if std::io::stdout().is_terminal() => Format::Table,
            (None, None) => Format::Csv,
        })
    }

    fn destination(&self, session: &Session) -> Result<Destination> {
        Ok(match self.output.as_deref() {
            None | Some("-") => Destination::Stdout,
            Some(text) if text.contains("://") => {
                let url =
                    Url::parse(text).map_err(|error| Error::usage(format!("-o: `{text}` is no address: {error}")))?;
                let (store, path) = session.object_store(&url)?;
                Destination::Object { store, path, url: text.to_string() }
            }
            Some(path) => Destination::File(path.into()),
        })
    }

    pub(super) fn options(&self, sections: usize) -> OutputOptions {
        let width = self.width.map_or(Width::Auto, Width::Fixed);
        let defaults = OutputOptions::default();
        let max_rows = self.max_rows.unwrap_or(defaults.table.max_rows);
        let table = TableOptions { width, max_rows, ..defaults.table };
        let page_rows = self.max_rows.unwrap_or(defaults.page_rows);
        // who names no format gets all sections into a pipe
        let csv_blocks = self.format.is_none() && self.output.is_none();
        OutputOptions { sections, table, page_rows, csv_blocks, ..defaults }
    }
}

/// Executes statements into one result. Pages show `report` and the values of its parameters.
pub(super) async fn show(
    session: &Session,
    args: &ResultArgs,
    mut statements: Vec<PlannedStatement>,
    report: Option<(&Report, &BoundValues)>,
) -> Result<()> {
    let mut notes = PlannedNotes::of_run(session, report).await?;
    for text in notes.known() {
        super::note(text);
    }
    execute::share(session, &mut statements, &mut notes);
    if args.explain {
        return explain(session, statements).await;
    }
    let format = args.format()?;
    let mut meter = Meter::new(args.output.is_none() && format != Format::Table);
    let options = args.options(statements.len());
    let findings = SharedFindings::default();
    let destination = args.destination(session)?;
    let all: Vec<&PlannedStatement> = statements.iter().collect();
    let writer = execute::open_writer(session, format, destination, options, &all, report, &findings).await?;
    let mut targets = [OutputTarget { writer, section: None }];
    let run = async {
        execute::write(session, &mut statements, &mut targets, &findings, &mut meter).await?;
        execute::add_notes(session, &notes, &findings).await
    };
    let result = tokio::select! {
        ended = run => ended,
        () = execute::stop_requested() => Err(Error::Stopped),
    };
    meter.clear();
    let [OutputTarget { writer, .. }] = targets;
    let all_notes = match result {
        Ok(notes) => notes,
        Err(error) => {
            writer.abort().await;
            return Err(error);
        }
    };
    let written = writer.end().await?;
    for text in all_notes.iter().filter(|text| !notes.known().contains(text)) {
        super::note(text);
    }
    if args.timing {
        meter.report(written.rows);
    }
    if let Some(path) = args.output.as_deref().filter(|path| *path != "-") {
        let _ = writeln!(
            std::io::stderr(),
            "wrote {} rows, {} to {path}",
            HumanCount(written.rows),
            HumanBytes(written.bytes)
        );
    }
    Ok(())
}

async fn explain(session: &Session, statements: Vec<PlannedStatement>) -> Result<()> {
    for statement in statements {
        let state = session.state();
        let optimized = match &statement.shared {
            Some(shared) => Ok(shared.logical().clone()),
            None => state.optimize(&statement.plan),
        };
        let optimized = match optimized {
            Ok(plan) => plan,
            Err(error) => return Err(session.error(error, &statement.source).await),
        };
        let physical = match session.physical_plan_of_run(&statement.plan, statement.shared.as_ref()).await {
            Ok(plan) => plan,
            Err(error) => return Err(session.error(error, &statement.source).await),
        };
        let title = statement.title.map(|title| format!("-- {title}\n")).unwrap_or_default();
        super::print(&format!(
            "{title}logical plan\n{}\n\nphysical plan\n{}\n",
            optimized.display_indent(),
            displayable(physical.as_ref()).indent(false)
        ))?;
        for reason in cxql_engine::sorted_window_reasons(&physical) {
            super::note(&format!("this window function sorts its input: {reason}"));
        }
    }
    let options = EngineOptions::of(session.state().config_options()).describe();
    let changed = options.iter().filter(|option| option.value != option.default);
    let changed: Vec<String> = changed.map(|option| format!("{} = {}", option.name, option.value)).collect();
    if !changed.is_empty() {
        super::note(&format!("engine options that differ from their defaults: {}", changed.join(", ")));
    }
    Ok(())
}

/// Time, rows and bytes read: a progress bar while a query runs, a summary after it.
struct Meter {
    started: Instant,
    bar: Option<ProgressBar>,
    is_quiet: bool,
    rows: u64,
    bytes: u64,
    /// The addresses of the scans that are counted: several statements may share one.
    counted: HashSet<usize>,
}

impl Meter {
    fn new(streams_to_stdout: bool) -> Self {
        let is_quiet = !std::io::stderr().is_terminal() || (streams_to_stdout && std::io::stdout().is_terminal());
        Self { started: Instant::now(), bar: None, is_quiet, rows: 0, bytes: 0, counted: HashSet::new() }
    }

    fn show(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        if self.is_quiet || self.started.elapsed() < PROGRESS_AFTER {
            return;
        }
        let read = Read::of(plan, &mut HashSet::new());
        let bar = self.bar.get_or_insert_with(|| {
            let bar =
                ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_elapsed(self.started.elapsed());
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        let share = match read.expected_rows {
            Some(total) if total > 0 => {
                let share = (read.rows as f64 / total as f64).min(1.0);
                let filled = (share * 20.0) as usize;
                format!("[{}{}] {:>3.0}%  ", "█".repeat(filled), "░".repeat(20 - filled), share * 100.0)
            }
            _ => String::new(),
        };
        bar.set_message(format!("{share}{} rows, {} read", HumanCount(read.rows), HumanBytes(read.bytes)));
        bar.tick();
    }

    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        let read = Read::of(plan, &mut self.counted);
        self.rows += read.rows;
        self.bytes += read.bytes;
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn report(&self, rows_out: u64) {
        let _ = writeln!(
            std::io::stderr(),
            "{:.3} s, {} rows and {} read, {} rows out",
            self.started.elapsed().as_secs_f64(),
            HumanCount(self.rows),
            HumanBytes(self.bytes),
            HumanCount(rows_out)
        );
    }
}

impl RunObserver for Meter {
    fn tick(&mut self, plan: &Arc<dyn ExecutionPlan>) {
        self.show(plan);
    }

    fn ended(&mut self, _section: usize, statement: &PlannedStatement, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        self.add(plan);
        for check in statement.checks.iter().filter(|check| check.verdict.failed_count > 0) {
            self.clear();
            let _ = writeln!(std::io::stderr(), "warning: {}", check.failure());
        }
        Ok(())
    }
}

/// Rows and bytes that the scans of a plan have read so far, from their metrics.
#[derive(Debug, Default)]
struct Read {
    rows: u64,
    bytes: u64,
    expected_rows: Option<u64>,
}

impl Read {
    /// Adds the scans of a plan to those `counted`, and reads the metrics of the new ones.
    fn of(plan: &Arc<dyn ExecutionPlan>, counted: &mut HashSet<usize>) -> Self {
        let mut read = Self { expected_rows: Some(0), ..Self::default() };
        read.add(plan, counted);
        read
    }

    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>, counted: &mut HashSet<usize>) {
        let children = plan.children();
        for child in &children {
            self.add(child, counted);
        }
        // a use of a shared subplan reads no data but its buffer
        let is_scan = children.is_empty() && !plan.is::<SharedExec>();
        if !is_scan || !counted.insert(Arc::as_ptr(plan).addr()) {
            return;
        }
        if let Some(metrics) = plan.metrics() {
            self.rows += metrics.output_rows().unwrap_or(0) as u64;
            self.bytes += metrics.sum_by_name("bytes_scanned").map_or(0, |bytes| bytes.as_usize()) as u64;
        }
        let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::default());
        let rows = statistics.map(|statistics| statistics.num_rows);
        self.expected_rows = match (self.expected_rows, rows) {
            (Some(known), Ok(Precision::Exact(rows) | Precision::Inexact(rows))) => Some(known + rows as u64),
            _ => None,
        };
    }
}

/// Parses `-p name=value` arguments.
pub(super) fn parameters(given: &[String]) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for text in given {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Error::usage(format!("-p wants name=value, got `{text}`")));
        };
        if values.insert(name.trim().to_string(), value.to_string()).is_some() {
            let name = name.trim();
            return Err(Error::usage(format!(
                "-p {name} stands twice: leave one out; the elements of a list are in one value, as in -p NAME='a, \"b, c\"'"
            )));
        }
    }
    Ok(values)
}

/// Writes batches that a command has computed itself, each a section with its title.
pub(super) async fn write_batches(
    args: &ResultArgs,
    format: Format,
    options: OutputOptions,
    sections: &[(Option<&str>, RecordBatch)],
) -> Result<()> {
    let destination = match args.output.as_deref() {
        None | Some("-") => Destination::Stdout,
        Some(path) => Destination::File(path.into()),
    };
    let mut writer = render::open_writer(format, destination, options, Presentation::default()).await?;
    for (title, batch) in sections {
        writer.begin_section(*title, batch.schema()).await?;
        writer.write(batch).await?;
    }
    writer.end().await?;
    Ok(())
}

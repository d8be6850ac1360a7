//! `cxql job list|run|history|resend|backfill`.

use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::results::{self, ResultArgs};
use crate::error::{Error, Result};
use crate::execute;
use crate::history::{DeliveryState, Requested, Run, RunState, Trigger};
use crate::project::CliOptions;
use crate::schedule::{SchedulerContext, SystemClock, local_to_utc};

#[derive(Debug, Args)]
pub(super) struct JobArgs {
    #[command(subcommand)]
    command: JobCommand,
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// List the jobs with their next and last runs
    List(ListArgs),
    /// Run a job here and now, under any scheduler
    Run(RunArgs),
    /// Show the runs of all jobs, of one, or the deliveries of one run
    History(HistoryArgs),
    /// Send what a run sent once more, exactly as it was
    Resend(ResendArgs),
    /// Run a job for each of its times in a period
    Backfill(BackfillArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    result: ResultArgs,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The job's name
    name: String,
    /// The time for which it runs, such as 2025-01-06T08:00 (in the job's zone) or 2025-01-06T07:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Run it anew also when it has run for that time
    #[arg(long)]
    again: bool,
}

#[derive(Debug, Args)]
struct HistoryArgs {
    /// A job or a run
    name: Option<String>,
    /// How many runs, the newest first
    #[arg(long, value_name = "N", default_value_t = 40)]
    limit: usize,
    #[command(flatten)]
    result: ResultArgs,
}

#[derive(Debug, Args)]
struct ResendArgs {
    /// The run, as `cxql job history` shows it
    run: String,
}

#[derive(Debug, Args)]
struct BackfillArgs {
    /// The job's name
    name: String,
    /// The first time
    #[arg(long, value_name = "TIME")]
    from: String,
    /// The last time
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Only show the times
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: JobArgs, options: &CliOptions) -> Result<ExitCode> {
    let context = SchedulerContext::open(options, Arc::new(SystemClock))?;
    match args.command {
        JobCommand::List(args) => list(&context, &args.result).await,
        JobCommand::Run(args) => run_one(&context, args).await,
        JobCommand::History(args) => history(&context, args).await,
        JobCommand::Resend(args) => resend(&context, &args.run).await,
        JobCommand::Backfill(args) => backfill(&context, args).await,
    }
}

async fn list(context: &SchedulerContext, args: &ResultArgs) -> Result<ExitCode> {
    let now = context.now();
    let (mut next, mut last, mut state, mut error) = (vec![], vec![], vec![], vec![]);
    for job in &context.jobs {
        next.push(job.schedule.as_ref().filter(|_| job.is_enabled).and_then(|schedule| schedule.after(now)));
        let newest = context.store.runs(Some(&job.name), 1)?.into_iter().next();
        last.push(newest.as_ref().map(|run| run.scheduled_at));
        state.push(newest.as_ref().map(|run| run.state.name()));
        error.push(newest.and_then(|run| run.error).and_then(|error| error.lines().next().map(str::to_string)));
    }
    let names: Vec<&str> = context.jobs.iter().map(|job| job.name.as_str()).collect();
    let reports: Vec<&str> = context.jobs.iter().map(|job| job.report.name.as_str()).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("job", Arc::new(StringArray::from(names))),
        ("report", Arc::new(StringArray::from(reports))),
        ("next_at", times(next)),
        ("last_scheduled_at", times(last)),
        ("last_state", Arc::new(StringArray::from(state))),
        ("last_error", Arc::new(StringArray::from(error))),
    ];
    show(columns, args).await
}

fn times(times: Vec<Option<DateTime<Utc>>>) -> ArrayRef {
    let micros: Vec<Option<i64>> = times.into_iter().map(|at| at.map(|at| at.timestamp_micros())).collect();
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

async fn show(columns: Vec<(&str, ArrayRef)>, args: &ResultArgs) -> Result<ExitCode> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.map_err(|error| Error::Engine { message: error.to_string() })?;
    results::write_batches(args, args.format()?, args.options(1), &[(None, batch)]).await?;
    Ok(ExitCode::SUCCESS)
}

async fn run_one(context: &SchedulerContext, args: RunArgs) -> Result<ExitCode> {
    let job = context.job(&args.name)?;
    context.check_secrets()?;
    let now = context.now();
    let at = match &args.at {
        Some(text) => time(text, job.zone, "--at")?,
        None => DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now),
    };
    match context.request_run(job, at, Trigger::Manual, args.again)? {
        Requested::Complete => {
            super::note(&format!("{} has run already; --again runs it once more", job.run_id(at)));
            Ok(ExitCode::SUCCESS)
        }
        Requested::Open(run_id) => conclude(context, &context.run_here(&run_id, execute::stop_requested()).await?),
    }
}

/// Reports how a run ended.
fn conclude(context: &SchedulerContext, run: &Run) -> Result<ExitCode> {
    let rows = run.row_count.map(|count| format!(", {count} rows")).unwrap_or_default();
    match run.state {
        RunState::Succeeded => {
            super::note(&format!("{} succeeded{rows}", run.run_id));
            // checks that fail, alerts of which it is unknown whether they are met, notes
            for line in run.error.iter().flat_map(|remarks| remarks.lines()) {
                super::note(line.trim_start_matches("note: "));
            }
            Ok(ExitCode::SUCCESS)
        }
        RunState::Delivering => Err(Error::data(format!(
            "{} is made and not everything of it is delivered; a scheduler or the next `cxql job run` goes on, \
             `cxql job history {}` says why",
            run.run_id, run.run_id
        ))),
        state => {
            let mut text = run.error.clone().unwrap_or_else(|| "no error is recorded".into());
            let deliveries = context.store.deliveries(&run.run_id)?;
            if deliveries.iter().any(|delivery| delivery.state == DeliveryState::Uncertain) {
                text.push_str(&format!(
                    "; what may have arrived is not sent again without your word: `cxql job resend {}` sends it, --again \
                     runs anew",
                    run.run_id
                ));
            }
            Err(Error::data(format!("{} {}: {text}", run.run_id, state.name())))
        }
    }
}

async fn history(context: &SchedulerContext, args: HistoryArgs) -> Result<ExitCode> {
    if let Some(name) = &args.name
        && let Some(run) = context.store.run(name)?
    {
        return deliveries(context, &run, &args.result).await;
    }
    if let Some(name) = args.name.as_deref().filter(|name| !context.jobs.iter().any(|job| job.name == *name)) {
        // a removed job still has a history
        if context.store.runs(Some(name), 1)?.is_empty() {
            context.job(name)?;
        }
    }
    let runs = context.store.runs(args.name.as_deref(), args.limit)?;
    let texts = |of: fn(&Run) -> Option<String>| -> ArrayRef { Arc::new(runs.iter().map(of).collect::<StringArray>()) };
    let took = |run: &Run| Some((run.ended_at? - run.started_at?).num_milliseconds() as f64 / 1000.0);
    let counts: Int64Array = runs.iter().map(|run| run.row_count.map(|count| count as i64)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("run", texts(|run| Some(run.run_id.clone()))),
        ("scheduled_at", times(runs.iter().map(|run| Some(run.scheduled_at)).collect())),
        ("trigger", texts(|run| Some(run.trigger.clone()))),
        ("state", texts(|run| Some(run.state.name().into()))),
        ("tries", Arc::new(runs.iter().map(|run| Some(i64::from(run.attempt))).collect::<Int64Array>())),
        ("started_at", times(runs.iter().map(|run| run.started_at).collect())),
        ("took_s", Arc::new(runs.iter().map(took).collect::<datafusion::arrow::array::Float64Array>())),
        ("row_count", Arc::new(counts)),
        ("error", texts(|run| run.error.as_ref().and_then(|error| error.lines().next().map(str::to_string)))),
    ];
    show(columns, &args.result).await
}

async fn deliveries(context: &SchedulerContext, run: &Run, args: &ResultArgs) -> Result<ExitCode> {
    if let Some(error) = &run.error {
        super::note(&format!("{} {}: {error}", run.run_id, run.state.name()));
    }
    let deliveries = context.store.deliveries(&run.run_id)?;
    let texts = |of: fn(&crate::history::Delivery) -> Option<String>| -> ArrayRef {
        Arc::new(deliveries.iter().map(of).collect::<StringArray>())
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("delivery", texts(|delivery| Some(delivery.delivery_id.clone()))),
        ("purpose", texts(|delivery| Some(delivery.purpose.name().into()))),
        ("target", texts(|delivery| Some(delivery.target.clone()))),
        ("recipients", texts(|delivery| Some(delivery.recipients.join(", ")).filter(|text| !text.is_empty()))),
        ("state", texts(|delivery| Some(delivery.state.name().into()))),
        ("tries", Arc::new(deliveries.iter().map(|delivery| Some(i64::from(delivery.tries))).collect::<Int64Array>())),
        ("sent_at", times(deliveries.iter().map(|delivery| delivery.sent_at).collect())),
        ("sha256", texts(|delivery| Some(delivery.sha256.clone()))),
        ("said", texts(|delivery| delivery.error.clone())),
    ];
    show(columns, args).await
}

async fn resend(context: &SchedulerContext, run_id: &str) -> Result<ExitCode> {
    if context.store.run(run_id)?.is_none() {
        return Err(Error::usage(format!("the history has no run `{run_id}`; `cxql job history` shows all")));
    }
    context.check_secrets()?;
    let count = context.store.resend(run_id, context.now())?;
    if count == 0 {
        super::note(&format!("{run_id} has sent nothing"));
        return Ok(ExitCode::SUCCESS);
    }
    context.deliver_here(run_id, execute::stop_requested()).await?;
    let open = context.store.deliveries(run_id)?;
    let sent = open.iter().filter(|delivery| delivery.state == DeliveryState::Sent).count();
    if !open.iter().all(|delivery| matches!(delivery.state, DeliveryState::Sent | DeliveryState::Superseded)) {
        return Err(Error::data(format!(
            "not everything of {run_id} is delivered; `cxql job history {run_id}` says why"
        )));
    }
    super::note(&format!("{run_id}: {count} of {sent} deliveries are sent again"));
    Ok(ExitCode::SUCCESS)
}

async fn backfill(context: &SchedulerContext, args: BackfillArgs) -> Result<ExitCode> {
    let job = context.job(&args.name)?;
    let schedule = job.schedule.as_ref();
    let schedule = schedule.ok_or_else(|| Error::usage(format!("job `{}` has no cron and so no times", job.name)))?;
    let (from, to) = (time(&args.from, job.zone, "--from")?, time(&args.to, job.zone, "--to")?);
    if from > to {
        return Err(Error::usage("--from is after --to"));
    }
    let all = schedule.between(from - chrono::Duration::microseconds(1), to);
    if all.is_empty() {
        super::note(&format!("{} has no time between {from} and {to}", job.name));
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        let shown = all.iter().map(|at| format!("{}\n", at.to_rfc3339_opts(SecondsFormat::Secs, true)));
        super::print(&shown.collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    context.check_secrets()?;
    let mut failed = 0;
    for at in &all {
        match context.request_run(job, *at, Trigger::Backfill, false)? {
            Requested::Complete => super::note(&format!("{} has run already", job.run_id(*at))),
            Requested::Open(run_id) => {
                let run = context.run_here(&run_id, execute::stop_requested()).await?;
                if let Err(error) = conclude(context, &run) {
                    failed += 1;
                    super::note(&error.to_string());
                }
            }
        }
    }
    if failed > 0 {
        return Err(Error::data(format!("{failed} of {} runs failed or are not delivered", all.len())));
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses a time: with an offset, or local in the time zone of the job; a date is its midnight.
fn time(text: &str, zone: Tz, option: &str) -> Result<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    let formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    let wall = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(NaiveTime::MIN));
    wall.or_else(day).and_then(|wall| local_to_utc(zone, wall)).ok_or_else(|| {
        Error::usage(format!(
            "{option} wants a time such as 2025-01-06, 2025-01-06T08:00 or 2025-01-06T07:00:00Z, got `{text}`"
        ))
    })
}

//! `cxql schedule`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::error::{Error, Result};
use crate::project::CliOptions;
use crate::schedule::{Scheduler, SchedulerContext, SystemClock};
use crate::signals::Signals;

#[derive(Debug, Args)]
pub(super) struct ScheduleArgs {
    /// Believe a clock that is far ahead of the time at which the history was last used
    #[arg(long)]
    accept_clock: bool,
}

pub(super) async fn run(args: ScheduleArgs, options: &CliOptions) -> Result<ExitCode> {
    let context = Arc::new(SchedulerContext::open(options, Arc::new(SystemClock))?);
    if context.jobs.is_empty() {
        return Err(Error::usage("cxql.toml has no [[job]]; docs/jobs.md says how one looks"));
    }
    let fault = |cause| Error::Engine { message: format!("signals cannot be handled: {cause}") };
    let signals = Signals::new().map_err(fault)?;
    let enabled = context.jobs.iter().filter(|job| job.is_enabled).count();
    super::note(&format!("{enabled} jobs, history in {}; Ctrl-C stops", context.project.job_settings.store.display()));
    Scheduler::new(context, args.accept_clock)?.run(signals).await?;
    Ok(ExitCode::SUCCESS)
}

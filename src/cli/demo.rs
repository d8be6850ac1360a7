//! `cxql demo DIR`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::error::{Error, Result};

impl From<cxql_demo::DemoError> for Error {
    fn from(error: cxql_demo::DemoError) -> Self {
        Self::Write(Box::new(error))
    }
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Folder to write the tables into
    dir: PathBuf,
    /// How many contacts
    #[arg(long, value_name = "N", default_value_t = cxql_demo::Options::default().contacts)]
    contacts: u64,
    /// The same seed gives the same data
    #[arg(long, value_name = "S", default_value_t = cxql_demo::Options::default().seed)]
    seed: u64,
}

pub(super) async fn run(args: DemoArgs) -> Result<ExitCode> {
    let bar = if std::io::stderr().is_terminal() && args.contacts >= 200_000 {
        let style = ProgressStyle::with_template("{bar:20} {percent:>3}%  {human_pos} of {human_len} contacts  {eta}");
        ProgressBar::new(args.contacts).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    } else {
        ProgressBar::hidden()
    };
    let shown = bar.clone();
    let options = cxql_demo::Options { contacts: args.contacts, seed: args.seed };
    let dir = args.dir.clone();
    let is_stopped = Arc::new(AtomicBool::new(false));
    let _stop = StopOnDrop(Arc::clone(&is_stopped));
    let written = tokio::task::spawn_blocking(move || {
        let mut progress = |done| {
            shown.set_position(done);
            if is_stopped.load(Ordering::Relaxed) {
                // unwinding removes unfinished files
                std::panic::resume_unwind(Box::new("stopped"));
            }
        };
        cxql_demo::write(&dir, &options, &mut progress)
    });
    let summary = written.await.map_err(|error| Error::Engine { message: error.to_string() })??;
    bar.finish_and_clear();
    let mut text = String::new();
    for table in &summary.tables {
        text.push_str(&format!(
            "{:<14} {:>12} rows  {:>10}\n",
            table.table,
            HumanCount(table.rows).to_string(),
            HumanBytes(table.bytes).to_string()
        ));
    }
    super::print(&text)?;
    let _ = writeln!(
        std::io::stderr(),
        "wrote {} to {}; try: cxql run kpi_overview --data {}",
        HumanBytes(summary.bytes()),
        args.dir.display(),
        args.dir.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Stops the writing thread when the command is cancelled.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

//! The command line: arguments in, exit code out. One file per command.

mod check;
mod demo;
#[cfg(test)]
mod faults;
mod functions;
mod job;
mod list;
mod query;
mod remote;
mod results;
mod run;
mod schedule;
mod serve;
mod shell;
mod show;
mod user;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Error, Result, causes};
use crate::project::{CliOptions, MAX_THREADS, Project};
use crate::signals::Signals;

/// Time for an orderly shutdown after a signal: uploads are aborted, a run is recorded.
const GRACE: Duration = Duration::from_millis(1200);

/// Time for a shutdown of a command that leaves only files of its own behind, which are removed then: enough to clear
/// the progress bar. The memory of its query is released with the process.
const BRIEF_GRACE: Duration = Duration::from_millis(30);

/// Polling interval while uploads end.
const TICK: Duration = Duration::from_millis(5);

/// Local tasks that a Tokio worker runs before it polls the global queue, and before it polls for I/O events. Tokio's
/// default of 61 is for short tasks: ours compute for milliseconds, so that it would take a second until a request to
/// stop is noticed.
const TASKS_BEFORE_OTHERS: u32 = 2;
const TASKS_BEFORE_EVENTS: u32 = 4;

/// Stack size of each worker thread; deep plans recurse.
const STACK_BYTES: usize = 8 << 20;

#[derive(Debug, Parser)]
#[command(
    name = "cxql",
    version,
    about = "SQL analytics for customer interactions",
    long_about = "SQL analytics for customer interactions: contacts, surveys, orders and events as Parquet on disk or \
                  S3, every analysis a .sql file.\n\nTry it: cxql demo data && cxql run kpi_overview",
    after_help = "Exit codes: 0 done; 1 the analysis failed (SQL, data, a failed check); 2 usage or configuration; \
                  130 stopped by Ctrl-C.",
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Project and limits (anywhere on the line)")]
struct Global {
    /// The project folder, with cxql.toml and sql/ [default: .]
    #[arg(long, global = true, value_name = "DIR", env = "CXQL_PROJECT", hide_env_values = true)]
    project: Option<PathBuf>,
    /// Folder or address of the data, such as s3://bucket/prefix [default: data]
    #[arg(long, global = true, value_name = "DIR|URL", env = "CXQL_DATA", hide_env_values = true)]
    data: Option<String>,
    /// The configuration file [default: cxql.toml in the project folder]
    #[arg(long, global = true, value_name = "FILE", env = "CXQL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Memory for queries, such as 4GB; beyond it they spill to disk [default: 3/4 of the machine's]
    #[arg(long, global = true, value_name = "SIZE", env = "CXQL_MEMORY", hide_env_values = true)]
    memory: Option<String>,
    /// Threads [default: one per core]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "CXQL_THREADS",
        hide_env_values = true,
        value_parser = threads
    )]
    threads: Option<usize>,
    /// Folder for spilled data [default: the system's temporary folder]
    #[arg(long, global = true, value_name = "DIR", env = "CXQL_TEMP_DIR", hide_env_values = true)]
    temp_dir: Option<PathBuf>,
    /// Folder of what is known of the keys of files [default: cxql in the user's cache folder]
    #[arg(long, global = true, value_name = "DIR", env = "CXQL_CACHE_DIR", hide_env_values = true)]
    cache_dir: Option<PathBuf>,
    /// Address of an S3-compatible store
    #[arg(long, global = true, value_name = "URL", env = "CXQL_S3_ENDPOINT", hide_env_values = true)]
    s3_endpoint: Option<String>,
    /// Region of S3 [default: AWS_REGION, or us-east-1]
    #[arg(long, global = true, value_name = "NAME", env = "CXQL_S3_REGION", hide_env_values = true)]
    s3_region: Option<String>,
    /// Allow plain http for the S3 endpoint
    #[arg(
        long,
        global = true,
        env = "CXQL_ALLOW_HTTP",
        hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    allow_http: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a report by name, or a .sql file by path
    Run(run::RunArgs),
    /// Run SQL given on the line, or read from standard input with `-`
    Query(query::QueryArgs),
    /// Type SQL and see results
    Shell(shell::ShellArgs),
    /// Serve tables, views and reports to BI tools over Arrow Flight SQL
    Serve(serve::ServeArgs),
    /// Run the jobs of cxql.toml at their times
    Schedule(schedule::ScheduleArgs),
    /// List, run and look back at jobs
    Job(job::JobArgs),
    /// Manage the users of the server
    User(user::UserArgs),
    /// List reports, views and tables
    List(list::ListArgs),
    /// Show a report or view: what it is, its parameters, its columns, its SQL
    Show(show::ShowArgs),
    /// Plan every view and report against the data and run their checks
    Check(check::CheckArgs),
    /// List the functions of customer analytics, or show one's page
    Functions(functions::FunctionsArgs),
    /// Write sample data
    Demo(demo::DemoArgs),
}

/// A number of threads.
fn threads(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(number) if (1..=MAX_THREADS).contains(&number) => Ok(number),
        _ => Err(format!("a whole number of at least 1 and at most {MAX_THREADS} is wanted")),
    }
}

/// A folder of the user's: the one that a variable names, else the one below the home folder.
fn user_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    folder(variable).or_else(|| Some(folder("HOME")?.join(below_home)))
}

impl Global {
    fn options(&self) -> CliOptions {
        // an empty environment variable counts as unset
        let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        let path = |value: &Option<PathBuf>| value.clone().filter(|path| !path.as_os_str().is_empty());
        CliOptions {
            project: path(&self.project),
            config: path(&self.config),
            data: text(&self.data),
            memory: text(&self.memory),
            threads: self.threads,
            temp_dir: path(&self.temp_dir),
            cache_dir: path(&self.cache_dir),
            user_cache: user_folder("XDG_CACHE_HOME", ".cache"),
            s3_endpoint: text(&self.s3_endpoint),
            s3_region: text(&self.s3_region),
            allow_http: self.allow_http,
            #[cfg(test)]
            faults: None,
        }
    }
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches_from(arguments());
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// The process's arguments. SQL that begins with a comment gets a space before it, so that it is not taken for an
/// option.
fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().map(|argument| match argument.to_str() {
        Some(text) if text.strip_prefix("--").is_some_and(|text| text.starts_with(char::is_whitespace)) => {
            format!(" {text}").into()
        }
        _ => argument,
    })
}

/// Writes an error to standard error. If that fails, only the exit code reports it.
fn report(error: &Error) {
    if !matches!(error, Error::Stopped) {
        let _ = writeln!(std::io::stderr(), "{}", message(error));
    }
}

/// An error as users see it.
fn message(error: &Error) -> String {
    let mut text = error.to_string();
    if let Error::WriteUsage(failed) | Error::Write(failed) = error {
        // add the causes that the message does not contain
        for cause in causes(failed.as_ref()) {
            let words = cause.to_string();
            if !text.contains(&words) && !words.contains("panicked") {
                text = format!("{text} ({})", words.chars().take(300).collect::<String>());
            }
        }
    }
    let prefix = if text.starts_with("error") { "" } else { "error: " };
    format!("{prefix}{}", printable(&text))
}

/// A message with its lines, in which values of the data have no other control characters.
fn printable(text: &str) -> String {
    text.split('\n').map(crate::output::visible).collect::<Vec<_>>().join("\n")
}

/// Writes a note to standard error.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {}", printable(text));
}

fn start(cli: Cli) -> Result<ExitCode> {
    let options = cli.global.options();
    quiet_panics();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(STACK_BYTES);
    builder.global_queue_interval(TASKS_BEFORE_OTHERS).event_interval(TASKS_BEFORE_EVENTS);
    if let Some(threads) = options.threads {
        builder.worker_threads(threads);
    }
    let runtime =
        builder.build().map_err(|cause| Error::Engine { message: format!("the system gives no threads: {cause}") })?;
    // this thread waits outside of the runtime, whose timers and signals are delayed while all workers are busy
    let (sender, events) = mpsc::channel();
    match cli.command {
        // server and scheduler handle signals themselves: queries and jobs end first
        Command::Serve(_) | Command::Schedule(_) => {}
        // Ctrl-C in the shell cancels the query only
        Command::Shell(_) => listen(true, sender.clone()),
        _ => listen(false, sender.clone()),
    }
    let is_brief = match &cli.command {
        Command::Run(_) | Command::Check(_) => true,
        Command::Query(args) => args.is_brief(),
        _ => false,
    };
    let command = runtime.spawn(run_command(cli.command, options));
    let stop = command.abort_handle();
    runtime.spawn(async move {
        let result = command.await.unwrap_or_else(|error| {
            Err(Error::Engine {
                message: format!("a fault of the program ended the command: {error}; please report it"),
            })
        });
        // the receiver is gone after a signal
        let _ = sender.send(Event::Done(result));
    });
    let event = events.recv();
    let since = Instant::now();
    let wait_for_uploads = |most| {
        while crate::output::has_uploads() && since.elapsed() < most {
            std::thread::sleep(TICK);
        }
    };
    let result = match event {
        Ok(Event::Done(result)) => result,
        Ok(Event::Signal) | Err(_) => {
            // a command that does not react is aborted
            crate::execute::request_stop();
            let _ = events.recv_timeout(if is_brief { BRIEF_GRACE } else { GRACE });
            wait_for_uploads(GRACE);
            stop.abort();
            Err(Error::Stopped)
        }
    };
    // uploads of a command that was aborted or has failed
    wait_for_uploads(GRACE + GRACE / 4);
    if is_brief {
        runtime.shutdown_background();
    } else {
        runtime.shutdown_timeout(GRACE / 4);
    }
    // a query that is still busy holds its spill files and its output
    crate::session::remove_spill_folders();
    crate::output::remove_unfinished();
    result
}

/// Reports a panic in one line. Those of decoders, and of the spreadsheet writer on a full disk, are caught and reported as
/// errors elsewhere.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("stopped");
        let is_reported = text == "stopped"
            || panic.location().is_some_and(|place| {
                crate::panics::is_caught(place.file()) || place.file().contains("/rust_xlsxwriter-")
            });
        if !is_reported {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "a fault of the program at {place}: {text}");
        }
    }));
}

/// Events that the main thread waits for.
enum Event {
    Done(Result<ExitCode>),
    Signal,
}

/// Waits for signals on its own thread. Signal handlers are installed when this returns.
fn listen(keeps_interrupts: bool, sender: mpsc::Sender<Event>) {
    let (ready, is_ready) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        // if this fails, signals keep the system's default action and the command goes on
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let waited = runtime.block_on(async {
            let signals = Signals::new();
            drop(ready);
            let mut signals = signals?;
            if keeps_interrupts {
                signals.terminated().await
            } else {
                signals.next().await
            }
            std::io::Result::Ok(())
        });
        if waited.is_ok() {
            // the command may have ended meanwhile
            let _ = sender.send(Event::Signal);
        }
    });
    // returns when the sender is dropped
    let _ = is_ready.recv();
}

async fn run_command(command: Command, options: CliOptions) -> Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args, Project::resolve(&options)?).await,
        Command::Query(args) => query::run(args, Project::resolve(&options)?).await,
        Command::Shell(args) => shell::run(args, Project::resolve(&options)?).await,
        Command::Serve(args) => serve::run(args, Project::resolve(&options)?).await,
        Command::Schedule(args) => schedule::run(args, &options).await,
        Command::Job(args) => job::run(args, &options).await,
        Command::User(args) => user::run(args, &options),
        Command::List(args) => list::run(args, Project::resolve(&options)?).await,
        Command::Show(args) => show::run(args, Project::resolve(&options)?).await,
        Command::Check(args) => check::run(args, Project::resolve(&options)?).await,
        Command::Functions(args) => functions::run(args).await,
        Command::Demo(args) => demo::run(args).await,
    }
}

/// Writes text to standard output. A closed pipe is no error.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "write to", path: "standard output".into(), cause })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}

//! Command channels: a program that is started with the message on its standard input.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::deliver::{CHANNEL_TIMEOUT, MAX_ANSWER_CHARS};
use super::mail::SendOutcome;
use crate::config::ChannelConfig;
use crate::error::{Error, Result};

/// Interval between checks whether the program has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The environment variables that every program gets.
const ENVIRONMENT: [&str; 17] = [
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TMPDIR",
    "TZ",
    "USER",
    // of Windows
    "APPDATA",
    "COMSPEC",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "USERPROFILE",
];

/// Starts the program in the project folder with an environment of its own and waits for its exit: exit code 0 is success, 75 (EX_TEMPFAIL) requests a
/// retry. `before_send` is called directly before the start.
///
/// # Errors
/// A channel without a command, an error of `before_send`.
pub(super) async fn send(
    name: &str,
    channel: &ChannelConfig,
    folder: &Path,
    delivery_id: &str,
    body: &[u8],
    before_send: impl FnOnce() -> Result<()>,
) -> Result<SendOutcome> {
    let Some((program, arguments)) = channel.command.split_first() else {
        return Err(Error::usage(format!("[channels.{name}] in cxql.toml: a command needs `command`")));
    };
    let describe = |text: String| format!("channel {name}: {text}");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear().env("CXQL_DELIVERY", delivery_id);
    // secrets of this program are none of the command's: it gets what is named, and what programs need to run
    let names = ENVIRONMENT.iter().copied().chain(channel.environment.iter().map(String::as_str));
    command.envs(names.filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    before_send()?;
    let child = match command.spawn() {
        Ok(child) => child,
        Err(cause) => return Ok(SendOutcome::Rejected(describe(format!("cannot start {program}: {cause}")))),
    };
    let timeout = channel.timeout.map_or(CHANNEL_TIMEOUT, |span| span.0);
    let body = body.to_vec();
    let ended = tokio::task::spawn_blocking(move || wait(child, body, timeout)).await;
    let (status, stderr_text) = match ended {
        Ok(Ok(ended)) => ended,
        Ok(Err(cause)) => return Ok(SendOutcome::Unknown(describe(format!("{program}: {cause}")))),
        Err(cause) => return Ok(SendOutcome::Unknown(describe(format!("{program}: {cause}")))),
    };
    Ok(match status.map(|status| status.code()) {
        Some(Some(0)) => SendOutcome::Accepted { response: describe("exit code 0".into()), refused: vec![] },
        Some(Some(75)) => SendOutcome::Retry(describe(format!("{program}: exit code 75: {stderr_text}"))),
        Some(Some(code)) => SendOutcome::Rejected(describe(format!("{program}: exit code {code}: {stderr_text}"))),
        Some(None) => SendOutcome::Unknown(describe(format!("{program} was ended by a signal: {stderr_text}"))),
        None => SendOutcome::Unknown(describe(format!(
            "{program} was stopped after {} seconds: {stderr_text}",
            timeout.as_secs()
        ))),
    })
}

/// Writes `body` to the program and waits at most `timeout` for its exit. Returns the exit status, `None` after a
/// timeout, and the beginning of its standard error.
fn wait(mut child: Child, body: Vec<u8>, timeout: Duration) -> io::Result<(Option<ExitStatus>, String)> {
    let started = Instant::now();
    let input = child.stdin.take();
    let errors = child.stderr.take();
    // a program that does not read its input, or writes much, must not block this thread
    std::thread::spawn(move || input.map(|mut input| input.write_all(&body)));
    let (sender, stderr_text) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut errors) = errors {
            let _ = errors.by_ref().take(4096).read_to_end(&mut text);
            let _ = sender.send(text);
            let _ = io::copy(&mut errors, &mut io::sink());
        }
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() >= timeout {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    // a grandchild may keep the pipe open
    let stderr_text = stderr_text.recv_timeout(Duration::from_millis(500)).unwrap_or_default();
    Ok((status, String::from_utf8_lossy(&stderr_text).trim().chars().take(MAX_ANSWER_CHARS).collect()))
}

//! Runs `cxql` with nothing of the caller's environment but its PATH.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::server::{ACCESS_KEY, SECRET_KEY, Server};

/// After this time a run counts as hung. It is no measure of speed: the machine may have more to do.
const HUNG: Duration = Duration::from_secs(180);

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) seconds: f64,
}

impl Run {
    /// Standard output of a run that succeeded.
    pub(crate) fn output(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Fails unless the run ended with this code, within half a minute, without output, and with one error that holds
    /// all of these texts.
    pub(crate) fn fails(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.seconds < 30.0, "{self:?}");
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert!(self.stderr.starts_with("error: ") && errors == 1, "{self:?}");
        for text in texts {
            assert!(self.stderr.contains(text), "no `{text}` in {}", self.stderr);
        }
    }
}

/// A user with a home and credentials of their own.
pub(crate) struct User {
    home: TempDir,
    project: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl User {
    /// A user of the server, with the shipped reports alone.
    pub(crate) fn of(server: &Server) -> Self {
        // a folder without `sql/`: what the program carries is run
        let user = Self { home: home(), project: root().join("tests/projects"), environment: vec![] };
        user.with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .with("AWS_REGION", "us-east-1")
            .with("CXQL_S3_ENDPOINT", &server.url())
            .with("CXQL_ALLOW_HTTP", "true")
    }

    /// A user without any S3 at all.
    pub(crate) fn plain() -> Self {
        Self { home: home(), project: root().join("tests/projects"), environment: vec![] }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self
    }

    pub(crate) fn in_project(mut self, name: &str) -> Self {
        self.project = root().join("tests/projects").join(name);
        self
    }

    /// The same user in another project.
    pub(crate) fn at(mut self, project: &str) -> Self {
        self.project = project.into();
        self
    }

    /// A path in the user's home, as text for an argument.
    pub(crate) fn file(&self, name: &str) -> String {
        self.home.path().join(name).to_str().expect("the path is UTF-8").to_owned()
    }

    /// The names in the user's home.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.home.path()).expect("the home can be read");
        files.map(|file| file.expect("the home can be read").file_name().to_string_lossy().into_owned()).collect()
    }

    pub(crate) fn cxql(&self, args: &[&str]) -> Run {
        self.start(args).end()
    }

    /// Starts the program, its input still to come.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cxql"))
            .args(args)
            .arg("--project")
            .arg(&self.project)
            .current_dir(self.home.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.home.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let stderr = in_background(child.stderr.take().expect("its errors are a pipe"));
        Running { child, stdin, stdout: Some(stdout), stderr, started }
    }
}

fn home() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn in_background(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        // nobody listens after the test has failed
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// A program that runs. It is ended with the test.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Receiver<String>,
    started: Instant,
}

impl Running {
    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the program reads its input");
    }

    /// Reads lines of output.
    pub(crate) fn read_lines(&mut self, count: usize) -> Vec<String> {
        let mut stdout = self.stdout.take().expect("the output is open");
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = Vec::new();
            for _ in 0..count {
                let mut line = String::new();
                match stdout.read_line(&mut line) {
                    Ok(1..) => lines.push(line.trim_end().to_owned()),
                    _ => break,
                }
            }
            let _ = send.send((lines, stdout));
        });
        let (lines, stdout) = receive.recv_timeout(HUNG).expect("the program answers");
        assert_eq!(lines.len(), count, "{lines:?}, and then the output ends");
        self.stdout = Some(stdout);
        lines
    }

    /// Presses Ctrl-C.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(status.expect("there is a kill").success());
    }

    /// Closes the input and waits for the end.
    pub(crate) fn end(mut self) -> Run {
        drop(self.stdin.take());
        let stdout = in_background(self.stdout.take().expect("the output is open"));
        let stdout = stdout.recv_timeout(HUNG).expect("the program ends");
        let stderr = self.stderr.recv_timeout(HUNG).expect("the program ends");
        let status = self.child.wait().expect("the program is ours");
        Run { code: status.code(), stdout, stderr, seconds: self.started.elapsed().as_secs_f64() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // one that has ended already cannot be ended again
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails unless both results are the same, cell by cell; sums of fractions may differ in their last digits, because they
/// depend on the order in which threads add them.
pub(crate) fn assert_same_rows(got: &str, wanted: &str, what: &str) {
    let cells = |text: &str| -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let is_same = |got: &String, wanted: &String| match (got.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(got), Ok(wanted)) => (got - wanted).abs() <= 1e-9 * wanted.abs().max(1.0),
        _ => got == wanted,
    };
    let (got, wanted) = (cells(got), cells(wanted));
    assert!(wanted.len() > 1, "{what}: no rows");
    for (got, wanted) in got.iter().zip(&wanted) {
        let same = got.len() == wanted.len() && got.iter().zip(wanted).all(|(got, wanted)| is_same(got, wanted));
        assert!(same, "{what}: got {got:?}, wanted {wanted:?}");
    }
    assert_eq!(got.len(), wanted.len(), "{what}: number of rows");
}

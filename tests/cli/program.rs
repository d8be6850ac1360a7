//! Runs `cxql` in a folder of its own and judges what it says.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

/// What no message may show: the insides of the program and of its libraries.
const INSIDES: [&str; 22] = [
    "External error",
    "Internal error",
    "Optimizer rule",
    "DataFusion error",
    "Error during planning",
    "Execution error",
    "Schema error",
    "SQL error",
    "user-defined coercion",
    "Candidate functions",
    "No function matches",
    "bug in DataFusion",
    "panicked",
    "RUST_BACKTRACE",
    "backtrace",
    "cxql.public.",
    "Ident {",
    "Span(",
    "Some(",
    "Object {",
    "usize",
    "Parquet error: Parquet error",
];

/// A project folder that is removed in the end.
pub(crate) struct Folder {
    folder: TempDir,
}

/// How the program ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) err: String,
    what: String,
}

/// How long one run may take; what is still running then will never end.
const LIMIT: Duration = Duration::from_secs(180);

/// Kills a process that runs too long, so that a test fails instead of waiting for ever.
pub(crate) struct Watch {
    ended: Sender<()>,
    watcher: JoinHandle<bool>,
}

impl Watch {
    pub(crate) fn start(id: u32, limit: Duration) -> Self {
        let (ended, end) = channel();
        let watcher = thread::spawn(move || {
            let is_late = end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if is_late {
                // it may have ended just now
                let _ = Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
            }
            is_late
        });
        Self { ended, watcher }
    }

    #[track_caller]
    pub(crate) fn end(self, what: &str) {
        // a watcher that has given up listens no more
        let _ = self.ended.send(());
        assert!(!self.watcher.join().expect("the watcher ends"), "{what} ran for too long and was killed");
    }
}

/// The sample data of the repository.
pub(crate) fn sample() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").display().to_string()
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A folder with these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        fs::write(path, content).expect("the file can be written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).expect("the file can be read")).into_owned()
    }

    /// The names in a folder, hidden ones too.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).expect("the folder can be read");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().display().to_string();
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    /// Makes a file of the rows of a query.
    pub(crate) fn make(&self, name: &str, sql: &str) {
        fs::create_dir_all(self.path(name).parent().expect("a file has a folder")).expect("the folder can be made");
        let ran = self.cxql(&["query", sql, "-o", name]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// The program, with nothing of the environment but the path, and a home of its own.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cxql"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        self.clean(&mut command);
        command
    }

    /// The program below `sh`, after a line of shell.
    pub(crate) fn command_after(&self, line: &str, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{line}\nexec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_cxql")).args(args);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        self.clean(&mut command);
        command
    }

    fn clean(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", self.folder.path());
    }

    /// Runs the program.
    pub(crate) fn cxql(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args), None)
    }

    /// Runs the program with environment variables.
    pub(crate) fn cxql_env(&self, env: &[(&str, &str)], args: &[&str]) -> Ran {
        let mut command = self.command(args);
        command.envs(env.iter().copied());
        Ran::of(command, None)
    }

    /// Runs the program with text on standard input.
    pub(crate) fn cxql_with(&self, input: impl AsRef<[u8]>, args: &[&str]) -> Ran {
        Ran::of(self.command(args), Some(input.as_ref()))
    }

    /// Runs a query.
    pub(crate) fn query(&self, sql: &str) -> Ran {
        self.cxql(&["query", sql])
    }

    /// Runs a query over the sample data.
    pub(crate) fn sampled(&self, sql: &str) -> Ran {
        self.cxql(&["query", sql, "--data", &sample()])
    }
}

impl Ran {
    /// Runs a command to its end, and fails if it shows its insides.
    pub(crate) fn of(mut command: Command, input: Option<&[u8]>) -> Self {
        let what: String = format!("{command:?}").chars().take(2_000).collect();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("the program starts");
        if let Some(input) = input {
            // the program may end before it has read everything
            let _ = child.stdin.take().expect("an input").write_all(input);
        }
        let watch = Watch::start(child.id(), LIMIT);
        let output = child.wait_with_output().expect("the program ends");
        watch.end(&what);
        Self::from_output(output, what)
    }

    pub(crate) fn from_output(output: Output, what: String) -> Self {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code().unwrap_or_else(|| panic!("{what} ends by {}:\n{err}", output.status));
        let ran = Self { code, bytes: output.stdout, err, what };
        for inside in INSIDES {
            assert!(!ran.err.contains(inside), "{} shows `{inside}`:\n{}", ran.what, ran.err);
        }
        ran
    }

    /// Standard output of a run that succeeded.
    #[track_caller]
    pub(crate) fn out(&self) -> String {
        assert_eq!(self.code, 0, "{}:\n{}", self.what, self.err);
        self.text()
    }

    /// Standard output however the run ended.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// A run that failed with this exit code, and says all of this.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}:\n{}\n{}", self.what, self.text(), self.err);
        for part in parts {
            assert!(self.err.contains(part), "{} does not say `{part}`:\n{}", self.what, self.err);
        }
        self
    }

    /// A warning or note of a run that succeeded.
    #[track_caller]
    pub(crate) fn says(&self, part: &str) -> &Self {
        assert_eq!(self.code, 0, "{}:\n{}", self.what, self.err);
        assert!(self.err.contains(part), "{} does not say `{part}`:\n{}", self.what, self.err);
        self
    }

    /// The carets stand below this text.
    #[track_caller]
    pub(crate) fn points_at(&self, text: &str) -> &Self {
        let found = below_carets(&self.err);
        assert_eq!(found.as_deref(), Some(text), "{}:\n{}", self.what, self.err);
        self
    }
}

/// What of the shown line stands above the carets. Only for lines of narrow characters without tabs.
fn below_carets(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let (Some(bar), Some(carets)) = (pair[1].find('|'), pair[1].find('^')) else { continue };
        if !pair[1][bar + 1..carets].trim().is_empty() || pair[0].find('|') != Some(bar) {
            continue;
        }
        let length = pair[1][carets..].chars().take_while(|c| *c == '^').count();
        return Some(pair[0].chars().skip(carets).take(length).collect());
    }
    None
}

#[test]
fn carets_are_found_below_the_line_that_they_mark() {
    let text = "error: no\n --> <query>:1:8\n  |\n1 | select nope from t\n  |        ^^^^ did you mean `hope`?\n  |\n";
    assert_eq!(below_carets(text).as_deref(), Some("nope"));
    assert_eq!(below_carets("error: no\n"), None);
}

//! Ctrl-C and the system's request to end: at once, and nothing stays behind.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::program::{Folder, Watch};

/// A sort that outgrows its memory and goes to disk for a long time.
const SPILLS: &str = "select md5(cast(value as text)) as t from range(200000000) order by t";

/// A query whose threads have no time to look up.
const BUSY: &str = "select a.value % 1000 as k, sum(b.value * a.value) as s from range(200000) as a cross join \
                    range(1000000) as b group by 1 order by 2";

/// Waits for what must come soon.
fn wait_for(what: &str, child: &mut Child, mut has_come: impl FnMut(&Child) -> bool) {
    let started = Instant::now();
    while !has_come(child) {
        if started.elapsed() > Duration::from_secs(60) {
            // a query that nobody stops would outlive the test
            let _ = child.kill();
            panic!("no {what} after a minute");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Whether the process handles a signal (Linux tells in `/proc`).
fn handles(child: &Child, signal: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0) >> (signal - 1) & 1 == 1
}

/// Sends a signal and returns how long the program took to end, its exit code, and what it said.
fn stop(child: Child, signal: &str) -> (Duration, Option<i32>, String) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let started = Instant::now();
    let watch = Watch::start(child.id(), Duration::from_secs(20));
    let output = child.wait_with_output().unwrap();
    watch.end("a stopped program");
    (started.elapsed(), output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn start(folder: &Folder, sql: &str) -> Child {
    fs::create_dir_all(folder.path("spill")).unwrap();
    let args = ["query", sql, "--memory", "64MB", "--temp-dir", "spill", "-o", "made.csv"];
    folder.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn assert_stopped((took, code, said): (Duration, Option<i32>, String), what: &str) {
    assert_eq!(code, Some(130), "{what}: {said}");
    assert!(took < Duration::from_secs(2), "{what}: took {took:?}");
    assert!(!said.contains("error") && !said.contains("panicked"), "{what}: {said}");
}

#[test]
fn a_query_that_spills_stops_and_leaves_nothing() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::with(&[("made.csv", "old\n")]);
        let mut child = start(&folder, SPILLS);
        wait_for("spill file", &mut child, |_| bytes_below(&folder.path("spill")) > 0);
        assert_stopped(stop(child, signal), signal);
        assert!(is_empty(&folder.path("spill")), "{signal}: {:?}", folder.names("spill"));
        assert_eq!(
            (folder.names("."), folder.read("made.csv")),
            (vec!["made.csv".into(), "spill".into()], "old\n".into())
        );
    }
}

#[test]
fn a_query_that_only_computes_stops_and_leaves_nothing() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::new();
        let mut child = start(&folder, BUSY);
        wait_for("result begun", &mut child, |_| folder.names(".").iter().any(|name| name.contains("made.csv")));
        assert_stopped(stop(child, signal), signal);
        assert!(is_empty(&folder.path("spill")), "{signal}: {:?}", folder.names("spill"));
        assert_eq!(folder.names("."), ["spill"]);
    }
}

#[test]
fn what_a_killed_program_left_goes_and_what_a_living_one_writes_stays() {
    let folder = Folder::with(&[("made.csv", "old\n"), (".made.csv.tmp", "mine\n")]);
    let written = |folder: &Folder| {
        let names = folder.names(".").into_iter();
        names.filter(|name| name.starts_with(".made.csv.") && name.ends_with(".cxql.tmp")).collect::<Vec<_>>()
    };
    let mut child = start(&folder, SPILLS);
    wait_for("spill file", &mut child, |_| bytes_below(&folder.path("spill")) > 0 && written(&folder).len() == 1);
    let (left, spilled) = (written(&folder), folder.names("spill"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((written(&folder), folder.names("spill")), (left.clone(), spilled.clone()));
    // the next one removes it
    let mut living = start(&folder, SPILLS);
    let is_other = |names: &[String], before: &[String]| names.len() == 1 && names != before;
    wait_for("spill file", &mut living, |_| {
        bytes_below(&folder.path("spill")) > 0
            && is_other(&written(&folder), &left)
            && is_other(&folder.names("spill"), &spilled)
    });
    let (own, own_spilled) = (written(&folder), folder.names("spill"));
    // and another one leaves what is being written
    folder.cxql(&["query", "select 1 as one", "--temp-dir", "spill", "-o", "other.csv"]).out();
    assert_eq!((written(&folder), folder.names("spill")), (own, own_spilled));
    assert_stopped(stop(living, "TERM"), "the living one");
    assert!(written(&folder).is_empty() && is_empty(&folder.path("spill")));
    assert_eq!(folder.names("."), [".made.csv.tmp", "made.csv", "other.csv", "spill"]);
}

#[test]
fn a_statement_that_is_long_to_plan_stops() {
    let folder = Folder::new();
    let mut child = folder
        .command(&["query", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let numbers: Vec<String> = (0..2_000_000).map(|n| n.to_string()).collect();
    let sql = format!("select count(*) as n from (values (7)) as t(a) where a in ({})", numbers.join(","));
    child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    wait_for("handler of SIGINT", &mut child, |child| handles(child, 2));
    assert_stopped(stop(child, "INT"), "planning");
}

#[test]
fn waiting_for_a_server_stops() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let folder = Folder::new();
    let child = start(&folder, &format!("select * from 'http://{address}/x.csv'"));
    // accepted, and never answered
    let connection = server.accept().unwrap();
    assert_stopped(stop(child, "INT"), "waiting");
    drop(connection);
    assert_eq!(folder.names("."), ["spill"]);
}

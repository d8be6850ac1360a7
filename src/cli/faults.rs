//! Commands whose object store or memory pool fails at the n-th call, for every n until none is left: the output is whole or
//! not there, the error says what failed, nothing hangs or panics, and the same command succeeds afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::{Cli, STACK_BYTES, run_command};
use crate::project::CliOptions;
use crate::session::faults::{FAULT, FaultTarget, Faults};

/// After this time a command has no end.
const HUNG: Duration = Duration::from_secs(120);

/// Calls of a command here: more would mean that the project is too large for a test of each.
const MOST_CALLS: usize = 600;

const REPORT: &str = "-- title: Contacts by topic
-- check: n > 0
with numbered as (
    select
        c.topic,
        c.wait_s,
        n.label,
        row_number() over (partition by c.topic order by c.wait_s, c.contact_id) as place,
        lag(c.wait_s) over (partition by c.contact_id % 50 order by c.contact_id) as previous_s
    from contacts c join notes n on n.topic = c.topic
)
select topic, label, count(*) as n, sum(wait_s) as wait_s, max(place) as place, count(distinct previous_s) as previous_count
from numbered group by topic, label order by wait_s desc, topic";

const CONFIG: &str = "[tables.notes]
path = \"notes.csv\"
[engine]
unique_keys_min_rows = 1
[[job]]
name = \"daily\"
report = \"by_topic\"
outputs = [\"out/job.csv\", \"out/job.parquet\"]
retries = 0
";

/// A project in a folder of its own.
struct Project(TempDir);

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("cxql.toml", CONFIG);
        write("sql/by_topic.sql", REPORT);
        write("data/notes.csv", "topic,label\ntopic 0,none\ntopic 1,one\ntopic 2,\"two, or so\"\n");
        fs::create_dir(folder.path().join("out")).unwrap();
        fs::create_dir(folder.path().join("data/contacts")).unwrap();
        let project = Self(folder);
        for (part, first) in [0, 1500].into_iter().enumerate() {
            let sql = format!(
                "select value as contact_id, concat('topic ', value % 3) as topic, value % 97 as wait_s \
                 from generate_series({first}, {})",
                first + 1499
            );
            let file = project.path(&format!("data/contacts/part-{part}.parquet"));
            project
                .run(&["query", &sql, "-o", file.to_str().unwrap()], Faults::new(FaultTarget::Store, 0, false))
                .unwrap();
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command line in this process. Returns its error as users see it.
    fn run(&self, line: &[&str], faults: Arc<Faults>) -> Result<(), String> {
        let folder = self.0.path().to_str().unwrap();
        let (cache, spill) = (format!("{folder}/cache"), folder.to_owned());
        let places = ["--project", folder, "--cache-dir", &cache, "--temp-dir", &spill, "--threads", "2"];
        let cli = Cli::try_parse_from(["cxql"].iter().chain(line).chain(&places)).unwrap();
        let options = CliOptions { faults: Some(faults), user_cache: None, ..cli.global.options() };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_stack_size(STACK_BYTES)
            .build()
            .unwrap();
        let ended = runtime.block_on(async {
            // a panic of the command is an error of its task
            let command = tokio::spawn(run_command(cli.command, options));
            tokio::time::timeout(HUNG, command).await
        });
        runtime.shutdown_background();
        let ended = ended.unwrap_or_else(|_| panic!("{line:?} has no end"));
        let ended = ended.unwrap_or_else(|panic| panic!("{line:?} panicked: {panic}"));
        ended.map(|_| ()).map_err(|error| super::message(&error))
    }

    /// The names of the files among the results.
    fn names(&self) -> BTreeSet<String> {
        let names = fs::read_dir(self.path("out")).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn clear(&self) {
        fs::remove_dir_all(self.path("out")).unwrap();
        fs::create_dir(self.path("out")).unwrap();
        // what an earlier run has learnt of the keys of files, or has recorded, saves calls
        let _ = fs::remove_dir_all(self.path("cache"));
        let _ = fs::remove_dir_all(self.path(".cxql"));
    }
}

/// What a file holds, as far as it does not say when it was made.
fn content(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("parquet") => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).expect("a whole file");
            let schema = Arc::clone(builder.schema());
            let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
            format!("{:?}", concat_batches(&schema, &batches).unwrap())
        }
        Some("html") => {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.trim_end().ends_with("</html>"), "a torn page");
            // the time at which it was made
            let lines = text.lines().filter(|line| !line.contains("Generated"));
            lines.collect::<Vec<_>>().join("\n").chars().filter(|c| !c.is_ascii_digit()).collect()
        }
        _ => String::from_utf8(bytes).unwrap(),
    }
}

/// Runs a command with a fault at each call. `outputs` are below `out`; with `may_be_partial` they are written one after the
/// other, and each is whole or not there.
fn every_call_fails_once(
    project: &Project,
    target: FaultTarget,
    line: &[&str],
    outputs: &[&str],
    may_be_partial: bool,
) {
    let run = |at, is_lasting| {
        let faults = Faults::new(target, at, is_lasting);
        (project.run(line, Arc::clone(&faults)), faults.calls())
    };
    project.clear();
    let (whole, calls) = run(0, false);
    whole.unwrap();
    assert!((1..MOST_CALLS).contains(&calls), "{line:?}: {calls} calls");
    let expected: Vec<String> = outputs.iter().map(|name| content(&project.path("out").join(name))).collect();
    let names: BTreeSet<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
    let (mut at, mut refused) = (0, 0);
    loop {
        at += 1;
        let is_lasting = at % 2 == 0;
        project.clear();
        let (ended, calls) = run(at, is_lasting);
        let what = format!("{line:?}, {target:?} call {at}, lasting {is_lasting}");
        match &ended {
            Ok(()) => assert_eq!(project.names(), names, "{what}"),
            Err(error) => {
                refused += 1;
                assert!(error.contains(FAULT), "{what}: {error}");
                let lower = error.to_lowercase();
                let inside = ["panicked", "internal error", "please report", "backtrace"];
                assert!(!inside.iter().any(|word| lower.contains(word)), "{what}: {error}");
                let left = project.names();
                assert!(left.is_subset(&names), "{what}: {left:?}");
                assert!(may_be_partial || left.is_empty(), "{what}: {left:?} although {error}");
            }
        }
        for name in project.names() {
            let index = outputs.iter().position(|output| *output == name).unwrap();
            assert_eq!(content(&project.path("out").join(&name)), expected[index], "{what}");
        }
        if ended.is_err() && at % 5 == 0 {
            // with what the failed run has left: caches, histories
            run(0, false).0.unwrap_or_else(|error| panic!("{what}, again: {error}"));
            assert_eq!(project.names(), names, "{what}, again");
        }
        if calls < at {
            break;
        }
        assert!(at < MOST_CALLS, "{what}: no end");
    }
    assert!(refused > 0, "{line:?}: none of {at} faults mattered");
}

fn out(project: &Project, name: &str) -> String {
    project.path("out").join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_run_whose_store_fails_writes_its_file_whole_or_not_at_all() {
    let project = Project::new();
    for name in ["r.csv", "r.html"] {
        let path = out(&project, name);
        let line = ["run", "by_topic", "-o", &path];
        every_call_fails_once(&project, FaultTarget::Store, &line, &[name], false);
    }
}

#[test]
fn a_run_whose_store_fails_writes_its_object_whole_or_not_at_all() {
    let project = Project::new();
    let url = format!("file://{}", out(&project, "r.parquet"));
    every_call_fails_once(&project, FaultTarget::Store, &["run", "by_topic", "-o", &url], &["r.parquet"], false);
}

#[test]
fn a_run_whose_memory_fails_writes_its_file_whole_or_not_at_all() {
    let project = Project::new();
    for (name, memory) in [("r.csv", "1GB"), ("r.parquet", "16MB")] {
        let path = out(&project, name);
        let line = ["run", "by_topic", "--memory", memory, "-o", &path];
        every_call_fails_once(&project, FaultTarget::Memory, &line, &[name], false);
    }
}

#[test]
fn a_copy_whose_store_or_memory_fails_writes_its_file_whole_or_not_at_all() {
    let project = Project::new();
    for name in ["c.csv", "c.parquet"] {
        let sql = format!(
            "copy (select contact_id, topic, sum(wait_s) over (partition by topic order by contact_id) as wait_s from contacts \
             order by contact_id) to '{}'",
            out(&project, name)
        );
        for target in [FaultTarget::Store, FaultTarget::Memory] {
            every_call_fails_once(&project, target, &["query", "--write", &sql], &[name], false);
        }
    }
}

#[test]
fn a_sort_whose_memory_fails_spills_or_is_refused() {
    let project = Project::new();
    let sql = "select c.contact_id, c.topic, d.wait_s from contacts c join contacts d on c.contact_id = d.contact_id \
               order by c.topic, d.wait_s, c.contact_id";
    let path = out(&project, "q.csv");
    let line = ["query", sql, "-o", &path];
    every_call_fails_once(&project, FaultTarget::Memory, &line, &["q.csv"], false);
}

#[test]
fn a_job_whose_store_or_memory_fails_delivers_whole_files_or_none_and_the_next_run_all() {
    let project = Project::new();
    let line = ["job", "run", "daily", "--at", "2025-03-03"];
    for target in [FaultTarget::Store, FaultTarget::Memory] {
        every_call_fails_once(&project, target, &line, &["job.csv", "job.parquet"], true);
    }
}

//! A store that refuses the n-th request, for every n until the command succeeds: what is written is whole or not there.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::program::{Run, User};
use crate::server::{Fault, Server};
use crate::server_with_sample;

/// More requests than any command here sends.
const MOST_REQUESTS: usize = 60;

/// Refuses the n-th request from now on.
fn refuse(server: &Server, at: usize) {
    let count = AtomicUsize::new(0);
    server.fault(Fault::Denied, 1, move |_| count.fetch_add(1, Ordering::SeqCst) + 1 == at);
}

/// The object, if it is there; nothing else is below `out`.
fn object(server: &Server, name: &str) -> Option<Vec<u8>> {
    let folder = server.folder().join("desk/out");
    let found = fs::read_dir(&folder).map(|names| names.map(|entry| entry.expect("an entry").file_name()).collect());
    let found: Vec<_> = found.unwrap_or_default();
    assert!(found.iter().all(|found| found == name), "{found:?}");
    assert_eq!(server.open_uploads(), Vec::<String>::new());
    fs::read(folder.join(name)).ok()
}

/// Whether the error says what may be wrong.
fn names_refusal(run: &Run) -> bool {
    run.stderr.contains("access denied") || run.stderr.contains("check the bucket, the credentials")
}

fn remove(server: &Server) {
    let folder = server.folder().join("desk/out");
    if Path::new(&folder).exists() {
        fs::remove_dir_all(folder).expect("it can be removed");
    }
}

#[test]
fn a_result_is_whole_or_absent_whichever_request_is_refused() {
    let server = server_with_sample();
    let user = User::of(&server);
    let line = ["run", "contact_volume", "--section", "1", "--data", "s3://desk/sample", "-o", "s3://desk/out/v.csv"];
    user.cxql(&line).output();
    let whole = object(&server, "v.csv").expect("the object");
    for at in 1..MOST_REQUESTS {
        remove(&server);
        let struck_before = server.struck();
        refuse(&server, at);
        let run = user.cxql(&line);
        if server.struck() == struck_before {
            assert!(at > 5, "{at} requests");
            assert_eq!(run.code, Some(0), "{run:?}");
            assert_eq!(object(&server, "v.csv").as_ref(), Some(&whole));
            return;
        }
        assert!(names_refusal(&run), "{run:?}");
        // the notes of views are no part of the result
        if run.code == Some(0) {
            assert!(run.stderr.starts_with("note: the notes of "), "{run:?}");
            assert_eq!(object(&server, "v.csv").as_ref(), Some(&whole), "request {at}");
            continue;
        }
        run.fails(1, &["s3://desk/"]);
        assert_eq!(object(&server, "v.csv"), None, "request {at}: {run:?}");
    }
    panic!("no end after {MOST_REQUESTS} requests");
}

#[test]
fn a_job_goes_on_whichever_request_is_refused() {
    let server = server_with_sample();
    let user = User::of(&server);
    let project = user.file("project");
    fs::create_dir(&project).expect("a folder");
    let config = "[[job]]\nname = \"a\"\nsql = \"select queue, count(*) as n from interactions group by queue order by queue\"\n\
                  outputs = [\"s3://desk/out/{date}.csv\"]\nretries = 0\n";
    fs::write(format!("{project}/cxql.toml"), config).expect("a file");
    let user = user.at(&project);
    let run = || user.cxql(&["job", "run", "a", "--at", "2025-03-01", "--data", "s3://desk/sample"]);
    run().output();
    let whole = object(&server, "2025-03-01.csv").expect("the object");
    for at in 1..MOST_REQUESTS {
        remove(&server);
        fs::remove_dir_all(format!("{project}/.cxql")).expect("the history");
        let struck_before = server.struck();
        refuse(&server, at);
        let first = run();
        if server.struck() == struck_before {
            assert!(at > 3, "{at} requests");
            assert_eq!(object(&server, "2025-03-01.csv"), Some(whole));
            return;
        }
        assert_eq!(first.code, Some(1), "request {at}: {first:?}");
        assert!(first.stderr.contains("s3://desk/") && names_refusal(&first), "{first:?}");
        assert_eq!(object(&server, "2025-03-01.csv"), None, "request {at}: {first:?}");
        // the next call continues the run, or starts it anew
        let second = run();
        assert_eq!(second.code, Some(0), "request {at}: {second:?}");
        assert_eq!(object(&server, "2025-03-01.csv").as_ref(), Some(&whole), "request {at}");
    }
    panic!("no end after {MOST_REQUESTS} requests");
}

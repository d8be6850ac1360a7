//! Servers that fail: for a moment, which is borne, and for good, which is told.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::program::User;
use crate::server::{Fault, Kind, Request, Server};
use crate::{sample, server_with_sample};

const FOR_GOOD: usize = usize::MAX;

fn query<'a>(sql: &'a str, data: &'a str) -> [&'a str; 6] {
    ["query", sql, "-f", "csv", "--data", data]
}

const AGENTS: &str = "select * from agents order by agent_id";

#[test]
fn a_server_that_is_down_for_two_requests_is_asked_again() {
    let local = User::plain().cxql(&query(AGENTS, &sample())).output();
    for kind in [Kind::List, Kind::Get] {
        let server = server_with_sample();
        server.fault(Fault::Unavailable, 2, move |request| request.kind == kind);
        let output = User::of(&server).cxql(&query(AGENTS, "s3://desk/sample")).output();
        assert_eq!(output, local, "{kind:?}");
        assert_eq!(server.struck(), 2, "{kind:?}");
    }
}

#[test]
fn a_server_that_stays_down_is_told_and_leaves_no_output() {
    for kind in [Kind::List, Kind::Get] {
        let server = server_with_sample();
        server.fault(Fault::Unavailable, FOR_GOOD, move |request| request.kind == kind);
        let user = User::of(&server);
        let file = user.file("agents.csv");
        let run = user.cxql(&["query", AGENTS, "--data", "s3://desk/sample", "-o", &file]);
        assert_eq!(user.files(), Vec::<String>::new(), "{kind:?}");
        assert!(server.struck() > 2, "{kind:?}: asked {} times", server.struck());
        run.fails(1, &["s3://desk/sample", "ServiceUnavailable", "try later"]);
    }
}

/// A server whose bucket holds a table of several megabytes that no compression shortens.
fn server_with_large_table() -> Server {
    let server = Server::s3();
    let folder = server.bucket("desk").join("lake/keys");
    fs::create_dir_all(&folder).expect("a folder in the bucket");
    let file = folder.join("keys.parquet");
    let sql = "select value as key_id, sha256(cast(value as text)) as key from generate_series(1, 200000)";
    User::plain().cxql(&["query", sql, "-o", file.to_str().expect("the path is UTF-8")]).output();
    assert!(fs::metadata(file).expect("the table is there").len() > 4 << 20);
    server
}

/// A read of the table, be it footer or columns.
fn reads_keys(request: &Request) -> bool {
    request.kind == Kind::Get && request.path.ends_with("keys.parquet")
}

const KEYS: &str = "select key_id, encode(key, 'hex') as key from keys order by key_id";

#[test]
fn a_connection_that_is_cut_once_is_opened_again() {
    let server = server_with_large_table();
    let local = server.folder().join("desk/lake");
    let local = User::plain().cxql(&query(KEYS, local.to_str().expect("the path is UTF-8"))).output();
    assert_eq!(local.lines().count(), 200_001);
    // the first request is for the footer, the next for columns
    for cut_at in [0, 1] {
        let struck_before = server.struck();
        let count = AtomicUsize::new(0);
        server
            .fault(Fault::Cut, 1, move |request| reads_keys(request) && count.fetch_add(1, Ordering::SeqCst) == cut_at);
        let output = User::of(&server).cxql(&query(KEYS, "s3://desk/lake")).output();
        assert_eq!(server.struck() - struck_before, 1);
        assert!(output == local, "other rows after a cut of request {cut_at}");
    }
}

#[test]
fn connections_that_are_always_cut_are_told_and_leave_no_output() {
    let server = server_with_large_table();
    server.fault(Fault::Cut, FOR_GOOD, reads_keys);
    let user = User::of(&server);
    for name in ["keys.csv", "keys.parquet", "keys.xlsx"] {
        let run = user.cxql(&["query", KEYS, "--data", "s3://desk/lake", "-o", &user.file(name)]);
        assert_eq!(user.files(), Vec::<String>::new());
        run.fails(1, &["s3://desk/lake", "try later"]);
    }
}

#[test]
fn data_that_are_cut_after_the_footer_was_read_are_told_and_leave_no_output() {
    let server = server_with_large_table();
    server.fault(Fault::Cut, FOR_GOOD, {
        let footer_is_read = AtomicBool::new(false);
        move |request| reads_keys(request) && footer_is_read.swap(true, Ordering::SeqCst)
    });
    let user = User::of(&server);
    let run = user.cxql(&["query", KEYS, "--data", "s3://desk/lake", "-o", &user.file("keys.csv")]);
    assert_eq!(user.files(), Vec::<String>::new());
    run.fails(1, &["s3://desk/lake", "try later"]);
}

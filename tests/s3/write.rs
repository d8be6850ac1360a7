//! Writing: an object appears whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};

use crate::program::User;
use crate::server::{Fault, Kind, Server};
use crate::server_with_sample;

/// More than one part of an upload: 400,000 lines of 70 bytes.
const LARGE: &str = "select value as row_id, repeat('abcdefghij', 6) as filler from generate_series(1, 400000)";

#[test]
fn a_result_in_a_bucket_is_the_one_of_a_local_file() {
    let server = server_with_sample();
    let user = User::of(&server);
    let sql = "select agent_id, team, hired_at from agents order by agent_id";
    for ending in ["csv", "tsv", "json", "ndjson", "markdown", "parquet", "arrow", "xlsx"] {
        let write = |place: &str| {
            let run = user.cxql(&["query", sql, "--data", "s3://desk/sample", "-f", ending, "-o", place]);
            assert!(run.stderr.contains("wrote ") && run.stderr.contains(place), "{run:?}");
            assert_eq!(run.output(), "");
        };
        let file = user.file(&format!("agents.{ending}"));
        write(&file);
        write(&format!("s3://desk/out/deep/agents.{ending}"));
        let object = fs::read(server.folder().join(format!("desk/out/deep/agents.{ending}"))).expect("an object");
        let file = fs::read(file).expect("a file");
        let is_same = if ending == "xlsx" { parts(&object) == parts(&file) } else { object == file };
        assert!(is_same, "{ending}: the object differs from the file");
    }
    assert_eq!(server.open_uploads(), Vec::<String>::new());
}

/// The parts of a workbook, without the time at which it was made.
fn parts(workbook: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(workbook)).expect("a zip archive");
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    assert!(names.iter().any(|name| name == "docProps/core.xml"), "{names:?}");
    let others = names.into_iter().filter(|name| name != "docProps/core.xml");
    others
        .map(|name| {
            let mut bytes = vec![];
            archive.by_name(&name).expect("a part").read_to_end(&mut bytes).expect("its bytes");
            if name == "xl/sharedStrings.xml" {
                let text = String::from_utf8(bytes).expect("UTF-8");
                let mut strings: Vec<&str> = text.split("<si>").collect();
                let made = strings.iter().position(|text| text.starts_with("<t>Generated<")).expect("a time");
                strings.remove(made + 1);
                bytes = strings.concat().into_bytes();
            }
            (name, bytes)
        })
        .collect()
}

#[test]
fn a_result_in_a_bucket_replaces_the_one_before() {
    let server = server_with_sample();
    let user = User::of(&server);
    for one in ["1", "2"] {
        user.cxql(&["query", &format!("select {one} as one"), "-o", "s3://desk/one.csv"]).output();
        let object = fs::read_to_string(server.folder().join("desk/one.csv")).expect("an object");
        assert_eq!(object, format!("one\n{one}\n"));
    }
}

#[test]
fn what_was_written_can_be_read_from_the_bucket() {
    let server = server_with_sample();
    let user = User::of(&server);
    let sql = "select * from surveys order by survey_id";
    user.cxql(&["query", sql, "--data", "s3://desk/sample", "-o", "s3://desk/model/surveys.parquet"]).output();
    let read = |data: &str| user.cxql(&["query", sql, "-f", "csv", "--data", data]).output();
    let written = read("s3://desk/model");
    assert!(written.lines().count() > 100);
    assert_eq!(written, read("s3://desk/sample"));
}

#[test]
fn a_large_result_is_uploaded_in_parts() {
    let server = Server::s3();
    server.bucket("desk");
    let user = User::of(&server);
    let file = user.file("large.csv");
    let sql = format!("{LARGE} order by row_id");
    user.cxql(&["query", &sql, "-o", &file]).output();
    user.cxql(&["query", &sql, "-o", "s3://desk/large.csv"]).output();
    let requests = server.take_requests();
    let count = |kind: Kind| requests.iter().filter(|request| request.kind == kind).count();
    assert_eq!((count(Kind::BeginUpload), count(Kind::UploadPart), count(Kind::CompleteUpload)), (1, 2, 1));
    let object = fs::read(server.folder().join("desk/large.csv")).expect("an object");
    assert!(object.len() > 16 << 20 && object == fs::read(file).expect("a file"));
    assert_eq!(server.open_uploads(), Vec::<String>::new());
}

/// Fails unless the bucket is empty and no upload is open.
fn assert_nothing_left(server: &Server) {
    let left: Vec<_> = fs::read_dir(server.folder().join("desk")).expect("the bucket is there").collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(server.open_uploads(), Vec::<String>::new());
}

#[test]
fn a_query_that_fails_leaves_neither_object_nor_upload() {
    let server = Server::s3();
    server.bucket("desk");
    let user = User::of(&server);
    let sql = format!("select row_id, filler, 1 / (390000 - row_id) as x from ({LARGE})");
    let run = user.cxql(&["query", &sql, "--threads", "1", "-o", "s3://desk/large.csv"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("ivi") && run.stderr.contains("zero"), "{run:?}");
    let requests = server.take_requests();
    // it had begun, and it was taken back
    assert!(requests.iter().any(|request| request.kind == Kind::BeginUpload), "{requests:?}");
    assert!(requests.iter().any(|request| request.kind == Kind::AbortUpload), "{requests:?}");
    assert_nothing_left(&server);

    // one that fails before the first part
    let run = user.cxql(&["query", "select 1 / (5 - value) as x from generate_series(1, 9)", "-o", "s3://desk/x.csv"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_nothing_left(&server);
}

#[test]
fn an_upload_that_fails_for_a_moment_goes_on() {
    for kind in [Kind::Put, Kind::BeginUpload, Kind::UploadPart, Kind::CompleteUpload] {
        let server = Server::s3();
        server.bucket("desk");
        server.fault(Fault::Unavailable, 2, move |request| request.kind == kind);
        let user = User::of(&server);
        let file = user.file("x.csv");
        let sql = if kind == Kind::Put { "select 1 as one" } else { LARGE };
        user.cxql(&["query", sql, "--threads", "1", "-o", &file]).output();
        user.cxql(&["query", sql, "--threads", "1", "-o", "s3://desk/x.csv"]).output();
        assert_eq!(server.struck(), 2, "{kind:?}");
        let object = fs::read(server.folder().join("desk/x.csv")).expect("an object");
        assert!(object == fs::read(file).expect("a file"), "{kind:?}");
        assert_eq!(server.open_uploads(), Vec::<String>::new());
    }
}

#[test]
fn an_upload_that_fails_for_good_leaves_nothing() {
    for kind in [Kind::Put, Kind::BeginUpload, Kind::UploadPart, Kind::CompleteUpload] {
        let server = Server::s3();
        server.bucket("desk");
        server.fault(Fault::Unavailable, usize::MAX, move |request| request.kind == kind);
        let sql = if kind == Kind::Put { "select 1 as one" } else { LARGE };
        let run = User::of(&server).cxql(&["query", sql, "-o", "s3://desk/x.csv"]);
        assert_nothing_left(&server);
        // a server that answers before it has read the whole part may also cut the connection
        let reason =
            if run.stderr.contains("ServiceUnavailable") { "ServiceUnavailable" } else { "error writing a body" };
        run.fails(1, &["s3://desk/x.csv", reason]);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_an_upload_and_leaves_nothing() {
    let server = Server::s3();
    server.bucket("desk");
    // the part is never taken, so that the upload is open when it is stopped
    server.fault(Fault::Silence, usize::MAX, |request| request.kind == Kind::UploadPart);
    let running = User::of(&server).start(&["query", LARGE, "-o", "s3://desk/large.csv"]);
    server.wait_for(Kind::UploadPart);
    running.interrupt();
    let run = running.end();
    assert_eq!((run.code, run.stdout.as_str()), (Some(130), ""), "{run:?}");
    let requests = server.take_requests();
    assert!(requests.iter().any(|request| request.kind == Kind::AbortUpload), "not taken back: {requests:?}");
    assert_nothing_left(&server);
}

//! Jobs that write into a bucket whose server fails and recovers.

use std::fs;

use crate::program::User;
use crate::server::{Fault, Kind};
use crate::server_with_sample;

#[test]
fn a_job_writes_its_object_when_the_server_is_there_again_and_keeps_the_newest() {
    let server = server_with_sample();
    let user = User::of(&server);
    let project = user.file("project");
    fs::create_dir(&project).expect("a folder");
    let config = "[[job]]\nname = \"a\"\nsql = \"select 1 as a\"\ncron = \"0 6 * * *\"\noutputs = [{ path = \
                  \"s3://desk/out/{date}.csv\", keep = 2 }]\nretries = 3\nretry_delay = \"1ms\"\nretry_max = \"10ms\"\n";
    fs::write(format!("{project}/cxql.toml"), config).expect("a file");
    // more than one try of the store's own asks for
    server.fault(Fault::Unavailable, 9, |request| request.kind == Kind::Put);
    let user = user.at(&project);
    let run = user.cxql(&["job", "backfill", "a", "--from", "2025-03-01", "--to", "2025-03-03T12:00"]);
    assert!(run.stderr.contains("is not delivered (again at"), "{run:?}");
    assert!(run.stderr.contains("a-20250303T060000Z succeeded"), "{run:?}");
    assert_eq!(server.struck(), 9);
    let mut names: Vec<String> = fs::read_dir(server.folder().join("desk/out"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["2025-03-02.csv", "2025-03-03.csv"]);
    assert_eq!(server.open_uploads(), Vec::<String>::new());
}

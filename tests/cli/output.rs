//! Results and where they go: every format, places that cannot be written, full disks, closed pipes.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use super::program::{Folder, Ran};

/// About 3 MB of CSV.
const ROWS: &str = "select value as n, md5(cast(value as text)) as t from range(80000)";

const ALL_TYPES: &str = "select 1 as n, 2.5 as x, 'a,\"b' as t, cast(null as text) as empty, true as flag, \
                         to_timestamp('2025-01-02T03:04:05Z') as at";

#[test]
fn every_format_can_be_read_back() {
    let folder = Folder::new();
    let wanted = "n,x,t,empty,flag,at\n1,2.5,\"a,\"\"b\",,true,2025-01-02T03:04:05Z\n";
    for ending in ["csv", "tsv", "tab", "ndjson", "jsonl", "parquet", "pq", "arrow", "feather", "ipc"] {
        let name = format!("made.{ending}");
        folder.make(&name, ALL_TYPES);
        let sql = format!("select n, x, t, empty, flag, cast(at as timestamp with time zone) as at from '{name}'");
        let ran = folder.query(&sql);
        assert_eq!(ran.out().replace(".000000Z", "Z"), wanted, "{ending}");
    }
    folder.make("made.json", ALL_TYPES);
    let json =
        "[\n{\"n\":1,\"x\":2.5,\"t\":\"a,\\\"b\",\"empty\":null,\"flag\":true,\"at\":\"2025-01-02T03:04:05Z\"}\n]\n";
    assert_eq!(folder.read("made.json"), json);
    folder.make("made.md", ALL_TYPES);
    let markdown = folder.read("made.md");
    assert!(markdown.starts_with("| n | x | t | empty | flag | at |\n|"), "{markdown}");
    assert!(markdown.ends_with("| 1 | 2.5 | a,\"b | NULL | true | 2025-01-02 03:04:05 |\n"), "{markdown}");
    folder.make("made.txt", ALL_TYPES);
    let table = folder.read("made.txt");
    assert!(table.contains("│ 1 │ 2.5 │ a,\"b │ NULL") && table.ends_with("(1 row)\n"), "{table}");
    folder.make("made.xlsx", ALL_TYPES);
    let mut sheets = zip::ZipArchive::new(File::open(folder.path("made.xlsx")).unwrap()).unwrap();
    let mut sheet = String::new();
    sheets.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut sheet).unwrap();
    assert!(sheet.contains("<v>2.5</v>") && sheet.contains("a,\"b") || sheet.contains("a,&quot;b"), "{sheet}");
}

#[test]
fn a_format_beats_the_ending_and_both_have_a_nearest_name() {
    let folder = Folder::new();
    let run = |args: &[&str]| folder.cxql(&[&["query", "select 1 as a"], args].concat());
    run(&["-f", "json", "-o", "made.csv"]).out();
    assert_eq!(folder.read("made.csv"), "[\n{\"a\":1}\n]\n");
    run(&["-f", "cvs"]).fails(2, &["'cvs'", "did you mean 'csv'?", "parquet"]);
    run(&["-o", "made.nope"]).fails(2, &["made.nope", ".csv", "-f"]);
    run(&["-o", "made"]).fails(2, &["'made'", ".csv", "-f"]);
    assert_eq!(folder.names("."), ["made.csv"]);
}

#[test]
fn binary_formats_go_into_a_pipe() {
    let folder = Folder::new();
    for (format, start) in [("parquet", &b"PAR1"[..]), ("arrow", b"ARROW1"), ("xlsx", b"PK")] {
        let ran = folder.cxql(&["query", "select 1 as a", "-f", format]);
        ran.out();
        assert!(ran.bytes.starts_with(start), "{format}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = Folder::with(&[("file.csv", "old\n"), ("folder/x.csv", "old\n")]);
    let run = |args: &[&str]| folder.cxql(&[&["query", "select 1 as a", "-o"], args].concat());
    run(&["folder", "-f", "csv"]).fails(2, &["'folder' is a folder", "folder/"]);
    run(&["folder/", "-f", "csv"]).fails(2, &["folder"]);
    run(&["folder"]).fails(2, &["'folder' is a folder"]);
    run(&["nowhere/made.csv"]).fails(2, &["nowhere/made.csv", "no folder 'nowhere'", "mkdir -p"]);
    run(&["ftp://host/made.csv"]).fails(2, &["ftp://", "s3://"]);
    let ran = run(&["file.csv/made.csv"]);
    assert!(ran.code != 0 && ran.err.contains("file.csv") && !ran.err.contains("mkdir"), "{}", ran.err);
    // the system's reason is told
    let ran = run(&["/proc/made.csv"]);
    ran.fails(1, &["/proc/made.csv"]);
    assert!(ran.err.trim_end() != "error: cannot write '/proc/made.csv'", "{}", ran.err);
    assert_eq!(folder.names("."), ["file.csv", "folder"]);
    assert_eq!(folder.names("folder"), ["x.csv"]);
    assert_eq!(folder.read("file.csv"), "old\n");
}

#[test]
fn a_query_that_fails_leaves_the_old_file() {
    let folder = Folder::with(&[("made.csv", "old\n")]);
    let sql = "select 10 / (value - 50000) as n from range(80000)";
    folder.cxql(&["query", sql, "-o", "made.csv"]).fails(1, &["ivide by zero"]);
    assert_eq!((folder.names("."), folder.read("made.csv")), (vec!["made.csv".to_string()], "old\n".into()));
    folder.cxql(&["query", sql, "-o", "other.parquet"]).fails(1, &[]);
    assert_eq!(folder.names("."), ["made.csv"]);
}

#[test]
fn a_full_disk_leaves_the_old_file_and_no_part_of_the_new() {
    for format in ["csv", "tsv", "json", "ndjson", "markdown", "parquet", "arrow", "xlsx", "html", "table"] {
        let folder = Folder::with(&[("made.out", "old\n")]);
        // a file may grow to some kilobytes, and the system says so by an error instead of a signal
        let args = ["query", ROWS, "--max-rows", "0", "-f", format, "-o", "made.out"];
        let ran = Ran::of(folder.command_after("trap '' XFSZ\nulimit -f 16", &args), None);
        ran.fails(1, &["no space left"]);
        assert_eq!(folder.names("."), ["made.out"], "{format}");
        assert_eq!(folder.read("made.out"), "old\n", "{format}");
    }
}

#[test]
fn a_full_device_is_told() {
    let folder = Folder::new();
    for args in [
        vec!["query", ROWS, "-f", "csv"],
        vec!["query", ROWS, "-f", "table"],
        vec!["query", "select 1 as a", "-f", "csv"],
        vec!["list"],
        vec!["functions"],
    ] {
        let mut command = folder.command(&args);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        let ran = Ran::from_output(output, format!("{args:?}"));
        ran.fails(1, &["standard output"]);
        assert!(ran.err.to_lowercase().contains("no space left"), "{}", ran.err);
    }
    folder.cxql(&["query", ROWS, "-f", "csv", "-o", "/dev/full"]).fails(1, &["no space left", "/dev/full"]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = Folder::new();
    for args in [vec!["query", ROWS, "-f", "csv"], vec!["query", ROWS, "-f", "table", "--max-rows", "0"], vec!["list"]]
    {
        let mut child =
            folder.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{args:?}");
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_result_replaces_the_old_file_and_follows_a_link() {
    let folder = Folder::with(&[("real.csv", "old\n")]);
    std::os::unix::fs::symlink("real.csv", folder.path("link.csv")).unwrap();
    let ran = folder.cxql(&["query", "select 1 as a", "-o", "link.csv"]);
    ran.says("wrote 1 rows");
    assert_eq!(ran.text(), "");
    assert_eq!(folder.read("real.csv"), "a\n1\n");
    assert!(fs::symlink_metadata(folder.path("link.csv")).unwrap().is_symlink());
}

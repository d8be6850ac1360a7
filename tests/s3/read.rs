//! Reading: what comes from a bucket or a web server is what comes from the local disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use crate::program::{User, assert_same_rows, root};
use crate::server::{Kind, Request, Server};
use crate::{copy_folder, sample, server_with_sample};

#[test]
fn shipped_reports_give_the_same_rows_as_from_the_local_disk() {
    let server = server_with_sample();
    let user = User::of(&server);
    for report in ["kpi_overview", "fcr_by_topic"] {
        let run = |data: &str| user.cxql(&["run", report, "-f", "csv", "--data", data]).output();
        assert_same_rows(&run("s3://desk/sample"), &run(&sample()), report);
        assert!(server.take_requests().iter().any(|request| request.kind == Kind::Get), "{report}");
    }
}

#[test]
fn every_view_and_report_fits_the_sample_data_in_a_bucket() {
    let server = server_with_sample();
    let user = User::of(&server);
    let output = user.cxql(&["check", "--data", "s3://desk/sample"]).output();
    assert!(output.lines().last().unwrap_or_default().ends_with(" 0 failed"), "{output}");
    for report in ["kpi_overview", "fcr_by_topic", "contact_outcomes"] {
        assert!(output.contains(report), "{output}");
    }
}

#[test]
fn a_prefix_may_end_in_a_slash_and_a_bucket_may_have_none() {
    let server = server_with_sample();
    copy_folder(&root().join("data"), &server.bucket("bare"));
    let user = User::of(&server);
    let sql = "select count(*) as contact_count, min(interaction_id) as first_id from interactions";
    let query = |data: &str| user.cxql(&["query", sql, "-f", "csv", "--data", data]).output();
    let local = query(&sample());
    for data in ["s3://desk/sample", "s3://desk/sample/", "s3://bare", "s3://bare/"] {
        assert_eq!(query(data), local, "{data}");
    }
}

#[test]
fn a_real_export_mapped_by_a_project_gives_its_figures_from_a_bucket() {
    let Ok(archive) = root().join("../shared/data/servicenow_incidents/incident_event_log.zip").canonicalize() else {
        println!("skipped: ../shared/data/servicenow_incidents is not here");
        return;
    };
    let server = Server::s3();
    let folder = server.bucket("desk").join("exports/servicenow");
    fs::create_dir_all(&folder).expect("a folder in the bucket");
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).expect("the archive opens")).expect("it is a zip");
    let mut log = archive.by_name("incident_event_log.csv").expect("the log is in it");
    let mut file = fs::File::create(folder.join("incident_event_log.csv")).expect("a file in the bucket");
    io::copy(&mut log, &mut file).expect("the log is unpacked");

    let user = User::of(&server).in_project("servicenow");
    let local_folder = folder.to_str().expect("the path is UTF-8");
    // tests/reports holds the local figures against those of DuckDB and pandas
    for report in ["fcr_by_window", "reopened_and_transferred"] {
        let run = |data: &str| user.cxql(&["run", report, "--section", "1", "-f", "csv", "--data", data]).output();
        assert_same_rows(&run("s3://desk/exports/servicenow"), &run(local_folder), report);
    }
}

/// The month folders that requests for an object's data went to; `read` tells which requests count.
fn months(requests: &[Request], read: impl Fn(&Request) -> bool) -> BTreeSet<String> {
    let month = |request: &Request| {
        request.path.split('/').find(|part| part.starts_with("month")).map(|part| part.replace("%3D", "="))
    };
    requests.iter().filter(|request| request.kind == Kind::Get && read(request)).filter_map(month).collect()
}

#[test]
fn partitions_that_a_condition_excludes_are_not_read() {
    let server = Server::s3();
    server.bucket("desk");
    let user = User::of(&server);
    // one file for each month
    let copy = format!(
        "copy (select *, cast(date_part('year', started_at) as int) as year, \
                      cast(date_part('month', started_at) as int) as month \
               from '{}/interactions/part-0001.parquet') \
         to 's3://desk/lake/contacts/' stored as parquet partitioned by (year, month)",
        sample()
    );
    user.cxql(&["query", "--write", &copy]).output();
    let folder = server.folder().join("desk/lake/contacts/year=2025");
    assert_eq!(fs::read_dir(&folder).expect("the year is there").count(), 12);
    server.take_requests();

    let query = |condition: &str| {
        let sql = format!(
            "select count(*) as contact_count, count(distinct customer_id) as customer_count, \
             min(started_at) as first_at, max(text) as last_text from contacts where {condition}"
        );
        user.cxql(&["query", &sql, "-f", "csv", "--data", "s3://desk/lake"]).output()
    };
    let june = query("year = 2025 and month = 6");
    let june_requests = server.take_requests();
    let all = query("year = 2025");
    let all_requests = server.take_requests();

    let local = |condition: &str| {
        let sql = format!(
            "select count(*) as contact_count, count(distinct customer_id) as customer_count, \
             min(started_at) as first_at, max(text) as last_text \
             from '{}/interactions/part-0001.parquet' where {condition}",
            sample()
        );
        user.cxql(&["query", &sql, "-f", "csv"]).output()
    };
    assert_eq!(june, local("started_at >= '2025-06-01' and started_at < '2025-07-01'"));
    assert_eq!(all, local("started_at >= '2025-01-01' and started_at < '2026-01-01'"));

    // footers are read of all, to see that the files agree; nothing else is
    let data = |request: &Request| !request.reads_end();
    assert_eq!(months(&june_requests, data), BTreeSet::from(["month=6".to_owned()]), "{june_requests:#?}");
    assert_eq!(months(&all_requests, data).len(), 12, "{all_requests:#?}");
    let gets = |requests: &[Request]| requests.iter().filter(|request| request.kind == Kind::Get).count();
    assert!(gets(&june_requests) < gets(&all_requests));
}

#[test]
fn a_file_in_a_bucket_can_be_named_in_from() {
    let server = server_with_sample();
    fs::write(server.bucket("desk").join("calls.csv"), "call_id,wait_s\n1,20\n2,40\n").expect("a file in the bucket");
    let user = User::of(&server);
    let query = |sql: &str| user.cxql(&["query", sql, "-f", "csv"]).output();
    assert_eq!(query("select sum(wait_s) as wait_s from 's3://desk/calls.csv'"), "wait_s\n60\n");
    let agents = "select * from 'PLACE/agents.parquet' order by agent_id";
    let local = query(&agents.replace("PLACE", &sample()));
    assert_eq!(query(&agents.replace("PLACE", "s3://desk/sample")), local);
}

#[test]
fn a_file_on_a_web_server_can_be_named_in_from() {
    let server = Server::files();
    copy_folder(&root().join("data"), server.folder());
    fs::write(server.folder().join("calls.csv"), "call_id,wait_s\n1,20\n2,40\n").expect("a file to serve");
    let user = User::plain();
    let query = |sql: &str| user.cxql(&["query", sql, "-f", "csv"]).output();
    let sql = format!("select sum(wait_s) as wait_s from '{}/calls.csv'", server.url());
    assert_eq!(query(&sql), "wait_s\n60\n");
    let customers = "select count(*) as n, min(customer_id) as a, max(customer_id) as z from 'PLACE/customers.parquet'";
    let local = query(&customers.replace("PLACE", &sample()));
    assert_eq!(query(&customers.replace("PLACE", &server.url())), local);

    let sql = format!("select * from '{}/absent.parquet'", server.url());
    user.cxql(&["query", &sql]).fails(1, &["absent.parquet", "there is no such file"]);
}

#[test]
fn csv_with_line_breaks_inside_quotes_is_read_from_buckets_and_web_servers() {
    let mut text = String::from("id,text,n\n");
    (0..400_000).for_each(|row| text.push_str(&format!("{row},\"a line,\nand \"\"more\"\" {row}\",{}\n", row % 7)));
    // larger than the smallest file that is split between threads
    assert!(text.len() > 10 << 20);
    // by hand: the text of row r is `a line,\nand "more" r`
    let length: usize = (0..400_000).map(|row| format!("a line,\nand \"more\" {row}").len()).sum();
    let sum: u64 = (0..400_000).map(|row| row % 7).sum();
    let expected = format!("c,d,s,l\n400000,400000,{sum},{length}\n");
    let (bucket, web) = (Server::s3(), Server::files());
    let (first, last) = text.split_at(text.len() / 2);
    for folder in [bucket.bucket("desk"), web.folder().to_path_buf()] {
        fs::write(folder.join("calls.csv"), &text).expect("a file to serve");
        // a file of two parts, as some programs write them
        fs::write(folder.join("calls.csv.gz"), [gzip(first), gzip(last)].concat()).expect("a file to serve");
    }
    for (user, place) in [(User::of(&bucket), "s3://desk".to_string()), (User::plain(), web.url())] {
        for file in ["calls.csv", "calls.csv.gz"] {
            let sql = format!(
                "select count(*) as c, count(distinct id) as d, sum(n) as s, sum(length(text)) as l from '{place}/{file}'"
            );
            for threads in ["1", "3"] {
                let run = user.cxql(&["query", &sql, "-f", "csv", "--threads", threads]);
                assert_eq!(run.output(), expected, "{place}/{file} {threads}");
            }
        }
    }
}

/// A gzip file whose blocks are stored as they are (RFC 1951, 1952).
fn gzip(text: &str) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let mut blocks = text.as_bytes().chunks(65_535).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("a block is short");
        packed.push(u8::from(blocks.peek().is_none()));
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&(!length).to_le_bytes());
        packed.extend_from_slice(block);
    }
    let crc = text.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    packed.extend_from_slice(&(!crc).to_le_bytes());
    packed.extend_from_slice(&u32::try_from(text.len()).expect("the text is short").to_le_bytes());
    packed
}

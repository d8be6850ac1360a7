//! One session: what was listed and read once is not listed and read again.

use crate::program::User;
use crate::server::{Kind, Request, Server};
use crate::server_with_sample;

#[test]
fn a_second_query_neither_lists_nor_reads_footers() {
    let server = server_with_sample();
    let user = User::of(&server);
    let mut shell = user.start(&["shell", "-f", "csv", "--data", "s3://desk/sample"]);
    let sql = "select count(distinct customer_id) as customer_count from interactions;";
    shell.type_line(sql);
    let first = shell.read_lines(2);
    let requests = server.take_requests();
    assert!(requests.iter().any(|request| request.kind == Kind::List), "{requests:#?}");
    assert!(requests.iter().any(Request::reads_end), "{requests:#?}");

    shell.type_line(sql);
    assert_eq!(shell.read_lines(2), first);
    let requests = server.take_requests();
    let again = |request: &&Request| matches!(request.kind, Kind::List | Kind::Head) || request.reads_end();
    assert_eq!(requests.iter().filter(again).count(), 0, "{requests:#?}");
    // the data themselves are read again
    assert!(requests.iter().any(|request| request.kind == Kind::Get), "{requests:#?}");

    // another question to the same table: only other data
    shell.type_line("select max(started_at) > min(started_at) as is_long from interactions where wait_s > 0;");
    assert_eq!(shell.read_lines(2), ["is_long", "true"]);
    let requests = server.take_requests();
    assert_eq!(requests.iter().filter(again).count(), 0, "{requests:#?}");
    shell.end().output();
}

#[test]
fn an_object_that_is_replaced_or_removed_is_not_read_as_what_was_listed() {
    let server = Server::s3();
    let folder = server.bucket("desk").join("t");
    std::fs::create_dir_all(&folder).expect("a folder in the bucket");
    let user = User::of(&server);
    let write = |count: usize| {
        let sql = format!("select x as v, {count} as n from generate_series(1, {count}) as s(x)");
        user.cxql(&["query", &sql, "-o", "s3://desk/t/x.parquet"]).output();
    };
    write(1_000);
    let mut shell = user.start(&["shell", "-f", "csv", "--data", "s3://desk"]);
    let sql = "select count(*) as n, sum(v) as s, max(n) as m from t;";
    shell.type_line(sql);
    assert_eq!(shell.read_lines(2), ["n,s,m", "1000,500500,1000"]);
    // the listing is believed for a minute; what is there is another version
    write(2_000);
    server.take_requests();
    shell.type_line(sql);
    assert_eq!(shell.read_lines(2), ["n,s,m", "2000,2001000,2000"]);
    assert!(server.take_requests().iter().any(|request| request.kind == Kind::List));
    std::fs::remove_file(folder.join("x.parquet")).expect("it can be removed");
    shell.type_line("select sum(v) as s from t;");
    let ended = shell.end();
    assert!(ended.stderr.contains("holds no parquet files"), "{ended:?}");
}

//! One session: what was listed and read once is not listed and read again.

use crate::program::User;
use crate::server::{Kind, Request};
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

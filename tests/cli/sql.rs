//! Faults in SQL: where in the text, what is wrong, what was meant.

use super::program::{Folder, Ran, sample};

#[test]
fn a_missing_table_column_or_function_is_marked_with_the_nearest_name() {
    let folder = Folder::new();
    let ran = folder.sampled("select *\nfrom interaction");
    ran.fails(1, &["no table or view `interaction`", "<query>:2:6", "did you mean `interactions`?"]);
    ran.points_at("interaction");
    let ran = folder.sampled("select topic,\n  starte_at from interactions");
    ran.fails(1, &["no column `starte_at`", "<query>:2:3", "did you mean `started_at`?"]).points_at("starte_at");
    let ran = folder.sampled("select topic\nfrom interactions i where i.quue = 'x'");
    ran.fails(1, &["`i.quue`", "<query>:2:27", "did you mean `queue`?"]).points_at("i.quue");
    let ran = folder.sampled("select npss(score) as n from surveys");
    ran.fails(1, &["no function `npss`", "<query>:1:8", "did you mean `nps`?", "cxql functions"]).points_at("npss");
    let ran = folder.sampled("select \"Channel\" from interactions");
    ran.fails(1, &["`Channel`", "\"channel\"", "double quotes"]).points_at("\"Channel\"");
    let ran = folder.sampled("select * from reports.kpi_overvie");
    ran.fails(1, &["`reports.kpi_overvie`", "`reports.kpi_overview`"]).points_at("reports.kpi_overvie");
}

#[test]
fn a_column_of_two_tables_must_be_qualified() {
    let ran = Folder::new().sampled("select * from interactions, surveys where customer_id = 'a'");
    ran.fails(1, &["customer_id", "more than one table", "TABLE.customer_id"]).points_at("customer_id");
}

#[test]
fn a_name_that_is_given_twice_is_named() {
    Folder::new().query("select 1 as a, 2 as a").fails(1, &["`a`", "twice"]);
}

#[test]
fn a_syntax_error_is_marked() {
    let folder = Folder::new();
    folder.query("selec 1").fails(1, &["<query>:1:1"]).points_at("selec");
    folder.query("select 1,\n  from t").fails(1, &["<query>:2"]);
    folder.query("select 1 as a from (values (1)) as t where").fails(1, &["<query>:1:43"]);
    folder.query("select 'abc").fails(1, &["Unterminated string", "<query>:1:8"]);
    folder.query("select 1 as a b c").fails(1, &["<query>:1:15"]).points_at("b");
    for empty in ["", "  ", ";", "/* nothing */"] {
        folder.query(empty).fails(2, &["no statement", "select 1"]);
    }
}

#[test]
fn places_are_right_after_tabs_line_breaks_of_windows_and_chinese() {
    let folder = Folder::new();
    folder.sampled("select 1 as a,\r\n  nope from surveys\r\n").fails(1, &["<query>:2:3"]).points_at("nope");
    folder.sampled("select\t1 as a,\tnope\tfrom surveys").fails(1, &["<query>:1:16"]);
    folder.sampled("select '满意' as a, nope from surveys").fails(1, &["<query>:1:19"]);
}

#[test]
fn a_literal_that_cannot_be_read_is_marked() {
    let folder = Folder::new();
    folder.query("select cast('abc' as integer) as n").fails(1, &["'abc'", "try_cast", "<query>:1:13"]);
    folder.query("select timestamp 'garbage' as t").fails(1, &["garbage", "<query>:1:18"]);
    folder.query("select interval '7 dayz' as i").fails(1, &["7 dayz", "<query>:1:17"]);
    folder.sampled("select topic from interactions where wait_s = 'long'").fails(1, &["'long'", "<query>:1:47"]);
    folder.sampled("select date_trunc('weeek', started_at) as w from interactions").fails(1, &["'weeek'", "week"]);
}

#[test]
fn faults_at_run_time_have_a_remedy() {
    let folder = Folder::new();
    folder.query("select 1/0 as n").fails(1, &["ivide by zero", "nullif"]);
    let sql = "select cast(channel as integer) as n from interactions where channel = 'chat'";
    folder.sampled(sql).fails(1, &["'chat'", "try_cast"]);
    folder.query("select regexp_like('a', '(') as b").fails(1, &["unclosed group"]);
    let rows = folder.sampled("select (select customer_id from surveys) as c from surveys");
    rows.fails(1, &["more than one row"]);
}

#[test]
fn a_column_outside_group_by_is_marked() {
    let ran = Folder::new().sampled("select sum(wait_s) as n, channel from interactions");
    ran.fails(1, &["channel", "GROUP BY"]).points_at("channel");
    assert!(!ran.err.contains("wildcard"), "{}", ran.err);
}

#[test]
fn a_condition_must_be_true_or_false() {
    Folder::new().sampled("select channel from interactions where wait_s").fails(1, &["wait_s"]);
}

#[test]
fn types_that_do_not_fit_are_marked() {
    let ran = Folder::new().sampled("select channel + 1 as n from interactions");
    ran.fails(1, &["<query>:1:8"]).points_at("channel");
    Folder::new().query("select 1 as a union select 1, 2").fails(1, &["UNION", "different number of columns"]);
}

#[test]
fn a_query_may_begin_with_a_comment() {
    let folder = Folder::new();
    assert_eq!(folder.cxql(&["query", "-- how many\nselect 1 as a", "-f", "csv"]).out(), "a\n1\n");
    folder.cxql(&["query", "--\nselect a"]).fails(1, &["<query>:2:8"]).points_at("a");
    folder.cxql(&["query", "--how many", "select 1"]).fails(2, &["unexpected argument '--how many'"]);
}

#[test]
fn a_query_has_no_parameters() {
    let ran = Folder::new().query("select $since as a");
    ran.fails(1, &["$since", "<query>:1:8"]).points_at("$since");
    assert!(!ran.err.contains("was not provided a value for execution"), "{}", ran.err);
}

#[test]
fn several_results_need_a_format_that_holds_them() {
    let folder = Folder::new();
    let ran = folder.cxql(&["query", "select 1 as a; select 2 as b", "-f", "csv"]);
    ran.fails(2, &["csv holds one table", "2 sections", "--section N", "json"]);
    assert_eq!(ran.text(), "");
    assert_eq!(folder.cxql(&["query", "select 1 as a; select 2 as b", "--section", "2"]).out(), "b\n2\n");
    folder.cxql(&["query", "select 1 as a", "--section", "2"]).fails(2, &["--section", "2"]);
    folder.cxql(&["query", "select 1 as a", "--section", "0"]).fails(2, &["--section", "0"]);
}

const WRITES: [&str; 14] = [
    "drop table surveys",
    "drop view kpis",
    "copy surveys to 'made.csv'",
    "copy (select 1 as a) to 'made.parquet'",
    "create external table t stored as csv location 'x.csv'",
    "create table t as select 1 as a",
    "create view v as select 1 as a",
    "insert into surveys select * from surveys",
    "select 1 as a into t",
    "explain analyze copy surveys to 'made.csv'",
    "update surveys set score = 1",
    "delete from surveys",
    "truncate table surveys",
    "alter table surveys add column x integer",
];

#[test]
fn statements_that_write_are_refused_and_do_nothing() {
    let folder = Folder::new();
    let before = folder.names(".");
    for sql in WRITES {
        folder.sampled(sql).fails(1, &["writes", "refused", "--write", "<query>:1:"]);
        // a good statement before it must not save it
        folder.sampled(&format!("select 1 as a; {sql}")).fails(1, &["refused"]);
    }
    assert_eq!(folder.names("."), before);
}

#[test]
fn statements_that_write_work_with_write() {
    let folder = Folder::new();
    let write = |sql: &str| folder.cxql(&["query", sql, "--write", "--data", &sample()]);
    assert_eq!(write("create table t as select 1 as a; select * from t").out(), "a\n1\n");
    assert_eq!(write("create view v as select 2 as a; select * from v").out(), "a\n2\n");
    assert_eq!(write("select 3 as a into t; select * from t").out(), "a\n3\n");
    write("copy (select 4 as a) to 'made.parquet'").out();
    assert_eq!(folder.query("select * from 'made.parquet'").out(), "a\n4\n");
    let external = "create external table t stored as parquet location 'made.parquet'; select * from t";
    assert_eq!(write(external).out(), "a\n4\n");
    assert_eq!(write("create table t as select 1 as a; drop table t; select 5 as b").out(), "b\n5\n");
}

#[test]
fn statements_are_carried_out_one_after_another() {
    let folder = Folder::new();
    let write = |sql: &str| folder.cxql(&["query", sql, "--write", "-f", "json"]).out();
    let text = write(
        "create table t(a int); insert into t values (1), (2); create table u as select * from t; \
         select count(*) as copied_count from u",
    );
    assert!(text.contains("\"copied_count\":2"), "{text}");
    let text = write("copy (select 7 as seven) to 'made.csv'; select * from 'made.csv'");
    assert!(text.contains("\"seven\":7"), "{text}");
}

#[test]
fn what_belongs_to_the_project_cannot_be_dropped() {
    let folder = Folder::new();
    for sql in ["drop table surveys", "drop view kpis"] {
        let ran = folder.cxql(&["query", sql, "--write", "--data", &sample()]);
        ran.fails(1, &[sql.rsplit(' ').next().unwrap()]);
        assert!(!ran.err.contains("doesn't exist"), "{}", ran.err);
    }
}

/// A text of SQL on standard input.
fn query_text(text: impl AsRef<[u8]>) -> Ran {
    Folder::new().cxql_with(text, &["query", "-", "--data", &sample()])
}

#[test]
fn deep_nesting_is_refused_and_nothing_overflows() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        query_text(format!("select {}{inner}{} as x", open.repeat(depth), close.repeat(depth)))
    };
    nested("(", "1", ")", 5_000).fails(1, &["deep"]);
    nested("abs(", "1", ")", 5_000).fails(1, &["deep"]);
    nested("case when 1 = 2 then 3 else ", "1", " end", 2_000).fails(1, &[]);
    nested("not ", "true", "", 5_000).fails(1, &[]);
    nested("- ", "1", "", 5_000).fails(1, &[]);
    nested("array[", "1", "]", 5_000).fails(1, &["deep"]);
    let from = format!("select * from {}surveys{}", "(select * from ".repeat(1_000), ")".repeat(1_000));
    query_text(from).fails(1, &["deep"]);
    let folder = Folder::new();
    folder.write("deep.sql", format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000)));
    folder.cxql(&["run", "deep.sql"]).fails(1, &["deep", "deep.sql"]);
}

#[test]
fn what_is_long_but_not_deep_works() {
    assert_eq!(query_text(format!("select length('{}') as n", "x".repeat(1_000_000))).out(), "n\n1000000\n");
    let numbers: Vec<String> = (0..30_000).map(|n| n.to_string()).collect();
    let listed = format!("select count(*) as n from (values (7), (-1)) as t(a) where a in ({})", numbers.join(", "));
    assert_eq!(query_text(listed).out(), "n\n1\n");
    let columns: Vec<String> = (0..2_000).map(|n| format!("{n} as c{n}")).collect();
    let text = query_text(format!("select {}", columns.join(", "))).out();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len(), rows[1][1_999]), (2, 2_000, "1999"));
    let terms = vec!["1"; 250].join(" + ");
    assert_eq!(query_text(format!("select {terms} as n")).out(), "n\n250\n");
    let terms = vec!["1"; 500].join(" + ");
    query_text(format!("select {terms} as n")).fails(1, &["deeper than 256 operators", "in place of a long chain"]);
}

#[test]
fn nul_and_control_characters_do_no_harm() {
    query_text("select \0 as x").fails(1, &["<query>:1:8"]);
    let ran = query_text("select \x1b[31m as x");
    ran.fails(1, &["<query>:1:8"]);
    assert!(!ran.err.contains('\x1b'), "a terminal must not be coloured by the user's text: {:?}", ran.err);
    assert_eq!(query_text("select 'a\0b' as x").out(), "x\na\0b\n");
    // a table is for a terminal: nothing in it steers the terminal
    let text =
        Folder::new().cxql(&["query", "select chr(27) || '[31m' as x, chr(7) as y, chr(13) as z", "-f", "table"]);
    assert!(!text.out().contains(['\x1b', '\x07', '\r']), "{:?}", text.out());
}

#[test]
fn text_that_is_not_utf8_is_refused_with_a_remedy() {
    query_text(b"select 'caf\xe9' as a").fails(1, &["standard input", "UTF-8"]);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(query_text("\u{feff}select 1 as a").out(), "a\n1\n");
    let folder = Folder::new();
    folder.write("bom.sql", "\u{feff}-- title: A\nselect 1 as a");
    assert_eq!(folder.cxql(&["run", "bom.sql"]).out(), "a\n1\n");
}

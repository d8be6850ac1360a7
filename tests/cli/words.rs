//! What results and errors are called: headings as typed, SQL names of types, reports with arguments, and answers to
//! statements with mistakes that say what to write.

use super::program::{Folder, sample};

/// Queries over the sample data.
fn query(sql: &str) -> super::program::Ran {
    Folder::new().cxql(&["query", sql, "--data", &sample()])
}

fn header(sql: &str) -> String {
    query(sql).out().lines().next().unwrap_or_default().to_string()
}

const T: &str = "(values (1, 2.5, 'a'), (3, 4.5, 'b')) as t (n, x, k)";

// expected headings: the text of the statement
#[test]
fn headings_are_the_expressions_as_they_were_typed() {
    for (item, heading) in [
        ("round(max(x), 6)", "\"round(max(x), 6)\""),
        ("date_part('epoch', timestamp '2025-01-01')", "\"date_part('epoch', timestamp '2025-01-01')\""),
        ("count(*)", "count(*)"),
        ("Count( * )", "Count( * )"),
        ("sum(n) filter (where k = 'a')", "sum(n) filter (where k = 'a')"),
        ("case when max(n) > 1 then 'x' end", "case when max(n) > 1 then 'x' end"),
        ("max(n)::double", "max(n)::double"),
        ("cast(max(n) as text)", "cast(max(n) as text)"),
        ("rank() over (order by count(*))", "rank() over (order by count(*))"),
        ("(select max(n) from t)", "(select max(n) from t)"),
        ("-max(n)", "-max(n)"),
        ("'it''s'", "'it''s'"),
    ] {
        assert_eq!(header(&format!("with t as (select * from {T}) select {item} from t")), heading, "{item}");
    }
    // columns keep their names, aliases are as written
    assert_eq!(header(&format!("select t.n, k as \"K\", n + 1 as m from {T}")), "n,K,m");
    // what is named in a subquery, view or common table expression comes through `*`
    assert_eq!(header(&format!("select * from (select max(x), min(n) + 1 from {T})")), "max(x),min(n) + 1");
    assert_eq!(header(&format!("with c as (select max(x) from {T}) select * from c")), "max(x)");
    assert_eq!(header(&format!("select max(n) from {T} union all select 5")), "max(n)");
    let folder = Folder::with(&[("sql/views/v.sql", "select max(a) + 1 from (values (1)) as t (a)")]);
    assert_eq!(folder.query("select * from v").out(), "max(a) + 1\n2\n");
    assert_eq!(folder.query("select \"max(a) + 1\" as m from v").out(), "m\n2\n");
    // one that stands twice is told apart
    assert_eq!(
        header(&format!("select count(*), count(*), n, n from {T} group by n")),
        "count(*),count(*) (2),n,n (2)"
    );
    // DESCRIBE lists the same headings
    let described = query("describe select max(x) + 1, count(*) from (values (1)) as t (x)").out();
    let names: Vec<&str> = described.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(names, ["max(x) + 1", "count(*)"]);
    let json = Folder::new().cxql(&["query", "select round(1.25, 1)", "-f", "json"]).out();
    assert!(json.contains("{\"round(1.25, 1)\":"), "{json}");
}

// expected rows by hand
#[test]
fn names_change_nothing_else() {
    for (sql, rows) in [
        ("select n + 1 from {T} order by n + 1 desc", "4|2"),
        ("select n % 2, count(*) from {T} group by n % 2 having count(*) > 1 order by count(*)", "1,2"),
        ("select upper(k), max(n) from {T} group by 1 order by 2 desc", "B,3|A,1"),
        ("select distinct upper(k) from {T} order by upper(k) desc", "B|A"),
        ("select distinct n % 2 from {T} order by n % 2", "1"),
        ("select sum(n) over (order by n) from {T} order by sum(n) over (order by n) desc", "4|1"),
        ("select n + 1 from {T} union select 2 order by 1", "2|4"),
        ("select n + 1 from {T} intersect select 2", "2"),
        ("select unnest([5, 6])", "5|6"),
        ("select n from {T} where n in (select max(n) from {T})", "3"),
        ("select * from (select max(n) from {T}) as a (m) where m > 1", "3"),
    ] {
        let out = query(&sql.replace("{T}", T)).out();
        let found: Vec<&str> = out.lines().skip(1).collect();
        assert_eq!(found.join("|"), rows, "{sql}");
    }
}

// expected rows by hand and of DuckDB 1.4; a name that is there twice without its cast is none to the user
#[test]
fn expressions_that_differ_in_a_cast_alone_stand_side_by_side() {
    let values = "(values (1, timestamp '2025-01-01 10:00'), (10, timestamp '2025-01-01 11:00')) as t (s, at)";
    for (items, tail, result) in [
        ("sum(s), sum(s::bigint)", "", "sum(s),sum(s::bigint)|11,11"),
        ("max(s), max(s::double) + 1", "", "max(s),max(s::double) + 1|10,11.0"),
        ("count(distinct at), count(distinct at::date)", "", "count(distinct at),count(distinct at::date)|2,1"),
        ("nps(s), nps(s::double)", "", "nps(s),nps(s::double)|0.0,0.0"),
        ("sum(s) over (), sum(s::double) over ()", "limit 1", "sum(s) over (),sum(s::double) over ()|11,11.0"),
        (
            "at::date, at, count(*)",
            "group by at::date, at order by at limit 1",
            "at::date,at,count(*)|2025-01-01,2025-01-01T10:00:00,1",
        ),
        ("sum(s)", "having sum(s::double) > 10 order by sum(s::int)", "sum(s)|11"),
    ] {
        let out = query(&format!("select {items} from {values} {tail}")).out();
        assert_eq!(out.lines().collect::<Vec<_>>().join("|"), result, "{items}");
    }
    query(&format!("select count(*) from {values} group by s, s::nosuch")).fails(1, &["no type `nosuch`"]);
}

#[test]
fn wrong_arguments_and_functions_of_elsewhere_have_a_remedy() {
    for (sql, remedy) in [
        ("select percentile_cont(0.5) within group (order by channel) from interactions", "try_cast(... as double)"),
        ("select typeof(wait_s) from interactions", "write arrow_typeof(x)"),
        ("select median(ended_at - started_at) from interactions", "median(date_part('epoch', x))"),
    ] {
        query(sql).fails(1, &[remedy]);
    }
}

#[test]
fn a_long_heading_loses_its_middle_in_a_table_only() {
    let sql = "select sum(1) filter (where true and true and true and true and true and true and true and true) as_typed, \
               max(case when true and true and true and true and true and true and true then 1 else 2 end)";
    let full = "max(case when true and true and true and true and true and true and true then 1 else 2 end)";
    assert!(query(sql).out().starts_with(&format!("as_typed,{full}\n")));
    let table = Folder::new().cxql(&["query", sql, "-f", "table"]).out();
    assert!(
        !table.contains(full) && table.contains("…then 1 else 2 end)") && table.contains("max(case when"),
        "{table}"
    );
}

#[test]
fn types_have_sql_names() {
    let described = query("describe interactions").out();
    for line in ["started_at,timestamp with time zone,YES", "customer_id,text,YES", "is_abandoned,boolean,YES"] {
        assert!(described.lines().any(|shown| shown == line), "{line}: {described}");
    }
    let described = query(
        "describe select 1 as a, 1.5 as b, ['x'] as c, interval '1 day' as d, cast(1 as decimal(10, 2)) as e, \
         timestamp '2025-01-01' as f, cast(1 as int) as g, date '2025-01-01' as h, now() as i",
    );
    let types: Vec<String> = described
        .out()
        .lines()
        .skip(1)
        .map(|line| {
            line.split_once(',')
                .map(|(_, rest)| rest.rsplit_once(',').map_or(rest, |(name, _)| name).replace('"', ""))
                .unwrap_or_default()
        })
        .collect();
    let expected = [
        "bigint",
        "double",
        "text[]",
        "interval",
        "decimal(10,2)",
        "timestamp",
        "integer",
        "date",
        "timestamp with time zone",
    ];
    assert_eq!(types, expected);
    for sql in [
        "show columns from surveys",
        "select data_type from information_schema.columns",
        "select data_type from information_schema.parameters",
        "select data_type from information_schema.routines",
    ] {
        let out = query(sql).out();
        for arrow in ["Utf8", "Int64", "Int32", "Timestamp(", "Float64"] {
            assert!(!out.contains(arrow), "{sql} shows {arrow}");
        }
    }
    let of_type =
        "select count(*) > 0 as found from information_schema.columns where data_type = 'timestamp with time zone'";
    assert_eq!(query(of_type).out(), "found\ntrue\n");
    let shown = Folder::new().cxql(&["show", "kpi_overview", "--data", &sample()]).out();
    assert!(shown.contains(" double\n") && shown.contains(" text\n"), "{shown}");
}

const SPAN: &str = "-- param: least integer\n-- param: since date = 2025-01-01\n-- param: words list(text) = a\n\
                    -- param: note text = none\n\
                    select $least + 1 as n, $since as since, array_to_string($words, '+') as words, $note as note";

#[test]
fn reports_are_read_with_arguments() {
    let folder = Folder::with(&[
        ("sql/own/span.sql", SPAN),
        (
            "sql/own/outer.sql",
            "-- param: day date = 2025-05-05\nselect n, since from reports.span(least => 9, since => $day)",
        ),
        (
            "sql/views/by_view.sql",
            "select n, since from reports.span(least => 2, since => date '2025-03-01' + interval '1 day')",
        ),
    ]);
    for (sql, row) in [
        ("select * from reports.span(least => 4)", "5,2025-01-01,a,none"),
        (
            "select * from Reports.Span(since => '2025-02-03', LEAST => -4, note => 'it''s (x)')",
            "-3,2025-02-03,a,it's (x)",
        ),
        ("select * from reports.span(least => 2 * 3, words => ['b', 'c, d'], since => null)", "7,,\"b+c, d\",none"),
        ("select span.n, s.n from reports.span(least => 1), reports.span(least => 2) as s", "2,3"),
        (
            "select n from (select * from reports.span(least => 1)) where n in (select n from reports.span(least => 1))",
            "2",
        ),
        ("select n, since from by_view", "3,2025-03-02"),
        ("select n, since from reports.outer", "10,2025-05-05"),
        ("select n, since from reports.outer(day => date '2025-06-06')", "10,2025-06-06"),
    ] {
        assert_eq!(folder.query(sql).out().lines().nth(1), Some(row), "{sql}");
    }
    assert_eq!(folder.cxql(&["run", "outer", "-p", "day=2025-07-07"]).out(), "n,since\n10,2025-07-07\n");
    for (sql, parts) in [
        ("select * from reports.span(lest => 1)", &["has no parameter `lest`", "did you mean `least`?", "1:28"][..]),
        ("select * from reports.span(least => 1, least => 2)", &["`least` stands twice"]),
        ("select * from reports.span()", &["needs the argument `least`", "reports.span(least => 42)"]),
        ("select * from reports.span", &["`least` has no default", "reports.span(least => 42)"]),
        ("select * from reports.span(least => 1.5)", &["is bigint, this is double", "1:28"]),
        ("select * from reports.span(least => 'x')", &["is bigint, this is 'x'"]),
        (
            "select * from reports.span(least => 1, since => timestamp '2025-01-01 08:00:00')",
            &["is date, this is timestamp"],
        ),
        ("select * from reports.span(least => 1, words => 'a')", &["is text[], this is 'a'", "['billing', ...]"]),
        ("select * from reports.span(1)", &["have names", "reports.span(least => 42)"]),
        ("select * from reports.span(least => n)", &["`n` is no constant"]),
        ("select * from reports.span(least => (select 1))", &["is no constant"]),
        ("select * from reports.span(least => 1, since => current_date)", &["`since` of reports.span is no constant"]),
        ("select * from reports.span(least => $1)", &["`$1` has no value"]),
        ("select * from reports.spam(least => 1)", &["no report `spam`", "did you mean `reports.span`?"]),
        ("select * from span(least => 1)", &["did you mean `reports.span`?"]),
        ("select * from span", &["no table or view `span`", "did you mean `reports.span`?", "cxql run span"]),
    ] {
        folder.query(sql).fails(1, parts);
    }
}

#[test]
fn a_report_that_reads_itself_with_arguments_is_a_circle() {
    let folder =
        Folder::with(&[("sql/own/loop.sql", "-- param: n integer = 1\nselect * from reports.loop(n => $n + 1)")]);
    folder.query("select * from reports.loop").fails(1, &["circle"]);
}

#[test]
fn views_are_shown() {
    let folder = Folder::with(&[(
        "sql/views/own.sql",
        "-- title: Our own\n-- description: What it is.\n-- check: a > 0\nselect 1 as a, 'x' as b",
    )]);
    let shown = folder.cxql(&["show", "own"]).out();
    for part in [
        "Our own",
        "view         own",
        "sql/views/own.sql",
        "What it is.",
        "column       a bigint",
        "a > 0",
        "select 1 as a",
    ] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    assert!(folder.cxql(&["show", "contacts_clean", "--data", &sample()]).out().contains("(shipped)"));
    let shown = folder.cxql(&["show", "surveys", "--data", &sample()]).out();
    for part in ["table        surveys", "column       score ", "from surveys limit 10"] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    folder.cxql(&["show", "surveyz", "--data", &sample()]).fails(2, &["no report 'surveyz'"]);
}

#[test]
fn sections_go_into_a_pipe_as_blocks() {
    let two = "-- title: Two\nselect 1 as n, null as m;\n-- section: Words, and more\nselect 'x' as b";
    let folder = Folder::with(&[("sql/own/two.sql", two)]);
    assert_eq!(folder.cxql(&["run", "two"]).out(), "# Two\nn,m\n1,\n\n# Words, and more\nb\nx\n");
    assert_eq!(folder.query("select 1 as a; select 2 as b").out(), "# Result 1\na\n1\n\n# Result 2\nb\n2\n");
    folder.cxql(&["run", "two", "-f", "csv"]).fails(2, &["--section"]);
    folder.cxql(&["run", "two", "-o", "two.csv"]).fails(2, &["--section"]);
    // a query as a report
    folder.cxql(&["query", "select 1 as a; select 2 as b", "-f", "csv"]).fails(2, &["--section"]);
    folder.cxql(&["query", "select 1 as a; select 2 as b", "-o", "two.csv"]).fails(2, &["--section"]);
    assert_eq!(folder.cxql(&["query", "select 1 as a; select 2 as b", "-f", "csv", "--section", "2"]).out(), "b\n2\n");
    assert_eq!(folder.cxql(&["run", "two", "--section", "1"]).out(), "n,m\n1,\n");
}

#[test]
fn divisions_of_integers_are_warnings_of_check() {
    let folder = Folder::with(&[
        (
            "sql/own/third.sql",
            "-- param: part integer = 3\nselect\n    count(*) / $part as a,\n    7 / 2.0 as b\nfrom (values (1))",
        ),
        ("sql/views/half.sql", "select 7 / 2 as a, floor(7 / 2) as b"),
    ]);
    let out = folder.cxql(&["check", "third", "half"]).out();
    for place in ["sql/own/third.sql:3:14", "sql/views/half.sql:1:10"] {
        assert!(out.contains(&format!("{place}: a division of integers")), "{out}");
    }
    assert_eq!(out.matches("division of integers").count(), 2, "{out}");
    assert_eq!(folder.cxql(&["check", "half"]).out().matches("division of integers").count(), 1);
    // the shipped files have none
    let out = Folder::new().cxql(&["check", "--data", &sample()]).out();
    assert!(!out.contains("division of integers"), "{out}");
}

#[test]
fn options_are_set_and_reset() {
    let folder =
        Folder::with(&[("cxql.toml", "[engine]\ndictionary_scan_bytes = \"64KB\"\nhash_window_agg = false\n")]);
    let show = "show cxql.engine.dictionary_scan_bytes; show cxql.engine.hash_window_agg";
    let value = |sql: &str| folder.query(sql).out();
    assert!(value(show).contains("65536") && value(show).contains("false"));
    let out = value(
        "set cxql.engine.hash_window_agg = true; set cxql.engine.dictionary_scan_bytes = '1MB'; \
         reset cxql.engine.hash_window_agg; reset cxql.engine.dictionary_scan_bytes; show cxql.engine.dictionary_scan_bytes",
    );
    assert!(out.contains("65536"), "{out}");
    // RESET of DataFusion would leave no time zone
    assert!(value("reset datafusion.execution.time_zone; show datafusion.execution.time_zone").contains("UTC"));
    for (sql, part) in [
        ("set cxql.engine.hash_windw_agg = true", "did you mean `cxql.engine.hash_window_agg`?"),
        ("reset cxql.engine.hash_windw_agg", "did you mean `cxql.engine.hash_window_agg`?"),
        ("set datafusion.execution.batch_siz = 1", "did you mean `datafusion.execution.batch_size`?"),
        ("show datafusion.execution.batch_siz", "did you mean `datafusion.execution.batch_size`?"),
        ("set cxql.engine.dictionary_scan_bytes = '64 apples'", "such as 65536 or 64KB"),
    ] {
        folder.query(sql).fails(1, &[part]);
    }
}

#[test]
fn an_error_within_an_error_is_said_once() {
    query("select 5 = avg([1, 5]) as a").fails(1, &["cannot be used with bigint[]"]);
}

//! Views: circles, faults in them, views that shadow what is shipped or a table, and `reports.<name>`.

use super::program::{Folder, sample};

#[test]
fn a_circle_of_views_is_named() {
    let folder = Folder::with(&[
        ("sql/views/a.sql", "select * from b"),
        ("sql/views/b.sql", "select * from c"),
        ("sql/views/c.sql", "with x as (select 1 as one) select * from x, a"),
        ("sql/views/good.sql", "select 1 as one"),
    ]);
    folder.query("select * from a").fails(1, &["a -> b -> c -> a", "sql/views/"]);
    folder.query("select * from c").fails(1, &["c -> a -> b -> c"]);
    // those who do not use it are not hurt
    assert_eq!(folder.query("select * from good").out(), "one\n1\n");
    let ran = folder.cxql(&["check", "a", "good"]);
    assert!(ran.code == 1 && ran.text().contains("a -> b -> c -> a") && ran.text().contains("1 passed, 1 failed"));
}

#[test]
fn a_view_that_reads_itself_without_a_table_is_a_circle() {
    let folder = Folder::with(&[("sql/views/calls.sql", "select * from calls where true")]);
    folder.query("select * from calls").fails(1, &["calls -> calls", "sql/views/calls.sql"]);
}

#[test]
fn a_view_may_shadow_the_table_it_reads() {
    let folder =
        Folder::with(&[("sql/views/surveys.sql", "select *, score * 10 as tenfold from surveys where score = 7")]);
    let ran = folder.sampled("select distinct score, tenfold from surveys");
    assert_eq!(ran.out(), "score,tenfold\n7,70\n");
    // below an alias, in a subquery and in another view too
    let ran = folder.sampled("select min(s.score) as low from (select * from surveys) as s");
    assert_eq!(ran.out(), "low\n7\n");
    folder.write("sql/views/best.sql", "select max(score) as best from surveys");
    assert_eq!(folder.sampled("select * from best").out(), "best\n7\n");
}

#[test]
fn a_fault_in_a_view_is_shown_in_its_file() {
    let folder = Folder::with(&[
        ("sql/views/broken.sql", "select 1 as a,\n  nope\nfrom surveys"),
        ("sql/views/above.sql", "select * from broken"),
        ("sql/views/two.sql", "select 1 as a; select 2 as b"),
        ("sql/views/none.sql", ""),
        ("sql/views/drops.sql", "drop table surveys"),
        ("sql/views/asks.sql", "select\n  $x as a"),
        ("sql/views/param.sql", "-- param: x integer = 1\nselect $x as a"),
        ("sql/views/key.sql", "-- titel: A\nselect 1 as a"),
    ]);
    folder.sampled("select * from broken").fails(1, &["`nope`", "sql/views/broken.sql:2:3"]).points_at("nope");
    folder.sampled("select * from above").fails(1, &["`nope`", "sql/views/broken.sql:2:3"]);
    folder.sampled("select * from two").fails(1, &["one SELECT", "2", "sql/views/two.sql"]);
    folder.sampled("select * from none").fails(1, &["one SELECT", "sql/views/none.sql"]);
    folder.sampled("select * from drops").fails(1, &["only read", "sql/views/drops.sql:1:1"]);
    folder.sampled("select * from asks").fails(1, &["$x", "sql/views/asks.sql:2:3"]);
    folder.sampled("select * from param").fails(1, &["a view has no `param`", "sql/views/param.sql:1:4"]);
    folder.sampled("select * from key").fails(1, &["`titel`", "did you mean `title`?", "sql/views/key.sql:1:4"]);
}

#[test]
fn a_project_replaces_what_is_shipped() {
    let folder = Folder::with(&[
        ("sql/mine/kpi_overview.sql", "-- title: Ours\nselect 42 as kpi"),
        ("sql/views/kpis.sql", "select 'own' as kpi"),
    ]);
    assert_eq!(folder.cxql(&["run", "kpi_overview"]).out(), "kpi\n42\n");
    assert_eq!(folder.query("select * from reports.kpi_overview").out(), "kpi\n42\n");
    assert_eq!(folder.query("select * from kpis").out(), "kpi\nown\n");
    let list = folder.cxql(&["list"]).out();
    let line = list.lines().find(|line| line.contains("kpi_overview")).unwrap();
    assert!(line.contains("Ours") && line.contains("mine"), "{line}");
}

#[test]
fn a_report_is_a_view() {
    let folder = Folder::with(&[
        ("sql/kpi/three.sql", "-- param: n integer = 3\nselect $n as n;\nselect 'second' as b"),
        ("sql/kpi/asks.sql", "-- title: A\n-- param: n integer\nselect $n as n"),
        ("sql/kpi/above.sql", "select n * 2 as twice from reports.three"),
    ]);
    assert_eq!(folder.query("select n + 1 as m from reports.three").out(), "m\n4\n");
    assert_eq!(folder.cxql(&["run", "above"]).out(), "twice\n6\n");
    let ran = folder.query("select * from reports.asks");
    ran.fails(1, &["reports.asks", "`n` has no default", "sql/kpi/asks.sql:2:11", "cxql run asks -p n="]);
    let listed = folder.query(
        "select table_name from information_schema.tables where table_schema = 'reports' \
         and table_name in ('three', 'asks')",
    );
    assert_eq!(listed.out(), "table_name\nthree\n", "a report that needs a value is no view");
    let ran = folder.cxql(&["query", "select count(*) > 5 as ok from reports.kpi_overview", "--data", &sample()]);
    assert_eq!(ran.out(), "ok\ntrue\n");
}

#[test]
fn columns_are_listed_beside_views_that_cannot_be_planned() {
    // no table of the model: the shipped views cannot be planned either
    let folder = Folder::with(&[
        ("cxql.toml", "[tables.calls]\npath = \"calls.csv\"\n"),
        ("data/calls.csv", "a,b\n1,x\n"),
        ("sql/views/broken.sql", "select nope from calls"),
        ("sql/views/whole.sql", "select b as c from calls"),
    ]);
    let shown = folder.query("show columns from calls").out();
    assert!(shown.lines().count() == 3 && shown.contains(",calls,a,bigint,"), "{shown}");
    let sql = "select table_name, column_name from information_schema.columns \
               where table_name in ('calls', 'broken', 'whole') order by 1, 2";
    assert_eq!(folder.query(sql).out(), "table_name,column_name\ncalls,a\ncalls,b\nwhole,c\n");
    folder.query("show columns from broken").fails(1, &["`nope`", "sql/views/broken.sql"]);
}

#[test]
fn columns_of_the_model_that_the_data_lacks_are_null() {
    let folder = Folder::new();
    folder
        .make("data/interactions.parquet", "select 'c1' as customer_id, timestamp '2025-01-01 10:00:00' as started_at");
    let ran = folder.query("select customer_id, topic, wait_s, is_resolved from interactions");
    assert_eq!(ran.out(), "customer_id,topic,wait_s,is_resolved\nc1,,,\n");
    assert_eq!(folder.query("select count(*) as n, sum(wait_s) + 1 as w from interactions").out(), "n,w\n1,\n");
    // not a column of the model
    folder.query("select nope from interactions").fails(1, &["`nope`"]);
}

#[test]
fn tables_of_the_model_that_the_data_lacks_are_empty_with_a_note() {
    let folder = Folder::new();
    folder
        .make("data/interactions.parquet", "select 'c1' as customer_id, timestamp '2025-01-01 10:00:00' as started_at");
    let ran = folder.query("select count(score) as n from surveys");
    assert_eq!(ran.out(), "n\n0\n");
    assert_eq!(ran.err, "note: the data has no table `surveys`; it is read as empty\n");
    // every shipped report runs over one column and a half
    let ran = folder.cxql(&["check"]);
    assert!(ran.code == 0 && ran.text().trim_end().ends_with(", 0 failed"), "{}", ran.text());
}

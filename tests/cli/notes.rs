//! Notes of reports and views: where they are shown, which of them a statement has, and faults in them.

use super::program::{Folder, Ran};

const CALLS: &str = "id,topic\n1,billing\n1,billing\n2,delivery\n3,\n";

const TABLES: &str = "[tables.calls]\npath = \"calls.csv\"\n";

/// Two views over each other; the lowest leaves rows out and says so.
fn project() -> Folder {
    Folder::with(&[
        ("cxql.toml", TABLES),
        ("data/calls.csv", CALLS),
        (
            "sql/views/unique_calls.sql",
            "-- title: Calls once\nselect distinct id, topic from calls;\n\n-- notes: copies that are left out\n\
             select (count(*) - count(distinct id)) || ' of ' || count(*) || ' calls are copies' from calls\n\
             having count(*) > count(distinct id)",
        ),
        ("sql/views/clean_calls.sql", "select * from unique_calls"),
        (
            "sql/kpi/topics.sql",
            "-- title: Topics\n-- param: least integer = 0\n\
             select coalesce(topic, '?') as topic, count(*) as n from clean_calls where id > $least group by 1 order by 1;\n\
             -- section: Ids\nselect id from unique_calls where id > $least order by id;\n\
             -- notes: calls without a topic\n\
             select count(*) || ' calls above ' || $least || ' have no topic' from calls where topic is null and id > $least",
        ),
    ])
}

/// The notes on standard error.
fn notes(ran: &Ran) -> Vec<&str> {
    ran.err.lines().filter_map(|line| line.strip_prefix("note: ")).collect()
}

const COPIES: &str = "1 of 4 calls are copies";

#[test]
fn notes_are_on_standard_error_and_the_rows_alone_on_standard_output() {
    let folder = project();
    let ran = folder.cxql(&["run", "topics", "--section", "2", "-f", "ndjson", "-p", "least=2"]);
    assert_eq!(ran.out(), "{\"id\":3}\n");
    // once, although both sections read the view
    assert_eq!(notes(&ran), ["1 calls above 2 have no topic", COPIES]);
    let ran = folder.cxql(&["run", "topics", "-f", "ndjson", "--section", "1"]);
    assert_eq!(ran.out().lines().count(), 3);
}

#[test]
fn a_statement_has_the_notes_of_the_views_that_it_reads_and_no_others() {
    let folder = project();
    for sql in [
        "select count(*) from unique_calls",
        "select count(*) from clean_calls as c",
        "select (select max(id) from clean_calls)",
        "select 1 where exists (select 1 from unique_calls where id = 2)",
        "with x as (select * from clean_calls) select a.id from x as a join x as b on a.id = b.id",
        "select 1 union all select count(*) from unique_calls",
    ] {
        assert_eq!(notes(&folder.query(sql)), [COPIES], "{sql}");
    }
    // those of a report too, with its arguments
    assert_eq!(notes(&folder.query("select n from reports.topics")), [COPIES, "1 calls above 0 have no topic"]);
    assert_eq!(
        notes(&folder.query("select n from reports.topics(least => 2)")),
        [COPIES, "1 calls above 2 have no topic"]
    );
    for sql in [
        "select count(*) from calls",
        "with unique_calls as (select * from calls) select count(*) from unique_calls",
        "select u.id from calls as u",
        "select 'unique_calls' as clean_calls",
    ] {
        assert!(notes(&folder.query(sql)).is_empty(), "{sql}");
    }
}

#[test]
fn each_statement_of_a_shell_has_its_own_notes() {
    let folder = project();
    let ran =
        folder.cxql_with("select count(*) from calls;\nselect count(*) from clean_calls;\nselect 1;\n", &["shell"]);
    assert_eq!(notes(&ran), [COPIES], "{ran:?}");
    let ran = folder.cxql_with("select 1 from clean_calls;\nselect 2 from unique_calls;\n", &["shell"]);
    assert_eq!(notes(&ran), [COPIES, COPIES], "{ran:?}");
}

#[test]
fn a_view_without_anything_to_say_has_no_notes() {
    let folder = project();
    folder.write("data/calls.csv", "id,topic\n1,billing\n");
    let ran = folder.cxql(&["run", "topics", "--section", "1"]);
    // a NULL and an empty string are no notes
    assert_eq!(notes(&ran), ["0 calls above 0 have no topic"]);
    folder.write("sql/views/quiet.sql", "select 1 as a;\n-- notes:\nselect null || 'x' union all select ' '");
    assert!(notes(&folder.query("select * from quiet")).is_empty());
}

#[test]
fn pages_check_and_show_have_the_notes() {
    let folder = project();
    folder.cxql(&["run", "topics", "-o", "topics.html"]).says(COPIES);
    let page = folder.read("topics.html");
    for wanted in ["<li>1 calls above 0 have no topic</li>", "<li>1 of 4 calls are copies</li>"] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
    let text = folder.cxql(&["check", "topics", "unique_calls", "clean_calls"]).out();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "ok    report topics: 6 rows, 0 checks hold",
            "note  report topics: 1 calls above 0 have no topic",
            "ok    view   unique_calls: planned",
            "note  view   unique_calls: 1 of 4 calls are copies",
            "ok    view   clean_calls: planned",
            "3 passed, 0 failed",
        ]
    );
    let text = folder.cxql(&["show", "topics"]).out();
    assert!(text.contains("notes        calls without a topic\n"), "{text}");
}

#[test]
fn many_notes_are_cut() {
    let folder =
        Folder::with(&[("sql/views/many.sql", "select 1 as a;\n-- notes:\nselect 'n' || value from range(30)")]);
    let ran = folder.query("select * from many");
    assert_eq!(notes(&ran).len(), 21, "{ran:?}");
    assert_eq!(notes(&ran)[20], "... and 10 notes more");
}

#[test]
fn in_the_notes_of_a_view_its_name_is_the_table_below() {
    let folder = Folder::with(&[
        ("cxql.toml", TABLES),
        ("data/calls.csv", CALLS),
        (
            "sql/views/calls.sql",
            "select * from calls where topic is not null;\n-- notes:\n\
             select count(*) || ' of ' || (select count(*) from calls) || ' have no topic' from calls where topic is null",
        ),
    ]);
    let ran = folder.query("select count(*) as n from calls");
    assert_eq!(ran.out(), "n\n3\n");
    assert_eq!(notes(&ran), ["1 of 4 have no topic"]);
}

#[test]
fn a_fault_in_notes_is_shown_at_its_place() {
    let folder = Folder::with(&[
        ("cxql.toml", TABLES),
        ("data/calls.csv", CALLS),
        ("sql/views/two.sql", "select 1 as a;\n-- notes:\nselect 'x', 'y'"),
        ("sql/views/number.sql", "select 1 as a;\n-- notes:\nselect 1"),
        ("sql/views/typo.sql", "select 1 as a;\n-- notes:\nselect\n  nope from calls"),
        ("sql/views/asks.sql", "select 1 as a;\n-- notes:\nselect $x"),
        ("sql/views/drawn.sql", "select 1 as a;\n-- notes:\n-- chart: bar x=a y=a\nselect 'x'"),
        ("sql/kpi/only.sql", "-- notes:\nselect 'x'"),
        ("sql/kpi/twice.sql", "select 1 as a;\n-- notes: a\n-- notes: b\nselect 'x'"),
        ("sql/kpi/unknown.sql", "select 1 as a;\n-- notes:\nselect $x"),
        ("sql/kpi/drops.sql", "select 1 as a;\n-- notes:\ndrop table calls"),
    ]);
    folder.query("select * from two").fails(1, &["one column of text, here are 2", "sql/views/two.sql"]);
    folder.query("select * from number").fails(1, &["one column of text, here are 1 (bigint)"]);
    folder.query("select * from typo").fails(1, &["`nope`", "sql/views/typo.sql:4:3"]);
    folder.query("select * from asks").fails(1, &["a view has no parameters", "sql/views/asks.sql:3:8"]);
    folder.query("select * from drawn").fails(1, &["notes have no `chart`", "sql/views/drawn.sql:3:4"]);
    folder.cxql(&["run", "only"]).fails(1, &["no statement beside its notes", "sql/kpi/only.sql"]);
    folder.cxql(&["run", "twice"]).fails(1, &["`notes` stands twice", "sql/kpi/twice.sql:3:4"]);
    folder.cxql(&["run", "unknown"]).fails(1, &["no `param:` line declares `$x`", "sql/kpi/unknown.sql:3:8"]);
    folder.cxql(&["run", "drops"]).fails(1, &["only read", "sql/kpi/drops.sql:3:1"]);
}

#[test]
fn notes_of_a_view_that_fail_are_a_note_and_fail_check() {
    let folder = Folder::with(&[
        ("cxql.toml", TABLES),
        ("data/calls.csv", CALLS),
        ("sql/views/fails.sql", "select 1 as a;\n-- notes:\nselect cast(cast(topic as bigint) as text) from calls"),
        ("sql/kpi/own.sql", "select 1 as a;\n-- notes:\nselect cast(cast(topic as bigint) as text) from calls"),
    ]);
    let ran = folder.query("select * from fails");
    assert_eq!(ran.out(), "a\n1\n");
    assert!(
        notes(&ran)[0].starts_with("the notes of the view fails fail, `cxql check fails` shows where: "),
        "{ran:?}"
    );
    assert!(notes(&ran)[0].contains("billing"), "{ran:?}");
    assert_eq!(folder.cxql(&["check", "fails"]).code, 1);
    folder.cxql(&["run", "own"]).fails(1, &["billing"]);
}

// `x like null` is no row
#[test]
fn null_in_place_of_a_default_is_a_note() {
    let folder = project();
    folder.write(
        "sql/kpi/calls_of.sql",
        "-- param: topic text like calls.topic = %\n-- param: least integer = 0\n-- param: most integer = null\n\
         -- param: other text = x\n\
         select count(*) as n from calls where topic like $topic and id > $least and id < coalesce($most, 9) \
         and ($other is null or $other = 'x')",
    );
    let note = |name: &str, default: &str| {
        format!(
            "the parameter {name} is NULL: no row is equal to it, like it, before or after it, and what is computed from it \
             is NULL; leave it out for its default, {default}"
        )
    };
    let ran = folder.cxql(&["run", "calls_of", "-p", "topic=null", "-p", "least=null"]);
    assert_eq!(
        (ran.out().as_str(), notes(&ran)),
        ("n\n0\n", vec![note("topic", "%").as_str(), note("least", "0").as_str()])
    );
    let ran = folder.query("select n from reports.calls_of(topic => null)");
    assert_eq!((ran.out().as_str(), notes(&ran)), ("n\n0\n", vec![note("topic", "%").as_str()]));
    // the default is NULL, or the report asks for it
    assert!(notes(&folder.query("select n from reports.calls_of(most => null, other => null)")).is_empty());
    assert!(notes(&folder.cxql(&["run", "calls_of", "-p", "other=null", "-p", "most=null"])).is_empty());
    assert!(notes(&folder.cxql(&["run", "calls_of"])).is_empty());
}

// figures of none are no figures: a misspelt label is a note on standard error and on pages
#[test]
fn a_label_that_no_row_has_is_a_note_with_the_nearest() {
    let folder = project();
    folder.write(
        "sql/kpi/calls_of.sql",
        "-- param: topic text like calls.topic = %\n-- param: least integer = 0\n\
         select count(*) as n from calls where topic like $topic and id > $least",
    );
    let none =
        "no row of calls has a topic like 'biling', so the figures are of none; did you mean 'billing', 'delivery'?";
    let ran = folder.cxql(&["run", "calls_of", "-p", "topic=biling"]);
    assert_eq!((ran.out().as_str(), notes(&ran)), ("n\n0\n", vec![none]));
    for value in ["topic=billing", "topic=b%", "topic=%"] {
        assert!(notes(&folder.cxql(&["run", "calls_of", "-p", value])).is_empty(), "{value}");
    }
    // rows that other parameters leave out are there
    assert!(notes(&folder.cxql(&["run", "calls_of", "-p", "topic=billing", "-p", "least=5"])).is_empty());
    let quoted = notes(&folder.cxql(&["run", "calls_of", "-p", "topic=O'Brien"])).join("");
    assert!(quoted.contains("a topic like 'O'Brien'"), "{quoted}");
    let empty = notes(&folder.cxql(&["run", "calls_of", "-p", "topic="])).join("");
    assert!(empty.contains("a topic like ''"), "{empty}");
    // the same note for SQL that reads the report, also by way of a view, once each
    folder.write("sql/views/of_view.sql", "select * from reports.calls_of(topic => 'biling')");
    for sql in [
        "select n from reports.calls_of(topic => 'biling')",
        "select a.n from reports.calls_of(topic => 'biling') as a, reports.calls_of(topic => 'biling', least => 0) as b",
        "with c as (select * from of_view) select n from c",
    ] {
        let ran = folder.query(sql);
        assert_eq!((ran.out().as_str(), notes(&ran)), ("n\n0\n", vec![none]), "{sql}");
    }
    let ran = folder
        .cxql_with("select n from reports.calls_of(topic => 'biling');\nselect n from reports.calls_of;\n", &["shell"]);
    assert_eq!(notes(&ran), [none], "{ran:?}");
    assert!(notes(&folder.query("select n from reports.calls_of(topic => 'b%')")).is_empty());
    folder.cxql(&["run", "calls_of", "-p", "topic=biling", "-o", "page.html"]).says("wrote");
    assert!(folder.read("page.html").contains("did you mean"));
    // a default that no row has is shown by `check`
    folder.write("sql/kpi/of_default.sql", "-- param: topic text like calls.topic = deliveri\nselect $topic as t");
    let checked = folder.cxql(&["check", "of_default"]);
    assert!(format!("{}{}", checked.out(), checked.err).contains("did you mean 'delivery'"), "{}", checked.err);
    folder.write("sql/kpi/of_none.sql", "-- param: topic text like calls.topc = x\nselect $topic as t");
    let checked = folder.cxql(&["check", "of_none"]);
    let text = format!("{}{}", checked.text(), checked.err);
    assert!(checked.code == 1 && text.contains("of_none.sql:1:11"), "{text}");
    assert!(text.contains("calls.topc, which cannot be read"), "{text}");
    // the shipped reports
    let ran = super::program::Folder::new().cxql(&[
        "run",
        "fcr_by_month",
        "-p",
        "topic=delivry",
        "--data",
        &super::program::sample(),
    ]);
    ran.says(
        "no row of contacts_clean has a topic like 'delivry', so the figures are of none; did you mean 'delivery'",
    );
}

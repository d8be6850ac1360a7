//! The shell, fed from standard input.

use super::program::{Folder, Ran, sample};

fn shell(folder: &Folder, input: &str, args: &[&str]) -> Ran {
    let data = sample();
    folder.cxql_with(input, &[&["shell", "--data", &data], args].concat())
}

#[test]
fn statements_span_lines_and_end_with_a_semicolon() {
    let folder = Folder::new();
    let input = "select 1 as a,\n\n  2 as b -- not yet; \n;\nselect 'x;y' as t; select 3\nas c;\nselect 4 as d";
    assert_eq!(shell(&folder, input, &["-f", "csv"]).out(), "a,b\n1,2\nt\nx;y\nc\n3\nd\n4\n");
}

#[test]
fn a_fault_is_shown_and_the_shell_goes_on() {
    let ran = shell(&Folder::new(), "select nope\nfrom surveys;\nselect 1 as a;\n", &["-f", "csv"]);
    ran.fails(1, &["no column `nope`", "<query>:1:8"]).points_at("nope");
    assert_eq!(ran.text(), "a\n1\n");
}

#[test]
fn backslash_commands() {
    let folder = Folder::with(&[("sql/kpi/say.sql", "-- param: x text = none\nselect $x as said")]);
    let run = |input: &str| shell(&folder, input, &["-f", "csv"]).out();
    let tables = run("\\d\n");
    assert!(tables.contains("surveys,table") && tables.contains("contact_outcomes,view"), "{tables}");
    assert!(run("\\d surveys\n").contains("responded_at"));
    assert!(run("\\r\n").lines().any(|line| line.starts_with("kpi_overview ")));
    assert_eq!(run("\\r say\n"), "said\nnone\n");
    assert_eq!(run("\\r say x=one\n"), "said\none\n");
    assert_eq!(run("\\r say x='two words'\n"), "said\ntwo words\n");
    assert_eq!(run("\\f json\nselect 1 as a;\n"), "[\n{\"a\":1}\n]\n");
    assert_eq!(run("\\o made.csv\nselect 1 as a;\n\\o\nselect 2 as b;\n"), "b\n2\n");
    assert_eq!(folder.read("made.csv"), "a\n1\n");
    assert!(run("\\h nps\n").starts_with("nps"));
    assert!(run("\\h\n").contains("\\timing"));
    assert_eq!(run("select 1 as a;\n\\q\nselect 2 as b;\n"), "a\n1\n");
    assert_eq!(run("exit\nselect 2 as b;\n"), "");
    shell(&folder, "\\timing\nselect 1 as a;\n", &[]).says("rows out");
}

#[test]
fn a_wrong_backslash_command_is_told() {
    let folder = Folder::new();
    let fails = |input: &str, parts: &[&str]| {
        shell(&folder, input, &[]).fails(1, parts);
    };
    fails("\\timng\n", &["\\timng", "\\timing"]);
    fails("\\r nowhere\n", &["'nowhere'"]);
    fails("\\f nope\n", &["'nope'", "csv"]);
    fails("\\h nope\n", &["`nope`"]);
    fails("\\d nope\n", &["`nope`"]);
}

#[test]
fn the_shell_reads_files_and_writes_only_when_asked() {
    let folder = Folder::with(&[("calls.csv", "a\n1\n")]);
    assert_eq!(shell(&folder, "select * from 'calls.csv';\n", &["-f", "csv"]).out(), "a\n1\n");
    let input = "create table t as select 5 as n;\nselect * from t;\n";
    shell(&folder, input, &["-f", "csv"]).fails(1, &["refused", "--write", "no table or view `t`"]);
    let text = shell(&folder, input, &["-f", "csv", "--write"]).out();
    assert!(text.ends_with("n\n5\n"), "{text}");
    let input = "create table t(n int);\ninsert into t values (1), (2);\nselect sum(n) as s from t;\ndrop table t;\nselect * from t;\n";
    let ran = shell(&folder, input, &["-f", "csv", "--write"]);
    ran.fails(1, &["no table or view `t`"]);
    assert!(ran.text().contains("s\n3\n"), "{}", ran.text());
}

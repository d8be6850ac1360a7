//! Pages, pictures and charts in the terminal, through the real program.

use std::process::{Command, Stdio};

use super::program::{Folder, Ran, sample};

const CHARTED: &str = "-- title: Topics <script>\n-- description: What & why\n\
    -- param: least integer = 1   # contacts at least\n\
    -- chart: bar x=topic y=fcr_ratio format=percent\n-- check: fcr_ratio between 0 and 1\n\
    select topic, fcr(is_first_contact_resolved) as fcr_ratio from contact_outcomes\n\
    where topic is not null group by topic having count(*) >= $least order by topic";

fn folder() -> Folder {
    Folder::with(&[("sql/own/topics.sql", CHARTED)])
}

#[test]
fn a_report_becomes_a_page_that_says_what_it_rests_on() {
    let folder = folder();
    let epoch = [("SOURCE_DATE_EPOCH", "1767225600")];
    folder.cxql_env(&epoch, &["run", "topics", "-p", "least=5", "--data", &sample(), "-o", "page.html"]).out();
    let page = folder.read("page.html");
    for wanted in [
        "<!DOCTYPE html>",
        "Topics &lt;script&gt;</h1>",
        "What &amp; why",
        "<dt title=\"contacts at least\">least</dt><dd>5</dd>",
        // the time that SOURCE_DATE_EPOCH names
        "2026-01-01 00:00:00 UTC",
        "<dt>interactions</dt>",
        "1 of 1 checks hold",
        // the report calls fcr, and its view the window functions
        "<code>fcr</code>",
        "<code>first_contact_resolved</code>",
        "<code>is_repeat_contact</code>",
        "aria-label=\"Bar chart: fcr ratio by topic. 7 values, lowest ",
        "<th scope=\"col\">topic</th>",
    ] {
        assert!(page.contains(wanted), "{wanted}\n{}", &page[..20_000.min(page.len())]);
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "a page names no address");
    assert_eq!(page.matches("<script").count(), 1, "only the page's own script");
    assert!(!page.contains("<code>nps</code>"), "functions that are not used are not defined");
    // the same run gives the same page
    folder.cxql_env(&epoch, &["run", "topics", "-p", "least=5", "--data", &sample(), "-o", "again.html"]).out();
    assert_eq!(page, folder.read("again.html"));
}

#[test]
fn the_data_is_as_new_as_its_newest_row_that_is_not_in_the_future() {
    let folder = Folder::with(&[
        ("data/calls.csv", "id,at\n1,2025-03-01T10:00:00Z\n2,2025-03-02T11:30:00Z\n3,2199-01-01T00:00:00Z\n"),
        ("data/plain.csv", "a\n1\n"),
        ("cxql.toml", "[tables.calls]\npath = \"calls.csv\"\n[tables.plain]\npath = \"plain.csv\"\n"),
    ]);
    folder.cxql(&["query", "select count(*) as n from calls cross join plain", "-o", "page.html"]).out();
    let page = folder.read("page.html");
    assert!(page.contains("<dt>calls</dt><dd><span title=\"at\">2025-03-02 11:30:00 UTC</span></dd>"), "{page}");
    assert!(page.contains("<dt>plain</dt><dd><span class=\"muted\">has no times</span></dd>"), "{page}");
}

#[test]
fn a_page_of_a_query_escapes_its_cells_and_shows_so_many_rows() {
    let folder = Folder::new();
    let sql = "select '<script>alert(1)</script>' as \"<b>\", value as n from range(1500)";
    folder.cxql(&["query", sql, "-o", "page.html"]).out();
    let page = folder.read("page.html");
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;</td>") && page.contains("&lt;b&gt;</th>"));
    assert!(page.contains("The first 1,000 of 1,500 rows."), "1,000 rows unless asked for more");
    folder.cxql(&["query", sql, "-o", "all.html", "--max-rows", "0"]).out();
    assert!(!folder.read("all.html").contains("The first"));
}

#[test]
fn a_failed_check_stands_on_the_page() {
    let folder = Folder::with(&[("sql/a/bad.sql", "-- check: n > 1\nselect value as n from range(3)")]);
    let ran = folder.cxql(&["run", "bad", "-f", "html"]);
    assert!(ran.err.contains("the check `n > 1` fails for 2 of 3 rows"), "{}", ran.err);
    let page = ran.text();
    assert!(page.contains("0 of 1 checks hold") && page.contains("fails for 2 of 3 rows"), "{page}");
}

#[test]
fn a_chart_wants_numbers_and_says_where() {
    let folder = Folder::with(&[("sql/a/bad.sql", "-- title: A\n-- chart: bar x=a y=b\nselect 1 as a, 'x' as b")]);
    folder.cxql(&["run", "bad"]).fails(1, &["bad.sql:2:21", "`y` wants numbers", "`b` is text"]);
}

#[test]
fn a_chart_becomes_a_picture() {
    let folder = folder();
    folder.cxql(&["run", "topics", "--data", &sample(), "-o", "chart.png"]).out();
    let bytes = std::fs::read(folder.path("chart.png")).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() > 10_000, "{} bytes", bytes.len());
    // width and height follow the header
    assert_eq!(u32::from_be_bytes(bytes[16..20].try_into().unwrap()), 1600);
    folder.cxql(&["query", "select 1 as a", "-o", "none.png"]).fails(2, &["png is a picture of a chart", "-- chart:"]);
    folder.cxql(&["run", "kpi_overview", "--no-chart", "--data", &sample(), "-o", "none.png"]).fails(2, &["png"]);
    assert!(!folder.path("none.png").exists());
}

/// The program on a terminal of 100 columns, by way of `script`, which makes one; `None` where the machine lacks it.
fn on_a_terminal(folder: &Folder, args: &str) -> Option<String> {
    let has_script = Command::new("script").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !has_script.is_ok_and(|status| status.success()) {
        return None;
    }
    let line = format!("stty cols 100; exec '{}' {args}", env!("CARGO_BIN_EXE_cxql"));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(folder.path("."));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
    // an input that has ended makes `script` drop what comes later
    let input = child.stdin.take();
    let output = child.wait_with_output().expect("script ends");
    drop(input);
    Some(String::from_utf8_lossy(&output.stdout).replace('\r', ""))
}

#[test]
fn a_terminal_shows_the_chart_below_the_table_and_a_pipe_does_not() {
    let folder = folder();
    let data = sample();
    let table: Ran = folder.cxql(&["run", "topics", "--data", &data, "-f", "table"]);
    assert!(!table.text().contains('█'), "{}", table.text());
    let Some(shown) = on_a_terminal(&folder, &format!("run topics --data '{data}'")) else { return };
    let (table, chart) = shown.split_once("(7 rows)").expect("the table comes first");
    assert!(table.contains("fcr_ratio") && chart.contains('█') && chart.contains('%'), "{shown}");
    let plain = on_a_terminal(&folder, &format!("run topics --data '{data}' --no-chart")).unwrap_or_default();
    // the bar of progress, which a slow machine shows before the table, has such blocks too
    let (_, below) = plain.split_once("(7 rows)").expect("the table is shown");
    assert!(!below.contains('█'), "{plain}");
}

//! README and `docs/`: the SQL runs, the lists are complete, the links resolve.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{Project, Table, root};

/// A fenced block of a Markdown page: its language and its text.
struct Block {
    language: String,
    text: String,
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The fenced blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in read(page).lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some(Block { language: language.to_string(), text: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a fenced block is not closed");
    blocks
}

/// The texts of a page's blocks in one language.
fn texts(page: &str, language: &str) -> Vec<String> {
    blocks(page).into_iter().filter(|block| block.language == language).map(|block| block.text).collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
    fs::write(path, text).expect("the file can be written");
}

/// A project whose reports are the SQL blocks of `docs/reports.md`, `example_1` being the first; a block whose first line is
/// `-- sql/PATH` is that file. The names of all of them come second.
fn examples(folder: &Path) -> (Project, Vec<String>) {
    let mut names = Vec::new();
    for (at, text) in texts("docs/reports.md", "sql").into_iter().enumerate() {
        let comment = text.lines().next().and_then(|line| line.strip_prefix("-- "));
        let path = match comment.filter(|comment| comment.starts_with("sql/") && comment.ends_with(".sql")) {
            Some(path) => path.to_string(),
            None => format!("sql/docs/example_{}.sql", at + 1),
        };
        let path = folder.join(path);
        write(&path, &text);
        names.push(path.file_stem().expect("a file has a name").to_string_lossy().into_owned());
    }
    (Project::at(folder, &root().join("data")), names)
}

#[test]
fn the_sql_of_docs_reports_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (project, names) = examples(folder.path());
    assert!(names.len() >= 3, "{names:?}");
    let mut args = vec!["check"];
    args.extend(names.iter().map(String::as_str));
    let output = project.output(&args);
    let summary = format!("{} passed, 0 failed", names.len());
    assert_eq!(output.lines().last(), Some(summary.as_str()), "{output}");
}

/// A condition on time below the window function makes repeats of earlier contacts first contacts. The shipped report,
/// whose golden rows are checked, has it above.
#[test]
fn the_first_example_of_docs_reports_agrees_with_the_shipped_report() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (project, _) = examples(folder.path());
    for since in ["since=2025-01-01", "since=2025-06-01", "since=2025-12-01"] {
        let example = project.run("example_1", 1, &[since]);
        let shipped = project.run("fcr_by_topic", 1, &[since]);
        assert!(example.rows.len() > 1, "{since}: {example:?}");
        assert_eq!(example.rows.len(), shipped.rows.len(), "{since}");
        for topic in example.texts("topic") {
            let ratio = |table: &Table| table.number(&[("topic", topic)], "fcr_ratio");
            let (got, wanted) = (ratio(&example), ratio(&shipped));
            assert!((got - wanted).abs() < 1e-9, "{since}, {topic}: got {got}, wanted {wanted}");
        }
    }
}

/// The page of a language: `docs/NAME.md` or `docs/NAME.zh-CN.md`.
const LANGUAGES: [&str; 2] = ["", ".zh-CN"];

#[test]
fn the_report_of_the_readme_runs_and_its_check_holds() {
    for language in LANGUAGES {
        let page = format!("README{language}.md");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let reports = texts(&page, "sql");
        assert_eq!(reports.len(), 1, "{page}: blocks of SQL");
        write(&folder.path().join("sql/own/slow_topics.sql"), &reports[0]);
        let project = Project::at(folder.path(), &root().join("data"));
        let outputs = texts(&page, "text");

        let checked = project.output(&["check", "slow_topics"]);
        assert!(outputs.contains(&checked), "{page} does not show\n{checked}");
        let result = project.run("slow_topics", 1, &["since=2025-12-01"]);
        let shown = outputs.iter().find(|text| text.contains("aht_s │")).expect("the result is shown");
        for row in &result.rows {
            assert!(
                shown
                    .lines()
                    .any(|line| line.contains(&format!(" {} ", row[0])) && line.contains(&format!(" {} ", row[1]))),
                "{page} does not show {row:?}"
            );
        }
        project.query("select * from reports.slow_topics where aht_s > 450");

        write(&folder.path().join("sql/own/slow_topics.sql"), &reports[0].replacen("wrap_s", "warp_s", 1));
        let failed = project.cxql(&["run", "slow_topics"]);
        let error = String::from_utf8_lossy(&failed.stderr).into_owned();
        let help = error.lines().find(|line| line.contains("the columns here are")).expect("the columns are listed");
        assert!(outputs.iter().any(|text| text.contains(help)), "{page} does not show\n{error}");
    }
}

#[test]
fn the_mapping_of_the_docs_serves_every_shipped_report() {
    for language in LANGUAGES {
        let page = format!("docs/your-data{language}.md");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let block = |kind: &str, part: &str| {
            let found = texts(&page, kind).into_iter().find(|text| text.contains(part));
            found.unwrap_or_else(|| panic!("{page}: no {kind} block with `{part}`"))
        };
        write(&folder.path().join("data/tickets.csv"), &block("text", "ticket_no;"));
        write(&folder.path().join("cxql.toml"), &block("toml", "[tables.tickets]"));
        write(&folder.path().join("sql/views/interactions.sql"), &block("sql", "from tickets"));
        let project = Project::at(folder.path(), &folder.path().join("data"));

        let output = project.output(&["check"]);
        assert!(output.lines().last().unwrap_or_default().ends_with(" 0 failed"), "{page}: {output}");
        let outcomes = project.query("select interaction_id, handle_s from contact_outcomes order by 1");
        let shown = block("text", "handle_s │");
        for row in &outcomes.rows {
            let handle_s = if row[1].is_empty() { "NULL" } else { row[1].as_str() };
            let is_shown =
                |line: &str| line.contains(&format!("│ {} ", row[0])) && line.ends_with(&format!(" {handle_s} │"));
            assert!(shown.lines().any(is_shown), "{page} does not show {row:?}");
        }
        assert_eq!(outcomes.rows.len(), 7, "{page}");
    }
}

/// A row of the tables in `docs/catalogue.md` whose first cell is a link around code: ``[`label`](target)``.
#[derive(Debug)]
struct Entry {
    label: String,
    target: String,
    /// The last cell.
    about: String,
}

fn catalogue(page: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for line in read(page).lines() {
        let Some(cells) = line.strip_prefix("| [`").and_then(|line| line.strip_suffix(" |")) else { continue };
        let (label, rest) = cells.split_once("`](").unwrap_or_else(|| panic!("{page}: no link in {line}"));
        let (target, rest) = rest.split_once(") | ").unwrap_or_else(|| panic!("{page}: no second cell in {line}"));
        let about = rest.rsplit(" | ").next().unwrap_or(rest);
        entries.push(Entry { label: label.to_string(), target: target.to_string(), about: about.to_string() });
    }
    entries
}

/// The shipped SQL files in the order of kind and name: the folder below `sql/`, the name, the description without its dot.
fn shipped() -> Vec<(String, String, String)> {
    let mut shipped = Vec::new();
    for kind in fs::read_dir(root().join("sql")).expect("there is sql/") {
        let kind = kind.expect("sql/ can be read");
        for file in fs::read_dir(kind.path()).expect("a folder below sql/ can be read") {
            let path = file.expect("a folder below sql/ can be read").path();
            let text = fs::read_to_string(&path).expect("the file can be read");
            let about = text.lines().find_map(|line| line.strip_prefix("-- description: "));
            let about = about.unwrap_or_else(|| panic!("{} has no description", path.display()));
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            let kind = kind.file_name().to_string_lossy().into_owned();
            shipped.push((kind, name, about.trim_end_matches('.').to_string()));
        }
    }
    shipped.sort();
    shipped
}

#[test]
fn both_catalogues_have_every_report_and_view_and_no_other() {
    let shipped = shipped();
    let wanted: Vec<String> = shipped.iter().map(|(kind, name, _)| format!("{kind}/{name}")).collect();
    let report_count = shipped.iter().filter(|(kind, _, _)| kind != "views").count();
    assert!(read("README.md").contains(&format!("and {report_count} of them come with it")));
    assert!(read("README.zh-CN.md").contains(&format!("随程序附带 {report_count} 个报表")));
    for language in LANGUAGES {
        let page = format!("docs/catalogue{language}.md");
        let files: Vec<Entry> =
            catalogue(&page).into_iter().filter(|entry| entry.target.starts_with("../sql/")).collect();
        let mut found = Vec::new();
        for entry in &files {
            let path = entry.target.trim_start_matches("../sql/").trim_end_matches(".sql");
            assert!(path.ends_with(&format!("/{}", entry.label)), "{page}: {entry:?} links to another file");
            assert!(!entry.about.is_empty(), "{page}: {entry:?} says nothing");
            found.push(path.to_string());
        }
        assert_eq!(found, wanted, "{page}: in the order of folder and name");
        if language.is_empty() {
            for (entry, (_, name, about)) in files.iter().zip(&shipped) {
                assert_eq!(entry.about, *about, "{page}: {name} has another description in its file");
            }
        }
    }
}

#[test]
fn both_catalogues_have_every_function_and_no_other() {
    let list = Project::shipped().output(&["functions"]);
    let lines = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let registered: BTreeSet<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(registered.contains("nps"), "{list}");
    let pages = read("docs/functions.md");
    for language in LANGUAGES {
        let page = format!("docs/catalogue{language}.md");
        let mut found = BTreeSet::new();
        let entries = catalogue(&page);
        for entry in entries.iter().filter(|entry| entry.target.starts_with("functions.md#")) {
            let name = entry.label.split('(').next().unwrap_or_default();
            assert_eq!(entry.target, format!("functions.md#{name}"), "{page}");
            assert!(
                pages.lines().any(|line| line.starts_with(&entry.label)),
                "{page}: {} is no form of it",
                entry.label
            );
            assert!(found.insert(name), "{page}: {name} is there twice");
        }
        assert_eq!(found, registered, "{page}");
    }
}

/// The commands of the program in its own help.
fn commands() -> Vec<String> {
    let help = Project::shipped().output(&["--help"]);
    let lines =
        help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_string).collect()
}

#[test]
fn both_pages_of_commands_have_every_command() {
    let commands = commands();
    assert!(commands.len() > 5, "{commands:?}");
    for language in LANGUAGES {
        let page = format!("docs/commands{language}.md");
        let text = read(&page);
        for command in &commands {
            assert!(text.contains(&format!("| `cxql {command}")), "{page} has no row for `cxql {command}`");
        }
    }
}

/// The Markdown pages of the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["", "data", "docs", "docs/decisions", "bench"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("the folder can be read"))
        .map(|file| file.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    pages.sort();
    pages
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        if is_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        anchors.insert(kept.collect::<String>().to_lowercase().replace(' ', "-"));
    }
    anchors
}

/// The targets of the links in a page: what stands between `](` and `)`, outside of fenced blocks.
fn links(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut links = Vec::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if is_code {
            continue;
        }
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.extend(targets.map(str::to_string));
    }
    links
}

#[test]
fn every_link_of_the_docs_resolves() {
    let mut faults = Vec::new();
    let pages = pages();
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(&page).expect("the page can be read");
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            if !target.exists() {
                faults.push(format!("{}: {link} does not exist", page.display()));
            } else if !anchor.is_empty() {
                let target = fs::read_to_string(&target).expect("the target can be read");
                if !anchors(&target).contains(anchor) {
                    faults.push(format!("{}: {link} has no such heading", page.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn anchors_are_those_of_github() {
    let anchors = anchors("# Faults of DataFusion 55.2\n```sh\n# none\n```\n## [engine]\n### `x_y`: a, b\n#none\n");
    let wanted = ["engine", "faults-of-datafusion-552", "x_y-a-b"];
    assert_eq!(anchors.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}

/// The tree is the first fenced block: a path, indented below its folder, then two blanks or more and what it is.
#[test]
fn every_path_of_the_map_exists() {
    let tree = texts("docs/architecture.md", "text").into_iter().next().expect("the map has a tree");
    let mut folder = "";
    let mut missing = Vec::new();
    for line in tree.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let path = if line.starts_with(' ') { format!("{folder}{name}") } else { name.to_string() };
        if !line.starts_with(' ') {
            folder = name;
        }
        // `<family>` stands for a name
        if !path.contains('<') && !root().join(&path).exists() {
            missing.push(path);
        }
    }
    assert!(!folder.is_empty() && missing.is_empty(), "not there: {missing:?}");
}

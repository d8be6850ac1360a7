//! The catalogue of the functions: one [`Page`] per function, for a terminal and for `docs/functions.md`.
//!
//! A page is made of the function's own [`Documentation`] and nothing else. Its description holds a summary and then
//! labelled lines (`Formula: ..`, `Units: ..`, `NULL: ..`, `Edges: ..`, `Source: ..`), its section is the family, its SQL
//! example is a query in a fence with the table that the query prints after it.

use std::fmt::Write;

use datafusion::logical_expr::{Documentation, Signature};

/// The labelled lines that every page has, in this order.
pub const LABELS: [&str; 5] = ["Formula", "Units", "NULL", "Edges", "Source"];

/// Calls of PostgreSQL, DuckDB and Snowflake that DataFusion has not, and what they stand for. They are rewritten by
/// `cxql-engine`; the list is here since it is part of the manual.
pub const REWRITTEN: [(&str, &str); 13] = [
    ("mod(x, y)", "x % y"),
    ("sign(x)", "signum(x)"),
    ("variance(x)", "var_samp(x)"),
    ("max_by(x, y)", "first_value(x order by y desc) filter (where x is not null and y is not null)"),
    ("min_by(x, y)", "first_value(x order by y) filter (where x is not null and y is not null)"),
    ("arg_max(x, y)", "max_by(x, y)"),
    ("arg_min(x, y)", "min_by(x, y)"),
    (
        "max_by(x, y) over (partition by z)",
        "first_value(case when y is not null then x end) ignore nulls over (partition by z order by y desc rows between \
         unbounded preceding and unbounded following)",
    ),
    ("listagg(t, ',') within group (order by x)", "string_agg(t, ',' order by x)"),
    ("listagg(t) within group (order by x)", "string_agg(t, '' order by x)"),
    (
        "lag(x, 1, y) over (order by z)",
        "case when lag(1, 1) over (order by z) is null then y else lag(x, 1) over (order by z) end",
    ),
    ("x in (values (1), (2))", "x in (select * from (values (1), (2)))"),
    (
        "extract(century from at)",
        "case when date_part('year', at) > 0 then (date_part('year', at) + 99) / 100 else -((100 - date_part('year', at)) / 100) end",
    ),
];

/// The width to which [`Page::to_text`] wraps sentences. Queries and tables keep their own.
const TEXT_WIDTH: usize = 80;

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Many rows in, one value per group out; also callable `over (..)`.
    Aggregate,
    /// One value per row.
    Scalar,
    /// One value per row, from the rows of its partition: `over (partition by .. order by ..)`.
    Window,
}

impl Kind {
    /// The kind in one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Aggregate => "aggregate",
            Kind::Scalar => "scalar",
            Kind::Window => "window",
        }
    }
}

/// What there is to know about one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The name by which SQL calls it.
    pub name: String,
    /// Other names for the same function.
    pub aliases: Vec<String>,
    /// How it is called.
    pub kind: Kind,
    /// The family under which it is listed, such as `Resolution`.
    pub family: String,
    /// A sentence on the family, where it has one.
    pub family_description: Option<String>,
    /// The form of a call, and other forms of it.
    pub syntax: Vec<String>,
    /// What it is, before the first labelled line.
    pub description: String,
    /// The labelled lines: label and text.
    pub sections: Vec<(String, String)>,
    /// The arguments as documented: name and text.
    pub arguments: Vec<(String, String)>,
    /// The names of the parameters in its signature, by which arguments can be named.
    pub parameters: Vec<String>,
    /// A query to try, and what it gives.
    pub example: Option<Example>,
    /// Functions to look at as well.
    pub related: Vec<String>,
}

/// A query that runs on its own, and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// One query without a semicolon.
    pub sql: String,
    /// The result as DataFusion prints it.
    pub result: String,
}

/// The pages of all functions of this crate, by family and then by name.
pub fn pages() -> Vec<Page> {
    let scalars = crate::scalar_functions();
    let aggregates = crate::aggregate_functions();
    let windows = crate::window_functions();
    let mut pages: Vec<Page> = scalars
        .iter()
        .map(|f| Page::new(f.name(), f.aliases(), Kind::Scalar, f.signature(), f.documentation()))
        .chain(
            aggregates
                .iter()
                .map(|f| Page::new(f.name(), f.aliases(), Kind::Aggregate, f.signature(), f.documentation())),
        )
        .chain(windows.iter().map(|f| Page::new(f.name(), f.aliases(), Kind::Window, f.signature(), f.documentation())))
        .collect();
    pages.sort_by(|a, b| (&a.family, &a.name).cmp(&(&b.family, &b.name)));
    pages
}

/// The page of the function that SQL calls by `name`, in any case and under any of its names.
pub fn page(name: &str) -> Option<Page> {
    pages()
        .into_iter()
        .find(|page| std::iter::once(&page.name).chain(&page.aliases).any(|known| known.eq_ignore_ascii_case(name)))
}

/// All pages as one Markdown document, the text of `docs/functions.md`.
pub fn to_markdown() -> String {
    markdown_of(&pages()) + &rewritten_markdown()
}

fn markdown_of(pages: &[Page]) -> String {
    let mut text = String::from(
        "# Functions\n\n\
         <!-- Made from the functions' own documentation: change it there, then run\n     \
         UPDATE_DOCS=1 cargo test -p cxql-udfs --test docs -->\n\n\
         NULL rows are skipped and no rows left gives NULL, unless a page says otherwise. Arguments can be named:\n\
         `f(a => 1, b => 2)`; named ones leave none out before them. Ratios are 0 to 1, durations are seconds.\n\n",
    );
    for family in pages.chunk_by(|a, b| a.family == b.family) {
        let Some(first) = family.first() else { continue };
        let links: Vec<String> = family.iter().map(|page| format!("[`{0}`](#{0})", page.name)).collect();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "- [{0}](#{1}): {2}", first.family, anchor(&first.family), links.join(", "));
    }
    for family in pages.chunk_by(|a, b| a.family == b.family) {
        let Some(first) = family.first() else { continue };
        let _ = write!(text, "\n## {}\n", first.family);
        if let Some(description) = family.iter().find_map(|page| page.family_description.as_deref()) {
            let _ = write!(text, "\n{description}\n");
        }
        for page in family {
            text.push('\n');
            text.push_str(&page.to_markdown());
        }
    }
    text
}

/// The calls of [`REWRITTEN`] as a part of the Markdown document.
fn rewritten_markdown() -> String {
    let mut text = String::from(
        "\n## Functions of other databases\n\n\
         DataFusion has none of these; a call is rewritten, and errors of other functions say what to write.\n\n\
         | call | stands for |\n|---|---|\n",
    );
    for (call, stands_for) in REWRITTEN {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "| `{call}` | `{stands_for}` |");
    }
    text.push_str(
        "\n`lead` is as `lag`, `min_by` over a partition as `max_by`, decade and millennium as century. `~x` flips the bits of an \
         integer.\n",
    );
    text
}

fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

impl Page {
    fn new(
        name: &str,
        aliases: &[String],
        kind: Kind,
        signature: &Signature,
        documentation: Option<&Documentation>,
    ) -> Self {
        let mut page = Self {
            name: name.to_string(),
            aliases: aliases.to_vec(),
            kind,
            family: String::new(),
            family_description: None,
            syntax: vec![],
            description: String::new(),
            sections: vec![],
            arguments: vec![],
            parameters: signature.parameter_names.clone().unwrap_or_default(),
            example: None,
            related: vec![],
        };
        if let Some(documentation) = documentation {
            page.family = documentation.doc_section.label.to_string();
            page.family_description = documentation.doc_section.description.map(str::to_string);
            page.syntax = std::iter::once(&documentation.syntax_example)
                .chain(documentation.alternative_syntax.iter().flatten())
                .cloned()
                .collect();
            (page.description, page.sections) = split_description(&documentation.description);
            page.arguments = documentation.arguments.clone().unwrap_or_default();
            page.example = documentation.sql_example.as_deref().and_then(Example::parse);
            page.related = documentation.related_udfs.clone().unwrap_or_default();
        }
        page
    }

    /// The text of the labelled line `label`.
    pub fn section(&self, label: &str) -> Option<&str> {
        self.sections.iter().find(|(known, _)| known == label).map(|(_, text)| text.as_str())
    }

    /// The page as a part of a Markdown document, its heading on the third level.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = write!(text, "### {}\n\n", self.name);
        let _ = write!(text, "```sql\n{}\n```\n\n", self.syntax.join("\n"));
        let _ = write!(text, "{} function", capitalised(self.kind.as_str()));
        if !self.aliases.is_empty() {
            let names: Vec<String> = self.aliases.iter().map(|alias| format!("`{alias}`")).collect();
            let _ = write!(text, ", also called {}", names.join(", "));
        }
        let _ = writeln!(text, ". {}", self.description);
        if !self.sections.is_empty() {
            text.push('\n');
            for (label, section) in &self.sections {
                let _ = writeln!(text, "- **{label}**: {}", indented(section, "  "));
            }
        }
        if !self.arguments.is_empty() {
            text.push_str("\nArguments:\n\n");
            for (name, description) in &self.arguments {
                let _ = writeln!(text, "- `{name}`: {}", indented(description, "  "));
            }
        }
        if let Some(example) = &self.example {
            let _ = write!(text, "\n```sql\n{}\n```\n\n```text\n{}\n```\n", example.sql, example.result);
        }
        if !self.related.is_empty() {
            let links: Vec<String> = self.related.iter().map(|name| format!("[`{name}`](#{name})")).collect();
            let _ = write!(text, "\nSee also {}.\n", links.join(", "));
        }
        text
    }

    /// The page for a terminal, sentences wrapped to 80 columns.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = write!(text, "{} ({} function, {})\n\n", self.name, self.kind.as_str(), self.family);
        for syntax in &self.syntax {
            let _ = writeln!(text, "    {syntax}");
        }
        if !self.aliases.is_empty() {
            let _ = write!(text, "\nAlso called {}.\n", self.aliases.join(", "));
        }
        text.push('\n');
        wrap(&mut text, "", "", &self.description);
        if !self.arguments.is_empty() {
            text.push_str("\nArguments\n");
            let width = self.arguments.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
            let indent = " ".repeat(width + 4);
            for (name, description) in &self.arguments {
                wrap(&mut text, &format!("  {name:width$}  "), &indent, description);
            }
        }
        if !self.sections.is_empty() {
            text.push('\n');
            let width = self.sections.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
            let indent = " ".repeat(width + 2);
            for (label, section) in &self.sections {
                wrap(&mut text, &format!("{label:width$}  "), &indent, section);
            }
        }
        if let Some(example) = &self.example {
            text.push_str("\nExample\n");
            for line in example.sql.lines().chain([""]).chain(example.result.lines()) {
                let _ = writeln!(text, "{}", format!("  {line}").trim_end());
            }
        }
        if !self.related.is_empty() {
            let _ = write!(text, "\nSee also {}.\n", self.related.join(", "));
        }
        text
    }
}

impl Example {
    /// The query and the table of a fenced example; the table begins at the first line of the form `+--`.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.trim().lines().filter(|line| !line.starts_with("```")).collect();
        let table = lines.iter().position(|line| line.starts_with("+-")).unwrap_or(lines.len());
        let (sql, result) = lines.split_at_checked(table)?;
        let sql = sql.join("\n").trim().trim_end_matches(';').to_string();
        (!sql.is_empty()).then(|| Self { sql, result: result.join("\n").trim_end().to_string() })
    }
}

/// The summary, and the labelled lines after it. A line without a known label continues the one before.
fn split_description(text: &str) -> (String, Vec<(String, String)>) {
    let mut description = String::new();
    let mut sections: Vec<(String, String)> = vec![];
    for line in text.lines().map(str::trim_end) {
        let labelled = line.split_once(':').filter(|(label, _)| LABELS.contains(label));
        if let Some((label, rest)) = labelled {
            sections.push((label.to_string(), rest.trim().to_string()));
            continue;
        }
        let current = sections.last_mut().map_or(&mut description, |(_, text)| text);
        if !current.is_empty() {
            current.push('\n');
        }
        current.push_str(line);
    }
    for (_, section) in &mut sections {
        section.truncate(section.trim_end().len());
    }
    (description.trim().to_string(), sections)
}

fn indented(text: &str, indent: &str) -> String {
    text.lines().collect::<Vec<_>>().join(&format!("\n{indent}"))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Appends the lines of `text`, broken between words, the very first after `first`, all others after `indent`.
fn wrap(out: &mut String, first: &str, indent: &str, text: &str) {
    let mut line = first.to_string();
    let mut is_begun = false;
    for (number, paragraph) in text.lines().enumerate() {
        if number > 0 {
            finish(out, &mut line, indent);
            is_begun = false;
        }
        for word in paragraph.split_whitespace() {
            let width = line.chars().count() + usize::from(is_begun) + word.chars().count();
            if is_begun && width > TEXT_WIDTH {
                finish(out, &mut line, indent);
                is_begun = false;
            }
            if is_begun {
                line.push(' ');
            }
            line.push_str(word);
            is_begun = true;
        }
    }
    finish(out, &mut line, "");
}

fn finish(out: &mut String, line: &mut String, next: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
    next.clone_into(line);
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{DocSection, Volatility};

    use super::*;

    fn documentation() -> Documentation {
        let section = DocSection { include: true, label: "Tests", description: Some("For tests.") };
        let description = "What it is: a test.\nSecond line.\nFormula: a / b,\n  or else c\nUnits: none\nNULL: skipped\n\n\
                           Edges: a: b\nSource: here";
        let example = "```sql\nselect 1 as a,\n    2 as b;\n```\n```text\n+---+\n| a |\n+---+\n```\n";
        Documentation::builder(section, description, "f(a [, b])")
            .with_alternative_syntax("f(a) over ()")
            .with_argument("a", "The first.")
            .with_argument("longer", "The second.")
            .with_sql_example(example)
            .with_related_udf("g")
            .build()
    }

    fn example_page() -> Page {
        let signature = Signature::any(1, Volatility::Immutable).with_parameter_names(vec!["a"]).unwrap();
        Page::new("f", &["eff".to_string()], Kind::Aggregate, &signature, Some(&documentation()))
    }

    #[test]
    fn a_description_is_split_at_its_labels() {
        let page = example_page();
        assert_eq!(page.description, "What it is: a test.\nSecond line.");
        assert_eq!(page.section("Formula"), Some("a / b,\n  or else c"));
        assert_eq!(page.section("NULL"), Some("skipped"));
        assert_eq!(page.section("Edges"), Some("a: b"));
        assert_eq!(page.sections.len(), 5);
    }

    #[test]
    fn an_example_is_a_query_and_a_table() {
        let example = example_page().example.unwrap();
        assert_eq!(example.sql, "select 1 as a,\n    2 as b");
        assert_eq!(example.result, "+---+\n| a |\n+---+");
        // In one fence, and without a table.
        let one_fence = Example::parse("```sql\nselect 1\n+---+\n| 1 |\n```").unwrap();
        assert_eq!((one_fence.sql.as_str(), one_fence.result.as_str()), ("select 1", "+---+\n| 1 |"));
        assert_eq!(Example::parse("```sql\nselect 1\n```").unwrap().result, "");
        assert_eq!(Example::parse("```sql\n```"), None);
    }

    #[test]
    fn markdown_holds_every_part_of_a_page() {
        let expected = "### f\n\n```sql\nf(a [, b])\nf(a) over ()\n```\n\nAggregate function, also called `eff`. What it is: a \
                        test.\nSecond line.\n\n- **Formula**: a / b,\n    or else c\n- **Units**: none\n- **NULL**: \
                        skipped\n- **Edges**: a: b\n- **Source**: here\n\nArguments:\n\n- `a`: The first.\n- `longer`: The \
                        second.\n\n```sql\nselect 1 as a,\n    2 as b\n```\n\n```text\n+---+\n| a |\n+---+\n```\n\nSee \
                        also [`g`](#g).\n";
        assert_eq!(example_page().to_markdown(), expected);
    }

    #[test]
    fn text_holds_every_part_of_a_page() {
        let expected = "f (aggregate function, Tests)\n\n    f(a [, b])\n    f(a) over ()\n\nAlso called eff.\n\nWhat it is: a \
                        test.\nSecond line.\n\nArguments\n  a       The first.\n  longer  The second.\n\nFormula  a / b,\n         or \
                        else c\nUnits    none\nNULL     skipped\nEdges    a: b\nSource   here\n\nExample\n  select 1 as a,\n      2 \
                        as b\n\n  +---+\n  | a |\n  +---+\n\nSee also g.\n";
        assert_eq!(example_page().to_text(), expected);
    }

    #[test]
    fn text_is_wrapped_between_words() {
        let mut out = String::new();
        wrap(&mut out, "Label  ", "       ", &"word ".repeat(30));
        // 7 columns of label and 14 words of 5 columns less the last blank are 76; a 15th word would make 81.
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            lines,
            [
                format!("Label  {}", ["word"; 14].join(" ")),
                format!("       {}", ["word"; 14].join(" ")),
                "       word word".to_string(),
            ]
        );
        // What is longer than a line stays whole.
        let mut out = String::new();
        wrap(&mut out, "", "", &"x".repeat(100));
        assert_eq!(out, format!("{}\n", "x".repeat(100)));
    }

    #[test]
    fn families_are_listed_with_their_functions() {
        let text = markdown_of(&[example_page()]);
        assert!(text.contains("\n- [Tests](#tests): [`f`](#f)\n"), "{text}");
        assert!(text.contains("\n## Tests\n\nFor tests.\n\n### f\n"), "{text}");
    }

    #[test]
    fn pages_are_found_by_name_in_any_case() {
        assert_eq!(page("ZScore").map(|page| page.name), Some("zscore".to_string()));
        assert_eq!(page("no_such_function"), None);
    }
}

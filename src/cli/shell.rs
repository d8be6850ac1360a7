//! `cxql shell`: type SQL, see results.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use datafusion::execution::FunctionRegistry;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::query;
use super::results::{self, ResultArgs};
use crate::error::{Error, Result};
use crate::execute::{PlannedStatement, plan_report};
use crate::output::Format;
use crate::project::Project;
use crate::report::words;
use crate::session::Session;
use crate::source::{Source, nearest};
use crate::sqlfile;

/// The prompts of a statement's first line and of those after it, equally wide.
const PROMPT: &str = "cxql> ";
const CONTINUATION: &str = " ...> ";

const HELP: &str = "\
statements end with `;` and may span lines; Tab completes, Ctrl-C stops a query, Ctrl-D leaves
  \\d            tables and views               \\d NAME       columns of a table or view
  \\r            reports                        \\r NAME [p=v ...]  run a report
  \\f FORMAT     format of results              \\o [PATH]     write the next results to a file, or no longer
  \\timing       time and bytes after a result  \\h [FUNCTION] this help, or the page of a function
  \\q            leave, also within a statement; `exit` and `quit` on a line of their own as well
";

#[derive(Debug, Args)]
pub(super) struct ShellArgs {
    /// Allow statements that write: COPY, INSERT, CREATE, DROP
    #[arg(long)]
    write: bool,
    #[command(flatten)]
    result: ResultArgs,
}

pub(super) async fn run(args: ShellArgs, project: Project) -> Result<ExitCode> {
    let session = project.open(true).await?;
    let mut shell = Shell { session, project, args, failed: false };
    if shell.args.result.format.is_none() && shell.args.result.output.is_none() {
        shell.args.result.format = Some("table".into());
    }
    let is_interactive = std::io::stdin().is_terminal();
    let names = Names::collect(&shell.session, &shell.project).await;
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .max_history_size(10_000)
        .map_err(|error| Error::Engine { message: error.to_string() })?
        .build();
    let mut editor: Editor<SqlHelper, FileHistory> =
        Editor::with_config(config).map_err(|error| Error::Engine { message: error.to_string() })?;
    editor.set_helper(Some(SqlHelper { names }));
    let history = history_file();
    if is_interactive {
        if let Some(path) = &history {
            // there may be no history yet
            let _ = editor.load_history(path);
        }
        super::print("cxql shell; \\h for help, \\q to leave\n")?;
    }
    let mut pending = String::new();
    loop {
        let prompt = match (is_interactive, pending.is_empty()) {
            (false, _) => "",
            (true, true) => PROMPT,
            (true, false) => CONTINUATION,
        };
        let (line, returned) = tokio::task::spawn_blocking(move || {
            let line = editor.readline(prompt);
            (line, editor)
        })
        .await
        .map_err(|error| Error::Engine { message: error.to_string() })?;
        editor = returned;
        match line {
            Ok(line) => {
                if leaves(&pending, &line) {
                    if !pending.trim().is_empty() {
                        shell.failed = true;
                        super::note("the statement before it has no `;` and was not run");
                    }
                    break;
                }
                pending.push_str(&line);
                pending.push('\n');
                if !is_complete(&pending) {
                    continue;
                }
                let text = std::mem::take(&mut pending);
                if is_interactive && !text.trim().is_empty() {
                    // a statement that cannot be kept is not in the history, no more
                    let _ = editor.add_history_entry(text.trim_end());
                }
                shell.enter(&text).await?;
            }
            Err(ReadlineError::Interrupted) => pending.clear(),
            Err(ReadlineError::Eof) => {
                let text = std::mem::take(&mut pending);
                if !text.trim().is_empty() {
                    shell.enter(&text).await?;
                }
                break;
            }
            Err(error) => return Err(Error::Engine { message: format!("cannot read the terminal: {error}") }),
        }
    }
    if let Some(path) = history.filter(|_| is_interactive) {
        let saved = path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(|error| error.to_string());
        if let Err(error) = saved.and_then(|()| editor.save_history(&path).map_err(|error| error.to_string())) {
            super::note(&format!("the history is not saved in {}: {error}", path.display()));
        }
    }
    // the exit code of a failed script
    Ok(if shell.failed && !is_interactive { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// `$XDG_DATA_HOME/cxql/history`, by default below `~/.local/share`.
fn history_file() -> Option<PathBuf> {
    Some(super::user_folder("XDG_DATA_HOME", ".local/share")?.join("cxql/history"))
}

struct Shell {
    session: Arc<Session>,
    project: Project,
    args: ShellArgs,
    failed: bool,
}

impl Shell {
    /// Executes the input; errors are shown.
    async fn enter(&mut self, text: &str) -> Result<()> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(());
        }
        let outcome = tokio::select! {
            outcome = self.carry_out(trimmed) => outcome,
            _ = tokio::signal::ctrl_c() => {
                let _ = writeln!(std::io::stderr(), "stopped");
                return Ok(());
            }
        };
        if let Err(error) = outcome {
            self.failed = true;
            super::report(&error);
        }
        Ok(())
    }

    async fn carry_out(&mut self, text: &str) -> Result<()> {
        match text.strip_prefix('\\') {
            Some(command) => self.command(command).await,
            None => self.statements(text).await,
        }
    }

    async fn statements(&self, text: &str) -> Result<()> {
        let source = Arc::new(Source::query(text));
        for statement in sqlfile::statements(&source)? {
            let planned = query::plan(&self.session, &source, statement, self.args.write).await?;
            let Some(plan) = planned else {
                super::print("done\n")?;
                continue;
            };
            let statement = PlannedStatement::new(None, Arc::clone(&source), plan);
            results::show(&self.session, &self.args.result, vec![statement], None).await?;
        }
        Ok(())
    }

    async fn command(&mut self, text: &str) -> Result<()> {
        let words: Vec<String> = words(text).into_iter().map(|(_, word)| word.replace(['"', '\''], "")).collect();
        let mut words = words.iter().map(String::as_str);
        let command = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.collect();
        match (command, rest.as_slice()) {
            ("d", []) => {
                let sql = "select table_name as name, replace(lower(table_type), 'base ', '') as kind \
                           from information_schema.tables where table_schema = 'public' order by kind, name";
                let shown = self.args.result.max_rows.replace(0);
                let outcome = self.statements(sql).await;
                self.args.result.max_rows = shown;
                outcome
            }
            ("d", [name]) => self.statements(&format!("describe {}", name.trim_end_matches(';'))).await,
            ("r", []) => {
                for file in self.project.library.reports() {
                    super::print(&format!("{:<32} {}\n", file.name, file.kind))?;
                }
                Ok(())
            }
            ("r", [name, given @ ..]) => {
                let report = self.project.library.report(name)?;
                let given: Vec<String> = given.iter().map(|text| (*text).to_string()).collect();
                let values = report.bind(&results::parameters(&given)?)?;
                let statements = plan_report(&self.session, &report, &values, None).await?;
                results::show(&self.session, &self.args.result, statements, Some((&report, &values))).await
            }
            ("f", [name]) => {
                name.parse::<Format>()?;
                self.args.result.format = Some((*name).to_string());
                Ok(())
            }
            ("o", []) => {
                self.args.result.output = None;
                Ok(())
            }
            ("o", [path]) => {
                self.args.result.output = Some((*path).to_string());
                Ok(())
            }
            ("timing", []) => {
                self.args.result.timing = !self.args.result.timing;
                super::print(if self.args.result.timing { "timing is on\n" } else { "timing is off\n" })
            }
            ("h" | "?" | "help", []) => super::print(HELP),
            ("h" | "?" | "help", [name]) => match cxql_udfs::docs::page(&name.to_lowercase()) {
                Some(page) => super::print(&format!("{}\n", page.to_text().trim_end())),
                None => Err(Error::usage(format!("there is no page for the function `{name}`"))),
            },
            _ => {
                let known = ["d", "r", "f", "o", "timing", "h", "q"];
                let near = nearest(command, known).map(|near| format!("; did you mean \\{near}?")).unwrap_or_default();
                Err(Error::usage(format!("unknown command \\{text}{near}; \\h lists them")))
            }
        }
    }
}

/// Returns true if a line leaves the shell: one of the words alone, also after the first lines of a statement, but not
/// within a quoted string or a comment that they begin.
fn leaves(pending: &str, line: &str) -> bool {
    let is_word = ["\\q", "exit", "quit", "exit;", "quit;"].contains(&line.trim());
    is_word && Tokenizer::new(&GenericDialect {}, pending).tokenize().is_ok()
}

/// Returns true if the input is a command, or statements of which the last ends with `;`.
fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('\\') {
        return true;
    }
    match Tokenizer::new(&GenericDialect {}, trimmed).tokenize() {
        Ok(tokens) => {
            let last = tokens.iter().rev().find(|token| !matches!(token, Token::Whitespace(_)));
            matches!(last, None | Some(Token::SemiColon))
        }
        // an open quote or comment continues in the next line
        Err(_) => false,
    }
}

/// Tab completion.
struct Names {
    words: Vec<String>,
    reports: Vec<String>,
}

impl Names {
    async fn collect(session: &Session, project: &Project) -> Self {
        let state = session.state();
        let mut words: Vec<String> = state.udfs().into_iter().chain(state.udafs()).chain(state.udwfs()).collect();
        let mut tables: Vec<String> = session.tables().map(|(name, _)| name.to_string()).collect();
        tables.extend(session.views().map(|view| view.name.clone()));
        for name in &tables {
            // no completion for a table that cannot be opened; the error is shown when it is used
            if let Ok(Some(table)) = session.table(name).await {
                words.extend(table.schema().fields().iter().map(|field| field.name().clone()));
            }
        }
        session.take_notes();
        session.take_reads();
        words.extend(tables);
        let reports: Vec<String> = project.library.reports().iter().map(|file| file.name.clone()).collect();
        words.extend(reports.iter().map(|name| format!("reports.{name}")));
        words.extend(ALL_KEYWORDS.iter().map(|word| word.to_lowercase()));
        words.sort();
        words.dedup();
        Self { words, reports }
    }
}

struct SqlHelper {
    names: Names,
}

impl Helper for SqlHelper {}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Highlighter for SqlHelper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        Cow::Borrowed(prompt)
    }
}

impl Validator for SqlHelper {}

impl Completer for SqlHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..pos).unwrap_or(line);
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = &before[start..];
        let wants_report = before.trim_start().starts_with("\\r ");
        let words = if wants_report { &self.names.reports } else { &self.names.words };
        // after `table.` columns are completed without the prefix
        let (start, word) = match word.rsplit_once('.') {
            Some((schema, column)) if schema != "reports" => (start + schema.len() + 1, column),
            _ => (start, word),
        };
        if word.is_empty() && !wants_report {
            return Ok((start, vec![]));
        }
        let lower = word.to_lowercase();
        let found = words.iter().filter(|name| name.to_lowercase().starts_with(&lower));
        Ok((start, found.map(|name| Pair { display: name.clone(), replacement: name.clone() }).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_with_a_semicolon() {
        assert!(is_complete("select 1;") && is_complete("select ';' ; -- done") && is_complete("\\d x"));
        assert!(!is_complete("select 1") && !is_complete("select ';") && !is_complete("select 1; select 2"));
        assert!(is_complete(""));
    }

    #[test]
    fn the_shell_is_left_within_a_statement_but_not_within_a_string() {
        assert!(leaves("", "exit") && leaves("", " quit; ") && leaves("", "\\q"));
        assert!(leaves("select 1,\n", "exit") && leaves("select 1 -- it's\n", "\\q"));
        assert!(!leaves("select 'a\n", "exit") && !leaves("/* a\n", "quit"));
        assert!(!leaves("select 1\n", "exit, 2") && !leaves("", "exit 1"));
    }

    #[test]
    fn words_are_completed_by_their_start() {
        let names = Names {
            words: vec!["interactions".into(), "interval".into(), "nps".into(), "reports.kpi_overview".into()],
            reports: vec!["kpi_overview".into()],
        };
        let helper = SqlHelper { names };
        let history = FileHistory::new();
        let complete = |line: &str| {
            let (start, pairs) = helper.complete(line, line.len(), &Context::new(&history)).unwrap();
            (start, pairs.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>())
        };
        assert_eq!(complete("select * from INTERA"), (14, vec!["interactions".to_string()]));
        assert_eq!(complete("select i.np"), (9, vec!["nps".to_string()]));
        assert_eq!(complete("from reports.k"), (5, vec!["reports.kpi_overview".to_string()]));
        assert_eq!(complete("\\r "), (3, vec!["kpi_overview".to_string()]));
        assert_eq!(complete("select '满意', np"), ("select '满意', ".len(), vec!["nps".to_string()]));
    }
}

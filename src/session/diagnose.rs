//! Converts DataFusion's errors to ours: the position in the user's SQL, the name that was probably meant, the remedy.

mod files;
mod statement;
mod values;

use std::error::Error as StdError;
use std::sync::Arc;

use datafusion::arrow::error::ArrowError;
use datafusion::catalog::SchemaProvider;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use self::files::storage_error;
pub(crate) use self::files::{broken_file, changed, data_error, file_error, store_error};
pub(crate) use self::statement::nearest_keyword;
pub(crate) use self::values::clause_error;
use super::catalog::{self, ProjectSchema};
use super::tables::display_address;
use crate::error::Error;
use crate::source::{Source, Spot, nearest};
use crate::sqlfile;
use crate::types::with_type_names;

/// Names that an error lists at most.
const MAX_LISTED: usize = 12;

/// Converts an error of planning or running a statement of `source`.
pub(crate) async fn statement_error(
    error: DataFusionError,
    source: &Arc<Source>,
    state: &SessionState,
    schema: &ProjectSchema,
) -> Error {
    let error = match own(error) {
        Ok(own) => return own,
        Err(error) => error,
    };
    if let Some(changed) = changed(&error) {
        return changed;
    }
    let spot = error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span)
        .and_then(|span| Spot::of_span(span.start.line, span.start.column, span.end.line, span.end.column));
    let root = error.find_root();
    let text = root.strip_backtrace();
    if let DataFusionError::SQL(parser, _) = root {
        return sqlfile::parser_error(source, parser, None);
    }
    if let DataFusionError::SchemaError(schema_error, _) = root {
        return column_error(schema_error, source, spot);
    }
    if let Some(error) = option_error(&text, source, state) {
        return error;
    }
    if let Some(name) = between(&text, "table '", "' not found") {
        return table_error(name, source, spot, state, schema);
    }
    if let Some(name) = between(&text, "Invalid function '", "'") {
        return function_error(name, source, spot, state);
    }
    let known = statement::known_error(&text, source, spot).or_else(|| values::known_error(&text, source, spot));
    if let Some(error) = known {
        return error;
    }
    if let Some(error) = storage_error(&error, "") {
        return error;
    }
    // DataFusion drops the error of the store
    if text.contains("while finalizing writes") {
        return Error::at(source, None, "the result cannot be written to its end").help(
            "check that there is space left, and the right to write there; a result of several files may be there in part",
        );
    }
    let dropped = between(&text, "Table '", "' doesn't exist").or_else(|| between(&text, "View '", "' doesn't exist"));
    if let Some(name) = dropped {
        let name = name.rsplit('.').next().unwrap_or(name);
        let spot = token_spot(source, name);
        if schema.table_exist(name) {
            return Error::at(
                source,
                spot,
                format!("`{name}` is a table or view of the project and is not dropped here"),
            )
            .help("only what this session created can be dropped; remove the project's files instead");
        }
        return Error::at(source, spot, format!("there is no table or view `{name}`"));
    }
    if let Some(name) = between(&text, "Placeholder '", "' was not provided") {
        let name = name.trim_start_matches('$');
        return Error::at(
            source,
            word_spot(source, &text),
            format!("`${name}` has no value: a query has no parameters"),
        )
        .help(format!("write the value, or save the query as a report with `-- param: {name} TYPE`"));
    }
    if let Some(expression) = between(&text, "unique expression names but the expression \"", "\" at position") {
        let name = expression.rsplit(" AS ").next().unwrap_or(expression);
        let name = name.rsplit('.').next().unwrap_or(name);
        let spot = spot.or_else(|| token_spot(source, name));
        return Error::at(source, spot, format!("the name `{name}` appears twice"))
            .help("give one of them another name with `as`");
    }
    if let Some((function, has)) = text_argument(&text) {
        let spot = spot.or_else(|| token_spot(source, function));
        return Error::at(source, spot, format!("`{function}` wants numbers, and its argument is {has}")).help(
            "write cast(... as double), or try_cast(... as double) where values that are no numbers may be NULL; a CSV \
             column is text when any of its values is no number",
        );
    }
    let title = match error.diagnostic() {
        Some(diagnostic) => with_type_names(without_prefixes(&diagnostic.message)),
        None => clean(root, &text),
    };
    let spot = spot.or_else(|| word_spot(source, &title)).or_else(|| word_spot(source, &text));
    let mut ours = Error::at(source, spot, title.clone());
    if let Some(call) = text.split("Candidate functions:").nth(1).and_then(|calls| calls.trim().lines().next()) {
        let name = call.trim().split('(').next().unwrap_or(call);
        let has_page = cxql_udfs::docs::page(name).is_some();
        ours = match statement::candidates(&text).as_slice() {
            _ if has_page => ours.help(format!("see `cxql functions {name}`")),
            [] => ours,
            calls => ours.help(format!("write {}", calls.join(" or "))),
        };
    }
    if let Some(diagnostic) = error.diagnostic() {
        for note in diagnostic.notes.iter().map(|note| &note.message) {
            ours = ours.help(with_type_names(note));
        }
        for help in diagnostic.helps.iter().map(|help| &help.message) {
            ours = ours.help(with_type_names(help).replace("count(1)", "count(*)"));
        }
    }
    match remedy(root, &text) {
        Some(remedy) => ours.help(remedy),
        None => ours,
    }
}

/// The error of SET, RESET or SHOW of an option that does not exist, with the nearest name.
fn option_error(text: &str, source: &Arc<Source>, state: &SessionState) -> Option<Error> {
    let is_unknown = ["Could not find config namespace", "not found on", "there is no option", "is not a variable"];
    if !is_unknown.iter().any(|part| text.contains(part)) {
        return None;
    }
    let tokens = sqlfile::tokenize(source).ok()?;
    let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let is_of_option = |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if ["set", "reset", "show"].contains(&word.value.to_lowercase().as_str()));
    words.next().filter(|token| is_of_option(token))?;
    let name: Vec<&TokenWithSpan> =
        words.take_while(|token| matches!(token.token, Token::Word(_) | Token::Period)).collect();
    let spot = name.first().map(|token| sqlfile::token_spot(token));
    let name: String = name.iter().map(|token| token.token.to_string()).collect::<String>().to_lowercase();
    let spot = spot.map(|spot| Spot { length: name.chars().count(), ..spot });
    let keys: Vec<String> = state.config_options().entries().into_iter().map(|entry| entry.key).collect();
    let error = Error::at(source, spot, format!("there is no option `{name}`"));
    // the last part alone may be what is misspelled, or the prefix be left out
    let last = name.rsplit('.').next().unwrap_or(&name);
    let near = nearest(&name, keys.iter().map(String::as_str)).map(str::to_string).or_else(|| {
        let parts = keys.iter().filter_map(|key| key.rsplit('.').next());
        let part = nearest(last, parts)?;
        keys.iter().find(|key| key.rsplit('.').next() == Some(part)).cloned()
    });
    Some(match near {
        Some(near) => error.label(format!("did you mean `{near}`?")),
        None => error.help("`show all` lists the options"),
    })
}

/// Unwraps one of our errors that DataFusion has passed on.
pub(super) fn own(error: DataFusionError) -> Result<Error, DataFusionError> {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => Ok(*own),
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(inner) => own(*inner),
                Err(inner) => Err(DataFusionError::External(inner)),
            },
        },
        DataFusionError::Context(text, inner) => {
            own(*inner).map_err(|inner| DataFusionError::Context(text, Box::new(inner)))
        }
        DataFusionError::Diagnostic(diagnostic, inner) => {
            own(*inner).map_err(|inner| DataFusionError::Diagnostic(diagnostic, Box::new(inner)))
        }
        DataFusionError::ArrowError(inner, backtrace) => match *inner {
            ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
                Ok(inner) => own(*inner),
                Err(inner) => own(DataFusionError::External(inner)),
            },
            inner => Err(DataFusionError::ArrowError(Box::new(inner), backtrace)),
        },
        DataFusionError::Collection(mut errors) if !errors.is_empty() => own(errors.swap_remove(0)),
        DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
            Ok(inner) => own(inner),
            Err(shared) => match external(&shared) {
                Some(text) => Ok(Error::Data { message: text, cause: None }),
                None => Err(DataFusionError::Shared(shared)),
            },
        },
        other => Err(other),
    }
}

/// The message of one of our errors that is shared (`Arc`) and cannot be unwrapped.
fn external(error: &DataFusionError) -> Option<String> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.to_string());
        }
        if let Some(DataFusionError::External(inner)) = error.downcast_ref::<DataFusionError>()
            && let Some(own) = inner.downcast_ref::<Error>()
        {
            return Some(own.to_string());
        }
        next = error.source();
    }
    None
}

/// Returns true if the error says that a table or function does not exist.
pub(crate) fn is_missing(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Plan(text) => {
            between(text, "table '", "' not found").or_else(|| between(text, "Invalid function '", "'")).is_some()
        }
        _ => false,
    }
}

/// The function that a message says wants a number, and the type of the string that it has.
fn text_argument(text: &str) -> Option<(&str, &'static str)> {
    let function = unmatched_function(text).or_else(|| between(text, "Function '", "' requires "))?;
    let lower = text.to_lowercase();
    let wants_numbers = lower.contains("requires decimal") || lower.contains("requires float");
    (wants_numbers && text.contains("but received String")).then_some((function, "text"))
}

/// The function whose signatures a message says do not match; the inner one where a message holds another.
fn unmatched_function(text: &str) -> Option<&str> {
    let (before, _) = text.split_once("' failed to match any signature")?;
    before.rsplit_once("Function '").map(|(_, name)| name)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let from = text.find(start)? + start.len();
    let to = text[from..].find(end)? + from;
    Some(&text[from..to])
}

pub(super) fn column_error(error: &SchemaError, source: &Arc<Source>, spot: Option<Spot>) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let spot = spot.or_else(|| token_spot(source, &field.name));
            let ours = Error::at(source, spot, format!("there is no column `{}`", field.flat_name()));
            let mut names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            // the column is there, its qualifier is not
            let is_there = valid_fields.iter().any(|column| column.name == field.name);
            if let (Some(qualifier), true) = (&field.relation, is_there) {
                let mut tables: Vec<&str> = valid_fields
                    .iter()
                    .filter_map(|column| column.relation.as_ref())
                    .map(|table| table.table())
                    .collect();
                tables.sort_unstable();
                tables.dedup();
                let title = format!("there is no table `{}` in FROM", qualifier.table());
                let ours = Error::at(source, spot, title);
                return if tables.is_empty() {
                    ours
                } else {
                    ours.help(format!("the tables here are {}", listed(&tables)))
                };
            }
            let helps = statement::column_helps(source, &field.name, spot);
            let ours = helps.into_iter().fold(ours, Error::help);
            let same_case = names.iter().find(|name| name.to_lowercase() == field.name.to_lowercase());
            let ours = match (same_case, nearest(&field.name, names.iter().copied())) {
                (Some(name), _) => ours
                    .label(format!("did you mean \"{name}\"?"))
                    .help("names that are not all lower case must stand in double quotes"),
                (None, Some(name)) => ours.label(format!("did you mean `{name}`?")),
                (None, None) => ours,
            };
            if names.is_empty() { ours } else { ours.help(format!("the columns here are {}", listed(&names))) }
        }
        SchemaError::AmbiguousReference { field } => {
            let spot = spot.or_else(|| token_spot(source, &field.name));
            Error::at(source, spot, format!("more than one table has a column `{}`", field.name))
                .help(format!("say which: `TABLE.{}`", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::at(source, spot.or_else(|| token_spot(source, name)), format!("the name `{name}` appears twice"))
                .help("give one of them another name with `as`")
        }
    }
}

fn table_error(
    full_name: &str,
    source: &Arc<Source>,
    spot: Option<Spot>,
    state: &SessionState,
    schema: &ProjectSchema,
) -> Error {
    let prefix = format!("{}.{}.", super::CATALOG, super::SCHEMA);
    let name = full_name.strip_prefix(&prefix).unwrap_or(full_name);
    let name = name.strip_prefix(&format!("{}.", super::CATALOG)).unwrap_or(name);
    let spot = spot.or_else(|| token_spot(source, name.rsplit('.').next().unwrap_or(name)));
    if catalog::is_file_name(name) && !name.starts_with("reports.") {
        let spot = token_spot(source, name).or(spot);
        if source.path.is_none() && !source.is_shipped {
            return Error::at(source, spot, format!("there is no table or view `{name}`"))
                .help(format!("a file in FROM stands in quotes: from '{name}'"));
        }
        return Error::at(source, spot, "a report or view reads tables and views, no files")
            .help("name the file under [tables] in cxql.toml; files in FROM are for `cxql query` and `cxql shell`");
    }
    let mut ours = Error::at(source, spot, format!("there is no table or view `{name}`"));
    let reports = state.catalog_list().catalog(super::CATALOG).and_then(|catalog| catalog.schema(super::REPORTS));
    if reports.as_ref().is_some_and(|reports| reports.table_exist(name)) {
        return ours
            .label(format!("did you mean `reports.{name}`?"))
            .help(format!("`{name}` is a report: read `reports.{name}`, or run it with `cxql run {name}`"));
    }
    if let Some(report) = name.strip_prefix("reports.") {
        let reports = reports.map(|schema| schema.table_names()).unwrap_or_default();
        if let Some(near) = nearest(report, reports.iter().map(String::as_str)) {
            ours = ours.label(format!("did you mean `reports.{near}`?"));
        }
        return ours.help("`cxql list` shows the reports");
    }
    if let Some(known) = schema.suggestable_names() {
        // tables that the user may not read are not suggested
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        if let Some(near) = nearest(name, known.iter().copied()) {
            ours = ours.label(format!("did you mean `{near}`?"));
        }
        let none = known.is_empty();
        return if none { ours } else { ours.help(format!("the tables and views here are {}", listed(&known))) };
    }
    let names: Vec<&str> =
        schema.tables().keys().map(String::as_str).chain(schema.views().map(|view| view.name.as_str())).collect();
    if let Some(near) = nearest(name, names.iter().copied()) {
        ours = ours.label(format!("did you mean `{near}`?"));
    }
    let tables: Vec<&str> = schema.tables().keys().map(String::as_str).collect();
    if tables.is_empty() && !schema.has_data {
        ours = ours.help(
            "there is no data folder `data` here: make sample data with `cxql demo data`, or name yours with --data",
        );
    } else if tables.is_empty() {
        ours = ours.help(format!(
            "no Parquet tables were found below {}; point --data at a folder or bucket that has some, or name files \
             under [tables] in cxql.toml",
            schema.data_shown
        ));
    } else {
        ours = ours.help(format!("the tables below {} are {}", schema.data_shown, listed(&tables)));
    }
    if !schema.empty_folders.is_empty() {
        let folders: Vec<String> = schema.empty_folders.iter().map(|folder| display_address(folder)).collect();
        ours = ours.help(format!("these folders hold no Parquet files: {}", folders.join(", ")));
    }
    if super::model::schema(name).is_some() {
        ours = ours.help(format!(
            "`{name}` is a table of the interaction model: map your own columns to it in sql/views/{name}.sql"
        ));
    }
    ours
}

fn function_error(name: &str, source: &Arc<Source>, spot: Option<Spot>, state: &SessionState) -> Error {
    let spot = spot.or_else(|| token_spot(source, name));
    if state.udwfs().contains(&name.to_lowercase()) {
        return Error::at(source, spot, format!("`{name}` is a window function and needs `over (...)`"))
            .help(format!("write {name}(...) over (partition by ... order by ...); see `cxql functions {name}`"));
    }
    let ours = Error::at(source, spot, format!("there is no function `{name}`"));
    let mut names: Vec<String> = state.udfs().into_iter().chain(state.udafs()).chain(state.udwfs()).collect();
    names.sort_unstable();
    if let Some(here) = statement::elsewhere(name) {
        return ours.help(format!("write {here}"));
    }
    let ours = match statement::nearest_function(name, names.iter().map(String::as_str)) {
        Some(near) => ours.label(format!("did you mean `{near}`?")),
        None => ours,
    };
    ours.help("`cxql functions` lists the functions of customer analytics")
}

/// The first names, and how many more there are.
fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(MAX_LISTED).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MAX_LISTED) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// The position of the first token that is `name`.
pub(super) fn token_spot(source: &Arc<Source>, name: &str) -> Option<Spot> {
    let tokens = sqlfile::tokenize(source).ok()?;
    let is_name = |token: &Token| match token {
        Token::Word(word) => word.value.eq_ignore_ascii_case(name),
        Token::SingleQuotedString(text) => text == name,
        _ => false,
    };
    tokens.iter().find(|token| is_name(&token.token)).map(sqlfile::token_spot)
}

/// The position of the name that the message quotes or begins with, as in `nps: ...` or `function 'nps'`.
fn word_spot(source: &Arc<Source>, message: &str) -> Option<Spot> {
    let tokens = sqlfile::tokenize(source).ok()?;
    let named = |word: &str| {
        message.starts_with(&format!("{word}:"))
            || ["'", "`", "\""].iter().any(|quote| message.contains(&format!("{quote}{word}{quote}")))
            || message.contains(&format!(".{word}'"))
            || message.contains(&format!(".{word}\""))
            || message.contains(&format!("'{word}("))
            || message.contains(&format!("{word} function"))
    };
    tokens
        .iter()
        .find(|token| match &token.token {
            Token::Word(word) => named(&word.value) || named(&word.value.to_lowercase()),
            Token::Placeholder(name) => named(name),
            Token::SingleQuotedString(text) => {
                !text.is_empty() && ["'", "\""].iter().any(|quote| message.contains(&format!("{quote}{text}{quote}")))
            }
            _ => false,
        })
        .map(sqlfile::token_spot)
}

/// The message of a DataFusion error in our words, without a position.
pub(super) fn message(error: &DataFusionError) -> String {
    let root = error.find_root();
    clean(root, &root.strip_backtrace())
}

/// DataFusion's message without its prefixes.
fn clean(root: &DataFusionError, text: &str) -> String {
    let text = match root {
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message)
        | DataFusionError::ResourcesExhausted(message)
        | DataFusionError::Configuration(message) => message.as_str(),
        DataFusionError::ArrowError(error, _) => &error.to_string(),
        _ => text,
    };
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(text).trim();
    // the rest is about DataFusion's settings, names and types, not the user's; `remedy` adds our own advice
    let mut text = text;
    for tail in [
        "\nTo fix this",
        "This issue was likely caused",
        " No function matches the given name",
        "Candidate functions:",
        ": Identifier(Ident",
        "Identifier(Ident",
    ] {
        text = text.split(tail).next().unwrap_or(text).trim();
    }
    let text = with_type_names(without_prefixes(text).trim_end_matches(['.', ':', ' ']));
    match root {
        DataFusionError::NotImplemented(_) => format!("not supported: {text}"),
        _ => text,
    }
}

/// The innermost of the messages that DataFusion has put before one another.
fn without_prefixes(text: &str) -> &str {
    let mut text = text.split_once("coercion failed with: ").map_or(text, |(_, inner)| inner);
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim_start();
    }
    text
}

/// Prefixes that DataFusion adds to a message when it passes an error on.
const PREFIXES: [&str; 14] = [
    "External error: ",
    "External: ",
    "Execution error: ",
    "Error during planning: ",
    "Optimizer rule 'simplify_expressions' failed\ncaused by\n",
    "Internal error: ",
    "Parquet argument error: ",
    "Parquet error: ",
    "Arrow error: ",
    "Csv error: ",
    "Json error: ",
    "Parser error: ",
    "Cast error: ",
    "Unsupported SQL statement: ",
];

fn remedy(root: &DataFusionError, text: &str) -> Option<String> {
    match root {
        DataFusionError::ResourcesExhausted(_) if text.to_lowercase().contains("disk") => {
            Some("free space in the temporary folder, or name another one with --temp-dir".into())
        }
        DataFusionError::ResourcesExhausted(_) => {
            Some("raise the limit with --memory (such as --memory 8GB), or read fewer rows or columns".into())
        }
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => Some("divide by `nullif(x, 0)` to get NULL instead".into()),
            ArrowError::CastError(_) | ArrowError::ParseError(_) => Some(
                "`try_cast(x as type)` gives NULL for values that do not fit; for a file, declare the column's type \
                 under [tables.NAME] columns in cxql.toml"
                    .into(),
            ),
            _ => None,
        },
        DataFusionError::Internal(_) => {
            Some("this is a fault of the program, please report it with the statement".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_errors_survive_datafusion() {
        let wrapped = DataFusionError::Context("x".into(), Box::new(Error::usage("wrong thing").into()));
        assert_eq!(own(wrapped).unwrap().to_string(), "wrong thing");
        let shared = Arc::new(DataFusionError::from(Error::usage("wrong thing")));
        let kept = Arc::clone(&shared);
        assert_eq!(own(DataFusionError::Shared(shared)).unwrap().to_string(), "wrong thing");
        drop(kept);
    }

    #[test]
    fn long_lists_are_cut_with_a_count() {
        let names: Vec<String> = (0..15).map(|n| format!("c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(listed(&names).ends_with("c11 and 3 more"));
        assert_eq!(listed(&names[..2]), "c0, c1");
    }
}

//! SQL files: header lines and statements with their positions.
//!
//! The leading comment lines `-- key: value` are a closed grammar ([`KEYS`]). Lines directly before a later statement
//! belong to that statement and may only use [`SECTION_KEYS`]. Other comments are ignored. A statement headed
//! [`NOTES`] is no section: its rows are notes.

mod limits;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement as DataFusionStatement};
use datafusion::sql::sqlparser::ast::{Expr, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

pub(crate) use self::limits::ParseStack;
use crate::error::{Error, Result};
use crate::source::{Source, Spot, nearest};

/// All keys of header lines.
pub(crate) const KEYS: [&str; 9] =
    ["title", "description", "grain", "param", "section", "chart", "check", "alert", NOTES];

/// The key that makes a statement one of notes.
pub(crate) const NOTES: &str = "notes";

/// The keys that are allowed before every statement, not only before the first.
pub(crate) const SECTION_KEYS: [&str; 5] = ["section", "chart", "check", "alert", NOTES];

/// Maximum nesting of brackets. The parser's own limit does not cover every kind.
const BRACKET_LIMIT: usize = 200;

/// Maximum nesting of expressions and subqueries.
pub(crate) const RECURSION_LIMIT: usize = 50;

/// One header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderLine {
    /// One of [`KEYS`].
    pub key: String,
    /// The text after the colon, trimmed.
    pub value: String,
    /// The position of the key.
    pub key_spot: Spot,
    /// The position of the value.
    pub value_spot: Spot,
}

/// One statement with the header lines directly before it.
#[derive(Debug, Clone)]
pub(crate) struct SqlStatement {
    /// The header lines before this statement.
    pub header: Vec<HeaderLine>,
    /// The syntax tree; its spans are positions in the file.
    pub statement: Statement,
    /// The tokens of the statement, without white space.
    pub tokens: Vec<TokenWithSpan>,
}

impl SqlStatement {
    /// Returns true if the rows of the statement are notes and no result.
    pub(crate) fn is_notes(&self) -> bool {
        self.header.iter().any(|line| line.key == NOTES)
    }

    /// Checks the header of a statement of notes: what belongs to a section is refused.
    ///
    /// # Errors
    /// The first line that does not belong there.
    pub(crate) fn check_notes(&self, source: &Arc<Source>) -> Result<()> {
        let misplaced = |line: &&HeaderLine| line.key != NOTES && SECTION_KEYS.contains(&line.key.as_str());
        match self.header.iter().find(misplaced) {
            Some(line) => Err(Error::at(source, Some(line.key_spot), format!("notes have no `{}`", line.key))
                .help("the rows of a statement below `-- notes:` are sentences and no result; remove the line")),
            None => Ok(()),
        }
    }
}

/// Splits SQL into statements with their header lines.
///
/// # Errors
/// Invalid SQL, a header line with an unknown key, or a statement that does not parse; each with its position.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Vec<SqlStatement>> {
    let tokens = tokenize(source)?;
    let mut statements = Vec::new();
    let mut header = Vec::new();
    let mut body: Vec<TokenWithSpan> = Vec::new();
    for token in tokens {
        match &token.token {
            Token::Whitespace(Whitespace::SingleLineComment { comment, prefix }) if body.is_empty() => {
                if let Some(line) = header_line(comment, prefix.len(), &token) {
                    check_key(source, &line, statements.is_empty())?;
                    header.push(line);
                }
            }
            Token::Whitespace(_) => {}
            Token::SemiColon if body.is_empty() => {}
            Token::SemiColon => {
                statements.push(statement(source, std::mem::take(&mut header), std::mem::take(&mut body))?);
            }
            _ => body.push(token),
        }
    }
    if !body.is_empty() {
        statements.push(statement(source, header, body)?);
    } else if let Some(line) = header.first() {
        return Err(Error::at(source, Some(line.key_spot), "no statement follows these header lines")
            .help("add a `select ...` below them"));
    }
    Ok(statements)
}

/// Parses statements without header lines as DataFusion's statements, which include EXPLAIN, SHOW, COPY and the like.
///
/// # Errors
/// Invalid SQL, with its position.
pub(crate) fn statements(source: &Arc<Source>) -> Result<VecDeque<DataFusionStatement>> {
    statements_of(source, tokenize(source)?)
}

/// Parses statements from tokens.
///
/// # Errors
/// As [`statements`].
pub(crate) fn statements_of(source: &Arc<Source>, tokens: Vec<TokenWithSpan>) -> Result<VecDeque<DataFusionStatement>> {
    ParseStack::of(&tokens).run(|| {
        let end = tokens.last().map(token_spot);
        let built = DFParserBuilder::new(tokens).with_recursion_limit(RECURSION_LIMIT).build();
        match built.and_then(|mut parser| parser.parse_statements()) {
            Ok(mut statements) => {
                statements.iter_mut().try_for_each(|statement| limits::bound_statement(source, statement))?;
                Ok(statements)
            }
            Err(error) => Err(match error.find_root() {
                DataFusionError::SQL(parser, _) => parser_error(source, parser, end),
                other => Error::at(source, None, other.strip_backtrace()),
            }),
        }
    })
}

/// Tokenizes SQL, with positions.
pub(crate) fn tokenize(source: &Arc<Source>) -> Result<Vec<TokenWithSpan>> {
    limits::check_text(source)?;
    let tokens = Tokenizer::new(&GenericDialect {}, &source.text).tokenize_with_location().map_err(|error| {
        let spot = Spot { line: error.location.line as usize, column: error.location.column as usize, length: 1 };
        let is_string = error.message.contains("string literal");
        let error = Error::at(source, Some(spot), error.message);
        if is_string { error.help("a quote within a string is doubled: 'it''s'") } else { error }
    })?;
    limits::check_tokens(source, &tokens)?;
    Ok(tokens)
}

fn header_line(comment: &str, prefix_length: usize, token: &TokenWithSpan) -> Option<HeaderLine> {
    let text = comment.trim_end();
    let indent = text.chars().take_while(|c| *c == ' ' || *c == '\t').count();
    let (key, value) = text.trim_start().split_once(':')?;
    let is_word = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !is_word || !(value.is_empty() || value.starts_with([' ', '\t'])) {
        return None;
    }
    let line = token.span.start.line as usize;
    let key_column = token.span.start.column as usize + prefix_length + indent;
    let key_length = key.chars().count();
    let blanks = value.chars().take_while(|c| c.is_whitespace()).count();
    Some(HeaderLine {
        key: key.to_string(),
        value: value.trim().to_string(),
        key_spot: Spot { line, column: key_column, length: key_length },
        value_spot: Spot { line, column: key_column + key_length + 1 + blanks, length: value.trim().chars().count() },
    })
}

fn check_key(source: &Arc<Source>, line: &HeaderLine, is_leading: bool) -> Result<()> {
    if !KEYS.contains(&line.key.as_str()) {
        let error = Error::at(source, Some(line.key_spot), format!("unknown header key `{}`", line.key));
        let error = match nearest(&line.key, KEYS) {
            Some(key) => error.label(format!("did you mean `{key}`?")),
            None => error,
        };
        return Err(error
            .help(format!("the keys are {}", KEYS.join(", ")))
            .help("a comment that is no header must not have the form `-- word: ...`"));
    }
    if !is_leading && !SECTION_KEYS.contains(&line.key.as_str()) {
        return Err(Error::at(source, Some(line.key_spot), format!("`{}` belongs to the top of the file", line.key))
            .help(format!("before a later statement only {} may stand", SECTION_KEYS.join(", "))));
    }
    // a heading of a statement; what it is about may follow
    if line.value.is_empty() && line.key != NOTES {
        return Err(Error::at(source, Some(line.key_spot), format!("`{}` has no value", line.key))
            .help(format!("write `-- {}: ...` or remove the line", line.key)));
    }
    Ok(())
}

/// Keywords of statements that write.
pub(crate) const WRITING: [&str; 12] =
    ["alter", "copy", "create", "delete", "drop", "grant", "insert", "into", "merge", "revoke", "truncate", "update"];

/// The position of the first keyword of a statement that writes.
pub(crate) fn writing_spot(source: &Arc<Source>) -> Option<Spot> {
    let writes = |word: &str| WRITING.contains(&word.to_lowercase().as_str());
    let tokens = tokenize(source).ok()?;
    tokens.iter().find(|token| matches!(&token.token, Token::Word(word) if writes(&word.value))).map(token_spot)
}

/// The names of common table expressions: `with NAME as (...)`, also with column names.
pub(crate) fn named_queries(tokens: &[TokenWithSpan]) -> HashSet<String> {
    let tokens: Vec<&Token> =
        tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let is_as = |token: &Token| matches!(token, Token::Word(word) if word.keyword == Keyword::AS);
    let mut names = HashSet::new();
    for (at, token) in tokens.iter().enumerate() {
        if !is_as(token) || !matches!(tokens.get(at + 1), Some(Token::LParen)) {
            continue;
        }
        let before = match tokens[..at].last() {
            Some(Token::RParen) => tokens[..at].iter().rposition(|token| **token == Token::LParen).unwrap_or(0),
            _ => at,
        };
        if let Some(Token::Word(word)) = before.checked_sub(1).map(|at| tokens[at]) {
            names.insert(if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() });
        }
    }
    names
}

fn statement(source: &Arc<Source>, header: Vec<HeaderLine>, tokens: Vec<TokenWithSpan>) -> Result<SqlStatement> {
    if let Some(first) = tokens.first()
        && let Token::Word(word) = &first.token
        && WRITING.contains(&word.value.to_lowercase().as_str())
    {
        return Err(reads_only(source, first));
    }
    let statement = parse_tokens(source, tokens.clone())?;
    Ok(SqlStatement { header, statement, tokens })
}

/// Parses the tokens of one statement of `source`.
pub(crate) fn parse_tokens(source: &Arc<Source>, tokens: Vec<TokenWithSpan>) -> Result<Statement> {
    ParseStack::of(&tokens).run(|| {
        let dialect = GenericDialect {};
        let last = tokens.last().map(token_spot);
        let mut parser = Parser::new(&dialect).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
        let mut statement = parser.parse_statement().map_err(|error| parser_error(source, &error, last))?;
        limits::bound(source, &mut statement)?;
        let next = parser.peek_token();
        if next.token != Token::EOF {
            return Err(Error::at(source, Some(token_spot(&next)), format!("unexpected `{}`", next.token))
                .help("statements are separated by `;`"));
        }
        Ok(statement)
    })
}

/// Parses an expression of a few tokens between commas; `None` if it is longer or none.
pub(crate) fn parse_short_expr(tokens: Vec<TokenWithSpan>) -> Option<Expr> {
    if !ParseStack::of(&tokens).is_small() {
        return None;
    }
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(RECURSION_LIMIT).with_tokens_with_locations(tokens);
    parser.parse_expr().ok()
}

/// The error for a statement of a report or view that does not only read.
pub(crate) fn reads_only(source: &Arc<Source>, token: &TokenWithSpan) -> Error {
    let word = token.token.to_string().to_uppercase();
    Error::at(source, Some(token_spot(token)), format!("reports and views only read: {word} is refused here"))
        .help("they hold SELECT statements; `cxql query --write` and `cxql shell --write` may change things")
}

/// The position of a token.
pub(crate) fn token_spot(token: &TokenWithSpan) -> Spot {
    let span = token.span;
    Spot::of_span(span.start.line, span.start.column, span.end.line, span.end.column).unwrap_or_default()
}

/// Converts a parser error, with its position; `end` is the end of the source, for errors that say "found: EOF".
pub(crate) fn parser_error(source: &Arc<Source>, error: &ParserError, end: Option<Spot>) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => {
            return Error::at(source, None, format!("the statement nests deeper than {RECURSION_LIMIT} levels"))
                .help("split it into common table expressions or views");
        }
    };
    let (text, spot) = split_location(&message);
    let spot = spot.or_else(|| end.map(|end| Spot { column: end.column + end.length, length: 1, ..end }));
    let length = spot.map_or(1, |spot| word_length(source, spot));
    let spot = spot.map(|spot| Spot { length, ..spot });
    if let Some(known) = crate::session::clause_error(text, source, spot) {
        return known;
    }
    let error = Error::at(source, spot, text.to_string());
    match spot.and_then(|spot| source.text_at(spot)).and_then(crate::session::nearest_keyword) {
        Some(near) => error.label(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// Splits `... at Line: 2, Column: 5` into the message and the position.
pub(crate) fn split_location(message: &str) -> (&str, Option<Spot>) {
    let Some(at) = message.rfind(" at Line: ") else { return (message, None) };
    let mut numbers = message[at..].split(|c: char| !c.is_ascii_digit()).filter(|text| !text.is_empty());
    let line = numbers.next().and_then(|text| text.parse().ok());
    let column = numbers.next().and_then(|text| text.parse().ok());
    match (line, column) {
        (Some(line), Some(column)) => (message[..at].trim_end(), Some(Spot { line, column, length: 1 })),
        _ => (message, None),
    }
}

fn word_length(source: &Source, spot: Spot) -> usize {
    let line = source.text.lines().nth(spot.line.saturating_sub(1)).unwrap_or("");
    line.chars().skip(spot.column.saturating_sub(1)).take_while(|c| c.is_alphanumeric() || *c == '_').count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "r.sql".into(), ..Source::query(text) })
    }

    fn error(text: &str) -> String {
        parse(&source(text)).unwrap_err().to_string()
    }

    #[test]
    fn header_lines_belong_to_the_statement_below_them() {
        let text =
            "-- title: A\n-- free text, no header\n-- check: a > 0\nselect 1 as a; -- tail\n\n-- section: B\nselect 2;";
        let statements = parse(&source(text)).unwrap();
        let keys: Vec<Vec<&str>> =
            statements.iter().map(|s| s.header.iter().map(|line| line.key.as_str()).collect()).collect();
        assert_eq!(keys, [vec!["title", "check"], vec!["section"]]);
        let check = &statements[0].header[1];
        assert_eq!((check.value.as_str(), check.value_spot), ("a > 0", Spot { line: 3, column: 11, length: 5 }));
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let text = error("-- title: A\n-- chekc: a > 0\nselect 1");
        assert!(text.contains("r.sql:2:4") && text.contains("did you mean `check`?"), "{text}");
    }

    #[test]
    fn a_syntax_error_points_at_its_token() {
        let text = error("select a,\n  b c d\nfrom t");
        assert!(text.contains("r.sql:2:7"), "{text}");
        let text = error("select 'abc\nfrom t");
        assert!(text.contains("Unterminated string literal"), "{text}");
        let text = error("select 1 +");
        assert!(text.contains("r.sql:1:11"), "{text}");
    }

    #[test]
    fn parameters_stand_only_at_the_top() {
        let text = error("select 1;\n-- param: a integer\nselect 2");
        assert!(text.contains("r.sql:2:4") && text.contains("top of the file"), "{text}");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let text = error(&format!("select {}1{}", "(".repeat(5000), ")".repeat(5000)));
        assert!(text.contains("nest deeper"), "{text}");
    }

    #[test]
    fn queries_named_in_the_text_are_found() {
        let names = |text: &str| {
            let mut names: Vec<String> = named_queries(&tokenize(&source(text)).unwrap()).into_iter().collect();
            names.sort();
            names
        };
        assert_eq!(names("with a as (select 1), \"B\" (x, y) as (select 1, 2) select * from a, \"B\""), ["B", "a"]);
        assert!(names("select 1 as a from (select 2) as b").is_empty());
    }

    #[test]
    fn a_header_without_a_statement_is_an_error() {
        assert!(error("-- title: A\n").contains("no statement follows"));
        assert!(parse(&source("")).unwrap().is_empty());
    }
}

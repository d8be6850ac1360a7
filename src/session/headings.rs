//! Column headings as the user typed them: `round(max(z), 6)` and not `round(max(z),Int64(6))`.
//!
//! DataFusion derives the name of an unnamed expression from its plan, with the types of literals and the expressions that
//! functions were rewritten to. Here every unnamed expression of a select list gets an alias before the statement is
//! planned: its source text, comments left out and line breaks folded. Columns keep their names. References by position,
//! `order by` and `group by` of the same expression work as before, since DataFusion resolves aliases.
//!
//! ```text
//!  typed     select queue, count(*) filter (where is_abandoned), sum(n) / 3 from t
//!  planned   select queue, count(*) filter (where is_abandoned) as "count(*) filter (where is_abandoned)", ...
//! ```
//!
//! Select lists of subqueries in FROM and of common table expressions are included, so that `select *` over them has the
//! same headings; subqueries inside expressions are not. A name that stands twice gets a number: `count(*) (2)`.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::sql::parser::{CopyToSource, Statement as DataFusionStatement};
use datafusion::sql::sqlparser::ast::{
    DescribeAlias, Distinct, Expr, Function, Ident, ObjectNamePart, OrderBy, OrderByKind, Query, Select, SelectItem,
    SetExpr, Statement, TableFactor, TableWithJoins,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::source::Source;
use crate::sqlfile;

/// Whether `unnest(...)` is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unnests {
    Named,
    Unnamed,
}

/// Names the unnamed expressions of `statement` by their text in `source`. Returns false if there are none.
pub(super) fn name_columns(source: &Arc<Source>, statement: &mut DataFusionStatement, unnests: Unnests) -> bool {
    let Ok(tokens) = sqlfile::tokenize(source) else { return false };
    let starts = char_starts(&source.text, &tokens);
    let mut names = Headings { text: &source.text, starts, tokens, unnests, named: false };
    names.statement(statement);
    names.named
}

/// The byte offset at which each token starts, and the end of the text.
fn char_starts(text: &str, tokens: &[TokenWithSpan]) -> Vec<usize> {
    let mut starts = Vec::with_capacity(tokens.len() + 1);
    let mut tokens = tokens.iter().map(|token| token.span.start).peekable();
    let mut at = Location { line: 1, column: 1 };
    for (offset, c) in text.char_indices() {
        while tokens.next_if_eq(&at).is_some() {
            starts.push(offset);
        }
        at = match c {
            '\n' => Location { line: at.line + 1, column: 1 },
            _ => Location { line: at.line, column: at.column + 1 },
        };
    }
    starts.resize(starts.len() + tokens.count() + 1, text.len());
    starts
}

struct Headings<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
    starts: Vec<usize>,
    unnests: Unnests,
    named: bool,
}

impl Headings<'_> {
    fn statement(&mut self, statement: &mut DataFusionStatement) {
        match statement {
            DataFusionStatement::Statement(statement) => self.sql_statement(statement),
            DataFusionStatement::CopyTo(copy) => {
                if let CopyToSource::Query(query) = &mut copy.source {
                    self.query(query);
                }
            }
            // a plan is shown as DataFusion names its columns
            DataFusionStatement::Explain(_)
            | DataFusionStatement::CreateExternalTable(_)
            | DataFusionStatement::Reset(_) => {}
        }
    }

    fn sql_statement(&mut self, statement: &mut Statement) {
        match statement {
            Statement::Query(query) => self.query(query),
            Statement::Prepare { statement, .. } => self.sql_statement(statement),
            // DESCRIBE SELECT lists the headings that the query has
            Statement::Explain { describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, statement, .. } => {
                self.sql_statement(statement);
            }
            Statement::CreateTable(table) => {
                if let Some(query) = &mut table.query {
                    self.query(query);
                }
            }
            Statement::CreateView(view) => self.query(&mut view.query),
            _ => {}
        }
    }

    fn query(&mut self, query: &mut Query) {
        if let Some(with) = &mut query.with {
            for table in &mut with.cte_tables {
                self.query(&mut table.query);
            }
        }
        self.set(&mut query.body);
        if let (SetExpr::Select(select), Some(order_by)) = (query.body.as_ref(), &mut query.order_by) {
            order_by_names(select, order_by);
        }
    }

    fn set(&mut self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.set(left);
                self.set(right);
            }
            _ => {}
        }
    }

    fn select(&mut self, select: &mut Select) {
        for table in &mut select.from {
            self.joined(table);
        }
        let mut taken: HashSet<String> = select.projection.iter().filter_map(explicit_name).collect();
        let mut columns: HashSet<String> = HashSet::new();
        let mut texts: Option<Vec<Option<String>>> = None;
        for index in 0..select.projection.len() {
            let SelectItem::UnnamedExpr(expr) = &select.projection[index] else { continue };
            let name = match expr {
                // a column keeps its name and its table, unless it stands twice
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) if columns.insert(expr.to_string()) => continue,
                Expr::Identifier(ident) => ident.value.clone(),
                Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
                // one that unnests a struct becomes several columns
                Expr::Function(function) if self.unnests == Unnests::Unnamed && is_unnest(function) => continue,
                expr => {
                    let texts = texts.get_or_insert_with(|| self.texts(select));
                    texts.get(index).cloned().flatten().unwrap_or_else(|| expr.to_string())
                }
            };
            let name = distinct(name, &taken);
            taken.insert(name.clone());
            let alias = Ident::with_quote('"', name);
            let expr = expr.clone();
            select.projection[index] = SelectItem::ExprWithAlias { expr, alias };
            self.named = true;
        }
    }

    fn joined(&mut self, table: &mut TableWithJoins) {
        self.factor(&mut table.relation);
        for join in &mut table.joins {
            self.factor(&mut join.relation);
        }
    }

    fn factor(&mut self, factor: &mut TableFactor) {
        match factor {
            TableFactor::Derived { subquery, .. } => self.query(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.joined(table_with_joins),
            _ => {}
        }
    }

    /// The text of each item of a select list; `None` where it was not found.
    fn texts(&self, select: &Select) -> Vec<Option<String>> {
        let start = select.select_token.0.span.start;
        let is_start = |token: &TokenWithSpan| token.span.start == start && token.token == select.select_token.0.token;
        let Some(first) = self.tokens.iter().position(is_start).map(|index| index + 1) else { return vec![] };
        sqlfile::ParseStack::of(&self.tokens[first..]).run(|| self.texts_from(select, first))
    }

    /// The text of each item of a select list that begins at a token.
    fn texts_from(&self, select: &Select, first: usize) -> Vec<Option<String>> {
        let dialect = GenericDialect {};
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(sqlfile::RECURSION_LIMIT)
            .with_tokens_with_locations(self.tokens[first..].to_vec());
        if parser.parse_all_or_distinct().is_err() {
            return vec![];
        }
        let mut texts = Vec::with_capacity(select.projection.len());
        for _ in &select.projection {
            let begin = parser.index();
            let Ok(parsed) = parser.parse_select_item() else { return vec![] };
            let text = self.text(first + begin..first + parser.index());
            // not compared with the statement, which has other names of parameters and may have been rewritten
            texts.push(matches!(parsed, SelectItem::UnnamedExpr(_)).then_some(text));
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        // a statement that was parsed from another text has other items
        if texts.len() == select.projection.len() { texts } else { vec![] }
    }

    /// The text of tokens: comments are left out, line breaks folded.
    fn text(&self, range: std::ops::Range<usize>) -> String {
        let mut text = String::new();
        // white space since the last token: `None`, or whether it breaks the line or holds a comment
        let mut space: Option<bool> = None;
        for index in range {
            let piece = &self.text[self.starts[index]..self.starts[index + 1]];
            let token = &self.tokens[index].token;
            if let Token::Whitespace(blank) = token {
                let is_break = !matches!(blank, datafusion::sql::sqlparser::tokenizer::Whitespace::Space);
                space = Some(space.unwrap_or(false) || is_break);
                continue;
            }
            let tight = text.ends_with('(') || matches!(token, Token::RParen | Token::Comma);
            match space.take() {
                Some(is_break) if !(text.is_empty() || is_break && tight) => text.push(' '),
                _ => {}
            }
            text.push_str(piece);
        }
        text
    }
}

/// Below DISTINCT only columns of the result can be sorted by: DataFusion does not find them by their expression.
fn order_by_names(select: &Select, order_by: &mut OrderBy) {
    if !matches!(select.distinct, Some(Distinct::Distinct)) {
        return;
    }
    let OrderByKind::Expressions(keys) = &mut order_by.kind else { return };
    for key in keys {
        let same = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == key.expr => Some(alias),
            _ => None,
        });
        if let Some(alias) = same {
            key.expr = Expr::Identifier(alias.clone());
        }
    }
}

fn is_unnest(function: &Function) -> bool {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return false };
    name.value.eq_ignore_ascii_case("unnest")
}

/// The name of an item that has one in the statement.
fn explicit_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(folded(ident)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(folded),
        _ => None,
    }
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The name, with a number if it is taken.
fn distinct(name: String, taken: &HashSet<String>) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    numbered.into_iter().find(|name| !taken.contains(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(sql: &str) -> Vec<String> {
        let source = Arc::new(Source::query(sql));
        let mut statement = sqlfile::statements(&source).unwrap().pop_front().unwrap();
        name_columns(&source, &mut statement, Unnests::Named);
        let DataFusionStatement::Statement(statement) = statement else { panic!("{statement}") };
        let Statement::Query(query) = *statement else { panic!("{statement}") };
        let SetExpr::Select(select) = *query.body else { panic!("{}", query.body) };
        select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
                other => format!("- {other}"),
            })
            .collect()
    }

    #[test]
    fn expressions_are_named_by_their_text() {
        assert_eq!(named("select a, t.b, *, Count(*), x as y from t"), ["- a", "- t.b", "- *", "Count(*)", "y"]);
        assert_eq!(
            named("select distinct sum(x) filter (where y > 1), a::int, cast(b as date), 'it''s, ok' from t"),
            ["sum(x) filter (where y > 1)", "a::int", "cast(b as date)", "'it''s, ok'"]
        );
        // `from` and `,` inside expressions end no item
        assert_eq!(
            named("select extract(year from at), a is distinct from b, case when a then 1 else 2 end from t"),
            ["extract(year from at)", "a is distinct from b", "case when a then 1 else 2 end"]
        );
        assert_eq!(
            named(
                "select rank() over (partition by q order by n desc), percentile_cont(0.5) within group (order by x) from t"
            ),
            ["rank() over (partition by q order by n desc)", "percentile_cont(0.5) within group (order by x)"]
        );
        assert_eq!(
            named("select (select max(a) from u), exists (select 1)"),
            ["(select max(a) from u)", "exists (select 1)"]
        );
    }

    #[test]
    fn line_breaks_and_comments_are_folded() {
        assert_eq!(
            named("select\n  round(\n    max(z), -- the worst\n    6\n  ),\n  a\n    + /* and */ b\nfrom t"),
            ["round(max(z), 6)", "a + b"]
        );
        assert_eq!(named("select 'a\n b', '满意' || x from t"), ["'a\n b'", "'满意' || x"]);
    }

    #[test]
    fn names_that_stand_twice_are_numbered() {
        assert_eq!(named("select count(*), count(*), count(*) from t"), ["count(*)", "count(*) (2)", "count(*) (3)"]);
        assert_eq!(named("select x, x, a + 1 as \"b + 1\", b + 1 from t"), ["- x", "x (2)", "b + 1", "b + 1 (2)"]);
        assert_eq!(named("select a.id, b.id from a, b"), ["- a.id", "- b.id"]);
    }

    #[test]
    fn subqueries_in_from_are_named_too() {
        let source =
            Arc::new(Source::query("with c as (select a + 1 from t) select * from c, (select b + 2) union select x"));
        let mut statement = sqlfile::statements(&source).unwrap().pop_front().unwrap();
        assert!(name_columns(&source, &mut statement, Unnests::Named));
        let text = statement.to_string();
        assert!(text.contains("a + 1 AS \"a + 1\"") && text.contains("b + 2 AS \"b + 2\""), "{text}");
    }
}

//! A role of `cxql.toml`: what it grants, its row filters and its column masks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::{find_aggregate_exprs, find_window_exprs};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::config::{RoleConfig, SqlText};
use crate::error::{Error, Result};
use crate::session::{REPORTS, SCHEMA, diagnose};
use crate::source::Source;
use crate::sqlfile;

/// The role that reads everything, the server's own tables included.
pub(crate) const ADMIN: &str = "admin";

/// The schema and the name of a table, view or report.
pub(super) type TableName = (String, String);

/// A SQL expression of a role over the columns of one table: a row filter or a column mask.
#[derive(Debug)]
pub(super) struct RoleExpr {
    pub(super) source: Arc<Source>,
    expr: ast::Expr,
}

/// A role: the schemas and tables that it grants, and the row filters and column masks of restricted tables.
#[derive(Debug)]
pub(crate) struct Role {
    pub(super) name: String,
    pub(super) schemas: BTreeSet<String>,
    pub(super) tables: BTreeSet<TableName>,
    /// Row filters by table.
    pub(super) rows: BTreeMap<TableName, RoleExpr>,
    /// Column masks by table and column.
    pub(super) masks: BTreeMap<TableName, BTreeMap<String, RoleExpr>>,
}

pub(super) fn usage_error(error: &Error) -> Error {
    Error::usage(error.to_string())
}

/// Parses `name` (in the default schema) or `schema.name`.
fn parse_name(text: &str) -> TableName {
    match text.split_once('.') {
        Some((schema, name)) => (schema.to_lowercase(), name.to_lowercase()),
        None => (SCHEMA.to_owned(), text.to_lowercase()),
    }
}

/// The name as a user writes it, without the default schema.
pub(super) fn display_name((schema, name): &TableName) -> String {
    if schema == SCHEMA { name.clone() } else { format!("{schema}.{name}") }
}

impl RoleExpr {
    /// Parses the SQL expression at the key `key` of `cxql.toml`.
    fn parse(key: &str, text: &SqlText) -> Result<Self> {
        let line = if text.line == 0 { String::new() } else { format!(":{}", text.line) };
        let name = format!("cxql.toml{line}, {key}");
        let source = Source { name, path: Some("cxql.toml".into()), ..Source::query(&text.sql) };
        let source = Arc::new(source);
        let tokens = sqlfile::tokenize(&source).map_err(|error| usage_error(&error))?;
        let mut parser = Parser::new(&GenericDialect {})
            .with_recursion_limit(sqlfile::RECURSION_LIMIT)
            .with_tokens_with_locations(tokens);
        let mut parsed =
            parser.parse_expr().map_err(|error| usage_error(&sqlfile::parser_error(&source, &error, None)))?;
        let next = parser.peek_token();
        if next.token != Token::EOF {
            let spot = Some(sqlfile::token_spot(&next));
            let error = Error::at(&source, spot, format!("unexpected `{}` after the expression", next.token));
            return Err(usage_error(&error.help("one SQL expression over the columns of the table is wanted")));
        }
        cxql_engine::rewrite(&mut parsed);
        Ok(Self { source, expr: parsed })
    }

    /// Plans the expression over the columns of `input`.
    ///
    /// # Errors
    /// An unknown column, a type error; a subquery, parameter, aggregate or window function.
    pub(super) fn plan(&self, state: &SessionState, input: &LogicalPlan) -> DataFusionResult<Expr> {
        let expr = ast::ExprWithAlias { expr: self.expr.clone(), alias: None };
        let expr =
            state.create_logical_expr_from_sql_expr(expr, input.schema()).map_err(|error| self.located(error))?;
        let mut refused = None;
        expr.apply(|part| {
            refused = match part {
                Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => {
                    Some("a subquery")
                }
                Expr::Placeholder(_) => Some("a parameter"),
                _ => None,
            };
            Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !find_aggregate_exprs([&expr]).is_empty() {
            refused = Some("an aggregate");
        } else if !find_window_exprs([&expr]).is_empty() {
            refused = Some("a window function");
        }
        match refused {
            Some(what) => Err(self.error(format!("{what} cannot stand here"))),
            None => Ok(expr),
        }
    }

    /// A DataFusion error with the position in this expression.
    pub(super) fn located(&self, error: DataFusionError) -> DataFusionError {
        match error.find_root() {
            DataFusionError::SchemaError(error, _) => diagnose::column_error(error, &self.source, None).into(),
            other => self.error(diagnose::message(other)),
        }
    }

    pub(super) fn error(&self, title: String) -> DataFusionError {
        let help = "one SQL expression over the columns of the table's row is wanted";
        Error::at(&self.source, None, title).help(help).into()
    }
}

impl Role {
    /// Parses a role of the configuration.
    ///
    /// # Errors
    /// The name of the built-in role, a role that grants nothing, an expression that does not parse.
    pub(crate) fn parse(name: &str, config: &RoleConfig) -> Result<Arc<Self>> {
        let wrong = |what: String| Error::usage(format!("[roles.{name}] in cxql.toml: {what}"));
        if name == ADMIN {
            return Err(wrong("the role is there already and reads everything; choose another name".into()));
        }
        if config.schemas.is_empty() && config.tables.is_empty() {
            return Err(wrong(format!(
                "the role grants nothing; write schemas = [\"{SCHEMA}\", \"{REPORTS}\"] or tables = [\"NAME\", ...]"
            )));
        }
        let rows = config.rows.iter().map(|(table, text)| {
            let key = format!("[roles.{name}] rows, {table}");
            Ok((parse_name(table), RoleExpr::parse(&key, text)?))
        });
        let rows = rows.collect::<Result<_>>()?;
        let mut masks = BTreeMap::new();
        for (table, columns) in &config.masks {
            let columns = columns.iter().map(|(column, text)| {
                let key = format!("[roles.{name}] masks, {table}, {column}");
                Ok((column.clone(), RoleExpr::parse(&key, text)?))
            });
            masks.insert(parse_name(table), columns.collect::<Result<_>>()?);
        }
        Ok(Arc::new(Self {
            name: name.to_owned(),
            schemas: config.schemas.iter().map(|schema| schema.to_lowercase()).collect(),
            tables: config.tables.iter().map(|table| parse_name(table)).collect(),
            rows,
            masks,
        }))
    }

    /// Returns true if the role grants the table.
    pub(super) fn grants(&self, name: &TableName) -> bool {
        self.schemas.contains(&name.0) || self.tables.contains(name)
    }

    /// The tables with row filters, and those with column masks.
    pub(super) fn restricted(&self) -> [Vec<&TableName>; 2] {
        [self.rows.keys().collect(), self.masks.keys().collect()]
    }

    /// Returns true if the role filters rows or masks columns of the table.
    pub(super) fn restricts(&self, name: &TableName) -> bool {
        self.rows.contains_key(name) || self.masks.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_schema() {
        assert_eq!(parse_name("Calls"), ("public".to_owned(), "calls".to_owned()));
        assert_eq!(display_name(&parse_name("reports.kpi")), "reports.kpi");
        assert_eq!(display_name(&parse_name("public.calls")), "calls");
    }
}

//! Roles: what a user of the server may read of the data, and what of it shows.
//!
//! What is restricted, and every view that is granted, is an operator without inputs ([`sealed`](super::sealed)), so that
//! no plan, figure or error tells what is below. [`granted`](super::granted) puts these where statements find them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::{find_aggregate_exprs, find_window_exprs};
use datafusion::logical_expr::{Case, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, or};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::sealed::SealedTable;
use super::{REPORTS, SCHEMA, Session, diagnose};
use crate::config::RoleConfig;
use crate::error::{Error, Result};
use crate::source::{Source, nearest};
use crate::sqlfile;
use crate::types::type_name;

/// The role that reads everything, the server's own tables included.
pub const ADMIN: &str = "admin";

/// What a user of the server reads.
#[derive(Debug, Clone)]
pub enum Reads {
    /// The data, and the server's own tables.
    Everything,
    /// The data.
    Data,
    /// What roles leave of the data.
    Left(Arc<Session>),
}

/// The schema and the name of a table, view or report.
pub(super) type Name = (String, String);

/// A condition or value that a role states.
#[derive(Debug)]
struct Rule {
    source: Arc<Source>,
    expr: ast::Expr,
}

/// What a role grants and what it takes out.
#[derive(Debug)]
pub struct Role {
    pub(super) name: String,
    pub(super) schemas: BTreeSet<String>,
    pub(super) tables: BTreeSet<Name>,
    rows: BTreeMap<Name, Rule>,
    masks: BTreeMap<Name, BTreeMap<String, Rule>>,
}

pub(super) fn usage(error: &Error) -> Error {
    Error::usage(error.to_string())
}

/// `name` in the default schema, or `schema.name`.
fn parse_name(text: &str) -> Name {
    match text.split_once('.') {
        Some((schema, name)) => (schema.to_lowercase(), name.to_lowercase()),
        None => (SCHEMA.to_owned(), text.to_lowercase()),
    }
}

pub(super) fn shown((schema, name): &Name) -> String {
    if schema == SCHEMA { name.clone() } else { format!("{schema}.{name}") }
}

impl Rule {
    /// Parses the SQL expression that stands at `place` in `cxql.toml`.
    fn parse(place: &str, text: &str) -> Result<Self> {
        let source =
            Source { name: format!("cxql.toml, {place}"), path: Some("cxql.toml".into()), ..Source::query(text) };
        let source = Arc::new(source);
        let tokens = sqlfile::tokenize(&source).map_err(|error| usage(&error))?;
        let mut parser = Parser::new(&GenericDialect {})
            .with_recursion_limit(sqlfile::RECURSION_LIMIT)
            .with_tokens_with_locations(tokens);
        let parsed = parser.parse_expr().map_err(|error| usage(&sqlfile::parser_error(&source, &error, None)))?;
        let next = parser.peek_token();
        if next.token != Token::EOF {
            let spot = Some(sqlfile::token_spot(&next));
            let error = Error::at(&source, spot, format!("unexpected `{}` after the expression", next.token));
            return Err(usage(&error.help("one SQL expression over the columns of the table is wanted")));
        }
        Ok(Self { source, expr: parsed })
    }

    /// The expression over the columns of a plan.
    fn plan(&self, state: &SessionState, over: &LogicalPlan) -> DataFusionResult<Expr> {
        let expr = ast::ExprWithAlias { expr: self.expr.clone(), alias: None };
        let expr = state.create_logical_expr_from_sql_expr(expr, over.schema()).map_err(|error| self.located(error))?;
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

    /// The engine's error about this expression, with its place.
    fn located(&self, error: DataFusionError) -> DataFusionError {
        match error.find_root() {
            DataFusionError::SchemaError(error, _) => diagnose::column_error(error, &self.source, None).into(),
            other => self.error(other.strip_backtrace()),
        }
    }

    fn error(&self, title: String) -> DataFusionError {
        let help = "one SQL expression over the columns of the table's row is wanted";
        Error::at(&self.source, None, title).help(help).into()
    }
}

impl Role {
    /// Reads a role from the configuration.
    ///
    /// # Errors
    /// The name of the role that is there anyway, a role that grants nothing, an expression that does not parse.
    pub fn parse(name: &str, config: &RoleConfig) -> Result<Arc<Self>> {
        let wrong = |what: String| Error::usage(format!("[roles.{name}] in cxql.toml: {what}"));
        if name == ADMIN {
            return Err(wrong("the role is there already and reads everything; choose another name".into()));
        }
        if config.schemas.is_empty() && config.tables.is_empty() {
            return Err(wrong(format!(
                "the role grants nothing; write schemas = [\"{SCHEMA}\", \"{REPORTS}\"] or tables = [\"NAME\", ...]"
            )));
        }
        let rows = config
            .rows
            .iter()
            .map(|(table, text)| Ok((parse_name(table), Rule::parse(&format!("[roles.{name}] rows, {table}"), text)?)));
        let rows = rows.collect::<Result<_>>()?;
        let mut masks = BTreeMap::new();
        for (table, columns) in &config.masks {
            let columns = columns.iter().map(|(column, text)| {
                let place = format!("[roles.{name}] masks, {table}, {column}");
                Ok((column.clone(), Rule::parse(&place, text)?))
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

    pub(super) fn grants(&self, name: &Name) -> bool {
        self.schemas.contains(&name.0) || self.tables.contains(name)
    }

    /// The tables with row conditions, and those with masks.
    pub(super) fn restricted(&self) -> [Vec<&Name>; 2] {
        [self.rows.keys().collect(), self.masks.keys().collect()]
    }

    pub(super) fn restricts(&self, name: &Name) -> bool {
        self.rows.contains_key(name) || self.masks.contains_key(name)
    }
}

/// What some roles together let a user read.
pub(super) struct Rules {
    pub(super) roles: Vec<Arc<Role>>,
    /// Plans what is behind a seal. Its settings are the project's, whatever a user sets.
    pub(super) state: SessionState,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.roles.iter().map(|role| role.name.as_str()).collect();
        f.debug_struct("Rules").field("roles", &names).finish_non_exhaustive()
    }
}

/// What is left of a table: which rows, and what its columns show.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) filter: Option<Expr>,
    /// By name; others show themselves.
    pub(super) columns: HashMap<String, Expr>,
}

impl Rules {
    pub(super) fn new(roles: Vec<Arc<Role>>, state: SessionState) -> Self {
        Self { roles, state }
    }

    pub(super) fn grants(&self, name: &Name) -> bool {
        self.roles.iter().any(|role| role.grants(name))
    }

    /// The roles that have a say about a table: those that grant it; when none does, it is read through a view, and
    /// every role that restricts it has one.
    fn concerned(&self, name: &Name) -> Vec<&Role> {
        let granting: Vec<&Role> = self.roles.iter().map(Arc::as_ref).filter(|role| role.grants(name)).collect();
        if !granting.is_empty() {
            return granting;
        }
        self.roles.iter().map(Arc::as_ref).filter(|role| role.restricts(name)).collect()
    }

    /// What the roles leave of a table. A row is there when one of the roles shows it, and a column shows in a row the
    /// most that one of the roles which show that row lets it.
    fn left(&self, name: &Name, over: &LogicalPlan) -> DataFusionResult<Left> {
        let concerned = self.concerned(name);
        let mut filters = Vec::with_capacity(concerned.len());
        for role in &concerned {
            filters.push(match role.rows.get(name) {
                None => None,
                Some(rule) => {
                    let filter = rule.plan(&self.state, over)?;
                    match filter.get_type(over.schema()).map_err(|error| rule.located(error))? {
                        DataType::Boolean => Some(filter),
                        DataType::Null => Some(cast(filter, DataType::Boolean)),
                        other => {
                            let got = type_name(&other);
                            return Err(rule.error(format!("a condition is wanted, this is {got}")));
                        }
                    }
                }
            });
        }
        let mut left = Left::default();
        if filters.iter().all(Option::is_some) {
            left.filter = filters.iter().flatten().cloned().reduce(or);
        }
        let masked: BTreeSet<&String> =
            concerned.iter().filter_map(|role| role.masks.get(name)).flat_map(BTreeMap::keys).collect();
        for column in masked {
            let rules: Vec<Option<&Rule>> =
                concerned.iter().map(|role| role.masks.get(name).and_then(|masks| masks.get(column))).collect();
            let (position, data_type) = self.column(name, column, &rules, over)?;
            let whole = Expr::Column(Column::from(over.schema().qualified_field(position)));
            let mut values = Vec::with_capacity(rules.len());
            for rule in &rules {
                values.push(match rule {
                    None => None,
                    Some(rule) => {
                        let value = rule.plan(&self.state, over)?;
                        let got = value.get_type(over.schema()).map_err(|error| rule.located(error))?;
                        if got != data_type && got != DataType::Null && !can_cast_types(&got, &data_type) {
                            let (got, wanted) = (type_name(&got), type_name(&data_type));
                            return Err(rule.error(format!("`{column}` is {wanted}, this is {got}")));
                        }
                        Some(cast(value, data_type.clone()))
                    }
                });
            }
            if let Some(shows) = combined(&filters, &values, &whole) {
                left.columns.insert(column.clone(), shows);
            }
        }
        Ok(left)
    }

    /// The place and type of a column that is masked.
    fn column(
        &self,
        name: &Name,
        column: &str,
        rules: &[Option<&Rule>],
        over: &LogicalPlan,
    ) -> DataFusionResult<(usize, DataType)> {
        let found = over.schema().fields().iter().enumerate().find(|(_, field)| field.name() == column);
        match found {
            Some((position, field)) => Ok((position, field.data_type().clone())),
            None => {
                let names = over.schema().fields().iter().map(|field| field.name().as_str());
                let near = nearest(column, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                let title = format!("`{}` has no column `{column}`{near}", shown(name));
                Err(match rules.iter().flatten().next() {
                    Some(rule) => Error::at(&rule.source, None, title).into(),
                    None => DataFusionError::Plan(title),
                })
            }
        }
    }

    /// A table as the roles leave it; as it is when they do not restrict it.
    pub(super) fn restricted(
        &self,
        name: &Name,
        table: Arc<dyn TableProvider>,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        if !self.concerned(name).iter().any(|role| role.restricts(name)) {
            return Ok(table);
        }
        let reference = TableReference::partial(name.0.clone(), name.1.clone());
        let scan = LogicalPlanBuilder::scan(reference, provider_as_source(Arc::clone(&table)), None)?.build()?;
        let left = self.left(name, &scan)?;
        Ok(Arc::new(SealedTable::new(shown(name), scan, table.table_type(), left, self.state.clone())))
    }

    /// A granted table as statements see it: views keep to themselves what they are made of.
    pub(super) fn granted(
        &self,
        name: &Name,
        table: Arc<dyn TableProvider>,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        if table.get_logical_plan().is_none() {
            return Ok(table);
        }
        let reference = TableReference::partial(name.0.clone(), name.1.clone());
        let scan = LogicalPlanBuilder::scan(reference, provider_as_source(Arc::clone(&table)), None)?.build()?;
        Ok(Arc::new(SealedTable::new(shown(name), scan, table.table_type(), Left::default(), self.state.clone())))
    }
}

/// What a masked column shows, given for each role which rows it shows (`None`: all) and what of the column (`None`: all
/// of it). `None` when everything is shown.
fn combined(filters: &[Option<Expr>], values: &[Option<Expr>], whole: &Expr) -> Option<Expr> {
    let mut roles: Vec<(&Option<Expr>, &Expr)> =
        filters.iter().zip(values).map(|(filter, value)| (filter, value.as_ref().unwrap_or(whole))).collect();
    // roles that show all of the column come first
    roles.sort_by_key(|(_, value)| *value != whole);
    let mut cases = Vec::new();
    let mut otherwise = None;
    for (filter, value) in roles {
        match filter {
            // a condition that is NULL shows no row
            Some(filter) => cases.push((Box::new(filter.clone().is_true()), Box::new(value.clone()))),
            None => {
                otherwise = Some(Box::new(value.clone()));
                break;
            }
        }
    }
    // rows that no role shows are not there: in the others the last role has its say
    let otherwise = otherwise.or_else(|| cases.pop().map(|(_, value)| value))?;
    let shows = if cases.iter().all(|(_, value)| *value == otherwise) {
        *otherwise
    } else {
        Expr::Case(Case::new(None, cases, Some(otherwise)))
    };
    (shows != *whole).then_some(shows)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn shows(roles: &[(Option<&str>, Option<&str>)]) -> String {
        let filters: Vec<_> = roles.iter().map(|(filter, _)| filter.map(col)).collect();
        let values: Vec<_> = roles.iter().map(|(_, value)| value.map(lit)).collect();
        combined(&filters, &values, &col("whole")).map_or("whole".to_owned(), |shows| shows.to_string())
    }

    #[test]
    fn a_column_shows_the_most_that_a_role_which_shows_the_row_lets_it() {
        // one role
        assert_eq!(shows(&[(None, Some("mask"))]), "Utf8(\"mask\")");
        assert_eq!(shows(&[(Some("row"), Some("mask"))]), "Utf8(\"mask\")");
        // one that shows all of it wherever it shows the row
        assert_eq!(shows(&[(None, Some("mask")), (None, None)]), "whole");
        let case = "CASE WHEN row IS TRUE THEN whole ELSE Utf8(\"mask\") END";
        assert_eq!(shows(&[(None, Some("mask")), (Some("row"), None)]), case);
        assert_eq!(shows(&[(Some("other"), Some("mask")), (Some("row"), None)]), case);
        // equal masks are one
        assert_eq!(shows(&[(Some("a"), Some("mask")), (Some("b"), Some("mask"))]), "Utf8(\"mask\")");
        assert_eq!(shows(&[(Some("a"), None), (Some("b"), None)]), "whole");
    }

    #[test]
    fn names_have_a_schema() {
        assert_eq!(parse_name("Calls"), ("public".to_owned(), "calls".to_owned()));
        assert_eq!(shown(&parse_name("reports.kpi")), "reports.kpi");
        assert_eq!(shown(&parse_name("public.calls")), "calls");
    }
}

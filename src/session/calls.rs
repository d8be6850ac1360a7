//! Reports with arguments in FROM: `reports.fcr_by_topic(since => date '2025-12-01')`.
//!
//! Before a statement is planned, a call is replaced by a table whose name holds the arguments as values of the types in
//! the report's header. The schema `reports` plans the report with them when DataFusion asks for that table, so that
//! calls take the same way through roles, views and jobs as reports without arguments:
//!
//! ```text
//!  typed     from reports.fcr_by_topic(since => date '2025-12-01')
//!  planned   from reports."fcr_by_topic(since => '2025-12-01')" as fcr_by_topic
//! ```
//!
//! An argument is a constant expression or a parameter of the statement. It may not depend on the time of the query: views
//! and prepared statements keep their plans. Parameters as arguments of table functions, as in `generate_series(1, ?)`, are
//! replaced by their values.

mod table_functions;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::Array;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::{CopyToSource, Statement as DataFusionStatement};
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, TableAlias, TableFactor, Value,
    VisitMut, VisitorMut, visit_expressions,
};

use super::REPORTS;
use super::diagnose;
use crate::error::{Error, Result};
use crate::source::{Source, Spot, nearest};
use crate::sqlfile;
use crate::types::{Domain, ParamType, type_name};

/// A parameter of a report.
#[derive(Debug, Clone)]
pub(crate) struct CallParameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub param_type: ParamType,
    /// The values that it may have, if not all of its type.
    pub domain: Option<Domain>,
    /// Whether it has no default.
    pub is_needed: bool,
}

/// The planned notes of a report that a statement reads.
#[derive(Debug)]
pub(crate) struct ReportNotes {
    /// The report's file.
    pub source: Arc<Source>,
    /// The plans of the notes.
    pub plans: Vec<LogicalPlan>,
}

/// The reports that can be called.
#[async_trait]
pub(crate) trait CallableReports: fmt::Debug + Send + Sync {
    /// The parameters of a report; `None` if there is no such report.
    ///
    /// # Errors
    /// A report whose file cannot be parsed.
    fn parameters(&self, report: &str) -> Result<Option<Vec<CallParameter>>>;

    /// The names of all reports.
    fn names(&self) -> Vec<String>;

    /// The notes of a report with its arguments, those about their values included: a label that no row has, NULL where the
    /// default is not. `name` is that of a report or of a table that stands for a call; `None` if there is no such report.
    ///
    /// # Errors
    /// Notes that cannot be planned.
    async fn notes(&self, name: &str) -> Result<Option<ReportNotes>>;
}

/// The values of a statement's own parameters `$1`, `$2`, ..., which its calls may use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StatementValues<'a> {
    /// The values that it is planned with; none for a statement without parameters.
    Given(&'a [ScalarValue]),
    /// Values come later, and the statement is planned again with them.
    Later,
}

/// The name of the report in the name of a table that stands for a call; other names are returned unchanged.
pub(crate) fn base_name(table: &str) -> &str {
    table.split('(').next().unwrap_or(table)
}

/// Replaces the calls of reports in a statement. Returns the types of the statement's parameters that are arguments.
///
/// # Errors
/// An unknown parameter, a value of another type, a missing one, an argument that is no constant; with its position.
pub(super) fn bind(
    state: &SessionState,
    reports: Option<&Arc<dyn CallableReports>>,
    source: &Arc<Source>,
    statement: &mut DataFusionStatement,
    values: StatementValues<'_>,
) -> Result<BTreeMap<usize, DataType>, DataFusionError> {
    let Some(reports) = reports else { return Ok(BTreeMap::new()) };
    let mut binder = Binder { state, reports, source, values, parameters: BTreeMap::new() };
    let flow = visit(statement, &mut binder);
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(binder.parameters),
    }
}

fn visit(statement: &mut DataFusionStatement, binder: &mut Binder<'_>) -> ControlFlow<DataFusionError> {
    match statement {
        DataFusionStatement::Statement(statement) => statement.visit(binder),
        DataFusionStatement::Explain(explain) => visit(&mut explain.statement, binder),
        DataFusionStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(binder),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        DataFusionStatement::CreateExternalTable(_) | DataFusionStatement::Reset(_) => ControlFlow::Continue(()),
    }
}

struct Binder<'a> {
    state: &'a SessionState,
    reports: &'a Arc<dyn CallableReports>,
    source: &'a Arc<Source>,
    values: StatementValues<'a>,
    parameters: BTreeMap<usize, DataType>,
}

impl VisitorMut for Binder<'_> {
    type Break = DataFusionError;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        let bound = match factor {
            TableFactor::Table { name, alias, args: args @ Some(_), .. } => {
                let given = args.as_ref().map(|args| args.args.clone()).unwrap_or_default();
                self.call(name, &given).and_then(|bound| {
                    if let Some((bound, default_alias)) = bound {
                        *name = bound;
                        *args = None;
                        alias.get_or_insert(default_alias);
                    } else if let Some(args) = args
                        && self.is_table_function(name)
                    {
                        return self.function_arguments(name_spot(name), &mut args.args);
                    }
                    Ok(())
                })
            }
            TableFactor::Function { name, args, .. } => match self.call(name, args) {
                Ok(Some(_)) => {
                    Err(self.at(name_spot(name), "a report is no lateral function".into()).help("leave out `lateral`"))
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            },
            _ => Ok(()),
        };
        match bound {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error.into()),
        }
    }
}

impl Binder<'_> {
    fn at(&self, spot: Option<Spot>, title: String) -> Error {
        Error::at(self.source, spot, title)
    }

    /// The table that stands for a call, and its alias; `None` for functions that are no reports.
    fn call(&mut self, name: &ObjectName, args: &[FunctionArg]) -> Result<Option<(ObjectName, TableAlias)>> {
        let parts: Vec<String> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(folded).collect();
        let reference = match parts.as_slice() {
            [table] => TableReference::bare(table.as_str()),
            [schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
            [catalog, schema, table] => TableReference::full(catalog.as_str(), schema.as_str(), table.as_str()),
            _ => return Ok(None),
        };
        let defaults = &self.state.config_options().catalog;
        let resolved = reference.clone().resolve(&defaults.default_catalog, &defaults.default_schema);
        let report = resolved.table.to_string();
        let schema = self.state.catalog_list().catalog(&resolved.catalog).and_then(|catalog| catalog.schema(REPORTS));
        let is_report = |name: &str| schema.as_ref().is_some_and(|schema| schema.table_exist(name));
        let spot = name_spot(name);
        if *resolved.schema != *REPORTS {
            let hint = matches!(reference, TableReference::Bare { .. }) && is_report(&report);
            let is_function = self.state.table_functions().contains_key(&report);
            if hint && !is_function {
                let error = self.at(spot, format!("there is no table function `{report}`"));
                return Err(error
                    .label(format!("did you mean `{REPORTS}.{report}`?"))
                    .help("reports are in the schema `reports`"));
            }
            return Ok(None);
        }
        let parameters = if is_report(&report) { self.reports.parameters(&report)? } else { None };
        let Some(parameters) = parameters else {
            // only those that the user may read are suggested
            let names: Vec<String> = self.reports.names().into_iter().filter(|name| is_report(name)).collect();
            let error = self.at(spot, format!("there is no report `{report}`"));
            let error = match nearest(&report, names.iter().map(String::as_str)) {
                Some(near) => error.label(format!("did you mean `{REPORTS}.{near}`?")),
                None => error,
            };
            return Err(error.help("`cxql list` shows the reports"));
        };
        let mut given: Vec<Option<String>> = vec![None; parameters.len()];
        for arg in args {
            let (index, text) = self.argument(&report, &parameters, spot, arg)?;
            if given[index].is_some() {
                let title = format!("the argument `{}` stands twice", parameters[index].name);
                return Err(self.at(argument_spot(arg).or(spot), title));
            }
            given[index] = Some(text);
        }
        let missing = parameters.iter().zip(&given).find(|(parameter, given)| parameter.is_needed && given.is_none());
        if let Some((parameter, _)) = missing {
            let title = format!("reports.{report} needs the argument `{}`, which has no default", parameter.name);
            return Err(self.at(spot, title).help(format!("write {}", form(&report, parameter))));
        }
        let given = parameters.iter().zip(given);
        let given: Vec<String> =
            given.filter_map(|(parameter, text)| Some(format!("{} => {}", parameter.name, text?))).collect();
        let table = Ident::with_quote('"', format!("{report}({})", given.join(", ")));
        let mut bound: Vec<ObjectNamePart> = name.0[..name.0.len() - 1].to_vec();
        bound.push(ObjectNamePart::Identifier(table));
        let alias = TableAlias { explicit: true, name: Ident::with_quote('"', report), columns: vec![], at: None };
        Ok(Some((ObjectName(bound), alias)))
    }

    /// The index of an argument's parameter, and its value as text.
    fn argument(
        &mut self,
        report: &str,
        parameters: &[CallParameter],
        spot: Option<Spot>,
        arg: &FunctionArg,
    ) -> Result<(usize, String)> {
        let example = parameters.first().map(|parameter| form(report, parameter));
        let FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } = arg else {
            let error = self.at(argument_spot(arg).or(spot), format!("the arguments of reports.{report} have names"));
            return Err(match example {
                Some(example) => error.help(format!("write {example}")),
                None => error.help(format!("it has no parameters: write reports.{report}")),
            });
        };
        let spot = ident_spot(name).or(spot);
        let wanted = folded(name);
        let Some(index) = parameters.iter().position(|parameter| parameter.name == wanted) else {
            let error = self.at(spot, format!("reports.{report} has no parameter `{wanted}`"));
            let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            return Err(match nearest(&wanted, names.iter().copied()) {
                Some(near) => error.label(format!("did you mean `{near}`?")),
                None if names.is_empty() => error.help("it has none"),
                None => error.help(format!("it has {}", names.join(", "))),
            });
        };
        let parameter = &parameters[index];
        let Some(value) = self.value(report, parameter, spot, value)? else {
            return Ok((index, "null".into()));
        };
        let fit = fitted(parameter.param_type, &value);
        if let (Some(domain), Some(value)) = (&parameter.domain, &fit) {
            domain.check(value).map_err(|error| self.at(spot, format!("`{wanted}` of reports.{report}: {error}")))?;
        }
        match fit.and_then(|value| encoded(&value)) {
            Some(text) => Ok((index, text)),
            None => {
                let (wanted, got) = (type_name(&parameter.param_type.data_type()), type_name(&value.data_type()));
                let got = match &value {
                    ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => format!("'{text}'"),
                    _ => got,
                };
                let title = format!("`{}` of reports.{report} is {wanted}, this is {got}", parameter.name);
                Err(self.at(spot, title).help(format!("write {}", form(report, parameter))))
            }
        }
    }

    /// The value of an argument; `None` for NULL.
    fn value(
        &mut self,
        report: &str,
        parameter: &CallParameter,
        spot: Option<Spot>,
        value: &Expr,
    ) -> Result<Option<ScalarValue>> {
        let source = self.source;
        let fault = |title: String| {
            let error = Error::at(source, spot, title);
            error.help("an argument is a constant, such as 5, 'text', date '2025-01-31' or interval '7 days'")
        };
        if let Some((id, number)) = placeholder(value) {
            self.parameters.insert(number, parameter.param_type.data_type());
            return match self.values {
                StatementValues::Later => Ok(None),
                StatementValues::Given(values) => match number.checked_sub(1).and_then(|index| values.get(index)) {
                    Some(value) => Ok((!value.is_null()).then(|| value.clone())),
                    None => Err(fault(format!("`{id}` has no value"))),
                },
            };
        }
        if reads_rows(value) {
            return Err(fault(format!("`{value}` is no constant")));
        }
        let evaluated = self.evaluated(value).map_err(|error| match diagnose::own(error) {
            Ok(own) => own,
            Err(error) => match error.find_root() {
                DataFusionError::SchemaError(..) => fault(format!("the argument `{}` is no constant", parameter.name)),
                other => fault(diagnose::message(other)),
            },
        })?;
        match evaluated {
            Some(value) => Ok((!value.is_null()).then_some(value)),
            None => Err(fault(format!("the argument `{}` of reports.{report} is no constant", parameter.name))),
        }
    }

    /// The value of a constant expression; `None` if it is none, or depends on the time of the query.
    fn evaluated(&self, expr: &Expr) -> Result<Option<ScalarValue>, DataFusionError> {
        let schema = Arc::new(DFSchema::empty());
        let expr = ast::ExprWithAlias { expr: expr.clone(), alias: None };
        let expr = self.state.create_logical_expr_from_sql_expr(expr, &schema)?;
        let values = self.values;
        let expr = expr
            .transform(|part| {
                let PlanExpr::Placeholder(placeholder) = &part else { return Ok(Transformed::no(part)) };
                let number = placeholder.id.get(1..).and_then(|number| number.parse::<usize>().ok());
                let value = match (values, number.and_then(|number| number.checked_sub(1))) {
                    (StatementValues::Given(values), Some(index)) => values.get(index).cloned(),
                    (StatementValues::Given(_), None) => None,
                    (StatementValues::Later, _) => Some(ScalarValue::Null),
                };
                match value {
                    Some(value) => Ok(Transformed::yes(PlanExpr::Literal(value, None))),
                    None => Ok(Transformed::no(part)),
                }
            })?
            .data;
        // no time of the query: what depends on it stays an expression
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(&schema))
            .with_config_options(Arc::clone(self.state.config_options()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        let expr = simplifier.coerce(expr, &schema)?;
        match simplifier.simplify(expr)? {
            PlanExpr::Literal(value, _) => Ok(Some(value)),
            _ => Ok(None),
        }
    }
}

/// The name and the number of a parameter `$1`, `$2`, ...
fn placeholder(expr: &Expr) -> Option<(String, usize)> {
    let Expr::Value(value) = expr else { return None };
    let Value::Placeholder(id) = &value.value else { return None };
    Some((id.clone(), id.get(1..)?.parse().ok()?))
}

/// Returns true for an expression with a column or a subquery.
fn reads_rows(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |part| match part {
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Subquery(_)
        | Expr::Exists { .. }
        | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// How a call with this parameter is written.
fn form(report: &str, parameter: &CallParameter) -> String {
    format!("reports.{report}({} => {})", parameter.name, parameter.param_type.sql_example())
}

/// The value as one of the parameter's type; `None` if it has another one.
fn fitted(param_type: ParamType, value: &ScalarValue) -> Option<ScalarValue> {
    let wanted = param_type.data_type();
    let value = match value {
        ScalarValue::Dictionary(_, inner) => inner.as_ref(),
        other => other,
    };
    let got = value.data_type();
    if let (DataType::List(wanted), Some(items)) = (&wanted, list_items(value)) {
        let base = ParamType { is_list: false, ..param_type };
        let fit = |item: ScalarValue| if item.is_null() { None } else { fitted(base, &item) };
        let items: Option<Vec<ScalarValue>> = items.into_iter().map(fit).collect();
        return Some(ScalarValue::List(ScalarValue::new_list(&items?, wanted.data_type(), true)));
    }
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_fit = match &wanted {
        DataType::Utf8 => is_text(&got),
        DataType::Int64 => got.is_integer(),
        DataType::Float64 => got.is_numeric(),
        DataType::Boolean => got == DataType::Boolean,
        DataType::Date32 => matches!(got, DataType::Date32 | DataType::Date64),
        DataType::Timestamp(..) => matches!(got, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)),
        DataType::Interval(_) => matches!(got, DataType::Interval(_) | DataType::Duration(_)),
        _ => false,
    };
    if is_fit {
        return value.cast_to(&wanted).ok().filter(|value| !value.is_null());
    }
    // as on the command line, a value may be written as text
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text))
            if !param_type.is_list =>
        {
            param_type.base.value(text).ok()
        }
        _ => None,
    }
}

fn list_items(value: &ScalarValue) -> Option<Vec<ScalarValue>> {
    let items = match value {
        ScalarValue::List(list) => list.value(0),
        ScalarValue::LargeList(list) => list.value(0),
        ScalarValue::FixedSizeList(list) => list.value(0),
        _ => return None,
    };
    (0..items.len()).map(|row| ScalarValue::try_from_array(&items, row).ok()).collect()
}

/// The value as text in quotes, as [`decoded`] reads it.
fn encoded(value: &ScalarValue) -> Option<String> {
    if let Some(items) = list_items(value) {
        let items: Option<Vec<String>> = items.iter().map(encoded).collect();
        return Some(format!("[{}]", items?.join(", ")));
    }
    let text = match value {
        ScalarValue::Utf8(Some(text)) => text.clone(),
        ScalarValue::Float64(Some(number)) => format!("{number:?}"),
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            let nanos = interval.nanoseconds.unsigned_abs();
            let sign = if interval.nanoseconds < 0 { "-" } else { "" };
            let seconds = format!("{sign}{}.{:09} seconds", nanos / 1_000_000_000, nanos % 1_000_000_000);
            format!("{} months {} days {seconds}", interval.months, interval.days)
        }
        other => match other.cast_to(&DataType::Utf8).ok()? {
            ScalarValue::Utf8(Some(text)) => text,
            _ => return None,
        },
    };
    Some(format!("'{}'", text.replace('\'', "''")))
}

/// The arguments in the name of a table that stands for a call: the text of each, `None` for NULL.
///
/// # Errors
/// A name that no call has.
pub(crate) fn decoded(table: &str, parameters: &[CallParameter]) -> Result<BTreeMap<String, ScalarValue>> {
    let wrong = || Error::usage(format!("`{table}` is no call of a report"));
    let start = table.find('(').ok_or_else(wrong)?;
    // somebody may have written the name
    let tokens = sqlfile::tokenize(&Arc::new(Source::query(&format!("f{}", &table[start..]))))?;
    let parsed = sqlfile::parse_short_expr(tokens).ok_or_else(wrong)?;
    let Expr::Function(ast::Function { args: ast::FunctionArguments::List(list), .. }) = parsed else {
        return Err(wrong());
    };
    let mut values = BTreeMap::new();
    for arg in list.args {
        let FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } = arg else { return Err(wrong()) };
        let parameter = parameters.iter().find(|parameter| parameter.name == name.value).ok_or_else(wrong)?;
        values.insert(name.value, decoded_value(parameter.param_type, &value).ok_or_else(wrong)?);
    }
    Ok(values)
}

fn decoded_value(param_type: ParamType, value: &Expr) -> Option<ScalarValue> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Null => ScalarValue::try_from(&param_type.data_type()).ok(),
            Value::SingleQuotedString(text) if !param_type.is_list => param_type.base.value(text).ok(),
            _ => None,
        },
        Expr::Array(array) if param_type.is_list => {
            let base = ParamType { is_list: false, ..param_type };
            let items: Option<Vec<ScalarValue>> = array.elem.iter().map(|item| decoded_value(base, item)).collect();
            Some(ScalarValue::List(ScalarValue::new_list(&items?, &base.data_type(), true)))
        }
        _ => None,
    }
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn ident_spot(ident: &Ident) -> Option<Spot> {
    let span = ident.span;
    Spot::of_span(span.start.line, span.start.column, span.end.line, span.end.column)
}

fn name_spot(name: &ObjectName) -> Option<Spot> {
    name.0.last().and_then(ObjectNamePart::as_ident).and_then(ident_spot)
}

fn argument_spot(arg: &FunctionArg) -> Option<Spot> {
    use datafusion::sql::sqlparser::ast::Spanned;
    let span = arg.span();
    Spot::of_span(span.start.line, span.start.column, span.end.line, span.end.column)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    #[test]
    fn values_survive_the_name_of_a_table() {
        let list = |items: &[ScalarValue]| ScalarValue::List(ScalarValue::new_list(items, &DataType::Utf8, true));
        let interval = IntervalMonthDayNano { months: -14, days: 3, nanoseconds: -1_500_000_001 };
        for (name, value) in [
            ("text", ScalarValue::from("it's (a, \"b\") => 'c'")),
            ("text", ScalarValue::from("null")),
            ("text", ScalarValue::from("")),
            ("integer", ScalarValue::from(i64::MIN)),
            ("float", ScalarValue::from(0.1 + 0.2)),
            ("float", ScalarValue::from(-1e300)),
            ("boolean", ScalarValue::from(true)),
            ("date", ScalarValue::Date32(Some(-1))),
            ("timestamp", ScalarValue::TimestampMicrosecond(Some(1_738_310_400_123_456), Some("UTC".into()))),
            ("interval", ScalarValue::IntervalMonthDayNano(Some(interval))),
            ("interval", ScalarValue::IntervalMonthDayNano(None)),
            ("list(text)", list(&["a".into(), "b, 'c'".into()])),
            ("list(text)", list(&[])),
        ] {
            let param_type = ParamType::parse(name).unwrap();
            let parameters = [CallParameter { name: "p".into(), param_type, domain: None, is_needed: true }];
            let text = if value.is_null() { "null".to_string() } else { encoded(&value).unwrap() };
            let values = decoded(&format!("r(p => {text})"), &parameters).unwrap();
            assert_eq!(values["p"], value, "{text}");
        }
    }
}

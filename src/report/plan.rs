//! Binds a report's parameters and plans its sections.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

#[cfg(test)]
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::{LogicalPlan, Statement as PlanStatement};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Statement, Value, visit_expressions};

use super::condition::Check;
use super::{BoundValues, Condition, Param, Report, Section, param};
use crate::error::{Error, Result};
use crate::session::{Session, View};
use crate::source::{Source, Spot};
use crate::sqlfile;
#[cfg(test)]
use crate::types::ParamType;
use crate::types::{Domain, sql_type};

/// The plan of a section or view, with its checks.
#[derive(Debug)]
pub(crate) struct CheckedPlan {
    /// The logical plan with all parameters bound.
    pub plan: LogicalPlan,
    /// Its checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// Binds the parameters: the given values by name, and defaults for the rest.
    ///
    /// # Errors
    /// An undeclared name, a value that does not have the type, a required parameter without a value.
    pub(crate) fn bind(&self, given: &BTreeMap<String, String>) -> Result<BoundValues> {
        param::bind(&self.name, &self.params, given)
    }

    /// The defaults, and NULL for parameters without one: enough to plan every section without executing it.
    ///
    /// # Errors
    /// A type without NULL, which no parameter type is.
    pub(crate) fn sample_values(&self) -> Result<BoundValues> {
        let value = |param: &Param| match &param.default {
            Some((_, value)) => Ok(value.clone()),
            None => ScalarValue::try_from(&param.param_type.data_type())
                .map_err(|error| Error::Engine { message: error.to_string() }),
        };
        self.params.iter().map(value).collect()
    }
}

/// Plans a section with bound values and validates its chart, checks and alerts against the result's columns.
///
/// # Errors
/// The fault with its position in the file.
pub(crate) async fn plan_section(
    session: &Session,
    report: &Report,
    section: &Section,
    values: &BoundValues,
) -> Result<CheckedPlan> {
    let source = &report.source;
    let plan = plan_statement(session, report, &section.statement, values).await?;
    if let Some(chart) = &section.chart {
        chart.validate(source, plan.schema())?;
    }
    let mut checks = Vec::with_capacity(section.checks.len());
    for condition in &section.checks {
        checks.push(condition.check(session, source, values, &plan).await?);
    }
    for alert in &section.alerts {
        alert.plan(session, source, values, &plan).await?;
    }
    Ok(CheckedPlan { plan, checks })
}

/// Plans the statements of notes of a report with bound values.
///
/// # Errors
/// The fault with its position in the file.
pub(crate) async fn plan_notes(session: &Session, report: &Report, values: &BoundValues) -> Result<Vec<LogicalPlan>> {
    let mut plans = Vec::with_capacity(report.notes.len());
    for notes in &report.notes {
        // what they read is not read by the report's figures
        let reader = format!("notes of {}", report.name);
        let plan = Box::pin(plan_statement(session, report, &notes.statement, values));
        plans.push(session.planning(&reader, &report.source, plan).await?);
    }
    plans.extend(plan_value_notes(session, report, values).await?);
    Ok(plans)
}

/// Plans the notes about the values of parameters: that no row has a label that one names, and that one is NULL whose
/// default is not.
///
/// # Errors
/// As [`plan_notes`].
async fn plan_value_notes(session: &Session, report: &Report, values: &BoundValues) -> Result<Vec<LogicalPlan>> {
    let mut plans = Vec::new();
    for (index, (param, value)) in report.params.iter().zip(values).enumerate() {
        if value.is_null() {
            if let Some((default, usual)) = &param.default
                && !usual.is_null()
                && !asks_for_null(report, index)
            {
                let source = Arc::new(Source::query(&null_value(&param.name, default)));
                let statement = sqlfile::parse(&source)?.swap_remove(0).statement;
                plans.push(Box::pin(plan_statement(session, report, &statement, values)).await?);
            }
            continue;
        }
        let ScalarValue::Utf8(Some(pattern)) = value else { continue };
        let Some(Domain::Labels { table, column }) = &param.domain else { continue };
        // a pattern that every label meets
        if !pattern.is_empty() && pattern.chars().all(|c| c == '%') {
            continue;
        }
        let reader = format!("values of {}", param.name);
        let source = Arc::new(Source::query(&unknown_label(table, column, index + 1)));
        let statement = sqlfile::parse(&source)?.swap_remove(0).statement;
        let plan = Box::pin(plan_statement(session, report, &statement, values));
        let plan = session.planning(&reader, &report.source, plan).await.map_err(|error| {
            let title = format!("the parameter `{}` names {table}.{column}, which cannot be read", param.name);
            let error = error.to_string();
            Error::at(&report.source, Some(param.spot), title).help(error.lines().next().unwrap_or_default())
        })?;
        plans.push(plan);
    }
    Ok(plans)
}

/// The note that a parameter is NULL.
fn null_value(name: &str, default: &str) -> String {
    let note = format!(
        "the parameter {name} is NULL: no row is equal to it, like it, before or after it, and what is computed from it is \
         NULL; leave it out for its default, {default}"
    );
    format!("select '{}'", note.replace('\'', "''"))
}

/// Whether a report asks if a parameter is NULL, as in `$region is null` and `coalesce($until, now())`.
fn asks_for_null(report: &Report, index: usize) -> bool {
    let name = format!("${}", index + 1);
    let is_parameter = |expr: &Expr| {
        let found = visit_expressions(expr, |part| match part {
            Expr::Value(value) if matches!(&value.value, Value::Placeholder(id) if *id == name) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        found.is_break()
    };
    let asks = |expr: &Expr| match expr {
        Expr::IsNull(value) | Expr::IsNotNull(value) => is_parameter(value),
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => is_parameter(expr),
        Expr::Function(call) => {
            let function = call.name.to_string().to_lowercase();
            matches!(function.as_str(), "coalesce" | "ifnull" | "nvl" | "nvl2") && is_parameter(expr)
        }
        _ => false,
    };
    report.sections.iter().any(|section| {
        let found = visit_expressions(&section.statement, |expr| {
            if asks(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found.is_break()
    })
}

/// The note that no value of a column meets the pattern `$number`, with the nearest values.
fn unknown_label(table: &str, column: &str, number: usize) -> String {
    format!(
        "with labels as (select distinct cast({column} as text) as label from {table} where {column} is not null), \
         nearest as (select label from labels order by levenshtein(lower(label), lower(${number})), label limit 3) \
         select 'no row of {table} has a {column} like ''' || ${number} || ''', so the figures are of none; did you mean ' \
         || (select string_agg('''' || label || '''', ', ' order by levenshtein(lower(label), lower(${number})), label) \
         from nearest) || '?' where not exists (select 1 from labels where label like ${number})"
    )
}

/// Plans a view with the checks of its header.
///
/// # Errors
/// The fault with its position in the file.
pub(crate) async fn plan_view(session: &Session, view: &View) -> Result<CheckedPlan> {
    let parsed = view.parse()?;
    let checks = parsed.header.iter().filter(|line| line.key == "check");
    let checks: Vec<Condition> =
        checks.map(|line| Condition::parse(&view.source, line, &[], &mut [])).collect::<Result<_>>()?;
    let text = format!("select * from \"{}\"", view.name);
    let statement = sqlfile::parse(&Arc::new(Source::query(&text)))?.swap_remove(0).statement;
    let plan = session.plan(&view.source, DataFusionStatement::Statement(Box::new(statement))).await?;
    let mut planned = CheckedPlan { plan, checks: Vec::with_capacity(checks.len()) };
    for condition in &checks {
        planned.checks.push(condition.check(session, &view.source, &BoundValues::new(), &planned.plan).await?);
    }
    Ok(planned)
}

/// Plans the statement with typed parameters and binds their values: a value never becomes part of the SQL.
pub(super) async fn plan_statement(
    session: &Session,
    report: &Report,
    statement: &Statement,
    values: &BoundValues,
) -> Result<LogicalPlan> {
    let source = &report.source;
    if report.params.is_empty() {
        let statement = DataFusionStatement::Statement(Box::new(statement.clone()));
        return read_only(report, session.plan(source, statement).await?);
    }
    let plan = session.plan_with(source, prepared(report, statement)?, values).await?;
    let LogicalPlan::Statement(PlanStatement::Prepare(prepared)) = plan else {
        return Err(Error::Engine { message: "a prepared statement has no plan".into() });
    };
    let plan = Arc::unwrap_or_clone(prepared.input);
    match plan.with_param_values(ParamValues::from(values.clone())) {
        Ok(plan) => read_only(report, plan),
        Err(error) => Err(session.error(error, source).await),
    }
}

/// A statement with the types of the report's parameters: PREPARE gives each its type while it is planned.
fn prepared(report: &Report, statement: &Statement) -> Result<DataFusionStatement> {
    let data_types = report.params.iter().map(|param: &Param| sql_type(&param.param_type.data_type()));
    Ok(DataFusionStatement::Statement(Box::new(Statement::Prepare {
        name: Ident::new("report"),
        data_types: data_types.collect::<Result<_, _>>().map_err(|message| Error::Engine { message })?,
        statement: Box::new(statement.clone()),
    })))
}

/// The positions of divisions of two integers in a report, which drop the fraction.
///
/// # Errors
/// A type that no parameter has.
pub(crate) async fn integer_divisions(session: &Session, report: &Report) -> Result<Vec<Spot>> {
    let mut spots = Vec::new();
    for section in &report.sections {
        spots.extend(session.integer_divisions(&report.source, prepared(report, &section.statement)?).await);
    }
    Ok(spots)
}

fn read_only(report: &Report, plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
            Err(Error::at(&report.source, None, "a report only reads: SELECT INTO and the like are refused here"))
        }
        plan => Ok(plan),
    }
}

/// The type that the planner gives a parameter, to test that it agrees with that of its values.
#[cfg(test)]
async fn planned_type(session: &Session, param_type: ParamType) -> DataType {
    let source = Arc::new(crate::source::Source::query("select $1"));
    let statements = crate::sqlfile::parse(&source).unwrap();
    let prepare = Statement::Prepare {
        name: Ident::new("p"),
        data_types: vec![sql_type(&param_type.data_type()).unwrap()],
        statement: Box::new(statements[0].statement.clone()),
    };
    let plan = session.plan(&source, DataFusionStatement::Statement(Box::new(prepare))).await.unwrap();
    let LogicalPlan::Statement(PlanStatement::Prepare(prepared)) = plan else { panic!("{plan}") };
    prepared.fields[0].data_type().clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_planner_sees_the_type_that_values_have() {
        let session = Session::open(Default::default()).await.unwrap();
        for name in ["text", "integer", "float", "boolean", "date", "timestamp", "interval", "list(text)", "list(date)"]
        {
            let param_type = ParamType::parse(name).unwrap();
            let planned = planned_type(&session, param_type).await;
            let agree = match (&planned, &param_type.data_type()) {
                (DataType::List(a), DataType::List(b)) => a.data_type() == b.data_type(),
                (a, b) => a == b,
            };
            assert!(agree, "{name}: {planned} and {}", param_type.data_type());
        }
    }
}

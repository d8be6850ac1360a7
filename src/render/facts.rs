//! [`PageFacts`]: what a page shows beside its rows: parameters, freshness of the data, definitions of the functions
//! used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use cxql_chart::Language;
use cxql_udfs::docs;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource, ident, lit};
use futures::TryStreamExt;

use crate::error::Result;
use crate::output::durations;
use crate::report::{BoundValues, Report};
use crate::session::{Session, model};
use crate::source::Source;

/// What a page or mail shows beside its rows.
#[derive(Debug, Clone)]
pub(crate) struct PageFacts {
    /// The heading.
    pub title: String,
    /// What the report shows.
    pub description: Option<String>,
    /// The report's name.
    pub report: Option<String>,
    /// Its grain: what one row stands for.
    pub grain: Option<String>,
    /// The language of labels.
    pub language: Language,
    /// Name, value and note of each parameter.
    pub parameters: Vec<(String, String, Option<String>)>,
    /// Time of generation, RFC 3339 in UTC.
    pub generated_at: String,
    /// The freshness of each table.
    pub freshness: Vec<Freshness>,
    /// The documentation of the functions that are used.
    pub functions: Vec<docs::Page>,
    /// The SQL.
    pub sql: Option<String>,
}

/// The newest row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// The table's name.
    pub table: String,
    /// The time column; `None` if the table has none.
    pub column: Option<String>,
    /// The newest timestamp that is not in the future, RFC 3339 in UTC; `None` without rows.
    pub newest: Option<String>,
}

impl PageFacts {
    /// Gathers the facts of a report whose sections are planned.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn of_report(
        session: &Session,
        report: &Report,
        values: &BoundValues,
        plans: &[&LogicalPlan],
    ) -> Result<Self> {
        let words = format!("{}{}", report.title, report.description.as_deref().unwrap_or_default());
        let parameters = report.params.iter().zip(values);
        let parameters = parameters.map(|(param, value)| (param.name.clone(), value_text(value), param.note.clone()));
        Ok(Self {
            title: report.title.clone(),
            description: report.description.clone(),
            report: Some(report.name.clone()),
            grain: report.grain.clone(),
            language: Language::of(&words),
            parameters: parameters.collect(),
            ..Self::of_plans(session, &report.source, plans).await?
        })
    }

    /// Gathers the facts of statements without a report.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) async fn of_plans(session: &Session, source: &Arc<Source>, plans: &[&LogicalPlan]) -> Result<Self> {
        let now = now();
        Ok(Self {
            title: "Query".into(),
            description: None,
            report: None,
            grain: None,
            language: Language::of(&source.text),
            parameters: vec![],
            generated_at: now.to_rfc3339_opts(SecondsFormat::Secs, true),
            freshness: freshness(session, source, plans, now).await?,
            functions: functions(plans),
            sql: Some(source.text.trim().to_string()),
        })
    }
}

/// The current time, or that of `SOURCE_DATE_EPOCH` (seconds since 1970), the convention of reproducible builds.
fn now() -> DateTime<Utc> {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
    fixed.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_else(Utc::now)
}

/// Formats a parameter's value for a reader.
pub(crate) fn value_text(value: &ScalarValue) -> String {
    match value {
        ScalarValue::TimestampMicrosecond(Some(_), _)
        | ScalarValue::TimestampNanosecond(Some(_), _)
        | ScalarValue::TimestampMillisecond(Some(_), _)
        | ScalarValue::TimestampSecond(Some(_), _) => {
            match value.to_array().ok().and_then(|array| first_timestamp(&array)) {
                Some(at) => at.to_rfc3339_opts(SecondsFormat::Secs, true).replace("T00:00:00Z", ""),
                None => value.to_string(),
            }
        }
        other => {
            let text = other.to_array().ok().and_then(|array| {
                let options = FormatOptions::new().with_null("NULL");
                Some(durations::formatter(array.as_ref(), &options).ok()?.value(0).to_string())
            });
            text.unwrap_or_else(|| other.to_string())
        }
    }
}

/// The first value of an array of timestamps or dates.
fn first_timestamp(array: &dyn Array) -> Option<DateTime<Utc>> {
    let zone = match array.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, zone)).ok()?;
    let micros = micros.as_primitive_opt::<TimestampMicrosecondType>()?;
    DateTime::from_timestamp_micros(micros.iter().next()??)
}

/// The documentation of cxql's functions that the plans call, also within views, in the order of the catalogue.
fn functions(plans: &[&LogicalPlan]) -> Vec<docs::Page> {
    let mut called: BTreeSet<String> = BTreeSet::new();
    let mut look = |expr: &Expr| {
        let name = match expr {
            Expr::ScalarFunction(call) => Some(call.func.name()),
            Expr::AggregateFunction(call) => Some(call.func.name()),
            Expr::WindowFunction(call) => Some(call.fun.name()),
            _ => None,
        };
        called.extend(name.map(str::to_lowercase));
        Ok(TreeNodeRecursion::Continue)
    };
    for plan in plans {
        // ignore a plan that cannot be traversed
        let _ = plan.apply_with_subqueries(|node| node.apply_expressions(|expr| expr.apply(&mut look)));
    }
    docs::pages().into_iter().filter(|page| called.contains(&page.name)).collect()
}

/// The freshness of each table that the plans scan.
async fn freshness(
    session: &Session,
    source: &Arc<Source>,
    plans: &[&LogicalPlan],
    now: DateTime<Utc>,
) -> Result<Vec<Freshness>> {
    let mut tables: BTreeMap<String, Arc<dyn TableSource>> = BTreeMap::new();
    for plan in plans {
        let _ = plan.apply_with_subqueries(|node| {
            // skip table functions such as range()
            if let LogicalPlan::TableScan(scan) = node
                && !scan.table_name.table().ends_with(')')
            {
                tables.entry(scan.table_name.table().to_string()).or_insert_with(|| Arc::clone(&scan.source));
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    let mut found = Vec::with_capacity(tables.len());
    for (table, provider) in tables {
        let column = time_column(&table, &provider.schema());
        let newest = match &column {
            Some(column) => newest(session, source, &table, provider, column, now).await?,
            None => None,
        };
        found.push(Freshness { table, column, newest: newest.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)) });
    }
    Ok(found)
}

/// The time column of a table: that of the model, else the first timestamp column, else the first date column.
fn time_column(table: &str, schema: &Schema) -> Option<String> {
    let of_model = match table {
        "interactions" | "agent_states" => "started_at",
        "surveys" => "responded_at",
        "customers" => "signed_up_at",
        "orders" => "ordered_at",
        "events" => "occurred_at",
        "agents" => "hired_at",
        _ => "",
    };
    let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(..));
    let is_day = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Date64);
    if model::schema(table).is_some()
        && schema.field_with_name(of_model).is_ok_and(|field| is_time(field.data_type()) || is_day(field.data_type()))
    {
        return Some(of_model.to_string());
    }
    let first = |meets: &dyn Fn(&DataType) -> bool| schema.fields().iter().find(|field| meets(field.data_type()));
    first(&is_time).or_else(|| first(&is_day)).map(|field| field.name().clone())
}

/// The newest timestamp of a column that is not in the future: rows of a wrong clock say nothing about freshness.
async fn newest(
    session: &Session,
    source: &Arc<Source>,
    table: &str,
    provider: Arc<dyn TableSource>,
    column: &str,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let newest = latest(session, source, table, Arc::clone(&provider), column, None).await?;
    match newest {
        Some(at) if at > now => latest(session, source, table, provider, column, Some(now)).await,
        newest => Ok(newest),
    }
}

async fn latest(
    session: &Session,
    source: &Arc<Source>,
    table: &str,
    provider: Arc<dyn TableSource>,
    column: &str,
    until: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>> {
    let build = || {
        let mut builder = LogicalPlanBuilder::scan(table, provider, None)?;
        if let Some(until) = until {
            let limit = lit(ScalarValue::TimestampMicrosecond(Some(until.timestamp_micros()), Some("UTC".into())));
            builder = builder.filter(ident(column).lt_eq(limit))?;
        }
        builder.aggregate(Vec::<Expr>::new(), vec![max(ident(column))])?.build()
    };
    let plan = match build() {
        Ok(plan) => plan,
        Err(error) => return Err(session.error(error, source).await),
    };
    let execution = session.execute(source, &plan).await?;
    match execution.stream.try_collect::<Vec<_>>().await {
        Ok(batches) => {
            Ok(batches.first().filter(|batch| batch.num_rows() > 0).and_then(|batch| first_timestamp(batch.column(0))))
        }
        Err(error) => Err(session.execution_error(error, source, &execution.plan).await),
    }
}

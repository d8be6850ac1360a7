//! `-- alert: CONDITION [per COLUMN, ...] [severity warn|error] [for N good runs]`: a condition of which recipients are
//! notified.
//!
//! The condition describes the bad case. With aggregates it is evaluated over the whole result, or with `per` over each
//! group; without aggregates it is evaluated for each row, and the row's labels (or the columns after `per`) name the
//! bad group. A group is notified once, until it has been good for the given number of runs (default one).

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::util::display::FormatOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ident, is_true, lit};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use futures::TryStreamExt;

use super::alert_group::{Group, group_name};
use super::condition::Condition;
use super::param::{BoundValues, Param};
use crate::error::{Error, Result};
use crate::output::durations;
use crate::session::Session;
use crate::source::{Source, nearest};
use crate::sqlfile::{self, HeaderLine};

/// Bad groups that a notification lists; more are only counted.
const MOST_GROUPS: usize = 1_000;

const FORM: &str = "write `-- alert: CONDITION [per COLUMN, ...] [severity warn|error] [for N good runs]`";

/// Severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Severity {
    /// Should be looked at.
    #[default]
    Warn,
    /// Needs action.
    Error,
}

impl Severity {
    /// The keyword in the report file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A parsed `alert:` line.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    /// The condition as written, without the clauses after it.
    pub text: String,
    /// Its severity.
    pub severity: Severity,
    /// The columns after `per`, whose values name a group.
    pub per: Vec<String>,
    /// Consecutive good runs after which a group is notified again.
    pub good_runs: u32,
    condition: Condition,
}

/// A group that meets an alert's condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    /// The group's columns and values; empty if the condition is over the whole result.
    pub group: Group,
    /// The values that the condition uses, as `column=value, ...`.
    pub figures: String,
}

impl Bad {
    /// The group as `queue=billing, team=a`.
    pub(crate) fn name(&self) -> String {
        group_name(&self.group)
    }
}

/// The plan of an alert: one row per bad group, whose first columns are the group.
#[derive(Debug)]
pub(super) struct AlertPlan {
    plan: LogicalPlan,
    /// One row: how many rows or groups the condition was evaluated for, and for how many of them it is not NULL.
    known: LogicalPlan,
    group_count: usize,
}

/// The outcome of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlertOutcome {
    /// The groups that meet the condition, ordered by name; of very many only the first.
    pub bad: Vec<Bad>,
    /// Why it is unknown whether the condition is met; `None` if it is known.
    pub unknown: Option<&'static str>,
}

/// An alert over no rows.
const NO_ROWS: &str = "the result has no rows";
/// An alert whose condition is NULL everywhere.
const NO_VALUES: &str = "there is no value to compare, the condition is NULL";

impl Alert {
    pub(super) fn parse(source: &Arc<Source>, line: &HeaderLine, params: &[Param], used: &mut [bool]) -> Result<Self> {
        let (condition, rest) = Condition::parse_start(source, line, params, used)?;
        let mut alert =
            Self { text: line.value.clone(), severity: Severity::Warn, per: vec![], good_runs: 1, condition };
        if let Some(first) = rest.first() {
            let start = sqlfile::token_spot(first).column.saturating_sub(line.value_spot.column);
            alert.text = line.value.chars().take(start).collect::<String>().trim_end().to_string();
        }
        alert.condition.text.clone_from(&alert.text);
        let mut tokens = rest.iter().peekable();
        let mut seen: Vec<&str> = vec![];
        while let Some(token) = tokens.next() {
            let word = word(token);
            let known = ["per", "severity", "for"].into_iter().find(|known| *known == word);
            let Some(clause) = known else {
                let text = format!("unexpected `{}` after the condition", token.token);
                return Err(Error::at(source, Some(sqlfile::token_spot(token)), text).help(FORM));
            };
            if seen.contains(&clause) {
                let spot = Some(sqlfile::token_spot(token));
                return Err(Error::at(source, spot, format!("`{clause}` stands twice")).help(FORM));
            }
            seen.push(clause);
            let wanted = |what: &str, got: Option<&TokenWithSpan>| {
                let spot = Some(sqlfile::token_spot(got.unwrap_or(token)));
                let got = got.map_or_else(|| "nothing".to_string(), |got| format!("`{}`", got.token));
                Error::at(source, spot, format!("after `{clause}` {what} is wanted, got {got}")).help(FORM)
            };
            match clause {
                "per" => loop {
                    match tokens.next() {
                        Some(TokenWithSpan { token: Token::Word(word), .. }) => {
                            let quoted = word.quote_style.is_some();
                            alert.per.push(if quoted { word.value.clone() } else { word.value.to_lowercase() });
                        }
                        other => return Err(wanted("a column", other)),
                    }
                    if tokens.next_if(|token| token.token == Token::Comma).is_none() {
                        break;
                    }
                },
                "severity" => match tokens.next() {
                    Some(token) if self::word(token) == "warn" => alert.severity = Severity::Warn,
                    Some(token) if self::word(token) == "error" => alert.severity = Severity::Error,
                    other => return Err(wanted("`warn` or `error`", other)),
                },
                _ => {
                    let number = tokens.next();
                    alert.good_runs = match number.map(|token| &token.token) {
                        Some(Token::Number(text, _)) => text.parse().ok().filter(|count| (1..=1000).contains(count)),
                        _ => None,
                    }
                    .ok_or_else(|| wanted("a whole number from 1 to 1000", number))?;
                    for expected in [&["good"][..], &["runs", "run"]] {
                        let next = tokens.next();
                        if !next.is_some_and(|token| expected.contains(&self::word(token).as_str())) {
                            return Err(wanted("`N good runs`", next));
                        }
                    }
                }
            }
        }
        Ok(alert)
    }

    /// Plans the alert over the rows of `plan`.
    ///
    /// # Errors
    /// A condition that cannot be planned or is not boolean, a column after `per` that the result lacks.
    pub(super) async fn plan(
        &self,
        session: &Session,
        source: &Arc<Source>,
        values: &BoundValues,
        plan: &LogicalPlan,
    ) -> Result<AlertPlan> {
        let expr = self.condition.plan(session, source, values, plan).await?;
        let schema = plan.schema();
        let mut groups = Vec::with_capacity(self.per.len());
        for name in &self.per {
            groups.push(self.column(source, schema, name)?);
        }
        let aggregates = find_aggregate_exprs([&expr]);
        let built = if aggregates.is_empty() {
            self.boolean(source, expr.get_type(schema).ok())?;
            if self.per.is_empty() {
                // the labels of a row name its group
                let labels = schema.iter().filter(|(_, field)| !is_figure(field.data_type()));
                groups.extend(labels.map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field)))));
            }
            self.rows(plan, expr, &groups)
        } else {
            let calls = self.condition.plan_calls(session, source, values, plan).await?;
            self.aggregated(source, plan, expr, aggregates, &groups, &calls)?
        };
        match built {
            Ok((plan, known)) => Ok(AlertPlan { plan, known, group_count: groups.len() }),
            Err(error) => Err(session.error(error, source).await),
        }
    }

    /// Rows that meet the condition, and the count of rows.
    fn rows(
        &self,
        plan: &LogicalPlan,
        expr: Expr,
        groups: &[Expr],
    ) -> datafusion::error::Result<(LogicalPlan, LogicalPlan)> {
        let figures: Vec<Expr> = expr
            .column_refs()
            .into_iter()
            .map(|column| Expr::Column(column.clone()))
            .filter(|column| !groups.contains(column))
            .collect();
        let columns = groups.iter().cloned().chain(sorted(figures));
        let known = known(plan, expr.clone())?;
        Ok((LogicalPlanBuilder::from(plan.clone()).filter(is_true(expr))?.project(columns)?.build()?, known))
    }

    /// Groups that meet a condition with aggregates. `calls` are the function calls of the condition with their texts, by
    /// which the aggregates are named.
    fn aggregated(
        &self,
        source: &Arc<Source>,
        plan: &LogicalPlan,
        expr: Expr,
        aggregates: Vec<Expr>,
        groups: &[Expr],
        calls: &[(Expr, &str)],
    ) -> Result<datafusion::error::Result<(LogicalPlan, LogicalPlan)>> {
        let aggregated = match LogicalPlanBuilder::from(plan.clone())
            .aggregate(groups.to_vec(), aggregates.clone())
            .and_then(LogicalPlanBuilder::build)
        {
            Ok(aggregated) => aggregated,
            Err(error) => return Ok(Err(error)),
        };
        let rebased = expr.transform_down(|part| {
            Ok(if aggregates.contains(&part) {
                Transformed::yes(Expr::Column(Column::from_name(part.schema_name().to_string())))
            } else {
                Transformed::no(part)
            })
        });
        let rebased = match rebased {
            Ok(rebased) => rebased.data,
            Err(error) => return Ok(Err(error)),
        };
        let lacks = rebased.column_refs().into_iter().find(|column| !aggregated.schema().has_column(column)).cloned();
        if let Some(column) = lacks {
            let title = format!("`{}` has many values where the condition has aggregates", column.name);
            return Err(Error::at(source, Some(self.condition.spot), title)
                .help(format!("put it into an aggregate, or add `per {}`", column.name)));
        }
        self.boolean(source, rebased.get_type(aggregated.schema()).ok())?;
        let figures = aggregates.iter().map(|part| {
            let figure = Expr::Column(Column::from_name(part.schema_name().to_string()));
            match calls.iter().find(|(call, _)| call.clone().unalias() == *part) {
                Some((_, text)) => figure.alias(*text),
                None => figure,
            }
        });
        let columns: Vec<Expr> = groups.iter().cloned().chain(figures).collect();
        let known = known(&aggregated, rebased.clone());
        let bad = LogicalPlanBuilder::from(aggregated)
            .filter(is_true(rebased))
            .and_then(|builder| builder.project(columns))
            .and_then(LogicalPlanBuilder::build);
        Ok(bad.and_then(|bad| Ok((bad, known?))))
    }

    fn boolean(&self, source: &Arc<Source>, data_type: Option<DataType>) -> Result<()> {
        match data_type {
            Some(data_type) => self.condition.boolean(source, &data_type),
            // DataFusion reports an expression without a type, with the reason
            None => Ok(()),
        }
    }

    fn column(&self, source: &Arc<Source>, schema: &DFSchema, name: &str) -> Result<Expr> {
        if let Some((qualifier, field)) = schema.iter().find(|(_, field)| field.name() == name) {
            return Ok(Expr::Column(Column::from((qualifier, field))));
        }
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let error = Error::at(source, Some(self.condition.spot), format!("the result has no column `{name}`"));
        Err(match nearest(name, names.iter().copied()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!("it has {}", names.join(", "))),
        })
    }

    /// Evaluates the condition over the rows of `plan`.
    ///
    /// # Errors
    /// Any error of planning or executing a statement.
    pub(crate) async fn evaluate(
        &self,
        session: &Session,
        source: &Arc<Source>,
        values: &BoundValues,
        plan: &LogicalPlan,
    ) -> Result<AlertOutcome> {
        let planned = self.plan(session, source, values, plan).await?;
        let batches = collect(session, source, &planned.plan).await?;
        let mut bad: Vec<Bad> = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                let mut cells = cells(batch, row);
                let figures = cells.split_off(planned.group_count.min(cells.len()));
                let figure = |value: &Option<String>| value.as_deref().map_or("NULL".into(), short);
                let figures = figures.iter().map(|(name, value)| format!("{name}={}", figure(value)));
                let figures = figures.collect::<Vec<_>>();
                let found = Bad { group: cells, figures: figures.join(", ") };
                // rows with the same labels are one group
                if bad.len() < MOST_GROUPS && !bad.iter().any(|known| known.group == found.group) {
                    bad.push(found);
                }
            }
        }
        bad.sort_by(|a, b| a.group.cmp(&b.group));
        let mut unknown = None;
        if bad.is_empty() {
            let counts = collect(session, source, &planned.known).await?;
            let count = |column: usize| {
                let value = |batch: &RecordBatch| {
                    batch.column(column).as_primitive::<Int64Type>().iter().flatten().sum::<i64>()
                };
                counts.iter().map(value).sum::<i64>()
            };
            unknown = match (count(0), count(1)) {
                (0, _) => Some(NO_ROWS),
                (_, 0) => Some(NO_VALUES),
                _ => None,
            };
        }
        Ok(AlertOutcome { bad, unknown })
    }
}

/// The count of rows of `plan`, and of those for which the condition is not NULL.
fn known(plan: &LogicalPlan, condition: Expr) -> datafusion::error::Result<LogicalPlan> {
    let counts = [count(lit(1i64)).alias("row_count"), count(condition).alias("known_count")];
    let counts = LogicalPlanBuilder::from(plan.clone()).aggregate(Vec::<Expr>::new(), counts)?;
    let cast = |name: &str| datafusion::logical_expr::cast(ident(name), DataType::Int64).alias(name);
    counts.project([cast("row_count"), cast("known_count")])?.build()
}

async fn collect(session: &Session, source: &Arc<Source>, plan: &LogicalPlan) -> Result<Vec<RecordBatch>> {
    let execution = session.execute(source, plan).await?;
    match execution.stream.try_collect().await {
        Ok(batches) => Ok(batches),
        Err(error) => Err(session.execution_error(error, source, &execution.plan).await),
    }
}

/// Formats a number with the digits that a reader needs; other strings are unchanged.
fn short(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(number) if value.len() > 7 && value.contains('.') && number.is_finite() => {
            let is_small = number != 0.0 && number.abs() < 0.001;
            if is_small { format!("{number:.2e}") } else { format!("{number:.4}") }
        }
        _ => value.to_string(),
    }
}

fn sorted(mut columns: Vec<Expr>) -> Vec<Expr> {
    columns.sort_by_key(ToString::to_string);
    columns
}

/// Returns true if a column holds measures, not labels.
fn is_figure(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || data_type.is_nested()
        || matches!(data_type, DataType::Boolean | DataType::Null | DataType::Interval(_) | DataType::Duration(_))
}

fn word(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
        _ => String::new(),
    }
}

/// The values of a row with their column names.
fn cells(batch: &RecordBatch, row: usize) -> Group {
    let options = FormatOptions::default().with_display_error(true);
    let schema = batch.schema();
    let cell = |(field, column): (&Arc<datafusion::arrow::datatypes::Field>, &datafusion::arrow::array::ArrayRef)| {
        let text = durations::formatter(column.as_ref(), &options).map(|formatter| formatter.value(row).to_string());
        let is_null = column.logical_nulls().is_some_and(|nulls| nulls.is_null(row));
        (field.name().clone(), (!is_null).then(|| text.unwrap_or_else(|_| "?".into())))
    };
    schema.fields().iter().zip(batch.columns()).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::plan_report;
    use crate::report::Report;

    fn parse(line: &str) -> Result<Alert> {
        let text = format!("-- alert: {line}\nselect 1 as a");
        let source = Arc::new(Source { name: "r.sql".into(), ..Source::query(&text) });
        Report::parse("r", &source).map(|report| report.sections[0].alerts[0].clone())
    }

    async fn bad(line: &str) -> Result<Vec<String>> {
        let text = format!(
            "-- alert: {line}\nselect * from (values ('billing', 'a', 0.4, 10), ('billing', 'b', 0.9, 20), \
             ('delivery', 'a', 0.5, null)) as t (queue, team, fcr_ratio, n)"
        );
        let source = Arc::new(Source { name: "r.sql".into(), ..Source::query(&text) });
        let report = Report::parse("r", &source)?;
        let session = Session::open(Default::default()).await?;
        let steps = plan_report(&session, &report, &vec![], None).await?;
        let outcome = steps[0].alerts[0].evaluate(&session, &source, &vec![], &steps[0].plan).await?;
        Ok(outcome.bad.iter().map(|bad| format!("{}|{}", bad.name(), bad.figures)).collect())
    }

    #[test]
    fn clauses_follow_the_condition_in_any_order() {
        let alert = parse("fcr_ratio < 0.6 for 3 good runs per queue, \"Team\" severity error").unwrap();
        assert_eq!((alert.text.as_str(), alert.severity, alert.good_runs), ("fcr_ratio < 0.6", Severity::Error, 3));
        assert_eq!(alert.per, ["queue", "Team"]);
        let alert = parse("min(fcr_ratio) < 0.6").unwrap();
        assert_eq!((alert.text.as_str(), alert.severity, alert.good_runs), ("min(fcr_ratio) < 0.6", Severity::Warn, 1));
    }

    #[test]
    fn a_wrong_clause_is_told_at_its_place() {
        for (line, wanted) in [
            ("a > 1 pro queue", "r.sql:1:17"),
            ("a > 1 severity loud", "`warn` or `error` is wanted, got `loud`"),
            ("a > 1 for 0 good runs", "from 1 to 1000"),
            ("a > 1 for 2 bad runs", "`N good runs`"),
            ("a > 1 per", "a column is wanted, got nothing"),
            ("a > 1 per a per b", "`per` stands twice"),
        ] {
            let text = parse(line).unwrap_err().to_string();
            assert!(text.contains(wanted), "{line}: {text}");
        }
    }

    #[test]
    fn values_have_the_digits_that_a_reader_needs() {
        for (value, wanted) in [
            ("0.6743878226340172", "0.6744"),
            ("0.4", "0.4"),
            ("0.00000012345", "1.23e-7"),
            ("123456789", "123456789"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(short(value), wanted);
        }
    }

    #[tokio::test]
    async fn aggregates_look_at_the_whole_result_or_at_groups() {
        assert_eq!(bad("min(fcr_ratio) < 0.45").await.unwrap(), ["|min(fcr_ratio)=0.4"]);
        assert!(bad("min(fcr_ratio) < 0.4").await.unwrap().is_empty());
        // figures have the names that stand in the condition
        assert_eq!(
            bad("Round(sum(n + 6) filter (where team = 'a'), 1) > 1 and count( * ) > 0").await.unwrap(),
            ["|sum(n + 6) filter (where team = 'a')=16, count( * )=3"]
        );
        let groups = bad("avg(fcr_ratio) < 0.6 and count(*) > 0 per queue").await.unwrap();
        assert_eq!(groups, ["queue=delivery|avg(fcr_ratio)=0.5, count(*)=1"]);
    }

    #[tokio::test]
    async fn rows_are_groups_named_by_their_labels() {
        let rows = bad("fcr_ratio < 0.6").await.unwrap();
        assert_eq!(rows, ["queue=billing, team=a|fcr_ratio=0.4", "queue=delivery, team=a|fcr_ratio=0.5"]);
        assert_eq!(bad("fcr_ratio < 0.6 per team").await.unwrap(), ["team=a|fcr_ratio=0.4"]);
        // NULL is not met
        assert_eq!(bad("n > 15").await.unwrap(), ["queue=billing, team=b|n=20"]);
    }

    #[tokio::test]
    async fn a_condition_over_the_parts_of_a_struct_works() {
        let text = "-- alert: change.p_value < 0.01 and change.diff < 0\n\
                    select 'billing' as queue, named_struct('p_value', 0.001, 'diff', -0.2) as change";
        let source = Arc::new(Source::query(text));
        let report = Report::parse("r", &source).unwrap();
        let session = Session::open(Default::default()).await.unwrap();
        let steps = plan_report(&session, &report, &vec![], None).await.unwrap();
        let outcome = steps[0].alerts[0].evaluate(&session, &source, &vec![], &steps[0].plan).await.unwrap();
        assert_eq!(outcome.bad[0].name(), "queue=billing");
    }

    #[tokio::test]
    async fn without_rows_or_values_it_is_unknown_whether_an_alert_is_met() {
        let unknown = async |line: &str, rows: &str| {
            let text = format!("-- alert: {line}\nselect * from (values {rows}) as t (queue, n) where queue <> 'none'");
            let source = Arc::new(Source::query(&text));
            let report = Report::parse("r", &source).unwrap();
            let session = Session::open(Default::default()).await.unwrap();
            let steps = plan_report(&session, &report, &vec![], None).await.unwrap();
            steps[0].alerts[0].evaluate(&session, &source, &vec![], &steps[0].plan).await.unwrap().unknown
        };
        let (none, null) = ("('none', 1)", "('a', cast(null as int))");
        for line in ["min(n) < 3", "n < 3", "min(n) < 3 per queue", "min(n) filter (where n > 100) < 3"] {
            assert!(unknown(line, none).await.is_some(), "{line}");
            assert_eq!(unknown(line, null).await, Some(NO_VALUES), "{line}");
        }
        assert_eq!(unknown("n < 3", none).await, Some(NO_ROWS));
        // known: no row is a count of zero, one value is enough
        assert_eq!(unknown("count(*) > 0", none).await, None);
        assert_eq!(unknown("n < 3", "('a', 5), ('b', null)").await, None);
        assert_eq!(unknown("min(n) < 3", "('a', 5)").await, None);
        assert_eq!(unknown("min(n) < 3", "('a', 1)").await, None);
    }

    #[tokio::test]
    async fn columns_beside_aggregates_are_refused_with_a_remedy() {
        let text = bad("min(fcr_ratio) < n").await.unwrap_err().to_string();
        assert!(text.contains("add `per n`"), "{text}");
        let text = bad("fcr_ratio < 1 per quee").await.unwrap_err().to_string();
        assert!(text.contains("did you mean `queue`?"), "{text}");
        assert!(bad("fcr_ratio + 1").await.unwrap_err().to_string().contains("true or false"));
    }
}

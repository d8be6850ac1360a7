//! SQL conditions over the result of a section, and `-- check: CONDITION`, which every row must meet.

use std::sync::Arc;

use cxql_chart::{Form, Language};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::FormatOptions;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::utils::find_aggregate_exprs;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{ColumnarValue, PhysicalExpr};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::param::{BoundValues, Param};
use crate::error::{Error, Result};
use crate::output::durations;
use crate::session::Session;
use crate::source::{Source, Spot};
use crate::sqlfile::{self, HeaderLine};
use crate::types::type_name;

/// A parsed condition.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// The condition as written.
    pub text: String,
    /// Its position in the file.
    pub spot: Spot,
    /// The syntax tree, with parameters as `$1`, `$2`, ...
    expr: ast::Expr,
    /// The function calls in the condition, each with its text as written.
    calls: Vec<(ast::Expr, String)>,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    /// Rows that were checked.
    pub row_count: u64,
    /// Rows that do not meet the condition.
    pub failed_count: u64,
    /// The first failed row as `column=value, ...`.
    pub first_failed: Option<String>,
}

impl Condition {
    pub(super) fn parse(source: &Arc<Source>, line: &HeaderLine, params: &[Param], used: &mut [bool]) -> Result<Self> {
        let (condition, rest) = Self::parse_start(source, line, params, used)?;
        match rest.first() {
            Some(next) => {
                let spot = Some(sqlfile::token_spot(next));
                Err(Error::at(source, spot, format!("unexpected `{}` after the condition", next.token)))
            }
            None => Ok(condition),
        }
    }

    /// Parses the condition at the start of a line. Returns it with the tokens after it.
    pub(super) fn parse_start(
        source: &Arc<Source>,
        line: &HeaderLine,
        params: &[Param],
        used: &mut [bool],
    ) -> Result<(Self, Vec<TokenWithSpan>)> {
        // pad the text to its position in the file, so that the parser reports positions in the file
        let padding = "\n".repeat(line.value_spot.line - 1) + &" ".repeat(line.value_spot.column - 1);
        let padded = Arc::new(Source { text: format!("{padding}{}", line.value).into(), ..Source::clone(source) });
        let at_file = |error: Error| match error {
            Error::At { title, spot, label, helps, .. } => {
                Error::At { source_text: Arc::clone(source), title, spot, label, helps }
            }
            other => other,
        };
        let mut tokens: Vec<TokenWithSpan> = sqlfile::tokenize(&padded)
            .map_err(at_file)?
            .into_iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .collect();
        for token in &mut tokens {
            let Token::Placeholder(name) = &token.token else { continue };
            let at = super::declared(source, name, sqlfile::token_spot(token), params)?;
            used[at] = true;
            token.token = Token::Placeholder(format!("${}", at + 1));
        }
        let end = Some(line.value_spot);
        let dialect = GenericDialect {};
        let mut calls = calls(line, &tokens);
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
        let mut expr = parser.parse_expr().map_err(|error| sqlfile::parser_error(source, &error, end))?;
        cxql_engine::rewrite(&mut expr);
        calls.iter_mut().for_each(|(call, _)| cxql_engine::rewrite(call));
        let mut rest = Vec::new();
        loop {
            let next = parser.next_token();
            if next.token == Token::EOF {
                break;
            }
            rest.push(next);
        }
        Ok((Self { text: line.value.clone(), spot: line.value_spot, expr, calls }, rest))
    }

    /// Plans the condition over the columns of `plan` as a boolean expression.
    pub(super) async fn plan(
        &self,
        session: &Session,
        source: &Arc<Source>,
        values: &BoundValues,
        plan: &LogicalPlan,
    ) -> Result<Expr> {
        Self::plan_part(&self.expr, session, source, values, plan).await
    }

    /// The function calls in the condition as expressions over the columns of `plan`, each with its text as written.
    pub(super) async fn plan_calls(
        &self,
        session: &Session,
        source: &Arc<Source>,
        values: &BoundValues,
        plan: &LogicalPlan,
    ) -> Result<Vec<(Expr, &str)>> {
        let mut calls = Vec::with_capacity(self.calls.len());
        for (call, text) in &self.calls {
            calls.push((Self::plan_part(call, session, source, values, plan).await?, text.as_str()));
        }
        Ok(calls)
    }

    async fn plan_part(
        part: &ast::Expr,
        session: &Session,
        source: &Arc<Source>,
        values: &BoundValues,
        plan: &LogicalPlan,
    ) -> Result<Expr> {
        let expr = session.plan_expr(source, part.clone(), plan).await?;
        let bound = expr.transform_up(|expr| match &expr {
            Expr::Placeholder(placeholder) => {
                let index = placeholder.id.trim_start_matches('$').parse::<usize>().unwrap_or(0);
                match index.checked_sub(1).and_then(|index| values.get(index)) {
                    Some(value) => Ok(Transformed::yes(Expr::Literal(value.clone(), None))),
                    None => Ok(Transformed::no(expr)),
                }
            }
            _ => Ok(Transformed::no(expr)),
        });
        match bound {
            Ok(bound) => Ok(bound.data),
            Err(error) => Err(session.error(error, source).await),
        }
    }

    /// Plans the condition as a check of the rows of `plan`.
    pub(super) async fn check(
        &self,
        session: &Session,
        source: &Arc<Source>,
        values: &BoundValues,
        plan: &LogicalPlan,
    ) -> Result<Check> {
        let expr = self.plan(session, source, values, plan).await?;
        if !find_aggregate_exprs([&expr]).is_empty() {
            return Err(Error::at(source, Some(self.spot), "a check looks at each row and can hold no aggregate")
                .help("use `alert:` for a condition over the whole result"));
        }
        // planned as a filter, so that DataFusion's type coercion applies
        let state = session.state();
        let built = LogicalPlanBuilder::from(plan.clone()).project(vec![expr.alias("is_met")]);
        let optimized = built.and_then(LogicalPlanBuilder::build).and_then(|plan| {
            let field = plan.schema().field(0).data_type().clone();
            let coerced = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
            Ok((field, coerced))
        });
        let (data_type, coerced) = match optimized {
            Ok(planned) => planned,
            Err(error) => return Err(session.error(error, source).await),
        };
        self.boolean(source, &data_type)?;
        let LogicalPlan::Projection(projection) = coerced else {
            return Err(Error::Engine { message: format!("the check `{}` cannot be planned", self.text) });
        };
        let schema = projection.input.schema();
        let physical = state.create_physical_expr(projection.expr[0].clone().unalias(), schema);
        match physical {
            Ok(physical) => Ok(Check { text: self.text.clone(), physical, verdict: Verdict::default() }),
            Err(error) => Err(session.error(error, source).await),
        }
    }

    pub(super) fn boolean(&self, source: &Arc<Source>, data_type: &DataType) -> Result<()> {
        match data_type {
            DataType::Boolean | DataType::Null => Ok(()),
            other => {
                let title = format!("a condition is true or false, this is {}", type_name(other));
                Err(Error::at(source, Some(self.spot), title).help("compare it with something, such as `x >= 0`"))
            }
        }
    }
}

/// The function calls among the tokens of a condition, each with its text.
fn calls(line: &HeaderLine, tokens: &[TokenWithSpan]) -> Vec<(ast::Expr, String)> {
    let dialect = GenericDialect {};
    let is_call = |at: usize| {
        matches!(tokens[at].token, Token::Word(_)) && tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen)
    };
    let starts = (0..tokens.len()).filter(|at| is_call(*at));
    let calls = starts.filter_map(|start| {
        let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens[start..].to_vec());
        // no operator binds as strongly: the call alone
        let call = parser.parse_subexpr(u8::MAX).ok().filter(|call| matches!(call, ast::Expr::Function(_)))?;
        let last = tokens.get(start + parser.index() - 1)?;
        let column = |column: u64| (column as usize).saturating_sub(line.value_spot.column);
        let (from, to) = (column(tokens[start].span.start.column), column(last.span.end.column));
        Some((call, line.value.chars().skip(from).take(to.saturating_sub(from)).collect()))
    });
    calls.collect()
}

/// A check that is evaluated on each batch.
#[derive(Debug)]
pub(crate) struct Check {
    /// The condition as it was written.
    pub text: String,
    physical: Arc<dyn PhysicalExpr>,
    /// The verdict over the batches so far.
    pub verdict: Verdict,
}

impl Check {
    /// The message of a failed check.
    pub(crate) fn failure(&self) -> String {
        let count = |count: u64| Form::Number.tick(count as f64, 1.0, Language::English);
        format!(
            "the check `{}` fails for {} of {} rows, first: {}",
            self.text,
            count(self.verdict.failed_count),
            count(self.verdict.row_count),
            self.verdict.first_failed.as_deref().unwrap_or_default()
        )
    }

    /// Checks a batch. A row whose condition is NULL passes, as with a CHECK constraint.
    ///
    /// # Errors
    /// The condition cannot be evaluated for a row.
    pub(crate) fn check_batch(&mut self, batch: &RecordBatch) -> datafusion::error::Result<()> {
        self.verdict.row_count += batch.num_rows() as u64;
        let result = self.physical.evaluate(batch)?;
        let array = match result {
            ColumnarValue::Scalar(ScalarValue::Boolean(Some(false))) if batch.num_rows() > 0 => {
                self.verdict.failed_count += batch.num_rows() as u64;
                self.verdict.first_failed.get_or_insert_with(|| describe(batch, 0));
                return Ok(());
            }
            ColumnarValue::Scalar(_) => return Ok(()),
            ColumnarValue::Array(array) => array,
        };
        let Some(met) = array.as_boolean_opt() else { return Ok(()) };
        let failed = |row: &usize| met.is_valid(*row) && !met.value(*row);
        let count = (0..met.len()).filter(failed).count();
        if count > 0 {
            self.verdict.failed_count += count as u64;
            if self.verdict.first_failed.is_none() {
                self.verdict.first_failed = (0..met.len()).find(failed).map(|row| describe(batch, row));
            }
        }
        Ok(())
    }
}

/// A row as `column=value, ...`.
fn describe(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    let schema = batch.schema();
    let cells = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        match durations::formatter(column.as_ref(), &options) {
            Ok(formatter) => format!("{}={}", field.name(), formatter.value(row)),
            Err(_) => format!("{}=?", field.name()),
        }
    });
    cells.collect::<Vec<_>>().join(", ")
}

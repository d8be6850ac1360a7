//! Divisions of integers in a statement: `count(*) / 3` drops the fraction, which is rarely meant.
//!
//! Only the planner knows the types of operands, and only the syntax tree knows positions. Every division of the statement
//! gets an operator of its own; an [`ExprPlanner`] plans it as the division that it is and notes those of two integers.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use cxql_engine::planning::statement_to_plan;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr as PlanExpr, ExprSchemable, Operator};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, Expr, Function, Spanned, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::labels;
use crate::source::{Source, Spot};
use crate::sqlfile;

/// The operator of the division with a number.
const NUMBERED: &str = "/#";

/// The operator of a division that is meant to have no fraction.
const WHOLE: &str = "//";

/// The positions of divisions of two integers whose result may lose a fraction. None if the statement cannot be planned,
/// which is an error elsewhere.
pub(super) async fn of_integers(
    state: &SessionState,
    source: &Arc<Source>,
    mut statement: DataFusionStatement,
) -> Vec<Spot> {
    let Ok(tokens) = sqlfile::tokenize(source) else { return vec![] };
    let DataFusionStatement::Statement(parsed) = &mut statement else { return vec![] };
    let mut numbering = Numbering { tokens: &tokens, spots: vec![] };
    let _: ControlFlow<()> = parsed.visit(&mut numbering);
    let spots = numbering.spots;
    if spots.is_empty() {
        return vec![];
    }
    if labels::add_synonyms(&mut statement).is_err() {
        return vec![];
    }
    let noted = Arc::new(Divisions::default());
    let mut state = state.clone();
    let registered = state.register_expr_planner(Arc::clone(&noted) as Arc<dyn ExprPlanner>);
    if registered.is_err() || statement_to_plan(&state, statement).await.is_err() {
        return vec![];
    }
    let found = noted.found.lock().unwrap_or_else(PoisonError::into_inner);
    found.iter().filter_map(|number| spots.get(*number).copied().flatten()).collect()
}

/// Gives each division a number.
struct Numbering<'a> {
    tokens: &'a [TokenWithSpan],
    spots: Vec<Option<Spot>>,
}

impl VisitorMut for Numbering<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op: op @ BinaryOperator::Divide, right } => {
                let spot = self.spot(left.span().end, right.span().start);
                *op = BinaryOperator::Custom(format!("{NUMBERED}{}", self.spots.len()));
                self.spots.push(spot);
            }
            // `cast(a / b as bigint)` and `floor(a / b)` say that the fraction is not wanted
            Expr::Cast { data_type, expr, .. } if is_integer(data_type) => mark_whole(expr),
            Expr::Floor { expr, .. } => mark_whole(expr),
            Expr::Function(function) if is_rounding_down(function) => {
                use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
                if let FunctionArguments::List(list) = &mut function.args
                    && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] = list.args.as_mut_slice()
                {
                    mark_whole(expr);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Numbering<'_> {
    /// The position of the `/` between two operands, of which the parser knows at least one.
    fn spot(&self, left_end: Location, right_start: Location) -> Option<Spot> {
        let is_division = |token: &&TokenWithSpan| token.token == Token::Div;
        let token = if left_end.line > 0 {
            self.tokens.iter().filter(is_division).find(|token| token.span.start >= left_end)
        } else {
            self.tokens.iter().filter(is_division).rfind(|token| token.span.start < right_start)
        };
        token.map(sqlfile::token_spot)
    }
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::TinyInt(_)
            | DataType::SmallInt(_)
            | DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_)
            | DataType::Int2(_)
            | DataType::Int4(_)
            | DataType::Int8(_)
    )
}

fn is_rounding_down(function: &Function) -> bool {
    ["floor", "trunc"].iter().any(|name| function.name.to_string().eq_ignore_ascii_case(name))
}

fn mark_whole(expr: &mut Expr) {
    match expr {
        Expr::Nested(inner) => mark_whole(inner),
        Expr::BinaryOp { op: op @ BinaryOperator::Divide, .. } => *op = BinaryOperator::Custom(WHOLE.into()),
        _ => {}
    }
}

/// The numbers of divisions of integers.
#[derive(Debug, Default)]
struct Divisions {
    found: Mutex<BTreeSet<usize>>,
}

impl ExprPlanner for Divisions {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let BinaryOperator::Custom(operator) = &expr.op else { return Ok(PlannerResult::Original(expr)) };
        let number = operator.strip_prefix(NUMBERED).and_then(|number| number.parse::<usize>().ok());
        if number.is_none() && operator != WHOLE {
            return Ok(PlannerResult::Original(expr));
        }
        let is_integer = |expr: &PlanExpr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer());
        if let Some(number) = number
            && is_integer(&expr.left)
            && is_integer(&expr.right)
            && !is_exact(&expr.left, &expr.right)
        {
            self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        }
        let (left, right) = (Box::new(expr.left), Box::new(expr.right));
        Ok(PlannerResult::Planned(PlanExpr::BinaryExpr(BinaryExpr::new(left, Operator::Divide, right))))
    }
}

/// Returns true for a division of constants that has no fraction, such as `86400 / 60`.
fn is_exact(left: &PlanExpr, right: &PlanExpr) -> bool {
    let value = |expr: &PlanExpr| match expr {
        PlanExpr::Literal(value, _) => value.to_string().parse::<i128>().ok(),
        _ => None,
    };
    match (value(left), value(right)) {
        (Some(left), Some(right)) => right != 0 && left % right == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Session;
    use super::*;

    async fn found(sql: &str) -> Vec<String> {
        let session = Session::open(Default::default()).await.unwrap();
        let source = Arc::new(Source::query(sql));
        let statement = sqlfile::statements(&source).unwrap().pop_front().unwrap();
        session.integer_divisions(&source, statement).await.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn divisions_of_integers_are_found_where_they_stand() {
        let table = "from (values (1, 2.5, 'a'), (3, 4.5, 'b')) as t (n, x, k)";
        assert_eq!(found(&format!("select count(*) / 3,\n n / 2 as h {table} group by n")).await, ["1:17", "2:4"]);
        assert_eq!(found("select 7 / 2, 6 / 2, 7 / 2.0, 7.0 / 2").await, ["1:10"]);
        // in conditions, subqueries, windows, CASE and GROUP BY
        assert_eq!(
            found(&format!("select n / 2, max(x) {table} where n / 3 > 0 group by n / 2 having sum(n) / count(*) > 1"))
                .await
                .len(),
            4
        );
        assert_eq!(
            found(&format!("with c as (select sum(n) over (order by n) / n as s {table}) select case when s > 1 then (s / 2) end from c")).await.len(),
            2
        );
        // what is divided as a float, or meant to have no fraction
        assert_eq!(
            found(&format!("select x / 2, n * 1.0 / 2, n / 2.0, cast(n as double) / 2, cast(n / 2 as bigint), (n / 2)::int, floor(n / 2), avg(n) / 2 {table} group by n, x")).await,
            Vec::<String>::new()
        );
        assert_eq!(found("select nothing / 2").await, Vec::<String>::new());
    }
}

//! A join without a condition: `from a join b` is the product of both tables for DataFusion, without a word. Standard SQL,
//! PostgreSQL and DuckDB refuse it, and so do we.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::{
    JoinConstraint, JoinOperator, ObjectNamePart, Query, SetExpr, Spanned, TableFactor, TableWithJoins, Visit, Visitor,
};

use crate::error::Error;
use crate::source::{Source, Spot};

/// Refuses a statement with a join that has neither ON nor USING.
///
/// # Errors
/// The joined table, with its position.
pub(super) fn refuse_without_condition(
    source: &Arc<Source>,
    statement: &DataFusionStatement,
) -> Result<(), DataFusionError> {
    let DataFusionStatement::Statement(statement) = statement else { return Ok(()) };
    match statement.visit(&mut Joins) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break((name, spot)) => {
            let error = Error::at(source, spot, format!("the join with `{name}` has no condition"));
            Err(error.help("add `on a.x = b.x` or `using (x)`; every pair of rows is `cross join`").into())
        }
    }
}

struct Joins;

impl Visitor for Joins {
    type Break = (String, Option<Spot>);

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        set(&query.body)
    }
}

type Found = ControlFlow<(String, Option<Spot>)>;

fn set(body: &SetExpr) -> Found {
    match body {
        SetExpr::Select(select) => select.from.iter().try_for_each(joined),
        SetExpr::SetOperation { left, right, .. } => {
            set(left)?;
            set(right)
        }
        // a query is visited by itself
        _ => ControlFlow::Continue(()),
    }
}

fn joined(table: &TableWithJoins) -> Found {
    factor(&table.relation)?;
    for join in &table.joins {
        factor(&join.relation)?;
        let lacks_condition = matches!(
            &join.join_operator,
            JoinOperator::Join(JoinConstraint::None)
                | JoinOperator::Inner(JoinConstraint::None)
                | JoinOperator::Left(JoinConstraint::None)
                | JoinOperator::LeftOuter(JoinConstraint::None)
                | JoinOperator::Right(JoinConstraint::None)
                | JoinOperator::RightOuter(JoinConstraint::None)
                | JoinOperator::FullOuter(JoinConstraint::None)
        );
        if lacks_condition && !matches!(join.relation, TableFactor::UNNEST { .. }) {
            let name = match &join.relation {
                TableFactor::Table { name, .. } => {
                    name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.clone())
                }
                _ => None,
            };
            let span = join.relation.span();
            let spot = Spot::of_span(span.start.line, span.start.column, span.end.line, span.end.column);
            return ControlFlow::Break((name.unwrap_or_else(|| "(...)".into()), spot));
        }
    }
    ControlFlow::Continue(())
}

fn factor(factor: &TableFactor) -> Found {
    match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => joined(table_with_joins),
        _ => ControlFlow::Continue(()),
    }
}

//! `standard_label(column_name, label)`: the synonyms of the project as its third argument.
//!
//! ```text
//!  typed     standard_label('topic', topic)
//!  planned   standard_label('topic', topic, (select array_agg(named_struct(...)) from cxql.public.label_synonyms))
//! ```
//! The subquery does not depend on the row, so that DataFusion executes it once per query, however many calls there are. The view is
//! resolved like every other table of the statement: in a view over what views may read, in a statement of a user over what the
//! user's roles grant.

use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident, ObjectNamePart, VisitMut,
    visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

/// The function.
const STANDARD_LABEL: &str = "standard_label";
/// Its third parameter.
const SYNONYMS: &str = "synonyms";
/// The value of that: all synonyms as one list. The full name of the view, so that no common table expression hides it.
const ALL_SYNONYMS: &str = "(select array_agg(named_struct('column_name', cast(column_name as varchar), \
     'label', cast(label as varchar), 'standard_label', cast(standard_label as varchar))) \
     from cxql.public.label_synonyms \
     where column_name is not null and label is not null and standard_label is not null)";

/// Adds the synonyms to the calls in a statement that have none.
///
/// # Errors
/// None: the text of the subquery parses.
pub(super) fn add_synonyms(statement: &mut Statement) -> Result<(), DataFusionError> {
    match statement {
        Statement::Statement(statement) => add_to(statement.as_mut()),
        Statement::Explain(explain) => add_synonyms(&mut explain.statement),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => add_to(query.as_mut()),
            CopyToSource::Relation(_) => Ok(()),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => Ok(()),
    }
}

fn add_to(tree: &mut impl VisitMut) -> Result<(), DataFusionError> {
    let flow = visit_expressions_mut(tree, |expr| {
        let Some((args, is_named)) = args_without_synonyms(expr) else { return ControlFlow::Continue(()) };
        let value = match all_synonyms() {
            Ok(value) => FunctionArgExpr::Expr(value),
            Err(error) => return ControlFlow::Break(error),
        };
        args.push(match is_named {
            true => {
                FunctionArg::Named { name: Ident::new(SYNONYMS), arg: value, operator: FunctionArgOperator::RightArrow }
            }
            false => FunctionArg::Unnamed(value),
        });
        ControlFlow::Continue(())
    });
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The arguments of a call that has no synonyms, and whether one of them is named.
fn args_without_synonyms(expr: &mut Expr) -> Option<(&mut Vec<FunctionArg>, bool)> {
    let Expr::Function(function) = expr else { return None };
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &mut function.args else { return None };
    let is_call = name.value.eq_ignore_ascii_case(STANDARD_LABEL) && list.args.len() == 2;
    let is_named = list.args.iter().any(|arg| !matches!(arg, FunctionArg::Unnamed(_)));
    is_call.then_some((&mut list.args, is_named))
}

/// The subquery. Parsed from tokens without positions: those of the statement's text are not for it.
fn all_synonyms() -> Result<Expr, DataFusionError> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, ALL_SYNONYMS).tokenize();
    let tokens = tokens.map_err(|error| DataFusionError::External(Box::new(error)))?;
    let parsed = Parser::new(&dialect).with_tokens(tokens).parse_expr();
    parsed.map_err(|error| DataFusionError::External(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_without_synonyms_get_them_wherever_they_stand() {
        let added = |sql: &str| {
            let mut statement = Parser::parse_sql(&GenericDialect {}, sql).unwrap().remove(0);
            add_to(&mut statement).unwrap();
            statement.to_string().matches("label_synonyms").count()
        };
        for (sql, count) in [
            ("select standard_label('topic', topic) from t", 1),
            (
                "with a as (select STANDARD_LABEL('topic', lower(topic)) as x from t) select * from a where standard_label('x', x) = 'b'",
                2,
            ),
            ("select standard_label(label => topic, column_name => 'topic') from t group by standard_label('a', b)", 2),
            ("select standard_label('topic', topic, null), standard_label(a), other('topic', topic) from t", 0),
            ("select standard_label('a', standard_label('b', c)) from t", 2),
        ] {
            assert_eq!(added(sql), count, "{sql}");
        }
    }
}

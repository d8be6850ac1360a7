//! Whole numbers written beside ones that have no sign.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;

/// Functions that give one of their arguments.
const CHOOSING: [&str; 5] = ["least", "greatest", "coalesce", "nullif", "nvl"];

/// Keeps `least(row_number() over (...), 20)` a whole number.
///
/// `row_number`, `rank` and their like give numbers without a sign, a number that is written has one, and the engine's common
/// type of both is a decimal: slow to make and to group by, and no whole number for who reads the result.
#[derive(Debug)]
pub(crate) struct UnsignedLiteralCoercion;

impl AnalyzerRule for UnsignedLiteralCoercion {
    fn name(&self) -> &str {
        "unsigned_literal_coercion"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |expr, schema| Ok(unsigned(expr, schema)))
    }
}

/// An expression that chooses among values, with those that are written as the others are.
fn unsigned(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let values: Vec<&mut Expr> = match &mut expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if CHOOSING.contains(&func.name()) => {
            args.iter_mut().collect()
        }
        Expr::Case(Case { when_then_expr, else_expr, .. }) => {
            when_then_expr.iter_mut().map(|(_, then)| then.as_mut()).chain(else_expr.as_deref_mut()).collect()
        }
        _ => return Transformed::no(expr),
    };
    let is_null = |value: &Expr| matches!(value, Expr::Literal(value, _) if value.is_null());
    let values = values.into_iter().filter(|value| !is_null(value));
    let is_unsigned = |value: &Expr| value.get_type(schema).is_ok_and(|kind| kind == DataType::UInt64);
    let (mut written, mut has_others, mut are_unsigned) = (vec![], false, true);
    for value in values {
        match number(value) {
            Some(number) => written.push((value, number)),
            None => (has_others, are_unsigned) = (true, are_unsigned && is_unsigned(value)),
        }
    }
    if written.is_empty() || !has_others || !are_unsigned {
        return Transformed::no(expr);
    }
    for (value, number) in written {
        *value = Expr::Literal(ScalarValue::UInt64(Some(number)), None);
    }
    Transformed::yes(expr)
}

/// A number that is written and not below 0.
fn number(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => u64::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::optimizer::analyzer::Analyzer;
    use datafusion::prelude::SessionContext;

    use super::*;

    fn context(is_ours: bool) -> SessionContext {
        let mut rules = Analyzer::new().rules;
        if is_ours {
            rules.insert(0, Arc::new(UnsignedLiteralCoercion));
        }
        SessionContext::new_with_state(
            SessionStateBuilder::new().with_default_features().with_analyzer_rules(rules).build(),
        )
    }

    /// The same rows as the engine's, in the type of the number.
    #[tokio::test]
    async fn numbers_without_a_sign_stay_what_they_are() {
        let numbered = "(select x, row_number() over (order by x) as n from (values (3), (1), (2)) as t (x)) as t";
        for (value, kind) in [
            ("least(n, 2)", DataType::UInt64),
            ("greatest(2, n)", DataType::UInt64),
            ("coalesce(nullif(n, 2), 7)", DataType::UInt64),
            ("case when n >= 2 then 2 else n end", DataType::UInt64),
            ("case x when 1 then n when 2 then 0 end", DataType::UInt64),
            ("case when x = 1 then null when n < 3 then 7 else n end", DataType::UInt64),
            // what would be another value, or is none of them
            ("least(n, -1)", DataType::Decimal128(20, 0)),
            ("least(n, x)", DataType::Decimal128(20, 0)),
            ("least(x, 2)", DataType::Int64),
            ("least(n, 1.5)", DataType::Float64),
        ] {
            let sql =
                format!("select v, count(*) as rows from (select {value} as v from {numbered}) group by v order by v");
            let mut found = vec![];
            for is_ours in [true, false] {
                let rows = context(is_ours).sql(&sql).await.unwrap().collect().await.unwrap();
                found.push((
                    rows[0].schema().field(0).data_type().clone(),
                    pretty_format_batches(&rows).unwrap().to_string(),
                ));
            }
            assert_eq!(found[0].1, found[1].1, "{value}");
            assert_eq!(found[0].0, kind, "{value}");
        }
    }

    /// Names of columns stay, also of those that have none but their expression.
    #[tokio::test]
    async fn columns_keep_their_names() {
        let sql =
            "select least(n, 2), count(*) from (select row_number() over () as n) group by 1 having least(n, 2) < 5";
        let rows = context(true).sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].schema().field(0).name(), "least(n,Int64(2))");
    }
}

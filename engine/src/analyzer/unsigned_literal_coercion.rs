//! [`UnsignedLiteralCoercion`]: integer literals become unsigned where all values beside them are.
//!
//! ```text
//!  Projection: least(n, Int64(20))  Decimal128(20, 0)     ->    Projection: least(n, UInt64(20))  UInt64
//!    Window: row_number() as n      UInt64                        Window: row_number() as n       UInt64
//! ```
//! Switch: `cxql.engine.unsigned_literal_coercion`.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;

/// Functions that return one of their arguments.
const SELECTING: [&str; 5] = ["least", "greatest", "coalesce", "nullif", "nvl"];

/// Keeps `least(row_number() over (...), 20)` an integer.
///
/// `row_number`, `rank` and the like return `UInt64`, an integer literal is `Int64`, and their common type in DataFusion is a
/// decimal: slower as a group key (an integer takes 0.88 of the time), and not an integer for the reader of the result.
#[derive(Debug)]
pub(crate) struct UnsignedLiteralCoercion;

impl AnalyzerRule for UnsignedLiteralCoercion {
    fn name(&self) -> &str {
        "unsigned_literal_coercion"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, |expr, schema| Ok(with_unsigned_literals(expr, schema)))
    }
}

/// Rewrites the literals of an expression that selects one of several values, if all other values are `UInt64`.
fn with_unsigned_literals(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let values: Vec<&mut Expr> = match &mut expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if SELECTING.contains(&func.name()) => {
            args.iter_mut().collect()
        }
        Expr::Case(Case { when_then_expr, else_expr, .. }) => {
            when_then_expr.iter_mut().map(|(_, then)| then.as_mut()).chain(else_expr.as_deref_mut()).collect()
        }
        _ => return Transformed::no(expr),
    };
    let is_null = |value: &Expr| matches!(value, Expr::Literal(value, _) if value.is_null());
    let values = values.into_iter().filter(|value| !is_null(value));
    let is_unsigned = |value: &Expr| value.get_type(schema).is_ok_and(|data_type| data_type == DataType::UInt64);
    let (mut literals, mut has_others, mut are_unsigned) = (vec![], false, true);
    for value in values {
        match unsigned_literal(value) {
            Some(integer) => literals.push((value, integer)),
            None => (has_others, are_unsigned) = (true, are_unsigned && is_unsigned(value)),
        }
    }
    if literals.is_empty() || !has_others || !are_unsigned {
        return Transformed::no(expr);
    }
    for (value, integer) in literals {
        *value = Expr::Literal(ScalarValue::UInt64(Some(integer)), None);
    }
    Transformed::yes(expr)
}

/// The value of an integer literal that is not negative.
fn unsigned_literal(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(integer)), _) => u64::try_from(*integer).ok(),
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

    fn context(has_rule: bool) -> SessionContext {
        let mut rules = Analyzer::new().rules;
        if has_rule {
            rules.insert(0, Arc::new(UnsignedLiteralCoercion));
        }
        SessionContext::new_with_state(
            SessionStateBuilder::new().with_default_features().with_analyzer_rules(rules).build(),
        )
    }

    /// The rows are DataFusion's; the type is the one that is expected.
    #[tokio::test]
    async fn unsigned_integers_stay_unsigned() {
        let numbered = "(select x, row_number() over (order by x) as n from (values (3), (1), (2)) as t (x)) as t";
        for (value, data_type) in [
            ("least(n, 2)", DataType::UInt64),
            ("greatest(2, n)", DataType::UInt64),
            ("coalesce(nullif(n, 2), 7)", DataType::UInt64),
            ("case when n >= 2 then 2 else n end", DataType::UInt64),
            ("case x when 1 then n when 2 then 0 end", DataType::UInt64),
            ("case when x = 1 then null when n < 3 then 7 else n end", DataType::UInt64),
            // not rewritten: the literal is negative or not an integer, or another value is signed
            ("least(n, -1)", DataType::Decimal128(20, 0)),
            ("least(n, x)", DataType::Decimal128(20, 0)),
            ("least(x, 2)", DataType::Int64),
            ("least(n, 1.5)", DataType::Float64),
        ] {
            let sql =
                format!("select v, count(*) as rows from (select {value} as v from {numbered}) group by v order by v");
            let mut found = vec![];
            for has_rule in [true, false] {
                let rows = context(has_rule).sql(&sql).await.unwrap().collect().await.unwrap();
                found.push((
                    rows[0].schema().field(0).data_type().clone(),
                    pretty_format_batches(&rows).unwrap().to_string(),
                ));
            }
            assert_eq!(found[0].1, found[1].1, "{value}");
            assert_eq!(found[0].0, data_type, "{value}");
        }
    }

    /// Output columns keep their names, also those that are named by their expression.
    #[tokio::test]
    async fn columns_keep_their_names() {
        let sql =
            "select least(n, 2), count(*) from (select row_number() over () as n) group by 1 having least(n, 2) < 5";
        let rows = context(true).sql(sql).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].schema().field(0).name(), "least(n,Int64(2))");
    }
}

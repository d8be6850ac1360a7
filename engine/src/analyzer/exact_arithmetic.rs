//! [`ExactArithmeticRule`]: integer arithmetic is exact or an error, casts and quotients of decimals round, and integers compare
//! exactly with literals ([`exact_comparison`](super::exact_comparison)).
//!
//! ```text
//!  Projection: u - v, x + Int64(1), CAST(y AS Int64)   ->  Projection: exact_subtract(u, v), exact_add(x, Int64(1)), rounding_cast(y)
//!    TableScan: u, v UInt8; x Int64; y Float64               TableScan: u, v UInt8; x Int64; y Float64
//! ```
//! DataFusion adds integers with `fail_on_overflow: false`, which nothing sets, in the type of the operands: `u - v` is 255
//! for -1. `round(decimal, n)` has one type from planning on ([`DecimalRound`]). Integers of all widths are computed in `Int64`, signed; so are `/` and `%` with an unsigned side. A literal
//! beyond `Int64` leaves the expression to DataFusion, which makes decimals of both sides. Casts become functions and not
//! `cast(round(x) as bigint)`, since DataFusion compares `cast(d as bigint) = 2` of a decimal as `d = 2.00`.
//!
//! Switch: `cxql.engine.exact_arithmetic`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Projection, ScalarUDF, Values};
use datafusion::optimizer::AnalyzerRule;

use super::exact_comparison::compare_exactly;
use super::rewrite_expressions;
use crate::functions::decimal_round::DecimalRound;
use crate::functions::exact::{ExactArithmetic, Operation, RoundingCast};

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct ExactArithmeticRule;

impl AnalyzerRule for ExactArithmeticRule {
    fn name(&self) -> &str {
        "exact_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = rewrite_expressions(plan, exact)?;
        plan.transform_up_with_subqueries(with_static_types).map(|plan| plan.data)
    }
}

/// The recursive term of a query has the types of the static one, also where its integers are wider now.
fn with_static_types(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Values(values) = plan {
        return with_declared_types(values);
    }
    let LogicalPlan::RecursiveQuery(mut query) = plan else { return Ok(Transformed::no(plan)) };
    let (wanted, found) = (query.static_term.schema(), query.recursive_term.schema());
    let mut is_changed = false;
    let columns = found.iter().zip(wanted.fields()).map(|((relation, field), wanted)| {
        let column = Expr::from((relation, field));
        if field.data_type() == wanted.data_type()
            || !(field.data_type().is_integer() && wanted.data_type().is_integer())
        {
            return column;
        }
        is_changed = true;
        Expr::Cast(Cast::new(Box::new(column), wanted.data_type().clone()))
            .alias_qualified(relation.cloned(), field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    if !is_changed {
        return Ok(Transformed::no(LogicalPlan::RecursiveQuery(query)));
    }
    let projection = Projection::try_new(columns, Arc::clone(&query.recursive_term))?;
    query.recursive_term = Arc::new(LogicalPlan::Projection(projection));
    Ok(Transformed::yes(LogicalPlan::RecursiveQuery(query)))
}

/// Rows of VALUES have the types that were settled before their integers became wider.
fn with_declared_types(mut values: Values) -> Result<Transformed<LogicalPlan>> {
    let none = DFSchema::empty();
    let mut is_changed = false;
    for row in &mut values.values {
        for (expr, field) in row.iter_mut().zip(values.schema.fields()) {
            let wanted = field.data_type();
            if expr.get_type(&none).is_ok_and(|found| found != *wanted && found.is_integer() && wanted.is_integer()) {
                is_changed = true;
                let bare = std::mem::replace(expr, Expr::Literal(ScalarValue::Null, None));
                *expr = Expr::Cast(Cast::new(Box::new(bare), wanted.clone()));
            }
        }
    }
    Ok(Transformed::new_transformed(LogicalPlan::Values(values), is_changed))
}

/// Rewrites an operator or a cast. Expressions without a type (parameters, unresolved names) are left to DataFusion.
fn exact(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let type_of = |expr: &Expr| ExactArithmetic::type_of(expr).or_else(|| expr.get_type(schema).ok());
    let mut expr = expr;
    if compare_exactly(&mut expr, &type_of) {
        return Ok(Transformed::yes(expr));
    }
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let types = Operation::of(op)
                .or((op == Operator::Modulo).then_some(Operation::Divide))
                .and_then(|operation| Some((operation, type_of(&left)?, type_of(&right)?)));
            match types {
                Some((operation, left_type, right_type))
                    if is_integer(&left, &left_type) && is_integer(&right, &right_type) =>
                {
                    if operation != Operation::Divide {
                        if let Some(value) = operation.of_constants(&left, &right) {
                            return Ok(Transformed::yes(value));
                        }
                        let (left, right) = ((*left, left_type), (*right, right_type));
                        return Ok(Transformed::yes(ExactArithmetic::combine(left, operation, right)?));
                    }
                    let is_unsigned = left_type.is_unsigned_integer() || right_type.is_unsigned_integer();
                    let signed = |expr: Box<Expr>| {
                        if is_unsigned { Box::new(Expr::Cast(Cast::new(expr, DataType::Int64))) } else { expr }
                    };
                    let expr = Expr::BinaryExpr(BinaryExpr::new(signed(left), op, signed(right)));
                    if is_unsigned { Transformed::yes(expr) } else { Transformed::no(expr) }
                }
                Some((operation, left_type, right_type))
                    if op != Operator::Modulo && is_inexact_decimal(op, &left_type, &right_type) =>
                {
                    let (left, right) = ((*left, left_type), (*right, right_type));
                    Transformed::yes(ExactArithmetic::combine(left, operation, right)?)
                }
                _ => Transformed::no(Expr::BinaryExpr(BinaryExpr::new(left, op, right))),
            }
        }
        Expr::Negative(value) => match type_of(&value) {
            Some(value_type) if is_integer(&value, &value_type) => Transformed::yes(ExactArithmetic::negate(*value)),
            _ => Transformed::no(Expr::Negative(value)),
        },
        Expr::Cast(cast) => match type_of(&cast.expr) {
            Some(from) if RoundingCast::rounds(&from, cast.field.data_type()) => {
                call(RoundingCast::new(cast.field.data_type().clone(), false), vec![*cast.expr])
            }
            _ => Transformed::no(Expr::Cast(cast)),
        },
        Expr::TryCast(cast) => match type_of(&cast.expr) {
            Some(from) if RoundingCast::rounds(&from, cast.field.data_type()) => {
                call(RoundingCast::new(cast.field.data_type().clone(), true), vec![*cast.expr])
            }
            _ => Transformed::no(Expr::TryCast(cast)),
        },
        Expr::ScalarFunction(call) => {
            let is_decimal = call.args.first().and_then(type_of).is_some_and(|found| found.is_decimal());
            match DecimalRound::settled(&call).filter(|_| is_decimal) {
                Some(settled) => Transformed::yes(settled),
                None => Transformed::no(Expr::ScalarFunction(call)),
            }
        }
        other => Transformed::no(other),
    })
}

fn call(function: impl Into<ScalarUDF>, args: Vec<Expr>) -> Transformed<Expr> {
    Transformed::yes(function.into().call(args))
}

/// An integer that has a signed counterpart.
fn is_integer(expr: &Expr, data_type: &DataType) -> bool {
    let is_beyond =
        matches!(expr, Expr::Literal(ScalarValue::UInt64(Some(value)), _) if i64::try_from(*value).is_err());
    data_type.is_integer() && !is_beyond
}

/// Returns true if DataFusion's operator on decimals truncates, or may exceed the digits of its result.
fn is_inexact_decimal(op: Operator, left: &DataType, right: &DataType) -> bool {
    let is_exact = |data_type: &DataType| data_type.is_decimal() || data_type.is_integer();
    if !(is_exact(left) && is_exact(right) && (left.is_decimal() || right.is_decimal())) {
        return false;
    }
    if op == Operator::Divide {
        return true;
    }
    // below the most digits of a type the result has room for every value
    match BinaryTypeCoercer::new(left, &op, right).get_result_type() {
        Ok(DataType::Decimal128(precision, _)) => precision == DECIMAL128_MAX_PRECISION,
        Ok(DataType::Decimal256(precision, _)) => precision == DECIMAL256_MAX_PRECISION,
        Ok(data_type) => data_type.is_decimal(),
        Err(_) => false,
    }
}

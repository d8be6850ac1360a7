//! [`OperatorPlanner`]: powers, and operators of dates, timestamps, intervals and durations, that DataFusion plans wrongly or refuses.
//!
//! | operator | planned as | DataFusion 55.2 |
//! |---|---|---|
//! | `interval * number`, `number * interval`, `interval / number`, the same of durations | [`IntervalScale`] | an error |
//! | `date + interval`, `date - interval` | the timestamp of the date's midnight plus the interval, unless the interval is a literal of whole days or months | a date: hours are lost |
//! | `date + duration`, `date - duration` | the same | an error |
//! | a timestamp with time zone minus one without, or minus a date, and the other way round | both with the time zone, UTC as [`LOCAL_TIME`]: the session's | depends on the unit: of one unit, the local time is taken for UTC |
//! | a timestamp with time zone minus one of another zone | both with the zone of the first | an error, unless both have nanoseconds |
//! | `number ^ number` | `power` of doubles | bitwise XOR: `2 ^ 3` is 1 |
//! | `interval = '2 hours'`, and durations | the string as an interval | an error |
//! | `7 // 2` of integers | `7 / 2`; of other numbers an error | an error |
//!
//! Source: PostgreSQL, tables 9.4 and 9.31 of operators; DuckDB answers the same. A plan of DataFusion's own programming interface, without
//! SQL, does not come here.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::functions::math::power;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF, cast};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::interval_key::INTERVAL;
use super::interval_scale::IntervalScale;

/// The zone of a cast that reads what has no time zone in that of the session, as an operator beside a UTC column does. A cast to
/// `UTC` is one of the model, whose times without a zone are UTC.
pub(crate) const LOCAL_TIME: &str = "+00:00";

/// The planner; see the module.
#[derive(Debug)]
pub(super) struct OperatorPlanner {
    times: Arc<ScalarUDF>,
    over: Arc<ScalarUDF>,
}

impl OperatorPlanner {
    pub(super) fn new() -> Self {
        Self { times: Arc::new(IntervalScale::udf(false)), over: Arc::new(IntervalScale::udf(true)) }
    }

    fn planned(&self, op: &BinaryOperator, left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Expr> {
        use DataType::{Date32, Date64, Duration, Interval, Timestamp};
        let op = match op {
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            _ => return None,
        };
        let right_type = right.get_type(schema).ok()?;
        // the type of the left side of a long sum takes as long as the sum
        if right_type.is_numeric() && matches!(op, Operator::Plus | Operator::Minus) {
            return None;
        }
        let types = (left.get_type(schema).ok()?, right_type);
        if !(types.0.is_temporal() || types.1.is_temporal()) {
            return None;
        }
        let is_span = |data_type: &DataType| matches!(data_type, Interval(_) | Duration(_));
        // NULL is any number
        let is_number = |data_type: &DataType| data_type.is_numeric() || data_type.is_null();
        let binary = |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
        let (left, right) = (left.clone(), right.clone());
        Some(match (&types.0, op, &types.1) {
            (span, Operator::Multiply, number) if is_span(span) && is_number(number) => {
                self.times.call(vec![left, right])
            }
            (number, Operator::Multiply, span) if is_span(span) && is_number(number) => {
                self.times.call(vec![right, left])
            }
            (span, Operator::Divide, number) if is_span(span) && is_number(number) => self.over.call(vec![left, right]),
            (Date32 | Date64, Operator::Plus | Operator::Minus, span) if is_span(span) && !is_whole_days(&right) => {
                binary(cast(left, midnight(span)), right)
            }
            (span, Operator::Plus, Date32 | Date64) if is_span(span) && !is_whole_days(&left) => {
                binary(left, cast(right, midnight(span)))
            }
            (Timestamp(_, Some(_)), Operator::Minus, Timestamp(..)) if types.0 != types.1 => {
                let right = in_one_zone(&left, &right, schema)?;
                binary(left, right)
            }
            (Timestamp(unit, None), Operator::Minus, Timestamp(_, Some(zone))) => {
                binary(cast(left, local_time(*unit, zone)), right)
            }
            (Timestamp(unit, Some(zone)), Operator::Minus, Date32 | Date64) => {
                binary(left, cast(right, local_time(*unit, zone)))
            }
            (Date32 | Date64, Operator::Minus, Timestamp(unit, Some(zone))) => {
                binary(cast(left, local_time(*unit, zone)), right)
            }
            (span, op, _) if is_span(span) && op.supports_propagation() && is_string(&right) => {
                binary(left, cast(right, INTERVAL))
            }
            (_, op, span) if is_span(span) && op.supports_propagation() && is_string(&left) => {
                binary(cast(left, INTERVAL), right)
            }
            _ => return None,
        })
    }
}

/// The type of a date's midnight to which a span is added. Microseconds reach the years that dates have in practice.
fn midnight(span: &DataType) -> DataType {
    match span {
        DataType::Duration(unit) => DataType::Timestamp(*unit, None),
        _ => DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

/// The type of a local time beside a timestamp of a zone. That of UTC may become the zone of the session.
fn local_time(unit: TimeUnit, zone: &Arc<str>) -> DataType {
    let zone = if zone.as_ref() == "UTC" { LOCAL_TIME.into() } else { Arc::clone(zone) };
    DataType::Timestamp(unit, Some(zone))
}

/// The right side of a difference of timestamps in the zone of the left one: a point in time stays, what has no zone is a local
/// time. `None` if both have it, or the left one has none.
pub(crate) fn in_one_zone(left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    // the type of the left side of a long difference takes as long as the difference
    let DataType::Timestamp(unit, right_zone) = right.get_type(schema).ok()? else { return None };
    let DataType::Timestamp(_, Some(zone)) = left.get_type(schema).ok()? else { return None };
    match right_zone {
        None => Some(cast(right.clone(), local_time(unit, &zone))),
        Some(right_zone) if right_zone == zone => None,
        // one zone by two names
        Some(right_zone) if is_utc(&right_zone) && is_utc(&zone) => None,
        Some(_) => Some(cast(right.clone(), DataType::Timestamp(unit, Some(zone)))),
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | LOCAL_TIME)
}

/// A literal interval without a time: a date plus it is a date.
fn is_whole_days(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => interval.nanoseconds == 0,
        Expr::Literal(ScalarValue::IntervalDayTime(Some(interval)), _) => interval.milliseconds == 0,
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => true,
        Expr::Negative(inner) => is_whole_days(inner),
        Expr::Alias(alias) => is_whole_days(&alias.expr),
        _ => false,
    }
}

/// `x // y` of integers.
fn integer_division(expr: RawBinaryExpr, schema: &DFSchema) -> Result<Expr> {
    let types = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
    let is_fit = |data_type: &DataType| data_type.is_integer() || data_type.is_null();
    if !(is_fit(&types.0) && is_fit(&types.1)) {
        return plan_err!(
            "`//` divides integers, here are {} and {}: write floor(x / y) for other numbers",
            types.0,
            types.1
        );
    }
    Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(expr.left), Operator::Divide, Box::new(expr.right))))
}

/// Whether an expression is a string literal.
pub(crate) fn is_string(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Utf8View(_) | ScalarValue::LargeUtf8(_), _))
}

/// `base ^ exponent`.
fn raised(base: Expr, exponent: Expr, schema: &DFSchema) -> Result<Expr> {
    for side in [&base, &exponent] {
        // the type of a parameter is not known yet
        if let Ok(data_type) = side.get_type(schema)
            && !(data_type.is_numeric() || data_type.is_null())
        {
            return plan_err!("^ is the power of two numbers, got {data_type}; x XOR y is (x | y) - (x & y)");
        }
    }
    Ok(power().call([base, exponent].map(|side| cast(side, DataType::Float64)).into()))
}

impl ExprPlanner for OperatorPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op == BinaryOperator::BitwiseXor {
            return Ok(PlannerResult::Planned(raised(expr.left, expr.right, schema)?));
        }
        if expr.op == BinaryOperator::DuckIntegerDivide {
            return integer_division(expr, schema).map(PlannerResult::Planned);
        }
        Ok(match self.planned(&expr.op, &expr.left, &expr.right, schema) {
            Some(planned) => PlannerResult::Planned(planned),
            None => PlannerResult::Original(expr),
        })
    }
}

//! [`TimestampComparison`]: dates and timestamps compare with timestamps of any unit, also beyond its range.
//!
//! ```text
//!  CAST(valid_until AS Timestamp(ns)) > now()   ->  CAST(valid_until AS Timestamp(us)) > CAST(now() AS Timestamp(us))
//!  CAST(valid_until AS Timestamp(ns)) > at      ->  saturating_cast(valid_until) > at
//!  CAST('9999-12-31' AS Timestamp(ns)) > at     ->  the last nanosecond > at
//! ```
//! Type coercion casts both sides to the finer unit, and nanoseconds end in 2262: a `9999-12-31` for "never" fails the query.
//! A date beside a constant is compared in microseconds, so that statistics of Parquet still prune; `now()` loses the
//! nanoseconds that PostgreSQL's has not. A timestamp column beside a constant stays, since DataFusion casts the constant, unless
//! that would lose digits, of a string too: `at = timestamp '2025-01-01 00:00:00.0000005'` is false for microseconds. Of constants that are
//! not known yet, such as `now()`, it may, and [`SaturatingCast`] compares with them in the unit of the column.
//! Switch: `cxql.engine.timestamp_comparison`.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions;
use crate::functions::saturating_cast::{SaturatingCast, saturating_cast};
use crate::functions::temporal_cast::{TemporalCast, has_more_digits, is_repaired};
use crate::functions::ticks_per_second;

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct TimestampComparison;

impl AnalyzerRule for TimestampComparison {
    fn name(&self) -> &str {
        "timestamp_comparison"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, rewritten)
    }
}

fn rewritten(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) if is_comparison(op) => {
            let is_changed = compared(&mut [left.as_mut(), right.as_mut()], schema)?;
            Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr { left, op, right }), is_changed)
        }
        Expr::Between(Between { mut expr, negated, mut low, mut high }) => {
            let is_changed = compared(&mut [expr.as_mut(), low.as_mut(), high.as_mut()], schema)?;
            Transformed::new_transformed(Expr::Between(Between { expr, negated, low, high }), is_changed)
        }
        Expr::InList(mut list) => {
            let InList { expr, list: values, .. } = &mut list;
            let mut sides: Vec<&mut Expr> = values.iter_mut().collect();
            sides.push(expr.as_mut());
            let is_changed = compared(&mut sides, schema)?;
            Transformed::new_transformed(Expr::InList(list), is_changed)
        }
        other => Transformed::no(other),
    })
}

pub(super) fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// A value that type coercion casts to a timestamp of a finer unit.
fn widened<'a>(expr: &'a Expr, schema: &DFSchema) -> Option<(&'a Expr, DataType, &'a DataType)> {
    let Expr::Cast(Cast { expr, field }) = expr else { return None };
    let DataType::Timestamp(to, _) = field.data_type() else { return None };
    let from = expr.get_type(schema).ok()?;
    let is_widened = match &from {
        DataType::Date32 | DataType::Date64 => *to == TimeUnit::Nanosecond,
        DataType::Timestamp(from, _) => from < to,
        _ => false,
    };
    is_widened.then_some((expr.as_ref(), from, field.data_type()))
}

fn has_columns(expr: &Expr) -> bool {
    let is_column = |expr: &Expr| {
        matches!(
            expr,
            Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_) | Expr::Placeholder(_)
        )
    };
    // the closure returns no error
    expr.exists(|expr| Ok(is_column(expr))).unwrap_or(true)
}

/// The value of a literal, or of a string that is cast to a date or timestamp.
fn constant(expr: &Expr) -> Result<Option<ScalarValue>> {
    let Expr::Cast(Cast { expr, field }) = expr else {
        return Ok(expr.as_literal().cloned());
    };
    let (Some(value), target) = (expr.as_literal(), field.data_type()) else { return Ok(None) };
    if !is_repaired(&value.data_type(), target) {
        return Ok(value.cast_to(target).ok());
    }
    let cast = TemporalCast::try_to(target.clone()).of(&value.to_array()?)?;
    Ok(ScalarValue::try_from_array(&cast, 0).ok().filter(|value| !value.is_null()))
}

/// Returns true if a constant lies between two ticks of a coarser unit. DataFusion would cut it to the earlier one.
fn is_between_ticks(value: &ScalarValue, unit: TimeUnit) -> bool {
    let (ticks, finer) = match value {
        ScalarValue::TimestampMillisecond(ticks, _) => (ticks, TimeUnit::Millisecond),
        ScalarValue::TimestampMicrosecond(ticks, _) => (ticks, TimeUnit::Microsecond),
        ScalarValue::TimestampNanosecond(ticks, _) => (ticks, TimeUnit::Nanosecond),
        _ => return false,
    };
    ticks.is_some_and(|ticks| ticks % (ticks_per_second(finer) / ticks_per_second(unit)).max(1) != 0)
}

/// The type of a string that has more digits of a second than the column beside it, if there is one.
fn type_of_digits(sides: &[&mut Expr]) -> Option<DataType> {
    sides.iter().find_map(|side| {
        let Expr::Cast(Cast { expr, field }) = &**side else { return None };
        let (text, DataType::Timestamp(unit, zone)) = (expr.as_literal()?.try_as_str()??, field.data_type()) else {
            return None;
        };
        let finer = match has_more_digits(text, TimeUnit::Microsecond) {
            true => TimeUnit::Nanosecond,
            false => TimeUnit::Microsecond,
        };
        (has_more_digits(text, *unit) && finer > *unit).then(|| DataType::Timestamp(finer, zone.clone()))
    })
}

/// Rewrites the sides of a comparison; returns whether one has changed.
fn compared(sides: &mut [&mut Expr], schema: &DFSchema) -> Result<bool> {
    // type coercion casts strings to the unit of the column
    if let Some(finer) = type_of_digits(sides) {
        for side in sides {
            let bare = std::mem::replace(&mut **side, Expr::Literal(ScalarValue::Null, None));
            **side = match bare {
                Expr::Cast(Cast { expr, .. }) if expr.as_literal().is_some() => {
                    Expr::Cast(Cast::new(expr, finer.clone()))
                }
                other => SaturatingCast::udf(finer.clone()).call(vec![other]),
            };
        }
        return Ok(true);
    }
    // constants within the range are as good as those of the finer unit
    let may_be_beyond = |side: &Expr| match widened(side, schema) {
        Some((value, _, target)) => Ok(constant(value)?.is_none_or(|value| value.cast_to(target).is_err())),
        None => Ok(false),
    };
    let mut all = vec![];
    for (index, side) in sides.iter().enumerate() {
        let is_beyond: Result<bool> = may_be_beyond(side);
        if is_beyond? {
            all.push(index);
        }
    }
    // two values beyond the range would be equal to one another
    let [index] = all[..] else { return Ok(false) };
    let Some((value, from, target)) = widened(sides[index], schema) else { return Ok(false) };
    if let Some(value) = constant(value)? {
        let saturated = saturating_cast(&value.to_array()?, target)?;
        *sides[index] = Expr::Literal(ScalarValue::try_from_array(&saturated, 0)?, None);
        return Ok(true);
    }
    let are_constant = sides.iter().enumerate().all(|(other, expr)| other == index || !has_columns(expr));
    if !has_columns(value) {
        return Ok(false);
    }
    if are_constant && let DataType::Timestamp(unit, _) = &from {
        let mut loses_digits = false;
        for (other, side) in sides.iter().enumerate() {
            loses_digits |= other != index && constant(side)?.is_none_or(|value| is_between_ticks(&value, *unit));
        }
        if loses_digits {
            *sides[index] = SaturatingCast::udf(target.clone()).call(vec![value.clone()]);
        }
        return Ok(loses_digits);
    }
    if are_constant && let Some(narrow) = microseconds(sides, index) {
        for (side, narrow) in sides.iter_mut().zip(narrow) {
            **side = narrow;
        }
        return Ok(true);
    }
    *sides[index] = SaturatingCast::udf(target.clone()).call(vec![value.clone()]);
    Ok(true)
}

/// All sides in microseconds, of which that at `index` is a cast; `None` if a constant has nanoseconds.
fn microseconds(sides: &[&mut Expr], index: usize) -> Option<Vec<Expr>> {
    let narrow = sides.iter().enumerate().map(|(number, side)| match &**side {
        Expr::Cast(Cast { expr, field }) if number == index => {
            let DataType::Timestamp(_, zone) = field.data_type() else { return None };
            let target = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            Some(Expr::Cast(Cast::new(expr.clone(), target)))
        }
        Expr::Literal(ScalarValue::TimestampNanosecond(value, zone), metadata) => {
            let value = match value {
                Some(value) if *value % 1_000 != 0 => return None,
                value => value.map(|value| value / 1_000),
            };
            Some(Expr::Literal(ScalarValue::TimestampMicrosecond(value, zone.clone()), metadata.clone()))
        }
        Expr::Literal(..) => None,
        other => {
            let zone = match sides.get(index).map(|side| &**side) {
                Some(Expr::Cast(Cast { field, .. })) => match field.data_type() {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    _ => None,
                },
                _ => None,
            };
            Some(Expr::Cast(Cast::new(Box::new(other.clone()), DataType::Timestamp(TimeUnit::Microsecond, zone))))
        }
    });
    narrow.collect()
}

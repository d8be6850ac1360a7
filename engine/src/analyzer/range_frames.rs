//! [`RangeFrames`]: offsets of RANGE frames fit the type of the key, and frames may go beyond its range.
//!
//! | frame | DataFusion 55.2 | here |
//! |---|---|---|
//! | `order by day range between 7 preceding ...` of a date or timestamp | 7 months | an error: write `interval '7 days'` |
//! | `order by name range between 1 preceding ...` of strings, booleans, lists | the peers | an error |
//! | `order by x range between 100 following ...` of a `tinyint` 100 | all rows that follow, NULL too | the key is wider |
//!
//! ```text
//!  Window: count(*) ORDER BY x RANGE 100 FOLLOWING   ->  Window: count(*) ORDER BY CAST(x AS Int64) RANGE 100 FOLLOWING
//!    t: x Int8                                             t
//! ```
//! Integers of less than 64 bits become `Int64`, those of 64 bits decimals. Timestamps within an interval of the end of their
//! range, the year 2262 in nanoseconds, stay as they are. Source: PostgreSQL, "Window Function Calls". Switch:
//! `cxql.engine.range_frames`.

use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, IntervalUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, WindowFrameBound, WindowFrameUnits, cast};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_node;

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct RangeFrames;

impl AnalyzerRule for RangeFrames {
    fn name(&self) -> &str {
        "range_frames"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut is_changed = false;
        let plan = plan.transform_up_with_subqueries(|plan| {
            let plan = match plan {
                LogicalPlan::Window(window) => {
                    refuse_equal_frames(&window.window_expr)?;
                    let mut wide = None;
                    for expr in &window.window_expr {
                        expr.apply(|part| {
                            if let Expr::WindowFunction(call) = part {
                                wide = wide.take().max(wide_key(call, window.input.schema())?);
                            }
                            Ok(TreeNodeRecursion::Continue)
                        })?;
                    }
                    match wide {
                        // all functions of an operator have the same keys
                        Some(Wide(target)) => {
                            rewrite_node(LogicalPlan::Window(window), &mut |expr: Expr, schema: &DFSchema| {
                                Ok(with_key(expr, &target, schema))
                            })?
                        }
                        None => Transformed::no(LogicalPlan::Window(window)),
                    }
                }
                other => Transformed::no(other),
            };
            is_changed |= plan.transformed;
            if is_changed { plan.map_data(LogicalPlan::recompute_schema) } else { Ok(plan) }
        })?;
        Ok(plan.data)
    }
}

/// The type of a key that has room for what a frame adds to it; decimals are wider than integers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wide(DataType);

/// The offsets of a RANGE frame as they are written; type coercion reads them.
fn offsets(call: &WindowFunction) -> Vec<&str> {
    let frame = &call.params.window_frame;
    if frame.units != WindowFrameUnits::Range {
        return vec![];
    }
    let bounds = [&frame.start_bound, &frame.end_bound].into_iter();
    let written = bounds.filter_map(|bound| match bound {
        WindowFrameBound::Preceding(ScalarValue::Utf8(Some(text)))
        | WindowFrameBound::Following(ScalarValue::Utf8(Some(text))) => Some(text.trim()),
        _ => None,
    });
    written.collect()
}

/// Two spellings of one frame, which are the same column twice after type coercion: the error would be one of the physical plan.
fn refuse_equal_frames(exprs: &[Expr]) -> Result<()> {
    let calls: Vec<&WindowFunction> = exprs
        .iter()
        .filter_map(|expr| match expr {
            Expr::WindowFunction(call) if !offsets(call).is_empty() => Some(call.as_ref()),
            _ => None,
        })
        .collect();
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let read = |text: &&str| ScalarValue::try_from_string((*text).to_string(), &interval).ok();
    for (index, call) in calls.iter().enumerate() {
        for other in &calls[..index] {
            let (one, two) = (offsets(call), offsets(other));
            let mut alike = (*call).clone();
            alike.params.window_frame = other.params.window_frame.clone();
            let are_equal = one.len() == two.len()
                && one.iter().zip(&two).all(|(one, two)| one == two || (read(one).is_some() && read(one) == read(two)));
            let has_same_bounds = std::mem::discriminant(&call.params.window_frame.start_bound)
                == std::mem::discriminant(&other.params.window_frame.start_bound)
                && std::mem::discriminant(&call.params.window_frame.end_bound)
                    == std::mem::discriminant(&other.params.window_frame.end_bound);
            if one != two && are_equal && has_same_bounds && alike == **other {
                return plan_err!(
                    "two windows have one frame in two spellings, {} and {}: write them alike",
                    one.join(" and "),
                    two.join(" and ")
                );
            }
        }
    }
    Ok(())
}

/// The type that the key of a frame needs.
///
/// # Errors
/// An offset that does not fit the key.
fn wide_key(call: &WindowFunction, schema: &DFSchema) -> Result<Option<Wide>> {
    let offsets = offsets(call);
    let Some(sort) = call.params.order_by.first().filter(|_| !offsets.is_empty()) else { return Ok(None) };
    let mut key = sort.expr.get_type(schema)?;
    if let DataType::Dictionary(_, values) = key {
        key = *values;
    }
    match &key {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            let kind = if matches!(key, DataType::Timestamp(..)) { "timestamp" } else { "date" };
            match offsets.iter().find(|offset| offset.parse::<f64>().is_ok()) {
                Some(offset) => plan_err!(
                    "the offset {offset} of RANGE over a {kind} has no unit; write interval '{offset} days', or rows between {offset} preceding for rows"
                ),
                None => Ok(None),
            }
        }
        key if key.is_integer() => {
            let Some(most) = offsets
                .iter()
                .map(|offset| offset.parse::<i64>().ok())
                .try_fold(0, |most, offset| Some(most.max(offset?)))
            else {
                return plan_err!(
                    "RANGE over integers takes a whole number, got {}; write order by cast(x as double)",
                    offsets.join(" and ")
                );
            };
            let is_short = !matches!(key, DataType::Int64 | DataType::UInt64) && most < i64::MAX / 2;
            Ok(Some(Wide(if is_short { DataType::Int64 } else { DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0) })))
        }
        key if key.is_numeric() || key.is_null() => Ok(None),
        DataType::Interval(_) | DataType::Duration(_) | DataType::Time32(_) | DataType::Time64(_) => Ok(None),
        key => {
            let kind = if key.is_string() { "a string".into() } else { key.to_string() };
            plan_err!(
                "RANGE with an offset takes a number, a date or a timestamp in ORDER BY, got {kind}; write rows between {} preceding",
                offsets[0]
            )
        }
    }
}

/// A window function with a wider first key.
fn with_key(mut expr: Expr, target: &DataType, schema: &DFSchema) -> Transformed<Expr> {
    if let Expr::WindowFunction(call) = &mut expr
        && let Some(sort) = call.params.order_by.first_mut()
        && sort.expr.get_type(schema).is_ok_and(|found| found != *target)
    {
        sort.expr = cast(std::mem::take(&mut sort.expr), target.clone());
        return Transformed::yes(expr);
    }
    Transformed::no(expr)
}

//! [`SessionTimeZone`]: UTC timestamps of tables and literals are shown in the time zone of the session.
//!
//! ```text
//!  Filter: at >= TimestampMicrosecond(.., UTC)     ->  Filter: at >= TimestampMicrosecond(.., Europe/Berlin)
//!    TableScan: contacts                                 Projection: CAST(at AS Timestamp(us, Europe/Berlin)) AS at, ...
//!                                                          TableScan: contacts
//! ```
//! So are casts to UTC, of which those of dates are their local midnight, and those to [`LOCAL_TIME`] of local times. The point in
//! time stays; days, weeks, months and hours (`date_trunc`, `extract`, casts to dates) become local ones, and the result is shown
//! with the offset, also above unions, subqueries and other set operations. Columns that have another zone than UTC in their file
//! keep it. Does so where the session's `datafusion.execution.time_zone` is set and not UTC; in all sessions it casts dates that stand
//! beside timestamps with time zone ([`dates`]). Switch: `cxql.engine.session_time_zone`.

mod dates;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, Projection, cast};
use datafusion::optimizer::AnalyzerRule;

use super::rewrite_expressions_above;
use crate::functions::operators::{LOCAL_TIME, in_one_zone};
use crate::functions::overrides::without_utc;

/// The rule; see the module.
#[derive(Debug)]
pub(crate) struct SessionTimeZone;

impl AnalyzerRule for SessionTimeZone {
    fn name(&self) -> &str {
        "session_time_zone"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = match config.execution.time_zone.as_deref() {
            None | Some("UTC" | "Etc/UTC" | "Z" | "+00:00") => plan,
            Some(zone) => in_session_zone(plan, &zone.into())?,
        };
        dates::as_midnights(plan)
    }
}

fn in_session_zone(plan: LogicalPlan, zone: &Arc<str>) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| local_scan(plan, zone))?;
    // the types of all columns above are computed anew
    rewrite_expressions_above(plan.data, plan.transformed, |expr, schema| {
        Ok(match expr {
            // a column that was converted to UTC, as times of the model are; a date is a local day
            Expr::Cast(Cast { expr, field }) if without_utc(field.data_type()).is_some() => {
                let is_local = match field.data_type() {
                    DataType::Timestamp(_, Some(zone)) if zone.as_ref() == LOCAL_TIME => true,
                    _ => matches!(
                        expr.get_type(schema),
                        Ok(DataType::Date32 | DataType::Date64 | DataType::Null | DataType::Timestamp(_, Some(_)))
                    ),
                };
                let local = in_zone_type(field.data_type(), zone).unwrap_or_else(|| field.data_type().clone());
                Transformed::yes(match is_local {
                    true => cast(*expr, local),
                    false => cast(Expr::Cast(Cast { expr, field }), local),
                })
            }
            // a column has become local, beside what stays UTC, such as `arrow_cast(.., 'Timestamp(us, "UTC")')`
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                let zoned = in_one_zone(&left, &right, schema);
                let is_changed = zoned.is_some();
                let right = zoned.map_or(right, Box::new);
                let minus = Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right });
                Transformed::new_transformed(minus, is_changed)
            }
            Expr::Literal(value, metadata) => match in_zone(value, zone) {
                (value, true) => Transformed::yes(Expr::Literal(value, metadata)),
                (value, false) => Transformed::no(Expr::Literal(value, metadata)),
            },
            // an outer column has the type of its scan
            Expr::OuterReferenceColumn(field, column) => match in_zone_type(field.data_type(), zone) {
                Some(data_type) => {
                    let field = Arc::new(field.as_ref().clone().with_data_type(data_type));
                    Transformed::yes(Expr::OuterReferenceColumn(field, column))
                }
                None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
            },
            expr => Transformed::no(expr),
        })
    })
}

fn in_zone_type(data_type: &DataType, zone: &Arc<str>) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(unit, _) if without_utc(data_type).is_some() => {
            Some(DataType::Timestamp(*unit, Some(Arc::clone(zone))))
        }
        _ => None,
    }
}

fn in_zone(value: ScalarValue, zone: &Arc<str>) -> (ScalarValue, bool) {
    if without_utc(&value.data_type()).is_none() {
        return (value, false);
    }
    let zone = Some(Arc::clone(zone));
    let value = match value {
        ScalarValue::TimestampSecond(ticks, _) => ScalarValue::TimestampSecond(ticks, zone),
        ScalarValue::TimestampMillisecond(ticks, _) => ScalarValue::TimestampMillisecond(ticks, zone),
        ScalarValue::TimestampMicrosecond(ticks, _) => ScalarValue::TimestampMicrosecond(ticks, zone),
        ScalarValue::TimestampNanosecond(ticks, _) => ScalarValue::TimestampNanosecond(ticks, zone),
        other => return (other, false),
    };
    (value, true)
}

/// A scan below a projection that casts its UTC columns.
fn local_scan(plan: LogicalPlan, zone: &Arc<str>) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::TableScan(scan) = &plan else { return Ok(Transformed::no(plan)) };
    let schema = Arc::clone(&scan.projected_schema);
    if !schema.fields().iter().any(|field| in_zone_type(field.data_type(), zone).is_some()) {
        return Ok(Transformed::no(plan));
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        match in_zone_type(field.data_type(), zone) {
            Some(data_type) => cast(column, data_type).alias_qualified(qualifier.cloned(), field.name()),
            None => column,
        }
    });
    let projection = Projection::try_new(columns.collect(), Arc::new(plan))?;
    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
}

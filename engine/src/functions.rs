//! Built-in functions of DataFusion that are wrong or slow, and what replaces them.
//!
//! [`override_builtins`] wraps the functions of a session builder; a wrapped function keeps its name, signature and
//! documentation. Switch: `cxql.engine.function_overrides`, read when a session is built.

mod age;
pub(crate) mod aggregates;
mod bit_count;
mod bounded;
pub(crate) mod calendar;
pub(crate) mod canonical_float;
pub(crate) mod coarser_unit;
pub(crate) mod delegate;
pub(crate) mod duration_average;
mod duration_fields;
pub(crate) mod exact;
pub(crate) mod extract;
pub(crate) mod interval_extremes;
pub(crate) mod interval_key;
pub(crate) mod interval_scale;
pub(crate) mod interval_text;
pub(crate) mod local_time;
pub(crate) mod operators;
pub(crate) mod overrides;
pub(crate) mod percentile;
mod percentile_disc;
pub(crate) mod saturating_cast;
mod series;
pub(crate) mod signed;
pub(crate) mod temporal_cast;
pub(crate) mod time_zone;
mod to_char;
mod try_to_timestamp;
pub(crate) mod window_shift;
mod zoned;

use std::sync::Arc;

use datafusion::arrow::datatypes::TimeUnit;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use self::age::Age;
use self::aggregates::{AggregateOverride, AggregateRepair};
use self::bit_count::BitCount;
use self::bounded::{BOUNDED, Bounded};
use self::operators::OperatorPlanner;
use self::overrides::{FunctionOverride, Repair};
use self::percentile::PercentileCont;
use self::percentile_disc::PercentileDisc;
use self::series::{SERIES, Series};
use self::signed::{SignedAggregate, SignedScalar, SignedWindow};
use self::time_zone::TimeZone;
use self::to_char::ToChar;
use self::try_to_timestamp::{TryToDate, TryToTimestamp};
use self::window_shift::WindowShift;

/// With a session time zone and a format these declare a timestamp with that time zone and return one without, which fails the
/// query.
const TO_TIMESTAMP: [&str; 5] =
    ["to_timestamp", "to_timestamp_seconds", "to_timestamp_millis", "to_timestamp_micros", "to_timestamp_nanos"];

/// These look up the time zone for every row and construct a calendar date. UTC timestamps have the same fields without a time
/// zone, and most fields follow by arithmetic (`calendar.rs`).
const CALENDAR: [&str; 2] = ["date_trunc", "date_part"];

/// Replaces functions of a session that is being built. Functions that the builder does not have are skipped.
pub(crate) fn override_builtins(builder: &mut SessionStateBuilder) {
    for function in builder.scalar_functions().iter_mut().flatten() {
        let repair = match function.name() {
            name if CALENDAR.contains(&name) => Repair::Calendar,
            name if TO_TIMESTAMP.contains(&name) => Repair::ToTimestamp,
            "date_bin" => Repair::Bin,
            "to_date" => Repair::ToDate,
            "to_unixtime" => Repair::ToUnixtime,
            "to_char" => {
                *function = Arc::new(ScalarUDF::from(ToChar { inner: Arc::clone(function) }));
                continue;
            }
            name if SERIES.contains(&name) => {
                *function = Arc::new(ScalarUDF::from(Series { inner: Arc::clone(function) }));
                continue;
            }
            name if signed::SCALAR.contains(&name) => {
                *function = Arc::new(ScalarUDF::from(SignedScalar { inner: Arc::clone(function) }));
                continue;
            }
            _ => continue,
        };
        let inner = Arc::clone(function);
        *function = Arc::new(ScalarUDF::from(FunctionOverride::new(inner, repair)));
    }
    for function in builder.scalar_functions().iter_mut().flatten() {
        if BOUNDED.contains(&function.name()) {
            *function = Arc::new(ScalarUDF::from(Bounded { inner: Arc::clone(function) }));
        }
    }
    if let Some(functions) = builder.scalar_functions() {
        let default = ConfigOptions::default();
        let added = [
            TimeZone::udf(&default),
            TryToTimestamp::udf(&default),
            TryToDate::udf(),
            ScalarUDF::from(BitCount::new()),
            ScalarUDF::from(Age::new()),
        ];
        functions.extend(added.map(Arc::new));
    }
    if let Some(planners) = builder.expr_planners() {
        planners.insert(0, Arc::new(OperatorPlanner::new()));
    }
    extract::plan_with_override(builder);
    for function in builder.aggregate_functions().iter_mut().flatten() {
        // DataFusion's stores every value for every call
        if function.name() == "percentile_cont" {
            *function = Arc::new(AggregateUDF::from(PercentileCont::new(Arc::clone(function))));
        } else if signed::AGGREGATE.contains(&function.name()) {
            *function = Arc::new(AggregateUDF::from(SignedAggregate { inner: Arc::clone(function) }));
        } else if let Some(repair) = AggregateRepair::of(function.name()) {
            *function = Arc::new(AggregateUDF::from(AggregateOverride::new(Arc::clone(function), repair)));
        }
    }
    let aggregates = builder.aggregate_functions().get_or_insert_default();
    aggregates.push(Arc::new(AggregateUDF::from(PercentileDisc::new())));
    for function in builder.window_functions().iter_mut().flatten() {
        if signed::WINDOW.contains(&function.name()) {
            *function = Arc::new(WindowUDF::from(SignedWindow { inner: Arc::clone(function) }));
        } else if matches!(function.name(), "lag" | "lead") {
            let shift = WindowShift { inner: Arc::clone(function), is_reversed: false };
            *function = Arc::new(WindowUDF::from(shift));
        }
    }
}

/// Ticks of a time unit in a second.
pub(crate) fn ticks_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

//! Built-in functions of DataFusion that are wrong or slow, and what replaces them.
//!
//! [`override_builtins`] wraps the functions of a session builder; a wrapped function keeps its name, signature and
//! documentation. Switch: `cxql.engine.function_overrides`, read when a session is built.

pub(crate) mod aggregates;
pub(crate) mod calendar;
pub(crate) mod canonical_float;
pub(crate) mod exact;
pub(crate) mod overrides;
pub(crate) mod percentile;
pub(crate) mod signed;

use std::sync::Arc;

use datafusion::arrow::datatypes::TimeUnit;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use self::aggregates::{AggregateOverride, Repair};
use self::overrides::FunctionOverride;
use self::percentile::PercentileCont;
use self::signed::{SignedAggregate, SignedScalar, SignedWindow};

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
        let strips_utc = CALENDAR.contains(&function.name());
        if strips_utc || TO_TIMESTAMP.contains(&function.name()) {
            let inner = Arc::clone(function);
            *function = Arc::new(ScalarUDF::from(FunctionOverride { inner, strips_utc }));
        } else if signed::SCALAR.contains(&function.name()) {
            *function = Arc::new(ScalarUDF::from(SignedScalar { inner: Arc::clone(function) }));
        }
    }
    for function in builder.aggregate_functions().iter_mut().flatten() {
        // DataFusion's stores every value for every call
        if function.name() == "percentile_cont" {
            *function = Arc::new(AggregateUDF::from(PercentileCont::new(Arc::clone(function))));
        } else if signed::AGGREGATE.contains(&function.name()) {
            *function = Arc::new(AggregateUDF::from(SignedAggregate { inner: Arc::clone(function) }));
        } else if let Some(repair) = Repair::of(function.name()) {
            *function = Arc::new(AggregateUDF::from(AggregateOverride::new(Arc::clone(function), repair)));
        }
    }
    for function in builder.window_functions().iter_mut().flatten() {
        if signed::WINDOW.contains(&function.name()) {
            *function = Arc::new(WindowUDF::from(SignedWindow { inner: Arc::clone(function) }));
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

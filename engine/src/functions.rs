//! Built-in functions of DataFusion that are wrong or slow, and what replaces them.

pub(crate) mod calendar;
pub(crate) mod overrides;
pub(crate) mod percentile;

use std::sync::Arc;

use datafusion::arrow::datatypes::TimeUnit;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use self::overrides::FunctionOverride;
use self::percentile::PercentileCont;

/// `to_timestamp` and its kin, with a session time zone and a format, promise a timestamp with that time zone and return one
/// without, which ends the query.
const TO_TIMESTAMP: [&str; 5] =
    ["to_timestamp", "to_timestamp_seconds", "to_timestamp_millis", "to_timestamp_micros", "to_timestamp_nanos"];

/// These look up the time zone for every row and build a calendar date from it. In UTC the same timestamps without a time
/// zone have the same fields, and most of them follow by arithmetic (`calendar.rs`).
const CALENDAR: [&str; 2] = ["date_trunc", "date_part"];

/// Replaces functions of a session that is being built. Those that it does not have are left out.
pub(crate) fn override_builtins(builder: &mut SessionStateBuilder) {
    for function in builder.scalar_functions().iter_mut().flatten() {
        let strips_utc = CALENDAR.contains(&function.name());
        if strips_utc || TO_TIMESTAMP.contains(&function.name()) {
            let inner = Arc::clone(function);
            *function = Arc::new(ScalarUDF::from(FunctionOverride { inner, strips_utc }));
        }
    }
    for function in builder.aggregate_functions().iter_mut().flatten() {
        // DataFusion's keeps every value for every call
        if function.name() == "percentile_cont" {
            *function = Arc::new(AggregateUDF::from(PercentileCont::new(Arc::clone(function))));
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

//! `business_s`, `business_add`, `is_business_time`, `next_business_time`: time by the opening hours of a calendar.
//!
//! ```text
//!  definition                    timeline (built once, on first use)          functions
//!  +--------------------+  days  +-----------------------------------+  index +-------------------------+
//!  | hours, holidays,   | -----> | open segments in UTC, with the    | -----> | position(end)           |
//!  | make-up days, zone |        | open seconds before each of them  |        |   - position(start)     |
//!  +--------------------+        +-----------------------------------+        +-------------------------+
//! ```
//! Formula: business time is where the clock of the calendar's time zone shows a time within the hours of that day.
//! Units:   seconds, with their fraction.
//! NULL:    a NULL argument gives NULL, and so does a time that the calendar does not cover.
//! Edges:   hours past midnight belong to the day on which they begin; a day with a clock change has the seconds it has.
//! Source:  IANA time zone database; `china/README.md`; `germany.rs`. Choices: docs/decisions/definitions.md#business-time

mod calendar;
mod china;
mod definition;
mod functions;
mod germany;
mod pages;
mod timeline;
mod zone;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::registry::FunctionRegistry;

pub use self::calendar::Calendars;
pub use self::definition::{CalendarDefinition, DateRange, DayHours, HoursChange, WeeklyHours, parse_date};

/// Registers the functions of this family with a project's calendars, in place of those with the shipped calendars alone.
///
/// # Errors
/// When the registry refuses a function.
pub fn register(registry: &mut dyn FunctionRegistry, calendars: &Arc<Calendars>) -> Result<()> {
    for function in functions::scalar_functions(calendars) {
        registry.register_udf(function)?;
    }
    Ok(())
}

/// The functions with the shipped calendars.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    functions::scalar_functions(&Arc::new(Calendars::default()))
}

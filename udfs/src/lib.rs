//! SQL functions for customer interactions, for any DataFusion program.
//!
//! ```
//! use datafusion::prelude::SessionContext;
//!
//! let ctx = SessionContext::new();
//! cxql_udfs::register_all(&mut *ctx.state_ref().write())?;
//! # Ok::<(), datafusion::error::DataFusionError>(())
//! ```
//!
//! Each family of functions is one module: its documentation, its pure state (plain Rust, no Arrow), and the adapter
//! that lets DataFusion drive it.

mod aggregate;
mod anonymity;
mod args;
pub mod business_time;
mod churn;
mod control;
pub mod docs;
mod fit;
pub mod grouped;
mod inference;
mod label;
mod lifetime;
mod mode;
mod numerics;
mod outlier;
mod partition;
pub mod privacy;
mod queue;
mod rate;
mod regression;
mod resolution;
mod satisfaction;
mod sentiment;
mod stretches;
mod strings;
mod survival;
mod times;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// Registers every function of this crate.
///
/// # Errors
/// When the registry refuses a function.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in scalar_functions() {
        registry.register_udf(function)?;
    }
    for function in aggregate_functions() {
        registry.register_udaf(function)?;
    }
    for function in window_functions() {
        registry.register_udwf(function)?;
    }
    Ok(())
}

/// The scalar functions of this crate.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    [
        sentiment::scalar_functions(),
        label::scalar_functions(),
        inference::scalar_functions(),
        regression::scalar_functions(),
        privacy::scalar_functions(),
        business_time::scalar_functions(),
        stretches::scalar_functions(),
        survival::scalar_functions(),
        lifetime::scalar_functions(),
    ]
    .concat()
}

/// The aggregate functions of this crate.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [
        satisfaction::aggregate_functions(),
        rate::aggregate_functions(),
        resolution::survival::aggregate_functions(),
        queue::aggregate_functions(),
        mode::aggregate_functions(),
        inference::aggregate_functions(),
        regression::aggregate_functions(),
        anonymity::aggregate_functions(),
        churn::aggregate_functions(),
        stretches::aggregate_functions(),
        survival::aggregate_functions(),
        lifetime::aggregate_functions(),
    ]
    .concat()
}

/// The window functions of this crate.
pub fn window_functions() -> Vec<Arc<WindowUDF>> {
    [
        resolution::window_functions(),
        outlier::window_functions(),
        control::window_functions(),
        inference::window_functions(),
    ]
    .concat()
}

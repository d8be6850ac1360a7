//! What DataFusion lacks for SQL over customer interactions: optimizer rules, operators, repaired built-in functions and
//! memory pools. Nothing here depends on a table, a report, a file or a configuration of cxql (only on the functions of
//! cxql-udfs, whose window functions have a form for many partitions at once); any DataFusion program can use it.
//!
//! ```text
//!                  logical plan                         physical plan
//!  SQL ----------> analyzer/ -------> DataFusion -----> optimizer/ -------> window/ aggregate/ join/
//!                  rewrites types     plans and         replaces            the operators that run
//!                  and calls          optimizes         operators
//! ```
//!
//! - [`rules`]: the one ordered list of all rules, each with the reason for its position.
//! - [`EngineOptions`]: a switch per rule and the thresholds, as `cxql.engine.*`.
//! - `analyzer`, `optimizer`: one file per rule. A rule chooses an operator, an operator does not depend on a rule.
//! - [`window`], [`aggregate`], [`join`], [`unique_keys`]: the operators. Each has a page: what it computes, when it is chosen,
//!   its memory.
//! - `expressions`: physical expressions that rules put in place of DataFusion's.
//! - `functions`: built-in functions of DataFusion that are wrong or slow, and what replaces them.
//! - `sql`: rewrites of a parsed statement before it is planned, [`rewrite_statement`].
//! - [`shared`]: subplans that occur several times, computed once.
//! - [`memory`]: pools that keep a memory limit.
//! - `staged_write`: files of COPY and INSERT that appear whole or not at all.
//! - `clustering`: which operators emit clustered rows, and where a column of a plan comes from.
//! - `kernels`: hash constants, scatter, string interner, key comparison. `exec_util`: what every operator repeats.
//!
//! # Example
//!
//! ```
//! use cxql_engine::EngineOptions;
//! use datafusion::execution::SessionStateBuilder;
//! use datafusion::prelude::SessionContext;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let builder = SessionStateBuilder::new_with_default_features();
//! let state = cxql_engine::register(builder, EngineOptions::default())?.build();
//! let context = SessionContext::new_with_state(state);
//! let sql = "select k, row_number() over (partition by k order by v) as n from (values ('a', 2), ('a', 1), ('b', 5)) as t (k, v)";
//! let plan = context.sql(sql).await?.create_physical_plan().await?;
//! let plan = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
//! assert!(plan.contains("HashWindowAggExec"), "{plan}");
//! # Ok(())
//! # }
//! ```

pub mod aggregate;
mod analyzer;
mod clustering;
mod exec_util;
mod expressions;
mod functions;
pub mod join;
mod kernels;
pub mod memory;
mod optimizer;
mod options;
mod pass_through;
pub mod planning;
pub mod rules;
pub mod shared;
mod sql;
mod staged_write;
pub mod unique_keys;
pub mod window;

use std::sync::Arc;

use datafusion::config::ConfigNonZeroUsize;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

pub use self::functions::interval_text::{
    number_without_unit, shown as shown_interval, spelled_out as spelled_interval,
};
pub use self::functions::temporal_cast::{has_offset, string_timestamp};
use self::optimizer::equijoin_keys;
pub use self::optimizer::hash_window_agg::sorted_window_reasons;
use self::optimizer::window_keys;
pub use self::options::EngineOptions;
pub use self::sql::{rewrite, rewrite_statement};

/// Adds all rules and functions of this crate to a session that is being built, with `options` as `cxql.engine.*`.
///
/// Call it after [`SessionStateBuilder::with_default_features`] (functions that the builder does not have yet are not
/// repaired), after the rules of the program are set, and after the runtime environment is set: the rule for dictionary
/// scans reads the footers that the environment caches.
///
/// # Errors
/// A rule of DataFusion before which one of ours is placed is not among the builder's rules.
pub fn register(mut builder: SessionStateBuilder, options: EngineOptions) -> Result<SessionStateBuilder> {
    let runtime = Arc::clone(builder.runtime_env().get_or_insert_with(|| Arc::new(RuntimeEnv::default())));
    let footers = runtime.cache_manager.get_file_metadata_cache();
    let analyzer = builder.analyzer().get_or_insert_with(Analyzer::new);
    analyzer.rules = rules::place(std::mem::take(&mut analyzer.rules), rules::analyzer_rules())?;
    let optimizer = builder.physical_optimizers().get_or_insert_with(PhysicalOptimizer::new);
    optimizer.rules = rules::place(std::mem::take(&mut optimizer.rules), rules::optimizer_rules(footers))?;
    let optimizer = builder.optimizer().get_or_insert_with(Optimizer::new);
    for rule in optimizer.rules.iter_mut().filter(|rule| equijoin_keys::WRAPPED.contains(&rule.name())) {
        *rule = Arc::new(equijoin_keys::EquijoinKeys(Arc::clone(rule)));
    }
    for rule in optimizer.rules.iter_mut().filter(|rule| rule.name() == window_keys::WRAPPED) {
        *rule = Arc::new(window_keys::WindowKeys(Arc::clone(rule)));
    }
    // first: pushed down filters and projections make equal subplans differ
    optimizer.rules.insert(0, Arc::new(shared::ShareSubplans));
    let planner = builder.query_planner();
    *planner = Some(Arc::new(shared::SharedSubplanPlanner { inner: planner.take() }));
    if options.function_overrides {
        functions::override_builtins(&mut builder);
    }
    builder.relation_planners().get_or_insert_default().insert(0, Arc::new(planning::using_joins::UsingJoins));
    let config = builder.config().get_or_insert_default().options_mut();
    // RepartitionExec waits forever when two of its inputs write spill files for one output: it reads the older one until that is
    // full (https://github.com/apache/datafusion/issues/24883). With this size a file is full with its first batch.
    config.execution.max_spill_file_size_bytes = ConfigNonZeroUsize::try_new(1)?;
    config.extensions.insert(options);
    Ok(builder)
}

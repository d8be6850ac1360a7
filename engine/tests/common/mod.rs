//! Sessions for the tests: with everything of this crate, or DataFusion's own, which is the expected value.

use std::sync::Arc;

use cxql_engine::EngineOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

/// A session with the functions of cxql, and with this crate's rules if there are options.
pub(crate) fn context(
    options: Option<EngineOptions>,
    config: SessionConfig,
    pool: Arc<dyn MemoryPool>,
) -> SessionContext {
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
    let builder = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features();
    let builder = match options {
        Some(options) => cxql_engine::register(builder, options).unwrap(),
        None => builder,
    };
    let context = SessionContext::new_with_state(builder.build());
    cxql_udfs::register_all(&mut *context.state_ref().write()).unwrap();
    context
}

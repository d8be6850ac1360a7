//! [`QueryMemoryPool`]: limits one query within the memory pool of a session.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};
use datafusion::execution::runtime_env::RuntimeEnv;
use parking_lot::Mutex;

/// Reserves at most `limit` bytes of another pool. Beyond the limit, consumers that can spill do so; for others the query fails.
#[derive(Debug)]
struct QueryMemoryPool {
    /// The pool of the session, which limits all queries together.
    session: Arc<dyn MemoryPool>,
    limit: usize,
    /// Bytes that this query has reserved.
    used: Mutex<usize>,
}

/// The runtime environment of a query that may reserve at most `limit` bytes of the pool of `runtime`.
pub fn with_query_limit(runtime: &RuntimeEnv, limit: usize) -> Arc<RuntimeEnv> {
    let pool = QueryMemoryPool { session: Arc::clone(&runtime.memory_pool), limit, used: Mutex::new(0) };
    Arc::new(RuntimeEnv { memory_pool: Arc::new(pool), ..runtime.clone() })
}

impl MemoryPool for QueryMemoryPool {
    fn name(&self) -> &str {
        "cxql query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.session.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.session.unregister(consumer);
    }

    /// Must not fail by contract, and may exceed the limit: operators call it for memory that they already have.
    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.session.grow(reservation, additional);
        *self.used.lock() += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.session.shrink(reservation, shrink);
        *self.used.lock() -= shrink;
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        // locked until the session's pool has decided: two consumers must not both pass the check
        let mut used = self.used.lock();
        if used.saturating_add(additional) > self.limit {
            return Err(resources_datafusion_err!(
                "{} wants {} more, {} are taken, and one query may take {}",
                reservation.consumer().name(),
                human_readable_size(additional),
                human_readable_size(*used),
                human_readable_size(self.limit)
            ));
        }
        self.session.try_grow(reservation, additional)?;
        *used += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        *self.used.lock()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for QueryMemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cxql query(limit: {})", human_readable_size(self.limit))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;

    use super::*;

    #[test]
    fn a_query_reserves_up_to_its_limit_and_the_session_s() {
        let all = Arc::new(GreedyMemoryPool::new(1000));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(all).build().unwrap();
        let (one, other) = (with_query_limit(&runtime, 600), with_query_limit(&runtime, 600));
        let first = MemoryConsumer::new("first").register(&one.memory_pool);
        first.try_grow(600).unwrap();
        let error = first.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("one query may take 600.0 B"), "{error}");
        // all queries together are limited by the pool of the session
        let second = MemoryConsumer::new("second").register(&other.memory_pool);
        second.try_grow(401).unwrap_err();
        second.try_grow(400).unwrap();
        drop(first);
        second.try_grow(200).unwrap();
        assert_eq!((one.memory_pool.reserved(), other.memory_pool.reserved()), (0, 600));
        assert_eq!(runtime.memory_pool.reserved(), 600);
    }
}

//! [`SpillHeadroomPool`]: a memory pool in which spillable consumers leave room for unaccounted memory.

use std::fmt;

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};
use parking_lot::Mutex;

/// Bytes that spillable consumers leave free for memory that no operator reserves: batches between operators, buffers of
/// readers, rows that a sort has twice while it spills. Of a small limit it is five eighths.
const HEADROOM_BYTES: usize = 512 << 20;

/// The memory pool of a session.
///
/// Spillable consumers share a part of the limit evenly and spill beyond it; others may reserve up to the whole limit. With
/// DataFusion's `FairSpillPool` spillable consumers fill the limit, and the process exceeds it by the unaccounted memory. A
/// smaller limit for all does not help: hash joins and merges cannot spill, and would fail.
#[derive(Debug)]
pub struct SpillHeadroomPool {
    limit: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// Registered consumers that can spill.
    spillable_count: usize,
    /// Bytes reserved by them.
    spillable: usize,
    /// Bytes reserved by all others.
    other: usize,
}

impl SpillHeadroomPool {
    /// A pool of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::default() }
    }
}

impl Used {
    fn of(&mut self, consumer: &MemoryConsumer) -> &mut usize {
        if consumer.can_spill() { &mut self.spillable } else { &mut self.other }
    }
}

impl MemoryPool for SpillHeadroomPool {
    fn name(&self) -> &str {
        "cxql"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.used.lock().spillable_count += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.used.lock().spillable_count -= usize::from(consumer.can_spill());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.used.lock().of(reservation.consumer()) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        *self.used.lock().of(reservation.consumer()) -= shrink;
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let mut used = self.used.lock();
        // A spillable consumer is compared with its even share, any other with the whole limit.
        let (taken, available) = if consumer.can_spill() {
            let all =
                (self.limit - (self.limit / 8 * 5).min(HEADROOM_BYTES)).min(self.limit.saturating_sub(used.other));
            (reservation.size(), all / used.spillable_count.max(1))
        } else {
            (used.other + used.spillable, self.limit)
        };
        if taken.saturating_add(additional) > available {
            return Err(resources_datafusion_err!(
                "{} wants {} more with {} taken, and {} of the memory limit of {} remain for it",
                consumer.name(),
                human_readable_size(additional),
                human_readable_size(reservation.size()),
                human_readable_size(available.saturating_sub(taken)),
                human_readable_size(self.limit)
            ));
        }
        *used.of(consumer) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used.lock();
        used.spillable + used.other
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for SpillHeadroomPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cxql(limit: {})", human_readable_size(self.limit))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn spillable_consumers_leave_headroom() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SpillHeadroomPool::new(1600));
        let sorts: Vec<_> = (0..2).map(|_| MemoryConsumer::new("sort").with_can_spill(true).register(&pool)).collect();
        let join = MemoryConsumer::new("join").register(&pool);
        // three eighths of the limit, divided by two
        sorts[0].try_grow(300).unwrap();
        let error = sorts[0].try_grow(1).unwrap_err().to_string();
        assert!(error.contains("sort wants 1.0 B more with 300.0 B taken, and 0.0 B of the memory limit"), "{error}");
        join.try_grow(1300).unwrap();
        join.try_grow(1).unwrap_err();
        // sorts cannot use what the join has reserved; what a sort reserved before stays
        sorts[1].try_grow(151).unwrap_err();
        sorts[1].try_grow(150).unwrap();
        assert_eq!(pool.reserved(), 1750);
        drop(join);
        drop(sorts);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_large_limit_is_used() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SpillHeadroomPool::new(8 << 30));
        let sort = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        sort.try_grow(7 << 30).unwrap();
    }
}

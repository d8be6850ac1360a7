//! How much memory a session takes.

use std::fmt;

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};
use parking_lot::Mutex;

/// What operators that can spill leave free at least, for what nobody counts: batches on their way between operators,
/// buffers of readers, rows that a sort holds twice while it spills. Of a small limit it is five parts in eight.
const UNCOUNTED_BYTES: usize = 512 << 20;

/// What merging a run takes: batches of wide rows, read ahead, and their keys.
const RUN_BYTES: usize = 48 << 20;

/// Memory limits below which freed memory goes back to the system at once.
const RETURN_BELOW_BYTES: usize = 2 << 30;

/// Three quarters of the memory that this process may use.
pub(crate) fn default_memory() -> usize {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let total = match system.cgroup_limits() {
        Some(limits) if limits.total_memory > 0 => limits.total_memory.min(system.total_memory()),
        _ => system.total_memory(),
    };
    let total = usize::try_from(total).unwrap_or(usize::MAX);
    if total == 0 { 1 << 30 } else { total / 4 * 3 }
}

/// How many runs on disk a sort may merge at once: the engine reads ahead in each, and counts less than that takes.
pub(super) fn merged_runs(limit: usize, threads: usize) -> usize {
    (limit / (RUN_BYTES * threads.max(1))).max(2)
}

/// The memory of a session, shared by all operators.
///
/// Operators that can spill divide a part of the limit evenly and go to disk beyond it; others may take all that is left.
/// The engine's own pool lets those that spill fill the limit to the brim, and the process exceeds it by what they do not
/// count.
#[derive(Debug)]
pub(super) struct Pool {
    limit: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    spilling_count: usize,
    spilling: usize,
    other: usize,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::default() }
    }
}

impl Used {
    fn of(&mut self, consumer: &MemoryConsumer) -> &mut usize {
        if consumer.can_spill() { &mut self.spilling } else { &mut self.other }
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &str {
        "cxql"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.used.lock().spilling_count += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.used.lock().spilling_count -= usize::from(consumer.can_spill());
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
        let (taken, available) = if consumer.can_spill() {
            let all =
                (self.limit - (self.limit / 8 * 5).min(UNCOUNTED_BYTES)).min(self.limit.saturating_sub(used.other));
            (reservation.size(), all / used.spilling_count.max(1))
        } else {
            (used.other + used.spilling, self.limit)
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
        used.spilling + used.other
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cxql(limit: {})", human_readable_size(self.limit))
    }
}

/// Makes the allocator fit a memory limit: below 2 GB, freed memory goes back to the system at once, which costs a few
/// hundredths of the time; else it is kept for what comes next, which saves a tenth.
#[expect(unsafe_code, reason = "the only way to the allocator's options; peaks fall by up to 45 %, bench/README.md")]
pub(super) fn fit_allocator(limit: usize) {
    let delay_ms = if limit < RETURN_BELOW_BYTES { 0 } else { NEVER };
    // SAFETY: sets a number in a table of the allocator, which it reads on each use
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, delay_ms) };
}

/// The purge delay of an allocator that keeps what is freed.
const NEVER: std::ffi::c_long = -1;

/// `mi_option_purge_delay`, which the crate does not name; a test finds it by the environment.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = libmimalloc_sys::mi_option_use_numa_nodes - 1;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// The option has no name in the crate: the environment sets it by name in another process, and it is read by number.
    #[test]
    #[expect(unsafe_code, reason = "reads the allocator's option")]
    fn the_allocators_option_is_the_purge_delay() {
        const NAME: &str = "MIMALLOC_PURGE_DELAY";
        // SAFETY: reads a number
        let value = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        if std::env::var(NAME).is_ok() {
            assert_eq!(value(), 4321);
            return;
        }
        let test = std::env::current_exe().unwrap();
        let status = std::process::Command::new(test)
            .args(["--exact", "session::memory::tests::the_allocators_option_is_the_purge_delay"])
            .env(NAME, "4321")
            .output()
            .unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
        fit_allocator(1 << 30);
        assert_eq!(value(), 0);
    }

    #[test]
    fn those_that_spill_leave_room() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(1600));
        let sorts: Vec<_> = (0..2).map(|_| MemoryConsumer::new("sort").with_can_spill(true).register(&pool)).collect();
        let join = MemoryConsumer::new("join").register(&pool);
        // three parts in eight of the limit, divided by two
        sorts[0].try_grow(300).unwrap();
        let error = sorts[0].try_grow(1).unwrap_err().to_string();
        assert!(error.contains("sort wants 1.0 B more with 300.0 B taken, and 0.0 B of the memory limit"), "{error}");
        join.try_grow(1300).unwrap();
        join.try_grow(1).unwrap_err();
        // what the join has is not for the sorts, nor what another sort took when there was more
        sorts[1].try_grow(151).unwrap_err();
        sorts[1].try_grow(150).unwrap();
        assert_eq!(pool.reserved(), 1750);
        drop(join);
        drop(sorts);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_large_limit_is_used() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Pool::new(8 << 30));
        let sort = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        sort.try_grow(7 << 30).unwrap();
    }
}

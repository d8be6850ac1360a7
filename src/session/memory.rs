//! How much memory a session takes.

/// What merging a run takes: batches of wide rows, read ahead, and their keys.
const RUN_BYTES: usize = 48 << 20;

/// Memory limits below which freed memory is returned to the operating system at once.
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

/// How many runs on disk a sort may merge at once: DataFusion reads ahead in each run and reserves less than that takes.
pub(super) fn merged_runs(limit: usize, threads: usize) -> usize {
    (limit / (RUN_BYTES * threads.max(1))).max(2)
}

/// Configures the allocator for a memory limit: below 2 GB, freed memory is returned to the operating system at once, which
/// takes a few percent more time; otherwise it is retained for reuse, which takes a tenth less.
#[expect(unsafe_code, reason = "the only way to the allocator's options; peaks fall by up to 45 %, bench/README.md")]
pub(super) fn fit_allocator(limit: usize) {
    let delay_ms = if limit < RETURN_BELOW_BYTES { 0 } else { NEVER };
    // SAFETY: sets a number in a table of the allocator, which it reads on each use
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, delay_ms) };
}

/// The purge delay of an allocator that retains freed memory.
const NEVER: std::ffi::c_long = -1;

/// `mi_option_purge_delay`, which the crate does not name; a test finds it by the environment.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = libmimalloc_sys::mi_option_use_numa_nodes - 1;

#[cfg(test)]
mod tests {
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
}

//! Reads the key columns of all rows and finds the hashes that repeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::Result;
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::runtime::JoinSet;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::positions::{PositionScan, RowPositions};
use super::repeated_hashes::{
    BUCKETS, HashRun, RUN_ROWS, Repeated, RepeatedHashes, RunBuilder, find_repeated, repeated_rows,
};
use crate::exec_util::join_all;
use crate::kernels::hash::SEED;

/// Rows after which the share of repeated rows is estimated.
const SAMPLE_ROWS: usize = 1 << 18;

/// One in so many rows may have a repeated key; of more, the rows are not worth separating.
const REPEATED_SHARE: usize = 4;

/// What is known about the keys of all rows.
#[derive(Debug, Clone)]
pub(super) enum KeyScan {
    /// The hashes that occur more than once.
    Few(Arc<RepeatedHashes>),
    /// Where the rows of repeated keys are.
    Positions(Arc<RowPositions>),
    /// Too many keys repeat.
    Many,
    /// There is not enough memory for the hashes.
    NoMemory,
}

/// The hashes of keys, which are the same in the scan of the keys and in that of the rows.
pub(super) fn hash_keys(keys: &[ArrayRef], hashes: &mut Vec<u64>) -> Result<()> {
    hashes.clear();
    hashes.resize(keys.first().map_or(0, |key| key.len()), 0);
    create_hashes(keys, &SEED, hashes)?;
    Ok(())
}

/// The hashes that were read so far, by all partitions.
struct SharedScan {
    runs: Mutex<Vec<HashRun>>,
    /// The number of all rows, if it is known or estimated.
    total_rows: Option<usize>,
    has_sampled: AtomicBool,
    repeats_often: AtomicBool,
    lacks_memory: AtomicBool,
    reservation: Arc<MemoryReservation>,
    /// The next partition to read.
    next: AtomicUsize,
}

impl SharedScan {
    fn is_stopped(&self) -> bool {
        self.repeats_often.load(Ordering::Relaxed) || self.lacks_memory.load(Ordering::Relaxed)
    }

    /// Reserves memory; stops the scan if there is none.
    fn reserve(&self, bytes: usize) {
        if self.reservation.try_grow(bytes).is_err() {
            self.lacks_memory.store(true, Ordering::Relaxed);
        }
    }

    fn add(&self, run: HashRun) {
        let mut runs = self.runs.lock();
        runs.push(run);
        let rows: usize = runs.iter().map(HashRun::rows).sum();
        if rows >= SAMPLE_ROWS && !self.has_sampled.swap(true, Ordering::Relaxed) {
            let share = estimated_share(&runs, self.total_rows.unwrap_or(rows));
            self.repeats_often.store(share * REPEATED_SHARE as f64 > 1.0, Ordering::Relaxed);
        }
    }

    /// Reads partitions until there are no more. With `parts`, the last column is the place of the row in the file of its partition.
    async fn read(
        self: Arc<Self>,
        keys: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        parts: Option<Arc<[usize]>>,
    ) -> Result<()> {
        let partitions = keys.output_partitioning().partition_count();
        let (mut run, mut hashes) = (RunBuilder::default(), vec![]);
        // the hashes that are not sorted yet, which are copied
        self.reserve(RUN_ROWS * size_of::<u64>());
        loop {
            let partition = self.next.fetch_add(1, Ordering::Relaxed);
            if partition >= partitions {
                break;
            }
            let file = parts.as_ref().and_then(|parts| parts.get(partition).copied());
            let mut batches = keys.execute(partition, Arc::clone(&context))?;
            while let Some(batch) = batches.try_next().await? {
                if self.is_stopped() {
                    return Ok(());
                }
                let (keys, places) = match (file, batch.columns()) {
                    (Some(file), [keys @ .., places]) => {
                        (keys, Some((file, places.as_primitive::<Int64Type>().values().as_ref())))
                    }
                    (_, keys) => (keys, None),
                };
                hash_keys(keys, &mut hashes)?;
                self.reserve(hashes.len() * size_of::<u64>());
                let mut start = 0;
                while start < hashes.len() {
                    let places = places.map(|(file, places): (usize, &[i64])| (file, &places[start..]));
                    start += run.add(&hashes[start..], places);
                    if run.is_full() {
                        self.add(run.finish());
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        if !run.is_empty() {
            self.add(run.finish());
        }
        Ok(())
    }
}

/// The estimated share of rows whose key repeats. Repeats that are near one another are as frequent in all rows as in the runs;
/// the number of rows that repeat one in another run grows with the number of rows.
fn estimated_share(runs: &[HashRun], total_rows: usize) -> f64 {
    let rows: usize = runs.iter().map(HashRun::rows).sum();
    let near: usize = runs.iter().map(|run| repeated_rows(std::slice::from_ref(run))).sum();
    let far = repeated_rows(runs).saturating_sub(near);
    let others = rows - rows / runs.len().max(1);
    let growth = if others == 0 { 0.0 } else { total_rows as f64 / others as f64 };
    (near as f64 + far as f64 * growth.max(1.0)) / rows.max(1) as f64
}

/// Reads the keys of as many partitions at a time as the session has threads. With `positions`, its scan of the keys is read.
/// `reservation` has the memory of what is returned.
///
/// # Errors
/// The scan failed.
pub(super) async fn scan_keys(
    keys: Arc<dyn ExecutionPlan>,
    positions: Option<Arc<PositionScan>>,
    context: Arc<TaskContext>,
    total_rows: Option<usize>,
    reservation: Arc<MemoryReservation>,
) -> Result<KeyScan> {
    let scan = Arc::new(SharedScan {
        runs: Mutex::default(),
        total_rows,
        has_sampled: AtomicBool::new(false),
        repeats_often: AtomicBool::new(false),
        lacks_memory: AtomicBool::new(false),
        reservation: Arc::clone(&reservation),
        next: AtomicUsize::new(0),
    });
    let (keys, parts) = match &positions {
        // a scan hands its files to its partitions once
        Some(positions) => (reset_plan_states(Arc::clone(positions.keys()))?, Some(Arc::from(positions.parts()))),
        None => (keys, None),
    };
    let threads = context.session_config().target_partitions().max(1);
    let partitions = keys.output_partitioning().partition_count();
    let mut tasks = JoinSet::new();
    for _ in 0..threads.min(partitions) {
        tasks.spawn(Arc::clone(&scan).read(Arc::clone(&keys), Arc::clone(&context), parts.clone()));
    }
    join_all(&mut tasks).await?;
    if scan.is_stopped() {
        reservation.free();
        let is_often = scan.repeats_often.load(Ordering::Relaxed);
        return Ok(if is_often { KeyScan::Many } else { KeyScan::NoMemory });
    }
    let runs = Arc::new(std::mem::take(&mut *scan.runs.lock()));
    let rows: usize = runs.iter().map(HashRun::rows).sum();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..threads {
        let (runs, next) = (Arc::clone(&runs), Arc::clone(&next));
        tasks.spawn(async move {
            let mut found = Repeated::default();
            loop {
                let bucket = next.fetch_add(1, Ordering::Relaxed);
                if bucket >= BUCKETS {
                    return Ok(found);
                }
                find_repeated(&runs, bucket, &mut found);
                tokio::task::yield_now().await;
            }
        });
    }
    let mut repeated = Repeated::default();
    for mut found in join_all(&mut tasks).await? {
        repeated.keys.append(&mut found.keys);
        repeated.rows.append(&mut found.rows);
    }
    if repeated.rows.len().saturating_mul(REPEATED_SHARE) > rows {
        reservation.free();
        return Ok(KeyScan::Many);
    }
    let places = positions.and_then(|positions| positions.positions(&runs, &repeated.rows));
    drop(runs);
    reservation.free();
    let bytes = match &places {
        Some(places) => places.bytes(),
        None => RepeatedHashes::bytes_of(repeated.keys.len()),
    };
    if reservation.try_grow(bytes).is_err() {
        return Ok(KeyScan::NoMemory);
    }
    Ok(match places {
        Some(places) => KeyScan::Positions(Arc::new(places)),
        None => KeyScan::Few(Arc::new(RepeatedHashes::new(&repeated.keys))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(keys: &[Vec<u64>]) -> Vec<HashRun> {
        let hash = |key: &u64| key.wrapping_mul(crate::kernels::hash::ODD);
        let run = |keys: &Vec<u64>| {
            let mut run = RunBuilder::default();
            run.add(&keys.iter().map(hash).collect::<Vec<_>>(), None);
            run.finish()
        };
        keys.iter().map(run).collect()
    }

    #[test]
    fn repeats_in_other_runs_grow_with_the_rows() {
        // 1 of 100 rows is there twice, beside one another: 2 %
        let near: Vec<u64> = (0..1000).map(|row| if row % 100 == 1 { row - 1 } else { row }).collect();
        let share = estimated_share(&runs(&[near]), 100_000);
        assert!((share - 0.02).abs() < 1e-9, "{share}");
        // 10 keys of one run are in the other: 20 of 2000 rows repeat one of 1000 others; of 100,000 rows all would
        let share = estimated_share(&runs(&[(0..1000).collect(), (990..1990).collect()]), 100_000);
        assert!((share - 1.0).abs() < 1e-9, "{share}");
        assert_eq!(estimated_share(&runs(&[(0..1000).collect(), (2000..3000).collect()]), 100_000), 0.0);
        assert_eq!(estimated_share(&[], 0), 0.0);
    }
}

//! The rows of one input on their way into sets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::utils::evaluate_expressions_to_arrays;
use futures::TryStreamExt;

use super::members::{MOST, Split};
use super::shards::{Added, OwnFew, SHARDS_PER_INPUT, Shards};
use crate::groups::Table;
use crate::windows::joined as column;

/// The most values of a key that are few when its first rows are looked at.
const FEW: usize = 64;
/// Rows by which the keys with few values are told.
const FIRST_ROWS: usize = 4096;
/// Rows that are added together: more in a shard at once wait less for what is far.
const TOGETHER: usize = 1 << 18;

/// What all inputs know.
pub(super) struct Shared {
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Made by the input that has read enough first; `None` if the engine's operators are better.
    pub(super) shards: OnceLock<Option<Arc<Shards>>>,
    pub(super) input_count: usize,
    pub(super) reservation: MemoryReservation,
    /// Whether an input has found that the engine's operators are better.
    pub(super) is_stopped: AtomicBool,
    /// Whether that was for want of memory.
    pub(super) lacks_memory: AtomicBool,
    pub(super) schema: SchemaRef,
    pub(super) together: Option<BTreeSet<usize>>,
}

impl Shared {
    fn shards(&self, keys: &[ArrayRef]) -> Result<Option<Arc<Shards>>> {
        let split = self.split(keys)?.map(|split| Shards::new(split, self.input_count, &self.reservation));
        Ok(split.transpose()?.map(Arc::new))
    }

    fn split(&self, keys: &[ArrayRef]) -> Result<Option<Arc<Split>>> {
        // those with the fewest values first, as long as there is room for all combinations
        let mut candidates = vec![];
        for (place, key) in keys.iter().enumerate() {
            let Some(mut table) = Table::new(&[key.data_type().clone()]) else { continue };
            let mut groups = vec![];
            if table.groups(std::slice::from_ref(key), &mut groups)? && table.len() <= FEW {
                candidates.push((table.len(), place));
            }
        }
        if candidates.len() == keys.len() {
            // the other operator has numbers for all of them
            return Ok(None);
        }
        candidates.sort_unstable();
        let mut combinations = 1;
        candidates.retain(|(count, _)| {
            combinations *= (*count).max(1);
            combinations <= MOST
        });
        let (few, many): (Vec<usize>, Vec<usize>) =
            (0..keys.len()).partition(|place| candidates.iter().any(|(_, known)| known == place));
        if few.is_empty() {
            return Ok(None);
        }
        let types: Vec<_> = few.iter().map(|&place| keys[place].data_type().clone()).collect();
        let Some(table) = Table::new(&types) else { return Ok(None) };
        let schema = Arc::new(self.schema.project(&many)?);
        let is_together = self.together.as_ref().is_none_or(|together| together.iter().eq(&many));
        Ok(Some(Arc::new(Split { many, few, schema, table, is_together })))
    }
}

/// Reads one input.
pub(super) struct Reading {
    pub(super) number: usize,
    pub(super) shared: Arc<Shared>,
    /// What is not read yet; `None` after the last row.
    pub(super) input: Option<SendableRecordBatchStream>,
    pub(super) few: Option<OwnFew>,
    /// Keys that are in no set.
    pub(super) pending: Vec<Vec<ArrayRef>>,
    /// What they take.
    pub(super) reservation: MemoryReservation,
}

impl Reading {
    /// Reads on until the end, or until the engine's operators are better.
    pub(super) async fn read(mut self) -> Result<Self> {
        let mut pending_rows = 0;
        while let Some(input) = &mut self.input {
            let mut has_room = true;
            match input.try_next().await? {
                Some(batch) => {
                    let keys = evaluate_expressions_to_arrays(&self.shared.keys, &batch)?;
                    let size = keys.iter().map(row_bytes).sum::<Result<usize>>()?;
                    has_room = self.reservation.try_grow(size).is_ok();
                    self.pending.push(keys);
                    pending_rows += batch.num_rows();
                }
                None => self.input = None,
            }
            if self.shared.shards.get().is_none() && pending_rows >= FIRST_ROWS {
                let shards = self.shared.shards(&joined(&self.pending)?)?;
                self.shared.shards.get_or_init(|| shards);
            }
            let is_on = match self.shared.shards.get().cloned() {
                Some(Some(_)) if pending_rows < TOGETHER && has_room && self.input.is_some() => true,
                Some(Some(shards)) => {
                    pending_rows = 0;
                    self.add(&shards)?
                }
                Some(None) => false,
                // an input that ends here leaves what is pending to others
                None => true,
            };
            if !is_on || self.shared.is_stopped.load(Ordering::Relaxed) {
                self.shared.is_stopped.store(true, Ordering::Relaxed);
                break;
            }
            // as long as it reads, others have their turns
            tokio::task::yield_now().await;
        }
        Ok(self)
    }

    /// Adds what is pending to the sets; `false` if the engine's operators are better.
    fn add(&mut self, shards: &Shards) -> Result<bool> {
        let few = self.few.get_or_insert_with(|| shards.own_few());
        // room for them where they go
        self.reservation.free();
        // each input begins at another of them
        let added = shards.add(&self.pending, few, self.number * SHARDS_PER_INPUT)?;
        if added != Added::None {
            self.pending.clear();
        }
        self.shared.lacks_memory.fetch_or(added == Added::Full, Ordering::Relaxed);
        Ok(added == Added::All)
    }
}

/// The bytes of a column's rows. Texts beyond their views lie in pages of files, which many batches share.
fn row_bytes(column: &ArrayRef) -> Result<usize> {
    Ok(match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => column.len() * size_of::<u128>(),
        _ => column.to_data().get_slice_memory_size()?,
    })
}

fn joined(parts: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>> {
    let width = parts.first().map_or(0, Vec::len);
    (0..width).map(|place| column(parts, place)).collect()
}

/// The sets, with what inputs have kept that ended before it was known which keys have few values; `None` if the engine's
/// operators are better.
pub(super) fn settled(shared: &Shared, readings: &mut [Reading]) -> Result<Option<Arc<Shards>>> {
    if shared.is_stopped.load(Ordering::Relaxed) {
        return Ok(None);
    }
    if shared.shards.get().is_none() {
        let pending: Vec<_> = readings.iter().flat_map(|reading| reading.pending.iter().cloned()).collect();
        let shards = shared.shards(&joined(&pending)?)?;
        shared.shards.get_or_init(|| shards);
    }
    let Some(shards) = shared.shards.get().cloned().flatten() else { return Ok(None) };
    for reading in readings {
        if !reading.pending.is_empty() && !reading.add(&shards)? {
            return Ok(None);
        }
    }
    Ok(Some(shards))
}

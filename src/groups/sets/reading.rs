//! The rows of one input on their way into sets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use futures::TryStreamExt;

use super::members::{Growing, MOST, Split};
use crate::groups::Table;
use crate::windows::joined as column;

/// The most values of a key that are few when its first rows are looked at.
const FEW: usize = 64;
/// Rows by which the keys with few values are told.
const FIRST_ROWS: usize = 4096;

/// What all inputs know.
pub(super) struct Shared {
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Said by the input that has read enough first; `None` if the engine's operators are better.
    pub(super) split: OnceLock<Option<Arc<Split>>>,
    /// Whether an input has found that the engine's operators are better.
    pub(super) is_stopped: AtomicBool,
    /// Whether that was for want of memory.
    pub(super) lacks_memory: AtomicBool,
    pub(super) schema: SchemaRef,
    pub(super) together: Option<BTreeSet<usize>>,
}

impl Shared {
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
    pub(super) shared: Arc<Shared>,
    /// What is not read yet; `None` after the last row.
    pub(super) input: Option<SendableRecordBatchStream>,
    pub(super) sets: Option<Growing>,
    /// Keys that are in no set.
    pub(super) pending: Vec<Vec<ArrayRef>>,
    pub(super) reservation: MemoryReservation,
}

impl Reading {
    /// Reads on until the end, or until the engine's operators are better.
    pub(super) async fn read(mut self) -> Result<Self> {
        let mut pending_rows = 0;
        while let Some(input) = &mut self.input {
            match input.try_next().await? {
                Some(batch) => {
                    let rows = batch.num_rows();
                    let keys = self.shared.keys.iter().map(|key| key.evaluate(&batch)?.into_array(rows));
                    self.pending.push(keys.collect::<Result<_>>()?);
                    pending_rows += rows;
                }
                None => self.input = None,
            }
            if self.shared.split.get().is_none() && pending_rows >= FIRST_ROWS {
                let split = self.shared.split(&joined(&self.pending)?)?;
                self.shared.split.get_or_init(|| split);
            }
            let is_on = match self.shared.split.get().cloned() {
                Some(Some(split)) => self.pending.is_empty() || self.add(&split)?,
                Some(None) => false,
                // an input that ends here leaves what is pending to others
                None => true,
            };
            if self.pending.is_empty() {
                pending_rows = 0;
            }
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
    fn add(&mut self, split: &Arc<Split>) -> Result<bool> {
        let mut sets = match self.sets.take() {
            Some(sets) => sets,
            None => Growing::new(Arc::clone(split))?,
        };
        let mut is_added = true;
        while let Some(keys) = self.pending.pop() {
            if !sets.add(&keys)? {
                self.pending.push(keys);
                is_added = false;
                break;
            }
        }
        let has_room = self.reservation.try_resize(sets.size()).is_ok();
        self.shared.lacks_memory.fetch_or(!has_room, Ordering::Relaxed);
        let is_of_use = sets.is_of_use();
        self.sets = Some(sets);
        Ok(is_added && has_room && is_of_use)
    }
}

fn joined(parts: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>> {
    let width = parts.first().map_or(0, Vec::len);
    (0..width).map(|place| column(parts, place)).collect()
}

/// The few of all inputs, and for each input the number of each there; `None` if they are many.
pub(super) fn common_few(split: &Split, readings: &[Reading]) -> Result<Option<(Table, Vec<Vec<usize>>)>> {
    let mut table = split.table.clone();
    let mut numbers = vec![];
    for reading in readings {
        let mut groups = vec![];
        if let Some(sets) = &reading.sets
            && !table.groups(&sets.few.keys()?, &mut groups)?
        {
            return Ok(None);
        }
        numbers.push(groups);
    }
    Ok((table.len() <= MOST).then_some((table, numbers)))
}

/// Adds what inputs have kept that ended before it was known which keys have few values; `None` if the engine's operators are
/// better.
pub(super) fn settled(shared: &Shared, readings: &mut [Reading]) -> Result<Option<Arc<Split>>> {
    if shared.is_stopped.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let split = match shared.split.get() {
        Some(split) => split.clone(),
        None => {
            let pending: Vec<_> = readings.iter().flat_map(|reading| reading.pending.iter().cloned()).collect();
            shared.split(&joined(&pending)?)?
        }
    };
    let Some(split) = split else { return Ok(None) };
    for reading in readings {
        if !reading.pending.is_empty() && !reading.add(&split)? {
            return Ok(None);
        }
    }
    Ok(Some(split))
}

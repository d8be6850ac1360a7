//! The groups of all inputs, divided by hash.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use parking_lot::Mutex;

use super::members::{Growing, MOST, Sets, Split};
use crate::groups::{Table, key_hashes};
use crate::windows::{bounds_of, by_group};

/// After so many rows groups are looked at: with one for each of them, bits are of no use.
const LOOK_ROWS: usize = 1 << 22;
/// Shards for each input at least, and at least in all, so that inputs seldom wait for each other.
pub(super) const SHARDS_PER_INPUT: usize = 4;
const FEWEST_SHARDS: usize = 16;

/// Groups with their sets, to which all inputs add. A group is in the shard that its hash says.
///
/// One table of all groups in place of one for each input takes half the memory or less, and nothing is merged at the end.
pub(super) struct Shards {
    pub(super) split: Arc<Split>,
    few: Mutex<Few>,
    /// A power of two of them.
    shards: Vec<Mutex<Shard>>,
    row_count: AtomicUsize,
}

/// The few of all inputs.
struct Few {
    table: Table,
    /// Those that may be in a set; beyond are some of rows that were not added.
    count: usize,
}

struct Shard {
    sets: Growing,
    reservation: MemoryReservation,
}

/// The rows of a batch, shard by shard: where each begins, the keys with many values, and the numbers of the few.
struct Divided {
    starts: Vec<usize>,
    many: Vec<ArrayRef>,
    few: Vec<u16>,
}

/// What one input knows of the few: for each of its numbers that of all inputs.
pub(super) struct OwnFew {
    table: Table,
    numbers: Vec<u16>,
    rows: Vec<usize>,
}

/// What has come of adding rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    All,
    /// None, since the few have become many.
    None,
    /// All, but there should be no more: sets are of no use.
    Last,
    /// All, but there is no memory for more.
    Full,
}

impl Shards {
    /// Shards for so many inputs; `reservation` has their consumer.
    pub(super) fn new(split: Arc<Split>, input_count: usize, reservation: &MemoryReservation) -> Result<Self> {
        let count = (SHARDS_PER_INPUT * input_count).next_power_of_two().max(FEWEST_SHARDS);
        let shard = || Ok(Mutex::new(Shard { sets: Growing::new(&split)?, reservation: reservation.new_empty() }));
        Ok(Self {
            few: Mutex::new(Few { table: split.table.clone(), count: 0 }),
            shards: (0..count).map(|_| shard()).collect::<Result<_>>()?,
            row_count: AtomicUsize::new(0),
            split,
        })
    }

    pub(super) fn own_few(&self) -> OwnFew {
        OwnFew { table: self.split.table.clone(), numbers: vec![], rows: vec![] }
    }

    /// Adds the rows of some batches of keys, or none of them. An input begins with the shard `first`.
    pub(super) fn add(&self, batches: &[Vec<ArrayRef>], few: &mut OwnFew, first: usize) -> Result<Added> {
        let mut divided = vec![];
        let mut few_count = 0;
        for keys in batches {
            let Some((few, count)) = self.few_of(keys, few)? else { return Ok(Added::None) };
            few_count = few_count.max(count);
            divided.push(self.divided(keys, &few)?);
        }
        let mut has_room = true;
        for place in 0..self.shards.len() {
            let place = (first + place) % self.shards.len();
            let shard = &mut *self.shards[place].lock();
            for Divided { starts, many, few } in &divided {
                let (start, end) = (starts[place], starts[place + 1]);
                let many: Vec<ArrayRef> = many.iter().map(|key| key.slice(start, end - start)).collect();
                shard.sets.add(&many, &few[start..end], few_count)?;
            }
            has_room &= shard.reservation.try_resize(shard.sets.size()).is_ok();
        }
        let rows: usize = divided.iter().map(|rows| rows.few.len()).sum();
        let before = self.row_count.fetch_add(rows, Ordering::Relaxed);
        Ok(match has_room {
            false => Added::Full,
            true if before < LOOK_ROWS && before + rows >= LOOK_ROWS && self.len() > (before + rows) / 5 * 4 => {
                Added::Last
            }
            true => Added::All,
        })
    }

    /// The number of the few of each row, and how many there are; `None` if they have become many.
    fn few_of(&self, keys: &[ArrayRef], own: &mut OwnFew) -> Result<Option<(Vec<u16>, usize)>> {
        let columns: Vec<ArrayRef> = self.split.few.iter().map(|&key| Arc::clone(&keys[key])).collect();
        if !own.table.groups(&columns, &mut own.rows)? || own.table.len() > MOST {
            return Ok(None);
        }
        if own.table.len() > own.numbers.len() {
            let few = &mut *self.few.lock();
            let mut numbers = vec![];
            if !few.table.groups(&own.table.keys()?, &mut numbers)? || few.table.len() > MOST {
                return Ok(None);
            }
            few.count = few.table.len();
            own.numbers = numbers.into_iter().map(|number| number as u16).collect();
        }
        let count = own.numbers.iter().max().map_or(0, |&most| usize::from(most) + 1);
        Ok(Some((own.rows.iter().map(|&row| own.numbers[row]).collect(), count)))
    }

    /// The rows of a batch, shard by shard.
    fn divided(&self, keys: &[ArrayRef], few: &[u16]) -> Result<Divided> {
        let many: Vec<ArrayRef> = self.split.many.iter().map(|&key| Arc::clone(&keys[key])).collect();
        let halves = key_hashes(&many)?;
        // the first bits are the place in the shard's own table
        let mask = self.shards.len() - 1;
        let shards = || halves.iter().map(|&half| half as usize & mask);
        let starts = bounds_of(shards(), self.shards.len());
        let rows = by_group(shards(), &starts);
        let few = rows.iter().map(|&row| few[row as usize]).collect();
        let rows = UInt32Array::from(rows);
        let many = many.iter().map(|key| take(key, &rows, None)).collect::<Result<Vec<_>, _>>()?;
        Ok(Divided { starts, many, few })
    }

    /// How many groups there are.
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().sets.len()).sum()
    }

    /// The sets of each shard, and the memory that they take.
    pub(super) fn finish(self) -> Result<Vec<(Sets, MemoryReservation)>> {
        let Few { table, count } = self.few.into_inner();
        let few: Vec<ArrayRef> = table.keys()?.iter().map(|values| values.slice(0, count)).collect();
        let shards = self.shards.into_iter().map(|shard| {
            let Shard { sets, reservation } = shard.into_inner();
            Ok((sets.finish(&self.split, &few)?, reservation))
        });
        shards.collect()
    }
}

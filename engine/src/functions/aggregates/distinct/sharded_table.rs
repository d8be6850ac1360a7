//! [`ShardedTable`]: a hash table that grows in small steps.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Shards of a large table, a power of two.
const SHARDS: usize = 64;
/// A table of more entries than this is divided into shards.
const SPLIT_AT: usize = 1 << 16;

/// Entries that can be stored: equal entries have equal hashes.
pub(super) trait Hashed: Copy {
    /// The hash, all bits of which are used.
    fn hash(self) -> u64;
}

/// A hash table that divides its entries by their hash.
///
/// A table that grows has its old and its new slots for a moment. With one table a query at its memory limit would exceed it by
/// half; with shards, which grow one after another, by a hundredth.
#[derive(Debug)]
pub(super) struct ShardedTable<T> {
    shards: Vec<HashTable<T>>,
}

impl<T> Default for ShardedTable<T> {
    fn default() -> Self {
        Self { shards: vec![HashTable::new()] }
    }
}

impl<T: Hashed> ShardedTable<T> {
    /// The equal entry, or `None` after inserting `entry()`.
    pub(super) fn find_or_insert(
        &mut self,
        hash: u64,
        is_equal: impl FnMut(&T) -> bool,
        entry: impl FnOnce() -> T,
    ) -> Option<T> {
        if let [table] = self.shards.as_slice()
            && table.len() >= SPLIT_AT
        {
            self.split();
        }
        let shard = if self.shards.len() == 1 { 0 } else { shard_of(hash) };
        match self.shards[shard].entry(hash, is_equal, |entry| entry.hash()) {
            Entry::Occupied(found) => Some(*found.get()),
            Entry::Vacant(slot) => {
                slot.insert(entry());
                None
            }
        }
    }

    fn split(&mut self) {
        let mut shards: Vec<HashTable<T>> = (0..SHARDS).map(|_| HashTable::with_capacity(SPLIT_AT / SHARDS)).collect();
        for entry in std::mem::take(&mut self.shards).into_iter().flatten() {
            shards[shard_of(entry.hash())].insert_unique(entry.hash(), entry, |entry| entry.hash());
        }
        self.shards = shards;
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.shards.iter().flatten().copied()
    }

    /// All entries, and an empty table. Memory is released shard by shard.
    pub(super) fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(self).shards.into_iter().flatten()
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        tables + self.shards.capacity() * size_of::<HashTable<T>>()
    }
}

/// The upper seven bits are the table's tags, its lower bits the slots.
fn shard_of(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

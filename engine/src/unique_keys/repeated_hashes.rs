//! Finds the hashes that occur more than once, and looks rows up among them.
//!
//! ```text
//! hashes of all rows      run: sorted by 256 buckets     per bucket: slots seen once / twice     RepeatedHashes
//! 8 bytes each       ---> | 0 | 1 | ... | 255 |  x n ---> hashes of slots seen twice, sorted ---> table + bitmap
//! ```
//! A bucket of 10 million rows has 40,000 hashes. Its slots, 16 bits per hash, stay in the cache; only hashes that share a slot
//! with another, about one in sixteen when all are distinct, are sorted.

use crate::kernels::hash::ODD;

/// Number of buckets of a [`HashRun`].
pub(super) const BUCKETS: usize = 256;

/// Maximum number of hashes of a [`HashRun`], whose index in the run replaces the lower bits of a hash.
pub(super) const RUN_ROWS: usize = 1 << INDEX_BITS;

const INDEX_BITS: u32 = 17;

/// More stretches in a run are not kept: one in so many rows.
const STRETCH_SHARE: usize = 16;

/// What is compared of a hash, 47 bits: equal hashes of different keys are rare, and do no harm.
fn key_of(hash: u64) -> u64 {
    hash >> INDEX_BITS
}

/// Consecutive rows of a file in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    /// The index in the run of its first row.
    pub(super) start: u32,
    pub(super) file: usize,
    /// The place in the file of its first row.
    pub(super) row: u64,
}

/// Some consecutive hashes, sorted by bucket.
pub(super) struct HashRun {
    /// The upper bits of the hashes, and their indices before they were sorted.
    hashes: Vec<u64>,
    /// The start of each bucket, and the end of the last.
    bounds: Vec<usize>,
    stretches: Vec<Stretch>,
    is_fragmented: bool,
}

/// The upper bits: the lower ones choose the slot.
fn bucket_of(hash: u64) -> usize {
    (hash >> (u64::BITS - BUCKETS.ilog2())) as usize
}

/// A run that is being read.
#[derive(Default)]
pub(super) struct RunBuilder {
    hashes: Vec<u64>,
    stretches: Vec<Stretch>,
    is_fragmented: bool,
}

impl RunBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.hashes.len() >= RUN_ROWS
    }

    /// Adds the first of these hashes, with the places of their rows in a file. Returns how many.
    pub(super) fn add(&mut self, hashes: &[u64], places: Option<(usize, &[i64])>) -> usize {
        let count = hashes.len().min(RUN_ROWS - self.hashes.len());
        if let Some((file, rows)) = places {
            self.add_places(file, &rows[..count]);
        }
        self.hashes.extend_from_slice(&hashes[..count]);
        count
    }

    fn add_places(&mut self, file: usize, rows: &[i64]) {
        let mut start = 0;
        while start < rows.len() && !self.is_fragmented {
            let row = rows[start];
            let rest = &rows[start..];
            let is_whole = rest.last().is_some_and(|last| last - row == rest.len() as i64 - 1);
            let length = match is_whole {
                true => rest.len(),
                false => rest.iter().zip(row..).take_while(|(row, expected)| *row == expected).count(),
            };
            let (index, row) = ((self.hashes.len() + start) as u32, row as u64);
            let continues = self
                .stretches
                .last()
                .is_some_and(|last| last.file == file && last.row + u64::from(index - last.start) == row);
            if !continues {
                self.stretches.push(Stretch { start: index, file, row });
            }
            self.is_fragmented = self.stretches.len() > RUN_ROWS / STRETCH_SHARE;
            start += length;
        }
    }

    /// The run; afterwards this is empty.
    pub(super) fn finish(&mut self) -> HashRun {
        let run = HashRun::new(&self.hashes, std::mem::take(&mut self.stretches), self.is_fragmented);
        self.hashes.clear();
        self.is_fragmented = false;
        run
    }
}

impl HashRun {
    fn new(hashes: &[u64], stretches: Vec<Stretch>, is_fragmented: bool) -> Self {
        let mut bounds = vec![0; BUCKETS + 1];
        for &hash in hashes {
            bounds[bucket_of(hash) + 1] += 1;
        }
        for bucket in 0..BUCKETS {
            bounds[bucket + 1] += bounds[bucket];
        }
        let mut next = bounds.clone();
        let mut sorted = vec![0; hashes.len()];
        for (index, &hash) in hashes.iter().enumerate() {
            let next = &mut next[bucket_of(hash)];
            sorted[*next] = key_of(hash) << INDEX_BITS | index as u64;
            *next += 1;
        }
        Self { hashes: sorted, bounds, stretches, is_fragmented }
    }

    pub(super) fn rows(&self) -> usize {
        self.hashes.len()
    }

    /// The stretches of its rows in files, in their order; none if the places are not known.
    pub(super) fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Returns true if some of its stretches are left out, since they are too many.
    pub(super) fn is_fragmented(&self) -> bool {
        self.is_fragmented
    }

    fn bucket(&self, bucket: usize) -> &[u64] {
        &self.hashes[self.bounds[bucket]..self.bounds[bucket + 1]]
    }
}

/// A row whose hash occurs more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RepeatedRow {
    pub(super) run: u32,
    /// Its index in the run.
    pub(super) index: u32,
}

/// Hashes that occur more than once.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    /// What is compared of them, each once.
    pub(super) keys: Vec<u64>,
    pub(super) rows: Vec<RepeatedRow>,
}

/// Appends the hashes of a bucket that occur more than once, with the rows that have them.
pub(super) fn find_repeated(runs: &[HashRun], bucket: usize, found: &mut Repeated) {
    let rows: usize = runs.iter().map(|run| run.bucket(bucket).len()).sum();
    if rows < 2 {
        return;
    }
    let words = rows.div_ceil(4).next_power_of_two();
    let slot = |hash: u64| ((key_of(hash) >> 6) as usize & (words - 1), 1_u64 << (key_of(hash) & 63));
    let (mut once, mut twice) = (vec![0_u64; words], vec![0_u64; words]);
    for &hash in runs.iter().flat_map(|run| run.bucket(bucket)) {
        let (word, bit) = slot(hash);
        twice[word] |= once[word] & bit;
        once[word] |= bit;
    }
    let mut shared: Vec<(u64, u32)> = vec![];
    for (number, run) in (0_u32..).zip(runs) {
        let is_shared = |hash: &u64| {
            let (word, bit) = slot(*hash);
            twice[word] & bit != 0
        };
        shared.extend(run.bucket(bucket).iter().copied().filter(is_shared).map(|hash| (hash, number)));
    }
    shared.sort_unstable();
    for equal in shared.chunk_by(|(left, _), (right, _)| key_of(*left) == key_of(*right)) {
        if let [(hash, _), _, ..] = equal {
            found.keys.push(key_of(*hash));
            let index = |hash: u64| (hash & (RUN_ROWS as u64 - 1)) as u32;
            found.rows.extend(equal.iter().map(|&(hash, run)| RepeatedRow { run, index: index(hash) }));
        }
    }
}

/// The number of rows whose hash occurs more than once in these runs.
pub(super) fn repeated_rows(runs: &[HashRun]) -> usize {
    let mut found = Repeated::default();
    (0..BUCKETS).for_each(|bucket| find_repeated(runs, bucket, &mut found));
    found.rows.len()
}

/// A set of hashes: a hash table with open addressing, and a bitmap in front that says no to nearly all others.
#[derive(Debug)]
pub(super) struct RepeatedHashes {
    /// 16 bits per hash.
    bitmap: Vec<u64>,
    /// Twice as many slots as hashes; 0 is free.
    slots: Vec<u64>,
    has_zero: bool,
    count: usize,
}

impl RepeatedHashes {
    /// The bytes of a set of `count` hashes.
    pub(super) fn bytes_of(count: usize) -> usize {
        size_of::<u64>() * (Self::slot_count(count) + Self::word_count(count))
    }

    fn slot_count(count: usize) -> usize {
        (2 * count).next_power_of_two()
    }

    fn word_count(count: usize) -> usize {
        count.div_ceil(4).next_power_of_two()
    }

    /// The set of what is compared of hashes.
    pub(super) fn new(hashes: &[u64]) -> Self {
        let mut set = Self {
            bitmap: vec![0; Self::word_count(hashes.len())],
            slots: vec![0; Self::slot_count(hashes.len())],
            has_zero: false,
            count: hashes.len(),
        };
        for &hash in hashes {
            let (word, bit) = set.bit(hash);
            set.bitmap[word] |= bit;
            if hash == 0 {
                set.has_zero = true;
                continue;
            }
            let mut slot = set.first_slot(hash);
            while set.slots[slot] != 0 && set.slots[slot] != hash {
                slot = (slot + 1) & (set.slots.len() - 1);
            }
            set.slots[slot] = hash;
        }
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What is compared of the hashes, each once, from which [`new`](Self::new) makes the same set.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().copied().filter(|&hash| hash != 0).chain(self.has_zero.then_some(0))
    }

    /// The memory of the set.
    pub(super) fn bytes(&self) -> usize {
        Self::bytes_of(self.count)
    }

    fn bit(&self, hash: u64) -> (usize, u64) {
        ((hash >> 6) as usize & (self.bitmap.len() - 1), 1 << (hash & 63))
    }

    fn first_slot(&self, hash: u64) -> usize {
        (hash.wrapping_mul(ODD) >> u32::BITS) as usize & (self.slots.len() - 1)
    }

    /// Whether the set has this hash.
    pub(super) fn contains(&self, hash: u64) -> bool {
        let hash = key_of(hash);
        let (word, bit) = self.bit(hash);
        self.bitmap[word] & bit != 0 && self.is_in_table(hash)
    }

    fn is_in_table(&self, hash: u64) -> bool {
        if hash == 0 {
            return self.has_zero;
        }
        let mut slot = self.first_slot(hash);
        // at most half of the slots are taken
        while self.slots[slot] != 0 {
            if self.slots[slot] == hash {
                return true;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn runs(hashes: &[u64], piece: usize) -> Vec<HashRun> {
        let run = |hashes: &[u64]| {
            let mut builder = RunBuilder::default();
            assert_eq!(builder.add(hashes, None), hashes.len());
            builder.finish()
        };
        hashes.chunks(piece).map(run).collect()
    }

    /// Against a count of all hashes, in one run and in several, with hashes of few distinct low bits.
    #[test]
    fn exactly_the_repeated_hashes_are_found() {
        let mut random = Pcg64::seed_from_u64(3);
        for (rows, distinct) in
            [(0, 1), (1, 1), (2, 1), (500, 3), (20_000, 1_000_000), (20_000, 20_000), (5000, 1 << 40)]
        {
            let spread = if rows == 5000 { 64 } else { ODD };
            // the lower bits differ also where the rest is equal
            let hash = |random: &mut Pcg64| {
                let value: u64 = random.random_range(0..distinct);
                value.wrapping_mul(spread) << INDEX_BITS | random.random_range(0..RUN_ROWS as u64)
            };
            let hashes: Vec<u64> = (0..rows).map(|_| hash(&mut random)).collect();
            let mut counts: HashMap<u64, usize> = HashMap::new();
            for &hash in &hashes {
                *counts.entry(hash >> INDEX_BITS).or_default() += 1;
            }
            let is_repeated = |hash: &u64| counts[&(hash >> INDEX_BITS)] > 1;
            let expected: HashSet<u64> = counts.iter().filter(|(_, count)| **count > 1).map(|(key, _)| *key).collect();
            for piece in [7, 1000, 100_000] {
                let mut found = Repeated::default();
                let runs = runs(&hashes, piece);
                (0..BUCKETS).for_each(|bucket| find_repeated(&runs, bucket, &mut found));
                let mut rows: Vec<usize> =
                    found.rows.iter().map(|row| row.run as usize * piece + row.index as usize).collect();
                rows.sort_unstable();
                let repeated = hashes.iter().enumerate().filter(|(_, hash)| is_repeated(hash));
                assert_eq!(rows, repeated.map(|(row, _)| row).collect::<Vec<_>>());
                assert_eq!(found.keys.len(), expected.len());
                assert_eq!(found.keys.iter().copied().collect::<HashSet<_>>(), expected);
                let set = RepeatedHashes::new(&found.keys);
                assert!(hashes.iter().all(|hash| set.contains(*hash) == is_repeated(hash)));
                assert_eq!(set.is_empty(), expected.is_empty());
            }
        }
    }

    #[test]
    fn zero_is_a_hash() {
        assert!(RepeatedHashes::new(&[0]).contains(5));
        assert!(!RepeatedHashes::new(&[64]).contains(0));
        assert!(!RepeatedHashes::new(&[]).contains(0));
    }

    #[test]
    fn consecutive_rows_of_a_file_are_one_stretch() {
        let mut builder = RunBuilder::default();
        builder.add(&[0; 3], Some((0, &[5, 6, 7])));
        builder.add(&[0; 2], Some((0, &[8, 9])));
        builder.add(&[0; 4], Some((0, &[20, 21, 23, 24])));
        builder.add(&[0; 1], Some((1, &[25])));
        let stretch = |start, file, row| Stretch { start, file, row };
        let expected = [stretch(0, 0, 5), stretch(5, 0, 20), stretch(7, 0, 23), stretch(9, 1, 25)];
        let run = builder.finish();
        assert_eq!((run.stretches(), run.rows(), run.is_fragmented()), (&expected[..], 10, false));
        assert!(builder.is_empty() && builder.finish().stretches().is_empty());
        // what is beyond a run is left for the next
        let rows: Vec<i64> = (0..RUN_ROWS as i64 + 10).map(|row| 2 * row).collect();
        let hashes = vec![0; rows.len()];
        assert_eq!(builder.add(&hashes, Some((0, &rows))), RUN_ROWS);
        assert!(builder.is_full() && builder.finish().is_fragmented());
    }
}

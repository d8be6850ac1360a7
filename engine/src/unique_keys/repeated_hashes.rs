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

/// Some consecutive hashes, sorted by bucket.
pub(super) struct HashRun {
    hashes: Vec<u64>,
    /// The start of each bucket, and the end of the last.
    bounds: Vec<usize>,
}

/// The upper bits: the lower ones choose the slot.
fn bucket_of(hash: u64) -> usize {
    (hash >> (u64::BITS - BUCKETS.ilog2())) as usize
}

impl HashRun {
    pub(super) fn new(hashes: &[u64]) -> Self {
        let mut bounds = vec![0; BUCKETS + 1];
        for &hash in hashes {
            bounds[bucket_of(hash) + 1] += 1;
        }
        for bucket in 0..BUCKETS {
            bounds[bucket + 1] += bounds[bucket];
        }
        let mut next = bounds.clone();
        let mut sorted = vec![0; hashes.len()];
        for &hash in hashes {
            let next = &mut next[bucket_of(hash)];
            sorted[*next] = hash;
            *next += 1;
        }
        Self { hashes: sorted, bounds }
    }

    pub(super) fn rows(&self) -> usize {
        self.hashes.len()
    }

    fn bucket(&self, bucket: usize) -> &[u64] {
        &self.hashes[self.bounds[bucket]..self.bounds[bucket + 1]]
    }
}

/// Appends the hashes of a bucket that occur more than once, each once. Returns the number of rows that have them.
pub(super) fn find_repeated(runs: &[HashRun], bucket: usize, found: &mut Vec<u64>) -> usize {
    let rows: usize = runs.iter().map(|run| run.bucket(bucket).len()).sum();
    if rows < 2 {
        return 0;
    }
    let words = rows.div_ceil(4).next_power_of_two();
    let slot = |hash: u64| ((hash >> 6) as usize & (words - 1), 1_u64 << (hash & 63));
    let (mut once, mut twice) = (vec![0_u64; words], vec![0_u64; words]);
    let hashes = || runs.iter().flat_map(|run| run.bucket(bucket)).copied();
    for hash in hashes() {
        let (word, bit) = slot(hash);
        twice[word] |= once[word] & bit;
        once[word] |= bit;
    }
    let mut shared: Vec<u64> = hashes()
        .filter(|&hash| {
            let (word, bit) = slot(hash);
            twice[word] & bit != 0
        })
        .collect();
    shared.sort_unstable();
    let repeated = shared.chunk_by(|left, right| left == right).filter(|equal| equal.len() > 1);
    repeated.fold(0, |rows, equal| {
        found.push(equal[0]);
        rows + equal.len()
    })
}

/// The number of rows whose hash occurs more than once in these runs.
pub(super) fn repeated_rows(runs: &[HashRun]) -> usize {
    let mut found = vec![];
    (0..BUCKETS).map(|bucket| find_repeated(runs, bucket, &mut found)).sum()
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

    /// Against a count of all hashes, in one run and in several, with hashes of few distinct low bits.
    #[test]
    fn exactly_the_repeated_hashes_are_found() {
        let mut random = Pcg64::seed_from_u64(3);
        for (rows, distinct) in
            [(0, 1), (1, 1), (2, 1), (500, 3), (20_000, 1_000_000), (20_000, 20_000), (5000, u64::MAX)]
        {
            let spread = if rows == 5000 { 64 } else { ODD };
            let hashes: Vec<u64> = (0..rows).map(|_| random.random_range(0..distinct).wrapping_mul(spread)).collect();
            let mut counts: HashMap<u64, usize> = HashMap::new();
            for &hash in &hashes {
                *counts.entry(hash).or_default() += 1;
            }
            let expected: HashSet<u64> =
                counts.iter().filter(|(_, count)| **count > 1).map(|(hash, _)| *hash).collect();
            for piece in [7, 1000, 100_000] {
                let runs: Vec<HashRun> = hashes.chunks(piece).map(HashRun::new).collect();
                let mut found = vec![];
                let rows: usize = (0..BUCKETS).map(|bucket| find_repeated(&runs, bucket, &mut found)).sum();
                assert_eq!(rows, counts.values().filter(|count| **count > 1).sum::<usize>());
                assert_eq!(found.len(), expected.len());
                assert_eq!(found.iter().copied().collect::<HashSet<_>>(), expected);
                let set = RepeatedHashes::new(&found);
                assert!(hashes.iter().all(|hash| set.contains(*hash) == expected.contains(hash)));
                assert_eq!(set.is_empty(), expected.is_empty());
            }
        }
    }

    #[test]
    fn zero_is_a_hash() {
        assert!(RepeatedHashes::new(&[0]).contains(0));
        assert!(!RepeatedHashes::new(&[64]).contains(0));
        assert!(!RepeatedHashes::new(&[]).contains(0));
    }
}

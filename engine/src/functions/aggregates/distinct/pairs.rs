//! [`Pairs`]: a set of (group, value), of 8 or 16 bytes each.

use super::sharded_table::{Hashed, ShardedTable};
use crate::kernels::hash::ODD;

/// Mixes all bits of a number into all bits of its hash: the product's halves are folded.
pub(super) fn mixed(bits: u64) -> u64 {
    let product = u128::from(bits ^ ODD) * 0xd6e8_feb8_6659_fd93;
    product as u64 ^ (product >> u64::BITS) as u64
}

/// A group and a value of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Narrow(u64);

/// A group and a value of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide {
    group: u32,
    /// Two halves, so that a pair is 12 bytes.
    value: [u32; 2],
}

impl Narrow {
    fn new(group: u32, value: u32) -> Self {
        Self(u64::from(group) << u32::BITS | u64::from(value))
    }
}

impl Wide {
    fn new(group: u32, value: u64) -> Self {
        Self { group, value: [value as u32, (value >> u32::BITS) as u32] }
    }

    fn value(self) -> u64 {
        u64::from(self.value[0]) | u64::from(self.value[1]) << u32::BITS
    }
}

impl Hashed for Narrow {
    fn hash(self) -> u64 {
        mixed(self.0)
    }
}

impl Hashed for Wide {
    fn hash(self) -> u64 {
        mixed(self.value() ^ mixed(u64::from(self.group)))
    }
}

/// A set of (group, value). Values are integers; as long as all fit into 32 bits, a pair has 8 bytes.
#[derive(Debug)]
pub(super) enum Pairs {
    Narrow(ShardedTable<Narrow>),
    Wide(ShardedTable<Wide>),
}

impl Default for Pairs {
    fn default() -> Self {
        Self::Narrow(ShardedTable::default())
    }
}

impl Pairs {
    /// Inserts a pair; returns whether it is new.
    pub(super) fn insert(&mut self, group: u32, value: i64) -> bool {
        match self {
            Self::Narrow(pairs) => {
                if let Ok(value) = i32::try_from(value) {
                    let pair = Narrow::new(group, value as u32);
                    return pairs.find_or_insert(pair.hash(), |other| *other == pair, || pair).is_none();
                }
                let mut wide = ShardedTable::default();
                for (group, value) in self.take() {
                    insert_wide(&mut wide, Wide::new(group, value as u64));
                }
                let is_new = insert_wide(&mut wide, Wide::new(group, value as u64));
                *self = Self::Wide(wide);
                is_new
            }
            Self::Wide(pairs) => insert_wide(pairs, Wide::new(group, value as u64)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Narrow(pairs) => pairs.len(),
            Self::Wide(pairs) => pairs.len(),
        }
    }

    /// Calls `each` with every group and value.
    pub(super) fn for_each(&self, mut each: impl FnMut(u32, i64)) {
        match self {
            Self::Narrow(pairs) => pairs.iter().map(narrow_parts).for_each(|(group, value)| each(group, value)),
            Self::Wide(pairs) => pairs.iter().for_each(|pair| each(pair.group, pair.value() as i64)),
        }
    }

    /// All groups and values; the set is empty then.
    pub(super) fn take(&mut self) -> Box<dyn Iterator<Item = (u32, i64)>> {
        match self {
            Self::Narrow(pairs) => Box::new(pairs.take().map(narrow_parts)),
            Self::Wide(pairs) => Box::new(pairs.take().map(|pair| (pair.group, pair.value() as i64))),
        }
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Narrow(pairs) => pairs.size(),
            Self::Wide(pairs) => pairs.size(),
        }
    }
}

fn narrow_parts(pair: Narrow) -> (u32, i64) {
    ((pair.0 >> u32::BITS) as u32, i64::from(pair.0 as u32 as i32))
}

fn insert_wide(pairs: &mut ShardedTable<Wide>, pair: Wide) -> bool {
    pairs.find_or_insert(pair.hash(), |other| *other == pair, || pair).is_none()
}

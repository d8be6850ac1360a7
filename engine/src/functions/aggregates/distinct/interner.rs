//! [`ByteInterner`]: maps byte strings to 32-bit codes.

use std::hash::BuildHasher;

use datafusion::common::{Result, exec_datafusion_err};

use super::pairs::mixed;
use super::sharded_table::{Hashed, ShardedTable};
use crate::kernels::hash::SEED;

/// The most bytes of a block, but for a longer value.
const BLOCK_BYTES: usize = 1 << 20;
/// The fewest bytes of a block.
const FIRST_BLOCK_BYTES: usize = 128;

/// A value in the hash table.
#[derive(Debug, Clone, Copy)]
struct Coded {
    hash: u32,
    code: u32,
}

impl Hashed for Coded {
    fn hash(self) -> u64 {
        mixed(u64::from(self.hash))
    }
}

/// Where a value begins. It ends where the next value of its block begins.
#[derive(Debug, Clone, Copy)]
struct Start {
    block: u32,
    at: u32,
}

/// Codes of byte strings, in the order of first appearance. The bytes are in blocks, so that growing copies none.
#[derive(Debug, Default)]
pub(super) struct ByteInterner {
    codes: ShardedTable<Coded>,
    starts: Vec<Start>,
    blocks: Vec<Vec<u8>>,
    /// Bytes of all blocks.
    capacity: usize,
}

impl ByteInterner {
    /// The code of a value, and whether it is new.
    ///
    /// # Errors
    /// More than 2^31 values.
    pub(super) fn intern(&mut self, value: &[u8]) -> Result<(u32, bool)> {
        let next = i32::try_from(self.starts.len())
            .map_err(|_| exec_datafusion_err!("DISTINCT over more than 2147483648 different values"))?;
        let new = Coded { hash: SEED.hash_one(value) as u32, code: next as u32 };
        let (starts, blocks) = (&self.starts, &self.blocks);
        let is_equal = |other: &Coded| other.hash == new.hash && bytes_of(starts, blocks, other.code) == value;
        if let Some(known) = self.codes.find_or_insert(new.hash(), is_equal, || new) {
            return Ok((known.code, false));
        }
        let has_room = self.blocks.last().is_some_and(|block| block.capacity() - block.len() >= value.len());
        if !has_room {
            let bytes = self.capacity.clamp(FIRST_BLOCK_BYTES, BLOCK_BYTES).max(value.len());
            self.blocks.push(Vec::with_capacity(bytes));
            self.capacity += bytes;
        }
        let block = self.blocks.len() - 1;
        self.starts.push(Start { block: block as u32, at: self.blocks[block].len() as u32 });
        self.blocks[block].extend_from_slice(value);
        Ok((new.code, true))
    }

    /// The value of a code.
    pub(super) fn bytes(&self, code: u32) -> &[u8] {
        bytes_of(&self.starts, &self.blocks, code)
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        self.codes.size()
            + self.capacity
            + self.starts.capacity() * size_of::<Start>()
            + self.blocks.capacity() * size_of::<Vec<u8>>()
    }
}

fn bytes_of<'a>(starts: &[Start], blocks: &'a [Vec<u8>], code: u32) -> &'a [u8] {
    let code = code as usize;
    let Start { block, at } = starts[code];
    let bytes = &blocks[block as usize];
    let end = starts.get(code + 1).filter(|next| next.block == block).map_or(bytes.len(), |next| next.at as usize);
    &bytes[at as usize..end]
}

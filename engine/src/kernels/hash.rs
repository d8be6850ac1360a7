//! Hash constants, and 32-bit hashes of keys.
//!
//! All hash tables and buckets of this crate use one seed, so that a hash is computed once per row: its upper bits choose the
//! bucket, the lower bits the slot within the bucket's table.

use std::hash::BuildHasher;
use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, MAX_INLINE_VIEW_LEN, StringViewArray};
use datafusion::arrow::buffer::Buffer;
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};

/// The seed of key hashes. It differs from the seed of DataFusion's `RepartitionExec`, whose hash already chose the rows of a
/// partition and would not distribute them evenly again.
pub(crate) const SEED: RandomState = RandomState::with_seed(0x6378_716c);

/// Multiplier that mixes hashes: 2^64 divided by the golden ratio (Fibonacci hashing).
pub(crate) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A second multiplier, for the upper half of a view.
const OTHER_ODD: u64 = 0xd6e8_feb8_6659_fd93;

/// Returns true if the view holds its whole string.
fn is_inline(view: u128) -> bool {
    view as u32 <= MAX_INLINE_VIEW_LEN
}

/// One 32-bit hash per row over all key columns. Equal keys have equal hashes; NULL is a value like any other.
///
/// # Errors
/// DataFusion cannot hash the type of a key.
pub(crate) fn key_hashes(keys: &[ArrayRef]) -> Result<Vec<u32>> {
    let rows = keys.first().map_or(0, |key| key.len());
    if let [key] = keys
        && let Some(strings) = key.as_string_view_opt()
    {
        let mut hashes = Vec::with_capacity(rows);
        string_hashes(strings, 0..rows, &mut hashes);
        if let Some(nulls) = strings.nulls() {
            hashes.iter_mut().zip(nulls).filter(|(_, is_valid)| !is_valid).for_each(|(hash, _)| *hash = 0);
        }
        return Ok(hashes);
    }
    let mut hashes = vec![0; rows];
    create_hashes(keys, &SEED, &mut hashes)?;
    Ok(hashes.into_iter().map(|hash| (hash >> u32::BITS) as u32).collect())
}

/// Appends the hashes of some rows. Equal strings have equal hashes; the hash of a NULL is arbitrary.
fn string_hashes(strings: &StringViewArray, rows: Range<usize>, hashes: &mut Vec<u32>) {
    let hash = |&view: &u128| {
        if is_inline(view) { inline_hash(view) } else { SEED.hash_one(bytes_of(view, strings.data_buffers())) as u32 }
    };
    hashes.extend(strings.views()[rows].iter().map(hash));
}

/// Hashes an inline view: both halves are multiplied into 128 bits and folded, without a call or a branch.
fn inline_hash(view: u128) -> u32 {
    let product = u128::from(view as u64 ^ ODD) * u128::from((view >> u64::BITS) as u64 ^ OTHER_ODD);
    let mixed = (product >> u64::BITS) as u64 ^ product as u64;
    (mixed >> u32::BITS) as u32
}

/// The bytes of a string that is not inline; empty for the arbitrary view of a NULL.
fn bytes_of(view: u128, buffers: &[Buffer]) -> &[u8] {
    let view = ByteView::from(view);
    let start = view.offset as usize;
    let bytes =
        buffers.get(view.buffer_index as usize).and_then(|buffer| buffer.get(start..start + view.length as usize));
    bytes.unwrap_or_default()
}

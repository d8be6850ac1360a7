//! Hash constants, and 32-bit hashes of keys.

use std::hash::BuildHasher;
use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, MAX_INLINE_VIEW_LEN, StringViewArray};
use datafusion::arrow::buffer::Buffer;
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};

/// The hashes of keys: their upper bits choose the bucket, the others the place in its table. Another seed than that of
/// the engine's exchanges, which have chosen among rows by their own.
pub(crate) const SEED: RandomState = RandomState::with_seed(0x6378_716c);

/// An odd number without pattern, by which hashes are mixed.
pub(crate) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Another odd number without pattern.
const OTHER_ODD: u64 = 0xd6e8_feb8_6659_fd93;

fn is_short(view: u128) -> bool {
    view as u32 <= MAX_INLINE_VIEW_LEN
}

/// Half a hash of the keys of each row; equal keys have equal ones, NULL as any other value.
///
/// # Errors
/// Keys of a type that the engine cannot hash.
pub(crate) fn key_hashes(keys: &[ArrayRef]) -> Result<Vec<u32>> {
    let rows = keys.first().map_or(0, |key| key.len());
    if let [key] = keys
        && let Some(texts) = key.as_string_view_opt()
    {
        let mut halves = Vec::with_capacity(rows);
        text_hashes(texts, 0..rows, &mut halves);
        if let Some(nulls) = texts.nulls() {
            halves.iter_mut().zip(nulls).filter(|(_, is_known)| !is_known).for_each(|(half, _)| *half = 0);
        }
        return Ok(halves);
    }
    let mut hashes = vec![0; rows];
    create_hashes(keys, &SEED, &mut hashes)?;
    Ok(hashes.into_iter().map(|hash| (hash >> u32::BITS) as u32).collect())
}

/// Adds half a hash of each of some texts to `halves`; equal texts have equal ones, NULL has any.
fn text_hashes(texts: &StringViewArray, rows: Range<usize>, halves: &mut Vec<u32>) {
    let half = |&view: &u128| {
        if is_short(view) { half_of(view) } else { SEED.hash_one(bytes_of(view, texts.data_buffers())) as u32 }
    };
    halves.extend(texts.views()[rows].iter().map(half));
}

/// Half the hash of a short text.
fn half_of(view: u128) -> u32 {
    let product = u128::from(view as u64 ^ ODD) * u128::from((view >> u64::BITS) as u64 ^ OTHER_ODD);
    let mixed = (product >> u64::BITS) as u64 ^ product as u64;
    (mixed >> u32::BITS) as u32
}

/// A long text; empty where a view is of no text.
fn bytes_of(view: u128, buffers: &[Buffer]) -> &[u8] {
    let view = ByteView::from(view);
    let start = view.offset as usize;
    let text =
        buffers.get(view.buffer_index as usize).and_then(|buffer| buffer.get(start..start + view.length as usize));
    text.unwrap_or_default()
}

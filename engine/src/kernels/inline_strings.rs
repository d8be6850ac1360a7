//! Strings of at most 8 bytes as integers, and of at most 12 bytes as views without data buffers.
//!
//! A string view stores its length and, up to 12 bytes, the string itself:
//!
//! ```text
//! view, 16 bytes, little endian      | length u32 | bytes 0..12 of the string, zero padded |
//! packed, 8 bytes, as a number       | bytes 0..8, big endian: numbers compare as strings do |
//! ```
//! The length is not stored in the packed form: it follows from the trailing zero bytes. Packed strings take half the memory
//! of views, and are hashed and compared as integers; the hash is that of the view, so that encodings may be mixed.

use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, MAX_INLINE_VIEW_LEN, StringViewArray, UInt64Array};
use datafusion::arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};

use super::hash::SEED;

/// Packs every string; `None` if one does not fit.
pub(crate) fn pack_strings(strings: &StringViewArray) -> Option<UInt64Array> {
    let mut all_fit = true;
    let mut pack = |view: u128| {
        let packed = pack(view);
        all_fit &= packed.is_some();
        packed.unwrap_or_default()
    };
    let views = strings.views().iter();
    let values: Vec<u64> = match strings.nulls() {
        // the view of a NULL is arbitrary and need not fit
        Some(nulls) => views.zip(nulls).map(|(&view, is_valid)| if is_valid { pack(view) } else { 0 }).collect(),
        None => views.map(|&view| pack(view)).collect(),
    };
    all_fit.then(|| UInt64Array::new(values.into(), strings.nulls().cloned()))
}

/// Packs the string of a view, its first byte in the most significant one. `None` if it has more than eight bytes, or ends
/// with a zero byte and would be confused with a shorter string.
pub(crate) fn pack(view: u128) -> Option<u64> {
    // the lower four bytes of a view are the length
    let packed = ((view >> u32::BITS) as u64).swap_bytes();
    (length(packed) == view as u32).then_some(packed)
}

/// The length of a packed string in bytes: up to the last byte that is not zero.
fn length(packed: u64) -> u32 {
    u64::BITS / 8 - packed.trailing_zeros() / 8
}

/// The view of a packed string.
pub(crate) fn view(packed: u64) -> u128 {
    (u128::from(packed.swap_bytes()) << u32::BITS) | u128::from(length(packed))
}

/// Unpacks strings into views.
pub(crate) fn unpack_strings(packed: &UInt64Array) -> StringViewArray {
    inline_string_array(packed.values().iter().map(|&packed| view(packed)).collect(), packed.nulls().cloned())
}

/// The hashes of packed strings, equal to those that `create_hashes` computes of their views; 0 for NULL.
pub(crate) fn inline_hashes(packed: &UInt64Array) -> Vec<u64> {
    let hash = |packed: u64| SEED.hash_one(view(packed));
    match packed.nulls() {
        Some(nulls) => packed
            .values()
            .iter()
            .zip(nulls)
            .map(|(&packed, is_valid)| if is_valid { hash(packed) } else { 0 })
            .collect(),
        None => packed.values().iter().map(|&packed| hash(packed)).collect(),
    }
}

/// A string array of inline views. Each view must be one of an array without data buffers, or made by [`view`].
#[expect(unsafe_code, reason = "validation takes twice as long as copying the views, docs/decisions/engine.md")]
pub(crate) fn inline_string_array(views: ScalarBuffer<u128>, nulls: Option<NullBuffer>) -> StringViewArray {
    let no_buffers: [Buffer; 0] = [];
    // SAFETY: each view is one of a valid string array without data buffers, or was made from the bytes and the length of a
    // packed string; either way it is inline and valid UTF-8
    unsafe { StringViewArray::new_unchecked(views, no_buffers, nulls) }
}

/// Drops the data buffers of a string array whose views are all inline. The buffers are pages of files, which a buffered
/// array would keep alive.
pub(crate) fn without_unused_buffers(values: ArrayRef) -> ArrayRef {
    match values.as_string_view_opt() {
        Some(strings)
            if !strings.data_buffers().is_empty()
                && strings.views().iter().all(|&view| view as u32 <= MAX_INLINE_VIEW_LEN) =>
        {
            Arc::new(strings.gc())
        }
        _ => values,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::hash_utils::create_hashes;

    use super::*;

    const SHORT: [&str; 12] =
        ["", "a", "b", "\0a", "aa", "ab\u{1}", "ab\0c", "C0000001", "C9999999", "größer", "é", "zzzzzzz"];

    /// Packed strings compare, hash and unpack as the strings do.
    #[test]
    fn short_strings_are_packed() {
        for step in 1..=SHORT.len() {
            // every string, then with NULLs among them
            let strings: StringViewArray = SHORT
                .iter()
                .enumerate()
                .map(|(index, string)| (index % step > 0 || step == 1).then_some(*string))
                .collect();
            let packed = pack_strings(&strings).unwrap();
            assert_eq!(unpack_strings(&packed), strings);
            let mut hashes = vec![0; strings.len()];
            create_hashes([&strings as &dyn Array], &SEED, &mut hashes).unwrap();
            assert_eq!(inline_hashes(&packed), hashes);
        }
        let packed = pack_strings(&StringViewArray::from_iter_values(SHORT)).unwrap();
        for (left, string) in SHORT.iter().enumerate() {
            for (right, other) in SHORT.iter().enumerate() {
                assert_eq!(packed.value(left).cmp(&packed.value(right)), string.cmp(other), "{string:?} {other:?}");
            }
        }
    }

    #[test]
    fn other_strings_are_not_packed() {
        for string in ["123456789", "a\0", "\0", "1234567\0", "a text that is not in its view", "größerer"] {
            assert!(pack_strings(&StringViewArray::from_iter_values(["a", string])).is_none(), "{string:?}");
        }
        // the view of a NULL is arbitrary
        let strings = StringViewArray::from_iter_values(["a", "a text that is not in its view"]);
        let strings = StringViewArray::new(
            strings.views().clone(),
            strings.data_buffers().to_vec(),
            Some(NullBuffer::from(vec![true, false])),
        );
        assert_eq!(unpack_strings(&pack_strings(&strings).unwrap()).iter().collect::<Vec<_>>(), [Some("a"), None]);
    }
}

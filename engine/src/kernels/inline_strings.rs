//! Strings of at most 8 bytes as integers, and of at most 12 bytes as views without buffers.

use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, MAX_INLINE_VIEW_LEN, StringViewArray, UInt64Array};
use datafusion::arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};

use super::hash::SEED;

/// Each text packed; `None` if one cannot be.
pub(crate) fn pack_strings(texts: &StringViewArray) -> Option<UInt64Array> {
    let mut are_all = true;
    let mut pack = |view: u128| {
        let packed = pack(view);
        are_all &= packed.is_some();
        packed.unwrap_or_default()
    };
    let views = texts.views().iter();
    let values: Vec<u64> = match texts.nulls() {
        // what stands where there is no text is any view
        Some(nulls) => views.zip(nulls).map(|(&view, known)| if known { pack(view) } else { 0 }).collect(),
        None => views.map(|&view| pack(view)).collect(),
    };
    are_all.then(|| UInt64Array::new(values.into(), texts.nulls().cloned()))
}

/// The text of a view as a number that has its bytes from the upper ones on, so that numbers compare as texts do; `None` if
/// it has more than eight bytes, or ends with a zero byte and could not be told from a shorter one.
pub(crate) fn pack(view: u128) -> Option<u64> {
    // the length comes first, then a short text
    let packed = ((view >> u32::BITS) as u64).swap_bytes();
    (length(packed) == view as u32).then_some(packed)
}

/// The bytes of a packed text: all up to the last that is not zero.
fn length(packed: u64) -> u32 {
    u64::BITS / 8 - packed.trailing_zeros() / 8
}

/// The view of a packed text.
pub(crate) fn view(packed: u64) -> u128 {
    (u128::from(packed.swap_bytes()) << u32::BITS) | u128::from(length(packed))
}

/// The texts of packed ones.
pub(crate) fn unpack_strings(packed: &UInt64Array) -> StringViewArray {
    inline_string_array(packed.values().iter().map(|&packed| view(packed)).collect(), packed.nulls().cloned())
}

/// As the engine hashes short texts: their views. 0 for none.
pub(crate) fn inline_hashes(packed: &UInt64Array) -> Vec<u64> {
    let hash = |packed: u64| SEED.hash_one(view(packed));
    match packed.nulls() {
        Some(nulls) => {
            packed.values().iter().zip(nulls).map(|(&packed, known)| if known { hash(packed) } else { 0 }).collect()
        }
        None => packed.values().iter().map(|&packed| hash(packed)).collect(),
    }
}

/// Texts of views that come from texts without buffers, or of packed ones.
#[expect(unsafe_code, reason = "a check of each text takes twice as long as moving it, docs/decisions/engine.md")]
pub(crate) fn inline_string_array(views: ScalarBuffer<u128>, nulls: Option<NullBuffer>) -> StringViewArray {
    let no_buffers: [Buffer; 0] = [];
    // SAFETY: each view is one of a text array without buffers, or was made of the bytes and the length of a packed text, so that
    // it holds a whole text
    unsafe { StringViewArray::new_unchecked(views, no_buffers, nulls) }
}

/// Texts without the buffers that they come with, if all of them are in their views: those are pages of files.
pub(crate) fn without_unused_buffers(values: ArrayRef) -> ArrayRef {
    match values.as_string_view_opt() {
        Some(texts)
            if !texts.data_buffers().is_empty()
                && texts.views().iter().all(|&view| view as u32 <= MAX_INLINE_VIEW_LEN) =>
        {
            Arc::new(texts.gc())
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

    /// Numbers of short texts compare, hash and come back as the texts do.
    #[test]
    fn short_texts_are_packed() {
        for step in 1..=SHORT.len() {
            // each text, with NULL for some of them
            let texts: StringViewArray = SHORT
                .iter()
                .enumerate()
                .map(|(place, text)| (place % step > 0 || step == 1).then_some(*text))
                .collect();
            let packed = pack_strings(&texts).unwrap();
            assert_eq!(unpack_strings(&packed), texts);
            let mut hashes = vec![0; texts.len()];
            create_hashes([&texts as &dyn Array], &SEED, &mut hashes).unwrap();
            assert_eq!(inline_hashes(&packed), hashes);
        }
        let numbers = pack_strings(&StringViewArray::from_iter_values(SHORT)).unwrap();
        for (left, text) in SHORT.iter().enumerate() {
            for (right, other) in SHORT.iter().enumerate() {
                assert_eq!(numbers.value(left).cmp(&numbers.value(right)), text.cmp(other), "{text:?} {other:?}");
            }
        }
    }

    #[test]
    fn other_texts_are_not_packed() {
        for text in ["123456789", "a\0", "\0", "1234567\0", "a text that is not in its view", "größerer"] {
            assert!(pack_strings(&StringViewArray::from_iter_values(["a", text])).is_none(), "{text:?}");
        }
        // a view beside a NULL may be any
        let texts = StringViewArray::from_iter_values(["a", "a text that is not in its view"]);
        let texts = StringViewArray::new(
            texts.views().clone(),
            texts.data_buffers().to_vec(),
            Some(NullBuffer::from(vec![true, false])),
        );
        assert_eq!(unpack_strings(&pack_strings(&texts).unwrap()).iter().collect::<Vec<_>>(), [Some("a"), None]);
    }
}

//! How the texts of a carried column are kept until all rows have come.

use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, MAX_INLINE_VIEW_LEN, StringViewArray, UInt64Array};
use datafusion::arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use datafusion::common::Result;
use datafusion::common::hash_utils::create_hashes;

use super::coding::{Coder, decoded};
use super::collect::SEED;

/// How a column is kept while rows come. One form follows another when a value does not suit it.
pub(super) enum Form {
    /// As numbers, as long as few texts differ.
    Coded { coder: Coder, is_packable: bool },
    /// In eight bytes each, as long as texts are short.
    Packed,
    /// As it came.
    Plain,
}

/// How a column has been kept.
pub(super) enum Kept {
    /// As numbers of these texts.
    Coded(StringViewArray),
    Packed,
    Plain,
}

impl Form {
    /// The first form of texts. `is_packable`: whether they may be packed.
    pub(super) fn of_texts(is_packable: bool) -> Self {
        Self::Coded { coder: Coder::default(), is_packable }
    }

    /// A column in this form; `None` if a value does not suit it.
    ///
    /// # Errors
    /// Those of hashing.
    pub(super) fn kept(&mut self, column: &ArrayRef) -> Result<Option<ArrayRef>> {
        Ok(match self {
            Self::Coded { coder, .. } => coder.numbers(column.as_string_view())?.map(|numbers| Arc::new(numbers) as _),
            Self::Packed => packed(column.as_string_view()).map(|packed| Arc::new(packed) as _),
            Self::Plain => Some(unburdened(Arc::clone(column))),
        })
    }

    /// The form that follows when a value did not suit this one.
    fn next(&self) -> Self {
        match self {
            Self::Coded { is_packable: true, .. } => Self::Packed,
            _ => Self::Plain,
        }
    }

    /// Goes on with a form that suits all that was kept so far, and keeps it so.
    ///
    /// # Errors
    /// Those of hashing.
    pub(super) fn change(&mut self, so_far: &mut [&mut ArrayRef]) -> Result<()> {
        let before = self.end();
        loop {
            *self = self.next();
            let again = so_far.iter().map(|column| self.kept(&before.restored(column)?));
            if let Some(again) = again.collect::<Result<Option<Vec<ArrayRef>>>>()? {
                so_far.iter_mut().zip(again).for_each(|(column, again)| **column = again);
                return Ok(());
            }
        }
    }

    /// The bytes of a text, without those of a longer one that lie elsewhere.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Coded { .. } => size_of::<u16>(),
            Self::Packed => size_of::<u64>(),
            Self::Plain => size_of::<u128>(),
        }
    }

    /// The hashes of a column in this form, which are those of the column itself.
    ///
    /// # Errors
    /// Those of hashing.
    pub(super) fn hashes(&self, column: &ArrayRef) -> Result<Vec<u64>> {
        Ok(match self {
            Self::Coded { coder, .. } => coder.hashes(column.as_primitive()),
            Self::Packed => packed_hashes(column.as_primitive()),
            Self::Plain => {
                let mut hashes = vec![0; column.len()];
                create_hashes([column], &SEED, &mut hashes)?;
                hashes
            }
        })
    }

    /// How what was kept is to be read.
    pub(super) fn end(&self) -> Kept {
        match self {
            Self::Coded { coder, .. } => Kept::Coded(coder.texts()),
            Self::Packed => Kept::Packed,
            Self::Plain => Kept::Plain,
        }
    }
}

impl Kept {
    /// A kept column as it came.
    ///
    /// # Errors
    /// None for columns that were kept so.
    pub(super) fn restored(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match self {
            Self::Coded(texts) => decoded(column, texts),
            Self::Packed => Ok(Arc::new(unpacked(column.as_primitive()))),
            Self::Plain => Ok(Arc::clone(column)),
        }
    }
}

/// Each text packed; `None` if one cannot be.
fn packed(texts: &StringViewArray) -> Option<UInt64Array> {
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
pub(crate) fn unpacked(packed: &UInt64Array) -> StringViewArray {
    short_texts(packed.values().iter().map(|&packed| view(packed)).collect(), packed.nulls().cloned())
}

/// As the engine hashes short texts: their views. 0 for none.
fn packed_hashes(packed: &UInt64Array) -> Vec<u64> {
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
pub(super) fn short_texts(views: ScalarBuffer<u128>, nulls: Option<NullBuffer>) -> StringViewArray {
    let no_buffers: [Buffer; 0] = [];
    // SAFETY: each view is one of a text array without buffers, or was made of the bytes and the length of a packed text, so that
    // it holds a whole text
    unsafe { StringViewArray::new_unchecked(views, no_buffers, nulls) }
}

/// Texts without the buffers that they come with, if all of them are in their views: those are pages of files.
pub(super) fn unburdened(values: ArrayRef) -> ArrayRef {
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
    use datafusion::arrow::array::Int64Array;

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
            let packed = packed(&texts).unwrap();
            assert_eq!(unpacked(&packed), texts);
            let mut hashes = vec![0; texts.len()];
            create_hashes([&texts as &dyn Array], &SEED, &mut hashes).unwrap();
            assert_eq!(packed_hashes(&packed), hashes);
        }
        let numbers = packed(&StringViewArray::from_iter_values(SHORT)).unwrap();
        for (left, text) in SHORT.iter().enumerate() {
            for (right, other) in SHORT.iter().enumerate() {
                assert_eq!(numbers.value(left).cmp(&numbers.value(right)), text.cmp(other), "{text:?} {other:?}");
            }
        }
    }

    #[test]
    fn other_texts_are_not_packed() {
        for text in ["123456789", "a\0", "\0", "1234567\0", "a text that is not in its view", "größerer"] {
            assert!(packed(&StringViewArray::from_iter_values(["a", text])).is_none(), "{text:?}");
        }
        // a view beside a NULL may be any
        let texts = StringViewArray::from_iter_values(["a", "a text that is not in its view"]);
        let texts = StringViewArray::new(
            texts.views().clone(),
            texts.data_buffers().to_vec(),
            Some(NullBuffer::from(vec![true, false])),
        );
        assert_eq!(unpacked(&packed(&texts).unwrap()).iter().collect::<Vec<_>>(), [Some("a"), None]);
    }

    /// Numbers first, then eight bytes, then texts: what was kept before is kept in the new form, and comes back the same.
    #[test]
    fn a_form_follows_another() {
        let few: ArrayRef = Arc::new(StringViewArray::from_iter([Some("a"), None, Some("b")]));
        let many: ArrayRef = Arc::new((0..6000).map(|row| Some(format!("{row}"))).collect::<StringViewArray>());
        let long: ArrayRef =
            Arc::new((0..6000).map(|row| Some(format!("text number {row}"))).collect::<StringViewArray>());
        for (is_packable, last, width) in [(true, &many, 8), (false, &many, 16), (true, &long, 16)] {
            let mut form = Form::of_texts(is_packable);
            let mut kept: Vec<ArrayRef> = vec![];
            for (column, wanted) in [(&few, 2), (last, width), (&few, width), (&long, 16), (&many, 16)] {
                let column = loop {
                    if let Some(column) = form.kept(column).unwrap() {
                        break column;
                    }
                    form.change(&mut kept.iter_mut().collect::<Vec<_>>()).unwrap();
                };
                kept.push(column);
                assert_eq!(form.width(), wanted);
            }
            let ended = form.end();
            for (kept, column) in kept.iter().zip([&few, last, &few, &long, &many]) {
                assert_eq!(&ended.restored(kept).unwrap(), column);
            }
        }
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        assert_eq!(Form::Plain.kept(&numbers).unwrap(), Some(numbers));
    }
}

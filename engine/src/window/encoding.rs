//! How the texts of a buffered column are encode until all rows have come.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::common::Result;
use datafusion::common::hash_utils::create_hashes;

use crate::kernels::hash::SEED;
use crate::kernels::inline_strings::{inline_hashes, pack_strings, unpack_strings, without_unused_buffers};
use crate::kernels::string_interner::{StringInterner, decode_codes};

/// How a column is encode while rows come. One form follows another when a value does not suit it.
pub(super) enum ColumnEncoder {
    /// As numbers, as long as few texts differ.
    Interned { interner: StringInterner, is_inlinable: bool },
    /// In eight bytes each, as long as texts are short.
    Inline,
    /// As it came.
    Plain,
}

/// How a column has been encode.
pub(super) enum ColumnEncoding {
    /// As numbers of these texts.
    Interned(StringViewArray),
    Inline,
    Plain,
}

impl ColumnEncoder {
    /// The first form of texts. `is_inlinable`: whether they may be packed.
    pub(super) fn for_strings(is_inlinable: bool) -> Self {
        Self::Interned { interner: StringInterner::default(), is_inlinable }
    }

    /// A column in this form; `None` if a value does not suit it.
    ///
    /// # Errors
    /// Those of hashing.
    pub(super) fn encode(&mut self, column: &ArrayRef) -> Result<Option<ArrayRef>> {
        Ok(match self {
            Self::Interned { interner, .. } => {
                interner.numbers(column.as_string_view())?.map(|numbers| Arc::new(numbers) as _)
            }
            Self::Inline => pack_strings(column.as_string_view()).map(|packed| Arc::new(packed) as _),
            Self::Plain => Some(without_unused_buffers(Arc::clone(column))),
        })
    }

    /// The form that follows when a value did not suit this one.
    fn next(&self) -> Self {
        match self {
            Self::Interned { is_inlinable: true, .. } => Self::Inline,
            _ => Self::Plain,
        }
    }

    /// Goes on with a form that suits all that was encode so far, and keeps it so.
    ///
    /// # Errors
    /// Those of hashing.
    pub(super) fn change(&mut self, so_far: &mut [&mut ArrayRef]) -> Result<()> {
        let before = self.end();
        loop {
            *self = self.next();
            let again = so_far.iter().map(|column| self.encode(&before.decode(column)?));
            if let Some(again) = again.collect::<Result<Option<Vec<ArrayRef>>>>()? {
                so_far.iter_mut().zip(again).for_each(|(column, again)| **column = again);
                return Ok(());
            }
        }
    }

    /// The bytes of a text, without those of a longer one that lie elsewhere.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Interned { .. } => size_of::<u16>(),
            Self::Inline => size_of::<u64>(),
            Self::Plain => size_of::<u128>(),
        }
    }

    /// The hashes of a column in this form, which are those of the column itself.
    ///
    /// # Errors
    /// Those of hashing.
    pub(super) fn hashes(&self, column: &ArrayRef) -> Result<Vec<u64>> {
        Ok(match self {
            Self::Interned { interner, .. } => interner.hashes(column.as_primitive()),
            Self::Inline => inline_hashes(column.as_primitive()),
            Self::Plain => {
                let mut hashes = vec![0; column.len()];
                create_hashes([column], &SEED, &mut hashes)?;
                hashes
            }
        })
    }

    /// How what was encode is to be read.
    pub(super) fn end(&self) -> ColumnEncoding {
        match self {
            Self::Interned { interner, .. } => ColumnEncoding::Interned(interner.texts()),
            Self::Inline => ColumnEncoding::Inline,
            Self::Plain => ColumnEncoding::Plain,
        }
    }
}

impl ColumnEncoding {
    /// A encode column as it came.
    ///
    /// # Errors
    /// None for columns that were encode so.
    pub(super) fn decode(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match self {
            Self::Interned(texts) => decode_codes(column, texts),
            Self::Inline => Ok(Arc::new(unpack_strings(column.as_primitive()))),
            Self::Plain => Ok(Arc::clone(column)),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;

    use super::*;

    /// Numbers first, then eight bytes, then texts: what was encode before is encode in the new form, and comes back the same.
    #[test]
    fn a_form_follows_another() {
        let few: ArrayRef = Arc::new(StringViewArray::from_iter([Some("a"), None, Some("b")]));
        let many: ArrayRef = Arc::new((0..6000).map(|row| Some(format!("{row}"))).collect::<StringViewArray>());
        let long: ArrayRef =
            Arc::new((0..6000).map(|row| Some(format!("text number {row}"))).collect::<StringViewArray>());
        for (is_inlinable, last, width) in [(true, &many, 8), (false, &many, 16), (true, &long, 16)] {
            let mut form = ColumnEncoder::for_strings(is_inlinable);
            let mut encode: Vec<ArrayRef> = vec![];
            for (column, wanted) in [(&few, 2), (last, width), (&few, width), (&long, 16), (&many, 16)] {
                let column = loop {
                    if let Some(column) = form.encode(column).unwrap() {
                        break column;
                    }
                    form.change(&mut encode.iter_mut().collect::<Vec<_>>()).unwrap();
                };
                encode.push(column);
                assert_eq!(form.width(), wanted);
            }
            let ended = form.end();
            for (encode, column) in encode.iter().zip([&few, last, &few, &long, &many]) {
                assert_eq!(&ended.decode(encode).unwrap(), column);
            }
        }
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        assert_eq!(ColumnEncoder::Plain.encode(&numbers).unwrap(), Some(numbers));
    }
}

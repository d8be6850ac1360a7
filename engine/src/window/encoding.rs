//! In-memory encodings of buffered string columns: dictionary codes, inline 8-byte strings, or string views.
//!
//! ```text
//! Interned   2 bytes per row    low cardinality                  (kernels::string_interner)
//!    |  too many distinct strings
//! Inline     8 bytes per row    at most 8 bytes long, keys only  (kernels::inline_strings)
//!    |  a longer string
//! Plain     16 bytes per row    string views, and all other types
//! ```
//! Every input starts with the smallest encoding. When a batch does not fit, what was buffered so far is encoded again in the
//! next one. The hash of a value is the same in all encodings, so that inputs with different ones use the same buckets.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::common::Result;
use datafusion::common::hash_utils::create_hashes;

use crate::kernels::hash::SEED;
use crate::kernels::inline_strings::{inline_hashes, pack_strings, unpack_strings, without_unused_buffers};
use crate::kernels::string_interner::{StringInterner, decode_codes};

/// Encodes one column of one input, batch by batch.
pub(super) enum ColumnEncoder {
    /// 16-bit codes, while the column is of low cardinality. `is_inlinable`: whether [`Self::Inline`] may follow.
    Interned { interner: StringInterner, is_inlinable: bool },
    /// Packed into 8 bytes each, while all strings are short enough.
    Inline,
    /// The array as it is.
    Plain,
}

/// The encoding of a column whose input was read to its end.
pub(super) enum ColumnEncoding {
    /// Codes, as indices into these strings.
    Interned(StringViewArray),
    Inline,
    Plain,
}

impl ColumnEncoder {
    /// The first encoder of a string column. `is_inlinable`: whether its strings may be packed.
    pub(super) fn for_strings(is_inlinable: bool) -> Self {
        Self::Interned { interner: StringInterner::default(), is_inlinable }
    }

    /// Encodes a batch; `None` if it does not fit into this encoding, see [`Self::fall_back`].
    pub(super) fn encode(&mut self, column: &ArrayRef) -> Result<Option<ArrayRef>> {
        Ok(match self {
            Self::Interned { interner, .. } => {
                interner.encode(column.as_string_view())?.map(|codes| Arc::new(codes) as _)
            }
            Self::Inline => pack_strings(column.as_string_view()).map(|packed| Arc::new(packed) as _),
            Self::Plain => Some(without_unused_buffers(Arc::clone(column))),
        })
    }

    /// The encoder that follows this one.
    fn fallback(&self) -> Self {
        match self {
            Self::Interned { is_inlinable: true, .. } => Self::Inline,
            _ => Self::Plain,
        }
    }

    /// Switches to the next encoding into which all batches buffered so far fit, and encodes them again.
    pub(super) fn fall_back(&mut self, buffered: &mut [&mut ArrayRef]) -> Result<()> {
        let before = self.encoding();
        loop {
            *self = self.fallback();
            let reencoded = buffered.iter().map(|column| self.encode(&before.decode(column)?));
            if let Some(reencoded) = reencoded.collect::<Result<Option<Vec<ArrayRef>>>>()? {
                buffered.iter_mut().zip(reencoded).for_each(|(column, reencoded)| **column = reencoded);
                return Ok(());
            }
        }
    }

    /// Bytes per value, without the data buffers of views.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Interned { .. } => size_of::<u16>(),
            Self::Inline => size_of::<u64>(),
            Self::Plain => size_of::<u128>(),
        }
    }

    /// Hashes an encoded column. The hashes equal those of the decoded column.
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

    /// The encoding of all batches encoded so far.
    pub(super) fn encoding(&self) -> ColumnEncoding {
        match self {
            Self::Interned { interner, .. } => ColumnEncoding::Interned(interner.strings()),
            Self::Inline => ColumnEncoding::Inline,
            Self::Plain => ColumnEncoding::Plain,
        }
    }
}

impl ColumnEncoding {
    /// Decodes a column that has this encoding.
    pub(super) fn decode(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match self {
            Self::Interned(strings) => decode_codes(column, strings),
            Self::Inline => Ok(Arc::new(unpack_strings(column.as_primitive()))),
            Self::Plain => Ok(Arc::clone(column)),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;

    use super::*;

    /// Codes, then packed strings, then views; every batch decodes to what it was, in whichever encoding it began.
    #[test]
    fn encodings_fall_back_and_decode() {
        let low: ArrayRef = Arc::new(StringViewArray::from_iter([Some("a"), None, Some("b")]));
        let high: ArrayRef = Arc::new((0..6000).map(|row| Some(format!("{row}"))).collect::<StringViewArray>());
        let long: ArrayRef =
            Arc::new((0..6000).map(|row| Some(format!("text number {row}"))).collect::<StringViewArray>());
        for (is_inlinable, last, width) in [(true, &high, 8), (false, &high, 16), (true, &long, 16)] {
            let mut encoder = ColumnEncoder::for_strings(is_inlinable);
            let mut encoded: Vec<ArrayRef> = vec![];
            for (column, wanted) in [(&low, 2), (last, width), (&low, width), (&long, 16), (&high, 16)] {
                let column = loop {
                    if let Some(column) = encoder.encode(column).unwrap() {
                        break column;
                    }
                    encoder.fall_back(&mut encoded.iter_mut().collect::<Vec<_>>()).unwrap();
                };
                encoded.push(column);
                assert_eq!(encoder.width(), wanted);
            }
            let encoding = encoder.encoding();
            for (encoded, column) in encoded.iter().zip([&low, last, &low, &long, &high]) {
                assert_eq!(&encoding.decode(encoded).unwrap(), column);
            }
        }
        let integers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        assert_eq!(ColumnEncoder::Plain.encode(&integers).unwrap(), Some(integers));
    }
}

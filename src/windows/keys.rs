//! PARTITION BY: which rows have equal keys.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, MAX_INLINE_VIEW_LEN};
use datafusion::arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, UInt32Type};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

/// The keys of a bucket, to be compared.
pub(super) enum Keys<'a> {
    Columns(Vec<Key<'a>>),
    /// The encoding by which any types are equal when its bytes are.
    Rows(Rows),
}

pub(super) struct Key<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Views {
        views: &'a [u128],
        buffers: &'a [Buffer],
    },
    /// Different texts have different numbers.
    Coded(&'a [u32]),
    Four(ScalarBuffer<i32>),
    Eight(ScalarBuffer<i64>),
}

impl<'a> Keys<'a> {
    /// # Errors
    /// A type that has no encoding.
    pub(super) fn new(keys: &'a [ArrayRef]) -> Result<Self> {
        let columns: Option<Vec<_>> = keys.iter().map(Key::new).collect();
        if let Some(columns) = columns {
            return Ok(Self::Columns(columns));
        }
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        Ok(Self::Rows(RowConverter::new(fields)?.convert_columns(keys)?))
    }

    /// Of the first `rows` rows those that differ from the one before.
    pub(super) fn starts(&self, rows: usize) -> Vec<u32> {
        if let Self::Columns(keys) = self
            && let [key] = keys.as_slice()
            && key.nulls.is_none_or(|nulls| nulls.null_count() == 0)
        {
            return match &key.values {
                Values::Coded(values) => differing(values, PartialEq::eq),
                Values::Four(values) => differing(values, PartialEq::eq),
                Values::Eight(values) => differing(values, PartialEq::eq),
                Values::Views { views, buffers } => differing(views, |left, right| are_same(*left, *right, buffers)),
            };
        }
        (1..rows).filter(|&row| !self.are_equal(row - 1, row)).map(|row| row as u32).collect()
    }

    pub(super) fn are_equal(&self, left: usize, right: usize) -> bool {
        match self {
            Self::Columns(keys) => keys.iter().all(|key| key.are_equal(left, right)),
            Self::Rows(rows) => rows.row(left) == rows.row(right),
        }
    }
}

impl<'a> Key<'a> {
    /// `None` for types that are not compared so.
    fn new(key: &'a ArrayRef) -> Option<Self> {
        let values = match key.data_type() {
            DataType::Utf8View => {
                let texts = key.as_string_view();
                Values::Views { views: texts.views(), buffers: texts.data_buffers() }
            }
            DataType::BinaryView => {
                let bytes = key.as_binary_view();
                Values::Views { views: bytes.views(), buffers: bytes.data_buffers() }
            }
            DataType::Int32 | DataType::UInt32 | DataType::Date32 => {
                let data = key.to_data();
                Values::Four(ScalarBuffer::new(data.buffers().first()?.clone(), data.offset(), data.len()))
            }
            DataType::Int64 | DataType::UInt64 | DataType::Date64 | DataType::Timestamp(..) | DataType::Duration(_) => {
                let data = key.to_data();
                Values::Eight(ScalarBuffer::new(data.buffers().first()?.clone(), data.offset(), data.len()))
            }
            DataType::Dictionary(numbers, _) if **numbers == DataType::UInt32 => {
                let numbers = key.as_dictionary::<UInt32Type>().keys();
                return Some(Self { nulls: numbers.nulls(), values: Values::Coded(numbers.values()) });
            }
            _ => return None,
        };
        Some(Self { nulls: key.nulls(), values })
    }

    fn are_equal(&self, left: usize, right: usize) -> bool {
        if let Some(nulls) = self.nulls {
            match (nulls.is_null(left), nulls.is_null(right)) {
                (false, false) => {}
                (left, right) => return left == right,
            }
        }
        match &self.values {
            Values::Coded(values) => values[left] == values[right],
            Values::Four(values) => values[left] == values[right],
            Values::Eight(values) => values[left] == values[right],
            Values::Views { views, buffers } => are_same(views[left], views[right], buffers),
        }
    }
}

/// The places of values that differ from the one before.
fn differing<T>(values: &[T], are_equal: impl Fn(&T, &T) -> bool) -> Vec<u32> {
    let pairs = (1..).zip(values.iter().zip(values.iter().skip(1)));
    pairs.filter(|(_, (left, right))| !are_equal(left, right)).map(|(place, _)| place).collect()
}

/// Whether two views are of equal texts: the length and the first four bytes come first; a short text is all in its view.
fn are_same(left: u128, right: u128, buffers: &[Buffer]) -> bool {
    left == right
        || (left as u32 > MAX_INLINE_VIEW_LEN
            && left as u64 == right as u64
            && long_text(left, buffers) == long_text(right, buffers))
}

/// The bytes of a text that is not in its view.
fn long_text(view: u128, buffers: &[Buffer]) -> Option<&[u8]> {
    let view = ByteView::from(view);
    let start = view.offset as usize;
    buffers.get(view.buffer_index as usize)?.get(start..start + view.length as usize)
}

//! PARTITION BY: which rows have equal keys.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, MAX_INLINE_VIEW_LEN};
use datafusion::arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, UInt32Type};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use hashbrown::HashTable;

use super::hash::ODD;

/// The keys of a bucket, to be compared.
pub(crate) enum PartitionKeys<'a> {
    Columns(Vec<Key<'a>>),
    /// The encoding by which any types are equal when its bytes are.
    Rows(Rows),
}

pub(crate) struct Key<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Views {
        views: &'a [u128],
        buffers: &'a [Buffer],
    },
    /// Different texts have different numbers.
    Interned(&'a [u32]),
    Four(ScalarBuffer<i32>),
    Eight(ScalarBuffer<i64>),
}

impl<'a> PartitionKeys<'a> {
    /// # Errors
    /// A type that has no encoding.
    pub(crate) fn new(keys: &'a [ArrayRef]) -> Result<Self> {
        let columns: Option<Vec<_>> = keys.iter().map(Key::new).collect();
        if let Some(columns) = columns {
            return Ok(Self::Columns(columns));
        }
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        Ok(Self::Rows(RowConverter::new(fields)?.convert_columns(keys)?))
    }

    /// Of the first `rows` rows those that differ from the one before.
    pub(crate) fn starts(&self, rows: usize) -> Vec<u32> {
        match self.only() {
            Some(Values::Interned(values)) => differing(values, PartialEq::eq),
            Some(Values::Four(values)) => differing(values, PartialEq::eq),
            Some(Values::Eight(values)) => differing(values, PartialEq::eq),
            Some(Values::Views { views, buffers }) => differing(views, |left, right| are_same(*left, *right, buffers)),
            None => (1..rows).filter(|&row| !self.equal_rows(row - 1, row)).map(|row| row as u32).collect(),
        }
    }

    /// Tells of each row the number of its keys: equal keys have one, and numbers are given as keys come. `hashes` are those
    /// of the rows.
    pub(crate) fn number(&self, hashes: &[u64], put: impl FnMut(u32)) {
        match self.only() {
            Some(Values::Interned(values)) => number(values.iter().copied(), hashes, |left, right| left == right, put),
            Some(Values::Four(values)) => number(values.iter().copied(), hashes, |left, right| left == right, put),
            Some(Values::Eight(values)) => number(values.iter().copied(), hashes, |left, right| left == right, put),
            Some(Values::Views { views, buffers }) => {
                number(views.iter().copied(), hashes, |left, right| are_same(left, right, buffers), put);
            }
            None => number(0..hashes.len(), hashes, |left, right| self.equal_rows(left, right), put),
        }
    }

    /// The values of a single key without NULL.
    fn only(&self) -> Option<&Values<'a>> {
        match self {
            Self::Columns(keys) => match keys.as_slice() {
                [key] if key.nulls.is_none_or(|nulls| nulls.null_count() == 0) => Some(&key.values),
                _ => None,
            },
            Self::Rows(_) => None,
        }
    }

    pub(crate) fn equal_rows(&self, left: usize, right: usize) -> bool {
        match self {
            Self::Columns(keys) => keys.iter().all(|key| key.equal_rows(left, right)),
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
                return Some(Self { nulls: numbers.nulls(), values: Values::Interned(numbers.values()) });
            }
            _ => return None,
        };
        Some(Self { nulls: key.nulls(), values })
    }

    fn equal_rows(&self, left: usize, right: usize) -> bool {
        if let Some(nulls) = self.nulls {
            match (nulls.is_null(left), nulls.is_null(right)) {
                (false, false) => {}
                (left, right) => return left == right,
            }
        }
        match &self.values {
            Values::Interned(values) => values[left] == values[right],
            Values::Four(values) => values[left] == values[right],
            Values::Eight(values) => values[left] == values[right],
            Values::Views { views, buffers } => are_same(views[left], views[right], buffers),
        }
    }
}

/// The places of values that differ from the one before.
fn differing<T>(values: &[T], equal_rows: impl Fn(&T, &T) -> bool) -> Vec<u32> {
    let pairs = (1..).zip(values.iter().zip(values.iter().skip(1)));
    pairs.filter(|(_, (left, right))| !equal_rows(left, right)).map(|(place, _)| place).collect()
}

/// Rows of a partition for which there is room in the table of a bucket from the start: less room stays nearer to the
/// processor, and it grows where partitions are smaller.
const ROWS_PER_PARTITION: usize = 8;

/// Tells of each key its number. `K` is what says by itself whether keys are equal.
fn number<K: Copy>(
    keys: impl Iterator<Item = K>,
    hashes: &[u64],
    equal_rows: impl Fn(K, K) -> bool,
    mut put: impl FnMut(u32),
) {
    // of each key half its hash and its number: the hash spares most looks at the keys
    let mut table: HashTable<(u32, u32)> = HashTable::with_capacity(hashes.len() / ROWS_PER_PARTITION);
    let mut known: Vec<K> = vec![];
    for (key, hash) in keys.zip(hashes) {
        let half = (hash >> u32::BITS) as u32 ^ *hash as u32;
        let is_same = |&(other, number): &(u32, u32)| other == half && equal_rows(known[number as usize], key);
        put(match table.find(spread(half), is_same) {
            Some(&(_, number)) => number,
            None => {
                let number = known.len() as u32;
                table.insert_unique(spread(half), (half, number), |&(other, _)| spread(other));
                known.push(key);
                number
            }
        });
    }
}

/// Half a hash as a table wants it: it looks at the upper and the lower bits.
fn spread(half: u32) -> u64 {
    u64::from(half).wrapping_mul(ODD)
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

//! Assigns partition ids to rows by comparing their PARTITION BY keys.
//!
//! Single keys without NULL are compared as slices of views, codes or integers; several keys column by column; types that
//! have no such form (decimals, floats, lists) in Arrow's row format. NULLs are equal to each other, as SQL's PARTITION BY
//! wants.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, MAX_INLINE_VIEW_LEN};
use datafusion::arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, UInt32Type};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use hashbrown::HashTable;

use super::hash::ODD;

/// The key columns of a bucket, in a form that is compared row by row.
pub(crate) enum PartitionKeys<'a> {
    Columns(Vec<Key<'a>>),
    /// Arrow's row format: rows are equal when their bytes are.
    Rows(Rows),
}

/// One key column.
pub(crate) struct Key<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

/// The values of a key column. Fixed-width types share a representation by width, since only equality matters.
enum Values<'a> {
    Views {
        views: &'a [u128],
        buffers: &'a [Buffer],
    },
    /// Keys of a dictionary without duplicate values.
    Codes(&'a [u32]),
    Fixed32(ScalarBuffer<i32>),
    Fixed64(ScalarBuffer<i64>),
}

impl<'a> PartitionKeys<'a> {
    /// # Errors
    /// A type that the row format does not support.
    pub(crate) fn new(keys: &'a [ArrayRef]) -> Result<Self> {
        let columns: Option<Vec<_>> = keys.iter().map(Key::new).collect();
        if let Some(columns) = columns {
            return Ok(Self::Columns(columns));
        }
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        Ok(Self::Rows(RowConverter::new(fields)?.convert_columns(keys)?))
    }

    /// The rows before `rows` whose keys differ from those of the row before: where partitions of clustered rows start.
    pub(crate) fn starts(&self, rows: usize) -> Vec<u32> {
        match self.single_non_null() {
            Some(Values::Codes(values)) => changes(values, PartialEq::eq),
            Some(Values::Fixed32(values)) => changes(values, PartialEq::eq),
            Some(Values::Fixed64(values)) => changes(values, PartialEq::eq),
            Some(Values::Views { views, buffers }) => changes(views, |left, right| views_equal(*left, *right, buffers)),
            None => (1..rows).filter(|&row| !self.equal_rows(row - 1, row)).map(|row| row as u32).collect(),
        }
    }

    /// Emits the partition id of each row, in row order. Ids are dense and ascend in the order of first appearance. `hashes`
    /// has one hash per row.
    pub(crate) fn assign_ids(&self, hashes: &[u64], emit: impl FnMut(u32)) {
        match self.single_non_null() {
            Some(Values::Codes(values)) => {
                assign_ids(values.iter().copied(), hashes, |left, right| left == right, emit)
            }
            Some(Values::Fixed32(values)) => {
                assign_ids(values.iter().copied(), hashes, |left, right| left == right, emit)
            }
            Some(Values::Fixed64(values)) => {
                assign_ids(values.iter().copied(), hashes, |left, right| left == right, emit)
            }
            Some(Values::Views { views, buffers }) => {
                assign_ids(views.iter().copied(), hashes, |left, right| views_equal(left, right, buffers), emit);
            }
            None => assign_ids(0..hashes.len(), hashes, |left, right| self.equal_rows(left, right), emit),
        }
    }

    /// The values of the key if it is the only one and has no NULL.
    fn single_non_null(&self) -> Option<&Values<'a>> {
        match self {
            Self::Columns(keys) => match keys.as_slice() {
                [key] if key.nulls.is_none_or(|nulls| nulls.null_count() == 0) => Some(&key.values),
                _ => None,
            },
            Self::Rows(_) => None,
        }
    }

    /// Returns true if two rows have the same keys.
    pub(crate) fn equal_rows(&self, left: usize, right: usize) -> bool {
        match self {
            Self::Columns(keys) => keys.iter().all(|key| key.equal_rows(left, right)),
            Self::Rows(rows) => rows.row(left) == rows.row(right),
        }
    }
}

impl<'a> Key<'a> {
    /// `None` for types that need the row format.
    fn new(key: &'a ArrayRef) -> Option<Self> {
        let values = match key.data_type() {
            DataType::Utf8View => {
                let strings = key.as_string_view();
                Values::Views { views: strings.views(), buffers: strings.data_buffers() }
            }
            DataType::BinaryView => {
                let bytes = key.as_binary_view();
                Values::Views { views: bytes.views(), buffers: bytes.data_buffers() }
            }
            DataType::Int32 | DataType::UInt32 | DataType::Date32 => {
                let data = key.to_data();
                Values::Fixed32(ScalarBuffer::new(data.buffers().first()?.clone(), data.offset(), data.len()))
            }
            DataType::Int64 | DataType::UInt64 | DataType::Date64 | DataType::Timestamp(..) | DataType::Duration(_) => {
                let data = key.to_data();
                Values::Fixed64(ScalarBuffer::new(data.buffers().first()?.clone(), data.offset(), data.len()))
            }
            DataType::Dictionary(codes, _) if **codes == DataType::UInt32 => {
                let codes = key.as_dictionary::<UInt32Type>().keys();
                return Some(Self { nulls: codes.nulls(), values: Values::Codes(codes.values()) });
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
            Values::Codes(values) => values[left] == values[right],
            Values::Fixed32(values) => values[left] == values[right],
            Values::Fixed64(values) => values[left] == values[right],
            Values::Views { views, buffers } => views_equal(views[left], views[right], buffers),
        }
    }
}

/// The indices of values that differ from the one before.
fn changes<T>(values: &[T], equal_rows: impl Fn(&T, &T) -> bool) -> Vec<u32> {
    let pairs = (1..).zip(values.iter().zip(values.iter().skip(1)));
    pairs.filter(|(_, (left, right))| !equal_rows(left, right)).map(|(row, _)| row).collect()
}

/// Rows per partition that the initial capacity of a bucket's hash table assumes. A small table stays in the cache; it grows
/// where partitions are smaller.
const ROWS_PER_PARTITION: usize = 8;

/// Emits the partition id of each key. `K` is a value by which keys are compared: a view, a code, an integer or a row index.
fn assign_ids<K: Copy>(
    keys: impl Iterator<Item = K>,
    hashes: &[u64],
    equal_rows: impl Fn(K, K) -> bool,
    mut emit: impl FnMut(u32),
) {
    // (hash, id) per key: comparing the stored hash first avoids most accesses to the keys
    let mut table: HashTable<(u32, u32)> = HashTable::with_capacity(hashes.len() / ROWS_PER_PARTITION);
    let mut distinct: Vec<K> = vec![];
    for (key, hash) in keys.zip(hashes) {
        let hash = (hash >> u32::BITS) as u32 ^ *hash as u32;
        let is_same = |&(other, id): &(u32, u32)| other == hash && equal_rows(distinct[id as usize], key);
        emit(match table.find(table_hash(hash), is_same) {
            Some(&(_, id)) => id,
            None => {
                let id = distinct.len() as u32;
                table.insert_unique(table_hash(hash), (hash, id), |&(other, _)| table_hash(other));
                distinct.push(key);
                id
            }
        });
    }
}

/// Expands a 32-bit hash to 64 bits, since `HashTable` takes its tag from the upper bits and the slot from the lower ones.
fn table_hash(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(ODD)
}

/// Compares the strings of two views. Length and first four bytes are in the lower half of a view; an inline string is
/// equal only if the whole view is.
fn views_equal(left: u128, right: u128, buffers: &[Buffer]) -> bool {
    left == right
        || (left as u32 > MAX_INLINE_VIEW_LEN
            && left as u64 == right as u64
            && string_bytes(left, buffers) == string_bytes(right, buffers))
}

/// The bytes of a string that is not inline.
fn string_bytes(view: u128, buffers: &[Buffer]) -> Option<&[u8]> {
    let view = ByteView::from(view);
    let start = view.offset as usize;
    buffers.get(view.buffer_index as usize)?.get(start..start + view.length as usize)
}

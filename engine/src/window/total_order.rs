//! Sorts the row numbers of one large partition in parallel, by normalized keys.
//!
//! ```text
//!  rows          entries (null, key, length, row)      buckets by key          sorted
//!  0: 30 b       .30..0                                [.10..1  .10..3]        1  10 a
//!  1: 10 a       .10..1          sample, scatter                               3  10 b   runs of equal keys are sorted
//!  2: 20 a       .20..2       ------------------->     [.20..2]            ->  2  20 a   by the next column
//!  3: 10 b       .10..3                                [.30..0]                0  30 b
//! ```
//! An entry is an integer of 128 bits: whether the value is NULL, 64 bits that compare as the values of the column do, the length
//! of short strings, and the row number. Sorting it needs no comparator, and ties are broken by arrival. Buckets hold all rows of
//! a key, so that each is sorted through the last column by a task of its own and nothing is merged.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::common::runtime::JoinSet;

use super::sort::{Peers, integer_keys};
use crate::exec_util::join_all;

/// Rows that one task turns into entries.
const CHUNK_ROWS: usize = 1 << 18;
/// Rows of a bucket, on average.
const BUCKET_ROWS: usize = 1 << 16;
const MAX_BUCKETS: usize = 256;
/// Sampled rows per bucket.
const SAMPLE_RATE: usize = 16;
const ROW_BITS: u32 = u32::BITS;
const LENGTH_BITS: u32 = 4;
const KEY_BITS: u32 = u64::BITS + LENGTH_BITS;
/// The length of strings of which the key has the first bytes only.
const IS_CUT: u64 = 9;

/// A column of an ORDER BY clause.
pub(super) struct SortColumn {
    keys: Keys,
    nulls: Option<NullBuffer>,
    options: SortOptions,
}

enum Keys {
    /// Integers that compare as the values do, descending already.
    Integers(Vec<u64>),
    Strings(StringViewArray),
    /// Arrow's row format, which knows the options.
    Rows(Rows),
}

/// The first bytes as an integer that compares as they do, and the length; of longer values [`IS_CUT`].
fn prefix(bytes: &[u8]) -> u128 {
    let mut start = [0; 8];
    let length = bytes.len().min(start.len());
    start[..length].copy_from_slice(&bytes[..length]);
    let length = if bytes.len() > start.len() { IS_CUT } else { length as u64 };
    (u128::from(u64::from_be_bytes(start)) << LENGTH_BITS) | u128::from(length)
}

impl SortColumn {
    pub(super) fn new(values: &ArrayRef, options: SortOptions) -> Result<Self> {
        let nulls = values.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let keys = match (values.data_type(), integer_keys(values, options.descending)) {
            (DataType::Utf8View, _) => Keys::Strings(values.as_string_view().clone()),
            (_, Some(integers)) => Keys::Integers(integers),
            _ => {
                let field = SortField::new_with_options(values.data_type().clone(), options);
                Keys::Rows(RowConverter::new(vec![field])?.convert_columns(&[Arc::clone(values)])?)
            }
        };
        Ok(Self { keys, nulls, options })
    }

    fn is_null(&self, row: u32) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row as usize))
    }

    /// The key of a row above its number.
    fn entry(&self, row: u32) -> u128 {
        let is_null = self.is_null(row);
        let flip = if self.options.descending { (1 << KEY_BITS) - 1 } else { 0 };
        let key = match &self.keys {
            Keys::Rows(rows) => prefix(rows.row(row as usize).as_ref()),
            _ if is_null => 0,
            Keys::Integers(integers) => u128::from(integers[row as usize]) << LENGTH_BITS,
            Keys::Strings(strings) => prefix(strings.value(row as usize).as_bytes()) ^ flip,
        };
        let null = match &self.keys {
            Keys::Rows(_) => 0,
            _ => u128::from(is_null != self.options.nulls_first),
        };
        (null << (KEY_BITS + ROW_BITS)) | (key << ROW_BITS) | u128::from(row)
    }

    /// Returns true if rows of the same key as this one may differ.
    fn is_cut(&self, row: u32) -> bool {
        match &self.keys {
            Keys::Integers(_) => false,
            Keys::Strings(strings) => !self.is_null(row) && strings.value(row as usize).len() > 8,
            Keys::Rows(rows) => rows.row(row as usize).as_ref().len() > 8,
        }
    }

    fn compare(&self, left: u32, right: u32) -> Ordering {
        let keys = (self.entry(left) >> ROW_BITS).cmp(&(self.entry(right) >> ROW_BITS));
        keys.then_with(|| match &self.keys {
            Keys::Strings(strings) if !self.is_null(left) => {
                let values = strings.value(left as usize).cmp(strings.value(right as usize));
                if self.options.descending { values.reverse() } else { values }
            }
            Keys::Rows(rows) => rows.row(left as usize).cmp(&rows.row(right as usize)),
            _ => Ordering::Equal,
        })
    }
}

fn row_of(entry: u128) -> u32 {
    entry as u32
}

/// Sorts entries, which have the keys of the first of `columns`. `is_start` becomes true for the first of each run of rows that are
/// equal in all columns; all are false before.
fn sort_entries(columns: &[SortColumn], entries: &mut [u128], is_start: &mut [bool]) {
    if !entries.is_sorted() {
        entries.sort_unstable();
    }
    let mut start = 0;
    while start < entries.len() {
        let key = entries[start] >> ROW_BITS;
        let end = start + entries[start..].iter().take_while(|entry| **entry >> ROW_BITS == key).count();
        if end > start + 1 {
            sort_run(columns, &mut entries[start..end], &mut is_start[start..end]);
        }
        is_start[start] = true;
        start = end;
    }
}

/// Sorts entries of the same key in the first of `columns`.
fn sort_run(columns: &[SortColumn], run: &mut [u128], is_start: &mut [bool]) {
    let [column, rest @ ..] = columns else { return };
    if column.is_cut(row_of(run[0])) {
        let compare = |left: u128, right: u128| {
            let mut orders = columns.iter().map(|column| column.compare(row_of(left), row_of(right)));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        run.sort_unstable_by(|left, right| compare(*left, *right).then_with(|| row_of(*left).cmp(&row_of(*right))));
        for (pair, is_start) in run.windows(2).zip(&mut is_start[1..]) {
            *is_start = compare(pair[0], pair[1]).is_ne();
        }
    } else if let [next, ..] = rest {
        run.iter_mut().for_each(|entry| *entry = next.entry(row_of(*entry)));
        sort_entries(rest, run, is_start);
    }
}

/// The rows of a partition in order.
pub(super) struct TotalOrder {
    pub(super) rows: Vec<u32>,
    /// Whether a row is the first of its peers.
    is_start: Vec<bool>,
}

impl TotalOrder {
    /// The rows as they are, which are peers if there is no ORDER BY.
    fn unsorted(rows: u32) -> Self {
        Self { rows: (0..rows).collect(), is_start: vec![] }
    }

    /// The peers of each row.
    pub(super) fn peers(&self) -> Peers {
        if self.is_start.len() != self.rows.len() {
            return Peers::Partition;
        }
        if self.is_start.iter().all(|is_start| *is_start) {
            return Peers::None;
        }
        let mut peers: Vec<(u32, u32)> = Vec::with_capacity(self.rows.len());
        let mut start = 0;
        while start < self.rows.len() {
            let rest = self.is_start[start + 1..].iter();
            let end = start + 1 + rest.take_while(|is_start| !**is_start).count();
            peers.resize(end, (start as u32, end as u32));
            start = end;
        }
        Peers::Ranges(peers)
    }
}

/// Sorts `rows` rows by `columns`; ties are broken by arrival.
///
/// # Errors
/// A task was cancelled.
pub(super) async fn total_order(columns: Arc<Vec<SortColumn>>, rows: u32) -> Result<TotalOrder> {
    let Some(first) = columns.first() else { return Ok(TotalOrder::unsorted(rows)) };
    let splitters = Arc::new(splitters(first, rows));
    let mut tasks = JoinSet::new();
    for start in (0..rows).step_by(CHUNK_ROWS) {
        let (columns, splitters) = (Arc::clone(&columns), Arc::clone(&splitters));
        let end = start.saturating_add(CHUNK_ROWS as u32).min(rows);
        tasks.spawn(async move {
            let mut buckets: Vec<Vec<u128>> = vec![vec![]; splitters.len() + 1];
            if let Some(first) = columns.first() {
                for entry in (start..end).map(|row| first.entry(row)) {
                    let key = entry >> ROW_BITS;
                    buckets[splitters.partition_point(|splitter| *splitter <= key)].push(entry);
                }
            }
            Ok((start, buckets))
        });
    }
    let mut chunks = join_all(&mut tasks).await?;
    chunks.sort_unstable_by_key(|(start, _)| *start);
    let mut tasks = JoinSet::new();
    for bucket in 0..=splitters.len() {
        let parts = chunks.iter_mut().map(|(_, buckets)| std::mem::take(&mut buckets[bucket]));
        let (parts, columns): (Vec<_>, _) = (parts.collect(), Arc::clone(&columns));
        tasks.spawn(async move {
            let mut entries = parts.concat();
            drop(parts);
            let mut is_start = vec![false; entries.len()];
            sort_entries(&columns, &mut entries, &mut is_start);
            Ok((bucket, entries.into_iter().map(row_of).collect::<Vec<u32>>(), is_start))
        });
    }
    let mut buckets = join_all(&mut tasks).await?;
    buckets.sort_unstable_by_key(|(bucket, ..)| *bucket);
    let mut order = TotalOrder { rows: Vec::with_capacity(rows as usize), is_start: Vec::with_capacity(rows as usize) };
    for (_, rows, is_start) in buckets {
        order.rows.extend(rows);
        order.is_start.extend(is_start);
    }
    Ok(order)
}

/// Keys between the buckets, ascending, from a sample of the rows.
fn splitters(column: &SortColumn, rows: u32) -> Vec<u128> {
    let bucket_count = (rows as usize).div_ceil(BUCKET_ROWS).min(MAX_BUCKETS);
    let sample_count = bucket_count * SAMPLE_RATE;
    // neither the rows of one batch nor every so many rows: files have periods
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut sampled = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % u64::from(rows.max(1))) as u32
    };
    let mut sample: Vec<u128> = match bucket_count {
        0 | 1 => vec![],
        _ => (0..sample_count).map(|_| column.entry(sampled()) >> ROW_BITS).collect(),
    };
    sample.sort_unstable();
    let mut splitters: Vec<u128> = sample.into_iter().step_by(SAMPLE_RATE).skip(1).collect();
    splitters.dedup();
    splitters
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{BooleanArray, Float64Array, Int64Array};
    use datafusion::arrow::compute::{LexicographicalComparator, SortColumn as ArrowColumn, lexsort_to_indices};

    use super::*;

    /// Arrow's sort with the row number as the last column is the expected order.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn order_is_that_of_arrow_with_ties_by_arrival() {
        let texts = [
            "",
            "a",
            "a\0",
            "a\0b",
            "aaaaaaaa",
            "aaaaaaaa\0",
            "aaaaaaaab",
            "ab",
            "é",
            "zzzzzzzzzzzzzzzzz",
            "zzzzzzzzz",
        ];
        for rows in [0_u32, 1, 2, 1000, 300_000] {
            let numbers: Vec<u64> = (0..u64::from(rows)).map(|row| (row * 0x9E37_79B9).rotate_left(7) % 1013).collect();
            let some = |number: u64| number % 11 != 3;
            let floats = [f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, 2.5, -7.25, 1e300];
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from_iter(numbers.iter().map(|n| some(*n).then_some(*n as i64 - 500)))),
                Arc::new(StringViewArray::from_iter(
                    numbers.iter().map(|n| some(n / 3).then_some(texts[(n % 11) as usize])),
                )),
                Arc::new(Float64Array::from_iter(
                    numbers.iter().map(|n| some(n / 5).then_some(floats[(n % 8) as usize])),
                )),
                Arc::new(BooleanArray::from_iter(numbers.iter().map(|n| some(n / 7).then_some(n % 2 == 0)))),
            ];
            let arrival: ArrayRef = Arc::new(Int64Array::from_iter_values(0..i64::from(rows)));
            for chosen in [vec![0], vec![1], vec![2, 1], vec![3, 0], vec![3, 1, 2], vec![1, 3, 2, 0]] {
                for bits in 0..4 {
                    let options = |index: usize| SortOptions {
                        descending: (bits + index) % 2 == 1,
                        nulls_first: (bits / 2 + index) % 2 == 1,
                    };
                    let mut expected: Vec<ArrowColumn> = vec![];
                    let mut sort_columns = vec![];
                    for (index, &column) in chosen.iter().enumerate() {
                        let (values, options) = (Arc::clone(&columns[column]), Some(options(index)));
                        sort_columns.push(SortColumn::new(&values, options.unwrap()).unwrap());
                        expected.push(ArrowColumn { values, options });
                    }
                    let compare = LexicographicalComparator::try_new(&expected).unwrap();
                    expected.push(ArrowColumn { values: Arc::clone(&arrival), options: None });
                    let expected = lexsort_to_indices(&expected, None).unwrap();
                    let found = total_order(Arc::new(sort_columns), rows).await.unwrap();
                    assert_eq!(found.rows, expected.values().to_vec(), "{rows} rows by {chosen:?}, {bits}");
                    for (index, pair) in found.rows.windows(2).enumerate() {
                        let is_equal = compare.compare(pair[0] as usize, pair[1] as usize).is_eq();
                        assert_eq!(found.is_start[index + 1], !is_equal, "{rows} rows by {chosen:?}, {bits}");
                    }
                    assert!(found.is_start.first().is_none_or(|is_start| *is_start));
                }
            }
        }
    }
}

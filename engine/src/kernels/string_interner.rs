//! [`StringInterner`]: maps the strings of a low-cardinality column to 16-bit codes.
//!
//! ```text
//! batch        cache of views (8,192 slots)        hash table          strings
//! view ------> hit: code, no string is read
//!              miss --------------------------->   string -> code      0 'billing', 1 'delivery', ...
//! ```
//! Columns such as topic, queue or agent have few distinct strings. As codes they take an eighth of the memory of views, and
//! are hashed, compared and copied as integers. Each input interns on its own, without locks; [`MergedDictionary`] unites the
//! codes of several inputs.

use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, DictionaryArray, MAX_INLINE_VIEW_LEN, StringViewArray, UInt16Array,
    UInt32Array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{UInt16Type, UInt32Type};
use datafusion::common::Result;
use datafusion::common::hash_utils::create_hashes;
use hashbrown::HashTable;

use super::hash::{ODD, SEED};

/// Up to this many distinct strings a column is of low cardinality, whatever its number of rows.
const LOW_CARDINALITY: usize = 4096;
/// Beyond that, it is of low cardinality if there is at most one distinct string per this many rows.
const ROWS_PER_STRING: usize = 8;

/// Slots of the view cache, a power of two.
const CACHE_SLOTS: usize = 8192;
/// Slots that are probed for a view.
const PROBES: usize = 4;
/// A code that is never assigned.
const NO_CODE: u16 = u16::MAX;

/// A view that was seen before, and its code.
#[derive(Debug, Clone, Copy, Default)]
struct CachedView {
    view: u128,
    /// The last batch in which the view denotes this string.
    valid_until: u32,
    code: u16,
}

/// Assigns codes to the strings of one column of one input, in the order of their first appearance.
#[derive(Debug, Clone)]
pub(crate) struct StringInterner {
    /// A direct-mapped cache with a few probes: most rows are found here by their view alone.
    cache: Vec<CachedView>,
    batch_count: u32,
    codes: HashTable<u16>,
    strings: Vec<Box<str>>,
    string_bytes: usize,
    /// The hash of each string in `codes`.
    hashes: Vec<u64>,
    /// The hash of each string as `create_hashes` computes it of a string column.
    column_hashes: Vec<u64>,
    row_count: usize,
}

impl Default for StringInterner {
    fn default() -> Self {
        Self {
            cache: vec![CachedView::default(); CACHE_SLOTS],
            batch_count: 0,
            codes: HashTable::new(),
            strings: vec![],
            string_bytes: 0,
            hashes: vec![],
            column_hashes: vec![],
            row_count: 0,
        }
    }
}

impl StringInterner {
    /// Interns a batch. `None` once the column is of high cardinality; the codes assigned so far stay valid.
    pub(crate) fn encode(&mut self, strings: &StringViewArray) -> Result<Option<UInt16Array>> {
        if self.batch_count == u32::MAX - 1 {
            self.batch_count = 0;
            self.cache.fill(CachedView::default());
        }
        self.batch_count += 1;
        let mut codes = Vec::with_capacity(strings.len());
        for (row, &view) in strings.views().iter().enumerate() {
            let cached = candidate_slots(view).find_map(|slot| {
                let cached = self.cache[slot];
                (cached.view == view && cached.valid_until >= self.batch_count).then_some(cached.code)
            });
            codes.push(match cached {
                Some(code) => code,
                None if strings.is_null(row) => 0,
                None => match self.lookup(view, strings.value(row)) {
                    Some(code) => code,
                    None => return Ok(None),
                },
            });
        }
        self.row_count += strings.len();
        if self.strings.len() > LOW_CARDINALITY && self.strings.len() > self.row_count / ROWS_PER_STRING {
            return Ok(None);
        }
        let new = StringViewArray::from_iter_values(&self.strings[self.column_hashes.len()..]);
        let mut hashes = vec![0; new.len()];
        create_hashes([&new as &dyn Array], &SEED, &mut hashes)?;
        self.column_hashes.append(&mut hashes);
        Ok(Some(UInt16Array::new(codes.into(), strings.nulls().cloned())))
    }

    /// The hashes of the strings of some codes, equal to those of the string column; 0 for NULL.
    pub(crate) fn hashes(&self, codes: &UInt16Array) -> Vec<u64> {
        let hash = |code: u16| self.column_hashes.get(usize::from(code)).copied().unwrap_or_default();
        match codes.nulls() {
            Some(nulls) => codes
                .values()
                .iter()
                .zip(nulls)
                .map(|(&code, is_valid)| if is_valid { hash(code) } else { 0 })
                .collect(),
            None => codes.values().iter().map(|&code| hash(code)).collect(),
        }
    }

    /// The code of a string whose view is not cached; caches it. `None` when there are no codes left.
    #[cold]
    fn lookup(&mut self, view: u128, string: &str) -> Option<u16> {
        let code = self.intern(string)?;
        // an inline view is its string and stays valid; other views point into buffers of their batch, so that equal views mean
        // equal strings within that batch only (values decoded from one Parquet dictionary share their views)
        let valid_until = if view as u32 > MAX_INLINE_VIEW_LEN { self.batch_count } else { u32::MAX };
        let is_free = |slot: &usize| self.cache[*slot].valid_until < self.batch_count;
        let slot = candidate_slots(view).find(is_free).or_else(|| candidate_slots(view).next());
        if let Some(slot) = slot {
            self.cache[slot] = CachedView { view, valid_until, code };
        }
        Some(code)
    }

    /// The code of a string, new if it was not seen before. `None` when there are no codes left.
    fn intern(&mut self, string: &str) -> Option<u16> {
        let hash = SEED.hash_one(string);
        let strings = &self.strings;
        if let Some(code) = self.codes.find(hash, |&code| &*strings[usize::from(code)] == string) {
            return Some(*code);
        }
        let code = u16::try_from(self.strings.len()).ok().filter(|&code| code != NO_CODE)?;
        let hashes = &self.hashes;
        self.codes.insert_unique(hash, code, |&code| hashes[usize::from(code)]);
        self.strings.push(string.into());
        self.string_bytes += string.len();
        self.hashes.push(hash);
        Some(code)
    }

    /// The number of distinct strings.
    pub(crate) fn len(&self) -> usize {
        self.strings.len()
    }

    /// The approximate memory in bytes.
    pub(crate) fn size(&self) -> usize {
        let strings: usize =
            self.strings.iter().map(|string| string.len() + size_of::<Box<str>>() + 2 * size_of::<u64>()).sum();
        strings + self.codes.capacity() * size_of::<u16>() + CACHE_SLOTS * size_of::<CachedView>()
    }

    /// The distinct strings, indexed by code.
    pub(crate) fn strings(&self) -> StringViewArray {
        self.strings_from(0)
    }

    /// The distinct strings whose codes are not below `start`.
    pub(crate) fn strings_from(&self, start: usize) -> StringViewArray {
        StringViewArray::from_iter_values(self.strings.get(start..).unwrap_or_default())
    }

    /// The bytes of the distinct strings.
    pub(crate) fn string_bytes(&self) -> usize {
        self.string_bytes
    }
}

/// The cache slots in which a view may be.
fn candidate_slots(view: u128) -> impl Iterator<Item = usize> {
    let folded = (view as u64) ^ ((view >> 64) as u64);
    let slot = (folded.wrapping_mul(ODD) >> (u64::BITS - CACHE_SLOTS.ilog2())) as usize;
    (slot..slot + PROBES).map(|slot| slot % CACHE_SLOTS)
}

/// Decodes codes into string views.
pub(crate) fn decode_codes(codes: &ArrayRef, strings: &StringViewArray) -> Result<ArrayRef> {
    Ok(take(strings, codes, None)?)
}

/// One dictionary for the codes of several inputs. Its values are sorted, so that its codes compare as the strings do.
pub(crate) struct MergedDictionary {
    strings: ArrayRef,
    /// Per input, the merged code of each of its codes.
    codes: Vec<Vec<u32>>,
}

impl MergedDictionary {
    /// `inputs`: the strings of each input, indexed by code.
    pub(crate) fn new(inputs: &[&StringViewArray]) -> Self {
        let mut strings: Vec<&str> = inputs.iter().flat_map(|strings| strings.iter().flatten()).collect();
        strings.sort_unstable();
        strings.dedup();
        let code = |string: &str| strings.partition_point(|other| *other < string) as u32;
        let codes = inputs.iter().map(|input| input.iter().flatten().map(code).collect()).collect();
        Self { codes, strings: Arc::new(StringViewArray::from_iter_values(&strings)) }
    }

    /// Concatenates slices of codes, each with the index of its input, into one dictionary array.
    pub(crate) fn merge<'a>(&self, slices: impl Iterator<Item = (usize, &'a ArrayRef)> + Clone) -> Result<ArrayRef> {
        let rows = slices.clone().map(|(_, slice)| slice.len()).sum();
        let mut values: Vec<u32> = Vec::with_capacity(rows);
        for (input, slice) in slices.clone() {
            let merged = &self.codes[input];
            let slice = slice.as_primitive::<UInt16Type>().values();
            // the code of a NULL is arbitrary
            values.extend(slice.iter().map(|&code| merged.get(usize::from(code)).copied().unwrap_or_default()));
        }
        let has_nulls = slices.clone().any(|(_, slice)| slice.null_count() > 0);
        let nulls = has_nulls.then(|| {
            let mut nulls = BooleanBufferBuilder::new(rows);
            for (_, slice) in slices {
                match slice.nulls() {
                    Some(slice_nulls) => nulls.append_buffer(slice_nulls.inner()),
                    None => nulls.append_n(slice.len(), true),
                }
            }
            NullBuffer::new(nulls.finish())
        });
        let codes = UInt32Array::new(values.into(), nulls);
        Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(codes, Arc::clone(&self.strings))?))
    }
}

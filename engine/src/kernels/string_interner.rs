//! Texts as numbers.
//!
//! Columns such as topic, queue or agent have few different texts. As numbers of two bytes they take an eighth of the
//! memory of views, and are hashed, compared and moved as numbers.

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

/// So many different texts are few, whatever the number of rows.
const FEW: usize = 4096;
/// Beyond that, a column has few different texts if there is at most one per so many rows.
const ROWS_PER_TEXT: usize = 8;

/// ScatterIndices for texts seen before, a power of two.
const SEEN: usize = 8192;
/// ScatterIndices among which a text is looked for.
const NEAR: usize = 4;
/// The number that no text has.
const NONE: u16 = u16::MAX;

/// A view seen before.
#[derive(Debug, Clone, Copy, Default)]
struct CachedView {
    view: u128,
    /// The last batch in which the view is this text.
    until: u32,
    number: u16,
}

/// The texts of one column of one input, numbered as they come.
#[derive(Debug, Clone)]
pub(crate) struct StringInterner {
    /// Views of texts seen before, each near the place that follows from the view.
    seen: Vec<CachedView>,
    batch_count: u32,
    numbers: HashTable<u16>,
    texts: Vec<Box<str>>,
    /// The hash of each text in `numbers`, and as a column of texts has it.
    hashes: Vec<u64>,
    column_hashes: Vec<u64>,
    row_count: usize,
}

impl Default for StringInterner {
    fn default() -> Self {
        Self {
            seen: vec![CachedView::default(); SEEN],
            batch_count: 0,
            numbers: HashTable::new(),
            texts: vec![],
            hashes: vec![],
            column_hashes: vec![],
            row_count: 0,
        }
    }
}

impl StringInterner {
    /// The numbers of texts; `None` when there are too many different ones.
    ///
    /// # Errors
    /// Those of hashing.
    pub(crate) fn numbers(&mut self, texts: &StringViewArray) -> Result<Option<UInt16Array>> {
        if self.batch_count == u32::MAX - 1 {
            self.batch_count = 0;
            self.seen.fill(CachedView::default());
        }
        self.batch_count += 1;
        let mut numbers = Vec::with_capacity(texts.len());
        for (row, &view) in texts.views().iter().enumerate() {
            let seen = candidate_slots(view).find_map(|place| {
                let seen = self.seen[place];
                (seen.view == view && seen.until >= self.batch_count).then_some(seen.number)
            });
            numbers.push(match seen {
                Some(number) => number,
                None if texts.is_null(row) => 0,
                None => match self.first_seen(view, texts.value(row)) {
                    Some(number) => number,
                    None => return Ok(None),
                },
            });
        }
        self.row_count += texts.len();
        if self.texts.len() > FEW && self.texts.len() > self.row_count / ROWS_PER_TEXT {
            return Ok(None);
        }
        let new = StringViewArray::from_iter_values(&self.texts[self.column_hashes.len()..]);
        let mut hashes = vec![0; new.len()];
        create_hashes([&new as &dyn Array], &SEED, &mut hashes)?;
        self.column_hashes.append(&mut hashes);
        Ok(Some(UInt16Array::new(numbers.into(), texts.nulls().cloned())))
    }

    /// The hashes that the texts of numbers have; 0 for none.
    pub(crate) fn hashes(&self, numbers: &UInt16Array) -> Vec<u64> {
        let hash = |number: u16| self.column_hashes.get(usize::from(number)).copied().unwrap_or_default();
        match numbers.nulls() {
            Some(nulls) => numbers
                .values()
                .iter()
                .zip(nulls)
                .map(|(&number, known)| if known { hash(number) } else { 0 })
                .collect(),
            None => numbers.values().iter().map(|&number| hash(number)).collect(),
        }
    }

    /// The number of a text whose view is not among those seen before; `None` when there are too many.
    #[cold]
    fn first_seen(&mut self, view: u128, text: &str) -> Option<u16> {
        let number = self.number(text)?;
        // a short text is all in its view; longer ones lie in buffers of the batch, and equal views of one batch are equal
        // texts: those from one dictionary of a file have equal views
        let until = if view as u32 > MAX_INLINE_VIEW_LEN { self.batch_count } else { u32::MAX };
        let is_free = |place: &usize| self.seen[*place].until < self.batch_count;
        let place = candidate_slots(view).find(is_free).or_else(|| candidate_slots(view).next());
        if let Some(place) = place {
            self.seen[place] = CachedView { view, until, number };
        }
        Some(number)
    }

    fn number(&mut self, text: &str) -> Option<u16> {
        let hash = SEED.hash_one(text);
        let texts = &self.texts;
        if let Some(number) = self.numbers.find(hash, |&number| &*texts[usize::from(number)] == text) {
            return Some(*number);
        }
        let number = u16::try_from(self.texts.len()).ok().filter(|&number| number != NONE)?;
        let hashes = &self.hashes;
        self.numbers.insert_unique(hash, number, |&number| hashes[usize::from(number)]);
        self.texts.push(text.into());
        self.hashes.push(hash);
        Some(number)
    }

    /// How many different texts there are.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// About the memory that is held.
    pub(crate) fn size(&self) -> usize {
        let texts: usize =
            self.texts.iter().map(|text| text.len() + size_of::<Box<str>>() + 2 * size_of::<u64>()).sum();
        texts + self.numbers.capacity() * size_of::<u16>() + SEEN * size_of::<CachedView>()
    }

    /// The texts in the order of their numbers.
    pub(crate) fn texts(&self) -> StringViewArray {
        self.texts.iter().map(Some).collect()
    }
}

/// The places at which a view may be.
fn candidate_slots(view: u128) -> impl Iterator<Item = usize> {
    let short = (view as u64) ^ ((view >> 64) as u64);
    let place = (short.wrapping_mul(ODD) >> (u64::BITS - SEEN.ilog2())) as usize;
    (place..place + NEAR).map(|place| place % SEEN)
}

/// The texts of numbers.
///
/// # Errors
/// None for numbers of these texts.
pub(crate) fn decode_codes(numbers: &ArrayRef, texts: &StringViewArray) -> Result<ArrayRef> {
    Ok(take(texts, numbers, None)?)
}

/// Numbers of all inputs for one column, which compare as the texts do.
pub(crate) struct MergedDictionary {
    texts: ArrayRef,
    /// By input, the new number of each number.
    numbers: Vec<Vec<u32>>,
}

impl MergedDictionary {
    /// From the texts of each input, in the order of their numbers.
    pub(crate) fn new(inputs: &[&StringViewArray]) -> Self {
        let mut texts: Vec<&str> = inputs.iter().flat_map(|texts| texts.iter().flatten()).collect();
        texts.sort_unstable();
        texts.dedup();
        let number = |text: &str| texts.partition_point(|known| *known < text) as u32;
        let numbers = inputs.iter().map(|input| input.iter().flatten().map(number).collect()).collect();
        Self { numbers, texts: Arc::new(StringViewArray::from_iter_values(&texts)) }
    }

    /// One column from parts of several inputs.
    ///
    /// # Errors
    /// None for numbers of the inputs' texts.
    pub(crate) fn merge<'a>(&self, parts: impl Iterator<Item = (usize, &'a ArrayRef)> + Clone) -> Result<ArrayRef> {
        let rows = parts.clone().map(|(_, part)| part.len()).sum();
        let mut values: Vec<u32> = Vec::with_capacity(rows);
        for (input, part) in parts.clone() {
            let known = &self.numbers[input];
            let part = part.as_primitive::<UInt16Type>().values();
            // what stands where there is no text is any number
            values.extend(part.iter().map(|&number| known.get(usize::from(number)).copied().unwrap_or_default()));
        }
        let has_nulls = parts.clone().any(|(_, part)| part.null_count() > 0);
        let nulls = has_nulls.then(|| {
            let mut nulls = BooleanBufferBuilder::new(rows);
            for (_, part) in parts {
                match part.nulls() {
                    Some(known) => nulls.append_buffer(known.inner()),
                    None => nulls.append_n(part.len(), true),
                }
            }
            NullBuffer::new(nulls.finish())
        });
        let numbers = UInt32Array::new(values.into(), nulls);
        Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(numbers, Arc::clone(&self.texts))?))
    }
}

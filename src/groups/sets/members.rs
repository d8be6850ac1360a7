//! Groups, each with the set of the few that it occurs with.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use futures::stream::{self, StreamExt};

use crate::groups::short_texts::ShortTexts;
use crate::groups::texts::Texts;
use crate::groups::{Batches, Table};

/// The most different values of all keys with few of them.
pub(super) const MOST: usize = 256;

/// Which keys have few values.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) many: Vec<usize>,
    pub(super) few: Vec<usize>,
    /// The columns of `many`.
    pub(super) schema: SchemaRef,
    /// No groups of `few` yet.
    pub(super) table: Table,
    /// Whether the rows of a group come as they are wanted together.
    pub(super) is_together: bool,
}

/// The groups of keys with many values, numbered as they come.
enum Many {
    /// Each with its set, which takes one word.
    ShortTexts(ShortTexts),
    /// Each with the first word of its set.
    Texts(Texts),
    Any(Box<dyn GroupValues>),
}

/// Groups so far, with their sets: a bit for each of the few.
pub(super) struct Growing {
    many: Many,
    /// How many words a set takes, a power of two.
    words: usize,
    /// For each of `many` those that are not there already.
    bits: Vec<u64>,
    many_rows: Vec<usize>,
}

impl Growing {
    pub(super) fn new(split: &Split) -> Result<Self> {
        let many = match split.schema.fields().as_ref() {
            [key] if key.data_type() == &DataType::Utf8View => Many::ShortTexts(ShortTexts::default()),
            _ => Many::Any(new_group_values(Arc::clone(&split.schema), &GroupOrdering::None)?),
        };
        Ok(Self { many, words: 1, bits: vec![], many_rows: vec![] })
    }

    /// Adds rows: keys with many values, and the number of the few, of which there are `few_count`.
    pub(super) fn add(&mut self, many: &[ArrayRef], few: &[u16], few_count: usize) -> Result<()> {
        let words = words_for(few_count);
        if let (Many::ShortTexts(texts), [key]) = (&mut self.many, many) {
            if words == 1 && texts.add(key.as_string_view(), |row| word_of(few[row]).1) {
                return Ok(());
            }
            // bits that are there already are put there again
            self.many = Many::Texts(std::mem::take(texts).with_any_length()?);
        }
        if words > self.words {
            let more = words - self.words;
            let width = self.width();
            self.bits = widened(&self.bits, self.len(), width, width + more);
            self.words = words;
        }
        let width = self.width();
        match (&mut self.many, many) {
            (Many::Texts(texts), [key]) => {
                let seen = |row: usize, number: usize, first: &mut u64| match word_of(few[row]) {
                    (0, bit) => *first |= bit,
                    (word, bit) => {
                        let place = number * width + word - 1;
                        if place >= self.bits.len() {
                            self.bits.resize(place + 1, 0);
                        }
                        self.bits[place] |= bit;
                    }
                };
                texts.each(key.as_string_view(), seen)?;
            }
            (Many::Texts(_) | Many::ShortTexts(_), _) => return internal_err!("{} keys in place of one", many.len()),
            (Many::Any(values), _) => {
                values.intern(many, &mut self.many_rows)?;
                self.bits.resize(values.len() * width, 0);
                for (&many, &few) in self.many_rows.iter().zip(few) {
                    let (word, bit) = word_of(few);
                    self.bits[many * width + word] |= bit;
                }
            }
        }
        self.bits.resize(self.len() * width, 0);
        Ok(())
    }

    /// How many words of each set are in `bits`.
    fn width(&self) -> usize {
        match self.many {
            Many::ShortTexts(_) | Many::Texts(_) => self.words - 1,
            Many::Any(_) => self.words,
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.many {
            Many::ShortTexts(texts) => texts.len(),
            Many::Texts(texts) => texts.len(),
            Many::Any(values) => values.len(),
        }
    }

    /// About the memory that is held.
    pub(super) fn size(&self) -> usize {
        let many = match &self.many {
            Many::ShortTexts(texts) => texts.size(),
            Many::Texts(texts) => texts.size(),
            Many::Any(values) => values.size(),
        };
        many + self.bits.capacity() * size_of::<u64>()
    }

    /// The groups with the columns of the few, a row for each bit.
    pub(super) fn finish(self, split: &Arc<Split>, few: &[ArrayRef]) -> Result<Sets> {
        let (width, words) = (self.width(), self.words);
        let (many, bits): (Vec<ArrayRef>, _) = match self.many {
            Many::ShortTexts(texts) => {
                let (texts, sets) = texts.finish();
                (vec![Arc::new(texts)], sets)
            }
            Many::Texts(texts) => {
                let (texts, sets) = texts.finish()?;
                let mut bits = Vec::with_capacity(sets.len() * words);
                for (number, first) in sets {
                    bits.push(first);
                    bits.extend_from_slice(&self.bits[number * width..(number + 1) * width]);
                }
                (vec![Arc::new(texts)], bits)
            }
            Many::Any(mut values) => (values.emit(EmitTo::All)?, self.bits),
        };
        Ok(Sets { split: Arc::clone(split), many, few: few.to_vec(), bits, words })
    }
}

/// The word of a set in which one of the few has its bit, and the bit.
fn word_of(few: u16) -> (usize, u64) {
    (usize::from(few) / u64::BITS as usize, 1 << (u32::from(few) % u64::BITS))
}

fn words_for(few: usize) -> usize {
    few.div_ceil(u64::BITS as usize).next_power_of_two()
}

/// The words of so many sets, each with more room.
fn widened(bits: &[u64], count: usize, from: usize, to: usize) -> Vec<u64> {
    let mut wide = vec![0; count * to];
    for set in 0..count {
        wide[set * to..][..from].copy_from_slice(&bits[set * from..][..from]);
    }
    wide
}

/// Groups with their sets.
pub(super) struct Sets {
    split: Arc<Split>,
    /// The columns of the many, a row for each group.
    many: Vec<ArrayRef>,
    /// The columns of the few, a row for each bit.
    few: Vec<ArrayRef>,
    bits: Vec<u64>,
    words: usize,
}

impl Sets {
    pub(super) fn len(&self) -> usize {
        self.bits.len() / self.words
    }

    /// Whether how often each of the few occurs is all that is asked for: of the one column of the many it is enough whether it
    /// is NULL.
    pub(super) fn can_count(&self, needed: &BTreeSet<usize>) -> bool {
        matches!(self.split.many.as_slice(), [many] if !needed.contains(many))
    }

    /// Each of the few with how many groups it occurs with: the column of the many is one of their values, or NULL.
    pub(super) fn counted(self, schema: &SchemaRef) -> Result<RecordBatch> {
        let few_count = self.words * u64::BITS as usize;
        let [many] = self.many.as_slice() else { return internal_err!("{} keys in place of one", self.many.len()) };
        let null = (0..many.len()).find(|&group| many.is_null(group));
        let (mut known, mut of_null) = (vec![0_i64; few_count], vec![]);
        for (group, few) in (Pairs { bits: &self.bits, words: self.words, word: 0, rest: 0 }) {
            if Some(group) == null { of_null.push(few) } else { known[few] += 1 }
        }
        // any group that is not NULL
        let some = if null == Some(0) { 1 } else { 0 };
        let known = known.into_iter().enumerate().filter(|(_, count)| *count > 0);
        let rows = known.map(|(few, count)| (some, few as u32, count));
        let rows = rows.chain(of_null.into_iter().map(|few| (null.unwrap_or_default() as u32, few as u32, 1)));
        let rows: Vec<(u32, u32, i64)> = rows.collect();
        let groups = UInt32Array::from_iter_values(rows.iter().map(|row| row.0));
        let bits = UInt32Array::from_iter_values(rows.iter().map(|row| row.1));
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
        let mut columns = vec![counts; schema.fields().len()];
        for (&place, values) in self.split.many.iter().zip(&self.many) {
            columns[place] = take(values, &groups, None)?;
        }
        for (&place, values) in self.split.few.iter().zip(&self.few) {
            columns[place] = take(values, &bits, None)?;
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

/// The members of sets: a group and a bit each.
struct Pairs<'a> {
    bits: &'a [u64],
    words: usize,
    /// The number that comes next.
    word: usize,
    /// What is left of the one before.
    rest: u64,
}

impl Iterator for Pairs<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        while self.rest == 0 {
            self.rest = *self.bits.get(self.word)?;
            self.word += 1;
        }
        let bit = self.rest.trailing_zeros();
        self.rest &= self.rest - 1;
        let (word, shift) = (self.word - 1, self.words.ilog2());
        Some((word >> shift, (word & (self.words - 1)) * u64::BITS as usize + bit as usize))
    }
}

/// The rows of some sets, one after the other.
pub(super) fn all_given(sets: Vec<Sets>, schema: &SchemaRef, batch_size: usize) -> Batches {
    let schema = Arc::clone(schema);
    stream::iter(sets).flat_map(move |sets| given(sets, Arc::clone(&schema), batch_size)).boxed()
}

/// The rows of sets, group by group.
fn given(sets: Sets, schema: SchemaRef, batch_size: usize) -> Batches {
    let batches = stream::try_unfold((sets, 0, 0), move |(sets, word, rest)| {
        let schema = Arc::clone(&schema);
        async move {
            let mut pairs = Pairs { bits: &sets.bits, words: sets.words, word, rest };
            let (mut many, mut few) = (Vec::with_capacity(batch_size), Vec::with_capacity(batch_size));
            for (group, bit) in pairs.by_ref().take(batch_size.max(1)) {
                many.push(group as u32);
                few.push(bit as u32);
            }
            let (word, rest) = (pairs.word, pairs.rest);
            if many.is_empty() {
                return Ok(None);
            }
            let mut columns: Vec<Option<ArrayRef>> = vec![None; sets.many.len() + sets.few.len()];
            let (many, few) = (UInt32Array::from(many), UInt32Array::from(few));
            for (&place, values) in sets.split.many.iter().zip(&sets.many) {
                columns[place] = Some(take(values, &many, None)?);
            }
            for (&place, values) in sets.split.few.iter().zip(&sets.few) {
                columns[place] = Some(take(values, &few, None)?);
            }
            let batch = RecordBatch::try_new(schema, columns.into_iter().flatten().collect())?;
            // who asks for all rows gives others their turns
            tokio::task::yield_now().await;
            Ok(Some((batch, (sets, word, rest))))
        }
    });
    batches.boxed()
}

//! Groups, each with the set of the few that it occurs with.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::metrics::Time;
use futures::stream::{self, StreamExt};

use crate::groups::texts::Texts;
use crate::groups::{Batches, Table};
use crate::windows::SEED;

/// The most different values of all keys with few of them.
pub(super) const MOST: usize = 256;
/// After so many rows of an input groups are looked at: with one for each of them, bits are of no use.
const LOOK_ROWS: usize = 1 << 22;
/// Groups that are merged together.
const MERGED: usize = 8192;

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
    Texts(Texts),
    Any(Box<dyn GroupValues>),
}

impl Many {
    fn new(schema: &SchemaRef) -> Result<Self> {
        Ok(match schema.fields().as_ref() {
            [key] if key.data_type() == &DataType::Utf8View => Self::Texts(Texts::default()),
            _ => Self::Any(new_group_values(Arc::clone(schema), &GroupOrdering::None)?),
        })
    }

    /// Puts the number of each row into `numbers`.
    fn numbers(&mut self, keys: &[ArrayRef], numbers: &mut Vec<usize>) -> Result<()> {
        match (self, keys) {
            (Self::Texts(texts), [key]) => texts.numbers(key.as_string_view(), numbers),
            (Self::Texts(_), _) => internal_err!("{} keys in place of one", keys.len()),
            (Self::Any(values), _) => values.intern(keys, numbers),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Any(values) => values.len(),
        }
    }

    /// About the memory that is held.
    fn size(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.size(),
            Self::Any(values) => values.size(),
        }
    }

    /// The keys of all groups.
    fn finish(self) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Texts(texts) => Ok(vec![Arc::new(texts.finish()?)]),
            Self::Any(mut values) => values.emit(EmitTo::All),
        }
    }
}

/// The groups of one input so far.
pub(super) struct Growing {
    split: Arc<Split>,
    many: Many,
    pub(super) few: Table,
    /// Those of `few` that are in use.
    few_count: usize,
    /// For each of `many` its set: a bit for each of `few`.
    bits: Vec<u64>,
    /// How many numbers a set takes, a power of two.
    words: usize,
    row_count: usize,
    many_rows: Vec<usize>,
    few_rows: Vec<usize>,
}

impl Growing {
    pub(super) fn new(split: Arc<Split>) -> Result<Self> {
        Ok(Self {
            many: Many::new(&split.schema)?,
            few: split.table.clone(),
            few_count: 0,
            bits: vec![],
            words: 1,
            row_count: 0,
            many_rows: vec![],
            few_rows: vec![],
            split,
        })
    }

    /// Adds rows, or none of them if the few have become many.
    pub(super) fn add(&mut self, keys: &[ArrayRef]) -> Result<bool> {
        let has_numbers = self.few.groups(&columns_at(keys, &self.split.few), &mut self.few_rows)?;
        if !has_numbers || self.few.len() > MOST {
            return Ok(false);
        }
        self.few_count = self.few.len();
        let words = words_for(self.few_count);
        if words > self.words {
            self.bits = widened(&self.bits, self.words, words);
            self.words = words;
        }
        self.many.numbers(&columns_at(keys, &self.split.many), &mut self.many_rows)?;
        self.bits.resize(self.many.len() * words, 0);
        put(&mut self.bits, words, self.many_rows.iter().zip(&self.few_rows).map(|(&many, &few)| (many, few)));
        self.row_count += self.many_rows.len();
        Ok(true)
    }

    /// Whether there are fewer groups than rows, or it is too early to tell.
    pub(super) fn is_of_use(&self) -> bool {
        let is_first_look = (LOOK_ROWS..2 * LOOK_ROWS).contains(&self.row_count);
        !(is_first_look && self.many.len() > self.row_count / 5 * 4) && self.many.len() < u32::MAX as usize / 2
    }

    /// About the memory that is held.
    pub(super) fn size(&self) -> usize {
        self.many.size() + self.few.size() + self.bits.capacity() * size_of::<u64>()
    }

    pub(super) fn finish(self) -> Result<Sets> {
        // what is beyond was seen in rows that were not added
        let few = self.few.keys()?.iter().map(|values| values.slice(0, self.few_count)).collect();
        let many = self.many.finish()?;
        Ok(Sets { split: self.split, many, few, bits: self.bits, words: self.words })
    }
}

fn words_for(few: usize) -> usize {
    few.div_ceil(u64::BITS as usize).next_power_of_two()
}

fn widened(bits: &[u64], from: usize, to: usize) -> Vec<u64> {
    let mut wide = vec![0; bits.len() / from * to];
    for (wide, bits) in wide.chunks_exact_mut(to).zip(bits.chunks_exact(from)) {
        wide[..from].copy_from_slice(bits);
    }
    wide
}

fn put(bits: &mut [u64], words: usize, pairs: impl Iterator<Item = (usize, usize)>) {
    for (many, few) in pairs {
        bits[many * words + few / u64::BITS as usize] |= 1 << (few % u64::BITS as usize);
    }
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

    /// The same with other numbers for the few.
    pub(super) fn renumbered(mut self, few: &[ArrayRef], numbers: &[usize]) -> Self {
        let words = words_for(few.first().map_or(0, |values| values.len()));
        if numbers.iter().enumerate().all(|(from, to)| from == *to) {
            if words != self.words {
                self.bits = widened(&self.bits, self.words, words);
            }
        } else {
            let mut bits = vec![0; self.len() * words];
            let pairs = Pairs { bits: &self.bits, words: self.words, word: 0, rest: 0 };
            put(&mut bits, words, pairs.map(|(many, few)| (many, numbers[few])));
            self.bits = bits;
        }
        Self { few: few.to_vec(), words, ..self }
    }

    /// Divides the groups among so many outputs, by hash.
    pub(super) fn divided(self, count: usize) -> Result<Vec<Self>> {
        if count == 1 {
            return Ok(vec![self]);
        }
        let mut hashes = vec![0; self.len()];
        create_hashes(&self.many, &SEED, &mut hashes)?;
        let mut groups = vec![vec![]; count];
        for (group, hash) in (0u32..).zip(hashes) {
            groups[((u128::from(hash) * count as u128) >> u64::BITS) as usize].push(group);
        }
        let part = |groups: Vec<u32>| {
            let bits = groups.iter().flat_map(|&group| &self.bits[group as usize * self.words..][..self.words]);
            let bits = bits.copied().collect();
            let groups = UInt32Array::from(groups);
            let many = self.many.iter().map(|column| take(column, &groups, None));
            let many = many.collect::<std::result::Result<_, _>>()?;
            Ok(Self { split: Arc::clone(&self.split), many, few: self.few.clone(), bits, words: self.words })
        };
        groups.into_iter().map(part).collect()
    }

    /// About the memory that is held.
    pub(super) fn size(&self) -> usize {
        let many: usize = self.many.iter().map(|column| column.get_array_memory_size()).sum();
        many + self.bits.capacity() * size_of::<u64>()
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

/// The rows of sets, group by group.
pub(super) fn given(sets: Sets, schema: SchemaRef, batch_size: usize) -> Batches {
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

/// The sets of all inputs together; `None` if there are none.
pub(super) async fn merged(parts: Vec<Sets>, elapsed: &Time) -> Result<Option<Sets>> {
    let mut parts: Vec<Sets> = parts.into_iter().filter(|sets| sets.len() > 0).collect();
    let Some(first) = parts.pop() else { return Ok(None) };
    if parts.is_empty() {
        return Ok(Some(first));
    }
    let (split, words, few) = (Arc::clone(&first.split), first.words, first.few.clone());
    let mut many = Many::new(&split.schema)?;
    let (mut bits, mut groups) = (vec![], vec![]);
    for part in std::iter::once(first).chain(parts) {
        for start in (0..part.len()).step_by(MERGED) {
            let timer = elapsed.timer();
            let rows = MERGED.min(part.len() - start);
            let columns: Vec<ArrayRef> = part.many.iter().map(|column| column.slice(start, rows)).collect();
            many.numbers(&columns, &mut groups)?;
            bits.resize(many.len() * words, 0);
            for (row, &group) in groups.iter().enumerate() {
                let from = &part.bits[(start + row) * words..][..words];
                bits[group * words..][..words].iter_mut().zip(from).for_each(|(to, from)| *to |= from);
            }
            timer.done();
            tokio::task::yield_now().await;
        }
    }
    Ok(Some(Sets { split, many: many.finish()?, few, bits, words }))
}

fn columns_at(columns: &[ArrayRef], places: &[usize]) -> Vec<ArrayRef> {
    places.iter().map(|&place| Arc::clone(&columns[place])).collect()
}

//! [`GroupedValues`]: the distinct values of every group.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray};
use datafusion::arrow::buffer::{BooleanBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::EmitTo;

use super::domain::{Domain, value_type};
use super::interner::ByteInterner;
use super::pairs::Pairs;

/// The first group of a value that was interned just now.
const NONE: u32 = u32::MAX;
/// The first group of a value whose first group was dropped. The value may be in pairs.
const DROPPED: u32 = u32::MAX - 1;
/// The interner is rebuilt when more values than this have been dropped, and most of them.
const COMPACT_FROM: usize = 1024;

/// A set of (group, value).
///
/// ```text
///  group  value            interner              first_groups    pairs
///    0    'billing'        0 'billing'           0               (1, 0)
///    1    'billing'        1 'delivery'          1
///    1    'delivery'
/// ```
/// The first group of an interned value needs no pair: of one group with many values only the values are stored, of many groups
/// with few values only pairs of 8 bytes.
#[derive(Debug)]
pub(super) struct GroupedValues {
    domain: Domain,
    value_type: DataType,
    pairs: Pairs,
    interner: ByteInterner,
    /// The group in which each interned value was met first, [`NONE`] or [`DROPPED`].
    first_groups: Vec<u32>,
    group_count: usize,
}

impl GroupedValues {
    pub(super) fn new(domain: Domain, data_type: &DataType) -> Self {
        Self {
            domain,
            value_type: value_type(data_type).clone(),
            pairs: Pairs::default(),
            interner: ByteInterner::default(),
            first_groups: vec![],
            group_count: 0,
        }
    }

    /// Adds the values of a batch but for NULLs and those that the filter leaves out. Returns which of the rows are new.
    ///
    /// # Errors
    /// More groups or values than there are codes; a column of another type.
    pub(super) fn insert(
        &mut self,
        values: &ArrayRef,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<BooleanBuffer> {
        if group_count >= DROPPED as usize {
            return exec_err!("DISTINCT over more than {DROPPED} groups");
        }
        self.group_count = self.group_count.max(group_count);
        let selected = selected_rows(values, filter);
        let is_selected = |row: usize| selected.as_ref().is_none_or(|rows| rows.value(row));
        if self.domain.is_word() {
            let unpacked = cast_to(values, &self.value_type)?;
            let words = self.domain.words(&unpacked)?;
            let pairs = &mut self.pairs;
            return Ok(BooleanBuffer::collect_bool(words.len(), |row| {
                is_selected(row) && pairs.insert(groups[row] as u32, words[row])
            }));
        }
        let Some(dictionary) = values.as_any_dictionary_opt() else {
            return self.insert_bytes(values, groups, is_selected);
        };
        let distinct = dictionary.values();
        if distinct.len() > values.len() || distinct.is_empty() {
            return self.insert_bytes(&cast(values, &self.value_type)?, groups, is_selected);
        }
        // each value of the dictionary is interned once
        let keys = dictionary.normalized_keys();
        let mut is_used = vec![false; distinct.len()];
        (0..keys.len()).filter(|row| is_selected(*row)).for_each(|row| is_used[keys[row]] = true);
        let mut codes = vec![NONE; distinct.len()];
        let (interner, first_groups) = (&mut self.interner, &mut self.first_groups);
        self.domain.each_bytes(
            distinct,
            |key| is_used[key],
            |key, bytes| {
                codes[key] = interned(interner, first_groups, bytes)?;
                Ok(())
            },
        )?;
        Ok(BooleanBuffer::collect_bool(keys.len(), |row| {
            is_selected(row)
                && insert_code(&mut self.pairs, &mut self.first_groups, groups[row] as u32, codes[keys[row]])
        }))
    }

    fn insert_bytes(
        &mut self,
        values: &ArrayRef,
        groups: &[usize],
        is_selected: impl Fn(usize) -> bool,
    ) -> Result<BooleanBuffer> {
        let (interner, first_groups, pairs) = (&mut self.interner, &mut self.first_groups, &mut self.pairs);
        let mut is_new = vec![false; values.len()];
        self.domain.each_bytes(values, is_selected, |row, bytes| {
            let code = interned(interner, first_groups, bytes)?;
            is_new[row] = insert_code(pairs, first_groups, groups[row] as u32, code);
            Ok(())
        })?;
        Ok(BooleanBuffer::from(is_new))
    }

    /// The number of pairs.
    pub(super) fn len(&self) -> usize {
        self.pairs.len() + self.first_groups.iter().filter(|group| **group < DROPPED).count()
    }

    /// The type of the values in a state.
    pub(super) fn state_type(&self) -> DataType {
        self.domain.state_type(&self.value_type)
    }

    /// The values in states may have another type; those of strings are inserted as they are.
    pub(super) fn state_values(&self, values: &ArrayRef) -> Result<ArrayRef> {
        match self.domain {
            Domain::Strings | Domain::Binaries => Ok(Arc::clone(values)),
            _ => cast_to(values, &self.value_type),
        }
    }

    fn for_each(&self, mut each: impl FnMut(u32, i64)) {
        self.pairs.for_each(&mut each);
        self.first_groups.iter().enumerate().filter(|(_, group)| **group < DROPPED).for_each(|(code, group)| {
            each(*group, code as i64);
        });
    }

    /// Takes the values of the groups that are emitted, a list for each.
    ///
    /// # Errors
    /// More values than a list array can have.
    pub(super) fn take(&mut self, emit_to: EmitTo) -> Result<ListArray> {
        let count = match emit_to {
            EmitTo::All => self.group_count,
            EmitTo::First(count) => count,
        };
        let mut ends = vec![0_usize; count];
        self.for_each(|group, _| {
            if let Some(end) = ends.get_mut(group as usize) {
                *end += 1;
            }
        });
        let total: usize = ends.iter().sum();
        if i32::try_from(total).is_err() {
            return Err(exec_datafusion_err!("DISTINCT over more than 2147483647 values in {count} groups"));
        }
        let offsets = OffsetBuffer::<i32>::from_lengths(ends.iter().copied());
        // from here on `ends` has the next index of each group
        ends.iter_mut().zip(offsets.iter()).for_each(|(end, start)| *end = *start as usize);
        let mut place = |group: u32| {
            let end = ends.get_mut(group as usize)?;
            *end += 1;
            Some(*end - 1)
        };
        let values = if self.domain.is_word() {
            let mut words = vec![0_i64; total];
            self.drop_groups(count, |group, value| {
                if let Some(at) = place(group) {
                    words[at] = value;
                }
            });
            self.domain.array_of_words(words, &self.value_type)?
        } else {
            let mut codes = vec![0_u32; total];
            self.drop_groups(count, |group, value| {
                if let Some(at) = place(group) {
                    codes[at] = value as u32;
                }
            });
            self.domain.array_of_codes(codes, &self.interner)?
        };
        self.compact();
        let field = Arc::new(Field::new_list_field(self.state_type(), true));
        Ok(ListArray::try_new(field, offsets, values, None)?)
    }

    /// Drops the groups that are emitted.
    pub(super) fn forget(&mut self, emit_to: EmitTo) {
        let count = match emit_to {
            EmitTo::All => self.group_count,
            EmitTo::First(count) => count,
        };
        self.drop_groups(count, |_, _| ());
        self.compact();
    }

    /// Calls `each` with the values of the first groups; the others are renumbered from 0.
    fn drop_groups(&mut self, count: usize, mut each: impl FnMut(u32, i64)) {
        let count = count.min(self.group_count);
        self.group_count -= count;
        let count = count as u32;
        let mut rest = Pairs::default();
        for (group, value) in self.pairs.take() {
            if group < count {
                each(group, value);
            } else {
                rest.insert(group - count, value);
            }
        }
        self.pairs = rest;
        for (code, group) in self.first_groups.iter_mut().enumerate().filter(|(_, group)| **group < DROPPED) {
            if *group < count {
                each(*group, code as i64);
                *group = DROPPED;
            } else {
                *group -= count;
            }
        }
    }

    /// Rebuilds the interner when most of its values belong to dropped groups.
    fn compact(&mut self) {
        let kept = self.len();
        if kept == 0 {
            (self.interner, self.first_groups) = Default::default();
        } else if self.interner.len() > COMPACT_FROM && self.interner.len() / 4 > kept {
            let old = std::mem::take(&mut self.interner);
            let first_groups = std::mem::take(&mut self.first_groups);
            let firsts = first_groups.into_iter().enumerate().filter(|(_, group)| *group < DROPPED);
            let firsts = firsts.map(|(code, group)| (group, code as i64));
            for (group, code) in self.pairs.take().chain(firsts) {
                // fewer values than before: there is a code for each
                if let Ok(code) = interned(&mut self.interner, &mut self.first_groups, old.bytes(code as u32)) {
                    insert_code(&mut self.pairs, &mut self.first_groups, group, code);
                }
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        self.domain.size() + self.pairs.size() + self.interner.size() + self.first_groups.capacity() * size_of::<u32>()
    }
}

/// The code of a value. A new one has no group yet.
fn interned(interner: &mut ByteInterner, first_groups: &mut Vec<u32>, bytes: &[u8]) -> Result<u32> {
    let (code, is_new) = interner.intern(bytes)?;
    if is_new {
        first_groups.push(NONE);
    }
    Ok(code)
}

/// Inserts a pair; returns whether it is new.
fn insert_code(pairs: &mut Pairs, first_groups: &mut [u32], group: u32, code: u32) -> bool {
    let first = &mut first_groups[code as usize];
    match *first {
        NONE => {
            *first = group;
            true
        }
        known if known == group => false,
        _ => pairs.insert(group, code.into()),
    }
}

fn cast_to(values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if values.data_type() == data_type { Ok(Arc::clone(values)) } else { Ok(cast(values, data_type)?) }
}

/// The rows that are not NULL and that the filter keeps; `None` for all.
pub(super) fn selected_rows(values: &ArrayRef, filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    let kept = filter.map(|filter| match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    });
    let valid = values.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    match (valid, kept) {
        (Some(valid), Some(kept)) => Some(valid.inner() & &kept),
        (Some(valid), None) => Some(valid.into_inner()),
        (None, kept) => kept,
    }
}

//! [`GroupTable`]: assigns group indices to rows through a directly indexed table, without hashing whole keys.
//!
//! ```text
//!  keys of a row        codes            slot = codes packed        groups: slot -> group index
//!  queue  'sales'  ->     3   (2 bits)
//!  month  2026-02  ->     2   (4 bits)   0b0010_11 = 11         ->  groups[11] = 5, the sixth group that was seen
//! ```
//! The table has two to the power of all widths slots. It is small because widths follow the codes seen so far; when a key
//! needs another bit, the slots of all groups are repacked.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::key_codes::KeyCodes;

/// A slot that has no group.
pub(super) const EMPTY: u32 = u32::MAX;

/// The groups seen so far, numbered in order of first appearance.
#[derive(Debug, Clone)]
pub(crate) struct GroupTable {
    /// Most bits of the codes of all keys together.
    max_bits: u32,
    key_codes: Vec<KeyCodes>,
    /// Bits of the codes of each key.
    widths: Vec<u32>,
    /// The group index in each slot, or [`EMPTY`].
    groups: Vec<u32>,
    /// The slot of each group under the current widths. The key values of a group are decoded from it.
    slots: Vec<u32>,
}

impl GroupTable {
    /// A table for keys of these types; `None` if one of them cannot be encoded.
    pub(crate) fn new(keys: &[DataType], max_bits: usize) -> Option<Self> {
        let key_codes: Option<Vec<KeyCodes>> = keys.iter().map(KeyCodes::new).collect();
        let max_bits = max_bits as u32;
        Some(Self { max_bits, widths: vec![0; keys.len()], key_codes: key_codes?, groups: vec![EMPTY], slots: vec![] })
    }

    /// The number of groups.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Writes the group index of each row into `groups`, as `GroupValues::intern` of DataFusion does.
    ///
    /// Returns false if the codes need more than `max_bits` or a key has too many distinct values. No group was added for the
    /// batch then, and no further batch may be passed.
    ///
    /// # Errors
    /// Casting or interning a key column.
    pub(crate) fn intern(&mut self, keys: &[ArrayRef], groups: &mut Vec<usize>) -> Result<bool> {
        groups.clear();
        // the codes of the first key become the slots, the others are shifted into them
        let mut slots: Vec<u32> = vec![];
        let mut others: Vec<Vec<u32>> = Vec::with_capacity(keys.len());
        for (key, key_codes) in keys.iter().zip(&mut self.key_codes) {
            let Some(codes) = key_codes.encode(key)? else { return Ok(false) };
            if slots.is_empty() { slots = codes } else { others.push(codes) }
        }
        let widths: Vec<u32> = self.key_codes.iter().map(KeyCodes::width).collect();
        if widths != self.widths {
            if widths.iter().sum::<u32>() > self.max_bits {
                return Ok(false);
            }
            self.widen(widths);
        }
        let mut shift = 0;
        for (codes, width) in others.iter().zip(&self.widths) {
            shift += width;
            slots.iter_mut().zip(codes).for_each(|(slot, code)| *slot |= code << shift);
        }
        let (table, known) = (&mut self.groups, &mut self.slots);
        groups.extend(slots.into_iter().map(|slot| {
            let group = &mut table[slot as usize];
            if *group == EMPTY {
                *group = known.len() as u32;
                known.push(slot);
            }
            *group as usize
        }));
        Ok(true)
    }

    /// Repacks the slots of all groups for wider codes and rebuilds the table.
    fn widen(&mut self, widths: Vec<u32>) {
        let repack = |slot: u32| {
            let (mut rest, mut new, mut shift) = (slot, 0, 0);
            for (from, to) in self.widths.iter().zip(&widths) {
                new |= (rest & ((1 << from) - 1)) << shift;
                rest >>= from;
                shift += to;
            }
            new
        };
        let slots: Vec<u32> = self.slots.iter().map(|&slot| repack(slot)).collect();
        self.groups = vec![EMPTY; 1 << widths.iter().sum::<u32>()];
        for (group, &slot) in (0..).zip(&slots) {
            self.groups[slot as usize] = group;
        }
        (self.slots, self.widths) = (slots, widths);
    }

    /// The key columns of all groups, decoded from their slots.
    ///
    /// # Errors
    /// Casting the values to the type of the key.
    pub(crate) fn keys(&self) -> Result<Vec<ArrayRef>> {
        let mut shift = 0;
        let columns = self.key_codes.iter().zip(&self.widths).map(|(key_codes, width)| {
            let (start, mask) = (shift, (1 << width) - 1);
            shift += width;
            key_codes.decode(self.slots.iter().map(|slot| (slot >> start) & mask))
        });
        columns.collect()
    }

    /// Removes all groups. Codes and widths stay, so that the next rows need no repacking.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.groups.fill(EMPTY);
    }

    /// Bytes allocated, approximately.
    pub(crate) fn size(&self) -> usize {
        let codes: usize = self.key_codes.iter().map(KeyCodes::size).sum();
        codes + (self.groups.capacity() + self.slots.capacity()) * size_of::<u32>()
    }
}

//! Which group each row belongs to.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::key_codes::KeyCodes;

/// A place in the table that has no group.
pub(super) const NONE: u32 = u32::MAX;

/// The groups of few keys seen so far, numbered as they come.
#[derive(Debug, Clone)]
pub(crate) struct GroupTable {
    /// Most bits of the codes of all keys together.
    max_bits: u32,
    codes: Vec<KeyCodes>,
    /// Bits that the numbers of each key take.
    widths: Vec<u32>,
    /// The group at each place.
    groups: Vec<u32>,
    /// The place of each group, as the widths are now.
    places: Vec<u32>,
}

impl GroupTable {
    /// A table for keys of these types; `None` if one cannot have numbers.
    ///
    /// # Errors
    /// None for types of the engine.
    pub(crate) fn new(keys: &[DataType], max_bits: usize) -> Option<Self> {
        let codes: Option<Vec<KeyCodes>> = keys.iter().map(KeyCodes::new).collect();
        let max_bits = max_bits as u32;
        Some(Self { max_bits, widths: vec![0; keys.len()], codes: codes?, groups: vec![NONE], places: vec![] })
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Puts the group of each row into `groups`; `false` if there are too many different keys, and the table is of no more use.
    ///
    /// # Errors
    /// Those of hashing and casts.
    pub(crate) fn groups(&mut self, keys: &[ArrayRef], groups: &mut Vec<usize>) -> Result<bool> {
        groups.clear();
        let mut places: Vec<u32> = vec![];
        let mut others: Vec<Vec<u32>> = Vec::with_capacity(keys.len());
        for (key, codes) in keys.iter().zip(&mut self.codes) {
            let Some(numbers) = codes.numbers(key)? else { return Ok(false) };
            if places.is_empty() { places = numbers } else { others.push(numbers) }
        }
        let widths: Vec<u32> = self.codes.iter().map(KeyCodes::width).collect();
        if widths != self.widths {
            if widths.iter().sum::<u32>() > self.max_bits {
                return Ok(false);
            }
            self.widen(widths);
        }
        let mut shift = 0;
        for (numbers, width) in others.iter().zip(&self.widths) {
            shift += width;
            places.iter_mut().zip(numbers).for_each(|(place, number)| *place |= number << shift);
        }
        let (table, known) = (&mut self.groups, &mut self.places);
        groups.extend(places.into_iter().map(|place| {
            let group = &mut table[place as usize];
            if *group == NONE {
                *group = known.len() as u32;
                known.push(place);
            }
            *group as usize
        }));
        Ok(true)
    }

    /// Gives the numbers of each key so many bits.
    fn widen(&mut self, widths: Vec<u32>) {
        let moved = |place: u32| {
            let (mut rest, mut new, mut shift) = (place, 0, 0);
            for (from, to) in self.widths.iter().zip(&widths) {
                new |= (rest & ((1 << from) - 1)) << shift;
                rest >>= from;
                shift += to;
            }
            new
        };
        let places: Vec<u32> = self.places.iter().map(|&place| moved(place)).collect();
        self.groups = vec![NONE; 1 << widths.iter().sum::<u32>()];
        for (group, &place) in (0..).zip(&places) {
            self.groups[place as usize] = group;
        }
        (self.places, self.widths) = (places, widths);
    }

    /// The keys of all groups.
    ///
    /// # Errors
    /// None for keys that were given.
    pub(crate) fn keys(&self) -> Result<Vec<ArrayRef>> {
        let mut shift = 0;
        let columns = self.codes.iter().zip(&self.widths).map(|(codes, width)| {
            let (start, mask) = (shift, (1 << width) - 1);
            shift += width;
            codes.values(self.places.iter().map(|place| (place >> start) & mask))
        });
        columns.collect()
    }

    /// Forgets the groups.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.groups.fill(NONE);
    }

    /// About the memory that is held.
    pub(crate) fn size(&self) -> usize {
        let codes: usize = self.codes.iter().map(KeyCodes::size).sum();
        codes + (self.groups.capacity() + self.places.capacity()) * size_of::<u32>()
    }
}

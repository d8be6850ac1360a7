//! The different texts of a key with very many, numbered.

use std::hash::BuildHasher;
use std::ops::Range;

use datafusion::arrow::array::{Array, ByteView, MAX_INLINE_VIEW_LEN, StringViewArray};
use datafusion::arrow::buffer::{Buffer, NullBuffer};
use datafusion::common::{Result, exec_datafusion_err};

use crate::windows::SEED;
use crate::windows::coding::ODD;

/// Rows whose places are looked at together: the processor then waits for many of them at once.
const TOGETHER: usize = 1024;
/// Bytes of a block of long texts.
const BLOCK: usize = 1 << 20;
/// The places at first, a power of two.
const PLACES: usize = 1 << 12;
/// Another odd number without pattern.
const OTHER_ODD: u64 = 0xd6e8_feb8_6659_fd93;

/// Texts seen so far, numbered as they come.
///
/// A place of the table takes eight bytes, so that the places of a million texts stay near the processor.
pub(super) struct Texts {
    /// Of each place half the hash of its text, above its number from 1; 0 if it is free. At most half are taken. Texts stand
    /// about in the order of their hashes.
    places: Vec<u64>,
    views: Vec<u128>,
    /// The number of NULL.
    null: Option<usize>,
    /// Full blocks of texts that are not in their views, and the one that is being filled.
    blocks: Vec<Buffer>,
    block: Vec<u8>,
    halves: Vec<u32>,
    found: Vec<u64>,
    known: Vec<u128>,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            places: vec![0; PLACES],
            views: vec![],
            null: None,
            blocks: vec![],
            block: vec![],
            halves: vec![],
            found: vec![],
            known: vec![],
        }
    }
}

impl Texts {
    /// Puts the number of each text into `numbers`.
    ///
    /// # Errors
    /// More than two billion different texts.
    pub(super) fn numbers(&mut self, texts: &StringViewArray, numbers: &mut Vec<usize>) -> Result<()> {
        numbers.clear();
        numbers.reserve(texts.len());
        for start in (0..texts.len()).step_by(TOGETHER) {
            let rows = start..texts.len().min(start + TOGETHER);
            self.look(texts, rows.clone());
            for (place, row) in rows.enumerate() {
                let view = texts.views()[row];
                let found = self.found[place];
                let number = if texts.is_null(row) {
                    self.null()?
                } else if found != 0 && self.known[place] == view && is_short(view) {
                    number_of(found)
                } else {
                    self.number(self.halves[place], view, texts.value(row).as_bytes())?
                };
                numbers.push(number);
            }
        }
        Ok(())
    }

    /// For each text the first one with the same half of a hash, if there is one.
    fn look(&mut self, texts: &StringViewArray, rows: Range<usize>) {
        self.halves.clear();
        text_hashes(texts, rows, &mut self.halves);
        let (places, shift, mask) = (&self.places, self.shift(), self.places.len() - 1);
        // one after the other what is far: all first places, those beside them, all views
        self.found.clear();
        self.found.extend(self.halves.iter().map(|&half| places[(half >> shift) as usize]));
        for (found, &half) in self.found.iter_mut().zip(&self.halves) {
            let mut place = (half >> shift) as usize;
            while *found != 0 && half_at(*found) != half {
                place = (place + 1) & mask;
                *found = places[place];
            }
        }
        self.known.clear();
        let known = |&found: &u64| if found == 0 { 0 } else { self.views[number_of(found)] };
        self.known.extend(self.found.iter().map(known));
    }

    fn shift(&self) -> u32 {
        u32::BITS - self.places.len().ilog2()
    }

    /// The number of a text, a new one if it was not seen before.
    fn number(&mut self, half: u32, view: u128, text: &[u8]) -> Result<usize> {
        let mask = self.places.len() - 1;
        let mut place = (half >> self.shift()) as usize;
        while self.places[place] != 0 {
            let found = self.places[place];
            if half_at(found) == half && self.is(self.views[number_of(found)], view, text) {
                return Ok(number_of(found));
            }
            place = (place + 1) & mask;
        }
        let view = if is_short(view) { view } else { self.kept(view, text)? };
        let number = self.add(view)?;
        self.places[place] = u64::from(half) << u32::BITS | (number as u64 + 1);
        if 2 * self.views.len() > self.places.len() {
            self.grow();
        }
        Ok(number)
    }

    fn add(&mut self, view: u128) -> Result<usize> {
        let number = self.views.len();
        // twice as many places are addressed by half a hash
        if number >= u32::MAX as usize / 2 {
            return Err(exec_datafusion_err!("{number} different texts"));
        }
        self.views.push(view);
        Ok(number)
    }

    fn is(&self, known: u128, view: u128, text: &[u8]) -> bool {
        if is_short(view) {
            return known == view;
        }
        // the length and the first bytes come first
        known as u64 == view as u64 && {
            let place = ByteView::from(known);
            let block = self.blocks.get(place.buffer_index as usize).map_or(&*self.block, |block| block.as_slice());
            &block[place.offset as usize..][..text.len()] == text
        }
    }

    /// Keeps a long text: the view of it here.
    fn kept(&mut self, view: u128, text: &[u8]) -> Result<u128> {
        if !self.block.is_empty() && self.block.len() + text.len() > BLOCK {
            self.blocks.push(Buffer::from_vec(std::mem::take(&mut self.block)));
        }
        let (buffer_index, offset) = (u32::try_from(self.blocks.len()), u32::try_from(self.block.len()));
        let (Ok(buffer_index), Ok(offset)) = (buffer_index, offset) else {
            return Err(exec_datafusion_err!("{} blocks of texts", self.blocks.len()));
        };
        self.block.extend_from_slice(text);
        Ok(ByteView { buffer_index, offset, ..ByteView::from(view) }.as_u128())
    }

    /// The number of NULL, a new one if there was none before.
    fn null(&mut self) -> Result<usize> {
        if let Some(null) = self.null {
            return Ok(null);
        }
        let number = self.add(0)?;
        self.null = Some(number);
        Ok(number)
    }

    /// Twice the places. In the order of their hashes, so that this goes from front to back.
    fn grow(&mut self) {
        let places = vec![0; 2 * self.places.len()];
        let old = std::mem::replace(&mut self.places, places);
        let (mask, shift) = (self.places.len() - 1, self.shift());
        for found in old.into_iter().filter(|&found| found != 0) {
            let mut place = (half_at(found) >> shift) as usize;
            while self.places[place] != 0 {
                place = (place + 1) & mask;
            }
            self.places[place] = found;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    /// About the memory that is held.
    pub(super) fn size(&self) -> usize {
        self.places.capacity() * size_of::<u64>()
            + self.views.capacity() * size_of::<u128>()
            + self.blocks.iter().map(Buffer::capacity).sum::<usize>()
            + self.block.capacity()
    }

    /// All texts in the order of their numbers.
    ///
    /// # Errors
    /// None.
    pub(super) fn finish(mut self) -> Result<StringViewArray> {
        if !self.block.is_empty() {
            self.blocks.push(Buffer::from_vec(self.block));
        }
        let count = self.views.len();
        let nulls = self.null.map(|null| (0..count).map(|number| number != null).collect::<NullBuffer>());
        Ok(StringViewArray::try_new(self.views.into(), self.blocks, nulls)?)
    }
}

/// The half of a hash at a place that is taken.
fn half_at(found: u64) -> u32 {
    (found >> u32::BITS) as u32
}

/// The number at a place that is taken.
fn number_of(found: u64) -> usize {
    found as u32 as usize - 1
}

/// Whether a text is all in its view.
fn is_short(view: u128) -> bool {
    view as u32 <= MAX_INLINE_VIEW_LEN
}

/// Adds half a hash of each of some texts to `halves`; equal texts have equal ones, NULL has any.
pub(crate) fn text_hashes(texts: &StringViewArray, rows: Range<usize>, halves: &mut Vec<u32>) {
    let half = |&view: &u128| {
        if is_short(view) { half_of(view) } else { SEED.hash_one(bytes_of(view, texts.data_buffers())) as u32 }
    };
    halves.extend(texts.views()[rows].iter().map(half));
}

/// Half the hash of a short text.
fn half_of(view: u128) -> u32 {
    let product = u128::from(view as u64 ^ ODD) * u128::from((view >> u64::BITS) as u64 ^ OTHER_ODD);
    let mixed = (product >> u64::BITS) as u64 ^ product as u64;
    (mixed >> u32::BITS) as u32
}

/// A long text; empty where a view is of no text.
fn bytes_of(view: u128, buffers: &[Buffer]) -> &[u8] {
    let view = ByteView::from(view);
    let start = view.offset as usize;
    let text =
        buffers.get(view.buffer_index as usize).and_then(|buffer| buffer.get(start..start + view.length as usize));
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers follow first appearance, whatever the texts: short, long, empty, equal but for the end, NULL.
    #[test]
    fn texts_are_numbered_as_they_come() {
        let text = |number: usize| match number % 4 {
            _ if number == 0 => None,
            1 if number == 1 => Some(String::new()),
            1 => Some(format!("c{number:05}")),
            2 => Some(format!("a longer text, number {number}")),
            3 => Some(format!("\0{number}")),
            _ => Some(format!("{number:0>13}")),
        };
        let order: Vec<usize> = (0..60_000).map(|row: usize| (row * 7919) % (row / 3 + 1)).collect();
        let mut expected = std::collections::HashMap::new();
        let (mut known, mut numbers) = (Texts::default(), vec![]);
        for rows in order.chunks(1500) {
            known.numbers(&rows.iter().map(|&number| text(number)).collect(), &mut numbers).unwrap();
            for (number, row) in numbers.iter().zip(rows) {
                let next = expected.len();
                assert_eq!(*number, *expected.entry(*row).or_insert(next), "{row}");
            }
        }
        assert_eq!(known.len(), expected.len());
        let texts = known.finish().unwrap();
        for (row, number) in expected {
            assert_eq!(texts.is_valid(number).then(|| texts.value(number).to_string()), text(row));
        }
    }

    /// The bytes below a NULL are no text.
    #[test]
    fn nulls_are_nulls_whatever_is_below() {
        let below: StringViewArray = ["a", "", "a text of more than twelve bytes"].map(Some).into_iter().collect();
        let (views, buffers, _) = below.into_parts();
        let texts = StringViewArray::new(views, buffers, Some(NullBuffer::from(vec![false, false, false])));
        let (mut known, mut numbers) = (Texts::default(), vec![]);
        known.numbers(&texts, &mut numbers).unwrap();
        assert_eq!(numbers, [0, 0, 0]);
        known.numbers(&["", "a"].map(Some).into_iter().collect(), &mut numbers).unwrap();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(known.finish().unwrap().iter().collect::<Vec<_>>(), [None, Some(""), Some("a")]);
    }
}

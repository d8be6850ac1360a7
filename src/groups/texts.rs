//! The different texts of a key with very many, each with a set.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, MAX_INLINE_VIEW_LEN, StringViewArray};
use datafusion::arrow::buffer::{Buffer, NullBuffer};
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::{Result, exec_datafusion_err};

use crate::windows::SEED;
use crate::windows::coding::ODD;

/// Rows whose places are looked at together: the processor then waits for many of them at once, and they stay near it until
/// they are needed.
pub(super) const TOGETHER: usize = 256;
/// Bytes of a block of long texts.
const BLOCK: usize = 1 << 20;
/// The places at first, a power of two.
pub(super) const PLACES: usize = 1 << 8;
/// Another odd number without pattern.
const OTHER_ODD: u64 = 0xd6e8_feb8_6659_fd93;

/// Texts seen so far, numbered as they come, each with the first word of its set.
///
/// All that there is of a text lies together: what is far from the processor is fetched once for a row.
pub(super) struct Texts {
    /// At most two thirds are taken. Texts stand about in the order of their hashes.
    places: Vec<Place>,
    count: usize,
    null: Option<Place>,
    /// Full blocks of texts that are not in their views, and the one that is being filled.
    blocks: Vec<Buffer>,
    block: Vec<u8>,
    halves: Vec<u32>,
}

/// A text, if there is one; never in two lines of the processor's memory.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Place {
    view: u128,
    /// Half the hash of the text, and its number from 1; 0 where the place is free.
    half: u32,
    number: u32,
    set: u64,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            places: vec![Place::default(); PLACES],
            count: 0,
            null: None,
            blocks: vec![],
            block: vec![],
            halves: vec![],
        }
    }
}

impl Texts {
    /// Gives `seen` each row with the number of its text and the first word of the text's set.
    ///
    /// # Errors
    /// More than two billion different texts.
    pub(super) fn each(&mut self, texts: &StringViewArray, mut seen: impl FnMut(usize, usize, &mut u64)) -> Result<()> {
        for start in (0..texts.len()).step_by(TOGETHER) {
            let rows = start..texts.len().min(start + TOGETHER);
            let mut halves = std::mem::take(&mut self.halves);
            halves.clear();
            text_hashes(texts, rows.clone(), &mut halves);
            let shift = self.shift();
            // all places at once
            black_box(halves.iter().fold(0, |all, &half| all ^ self.places[(half >> shift) as usize].number));
            for (row, &half) in rows.zip(&halves) {
                let place = match texts.is_null(row) {
                    true => self.null()?,
                    false => self.place(half, texts, row)?,
                };
                seen(row, place.number as usize - 1, &mut place.set);
            }
            self.halves = halves;
        }
        Ok(())
    }

    fn shift(&self) -> u32 {
        u32::BITS - self.places.len().ilog2()
    }

    /// The place of a text, a new one if it was not seen before.
    fn place(&mut self, half: u32, texts: &StringViewArray, row: usize) -> Result<&mut Place> {
        let view = texts.views()[row];
        let mask = self.places.len() - 1;
        let mut at = (half >> self.shift()) as usize;
        while self.places[at].number != 0 {
            let place = &self.places[at];
            // of a short text all is in its view
            if place.half == half && (is_short(view) && place.view == view || self.is_long(place.view, texts, row)) {
                return Ok(&mut self.places[at]);
            }
            at = (at + 1) & mask;
        }
        let number = self.next_number()?;
        let view = if is_short(view) { view } else { self.kept(view, texts.value(row).as_bytes())? };
        if 3 * self.count > 2 * self.places.len() {
            self.grow();
            at = self.free_place(half);
        }
        self.places[at] = Place { view, half, number, set: 0 };
        Ok(&mut self.places[at])
    }

    fn next_number(&mut self) -> Result<u32> {
        // places are addressed by half a hash
        if self.count >= u32::MAX as usize / 2 {
            return Err(exec_datafusion_err!("{} different texts", self.count));
        }
        self.count += 1;
        Ok(self.count as u32)
    }

    /// Whether a known text is a row's, which is long.
    #[inline(never)]
    fn is_long(&self, known: u128, texts: &StringViewArray, row: usize) -> bool {
        // the length and the first bytes come first
        let view = texts.views()[row];
        !is_short(view) && known as u64 == view as u64 && {
            let (text, place) = (texts.value(row).as_bytes(), ByteView::from(known));
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

    /// The place of NULL.
    fn null(&mut self) -> Result<&mut Place> {
        let null = match self.null {
            Some(null) => null,
            None => Place { number: self.next_number()?, ..Place::default() },
        };
        Ok(self.null.insert(null))
    }

    fn free_place(&self, half: u32) -> usize {
        let mask = self.places.len() - 1;
        let mut at = (half >> self.shift()) as usize;
        while self.places[at].number != 0 {
            at = (at + 1) & mask;
        }
        at
    }

    /// Twice the places. In the order of their hashes, so that this goes from front to back.
    fn grow(&mut self) {
        let places = vec![Place::default(); 2 * self.places.len()];
        for place in std::mem::replace(&mut self.places, places).into_iter().filter(|place| place.number != 0) {
            let at = self.free_place(place.half);
            self.places[at] = place;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// About the memory that is held.
    pub(super) fn size(&self) -> usize {
        self.places.capacity() * size_of::<Place>()
            + self.blocks.iter().map(Buffer::capacity).sum::<usize>()
            + self.block.capacity()
    }

    /// All texts, each with its number and the first word of its set.
    ///
    /// # Errors
    /// None.
    pub(super) fn finish(mut self) -> Result<(StringViewArray, Vec<(usize, u64)>)> {
        if !self.block.is_empty() {
            self.blocks.push(Buffer::from_vec(self.block));
        }
        let taken = || self.places.iter().filter(|place| place.number != 0).chain(&self.null);
        let mut views = Vec::with_capacity(self.count);
        views.extend(taken().map(|place| place.view));
        let mut sets = Vec::with_capacity(self.count);
        sets.extend(taken().map(|place| (place.number as usize - 1, place.set)));
        let nulls = self.null.map(|_| (1..=self.count).map(|row| row < self.count).collect::<NullBuffer>());
        Ok((StringViewArray::try_new(views.into(), self.blocks, nulls)?, sets))
    }
}

/// Whether a text is all in its view.
fn is_short(view: u128) -> bool {
    view as u32 <= MAX_INLINE_VIEW_LEN
}

/// Half a hash of the keys of each row; equal keys have equal ones, NULL as any other value.
///
/// # Errors
/// Keys of a type that the engine cannot hash.
pub(crate) fn key_hashes(keys: &[ArrayRef]) -> Result<Vec<u32>> {
    let rows = keys.first().map_or(0, |key| key.len());
    if let [key] = keys
        && let Some(texts) = key.as_string_view_opt()
    {
        let mut halves = Vec::with_capacity(rows);
        text_hashes(texts, 0..rows, &mut halves);
        if let Some(nulls) = texts.nulls() {
            halves.iter_mut().zip(nulls).filter(|(_, is_known)| !is_known).for_each(|(half, _)| *half = 0);
        }
        return Ok(halves);
    }
    let mut hashes = vec![0; rows];
    create_hashes(keys, &SEED, &mut hashes)?;
    Ok(hashes.into_iter().map(|hash| (hash >> u32::BITS) as u32).collect())
}

/// Adds half a hash of each of some texts to `halves`; equal texts have equal ones, NULL has any.
fn text_hashes(texts: &StringViewArray, rows: Range<usize>, halves: &mut Vec<u32>) {
    let half = |&view: &u128| {
        if is_short(view) { half_of(view) } else { SEED.hash_one(bytes_of(view, texts.data_buffers())) as u32 }
    };
    halves.extend(texts.views()[rows].iter().map(half));
}

/// Half the hash of a short text.
pub(super) fn half_of(view: u128) -> u32 {
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
    use std::collections::HashMap;

    use super::*;

    /// The number of each row, whose last digit is put into the set.
    fn numbers(known: &mut Texts, texts: &StringViewArray) -> Vec<usize> {
        let mut numbers = vec![];
        let mut rows = 0..;
        let seen = |row, number: usize, set: &mut u64| {
            assert_eq!(rows.next(), Some(row));
            *set |= 1 << (row % 10);
            numbers.push(number);
        };
        known.each(texts, seen).unwrap();
        numbers
    }

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
        let mut expected: HashMap<usize, (usize, u64)> = HashMap::new();
        let mut known = Texts::default();
        for rows in order.chunks(1500) {
            let found = numbers(&mut known, &rows.iter().map(|&number| text(number)).collect());
            for (place, (number, row)) in found.iter().zip(rows).enumerate() {
                let next = expected.len();
                let (expected, set) = expected.entry(*row).or_insert((next, 0));
                *set |= 1 << (place % 10);
                assert_eq!(number, expected, "{row}");
            }
        }
        assert_eq!(known.len(), expected.len());
        let (texts, sets) = known.finish().unwrap();
        let found: HashMap<Option<String>, (usize, u64)> =
            texts.iter().map(|text| text.map(String::from)).zip(sets).collect();
        assert_eq!(found, expected.into_iter().map(|(row, number)| (text(row), number)).collect());
    }

    /// The bytes below a NULL are no text.
    #[test]
    fn nulls_are_nulls_whatever_is_below() {
        let below: StringViewArray = ["a", "", "a text of more than twelve bytes"].map(Some).into_iter().collect();
        let (views, buffers, _) = below.into_parts();
        let texts = StringViewArray::new(views, buffers, Some(NullBuffer::from(vec![false, false, false])));
        let mut known = Texts::default();
        assert_eq!(numbers(&mut known, &texts), [0, 0, 0]);
        assert_eq!(numbers(&mut known, &["", "a"].map(Some).into_iter().collect()), [1, 2]);
        let (texts, mut sets) = known.finish().unwrap();
        let mut found: Vec<_> = texts.iter().zip(sets.drain(..)).collect();
        found.sort_unstable();
        assert_eq!(found, [(None, (0, 0b111)), (Some(""), (1, 0b1)), (Some("a"), (2, 0b10))]);
    }
}

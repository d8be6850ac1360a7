//! The different texts of a key with very many, as long as none has more than eight bytes, each with a set of sixty-four.

use std::hint::black_box;

use datafusion::arrow::array::{Array, StringViewArray, UInt64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::common::Result;

use super::texts::{PLACES, TOGETHER, Texts, half_of};
use crate::windows::forms::{pack, unpacked, view};

/// Texts seen so far, each with its set. Half as large as [`Texts`] has them.
#[derive(Debug)]
pub(super) struct ShortTexts {
    /// At most two thirds are taken. Texts stand about in the order of their hashes.
    places: Vec<Place>,
    count: usize,
    /// The set of NULL.
    null: u64,
    halves: Vec<u32>,
}

/// A packed text; never in two lines of the processor's memory.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(16))]
struct Place {
    text: u64,
    /// Empty where the place is free.
    set: u64,
}

impl Default for ShortTexts {
    fn default() -> Self {
        Self { places: vec![Place::default(); PLACES], count: 0, null: 0, halves: vec![] }
    }
}

impl ShortTexts {
    /// Puts the bits of each row into the set of its text. `false` if a text is not so short; the rows before it are added.
    pub(super) fn add(&mut self, texts: &StringViewArray, bits: impl Fn(usize) -> u64) -> bool {
        let views = texts.views();
        for start in (0..texts.len()).step_by(TOGETHER) {
            let rows = start..texts.len().min(start + TOGETHER);
            self.halves.clear();
            self.halves.extend(views[rows.clone()].iter().map(|&view| half_of(view)));
            let shift = self.shift();
            // all places at once
            black_box(self.halves.iter().fold(0, |all, &half| all ^ self.places[(half >> shift) as usize].set));
            for (place, row) in rows.enumerate() {
                if texts.is_null(row) {
                    self.null |= bits(row);
                    continue;
                }
                let Some(text) = pack(views[row]) else { return false };
                self.put(self.halves[place], Place { text, set: bits(row) });
            }
        }
        true
    }

    fn shift(&self) -> u32 {
        u32::BITS - self.places.len().ilog2()
    }

    /// Adds a set to that of its text.
    fn put(&mut self, half: u32, new: Place) {
        let mask = self.places.len() - 1;
        let mut at = (half >> self.shift()) as usize;
        loop {
            let place = &mut self.places[at];
            if place.set == 0 {
                break;
            }
            if place.text == new.text {
                place.set |= new.set;
                return;
            }
            at = (at + 1) & mask;
        }
        self.places[at] = new;
        self.count += 1;
        if 3 * self.count > 2 * self.places.len() {
            self.grow();
        }
    }

    /// Twice the places. In the order of their hashes, so that this goes from front to back.
    fn grow(&mut self) {
        let places = vec![Place::default(); 2 * self.places.len()];
        self.count = 0;
        for place in std::mem::replace(&mut self.places, places).into_iter().filter(|place| place.set != 0) {
            self.put(half_of(view(place.text)), place);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count + usize::from(self.null != 0)
    }

    /// About the memory that is held.
    pub(super) fn size(&self) -> usize {
        self.places.capacity() * size_of::<Place>()
    }

    /// All texts, each with its set.
    pub(super) fn finish(self) -> (StringViewArray, Vec<u64>) {
        let null = (self.null != 0).then_some(Place { text: 0, set: self.null });
        let taken = || self.places.iter().filter(|place| place.set != 0).chain(&null);
        let mut texts = Vec::with_capacity(self.len());
        texts.extend(taken().map(|place| place.text));
        let mut sets = Vec::with_capacity(self.len());
        sets.extend(taken().map(|place| place.set));
        let nulls = null.map(|_| (0..self.len()).map(|row| row < self.count).collect::<NullBuffer>());
        (unpacked(&UInt64Array::new(texts.into(), nulls)), sets)
    }

    /// The same, with room for texts of any length.
    ///
    /// # Errors
    /// More than two billion different texts.
    pub(super) fn with_any_length(self) -> Result<Texts> {
        let (texts, sets) = self.finish();
        let mut any = Texts::default();
        any.each(&texts, |row, _, set| *set = sets[row])?;
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn found(known: ShortTexts) -> HashMap<Option<String>, u64> {
        let (texts, sets) = known.finish();
        let found: HashMap<_, _> = texts.iter().map(|text| text.map(String::from)).zip(sets).collect();
        assert_eq!(found.len(), texts.len());
        found
    }

    /// Each text has the bits of its rows, as in a hash map of them.
    #[test]
    fn short_texts_have_their_sets() {
        let text = |number: usize| match number % 3 {
            _ if number == 0 => None,
            1 if number == 1 => Some(String::new()),
            1 => Some(format!("\0{number:x}")),
            _ => Some(format!("{number}")),
        };
        let order: Vec<usize> = (0..60_000).map(|row: usize| (row * 7919) % (row / 3 + 1)).collect();
        let (mut known, mut expected) = (ShortTexts::default(), HashMap::<Option<String>, u64>::new());
        for rows in order.chunks(1500) {
            let texts: StringViewArray = rows.iter().map(|&number| text(number)).collect();
            assert!(known.add(&texts, |row| 1 << (row % 64)));
            for (row, &number) in rows.iter().enumerate() {
                *expected.entry(text(number)).or_default() |= 1 << (row % 64);
            }
        }
        assert_eq!(known.len(), expected.len());
        assert_eq!(found(known), expected);
    }

    /// After a longer text there is room for any, and nothing is lost.
    #[test]
    fn a_longer_text_ends_it() {
        let texts = |texts: [Option<&str>; 3]| texts.into_iter().collect::<StringViewArray>();
        let mut known = ShortTexts::default();
        assert!(known.add(&texts([Some("a"), None, Some("eight by")]), |row| 1 << row));
        assert!(!known.add(&texts([Some("a"), Some("nine byte"), Some("b")]), |row| 8 << row));
        let mut any = known.with_any_length().unwrap();
        any.each(&texts([Some("a"), Some("nine byte"), Some("b")]), |row, _, set| *set |= 8 << row).unwrap();
        let (texts, sets) = any.finish().unwrap();
        let found: HashMap<_, _> = texts.iter().zip(sets.into_iter().map(|(_, set)| set)).collect();
        let wanted = [(Some("a"), 9), (None, 2), (Some("eight by"), 4), (Some("nine byte"), 16), (Some("b"), 32)];
        assert_eq!(found, HashMap::from(wanted));
    }
}

//! A text with one byte for each character, so that scanners work on bytes and count characters.

use std::ops::Range;

/// A character that is neither a letter nor in ASCII.
const OTHER: u8 = 0x80;
/// A letter of a script that separates words by spaces.
const LETTER: u8 = 0x81;
/// A letter of a script without spaces between words: Chinese, Japanese, Korean, Thai.
pub(super) const IDEOGRAPH: u8 = 0x82;

/// A text and its folded form: one byte for each character. Full-width forms, dashes, spaces and digits of other scripts
/// become their ASCII characters, currency signs `$`, and everything else a class of characters.
#[derive(Debug, Default)]
pub(super) struct FoldedText {
    /// One byte for each character.
    pub(super) bytes: Vec<u8>,
    /// The byte at which each character begins in the text, and its length at the end; empty if the text is ASCII.
    offsets: Vec<usize>,
}

/// A maximal run of word characters with at least one digit. Positions count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    /// It has digits only.
    pub(super) is_number: bool,
}

impl FoldedText {
    /// Replaces the text.
    pub(super) fn fold(&mut self, text: &str) {
        self.bytes.clear();
        self.offsets.clear();
        if text.is_ascii() {
            self.bytes.extend_from_slice(text.as_bytes());
            return;
        }
        for (offset, character) in text.char_indices() {
            self.offsets.push(offset);
            self.bytes.push(fold(character));
        }
        self.offsets.push(text.len());
    }

    /// The number of characters.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The folded character at an index; 0 outside of the text.
    pub(super) fn at(&self, index: usize) -> u8 {
        self.bytes.get(index).copied().unwrap_or(0)
    }

    /// The folded character before an index; 0 at the beginning.
    pub(super) fn before(&self, index: usize) -> u8 {
        index.checked_sub(1).map_or(0, |before| self.at(before))
    }

    /// The byte in the text of a character.
    fn offset(&self, index: usize) -> usize {
        match self.offsets.last() {
            None => index.min(self.len()),
            Some(end) => self.offsets.get(index).copied().unwrap_or(*end),
        }
    }

    /// The part of the text that has these characters.
    pub(super) fn slice<'a>(&self, text: &'a str, characters: Range<usize>) -> &'a str {
        text.get(self.offset(characters.start)..self.offset(characters.end)).unwrap_or_default()
    }

    /// The number of characters before a byte of the text.
    pub(super) fn index(&self, offset: usize) -> usize {
        if self.offsets.is_empty() { offset } else { self.offsets.partition_point(|known| *known < offset) }
    }

    /// The words that have a digit.
    pub(super) fn tokens(&self, tokens: &mut Vec<Token>) {
        tokens.clear();
        let mut start = 0;
        while start < self.len() {
            if !is_word(self.at(start)) {
                start += 1;
                continue;
            }
            let length = self.bytes.iter().skip(start).take_while(|byte| is_word(**byte)).count();
            let end = start + length;
            let word = self.bytes.get(start..end).unwrap_or_default();
            let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
            if digits > 0 {
                tokens.push(Token { start, end, is_number: digits == length });
            }
            start = end;
        }
    }
}

/// Returns true for what a word is made of: letters of scripts with spaces between words, digits and `_`.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == LETTER
}

fn fold(character: char) -> u8 {
    let code = u32::from(character);
    let digit = |zero: u32| u8::try_from(code - zero).map_or(OTHER, |digit| b'0' + digit);
    match code {
        0..=0x7F => code as u8,
        // full-width forms of ASCII
        0xFF01..=0xFF5E => u8::try_from(code - 0xFEE0).unwrap_or(OTHER),
        0xA0 | 0x2000..=0x200A | 0x202F | 0x205F | 0x3000 => b' ',
        0x2010..=0x2015 | 0x2212 | 0xFE58 | 0xFE63 => b'-',
        0xA3 | 0xA5 | 0x20A0..=0x20C0 | 0xFFE1 | 0xFFE5 => b'$',
        // Arabic-Indic, extended Arabic-Indic and Devanagari digits
        0x660..=0x669 => digit(0x660),
        0x6F0..=0x6F9 => digit(0x6F0),
        0x966..=0x96F => digit(0x966),
        0xE00..=0xE7F | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0x20000..=0x323AF
            if character.is_alphabetic() =>
        {
            IDEOGRAPH
        }
        _ if character.is_alphabetic() => LETTER,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> FoldedText {
        let mut folded = FoldedText::default();
        folded.fold(text);
        folded
    }

    #[test]
    fn every_character_is_one_byte() {
        let text = "电话：１３８ é@x";
        let folded = folded(text);
        assert_eq!(folded.bytes, b"\x82\x82:138 \x81@x");
        assert_eq!(folded.slice(text, 0..2), "电话");
        assert_eq!(folded.slice(text, 3..6), "１３８");
        assert_eq!(folded.slice(text, 7..99), "é@x");
        assert_eq!(folded.index(text.find('é').unwrap()), 7);
        assert_eq!(folded.index(text.len()), 10);
    }

    #[test]
    fn ascii_is_folded_to_itself() {
        let text = "call 138";
        let folded = folded(text);
        assert_eq!(folded.bytes, text.as_bytes());
        assert_eq!((folded.slice(text, 5..8), folded.slice(text, 5..99), folded.index(5)), ("138", "138", 5));
        assert_eq!((folded.before(0), folded.before(1), folded.at(8)), (0, b'c', 0));
    }

    #[test]
    fn tokens_are_words_with_digits() {
        let mut tokens = vec![];
        folded("号138号 x12 4é 55 abc_").tokens(&mut tokens);
        let parts: Vec<_> = tokens.iter().map(|token| (token.start, token.end, token.is_number)).collect();
        assert_eq!(parts, [(1, 4, true), (6, 9, false), (10, 12, false), (13, 15, true)]);
    }
}

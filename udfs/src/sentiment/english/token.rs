//! Reads a text into tokens as the reference does: emojis become words, white space separates, punctuation around a word
//! goes. The rules for characters are Python's (`str.split`, `str.isupper`, `string.punctuation`).

use super::Token;
use super::lexicon;

/// Reads texts; its buffers serve one text after the other.
#[derive(Debug, Default)]
pub(super) struct Tokenizer {
    tokens: Vec<Token>,
    without_emojis: String,
    lower: String,
    exclamation_marks: usize,
    question_marks: usize,
}

impl Tokenizer {
    pub(super) fn read(&mut self, text: &str) -> &[Token] {
        let text = if text.is_ascii() {
            text
        } else {
            spell_emojis(text, &mut self.without_emojis);
            &self.without_emojis
        };
        self.exclamation_marks = count(text, b'!');
        self.question_marks = count(text, b'?');
        self.tokens.clear();
        for raw in text.split(is_space).filter(|raw| !raw.is_empty()) {
            let token = strip_punctuation(raw);
            lower_into(token, &mut self.lower);
            self.tokens.push(Token { word: lexicon::word(&self.lower), is_upper: is_upper(token) });
        }
        &self.tokens
    }

    pub(super) fn exclamation_marks(&self) -> usize {
        self.exclamation_marks
    }

    pub(super) fn question_marks(&self) -> usize {
        self.question_marks
    }
}

fn count(text: &str, wanted: u8) -> usize {
    text.bytes().filter(|byte| *byte == wanted).count()
}

/// Writes an emoji as its words, with a blank before but none after: so does the reference.
fn spell_emojis(text: &str, spelled: &mut String) {
    spelled.clear();
    for character in text.chars() {
        match lexicon::emoji(character) {
            Some(words) => {
                spelled.push(' ');
                spelled.push_str(words);
            }
            None => spelled.push(character),
        }
    }
}

/// White space of Unicode, and Python's additions to it: the four ASCII separators.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// Takes punctuation off both ends, unless at most two characters would be left: it may be an emoticon.
fn strip_punctuation(raw: &str) -> &str {
    let stripped = raw.trim_matches(|character: char| character.is_ascii_punctuation());
    if stripped.chars().nth(2).is_some() { stripped } else { raw }
}

fn lower_into(token: &str, lower: &mut String) {
    lower.clear();
    if token.is_ascii() {
        lower.push_str(token);
        lower.make_ascii_lowercase();
    } else {
        // The final sigma, which alone depends on its place, is in no word of the lexicon.
        lower.extend(token.chars().flat_map(char::to_lowercase));
    }
}

/// At least one upper case letter, and none that is lower or title case.
fn is_upper(token: &str) -> bool {
    let mut has_upper = false;
    for character in token.chars() {
        if character.is_lowercase() || is_title_case(character) {
            return false;
        }
        has_upper |= character.is_uppercase();
    }
    has_upper
}

/// General category Lt of Unicode.
fn is_title_case(character: char) -> bool {
    matches!(
        character,
        '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}'
            | '\u{1f88}'..='\u{1f8f}'
            | '\u{1f98}'..='\u{1f9f}'
            | '\u{1fa8}'..='\u{1faf}'
            | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values of this module: what Python 3.11 answers.

    #[test]
    fn punctuation_stays_on_what_would_be_two_characters() {
        assert_eq!(strip_punctuation("(great!)"), "great");
        assert_eq!(strip_punctuation(":-)"), ":-)");
        assert_eq!(strip_punctuation("ok!"), "ok!");
        assert_eq!(strip_punctuation("don't,"), "don't");
        assert_eq!(strip_punctuation("«great»"), "«great»");
        assert_eq!(strip_punctuation("好吧!"), "好吧!");
        assert_eq!(strip_punctuation("很好吧!"), "很好吧");
    }

    #[test]
    fn capitals_need_a_letter_and_no_lower_or_title_case() {
        assert!(is_upper("A1!"));
        assert!(is_upper("ÄÖ"));
        assert!(is_upper("Ⓐ"));
        assert!(!is_upper("123"));
        assert!(!is_upper("Ab"));
        assert!(!is_upper("ǅ"));
        assert!(!is_upper("Aǅ"));
        assert!(!is_upper("Aª"));
        assert!(!is_upper("好"));
    }

    #[test]
    fn separators_of_ascii_and_unicode_are_space() {
        for space in ['\t', '\u{b}', '\u{1c}', '\u{1f}', '\u{85}', '\u{a0}', '\u{2009}', '\u{2028}', '\u{3000}'] {
            assert!(is_space(space), "{space:?}");
        }
        for other in ['\u{1b}', '\u{200b}', '\u{feff}', '\u{180e}'] {
            assert!(!is_space(other), "{other:?}");
        }
    }

    #[test]
    fn an_emoji_has_a_blank_before_its_words_and_none_after() {
        let mut spelled = String::from("old");
        spell_emojis("so😀good \u{1f600}", &mut spelled);
        assert_eq!(spelled, "so grinning facegood  grinning face");
    }
}

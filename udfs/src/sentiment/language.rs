//! The languages that sentiment can be scored in.
//!
//! A further language is one more module with a [`Scorer`], and one more variant here.

use super::english::English;

/// A text of which one letter in so many is of another script cannot be read.
const OTHER_SCRIPT_PART: usize = 5;

/// A Chinese, Japanese or Korean character stands for a syllable or a word: it counts as so many letters.
const CJK_LETTERS: usize = 3;

/// Kana, ideographs and Hangul syllables.
fn is_cjk(character: char) -> bool {
    matches!(u32::from(character),
        0x3040..=0x30FF | 0x3400..=0x9FFF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0x20000..=0x323AF)
}

/// Letters of the Latin script (Unicode 16, Scripts.txt) but for those of styled alphabets, which no word list has.
fn is_latin(character: char) -> bool {
    matches!(u32::from(character),
        0x41..=0x5A | 0x61..=0x7A | 0xAA | 0xBA | 0xC0..=0x2FF | 0x1D00..=0x1DBF | 0x1E00..=0x1EFF | 0x2071 | 0x207F
        | 0x2090..=0x209C | 0x212A..=0x212B | 0x2C60..=0x2C7F | 0xA720..=0xA7FF | 0xAB30..=0xAB6F | 0xFB00..=0xFB06)
}

/// Letters that are used as symbols: micro sign, information, circled and squared letters.
fn is_symbol(character: char) -> bool {
    matches!(u32::from(character), 0xB5 | 0x2139 | 0x24B6..=0x24E9 | 0x1F100..=0x1F1FF)
}

/// Scores texts of one language.
pub(super) trait Scorer {
    /// The sentiment of a text from -1 to 1; 0 when nothing in it has any.
    fn score(&mut self, text: &str) -> f64;
}

/// A language with a scorer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
}

impl Language {
    pub(super) const ALL: [Self; 1] = [Self::English];
    pub(super) const DEFAULT: Self = Self::English;

    /// Its code in ISO 639-1.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::English => "en",
        }
    }

    /// The language of a tag ("en", "en-US", "en_GB.UTF-8") or name ("English"), in any case.
    pub(super) fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.names().iter().any(|name| name.eq_ignore_ascii_case(primary)))
    }

    /// Returns true if the language's words can be found in a text: fewer than a fifth of its letters are of another
    /// script (a CJK character counts as three). A score of the rest would pass for one of the text, and 0 for "neutral". Emojis, digits and punctuation are
    /// no letters; a text without letters can be read.
    pub(super) fn reads(self, text: &str) -> bool {
        if text.is_ascii() {
            return true;
        }
        let (mut own, mut other) = (0_usize, 0_usize);
        for character in text.chars().filter(|character| character.is_alphabetic() && !is_symbol(*character)) {
            let is_own = match self {
                Self::English => is_latin(character),
            };
            match (is_own, is_cjk(character)) {
                (true, _) => own += 1,
                (false, true) => other += CJK_LETTERS,
                (false, false) => other += 1,
            }
        }
        other == 0 || other * OTHER_SCRIPT_PART < own + other
    }

    pub(super) fn scorer(self) -> Box<dyn Scorer> {
        match self {
            Self::English => Box::new(English::default()),
        }
    }

    /// Its codes in ISO 639-1 and -3, its name.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::English => &["en", "eng", "english"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_reads_latin_letters_and_symbols() {
        for text in [
            "",
            "good",
            "très bien",
            "naïve café Žižek ﬁne",
            "😀👍🏽🎉",
            "12 %",
            "…?!",
            "🅰🅱ℹ️Ⓜ",
            "5 µm",
            "🇩🇪🇨🇳",
            "K ≤ 3 €",
            // 9 of 52 letters, three for each character of the name
            "I spoke with 王小明 and he was very helpful, thank you so much",
        ] {
            assert!(Language::English.reads(text), "{text}");
        }
    }

    #[test]
    fn english_does_not_read_other_scripts() {
        for text in [
            "服务非常好，谢谢！",
            "好",
            "Спасибо",
            "شكرا جزيلا",
            "תודה רבה",
            "ありがとう",
            "감사합니다",
            "ขอบคุณ",
            "धन्यवाद",
            "ευχαριστώ",
            "good 服务非常好",
            "很差！ bad",
            "OK, спасибо",
            "😀 谢谢",
            "24小时没有人回复!!!",
            "ｇｏｏｄ",
            "𝗴𝗼𝗼𝗱",
            // 6 of 16 letters, three for each Chinese character
            "The service 很差",
            // 8 of 38 letters
            "Great service from Владимир, thank you so much!",
        ] {
            assert!(!Language::English.reads(text), "{text}");
        }
    }

    #[test]
    fn tags_and_names_of_english() {
        for tag in ["en", "EN", "en-US", "en_GB.UTF-8", " en ", "eng", "English", "english (UK)"] {
            assert_eq!(Language::from_tag(tag), Some(Language::English), "{tag}");
        }
    }

    #[test]
    fn other_languages_and_things_that_only_begin_like_english() {
        for tag in ["", "zh", "zh-Hans", "enm", "de-en", "en1", "-en", "英语"] {
            assert_eq!(Language::from_tag(tag), None, "{tag}");
        }
    }

    #[test]
    fn codes_are_tags() {
        for language in Language::ALL {
            assert_eq!(Language::from_tag(language.code()), Some(language));
        }
    }
}

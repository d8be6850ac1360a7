//! The languages that sentiment can be scored in.
//!
//! A further language is one more module with a [`Scorer`], and one more variant here.

use super::english::English;

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

//! The language of each row.

use super::language::Language;
use crate::strings::Column;

/// The language of each row, its tag read once where rows share it.
pub(super) struct Languages<'a> {
    tags: Column<'a>,
    /// Of each shared tag; empty when every row has its own.
    known: Vec<Option<Language>>,
}

impl<'a> Languages<'a> {
    pub(super) fn new(tags: Column<'a>) -> Self {
        let shared = if tags.is_shared() { tags.values.len() } else { 0 };
        let known = (0..shared).map(|index| Self::read(tags.values.get(index))).collect();
        Self { tags, known }
    }

    /// `None` when the language is not supported.
    pub(super) fn get(&self, row: usize) -> Option<Language> {
        match self.tags.index(row) {
            None => Some(Language::DEFAULT),
            Some(index) => self.known.get(index).copied().unwrap_or_else(|| Self::read(self.tags.values.get(index))),
        }
    }

    fn read(tag: Option<&str>) -> Option<Language> {
        tag.map_or(Some(Language::DEFAULT), Language::from_tag)
    }
}

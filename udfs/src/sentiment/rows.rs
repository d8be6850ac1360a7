//! What the arguments hold, row by row: strings of any Arrow type, decoded no further than needed.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;

use super::language::Language;

/// An argument as an array: one row for a constant.
pub(super) enum Held {
    Constant(ArrayRef),
    Rows(ArrayRef),
}

impl Held {
    pub(super) fn new(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Scalar(scalar) => Self::Constant(scalar.to_array()?),
            ColumnarValue::Array(array) => Self::Rows(Arc::clone(array)),
        })
    }

    pub(super) fn column(&self) -> Result<Column<'_>> {
        match self {
            Self::Constant(array) => {
                let column = Column::new(array)?;
                Ok(Column { indices: RowIndices::Same(column.index(0)), ..column })
            }
            Self::Rows(array) => Column::new(array),
        }
    }
}

/// Strings, and which of them each row has.
pub(super) struct Column<'a> {
    pub(super) values: Strings<'a>,
    indices: RowIndices,
}

/// Which string each row has.
enum RowIndices {
    /// Every row has its own.
    Own,
    /// Every row has this one.
    Same(Option<usize>),
    Keyed {
        keys: Vec<usize>,
        nulls: Option<NullBuffer>,
    },
}

impl<'a> Column<'a> {
    pub(super) fn new(array: &'a dyn Array) -> Result<Self> {
        let Some(dictionary) = array.as_any_dictionary_opt() else {
            return Ok(Self { values: Strings::new(array)?, indices: RowIndices::Own });
        };
        let values = dictionary.values();
        // `normalized_keys` wants a value; a dictionary without one has only NULL rows.
        let keys = if values.is_empty() { vec![] } else { dictionary.normalized_keys() };
        let indices = RowIndices::Keyed { keys, nulls: dictionary.keys().nulls().cloned() };
        Ok(Self { values: Strings::new(values)?, indices })
    }

    pub(super) fn is_shared(&self) -> bool {
        !matches!(self.indices, RowIndices::Own)
    }

    pub(super) fn index(&self, row: usize) -> Option<usize> {
        match &self.indices {
            RowIndices::Own => Some(row),
            RowIndices::Same(index) => *index,
            RowIndices::Keyed { nulls: Some(nulls), .. } if nulls.is_null(row) => None,
            RowIndices::Keyed { keys, .. } => keys.get(row).copied(),
        }
    }
}

pub(super) enum Strings<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
}

impl<'a> Strings<'a> {
    pub(super) fn new(array: &'a dyn Array) -> Result<Self> {
        if let Some(strings) = array.as_string_opt() {
            Ok(Self::Utf8(strings))
        } else if let Some(strings) = array.as_string_opt() {
            Ok(Self::LargeUtf8(strings))
        } else if let Some(strings) = array.as_string_view_opt() {
            Ok(Self::Utf8View(strings))
        } else {
            internal_err!("sentiment: got an array of {}, wanted strings", array.data_type())
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Utf8(strings) => strings.len(),
            Self::LargeUtf8(strings) => strings.len(),
            Self::Utf8View(strings) => strings.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a str> {
        match self {
            Self::Utf8(strings) => strings.is_valid(index).then(|| strings.value(index)),
            Self::LargeUtf8(strings) => strings.is_valid(index).then(|| strings.value(index)),
            Self::Utf8View(strings) => strings.is_valid(index).then(|| strings.value(index)),
        }
    }
}

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

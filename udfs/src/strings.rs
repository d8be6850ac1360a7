//! String arguments row by row: strings of any Arrow type, decoded no further than needed.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::ColumnarValue;

/// An argument as an array: one row for a constant.
pub(crate) enum Held {
    Constant(ArrayRef),
    Rows(ArrayRef),
}

impl Held {
    pub(crate) fn new(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Scalar(scalar) => Self::Constant(scalar.to_array()?),
            ColumnarValue::Array(array) => Self::Rows(Arc::clone(array)),
        })
    }

    pub(crate) fn column(&self) -> Result<Column<'_>> {
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
pub(crate) struct Column<'a> {
    pub(crate) values: Strings<'a>,
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
    pub(crate) fn new(array: &'a dyn Array) -> Result<Self> {
        let Some(dictionary) = array.as_any_dictionary_opt() else {
            return Ok(Self { values: Strings::new(array)?, indices: RowIndices::Own });
        };
        let values = dictionary.values();
        // `normalized_keys` wants a value; a dictionary without one has only NULL rows.
        let keys = if values.is_empty() { vec![] } else { dictionary.normalized_keys() };
        let indices = RowIndices::Keyed { keys, nulls: dictionary.keys().nulls().cloned() };
        Ok(Self { values: Strings::new(values)?, indices })
    }

    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self.indices, RowIndices::Own)
    }

    pub(crate) fn index(&self, row: usize) -> Option<usize> {
        match &self.indices {
            RowIndices::Own => Some(row),
            RowIndices::Same(index) => *index,
            RowIndices::Keyed { nulls: Some(nulls), .. } if nulls.is_null(row) => None,
            RowIndices::Keyed { keys, .. } => keys.get(row).copied(),
        }
    }
}

pub(crate) enum Strings<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
}

impl<'a> Strings<'a> {
    pub(crate) fn new(array: &'a dyn Array) -> Result<Self> {
        if let Some(strings) = array.as_string_opt() {
            Ok(Self::Utf8(strings))
        } else if let Some(strings) = array.as_string_opt() {
            Ok(Self::LargeUtf8(strings))
        } else if let Some(strings) = array.as_string_view_opt() {
            Ok(Self::Utf8View(strings))
        } else {
            internal_err!("got an array of {}, wanted strings", array.data_type())
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Utf8(strings) => strings.len(),
            Self::LargeUtf8(strings) => strings.len(),
            Self::Utf8View(strings) => strings.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&'a str> {
        match self {
            Self::Utf8(strings) => strings.is_valid(index).then(|| strings.value(index)),
            Self::LargeUtf8(strings) => strings.is_valid(index).then(|| strings.value(index)),
            Self::Utf8View(strings) => strings.is_valid(index).then(|| strings.value(index)),
        }
    }
}

/// Returns true for strings of any Arrow type, dictionaries of them included.
pub(crate) fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_string(values),
        other => other.is_string(),
    }
}

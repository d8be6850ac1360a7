//! [`Domain`]: how the values of a type are stored in the set: as integers, or interned as bytes.
//!
//! | type | stored as |
//! |---|---|
//! | integers, floats, dates, times, timestamps, durations, decimals of up to 18 digits, Boolean | their bits |
//! | strings and binaries | interned bytes |
//! | longer decimals, intervals, lists, structs | interned rows of Arrow's row format |
//! | dictionaries | as their values |

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, LargeBinaryArray, LargeStringArray, make_array,
};
use datafusion::arrow::buffer::{Buffer, OffsetBuffer};
use datafusion::arrow::datatypes::{ArrowNativeType, DataType};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_err, internal_err};

use super::interner::ByteInterner;

/// The digits of a decimal that always fits into 64 bits.
const WORD_DIGITS: u8 = 18;

/// See the page of this module.
#[derive(Debug)]
pub(super) enum Domain {
    Boolean,
    /// Values of this many bytes.
    Words {
        bytes: usize,
    },
    Strings,
    Binaries,
    Rows(Box<RowConverter>),
}

/// The type of the values of a dictionary; other types as they are.
pub(super) fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

impl Domain {
    /// The domain of a type; `None` if there is none.
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        Some(match value_type(data_type) {
            DataType::Boolean => Self::Boolean,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Strings,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Binaries,
            DataType::Decimal128(digits, _) if *digits <= WORD_DIGITS => Self::Words { bytes: 16 },
            other if is_row(other) => {
                Self::Rows(Box::new(RowConverter::new(vec![SortField::new(other.clone())]).ok()?))
            }
            other => Self::Words { bytes: other.primitive_width()? },
        })
    }

    /// The type of values in states. Strings are not views: a state that is sliced would keep and write all strings.
    pub(super) fn state_type(&self, value_type: &DataType) -> DataType {
        match self {
            Self::Strings => DataType::LargeUtf8,
            Self::Binaries => DataType::LargeBinary,
            _ => value_type.clone(),
        }
    }

    /// Whether values are stored as integers.
    pub(super) fn is_word(&self) -> bool {
        matches!(self, Self::Boolean | Self::Words { .. })
    }

    /// The values as integers; those of NULLs are arbitrary.
    pub(super) fn words(&self, values: &ArrayRef) -> Result<Vec<i64>> {
        if let Some(values) = values.as_boolean_opt() {
            return Ok(values.values().iter().map(i64::from).collect());
        }
        let data = values.to_data();
        fn read<T: ArrowNativeType + Into<i64>>(data: &ArrayData) -> Vec<i64> {
            data.buffer::<T>(0).iter().take(data.len()).map(|value| (*value).into()).collect()
        }
        Ok(match self {
            Self::Words { bytes: 1 } => read::<i8>(&data),
            Self::Words { bytes: 2 } => read::<i16>(&data),
            Self::Words { bytes: 4 } => read::<i32>(&data),
            Self::Words { bytes: 8 } => read::<i64>(&data),
            Self::Words { bytes: 16 } => {
                let mut words = Vec::with_capacity(data.len());
                for (row, value) in data.buffer::<i128>(0).iter().take(data.len()).enumerate() {
                    let word = *value as i64;
                    if i128::from(word) != *value && data.is_valid(row) {
                        return exec_err!("{value} is not within {}", data.data_type());
                    }
                    words.push(word);
                }
                words
            }
            other => return internal_err!("{} as {other:?}", data.data_type()),
        })
    }

    /// The inverse of [`Domain::words`].
    pub(super) fn array_of_words(&self, words: Vec<i64>, value_type: &DataType) -> Result<ArrayRef> {
        let len = words.len();
        let buffer = match self {
            Self::Boolean => {
                return Ok(Arc::new(words.into_iter().map(|word| Some(word != 0)).collect::<BooleanArray>()));
            }
            Self::Words { bytes: 1 } => words.into_iter().map(|word| word as i8).collect::<Buffer>(),
            Self::Words { bytes: 2 } => words.into_iter().map(|word| word as i16).collect(),
            Self::Words { bytes: 4 } => words.into_iter().map(|word| word as i32).collect(),
            Self::Words { bytes: 8 } => Buffer::from_vec(words),
            Self::Words { bytes: 16 } => words.into_iter().map(i128::from).collect(),
            other => return internal_err!("{value_type} as {other:?}"),
        };
        Ok(make_array(ArrayData::builder(value_type.clone()).len(len).add_buffer(buffer).build()?))
    }

    /// Calls `each` with the bytes of every value that `is_wanted`.
    pub(super) fn each_bytes(
        &self,
        values: &ArrayRef,
        is_wanted: impl Fn(usize) -> bool,
        mut each: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        macro_rules! each_of {
            ($array:expr) => {
                (0..values.len())
                    .filter(|row| is_wanted(*row))
                    .try_for_each(|row| each(row, $array.value(row).as_ref()))
            };
        }
        match (self, values.data_type()) {
            (Self::Rows(converter), _) => {
                let rows = converter.convert_columns(&[Arc::clone(values)])?;
                (0..values.len()).filter(|row| is_wanted(*row)).try_for_each(|row| each(row, rows.row(row).data()))
            }
            (_, DataType::Utf8) => each_of!(values.as_string::<i32>()),
            (_, DataType::LargeUtf8) => each_of!(values.as_string::<i64>()),
            (_, DataType::Utf8View) => each_of!(values.as_string_view()),
            (_, DataType::Binary) => each_of!(values.as_binary::<i32>()),
            (_, DataType::LargeBinary) => each_of!(values.as_binary::<i64>()),
            (_, DataType::BinaryView) => each_of!(values.as_binary_view()),
            (domain, other) => internal_err!("{other} as {domain:?}"),
        }
    }

    /// The values of some codes, in the type of states.
    pub(super) fn array_of_codes(&self, codes: Vec<u32>, interner: &ByteInterner) -> Result<ArrayRef> {
        if let Self::Rows(converter) = self {
            let parser = converter.parser();
            let columns = converter.convert_rows(codes.iter().map(|code| parser.parse(interner.bytes(*code))))?;
            return match columns.into_iter().next() {
                Some(column) => Ok(column),
                None => internal_err!("rows without a column"),
            };
        }
        let offsets = OffsetBuffer::from_lengths(codes.iter().map(|code| interner.bytes(*code).len()));
        let bytes = offsets.last().map_or(0, |end: &i64| *end as usize);
        let mut values: Vec<u8> = Vec::with_capacity(bytes);
        codes.iter().for_each(|code| values.extend_from_slice(interner.bytes(*code)));
        Ok(match self {
            Self::Strings => Arc::new(LargeStringArray::try_new(offsets, Buffer::from_vec(values), None)?),
            _ => Arc::new(LargeBinaryArray::try_new(offsets, Buffer::from_vec(values), None)?),
        })
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Rows(converter) => converter.size(),
            _ => 0,
        }
    }
}

/// Types that are stored as rows. A dictionary within would come back as its values.
fn is_row(data_type: &DataType) -> bool {
    fn is_within(data_type: &DataType) -> bool {
        match data_type {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                is_within(item.data_type())
            }
            DataType::Struct(fields) => fields.iter().all(|field| is_within(field.data_type())),
            DataType::Boolean | DataType::FixedSizeBinary(_) => true,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
            other => other.primitive_width().is_some(),
        }
    }
    let is_nested = matches!(
        data_type,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Struct(_)
    );
    let is_long = matches!(
        data_type,
        DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Interval(_) | DataType::FixedSizeBinary(_)
    );
    (is_nested || is_long) && is_within(data_type)
}

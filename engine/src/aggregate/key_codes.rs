//! [`KeyCodes`]: maps the values of a group key to small integers, in order of first appearance.
//!
//! Code 0 is NULL, values count from 1. Strings go through the [`StringInterner`]; a dictionary array is interned once per
//! dictionary and its rows only look codes up. Integers, Booleans, dates and timestamps go through a small open-addressing
//! table of 64-bit integers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::Result;

use super::group_table::EMPTY;
use crate::kernels::hash::ODD;
use crate::kernels::string_interner::StringInterner;

/// Most distinct integers of a key; beyond them the operator falls back to DataFusion's aggregate.
const MAX_INTEGERS: usize = 1 << 14;

/// The values of one key seen so far, with the type of the key; of a dictionary, that of its strings.
#[derive(Debug, Clone)]
pub(super) enum KeyCodes {
    Strings(StringCodes, DataType),
    Integers(IntegerCodes, DataType),
}

/// Codes of strings, and the codes of the last dictionary: consecutive batches of a row group share one.
#[derive(Debug, Clone, Default)]
pub(super) struct StringCodes {
    interner: Box<StringInterner>,
    last: Option<(ArrayRef, Vec<u32>)>,
}

impl StringCodes {
    /// Codes from 1; arbitrary where `values` has a NULL. `None` if there are too many distinct values.
    fn encode(&mut self, values: &ArrayRef) -> Result<Option<Vec<u32>>> {
        let Some(dictionary) = values.as_dictionary_opt::<Int32Type>() else {
            let views = match values.data_type() {
                DataType::Utf8View => Arc::clone(values),
                _ => cast(values, &DataType::Utf8View)?,
            };
            let codes = self.interner.encode(views.as_string_view())?;
            return Ok(codes.map(|codes| codes.values().iter().map(|&code| u32::from(code) + 1).collect()));
        };
        let strings = dictionary.values();
        let is_last = |(last, _): &(ArrayRef, _)| last.to_data().ptr_eq(&strings.to_data());
        if !self.last.as_ref().is_some_and(is_last) {
            let views = cast(strings, &DataType::Utf8View)?;
            let Some(codes) = self.interner.encode(views.as_string_view())? else { return Ok(None) };
            let codes = codes.iter().map(|code| code.map_or(0, |code| u32::from(code) + 1));
            self.last = Some((Arc::clone(strings), codes.collect()));
        }
        let known = self.last.as_ref().map_or(&[][..], |(_, codes)| codes);
        // the dictionary key of a NULL row is arbitrary and may be out of range
        let code = |&key: &i32| known.get(key as usize).copied().unwrap_or_default();
        Ok(Some(dictionary.keys().values().iter().map(code).collect()))
    }
}

impl KeyCodes {
    /// No values yet; `None` for a type whose values cannot be encoded.
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Some(Self::Strings(StringCodes::default(), data_type.clone()))
            }
            DataType::Dictionary(keys, strings) => (**keys == DataType::Int32 && strings.is_string())
                .then(|| Self::Strings(StringCodes::default(), strings.as_ref().clone())),
            // does not fit into Int64
            DataType::UInt64 => None,
            DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) => Some(Self::integers(data_type)),
            other => other.is_integer().then(|| Self::integers(other)),
        }
    }

    fn integers(data_type: &DataType) -> Self {
        Self::Integers(IntegerCodes::default(), data_type.clone())
    }

    /// The codes of values; `None` if there are too many distinct ones.
    ///
    /// # Errors
    /// Casting or interning the values.
    pub(super) fn encode(&mut self, values: &ArrayRef) -> Result<Option<Vec<u32>>> {
        let nulls = values.nulls();
        let mut codes = match self {
            Self::Strings(known, _) => match known.encode(values)? {
                Some(codes) => codes,
                None => return Ok(None),
            },
            Self::Integers(known, _) => {
                match known.encode(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>()) {
                    Some(codes) => codes,
                    None => return Ok(None),
                }
            }
        };
        if let Some(nulls) = nulls {
            codes.iter_mut().zip(nulls).filter(|(_, is_valid)| !is_valid).for_each(|(code, _)| *code = 0);
        }
        Ok(Some(codes))
    }

    /// Bits of the greatest code.
    pub(super) fn width(&self) -> u32 {
        let max_code = match self {
            Self::Strings(known, _) => known.interner.len(),
            Self::Integers(known, _) => known.values.len(),
        };
        usize::BITS - max_code.leading_zeros()
    }

    /// The values of codes, in the type of the key; of a dictionary, in that of its strings.
    ///
    /// # Errors
    /// Casting the values to that type.
    pub(super) fn decode(&self, codes: impl Iterator<Item = u32>) -> Result<ArrayRef> {
        let indices: UInt32Array = codes.map(|code| code.checked_sub(1)).collect();
        Ok(match self {
            Self::Strings(known, data_type) => cast(&take(&known.interner.strings(), &indices, None)?, data_type)?,
            Self::Integers(known, data_type) => {
                let all = Int64Array::from(known.values.clone());
                cast(&take(&all, &indices, None)?, data_type)?
            }
        })
    }

    /// Bytes allocated, approximately.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Strings(known, _) => {
                let last = known.last.as_ref();
                let last = last.map_or(0, |(strings, codes)| strings.get_array_memory_size() + size_of_val(&codes[..]));
                known.interner.size() + last
            }
            Self::Integers(known, _) => {
                known.values.capacity() * size_of::<i64>() + known.table.capacity() * size_of::<(i64, u32)>()
            }
        }
    }
}

/// Codes of integers.
#[derive(Debug, Clone, Default)]
pub(super) struct IntegerCodes {
    /// The value of each code, less 1.
    values: Vec<i64>,
    /// A hash table with linear probing: value and code, or [`EMPTY`] as code. Its size is a power of two; at most half of
    /// the slots are taken.
    table: Vec<(i64, u32)>,
}

impl IntegerCodes {
    /// Codes from 1; arbitrary where `values` has a NULL. `None` if there are too many distinct values.
    fn encode(&mut self, values: &Int64Array) -> Option<Vec<u32>> {
        let mut codes = Vec::with_capacity(values.len());
        let mut last = (0, EMPTY);
        for (row, &value) in values.values().iter().enumerate() {
            // rows often come in time order, so that a truncated timestamp equals the one before
            if last.1 == EMPTY || last.0 != value {
                if values.is_null(row) {
                    codes.push(0);
                    continue;
                }
                last = (value, self.code(value)?);
            }
            codes.push(last.1);
        }
        Some(codes)
    }

    /// The code of a value, which is added if it is new; `None` if there are too many.
    fn code(&mut self, value: i64) -> Option<u32> {
        if !self.table.is_empty() {
            let known = self.table[self.slot(value)].1;
            if known != EMPTY {
                return Some(known);
            }
        }
        if self.values.len() >= MAX_INTEGERS {
            return None;
        }
        self.values.push(value);
        if self.table.len() < 2 * self.values.len() {
            self.table = vec![(0, EMPTY); (4 * self.values.len()).next_power_of_two()];
            for index in 0..self.values.len() {
                self.insert(index);
            }
        } else {
            self.insert(self.values.len() - 1);
        }
        Some(self.values.len() as u32)
    }

    fn insert(&mut self, index: usize) {
        let value = self.values[index];
        let slot = self.slot(value);
        self.table[slot] = (value, index as u32 + 1);
    }

    /// The slot that has the value, or the empty one where it belongs.
    fn slot(&self, value: i64) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = ((value as u64).wrapping_mul(ODD) >> 32) as usize & mask;
        while self.table[slot].1 != EMPTY && self.table[slot].0 != value {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

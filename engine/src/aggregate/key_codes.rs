//! The values of a key as small numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::Result;

use super::group_table::NONE;
use crate::kernels::hash::ODD;
use crate::kernels::string_interner::StringInterner;

/// The most different numbers of a key.
const MOST: usize = 1 << 14;

/// The values of one key seen so far: 0 is NULL, the others count from 1.
#[derive(Debug, Clone)]
pub(super) enum KeyCodes {
    Strings(StringCodes, DataType),
    Integers(IntegerCodes, DataType),
}

/// StringCodes, and the numbers of the dictionary that came last.
#[derive(Debug, Clone, Default)]
pub(super) struct StringCodes {
    interner: Box<StringInterner>,
    last: Option<(ArrayRef, Vec<u32>)>,
}

impl StringCodes {
    /// IntegerCodes from 1; where `values` has a NULL, any. `None` when there are too many different ones.
    fn numbers(&mut self, values: &ArrayRef) -> Result<Option<Vec<u32>>> {
        let Some(dictionary) = values.as_dictionary_opt::<Int32Type>() else {
            let numbers = self.interner.numbers(values.as_string_view())?;
            return Ok(numbers.map(|numbers| numbers.values().iter().map(|&number| u32::from(number) + 1).collect()));
        };
        let texts = dictionary.values();
        let is_last = |(last, _): &(ArrayRef, _)| last.to_data().ptr_eq(&texts.to_data());
        if !self.last.as_ref().is_some_and(is_last) {
            let views = cast(texts, &DataType::Utf8View)?;
            let Some(numbers) = self.interner.numbers(views.as_string_view())? else { return Ok(None) };
            let numbers = numbers.iter().map(|number| number.map_or(0, |number| u32::from(number) + 1));
            self.last = Some((Arc::clone(texts), numbers.collect()));
        }
        let known = self.last.as_ref().map_or(&[][..], |(_, numbers)| numbers);
        // what stands where there is no text is any number
        let number = |&place: &i32| known.get(place as usize).copied().unwrap_or_default();
        Ok(Some(dictionary.keys().values().iter().map(number).collect()))
    }
}

impl KeyCodes {
    /// No values yet; `None` for a type whose values can have no numbers.
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Utf8View => Some(Self::Strings(StringCodes::default(), data_type.clone())),
            DataType::Dictionary(places, texts) => (**places == DataType::Int32 && texts.is_string())
                .then(|| Self::Strings(StringCodes::default(), data_type.clone())),
            // beyond 64 bits with a sign
            DataType::UInt64 => None,
            DataType::Boolean | DataType::Date32 | DataType::Timestamp(..) => Some(Self::of_numbers(data_type)),
            other => other.is_integer().then(|| Self::of_numbers(other)),
        }
    }

    fn of_numbers(data_type: &DataType) -> Self {
        Self::Integers(IntegerCodes::default(), data_type.clone())
    }

    /// The numbers of values; `None` when there are too many different ones.
    ///
    /// # Errors
    /// Those of hashing and casts.
    pub(super) fn numbers(&mut self, values: &ArrayRef) -> Result<Option<Vec<u32>>> {
        let nulls = values.nulls();
        let mut numbers = match self {
            Self::Strings(known, _) => match known.numbers(values)? {
                Some(numbers) => numbers,
                None => return Ok(None),
            },
            Self::Integers(known, _) => {
                match known.numbers(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>()) {
                    Some(numbers) => numbers,
                    None => return Ok(None),
                }
            }
        };
        if let Some(nulls) = nulls {
            numbers.iter_mut().zip(nulls).filter(|(_, is_known)| !is_known).for_each(|(number, _)| *number = 0);
        }
        Ok(Some(numbers))
    }

    /// How many bits the numbers take.
    pub(super) fn width(&self) -> u32 {
        let most = match self {
            Self::Strings(known, _) => known.interner.len(),
            Self::Integers(known, _) => known.values.len(),
        };
        usize::BITS - most.leading_zeros()
    }

    /// The values of numbers.
    ///
    /// # Errors
    /// None for numbers that were given.
    pub(super) fn values(&self, numbers: impl Iterator<Item = u32>) -> Result<ArrayRef> {
        let places: UInt32Array = numbers.map(|number| number.checked_sub(1)).collect();
        Ok(match self {
            Self::Strings(known, data_type) => cast(&take(&known.interner.texts(), &places, None)?, data_type)?,
            Self::Integers(known, data_type) => {
                let all = Int64Array::from(known.values.clone());
                cast(&take(&all, &places, None)?, data_type)?
            }
        })
    }

    /// About the memory that is held.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Strings(known, _) => {
                let last = known.last.as_ref();
                let last = last.map_or(0, |(texts, numbers)| texts.get_array_memory_size() + size_of_val(&numbers[..]));
                known.interner.size() + last
            }
            Self::Integers(known, _) => {
                known.values.capacity() * size_of::<i64>() + known.table.capacity() * size_of::<(i64, u32)>()
            }
        }
    }
}

/// Whole numbers, each with its place in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(super) struct IntegerCodes {
    values: Vec<i64>,
    /// Of each place, the value and its number, or [`NONE`]. A power of two, at most half full.
    table: Vec<(i64, u32)>,
}

impl IntegerCodes {
    /// IntegerCodes from 1; where `values` has a NULL, any. `None` when there are too many different ones.
    fn numbers(&mut self, values: &Int64Array) -> Option<Vec<u32>> {
        let mut numbers = Vec::with_capacity(values.len());
        let mut last = (0, NONE);
        for (row, &value) in values.values().iter().enumerate() {
            // rows often come in the order of their time
            if last.1 == NONE || last.0 != value {
                if values.is_null(row) {
                    numbers.push(0);
                    continue;
                }
                last = (value, self.number(value)?);
            }
            numbers.push(last.1);
        }
        Some(numbers)
    }

    fn number(&mut self, value: i64) -> Option<u32> {
        if !self.table.is_empty() {
            let known = self.table[self.place(value)].1;
            if known != NONE {
                return Some(known);
            }
        }
        if self.values.len() >= MOST {
            return None;
        }
        self.values.push(value);
        if self.table.len() < 2 * self.values.len() {
            self.table = vec![(0, NONE); (4 * self.values.len()).next_power_of_two()];
            for number in 0..self.values.len() {
                self.put(number);
            }
        } else {
            self.put(self.values.len() - 1);
        }
        Some(self.values.len() as u32)
    }

    fn put(&mut self, number: usize) {
        let value = self.values[number];
        let place = self.place(value);
        self.table[place] = (value, number as u32 + 1);
    }

    /// Where a value is, or would be.
    fn place(&self, value: i64) -> usize {
        let mask = self.table.len() - 1;
        let mut place = ((value as u64).wrapping_mul(ODD) >> 32) as usize & mask;
        while self.table[place].1 != NONE && self.table[place].0 != value {
            place = (place + 1) & mask;
        }
        place
    }
}

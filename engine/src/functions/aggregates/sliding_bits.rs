//! [`SlidingBits`] and [`SlidingConcat`]: `bool_and`, `bool_or`, `bit_and`, `bit_or`, `bit_xor` and `string_agg` over a sliding
//! frame; [`Count`] for `approx_distinct`, which is exact there.
//!
//! Formula: that of the aggregate over the rows of the frame, in their order.
//! NULL:    skipped; no rows left gives NULL.
//! Cost:    a step per row for bits ([`TwoStacks`]); the strings of the frame for each row.
//! Source:  DataFusion 55.2 cannot take rows out of these, and refuses such frames.

use std::collections::{HashSet, VecDeque};

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;

use super::sliding::TwoStacks;

/// How bits are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BitOperation {
    And,
    Or,
    Xor,
}

impl BitOperation {
    /// The operation of an aggregate function of DataFusion.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "bool_and" | "bit_and" => Some(Self::And),
            "bool_or" | "bit_or" => Some(Self::Or),
            "bit_xor" => Some(Self::Xor),
            _ => None,
        }
    }
}

fn column(values: &[ArrayRef]) -> Result<&ArrayRef> {
    match values.first() {
        Some(values) => Ok(values),
        None => internal_err!("an aggregate of no column"),
    }
}

/// An aggregate of bits over a sliding frame.
#[derive(Debug)]
pub(crate) struct SlidingBits {
    values: TwoStacks<u64>,
    data_type: DataType,
}

impl SlidingBits {
    pub(crate) fn new(operation: BitOperation, data_type: DataType) -> Self {
        let merge: fn(u64, u64) -> u64 = match operation {
            BitOperation::And => |left, right| left & right,
            BitOperation::Or => |left, right| left | right,
            BitOperation::Xor => |left, right| left ^ right,
        };
        Self { values: TwoStacks::new(merge), data_type }
    }
}

impl Accumulator for SlidingBits {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = column(values)?;
        if *values.data_type() == DataType::UInt64 {
            values.as_primitive::<UInt64Type>().iter().flatten().for_each(|value| self.values.push(value));
        } else {
            // with the sign in all higher bits
            let values = cast(values, &DataType::Int64)?;
            values.as_primitive::<Int64Type>().iter().flatten().for_each(|value| self.values.push(value as u64));
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = column(values)?;
        (0..values.len() - values.null_count()).for_each(|_| self.values.pop());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total = self.values.total();
        match &self.data_type {
            DataType::Boolean => Ok(ScalarValue::Boolean(total.map(|total| total != 0))),
            DataType::UInt64 => Ok(ScalarValue::UInt64(total)),
            other => ScalarValue::Int64(total.map(|total| total as i64)).cast_to(other),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a sliding aggregate has no state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a sliding aggregate has no state")
    }
}

/// `string_agg` over a sliding frame.
#[derive(Debug)]
pub(crate) struct SlidingConcat {
    strings: VecDeque<String>,
    bytes: usize,
    delimiter: String,
    is_distinct: bool,
    data_type: DataType,
}

impl SlidingConcat {
    pub(crate) fn new(delimiter: String, is_distinct: bool, data_type: DataType) -> Self {
        Self { strings: VecDeque::new(), bytes: 0, delimiter, is_distinct, data_type }
    }
}

impl Accumulator for SlidingConcat {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let strings = cast(column(values)?, &DataType::LargeUtf8)?;
        for string in strings.as_string::<i64>().iter().flatten() {
            self.bytes += string.len();
            self.strings.push_back(string.to_string());
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = column(values)?;
        for _ in 0..values.len() - values.null_count() {
            self.bytes -= self.strings.pop_front().map_or(0, |string| string.len());
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut seen = HashSet::new();
        let strings = self.strings.iter().map(String::as_str);
        let strings: Vec<&str> = strings.filter(|string| !self.is_distinct || seen.insert(*string)).collect();
        let joined = (!strings.is_empty()).then(|| strings.join(&self.delimiter));
        ScalarValue::LargeUtf8(joined).cast_to(&self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.delimiter.capacity() + self.strings.capacity() * size_of::<String>() + self.bytes
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a sliding aggregate has no state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a sliding aggregate has no state")
    }
}

/// The number of values, of which [`SlidingDistinct`](super::sliding_distinct::SlidingDistinct) hands over the distinct ones.
#[derive(Debug, Default)]
pub(crate) struct Count(i64);

impl Accumulator for Count {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 += column(values)?.len() as i64;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 -= column(values)?.len() as i64;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(self.0)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a sliding aggregate has no state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a sliding aggregate has no state")
    }
}

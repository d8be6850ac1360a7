//! [`ConcatGroups`]: `string_agg` of many groups that accounts for what its strings have allocated.
//!
//! One string has at most [`MAX_STRING`] bytes, also without groups ([`ConcatAccumulator`]): partial results, their merge and
//! the result are further copies, which nothing counts.
//!
//! DataFusion's accumulator counts the bytes of its strings, which have up to twice as many allocated. Here a string grows by half
//! at most, and by an eighth once it is long.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeStringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::expressions::Literal;

/// From this length on a string grows by an eighth.
const LONG_BYTES: usize = 1 << 16;

/// Maximum bytes of a string.
const MAX_STRING: usize = 64 << 20;

fn check_length(length: usize) -> Result<()> {
    if length > MAX_STRING {
        return exec_err!(
            "string_agg: a string of more than {} MB; aggregate fewer rows, or write the rows themselves to a file",
            MAX_STRING >> 20
        );
    }
    Ok(())
}

/// `string_agg` without groups; the states are those of DataFusion's accumulator.
#[derive(Debug)]
pub(crate) struct ConcatAccumulator {
    inner: Box<dyn Accumulator>,
    delimiter_bytes: usize,
    /// Bytes of all values and the delimiters between them.
    length: usize,
}

impl ConcatAccumulator {
    pub(crate) fn new(inner: Box<dyn Accumulator>, delimiter_bytes: usize) -> Self {
        Self { inner, delimiter_bytes, length: 0 }
    }

    fn count(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        let bytes: usize = match values.data_type() {
            DataType::Utf8 => values.as_string::<i32>().iter().flatten().map(str::len).sum(),
            DataType::LargeUtf8 => values.as_string::<i64>().iter().flatten().map(str::len).sum(),
            DataType::Utf8View => values.as_string_view().iter().flatten().map(str::len).sum(),
            // lists of values
            _ => values.to_data().get_slice_memory_size()?,
        };
        self.length += bytes + (values.len() - values.null_count()) * self.delimiter_bytes;
        check_length(self.length)
    }
}

impl Accumulator for ConcatAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count(values)?;
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count(states)?;
        self.inner.merge_batch(states)
    }
}

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct ConcatGroups {
    delimiter: String,
    /// The string of each group; `None` without values.
    strings: Vec<Option<String>>,
    /// Bytes that the strings have allocated.
    allocated: usize,
}

/// The delimiter of a call of `string_agg`; `None` for one that DataFusion refuses.
pub(super) fn delimiter(args: &AccumulatorArgs) -> Option<String> {
    let delimiter = args.exprs.get(1)?.downcast_ref::<Literal>()?.value();
    if delimiter.is_null() { Some(String::new()) } else { Some(delimiter.try_as_str()??.to_string()) }
}

impl ConcatGroups {
    /// The accumulator of a call; `None` for a delimiter that DataFusion refuses.
    pub(crate) fn of(args: &AccumulatorArgs) -> Option<Self> {
        Some(Self { delimiter: delimiter(args)?, strings: vec![], allocated: 0 })
    }

    fn append(&mut self, group: usize, value: &str) -> Result<()> {
        let Some(string) = self.strings.get_mut(group) else { return Ok(()) };
        check_length(string.as_ref().map_or(0, |string| string.len() + self.delimiter.len()) + value.len())?;
        let before = string.as_ref().map_or(0, String::capacity);
        match string {
            None => *string = Some(value.to_string()),
            Some(string) => {
                let added = self.delimiter.len() + value.len();
                if string.capacity() - string.len() < added {
                    let spare = if string.len() < LONG_BYTES { string.len() / 2 } else { string.len() / 8 };
                    string.reserve_exact(added.max(spare));
                }
                string.push_str(&self.delimiter);
                string.push_str(value);
            }
        }
        self.allocated += string.as_ref().map_or(0, String::capacity) - before;
        Ok(())
    }
}

impl GroupsAccumulator for ConcatGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        opt_filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.strings.resize(count, None);
        let Some(values) = values.first() else { return internal_err!("string_agg without values") };
        let is_kept = |row: usize| {
            values.is_valid(row) && opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
        };
        let mut rows = groups.iter().enumerate().filter(|(row, _)| is_kept(*row));
        match values.data_type() {
            DataType::Utf8 => {
                rows.try_for_each(|(row, group)| self.append(*group, values.as_string::<i32>().value(row)))
            }
            DataType::LargeUtf8 => {
                rows.try_for_each(|(row, group)| self.append(*group, values.as_string::<i64>().value(row)))
            }
            DataType::Utf8View => {
                rows.try_for_each(|(row, group)| self.append(*group, values.as_string_view().value(row)))
            }
            other => internal_err!("string_agg of {other}"),
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let strings = emit_to.take_needed(&mut self.strings);
        self.allocated -= strings.iter().flatten().map(String::capacity).sum::<usize>();
        Ok(Arc::new(strings.into_iter().collect::<LargeStringArray>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.update_batch(states, groups, None, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(values) = values.first() else { return internal_err!("string_agg without values") };
        let strings = cast(values, &DataType::LargeUtf8)?;
        let Some(filter) = opt_filter else { return Ok(vec![strings]) };
        let is_left_out: BooleanArray =
            (0..filter.len()).map(|row| Some(!(filter.is_valid(row) && filter.value(row)))).collect();
        Ok(vec![datafusion::arrow::compute::nullif(&strings, &is_left_out)?])
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.delimiter.capacity()
            + self.strings.capacity() * size_of::<Option<String>>()
            + self.allocated
    }
}

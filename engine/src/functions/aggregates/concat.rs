//! [`ConcatGroups`]: `string_agg` of many groups that accounts for what its strings have allocated.
//!
//! DataFusion's accumulator counts the bytes of its strings, which have up to twice as many allocated. Here a string grows by half
//! at most, and by an eighth once it is long.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeStringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::expressions::Literal;

/// From this length on a string grows by an eighth.
const LONG_BYTES: usize = 1 << 16;

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

    fn append(&mut self, group: usize, value: &str) {
        let Some(string) = self.strings.get_mut(group) else { return };
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
        let rows = groups.iter().enumerate().filter(|(row, _)| is_kept(*row));
        match values.data_type() {
            DataType::Utf8 => rows.for_each(|(row, group)| self.append(*group, values.as_string::<i32>().value(row))),
            DataType::LargeUtf8 => {
                rows.for_each(|(row, group)| self.append(*group, values.as_string::<i64>().value(row)));
            }
            DataType::Utf8View => rows.for_each(|(row, group)| self.append(*group, values.as_string_view().value(row))),
            other => return internal_err!("string_agg of {other}"),
        }
        Ok(())
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

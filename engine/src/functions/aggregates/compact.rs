//! [`CompactGroups`]: `array_agg` that keeps the rows of its groups only.
//!
//! DataFusion's accumulator keeps the columns as they come: rows that a FILTER leaves out, buffers of string views, which hold a
//! whole page of a Parquet file for one string, and the values of the lists of all groups for a slice of these. It accounts for
//! none of the three. Here the rows are copied before it gets them, so that what it reports is what it keeps.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::filter;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

/// See the page of this module.
pub(crate) struct CompactGroups {
    inner: Box<dyn GroupsAccumulator>,
    /// Bytes of the buffers of string views in `inner`, which it does not count.
    view_bytes: usize,
}

impl fmt::Debug for CompactGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactGroups").field("view_bytes", &self.view_bytes).finish_non_exhaustive()
    }
}

impl CompactGroups {
    pub(crate) fn new(inner: Box<dyn GroupsAccumulator>) -> Self {
        Self { inner, view_bytes: 0 }
    }

    /// Adds lists, whose values become the only ones that their array has.
    fn merge_lists(&mut self, lists: &ListArray, groups: &[usize], count: usize) -> Result<()> {
        let offsets = lists.offsets();
        let start = offsets.first().copied().unwrap_or_default();
        let end = offsets.last().copied().unwrap_or_default();
        let (values, bytes) = compacted(&lists.values().slice(start as usize, (end - start) as usize));
        let offsets = OffsetBuffer::from_lengths(offsets.lengths());
        let DataType::List(field) = lists.data_type() else { return internal_err!("lists of {}", lists.data_type()) };
        let lists = ListArray::try_new(Arc::clone(field), offsets, values, lists.nulls().cloned())?;
        self.view_bytes += bytes;
        self.inner.merge_batch(&[Arc::new(lists)], groups, count)
    }
}

impl GroupsAccumulator for CompactGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        opt_filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let [values] = values else { return internal_err!("array_agg of {} columns", values.len()) };
        let Some(condition) = opt_filter else {
            let (values, bytes) = compacted(values);
            self.view_bytes += bytes;
            return self.inner.update_batch(&[values], groups, None, count);
        };
        let (kept, bytes) = compacted(&filter(values, condition)?);
        let is_kept = |row: usize| condition.is_valid(row) && condition.value(row);
        let groups: Vec<usize> =
            groups.iter().enumerate().filter(|(row, _)| is_kept(*row)).map(|(_, group)| *group).collect();
        self.view_bytes += bytes;
        self.inner.update_batch(&[kept], &groups, None, count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.view_bytes = 0;
        let lists = self.inner.evaluate(EmitTo::All)?;
        let count = match emit_to {
            EmitTo::First(count) if count < lists.len() => count,
            _ => return Ok(lists),
        };
        let rest = lists.slice(count, lists.len() - count);
        let groups: Vec<usize> = (0..rest.len()).collect();
        self.merge_lists(rest.as_list(), &groups, groups.len())?;
        Ok(lists.slice(0, count))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        match states {
            [lists] => self.merge_lists(lists.as_list(), groups, count),
            _ => internal_err!("array_agg of {} states", states.len()),
        }
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size() + self.view_bytes
    }
}

/// A copy of an array of views that shares no buffers, with the bytes of its buffers; other arrays as they are.
pub(crate) fn compacted(values: &ArrayRef) -> (ArrayRef, usize) {
    let bytes = |buffers: &[datafusion::arrow::buffer::Buffer]| buffers.iter().map(|buffer| buffer.capacity()).sum();
    if let Some(strings) = values.as_string_view_opt() {
        let strings = strings.gc();
        let bytes = bytes(strings.data_buffers());
        return (Arc::new(strings), bytes);
    }
    if let Some(binaries) = values.as_binary_view_opt() {
        let binaries = binaries.gc();
        let bytes = bytes(binaries.data_buffers());
        return (Arc::new(binaries), bytes);
    }
    (Arc::clone(values), 0)
}

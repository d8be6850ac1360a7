//! [`OrderedGroups`]: `array_agg` and `string_agg` with ORDER BY of many groups.
//!
//! DataFusion sorts and merges boxed values, one accumulator for each group. Here the rows of all groups are kept in columns, and
//! sorted by group and key once, when results are asked for. Equal keys stay in the order in which they came.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::DynComparator;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, LargeStringBuilder, ListArray, StructArray, UInt32Array, make_comparator,
    new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{SortOptions, and, cast, concat, filter, is_not_null, take};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalSortExpr;

use super::compact::compacted;
use super::concat::delimiter;

/// What becomes of the sorted values of a group.
#[derive(Debug)]
enum Output {
    List,
    Text { delimiter: String },
}

/// Rows of some groups.
struct Rows {
    groups: Vec<u32>,
    values: ArrayRef,
    keys: Vec<ArrayRef>,
}

impl Rows {
    fn size(&self) -> usize {
        let columns = std::iter::once(&self.values).chain(&self.keys);
        self.groups.capacity() * size_of::<u32>() + columns.map(|column| column.get_array_memory_size()).sum::<usize>()
    }
}

/// See the page of this module.
pub(crate) struct OrderedGroups {
    output: Output,
    value_type: DataType,
    /// The fields of the keys in the state.
    key_fields: Fields,
    options: Vec<SortOptions>,
    /// Whether NULL is no value.
    skips_null: bool,
    group_count: usize,
    rows: Vec<Rows>,
    /// Bytes of `rows`.
    allocated: usize,
}

impl fmt::Debug for OrderedGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = (&self.output, &self.value_type, self.group_count, self.allocated);
        f.debug_tuple("OrderedGroups").field(&fields).finish()
    }
}

/// The rows of all groups, those of a group together and in order.
struct Sorted {
    values: ArrayRef,
    keys: Vec<ArrayRef>,
    /// Where the rows of each group begin, and the end.
    starts: Vec<usize>,
}

impl OrderedGroups {
    /// Whether a call is computed here.
    pub(crate) fn is_for(args: &AccumulatorArgs) -> bool {
        !args.is_distinct && !args.order_bys.is_empty() && !args.is_reversed
    }

    /// The accumulator of `array_agg(x order by ...)`.
    ///
    /// # Errors
    /// A call that has no type.
    pub(crate) fn list(args: &AccumulatorArgs) -> Result<Self> {
        let skips_null = args.ignore_nulls;
        Self::new(args, Output::List, skips_null)
    }

    /// The accumulator of `string_agg(x, delimiter order by ...)`; `None` for a delimiter that DataFusion refuses.
    ///
    /// # Errors
    /// A call that has no type.
    pub(crate) fn text(args: &AccumulatorArgs) -> Result<Option<Self>> {
        let Some(delimiter) = delimiter(args) else { return Ok(None) };
        // NULL is no part of the text, but a group of NULLs alone is NULL like one without rows
        Self::new(args, Output::Text { delimiter }, true).map(Some)
    }

    fn new(args: &AccumulatorArgs, output: Output, skips_null: bool) -> Result<Self> {
        let Some(value) = args.expr_fields.first() else { return internal_err!("{} without values", args.name) };
        // the names are those of `state_fields`
        let key =
            |order: &PhysicalSortExpr| Ok(Field::new(order.expr.to_string(), order.expr.data_type(args.schema)?, true));
        Ok(Self {
            output,
            value_type: value.data_type().clone(),
            key_fields: args.order_bys.iter().map(key).collect::<Result<_>>()?,
            options: args.order_bys.iter().map(|order| order.options).collect(),
            skips_null,
            group_count: 0,
            rows: vec![],
            allocated: 0,
        })
    }

    /// The values and the keys of the arguments of a call.
    fn columns(&self, arguments: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let (Some(values), Some(keys)) = (arguments.first(), arguments.len().checked_sub(self.key_fields.len())) else {
            return internal_err!("ordered lists of {} columns", arguments.len());
        };
        let values = match values.data_type() == &self.value_type {
            true => Arc::clone(values),
            false => cast(values, &self.value_type)?,
        };
        Ok(std::iter::once(values).chain(arguments[keys..].iter().cloned()).collect())
    }

    /// Which rows are kept; `None` for all.
    fn condition(&self, values: &ArrayRef, filter: Option<&BooleanArray>) -> Result<Option<BooleanArray>> {
        if !self.skips_null {
            return Ok(filter.cloned());
        }
        let is_value = is_not_null(values)?;
        Ok(Some(match filter {
            Some(filter) => and(filter, &is_value)?,
            None => is_value,
        }))
    }

    /// Keeps rows; `columns` are the values and the keys.
    fn push(&mut self, groups: Vec<u32>, columns: Vec<ArrayRef>) {
        let mut columns = columns.into_iter().map(|column| owned(&column));
        let Some(values) = columns.next() else { return };
        let rows = Rows { groups, values, keys: columns.collect() };
        if !rows.groups.is_empty() {
            self.allocated += rows.size();
            self.rows.push(rows);
        }
    }

    /// All rows in order; none are kept.
    fn sorted(&mut self) -> Result<Sorted> {
        let rows = std::mem::take(&mut self.rows);
        self.allocated = 0;
        if rows.is_empty() {
            let keys = self.key_fields.iter().map(|field| new_null_array(field.data_type(), 0)).collect();
            return Ok(Sorted {
                values: new_null_array(&self.value_type, 0),
                keys,
                starts: vec![0; self.group_count + 1],
            });
        }
        let count: usize = rows.iter().map(|rows| rows.groups.len()).sum();
        // lists have 32-bit offsets
        if i32::try_from(count).is_err() {
            return exec_err!("lists of {count} values are too long for one result: group by more columns, or filter");
        }
        let mut starts = vec![0; self.group_count + 1];
        rows.iter().flat_map(|rows| &rows.groups).for_each(|group| starts[*group as usize + 1] += 1);
        for group in 0..self.group_count {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut order = vec![0_u32; count];
        for (row, group) in rows.iter().flat_map(|rows| &rows.groups).enumerate() {
            let place = &mut next[*group as usize];
            // `count` fits
            order[*place] = row as u32;
            *place += 1;
        }
        drop(next);
        let column = |of: &dyn Fn(&Rows) -> &ArrayRef| -> Result<ArrayRef> {
            let arrays: Vec<&dyn Array> = rows.iter().map(|rows| of(rows).as_ref()).collect();
            Ok(concat(&arrays)?)
        };
        let values = column(&|rows| &rows.values)?;
        let keys = (0..self.key_fields.len()).map(|key| column(&|rows| &rows.keys[key])).collect::<Result<Vec<_>>>()?;
        drop(rows);
        let comparators = keys
            .iter()
            .zip(&self.options)
            .map(|(key, options)| Ok(make_comparator(key, key, *options)?))
            .collect::<Result<Vec<DynComparator>>>()?;
        let compare = |left: &u32, right: &u32| {
            comparators
                .iter()
                .map(|compare| compare(*left as usize, *right as usize))
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        };
        for bounds in starts.windows(2) {
            order[bounds[0]..bounds[1]].sort_by(compare);
        }
        let order = UInt32Array::from(order);
        let values = take(&values, &order, None)?;
        let keys = keys.iter().map(|key| Ok(take(key, &order, None)?)).collect::<Result<_>>()?;
        Ok(Sorted { values, keys, starts })
    }

    /// The rows of the groups that are emitted, in order; those of the others are kept.
    fn emitted(&mut self, emit_to: EmitTo) -> Result<Sorted> {
        let Sorted { values, keys, mut starts } = self.sorted()?;
        let groups = match emit_to {
            EmitTo::All => self.group_count,
            EmitTo::First(count) => count.min(self.group_count),
        };
        let end = starts[groups];
        self.group_count -= groups;
        if end < values.len() {
            let rest = |column: &ArrayRef| column.slice(end, values.len() - end);
            let kept = starts[groups..].windows(2).enumerate();
            let kept =
                kept.flat_map(|(group, bounds)| std::iter::repeat_n(group as u32, bounds[1] - bounds[0])).collect();
            self.push(kept, std::iter::once(&values).chain(&keys).map(rest).collect());
        }
        starts.truncate(groups + 1);
        let keys = keys.iter().map(|key| key.slice(0, end)).collect();
        Ok(Sorted { values: values.slice(0, end), keys, starts })
    }

    fn lists(values: ArrayRef, starts: &[usize], are_null: bool) -> Result<ArrayRef> {
        let lengths = || starts.windows(2).map(|bounds| bounds[1] - bounds[0]);
        let nulls = are_null.then(|| lengths().map(|length| length > 0).collect::<NullBuffer>());
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths()), values, nulls)?))
    }
}

/// A group's number as it is kept.
fn small(group: usize) -> Result<u32> {
    match u32::try_from(group) {
        Ok(group) => Ok(group),
        Err(_) => exec_err!("more than {} groups", u32::MAX),
    }
}

/// A copy of an array that is a small part of its buffers, else the array.
fn owned(array: &ArrayRef) -> ArrayRef {
    let (array, _) = compacted(array);
    let needed = array.to_data().get_slice_memory_size().unwrap_or(usize::MAX);
    if array.get_array_memory_size() / 2 <= needed.max(1 << 12) {
        return array;
    }
    match u32::try_from(array.len()).map(|length| take(&array, &UInt32Array::from_iter_values(0..length), None)) {
        Ok(Ok(copy)) => copy,
        _ => array,
    }
}

impl GroupsAccumulator for OrderedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        opt_filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.group_count = self.group_count.max(count);
        let mut columns = self.columns(values)?;
        let mut groups = groups.iter().map(|group| small(*group)).collect::<Result<Vec<_>>>()?;
        if let Some(condition) = self.condition(&columns[0], opt_filter)? {
            columns = columns.iter().map(|column| Ok(filter(column, &condition)?)).collect::<Result<_>>()?;
            let mut rows = 0..condition.len();
            groups.retain(|_| rows.next().is_some_and(|row| condition.is_valid(row) && condition.value(row)));
        }
        self.push(groups, columns);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let Sorted { values, starts, .. } = self.emitted(emit_to)?;
        let Output::Text { delimiter } = &self.output else { return Self::lists(values, &starts, true) };
        let values = cast(&values, &DataType::LargeUtf8)?;
        let values = values.as_string::<i64>();
        let mut texts = LargeStringBuilder::with_capacity(starts.len() - 1, values.values().len());
        let mut text = String::new();
        for bounds in starts.windows(2) {
            if bounds[0] == bounds[1] {
                texts.append_null();
                continue;
            }
            text.clear();
            for row in bounds[0]..bounds[1] {
                text.push_str(if row > bounds[0] { delimiter } else { "" });
                text.push_str(values.value(row));
            }
            texts.append_value(&text);
        }
        Ok(Arc::new(texts.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let Sorted { values, keys, starts } = self.emitted(emit_to)?;
        let keys: ArrayRef = Arc::new(StructArray::try_new(self.key_fields.clone(), keys, None)?);
        Ok(vec![Self::lists(values, &starts, true)?, Self::lists(keys, &starts, false)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.group_count = self.group_count.max(count);
        let [values, keys] = states else { return internal_err!("ordered lists of {} states", states.len()) };
        let (values, keys) = (values.as_list::<i32>(), keys.as_list::<i32>());
        let part = |lists: &ListArray| {
            let (start, end) = (lists.offsets()[0] as usize, lists.offsets()[lists.len()] as usize);
            lists.values().slice(start, end - start)
        };
        let mut rows = vec![];
        for (list, group) in groups.iter().enumerate() {
            rows.extend(std::iter::repeat_n(small(*group)?, values.value_length(list) as usize));
        }
        let columns: Vec<ArrayRef> =
            std::iter::once(part(values)).chain(part(keys).as_struct().columns().iter().cloned()).collect();
        if columns.iter().any(|column| column.len() != rows.len()) {
            return internal_err!("lists and keys of different lengths");
        }
        self.push(rows, columns);
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.columns(values)?;
        let count = columns[0].len();
        let condition = self.condition(&columns[0], opt_filter)?;
        let mut starts: Vec<usize> = (0..=count).collect();
        if let Some(condition) = condition {
            columns = columns.iter().map(|column| Ok(filter(column, &condition)?)).collect::<Result<_>>()?;
            for row in 0..count {
                starts[row + 1] = starts[row] + usize::from(condition.is_valid(row) && condition.value(row));
            }
        }
        let values = columns.remove(0);
        let keys: ArrayRef = Arc::new(StructArray::try_new(self.key_fields.clone(), columns, None)?);
        Ok(vec![Self::lists(values, &starts, true)?, Self::lists(keys, &starts, false)?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * size_of::<Rows>() + self.allocated
    }
}

//! `mode(x)`: the most frequent value, also as `mode() within group (order by x)`.
//!
//! Formula: the value with the most rows; of several the smallest, or with `order by x desc` the largest.
//! Units:   those of x, which is of any type that has an order.
//! NULL:    a row with a NULL x is skipped; no rows left gives NULL.
//! Edges:   DISTINCT is refused: each value would be as frequent as all others.
//! Source:  PostgreSQL's ordered-set aggregate, which leaves open which of several it returns.
//!
//! The distinct values of all groups are held once, in the row format of Arrow, whose bytes sort as the values do.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, UInt64Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, DocSection, Documentation, EmitTo, Expr, GroupsAccumulator,
    ReversedUDAF, Signature, Volatility,
};

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![Arc::new(AggregateUDF::from(ModeFunction::new()))]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ModeFunction {
    signature: Signature,
}

impl ModeFunction {
    fn new() -> Self {
        let mut signature = Signature::user_defined(Volatility::Immutable);
        signature.parameter_names = Some(vec!["x".to_string()]);
        Self { signature }
    }

    fn groups(args: &AccumulatorArgs) -> Result<ModeGroups> {
        refuse_distinct(args.is_distinct)?;
        let is_descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        ModeGroups::try_new(args.return_field.data_type().clone(), is_descending)
    }
}

fn refuse_distinct(is_distinct: bool) -> Result<()> {
    if is_distinct {
        return plan_err!(
            "mode: DISTINCT is not supported, of distinct values none is the most frequent; leave it out"
        );
    }
    Ok(())
}

impl AggregateUDFImpl for ModeFunction {
    fn name(&self) -> &str {
        "mode"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [x] = arg_types else {
            return plan_err!(
                "mode: takes one argument, got {}; write mode(x) or mode() within group (order by x)",
                arg_types.len()
            );
        };
        let x = match x {
            DataType::Dictionary(_, x) => x.as_ref().clone(),
            x => x.clone(),
        };
        if !RowConverter::supports_fields(&[SortField::new(x.clone())]) {
            return plan_err!("mode: x must have an order, got {x}");
        }
        Ok(vec![x])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        arg_types.first().cloned().ok_or_else(|| internal_datafusion_err!("mode: planned without its argument"))
    }

    fn is_nullable(&self) -> bool {
        true
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        refuse_distinct(args.is_distinct)?;
        let values = Field::new_list_field(args.return_field.data_type().clone(), true);
        let counts = Field::new_list_field(DataType::Int64, true);
        Ok(vec![
            Arc::new(Field::new_list(format_state_name(args.name, "values"), values, true)),
            Arc::new(Field::new_list(format_state_name(args.name, "counts"), counts, true)),
        ])
    }

    /// Refuses DISTINCT before a rule of the optimizer turns it into groups.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call: AggregateFunction, _| {
            refuse_distinct(call.params.distinct)?;
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(ModeAccumulator { groups: Self::groups(&args)? }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Self::groups(&args)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

/// How often each group has each value.
#[derive(Debug)]
struct ModeGroups {
    data_type: DataType,
    is_descending: bool,
    converter: RowConverter,
    /// The number of each distinct value, which is in the row format.
    numbers: HashMap<Arc<[u8]>, u32>,
    /// The distinct values by their numbers.
    values: Vec<Arc<[u8]>>,
    /// Bytes of the distinct values.
    value_bytes: usize,
    /// Rows of a group with a value, by the number of the value.
    counts: HashMap<(usize, u32), i64>,
    group_count: usize,
}

/// Values of one group, with their counts.
type Counted = Vec<(usize, u32, i64)>;

impl ModeGroups {
    fn try_new(data_type: DataType, is_descending: bool) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self {
            data_type,
            is_descending,
            converter,
            numbers: HashMap::new(),
            values: vec![],
            value_bytes: 0,
            counts: HashMap::new(),
            group_count: 0,
        })
    }

    /// Adds `count` rows of each value to its group; those of NULLs are skipped.
    fn add(&mut self, values: &ArrayRef, counted: impl Iterator<Item = Option<(usize, i64)>>) -> Result<()> {
        let rows = self.converter.convert_columns(&[Arc::clone(values)])?;
        let nulls = values.logical_nulls();
        for (index, (row, counted)) in rows.iter().zip(counted).enumerate() {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(index));
            let (Some((group, count)), false) = (counted, is_null) else { continue };
            let number = match self.numbers.get(row.data()) {
                Some(number) => *number,
                None => {
                    let number = u32::try_from(self.values.len())
                        .map_err(|_| internal_datafusion_err!("mode: more than 2^32 distinct values"))?;
                    let value: Arc<[u8]> = row.data().into();
                    self.value_bytes += value.len();
                    self.values.push(Arc::clone(&value));
                    self.numbers.insert(value, number);
                    number
                }
            };
            *self.counts.entry((group, number)).or_default() += count;
        }
        Ok(())
    }

    /// Adds the states of other accumulators.
    fn merge(&mut self, states: &[ArrayRef], group_indices: &[usize]) -> Result<()> {
        let wrong = || internal_datafusion_err!("mode: its state is not two lists");
        let list = |index: usize| states.get(index).and_then(|column| column.as_list_opt::<i32>()).ok_or_else(wrong);
        let (values, counts) = (list(0)?, list(1)?);
        for (row, group) in group_indices.iter().enumerate() {
            let counts = counts.value(row);
            let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            self.add(&values.value(row), counts.values().iter().map(|count| Some((*group, *count))))?;
        }
        Ok(())
    }

    /// Removes and returns the counts of the groups to emit, ordered by group and value. Other groups move to the front.
    fn emitted(&mut self, emit_to: EmitTo) -> (usize, Counted) {
        let emitted_count = match emit_to {
            EmitTo::All => self.group_count,
            EmitTo::First(count) => count.min(self.group_count),
        };
        let mut emitted = Vec::with_capacity(self.counts.len());
        let mut rest = HashMap::new();
        for ((group, number), count) in self.counts.drain().filter(|(_, count)| *count > 0) {
            if group < emitted_count {
                emitted.push((group, number, count));
            } else {
                rest.insert((group - emitted_count, number), count);
            }
        }
        self.counts = rest;
        self.group_count -= emitted_count;
        self.sort(&mut emitted);
        (emitted_count, emitted)
    }

    fn sort(&self, counted: &mut Counted) {
        let value = |number: u32| self.values.get(number as usize);
        counted.sort_unstable_by(|(one, a, _), (other, b, _)| one.cmp(other).then_with(|| value(*a).cmp(&value(*b))));
    }

    /// The values with these numbers.
    fn values_of(&self, numbers: impl Iterator<Item = u32>) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let values = numbers.filter_map(|number| self.values.get(number as usize));
        let columns = self.converter.convert_rows(values.map(|value| parser.parse(value)))?;
        let values = columns.into_iter().next();
        let values = values.ok_or_else(|| internal_datafusion_err!("mode: rows without a column"))?;
        Ok(if *values.data_type() == self.data_type { values } else { cast(&values, &self.data_type)? })
    }

    /// The mode of each group. `counted` is ordered by group and value.
    fn modes(&self, group_count: usize, counted: &Counted) -> Result<ArrayRef> {
        let mut modes: Vec<Option<(u32, i64)>> = vec![None; group_count];
        for (group, number, count) in counted {
            let Some(mode) = modes.get_mut(*group) else { continue };
            let is_more = match mode {
                None => true,
                Some((_, most)) if self.is_descending => count >= most,
                Some((_, most)) => count > most,
            };
            if is_more {
                *mode = Some((*number, *count));
            }
        }
        let values = self.values_of(modes.iter().flatten().map(|(number, _)| *number))?;
        let mut next = 0;
        let indices = modes.iter().map(|mode| {
            mode.map(|_| {
                next += 1;
                next - 1
            })
        });
        Ok(take(&values, &indices.collect::<UInt64Array>(), None)?)
    }

    /// The state of each group: its values and their counts.
    fn states(&self, group_count: usize, counted: &Counted) -> Result<Vec<ArrayRef>> {
        let mut lengths = vec![0; group_count];
        for (group, ..) in counted {
            if let Some(length) = lengths.get_mut(*group) {
                *length += 1;
            }
        }
        let values = self.values_of(counted.iter().map(|(_, number, _)| *number))?;
        let counts: Int64Array = counted.iter().map(|(_, _, count)| Some(*count)).collect();
        let list = |values: ArrayRef| -> Result<ArrayRef> {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
            Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
        };
        Ok(vec![list(values)?, list(Arc::new(counts))?])
    }

    fn first(values: &[ArrayRef]) -> Result<&ArrayRef> {
        values.first().ok_or_else(|| internal_datafusion_err!("mode: evaluated without its argument"))
    }
}

impl GroupsAccumulator for ModeGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.group_count = total_num_groups;
        let counted = group_indices.iter().enumerate().map(|(row, group)| {
            let is_kept = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            is_kept.then_some((*group, 1))
        });
        self.add(Self::first(values)?, counted)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.group_count = total_num_groups;
        self.merge(values, group_indices)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (group_count, counted) = self.emitted(emit_to);
        self.modes(group_count, &counted)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (group_count, counted) = self.emitted(emit_to);
        self.states(group_count, &counted)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = Self::first(values)?;
        let mut rows = Self::try_new(self.data_type.clone(), self.is_descending)?;
        let groups: Vec<usize> = (0..values.len()).collect();
        rows.update_batch(&[Arc::clone(values)], &groups, opt_filter, groups.len())?;
        rows.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        // a slot of a hash table has a byte of its own, an Arc two counters
        let numbers = self.numbers.capacity() * (size_of::<(Arc<[u8]>, u32)>() + 1);
        let counts = self.counts.capacity() * (size_of::<((usize, u32), i64)>() + 1);
        size_of_val(self)
            + self.converter.size()
            + numbers
            + counts
            + self.values.capacity() * (size_of::<Arc<[u8]>>() + 2 * size_of::<usize>())
            + self.value_bytes
    }
}

/// One group: a query without GROUP BY, or a window.
#[derive(Debug)]
struct ModeAccumulator {
    groups: ModeGroups,
}

impl ModeAccumulator {
    fn add(&mut self, values: &[ArrayRef], count: i64) -> Result<()> {
        self.groups.add(ModeGroups::first(values)?, std::iter::repeat(Some((0, count))))
    }

    /// The counts, which stay: a window asks again.
    fn counted(&self) -> Counted {
        let counts = self.groups.counts.iter().filter(|(_, count)| **count > 0);
        let mut counted = counts.map(|((group, number), count)| (*group, *number, *count)).collect();
        self.groups.sort(&mut counted);
        counted
    }
}

impl Accumulator for ModeAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.merge(states, &vec![0; states.first().map_or(0, Array::len)])
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.groups.states(1, &self.counted())?;
        states.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.groups.modes(1, &self.counted())?, 0)
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection { include: true, label: "Statistics", description: None },
        "The most frequent value: the usual topic, channel or number of transfers.\n\
         Formula: the value with the most rows; of several the smallest, or with order by x desc the largest.\n\
         Units: any type that has an order in, the same type out.\n\
         NULL: a row with a NULL x is skipped; no rows left gives NULL.\n\
         Edges: also over (..), with any frame. DISTINCT is refused. The distinct values and their counts per group are held in \
         memory.\n\
         Source: PostgreSQL, whose mode() leaves open which of several values it returns; mode(x) is DuckDB's spelling.",
        "mode(x)",
    )
    .with_alternative_syntax("mode() within group (order by x)")
    .with_argument("x", "The values, of any type that has an order.")
    .with_sql_example(
        "```sql
select mode(channel) as mode, mode() within group (order by channel desc) as last_mode
from (values ('chat'), ('phone'), ('email'), ('phone'), ('chat'), (null), (null), (null)) as contacts (channel)
```
```text
+------+-----------+
| mode | last_mode |
+------+-----------+
| chat | phone     |
+------+-----------+
```",
    )
    .build()
});

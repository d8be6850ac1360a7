//! `k_anonymous(x [, k])`: whether every combination of values is shared by at least k rows.
//!
//! Formula: rows are grouped by x; is_anonymous when the smallest group has at least k rows.
//! Units:   x of any type that can be compared, several columns as a struct; a struct of a Boolean and counts out.
//! NULL:    a NULL is a value as any other: rows without a birth year are a group of their own.
//! Edges:   no rows are anonymous, with a reason. DISTINCT is refused.
//! Source:  L. Sweeney, k-anonymity: a model for protecting privacy, 2002.
//!
//! The distinct combinations are held in the row format of Arrow, with their counts.

use std::collections::HashMap;
use std::mem::{size_of, size_of_val};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, ListArray, StringArray, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, DocSection, Documentation, EmitTo, Expr, GroupsAccumulator,
    ReversedUDAF, Signature,
};

use crate::args::{Call, Constants, Kind, Parameter};

const CALL: Call = Call {
    function: "k_anonymous",
    syntax: "k_anonymous(x [, k])",
    // x is of any type: `coerce_types` checks it
    parameters: &[Parameter::column("x", Kind::Number), Parameter::constant("k", Kind::Number)],
    arities: &[1, 2],
};

/// The usual k of published tables.
const DEFAULT_K: i64 = 5;
/// The largest k: integers up to it are exact as Float64.
const LARGEST_K: f64 = 9_007_199_254_740_992.0;

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![Arc::new(AggregateUDF::from(KAnonymous { signature: CALL.signature() }))]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KAnonymous {
    signature: Signature,
}

/// Checks k.
///
/// # Errors
/// A planning error when it is no integer of at least 1.
fn bind(constants: &Constants) -> Result<i64> {
    match constants.number("k")? {
        None => Ok(DEFAULT_K),
        Some(k) if k >= 1.0 && k.fract() == 0.0 && k <= LARGEST_K => Ok(k as i64),
        Some(k) => plan_err!("k_anonymous: k must be an integer of at least 1, got {k}"),
    }
}

fn refuse_distinct(is_distinct: bool) -> Result<()> {
    if is_distinct {
        return plan_err!("k_anonymous: DISTINCT is not supported, it would leave one row of each group; leave it out");
    }
    Ok(())
}

fn result_fields() -> Fields {
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    Fields::from(vec![
        Field::new("is_anonymous", DataType::Boolean, true),
        count("k"),
        count("smallest_count"),
        count("group_count"),
        count("small_group_count"),
        count("small_row_count"),
        count("n"),
        Field::new("reason", DataType::Utf8, true),
    ])
}

impl AggregateUDFImpl for KAnonymous {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [x, rest @ ..] = arg_types else {
            return CALL.coerce(arg_types);
        };
        if !RowConverter::supports_fields(&[SortField::new(x.clone())]) {
            return plan_err!("k_anonymous: x must be of a type that can be compared, got {x}");
        }
        // the number of arguments and the type of k; x stands as a number
        let mut given = vec![DataType::Float64];
        given.extend_from_slice(rest);
        let checked = CALL.coerce(&given)?;
        Ok(std::iter::once(x.clone()).chain(checked.into_iter().skip(1)).collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(result_fields()))
    }

    fn is_nullable(&self) -> bool {
        true
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        refuse_distinct(args.is_distinct)?;
        let list = |name: &str, item: DataType| {
            let item = Field::new_list_field(item, true);
            Arc::new(Field::new_list(format_state_name(args.name, name), item, true))
        };
        Ok(vec![list("values", DataType::Binary), list("counts", DataType::Int64)])
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call: AggregateFunction, _| {
            refuse_distinct(call.params.distinct)?;
            if let Some(constants) = Constants::of_logical(&CALL, &call.params.args)? {
                bind(&constants)?;
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut counts = GroupCounts::of_call(&args)?;
        counts.groups.resize_with(1, HashMap::new);
        Ok(Box::new(counts))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(GroupCounts::of_call(&args)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

/// How often each combination of values is in one group of a query.
type Counts = HashMap<Box<[u8]>, i64>;

/// The answer for one group of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Verdict {
    is_anonymous: bool,
    smallest_count: Option<i64>,
    group_count: i64,
    small_group_count: i64,
    small_row_count: i64,
    n: i64,
}

impl Verdict {
    fn of(counts: impl Iterator<Item = i64>, k: i64) -> Self {
        let mut verdict = Self::default();
        for count in counts.filter(|count| *count > 0) {
            let smallest = verdict.smallest_count.map_or(count, |smallest| smallest.min(count));
            verdict.smallest_count = Some(smallest);
            verdict.group_count += 1;
            verdict.n += count;
            if count < k {
                verdict.small_group_count += 1;
                verdict.small_row_count += count;
            }
        }
        verdict.is_anonymous = verdict.small_group_count == 0;
        verdict
    }

    /// Why the answer is not simply yes.
    fn reason(&self, k: i64) -> Option<String> {
        if self.n == 0 {
            return Some("no rows".to_owned());
        }
        (!self.is_anonymous).then(|| {
            let (small, all) = (self.small_group_count, self.group_count);
            format!("{small} of {all} groups have fewer than {k} rows")
        })
    }
}

#[derive(Debug)]
struct GroupCounts {
    k: i64,
    converter: RowConverter,
    /// The counts of each group of the query.
    groups: Vec<Counts>,
    /// Bytes of the combinations.
    value_bytes: usize,
}

impl GroupCounts {
    fn of_call(args: &AccumulatorArgs) -> Result<Self> {
        refuse_distinct(args.is_distinct)?;
        let k = bind(&Constants::of_physical(&CALL, args.exprs)?)?;
        let x = args.expr_fields.first().ok_or_else(|| internal_datafusion_err!("k_anonymous: planned without x"))?;
        Self::try_new(k, x.data_type().clone())
    }

    fn try_new(k: i64, data_type: DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type)])?;
        Ok(Self { k, converter, groups: vec![], value_bytes: 0 })
    }

    fn add_value(&mut self, group: usize, value: &[u8], count: i64) {
        let Some(counts) = self.groups.get_mut(group) else { return };
        match counts.get_mut(value) {
            Some(known) => *known += count,
            None => {
                self.value_bytes += value.len();
                counts.insert(value.into(), count);
            }
        }
    }

    /// Adds `count` rows of each value to its group; rows without a group are left out.
    fn add(&mut self, values: &[ArrayRef], groups: impl Iterator<Item = Option<usize>>, count: i64) -> Result<()> {
        let x = values.first().ok_or_else(|| internal_datafusion_err!("k_anonymous: evaluated without x"))?;
        let rows = self.converter.convert_columns(&[Arc::clone(x)])?;
        for (row, group) in rows.iter().zip(groups) {
            if let Some(group) = group {
                self.add_value(group, row.data(), count);
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: impl Iterator<Item = usize>) -> Result<()> {
        let wrong = || internal_datafusion_err!("k_anonymous: its state is not two lists");
        let list = |index: usize| states.get(index).and_then(|column| column.as_list_opt::<i32>()).ok_or_else(wrong);
        let (values, counts) = (list(0)?, list(1)?);
        for (row, group) in groups.enumerate().take(values.len()) {
            let (values, counts) = (values.value(row), counts.value(row));
            let values = values.as_binary_opt::<i32>().ok_or_else(wrong)?;
            let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            for (value, count) in values.iter().flatten().zip(counts.values()) {
                self.add_value(group, value, *count);
            }
        }
        Ok(())
    }

    /// Removes the groups to emit; the others move to the front.
    fn emitted(&mut self, emit_to: EmitTo) -> Vec<Counts> {
        let count = match emit_to {
            EmitTo::All => self.groups.len(),
            EmitTo::First(count) => count.min(self.groups.len()),
        };
        let emitted: Vec<Counts> = self.groups.drain(..count).collect();
        let bytes: usize = emitted.iter().flat_map(HashMap::keys).map(|value| value.len()).sum();
        self.value_bytes = self.value_bytes.saturating_sub(bytes);
        emitted
    }

    fn verdicts(&self, groups: &[Counts]) -> Result<ArrayRef> {
        let verdicts: Vec<Verdict> =
            groups.iter().map(|counts| Verdict::of(counts.values().copied(), self.k)).collect();
        let counts = |count: fn(&Verdict) -> Option<i64>| -> ArrayRef {
            Arc::new(verdicts.iter().map(count).collect::<Int64Array>())
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(verdicts.iter().map(|verdict| Some(verdict.is_anonymous)).collect::<BooleanArray>()),
            Arc::new(Int64Array::from(vec![self.k; verdicts.len()])),
            counts(|verdict| verdict.smallest_count),
            counts(|verdict| Some(verdict.group_count)),
            counts(|verdict| Some(verdict.small_group_count)),
            counts(|verdict| Some(verdict.small_row_count)),
            counts(|verdict| Some(verdict.n)),
            Arc::new(verdicts.iter().map(|verdict| verdict.reason(self.k)).collect::<StringArray>()),
        ];
        Ok(Arc::new(StructArray::try_new(result_fields(), columns, None)?))
    }

    fn states(groups: &[Counts]) -> Result<Vec<ArrayRef>> {
        let lengths = || groups.iter().map(HashMap::len);
        let list = |values: ArrayRef| -> Result<ArrayRef> {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths()), values, None)?))
        };
        let values: BinaryArray = groups.iter().flat_map(HashMap::keys).map(|value| Some(value.as_ref())).collect();
        let counts: Int64Array = groups.iter().flat_map(HashMap::values).map(|count| Some(*count)).collect();
        Ok(vec![list(Arc::new(values))?, list(Arc::new(counts))?])
    }

    fn bytes(&self) -> usize {
        // a slot of a hash table has a byte of its own
        let slots: usize = self.groups.iter().map(HashMap::capacity).sum();
        size_of_val(self)
            + self.converter.size()
            + self.groups.capacity() * size_of::<Counts>()
            + slots * (size_of::<(Box<[u8]>, i64)>() + 1)
            + self.value_bytes
    }
}

impl GroupsAccumulator for GroupCounts {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, HashMap::new);
        let groups = group_indices.iter().enumerate().map(|(row, group)| {
            let is_kept = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            is_kept.then_some(*group)
        });
        self.add(values, groups, 1)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, HashMap::new);
        self.merge(values, group_indices.iter().copied())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let emitted = self.emitted(emit_to);
        self.verdicts(&emitted)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let emitted = self.emitted(emit_to);
        Self::states(&emitted)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let x = values.first().ok_or_else(|| internal_datafusion_err!("k_anonymous: evaluated without x"))?;
        let mut rows = Self::try_new(self.k, x.data_type().clone())?;
        let groups: Vec<usize> = (0..x.len()).collect();
        GroupsAccumulator::update_batch(&mut rows, values, &groups, opt_filter, groups.len())?;
        Self::states(&rows.groups)
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

/// One group: a query without GROUP BY, or a window.
impl Accumulator for GroupCounts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, std::iter::repeat(Some(0)), 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, std::iter::repeat(Some(0)), -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge(states, std::iter::repeat(0))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Self::states(&self.groups)?.iter().map(|state| ScalarValue::try_from_array(state, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.verdicts(&self.groups)?, 0)
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection { include: true, label: "Privacy", description: None },
        "Whether every combination of values is shared by at least k rows, so that nobody can be singled out by it.\n\
         Formula: rows are grouped by x. is_anonymous is smallest_count >= k; smallest_count is the rows of the smallest group, \
         small_group_count and small_row_count are the groups with fewer than k rows and their rows.\n\
         Units: a value of any type that can be compared in, several columns as a struct; a struct out: is_anonymous, k, \
         smallest_count, group_count, small_group_count, small_row_count, n, reason.\n\
         NULL: a NULL is a value as any other: rows without a birth year are a group. reason is NULL when is_anonymous.\n\
         Edges: rows are counted, not people: use one row per person. No rows are anonymous, with the reason 'no rows'. Also \
         over (..), with any frame. DISTINCT is refused. Of a result that has counts already, check: contact_count >= 5 is the \
         same check. Equal values of a sensitive column within a group still tell it.\n\
         Source: L. Sweeney, k-anonymity: a model for protecting privacy, International Journal on Uncertainty, Fuzziness and \
         Knowledge-based Systems 10(5), 2002.",
        CALL.syntax,
    )
    .with_argument("x", "What somebody could be known by: a column, or struct(region, birth_year) for several.")
    .with_argument("k", "The rows that each group must have at least, a constant integer from 1. Default: 5.")
    .with_sql_example(
        "```sql
select
    k_anonymous(struct(region, age_band), 2)['is_anonymous'] as is_anonymous,
    k_anonymous(struct(region, age_band), 2)['reason'] as reason
from (values
    ('north', '30-39'), ('north', '30-39'), ('south', '30-39'), ('south', '30-39'), ('south', '80-89')
) as customers (region, age_band)
```
```text
+--------------+--------------------------------------+
| is_anonymous | reason                               |
+--------------+--------------------------------------+
| false        | 1 of 3 groups have fewer than 2 rows |
+--------------+--------------------------------------+
```",
    )
    .with_related_udf("pseudonym")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_group_decides() {
        let verdict = Verdict::of([5, 6, 5].into_iter(), 5);
        assert!(verdict.is_anonymous && verdict.reason(5).is_none());
        assert_eq!((verdict.smallest_count, verdict.group_count, verdict.n), (Some(5), 3, 16));
        let verdict = Verdict::of([5, 4, 1].into_iter(), 5);
        assert_eq!((verdict.small_group_count, verdict.small_row_count), (2, 5));
        assert_eq!(verdict.reason(5).as_deref(), Some("2 of 3 groups have fewer than 5 rows"));
    }

    #[test]
    fn groups_that_left_a_window_do_not_count() {
        assert_eq!(Verdict::of([0, 3].into_iter(), 2), Verdict::of([3].into_iter(), 2));
        let none = Verdict::of(std::iter::empty(), 2);
        assert!(none.is_anonymous && none.smallest_count.is_none());
        assert_eq!(none.reason(2).as_deref(), Some("no rows"));
    }

    #[test]
    fn states_merge_in_any_order_and_grouping() {
        let values: Vec<Option<i64>> = (0..200_i64).map(|row| (row % 7 != 0).then_some(row * row % 11)).collect();
        let whole = |parts: &[&[Option<i64>]]| {
            let mut merged = GroupCounts::try_new(9, DataType::Int64).unwrap();
            merged.groups.resize_with(1, HashMap::new);
            for part in parts {
                let mut counts = GroupCounts::try_new(9, DataType::Int64).unwrap();
                counts.groups.resize_with(1, HashMap::new);
                let column: ArrayRef = Arc::new(Int64Array::from(part.to_vec()));
                Accumulator::update_batch(&mut counts, &[column]).unwrap();
                let states = GroupCounts::states(&counts.groups).unwrap();
                Accumulator::merge_batch(&mut merged, &states).unwrap();
            }
            Verdict::of(merged.groups[0].values().copied(), 9)
        };
        let expected = whole(&[&values]);
        assert_eq!(expected.n, 200);
        for split in [0, 1, 13, 100, 199, 200] {
            let (one, other) = values.split_at(split);
            assert_eq!(whole(&[one, other]), expected, "{split}");
            assert_eq!(whole(&[other, one]), expected, "{split}");
        }
    }
}

//! [`PercentileDisc`]: `percentile_disc(p) within group (order by x)`, a percentile that is one of the values.
//!
//! Formula: the first of the n sorted values whose rank is at least n * p (ISO/IEC 9075-2; PostgreSQL and DuckDB agree).
//! Units:   those of x, which is of any type that has an order.
//! NULL:    a row with a NULL x is skipped; no rows left returns NULL.
//! Edges:   p = 0 is the smallest value; p outside [0, 1] or not constant is an error; `order by x desc` sorts descending.
//! Source:  DataFusion 55.2 has `percentile_cont` only, which interpolates between two values.
//!
//! All values are stored until the end, as DataFusion does for `percentile_cont`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt64Array, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{SortOptions, cast, concat, is_not_null, sort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;

use super::aggregates::compact::CompactGroups;

/// See the page of this module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PercentileDisc {
    signature: Signature,
    aliases: Vec<String>,
}

impl PercentileDisc {
    pub(crate) fn new() -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { signature, aliases: vec!["quantile_disc".into()] }
    }
}

impl AggregateUDFImpl for PercentileDisc {
    fn name(&self) -> &str {
        "percentile_disc"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [value, percentile] if percentile.is_numeric() => {
                let value = match value {
                    DataType::Dictionary(_, value) => value.as_ref().clone(),
                    // a column that is NULL throughout
                    DataType::Null => DataType::Float64,
                    value => value.clone(),
                };
                Ok(vec![value, DataType::Float64])
            }
            _ => plan_err!("write percentile_disc(p) within group (order by x), with p from 0 to 1"),
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types.first() {
            Some(value) => Ok(value.clone()),
            None => plan_err!("write percentile_disc(p) within group (order by x)"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let values = Field::new_list_field(args.return_field.data_type().clone(), true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "values"), values, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (percentile, descending) = (percentile(&args)?, is_descending(&args));
        let data_type = args.return_field.data_type().clone();
        Ok(Box::new(StoredValues { percentile, descending, data_type, values: vec![] }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let (percentile, descending) = (percentile(&args)?, is_descending(&args));
        let data_type = args.return_field.data_type().clone();
        // the values are collected as by `array_agg(x) ignore nulls`
        let values = array_agg_udaf().create_groups_accumulator(AccumulatorArgs {
            ignore_nulls: true,
            order_bys: &[],
            is_reversed: false,
            exprs: args.exprs.get(..1).unwrap_or_default(),
            expr_fields: args.expr_fields.get(..1).unwrap_or_default(),
            ..args
        })?;
        Ok(Box::new(StoredGroups { percentile, descending, data_type, values: CompactGroups::new(values) }))
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

/// The constant share of a call.
fn percentile(args: &AccumulatorArgs) -> Result<f64> {
    if args.is_distinct {
        return plan_err!("percentile_disc has no DISTINCT: select the distinct values in a subquery");
    }
    let percentile = args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>()).map(Literal::value);
    match percentile.map(|value| value.cast_to(&DataType::Float64)).transpose()? {
        Some(ScalarValue::Float64(Some(percentile))) if (0.0..=1.0).contains(&percentile) => Ok(percentile),
        Some(other) => plan_err!("percentile_disc: p is from 0 to 1, got {other}"),
        None => plan_err!("percentile_disc: p is a constant"),
    }
}

fn is_descending(args: &AccumulatorArgs) -> bool {
    args.order_bys.first().is_some_and(|sort| sort.options.descending)
}

/// The index of the value at a percentile; `None` of no values.
fn index_at(values: &ArrayRef, percentile: f64, descending: bool) -> Result<Option<u32>> {
    // rank 1 is the first value; n * p may be 0
    let rank = (values.len() as f64 * percentile).ceil().max(1.0) as usize;
    let options = SortOptions { descending, nulls_first: false };
    let order = sort_to_indices(values, Some(options), Some(rank))?;
    Ok(order.values().get(rank - 1).copied())
}

/// The values of many groups.
#[derive(Debug)]
struct StoredGroups {
    percentile: f64,
    descending: bool,
    data_type: DataType,
    values: CompactGroups,
}

impl GroupsAccumulator for StoredGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        opt_filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.values.update_batch(values.get(..1).unwrap_or_default(), groups, opt_filter, count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.values.merge_batch(states, groups, count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let lists = self.values.evaluate(emit_to)?;
        let lists = lists.as_list::<i32>();
        let mut indices = Vec::with_capacity(lists.len());
        for (row, start) in lists.offsets().iter().take(lists.len()).enumerate() {
            let values = lists.value(row);
            indices.push(match values.is_empty() {
                true => None,
                false => {
                    index_at(&values, self.percentile, self.descending)?.map(|index| *start as u64 + u64::from(index))
                }
            });
        }
        let values = take(lists.values(), &UInt64Array::from(indices), None)?;
        Ok(if *values.data_type() == self.data_type { values } else { cast(&values, &self.data_type)? })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.values.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.values.convert_to_state(values.get(..1).unwrap_or_default(), opt_filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.size()
    }
}

/// The values of a group that are not NULL.
#[derive(Debug)]
struct StoredValues {
    percentile: f64,
    descending: bool,
    data_type: DataType,
    values: Vec<ArrayRef>,
}

impl StoredValues {
    fn all(&self) -> Result<ArrayRef> {
        if self.values.is_empty() {
            return Ok(new_empty_array(&self.data_type));
        }
        Ok(concat(&self.values.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
    }

    fn push(&mut self, values: &ArrayRef) -> Result<()> {
        let values = match values.null_count() {
            0 => Arc::clone(values),
            _ => datafusion::arrow::compute::filter(values, &is_not_null(values)?)?,
        };
        if !values.is_empty() {
            self.values.push(values);
        }
        Ok(())
    }
}

impl Accumulator for StoredValues {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values.first().map_or(Ok(()), |values| self.push(values))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states.first() else { return Ok(()) };
        states.as_list::<i32>().iter().flatten().try_for_each(|values| self.push(&values))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.all()?;
        let field = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        let list = ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.all()?;
        match index_at(&values, self.percentile, self.descending)? {
            Some(index) => ScalarValue::try_from_array(&values, index as usize),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(|values| values.get_array_memory_size()).sum::<usize>()
    }
}

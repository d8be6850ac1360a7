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

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{SortOptions, concat, is_not_null, sort_to_indices};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;

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
        let percentile = args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>()).map(Literal::value);
        let percentile = match percentile.map(|value| value.cast_to(&DataType::Float64)).transpose()? {
            Some(ScalarValue::Float64(Some(percentile))) if (0.0..=1.0).contains(&percentile) => percentile,
            Some(other) => return plan_err!("percentile_disc: p is from 0 to 1, got {other}"),
            None => return plan_err!("percentile_disc: p is a constant"),
        };
        if args.is_distinct {
            return plan_err!("percentile_disc has no DISTINCT: select the distinct values in a subquery");
        }
        let descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        let data_type = args.return_field.data_type().clone();
        Ok(Box::new(StoredValues { percentile, descending, data_type, values: vec![] }))
    }

    fn supports_within_group_clause(&self) -> bool {
        true
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
        // rank 1 is the first value; n * p may be 0
        let rank = (values.len() as f64 * self.percentile).ceil().max(1.0) as usize;
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let order = sort_to_indices(&values, Some(options), Some(rank))?;
        match order.values().get(rank - 1) {
            Some(&index) => ScalarValue::try_from_array(&values, index as usize),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(|values| values.get_array_memory_size()).sum::<usize>()
    }
}

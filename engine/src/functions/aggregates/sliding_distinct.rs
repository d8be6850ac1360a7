//! [`SlidingDistinct`]: an aggregate of DISTINCT values over a sliding frame, and standard deviations of them without groups.
//!
//! ```text
//!  frame: 1 1 2 | 2 3      counts: 1: 2, 2: 2, 3: 1      evaluate: 1, 2, 3
//!  frame:   1 2   2 3      counts: 1: 1, 2: 2, 3: 1      evaluate: 1, 2, 3
//!  frame:     2   2 3      counts: 2: 2, 3: 1            evaluate: 2, 3
//! ```
//! DataFusion 55.2 has this for `count` and for sums of integers, and an error for the rest. Each row costs one step per
//! distinct value of its frame. The values are aggregated in ascending order, so that a sum of floats does not depend on the
//! order of a hash table.
//! State: the list of the values.
//! NULL: skipped; no values left gives what the aggregate gives without rows.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::sort;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;
use datafusion::logical_expr::utils::format_state_name;

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct SlidingDistinct {
    /// How often each value is in the frame.
    counts: HashMap<ScalarValue, u64>,
    /// The aggregate without DISTINCT. It is empty but during an evaluation.
    inner: Box<dyn Accumulator>,
}

/// The state of a standard deviation of DISTINCT values, which are doubles.
pub(crate) fn state_field(name: &str) -> FieldRef {
    let item = Field::new_list_field(DataType::Float64, true);
    Arc::new(Field::new_list(format_state_name(name, "distinct"), item, false))
}

impl SlidingDistinct {
    pub(crate) fn new(inner: Box<dyn Accumulator>) -> Self {
        Self { counts: HashMap::new(), inner }
    }

    fn column(values: &[ArrayRef]) -> Result<&ArrayRef> {
        match values {
            [values] => Ok(values),
            _ => internal_err!("distinct values of {} columns", values.len()),
        }
    }

    fn distinct(&self) -> Result<Option<ArrayRef>> {
        if self.counts.is_empty() {
            return Ok(None);
        }
        let values = ScalarValue::iter_to_array(self.counts.keys().cloned())?;
        Ok(Some(sort(&values, None)?))
    }
}

impl Accumulator for SlidingDistinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = Self::column(values)?;
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            *self.counts.entry(ScalarValue::try_from_array(values, row)?).or_default() += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = Self::column(values)?;
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            let value = ScalarValue::try_from_array(values, row)?;
            match self.counts.get_mut(&value) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.counts.remove(&value);
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(values) = self.distinct()? else { return self.inner.evaluate() };
        let values = [values];
        self.inner.update_batch(&values)?;
        let result = self.inner.evaluate();
        self.inner.retract_batch(&values)?;
        result
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<(ScalarValue, u64)>() + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.counts.keys().cloned().collect();
        let data_type = values.first().map_or(DataType::Float64, ScalarValue::data_type);
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &data_type))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = Self::column(states)?.as_list_opt::<i32>() else {
            return internal_err!("distinct values that are no lists");
        };
        lists.iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }
}

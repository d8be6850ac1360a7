//! Sliding frames without subtraction: [`TwoStacks`] keeps what is in the frame, so that what has left it leaves no trace.
//!
//! ```text
//!  frame: a b c d | e f        front (taken from the right)      back
//!                              d, c+d, b+c+d, a+b+c+d            e+f, and e, f
//!  total = top of front + sum of back                            when front is empty, back is turned over into it
//! ```
//! DataFusion subtracts the rows that leave: after 1e20 the sum of 1, 2, 3 is 0, and NaN stays for ever. Here every row is
//! merged at most twice, whatever the length of the frame, and kept while it is in the frame (8 bytes for sums, 48 for
//! moments). Frames that only grow do not come here, or nothing is ever taken out of them.
//!
//! Source: the queue of two stacks, Tangwongsan, Hirzel, Schneider 2017, "Low-latency sliding-window aggregation in
//! worst-case constant time", section 2.

use std::fmt::Debug;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;

use super::moments::{Moments, Statistic};

/// A queue that knows the merged value of what is in it.
#[derive(Debug)]
pub(crate) struct TwoStacks<T> {
    merge: fn(T, T) -> T,
    /// The merged values of the oldest elements; the last is that of all of them, the one before lacks the oldest.
    front: Vec<T>,
    /// The newest elements.
    back: Vec<T>,
    back_total: Option<T>,
}

impl<T: Copy> TwoStacks<T> {
    /// An empty queue; `merge` is associative.
    pub(crate) fn new(merge: fn(T, T) -> T) -> Self {
        Self { merge, front: vec![], back: vec![], back_total: None }
    }

    pub(crate) fn push(&mut self, value: T) {
        self.back.push(value);
        self.back_total = Some(self.back_total.map_or(value, |total| (self.merge)(total, value)));
    }

    /// Removes the oldest element.
    pub(crate) fn pop(&mut self) {
        if self.front.is_empty() {
            let mut total = None;
            while let Some(value) = self.back.pop() {
                let merged = total.map_or(value, |total| (self.merge)(value, total));
                self.front.push(merged);
                total = Some(merged);
            }
            self.back_total = None;
        }
        self.front.pop();
    }

    pub(crate) fn total(&self) -> Option<T> {
        match (self.front.last(), self.back_total) {
            (Some(front), Some(back)) => Some((self.merge)(*front, back)),
            (front, back) => front.copied().or(back),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }

    pub(crate) fn size(&self) -> usize {
        size_of_val(self) + (self.front.capacity() + self.back.capacity()) * size_of::<T>()
    }
}

fn doubles(values: &ArrayRef) -> Result<&Float64Array> {
    match values.as_primitive_opt::<Float64Type>() {
        Some(values) => Ok(values),
        None => internal_err!("a sliding aggregate of {}", values.data_type()),
    }
}

/// `sum` or `avg` of doubles over a sliding frame.
#[derive(Debug)]
pub(crate) struct SlidingFloats {
    values: TwoStacks<f64>,
    is_average: bool,
}

impl SlidingFloats {
    pub(crate) fn new(is_average: bool) -> Self {
        Self { values: TwoStacks::new(|left, right| left + right), is_average }
    }

    fn column(values: &[ArrayRef]) -> Result<&Float64Array> {
        match values {
            [values] => doubles(values),
            _ => internal_err!("a sliding sum of {} columns", values.len()),
        }
    }
}

impl Accumulator for SlidingFloats {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        Self::column(values)?.iter().flatten().for_each(|value| self.values.push(value));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = Self::column(values)?;
        (0..values.len() - values.null_count()).for_each(|_| self.values.pop());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let count = if self.is_average { self.values.len() as f64 } else { 1.0 };
        Ok(ScalarValue::Float64(self.values.total().map(|total| total / count)))
    }

    fn size(&self) -> usize {
        self.values.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a sliding sum has no state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a sliding sum has no state")
    }
}

/// Variances, covariances, correlations and regressions over a sliding frame.
#[derive(Debug)]
pub(crate) struct SlidingMoments {
    moments: TwoStacks<Moments>,
    statistic: Statistic,
}

impl SlidingMoments {
    pub(crate) fn new(statistic: Statistic) -> Self {
        Self { moments: TwoStacks::new(Moments::merge), statistic }
    }

    fn each(columns: &[ArrayRef], mut each: impl FnMut(Moments)) -> Result<()> {
        match columns {
            [values] => doubles(values)?.iter().flatten().for_each(|value| each(Moments::of(value, 0.0))),
            [y, x] => {
                let pairs = doubles(y)?.iter().zip(doubles(x)?);
                // a pair with a NULL does not count
                pairs.filter_map(|(y, x)| y.zip(x)).for_each(|(y, x)| each(Moments::of(y, x)));
            }
            _ => return internal_err!("moments of {} columns", columns.len()),
        }
        Ok(())
    }
}

impl Accumulator for SlidingMoments {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        Self::each(values, |moments| self.moments.push(moments))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        Self::each(values, |_| self.moments.pop())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let moments = self.moments.total().unwrap_or_default();
        Ok(ScalarValue::Float64(moments.finish(self.statistic)))
    }

    fn size(&self) -> usize {
        self.moments.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("a sliding variance has no state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a sliding variance has no state")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any sequence of pushes and pops has the total of what is left; concatenation shows the order.
    #[test]
    fn totals_are_those_of_what_is_left() {
        let mut queue: TwoStacks<(u64, u32)> =
            TwoStacks::new(|left, right| (left.0 * 10_u64.pow(right.1) + right.0, left.1 + right.1));
        assert_eq!((queue.total(), queue.len()), (None, 0));
        for digit in [1, 2, 3] {
            queue.push((digit, 1));
        }
        queue.pop();
        assert_eq!(queue.total(), Some((23, 2)));
        queue.push((4, 1));
        queue.pop();
        assert_eq!(queue.total(), Some((34, 2)));
        queue.pop();
        queue.push((5, 1));
        queue.pop();
        assert_eq!((queue.total(), queue.len()), (Some((5, 1)), 1));
        queue.pop();
        assert_eq!(queue.total(), None);
    }
}

//! `sum` of integers, decimals and durations: exact, or an error that says that the result does not fit.
//!
//! Formula: the sum of the values that are not NULL, computed in 128 bits (a sum of decimals of more than 38 digits in 256).
//! NULL:    skipped; no rows left gives NULL.
//! Edges:   a partial sum may exceed the type as long as the result does not; one that travels between threads must fit.
//! Source:  PostgreSQL 17 widens `sum(bigint)` to numeric, DuckDB 1.4 to hugeint; here the type stays and overflow is an error.
//!
//! [`CheckedGroups`] leaves adding to DataFusion's accumulator, which wraps, as long as `rows * largest absolute value` shows
//! that no group can have overflowed: waits and counts never come near. Beyond that it adds in wide integers itself.

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Int64Type, i256,
};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// Calls `$body` with `$T`, the Arrow type that holds sums of a type; durations are summed as integers.
macro_rules! with_native {
    ($data_type:expr, $T:ident => $body:expr) => {
        match $data_type {
            DataType::Decimal32(..) => {
                type $T = Decimal32Type;
                $body
            }
            DataType::Decimal64(..) => {
                type $T = Decimal64Type;
                $body
            }
            DataType::Decimal128(..) => {
                type $T = Decimal128Type;
                $body
            }
            DataType::Decimal256(..) => {
                type $T = Decimal256Type;
                $body
            }
            _ => {
                type $T = Int64Type;
                $body
            }
        }
    };
}

/// Values that are added in 256 bits.
trait Widen: ArrowPrimitiveType + Sized {
    fn widen(value: Self::Native) -> i256;
    fn narrow(value: i256) -> Option<Self::Native>;
    /// The sum of values that are not NULL, times `sign`, added to `sum`; `None` beyond 256 bits.
    fn add_all(sum: i256, values: &PrimitiveArray<Self>, is_retracted: bool) -> Option<i256> {
        let mut sum = sum;
        for value in values.iter().flatten() {
            let value = Self::widen(value);
            sum = if is_retracted { sum.checked_sub(value)? } else { sum.checked_add(value)? };
        }
        Some(sum)
    }
    /// An upper bound of the absolute values; NULLs count as whatever they hide.
    fn bound(values: &PrimitiveArray<Self>) -> f64;
}

macro_rules! widen {
    ($T:ty, $native:ty) => {
        impl Widen for $T {
            fn widen(value: $native) -> i256 {
                i256::from_i128(i128::from(value))
            }
            fn narrow(value: i256) -> Option<$native> {
                value.to_i128().and_then(|value| value.try_into().ok())
            }
            fn add_all(sum: i256, values: &PrimitiveArray<Self>, is_retracted: bool) -> Option<i256> {
                // exact in 128 bits: fewer than 2^63 values of 64 bits
                let total: i128 = if values.null_count() == 0 {
                    values.values().iter().map(|value| i128::from(*value)).sum()
                } else {
                    values.iter().flatten().map(i128::from).sum()
                };
                let total = i256::from_i128(total);
                if is_retracted { sum.checked_sub(total) } else { sum.checked_add(total) }
            }
            fn bound(values: &PrimitiveArray<Self>) -> f64 {
                let (mut least, mut most) = (0, 0);
                for value in values.values() {
                    least = least.min(*value);
                    most = most.max(*value);
                }
                (most as f64).max(-(least as f64))
            }
        }
    };
}
widen!(Int64Type, i64);
widen!(Decimal32Type, i32);
widen!(Decimal64Type, i64);

impl Widen for Decimal128Type {
    fn widen(value: i128) -> i256 {
        i256::from_i128(value)
    }
    fn narrow(value: i256) -> Option<i128> {
        value.to_i128()
    }
    fn bound(values: &PrimitiveArray<Self>) -> f64 {
        values.values().iter().fold(0_u128, |most, value| most.max(value.unsigned_abs())) as f64
    }
}

impl Widen for Decimal256Type {
    fn widen(value: i256) -> i256 {
        value
    }
    fn narrow(value: i256) -> Option<i256> {
        Some(value)
    }
    fn bound(values: &PrimitiveArray<Self>) -> f64 {
        let magnitude = |value: &i256| value.to_i128().map_or(f64::MAX, |value| (value as f64).abs());
        values.values().iter().map(magnitude).fold(0.0, f64::max)
    }
}

/// The sum that no value of a type can exceed, with room for the rounding of [`Widen::bound`].
fn capacity(data_type: &DataType) -> f64 {
    let digits = |precision: u8| 10_f64.powi(i32::from(precision)) * 0.99;
    match data_type {
        DataType::Decimal32(precision, _)
        | DataType::Decimal64(precision, _)
        | DataType::Decimal128(precision, _)
        | DataType::Decimal256(precision, _) => digits(*precision),
        _ => 9.2e18,
    }
}

/// A value of a type; an error if it does not fit.
fn narrowed<T: Widen>(value: i256, data_type: &DataType) -> Result<T::Native> {
    let is_within = match data_type {
        DataType::Decimal32(precision, _)
        | DataType::Decimal64(precision, _)
        | DataType::Decimal128(precision, _)
        | DataType::Decimal256(precision, _) => is_within_precision(value, *precision),
        _ => true,
    };
    match T::narrow(value) {
        Some(value) if is_within => Ok(value),
        _ => overflow(data_type, Some(value)),
    }
}

fn is_within_precision(value: i256, precision: u8) -> bool {
    let limit = i256::from_i128(10).checked_pow(u32::from(precision));
    limit.is_none_or(|limit| value < limit && limit.checked_neg().is_none_or(|limit| value > limit))
}

fn overflow<T>(data_type: &DataType, value: Option<i256>) -> Result<T> {
    let value = value.map(|value| format!(": {value}")).unwrap_or_default();
    match data_type {
        DataType::Int64 => exec_err!(
            "a sum is out of the range of BIGINT{value}; write sum(cast(... as decimal(38, 0))) or sum(cast(... as double))"
        ),
        DataType::Duration(_) => {
            exec_err!("a sum is out of the range of a duration{value} ticks; write sum(date_part('epoch', ...))")
        }
        other => exec_err!(
            "a sum is out of the range of {other}{value} in units of the last digit; write sum(cast(... as double))"
        ),
    }
}

/// The values of a column as the Arrow type in which they are summed.
fn natives<T: Widen>(values: &ArrayRef) -> Result<PrimitiveArray<T>> {
    let values = if matches!(values.data_type(), DataType::Duration(_)) {
        cast(values, &DataType::Int64)?
    } else {
        ArrayRef::clone(values)
    };
    match values.as_primitive_opt::<T>() {
        Some(values) => Ok(values.clone()),
        None => internal_err!("a sum of {}", values.data_type()),
    }
}

/// An array of sums with its declared type.
fn declared<T: Widen>(sums: Vec<Option<i256>>, data_type: &DataType) -> Result<ArrayRef> {
    let sums = sums.into_iter().map(|sum| sum.map(|sum| narrowed::<T>(sum, data_type)).transpose());
    let sums = sums.collect::<Result<PrimitiveArray<T>>>()?;
    if matches!(data_type, DataType::Duration(_)) {
        let sums: ArrayRef = std::sync::Arc::new(sums);
        return Ok(cast(&sums, data_type)?);
    }
    Ok(std::sync::Arc::new(sums.with_data_type(data_type.clone())))
}

/// One sum, also over a sliding frame: integers are retracted without a loss.
#[derive(Debug)]
pub(crate) struct CheckedSum {
    data_type: DataType,
    sum: i256,
    count: u64,
}

impl CheckedSum {
    pub(crate) fn new(data_type: DataType) -> Self {
        Self { data_type, sum: i256::ZERO, count: 0 }
    }

    fn add(&mut self, values: &[ArrayRef], is_retracted: bool) -> Result<()> {
        let [values] = values else { return internal_err!("a sum of {} columns", values.len()) };
        let valid = (values.len() - values.logical_null_count()) as u64;
        self.count = if is_retracted { self.count.saturating_sub(valid) } else { self.count + valid };
        let sum = with_native!(&self.data_type, T => {
            <T as Widen>::add_all(self.sum, &natives::<T>(values)?, is_retracted)
        });
        match sum {
            Some(sum) => self.sum = sum,
            None => return overflow(&self.data_type, None),
        }
        Ok(())
    }
}

impl Accumulator for CheckedSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, false)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, true)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = vec![(self.count > 0).then_some(self.sum)];
        let sum = with_native!(&self.data_type, T => declared::<T>(sum, &self.data_type))?;
        ScalarValue::try_from_array(&sum, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add(states, false)
    }
}

/// `sum(distinct x)`: DataFusion collects the values, which are added here.
#[derive(Debug)]
pub(crate) struct DistinctSum {
    inner: Box<dyn Accumulator>,
    data_type: DataType,
}

impl DistinctSum {
    pub(crate) fn new(inner: Box<dyn Accumulator>, data_type: DataType) -> Self {
        Self { inner, data_type }
    }
}

/// The values of a state that is a list.
pub(crate) fn distinct_values(inner: &mut Box<dyn Accumulator>) -> Result<ArrayRef> {
    match inner.state()?.into_iter().next() {
        Some(ScalarValue::List(list)) => Ok(list.value(0)),
        other => internal_err!("distinct values in {other:?}"),
    }
}

impl Accumulator for DistinctSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = CheckedSum::new(self.data_type.clone());
        let values = distinct_values(&mut self.inner)?;
        // the list is of the declared type, which has more digits than the values
        sum.update_batch(&[cast(&values, &self.data_type)?])?;
        sum.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

/// Sums of many groups.
pub(crate) struct CheckedGroups {
    inner: Box<dyn GroupsAccumulator>,
    data_type: DataType,
    /// No sum in `inner` is beyond this.
    bound: f64,
    /// The sums, once they may be too large for `inner`.
    wide: Option<Vec<Option<i256>>>,
}

impl CheckedGroups {
    pub(crate) fn new(inner: Box<dyn GroupsAccumulator>, data_type: DataType) -> Self {
        Self { inner, data_type, bound: 0.0, wide: None }
    }

    fn update<T: Widen>(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<bool> {
        let [column] = values else { return internal_err!("a sum of {} columns", values.len()) };
        let column = natives::<T>(column)?;
        if self.wide.is_none() {
            self.bound += T::bound(&column) * column.len() as f64;
            if self.bound < capacity(&self.data_type) {
                return Ok(true);
            }
            // what `inner` has so far is exact
            let sums = self.inner.state(EmitTo::All)?;
            let sums = match sums.first() {
                Some(sums) => natives::<T>(sums)?,
                None => return internal_err!("a sum without a state"),
            };
            self.wide = Some(sums.iter().map(|sum| sum.map(T::widen)).collect());
        }
        let Some(sums) = &mut self.wide else { return internal_err!("sums without groups") };
        sums.resize(count, None);
        for (row, group) in groups.iter().enumerate() {
            let is_counted = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            let Some(sum) = sums.get_mut(*group).filter(|_| is_counted && column.is_valid(row)) else { continue };
            match sum.unwrap_or(i256::ZERO).checked_add(T::widen(column.value(row))) {
                Some(added) => *sum = Some(added),
                None => return overflow(&self.data_type, None),
            }
        }
        Ok(false)
    }

    fn take(&mut self, emit_to: EmitTo) -> Option<Vec<Option<i256>>> {
        self.wide.as_mut().map(|sums| emit_to.take_needed(sums))
    }
}

impl GroupsAccumulator for CheckedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let is_inner = with_native!(&self.data_type, T => self.update::<T>(values, groups, filter, count))?;
        if is_inner { self.inner.update_batch(values, groups, filter, count) } else { Ok(()) }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        match self.take(emit_to) {
            Some(sums) => with_native!(&self.data_type, T => declared::<T>(sums, &self.data_type)),
            None => self.inner.evaluate(emit_to),
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        match self.take(emit_to) {
            Some(sums) => Ok(vec![with_native!(&self.data_type, T => declared::<T>(sums, &self.data_type))?]),
            None => self.inner.state(emit_to),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        let is_inner = with_native!(&self.data_type, T => self.update::<T>(states, groups, None, count))?;
        if is_inner { self.inner.merge_batch(states, groups, count) } else { Ok(()) }
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        let wide = self.wide.as_ref().map_or(0, |sums| sums.capacity() * size_of::<Option<i256>>());
        self.inner.size() + wide
    }
}

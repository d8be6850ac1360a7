//! Counts, ranks and lengths as `Int64`: functions of DataFusion that declare an unsigned result, wrapped.
//!
//! ```text
//!  rank() over (...) - rank() over (...)      UInt64 - UInt64: 18446744073709551615      Int64 - Int64: -1
//!  array_positions(a, x)                      List(UInt64)                               List(Int64)
//! ```
//! SQL has no unsigned integers (PostgreSQL's and DuckDB's counts are `bigint`), and the difference of two unsigned numbers
//! wraps. [`signed`] maps the declared type, at any depth of a list; results are cast. All else is that of the wrapped
//! function, its name included, by which DataFusion's rules and [`crate::window`] know it.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::compute::{SortOptions, cast};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{
    AccumulatorArgs, PartitionEvaluatorArgs, StateFieldsArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::window_state::WindowAggState;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, LimitEffect,
    PartitionEvaluator, ReturnFieldArgs, ReversedUDAF, ReversedUDWF, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    StatisticsArgs, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use crate::functions::aggregates::sliding_bits::Count;
use crate::functions::aggregates::sliding_distinct::SlidingDistinct;
use crate::functions::delegate::delegate_to_inner;

/// Scalar functions that count.
pub(crate) const SCALAR: [&str; 6] =
    ["array_dims", "array_length", "array_ndims", "array_position", "array_positions", "cardinality"];
/// Aggregate functions that count.
pub(crate) const AGGREGATE: [&str; 2] = ["approx_distinct", "regr_count"];
/// Window functions that count.
pub(crate) const WINDOW: [&str; 4] = ["row_number", "rank", "dense_rank", "ntile"];

/// The type with `Int64` in place of unsigned integers.
pub(crate) fn signed(data_type: &DataType) -> DataType {
    let element = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(signed(field.data_type())));
    match data_type {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::List(field) => DataType::List(element(field)),
        DataType::LargeList(field) => DataType::LargeList(element(field)),
        other => other.clone(),
    }
}

fn signed_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::clone(field).with_data_type(signed(field.data_type())))
}

fn signed_array(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(array, &signed(array.data_type()))?)
}

fn signed_scalar(value: &ScalarValue) -> Result<ScalarValue> {
    value.cast_to(&signed(&value.data_type()))
}

/// A scalar function with a signed result.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SignedScalar {
    pub(crate) inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for SignedScalar {
    delegate_to_inner! { name, aliases, signature, coerce_types, documentation }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(signed(&self.inner.return_type(arg_types)?))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(signed_field(&self.inner.return_field_from_args(args)?))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // `inner.inner()`, the implementation: `ScalarUDF` around it checks the declared type
        Ok(match self.inner.inner().invoke_with_args(args)? {
            ColumnarValue::Array(array) => ColumnarValue::Array(signed_array(&array)?),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(signed_scalar(&value)?),
        })
    }
}

/// An aggregate function with a signed result; its states are those of the wrapped function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SignedAggregate {
    pub(crate) inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for SignedAggregate {
    delegate_to_inner! { name, aliases, signature, coerce_types, documentation }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(signed(&self.inner.return_type(arg_types)?))
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SignedAccumulator(self.inner.accumulator(args)?)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        // DataFusion's sketch cannot forget; the values of a frame are counted
        if self.inner.name() == "approx_distinct" {
            return Ok(Box::new(SlidingDistinct::new(Box::<Count>::default())));
        }
        Ok(Box::new(SignedAccumulator(self.inner.create_sliding_accumulator(args)?)))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(SignedGroups(self.inner.create_groups_accumulator(args)?)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::NotSupported
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        signed_scalar(&self.inner.default_value(data_type)?)
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        signed_scalar(&self.inner.value_from_stats(args)?).ok()
    }
}

#[derive(Debug)]
struct SignedAccumulator(Box<dyn Accumulator>);

impl Accumulator for SignedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        signed_scalar(&self.0.evaluate()?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }
}

struct SignedGroups(Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for SignedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.0.update_batch(values, groups, filter, count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        signed_array(&self.0.evaluate(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.0.merge_batch(states, groups, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// A window function with a signed result.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SignedWindow {
    pub(crate) inner: Arc<WindowUDF>,
}

impl WindowUDFImpl for SignedWindow {
    delegate_to_inner! { name, aliases, signature, coerce_types, expressions, documentation }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(SignedEvaluator(self.inner.partition_evaluator_factory(args)?)))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        self.inner.simplify()
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(signed_field(&self.inner.field(args)?))
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.inner.sort_options()
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        match self.inner.reverse_expr() {
            ReversedUDWF::Reversed(inner) => ReversedUDWF::Reversed(Arc::new(WindowUDF::from(Self { inner }))),
            other => other,
        }
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.inner.inner().limit_effect(args)
    }
}

#[derive(Debug)]
struct SignedEvaluator(Box<dyn PartitionEvaluator>);

impl PartitionEvaluator for SignedEvaluator {
    fn memoize(&mut self, state: &mut WindowAggState) -> Result<()> {
        self.0.memoize(state)
    }

    fn get_range(&self, index: usize, rows: usize) -> Result<Range<usize>> {
        self.0.get_range(index, rows)
    }

    fn is_causal(&self) -> bool {
        self.0.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        signed_array(&self.0.evaluate_all(values, rows)?)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        signed_scalar(&self.0.evaluate(values, range)?)
    }

    fn evaluate_all_with_rank(&self, rows: usize, ranks: &[Range<usize>]) -> Result<ArrayRef> {
        signed_array(&self.0.evaluate_all_with_rank(rows, ranks)?)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.0.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.0.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.0.include_rank()
    }
}

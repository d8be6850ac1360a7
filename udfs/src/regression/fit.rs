//! One adapter between the fits and DataFusion.
//!
//! A fit is an aggregate over numbers of a row and a struct of features that returns a STRUCT. [`Fit`] says how it is
//! called and computes the result from the rows of a group; the row accumulator, sliding windows and the grouped
//! accumulator all fill the same [`GroupState`].
//!
//! State of a group: a list of its strings and a list of its numbers.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::Hash;
use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, LargeListArray, RecordBatch, StringArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Schema};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, internal_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Documentation, EmitTo, Expr, GroupsAccumulator,
    ReversedUDAF, Signature,
};

use super::design::{Feature, FeatureEncoder, features, is_kept, name_features, name_physical_features, numbers_of};
use super::model::struct_array;
use super::state::{GroupState, Layout};
use crate::args::{Call, Constants};

/// A SQL aggregate that fits a model.
pub(crate) trait Fit: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// How it is called.
    const CALL: Call;
    /// Which argument is the struct of features.
    const FEATURES: usize;
    /// Which arguments are the numbers (or flags, 0 and 1) of a row, in their order before the features. One that is not
    /// given, or NULL for all rows, is 1.
    const NUMBERS: &'static [usize];
    /// The constant arguments.
    type Options: Debug + Send + Sync + 'static;

    /// Checks the constant arguments.
    ///
    /// # Errors
    /// A planning error for a constant that is out of range.
    fn bind(constants: &Constants) -> Result<Self::Options>;

    /// Checks the features.
    ///
    /// # Errors
    /// A planning error for a feature that the fit does not take.
    fn check(_features: &[Feature]) -> Result<()> {
        Ok(())
    }

    /// Whether a row with these numbers counts.
    fn counts(_numbers: &[f64]) -> bool {
        true
    }

    /// Whether rows are reduced as they come, in place of being kept.
    fn reduces(_options: &Self::Options) -> bool {
        false
    }

    /// The fields of the result.
    fn fields() -> Fields;

    /// The result: the values of [`Fit::fields`].
    ///
    /// # Errors
    /// When a value cannot be made; what cannot be computed is NULL, with a reason.
    fn finish(options: &Self::Options, group: Group<'_>) -> Result<Vec<ScalarValue>>;

    /// Its page in the manual.
    fn documentation() -> &'static Documentation;
}

/// The rows of one group and what their codes mean.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) encoder: &'a FeatureEncoder,
    pub(crate) layout: Layout,
    pub(crate) state: &'a GroupState,
}

/// The DataFusion function for `fit`.
pub(crate) fn fit<F: Fit>(fit: F) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(FitFunction { fit, signature: F::CALL.signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FitFunction<F> {
    fit: F,
    signature: Signature,
}

fn refuse_distinct(call: &Call, is_distinct: bool) -> Result<()> {
    if is_distinct {
        return plan_err!(
            "{}: DISTINCT is not supported, equal rows are different customers or contacts; \
             remove duplicate rows before with select distinct",
            call.function
        );
    }
    Ok(())
}

impl<F: Fit> FitFunction<F> {
    fn groups(args: &AccumulatorArgs) -> Result<Groups<F>> {
        refuse_distinct(&F::CALL, args.is_distinct)?;
        let options = F::bind(&Constants::of_physical(&F::CALL, args.exprs)?)?;
        let (Some(field), Some(argument)) = (args.expr_fields.get(F::FEATURES), args.exprs.get(F::FEATURES)) else {
            return internal_err!("{}: planned without its features", F::CALL.function);
        };
        let mut features = features(F::CALL.function, field.data_type())?;
        name_physical_features(&mut features, argument);
        F::check(&features)?;
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let is_given = |index: &usize| {
            let value = args.exprs.get(*index).map(|expr| expr.evaluate(&nothing));
            !matches!(value, None | Some(Ok(ColumnarValue::Scalar(ScalarValue::Null | ScalarValue::Float64(None)))))
        };
        let given = F::NUMBERS.iter().map(is_given).collect();
        let layout = Layout { first: F::NUMBERS.len(), width: F::NUMBERS.len() + features.len() };
        let bound = Arc::new(Bound { options, given, layout });
        Ok(Groups { bound, encoder: FeatureEncoder::new(features), groups: vec![], heap_size: 0 })
    }
}

impl<F: Fit> AggregateUDFImpl for FitFunction<F> {
    fn name(&self) -> &str {
        F::CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = F::CALL.coerce(arg_types)?;
        if let Some(data_type) = coerced.get(F::FEATURES) {
            F::check(&features(F::CALL.function, data_type)?)?;
        }
        Ok(coerced)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(F::fields()))
    }

    fn is_nullable(&self) -> bool {
        true
    }

    /// Checks constants as soon as parameters are bound and expressions folded, and names the features of `struct(a, b)`.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|mut call: AggregateFunction, info| {
            refuse_distinct(&F::CALL, call.params.distinct)?;
            if let Some(constants) = Constants::of_logical(&F::CALL, &call.params.args)? {
                F::bind(&constants)?;
            }
            if let Some(argument) = call.params.args.get_mut(F::FEATURES)
                && let Some(named) = name_features(argument)
            {
                features(F::CALL.function, &info.get_data_type(&named)?)?;
                *argument = named;
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        refuse_distinct(&F::CALL, args.is_distinct)?;
        let fields = [("strings", DataType::Utf8), ("numbers", DataType::Float64)].map(|(column, data_type)| {
            let item = Arc::new(Field::new_list_field(data_type, true));
            Arc::new(Field::new(format_state_name(args.name, column), DataType::LargeList(item), true))
        });
        Ok(fields.to_vec())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(RowAccumulator { groups: Self::groups(&args)? }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(FrameAccumulator { groups: Self::groups(&args)?, frame: VecDeque::new() }))
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
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(F::documentation())
    }
}

/// One call with its constants.
#[derive(Debug)]
struct Bound<F: Fit> {
    options: F::Options,
    /// Which of the numbers of a row are given.
    given: Vec<bool>,
    layout: Layout,
}

/// The rows of all groups of one call.
#[derive(Debug)]
struct Groups<F: Fit> {
    bound: Arc<Bound<F>>,
    encoder: FeatureEncoder,
    groups: Vec<GroupState>,
    /// Bytes that the groups hold beside their own size.
    heap_size: usize,
}

impl<F: Fit> Groups<F> {
    fn resize(&mut self, group_count: usize) {
        if self.groups.len() < group_count {
            self.groups.resize_with(group_count, GroupState::default);
        }
    }

    /// The columns of the numbers and features of each row.
    fn columns(&mut self, values: &[ArrayRef]) -> Result<Vec<Vec<f64>>> {
        let wrong = || internal_datafusion_err!("{}: evaluated without its arguments", F::CALL.function);
        let features = values.get(F::FEATURES).ok_or_else(wrong)?;
        let mut columns = Vec::with_capacity(self.bound.layout.width);
        for (index, is_given) in F::NUMBERS.iter().zip(&self.bound.given) {
            columns.push(match values.get(*index).filter(|_| *is_given) {
                Some(column) => numbers_of(column)?,
                None => vec![1.0; features.len()],
            });
        }
        columns.extend(self.encoder.encode(features)?);
        Ok(columns)
    }

    /// Calls `each` once per row with its index and its numbers; `None` for a row that does not count.
    fn each_row(&mut self, values: &[ArrayRef], mut each: impl FnMut(&mut Self, usize, Option<&[f64]>)) -> Result<()> {
        let columns = self.columns(values)?;
        let first = self.bound.layout.first;
        let mut row: Vec<f64> = Vec::with_capacity(columns.len());
        for index in 0..columns.first().map_or(0, Vec::len) {
            row.clear();
            row.extend(columns.iter().filter_map(|column| column.get(index)));
            let is_known = !row.iter().any(|value| value.is_nan());
            let does_count = is_known && F::counts(row.get(..first).unwrap_or_default());
            each(self, index, does_count.then_some(row.as_slice()));
        }
        Ok(())
    }

    fn add(&mut self, group: usize, row: Option<&[f64]>) {
        let Some(state) = self.groups.get_mut(group) else { return };
        match row {
            None => state.missing += 1,
            Some(row) => {
                let before = state.rows.capacity();
                state.rows.extend_from_slice(row);
                self.heap_size += (state.rows.capacity() - before) * size_of::<f64>();
            }
        }
    }

    /// Reduces the rows of the groups that have new ones.
    fn reduce(&mut self, groups: impl IntoIterator<Item = usize>) {
        if !F::reduces(&self.bound.options) {
            return;
        }
        for group in groups {
            if let Some(state) = self.groups.get_mut(group) {
                let before = state.heap_size();
                state.reduce(&self.encoder, self.bound.layout, false);
                self.heap_size = (self.heap_size + state.heap_size()).saturating_sub(before);
            }
        }
    }

    fn merge(&mut self, states: &[ArrayRef], group_indices: &[usize]) -> Result<()> {
        let wrong = || internal_datafusion_err!("{}: its state is not lists of strings and numbers", F::CALL.function);
        let [strings, numbers] = states else { return Err(wrong()) };
        let strings = strings.as_list_opt::<i64>().ok_or_else(wrong)?;
        let numbers = numbers.as_list_opt::<i64>().ok_or_else(wrong)?;
        for (row, group) in group_indices.iter().enumerate() {
            let (names, values) = (strings.value(row), numbers.value(row));
            let names = names.as_string_opt::<i32>().ok_or_else(wrong)?;
            let values = values.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
            if let Some(state) = self.groups.get_mut(*group) {
                let before = state.heap_size();
                let names = names.iter().flatten().map(str::to_owned);
                state.merge(&mut self.encoder, self.bound.layout, values.values(), names).ok_or_else(wrong)?;
                self.heap_size = (self.heap_size + state.heap_size()).saturating_sub(before);
            }
        }
        self.reduce(group_indices.iter().copied());
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<GroupState> {
        let emitted = emit_to.take_needed(&mut self.groups);
        self.heap_size = self.groups.iter().map(GroupState::heap_size).sum();
        emitted
    }

    fn states(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let emitted = self.emit(emit_to);
        let (mut strings, mut numbers) = (vec![], vec![]);
        let (mut string_counts, mut number_counts) = (vec![], vec![]);
        for state in emitted {
            let before = (strings.len(), numbers.len());
            state.write(&self.encoder, self.bound.layout, &mut numbers, &mut strings);
            string_counts.push(strings.len() - before.0);
            number_counts.push(numbers.len() - before.1);
        }
        let list = |counts: Vec<usize>, values: ArrayRef| -> Result<ArrayRef> {
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            Ok(Arc::new(LargeListArray::try_new(field, OffsetBuffer::from_lengths(counts), values, None)?))
        };
        Ok(vec![
            list(string_counts, Arc::new(StringArray::from_iter_values(strings)))?,
            list(number_counts, Arc::new(Float64Array::from(numbers)))?,
        ])
    }

    fn finish(bound: &Bound<F>, encoder: &FeatureEncoder, state: &mut GroupState) -> Result<Vec<ScalarValue>> {
        if F::reduces(&bound.options) {
            state.reduce(encoder, bound.layout, true);
        }
        F::finish(&bound.options, Group { encoder, layout: bound.layout, state })
    }

    fn memory_size(&self) -> usize {
        size_of_val(self)
            + self.encoder.memory_size()
            + self.groups.capacity() * size_of::<GroupState>()
            + self.heap_size
    }
}

impl<F: Fit> GroupsAccumulator for Groups<F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        self.each_row(values, |groups, index, row| {
            if let (Some(group), true) = (group_indices.get(index), is_kept(opt_filter, index)) {
                groups.add(*group, row);
            }
        })?;
        self.reduce(group_indices.iter().copied());
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        self.merge(values, group_indices)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut records = vec![];
        for mut state in self.emit(emit_to) {
            records.push(Self::finish(&self.bound, &self.encoder, &mut state)?);
        }
        struct_array(&F::fields(), records)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.states(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let encoder = FeatureEncoder::new(self.encoder.features.clone());
        let mut rows = Self { bound: Arc::clone(&self.bound), encoder, groups: vec![], heap_size: 0 };
        let groups: Vec<usize> = (0..values.first().map_or(0, Array::len)).collect();
        rows.update_batch(values, &groups, opt_filter, groups.len())?;
        rows.states(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.memory_size()
    }
}

/// One group: a query without GROUP BY, or a window.
#[derive(Debug)]
struct RowAccumulator<F: Fit> {
    groups: Groups<F>,
}

impl<F: Fit> Accumulator for RowAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.groups.resize(1);
        self.groups.each_row(values, |groups, _, row| groups.add(0, row))?;
        self.groups.reduce([0]);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.resize(1);
        self.groups.merge(states, &vec![0; states.first().map_or(0, Array::len)])
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.groups.resize(1);
        self.groups.states(EmitTo::All)?.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        // A window that grows asks again: the rows stay.
        self.groups.resize(1);
        let Groups { bound, encoder, groups, .. } = &mut self.groups;
        let Some(state) = groups.first_mut() else { return internal_err!("{}: no group", F::CALL.function) };
        let record = Groups::finish(bound, encoder, state)?;
        ScalarValue::try_from_array(&struct_array(&F::fields(), vec![record])?, 0)
    }

    fn size(&self) -> usize {
        self.groups.memory_size()
    }
}

/// A sliding window: the rows of the frame, from which each result is computed.
#[derive(Debug)]
struct FrameAccumulator<F: Fit> {
    groups: Groups<F>,
    /// The rows in the frame; `None` for one that does not count.
    frame: VecDeque<Option<Box<[f64]>>>,
}

impl<F: Fit> Accumulator for FrameAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let frame = &mut self.frame;
        self.groups.each_row(values, |_, _, row| frame.push_back(row.map(Box::from)))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let leaving = values.first().map_or(0, Array::len).min(self.frame.len());
        self.frame.drain(..leaving);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("{}: a window does not merge states", F::CALL.function)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("{}: a window has no state to merge", F::CALL.function)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut state = GroupState::default();
        for row in &self.frame {
            match row {
                Some(row) => state.rows.extend_from_slice(row),
                None => state.missing += 1,
            }
        }
        let record = Groups::finish(&self.groups.bound, &self.groups.encoder, &mut state)?;
        ScalarValue::try_from_array(&struct_array(&F::fields(), vec![record])?, 0)
    }

    fn size(&self) -> usize {
        let row = size_of::<Option<Box<[f64]>>>();
        let numbers = self.groups.bound.layout.width * size_of::<f64>();
        self.groups.memory_size() + self.frame.capacity() * row + self.frame.len() * numbers
    }
}

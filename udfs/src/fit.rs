//! One adapter between fits and DataFusion: aggregates that keep their rows and compute a struct or a list from them.
//!
//! A function is a [`RowFit`]: its arguments, the shape of its result, and what is computed from the sorted rows. Numbers and
//! flags, the fields of a struct of features, and one key column (strata, groups) become the columns of a row; constants are
//! options. The row accumulator, windows and the grouped accumulator keep the same [`RowGroups`].

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::Hash;
use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, ReversedUDAF,
    Signature,
};

use crate::aggregate::refuse_distinct;
use crate::args::{Call, Constants, Kind};
use crate::regression::design::{features, is_kept, name_features, name_physical_features};
use crate::strings::is_string;

mod rows;
pub(crate) mod value;

pub(crate) use rows::FitRows;
use rows::{RowGroups, RowLayout};
use value::{Shape, Value};

/// A SQL aggregate function that is computed from all rows at once.
pub(crate) trait RowFit: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// How it is called.
    const CALL: Call;
    /// What it returns.
    const RESULT: Shape;
    /// The constant arguments.
    type Options: Debug + Send + Sync + 'static;

    /// Checks the constant arguments.
    ///
    /// # Errors
    /// A planning error for a constant that is out of range.
    fn bind(constants: &Constants) -> Result<Self::Options>;

    /// Whether a row without NULLs counts; one that does not is left out.
    fn is_valid(_row: &[f64]) -> bool {
        true
    }

    /// The result.
    fn finish(options: &Self::Options, rows: &FitRows<'_>) -> Value;

    /// Its page in the manual.
    fn documentation() -> &'static Documentation;
}

/// The DataFusion function for `fit`.
pub(crate) fn row_fit<F: RowFit>(fit: F) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(FitFunction { fit, signature: F::CALL.signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FitFunction<F> {
    fit: F,
    signature: Signature,
}

/// The layout of the rows of a call; an optional argument that is a literal NULL is not given.
fn layout<F: RowFit>(fields: &[FieldRef]) -> Result<RowLayout> {
    let mut layout = RowLayout::default();
    let columns =
        F::CALL.parameters.iter().zip(fields).enumerate().filter(|(_, (parameter, _))| !parameter.is_constant);
    for (index, (parameter, field)) in columns {
        match parameter.kind {
            _ if field.data_type().is_null() => {}
            Kind::Features => layout.features = Some((index, features(F::CALL.function, field.data_type())?)),
            Kind::Key => layout.key = Some(index),
            _ => layout.numbers.push(index),
        }
    }
    Ok(layout)
}

impl<F: RowFit> FitFunction<F> {
    fn groups(args: &AccumulatorArgs) -> Result<(F::Options, RowGroups)> {
        refuse_distinct(&F::CALL, args.is_distinct)?;
        let options = F::bind(&Constants::of_physical(&F::CALL, args.exprs)?)?;
        let mut layout = layout::<F>(args.expr_fields)?;
        if let Some((index, features)) = &mut layout.features
            && let Some(argument) = args.exprs.get(*index)
        {
            name_physical_features(features, argument);
        }
        Ok((options, RowGroups::new(F::CALL.function, layout)))
    }
}

impl<F: RowFit> AggregateUDFImpl for FitFunction<F> {
    fn name(&self) -> &str {
        F::CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = F::CALL.coerce(arg_types)?;
        let required = F::CALL.arities.first().copied().unwrap_or_default();
        let parameters = F::CALL.parameters.iter().zip(arg_types).zip(&mut coerced).enumerate();
        for (index, ((parameter, given), coerced)) in
            parameters.filter(|(_, ((parameter, _), _))| !parameter.is_constant)
        {
            match parameter.kind {
                Kind::Features if given.is_null() && index < required => {
                    return datafusion::common::plan_err!(
                        "{}: {} must be a struct such as struct(a, b), got NULL",
                        F::CALL.function,
                        parameter.name
                    );
                }
                Kind::Features if !given.is_null() => {
                    features(F::CALL.function, given)?;
                }
                Kind::Key if given.is_null() && index >= required => *coerced = DataType::Null,
                // keys are compared as strings
                Kind::Key if !is_string(coerced) => *coerced = DataType::Utf8,
                _ => {}
            }
        }
        Ok(coerced)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(F::RESULT.data_type())
    }

    fn is_nullable(&self) -> bool {
        true
    }

    /// Checks constants before anything runs, and names the features of `struct(a, b)` after their columns.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|mut call: AggregateFunction, _| {
            refuse_distinct(&F::CALL, call.params.distinct)?;
            if let Some(constants) = Constants::of_logical(&F::CALL, &call.params.args)? {
                F::bind(&constants)?;
            }
            for (parameter, argument) in F::CALL.parameters.iter().zip(&mut call.params.args) {
                if parameter.kind == Kind::Features
                    && let Some(named) = name_features(argument)
                {
                    *argument = named;
                }
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        refuse_distinct(&F::CALL, args.is_distinct)?;
        let fields = layout::<F>(args.input_fields)?
            .state_fields()
            .into_iter()
            .map(|(column, data_type)| Arc::new(Field::new(format_state_name(args.name, &column), data_type, true)));
        Ok(fields.collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (options, groups) = Self::groups(&args)?;
        Ok(Box::new(FitAccumulator::<F> { options, groups }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (options, groups) = Self::groups(&args)?;
        Ok(Box::new(FrameAccumulator::<F> { options, groups, frame: VecDeque::new(), row_bytes: 0 }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let (options, groups) = Self::groups(&args)?;
        Ok(Box::new(FitAccumulator::<F> { options, groups }))
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

/// Calls `each` once per row of a batch, in order; with `None` for one that is left out.
fn each_row<F: RowFit>(
    groups: &mut RowGroups,
    columns: &[ArrayRef],
    mut each: impl FnMut(&mut RowGroups, usize, Option<&[f64]>),
) -> Result<()> {
    let encoded = groups.encode(columns)?;
    let mut row = vec![];
    for index in 0..columns.first().map_or(0, |column| column.len()) {
        row.clear();
        row.extend(encoded.iter().map(|column| column.get(index).copied().unwrap_or(f64::NAN)));
        let is_known = row.iter().all(|value| !value.is_nan()) && F::is_valid(&row);
        each(groups, index, is_known.then_some(row.as_slice()));
    }
    Ok(())
}

/// One group, or all groups of a GROUP BY.
#[derive(Debug)]
struct FitAccumulator<F: RowFit> {
    options: F::Options,
    groups: RowGroups,
}

impl<F: RowFit> FitAccumulator<F> {
    fn value(&mut self, group: usize) -> Value {
        let options = &self.options;
        self.groups.finish(group, |rows| F::finish(options, &rows)).unwrap_or(Value::Null)
    }
}

impl<F: RowFit> GroupsAccumulator for FitAccumulator<F> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups);
        each_row::<F>(&mut self.groups, values, |groups, index, row| {
            if let Some(group) = group_indices.get(index).filter(|_| is_kept(opt_filter, index)) {
                groups.add(*group, row);
            }
        })
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize(total_num_groups);
        self.groups.merge(values, group_indices)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let count = self.groups.emitted(emit_to);
        let values = (0..count).map(|group| self.value(group)).collect();
        self.groups.remove(count);
        F::RESULT.array(values)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.groups.states(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let row_count = values.first().map_or(0, |column| column.len());
        let mut groups = self.groups.new_like();
        groups.resize(row_count);
        each_row::<F>(&mut groups, values, |groups, index, row| {
            if is_kept(opt_filter, index) {
                groups.add(index, row);
            }
        })?;
        groups.states(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.memory_size()
    }
}

/// The only value of a column of one row.
fn only_value(column: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(column, 0)
}

impl<F: RowFit> Accumulator for FitAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.groups.resize(1);
        each_row::<F>(&mut self.groups, values, |groups, _, row| groups.add(0, row))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.resize(1);
        self.groups.merge(states, &vec![0; states.first().map_or(0, |column| column.len())])
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.groups.resize(1);
        self.groups.states(EmitTo::All)?.iter().map(only_value).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.groups.resize(1);
        let value = self.value(0);
        only_value(&F::RESULT.array(vec![value])?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.memory_size()
    }
}

/// A sliding window: the rows of the frame, from which each result is computed anew.
#[derive(Debug)]
struct FrameAccumulator<F: RowFit> {
    options: F::Options,
    groups: RowGroups,
    /// The rows in the frame; `None` for one that is left out.
    frame: VecDeque<Option<Box<[f64]>>>,
    row_bytes: usize,
}

impl<F: RowFit> Accumulator for FrameAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (frame, row_bytes) = (&mut self.frame, &mut self.row_bytes);
        each_row::<F>(&mut self.groups, values, |_, _, row| {
            *row_bytes = row.map_or(*row_bytes, size_of_val);
            frame.push_back(row.map(Box::from));
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let leaving = values.first().map_or(0, |column| column.len()).min(self.frame.len());
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
        self.groups.clear();
        self.groups.resize(1);
        for row in &self.frame {
            self.groups.add(0, row.as_deref());
        }
        let options = &self.options;
        let value = self.groups.finish(0, |rows| F::finish(options, &rows)).unwrap_or(Value::Null);
        only_value(&F::RESULT.array(vec![value])?)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.frame.capacity() * size_of::<Option<Box<[f64]>>>()
            + self.frame.len() * self.row_bytes
            + self.groups.memory_size()
    }
}

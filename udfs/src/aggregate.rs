//! One adapter between the aggregates of this crate and DataFusion.
//!
//! A function is three small things: a [`Tally`], the plain state of one group; a [`Measure`], which turns the rows of
//! a batch into one-row tallies; and a [`Function`], its name, arguments and documentation. The row accumulator, sliding
//! windows, the grouped accumulator and partial aggregation are all driven from these by [`Aggregate`], so that there is
//! one algorithm and one state layout.
//!
//! Tallies are a commutative group: merging adds, retracting subtracts, the default is empty. A row that does not count
//! is an empty tally. The loops are monomorphised: per row there is no dynamic call, no Option and no ScalarValue.

use std::fmt::Debug;
use std::hash::Hash;
use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, DocSection, Documentation, DocumentationBuilder, EmitTo, Expr,
    GroupsAccumulator, ReversedUDAF, Signature,
};

use crate::args::{Call, Constants};

/// The state of one group: counts and sums, nothing else.
pub(crate) trait Tally: Copy + Default + Debug + Send + Sync + 'static {
    /// The columns in which states travel between partitions, in the order of [`Tally::to_columns`].
    const COLUMNS: &'static [(&'static str, DataType)];

    /// Adds what `other` has seen.
    fn merge(&mut self, other: Self);

    /// Takes away what `other` has seen, all of which `self` has seen too.
    fn retract(&mut self, other: Self);

    /// The result; None when no row counted.
    fn finish(self) -> Option<f64>;

    /// One row per tally, one array per column, without nulls.
    fn to_columns(tallies: &[Self]) -> Vec<ArrayRef>;

    /// The inverse of [`Tally::to_columns`].
    ///
    /// # Errors
    /// When the columns are not what `to_columns` makes.
    fn from_columns(columns: &[ArrayRef]) -> Result<Vec<Self>>;
}

/// How the rows of a batch count, with the constants of one call.
pub(crate) trait Measure: Copy + Debug + Send + Sync + 'static {
    /// The state it fills.
    type Tally: Tally;

    /// Calls `each` once per row, in order, with the tally of that row alone.
    ///
    /// # Errors
    /// When a column is not of the type that the call was planned with.
    fn each_row(&self, columns: &[ArrayRef], each: impl FnMut(Self::Tally)) -> Result<()>;

    /// The tally of all rows.
    ///
    /// # Errors
    /// As [`Measure::each_row`].
    fn total(&self, columns: &[ArrayRef]) -> Result<Self::Tally> {
        let mut total = Self::Tally::default();
        self.each_row(columns, |row| total.merge(row))?;
        Ok(total)
    }
}

/// A SQL aggregate function.
pub(crate) trait Function: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// How it is called.
    const CALL: Call;
    /// What it counts.
    type Measure: Measure;

    /// Checks the constant arguments and makes the measure.
    ///
    /// # Errors
    /// A planning error for a constant that is missing or out of range.
    fn bind(constants: &Constants) -> Result<Self::Measure>;

    /// Its page in the manual.
    fn documentation(&self) -> &'static Documentation;
}

/// The DataFusion function for `function`.
pub(crate) fn aggregate<F: Function>(function: F) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Aggregate { function, signature: F::CALL.signature() }))
}

/// Begins a page of the manual.
pub(crate) fn page(call: Call, label: &'static str, description: &str) -> DocumentationBuilder {
    Documentation::builder(DocSection { include: true, label, description: None }, description, call.syntax)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate<F> {
    function: F,
    signature: Signature,
}

type TallyOf<F> = <<F as Function>::Measure as Measure>::Tally;

pub(crate) fn refuse_distinct(call: &Call, is_distinct: bool) -> Result<()> {
    if is_distinct {
        return plan_err!(
            "{}: DISTINCT is not supported, equal rows are different answers or contacts; \
             remove duplicate rows before with select distinct",
            call.function
        );
    }
    Ok(())
}

impl<F: Function> Aggregate<F> {
    fn measure(args: &AccumulatorArgs) -> Result<F::Measure> {
        refuse_distinct(&F::CALL, args.is_distinct)?;
        F::bind(&Constants::of_physical(&F::CALL, args.exprs)?)
    }
}

impl<F: Function> AggregateUDFImpl for Aggregate<F> {
    fn name(&self) -> &str {
        F::CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        F::CALL.coerce(arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn is_nullable(&self) -> bool {
        true
    }

    /// The logical optimizer is the first to see constants with parameters bound and expressions folded: a wrong one
    /// fails here, before anything runs. The call itself stays as it is.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call: AggregateFunction, _| {
            refuse_distinct(&F::CALL, call.params.distinct)?;
            if let Some(constants) = Constants::of_logical(&F::CALL, &call.params.args)? {
                F::bind(&constants)?;
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        refuse_distinct(&F::CALL, args.is_distinct)?;
        let fields = TallyOf::<F>::COLUMNS.iter().map(|(column, data_type)| {
            Arc::new(Field::new(format_state_name(args.name, column), data_type.clone(), true))
        });
        Ok(fields.collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(RowAccumulator { measure: Self::measure(&args)?, tally: TallyOf::<F>::default() }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(TallyGroups { measure: Self::measure(&args)?, tallies: vec![] }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(self.function.documentation())
    }
}

/// One group: a query without GROUP BY, or a window.
#[derive(Debug)]
struct RowAccumulator<M: Measure> {
    measure: M,
    tally: M::Tally,
}

impl<M: Measure> Accumulator for RowAccumulator<M> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.tally.merge(self.measure.total(values)?);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.tally.retract(self.measure.total(values)?);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in M::Tally::from_columns(states)? {
            self.tally.merge(state);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        M::Tally::to_columns(&[self.tally]).iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.tally.finish()))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// All groups of a GROUP BY.
#[derive(Debug)]
struct TallyGroups<M: Measure> {
    measure: M,
    tallies: Vec<M::Tally>,
}

impl<M: Measure> GroupsAccumulator for TallyGroups<M> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.tallies.resize(total_num_groups, M::Tally::default());
        let tallies = self.tallies.as_mut_slice();
        let mut groups = group_indices.iter();
        match opt_filter.map(kept) {
            None => self.measure.each_row(values, |row| {
                if let Some(tally) = groups.next().and_then(|group| tallies.get_mut(*group)) {
                    tally.merge(row);
                }
            }),
            Some(kept) => {
                let mut kept = kept.iter();
                self.measure.each_row(values, |row| {
                    let group = groups.next();
                    if kept.next() == Some(true)
                        && let Some(tally) = group.and_then(|group| tallies.get_mut(*group))
                    {
                        tally.merge(row);
                    }
                })
            }
        }
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.tallies.resize(total_num_groups, M::Tally::default());
        for (state, group) in M::Tally::from_columns(values)?.into_iter().zip(group_indices) {
            if let Some(tally) = self.tallies.get_mut(*group) {
                tally.merge(state);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let tallies = emit_to.take_needed(&mut self.tallies);
        Ok(Arc::new(tallies.into_iter().map(M::Tally::finish).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(M::Tally::to_columns(&emit_to.take_needed(&mut self.tallies)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut tallies = Vec::with_capacity(values.first().map_or(0, Array::len));
        self.measure.each_row(values, |row| tallies.push(row))?;
        if let Some(filter) = opt_filter {
            for (tally, is_kept) in tallies.iter_mut().zip(kept(filter).iter()) {
                if !is_kept {
                    *tally = M::Tally::default();
                }
            }
        }
        Ok(M::Tally::to_columns(&tallies))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.tallies.capacity() * size_of::<M::Tally>()
    }
}

/// The rows for which the filter is true; NULL is not.
fn kept(filter: &BooleanArray) -> BooleanBuffer {
    match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    }
}

/// Calls `each` once per value: with its tally, or with an empty one where the value is null.
pub(crate) fn each_known<V, T: Tally>(
    values: impl Iterator<Item = V>,
    nulls: Option<&NullBuffer>,
    tally: impl Fn(V) -> T,
    mut each: impl FnMut(T),
) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => values.for_each(|value| each(tally(value))),
        Some(nulls) => values
            .zip(nulls.iter())
            .for_each(|(value, is_known)| each(if is_known { tally(value) } else { T::default() })),
    }
}

/// Calls `each` once per value with the bits beside it, which are read 64 rows at a time.
pub(crate) fn each_with_bits<const N: usize>(
    values: &[f64],
    bits: [&BooleanBuffer; N],
    mut each: impl FnMut(f64, [bool; N]),
) {
    let mut of_words = |values: &[f64], words: [u64; N]| {
        for (row, value) in values.iter().enumerate() {
            each(*value, words.map(|word| (word >> row) & 1 == 1));
        }
    };
    let chunks = bits.map(BooleanBuffer::bit_chunks);
    let mut words = chunks.each_ref().map(|chunks| chunks.iter());
    let full = values.chunks_exact(64);
    let rest = full.remainder();
    for values in full {
        of_words(values, words.each_mut().map(|words| words.next().unwrap_or_default()));
    }
    of_words(rest, chunks.map(|chunks| chunks.remainder_bits()));
}

/// Column `index` as numbers.
pub(crate) fn numbers(columns: &[ArrayRef], index: usize) -> Result<&Float64Array> {
    let column = columns.get(index).and_then(|column| column.as_primitive_opt::<Float64Type>());
    column.ok_or_else(|| internal_datafusion_err!("argument {index} is planned as Float64, got {columns:?}"))
}

/// Column `index` as flags.
pub(crate) fn flags(columns: &[ArrayRef], index: usize) -> Result<&BooleanArray> {
    let column = columns.get(index).and_then(|column| column.as_boolean_opt());
    column.ok_or_else(|| internal_datafusion_err!("argument {index} is planned as Boolean, got {columns:?}"))
}

/// A state column of counts.
pub(crate) fn count_column<T>(tallies: &[T], count: impl Fn(&T) -> i64) -> ArrayRef {
    Arc::new(tallies.iter().map(|tally| Some(count(tally))).collect::<Int64Array>())
}

/// A state column of sums.
pub(crate) fn sum_column<T>(tallies: &[T], sum: impl Fn(&T) -> f64) -> ArrayRef {
    Arc::new(tallies.iter().map(|tally| Some(sum(tally))).collect::<Float64Array>())
}

/// State column `index` as counts.
pub(crate) fn counts(columns: &[ArrayRef], index: usize) -> Result<&[i64]> {
    let column = columns.get(index).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let column = column.ok_or_else(|| internal_datafusion_err!("state column {index} is no Int64: {columns:?}"))?;
    Ok(column.values())
}

/// State column `index` as sums.
pub(crate) fn sums(columns: &[ArrayRef], index: usize) -> Result<&[f64]> {
    Ok(numbers(columns, index)?.values())
}

#[cfg(test)]
mod tests;

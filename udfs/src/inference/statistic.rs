//! One adapter between the tests and intervals of this family and DataFusion.
//!
//! A function is a [`Cell`], the state of the rows with one key; a [`Statistic`], which reads rows into cells and computes
//! the result from the cells of a group; and a [`Record`], the fields of the STRUCT that it returns. A key is the value of
//! the columns that the function compares: none for an interval, `group` for a test of two groups, both columns for a
//! contingency table.
//!
//! ```text
//!  columns                     cells of a GROUP BY group           result
//!  +-------+-------+   add     +-----+-------------+   finish    +--------------------------+
//!  | value | group | --------> | old | n, mean, m2 | ----------> | {statistic, p_value, ..} |
//!  | value | group |           | new | n, mean, m2 |             +--------------------------+
//!  +-------+-------+           +-----+-------------+
//! ```
//!
//! The row accumulator, windows and the grouped accumulator all fill the same cells. In a sliding window, counts are
//! subtracted; what cannot be subtracted without a loss of digits is computed again from the rows of the frame.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::Hash;
use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, internal_err, plan_err};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, ReversedUDAF,
    Signature,
};

use super::groups::CellGroups;
use super::record::{FieldType, Record, data_type, single_array, struct_array, struct_type};
use crate::args::{Call, Constants};

/// The parameter that names the group with which the other one is compared.
pub(crate) const BASELINE: &str = "baseline";

/// The state of the rows of a group that have one key.
pub(crate) trait Cell: Default + Debug + Send + Sync + 'static {
    /// What one row adds.
    type Row: Copy + Debug + Send + Sync + 'static;

    /// Whether [`Cell::remove`] undoes [`Cell::add`] exactly.
    const CAN_REMOVE: bool;

    /// Bytes that it may hold, beside its own size, for each number of its state.
    const HEAP_BYTES_PER_NUMBER: usize = 0;

    /// Numbers of the state for each row, where it holds all rows.
    const NUMBERS_PER_ROW: usize = 1;

    /// Adds a row.
    fn add(&mut self, row: Self::Row);

    /// Removes a row that was added. Called only where [`Cell::CAN_REMOVE`] is true.
    fn remove(&mut self, _row: Self::Row) {}

    /// Adds the rows of `other`.
    fn merge(&mut self, other: Self);

    /// Whether it holds no row.
    fn is_empty(&self) -> bool;

    /// Appends the state, as many numbers as [`Cell::read`] needs.
    fn write(&self, numbers: &mut Vec<f64>);

    /// The inverse of [`Cell::write`]; `None` for other numbers than it writes.
    fn read(numbers: &[f64]) -> Option<Self>;

    /// Bytes that it holds beside its own size.
    fn heap_size(&self) -> usize {
        0
    }
}

/// A cell and its key, in Arrow's row format: its bytes sort as the values do.
#[derive(Debug)]
pub(crate) struct Entry<'a, C> {
    /// The value of each key column; empty where the function has fewer.
    pub(crate) keys: [&'a [u8]; 2],
    pub(crate) cell: &'a mut C,
}

/// A SQL aggregate function that returns a STRUCT.
pub(crate) trait Statistic: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// How it is called.
    const CALL: Call;
    /// Which arguments are the key.
    const KEYS: &'static [usize];
    /// The fields of the result.
    const FIELDS: &'static [(&'static str, FieldType)];
    /// Whether the result is a STRUCT; if not, it is the value of the only field.
    const IS_STRUCT: bool = true;
    /// What is kept of the rows.
    type Cell: Cell;
    /// The constant arguments.
    type Options: Debug + Send + Sync + 'static;

    /// Checks the constant arguments.
    ///
    /// # Errors
    /// A planning error for a constant that is out of range.
    fn bind(constants: &Constants) -> Result<Self::Options>;

    /// Checks the constant arguments against the types of all arguments, and keeps what the computation needs of these.
    ///
    /// # Errors
    /// A planning error for arguments that do not go together.
    fn bind_types(options: Self::Options, _types: &[DataType]) -> Result<Self::Options> {
        Ok(options)
    }

    /// Calls `each` once per row, in order; with `None` for a row that does not count.
    ///
    /// # Errors
    /// When a column is not of the type that the call was planned with.
    fn each_row(
        options: &Self::Options,
        columns: &[ArrayRef],
        each: impl FnMut(Option<<Self::Cell as Cell>::Row>),
    ) -> Result<()>;

    /// The result: the values of [`Statistic::FIELDS`].
    ///
    /// `entries` are the cells with a row, in the order of their keys; `baseline` is the key that the call names.
    fn finish(options: &Self::Options, entries: &mut [Entry<Self::Cell>], baseline: Option<&[u8]>) -> Record;

    /// Its page in the manual.
    fn documentation() -> &'static Documentation;
}

/// The DataFusion function for `statistic`.
pub(crate) fn statistic<S: Statistic>(statistic: S) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(StatisticFunction { statistic, signature: S::CALL.signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StatisticFunction<S> {
    statistic: S,
    signature: Signature,
}

/// One call with its constants.
#[derive(Debug)]
pub(crate) struct BoundCall<S: Statistic> {
    pub(crate) options: S::Options,
    pub(crate) baseline: Option<Vec<u8>>,
    pub(crate) key_types: Vec<DataType>,
    /// The type of the first argument.
    at: DataType,
}

impl<S: Statistic> BoundCall<S> {
    /// The results of many groups.
    fn array(&self, records: &[Record]) -> Result<ArrayRef> {
        match S::FIELDS {
            [(_, field_type), ..] if !S::IS_STRUCT => single_array(*field_type, records, &self.at),
            fields => struct_array(fields, records, &self.at),
        }
    }
}

/// The type of a function's result; `at` is the type of its first argument.
fn result_type<S: Statistic>(at: &DataType) -> DataType {
    match S::FIELDS {
        [(_, field_type), ..] if !S::IS_STRUCT => data_type(*field_type, at),
        fields => struct_type(fields, at),
    }
}

fn refuse_distinct(call: &Call, is_distinct: bool) -> Result<()> {
    if is_distinct {
        return plan_err!(
            "{}: DISTINCT is not supported, equal rows are different answers or contacts; \
             remove duplicate rows before with select distinct",
            call.function
        );
    }
    Ok(())
}

/// The baseline that a call names, in the row format of its group column.
fn baseline(call: &Call, constants: &Constants, key_type: Option<&DataType>) -> Result<Option<Vec<u8>>> {
    let (Some(value), Some(key_type)) = (constants.value(BASELINE), key_type) else { return Ok(None) };
    // A cast to text would turn any value into a name of a group.
    let is_text = |data_type: &DataType| data_type.is_string() || data_type.is_null();
    let cast = if is_text(key_type) && !is_text(&value.data_type()) { None } else { value.cast_to(key_type).ok() };
    let Some(cast) = cast.filter(|cast| !cast.is_null()) else {
        return plan_err!("{}: baseline must be a value of group ({key_type}), got {value}", call.function);
    };
    let converter = RowConverter::new(vec![SortField::new(key_type.clone())])?;
    let rows = converter.convert_columns(&[cast.to_array()?])?;
    Ok(rows.iter().next().map(|row| row.data().to_vec()))
}

impl<S: Statistic> StatisticFunction<S> {
    fn bound(args: &AccumulatorArgs) -> Result<Arc<BoundCall<S>>> {
        refuse_distinct(&S::CALL, args.is_distinct)?;
        let constants = Constants::of_physical(&S::CALL, args.exprs)?;
        let key_types = key_types::<S>(args.expr_fields)?;
        let baseline = baseline(&S::CALL, &constants, key_types.first())?;
        let types: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let options = S::bind_types(S::bind(&constants)?, &types)?;
        let at = types.into_iter().next().unwrap_or(DataType::Null);
        Ok(Arc::new(BoundCall { options, baseline, key_types, at }))
    }
}

fn key_types<S: Statistic>(fields: &[FieldRef]) -> Result<Vec<DataType>> {
    let types = S::KEYS.iter().map(|index| fields.get(*index).map(|field| field.data_type().clone()));
    let types: Option<Vec<DataType>> = types.collect();
    types.ok_or_else(|| internal_datafusion_err!("{}: planned without its arguments", S::CALL.function))
}

impl<S: Statistic> AggregateUDFImpl for StatisticFunction<S> {
    fn name(&self) -> &str {
        S::CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        S::CALL.coerce(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(result_type::<S>(arg_types.first().unwrap_or(&DataType::Null)))
    }

    fn is_nullable(&self) -> bool {
        true
    }

    /// Checks constants as soon as parameters are bound and expressions folded, before anything runs.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|call: AggregateFunction, info| {
            refuse_distinct(&S::CALL, call.params.distinct)?;
            if let Some(constants) = Constants::of_logical(&S::CALL, &call.params.args)? {
                let types = call.params.args.iter().map(|arg| info.get_data_type(arg)).collect::<Result<Vec<_>>>()?;
                S::bind_types(S::bind(&constants)?, &types)?;
                let key_type = S::KEYS.first().and_then(|index| types.get(*index));
                baseline(&S::CALL, &constants, key_type)?;
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        refuse_distinct(&S::CALL, args.is_distinct)?;
        let keys = key_types::<S>(args.input_fields)?.into_iter().enumerate();
        let keys = keys.map(|(index, data_type)| (format!("keys_{index}"), data_type));
        let numbers = [("lengths".to_string(), DataType::Int64), ("numbers".to_string(), DataType::Float64)];
        let fields = keys.chain(numbers).map(|(column, data_type)| {
            let item = Field::new_list_field(data_type, true);
            Arc::new(Field::new_list(format_state_name(args.name, &column), item, true))
        });
        Ok(fields.collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(RowAccumulator { groups: CellGroups::<S>::try_new(Self::bound(&args)?)? }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if S::Cell::CAN_REMOVE {
            return self.accumulator(args);
        }
        let groups = CellGroups::<S>::try_new(Self::bound(&args)?)?;
        Ok(Box::new(FrameAccumulator { groups, frame: VecDeque::new() }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(CellGroups::<S>::try_new(Self::bound(&args)?)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(S::documentation())
    }
}

impl<S: Statistic> GroupsAccumulator for CellGroups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let mut groups = group_indices.iter().enumerate();
        self.each_row(values, |cells, key, row| {
            let Some((index, group)) = groups.next() else { return };
            let is_kept = opt_filter.is_none_or(|filter| filter.is_valid(index) && filter.value(index));
            if let (Some((key, row)), true) = (key.zip(row), is_kept)
                && let Some(cell) = cells.get(*group, key)
            {
                cell.add(row);
            }
        })
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        self.merge(values, group_indices)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let records = self.records(emit_to);
        self.bound().array(&records)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.states(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut rows = self.new_like()?;
        let groups: Vec<usize> = (0..values.first().map_or(0, Array::len)).collect();
        rows.update_batch(values, &groups, opt_filter, groups.len())?;
        rows.states(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.memory_size()
    }
}

/// The only value of a column of one row.
fn only_value(column: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(column, 0)
}

/// One group: a query without GROUP BY, or a window.
#[derive(Debug)]
struct RowAccumulator<S: Statistic> {
    groups: CellGroups<S>,
}

impl<S: Statistic> Accumulator for RowAccumulator<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.groups.resize(1);
        self.groups.each_row(values, |cells, key, row| {
            if let Some((key, row)) = key.zip(row)
                && let Some(cell) = cells.get(0, key)
            {
                cell.add(row);
            }
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.groups.each_row(values, |cells, key, row| {
            if let Some((key, row)) = key.zip(row)
                && let Some(cell) = cells.get(0, key)
            {
                cell.remove(row);
            }
        })
    }

    fn supports_retract_batch(&self) -> bool {
        S::Cell::CAN_REMOVE
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.resize(1);
        self.groups.merge(states, &vec![0; states.first().map_or(0, Array::len)])
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.groups.resize(1);
        self.groups.states(EmitTo::All)?.iter().map(only_value).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let record = self.groups.only_record();
        only_value(&self.groups.bound().array(&[record])?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.memory_size()
    }
}

/// A sliding window over what cannot be subtracted: the rows of the frame, from which each result is computed.
#[derive(Debug)]
struct FrameAccumulator<S: Statistic> {
    groups: CellGroups<S>,
    /// The rows in the frame; `None` for one that does not count.
    frame: VecDeque<Option<FrameRow<S>>>,
}

/// A key and the row with it.
type FrameRow<S> = ([u32; 2], <<S as Statistic>::Cell as Cell>::Row);

impl<S: Statistic> Accumulator for FrameAccumulator<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let frame = &mut self.frame;
        self.groups.each_row(values, |_, key, row| frame.push_back(key.zip(row)))
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
        internal_err!("{}: a window does not merge states", S::CALL.function)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("{}: a window has no state to merge", S::CALL.function)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.groups.refill(self.frame.iter().flatten().copied());
        let record = self.groups.only_record();
        only_value(&self.groups.bound().array(&[record])?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.frame.capacity() * size_of::<Option<FrameRow<S>>>() + self.groups.memory_size()
    }
}

#[cfg(test)]
mod tests;

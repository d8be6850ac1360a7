//! The window functions that the grouped operator computes, each for all partitions of a bucket at once.

use std::cmp::Ordering;
use std::sync::Arc;

use cxql_udfs::grouped::{grouped_evaluator, ranges};
use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray, UInt32Array, UInt64Array, make_comparator,
};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::{SortOptions, cast, interleave, take};
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type, Int64Type, Schema};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::PartitionEvaluatorArgs;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    EmitTo, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, WindowUDF,
};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::windows::WindowUDFExpr;

use super::sort::Peers;

/// One window function of a plan, as the operator computes it.
#[derive(Debug)]
pub(crate) struct WindowCall {
    pub(super) field: FieldRef,
    /// The columns that the function reads.
    pub(super) args: Vec<Arc<dyn PhysicalExpr>>,
    arg_types: Vec<DataType>,
    pub(super) order_by: Vec<PhysicalSortExpr>,
    kind: CallKind,
}

#[derive(Debug)]
enum CallKind {
    /// A function of ours, over whole partitions.
    Ours {
        function: Arc<WindowUDF>,
        args: Vec<Arc<dyn PhysicalExpr>>,
        fields: Vec<FieldRef>,
    },
    RowNumber,
    Rank,
    DenseRank,
    /// The row so many places before (`lag`) or, negative, after (`lead`).
    Shift {
        by: i64,
        default: ScalarValue,
    },
    /// A row of the frame: counted from its start, or from its end.
    First {
        n: i64,
        frame: Frame,
    },
    Last {
        frame: Frame,
    },
    Count {
        frame: Frame,
    },
    /// A sum from the partition's first row to the end of the frame.
    RunningSum {
        end: FrameBound,
    },
    /// The least or the greatest value from the partition's first row to the end of the frame.
    RunningExtreme {
        is_max: bool,
        end: FrameBound,
    },
    /// Any aggregate that is the same for all rows of a partition.
    Whole {
        aggregate: Arc<AggregateFunctionExpr>,
    },
}

/// The rows that a function sees, seen from one row.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Frame {
    start: FrameBound,
    end: FrameBound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum FrameBound {
    /// The edge of the partition.
    Partition,
    /// The edge of the rows that are equal in the order.
    Peers,
    /// So many rows further.
    Rows(i64),
}

/// Partitions of a bucket whose rows stand clustered_columns: partition `i` is `bounds[i]..bounds[i + 1]`.
pub(super) struct Partitions<'a> {
    pub(super) bounds: &'a [usize],
    pub(super) peers: &'a Peers,
}

impl WindowCall {
    /// The function of a plan.
    ///
    /// # Errors
    /// Why the operator cannot compute it.
    pub(crate) fn new(expr: &Arc<dyn WindowExpr>, schema: &Schema) -> std::result::Result<Self, String> {
        let any = expr.as_any();
        let (kind, args) = if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
            standard_call(standard, schema)?
        } else if let Some(plain) = any.downcast_ref::<PlainAggregateWindowExpr>() {
            aggregate_call(plain.get_aggregate_expr(), expr)?
        } else if let Some(sliding) = any.downcast_ref::<SlidingAggregateWindowExpr>() {
            aggregate_call(sliding.get_aggregate_expr(), expr)?
        } else {
            return Err(format!("{} is a function that it does not know", expr.name()));
        };
        let field = expr.field().map_err(|error| error.to_string())?;
        let arg_types = args.iter().map(|arg| arg.data_type(schema)).collect::<Result<_>>();
        let arg_types = arg_types.map_err(|error| error.to_string())?;
        Ok(Self { field, args, arg_types, order_by: expr.order_by().to_vec(), kind })
    }

    pub(super) fn needs_peers(&self) -> bool {
        let at_peers = |frame: &Frame| frame.start == FrameBound::Peers || frame.end == FrameBound::Peers;
        match &self.kind {
            CallKind::Rank | CallKind::DenseRank => true,
            CallKind::First { frame, .. } | CallKind::Last { frame } | CallKind::Count { frame } => at_peers(frame),
            CallKind::RunningSum { end } | CallKind::RunningExtreme { end, .. } => *end == FrameBound::Peers,
            CallKind::Ours { .. } | CallKind::RowNumber | CallKind::Shift { .. } | CallKind::Whole { .. } => false,
        }
    }

    /// Whether the result is the same in every order of the rows of a partition.
    pub(super) fn is_order_free(&self) -> bool {
        matches!(self.kind, CallKind::Whole { .. })
    }

    /// The result for all rows, where they stand in `values`.
    pub(super) fn evaluate(&self, values: &[ArrayRef], slices: &Partitions<'_>) -> Result<ArrayRef> {
        match &self.kind {
            CallKind::Ours { function, args, fields } => {
                let args = PartitionEvaluatorArgs::new(args, fields, false, false);
                match grouped_evaluator(function, args)? {
                    Some(mut evaluator) => evaluator.evaluate_groups(values, slices.bounds),
                    None => internal_err!("{} has no grouped form", function.name()),
                }
            }
            CallKind::RowNumber => Ok(by_row(slices, |range, row| (row - range.start) as u64 + 1)),
            CallKind::Rank => {
                Ok(by_row(slices, |range, row| slices.peers_of(&range, row).start.abs_diff(range.start) as u64 + 1))
            }
            CallKind::DenseRank => Ok(dense_ranks(slices)),
            CallKind::Shift { by, default } => {
                let [values] = values else { return internal_err!("{} without its column", self.field.name()) };
                shifted(values, *by, default, slices)
            }
            CallKind::First { n, frame } => picked(values, slices, |range, row| {
                let frame = frame.of(slices, &range, row);
                let place = if *n > 0 {
                    frame.start.checked_add(usize::try_from(*n - 1).ok()?)?
                } else {
                    frame.end.checked_sub(usize::try_from(n.unsigned_abs()).ok()?)?
                };
                frame.contains(&place).then_some(place)
            }),
            CallKind::Last { frame } => picked(values, slices, |range, row| {
                let frame = frame.of(slices, &range, row);
                (frame.start < frame.end).then(|| frame.end - 1)
            }),
            CallKind::Count { frame } => Ok(counts(values, *frame, slices)),
            CallKind::RunningSum { end } => running_sums(self.field.data_type(), values, *end, slices),
            CallKind::RunningExtreme { is_max, end } => running_extremes(values, *is_max, *end, slices),
            CallKind::Whole { aggregate } => {
                // the one kind of function that looks at the type: values come as the operator keeps them
                let values = values.iter().zip(&self.arg_types).map(|(values, wanted)| cast(values, wanted));
                whole(aggregate, &values.collect::<std::result::Result<Vec<_>, _>>()?, slices)
            }
        }
    }
}

impl Partitions<'_> {
    fn rows(&self) -> usize {
        self.bounds.last().copied().unwrap_or_default()
    }

    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        ranges(self.bounds)
    }

    /// The rows equal to `row` in the order; without an order, all of the partition.
    fn peers_of(&self, partition: &std::ops::Range<usize>, row: usize) -> std::ops::Range<usize> {
        match self.peers {
            Peers::Partition => partition.clone(),
            Peers::None => row..row + 1,
            Peers::Known(peers) => peers[row].0 as usize..peers[row].1 as usize,
        }
    }
}

impl FrameBound {
    fn start(self, slices: &Partitions<'_>, partition: &std::ops::Range<usize>, row: usize) -> usize {
        match self {
            FrameBound::Partition => partition.start,
            FrameBound::Peers => slices.peers_of(partition, row).start,
            FrameBound::Rows(by) => moved(row, by, partition),
        }
    }

    fn end(self, slices: &Partitions<'_>, partition: &std::ops::Range<usize>, row: usize) -> usize {
        match self {
            FrameBound::Partition => partition.end,
            FrameBound::Peers => slices.peers_of(partition, row).end,
            FrameBound::Rows(by) => moved(row + 1, by, partition),
        }
    }
}

impl Frame {
    fn of(self, slices: &Partitions<'_>, partition: &std::ops::Range<usize>, row: usize) -> std::ops::Range<usize> {
        let start = self.start.start(slices, partition, row);
        start..self.end.end(slices, partition, row).max(start)
    }

    /// The frame of a plan.
    fn new(frame: &WindowFrame, is_ordered: bool) -> std::result::Result<Self, String> {
        let edge = |bound: &WindowFrameBound| {
            let by = match bound {
                WindowFrameBound::CurrentRow if frame.units == WindowFrameUnits::Rows => {
                    return Ok(FrameBound::Rows(0));
                }
                WindowFrameBound::CurrentRow if is_ordered => return Ok(FrameBound::Peers),
                WindowFrameBound::CurrentRow => return Ok(FrameBound::Partition),
                WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) if by.is_null() => {
                    return Ok(FrameBound::Partition);
                }
                WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) => by,
            };
            let rows = match (frame.units, by) {
                (WindowFrameUnits::Rows, ScalarValue::UInt64(Some(rows))) => i64::try_from(*rows).ok(),
                (WindowFrameUnits::Rows, ScalarValue::Int64(Some(rows))) => Some(*rows),
                _ => None,
            };
            let Some(rows) = rows else {
                return Err(format!("its frame {frame} has a distance that it does not know"));
            };
            Ok(FrameBound::Rows(if matches!(bound, WindowFrameBound::Preceding(_)) { -rows } else { rows }))
        };
        // `unbounded following` as a start and `unbounded preceding` as an end are refused by the planner
        Ok(Self { start: edge(&frame.start_bound)?, end: edge(&frame.end_bound)? })
    }

    fn is_whole(self) -> bool {
        self.start == FrameBound::Partition && self.end == FrameBound::Partition
    }
}

/// A row that is `by` rows further, no further than the edges of the partition.
fn moved(row: usize, by: i64, partition: &std::ops::Range<usize>) -> usize {
    let distance = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
    let place = if by < 0 { row.saturating_sub(distance) } else { row.saturating_add(distance) };
    place.clamp(partition.start, partition.end)
}

/// The engine's window functions that the operator knows.
const NAMES: &[&str] = &["row_number", "rank", "dense_rank", "lag", "lead", "first_value", "last_value", "nth_value"];

type CallParts = (CallKind, Vec<Arc<dyn PhysicalExpr>>);

fn standard_call(standard: &StandardWindowExpr, schema: &Schema) -> std::result::Result<CallParts, String> {
    let Some(call) = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>() else {
        return Err(format!("{} is a function that it does not know", standard.name()));
    };
    // the engine keeps this flag to itself
    if format!("{call:?}").contains("ignore_nulls: true") {
        return Err(format!("{} ignores NULLs", standard.name()));
    }
    let args = call.args().to_vec();
    let fields = args.iter().map(|arg| arg.return_field(schema)).collect::<Result<Vec<_>>>();
    let fields = fields.map_err(|error| error.to_string())?;
    let ours = PartitionEvaluatorArgs::new(&args, &fields, false, false);
    if grouped_evaluator(call.fun(), ours).map_err(|error| error.to_string())?.is_some() {
        let columns = standard.expressions();
        return Ok((CallKind::Ours { function: Arc::clone(call.fun()), args, fields }, columns));
    }
    let first = || args.first().cloned().into_iter().collect::<Vec<_>>();
    let frame = || Frame::new(standard.get_window_frame(), !standard.order_by().is_empty());
    let name = call.fun().name();
    Ok(match name {
        "row_number" => (CallKind::RowNumber, vec![]),
        "rank" => (CallKind::Rank, vec![]),
        "dense_rank" => (CallKind::DenseRank, vec![]),
        "lag" | "lead" => {
            let Some(field) = fields.first().filter(|field| !field.data_type().is_null()) else {
                return Err(format!("{name} of NULL has no type"));
            };
            let by = match args.get(1) {
                None => 1,
                Some(by) => integer(by).ok_or_else(|| format!("{name} with the distance {by}"))?,
            };
            let default = match args.get(2).map(|default| literal(default).ok_or(default)) {
                None => ScalarValue::try_from(field.data_type()),
                Some(Ok(value)) => value.cast_to(field.data_type()),
                Some(Err(default)) => return Err(format!("{name} with the default {default}")),
            };
            let default = default.map_err(|error| error.to_string())?;
            let by = if name == "lag" { by } else { by.checked_neg().ok_or("lead so far")? };
            (CallKind::Shift { by, default }, first())
        }
        "first_value" => (CallKind::First { n: 1, frame: frame()? }, first()),
        "last_value" => (CallKind::Last { frame: frame()? }, first()),
        "nth_value" => match args.get(1).and_then(integer) {
            Some(n) if n != 0 && n != i64::MIN => (CallKind::First { n, frame: frame()? }, first()),
            _ => return Err("nth_value without a place".to_string()),
        },
        _ => return Err(format!("{name} is a function that it does not know")),
    })
}

fn aggregate_call(
    aggregate: &AggregateFunctionExpr,
    expr: &Arc<dyn WindowExpr>,
) -> std::result::Result<CallParts, String> {
    let name = aggregate.fun().name();
    if aggregate.is_distinct() {
        return Err(format!("{name} counts DISTINCT values"));
    }
    // the engine keeps the filter to itself
    if !format!("{expr:?}").contains("filter: None") {
        return Err(format!("{name} has a FILTER"));
    }
    let frame = Frame::new(expr.get_window_frame(), !expr.order_by().is_empty())?;
    let args = aggregate.expressions();
    if name == "count" {
        let args = args.into_iter().filter(|arg| literal(arg).is_none_or(|value| value.is_null())).collect::<Vec<_>>();
        if args.len() > 1 {
            return Err("count of several columns".to_string());
        }
        return Ok((CallKind::Count { frame }, args));
    }
    if frame.is_whole() {
        let is_order_free = aggregate.order_bys().is_empty()
            && (expr.order_by().is_empty() || aggregate.order_sensitivity() == AggregateOrderSensitivity::Insensitive);
        if !is_order_free {
            return Err(format!("{name} depends on the order of rows"));
        }
        if !aggregate.groups_accumulator_supported() {
            return Err(format!("{name} has no grouped form"));
        }
        return Ok((CallKind::Whole { aggregate: Arc::new(aggregate.clone()) }, args));
    }
    let is_summable = matches!(aggregate.field().data_type(), DataType::Int64 | DataType::Float64);
    if name == "sum" && frame.start == FrameBound::Partition && is_summable {
        return Ok((CallKind::RunningSum { end: frame.end }, args));
    }
    let is_comparable = !aggregate.field().data_type().is_nested();
    if matches!(name, "min" | "max") && frame.start == FrameBound::Partition && is_comparable {
        return Ok((CallKind::RunningExtreme { is_max: name == "max", end: frame.end }, args));
    }
    Err(format!("{name} over {}", expr.get_window_frame()))
}

/// Whether the operator knows a function, as far as its name tells.
pub(crate) fn is_likely_supported(call: &WindowFunction) -> bool {
    match &call.fun {
        WindowFunctionDefinition::WindowUDF(function) => {
            let ours = cxql_udfs::window_functions();
            NAMES.contains(&function.name()) || ours.iter().any(|known| known.name() == function.name())
        }
        WindowFunctionDefinition::AggregateUDF(_) => {
            let frame = &call.params.window_frame;
            matches!(&frame.start_bound, WindowFrameBound::Preceding(by) if by.is_null())
        }
    }
}

fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}

fn integer(expr: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    match literal(expr)?.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

/// A number per row.
fn by_row(slices: &Partitions<'_>, value: impl Fn(std::ops::Range<usize>, usize) -> u64) -> ArrayRef {
    let mut values = Vec::with_capacity(slices.rows());
    for range in slices.ranges() {
        values.extend(range.clone().map(|row| value(range.clone(), row)));
    }
    Arc::new(UInt64Array::from(values))
}

fn dense_ranks(slices: &Partitions<'_>) -> ArrayRef {
    let mut ranks = Vec::with_capacity(slices.rows());
    for range in slices.ranges() {
        let mut rank = 0;
        for row in range.clone() {
            rank += u64::from(slices.peers_of(&range, row).start == row);
            ranks.push(rank.max(1));
        }
    }
    Arc::new(UInt64Array::from(ranks))
}

fn shifted(values: &ArrayRef, by: i64, default: &ScalarValue, slices: &Partitions<'_>) -> Result<ArrayRef> {
    let distance = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
    let mut rows = Vec::with_capacity(slices.rows());
    for range in slices.ranges() {
        let missing = distance.min(range.len());
        let (start, end) = (range.start as u32, range.end as u32);
        if by >= 0 {
            rows.resize(rows.len() + missing, NO_ROW);
            rows.extend(start..end - missing as u32);
        } else {
            rows.extend(start + missing as u32..end);
            rows.resize(rows.len() + missing, NO_ROW);
        }
    }
    if default.is_null() {
        return taken(values, rows);
    }
    let default = cast(&default.to_array_of_size(1)?, values.data_type())?;
    let place = |row: u32| if row == NO_ROW { (1, 0) } else { (0, row as usize) };
    let places: Vec<(usize, usize)> = rows.into_iter().map(place).collect();
    Ok(interleave(&[values.as_ref(), default.as_ref()], &places)?)
}

/// The value of another row of the partition, or NULL.
fn picked(
    values: &[ArrayRef],
    slices: &Partitions<'_>,
    place: impl Fn(std::ops::Range<usize>, usize) -> Option<usize>,
) -> Result<ArrayRef> {
    let [values] = values else { return internal_err!("a window function of one column got {}", values.len()) };
    let mut rows = Vec::with_capacity(slices.rows());
    for range in slices.ranges() {
        rows.extend(range.clone().map(|row| place(range.clone(), row).map_or(NO_ROW, |place| place as u32)));
    }
    taken(values, rows)
}

/// The number of no row: a bucket has fewer.
const NO_ROW: u32 = u32::MAX;

/// The values of rows; NULL for [`NO_ROW`].
fn taken(values: &ArrayRef, mut rows: Vec<u32>) -> Result<ArrayRef> {
    let known = BooleanBuffer::collect_bool(rows.len(), |place| rows[place] != NO_ROW);
    let nulls = NullBuffer::new(known);
    if nulls.null_count() > 0 {
        rows.iter_mut().for_each(|row| *row = if *row == NO_ROW { 0 } else { *row });
    }
    Ok(take(values, &UInt32Array::new(rows.into(), Some(nulls)), None)?)
}

fn counts(values: &[ArrayRef], frame: Frame, slices: &Partitions<'_>) -> ArrayRef {
    let nulls = values.first().and_then(|values| values.logical_nulls());
    let mut counts = Vec::with_capacity(slices.rows());
    // how many values are known before each row
    let mut known = Vec::new();
    if let Some(nulls) = &nulls {
        let mut sum = 0;
        known.push(sum);
        known.extend(nulls.iter().map(|is_known| {
            sum += i64::from(is_known);
            sum
        }));
    }
    let count = |range: std::ops::Range<usize>| match (known.get(range.start), known.get(range.end)) {
        (Some(before), Some(after)) => after - before,
        _ => range.len() as i64,
    };
    for range in slices.ranges() {
        if frame.is_whole() {
            counts.resize(counts.len() + range.len(), count(range));
        } else {
            counts.extend(range.clone().map(|row| count(frame.of(slices, &range, row))));
        }
    }
    Arc::new(Int64Array::from(counts))
}

fn running_sums(
    data_type: &DataType,
    values: &[ArrayRef],
    end: FrameBound,
    slices: &Partitions<'_>,
) -> Result<ArrayRef> {
    let [values] = values else { return internal_err!("a sum of {} columns", values.len()) };
    let values = cast(values, data_type)?;
    Ok(match data_type {
        DataType::Float64 => running(end, slices, values.as_primitive::<Float64Type>(), |sum, value| sum + value),
        DataType::Int64 => running(end, slices, values.as_primitive::<Int64Type>(), i64::wrapping_add),
        other => return exec_err!("a running sum of {other}"),
    })
}

fn running<T: ArrowPrimitiveType>(
    end: FrameBound,
    slices: &Partitions<'_>,
    values: &PrimitiveArray<T>,
    join: impl Fn(T::Native, T::Native) -> T::Native,
) -> ArrayRef {
    // each frame has a row, and each row a value
    let is_known = values.null_count() == 0 && !matches!(end, FrameBound::Rows(by) if by < 0);
    if is_known {
        return Arc::new(PrimitiveArray::<T>::new(summed_to(end, slices, values.values(), join).into(), None));
    }
    let value = |row| values.is_valid(row).then(|| values.value(row));
    Arc::new(folded_to(end, slices, value, join).into_iter().collect::<PrimitiveArray<T>>())
}

fn running_extremes(values: &[ArrayRef], is_max: bool, end: FrameBound, slices: &Partitions<'_>) -> Result<ArrayRef> {
    let [values] = values else { return internal_err!("an extreme of {} columns", values.len()) };
    let nulls = values.logical_nulls();
    let compare = make_comparator(values, values, SortOptions::default())?;
    let known = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then_some(row as u32);
    let better = if is_max { Ordering::Greater } else { Ordering::Less };
    let extreme = |best: u32, row: u32| if compare(row as usize, best as usize) == better { row } else { best };
    let rows = folded_to(end, slices, known, extreme);
    Ok(take(values, &UInt32Array::from(rows), None)?)
}

/// For each row the values from the start of its partition to the end of its frame, which is not before the row, put
/// clustered_columns one by one.
fn summed_to<T: Copy>(end: FrameBound, slices: &Partitions<'_>, values: &[T], join: impl Fn(T, T) -> T) -> Vec<T> {
    let mut results = Vec::with_capacity(slices.rows());
    for range in slices.ranges() {
        let Some(&first) = values.get(range.start) else { break };
        let (mut result, mut next) = (first, range.start + 1);
        for row in range.clone() {
            let end = end.end(slices, &range, row);
            for value in values.get(next..end).unwrap_or_default() {
                result = join(result, *value);
            }
            next = next.max(end);
            results.push(result);
        }
    }
    results
}

/// For each row the known values from the start of its partition to the end of its frame, put clustered_columns one by one; none if
/// there is none.
fn folded_to<T: Copy>(
    end: FrameBound,
    slices: &Partitions<'_>,
    value: impl Fn(usize) -> Option<T>,
    join: impl Fn(T, T) -> T,
) -> Vec<Option<T>> {
    let mut results = Vec::with_capacity(slices.rows());
    for range in slices.ranges() {
        let (mut result, mut next) = (None, range.start);
        for row in range.clone() {
            // ends never move back from row to row
            while next < end.end(slices, &range, row) {
                result = match (result, value(next)) {
                    (Some(result), Some(value)) => Some(join(result, value)),
                    (result, value) => result.or(value),
                };
                next += 1;
            }
            results.push(result);
        }
    }
    results
}

/// An aggregate of each partition, for each of its rows.
fn whole(aggregate: &AggregateFunctionExpr, values: &[ArrayRef], slices: &Partitions<'_>) -> Result<ArrayRef> {
    let mut groups = Vec::with_capacity(slices.rows());
    for (group, range) in slices.ranges().enumerate() {
        groups.resize(range.end, group);
    }
    let mut accumulator = aggregate.create_groups_accumulator()?;
    let count = slices.bounds.len().saturating_sub(1);
    accumulator.update_batch(values, &groups, None, count)?;
    let results = accumulator.evaluate(EmitTo::All)?;
    let indices = groups.into_iter().map(|group| group as u32).collect::<Vec<_>>();
    Ok(take(&results, &UInt32Array::from(indices), None)?)
}

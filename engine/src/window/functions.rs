//! [`WindowCall`]: which window functions and frames the operator supports, and their evaluation.
//!
//! | function | supported |
//! |---|---|
//! | `row_number`, `rank`, `dense_rank` | always |
//! | `lag`, `lead`, `nth_value` | constant offset and default |
//! | `first_value`, `last_value`, `count` | any supported frame |
//! | `sum` (`Int64`, `Float64`), `min`, `max` | frames that start with the partition |
//! | other aggregates | over the whole partition, if independent of the order |
//! | functions of `cxql-udfs` with a grouped form | always |
//!
//! Frames are `ROWS` with constant offsets, or end with the peers or the partition. `IGNORE NULLS`, `DISTINCT` and `FILTER`
//! are not supported. [`WindowCall::new`] returns the reason, and the rule then leaves DataFusion's operator in place.

mod evaluate;
mod frame;
mod single_row;

use std::sync::Arc;

use cxql_udfs::grouped::grouped_evaluator;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::PartitionEvaluatorArgs;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{WindowFrameBound, WindowFunctionDefinition, WindowUDF};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::window::{
    PlainAggregateWindowExpr, SlidingAggregateWindowExpr, StandardWindowExpr, WindowExpr,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::windows::WindowUDFExpr;

pub(super) use self::frame::Partitions;
use self::frame::{Frame, FrameBound};
use crate::functions::window_shift::default_value;

/// A window function of a plan that the operator supports.
#[derive(Debug)]
pub(crate) struct WindowCall {
    pub(super) field: FieldRef,
    /// The columns that are evaluated and buffered for the function.
    pub(super) args: Vec<Arc<dyn PhysicalExpr>>,
    /// The planned types of `args`; buffered columns may have another one.
    arg_types: Vec<DataType>,
    pub(super) order_by: Vec<PhysicalSortExpr>,
    kind: CallKind,
}

/// How a function is evaluated.
#[derive(Debug)]
enum CallKind {
    /// A function of `cxql-udfs` that evaluates all partitions in one call.
    Grouped {
        function: Arc<WindowUDF>,
        args: Vec<Arc<dyn PhysicalExpr>>,
        fields: Vec<FieldRef>,
    },
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile {
        tiles: u64,
    },
    /// `lag`, or with a negative offset `lead`.
    Shift {
        by: i64,
        default: ScalarValue,
    },
    /// `nth_value` and `first_value`: the `n`-th row of the frame, from its end if negative.
    Nth {
        n: i64,
        frame: Frame,
    },
    /// `last_value`.
    Last {
        frame: Frame,
    },
    /// `count`.
    Count {
        frame: Frame,
    },
    /// `sum` over frames that start with the partition.
    RunningSum {
        end: FrameBound,
    },
    /// `min` or `max` over frames that start with the partition.
    RunningExtreme {
        is_max: bool,
        end: FrameBound,
    },
    /// An aggregate over the whole partition.
    Whole {
        aggregate: Arc<AggregateFunctionExpr>,
    },
}

impl WindowCall {
    /// Translates a window function of a plan over an input with this schema.
    ///
    /// # Errors
    /// The reason why the operator does not support it.
    pub(crate) fn new(expr: &Arc<dyn WindowExpr>, schema: &Schema) -> std::result::Result<Self, String> {
        let any = expr.as_any();
        let (kind, args) = if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
            standard_call(standard, schema)?
        } else if let Some(plain) = any.downcast_ref::<PlainAggregateWindowExpr>() {
            aggregate_call(plain.get_aggregate_expr(), expr)?
        } else if let Some(sliding) = any.downcast_ref::<SlidingAggregateWindowExpr>() {
            aggregate_call(sliding.get_aggregate_expr(), expr)?
        } else {
            return Err(format!("{} is not supported", expr.name()));
        };
        let field = expr.field().map_err(|error| error.to_string())?;
        let arg_types = args.iter().map(|arg| arg.data_type(schema)).collect::<Result<_>>();
        let arg_types = arg_types.map_err(|error| error.to_string())?;
        Ok(Self { field, args, arg_types, order_by: expr.order_by().to_vec(), kind })
    }

    /// Returns true if this is `row_number`.
    pub(crate) fn is_row_number(&self) -> bool {
        matches!(self.kind, CallKind::RowNumber)
    }

    /// Returns true if the evaluation reads [`Partitions::peers`].
    pub(super) fn needs_peers(&self) -> bool {
        let at_peers = |frame: &Frame| frame.start == FrameBound::Peers || frame.end == FrameBound::Peers;
        match &self.kind {
            CallKind::Rank | CallKind::DenseRank | CallKind::PercentRank | CallKind::CumeDist => true,
            CallKind::Nth { frame, .. } | CallKind::Last { frame } | CallKind::Count { frame } => at_peers(frame),
            CallKind::RunningSum { end } | CallKind::RunningExtreme { end, .. } => *end == FrameBound::Peers,
            CallKind::Grouped { .. }
            | CallKind::RowNumber
            | CallKind::Ntile { .. }
            | CallKind::Shift { .. }
            | CallKind::Whole { .. } => false,
        }
    }

    /// Returns true if the result does not depend on the order of rows within a partition.
    pub(super) fn is_order_free(&self) -> bool {
        matches!(self.kind, CallKind::Whole { .. })
    }

    /// Evaluates the function. `values` are the arguments, sorted by partition and within it by ORDER BY; the result has the
    /// same order.
    ///
    /// # Errors
    /// The function failed.
    pub(super) fn evaluate(&self, values: &[ArrayRef], partitions: &Partitions<'_>) -> Result<ArrayRef> {
        match &self.kind {
            CallKind::Grouped { function, args, fields } => {
                let args = PartitionEvaluatorArgs::new(args, fields, false, false);
                match grouped_evaluator(function, args)? {
                    Some(mut evaluator) => evaluator.evaluate_groups(values, partitions.bounds),
                    None => internal_err!("{} has no grouped form", function.name()),
                }
            }
            CallKind::RowNumber => {
                self.declared(evaluate::map_rows(partitions, |range, row| (row - range.start) as i64 + 1))
            }
            CallKind::Rank => self.declared(evaluate::map_rows(partitions, |range, row| {
                partitions.peers_of(&range, row).start.abs_diff(range.start) as i64 + 1
            })),
            CallKind::DenseRank => self.declared(evaluate::dense_ranks(partitions)),
            CallKind::PercentRank => Ok(evaluate::map_fractions(partitions, |range, row| {
                let before = partitions.peers_of(&range, row).start.abs_diff(range.start);
                if range.len() > 1 { before as f64 / (range.len() - 1) as f64 } else { 0.0 }
            })),
            CallKind::CumeDist => Ok(evaluate::map_fractions(partitions, |range, row| {
                partitions.peers_of(&range, row).end.abs_diff(range.start) as f64 / range.len() as f64
            })),
            CallKind::Ntile { tiles } => {
                self.declared(evaluate::map_rows(partitions, |range, row| evaluate::tile(*tiles, &range, row)))
            }
            CallKind::Shift { by, default } => {
                let [values] = values else { return internal_err!("{} without its column", self.field.name()) };
                evaluate::shift(values, *by, default, partitions)
            }
            CallKind::Nth { n, frame } => evaluate::take_from_frame(values, partitions, |range, row| {
                let frame = frame.of(partitions, &range, row);
                let index = if *n > 0 {
                    frame.start.checked_add(usize::try_from(*n - 1).ok()?)?
                } else {
                    frame.end.checked_sub(usize::try_from(n.unsigned_abs()).ok()?)?
                };
                frame.contains(&index).then_some(index)
            }),
            CallKind::Last { frame } => evaluate::take_from_frame(values, partitions, |range, row| {
                let frame = frame.of(partitions, &range, row);
                (frame.start < frame.end).then(|| frame.end - 1)
            }),
            CallKind::Count { frame } => Ok(evaluate::counts(values, *frame, partitions)),
            CallKind::RunningSum { end } => evaluate::running_sums(self.field.data_type(), values, *end, partitions),
            CallKind::RunningExtreme { is_max, end } => evaluate::running_extremes(values, *is_max, *end, partitions),
            CallKind::Whole { aggregate } => {
                // aggregates require the planned types; buffered columns are views in place of strings and dictionaries
                let values = values.iter().zip(&self.arg_types).map(|(values, arg_type)| cast(values, arg_type));
                evaluate::aggregate_partitions(
                    aggregate,
                    &values.collect::<std::result::Result<Vec<_>, _>>()?,
                    partitions,
                )
            }
        }
    }
}

impl WindowCall {
    /// The same call over another input: `map` gives the expressions over that.
    ///
    /// # Errors
    /// Those of `map`.
    pub(super) fn over(self, map: impl Fn(&Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let args = self.args.iter().map(&map).collect::<Result<_>>()?;
        let order_by = self.order_by.iter().map(|sort| Ok(PhysicalSortExpr::new(map(&sort.expr)?, sort.options)));
        let order_by = order_by.collect::<Result<_>>()?;
        Ok(Self { args, order_by, ..self })
    }

    /// Ranks with their declared type: unsigned if DataFusion's functions are not overridden.
    fn declared(&self, ranks: ArrayRef) -> Result<ArrayRef> {
        let data_type = self.field.data_type();
        if ranks.data_type() == data_type { Ok(ranks) } else { Ok(cast(&ranks, data_type)?) }
    }
}

/// The window functions of DataFusion that the operator supports.
const SUPPORTED: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// The kind of a call and the columns it needs.
type CallParts = (CallKind, Vec<Arc<dyn PhysicalExpr>>);

/// Translates a built-in window function or one of `cxql-udfs`; the error is the reason why it is not supported.
fn standard_call(standard: &StandardWindowExpr, schema: &Schema) -> std::result::Result<CallParts, String> {
    let Some(call) = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>() else {
        return Err(format!("{} is not supported", standard.name()));
    };
    // DataFusion has no accessor for this flag
    if format!("{call:?}").contains("ignore_nulls: true") {
        return Err(format!("{} ignores NULLs", standard.name()));
    }
    let args = call.args().to_vec();
    let fields = args.iter().map(|arg| arg.return_field(schema)).collect::<Result<Vec<_>>>();
    let fields = fields.map_err(|error| error.to_string())?;
    let grouped = PartitionEvaluatorArgs::new(&args, &fields, false, false);
    if grouped_evaluator(call.fun(), grouped).map_err(|error| error.to_string())?.is_some() {
        let columns = standard.expressions();
        return Ok((CallKind::Grouped { function: Arc::clone(call.fun()), args, fields }, columns));
    }
    let first = || args.first().cloned().into_iter().collect::<Vec<_>>();
    let frame = || Frame::new(standard.get_window_frame(), !standard.order_by().is_empty());
    let name = call.fun().name();
    Ok(match name {
        "row_number" => (CallKind::RowNumber, vec![]),
        "rank" => (CallKind::Rank, vec![]),
        "dense_rank" => (CallKind::DenseRank, vec![]),
        "percent_rank" => (CallKind::PercentRank, vec![]),
        "cume_dist" => (CallKind::CumeDist, vec![]),
        // what is no positive integer is an error of DataFusion's function
        "ntile" => match args.first().and_then(integer).and_then(|tiles| u64::try_from(tiles).ok()) {
            Some(tiles) if tiles > 0 => (CallKind::Ntile { tiles }, vec![]),
            _ => return Err("ntile without a constant positive number".to_string()),
        },
        "lag" | "lead" => {
            let Some(field) = fields.first().filter(|field| !field.data_type().is_null()) else {
                return Err(format!("{name} of NULL has no type"));
            };
            let by = match args.get(1) {
                None => 1,
                Some(by) => integer(by).ok_or_else(|| format!("{name} with the offset {by}, which is not constant"))?,
            };
            let default = match args.get(2).map(|default| literal(default).ok_or(default)) {
                None => ScalarValue::try_from(field.data_type()),
                Some(Ok(value)) => default_value(value, field.data_type()),
                Some(Err(default)) => return Err(format!("{name} with the default {default}, which is not constant")),
            };
            let default = default.map_err(|error| error.to_string())?;
            let by = if name == "lag" { by } else { by.checked_neg().ok_or("the offset of lead is out of range")? };
            (CallKind::Shift { by, default }, first())
        }
        "first_value" => (CallKind::Nth { n: 1, frame: frame()? }, first()),
        "last_value" => (CallKind::Last { frame: frame()? }, first()),
        "nth_value" => match args.get(1).and_then(integer) {
            Some(n) if n != 0 && n != i64::MIN => (CallKind::Nth { n, frame: frame()? }, first()),
            _ => return Err("nth_value without a constant index".to_string()),
        },
        _ => return Err(format!("{name} is not supported")),
    })
}

/// Translates an aggregate over a frame; the error is the reason why it is not supported.
fn aggregate_call(
    aggregate: &AggregateFunctionExpr,
    expr: &Arc<dyn WindowExpr>,
) -> std::result::Result<CallParts, String> {
    let name = aggregate.fun().name();
    if aggregate.is_distinct() {
        return Err(format!("{name} counts DISTINCT values"));
    }
    // DataFusion has no accessor for the filter of an aggregate window expression
    if !format!("{expr:?}").contains("filter: None") {
        return Err(format!("{name} has a FILTER"));
    }
    let frame = Frame::new(expr.get_window_frame(), !expr.order_by().is_empty())?;
    let args = aggregate.expressions();
    if name == "count" {
        // `count(1)` is `count(*)`: a constant other than NULL needs no column
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

/// Returns true if the operator most likely supports a function of a logical plan, judged by its name and the start of its
/// frame. The physical plan decides, see [`WindowCall::new`].
pub(crate) fn is_likely_supported(call: &WindowFunction) -> bool {
    match &call.fun {
        WindowFunctionDefinition::WindowUDF(function) => {
            let grouped = cxql_udfs::window_functions();
            SUPPORTED.contains(&function.name()) || grouped.iter().any(|other| other.name() == function.name())
        }
        WindowFunctionDefinition::AggregateUDF(_) => {
            let frame = &call.params.window_frame;
            matches!(&frame.start_bound, WindowFrameBound::Preceding(by) if by.is_null())
        }
    }
}

/// The value of a constant argument.
fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}

fn integer(expr: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    match literal(expr)?.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

//! The values of window functions over a partition of one row.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CaseExpr, IsNullExpr, Literal, cast};

use super::frame::{Frame, FrameBound, Partitions};
use super::{CallKind, WindowCall};
use crate::window::sort::Peers;

/// Whether the frame of the only row of a partition contains it.
fn contains_row(frame: Frame) -> bool {
    let partitions = Partitions { bounds: &[0, 1], peers: &Peers::Partition };
    frame.of(&partitions, &(0..1), 0).contains(&0)
}

impl WindowCall {
    /// The value over a partition of one row, as an expression over the input with this schema. `None` if it is not known:
    /// functions of `cxql-udfs`, and aggregates that do not return their only value as it is.
    pub(crate) fn single_row_value(&self, schema: &Schema) -> Option<Arc<dyn PhysicalExpr>> {
        let data_type = self.field.data_type();
        let constant = |value: ScalarValue| -> Option<Arc<dyn PhysicalExpr>> {
            Some(Arc::new(Literal::new(value.cast_to(data_type).ok()?)))
        };
        let null = || constant(ScalarValue::try_from(data_type).ok()?);
        // -0.0 and NaN are made canonical by some functions
        let arg = || {
            let arg = self.args.first()?;
            let is_same = self.arg_types.first()? == data_type && !data_type.is_floating();
            is_same.then(|| Arc::clone(arg))
        };
        // the row's own value, as it is
        let own = || {
            let arg = Arc::clone(self.args.first()?);
            let is_same = self.arg_types.first()? == data_type;
            if is_same { Some(arg) } else { cast(arg, schema, data_type.clone()).ok() }
        };
        match &self.kind {
            CallKind::RowNumber | CallKind::Rank | CallKind::DenseRank | CallKind::Ntile { .. } => {
                constant(ScalarValue::Int64(Some(1)))
            }
            CallKind::PercentRank => constant(ScalarValue::Float64(Some(0.0))),
            CallKind::CumeDist => constant(ScalarValue::Float64(Some(1.0))),
            CallKind::Shift { by: 0, .. } => own(),
            CallKind::Shift { default, .. } => constant(default.clone()),
            CallKind::Nth { n: 1 | -1, frame } | CallKind::Last { frame } if contains_row(*frame) => own(),
            CallKind::Nth { .. } | CallKind::Last { .. } => null(),
            CallKind::Count { frame } if !contains_row(*frame) => constant(ScalarValue::Int64(Some(0))),
            CallKind::Count { .. } => match self.args.as_slice() {
                [] => constant(ScalarValue::Int64(Some(1))),
                [arg] if !arg.nullable(schema).ok()? => constant(ScalarValue::Int64(Some(1))),
                [arg] => {
                    let is_null: Arc<dyn PhysicalExpr> = Arc::new(IsNullExpr::new(Arc::clone(arg)));
                    let (zero, one) = (constant(ScalarValue::Int64(Some(0)))?, constant(ScalarValue::Int64(Some(1)))?);
                    Some(Arc::new(CaseExpr::try_new(None, vec![(is_null, zero)], Some(one)).ok()?))
                }
                _ => None,
            },
            CallKind::RunningSum { end } | CallKind::RunningExtreme { end, .. } => {
                match contains_row(Frame { start: FrameBound::Partition, end: *end }) {
                    true => arg(),
                    false => null(),
                }
            }
            CallKind::Whole { aggregate } => match aggregate.fun().name() {
                "min" | "max" | "bool_and" | "bool_or" => arg(),
                "sum" if data_type == &DataType::Int64 => arg(),
                "avg" if data_type == &DataType::Float64 && self.arg_types.first()?.is_integer() => own(),
                _ => None,
            },
            CallKind::Grouped { .. } => None,
        }
    }
}

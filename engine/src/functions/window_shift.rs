//! [`WindowShift`]: `lag` and `lead` that ignore NULLs, with an offset or under a LIMIT.
//!
//! Faults of DataFusion 55.2:
//!
//! - `lead(x, 2) ignore nulls`, evaluated row by row as input arrives, miscounts NULLs that arrive after the row. Over
//!   the whole partition it counts them rightly, so that is what is done here.
//! - A LIMIT above windows is pushed below the sort, with as many rows more as a function looks ahead. `lead` that
//!   ignores NULLs looks ahead further than its offset, and `lag` with a negative offset looks ahead too.
//! - The default is cast to the type of the column by Arrow, which reads no `'2025-01-31 08:00'` and fails at clock changes; here
//!   it is cast as everywhere ([`default_value`]).
//!
//! Everything else is the wrapped function. Source: <https://github.com/apache/datafusion/issues/25471>.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{LimitEffect, PartitionEvaluator, ReversedUDWF, WindowUDF, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use crate::functions::delegate::delegate_to_inner;
use crate::functions::temporal_cast::{TemporalCast, is_repaired};

/// The default of `lag` or `lead` as a value of their column.
///
/// # Errors
/// It cannot be cast.
pub(crate) fn default_value(default: &ScalarValue, data_type: &DataType) -> Result<ScalarValue> {
    if !is_repaired(&default.data_type(), data_type) {
        return default.cast_to(data_type);
    }
    ScalarValue::try_from_array(&TemporalCast::to(data_type.clone()).of(&default.to_array()?)?, 0)
}

/// `lag` or `lead` of DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct WindowShift {
    pub(super) inner: Arc<WindowUDF>,
    /// Whether rows arrive in the opposite of the order that was written.
    pub(super) is_reversed: bool,
}

impl WindowUDFImpl for WindowShift {
    delegate_to_inner! { name, aliases, signature, coerce_types, expressions, documentation }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let ignores_nulls = args.ignore_nulls();
        let mut exprs = args.input_exprs().to_vec();
        if let (Some(default), Some(field)) = (exprs.get_mut(2), args.input_fields().first())
            && let Some(literal) = default.downcast_ref::<Literal>()
            && !field.data_type().is_null()
        {
            *default = Arc::new(Literal::new(default_value(literal.value(), field.data_type())?));
        }
        let args = PartitionEvaluatorArgs::new(&exprs, args.input_fields(), args.is_reversed(), ignores_nulls);
        let evaluator = self.inner.partition_evaluator_factory(args)?;
        Ok(if ignores_nulls { Box::new(WholePartition(evaluator)) } else { evaluator })
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        self.inner.field(args)
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        // DataFusion negates the offset
        let reversed = Self { inner: Arc::clone(&self.inner), is_reversed: !self.is_reversed };
        ReversedUDWF::Reversed(Arc::new(WindowUDF::from(reversed)))
    }

    fn limit_effect(&self, args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        let offset = match args.get(1).map(|offset| offset.downcast_ref::<Literal>().map(Literal::value)) {
            None => 1,
            Some(Some(ScalarValue::Int64(Some(offset)))) => *offset,
            Some(_) => return LimitEffect::Unknown,
        };
        let ahead = if (self.name() == "lag") != self.is_reversed { offset.checked_neg() } else { Some(offset) };
        match ahead.map(|ahead| usize::try_from(ahead.max(0))) {
            Some(Ok(0)) => LimitEffect::None,
            Some(Ok(rows)) => LimitEffect::Relative(rows),
            _ => LimitEffect::Unknown,
        }
    }
}

/// An evaluator that is given whole partitions only. DataFusion pushes no LIMIT below the operator that does so.
#[derive(Debug)]
struct WholePartition(Box<dyn PartitionEvaluator>);

impl PartitionEvaluator for WholePartition {
    fn get_range(&self, index: usize, row_count: usize) -> Result<Range<usize>> {
        self.0.get_range(index, row_count)
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], row_count: usize) -> Result<ArrayRef> {
        self.0.evaluate_all(values, row_count)
    }
}

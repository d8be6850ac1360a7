//! One adapter between window functions over whole partitions and DataFusion.
//!
//! A function reads the rows of a partition in the order of the window and gives one value per row; the frame has no part in it.
//! Constants are bound once and are no columns.

use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Documentation, Expr, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use crate::args::{Call, Constants};
use crate::grouped::GroupedEvaluator;
use crate::resolution::refuse_distinct;

/// A SQL window function over whole partitions.
pub(crate) trait PartitionFunction: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// How it is called.
    const CALL: Call;
    /// What the order of the rows is, for a function whose OVER clause needs ORDER BY.
    const ORDER: Option<&'static str>;
    /// The constant arguments.
    type Options: Debug + Send + 'static;

    /// The type of the result.
    fn result_type() -> DataType;

    /// Checks the constant arguments; `given` is the number of all arguments.
    ///
    /// # Errors
    /// A planning error for a constant that is missing or out of range.
    fn bind(constants: &Constants, given: usize) -> Result<Self::Options>;

    /// The results, one per row. `columns` are the arguments that are no constants; partition i is the rows
    /// `bounds[i]..bounds[i + 1]`.
    ///
    /// # Errors
    /// When a column is not of the type that the call was planned with.
    fn evaluate(options: &Self::Options, columns: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef>;

    /// Its page in the manual.
    fn documentation() -> &'static Documentation;
}

/// The DataFusion function for `function`.
pub(crate) fn partition_function<F: PartitionFunction>(function: F) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::new_from_impl(PartitionWindow { function, signature: F::CALL.signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartitionWindow<F> {
    function: F,
    signature: Signature,
}

impl<F: PartitionFunction> PartitionWindow<F> {
    /// The evaluator of one call.
    pub(crate) fn evaluator(&self, args: &PartitionEvaluatorArgs) -> Result<OptionsEvaluator<F>> {
        if args.ignore_nulls() {
            return plan_err!("{}: IGNORE NULLS has no meaning here: NULLs are always left out", F::CALL.function);
        }
        let constants = Constants::of_physical(&F::CALL, args.input_exprs())?;
        Ok(OptionsEvaluator { options: F::bind(&constants, args.input_exprs().len())? })
    }
}

impl<F: PartitionFunction> WindowUDFImpl for PartitionWindow<F> {
    fn name(&self) -> &str {
        F::CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        F::CALL.coerce(arg_types)
    }

    fn field(&self, field_args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(field_args.name(), F::result_type(), true)))
    }

    /// Checks constants before anything runs, and refuses what an OVER clause may hold and the function has no meaning for.
    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(Box::new(|call: WindowFunction, _info| {
            refuse_distinct(F::CALL.function, &call)?;
            if let (Some(order), true) = (F::ORDER, call.params.order_by.is_empty()) {
                return plan_err!(
                    "{}: needs ORDER BY in its OVER clause, got none; write over (partition by .. order by ..) with {order}",
                    F::CALL.function
                );
            }
            if let Some(constants) = Constants::of_logical(&F::CALL, &call.params.args)? {
                F::bind(&constants, call.params.args.len())?;
            }
            Ok(Expr::from(call))
        }))
    }

    /// Constants are not handed to the evaluator row by row.
    fn expressions(&self, expr_args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        let arguments = F::CALL.parameters.iter().zip(expr_args.input_exprs());
        arguments.filter(|(parameter, _)| !parameter.is_constant).map(|(_, expr)| Arc::clone(expr)).collect()
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(self.evaluator(&args)?))
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        if F::ORDER.is_none() { ReversedUDWF::Identical } else { ReversedUDWF::NotSupported }
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        // Where the order matters a row depends on those before it only; else on every row of the partition.
        if F::ORDER.is_some() { LimitEffect::None } else { LimitEffect::Unknown }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(F::documentation())
    }
}

#[derive(Debug)]
pub(crate) struct OptionsEvaluator<F: PartitionFunction> {
    options: F::Options,
}

impl<F: PartitionFunction> PartitionEvaluator for OptionsEvaluator<F> {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        F::evaluate(&self.options, values, &[0, num_rows])
    }
}

impl<F: PartitionFunction> GroupedEvaluator for OptionsEvaluator<F> {
    fn evaluate_groups(&mut self, values: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef> {
        F::evaluate(&self.options, values, bounds)
    }
}

/// The numbers of some rows of a column; `None` for NULL, NaN and infinities.
pub(crate) fn known_numbers(column: &Float64Array, rows: Range<usize>) -> impl Iterator<Item = Option<f64>> {
    let value = |row: usize| column.values().get(row).copied();
    rows.map(move |row| value(row).filter(|value| column.is_valid(row) && value.is_finite()))
}

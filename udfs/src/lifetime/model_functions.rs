//! One adapter for scalar functions of models and numbers: the models are read from their structs, row by row or once.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StringArray, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::fit_functions::{GAMMA_GAMMA, MODELS, SPEND_PARAMETERS};
use super::orders::OrderModel;
use crate::args::{Call, Kind};
use crate::regression::design::numbers_of;

/// A model with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Model {
    Orders(OrderModel, [f64; 4]),
    Spend([f64; 3]),
}

/// A SQL scalar function whose first arguments are models and whose others are numbers.
pub(super) trait ModelFunction: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// How it is called.
    const CALL: Call;

    /// What an argument must be; checked for literals at planning, for columns when they are read.
    ///
    /// # Errors
    /// What is wrong with the argument.
    fn check(parameter: &str, value: f64) -> std::result::Result<(), String>;

    /// The result. Numbers that are NULL or not given are NaN.
    ///
    /// # Errors
    /// When the arguments do not fit together.
    fn compute(models: &[Model], numbers: &[f64]) -> std::result::Result<Option<f64>, String>;

    /// Its page in the manual.
    fn documentation() -> &'static Documentation;
}

/// The DataFusion function for `function`.
pub(super) fn model_function<F: ModelFunction>(function: F) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(ModelUdf { function, signature: F::CALL.signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ModelUdf<F> {
    function: F,
    signature: Signature,
}

/// A column of models.
struct ModelColumn {
    rows: StructArray,
    models: StringArray,
    terms: ListArray,
    names: StringArray,
    estimates: Float64Array,
    is_constant: bool,
}

impl ModelColumn {
    fn of(value: &ColumnarValue, row_count: usize) -> Option<Self> {
        let is_constant = matches!(value, ColumnarValue::Scalar(_));
        let column = value.to_array(if is_constant { 1 } else { row_count }).ok()?;
        let rows = column.as_struct_opt()?.clone();
        // a model may have been stored and read again
        let strings = |column: &ArrayRef| cast(column, &DataType::Utf8).ok()?.as_string_opt::<i32>().cloned();
        let models = strings(rows.column_by_name("model")?)?;
        let terms = rows.column_by_name("terms")?.as_list_opt::<i32>()?.clone();
        let items = terms.values().as_struct_opt()?;
        let names = strings(items.column_by_name("term")?)?;
        let estimates = cast(items.column_by_name("estimate")?, &DataType::Float64).ok()?;
        let estimates = estimates.as_primitive_opt::<Float64Type>()?.clone();
        Some(Self { models, terms, names, estimates, is_constant, rows })
    }

    /// The model of a row; `None` for NULL and for one without parameters.
    fn model(&self, row: usize) -> Option<Model> {
        let row = if self.is_constant { 0 } else { row };
        if self.rows.is_null(row) || self.models.is_null(row) || self.terms.is_null(row) {
            return None;
        }
        let offset =
            |index: usize| self.terms.value_offsets().get(index).and_then(|offset| usize::try_from(*offset).ok());
        let (start, end) = (offset(row)?, offset(row + 1)?);
        let estimate = |name: &str| {
            let index = (start..end).find(|index| self.names.is_valid(*index) && self.names.value(*index) == name)?;
            let estimate = self.estimates.is_valid(index).then(|| self.estimates.value(index))?;
            (estimate > 0.0 && estimate.is_finite()).then_some(estimate)
        };
        let name = self.models.value(row);
        if name == GAMMA_GAMMA {
            let [p, q, gamma] = SPEND_PARAMETERS.map(estimate);
            return Some(Model::Spend([p?, q?, gamma?]));
        }
        let model = MODELS.iter().find(|(known, _)| *known == name)?.1;
        let [r, alpha, third, fourth] = model.parameters().map(estimate);
        Some(Model::Orders(model, [r?, alpha?, third?, fourth?]))
    }
}

impl<F: ModelFunction> ModelUdf<F> {
    fn model_count() -> usize {
        F::CALL.parameters.iter().filter(|parameter| parameter.kind == Kind::Model).count()
    }
}

impl<F: ModelFunction> ScalarUDFImpl for ModelUdf<F> {
    fn name(&self) -> &str {
        F::CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = F::CALL.coerce(arg_types)?;
        for (parameter, given) in F::CALL.parameters.iter().zip(arg_types) {
            let DataType::Struct(fields) = given else { continue };
            let has = |name: &str| fields.iter().any(|field| field.name() == name);
            if parameter.kind == Kind::Model && !(has("model") && has("terms")) {
                let wanted = if parameter.name == "spend_model" { "spend_fit" } else { "clv_fit" };
                return plan_err!(
                    "{}: {} must be the struct of {wanted}, got {given}",
                    F::CALL.function,
                    parameter.name
                );
            }
        }
        Ok(coerced)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    /// Literals are checked while the call is planned, columns when it runs.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        for (parameter, value) in F::CALL.parameters.iter().zip(args.scalar_arguments) {
            let number = value.and_then(|value| match value.cast_to(&DataType::Float64) {
                Ok(ScalarValue::Float64(number)) => number,
                _ => None,
            });
            if let Some(number) = number.filter(|_| parameter.kind == Kind::Number)
                && let Err(message) = F::check(parameter.name, number)
            {
                return plan_err!("{}: {message}", F::CALL.function);
            }
        }
        Ok(Arc::new(Field::new(F::CALL.function, DataType::Float64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let row_count = if is_scalar { 1 } else { args.number_rows };
        let (models, numbers) = args.args.split_at(Self::model_count().min(args.args.len()));
        let is_null = models.iter().any(|model| model.data_type().is_null());
        let models = models.iter().filter(|_| !is_null).map(|model| {
            ModelColumn::of(model, row_count)
                .ok_or_else(|| exec_datafusion_err!("{}: a model is not the struct of a fit", F::CALL.function))
        });
        let models = models.collect::<Result<Vec<_>>>()?;
        let parameters = F::CALL.parameters.get(Self::model_count()..).unwrap_or_default();
        let mut columns = vec![];
        for (parameter, value) in parameters.iter().zip(numbers) {
            let column = numbers_of(&value.to_array(row_count)?)?;
            for number in column.iter().filter(|number| !number.is_nan()) {
                if let Err(message) = F::check(parameter.name, *number) {
                    return exec_err!("{}: {message}", F::CALL.function);
                }
            }
            columns.push(column);
        }
        let mut results = Vec::with_capacity(row_count);
        let (mut of_row, mut given) = (vec![], vec![]);
        for row in 0..row_count {
            of_row.clear();
            of_row.extend(models.iter().filter_map(|model| model.model(row)));
            given.clear();
            // what is not given is not known
            given.extend(
                (0..parameters.len())
                    .map(|index| columns.get(index).and_then(|column| column.get(row)).copied().unwrap_or(f64::NAN)),
            );
            let result = if of_row.len() == Self::model_count() {
                match F::compute(&of_row, &given) {
                    Ok(result) => result,
                    Err(message) => return exec_err!("{}: {message}", F::CALL.function),
                }
            } else {
                None
            };
            results.push(result.filter(|result| result.is_finite()));
        }
        let results = Float64Array::from(results);
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&results, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(results)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(F::documentation())
    }
}

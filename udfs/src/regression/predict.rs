//! `predict(model, features)`: what a model expects of a row.
//!
//! Formula: the linear predictor b0 + sum b_j x_j; 1 / (1 + exp(-it)) of a logistic model, exp(it) of a Poisson model.
//! Units:   as the model's response; a probability, or a mean.
//! NULL:    no model, a model without estimates, a NULL feature, and a level that the model does not know give NULL.
//! Edges:   features are matched by name, whatever their order; others are ignored.
//! Source:  P. McCullagh and J. A. Nelder 1989.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::design::{FeatureEncoder, features, name_features};
use super::reader::{ModelReader, check_model};
use super::{FEATURES, FEATURES_TEXT, page};
use crate::args::{Call, Kind, Parameter};

/// The scalar functions of this file.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(Predict { signature: CALL.signature() }))]
}

const CALL: Call = Call {
    function: "predict",
    syntax: "predict(model, features)",
    parameters: &[Parameter::column("model", Kind::Model), FEATURES],
    arities: &[2],
};

/// The response of a linear predictor.
fn response(method: &str, predictor: f64) -> Result<f64> {
    match method {
        "linear" => Ok(predictor),
        "logistic" => Ok(1.0 / (1.0 + (-predictor).exp())),
        "poisson" => Ok(predictor.exp()),
        other => exec_err!(
            "predict: model must be of linear_fit, logistic_fit or poisson_fit, got one whose method is '{other}'"
        ),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Predict {
    signature: Signature,
}

impl ScalarUDFImpl for Predict {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = CALL.coerce(arg_types)?;
        if let [model, given] = coerced.as_slice() {
            check_model(CALL.function, model)?;
            features(CALL.function, given)?;
        }
        Ok(coerced)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn simplify(&self, mut args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(named) = args.get(1).and_then(name_features) else { return Ok(ExprSimplifyResult::Original(args)) };
        features(CALL.function, &info.get_data_type(&named)?)?;
        if let Some(argument) = args.get_mut(1) {
            *argument = named;
        }
        let function = Arc::new(ScalarUDF::from(Self { signature: CALL.signature() }));
        Ok(ExprSimplifyResult::Simplified(function.call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [model, given] = args.args.as_slice() else {
            return plan_err!("predict: takes 2 arguments, {}, got {}", CALL.syntax, args.args.len());
        };
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let row_count = if is_scalar { 1 } else { args.number_rows };
        // One row of a model that is the same for all.
        let models = match model {
            ColumnarValue::Scalar(model) => model.to_array()?,
            ColumnarValue::Array(models) => Arc::clone(models),
        };
        let given = given.to_array(row_count)?;
        let mut encoder = FeatureEncoder::new(features(CALL.function, given.data_type())?);
        let columns = encoder.encode(&given)?;
        let mut reader = ModelReader::try_new(CALL.function, &models)?;
        let mut predicted = Vec::with_capacity(row_count);
        let mut row = vec![];
        for index in 0..row_count {
            row.clear();
            row.extend(columns.iter().filter_map(|column| column.get(index)));
            let at = if models.len() == 1 { 0 } else { index };
            let value = match reader.predictor(at, &mut encoder)? {
                Some(predictor) => match predictor.value(&row) {
                    Some(value) => Some(response(&predictor.method, value)?),
                    None => None,
                },
                None => None,
            };
            predicted.push(value.filter(|value| value.is_finite()));
        }
        let predicted = Float64Array::from(predicted);
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&predicted, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(predicted)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        CALL,
        "What a model expects of a row: the figure of linear_fit, the probability of logistic_fit, the mean of poisson_fit.\n\
         Formula: b0 + sum of b_j x_j with the estimates of the model; 1 / (1 + exp(-it)) of a logistic model, exp(it) of a Poisson \
         model. A term without an estimate (constant, or a combination of others) counts as 0.\n\
         Units: those of the response of the model.\n\
         NULL: a NULL model, a model without estimates (is_converged false), a feature of the model that is NULL, NaN or infinite, \
         and a string that is no level of the model give NULL: a level that was not seen has no estimate.\n\
         Edges: features are matched with those of the model by name, whatever their order; others are ignored. A feature of the \
         model that is not given, or a string in place of a number, is an error. A model is a value: from a subquery, a column, or \
         Parquet. To judge it, fit it on the rows with train_test(key) = 'train' and predict the others.\n\
         Source: P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., 1989.",
    )
    .with_argument("model", "The struct that linear_fit, logistic_fit or poisson_fit returned.")
    .with_argument("features", FEATURES_TEXT)
    .with_sql_example(
        "```sql
with contacts(handle_s, transfer_count, channel) as (
    values (300, 0, 'phone'), (400, 1, 'phone'), (320, 0, 'phone'), (520, 2, 'phone'), (600, 0, 'mail'), (710, 1, 'mail')
),
fitted as (select linear_fit(handle_s, struct(transfer_count, channel)) as model from contacts)
select round(predict(model, struct(1 as transfer_count, 'mail' as channel)), 1) as mail_s,
    predict(model, struct(1 as transfer_count, 'chat' as channel)) as chat_s
from fitted;
+--------+--------+
| mail_s | chat_s |
+--------+--------+
| 707.3  |        |
+--------+--------+
```",
    )
    .with_related_udf("linear_fit")
    .with_related_udf("logistic_fit")
    .with_related_udf("poisson_fit")
    .build()
});

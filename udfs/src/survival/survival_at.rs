//! `survival_at(model, features, t)`: the share that is left after the time t, by a model of `cox_fit` or `weibull_fit`.
//!
//! Formula: Cox: exp(-baseline(t) exp(sum of estimate (x - mean))); Weibull: exp(-(t / exp(predictor))^(1 / scale)).
//! Units:   t as the durations of the fit; a ratio from 0 to 1 out.
//! NULL:    any NULL, a string that the fit did not see, a time after the last one seen (Cox).
//! Edges:   features are found by their names.
//! Source:  as the fits.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray, StringArray, StructArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::page;
use super::weibull_fit::INTERCEPT;
use crate::args::{Call, Kind, Parameter};
use crate::regression::design::{features, name_features, numbers_of};
use crate::strings::{Column, is_string};

/// The scalar functions of this file.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(SurvivalAt { signature: CALL.signature() }))]
}

const CALL: Call = Call {
    function: "survival_at",
    syntax: "survival_at(model, features, t [, stratum])",
    parameters: &[
        Parameter::column("model", Kind::Model),
        Parameter::column("features", Kind::Features),
        Parameter::column("t", Kind::Number),
        Parameter::column("stratum", Kind::Key),
    ],
    arities: &[3, 4],
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct SurvivalAt {
    signature: Signature,
}

/// The columns of a model that are computed with.
struct Model {
    rows: StructArray,
    terms: ListArray,
    names: StringArray,
    estimates: Float64Array,
    features: StringArray,
    levels: StringArray,
    means: Float64Array,
    baselines: ListArray,
    baseline_features: StringArray,
    baseline_levels: StringArray,
    curve: Curve,
}

enum Curve {
    Cox(Box<Baseline>),
    Weibull { scales: Float64Array },
}

struct Baseline {
    steps: ListArray,
    strata: StringArray,
    times: Float64Array,
    hazards: Float64Array,
}

fn child(parent: &StructArray, name: &str) -> Option<ArrayRef> {
    parent.column_by_name(name).map(Arc::clone)
}

fn list(parent: &StructArray, name: &str) -> Option<(ListArray, StructArray)> {
    let list = child(parent, name)?.as_list_opt::<i32>()?.clone();
    let items = list.values().as_struct_opt()?.clone();
    Some((list, items))
}

/// Strings of any type: a model may have been stored and read again.
fn strings(parent: &StructArray, name: &str) -> Option<StringArray> {
    cast(&child(parent, name)?, &DataType::Utf8).ok()?.as_string_opt::<i32>().cloned()
}

fn numbers(parent: &StructArray, name: &str) -> Option<Float64Array> {
    cast(&child(parent, name)?, &DataType::Float64).ok()?.as_primitive_opt::<Float64Type>().cloned()
}

impl Model {
    fn of(column: &ArrayRef) -> Option<Self> {
        let rows = column.as_struct_opt()?.clone();
        let (terms, term) = list(&rows, "terms")?;
        let (baselines, baseline) = list(&rows, "baselines")?;
        let curve = match list(&rows, "baseline") {
            Some((list, steps)) => Curve::Cox(Box::new(Baseline {
                steps: list,
                strata: strings(&steps, "stratum")?,
                times: numbers(&steps, "time")?,
                hazards: numbers(&steps, "hazard")?,
            })),
            None => Curve::Weibull { scales: numbers(&rows, "scale")? },
        };
        Some(Self {
            names: strings(&term, "term")?,
            estimates: numbers(&term, "estimate")?,
            features: strings(&term, "feature")?,
            levels: strings(&term, "level")?,
            means: numbers(&term, "mean")?,
            baseline_features: strings(&baseline, "feature")?,
            baseline_levels: strings(&baseline, "level")?,
            rows,
            terms,
            baselines,
            curve,
        })
    }

    /// The range of the items of a list.
    fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
        let offset = |index: usize| list.value_offsets().get(index).map_or(0, |offset| *offset as usize);
        if list.is_null(row) { 0..0 } else { offset(row)..offset(row + 1) }
    }

    /// The predictor of a row; `None` where a feature is NULL or has a level that the fit did not see, or the model no
    /// estimates.
    fn predictor(&self, model: usize, given: &Features<'_>, row: usize) -> Result<Option<f64>> {
        let terms = Self::range(&self.terms, model);
        if terms.is_empty() && self.terms.is_null(model) {
            return Ok(None);
        }
        let is_centred = matches!(self.curve, Curve::Cox(_));
        let mut sum = 0.0;
        let mut index = terms.start;
        while index < terms.end {
            let estimate = self.estimates.is_valid(index).then(|| self.estimates.value(index));
            if self.features.is_null(index) {
                if self.names.value(index) == INTERCEPT {
                    let Some(estimate) = estimate else { return Ok(None) };
                    sum += estimate;
                }
                index += 1;
                continue;
            }
            let feature = self.features.value(index);
            let column = given.find(feature)?;
            let mean = if is_centred { self.means.value(index) } else { 0.0 };
            let value = if self.levels.is_null(index) {
                match column.number(row)? {
                    Some(number) => number,
                    None => return Ok(None),
                }
            } else {
                let Some(level) = column.level(row)? else { return Ok(None) };
                if !self.has_level(model, feature, level, &terms) {
                    return Ok(None);
                }
                f64::from(u8::from(self.levels.value(index) == level))
            };
            // a term without an estimate adds nothing
            sum += estimate.unwrap_or(0.0) * (value - mean);
            index += 1;
        }
        Ok(Some(sum))
    }

    fn has_level(&self, model: usize, feature: &str, level: &str, terms: &std::ops::Range<usize>) -> bool {
        let is_own = |features: &StringArray, levels: &StringArray, index: usize| {
            features.is_valid(index) && features.value(index) == feature && levels.value(index) == level
        };
        terms.clone().any(|index| self.levels.is_valid(index) && is_own(&self.features, &self.levels, index))
            || Self::range(&self.baselines, model)
                .any(|index| is_own(&self.baseline_features, &self.baseline_levels, index))
    }

    /// The share that is left.
    fn survival(&self, model: usize, predictor: f64, t: f64, stratum: Option<&str>) -> Result<Option<f64>> {
        match &self.curve {
            Curve::Weibull { scales } => {
                if scales.is_null(model) {
                    return Ok(None);
                }
                let log_hazard = if t > 0.0 { (t.ln() - predictor) / scales.value(model) } else { f64::NEG_INFINITY };
                Ok(Some((-log_hazard.exp()).exp()))
            }
            Curve::Cox(baseline) => {
                let Baseline { steps, strata, times, hazards } = baseline.as_ref();
                let steps = Self::range(steps, model);
                let (mut hazard, mut last, mut is_known) = (0.0, f64::NEG_INFINITY, false);
                for index in steps {
                    let own = strata.is_valid(index).then(|| strata.value(index));
                    match (own, stratum) {
                        (Some(_), None) => {
                            return exec_err!(
                                "survival_at: the model has strata; give the stratum of the row, stratum => .."
                            );
                        }
                        (Some(own), Some(stratum)) if own != stratum => continue,
                        _ => {}
                    }
                    is_known = true;
                    last = times.value(index);
                    if last <= t {
                        hazard = hazards.value(index);
                    }
                }
                let is_seen = is_known && t <= last;
                // a hazard of 0 times any ratio is 0
                Ok(is_seen.then(|| if hazard == 0.0 { 1.0 } else { (-(hazard.ln() + predictor).exp()).exp() }))
            }
        }
    }
}

/// A field of the struct of features.
enum Given<'a> {
    Numbers(Vec<f64>),
    Strings(Column<'a>),
}

/// The features of the rows by their names.
struct Features<'a> {
    columns: Vec<(&'a str, Given<'a>)>,
}

impl<'a> Features<'a> {
    fn of(column: &'a StructArray) -> Result<Self> {
        let mut columns = vec![];
        for (field, values) in column.fields().iter().zip(column.columns()) {
            let given = if is_string(field.data_type()) {
                Given::Strings(Column::new(values.as_ref())?)
            } else {
                Given::Numbers(numbers_of(values)?)
            };
            columns.push((field.name().as_str(), given));
        }
        Ok(Self { columns })
    }

    fn find(&self, name: &str) -> Result<&Given<'a>> {
        let found = self.columns.iter().find(|(known, _)| *known == name).map(|(_, given)| given);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
            exec_datafusion_err!("survival_at: the model has the feature {name}, features has {}", names.join(", "))
        })
    }
}

impl Given<'_> {
    fn number(&self, row: usize) -> Result<Option<f64>> {
        match self {
            Given::Numbers(numbers) => Ok(numbers.get(row).copied().filter(|number| !number.is_nan())),
            Given::Strings(_) => {
                exec_err!("survival_at: a feature is a string, in the model it is a number or a Boolean")
            }
        }
    }

    fn level(&self, row: usize) -> Result<Option<&str>> {
        match self {
            Given::Strings(strings) => Ok(strings.index(row).and_then(|index| strings.values.get(index))),
            Given::Numbers(_) => {
                exec_err!("survival_at: a feature is a number or a Boolean, in the model it is a string")
            }
        }
    }
}

impl ScalarUDFImpl for SurvivalAt {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let mut coerced = CALL.coerce(arg_types)?;
        if let Some(model @ DataType::Struct(fields)) = arg_types.first() {
            let has = |name: &str| fields.iter().any(|field| field.name() == name);
            let is_model = has("terms") && has("baselines") && (has("baseline") || has("scale"));
            if !is_model {
                return plan_err!("survival_at: model must be the struct of cox_fit or weibull_fit, got {model}");
            }
        }
        if let Some(given) = arg_types.get(1).filter(|given| !given.is_null()) {
            features(CALL.function, given)?;
        }
        if let Some(stratum) = coerced.get_mut(3) {
            *stratum = DataType::Utf8;
        }
        Ok(coerced)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    /// Names the features of `struct(a, b)` after their columns.
    fn simplify(&self, mut args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if let Some(named) = args.get(1).and_then(name_features)
            && let Some(argument) = args.get_mut(1)
        {
            *argument = named;
            let function = ScalarUDF::from(SurvivalAt { signature: CALL.signature() });
            return Ok(ExprSimplifyResult::Simplified(function.call(args)));
        }
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let row_count = if is_scalar { 1 } else { args.number_rows };
        let [model, given, t, stratum @ ..] = args.args.as_slice() else {
            return exec_err!("survival_at: called without its arguments");
        };
        let as_scalar = |array: Float64Array| -> Result<ColumnarValue> {
            Ok(if is_scalar {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
            } else {
                ColumnarValue::Array(Arc::new(array))
            })
        };
        if model.data_type().is_null() || given.data_type().is_null() {
            return as_scalar(Float64Array::new_null(row_count));
        }
        // one model for all rows is read once
        let is_one_model = matches!(model, ColumnarValue::Scalar(_));
        let model = model.to_array(if is_one_model { 1 } else { row_count })?;
        let model = Model::of(&model)
            .ok_or_else(|| exec_datafusion_err!("survival_at: model is not the struct of cox_fit or weibull_fit"))?;
        let given = given.to_array(row_count)?;
        let given =
            given.as_struct_opt().ok_or_else(|| exec_datafusion_err!("survival_at: features is not a struct"))?;
        let features = Features::of(given)?;
        let times = numbers_of(&t.to_array(row_count)?)?;
        let strata = stratum.first().map(|stratum| stratum.to_array(row_count)).transpose()?;
        let strata = strata.as_ref().map(|strata| Column::new(strata.as_ref())).transpose()?;
        let mut is_known: Vec<bool> = times.iter().map(|t| *t >= 0.0).collect();
        if let Some(nulls) = given.nulls() {
            is_known.iter_mut().zip(nulls).for_each(|(is_known, is_valid)| *is_known &= is_valid);
        }
        let is_known = BooleanArray::from(is_known);
        let mut shares = Vec::with_capacity(row_count);
        for (row, t) in times.iter().enumerate() {
            let index = if is_one_model { 0 } else { row };
            if !is_known.value(row) || model.rows.is_null(index) {
                shares.push(None);
                continue;
            }
            let stratum =
                strata.as_ref().and_then(|strata| strata.index(row).and_then(|index| strata.values.get(index)));
            let share = match model.predictor(index, &features, row)? {
                Some(predictor) => model.survival(index, predictor, *t, stratum)?,
                None => None,
            };
            shares.push(share.filter(|share| share.is_finite()));
        }
        as_scalar(Float64Array::from(shares))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        CALL,
        "The probability that a customer with these features is still there after the time t, by a model that was fitted before: on \
         other customers, or stored and read again.\n\
         Formula: cox_fit: exp(-baseline(t) exp(sum of estimate (x - mean))), with the baseline of the last time up to t; weibull_fit: \
         exp(-(t / exp(intercept + sum of estimate x))^(1 / scale)). For one who has been there for a time s already: survival_at(.., \
         s + t) / survival_at(.., s).\n\
         Units: t as the durations of the fit; a ratio from 0 to 1 out.\n\
         NULL: a NULL model, feature or t, a t below 0, a model without estimates, and a string that the fit did not see give NULL. So \
         does a t after the last time that the stratum of cox_fit was seen: nothing is known of it.\n\
         Edges: features are found by their names, in any order; one that the model has not is ignored, one that is missing is an \
         error. A term without an estimate adds nothing. A model with strata needs the stratum.\n\
         Source: D. R. Cox, Journal of the Royal Statistical Society B 34 (1972) 187-220; J. D. Kalbfleisch and R. L. Prentice, The \
         Statistical Analysis of Failure Time Data, 2nd ed., Wiley 2002, chapters 3 and 4.",
    )
    .with_argument("model", "The struct of cox_fit or weibull_fit.")
    .with_argument("features", "Struct with the features of the fit: struct(age, plan).")
    .with_argument("t", "Number >= 0: the time.")
    .with_argument("stratum", "The stratum of the row, for a model with strata.")
    .with_sql_example(
        "```sql
with customers as (
    select * from (values
        ('basic', 5, 1, true), ('basic', 2, 2, true), ('basic', 4, 3, true), ('basic', 1, 5, false), ('basic', 0, 7, true),
        ('gold', 2, 3, true), ('gold', 3, 6, true), ('gold', 0, 8, false), ('gold', 1, 9, false)
    ) as customers(plan, call_count, months, has_left)
),
model as (select weibull_fit(months, has_left, struct(call_count, plan)) as fit from customers)
select plan, call_count, round(survival_at(fit, struct(call_count, plan), 3), 3) as still_there_ratio
from customers cross join model
order by still_there_ratio, plan
limit 4;
+-------+------------+-------------------+
| plan  | call_count | still_there_ratio |
+-------+------------+-------------------+
| basic | 5          | 0.002             |
| basic | 4          | 0.092             |
| basic | 2          | 0.696             |
| gold  | 3          | 0.849             |
+-------+------------+-------------------+
```",
    )
    .with_related_udf("cox_fit")
    .with_related_udf("weibull_fit")
    .build()
});

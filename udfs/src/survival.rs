//! How long until customers leave: survival curves, tests between groups, regression of durations.
//!
//! A row is a customer: `duration` is the time until he left or was last seen, `is_event` whether he left. One who has not left
//! is censored: he counts as long as he was seen. Estimates in plain Rust, with the paper they follow: [`curve`], [`logrank`],
//! [`cox`], [`concordance`], [`proportionality`], [`weibull`]; the other files are the SQL functions over them.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, DocSection, Documentation, DocumentationBuilder, ScalarUDF};

use crate::args::{Call, Constants, Kind, Parameter};
use crate::fit::value::{Members, Shape, Value};
use crate::inference::distribution::{chi_square_upper, normal_critical, normal_two_sided};

mod concordance;
mod cox;
mod cox_fit;
mod curve;
mod curve_functions;
mod logrank;
mod logrank_test;
mod model;
mod proportionality;
mod survival_at;
mod weibull;
mod weibull_fit;

use logrank::Test;

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [
        curve_functions::aggregate_functions(),
        logrank_test::aggregate_functions(),
        cox_fit::aggregate_functions(),
        weibull_fit::aggregate_functions(),
    ]
    .concat()
}

/// The scalar functions of the family.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    survival_at::scalar_functions()
}

const SECTION: DocSection = DocSection {
    include: true,
    label: "Survival",
    description: Some(
        "How long until customers leave, and what makes them leave sooner. A row is a customer: `duration` is the time until he \
         left or was last seen, in any unit; `is_event` is true for one who left. One who has not left yet is no loss of data and \
         no success either: he counts for as long as he was seen. The aggregates hold their rows in memory until the end, equal \
         rows once; a fit is a value that can be stored, and `survival_at` computes from it.",
    ),
};

/// Begins a page of the manual.
fn page(call: Call, description: &str) -> DocumentationBuilder {
    Documentation::builder(SECTION, description, call.syntax)
}

const DURATION: Parameter = Parameter::column("duration", Kind::Number);
const IS_EVENT: Parameter = Parameter::column("is_event", Kind::Flag);
const LEVEL: Parameter = Parameter::constant("level", Kind::Number);

const DURATION_TEXT: &str = "Number >= 0: the time until the event, or until the row was last seen without it.";
const IS_EVENT_TEXT: &str =
    "Boolean: true where the event was seen at the end of the duration, false where it was not seen yet.";
const LEVEL_TEXT: &str = "Constant number between 0 and 1: the confidence level. Default 0.95.";

const NO_ROWS: &str = "no row with a known duration and event";
const NO_EVENTS: &str = "no event in the rows";

/// The z of the confidence level of a call.
fn critical(constants: &Constants) -> Result<f64> {
    Ok(normal_critical(constants.probability("level", 0.95)?))
}

/// A term of a fit.
const TERM: Members = &[
    ("term", Shape::Text),
    ("estimate", Shape::Number),
    ("std_error", Shape::Number),
    ("statistic", Shape::Number),
    ("p_value", Shape::Number),
    ("low", Shape::Number),
    ("high", Shape::Number),
    ("feature", Shape::Text),
    ("level", Shape::Text),
    ("mean", Shape::Number),
];

/// The values of [`TERM`] up to the interval, for an estimate with a normal distribution.
fn term(name: &str, estimate: Option<f64>, variance: f64, z: f64) -> Vec<Value> {
    let error = estimate.map(|_| variance.sqrt()).filter(|error| *error > 0.0 && error.is_finite());
    let statistic = estimate.zip(error).map(|(estimate, error)| estimate / error);
    vec![
        Value::Text(name.to_owned()),
        Value::number(estimate),
        Value::number(error),
        Value::number(statistic),
        Value::number(statistic.map(normal_two_sided)),
        Value::number(estimate.zip(error).map(|(estimate, error)| estimate - z * error)),
        Value::number(estimate.zip(error).map(|(estimate, error)| estimate + z * error)),
    ]
}

/// A statistic, its degrees of freedom and its p-value.
fn chi_square_test(test: Option<Test>) -> [Value; 3] {
    [
        Value::number(test.map(|test| test.statistic)),
        Value::number(test.map(|test| test.df as f64)),
        Value::number(test.map(|test| chi_square_upper(test.statistic, test.df as f64))),
    ]
}

//! What each customer is worth: how often customers order, whether they still do, what they spend.
//!
//! A row is a customer: `frequency` counts the orders after the first, `recency` is the time from the first to the last order,
//! `age` the time from the first order until the end of the data. [`orders`] and [`spend`] are the models in plain Rust, [`fit`]
//! their maximum likelihood; the other files are the SQL functions over them.

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, DocSection, Documentation, DocumentationBuilder, ScalarUDF};

use crate::args::{Call, Kind, Parameter};
use crate::fit::value::{Members, Shape, Value};
use crate::lifetime::fit::Fit;

mod fit;
mod fit_functions;
mod model_functions;
mod orders;
mod periods;
mod spend;
mod value_functions;

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    fit_functions::aggregate_functions()
}

/// The scalar functions of the family.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    value_functions::scalar_functions()
}

const SECTION: DocSection = DocSection {
    include: true,
    label: "Customer lifetime value",
    description: Some(
        "What each customer is worth where nobody says good-bye: how often he will order, whether he still is a customer, what he \
         spends. A row is a customer: `frequency` counts his orders after the first, `recency` is the time from his first to his last \
         order, `age` the time from his first order until the end of the data, all in one unit of time. The fits are aggregates that \
         hold the distinct rows in memory; a fit is a value that can be stored, and the other functions compute from it.",
    ),
};

/// Begins a page of the manual.
fn page(call: Call, description: &str) -> DocumentationBuilder {
    Documentation::builder(SECTION, description, call.syntax)
}

const FREQUENCY: Parameter = Parameter::column("frequency", Kind::Number);
const RECENCY: Parameter = Parameter::column("recency", Kind::Number);
const AGE: Parameter = Parameter::column("age", Kind::Number);
const LEVEL: Parameter = Parameter::constant("level", Kind::Number);

const FREQUENCY_TEXT: &str =
    "Number: how many orders came after the first one, 0, 1, 2 ..; several on one day are one.";
const RECENCY_TEXT: &str = "Number: the time from the first to the last order, 0 without a later one.";
const AGE_TEXT: &str = "Number: the time from the first order until the end of the data, at least recency.";
const LEVEL_TEXT: &str = "Constant number between 0 and 1: the confidence level. Default 0.95.";

/// A parameter of a model. A test that it is 0 has no meaning: statistic and p_value are NULL.
const TERM: Members = &[
    ("term", Shape::Text),
    ("estimate", Shape::Number),
    ("std_error", Shape::Number),
    ("statistic", Shape::Number),
    ("p_value", Shape::Number),
    ("low", Shape::Number),
    ("high", Shape::Number),
];

/// The covariance of the logarithms of two parameters.
const COVARIANCE: Members = &[("term", Shape::Text), ("other_term", Shape::Text), ("covariance", Shape::Number)];

/// The fields of a fit.
const FIELDS: Members = &[
    ("method", Shape::Text),
    ("n", Shape::Count),
    ("n_missing", Shape::Count),
    ("n_repeat", Shape::Count),
    ("is_converged", Shape::Flag),
    ("reason", Shape::Text),
    ("model", Shape::Text),
    ("log_likelihood", Shape::Number),
    ("terms", Shape::List(TERM)),
    ("log_covariance", Shape::List(COVARIANCE)),
];

/// The values of [`FIELDS`] from `is_converged` on.
fn fit_values(model: &str, names: &[&str], fitted: Option<&Fit>, reason: Option<String>, z: f64) -> Vec<Value> {
    let Some(fitted) = fitted else {
        return vec![Value::Flag(false), Value::text(reason), Value::Text(model.to_owned())];
    };
    let size = names.len();
    let covariance = |row: usize, column: usize| fitted.log_covariance.get(row * size + column).copied();
    let terms = names.iter().zip(&fitted.parameters).enumerate().map(|(index, (name, estimate))| {
        // the logarithm of the parameter is normal
        let error = covariance(index, index).map(f64::sqrt);
        vec![
            Value::Text((*name).to_owned()),
            Value::Number(*estimate),
            Value::number(error.map(|error| estimate * error)),
            Value::Null,
            Value::Null,
            Value::number(error.map(|error| estimate * (-z * error).exp())),
            Value::number(error.map(|error| estimate * (z * error).exp())),
        ]
    });
    let pairs = (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
    let covariances = pairs.filter_map(|(row, column)| {
        let (name, other) = (names.get(row)?, names.get(column)?);
        let covariance = covariance(row, column)?;
        Some(vec![Value::Text((*name).to_owned()), Value::Text((*other).to_owned()), Value::Number(covariance)])
    });
    let covariances: Vec<_> = covariances.collect();
    vec![
        Value::Flag(fitted.is_converged),
        Value::text(reason),
        Value::Text(model.to_owned()),
        Value::Number(fitted.log_likelihood),
        Value::List(terms.collect()),
        if covariances.is_empty() { Value::Null } else { Value::List(covariances) },
    ]
}

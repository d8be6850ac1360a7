//! Models of a figure or a flag by features: fits, what they predict, and how good it is.
//!
//! A fit is an aggregate that returns a STRUCT (see [`model`]): `n`, `is_converged`, `reason`, figures, and `terms`. Its
//! features are one struct argument (see [`design`]).

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, DocSection, Documentation, DocumentationBuilder, ScalarUDF};

use crate::args::{Call, Kind, Parameter};

pub(crate) mod design;
pub(crate) mod fit;
mod glm;
mod gmm;
mod gmm_fit;
mod kmeans;
mod kmeans_fit;
mod linear;
mod matrix;
pub(crate) mod model;
mod nearest_cluster;
mod newton;
mod predict;
pub(crate) mod reader;
mod roc_auc;
mod score_tables;
mod scored;
pub(crate) mod state;
mod train_test;
mod triangle;

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [
        linear::aggregate_functions(),
        glm::aggregate_functions(),
        roc_auc::aggregate_functions(),
        score_tables::aggregate_functions(),
        kmeans_fit::aggregate_functions(),
        gmm_fit::aggregate_functions(),
    ]
    .concat()
}

/// The scalar functions of the family.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    [predict::scalar_functions(), train_test::scalar_functions(), nearest_cluster::scalar_functions()].concat()
}

const SECTION: DocSection = DocSection {
    include: true,
    label: "Models",
    description: Some(
        "What a figure, a count or a flag depends on, what is expected of other rows, and how good that is. A fit is an aggregate \
         that returns a STRUCT: n rows, n_missing rows left out, is_converged, reason (why something is missing), figures, and terms, \
         a list with a row for each term: `unnest(f(..)['terms'])`. A model is a value: it can be stored, joined and used later.",
    ),
};

/// Begins a page of the manual.
pub(crate) fn page(call: Call, description: &str) -> DocumentationBuilder {
    Documentation::builder(SECTION, description, call.syntax)
}

pub(crate) const FEATURES: Parameter = Parameter::column("features", Kind::Features);
pub(crate) const LEVEL: Parameter = Parameter::constant("level", Kind::Number);

pub(crate) const FEATURES_TEXT: &str =
    "Struct: the features, struct(a, b) or struct(x + 1 as a, y as b); numbers, Booleans and strings.";
pub(crate) const LEVEL_TEXT: &str =
    "Constant number between 0 and 1: the confidence level of low and high. Default 0.95.";

pub(crate) const NO_ROWS: &str = "no row with known values";

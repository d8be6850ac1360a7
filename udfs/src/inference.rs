//! Figures with their uncertainty: confidence intervals, tests of a difference, effect sizes.
//!
//! All of them are aggregates that return a STRUCT with named fields, among them a `reason` wherever a figure is NULL. A
//! difference is the other group less the baseline, which is the smaller value of `group` unless `baseline` names it; `n_a`
//! counts the rows of the baseline, `n_b` those of the other group.
//!
//! What is in a column ([`description`]) and whether two go together ([`relation`]) share their adapter.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, DocSection, Documentation, DocumentationBuilder, ScalarUDF, WindowUDF};

use crate::aggregate::{flags, numbers};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::satisfaction::Recommendations;

mod always_valid;
mod anova;
mod axis;
pub(crate) mod cells;
mod changepoints;
mod contingency;
mod counts;
mod description;
mod deviation;
pub(crate) mod distribution;
mod effects;
mod fisher;
mod groups;
mod kruskal;
mod means;
mod order;
mod p_adjust;
pub(crate) mod proportion;
mod ranks;
pub(crate) mod record;
mod relation;
mod sample_size;
mod satisfaction;
mod season;
mod shares;
pub(crate) mod statistic;
mod trend;

use proportion::Level;

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    [
        shares::aggregate_functions(),
        satisfaction::aggregate_functions(),
        means::aggregate_functions(),
        order::aggregate_functions(),
        ranks::aggregate_functions(),
        effects::aggregate_functions(),
        contingency::aggregate_functions(),
        fisher::aggregate_functions(),
        anova::aggregate_functions(),
        kruskal::aggregate_functions(),
        always_valid::aggregate_functions(),
        description::aggregate_functions(),
        relation::aggregate_functions(),
        deviation::aggregate_functions(),
        changepoints::aggregate_functions(),
        trend::aggregate_functions(),
        season::aggregate_functions(),
    ]
    .concat()
}

/// The scalar functions of the family.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    [counts::scalar_functions(), sample_size::scalar_functions()].concat()
}

/// The window functions of the family.
pub(crate) fn window_functions() -> Vec<Arc<WindowUDF>> {
    p_adjust::window_functions()
}

const SECTION: DocSection = DocSection {
    include: true,
    label: "Intervals and tests",
    description: Some(
        "How sure a figure is, and whether a difference is more than chance. Each returns a STRUCT: `f(..)['low']` is one of its \
         fields. `low` and `high` are the ends of the confidence interval, `n` the rows that count, `is_small` whether they are \
         fewer than 30, `reason` says why a figure is NULL. In a comparison `n_a` counts the rows of the baseline and `n_b` those \
         of the other group; a difference is the other group less the baseline.",
    ),
};

/// Begins a page of the manual.
fn page(call: Call, description: &str) -> DocumentationBuilder {
    Documentation::builder(SECTION, description, call.syntax)
}

/// Begins a page of the manual on change over time.
fn change_page(call: Call, description: &str) -> DocumentationBuilder {
    Documentation::builder(crate::control::SECTION, description, call.syntax)
}

const AT: Parameter = Parameter::column("at", Kind::At);
const LEVEL: Parameter = Parameter::constant("level", Kind::Number);
const GROUP: Parameter = Parameter::column("group", Kind::Key);
const BASELINE: Parameter = Parameter::constant(statistic::BASELINE, Kind::KeyValue);

const LEVEL_TEXT: &str = "Constant number between 0 and 1: the confidence level. Default 0.95.";
const GROUP_TEXT: &str =
    "The group of the row: a string, a number, a Boolean, a date or a timestamp. Two groups are compared.";
const BASELINE_TEXT: &str = "Constant: the group that the other one is compared with. Default: the smaller of the two.";

/// The confidence level of a call.
fn level(constants: &Constants) -> Result<Level> {
    let level = constants.probability("level", 0.95)?;
    Ok(Level { level, z: distribution::normal_critical(level) })
}

/// Calls `each` once per row of a column of numbers. NULL, NaN and infinities do not count.
pub(crate) fn each_number(columns: &[ArrayRef], index: usize, mut each: impl FnMut(Option<f64>)) -> Result<()> {
    let column = numbers(columns, index)?;
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => column.values().iter().for_each(|value| each(value.is_finite().then_some(*value))),
        Some(nulls) => column
            .values()
            .iter()
            .zip(nulls.iter())
            .for_each(|(value, is_known)| each((is_known && value.is_finite()).then_some(*value))),
    }
    Ok(())
}

/// Calls `each` once per row of a column of flags. NULL does not count.
pub(crate) fn each_flag(columns: &[ArrayRef], index: usize, mut each: impl FnMut(Option<bool>)) -> Result<()> {
    let column = flags(columns, index)?;
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => column.values().iter().for_each(|flag| each(Some(flag))),
        Some(nulls) => {
            column.values().iter().zip(nulls.iter()).for_each(|(flag, is_known)| each(is_known.then_some(flag)));
        }
    }
    Ok(())
}

/// Calls `each` once per row of a column of NPS answers: 1 for a promoter, -1 for a detractor.
fn each_answer(columns: &[ArrayRef], index: usize, mut each: impl FnMut(Option<i8>)) -> Result<()> {
    each_number(columns, index, |score| {
        let answer = score.map(Recommendations::of).filter(|answer| answer.answers > 0);
        each(answer.map(|answer| answer.balance as i8));
    })
}

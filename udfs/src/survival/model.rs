//! What the fits of this family share: the matrix of features, and the names that tell `survival_at` what a term is.

use std::collections::BTreeMap;

use crate::fit::FitRows;
use crate::fit::value::{Members, Shape, Value};
use crate::regression::design::{Design, FeatureKind, LevelCounts, listed};

/// The levels that have no term.
pub(super) const BASELINES: Members = &[("feature", Shape::Text), ("level", Shape::Text)];

/// The features of the rows of a fit, dummy-coded.
#[derive(Debug, Default)]
pub(super) struct Matrix {
    pub(super) design: Design,
    /// One row per distinct row, by rows.
    pub(super) values: Vec<f64>,
    /// The names of the features, by their indices in the design.
    names: Vec<String>,
}

impl Matrix {
    /// The features of the rows.
    ///
    /// # Errors
    /// The reason why there are none: too many levels or terms.
    pub(super) fn of(rows: &FitRows<'_>) -> Result<Self, String> {
        let Some(encoder) = rows.encoder else { return Ok(Self::default()) };
        let count = encoder.features.len();
        let mut counts: LevelCounts = vec![BTreeMap::new(); count];
        for (index, counts) in counts.iter_mut().enumerate() {
            if encoder.features.get(index).is_none_or(|feature| feature.kind != FeatureKind::Text) {
                continue;
            }
            for row in rows.rows() {
                if let (Some(code), Some(weight)) = (row.get(rows.first_feature + index), row.last()) {
                    *counts.entry(*code as u32).or_insert(0) += *weight as i64;
                }
            }
        }
        let design = Design::of_counts(encoder, &counts)?;
        let mut values = Vec::with_capacity(rows.rows().count() * design.terms.len());
        for row in rows.rows() {
            design.expand(row.get(rows.first_feature..).unwrap_or_default(), &mut values);
        }
        let names = encoder.features.iter().map(|feature| feature.name.clone()).collect();
        Ok(Self { design, values, names })
    }

    /// How many terms a row has.
    pub(super) fn width(&self) -> usize {
        self.design.terms.len()
    }

    /// The values of [`BASELINES`].
    pub(super) fn baselines(&self) -> Value {
        let baselines =
            self.design.baselines.iter().map(|(feature, level)| {
                vec![Value::text(self.names.get(*feature).cloned()), Value::Text(level.clone())]
            });
        Value::List(baselines.collect())
    }

    /// The feature, the level and the mean of a term.
    pub(super) fn origin(&self, index: usize, mean: f64) -> [Value; 3] {
        let Some(term) = self.design.terms.get(index) else { return [Value::Null, Value::Null, Value::Null] };
        [
            Value::text(self.names.get(term.feature).cloned()),
            Value::text(term.level.as_ref().map(|(_, level)| level.clone())),
            Value::Number(mean),
        ]
    }

    /// The names of terms.
    pub(super) fn term_names(&self, indices: impl Iterator<Item = usize>) -> String {
        let names = indices.filter_map(|index| self.design.terms.get(index)).map(|term| term.name.as_str());
        listed(&names.collect::<Vec<_>>())
    }

    /// Why a fit with these estimates is not all that it could be.
    pub(super) fn reason(&self, is_converged: bool, left_out: &[usize], runaway: &[usize]) -> Option<String> {
        if !runaway.is_empty() {
            return Some(format!(
                "no finite estimate for {}: the events are separated by it, the likelihood grows for ever",
                self.term_names(runaway.iter().copied())
            ));
        }
        if !is_converged {
            return Some("the likelihood did not reach its maximum".to_owned());
        }
        (!left_out.is_empty()).then(|| {
            format!(
                "no estimate for {}: constant, or a combination of other terms",
                self.term_names(left_out.iter().copied())
            )
        })
    }
}

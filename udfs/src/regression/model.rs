//! A model as a STRUCT: its fields, how they are built, and how they are read again.
//!
//! Every fit has `method`, `n`, `n_missing`, `is_converged`, `reason`, its figures, `baselines` LIST<STRUCT(feature, level)>
//! and `terms` LIST<STRUCT(term, estimate, std_error, statistic, p_value, low, high, feature, level)>. The term of the
//! intercept has no feature; the term of a number or a Boolean has no level.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, ListArray, StringArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};

use super::design::{Design, Feature};

/// The term of the intercept.
pub(crate) const INTERCEPT: &str = "(intercept)";

pub(crate) fn number_field(name: &str) -> Field {
    Field::new(name, DataType::Float64, true)
}

pub(crate) fn count_field(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

pub(crate) fn text_field(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

pub(crate) fn list_field(name: &str, fields: &Fields) -> Field {
    Field::new_list(name, Field::new_list_field(DataType::Struct(fields.clone()), true), true)
}

/// The fields of a fit with these figures.
pub(crate) fn fit_fields(figures: Vec<Field>, has_vif: bool) -> Fields {
    let mut fields = vec![
        text_field("method"),
        count_field("n"),
        count_field("n_missing"),
        Field::new("is_converged", DataType::Boolean, true),
        text_field("reason"),
    ];
    fields.extend(figures);
    fields.push(list_field("baselines", &baseline_fields()));
    fields.push(list_field("terms", &term_fields(has_vif)));
    fields.into()
}

fn baseline_fields() -> Fields {
    vec![text_field("feature"), text_field("level")].into()
}

fn term_fields(has_vif: bool) -> Fields {
    let mut fields = vec![text_field("term")];
    fields.extend(["estimate", "std_error", "statistic", "p_value", "low", "high"].map(number_field));
    fields.extend(["feature", "level"].map(text_field));
    if has_vif {
        fields.push(number_field("vif"));
    }
    fields.into()
}

/// A figure; NULL where it is not finite.
pub(crate) fn number(value: f64) -> ScalarValue {
    ScalarValue::Float64(Some(value).filter(|value| value.is_finite()))
}

pub(crate) fn count(value: i64) -> ScalarValue {
    ScalarValue::Int64(Some(value))
}

pub(crate) fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

/// The values of a STRUCT by their names; NULL until they are set.
#[derive(Debug)]
pub(crate) struct Record {
    fields: Fields,
    values: Vec<ScalarValue>,
}

impl Record {
    /// # Errors
    /// When a type has no NULL.
    pub(crate) fn try_new(fields: &Fields) -> Result<Self> {
        let values = fields.iter().map(|field| ScalarValue::try_from(field.data_type())).collect::<Result<_>>()?;
        Ok(Self { fields: fields.clone(), values })
    }

    pub(crate) fn set(&mut self, name: &str, value: ScalarValue) -> &mut Self {
        let index = self.fields.iter().position(|field| field.name() == name);
        if let Some(known) = index.and_then(|index| self.values.get_mut(index)) {
            *known = value;
        }
        self
    }

    pub(crate) fn into_values(self) -> Vec<ScalarValue> {
        self.values
    }
}

/// The results of many groups.
///
/// # Errors
/// When a value is not of the type of its field.
pub(crate) fn struct_array(fields: &Fields, records: Vec<Vec<ScalarValue>>) -> Result<ArrayRef> {
    let mut columns: Vec<Vec<ScalarValue>> = fields.iter().map(|_| Vec::with_capacity(records.len())).collect();
    let count = records.len();
    for record in records {
        for (column, value) in columns.iter_mut().zip(record) {
            column.push(value);
        }
    }
    let arrays = columns.into_iter().zip(fields.iter()).map(|(column, field)| {
        if column.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(field.data_type()));
        }
        ScalarValue::iter_to_array(column)
    });
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays.collect::<Result<_>>()?, None, count)?))
}

/// A list with these rows as one value.
///
/// # Errors
/// When the columns do not fit the fields.
pub(crate) fn list(fields: &Fields, columns: Vec<ArrayRef>) -> Result<ScalarValue> {
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths([rows.len()]);
    let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(rows), None)?)))
}

/// One row of `terms`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TermRow {
    pub(crate) term: String,
    pub(crate) feature: Option<String>,
    pub(crate) level: Option<String>,
    pub(crate) estimate: f64,
    pub(crate) std_error: f64,
    pub(crate) statistic: f64,
    pub(crate) p_value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) vif: f64,
}

impl TermRow {
    /// A term without figures.
    pub(crate) fn unknown(term: impl Into<String>) -> Self {
        let nan = f64::NAN;
        Self {
            term: term.into(),
            estimate: nan,
            std_error: nan,
            statistic: nan,
            p_value: nan,
            low: nan,
            high: nan,
            vif: nan,
            ..Self::default()
        }
    }

    /// The intercept, then the terms of a design, without figures.
    pub(crate) fn of_design(features: &[Feature], design: &Design) -> Vec<Self> {
        let mut rows = vec![Self::unknown(INTERCEPT)];
        rows.extend(Self::without_intercept(features, design));
        rows
    }

    /// The terms of a design, without figures.
    pub(crate) fn without_intercept(features: &[Feature], design: &Design) -> Vec<Self> {
        let terms = design.terms.iter().map(|term| Self {
            feature: features.get(term.feature).map(|feature| feature.name.clone()),
            level: term.level.as_ref().map(|(_, level)| level.clone()),
            ..Self::unknown(term.name.clone())
        });
        terms.collect()
    }

    /// Sets the estimate, its error, and what follows from them: the statistic by `p_value`, the interval by `critical`.
    pub(crate) fn estimate(&mut self, estimate: f64, std_error: f64, critical: f64, p_value: impl Fn(f64) -> f64) {
        self.estimate = estimate;
        self.std_error = std_error;
        self.statistic = estimate / std_error;
        self.p_value = if self.statistic.is_finite() { p_value(self.statistic) } else { f64::NAN };
        self.low = estimate - critical * std_error;
        self.high = estimate + critical * std_error;
    }
}

/// The value of `terms`; what is not finite is NULL.
///
/// # Errors
/// Never for the fields of a fit.
pub(crate) fn terms(rows: &[TermRow], has_vif: bool) -> Result<ScalarValue> {
    let strings =
        |of: fn(&TermRow) -> Option<&str>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let numbers = |of: fn(&TermRow) -> f64| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row)).filter(|value| value.is_finite())).collect::<Float64Array>())
    };
    let mut columns = vec![
        strings(|row| Some(&row.term)),
        numbers(|row| row.estimate),
        numbers(|row| row.std_error),
        numbers(|row| row.statistic),
        numbers(|row| row.p_value),
        numbers(|row| row.low),
        numbers(|row| row.high),
        strings(|row| row.feature.as_deref()),
        strings(|row| row.level.as_deref()),
    ];
    if has_vif {
        columns.push(numbers(|row| row.vif));
    }
    list(&term_fields(has_vif), columns)
}

/// The value of `baselines`.
///
/// # Errors
/// When a baseline is of no feature.
pub(crate) fn baselines(features: &[Feature], design: &Design) -> Result<ScalarValue> {
    let mut names = vec![];
    for (index, _) in &design.baselines {
        let feature = features.get(*index).ok_or_else(|| internal_datafusion_err!("a baseline of no feature"))?;
        names.push(feature.name.as_str());
    }
    let levels = design.baselines.iter().map(|(_, level)| level.as_str());
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from_iter_values(names)), Arc::new(StringArray::from_iter_values(levels))];
    list(&baseline_fields(), columns)
}

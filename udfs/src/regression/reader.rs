//! Models that are read again: the linear predictor of a row from the STRUCT of a fit.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};

use super::design::{FeatureEncoder, FeatureKind};

/// Refuses what is no model: a struct with `method`, `baselines` and `terms` as a fit makes them.
///
/// # Errors
/// A planning error that names what is missing.
pub(crate) fn check_model(function: &str, data_type: &DataType) -> Result<()> {
    let fields = match data_type {
        DataType::Null => return Ok(()),
        DataType::Struct(fields) => fields,
        other => return plan_err!("{function}: model must be the struct of a fit, got {other}"),
    };
    let find = |name: &str| fields.iter().find(|field| field.name() == name);
    let has_columns = |field: &Field, names: &[&str]| match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) => match item.data_type() {
            DataType::Struct(columns) => names.iter().all(|name| columns.iter().any(|column| column.name() == name)),
            _ => false,
        },
        _ => false,
    };
    let is_model = find("method").is_some()
        && find("baselines").is_some_and(|field| has_columns(field, &["feature", "level"]))
        && find("terms").is_some_and(|field| has_columns(field, &["feature", "level", "estimate"]));
    if !is_model {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        return plan_err!(
            "{function}: model must be the struct of a fit, with method, baselines and terms; got one with {}",
            names.join(", ")
        );
    }
    Ok(())
}

/// Where the rows of each list begin and end, and the rows of all lists.
pub(super) fn list_rows(list: &ArrayRef) -> Option<(Vec<(usize, usize)>, ArrayRef)> {
    fn ends<T: Copy>(offsets: &[T], to: impl Fn(T) -> usize) -> Vec<(usize, usize)> {
        offsets.windows(2).map(|pair| (to(pair[0]), to(pair[1]))).collect()
    }
    if let Some(list) = list.as_list_opt::<i32>() {
        return Some((ends(list.value_offsets(), |offset| offset as usize), Arc::clone(list.values())));
    }
    let list = list.as_list_opt::<i64>()?;
    Some((ends(list.value_offsets(), |offset| offset as usize), Arc::clone(list.values())))
}

/// The rows of a list of structs.
#[derive(Debug)]
struct Rows {
    ends: Vec<(usize, usize)>,
    feature: StringArray,
    level: StringArray,
    estimate: Option<Float64Array>,
}

impl Rows {
    fn try_new(list: &ArrayRef, has_estimate: bool) -> Option<Self> {
        let (ends, values) = list_rows(list)?;
        let rows = values.as_struct_opt()?;
        let strings =
            |name: &str| Some(cast(rows.column_by_name(name)?, &DataType::Utf8).ok()?.as_string_opt::<i32>()?.clone());
        let estimate = match has_estimate {
            true => {
                let column = cast(rows.column_by_name("estimate")?, &DataType::Float64).ok()?;
                Some(column.as_primitive_opt::<Float64Type>()?.clone())
            }
            false => None,
        };
        Some(Self { ends, feature: strings("feature")?, level: strings("level")?, estimate })
    }

    /// The rows of one list: the feature, the level, and the estimate, 0 where it is NULL.
    fn of(&self, index: usize) -> impl Iterator<Item = (Option<&str>, Option<&str>, Option<f64>)> {
        let (start, end) = self.ends.get(index).copied().unwrap_or_default();
        (start..end.min(self.feature.len())).map(|row| {
            let estimate =
                self.estimate.as_ref().filter(|estimate| estimate.is_valid(row)).map(|estimate| estimate.value(row));
            (valid(&self.feature, row), valid(&self.level, row), estimate)
        })
    }
}

fn valid(strings: &StringArray, row: usize) -> Option<&str> {
    strings.is_valid(row).then(|| strings.value(row))
}

/// Reads a column of models.
#[derive(Debug)]
pub(crate) struct ModelReader<'a> {
    function: &'static str,
    models: Option<&'a StructArray>,
    parts: Option<(StringArray, Rows, Rows)>,
    last: Option<(usize, Option<LinearPredictor>)>,
}

/// The part of a linear predictor that a feature has.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Number {
        index: usize,
        estimate: f64,
    },
    /// The estimate of each level by its code.
    Text {
        index: usize,
        levels: Vec<(u32, f64)>,
    },
}

/// The linear predictor of one model, for features that are encoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinearPredictor {
    pub(crate) method: String,
    intercept: f64,
    parts: Vec<Part>,
}

impl LinearPredictor {
    /// Its value for one row of encoded features. `None` where a feature is not known or its level is not in the model.
    pub(crate) fn value(&self, features: &[f64]) -> Option<f64> {
        let mut sum = self.intercept;
        for part in &self.parts {
            sum += match part {
                Part::Number { index, estimate } => estimate * features.get(*index).filter(|value| !value.is_nan())?,
                Part::Text { index, levels } => {
                    let code = *features.get(*index)?;
                    levels.iter().find(|(known, _)| f64::from(*known) == code)?.1
                }
            };
        }
        Some(sum)
    }
}

impl<'a> ModelReader<'a> {
    /// # Errors
    /// When the models are no structs of a fit.
    pub(crate) fn try_new(function: &'static str, models: &'a ArrayRef) -> Result<Self> {
        if models.data_type().is_null() {
            return Ok(Self { function, models: None, parts: None, last: None });
        }
        let wrong = || exec_datafusion_err!("{function}: model is not the struct of a fit");
        let models = models.as_struct_opt().ok_or_else(wrong)?;
        let column = |name: &str| models.column_by_name(name).ok_or_else(wrong);
        let method = cast(column("method")?, &DataType::Utf8)?.as_string_opt::<i32>().ok_or_else(wrong)?.clone();
        let baselines = Rows::try_new(column("baselines")?, false).ok_or_else(wrong)?;
        let terms = Rows::try_new(column("terms")?, true).ok_or_else(wrong)?;
        Ok(Self { function, models: Some(models), parts: Some((method, baselines, terms)), last: None })
    }

    /// The linear predictor of model `index`, `None` of no model or one without estimates. Levels get codes in `encoder`.
    ///
    /// # Errors
    /// When a feature of the model is not given, or is of another kind.
    pub(crate) fn predictor(&mut self, index: usize, encoder: &mut FeatureEncoder) -> Result<Option<&LinearPredictor>> {
        let is_same = self.last.as_ref().is_some_and(|(last, _)| *last == index || self.are_equal(*last, index));
        if !is_same {
            let predictor = self.read(index, encoder)?;
            self.last = Some((index, predictor));
        } else if let Some((last, _)) = &mut self.last {
            *last = index;
        }
        Ok(self.last.as_ref().and_then(|(_, predictor)| predictor.as_ref()))
    }

    /// Whether two models have the same terms: rows of a join often have.
    fn are_equal(&self, one: usize, other: usize) -> bool {
        let (Some(models), Some((method, baselines, terms))) = (self.models, &self.parts) else { return true };
        models.is_null(one) == models.is_null(other)
            && valid(method, one) == valid(method, other)
            && terms.of(one).eq(terms.of(other))
            && baselines.of(one).eq(baselines.of(other))
    }

    fn read(&self, index: usize, encoder: &mut FeatureEncoder) -> Result<Option<LinearPredictor>> {
        let (Some(models), Some((method, baselines, terms))) = (self.models, &self.parts) else { return Ok(None) };
        let Some(method) = valid(method, index).filter(|_| models.is_valid(index)) else { return Ok(None) };
        if !terms.of(index).any(|(.., estimate)| estimate.is_some()) {
            return Ok(None);
        }
        let mut predictor = LinearPredictor { method: method.to_owned(), intercept: 0.0, parts: vec![] };
        let baselines = baselines.of(index).map(|(feature, level, _)| (feature, level, None));
        for (feature, level, estimate) in baselines.chain(terms.of(index)) {
            let estimate = estimate.unwrap_or(0.0);
            match (feature, level) {
                (None, _) => predictor.intercept += estimate,
                (Some(feature), None) => {
                    let index = self.feature(encoder, feature, false)?;
                    predictor.parts.push(Part::Number { index, estimate });
                }
                (Some(feature), Some(level)) => {
                    let index = self.feature(encoder, feature, true)?;
                    let Some(table) = encoder.levels.get_mut(index) else { continue };
                    let entry = (table.code(level), estimate);
                    let known = predictor.parts.iter_mut().find_map(|part| match part {
                        Part::Text { index: known, levels } if *known == index => Some(levels),
                        _ => None,
                    });
                    match known {
                        Some(levels) => levels.push(entry),
                        None => predictor.parts.push(Part::Text { index, levels: vec![entry] }),
                    }
                }
            }
        }
        Ok(Some(predictor))
    }

    /// The index of a feature that is given.
    fn feature(&self, encoder: &FeatureEncoder, name: &str, is_text: bool) -> Result<usize> {
        let function = self.function;
        let Some(index) = encoder.features.iter().position(|feature| feature.name == name) else {
            let names: Vec<&str> = encoder.features.iter().map(|feature| feature.name.as_str()).collect();
            return exec_err!("{function}: the model has the feature {name}, features has {}", names.join(", "));
        };
        let given = encoder.features.get(index).map(|feature| feature.kind == FeatureKind::Text);
        match (is_text, given) {
            (true, Some(false)) => exec_err!("{function}: feature {name} is a string in the model, got a number"),
            (false, Some(true)) => exec_err!("{function}: feature {name} is a number in the model, got a string"),
            _ => Ok(index),
        }
    }
}

//! Features of a fit: the fields of a struct argument as columns of numbers, strings as dummy columns.
//!
//! ```text
//!  struct(age, is_vip, segment)       encode            design (terms)
//!  +-----+--------+---------+     +-----+---+---+     +-----+--------+--------------+
//!  | 31  | true   | 'gold'  | --> | 31. | 1 | 0 | --> | age | is_vip | segment=gold |
//!  | 45  | false  | 'basic' |     | 45. | 0 | 1 |     | 31  | 1      | 1            |
//!  | 52  | NULL   | 'basic' |     | 52. | ? | 1 |     | 45  | 0      | 0            |
//!  +-----+--------+---------+     +-----+---+---+     +-----+--------+--------------+
//! ```
//!
//! - [`features`] checks the type of the struct while a call is planned.
//! - [`FeatureEncoder`] turns batches into one column of `f64` per feature: numbers as they are, Booleans as 0 and 1, strings
//!   as codes of a [`LevelTable`]. What is NULL, NaN or infinite is NaN: the row does not count.
//! - [`Design`] is the dummy coding of the rows of one group: a term for each feature that is a number or a Boolean, and one
//!   for each level of a string but the most frequent one, the baseline (of equally frequent ones the first in byte order).
//! - [`name_features`] gives `struct(a, b)` the names of its columns, which DataFusion calls `c0` and `c1`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{HashMap, Result, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::functions::core::named_struct;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::matrix::Column as MatrixColumn;
use crate::strings::{Column, is_string};

/// Most levels of a string feature in one group.
pub(crate) const MAX_LEVELS: usize = 100;

/// Most terms of a fit.
pub(crate) const MAX_TERMS: usize = 500;

/// Most distinct strings of a feature in all groups together; further ones share a code, [`OTHER`].
const MAX_STRINGS: usize = 65_536;

/// The code of the strings that have no code of their own.
pub(crate) const OTHER: u32 = MAX_STRINGS as u32;

/// What a feature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeatureKind {
    Number,
    Flag,
    Text,
}

impl FeatureKind {
    fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::Boolean => Some(Self::Flag),
            DataType::Null => Some(Self::Number),
            text if is_string(text) => Some(Self::Text),
            number if number.is_numeric() => Some(Self::Number),
            _ => None,
        }
    }
}

/// A field of the struct of features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) kind: FeatureKind,
}

/// The features of a struct type.
///
/// # Errors
/// A planning error for what is no struct, for two fields of one name, and for a field of another type than a number, a
/// Boolean or a string.
pub(crate) fn features(function: &str, data_type: &DataType) -> Result<Vec<Feature>> {
    let fields = match data_type {
        DataType::Struct(fields) if !fields.is_empty() => fields,
        other => return plan_err!("{function}: features must be a struct such as struct(a, b), got {other}"),
    };
    let mut features: Vec<Feature> = Vec::with_capacity(fields.len());
    for field in fields {
        let (name, data_type) = (field.name(), field.data_type());
        let Some(kind) = FeatureKind::of(data_type) else {
            return plan_err!("{function}: feature {name} must be a number, a Boolean or a string, got {data_type}");
        };
        if features.iter().any(|known| known.name == *name) {
            return plan_err!("{function}: two features are named {name}; name them, struct(a as x, b as y)");
        }
        features.push(Feature { name: name.clone(), kind });
    }
    Ok(features)
}

/// `struct(t.a, b + 1)` with the names of its columns: `named_struct('a', t.a, 'c1', b + 1)`. `None` for what has its names.
pub(crate) fn name_features(argument: &Expr) -> Option<Expr> {
    let call = match argument {
        Expr::Alias(alias) => return name_features(&alias.expr),
        Expr::ScalarFunction(call) => call,
        _ => return None,
    };
    let default_name = |index: usize| format!("c{index}");
    let pairs: Vec<(String, Expr)> = match call.func.name() {
        "struct" => {
            let named = call.args.iter().enumerate();
            named.map(|(index, value)| (column_name(value).unwrap_or(default_name(index)), value.clone())).collect()
        }
        "named_struct" => {
            let mut is_changed = false;
            let mut pairs = vec![];
            for (index, pair) in call.args.chunks(2).enumerate() {
                let [Expr::Literal(name, _), value] = pair else { return None };
                let name = name.try_as_str().flatten()?.to_owned();
                let column = if name == default_name(index) { column_name(value) } else { None };
                is_changed |= column.as_ref().is_some_and(|column| *column != name);
                pairs.push((column.unwrap_or(name), value.clone()));
            }
            if !is_changed {
                return None;
            }
            pairs
        }
        _ => return None,
    };
    let literal = |name: String| Expr::Literal(ScalarValue::Utf8(Some(name)), None);
    Some(named_struct().call(pairs.into_iter().flat_map(|(name, value)| [literal(name), value]).collect()))
}

fn column_name(value: &Expr) -> Option<String> {
    match value {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::Alias(alias) => Some(alias.name.clone()),
        Expr::Cast(cast) => column_name(&cast.expr),
        _ => None,
    }
}

/// Names features as [`name_features`] does, where a call was planned without it: in a window.
pub(crate) fn name_physical_features(features: &mut [Feature], argument: &Arc<dyn PhysicalExpr>) {
    let Some(call) = argument.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == "struct") else {
        return;
    };
    for (feature, value) in features.iter_mut().zip(call.args()) {
        if let Some(column) = value.downcast_ref::<ColumnExpr>() {
            column.name().clone_into(&mut feature.name);
        }
    }
}

/// The distinct strings of a feature, each with a code.
#[derive(Debug, Default)]
pub(crate) struct LevelTable {
    codes: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    name_bytes: usize,
}

impl LevelTable {
    /// The code of a string, [`OTHER`] if there are too many.
    pub(crate) fn code(&mut self, name: &str) -> u32 {
        if let Some(code) = self.codes.get(name) {
            return *code;
        }
        if self.names.len() >= MAX_STRINGS {
            return OTHER;
        }
        let (code, name) = (self.names.len() as u32, Arc::<str>::from(name));
        self.name_bytes += name.len() + 2 * size_of::<usize>();
        self.names.push(Arc::clone(&name));
        self.codes.insert(name, code);
        code
    }

    /// The string of a code; `None` for [`OTHER`].
    pub(crate) fn name(&self, code: u32) -> Option<&str> {
        self.names.get(code as usize).map(Arc::as_ref)
    }

    /// The strings in the order of their codes.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(Arc::as_ref)
    }

    fn memory_size(&self) -> usize {
        // a slot of a hash table has a byte of its own
        self.codes.capacity() * (size_of::<(Arc<str>, u32)>() + 1)
            + self.names.capacity() * size_of::<Arc<str>>()
            + self.name_bytes
    }
}

/// Reads the struct of features batch by batch. The codes of strings are those of all batches.
#[derive(Debug)]
pub(crate) struct FeatureEncoder {
    pub(crate) features: Vec<Feature>,
    /// One for each feature, empty where it is no string.
    pub(crate) levels: Vec<LevelTable>,
}

impl FeatureEncoder {
    pub(crate) fn new(features: Vec<Feature>) -> Self {
        let levels = features.iter().map(|_| LevelTable::default()).collect();
        Self { features, levels }
    }

    /// One column of numbers per feature; NaN where it is not known.
    ///
    /// # Errors
    /// When the column is not of the type that the call was planned with.
    pub(crate) fn encode(&mut self, column: &ArrayRef) -> Result<Vec<Vec<f64>>> {
        let Some(column) = column.as_struct_opt().filter(|column| column.num_columns() == self.features.len()) else {
            return Err(internal_datafusion_err!("features are planned as a struct, got {}", column.data_type()));
        };
        let mut encoded = Vec::with_capacity(self.features.len());
        for ((feature, levels), values) in self.features.iter().zip(&mut self.levels).zip(column.columns()) {
            let mut numbers = match feature.kind {
                FeatureKind::Number | FeatureKind::Flag => numbers_of(values)?,
                FeatureKind::Text => codes_of(values, levels)?,
            };
            if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
                numbers
                    .iter_mut()
                    .zip(nulls)
                    .for_each(|(number, is_known)| *number = if is_known { *number } else { f64::NAN });
            }
            encoded.push(numbers);
        }
        Ok(encoded)
    }

    /// Bytes that it holds, its own included.
    pub(crate) fn memory_size(&self) -> usize {
        size_of::<Self>()
            + self.features.iter().map(|feature| size_of::<Feature>() + feature.name.capacity()).sum::<usize>()
            + self.levels.iter().map(|levels| size_of::<LevelTable>() + levels.memory_size()).sum::<usize>()
    }
}

/// A column of numbers or Booleans as Float64; NaN for NULL, NaN and infinities.
pub(crate) fn numbers_of(values: &ArrayRef) -> Result<Vec<f64>> {
    if let Some(flags) = values.as_boolean_opt() {
        return Ok(flags.iter().map(|flag| flag.map_or(f64::NAN, |flag| f64::from(u8::from(flag)))).collect());
    }
    let cast = cast(values, &DataType::Float64)?;
    let column: &Float64Array = cast
        .as_primitive_opt::<Float64Type>()
        .ok_or_else(|| internal_datafusion_err!("a feature is planned as a number, got {}", values.data_type()))?;
    let finite = |value: f64| if value.is_finite() { value } else { f64::NAN };
    Ok(match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => column.values().iter().map(|value| finite(*value)).collect(),
        Some(nulls) => {
            let known = column.values().iter().zip(nulls);
            known.map(|(value, is_known)| if is_known { finite(*value) } else { f64::NAN }).collect()
        }
    })
}

/// The codes of a column of strings; NaN for NULL. Each string of a dictionary is looked up once.
fn codes_of(values: &ArrayRef, levels: &mut LevelTable) -> Result<Vec<f64>> {
    let column = Column::new(values.as_ref())?;
    let mut codes = Vec::with_capacity(values.len());
    if column.is_shared() {
        let mut known: Vec<Option<f64>> = vec![None; column.values.len()];
        for row in 0..values.len() {
            let code = column.index(row).and_then(|index| {
                let known = known.get_mut(index)?;
                Some(*known.get_or_insert_with(|| code_of(&column, index, levels)))
            });
            codes.push(code.unwrap_or(f64::NAN));
        }
        return Ok(codes);
    }
    let mut last: Option<(&str, f64)> = None;
    for row in 0..values.len() {
        let code = match (column.values.get(row), last) {
            (None, _) => f64::NAN,
            (Some(name), Some((known, code))) if known == name => code,
            (Some(name), _) => {
                let code = f64::from(levels.code(name));
                last = Some((name, code));
                code
            }
        };
        codes.push(code);
    }
    Ok(codes)
}

fn code_of(column: &Column<'_>, index: usize, levels: &mut LevelTable) -> f64 {
    column.values.get(index).map_or(f64::NAN, |name| f64::from(levels.code(name)))
}

/// A column of the design matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    /// `age`, or `segment=gold` for a level.
    pub(crate) name: String,
    /// The index of its feature.
    pub(crate) feature: usize,
    /// The code and the string of its level; `None` for a number or a Boolean.
    pub(crate) level: Option<(u32, String)>,
}

/// The terms of the rows of one group, without an intercept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Design {
    pub(crate) terms: Vec<Term>,
    /// The index of each string feature and its level that has no term.
    pub(crate) baselines: Vec<(usize, String)>,
}

/// How many rows of a group have each level: one map from codes per feature.
pub(crate) type LevelCounts = Vec<BTreeMap<u32, i64>>;

impl Design {
    /// The terms of encoded rows (`width` numbers each, the features from `first` on).
    ///
    /// # Errors
    /// The reason why there are none: too many levels or terms.
    pub(crate) fn of_rows(encoder: &FeatureEncoder, rows: &[f64], width: usize, first: usize) -> Result<Self, String> {
        let mut counts: LevelCounts = vec![BTreeMap::new(); encoder.features.len()];
        for (index, (feature, counts)) in encoder.features.iter().zip(&mut counts).enumerate() {
            if feature.kind != FeatureKind::Text {
                continue;
            }
            for row in rows.chunks_exact(width.max(1)) {
                let code = row.get(first + index).map_or(OTHER, |code| *code as u32);
                *counts.entry(code).or_insert(0) += 1;
                if counts.len() > MAX_LEVELS || code == OTHER {
                    return Err(too_many_levels(&feature.name));
                }
            }
        }
        Self::of_counts(encoder, &counts)
    }

    /// The terms of a group with so many rows of each level.
    ///
    /// # Errors
    /// The reason why there are none: too many levels or terms.
    pub(crate) fn of_counts(encoder: &FeatureEncoder, counts: &LevelCounts) -> Result<Self, String> {
        let mut design = Self::default();
        let features = encoder.features.iter().zip(&encoder.levels).zip(counts).enumerate();
        for (index, ((feature, levels), counts)) in features {
            if feature.kind != FeatureKind::Text {
                design.terms.push(Term { name: feature.name.clone(), feature: index, level: None });
                continue;
            }
            if counts.len() > MAX_LEVELS || counts.contains_key(&OTHER) {
                return Err(too_many_levels(&feature.name));
            }
            let known = counts.iter().filter(|(_, count)| **count > 0);
            let mut known: Vec<(&str, u32, i64)> =
                known.filter_map(|(code, count)| Some((levels.name(*code)?, *code, *count))).collect();
            known.sort_unstable();
            let most = known.iter().map(|(_, _, count)| *count).max();
            let baseline = known.iter().position(|(_, _, count)| Some(*count) == most);
            for (position, (name, code, _)) in known.into_iter().enumerate() {
                if Some(position) == baseline {
                    design.baselines.push((index, name.to_owned()));
                } else {
                    let level = Some((code, name.to_owned()));
                    design.terms.push(Term { name: format!("{}={name}", feature.name), feature: index, level });
                }
            }
        }
        if design.terms.len() > MAX_TERMS {
            return Err(format!("{} terms, at most {MAX_TERMS} are fitted", design.terms.len()));
        }
        Ok(design)
    }

    /// Appends the values of the terms for one row of encoded features.
    pub(crate) fn expand(&self, features: &[f64], values: &mut Vec<f64>) {
        values.extend(self.terms.iter().map(|term| term.value(features)));
    }
}

impl Term {
    /// Its column of encoded rows whose features begin at `first`.
    pub(super) fn column(&self, first: usize) -> MatrixColumn {
        MatrixColumn { index: first + self.feature, level: self.level.as_ref().map(|(code, _)| f64::from(*code)) }
    }

    /// Its value for one row of encoded features.
    #[inline]
    pub(crate) fn value(&self, features: &[f64]) -> f64 {
        let value = features.get(self.feature).copied().unwrap_or(f64::NAN);
        match &self.level {
            None => value,
            Some((code, _)) => f64::from(u8::from(value == f64::from(*code))),
        }
    }
}

pub(super) fn too_many_levels(feature: &str) -> String {
    format!("feature {feature} has more than {MAX_LEVELS} different strings; group them before, or leave it out")
}

/// `a`, `a and b`, `a, b and 3 more`: the names in a reason.
pub(crate) fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let mut text = String::new();
    for (index, name) in names.iter().take(SHOWN).enumerate() {
        let is_last = index + 1 == names.len();
        let separator = if index == 0 {
            ""
        } else if is_last {
            " and "
        } else {
            ", "
        };
        // Writing into a String cannot fail.
        let _ = write!(text, "{separator}{name}");
    }
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

/// The flags of a column as the filter of an aggregate: NULL is false.
pub(crate) fn is_kept(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

#[cfg(test)]
mod tests;

//! [`DistinctResults`]: the results of an expression for the strings that it was evaluated on so far.

use std::sync::Arc;

use datafusion::arrow::array::{
    AnyDictionaryArray, Array, ArrayRef, AsArray, Int32Array, StringViewArray, UInt32Array, new_null_array,
};
use datafusion::arrow::compute::{cast, concat, take};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};

use super::dictionary_eval::Evaluator;
use crate::kernels::string_interner::StringInterner;

/// Beyond this many distinct strings there may be at most one per [`ROWS_PER_VALUE`] rows.
const FEW_VALUES: usize = 1024;
const ROWS_PER_VALUE: usize = 8;
/// Most bytes of results that are kept. Output arrays share them, so that operators above count them once per batch.
const MAX_RESULT_BYTES: usize = 1 << 20;
/// Most bytes of the strings of a batch, and of the distinct ones: long strings are texts, which hardly repeat.
const MAX_STRING_BYTES: usize = 1 << 20;
/// Dictionaries whose results are kept: those of the row groups that threads read in turn.
const DICTIONARIES: usize = 4;
/// No result yet.
const UNKNOWN: i32 = -1;

/// What the rows of a batch have.
pub(super) enum Outcome {
    /// Results, and the index of each row's.
    Indices(ArrayRef, Int32Array),
    /// A dictionary with more values than the batch has rows.
    LargeDictionary,
    /// Too many distinct strings, or too long ones.
    TooManyValues,
}

/// Results of one thread, see the page of this module.
#[derive(Default)]
pub(super) struct DistinctResults {
    strings: Option<StringResults>,
    /// The most recently used last.
    dictionaries: Vec<DictionaryResults>,
    subquery_values: Vec<ScalarValue>,
}

impl DistinctResults {
    /// Drops all results if the values of the expression's subqueries differ from those of the last call.
    pub(super) fn keep_for(&mut self, subquery_values: Vec<ScalarValue>) {
        let are_known = self.subquery_values.len() == subquery_values.len()
            && self.subquery_values.iter().zip(&subquery_values).all(|(known, value)| match (known, value) {
                (ScalarValue::List(known), ScalarValue::List(value)) if Arc::ptr_eq(known, value) => true,
                _ => known == value,
            });
        if !are_known {
            *self = Self { subquery_values, ..Self::default() };
        }
    }

    /// The results of the strings of a batch; those that were not seen before are evaluated.
    ///
    /// # Errors
    /// Those of the expression.
    pub(super) fn evaluate(&mut self, strings: &ArrayRef, evaluator: &Evaluator, max_values: usize) -> Result<Outcome> {
        let Some(dictionary) = strings.as_any_dictionary_opt() else {
            return self.strings.get_or_insert_default().evaluate(strings, evaluator, max_values);
        };
        let values = dictionary.values();
        if values.len() > max_values.max(strings.len()) {
            return Ok(Outcome::LargeDictionary);
        }
        let is_known = |known: &DictionaryResults| {
            Arc::ptr_eq(&known.values, values) || known.values.to_data().ptr_eq(&values.to_data())
        };
        let mut results = match self.dictionaries.iter().rposition(is_known) {
            Some(index) => self.dictionaries.remove(index),
            None => DictionaryResults::new(values),
        };
        let outcome = results.evaluate(dictionary, evaluator)?;
        if self.dictionaries.len() >= DICTIONARIES {
            self.dictionaries.remove(0);
        }
        self.dictionaries.push(results);
        Ok(outcome)
    }
}

/// Results that grow.
#[derive(Default)]
struct Results {
    array: Option<ArrayRef>,
    /// The index of the result for NULL.
    null: Option<i32>,
}

impl Results {
    /// Evaluates further strings. Returns the index of the first one's result.
    fn add(&mut self, strings: &ArrayRef, evaluator: &Evaluator) -> Result<i32> {
        let new = evaluator.evaluate(strings)?;
        let start = self.array.as_ref().map_or(0, |known| known.len());
        let all = match &self.array {
            Some(known) => concat(&[known, &new])?,
            None => new,
        };
        // blocks of a builder are larger than what is in them
        self.array = Some(match all.as_string_view_opt() {
            Some(views) => Arc::new(views.gc()),
            None => all,
        });
        i32::try_from(start).map_err(|_| exec_datafusion_err!("too many results"))
    }

    /// The index of the result for NULL, which is evaluated on first use.
    fn null(&mut self, evaluator: &Evaluator) -> Result<i32> {
        if let Some(known) = self.null {
            return Ok(known);
        }
        let index = self.add(&new_null_array(&DataType::Utf8View, 1), evaluator)?;
        self.null = Some(index);
        Ok(index)
    }

    /// The results, if they are not too large.
    fn outcome(&self, rows: Int32Array) -> Outcome {
        match &self.array {
            Some(results) if results.get_array_memory_size() <= MAX_RESULT_BYTES => {
                Outcome::Indices(Arc::clone(results), rows)
            }
            _ => Outcome::TooManyValues,
        }
    }
}

/// Results for the strings of arrays without dictionary.
#[derive(Default)]
struct StringResults {
    interner: StringInterner,
    /// The index of the result for each code of the interner.
    indices: Vec<i32>,
    results: Results,
    row_count: usize,
}

impl StringResults {
    fn evaluate(&mut self, strings: &ArrayRef, evaluator: &Evaluator, max_values: usize) -> Result<Outcome> {
        let views = match strings.data_type() {
            DataType::Utf8View => Arc::clone(strings),
            _ => cast(strings, &DataType::Utf8View)?,
        };
        let views = views.as_string_view();
        if string_bytes(views) > MAX_STRING_BYTES {
            return Ok(Outcome::TooManyValues);
        }
        let Some(codes) = self.interner.encode(views)? else { return Ok(Outcome::TooManyValues) };
        self.row_count += strings.len();
        let count = self.interner.len();
        let is_many = count > FEW_VALUES && count > self.row_count / ROWS_PER_VALUE;
        if count > max_values || is_many || self.interner.string_bytes() > MAX_STRING_BYTES {
            return Ok(Outcome::TooManyValues);
        }
        if count > self.indices.len() {
            let new: ArrayRef = Arc::new(self.interner.strings_from(self.indices.len()));
            let start = self.results.add(&new, evaluator)?;
            self.indices.extend((start..).take(new.len()));
        }
        let indices = &self.indices;
        let index = |code: u16| indices.get(usize::from(code)).copied().unwrap_or_default();
        let rows: Vec<i32> = match codes.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => codes.values().iter().map(|&code| index(code)).collect(),
            Some(nulls) => {
                let null = self.results.null(evaluator)?;
                let rows = codes.values().iter().zip(nulls);
                rows.map(|(&code, is_valid)| if is_valid { index(code) } else { null }).collect()
            }
        };
        Ok(self.results.outcome(rows.into()))
    }
}

/// The bytes of all strings together.
fn string_bytes(strings: &StringViewArray) -> usize {
    // the length is the first word of a view, and 0 in that of a NULL as arrays are built
    strings.views().iter().map(|&view| view as u32 as usize).sum()
}

/// Results for the values of one dictionary. Values that no row has had are not evaluated.
struct DictionaryResults {
    values: ArrayRef,
    /// The index of the result for each value, or [`UNKNOWN`].
    indices: Vec<i32>,
    results: Results,
}

impl DictionaryResults {
    fn new(values: &ArrayRef) -> Self {
        Self { values: Arc::clone(values), indices: vec![UNKNOWN; values.len()], results: Results::default() }
    }

    fn evaluate(&mut self, dictionary: &dyn AnyDictionaryArray, evaluator: &Evaluator) -> Result<Outcome> {
        let keys = row_keys(dictionary);
        let nulls = dictionary.keys().nulls().filter(|nulls| nulls.null_count() > 0);
        let mut new: Vec<u32> = vec![];
        for (row, &key) in keys.iter().enumerate() {
            // the key of a NULL row is arbitrary
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            if let Some(index @ &mut UNKNOWN) = self.indices.get_mut(key) {
                *index = 0;
                new.push(key as u32);
            }
        }
        if !new.is_empty() {
            let strings = take(&self.values, &UInt32Array::from(new.clone()), None)?;
            let start = self.results.add(&strings, evaluator)?;
            for (index, key) in (start..).zip(new) {
                self.indices[key as usize] = index;
            }
        }
        let null = match nulls {
            Some(_) => self.results.null(evaluator)?,
            None => 0,
        };
        let index = |key: usize| self.indices.get(key).copied().unwrap_or_default();
        let rows: Vec<i32> = match nulls {
            None => keys.iter().map(|&key| index(key)).collect(),
            Some(nulls) => {
                keys.iter().zip(nulls).map(|(&key, is_valid)| if is_valid { index(key) } else { null }).collect()
            }
        };
        Ok(self.results.outcome(rows.into()))
    }
}

/// The dictionary key of each row; arbitrary where the row is NULL.
fn row_keys(dictionary: &dyn AnyDictionaryArray) -> Vec<usize> {
    if let Some(keys) = dictionary.keys().as_primitive_opt::<Int32Type>() {
        return keys.values().iter().map(|&key| key as usize).collect();
    }
    // `normalized_keys` wants a value; a dictionary without one has only NULL rows
    match dictionary.values().is_empty() {
        true => vec![0; dictionary.keys().len()],
        false => dictionary.normalized_keys(),
    }
}

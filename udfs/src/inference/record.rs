//! The STRUCT that a test or an interval returns.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;

use super::axis;

/// What a field of the result holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldType {
    /// A figure, as Float64.
    Number,
    /// A number of rows, as Int64.
    Count,
    /// A Boolean.
    Flag,
    /// A string.
    Text,
    /// A value of the type of the call's first argument, see [`axis`].
    At,
    /// Rows of these fields.
    List(&'static [(&'static str, FieldType)]),
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Figure {
    Number(Option<f64>),
    Count(Option<i64>),
    Flag(bool),
    Text(Option<&'static str>),
    At(Option<i64>),
    List(Option<Vec<Record>>),
}

/// The values of all fields of one result, in their order.
pub(crate) type Record = Vec<Figure>;

/// The fields of an interval.
pub(crate) const INTERVAL: &[(&str, FieldType)] = &[
    ("estimate", FieldType::Number),
    ("low", FieldType::Number),
    ("high", FieldType::Number),
    ("n", FieldType::Count),
    ("is_small", FieldType::Flag),
    ("reason", FieldType::Text),
];

/// The fields of an effect size of two groups.
pub(crate) const EFFECT: &[(&str, FieldType)] = &[
    ("estimate", FieldType::Number),
    ("low", FieldType::Number),
    ("high", FieldType::Number),
    ("n_a", FieldType::Count),
    ("n_b", FieldType::Count),
    ("reason", FieldType::Text),
];

/// Fewer rows than this are few for an estimate.
const FEW: i64 = 30;

/// An estimate and its interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Interval {
    pub(crate) estimate: Option<f64>,
    pub(crate) bounds: Option<(f64, f64)>,
    pub(crate) n: i64,
    pub(crate) reason: Option<&'static str>,
}

impl Interval {
    /// No rows to estimate from.
    pub(crate) fn none(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// The values of [`INTERVAL`].
    pub(crate) fn record(self) -> Record {
        let (low, high) = self.bounds.unzip();
        vec![
            Figure::Number(self.estimate),
            Figure::Number(low),
            Figure::Number(high),
            Figure::Count(Some(self.n)),
            Figure::Flag(self.n < FEW),
            Figure::Text(self.reason),
        ]
    }

    /// The values of [`EFFECT`].
    pub(crate) fn effect(self, counts: Option<[i64; 2]>) -> Record {
        let (low, high) = self.bounds.unzip();
        let [n_a, n_b] = counts.map_or([None; 2], |counts| counts.map(Some));
        vec![
            Figure::Number(self.estimate),
            Figure::Number(low),
            Figure::Number(high),
            Figure::Count(n_a),
            Figure::Count(n_b),
            Figure::Text(self.reason),
        ]
    }
}

/// The fields of a comparison of two groups by a statistic with degrees of freedom.
pub(crate) const COMPARISON_WITH_DF: &[(&str, FieldType)] = &[
    ("statistic", FieldType::Number),
    ("df", FieldType::Number),
    ("p_value", FieldType::Number),
    ("difference", FieldType::Number),
    ("low", FieldType::Number),
    ("high", FieldType::Number),
    ("n_a", FieldType::Count),
    ("n_b", FieldType::Count),
    ("method", FieldType::Text),
    ("reason", FieldType::Text),
];

/// The fields of a comparison of two groups.
pub(crate) const COMPARISON: &[(&str, FieldType)] = &[
    ("statistic", FieldType::Number),
    ("p_value", FieldType::Number),
    ("difference", FieldType::Number),
    ("low", FieldType::Number),
    ("high", FieldType::Number),
    ("n_a", FieldType::Count),
    ("n_b", FieldType::Count),
    ("method", FieldType::Text),
    ("reason", FieldType::Text),
];

/// The result of a comparison of two groups.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) statistic: Option<f64>,
    pub(crate) df: Option<f64>,
    pub(crate) p_value: Option<f64>,
    pub(crate) difference: Option<f64>,
    pub(crate) bounds: Option<(f64, f64)>,
    pub(crate) counts: Option<[i64; 2]>,
    pub(crate) method: &'static str,
    pub(crate) reason: Option<&'static str>,
}

impl Comparison {
    /// A comparison that cannot be made.
    pub(crate) fn none(method: &'static str, reason: &'static str) -> Self {
        Self { method, reason: Some(reason), ..Self::default() }
    }

    /// The values of [`COMPARISON`].
    pub(crate) fn record(self) -> Record {
        let (low, high) = self.bounds.unzip();
        let [n_a, n_b] = self.counts.map_or([None; 2], |counts| counts.map(Some));
        vec![
            Figure::Number(self.statistic),
            Figure::Number(self.p_value),
            Figure::Number(self.difference),
            Figure::Number(low),
            Figure::Number(high),
            Figure::Count(n_a),
            Figure::Count(n_b),
            Figure::Text(Some(self.method)),
            Figure::Text(self.reason),
        ]
    }

    /// The values of [`COMPARISON_WITH_DF`].
    pub(crate) fn record_with_df(self) -> Record {
        let mut record = self.record();
        record.insert(1, Figure::Number(self.df));
        record
    }
}

/// The type of a result with these fields; `at` is the type of the call's first argument.
pub(super) fn struct_type(fields: &[(&str, FieldType)], at: &DataType) -> DataType {
    DataType::Struct(arrow_fields(fields, at))
}

fn arrow_fields(fields: &[(&str, FieldType)], at: &DataType) -> Fields {
    fields.iter().map(|(name, field_type)| Field::new(*name, data_type(*field_type, at), true)).collect()
}

/// The type of one field.
pub(super) fn data_type(field_type: FieldType, at: &DataType) -> DataType {
    match field_type {
        FieldType::Number => DataType::Float64,
        FieldType::Count => DataType::Int64,
        FieldType::Flag => DataType::Boolean,
        FieldType::Text => DataType::Utf8,
        FieldType::At => at.clone(),
        FieldType::List(fields) => DataType::List(list_item(fields, at)),
    }
}

fn list_item(fields: &[(&str, FieldType)], at: &DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(struct_type(fields, at), true))
}

/// The results of many groups. A field whose value is of another type than declared is NULL, and so is NaN.
///
/// # Errors
/// When `at` is not a type of [`axis`] and a field is of it.
pub(super) fn struct_array(fields: &[(&str, FieldType)], records: &[Record], at: &DataType) -> Result<ArrayRef> {
    let records: Vec<&Record> = records.iter().collect();
    Ok(Arc::new(structs(fields, &records, at)?))
}

fn structs(fields: &[(&str, FieldType)], records: &[&Record], at: &DataType) -> Result<StructArray> {
    let columns = fields.iter().enumerate();
    let columns = columns.map(|(index, (_, field_type))| column(index, *field_type, records, at));
    Ok(StructArray::try_new(arrow_fields(fields, at), columns.collect::<Result<Vec<_>>>()?, None)?)
}

/// One field of many results.
fn column(index: usize, field_type: FieldType, records: &[&Record], at: &DataType) -> Result<ArrayRef> {
    let figures = records.iter().map(|record| record.get(index));
    Ok(match field_type {
        FieldType::Number => Arc::new(
            figures
                .map(|figure| match figure {
                    Some(Figure::Number(number)) => number.filter(|number| !number.is_nan()),
                    _ => None,
                })
                .collect::<Float64Array>(),
        ),
        FieldType::Count => Arc::new(
            figures
                .map(|figure| match figure {
                    Some(Figure::Count(count)) => *count,
                    _ => None,
                })
                .collect::<Int64Array>(),
        ),
        FieldType::Flag => Arc::new(
            figures
                .map(|figure| match figure {
                    Some(Figure::Flag(flag)) => Some(*flag),
                    _ => None,
                })
                .collect::<BooleanArray>(),
        ),
        FieldType::Text => Arc::new(
            figures
                .map(|figure| match figure {
                    Some(Figure::Text(text)) => *text,
                    _ => None,
                })
                .collect::<StringArray>(),
        ),
        FieldType::At => axis::column(
            figures.map(|figure| match figure {
                Some(Figure::At(position)) => *position,
                _ => None,
            }),
            at,
        )?,
        FieldType::List(fields) => {
            let rows: Vec<Option<&Vec<Record>>> = figures
                .map(|figure| match figure {
                    Some(Figure::List(rows)) => rows.as_ref(),
                    _ => None,
                })
                .collect();
            let offsets = OffsetBuffer::from_lengths(rows.iter().map(|rows| rows.map_or(0, Vec::len)));
            let nulls = rows.iter().map(Option::is_some).collect();
            let items: Vec<&Record> = rows.into_iter().flatten().flatten().collect();
            let items = Arc::new(structs(fields, &items, at)?);
            Arc::new(ListArray::try_new(list_item(fields, at), offsets, items, Some(nulls))?)
        }
    })
}

/// The only field of many results, as it is.
///
/// # Errors
/// As [`struct_array`].
pub(super) fn single_array(field_type: FieldType, records: &[Record], at: &DataType) -> Result<ArrayRef> {
    column(0, field_type, &records.iter().collect::<Vec<_>>(), at)
}

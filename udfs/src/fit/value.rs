//! The values that fits return: structs and lists of structs.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, exec_err};

/// The fields of a struct, in their order.
pub(crate) type Members = &'static [(&'static str, Shape)];

/// What a result, or a field of it, holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A figure, as Float64.
    Number,
    /// A number of rows, as Int64.
    Count,
    /// A Boolean.
    Flag,
    /// A string.
    Text,
    /// A struct.
    Record(Members),
    /// A list of structs.
    List(Members),
}

/// A value of one of the shapes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    /// NaN and infinities become NULL.
    Number(f64),
    Count(i64),
    Flag(bool),
    Text(String),
    Record(Vec<Value>),
    List(Vec<Vec<Value>>),
}

impl Value {
    /// A number that may be unknown.
    pub(crate) fn number(value: Option<f64>) -> Self {
        value.map_or(Value::Null, Value::Number)
    }

    /// A string that may be absent.
    pub(crate) fn text(value: Option<impl Into<String>>) -> Self {
        value.map_or(Value::Null, |text| Value::Text(text.into()))
    }
}

impl Shape {
    /// The Arrow type.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Shape::Number => DataType::Float64,
            Shape::Count => DataType::Int64,
            Shape::Flag => DataType::Boolean,
            Shape::Text => DataType::Utf8,
            Shape::Record(members) => DataType::Struct(arrow_fields(members)),
            Shape::List(members) => DataType::List(item_field(members)),
        }
    }

    /// The values as an array; NULL for a value of another shape.
    ///
    /// # Errors
    /// When a list would be longer than Arrow allows.
    pub(crate) fn array(self, values: Vec<Value>) -> Result<ArrayRef> {
        let values = values.into_iter();
        Ok(match self {
            Shape::Number => Arc::new(
                values
                    .map(|value| match value {
                        Value::Number(number) => Some(number).filter(|number| number.is_finite()),
                        _ => None,
                    })
                    .collect::<Float64Array>(),
            ),
            Shape::Count => Arc::new(
                values
                    .map(|value| match value {
                        Value::Count(count) => Some(count),
                        _ => None,
                    })
                    .collect::<Int64Array>(),
            ),
            Shape::Flag => Arc::new(
                values
                    .map(|value| match value {
                        Value::Flag(flag) => Some(flag),
                        _ => None,
                    })
                    .collect::<BooleanArray>(),
            ),
            Shape::Text => Arc::new(
                values
                    .map(|value| match value {
                        Value::Text(text) => Some(text),
                        _ => None,
                    })
                    .collect::<StringArray>(),
            ),
            Shape::Record(members) => {
                let records = values.map(|value| match value {
                    Value::Record(record) => Some(record),
                    _ => None,
                });
                struct_array(members, records.collect())?
            }
            Shape::List(members) => {
                let (mut items, mut lengths, mut is_known) = (vec![], vec![], vec![]);
                for value in values {
                    let list = if let Value::List(list) = value { Some(list) } else { None };
                    is_known.push(list.is_some());
                    lengths.push(list.as_ref().map_or(0, Vec::len));
                    items.extend(list.into_iter().flatten().map(Some));
                }
                if items.len() > i32::MAX as usize {
                    return exec_err!("a list of more than 2^31 rows; aggregate fewer groups at once");
                }
                let items = struct_array(members, items)?;
                let nulls = is_known.iter().any(|is_known| !is_known).then(|| NullBuffer::from(is_known));
                let offsets = OffsetBuffer::from_lengths(lengths);
                Arc::new(ListArray::try_new(item_field(members), offsets, items, nulls)?)
            }
        })
    }
}

fn arrow_fields(members: Members) -> Fields {
    members.iter().map(|(name, shape)| Field::new(*name, shape.data_type(), true)).collect()
}

fn item_field(members: Members) -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(arrow_fields(members)), true))
}

fn struct_array(members: Members, records: Vec<Option<Vec<Value>>>) -> Result<ArrayRef> {
    let count = records.len();
    let is_known: Vec<bool> = records.iter().map(Option::is_some).collect();
    let mut columns: Vec<Vec<Value>> = members.iter().map(|_| Vec::with_capacity(count)).collect();
    for record in records {
        let mut fields = record.unwrap_or_default().into_iter();
        columns.iter_mut().for_each(|column| column.push(fields.next().unwrap_or(Value::Null)));
    }
    let arrays = columns.into_iter().zip(members).map(|(column, (_, shape))| shape.array(column));
    let nulls = is_known.iter().any(|is_known| !is_known).then(|| NullBuffer::from(is_known));
    let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(arrow_fields(members), arrays, nulls, count)?))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::datatypes::Float64Type;

    use super::*;

    #[test]
    fn lists_of_structs_have_their_rows_and_nulls() {
        let shape = Shape::List(&[("x", Shape::Number), ("name", Shape::Text)]);
        let row = |x: f64, name: &str| vec![Value::Number(x), Value::Text(name.to_owned())];
        let lists = vec![Value::List(vec![row(1.0, "a"), row(f64::NAN, "b")]), Value::Null, Value::List(vec![])];
        let array = shape.array(lists).unwrap();
        let list = array.as_list::<i32>();
        assert_eq!(array.data_type(), &shape.data_type());
        assert_eq!((list.value_length(0), list.is_null(1), list.value_length(2)), (2, true, 0));
        let first = list.value(0);
        let x = first.as_struct().column(0).as_primitive::<Float64Type>().clone();
        assert_eq!(x.iter().collect::<Vec<_>>(), [Some(1.0), None]);
    }

    #[test]
    fn a_value_of_another_shape_is_null() {
        let shape = Shape::Record(&[("n", Shape::Count), ("reason", Shape::Text)]);
        let array = shape.array(vec![Value::Record(vec![Value::Text("x".to_owned())]), Value::Null]).unwrap();
        assert!(array.as_struct().column(0).is_null(0) && array.as_struct().column(1).is_null(0));
        assert!(!array.is_null(0) && array.is_null(1));
    }
}

//! `train_test(key [, share [, seed]])`: whether a row is to fit a model or to judge it.
//!
//! Formula: 'train' where a hash of seed and key, as a number from 0 to 1, is below share, else 'test'.
//! Units:   any key in; 'train' or 'test' out.
//! NULL:    a NULL key gives NULL.
//! Edges:   the same key has the same answer on every machine, whatever the other rows.
//! Source:  BLAKE3 (J. O'Connor and others 2020).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, TimeUnit, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err, internal_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::page;
use crate::args::{Call, Kind, Parameter};
use crate::strings::{Strings, is_string};

/// The scalar functions of this file.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(TrainTest { signature: CALL.signature() }))]
}

const CALL: Call = Call {
    function: "train_test",
    syntax: "train_test(key [, share [, seed]])",
    parameters: &[
        Parameter::column("key", Kind::Key),
        Parameter::column("share", Kind::Number),
        Parameter::column("seed", Kind::Number),
    ],
    arities: &[1, 2, 3],
};

const SHARE: f64 = 0.8;
const SEED: i64 = 42;

/// The share of train, as the least hash that is test, and the seed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Split {
    share: f64,
    seed: i64,
}

impl Split {
    /// Of a key, whose bytes begin with a letter for its kind: whether it is of the train rows.
    fn is_train(self, kind: u8, key: &[u8]) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&[kind]);
        hasher.update(key);
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        // 53 bits, as many as a Float64 has
        let number = (u64::from_le_bytes([a, b, c, d, e, f, g, h]) >> 11) as f64 / (1_u64 << 53) as f64;
        number < self.share
    }
}

fn share(value: Option<f64>) -> std::result::Result<f64, String> {
    match value {
        None => Ok(SHARE),
        Some(share) if share > 0.0 && share < 1.0 => Ok(share),
        Some(share) => Err(format!("train_test: share must be > 0 and < 1, got {share}")),
    }
}

fn seed(value: Option<f64>) -> std::result::Result<i64, String> {
    match value {
        None => Ok(SEED),
        Some(seed) if seed.fract() == 0.0 && seed.abs() <= 9_007_199_254_740_992.0 => Ok(seed as i64),
        Some(seed) => Err(format!("train_test: seed must be an integer from -2^53 to 2^53, got {seed}")),
    }
}

/// Calls `each` once per row with the kind and the bytes of its key; `None` for NULL. Equal values of all types of a kind
/// have equal bytes.
fn each_key(keys: &ArrayRef, mut each: impl FnMut(Option<(u8, &[u8])>)) -> Result<()> {
    let wrong = || internal_datafusion_err!("train_test: planned with another type than {}", keys.data_type());
    let mut bytes = |kind: u8, rows: &mut dyn Iterator<Item = Option<i128>>| {
        rows.for_each(|value| match value {
            Some(value) => each(Some((kind, &value.to_le_bytes()))),
            None => each(None),
        });
    };
    match keys.data_type() {
        text if is_string(text) => {
            let strings = Strings::new(keys.as_ref())?;
            (0..keys.len()).for_each(|row| each(strings.get(row).map(|text| (b's', text.as_bytes()))));
        }
        DataType::UInt64 => {
            let column = keys.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?;
            bytes(b'i', &mut column.iter().map(|value| value.map(i128::from)));
        }
        DataType::Boolean => {
            let column = keys.as_boolean_opt().ok_or_else(wrong)?;
            bytes(b'b', &mut column.iter().map(|value| value.map(i128::from)));
        }
        integer if integer.is_integer() => {
            let cast = cast(keys, &DataType::Int64)?;
            let column = cast.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            bytes(b'i', &mut column.iter().map(|value| value.map(i128::from)));
        }
        float if float.is_floating() => {
            let cast = cast(keys, &DataType::Float64)?;
            let column = cast.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
            for value in column {
                match value {
                    None => each(None),
                    // An integer is the same key in a column of floats.
                    Some(value) if value.fract() == 0.0 && value.abs() < 1e18 => {
                        each(Some((b'i', &(value as i128).to_le_bytes())));
                    }
                    Some(value) => each(Some((b'f', &value.to_le_bytes()))),
                }
            }
        }
        other => {
            // Times in nanoseconds; what else there is by the text that SQL shows of it.
            let target = match other {
                DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
                DataType::Date32 | DataType::Date64 => DataType::Timestamp(TimeUnit::Nanosecond, None),
                _ => DataType::Utf8,
            };
            let cast_keys = cast(keys, &target)?;
            if target == DataType::Utf8 {
                let strings = Strings::new(cast_keys.as_ref())?;
                (0..keys.len()).for_each(|row| each(strings.get(row).map(|text| (b'd', text.as_bytes()))));
            } else {
                let cast = cast(&cast_keys, &DataType::Int64)?;
                let column = cast.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
                bytes(b't', &mut column.iter().map(|value| value.map(i128::from)));
            }
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TrainTest {
    signature: Signature,
}

impl ScalarUDFImpl for TrainTest {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        CALL.coerce(arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    /// Literals are checked while the call is planned, columns when it runs.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let number = |index: usize| {
            let value = args.scalar_arguments.get(index).copied().flatten();
            value.and_then(|value| match value.cast_to(&DataType::Float64) {
                Ok(ScalarValue::Float64(number)) => number,
                _ => None,
            })
        };
        if let Err(message) = share(number(1)).and(seed(number(2))) {
            return plan_err!("{message}");
        }
        Ok(Arc::new(Field::new(CALL.function, DataType::Utf8, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let row_count = if is_scalar { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|arg| arg.to_array(row_count)).collect::<Result<Vec<ArrayRef>>>()?;
        let number = |index: usize, row: usize| {
            let column = columns.get(index)?.as_primitive_opt::<Float64Type>()?;
            (row < column.len() && column.is_valid(row)).then(|| column.value(row))
        };
        let mut splits = Vec::with_capacity(row_count);
        for row in 0..row_count {
            match share(number(1, row)).and_then(|share| Ok(Split { share, seed: seed(number(2, row))? })) {
                Ok(split) => splits.push(split),
                Err(message) => return exec_err!("{message}"),
            }
        }
        let mut splits = splits.into_iter();
        let mut rows: Vec<Option<&str>> = Vec::with_capacity(row_count);
        if let Some(keys) = columns.first() {
            each_key(keys, |key| {
                let of = |(kind, key), split: Split| if split.is_train(kind, key) { "train" } else { "test" };
                rows.push(key.zip(splits.next()).map(|(key, split)| of(key, split)));
            })?;
        }
        let rows = StringArray::from(rows);
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&rows, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(rows)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        CALL,
        "Whether a row is to fit a model or to judge it: a model is never judged on the rows that it was fitted on. By the key of \
         the customer all rows of a customer are on one side.\n\
         Formula: 'train' where h / 2^53 < share, else 'test'; h = the first 8 bytes, a little-endian integer shifted right by 11 \
         bits, of BLAKE3 over the seed (8 bytes), a letter for the kind of the key (s string, i integer, f float, b Boolean, t time, \
         d else) and the key (a string in UTF-8, an integer or nanoseconds since 1970 in 16 bytes, little-endian).\n\
         Units: any key in; 'train' or 'test' out.\n\
         NULL: a NULL key gives NULL. share and seed that are NULL take their defaults.\n\
         Edges: the answer depends on key, share and seed alone: it is the same in every order, query and program, for integers of \
         every width, for a float that is an integer, and for strings of every type. With a larger share train keeps its rows. \
         The string '1' and the integer 1 are different keys. For a cross-validation take ntile or a hash of your own; for a \
         judgement in time, a later period.\n\
         Source: J. O'Connor, J.-P. Aumasson, S. Neves and Z. Wilcox-O'Hearn, BLAKE3, 2020.",
    )
    .with_argument("key", "The key of the row, such as customer_id: a string, a number, a Boolean, a date or a timestamp.")
    .with_argument("share", "Number between 0 and 1: the share of train. Default 0.8.")
    .with_argument("seed", "Integer: another one is another split. Default 42.")
    .with_sql_example(
        "```sql
select train_test(value, 0.75) as part, count(*) as n from generate_series(1, 1000) group by part order by part;
+-------+-----+
| part  | n   |
+-------+-----+
| test  | 248 |
| train | 752 |
+-------+-----+
```",
    )
    .with_related_udf("predict")
    .with_related_udf("roc_auc")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_share_keeps_the_rows_of_a_smaller_one() {
        let of = |share: f64| -> Vec<bool> {
            let split = Split { share, seed: SEED };
            (0..10_000_i128).map(|key| split.is_train(b'i', &key.to_le_bytes())).collect()
        };
        let (half, most) = (of(0.5), of(0.8));
        assert!(half.iter().zip(&most).all(|(half, most)| *most || !half));
        // within four deviations of a binomial: 50 and 40
        let count = |rows: &[bool]| rows.iter().filter(|row| **row).count();
        assert!(count(&half).abs_diff(5_000) < 200 && count(&most).abs_diff(8_000) < 160);
    }

    #[test]
    fn another_seed_is_another_split() {
        let of = |seed: i64| -> Vec<bool> {
            let split = Split { share: 0.5, seed };
            (0..1_000_i128).map(|key| split.is_train(b'i', &key.to_le_bytes())).collect()
        };
        let same = of(1).iter().zip(of(2)).filter(|(one, other)| **one == *other).count();
        assert!(same.abs_diff(500) < 64, "{same}");
        assert_eq!(of(7), of(7));
    }
}

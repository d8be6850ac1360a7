//! `proportion_ci_of(hits, n [, level [, method]])`: the interval of a share that is counted already.
//!
//! Formula: as proportion_ci.
//! Units:   two counts in, ratios out.
//! NULL:    a NULL count, counts that cannot be, and n = 0 give NULL for the figures, with a reason.
//! Edges:   no hit has the lower end 0, all hits the upper end 1, exactly.
//! Source:  as proportion_ci.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::cells::{Hits, NO_ROWS};
use super::distribution::normal_critical;
use super::proportion::{self, Level, METHODS, Method};
use super::record::{INTERVAL, Interval, struct_array, struct_type};
use super::shares::{METHOD, METHOD_TEXT};
use super::{LEVEL, LEVEL_TEXT, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// The scalar functions of this file.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(ProportionCiOf { signature: CALL.signature() }))]
}

const CALL: Call = Call {
    function: "proportion_ci_of",
    syntax: "proportion_ci_of(hits, n [, level [, method]])",
    parameters: &[Parameter::column("hits", Kind::Number), Parameter::column("n", Kind::Number), LEVEL, METHOD],
    arities: &[2, 3, 4],
};

const NOT_KNOWN: &str = "a count is not known";
const NO_COUNTS: &str = "hits must be a whole number from 0 to n";

/// Counts up to here are exact as numbers.
const MOST_ROWS: f64 = 9_007_199_254_740_992.0;

fn interval_of(hits: Option<f64>, n: Option<f64>, level: Level, method: Method) -> Interval {
    let Some((hits, n)) = hits.zip(n) else { return Interval::none(NOT_KNOWN) };
    let is_count = |number: f64| (0.0..=MOST_ROWS).contains(&number) && number.fract() == 0.0;
    if !is_count(hits) || !is_count(n) || hits > n {
        return Interval::none(NO_COUNTS);
    }
    let share = Hits { hits: hits as i64, n: n as i64 };
    if share.n == 0 {
        return Interval::none(NO_ROWS);
    }
    let bounds = proportion::interval(share, method, level);
    Interval { estimate: Some(share.ratio()), bounds: Some(bounds), n: share.n, reason: None }
}

/// The constants of a call, as far as they are known.
fn options(level: Option<&ScalarValue>, method: Option<&ScalarValue>) -> Result<(Level, Method)> {
    let constants = Constants::of_values(&CALL, &[("level", level), ("method", method)]);
    let level = constants.probability("level", 0.95)?;
    let method = constants.choice("method", METHODS)?.unwrap_or(Method::Wilson);
    Ok((Level { level, z: normal_critical(level) }, method))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ProportionCiOf {
    signature: Signature,
}

impl ScalarUDFImpl for ProportionCiOf {
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
        Ok(struct_type(INTERVAL, &DataType::Null))
    }

    /// Literals are checked while the call is planned.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let given = |index: usize| args.scalar_arguments.get(index).copied().flatten();
        options(given(2), given(3))?;
        Ok(Arc::new(Field::new(CALL.function, struct_type(INTERVAL, &DataType::Null), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |index: usize, name: &str| match args.args.get(index) {
            Some(ColumnarValue::Scalar(value)) => Ok(Some(value)),
            Some(ColumnarValue::Array(_)) => exec_err!("proportion_ci_of: {name} must be a constant, got a column"),
            None => Ok(None),
        };
        let (level, method) = options(constant(2, "level")?, constant(3, "method")?)?;
        let counts =
            args.args.get(..2).ok_or_else(|| exec_datafusion_err!("proportion_ci_of: evaluated without counts"))?;
        let is_constant = counts.iter().all(|count| matches!(count, ColumnarValue::Scalar(_)));
        let row_count = if is_constant { 1 } else { args.number_rows };
        let columns = counts.iter().map(|count| count.to_array(row_count)).collect::<Result<Vec<ArrayRef>>>()?;
        let wrong = || internal_datafusion_err!("proportion_ci_of: counts are planned as Float64, got {columns:?}");
        let column = |index: usize| columns.get(index).and_then(|column| column.as_primitive_opt::<Float64Type>());
        let (hits, n): (&Float64Array, &Float64Array) = (column(0).ok_or_else(wrong)?, column(1).ok_or_else(wrong)?);
        let number = |column: &Float64Array, row| column.is_valid(row).then(|| column.value(row));
        let records: Vec<_> =
            (0..row_count).map(|row| interval_of(number(hits, row), number(n, row), level, method).record()).collect();
        let intervals = struct_array(INTERVAL, &records, &DataType::Null)?;
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&intervals, 0)?));
        }
        Ok(ColumnarValue::Array(intervals))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        CALL,
        "A share with its confidence interval, from counts: proportion_ci where the rows are counted already.\n\
         Formula: estimate = hits / n; low and high as in proportion_ci: Wilson (hits + z^2/2 -+ z sqrt(hits (n - hits) / n + \
         z^2/4)) / (n + z^2).\n\
         Units: two counts in; estimate, low and high are ratios from 0 to 1.\n\
         NULL: a count that is NULL, counts that cannot be (negative, not whole, more hits than n), and n = 0 give NULL for \
         the figures, and a reason; n is then 0.\n\
         Edges: no hit has low exactly 0, all hits have high exactly 1. A level or method that is NULL takes its default.\n\
         Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927) 209-212; others as proportion_ci.",
    )
    .with_argument("hits", "Number: how many rows are hits, a whole number.")
    .with_argument("n", "Number: how many rows there are, a whole number.")
    .with_argument("level", LEVEL_TEXT)
    .with_argument("method", METHOD_TEXT)
    .with_sql_example(
        "```sql
select ci['estimate'] as estimate, round(ci['low'], 4) as low, round(ci['high'], 4) as high
from (select proportion_ci_of(81, 263) as ci);
+---------------------+--------+--------+
| estimate            | low    | high   |
+---------------------+--------+--------+
| 0.30798479087452474 | 0.2553 | 0.3662 |
+---------------------+--------+--------+
```",
    )
    .with_related_udf("proportion_ci")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_cannot_be_have_no_interval() {
        let level = Level { level: 0.95, z: normal_critical(0.95) };
        for (hits, n, reason) in [
            (Some(1.0), None, NOT_KNOWN),
            (Some(2.0), Some(1.0), NO_COUNTS),
            (Some(-1.0), Some(1.0), NO_COUNTS),
            (Some(0.5), Some(1.0), NO_COUNTS),
            (Some(f64::NAN), Some(1.0), NO_COUNTS),
            (Some(1.0), Some(f64::INFINITY), NO_COUNTS),
            (Some(0.0), Some(0.0), NO_ROWS),
        ] {
            assert_eq!(interval_of(hits, n, level, Method::Wilson), Interval::none(reason), "{hits:?} of {n:?}");
        }
    }
}

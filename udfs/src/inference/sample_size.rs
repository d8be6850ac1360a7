//! `sample_size(from, to [, power [, level [, stddev]]])`: how many rows each of two groups needs to show a difference.
//!
//! Formula: of shares by the normal distribution, of means the smallest n whose t test has the power.
//! Units:   shares, or means and their standard deviation, in; rows per group out.
//! NULL:    a NULL, equal values, and a share that is none give NULL.
//! Edges:   two-sided test, groups of equal size.
//! Source:  J. L. Fleiss 1981; J. Cohen 1988; as R's power.prop.test and power.t.test.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::distribution::{normal_critical, normal_upper, student_critical};
use super::page;
use crate::args::{Call, Kind, Parameter};

/// The scalar functions of this file.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(SampleSize { signature: CALL.signature() }))]
}

const CALL: Call = Call {
    function: "sample_size",
    syntax: "sample_size(from, to [, power [, level [, stddev]]])",
    parameters: &[
        Parameter::column("from", Kind::Number),
        Parameter::column("to", Kind::Number),
        Parameter::column("power", Kind::Number),
        Parameter::column("level", Kind::Number),
        Parameter::column("stddev", Kind::Number),
    ],
    arities: &[2, 3, 4, 5],
};

/// More rows than this are not a plan.
const MOST_ROWS: f64 = 1e15;

/// From here on the t test is the z test.
const MANY_ROWS: f64 = 1e5;

/// The rows per group for two shares.
fn of_shares(from: f64, to: f64, power: f64, level: f64) -> Option<f64> {
    let is_share = |share: f64| (0.0..=1.0).contains(&share);
    if !(is_share(from) && is_share(to)) || from == to {
        return None;
    }
    let middle = (from + to) / 2.0;
    let spread = |share: f64| share * (1.0 - share);
    let critical = normal_critical(level) * (2.0 * spread(middle)).sqrt();
    let needed = one_sided_quantile(power) * (spread(from) + spread(to)).sqrt();
    let root = (critical + needed).max(0.0) / (to - from).abs();
    Some((root * root).ceil().max(2.0))
}

/// The rows per group for two means.
fn of_means(from: f64, to: f64, power: f64, level: f64, stddev: f64) -> Option<f64> {
    let effect = ((to - from) / stddev).abs();
    if !(effect > 0.0 && effect.is_finite() && stddev > 0.0) {
        return None;
    }
    let root = (normal_critical(level) + one_sided_quantile(power)).max(0.0) / effect;
    let normal = 2.0 * root * root;
    if normal >= MANY_ROWS {
        return Some(normal.ceil());
    }
    // The t test needs somewhat more than the z test, by few degrees of freedom much more.
    let is_enough = |n: f64| t_test_power(n, effect, level) >= power;
    let (mut missed, mut reached) = (1.0, normal.ceil().max(2.0));
    while !is_enough(reached) {
        missed = reached;
        reached *= 2.0;
        if reached > 4.0 * MANY_ROWS {
            return Some(normal.ceil());
        }
    }
    while reached - missed > 1.0 {
        let middle = (missed + (reached - missed) / 2.0).floor();
        if is_enough(middle) {
            reached = middle;
        } else {
            missed = middle;
        }
    }
    Some(reached)
}

/// The z with P(Z <= z) = `probability`.
fn one_sided_quantile(probability: f64) -> f64 {
    if probability < 0.5 { -normal_critical(1.0 - 2.0 * probability) } else { normal_critical(2.0 * probability - 1.0) }
}

/// The probability that the two-sided t test of two groups of `n` rows shows a difference of `effect` deviations in its
/// direction: the normal distribution, averaged over the estimated deviation by Simpson's rule.
fn t_test_power(n: f64, effect: f64, level: f64) -> f64 {
    const STEPS: u32 = 2_000;
    let df = 2.0 * n - 2.0;
    let shift = effect * (n / 2.0).sqrt();
    let critical = student_critical(level, df);
    // s / sigma has the density c s^(df - 1) exp(-df s^2 / 2), a bell of the width 1 / sqrt(2 df) near 1.
    let width = 12.0 / (2.0 * df).sqrt();
    let (low, high) = ((1.0 - width).max(0.0), 1.0 + width);
    let log_constant =
        std::f64::consts::LN_2 + df / 2.0 * (df / 2.0).ln() - statrs::function::gamma::ln_gamma(df / 2.0);
    let step = (high - low) / f64::from(STEPS);
    let mut sum = 0.0;
    for index in 0..=STEPS {
        let s = low + step * f64::from(index);
        let weight = match index {
            0 | STEPS => 1.0,
            index if index % 2 == 1 => 4.0,
            _ => 2.0,
        };
        if s > 0.0 {
            let density = (log_constant + (df - 1.0) * s.ln() - df * s * s / 2.0).exp();
            sum += weight * density * normal_upper(critical * s - shift);
        }
    }
    sum * step / 3.0
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SampleSize {
    signature: Signature,
}

fn check(name: &str, value: Option<f64>) -> std::result::Result<(), String> {
    match (name, value) {
        ("power" | "level", Some(value)) if !(value > 0.0 && value < 1.0) => {
            Err(format!("sample_size: {name} must be > 0 and < 1, got {value}"))
        }
        ("stddev", Some(value)) if !(value > 0.0 && value.is_finite()) => {
            Err(format!("sample_size: stddev must be > 0, got {value}"))
        }
        _ => Ok(()),
    }
}

impl ScalarUDFImpl for SampleSize {
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
        Ok(DataType::Int64)
    }

    /// Literals are checked while the call is planned, columns when it runs.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        for (parameter, value) in CALL.parameters.iter().zip(args.scalar_arguments) {
            let number = value.and_then(|value| match value.cast_to(&DataType::Float64) {
                Ok(ScalarValue::Float64(number)) => number,
                _ => None,
            });
            if let Err(message) = check(parameter.name, number) {
                return plan_err!("{message}");
            }
        }
        Ok(Arc::new(Field::new(CALL.function, DataType::Int64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let row_count = if is_scalar { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|arg| arg.to_array(row_count)).collect::<Result<Vec<ArrayRef>>>()?;
        let number = |index: usize, row: usize| {
            let column = columns.get(index)?.as_primitive_opt::<Float64Type>()?;
            (row < column.len() && column.is_valid(row)).then(|| column.value(row))
        };
        let mut sizes = Vec::with_capacity(row_count);
        for row in 0..row_count {
            for (index, parameter) in CALL.parameters.iter().enumerate() {
                if let Err(message) = check(parameter.name, number(index, row)) {
                    return exec_err!("{message}");
                }
            }
            let (power, level) = (number(2, row).unwrap_or(0.8), number(3, row).unwrap_or(0.95));
            let size = match (number(0, row).zip(number(1, row)), number(4, row)) {
                (None, _) => None,
                (Some((from, to)), None) => of_shares(from, to, power, level),
                (Some((from, to)), Some(stddev)) => of_means(from, to, power, level, stddev),
            };
            sizes.push(size.filter(|size| *size < MOST_ROWS).map(|size| size as i64));
        }
        let sizes = Int64Array::from(sizes);
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&sizes, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(sizes)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        CALL,
        "How many rows each of two groups needs, so that a difference of this size is found: before a trial of a new script, \
         not after it.\n\
         Formula: of shares, without stddev, n = (z(level) sqrt(2 p (1 - p)) + z(power) sqrt(from (1 - from) + to (1 - to)))^2 / \
         (to - from)^2 with p = (from + to) / 2 and the quantiles z of the two-sided level and of the power, rounded up. Of means, \
         with stddev, the smallest n for which the t test finds the difference with the power.\n\
         Units: two ratios, or two means and the standard deviation of a row, in; rows per group out.\n\
         NULL: a NULL from or to, equal ones, and a share that is not from 0 to 1 give NULL; so do more than 10^15 rows.\n\
         Edges: two-sided test, groups of equal size. power, level and stddev that are NULL take their defaults; out of range they \
         are errors.\n\
         Source: J. L. Fleiss, Statistical Methods for Rates and Proportions, 2nd ed., Wiley 1981, chapter 3; J. Cohen, Statistical \
         Power Analysis for the Behavioral Sciences, 2nd ed., Erlbaum 1988, chapter 2; as R's power.prop.test and power.t.test.",
    )
    .with_argument("from", "Number: the share or mean of the baseline.")
    .with_argument("to", "Number: the share or mean that is to be told from it.")
    .with_argument("power", "Number between 0 and 1: the probability to find the difference. Default 0.8.")
    .with_argument("level", "Number between 0 and 1: the confidence level of the test. Default 0.95.")
    .with_argument("stddev", "Number: the standard deviation of a row, for means. Default: from and to are shares.")
    .with_sql_example(
        "```sql
select sample_size(0.70, 0.75) as for_shares, sample_size(300, 285, 0.8, 0.95, stddev => 120) as for_means;
+------------+-----------+
| for_shares | for_means |
+------------+-----------+
| 1251       | 1006      |
+------------+-----------+
```",
    )
    .with_related_udf("proportion_test")
    .with_related_udf("welch_test")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_as_in_r() {
        // R documentation of power.prop.test: p1 .50, p2 .75, power .90: n = 76.7.
        assert_eq!(of_shares(0.5, 0.75, 0.9, 0.95), Some(77.0));
        assert_eq!(of_shares(0.75, 0.5, 0.9, 0.95), Some(77.0));
    }

    #[test]
    fn means_as_in_r() {
        // R documentation of power.t.test: n 20, delta 1, sd 1: power .8689528; power .90, delta 1: n = 22.02110.
        assert!((t_test_power(20.0, 1.0, 0.95) - 0.8689528).abs() < 1e-7);
        assert_eq!(of_means(0.0, 1.0, 0.9, 0.95, 1.0), Some(23.0));
        assert!((t_test_power(22.0211, 1.0, 0.95) - 0.9).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_told_has_no_size() {
        assert_eq!(of_shares(0.5, 0.5, 0.8, 0.95), None);
        assert_eq!(of_shares(0.5, 1.5, 0.8, 0.95), None);
        assert_eq!(of_shares(f64::NAN, 0.5, 0.8, 0.95), None);
        assert_eq!(of_means(1.0, 1.0, 0.8, 0.95, 2.0), None);
        assert_eq!(of_means(1.0, f64::INFINITY, 0.8, 0.95, 2.0), None);
        // 0 to 1 is told by two rows of each.
        assert_eq!(of_shares(0.0, 1.0, 0.8, 0.95), Some(2.0));
    }

    #[test]
    fn a_large_effect_needs_few_rows_and_a_small_one_many() {
        assert_eq!(of_means(0.0, 100.0, 0.8, 0.95, 1.0), Some(2.0));
        let many = of_means(0.0, 0.001, 0.8, 0.95, 1.0).unwrap();
        assert!((many - 15_697_760.0).abs() < 10.0, "{many}");
    }
}

//! `linear_fit(y, features [, weights [, robust [, level]]])`: least squares.
//!
//! Formula: y = b0 + sum b_j x_j + error, the b that minimize the weighted sum of squared errors.
//! Units:   any numbers in; estimates in units of y per unit of the feature.
//! NULL:    a row with a NULL is left out and counted; figures that are not defined are NULL, with a reason.
//! Edges:   memory does not grow with the rows (see `triangle.rs`), but with robust errors, which need all of them.
//! Source:  G. H. Golub and C. F. Van Loan 2013; H. White 1980 and J. G. MacKinnon and H. White 1985 (HC1).

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::Fields;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::design::{Design, listed};
use super::fit::{Fit, Group, fit};
use super::matrix::{Rows, cholesky, cholesky_solve};
use super::model::{Record, TermRow, baselines, count, fit_fields, number, number_field, terms, text};
use super::state::Reduced;
use super::triangle::{LeastSquares, Triangle};
use super::{FEATURES, FEATURES_TEXT, LEVEL, LEVEL_TEXT, NO_ROWS, page};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::distribution::{f_upper, student_critical, student_two_sided};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![fit(LinearFit)]
}

/// Residuals below this part of the deviations of y are rounding.
const EXACT: f64 = 1e-13;

/// The errors of the estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errors {
    /// All errors have one variance, over the weight.
    Equal,
    /// MacKinnon and White's HC1.
    Robust,
}

#[derive(Debug)]
struct Options {
    errors: Errors,
    level: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LinearFit;

/// Least squares of the columns of a design.
#[derive(Debug)]
struct Solution<'a> {
    triangle: &'a Triangle,
    /// The columns of the triangle, in the order of the terms.
    columns: Vec<usize>,
    squares: LeastSquares,
    df: f64,
    sigma: f64,
}

impl Solution<'_> {
    /// The covariance of the estimates of the centred columns with equal variances, and of the intercept (index 0).
    fn equal_covariance(&self) -> Vec<f64> {
        let variance = self.sigma * self.sigma;
        self.with_intercept(variance / self.triangle.weight, &self.squares.inverse, variance)
    }

    /// The covariance with the intercept of the columns as they are, from that of the mean of y and of the centred columns,
    /// which are independent.
    fn with_intercept(&self, of_mean: f64, of_columns: &[f64], factor: f64) -> Vec<f64> {
        let count = self.squares.kept.len();
        let size = count + 1;
        let mut centred = vec![0.0; size * size];
        centred[0] = of_mean;
        for row in 0..count {
            for column in 0..count {
                centred[(row + 1) * size + column + 1] = factor * of_columns[row * count + column];
            }
        }
        self.moved(&centred)
    }

    /// The mean of a column that is kept.
    fn mean(&self, kept: usize) -> f64 {
        self.triangle.mean(self.columns[self.squares.kept[kept]])
    }

    /// Moves a covariance from the columns less their means to the columns as they are.
    fn moved(&self, centred: &[f64]) -> Vec<f64> {
        let size = self.squares.kept.len() + 1;
        let mut moved = centred.to_vec();
        for row in 1..size {
            moved[row * size] -=
                (1..size).map(|column| centred[row * size + column] * self.mean(column - 1)).sum::<f64>();
            moved[row] = moved[row * size];
        }
        let twice: f64 = (1..size).map(|column| centred[column * size] * self.mean(column - 1)).sum();
        let squares: f64 = (1..size)
            .flat_map(|row| (1..size).map(move |column| (row, column)))
            .map(|(row, column)| self.mean(row - 1) * self.mean(column - 1) * centred[row * size + column])
            .sum();
        moved[0] = centred[0] - 2.0 * twice + squares;
        moved
    }

    /// HC1: n / (n - k) A^-1 (sum w^2 e^2 z z') A^-1 with A = sum w z z', over the rows.
    fn robust_covariance(&self, rows: Rows<'_>, design: &Design) -> Vec<f64> {
        let (count, size) = (self.squares.kept.len(), self.squares.kept.len() + 1);
        let mut meat = vec![0.0; size * size];
        let (mut z, mut values) = (vec![1.0; size], vec![]);
        let y_mean = self.triangle.mean(0);
        for row in rows.iter() {
            values.clear();
            design.expand(&row[2..], &mut values);
            for (index, position) in self.squares.kept.iter().enumerate() {
                z[index + 1] = values[*position] - self.mean(index);
            }
            let fitted: f64 = z[1..].iter().zip(&self.squares.estimates).map(|(z, b)| z * b).sum();
            let error = row[1] * (row[0] - y_mean - fitted);
            for a in 0..size {
                let factor = error * error * z[a];
                for b in 0..=a {
                    meat[a * size + b] += factor * z[b];
                }
            }
        }
        // A^-1 of the centred columns: 1 / w, and the inverse of the squares and products.
        let bread = |a: usize, b: usize| match (a, b) {
            (0, 0) => 1.0 / self.triangle.weight,
            (0, _) | (_, 0) => 0.0,
            (a, b) => self.squares.inverse[(a - 1) * count + b - 1],
        };
        let full = |a: usize, b: usize| meat[a.max(b) * size + a.min(b)];
        let n = self.triangle.rows as f64;
        let mut half = vec![0.0; size * size];
        for a in 0..size {
            for b in 0..size {
                half[a * size + b] = (0..size).map(|k| bread(a, k) * full(k, b)).sum();
            }
        }
        let mut covariance = vec![0.0; size * size];
        for a in 0..size {
            for b in 0..size {
                let sum: f64 = (0..size).map(|k| half[a * size + k] * bread(k, b)).sum();
                covariance[a * size + b] = n / self.df * sum;
            }
        }
        self.moved(&covariance)
    }

    /// Wald's F that all estimates but the intercept are 0.
    fn f_statistic(&self, covariance: &[f64]) -> f64 {
        let (count, size) = (self.squares.kept.len(), self.squares.kept.len() + 1);
        let mut inner = Vec::with_capacity(count * count);
        // Scaled to a diagonal of 1, as the terms are of many units.
        let scale: Vec<f64> = (1..size).map(|index| covariance[index * size + index].sqrt()).collect();
        for row in 1..size {
            inner.extend((1..size).map(|column| covariance[row * size + column] / scale[row - 1] / scale[column - 1]));
        }
        let Some(factor) = cholesky(&inner, count) else { return f64::NAN };
        let scaled: Vec<f64> = self.squares.estimates.iter().zip(&scale).map(|(b, scale)| b / scale).collect();
        let solved = cholesky_solve(&factor, count, &scaled);
        scaled.iter().zip(solved).map(|(a, b)| a * b).sum::<f64>() / count as f64
    }
}

/// The record of a fit, and why figures are missing.
fn finish(options: &Options, group: &Group<'_>, reduced: &Reduced, record: &mut Record) -> Result<Option<String>> {
    let features = &group.encoder.features;
    let counts = reduced.level_counts(group.encoder, group.layout);
    let design = match (reduced.overflow, Design::of_counts(group.encoder, &counts)) {
        (Some(feature), _) => {
            return Ok(features.get(feature).map(|feature| super::design::too_many_levels(&feature.name)));
        }
        (None, Err(reason)) => return Ok(Some(reason)),
        (None, Ok(design)) => design,
    };
    let first = group.layout.first;
    let position =
        |term: &super::design::Term| reduced.column(first + term.feature, term.level.as_ref().map(|(code, _)| *code));
    let columns: Vec<usize> = design.terms.iter().filter_map(position).collect();
    let triangle = &reduced.triangle;
    let squares = triangle.least_squares(0, &columns);
    let length = triangle.length(0);
    if !(length.is_finite() && squares.estimates.iter().chain(&squares.inverse).all(|value| value.is_finite())) {
        return Ok(Some("values too large for Float64".to_owned()));
    }
    let df = triangle.rows as f64 - squares.kept.len() as f64 - 1.0;
    let is_exact = squares.residual <= EXACT * length;
    let residual = if is_exact { 0.0 } else { squares.residual };
    let sigma = if df > 0.0 { residual / df.sqrt() } else { f64::NAN };
    let solution = Solution { triangle, columns, squares, df, sigma };
    let mut rows = TermRow::of_design(features, &design);
    let left_out = &solution.squares.left_out;
    let has_errors = df > 0.0 && !is_exact;
    let covariance = match options.errors {
        Errors::Equal => solution.equal_covariance(),
        Errors::Robust => {
            solution.robust_covariance(Rows { values: &group.state.rows, width: group.layout.width }, &design)
        }
    };
    let size = solution.squares.kept.len() + 1;
    let critical = if df > 0.0 { student_critical(options.level, df) } else { f64::NAN };
    let deviation = |index: usize| if has_errors { covariance[index * size + index].sqrt() } else { f64::NAN };
    let moved = (0..size - 1).map(|index| solution.squares.estimates[index] * solution.mean(index)).sum::<f64>();
    let p_value = |statistic: f64| student_two_sided(statistic, df);
    if let Some(intercept) = rows.first_mut() {
        intercept.estimate(triangle.mean(0) - moved, deviation(0), critical, p_value);
    }
    for (index, position) in solution.squares.kept.iter().enumerate() {
        if let Some(row) = rows.get_mut(position + 1) {
            row.estimate(solution.squares.estimates[index], deviation(index + 1), critical, p_value);
            let length = triangle.length(solution.columns[*position]);
            row.vif = solution.squares.inverse[index * (size - 1) + index] * length * length;
        }
    }
    let ratio = residual / length;
    let unexplained = ratio * ratio;
    let terms_count = (size - 1) as f64;
    record.set("is_converged", ScalarValue::Boolean(Some(true)));
    record.set("df", number(df)).set("sigma", number(sigma));
    record.set("r_squared", number(1.0 - unexplained));
    record.set("adjusted_r_squared", number(1.0 - unexplained * (triangle.rows as f64 - 1.0) / df));
    if has_errors && terms_count > 0.0 {
        let f = match options.errors {
            Errors::Equal => (1.0 - unexplained) / unexplained * df / terms_count,
            Errors::Robust => solution.f_statistic(&covariance),
        };
        record.set("f_statistic", number(f)).set("f_p_value", number(f_upper(f, terms_count, df)));
    }
    record.set("baselines", baselines(features, &design)?).set("terms", terms(&rows, true)?);
    let mut reasons = vec![];
    if !left_out.is_empty() {
        let names: Vec<&str> =
            left_out.iter().filter_map(|position| Some(design.terms.get(*position)?.name.as_str())).collect();
        reasons.push(format!("left out, constant or a combination of the terms before: {}", listed(&names)));
    }
    if length == 0.0 {
        reasons.push("all values of y are equal".to_owned());
    } else if df <= 0.0 {
        reasons.push("as many terms as rows: no errors".to_owned());
    } else if is_exact {
        reasons.push("the terms explain y without a residual: no errors".to_owned());
    }
    Ok((!reasons.is_empty()).then(|| reasons.join("; ")))
}

impl Fit for LinearFit {
    const CALL: Call = Call {
        function: "linear_fit",
        syntax: "linear_fit(y, features [, weights [, robust [, level]]])",
        parameters: &[
            Parameter::column("y", Kind::Number),
            FEATURES,
            Parameter::column("weights", Kind::Number),
            Parameter::constant("robust", Kind::Text),
            LEVEL,
        ],
        arities: &[2, 3, 4, 5],
    };
    const FEATURES: usize = 1;
    const NUMBERS: &'static [usize] = &[0, 2];
    type Options = Options;

    fn bind(constants: &Constants) -> Result<Options> {
        let errors = constants.choice("robust", &[("none", Errors::Equal), ("hc1", Errors::Robust)])?;
        Ok(Options { errors: errors.unwrap_or(Errors::Equal), level: constants.probability("level", 0.95)? })
    }

    fn counts(numbers: &[f64]) -> bool {
        numbers.get(1).is_none_or(|weight| *weight > 0.0)
    }

    /// Robust errors need the residual of each row.
    fn reduces(options: &Options) -> bool {
        options.errors == Errors::Equal
    }

    fn fields() -> Fields {
        let figures = ["df", "r_squared", "adjusted_r_squared", "sigma", "f_statistic", "f_p_value"];
        fit_fields(figures.map(number_field).to_vec(), true)
    }

    fn finish(options: &Options, group: Group<'_>) -> Result<Vec<ScalarValue>> {
        let mut record = Record::try_new(&Self::fields())?;
        let of_rows;
        let reduced = match &group.state.reduced {
            Some(reduced) => reduced,
            None => {
                of_rows = Reduced::of_rows(group.encoder, group.layout, &group.state.rows);
                &of_rows
            }
        };
        record.set("method", text("linear")).set("n", count(reduced.triangle.rows));
        record.set("n_missing", count(group.state.missing)).set("is_converged", ScalarValue::Boolean(Some(false)));
        let reason = match (reduced.triangle.rows, reduced.overflow) {
            (0, None) => Some(NO_ROWS.to_owned()),
            _ => finish(options, &group, reduced, &mut record)?,
        };
        if let Some(reason) = reason {
            record.set("reason", text(reason));
        }
        Ok(record.into_values())
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                LinearFit::CALL,
                "A figure by features: least squares, with errors, intervals and variance inflation factors. Use `predict(model, \
                 features)` for what it expects of other rows.\n\
                 Formula: y = b0 + sum of b_j x_j, the b with the smallest sum of weight * error^2; std_error from sigma^2 (X'WX)^-1 \
                 with sigma^2 = sum of weight * error^2 / df, df = n - terms; robust => 'hc1' from n / df (X'WX)^-1 (sum of weight^2 \
                 error^2 x x') (X'WX)^-1. statistic = estimate / std_error by Student's t. r_squared is the share of the squares of y \
                 that the terms explain; f_statistic tests that all terms but the intercept are 0. vif = 1 / (1 - r_squared of the term \
                 by the other terms): above 10 the terms say much the same.\n\
                 Units: any numbers in; an estimate is in units of y per unit of the feature.\n\
                 NULL: a row with a NULL, NaN or infinity, or a weight that is not > 0, is left out and counted in n_missing. What is not \
                 defined is NULL, with a reason. A constant feature, and one that is a combination of those before it, has a NULL \
                 estimate, counts as 0 in predict and is named in reason.\n\
                 Edges: a Boolean is 0 or 1. A string has a term feature=level for each level but the most frequent one (of equally \
                 frequent ones the first), which is listed in baselines; more than 100 levels are a reason. Rows are reduced by \
                 Householder's reflections as they come: memory does not grow with them, and NIST's Longley has 10 digits. \
                 robust => 'hc1' keeps all rows, 8 bytes for each number. To leave weights out before robust, pass NULL. DISTINCT is \
                 refused.\n\
                 Source: G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed., 2013, section 5.3; H. White, Econometrica 48 \
                 (1980) 817-838; J. G. MacKinnon and H. White, Journal of Econometrics 29 (1985) 305-325; J. W. Longley, Journal of the \
                 American Statistical Association 62 (1967) 819-841.",
            )
            .with_argument("y", "Number: the figure to explain.")
            .with_argument("features", FEATURES_TEXT)
            .with_argument("weights", "Number > 0: how much a row counts, 1 / variance of its error. Default, and for NULL: 1.")
            .with_argument("robust", "Constant string: 'none' (default) or 'hc1', errors that hold where the spread differs.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select t['term'] as term, round(t['estimate'], 2) as estimate, round(t['low'], 2) as low, round(t['high'], 2) as high
from (
    select unnest(linear_fit(handle_s, struct(transfer_count, channel))['terms']) as t
    from (values
        (310, 0, 'phone'), (420, 1, 'phone'), (350, 0, 'phone'), (560, 2, 'phone'), (330, 0, 'phone'),
        (600, 0, 'mail'), (790, 1, 'mail'), (640, 0, 'mail'), (720, 1, 'mail')
    ) as contacts(handle_s, transfer_count, channel)
);
+----------------+----------+--------+--------+
| term           | estimate | low    | high   |
+----------------+----------+--------+--------+
| (intercept)    | 323.57   | 286.09 | 361.05 |
| transfer_count | 117.38   | 83.17  | 151.59 |
| channel=mail   | 305.24   | 258.08 | 352.4  |
+----------------+----------+--------+--------+
```",
            )
            .with_related_udf("predict")
            .with_related_udf("logistic_fit")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests;

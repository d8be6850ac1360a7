//! `logistic_fit(flag, features [, ridge [, level]])` and `poisson_fit(y, features [, ridge [, level]])`: what a flag or a
//! count depends on.
//!
//! Formula: logit P(flag) = b0 + sum b_j x_j; ln E(y) = b0 + sum b_j x_j; the b that maximize the likelihood.
//! Units:   flags, or counts, in; estimates in logits, or logarithms, per unit of the feature.
//! NULL:    a row with a NULL is left out and counted; figures that are not defined are NULL, with a reason.
//! Edges:   a flag that the features separate has no finite estimates: said in `reason`.
//! Source:  P. McCullagh and J. A. Nelder 1989; A. Albert and J. A. Anderson 1984 (separation).

use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use datafusion::arrow::datatypes::Fields;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::design::{Design, Term, listed};
use super::fit::{Fit, Group, fit};
use super::matrix::Rows;
use super::model::{Record, TermRow, baselines, count, count_field, fit_fields, number, number_field, terms, text};
use super::newton::{End, Family, NewtonFit, Problem, ScaledColumn};
use super::triangle::Triangle;
use super::{FEATURES, LEVEL, NO_ROWS};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::inference::distribution::{chi_square_upper, normal_critical, normal_two_sided};

mod pages;

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![fit(GlmFit::<Logistic>(PhantomData)), fit(GlmFit::<Poisson>(PhantomData))]
}

/// Which distribution a fit has.
trait Distribution: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    const FAMILY: Family;
    const CALL: Call;
    const METHOD: &'static str;

    fn documentation() -> &'static Documentation;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Logistic;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Poisson;

const RIDGE: Parameter = Parameter::constant("ridge", Kind::Number);

impl Distribution for Logistic {
    const FAMILY: Family = Family::Logistic;
    const CALL: Call = Call {
        function: "logistic_fit",
        syntax: "logistic_fit(flag, features [, ridge [, level]])",
        parameters: &[Parameter::column("flag", Kind::Flag), FEATURES, RIDGE, LEVEL],
        arities: &[2, 3, 4],
    };
    const METHOD: &'static str = "logistic";

    fn documentation() -> &'static Documentation {
        &pages::LOGISTIC
    }
}

impl Distribution for Poisson {
    const FAMILY: Family = Family::Poisson;
    const CALL: Call = Call {
        function: "poisson_fit",
        syntax: "poisson_fit(y, features [, ridge [, level]])",
        parameters: &[Parameter::column("y", Kind::Number), FEATURES, RIDGE, LEVEL],
        arities: &[2, 3, 4],
    };
    const METHOD: &'static str = "poisson";

    fn documentation() -> &'static Documentation {
        &pages::POISSON
    }
}

#[derive(Debug)]
struct Options {
    ridge: f64,
    level: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GlmFit<D>(PhantomData<D>);

/// The terms that are fitted, and those that are constant or combinations of the ones before.
struct Columns {
    kept: Vec<usize>,
    left_out: Vec<usize>,
    scaled: Vec<ScaledColumn>,
}

impl Columns {
    /// By a QR decomposition of the columns.
    fn of(rows: Rows<'_>, terms: &[Term]) -> Self {
        let columns: Vec<_> = terms.iter().map(|term| term.column(1)).collect();
        let mut triangle = Triangle::default();
        triangle.widen(columns.len() + 1);
        let (mut block, mut values) = (vec![], vec![]);
        for rows in rows.blocks() {
            block.clear();
            for column in std::iter::once(&super::matrix::Column { index: 0, level: None }).chain(&columns) {
                column.fill(rows, &mut values);
                block.extend_from_slice(&values);
            }
            triangle.absorb(&block, &vec![1.0; rows.len()]);
        }
        let positions: Vec<usize> = (1..=columns.len()).collect();
        let squares = triangle.least_squares(0, &positions);
        let scaled = squares.kept.iter().filter_map(|position| {
            let deviation = triangle.length(position + 1) / (triangle.rows as f64).sqrt();
            Some(ScaledColumn { column: *columns.get(*position)?, mean: triangle.mean(position + 1), deviation })
        });
        Self { scaled: scaled.collect(), kept: squares.kept, left_out: squares.left_out }
    }
}

fn names<'a>(design: &'a Design, positions: impl Iterator<Item = &'a usize>) -> String {
    let names: Vec<&str> = positions.filter_map(|position| Some(design.terms.get(*position)?.name.as_str())).collect();
    listed(&names)
}

impl<D: Distribution> GlmFit<D> {
    /// Why there is nothing to fit.
    fn refusal(n: f64, sum: f64) -> Option<&'static str> {
        match D::FAMILY {
            _ if n == 0.0 => Some(NO_ROWS),
            Family::Logistic if sum == 0.0 => Some("the flag is false in all rows"),
            Family::Logistic if sum == n => Some("the flag is true in all rows"),
            Family::Poisson if sum == 0.0 => Some("y is 0 in all rows"),
            _ if !sum.is_finite() => Some("values too large for Float64"),
            _ => None,
        }
    }

    /// Sets the figures; the result is why some are missing.
    fn fit(options: &Options, group: &Group<'_>, rows: Rows<'_>, record: &mut Record) -> Result<Option<String>> {
        let n = rows.len() as f64;
        let sum: f64 = rows.iter().filter_map(|row| row.first()).sum();
        if let Some(reason) = Self::refusal(n, sum) {
            return Ok(Some(reason.to_owned()));
        }
        let features = &group.encoder.features;
        let design = match Design::of_rows(group.encoder, rows.values, rows.width, group.layout.first) {
            Ok(design) => design,
            Err(reason) => return Ok(Some(reason)),
        };
        let columns = Columns::of(rows, &design.terms);
        if !columns.scaled.iter().all(|column| column.deviation.is_finite() && column.mean.is_finite()) {
            return Ok(Some("values too large for Float64".to_owned()));
        }
        let problem = Problem { family: D::FAMILY, rows, columns: &columns.scaled, ridge: options.ridge };
        let fitted = problem.fit(sum / n);
        record.set("is_converged", ScalarValue::Boolean(Some(fitted.end == End::Converged)));
        record.set("iterations", count(fitted.steps)).set("baselines", baselines(features, &design)?);
        let mut term_rows = TermRow::of_design(features, &design);
        let mut reasons = vec![];
        match &fitted.end {
            End::Separated(separating) => {
                let positions = separating.iter().filter_map(|index| columns.kept.get(*index));
                reasons.push(format!(
                    "no finite estimates: rows are separated by {}; leave it out or set ridge",
                    names(&design, positions)
                ));
            }
            End::NotConverged => reasons.push("did not converge; scale the features or set ridge".to_owned()),
            End::Converged => Self::figures(options, n, sum, &columns, &fitted, record, &mut term_rows),
        }
        record.set("terms", terms(&term_rows, false)?);
        if !columns.left_out.is_empty() {
            let left_out = names(&design, columns.left_out.iter());
            reasons.push(format!("left out, constant or a combination of the terms before: {left_out}"));
        }
        Ok((!reasons.is_empty()).then(|| reasons.join("; ")))
    }

    fn figures(
        options: &Options,
        n: f64,
        sum: f64,
        columns: &Columns,
        fitted: &NewtonFit,
        record: &mut Record,
        rows: &mut [TermRow],
    ) {
        let critical = normal_critical(options.level);
        let positions = std::iter::once(0).chain(columns.kept.iter().map(|position| position + 1));
        for (index, position) in positions.enumerate() {
            let estimate = fitted.estimates.get(index).copied().unwrap_or(f64::NAN);
            let error = fitted.std_errors.get(index).copied().unwrap_or(f64::NAN);
            if let Some(row) = rows.get_mut(position) {
                row.estimate(estimate, error, critical, normal_two_sided);
            }
        }
        let mean = sum / n;
        let null = match D::FAMILY {
            Family::Logistic => sum * mean.ln() + (n - sum) * (1.0 - mean).ln(),
            // The constant of the likelihood is that of the fit.
            Family::Poisson => fitted.constant + sum * mean.ln() - sum,
        };
        record.set("log_likelihood", number(fitted.log_likelihood)).set("null_log_likelihood", number(null));
        let ratio = (2.0 * (fitted.log_likelihood - null)).max(0.0);
        let df = columns.kept.len() as f64;
        record.set("pseudo_r_squared", number(1.0 - fitted.log_likelihood / null));
        record.set("df", count(columns.kept.len() as i64));
        record.set("dispersion", number(if n > df + 1.0 { fitted.pearson / (n - df - 1.0) } else { f64::NAN }));
        if options.ridge == 0.0 {
            record.set("aic", number(2.0 * (df + 1.0) - 2.0 * fitted.log_likelihood));
            if df > 0.0 {
                record.set("chi_square", number(ratio)).set("p_value", number(chi_square_upper(ratio, df)));
            }
        }
    }
}

impl<D: Distribution> Fit for GlmFit<D> {
    const CALL: Call = D::CALL;
    const FEATURES: usize = 1;
    const NUMBERS: &'static [usize] = &[0];
    type Options = Options;

    fn bind(constants: &Constants) -> Result<Options> {
        let ridge = constants.number("ridge")?.unwrap_or(0.0);
        if ridge < 0.0 {
            return plan_err!("{}: ridge must be >= 0, got {ridge}", constants.function());
        }
        Ok(Options { ridge, level: constants.probability("level", 0.95)? })
    }

    fn counts(numbers: &[f64]) -> bool {
        numbers.first().is_none_or(|y| *y >= 0.0)
    }

    fn fields() -> Fields {
        let mut figures = vec![];
        if D::FAMILY == Family::Logistic {
            figures.push(count_field("event_count"));
        }
        figures.push(count_field("iterations"));
        figures.extend(
            ["log_likelihood", "null_log_likelihood", "pseudo_r_squared", "aic", "chi_square"].map(number_field),
        );
        figures.push(count_field("df"));
        figures.push(number_field("p_value"));
        if D::FAMILY == Family::Poisson {
            figures.push(number_field("dispersion"));
        }
        fit_fields(figures, false)
    }

    fn finish(options: &Options, group: Group<'_>) -> Result<Vec<ScalarValue>> {
        let mut record = Record::try_new(&Self::fields())?;
        let rows = Rows { values: &group.state.rows, width: group.layout.width };
        record.set("method", text(D::METHOD)).set("n", count(rows.len() as i64));
        record.set("n_missing", count(group.state.missing)).set("is_converged", ScalarValue::Boolean(Some(false)));
        let events = rows.iter().filter(|row| row.first().is_some_and(|y| *y > 0.0)).count();
        record.set("event_count", count(events as i64));
        if let Some(reason) = Self::fit(options, &group, rows, &mut record)? {
            record.set("reason", text(reason));
        }
        Ok(record.into_values())
    }

    fn documentation() -> &'static Documentation {
        D::documentation()
    }
}

//! `p_adjust(p, method)`: p-values of many tests at once.
//!
//! Formula: Holm: the largest of (m - i + 1) p_i over the i smallest; Benjamini and Hochberg: the least of m p_i / i over the
//!          larger ones; Bonferroni: m p; at most 1.
//! Units:   probabilities in and out.
//! NULL:    a NULL, and what is no probability, is no test: it is not counted and gives NULL.
//! Edges:   the whole partition counts, whatever the frame.
//! Source:  S. Holm 1979; Y. Benjamini and Y. Hochberg 1995.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, Expr, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use super::page;
use crate::aggregate::numbers;
use crate::args::{Call, Constants, Kind, Parameter};
use crate::resolution::refuse_distinct;

/// The window functions of this file.
pub(super) fn window_functions() -> Vec<Arc<WindowUDF>> {
    vec![Arc::new(WindowUDF::new_from_impl(PAdjust { signature: CALL.signature() }))]
}

const CALL: Call = Call {
    function: "p_adjust",
    syntax: "p_adjust(p [, method]) over ()",
    parameters: &[Parameter::column("p", Kind::Number), Parameter::constant("method", Kind::Text)],
    arities: &[1, 2],
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Holm,
    BenjaminiHochberg,
    Bonferroni,
}

const METHODS: &[(&str, Method)] = &[
    ("holm", Method::Holm),
    ("bh", Method::BenjaminiHochberg),
    ("fdr", Method::BenjaminiHochberg),
    ("bonferroni", Method::Bonferroni),
];

fn method(constants: &Constants) -> Result<Method> {
    Ok(constants.choice("method", METHODS)?.unwrap_or(Method::Holm))
}

/// The adjusted p-values, in the order of `p`.
fn adjusted(p: &[Option<f64>], method: Method) -> Vec<Option<f64>> {
    let mut known: Vec<(usize, f64)> = p.iter().enumerate().filter_map(|(row, p)| Some((row, (*p)?))).collect();
    known.sort_unstable_by(|(_, one), (_, other)| one.total_cmp(other));
    let m = known.len() as f64;
    match method {
        Method::Bonferroni => known.iter_mut().for_each(|(_, p)| *p = (m * *p).min(1.0)),
        Method::Holm => {
            let mut largest = 0.0_f64;
            for (index, (_, p)) in known.iter_mut().enumerate() {
                largest = largest.max((m - index as f64) * *p).min(1.0);
                *p = largest;
            }
        }
        Method::BenjaminiHochberg => {
            let mut least = 1.0_f64;
            for (index, (_, p)) in known.iter_mut().enumerate().rev() {
                least = least.min(m / (index + 1) as f64 * *p);
                *p = least;
            }
        }
    }
    let mut adjusted = vec![None; p.len()];
    for (row, p) in known {
        if let Some(adjusted) = adjusted.get_mut(row) {
            *adjusted = Some(p);
        }
    }
    adjusted
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PAdjust {
    signature: Signature,
}

impl WindowUDFImpl for PAdjust {
    fn name(&self) -> &str {
        CALL.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        CALL.coerce(arg_types)
    }

    fn field(&self, field_args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(field_args.name(), DataType::Float64, true)))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(Box::new(|call: WindowFunction, _info| {
            refuse_distinct(CALL.function, &call)?;
            if let Some(constants) = Constants::of_logical(&CALL, &call.params.args)? {
                method(&constants)?;
            }
            Ok(Expr::from(call))
        }))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        if args.ignore_nulls() {
            return plan_err!("p_adjust: IGNORE NULLS has no meaning here: NULLs are always left out");
        }
        let constants = Constants::of_physical(&CALL, args.input_exprs())?;
        Ok(Box::new(AdjustEvaluator { method: method(&constants)? }))
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        ReversedUDWF::Identical
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        // Every row of the partition counts.
        LimitEffect::Unknown
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&PAGE)
    }
}

#[derive(Debug)]
struct AdjustEvaluator {
    method: Method,
}

impl PartitionEvaluator for AdjustEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], _num_rows: usize) -> Result<ArrayRef> {
        let column = numbers(values, 0)?;
        let p: Vec<Option<f64>> = column.iter().map(|p| p.filter(|p| (0.0..=1.0).contains(p))).collect();
        let adjusted: Float64Array = adjusted(&p, self.method).into_iter().collect();
        Ok(Arc::new(adjusted))
    }
}

static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        CALL,
        "p-values of many tests at once: of 20 tests without a difference one is below 0.05 by chance. An adjusted p-value below \
         0.05 is a finding also among all tests of the partition.\n\
         Formula: with the m p-values of the partition in ascending order, holm: the largest of (m - j + 1) p_j over j <= i; bh \
         (Benjamini and Hochberg): the least of m p_j / j over j >= i; bonferroni: m p_i; each at most 1.\n\
         Units: probabilities in and out. holm and bonferroni bound the probability of any false finding, bh the share of false \
         ones among the findings.\n\
         NULL: a NULL is no test: it is not counted, and gives NULL. So is what is no probability from 0 to 1.\n\
         Edges: the whole partition counts for every row: a frame or ORDER BY in the OVER clause has no effect. holm is never \
         worse than bonferroni.\n\
         Source: S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70; Y. Benjamini and Y. Hochberg, Journal of the Royal \
         Statistical Society B 57 (1995) 289-300.",
    )
    .with_argument("p", "Number: the p-value of a test.")
    .with_argument("method", "Constant string: 'holm' (default), 'bh' (also 'fdr') or 'bonferroni'.")
    .with_sql_example(
        "```sql
select topic, p, p_adjust(p) over () as holm, p_adjust(p, 'bh') over () as bh
from (values ('billing', 0.01), ('login', 0.04), ('delivery', 0.02), ('other', 0.5)) as tests(topic, p)
order by topic;
+----------+------+------+---------------------+
| topic    | p    | holm | bh                  |
+----------+------+------+---------------------+
| billing  | 0.01 | 0.04 | 0.04                |
| delivery | 0.02 | 0.06 | 0.04                |
| login    | 0.04 | 0.08 | 0.05333333333333333 |
| other    | 0.5  | 0.5  | 0.5                 |
+----------+------+------+---------------------+
```",
    )
    .with_related_udf("proportion_test")
    .with_related_udf("welch_test")
    .build()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_adjusted(method: Method, p: &[Option<f64>], wanted: &[Option<f64>]) {
        let got = adjusted(p, method);
        let is_near = |(got, wanted): (&Option<f64>, &Option<f64>)| match (got, wanted) {
            (Some(got), Some(wanted)) => (got - wanted).abs() < 1e-12,
            (got, wanted) => got == wanted,
        };
        assert!(
            got.len() == wanted.len() && got.iter().zip(wanted).all(is_near),
            "{method:?}: {got:?}, wanted {wanted:?}"
        );
    }

    #[test]
    fn four_tests_by_hand() {
        // In order .01 .02 .04 .5: Holm 4 * .01, 3 * .02, 2 * .04, .5; Benjamini-Hochberg 4 * .01, 2 * .02, 4/3 * .04, .5.
        let p = [Some(0.04), None, Some(0.01), Some(0.5), Some(0.02)];
        assert_adjusted(Method::Holm, &p, &[Some(0.08), None, Some(0.04), Some(0.5), Some(0.06)]);
        let bh = [Some(0.16 / 3.0), None, Some(0.04), Some(0.5), Some(0.04)];
        assert_adjusted(Method::BenjaminiHochberg, &p, &bh);
        assert_adjusted(Method::Bonferroni, &p, &[Some(0.16), None, Some(0.04), Some(1.0), Some(0.08)]);
    }

    #[test]
    fn order_is_kept() {
        // Holm's second is not below the first: 2 * .4 = .8, then .5 is .8 too.
        assert_adjusted(Method::Holm, &[Some(0.4), Some(0.5)], &[Some(0.8), Some(0.8)]);
        // Benjamini-Hochberg's first is not above the second: 2 * .4, but 1 * .5.
        assert_adjusted(Method::BenjaminiHochberg, &[Some(0.4), Some(0.5)], &[Some(0.5), Some(0.5)]);
        for method in [Method::Holm, Method::BenjaminiHochberg, Method::Bonferroni] {
            assert_adjusted(method, &[], &[]);
            assert_adjusted(method, &[None], &[None]);
            assert_adjusted(method, &[Some(0.3)], &[Some(0.3)]);
        }
    }
}

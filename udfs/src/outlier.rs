//! `zscore(x)` and `modified_zscore(x)`: how far a value lies from the middle of its partition. `tukey_outlier(x)`: whether it
//! lies beyond Tukey's fences (`tukey`).
//!
//! Formula: (x - mean) / sample standard deviation; 0.6745 (x - median) / MAD, or where the MAD is 0
//!          (x - median) / (1.253314 * mean absolute deviation from the median).
//! Units:   any number in, deviations (no unit) out.
//! NULL:    a NULL is left out of the mean and the median, and has no score; so has every row where the deviation is 0 or
//!          there are fewer than two values.
//! Edges:   NaN and infinities are no measurements and count as NULL; the whole partition counts, whatever the frame.
//! Source:  Iglewicz and Hoaglin, How to Detect and Handle Outliers (ASQC 1993), for the modified score and its flag at 3.5;
//!          the mean deviation in place of a MAD of 0 as in IBM Cognos Analytics.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::types::{NativeType, logical_float64};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Coercion, DocSection, Documentation, Expr, LimitEffect, PartitionEvaluator, ReversedUDWF, Signature, TypeSignature,
    TypeSignatureClass, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use crate::grouped::{GroupedEvaluator, ranges};
use crate::partition::partition_function;
use crate::resolution::refuse_distinct;

mod state;
mod tukey;

pub(crate) use state::median;
pub(crate) use tukey::TukeyOutlier;

/// The window functions of the family.
pub(crate) fn window_functions() -> Vec<Arc<WindowUDF>> {
    [Score::Standard, Score::Modified]
        .map(|score| Arc::new(WindowUDF::new_from_impl(ScoreFunction::new(score))))
        .into_iter()
        .chain([partition_function(TukeyOutlier)])
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Score {
    Standard,
    Modified,
}

impl Score {
    fn name(self) -> &'static str {
        match self {
            Score::Standard => "zscore",
            Score::Modified => "modified_zscore",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScoreFunction {
    score: Score,
    signature: Signature,
}

impl ScoreFunction {
    fn new(score: Score) -> Self {
        let number = Coercion::new_implicit(
            TypeSignatureClass::Native(logical_float64()),
            vec![TypeSignatureClass::Numeric],
            NativeType::Float64,
        );
        let mut signature = Signature::new(TypeSignature::Coercible(vec![number]), Volatility::Immutable);
        signature.parameter_names = Some(vec!["x".to_string()]);
        Self { score, signature }
    }

    /// The evaluator of one call.
    pub(crate) fn evaluator(&self, args: PartitionEvaluatorArgs) -> Result<ScoreEvaluator> {
        if args.ignore_nulls() {
            let name = self.score.name();
            return plan_err!("{name}: IGNORE NULLS has no meaning here: NULLs are always left out");
        }
        Ok(ScoreEvaluator { score: self.score, scratch: vec![] })
    }
}

impl WindowUDFImpl for ScoreFunction {
    fn name(&self) -> &str {
        self.score.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, field_args: WindowUDFFieldArgs) -> Result<FieldRef> {
        // No input is so complete that its deviation cannot be 0.
        Ok(Arc::new(Field::new(field_args.name(), DataType::Float64, true)))
    }

    /// Refuses what an OVER clause may hold and the function has no meaning for.
    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        let name = self.score.name();
        Some(Box::new(move |call: WindowFunction, _info| {
            refuse_distinct(name, &call)?;
            Ok(Expr::from(call))
        }))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(self.evaluator(args)?))
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        ReversedUDWF::Identical
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        // Every row of the partition is part of every score.
        LimitEffect::Unknown
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.score {
            Score::Standard => &STANDARD_DOCUMENTATION,
            Score::Modified => &MODIFIED_DOCUMENTATION,
        })
    }
}

/// An evaluator over whole partitions; the window's frame and order have no part in it.
#[derive(Debug)]
pub(crate) struct ScoreEvaluator {
    score: Score,
    scratch: Vec<f64>,
}

impl PartitionEvaluator for ScoreEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        self.evaluate_groups(values, &[0, num_rows])
    }
}

impl GroupedEvaluator for ScoreEvaluator {
    fn evaluate_groups(&mut self, values: &[ArrayRef], bounds: &[usize]) -> Result<ArrayRef> {
        let name = self.score.name();
        let Some(x) = values.first().and_then(|x| x.as_primitive_opt::<Float64Type>()) else {
            return internal_err!("{name}: evaluated without a column of Float64");
        };
        let mut scores = vec![state::NO_SCORE; bounds.last().copied().unwrap_or_default()];
        for range in ranges(bounds) {
            let start = range.start;
            let (Some(values), Some(out)) = (x.values().get(range.clone()), scores.get_mut(range)) else {
                return internal_err!("{name}: partitions beyond the rows");
            };
            let is_known = |row: usize| x.is_valid(start + row);
            match self.score {
                Score::Standard => state::zscores(values, is_known, out),
                Score::Modified => state::modified_zscores(values, is_known, &mut self.scratch, out),
            }
        }
        let has_score: NullBuffer = scores.iter().map(|score| !score.is_nan()).collect();
        Ok(Arc::new(Float64Array::new(scores.into(), Some(has_score))))
    }
}

pub(crate) const SECTION: DocSection =
    DocSection { include: true, label: "Outliers", description: Some("How unusual a value is among its peers.") };

static STANDARD_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "How many standard deviations a value lies above (or, negative, below) the mean of its partition. |z| > 3 is the usual \
         flag. The outlier itself moves the mean and widens the deviation: among n values no |z| exceeds (n - 1) / sqrt(n), so \
         below 11 values nothing is flagged; modified_zscore does not suffer from that.\n\
         Formula: (x - mean) / sample standard deviation (the one that divides by n - 1) of the partition.\n\
         Units: any number in; standard deviations (no unit) out.\n\
         NULL: a NULL is left out of the mean and the deviation, and gives NULL. All rows give NULL when the deviation is 0 or fewer than two values are left.\n\
         Edges: NaN and infinities are no measurements and count as NULL. The whole partition counts for every row: a frame \
         or ORDER BY in the OVER clause has no effect. Very large and very small values neither overflow nor vanish.\n\
         Source: textbook standard score with the sample deviation, as scipy.stats.zscore(x, ddof=1); the bound is by Shiffler (The American Statistician, 1988).",
        "zscore(x) over (partition by agent_id)",
    )
    .with_argument("x", "The values: integers, floats or decimals.")
    .with_sql_example(
        "```sql
select agent_id, handle_s, round(zscore(handle_s) over (partition by agent_id), 4) as score
from (values ('a1', 200), ('a1', 400), ('a1', 600), ('a1', 800), ('a2', 300)) as contacts (agent_id, handle_s)
order by agent_id, handle_s
```
```text
+----------+----------+---------+
| agent_id | handle_s | score   |
+----------+----------+---------+
| a1       | 200      | -1.1619 |
| a1       | 400      | -0.3873 |
| a1       | 600      | 0.3873  |
| a1       | 800      | 1.1619  |
| a2       | 300      |         |
+----------+----------+---------+
```",
    )
    .with_related_udf("modified_zscore")
    .build()
});

static MODIFIED_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "How far a value lies above (or, negative, below) the median of its partition, on the scale of a z-score but measured by \
         the median absolute deviation (MAD), which up to half of the values can be outliers without moving. |score| > 3.5 is the \
         usual flag.\n\
         Formula: 0.6745 * (x - median) / MAD with MAD = median of |x - median|; when MAD is 0, \
         (x - median) / (1.253314 * mean of |x - median|).\n\
         Units: any number in; estimated standard deviations (no unit) out.\n\
         NULL: a NULL is left out of the medians, and gives NULL. All rows give NULL when the values are all equal or fewer than two are left.\n\
         Edges: the median of an even number of values is the mean of the two in the middle. NaN and infinities are no \
         measurements and count as NULL. The whole partition counts for every row: a frame or ORDER BY in the OVER clause has no effect.\n\
         Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (ASQC 1993), also NIST/SEMATECH e-Handbook 1.3.5.17; the mean \
         deviation in place of a MAD of 0 as in IBM Cognos Analytics.",
        "modified_zscore(x) over (partition by agent_id)",
    )
    .with_argument("x", "The values: integers, floats or decimals.")
    .with_sql_example(
        "```sql
select handle_s, round(modified_zscore(handle_s) over (), 4) as score
from (values (280), (290), (300), (310), (2000)) as contacts (handle_s)
order by handle_s
```
```text
+----------+---------+
| handle_s | score   |
+----------+---------+
| 280      | -1.349  |
| 290      | -0.6745 |
| 300      | 0.0     |
| 310      | 0.6745  |
| 2000     | 114.665 |
+----------+---------+
```",
    )
    .with_related_udf("zscore")
    .with_related_udf("tukey_outlier")
    .with_related_udf("mad")
    .build()
});

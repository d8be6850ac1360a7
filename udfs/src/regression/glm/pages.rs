//! The pages of the manual.

use std::sync::LazyLock;

use datafusion::logical_expr::Documentation;

use super::{Distribution, Logistic, Poisson};
use crate::regression::{FEATURES_TEXT, LEVEL_TEXT, page};

const RIDGE_TEXT: &str = "Constant number >= 0: ridge / 2 times the sum of squared estimates (as they are, without the intercept) is \
                          taken from the log likelihood; 1 / C of scikit-learn. Default 0.";

pub(super) static LOGISTIC: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        Logistic::CALL,
        "What a flag depends on: logistic regression. exp(estimate) is the odds ratio of one unit more. Use `predict(model, \
         features)` for the probability of other rows.\n\
         Formula: ln(p / (1 - p)) = b0 + sum of b_j x_j; the b that maximize the likelihood, by Newton's method with step \
         halving; std_error from the second derivatives, statistic = estimate / std_error by the normal distribution. \
         pseudo_r_squared = 1 - log_likelihood / null_log_likelihood (McFadden); chi_square = twice their difference, with df \
         terms; aic = 2 (df + 1) - 2 log_likelihood.\n\
         Units: a flag in; estimates in logits per unit of the feature.\n\
         NULL: a row with a NULL, NaN or infinity is left out and counted in n_missing. What is not defined is NULL, with a \
         reason. A constant feature, and one that is a combination of those before it, has a NULL estimate, counts as 0 in \
         predict and is named in reason.\n\
         Edges: where a combination of the features separates true from false there are no finite estimates: is_converged is \
         false, and reason names it. With ridge > 0 there are always estimates, but no errors, p-values and aic. A Boolean is 0 or \
         1; a string has a term feature=level for each level but the most frequent one (of equally frequent ones the first), \
         which is listed in baselines; more than 100 levels are a reason. All rows are kept, 8 bytes for each number. DISTINCT is \
         refused.\n\
         Source: P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., 1989, chapter 4; A. Albert and J. A. Anderson, \
         Biometrika 71 (1984) 1-10; D. McFadden, Conditional Logit Analysis of Qualitative Choice Behavior, 1974.",
    )
    .with_argument("flag", "Boolean: the outcome.")
    .with_argument("features", FEATURES_TEXT)
    .with_argument("ridge", RIDGE_TEXT)
    .with_argument("level", LEVEL_TEXT)
    .with_sql_example(
        "```sql
select t['term'] as term, round(exp(t['estimate']), 2) as odds_ratio, round(t['p_value'], 3) as p_value
from (
    select unnest(logistic_fit(is_churned, struct(contract, contact_count))['terms']) as t
    from (
        select value % 7 < 2 + contact_count as is_churned, contract, contact_count
        from (select value, value % 4 as contact_count, case when value % 3 = 0 then 'year' else 'month' end as contract
              from generate_series(1, 60))
    )
);
+---------------+------------+---------+
| term          | odds_ratio | p_value |
+---------------+------------+---------+
| (intercept)   | 0.42       | 0.083   |
| contract=year | 0.89       | 0.846   |
| contact_count | 1.93       | 0.01    |
+---------------+------------+---------+
```",
    )
    .with_related_udf("predict")
    .with_related_udf("roc_auc")
    .with_related_udf("calibration")
    .build()
});

pub(super) static POISSON: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        Poisson::CALL,
        "What a count depends on: Poisson regression. exp(estimate) is the ratio of the means of one unit more. Use \
         `predict(model, features)` for the mean of other rows.\n\
         Formula: ln(mean of y) = b0 + sum of b_j x_j; the b that maximize the likelihood, by Newton's method with step halving; \
         std_error from the second derivatives, statistic = estimate / std_error by the normal distribution. dispersion = sum of \
         (y - mean)^2 / mean, over n - df - 1: far above 1 the errors are too small. The other figures as in logistic_fit.\n\
         Units: counts per contact, customer or day in; estimates in logarithms per unit of the feature.\n\
         NULL: a row with a NULL, NaN or infinity, or a negative y, is left out and counted in n_missing. What is not defined is \
         NULL, with a reason. A constant feature, and one that is a combination of those before it, has a NULL estimate, counts as \
         0 in predict and is named in reason.\n\
         Edges: where all rows of a level have y = 0 there are no finite estimates: is_converged is false, and reason names it. \
         y need not be an integer. Booleans, strings, ridge and memory as in logistic_fit. DISTINCT is refused.\n\
         Source: P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed., 1989, chapter 6.",
    )
    .with_argument("y", "Number >= 0: the count.")
    .with_argument("features", FEATURES_TEXT)
    .with_argument("ridge", RIDGE_TEXT)
    .with_argument("level", LEVEL_TEXT)
    .with_sql_example(
        "```sql
select t['term'] as term, round(exp(t['estimate']), 2) as ratio, round(t['std_error'], 3) as std_error
from (
    select unnest(poisson_fit(contact_count, struct(channel))['terms']) as t
    from (values ('phone', 2), ('phone', 4), ('phone', 3), ('mail', 1), ('mail', 2)) as customers(channel, contact_count)
);
+--------------+-------+-----------+
| term         | ratio | std_error |
+--------------+-------+-----------+
| (intercept)  | 3.0   | 0.333     |
| channel=mail | 0.5   | 0.667     |
+--------------+-------+-----------+
```",
    )
    .with_related_udf("predict")
    .with_related_udf("linear_fit")
    .build()
});

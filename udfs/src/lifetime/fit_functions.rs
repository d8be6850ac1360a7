//! `clv_fit(frequency, recency, age)` and `spend_fit(frequency, mean_amount)`: models of orders and of what they are worth.
//!
//! Formula: maximum likelihood in the logarithms of the parameters, from several starts.
//! Units:   the unit of time of recency and age, and of the amount.
//! NULL:    a customer with a NULL, or with figures that no customer can have, is left out and counted.
//! Edges:   a parameter without a finite estimate is said.
//! Source:  P. S. Fader, B. G. S. Hardie and K. L. Lee 2005; E. P. Batislam and others 2007; D. C. Schmittlein and others 1987; P. S.
//!          Fader and B. G. S. Hardie 2013.

use std::sync::{Arc, LazyLock};

use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::fit::{Fit, fit_orders, fit_spend};
use super::orders::{Histories, History, OrderModel};
use super::periods;
use super::spend::Spend;
use super::{
    AGE, AGE_TEXT, FIELDS, FREQUENCY, FREQUENCY_TEXT, LEVEL, LEVEL_TEXT, RECENCY, RECENCY_TEXT, fit_values, page,
};
use crate::args::{Call, Constants, Kind, Parameter};
use crate::fit::value::{Shape, Value};
use crate::fit::{FitRows, RowFit, row_fit};
use crate::inference::distribution::normal_critical;
use crate::regression::design::listed;

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![row_fit(ClvFit), row_fit(SpendFit)]
}

/// The models of orders by their names.
pub(super) const MODELS: &[(&str, OrderModel)] = &[
    ("bg_nbd", OrderModel::BetaGeometric),
    ("mbg_nbd", OrderModel::ModifiedBetaGeometric),
    ("pareto_nbd", OrderModel::Pareto),
    ("bg_bb", OrderModel::BetaBinomial),
];

/// The name of the model of amounts.
pub(super) const GAMMA_GAMMA: &str = "gamma_gamma";

/// Its parameters.
pub(super) const SPEND_PARAMETERS: [&str; 3] = ["p", "q", "gamma"];

const NO_MAXIMUM: &str = "the likelihood did not reach its maximum";

/// Why a fit is not all that it could be.
fn reason(fitted: Option<&Fit>, names: &[&str]) -> Option<String> {
    let Some(fitted) = fitted else { return Some("the likelihood has no value at any start".to_owned()) };
    if fitted.is_converged {
        return None;
    }
    let runaway: Vec<&str> = fitted.runaway.iter().filter_map(|index| names.get(*index)).copied().collect();
    if runaway.is_empty() {
        return Some(NO_MAXIMUM.to_owned());
    }
    Some(format!("no finite estimate above 0 for {}: the customers do not differ in it", listed(&runaway)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ClvFit;

impl RowFit for ClvFit {
    const CALL: Call = Call {
        function: "clv_fit",
        syntax: "clv_fit(frequency, recency, age [, model [, level]])",
        parameters: &[FREQUENCY, RECENCY, AGE, Parameter::constant("model", Kind::Text), LEVEL],
        arities: &[3, 4, 5],
    };
    const RESULT: Shape = Shape::Record(FIELDS);

    /// The model, its name, and z.
    type Options = (OrderModel, &'static str, f64);

    fn bind(constants: &Constants) -> Result<Self::Options> {
        let model = constants.choice("model", MODELS)?.unwrap_or(OrderModel::BetaGeometric);
        let name = MODELS.iter().find(|(_, known)| *known == model).map_or("", |(name, _)| *name);
        Ok((model, name, normal_critical(constants.probability("level", 0.95)?)))
    }

    fn is_valid(row: &[f64]) -> bool {
        match row {
            [frequency, recency, age] => History::checked(*frequency, *recency, *age).is_some(),
            _ => false,
        }
    }

    fn finish((model, name, z): &Self::Options, rows: &FitRows<'_>) -> Value {
        let histories = rows.rows().filter_map(|row| match row {
            [frequency, recency, age, count] => {
                Some((History { frequency: *frequency, recency: *recency, age: *age }, *count))
            }
            _ => None,
        });
        let histories = Histories { rows: histories.collect() };
        let repeating = histories.rows.iter().filter(|(history, _)| history.frequency > 0.0);
        let n_repeat: f64 = repeating.map(|(_, count)| count).sum();
        let n = rows.count();
        let names = model.parameters();
        let is_of_periods = *model == OrderModel::BetaBinomial;
        let (fitted, reason) = match () {
            () if n == 0.0 => (None, Some("no customer with a known frequency, recency and age".to_owned())),
            () if n_repeat == 0.0 => (None, Some("no customer ordered again".to_owned())),
            () if is_of_periods && !histories.rows.iter().all(|(history, _)| periods::is_of_periods(*history)) => {
                (None, Some("bg_bb takes whole periods, at most 10000, and at most one order in each".to_owned()))
            }
            () if is_of_periods && periods::term_count(&histories) > periods::MAX_TERMS => {
                (None, Some("more than 10^7 terms: distinct customers times periods since their last order".to_owned()))
            }
            () => {
                let fitted = fit_orders(*model, &histories);
                let reason = reason(fitted.as_ref(), &names);
                (fitted, reason)
            }
        };
        let method = match model {
            OrderModel::BetaGeometric => "BG/NBD",
            OrderModel::ModifiedBetaGeometric => "MBG/NBD",
            OrderModel::Pareto => "Pareto/NBD",
            OrderModel::BetaBinomial => "BG/BB",
        };
        let counts = [n as i64, rows.left_out, n_repeat as i64].map(Value::Count);
        let mut record: Vec<Value> = [Value::text(Some(method))].into_iter().chain(counts).collect();
        record.extend(fit_values(name, &names, fitted.as_ref(), reason, *z));
        Value::Record(record)
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                ClvFit::CALL,
                "A model of how often customers order and when they leave, from three figures of each. expected_orders, p_alive and clv \
                 compute from it.\n\
                 Formula: a customer orders at a rate that is gamma distributed (r, alpha). bg_nbd: after each order he leaves with a \
                 probability that is beta distributed (a, b); mbg_nbd: the same, and also after the first order; pareto_nbd: he leaves at a \
                 rate that is gamma distributed (s, beta). bg_bb, for periods of which each has an order or not: he orders in a period with a \
                 probability that is beta distributed (alpha, beta), and leaves before one with a probability that is beta distributed (gamma, \
                 delta). Maximum likelihood in the logarithms of the parameters, from five starts; errors \
                 from the second derivatives, intervals on the scale of the logarithm.\n\
                 Units: recency and age in one unit of time, which is that of alpha and beta and of all horizons.\n\
                 NULL: a customer with a NULL, a frequency that is no count, a recency above age, or a recency without orders after the first, \
                 is left out, and counted in n_missing. No customer who ordered again: no fit, is_converged is false, and reason says why. \
                 Without a maximum at finite parameters is_converged is false, and std_error NULL. bg_bb with parts of a period, with more \
                 orders than periods up to the last one, or with more than 10000 periods: no fit, and a reason.\n\
                 Edges: n_repeat counts customers who ordered again. statistic and p_value of terms are always NULL: a test that a parameter is \
                 0 has no meaning. The result does not depend on the order of rows. Distinct rows are held in memory until the end, 32 bytes \
                 each. DISTINCT is refused.\n\
                 Source: P. S. Fader, B. G. S. Hardie and K. L. Lee, Marketing Science 24 (2005) 275-284; E. P. Batislam, M. Denizel and A. \
                 Filiztekin, International Journal of Research in Marketing 24 (2007) 201-209; D. C. Schmittlein, D. G. Morrison and R. \
                 Colombo, Management Science 33 (1987) 1-24; P. S. Fader, B. G. S. Hardie and J. Shang, Marketing Science 29 (2010) 1086-1108.",
            )
            .with_argument("frequency", FREQUENCY_TEXT)
            .with_argument("recency", RECENCY_TEXT)
            .with_argument("age", AGE_TEXT)
            .with_argument("model", "Constant string: 'bg_nbd' (default), 'mbg_nbd', 'pareto_nbd', or 'bg_bb' where recency and age count periods.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select term['term'] as term, round(term['estimate'], 3) as estimate, round(term['std_error'], 3) as std_error
from (
    select unnest(clv_fit(frequency, recency, age)['terms']) as term
    from (
        select
            make_array(0, 0, 0, 1, 1, 2, 3, 5, 8, 14)[value % 10 + 1] as frequency, 40 as age,
            case when value % 10 < 3 then 0 when value % 10 < 6 then value * 7 % 23 + 2 else 30 + value % 9 end as recency
        from generate_series(1, 200)
    )
);
+-------+----------+-----------+
| term  | estimate | std_error |
+-------+----------+-----------+
| r     | 0.647    | 0.088     |
| alpha | 6.599    | 1.153     |
| a     | 0.063    | 0.043     |
| b     | 0.509    | 0.412     |
+-------+----------+-----------+
```",
            )
            .with_related_udf("expected_orders")
            .with_related_udf("p_alive")
            .with_related_udf("clv")
            .with_related_udf("spend_fit")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SpendFit;

impl RowFit for SpendFit {
    const CALL: Call = Call {
        function: "spend_fit",
        syntax: "spend_fit(frequency, mean_amount [, level])",
        parameters: &[FREQUENCY, Parameter::column("mean_amount", Kind::Number), LEVEL],
        arities: &[2, 3],
    };
    const RESULT: Shape = Shape::Record(FIELDS);

    type Options = f64;

    fn bind(constants: &Constants) -> Result<f64> {
        Ok(normal_critical(constants.probability("level", 0.95)?))
    }

    fn is_valid(row: &[f64]) -> bool {
        match row {
            [frequency, mean_amount] => *frequency >= 1.0 && frequency.fract() == 0.0 && *mean_amount > 0.0,
            _ => false,
        }
    }

    fn finish(z: &f64, rows: &FitRows<'_>) -> Value {
        let customers = rows.rows().filter_map(|row| match row {
            [frequency, mean_amount, count] => {
                Some(Spend { frequency: *frequency, mean_amount: *mean_amount, count: *count })
            }
            _ => None,
        });
        let customers: Vec<Spend> = customers.collect();
        let n = rows.count();
        let is_varied = customers
            .iter()
            .any(|customer| Some(customer.mean_amount) != customers.first().map(|first| first.mean_amount));
        let (fitted, reason) = match () {
            () if n == 0.0 => {
                (None, Some("no customer with an order after the first and an amount above 0".to_owned()))
            }
            () if !is_varied => (None, Some("all amounts are equal".to_owned())),
            () => {
                let fitted = fit_spend(&customers);
                let reason = reason(fitted.as_ref(), &SPEND_PARAMETERS);
                (fitted, reason)
            }
        };
        let counts = [n as i64, rows.left_out, n as i64].map(Value::Count);
        let mut record: Vec<Value> = [Value::text(Some("gamma-gamma"))].into_iter().chain(counts).collect();
        record.extend(fit_values(GAMMA_GAMMA, &SPEND_PARAMETERS, fitted.as_ref(), reason, *z));
        Value::Record(record)
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                SpendFit::CALL,
                "A model of what customers spend per order, which draws a mean of few orders towards that of all. clv computes from it.\n\
                 Formula: the mean amount of the x orders after the first is gamma distributed (p x, v x), v between customers gamma \
                 distributed (q, gamma). Maximum likelihood in the logarithms of the parameters, from four starts. The expected amount of an \
                 order is p (gamma + x mean_amount) / (p x + q - 1).\n\
                 Units: that of the amount; frequency counts orders.\n\
                 NULL: a customer with a NULL, without orders after the first, or with an amount that is not above 0, is left out, and counted in \
                 n_missing. None left, or amounts that are all equal: no fit, is_converged is false, and reason says why.\n\
                 Edges: the model takes it that amount and frequency have nothing to do with one another: look at corr(frequency, mean_amount) \
                 first. statistic and p_value of terms are always NULL. Distinct rows are held in memory until the end, 24 bytes each. DISTINCT \
                 is refused.\n\
                 Source: P. S. Fader and B. G. S. Hardie, The Gamma-Gamma Model of Monetary Value, 2013, brucehardie.com/notes/025.",
            )
            .with_argument("frequency", FREQUENCY_TEXT)
            .with_argument("mean_amount", "Number: the mean amount of the orders after the first.")
            .with_argument("level", LEVEL_TEXT)
            .with_sql_example(
                "```sql
select term['term'] as term, round(term['estimate'], 3) as estimate
from (
    select unnest(spend_fit(frequency, mean_amount)['terms']) as term
    from (select value % 4 + 1 as frequency, 20 + value * 37 % 61 as mean_amount from generate_series(1, 200))
);
+-------+----------+
| term  | estimate |
+-------+----------+
| p     | 9.549    |
| q     | 9.768    |
| gamma | 46.025   |
+-------+----------+
```",
            )
            .with_related_udf("clv_fit")
            .with_related_udf("clv")
            .build()
        });
        &PAGE
    }
}

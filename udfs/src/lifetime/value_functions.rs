//! `p_alive`, `expected_orders` and `clv`: what a customer will do, and what he is worth, by the models of `clv_fit` and
//! `spend_fit`.
//!
//! Formula: the means of the models given the customer's orders; clv sums expected orders times their expected amount,
//!          discounted, over steps of the horizon.
//! Units:   time as in the fit; amounts as in the fit.
//! NULL:    any NULL, a model without parameters, figures that no customer can have.
//! Edges:   a horizon of 0 gives 0.
//! Source:  as the fits.

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{Documentation, ScalarUDF};

use super::model_functions::{Model, ModelFunction, model_function};
use super::orders::{History, OrderModel, Outlook, expected_orders, p_alive};
use super::periods;
use super::spend::expected_amount;
use super::{AGE, AGE_TEXT, FREQUENCY, FREQUENCY_TEXT, RECENCY, RECENCY_TEXT, page};
use crate::args::{Call, Kind, Parameter};

/// The scalar functions of this file.
pub(super) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![model_function(PAlive), model_function(ExpectedOrders), model_function(Clv)]
}

/// Most steps of a horizon.
const MAX_STEPS: f64 = 10_000.0;

const MODEL: Parameter = Parameter::column("model", Kind::Model);
const HORIZON: Parameter = Parameter::column("horizon", Kind::Number);

const MODEL_TEXT: &str = "The struct of clv_fit.";
const HORIZON_TEXT: &str = "Number >= 0: how far to look ahead, in the unit of time of the fit.";

const NOT_ORDERS: &str = "model must be the struct of clv_fit, got that of spend_fit";

const EXAMPLE_CUSTOMERS: &str = "with customers as (
    select
        make_array(0, 0, 0, 1, 1, 2, 3, 5, 8, 14)[value % 10 + 1] as frequency, 40 as age,
        case when value % 10 < 3 then 0 when value % 10 < 6 then value * 7 % 23 + 2 else 30 + value % 9 end as recency
    from generate_series(1, 200)
),
model as (select clv_fit(frequency, recency, age) as fit from customers)
";

fn check(parameter: &str, value: f64) -> Result<(), String> {
    match parameter {
        "horizon" if !(value >= 0.0 && value.is_finite()) => Err(format!("horizon must be >= 0, got {value}")),
        "discount_rate" if !(value > -1.0 && value.is_finite()) => {
            Err(format!("discount_rate must be > -1, got {value}"))
        }
        "step" if !(value > 0.0 && value.is_finite()) => Err(format!("step must be > 0, got {value}")),
        _ => Ok(()),
    }
}

/// The orders of a customer, if one of this model can have them.
fn checked(model: OrderModel, frequency: f64, recency: f64, age: f64) -> Option<History> {
    let history = History::checked(frequency, recency, age)?;
    (model != OrderModel::BetaBinomial || periods::is_of_periods(history)).then_some(history)
}

/// A horizon of BG/BB is a number of periods.
fn check_periods(model: OrderModel, horizon: f64) -> Result<(), String> {
    let is_of_periods = horizon.is_nan() || (horizon.fract() == 0.0 && horizon <= periods::MAX_PERIODS);
    if model == OrderModel::BetaBinomial && !is_of_periods {
        return Err(format!(
            "horizon and step of a bg_bb model must be a number of periods, at most 10000, got {horizon}"
        ));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PAlive;

impl ModelFunction for PAlive {
    const CALL: Call = Call {
        function: "p_alive",
        syntax: "p_alive(model, frequency, recency, age)",
        parameters: &[MODEL, FREQUENCY, RECENCY, AGE],
        arities: &[4],
    };

    fn check(parameter: &str, value: f64) -> Result<(), String> {
        check(parameter, value)
    }

    fn compute(models: &[Model], numbers: &[f64]) -> Result<Option<f64>, String> {
        let ([Model::Orders(model, parameters)], [frequency, recency, age]) = (models, numbers) else {
            return Err(NOT_ORDERS.to_owned());
        };
        let history = checked(*model, *frequency, *recency, *age);
        Ok(history.map(|history| p_alive(*model, *parameters, history)))
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                PAlive::CALL,
                "The probability that a customer has not left yet, given his orders.\n\
                 Formula: bg_nbd: 1 / (1 + a / (b + x - 1) ((alpha + T) / (alpha + t_x))^(r + x)), 1 for a customer without orders after the \
                 first; mbg_nbd: the same with b + x; pareto_nbd and bg_bb: the share of the likelihood of those who have not left (bg_bb: who are there in the next period). x is frequency, t_x \
                 recency, T age.\n\
                 Units: times in the unit of the fit; a ratio from 0 to 1 out.\n\
                 NULL: any NULL, a model without parameters, and figures that no customer can have (see clv_fit) give NULL.\n\
                 Edges: computed from logarithms: any number of orders.\n\
                 Source: P. S. Fader, B. G. S. Hardie and K. L. Lee, Computing P(alive) Using the BG/NBD Model, 2008; as clv_fit.",
            )
            .with_argument("model", MODEL_TEXT)
            .with_argument("frequency", FREQUENCY_TEXT)
            .with_argument("recency", RECENCY_TEXT)
            .with_argument("age", AGE_TEXT)
            .with_sql_example(format!(
                "```sql
{EXAMPLE_CUSTOMERS}select round(p_alive(fit, 3, 10, 40), 3) as long_ago, round(p_alive(fit, 3, 39, 40), 3) as just_now from model;
+----------+----------+
| long_ago | just_now |
+----------+----------+
| 0.479    | 0.973    |
+----------+----------+
```"
            ))
            .with_related_udf("clv_fit")
            .with_related_udf("expected_orders")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ExpectedOrders;

impl ModelFunction for ExpectedOrders {
    const CALL: Call = Call {
        function: "expected_orders",
        syntax: "expected_orders(model, frequency, recency, age, horizon)",
        parameters: &[MODEL, FREQUENCY, RECENCY, AGE, HORIZON],
        arities: &[5],
    };

    fn check(parameter: &str, value: f64) -> Result<(), String> {
        check(parameter, value)
    }

    fn compute(models: &[Model], numbers: &[f64]) -> Result<Option<f64>, String> {
        let ([Model::Orders(model, parameters)], [frequency, recency, age, horizon]) = (models, numbers) else {
            return Err(NOT_ORDERS.to_owned());
        };
        let history = checked(*model, *frequency, *recency, *age).filter(|_| !horizon.is_nan());
        check_periods(*model, *horizon)?;
        Ok(history.map(|history| expected_orders(*model, *parameters, history, *horizon)))
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                ExpectedOrders::CALL,
                "How many orders a customer will place within a time from now on, given his orders so far.\n\
                 Formula: the probability that he has not left (p_alive) times the expected orders of one who has not: bg_nbd and mbg_nbd: the \
                 mean of (1 - (1 + p t / (alpha + T))^-(r + x)) / p over the probability p of leaving, beta distributed given his orders; \
                 pareto_nbd: (r + x) (beta + T) / ((alpha + T) (s - 1)) (1 - ((beta + T) / (beta + T + t))^(s - 1)); bg_bb: (alpha + x) / (alpha + beta + n) times the sum of the probabilities to be there in each \
                 period. t is horizon, T age, x \
                 frequency.\n\
                 Units: times in the unit of the fit; orders out.\n\
                 NULL: any NULL, a model without parameters, and figures that no customer can have (see clv_fit) give NULL.\n\
                 Edges: frequency 0, recency 0 and age 0 are those of a customer who has just placed his first order. A horizon below 0 is an \
                 error.\n\
                 Source: P. S. Fader, B. G. S. Hardie and K. L. Lee, Marketing Science 24 (2005) 275-284; as clv_fit.",
            )
            .with_argument("model", MODEL_TEXT)
            .with_argument("frequency", FREQUENCY_TEXT)
            .with_argument("recency", RECENCY_TEXT)
            .with_argument("age", AGE_TEXT)
            .with_argument("horizon", HORIZON_TEXT)
            .with_sql_example(format!(
                "```sql
{EXAMPLE_CUSTOMERS}select round(expected_orders(fit, 3, 30, 40, 26), 3) as of_three, round(expected_orders(fit, 0, 0, 0, 26), 3) as of_new
from model;
+----------+--------+
| of_three | of_new |
+----------+--------+
| 1.882    | 2.228  |
+----------+--------+
```"
            ))
            .with_related_udf("clv_fit")
            .with_related_udf("p_alive")
            .with_related_udf("clv")
            .build()
        });
        &PAGE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Clv;

impl ModelFunction for Clv {
    const CALL: Call = Call {
        function: "clv",
        syntax: "clv(model, spend_model, frequency, recency, age, mean_amount, horizon [, discount_rate [, step]])",
        parameters: &[
            MODEL,
            Parameter::column("spend_model", Kind::Model),
            FREQUENCY,
            RECENCY,
            AGE,
            Parameter::column("mean_amount", Kind::Number),
            HORIZON,
            Parameter::column("discount_rate", Kind::Number),
            Parameter::column("step", Kind::Number),
        ],
        arities: &[7, 8, 9],
    };

    fn check(parameter: &str, value: f64) -> Result<(), String> {
        check(parameter, value)
    }

    fn compute(models: &[Model], numbers: &[f64]) -> Result<Option<f64>, String> {
        let (orders, spend, numbers) = match (models, numbers) {
            ([Model::Orders(model, parameters), Model::Spend(spend)], numbers) => {
                ((*model, *parameters), *spend, numbers)
            }
            ([Model::Spend(_), _], _) => return Err(NOT_ORDERS.to_owned()),
            _ => return Err("spend_model must be the struct of spend_fit, got that of clv_fit".to_owned()),
        };
        let [frequency, recency, age, mean_amount, horizon, rate, step] = numbers else { return Ok(None) };
        let Some(history) = checked(orders.0, *frequency, *recency, *age).filter(|_| !horizon.is_nan()) else {
            return Ok(None);
        };
        check_periods(orders.0, *horizon)?;
        if !step.is_nan() {
            check_periods(orders.0, *step)?;
        }
        if *frequency > 0.0 && (mean_amount.is_nan() || *mean_amount <= 0.0) {
            return Ok(None);
        }
        let Some(amount) = expected_amount(spend, *frequency, *mean_amount) else { return Ok(None) };
        let rate = if rate.is_nan() { 0.0 } else { *rate };
        let step = if step.is_nan() { 1.0 } else { *step };
        let outlook = Outlook::new(orders.0, orders.1, history);
        if rate == 0.0 {
            return Ok(Some(amount * outlook.orders_until(*horizon)));
        }
        let steps = (horizon / step - 1e-9).ceil().max(0.0);
        if steps > MAX_STEPS {
            return Err(format!(
                "the horizon must be at most {MAX_STEPS} steps, got {horizon} / {step}; give a longer step"
            ));
        }
        let (mut before, mut value) = (0.0, 0.0);
        for index in 1..=steps as u32 {
            let end = (f64::from(index) * step).min(*horizon);
            let orders = outlook.orders_until(end);
            value += (orders - before) * (-(end / step) * rate.ln_1p()).exp();
            before = orders;
        }
        Ok(Some(amount * value))
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Clv::CALL,
                "What a customer is worth from now on: the amounts of the orders that are expected of him, discounted.\n\
                 Formula: the expected amount of an order, p (gamma + x mean_amount) / (p x + q - 1), times the sum over the steps of the \
                 horizon of the expected orders within the step / (1 + discount_rate)^(end of the step / step).\n\
                 Units: horizon and step in the unit of time of the fit; discount_rate per step, as a ratio; the unit of mean_amount out. \
                 Multiply by the margin for profit.\n\
                 NULL: any NULL of the first seven, a model without parameters, figures that no customer can have (see clv_fit), and an amount \
                 that is not above 0 of one with later orders, give NULL; so does a customer without later orders where q <= 1: the mean of all \
                 is infinite. A NULL mean_amount of a customer without later orders is no matter.\n\
                 Edges: amounts of a step come at its end. Without a discount the step does not matter. discount_rate is 0 and step 1 unless \
                 given. More than 10000 steps, a horizon below 0, a step that is not above 0 and a rate of -1 or below are errors.\n\
                 Source: P. S. Fader, B. G. S. Hardie and K. L. Lee, Journal of Marketing Research 42 (2005) 415-430.",
            )
            .with_argument("model", MODEL_TEXT)
            .with_argument("spend_model", "The struct of spend_fit.")
            .with_argument("frequency", FREQUENCY_TEXT)
            .with_argument("recency", RECENCY_TEXT)
            .with_argument("age", AGE_TEXT)
            .with_argument("mean_amount", "Number: the mean amount of the orders after the first.")
            .with_argument("horizon", HORIZON_TEXT)
            .with_argument("discount_rate", "Number > -1: the rate of discount per step, 0.01 for one percent. Default 0.")
            .with_argument("step", "Number > 0: the time after which amounts are discounted once more. Default 1.")
            .with_sql_example(
                "```sql
with customers as (
    select
        make_array(0, 0, 0, 1, 1, 2, 3, 5, 8, 14)[value % 10 + 1] as frequency, 40 as age, 20 + value * 37 % 61 as mean_amount,
        case when value % 10 < 3 then 0 when value % 10 < 6 then value * 7 % 23 + 2 else 30 + value % 9 end as recency
    from generate_series(1, 200)
),
models as (
    select clv_fit(frequency, recency, age) as orders, spend_fit(frequency, mean_amount) as spend from customers
)
select
    round(clv(orders, spend, 3, 30, 40, 50, 52), 2) as plain,
    round(clv(orders, spend, 3, 30, 40, 50, 52, 0.01, step => 4.345), 2) as discounted
from models;
+--------+------------+
| plain  | discounted |
+--------+------------+
| 186.36 | 174.92     |
+--------+------------+
```",
            )
            .with_related_udf("clv_fit")
            .with_related_udf("spend_fit")
            .with_related_udf("expected_orders")
            .build()
        });
        &PAGE
    }
}

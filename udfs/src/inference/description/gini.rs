//! `gini(x)`: how unequally an amount is spread over the rows.
//!
//! Formula: sum over the sorted values of (2 i - n - 1) x_i / (n sum of x).
//! Units:   amounts that are not negative in; 0 to 1 out.
//! NULL:    a NULL is skipped; figures that are not defined are NULL, with a reason.
//! Edges:   a negative value is refused by a reason; without the correction n / (n - 1).
//! Source:  C. Gini 1912.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::{X, page};
use crate::args::{Call, Constants};
use crate::inference::cells::{NO_ROWS, Values};
use crate::inference::each_number;
use crate::inference::record::{FieldType, Figure, Record};
use crate::inference::statistic::{Entry, Statistic, statistic};

/// The aggregates of this file.
pub(super) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![statistic(Gini)]
}

/// The coefficient of sorted values.
///
/// # Errors
/// The reason why there is none.
fn gini(sorted: &[f64]) -> Result<f64, &'static str> {
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return Err(NO_ROWS) };
    if *least < 0.0 {
        return Err("a negative value: the coefficient is that of amounts from 0");
    }
    if *most == 0.0 {
        return Err("all values are 0");
    }
    let n = sorted.len() as f64;
    let (mut weighted, mut sum) = (0.0, 0.0);
    for (index, value) in sorted.iter().enumerate() {
        // as shares of the largest, so that no sum overflows
        let share = value / most;
        weighted += (2.0 * index as f64 + 1.0 - n) * share;
        sum += share;
    }
    Ok((weighted / (n * sum)).max(0.0))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Gini;

impl Statistic for Gini {
    const CALL: Call = Call { function: "gini", syntax: "gini(x)", parameters: &[X], arities: &[1] };
    const KEYS: &'static [usize] = &[];
    const FIELDS: &'static [(&'static str, FieldType)] =
        &[("estimate", FieldType::Number), ("n", FieldType::Count), ("reason", FieldType::Text)];

    type Cell = Values;
    type Options = ();

    fn bind(_: &Constants) -> Result<()> {
        Ok(())
    }

    fn each_row((): &(), columns: &[ArrayRef], each: impl FnMut(Option<f64>)) -> Result<()> {
        each_number(columns, 0, each)
    }

    fn finish((): &(), entries: &mut [Entry<Values>], _: Option<&[u8]>) -> Record {
        let sorted = entries.first_mut().map(|entry| entry.cell.sorted()).unwrap_or_default();
        let coefficient = gini(sorted);
        vec![
            Figure::Number(coefficient.ok()),
            Figure::Count(Some(sorted.len() as i64)),
            Figure::Text(coefficient.err()),
        ]
    }

    fn documentation() -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Gini::CALL,
                "How unequally an amount is spread over the rows: whether few customers make most of the contacts or of the revenue, \
                 whether contacts are shared evenly among agents. The Gini coefficient.\n\
                 Formula: estimate = sum over the sorted values of (2 i - n - 1) x_i / (n sum of x), i from 1: half the mean difference of \
                 two rows, relative to the mean. Times n / (n - 1) it is the estimate for a population of which the rows are a sample.\n\
                 Units: amounts in; 0 (all rows have the same) to 1 - 1 / n (one row has all) out.\n\
                 NULL: a NULL is skipped. No row left, a negative value, or values that are all 0: NULL, and a reason.\n\
                 Edges: rows with 0 count: a customer without contacts has to be a row. NaN and infinities are no measurements and count \
                 as NULL. Values are held in memory, 8 bytes each. DISTINCT is refused.\n\
                 Source: C. Gini, Variabilita e mutabilita, 1912; A. Sen, On Economic Inequality, Oxford 1973, section 2.2.",
            )
            .with_argument("x", "The amounts: integers, floats or decimals that are not negative.")
            .with_sql_example(
                "```sql
select round(gini(contact_count)['estimate'], 4) as gini
from (values (1), (1), (1), (2), (15)) as customers(contact_count);
+------+
| gini |
+------+
| 0.58 |
+------+
```",
            )
            .with_related_udf("entropy")
            .with_related_udf("describe")
            .build()
        });
        &PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_by_hand() {
        // (-3 x 1 - 1 x 1 + 1 x 2 + 3 x 4) / (4 x 8) = 10 / 32
        assert_eq!(gini(&[1.0, 1.0, 2.0, 4.0]), Ok(10.0 / 32.0));
        assert_eq!(gini(&[3.0, 3.0, 3.0]), Ok(0.0));
        assert_eq!(gini(&[0.0, 0.0, 0.0, 9.0]), Ok(0.75));
        assert_eq!(gini(&[f64::MAX, f64::MAX]), Ok(0.0));
        assert_eq!(gini(&[5.0]), Ok(0.0));
    }

    #[test]
    fn what_is_not_defined_has_a_reason() {
        assert_eq!(gini(&[]), Err(NO_ROWS));
        assert!(gini(&[0.0, 0.0]).is_err());
        assert!(gini(&[-1.0, 5.0]).is_err());
    }
}

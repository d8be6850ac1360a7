//! `asa`: the average speed of answer. Its page answers for formula, units, NULLs and source.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::buffer::NullBuffer;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, Documentation};

use super::handle_time::{HandleTime, answered};
use super::or_nan;
use crate::aggregate::{Function, Measure, aggregate, each_known, flags, numbers, page};
use crate::args::{Call, Constants, Kind, Parameter};

/// Waits of answered contacts.
#[derive(Debug, Clone, Copy)]
struct AnswerMeasure;

impl Measure for AnswerMeasure {
    type Tally = HandleTime;

    fn each_row(&self, columns: &[ArrayRef], each: impl FnMut(HandleTime)) -> Result<()> {
        let waits = or_nan(numbers(columns, 0)?);
        let answered: Option<NullBuffer> = if columns.len() > 1 { Some(answered(flags(columns, 1)?)) } else { None };
        each_known(waits.iter().copied(), answered.as_ref(), HandleTime::of_duration, each);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Asa;

impl Function for Asa {
    const CALL: Call = Call {
        function: "asa",
        syntax: "asa(wait_s [, is_abandoned])",
        parameters: &[Parameter::column("wait_s", Kind::Number), Parameter::column("is_abandoned", Kind::Flag)],
        arities: &[1, 2],
    };

    type Measure = AnswerMeasure;

    fn bind(_: &Constants) -> Result<AnswerMeasure> {
        Ok(AnswerMeasure)
    }

    fn documentation(&self) -> &'static Documentation {
        static PAGE: LazyLock<Documentation> = LazyLock::new(|| {
            page(
                Asa::CALL,
                "Queue",
                "Average speed of answer: how long answered contacts waited.\n\
                 Formula: mean of wait_s over answered contacts.\n\
                 Units: seconds in, seconds out.\n\
                 NULL: a NULL wait_s is skipped; so is a contact whose is_abandoned is true or NULL; no contacts left gives \
                 NULL.\n\
                 Edges: without is_abandoned every contact is taken as answered. A wait that is negative, infinite or NaN \
                 counts as NULL. An answer at once is a wait of 0 and counts. The sum is compensated: the order of the rows \
                 does not matter. DISTINCT is refused.\n\
                 Source: Amazon Connect Administrator Guide, average queue answer time: how long contacts waited in the queue \
                 before being answered by an agent.",
            )
            .with_argument("wait_s", "Number: seconds from entering the queue to the answer.")
            .with_argument("is_abandoned", "Boolean: whether the customer left before an answer.")
            .with_sql_example(
                "```sql
select asa(wait_s, is_abandoned) as asa_s
from (values (10, false), (32, false), (0, false), (null, false), (300, true)) as t(wait_s, is_abandoned);
+-------+
| asa_s |
+-------+
| 14.0  |
+-------+
```",
            )
            .with_related_udf("service_level")
            .with_related_udf("aht")
            .build()
        });
        &PAGE
    }
}

/// `asa`.
pub(super) fn function() -> Arc<AggregateUDF> {
    aggregate(Asa)
}

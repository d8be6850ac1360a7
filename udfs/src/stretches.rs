//! Stretches of time, such as contacts and states of agents: how long they overlap, their pieces between borders, and how
//! many there are at once.
//!
//! A stretch is the time from its start, inclusive, to its end, exclusive. What has no end yet has no known length.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, ColumnarValue, DocSection, ScalarUDF};

mod borders;
mod concurrency;
mod overlap;
mod split;

/// The scalar functions of the family.
pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![overlap::function(), split::function()]
}

/// The aggregates of the family.
pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![concurrency::function()]
}

const SECTION: DocSection = DocSection {
    include: true,
    label: "Stretches of time",
    description: Some(
        "Contacts, states of agents and whatever else has a start and an end. A stretch holds its start and not its end: two that \
         meet do not overlap.",
    ),
};

/// The arguments of a scalar call as columns: a constant as a column of one row.
struct Arguments {
    columns: Vec<(ArrayRef, bool)>,
    /// Rows of the result.
    row_count: usize,
    /// Whether the result is a constant.
    is_constant: bool,
}

impl Arguments {
    fn new(args: &[ColumnarValue], row_count: usize) -> Result<Self> {
        let columns = args.iter().map(|arg| match arg {
            ColumnarValue::Scalar(value) => Ok((value.to_array()?, true)),
            ColumnarValue::Array(values) => Ok((Arc::clone(values), false)),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let is_constant = columns.iter().all(|(_, is_constant)| *is_constant);
        Ok(Self { columns, row_count: if is_constant { 1 } else { row_count }, is_constant })
    }
}

/// The zone of a type of timestamps.
fn zone_of(data_type: &DataType) -> Option<Arc<str>> {
    match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}

//! Keeps the first rows of each partition while an input is buffered, where the filter above wants no others.
//!
//! ```text
//! morsels, 1 million rows        one morsel, 100,000 rows
//! | | | | | | | |  ---------->   |    `row_number() over (partition by customer order by at desc) <= 2`, ten rows a customer
//! ```
//! Each input keeps its own first rows. Those of all inputs contain the first of all rows, and what follows them is numbered
//! beyond the limit.

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::common::Result;

use super::bucket::{WindowPlan, compact};
use super::encoding::ColumnEncoding;
use super::sort::sort_partitions;
use crate::exec_util::concat_column;

/// The first `fetch` rows of each partition among the rows of a bucket, in their order of arrival. `slices` are the buffered
/// columns.
///
/// # Errors
/// The keys cannot be hashed, or the bucket has more than 2^32 rows.
pub(super) fn first_rows(
    plan: &WindowPlan,
    encodings: &[ColumnEncoding],
    slices: &[Vec<ArrayRef>],
    fetch: usize,
) -> Result<Vec<ArrayRef>> {
    let columns: Vec<ArrayRef> =
        (0..plan.columns.len()).map(|column| concat_column(slices, column)).collect::<Result<_>>()?;
    let (bounds, arrival) = plan.group(&columns)?;
    let order_by = plan.order();
    let mut ordered = columns.clone();
    for &(column, _) in order_by {
        // codes are in no order
        ordered[column] = encodings[column].decode(&columns[column])?;
    }
    let (order, _) = sort_partitions(&ordered, order_by, &bounds, &arrival, false)?;
    let mut rows: Vec<u32> = Vec::with_capacity(order.len());
    for partition in bounds.windows(2) {
        let end = partition[1].min(partition[0].saturating_add(fetch));
        rows.extend_from_slice(&order[partition[0]..end]);
    }
    rows.sort_unstable();
    let rows = UInt32Array::from(rows);
    // copies strings out of the buffers of rows that are gone
    columns.iter().map(|column| Ok(compact(take(column, &rows, None)?))).collect()
}

/// When the rows of an input are reduced.
#[derive(Debug)]
pub(super) struct FetchSchedule {
    /// The rows kept per partition.
    pub(super) fetch: usize,
    /// The rows that were kept the last time.
    kept: usize,
}

/// Rows from which an input is reduced.
const MIN_ROWS: usize = 1 << 20;

impl FetchSchedule {
    pub(super) fn new(fetch: usize) -> Self {
        Self { fetch, kept: 0 }
    }

    /// Whether so many rows are to be reduced: when they have doubled, so that all reductions together look at each row about
    /// twice. When memory is short, also where they have grown by half.
    pub(super) fn is_due(&self, rows: usize, is_memory_short: bool) -> bool {
        match is_memory_short {
            true => rows > self.kept + self.kept / 2,
            false => rows >= MIN_ROWS && rows / 2 >= self.kept,
        }
    }

    pub(super) fn reduced_to(&mut self, rows: usize) {
        self.kept = rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_reduced_when_they_have_doubled() {
        let mut schedule = FetchSchedule::new(1);
        assert!(!schedule.is_due(MIN_ROWS - 1, false) && schedule.is_due(MIN_ROWS, false));
        assert!(schedule.is_due(1, true));
        schedule.reduced_to(MIN_ROWS);
        assert!(!schedule.is_due(2 * MIN_ROWS - 1, false) && schedule.is_due(2 * MIN_ROWS, false));
        assert!(!schedule.is_due(MIN_ROWS + 10, true) && schedule.is_due(MIN_ROWS * 2, true));
    }
}

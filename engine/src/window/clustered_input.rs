//! [`ClusteredInput`]: reads clustered rows and evaluates whole partitions, without buffering the input.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::Time;
use futures::TryStreamExt;

use super::bucket::{EvaluatedBucket, WindowPlan};
use crate::exec_util::concat_column;
use crate::kernels::inline_strings::without_unused_buffers;

/// Rows that are evaluated together, or more where one partition has more.
const RUN_ROWS: usize = 1 << 15;

/// The rows of one input, taken partition by partition.
pub(super) struct ClusteredInput {
    plan: Arc<WindowPlan>,
    input: SendableRecordBatchStream,
    /// Whether no partition is in more than one batch.
    is_unsplit: bool,
    /// The buffered columns of rows that are not computed yet.
    parts: Vec<Vec<ArrayRef>>,
    rows: usize,
    /// So many rows are waited for.
    wanted: usize,
    is_ended: bool,
    /// The memory of `parts`.
    reservation: MemoryReservation,
}

impl ClusteredInput {
    /// `is_unsplit`: as [`is_unsplit`] says of the plan that gives `input`.
    pub(super) fn new(
        plan: Arc<WindowPlan>,
        input: SendableRecordBatchStream,
        is_unsplit: bool,
        reservation: MemoryReservation,
    ) -> Self {
        Self { plan, input, is_unsplit, parts: vec![], rows: 0, wanted: RUN_ROWS, is_ended: false, reservation }
    }

    /// The next whole partitions with their results, whose memory is grown in `reservation`; none after the last.
    ///
    /// # Errors
    /// What the input, an expression or a function gives.
    pub(super) async fn next(
        &mut self,
        reservation: &MemoryReservation,
        elapsed: &Time,
    ) -> Result<Option<EvaluatedBucket>> {
        loop {
            if !self.is_ended {
                match self.input.try_next().await? {
                    Some(batch) if batch.num_rows() == 0 => continue,
                    Some(batch) => {
                        self.rows += batch.num_rows();
                        self.parts.push(self.plan.buffered(&batch)?.into_iter().map(without_unused_buffers).collect());
                        // beyond the limit if need be: without it nothing goes on
                        self.reservation.resize(self.rows * self.plan.row_bytes());
                    }
                    None => self.is_ended = true,
                }
            }
            if self.rows == 0 && self.is_ended {
                return Ok(None);
            }
            // the last partition may go on
            let is_cut = !self.is_ended && !self.is_unsplit;
            if self.rows < self.wanted && is_cut {
                continue;
            }
            let _timer = elapsed.timer();
            let columns = (0..self.plan.columns.len()).map(|column| concat_column(&self.parts, column));
            let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
            let mut bounds = self.plan.runs(&columns)?;
            if is_cut {
                bounds.pop();
            }
            let whole = bounds.last().copied().unwrap_or_default();
            let part = |start: usize, rows: usize| columns.iter().map(|column| column.slice(start, rows)).collect();
            self.rows -= whole;
            self.reservation.resize(self.rows * self.plan.row_bytes());
            self.parts = if self.rows > 0 { vec![part(whole, self.rows)] } else { vec![] };
            self.wanted = RUN_ROWS.max(2 * self.rows);
            if whole > 0 {
                reservation.grow(whole * self.plan.row_bytes());
                let mut columns: Vec<ArrayRef> = part(0, whole);
                let others = columns.split_off(self.plan.computed_count);
                return Arc::clone(&self.plan)
                    .evaluate_partitions(columns, vec![others], &bounds, (0..whole as u32).collect())
                    .map(Some);
            }
        }
    }
}

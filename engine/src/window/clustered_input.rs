//! [`ClusteredInput`]: reads clustered rows and evaluates complete partitions, without buffering the input.
//!
//! ```text
//! batches      | a a a b | b b c c | d ...
//! evaluated    '---- a a a b b b --'           c may continue in the next batch and is carried over
//! ```

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

/// Rows that are evaluated together; more if one partition has more.
const ROWS_PER_EVALUATION: usize = 1 << 15;

/// The rows of one input whose partitions are clustered.
pub(super) struct ClusteredInput {
    plan: Arc<WindowPlan>,
    input: SendableRecordBatchStream,
    /// Whether no partition is split across batches: then every batch is evaluated as it is.
    is_unsplit: bool,
    /// The buffered columns of rows that are not evaluated yet.
    slices: Vec<Vec<ArrayRef>>,
    rows: usize,
    /// Evaluate when so many rows are buffered. Twice the rows of an open partition, so that a long one is concatenated
    /// a logarithmic number of times.
    target_rows: usize,
    is_ended: bool,
    /// The memory of `slices`.
    reservation: MemoryReservation,
}

impl ClusteredInput {
    /// `is_unsplit`: whether the plan of `input` is, see `clustering::is_unsplit`.
    pub(super) fn new(
        plan: Arc<WindowPlan>,
        input: SendableRecordBatchStream,
        is_unsplit: bool,
        reservation: MemoryReservation,
    ) -> Self {
        Self {
            plan,
            input,
            is_unsplit,
            slices: vec![],
            rows: 0,
            target_rows: ROWS_PER_EVALUATION,
            is_ended: false,
            reservation,
        }
    }

    /// The next complete partitions with their results, whose memory is added to `reservation`; `None` after the last.
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
                        self.slices.push(self.plan.buffered(&batch)?.into_iter().map(without_unused_buffers).collect());
                        // infallible: an open partition must be buffered, and clustered input does not spill
                        self.reservation.resize(self.rows * self.plan.row_bytes());
                    }
                    None => self.is_ended = true,
                }
            }
            if self.rows == 0 && self.is_ended {
                return Ok(None);
            }
            // the last partition may continue in the next batch
            let is_last_open = !self.is_ended && !self.is_unsplit;
            if self.rows < self.target_rows && is_last_open {
                continue;
            }
            let _timer = elapsed.timer();
            let columns = (0..self.plan.columns.len()).map(|column| concat_column(&self.slices, column));
            let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
            let mut bounds = self.plan.clustered_bounds(&columns)?;
            if is_last_open {
                bounds.pop();
            }
            let complete = bounds.last().copied().unwrap_or_default();
            let slice = |start: usize, rows: usize| columns.iter().map(|column| column.slice(start, rows)).collect();
            self.rows -= complete;
            self.reservation.resize(self.rows * self.plan.row_bytes());
            self.slices = if self.rows > 0 { vec![slice(complete, self.rows)] } else { vec![] };
            self.target_rows = ROWS_PER_EVALUATION.max(2 * self.rows);
            if complete > 0 {
                reservation.grow(complete * self.plan.row_bytes());
                let mut columns: Vec<ArrayRef> = slice(0, complete);
                let output_only = columns.split_off(self.plan.computed_count);
                return Arc::clone(&self.plan)
                    .evaluate_partitions(columns, vec![output_only], &bounds, (0..complete as u32).collect())
                    .map(Some);
            }
        }
    }
}

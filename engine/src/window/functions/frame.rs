//! Frames: the rows of a partition that a function sees from one row.

use std::ops::Range;

use cxql_udfs::grouped::ranges;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};

use crate::window::sort::Peers;

/// A window frame: `ROWS` with constant offsets, or `RANGE`/`GROUPS` up to the peers or the end of the partition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) start: FrameBound,
    pub(super) end: FrameBound,
}

/// One bound of a frame, relative to the current row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FrameBound {
    /// The start or end of the partition.
    Partition,
    /// The first or last peer of the current row.
    Peers,
    /// The row at this offset, clamped to the partition.
    Rows(i64),
}

/// The partitions of a bucket, whose rows are sorted by partition: partition `i` is `bounds[i]..bounds[i + 1]`.
pub(in crate::window) struct Partitions<'a> {
    pub(in crate::window) bounds: &'a [usize],
    pub(in crate::window) peers: &'a Peers,
}

impl Partitions<'_> {
    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        self.bounds.last().copied().unwrap_or_default()
    }

    /// The rows of each partition.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        ranges(self.bounds)
    }

    /// The peers of `row`; without ORDER BY all rows of the partition.
    pub(super) fn peers_of(&self, partition: &Range<usize>, row: usize) -> Range<usize> {
        match self.peers {
            Peers::Partition => partition.clone(),
            Peers::None => row..row + 1,
            Peers::Ranges(peers) => peers[row].0 as usize..peers[row].1 as usize,
        }
    }
}

impl FrameBound {
    /// The first row of a frame that starts here.
    fn start(self, partitions: &Partitions<'_>, partition: &Range<usize>, row: usize) -> usize {
        match self {
            FrameBound::Partition => partition.start,
            FrameBound::Peers => partitions.peers_of(partition, row).start,
            FrameBound::Rows(by) => offset_row(row, by, partition),
        }
    }

    /// The row after the last of a frame that ends here.
    pub(super) fn end(self, partitions: &Partitions<'_>, partition: &Range<usize>, row: usize) -> usize {
        match self {
            FrameBound::Partition => partition.end,
            FrameBound::Peers => partitions.peers_of(partition, row).end,
            FrameBound::Rows(by) => offset_row(row + 1, by, partition),
        }
    }
}

impl Frame {
    /// The rows of the frame, seen from `row`.
    pub(super) fn of(self, partitions: &Partitions<'_>, partition: &Range<usize>, row: usize) -> Range<usize> {
        let start = self.start.start(partitions, partition, row);
        start..self.end.end(partitions, partition, row).max(start)
    }

    /// Translates the frame of a plan.
    ///
    /// # Errors
    /// The reason why the frame is not supported: `RANGE` or `GROUPS` with an offset.
    pub(super) fn new(frame: &WindowFrame, is_ordered: bool) -> std::result::Result<Self, String> {
        let bound_of = |bound: &WindowFrameBound| {
            let by = match bound {
                WindowFrameBound::CurrentRow if frame.units == WindowFrameUnits::Rows => {
                    return Ok(FrameBound::Rows(0));
                }
                WindowFrameBound::CurrentRow if is_ordered => return Ok(FrameBound::Peers),
                WindowFrameBound::CurrentRow => return Ok(FrameBound::Partition),
                WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) if by.is_null() => {
                    return Ok(FrameBound::Partition);
                }
                WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) => by,
            };
            let rows = match (frame.units, by) {
                (WindowFrameUnits::Rows, ScalarValue::UInt64(Some(rows))) => i64::try_from(*rows).ok(),
                (WindowFrameUnits::Rows, ScalarValue::Int64(Some(rows))) => Some(*rows),
                _ => None,
            };
            let Some(rows) = rows else {
                return Err(format!("its frame {frame} has an offset that is not supported"));
            };
            Ok(FrameBound::Rows(if matches!(bound, WindowFrameBound::Preceding(_)) { -rows } else { rows }))
        };
        // an unbounded bound is that of the partition: DataFusion's planner rejects `UNBOUNDED FOLLOWING` as a start and
        // `UNBOUNDED PRECEDING` as an end
        Ok(Self { start: bound_of(&frame.start_bound)?, end: bound_of(&frame.end_bound)? })
    }

    /// Returns true if the frame is the whole partition, so that all rows have the same result.
    pub(super) fn is_whole(self) -> bool {
        self.start == FrameBound::Partition && self.end == FrameBound::Partition
    }
}

/// The row at an offset from `row`, clamped to the partition.
fn offset_row(row: usize, by: i64, partition: &Range<usize>) -> usize {
    let distance = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
    let target = if by < 0 { row.saturating_sub(distance) } else { row.saturating_add(distance) };
    target.clamp(partition.start, partition.end)
}

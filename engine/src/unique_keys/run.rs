//! [`SplitRun`]: one execution, shared by all partitions: the repeated hashes, and the rows that have them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::{BatchCoalescer, cast, filter_record_batch, not};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::Count;
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::key_scan::{KeyScan, hash_keys};
use super::positions::{PositionScan, RowPositions};
use super::repeated_hashes::RepeatedHashes;
use crate::functions::aggregates::compact::compacted;

/// What an execution counts.
#[derive(Debug, Clone)]
pub(super) struct SplitMetrics {
    /// Rows whose key occurs once.
    pub(super) unique_rows: Count,
    /// Rows whose key may occur more than once.
    pub(super) repeated_rows: Count,
    /// Scans of the key columns, 0 if their result was cached.
    pub(super) key_scans: Count,
    /// Executions in which rows were separated by their places.
    pub(super) by_position: Count,
    /// Executions in which all rows went through the windows.
    pub(super) unsplit: Count,
    /// Executions in which the rows of repeated keys were read again, since they were too many to buffer.
    pub(super) second_scans: Count,
}

/// The rows of repeated keys that were read, by partition of the rows.
#[derive(Debug, Default)]
struct SetAside {
    batches: Vec<Vec<RecordBatch>>,
    bytes: usize,
}

/// How the rows of unique keys are separated from those of repeated ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separation {
    /// By their hashes, while they are read.
    Hashes,
    /// By their places, so that each are read alone.
    Positions,
    /// All rows go through the windows.
    None,
}

/// The scans of the rows of unique and of repeated keys, when their places are known. All partitions execute the same.
#[derive(Debug, Default)]
struct SelectedScans {
    unique: OnceLock<Arc<dyn ExecutionPlan>>,
    repeated: OnceLock<Arc<dyn ExecutionPlan>>,
}

/// One execution of `UniqueKeysExec`, which the leaves of its inputs get as an extension of their context.
#[derive(Debug)]
pub(super) struct SplitRun {
    /// The rows, for the first scan and for another of the repeated keys.
    pub(super) rows: Arc<dyn ExecutionPlan>,
    pub(super) rows_again: Arc<dyn ExecutionPlan>,
    /// The key columns of the rows.
    pub(super) keys: Vec<usize>,
    pub(super) context: Arc<TaskContext>,
    pub(super) scan: KeyScan,
    /// The scans by places of rows.
    positions: Option<Arc<PositionScan>>,
    /// Those of this execution.
    selected: SelectedScans,
    /// Output partitions that have not emitted all unique rows yet.
    remaining: AtomicUsize,
    set_aside: Mutex<SetAside>,
    /// Most bytes of the rows of repeated keys.
    max_bytes: usize,
    has_overflown: AtomicBool,
    /// The memory of the rows of repeated keys.
    reservation: MemoryReservation,
    /// The memory of the repeated hashes.
    _hashes: Arc<MemoryReservation>,
    pub(super) metrics: SplitMetrics,
}

impl SplitRun {
    #[expect(clippy::too_many_arguments, reason = "called once, by the operator")]
    pub(super) fn new(
        rows: [Arc<dyn ExecutionPlan>; 2],
        keys: Vec<usize>,
        context: Arc<TaskContext>,
        scan: KeyScan,
        positions: Option<Arc<PositionScan>>,
        partitions: usize,
        max_bytes: usize,
        hashes: Arc<MemoryReservation>,
        metrics: SplitMetrics,
    ) -> Self {
        let [rows, rows_again] = rows;
        Self {
            rows,
            rows_again,
            keys,
            context,
            scan,
            positions,
            selected: SelectedScans::default(),
            remaining: AtomicUsize::new(partitions),
            set_aside: Mutex::default(),
            max_bytes,
            has_overflown: AtomicBool::new(false),
            reservation: hashes.new_empty(),
            _hashes: hashes,
            metrics,
        }
    }

    /// The repeated hashes, if rows are separated by them.
    fn repeated(&self) -> Option<&Arc<RepeatedHashes>> {
        match &self.scan {
            KeyScan::Few(repeated) => Some(repeated),
            KeyScan::Positions(_) | KeyScan::Many | KeyScan::NoMemory => None,
        }
    }

    /// The scans by places, if rows are separated by them.
    fn positions(&self) -> Option<(&PositionScan, &RowPositions)> {
        match (&self.scan, &self.positions) {
            (KeyScan::Positions(positions), Some(scan)) => Some((scan, positions)),
            _ => None,
        }
    }

    /// Which rows the windows get, and when.
    pub(super) fn separation(&self) -> Separation {
        match &self.scan {
            KeyScan::Few(_) => Separation::Hashes,
            KeyScan::Positions(_) => Separation::Positions,
            KeyScan::Many | KeyScan::NoMemory => Separation::None,
        }
    }

    /// Counts an output partition that has emitted all its unique rows; true for the last one.
    pub(super) fn is_last(&self) -> bool {
        self.remaining.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// These columns of the rows of one of `leaves` partitions whose keys occur once. Those of repeated keys are set aside. With
    /// `is_discarded` nothing is emitted.
    pub(super) fn unique_rows(
        self: Arc<Self>,
        partition: usize,
        leaves: usize,
        columns: Option<&[usize]>,
        is_discarded: bool,
    ) -> Result<SendableRecordBatchStream> {
        let Some((scan, positions)) = self.positions() else {
            let rows = Arc::clone(&self).rows_of_unique_hashes(partition, is_discarded)?;
            let Some(columns) = columns.map(<[usize]>::to_vec) else { return Ok(rows) };
            let schema = Arc::new(rows.schema().project(&columns)?);
            let rows = rows.map(move |batch| Ok(batch?.project(&columns)?));
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)));
        };
        let all: Vec<usize>;
        let columns = match columns {
            Some(columns) => columns,
            None => {
                all = (0..self.rows.schema().fields().len()).collect();
                &all
            }
        };
        if is_discarded {
            return Ok(Box::pin(EmptyRecordBatchStream::new(Arc::new(self.rows.schema().project(columns)?))));
        }
        let plan = once(&self.selected.unique, || scan.unique(columns, positions))?;
        self.selected_rows(&plan, partition, leaves, self.metrics.unique_rows.clone())
    }

    /// The rows of one of `leaves` partitions of a scan, which may have another number of partitions.
    fn selected_rows(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        partition: usize,
        leaves: usize,
        count: Count,
    ) -> Result<SendableRecordBatchStream> {
        let partitions = (partition..plan.output_partitioning().partition_count()).step_by(leaves.max(1));
        let rows = batches_of(plan, partitions, &self.context)?;
        let schema = rows.schema();
        let rows = rows.inspect_ok(move |batch| count.add(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// The rows of a partition whose hashes occur once.
    fn rows_of_unique_hashes(
        self: Arc<Self>,
        partition: usize,
        is_discarded: bool,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.rows.schema();
        let Some(repeated) = self.repeated().cloned() else {
            return Ok(Box::pin(EmptyRecordBatchStream::new(schema)));
        };
        if repeated.is_empty() {
            return match is_discarded {
                true => Ok(Box::pin(EmptyRecordBatchStream::new(schema))),
                false => {
                    let unique_rows = self.metrics.unique_rows.clone();
                    let rows = self.rows.execute(partition, Arc::clone(&self.context))?;
                    let rows = rows.inspect_ok(move |batch| unique_rows.add(batch.num_rows()));
                    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
                }
            };
        }
        let rows = self.rows.execute(partition, Arc::clone(&self.context))?;
        let batch_size = self.context.session_config().batch_size();
        let coalescer = BatchCoalescer::new(Arc::clone(&schema), batch_size);
        let splitter = Splitter { run: self, repeated, rows, partition, is_discarded, coalescer, hashes: vec![] };
        let batches = stream::try_unfold(splitter, async |mut splitter| {
            Ok(splitter.next().await?.map(|batch| (batch, splitter)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.boxed())))
    }

    /// The rows of one of `leaves` partitions for the windows: those of repeated keys, or all if the rows are not separated. Where
    /// they are separated by hashes, it is called when all unique rows were read.
    pub(super) fn window_rows(self: Arc<Self>, partition: usize, leaves: usize) -> Result<SendableRecordBatchStream> {
        let schema = self.rows.schema();
        if let Some((scan, positions)) = self.positions() {
            if positions.repeated_count() == 0 {
                return Ok(Box::pin(EmptyRecordBatchStream::new(schema)));
            }
            let plan = once(&self.selected.repeated, || scan.repeated(positions))?;
            return self.selected_rows(&plan, partition, leaves, self.metrics.repeated_rows.clone());
        }
        let Some(repeated) = self.repeated().cloned() else {
            return self.rows.execute(partition, Arc::clone(&self.context));
        };
        if !self.has_overflown.load(Ordering::Acquire) {
            let batches = self.set_aside.lock().batches.get_mut(partition).map(std::mem::take).unwrap_or_default();
            let batches = stream::iter(batches.into_iter().map(Ok));
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)));
        }
        let rows = self.rows_again.execute(partition, Arc::clone(&self.context))?;
        let mut hashes = vec![];
        let batches = rows.map(move |batch| {
            let batch = batch?;
            match self.repeated_mask(&batch, &repeated, &mut hashes)? {
                Some(mask) => Ok(filter_record_batch(&batch, &mask)?),
                None => Ok(batch.slice(0, 0)),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    /// Which rows have a repeated hash; `None` if none has.
    fn repeated_mask(
        &self,
        batch: &RecordBatch,
        repeated: &RepeatedHashes,
        hashes: &mut Vec<u64>,
    ) -> Result<Option<BooleanArray>> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(batch.column(key))).collect();
        hash_keys(&keys, hashes)?;
        let mut is_any = false;
        let mask = BooleanBuffer::collect_bool(hashes.len(), |row| {
            let is_repeated = repeated.contains(hashes[row]);
            is_any |= is_repeated;
            is_repeated
        });
        Ok(is_any.then(|| BooleanArray::new(mask, None)))
    }

    /// Sets rows aside. When they are too many, all are dropped and read again later.
    fn set_aside(&self, partition: usize, batch: RecordBatch) {
        let bytes = batch.get_array_memory_size();
        let mut set_aside = self.set_aside.lock();
        if self.has_overflown.load(Ordering::Acquire) {
            return;
        }
        if set_aside.bytes + bytes > self.max_bytes || self.reservation.try_grow(bytes).is_err() {
            *set_aside = SetAside::default();
            self.reservation.free();
            self.metrics.second_scans.add(1);
            self.has_overflown.store(true, Ordering::Release);
            return;
        }
        set_aside.bytes += bytes;
        if set_aside.batches.len() <= partition {
            set_aside.batches.resize_with(partition + 1, Vec::new);
        }
        set_aside.batches[partition].push(batch);
    }
}

/// The plan, which the first that asks makes.
fn once(
    plan: &OnceLock<Arc<dyn ExecutionPlan>>,
    make: impl FnOnce() -> Result<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(plan) = plan.get() {
        return Ok(Arc::clone(plan));
    }
    let made = make()?;
    Ok(Arc::clone(plan.get_or_init(|| made)))
}

/// All batches of some partitions of a plan, one partition after the other.
pub(super) fn batches_of(
    plan: &Arc<dyn ExecutionPlan>,
    partitions: impl Iterator<Item = usize>,
    context: &Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let streams: Vec<_> =
        partitions.map(|partition| plan.execute(partition, Arc::clone(context))).collect::<Result<_>>()?;
    Ok(Box::pin(RecordBatchStreamAdapter::new(plan.schema(), stream::iter(streams).flatten())))
}

/// Separates the rows of one partition.
struct Splitter {
    run: Arc<SplitRun>,
    repeated: Arc<RepeatedHashes>,
    rows: SendableRecordBatchStream,
    partition: usize,
    is_discarded: bool,
    /// Rows of repeated keys.
    coalescer: BatchCoalescer,
    hashes: Vec<u64>,
}

impl Splitter {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(batch) = self.rows.next().await {
            let batch = batch?;
            let all = batch.num_rows();
            let mask = self.run.repeated_mask(&batch, &self.repeated, &mut self.hashes)?;
            let Some(mask) = mask else {
                self.run.metrics.unique_rows.add(all);
                if self.is_discarded {
                    continue;
                }
                return Ok(Some(batch));
            };
            let repeated = mask.true_count();
            self.run.metrics.repeated_rows.add(repeated);
            self.run.metrics.unique_rows.add(all - repeated);
            let unique = match self.is_discarded || repeated == all {
                true => None,
                false => Some(filter_record_batch(&batch, &not(&mask)?)?),
            };
            if !self.run.has_overflown.load(Ordering::Acquire) {
                self.coalescer.push_batch(without_other_strings(filter_record_batch(&batch, &mask)?)?)?;
                self.flush();
            }
            if unique.is_some() {
                return Ok(unique);
            }
            if self.is_discarded && self.run.has_overflown.load(Ordering::Acquire) {
                return Ok(None);
            }
        }
        self.coalescer.finish_buffered_batch()?;
        self.flush();
        Ok(None)
    }

    fn flush(&mut self) {
        while let Some(batch) = self.coalescer.next_completed_batch() {
            self.run.set_aside(self.partition, batch);
        }
    }
}

/// The batch with copies of its strings: a few rows would keep the pages of a file alive, even where all of their strings are
/// in the views.
fn without_other_strings(batch: RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| compacted(column).0);
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns.collect(), &options)?)
}

/// The batch with this schema. Inputs may differ in which columns may be NULL, and in whether strings are dictionary arrays.
pub(super) fn with_schema(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if Arc::ptr_eq(batch.schema_ref(), schema) {
        return Ok(batch);
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast(column, field.data_type()),
        }
    });
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

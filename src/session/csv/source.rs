//! [`CsvSource`]: scans of CSV tables. A file is split between threads where its profile says that records start.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use encoding_rs::UTF_8;
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use super::Shared;
use super::columns::Columns;
use super::profile::{FileProfile, Mark, RowFault, Text, fields, is_no_row, row_fault};
use super::settings::BadRows;
use super::tokenizer::{Fault, Record, Tokenizer};
use crate::error::Error;
use crate::session::pinned::{PinnedStore, replaced};

/// Rows of a batch where DataFusion names none.
const BATCH_ROWS: usize = 8192;

/// The scan of a CSV table.
#[derive(Debug, Clone)]
pub(super) struct CsvSource {
    shared: Arc<Shared>,
    projection: SplitProjection,
    table_schema: TableSchema,
    batch_size: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
}

impl CsvSource {
    pub(super) fn new(shared: Arc<Shared>, table_schema: TableSchema) -> Self {
        let projection = SplitProjection::unprojected(&table_schema);
        Self { shared, projection, table_schema, batch_size: None, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// A file as ranges that begin with records, each of about `bytes`.
    fn split(&self, file: &PartitionedFile, bytes: u64) -> Vec<PartitionedFile> {
        let profile = self.shared.known(&file.object_meta).filter(|profile| !profile.marks.is_empty());
        let Some(profile) = profile.filter(|_| file.range.is_none()) else { return vec![file.clone()] };
        let mut starts = vec![profile.body.offset];
        for mark in &profile.marks {
            if mark.offset - starts.last().copied().unwrap_or(0) >= bytes {
                starts.push(mark.offset);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([file.object_meta.size]);
        let ranges = starts.iter().zip(ends).map(|(start, end)| {
            let mut part = file.clone();
            part.range = Some(FileRange { start: signed(*start), end: signed(end) });
            part
        });
        ranges.collect()
    }
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

impl FileSource for CsvSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        _config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let schema = Arc::new(self.table_schema.file_schema().project(&self.projection.file_indices)?);
        let opener = CsvOpener {
            shared: Arc::clone(&self.shared),
            store,
            schema,
            batch_size: self.batch_size.unwrap_or(BATCH_ROWS),
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), self.table_schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_size: Some(batch_size), ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &'static str {
        "csv"
    }

    fn fmt_extra(&self, _: DisplayFormatType, _: &mut fmt::Formatter) -> fmt::Result {
        Ok(())
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        repartition_file_min_size: usize,
        output_ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        let files: Vec<&PartitionedFile> = config.file_groups.iter().flat_map(FileGroup::iter).collect();
        let total: u64 = files.iter().map(|file| file.object_meta.size).sum();
        // a web server need not know ranges
        let has_ranges = !config.object_store_url.as_str().starts_with("http");
        if output_ordering.is_some() || target_partitions < 2 || !has_ranges || total < repartition_file_min_size as u64
        {
            return Ok(None);
        }
        let share = total.div_ceil(target_partitions as u64).max(1);
        let parts: Vec<PartitionedFile> = files.iter().flat_map(|file| self.split(file, share)).collect();
        if parts.len() == files.len() {
            return Ok(None);
        }
        // in the order of the files, so that the first rows come first
        let mut groups: Vec<Vec<PartitionedFile>> = Vec::new();
        let mut room = 0;
        for part in parts {
            if room <= 0 && groups.len() < target_partitions {
                groups.push(Vec::new());
                room = signed(share);
            }
            room -= match &part.range {
                Some(range) => range.end - range.start,
                None => signed(part.object_meta.size),
            };
            if let Some(group) = groups.last_mut() {
                group.push(part);
            }
        }
        let mut config = config.clone();
        config.file_groups = groups.into_iter().map(FileGroup::new).collect();
        Ok(Some(config))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}

/// Opens files and ranges of files.
struct CsvOpener {
    shared: Arc<Shared>,
    store: Arc<dyn ObjectStore>,
    /// The columns that are read.
    schema: SchemaRef,
    batch_size: usize,
}

impl FileOpener for CsvOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (shared, store) = (Arc::clone(&self.shared), Arc::clone(&self.store));
        let (schema, batch_size) = (Arc::clone(&self.schema), self.batch_size);
        Ok(Box::pin(async move {
            let location = file.object_meta.location.clone();
            if file.object_meta.size == 0 {
                return Ok(futures::stream::empty().boxed());
            }
            let pinned = PinnedStore::of_file(&store, &shared.settings.store_address, &file.object_meta);
            let store = Arc::clone(&pinned) as Arc<dyn ObjectStore>;
            let profile = shared.profile(&store, &file.object_meta).await?;
            let (text, start) = match &file.range {
                Some(range) => {
                    let range = range.start.unsigned_abs()..range.end.unsigned_abs();
                    open_range(&store, &shared, &profile, range).await?
                }
                None => open_whole(&store, &shared, &profile).await?,
            };
            let fields = schema.fields().iter();
            let fields = fields.map(|field| profile.names.iter().position(|name| name == field.name())).collect();
            let columns = Columns::new(Arc::clone(&schema), fields)?;
            let tokenizer = Tokenizer::new(profile.dialect, start.line, start.offset);
            let end = location.clone();
            let rows = Rows { shared, profile, location, text, piece: Bytes::new(), tokenizer, columns, batch_size };
            let rows = futures::stream::try_unfold(Some(rows), async |rows| match rows {
                Some(mut rows) => {
                    let (batch, is_last) = rows.next_batch().await?;
                    Ok(batch.map(|batch| (batch, (!is_last).then_some(rows))))
                }
                None => Ok(None),
            });
            Ok(pinned.checked(end, rows.boxed()))
        }))
    }
}

/// The rows of a file from its first one.
async fn open_whole(store: &Arc<dyn ObjectStore>, shared: &Shared, profile: &FileProfile) -> Result<(Text, Mark)> {
    let location = &profile.meta.location;
    let (_, _, mark, mut text) = Text::open(store, location, &shared.settings, None, None).await?;
    let mut skipped = usize::try_from(profile.body.offset).unwrap_or(usize::MAX).saturating_sub(mark);
    while skipped > 0
        && let Some(piece) = text.next(&shared.settings, location).await?
    {
        let count = skipped.min(piece.len());
        skipped -= count;
        text.put_back(piece.slice(count..));
    }
    Ok((text, profile.body))
}

/// The rows of a range that begins with a row.
async fn open_range(
    store: &Arc<dyn ObjectStore>,
    shared: &Shared,
    profile: &FileProfile,
    range: Range<u64>,
) -> Result<(Text, Mark)> {
    let start = profile.marks.iter().find(|mark| mark.offset == range.start).copied().unwrap_or(profile.body);
    let location = &profile.meta.location;
    let (_, _, _, text) = Text::open(store, location, &shared.settings, Some(range.clone()), Some(UTF_8)).await?;
    if start.offset != range.start {
        // the plan was made with the profile of another version
        return Err(replaced(&format!("{}{location}", shared.settings.store_address)).into());
    }
    Ok((text, start))
}

/// The rows of a file or range as batches.
struct Rows {
    shared: Arc<Shared>,
    profile: Arc<FileProfile>,
    location: Path,
    text: Text,
    piece: Bytes,
    tokenizer: Tokenizer,
    columns: Columns,
    batch_size: usize,
}

impl Rows {
    /// The next batch, and whether it is the last.
    async fn next_batch(&mut self) -> Result<(Option<RecordBatch>, bool)> {
        let settings = &self.shared.settings;
        let row = |columns: &mut Columns, record: &Record| -> Result<(), Error> {
            let wanted = self.profile.names.len();
            if is_no_row(record, wanted) {
                return Ok(());
            }
            match row_fault(record, wanted, settings.bad_rows, self.profile.has_trailing_delimiter) {
                None => columns.add(record, settings, &self.location),
                Some(RowFault::Quotes(fault @ Fault::Unterminated(_))) => Err(settings.fault(&self.location, fault)),
                Some(_) if settings.bad_rows == BadRows::Skip => Ok(()),
                Some(RowFault::Quotes(fault)) => Err(settings.fault(&self.location, fault)),
                Some(RowFault::Fields) => {
                    Err(settings.bad_row(&self.location, record.line, &fields(record.len(), wanted)))
                }
            }
        };
        loop {
            let mut rest = &self.piece[..];
            while let Some(record) = self.tokenizer.next(&mut rest) {
                row(&mut self.columns, record)?;
                if self.columns.is_full(self.batch_size) {
                    let consumed = self.piece.len() - rest.len();
                    self.piece = self.piece.slice(consumed..);
                    return Ok((Some(self.columns.take()?), false));
                }
            }
            match self.text.next(settings, &self.location).await? {
                Some(piece) => self.piece = piece,
                None => {
                    self.piece = Bytes::new();
                    if let Some(record) = self.tokenizer.finish() {
                        row(&mut self.columns, record)?;
                    }
                    let batch = if self.columns.is_empty() { None } else { Some(self.columns.take()?) };
                    return Ok((batch, true));
                }
            }
        }
    }
}

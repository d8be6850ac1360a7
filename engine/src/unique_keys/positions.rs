//! [`PositionScan`]: rows of Parquet files by their places in the files, so that the rows of unique keys are read without their keys.
//!
//! ```text
//!  keys        id, place in the file      -->  places of repeated keys, and of rows that the filters drop
//!  unique      columns of the output      -->  all other places          (a row selection of the reader)
//!  repeated    columns of the windows     -->  places of repeated keys   (likewise)
//! ```
//! The second and third scan read neither what the other alone needs nor filters over the keys: which rows pass these is known by
//! their places.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, ParquetRowSelection};
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::functions::core::file_row_index;
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{replace_children_if_necessary, reset_plan_states};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::narrow::{column_indices, narrowed, pushed_into_scan};
use super::repeated_hashes::{HashRun, RepeatedRow};
use crate::exec_util::{columns_of, projected_index};

/// One in so many rows may be left out, or stand where a stretch of rows ends; with more, row selections cost too much.
const SELECTED_SHARE: usize = 32;

/// The scans of a plan by places of rows.
#[derive(Debug, Clone)]
pub(crate) struct PositionScan {
    /// Filters and projections over a scan of Parquet files.
    rows: Arc<dyn ExecutionPlan>,
    /// The same for the rows of unique keys, perhaps with dictionary arrays for columns of strings.
    unique_rows: Arc<dyn ExecutionPlan>,
    /// The key columns of `rows`.
    columns: Vec<usize>,
    /// The key columns, and last the place of the row in its file. Each partition is a part of one file.
    keys: Arc<dyn ExecutionPlan>,
    files: Vec<ScannedFile>,
    /// The file of each partition of `keys`, as an index into `files`.
    parts: Vec<usize>,
}

/// A file and the number of its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ScannedFile {
    #[serde(serialize_with = "write_location", deserialize_with = "read_location")]
    location: Path,
    rows: u64,
}

fn write_location<S: Serializer>(location: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(location.as_ref())
}

fn read_location<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Path, D::Error> {
    let text = String::deserialize(deserializer)?;
    Path::parse(text).map_err(D::Error::custom)
}

impl PositionScan {
    /// The scans of `rows` with these key columns. `None` if `rows` is anything but filters and projections over Parquet files
    /// whose numbers of rows are known.
    ///
    /// # Errors
    /// An operator that cannot be rebuilt.
    pub(crate) fn try_new(
        rows: &Arc<dyn ExecutionPlan>,
        columns: &[usize],
        config: &ConfigOptions,
    ) -> Result<Option<Self>> {
        // with filters in the reader a scan may drop rows by other columns than the keys
        if config.execution.parquet.pushdown_filters {
            return Ok(None);
        }
        let Some((files, parts)) = scanned_files(rows) else { return Ok(None) };
        let Some(numbered) = numbered(rows)? else { return Ok(None) };
        let mut wanted = columns.to_vec();
        wanted.push(numbered.schema().fields().len() - 1);
        let keys = narrowed(&numbered, &wanted)?;
        let (rows, unique_rows) = (Arc::clone(rows), Arc::clone(rows));
        Ok(Some(Self { rows, unique_rows, columns: columns.to_vec(), keys, files, parts }))
    }

    /// The scans with another plan for the rows of unique keys, which gives the same rows in perhaps other types.
    pub(super) fn with_unique_rows(&self, unique_rows: Arc<dyn ExecutionPlan>) -> Self {
        Self { unique_rows, ..self.clone() }
    }

    pub(super) fn unique_rows(&self) -> &Arc<dyn ExecutionPlan> {
        &self.unique_rows
    }

    /// The scan of the keys.
    pub(super) fn keys(&self) -> &Arc<dyn ExecutionPlan> {
        &self.keys
    }

    /// The file of each partition of [`keys`](Self::keys).
    pub(super) fn parts(&self) -> &[usize] {
        &self.parts
    }

    /// Where the rows are; `None` if they lie in too many stretches.
    pub(super) fn positions(&self, runs: &[HashRun], repeated: &[RepeatedRow]) -> Option<RowPositions> {
        let total: usize = runs.iter().map(HashRun::rows).sum();
        let stretches: usize = runs.iter().map(|run| run.stretches().len()).sum();
        // each run begins with one
        let max_count = total / SELECTED_SHARE + runs.len() + self.parts.len();
        if repeated.len() + stretches > max_count || runs.iter().any(HashRun::is_fragmented) {
            return None;
        }
        let file = |file: &ScannedFile| FilePositions { file: file.clone(), kept: vec![], repeated: vec![] };
        let mut files: Vec<FilePositions> = self.files.iter().map(file).collect();
        for run in runs {
            for (index, stretch) in run.stretches().iter().enumerate() {
                let end = run.stretches().get(index + 1).map_or(run.rows(), |next| next.start as usize);
                let length = (end - stretch.start as usize) as u64;
                files.get_mut(stretch.file)?.kept.push((stretch.row, stretch.row + length));
            }
        }
        for row in repeated {
            let stretches = runs.get(row.run as usize)?.stretches();
            let next = stretches.partition_point(|stretch| stretch.start <= row.index);
            let stretch = stretches.get(next.checked_sub(1)?)?;
            files.get_mut(stretch.file)?.repeated.push(stretch.row + u64::from(row.index - stretch.start));
        }
        for file in &mut files {
            file.kept.sort_unstable();
            file.repeated.sort_unstable();
        }
        Some(RowPositions { files })
    }

    /// The rows of unique keys, with these columns of all rows.
    ///
    /// # Errors
    /// An operator that cannot be rebuilt.
    pub(super) fn unique(&self, columns: &[usize], positions: &RowPositions) -> Result<Arc<dyn ExecutionPlan>> {
        self.selected(&self.unique_rows, Some(columns), positions, FilePositions::unique)
    }

    /// The rows of repeated keys with all columns.
    ///
    /// # Errors
    /// An operator that cannot be rebuilt.
    pub(super) fn repeated(&self, positions: &RowPositions) -> Result<Arc<dyn ExecutionPlan>> {
        self.selected(&self.rows, None, positions, FilePositions::repeated)
    }

    fn selected(
        &self,
        rows: &Arc<dyn ExecutionPlan>,
        columns: Option<&[usize]>,
        positions: &RowPositions,
        selection: impl Fn(&FilePositions) -> RowSelection,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let selections: HashMap<&Path, RowSelection> =
            positions.files.iter().map(|file| (&file.file.location, selection(file))).collect();
        let mut plan = without_key_filters(rows, &self.columns)?;
        if let Some(columns) = columns {
            plan = narrowed(&plan, columns)?;
        }
        let plan = plan.transform_up(|plan| {
            let Some(config) = file_scan(&plan) else { return Ok(Transformed::no(plan)) };
            let select = |file: &PartitionedFile| {
                let location = &file.object_meta.location;
                let selection =
                    selections.get(location).ok_or_else(|| internal_datafusion_err!("{location} is new"))?;
                Ok(file.clone().with_extension(ParquetRowSelection::new(selection.clone())))
            };
            let groups = config
                .file_groups
                .iter()
                .map(|group| Ok(FileGroup::new(group.iter().map(select).collect::<Result<Vec<_>>>()?)));
            let builder = FileScanConfigBuilder::from(config.clone());
            let config = builder.with_file_groups(groups.collect::<Result<_>>()?).build();
            Ok(Transformed::yes(DataSourceExec::from_data_source(config) as _))
        })?;
        // a scan hands its files to its partitions once
        reset_plan_states(plan.data)
    }
}

/// Where the rows of unique and of repeated keys are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RowPositions {
    files: Vec<FilePositions>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FilePositions {
    file: ScannedFile,
    /// The stretches of rows that pass the filters, from the first row to that after the last, in order.
    kept: Vec<(u64, u64)>,
    /// Rows of repeated keys, in order.
    repeated: Vec<u64>,
}

impl RowPositions {
    /// Whether all places are in order and within their files, as those of a scan are.
    pub(super) fn is_valid(&self) -> bool {
        self.files.iter().all(|file| {
            let bounds = file.kept.iter().flat_map(|&(start, end)| [start, end]);
            bounds.is_sorted()
                && file.repeated.is_sorted()
                && file.kept.last().is_none_or(|&(_, end)| end <= file.file.rows)
                && file.repeated.last().is_none_or(|&row| row < file.file.rows)
        })
    }

    /// The number of rows with repeated keys.
    pub(super) fn repeated_count(&self) -> usize {
        self.files.iter().map(|file| file.repeated.len()).sum()
    }

    /// The memory of the places, and of the selections of two scans.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |file: &FilePositions| {
            let selectors = 2 * (file.kept.len() + file.repeated.len()) + 1;
            size_of_val(file.kept.as_slice())
                + size_of_val(file.repeated.as_slice())
                + 4 * selectors * size_of::<RowSelector>()
        };
        self.files.iter().map(bytes).sum()
    }
}

impl FilePositions {
    fn unique(&self) -> RowSelection {
        let mut selected = Selected::default();
        let mut repeated = self.repeated.iter().copied().peekable();
        for &(start, end) in &self.kept {
            let mut start = start;
            while let Some(row) = repeated.next_if(|&row| row < end) {
                selected.add(start, row);
                start = row + 1;
            }
            selected.add(start, end);
        }
        selected.finish(self.file.rows)
    }

    fn repeated(&self) -> RowSelection {
        let mut selected = Selected::default();
        self.repeated.iter().for_each(|&row| selected.add(row, row + 1));
        selected.finish(self.file.rows)
    }
}

/// A row selection that is being built.
#[derive(Default)]
struct Selected {
    selectors: Vec<RowSelector>,
    end: u64,
}

impl Selected {
    /// Adds the rows from `start` to before `end`, after those that were added before.
    fn add(&mut self, start: u64, end: u64) {
        if start < end {
            self.skip(start);
            self.selectors.push(RowSelector::select((end - start) as usize));
            self.end = end;
        }
    }

    fn skip(&mut self, start: u64) {
        if start > self.end {
            self.selectors.push(RowSelector::skip((start - self.end) as usize));
        }
    }

    fn finish(mut self, rows: u64) -> RowSelection {
        self.skip(rows);
        RowSelection::from(self.selectors)
    }
}

fn file_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

/// The files of the scan below filters and projections, and the file of each of its parts.
fn scanned_files(rows: &Arc<dyn ExecutionPlan>) -> Option<(Vec<ScannedFile>, Vec<usize>)> {
    let Some(config) = file_scan(rows) else {
        return match rows.children().as_slice() {
            [input] => scanned_files(input),
            _ => None,
        };
    };
    let source = config.file_source().downcast_ref::<ParquetSource>()?;
    if config.limit.is_some() || !source.table_schema().virtual_columns().is_empty() {
        return None;
    }
    let (mut files, mut parts): (Vec<ScannedFile>, Vec<usize>) = (vec![], vec![]);
    let mut known: HashMap<&Path, usize> = HashMap::new();
    for file in config.file_groups.iter().flat_map(FileGroup::iter) {
        if file.extension::<ParquetAccessPlan>().is_some() || file.extension::<ParquetRowSelection>().is_some() {
            return None;
        }
        let Precision::Exact(rows) = file.statistics.as_ref()?.num_rows else { return None };
        let location = &file.object_meta.location;
        let number = *known.entry(location).or_insert(files.len());
        if number == files.len() {
            files.push(ScannedFile { location: location.clone(), rows: rows as u64 });
        } else if files.get(number)?.rows != rows as u64 {
            return None;
        }
        parts.push(number);
    }
    Some((files, parts))
}

/// The plan with the place of the row in its file as its last column, in one partition for each part of a file. `None` if the
/// scan does not give it.
fn numbered(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let width = plan.schema().fields().len();
    if let Some(config) = file_scan(plan) {
        let parts = config.file_groups.iter().flat_map(FileGroup::iter);
        let groups = parts.map(|part| FileGroup::new(vec![part.clone()])).collect();
        let builder = FileScanConfigBuilder::from(config.clone());
        // without this, partitions take files from one another
        let builder = builder.with_file_groups(groups).with_preserve_order(true).with_output_partitioning(None);
        let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(builder.build());
        let mut exprs = columns_of(&scan, 0..width);
        let schema = scan.schema();
        let place = ScalarFunctionExpr::try_new(file_row_index(), vec![], &schema, Arc::default())?;
        exprs.push(ProjectionExpr { expr: Arc::new(place), alias: "file_row_index".into() });
        let plan = pushed_into_scan(ProjectionExec::try_new(exprs, scan)?)?;
        return Ok(plan.is::<DataSourceExec>().then_some(plan));
    }
    let [input] = plan.children()[..] else { return Ok(None) };
    let Some(input) = numbered(input)? else { return Ok(None) };
    let place = input.schema().fields().len() - 1;
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let mut exprs = projection.expr().to_vec();
        exprs.extend(columns_of(&input, [place]));
        return Ok(Some(Arc::new(ProjectionExec::try_new(exprs, input)?)));
    }
    let Some(filter) = plan.downcast_ref::<FilterExec>() else { return Ok(None) };
    let output = match filter.projection() {
        Some(columns) => columns.iter().copied().chain([place]).collect(),
        None => (0..=place).collect(),
    };
    let builder = FilterExecBuilder::new(Arc::clone(filter.predicate()), input);
    Ok(Some(Arc::new(builder.apply_projection(Some(output))?.build()?)))
}

/// The plan without the filters that read nothing but these columns of it.
fn without_key_filters(plan: &Arc<dyn ExecutionPlan>, keys: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let column = |&key: &usize| projection.expr().get(key)?.expr.downcast_ref::<Column>().map(Column::index);
        let keys: Vec<usize> = keys.iter().filter_map(column).collect();
        let input = without_key_filters(projection.input(), &keys)?;
        return replace_children_if_necessary(Arc::clone(plan), vec![input]);
    }
    let Some(filter) = plan.downcast_ref::<FilterExec>() else { return Ok(Arc::clone(plan)) };
    let columns = filter.projection();
    let keys: Vec<usize> = keys.iter().map(|&key| projected_index(columns.as_deref(), key)).collect();
    let input = without_key_filters(filter.input(), &keys)?;
    if !column_indices(filter.predicate()).iter().all(|column| keys.contains(column)) {
        return replace_children_if_necessary(Arc::clone(plan), vec![input]);
    }
    match columns {
        Some(columns) => {
            let exprs = columns_of(&input, columns.iter().copied());
            Ok(Arc::new(ProjectionExec::try_new(exprs, input)?))
        }
        None => Ok(input),
    }
}

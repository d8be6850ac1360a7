//! [`DictionaryScan`]: Parquet scans emit dictionary arrays for group keys of perfect hash aggregates and for expressions that are
//! evaluated on distinct strings.
//!
//! ```text
//!  PerfectHashAggregateExec: gby=[queue]             PerfectHashAggregateExec: gby=[queue], dictionary=[queue]
//!    DataSourceExec: queue Utf8View            ->      DataSourceExec: queue Dictionary(Int32, Utf8)
//!
//!  Parquet column chunk            Utf8View               Dictionary(Int32, Utf8)
//!  dictionary: sales, billing      "sales"    16 bytes    0    4 bytes, and the two strings once
//!  data: 0 1 0 0                   "billing"  16 bytes    1
//!                                  "sales"    16 bytes    0
//!                                  "sales"    16 bytes    0
//! ```
//! A reader that unpacks the dictionary writes sixteen bytes per row, only for the aggregate to look up the code of each
//! string again. With dictionary arrays the aggregate looks up each string of the dictionary once, and an expression that the rule
//! `DictionaryEvaluation` wrapped is evaluated on the strings of the dictionary. Its results are a dictionary array too where they
//! are a group key.
//!
//! # When it applies
//!
//! DataFusion fixes types at planning, so that the rule must know then that every column chunk of every file has a small
//! dictionary and no plain data page. It reads this from the footers in the session's metadata cache; a scan with a footer that
//! is not cached stays. Between scan and aggregate, only operators that pass the column through are allowed: projections,
//! filters that test at most for NULL, round-robin and hash exchanges by other columns, and the probe side of hash joins by
//! other columns, expressions on distinct strings, unions all of whose inputs have dictionaries, and the rows of unique keys.
//! Everywhere else a dictionary would have to be unpacked, or unified with those of other column chunks, which
//! costs more than it saves.
//!
//! Switch: `cxql.engine.dictionary_scan`. Threshold: `cxql.engine.dictionary_scan_bytes` (64 KiB per column chunk).

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::basic::{ConvertedType, Encoding, PageType};
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, IsNotNullExpr, IsNullExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use crate::EngineOptions;
use crate::aggregate::PerfectHashAggregateExec;
use crate::clustering::{ColumnSource, column_source};
use crate::exec_util::{parquet_source, projected_index, rewrite_plan, without_bounds};
use crate::expressions::{DictionaryEvalExpr, is_only_evaluated, only_evaluated};
use crate::unique_keys::{SplitRowsExec, UniqueKeysExec};

type Plan = Arc<dyn ExecutionPlan>;

/// Makes scans emit dictionary arrays for string columns that are group keys of a [`PerfectHashAggregateExec`], or that expressions
/// read on their distinct strings, only.
#[derive(Debug)]
pub(crate) struct DictionaryScan {
    footers: Arc<FileMetadataCache>,
}

/// The cached footers, and the limit for a dictionary.
struct Footers<'a> {
    cache: &'a FileMetadataCache,
    /// Most bytes of a column chunk's dictionary page. A larger one has more strings than a perfect hash aggregate takes.
    max_bytes: i64,
}

impl DictionaryScan {
    /// The rule for files whose footers are in `footers`; scans of other files stay.
    pub(crate) fn new(footers: Arc<FileMetadataCache>) -> Self {
        Self { footers }
    }
}

impl PhysicalOptimizerRule for DictionaryScan {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let max_bytes = i64::try_from(EngineOptions::of(config).dictionary_scan_bytes).unwrap_or(i64::MAX);
        let footers = Footers { cache: self.footers.as_ref(), max_bytes };
        rewrite_plan(plan, |plan| {
            let (columns, input) = match plan.downcast_ref::<PerfectHashAggregateExec>() {
                Some(aggregate) => (aggregate.dictionary_columns(), aggregate.input()),
                None => match evaluated_columns(plan) {
                    Some((columns, input)) => (columns, input),
                    None => return Ok(None),
                },
            };
            let (mut input, mut is_changed) = (Arc::clone(input), false);
            for column in columns {
                if let Some(changed) = dictionary_plan(&input, column, &footers)? {
                    (input, is_changed) = (changed, true);
                }
            }
            is_changed.then(|| replace_children_if_necessary(Arc::clone(plan), vec![input])).transpose()
        })
    }

    fn name(&self) -> &str {
        "dictionary_scan"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The string columns of the input of a projection or filter that expressions read only on their distinct strings, and the input.
fn evaluated_columns(plan: &Arc<dyn ExecutionPlan>) -> Option<(Vec<usize>, &Arc<dyn ExecutionPlan>)> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return Some((only_evaluated(projection.expr().iter().map(|expr| &expr.expr)), projection.input()));
    }
    let filter = plan.downcast_ref::<FilterExec>()?;
    let projection = filter.projection().as_deref();
    let is_output =
        |column: &usize| (0..plan.schema().fields().len()).any(|output| projected_index(projection, output) == *column);
    let mut columns = only_evaluated(std::iter::once(filter.predicate()));
    columns.retain(|column| !is_output(column));
    Some((columns, filter.input()))
}

/// The plan with a dictionary array as one output column; `None` if an operator needs its strings, or not all files have small
/// dictionaries for it.
fn dictionary_plan(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    footers: &Footers<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        return dictionary_source(scan, column, footers);
    }
    if let Some(unique) = plan.downcast_ref::<UniqueKeysExec>() {
        return dictionary_unique(unique, column, footers);
    }
    if plan.is::<UnionExec>() {
        let inputs = plan.children().into_iter().map(|input| dictionary_plan(input, column, footers));
        let inputs = inputs.collect::<Result<Option<Vec<Plan>>>>()?;
        // results of expressions may be dictionaries of other strings
        let data_type = |input: &Plan| input.schema().fields().get(column).map(|field| field.data_type().clone());
        let is_same = |inputs: &Vec<Plan>| inputs.windows(2).all(|pair| data_type(&pair[0]) == data_type(&pair[1]));
        return inputs.filter(is_same).map(UnionExec::try_new).transpose();
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>()
        && let Some(evaluated) = evaluated_projection(projection, column, footers)?
    {
        return Ok(Some(evaluated));
    }
    let Some(ColumnSource { child, column }) = column_source(plan, column) else { return Ok(None) };
    if needs_strings(plan, column) {
        return Ok(None);
    }
    let mut children: Vec<_> = plan.children().into_iter().cloned().collect();
    let Some(input) = dictionary_plan(&children[child], column, footers)? else { return Ok(None) };
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        // `with_new_children` would keep the old schema, with strings
        return Ok(Some(Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), input)?)));
    }
    children[child] = input;
    replace_children_if_necessary(Arc::clone(plan), children).map(Some)
}

/// Windows over repeated keys with dictionary arrays as a column of the rows whose keys occur once; the windows read strings.
fn dictionary_unique(
    unique: &UniqueKeysExec,
    column: usize,
    footers: &Footers<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some([rows, scanned]) = unique.unique_rows() else { return Ok(None) };
    let mut path = vec![];
    let (mut plan, mut column) = (rows, column);
    let leaf = loop {
        if let Some(leaf) = plan.downcast_ref::<SplitRowsExec>() {
            break leaf;
        }
        let Some(source) = column_source(plan, column) else { return Ok(None) };
        if needs_strings(plan, source.column) {
            return Ok(None);
        }
        path.push(plan);
        let Some(input) = plan.children().get(source.child).copied() else { return Ok(None) };
        (plan, column) = (input, source.column);
    };
    let Some((leaf, column)) = leaf.with_dictionary(column, dictionary_type()) else { return Ok(None) };
    let Some(scanned) = dictionary_plan(scanned, column, footers)? else { return Ok(None) };
    let mut rows: Arc<dyn ExecutionPlan> = Arc::new(leaf);
    for plan in path.into_iter().rev() {
        rows = match plan.downcast_ref::<ProjectionExec>() {
            // `with_new_children` would keep the old schema, with strings
            Some(projection) => Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), rows)?),
            None => replace_children_if_necessary(Arc::clone(plan), vec![rows])?,
        };
    }
    Ok(Some(Arc::new(unique.with_unique_rows(rows, scanned))))
}

/// The projection with dictionary arrays as the output of an expression that is evaluated on distinct strings; `None` for others.
fn evaluated_projection(
    projection: &ProjectionExec,
    column: usize,
    footers: &Footers<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut exprs = projection.expr().to_vec();
    let Some(output) = exprs.get_mut(column) else { return Ok(None) };
    let Some(evaluated) = output.expr.downcast_ref::<DictionaryEvalExpr>() else { return Ok(None) };
    let read = evaluated.column();
    let Some(evaluated) = evaluated.with_dictionary_output()? else { return Ok(None) };
    output.expr = Arc::new(evaluated);
    let mut input = Arc::clone(projection.input());
    if exprs.iter().all(|expr| is_only_evaluated(&expr.expr, read))
        && let Some(dictionaries) = dictionary_plan(&input, read, footers)?
    {
        input = dictionaries;
    }
    Ok(Some(Arc::new(ProjectionExec::try_new(exprs, input)?)))
}

/// Returns true if an operator needs the strings of an input column themselves, or would have to unify dictionaries.
fn needs_strings(plan: &Arc<dyn ExecutionPlan>, column: usize) -> bool {
    if plan.is::<CooperativeExec>() {
        return false;
    }
    if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        return match repartition.partitioning() {
            Partitioning::RoundRobinBatch(_) | Partitioning::UnknownPartitioning(_) => false,
            Partitioning::Hash(keys, _) => keys.iter().any(|key| refers_to(key, column)),
            _ => true,
        };
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return !only_tests_null(filter.predicate(), column);
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        // once as itself
        return projection.expr().iter().filter(|expr| !is_only_evaluated(&expr.expr, column)).count() > 1;
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return join.filter().is_some() || join.on().iter().any(|(_, key)| refers_to(key, column));
    }
    true
}

/// Returns true if an expression refers to a column.
fn refers_to(expr: &Arc<dyn PhysicalExpr>, column: usize) -> bool {
    collect_columns(expr).iter().any(|known| known.index() == column)
}

/// The column that the expression at `index` is, if no other expression refers to it.
fn only_column(exprs: &[&Arc<dyn PhysicalExpr>], index: usize) -> Option<usize> {
    let column = exprs.get(index)?.downcast_ref::<Column>()?.index();
    let is_only = exprs.iter().enumerate().all(|(other, expr)| other == index || !refers_to(expr, column));
    is_only.then_some(column)
}

/// Returns true if a condition uses a column in IS NULL and IS NOT NULL, and in expressions evaluated on distinct strings, only.
fn only_tests_null(expr: &Arc<dyn PhysicalExpr>, column: usize) -> bool {
    if expr.is::<IsNullExpr>() || expr.is::<IsNotNullExpr>() {
        let is_column = |arg: &&Arc<dyn PhysicalExpr>| arg.is::<Column>();
        return expr.children().iter().all(|arg| is_column(arg) || only_tests_null(arg, column));
    }
    if expr.is::<DictionaryEvalExpr>() {
        return true;
    }
    match expr.downcast_ref::<Column>() {
        Some(known) => known.index() != column,
        None => expr.children().into_iter().all(|part| only_tests_null(part, column)),
    }
}

/// The scan with a dictionary array as one output column.
fn dictionary_source(
    scan: &DataSourceExec,
    column: usize,
    footers: &Footers<'_>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else { return Ok(None) };
    let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else { return Ok(None) };
    let Some(projection) = source.projection() else { return Ok(None) };
    let exprs: Vec<_> = projection.iter().map(|expr| &expr.expr).collect();
    let Some(column) = only_column(&exprs, column) else { return Ok(None) };
    let table = source.table_schema();
    let Some(field) = table.file_schema().fields().get(column) else { return Ok(None) };
    let is_free = source.filter().is_none_or(|filter| only_tests_null(&filter, column));
    if !matches!(field.data_type(), DataType::Utf8 | DataType::Utf8View)
        || !is_free
        || !table.virtual_columns().is_empty()
    {
        return Ok(None);
    }
    let mut groups = Vec::with_capacity(config.file_groups.len());
    for group in &config.file_groups {
        let known: Option<Vec<PartitionedFile>> =
            group.iter().map(|file| dictionary_file(file, field.name(), footers)).collect();
        let Some(known) = known else { return Ok(None) };
        groups.push(match group.file_statistics(None) {
            Some(statistics) => FileGroup::new(known).with_statistics(Arc::new(statistics.clone())),
            None => FileGroup::new(known),
        });
    }

    let dictionaries = dictionary_schema(table.file_schema(), field.name());
    let table =
        TableSchema::builder(dictionaries).with_table_partition_cols(table.table_partition_cols().clone()).build();
    let new = parquet_source(source, table);
    let Some(new) = new.try_pushdown_projection(projection)? else { return Ok(None) };
    let mut statistics = config.statistics();
    if let Some(known) = statistics.column_statistics.get_mut(column) {
        *known = without_bounds(known);
    }
    let config = FileScanConfigBuilder::from(config.clone())
        .with_statistics(statistics)
        .with_file_groups(groups)
        .with_source(new)
        .build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The schema with a dictionary of strings as the type of one column.
fn dictionary_schema(schema: &Schema, name: &str) -> SchemaRef {
    let data_type = dictionary_type();
    let fields = schema.fields().iter().map(|field| match field.name() == name {
        true => Arc::new(Field::clone(field).with_data_type(data_type.clone())),
        false => Arc::clone(field),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The file with a dictionary as the reader's type of a column; `None` if its footer is not cached, or a column chunk has no
/// small dictionary.
fn dictionary_file(file: &PartitionedFile, name: &str, footers: &Footers<'_>) -> Option<PartitionedFile> {
    let known = footers.cache.get(&file.object_meta.location).filter(|known| known.is_valid_for(&file.object_meta))?;
    let footer = known.file_metadata.as_ref().as_any().downcast_ref::<CachedParquetMetaData>()?.parquet_metadata();
    if !has_small_dictionaries(footer, name, footers.max_bytes) {
        return None;
    }
    let metadata = footer.file_metadata();
    let schema = match &file.arrow_schema {
        Some(schema) => Arc::clone(schema),
        None => Arc::new(parquet_to_arrow_schema(metadata.schema_descr(), metadata.key_value_metadata()).ok()?),
    };
    let is_string =
        |field: &Field| matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    schema
        .field_with_name(name)
        .is_ok_and(is_string)
        .then(|| file.clone().with_arrow_schema(dictionary_schema(&schema, name)))
}

/// Returns true if all column chunks of a string column have small dictionaries.
fn has_small_dictionaries(footer: &ParquetMetaData, name: &str, max_bytes: i64) -> bool {
    let columns = footer.file_metadata().schema_descr().columns();
    let leaves: Vec<usize> = (0..columns.len()).filter(|&leaf| columns[leaf].path().parts() == [name]).collect();
    let [leaf] = leaves[..] else { return false };
    let descriptor = &columns[leaf];
    descriptor.converted_type() == ConvertedType::UTF8
        && descriptor.max_rep_level() == 0
        && footer.row_groups().iter().all(|row_group| is_dictionary_encoded(row_group.column(leaf), max_bytes))
}

/// Returns true if a column chunk has a small dictionary page and no data page with another encoding. A writer switches to plain
/// pages in the middle of a chunk when the dictionary grows too large.
fn is_dictionary_encoded(chunk: &ColumnChunkMetaData, max_bytes: i64) -> bool {
    let is_small = chunk
        .dictionary_page_offset()
        .is_some_and(|start| (0..=max_bytes).contains(&(chunk.data_page_offset() - start)));
    let is_dictionary = |encoding| matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
    let are_dictionary = match (chunk.page_encoding_stats_mask(), chunk.page_encoding_stats()) {
        (Some(data), _) => data.encodings().all(is_dictionary),
        (None, Some(pages)) => {
            let is_data = |kind| matches!(kind, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
            pages.iter().all(|page| !is_data(page.page_type) || is_dictionary(page.encoding))
        }
        (None, None) => false,
    };
    is_small && are_dictionary
}

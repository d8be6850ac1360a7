//! Texts as Parquet files have them: a dictionary, and a number for each row.
//!
//! A reader that makes texts of the numbers writes sixteen bytes a row, only for a group-by to look up the number of each.
//! Where every part of every file has a small dictionary, the scan gives numbers and dictionary instead, and a group-by
//! looks up the texts of the dictionary alone.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{ColumnStatistics, JoinType, Result, Statistics};
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
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use super::CodedAggregateExec;
use crate::plans::{picked, replaced};

/// The most bytes of a part's dictionary in its file. Larger ones have many texts, and groups of those have no numbers.
const DICTIONARY_BYTES: i64 = 64 << 10;

/// Lets scans below a [`CodedAggregateExec`] give numbers and dictionaries for the texts by which it groups.
#[derive(Debug)]
pub struct ReadNumbers {
    files: Arc<FileMetadataCache>,
}

impl ReadNumbers {
    /// The rule for files whose footers are in `files`; others are read as they were.
    pub fn new(files: Arc<FileMetadataCache>) -> Self {
        Self { files }
    }
}

impl PhysicalOptimizerRule for ReadNumbers {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        replaced(plan, |plan| {
            let Some(aggregate) = plan.downcast_ref::<CodedAggregateExec>() else { return Ok(None) };
            let (mut input, mut is_changed) = (Arc::clone(&aggregate.input), false);
            for column in aggregate.text_keys() {
                if let Some(changed) = numbered(&input, column, self.files.as_ref())? {
                    (input, is_changed) = (changed, true);
                }
            }
            is_changed.then(|| replace_children_if_necessary(Arc::clone(plan), vec![input])).transpose()
        })
    }

    fn name(&self) -> &str {
        "read_numbers"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan with numbers and a dictionary for the texts of one column; `None` if something needs the texts, or the files do
/// not have them so.
fn numbered(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    files: &FileMetadataCache,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        return scanned(scan, column, files);
    }
    let Some((child, column)) = below(plan, column) else { return Ok(None) };
    let mut children: Vec<_> = plan.children().into_iter().cloned().collect();
    let Some(input) = numbered(&children[child], column, files)? else { return Ok(None) };
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        // over another input it would go on to say that it gives texts
        return Ok(Some(Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), input)?)));
    }
    children[child] = input;
    replace_children_if_necessary(Arc::clone(plan), children).map(Some)
}

/// Which column of which input a column is, where the operator only passes it on, batch by batch.
fn below(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<(usize, usize)> {
    if plan.is::<CooperativeExec>() {
        return Some((0, column));
    }
    if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        let is_free = match repartition.partitioning() {
            Partitioning::RoundRobinBatch(_) | Partitioning::UnknownPartitioning(_) => true,
            Partitioning::Hash(keys, _) => !keys.iter().any(|key| has(key, column)),
            _ => false,
        };
        return is_free.then_some((0, column));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let column = picked(filter.projection().as_deref(), column);
        return asks_for_null_only(filter.predicate(), column).then_some((0, column));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let exprs: Vec<_> = projection.expr().iter().map(|expr| &expr.expr).collect();
        return only_column(&exprs, column).map(|column| (0, column));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let column = picked(join.projection.as_deref(), column);
        // the left side is held, and its dictionaries would be brought together
        let column = column.checked_sub(join.left().schema().fields().len())?;
        let has_both = matches!(join.join_type(), JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full);
        let is_free = join.on().iter().all(|(_, key)| !has(key, column)) && join.filter().is_none();
        return (has_both && is_free).then_some((1, column));
    }
    None
}

fn has(expr: &Arc<dyn PhysicalExpr>, column: usize) -> bool {
    collect_columns(expr).iter().any(|known| known.index() == column)
}

/// The column that the expression at `place` is, if no other has it.
fn only_column(exprs: &[&Arc<dyn PhysicalExpr>], place: usize) -> Option<usize> {
    let column = exprs.get(place)?.downcast_ref::<Column>()?.index();
    let is_only = exprs.iter().enumerate().all(|(other, expr)| other == place || !has(expr, column));
    is_only.then_some(column)
}

/// Whether a condition asks nothing of a column but whether it is NULL.
fn asks_for_null_only(expr: &Arc<dyn PhysicalExpr>, column: usize) -> bool {
    if expr.is::<IsNullExpr>() || expr.is::<IsNotNullExpr>() {
        let is_column = |arg: &&Arc<dyn PhysicalExpr>| arg.is::<Column>();
        return expr.children().iter().all(|arg| is_column(arg) || asks_for_null_only(arg, column));
    }
    match expr.downcast_ref::<Column>() {
        Some(known) => known.index() != column,
        None => expr.children().into_iter().all(|part| asks_for_null_only(part, column)),
    }
}

/// A scan with numbers and a dictionary for one column.
fn scanned(scan: &DataSourceExec, column: usize, files: &FileMetadataCache) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else { return Ok(None) };
    let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else { return Ok(None) };
    let Some(projection) = source.projection() else { return Ok(None) };
    let exprs: Vec<_> = projection.iter().map(|expr| &expr.expr).collect();
    let Some(column) = only_column(&exprs, column) else { return Ok(None) };
    let table = source.table_schema();
    let Some(field) = table.file_schema().fields().get(column) else { return Ok(None) };
    let is_free = source.filter().is_none_or(|filter| asks_for_null_only(&filter, column));
    if field.data_type() != &DataType::Utf8View || !is_free || !table.virtual_columns().is_empty() {
        return Ok(None);
    }
    let mut groups = Vec::with_capacity(config.file_groups.len());
    for group in &config.file_groups {
        let known: Option<Vec<PartitionedFile>> =
            group.iter().map(|file| as_numbers(file, field.name(), files)).collect();
        let Some(known) = known else { return Ok(None) };
        groups.push(match group.file_statistics(None) {
            Some(statistics) => FileGroup::new(known).with_statistics(Arc::new(statistics.clone())),
            None => FileGroup::new(known),
        });
    }

    let numbers = with_numbers(table.file_schema(), field.name());
    let table = TableSchema::builder(numbers).with_table_partition_cols(table.table_partition_cols().clone()).build();
    let options = source.table_parquet_options();
    let mut new = ParquetSource::new(table).with_table_parquet_options(options.clone());
    if let Some(hint) = options.global.metadata_size_hint {
        new = new.with_metadata_size_hint(hint);
    }
    if let Some(factory) = source.parquet_file_reader_factory() {
        new = new.with_parquet_file_reader_factory(Arc::clone(factory));
    }
    if let Some(predicate) = source.filter() {
        new = new.with_predicate(predicate);
    }
    let Some(new) = new.try_pushdown_projection(projection)? else { return Ok(None) };
    let config = FileScanConfigBuilder::from(config.clone())
        .with_statistics(without_bounds(config.statistics(), column))
        .with_file_groups(groups)
        .with_source(new)
        .build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// The least and greatest text are none of a dictionary's.
fn without_bounds(mut statistics: Statistics, column: usize) -> Statistics {
    if let Some(known) = statistics.column_statistics.get_mut(column) {
        *known = ColumnStatistics { null_count: known.null_count, ..ColumnStatistics::new_unknown() };
    }
    statistics
}

fn with_numbers(schema: &Schema, name: &str) -> SchemaRef {
    let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = schema.fields().iter().map(|field| match field.name() == name {
        true => Arc::new(Field::clone(field).with_data_type(kind.clone())),
        false => Arc::clone(field),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The file with numbers and a dictionary for a column; `None` if it has them not everywhere, or is not known.
fn as_numbers(file: &PartitionedFile, name: &str, files: &FileMetadataCache) -> Option<PartitionedFile> {
    let known = files.get(&file.object_meta.location).filter(|known| known.is_valid_for(&file.object_meta))?;
    let footer = known.file_metadata.as_ref().as_any().downcast_ref::<CachedParquetMetaData>()?.parquet_metadata();
    if !has_numbers(footer, name) {
        return None;
    }
    let about = footer.file_metadata();
    let schema = match &file.arrow_schema {
        Some(schema) => Arc::clone(schema),
        None => Arc::new(parquet_to_arrow_schema(about.schema_descr(), about.key_value_metadata()).ok()?),
    };
    let is_text =
        |field: &Field| matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    schema.field_with_name(name).is_ok_and(is_text).then(|| file.clone().with_arrow_schema(with_numbers(&schema, name)))
}

/// Whether all parts of a file have a column's texts in small dictionaries.
fn has_numbers(footer: &ParquetMetaData, name: &str) -> bool {
    let columns = footer.file_metadata().schema_descr().columns();
    let places: Vec<usize> = (0..columns.len()).filter(|&place| columns[place].path().parts() == [name]).collect();
    let [place] = places[..] else { return false };
    let about = &columns[place];
    about.converted_type() == ConvertedType::UTF8
        && about.max_rep_level() == 0
        && footer.row_groups().iter().all(|part| is_numbered(part.column(place)))
}

fn is_numbered(part: &ColumnChunkMetaData) -> bool {
    let is_small = part
        .dictionary_page_offset()
        .is_some_and(|start| (0..=DICTIONARY_BYTES).contains(&(part.data_page_offset() - start)));
    let is_number = |encoding| matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
    let are_numbers = match (part.page_encoding_stats_mask(), part.page_encoding_stats()) {
        (Some(data), _) => data.encodings().all(is_number),
        (None, Some(pages)) => {
            let is_data = |kind| matches!(kind, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
            pages.iter().all(|page| !is_data(page.page_type) || is_number(page.encoding))
        }
        (None, None) => false,
    };
    is_small && are_numbers
}

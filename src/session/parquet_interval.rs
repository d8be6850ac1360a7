//! Refuses to read Parquet columns of intervals whose months would be lost.
//!
//! Parquet's INTERVAL has months, days and milliseconds. The reader knows from the Arrow schema of a file which of them there
//! are; in a file without one, as DuckDB writes it, it takes days and milliseconds, and `1 month 2 days` is read as `2 days`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::parquet::arrow::ARROW_SCHEMA_META_KEY;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;

/// Checks all scans of a plan; files whose footer is not in the cache pass.
///
/// # Errors
/// A column of intervals is read from a file without an Arrow schema.
pub(super) fn check(plan: &Arc<dyn ExecutionPlan>, footers: &FileMetadataCache) -> Result<()> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        check_scan(scan, footers)?;
    }
    plan.children().into_iter().try_for_each(|child| check(child, footers))
}

fn check_scan(scan: &DataSourceExec, footers: &FileMetadataCache) -> Result<()> {
    let Some(config) = scan.data_source().downcast_ref::<FileScanConfig>() else { return Ok(()) };
    let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else { return Ok(()) };
    let fields = source.table_schema().file_schema().fields();
    if !fields.iter().any(|field| matches!(field.data_type(), DataType::Interval(_))) {
        return Ok(());
    }
    let projected = source.projection().into_iter().flat_map(|projection| projection.iter().map(|part| &part.expr));
    let filter = source.filter();
    let columns = projected.chain(filter.as_ref()).flat_map(collect_columns);
    for column in columns {
        let Some(field) = fields.get(column.index()) else { continue };
        if !matches!(field.data_type(), DataType::Interval(_)) {
            continue;
        }
        for file in config.file_groups.iter().flat_map(|group| group.iter()) {
            let known = footers.get(&file.object_meta.location);
            let Some(known) = known.filter(|known| known.is_valid_for(&file.object_meta)) else { continue };
            let Some(cached) = known.file_metadata.as_ref().as_any().downcast_ref::<CachedParquetMetaData>() else {
                continue;
            };
            let pairs = cached.parquet_metadata().file_metadata().key_value_metadata();
            if !pairs.is_some_and(|pairs| pairs.iter().any(|pair| pair.key == ARROW_SCHEMA_META_KEY)) {
                return plan_err!(
                    "the column {} of {} is a Parquet INTERVAL, whose months cannot be read; write it as text or as seconds \
                     (in DuckDB: epoch(x))",
                    field.name(),
                    file.object_meta.location
                );
            }
        }
    }
    Ok(())
}

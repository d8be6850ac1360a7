//! [`FloatStatistics`]: Parquet statistics do not replace a float column by a constant.
//!
//! ```text
//!  file of y = 1, NaN, 1; statistics min 1, max 1, no NULL      DataFusion reads 1, 1, 1        with the rule 1, NaN, 1
//! ```
//! Parquet's statistics leave NaN out, so that the greatest value of a float column is unknown, and its least value is a
//! bound. The rule says so in the statistics of each file, from which DataFusion takes constants when it opens it; predicates
//! that statistics prune are those of `float_equality`. Switch: `cxql.engine.float_statistics`.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::exec_util::rewrite_plan;

/// See the page of this module.
#[derive(Debug)]
pub(crate) struct FloatStatistics;

impl PhysicalOptimizerRule for FloatStatistics {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite_plan(plan, |plan| Ok(plan.downcast_ref::<DataSourceExec>().and_then(without_constants)))
    }

    fn name(&self) -> &str {
        "float_statistics"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan with weaker statistics; `None` if there are none of floats.
fn without_constants(scan: &DataSourceExec) -> Option<Arc<dyn ExecutionPlan>> {
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let schema = config.file_source().table_schema().table_schema();
    if !schema.fields().iter().any(|field| field.data_type().is_floating()) {
        return None;
    }
    let mut is_changed = false;
    let mut groups = Vec::with_capacity(config.file_groups.len());
    for group in &config.file_groups {
        let mut files = Vec::with_capacity(group.len());
        for file in group.iter() {
            let mut file = file.clone();
            if let Some(known) = file.statistics.as_ref().and_then(|statistics| weakened(statistics, schema)) {
                file.statistics = Some(Arc::new(known));
                is_changed = true;
            }
            files.push(file);
        }
        groups.push(match group.file_statistics(None) {
            Some(known) => {
                let known = weakened(known, schema).unwrap_or_else(|| known.clone());
                FileGroup::new(files).with_statistics(Arc::new(known))
            }
            None => FileGroup::new(files),
        });
    }
    is_changed.then(|| {
        let known = config.statistics();
        let known = weakened(&known, schema).unwrap_or(known);
        let config =
            FileScanConfigBuilder::from(config.clone()).with_file_groups(groups).with_statistics(known).build();
        DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>
    })
}

/// Statistics without exact bounds of floats; `None` if they have none.
fn weakened(statistics: &Statistics, schema: &Schema) -> Option<Statistics> {
    let is_exact = |(index, field): (usize, &Arc<datafusion::arrow::datatypes::Field>)| {
        let column = statistics.column_statistics.get(index);
        field.data_type().is_floating() && column.is_some_and(|column| column.max_value != Precision::Absent)
    };
    let exact: Vec<usize> =
        schema.fields().iter().enumerate().filter(|field| is_exact(*field)).map(|(index, _)| index).collect();
    if exact.is_empty() {
        return None;
    }
    let mut statistics = statistics.clone();
    for index in exact {
        if let Some(column) = statistics.column_statistics.get_mut(index) {
            column.max_value = Precision::Absent;
            column.min_value = std::mem::take(&mut column.min_value).to_inexact();
        }
    }
    Some(statistics)
}

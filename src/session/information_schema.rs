//! The information schema over what can be planned.
//!
//! DataFusion plans every view and report to list its columns, and the first that fails would fail the listing, also SHOW
//! COLUMNS of another table: in a project without the tables of the interaction model the shipped views fail. Here a view
//! that fails has no columns, as in the metadata of the server. A statement that names it has the error of planning it.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::information_schema::{INFORMATION_SCHEMA, InformationSchemaProvider};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableType};

/// The tables of the information schema that plan the views that they list.
const PLANNING_TABLES: [&str; 2] = ["columns", "views"];

/// Replaces scans of these tables by scans that leave out what cannot be planned.
///
/// # Errors
/// None of its own: those of DataFusion's traversal.
pub(super) async fn leave_out_unplannable(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let catalogs = PlannableCatalogs(Arc::clone(state.catalog_list()));
    let provider = InformationSchemaProvider::new(Arc::new(catalogs));
    let mut sources = HashMap::new();
    for name in PLANNING_TABLES {
        if let Some(table) = provider.table(name).await? {
            sources.insert(name, provider_as_source(table));
        }
    }
    let replaced = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) if scan.table_name.schema() == Some(INFORMATION_SCHEMA) => {
            let Some(source) = sources.get(scan.table_name.table()) else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            scan.source = Arc::clone(source);
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(replaced.data)
}

/// Catalogs in which a table that cannot be planned is not there.
#[derive(Debug)]
struct PlannableCatalogs(Arc<dyn CatalogProviderList>);

impl CatalogProviderList for PlannableCatalogs {
    fn register_catalog(&self, name: String, catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        self.0.register_catalog(name, catalog)
    }

    fn catalog_names(&self) -> Vec<String> {
        self.0.catalog_names()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(PlannableCatalog(self.0.catalog(name)?)))
    }
}

#[derive(Debug)]
struct PlannableCatalog(Arc<dyn CatalogProvider>);

impl CatalogProvider for PlannableCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(PlannableSchema(self.0.schema(name)?)))
    }
}

#[derive(Debug)]
struct PlannableSchema(Arc<dyn SchemaProvider>);

#[async_trait]
impl SchemaProvider for PlannableSchema {
    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.table(name).await.unwrap_or_default())
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        self.0.table_type(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }
}

//! The schema `reports`: every report whose parameters all have defaults is a view of its first section.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::TableType;

use super::plan::plan_statement;
use super::{Library, ReportFile};
use crate::error::{Error, Result};
use crate::session::{REPORTS, Session};

/// Registers the schema `reports` in a session.
///
/// # Errors
/// The catalog rejects the schema.
pub(crate) fn register(session: &Arc<Session>, library: &Library) -> Result<()> {
    let files: HashMap<String, ReportFile> =
        library.reports().into_iter().map(|file| (file.name.to_lowercase(), file.clone())).collect();
    let schema = ReportSchema { files, planned: Mutex::default(), session: Arc::downgrade(session) };
    session.add_schema(REPORTS, Arc::new(schema))
}

#[derive(Debug)]
struct ReportSchema {
    files: HashMap<String, ReportFile>,
    planned: Mutex<HashMap<String, Arc<dyn TableProvider>>>,
    session: Weak<Session>,
}

impl ReportSchema {
    async fn plan(&self, file: &ReportFile) -> Result<Arc<dyn TableProvider>> {
        let session = self.session.upgrade();
        let session = session.ok_or_else(|| Error::Engine { message: "the session has ended".into() })?;
        let report = file.parse()?;
        if let Some(param) = report.params.iter().find(|param| param.default.is_none()) {
            return Err(Error::at(
                &report.source,
                Some(param.spot),
                format!("reports.{} cannot be read: its parameter `{}` has no default", report.name, param.name),
            )
            .help(format!("run it with `cxql run {} -p {}=...`, or give it a default", report.name, param.name)));
        }
        let values = report.bind(&Default::default())?;
        let name = format!("{REPORTS}.{}", file.name.to_lowercase());
        let planning = Box::pin(plan_statement(&session, &report, &report.sections[0].statement, &values));
        let plan = session.planning(&name, &report.source, planning).await?;
        Ok(Arc::new(ViewTable::new(plan, Some(report.source.text.to_string()))))
    }
}

#[async_trait]
impl SchemaProvider for ReportSchema {
    fn table_names(&self) -> Vec<String> {
        let has_defaults = |file: &&ReportFile| file.parse().is_ok_and(|report| report.has_defaults());
        let mut names: Vec<String> =
            self.files.values().filter(has_defaults).map(|file| file.name.to_lowercase()).collect();
        names.sort();
        names
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if let Some(session) = self.session.upgrade() {
            session.record_read(&format!("{REPORTS}.{name}"));
        }
        let known = self.planned.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone);
        if known.is_some() {
            return Ok(known);
        }
        let Some(file) = self.files.get(name) else { return Ok(None) };
        let view = self.plan(file).await?;
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), Arc::clone(&view));
        Ok(Some(view))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }
}

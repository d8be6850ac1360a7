//! The schema `reports`: every report is a view of its first section, with the defaults of its parameters, or with
//! arguments: `reports.NAME(since => date '2025-12-01')`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::ViewTable;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::TableType;

use super::plan::{plan_notes, plan_statement};
use super::{BoundValues, Library, Param, Report, ReportFile};
use crate::error::{Error, Result};
use crate::session::{CallParameter, CallableReports, REPORTS, ReportNotes, Session, base_name, decoded};

/// Registers the schema `reports` in a session.
///
/// # Errors
/// The catalog rejects the schema.
pub(crate) fn register(session: &Arc<Session>, library: &Library) -> Result<()> {
    let files: HashMap<String, ReportFile> =
        library.reports().into_iter().map(|file| (file.name.to_lowercase(), file.clone())).collect();
    let schema = Arc::new(ReportSchema { files, planned: Mutex::default(), session: Arc::downgrade(session) });
    session.set_callable_reports(Arc::clone(&schema) as Arc<dyn CallableReports>);
    session.add_schema(REPORTS, schema)
}

/// A planned report, with the generation of the tables that it was planned over.
type PlannedReport = (u64, Arc<dyn TableProvider>);

#[derive(Debug)]
struct ReportSchema {
    files: HashMap<String, ReportFile>,
    planned: Mutex<HashMap<String, PlannedReport>>,
    session: Weak<Session>,
}

impl ReportSchema {
    /// Plans a report. `call` is the name of the table that stands for a call with arguments.
    async fn plan(&self, file: &ReportFile, call: Option<&str>) -> Result<Arc<dyn TableProvider>> {
        let session = self.session.upgrade();
        let session = session.ok_or_else(|| Error::Engine { message: "the session has ended".into() })?;
        let report = file.parse()?;
        let values = bound(&report, call)?;
        let name = format!("{REPORTS}.{}", file.name.to_lowercase());
        let planning = Box::pin(plan_statement(&session, &report, &report.sections[0].statement, &values));
        let plan = session.planning(&name, &report.source, planning).await?;
        Ok(Arc::new(ViewTable::new(plan, Some(report.source.text.to_string()))))
    }
}

/// The values of a report's parameters: the arguments of a call, and defaults.
fn bound(report: &Report, call: Option<&str>) -> Result<BoundValues> {
    let given = match call {
        Some(call) => decoded(call, &parameters(report))?,
        None => BTreeMap::new(),
    };
    let mut values = BoundValues::with_capacity(report.params.len());
    for param in &report.params {
        let value = given.get(&param.name).or(param.default.as_ref().map(|(_, value)| value)).cloned();
        values.push(value.ok_or_else(|| {
            let title =
                format!("reports.{} cannot be read: its parameter `{}` has no default", report.name, param.name);
            let (name, example) = (&param.name, param.param_type.sql_example());
            Error::at(&report.source, Some(param.spot), title)
                .help(format!("read reports.{}({name} => {example})", report.name))
                .help(format!("run it with `cxql run {} -p {name}=...`, or give it a default", report.name))
        })?);
    }
    Ok(values)
}

fn parameters(report: &Report) -> Vec<CallParameter> {
    let parameter = |param: &Param| CallParameter {
        name: param.name.clone(),
        param_type: param.param_type,
        domain: param.domain.clone(),
        is_needed: param.default.is_none(),
    };
    report.params.iter().map(parameter).collect()
}

#[async_trait]
impl CallableReports for ReportSchema {
    fn parameters(&self, report: &str) -> Result<Option<Vec<CallParameter>>> {
        let Some(file) = self.files.get(report) else { return Ok(None) };
        Ok(Some(parameters(&file.parse()?)))
    }

    fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    async fn notes(&self, name: &str) -> Result<Option<ReportNotes>> {
        let report = base_name(name);
        let (Some(session), Some(file)) = (self.session.upgrade(), self.files.get(report)) else { return Ok(None) };
        let parsed = file.parse()?;
        let values = bound(&parsed, (report != name).then_some(name))?;
        let plans = plan_notes(&session, &parsed, &values).await?;
        Ok(Some(ReportNotes { source: Arc::clone(&parsed.source), plans }))
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
        let report = base_name(name);
        if let Some(session) = self.session.upgrade() {
            session.record_read(&format!("{REPORTS}.{name}"));
        }
        if report != name {
            // a call is planned each time: its arguments are of one statement
            return match self.files.get(report) {
                Some(file) => Ok(Some(self.plan(file, Some(name)).await?)),
                None => Ok(None),
            };
        }
        let Some(file) = self.files.get(name) else { return Ok(None) };
        let session =
            self.session.upgrade().ok_or_else(|| Error::Engine { message: "the session has ended".into() })?;
        session.refresh(&format!("{REPORTS}.{name}")).await?;
        let generation = session.generation();
        let known = self.planned.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((_, view)) = known.filter(|(planned, _)| *planned == generation) {
            return Ok(Some(view));
        }
        let view = self.plan(file, None).await?;
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.insert(name.to_string(), (generation, Arc::clone(&view)));
        Ok(Some(view))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.files.contains_key(base_name(name))
    }
}

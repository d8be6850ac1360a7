//! The only place that builds a DataFusion session: limits, object stores, tables, views, functions.

mod access;
mod addresses;
mod arrow_files;
mod calls;
mod catalog;
mod caught_format;
mod csv;
mod diagnose;
mod dictionary_bounds;
mod discover;
mod divisions;
mod duplicates;
#[cfg(test)]
pub(crate) mod faults;
mod file_table;
mod headings;
mod interval_units;
mod joins;
mod labels;
mod memory;
pub(crate) mod model;
mod ndjson;
mod parquet_interval;
mod pinned;
mod reads;
mod retry;
mod run;
mod settings;
mod spill_folders;
mod sql_types;
mod statement;
mod stores;
mod tables;
mod virtual_table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use cxql_engine::EngineOptions;
use cxql_engine::memory::SpillHeadroomPool;
use cxql_engine::unique_keys::KeyScanStore;
use cxql_udfs::business_time::Calendars;
use cxql_udfs::privacy::PrivacySettings;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::config::{ConfigNonZeroUsize, ConfigOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, SetVariable, Statement as PlanStatement};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use object_store::ObjectStore;
use url::Url;

use self::access::AccessPolicy;
pub(crate) use self::access::{ADMIN, ReadAccess, Role};
pub(crate) use self::addresses::data_url;
use self::addresses::table_address;
pub(crate) use self::calls::{CallParameter, CallableReports, ReportNotes, StatementValues, base_name, decoded};
use self::catalog::ProjectSchema;
pub(crate) use self::catalog::View;
pub(crate) use self::diagnose::{changed, clause_error, is_missing, nearest_keyword};
pub(crate) use self::memory::default_memory;
pub(crate) use self::run::SharedPlan;
pub(crate) use self::spill_folders::remove_spill_folders;
use self::spill_folders::spill_folder;
pub(crate) use self::virtual_table::{RowSource, VirtualTable};
use crate::config::{S3Config, TableConfig};
use crate::error::{Error, Result};
use crate::source::{Source, Spot};

/// The catalog of a session.
pub(crate) const CATALOG: &str = "cxql";
/// The schema of tables and views.
pub(crate) const SCHEMA: &str = "public";
/// The schema of reports.
pub(crate) const REPORTS: &str = "reports";
/// The schema of the history of jobs.
pub(crate) const SYSTEM: &str = "system";

/// Bytes of Parquet footers that a session keeps.
const METADATA_CACHE_BYTES: usize = 128 << 20;
/// Bytes of file listings that a session keeps.
const LIST_CACHE_BYTES: usize = 64 << 20;

/// The encoder of a result may hold one part in so many of the memory limit.
const ENCODER_SHARE: usize = 8;
/// The memory limit from which strings are read as views. Views are faster, but sorts that spill hold more than they count
/// of the buffers that views share.
const VIEWS_FROM_BYTES: usize = 2 << 30;

/// The memory limit from which batches have their full size. Merging what was spilled holds two batches of each run.
const FULL_BATCHES_FROM_BYTES: usize = 1 << 30;

/// What a session is made from; all values are final, nothing is read from the environment but AWS credentials.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionOptions {
    /// Where tables are looked for; `None` when there is no such place.
    pub data: Option<Url>,
    /// Tables by name beside those found; paths are relative to `data`.
    pub tables: BTreeMap<String, TableConfig>,
    /// Views by name.
    pub views: BTreeMap<String, View>,
    /// Memory limit in bytes; `None` takes [`default_memory`].
    pub memory: Option<usize>,
    /// Threads; `None` takes all cores.
    pub threads: Option<usize>,
    /// Folder for spill files; `None` takes the system's.
    pub temp_dir: Option<PathBuf>,
    /// Folder in which other processes find what this one learnt of the keys of files; `None` keeps it in memory.
    pub cache_dir: Option<PathBuf>,
    /// Time zone in which times are shown, and of days and hours; `None` is UTC.
    pub time_zone: Option<String>,
    /// The key of pseudonyms and the form of order numbers.
    pub privacy: PrivacySettings,
    /// The calendars of business time.
    pub calendars: Arc<Calendars>,
    /// Switches and thresholds of optimizer rules and operators.
    pub engine: EngineOptions,
    /// S3 and compatible stores.
    pub s3: S3Config,
    /// Whether `from 'file.csv'` reads files.
    pub files_in_from: bool,
    /// Faults of its object stores and its memory pool.
    #[cfg(test)]
    pub faults: Option<Arc<faults::Faults>>,
}

/// A DataFusion session that knows the project's tables and views and the functions of customer analytics.
pub(crate) struct Session {
    context: SessionContext,
    schema: Arc<ProjectSchema>,
    memory: usize,
    /// The options with which the session was opened, to which RESET returns.
    initial_options: Arc<ConfigOptions>,
    /// What may be read; `None` allows everything.
    policy: Option<Arc<AccessPolicy>>,
    /// The session of the filtered catalog, over which views are planned if there is a policy.
    filtered: Option<Arc<Session>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("schema", &self.schema).field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// A running query.
pub(crate) struct Execution {
    /// The columns of the result.
    pub schema: SchemaRef,
    /// The result.
    pub stream: SendableRecordBatchStream,
    /// The plan, whose metrics grow while the query runs.
    pub plan: Arc<dyn ExecutionPlan>,
}

impl Session {
    /// Builds a session: finds the tables, opens none.
    ///
    /// # Errors
    /// A data folder that cannot be listed, two tables with one name, an unusable limit.
    pub(crate) async fn open(options: SessionOptions) -> Result<Self> {
        let engine = |error: DataFusionError| diagnose::data_error(error, "");
        let stores = Arc::new(stores::Stores::of(&options));
        let found = match &options.data {
            Some(root) => discover::tables(&stores, root).await?,
            None => discover::DiscoveredTables::default(),
        };
        let mut tables = found.tables;
        for (name, table) in options.tables {
            let path = table_address(&name, &table.path, options.data.as_ref())?;
            tables.insert(name.to_lowercase(), TableConfig { path, ..table });
        }
        let data_shown = options.data.as_ref().map(|url| tables::display_address(url.as_str()));

        let memory = options.memory.unwrap_or_else(default_memory);
        memory::fit_allocator(memory);
        let mut config = session_config(options.threads, memory);
        if let Some(zone) = options.time_zone {
            settings::check_time_zone(&zone)?;
            config.options_mut().execution.time_zone = Some(zone);
        }
        if let Some(folder) = options.cache_dir {
            config = config.with_extension(Arc::new(KeyScanStore::new(folder.join("keys"), program_version())));
        }
        let top = std::num::NonZeroUsize::new(3).unwrap_or(std::num::NonZeroUsize::MIN);
        let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(SpillHeadroomPool::new(memory), top));
        #[cfg(test)]
        let pool = match &options.faults {
            Some(faults) => faults.pool(pool),
            None => pool,
        };
        let folder = spill_folder(options.temp_dir.as_deref())?;
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![folder]))
            .with_max_spill_merge_fan_in(memory::merged_runs(memory, config.target_partitions()));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(pool)
            .with_disk_manager_builder(disk)
            .with_object_store_registry(stores)
            .with_metadata_cache_limit(METADATA_CACHE_BYTES)
            .with_object_list_cache_limit(LIST_CACHE_BYTES)
            .with_object_list_cache_ttl(Some(file_table::STORE_LISTING))
            .build_arc()
            .map_err(engine)?;

        let schema =
            Arc::new(ProjectSchema::new(tables, options.views, options.files_in_from, data_shown, found.empty_folders));
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, Arc::clone(&schema) as Arc<dyn SchemaProvider>).map_err(engine)?;
        let builder = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features();
        let mut state = cxql_engine::register(builder, options.engine).map_err(engine)?.build();
        cxql_udfs::register_all(&mut state).map_err(engine)?;
        cxql_udfs::privacy::register(&mut state, &options.privacy).map_err(engine)?;
        cxql_udfs::business_time::register(&mut state, &options.calendars).map_err(engine)?;
        state.register_file_format(Arc::new(arrow_files::ArrowFileFormatFactory), true).map_err(engine)?;
        state.catalog_list().register_catalog(CATALOG.to_string(), Arc::new(catalog));
        let context = SessionContext::new_with_state(state);
        schema.attach(context.state_weak_ref());
        let initial_options = Arc::clone(context.state().config_options());
        Ok(Self { context, schema, memory, initial_options, policy: None, filtered: None })
    }

    /// The DataFusion context, for statements that change the session.
    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The statement that sets an option to the value that it had when the session was opened: RESET of DataFusion returns
    /// to its own defaults, and does not know our options. `None` if it had no value.
    pub(crate) fn reset(&self, variable: &str) -> Option<LogicalPlan> {
        let entries = self.initial_options.entries();
        let value = entries.into_iter().find(|entry| entry.key.eq_ignore_ascii_case(variable))?.value?;
        Some(LogicalPlan::Statement(PlanStatement::SetVariable(SetVariable {
            variable: variable.to_lowercase(),
            value,
        })))
    }

    /// A copy of the state, with now as the time of the query.
    pub(crate) fn state(&self) -> SessionState {
        self.context.state()
    }

    /// Bytes that the encoder of a result may hold: its share of the memory limit.
    pub(crate) fn encoder_memory(&self) -> usize {
        self.memory / ENCODER_SHARE
    }

    /// The memory pool of all queries, and its limit in bytes.
    pub(crate) fn memory(&self) -> (Arc<dyn MemoryPool>, usize) {
        (Arc::clone(&self.context.runtime_env().memory_pool), self.memory)
    }

    /// Adds a schema beside the default one.
    ///
    /// # Errors
    /// When the catalog refuses it.
    pub(crate) fn add_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> Result<()> {
        let catalog = self.catalog()?;
        let schema = self.filtered(name, schema);
        catalog.register_schema(name, schema).map_err(|error| diagnose::data_error(error, name))?;
        Ok(())
    }

    /// The catalog, schema and name of a table or view that is there.
    pub(crate) fn resolve(&self, table: &TableReference) -> Option<[String; 3]> {
        let config = self.context.copied_config();
        let defaults = &config.options().catalog;
        let resolved = table.clone().resolve(&defaults.default_catalog, &defaults.default_schema);
        let catalog = self.context.catalog(&resolved.catalog)?;
        let is_there = catalog.schema(&resolved.schema)?.table_exist(&resolved.table);
        is_there.then(|| [resolved.catalog, resolved.schema, resolved.table].map(|part| part.to_string()))
    }

    /// Names of the tables found or configured, with their addresses as a user writes them.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&str, String)> {
        self.schema.tables().iter().map(|(name, table)| (name.as_str(), tables::display_address(&table.path)))
    }

    /// The views.
    pub(crate) fn views(&self) -> impl Iterator<Item = &View> {
        self.schema.views()
    }

    /// A table or view by name.
    ///
    /// # Errors
    /// When it exists and cannot be opened.
    pub(crate) async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.schema.find(name).await
    }

    /// Columns of the model's tables that nearly have a name of the model: table, column, name.
    pub(crate) async fn near_names(&self) -> Vec<(&'static str, String, String)> {
        self.schema.near_names().await
    }

    /// Plans a view or report called `name`; one that depends on itself is an error that names the cycle.
    ///
    /// # Errors
    /// A cycle; those of `plan`.
    pub(crate) async fn planning<T>(
        &self,
        name: &str,
        source: &Arc<Source>,
        plan: Pin<Box<dyn Future<Output = Result<T>> + Send + '_>>,
    ) -> Result<T> {
        catalog::planning(name, source, plan).await
    }

    /// Looks at the files below a view or report, as [`Session::table`] does.
    ///
    /// # Errors
    /// Files that are gone, empty or broken.
    pub(crate) async fn refresh(&self, name: &str) -> Result<()> {
        self.schema.refresh(name).await
    }

    /// Changes when a table was opened anew, because its files have other columns: what was planned before is not valid any
    /// more.
    pub(crate) fn generation(&self) -> u64 {
        self.schema.generation()
    }

    /// Notes for the user about the queries planned so far; each is returned once.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        self.schema.take_notes()
    }

    /// The names of views and of reports (`reports.NAME`) that statements read since the last call, also by way of
    /// others.
    pub(crate) fn take_reads(&self) -> BTreeSet<String> {
        self.schema.take_reads()
    }

    /// Records that the view or report that is being planned, or a statement, reads `name`.
    pub(crate) fn record_read(&self, name: &str) {
        self.schema.record_read(name);
    }

    /// Plans the statements of notes of a view.
    ///
    /// # Errors
    /// The fault with its position in the file.
    pub(crate) async fn view_notes(&self, view: &View) -> Result<Vec<LogicalPlan>> {
        self.schema.view_notes(view).await
    }

    /// Plans the notes about the arguments of a report that statements read: `name` is one of [`Session::take_reads`].
    ///
    /// # Errors
    /// As [`CallableReports::value_notes`].
    pub(crate) async fn value_notes(&self, name: &str) -> Result<Option<ReportNotes>> {
        let reports = self.schema.callable_reports();
        let name = name.strip_prefix(REPORTS).and_then(|name| name.strip_prefix('.'));
        match (reports, name) {
            (Some(reports), Some(name)) => reports.value_notes(name).await,
            _ => Ok(None),
        }
    }

    /// Plans a statement of `source`.
    ///
    /// # Errors
    /// At the place in the text where the fault is, with what was probably meant.
    pub(crate) async fn plan(&self, source: &Arc<Source>, statement: Statement) -> Result<LogicalPlan> {
        self.plan_with(source, statement, &[]).await
    }

    /// Plans a statement of `source`. Its arguments of reports may use parameters `$1`, `$2`, ... with these values.
    ///
    /// # Errors
    /// As [`Session::plan`].
    pub(crate) async fn plan_with(
        &self,
        source: &Arc<Source>,
        statement: Statement,
        values: &[ScalarValue],
    ) -> Result<LogicalPlan> {
        match self.logical_plan(source, statement, StatementValues::Given(values)).await {
            Ok(plan) => Ok(plan),
            Err(error) => Err(self.error(error, source).await),
        }
    }

    /// Plans a statement of `source`. [`Session::error`] turns a DataFusion error into ours; here it is DataFusion's own, for
    /// those who need its kind.
    ///
    /// # Errors
    /// DataFusion's.
    pub(crate) async fn logical_plan(
        &self,
        source: &Arc<Source>,
        statement: Statement,
        values: StatementValues<'_>,
    ) -> Result<LogicalPlan, DataFusionError> {
        statement::plan(&self.state(), &self.schema, source, statement, values).await
    }

    /// The types of the parameters `$1`, `$2`, ... of a statement that are arguments of reports.
    ///
    /// # Errors
    /// As [`Session::logical_plan`], about the arguments.
    pub(crate) fn call_parameters(
        &self,
        source: &Arc<Source>,
        statement: &Statement,
    ) -> Result<BTreeMap<usize, DataType>, DataFusionError> {
        let reports = self.schema.callable_reports();
        calls::bind(&self.state(), reports, source, &mut statement.clone(), StatementValues::Later)
    }

    /// The positions of divisions of two integers in a statement, which drop the fraction.
    pub(crate) async fn integer_divisions(&self, source: &Arc<Source>, statement: Statement) -> Vec<Spot> {
        divisions::of_integers(&self.state(), source, statement).await
    }

    /// As [`Session::integer_divisions`], for a view.
    ///
    /// # Errors
    /// A view that does not parse.
    pub(crate) async fn integer_divisions_of_view(&self, view: &View) -> Result<Vec<Spot>> {
        let statement = Statement::Statement(Box::new(view.parse()?.statement));
        let state = self.schema.view_state(view).await?;
        Ok(divisions::of_integers(&state, &view.source, statement).await)
    }

    /// Lets statements call reports with arguments.
    pub(crate) fn set_callable_reports(&self, reports: Arc<dyn CallableReports>) {
        self.schema.set_callable_reports(reports);
    }

    /// The operators of a plan, optimised.
    ///
    /// # Errors
    /// DataFusion's, as [`Session::logical_plan`].
    pub(crate) async fn physical_plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        retry::operators_of(&self.context, plan).await
    }

    /// Starts operators of `plan`, which must not have run before and may take `memory` bytes of the memory of all. If a
    /// file is replaced before they return rows, the plan is planned again.
    ///
    /// # Errors
    /// DataFusion's, as [`Session::logical_plan`].
    pub(crate) fn start(
        &self,
        plan: &LogicalPlan,
        operators: Arc<dyn ExecutionPlan>,
        memory: Option<usize>,
    ) -> Result<Execution, DataFusionError> {
        let stream = retry::start(&self.context, plan, Arc::clone(&operators), memory)?;
        Ok(Execution { schema: stream.schema(), stream, plan: operators })
    }

    /// The expression of a condition over the columns of a plan.
    ///
    /// # Errors
    /// As [`Session::plan`].
    pub(crate) async fn plan_expr(
        &self,
        source: &Arc<Source>,
        expr: ast::Expr,
        plan: &LogicalPlan,
    ) -> Result<datafusion::logical_expr::Expr> {
        let state = self.state();
        if let Err(error) = interval_units::check(&expr) {
            return Err(self.error(error, source).await);
        }
        let expr = ast::ExprWithAlias { expr, alias: None };
        match state.create_logical_expr_from_sql_expr(expr, plan.schema()) {
            Ok(expr) => Ok(expr),
            Err(error) => Err(self.error(error, source).await),
        }
    }

    /// Starts a plan.
    ///
    /// # Errors
    /// As [`Session::plan`]: some faults show only when the plan is optimised.
    pub(crate) async fn execute(&self, source: &Arc<Source>, plan: &LogicalPlan) -> Result<Execution> {
        self.execute_of_run(source, plan, None).await
    }

    /// A DataFusion error of a statement of `source` as ours.
    pub(crate) async fn error(&self, error: DataFusionError, source: &Arc<Source>) -> Error {
        diagnose::statement_error(error, source, &self.state(), &self.schema).await
    }

    /// An error while `plan` ran: as [`Session::error`], and for a broken file which of the plan's files it is.
    pub(crate) async fn execution_error(
        &self,
        error: DataFusionError,
        source: &Arc<Source>,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> Error {
        match diagnose::broken_file(&error, plan, &self.state()).await {
            Some(error) => error,
            None => self.error(error, source).await,
        }
    }

    /// The store and path of an address such as `s3://bucket/out.parquet`.
    ///
    /// # Errors
    /// An address of an unknown kind, or a store that is not configured.
    pub(crate) fn object_store(&self, url: &Url) -> Result<(Arc<dyn ObjectStore>, object_store::path::Path)> {
        store_and_path(self.context.runtime_env().object_store_registry.as_ref(), url)
    }
}

/// The store and path of an address, without a session.
///
/// # Errors
/// As [`Session::object_store`].
pub(crate) fn object_store(
    options: &SessionOptions,
    url: &Url,
) -> Result<(Arc<dyn ObjectStore>, object_store::path::Path)> {
    store_and_path(&stores::Stores::of(options), url)
}

fn store_and_path(
    stores: &dyn ObjectStoreRegistry,
    url: &Url,
) -> Result<(Arc<dyn ObjectStore>, object_store::path::Path)> {
    let store = stores.get_store(url).map_err(|error| diagnose::data_error(error, url.as_str()))?;
    let path = object_store::path::Path::from_url_path(url.path())
        .map_err(|error| Error::usage(format!("`{url}` is no usable address: {error}")))?;
    Ok((store, path))
}

/// Whether any part of a plan changes anything outside the session's settings.
pub(crate) fn writes(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visited = plan.apply_with_subqueries(|node| {
        found |= matches!(node, LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    // a plan that cannot be walked is refused
    found || visited.is_err()
}

/// What differs between programs that may compute other values: version, size and time of the executable.
fn program_version() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata).ok();
    let file = file.map(|file| (file.len(), file.modified().ok()));
    format!("{} {file:?}", env!("CARGO_PKG_VERSION"))
}

fn session_config(threads: Option<usize>, memory: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_collect_statistics(true);
    if let Some(threads) = threads {
        config = config.with_target_partitions(threads);
    }
    if memory < FULL_BATCHES_FROM_BYTES {
        let full = config.batch_size();
        config = config.with_batch_size(full / 2);
    }
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".into());
    // each sort keeps this much back for merging what it spilled; a small limit must leave room for the sort itself
    let partitions = options.execution.target_partitions.max(1);
    let reserved = (memory / (16 * partitions)).min(10 << 20);
    options.execution.sort_spill_reservation_bytes = reserved;
    options.execution.parquet.schema_force_view_types = memory >= VIEWS_FROM_BYTES;
    // a text parameter has one type, whatever the limit is
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    if let Ok(limit) = ConfigNonZeroUsize::try_new(50) {
        options.sql_parser.recursion_limit = limit;
    }
    config
}

//! [`ProjectSchema`]: the default schema of a session. A name resolves to a view, then to a table, then to an empty table
//! of the interaction model that the data lacks.
//!
//! Tables are opened and views are planned when a query first names them: a session starts at once however many there
//! are, and a broken table fails only the queries that use it.

mod opened;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider,
    TableProvider,
};

use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableType};
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use parking_lot::RwLock;

use self::opened::OpenedTables;
use super::calls::{CallableReports, StatementValues};
use super::file_table::{FileTable, Notes};
use super::model::Misfit;
use super::reads::Reads;
use super::{CATALOG, REPORTS, SCHEMA, SYSTEM, diagnose, model, statement, tables};
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::source::{Source, nearest};
use crate::sqlfile::{self, SqlStatement};

/// A view: a named SELECT statement. Parsed on first use.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Its name, that of its file.
    pub name: String,
    /// Its SQL.
    pub source: Arc<Source>,
}

impl View {
    /// Parses its statement and the header lines before it.
    ///
    /// # Errors
    /// SQL that does not parse, or anything but one SELECT beside its notes.
    pub(crate) fn parse(&self) -> Result<SqlStatement> {
        Ok(self.parse_all()?.0)
    }

    /// Parses its statements of notes.
    ///
    /// # Errors
    /// As [`View::parse`].
    pub(crate) fn parse_notes(&self) -> Result<Vec<SqlStatement>> {
        Ok(self.parse_all()?.1)
    }

    fn parse_all(&self) -> Result<(SqlStatement, Vec<SqlStatement>)> {
        let (notes, mut statements): (Vec<_>, Vec<_>) =
            sqlfile::parse(&self.source)?.into_iter().partition(SqlStatement::is_notes);
        for statement in &notes {
            statement.check_notes(&self.source)?;
        }
        if statements.len() != 1 {
            return Err(Error::at(&self.source, None, format!("a view is one SELECT, here are {}", statements.len())));
        }
        let statement = statements.swap_remove(0);
        if !matches!(statement.statement, Statement::Query(_)) {
            let spot = statement.tokens.first().map(sqlfile::token_spot);
            return Err(Error::at(&self.source, spot, "a view only reads: it is one SELECT"));
        }
        let allowed = ["title", "description", "grain", "check"];
        if let Some(line) = statement.header.iter().find(|line| !allowed.contains(&line.key.as_str())) {
            return Err(Error::at(&self.source, Some(line.key_spot), format!("a view has no `{}`", line.key))
                .help(format!("its header may hold {}", allowed.join(", "))));
        }
        let placeholder = |token: &&TokenWithSpan| matches!(token.token, Token::Placeholder(_));
        let mut tokens = statement.tokens.iter().chain(notes.iter().flat_map(|notes| &notes.tokens));
        if let Some(token) = tokens.find(placeholder) {
            let spot = Some(sqlfile::token_spot(token));
            return Err(Error::at(
                &self.source,
                spot,
                format!("`{}` has no value: a view has no parameters", token.token),
            )
            .help("write the value, or make the file a report"));
        }
        Ok((statement, notes))
    }
}

tokio::task_local! {
    /// The views and reports that are being planned, outermost first, and whether they are shipped; detects cycles.
    static PLANNING: Vec<(String, bool)>;
}

/// The default schema of a session.
pub(crate) struct ProjectSchema {
    tables: BTreeMap<String, TableConfig>,
    views: BTreeMap<String, View>,
    /// Opened tables by name. Files may change: a table with other columns is opened anew.
    files: Mutex<HashMap<String, Arc<FileTable>>>,
    /// Tables as they are read, and planned views, by name. The table below a view of the same name has the key
    /// `table:NAME`.
    opened: Mutex<OpenedTables>,
    /// Counts the tables that were opened anew, in all schemas over the same tables.
    generation: Arc<AtomicU64>,
    /// Columns of opened tables that do not have the model's types, by table.
    misfits: Mutex<HashMap<String, Vec<Misfit>>>,
    /// Tables that statements of this session created.
    made: Mutex<BTreeMap<String, Arc<dyn TableProvider>>>,
    files_in_from: bool,
    /// The data folder, for error messages.
    pub(crate) data_shown: String,
    /// Whether there is a data folder.
    pub(crate) has_data: bool,
    pub(crate) empty_folders: Vec<String>,
    notes: Notes,
    reads: Mutex<Reads>,
    /// For a restricted session: the schema that opens the tables, and the names that error messages may suggest.
    base: Option<(Arc<ProjectSchema>, BTreeSet<String>)>,
    state: OnceLock<Weak<RwLock<SessionState>>>,
    reports: OnceLock<Arc<dyn CallableReports>>,
}

impl fmt::Debug for ProjectSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectSchema").field("tables", &self.tables.keys()).field("views", &self.views.keys()).finish()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProjectSchema {
    pub(crate) fn new(
        tables: BTreeMap<String, TableConfig>,
        views: BTreeMap<String, View>,
        files_in_from: bool,
        data_shown: Option<String>,
        empty_folders: Vec<String>,
    ) -> Self {
        let has_data = data_shown.is_some();
        let data_shown = data_shown.unwrap_or_default();
        Self {
            tables,
            views,
            files: Mutex::default(),
            opened: Mutex::default(),
            generation: Arc::default(),
            misfits: Mutex::default(),
            made: Mutex::default(),
            files_in_from,
            data_shown,
            has_data,
            empty_folders,
            notes: Arc::default(),
            reads: Mutex::default(),
            base: None,
            state: OnceLock::new(),
            reports: OnceLock::new(),
        }
    }

    /// A schema of a restricted session over the same tables and views; error messages may suggest the `known` names.
    /// Tables are opened once for all sessions.
    pub(crate) fn restricted(base: &Arc<Self>, known: BTreeSet<String>) -> Self {
        Self {
            tables: base.tables.clone(),
            views: base.views.clone(),
            files: Mutex::default(),
            opened: Mutex::default(),
            generation: Arc::clone(&base.generation),
            misfits: Mutex::default(),
            made: Mutex::default(),
            files_in_from: false,
            data_shown: base.data_shown.clone(),
            has_data: base.has_data,
            empty_folders: base.empty_folders.clone(),
            notes: Arc::clone(&base.notes),
            reads: Mutex::default(),
            base: Some((Arc::clone(base), known)),
            state: OnceLock::new(),
            reports: OnceLock::new(),
        }
    }

    /// The names of tables and views.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.tables.keys().chain(self.views.keys().filter(|name| !self.tables.contains_key(*name)))
    }

    /// The names that error messages may suggest; `None` for all.
    pub(crate) fn suggestable_names(&self) -> Option<&BTreeSet<String>> {
        self.base.as_ref().map(|(_, known)| known)
    }

    pub(crate) fn attach(&self, state: Weak<RwLock<SessionState>>) {
        // the first call wins: a schema belongs to one session
        self.state.get_or_init(|| state);
    }

    /// The reports that statements of this session can call.
    pub(crate) fn callable_reports(&self) -> Option<&Arc<dyn CallableReports>> {
        self.reports.get()
    }

    pub(crate) fn set_callable_reports(&self, reports: Arc<dyn CallableReports>) {
        // the first call wins: a session has one library
        self.reports.get_or_init(|| reports);
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = &View> {
        self.views.values()
    }

    pub(crate) fn tables(&self) -> &BTreeMap<String, TableConfig> {
        &self.tables
    }

    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.notes)).into_iter().collect()
    }

    /// Records that the view or report that is being planned, or a statement, reads `name`.
    pub(crate) fn record_read(&self, name: &str) {
        let reader = PLANNING.try_with(|stack| stack.last().map(|(name, _)| name.clone())).ok().flatten();
        locked(&self.reads).add(reader.as_deref(), name);
    }

    /// The names that statements read since the last call, also by way of views and reports.
    pub(crate) fn take_reads(&self) -> BTreeSet<String> {
        locked(&self.reads).take()
    }

    fn state(&self) -> Result<SessionState> {
        let state = self.state.get().and_then(Weak::upgrade);
        let state = state.ok_or_else(|| Error::Engine { message: "the session has ended".into() })?;
        Ok(state.read().clone())
    }

    /// Finds a view, table or file by name.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.record_read(name);
        if let Some(table) = locked(&self.made).get(name) {
            return Ok(Some(Arc::clone(table)));
        }
        self.refresh(name).await?;
        let generation = self.generation();
        if let Some(table) = self.opened(name) {
            self.refuse_misfits(name)?;
            return Ok(Some(table));
        }
        let view = self.views.get(name);
        let table = match view {
            Some(view) => Some(self.plan_view(view).await?),
            None => self.open_table(name).await?,
        };
        let table = match table {
            Some(table) => {
                let fitted = model::fit(name, table);
                let (table, misfits) = fitted.map_err(|error| Error::Engine { message: error.strip_backtrace() })?;
                match view {
                    Some(view) if !misfits.is_empty() => return Err(view_misfit(view, &misfits)),
                    _ => self.keep_misfits(name, misfits),
                }
                Some(table)
            }
            None => self.empty_model_table(name),
        };
        if let Some(table) = &table {
            self.keep_opened(name, table, generation);
        }
        self.refuse_misfits(name)?;
        Ok(table)
    }

    /// Remembers the columns of a table that do not fit the model. Queries of the user read them as they are.
    fn keep_misfits(&self, name: &str, misfits: Vec<Misfit>) {
        if misfits.is_empty() {
            locked(&self.misfits).remove(name);
            return;
        }
        let titles: Vec<String> = misfits.iter().map(|misfit| misfit.title(name)).collect();
        let note = format!("{}; the shipped reports cannot read it so", titles.join("; "));
        locked(&self.notes).insert(note);
        locked(&self.misfits).insert(name.to_string(), misfits);
    }

    /// Rejects a table that does not fit the model when a shipped view or report reads it.
    fn refuse_misfits(&self, name: &str) -> Result<()> {
        let is_shipped = PLANNING.try_with(|stack| stack.iter().any(|(_, is_shipped)| *is_shipped)).unwrap_or(false);
        match locked(&self.misfits).get(name) {
            Some(misfits) if is_shipped => Err(table_misfit(name, misfits)),
            _ => Ok(()),
        }
    }

    /// Columns of the model's tables that nearly have a name of the model: table, column, name.
    pub(crate) async fn near_names(&self) -> Vec<(&'static str, String, String)> {
        let mut near = Vec::new();
        for table in model::TABLES {
            let opened = match self.views.get(table) {
                Some(view) => self.plan_view(view).await.ok(),
                None => self.shadowed_table(table).await.ok().flatten(),
            };
            let Some(opened) = opened else { continue };
            let found = model::near_names(table, &opened.schema());
            near.extend(found.into_iter().map(|(column, name)| (table, column, name)));
        }
        near
    }

    /// Opens a table of the data or a file named in FROM; never a view.
    async fn open_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((base, _)) = &self.base {
            return Box::pin(base.shadowed_table(name)).await;
        }
        let config = match self.tables.get(name) {
            Some(config) => config.clone(),
            None if self.files_in_from && is_file_name(name) => TableConfig::at(file_address(name)?),
            None => return Ok(None),
        };
        Ok(Some(self.file_table(name, &config).await?))
    }

    /// The table that a view of the same name shadows.
    async fn shadowed_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let key = format!("table:{name}");
        let generation = self.generation();
        if let Some(table) = self.opened(&key) {
            return Ok(Some(table));
        }
        let table = self.open_table(name).await?;
        if let Some(table) = &table {
            self.keep_opened(&key, table, generation);
        }
        Ok(table)
    }

    /// An empty table for a table of the model that the data lacks. `None` if the data has no table of the model at all:
    /// there an empty table would hide that nothing is mapped.
    fn empty_model_table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let schema = model::schema(name)?;
        let has_model = model::TABLES.iter().any(|table| {
            self.tables.contains_key(*table) || self.views.get(*table).is_some_and(|view| !view.source.is_shipped)
        });
        if !has_model {
            return None;
        }
        let others = self.tables.keys().map(String::as_str).filter(|other| model::schema(other).is_none());
        let hint = nearest(name, others).map(|near| format!(" (there is a table `{near}`)")).unwrap_or_default();
        locked(&self.notes).insert(format!("the data has no table `{name}`{hint}; it is read as empty"));
        Some(Arc::new(EmptyTable::new(schema)))
    }

    async fn plan_view(&self, view: &View) -> Result<Arc<dyn TableProvider>> {
        let plan = planning(&view.name, &view.source, Box::pin(self.view_plan(view))).await?;
        Ok(Arc::new(ViewTable::new(plan, Some(view.source.text.to_string()))))
    }

    /// The state in which a view is planned: in its own SQL its name is the table that it shadows, if there is one.
    pub(super) async fn view_state(&self, view: &View) -> Result<SessionState> {
        let state = self.state()?;
        match self.shadowed_table(&view.name).await? {
            Some(table) => with_shadowing_table(state, &view.name, table),
            None => Ok(state),
        }
    }

    async fn view_plan(&self, view: &View) -> Result<LogicalPlan> {
        self.plan_statement(view, view.parse()?.statement).await
    }

    /// Plans the statements of notes of a view.
    ///
    /// # Errors
    /// The fault with its position in the file.
    pub(crate) async fn view_notes(&self, view: &View) -> Result<Vec<LogicalPlan>> {
        let mut plans = Vec::new();
        for notes in view.parse_notes()? {
            // what they read is not read by the statements that read the view
            let reader = format!("notes of {}", view.name);
            let plan = Box::pin(self.plan_statement(view, notes.statement));
            plans.push(planning(&reader, &view.source, plan).await?);
        }
        Ok(plans)
    }

    /// Plans a statement of a view's file.
    async fn plan_statement(&self, view: &View, statement: Statement) -> Result<LogicalPlan> {
        let state = self.view_state(view).await?;
        let statement = DataFusionStatement::Statement(Box::new(statement));
        match statement::plan(&state, self, &view.source, statement, StatementValues::Given(&[])).await {
            Ok(plan) => Ok(plan),
            Err(error) => Err(diagnose::statement_error(error, &view.source, &state, self).await),
        }
    }
}

/// Plans a view or report. One that depends on itself is an error that names the cycle.
pub(crate) async fn planning<T>(
    name: &str,
    source: &Arc<Source>,
    plan: Pin<Box<dyn Future<Output = Result<T>> + Send + '_>>,
) -> Result<T> {
    let mut stack = PLANNING.try_with(Clone::clone).unwrap_or_default();
    if let Some(start) = stack.iter().position(|(known, _)| known == name) {
        let mut circle: Vec<String> = stack[start..].iter().map(|(name, _)| name.clone()).collect();
        circle.push(name.to_string());
        let title = format!("views need one another in a circle: {}", circle.join(" -> "));
        return Err(Error::at(source, None, title).help("let one of them read a table instead"));
    }
    stack.push((name.to_string(), source.is_shipped));
    PLANNING.scope(stack, plan).await
}

/// Returns true if a name in FROM is a file: it has a scheme, a folder or a file extension.
pub(crate) fn is_file_name(name: &str) -> bool {
    name.contains("://") || name.contains(['/', '\\', '.', '*'])
}

/// Resolves a path relative to the working folder; `*` stays a pattern.
fn file_address(name: &str) -> Result<String> {
    if name.contains("://") {
        return Ok(name.to_string());
    }
    let path = tables::full_path(std::path::Path::new(name)).map_err(|cause| Error::Io {
        action: "find",
        path: name.into(),
        cause,
    })?;
    let has_pattern = name.contains(['*', '?', '[']);
    if !has_pattern && !path.exists() {
        return Err(Error::data(format!("there is no file `{name}` (looked for {})", path.display())));
    }
    let mut text = path.display().to_string();
    if path.is_dir() && !text.ends_with('/') {
        text.push('/');
    }
    Ok(text)
}

/// The error of a view that does not fit the model: at its column in the view's file.
fn view_misfit(view: &View, misfits: &[Misfit]) -> Error {
    let Some(first) = misfits.first() else { return Error::data(format!("the view `{}` does not fit", view.name)) };
    let title = format!("{}, in the view `{}`", first.title(&view.name), view.name);
    let spot = diagnose::token_spot(&view.source, &first.column);
    let error = Error::at(&view.source, spot, title).help(format!("write {}", first.remedy("...")));
    misfits.iter().skip(1).fold(error, |error, misfit| {
        error.help(format!("also {}: write {}", misfit.title(&view.name), misfit.remedy("...")))
    })
}

/// The error of a table that does not fit the model.
fn table_misfit(name: &str, misfits: &[Misfit]) -> Error {
    let titles: Vec<String> = misfits.iter().map(|misfit| misfit.title(name)).collect();
    let columns: Vec<String> = misfits
        .iter()
        .map(|misfit| misfit.remedy(&misfit.column).split('`').nth(1).unwrap_or_default().to_string())
        .collect();
    let hints: Vec<String> = misfits.iter().map(|misfit| misfit.remedy(&misfit.column)).collect();
    Error::data(format!(
        "{}; map it in sql/views/{name}.sql: `select * replace ({}) from {name}` (write {})",
        titles.join("; "),
        columns.join(", "),
        hints.join("; "),
    ))
}

/// A copy of the state in which `name` resolves to `table`.
fn with_shadowing_table(mut state: SessionState, name: &str, table: Arc<dyn TableProvider>) -> Result<SessionState> {
    let engine = |error: DataFusionError| Error::Engine { message: error.strip_backtrace() };
    let outer = state.catalog_list().catalog(CATALOG);
    let schema_of = |schema: &str| outer.as_ref().and_then(|catalog| catalog.schema(schema));
    let inner = schema_of(SCHEMA).ok_or_else(|| Error::Engine { message: "the default schema is gone".into() })?;
    let catalog = MemoryCatalogProvider::new();
    let shadow = Arc::new(ShadowSchema { inner, name: name.to_string(), table });
    catalog.register_schema(SCHEMA, shadow).map_err(engine)?;
    for name in [REPORTS, SYSTEM] {
        if let Some(schema) = schema_of(name) {
            catalog.register_schema(name, schema).map_err(engine)?;
        }
    }
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_string(), Arc::new(catalog));
    state.register_catalog_list(Arc::new(list));
    Ok(state)
}

/// A schema in which one name resolves to another table.
#[derive(Debug)]
struct ShadowSchema {
    inner: Arc<dyn SchemaProvider>,
    name: String,
    table: Arc<dyn TableProvider>,
}

#[async_trait]
impl SchemaProvider for ShadowSchema {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if name == self.name { Ok(Some(Arc::clone(&self.table))) } else { self.inner.table(name).await }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}

#[async_trait]
impl SchemaProvider for ProjectSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = self.tables.keys().cloned().collect();
        names.extend(self.views.keys().cloned());
        names.extend(locked(&self.made).keys().cloned());
        names.into_iter().collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.find(name).await?)
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        if self.views.contains_key(name) {
            return Ok(Some(TableType::View));
        }
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if self.tables.contains_key(&name) || self.views.contains_key(&name) {
            return Err(Error::usage(format!("`{name}` is a table or view of the project; choose another name")).into());
        }
        Ok(locked(&self.made).insert(name, table))
    }

    fn deregister_table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if self.tables.contains_key(name) || self.views.contains_key(name) {
            return Err(Error::usage(format!(
                "`{name}` is a table or view of the project and is not dropped here; remove its files instead"
            ))
            .into());
        }
        Ok(locked(&self.made).remove(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name) || self.views.contains_key(name) || locked(&self.made).contains_key(name)
    }
}

//! Sessions for roles, each with two catalogs.
//!
//! In the filtered catalog every table, view and report with row filters or column masks is replaced by a security
//! barrier. Views and reports are planned over this catalog, so that they cannot reveal what a role hides. The authorized
//! catalog holds those tables, views and reports of the filtered one that the roles grant. Statements are planned over it:
//! no form of statement can name anything else.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider,
    TableProvider,
};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableType};
use datafusion::prelude::SessionContext;

use super::policy::AccessPolicy;
use super::role::{Role, TableName, display_name, usage_error};
use super::security_barrier::{self, BarrierTable};
use crate::error::{Error, Result};
use crate::session::catalog::ProjectSchema;
use crate::session::{CATALOG, SCHEMA, Session, base_name, diagnose, model};
use crate::source::nearest;

/// A schema of the filtered catalog: all tables, the restricted ones behind barriers.
#[derive(Debug)]
pub(super) struct FilteredSchema {
    schema: String,
    inner: Arc<dyn SchemaProvider>,
    policy: Arc<AccessPolicy>,
    /// Barriers already built, with the tables below them, by table name.
    barriers: Mutex<HashMap<String, [Arc<dyn TableProvider>; 2]>>,
}

#[async_trait]
impl SchemaProvider for FilteredSchema {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Some(table) = self.inner.table(name).await? else { return Ok(None) };
        // a table whose files have other columns by now is another one
        let barriers = self.barriers.lock().unwrap_or_else(PoisonError::into_inner);
        let built = barriers.get(name).filter(|[below, _]| Arc::ptr_eq(below, &table));
        if let Some([_, barrier]) = built {
            return Ok(Some(Arc::clone(barrier)));
        }
        drop(barriers);
        // a call of a report is restricted as the report
        let report = base_name(name);
        let filtered = self.policy.filtered(&(self.schema.clone(), report.to_owned()), Arc::clone(&table))?;
        if report == name && !Arc::ptr_eq(&table, &filtered) {
            let mut barriers = self.barriers.lock().unwrap_or_else(PoisonError::into_inner);
            barriers.insert(name.to_owned(), [table, Arc::clone(&filtered)]);
        }
        Ok(Some(filtered))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        self.inner.table_type(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}

/// A schema of the authorized catalog: the tables that the roles grant.
#[derive(Debug)]
pub(super) struct AuthorizedSchema {
    schema: String,
    filtered: Arc<dyn SchemaProvider>,
    policy: Arc<AccessPolicy>,
}

impl AuthorizedSchema {
    /// The name for which grants are looked up: that of the report for a call of a report.
    fn qualified(&self, name: &str) -> TableName {
        (self.schema.clone(), base_name(name).to_owned())
    }
}

#[async_trait]
impl SchemaProvider for AuthorizedSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.filtered.table_names();
        names.retain(|name| self.policy.grants(&self.qualified(name)));
        names
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let granted = self.qualified(name);
        if !self.policy.grants(&granted) {
            return Ok(None);
        }
        let found = self.filtered.table(name).await.map_err(security_barrier::redacted)?;
        found.map(|table| self.policy.authorized(&granted, table)).transpose()
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        if self.policy.grants(&self.qualified(name)) { self.filtered.table_type(name).await } else { Ok(None) }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.policy.grants(&self.qualified(name)) && self.filtered.table_exist(name)
    }
}

impl AccessPolicy {
    /// Tables of a view that a role restricts, which the same role can read directly and unrestricted: most likely an
    /// oversight.
    async fn unrestricted_inputs(&self, role: &Role, view: &TableName) -> DataFusionResult<BTreeSet<TableName>> {
        let mut unrestricted = BTreeSet::new();
        let schema = self.state.catalog_list().catalog(CATALOG).and_then(|catalog| catalog.schema(&view.0));
        let Some(schema) = schema else { return Ok(unrestricted) };
        let Some(table) = schema.table(&view.1).await? else { return Ok(unrestricted) };
        let Some(plan) = table.get_logical_plan() else { return Ok(unrestricted) };
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let name = scan.table_name.clone().resolve(CATALOG, SCHEMA);
                let name = (name.schema.to_string(), name.table.to_string());
                // a table with the view's own name can only be read through the view
                if name != *view && role.grants(&name) && !role.restricts(&name) {
                    unrestricted.insert(name);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(unrestricted)
    }
}

/// A copy of the state whose only catalog has these schemas.
fn with_schemas(
    state: &SessionState,
    schemas: impl IntoIterator<Item = (String, Arc<dyn SchemaProvider>)>,
) -> Result<SessionState> {
    let catalog = MemoryCatalogProvider::new();
    for (name, schema) in schemas {
        catalog.register_schema(&name, schema).map_err(|error| diagnose::data_error(error, &name))?;
    }
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    let mut state = state.clone();
    state.register_catalog_list(Arc::new(list));
    Ok(state)
}

impl Session {
    /// Opens a session over the same data for a user with these roles. `register` adds further schemas, such as that of
    /// the reports, to the session of the filtered catalog that it receives.
    ///
    /// # Errors
    /// A catalog that cannot be built; an error of `register`.
    pub(crate) fn for_roles(
        &self,
        roles: Vec<Arc<Role>>,
        register: impl FnOnce(&Arc<Self>) -> Result<()>,
    ) -> Result<Self> {
        let state = self.state();
        let policy = Arc::new(AccessPolicy::new(roles, state.clone()));
        let name = |name: &String| (SCHEMA.to_owned(), name.clone());
        let known = self.schema.names().filter(|known| policy.grants(&name(known))).cloned().collect();
        let schema = Arc::new(ProjectSchema::restricted(&self.schema, known));
        let context = SessionContext::new_with_state(with_schemas(&state, [])?);
        schema.attach(context.state_weak_ref());
        let filtered = Arc::new(Self {
            context,
            schema: Arc::clone(&schema),
            memory: self.memory,
            initial_options: Arc::clone(&self.initial_options),
            policy: Some(Arc::clone(&policy)),
            filtered: None,
        });
        filtered.add_schema(SCHEMA, Arc::clone(&schema) as Arc<dyn SchemaProvider>)?;
        register(&filtered)?;
        let catalog = filtered.catalog()?;
        let authorized = catalog.schema_names().into_iter().filter_map(|schema| {
            let filtered = catalog.schema(&schema)?;
            let authorized = AuthorizedSchema { schema: schema.clone(), filtered, policy: Arc::clone(&policy) };
            Some((schema, Arc::new(authorized) as Arc<dyn SchemaProvider>))
        });
        let context = SessionContext::new_with_state(with_schemas(&state, authorized)?);
        let initial_options = Arc::clone(&self.initial_options);
        let (policy, filtered) = (Some(policy), Some(filtered));
        Ok(Self { context, schema, memory: self.memory, initial_options, policy, filtered })
    }

    /// A copy of this session with one more schema.
    ///
    /// # Errors
    /// A catalog that cannot be built.
    pub(crate) fn with_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> Result<Self> {
        let catalog = self.catalog()?;
        let here = catalog.schema_names().into_iter().filter_map(|name| Some((name.clone(), catalog.schema(&name)?)));
        let state = with_schemas(&self.state(), here.chain([(name.to_owned(), schema)]))?;
        Ok(self.with_context(SessionContext::new_with_state(state)))
    }

    /// A copy of this session without a schema.
    ///
    /// # Errors
    /// A catalog that cannot be built.
    pub(crate) fn without_schema(&self, name: &str) -> Result<Self> {
        let catalog = self.catalog()?;
        let others = catalog.schema_names().into_iter().filter(|known| known != name);
        let others = others.filter_map(|name| Some((name.clone(), catalog.schema(&name)?)));
        let state = with_schemas(&self.state(), others)?;
        Ok(self.with_context(SessionContext::new_with_state(state)))
    }

    /// A copy of this session with another context. Views are still planned over the first one.
    pub(in crate::session) fn with_context(&self, context: SessionContext) -> Self {
        Self {
            context,
            schema: Arc::clone(&self.schema),
            memory: self.memory,
            initial_options: Arc::clone(&self.initial_options),
            policy: self.policy.clone(),
            filtered: self.filtered.clone(),
        }
    }

    /// The only catalog.
    pub(in crate::session) fn catalog(&self) -> Result<Arc<dyn CatalogProvider>> {
        self.context.catalog(CATALOG).ok_or_else(|| Error::Engine { message: "the catalog is gone".into() })
    }

    /// Wraps a schema in the access policy of this session. Returns it unchanged in a session without roles.
    pub(in crate::session) fn filtered(&self, name: &str, inner: Arc<dyn SchemaProvider>) -> Arc<dyn SchemaProvider> {
        match &self.policy {
            None => inner,
            Some(policy) => Arc::new(FilteredSchema {
                schema: name.to_owned(),
                inner,
                policy: Arc::clone(policy),
                barriers: Mutex::default(),
            }),
        }
    }

    /// Validates the roles of this session against the data: their tables and columns exist, their expressions can be
    /// planned.
    ///
    /// # Errors
    /// The role, its key, and what is wrong.
    pub(crate) async fn check_roles(&self) -> Result<()> {
        let (Some(policy), Some(filtered)) = (&self.policy, &self.filtered) else { return Ok(()) };
        let catalog = filtered.catalog()?;
        let schemas = catalog.schema_names();
        for role in &policy.roles {
            let wrong = |what: String| Error::usage(format!("[roles.{}] in cxql.toml: {what}", role.name));
            let near = |word: &str, names: &[String]| {
                let near = nearest(word, names.iter().map(String::as_str));
                near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
            };
            let no_schema = |schema: &str| {
                let near = near(schema, &schemas);
                wrong(format!("there is no schema `{schema}`{near}; there are {}", schemas.join(", ")))
            };
            for schema in &role.schemas {
                if !schemas.contains(schema) {
                    return Err(no_schema(schema));
                }
            }
            let [rows, masks] = role.restricted();
            let named = [("tables", role.tables.iter().collect()), ("rows", rows), ("masks", masks)];
            let named = named.into_iter();
            for (key, name) in named.flat_map(|(key, names)| names.into_iter().map(move |name| (key, name))) {
                let Some(schema) = catalog.schema(&name.0) else { return Err(no_schema(&name.0)) };
                let is_model = name.0 == SCHEMA && model::schema(&name.1).is_some();
                if !schema.table_exist(&name.1) && !is_model {
                    let near = near(&name.1, &schema.table_names());
                    return Err(wrong(format!(
                        "{key}: there is no table, view or report `{}`{near}",
                        display_name(name)
                    )));
                }
            }
            for name in role.restricted().into_iter().flatten() {
                let failed = |error: DataFusionError| match diagnose::own(error) {
                    Ok(own) => usage_error(&own),
                    Err(error) => {
                        let text = error.strip_backtrace();
                        wrong(format!("the rows or masks of `{}` cannot be planned: {text}", display_name(name)))
                    }
                };
                let Some(schema) = catalog.schema(&name.0) else { continue };
                let table = schema.table(&name.1).await.map_err(failed)?;
                let Some(table) = table else {
                    return Err(wrong(format!("`{}` cannot be read: the data has no such table", display_name(name))));
                };
                // a type error only shows in the physical plan
                if let Some(barrier) = table.downcast_ref::<BarrierTable>() {
                    // first, since it names the position of what it refuses
                    policy.evaluate_once(role, name, barrier.scan_plan()).map_err(failed)?;
                    barrier.physical_plan(None, &[], None).await.map_err(failed)?;
                }
                for input in policy.unrestricted_inputs(role, name).await.map_err(failed)? {
                    let (role, view, table) = (role.name.as_str(), display_name(name), display_name(&input));
                    tracing::warn!(role, view, table, "the role restricts a view, and reads what is below it in full");
                }
            }
        }
        Ok(())
    }
}

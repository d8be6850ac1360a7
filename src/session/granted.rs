//! Sessions for roles: catalogs in which only what the roles leave is there.
//!
//! There are two of them. In the lower one every table, view and report with row filters or masked columns stands for what
//! is left of it; views and reports are planned over that one, so that they cannot bring back what was taken out. The upper
//! one holds of these what the roles grant, and statements are planned over it: whatever its form, a statement finds
//! nothing else.

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

use super::access::{Name, Role, Rules, shown, usage};
use super::catalog::ProjectSchema;
use super::sealed::SealedTable;
use super::{CATALOG, SCHEMA, Session, diagnose, model, sealed};
use crate::error::{Error, Result};
use crate::source::nearest;

/// A schema of the lower catalog: everything, as the roles leave it.
#[derive(Debug)]
struct LeftSchema {
    schema: String,
    inner: Arc<dyn SchemaProvider>,
    rules: Arc<Rules>,
    /// Tables that are restricted, by name.
    known: Mutex<HashMap<String, Arc<dyn TableProvider>>>,
}

#[async_trait]
impl SchemaProvider for LeftSchema {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone);
        if known.is_some() {
            return Ok(known);
        }
        let Some(whole) = self.inner.table(name).await? else { return Ok(None) };
        let left = self.rules.restricted(&(self.schema.clone(), name.to_owned()), Arc::clone(&whole))?;
        if !Arc::ptr_eq(&whole, &left) {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(name.to_owned(), Arc::clone(&left));
        }
        Ok(Some(left))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        self.inner.table_type(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}

/// A schema of the upper catalog: what the roles grant.
#[derive(Debug)]
struct GrantedSchema {
    schema: String,
    below: Arc<dyn SchemaProvider>,
    rules: Arc<Rules>,
}

impl GrantedSchema {
    fn name(&self, name: &str) -> Name {
        (self.schema.clone(), name.to_owned())
    }
}

#[async_trait]
impl SchemaProvider for GrantedSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.below.table_names();
        names.retain(|name| self.rules.grants(&self.name(name)));
        names
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let name = self.name(name);
        if !self.rules.grants(&name) {
            return Ok(None);
        }
        let found = self.below.table(&name.1).await.map_err(sealed::hidden)?;
        found.map(|table| self.rules.granted(&name, table)).transpose()
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        if self.rules.grants(&self.name(name)) { self.below.table_type(name).await } else { Ok(None) }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.rules.grants(&self.name(name)) && self.below.table_exist(name)
    }
}

impl Rules {
    /// What a role that restricts a view can read of the view's tables without it. Most likely somebody forgot that.
    async fn open_below(&self, role: &Role, view: &Name) -> DataFusionResult<BTreeSet<Name>> {
        let mut open = BTreeSet::new();
        let schema = self.state.catalog_list().catalog(CATALOG).and_then(|catalog| catalog.schema(&view.0));
        let Some(schema) = schema else { return Ok(open) };
        let Some(whole) = schema.table(&view.1).await? else { return Ok(open) };
        let Some(plan) = whole.get_logical_plan() else { return Ok(open) };
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let name = scan.table_name.clone().resolve(CATALOG, SCHEMA);
                let name = (name.schema.to_string(), name.table.to_string());
                // a table of the view's own name is only found through it
                if name != *view && role.grants(&name) && !role.restricts(&name) {
                    open.insert(name);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(open)
    }
}

/// A state whose only catalog has these schemas.
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
    /// A session over the same data for somebody with these roles. `register` adds to it what this one has beside the
    /// default schema, such as reports, planned over the session that it is given.
    ///
    /// # Errors
    /// A catalog that cannot be made; what `register` gives.
    pub fn for_roles(&self, roles: Vec<Arc<Role>>, register: impl FnOnce(&Arc<Self>) -> Result<()>) -> Result<Self> {
        let state = self.state();
        let rules = Arc::new(Rules::new(roles, state.clone()));
        let name = |name: &String| (SCHEMA.to_owned(), name.clone());
        let known = self.schema.names().filter(|known| rules.grants(&name(known))).cloned().collect();
        let schema = Arc::new(ProjectSchema::above(&self.schema, known));
        let below = with_schemas(&state, [])?;
        let below = SessionContext::new_with_state(below);
        schema.attach(below.state_weak_ref());
        let below = Arc::new(Self {
            context: below,
            schema: Arc::clone(&schema),
            memory: self.memory,
            rules: Some(Arc::clone(&rules)),
            below: None,
        });
        below.add_schema(SCHEMA, Arc::clone(&schema) as Arc<dyn SchemaProvider>)?;
        register(&below)?;
        let catalog = below.catalog()?;
        let granted = catalog.schema_names().into_iter().filter_map(|schema| {
            let below = catalog.schema(&schema)?;
            let granted = GrantedSchema { schema: schema.clone(), below, rules: Arc::clone(&rules) };
            Some((schema, Arc::new(granted) as Arc<dyn SchemaProvider>))
        });
        let context = SessionContext::new_with_state(with_schemas(&state, granted)?);
        Ok(Self { context, schema, memory: self.memory, rules: Some(rules), below: Some(below) })
    }

    /// A session as this one with one more schema.
    ///
    /// # Errors
    /// A catalog that cannot be made.
    pub fn with_schema(&self, name: &str, schema: Arc<dyn SchemaProvider>) -> Result<Self> {
        let catalog = self.catalog()?;
        let here = catalog.schema_names().into_iter().filter_map(|name| Some((name.clone(), catalog.schema(&name)?)));
        let state = with_schemas(&self.state(), here.chain([(name.to_owned(), schema)]))?;
        Ok(self.with_context(SessionContext::new_with_state(state)))
    }

    /// A session as this one that does not have a schema.
    ///
    /// # Errors
    /// A catalog that cannot be made.
    pub fn without_schema(&self, name: &str) -> Result<Self> {
        let catalog = self.catalog()?;
        let others = catalog.schema_names().into_iter().filter(|known| known != name);
        let others = others.filter_map(|name| Some((name.clone(), catalog.schema(&name)?)));
        let state = with_schemas(&self.state(), others)?;
        Ok(self.with_context(SessionContext::new_with_state(state)))
    }

    /// A session as this one in another context. Views stay those of the first.
    pub(super) fn with_context(&self, context: SessionContext) -> Self {
        Self {
            context,
            schema: Arc::clone(&self.schema),
            memory: self.memory,
            rules: self.rules.clone(),
            below: self.below.clone(),
        }
    }

    pub(super) fn catalog(&self) -> Result<Arc<dyn CatalogProvider>> {
        self.context.catalog(CATALOG).ok_or_else(|| Error::Engine { message: "the catalog is gone".into() })
    }

    /// A schema as the roles of this session leave it; as it is without roles.
    pub(super) fn left(&self, name: &str, inner: Arc<dyn SchemaProvider>) -> Arc<dyn SchemaProvider> {
        match &self.rules {
            None => inner,
            Some(rules) => Arc::new(LeftSchema {
                schema: name.to_owned(),
                inner,
                rules: Arc::clone(rules),
                known: Mutex::default(),
            }),
        }
    }

    /// Checks what the roles of this session say against the data: tables that are there, columns, expressions.
    ///
    /// # Errors
    /// The role, the key, what is wrong, what is wanted.
    pub async fn check_roles(&self) -> Result<()> {
        let (Some(rules), Some(below)) = (&self.rules, &self.below) else { return Ok(()) };
        let catalog = below.catalog()?;
        let schemas = catalog.schema_names();
        for role in &rules.roles {
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
                    return Err(wrong(format!("{key}: there is no table, view or report `{}`{near}", shown(name))));
                }
            }
            for name in role.restricted().into_iter().flatten() {
                let failed = |error: DataFusionError| match diagnose::own(error) {
                    Ok(own) => usage(&own),
                    Err(error) => {
                        let text = error.strip_backtrace();
                        wrong(format!("the rows or masks of `{}` cannot be planned: {text}", shown(name)))
                    }
                };
                let Some(schema) = catalog.schema(&name.0) else { continue };
                let table = schema.table(&name.1).await.map_err(failed)?;
                let Some(table) = table else {
                    return Err(wrong(format!("`{}` cannot be read: the data has no such table", shown(name))));
                };
                // a fault of types shows only here
                if let Some(sealed) = table.downcast_ref::<SealedTable>() {
                    sealed.operators(None, &[], None).await.map_err(failed)?;
                }
                for open in rules.open_below(role, name).await.map_err(failed)? {
                    let (role, view, table) = (role.name.as_str(), shown(name), shown(&open));
                    tracing::warn!(role, view, table, "the role restricts a view, and reads what is below it in full");
                }
            }
        }
        Ok(())
    }
}

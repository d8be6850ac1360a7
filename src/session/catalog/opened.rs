//! What a session keeps of its tables and views, and when it is opened anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::catalog::TableProvider;

use super::{ProjectSchema, locked};
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::session::file_table::FileTable;
use crate::session::retry;

/// What was planned over the tables of one generation.
#[derive(Default)]
pub(super) struct OpenedTables {
    generation: u64,
    tables: HashMap<String, Arc<dyn TableProvider>>,
}

impl ProjectSchema {
    /// Changes when a table was opened anew: what was planned over the old one is not valid any more.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A table or view that was opened in this generation.
    pub(super) fn opened(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let opened = locked(&self.opened);
        opened.tables.get(name).filter(|_| opened.generation == self.generation()).map(Arc::clone)
    }

    /// Keeps what was opened, unless a table was opened anew since `generation`.
    pub(super) fn keep_opened(&self, name: &str, table: &Arc<dyn TableProvider>, generation: u64) {
        let mut opened = locked(&self.opened);
        if opened.generation < generation {
            *opened = OpenedTables { generation, tables: HashMap::new() };
        }
        if opened.generation == generation {
            opened.tables.insert(name.to_string(), Arc::clone(table));
        }
    }

    /// A table over files.
    pub(super) async fn file_table(&self, name: &str, config: &TableConfig) -> Result<Arc<dyn TableProvider>> {
        let known = locked(&self.files).get(name).map(Arc::clone);
        if let Some(table) = known {
            return Ok(table);
        }
        let state = self.state()?;
        let opened = retry::unless_replaced(|| FileTable::open(&state, name, config, &self.notes)).await?;
        // of two that open it at the same time the first wins
        let mut files = locked(&self.files);
        let table = files.entry(name.to_string()).or_insert_with(|| Arc::new(opened));
        Ok(Arc::clone(table) as Arc<dyn TableProvider>)
    }

    /// Looks at the files below a table, view or report whose last listing is old. Where they have other columns by now, the
    /// table is opened anew, and with it all that was planned over it.
    ///
    /// # Errors
    /// Files that are gone, empty or broken.
    pub(crate) async fn refresh(&self, name: &str) -> Result<()> {
        let names = locked(&self.reads).below(vec![name.to_string()]);
        let base = self.base.as_ref().map_or(self, |(base, _)| base.as_ref());
        let tables: Vec<(String, Arc<FileTable>)> = {
            let files = locked(&base.files);
            names.into_iter().filter_map(|name| files.get(&name).map(|table| (name, Arc::clone(table)))).collect()
        };
        if tables.is_empty() {
            return Ok(());
        }
        let state = &self.state()?;
        let refresh = tables.iter().map(|(_, table)| retry::unless_replaced(move || table.refresh(state)));
        for ((name, table), refreshed) in tables.iter().zip(futures::future::join_all(refresh).await) {
            match refreshed {
                Ok(()) => {}
                Err(Error::Changed { can_retry: false, .. }) => {
                    let mut files = locked(&base.files);
                    if files.get(name).is_some_and(|known| Arc::ptr_eq(known, table)) {
                        files.remove(name);
                        base.generation.fetch_add(1, Ordering::AcqRel);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

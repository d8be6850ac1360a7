//! Ingestion: tables that clients send, kept in memory for the lifetime of their session.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::TableType;
use parking_lot::Mutex;
use tonic::Status;

use super::status;
use super::upload::{self, Uploads};
use crate::session::CATALOG;
use crate::types::type_name;

/// The schema of the ingested tables of a session.
pub(super) const SCRATCH: &str = "scratch";

/// Maximum length of a table's name in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Maximum number of tables of a session.
const MAX_TABLES: usize = 256;

/// The ingested tables of a session.
#[derive(Debug)]
pub(super) struct ScratchSchema {
    tables: Mutex<BTreeMap<String, Arc<IngestedTable>>>,
    pool: Arc<dyn MemoryPool>,
    /// Maximum bytes of all tables together.
    limit: usize,
}

#[derive(Debug)]
struct IngestedTable {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    table: Arc<MemTable>,
    memory: MemoryReservation,
}

/// The requested handling of an existing or missing table.
struct TableDefinition {
    creates: bool,
    exists: TableExistsOption,
}

impl TableDefinition {
    fn of(command: &CommandStatementIngest) -> Result<Self, Status> {
        let options = command.table_definition_options.unwrap_or_default();
        let unknown = |_| status::invalid("the table definition options are none of Flight SQL");
        let missing = TableNotExistOption::try_from(options.if_not_exist).map_err(unknown)?;
        let exists = TableExistsOption::try_from(options.if_exists).map_err(unknown)?;
        Ok(Self { creates: missing != TableNotExistOption::Fail, exists })
    }

    /// Rejects an existing or missing table if the client requested that.
    fn check(&self, name: &str, known: Option<&IngestedTable>) -> Result<(), Status> {
        match (known, self.exists) {
            (None, _) if !self.creates => {
                Err(Status::not_found(format!("there is no table {SCRATCH}.{name} to append to")))
            }
            (Some(_), TableExistsOption::Fail | TableExistsOption::Unspecified) => Err(Status::already_exists(
                format!("the table {SCRATCH}.{name} is there already; append to it or replace it"),
            )),
            _ => Ok(()),
        }
    }
}

impl ScratchSchema {
    /// An empty schema, of at most `limit` bytes of the memory pool.
    pub(super) fn new(pool: &Arc<dyn MemoryPool>, limit: usize) -> Arc<Self> {
        Arc::new(Self { tables: Mutex::default(), pool: Arc::clone(pool), limit })
    }

    /// Another schema with the tables of this one.
    pub(super) fn copy(&self) -> Arc<Self> {
        let tables = Mutex::new(self.tables.lock().clone());
        Arc::new(Self { tables, pool: Arc::clone(&self.pool), limit: self.limit })
    }

    fn used(&self) -> usize {
        self.tables.lock().values().map(|table| table.memory.size()).sum()
    }

    /// Ingests a table, completely or not at all. Returns the number of new rows.
    pub(super) async fn put(
        &self,
        command: &CommandStatementIngest,
        data: PeekableFlightDataStream,
        uploads: &Uploads,
    ) -> Result<i64, Status> {
        let definition = TableDefinition::of(command)?;
        let name = name_of(command)?;
        definition.check(name, self.tables.lock().get(name).map(Arc::as_ref))?;
        let memory = MemoryConsumer::new(format!("table {SCRATCH}.{name}")).register(&self.pool);
        let mut stream = uploads.batches(data, self.limit, "rows of a table");
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await.map_err(|fault| upload::failure(fault, "rows"))? {
            let bytes = batch.get_array_memory_size();
            if self.used() + memory.size() + bytes > self.limit {
                return Err(Status::resource_exhausted(format!(
                    "the tables of a session may take {} MB in all; bring less, or replace a table",
                    self.limit >> 20
                )));
            }
            memory.try_grow(bytes).map_err(|error| Status::resource_exhausted(error.strip_backtrace()))?;
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        let schema = stream.schema().cloned();
        let schema = schema.ok_or_else(|| status::invalid("a table without columns: there was no schema"))?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        self.insert(name, &definition, schema, batches, memory)?;
        i64::try_from(rows).map_err(|_| status::fault("more rows than there are numbers"))
    }

    fn insert(
        &self,
        name: &str,
        definition: &TableDefinition,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        memory: MemoryReservation,
    ) -> Result<(), Status> {
        let mut tables = self.tables.lock();
        // another request may have created it meanwhile
        definition.check(name, tables.get(name).map(Arc::as_ref))?;
        let (schema, all) = match tables.get(name) {
            Some(known) if definition.exists == TableExistsOption::Append => {
                check_same(name, &known.schema, &schema)?;
                let more = batches.into_iter().map(|batch| {
                    RecordBatch::try_new(Arc::clone(&known.schema), batch.columns().to_vec())
                        .map_err(|error| status::invalid(format!("rows for {SCRATCH}.{name}: {error}")))
                });
                let more = more.collect::<Result<Vec<_>, _>>()?;
                memory.grow(known.memory.size());
                (Arc::clone(&known.schema), known.batches.iter().cloned().chain(more).collect())
            }
            None if tables.len() >= MAX_TABLES => {
                return Err(Status::resource_exhausted(format!("a session may bring {MAX_TABLES} tables")));
            }
            _ => (schema, batches),
        };
        let table = MemTable::try_new(Arc::clone(&schema), vec![all.clone()]);
        let table = Arc::new(table.map_err(|error| status::invalid(error.strip_backtrace()))?);
        tables.insert(name.to_owned(), Arc::new(IngestedTable { schema, batches: all, table, memory }));
        Ok(())
    }
}

/// The validated name of the table.
fn name_of(command: &CommandStatementIngest) -> Result<&str, Status> {
    if command.transaction_id.is_some() {
        return Err(status::invalid("there are no transactions here; send the table without one"));
    }
    let is_here = command.catalog.as_deref().is_none_or(|name| name.is_empty() || name == CATALOG)
        && command.schema.as_deref().is_none_or(|name| name.is_empty() || name == SCRATCH);
    if !is_here {
        return Err(status::refused(format!(
            "tables are only taken into the schema `{SCRATCH}` of `{CATALOG}`, which is the session's own"
        )));
    }
    let name = command.table.as_str();
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(status::invalid(format!("a table has a name of 1 to {MAX_NAME_BYTES} bytes")));
    }
    Ok(name)
}

/// Checks that appended rows have the columns of the table. Flight SQL's code for others is ALREADY_EXISTS.
fn check_same(name: &str, known: &Schema, new: &Schema) -> Result<(), Status> {
    let wrong = |text: String| {
        Err(Status::already_exists(format!(
            "the table {SCRATCH}.{name} is there already with other columns: {text}; replace it, or send rows like those"
        )))
    };
    if known.fields().len() != new.fields().len() {
        return wrong(format!("{} columns are wanted, got {}", known.fields().len(), new.fields().len()));
    }
    for (wanted, got) in known.fields().iter().zip(new.fields()) {
        if wanted.name() != got.name() {
            return wrong(format!("the column `{}` is wanted, got `{}`", wanted.name(), got.name()));
        }
        if wanted.data_type() != got.data_type() {
            let (wanted_type, got_type) = (type_name(wanted.data_type()), type_name(got.data_type()));
            return wrong(format!("`{}` is {wanted_type}, got {got_type}", wanted.name()));
        }
    }
    Ok(())
}

#[async_trait]
impl SchemaProvider for ScratchSchema {
    fn table_names(&self) -> Vec<String> {
        self.tables.lock().keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.tables.lock().get(name).map(|table| Arc::clone(&table.table) as Arc<dyn TableProvider>))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Temporary))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.lock().contains_key(name)
    }
}

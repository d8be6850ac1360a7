//! The schema `system`: the history as tables that SQL reads, in every door.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use rusqlite::Connection;

use super::{failed, open_to_read};
use crate::error::{Error, Result};
use crate::session::{RowSource, SYSTEM, Session, VirtualTable};

/// The type of a column.
#[derive(Debug, Clone, Copy)]
enum Is {
    Text,
    Count,
    Flag,
    Instant,
}

type Columns = &'static [(&'static str, Is)];

const RUNS: Columns = &[
    ("run_id", Is::Text),
    ("job", Is::Text),
    ("report", Is::Text),
    ("scheduled_at", Is::Instant),
    ("trigger", Is::Text),
    ("state", Is::Text),
    ("attempt", Is::Count),
    ("parameters", Is::Text),
    ("recorded_at", Is::Instant),
    ("next_at", Is::Instant),
    ("started_at", Is::Instant),
    ("ended_at", Is::Instant),
    ("row_count", Is::Count),
    ("error", Is::Text),
];

const ATTEMPTS: Columns = &[
    ("run_id", Is::Text),
    ("attempt", Is::Count),
    ("host", Is::Text),
    ("started_at", Is::Instant),
    ("ended_at", Is::Instant),
    ("outcome", Is::Text),
    ("error", Is::Text),
];

const DELIVERIES: Columns = &[
    ("delivery_id", Is::Text),
    ("run_id", Is::Text),
    ("job", Is::Text),
    ("purpose", Is::Text),
    ("kind", Is::Text),
    ("target", Is::Text),
    ("recipients", Is::Text),
    ("state", Is::Text),
    ("tries", Is::Count),
    ("planned_at", Is::Instant),
    ("next_at", Is::Instant),
    ("sent_at", Is::Instant),
    ("removed_at", Is::Instant),
    ("message_id", Is::Text),
    ("sha256", Is::Text),
    ("byte_count", Is::Count),
    ("error", Is::Text),
];

const ALERTS: Columns = &[
    ("run_id", Is::Text),
    ("job", Is::Text),
    ("alert", Is::Text),
    ("severity", Is::Text),
    ("section", Is::Count),
    ("bad_group", Is::Text),
    ("evaluated_at", Is::Instant),
    ("is_met", Is::Flag),
    ("is_told", Is::Flag),
    ("figures", Is::Text),
];

const TABLES: [(&str, Columns); 4] =
    [("alerts", ALERTS), ("attempts", ATTEMPTS), ("deliveries", DELIVERIES), ("runs", RUNS)];

/// Adds the schema `system` over the history in a file, which need not be there yet.
///
/// # Errors
/// When the catalog refuses it.
pub fn register(session: &Session, store: &Path) -> Result<()> {
    session.add_schema(SYSTEM, Arc::new(SystemSchema { store: store.to_path_buf() }))
}

#[derive(Debug)]
struct SystemSchema {
    store: PathBuf,
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|(name, _)| (*name).to_string()).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let found = TABLES.iter().find(|(known, _)| *known == name);
        Ok(found.map(|(name, columns)| -> Arc<dyn TableProvider> {
            VirtualTable::new(schema(columns), Rows { name, columns, store: self.store.clone() })
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.iter().any(|(known, _)| *known == name)
    }
}

/// The rows of a table of the history.
#[derive(Debug)]
struct Rows {
    name: &'static str,
    columns: Columns,
    store: PathBuf,
}

fn schema(columns: Columns) -> SchemaRef {
    let field = |(name, is): &(&'static str, Is)| {
        let data_type = match is {
            Is::Text => DataType::Utf8,
            Is::Count => DataType::Int64,
            Is::Flag => DataType::Boolean,
            Is::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        };
        Field::new(*name, data_type, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

#[async_trait]
impl RowSource for Rows {
    async fn rows(&self, schema: &SchemaRef) -> DataFusionResult<RecordBatch> {
        let (name, columns, schema, store) = (self.name, self.columns, Arc::clone(schema), self.store.clone());
        let read = tokio::task::spawn_blocking(move || read(name, columns, schema, &store)).await;
        Ok(read.map_err(|error| DataFusionError::External(Box::new(error)))??)
    }
}

/// The rows of a table as one batch: histories are small.
fn read(name: &str, columns: Columns, schema: SchemaRef, store: &Path) -> Result<RecordBatch> {
    let Some(connection) = open_to_read(store)? else { return Ok(RecordBatch::new_empty(schema)) };
    // all columns of one moment
    connection.execute_batch("BEGIN").map_err(failed(store, "read"))?;
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .map(|(column, is)| array(&connection, name, column, *is))
        .collect::<rusqlite::Result<_>>()
        .map_err(failed(store, "read"))?;
    RecordBatch::try_new(schema, arrays).map_err(|error| Error::Engine { message: error.to_string() })
}

fn array(connection: &Connection, table: &str, column: &str, is: Is) -> rusqlite::Result<ArrayRef> {
    fn values<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Option<T>>> {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    }
    let sql = format!("SELECT {column} FROM {table} ORDER BY rowid");
    Ok(match is {
        Is::Text => Arc::new(StringArray::from(values::<String>(connection, &sql)?)),
        Is::Count => Arc::new(Int64Array::from(values::<i64>(connection, &sql)?)),
        Is::Flag => Arc::new(BooleanArray::from(values::<bool>(connection, &sql)?)),
        Is::Instant => Arc::new(TimestampMicrosecondArray::from(values::<i64>(connection, &sql)?).with_timezone("UTC")),
    })
}

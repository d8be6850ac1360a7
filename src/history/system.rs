//! The schema `system`: the tables of the history in SQL.

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

use super::alerts::UNKNOWN;
use super::{failed, open_to_read};
use crate::error::{Error, Result};
use crate::session::{RowSource, SYSTEM, Session, VirtualTable};

/// The type of a column.
#[derive(Debug, Clone, Copy)]
enum ColumnType {
    Utf8,
    Int64,
    Boolean,
    Timestamp,
}

type Columns = &'static [(&'static str, ColumnType)];

const RUNS: Columns = &[
    ("run_id", ColumnType::Utf8),
    ("job", ColumnType::Utf8),
    ("report", ColumnType::Utf8),
    ("scheduled_at", ColumnType::Timestamp),
    ("trigger", ColumnType::Utf8),
    ("state", ColumnType::Utf8),
    ("attempt", ColumnType::Int64),
    ("parameters", ColumnType::Utf8),
    ("recorded_at", ColumnType::Timestamp),
    ("next_at", ColumnType::Timestamp),
    ("started_at", ColumnType::Timestamp),
    ("ended_at", ColumnType::Timestamp),
    ("row_count", ColumnType::Int64),
    ("error", ColumnType::Utf8),
];

const ATTEMPTS: Columns = &[
    ("run_id", ColumnType::Utf8),
    ("attempt", ColumnType::Int64),
    ("host", ColumnType::Utf8),
    ("started_at", ColumnType::Timestamp),
    ("ended_at", ColumnType::Timestamp),
    ("outcome", ColumnType::Utf8),
    ("error", ColumnType::Utf8),
];

const DELIVERIES: Columns = &[
    ("delivery_id", ColumnType::Utf8),
    ("run_id", ColumnType::Utf8),
    ("job", ColumnType::Utf8),
    ("purpose", ColumnType::Utf8),
    ("kind", ColumnType::Utf8),
    ("target", ColumnType::Utf8),
    ("recipients", ColumnType::Utf8),
    ("state", ColumnType::Utf8),
    ("tries", ColumnType::Int64),
    ("planned_at", ColumnType::Timestamp),
    ("next_at", ColumnType::Timestamp),
    ("sent_at", ColumnType::Timestamp),
    ("removed_at", ColumnType::Timestamp),
    ("message_id", ColumnType::Utf8),
    ("sha256", ColumnType::Utf8),
    ("byte_count", ColumnType::Int64),
    ("error", ColumnType::Utf8),
];

const ALERTS: Columns = &[
    ("run_id", ColumnType::Utf8),
    ("job", ColumnType::Utf8),
    ("alert", ColumnType::Utf8),
    ("severity", ColumnType::Utf8),
    ("section", ColumnType::Int64),
    ("bad_group", ColumnType::Utf8),
    ("evaluated_at", ColumnType::Timestamp),
    ("is_met", ColumnType::Boolean),
    ("outcome", ColumnType::Utf8),
    ("is_told", ColumnType::Boolean),
    ("figures", ColumnType::Utf8),
];

const TABLES: [(&str, Columns); 4] =
    [("alerts", ALERTS), ("attempts", ATTEMPTS), ("deliveries", DELIVERIES), ("runs", RUNS)];

/// Adds the schema `system` over the history at a path, which need not exist yet.
///
/// # Errors
/// A catalog that rejects the schema.
pub(crate) fn register(session: &Session, store: &Path) -> Result<()> {
    session.add_schema(SYSTEM, Arc::new(HistorySchema { store: store.to_path_buf() }))
}

#[derive(Debug)]
struct HistorySchema {
    store: PathBuf,
}

#[async_trait]
impl SchemaProvider for HistorySchema {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|(name, _)| (*name).to_string()).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let found = TABLES.iter().find(|(known, _)| *known == name);
        Ok(found.map(|(name, columns)| -> Arc<dyn TableProvider> {
            VirtualTable::new(schema(columns), HistoryRows { name, columns, store: self.store.clone() })
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.iter().any(|(known, _)| *known == name)
    }
}

/// The rows of a table of the history.
#[derive(Debug)]
struct HistoryRows {
    name: &'static str,
    columns: Columns,
    store: PathBuf,
}

fn schema(columns: Columns) -> SchemaRef {
    let field = |(name, column_type): &(&'static str, ColumnType)| {
        let data_type = match column_type {
            ColumnType::Utf8 => DataType::Utf8,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        };
        Field::new(*name, data_type, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

#[async_trait]
impl RowSource for HistoryRows {
    async fn rows(&self, schema: &SchemaRef) -> DataFusionResult<RecordBatch> {
        let (name, columns, schema, store) = (self.name, self.columns, Arc::clone(schema), self.store.clone());
        let read = tokio::task::spawn_blocking(move || read(name, columns, schema, &store)).await;
        Ok(read.map_err(|error| DataFusionError::External(Box::new(error)))??)
    }
}

/// The rows of a table as one batch: histories are small.
fn read(name: &str, columns: Columns, schema: SchemaRef, store: &Path) -> Result<RecordBatch> {
    let Some(connection) = open_to_read(store)? else { return Ok(RecordBatch::new_empty(schema)) };
    // all columns are read in one transaction
    connection.execute_batch("BEGIN").map_err(failed(store, "read"))?;
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .map(|(column, column_type)| array(&connection, name, column, *column_type))
        .collect::<rusqlite::Result<_>>()
        .map_err(failed(store, "read"))?;
    RecordBatch::try_new(schema, arrays).map_err(|error| Error::Engine { message: error.to_string() })
}

fn array(connection: &Connection, table: &str, column: &str, column_type: ColumnType) -> rusqlite::Result<ArrayRef> {
    fn values<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Option<T>>> {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    }
    let value = match (table, column) {
        // it is unknown whether an alert over no rows is met
        ("alerts", "is_met") => format!("nullif(is_met, {UNKNOWN})"),
        ("alerts", "outcome") => {
            format!("CASE is_met WHEN {UNKNOWN} THEN 'unknown' WHEN 0 THEN 'not met' ELSE 'met' END")
        }
        _ => column.to_string(),
    };
    let sql = format!("SELECT {value} FROM {table} ORDER BY rowid");
    Ok(match column_type {
        ColumnType::Utf8 => Arc::new(StringArray::from(values::<String>(connection, &sql)?)),
        ColumnType::Int64 => Arc::new(Int64Array::from(values::<i64>(connection, &sql)?)),
        ColumnType::Boolean => Arc::new(BooleanArray::from(values::<bool>(connection, &sql)?)),
        ColumnType::Timestamp => {
            Arc::new(TimestampMicrosecondArray::from(values::<i64>(connection, &sql)?).with_timezone("UTC"))
        }
    })
}

//! `system.queries` and `system.sessions`: the state of the server in SQL, for its operators.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;

use super::client_sessions::ClientSessionStore;
use super::query_log::{QueryLog, code_name};
use crate::session::{RowSource, VirtualTable};

pub(super) const QUERIES: &str = "queries";
const SESSIONS: &str = "sessions";

/// The schema `system` of a server: its own tables and those of the job history.
#[derive(Debug)]
pub(super) struct SystemSchema {
    pub(super) query_log: Arc<QueryLog>,
    pub(super) sessions: ClientSessionStore,
    /// The tables of the job history, if there is one.
    pub(super) history: Option<Arc<dyn SchemaProvider>>,
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        let history = self.history.iter().flat_map(|history| history.table_names());
        [QUERIES, SESSIONS].map(str::to_owned).into_iter().chain(history).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(match name {
            QUERIES => Some(VirtualTable::new(queries_schema(), SystemRows::Queries(Arc::clone(&self.query_log)))),
            SESSIONS => Some(VirtualTable::new(sessions_schema(), SystemRows::Sessions(self.sessions.clone()))),
            _ => match &self.history {
                Some(history) => history.table(name).await?,
                None => None,
            },
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        matches!(name, QUERIES | SESSIONS) || self.history.as_ref().is_some_and(|history| history.table_exist(name))
    }
}

#[derive(Debug)]
enum SystemRows {
    Queries(Arc<QueryLog>),
    Sessions(ClientSessionStore),
}

#[async_trait]
impl RowSource for SystemRows {
    async fn rows(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        Ok(match self {
            Self::Queries(query_log) => query_rows(query_log, schema)?,
            Self::Sessions(sessions) => session_rows(sessions, schema)?,
        })
    }
}

fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let fields = fields.iter().map(|(name, data_type, is_nullable)| Field::new(*name, data_type.clone(), *is_nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn queries_schema() -> SchemaRef {
    use DataType::{Float64, UInt64, Utf8};
    schema(&[
        ("query_id", Utf8, false),
        ("session_id", Utf8, false),
        ("user_name", Utf8, true),
        ("fingerprint", Utf8, false),
        ("statement", Utf8, false),
        ("started_at", timestamp_type(), false),
        ("ended_at", timestamp_type(), true),
        ("plan_s", Float64, true),
        ("wait_s", Float64, true),
        ("elapsed_s", Float64, true),
        ("row_count", UInt64, false),
        ("byte_count", UInt64, false),
        ("outcome", Utf8, false),
        ("error_code", Utf8, true),
    ])
}

fn strings<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

fn timestamps(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter(values).with_timezone("UTC"))
}

fn seconds(values: impl Iterator<Item = Option<Duration>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values.map(|value| value.map(|value| value.as_secs_f64()))))
}

fn query_rows(query_log: &QueryLog, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let entries: Vec<_> = query_log.entries().into_iter().map(|entry| (entry.progress(), entry)).collect();
    let all = || entries.iter();
    let columns = vec![
        strings(all().map(|(_, entry)| Some(entry.id.to_string()))),
        strings(all().map(|(_, entry)| Some(entry.session_id.to_string()))),
        strings(all().map(|(_, entry)| entry.user.as_deref())),
        strings(all().map(|(_, entry)| Some(&entry.fingerprint))),
        strings(all().map(|(_, entry)| Some(&entry.text))),
        timestamps(all().map(|(_, entry)| Some(entry.started_at.timestamp_micros()))),
        timestamps(all().map(|(progress, _)| progress.ended.map(|(at, _)| at.timestamp_micros()))),
        seconds(all().map(|(progress, _)| progress.plan)),
        seconds(all().map(|(progress, _)| progress.wait)),
        seconds(all().map(|(progress, _)| progress.ended.map(|(_, elapsed)| elapsed))),
        Arc::new(UInt64Array::from_iter_values(all().map(|(_, entry)| entry.rows()))),
        Arc::new(UInt64Array::from_iter_values(all().map(|(_, entry)| entry.bytes()))),
        strings(all().map(|(progress, _)| Some(progress.state.name()))),
        strings(all().map(|(progress, _)| progress.code.map(code_name))),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn sessions_schema() -> SchemaRef {
    use DataType::{Float64, UInt64, Utf8};
    schema(&[
        ("session_id", Utf8, false),
        ("user_name", Utf8, true),
        ("kind", Utf8, false),
        ("address", Utf8, true),
        ("opened_at", timestamp_type(), false),
        ("used_at", timestamp_type(), false),
        ("schema_name", Utf8, true),
        ("time_zone", Utf8, true),
        ("timeout_s", Float64, true),
        ("query_count", UInt64, false),
    ])
}

fn session_rows(sessions: &ClientSessionStore, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let mut sessions: Vec<_> = sessions.all().into_iter().map(|client| (client.settings(), client)).collect();
    sessions.sort_by_key(|(_, client)| client.opened_at);
    let all = || sessions.iter();
    let columns = vec![
        strings(all().map(|(_, client)| Some(client.id.to_string()))),
        strings(all().map(|(_, client)| client.principal.0.as_deref())),
        strings(all().map(|(_, client)| Some(client.kind.name()))),
        strings(all().map(|(_, client)| client.address.map(|address| address.to_string()))),
        timestamps(all().map(|(_, client)| Some(client.opened_at.timestamp_micros()))),
        timestamps(all().map(|(_, client)| Some(client.used_at()))),
        strings(all().map(|(settings, _)| settings.schema.as_deref())),
        strings(all().map(|(settings, _)| settings.time_zone.as_deref())),
        seconds(all().map(|(settings, _)| settings.timeout)),
        Arc::new(UInt64Array::from_iter_values(all().map(|(_, client)| client.query_count()))),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns)
}

//! Catalog metadata: the answers to GetCatalogs, GetDbSchemas, GetTables, GetTableTypes and the key commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTableTypes, CommandGetTables,
};
use datafusion::arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::information_schema::{INFORMATION_SCHEMA, INFORMATION_SCHEMA_TABLES};
use datafusion::common::TableReference;
use datafusion::logical_expr::TableType;
use tonic::Status;

use super::columns::{self, Origin};
use super::headers::TimestampForm;
use super::status;
use crate::session::{CATALOG, SCHEMA, Session};

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";
const TEMPORARY: &str = "TEMPORARY";
const SYSTEM: &str = "SYSTEM TABLE";

/// Primary key columns by table, as configured.
pub(super) type PrimaryKeys = BTreeMap<String, Vec<String>>;

/// The answer to GetCatalogs.
pub(super) fn catalogs(session: &Session, query: CommandGetCatalogs) -> Result<RecordBatch, Status> {
    let mut builder = query.into_builder();
    for name in session.context().catalog_names() {
        builder.append(name);
    }
    builder.build().map_err(fault)
}

/// The answer to GetDbSchemas.
pub(super) fn schemas(session: &Session, query: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut builder = query.into_builder();
    for (catalog, schema) in all_schemas(session) {
        builder.append(catalog, schema);
    }
    builder.build().map_err(fault)
}

/// The answer to GetTableTypes.
pub(super) fn table_types(query: CommandGetTableTypes) -> Result<RecordBatch, Status> {
    let mut builder = query.into_builder();
    for name in [SYSTEM, TABLE, TEMPORARY, VIEW] {
        builder.append(name);
    }
    builder.build().map_err(fault)
}

/// The answer to GetTables. A table is opened only if its schema is requested; one that cannot be opened has no
/// columns.
pub(super) async fn tables(
    session: &Session,
    query: CommandGetTables,
    timestamps: TimestampForm,
) -> Result<RecordBatch, Status> {
    let with_columns = query.include_schema;
    let types = query.table_types.iter().map(|name| table_type(name)).collect();
    let mut names = CommandGetTables { include_schema: false, table_types: types, ..query }.into_builder();
    let nothing = Schema::empty();
    for (catalog, schema) in all_schemas(session) {
        for (table, kind) in relations(session, &catalog, &schema).await {
            names.append(&catalog, &schema, table, kind, &nothing).map_err(fault)?;
        }
    }
    let names = names.build().map_err(fault)?;
    if !with_columns {
        return Ok(names);
    }
    let mut builder = CommandGetTables { include_schema: true, ..Default::default() }.into_builder();
    let column = |at: usize| names.column(at).as_string::<i32>();
    let (catalogs, schemas, tables, kinds) = (column(0), column(1), column(2), column(3));
    for row in 0..names.num_rows() {
        let (catalog, schema, table) = (catalogs.value(row), schemas.value(row), tables.value(row));
        let columns = table_columns(session, [catalog, schema, table], timestamps).await;
        builder.append(catalog, schema, table, kinds.value(row), &columns).map_err(fault)?;
    }
    builder.build().map_err(fault)
}

/// The table type that a client asks for: without case, and by the name that the SQL standard gives to tables.
fn table_type(name: &str) -> String {
    match name.to_uppercase().as_str() {
        "BASE TABLE" => TABLE.to_owned(),
        "LOCAL TEMPORARY" | "GLOBAL TEMPORARY" => TEMPORARY.to_owned(),
        other => other.to_owned(),
    }
}

/// The schema of a table as a query over it would have it; empty if the table cannot be opened.
async fn table_columns(session: &Session, [catalog, schema, table]: [&str; 3], timestamps: TimestampForm) -> SchemaRef {
    let state = session.state();
    let opened = match state.schema_for_ref(TableReference::full(catalog, schema, table)) {
        Ok(provider) => provider.table(table).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(Some(opened)) => {
            let columns = opened.schema();
            let origin = Origin { catalog: catalog.to_owned(), schema: schema.to_owned(), table: table.to_owned() };
            columns::client_schema(&columns, &vec![Some(origin); columns.fields().len()], false, timestamps)
        }
        Ok(None) => Arc::new(Schema::empty()),
        Err(error) => {
            let error = error.to_string();
            tracing::info!(error = error.as_str(), "{schema}.{table} is listed without columns");
            Arc::new(Schema::empty())
        }
    }
}

fn all_schemas(session: &Session) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for name in session.context().catalog_names() {
        let Some(catalog) = session.context().catalog(&name) else { continue };
        let schemas = catalog.schema_names().into_iter().chain([INFORMATION_SCHEMA.to_owned()]);
        all.extend(schemas.map(|schema| (name.clone(), schema)));
    }
    all
}

/// The tables and views of a schema with their table types.
async fn relations(session: &Session, catalog: &str, schema: &str) -> Vec<(String, &'static str)> {
    if schema == INFORMATION_SCHEMA {
        return INFORMATION_SCHEMA_TABLES.iter().map(|name| ((*name).to_owned(), SYSTEM)).collect();
    }
    let provider = session.context().catalog(catalog).and_then(|catalog| catalog.schema(schema));
    let Some(provider) = provider else { return Vec::new() };
    let mut relations = Vec::new();
    for name in provider.table_names() {
        let kind = match provider.table_type(&name).await {
            Ok(Some(TableType::View)) => VIEW,
            Ok(Some(TableType::Temporary)) => TEMPORARY,
            Ok(Some(TableType::Base) | None) | Err(_) => TABLE,
        };
        relations.push((name, kind));
    }
    relations
}

/// The columns of the answer to GetPrimaryKeys.
pub(super) fn primary_key_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// The answer to GetPrimaryKeys: the configured keys.
pub(super) fn primary_keys(
    session: &Session,
    keys: &PrimaryKeys,
    query: &CommandGetPrimaryKeys,
) -> Result<RecordBatch, Status> {
    let matches_filter = |filter: &Option<String>, name: &str| filter.as_ref().is_none_or(|filter| filter == name);
    let is_here = matches_filter(&query.catalog, CATALOG)
        && matches_filter(&query.db_schema, SCHEMA)
        && session.resolve(&TableReference::full(CATALOG, SCHEMA, query.table.as_str())).is_some();
    let columns: &[String] = match keys.get(&query.table) {
        Some(columns) if is_here => columns,
        _ => &[],
    };
    let count = columns.len();
    let same = |text: &str| Arc::new(StringArray::from(vec![text; count])) as ArrayRef;
    let name = format!("{}_key", query.table);
    let arrays: Vec<ArrayRef> = vec![
        same(CATALOG),
        same(SCHEMA),
        same(&query.table),
        Arc::new(StringArray::from_iter_values(columns)),
        same(&name),
        Arc::new(Int32Array::from_iter_values(1..=i32::try_from(count).unwrap_or(i32::MAX))),
    ];
    RecordBatch::try_new(primary_key_schema(), arrays).map_err(|error| status::fault(&error.to_string()))
}

/// The columns of the answers to GetExportedKeys, GetImportedKeys and GetCrossReference. They are always empty: there
/// are no foreign keys.
pub(super) fn foreign_key_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

fn fault(error: arrow_flight::error::FlightError) -> Status {
    status::fault(&error.to_string())
}

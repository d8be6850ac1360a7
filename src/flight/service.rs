//! The Flight SQL commands, each delegated to its module.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest, ActionEndTransactionRequest, Any, Command,
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementSubstraitPlan, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, FlightInfo,
    Ticket,
};
use bytes::Bytes;
use datafusion::common::TableReference;
use futures::{StreamExt, stream};
use prost::Message;
use tokio::runtime::Handle;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::activity::Activity;
use super::auth::Principal;
use super::client_sessions::ClientSession;
use super::headers::{self, Asked};
use super::metadata::{self, PrimaryKeys};
use super::planner::Planner;
use super::query_log::QueryLog;
use super::responses::{
    DataResponse, InfoResponse, command_info, empty, flight_fault, info, schema_bytes, send_batch, with_query_id,
};
use super::statements::{self, PreparedStatement, StatementStore};
use super::stream::{self as rows, PlannedQuery, QueryLimits, RunningQueries, TicketKey};
use super::system::QUERIES;
use super::upload::Uploads;
use super::{sql_info, sql_types, status};
use crate::session::{CATALOG, SYSTEM, Session};

/// The action that cancels a query by its FlightInfo.
pub(crate) const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";

/// The action that cancels a query by its id.
pub(crate) const CANCEL_QUERY_ID: &str = "cxql.CancelQueryId";

/// Values of [`ActionCancelQueryResult`].
const QUERY_CANCELLED: i32 = 1;
const QUERY_NOT_CANCELLABLE: i32 = 3;

/// Flight SQL over a session.
pub(super) struct Service {
    /// The runtime on which queries are executed; requests are handled on the network thread.
    query_runtime: Handle,
    planner: Planner,
    /// The unrestricted session, which collects the notes of all.
    session: Arc<Session>,
    statements: Arc<StatementStore>,
    query_log: Arc<QueryLog>,
    running: Arc<RunningQueries>,
    limits: Arc<QueryLimits>,
    uploads: Uploads,
    /// Maximum bytes of the ingested tables of a session; `None` allows no ingestion.
    ingest: Option<usize>,
    keys: Arc<PrimaryKeys>,
    infos: SqlInfoData,
    types: XdbcTypeInfoData,
}

impl Service {
    /// # Errors
    /// When the constant answers cannot be built, which is a fault.
    pub(super) fn new(
        session: Arc<Session>,
        query_log: Arc<QueryLog>,
        keys: PrimaryKeys,
        limits: QueryLimits,
        ingest: Option<usize>,
        query_runtime: Handle,
    ) -> Result<Self, Status> {
        Ok(Self {
            planner: Planner::new(query_runtime.clone()),
            uploads: Uploads::new(&session, query_runtime.clone()),
            query_runtime,
            statements: Arc::new(StatementStore::new(session.memory().1)),
            query_log,
            running: Arc::default(),
            limits: Arc::new(limits),
            ingest,
            keys: Arc::new(keys),
            infos: sql_info::sql_info(&session, ingest.is_some())?,
            types: sql_types::type_info()?,
            session,
        })
    }

    /// What clients are doing.
    pub(super) fn activity(&self) -> Activity {
        Activity::new(Arc::clone(&self.running), Arc::clone(&self.statements))
    }

    /// Runs a future that plans on a thread of its own. It is cancelled when the client disconnects.
    async fn on_planner<T: Send + 'static>(
        &self,
        client: &ClientSession,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let timeout = self.limits.timeout(client.settings().timeout);
        let done = self.planner.run(&client.principal, timeout, work).await;
        for note in self.session.take_notes() {
            tracing::info!("{note}");
        }
        done
    }

    async fn plan(&self, client: Arc<ClientSession>, asked: Asked, text: String) -> Result<Arc<PlannedQuery>, Status> {
        let statements = Arc::clone(&self.statements);
        let tracker = self.query_log.plan(&client, &text);
        let entry = Arc::clone(&tracker.entry);
        let planning = Arc::clone(&client);
        tracker.planned(
            self.on_planner(&client, async move { statements.plan(&planning, &asked, &text, entry).await }).await,
        )
    }

    async fn plan_prepared(
        &self,
        client: Arc<ClientSession>,
        prepared: Arc<PreparedStatement>,
    ) -> Result<Arc<PlannedQuery>, Status> {
        let statements = Arc::clone(&self.statements);
        let tracker = self.query_log.plan(&client, &prepared.source.text);
        let entry = Arc::clone(&tracker.entry);
        let planning = Arc::clone(&client);
        tracker.planned(
            self.on_planner(&client, async move { statements.plan_prepared(&planning, &prepared, entry).await }).await,
        )
    }

    fn send(&self, planned: &Arc<PlannedQuery>, ticket: TicketKey, headers: &MetadataMap) -> DataResponse {
        let options = rows::write_options(headers)?;
        let tracker = self.query_log.fetch(&planned.entry);
        let entry = Arc::clone(&tracker.entry);
        let sent =
            rows::send_query(&self.query_runtime, tracker, planned, ticket, (&self.running, &self.limits), options);
        Ok(with_query_id(Response::new(sent), &entry))
    }

    fn planned_info(&self, planned: Arc<PlannedQuery>, request: Request<FlightDescriptor>) -> InfoResponse {
        let (schema, entry) = (Arc::clone(&planned.schema), Arc::clone(&planned.entry));
        let handle = self.statements.add_ticket(&Principal::of_request(&request), planned)?;
        let handle = Bytes::copy_from_slice(handle.as_bytes());
        let info = info(&schema, &TicketStatementQuery { statement_handle: handle }.as_any(), request.into_inner())?;
        Ok(with_query_id(info, &entry))
    }

    /// Cancels the query of a FlightInfo of the same user. False if it was not found.
    fn cancel(&self, principal: &Principal, info: &FlightInfo) -> bool {
        let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref());
        let handles = tickets.filter_map(|ticket| {
            let any = Any::decode(&*ticket.ticket).ok()?;
            Some(any.unpack::<TicketStatementQuery>().ok()??.statement_handle)
        });
        let mut found = false;
        for handle in handles {
            // a running ticket is usually stored for another fetch; one that has expired may still run
            let Some(ticket) = statements::key(principal, &handle) else { continue };
            let was_kept = self.statements.remove_ticket(&ticket);
            found |= self.running.cancel(&ticket) || was_kept;
        }
        found
    }
}

fn no_transactions() -> Status {
    Status::unimplemented("there are no transactions here: every statement only reads")
}

fn no_substrait() -> Status {
    Status::unimplemented("Substrait plans are not supported; send SQL")
}

fn no_ingest() -> Status {
    status::refused(
        "this endpoint only reads: no data is taken in; add files to the data folder, or start it with --allow-ingest",
    )
}

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Service;

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        let client = ClientSession::of_request(&request)?;
        let asked = headers::asked(&client, request.metadata())?;
        let planned = self.plan(client, asked, query.query).await?;
        self.planned_info(planned, request)
    }

    async fn get_flight_info_substrait_plan(
        &self,
        _query: CommandStatementSubstraitPlan,
        _request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        Err(no_substrait())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        let prepared = self.statements.find(&Principal::of_request(&request), &query.prepared_statement_handle)?;
        let planned = self.plan_prepared(ClientSession::of_request(&request)?, prepared).await?;
        self.planned_info(planned, request)
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&query.into_builder().schema(), &query, request)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&query.clone().into_builder().schema(), &query, request)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&query.clone().into_builder().schema(), &query, request)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&metadata::table_types(query)?.schema(), &query, request)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&self.infos.schema(), &query, request)
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&metadata::primary_key_schema(), &query, request)
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&metadata::foreign_key_schema(), &query, request)
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&metadata::foreign_key_schema(), &query, request)
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&metadata::foreign_key_schema(), &query, request)
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> InfoResponse {
        command_info(&self.types.schema(), &query, request)
    }

    async fn get_flight_info_fallback(&self, command: Command, _request: Request<FlightDescriptor>) -> InfoResponse {
        Err(Status::unimplemented(format!("`{}` is no query of Flight SQL", command.type_url())))
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> DataResponse {
        let principal = Principal::of_request(&request);
        let (ticket, planned) = self.statements.find_ticket(&principal, &ticket.statement_handle)?;
        self.send(&planned, ticket, request.metadata())
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> DataResponse {
        let principal = Principal::of_request(&request);
        let prepared = self.statements.find(&principal, &query.prepared_statement_handle)?;
        let planned = self.plan_prepared(ClientSession::of_request(&request)?, prepared).await?;
        self.send(&planned, (principal, Uuid::new_v4()), request.metadata())
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, request: Request<Ticket>) -> DataResponse {
        send_batch(metadata::catalogs(&ClientSession::of_request(&request)?.session(), query)?, &request)
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> DataResponse {
        send_batch(metadata::schemas(&ClientSession::of_request(&request)?.session(), query)?, &request)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> DataResponse {
        let client = ClientSession::of_request(&request)?;
        let Asked { session, timestamps } = headers::asked(&client, request.metadata())?;
        let tables = async move { metadata::tables(&session, query, timestamps).await };
        send_batch(self.on_planner(&client, tables).await?, &request)
    }

    async fn do_get_table_types(&self, query: CommandGetTableTypes, request: Request<Ticket>) -> DataResponse {
        send_batch(metadata::table_types(query)?, &request)
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, request: Request<Ticket>) -> DataResponse {
        send_batch(query.into_builder(&self.infos).build().map_err(flight_fault)?, &request)
    }

    async fn do_get_primary_keys(&self, query: CommandGetPrimaryKeys, request: Request<Ticket>) -> DataResponse {
        send_batch(
            metadata::primary_keys(&ClientSession::of_request(&request)?.session(), &self.keys, &query)?,
            &request,
        )
    }

    async fn do_get_exported_keys(&self, _query: CommandGetExportedKeys, request: Request<Ticket>) -> DataResponse {
        empty(metadata::foreign_key_schema(), &request)
    }

    async fn do_get_imported_keys(&self, _query: CommandGetImportedKeys, request: Request<Ticket>) -> DataResponse {
        empty(metadata::foreign_key_schema(), &request)
    }

    async fn do_get_cross_reference(&self, _query: CommandGetCrossReference, request: Request<Ticket>) -> DataResponse {
        empty(metadata::foreign_key_schema(), &request)
    }

    async fn do_get_xdbc_type_info(&self, query: CommandGetXdbcTypeInfo, request: Request<Ticket>) -> DataResponse {
        send_batch(query.into_builder(&self.types).build().map_err(flight_fault)?, &request)
    }

    async fn do_get_fallback(&self, _request: Request<Ticket>, message: Any) -> DataResponse {
        Err(status::invalid(format!("`{}` is no ticket of this server", message.type_url)))
    }

    async fn do_put_error_callback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(status::invalid(error.to_string()))
    }

    async fn do_put_fallback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        message: Any,
    ) -> Result<Response<<Self as FlightService>::DoPutStream>, Status> {
        Err(Status::unimplemented(format!("`{}` is no command of Flight SQL that takes data", message.type_url)))
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let statements = Arc::clone(&self.statements);
        let client = ClientSession::of_request(&request)?;
        let tracker = self.query_log.plan(&client, &command.query);
        let asked = headers::asked(&client, request.metadata())?;
        tracker.planned(
            self.on_planner(&client, async move { Err(statements.refuse_update(&asked, &command.query).await) }).await,
        )
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let Some(limit) = self.ingest else { return Err(no_ingest()) };
        let client = ClientSession::of_request(&request)?;
        let scratch = client.scratch(limit).map_err(|error| status::from_error(&error))?;
        let rows = scratch.put(&command, request.into_inner(), &self.uploads).await?;
        tracing::info!(session_id = %client.id, table = command.table.as_str(), rows, "a table was brought");
        Ok(rows)
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let principal = Principal::of_request(&request);
        let handle = query.prepared_statement_handle.clone();
        self.statements.find(&principal, &handle)?;
        let client = ClientSession::of_request(&request)?;
        let batches = self.uploads.parameters(request.into_inner()).await?;
        let statements = Arc::clone(&self.statements);
        self.on_planner(&client, async move { statements.bind(&principal, &handle, &batches) }).await?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        // every prepared statement returns rows
        self.statements.find(&Principal::of_request(&request), &query.prepared_statement_handle)?;
        Err(status::invalid("the prepared statement returns rows; execute it as a query and not as an update"))
    }

    async fn do_put_substrait_plan(
        &self,
        _query: CommandStatementSubstraitPlan,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(no_substrait())
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let statements = Arc::clone(&self.statements);
        let client = ClientSession::of_request(&request)?;
        let asked = headers::asked(&client, request.metadata())?;
        let text = query.query.clone();
        let prepared =
            match self.on_planner(&client, async move { statements.prepare(&asked, &query.query).await }).await {
                Ok(prepared) => prepared,
                // an execution is logged when it starts; a statement that cannot be prepared is logged now
                Err(status) => return self.query_log.plan(&client, &text).planned(Err(status)),
            };
        let dataset_schema = schema_bytes(&prepared.schema)?;
        let parameter_schema = schema_bytes(&statements::parameter_schema(&prepared))?;
        let prepared_statement_handle = self.statements.keep(&Principal::of_request(&request), prepared)?;
        Ok(ActionCreatePreparedStatementResult { prepared_statement_handle, dataset_schema, parameter_schema })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        self.statements.close(&Principal::of_request(&request), &query.prepared_statement_handle);
        Ok(())
    }

    async fn do_action_create_prepared_substrait_plan(
        &self,
        _query: ActionCreatePreparedSubstraitPlanRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        Err(no_substrait())
    }

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        Err(no_transactions())
    }

    async fn do_action_end_transaction(
        &self,
        _query: ActionEndTransactionRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(no_transactions())
    }

    async fn do_action_begin_savepoint(
        &self,
        _query: ActionBeginSavepointRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        Err(no_transactions())
    }

    async fn do_action_end_savepoint(
        &self,
        _query: ActionEndSavepointRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(no_transactions())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = FlightInfo::decode(&*query.info);
        let info = info.map_err(|_| status::invalid("the query to cancel is no FlightInfo"))?;
        let result =
            if self.cancel(&Principal::of_request(&request), &info) { QUERY_CANCELLED } else { QUERY_NOT_CANCELLABLE };
        Ok(ActionCancelQueryResult { result })
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        None
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let principal = Principal::of_request(&request);
        let client = ClientSession::of_request(&request)?;
        let action = request.into_inner();
        if action.r#type == CANCEL_QUERY_ID {
            // who can read system.queries can cancel the queries of others
            let table = TableReference::full(CATALOG, SYSTEM, QUERIES);
            let is_any = client.session().resolve(&table).is_some();
            let id = std::str::from_utf8(&action.body).ok().and_then(|text| Uuid::parse_str(text.trim()).ok());
            let id = id.ok_or_else(|| status::invalid(format!("{CANCEL_QUERY_ID} wants the id of a query")))?;
            if !self.query_log.cancel(id, &principal, is_any) {
                return Err(Status::not_found(format!("there is no running query {id}, or it is not yours")));
            }
            return Ok(Response::new(stream::iter([Ok(arrow_flight::Result { body: Bytes::new() })]).boxed()));
        }
        if action.r#type != CANCEL_FLIGHT_INFO {
            return Err(Status::unimplemented(format!("there is no action `{}`", action.r#type)));
        }
        let cancel_request = CancelFlightInfoRequest::decode(&*action.body);
        let cancel_request = cancel_request
            .map_err(|_| status::invalid(format!("{CANCEL_FLIGHT_INFO} wants a CancelFlightInfoRequest")))?;
        let is_cancelled = cancel_request.info.is_some_and(|info| self.cancel(&principal, &info));
        let result = if is_cancelled { CancelStatus::Cancelled } else { CancelStatus::NotCancellable };
        let body = CancelFlightInfoResult { status: result as i32 }.encode_to_vec().into();
        Ok(Response::new(stream::iter([Ok(arrow_flight::Result { body })]).boxed()))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}

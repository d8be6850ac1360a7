//! Prepared statements and tickets: a statement is planned once and stored for a while under an unguessable handle.
//!
//! What is stored is counted for each user, by the length of its text, its constants and its parameters, so that nobody's
//! statements evict those of others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::ParamValues;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{LogicalPlan, Statement as PlanStatement};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use moka::sync::Cache;
use tonic::Status;
use uuid::Uuid;

use super::auth::Principal;
use super::client_sessions::ClientSession;
use super::columns::{self, Origin};
use super::headers::{Asked, TimestampForm};
use super::infer::{Use, UseKind};
use super::params::{self, StatementParameter};
use super::query_log::QueryEntry;
use super::stream::{PlannedQuery, QueryStep, TicketKey};
use super::{bind, recent, status};
use crate::error::{Error, Result};
use crate::ipc::mebibytes;
use crate::session::{Session, StatementValues, writes};
use crate::source::Source;
use crate::sqlfile;
use crate::types::sql_type;

/// The tickets of a user may take one part in so many of the memory limit, and the prepared statements as much.
const STATEMENTS_SHARE: usize = 16;

/// Bytes of the statements of a user, whatever the memory limit is.
const MIN_STATEMENTS_BYTES: usize = 32 << 20;
const MAX_STATEMENTS_BYTES: usize = 256 << 20;

/// Bytes of a small plan, and of a plan for each byte of its statement.
const PLAN_BYTES: usize = 32 << 10;
const PLAN_BYTES_PER_TEXT: usize = 32;

/// How long a ticket can be fetched.
const TICKET_LIFE: Duration = Duration::from_secs(10 * 60);

/// How long an unused prepared statement is kept.
pub(super) const PREPARED_IDLE: Duration = Duration::from_secs(60 * 60);

/// How long the physical plan of a prepared statement is valid for its first execution. It contains the list of files
/// and the time of the query.
const INITIAL_PLAN_LIFE: Duration = Duration::from_secs(10);

/// A statement that is ready to be executed.
#[derive(Debug)]
pub(super) struct PreparedStatement {
    pub(super) source: Arc<Source>,
    /// The session in which it was planned, and is planned again.
    session: Arc<Session>,
    timestamps: TimestampForm,
    plan: LogicalPlan,
    /// The statement, which is planned again for values of other types; `None` if it cannot be, as EXPLAIN.
    statement: Option<ast::Statement>,
    /// The types of the parameters in the plan; `None` if it was planned without.
    planned_types: Option<Vec<DataType>>,
    /// Whether its plan depends on the values, and not only on their types: they are arguments of reports or table functions.
    depends_on_values: bool,
    pub(super) params: Vec<StatementParameter>,
    /// The schema of its result.
    pub(super) schema: SchemaRef,
    /// Whether the schema is independent of the parameter values.
    is_schema_final: bool,
    /// The physical plan that determined the schema, for the first execution.
    initial_plan: Mutex<Option<(Instant, Arc<dyn ExecutionPlan>)>>,
    /// The rows of parameter values of the next execution.
    bound_rows: Mutex<Vec<Vec<ScalarValue>>>,
    /// Bytes that it takes without the parameter values.
    bytes: usize,
}

impl PreparedStatement {
    fn bytes(&self) -> usize {
        self.bytes + values_bytes(&self.bound_rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn values_bytes(rows: &[Vec<ScalarValue>]) -> usize {
    rows.iter().flatten().map(ScalarValue::size).sum()
}

/// The bytes that a plan takes, with the constants that were computed on this thread.
fn plan_bytes(source: &Source) -> usize {
    PLAN_BYTES + PLAN_BYTES_PER_TEXT * source.text.len() + cxql_engine::planning::spent_bytes()
}

/// The statements of a user: another one cannot use their handles. The least recently used are evicted.
#[derive(Debug)]
struct UserStatements {
    tickets: Cache<Uuid, Arc<PlannedQuery>>,
    prepared: Cache<Uuid, Arc<PreparedStatement>>,
}

impl UserStatements {
    fn new(limit: usize) -> Self {
        let weight = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let tickets = recent(limit as u64).weigher(move |_: &Uuid, planned: &Arc<PlannedQuery>| weight(planned.bytes));
        let prepared =
            recent(limit as u64).weigher(move |_: &Uuid, prepared: &Arc<PreparedStatement>| weight(prepared.bytes()));
        Self {
            tickets: tickets.time_to_live(TICKET_LIFE).build(),
            prepared: prepared.time_to_idle(PREPARED_IDLE).build(),
        }
    }
}

/// The statements of a server.
#[derive(Debug)]
pub(super) struct StatementStore {
    users: parking_lot::Mutex<HashMap<Principal, Arc<UserStatements>>>,
    /// Maximum bytes of the tickets of a user, and of the prepared statements.
    limit: usize,
}

impl StatementStore {
    /// A store for a server with so many bytes of memory.
    pub(super) fn new(memory: usize) -> Self {
        let limit = (memory / STATEMENTS_SHARE).clamp(MIN_STATEMENTS_BYTES, MAX_STATEMENTS_BYTES);
        Self { users: parking_lot::Mutex::default(), limit }
    }

    fn of_user(&self, principal: &Principal) -> Arc<UserStatements> {
        let mut users = self.users.lock();
        match users.get(principal) {
            Some(statements) => Arc::clone(statements),
            None => {
                let statements = Arc::new(UserStatements::new(self.limit));
                users.insert(principal.clone(), Arc::clone(&statements));
                statements
            }
        }
    }

    /// Whether a client has a prepared statement open.
    pub(super) fn has_prepared(&self) -> bool {
        self.users.lock().values().any(|statements| {
            statements.prepared.run_pending_tasks();
            statements.prepared.entry_count() > 0
        })
    }

    /// Refuses what would not be kept.
    fn check_size(&self, bytes: usize, what: &str) -> Result<(), Status> {
        if bytes <= self.limit {
            return Ok(());
        }
        Err(status::exhausted(format!(
            "{what} takes {}, and all of a user may take {}; write a shorter one, or bind fewer values at a time",
            mebibytes(bytes),
            mebibytes(self.limit)
        )))
    }

    /// Plans a statement without parameters.
    pub(super) async fn plan(
        &self,
        client: &ClientSession,
        asked: &Asked,
        text: &str,
        entry: Arc<QueryEntry>,
    ) -> Result<Arc<PlannedQuery>, Status> {
        let prepared = self.prepare(asked, text).await?;
        self.plan_prepared(client, &prepared, entry).await
    }

    /// Plans a statement.
    pub(super) async fn prepare(&self, asked: &Asked, text: &str) -> Result<PreparedStatement, Status> {
        let Asked { session, timestamps } = asked;
        let source = Arc::new(Source::query(text));
        let (statement, names) = parse(&source).map_err(|error| status::from_error(&error))?;
        refuse_writing(&source, &statement)?;
        let simple = match &statement {
            Statement::Statement(statement) if !names.is_empty() => Some(statement.as_ref().clone()),
            _ => None,
        };
        let call_params = match session.call_parameters(&source, &statement) {
            Ok(call_params) => call_params,
            Err(error) => return Err(status::failure(session, &source, error).await),
        };
        let zone = session.time_zone();
        let plan = match session.logical_plan(&source, statement, StatementValues::Later).await {
            Ok(plan) => plan,
            // a function may need the types of its arguments: those of literals, until the types are known
            Err(error) => match plan_guessed(session, &source, simple.as_ref(), names.len(), &zone).await {
                Some(plan) => plan,
                None => return Err(status::failure(session, &source, error).await),
            },
        };
        if writes(&plan) || matches!(plan, LogicalPlan::Statement(_)) {
            return Err(refusal(&source));
        }
        let mut params = match params::params(&plan, names, &zone) {
            Ok(params) => params,
            Err(error) => return Err(status::failure(session, &source, error).await),
        };
        let depends_on_values = !call_params.is_empty();
        for (number, data_type) in call_params {
            if let Some(param) = number.checked_sub(1).and_then(|index| params.get_mut(index)) {
                param.add_use(Use { data_type, kind: UseKind::Exact });
            }
        }
        // operators and functions know the types of their results when they know those of their operands
        let types = params::planned_types(&params);
        let (plan, planned_types) = match &simple {
            Some(statement) => match plan_typed(session, &source, statement, &types, StatementValues::Later).await {
                Ok(plan) => (plan, Some(types)),
                Err(_) => (plan, None),
            },
            None => (plan, None),
        };
        let origins = origins(session, &source, &plan);
        let (schema, is_schema_final, initial_plan) = if params.is_empty() {
            match session.physical_plan(&plan).await {
                Ok(operators) => {
                    let schema = columns::client_schema(&operators.schema(), &origins, false, *timestamps);
                    (schema, true, Some((Instant::now(), operators)))
                }
                Err(error) => return Err(status::failure(session, &source, error).await),
            }
        } else {
            match with_nulls(session, &plan, &params).await {
                Ok(operators) => {
                    let is_schema_final = params.iter().all(|param| param.data_type.is_some());
                    (columns::client_schema(&operators.schema(), &origins, true, *timestamps), is_schema_final, None)
                }
                // a function may reject a NULL; the execution has values
                Err(_) => (columns::client_schema(plan.schema().as_arrow(), &origins, true, *timestamps), false, None),
            }
        };
        let (initial_plan, bound_rows) = (Mutex::new(initial_plan), Mutex::default());
        let bytes = plan_bytes(&source);
        Ok(PreparedStatement {
            source,
            session: Arc::clone(session),
            timestamps: *timestamps,
            plan,
            statement: simple,
            planned_types,
            depends_on_values,
            params,
            schema,
            is_schema_final,
            initial_plan,
            bound_rows,
            bytes,
        })
    }

    /// Plans the next execution of a prepared statement.
    pub(super) async fn plan_prepared(
        &self,
        client: &ClientSession,
        prepared: &PreparedStatement,
        entry: Arc<QueryEntry>,
    ) -> Result<Arc<PlannedQuery>, Status> {
        let source = Arc::clone(&prepared.source);
        let session = Arc::clone(&prepared.session);
        let timeout = client.settings().timeout;
        if prepared.params.is_empty() {
            let initial_plan = prepared.initial_plan.lock().unwrap_or_else(PoisonError::into_inner).take();
            let operators = match initial_plan.filter(|(at, _)| at.elapsed() < INITIAL_PLAN_LIFE) {
                Some((_, operators)) => operators,
                None => match session.physical_plan(&prepared.plan).await {
                    Ok(operators) => operators,
                    Err(error) => return Err(status::failure(&session, &source, error).await),
                },
            };
            let schema = Arc::clone(&prepared.schema);
            let steps = vec![QueryStep::new(prepared.plan.clone(), Some(operators))];
            let bytes = prepared.bytes.max(plan_bytes(&source));
            return Ok(Arc::new(PlannedQuery { source, session, schema, steps, timeout, entry, bytes }));
        }
        let rows = prepared.bound_rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if rows.is_empty() {
            let names: Vec<String> = prepared.params.iter().map(|param| format!("${}", param.name)).collect();
            return Err(status::invalid(format!(
                "the statement has parameters without values: {}; prepare it and bind a value to each",
                names.join(", ")
            )));
        }
        // the plan of each row has its values
        let bytes = plan_bytes(&source) + 2 * values_bytes(&rows) + PLAN_BYTES * rows.len() / 8;
        self.check_size(bytes, "the statement with its values")?;
        let mut steps = Vec::with_capacity(rows.len());
        let mut schema = Arc::clone(&prepared.schema);
        let mut last: Option<(Vec<DataType>, LogicalPlan)> = None;
        for (number, values) in rows.into_iter().enumerate() {
            let types: Vec<DataType> = values.iter().map(ScalarValue::data_type).collect();
            let planned = async {
                let is_planned = |planned: &Vec<DataType>| *planned == types && !prepared.depends_on_values;
                let plan = match (&prepared.statement, &last) {
                    (None, _) => prepared.plan.clone(),
                    // such a value has no name in SQL, but a place in a plan
                    _ if types.iter().any(|data_type| sql_type(data_type).is_err()) => prepared.plan.clone(),
                    _ if prepared.planned_types.as_ref().is_some_and(is_planned) => prepared.plan.clone(),
                    (_, Some((last_types, plan))) if is_planned(last_types) => plan.clone(),
                    (Some(statement), _) => {
                        plan_typed(&session, &source, statement, &types, StatementValues::Given(&values)).await?
                    }
                };
                let bound = plan.clone().with_param_values(ParamValues::from(values.clone()))?;
                // all have the schema of the first
                let operators = match number {
                    0 => Some(session.physical_plan(&bound).await?),
                    _ => None,
                };
                Ok::<_, DataFusionError>((plan, bound, operators))
            };
            let (plan, operators) = match planned.await {
                Ok((plan, bound, operators)) => {
                    last = Some((types, plan));
                    (bound, operators)
                }
                Err(error) => {
                    let failure = status::failure(&session, &source, error).await;
                    return Err(bind::with_other_types(failure, &prepared.params, &values));
                }
            };
            let is_as_announced =
                prepared.is_schema_final && last.as_ref().map(|(types, _)| types) == prepared.planned_types.as_ref();
            if let (Some(operators), false) = (&operators, is_as_announced) {
                let origins = origins(&session, &source, &prepared.plan);
                schema = columns::client_schema(&operators.schema(), &origins, true, prepared.timestamps);
            }
            steps.push(QueryStep::new(plan, operators));
        }
        Ok(Arc::new(PlannedQuery { source, session, schema, steps, timeout, entry, bytes }))
    }

    /// Stores a planned query; returns the handle of its ticket.
    ///
    /// # Errors
    /// A query that is larger than all of a user may be.
    pub(super) fn add_ticket(&self, principal: &Principal, planned: Arc<PlannedQuery>) -> Result<Uuid, Status> {
        self.check_size(planned.bytes, "the statement")?;
        let handle = Uuid::new_v4();
        self.of_user(principal).tickets.insert(handle, planned);
        Ok(handle)
    }

    /// Returns the planned query of a ticket.
    pub(super) fn find_ticket(
        &self,
        principal: &Principal,
        handle: &[u8],
    ) -> Result<(TicketKey, Arc<PlannedQuery>), Status> {
        key(principal, handle)
            .and_then(|key| Some((key.clone(), self.of_user(principal).tickets.get(&key.1)?)))
            .ok_or_else(|| Status::not_found("the ticket is not known here or too old; ask for the query again"))
    }

    /// Removes a ticket. False if it does not exist.
    pub(super) fn remove_ticket(&self, (principal, handle): &TicketKey) -> bool {
        self.of_user(principal).tickets.remove(handle).is_some()
    }

    /// Stores a prepared statement; returns its handle.
    ///
    /// # Errors
    /// A statement that is larger than all of a user may be.
    pub(super) fn keep(&self, principal: &Principal, prepared: PreparedStatement) -> Result<Bytes, Status> {
        self.check_size(prepared.bytes(), "the statement")?;
        let handle = Uuid::new_v4();
        self.of_user(principal).prepared.insert(handle, Arc::new(prepared));
        Ok(Bytes::copy_from_slice(handle.as_bytes()))
    }

    /// Returns a prepared statement by handle.
    pub(super) fn find(&self, principal: &Principal, handle: &[u8]) -> Result<Arc<PreparedStatement>, Status> {
        key(principal, handle).and_then(|(_, handle)| self.of_user(principal).prepared.get(&handle)).ok_or_else(|| {
            Status::not_found("the prepared statement is not known here, was closed, or was not used for long")
        })
    }

    /// Removes a prepared statement.
    pub(super) fn close(&self, principal: &Principal, handle: &[u8]) {
        if let Some((_, handle)) = key(principal, handle) {
            self.of_user(principal).prepared.remove(&handle);
        }
    }

    /// Binds the parameter values of the next executions.
    ///
    /// # Errors
    /// Values of other types, or more than all of a user may take.
    pub(super) fn bind(&self, principal: &Principal, handle: &[u8], batches: &[RecordBatch]) -> Result<(), Status> {
        let prepared = self.find(principal, handle)?;
        let rows = bind::rows(&prepared.params, batches, &prepared.session.time_zone())?;
        self.check_size(prepared.bytes + values_bytes(&rows), "the statement with its values")?;
        *prepared.bound_rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
        if let Some((_, handle)) = key(principal, handle) {
            // counted with its values
            self.of_user(principal).prepared.insert(handle, prepared);
        }
        Ok(())
    }

    /// The error of a statement that was sent as an update, which no statement is.
    pub(super) async fn refuse_update(&self, asked: &Asked, text: &str) -> Status {
        match self.prepare(asked, text).await {
            Ok(_) => status::invalid("the statement returns rows; send it as a query and not as an update"),
            Err(status) => status,
        }
    }
}

/// The physical plan with NULL parameters, which determines the schema.
async fn with_nulls(
    session: &Session,
    plan: &LogicalPlan,
    params: &[StatementParameter],
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let plan = plan.clone().with_param_values(ParamValues::from(params::nulls(params)?))?;
    session.physical_plan(&plan).await
}

/// Plans a statement with these types of its parameters.
async fn plan_typed(
    session: &Session,
    source: &Arc<Source>,
    statement: &ast::Statement,
    types: &[DataType],
    call_values: StatementValues<'_>,
) -> Result<LogicalPlan, DataFusionError> {
    let data_types = types.iter().map(sql_type).collect::<Result<Vec<_>, _>>();
    let prepare = ast::Statement::Prepare {
        name: ast::Ident::new("statement"),
        data_types: data_types.map_err(DataFusionError::Plan)?,
        statement: Box::new(statement.clone()),
    };
    match session.logical_plan(source, Statement::Statement(Box::new(prepare)), call_values).await? {
        LogicalPlan::Statement(PlanStatement::Prepare(prepared)) => Ok(Arc::unwrap_or_clone(prepared.input)),
        other => Ok(other),
    }
}

/// Plans a statement that cannot be planned without types of its parameters, with types that arguments often have.
async fn plan_guessed(
    session: &Session,
    source: &Arc<Source>,
    statement: Option<&ast::Statement>,
    count: usize,
    zone: &str,
) -> Option<LogicalPlan> {
    let statement = statement?;
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()));
    for guess in [DataType::Utf8, timestamp, DataType::Int64, DataType::Float64] {
        let types = vec![guess; count];
        if let Ok(plan) = plan_typed(session, source, statement, &types, StatementValues::Later).await {
            return Some(plan);
        }
    }
    None
}

/// The table of each output column that is a column of a table or view.
fn origins(session: &Session, source: &Arc<Source>, plan: &LogicalPlan) -> Vec<Option<Origin>> {
    let named_here = sqlfile::tokenize(source).map(|tokens| sqlfile::named_queries(&tokens)).unwrap_or_default();
    let origin = |qualifier: &datafusion::common::TableReference| {
        let is_named_here = qualifier.schema().is_none() && named_here.contains(qualifier.table());
        (!is_named_here).then(|| session.resolve(qualifier)).flatten()
    };
    plan.schema()
        .iter()
        .map(|(qualifier, _)| qualifier.and_then(origin))
        .map(|found| found.map(|[catalog, schema, table]| Origin { catalog, schema, table }))
        .collect()
}

/// The schema of the parameter values.
pub(super) fn parameter_schema(prepared: &PreparedStatement) -> Schema {
    params::schema(&prepared.params)
}

/// Parses a handle of a client; `None` if it is malformed.
pub(super) fn key(principal: &Principal, handle: &[u8]) -> Option<(Principal, Uuid)> {
    Some((principal.clone(), Uuid::from_slice(handle).ok()?))
}

/// Parses the single statement of a text and rewrites its placeholders. Returns their names too.
fn parse(source: &Arc<Source>) -> Result<(Statement, Vec<String>)> {
    let mut tokens = sqlfile::tokenize(source)?;
    let names = params::number_placeholders(source, &mut tokens)?;
    let mut statements = sqlfile::statements_of(source, tokens)?;
    match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => Ok((statement, names)),
        (None, _) => Err(Error::at(source, None, "there is no statement in the text")),
        (_, more) => Err(Error::at(source, None, format!("one statement at a time is taken, here are {}", more + 1))
            .help("send them one after the other")),
    }
}

/// First words of transaction statements, of which a read-only server has none.
const TRANSACTIONS: [&str; 6] = ["begin", "commit", "release", "rollback", "savepoint", "start"];

/// Rejects a statement that starts like one that writes, before it is planned.
fn refuse_writing(source: &Arc<Source>, statement: &Statement) -> Result<(), Status> {
    let text = statement.to_string();
    let first_word = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    let is_refused = sqlfile::WRITING.iter().chain(&TRANSACTIONS).any(|word| *word == first_word);
    if is_refused { Err(refusal(source)) } else { Ok(()) }
}

/// The error of a statement that does not only read.
fn refusal(source: &Arc<Source>) -> Status {
    let spot = sqlfile::writing_spot(source);
    let error = Error::at(source, spot, "this endpoint only reads: the statement is refused")
        .help("SELECT, EXPLAIN, DESCRIBE and SHOW are taken; data and settings are changed on the command line");
    status::status(tonic::Code::PermissionDenied, &error)
}

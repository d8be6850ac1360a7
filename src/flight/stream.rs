//! Executes planned queries and streams their rows: concurrency and time limits, cancellation, message encoding.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::IpcWriteOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::{AbortHandle, Abortable};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use super::auth::Principal;
use super::query_log::{QueryEntry, QueryTracker};
use super::{columns, status};
use crate::session::Session;
use crate::source::Source;

/// Clients accept 4 MB per message by default.
const MESSAGE_BYTES: usize = 2 << 20;

/// Messages that are buffered for a slow client.
const QUEUE: usize = 2;

/// How long a client may read nothing before its query is cancelled.
const STALL: Duration = Duration::from_secs(10 * 60);

/// The request header that selects the compression of batches: `lz4`, `zstd` or `none`.
pub(super) const COMPRESSION: &str = "x-cxql-compression";

/// The response stream of DoGet.
pub(super) type DataStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// A task that is aborted when its handle is dropped.
#[derive(Debug)]
pub(super) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    pub(super) fn spawn(query_runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(query_runtime.spawn(work))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|error| match error.is_cancelled() {
            true => Status::cancelled("the server is stopping"),
            false => status::fault(&error.to_string()),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One query of a [`PlannedQuery`].
#[derive(Debug, Clone)]
pub(super) struct QueryStep {
    plan: Box<LogicalPlan>,
    /// Operators that were made with the plan and have not been executed, for the first fetch.
    operators: Arc<Mutex<Option<Arc<dyn ExecutionPlan>>>>,
}

impl QueryStep {
    /// A query with the operators that were made to learn its schema; without them it is planned when it is executed.
    pub(super) fn new(plan: LogicalPlan, operators: Option<Arc<dyn ExecutionPlan>>) -> Self {
        Self { plan: Box::new(plan), operators: Arc::new(Mutex::new(operators)) }
    }

    /// Operators that nobody else executes: a client may fetch a ticket twice, also at the same time.
    async fn operators(self, session: &Session) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let initial = self.operators.lock().unwrap_or_else(PoisonError::into_inner).take();
        match initial {
            Some(operators) => Ok(operators),
            None => session.physical_plan(&self.plan).await,
        }
    }
}

/// The work of a ticket: queries that are executed one after the other and have the same schema.
#[derive(Debug)]
pub(super) struct PlannedQuery {
    pub(super) source: Arc<Source>,
    pub(super) session: Arc<Session>,
    pub(super) schema: SchemaRef,
    pub(super) steps: Vec<QueryStep>,
    /// The timeout that the client has set.
    pub(super) timeout: Option<Duration>,
    pub(super) entry: Arc<QueryEntry>,
    /// Bytes that the plan takes.
    pub(super) bytes: usize,
}

/// A principal and the handle of a ticket.
pub(super) type TicketKey = (Principal, Uuid);

/// The running queries by ticket, also of tickets that have expired.
#[derive(Debug, Default)]
pub(super) struct RunningQueries {
    queries: Mutex<HashMap<TicketKey, Vec<(Uuid, AbortHandle)>>>,
    /// A copy is in each response that is not read to its end.
    responses: Arc<()>,
}

impl RunningQueries {
    /// Cancels the queries of a ticket. False if there are none.
    pub(super) fn cancel(&self, ticket: &TicketKey) -> bool {
        let stopped = self.queries.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket);
        stopped.iter().flatten().for_each(|(_, handle)| handle.abort());
        stopped.is_some()
    }

    /// Whether a client reads rows.
    pub(super) fn is_reading(&self) -> bool {
        Arc::strong_count(&self.responses) > 1
    }

    fn add(self: &Arc<Self>, ticket: TicketKey, handle: AbortHandle) -> RunningGuard {
        let run = Uuid::new_v4();
        self.queries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(ticket.clone())
            .or_default()
            .push((run, handle));
        RunningGuard { running: Arc::clone(self), ticket, run }
    }
}

/// An entry of [`RunningQueries`], removed on drop.
struct RunningGuard {
    running: Arc<RunningQueries>,
    ticket: TicketKey,
    run: Uuid,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        let mut running = self.running.queries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runs) = running.get_mut(&self.ticket) {
            runs.retain(|(run, _)| *run != self.run);
            if runs.is_empty() {
                running.remove(&self.ticket);
            }
        }
    }
}

/// The IPC options of a response, with the compression that the client selects by [`COMPRESSION`].
pub(super) fn write_options(metadata: &MetadataMap) -> Result<IpcWriteOptions, Status> {
    let requested = metadata.get(COMPRESSION).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
    let compression = match requested.as_deref() {
        None | Some("" | "none") => None,
        Some("lz4") => Some(CompressionType::LZ4_FRAME),
        Some("zstd") => Some(CompressionType::ZSTD),
        Some(other) => {
            return Err(status::invalid(format!("{COMPRESSION}: lz4, zstd or none is wanted, got `{other}`")));
        }
    };
    IpcWriteOptions::default().try_with_compression(compression).map_err(|error| status::fault(&error.to_string()))
}

/// Limits of concurrency, time and memory.
#[derive(Debug)]
pub(super) struct QueryLimits {
    permits: Arc<Semaphore>,
    max: usize,
    wait: Duration,
    timeout: Option<Duration>,
    memory: Option<usize>,
}

impl QueryLimits {
    /// `max` queries run at a time; others wait for a permit, at most `wait`. A query may take `timeout` in total and
    /// `memory` bytes.
    pub(super) fn new(max: usize, wait: Duration, timeout: Option<Duration>, memory: Option<usize>) -> Self {
        Self { permits: Arc::new(Semaphore::new(max)), max, wait, timeout, memory }
    }

    /// Waits for a permit, first come first served.
    async fn acquire(&self) -> Result<OwnedSemaphorePermit, Status> {
        match tokio::time::timeout(self.wait, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| Status::cancelled("the server is stopping")),
            Err(_) => Err(Status::resource_exhausted(format!(
                "{} queries are running, and none of them ended within {} seconds; try again later",
                self.max,
                self.wait.as_secs()
            ))),
        }
    }

    /// The timeout of a query; a client may set a shorter one.
    pub(super) fn timeout(&self, requested: Option<Duration>) -> Option<Duration> {
        self.timeout.into_iter().chain(requested).min()
    }

    /// Runs a future within the timeout of a query.
    async fn timed(
        &self,
        requested: Option<Duration>,
        work: impl Future<Output = Result<(), Status>>,
    ) -> Result<(), Status> {
        match self.timeout(requested) {
            None => work.await,
            Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
                let seconds = timeout.as_secs_f64();
                Err(Status::deadline_exceeded(format!("the query took longer than {seconds} seconds and was stopped")))
            }),
        }
    }
}

/// Streams a batch that is in memory.
pub(super) fn send_batch(batch: RecordBatch, metadata: &MetadataMap) -> Result<DataStream, Status> {
    let mut parts = Vec::new();
    columns::split(batch.clone(), MESSAGE_BYTES, &mut parts);
    let encoder = FlightDataEncoderBuilder::new()
        .with_schema(batch.schema())
        .with_options(write_options(metadata)?)
        .with_max_flight_data_size(usize::MAX)
        .build(stream::iter(parts.into_iter().map(Ok)));
    Ok(encoder.map_err(Status::from).boxed())
}

/// Starts a planned query. It waits for a permit and runs in a task of its own, a few messages ahead of the client;
/// dropping the stream cancels it.
pub(super) fn send_query(
    query_runtime: &Handle,
    tracker: QueryTracker,
    query: &Arc<PlannedQuery>,
    ticket: TicketKey,
    (running, limits): (&Arc<RunningQueries>, &Arc<QueryLimits>),
    options: IpcWriteOptions,
) -> DataStream {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (handle, registration) = AbortHandle::new_pair();
    tracker.entry.set_abort_handle(handle.clone());
    let entry = running.add(ticket, handle);
    let reading = Arc::clone(&running.responses);
    let (query, limits) = (Arc::clone(query), Arc::clone(limits));
    let task = Task::spawn(query_runtime, async move {
        let answers = sender.clone();
        let running_tracker = &tracker;
        let work = async move {
            let _permit = limits.acquire().await?;
            running_tracker.started();
            let timeout = query.timeout;
            let sent = send_batches(query, limits.memory, options, &running_tracker.entry, &answers);
            limits.timed(timeout, sent).await
        };
        let ended = AssertUnwindSafe(Abortable::new(work, registration)).catch_unwind().await;
        let last = match ended {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(status))) => Some(status),
            Ok(Err(_)) => Some(Status::cancelled("the query was cancelled")),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Some(status::fault(&format!("panic: {}", text.unwrap_or_default())))
            }
        };
        match last {
            // without an error the stream would look complete; a client that has disconnected reads none
            Some(last) => _ = sender.send(Err(tracker.failed(last))).await,
            None => tracker.finished(),
        }
        drop(entry);
    });
    Box::pin(ResponseStream { receiver, _task: task, _reading: reading })
}

/// Executes a planned query and sends its rows as the client reads them.
async fn send_batches(
    query: Arc<PlannedQuery>,
    memory: Option<usize>,
    options: IpcWriteOptions,
    entry: &Arc<QueryEntry>,
    client: &mpsc::Sender<Result<FlightData, Status>>,
) -> Result<(), Status> {
    let mut encoder = FlightDataEncoderBuilder::new()
        .with_schema(Arc::clone(&query.schema))
        .with_options(options)
        .with_max_flight_data_size(usize::MAX)
        .build(batches(query, memory, entry));
    while let Some(data) = encoder.next().await {
        let data = data.map_err(Status::from)?;
        entry.count_bytes(data.data_header.len() + data.data_body.len());
        match tokio::time::timeout(STALL, client.send(Ok(data))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Status::cancelled("the client has gone")),
            Err(_) => {
                let minutes = STALL.as_secs() / 60;
                return Err(Status::cancelled(format!(
                    "nothing was read for {minutes} minutes; the query was stopped"
                )));
            }
        }
    }
    Ok(())
}

struct ResponseStream {
    receiver: mpsc::Receiver<Result<FlightData, Status>>,
    _task: Task<()>,
    _reading: Arc<()>,
}

impl Stream for ResponseStream {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx)
    }
}

/// The batches of a planned query, cast to its schema and split to the message size.
fn batches(
    query: Arc<PlannedQuery>,
    memory: Option<usize>,
    entry: &Arc<QueryEntry>,
) -> BoxStream<'static, Result<RecordBatch, FlightError>> {
    let steps = query.steps.clone();
    let entry = Arc::clone(entry);
    let rows = stream::iter(steps).then(move |step| run(Arc::clone(&query), step, memory)).try_flatten();
    let parts = rows.map_ok(move |batch| {
        entry.count_rows(batch.num_rows());
        let mut parts = Vec::new();
        columns::split(batch, MESSAGE_BYTES, &mut parts);
        stream::iter(parts.into_iter().map(Ok))
    });
    parts.try_flatten().map_err(|status: Status| FlightError::Tonic(Box::new(status))).boxed()
}

/// Executes one query.
async fn run(
    query: Arc<PlannedQuery>,
    step: QueryStep,
    memory: Option<usize>,
) -> Result<BoxStream<'static, Result<RecordBatch, Status>>, Status> {
    let session = Arc::clone(&query.session);
    let started = async {
        let plan = step.plan.clone();
        let operators = step.operators(&session).await?;
        session.start(&plan, operators, memory)
    };
    let execution = match started.await {
        Ok(execution) => execution,
        Err(error) => return Err(status::failure(&session, &query.source, error).await),
    };
    let plan = execution.plan;
    let rows = execution.stream.then(move |batch| {
        let fitted = batch.and_then(|batch| {
            columns::cast_batch(&batch, &query.schema)
                .map_err(|error| DataFusionError::ArrowError(Box::new(error), None))
        });
        let (session, query, plan) = (Arc::clone(&session), Arc::clone(&query), Arc::clone(&plan));
        async move {
            match fitted {
                Ok(batch) => Ok(batch),
                Err(error) => {
                    let code = status::code_of(&error);
                    Err(status::status(code, &session.execution_error(error, &query.source, &plan).await))
                }
            }
        }
    });
    Ok(rows.boxed())
}

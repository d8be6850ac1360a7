//! Prometheus metrics and their HTTP endpoint.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::client_sessions::ClientSessionStore;
use super::connections;
use super::query_log::QueryState;
use crate::session::Session;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

/// Counters, gauges and histograms since the server started.
pub(super) struct Metrics {
    registry: Registry,
    queries: Family<OutcomeLabel, Counter>,
    seconds: Histogram,
    pub(super) wait_seconds: Histogram,
    rows: Counter,
    bytes: Counter,
    pub(super) running: Gauge,
    pub(super) waiting: Gauge,
    refused: Family<CodeLabel, Counter>,
    pub(super) logins: Counter,
    sessions: Gauge,
    memory: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("cxql");
        let histogram = || Histogram::new(exponential_buckets(0.001, 4.0, 10));
        let (seconds, wait_seconds) = (histogram(), histogram());
        let metrics = (Family::default(), Counter::default(), Counter::default(), Gauge::default(), Gauge::default());
        let (queries, rows, bytes, running, waiting) = metrics;
        let (refused, logins) = (Family::default(), Counter::default());
        let (sessions, memory) = (Gauge::default(), Gauge::default());
        registry.register("queries", "Queries that ended, by how", queries.clone());
        registry.register_with_unit("query", "From the first request to the last row", Unit::Seconds, seconds.clone());
        registry.register_with_unit("query_wait", "Waiting for a turn", Unit::Seconds, wait_seconds.clone());
        registry.register("rows", "Rows sent", rows.clone());
        registry.register_with_unit("sent", "Bytes of results sent", Unit::Bytes, bytes.clone());
        registry.register("queries_running", "Queries that run now", running.clone());
        registry.register("queries_waiting", "Queries that wait for a turn now", waiting.clone());
        registry.register("requests_refused", "Requests that were not let in, by gRPC code", refused.clone());
        registry.register("logins", "Logins", logins.clone());
        registry.register("sessions", "Sessions of clients now", sessions.clone());
        registry.register_with_unit("memory", "Memory that queries hold now", Unit::Bytes, memory.clone());
        Self {
            registry,
            queries,
            seconds,
            wait_seconds,
            rows,
            bytes,
            running,
            waiting,
            refused,
            logins,
            sessions,
            memory,
        }
    }

    /// Records a query that has ended.
    pub(super) fn query(&self, outcome: QueryState, elapsed: Duration, rows: u64, bytes: u64) {
        self.queries.get_or_create(&OutcomeLabel { outcome: outcome.name() }).inc();
        self.seconds.observe(elapsed.as_secs_f64());
        self.rows.inc_by(rows);
        self.bytes.inc_by(bytes);
    }

    /// Records a request that was rejected.
    pub(super) fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&CodeLabel { code }).inc();
    }
}

/// Gauges that are computed when the metrics are read.
pub(super) struct Gauges {
    pub(super) metrics: Arc<Metrics>,
    pub(super) sessions: ClientSessionStore,
    pub(super) session: Arc<Session>,
}

/// Timeout of a response, so that a stalled client holds no connection.
const ANSWER: Duration = Duration::from_secs(10);

/// Serves the metrics until the runtime ends, one request per connection.
pub(super) async fn publish(listener: TcpListener, gauges: Gauges) {
    let service = Router::new().route("/metrics", get(page)).with_state(Arc::new(gauges));
    let service = TowerToHyperService::new(service);
    // a server that is stopping can still be watched
    let (_never, stopping) = watch::channel(false);
    let mut connections = connections::plain(listener, stopping);
    while let Some(Ok(stream)) = connections.recv().await {
        let mut http = http1::Builder::new();
        let answer = http.keep_alive(false).serve_connection(TokioIo::new(stream), service.clone());
        // a client that disconnects, or is too slow, gets no response
        tokio::spawn(tokio::time::timeout(ANSWER, answer));
    }
}

async fn page(State(gauges): State<Arc<Gauges>>) -> impl IntoResponse {
    let metrics = &gauges.metrics;
    let to_i64 = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.sessions.set(to_i64(gauges.sessions.count()));
    metrics.memory.set(to_i64(gauges.session.context().runtime_env().memory_pool.reserved() as u64));
    let mut text = String::new();
    // writing to a String cannot fail
    let _ = encode(&mut text, &metrics.registry);
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

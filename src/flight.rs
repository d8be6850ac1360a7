//! `cxql serve`: the session as an Arrow Flight SQL server.
//!
//! Requests are handled on a network thread of their own, so that connections stay alive while every thread of the
//! query runtime is busy. Statements are planned and executed on the query runtime.

mod activity;
mod auth;
mod bind;
mod client_sessions;
mod columns;
mod connections;
mod endpoint;
mod headers;
mod infer;
mod ingest;
mod log;
mod metadata;
mod metrics;
mod options;
mod params;
mod planner;
mod query_log;
mod reflection;
mod responses;
mod service;
mod sql_info;
mod sql_types;
mod statements;
mod status;
mod stream;
mod system;
mod tls;
mod upload;

use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use moka::policy::EvictionPolicy;
use moka::sync::{Cache, CacheBuilder};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server as Transport;

use self::auth::Authenticator;
pub(crate) use self::auth::{hash_password, new_token};
use self::client_sessions::{ClientSessionStore, ClientSessions};
use self::endpoint::Endpoint;
pub(crate) use self::log::start_log;
use self::metrics::{Gauges, Metrics};
use self::query_log::QueryLog;
use self::service::Service;
pub(crate) use self::service::{CANCEL_FLIGHT_INFO, CANCEL_QUERY_ID};
use self::stream::QueryLimits;
use self::system::SystemSchema;
use self::tls::Tls;
use crate::config::{TlsFiles, UserConfig};
use crate::error::{Error, Result};
use crate::session::{CATALOG, ReadAccess, SYSTEM, Session};
use crate::signals::Signals;
use crate::source::nearest;

/// Maximum size of a message from a client: a statement, or values of parameters.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// HTTP/2 flow control windows: bytes that may be in flight per query, and per connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Maximum concurrent requests of a connection.
const MAX_STREAMS: u32 = 256;

/// Interval of keep-alive pings on an idle connection, and the timeout of their answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(20);

/// A cache with a maximum number of entries and least-recently-used eviction. The library's default policy may reject
/// new entries.
fn recent<K, V>(most: u64) -> CacheBuilder<K, V, Cache<K, V>>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().eviction_policy(EvictionPolicy::lru()).max_capacity(most)
}

/// Options of the server.
#[derive(Debug, Clone)]
pub(crate) struct ServeOptions {
    /// `HOST:PORT`; port 0 picks a free one.
    pub listen: String,
    /// Whether other machines may connect without encryption or without a login.
    pub is_open: bool,
    /// The TLS files; `None` serves without encryption.
    pub tls: Option<TlsFiles>,
    /// The users; without any, no login is required.
    pub users: BTreeMap<String, UserConfig>,
    /// How long running queries may take to end when the server is stopped.
    pub drain: Duration,
    /// Maximum number of queries that run at a time.
    pub max_queries: usize,
    /// How long a query waits for a permit to run.
    pub queue: Duration,
    /// Maximum duration of a query; `None` is unlimited.
    pub timeout: Option<Duration>,
    /// Memory limit of a query in bytes; `None` is the limit of the session.
    pub query_memory: Option<usize>,
    /// How long an unused client session is kept.
    pub idle: Duration,
    /// Maximum bytes of the tables that a client session ingests; `None` allows no ingestion.
    pub ingest: Option<usize>,
    /// `HOST:PORT` of the metrics endpoint; `None` has none.
    pub metrics: Option<String>,
    /// Columns of primary keys by table.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// A server that is bound to its address and not running yet.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Option<(TcpListener, SocketAddr)>,
    authenticator: Authenticator,
    tls: Option<Tls>,
    options: ServeOptions,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// An address that cannot be bound, or that other machines reach without encryption or login and without `is_open`;
    /// a user without valid credentials; TLS files that cannot be read.
    pub(crate) fn bind(options: ServeOptions) -> Result<Self> {
        let authenticator = Authenticator::new(&options.users, options.idle)?;
        let tls = options.tls.clone().map(Tls::load).transpose()?;
        let listen = &options.listen;
        let usable = |cause| {
            Error::usage(format!(
                "cannot listen on `{listen}`: {cause}; write HOST:PORT, such as 127.0.0.1:32010, or port 0 for a free one"
            ))
        };
        let listener = TcpListener::bind(listen).map_err(usable)?;
        let address = listener.local_addr().map_err(usable)?;
        if !address.ip().is_loopback() && !options.is_open {
            let knows_clients = options.tls.as_ref().is_some_and(|files| files.client_ca.is_some());
            let lacks = match (tls.is_some(), knows_clients || !options.users.is_empty()) {
                (true, true) => None,
                (true, false) => Some("asks for no login (`cxql user add NAME` adds a user)"),
                (false, true) => Some("does not encrypt ([serve] certificate and key in cxql.toml)"),
                (false, false) => Some(
                    "does not encrypt ([serve] certificate and key in cxql.toml) and asks for no login (`cxql user add \
                     NAME` adds a user)",
                ),
            };
            if let Some(lacks) = lacks {
                return Err(Error::usage(format!(
                    "`{listen}` can be reached from other machines, and this server {lacks}; listen on 127.0.0.1, or add \
                     --open if that is meant"
                )));
            }
        }
        listener.set_nonblocking(true).map_err(usable)?;
        let metrics = options.metrics.as_ref().map(|listen| bind_metrics(listen, options.is_open)).transpose()?;
        Ok(Self { listener, address, metrics, authenticator, tls, options })
    }

    /// The address of the metrics endpoint.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The bound address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a session until Ctrl-C or SIGTERM, then accepts no new connections and waits for running queries, at most
    /// `drain`. A second signal ends it at once. `readers` is what each user reads. `ready` is called when clients can
    /// connect.
    ///
    /// # Errors
    /// Keys of tables that do not exist, an error of `ready`, a network failure.
    pub(crate) async fn run(
        self,
        session: Arc<Session>,
        readers: BTreeMap<String, ReadAccess>,
        ready: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        check_keys(&session, &self.options.keys)?;
        let drain = self.options.drain;
        let published = self.metrics.map(|(listener, _)| listener);
        let fault = |text: String| Error::Engine { message: text };
        let options = self.options;
        let limits = QueryLimits::new(options.max_queries, options.queue, options.timeout, options.query_memory);
        let metrics = Arc::new(Metrics::new());
        let query_log = Arc::new(QueryLog::new(Arc::clone(&metrics)));
        let store = ClientSessionStore::new(options.idle);
        let history = session.context().catalog(CATALOG).and_then(|catalog| catalog.schema(SYSTEM));
        let system = SystemSchema { query_log: Arc::clone(&query_log), sessions: store.clone(), history };
        let data = Arc::new(session.without_schema(SYSTEM)?);
        let everything = Arc::new(session.with_schema(SYSTEM, Arc::new(system))?);
        let users = readers.into_iter().map(|(user, reads)| {
            let session = match reads {
                ReadAccess::Everything => Arc::clone(&everything),
                ReadAccess::Data => Arc::clone(&data),
                ReadAccess::Restricted(session) => session,
            };
            (user, session)
        });
        let sessions = ClientSessions::new(store.clone(), Arc::clone(&everything), users.collect());
        let gauges = Gauges { metrics: Arc::clone(&metrics), sessions: store, session: Arc::clone(&session) };
        let service = Service::new(session, query_log, options.keys, limits, options.ingest, Handle::current())
            .map_err(|status| fault(status.message().to_owned()))?;
        let network = Builder::new_current_thread().enable_all().build();
        let network = network.map_err(|cause| fault(format!("cannot start a thread: {cause}")))?;
        let (sender, ended) = oneshot::channel();
        let (up, is_up) = oneshot::channel();
        let (stopping, is_stopping) = watch::channel(false);
        let endpoint =
            Endpoint { service, authenticator: self.authenticator, sessions, metrics, stopping: is_stopping };
        let (listener, tls) = (self.listener, self.tls);
        let published = published.map(|listener| (listener, gauges));
        let thread = std::thread::Builder::new().name("cxql-network".into()).spawn(move || {
            let result = network.block_on(serve(listener, tls, endpoint, published, (drain, stopping), up));
            // closes open connections, which cancels their queries
            network.shutdown_background();
            // the receiver is gone if the command was aborted
            let _ = sender.send(result);
        });
        thread.map_err(|cause| fault(format!("cannot start a thread: {cause}")))?;
        // the sender was dropped: startup failed, and the thread has ended with the error
        if is_up.await.is_ok() {
            ready()?;
        }
        ended.await.unwrap_or_else(|_| Err(fault("the network's thread ended; please report it".into())))
    }
}

/// Serves on this thread until it is stopped.
async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    endpoint: Endpoint,
    published: Option<(TcpListener, Gauges)>,
    (drain, stopping): (Duration, watch::Sender<bool>),
    up: oneshot::Sender<()>,
) -> Result<()> {
    let (activity, is_stopping) = (endpoint.service.activity(), endpoint.stopping.clone());
    let network = |cause: String| Error::Engine { message: format!("the network failed: {cause}") };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|cause| network(cause.to_string()))?;
    let flight = FlightServiceServer::new(endpoint)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<FlightServiceServer<Endpoint>>().await;
    let fault = |error| network(reflection::fault(&error));
    // tools use one or the other version
    let reflection = reflection::described().build_v1().map_err(fault)?;
    let old_reflection = reflection::described().build_v1alpha().map_err(fault)?;
    if let Some((listener, gauges)) = published {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|cause| network(cause.to_string()))?;
        tokio::spawn(metrics::publish(listener, gauges));
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Transport::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_ANSWER))
        .add_service(health)
        .add_service(reflection)
        .add_service(old_reflection)
        .add_service(flight);
    let stopped = async move {
        // a dropped sender stops the server too
        let _ = stopped.await;
    };
    let mut server = match tls {
        Some(tls) => {
            let incoming = ReceiverStream::new(connections::encrypted(listener, tls, is_stopping));
            tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped))
        }
        None => {
            let incoming = ReceiverStream::new(connections::plain(listener, is_stopping));
            tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped))
        }
    };
    let mut signals = Signals::new().map_err(|cause| network(cause.to_string()))?;
    // the receiver is gone if the command was aborted
    let _ = up.send(());
    let done = tokio::select! {
        done = &mut server => Some(done),
        () = signals.next() => None,
    };
    let done = match done {
        Some(done) => done,
        None => {
            // the receivers are gone if the server has ended meanwhile
            let _ = stopping.send(true);
            tracing::info!("stopping: running queries have {} seconds; another signal ends at once", drain.as_secs());
            reporter.set_not_serving::<FlightServiceServer<Endpoint>>().await;
            let ended = async {
                activity.end().await;
                let _ = stop.send(());
                (&mut server).await
            };
            tokio::select! {
                done = ended => done,
                () = tokio::time::sleep(drain) => {
                    tracing::info!("queries that are still running are cancelled");
                    return Ok(());
                }
                () = signals.next() => return Ok(()),
            }
        }
    };
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(network(error.to_string())),
        Err(error) => Err(network(error.to_string())),
    }
}

/// Binds the address of the metrics endpoint.
fn bind_metrics(listen: &str, is_open: bool) -> Result<(TcpListener, SocketAddr)> {
    let usable = |cause| {
        Error::usage(format!(
            "[serve] metrics: cannot listen on `{listen}`: {cause}; write HOST:PORT, such as 127.0.0.1:9090"
        ))
    };
    let listener = TcpListener::bind(listen).map_err(usable)?;
    let address = listener.local_addr().map_err(usable)?;
    if !address.ip().is_loopback() && !is_open {
        return Err(Error::usage(format!(
            "[serve] metrics: `{listen}` can be reached from other machines, and metrics are neither encrypted nor behind a \
             login; listen on 127.0.0.1, or add --open if that is meant"
        )));
    }
    listener.set_nonblocking(true).map_err(usable)?;
    Ok((listener, address))
}

/// Checks that keys are declared for existing tables and views.
fn check_keys(session: &Session, keys: &BTreeMap<String, Vec<String>>) -> Result<()> {
    let names: Vec<&str> =
        session.tables().map(|(name, _)| name).chain(session.views().map(|view| view.name.as_str())).collect();
    for (table, columns) in keys {
        if !names.contains(&table.as_str()) {
            let hint = nearest(table, names.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            return Err(Error::usage(format!(
                "[keys] in cxql.toml: there is no table or view `{table}`{}",
                hint.unwrap_or_default()
            )));
        }
        if columns.is_empty() {
            return Err(Error::usage(format!(
                "[keys] in cxql.toml: `{table}` has no columns; write {table} = [\"id\"]"
            )));
        }
    }
    Ok(())
}

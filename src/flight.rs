//! `cxql serve`: the session to BI tools over Arrow Flight SQL.
//!
//! Requests are answered on a thread of their own, so that connections live while every thread of the engine is busy.
//! Statements are planned and run on the engine's threads.

mod auth;
mod columns;
mod connections;
mod endpoint;
mod log;
mod metadata;
mod params;
mod service;
mod sql_info;
mod sql_types;
mod statements;
mod status;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server as Transport;

use self::auth::Gate;
pub use self::auth::{hash_password, new_token};
use self::endpoint::Endpoint;
use self::service::Service;
use self::stream::Limits;
use self::tls::Tls;
use crate::config::{TlsFiles, UserConfig};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::source::nearest;

/// The size of a message that a client may send: a statement, or values of parameters.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// What a client may be sent ahead of what it has read: per query, and per connection.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Requests that one connection may have open.
const MAX_STREAMS: u32 = 256;

/// How often a silent connection is asked whether it is there, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(20);

/// How a server is run.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// `HOST:PORT`; port 0 takes a free one.
    pub listen: String,
    /// Whether other machines may connect although nothing is encrypted, or nobody has to say who it is.
    pub is_open: bool,
    /// The files for encryption; without them nothing is encrypted.
    pub tls: Option<TlsFiles>,
    /// Who may connect; everybody when there is no user.
    pub users: BTreeMap<String, UserConfig>,
    /// How long running queries may take when the server is stopped.
    pub drain: Duration,
    /// How many queries run at a time.
    pub max_queries: usize,
    /// How long a query waits for its turn.
    pub queue: Duration,
    /// How long a query may take; as long as it wants without.
    pub timeout: Option<Duration>,
    /// Columns of primary keys by table.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// A server that is bound and not running yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    gate: Gate,
    tls: Option<Tls>,
    options: ServeOptions,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// An address that cannot be bound, or one that other machines reach when that was not asked for; a user that cannot
    /// log in.
    pub fn bind(options: ServeOptions) -> Result<Self> {
        let gate = Gate::new(&options.users)?;
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
        Ok(Self { listener, address, gate, tls, options })
    }

    /// Whether connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until Ctrl-C or the system's request to end; then takes no new connections and lets queries end, for the
    /// time of the options. A second signal ends at once. `ready` is called when clients can connect.
    ///
    /// # Errors
    /// Keys of tables that do not exist; what `ready` gives; a failure of the network.
    pub async fn run(self, session: Arc<Session>, ready: impl FnOnce() -> Result<()>) -> Result<()> {
        check_keys(&session, &self.options.keys)?;
        let drain = self.options.drain;
        let fault = |text: String| Error::Engine { message: text };
        let limits = Limits::new(self.options.max_queries, self.options.queue, self.options.timeout);
        let service = Service::new(session, self.options.keys, limits, Handle::current())
            .map_err(|status| fault(status.message().to_owned()))?;
        let network = Builder::new_current_thread().enable_all().build();
        let network = network.map_err(|cause| fault(format!("the system gives no threads: {cause}")))?;
        let (tell, ended) = oneshot::channel();
        let (up, is_up) = oneshot::channel();
        let (listener, tls, endpoint) = (self.listener, self.tls, Endpoint { service, gate: self.gate });
        let thread = std::thread::Builder::new().name("cxql-network".into()).spawn(move || {
            let result = network.block_on(serve(listener, tls, endpoint, drain, up));
            // connections that are still open end here, and their queries with them
            network.shutdown_background();
            // nobody listens when the command was aborted
            let _ = tell.send(result);
        });
        thread.map_err(|cause| fault(format!("the system gives no threads: {cause}")))?;
        // a server that did not come up has ended with an error
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
    drain: Duration,
    up: oneshot::Sender<()>,
) -> Result<()> {
    let network = |cause: String| Error::Engine { message: format!("the network failed: {cause}") };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|cause| network(cause.to_string()))?;
    let flight = FlightServiceServer::new(endpoint)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<FlightServiceServer<Endpoint>>().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Transport::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_ANSWER))
        .add_service(health)
        .add_service(flight);
    let stopped = async move {
        // an end of the sender counts as well
        let _ = stopped.await;
    };
    let mut server = match tls {
        Some(tls) => {
            let incoming = ReceiverStream::new(connections::encrypted(listener, tls));
            tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped))
        }
        None => {
            let incoming = ReceiverStream::new(connections::plain(listener));
            tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped))
        }
    };
    let mut signals = Signals::new().map_err(|cause| network(cause.to_string()))?;
    // the command may have been aborted
    let _ = up.send(());
    let done = tokio::select! {
        done = &mut server => Some(done),
        () = signals.next() => None,
    };
    let done = match done {
        Some(done) => done,
        None => {
            log::info(&format!(
                "stopping: running queries have {} seconds; another signal ends at once",
                drain.as_secs()
            ));
            reporter.set_not_serving::<FlightServiceServer<Endpoint>>().await;
            // a server that ended meanwhile needs no telling
            let _ = stop.send(());
            tokio::select! {
                done = &mut server => done,
                () = tokio::time::sleep(drain) => {
                    log::info("queries that are still running are cancelled");
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

/// Ctrl-C and the system's request to end.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        {
            tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Keys belong to tables and views that are there.
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

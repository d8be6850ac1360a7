//! Accepting connections: a slow handshake does not block others, and a connection without any data is dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tls::Tls;

/// Timeout of the first byte, or of the TLS handshake.
const HELLO: Duration = Duration::from_secs(10);

/// Maximum number of connections that wait to be served after their handshake.
const WAITING: usize = 256;

/// Pause after a failed accept, such as with too many open files.
const PAUSE: Duration = Duration::from_millis(50);

type Connections<C> = mpsc::Receiver<std::io::Result<C>>;

/// Whether the server is stopping: it accepts no more connections and plans no more statements.
pub(super) type Stopping = watch::Receiver<bool>;

/// Accepts connections without encryption.
pub(super) fn plain(listener: TcpListener, stopping: Stopping) -> Connections<TcpStream> {
    accept(listener, stopping, async |stream: TcpStream| {
        let read = stream.peek(&mut [0]).await.ok()?;
        (read > 0).then_some(stream)
    })
}

/// Accepts TLS connections. One that fails the handshake, or has no valid client certificate, is dropped.
pub(super) fn encrypted(listener: TcpListener, tls: Tls, stopping: Stopping) -> Connections<TlsStream<TcpStream>> {
    accept(listener, stopping, move |stream: TcpStream| {
        let acceptor = TlsAcceptor::from(tls.config());
        async move { acceptor.accept(stream).await.ok() }
    })
}

/// Accepts connections, and runs the handshake `hello` of each in a task of its own. When the server is stopping, the
/// listener is closed; the connections stay open until the receiver is dropped.
fn accept<C, H, F>(listener: TcpListener, mut stopping: Stopping, hello: H) -> Connections<C>
where
    C: Send + 'static,
    H: Fn(TcpStream) -> F + Send + Sync + 'static,
    F: Future<Output = Option<C>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let hello = Arc::new(hello);
    tokio::spawn(async move {
        let mut is_short = false;
        loop {
            // the sender of `stopping` is gone when the server has ended
            let stopped = async { _ = stopping.wait_for(|is_stopping| *is_stopping).await };
            let accepted = tokio::select! {
                accepted = listener.accept() => Some(accepted),
                () = sender.closed() => break,
                () = stopped => None,
            };
            let Some(accepted) = accepted else {
                drop(listener);
                // the end of the stream would close all connections
                sender.closed().await;
                break;
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // such as too many open files; logged once until it is over
                    if !std::mem::replace(&mut is_short, true) {
                        tracing::error!("no connection can be accepted: {error}");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            is_short = false;
            // an error only costs latency
            let _ = stream.set_nodelay(true);
            let (sender, hello) = (sender.clone(), Arc::clone(&hello));
            tokio::spawn(async move {
                if let Ok(Some(connection)) = tokio::time::timeout(HELLO, hello(stream)).await {
                    // the receiver is gone when the server stops
                    let _ = sender.send(Ok(connection)).await;
                }
            });
        }
    });
    receiver
}

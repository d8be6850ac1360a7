//! Connections: taken whatever happens to others, and dropped when nothing comes over them.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tls::Tls;

/// How long a client may take to say its first word, or to agree on encryption.
const HELLO: Duration = Duration::from_secs(10);

/// Connections that have said hello and wait to be served.
const WAITING: usize = 256;

/// How long to wait when the system gives no more connections: others may end meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

type Connections<C> = mpsc::Receiver<std::io::Result<C>>;

/// Connections as they are.
pub(super) fn plain(listener: TcpListener) -> Connections<TcpStream> {
    accept(listener, async |stream: TcpStream| {
        let read = stream.peek(&mut [0]).await.ok()?;
        (read > 0).then_some(stream)
    })
}

/// Encrypted connections. What does not speak TLS, or has no certificate that counts, is dropped.
pub(super) fn encrypted(listener: TcpListener, tls: Tls) -> Connections<TlsStream<TcpStream>> {
    accept(listener, move |stream: TcpStream| {
        let acceptor = TlsAcceptor::from(tls.config());
        async move { acceptor.accept(stream).await.ok() }
    })
}

/// Accepts connections, each with its `hello` on its own: one that is slow holds up nobody.
fn accept<C, H, F>(listener: TcpListener, hello: H) -> Connections<C>
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
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // such as too many open files; said once until it is over
                    if !std::mem::replace(&mut is_short, true) {
                        tracing::error!("no connection can be accepted: {error}");
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            is_short = false;
            // it only costs speed
            let _ = stream.set_nodelay(true);
            let (sender, hello) = (sender.clone(), Arc::clone(&hello));
            tokio::spawn(async move {
                if let Ok(Some(connection)) = tokio::time::timeout(HELLO, hello(stream)).await {
                    // a server that stops takes no more
                    let _ = sender.send(Ok(connection)).await;
                }
            });
        }
    });
    receiver
}

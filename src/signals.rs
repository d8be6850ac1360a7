//! Requests to end, from a terminal or the system.

/// Ctrl-C and the system's request to end: on Unix handled from the moment there is a value of this type, elsewhere Ctrl-C alone,
/// from the first wait on.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// # Errors
    /// A system that lets no signal be handled.
    pub fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        {
            tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for the system's request; Ctrl-C is somebody else's.
    pub async fn terminated(&mut self) {
        #[cfg(unix)]
        {
            // it stays open as long as the process
            let _ = self.terminate.recv().await;
        }
        #[cfg(not(unix))]
        std::future::pending().await
    }
}

//! Termination signals.

/// Handles Ctrl-C and SIGTERM from its creation on; outside of Unix only Ctrl-C, from the first wait on.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// # Errors
    /// The system refuses a signal handler.
    pub(crate) fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        {
            tokio::select! { _ = self.interrupt.recv() => {}, _ = self.terminate.recv() => {} }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for SIGTERM; Ctrl-C is handled elsewhere.
    pub(crate) async fn terminated(&mut self) {
        #[cfg(unix)]
        {
            // the stream ends with the process only
            let _ = self.terminate.recv().await;
        }
        #[cfg(not(unix))]
        std::future::pending().await
    }
}

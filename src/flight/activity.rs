//! What clients are doing when the server is stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::statements::StatementStore;
use super::stream::RunningQueries;

/// What the clients of a server are doing.
pub(super) struct Activity {
    running: Arc<RunningQueries>,
    statements: Arc<StatementStore>,
}

impl Activity {
    pub(super) fn new(running: Arc<RunningQueries>, statements: Arc<StatementStore>) -> Self {
        Self { running, statements }
    }

    /// Waits until all results are read. Clients with prepared statements then have a second to close them.
    pub(super) async fn end(&self) {
        const PAUSE: Duration = Duration::from_millis(20);
        const CLOSING: Duration = Duration::from_secs(1);
        let mut read_since = None;
        loop {
            match (self.running.is_reading(), read_since) {
                (true, _) => read_since = None,
                (false, None) => read_since = Some(Instant::now()),
                (false, Some(since)) if since.elapsed() >= CLOSING || !self.statements.has_prepared() => return,
                (false, Some(_)) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

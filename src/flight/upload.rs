//! Rows that clients send: parameters and tables, decoded within bounds and off the network thread.

use std::sync::Arc;

use arrow_flight::FlightData;
use datafusion::execution::memory_pool::MemoryPool;
use futures::Stream;
use tokio::runtime::Handle;
use tonic::Status;

use super::status;
use crate::ipc::{FlightBatches, FlightFault, IpcFault};
use crate::session::Session;

/// A message of parameters may take one part in so many of the memory limit.
const PARAMETERS_SHARE: usize = 8;

/// Maximum bytes of a message of parameters, and of all values of an execution.
const MAX_PARAMETERS_BYTES: usize = 64 << 20;

/// Where uploads are decoded, and the memory that they take.
#[derive(Debug)]
pub(super) struct Uploads {
    pool: Arc<dyn MemoryPool>,
    memory: usize,
    runtime: Handle,
}

impl Uploads {
    /// Uploads of the clients of a session, decoded on the blocking threads of a runtime.
    pub(super) fn new(session: &Session, runtime: Handle) -> Self {
        let (pool, memory) = session.memory();
        Self { pool, memory, runtime }
    }

    /// Maximum bytes of the values of an execution.
    pub(super) fn parameters_limit(&self) -> usize {
        (self.memory / PARAMETERS_SHARE).min(MAX_PARAMETERS_BYTES)
    }

    /// The batches of a stream, each of at most `limit` bytes.
    pub(super) fn batches<S>(&self, messages: S, limit: usize, name: &str) -> FlightBatches<S>
    where
        S: Stream<Item = Result<FlightData, Status>> + Unpin,
    {
        FlightBatches::new(messages, limit.min(self.memory), &self.pool, name, self.runtime.clone())
    }
}

/// The status of a stream of `what` that cannot be read.
pub(super) fn failure(fault: FlightFault, what: &str) -> Status {
    match fault {
        FlightFault::Status(status) => status,
        FlightFault::Message(fault @ IpcFault::Invalid(_)) => {
            status::invalid(format!("the {what} cannot be read: {fault}"))
        }
        FlightFault::Message(fault @ IpcFault::TooLarge(_)) => {
            status::exhausted(format!("the {what} cannot be read: {fault}"))
        }
    }
}

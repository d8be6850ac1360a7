//! Rows that clients send: parameters and tables, decoded within bounds and off the network thread.

use std::sync::Arc;

use arrow_flight::FlightData;
use arrow_flight::sql::server::PeekableFlightDataStream;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::memory_pool::MemoryPool;
use futures::Stream;
use tokio::runtime::Handle;
use tonic::Status;

use super::{bind, params, status};
use crate::ipc::{FlightBatches, FlightFault, IpcFault, mebibytes, value_bytes};
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

    /// Collects the values of parameters. Their rows and bytes are counted as they come.
    ///
    /// # Errors
    /// More than an execution takes; messages that cannot be decoded.
    pub(super) async fn parameters(&self, data: PeekableFlightDataStream) -> Result<Vec<RecordBatch>, Status> {
        const WHAT: &str = "values of the parameters";
        let limit = (self.memory / PARAMETERS_SHARE).min(MAX_PARAMETERS_BYTES);
        let mut decoded = self.batches(data, limit, WHAT);
        let mut batches = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while let Some(batch) = decoded.next().await.map_err(|fault| failure(fault, WHAT))? {
            rows += batch.num_rows();
            if rows > params::MAX_ROWS {
                return Err(bind::too_many_rows());
            }
            bytes += value_bytes(&batch);
            if bytes > limit {
                let (got, most) = (mebibytes(bytes), mebibytes(limit));
                return Err(status::exhausted(format!(
                    "{WHAT} of {got}, at most {most} are taken; bind fewer rows at a time"
                )));
            }
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        Ok(batches)
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

//! Batches of a Flight stream, decoded on threads that may block.

use std::sync::Arc;

use arrow_flight::FlightData;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryPool;
use futures::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tonic::Status;

use super::{Decoded, IpcDecoder, IpcFault};

/// Messages of all streams that are decoded at a time.
static DECODING: Semaphore = Semaphore::const_new(4);

/// An error of a Flight stream.
#[derive(Debug)]
pub(crate) enum FlightFault {
    /// The other side has ended the stream with an error.
    Status(Status),
    /// A message cannot be decoded.
    Message(IpcFault),
}

/// The batches of a stream of Flight messages.
pub(crate) struct FlightBatches<S> {
    messages: S,
    /// `None` after an error.
    decoder: Option<IpcDecoder>,
    runtime: Handle,
}

impl<S: Stream<Item = Result<FlightData, Status>> + Unpin> FlightBatches<S> {
    /// `limit` is that of [`IpcDecoder::of_stream`]; the runtime's blocking threads decode.
    pub(crate) fn new(messages: S, limit: usize, pool: &Arc<dyn MemoryPool>, name: &str, runtime: Handle) -> Self {
        Self { messages, decoder: Some(IpcDecoder::of_stream(limit, pool, name)), runtime }
    }

    /// The columns, once they are known.
    pub(crate) fn schema(&self) -> Option<&SchemaRef> {
        self.decoder.as_ref().and_then(IpcDecoder::schema)
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// The error of the stream, or a message that is malformed or too large.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, FlightFault> {
        while let Some(message) = self.messages.next().await {
            let FlightData { data_header, data_body, .. } = message.map_err(FlightFault::Status)?;
            if data_header.is_empty() {
                continue;
            }
            let ended = || FlightFault::Status(Status::cancelled("the stream has ended"));
            let mut decoder = self.decoder.take().ok_or_else(ended)?;
            let permit = DECODING.acquire().await.map_err(|_| ended())?;
            let decoding = self.runtime.spawn_blocking(move || {
                // a client that goes away does not free the thread
                let _permit = permit;
                // columns are aligned, or copied
                let body = if (data_body.as_ptr() as usize).is_multiple_of(64) {
                    Buffer::from(data_body)
                } else {
                    Buffer::from(data_body.as_ref())
                };
                let decoded = decoder.decode(&data_header, &body);
                (decoder, decoded)
            });
            let (decoder, decoded) = decoding.await.map_err(|_| ended())?;
            self.decoder = Some(decoder);
            if let Decoded::Batch(batch) = decoded.map_err(FlightFault::Message)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }
}

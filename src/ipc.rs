//! The only decoder of Arrow IPC messages: uploads of clients, results of servers, local files.
//!
//! ```text
//!  header, body --> check --> reserve memory --> decode --> expanded size --> batch
//!                     |             |               |             |
//!                     '-------------'-- IpcFault ---'-------------'
//! ```
//!
//! A message declares the sizes of what it decodes to, and arrow-rs believes it: a compressed buffer of some bytes may
//! declare 2^60, a batch without buffers any number of rows. [`IpcDecoder`] adds the declared sizes before anything is
//! decoded, holds them against its limit and reserves them in the memory pool. A few megabytes may also stand for terabytes
//! when the rows are used: many views or dictionary keys of one long string. These are added after decoding. Assertions of
//! the library become errors.

mod check;
mod expanded;
mod flight;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::{Message, MessageHeader, root_as_message};
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

pub(crate) use self::check::mebibytes;
pub(crate) use self::expanded::value_bytes;
pub(crate) use self::flight::{FlightBatches, FlightFault};
use crate::panics;

/// Maximum number of dictionaries that a stream may extend piece by piece: each piece copies what is there.
const MAX_DELTAS: usize = 1_000;

/// Why a message is not decoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum IpcFault {
    /// It is no message of Arrow, or contradicts itself.
    #[error("{0}")]
    Invalid(String),
    /// It needs more than the limit: got, wanted.
    #[error("{0}")]
    TooLarge(String),
}

impl IpcFault {
    pub(crate) fn invalid(error: impl ToString) -> Self {
        // flatbuffers tells the way to the fault in further lines
        Self::Invalid(error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// What a message holds.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// Rows.
    Batch(RecordBatch),
    /// The schema, a dictionary, or nothing.
    NoRows,
}

/// Decodes the messages of one stream or file.
#[derive(Debug)]
pub(crate) struct IpcDecoder {
    schema: Option<SchemaRef>,
    /// The schema with binary in place of string views, see [`check::decoding_type`].
    decoding: SchemaRef,
    projection: Option<Vec<usize>>,
    dictionaries: HashMap<i64, ArrayRef>,
    dictionary_bytes: usize,
    deltas: usize,
    /// Maximum decoded bytes of a message, and of all dictionaries together.
    limit: usize,
    /// Whether the size of a message bounds what it decodes to.
    is_stream: bool,
    /// The memory of the dictionaries and of the last message.
    memory: MemoryReservation,
}

impl IpcDecoder {
    /// A decoder of messages of a file that take at most `limit` bytes each, reserved in the pool under a name.
    pub(crate) fn of_file(limit: usize, pool: &Arc<dyn MemoryPool>, name: &str) -> Self {
        Self {
            schema: None,
            decoding: Arc::new(Schema::empty()),
            projection: None,
            dictionaries: HashMap::new(),
            dictionary_bytes: 0,
            deltas: 0,
            limit,
            is_stream: false,
            memory: MemoryConsumer::new(name).register(pool),
        }
    }

    /// The same for messages that another program sends, which may not decode to many times their size.
    pub(crate) fn of_stream(limit: usize, pool: &Arc<dyn MemoryPool>, name: &str) -> Self {
        Self { is_stream: true, ..Self::of_file(limit, pool, name) }
    }

    /// Sets the columns of the batches; the messages of a file are decoded by the schema of its footer.
    pub(crate) fn set_schema(&mut self, schema: SchemaRef) {
        self.decoding = Arc::new(check::decoding_schema(&schema));
        self.schema = Some(schema);
        self.dictionaries.clear();
    }

    /// Decodes these columns of a batch alone.
    pub(crate) fn set_projection(&mut self, projection: Vec<usize>) {
        self.projection = Some(projection);
    }

    /// The columns, once they are known.
    pub(crate) fn schema(&self) -> Option<&SchemaRef> {
        self.schema.as_ref()
    }

    /// Decodes a message. Its memory stays reserved until the next one.
    ///
    /// # Errors
    /// A message that is malformed, or larger than the limit or the free memory.
    pub(crate) fn decode(&mut self, header: &[u8], body: &Buffer) -> Result<Decoded, IpcFault> {
        panics::catch(|| self.decode_unguarded(header, body)).unwrap_or_else(|panic| Err(IpcFault::invalid(panic)))
    }

    fn decode_unguarded(&mut self, header: &[u8], body: &Buffer) -> Result<Decoded, IpcFault> {
        let message = root_as_message(header).map_err(IpcFault::invalid)?;
        let limit =
            if self.is_stream { check::stream_limit(header.len() + body.len(), self.limit) } else { self.limit };
        let bytes = check::declared_bytes(&message, body, limit)?;
        let reserved = self.memory.try_resize(self.dictionary_bytes + bytes);
        reserved.map_err(|error| IpcFault::TooLarge(error.strip_backtrace()))?;
        match message.header_type() {
            MessageHeader::Schema if self.schema.is_some() => {
                Err(IpcFault::invalid("a second schema, where one is wanted"))
            }
            MessageHeader::Schema => {
                let schema = message.header_as_schema().ok_or_else(|| IpcFault::invalid("no schema"))?;
                self.set_schema(Arc::new(fb_to_schema(schema)));
                Ok(Decoded::NoRows)
            }
            MessageHeader::DictionaryBatch => self.add_dictionary(&message, body, bytes),
            MessageHeader::RecordBatch => self.batch(&message, body).map(Decoded::Batch),
            MessageHeader::NONE => Ok(Decoded::NoRows),
            other => Err(IpcFault::invalid(format!("a message of the kind {other:?}, which holds no rows"))),
        }
    }

    fn add_dictionary(&mut self, message: &Message<'_>, body: &Buffer, bytes: usize) -> Result<Decoded, IpcFault> {
        let no_dictionary = || IpcFault::invalid("no dictionary");
        let dictionary = message.header_as_dictionary_batch().ok_or_else(no_dictionary)?;
        if self.schema.is_none() {
            return Err(IpcFault::invalid("a dictionary before the schema"));
        }
        self.deltas += usize::from(dictionary.isDelta());
        if self.deltas > MAX_DELTAS {
            return Err(IpcFault::TooLarge(format!("dictionaries in more than {MAX_DELTAS} pieces; send each whole")));
        }
        // one that is replaced may still be held by a batch
        self.dictionary_bytes += bytes;
        if self.dictionary_bytes > self.limit {
            return Err(check::too_large("dictionaries", self.dictionary_bytes, self.limit));
        }
        read_dictionary(body, dictionary, &self.decoding, &mut self.dictionaries, &message.version())
            .map_err(IpcFault::invalid)?;
        Ok(Decoded::NoRows)
    }

    fn batch(&self, message: &Message<'_>, body: &Buffer) -> Result<RecordBatch, IpcFault> {
        let batch = message.header_as_record_batch().ok_or_else(|| IpcFault::invalid("no batch"))?;
        let Some(schema) = &self.schema else { return Err(IpcFault::invalid("rows before the schema")) };
        let version = message.version();
        let decoder =
            RecordBatchDecoder::try_new(body, batch, Arc::clone(&self.decoding), &self.dictionaries, &version);
        let decoded = decoder.map_err(IpcFault::invalid)?.with_projection(self.projection.as_deref());
        let decoded = decoded.read_record_batch().map_err(IpcFault::invalid)?;
        let bytes = value_bytes(&decoded);
        // what is short in the message may be long as values
        if bytes > self.limit {
            return Err(check::too_large("values", bytes, self.limit));
        }
        let schema = match &self.projection {
            Some(projection) => Arc::new(schema.project(projection).map_err(IpcFault::invalid)?),
            None => Arc::clone(schema),
        };
        with_types(&decoded, schema).map_err(IpcFault::invalid)
    }
}

/// Casts the columns that were decoded as binary back to their types, which checks that they are UTF-8, and checks the others.
fn with_types(batch: &RecordBatch, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    columns.iter().try_for_each(|column| values::check_values(column.as_ref()))?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options)
}

#[cfg(test)]
mod tests;

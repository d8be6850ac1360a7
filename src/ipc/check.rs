//! The sizes that a message declares.

use arrow_ipc::{CompressionType, Message};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema};

use super::IpcFault;

/// Rows of columns that have no bytes, such as NULLs alone, that a batch may have whatever its size.
const FREE_ROWS: usize = 1 << 20;

/// LZ4 makes at most 255 bytes of one.
const LZ4_RATIO: usize = 255;

/// Decoded bytes that a message of a stream may have whatever its size: columns of one value compress to nearly nothing.
const FREE_BYTES: usize = 64 << 20;

/// Decoded bytes of a message of a stream for each of its bytes, beyond [`FREE_BYTES`].
const STREAM_RATIO: usize = 256;

/// The limit of a message of a stream by its size, below that of memory.
pub(super) fn stream_limit(message_bytes: usize, limit: usize) -> usize {
    limit.min(FREE_BYTES.max(message_bytes.saturating_mul(STREAM_RATIO)))
}

/// A size as people read it.
pub(crate) fn mebibytes(bytes: usize) -> String {
    if bytes < 10 << 20 { format!("{} KB", bytes.div_ceil(1 << 10)) } else { format!("{} MB", bytes >> 20) }
}

/// The error of a part that needs more than the limit.
pub(super) fn too_large(what: &str, got: usize, limit: usize) -> IpcFault {
    IpcFault::TooLarge(format!(
        "{what} of {} in one message, at most {} are taken; send or write smaller batches",
        mebibytes(got),
        mebibytes(limit)
    ))
}

/// The bytes to which a message decodes, as it declares them.
///
/// # Errors
/// Numbers that are negative, lie outside the body or contradict each other; more than `limit`.
pub(super) fn declared_bytes(message: &Message<'_>, body: &[u8], limit: usize) -> Result<usize, IpcFault> {
    let batch = match (message.header_as_record_batch(), message.header_as_dictionary_batch()) {
        (Some(batch), _) => batch,
        (None, Some(dictionary)) => {
            dictionary.data().ok_or_else(|| IpcFault::invalid("a dictionary without values"))?
        }
        (None, None) => return Ok(body.len()),
    };
    let natural = |number: i64, what: &str| {
        usize::try_from(number).map_err(|_| IpcFault::Invalid(format!("{what} {number}, at least 0 is wanted")))
    };
    let codec = batch.compression().map(|compression| compression.codec());
    let mut decoded = 0usize;
    let mut buffers = 0usize;
    for buffer in batch.buffers().into_iter().flatten() {
        buffers += 1;
        let offset = natural(buffer.offset(), "a buffer at")?;
        let length = natural(buffer.length(), "a buffer of length")?;
        let bytes = offset.checked_add(length).and_then(|end| body.get(offset..end)).ok_or_else(|| {
            IpcFault::Invalid(format!("a buffer of {length} bytes at {offset} in a body of {} bytes", body.len()))
        })?;
        let size = match codec {
            Some(codec) if length > 0 => decompressed_bytes(bytes, codec)?,
            _ => length,
        };
        decoded = decoded.saturating_add(size);
    }
    if decoded > limit {
        return Err(too_large("buffers", decoded, limit));
    }
    // a value takes a bit at least, but for types without buffers
    let most = FREE_ROWS.max(decoded.saturating_mul(8));
    let rows = |number: i64, what: &str| match natural(number, what)? {
        rows if rows > most => {
            Err(IpcFault::TooLarge(format!("{what} {rows}, at most {most} in a message of its size")))
        }
        rows => Ok(rows),
    };
    rows(batch.length(), "a row count of")?;
    for node in batch.nodes().into_iter().flatten() {
        let length = rows(node.length(), "a column of length")?;
        let nulls = natural(node.null_count(), "a count of NULLs of")?;
        if nulls > length {
            return Err(IpcFault::Invalid(format!("{nulls} NULLs in a column of {length} values")));
        }
    }
    for count in batch.variadicBufferCounts().into_iter().flatten() {
        if natural(count, "a number of buffers of")? > buffers {
            return Err(IpcFault::Invalid(format!("a column of {count} buffers in a batch of {buffers}")));
        }
    }
    Ok(decoded)
}

/// The declared size of a compressed buffer: eight bytes before its data.
fn decompressed_bytes(buffer: &[u8], codec: CompressionType) -> Result<usize, IpcFault> {
    let Some((declared, data)) = buffer.split_first_chunk::<8>() else {
        return Err(IpcFault::Invalid(format!("a compressed buffer of {} bytes, at least 8 are wanted", buffer.len())));
    };
    let declared = i64::from_le_bytes(*declared);
    match usize::try_from(declared) {
        Ok(size) => {
            let most = data.len().saturating_mul(LZ4_RATIO);
            if codec == CompressionType::LZ4_FRAME && size > most {
                return Err(IpcFault::Invalid(format!(
                    "{size} bytes of {} compressed with lz4, which makes at most {most} of them",
                    data.len()
                )));
            }
            Ok(size)
        }
        // not compressed
        Err(_) if declared == -1 => Ok(data.len()),
        Err(_) => Err(IpcFault::Invalid(format!("a decompressed length of {declared}, at least 0 is wanted"))),
    }
}

/// The schema by which batches are decoded, see [`decoding_type`].
pub(super) fn decoding_schema(schema: &Schema) -> Schema {
    Schema::new_with_metadata(
        schema.fields().iter().map(|field| decoding_field(field)).collect::<Fields>(),
        schema.metadata().clone(),
    )
}

fn decoding_field(field: &Field) -> Field {
    field.clone().with_data_type(decoding_type(field.data_type()))
}

/// The type with binary views in place of string views. Views may share bytes: a message of 16 MB has room for a million
/// views of eight megabytes each, and arrow-rs reads all of them to check that they are UTF-8. As binary they are added
/// first and checked later.
fn decoding_type(data_type: &DataType) -> DataType {
    let inner = |field: &Field| std::sync::Arc::new(decoding_field(field));
    match data_type {
        DataType::Utf8View => DataType::BinaryView,
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inner(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| decoding_field(field)).collect()),
        DataType::Dictionary(key, value) => DataType::Dictionary(key.clone(), Box::new(decoding_type(value))),
        DataType::Map(field, is_sorted) => DataType::Map(inner(field), *is_sorted),
        other => other.clone(),
    }
}

//! The text of a file: read from its store, decompressed, decoded to UTF-8, in pieces.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::{DataFusionError, Result};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore};
use tokio::sync::mpsc;

use crate::session::pinned::RangeReader;

/// Bytes that are read from a disk at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes in which a text without a byte order mark is searched for the zeros of UTF-16.
const SEARCHED_BYTES: usize = 1024;

/// The bytes of a file, or of a range of it, as its writer made them, and the file as it is now.
pub(in crate::session) async fn bytes(
    store: &Arc<dyn ObjectStore>,
    location: &Path,
    compression: FileCompressionType,
    range: Option<Range<u64>>,
) -> Result<(ObjectMeta, BoxStream<'static, Result<Bytes>>)> {
    let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
    let result = store.get_opts(location, options).await?;
    let meta = result.meta.clone();
    let pieces = match result.payload {
        GetResultPayload::File(file, _) => {
            let reader = RangeReader { file, range: result.range.clone() };
            if compression.is_compressed() { decompressed(compression, reader) } else { read(reader) }
        }
        GetResultPayload::Stream(stream) => {
            let stream = stream.map(|piece| piece.map_err(DataFusionError::from)).boxed();
            if !compression.is_compressed() {
                return Ok((meta, stream));
            }
            let (sender, receiver) = mpsc::channel(4);
            tokio::spawn(pump(stream, sender));
            decompressed(compression, PieceReader { receiver, piece: Bytes::new() })
        }
    };
    Ok((meta, pieces))
}

/// A file on disk in pieces.
fn read(reader: impl Read + Send + 'static) -> BoxStream<'static, Result<Bytes>> {
    futures::stream::unfold(Some(reader), async |reader| {
        let mut reader = reader?;
        let read = tokio::task::spawn_blocking(move || {
            let piece = read_piece(&mut reader);
            (piece, reader)
        });
        match read.await {
            Ok((Ok(piece), reader)) => (!piece.is_empty()).then_some((Ok(piece), Some(reader))),
            Ok((Err(error), _)) => Some((Err(error.into()), None)),
            Err(error) => Some((Err(DataFusionError::External(Box::new(error))), None)),
        }
    })
    .boxed()
}

fn read_piece(reader: &mut impl Read) -> std::io::Result<Bytes> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    reader.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
    Ok(piece.into())
}

/// Decompresses on a thread of its own. DataFusion's stream decoders end after the first frame of a file that has several
/// (zstd, bzip2) and leave out the rest without a word, its readers do not.
fn decompressed(
    compression: FileCompressionType,
    reader: impl Read + Send + 'static,
) -> BoxStream<'static, Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let mut reader = match compression.convert_read(reader) {
            Ok(reader) => reader,
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        loop {
            let piece = read_piece(&mut reader).map_err(DataFusionError::from);
            let is_end = piece.as_ref().map_or(true, Bytes::is_empty);
            // the query may have ended: nobody wants more
            if sender.blocking_send(piece).is_err() || is_end {
                return;
            }
        }
    });
    futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).boxed()
}

/// Sends what a stream yields until its end, or until it is not wanted any more.
async fn pump(mut stream: BoxStream<'static, Result<Bytes>>, sender: mpsc::Sender<Result<Bytes>>) {
    while let Some(piece) = stream.next().await {
        if sender.send(piece).await.is_err() {
            return;
        }
    }
}

/// Reads pieces that are sent to a blocking thread.
struct PieceReader {
    receiver: mpsc::Receiver<Result<Bytes>>,
    piece: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(std::io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// The encoding of a text that begins with these bytes, and the bytes of its byte order mark.
pub(super) fn encoding_of(start: &[u8], declared: Option<&'static Encoding>) -> (&'static Encoding, usize) {
    if let Some((encoding, mark)) = Encoding::for_bom(start) {
        return (encoding, mark);
    }
    if let Some(encoding) = declared {
        return (encoding, 0);
    }
    let searched = &start[..start.len().min(SEARCHED_BYTES) & !1];
    let zeros = |first: usize| searched.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, half) = (zeros(0), zeros(1), searched.len() / 2);
    if half > 1 && odd * 2 > half && even == 0 {
        (UTF_16LE, 0)
    } else if half > 1 && even * 2 > half && odd == 0 {
        (UTF_16BE, 0)
    } else {
        (UTF_8, 0)
    }
}

/// Decodes pieces of a text to UTF-8. UTF-8 passes as it is; the reader of the fields checks it.
pub(super) struct TextDecoder {
    decoder: Option<Decoder>,
    encoding: &'static Encoding,
}

impl TextDecoder {
    pub(super) fn new(encoding: &'static Encoding) -> Self {
        let decoder = (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling());
        Self { decoder, encoding }
    }

    /// The text of the next bytes.
    ///
    /// # Errors
    /// Bytes that the encoding does not have; names it.
    pub(super) fn decode(&mut self, piece: Bytes, is_last: bool) -> Result<Bytes, &'static str> {
        let Some(decoder) = &mut self.decoder else { return Ok(piece) };
        let mut text = String::with_capacity(piece.len() + piece.len() / 2 + 16);
        let mut rest = &piece[..];
        loop {
            let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, is_last);
            rest = &rest[read..];
            match result {
                DecoderResult::InputEmpty => return Ok(text.into()),
                DecoderResult::OutputFull => text.reserve(rest.len() * 3 + 16),
                DecoderResult::Malformed(..) => return Err(self.encoding.name()),
            }
        }
    }
}

/// The encoding that a text which is not UTF-8 probably has, as `iconv` calls it.
pub(super) fn likely_encoding(bytes: &[u8]) -> &'static str {
    // GBK writes a character in two bytes, and the first of the 3755 common ones is B0 to D7. Western and Greek text has
    // single bytes above 7F between letters, or lower-case letters from E0 on
    let (mut pairs, mut others, mut rest) = (0, 0, bytes);
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (0..=0x7f, _) => {}
            (0xb0..=0xd7, [0xa1..=0xfe, tail @ ..]) => {
                pairs += 1;
                rest = tail;
            }
            // punctuation of GBK
            (0xa1..=0xa3, [0xa1..=0xfe, tail @ ..]) => rest = tail,
            (_, [0x40..=0xfe, tail @ ..]) => {
                others += 1;
                rest = tail;
            }
            _ => others += 1,
        }
    }
    if pairs > 1 && pairs > 4 * others { "gb18030" } else { "latin1" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_what_the_first_bytes_say() {
        assert_eq!(encoding_of(b"\xef\xbb\xbfa", None), (UTF_8, 3));
        assert_eq!(encoding_of(b"\xff\xfea\0", None), (UTF_16LE, 2));
        assert_eq!(encoding_of(b"\xfe\xff\0a", None), (UTF_16BE, 2));
        assert_eq!(encoding_of(b"a\0,\0b\0\n\0", None), (UTF_16LE, 0));
        assert_eq!(encoding_of(b"\0a\0,\0b\0\n", None), (UTF_16BE, 0));
        assert_eq!(encoding_of(b"a,b\nx\0y,1\n", None), (UTF_8, 0));
        assert_eq!(encoding_of(b"a", Some(encoding_rs::GBK)), (encoding_rs::GBK, 0));
    }

    #[test]
    fn a_text_is_decoded_across_pieces() {
        let mut decoder = TextDecoder::new(encoding_rs::GB18030);
        // GBK of 电话: B5 E7 BB B0
        let mut text = Vec::new();
        for (piece, is_last) in [(&b"\xb5"[..], false), (b"\xe7\xbb", false), (b"\xb0", true)] {
            text.extend_from_slice(&decoder.decode(Bytes::from_static(piece), is_last).unwrap());
        }
        assert_eq!(String::from_utf8(text).unwrap(), "电话");
        assert!(TextDecoder::new(UTF_16LE).decode(Bytes::from_static(b"\x00\xd8a\0"), true).is_err());
    }

    #[test]
    fn chinese_and_western_text_are_told_apart() {
        assert_eq!(likely_encoding(b"id,\xb5\xe7\xbb\xb0\n"), "gb18030");
        assert_eq!(likely_encoding(b"a,caf\xe9\n"), "latin1");
        assert_eq!(likely_encoding(b"M\xfcller, Stra\xdfe 5"), "latin1");
    }
}

//! Numbers of NDJSON files that a float would round: found before a figure is made of them.
//!
//! Arrow infers a float for a column with any number that is no 64-bit integer, and reads the others of that column as
//! floats too: of `9007199254740993` and `0.5` the first becomes `9007199254740992`, of an id of 20 digits the last ones
//! are lost. Only a column that became a float is concerned, so files without one are not searched.

mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::Result;
use futures::StreamExt;
use object_store::{ObjectMeta, ObjectStore};

pub(super) use self::keys::check_keys;
use super::csv::bytes;
use crate::error::Error;

/// The largest whole number of which a float has all smaller ones, 2^53.
const MAX_EXACT: u64 = 1 << 53;

/// Maximum bytes of a line. Arrow's reader holds a line several times, and no memory pool counts it.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Checks the length of lines, before a reader holds them.
///
/// # Errors
/// A line that is longer than 16 MB; file, line and remedy.
pub(super) async fn check_lines(
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
    compression: FileCompressionType,
    shown: &str,
) -> Result<()> {
    if !compression.is_compressed() && file.size <= MAX_LINE_BYTES {
        return Ok(());
    }
    let (_, mut pieces) = bytes(store, &file.location, compression, None).await?;
    let (mut line, mut length) = (1u64, 0u64);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &piece) {
            length += (end - start) as u64;
            check_length(length, line, shown)?;
            (start, line, length) = (end + 1, line + 1, 0);
        }
        length += (piece.len() - start) as u64;
        check_length(length, line, shown)?;
        tokio::task::consume_budget().await;
    }
    Ok(())
}

fn check_length(length: u64, line: u64, shown: &str) -> Result<()> {
    if length <= MAX_LINE_BYTES {
        return Ok(());
    }
    let most = MAX_LINE_BYTES >> 20;
    Err(Error::data(format!(
        "{shown}, line {line}: a line of more than {most} MB, one JSON object a line is wanted; split it, or write the file as \
         Parquet"
    ))
    .into())
}

/// A whole number that a float would round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LongNumber {
    pub(super) number: String,
    pub(super) line: u64,
}

/// The first long number of each column of a file.
pub(super) async fn long_numbers(
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
    compression: FileCompressionType,
) -> Result<BTreeMap<String, LongNumber>> {
    let (_, mut pieces) = bytes(store, &file.location, compression, None).await?;
    let mut search = Search::default();
    while let Some(piece) = pieces.next().await {
        search.add(&piece?);
        tokio::task::consume_budget().await;
    }
    search.end_number();
    Ok(search.found)
}

/// Whether any value of a schema is a float.
pub(super) fn has_float(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| is_float(field.data_type()))
}

/// Whether values of this type, or of a part of it, are floats.
pub(super) fn is_float(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| is_float(field.data_type())),
        DataType::List(item) | DataType::LargeList(item) => is_float(item.data_type()),
        other => other.is_floating(),
    }
}

/// Reads JSON in pieces and keeps what is needed: strings end, objects open and close, a number follows a key.
#[derive(Debug, Default)]
struct Search {
    found: BTreeMap<String, LongNumber>,
    line: u64,
    depth: usize,
    is_string: bool,
    is_escaped: bool,
    /// The string that was read last at depth 1, which is a key if a colon follows.
    string: Vec<u8>,
    key: Vec<u8>,
    number: Vec<u8>,
}

impl Search {
    fn add(&mut self, piece: &[u8]) {
        for &byte in piece {
            if self.is_string {
                self.add_to_string(byte);
                continue;
            }
            if matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') {
                // `true` and `false` have an e, which no digit precedes
                if !self.number.is_empty() || matches!(byte, b'0'..=b'9' | b'-') {
                    self.number.push(byte);
                }
                continue;
            }
            self.end_number();
            match byte {
                b'"' => {
                    self.is_string = true;
                    self.string.clear();
                }
                b':' if self.depth == 1 => self.key = std::mem::take(&mut self.string),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'\n' => self.line += 1,
                _ => {}
            }
        }
    }

    fn add_to_string(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => {
                self.is_string = false;
                return;
            }
            _ => {}
        }
        if self.depth == 1 {
            self.string.push(byte);
        }
    }

    fn end_number(&mut self) {
        let number = std::mem::take(&mut self.number);
        let digits = number.strip_prefix(b"-").unwrap_or(&number);
        if digits.len() < 16 || !digits.iter().all(u8::is_ascii_digit) {
            return;
        }
        let is_long = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
        if is_long.is_none_or(|value| value > MAX_EXACT) {
            let key = String::from_utf8_lossy(&self.key).into_owned();
            let number = String::from_utf8_lossy(&number).into_owned();
            self.found.entry(key).or_insert(LongNumber { number, line: self.line + 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_found_under_their_key_in_pieces_of_any_size() {
        let text = br#"{"a":9007199254740992,"b":"9007199254740993","c":0.1234567890123456789,"t":true}
{"a\"":[12345678901234567890], "d" : {"x": -9007199254740993}, "b":1, "e":1e30}
{"a":9007199254740993}"#;
        for size in [1, 2, 7, 1000] {
            let mut search = Search::default();
            text.chunks(size).for_each(|piece| search.add(piece));
            search.end_number();
            let found: Vec<(&str, &str, u64)> =
                search.found.iter().map(|(key, long)| (key.as_str(), long.number.as_str(), long.line)).collect();
            // by hand: 2^53 = 9007199254740992 is exact, one more is not
            let expected =
                [("a", "9007199254740993", 3), ("a\\\"", "12345678901234567890", 2), ("d", "-9007199254740993", 2)];
            assert_eq!(found, expected, "{size}");
        }
    }
}

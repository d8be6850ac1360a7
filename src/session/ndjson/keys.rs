//! Keys that stand twice in an object of an NDJSON file: Arrow keeps one of the values.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::Result;
use futures::StreamExt;
use object_store::{ObjectMeta, ObjectStore};

use crate::error::Error;
use crate::session::csv::bytes;

/// Objects may be nested so deep; what is deeper is not searched, and no reader takes it.
const MAX_DEPTH: usize = 128;

/// Refuses a file in which an object has a key twice.
///
/// # Errors
/// The first such object: file, line, key, positions, remedy.
pub(in crate::session) async fn check_keys(
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
    compression: FileCompressionType,
    shown: &str,
) -> Result<()> {
    let (_, mut pieces) = bytes(store, &file.location, compression, None).await?;
    let mut search = KeySearch::default();
    while let Some(piece) = pieces.next().await {
        if let Some(RepeatedKey { key, line, positions: [first, second] }) = search.find(&piece?) {
            return Err(Error::data(format!(
                "{shown}, line {line}: an object has the key `{key}` twice (keys {first} and {second}), of which only one \
                 could be read; write the line again with another name for one of them"
            ))
            .into());
        }
        tokio::task::consume_budget().await;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct RepeatedKey {
    key: String,
    line: u64,
    /// From 1, among the keys of the object.
    positions: [usize; 2],
}

/// An object or array that is open.
#[derive(Debug, Default)]
struct Level {
    is_object: bool,
    /// The next string is a key.
    wants_key: bool,
    /// Hashes of the keys, with their positions.
    keys: HashMap<u64, usize>,
}

/// Reads JSON in pieces. What is no JSON is left to the reader, which says so.
#[derive(Debug, Default)]
struct KeySearch {
    line: u64,
    levels: Vec<Level>,
    depth: usize,
    is_string: bool,
    is_key: bool,
    is_escaped: bool,
    key: Vec<u8>,
}

impl KeySearch {
    fn find(&mut self, piece: &[u8]) -> Option<RepeatedKey> {
        let mut rest = piece;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.is_string && !self.is_escaped {
                // all that is neither the end nor an escape
                let length = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                if self.is_key {
                    self.key.extend_from_slice(&rest[..length]);
                }
                if length > 0 {
                    rest = &rest[length..];
                    continue;
                }
            }
            rest = tail;
            if self.is_string {
                if let Some(found) = self.end_string(byte) {
                    return Some(found);
                }
                continue;
            }
            let level = self.depth.checked_sub(1).and_then(|depth| self.levels.get_mut(depth));
            match byte {
                b'"' => {
                    self.is_string = true;
                    self.is_key = level.is_some_and(|level| level.is_object && level.wants_key);
                    self.key.clear();
                }
                b',' => {
                    if let Some(level) = level {
                        level.wants_key = true;
                    }
                }
                b'{' | b'[' => self.open(byte == b'{'),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'\n' => self.line += 1,
                _ => {}
            }
        }
        None
    }

    fn open(&mut self, is_object: bool) {
        if self.depth < MAX_DEPTH && self.levels.len() == self.depth {
            self.levels.push(Level::default());
        }
        if let Some(level) = self.levels.get_mut(self.depth) {
            (level.is_object, level.wants_key) = (is_object, true);
            level.keys.clear();
        }
        self.depth += 1;
    }

    /// A byte of a string that ends it, or begins or ends an escape.
    fn end_string(&mut self, byte: u8) -> Option<RepeatedKey> {
        if self.is_escaped || byte == b'\\' {
            self.is_escaped = !self.is_escaped;
            if self.is_key {
                self.key.push(byte);
            }
            return None;
        }
        self.is_string = false;
        if !self.is_key {
            return None;
        }
        let level = self.depth.checked_sub(1).and_then(|depth| self.levels.get_mut(depth))?;
        level.wants_key = false;
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        let position = level.keys.len() + 1;
        let first = *level.keys.entry(hasher.finish()).or_insert(position);
        (first != position).then(|| RepeatedKey {
            key: String::from_utf8_lossy(&self.key).into_owned(),
            line: self.line + 1,
            positions: [first, position],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<RepeatedKey> {
        let whole = KeySearch::default().find(text.as_bytes());
        for size in 1..4 {
            let mut search = KeySearch::default();
            let pieces = text.as_bytes().chunks(size).find_map(|piece| search.find(piece));
            assert_eq!(pieces, whole, "{size}: {text}");
        }
        whole
    }

    #[test]
    fn a_key_that_stands_twice_in_an_object_is_found() {
        assert_eq!(
            found("{\"a\":1,\"A\":\"a\",\"b\":[\"a\",\"a\"],\"c\":{\"a\":1}}\n{\"a\":2,\"x\\\"\":\"{\\\\\"}\n"),
            None
        );
        assert_eq!(found("[{\"a\":1},{\"a\":2}]"), None);
        let of = |key: &str, line, positions| Some(RepeatedKey { key: key.into(), line, positions });
        assert_eq!(found("{\"a\":1}\n{\"a\":1,\"b\":\",\",\"a\":2}"), of("a", 2, [1, 3]));
        assert_eq!(found("{\"s\":{\"x\\\"y\":[{}],\"x\\\"y\":1}}"), of("x\\\"y", 1, [1, 2]));
        assert_eq!(found("{\"b\":{\"c\":[1,2]}, \"d\":1, \"b\" : 2}"), of("b", 1, [1, 3]));
    }
}

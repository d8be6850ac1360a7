//! How a file is written, found out from its beginning: delimiter, line ends, a first line `sep=;`.

use memchr::memchr;

use super::tokenizer::{Dialect, Record, Tokenizer};

/// Delimiters that are recognised.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What the beginning of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sniffed {
    pub(super) dialect: Dialect,
    /// Bytes and lines before the header.
    pub(super) skipped: (usize, u64),
}

/// What is known before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    /// The delimiter as declared.
    pub(super) delimiter: Option<u8>,
    /// The delimiter in doubt.
    pub(super) usual_delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    /// Lines before the header.
    pub(super) skip_lines: u64,
}

/// Reads the beginning of a text, or all of it if it is short.
pub(super) fn sniff(start: &[u8], is_whole: bool, given: Given) -> Sniffed {
    // a `\r` at the cut may be followed by `\n`
    let is_cr = ends_lines_with_cr(if is_whole { start } else { start.strip_suffix(b"\r").unwrap_or(start) });
    let terminator = if is_cr { b'\r' } else { b'\n' };
    let mut skipped = (0, 0);
    let mut separator = None;
    for _ in 0..given.skip_lines {
        skip_line(start, terminator, &mut skipped);
    }
    if let Some(declared) = excel_separator(&start[skipped.0..]) {
        separator = Some(declared);
        skip_line(start, terminator, &mut skipped);
    }
    let text = &start[skipped.0..];
    let dialect = |delimiter| Dialect { delimiter, quote: given.quote, escape: given.escape, is_cr };
    let delimiter = given.delimiter.or(separator).unwrap_or_else(|| {
        let mut candidates = vec![given.usual_delimiter];
        candidates.extend(DELIMITERS.iter().filter(|other| **other != given.usual_delimiter));
        let scores = candidates.iter().map(|delimiter| score(text, is_whole, dialect(*delimiter)));
        // of equal ones the first, which is the usual one
        let best = scores.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map_or(given.usual_delimiter, |(index, _)| candidates[index])
    });
    Sniffed { dialect: dialect(delimiter), skipped }
}

/// How well a dialect fits: the share of records with as many fields as the first, in thousandths; then the number of fields.
/// A dialect by which the first record has one field fits a file of one column only.
fn score(text: &[u8], is_whole: bool, dialect: Dialect) -> (u64, usize) {
    let mut tokenizer = Tokenizer::new(dialect, 1, 0);
    let (mut first, mut rows, mut like_first) = (None, 0u64, 0u64);
    let mut count = |record: &Record| {
        if record.is_blank() {
            return;
        }
        match first {
            None => first = Some(record.len()),
            Some(len) => {
                rows += 1;
                like_first += u64::from(record.len() == len && record.fault.is_none());
            }
        }
    };
    let mut rest = text;
    let mut has_record = false;
    while let Some(record) = tokenizer.next(&mut rest) {
        count(record);
        has_record = true;
    }
    if (is_whole || !has_record)
        && let Some(record) = tokenizer.finish()
    {
        count(record);
    }
    match first {
        None | Some(0 | 1) => (0, 0),
        Some(len) => ((like_first * 999).checked_div(rows).map_or(1000, |share| 1 + share), len),
    }
}

/// Whether lines end with `\r` alone, as old Macs wrote them: no line outside quotes ends otherwise.
fn ends_lines_with_cr(text: &[u8]) -> bool {
    let (mut is_quoted, mut has_cr) = (false, false);
    for byte in text {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => return false,
            b'\r' if !is_quoted => has_cr = true,
            _ => {}
        }
    }
    has_cr
}

fn skip_line(text: &[u8], terminator: u8, skipped: &mut (usize, u64)) {
    let rest = &text[skipped.0..];
    let Some(end) = memchr(terminator, rest) else { return };
    skipped.0 += end + 1;
    skipped.1 += 1;
}

/// The delimiter of a first line `sep=;`, which Excel reads and hides.
fn excel_separator(text: &[u8]) -> Option<u8> {
    let line = text.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [s, e, p, b'=', delimiter] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") && delimiter.is_ascii() => {
            Some(*delimiter)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Given =
        Given { delimiter: None, usual_delimiter: b',', quote: Some(b'"'), escape: None, skip_lines: 0 };

    fn delimiter(text: &str) -> char {
        char::from(sniff(text.as_bytes(), true, NOTHING).dialect.delimiter)
    }

    #[test]
    fn the_delimiter_is_the_one_by_which_all_lines_agree() {
        assert_eq!(delimiter("a;b\n1;2\n3;4\n"), ';');
        assert_eq!(delimiter("a;b\n1;2,5\n3;4,25\n"), ';');
        assert_eq!(delimiter("a,b\nx;y,1\nx;y;z,2\n"), ',');
        assert_eq!(delimiter("Name, first;Age\nAnn;3\n"), ';');
        assert_eq!(delimiter("a\tb\n1,2\t3\n"), '\t');
        assert_eq!(delimiter("a|b|c\n1|2|3\n"), '|');
        assert_eq!(delimiter("comment\nhello; you\nwell, yes\n"), ',');
        assert_eq!(delimiter("\"a;b\",c\n\"1;2\",3\n"), ',');
        assert_eq!(delimiter("a,b\n"), ',');
        assert_eq!(delimiter(""), ',');
        // a ragged file is still one of commas, so that the error names its line
        assert_eq!(delimiter("a,b,c\n1,2\n1,2\n"), ',');
    }

    #[test]
    fn lines_before_the_header_are_skipped() {
        let sniffed = sniff(b"sep=;\r\na;b\r\n1;2\r\n", true, NOTHING);
        assert_eq!((sniffed.dialect.delimiter, sniffed.skipped), (b';', (7, 1)));
        let sniffed = sniff(b"Report, x\nof today\na;b\n1;2\n", true, Given { skip_lines: 2, ..NOTHING });
        assert_eq!((sniffed.dialect.delimiter, sniffed.skipped), (b';', (19, 2)));
    }

    #[test]
    fn old_mac_line_ends_are_seen() {
        assert!(sniff(b"a,b\r1,2\r", true, NOTHING).dialect.is_cr);
        assert!(sniff(b"a,b\r1,\"x\ny\"\r", true, NOTHING).dialect.is_cr);
        assert!(!sniff(b"a,b\r\n1,2\r\n", true, NOTHING).dialect.is_cr);
        assert!(!sniff(b"a,b\r", false, NOTHING).dialect.is_cr);
        assert!(!sniff(b"a\n", true, NOTHING).dialect.is_cr);
    }
}

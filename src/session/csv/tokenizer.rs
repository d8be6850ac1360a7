//! [`Tokenizer`]: bytes of delimited text in, records out.
//!
//! RFC 4180 with what exports do beside it: line ends `\n`, `\r\n` or `\r`; an optional escape character inside quotes;
//! blanks after a closing quote. What is no such text is a [`Fault`] of the record and never a guess. The crate csv-core
//! accepts an unterminated quote and bytes after a closing one without a word and does not know where a record starts,
//! which is why it is not used; a test compares both on what each accepts.

use memchr::{memchr_iter, memchr2};

/// How the fields of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Between two fields.
    pub(super) delimiter: u8,
    /// Around fields that hold delimiters or line ends; `None` where quotes mean nothing.
    pub(super) quote: Option<u8>,
    /// Before a quote inside a quoted field, beside the doubled quote.
    pub(super) escape: Option<u8>,
    /// Records end with `\r` alone.
    pub(super) is_cr: bool,
}

/// What is wrong with the quotes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A byte after the closing quote that is neither a delimiter nor a line end; the line of that byte.
    AfterQuote(u64),
    /// A quoted field that does not end; the line on which it starts.
    Unterminated(u64),
}

/// One record: its fields without quotes and escapes.
#[derive(Debug, Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The line on which it starts, from 1.
    pub(super) line: u64,
    /// The byte at which it starts.
    pub(super) offset: u64,
    pub(super) fault: Option<Fault>,
    /// Any field was quoted.
    pub(super) is_quoted: bool,
    /// Its quotes could be escaped by `\`.
    pub(super) has_backslash_quote: bool,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn field(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..end])
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.field(index))
    }

    /// The bytes of all fields.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Nothing but blanks on the line: no record, but in a file of one column.
    pub(super) fn is_blank(&self) -> bool {
        self.len() <= 1 && !self.is_quoted && self.bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
    }

    fn reset(&mut self, line: u64, offset: u64) {
        self.bytes.clear();
        self.ends.clear();
        self.fault = None;
        self.is_quoted = false;
        self.has_backslash_quote = false;
        self.line = line;
        self.offset = offset;
    }

    fn end_field(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RecordStart,
    FieldStart,
    Unquoted,
    Quoted,
    /// A quote inside a quoted field: its end, or the first of two.
    QuoteInQuoted,
    /// The escape character inside a quoted field.
    Escape,
    /// Blanks after the closing quote.
    AfterQuote,
    /// A `\r` after the closing quote.
    CrAfterQuote,
}

/// Splits text that comes in pieces into records.
#[derive(Debug)]
pub(super) struct Tokenizer {
    dialect: Dialect,
    state: State,
    line: u64,
    offset: u64,
    quote_line: u64,
    record: Record,
}

impl Tokenizer {
    /// Starts at a record's start, of which line and offset are known.
    pub(super) fn new(dialect: Dialect, line: u64, offset: u64) -> Self {
        Self { dialect, state: State::RecordStart, line, offset, quote_line: line, record: Record::default() }
    }

    /// The byte after the last one that was consumed.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The line of that byte.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Bytes of the record that has begun.
    pub(super) fn pending_bytes(&self) -> usize {
        self.record.bytes.len()
    }

    /// Takes bytes off the front of `input` until a record is complete. `None` when more is needed.
    pub(super) fn next<'a>(&'a mut self, input: &mut &[u8]) -> Option<&'a Record> {
        let delimiter = self.dialect.delimiter;
        let quote = self.dialect.quote.unwrap_or(b'"');
        let escape = self.dialect.escape.unwrap_or(quote);
        let terminator = if self.dialect.is_cr { b'\r' } else { b'\n' };
        while let Some(&byte) = input.first() {
            let mut taken = 1;
            match self.state {
                State::RecordStart => {
                    self.record.reset(self.line, self.offset);
                    self.state = State::FieldStart;
                    continue;
                }
                State::FieldStart if self.dialect.quote == Some(byte) => {
                    self.state = State::Quoted;
                    self.record.is_quoted = true;
                    self.quote_line = self.line;
                }
                State::FieldStart | State::Unquoted => {
                    self.state = State::Unquoted;
                    let end = memchr2(delimiter, terminator, input);
                    self.record.bytes.extend_from_slice(&input[..end.unwrap_or(input.len())]);
                    taken = end.unwrap_or(input.len());
                    if let Some(at) = end {
                        taken += 1;
                        if input[at] == delimiter {
                            self.record.end_field();
                            self.state = State::FieldStart;
                        } else {
                            let start = self.record.ends.last().copied().unwrap_or(0);
                            if terminator == b'\n' && self.record.bytes[start..].ends_with(b"\r") {
                                self.record.bytes.pop();
                            }
                            return self.end_record(input, taken);
                        }
                    }
                }
                State::Quoted => {
                    let end = memchr2(quote, escape, input);
                    let text = &input[..end.unwrap_or(input.len())];
                    self.record.bytes.extend_from_slice(text);
                    self.line += memchr_iter(terminator, text).count() as u64;
                    taken = text.len();
                    if let Some(at) = end {
                        taken += 1;
                        if input[at] == quote {
                            self.record.has_backslash_quote |= self.record.bytes.last() == Some(&b'\\');
                            self.state = State::QuoteInQuoted;
                        } else {
                            self.state = State::Escape;
                        }
                    }
                }
                State::Escape => {
                    if byte != quote && byte != escape {
                        // no escape: `\n` stays two characters
                        self.record.bytes.push(escape);
                    }
                    self.line += u64::from(byte == terminator);
                    self.record.bytes.push(byte);
                    self.state = State::Quoted;
                }
                State::QuoteInQuoted | State::AfterQuote | State::CrAfterQuote => {
                    if byte == quote && self.state == State::QuoteInQuoted {
                        self.record.bytes.push(quote);
                        self.state = State::Quoted;
                    } else if byte == terminator {
                        return self.end_record(input, taken);
                    } else if byte == delimiter && self.state != State::CrAfterQuote {
                        self.record.end_field();
                        self.state = State::FieldStart;
                    } else if byte == b'\r' && self.state != State::CrAfterQuote {
                        self.state = State::CrAfterQuote;
                    } else if matches!(byte, b' ' | b'\t') && self.state != State::CrAfterQuote {
                        self.state = State::AfterQuote;
                    } else {
                        self.record.fault.get_or_insert(Fault::AfterQuote(self.line));
                        self.record.bytes.push(byte);
                        self.state = State::Unquoted;
                    }
                }
            }
            *input = &input[taken..];
            self.offset += taken as u64;
        }
        None
    }

    fn end_record(&mut self, input: &mut &[u8], taken: usize) -> Option<&Record> {
        *input = &input[taken..];
        self.offset += taken as u64;
        self.line += 1;
        self.record.end_field();
        self.state = State::RecordStart;
        Some(&self.record)
    }

    /// The last record, of a text that does not end with a line end.
    pub(super) fn finish(&mut self) -> Option<&Record> {
        match std::mem::replace(&mut self.state, State::RecordStart) {
            State::RecordStart => return None,
            State::FieldStart if self.record.ends.is_empty() => return None,
            State::Quoted | State::Escape => self.record.fault = Some(Fault::Unterminated(self.quote_line)),
            State::Unquoted => {
                let start = self.record.ends.last().copied().unwrap_or(0);
                if self.record.bytes[start..].ends_with(b"\r") {
                    self.record.bytes.pop();
                }
            }
            _ => {}
        }
        self.record.end_field();
        Some(&self.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), escape: None, is_cr: false };

    /// The records of a text that comes in pieces of `size` bytes.
    #[expect(clippy::type_complexity, reason = "a pair of lists that tests compare")]
    fn records(text: &[u8], dialect: Dialect, size: usize) -> (Vec<Vec<String>>, Vec<(u64, Option<Fault>)>) {
        let mut tokenizer = Tokenizer::new(dialect, 1, 0);
        let (mut rows, mut facts) = (Vec::new(), Vec::new());
        let mut keep = |record: &Record| {
            rows.push(record.fields().map(|field| String::from_utf8_lossy(field).into_owned()).collect());
            facts.push((record.line, record.fault));
        };
        for mut piece in text.chunks(size) {
            while let Some(record) = tokenizer.next(&mut piece) {
                keep(record);
            }
        }
        if let Some(record) = tokenizer.finish() {
            keep(record);
        }
        (rows, facts)
    }

    #[test]
    fn a_text_has_the_same_records_in_pieces_of_any_size() {
        let text = b"a,\"b\"\"\nc\"\r\n\r\n\"x\" ,\"\"\n,\n\"one\r\ntwo\",3\rx\nlast";
        let whole = records(text, PLAIN, text.len());
        // by hand, RFC 4180
        let expected: Vec<Vec<&str>> =
            vec![vec!["a", "b\"\nc"], vec![""], vec!["x", ""], vec!["", ""], vec!["one\r\ntwo", "3\rx"], vec!["last"]];
        assert_eq!(whole.0, expected);
        assert_eq!(whole.1.iter().map(|fact| fact.0).collect::<Vec<u64>>(), [1, 3, 4, 5, 6, 8]);
        assert!(whole.1.iter().all(|fact| fact.1.is_none()));
        for size in 1..text.len() {
            assert_eq!(records(text, PLAIN, size), whole, "{size}");
        }
    }

    #[test]
    fn the_csv_crate_reads_the_same_where_it_is_well_formed() {
        let mut text = Vec::new();
        let mut seed = 7u64;
        for _ in 0..3000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let field: &[u8] =
                [b"x" as &[u8], b"", b"\"a,b\"", b"\"a\"\"b\"", b"\"l1\nl2\"", b"12", b"\"\"", b"a'b", b"\"\r\n\""]
                    [(seed >> 33) as usize % 9];
            text.extend_from_slice(field);
            text.extend_from_slice([b"," as &[u8], b",", b"\n", b"\r\n"][(seed >> 50) as usize % 4]);
        }
        text.extend_from_slice(b"end\n");
        let ours = records(&text, PLAIN, 17).0;
        let mut theirs: Vec<Vec<String>> = Vec::new();
        let (mut core, mut input) = (csv_core::Reader::new(), text.as_slice());
        let (mut out, mut ends) = (vec![0; 4096], vec![0; 4096]);
        loop {
            let (result, read, written, count) = core.read_record(input, &mut out, &mut ends);
            input = &input[read..];
            if result == csv_core::ReadRecordResult::End {
                break;
            }
            if result == csv_core::ReadRecordResult::Record {
                let starts = std::iter::once(0).chain(ends[..count].iter().copied());
                let fields =
                    starts.zip(&ends[..count]).map(|(from, to)| String::from_utf8_lossy(&out[from..*to]).into());
                theirs.push(fields.collect());
                assert!(written <= out.len());
            }
        }
        let filled: Vec<Vec<String>> = ours.into_iter().filter(|row| row != &[""]).collect();
        let theirs: Vec<Vec<String>> = theirs.into_iter().filter(|row| row != &[""]).collect();
        assert!(theirs.len() > 500);
        assert_eq!(filled, theirs);
    }

    #[test]
    fn wrong_quotes_are_faults_with_their_line() {
        let fault = |text: &[u8]| records(text, PLAIN, 3).1.iter().find_map(|fact| fact.1);
        assert_eq!(fault(b"a\n\"x\"y\n"), Some(Fault::AfterQuote(2)));
        assert_eq!(fault(b"a\nb\n\"x\ny\nz\n"), Some(Fault::Unterminated(3)));
        assert_eq!(fault(b"a\n5\" pipe\n"), None);
    }

    #[test]
    fn a_backslash_escapes_quotes_where_it_is_the_escape() {
        let dialect = Dialect { escape: Some(b'\\'), ..PLAIN };
        let text = b"\"x \\\"q\\\" \\\\ \\n\",\"a\"\"b\"\n";
        assert_eq!(records(text, dialect, 2).0, [["x \"q\" \\ \\n", "a\"b"]]);
    }

    #[test]
    fn quotes_mean_nothing_where_there_are_none() {
        let dialect = Dialect { quote: None, ..PLAIN };
        assert_eq!(records(b"\"a,b\"\n5\",\"\n", dialect, 3).0, [["\"a", "b\""], ["5\"", "\""]]);
        let dialect = Dialect { quote: Some(b'\''), ..PLAIN };
        assert_eq!(records(b"'a,b',\"\n", dialect, 3).0, [["a,b", "\""]]);
    }

    #[test]
    fn old_mac_files_end_lines_with_cr() {
        let dialect = Dialect { is_cr: true, ..PLAIN };
        assert_eq!(records(b"a,b\r\"1\r2\",3\r", dialect, 4).0, [["a", "b"], ["1\r2", "3"]]);
    }
}

//! What the fields of a column are: [`Kinds`] collects it, [`Kinds::data_type`] decides.
//!
//! | every value of the column | type |
//! |---|---|
//! | whole numbers of at most 15 digits, no leading zero, no `+` | integer |
//! | such numbers or decimals; an exponent only with a decimal point or a sign (`1.5e-7`, not the id `32E0134`) | float |
//! | `true`, `false` | boolean |
//! | `2025-01-31` | date |
//! | `2025-01-31 09:00:00`, with `T`, fractions or without seconds | timestamp |
//! | the same with `Z`, `+02:00` or ` UTC` | timestamp in UTC |
//! | anything else, or a mixture | text |
//!
//! All values of all files are looked at, so no value is met later that does not fit. 16 digits are beyond what a float
//! or a spreadsheet keeps, and are ids.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::arrow::datatypes::{DataType, TimeUnit};

/// Digits of the longest whole number that is no id.
const MAX_DIGITS: usize = 15;

/// Words for a missing value in exports. They make a column text; a note says so.
const NULL_WORDS: [&str; 14] =
    ["na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "unknown", "\\n", "(null)"];

/// What one value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
    Boolean,
    Date,
    Timestamp,
    /// A timestamp with its offset from UTC.
    Zoned,
    /// A timestamp with or without offset of more than six decimals.
    Nanoseconds,
    ZonedNanoseconds,
    /// A word for a missing value.
    NullWord,
    /// A number with a decimal comma or with thousands separators.
    CommaNumber,
    /// A number with a sign such as `45%` or `$5.00`.
    MarkedNumber,
    Text,
}

impl Kind {
    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    /// `.` or `,`.
    pub(super) decimal: u8,
}

/// The kind of a value that is not empty.
pub(super) fn kind(field: &[u8], numbers: Numbers) -> Kind {
    let value = field.trim_ascii();
    match value.first() {
        None => Kind::NullWord,
        Some(b'0'..=b'9' | b'-' | b'.' | b',') => {
            if let Some(kind) = number_kind(value, numbers) {
                return kind;
            }
            if let Some(stamp) = timestamp(value) {
                return stamp.kind();
            }
            if value.len() == 10 && date(value).is_some() {
                return Kind::Date;
            }
            if is_comma_number(value) { Kind::CommaNumber } else { marked_or_word_kind(value, numbers) }
        }
        Some(b't' | b'T' | b'f' | b'F') if boolean(value).is_some() => Kind::Boolean,
        Some(_) => marked_or_word_kind(value, numbers),
    }
}

/// The signs of percentages and currencies.
const MARKS: [&str; 6] = ["%", "$", "€", "£", "¥", "￥"];

/// The sign before or after a number: `%` of `45 %`, `$` of `-$1,234.50`.
fn mark(value: &[u8], numbers: Numbers) -> Option<&'static str> {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    MARKS.into_iter().find(|mark| {
        let mark = mark.as_bytes();
        let rest = value.strip_prefix(mark).or_else(|| value.strip_suffix(mark)).map(<[u8]>::trim_ascii);
        rest.is_some_and(|rest| {
            matches!(number_kind(rest, numbers), Some(Kind::Integer | Kind::Float)) || is_comma_number(rest)
        })
    })
}

fn marked_or_word_kind(value: &[u8], numbers: Numbers) -> Kind {
    // most texts are longer than a number
    if value.len() <= 32 && mark(value, numbers).is_some() { Kind::MarkedNumber } else { word_kind(value) }
}

fn word_kind(value: &[u8]) -> Kind {
    let is_word = value.len() <= 8 && NULL_WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    if is_word { Kind::NullWord } else { Kind::Text }
}

fn number_kind(value: &[u8], numbers: Numbers) -> Option<Kind> {
    let rest = value.strip_prefix(b"-").unwrap_or(value);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(rest);
    let (mut rest, whole_digits) = (&rest[whole..], &rest[..whole]);
    let is_id = whole > MAX_DIGITS || (whole > 1 && whole_digits[0] == b'0');
    if rest.is_empty() {
        return (whole > 0).then_some(if is_id { Kind::Text } else { Kind::Integer });
    }
    let mut has_point = false;
    let mut fraction = 0;
    if rest[0] == numbers.decimal {
        has_point = true;
        fraction = digits(&rest[1..]);
        rest = &rest[1 + fraction..];
    }
    if whole + fraction == 0 {
        return None;
    }
    if let Some(b'e' | b'E') = rest.first() {
        let power = &rest[1..];
        let is_signed = matches!(power.first(), Some(b'+' | b'-'));
        let power = if is_signed { &power[1..] } else { power };
        if power.is_empty() || digits(power) != power.len() {
            return None;
        }
        // beyond that a float overflows or is zero
        let is_small = power.len() <= 3 && power.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0')) < 290;
        return Some(if is_small && (has_point || is_signed) && !is_id { Kind::Float } else { Kind::Text });
    }
    (rest.is_empty() && has_point).then_some(if is_id { Kind::Text } else { Kind::Float })
}

/// `3,5`, `1.234,56`, `1,234.5` or `1,234,567`.
fn is_comma_number(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let marks = value.iter().filter(|byte| matches!(byte, b',' | b'.')).count();
    value.first().is_some_and(u8::is_ascii_digit)
        && value.last().is_some_and(u8::is_ascii_digit)
        && value.contains(&b',')
        && digits + marks == value.len()
}

pub(super) fn boolean(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if value.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

pub(super) fn date(value: &[u8]) -> Option<NaiveDate> {
    let value = value.trim_ascii();
    if value.len() != 10 || value[4] != b'-' || value[7] != b'-' {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(number(&value[..4])?).ok()?, number(&value[5..7])?, number(&value[8..])?)
        .filter(|_| value[..4] != *b"0000")
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0')))
}

/// A timestamp as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    local: NaiveDateTime,
    /// Seconds east of UTC.
    pub(super) offset: Option<i32>,
    has_nanoseconds: bool,
}

impl Stamp {
    fn kind(self) -> Kind {
        match (self.offset.is_some(), self.has_nanoseconds) {
            (false, false) => Kind::Timestamp,
            (false, true) => Kind::Nanoseconds,
            (true, false) => Kind::Zoned,
            (true, true) => Kind::ZonedNanoseconds,
        }
    }

    /// The time in UTC; a time without an offset is read as UTC.
    pub(super) fn utc(self) -> Option<NaiveDateTime> {
        self.local.checked_sub_signed(chrono::TimeDelta::seconds(i64::from(self.offset.unwrap_or(0))))
    }
}

/// `2025-01-31 09:00`, with `T`, seconds, up to nine decimals and an offset.
pub(super) fn timestamp(value: &[u8]) -> Option<Stamp> {
    let value = value.trim_ascii();
    if value.len() < 16 || !matches!(value[10], b' ' | b'T' | b't') || value[13] != b':' {
        return None;
    }
    let day = date(&value[..10])?;
    let (hour, minute) = (number(&value[11..13])?, number(&value[14..16])?);
    let mut rest = &value[16..];
    let (mut second, mut nanos, mut has_nanoseconds) = (0, 0, false);
    if let [b':', a, b, tail @ ..] = rest {
        second = number(&[*a, *b])?;
        rest = tail;
        if let Some(tail) = rest.strip_prefix(b".") {
            let count = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&count) {
                return None;
            }
            nanos = number(&tail[..count])? * 10u32.pow(9 - u32::try_from(count).ok()?);
            has_nanoseconds = nanos % 1000 != 0;
            rest = &tail[count..];
        }
    }
    let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?;
    let offset = match rest {
        b"" => None,
        b"Z" | b"z" | b" UTC" | b" Z" | b"UTC" => Some(0),
        _ => Some(offset(rest.strip_prefix(b" ").unwrap_or(rest))?),
    };
    Some(Stamp { local: day.and_time(time), offset, has_nanoseconds })
}

/// `+02`, `+0200`, `+02:00`.
fn offset(text: &[u8]) -> Option<i32> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match &text[1..] {
        [a, b] => (number(&[*a, *b])?, 0),
        [a, b, c, d] | [a, b, b':', c, d] => (number(&[*a, *b])?, number(&[*c, *d])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then(|| sign * i32::try_from(hours * 3600 + minutes * 60).unwrap_or(0))
}

/// Whether a text is infinity, as programs write it.
fn is_infinity(text: &str) -> bool {
    let word = text.trim().trim_start_matches(['-', '+']);
    word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity")
}

/// Whether a text has the form of a date, such as `2025-02-30`.
fn has_form_of_date(text: &str) -> bool {
    let text = text.trim();
    let is_in_place = |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(is_in_place)
}

/// A value and the line on which it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) value: String,
    pub(super) line: u64,
}

/// What the values of a column are.
#[derive(Debug, Clone, Default)]
pub(super) struct Kinds {
    bits: u16,
    /// Null words and their first.
    words: (u64, Example),
    /// The first number with a comma.
    comma: Example,
    /// The first number with a sign.
    marked: Example,
    /// The first text, and the kinds of the values before it.
    text: (u16, Example),
}

impl Kinds {
    pub(super) fn add(&mut self, field: &[u8], line: u64, numbers: Numbers) {
        if self.bits & Kind::Text.bit() != 0 {
            return;
        }
        let kind = kind(field, numbers);
        let example = || Example { value: String::from_utf8_lossy(field).into_owned(), line };
        match kind {
            Kind::NullWord => {
                if self.words.0 == 0 {
                    self.words.1 = example();
                }
                self.words.0 += 1;
            }
            Kind::CommaNumber if !self.has(Kind::CommaNumber) => self.comma = example(),
            Kind::MarkedNumber if !self.has(Kind::MarkedNumber) => self.marked = example(),
            // long texts are neither numbers nor dates
            Kind::Text if field.len() <= 32 => self.text = (self.bits, example()),
            _ => {}
        }
        self.bits |= kind.bit();
    }

    fn has(&self, kind: Kind) -> bool {
        self.bits & kind.bit() != 0
    }

    /// The kinds of the same column in another file.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.words.0 == 0 {
            self.words.1 = other.words.1.clone();
        }
        self.words.0 += other.words.0;
        if !self.has(Kind::CommaNumber) {
            self.comma = other.comma.clone();
        }
        if !self.has(Kind::MarkedNumber) {
            self.marked = other.marked.clone();
        }
        if !self.has(Kind::Text) {
            self.text = other.text.clone();
        }
        self.bits |= other.bits;
    }

    pub(super) fn data_type(&self) -> DataType {
        Self::decide(self.bits).unwrap_or(DataType::Utf8)
    }

    fn decide(bits: u16) -> Option<DataType> {
        let only = |kinds: &[Kind]| bits & !kinds.iter().fold(0, |all, kind| all | kind.bit()) == 0;
        let unit = |fine: Kind| if bits & fine.bit() == 0 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond };
        let zone = || Some("UTC".into());
        Some(match bits {
            0 => return None,
            _ if only(&[Kind::Integer]) => DataType::Int64,
            _ if only(&[Kind::Integer, Kind::Float]) => DataType::Float64,
            _ if only(&[Kind::Boolean]) => DataType::Boolean,
            _ if only(&[Kind::Date]) => DataType::Date32,
            _ if only(&[Kind::Timestamp, Kind::Nanoseconds]) => DataType::Timestamp(unit(Kind::Nanoseconds), None),
            _ if only(&[Kind::Zoned, Kind::ZonedNanoseconds]) => {
                DataType::Timestamp(unit(Kind::ZonedNanoseconds), zone())
            }
            _ => return None,
        })
    }

    /// Why the column is text although most of it may not be, and what to do.
    pub(super) fn note(&self, column: &str) -> Option<String> {
        let without = |kind: Kind| Self::decide(self.bits & !kind.bit());
        let (count, Example { value, line }) = &self.words;
        if *count > 0
            && let Some(data_type) = without(Kind::NullWord)
        {
            let wanted = crate::types::type_name(&data_type);
            return Some(format!(
                "the column `{column}` is text because of {count} values such as '{value}' (line {line}); if that means \
                 NULL, null = \"{value}\" makes it {wanted}"
            ));
        }
        let comma = Kind::CommaNumber.bit();
        let others = comma | Kind::Integer.bit() | Kind::Float.bit() | Kind::NullWord.bit();
        if self.bits & comma != 0 && self.bits & !others == 0 {
            let Example { value, line } = &self.comma;
            let number = Comma::of(value).removed(column);
            let what = match Comma::of(value) {
                Comma::Decimal { has_thousands: false } => {
                    "a decimal comma; decimal = \",\" reads it as a number".into()
                }
                Comma::Decimal { .. } => format!("a decimal comma; try_cast({number} as double) is its number"),
                Comma::Thousands => {
                    format!("a comma between thousands; try_cast({number} as double) is its number")
                }
                Comma::Unclear => format!(
                    "a comma; if it stands between thousands, try_cast({number} as double) is its number, if it is a \
                     decimal comma, decimal = \",\" reads it"
                ),
            };
            return Some(format!("the column `{column}` is text: '{value}' (line {line}) has {what}"));
        }
        let marked = Kind::MarkedNumber.bit();
        if self.bits & marked != 0 && self.bits & !(others | marked) == 0 {
            return Some(self.marked_note(column));
        }
        let zoned = Kind::Zoned.bit() | Kind::ZonedNanoseconds.bit();
        let local = Kind::Timestamp.bit() | Kind::Nanoseconds.bit() | Kind::Date.bit();
        if self.bits & zoned != 0 && self.bits & local != 0 && self.bits & !(zoned | local) == 0 {
            return Some(format!(
                "the column `{column}` is text: some of its times have an offset from UTC and some have none; if those \
                 are UTC, columns = {{ {column} = \"timestamp\" }} reads them so"
            ));
        }
        let times = local & !Kind::Date.bit();
        if self.bits & Kind::Date.bit() != 0 && self.bits & times != 0 && self.bits & !local == 0 {
            return Some(format!(
                "the column `{column}` is text: some of its values are dates and some are times; \
                 columns = {{ {column} = \"timestamp\" }} reads a date as its midnight"
            ));
        }
        self.text_note(column)
    }

    /// The note of a column of numbers with an infinity, or of dates with one that is not in the calendar.
    fn text_note(&self, column: &str) -> Option<String> {
        let (before, Example { value, line }) = &self.text;
        let what = match Self::decide(*before)? {
            DataType::Int64 | DataType::Float64 if is_infinity(value) => {
                format!("is infinite; try_cast({column} as double) reads it as a number")
            }
            DataType::Date32 if has_form_of_date(value) => {
                format!("is no day of the calendar; try_cast({column} as date) is NULL there")
            }
            _ => return None,
        };
        Some(format!("the column `{column}` is text: '{value}' (line {line}) {what}"))
    }

    /// The note of a column of numbers with signs.
    fn marked_note(&self, column: &str) -> String {
        let Example { value, line } = &self.marked;
        let signs = Numbers { decimal: b'.' };
        let mark = mark(value.trim().as_bytes(), signs).unwrap_or("%");
        let mut number = format!("replace({column}, '{mark}', '')");
        let with_comma = if value.contains(',') { value } else { &self.comma.value };
        if with_comma.contains(',') {
            number = Comma::of(with_comma).removed(&number);
        }
        let ratio = if mark == "%" { " / 100" } else { "" };
        format!(
            "the column `{column}` is text: '{value}' (line {line}) has a `{mark}`; try_cast({number} as double){ratio} \
             is its number"
        )
    }

    /// Whether there are no values at all.
    pub(super) fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Whether the values are all of a kind that no heading has.
    pub(super) fn is_typed(&self) -> bool {
        Self::decide(self.bits).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: Numbers = Numbers { decimal: b'.' };

    #[test]
    fn ids_are_text_and_numbers_are_numbers() {
        let all = |values: &[&str], kind: Kind| {
            for value in values {
                assert_eq!(super::kind(value.as_bytes(), POINT), kind, "{value}");
            }
        };
        all(&["0", "-7", "12", "999999999999999", " 5 "], Kind::Integer);
        all(&["0.5", "-12.25", ".5", "5.", "1.5e-7", "1e+20", "2.5E3", "0.12345678901234567890"], Kind::Float);
        all(
            &[
                "007412",
                "-01",
                "32E0134",
                "1e5",
                "1234567890123456",
                "+4912",
                "00.5",
                "1.2.3",
                "12:30",
                "1e+999",
                "5-6",
            ],
            Kind::Text,
        );
        all(&["1,234", "3,5", "1.234,56"], Kind::CommaNumber);
        all(&["N/A", "null", "-", "?", "  ", "NaN", "."], Kind::NullWord);
        all(&["true", "FALSE"], Kind::Boolean);
        all(&["yes", "t", "tru", "#"], Kind::Text);
        assert_eq!(super::kind(b"3,5", Numbers { decimal: b',' }), Kind::Float);
        assert_eq!(super::kind(b"3.5", Numbers { decimal: b',' }), Kind::Text);
    }

    #[test]
    fn times_keep_what_their_offset_says() {
        let kind = |value: &str| super::kind(value.as_bytes(), POINT);
        for value in ["2025-01-31", "2024-02-29"] {
            assert_eq!(kind(value), Kind::Date, "{value}");
        }
        for value in
            ["2025-02-29", "0000-00-00", "03/04/2025", "2025-1-3", "2025-01-31 25:00:00", "2025-01-31 09:00:60"]
        {
            assert_eq!(kind(value), Kind::Text, "{value}");
        }
        for value in ["2025-01-31 09:00", "2025-01-31T09:00:00", "2025-01-31 09:00:00.123456"] {
            assert_eq!(kind(value), Kind::Timestamp, "{value}");
        }
        assert_eq!(kind("2025-01-31 09:00:00.1234567"), Kind::Nanoseconds);
        // by hand: nine o'clock at +02:00 is seven in UTC
        for value in [
            "2025-01-31T07:00:00Z",
            "2025-01-31 09:00:00+02:00",
            "2025-01-31 09:00:00 +0200",
            "2025-01-31T09:00+02",
            "2025-01-31 07:00:00 UTC",
            "2025-01-31 02:30:00-04:30",
            "2025-01-31T07:00:00.000Z",
        ] {
            assert_eq!(kind(value), Kind::Zoned, "{value}");
            let seven = NaiveDate::from_ymd_opt(2025, 1, 31).unwrap().and_hms_opt(7, 0, 0);
            assert_eq!(timestamp(value.as_bytes()).unwrap().utc(), seven, "{value}");
        }
    }

    #[test]
    fn a_mixture_is_text_and_says_why() {
        let kinds = |values: &[&str]| {
            let mut kinds = Kinds::default();
            for (index, value) in values.iter().enumerate() {
                kinds.add(value.as_bytes(), index as u64 + 2, POINT);
            }
            (crate::types::type_name(&kinds.data_type()), kinds.note("x").unwrap_or_default())
        };
        assert_eq!(kinds(&["1", "2.5"]), ("double".into(), String::new()));
        assert_eq!(kinds(&["1", "007"]), ("text".into(), String::new()));
        let (data_type, note) = kinds(&["1", "N/A", "n/a"]);
        assert!(data_type == "text" && note.contains("2 values such as 'N/A' (line 3)") && note.contains("bigint"));
        assert!(kinds(&["1", "3,5"]).1.contains("decimal"));
        assert!(kinds(&["2025-01-31 09:00:00", "2025-01-31 09:00:00Z"]).1.contains("offset"));
        assert!(kinds(&["2025-01-31 09:00:00", "2025-01-31"]).1.contains("midnight"));
        assert_eq!(kinds(&["a", "1", "N/A"]).1, "");
        assert!(kinds(&["0.5", "inf", "10.5"]).1.contains("'inf' (line 3) is infinite"));
        assert!(kinds(&["7", "-Infinity"]).1.contains("'-Infinity' (line 3) is infinite"));
        assert!(kinds(&["2025-02-28", "2025-02-30"]).1.contains("'2025-02-30' (line 3) is no day of the calendar"));
        assert_eq!(kinds(&["2025-02-28", "later"]).1, "");
        assert_eq!(kinds(&["a", "inf"]).1, "");
    }
}

/// What the commas of a number stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comma {
    /// `3,5`, or with thousands `1.234,56`.
    Decimal { has_thousands: bool },
    /// `1,234.5`, `1,234,567`.
    Thousands,
    /// `1,234`.
    Unclear,
}

impl Comma {
    fn of(value: &str) -> Self {
        let Some((before, after)) = value.rsplit_once(',') else { return Self::Unclear };
        if after.contains('.') || before.contains(',') {
            return Self::Thousands;
        }
        if before.contains('.') {
            return Self::Decimal { has_thousands: true };
        }
        match after.bytes().filter(u8::is_ascii_digit).count() {
            3 => Self::Unclear,
            _ => Self::Decimal { has_thousands: false },
        }
    }

    /// SQL for a text without commas, if they are not decimal ones, and with a decimal point.
    fn removed(self, text: &str) -> String {
        match self {
            Self::Decimal { .. } => format!("replace(replace({text}, '.', ''), ',', '.')"),
            Self::Thousands | Self::Unclear => format!("replace({text}, ',', '')"),
        }
    }
}

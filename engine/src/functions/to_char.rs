//! `to_char(x, format)` with the patterns of PostgreSQL beside those of strftime.
//!
//! Formula: a format with `%` is strftime's, as in DataFusion. Any other is translated: `YYYY-MM-DD HH24:MI` to
//!          `%Y-%m-%d %H:%M`. DataFusion 55.2 gives the format back for every row.
//! NULL:    gives NULL.
//! Edges:   a pattern without a counterpart is an error. Text that is no pattern, or in double quotes, stays.
//! Source:  PostgreSQL 17, table 9.26 of template patterns for date/time formatting.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl};

use crate::functions::delegate::delegate_to_inner;

/// Patterns of PostgreSQL with those of strftime and, after `FM`, those without padding; longer ones first. `None`: an error.
const PATTERNS: &[(&str, Option<&str>, Option<&str>)] = &[
    ("SSSS", None, None),
    ("YYYY", Some("%Y"), Some("%Y")),
    ("IYYY", Some("%G"), Some("%G")),
    ("HH24", Some("%H"), Some("%-H")),
    ("HH12", Some("%I"), Some("%-I")),
    ("DDD", Some("%j"), Some("%-j")),
    ("TZH", None, None),
    ("TZM", None, None),
    ("HH", Some("%I"), Some("%-I")),
    ("MI", Some("%M"), Some("%-M")),
    ("SS", Some("%S"), Some("%-S")),
    ("MS", Some("%3f"), None),
    ("US", Some("%6f"), None),
    ("MM", Some("%m"), Some("%-m")),
    ("DD", Some("%d"), Some("%-d")),
    ("YY", Some("%y"), None),
    ("ID", Some("%u"), Some("%u")),
    ("IW", Some("%V"), Some("%-V")),
    ("TH", None, None),
    ("TZ", None, None),
    ("OF", None, None),
    ("CC", None, None),
    ("WW", None, None),
    ("RM", None, None),
    ("Q", Some("%q"), Some("%q")),
    ("Y", None, None),
    ("I", None, None),
    ("D", None, None),
    ("J", None, None),
    ("W", None, None),
];

/// Patterns whose letters say how the result is written. `Month` and `Day` are padded to nine characters, which strftime cannot.
const NAMES: &[(&str, Option<&str>, Option<&str>)] = &[
    ("Month", None, Some("%B")),
    ("Day", None, Some("%A")),
    ("Mon", Some("%b"), Some("%b")),
    ("Dy", Some("%a"), Some("%a")),
    ("AM", Some("%p"), Some("%p")),
    ("PM", Some("%p"), Some("%p")),
    ("am", Some("%P"), Some("%P")),
    ("pm", Some("%P"), Some("%P")),
];

/// The format of strftime for one of PostgreSQL.
fn translated(format: &str) -> Result<String> {
    if format.contains('%') {
        return Ok(format.to_string());
    }
    let mut result = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            result.push_str(&quoted[..end]);
            rest = quoted.get(end + 1..).unwrap_or_default();
            continue;
        }
        let is_unpadded = rest.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("fm"));
        let text = if is_unpadded { &rest[2..] } else { rest };
        let starts = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        // a name in other letters, such as MON, is none of strftime's
        let name = NAMES.iter().find(|(name, ..)| starts(name));
        let exact = NAMES.iter().find(|(name, ..)| text.starts_with(name));
        let found = match (exact, name) {
            (Some(exact), _) => Some(*exact),
            (None, Some((name, ..))) => Some((*name, None, None)),
            (None, None) => PATTERNS.iter().find(|(name, ..)| starts(name)).copied(),
        };
        let Some((name, padded, unpadded)) = found else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        match if is_unpadded { unpadded } else { padded } {
            Some(pattern) => result.push_str(pattern),
            None if matches!(name, "Month" | "Day") && text.starts_with(name) => {
                return exec_err!("to_char does not pad `{name}` in '{format}'; write FM{name}");
            }
            None => {
                let shown = &text[..name.len()];
                return exec_err!(
                    "to_char does not read `{shown}` in '{format}'; write text in double quotes, or a format such as '%Y-%m-%d %H:%M'"
                );
            }
        }
        rest = &text[name.len()..];
    }
    Ok(result)
}

/// `to_char` of DataFusion.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ToChar {
    pub(super) inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for ToChar {
    delegate_to_inner! { name, aliases, signature, return_type, documentation }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // DataFusion formats one value by the first of several formats
        if let [value @ ColumnarValue::Scalar(_), ColumnarValue::Array(formats)] = args.args.as_mut_slice() {
            *value = ColumnarValue::Array(value.to_array(formats.len())?);
        }
        if let [value, format] = args.args.as_mut_slice()
            // the formats of durations are two words
            && !matches!(value.data_type(), DataType::Duration(_))
        {
            match format {
                ColumnarValue::Scalar(ScalarValue::Utf8(Some(text))) => *text = translated(text)?,
                ColumnarValue::Array(formats) => {
                    if let Some(texts) = formats.as_string_opt::<i32>() {
                        let texts = texts.iter().map(|text| text.map(translated).transpose());
                        *formats = Arc::new(texts.collect::<Result<StringArray>>()?) as ArrayRef;
                    }
                }
                ColumnarValue::Scalar(_) => {}
            }
        }
        self.inner.inner().invoke_with_args(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected formats: by PostgreSQL's table of patterns and that of chrono.
    #[test]
    fn patterns_of_postgresql() {
        for (format, expected) in [
            ("YYYY-MM", "%Y-%m"),
            ("yyyy-mm-dd HH24:MI:SS.MS", "%Y-%m-%d %H:%M:%S.%3f"),
            ("YYYY-MM-DD\"T\"HH24:MI", "%Y-%m-%dT%H:%M"),
            ("FMDD. FMMonth YYYY", "%-d. %B %Y"),
            ("Dy DD Mon YY, HH12:MI am", "%a %d %b %y, %I:%M %P"),
            ("IYYY-\"W\"IW-ID", "%G-W%V-%u"),
            ("YYYY\"Q\"Q", "%YQ%q"),
            ("%Y and YYYY", "%Y and YYYY"),
            ("é", "é"),
            ("", ""),
        ] {
            assert_eq!(translated(format).unwrap(), expected, "{format}");
        }
        for (format, part) in
            [("DD MON", "`MON`"), ("DD Month", "write FMMonth"), ("DDTHH24", "`TH`"), ("WW", "`WW`"), ("TZ", "`TZ`")]
        {
            let error = translated(format).unwrap_err().to_string();
            assert!(error.contains(part), "{format}: {error}");
        }
    }
}

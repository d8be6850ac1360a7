//! The server's log: lines on standard error.

use std::io::Write;

use chrono::{SecondsFormat, Utc};

/// Something that whoever runs the server should look at.
pub(super) fn error(text: &str) {
    line("error", text);
}

/// Something worth knowing.
pub(super) fn info(text: &str) {
    line("info", text);
}

fn line(level: &str, text: &str) {
    let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    // one event is one line
    let text = text.replace('\n', "\\n");
    // a log that nobody reads any more stops nothing
    let _ = writeln!(std::io::stderr(), "{at} {level} {text}");
}

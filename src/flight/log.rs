//! The server's log: structured lines on standard error. Strings from clients are fields and not part of the message:
//! they are quoted, so that an event is one line.

use chrono::{SecondsFormat, Utc};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::LogFormat;

/// Formats timestamps in UTC with milliseconds.
struct UtcTimer;

impl FormatTime for UtcTimer {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        write!(w, "{}", Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// Installs the log of this process; does nothing if it is installed.
pub(crate) fn start_log(format: LogFormat) {
    // no events of libraries: their fields may contain headers and message bodies
    let ours = Targets::new().with_target("cxql", LevelFilter::INFO);
    let lines = fmt::layer().with_writer(std::io::stderr).with_timer(UtcTimer).with_ansi(false).with_target(false);
    let layer = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    // a second server of this process writes to the same log
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours)).try_init();
}

//! Renders results for readers: pages, mails, pictures, tables with charts.
//!
//! | file | renders |
//! |---|---|
//! | `page.rs` | the HTML page of a report |
//! | `mail.rs` | the HTML and plain text of a mail, its charts as pictures |
//! | `png.rs` | one chart as a picture |
//! | `charted.rs` | tables with charts below them, for a terminal |
//! | `facts.rs` | what pages and mails show beside the rows: parameters, freshness, functions |
//! | `about.rs` | the last sheet of a workbook |
//! | `sink.rs` | chooses the sink of a format |

mod about;
mod charted;
mod facts;
mod mail;
mod page;
mod png;
mod sink;
mod words;

use std::sync::{Arc, Mutex};

use self::charted::ChartedTableSink;
pub(crate) use self::facts::PageFacts;
pub(crate) use self::facts::value_text;
pub(crate) use self::mail::{Banner, MailBody, MailPage, note_body};
use self::page::PageSink;
use self::png::PngSink;
pub(crate) use self::sink::{Presentation, open_writer};
use crate::report::{Chart, Verdict};

/// What is known of a run when its rows have ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// The verdicts of the checks with their text.
    pub checks: Vec<(String, Verdict)>,
    /// Sentences about the figures, such as how many rows were left out.
    pub notes: Vec<String>,
}

/// The findings of a run, complete before its outputs end.
pub(crate) type SharedFindings = Arc<Mutex<Findings>>;

/// Title and chart of a section.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageSection {
    /// Its heading, if it has one of its own.
    pub title: Option<String>,
    /// Its chart.
    pub chart: Option<Chart>,
}

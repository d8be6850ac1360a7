//! The query log: the most recent statements with their user, timings and outcome. It is the source of
//! `system.queries`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::tokenizer::Token;
use futures::future::AbortHandle;
use sha2::{Digest, Sha256};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use uuid::Uuid;

use super::auth::Principal;
use super::client_sessions::ClientSession;
use super::metrics::Metrics;
use crate::source::Source;
use crate::sqlfile;

/// Maximum number of entries, and bytes of the statement that are kept of each.
const MAX_ENTRIES: usize = 5_000;
const MAX_TEXT_BYTES: usize = 4_096;

/// The header of responses and errors that contains the query id.
pub(super) const QUERY_ID: &str = "x-cxql-query-id";

/// The state of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryState {
    Planning,
    /// Planned, not fetched yet.
    Planned,
    Waiting,
    Running,
    Finished,
    Failed,
    Cancelled,
}

impl QueryState {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Planned => "planned",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The progress of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryProgress {
    pub(super) state: QueryState,
    /// Time for planning, waiting for a permit, and in total.
    pub(super) plan: Option<Duration>,
    pub(super) wait: Option<Duration>,
    pub(super) ended: Option<(DateTime<Utc>, Duration)>,
    pub(super) code: Option<Code>,
    fetched_at: Option<Instant>,
}

/// A query.
#[derive(Debug)]
pub(super) struct QueryEntry {
    pub(super) id: Uuid,
    pub(super) session_id: Uuid,
    pub(super) user: Option<Arc<str>>,
    /// The statement, truncated if it is very long.
    pub(super) text: Arc<str>,
    pub(super) fingerprint: Arc<str>,
    pub(super) started_at: DateTime<Utc>,
    started: Instant,
    progress: Mutex<QueryProgress>,
    rows: AtomicU64,
    bytes: AtomicU64,
    abort: Mutex<Option<AbortHandle>>,
}

impl QueryEntry {
    /// Sets the handle that cancels the query while it waits or runs.
    pub(super) fn set_abort_handle(&self, abort: AbortHandle) {
        *self.abort.lock().unwrap_or_else(PoisonError::into_inner) = Some(abort);
    }

    pub(super) fn progress(&self) -> QueryProgress {
        *self.locked()
    }

    fn locked(&self) -> MutexGuard<'_, QueryProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn count_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn count_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds the query id to headers.
    pub(super) fn add_query_id(&self, headers: &mut MetadataMap) {
        if let Ok(id) = self.id.to_string().parse() {
            headers.insert(QUERY_ID, id);
        }
    }
}

/// The most recent queries of a server, the oldest first.
#[derive(Debug)]
pub(super) struct QueryLog {
    entries: Mutex<VecDeque<Arc<QueryEntry>>>,
    metrics: Arc<Metrics>,
}

impl QueryLog {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { entries: Mutex::default(), metrics }
    }

    pub(super) fn entries(&self) -> Vec<Arc<QueryEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Arc::clone).collect()
    }

    fn add(&self, entry: QueryEntry) -> Arc<QueryEntry> {
        let entry = Arc::new(entry);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == MAX_ENTRIES {
            entries.pop_front();
        }
        entries.push_back(Arc::clone(&entry));
        entry
    }

    /// Cancels a query that waits or runs: one of the principal, or of anyone if `any`. False if there is none.
    pub(super) fn cancel(&self, id: Uuid, principal: &Principal, any: bool) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.iter().rfind(|entry| entry.id == id && (any || entry.user == principal.0));
        let running = entry.filter(|entry| matches!(entry.locked().state, QueryState::Waiting | QueryState::Running));
        let abort = running.and_then(|entry| entry.abort.lock().unwrap_or_else(PoisonError::into_inner).clone());
        abort.inspect(AbortHandle::abort).is_some()
    }

    /// Adds a statement that is being planned.
    pub(super) fn plan(self: &Arc<Self>, client: &ClientSession, text: &str) -> QueryTracker {
        client.count_query();
        let progress = QueryProgress {
            state: QueryState::Planning,
            plan: None,
            wait: None,
            ended: None,
            code: None,
            fetched_at: None,
        };
        let entry = self.add(QueryEntry {
            id: Uuid::new_v4(),
            session_id: client.id,
            user: client.principal.0.clone(),
            text: cut(text).into(),
            fingerprint: fingerprint(text).into(),
            started_at: Utc::now(),
            started: Instant::now(),
            progress: Mutex::new(progress),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            abort: Mutex::default(),
        });
        QueryTracker { query_log: Arc::clone(self), entry, is_over: false }
    }

    /// Marks a planned statement as being fetched. Fetching it again is another query.
    pub(super) fn fetch(self: &Arc<Self>, planned: &Arc<QueryEntry>) -> QueryTracker {
        let mut progress = planned.locked();
        let entry = if progress.state == QueryState::Planned {
            progress.state = QueryState::Waiting;
            progress.fetched_at = Some(Instant::now());
            drop(progress);
            Arc::clone(planned)
        } else {
            drop(progress);
            let waiting = QueryProgress {
                state: QueryState::Waiting,
                plan: None,
                wait: None,
                ended: None,
                code: None,
                fetched_at: Some(Instant::now()),
            };
            self.add(QueryEntry {
                id: Uuid::new_v4(),
                session_id: planned.session_id,
                user: planned.user.clone(),
                text: Arc::clone(&planned.text),
                fingerprint: Arc::clone(&planned.fingerprint),
                started_at: Utc::now(),
                started: Instant::now(),
                progress: Mutex::new(waiting),
                rows: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                abort: Mutex::default(),
            })
        };
        self.metrics.waiting.inc();
        QueryTracker { query_log: Arc::clone(self), entry, is_over: false }
    }
}

/// Tracks a query. Dropping it before the end marks the query as cancelled.
#[derive(Debug)]
pub(super) struct QueryTracker {
    query_log: Arc<QueryLog>,
    pub(super) entry: Arc<QueryEntry>,
    is_over: bool,
}

impl QueryTracker {
    /// Ends planning. An error gets the query id.
    pub(super) fn planned<T>(mut self, result: Result<T, Status>) -> Result<T, Status> {
        match result {
            Ok(planned) => {
                let mut progress = self.entry.locked();
                progress.state = QueryState::Planned;
                progress.plan = Some(self.entry.started.elapsed());
                drop(progress);
                self.is_over = true;
                Ok(planned)
            }
            Err(status) => Err(self.failed(status)),
        }
    }

    /// The query has its permit and runs.
    pub(super) fn started(&self) {
        let mut progress = self.entry.locked();
        progress.state = QueryState::Running;
        progress.wait = progress.fetched_at.map(|at| at.elapsed());
        let metrics = &self.query_log.metrics;
        metrics.waiting.dec();
        metrics.running.inc();
        metrics.wait_seconds.observe(progress.wait.unwrap_or_default().as_secs_f64());
    }

    /// All rows were sent.
    pub(super) fn finished(mut self) {
        self.end(QueryState::Finished, None);
    }

    /// Ends the query with an error, which gets the query id.
    pub(super) fn failed(mut self, mut status: Status) -> Status {
        let state = if status.code() == Code::Cancelled { QueryState::Cancelled } else { QueryState::Failed };
        self.end(state, Some(status.code()));
        self.entry.add_query_id(status.metadata_mut());
        status
    }

    fn end(&mut self, state: QueryState, code: Option<Code>) {
        self.is_over = true;
        let elapsed = self.entry.started.elapsed();
        let mut progress = self.entry.locked();
        let metrics = &self.query_log.metrics;
        match progress.state {
            QueryState::Waiting => _ = metrics.waiting.dec(),
            QueryState::Running => _ = metrics.running.dec(),
            QueryState::Planning
            | QueryState::Planned
            | QueryState::Finished
            | QueryState::Failed
            | QueryState::Cancelled => {}
        }
        progress.state = state;
        progress.code = code;
        progress.ended = Some((Utc::now(), elapsed));
        drop(progress);
        let (rows, bytes) = (self.entry.rows(), self.entry.bytes());
        metrics.query(state, elapsed, rows, bytes);
        // the statement may contain confidential values: only system.queries shows it, whose access is restricted
        tracing::info!(
            query_id = %self.entry.id,
            session_id = %self.entry.session_id,
            user = self.entry.user.as_deref(),
            fingerprint = %self.entry.fingerprint,
            outcome = state.name(),
            code = code.map(code_name),
            rows,
            bytes,
            elapsed_s = elapsed.as_secs_f64(),
            "query ended"
        );
    }
}

impl Drop for QueryTracker {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(QueryState::Cancelled, Some(Code::Cancelled));
        }
    }
}

/// The name of a gRPC code.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Truncates a statement that is very long.
fn cut(text: &str) -> String {
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > MAX_TEXT_BYTES) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// A hash that is equal for statements that differ only in literals, whitespace, comments and letter case.
fn fingerprint(text: &str) -> String {
    let mut hash = Sha256::new();
    match sqlfile::tokenize(&Arc::new(Source::query(text))) {
        Ok(tokens) => {
            for token in tokens {
                let word = match token.token {
                    Token::Whitespace(_) | Token::EOF | Token::SemiColon => continue,
                    Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
                    Token::Number(..)
                    | Token::SingleQuotedString(_)
                    | Token::NationalStringLiteral(_)
                    | Token::HexStringLiteral(_)
                    | Token::Placeholder(_) => "?".to_owned(),
                    other => other.to_string(),
                };
                hash.update(word.as_bytes());
                hash.update([0]);
            }
        }
        Err(_) => hash.update(text.trim().as_bytes()),
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_differ_in_values_have_one_fingerprint() {
        let first = fingerprint("select a from t where b = 'x' and c > 1");
        assert_eq!(first, fingerprint("SELECT a\nFROM t -- why\nWHERE b = 'it''s' AND c > 20.5;"));
        assert_ne!(first, fingerprint("select b from t where b = 'x' and c > 1"));
        assert_ne!(fingerprint("select \"A\""), fingerprint("select \"a\""));
        // invalid SQL has one too
        assert_eq!(fingerprint("select 'open").len(), 16);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("select 1"), "select 1");
        let long = cut(&"满".repeat(MAX_TEXT_BYTES));
        assert!(long.len() <= MAX_TEXT_BYTES + 3 && long.ends_with("满..."), "{}", long.len());
    }
}

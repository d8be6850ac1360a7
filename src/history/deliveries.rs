//! Deliveries: planned together with their content, then sent, each step recorded before it is taken.
//!
//! `planned -> claimed -> sending -> sent | failed | uncertain | superseded`. A process that ended while a delivery was claimed has
//! sent nothing. One that ended while it was sending may have sent it: an idempotent delivery (an output under the same
//! name, a webhook with the same delivery id) is planned again; a mail becomes uncertain and its owner is notified.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use sha2::{Digest, Sha256};

use super::{RunState, Store, micros, timestamp, timestamp_column};
use crate::error::Result;

/// Why something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The result of a run.
    Result,
    /// Alerts of a run.
    Alert,
    /// A failed run or delivery.
    Failure,
    /// Another notice to the owner, such as missed times.
    Notice,
}

impl Purpose {
    /// The value of the column `purpose`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Alert => "alert",
            Self::Failure => "failure",
            Self::Notice => "notice",
        }
    }

    fn from_name(name: &str) -> Self {
        match name {
            "result" => Self::Result,
            "alert" => Self::Alert,
            "failure" => Self::Failure,
            _ => Self::Notice,
        }
    }

    /// Whether the run is complete only when this is delivered.
    pub(crate) fn is_result(self) -> bool {
        matches!(self, Self::Result | Self::Alert)
    }
}

/// The kind of a delivery's destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryKind {
    /// A file or object.
    Output,
    /// A mail.
    Mail,
    /// A channel of `cxql.toml`.
    Channel,
}

impl DeliveryKind {
    /// The value of the column `kind`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Mail => "mail",
            Self::Channel => "channel",
        }
    }
}

/// The content of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Bytes that are stored in the history.
    Bytes(Vec<u8>),
    /// Bytes of this delivery alone, before bytes that it shares with others; these are stored once.
    Shared {
        /// Its own beginning.
        own: Vec<u8>,
        /// What follows.
        rest: Arc<Vec<u8>>,
    },
    /// A staged file beside the history.
    File {
        /// Its path relative to the history's folder.
        path: String,
        /// The SHA-256 hash in hexadecimal digits.
        sha256: String,
        /// Its size in bytes.
        byte_count: u64,
    },
}

/// A delivery to be planned.
#[derive(Debug, Clone)]
pub(crate) struct NewDelivery {
    /// Why it is sent.
    pub purpose: Purpose,
    /// The kind of its destination.
    pub kind: DeliveryKind,
    /// The destination: a path or URL, the name of a channel, or `mail`.
    pub target: String,
    /// The addresses of a mail.
    pub recipients: Vec<String>,
    /// The content.
    pub content: Content,
    /// The message id of a mail.
    pub message_id: Option<String>,
    /// Whether sending it twice has the same effect as sending it once.
    pub is_repeatable: bool,
    /// For outputs with a limit: the template of their names, and how many are kept.
    pub keep: Option<(String, usize)>,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryState {
    /// Waiting to be sent.
    Planned,
    /// Claimed by a process that has not sent anything yet.
    Claimed,
    /// Being sent.
    Sending,
    /// Accepted by the destination.
    Sent,
    /// Not delivered, and not tried again.
    Failed,
    /// Not sent: a newer one is at its destination.
    Superseded,
    /// Sent or not: the process ended, or the connection broke, while it was sending.
    Uncertain,
}

impl DeliveryState {
    /// The value of the column `state`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Claimed => "claimed",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Uncertain => "uncertain",
        }
    }

    fn from_name(name: &str) -> Self {
        let all = [Self::Planned, Self::Claimed, Self::Sending, Self::Sent, Self::Failed, Self::Superseded];
        all.into_iter().find(|state| state.name() == name).unwrap_or(Self::Uncertain)
    }
}

/// A recorded delivery.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// Its id: that of the run, and a number.
    pub delivery_id: String,
    /// The id of the run.
    pub run_id: String,
    /// The job.
    pub job: String,
    /// Why it is sent.
    pub purpose: Purpose,
    /// The kind of its destination.
    pub kind: DeliveryKind,
    /// The destination.
    pub target: String,
    /// The addresses of a mail.
    pub recipients: Vec<String>,
    /// The state.
    pub state: DeliveryState,
    /// Attempts so far.
    pub tries: u32,
    /// When it was planned.
    pub planned_at: DateTime<Utc>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// The SHA-256 hash of the content in hexadecimal digits.
    pub sha256: String,
    /// For outputs with a limit: the template of their names, and how many are kept.
    pub keep: Option<(String, usize)>,
    /// The staged file, relative to the history's folder.
    pub file: Option<String>,
    /// The last error, or the answer of the destination.
    pub error: Option<String>,
}

const COLUMNS: &str = "delivery_id, run_id, job, purpose, kind, target, recipients, state, tries, planned_at, sent_at, \
                       sha256, slot, keep, file, error";

impl Delivery {
    /// Its recipients, or its target if it has none; of many recipients the first.
    pub(crate) fn destination(&self) -> String {
        const MOST: usize = 5;
        match self.recipients.len() {
            0 => self.target.clone(),
            count if count > MOST => {
                let first = self.recipients.iter().take(MOST).map(String::as_str).collect::<Vec<_>>();
                format!("{} and {} more", first.join(", "), count - MOST)
            }
            _ => self.recipients.join(", "),
        }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let kind: String = row.get("kind")?;
        let recipients: String = row.get("recipients")?;
        let keep = match (row.get::<_, Option<String>>("slot")?, row.get::<_, Option<i64>>("keep")?) {
            (Some(slot), Some(keep)) => Some((slot, usize::try_from(keep).unwrap_or(usize::MAX))),
            _ => None,
        };
        Ok(Self {
            delivery_id: row.get("delivery_id")?,
            run_id: row.get("run_id")?,
            job: row.get("job")?,
            purpose: Purpose::from_name(&row.get::<_, String>("purpose")?),
            kind: match kind.as_str() {
                "output" => DeliveryKind::Output,
                "mail" => DeliveryKind::Mail,
                _ => DeliveryKind::Channel,
            },
            target: row.get("target")?,
            recipients: recipients.split(", ").filter(|text| !text.is_empty()).map(str::to_string).collect(),
            state: DeliveryState::from_name(&row.get::<_, String>("state")?),
            tries: row.get("tries")?,
            planned_at: timestamp(row.get("planned_at")?),
            sent_at: timestamp_column(row, "sent_at")?,
            sha256: row.get("sha256")?,
            keep,
            file: row.get("file")?,
            error: row.get("error")?,
        })
    }
}

/// The SHA-256 hash in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Records deliveries of a run as planned.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    run_id: &str,
    job: &str,
    deliveries: &[NewDelivery],
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM deliveries WHERE run_id = ?";
    let known: u32 = transaction.prepare_cached(sql)?.query_row([run_id], |row| row.get(0))?;
    // the last content that was shared: its hash and its number
    let mut last: Option<(&Arc<Vec<u8>>, String, i64)> = None;
    for (at, delivery) in deliveries.iter().enumerate() {
        let mut shared = None;
        let (hash, size, file, content) = match &delivery.content {
            Content::Bytes(bytes) => (sha256(bytes), bytes.len() as u64, None, Some(bytes.as_slice())),
            Content::Shared { own, rest } => {
                if !last.as_ref().is_some_and(|(known, ..)| Arc::ptr_eq(known, rest)) {
                    let sql = "INSERT INTO contents (bytes) VALUES (?)";
                    transaction.prepare_cached(sql)?.execute([rest.as_slice()])?;
                    last = Some((rest, sha256(rest), transaction.last_insert_rowid()));
                }
                let (hash, id) = last.as_ref().map(|(_, hash, id)| (hash.clone(), *id)).unwrap_or_default();
                shared = Some(id);
                (hash, (own.len() + rest.len()) as u64, None, Some(own.as_slice()))
            }
            Content::File { path, sha256, byte_count } => (sha256.clone(), *byte_count, Some(path.as_str()), None),
        };
        let sql = "INSERT INTO deliveries (delivery_id, run_id, job, purpose, kind, target, recipients, state, planned_at, \
                   next_at, message_id, sha256, byte_count, is_repeatable, slot, keep, file, content, shared) VALUES \
                   (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'planned', ?8, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
        transaction.prepare_cached(sql)?.execute(params![
            format!("{run_id}/{}", known as usize + at + 1),
            run_id,
            job,
            delivery.purpose.name(),
            delivery.kind.name(),
            delivery.target,
            delivery.recipients.join(", "),
            micros(now),
            delivery.message_id,
            hash,
            size as i64,
            delivery.is_repeatable,
            delivery.keep.as_ref().map(|(slot, _)| slot),
            delivery.keep.as_ref().map(|(_, keep)| i64::try_from(*keep).unwrap_or(i64::MAX)),
            file,
            content,
            shared
        ])?;
    }
    Ok(())
}

/// Recovers the deliveries of a process that has ended.
pub(super) fn recover(transaction: &Transaction<'_>, holder: &str, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET state = 'planned', holder = NULL, next_at = ?2 WHERE holder = ?1 AND (state = \
               'claimed' OR (state = 'sending' AND is_repeatable))";
    transaction.execute(sql, params![holder, micros(now)])?;
    let sql = "SELECT delivery_id, run_id FROM deliveries WHERE holder = ? AND state = 'sending'";
    let lost: Vec<(String, String)> = transaction
        .prepare(sql)?
        .query_map([holder], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (delivery_id, run_id) in lost {
        let sql = "UPDATE deliveries SET state = 'uncertain', holder = NULL, is_told = 0, error = 'the process ended while \
                   it was sent: it may have arrived or not' WHERE delivery_id = ?";
        transaction.execute(sql, [&delivery_id])?;
        finish_if_delivered(transaction, &run_id, now)?;
    }
    Ok(())
}

/// Ends a run whose deliveries have all ended.
fn finish_if_delivered(transaction: &Transaction<'_>, run_id: &str, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE run_id = ? AND state IN ('planned', 'claimed', \
               'sending') AND purpose IN ('result', 'alert') LIMIT 1)";
    if transaction.prepare_cached(sql)?.query_row([run_id], |row| row.get(0))? {
        return Ok(());
    }
    let sql = "SELECT count(*) FROM deliveries WHERE run_id = ? AND state IN ('failed', 'uncertain') AND purpose IN \
               ('result', 'alert')";
    let bad: i64 = transaction.prepare_cached(sql)?.query_row([run_id], |row| row.get(0))?;
    let (state, error) = match bad {
        0 => (RunState::Succeeded, None),
        _ => (RunState::Failed, Some(format!("{bad} of its deliveries failed; see cxql job history {run_id}"))),
    };
    let sql = "UPDATE runs SET state = ?2, ended_at = ?3, error = coalesce(?4, error) WHERE run_id = ?1 AND state IN \
               ('delivering')";
    transaction.execute(sql, params![run_id, state.name(), micros(now), error])?;
    Ok(())
}

impl Store {
    /// The deliveries that are due, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn due_deliveries(&self, limit: Option<usize>, now: DateTime<Utc>) -> Result<Vec<Delivery>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM deliveries WHERE state = 'planned' AND next_at <= ?1 ORDER BY planned_at, rowid \
                 LIMIT ?2"
            );
            let limit = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
            connection.prepare_cached(&sql)?.query_map(params![micros(now), limit], Delivery::from_row)?.collect()
        })
    }

    /// The deliveries of a run, in the order in which they were planned.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn deliveries(&self, run_id: &str) -> Result<Vec<Delivery>> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE run_id = ? ORDER BY planned_at, rowid");
            connection.prepare_cached(&sql)?.query_map([run_id], Delivery::from_row)?.collect()
        })
    }

    /// Claims a delivery for sending. False if another process has it.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn claim_delivery(&self, delivery: &Delivery) -> Result<bool> {
        self.step(delivery, "state = 'planned' AND holder IS NULL", "state = 'claimed', holder = ?2, tries = tries + 1")
    }

    /// Records that a delivery is being sent from here on. False if this process no longer holds it.
    ///
    /// # Errors
    /// A history that cannot be written: then it must not be sent.
    pub(crate) fn mark_sending(&self, delivery: &Delivery) -> Result<bool> {
        self.step(delivery, "state = 'claimed' AND holder = ?2", "state = 'sending'")
    }

    fn step(&self, delivery: &Delivery, from: &str, to: &str) -> Result<bool> {
        self.write(|transaction| {
            let sql = format!("UPDATE deliveries SET {to} WHERE delivery_id = ?1 AND ?2 IS NOT NULL AND {from}");
            Ok(transaction.execute(&sql, params![delivery.delivery_id, self.holder()])? == 1)
        })
    }

    /// Records that a delivery was accepted, with the answer, and ends the run if it was its last. `is_notified` is
    /// false if the owner is to be notified, such as of rejected recipients.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn mark_delivered(
        &self,
        delivery: &Delivery,
        said: Option<&str>,
        is_notified: bool,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.write(|transaction| {
            let sql = "UPDATE deliveries SET state = 'sent', sent_at = ?3, holder = NULL, error = ?4, file = NULL, is_told = \
                       ?5 WHERE delivery_id = ?1 AND holder = ?2";
            transaction.execute(sql, params![delivery.delivery_id, self.holder(), micros(now), said, is_notified])?;
            finish_if_delivered(transaction, &delivery.run_id, now)
        })
    }

    /// Ends an output without sending it, if another that was planned after it is at its destination. Returns whether it
    /// did.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn supersede(&self, delivery: &Delivery, now: DateTime<Utc>) -> Result<bool> {
        self.write(|transaction| {
            let sql = "SELECT newer.run_id FROM deliveries old JOIN deliveries newer ON newer.kind = 'output' AND \
                       newer.target = old.target AND newer.state = 'sent' AND newer.rowid > old.rowid WHERE \
                       old.delivery_id = ? AND old.kind = 'output' LIMIT 1";
            let newer: Option<String> =
                transaction.prepare_cached(sql)?.query_row([&delivery.delivery_id], |row| row.get(0)).optional()?;
            let Some(newer) = newer else { return Ok(false) };
            let sql = "UPDATE deliveries SET state = 'superseded', holder = NULL, error = ?3 WHERE delivery_id = ?1 AND \
                       holder = ?2";
            let said = format!("not written: the output of {newer} is there");
            transaction.execute(sql, params![delivery.delivery_id, self.holder(), said])?;
            finish_if_delivered(transaction, &delivery.run_id, now)?;
            Ok(true)
        })
    }

    /// Records that a delivery failed: until `retry_at`, or for good.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn mark_not_delivered(
        &self,
        delivery: &Delivery,
        error: &str,
        retry_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.write(|transaction| {
            let state = if retry_at.is_some() { DeliveryState::Planned } else { DeliveryState::Failed };
            let sql = "UPDATE deliveries SET state = ?3, next_at = ?4, holder = NULL, error = ?5, is_told = ?6 WHERE \
                       delivery_id = ?1 AND holder = ?2";
            transaction.execute(
                sql,
                params![
                    delivery.delivery_id,
                    self.holder(),
                    state.name(),
                    retry_at.map(micros),
                    error,
                    retry_at.is_some()
                ],
            )?;
            finish_if_delivered(transaction, &delivery.run_id, now)
        })
    }

    /// Records that it is unknown whether a delivery was accepted.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn mark_uncertain(&self, delivery: &Delivery, error: &str, now: DateTime<Utc>) -> Result<()> {
        self.write(|transaction| {
            let sql = "UPDATE deliveries SET state = 'uncertain', holder = NULL, is_told = 0, error = ?3 WHERE delivery_id \
                       = ?1 AND holder = ?2";
            transaction.execute(sql, params![delivery.delivery_id, self.holder(), error])?;
            finish_if_delivered(transaction, &delivery.run_id, now)
        })
    }

    /// Deliveries that their owner was not notified of yet: they failed, are uncertain, or some recipients were
    /// rejected. Those of a run with others that were not tried yet are left out, so that its owner gets one notice.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn unnotified(&self) -> Result<Vec<Delivery>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM deliveries WHERE is_told = 0 AND NOT EXISTS (SELECT 1 FROM deliveries other WHERE \
                 other.run_id = deliveries.run_id AND (other.state IN ('claimed', 'sending') OR (other.state = 'planned' \
                 AND other.tries = 0))) ORDER BY run_id, rowid"
            );
            connection.prepare_cached(&sql)?.query_map([], Delivery::from_row)?.collect()
        })
    }

    /// Plans the messages that notify of deliveries of one run. False if another process already has.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn notify(&self, deliveries: &[Delivery], messages: &[NewDelivery], now: DateTime<Utc>) -> Result<bool> {
        self.write(|transaction| {
            let mut count = 0;
            for delivery in deliveries {
                let sql = "UPDATE deliveries SET is_told = 1 WHERE delivery_id = ? AND is_told = 0";
                count += transaction.prepare_cached(sql)?.execute([&delivery.delivery_id])?;
            }
            if let Some(first) = deliveries.first().filter(|_| count > 0) {
                insert(transaction, &first.run_id, &first.job, messages, now)?;
            }
            Ok(count > 0)
        })
    }

    /// Plans further messages of a run, such as a notice of missed times.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn add_messages(
        &self,
        run_id: &str,
        job: &str,
        messages: &[NewDelivery],
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.write(|transaction| insert(transaction, run_id, job, messages, now))
    }

    /// The content of a delivery, if it is stored in the history.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn content(&self, delivery: &Delivery) -> Result<Option<Vec<u8>>> {
        self.read(|connection| {
            let sql =
                "SELECT content, bytes FROM deliveries LEFT JOIN contents ON content_id = shared WHERE delivery_id = ?";
            let bytes = |row: &Row<'_>| -> rusqlite::Result<Option<Vec<u8>>> {
                let (own, rest): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
                Ok(own.map(|own| [own, rest.unwrap_or_default()].concat()))
            };
            Ok(connection.prepare_cached(sql)?.query_row([&delivery.delivery_id], bytes).optional()?.flatten())
        })
    }

    /// Plans the messages of a run again, unchanged, and its failed outputs. Returns how many.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn resend(&self, run_id: &str, now: DateTime<Utc>) -> Result<usize> {
        self.write(|transaction| {
            let sql = "UPDATE deliveries SET state = 'planned', next_at = ?2, planned_at = ?2, tries = 0, sent_at = NULL, \
                       is_told = 1, error = NULL WHERE run_id = ?1 AND purpose <> 'notice' AND ((content IS NOT NULL AND \
                       state IN ('sent', 'failed', 'uncertain')) OR (file IS NOT NULL AND state = 'failed'))";
            let count = transaction.execute(sql, params![run_id, micros(now)])?;
            let sql = "UPDATE runs SET state = 'delivering', ended_at = NULL, error = NULL WHERE run_id = ?1 AND EXISTS \
                       (SELECT 1 FROM deliveries d WHERE d.run_id = ?1 AND d.state = 'planned' AND d.purpose IN ('result', \
                       'alert'))";
            transaction.execute(sql, [run_id])?;
            Ok(count)
        })
    }

    /// Outputs beyond the newest `keep` of a job and template, except those whose destination was overwritten by a
    /// newer one.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub(crate) fn expired_outputs(&self, job: &str, slot: &str, keep: usize) -> Result<Vec<Delivery>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM deliveries JOIN (SELECT target AS place, max(rowid) AS newest FROM deliveries \
                 WHERE job = ?1 AND slot = ?2 AND state = 'sent' AND removed_at IS NULL GROUP BY target ORDER BY newest \
                 DESC LIMIT -1 OFFSET ?3) ON place = target WHERE job = ?1 AND slot = ?2 AND state = 'sent' AND \
                 removed_at IS NULL"
            );
            let keep = i64::try_from(keep).unwrap_or(i64::MAX);
            connection.prepare_cached(&sql)?.query_map(params![job, slot, keep], Delivery::from_row)?.collect()
        })
    }

    /// Records that an output was removed.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub(crate) fn mark_removed(&self, delivery: &Delivery, now: DateTime<Utc>) -> Result<()> {
        self.write(|transaction| {
            let sql = "UPDATE deliveries SET removed_at = ?2 WHERE delivery_id = ?1";
            transaction.execute(sql, params![delivery.delivery_id, micros(now)])?;
            Ok(())
        })
    }
}

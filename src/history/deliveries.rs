//! Deliveries: planned with what is to be sent, then brought to their place one step at a time, each step recorded.
//!
//! planned -> claimed -> sending -> sent. A process that ends while a delivery is claimed has sent nothing. One that ends
//! while it is sending may have: what changes nothing when it is done twice (an output under the same name, a webhook
//! with the same identifier) is planned again; a mail is not, it becomes uncertain and its owner is told.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use sha2::{Digest, Sha256};

use super::{RunState, Store, micros, timestamp, timestamp_column};
use crate::error::Result;

/// Why something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The result of a run.
    Result,
    /// An alert.
    Alert,
    /// A run failed, or something of it could not be delivered.
    Failure,
    /// Something else that an owner should know, such as times that were missed.
    Notice,
}

impl Purpose {
    /// Its word in the history.
    pub fn name(self) -> &'static str {
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

    /// Whether a run is done only when this is delivered.
    pub fn is_result(self) -> bool {
        matches!(self, Self::Result | Self::Alert)
    }
}

/// How something is brought to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    /// A file or object.
    Output,
    /// A mail.
    Mail,
    /// A channel of `cxql.toml`.
    Channel,
}

impl DeliveryKind {
    /// Its word in the history.
    pub fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Mail => "mail",
            Self::Channel => "channel",
        }
    }
}

/// What is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Bytes that the history keeps.
    Bytes(Vec<u8>),
    /// A file beside the history, by its path from there, with its hash and size.
    File {
        /// Its path from the history's folder.
        path: String,
        /// The SHA-256 hash in hexadecimal digits.
        sha256: String,
        /// Its size.
        byte_count: u64,
    },
}

/// A delivery that is to be planned.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Why it is sent.
    pub purpose: Purpose,
    /// How.
    pub kind: DeliveryKind,
    /// Where to: a path or address, a channel's name, or `mail`.
    pub target: String,
    /// Who gets a mail.
    pub recipients: Vec<String>,
    /// What is sent.
    pub content: Content,
    /// The mail's own name.
    pub message_id: Option<String>,
    /// Whether doing it twice changes nothing.
    pub is_repeatable: bool,
    /// Outputs of which only so many are kept: the template of their names, and how many.
    pub keep: Option<(String, usize)>,
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is to be sent.
    Planned,
    /// Somebody prepares to send it.
    Claimed,
    /// It is on its way.
    Sending,
    /// It is there.
    Sent,
    /// It could not be delivered, and is not tried again.
    Failed,
    /// It may be there or not: the process ended on the way.
    Uncertain,
}

impl DeliveryState {
    /// Its word in the history.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Claimed => "claimed",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Uncertain => "uncertain",
        }
    }

    fn from_name(name: &str) -> Self {
        let all = [Self::Planned, Self::Claimed, Self::Sending, Self::Sent, Self::Failed];
        all.into_iter().find(|state| state.name() == name).unwrap_or(Self::Uncertain)
    }
}

/// A delivery as it is recorded.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its name: the run's, and a number.
    pub delivery_id: String,
    /// The run.
    pub run_id: String,
    /// The job.
    pub job: String,
    /// Why it is sent.
    pub purpose: Purpose,
    /// How.
    pub kind: DeliveryKind,
    /// Where to.
    pub target: String,
    /// Who gets a mail.
    pub recipients: Vec<String>,
    /// How it stands.
    pub state: DeliveryState,
    /// Its tries so far.
    pub tries: u32,
    /// When it was planned.
    pub planned_at: DateTime<Utc>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// The hash of what is sent.
    pub sha256: String,
    /// Outputs of which only so many are kept.
    pub keep: Option<(String, usize)>,
    /// The file that holds it, from the history's folder.
    pub file: Option<String>,
    /// What went wrong, or what the other side said.
    pub error: Option<String>,
}

const COLUMNS: &str = "delivery_id, run_id, job, purpose, kind, target, recipients, state, tries, planned_at, sent_at, \
                       sha256, slot, keep, file, error";

impl Delivery {
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

pub(super) fn insert(
    transaction: &Transaction<'_>,
    run_id: &str,
    job: &str,
    delivery: &NewDelivery,
    now: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM deliveries WHERE run_id = ?";
    let known: i64 = transaction.prepare_cached(sql)?.query_row([run_id], |row| row.get(0))?;
    let (hash, size, file, content) = match &delivery.content {
        Content::Bytes(bytes) => (sha256(bytes), bytes.len() as u64, None, Some(bytes.as_slice())),
        Content::File { path, sha256, byte_count } => (sha256.clone(), *byte_count, Some(path.as_str()), None),
    };
    let sql = "INSERT INTO deliveries (delivery_id, run_id, job, purpose, kind, target, recipients, state, planned_at, \
               next_at, message_id, sha256, byte_count, is_repeatable, slot, keep, file, content) VALUES \
               (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'planned', ?8, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    transaction.prepare_cached(sql)?.execute(params![
        format!("{run_id}/{}", known + 1),
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
        content
    ])?;
    Ok(())
}

/// Takes back what a process held that has ended.
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
    let sql = "SELECT count(*) FILTER (WHERE state IN ('planned', 'claimed', 'sending')), count(*) FILTER (WHERE state IN \
               ('failed', 'uncertain')) FROM deliveries WHERE run_id = ? AND purpose IN ('result', 'alert')";
    let (open, bad): (i64, i64) =
        transaction.prepare_cached(sql)?.query_row([run_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if open > 0 {
        return Ok(());
    }
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
    /// The deliveries whose turn has come, the oldest first; `run_id` picks those of one run.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn due_deliveries(&self, run_id: Option<&str>, now: DateTime<Utc>) -> Result<Vec<Delivery>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM deliveries WHERE state = 'planned' AND next_at <= ?1 AND (?2 IS NULL OR run_id = \
                 ?2) ORDER BY planned_at, delivery_id"
            );
            connection.prepare_cached(&sql)?.query_map(params![micros(now), run_id], Delivery::from_row)?.collect()
        })
    }

    /// The deliveries of a run.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn deliveries(&self, run_id: &str) -> Result<Vec<Delivery>> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE run_id = ? ORDER BY planned_at, rowid");
            connection.prepare_cached(&sql)?.query_map([run_id], Delivery::from_row)?.collect()
        })
    }

    /// Takes a delivery to send it; false when somebody else has it.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn claim_delivery(&self, delivery: &Delivery) -> Result<bool> {
        self.step(delivery, "state = 'planned' AND holder IS NULL", "state = 'claimed', holder = ?2, tries = tries + 1")
    }

    /// Records that a delivery is on its way from here on.
    ///
    /// # Errors
    /// A history that cannot be written: then it must not be sent.
    pub fn mark_sending(&self, delivery: &Delivery) -> Result<bool> {
        self.step(delivery, "state = 'claimed' AND holder = ?2", "state = 'sending'")
    }

    fn step(&self, delivery: &Delivery, from: &str, to: &str) -> Result<bool> {
        self.write(|transaction| {
            let sql = format!("UPDATE deliveries SET {to} WHERE delivery_id = ?1 AND ?2 IS NOT NULL AND {from}");
            Ok(transaction.execute(&sql, params![delivery.delivery_id, self.holder()])? == 1)
        })
    }

    /// Records that a delivery is there, with what the other side said, and ends the run that waited for it.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn mark_delivered(
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

    /// Records that a delivery failed: until an instant, or for good.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn mark_not_delivered(
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

    /// Records that a delivery may have arrived or not.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn mark_uncertain(&self, delivery: &Delivery, error: &str, now: DateTime<Utc>) -> Result<()> {
        self.write(|transaction| {
            let sql = "UPDATE deliveries SET state = 'uncertain', holder = NULL, is_told = 0, error = ?3 WHERE delivery_id \
                       = ?1 AND holder = ?2";
            transaction.execute(sql, params![delivery.delivery_id, self.holder(), error])?;
            finish_if_delivered(transaction, &delivery.run_id, now)
        })
    }

    /// Deliveries with something that nobody was told yet: they failed, are uncertain, or some recipients were refused.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn unnotified(&self) -> Result<Vec<Delivery>> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE is_told = 0 ORDER BY planned_at, delivery_id");
            connection.prepare_cached(&sql)?.query_map([], Delivery::from_row)?.collect()
        })
    }

    /// Plans what tells somebody of a delivery, and records that it was told; false when somebody else did.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn notify(&self, delivery: &Delivery, messages: &[NewDelivery], now: DateTime<Utc>) -> Result<bool> {
        self.write(|transaction| {
            let sql = "UPDATE deliveries SET is_told = 1 WHERE delivery_id = ? AND is_told = 0";
            let is_first = transaction.execute(sql, [&delivery.delivery_id])? == 1;
            if is_first {
                for message in messages {
                    insert(transaction, &delivery.run_id, &delivery.job, message, now)?;
                }
            }
            Ok(is_first)
        })
    }

    /// Plans messages that belong to a run, such as one that times were missed.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn add_messages(&self, run_id: &str, job: &str, messages: &[NewDelivery], now: DateTime<Utc>) -> Result<()> {
        self.write(|transaction| messages.iter().try_for_each(|message| insert(transaction, run_id, job, message, now)))
    }

    /// The bytes of a delivery that the history keeps.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn content(&self, delivery: &Delivery) -> Result<Option<Vec<u8>>> {
        self.read(|connection| {
            let sql = "SELECT content FROM deliveries WHERE delivery_id = ?";
            Ok(connection
                .prepare_cached(sql)?
                .query_row([&delivery.delivery_id], |row| row.get(0))
                .optional()?
                .flatten())
        })
    }

    /// Plans the messages of a run again, as they were, and the outputs that did not get to their place; gives how many.
    ///
    /// # Errors
    /// A history that cannot be written.
    pub fn resend(&self, run_id: &str, now: DateTime<Utc>) -> Result<usize> {
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

    /// Outputs beyond the newest `keep` of a job and template, but none whose place a newer one has taken.
    ///
    /// # Errors
    /// A history that cannot be read.
    pub fn expired_outputs(&self, job: &str, slot: &str, keep: usize) -> Result<Vec<Delivery>> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM deliveries JOIN (SELECT target AS place, max(sent_at) AS newest FROM deliveries \
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
    pub fn mark_removed(&self, delivery: &Delivery, now: DateTime<Utc>) -> Result<()> {
        self.write(|transaction| {
            let sql = "UPDATE deliveries SET removed_at = ?2 WHERE delivery_id = ?1";
            transaction.execute(sql, params![delivery.delivery_id, micros(now)])?;
            Ok(())
        })
    }
}

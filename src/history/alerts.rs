//! Alerts: which were met by which run, and which of them to notify of: a group once, until it has been good again.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Transaction, params};

use super::{Run, micros};

/// The outcome of an alert in a run.
#[derive(Debug, Clone)]
pub(crate) struct AlertRecord {
    /// The condition.
    pub alert: String,
    /// `warn` or `error`.
    pub severity: String,
    /// The section that it belongs to, counted from 1.
    pub section: usize,
    /// After how many consecutive good runs a group can be notified of again.
    pub good_runs: u32,
    /// The groups that meet it, with their figures; the whole result is a group with an empty name.
    pub bad: Vec<(String, String)>,
    /// Why it is unknown whether it is met, such as a result without rows.
    pub unknown: Option<String>,
}

/// An alert to notify of, for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlertNotification {
    /// The condition.
    pub alert: String,
    /// `warn` or `error`.
    pub severity: String,
    /// The group; empty for the whole result.
    pub group: String,
    /// The group's figures.
    pub figures: String,
    /// True if the group is good again.
    pub is_over: bool,
    /// True if it is unknown whether the alert is met; `figures` is the reason.
    pub is_unknown: bool,
}

/// The state of an alert as stored in `alerts.is_met`.
const MET: i64 = 1;
const NOT_MET: i64 = 0;
pub(super) const UNKNOWN: i64 = 2;

/// The group of `alert_states` by which an alert is known to be unknown.
const UNKNOWN_GROUP: &str = "(unknown)";

/// Records the outcome of a run's alerts. Returns the notifications: groups that have become bad, groups that have been
/// good for as many runs as their alert requires, and alerts that have become unknown. An unknown outcome is neither good
/// nor bad: what was bad before stays so.
pub(super) fn record(
    transaction: &Transaction<'_>,
    run: &Run,
    alerts: &[AlertRecord],
    now: DateTime<Utc>,
) -> rusqlite::Result<Vec<AlertNotification>> {
    let mut notifications = Vec::new();
    for alert in alerts {
        let sql = "SELECT bad_group, good_runs FROM alert_states WHERE job = ? AND alert = ?";
        let known: Vec<(String, u32)> = transaction
            .prepare_cached(sql)?
            .query_map(params![run.job, alert.alert], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let was_unknown = known.iter().any(|(group, _)| group == UNKNOWN_GROUP);
        let known: Vec<(String, u32)> = known.into_iter().filter(|(group, _)| group != UNKNOWN_GROUP).collect();
        let note = |group: &str, figures: &str, is_met: i64, is_notified: bool| {
            let sql = "INSERT INTO alerts (run_id, job, alert, severity, section, bad_group, evaluated_at, is_met, is_told, \
                       figures) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            transaction.prepare_cached(sql)?.execute(params![
                run.run_id,
                run.job,
                alert.alert,
                alert.severity,
                alert.section as i64,
                group,
                micros(now),
                is_met,
                is_notified,
                figures
            ])
        };
        let notification = |group: &str, figures: &str, is_over: bool| AlertNotification {
            alert: alert.alert.clone(),
            severity: alert.severity.clone(),
            group: group.to_string(),
            figures: figures.to_string(),
            is_over,
            is_unknown: false,
        };
        if let Some(reason) = &alert.unknown {
            note("", reason, UNKNOWN, !was_unknown)?;
            if !was_unknown {
                notifications.push(AlertNotification { is_unknown: true, ..notification("", reason, false) });
                let sql = "INSERT INTO alert_states (job, alert, bad_group, good_runs, since) VALUES (?, ?, ?, 0, ?)";
                transaction.execute(sql, params![run.job, alert.alert, UNKNOWN_GROUP, micros(now)])?;
            }
            continue;
        }
        if was_unknown {
            let sql = "DELETE FROM alert_states WHERE job = ? AND alert = ? AND bad_group = ?";
            transaction.execute(sql, params![run.job, alert.alert, UNKNOWN_GROUP])?;
        }
        for (group, figures) in &alert.bad {
            let is_new = !known.iter().any(|(name, _)| name == group);
            note(group, figures, MET, is_new)?;
            if is_new {
                notifications.push(notification(group, figures, false));
            }
            let sql = "INSERT INTO alert_states (job, alert, bad_group, good_runs, since) VALUES (?, ?, ?, 0, ?) ON CONFLICT \
                       (job, alert, bad_group) DO UPDATE SET good_runs = 0";
            transaction.prepare_cached(sql)?.execute(params![run.job, alert.alert, group, micros(now)])?;
        }
        let bad: BTreeSet<&str> = alert.bad.iter().map(|(group, _)| group.as_str()).collect();
        let good = known.iter().filter(|(group, _)| !bad.contains(group.as_str()));
        for (group, good_runs) in good {
            let is_over = good_runs + 1 >= alert.good_runs;
            note(group, "", NOT_MET, is_over)?;
            if is_over {
                notifications.push(notification(group, "", true));
                let sql = "DELETE FROM alert_states WHERE job = ? AND alert = ? AND bad_group = ?";
                transaction.execute(sql, params![run.job, alert.alert, group])?;
            } else {
                let sql =
                    "UPDATE alert_states SET good_runs = good_runs + 1 WHERE job = ? AND alert = ? AND bad_group = ?";
                transaction.execute(sql, params![run.job, alert.alert, group])?;
            }
        }
        // a run in which nothing is bad, and nothing was, is recorded too
        if alert.bad.is_empty() && !known.iter().any(|(group, _)| !bad.contains(group.as_str())) {
            note("", "", NOT_MET, false)?;
        }
    }
    Ok(notifications)
}

use super::*;
use crate::config::Overlap;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

fn new_run(second: i64, trigger: Trigger) -> NewRun {
    NewRun {
        run_id: format!("a-{second}"),
        job: "a".into(),
        report: "r".into(),
        scheduled_at: at(second),
        trigger,
        max_attempts: 3,
    }
}

fn mail(is_repeatable: bool) -> NewDelivery {
    NewDelivery {
        purpose: Purpose::Result,
        kind: DeliveryKind::Mail,
        target: "mail".into(),
        recipients: vec!["x@example.com".into()],
        content: Content::Bytes(b"hello".to_vec()),
        message_id: Some("<1@x>".into()),
        is_repeatable,
        keep: None,
    }
}

fn made(alerts: Vec<AlertRecord>) -> AttemptOutcome {
    AttemptOutcome::Completed { row_count: 1, parameters: String::new(), note: None, alerts }
}

struct TempHistory(tempfile::TempDir);

impl TempHistory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Store {
        Store::open(&self.0.path().join("state/jobs.db")).unwrap()
    }
}

#[test]
fn a_run_is_claimed_once_and_what_a_dead_process_held_is_recovered() {
    let history = TempHistory::new();
    let (one, two) = (history.open(), history.open());
    assert!(one.add_run(&new_run(0, Trigger::Schedule), at(0)).unwrap());
    assert!(!two.add_run(&new_run(0, Trigger::Schedule), at(0)).unwrap());
    assert_eq!(one.claim("a-0", at(1)).unwrap().unwrap().attempt, 1);
    assert!(two.claim("a-0", at(1)).unwrap().is_none());
    // the other process is alive, so that nothing is recovered
    assert!(two.recover(at(2)).unwrap().is_empty());
    drop(one);
    let recovered = two.recover(at(3)).unwrap();
    assert_eq!(recovered.len(), 1);
    assert_eq!(two.claim("a-0", at(4)).unwrap().unwrap().attempt, 2);
}

#[test]
fn two_runs_of_one_job_are_not_worked_on_at_a_time() {
    let history = TempHistory::new();
    let store = history.open();
    for second in [0, 1] {
        store.add_run(&new_run(second, Trigger::Schedule), at(second)).unwrap();
    }
    let run = store.claim("a-0", at(2)).unwrap().unwrap();
    assert!(store.claim("a-1", at(2)).unwrap().is_none());
    store.finish_attempt(&run, &made(vec![]), &[], at(3)).unwrap();
    assert!(store.claim("a-1", at(3)).unwrap().is_some());
    // it has already ended
    assert!(!store.finish_attempt(&run, &made(vec![]), &[], at(4)).unwrap());
}

#[test]
fn a_mail_on_its_way_is_uncertain_after_a_crash_and_one_that_was_only_claimed_is_planned() {
    for (is_repeatable, is_sending, wanted) in [
        (false, false, DeliveryState::Planned),
        (false, true, DeliveryState::Uncertain),
        (true, true, DeliveryState::Planned),
    ] {
        let history = TempHistory::new();
        let store = history.open();
        store.add_run(&new_run(0, Trigger::Schedule), at(0)).unwrap();
        let run = store.claim("a-0", at(0)).unwrap().unwrap();
        store.finish_attempt(&run, &made(vec![]), &[mail(is_repeatable)], at(1)).unwrap();
        assert_eq!(store.run("a-0").unwrap().unwrap().state, RunState::Delivering);
        let delivery = store.due_deliveries(None, at(1)).unwrap().remove(0);
        assert!(store.claim_delivery(&delivery).unwrap());
        if is_sending {
            assert!(store.mark_sending(&delivery).unwrap());
        }
        drop(store);
        let store = history.open();
        store.recover(at(2)).unwrap();
        assert_eq!(store.deliveries("a-0").unwrap()[0].state, wanted);
        let is_uncertain = wanted == DeliveryState::Uncertain;
        assert_eq!(store.unnotified().unwrap().len(), usize::from(is_uncertain));
        let state = if is_uncertain { RunState::Failed } else { RunState::Delivering };
        assert_eq!(store.run("a-0").unwrap().unwrap().state, state);
    }
}

#[test]
fn a_run_succeeds_when_everything_of_it_is_there_and_what_was_sent_is_kept() {
    let history = TempHistory::new();
    let store = history.open();
    store.add_run(&new_run(0, Trigger::Schedule), at(0)).unwrap();
    let run = store.claim("a-0", at(0)).unwrap().unwrap();
    store.finish_attempt(&run, &made(vec![]), &[mail(false), mail(false)], at(1)).unwrap();
    for delivery in store.due_deliveries(None, at(1)).unwrap() {
        assert_ne!(store.run("a-0").unwrap().unwrap().state, RunState::Succeeded);
        assert!(store.claim_delivery(&delivery).unwrap() && store.mark_sending(&delivery).unwrap());
        store.mark_delivered(&delivery, None, true, at(2)).unwrap();
    }
    assert_eq!(store.run("a-0").unwrap().unwrap().state, RunState::Succeeded);
    let kept = store.deliveries("a-0").unwrap();
    assert_eq!(store.content(&kept[0]).unwrap().unwrap(), b"hello");
    // of `hello`, by sha256sum
    assert_eq!(kept[0].sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(store.resend("a-0", at(3)).unwrap(), 2);
    assert_eq!(store.due_deliveries(None, at(3)).unwrap().len(), 2);
}

#[test]
fn a_run_that_is_due_while_another_runs_is_left_out_or_waits_or_stops_it() {
    for (overlap, new, old_stops) in [
        (Overlap::Skip, RunState::Skipped, false),
        (Overlap::Queue, RunState::Queued, false),
        (Overlap::Kill, RunState::Queued, true),
    ] {
        let history = TempHistory::new();
        let store = history.open();
        store.add_run(&new_run(0, Trigger::Schedule), at(0)).unwrap();
        store.claim("a-0", at(0)).unwrap().unwrap();
        let due = vec![new_run(1, Trigger::Schedule)];
        let recorded = store.record_due("a", overlap, at(1), due, vec![]).unwrap();
        assert_eq!(recorded[0].1, new, "{overlap:?}");
        assert_eq!(store.is_stop_requested("a-0").unwrap(), old_stops, "{overlap:?}");
    }
}

#[test]
fn runs_that_catch_up_do_not_leave_one_another_out() {
    let history = TempHistory::new();
    let store = history.open();
    let due: Vec<NewRun> = (0..3).map(|second| new_run(second, Trigger::CatchUp)).collect();
    let recorded = store.record_due("a", Overlap::Skip, at(9), due, vec![]).unwrap();
    assert!(recorded.iter().all(|(_, state)| *state == RunState::Queued));
}

#[test]
fn an_alert_is_notified_once_and_again_after_good_runs() {
    let history = TempHistory::new();
    let store = history.open();
    let alert = |bad: &[&str]| AlertRecord {
        alert: "n < 3".into(),
        severity: "warn".into(),
        section: 1,
        good_runs: 2,
        bad: bad.iter().map(|group| ((*group).to_string(), String::new())).collect(),
        unknown: None,
    };
    let mut notifications = Vec::new();
    let story: [&[&str]; 7] = [&["x"], &["x", "y"], &["y"], &["x", "y"], &["y"], &["y"], &["x"]];
    for (second, bad) in story.into_iter().enumerate() {
        let second = second as i64;
        store.add_run(&new_run(second, Trigger::Schedule), at(second)).unwrap();
        let run = store.claim(&format!("a-{second}"), at(second)).unwrap().unwrap();
        let alerts = vec![alert(bad)];
        let seen = store.preview_alerts(&run, &alerts, at(second)).unwrap();
        // a preview changes nothing
        assert_eq!(store.preview_alerts(&run, &alerts, at(second)).unwrap(), seen);
        store.finish_attempt(&run, &made(alerts), &[], at(second)).unwrap();
        let shown = |notification: &AlertNotification| {
            format!("{}{}", if notification.is_over { "-" } else { "+" }, notification.group)
        };
        notifications.push(seen.iter().map(shown).collect::<Vec<_>>().join(" "));
    }
    // x is bad, one good run is not enough, two are
    assert_eq!(notifications, ["+x", "+y", "", "", "", "-x", "+x"]);
}

#[test]
fn an_unknown_alert_is_notified_once_and_changes_no_group() {
    let history = TempHistory::new();
    let store = history.open();
    let mut notifications = Vec::new();
    // bad, unknown twice, bad still, good, unknown, good
    let story = [Some(true), None, None, Some(true), Some(false), None, Some(false)];
    for (second, is_bad) in (0..).zip(story) {
        store.add_run(&new_run(second, Trigger::Schedule), at(second)).unwrap();
        let run = store.claim(&format!("a-{second}"), at(second)).unwrap().unwrap();
        let alerts = vec![AlertRecord {
            alert: "n < 3".into(),
            severity: "warn".into(),
            section: 1,
            good_runs: 1,
            bad: if is_bad == Some(true) { vec![("x".into(), String::new())] } else { vec![] },
            unknown: is_bad.is_none().then(|| "the result has no rows".to_string()),
        }];
        let seen = store.preview_alerts(&run, &alerts, at(second)).unwrap();
        store.finish_attempt(&run, &made(alerts), &[], at(second)).unwrap();
        let shown = |notification: &AlertNotification| match (notification.is_unknown, notification.is_over) {
            (true, _) => format!("?{}", notification.figures),
            (_, is_over) => format!("{}{}", if is_over { "-" } else { "+" }, notification.group),
        };
        notifications.push(seen.iter().map(shown).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(notifications, ["+x", "?the result has no rows", "", "", "-x", "?the result has no rows", ""]);
}

#[test]
fn only_the_newest_outputs_are_kept_and_a_target_that_is_used_again_stays() {
    let history = TempHistory::new();
    let store = history.open();
    for (second, target) in [(0, "one"), (1, "two"), (2, "one"), (3, "three")] {
        store.add_run(&new_run(second, Trigger::Schedule), at(second)).unwrap();
        let run = store.claim(&format!("a-{second}"), at(second)).unwrap().unwrap();
        let keep = Some(("{date}".to_string(), 2));
        let output = NewDelivery { kind: DeliveryKind::Output, target: target.into(), keep, ..mail(true) };
        store.finish_attempt(&run, &made(vec![]), &[output], at(second)).unwrap();
        let delivery = store.due_deliveries(None, at(second)).unwrap().remove(0);
        assert!(store.claim_delivery(&delivery).unwrap() && store.mark_sending(&delivery).unwrap());
        store.mark_delivered(&delivery, None, true, at(second)).unwrap();
    }
    let expired = store.expired_outputs("a", "{date}", 2).unwrap();
    assert_eq!(expired.iter().map(|delivery| delivery.target.as_str()).collect::<Vec<_>>(), ["two"]);
}

#[test]
fn old_runs_are_removed_and_open_ones_stay() {
    let history = TempHistory::new();
    let store = history.open();
    for second in [0, 1] {
        store.add_run(&new_run(second, Trigger::Schedule), at(second)).unwrap();
        let run = store.claim(&format!("a-{second}"), at(second)).unwrap().unwrap();
        let deliveries = if second == 0 { vec![] } else { vec![mail(false)] };
        store.finish_attempt(&run, &made(vec![]), &deliveries, at(second)).unwrap();
    }
    assert_eq!(store.prune(at(100)).unwrap(), 1);
    assert!(store.run("a-0").unwrap().is_none() && store.run("a-1").unwrap().is_some());
}

#[test]
fn a_file_that_is_no_history_is_rejected() {
    let history = TempHistory::new();
    let path = history.0.path().join("jobs.db");
    std::fs::write(&path, "not a database, but long enough to be looked at as one").unwrap();
    let text = Store::open(&path).unwrap_err().to_string();
    assert!(text.contains("cannot open the history of jobs in") && text.contains("jobs.db"), "{text}");
}

#[test]
fn a_history_that_nobody_has_written_to_is_empty_and_one_of_a_newer_program_is_refused() {
    let history = TempHistory::new();
    let path = history.0.path().join("jobs.db");
    assert!(open_to_read(&path).unwrap().is_none());
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    assert!(path.exists() && open_to_read(&path).unwrap().is_none());
    connection.pragma_update(None, "user_version", LAYOUT + 1).unwrap();
    for error in [open_to_read(&path).err(), Store::open(&path).err()] {
        assert!(error.unwrap().to_string().contains("written by a newer cxql"));
    }
}

/// Processes that start at once make the file together.
#[test]
fn a_new_history_is_opened_by_several_at_a_time() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.db");
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            let open = || {
                start.wait();
                Store::open(&path).map(drop).map_err(|error| error.to_string())
            };
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            for one in opened {
                assert_eq!(one.join().unwrap(), Ok(()));
            }
        });
    }
}

//! What holds for all rows of the sample data, except for planted errors.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type};
use cxql_demo::Options;
use tempfile::TempDir;

use super::data::{CONTACTS, Contact, DATA, DAY, END, START, column, contacts_of, read, seconds, share, texts};

#[test]
fn keys_are_unique_and_references_exist_but_for_what_is_planted() {
    let folder = DATA.folder.path();
    let mut keys: HashMap<&str, HashSet<String>> = HashMap::new();
    for (table, key) in [
        ("surveys", "survey_id"),
        ("customers", "customer_id"),
        ("orders", "order_id"),
        ("events", "event_id"),
        ("agents", "agent_id"),
    ] {
        let ids = texts(&read(folder, table), key);
        let unique: HashSet<String> = ids.iter().cloned().map(Option::unwrap).collect();
        assert_eq!(unique.len(), ids.len(), "{table}");
        keys.insert(key, unique);
    }
    for (table, name) in [
        ("interactions", "customer_id"),
        ("interactions", "agent_id"),
        ("surveys", "customer_id"),
        ("orders", "customer_id"),
        ("events", "customer_id"),
        ("agent_states", "agent_id"),
    ] {
        let known = &keys[name];
        for id in texts(&read(folder, table), name).into_iter().flatten() {
            assert!(known.contains(&id), "{table}.{name} {id}");
        }
    }
    let interactions: HashSet<_> = texts(&read(folder, "interactions"), "interaction_id").into_iter().collect();
    let surveys = texts(&read(folder, "surveys"), "interaction_id");
    let orphans = surveys.iter().filter(|id| !interactions.contains(*id)).count();
    assert!((0.003..0.010).contains(&share(orphans, surveys.len())), "{orphans}");
}

#[test]
fn durations_and_times_fit_together_but_for_what_is_planted() {
    let contacts = &*CONTACTS;
    let ends_first = contacts.iter().filter(|c| c.ended.is_some_and(|ended| ended < c.started)).count();
    let negative = contacts.iter().filter(|c| c.wait.is_some_and(|wait| wait < 0)).count();
    assert!((10..60).contains(&ends_first), "{ends_first}");
    assert!((10..60).contains(&negative), "{negative}");
    for contact in contacts {
        assert!((START..END).contains(&contact.started), "{contact:?}");
        assert!(contact.talk.is_none_or(|talk| talk > 0) && contact.hold.is_none_or(|hold| hold >= 0), "{contact:?}");
        if contact.abandoned {
            assert!(contact.agent.is_none() && contact.talk.is_none() && contact.text.is_none(), "{contact:?}");
        }
        let clean = contact.wait.is_none_or(|wait| wait >= 0) && contact.ended.is_none_or(|e| e >= contact.started);
        if let (true, Some(ended)) = (clean, contact.ended) {
            let parts = [contact.wait, contact.talk, contact.hold];
            let length: i64 = parts.into_iter().flatten().map(i64::from).sum();
            assert_eq!(ended - contact.started, length, "{contact:?}");
            assert!(ended < END, "{contact:?}");
        }
    }
    let states = read(DATA.folder.path(), "agent_states");
    let (agents, from, to) = (texts(&states, "agent_id"), seconds(&states, "started_at"), seconds(&states, "ended_at"));
    let mut until: HashMap<&Option<String>, i64> = HashMap::new();
    for row in 0..states.num_rows() {
        let (from, to) = (from[row].unwrap(), to[row].unwrap());
        assert!(from < to);
        let before = until.insert(&agents[row], to);
        // One state at a time, and no gap within a day.
        assert!(before.is_none_or(|before| before == from || (before < from && before / DAY < from / DAY)));
    }
}

#[test]
fn nobody_contacts_or_orders_before_signing_up_or_after_leaving() {
    nobody_is_there_before_or_after(DATA.folder.path(), &CONTACTS);
    // With this seed two customers would come back on the day on which they leave.
    let folder = TempDir::new().unwrap();
    cxql_demo::write(folder.path(), &Options { contacts: 30_000, seed: 20 }, &mut |_| {}).unwrap();
    nobody_is_there_before_or_after(folder.path(), &contacts_of(folder.path()));
}

fn nobody_is_there_before_or_after(folder: &Path, contacts: &[Contact]) {
    let customers = read(folder, "customers");
    let span: HashMap<String, (i64, i64)> = texts(&customers, "customer_id")
        .into_iter()
        .zip(seconds(&customers, "signed_up_at").into_iter().zip(seconds(&customers, "churned_at")))
        .map(|(id, (from, to))| (id.unwrap(), (from.unwrap(), to.unwrap_or(i64::MAX))))
        .collect();
    let orders = read(folder, "orders");
    let ordered = texts(&orders, "customer_id").into_iter().zip(seconds(&orders, "ordered_at"));
    let contacted = contacts.iter().map(|contact| (contact.customer.clone(), Some(contact.started)));
    for (customer, at) in ordered.chain(contacted) {
        let (Some(customer), Some(at)) = (customer, at) else { continue };
        let (from, to) = span[&customer];
        assert!(from <= at && at < to, "{customer}");
    }
    assert!(column(&orders, "amount").as_primitive::<Float64Type>().values().iter().all(|&amount| amount > 0.0));
    // 1945-01-01 to 2006-12-31 in days of the epoch.
    let births = column(&customers, "birth_date").as_primitive::<Date32Type>();
    assert!(births.iter().flatten().all(|day| (-9131..13514).contains(&day)));
}

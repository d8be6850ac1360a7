//! The sample data: its schema and invariants, and every planted effect verified by plain computation.
//!
//! The expected sizes of the effects are those of `data/README.md`; the bounds allow for chance.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::concat::concat_batches;
use cxql_demo::{DemoError, Options, Summary};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

const DAY: i64 = 86_400;
/// 2025-01-01 and 2026-01-01, in Unix seconds.
const START: i64 = 1_735_689_600;
const END: i64 = START + 365 * DAY;

/// The default data, written once for all tests.
struct Default20k {
    folder: TempDir,
    summary: Summary,
}

static DATA: LazyLock<Default20k> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let summary = cxql_demo::write(folder.path(), &Options::default(), &mut |_| {}).unwrap();
    Default20k { folder, summary }
});

fn files_of(folder: &Path, table: &str) -> Vec<PathBuf> {
    let single = folder.join(format!("{table}.parquet"));
    if single.exists() {
        return vec![single];
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.join(table)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(folder: &Path, table: &str) -> RecordBatch {
    let mut batches = Vec::new();
    for file in files_of(folder, table) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn column<'a>(table: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    table.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"))
}

fn texts(table: &RecordBatch, name: &str) -> Vec<Option<String>> {
    column(table, name).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn seconds(table: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    column(table, name).as_primitive::<TimestampMicrosecondType>().iter().map(|t| t.map(|t| t / 1_000_000)).collect()
}

fn integers(table: &RecordBatch, name: &str) -> Vec<Option<i32>> {
    column(table, name).as_primitive::<Int32Type>().iter().collect()
}

fn flags(table: &RecordBatch, name: &str) -> Vec<Option<bool>> {
    column(table, name).as_boolean().iter().collect()
}

fn share(part: usize, whole: usize) -> f64 {
    assert!(whole > 0);
    part as f64 / whole as f64
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    assert!(!values.is_empty());
    values.iter().sum::<f64>() / values.len() as f64
}

/// A contact after cleaning: no duplicates, clean labels, no planted future.
#[derive(Clone, Debug)]
struct Contact {
    id: String,
    customer: Option<String>,
    started: i64,
    ended: Option<i64>,
    channel: String,
    inbound: bool,
    queue: String,
    agent: Option<String>,
    topic: Option<&'static str>,
    product: String,
    wait: Option<i32>,
    talk: Option<i32>,
    hold: Option<i32>,
    abandoned: bool,
    resolved: Option<bool>,
    text: Option<String>,
    language: String,
    /// `None` for a repeat contact, or one whose window has not elapsed by the end of 2025.
    first_contact_resolved: Option<bool>,
    /// Earlier contacts of the customer on the topic, each within 30 days of the next.
    repeats: usize,
}

impl Contact {
    fn weekday(&self) -> i64 {
        // 1970-01-01 was a Thursday; Monday is 0.
        (self.started.div_euclid(DAY) + 3).rem_euclid(7)
    }

    fn hour(&self) -> i64 {
        self.started.rem_euclid(DAY) / 3600
    }

    fn day(&self) -> i64 {
        (self.started - START).div_euclid(DAY)
    }

    fn is_monday_morning(&self) -> bool {
        self.weekday() == 0 && (8..11).contains(&self.hour())
    }

    fn is_live(&self) -> bool {
        self.inbound && (self.channel == "phone" || self.channel == "chat")
    }
}

/// The clean label of a variant spelling.
fn clean_topic(label: &str) -> &'static str {
    let label = label.trim().to_lowercase().replace('_', " ");
    match label.as_str() {
        "billing" => "billing",
        "delivery" => "delivery",
        "returns" => "returns",
        "technical support" | "tech support" => "technical support",
        "account" => "account",
        "cancellation" | "cancelation" => "cancellation",
        "product question" => "product question",
        other => panic!("a topic that is not in the story: {other}"),
    }
}

fn clean_channel(label: &str) -> &'static str {
    match label.trim().to_lowercase().as_str() {
        "phone" => "phone",
        "chat" | "live chat" => "chat",
        "email" | "e-mail" => "email",
        "web" => "web",
        "social" | "social media" => "social",
        other => panic!("a channel that is not in the story: {other}"),
    }
}

fn contacts_of(folder: &Path) -> Vec<Contact> {
    let table = read(folder, "interactions");
    let (ids, customers) = (texts(&table, "interaction_id"), texts(&table, "customer_id"));
    let (started, ended) = (seconds(&table, "started_at"), seconds(&table, "ended_at"));
    let (channels, directions, queues) = (texts(&table, "channel"), texts(&table, "direction"), texts(&table, "queue"));
    let (agents, topics, products) = (texts(&table, "agent_id"), texts(&table, "topic"), texts(&table, "product"));
    let (waits, talks, holds) = (integers(&table, "wait_s"), integers(&table, "talk_s"), integers(&table, "hold_s"));
    let (abandoned, resolved) = (flags(&table, "is_abandoned"), flags(&table, "is_resolved"));
    let (text, languages) = (texts(&table, "text"), texts(&table, "language"));
    let mut seen = HashSet::new();
    let mut contacts = Vec::new();
    for row in 0..table.num_rows() {
        let started = started[row].unwrap();
        let id = ids[row].clone().unwrap();
        if started >= END || !seen.insert(id.clone()) {
            continue;
        }
        contacts.push(Contact {
            id,
            customer: customers[row].clone(),
            started,
            ended: ended[row],
            channel: clean_channel(channels[row].as_deref().unwrap()).to_owned(),
            inbound: directions[row].as_deref() == Some("inbound"),
            queue: queues[row].clone().unwrap(),
            agent: agents[row].clone(),
            topic: topics[row].as_deref().map(clean_topic),
            product: products[row].clone().unwrap(),
            wait: waits[row],
            talk: talks[row],
            hold: holds[row],
            abandoned: abandoned[row].unwrap(),
            resolved: resolved[row],
            text: text[row].clone(),
            language: languages[row].clone().unwrap(),
            first_contact_resolved: None,
            repeats: 0,
        });
    }
    // First-contact resolution within 7 days, by customer and topic, as in the shared definitions.
    let mut chains: HashMap<(String, &str), Vec<usize>> = HashMap::new();
    for (index, contact) in contacts.iter().enumerate() {
        if let (Some(customer), Some(topic)) = (&contact.customer, contact.topic) {
            chains.entry((customer.clone(), topic)).or_default().push(index);
        }
    }
    const WINDOW: i64 = 7 * DAY;
    for chain in chains.values() {
        for (place, &index) in chain.iter().enumerate() {
            let at = contacts[index].started;
            let before = place.checked_sub(1).map(|place| chain[place]);
            if let Some(before) = before
                && at - contacts[before].started <= 30 * DAY
            {
                contacts[index].repeats = contacts[before].repeats + 1;
            }
            let is_first = before.is_none_or(|before| at - contacts[before].started > WINDOW);
            let comes_back = chain.get(place + 1).is_some_and(|&next| contacts[next].started - at <= WINDOW);
            // Nothing is known of what was before the data, nor of repeats that are still to come.
            let is_known = at >= START + WINDOW && at + WINDOW <= END;
            contacts[index].first_contact_resolved = (is_first && is_known).then_some(!comes_back);
        }
    }
    contacts
}

static CONTACTS: LazyLock<Vec<Contact>> = LazyLock::new(|| contacts_of(DATA.folder.path()));

fn fcr<'a>(contacts: impl Iterator<Item = &'a Contact>) -> (f64, usize) {
    let known: Vec<bool> = contacts.filter_map(|contact| contact.first_contact_resolved).collect();
    (share(known.iter().filter(|&&resolved| resolved).count(), known.len()), known.len())
}

fn bytes_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(bytes_of(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn relative_bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    bytes_of(folder).into_iter().map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes)).collect()
}

const TABLES: [&str; 7] = ["interactions", "surveys", "customers", "orders", "events", "agents", "agent_states"];

// Schema and guarantees.

#[test]
fn same_contacts_and_seed_give_the_same_bytes_and_another_seed_does_not() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, contacts, seed| {
        let dir = folder.path().join(name);
        cxql_demo::write(&dir, &Options { contacts, seed }, &mut |_| {}).unwrap();
        relative_bytes(&dir)
    };
    let (one, again, other) = (write("one", 1500, 7), write("again", 1500, 7), write("other", 1500, 8));
    assert_eq!(one.len(), 7);
    assert!(one == again);
    for (path, bytes) in &one {
        assert_ne!(other.get(path), Some(bytes), "{}", path.display());
    }
}

#[test]
fn default_data_is_small_and_the_summary_agrees_with_the_disk() {
    let files = bytes_of(DATA.folder.path());
    let bytes: usize = files.values().map(Vec::len).sum();
    assert!(bytes <= 3_000_000, "{bytes}");
    assert_eq!(DATA.summary.bytes(), bytes as u64);
    assert_eq!(DATA.summary.files(), files.len() as u64);
    let names: Vec<&str> = DATA.summary.tables.iter().map(|table| table.table).collect();
    assert_eq!(names, TABLES);
    for table in &DATA.summary.tables {
        assert_eq!(read(DATA.folder.path(), table.table).num_rows() as u64, table.rows, "{}", table.table);
    }
    let all: u64 = DATA.summary.tables.iter().map(|table| table.rows).sum();
    assert_eq!(DATA.summary.rows(), all);
}

/// The committed folder equals the output. On other platforms the last bit of a logarithm may differ.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn committed_data_is_what_the_program_writes() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
    for table in TABLES {
        assert!(read(&committed, table) == read(DATA.folder.path(), table), "data/{table} is not up to date");
    }
}

#[test]
fn columns_are_those_of_the_interaction_model() {
    let id = || DataType::Utf8;
    let at = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let count = || DataType::Int32;
    let flag = || DataType::Boolean;
    let model: [(&str, Vec<(&str, DataType)>); 7] = [
        (
            "interactions",
            vec![
                ("interaction_id", id()),
                ("customer_id", id()),
                ("started_at", at()),
                ("ended_at", at()),
                ("channel", id()),
                ("direction", id()),
                ("queue", id()),
                ("team", id()),
                ("agent_id", id()),
                ("topic", id()),
                ("product", id()),
                ("wait_s", count()),
                ("talk_s", count()),
                ("hold_s", count()),
                ("wrap_s", count()),
                ("is_abandoned", flag()),
                ("is_resolved", flag()),
                ("transfer_count", count()),
                ("text", id()),
                ("language", id()),
            ],
        ),
        (
            "surveys",
            vec![
                ("survey_id", id()),
                ("interaction_id", id()),
                ("customer_id", id()),
                ("responded_at", at()),
                ("kind", id()),
                ("score", count()),
                ("comment", id()),
                ("language", id()),
            ],
        ),
        (
            "customers",
            vec![
                ("customer_id", id()),
                ("signed_up_at", at()),
                ("birth_date", DataType::Date32),
                ("region", id()),
                ("city", id()),
                ("segment", id()),
                ("acquisition_cost", DataType::Float64),
                ("churned_at", at()),
            ],
        ),
        (
            "orders",
            vec![("order_id", id()), ("customer_id", id()), ("ordered_at", at()), ("amount", DataType::Float64)],
        ),
        (
            "events",
            vec![
                ("event_id", id()),
                ("customer_id", id()),
                ("session_id", id()),
                ("event", id()),
                ("page", id()),
                ("occurred_at", at()),
                ("dwell_s", count()),
            ],
        ),
        ("agents", vec![("agent_id", id()), ("name", id()), ("team", id()), ("hired_at", at())]),
        ("agent_states", vec![("agent_id", id()), ("state", id()), ("started_at", at()), ("ended_at", at())]),
    ];
    for (table, columns) in model {
        let batch = read(DATA.folder.path(), table);
        let schema = batch.schema();
        let found: Vec<(&str, DataType)> =
            schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone())).collect();
        assert_eq!(found, columns, "{table}");
        assert!(schema.fields().iter().all(|field| field.is_nullable()), "{table}");
    }
}

#[test]
fn every_column_of_every_row_group_has_statistics() {
    for table in TABLES {
        for file in files_of(DATA.folder.path(), table) {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
            for group in reader.metadata().row_groups() {
                assert!(group.columns().iter().all(|column| column.statistics().is_some()), "{table}");
            }
        }
    }
}

#[test]
fn rows_are_in_order_of_time() {
    let folder = DATA.folder.path();
    for (table, name) in [
        ("surveys", "responded_at"),
        ("customers", "signed_up_at"),
        ("orders", "ordered_at"),
        ("events", "occurred_at"),
        ("agent_states", "started_at"),
    ] {
        assert!(seconds(&read(folder, table), name).is_sorted(), "{table}");
    }
    let started = seconds(&read(folder, "interactions"), "started_at");
    let future = started.iter().filter(|at| at.unwrap() >= END).count();
    assert_eq!(future, 2);
    assert!(started.iter().filter(|at| at.unwrap() < END).is_sorted());
}

#[test]
fn exactly_the_contacts_asked_for_are_written_at_every_size() {
    let folder = TempDir::new().unwrap();
    for contacts in [1, 2, 3, 10, 365, 1234] {
        let dir = folder.path().join(contacts.to_string());
        let mut told = Vec::new();
        cxql_demo::write(&dir, &Options { contacts, seed: 3 }, &mut |so_far| told.push(so_far)).unwrap();
        let ids: HashSet<_> = texts(&read(&dir, "interactions"), "interaction_id").into_iter().collect();
        assert_eq!(ids.len() as u64, contacts);
        assert!(told.is_sorted());
        assert_eq!(told.last(), Some(&contacts));
    }
}

// Invariants, except for planted errors.

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

// The planted effects.

#[test]
fn arrivals_have_two_humps_on_weekdays_and_fewer_at_weekends() {
    let at = |hour: i64| CONTACTS.iter().filter(|c| c.is_live() && c.weekday() < 5 && c.hour() == hour).count() as f64;
    assert!(at(10) > 1.3 * at(12) && at(15) > 1.2 * at(12), "{} {} {}", at(10), at(12), at(15));
    assert_eq!(at(3), 0.0);
    let on = |day: i64| CONTACTS.iter().filter(|c| c.weekday() == day).count() as f64;
    assert!(on(0) > 1.15 * on(3) && on(3) > 2.0 * on(6), "{} {} {}", on(0), on(3), on(6));
    let quarter = |from: i64, to: i64| CONTACTS.iter().filter(|c| (from..to).contains(&c.day())).count() as f64;
    assert!(quarter(273, 365) > 1.08 * quarter(0, 92));
}

#[test]
fn what_is_not_solved_comes_back_mostly_within_a_week() {
    let mut chains: HashMap<(&str, &str), i64> = HashMap::new();
    let mut within = [0; 4];
    let mut known = 0;
    for contact in CONTACTS.iter().filter(|contact| contact.inbound) {
        let (Some(customer), Some(topic)) = (contact.customer.as_deref(), contact.topic) else { continue };
        known += 1;
        if let Some(before) = chains.insert((customer, topic), contact.started) {
            for (count, days) in within.iter_mut().zip([1, 7, 14, 30]) {
                *count += usize::from(contact.started - before <= days * DAY);
            }
        }
    }
    let [one, seven, fourteen, thirty] = within.map(|count| share(count, known));
    assert!((0.05..0.12).contains(&one) && (0.20..0.30).contains(&seven), "{one} {seven}");
    assert!(fourteen > seven + 0.02 && thirty > fourteen + 0.02, "{fourteen} {thirty}");
    let topic = |topic: &'static str| fcr(CONTACTS.iter().filter(move |c| c.topic == Some(topic))).0;
    assert!(topic("technical support") + 0.06 < topic("billing"));
    assert!(topic("billing") + 0.06 < topic("product question"));
    // Agents log more contacts as resolved than repeat contacts confirm.
    let logged: Vec<bool> = CONTACTS
        .iter()
        .filter(|contact| contact.first_contact_resolved == Some(false) && !contact.abandoned)
        .filter_map(|contact| contact.resolved)
        .collect();
    let rosy = share(logged.iter().filter(|&&resolved| resolved).count(), logged.len());
    assert!((0.30..0.55).contains(&rosy), "{rosy}");
}

#[test]
fn atlas_release_raises_technical_contacts_and_their_handle_time() {
    // 2025-06-16 is day 166 of the year, counted from 0.
    let atlas = |from: i64, to: i64| -> Vec<&Contact> {
        CONTACTS
            .iter()
            .filter(|c| c.topic == Some("technical support") && c.product == "Atlas" && (from..to).contains(&c.day()))
            .collect()
    };
    let talk = |contacts: &[&Contact]| mean(contacts.iter().filter_map(|c| c.talk).map(f64::from));
    let (before, first, fourth, after) = (atlas(138, 166), atlas(166, 173), atlas(187, 194), atlas(201, 229));
    let weekly = before.len() as f64 / 4.0;
    assert!(first.len() as f64 > 2.5 * weekly, "{} {weekly}", first.len());
    assert!(first.len() as f64 > 1.5 * fourth.len() as f64);
    assert!((after.len() as f64) < 1.6 * before.len() as f64);
    assert!(talk(&first) > 1.4 * talk(&before) && talk(&after) < 1.2 * talk(&before));
    let beacon = |from: i64, to: i64| {
        let days = from..to;
        CONTACTS
            .iter()
            .filter(|c| c.topic == Some("technical support") && c.product != "Atlas" && days.contains(&c.day()))
            .count() as f64
    };
    assert!(beacon(166, 194) < 1.3 * beacon(138, 166));
}

#[test]
fn two_agents_solve_far_less_than_all_others() {
    let mut by_agent: Vec<(f64, &str)> = Vec::new();
    let agents: HashSet<&str> = CONTACTS.iter().filter_map(|contact| contact.agent.as_deref()).collect();
    for agent in agents {
        let (ratio, known) = fcr(CONTACTS.iter().filter(|contact| contact.agent.as_deref() == Some(agent)));
        assert!(known > 100, "{agent} {known}");
        by_agent.push((ratio, agent));
    }
    by_agent.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut worst = [by_agent[0].1, by_agent[1].1];
    worst.sort_unstable();
    assert_eq!(worst, ["A0004", "A0018"]);
    assert!(by_agent[1].0 + 0.12 < by_agent[2].0, "{by_agent:?}");
    // More than three standard deviations from the mean of the others.
    let others: Vec<f64> = by_agent[2..].iter().map(|agent| agent.0).collect();
    let centre = mean(others.iter().copied());
    let spread = (mean(others.iter().map(|ratio| (ratio - centre).powi(2)))).sqrt();
    assert!(by_agent[1].0 < centre - 3.0 * spread, "{by_agent:?}");
}

#[test]
fn billing_is_short_of_staff_on_monday_mornings() {
    let level = |rush: bool, billing: bool| {
        let offered: Vec<&Contact> = CONTACTS
            .iter()
            .filter(|c| c.is_live() && c.wait.is_some_and(|wait| wait >= 0))
            .filter(|c| c.is_monday_morning() == rush && (c.queue == "Billing") == billing)
            .collect();
        let in_time = offered.iter().filter(|c| !c.abandoned && c.wait.unwrap() <= 20).count();
        let abandoned = offered.iter().filter(|c| c.abandoned).count();
        (share(in_time, offered.len()), share(abandoned, offered.len()))
    };
    let (rush, usual, elsewhere) = (level(true, true), level(false, true), level(true, false));
    assert!(rush.0 < 0.25 && usual.0 > 0.65 && elsewhere.0 > 0.60, "{rush:?} {usual:?} {elsewhere:?}");
    assert!(rush.1 > 0.25 && usual.1 < 0.08 && elsewhere.1 < 0.12, "{rush:?} {usual:?} {elsewhere:?}");
}

#[test]
fn handle_time_of_orders_shifts_from_rare_outliers_to_the_usual() {
    let talks = |queue: &str, from: i64, to: i64| -> Vec<f64> {
        let mut talks: Vec<f64> = CONTACTS
            .iter()
            .filter(|c| c.queue == queue && (from..to).contains(&c.day()))
            .filter_map(|c| c.talk.map(f64::from))
            .collect();
        talks.sort_by(f64::total_cmp);
        talks
    };
    let quantile = |sorted: &[f64], q: f64| sorted[(q * (sorted.len() - 1) as f64) as usize];
    // Until the end of August, September and October, December.
    let (before, early, late) = (talks("Orders", 0, 243), talks("Orders", 243, 304), talks("Orders", 334, 365));
    let limit = 3.0 * quantile(&before, 0.5);
    let long = |talks: &[f64]| share(talks.iter().filter(|&&talk| talk > limit).count(), talks.len());
    assert!(long(&before) < 0.015, "{}", long(&before));
    assert!((1.5 * long(&before)..0.08).contains(&long(&early)), "{}", long(&early));
    assert!(long(&late) > 0.18, "{}", long(&late));
    // At first the median is unchanged (outliers only), at the end it has moved.
    assert!(quantile(&early, 0.5) < 1.12 * quantile(&before, 0.5));
    assert!(quantile(&late, 0.5) > 1.4 * quantile(&before, 0.5));
    assert!(mean(late) > 1.7 * mean(before));
    let (other_before, other_late) = (talks("Billing", 0, 243), talks("Billing", 334, 365));
    assert!((0.85..1.15).contains(&(mean(other_late) / mean(other_before))));
}

#[test]
fn customers_leave_after_repeated_contacts() {
    let customers = read(DATA.folder.path(), "customers");
    let mut worst: HashMap<&str, usize> = HashMap::new();
    for contact in CONTACTS.iter() {
        if let Some(customer) = &contact.customer {
            let most = worst.entry(customer).or_default();
            *most = (*most).max(contact.repeats);
        }
    }
    let mut few = (0, 0);
    let mut many = (0, 0);
    for (id, left) in texts(&customers, "customer_id").into_iter().zip(seconds(&customers, "churned_at")) {
        let group = if worst.get(id.as_deref().unwrap()).copied().unwrap_or(0) >= 3 { &mut many } else { &mut few };
        group.0 += usize::from(left.is_some());
        group.1 += 1;
    }
    let (few, many) = (share(few.0, few.1), share(many.0, many.1));
    assert!(few < 0.18 && many > 0.25 && many > 1.8 * few, "{few} {many}");
}

#[test]
fn surveys_follow_resolution_and_wait() {
    let folder = DATA.folder.path();
    let surveys = read(folder, "surveys");
    let contacts: HashMap<&str, &Contact> = CONTACTS.iter().map(|contact| (contact.id.as_str(), contact)).collect();
    let (ids, kinds, scores) =
        (texts(&surveys, "interaction_id"), texts(&surveys, "kind"), integers(&surveys, "score"));
    let (mut solved, mut unsolved, mut bad) = (Vec::new(), Vec::new(), 0);
    for row in 0..surveys.num_rows() {
        let (kind, score) = (kinds[row].as_deref().unwrap(), scores[row].unwrap());
        let scale = match kind {
            "nps" => 0..=10,
            "csat" => 1..=5,
            "ces" => 1..=7,
            other => panic!("{other}"),
        };
        if !scale.contains(&score) {
            bad += 1;
        } else if kind == "nps" {
            match contacts.get(ids[row].as_deref().unwrap()).and_then(|c| c.first_contact_resolved) {
                Some(true) => solved.push(f64::from(score)),
                Some(false) => unsolved.push(f64::from(score)),
                None => {}
            }
        }
    }
    assert!(mean(solved.iter().copied()) > mean(unsolved.iter().copied()) + 2.0);
    assert!((0.003..0.015).contains(&share(bad, surveys.num_rows())), "{bad}");
    let answered = CONTACTS.iter().filter(|c| c.inbound && !c.abandoned).count();
    assert!((0.15..0.25).contains(&share(surveys.num_rows(), answered)));
}

#[test]
fn comments_go_with_the_scores_in_both_languages() {
    // Words of undisputed sentiment; the English ones have that sign in the VADER lexicon.
    const GOOD: [&str; 22] = [
        "happy",
        "great",
        "pleased",
        "good",
        "friendly",
        "thank",
        "excellent",
        "perfect",
        "impressed",
        "love",
        "helpful",
        "best",
        "满意",
        "很好",
        "不错",
        "感谢",
        "谢谢",
        "棒",
        "点赞",
        "开心",
        "顺利",
        "推荐",
    ];
    const BAD: [&str; 24] = [
        "disappointed",
        "frustrating",
        "terrible",
        "poor",
        "angry",
        "not good",
        "waste",
        "awful",
        "unacceptable",
        "rude",
        "worst",
        "useless",
        "失望",
        "生气",
        "很差",
        "糟糕",
        "浪费",
        "极差",
        "无法接受",
        "不满意",
        "恶劣",
        "投诉",
        "烦人",
        "太差",
    ];
    let surveys = read(DATA.folder.path(), "surveys");
    let (kinds, scores) = (texts(&surveys, "kind"), integers(&surveys, "score"));
    let (comments, languages) = (texts(&surveys, "comment"), texts(&surveys, "language"));
    // By language and by promoter: words that agree, words that disagree.
    let mut found: BTreeMap<(&str, bool), (usize, usize)> = BTreeMap::new();
    let mut different = HashSet::new();
    for row in 0..surveys.num_rows() {
        let Some(comment) = &comments[row] else { continue };
        different.insert(comment.clone());
        let language = languages[row].as_deref().unwrap();
        assert_eq!(language == "en", comment.is_ascii(), "{comment}");
        let promoter = match (kinds[row].as_deref(), scores[row]) {
            (Some("nps"), Some(9..=10)) => true,
            (Some("nps"), Some(0..=6)) => false,
            _ => continue,
        };
        let comment = comment.to_lowercase();
        let bad = BAD.iter().filter(|word| comment.contains(*word)).count();
        let good = GOOD.iter().filter(|word| comment.contains(*word)).count();
        let group = found.entry((language, promoter)).or_default();
        group.0 += usize::from(if promoter { good > bad } else { bad > good });
        group.1 += usize::from(if promoter { bad > good } else { good > bad });
    }
    assert_eq!(found.len(), 4);
    for ((language, promoter), (agree, disagree)) in found {
        assert!(agree > 8 * disagree.max(2), "{language} {promoter} {agree} {disagree}");
    }
    assert!(different.len() > 1500, "{}", different.len());
    let chinese = CONTACTS.iter().filter(|contact| contact.language == "zh").count();
    assert!((0.18..0.30).contains(&share(chinese, CONTACTS.len())));
    for contact in CONTACTS.iter() {
        if let Some(text) = &contact.text {
            assert_eq!(contact.language == "en", text.is_ascii(), "{text}");
        }
    }
}

#[test]
fn shoppers_drop_off_step_by_step_and_purchases_are_orders() {
    let folder = DATA.folder.path();
    let events = read(folder, "events");
    let (sessions, names) = (texts(&events, "session_id"), texts(&events, "event"));
    let (customers, times) = (texts(&events, "customer_id"), seconds(&events, "occurred_at"));
    let mut steps: HashMap<&str, HashSet<&str>> = HashMap::new();
    for row in 0..events.num_rows() {
        let is_new = steps.entry(sessions[row].as_deref().unwrap()).or_default().insert(names[row].as_deref().unwrap());
        assert!(is_new, "a step twice in a session");
    }
    let reached = |step: &str| steps.values().filter(|steps| steps.contains(step)).count();
    let shopping = steps.values().filter(|steps| !steps.contains("contact")).count();
    let chain = ["search", "product", "cart", "checkout", "purchase"].map(reached);
    assert!(chain[0] < shopping && chain.is_sorted_by(|a, b| a > b), "{shopping} {chain:?}");
    assert!((0.05..0.16).contains(&share(chain[4], shopping)), "{shopping} {chain:?}");
    let orders = read(folder, "orders");
    let orders: HashSet<(Option<String>, Option<i64>)> =
        texts(&orders, "customer_id").into_iter().zip(seconds(&orders, "ordered_at")).collect();
    for row in (0..events.num_rows()).filter(|&row| names[row].as_deref() == Some("purchase")) {
        assert!(orders.contains(&(customers[row].clone(), times[row])));
    }
}

#[test]
fn agent_states_agree_with_the_contacts_of_the_weeks_they_cover() {
    let states = read(DATA.folder.path(), "agent_states");
    let names = texts(&states, "state");
    let (from, to) = (seconds(&states, "started_at"), seconds(&states, "ended_at"));
    let mut weeks = HashSet::new();
    let mut on_contact = 0;
    for row in 0..states.num_rows() {
        let (from, to) = (from[row].unwrap(), to[row].unwrap());
        weeks.insert((from / DAY + 3) / 7);
        if names[row].as_deref() == Some("on_contact") {
            on_contact += to - from;
        }
    }
    assert_eq!(weeks.len(), 13);
    let talked: i64 = CONTACTS
        .iter()
        .filter(|c| c.wait.is_none_or(|wait| wait >= 0))
        .filter(|c| weeks.contains(&(((c.started + i64::from(c.wait.unwrap_or(0))) / DAY + 3) / 7)))
        .map(|c| i64::from(c.talk.unwrap_or(0) + c.hold.unwrap_or(0)))
        .sum();
    let ratio = on_contact as f64 / talked as f64;
    assert!((0.97..1.03).contains(&ratio), "{ratio}");
}

#[test]
fn dirt_has_the_shares_of_the_story() {
    let table = read(DATA.folder.path(), "interactions");
    let rows = table.num_rows();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut duplicates = 0;
    for (row, id) in texts(&table, "interaction_id").into_iter().enumerate() {
        if let Some(first) = seen.insert(id.unwrap(), row) {
            duplicates += 1;
            assert_eq!(table.slice(first, 1), table.slice(row, 1));
        }
    }
    let topics = texts(&table, "topic");
    let variants = topics.iter().flatten().filter(|label| clean_topic(label) != label.as_str()).count();
    let channels = texts(&table, "channel");
    let channel_variants = channels.iter().flatten().filter(|label| clean_channel(label) != label.as_str()).count();
    let missing = |name: &str| column(&table, name).null_count();
    let (abandoned, agents, ended) =
        (flags(&table, "is_abandoned"), texts(&table, "agent_id"), seconds(&table, "ended_at"));
    let no_agent =
        (0..rows).filter(|&row| agents[row].is_none() && abandoned[row] == Some(false) && ended[row].is_some()).count();
    // Planted error, its observed share, its expected share.
    for (what, count, expected) in [
        ("duplicate", duplicates, 0.003),
        ("topic label", variants, 0.02),
        ("channel label", channel_variants, 0.01),
        ("topic missing", missing("topic"), 0.006),
        ("agent missing", no_agent, 0.004),
        ("customer missing", missing("customer_id"), 0.005),
    ] {
        let found = share(count, rows);
        assert!((0.6 * expected..1.5 * expected).contains(&found), "{what} {found} {expected}");
    }
    for label in ["Tech Support", "TECHNICAL SUPPORT ", "Billing "] {
        assert!(topics.iter().flatten().any(|topic| topic == label), "{label}");
    }
}

// Folders and failures.

#[test]
fn a_folder_with_other_files_is_kept_and_filled() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("README.md"), "mine").unwrap();
    cxql_demo::write(folder.path(), &Options { contacts: 50, seed: 1 }, &mut |_| {}).unwrap();
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "README.md",
            "agent_states.parquet",
            "agents.parquet",
            "customers.parquet",
            "events.parquet",
            "interactions",
            "orders.parquet",
            "surveys.parquet"
        ]
    );
    assert_eq!(fs::read_to_string(folder.path().join("README.md")).unwrap(), "mine");
}

#[test]
fn a_table_in_the_way_is_named_and_nothing_is_written() {
    for name in ["orders.parquet", "interactions.parquet", "surveys"] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name), "mine").unwrap();
        let error = cxql_demo::write(folder.path(), &Options::default(), &mut |_| {}).unwrap_err();
        assert!(matches!(&error, DemoError::Exists { path } if path.ends_with(name)), "{error}");
        assert!(error.to_string().contains("remove it, or choose another folder"), "{error}");
        assert_eq!(relative_bytes(folder.path()), BTreeMap::from([(PathBuf::from(name), b"mine".to_vec())]));
    }
}

#[test]
fn a_table_that_appears_meanwhile_is_not_overwritten() {
    let options = Options { contacts: 50, seed: 1 };
    // In an existing folder.
    let folder = TempDir::new().unwrap();
    let late = folder.path().join("surveys.parquet");
    let error = cxql_demo::write(folder.path(), &options, &mut |_| fs::write(&late, "mine").unwrap()).unwrap_err();
    assert!(matches!(error, DemoError::Exists { .. }), "{error}");
    assert_eq!(relative_bytes(folder.path()), BTreeMap::from([(PathBuf::from("surveys.parquet"), b"mine".to_vec())]));
    // In a new folder.
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("new");
    let late = target.join("surveys.parquet");
    let error = cxql_demo::write(&target, &options, &mut |_| {
        fs::create_dir_all(&target).unwrap();
        fs::write(&late, "mine").unwrap();
    })
    .unwrap_err();
    assert!(matches!(error, DemoError::Io { .. }), "{error}");
    assert_eq!(
        relative_bytes(folder.path()),
        BTreeMap::from([(PathBuf::from("new/surveys.parquet"), b"mine".to_vec())])
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn nothing_is_left_when_the_caller_panics_in_the_middle() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("new");
    let mut days = 0;
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cxql_demo::write(&target, &Options { contacts: 5000, seed: 1 }, &mut |_| {
            days += 1;
            assert!(days < 200, "stopped on purpose");
        })
    }));
    assert!(stopped.is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn missing_parents_are_created() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("a/b/c");
    cxql_demo::write(&target, &Options { contacts: 5, seed: 1 }, &mut |_| {}).unwrap();
    assert_eq!(relative_bytes(&target).len(), 7);
    assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
}

#[test]
fn a_file_as_target_or_parent_and_a_wrong_number_are_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let options = Options { contacts: 5, seed: 1 };
    let error = cxql_demo::write(&file, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, DemoError::NotAFolder { .. }), "{error}");
    let error = cxql_demo::write(&file.join("below"), &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, DemoError::Io { .. }), "{error}");
    for contacts in [0, u64::MAX] {
        let error =
            cxql_demo::write(&folder.path().join("new"), &Options { contacts, seed: 1 }, &mut |_| {}).unwrap_err();
        assert!(matches!(error, DemoError::Contacts { .. }), "{error}");
        assert!(error.to_string().contains("ask for 1 to"), "{error}");
    }
    assert_eq!(relative_bytes(folder.path()), BTreeMap::from([(PathBuf::from("file"), b"mine".to_vec())]));
}

//! The sample data of all tests, and its columns.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_select::concat::concat_batches;
use cxql_demo::{Options, Summary};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

pub(super) const DAY: i64 = 86_400;
/// 2025-01-01 and 2026-01-01, in Unix seconds.
pub(super) const START: i64 = 1_735_689_600;
pub(super) const END: i64 = START + 365 * DAY;

/// The default data, written once for all tests.
pub(super) struct Default20k {
    pub(super) folder: TempDir,
    pub(super) summary: Summary,
}

pub(super) static DATA: LazyLock<Default20k> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let summary = cxql_demo::write(folder.path(), &Options::default(), &mut |_| {}).unwrap();
    Default20k { folder, summary }
});

pub(super) fn files_of(folder: &Path, table: &str) -> Vec<PathBuf> {
    let single = folder.join(format!("{table}.parquet"));
    if single.exists() {
        return vec![single];
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.join(table)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

pub(super) fn read(folder: &Path, table: &str) -> RecordBatch {
    let mut batches = Vec::new();
    for file in files_of(folder, table) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

pub(super) fn column<'a>(table: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    table.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"))
}

pub(super) fn texts(table: &RecordBatch, name: &str) -> Vec<Option<String>> {
    column(table, name).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

pub(super) fn seconds(table: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    column(table, name).as_primitive::<TimestampMicrosecondType>().iter().map(|t| t.map(|t| t / 1_000_000)).collect()
}

pub(super) fn integers(table: &RecordBatch, name: &str) -> Vec<Option<i32>> {
    column(table, name).as_primitive::<Int32Type>().iter().collect()
}

pub(super) fn flags(table: &RecordBatch, name: &str) -> Vec<Option<bool>> {
    column(table, name).as_boolean().iter().collect()
}

pub(super) fn share(part: usize, whole: usize) -> f64 {
    assert!(whole > 0);
    part as f64 / whole as f64
}

pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    assert!(!values.is_empty());
    values.iter().sum::<f64>() / values.len() as f64
}

/// A contact after cleaning: no duplicates, clean labels, no planted future.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    pub(super) id: String,
    pub(super) customer: Option<String>,
    pub(super) started: i64,
    pub(super) ended: Option<i64>,
    pub(super) channel: String,
    pub(super) inbound: bool,
    pub(super) queue: String,
    pub(super) agent: Option<String>,
    pub(super) topic: Option<&'static str>,
    pub(super) product: String,
    pub(super) wait: Option<i32>,
    pub(super) talk: Option<i32>,
    pub(super) hold: Option<i32>,
    pub(super) abandoned: bool,
    pub(super) resolved: Option<bool>,
    pub(super) text: Option<String>,
    pub(super) language: String,
    /// `None` for a repeat contact, or one whose window has not elapsed by the end of 2025.
    pub(super) first_contact_resolved: Option<bool>,
    /// Earlier contacts of the customer on the topic, each within 30 days of the next.
    pub(super) repeats: usize,
}

impl Contact {
    pub(super) fn weekday(&self) -> i64 {
        // 1970-01-01 was a Thursday; Monday is 0.
        (self.started.div_euclid(DAY) + 3).rem_euclid(7)
    }

    pub(super) fn hour(&self) -> i64 {
        self.started.rem_euclid(DAY) / 3600
    }

    pub(super) fn day(&self) -> i64 {
        (self.started - START).div_euclid(DAY)
    }

    pub(super) fn is_monday_morning(&self) -> bool {
        self.weekday() == 0 && (8..11).contains(&self.hour())
    }

    pub(super) fn is_live(&self) -> bool {
        self.inbound && (self.channel == "phone" || self.channel == "chat")
    }
}

/// The clean label of a variant spelling.
pub(super) fn clean_topic(label: &str) -> &'static str {
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

pub(super) fn clean_channel(label: &str) -> &'static str {
    match label.trim().to_lowercase().as_str() {
        "phone" => "phone",
        "chat" | "live chat" => "chat",
        "email" | "e-mail" => "email",
        "web" => "web",
        "social" | "social media" => "social",
        other => panic!("a channel that is not in the story: {other}"),
    }
}

pub(super) fn contacts_of(folder: &Path) -> Vec<Contact> {
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

pub(super) static CONTACTS: LazyLock<Vec<Contact>> = LazyLock::new(|| contacts_of(DATA.folder.path()));

pub(super) fn fcr<'a>(contacts: impl Iterator<Item = &'a Contact>) -> (f64, usize) {
    let known: Vec<bool> = contacts.filter_map(|contact| contact.first_contact_resolved).collect();
    (share(known.iter().filter(|&&resolved| resolved).count(), known.len()), known.len())
}

pub(super) fn bytes_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

pub(super) fn relative_bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    bytes_of(folder).into_iter().map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes)).collect()
}

pub(super) const TABLES: [&str; 7] =
    ["interactions", "surveys", "customers", "orders", "events", "agents", "agent_states"];

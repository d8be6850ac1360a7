//! [`KeyScanCache`]: what is known about the keys of files, so that the statements of a session read them once.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use parking_lot::Mutex;

use super::key_scan::KeyScan;

/// Most bytes of all sets together: 2 million repeated keys.
const MAX_BYTES: usize = 64 << 20;

/// The results of key scans, the least recently used first.
#[derive(Debug, Default)]
pub(crate) struct KeyScanCache(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    key: String,
    scan: KeyScan,
    bytes: usize,
}

impl KeyScanCache {
    pub(super) fn get(&self, key: &str) -> Option<KeyScan> {
        let mut entries = self.0.lock();
        let index = entries.iter().position(|entry| entry.key == key)?;
        let entry = entries.remove(index);
        let scan = entry.scan.clone();
        entries.push(entry);
        Some(scan)
    }

    pub(super) fn put(&self, key: String, scan: &KeyScan) {
        let bytes = match scan {
            KeyScan::Few(repeated) => repeated.bytes() + key.len(),
            KeyScan::Positions(positions) => positions.bytes() + key.len(),
            KeyScan::Many => key.len(),
            // the next query may have the memory
            KeyScan::NoMemory => return,
        };
        if bytes > MAX_BYTES {
            return;
        }
        let mut entries = self.0.lock();
        entries.retain(|entry| entry.key != key);
        let mut total: usize = bytes + entries.iter().map(|entry| entry.bytes).sum::<usize>();
        while total > MAX_BYTES && !entries.is_empty() {
            total -= entries.remove(0).bytes;
        }
        entries.push(Entry { key, scan: scan.clone(), bytes });
    }
}

/// What identifies the keys that a plan reads: files with size and time of change, key columns, conditions. Another role reads
/// other rows by another condition. `None` if the plan reads anything but Parquet files whose time of change is known.
///
/// Expressions are written in their debug form, in which a column differs from a string of the same letters.
pub(super) fn cache_key(keys: &Arc<dyn ExecutionPlan>) -> Option<String> {
    let mut key = String::new();
    let mut plan = keys;
    loop {
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            write!(key, "{:?};", projection.expr().iter().map(|expr| &expr.expr).collect::<Vec<_>>()).ok()?;
        } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            write!(key, "{:?} {:?};", filter.predicate(), filter.projection()).ok()?;
        } else if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
            write_scan(&mut key, scan)?;
            return Some(key);
        } else if !plan.is::<CooperativeExec>() && !plan.is::<RepartitionExec>() {
            return None;
        }
        plan = plan.children().first().copied()?;
    }
}

fn write_scan(key: &mut String, scan: &DataSourceExec) -> Option<()> {
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let source = config.file_source().downcast_ref::<ParquetSource>()?;
    let columns = source.projection().map(|columns| columns.iter().map(|column| &column.expr).collect::<Vec<_>>());
    // without metadata, which are written in another order each time
    let schema = source.table_schema().table_schema();
    let fields: Vec<_> = schema.fields().iter().map(|field| (field.name(), field.data_type())).collect();
    write!(key, "{columns:?} {:?} {fields:?} {};", source.filter(), config.object_store_url.as_str()).ok()?;
    // a file is there once for each of its ranges
    let mut files = BTreeSet::new();
    for file in config.file_groups.iter().flat_map(|group| group.iter()) {
        let meta = &file.object_meta;
        if meta.last_modified.timestamp() <= 0 {
            return None;
        }
        files.insert(format!(
            "{:?} {} {:?} {:?} {:?} {:?}",
            meta.location, meta.size, meta.last_modified, meta.e_tag, meta.version, file.partition_values
        ));
    }
    write!(key, "{files:?}").ok()
}

#[cfg(test)]
mod tests {
    use super::super::repeated_hashes::RepeatedHashes;
    use super::*;

    fn few(count: u64) -> KeyScan {
        KeyScan::Few(Arc::new(RepeatedHashes::new(&(1..=count).collect::<Vec<_>>())))
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = KeyScanCache::default();
        // of these, two to four fit
        let sizes = (10..30).map(|bits| 1 << bits);
        let bytes = |count: u64| RepeatedHashes::bytes_of(count as usize);
        let large = sizes.filter(|&count| bytes(count) <= MAX_BYTES / 2).max().unwrap();
        let bytes = bytes(large);
        assert!(bytes * 5 > MAX_BYTES);
        cache.put("a".into(), &few(large));
        cache.put("b".into(), &KeyScan::Many);
        cache.put("c".into(), &KeyScan::NoMemory);
        assert!(cache.get("c").is_none());
        assert!(cache.get("a").is_some());
        for name in ["d", "e", "f"] {
            cache.put(name.into(), &few(large));
        }
        // b was used before a
        assert!(cache.get("b").is_none() && cache.get("f").is_some());
        assert_eq!(cache.0.lock().iter().map(|entry| entry.bytes).sum::<usize>() / bytes, MAX_BYTES / bytes);
    }
}

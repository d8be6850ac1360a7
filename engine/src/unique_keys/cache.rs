//! [`KeyScanCache`]: what is known about the keys of files, so that the statements of a session read them once.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use parking_lot::Mutex;
use tokio::task::JoinError;

use super::key_scan::KeyScan;
use super::store::KeyScanStore;

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
    /// What is known of these keys, here or in the store.
    ///
    /// # Errors
    /// The runtime ended.
    pub(super) async fn get(&self, key: &str, store: Option<&Arc<KeyScanStore>>) -> Result<Option<KeyScan>> {
        let known = self.known(key);
        let (None, Some(store)) = (&known, store.cloned()) else { return Ok(known) };
        let text = key.to_string();
        let stored = SpawnedTask::spawn_blocking(move || store.get(&text)).await.map_err(task_error)?;
        if let Some(scan) = &stored {
            self.keep(key.to_string(), scan);
        }
        Ok(stored)
    }

    /// Keeps what is known of these keys, here and in the store.
    ///
    /// # Errors
    /// The runtime ended.
    pub(super) async fn put(&self, key: String, scan: &KeyScan, store: Option<&Arc<KeyScanStore>>) -> Result<()> {
        self.keep(key.clone(), scan);
        if let Some(store) = store.cloned() {
            let scan = scan.clone();
            SpawnedTask::spawn_blocking(move || store.put(&key, &scan)).await.map_err(task_error)?;
        }
        Ok(())
    }

    fn known(&self, key: &str) -> Option<KeyScan> {
        let mut entries = self.0.lock();
        let index = entries.iter().position(|entry| entry.key == key)?;
        let entry = entries.remove(index);
        let scan = entry.scan.clone();
        entries.push(entry);
        Some(scan)
    }

    fn keep(&self, key: String, scan: &KeyScan) {
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

fn task_error(error: JoinError) -> DataFusionError {
    DataFusionError::ExecutionJoin(Box::new(error))
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
            if projection.expr().iter().any(|expr| has_outer_values(&expr.expr)) {
                return None;
            }
            write!(key, "{:?};", projection.expr().iter().map(|expr| &expr.expr).collect::<Vec<_>>()).ok()?;
        } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            if has_outer_values(filter.predicate()) {
                return None;
            }
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

/// Whether an expression has values that another part of the plan computes, which its debug form may not show.
fn has_outer_values(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let is_outer =
        |expr: &Arc<dyn PhysicalExpr>| Ok(expr.is::<ScalarSubqueryExpr>() || expr.is::<DynamicFilterPhysicalExpr>());
    expr.exists(is_outer).unwrap_or(true)
}

fn write_scan(key: &mut String, scan: &DataSourceExec) -> Option<()> {
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let source = config.file_source().downcast_ref::<ParquetSource>()?;
    if source.filter().iter().any(has_outer_values) {
        return None;
    }
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
        cache.keep("a".into(), &few(large));
        cache.keep("b".into(), &KeyScan::Many);
        cache.keep("c".into(), &KeyScan::NoMemory);
        assert!(cache.known("c").is_none());
        assert!(cache.known("a").is_some());
        for name in ["d", "e", "f"] {
            cache.keep(name.into(), &few(large));
        }
        // b was used before a
        assert!(cache.known("b").is_none() && cache.known("f").is_some());
        assert_eq!(cache.0.lock().iter().map(|entry| entry.bytes).sum::<usize>() / bytes, MAX_BYTES / bytes);
    }
}

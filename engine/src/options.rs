//! [`EngineOptions`]: a switch for each rule and the thresholds of operators, `cxql.engine.*`.

use std::any::Any;
use std::fmt::Display;
use std::ops::RangeInclusive;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{DataFusionError, Result, config_err};

/// A value that an option can have.
trait OptionValue: Copy + Display + PartialEq {
    const WANTED: &'static str;
    fn parse(text: &str) -> Option<Self>;
    fn is_within(self, range: Option<&RangeInclusive<usize>>) -> bool;
    /// Whether this is a switch that is on.
    fn is_on(self) -> bool;
}

impl OptionValue for bool {
    const WANTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        text.to_ascii_lowercase().parse().ok()
    }

    fn is_within(self, _range: Option<&RangeInclusive<usize>>) -> bool {
        true
    }

    fn is_on(self) -> bool {
        self
    }
}

impl OptionValue for usize {
    const WANTED: &'static str = "an integer";

    fn parse(text: &str) -> Option<Self> {
        // a size may have a unit, a power of 1024: `64KB`
        let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '_')).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: usize = match unit.trim().to_ascii_lowercase().as_str() {
            "" => 1,
            "kb" | "kib" => 1 << 10,
            "mb" | "mib" => 1 << 20,
            "gb" | "gib" => 1 << 30,
            _ => return None,
        };
        number.replace('_', "").parse::<usize>().ok()?.checked_mul(factor)
    }

    fn is_within(self, range: Option<&RangeInclusive<usize>>) -> bool {
        range.is_none_or(|range| range.contains(&self))
    }

    fn is_on(self) -> bool {
        false
    }
}

fn parsed<T: OptionValue>(key: &str, text: &str, range: Option<RangeInclusive<usize>>) -> Result<T> {
    // only sizes have a unit
    let has_unit = text.trim().ends_with(['b', 'B']) && !key.ends_with("_bytes");
    match T::parse(text.trim()).filter(|_| !has_unit).filter(|value| value.is_within(range.as_ref())) {
        Some(value) => Ok(value),
        None => {
            let range = range.map(|range| format!(" from {} to {}", range.start(), range.end())).unwrap_or_default();
            let size = if key.ends_with("_bytes") { ", such as 65536 or 64KB" } else { "" };
            config_err!("cxql.engine.{key} is {}{range}{size}, got `{text}`", T::WANTED)
        }
    }
}

macro_rules! engine_options {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr $(, within $range:expr)?;)+) => {
        /// The options `cxql.engine.*`: a switch for each rule, named as the rule, and the thresholds of rules and operators.
        ///
        /// A session without this extension has the default values.
        #[derive(Debug, Clone, PartialEq)]
        pub struct EngineOptions {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for EngineOptions {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl EngineOptions {
            /// The names of all options, without prefix.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            fn assign(&mut self, key: &str, value: &str) -> Result<()> {
                match key {
                    $(stringify!($name) => self.$name = parsed(key, value, None$(.or(Some($range)))?)?,)+
                    _ => return config_err!("there is no option cxql.engine.{key}; there are {}", Self::NAMES.join(", ")),
                }
                Ok(())
            }

            /// Whether the rule of this name is on. A rule without a switch is an error of this crate, found by a test.
            pub(crate) fn is_on(&self, rule: &str) -> bool {
                match rule {
                    $(stringify!($name) => self.$name.is_on(),)+
                    _ => false,
                }
            }

            /// Name, value, default value and description of every option.
            pub fn describe(&self) -> Vec<OptionDescription> {
                let default = Self::default();
                vec![$(OptionDescription {
                    name: stringify!($name),
                    value: self.$name.to_string(),
                    default: default.$name.to_string(),
                    description: concat!($($doc),+).trim(),
                }),+]
            }
        }
    };
}

/// One option as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionDescription {
    /// Its name without prefix.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The value that it has where nothing is set.
    pub default: String,
    /// What it does, with unit.
    pub description: &'static str,
}

engine_options! {
    /// Rule: shows UTC timestamps of tables and literals in the time zone of the session, with local days and hours.
    session_time_zone: bool = true;
    /// Planning: the key of `full join ... using (k)` and of natural joins is that of the side that has the row; `any(array)` is three-valued; operators bind as in PostgreSQL; clauses that DataFusion ignores are errors; literals that are cast to decimals keep their digits; calls that differ in a cast alone have names of their own; `mod`, `max_by`, `listagg` and other functions of PostgreSQL, DuckDB and Snowflake.
    sql_rewrites: bool = true;
    /// Rule: subqueries that DataFusion answers wrongly or refuses are joined.
    subqueries: bool = true;
    /// Rule: `INTERSECT ALL` and `EXCEPT ALL` count duplicates.
    multiset_operations: bool = true;
    /// Rule: `LIKE ... ESCAPE` takes any character.
    like_escape: bool = true;
    /// Rule: an equality does not become a key of a join in which NULL equals NULL (`is not distinct from`).
    equijoin_keys: bool = true;
    /// Rule: the functions of a window operator have the same keys, also where these are common expressions.
    window_keys: bool = true;
    /// Rule: casts string views to plain strings below DataFusion's own window operators.
    plain_window_strings: bool = true;
    /// Rule: a decimal beside a float is a double; a date or time beside a number, and a cast of one to the other, is an error.
    mixed_types: bool = true;
    /// Rule: offsets of RANGE frames fit the type of ORDER BY, and frames may go beyond its range.
    range_frames: bool = true;
    /// Rule: integer arithmetic is exact or an error; casts and quotients of decimals round.
    exact_arithmetic: bool = true;
    /// Rule: dates and timestamps compare with timestamps in nanoseconds also beyond their range, 1677 to 2262, and constants keep their nanoseconds.
    timestamp_comparison: bool = true;
    /// Rule: casts between local and zoned times, and of strings to timestamps and intervals, as PostgreSQL makes them.
    temporal_casts: bool = true;
    /// Rule: compares, sorts and groups intervals by their length, with months of 30 days and days of 24 hours.
    interval_comparison: bool = true;
    /// Rule: -0.0 equals 0.0, and NaN equals NaN and is the largest value, in keys and comparisons, also inside lists and structs.
    float_equality: bool = true;
    /// Rule: adds intervals to UTC timestamps without a time-zone lookup per row.
    utc_interval_arithmetic: bool = true;
    /// Rule: computes several `percentile_cont` of the same values in one aggregate.
    merge_percentiles: bool = true;
    /// Rule: Parquet statistics, which leave NaN out, do not replace a float column by a constant.
    float_statistics: bool = true;
    /// Rule: chooses the build side of hash joins by estimates through aggregates and filters.
    build_side_selection: bool = true;
    /// Rows of a build side from which sides are swapped by estimate.
    build_side_min_rows: usize = 100_000;
    /// Most rows of a build side that is collected once for all threads.
    build_side_collect_rows: usize = 2_000_000;
    /// Most bytes of a build side that is collected once for all threads.
    build_side_collect_bytes: usize = 128 << 20;
    /// How many times as many rows per thread the probe side must have for the build side to be collected; from 1 to 1,000,000.
    build_side_collect_ratio: usize = 4, within 1..=1_000_000;
    /// Rule: computes window functions with PARTITION BY over hash partitions, without sorting.
    hash_window_agg: bool = true;
    /// Rule: window functions over the same partitions share one operator, also those of several views.
    merge_windows: bool = true;
    /// Rule: computes window functions without PARTITION BY over row numbers sorted in parallel.
    unpartitioned_window: bool = true;
    /// Rule: windows of which the filter above wants the first rows of each partition (`row_number() ... <= 2`) buffer no others.
    window_fetch: bool = true;
    /// Rule: evaluates windows over the rows of repeated keys only.
    unique_keys: bool = true;
    /// Rows of an input, as far as known, from which the rows of repeated keys are separated.
    unique_keys_min_rows: usize = 100_000;
    /// Most bytes of the rows of repeated keys; more are not buffered but read again.
    unique_keys_buffer_bytes: usize = 128 << 20;
    /// Whether what is known of the keys of files is kept in the cache folder for other processes.
    key_cache: bool = true;
    /// Rule: aggregates over clustered rows chunk by chunk.
    clustered_aggregation: bool = true;
    /// Rule: operators over clustered rows get batches in which no partition is split.
    unsplit_partitions: bool = true;
    /// Rule: joins and grouping sets do not claim an order that their rows do not have.
    ordering_claims: bool = true;
    /// Rule: filters are not pushed by name through projections in which a name is there twice (`a.k` and `b.k`).
    duplicate_names: bool = true;
    /// Rule: dictionaries of integers are plain integers as keys of hash joins, and all dictionaries are where NULL equals NULL.
    dictionary_keys: bool = true;
    /// Rule: expressions over one string column are evaluated once per distinct string.
    dictionary_evaluation: bool = true;
    /// Most distinct strings of such a column; with more, its expressions are evaluated row by row. From 1 to 65,535.
    dictionary_evaluation_values: usize = 4096, within 1..=65_535;
    /// Rule: groups by low-cardinality keys through a directly indexed table.
    perfect_hash_aggregation: bool = true;
    /// Bits of the codes of all keys of a group, from 1 to 24: the table has at most two to this power slots, of 4 bytes each per input partition.
    perfect_hash_bits: usize = 18, within 1..=24;
    /// Rule: Parquet scans below such aggregates and expressions emit dictionary arrays.
    dictionary_scan: bool = true;
    /// Most bytes of a column chunk's dictionary for a dictionary scan.
    dictionary_scan_bytes: usize = 64 << 10;
    /// Rule: views and common table expressions that a run reads several times are computed once.
    shared_subplans: bool = true;
    /// Rule: joins and unnest yield to the scheduler after each batch.
    cooperative_joins: bool = true;
    /// Rule: DataFusion's window operator that keeps all rows accounts for them.
    window_memory: bool = true;
    /// Rule: files that COPY and INSERT write appear when all rows are written, or not at all.
    staged_writes: bool = true;
    /// Rule: drops probe rows of string joins by a Bloom filter of the build side.
    join_bloom_filter: bool = true;
    /// Bits of the Bloom filter per key of the build side, at least; from 1 to 64.
    bloom_filter_bits: usize = 8, within 1..=64;
    /// Probe rows of an input partition after which a filter that drops less than half is disabled; from 1 to 1,000,000,000.
    bloom_filter_sample_rows: usize = 32_768, within 1..=1_000_000_000;
    /// Repaired built-in functions (counts and ranks as `bigint`, `sum`, `avg`, `min`, `max`, sliding variances, `date_part`, `date_trunc`, `to_timestamp`, `percentile_cont`, `lag`, `lead`); off, the faults of DataFusion are back. Read when a session is built, `SET` refuses it.
    function_overrides: bool = true;
}

/// The former name of the switch for windows.
const GROUPED_WINDOWS: &str = "grouped_windows";

impl EngineOptions {
    /// Every switch off: plans and functions are DataFusion's own.
    pub fn off() -> Self {
        let mut options = Self::default();
        for description in options.describe().iter().filter(|option| option.default == "true") {
            // a switch takes `false`
            let _ = options.assign(description.name, "false");
        }
        options
    }

    /// Sets an option by its name without prefix.
    ///
    /// # Errors
    /// There is no such option, or the value is not one of its type and range.
    pub fn with_option(mut self, name: &str, value: &str) -> Result<Self> {
        self.assign(name, value)?;
        Ok(self)
    }

    /// The options of a session; the default values if it has none.
    pub fn of(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
    }
}

impl ConfigExtension for EngineOptions {
    const PREFIX: &'static str = "cxql";
}

impl ExtensionOptions for EngineOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key.strip_prefix("engine.") {
            Some("function_overrides") => {
                config_err!("cxql.engine.function_overrides is read when a session is built: set it there")
            }
            Some(name) => self.assign(name, value),
            None if key == GROUPED_WINDOWS => self.assign("hash_window_agg", value),
            None => Err(DataFusionError::Configuration(format!(
                "there is no option cxql.{key}; options are cxql.engine.NAME"
            ))),
        }
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |option: OptionDescription| ConfigEntry {
            key: format!("{}.engine.{}", Self::PREFIX, option.name),
            value: Some(option.value),
            description: option.description,
        };
        self.describe().into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_by_name() {
        let mut config = ConfigOptions::new();
        config.extensions.insert(EngineOptions::default());
        config.set("cxql.engine.perfect_hash_bits", "10").unwrap();
        config.set("cxql.engine.join_bloom_filter", "FALSE").unwrap();
        config.set("cxql.grouped_windows", "false").unwrap();
        config.set("cxql.engine.dictionary_scan_bytes", "64 KB").unwrap();
        config.set("cxql.engine.build_side_collect_bytes", "1GiB").unwrap();
        let options = EngineOptions::of(&config);
        assert_eq!(options.perfect_hash_bits, 10);
        assert_eq!((options.dictionary_scan_bytes, options.build_side_collect_bytes), (65_536, 1 << 30));
        assert!(!options.join_bloom_filter && !options.hash_window_agg && options.dictionary_scan);
        for (key, value, expected) in [
            ("cxql.engine.dictionary_scan_bytes", "64 apples", "such as 65536 or 64KB, got `64 apples`"),
            ("cxql.engine.build_side_min_rows", "64KB", "is an integer, got `64KB`"),
            ("cxql.engine.perfect_hash_bits", "99", "from 1 to 24, got `99`"),
            ("cxql.engine.dictionary_scan", "maybe", "is true or false, got `maybe`"),
            ("cxql.engine.hash_windows", "true", "no option cxql.engine.hash_windows; there are session_time_zone"),
            ("cxql.windows", "true", "options are cxql.engine.NAME"),
            ("cxql.engine.function_overrides", "true", "when a session is built"),
        ] {
            let error = config.set(key, value).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(EngineOptions::of(&config), options);
    }

    #[test]
    fn off_leaves_no_switch_on() {
        assert!(EngineOptions::off().describe().iter().all(|option| option.value != "true"));
        assert!(EngineOptions::default().describe().iter().any(|option| option.value == "true"));
        assert_eq!(EngineOptions::of(&ConfigOptions::new()), EngineOptions::default());
    }
}

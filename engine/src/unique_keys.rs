//! [`UniqueKeysExec`]: windows over the rows of repeated keys only.
//!
//! Data of this field has each contact once, but for a few that were delivered twice. Windows that choose among the rows of a key
//! (`row_number() over (partition by interaction_id order by ended_at desc) = 1`) would buffer ten million rows to find thirty
//! thousand. Where a key occurs once, the value of every supported function is known without them.
//!
//! ```text
//!  keys      key columns only:  hashes of all rows  -->  hashes that occur more than once
//!                                                              |
//!  rows      all columns  -->  hash among them? -- no -->  unique: constants in place of the functions  --> output
//!                                    |
//!                                    + yes, set aside -->  windows, when all partitions have read their rows --> output
//! ```
//!
//! `row_number() over (partition by id order by at desc)`:
//!
//! ```text
//!  input               output
//!  +----+-------+      +----+-------+---+
//!  | id | at    |      | id | at    | n |
//!  +----+-------+      +----+-------+---+
//!  | a  | 09:00 |      | b  | 09:10 | 1 |   passed on, n is a constant
//!  | b  | 09:10 |      | a  | 09:40 | 1 |   set aside, then evaluated
//!  | a  | 09:40 |      | a  | 09:00 | 2 |
//!  +----+-------+      +----+-------+---+
//! ```
//! Two keys with the same hash are set aside together, which the windows do not mind: they compare keys. NULL is a key.
//!
//! # When it is chosen
//!
//! The rule `unique_keys` (`optimizer/unique_keys.rs`) replaces a stack of windows, filters and projections where
//!
//! - all windows are partitioned by a column of the input, the same, and perhaps others;
//! - the value of every function over a partition of one row is known (`window/functions/single_row.rs`);
//! - the input can be read twice: files or memory below projections and filters without a limit or a random function;
//! - the input has at least `cxql.engine.unique_keys_min_rows` rows as far as known.
//!
//! # Many repeated keys
//!
//! More than a quarter of repeated rows is not worth it: all rows go through the windows, as without the rule (metric
//! `unsplit`). After 262,144 rows the share is estimated, so that windows over customers read little twice. The same happens
//! when the hashes do not get their memory.
//!
//! # Places of rows
//!
//! Over Parquet files the scan of the keys notes where the rows of repeated keys are (`positions.rs`). The rows of unique keys are
//! then read without their keys and whatever else the windows alone need, and the others without them:
//!
//! ```text
//!  keys        key columns, place in the file  -->  places of repeated keys
//!  unique      columns of the output, at all other places  -->  constants in place of the functions  --> output
//!  repeated    all columns, at these places    -->  windows                                          --> output
//! ```
//! Of a count by topic over ten million contacts, that reads the topics alone. With more than one repeated row or interrupted
//! stretch in 32 rows, hashes separate the rows as above.
//!
//! # Several partitions
//!
//! Where hashes separate the rows: an output partition emits the unique rows of its input. The one that is the last to end runs the windows and emits their rows.
//! No partition waits for another, in whatever order they are polled. If rows of a key are in one output partition and adjacent
//! below, they are so here: the output is clustered as that of the windows.
//!
//! # Memory
//!
//! Eight bytes per row for the hashes until the repeated ones are found, and their places. The rows set aside, up to
//! `cxql.engine.unique_keys_buffer_bytes`; beyond that they are dropped and read again (metric `second_scans`). Both are
//! accounted for.
//!
//! # Cache
//!
//! The repeated hashes or places of Parquet files are kept with the session, by files with size and time of change, key columns and
//! conditions (`cache.rs`): the next statement does not read the keys (metric `key_scans` is 0). With a [`KeyScanStore`] among the
//! extensions of the session they are kept in a folder as well (`store.rs`), and the next process does not read the keys either.
//!
//! Switches: `cxql.engine.unique_keys`, and `cxql.engine.key_cache` for the folder.

mod cache;
mod exec;
mod key_scan;
mod leaf;
mod narrow;
mod positions;
mod repeated_hashes;
mod run;
mod store;

pub(crate) use self::cache::KeyScanCache;
pub(crate) use self::exec::Inputs;
pub use self::exec::UniqueKeysExec;
pub(crate) use self::leaf::{SplitRows, SplitRowsExec};
pub(crate) use self::narrow::narrowed;
pub(crate) use self::positions::PositionScan;
pub use self::store::KeyScanStore;

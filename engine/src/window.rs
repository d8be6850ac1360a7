//! [`HashWindowAggExec`]: window functions over hash partitions, without sorting the input.
//!
//! DataFusion sorts all rows by PARTITION BY and ORDER BY, and evaluates each function partition by partition. This operator
//! scatters the rows into 256 buckets by the hash of the PARTITION BY keys. Per bucket it groups the rows by key, sorts each
//! partition that did not arrive in order, and evaluates each function over all partitions in one call.
//!
//! ```text
//!  input partitions            256 hash buckets                                  output partitions
//!  +---------+                 +----------+                                      +---------+
//!  | batches | --> buffer ---> | bucket 0 | ---> group, sort, evaluate --------> | batches |
//!  +---------+     encode      +----------+                                      +---------+
//!  +---------+     scatter     | bucket 1 |      one bucket at a time: each      +---------+
//!  | batches | --------------> |   ...    |      output partition takes the       | batches |
//!  +---------+                 +----------+      next when it is polled           +---------+
//!               buffer.rs                         exec.rs, bucket.rs
//! ```
//!
//! `lag(at) over (partition by customer order by at)`:
//!
//! ```text
//!  input                       output
//!  +----------+-------+        +----------+-------+-------+
//!  | customer | at    |        | customer | at    | lag   |
//!  +----------+-------+        +----------+-------+-------+
//!  | a        | 09:00 |        | b        | 09:10 | NULL  |   the rows of a partition are adjacent and in the
//!  | b        | 09:10 |        | a        | 09:00 | NULL  |   order of the first function; the partitions are
//!  | a        | 09:40 |        | a        | 09:20 | 09:00 |   in no order, and no output ordering is claimed
//!  | a        | 09:20 |        | a        | 09:40 | 09:20 |
//!  +----------+-------+        +----------+-------+-------+
//! ```
//!
//! # When it is chosen
//!
//! The rule `hash_window_agg` (`optimizer/hash_window_agg.rs`) replaces `WindowAggExec` and `BoundedWindowAggExec` where
//!
//! - all functions of the operator have the same PARTITION BY, which is not empty,
//! - the input is bounded, and
//! - `WindowCall` supports every function with its frame; `functions.rs` has the list.
//!
//! Otherwise DataFusion's operator stays, and `sorted_window_reasons` says why. Functions over the same partitions are merged
//! into one operator unless one needs the result of another (rule `merge_windows`). The rule runs before `EnsureRequirements`: an operator above that
//! needs an ordering gets its sort there.
//!
//! `SET cxql.engine.hash_window_agg = false` turns the rule off.
//!
//! # Clustered input and unsplit batches
//!
//! If the input is already clustered by the same keys (it comes from another [`HashWindowAggExec`] or a
//! `ClusteredAggregateExec`, see `clustering.rs`), nothing is buffered or hashed: partitions are found by comparing adjacent
//! rows and are evaluated as they arrive. The plan shows `input=clustered`.
//!
//! If an operator above wants clustered rows, batches end at partition boundaries, so that it need not concatenate them again
//! and compare keys across batches. The plan shows `batches=unsplit`. Together with the merge of inputs by time (`buffer.rs`),
//! the benchmark question `sessions` takes 0.7 of the time (docs/decisions/engine.md).
//!
//! # Memory and spilling
//!
//! All rows are buffered before the first is emitted, except with clustered input. Every input partition is a spillable memory
//! consumer of its own. When it gets no memory, its whole input goes to disk, eight buckets to a file; other inputs may stay in
//! memory. The buckets of one file are read and evaluated together. The memory of a bucket under evaluation is reserved beyond
//! the limit if need be, since rows are released by evaluating them: one partition must fit into memory.
//!
//! Where the filter above wants the first rows of each partition only (`row_number() ... <= 2`), each input keeps those
//! (`fetch=2` in the plan, rule `window_fetch`): memory follows the number of partitions.
//!
//! Buffered strings are dictionary codes of 2 bytes, packed strings of 8 bytes, or views of 16 bytes (`encoding.rs`), whichever
//! is the smallest that an input allows.
//!
//! # Modules
//!
//! | module | |
//! |---|---|
//! | `exec` | the execution plan and the queue of buckets |
//! | `buffer` | buffers, scatters and spills one input |
//! | `fetch` | reduces buffered rows to the first of each partition |
//! | `encoding` | encodings of buffered string columns |
//! | `bucket` | evaluates the rows of a bucket and emits batches |
//! | `clustered_input` | the same for clustered input, without buffering |
//! | `sort` | ORDER BY within partitions, and peers |
//! | `functions` | supported functions and frames, and their evaluation |
//! | `unpartitioned` | windows without PARTITION BY, an operator of its own |
//! | `total_order` | its sort |

mod accounted;
mod bucket;
mod buffer;
mod clustered_input;
mod encoding;
mod exec;
mod fetch;
mod functions;
mod sort;
mod total_order;
mod unpartitioned;

pub use self::accounted::AccountedWindowExec;
pub use self::exec::HashWindowAggExec;
pub(crate) use self::functions::{WindowCall, is_likely_supported};
pub use self::unpartitioned::UnpartitionedWindowExec;

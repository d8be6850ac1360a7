//! [`SharedExec`]: subplans that occur several times are computed once.
//!
//! A statement that names a view or common table expression twice has its plan twice, and so have the statements of a report.
//! DataFusion computes each. Here the occurrences become scans of one subplan (elsewhere a materialized CTE), whose rows are
//! buffered for as long as one of its uses has not read them.
//!
//! ```text
//!      section 1     section 2      notes                section 1     section 2      notes
//!          |             |            |                      |             |            |
//!       outcomes      outcomes      clean       ->       SharedExec    SharedExec   SharedExec
//!          |             |            |                       \            /            |
//!        clean         clean        scan                     outcomes (uses=2)          |
//!          |             |                                          |                   |
//!        scan          scan                                    SharedExec --------- clean (uses=2) -- scan
//! ```
//!
//! # What is shared
//!
//! The plans are compared when they are analyzed and not yet optimized: filters and projections that are pushed down make
//! equal subplans differ. A view or common table expression is shared where it occurs at least twice in the plans of a run, reads
//! a table, and has a window, aggregate, DISTINCT, sort, join or subquery: reading a table again costs no more than a
//! buffer. Not shared are subplans with a volatile function (`random()`), with a placeholder or with a column of an outer query,
//! and the terms of recursive queries. Larger subplans are shared first; what they read then occurs once in them.
//!
//! The run is one statement (the rule `shared_subplans`), or all statements that [`plan_together`] is called with: they have
//! one `now()`.
//!
//! A shared subplan keeps the columns that any use needs. Conditions above all its uses are evaluated in it, and of the others
//! that at least one use needs the row; DataFusion pushes these further down.
//!
//! # Memory and spilling
//!
//! Readers drive the input (`buffer.rs`); a batch is released when all uses of the run have read it, a column of a batch when the
//! uses that need it have. Two uses that are read at the same pace, as by UNION, hold a few batches. What is kept for a later use
//! is a spillable memory consumer, and goes to disk when the pool refuses memory. When all uses have read a subplan and it is
//! executed once more, it is computed again.
//!
//! A subplan that is nothing but the latest rows of keys in Parquet files ([`UniqueKeysExec`](crate::unique_keys)) and expressions
//! over them, or of which its uses need nothing but what a scan gives, is put into the place of each of its uses, with the columns and
//! rows of that use: most of its rows are those of the files, and a buffer of them costs more than reading them again. The single
//! values that it reads, such as the period that the data cover, are computed once.
//!
//! `SET cxql.engine.shared_subplans = false` turns it off.
//!
//! # Modules
//!
//! | module | |
//! |---|---|
//! | `choose` | finds and replaces subplans |
//! | `subplan` | a shared subplan as a table of the logical plan, with the columns and rows that its uses need |
//! | `planner` | plans a statement, or those of a run |
//! | `exec` | the operator |
//! | `buffer` | the rows of one partition and its readers |

mod buffer;
mod choose;
mod exec;
mod planner;
mod subplan;

pub(crate) use self::exec::show_subplans;
pub use self::exec::{SharedExec, reset_plan};
pub use self::planner::plan_together;
pub(crate) use self::planner::{ShareSubplans, SharedSubplanPlanner};

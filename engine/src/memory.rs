//! Memory pools that enforce a limit.
//!
//! ```text
//!  query A operators -> QueryMemoryPool (limit of one query) \
//!                                                             -> SpillHeadroomPool (limit of the session)
//!  query B operators -> QueryMemoryPool (limit of one query) /
//! ```

mod query_pool;
mod spill_headroom;

pub use self::query_pool::with_query_limit;
pub use self::spill_headroom::SpillHeadroomPool;

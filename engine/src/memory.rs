//! Memory pools that keep a limit: of a session, and of one query of it.

mod query_pool;
mod spill_headroom;

pub use self::query_pool::with_query_limit;
pub use self::spill_headroom::SpillHeadroomPool;

//! placeholder page

mod bucket;
mod buffer;
mod clustered_input;
mod encoding;
mod exec;
mod functions;
mod sort;

pub use self::exec::HashWindowAggExec;
pub(crate) use self::functions::{WindowCall, is_likely_supported};

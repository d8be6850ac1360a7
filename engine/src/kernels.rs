//! What operators compute with: no plan, no stream.

pub(crate) mod hash;
pub(crate) mod inline_strings;
pub(crate) mod partition_keys;
pub(crate) mod scatter;
pub(crate) mod string_interner;

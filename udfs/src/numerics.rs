//! Numerical methods that several families share: no Arrow, no SQL.

pub(crate) mod cholesky;
pub(crate) mod minimise;

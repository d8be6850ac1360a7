//! The sample data: its schema and invariants, and every planted effect verified by plain computation.

mod data;
mod effects;
mod folders;
mod invariants;
mod schema;

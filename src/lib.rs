//! SQL analytics for customer interactions.
//!
//! Interaction data (contacts, surveys, orders, events) is stored as Parquet on local disk or S3; a DataFusion session has
//! the functions of the field; every analysis is a `.sql` file. This library is the program `cxql`; its tests run the
//! binary, so that the command line is its only export.

mod cli;
mod config;
mod error;
mod execute;
mod flight;
#[cfg(test)]
mod fuzz;
mod history;
mod ipc;
mod notes;
mod output;
mod panics;
mod project;
mod render;
mod report;
mod schedule;
mod session;
mod signals;
mod source;
mod sqlfile;
mod temporary;
mod types;

pub use cli::main;

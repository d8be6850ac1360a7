//! SQL analytics for customer interactions.
//!
//! Interaction data (contacts, surveys, orders, events) lies as Parquet on local disk or S3; a DataFusion session knows
//! the functions of the field; every analysis is a `.sql` file. This library is what the program `cxql` is made of.

pub mod cli;
pub mod config;
pub mod error;
pub mod execute;
pub mod flight;
pub mod groups;
pub mod history;
pub mod output;
mod plans;
pub mod project;
pub mod render;
pub mod report;
pub mod schedule;
pub mod session;
pub mod signals;
pub mod source;
pub mod sqlfile;
pub mod types;
pub mod windows;

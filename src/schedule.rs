//! Jobs: reports with a time and a destination. When one is due, what is retried, what was delivered.
//!
//! A run is recorded before it starts. Its results are made beside the history, then one transaction records that it
//! ended, what the alerts found and everything that is to be delivered; only then is anything delivered, each delivery
//! recorded step by step. So whatever ends the process, nothing that was promised is forgotten.

mod audience;
mod command;
mod dates;
mod deliver;
mod execute;
mod job;
mod mail;
mod message;
mod names;
mod notices;
mod office;
mod scheduler;
mod times;
mod wait;
mod webhook;

pub use self::dates::DateExpr;
pub use self::job::{Job, Recipient, jobs};
pub use self::office::{Clock, Office, SystemClock, backoff};
pub use self::scheduler::Scheduler;
pub use self::times::{Due, Schedule, due, instant_of, zone};

//! Jobs: reports with a time and a destination. When one is due, what is retried, what was delivered.
//!
//! A run is recorded before it starts. Its results are made beside the history, then one transaction records that it
//! ended, what the alerts found and everything that is to be delivered; only then is anything delivered, each delivery
//! recorded step by step. So whatever ends the process, nothing that was promised is forgotten.

mod command;
mod context;
mod cron;
mod deliver;
mod job;
mod job_run;
mod mail;
mod message;
mod output_names;
mod owner_notices;
mod recipients;
mod relative_dates;
mod scheduler;
mod wait_for;
mod webhook;

pub use self::context::{Clock, SchedulerContext, SystemClock, backoff};
pub use self::cron::{DueTimes, Schedule, due, local_to_utc, time_zone};
pub use self::job::{Job, Recipient, jobs};
pub use self::relative_dates::DateExpr;
pub use self::scheduler::Scheduler;

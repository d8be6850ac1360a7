//! The job scheduler: when a job (a report with a schedule and destinations) is due, how its run is executed and
//! retried, and how its results are delivered.
//!
//! A run is recorded before it starts. Its results are written to a staging folder beside the history. One transaction
//! then records the end of the run, the outcome of its alerts and all planned deliveries; only after that are
//! deliveries sent, each step of each recorded. A crash at any point therefore loses no planned delivery.

mod chat_text;
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
mod run_here;
mod scheduler;
mod wait_for;
mod webhook;

pub(crate) use self::context::{SchedulerContext, SystemClock};
pub(crate) use self::cron::local_to_utc;
pub(crate) use self::job::jobs;
pub(crate) use self::scheduler::Scheduler;

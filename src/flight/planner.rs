//! Threads for planning.
//!
//! ```text
//!  request --> share of the user --> thread of its own --> plan
//!                    |                     |
//!          RESOURCE_EXHAUSTED      time limit, client gone: the answer; the thread ends when it can
//! ```
//!
//! Planning computes without yielding: constants, equivalences, every rule over every expression. On the runtime it would hold
//! a worker, and with it the queries of others. Here each statement is planned on a thread that may block, of which a user has a
//! share. A thread cannot be ended from outside: when nobody waits for it, it stops at its next wait or large constant, and
//! holds its place in the share until then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cxql_engine::planning::PlanningBudget;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tonic::Status;

use super::auth::Principal;
use super::status;

/// Statements of a user that are planned at a time.
const PLANS_OF_USER: usize = 16;

/// Statements of all users that are planned at a time.
const PLANS: usize = 64;

/// Maximum time for planning, and of waiting for a thread.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Plans statements on threads of their own.
#[derive(Debug)]
pub(super) struct Planner {
    runtime: Handle,
    all: Arc<Semaphore>,
    users: Mutex<HashMap<Principal, Arc<Semaphore>>>,
}

/// Tells the thread that nobody waits for the plan.
struct Abandon {
    is_abandoned: Arc<AtomicBool>,
    notify: Arc<Notify>,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }
}

impl Planner {
    /// Plans on the blocking threads of a runtime.
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, all: Arc::new(Semaphore::new(PLANS)), users: Mutex::default() }
    }

    /// Runs a future on a thread of its own, at most `timeout` or [`TIMEOUT`]. Dropping the returned future cancels it.
    ///
    /// # Errors
    /// Those of the future; too many statements of the user, or no end within the time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        principal: &Principal,
        timeout: Option<Duration>,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let timeout = timeout.map_or(TIMEOUT, |timeout| timeout.min(TIMEOUT));
        let own = Arc::clone(
            self.users.lock().entry(principal.clone()).or_insert_with(|| Arc::new(Semaphore::new(PLANS_OF_USER))),
        );
        let all = Arc::clone(&self.all);
        let permits = async move { Ok::<_, Status>((own.acquire_owned().await, all.acquire_owned().await)) };
        let permits = tokio::time::timeout(timeout, permits).await.map_err(|_| {
            status::exhausted(format!(
                "{PLANS_OF_USER} statements of yours are being planned, and none of them ended within {} seconds; try again \
                 later",
                timeout.as_secs_f64()
            ))
        })?;
        let abandon = Abandon { is_abandoned: Arc::default(), notify: Arc::default() };
        let (is_abandoned, notify) = (Arc::clone(&abandon.is_abandoned), Arc::clone(&abandon.notify));
        let runtime = self.runtime.clone();
        let thread = self.runtime.spawn_blocking(move || {
            let _permits = permits;
            let _budget = PlanningBudget::start(is_abandoned);
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = notify.notified() => Err(Status::cancelled("the client has gone")),
                    planned = work => planned,
                }
            })
        });
        match tokio::time::timeout(timeout, thread).await {
            Ok(Ok(planned)) => planned,
            Ok(Err(error)) if error.is_cancelled() => Err(Status::cancelled("the server is stopping")),
            Ok(Err(error)) => Err(status::fault(&error.to_string())),
            Err(_) => {
                let seconds = timeout.as_secs_f64();
                Err(Status::deadline_exceeded(format!(
                    "planning took longer than {seconds} seconds and was stopped; write a simpler statement"
                )))
            }
        }
    }
}

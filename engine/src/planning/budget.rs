//! The budget of a statement that is planned: bytes of the constants that are computed meanwhile, and whether anybody waits.
//!
//! Planning runs on one thread from its start to its end, so that the budget is that of the thread. Functions with large
//! results spend from it; without a budget, as in the execution, there is no limit.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of the constants of a statement.
const CONSTANT_BYTES: usize = 128 << 20;

#[derive(Debug, Clone)]
struct Budget {
    bytes: usize,
    is_abandoned: Arc<AtomicBool>,
}

thread_local! {
    static BUDGET: RefCell<Option<Budget>> = const { RefCell::new(None) };
}

/// The budget of this thread while it plans a statement.
#[derive(Debug)]
pub struct PlanningBudget {
    outer: Option<Budget>,
}

impl PlanningBudget {
    /// Starts a budget; nothing more is computed once `is_abandoned` is true.
    pub fn start(is_abandoned: Arc<AtomicBool>) -> Self {
        let budget = Budget { bytes: CONSTANT_BYTES, is_abandoned };
        Self { outer: BUDGET.with_borrow_mut(|slot| slot.replace(budget)) }
    }
}

/// Bytes that were spent from the budget of this thread; 0 without one.
pub fn spent_bytes() -> usize {
    BUDGET.with_borrow(|slot| slot.as_ref().map_or(0, |budget| CONSTANT_BYTES - budget.bytes))
}

impl Drop for PlanningBudget {
    fn drop(&mut self) {
        BUDGET.with_borrow_mut(|slot| *slot = self.outer.take());
    }
}

/// Spends bytes of the budget of this thread. False if there are not as many, or nobody waits for the plan.
pub(crate) fn spend(bytes: usize) -> bool {
    BUDGET.with_borrow_mut(|slot| match slot {
        None => true,
        Some(budget) if budget.is_abandoned.load(Ordering::Relaxed) || budget.bytes < bytes => false,
        Some(budget) => {
            budget.bytes -= bytes;
            true
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_of_a_statement_share_a_budget() {
        assert!(spend(usize::MAX));
        let is_abandoned = Arc::new(AtomicBool::new(false));
        let budget = PlanningBudget::start(Arc::clone(&is_abandoned));
        assert!(spend(CONSTANT_BYTES - 1) && !spend(2) && spend(1));
        assert_eq!(spent_bytes(), CONSTANT_BYTES);
        drop(budget);
        let _budget = PlanningBudget::start(Arc::clone(&is_abandoned));
        assert!(spend(1));
        is_abandoned.store(true, Ordering::Relaxed);
        assert!(!spend(1));
    }
}

//! The Kaplan-Meier estimate at one horizon, over plain counts.
//!
//! One minus the hazard, (n - d) / n, is multiplied over the times of repeats. While nobody is censored in between, the
//! numerators and denominators cancel, so that only contacts that survive a censoring enter a product: without censoring
//! the estimate is one division and equals the plain share to the last bit.

use crate::resolution::state::Window;

/// What is known of the contacts of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FollowUp {
    /// After which times repeats followed within the window.
    repeated: Vec<i64>,
    /// After which times the observation ended without a repeat, before the window had elapsed.
    censored: Vec<i64>,
    /// How many contacts were followed through their window without a repeat.
    resolved: i64,
    /// Repeated and censored times that have left the frame of a window and not been taken out of the above yet.
    gone: [Vec<i64>; 2],
}

/// The share without a repeat at the end of the window and Greenwood's standard error of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) share: f64,
    pub(super) error: f64,
}

impl FollowUp {
    /// Adds a contact at `at`, the next one at `next`, both known up to `observed_until`.
    pub(super) fn add(&mut self, at: i64, next: Option<i64>, window: Window, observed_until: i64) {
        if observed_until < at {
            return;
        }
        let end = window.end(at);
        match next {
            Some(next) if next <= end.min(observed_until) => self.repeated.push(window.progress(at, next)),
            _ if end <= observed_until => self.resolved += 1,
            _ => self.censored.push(window.progress(at, observed_until)),
        }
    }

    /// Adds the parts of another group.
    pub(super) fn merge(&mut self, repeated: &[i64], censored: &[i64], resolved: i64) {
        self.repeated.extend_from_slice(repeated);
        self.censored.extend_from_slice(censored);
        self.resolved += resolved;
    }

    /// Takes contacts away that were added before.
    pub(super) fn retract(&mut self, other: Self) {
        let [repeated, censored] = &mut self.gone;
        repeated.extend(other.repeated);
        censored.extend(other.censored);
        self.resolved -= other.resolved;
    }

    /// The times of repeats and of censored contacts, and the number of the others.
    pub(super) fn parts(&mut self) -> (&[i64], &[i64], i64) {
        let [repeated, censored] = &mut self.gone;
        cancel(&mut self.repeated, repeated);
        cancel(&mut self.censored, censored);
        (&self.repeated, &self.censored, self.resolved)
    }

    /// The estimate; `None` when no contact was followed to the end of its window and the last one was censored.
    pub(super) fn estimate(&mut self) -> Option<Estimate> {
        self.parts();
        self.repeated.sort();
        self.censored.sort();
        let mut at_risk = self.resolved + (self.repeated.len() + self.censored.len()) as i64;
        if at_risk <= 0 {
            return None;
        }
        // The product and the sum up to the last censoring, and how many were at risk after it.
        let (mut share, mut variance, mut since) = (1.0, 0.0, at_risk);
        let mut repeated = self.repeated.iter().peekable();
        for censored in &self.censored {
            // Of a repeat and a censoring at the same time the repeat comes first.
            while repeated.next_if(|repeated| *repeated <= censored).is_some() {
                at_risk -= 1;
            }
            if at_risk < since {
                share *= at_risk as f64 / since as f64;
                variance += (since - at_risk) as f64 / (since as f64 * at_risk as f64);
            }
            at_risk -= 1;
            since = at_risk;
        }
        if since == 0 {
            // The last contact was censored: what would have become of it is unknown.
            return None;
        }
        at_risk -= repeated.count() as i64;
        share *= at_risk as f64 / since as f64;
        if at_risk == 0 {
            return Some(Estimate { share: 0.0, error: 0.0 });
        }
        variance += (since - at_risk) as f64 / (since as f64 * at_risk as f64);
        Some(Estimate { share, error: share * f64::sqrt(variance) })
    }

    pub(super) fn heap_size(&self) -> usize {
        let [repeated, censored] = &self.gone;
        [&self.repeated, &self.censored, repeated, censored]
            .iter()
            .map(|times| times.capacity() * size_of::<i64>())
            .sum()
    }
}

/// Takes `gone` out of `times`, which contains it.
fn cancel(times: &mut Vec<i64>, gone: &mut Vec<i64>) {
    if gone.is_empty() {
        return;
    }
    times.sort();
    gone.sort();
    let mut gone_times = gone.drain(..).peekable();
    times.retain(|time| gone_times.next_if_eq(time).is_none());
}

#[cfg(test)]
mod tests;

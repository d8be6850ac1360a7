//! Contacts: arrival, queue, handling, repeat contacts, and customers who leave.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use rand::Rng;

use super::Simulation;
use super::agent_states::{AgentWork, has_states};
use super::calendar::{HOUR_S, day_of, hour_of, is_monday_rush, release_factor, release_share, shifted_share, weekday};
use super::random::{exponential, log_normal};
use crate::DemoError;
use crate::story;
use crate::world::pick_share;

/// The skew of contacts over customers, see `Customers::pick`.
const CONTACT_SKEW: f64 = 1.4;

/// A planned contact. Ordered by time; the other fields make the order total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PlannedContact {
    pub(super) at: i64,
    pub(super) customer: u32,
    pub(super) topic: u8,
    pub(super) product: u8,
    pub(super) channel: u8,
    /// Number of earlier contacts about the same issue.
    pub(super) repeats: u8,
    pub(super) outbound: bool,
}

/// The outcome of a contact: the clean values of its row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) ended_at: Option<i64>,
    pub(super) agent: Option<u32>,
    pub(super) wait_s: Option<i32>,
    pub(super) talk_s: Option<i32>,
    pub(super) hold_s: Option<i32>,
    pub(super) wrap_s: Option<i32>,
    pub(super) is_abandoned: Option<bool>,
    pub(super) is_resolved: Option<bool>,
    pub(super) transfer_count: Option<i32>,
}

impl Simulation {
    /// Draws a first contact.
    fn first_contact(&mut self, day: usize) -> Option<PlannedContact> {
        let extra = release_share() * (release_factor(day) - 1.0);
        let outbound = self.contact_rng.random_bool(story::OUTBOUND_SHARE);
        let released = !outbound && extra > 0.0 && self.contact_rng.random_bool(extra / (1.0 + extra));
        let roll: f64 = self.contact_rng.random();
        let (topic, product) = if released {
            (story::TOPIC_TECHNICAL, story::PRODUCT_ATLAS)
        } else {
            let product = pick_share(story::PRODUCTS.iter().map(|product| product.1), self.contact_rng.random());
            let topic = if outbound {
                story::TOPIC_PRODUCT
            } else {
                pick_share(story::TOPICS.iter().map(|topic| topic.share), roll) as u8
            };
            (topic, product as u8)
        };
        let channel = if outbound {
            story::CHANNEL_PHONE
        } else {
            pick_share(story::CHANNELS.iter().map(|channel| channel.share), self.contact_rng.random()) as u8
        };
        let at = self.clock(day, channel);
        let customer = self.customers.pick(at, CONTACT_SKEW, &mut self.contact_rng)?;
        Some(PlannedContact { at, customer, topic, product, channel, repeats: 0, outbound })
    }

    /// Simulates the contacts of a day, up to `target` contacts in total. Returns false if a writer has failed.
    pub(super) fn contacts_of(&mut self, day: usize, target: u64) -> Result<bool, DemoError> {
        let is_last_day = day + 1 == story::DAYS;
        let mut due = self.due.get_mut(day).map(mem::take).unwrap_or_default();
        due.retain(|due| self.customers.is_active(due.customer, due.at));
        let open = target.saturating_sub(self.next.interaction);
        if is_last_day {
            due.truncate(usize::try_from(open).unwrap_or(usize::MAX));
        }
        for _ in 0..open.saturating_sub(due.len() as u64) {
            due.extend(self.first_contact(day));
        }
        due.sort_unstable();
        // Repeat contacts on the same day are merged in time order.
        let mut today = BinaryHeap::new();
        let mut rest = due.into_iter().peekable();
        loop {
            let is_repeat_next = match (rest.peek(), today.peek()) {
                (Some(first), Some(Reverse(repeat))) => repeat < first,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (None, None) => break,
            };
            let contact = if is_repeat_next { today.pop().map(|Reverse(due)| due) } else { rest.next() };
            let Some(contact) = contact else { break };
            if let Some(back) = self.contact(day, &contact)? {
                match day_of(back.at) {
                    // Skip customers who have left by then. Contacts of later days are checked on their day.
                    Some(on) if on == day && !is_last_day && self.customers.is_active(back.customer, back.at) => {
                        today.push(Reverse(back));
                    }
                    Some(on) if on > day => {
                        if let Some(later) = self.due.get_mut(on) {
                            later.push(back);
                        }
                    }
                    _ => {}
                }
            }
            if !self.sinks.interactions.flush_if_full()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Simulates a contact: outcome, row, survey, churn. Returns the repeat contact, if any.
    fn contact(&mut self, day: usize, due: &PlannedContact) -> Result<Option<PlannedContact>, DemoError> {
        let number = self.next.interaction;
        self.next.interaction += 1;
        let Some(topic) = story::TOPICS.get(usize::from(due.topic)) else { return Ok(None) };
        let mut outcome = Outcome::default();
        let is_live = due.channel < story::LIVE_CHANNELS;
        let answer_at = if due.outbound {
            outcome.is_abandoned = Some(false);
            Some(due.at)
        } else if is_live {
            self.live_wait(day, topic.queue, due.at, &mut outcome)
        } else {
            self.later_wait(due, &mut outcome)
        };
        let mut is_solved = false;
        if let Some(answer_at) = answer_at {
            is_solved = self.handle(day, due, topic, answer_at, &mut outcome);
        }
        let chinese = self.customers.get(due.customer).is_some_and(|customer| customer.chinese);
        self.write_contact(number, due, &outcome, chinese);
        if let Some(ended_at) = outcome.ended_at
            && outcome.agent.is_some()
            && !due.outbound
        {
            self.plan_survey(number, day, due, &outcome, is_solved, ended_at, chinese);
        }
        if !due.outbound && self.contact_rng.random_bool(story::HELP_BEFORE_CONTACT) {
            self.help_session(day, due);
        }
        if due.repeats > 0 {
            let after = usize::from(due.repeats).min(story::LEAVES_AFTER_REPEAT.len()) - 1;
            let hazard = story::LEAVES_AFTER_REPEAT.get(after).copied().unwrap_or(0.0);
            if self.contact_rng.random_bool(hazard) {
                let (from, to) = story::LEAVES_WITHIN_DAYS;
                let days = from + (to - from) * self.contact_rng.random::<f64>();
                let left = due.at + (days * story::DAY_S as f64) as i64;
                if left < story::END
                    && let Some(customer) = self.customers.get_mut(due.customer)
                {
                    customer.leaves(left);
                }
            }
        }
        Ok(self.repeat_contact(due, &outcome, is_solved))
    }

    /// Draws the wait of a live contact and returns the time of the answer; `None` if the customer abandoned it.
    fn live_wait(&mut self, day: usize, queue: u8, at: i64, outcome: &mut Outcome) -> Option<i64> {
        let hour = hour_of(at);
        let (at_once, mean) = if is_monday_rush(queue, day, hour) {
            (story::MONDAY_AT_ONCE, story::MONDAY_WAIT_MEAN_S)
        } else {
            let load = usize::try_from(hour).ok().and_then(|hour| self.load.get(hour)).copied().unwrap_or(1.0);
            (story::ANSWERED_AT_ONCE, story::WAIT_MEAN_S * load)
        };
        let rng = &mut self.contact_rng;
        let wait = if rng.random_bool(at_once) { rng.random_range(0..8) } else { 4 + exponential(mean, rng) as i64 };
        let patience = 3 + exponential(story::PATIENCE_MEAN_S, rng) as i64;
        let is_abandoned = patience < wait;
        outcome.is_abandoned = Some(is_abandoned);
        outcome.wait_s = Some(wait.min(patience) as i32);
        if is_abandoned {
            outcome.ended_at = Some(at + patience);
            outcome.transfer_count = Some(0);
            outcome.is_resolved = Some(false);
            return None;
        }
        Some(at + wait)
    }

    /// Draws the wait of an asynchronous contact and returns the time of the answer; `None` after the end of the data.
    fn later_wait(&mut self, due: &PlannedContact, outcome: &mut Outcome) -> Option<i64> {
        let median_h = match due.channel {
            2 => 4.0,
            3 => 2.5,
            _ => 0.8,
        };
        let mut answer_at = due.at + (log_normal(median_h, 0.7, &mut self.contact_rng) * HOUR_S as f64) as i64;
        let hour = hour_of(answer_at);
        if !(story::OPEN_HOUR..story::CLOSE_HOUR).contains(&hour) {
            let midnight = answer_at - answer_at.rem_euclid(story::DAY_S);
            let opening = midnight + story::OPEN_HOUR * HOUR_S;
            let next = if hour >= story::CLOSE_HOUR { opening + story::DAY_S } else { opening };
            answer_at = next + self.contact_rng.random_range(0..2 * HOUR_S);
        }
        outcome.is_abandoned = Some(false);
        // Leave time for handling: a contact that would end after the end of the data stays open.
        if answer_at + 3 * HOUR_S >= story::END {
            return None;
        }
        outcome.wait_s = Some((answer_at - due.at) as i32);
        Some(answer_at)
    }

    /// Assigns an agent, who handles the contact. Returns true if it is resolved.
    fn handle(
        &mut self,
        day: usize,
        due: &PlannedContact,
        topic: &story::Topic,
        answer_at: i64,
        outcome: &mut Outcome,
    ) -> bool {
        let answer_day = day_of(answer_at).unwrap_or(day);
        let hour = hour_of(answer_at).clamp(story::OPEN_HOUR, story::CLOSE_HOUR - 1);
        let at_work = self.agents.at_work(topic.queue, weekday(answer_day), hour);
        if at_work.is_empty() {
            return false;
        }
        let rng = &mut self.contact_rng;
        // The agent who is free earlier, of two random ones.
        let mut draw = || at_work.get(rng.random_range(0..at_work.len())).copied().unwrap_or(0);
        let (one, other) = (draw(), draw());
        let free_at = |agent: u32| self.busy_until.get(agent as usize).copied().unwrap_or(0);
        let agent = if free_at(other) < free_at(one) { other } else { one };
        let Some(person) = self.agents.get(agent) else { return false };

        let channel_factor = story::CHANNELS.get(usize::from(due.channel)).map_or(1.0, |channel| channel.talk_factor);
        let mut talk = log_normal(topic.talk_s * channel_factor * person.pace, 0.42, rng);
        if due.topic == story::TOPIC_TECHNICAL && due.product == story::PRODUCT_ATLAS && release_factor(day) > 1.0 {
            talk *= story::RELEASE_HANDLE;
        }
        if topic.queue == story::QUEUE_ORDERS && rng.random_bool(shifted_share(day)) {
            talk *= story::SHIFT_HANDLE;
        }
        let talk_s = (talk.clamp(10.0, 7200.0)) as i32;
        let hold_s = (due.channel == story::CHANNEL_PHONE)
            .then(|| if rng.random_bool(0.35) { exponential(55.0, rng).min(900.0) as i32 } else { 0 });
        let wrap_s = (8.0 + exponential(40.0, rng)).min(900.0) as i32;
        let solved = ((topic.solved + person.solved_shift) * person.solved_factor).clamp(0.02, 0.98);
        let is_solved = rng.random_bool(solved);
        let logged = if is_solved { story::LOGGED_IF_SOLVED } else { story::LOGGED_IF_UNSOLVED };
        outcome.is_resolved = Some(rng.random_bool(logged));
        let transfers = if is_solved { 0.08 } else { 0.22 };
        let is_transferred = rng.random_bool(transfers);
        outcome.transfer_count = Some(i32::from(is_transferred) + i32::from(is_transferred && rng.random_bool(0.15)));
        let contact_s = talk_s + hold_s.unwrap_or(0);
        outcome.ended_at = Some(answer_at + i64::from(contact_s));
        outcome.agent = Some(agent);
        outcome.talk_s = Some(talk_s);
        outcome.hold_s = hold_s;
        outcome.wrap_s = Some(wrap_s);
        if let Some(until) = self.busy_until.get_mut(agent as usize) {
            *until = (*until).max(answer_at) + i64::from(contact_s + wrap_s);
        }
        if has_states(answer_day)
            && let Some(work) = self.work.get_mut(answer_day)
        {
            work.push(AgentWork { agent, from: answer_at, contact_s, wrap_s });
        }
        is_solved
    }

    /// Draws the repeat contact of an unresolved contact.
    fn repeat_contact(&mut self, due: &PlannedContact, outcome: &Outcome, is_solved: bool) -> Option<PlannedContact> {
        let ended_at = outcome.ended_at?;
        let is_abandoned = outcome.is_abandoned == Some(true);
        let rng = &mut self.contact_rng;
        let chance = if is_abandoned { story::RETRIES_AFTER_ABANDON } else { story::COMES_BACK };
        if due.outbound || is_solved || due.repeats >= story::REPEATS_MAX || !rng.random_bool(chance) {
            return None;
        }
        let mut channel = due.channel;
        if rng.random_bool(story::SWITCHES_CHANNEL) {
            let other = pick_share(story::CHANNELS.iter().map(|channel| channel.share), rng.random()) as u8;
            channel = if rng.random_bool(0.6) { story::CHANNEL_PHONE } else { other };
        }
        let mut at = ended_at;
        // Days with low volume are mostly redrawn, so that repeats follow the weekly pattern.
        for _ in 0..3 {
            let rng = &mut self.contact_rng;
            let days = if is_abandoned {
                exponential(0.15, rng)
            } else if rng.random_bool(story::SOON_SHARE) {
                exponential(story::SOON_MEAN_DAYS, rng)
            } else {
                let (from, to) = story::LATE_DAYS;
                from + (to - from) * rng.random::<f64>()
            };
            at = ended_at + 300 + (days * story::DAY_S as f64) as i64;
            let volume = day_of(at).and_then(|day| story::WEEKDAY_VOLUME.get(weekday(day))).copied().unwrap_or(1.0);
            if rng.random_bool((volume / 1.25).min(1.0)) {
                break;
            }
        }
        let is_open = (story::OPEN_HOUR..story::CLOSE_HOUR).contains(&hour_of(at));
        if channel < story::LIVE_CHANNELS && !is_open {
            // When closed, redraw the time: on the same day before opening, on the next day after closing.
            let day = day_of(at)? + usize::from(hour_of(at) >= story::CLOSE_HOUR);
            let at = self.clock(day, channel);
            return (at > ended_at && at < story::END).then_some(PlannedContact {
                at,
                channel,
                repeats: due.repeats + 1,
                ..*due
            });
        }
        (at < story::END).then_some(PlannedContact { at, channel, repeats: due.repeats + 1, ..*due })
    }
}

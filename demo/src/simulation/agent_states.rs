//! Agent states: the rows of `agent_states`, from the shifts and the contacts that each agent handled.

use std::mem;

use rand::Rng;

use super::Simulation;
use super::calendar::{HOUR_S, weekday};
use super::random::exponential;
use crate::DemoError;
use crate::story;
use crate::tables::{append_id, micros};
use crate::world;

/// The work of an agent on one contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgentWork {
    pub(super) agent: u32,
    pub(super) from: i64,
    pub(super) contact_s: i32,
    pub(super) wrap_s: i32,
}

impl Simulation {
    /// Writes the agent states of a day, if states are written for it.
    pub(super) fn states_of(&mut self, day: usize) -> Result<bool, DemoError> {
        if !has_states(day) {
            return Ok(true);
        }
        let mut work = self.work.get_mut(day).map(mem::take).unwrap_or_default();
        work.sort_unstable();
        let midnight = story::START + day as i64 * story::DAY_S;
        let tomorrow = midnight + story::DAY_S;
        let mut stretches: Vec<(i64, u32, &'static str, i64)> = Vec::new();
        let mut rest = work.as_slice();
        for agent in 0..self.agents.count() {
            let count = rest.partition_point(|work| work.agent <= agent);
            let (mine, others) = rest.split_at(count);
            rest = others;
            let shift = world::shift(agent, weekday(day));
            if shift.is_none() && mine.is_empty() {
                continue;
            }
            let (from, to) = shift.unwrap_or((story::OPEN_HOUR, story::OPEN_HOUR));
            let (from, to) = (midnight + from * HOUR_S, midnight + to * HOUR_S);
            let mut breaks = [
                (from + 2 * HOUR_S + self.state_rng.random_range(0..HOUR_S), 900),
                (from + 4 * HOUR_S + self.state_rng.random_range(0..HOUR_S), 1800),
                (from + 6 * HOUR_S + self.state_rng.random_range(0..HOUR_S), 900),
            ]
            .into_iter()
            .filter(|_| shift.is_some())
            .peekable();
            let mut at = from;
            let mut push = |from: &mut i64, until: i64, state| {
                let until = until.min(tomorrow);
                if until > *from {
                    stretches.push((*from, agent, state, until));
                    *from = until;
                }
            };
            for work in mine {
                // Overlapping contacts are handled one after the other.
                let start = work.from.max(at);
                while let Some(&(pause, length)) = breaks.peek()
                    && pause < start
                {
                    breaks.next();
                    push(&mut at, pause, "back_office");
                    let end = (at + length).min(start);
                    push(&mut at, end, "break");
                }
                let ready = start - exponential(150.0, &mut self.state_rng) as i64 - 5;
                push(&mut at, ready, "back_office");
                push(&mut at, start, "idle");
                push(&mut at, start + i64::from(work.contact_s), "on_contact");
                let end = at + i64::from(work.wrap_s);
                push(&mut at, end, "after_call");
            }
            for (pause, length) in breaks {
                push(&mut at, pause.min(to), "back_office");
                let end = (at + length).min(to);
                push(&mut at, end, "break");
            }
            push(&mut at, to, "back_office");
        }
        stretches.sort_unstable();
        for (from, agent, state, until) in stretches {
            let rows = &mut self.sinks.states.rows;
            append_id(&mut rows.agent_id, "A", u64::from(agent) + 1, 4);
            rows.state.append_value(state);
            rows.started_at.append_value(micros(from));
            rows.ended_at.append_value(micros(until));
            if !self.sinks.states.flush_if_full()? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns true if agent states are written for a day: one week in [`story::STATES_EVERY_WEEKS`], Monday to Sunday.
pub(super) fn has_states(day: usize) -> bool {
    // ISO week 1 of 2025 began on Monday, 30 December 2024.
    let week = (day + story::FIRST_WEEKDAY) / 7 + 1;
    week.is_multiple_of(story::STATES_EVERY_WEEKS)
}

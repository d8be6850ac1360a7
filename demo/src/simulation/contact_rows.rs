//! Rows of `interactions`: clean values, and the planted data errors.

use rand::Rng;

use super::Simulation;
use super::contacts::{Outcome, PlannedContact};
use super::people::append_team;
use crate::story;
use crate::tables::{append_id, micros};
use crate::text;

/// The planted data error of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dirt {
    None,
    Duplicate,
    TopicLabel,
    ChannelLabel,
    TopicNull,
    AgentNull,
    CustomerNull,
    EndsFirst,
    NegativeWait,
}

const DIRT: [(Dirt, f64); 8] = [
    (Dirt::Duplicate, story::DIRT_DUPLICATE),
    (Dirt::TopicLabel, story::DIRT_TOPIC_LABEL),
    (Dirt::ChannelLabel, story::DIRT_CHANNEL_LABEL),
    (Dirt::TopicNull, story::DIRT_TOPIC_NULL),
    (Dirt::AgentNull, story::DIRT_AGENT_NULL),
    (Dirt::CustomerNull, story::DIRT_CUSTOMER_NULL),
    (Dirt::EndsFirst, story::DIRT_ENDS_FIRST),
    (Dirt::NegativeWait, story::DIRT_NEGATIVE_WAIT),
];

impl Simulation {
    /// Writes the row of a contact, with its planted error.
    pub(super) fn write_contact(&mut self, number: u64, due: &PlannedContact, outcome: &Outcome, chinese: bool) {
        let roll: f64 = self.dirt_rng.random();
        let mut left = roll;
        let mut dirt = Dirt::None;
        for (kind, share) in DIRT {
            if left < share {
                dirt = kind;
                break;
            }
            left -= share;
        }
        let mut row = *outcome;
        let mut started_at = due.at;
        let future_every = self.contacts / (story::DIRT_FUTURE_ROWS + 1);
        let is_future = future_every > 0
            && number > 0
            && number.is_multiple_of(future_every)
            && number / future_every <= story::DIRT_FUTURE_ROWS;
        if is_future {
            dirt = Dirt::None;
            let ahead = story::DIRT_FUTURE_YEARS * 365 * story::DAY_S;
            started_at += ahead;
            row.ended_at = row.ended_at.map(|ended| ended + ahead);
        }
        match dirt {
            Dirt::EndsFirst => row.ended_at = row.ended_at.map(|ended| started_at - (ended - started_at).max(60)),
            Dirt::NegativeWait => row.wait_s = row.wait_s.map(|wait| -wait.max(1)),
            Dirt::AgentNull => row.agent = None,
            _ => {}
        }
        let topic = story::TOPICS.get(usize::from(due.topic));
        let channel = story::CHANNELS.get(usize::from(due.channel));
        let product = story::PRODUCTS.get(usize::from(due.product)).map_or("", |product| product.0);
        let variant = self.dirt_rng.random_range(0..12);
        let topic_label = topic.and_then(|topic| match dirt {
            Dirt::TopicLabel => topic.variants.get(variant % topic.variants.len()).copied(),
            Dirt::TopicNull => None,
            _ => Some(topic.label),
        });
        let channel_label = channel.and_then(|channel| match dirt {
            Dirt::ChannelLabel => channel.variants.get(variant % channel.variants.len()).copied(),
            _ => Some(channel.label),
        });
        let queue = topic.map_or(0, |topic| topic.queue);
        let queue_label = story::QUEUES.get(usize::from(queue)).copied().unwrap_or("");
        let text_rate = channel.map_or(0.0, |channel| channel.text_rate);
        let has_text = outcome.is_abandoned == Some(false) && !due.outbound && self.text_rng.random_bool(text_rate);
        if has_text {
            text::request(&mut self.text, chinese, due.topic, product, due.repeats > 0, &mut self.text_rng);
        }
        let rows = &mut self.sinks.interactions.rows;
        for _ in 0..if dirt == Dirt::Duplicate { 2 } else { 1 } {
            append_id(&mut rows.interaction_id, "I", number + 1, 8);
            if dirt == Dirt::CustomerNull {
                rows.customer_id.append_null();
            } else {
                append_id(&mut rows.customer_id, "C", u64::from(due.customer) + 1, 7);
            }
            rows.started_at.append_value(micros(started_at));
            rows.ended_at.append_option(row.ended_at.map(micros));
            rows.channel.append_option(channel_label);
            rows.direction.append_value(if due.outbound { "outbound" } else { "inbound" });
            rows.queue.append_value(queue_label);
            match row.agent {
                Some(agent) => append_id(&mut rows.agent_id, "A", u64::from(agent) + 1, 4),
                None => rows.agent_id.append_null(),
            }
            match outcome.agent {
                Some(agent) => append_team(&mut rows.team, agent),
                None => rows.team.append_null(),
            }
            rows.topic.append_option(topic_label);
            rows.product.append_value(product);
            rows.wait_s.append_option(row.wait_s);
            rows.talk_s.append_option(row.talk_s);
            rows.hold_s.append_option(row.hold_s);
            rows.wrap_s.append_option(row.wrap_s);
            rows.is_abandoned.append_option(row.is_abandoned);
            rows.is_resolved.append_option(row.is_resolved);
            rows.transfer_count.append_option(row.transfer_count);
            rows.text.append_option(has_text.then_some(self.text.as_str()));
            rows.language.append_value(if chinese { "zh" } else { "en" });
        }
    }
}

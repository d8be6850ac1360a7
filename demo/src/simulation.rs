//! The year, one day after the other: contacts and what follows from them. Memory holds the customers, the agents and
//! what is due on later days; rows leave in order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_pcg::Pcg64Mcg;

use crate::story;
use crate::tables::{
    AgentStates, Agents as AgentRows, Customers as CustomerRows, Events, Interactions, Layout, Orders, Sink, Surveys,
    append_id, micros,
};
use crate::text::{self, Mood};
use crate::world::{self, Agents, Customers, pick_share};
use crate::{DemoError, Options, TableSummary};

const HOUR_S: i64 = 3600;
/// Rows of one file of interactions.
const INTERACTIONS_PER_FILE: u64 = 2_000_000;
/// How much more active the most active customers are: see [`Customers::pick`].
const CONTACT_SKEW: f64 = 1.4;
const ORDER_SKEW: f64 = 1.8;
/// Stands for a visitor who is not known.
const NOBODY: u32 = u32::MAX;

/// A contact that will happen. Ordered by time; the rest of the order only makes it total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: i64,
    customer: u32,
    topic: u8,
    product: u8,
    channel: u8,
    /// Earlier contacts about the same thing.
    repeats: u8,
    outbound: bool,
}

/// A survey answer that will come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    at: i64,
    interaction: u64,
    customer: u32,
    kind: u8,
    score: i32,
    /// 0 annoyed, 1 even, 2 pleased.
    mood: u8,
    topic: u8,
    chinese: bool,
}

/// One step of a web session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Click {
    at: i64,
    session: u64,
    step: u8,
    page: u8,
    customer: u32,
    /// Not known for the last step of a session.
    dwell_s: Option<i32>,
}

/// What an agent did for one contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Work {
    agent: u32,
    from: i64,
    contact_s: i32,
    wrap_s: i32,
}

/// An order.
#[derive(Clone, Copy, Debug)]
struct Order {
    at: i64,
    customer: u32,
    amount: f64,
}

/// How a contact went; the clean values of a row.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    ended_at: Option<i64>,
    agent: Option<u32>,
    wait_s: Option<i32>,
    talk_s: Option<i32>,
    hold_s: Option<i32>,
    wrap_s: Option<i32>,
    is_abandoned: Option<bool>,
    is_resolved: Option<bool>,
    transfer_count: Option<i32>,
}

/// What is wrong with a row, on purpose.
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

/// Pages of the help section, by topic, then the contact page.
const HELP_PAGES: [&str; 7] = [
    "/help/billing",
    "/help/delivery",
    "/help/returns",
    "/help/technical",
    "/help/account",
    "/help/cancellation",
    "/help/products",
];
const PRODUCT_PAGES: [&str; 4] = ["/product/atlas", "/product/beacon", "/product/comet", "/product/delta"];
/// Steps beyond the funnel.
const STEP_HELP: u8 = 6;
const STEP_CONTACT: u8 = 7;
const STEP_PRODUCT: u8 = 2;

/// Cumulative shape of a day by hour.
struct DayShape([f64; 24]);

impl DayShape {
    fn new(hours: &[f64; 24]) -> Self {
        let total: f64 = hours.iter().sum();
        let mut sum = 0.0;
        Self(hours.map(|hour| {
            sum += hour / total;
            sum
        }))
    }

    /// A second of the day.
    fn draw(&self, rng: &mut Pcg64Mcg) -> i64 {
        let roll: f64 = rng.random();
        let hour = self.0.partition_point(|&sum| sum <= roll).min(23);
        hour as i64 * HOUR_S + rng.random_range(0..HOUR_S)
    }
}

/// Day of the week of a day, Monday 0.
fn weekday(day: usize) -> usize {
    (day + story::FIRST_WEEKDAY) % 7
}

/// Day of an instant.
fn day_of(at: i64) -> Option<usize> {
    usize::try_from((at - story::START).div_euclid(story::DAY_S)).ok()
}

/// Hour of an instant.
fn hour_of(at: i64) -> i64 {
    at.rem_euclid(story::DAY_S) / HOUR_S
}

/// Volume of the topic of the release, relative to what it would be without.
fn release_factor(day: usize) -> f64 {
    match day.checked_sub(story::RELEASE_DAY) {
        Some(passed) if passed < story::RELEASE_DAYS => {
            1.0 + (story::RELEASE_VOLUME - 1.0) * (1.0 - passed as f64 / story::RELEASE_DAYS as f64)
        }
        _ => 1.0,
    }
}

/// Share of long contacts in the queue whose handle time shifts.
fn shifted_share(day: usize) -> f64 {
    day.checked_sub(story::SHIFT_DAY).map_or(0.0, |passed| {
        let passed = passed as f64 / (story::DAYS - 1 - story::SHIFT_DAY) as f64;
        story::SHIFT_FROM_SHARE + (story::SHIFT_TO_SHARE - story::SHIFT_FROM_SHARE) * passed * passed
    })
}

/// Whether Billing is short of staff at an instant.
fn is_monday_rush(queue: u8, day: usize, hour: i64) -> bool {
    queue == story::QUEUE_BILLING
        && weekday(day) == 0
        && (story::MONDAY_FROM_HOUR..story::MONDAY_TO_HOUR).contains(&hour)
}

/// Share of the release's topic and product in usual first contacts.
fn release_share() -> f64 {
    story::TOPICS.get(usize::from(story::TOPIC_TECHNICAL)).map_or(0.0, |topic| topic.share)
        * story::PRODUCTS.get(usize::from(story::PRODUCT_ATLAS)).map_or(0.0, |product| product.1)
        * (1.0 - story::OUTBOUND_SHARE)
}

fn normal(rng: &mut Pcg64Mcg) -> f64 {
    StandardNormal.sample(rng)
}

fn exponential(mean: f64, rng: &mut Pcg64Mcg) -> f64 {
    let unit: f64 = Exp1.sample(rng);
    mean * unit
}

/// Log-normal by its median.
fn around(median: f64, spread: f64, rng: &mut Pcg64Mcg) -> f64 {
    median * (spread * normal(rng)).exp()
}

/// Everything that is being written, and everything that is still to come.
pub(crate) struct Simulation {
    contacts: u64,
    customers: Customers,
    agents: Agents,
    /// When each agent has dealt with what was given to them.
    busy_until: Vec<i64>,
    due: Vec<Vec<Due>>,
    answers: Vec<Vec<Answer>>,
    work: Vec<Vec<Work>>,
    clicks: Vec<Click>,
    orders: Vec<Order>,
    live: DayShape,
    weekend: DayShape,
    later: DayShape,
    /// Wait relative to the load, by hour.
    load: [f64; 24],
    contact_rng: Pcg64Mcg,
    dirt_rng: Pcg64Mcg,
    text_rng: Pcg64Mcg,
    web_rng: Pcg64Mcg,
    state_rng: Pcg64Mcg,
    text: String,
    next: Next,
    sinks: Sinks,
}

/// The next number of each key.
#[derive(Default)]
struct Next {
    interaction: u64,
    survey: u64,
    order: u64,
    event: u64,
    session: u64,
    /// The first customer who has not signed up yet.
    customer: u32,
}

struct Sinks {
    interactions: Sink<Interactions>,
    surveys: Sink<Surveys>,
    orders: Sink<Orders>,
    events: Sink<Events>,
    states: Sink<AgentStates>,
}

impl Simulation {
    /// Prepares a year with these options, to be written below `dir`.
    pub(crate) fn new(dir: &Path, options: &Options) -> Result<Self, DemoError> {
        // Each concern has its own stream, so that a change in one leaves the others as they are.
        let stream = |number: u64| {
            let mut seeds = Pcg64Mcg::seed_from_u64(options.seed);
            let mut seed = 0;
            for _ in 0..=number {
                seed = seeds.random();
            }
            Pcg64Mcg::seed_from_u64(seed)
        };
        let customers = (options.contacts / story::CONTACTS_PER_CUSTOMER).max(story::CUSTOMERS_MIN);
        let customers = Customers::generate(customers, &mut stream(0));
        let agents = Agents::generate(options.contacts, &mut stream(1));
        let mean_load = story::LIVE_HOURS.iter().sum::<f64>() / (story::CLOSE_HOUR - story::OPEN_HOUR) as f64;
        Ok(Self {
            contacts: options.contacts,
            busy_until: vec![0; agents.count() as usize],
            customers,
            agents,
            due: vec![Vec::new(); story::DAYS],
            answers: vec![Vec::new(); story::DAYS],
            work: vec![Vec::new(); story::DAYS],
            clicks: Vec::new(),
            orders: Vec::new(),
            live: DayShape::new(&story::LIVE_HOURS),
            weekend: DayShape::new(&story::WEEKEND_HOURS),
            later: DayShape::new(&story::LATER_HOURS),
            load: story::LIVE_HOURS.map(|hour| 0.4 + 0.6 * hour / mean_load),
            contact_rng: stream(2),
            dirt_rng: stream(3),
            text_rng: stream(4),
            web_rng: stream(5),
            state_rng: stream(6),
            text: String::new(),
            next: Next::default(),
            sinks: Sinks {
                interactions: Sink::create(dir, Layout::Folder(INTERACTIONS_PER_FILE))?,
                surveys: Sink::create(dir, Layout::File)?,
                orders: Sink::create(dir, Layout::File)?,
                events: Sink::create(dir, Layout::File)?,
                states: Sink::create(dir, Layout::File)?,
            },
        })
    }

    /// Runs the year and writes everything.
    pub(crate) fn run(mut self, dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Vec<TableSummary>, DemoError> {
        let targets = self.targets();
        for (day, target) in targets.into_iter().enumerate() {
            let written =
                self.contacts_of(day, target)? && self.answers_of(day)? && self.web_of(day)? && self.states_of(day)?;
            if !written {
                break; // a writer has failed and says why below
            }
            progress(self.next.interaction);
        }
        let Self { sinks, customers, agents, dirt_rng, .. } = self;
        let interactions = sinks.interactions.finish()?;
        let surveys = sinks.surveys.finish()?;
        let orders = sinks.orders.finish()?;
        let events = sinks.events.finish()?;
        let states = sinks.states.finish()?;
        let customers = write_customers(dir, &customers, dirt_rng)?;
        let agents = write_agents(dir, &agents)?;
        Ok(vec![interactions, surveys, customers, orders, events, agents, states])
    }

    /// How many contacts there have been by the end of each day.
    fn targets(&mut self) -> Vec<u64> {
        let share = release_share();
        let volumes: Vec<f64> = (0..story::DAYS)
            .map(|day| {
                let weekly = story::WEEKDAY_VOLUME.get(weekday(day)).copied().unwrap_or(1.0);
                let trend = 1.0 + story::YEARLY_TREND * day as f64 / story::DAYS as f64;
                let angle = std::f64::consts::TAU * (day as f64 - story::SEASON_PEAK_DAY) / story::DAYS as f64;
                let season = 1.0 + story::SEASON_AMPLITUDE * angle.cos();
                let holiday = if story::HOLIDAYS.contains(&day) { story::HOLIDAY_VOLUME } else { 1.0 };
                let release = 1.0 + share * (release_factor(day) - 1.0);
                let noise = around(1.0, story::DAY_NOISE, &mut self.contact_rng);
                weekly * trend * season * holiday * release * noise
            })
            .collect();
        let total: f64 = volumes.iter().sum();
        let mut sum = 0.0;
        let mut targets: Vec<u64> = volumes
            .iter()
            .map(|volume| {
                sum += volume / total;
                (self.contacts as f64 * sum).round() as u64
            })
            .collect();
        if let Some(last) = targets.last_mut() {
            *last = self.contacts; // whatever rounding did
        }
        targets
    }

    /// A second of a day at which a channel is used.
    fn clock(&mut self, day: usize, channel: u8) -> i64 {
        let shape = match (channel < story::LIVE_CHANNELS, weekday(day)) {
            (false, _) => &self.later,
            (true, 5 | 6) => &self.weekend,
            (true, _) => &self.live,
        };
        story::START + day as i64 * story::DAY_S + shape.draw(&mut self.contact_rng)
    }

    /// A contact about something new.
    fn fresh(&mut self, day: usize) -> Option<Due> {
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
        Some(Due { at, customer, topic, product, channel, repeats: 0, outbound })
    }

    /// All contacts of a day, until there have been `target` in all.
    fn contacts_of(&mut self, day: usize, target: u64) -> Result<bool, DemoError> {
        let is_last_day = day + 1 == story::DAYS;
        let mut due = self.due.get_mut(day).map(mem::take).unwrap_or_default();
        due.retain(|due| self.customers.is_active(due.customer, due.at));
        let open = target.saturating_sub(self.next.interaction);
        if is_last_day {
            due.truncate(usize::try_from(open).unwrap_or(usize::MAX));
        }
        for _ in 0..open.saturating_sub(due.len() as u64) {
            due.extend(self.fresh(day));
        }
        due.sort_unstable();
        // Who comes back on the same day joins the queue while it is worked off.
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
                    // Who is gone by then does not come back. What is due later is looked at on its day.
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

    /// One contact: how it goes, what is written, who comes back when.
    fn contact(&mut self, day: usize, due: &Due) -> Result<Option<Due>, DemoError> {
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
            self.ask(number, day, due, &outcome, is_solved, ended_at, chinese);
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
        Ok(self.comes_back(due, &outcome, is_solved))
    }

    /// The wait of a live contact; `None` if the customer gave up.
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

    /// The wait of a contact that is answered later; `None` if that lies after the end of the data.
    fn later_wait(&mut self, due: &Due, outcome: &mut Outcome) -> Option<i64> {
        let median_h = match due.channel {
            2 => 4.0,
            3 => 2.5,
            _ => 0.8,
        };
        let mut answer_at = due.at + (around(median_h, 0.7, &mut self.contact_rng) * HOUR_S as f64) as i64;
        let hour = hour_of(answer_at);
        if !(story::OPEN_HOUR..story::CLOSE_HOUR).contains(&hour) {
            let midnight = answer_at - answer_at.rem_euclid(story::DAY_S);
            let opening = midnight + story::OPEN_HOUR * HOUR_S;
            let next = if hour >= story::CLOSE_HOUR { opening + story::DAY_S } else { opening };
            answer_at = next + self.contact_rng.random_range(0..2 * HOUR_S);
        }
        outcome.is_abandoned = Some(false);
        // Room for the handling itself: what would end after the end of the data is still open there.
        if answer_at + 3 * HOUR_S >= story::END {
            return None;
        }
        outcome.wait_s = Some((answer_at - due.at) as i32);
        Some(answer_at)
    }

    /// Somebody deals with the contact. True when that solves it.
    fn handle(&mut self, day: usize, due: &Due, topic: &story::Topic, answer_at: i64, outcome: &mut Outcome) -> bool {
        let answer_day = day_of(answer_at).unwrap_or(day);
        let hour = hour_of(answer_at).clamp(story::OPEN_HOUR, story::CLOSE_HOUR - 1);
        let at_work = self.agents.at_work(topic.queue, weekday(answer_day), hour);
        if at_work.is_empty() {
            return false;
        }
        let rng = &mut self.contact_rng;
        // Of two at work the one who is free earlier.
        let mut draw = || at_work.get(rng.random_range(0..at_work.len())).copied().unwrap_or(0);
        let (one, other) = (draw(), draw());
        let free_at = |agent: u32| self.busy_until.get(agent as usize).copied().unwrap_or(0);
        let agent = if free_at(other) < free_at(one) { other } else { one };
        let Some(person) = self.agents.get(agent) else { return false };

        let channel_factor = story::CHANNELS.get(usize::from(due.channel)).map_or(1.0, |channel| channel.talk_factor);
        let mut talk = around(topic.talk_s * channel_factor * person.pace, 0.42, rng);
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
            work.push(Work { agent, from: answer_at, contact_s, wrap_s });
        }
        is_solved
    }

    /// When the customer comes back with the same thing, if so.
    fn comes_back(&mut self, due: &Due, outcome: &Outcome, is_solved: bool) -> Option<Due> {
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
        // Weekends are quiet for returns, too: such a day is mostly drawn again.
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
            // Closed: the next morning, or the same morning before opening.
            let day = day_of(at)? + usize::from(hour_of(at) >= story::CLOSE_HOUR);
            let at = self.clock(day, channel);
            return (at > ended_at && at < story::END).then_some(Due { at, channel, repeats: due.repeats + 1, ..*due });
        }
        (at < story::END).then_some(Due { at, channel, repeats: due.repeats + 1, ..*due })
    }

    /// Writes the row of a contact, with its dirt.
    fn write_contact(&mut self, number: u64, due: &Due, outcome: &Outcome, chinese: bool) {
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

    /// Perhaps the customer answers a survey about a contact.
    #[expect(clippy::too_many_arguments, reason = "one caller, and each is a plain fact of the contact")]
    fn ask(
        &mut self,
        interaction: u64,
        day: usize,
        due: &Due,
        outcome: &Outcome,
        is_solved: bool,
        ended_at: i64,
        chinese: bool,
    ) {
        let rng = &mut self.contact_rng;
        let rate = story::CHANNELS.get(usize::from(due.channel)).map_or(0.0, |channel| channel.survey_rate);
        if !rng.random_bool(rate) {
            return;
        }
        let wait = f64::from(outcome.wait_s.unwrap_or(0));
        let annoys =
            if due.channel < story::LIVE_CHANNELS { wait / story::WAIT_ANNOYS_S } else { wait / story::DAY_S as f64 };
        let talk = f64::from(outcome.talk_s.unwrap_or(0)) / 1200.0;
        let mut satisfaction = if is_solved { story::SATISFACTION_SOLVED } else { story::SATISFACTION_UNSOLVED };
        satisfaction += story::SATISFACTION_PER_REPEAT * f64::from(due.repeats)
            + story::SATISFACTION_WAIT * annoys.min(1.0)
            + story::SATISFACTION_HANDLE * talk.min(1.0)
            + story::SATISFACTION_SPREAD * normal(rng);
        if due.topic == story::TOPIC_TECHNICAL && due.product == story::PRODUCT_ATLAS && release_factor(day) > 1.0 {
            satisfaction += story::RELEASE_SATISFACTION;
        }
        let kind = pick_share(story::SURVEY_KINDS.iter().map(|kind| kind.1), rng.random()) as u8;
        let (scale, low, high, even) = match kind {
            0 => (story::SCORE_NPS, 0, 10, 7..=8),
            1 => (story::SCORE_CSAT, 1, 5, 3..=3),
            _ => (story::SCORE_CES, 1, 7, 4..=5),
        };
        let score = ((scale.0 + scale.1 * satisfaction).round() as i32).clamp(low, high);
        let mood = if score < *even.start() { 0 } else { 1 + u8::from(score > *even.end()) };
        let delay = if due.channel < story::LIVE_CHANNELS {
            30.0 + exponential(240.0, rng)
        } else {
            around(3.0 * HOUR_S as f64, 1.0, rng).min(3.0 * story::DAY_S as f64)
        };
        let at = ended_at + delay as i64;
        if let Some(answers) = day_of(at).and_then(|day| self.answers.get_mut(day)) {
            answers.push(Answer {
                at,
                interaction,
                customer: due.customer,
                kind,
                score,
                mood,
                topic: due.topic,
                chinese,
            });
        }
    }

    /// Writes the survey answers of a day.
    fn answers_of(&mut self, day: usize) -> Result<bool, DemoError> {
        let mut answers = self.answers.get_mut(day).map(mem::take).unwrap_or_default();
        answers.sort_unstable();
        for answer in answers {
            let rng = &mut self.text_rng;
            self.next.survey += 1;
            let kind = story::SURVEY_KINDS.get(usize::from(answer.kind)).map_or("", |kind| kind.0);
            let mut score = answer.score;
            let (bad_score, orphan) = (self.dirt_rng.random_bool(story::DIRT_SCORE), self.dirt_rng.random::<f64>());
            if bad_score && let Some(scores) = story::DIRT_SCORES.get(usize::from(answer.kind)) {
                score = scores.get(self.dirt_rng.random_range(0..3)).copied().unwrap_or(score);
            }
            let has_comment = rng.random_bool(story::COMMENT_RATE);
            if has_comment {
                let contradicts = rng.random_bool(story::COMMENT_CONTRADICTS);
                let mood = match (answer.mood, contradicts) {
                    (0, false) | (2, true) => Mood::Annoyed,
                    (2, false) | (0, true) => Mood::Pleased,
                    _ => Mood::Even,
                };
                text::comment(&mut self.text, answer.chinese, answer.topic, mood, rng);
            }
            let rows = &mut self.sinks.surveys.rows;
            append_id(&mut rows.survey_id, "S", self.next.survey, 8);
            if orphan < story::DIRT_ORPHAN {
                // A number that no contact has.
                append_id(&mut rows.interaction_id, "I", self.contacts + 1 + answer.interaction, 8);
            } else {
                append_id(&mut rows.interaction_id, "I", answer.interaction + 1, 8);
            }
            append_id(&mut rows.customer_id, "C", u64::from(answer.customer) + 1, 7);
            rows.responded_at.append_value(micros(answer.at));
            rows.kind.append_value(kind);
            rows.score.append_value(score);
            rows.comment.append_option(has_comment.then_some(self.text.as_str()));
            rows.language.append_value(if answer.chinese { "zh" } else { "en" });
            if !self.sinks.surveys.flush_if_full()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A visit to the help pages just before a contact, if it fits into the day.
    fn help_session(&mut self, day: usize, due: &Due) {
        let rng = &mut self.web_rng;
        let steps = 2 + usize::from(rng.random_bool(0.5));
        let mut dwell = [0; 3];
        dwell.fill_with(|| around(45.0, 0.8, rng).clamp(3.0, 1500.0) as i32);
        let total: i64 = dwell.iter().take(steps).map(|&dwell| i64::from(dwell)).sum();
        let mut at = due.at - total - rng.random_range(20..900);
        if at < story::START + day as i64 * story::DAY_S {
            return;
        }
        let session = self.next.session;
        self.next.session += 1;
        for (step, dwell) in dwell.iter().take(steps).enumerate() {
            let is_last = step + 1 == steps;
            let (event, page) = match (step, is_last) {
                (_, true) => (STEP_CONTACT, 0),
                (0, _) => (0, 0),
                _ => (STEP_HELP, due.topic),
            };
            let dwell_s = (!is_last).then_some(*dwell);
            self.clicks.push(Click { at, session, step: event, page, customer: due.customer, dwell_s });
            at += i64::from(*dwell);
        }
    }

    /// The shopping sessions and orders of a day, and all its clicks.
    fn web_of(&mut self, day: usize) -> Result<bool, DemoError> {
        let midnight = story::START + day as i64 * story::DAY_S;
        let tomorrow = midnight + story::DAY_S;
        let weekly = if weekday(day) >= 5 { 1.15 } else { 0.94 };
        let growth = 1.0 + story::YEARLY_TREND * (day as f64 / story::DAYS as f64 - 0.5);
        let per_day = self.contacts as f64 / story::DAYS as f64 * weekly * growth;
        self.first_orders(tomorrow);
        for _ in 0..whole(per_day * story::ORDERS_PER_CONTACT, &mut self.web_rng) {
            let at = midnight + self.later.draw(&mut self.web_rng);
            if let Some(customer) = self.customers.pick(at, ORDER_SKEW, &mut self.web_rng) {
                self.order(at, customer);
            }
        }
        for _ in 0..whole(per_day * story::SESSIONS_PER_CONTACT, &mut self.web_rng) {
            self.shopping_session(midnight);
        }

        let mut orders = mem::take(&mut self.orders);
        orders.sort_unstable_by_key(|order| (order.at, order.customer, order.amount.to_bits()));
        let today = orders.partition_point(|order| order.at < tomorrow);
        self.orders = orders.split_off(today);
        for order in orders {
            // A first order may have been due after the customer left for good.
            if !self.customers.is_active(order.customer, order.at) {
                continue;
            }
            self.next.order += 1;
            let rows = &mut self.sinks.orders.rows;
            append_id(&mut rows.order_id, "O", self.next.order, 8);
            append_id(&mut rows.customer_id, "C", u64::from(order.customer) + 1, 7);
            rows.ordered_at.append_value(micros(order.at));
            rows.amount.append_value(order.amount);
            if !self.sinks.orders.flush_if_full()? {
                return Ok(false);
            }
        }

        let mut clicks = mem::take(&mut self.clicks);
        clicks.sort_unstable();
        let today = clicks.partition_point(|click| click.at < tomorrow);
        self.clicks = clicks.split_off(today);
        for click in clicks {
            self.next.event += 1;
            let (event, page) = match click.step {
                STEP_HELP => ("help", HELP_PAGES.get(usize::from(click.page)).copied().unwrap_or("/help")),
                STEP_CONTACT => ("contact", "/contact"),
                STEP_PRODUCT => ("product", PRODUCT_PAGES.get(usize::from(click.page)).copied().unwrap_or("/")),
                step => match story::FUNNEL.get(usize::from(step)).map_or("", |step| step.0) {
                    "home" => ("home", "/"),
                    "search" => ("search", "/search"),
                    "cart" => ("cart", "/cart"),
                    "checkout" => ("checkout", "/checkout"),
                    other => (other, "/thank-you"),
                },
            };
            let rows = &mut self.sinks.events.rows;
            append_id(&mut rows.event_id, "E", self.next.event, 9);
            if click.customer == NOBODY {
                rows.customer_id.append_null();
            } else {
                append_id(&mut rows.customer_id, "C", u64::from(click.customer) + 1, 7);
            }
            append_id(&mut rows.session_id, "W", click.session + 1, 8);
            rows.event.append_value(event);
            rows.page.append_value(page);
            rows.occurred_at.append_value(micros(click.at));
            rows.dwell_s.append_option(click.dwell_s);
            if !self.sinks.events.flush_if_full()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Most of those who sign up order something soon.
    fn first_orders(&mut self, until: i64) {
        while let Some(&customer) = self.customers.get(self.next.customer)
            && customer.signed_up_at() < until
        {
            let number = self.next.customer;
            self.next.customer += 1;
            if customer.signed_up_at() >= story::START && self.web_rng.random_bool(0.8) {
                let at = customer.signed_up_at() + 60 + exponential(DAY_MEAN_S, &mut self.web_rng) as i64;
                if at < story::END && customer.is_active(at) {
                    self.order(at, number);
                }
            }
        }
    }

    fn order(&mut self, at: i64, customer: u32) {
        let segment = self.customers.get(customer).map_or(0, |customer| usize::from(customer.segment));
        let median = story::SEGMENTS.get(segment).map_or(0.0, |segment| segment.2);
        let amount = (around(median, 0.6, &mut self.web_rng) * 100.0).round().max(100.0) / 100.0;
        self.orders.push(Order { at, customer, amount });
    }

    /// A visit to the shop: down the funnel until the visitor has enough.
    fn shopping_session(&mut self, midnight: i64) {
        let mut at = midnight + self.later.draw(&mut self.web_rng);
        let Some(buyer) = self.customers.pick(at, ORDER_SKEW, &mut self.web_rng) else { return };
        let rng = &mut self.web_rng;
        let is_known = rng.random_bool(story::SESSION_KNOWN);
        let page = pick_share(story::PRODUCTS.iter().map(|product| product.1), rng.random()) as u8;
        let session = self.next.session;
        self.next.session += 1;
        let first = self.clicks.len();
        for (step, (_, goes_on)) in story::FUNNEL.iter().enumerate() {
            let is_last = step + 1 == story::FUNNEL.len() || !self.web_rng.random_bool(*goes_on);
            let dwell = around(35.0, 0.8, &mut self.web_rng).clamp(2.0, 1200.0) as i32;
            let dwell_s = (!is_last).then_some(dwell);
            // Who pays is known, whether logged in or not until then.
            let is_purchase = step + 1 == story::FUNNEL.len();
            let customer = if is_known || is_purchase { buyer } else { NOBODY };
            if at >= story::END {
                break;
            }
            if is_purchase {
                if !self.customers.is_active(buyer, at) {
                    break;
                }
                for click in self.clicks.iter_mut().skip(first) {
                    click.customer = buyer;
                }
                self.order(at, buyer);
            }
            self.clicks.push(Click { at, session, step: step as u8, page, customer, dwell_s });
            if is_last {
                break;
            }
            at += i64::from(dwell);
        }
    }

    /// What the agents did on a day, if it is one of those that are written.
    fn states_of(&mut self, day: usize) -> Result<bool, DemoError> {
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
                // Somebody with two things at a time does one after the other.
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

/// Mean delay of a first order.
const DAY_MEAN_S: f64 = story::DAY_S as f64;

/// Whether agent states are written for a day: one week in [`story::STATES_EVERY_WEEKS`], Monday to Sunday.
fn has_states(day: usize) -> bool {
    // ISO week 1 of 2025 began on Monday, 30 December 2024.
    let week = (day + story::FIRST_WEEKDAY) / 7 + 1;
    week.is_multiple_of(story::STATES_EVERY_WEEKS)
}

/// A whole number whose mean is the expected one.
fn whole(expected: f64, rng: &mut Pcg64Mcg) -> u64 {
    (expected + rng.random::<f64>()) as u64
}

fn append_team(column: &mut arrow_array::builder::StringBuilder, agent: u32) {
    let queue = story::QUEUES.get(usize::from(world::queue_of(agent))).copied().unwrap_or("");
    let side = story::TEAM_SIDES.get(world::side_of(agent)).copied().unwrap_or("");
    append_words(column, queue, side);
}

fn append_words(column: &mut arrow_array::builder::StringBuilder, first: &str, second: &str) {
    use std::fmt::Write;
    // Writing into a string builder cannot fail.
    let _ = column.write_str(first);
    let _ = column.write_str(" ");
    let _ = column.write_str(second);
    column.append_value("");
}

fn write_customers(dir: &Path, customers: &Customers, mut rng: Pcg64Mcg) -> Result<TableSummary, DemoError> {
    /// Days from 1970-01-01 to 1945-01-01 and to 2007-01-01: births lie between.
    const BORN: std::ops::Range<i32> = -9131..13514;
    let mut sink = Sink::<CustomerRows>::create(dir, Layout::File)?;
    for (number, customer) in customers.all().iter().enumerate() {
        let cost = story::SEGMENTS.get(usize::from(customer.segment)).map_or(0.0, |segment| segment.3);
        let cost = (around(cost, 0.5, &mut rng) * 100.0).round() / 100.0;
        let born = rng.random_range(BORN);
        let (gap_cost, gap_birth) =
            (rng.random_bool(story::DIRT_CUSTOMER_GAPS), rng.random_bool(story::DIRT_CUSTOMER_GAPS));
        let (region, city) = customer.place();
        let rows = &mut sink.rows;
        append_id(&mut rows.customer_id, "C", number as u64 + 1, 7);
        rows.signed_up_at.append_value(micros(customer.signed_up_at()));
        rows.birth_date.append_option((!gap_birth).then_some(born));
        rows.region.append_value(region);
        rows.city.append_value(city);
        rows.segment.append_value(story::SEGMENTS.get(usize::from(customer.segment)).map_or("", |segment| segment.0));
        rows.acquisition_cost.append_option((!gap_cost).then_some(cost));
        rows.churned_at.append_option(customer.left_at().map(micros));
        if !sink.flush_if_full()? {
            break;
        }
    }
    sink.finish()
}

fn write_agents(dir: &Path, agents: &Agents) -> Result<TableSummary, DemoError> {
    let mut sink = Sink::<AgentRows>::create(dir, Layout::File)?;
    for number in 0..agents.count() {
        let Some(agent) = agents.get(number) else { continue };
        let rows = &mut sink.rows;
        append_id(&mut rows.agent_id, "A", u64::from(number) + 1, 4);
        let (first, last) = agent.name();
        append_words(&mut rows.name, first, last);
        append_team(&mut rows.team, number);
        rows.hired_at.append_value(micros(agent.hired_at()));
        if !sink.flush_if_full()? {
            break;
        }
    }
    sink.finish()
}

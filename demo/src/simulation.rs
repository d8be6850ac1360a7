//! The simulation of the year, day by day. Memory holds the customers, the agents and the events planned for later
//! days; rows are written in time order.

mod agent_states;
mod calendar;
mod contact_rows;
mod contacts;
mod people;
mod random;
mod surveys;
mod web;

use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use self::agent_states::AgentWork;
use self::calendar::{DayShape, release_factor, release_share, weekday};
use self::contacts::PlannedContact;
use self::people::{write_agents, write_customers};
use self::random::log_normal;
use self::surveys::SurveyAnswer;
use self::web::{Click, Order};
use crate::story;
use crate::tables::{AgentStates, Events, Interactions, Layout, Orders, Sink, Surveys};
use crate::world::{Agents, Customers};
use crate::{DemoError, Options, TableSummary};

/// Rows per file of `interactions`.
const INTERACTIONS_PER_FILE: u64 = 2_000_000;

/// The state of the simulation: customers, agents, planned events, random number streams and table writers.
pub(crate) struct Simulation {
    contacts: u64,
    customers: Customers,
    agents: Agents,
    /// When each agent has finished the assigned contacts, in Unix seconds.
    busy_until: Vec<i64>,
    due: Vec<Vec<PlannedContact>>,
    answers: Vec<Vec<SurveyAnswer>>,
    work: Vec<Vec<AgentWork>>,
    clicks: Vec<Click>,
    orders: Vec<Order>,
    live: DayShape,
    weekend: DayShape,
    later: DayShape,
    /// Factor on the mean wait, by hour of the day.
    load: [f64; 24],
    contact_rng: Pcg64Mcg,
    dirt_rng: Pcg64Mcg,
    text_rng: Pcg64Mcg,
    web_rng: Pcg64Mcg,
    state_rng: Pcg64Mcg,
    text: String,
    next: KeyCounters,
    sinks: Sinks,
}

/// The next number of each primary key.
#[derive(Default)]
struct KeyCounters {
    interaction: u64,
    survey: u64,
    order: u64,
    event: u64,
    session: u64,
    /// The next customer to sign up.
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
    /// Creates a simulation that writes below `dir`.
    pub(crate) fn new(dir: &Path, options: &Options) -> Result<Self, DemoError> {
        // Each concern has its own random number stream, so that changes of one do not affect the others.
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
            next: KeyCounters::default(),
            sinks: Sinks {
                interactions: Sink::create(dir, Layout::Folder(INTERACTIONS_PER_FILE))?,
                surveys: Sink::create(dir, Layout::File)?,
                orders: Sink::create(dir, Layout::File)?,
                events: Sink::create(dir, Layout::File)?,
                states: Sink::create(dir, Layout::File)?,
            },
        })
    }

    /// Simulates the year and writes all tables.
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

    /// The cumulative number of contacts at the end of each day.
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
                let noise = log_normal(1.0, story::DAY_NOISE, &mut self.contact_rng);
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

    /// A random time of the day for a contact by a channel, in Unix seconds.
    fn clock(&mut self, day: usize, channel: u8) -> i64 {
        let shape = match (channel < story::LIVE_CHANNELS, weekday(day)) {
            (false, _) => &self.later,
            (true, 5 | 6) => &self.weekend,
            (true, _) => &self.live,
        };
        story::START + day as i64 * story::DAY_S + shape.draw(&mut self.contact_rng)
    }
}

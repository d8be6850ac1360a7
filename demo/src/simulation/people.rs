//! The tables `customers` and `agents`.

use std::fmt::Write;
use std::path::Path;

use arrow_array::builder::StringBuilder;
use rand::Rng;
use rand_pcg::Pcg64Mcg;

use super::random::log_normal;
use crate::story;
use crate::tables::{Agents as AgentRows, Customers as CustomerRows, Layout, Sink, append_id, micros};
use crate::world::{self, Agents, Customers};
use crate::{DemoError, TableSummary};

pub(super) fn append_team(column: &mut StringBuilder, agent: u32) {
    let queue = story::QUEUES.get(usize::from(world::queue_of(agent))).copied().unwrap_or("");
    let side = story::TEAM_SIDES.get(world::side_of(agent)).copied().unwrap_or("");
    append_words(column, queue, side);
}

fn append_words(column: &mut StringBuilder, first: &str, second: &str) {
    // Writing into a string builder cannot fail.
    let _ = column.write_str(first);
    let _ = column.write_str(" ");
    let _ = column.write_str(second);
    column.append_value("");
}

pub(super) fn write_customers(dir: &Path, customers: &Customers, mut rng: Pcg64Mcg) -> Result<TableSummary, DemoError> {
    /// The range of birth dates, 1945-01-01 to 2007-01-01, in days since 1970-01-01.
    pub(super) const BORN: std::ops::Range<i32> = -9131..13514;
    let mut sink = Sink::<CustomerRows>::create(dir, Layout::File)?;
    for (number, customer) in customers.all().iter().enumerate() {
        let cost = story::SEGMENTS.get(usize::from(customer.segment)).map_or(0.0, |segment| segment.3);
        let cost = (log_normal(cost, 0.5, &mut rng) * 100.0).round() / 100.0;
        let born = rng.random_range(BORN);
        let (gap_cost, gap_birth) =
            (rng.random_bool(story::DIRT_CUSTOMER_GAPS), rng.random_bool(story::DIRT_CUSTOMER_GAPS));
        let (region, city) = customer.location();
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

pub(super) fn write_agents(dir: &Path, agents: &Agents) -> Result<TableSummary, DemoError> {
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

//! Web sessions and orders: visits to help pages before a contact, shopping sessions, and the rows of `events` and
//! `orders`.

use std::mem;

use rand::Rng;

use super::Simulation;
use super::calendar::weekday;
use super::contacts::PlannedContact;
use super::random::{exponential, log_normal, round_randomly};
use crate::DemoError;
use crate::story;
use crate::tables::{append_id, micros};
use crate::world::pick_share;

const ORDER_SKEW: f64 = 1.8;
/// An anonymous visitor.
const ANONYMOUS: u32 = u32::MAX;
/// Mean delay of a first order after signing up, in seconds.
const DAY_MEAN_S: f64 = story::DAY_S as f64;
/// Help pages, by topic.
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
/// Step codes besides the indexes into [`story::FUNNEL`].
const STEP_HELP: u8 = 6;
const STEP_CONTACT: u8 = 7;
/// The index of the product page in [`story::FUNNEL`].
const STEP_PRODUCT: u8 = 2;

/// A step of a web session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Click {
    at: i64,
    session: u64,
    step: u8,
    page: u8,
    customer: u32,
    /// `None` for the last step of a session.
    dwell_s: Option<i32>,
}

/// An order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    at: i64,
    customer: u32,
    amount: f64,
}

impl Simulation {
    /// A visit to the help pages just before a contact, if it starts on the same day.
    pub(super) fn help_session(&mut self, day: usize, due: &PlannedContact) {
        let rng = &mut self.web_rng;
        let steps = 2 + usize::from(rng.random_bool(0.5));
        let mut dwell = [0; 3];
        dwell.fill_with(|| log_normal(45.0, 0.8, rng).clamp(3.0, 1500.0) as i32);
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

    /// Simulates the shopping sessions and orders of a day, and writes its orders and clicks.
    pub(super) fn web_of(&mut self, day: usize) -> Result<bool, DemoError> {
        let midnight = story::START + day as i64 * story::DAY_S;
        let tomorrow = midnight + story::DAY_S;
        let weekly = if weekday(day) >= 5 { 1.15 } else { 0.94 };
        let growth = 1.0 + story::YEARLY_TREND * (day as f64 / story::DAYS as f64 - 0.5);
        let per_day = self.contacts as f64 / story::DAYS as f64 * weekly * growth;
        self.first_orders(tomorrow);
        for _ in 0..round_randomly(per_day * story::ORDERS_PER_CONTACT, &mut self.web_rng) {
            let at = midnight + self.later.draw(&mut self.web_rng);
            if let Some(customer) = self.customers.pick(at, ORDER_SKEW, &mut self.web_rng) {
                self.plan_order(at, customer);
            }
        }
        for _ in 0..round_randomly(per_day * story::SESSIONS_PER_CONTACT, &mut self.web_rng) {
            self.shopping_session(midnight);
        }

        let mut orders = mem::take(&mut self.orders);
        orders.sort_unstable_by_key(|order| (order.at, order.customer, order.amount.to_bits()));
        let today = orders.partition_point(|order| order.at < tomorrow);
        self.orders = orders.split_off(today);
        for order in orders {
            // A first order may be planned after the customer has left.
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
            if click.customer == ANONYMOUS {
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

    /// Plans the first orders of new customers.
    fn first_orders(&mut self, until: i64) {
        while let Some(&customer) = self.customers.get(self.next.customer)
            && customer.signed_up_at() < until
        {
            let number = self.next.customer;
            self.next.customer += 1;
            if customer.signed_up_at() >= story::START && self.web_rng.random_bool(0.8) {
                let at = customer.signed_up_at() + 60 + exponential(DAY_MEAN_S, &mut self.web_rng) as i64;
                if at < story::END && customer.is_active(at) {
                    self.plan_order(at, number);
                }
            }
        }
    }

    fn plan_order(&mut self, at: i64, customer: u32) {
        let segment = self.customers.get(customer).map_or(0, |customer| usize::from(customer.segment));
        let median = story::SEGMENTS.get(segment).map_or(0.0, |segment| segment.2);
        let amount = (log_normal(median, 0.6, &mut self.web_rng) * 100.0).round().max(100.0) / 100.0;
        self.orders.push(Order { at, customer, amount });
    }

    /// A shopping session: steps of the funnel until the visitor drops off.
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
            let dwell = log_normal(35.0, 0.8, &mut self.web_rng).clamp(2.0, 1200.0) as i32;
            let dwell_s = (!is_last).then_some(dwell);
            // A buyer is known, even if not logged in before.
            let is_purchase = step + 1 == story::FUNNEL.len();
            let customer = if is_known || is_purchase { buyer } else { ANONYMOUS };
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
                self.plan_order(at, buyer);
            }
            self.clicks.push(Click { at, session, step: step as u8, page, customer, dwell_s });
            if is_last {
                break;
            }
            at += i64::from(dwell);
        }
    }
}

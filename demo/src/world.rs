//! Customers, agents and shifts.

use rand::Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_pcg::Pcg64Mcg;

use crate::story;

/// A region: name, share of customers, cities.
type Region = (&'static str, f64, [&'static str; 6]);

/// The regions.
const REGIONS: [Region; 4] = [
    ("Europe", 0.33, ["Berlin", "Lisbon", "London", "Madrid", "Paris", "Warsaw"]),
    ("Greater China", 0.25, ["Beijing", "Chengdu", "Guangzhou", "Hong Kong", "Shanghai", "Taipei"]),
    ("North America", 0.27, ["Austin", "Boston", "Chicago", "Denver", "Seattle", "Toronto"]),
    ("Asia Pacific", 0.15, ["Auckland", "Bangalore", "Manila", "Melbourne", "Singapore", "Sydney"]),
];
/// Index of Greater China in [`REGIONS`].
const GREATER_CHINA: u8 = 1;

const FIRST_NAMES: [&str; 40] = [
    "Ada", "Ben", "Carla", "Daniel", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kemal", "Lena", "Marco",
    "Nadia", "Oscar", "Priya", "Quentin", "Rosa", "Samir", "Tara", "Umar", "Vera", "Wei", "Ximena", "Yusuf", "Zoe",
    "Akira", "Bianca", "Chidi", "Dora", "Emil", "Fatima", "Goran", "Hana", "Ivan", "Jun", "Karin", "Luis", "Mei",
    "Noor",
];
const LAST_NAMES: [&str; 41] = [
    "Abbot", "Bauer", "Costa", "Diaz", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Khan", "Lopez",
    "Meyer", "Novak", "Okafor", "Patel", "Quinn", "Rossi", "Silva", "Tanaka", "Ueda", "Vogel", "Wang", "Xu", "Young",
    "Zhang", "Almeida", "Brandt", "Chen", "Dubois", "Evans", "Fontaine", "Greco", "Holm", "Ivanova", "Kim", "Larsen",
    "Moreau", "Nilsen", "Osei", "Petrov",
];

/// Picks an index with probability `shares[index]`; `roll` is uniform in [0, 1).
pub(crate) fn pick_share(shares: impl Iterator<Item = f64>, roll: f64) -> usize {
    let mut left = roll;
    let mut last = 0;
    for (index, share) in shares.enumerate() {
        last = index;
        if left < share {
            return index;
        }
        left -= share;
    }
    last
}

/// A customer, in 12 bytes: all customers are held in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Customer {
    /// Seconds since [`story::START`]; may be negative.
    signed_up: i32,
    /// Seconds since [`story::START`]; `i32::MAX` for a customer who stays.
    left: i32,
    region: u8,
    city: u8,
    /// Index into [`story::SEGMENTS`].
    pub(crate) segment: u8,
    /// True if the customer writes Chinese.
    pub(crate) chinese: bool,
}

impl Customer {
    /// When the customer signed up, in Unix seconds.
    pub(crate) fn signed_up_at(&self) -> i64 {
        story::START + i64::from(self.signed_up)
    }

    /// When the customer left, in Unix seconds.
    pub(crate) fn left_at(&self) -> Option<i64> {
        (self.left != i32::MAX).then(|| story::START + i64::from(self.left))
    }

    /// Returns true if the customer has signed up and not left at a timestamp.
    pub(crate) fn is_active(&self, at: i64) -> bool {
        self.signed_up_at() <= at && self.left_at().is_none_or(|left| at < left)
    }

    /// Sets the time of leaving, unless an earlier one is set already.
    pub(crate) fn leaves(&mut self, at: i64) {
        let at = i32::try_from(at - story::START).unwrap_or(i32::MAX);
        self.left = self.left.min(at);
    }

    /// Region and city.
    pub(crate) fn location(&self) -> (&'static str, &'static str) {
        let (region, _, cities) = REGIONS.get(usize::from(self.region)).unwrap_or(&REGIONS[0]);
        (region, cities.get(usize::from(self.city)).unwrap_or(&cities[0]))
    }
}

/// All customers, sorted by the time of signing up.
pub(crate) struct Customers {
    all: Vec<Customer>,
}

impl Customers {
    /// Generates `count` customers.
    pub(crate) fn generate(count: u64, rng: &mut Pcg64Mcg) -> Self {
        const BEFORE_S: f64 = 6.0 * 365.25 * story::DAY_S as f64;
        let in_year = story::DAYS as f64 * story::DAY_S as f64;
        let old = 1.0 - story::SIGNED_UP_IN_YEAR;
        let mut all = Vec::with_capacity(count as usize);
        for number in 0..count {
            // Sorted by construction: customer k of n falls into the k-th of n equal slices.
            let slice = (number as f64 + rng.random::<f64>()) / count as f64;
            let signed_up = if slice < old {
                -BEFORE_S * (1.0 - (slice / old).powf(0.6))
            } else {
                in_year * (slice - old) / story::SIGNED_UP_IN_YEAR
            };
            let region = pick_share(REGIONS.iter().map(|region| region.1), rng.random()) as u8;
            let segment = pick_share(story::SEGMENTS.iter().map(|segment| segment.1), rng.random()) as u8;
            let mut customer = Customer {
                signed_up: signed_up as i32,
                left: i32::MAX,
                region,
                city: rng.random_range(0..6),
                segment,
                chinese: region == GREATER_CHINA && rng.random_bool(story::WRITES_CHINESE),
            };
            if rng.random_bool(story::LEAVES_ANYWAY) {
                let from = signed_up.max(0.0);
                let left = from + rng.random::<f64>() * (in_year - from);
                customer.leaves(story::START + left as i64);
            }
            all.push(customer);
        }
        Self { all }
    }

    /// All customers.
    pub(crate) fn all(&self) -> &[Customer] {
        &self.all
    }

    /// One of them.
    pub(crate) fn get(&self, number: u32) -> Option<&Customer> {
        self.all.get(number as usize)
    }

    /// One customer, mutable.
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Customer> {
        self.all.get_mut(number as usize)
    }

    /// Returns true if a customer is active at a timestamp.
    pub(crate) fn is_active(&self, number: u32, at: i64) -> bool {
        self.get(number).is_some_and(|customer| customer.is_active(at))
    }

    /// Picks a customer who is active at a timestamp. A higher `skew` concentrates activity on fewer customers.
    pub(crate) fn pick(&self, at: i64, skew: f64, rng: &mut Pcg64Mcg) -> Option<u32> {
        /// A prime above any number of customers: the multiplication spreads the frequent ones over all sign-up dates.
        const SCATTER: u64 = 2_654_435_761;
        let count = self.all.len() as u64;
        if count == 0 {
            return None;
        }
        for _ in 0..64 {
            let rank = ((count as f64 * rng.random::<f64>().powf(skew)) as u64).min(count - 1);
            let number = (rank * SCATTER % count) as u32;
            if self.is_active(number, at) {
                return Some(number);
            }
        }
        (0..count as u32).find(|&number| self.is_active(number, at))
    }
}

/// An agent.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    /// Added to the probability of resolving a contact, before the factor.
    pub(crate) solved_shift: f64,
    /// Multiplies the probability of resolving a contact.
    pub(crate) solved_factor: f64,
    /// Multiplies handle time.
    pub(crate) pace: f64,
    hired_at: i64,
    name: (&'static str, &'static str),
}

/// All agents, and their rosters.
pub(crate) struct Agents {
    all: Vec<Agent>,
    /// The numbers of the agents at work, by queue, day of the week and hour.
    rosters: Vec<Vec<u32>>,
}

impl Agents {
    /// Generates the agents needed for a number of contacts.
    pub(crate) fn generate(contacts: u64, rng: &mut Pcg64Mcg) -> Self {
        let count = story::AGENTS_BASE + contacts / story::CONTACTS_PER_EXTRA_AGENT;
        let names = (FIRST_NAMES.len() * LAST_NAMES.len()) as u64;
        let all: Vec<Agent> = (0..count)
            .map(|number| {
                let low = story::LOW_AGENTS.iter().any(|&agent| u64::from(agent) == number);
                let (shift, pace): (f64, f64) = (StandardNormal.sample(rng), StandardNormal.sample(rng));
                let service: f64 = Exp1.sample(rng);
                let service_days = (60.0 + 900.0 * service).min(12.0 * 365.0) as i64;
                // 641 is coprime to 40 * 41: the first 1640 names are distinct.
                let name = number * 641 % names;
                Agent {
                    solved_shift: shift.clamp(-2.5, 2.5) * story::AGENT_SOLVED_SPREAD,
                    solved_factor: if low { story::LOW_AGENT_SOLVED } else { 1.0 },
                    pace: (pace.clamp(-2.5, 2.5) * story::AGENT_PACE_SPREAD).exp(),
                    hired_at: story::START - service_days * story::DAY_S + 9 * 3600,
                    name: (
                        FIRST_NAMES.get((name % 40) as usize).unwrap_or(&""),
                        LAST_NAMES.get((name / 40) as usize).unwrap_or(&""),
                    ),
                }
            })
            .collect();
        let mut rosters = vec![Vec::new(); story::QUEUES.len() * 7 * 24];
        for agent in 0..count as u32 {
            for weekday in 0..7 {
                let Some((from, to)) = shift(agent, weekday) else { continue };
                for hour in from..to {
                    if let Some(roster) = rosters.get_mut(slot(queue_of(agent), weekday, hour)) {
                        roster.push(agent);
                    }
                }
            }
        }
        Self { all, rosters }
    }

    /// Number of agents.
    pub(crate) fn count(&self) -> u32 {
        self.all.len() as u32
    }

    /// One of them.
    pub(crate) fn get(&self, number: u32) -> Option<&Agent> {
        self.all.get(number as usize)
    }

    /// The agents of a queue who are at work in an hour.
    pub(crate) fn at_work(&self, queue: u8, weekday: usize, hour: i64) -> &[u32] {
        self.rosters.get(slot(queue, weekday, hour)).map_or(&[], Vec::as_slice)
    }
}

impl Agent {
    /// First and last name.
    pub(crate) fn name(&self) -> (&'static str, &'static str) {
        self.name
    }

    /// When the agent was hired, in Unix seconds.
    pub(crate) fn hired_at(&self) -> i64 {
        self.hired_at
    }
}

fn slot(queue: u8, weekday: usize, hour: i64) -> usize {
    (usize::from(queue) * 7 + weekday) * 24 + usize::try_from(hour).unwrap_or(0)
}

/// The queue of an agent.
pub(crate) fn queue_of(agent: u32) -> u8 {
    (agent % story::QUEUES.len() as u32) as u8
}

/// The team of an agent within the queue: 0 or 1.
pub(crate) fn side_of(agent: u32) -> usize {
    (agent as usize / story::QUEUES.len()) % story::TEAM_SIDES.len()
}

/// The shift of an agent on a day of the week (Monday is 0), as hours; `None` on days off.
pub(crate) fn shift(agent: u32, weekday: usize) -> Option<(i64, i64)> {
    let rank = agent / story::QUEUES.len() as u32 % 8;
    let days_off: [usize; 2] = match rank {
        0 | 1 => [1, 2],
        4 | 5 => [3, 4],
        _ => [5, 6],
    };
    if days_off.contains(&weekday) {
        return None;
    }
    if rank % 2 == 1 {
        return Some((story::CLOSE_HOUR - 8, story::CLOSE_HOUR));
    }
    // Planted effect: on Mondays all but one of eight early agents in Billing start after the rush.
    if weekday == 0 && queue_of(agent) == story::QUEUE_BILLING && rank != 0 {
        return Some((story::MONDAY_TO_HOUR, story::MONDAY_TO_HOUR + 8));
    }
    Some((story::OPEN_HOUR, story::OPEN_HOUR + 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_queue_has_somebody_at_work_in_every_open_hour() {
        let agents = Agents::generate(0, &mut Pcg64Mcg::seed_from_u64(1));
        for queue in 0..story::QUEUES.len() as u8 {
            for weekday in 0..7 {
                for hour in story::OPEN_HOUR..story::CLOSE_HOUR {
                    assert!(!agents.at_work(queue, weekday, hour).is_empty(), "{queue} {weekday} {hour}");
                }
            }
        }
        let normal = agents.at_work(story::QUEUE_BILLING, 1, 9).len();
        assert!(agents.at_work(story::QUEUE_BILLING, 0, 9).len() < normal);
    }

    #[test]
    fn customers_are_in_order_of_signing_up_and_nobody_leaves_before() {
        let customers = Customers::generate(5000, &mut Pcg64Mcg::seed_from_u64(1));
        assert!(customers.all().is_sorted_by_key(Customer::signed_up_at));
        assert!(customers.all().iter().all(|c| c.left_at().is_none_or(|left| left >= c.signed_up_at())));
        let new = customers.all().iter().filter(|c| c.signed_up_at() >= story::START).count();
        assert!((740..=760).contains(&new), "{new}");
    }

    #[test]
    fn agents_have_different_names() {
        let agents = Agents::generate(10_000_000, &mut Pcg64Mcg::seed_from_u64(1));
        let names: std::collections::HashSet<_> = agents.all.iter().map(Agent::name).collect();
        assert_eq!(names.len(), agents.all.len());
        assert!(agents.count() > 1000);
    }

    #[test]
    fn shares_are_picked_in_proportion() {
        let shares = [0.2, 0.5, 0.3];
        assert_eq!(pick_share(shares.into_iter(), 0.0), 0);
        assert_eq!(pick_share(shares.into_iter(), 0.199), 0);
        assert_eq!(pick_share(shares.into_iter(), 0.2), 1);
        assert_eq!(pick_share(shares.into_iter(), 0.71), 2);
        assert_eq!(pick_share(shares.into_iter(), 0.9999999999999999), 2);
    }
}

//! Time within the simulated year: day and hour of a timestamp, daily profiles, and the planted effects by day.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use crate::story;

pub(super) const HOUR_S: i64 = 3600;

/// The cumulative distribution of arrivals over the hours of a day.
pub(super) struct DayShape([f64; 24]);

impl DayShape {
    pub(super) fn new(hours: &[f64; 24]) -> Self {
        let total: f64 = hours.iter().sum();
        let mut sum = 0.0;
        Self(hours.map(|hour| {
            sum += hour / total;
            sum
        }))
    }

    /// A random second of the day.
    pub(super) fn draw(&self, rng: &mut Pcg64Mcg) -> i64 {
        let roll: f64 = rng.random();
        let hour = self.0.partition_point(|&sum| sum <= roll).min(23);
        hour as i64 * HOUR_S + rng.random_range(0..HOUR_S)
    }
}

/// The day of the week of a day; Monday is 0.
pub(super) fn weekday(day: usize) -> usize {
    (day + story::FIRST_WEEKDAY) % 7
}

/// The day of a timestamp; `None` before the start of the data.
pub(super) fn day_of(at: i64) -> Option<usize> {
    usize::try_from((at - story::START).div_euclid(story::DAY_S)).ok()
}

/// The hour of a timestamp.
pub(super) fn hour_of(at: i64) -> i64 {
    at.rem_euclid(story::DAY_S) / HOUR_S
}

/// The volume of the topic of the release, relative to the volume without it.
pub(super) fn release_factor(day: usize) -> f64 {
    match day.checked_sub(story::RELEASE_DAY) {
        Some(passed) if passed < story::RELEASE_DAYS => {
            1.0 + (story::RELEASE_VOLUME - 1.0) * (1.0 - passed as f64 / story::RELEASE_DAYS as f64)
        }
        _ => 1.0,
    }
}

/// The share of long contacts in the queue whose handle time shifts.
pub(super) fn shifted_share(day: usize) -> f64 {
    day.checked_sub(story::SHIFT_DAY).map_or(0.0, |passed| {
        let passed = passed as f64 / (story::DAYS - 1 - story::SHIFT_DAY) as f64;
        story::SHIFT_FROM_SHARE + (story::SHIFT_TO_SHARE - story::SHIFT_FROM_SHARE) * passed * passed
    })
}

/// Returns true if Billing is understaffed in an hour of a day.
pub(super) fn is_monday_rush(queue: u8, day: usize, hour: i64) -> bool {
    queue == story::QUEUE_BILLING
        && weekday(day) == 0
        && (story::MONDAY_FROM_HOUR..story::MONDAY_TO_HOUR).contains(&hour)
}

/// The share of the release's topic and product in first contacts without the release.
pub(super) fn release_share() -> f64 {
    story::TOPICS.get(usize::from(story::TOPIC_TECHNICAL)).map_or(0.0, |topic| topic.share)
        * story::PRODUCTS.get(usize::from(story::PRODUCT_ATLAS)).map_or(0.0, |product| product.1)
        * (1.0 - story::OUTBOUND_SHARE)
}

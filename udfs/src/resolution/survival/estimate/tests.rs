use super::*;
use crate::resolution::state::Unit;

const DAY: i64 = Unit::Microsecond.per_day();

fn days(days: i32) -> Window {
    Window::new(0, days, 0, Unit::Microsecond).unwrap()
}

/// Contacts by the day they start, the day of the next one and the day up to which they are observed.
fn follow_up(contacts: &[(i64, Option<i64>, i64)], window: Window) -> FollowUp {
    let mut seen = FollowUp::default();
    for &(at, next, until) in contacts {
        seen.add(at * DAY, next.map(|next| next * DAY), window, until * DAY);
    }
    seen
}

/// From durations in days and whether they ended with a repeat, followed for at most `horizon` days.
fn of_durations(durations: &[(i64, bool)], horizon: i32) -> FollowUp {
    let contacts: Vec<_> = durations
        .iter()
        .map(|&(days, is_repeated)| (0, is_repeated.then_some(days), if is_repeated { 999 } else { days }))
        .collect();
    follow_up(&contacts, days(horizon))
}

/// Kaplan and Meier 1958, page 464: lifetimes .8, 3.1, 5.4, 9.2 of deaths and 1.0, 2.7, 7.0, 12.1 of losses. Here in tenths.
const KAPLAN_MEIER: [(i64, bool); 8] =
    [(8, true), (10, false), (27, false), (31, true), (54, true), (70, false), (92, true), (121, false)];

#[test]
fn the_example_of_kaplan_and_meier() {
    // Their table: 7/8 after .8, 7/8 * 4/5 = 7/10 after 3.1, 7/10 * 3/4 = 21/40 after 5.4, 21/40 * 1/2 = 21/80 after 9.2.
    for (horizon, share) in [(7, 1.0), (8, 7.0 / 8.0), (30, 7.0 / 8.0), (31, 0.7), (54, 21.0 / 40.0), (92, 21.0 / 80.0)]
    {
        let estimate = of_durations(&KAPLAN_MEIER, horizon).estimate().unwrap();
        assert!((estimate.share - share).abs() < 1e-15, "{horizon}: {estimate:?}, wanted {share}");
    }
    // Nothing is known after 12.1.
    assert_eq!(of_durations(&KAPLAN_MEIER, 122).estimate(), None);
}

#[test]
fn greenwood_of_that_example() {
    // After 5.4: 21/40 * sqrt(1/(8*7) + 1/(5*4) + 1/(4*3)).
    let error = 21.0 / 40.0 * f64::sqrt(1.0 / 56.0 + 1.0 / 20.0 + 1.0 / 12.0);
    assert!((of_durations(&KAPLAN_MEIER, 60).estimate().unwrap().error - error).abs() < 1e-15);
}

#[test]
fn without_censoring_it_is_the_plain_share_to_the_last_bit() {
    for n in 1..200_i64 {
        for repeated in 0..=n {
            let durations: Vec<_> = (0..n).map(|i| if i < repeated { (i % 7, true) } else { (99, false) }).collect();
            let estimate = of_durations(&durations, 7).estimate().unwrap();
            let share = (n - repeated) as f64 / n as f64;
            assert_eq!(estimate.share.to_bits(), share.to_bits(), "{repeated} of {n}");
            let error = f64::sqrt(share * (1.0 - share) / n as f64);
            assert!((estimate.error - error).abs() < 1e-12, "{repeated} of {n}: {estimate:?}");
        }
    }
}

#[test]
fn no_contact_and_a_censored_last_one_are_unknown() {
    assert_eq!(FollowUp::default().estimate(), None);
    // Repeats alone are no evidence of the rest of the window: day 6 of 7.
    assert_eq!(of_durations(&[(1, true), (2, true), (6, false)], 7).estimate(), None);
    // A contact in observation to the last is repeated: the share is 0.
    assert_eq!(of_durations(&[(1, false), (2, true)], 7).estimate(), Some(Estimate { share: 0.0, error: 0.0 }));
    // Observed up to before the contact: no observation.
    assert_eq!(follow_up(&[(5, None, 4)], days(7)).estimate(), None);
}

#[test]
fn ends_of_window_and_observation_are_within() {
    // A repeat on day 7 of 7 counts; one on day 8 does not.
    assert_eq!(of_durations(&[(7, true), (8, true)], 7).estimate().unwrap().share, 0.5);
    // Observed for 7 of 7 days: resolved, not censored.
    assert_eq!(of_durations(&[(7, false)], 7), of_durations(&[(99, false)], 7));
    // A repeat at the end of the observation was seen, one after it was not: (0, 3) is repeated, (0, 4) censored.
    let seen = follow_up(&[(0, Some(3), 3), (0, Some(4), 3), (0, None, 99)], days(7));
    assert_eq!(seen, of_durations(&[(3, true), (3, false), (99, false)], 7));
    // Repeat before censoring at the same time: 2/3 remain.
    assert_eq!(seen.clone().estimate().unwrap().share, 2.0 / 3.0);
}

#[test]
fn months_run_as_the_part_of_each_contacts_own_month() {
    let month = Window::new(1, 0, 0, Unit::Microsecond).unwrap();
    // 1 January 1970 has 31 days: half is day 15.5; 1 February (day 31) has 28: half is day 14.
    let mut seen = FollowUp::default();
    seen.add(0, Some(31 * DAY / 2), month, 99 * DAY);
    seen.add(31 * DAY, Some(45 * DAY), month, 99 * DAY);
    seen.add(31 * DAY, Some(59 * DAY), month, 99 * DAY);
    seen.add(31 * DAY, Some(59 * DAY + 1), month, 99 * DAY);
    let half = 1_i64 << 52;
    assert_eq!(seen.parts(), ([half, half, 1 << 53].as_slice(), [].as_slice(), 1));
    assert_eq!(seen.estimate().unwrap().share, 0.25);
}

#[test]
fn split_anywhere_and_merged_or_retracted_is_the_whole() {
    for horizon in [8, 31, 60, 92] {
        let whole = of_durations(&KAPLAN_MEIER, horizon).estimate();
        for split in 0..=KAPLAN_MEIER.len() {
            let (left, right) = KAPLAN_MEIER.split_at(split);
            let (mut merged, mut other) = (of_durations(left, horizon), of_durations(right, horizon));
            let (repeated, censored, resolved) = other.parts();
            merged.merge(repeated, censored, resolved);
            assert_eq!(merged.estimate(), whole, "{split}");
            merged.retract(of_durations(left, horizon));
            assert_eq!(merged.estimate(), of_durations(right, horizon).estimate(), "{split}");
        }
    }
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    let mut seen = FollowUp::default();
    for window in [days(7), days(i32::MAX), Window::new(i32::MAX, i32::MAX, i64::MAX, Unit::Nanosecond).unwrap()] {
        seen.add(i64::MIN, Some(i64::MAX), window, i64::MAX);
        seen.add(i64::MAX, Some(i64::MAX), window, i64::MAX);
        seen.add(i64::MIN, None, window, i64::MAX);
    }
    assert!(seen.estimate().is_some());
}

//! `cn`: the public holidays and make-up working days of China, from `china/days.csv`.

use super::definition::{Day, day_of, parse_date};

/// The years of the calendar. What the State Council has not announced yet is not known.
pub(super) const FIRST_YEAR: i32 = 2004;
pub(super) const LAST_YEAR: i32 = 2026;

const DAYS: &str = include_str!("china/days.csv");

/// Holidays, and make-up working days.
pub(super) fn days() -> (Vec<Day>, Vec<Day>) {
    let (mut holidays, mut working_days) = (vec![], vec![]);
    for line in DAYS.lines().skip(1) {
        let mut fields = line.split(',');
        let (Some(Ok(date)), Some(kind)) = (fields.next().map(parse_date), fields.next()) else { continue };
        match kind {
            "holiday" => holidays.push(day_of(date)),
            _ => working_days.push(day_of(date)),
        }
    }
    (holidays, working_days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_day() {
        let (holidays, working_days) = days();
        // as `generate.py` prints
        assert_eq!((holidays.len(), working_days.len()), (621, 150));
        let last = working_days.iter().copied().max().unwrap();
        assert_eq!(last, day_of(parse_date("2026-10-10").unwrap()));
    }
}

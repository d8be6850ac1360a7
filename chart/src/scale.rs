//! Scales (values to coordinates) and axis ticks.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, Timelike, Utc};

use crate::{Form, Language};

/// A linear scale: maps `low` to `from` and `high` to `to`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

impl Scale {
    pub(crate) fn at(&self, value: f64) -> f64 {
        if self.high == self.low {
            return (self.from + self.to) / 2.0;
        }
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// An axis tick: its value and label. The second line is the enclosing period, such as the year of a month.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) text: String,
    pub(crate) below: Option<String>,
}

/// The range of an axis and its step: round numbers, about `wanted` steps.
pub(crate) fn nice(low: f64, high: f64, wanted: usize, form: Form) -> (f64, f64, f64) {
    let (low, high) = if low == high {
        // center a single value
        let room = if low == 0.0 { 1.0 } else { low.abs() * 0.5 };
        (low - room, high + room)
    } else {
        (low, high)
    };
    let rough = (high - low) / wanted.max(1) as f64;
    let step =
        if form == Form::Duration && high.abs().max(low.abs()) >= 10.0 { clock_step(rough) } else { round_step(rough) };
    ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step, step)
}

/// 1, 2, 2.5 or 5 times a power of ten, at least `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let leading = rough / power;
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| leading <= factor * (1.0 + 1e-9));
    factor.unwrap_or(10.0) * power
}

/// A round number of seconds, minutes, hours or days, at least `rough`.
fn clock_step(rough: f64) -> f64 {
    const STEPS: [f64; 18] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0,
        43_200.0, 86_400.0,
    ];
    match STEPS.into_iter().find(|step| rough <= *step) {
        Some(step) => step,
        None => round_step(rough / 86_400.0) * 86_400.0,
    }
}

/// The ticks from `low` to `high`.
pub(crate) fn ticks(low: f64, high: f64, step: f64, form: Form, language: Language) -> Vec<Tick> {
    let count = ((high - low) / step).round() as usize;
    // multiplied, not summed: sums accumulate rounding errors
    let values = (0..=count.min(200)).map(|index| low + step * index as f64);
    values
        .map(|value| {
            let value = if value.abs() < step * 1e-9 { 0.0 } else { value };
            Tick { value, text: form.tick(value, step, language), below: None }
        })
        .collect()
}

/// Steps of a time axis.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Minutes(i64),
    Days(i64),
    Weeks(i64),
    Months(i32),
}

const STEPS: [(Step, f64); 21] = [
    (Step::Minutes(1), 60.0),
    (Step::Minutes(5), 300.0),
    (Step::Minutes(15), 900.0),
    (Step::Minutes(30), 1800.0),
    (Step::Minutes(60), 3600.0),
    (Step::Minutes(180), 10_800.0),
    (Step::Minutes(360), 21_600.0),
    (Step::Minutes(720), 43_200.0),
    (Step::Days(1), 86_400.0),
    (Step::Days(2), 172_800.0),
    (Step::Weeks(1), 604_800.0),
    (Step::Weeks(2), 1_209_600.0),
    (Step::Months(1), 2_629_800.0),
    (Step::Months(2), 5_259_600.0),
    (Step::Months(3), 7_889_400.0),
    (Step::Months(6), 15_778_800.0),
    (Step::Months(12), 31_557_600.0),
    (Step::Months(24), 63_115_200.0),
    (Step::Months(60), 157_788_000.0),
    (Step::Months(120), 315_576_000.0),
    (Step::Months(1200), 3_155_760_000.0),
];

/// The ticks of a time axis from `low` to `high`, in milliseconds: full minutes, hours, days, Mondays, months or years,
/// about `wanted` at most.
pub(crate) fn time_ticks(low: f64, high: f64, wanted: usize, language: Language) -> Vec<Tick> {
    let rough = (high - low) / 1000.0 / wanted.max(1) as f64;
    let step = STEPS.iter().find(|(_, seconds)| rough <= *seconds * 1.05).map_or(Step::Months(1200), |(step, _)| *step);
    let Some(start) = timestamp(low).and_then(|start| floor(start, step)) else { return vec![] };
    let mut ticks = Vec::new();
    let mut at = start;
    let mut frame = String::new();
    for _ in 0..200 {
        let value = at.and_utc().timestamp_millis() as f64;
        if value > high {
            break;
        }
        if value >= low {
            let (text, wider) = time_text(at, step, language);
            let below = (wider != frame).then(|| wider.clone()).filter(|wider| !wider.is_empty());
            frame = wider;
            ticks.push(Tick { value, text, below });
        }
        let Some(next) = advance(at, step) else { break };
        at = next;
    }
    ticks
}

pub(crate) fn timestamp(milliseconds: f64) -> Option<NaiveDateTime> {
    DateTime::<Utc>::from_timestamp_millis(milliseconds as i64).map(|at| at.naive_utc())
}

fn floor(at: NaiveDateTime, step: Step) -> Option<NaiveDateTime> {
    let midnight = at.date().and_hms_opt(0, 0, 0)?;
    match step {
        Step::Minutes(minutes) => {
            let past = i64::from(at.num_seconds_from_midnight()) / 60;
            Some(midnight + Duration::minutes(past - past % minutes))
        }
        // counted from 1970: odd days of the month would be unevenly spaced at its end
        Step::Days(days) => {
            let past = midnight.and_utc().timestamp().div_euclid(86_400);
            Some(midnight - Duration::days(past.rem_euclid(days)))
        }
        Step::Weeks(weeks) => {
            let monday = midnight - Duration::days(i64::from(at.weekday().num_days_from_monday()));
            // 1970-01-05 was a Monday
            let past = (monday.and_utc().timestamp().div_euclid(86_400) - 4).div_euclid(7);
            Some(monday - Duration::weeks(past.rem_euclid(weeks)))
        }
        Step::Months(months) => {
            let count = at.year() * 12 + at.month0() as i32;
            month(count - count.rem_euclid(months))
        }
    }
}

/// The first of a month, counted from the year 0.
fn month(count: i32) -> Option<NaiveDateTime> {
    let month = u32::try_from(count.rem_euclid(12)).ok()? + 1;
    NaiveDate::from_ymd_opt(count.div_euclid(12), month, 1)?.and_hms_opt(0, 0, 0)
}

fn advance(at: NaiveDateTime, step: Step) -> Option<NaiveDateTime> {
    match step {
        Step::Minutes(minutes) => at.checked_add_signed(Duration::minutes(minutes)),
        Step::Days(days) => at.checked_add_signed(Duration::days(days)),
        Step::Weeks(weeks) => at.checked_add_signed(Duration::weeks(weeks)),
        Step::Months(months) => month(at.year() * 12 + at.month0() as i32 + months),
    }
}

/// The label of a tick, and its enclosing period.
fn time_text(at: NaiveDateTime, step: Step, language: Language) -> (String, String) {
    let words = language.words();
    let month = words.months[at.month0() as usize];
    match (step, language) {
        (Step::Minutes(_), Language::English) => {
            (format!("{:02}:{:02}", at.hour(), at.minute()), format!("{} {month} {}", at.day(), at.year()))
        }
        (Step::Minutes(_), Language::Chinese) => {
            (format!("{:02}:{:02}", at.hour(), at.minute()), format!("{}年{month}{}日", at.year(), at.day()))
        }
        (Step::Days(_) | Step::Weeks(_), Language::English) => {
            (format!("{} {month}", at.day()), format!("{}", at.year()))
        }
        (Step::Days(_) | Step::Weeks(_), Language::Chinese) => {
            (format!("{month}{}日", at.day()), format!("{}年", at.year()))
        }
        (Step::Months(months), Language::English) if months < 12 => (month.to_string(), format!("{}", at.year())),
        (Step::Months(months), Language::Chinese) if months < 12 => (month.to_string(), format!("{}年", at.year())),
        (Step::Months(_), _) => (format!("{}", at.year()), String::new()),
    }
}

/// Labels of timestamps at the coarsest precision that all share: years, months, days or minutes.
pub(crate) fn time_labels(times: &[Option<f64>], language: Language) -> Vec<Option<String>> {
    let timestamps: Vec<Option<NaiveDateTime>> = times.iter().map(|time| time.and_then(timestamp)).collect();
    let all = |meets: fn(&NaiveDateTime) -> bool| timestamps.iter().flatten().all(meets);
    let is_day = all(|at| at.num_seconds_from_midnight() == 0);
    let is_month = is_day && all(|at| at.day() == 1);
    let is_year = is_month && all(|at| at.month() == 1) && timestamps.iter().flatten().count() > 1;
    timestamps
        .iter()
        .map(|at| {
            at.map(|at| {
                let month = language.words().months[at.month0() as usize];
                match language {
                    _ if is_year => at.format("%Y").to_string(),
                    Language::English if is_month => format!("{month} {}", at.year()),
                    Language::Chinese if is_month => format!("{}年{month}", at.year()),
                    _ if is_day => at.format("%Y-%m-%d").to_string(),
                    _ => at.format("%Y-%m-%d %H:%M").to_string(),
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(text: &str) -> f64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp_millis() as f64
    }

    fn texts(ticks: &[Tick]) -> Vec<String> {
        let both = |tick: &Tick| match &tick.below {
            Some(below) => format!("{} / {below}", tick.text),
            None => tick.text.clone(),
        };
        ticks.iter().map(both).collect()
    }

    #[test]
    fn a_scale_is_a_straight_line() {
        let scale = Scale { low: 0.0, high: 10.0, from: 200.0, to: 0.0 };
        // 2.5 is a quarter of the way from 200 to 0
        assert_eq!(scale.at(2.5), 150.0);
        assert_eq!(Scale { high: 0.0, ..scale }.at(7.0), 100.0);
    }

    #[test]
    fn axes_reach_from_round_number_to_round_number() {
        // 97 / 5 = 19.4, so the step is 20
        assert_eq!(nice(0.0, 97.0, 5, Form::Number), (0.0, 100.0, 20.0));
        // 0.11 / 5 = 0.022, so the step is 0.025
        let (low, high, step) = nice(0.7, 0.81, 5, Form::Percent);
        assert!((low - 0.7).abs() < 1e-12 && (high - 0.825).abs() < 1e-12 && (step - 0.025).abs() < 1e-12);
        // 1100 s / 5 = 220 s, so the step is 5 minutes
        assert_eq!(nice(0.0, 1100.0, 5, Form::Duration), (0.0, 1200.0, 300.0));
        // a single value
        assert_eq!(nice(4.0, 4.0, 4, Form::Number), (2.0, 6.0, 1.0));
        assert_eq!(nice(0.0, 0.0, 4, Form::Number), (-1.0, 1.0, 0.5));
        assert_eq!(nice(-30.0, 20.0, 5, Form::Points), (-30.0, 20.0, 10.0));
    }

    #[test]
    fn marks_do_not_drift() {
        let found = ticks(0.0, 1.0, 0.1, Form::Percent, Language::English);
        assert_eq!(found.len(), 11);
        assert_eq!(found[3].text, "30%");
        let found = ticks(-1.0, 1.0, 0.5, Form::Number, Language::English);
        assert_eq!(texts(&found), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
    }

    #[test]
    fn a_year_has_marks_at_months_and_says_the_year_once() {
        let found = time_ticks(
            milliseconds("2025-01-01T00:00:00Z"),
            milliseconds("2025-12-31T00:00:00Z"),
            6,
            Language::English,
        );
        assert_eq!(texts(&found), ["Jan / 2025", "Mar", "May", "Jul", "Sep", "Nov"]);
        let found = time_ticks(
            milliseconds("2024-11-15T00:00:00Z"),
            milliseconds("2025-03-15T00:00:00Z"),
            5,
            Language::Chinese,
        );
        assert_eq!(texts(&found), ["12月 / 2024年", "1月 / 2025年", "2月", "3月"]);
    }

    #[test]
    fn weeks_begin_on_monday_and_days_run_through_months() {
        // 2025-06-02 and 2025-06-16 are Mondays
        let found = time_ticks(
            milliseconds("2025-05-30T00:00:00Z"),
            milliseconds("2025-06-28T00:00:00Z"),
            4,
            Language::English,
        );
        assert_eq!(texts(&found), ["2 Jun / 2025", "9 Jun", "16 Jun", "23 Jun"]);
        let found = time_ticks(
            milliseconds("2024-02-27T06:00:00Z"),
            milliseconds("2024-03-02T00:00:00Z"),
            5,
            Language::English,
        );
        assert_eq!(texts(&found), ["28 Feb / 2024", "29 Feb", "1 Mar", "2 Mar"]);
        let found = time_ticks(
            milliseconds("2025-06-01T22:00:00Z"),
            milliseconds("2025-06-02T10:00:00Z"),
            4,
            Language::English,
        );
        assert_eq!(texts(&found), ["00:00 / 2 Jun 2025", "03:00", "06:00", "09:00"]);
    }

    #[test]
    fn time_labels_are_as_short_as_all_allow() {
        let label = |times: &[&str]| {
            let times: Vec<Option<f64>> = times.iter().map(|time| Some(milliseconds(time))).collect();
            time_labels(&times, Language::English).into_iter().flatten().collect::<Vec<_>>()
        };
        assert_eq!(label(&["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]), ["2024", "2025"]);
        assert_eq!(label(&["2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"]), ["Jan 2025", "Feb 2025"]);
        assert_eq!(label(&["2025-01-06T00:00:00Z", "2025-01-13T00:00:00Z"]), ["2025-01-06", "2025-01-13"]);
        assert_eq!(label(&["2025-01-06T09:30:00Z"]), ["2025-01-06 09:30"]);
    }
}

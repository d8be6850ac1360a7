//! [`Calendars`]: the calendars of a project by name, each with its timeline, which is built on its first use.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock, OnceLock};

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::definition::{
    CalendarDefinition, DateRange, Day, DayHours, FIRST_DATE, LAST_DATE, Span, WeeklyHours, date, day_of, weekday_of,
};
use super::timeline::Timeline;
use super::{china, germany};

/// What is special on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
enum DayRule {
    Closed,
    Working,
    Own(DayHours),
}

/// A calendar with everything that it takes from others.
pub(super) struct Calendar {
    zone: Tz,
    hours: WeeklyHours,
    working_day_hours: Option<DayHours>,
    /// In the order of their dates.
    changes: Vec<(Day, WeeklyHours)>,
    days: BTreeMap<Day, DayRule>,
    first: NaiveDate,
    last: NaiveDate,
    timeline: OnceLock<Timeline>,
}

impl Calendar {
    /// The opening hours in UTC.
    pub(super) fn timeline(&self) -> &Timeline {
        self.timeline.get_or_init(|| {
            Timeline::new(self.zone, day_of(self.first), day_of(self.last), |day, spans| {
                spans.extend_from_slice(self.spans(day));
            })
        })
    }

    fn spans(&self, day: Day) -> &[Span] {
        let changed = self.changes.partition_point(|(from, _)| *from <= day).checked_sub(1);
        let hours = changed.and_then(|index| self.changes.get(index)).map_or(&self.hours, |(_, hours)| hours);
        match self.days.get(&day) {
            None => hours.of_weekday(weekday_of(day)),
            Some(DayRule::Closed) => &[],
            Some(DayRule::Working) => {
                self.working_day_hours.as_ref().map_or_else(|| hours.of_working_day(), |hours| hours.spans())
            }
            Some(DayRule::Own(hours)) => hours.spans(),
        }
    }

    /// A calendar from its definition and the one that it extends.
    fn new(definition: &CalendarDefinition, base: Option<&Self>) -> Result<Self, String> {
        let zone = match (&definition.time_zone, base) {
            (Some(name), _) => name
                .parse::<Tz>()
                .map_err(|_| format!("time_zone: `{name}` is no time zone; a name such as Europe/Berlin is wanted"))?,
            (None, Some(base)) => base.zone,
            (None, None) => return Err("time_zone is missing, such as Europe/Berlin".to_owned()),
        };
        let (hours, mut changes) = match (&definition.hours, base) {
            (Some(hours), _) => (hours.clone(), vec![]),
            (None, Some(base)) => (base.hours.clone(), base.changes.clone()),
            (None, None) => return Err("hours are missing, such as { mon-fri = \"09:00-17:00\" }".to_owned()),
        };
        for change in &definition.changes {
            changes.retain(|(from, _)| *from != day_of(change.from));
            changes.push((day_of(change.from), change.hours.clone()));
        }
        let mut dates: Vec<_> = definition.changes.iter().map(|change| change.from).collect();
        dates.sort_unstable();
        if let Some((twice, _)) = dates.iter().zip(dates.iter().skip(1)).find(|(one, next)| one == next) {
            return Err(format!("changes: {twice} is there twice"));
        }
        changes.sort_by_key(|(from, _)| *from);
        let covers = definition.covers.unwrap_or(match base {
            Some(base) => DateRange { first: base.first, last: base.last },
            None => DateRange { first: FIRST_DATE, last: LAST_DATE },
        });
        Ok(Self {
            zone,
            hours,
            working_day_hours: definition
                .working_day_hours
                .clone()
                .or_else(|| base.and_then(|base| base.working_day_hours.clone())),
            changes,
            days: day_rules(definition, base.map(|base| base.days.clone()).unwrap_or_default())?,
            first: covers.first,
            last: covers.last,
            timeline: OnceLock::new(),
        })
    }

    /// A shipped calendar: Monday to Friday from nine to five, the eight hours of a working day.
    fn shipped(zone: Tz, years: (i32, i32), (holidays, working_days): (Vec<Day>, Vec<Day>)) -> Self {
        let mut hours = WeeklyHours::default();
        // "mon-fri" and its hours are right, and a test uses them
        let _ = DayHours::parse(["09:00-17:00"]).and_then(|day| hours.set("mon-fri", day));
        let closed = holidays.into_iter().map(|day| (day, DayRule::Closed));
        let working = working_days.into_iter().map(|day| (day, DayRule::Working));
        Self {
            zone,
            hours,
            working_day_hours: None,
            changes: vec![],
            days: closed.chain(working).collect(),
            first: date(years.0, 1, 1),
            last: date(years.1, 12, 31),
            timeline: OnceLock::new(),
        }
    }
}

/// The days of a definition over those of the calendar that it extends.
fn day_rules(
    definition: &CalendarDefinition,
    mut days: BTreeMap<Day, DayRule>,
) -> Result<BTreeMap<Day, DayRule>, String> {
    for holidays in &definition.holidays {
        days.extend(holidays.days().map(|day| (day, DayRule::Closed)));
    }
    for working_days in &definition.working_days {
        let both = |holidays: &&DateRange| holidays.first <= working_days.last && working_days.first <= holidays.last;
        if let Some(holidays) = definition.holidays.iter().find(both) {
            let twice = holidays.first.max(working_days.first);
            return Err(format!("{twice} is both in holidays and in working_days"));
        }
        days.extend(working_days.days().map(|day| (day, DayRule::Working)));
    }
    days.extend(definition.special_days.iter().map(|(date, hours)| (day_of(*date), DayRule::Own(hours.clone()))));
    Ok(days)
}

/// The shipped calendars, shared by all sessions of a process.
static SHIPPED: LazyLock<[(&str, Arc<Calendar>); 2]> = LazyLock::new(|| {
    let china = Calendar::shipped(Tz::Asia__Shanghai, (china::FIRST_YEAR, china::LAST_YEAR), china::days());
    let germany = (germany::holidays(), vec![]);
    let germany = Calendar::shipped(Tz::Europe__Berlin, (germany::FIRST_YEAR, germany::LAST_YEAR), germany);
    [("cn", Arc::new(china)), ("de", Arc::new(germany))]
});

/// Calendars by name: the shipped ones, `cn` and `de`, and those of a project.
pub struct Calendars {
    definitions: BTreeMap<String, CalendarDefinition>,
    calendars: BTreeMap<String, Arc<Calendar>>,
}

impl Default for Calendars {
    /// The shipped calendars.
    fn default() -> Self {
        Self { definitions: BTreeMap::new(), calendars: Self::shipped() }
    }
}

impl Calendars {
    fn shipped() -> BTreeMap<String, Arc<Calendar>> {
        SHIPPED.iter().map(|(name, calendar)| ((*name).to_owned(), Arc::clone(calendar))).collect()
    }

    /// The shipped calendars and those of a project. One with the name of a shipped calendar replaces it, and can extend it.
    ///
    /// # Errors
    /// The name of a calendar and what is wrong with its definition: no time zone or hours, an unknown time zone, a calendar to
    /// extend that is not there or extends this one, a day that is both a holiday and a working day.
    pub fn new(definitions: BTreeMap<String, CalendarDefinition>) -> Result<Self, (String, String)> {
        let mut calendars = Self::shipped();
        let mut waiting: Vec<&String> = definitions.keys().collect();
        while !waiting.is_empty() {
            let mut later = vec![];
            for name in &waiting {
                let Some(definition) = definitions.get(*name) else { continue };
                let wrong = |what: String| ((*name).clone(), what);
                let extended = definition.extends.as_ref();
                // one that is still waiting has not replaced a shipped one yet; its own name is the shipped one
                if extended.is_some_and(|extended| extended != *name && waiting.contains(&extended)) {
                    later.push(*name);
                    continue;
                }
                let base = match extended {
                    None => None,
                    Some(extended) => Some(calendars.get(extended).ok_or_else(|| {
                        let known: Vec<&str> = calendars.keys().map(String::as_str).collect();
                        wrong(format!("extends: there is no calendar `{extended}`; there are {}", known.join(", ")))
                    })?),
                };
                let calendar = Calendar::new(definition, base.map(Arc::as_ref)).map_err(wrong)?;
                calendars.insert((*name).clone(), Arc::new(calendar));
            }
            if later.len() == waiting.len() {
                let names: Vec<&str> = later.iter().map(|name| name.as_str()).collect();
                let first = later.first().map(|name| (*name).clone()).unwrap_or_default();
                return Err((first, format!("extends: {} extend one another in a circle", names.join(", "))));
            }
            waiting = later;
        }
        Ok(Self { definitions, calendars })
    }

    /// The names, in ascending order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.calendars.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Calendar> {
        self.calendars.get(name).map(Arc::as_ref)
    }
}

impl fmt::Debug for Calendars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calendars").field("names", &self.calendars.keys()).finish_non_exhaustive()
    }
}

impl PartialEq for Calendars {
    fn eq(&self, other: &Self) -> bool {
        self.definitions == other.definitions
    }
}

impl Eq for Calendars {}

impl Hash for Calendars {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definitions.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::super::definition::HoursChange;
    use super::*;

    fn definition(extends: Option<&str>) -> CalendarDefinition {
        CalendarDefinition { extends: extends.map(str::to_owned), ..CalendarDefinition::default() }
    }

    fn calendars(definitions: &[(&str, CalendarDefinition)]) -> Result<Calendars, String> {
        let definitions = definitions.iter().map(|(name, definition)| ((*name).to_owned(), definition.clone()));
        Calendars::new(definitions.collect()).map_err(|(name, what)| format!("{name}: {what}"))
    }

    fn open_hours(calendars: &Calendars, name: &str, date: &str) -> i64 {
        let day = day_of(date.parse().unwrap());
        let spans = calendars.get(name).unwrap().spans(day);
        spans.iter().map(|span| span.end - span.start).sum::<i64>() / 3600
    }

    #[test]
    fn shipped_calendars_have_eight_hours_a_working_day() {
        let shipped = Calendars::default();
        assert_eq!(shipped.names().collect::<Vec<_>>(), ["cn", "de"]);
        // Thursday; Christmas; Sunday before the Spring Festival, a make-up day; its first day
        let days = [("de", "2025-12-18"), ("de", "2025-12-25"), ("cn", "2025-01-26"), ("cn", "2025-01-28")];
        assert_eq!(days.map(|(name, date)| open_hours(&shipped, name, date)), [8, 0, 8, 0]);
    }

    #[test]
    fn a_calendar_takes_from_another_what_it_does_not_say() {
        let holidays = vec![DateRange::parse("2025-12-24").unwrap()];
        let mut hours = WeeklyHours::default();
        hours.set("mon-sat", DayHours::parse(["08:00-20:00"]).unwrap()).unwrap();
        let long = CalendarDefinition { hours: Some(hours), ..definition(Some("own")) };
        let own = CalendarDefinition { holidays, ..definition(Some("de")) };
        let calendars = calendars(&[("long", long), ("own", own)]).unwrap();
        let hours = |name| {
            ["2025-12-23", "2025-12-24", "2025-12-25", "2025-12-27"].map(|date| open_hours(&calendars, name, date))
        };
        assert_eq!(hours("de"), [8, 8, 0, 0]);
        assert_eq!(hours("own"), [8, 0, 0, 0]);
        assert_eq!(hours("long"), [12, 0, 0, 12]);
    }

    #[test]
    fn a_project_can_replace_a_shipped_calendar_by_one_that_extends_it() {
        let covers = Some(DateRange::parse("2004-01-01..2027-12-31").unwrap());
        let longer = CalendarDefinition { covers, ..definition(Some("cn")) };
        let calendars = calendars(&[("cn", longer), ("other", definition(Some("cn")))]).unwrap();
        assert_eq!(calendars.get("other").unwrap().last, date(2027, 12, 31));
    }

    #[test]
    fn hours_change_from_a_date() {
        let week = |text: &str| {
            let mut hours = WeeklyHours::default();
            hours.set("mon-sun", DayHours::parse([text]).unwrap()).unwrap();
            hours
        };
        let change = |from: &str, text: &str| HoursChange { from: from.parse().unwrap(), hours: week(text) };
        let mut own = CalendarDefinition {
            time_zone: Some("UTC".to_owned()),
            hours: Some(week("09:00-10:00")),
            changes: vec![change("2025-07-01", "00:00-24:00"), change("2025-03-01", "09:00-12:00")],
            ..CalendarDefinition::default()
        };
        let known = calendars(&[("own", own.clone())]).unwrap();
        let dates = ["2025-02-28", "2025-03-01", "2025-06-30", "2025-07-01"];
        assert_eq!(dates.map(|date| open_hours(&known, "own", date)), [1, 3, 3, 24]);
        own.changes.push(change("2025-03-01", "09:00-11:00"));
        assert_eq!(calendars(&[("own", own)]).unwrap_err(), "own: changes: 2025-03-01 is there twice");
    }

    #[test]
    fn wrong_definitions_are_refused() {
        let error = |definitions: &[(&str, CalendarDefinition)]| calendars(definitions).unwrap_err();
        assert!(error(&[("a", definition(None))]).contains("a: time_zone is missing"));
        assert!(
            error(&[("a", definition(Some("b")))]).contains("a: extends: there is no calendar `b`; there are cn, de")
        );
        assert!(error(&[("a", definition(Some("b"))), ("b", definition(Some("a")))]).contains("in a circle"));
        let zone = CalendarDefinition { time_zone: Some("Berlin".to_owned()), ..definition(Some("de")) };
        assert!(error(&[("a", zone)]).contains("`Berlin` is no time zone"));
        let both = CalendarDefinition {
            holidays: vec![DateRange::parse("2025-12-20..2025-12-24").unwrap()],
            working_days: vec![DateRange::parse("2025-12-23").unwrap()],
            ..definition(Some("de"))
        };
        assert!(error(&[("a", both)]).contains("2025-12-23 is both in holidays and in working_days"));
    }
}

//! The pages of the family in the manual.

use std::sync::LazyLock;

use datafusion::logical_expr::{DocSection, Documentation, DocumentationBuilder};

const SECTION: DocSection = DocSection {
    include: true,
    label: "Business time",
    description: Some(
        "Time by the opening hours of a calendar: the shipped `cn` and `de`, and those of `[calendars.NAME]` in cxql.toml. \
         [times.md](times.md#business-time) describes calendars, holidays and clock changes.",
    ),
};

const CALENDAR: &str = "The name of a calendar: `cn` (China, 2004 to 2026, with make-up working days) and `de` (Germany, nationwide \
     holidays, 1995 to 2099), both Monday to Friday 09:00 to 17:00, and those of the project. A constant, or a column, so that each \
     team has its own.";

const TIME: &str = "A timestamp; without a time zone it is UTC, as in all of the model. A date is its first second by the clock of \
     the calendar. A string without an offset is UTC.";

const SOURCE: &str = "IANA time zone database; holidays of China by PyPI chinesecalendar 1.11.0 (notices of the State Council), of \
     Germany by the laws of the states and Easter by Meeus, Jones and Butcher.";

fn page(summary: &str, edges: &str, syntax: &str) -> DocumentationBuilder {
    Documentation::builder(SECTION, format!("{summary}\n{edges}\nSource: {SOURCE}"), syntax)
}

pub(super) static SECONDS: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        "Seconds of opening hours from one time to another.\n\
         Formula: the seconds between start and end in which the clock of the calendar's time zone shows a time within the hours of \
         that day: those of its day of the week, none on a holiday, those of a working day on a make-up day.\n\
         Units: seconds with their fraction, a double.\n\
         NULL: a NULL start, end or calendar gives NULL, and so does a time that the calendar does not cover (2027 for `cn`): what is \
         not known is no figure.",
        "Edges: an end before the start gives the negative of the figure from end to start. Hours past midnight belong to the day on \
         which they begin, also where the next one is a holiday. A day with a clock change has the seconds that it has: of 24 open \
         hours 23 or 25. Intervals of years cost what those of minutes cost.",
        "business_s(start, end, calendar)",
    )
    .with_argument("start", TIME)
    .with_argument("end", "As `start`; the figure does not contain it.")
    .with_argument("calendar", CALENDAR)
    .with_sql_example(
        "```sql
select
    calendar,
    -- Thursday 16:00 to Tuesday 10:00 over Easter; Friday 16:00 to Tuesday 10:00 over the Spring Festival
    business_s(start_at, end_at, calendar) as business_s
from (values
    ('de', timestamptz '2026-04-02 16:00:00+02:00', timestamptz '2026-04-07 10:00:00+02:00'),
    ('cn', timestamptz '2026-02-13 16:00:00+08:00', timestamptz '2026-02-24 10:00:00+08:00')
) as contacts (calendar, start_at, end_at)
```
```text
+----------+------------+
| calendar | business_s |
+----------+------------+
| de       | 7200.0     |
| cn       | 36000.0    |
+----------+------------+
```",
    )
    .with_related_udf("business_add")
    .with_related_udf("is_business_time")
    .build()
});

pub(super) static ADD: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        "The time at which so many seconds of opening hours have passed, such as when an answer is due.\n\
         Formula: the first time t after start with business_s(start, t, calendar) = s; for a negative s the last one before it.\n\
         Units: seconds in; a timestamp of the type of start out, for a date or a string one of microseconds in UTC. What is finer \
         than its unit is left out.\n\
         NULL: a NULL argument gives NULL; so do a start or a result that the calendar does not cover, NaN and an infinity.",
        "Edges: eight hours from Friday 09:00 end on Friday at 17:00, not on Monday at 09:00; next_business_time gives the latter. 0 \
         seconds give the start, open or not.",
        "business_add(start, s, calendar)",
    )
    .with_argument("start", TIME)
    .with_argument("s", "Seconds of opening hours: a number.")
    .with_argument("calendar", CALENDAR)
    .with_sql_example(
        "```sql
-- four hours from Thursday 16:00, over Easter: Tuesday 12:00 in Berlin
select business_add('2026-04-02 16:00:00+02:00', 4 * 3600, 'de') as due_at
```
```text
+----------------------+
| due_at               |
+----------------------+
| 2026-04-07T10:00:00Z |
+----------------------+
```",
    )
    .with_related_udf("business_s")
    .with_related_udf("next_business_time")
    .build()
});

pub(super) static IS_OPEN: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        "Whether a time is within opening hours.\n\
         Formula: opening <= clock of the calendar's time zone < closing, by the hours of that day.\n\
         Units: Boolean.\n\
         NULL: a NULL argument and a time that the calendar does not cover give NULL.",
        "Edges: the opening second is open, the closing one is not. A date is its first second, so that it is open where hours are at \
         midnight; whether a date is a working day is business_s(day, day + 1, calendar) > 0.",
        "is_business_time(at, calendar)",
    )
    .with_argument("at", TIME)
    .with_argument("calendar", CALENDAR)
    .with_sql_example(
        "```sql
-- a Saturday on which people work, for the Spring Festival
select
    is_business_time('2026-02-14 10:00:00+08:00', 'cn') as is_open_in_china,
    is_business_time('2026-02-14 10:00:00+01:00', 'de') as is_open_in_germany
```
```text
+------------------+--------------------+
| is_open_in_china | is_open_in_germany |
+------------------+--------------------+
| true             | false              |
+------------------+--------------------+
```",
    )
    .with_related_udf("next_business_time")
    .build()
});

pub(super) static NEXT: LazyLock<Documentation> = LazyLock::new(|| {
    page(
        "The first time within opening hours from a time on.\n\
         Formula: the time itself where it is open, else the next opening.\n\
         Units: a timestamp of the type of at; for a date or a string one of microseconds in UTC.\n\
         NULL: a NULL argument gives NULL; so does a time that the calendar does not cover, and one after its last opening hours.",
        "Edges: the closing second is not open: its next time is the next opening.",
        "next_business_time(at, calendar)",
    )
    .with_argument("at", TIME)
    .with_argument("calendar", CALENDAR)
    .with_sql_example(
        "```sql
-- Good Friday: Tuesday 09:00 in Berlin
select next_business_time('2026-04-03 12:00:00+02:00', 'de') as open_at
```
```text
+----------------------+
| open_at              |
+----------------------+
| 2026-04-07T07:00:00Z |
+----------------------+
```",
    )
    .with_related_udf("business_add")
    .with_related_udf("is_business_time")
    .build()
});

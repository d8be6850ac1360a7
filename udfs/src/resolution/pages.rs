//! The pages of the window functions in the manual.

use std::sync::LazyLock;

use datafusion::logical_expr::{DocSection, Documentation};

pub(super) const SECTION: DocSection = DocSection {
    include: true,
    label: "Resolution",
    description: Some("Which contacts solved the matter, and which had to be repeated."),
};

const OBSERVED_FROM: &str = "Since when contacts are known, per row: a timestamp, a date (its start) or such a text. An \
     extract gives its own beginning. Default: all contacts ever are in the data.";

pub(super) static RESOLVED: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "Whether a contact was resolved at first contact, by what the customer did afterwards. \
         Partition by the customer and, unless contacts on any topic are to count as repeats, by the topic.\n\
         Formula: NULL unless no earlier contact of the partition is within the window (first contact) and the window has \
         elapsed; then false when a later one is within the window, true when none is. \
         A later contact is within the window of an earlier one when later <= earlier + window.\n\
         Units: timestamps of any unit and zone, or dates, in; boolean out. The share of true among the known is the FCR: \
         fcr(first_contact_resolved(..)) over a subquery.\n\
         NULL: a row whose at is NULL is no contact and gives NULL. A contact that is no first contact gives NULL. So does \
         one whose window has not elapsed, whether or not a repeat has been seen already: repeats are known at once, their \
         absence only later, and a share that counted both would fall to 0 for the newest contacts. So does, with \
         observed_from, a contact before observed_from + window: it may repeat one from before the data begins. A NULL \
         observed_until or observed_from gives NULL.\n\
         Edges: a gap equal to the window is within it. The window has elapsed when observed_until >= at + window: a contact \
         at that very time would have been seen. A contact at observed_from + window is judged. First contact means no earlier contact \
         within the window before, whatever that one was: three contacts 5 days apart and a window of 7 days have one first \
         contact. Rows of equal time count in the order of the window. Rows are judged by at, also when the window orders them \
         by something else; without ORDER BY the call is an error. The frame has no effect. Months are calendar months on UTC \
         (31 January + 1 month is the last of February), a day is 24 hours; a timestamp without a zone is read as UTC.\n\
         Source: repeat-based FCR as contact centers report it, with windows from 1 to 30 days; the NULLs \
         at both ends of the data are right- and left-censoring (Klein and Moeschberger, Survival Analysis, 2nd ed. 2003, \
         chapter 3). fcr_survival estimates the share with the newest contacts.",
        "first_contact_resolved(at, window [, observed_until [, observed_from]]) over (partition by customer_id, topic order by at)",
    )
    .with_argument("at", "Time of the contact: a timestamp or a date.")
    .with_argument(
        "window",
        "How long after a contact another one counts as its repeat: a constant interval such as `interval '7 days'` or the \
         text `'7 days'`, not negative.",
    )
    .with_argument(
        "observed_until",
        "Up to when contacts are known, per row: a timestamp, a date (its start) or such a text. An extract gives its \
         own end. Default: the time at which the query starts.",
    )
    .with_argument("observed_from", OBSERVED_FROM)
    .with_sql_example(
        "```sql
select
    customer_id,
    started_at,
    first_contact_resolved(started_at, '7 days', '2025-03-31') over (
        partition by customer_id order by started_at
    ) as is_resolved
from (values
    ('ann', timestamp '2025-03-01 09:00:00'),
    ('ann', timestamp '2025-03-08 09:00:00'),
    ('ann', timestamp '2025-03-20 09:00:00'),
    ('bob', timestamp '2025-03-28 09:00:00')
) as contacts (customer_id, started_at)
order by customer_id, started_at
```
```text
+-------------+---------------------+-------------+
| customer_id | started_at          | is_resolved |
+-------------+---------------------+-------------+
| ann         | 2025-03-01T09:00:00 | false       |
| ann         | 2025-03-08T09:00:00 |             |
| ann         | 2025-03-20T09:00:00 | true        |
| bob         | 2025-03-28T09:00:00 |             |
+-------------+---------------------+-------------+
```",
    )
    .with_related_udf("is_repeat_contact")
    .with_related_udf("fcr_survival")
    .build()
});

pub(super) static REPEAT: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        SECTION,
        "Whether a contact repeats an earlier one. Partition by the customer and, unless contacts on any topic are to count, by \
         the topic.\n\
         Formula: true when an earlier contact of the partition is within the window, that is when at <= earlier + window; \
         else false.\n\
         Units: timestamps of any unit and zone, or dates, in; boolean out. The share of true among the known is the repeat \
         rate: rate(is_repeat_contact(..)) over a subquery.\n\
         NULL: a row whose at is NULL is no contact and gives NULL. So does, with observed_from, a contact before \
         observed_from + window: it may repeat one from before the data begins. A NULL observed_from gives NULL.\n\
         Edges: a gap equal to the window is within it. A contact at observed_from + window is judged. Rows of equal time count in the order of the window: the first of them \
         repeats none of the others. Rows are judged by at, also when the window orders them by something else; without ORDER \
         BY the call is an error. The frame has no effect. Months are calendar months on UTC (31 January + 1 month is the last \
         of February), a day is 24 hours.\n\
         Source: repeat contact rate as contact centers report it, with windows from 1 to 30 days, 7 to 14 most.",
        "is_repeat_contact(at, window [, observed_from]) over (partition by customer_id, topic order by at)",
    )
    .with_argument("at", "Time of the contact: a timestamp or a date.")
    .with_argument(
        "window",
        "How long after a contact another one counts as its repeat: a constant interval such as `interval '7 days'` or the \
         text `'7 days'`, not negative.",
    )
    .with_argument("observed_from", OBSERVED_FROM)
    .with_sql_example(
        "```sql
select
    customer_id,
    started_at,
    is_repeat_contact(started_at, '7 days') over (partition by customer_id order by started_at) as is_repeat
from (values
    ('ann', timestamp '2025-03-01 09:00:00'),
    ('ann', timestamp '2025-03-08 09:00:00'),
    ('ann', timestamp '2025-03-20 09:00:00'),
    ('bob', timestamp '2025-03-28 09:00:00')
) as contacts (customer_id, started_at)
order by customer_id, started_at
```
```text
+-------------+---------------------+-----------+
| customer_id | started_at          | is_repeat |
+-------------+---------------------+-----------+
| ann         | 2025-03-01T09:00:00 | false     |
| ann         | 2025-03-08T09:00:00 | true      |
| ann         | 2025-03-20T09:00:00 | false     |
| bob         | 2025-03-28T09:00:00 | false     |
+-------------+---------------------+-----------+
```",
    )
    .with_related_udf("first_contact_resolved")
    .build()
});

-- title: Period of survey answers
-- description: The observed and the covered period for reports on survey answers.
-- They are those of the contacts (see observed_period and covered_period). Where the data have no contact with a start they
-- are those of the answers themselves: from the day of the first answer to the day after the last one.
-- is_contact_recorded says whether they come from contacts.
-- grain: one row
-- check: covered_from < covered_until
with answers as (
    select
        min(responded_at) as first_at,
        max(responded_at) as last_at
    from surveys
    where responded_at <= now()
)
select
    coalesce(observed_from, first_at) as observed_from,
    coalesce(observed_until, last_at) as observed_until,
    coalesce(covered_from, date_trunc('day', first_at)) as covered_from,
    coalesce(covered_until, date_trunc('day', last_at) + interval '1 day') as covered_until,
    observed_until is not null as is_contact_recorded
from observed_period cross join covered_period cross join answers

-- title: Observed period
-- description: The stretch of time that the data covers.
-- Whether a contact was followed by another is known up to observed_until only. It comes from the contacts' own starts,
-- so that an old extract gives the same figures on any day; starts in the future are no observations.
-- is_topic_recorded says whether any contact has a topic.
-- grain: one row
-- check: observed_from <= observed_until
select
    min(started_at) as observed_from,
    max(started_at) filter (where started_at <= now()) as observed_until,
    count(topic) > 0 as is_topic_recorded
from interactions

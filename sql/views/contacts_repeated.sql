-- title: Contacts of repeated keys
-- description: Every row whose interaction_id the data holds more than once, and whether it is a contact of its own.
-- version counts the rows of a key from the latest: latest end, then latest start. is_kept is true for the latest, and
-- for rows that differ in both start and agent from every later one: they are no versions of one contact. Where a start
-- or an agent of the key is unknown, only the latest is kept.
-- grain: one row per row of interactions
-- check: version > 1 or is_kept
with repeated as (
    select interaction_id from interactions where interaction_id is not null group by interaction_id having count(*) > 1
),
versions as (
    select
        *,
        row_number() over (
            partition by interaction_id
            order by ended_at desc nulls last, started_at desc nulls last, is_resolved desc nulls last, agent_id, topic
        ) as version
    from interactions
    where interaction_id in (select interaction_id from repeated)
)
select
    *,
    version = 1
    or (
        count(started_at) over (partition by interaction_id) = count(*) over (partition by interaction_id)
        and count(agent_id) over (partition by interaction_id) = count(*) over (partition by interaction_id)
        and min(version) over (partition by interaction_id, started_at) = version
        and min(version) over (partition by interaction_id, agent_id) = version
    ) as is_kept
from versions

-- title: Contacts of repeated keys
-- description: Every row whose interaction_id the data holds more than once, and whether it is a contact of its own.
-- version counts the rows of a key from the latest: latest end, then latest start. is_kept is true for the latest, and
-- for rows that differ in both start and agent from every later one: they are no versions of one contact. Where a start
-- or an agent of the key is unknown, only the latest is kept.
-- grain: one row per row of interactions
-- check: version > 1 or is_kept
with versions as (
    select
        *,
        row_number() over (
            partition by interaction_id
            order by ended_at desc nulls last, started_at desc nulls last, is_resolved desc nulls last, agent_id, topic
        ) as version
    from interactions
    where interaction_id is not null
),
counted as (
    select
        *,
        count(*) over (partition by interaction_id) as key_count,
        count(started_at) over (partition by interaction_id) as start_count,
        count(agent_id) over (partition by interaction_id) as agent_count,
        min(version) over (partition by interaction_id, started_at) as start_version,
        min(version) over (partition by interaction_id, agent_id) as agent_version
    from versions
)
select
    * exclude (key_count, start_count, agent_count, start_version, agent_version),
    version = 1
    or (
        start_count = key_count and agent_count = key_count and start_version = version and agent_version = version
    ) as is_kept
from counted
where key_count > 1

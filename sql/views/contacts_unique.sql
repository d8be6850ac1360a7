-- title: Contacts without copies
-- description: Every contact once; of a key that the data holds more than once its latest version.
-- The latest has the latest end, then the latest start. Only repeated keys are sorted, the many others pass untouched.
-- A row without a key cannot be a copy and stays.
-- grain: one row per interaction_id
with repeated as (
    select interaction_id from interactions where interaction_id is not null group by interaction_id having count(*) > 1
),
single as (
    select * from interactions
    where not exists (select 1 from repeated where repeated.interaction_id = interactions.interaction_id)
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
select * from single
union all
select * exclude (version) from versions where version = 1

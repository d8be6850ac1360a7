-- title: Contacts without copies
-- description: Every contact once; of a key that the data holds more than once the rows that contacts_repeated keeps.
-- is_key_shared says that more than one contact has the key. A row without a key cannot be a copy and stays.
-- grain: one row per contact, that is per interaction_id unless is_key_shared
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
),
kept as (
    select * exclude (version, key_count, start_count, agent_count, start_version, agent_version)
    from counted
    where
        version = 1
        or (
            start_count = key_count and agent_count = key_count and start_version = version and agent_version = version
        )
)
select *, count(*) over (partition by interaction_id) > 1 as is_key_shared from kept
union all
select *, false as is_key_shared from interactions where interaction_id is null;

-- notes: contacts left out because their key repeats
with keys as (
    select interaction_id, count(*) as row_count, count(*) filter (where is_kept) as kept_count
    from contacts_repeated
    group by interaction_id
),
figures as (
    select
        sum(row_count - kept_count) as left_out_count,
        sum(kept_count) filter (where kept_count > 1) as shared_count,
        count(*) filter (where kept_count > 1) as shared_key_count,
        (select count(*) from interactions) as all_count
    from keys
)
select unnest([
    case when left_out_count > 0.01 * all_count then
        left_out_count || ' of ' || all_count || ' contacts (' || round(100.0 * left_out_count / all_count, 1)
        || ' %) share their interaction_id with another and were left out; see cxql run duplicates. If they are no '
        || 'copies, give each contact a key of its own in a view interactions'
    end,
    case when shared_count > 0.01 * all_count then
        shared_count || ' of ' || all_count || ' contacts (' || round(100.0 * shared_count / all_count, 1)
        || ' %) have one of ' || shared_key_count || ' interaction_ids that stand for contacts with different starts '
        || 'and agents: all count, but surveys that name such an id have no contact'
    end
])
from figures

-- title: Occupancy by agent
-- description: Time on contacts out of the time on contacts and idle, per agent and per hour of the day.
-- Time on contacts is that in on_contact, after_call or wrap_up, as handle time has the wrap-up too. Breaks, training
-- and the like are in other_h and do not count. A state is split over the hours that it covers, and only its part from
-- since to until counts. Hours are those of time_zone, by default UTC.
-- grain: one row per agent, then one per hour of the day
-- param: since timestamp = 1970-01-01     # from this time on
-- param: until timestamp = 2200-01-01     # up to this time
-- section: By agent
-- chart: bar x=agent_name y=occupancy_ratio format=percent
-- check: occupancy_ratio between 0 and 1
-- alert: max(occupancy_ratio) > 0.9
with states as (
    select
        agent_id,
        state,
        interval_overlap_s(started_at, ended_at, $since, $until) / 3600 as state_h
    from agent_states
    where ended_at > started_at and started_at < $until and ended_at > $since
),
by_agent as (
    select
        agent_id,
        count(*) as state_count,
        coalesce(sum(state_h) filter (where state in ('on_contact', 'after_call', 'wrap_up')), 0) as contact_h,
        coalesce(sum(state_h) filter (where state = 'idle'), 0) as idle_h,
        coalesce(sum(state_h) filter (where state not in ('on_contact', 'after_call', 'wrap_up', 'idle')), 0) as other_h
    from states
    group by agent_id
)
select
    by_agent.agent_id,
    coalesce(agent_name, by_agent.agent_id) as agent_name,
    agent_team,
    state_count,
    contact_h,
    idle_h,
    other_h,
    contact_h / nullif(contact_h + idle_h, 0) as occupancy_ratio
from by_agent
left join agent_names on agent_names.agent_id = by_agent.agent_id
order by occupancy_ratio desc nulls last, by_agent.agent_id;

-- section: By hour of the day
-- chart: line x=hour y=occupancy_ratio format=percent
-- check: occupancy_ratio between 0 and 1
with states as (
    select state, unnest(split_interval(started_at, ended_at, interval '1 hour', null, $since, $until)) as piece
    from agent_states
    where ended_at > started_at and started_at < $until and ended_at > $since
),
split as (
    select
        state,
        cast(date_part('hour', piece['start']) as int) as hour,
        piece['duration_s'] / 3600 as state_h
    from states
),
by_hour as (
    select
        hour,
        coalesce(sum(state_h) filter (where state in ('on_contact', 'after_call', 'wrap_up')), 0) as contact_h,
        coalesce(sum(state_h) filter (where state = 'idle'), 0) as idle_h
    from split
    group by hour
)
select hour, contact_h, idle_h, contact_h / nullif(contact_h + idle_h, 0) as occupancy_ratio
from by_hour
order by hour;

-- notes: states that cannot be measured
with figures as (
    select
        count(*) as state_count,
        count(*) filter (where ended_at is null) as open_count,
        count(*) filter (where ended_at <= started_at) as empty_count
    from agent_states
    where started_at < $until and coalesce(ended_at > $since, true)
)
select unnest([
    case when open_count > 0 then
        open_count || ' of ' || state_count || ' states have no end: left out'
    end,
    case when empty_count > 0 then
        empty_count || ' of ' || state_count || ' states do not end after their start: left out'
    end
])
from figures

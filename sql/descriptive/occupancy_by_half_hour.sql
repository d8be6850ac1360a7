-- title: Occupancy by half hour
-- description: Time on contacts out of the time on contacts and idle, per half hour of the day, and the busiest half hours.
-- Time on contacts is that in on_contact, after_call or wrap_up, as handle time has the wrap-up too. Breaks, training
-- and the like are in other_h: they count in contact_of_all_ratio only. A state is split at every half hour and at since
-- and until: none of its time before or after them counts. agent_mean is the mean number of agents on contacts or idle.
-- grain: one row per half hour of the day, then one per half hour
-- param: since timestamp = 1970-01-01     # from this time on
-- param: until timestamp = 2200-01-01     # up to this time
-- param: max_rows integer >= 1 = 20       # how many busy half hours to list
-- section: By half hour of the day
-- chart: line x=half_hour y=occupancy_ratio format=percent
-- check: occupancy_ratio between 0 and 1
-- check: contact_of_all_ratio between 0 and 1
-- alert: max(occupancy_ratio) > 0.9
with states as (
    select
        agent_id,
        state,
        unnest(split_interval(started_at, ended_at, interval '30 minutes', null, $since, $until)) as piece
    from agent_states
    where ended_at > started_at and started_at < $until and ended_at > $since
),
pieces as (
    select
        agent_id,
        date_bin(interval '30 minutes', piece['start']) as half_hour_at,
        case when state in ('on_contact', 'after_call', 'wrap_up') then piece['duration_s'] end as contact_s,
        case when state = 'idle' then piece['duration_s'] end as idle_s,
        case when state not in ('on_contact', 'after_call', 'wrap_up', 'idle') then piece['duration_s'] end as other_s
    from states
),
by_agent as (
    select
        agent_id,
        half_hour_at,
        coalesce(sum(contact_s), 0) as contact_s,
        coalesce(sum(idle_s), 0) as idle_s,
        coalesce(sum(other_s), 0) as other_s
    from pieces
    group by agent_id, half_hour_at
)
select
    lpad(cast(cast(date_part('hour', half_hour_at) as int) as varchar), 2, '0')
        || case when date_part('minute', half_hour_at) < 30 then ':00' else ':30' end as half_hour,
    count(*) as agent_half_hour_count,
    sum(contact_s) / 3600 as contact_h,
    sum(idle_s) / 3600 as idle_h,
    sum(other_s) / 3600 as other_h,
    occupancy(contact_s, idle_s) as occupancy_ratio,
    occupancy(contact_s, idle_s, other_s, 'paid') as contact_of_all_ratio
from by_agent
group by half_hour
order by half_hour;

-- section: Busiest half hours
-- check: occupancy_ratio between 0 and 1
-- check: agent_mean <= agent_count + 1e-9
with states as (
    select
        agent_id,
        state,
        unnest(split_interval(started_at, ended_at, interval '30 minutes', null, $since, $until)) as piece
    from agent_states
    where ended_at > started_at and started_at < $until and ended_at > $since
),
pieces as (
    select
        agent_id,
        date_bin(interval '30 minutes', piece['start']) as half_hour_at,
        case when state in ('on_contact', 'after_call', 'wrap_up') then piece['duration_s'] end as contact_s,
        case when state = 'idle' then piece['duration_s'] end as idle_s
    from states
)
select
    half_hour_at,
    count(distinct agent_id) as agent_count,
    (coalesce(sum(contact_s), 0) + coalesce(sum(idle_s), 0)) / 1800 as agent_mean,
    sum(contact_s) / 3600 as contact_h,
    coalesce(sum(idle_s), 0) / 3600 as idle_h,
    occupancy(contact_s, idle_s) as occupancy_ratio
from pieces
group by half_hour_at
having sum(contact_s) > 0
order by contact_h desc, half_hour_at
limit $max_rows;

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

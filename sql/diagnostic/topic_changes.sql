-- title: What changed, by topic
-- description: Contacts and handle time by topic, the newest period against the one before, with each topic's part.
-- contact_part is the topic's share of the sum of all absolute changes. The change of the overall mean handle time
-- splits into mix_effect_s, the topic's share grew or shrank, and rate_effect_s, its own mean moved; both sum to the
-- whole change. The newest period ends before until, by default with the newest contact. A period that the data do not
-- cover has no figures, and where they cover one of the two in part or not at all there is no change: NULL.
-- grain: one row per topic
-- param: period interval > 0 = 28 days    # length of each of the two periods
-- param: until timestamp = null           # end of the newest period, exclusive; null is the end of the data
-- chart: bar x=topic y=contact_change_count
-- check: contact_part_ratio between 0 and 1
-- check: contact_count >= 0 and previous_contact_count >= 0
-- alert: max(contact_change_ratio) filter (where previous_contact_count >= 30) > 0.5
with ends as (
    select
        covered_from,
        covered_until,
        coalesce($until, observed_until)
            + case when $until is null then interval '1 microsecond' else interval '0 microseconds' end as ends_at,
        -- the last day of the data counts as whole
        coalesce($until, date_trunc('day', observed_until) + interval '1 day') as ends_on
    from observed_period cross join covered_period
),
periods as (
    select
        ends_at,
        ends_at - $period as newest_from,
        ends_at - $period - $period as previous_from,
        ends_at > covered_from and ends_at - $period < least(covered_until, ends_at) as has_newest,
        ends_on - $period - $period >= covered_from and ends_on - $period <= covered_until as has_previous,
        ends_on - $period >= covered_from and ends_on <= covered_until as is_newest_whole
    from ends
),
contacts as (
    select topic, handle_s, has_newest, has_previous, is_newest_whole, started_at >= newest_from as is_current
    from periods cross join contacts_clean
    where started_at < ends_at and (started_at >= newest_from or has_previous and started_at >= previous_from)
),
by_topic as (
    select
        topic,
        bool_and(has_previous and is_newest_whole) as is_comparable,
        case when bool_and(has_newest) then count(*) filter (where is_current) end as contact_count,
        case when bool_and(has_previous) then count(*) filter (where not is_current) end as previous_contact_count,
        coalesce(count(handle_s) filter (where is_current), 0) as handled,
        coalesce(count(handle_s) filter (where not is_current), 0) as previous_handled,
        avg(handle_s) filter (where is_current) as aht_s,
        avg(handle_s) filter (where not is_current) as previous_aht_s
    from contacts
    group by topic
),
overall as (
    select
        *,
        case when is_comparable then contact_count - previous_contact_count end as contact_change_count,
        case when is_comparable then aht_s - previous_aht_s end as aht_change_s,
        handled / nullif(cast(sum(handled) over () as double), 0) as handled_part,
        previous_handled / nullif(cast(sum(previous_handled) over () as double), 0) as previous_part,
        sum(previous_handled * previous_aht_s) over () / nullif(sum(previous_handled) over (), 0) as previous_mean_s
    from by_topic
)
select
    topic,
    contact_count,
    previous_contact_count,
    contact_change_count,
    contact_change_count / nullif(cast(previous_contact_count as double), 0) as contact_change_ratio,
    abs(contact_change_count) / nullif(cast(sum(abs(contact_change_count)) over () as double), 0)
        as contact_part_ratio,
    aht_s,
    previous_aht_s,
    aht_change_s,
    case when is_comparable
        then (handled_part - previous_part) * (coalesce(previous_aht_s, aht_s) - previous_mean_s) end as mix_effect_s,
    case when is_comparable and handled_part is not null then coalesce(handled_part * aht_change_s, 0) end
        as rate_effect_s
from overall
order by contact_part_ratio desc nulls last, contact_count desc, topic;

-- notes: periods that the data do not cover
with ends as (
    select
        covered_from,
        covered_until,
        coalesce($until, observed_until)
            + case when $until is null then interval '1 microsecond' else interval '0 microseconds' end as ends_at,
        -- the last day of the data counts as whole
        coalesce($until, date_trunc('day', observed_until) + interval '1 day') as ends_on
    from observed_period cross join covered_period
),
periods as (
    select
        covered_from,
        covered_until,
        cast(ends_at - $period as date) || ' to before ' || cast(ends_at as date) as newest,
        cast(ends_at - $period - $period as date) || ' to before ' || cast(ends_at - $period as date) as previous,
        ends_at > covered_from and ends_at - $period < least(covered_until, ends_at) as has_newest,
        ends_on - $period - $period >= covered_from and ends_on - $period <= covered_until as has_previous,
        ends_on - $period >= covered_from and ends_on <= covered_until as is_newest_whole
    from ends
)
select
    'the data cover ' || cast(covered_from as date) || ' to before ' || cast(covered_until as date) || case
        when not has_newest then ': nothing of the newest period, ' || newest || ', and it has no figures'
        when not is_newest_whole then ': a part of the newest period, ' || newest
        else ': not all of the period before, ' || previous || ', and nothing is compared with it'
    end
from periods
where not has_newest or not is_newest_whole or not has_previous

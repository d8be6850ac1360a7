-- title: What changed, by topic
-- description: Contacts and handle time by topic, the newest period against the one before, with each topic's part.
-- contact_part is the topic's share of the sum of all absolute changes. The change of the overall mean handle time
-- splits into mix_effect_s, the topic's share grew or shrank, and rate_effect_s, its own mean moved; both sum to the
-- whole change.
-- grain: one row per topic
-- param: period interval = 28 days        # length of each of the two periods
-- chart: bar x=topic y=contact_change_count
-- check: contact_part_ratio between 0 and 1
-- check: contact_count >= 0 and previous_contact_count >= 0
-- alert: max(contact_change_ratio) filter (where previous_contact_count >= 30) > 0.5
with contacts as (
    select topic, handle_s, started_at > observed_until - $period as is_current
    from observed_period cross join contacts_clean
    where started_at > observed_until - $period - $period
),
by_topic as (
    select
        topic,
        count(*) filter (where is_current) as contact_count,
        count(*) filter (where not is_current) as previous_contact_count,
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
        abs(contact_count - previous_contact_count) as moved,
        sum(abs(contact_count - previous_contact_count)) over () as all_moved,
        handled / nullif(cast(sum(handled) over () as double), 0) as handled_part,
        previous_handled / nullif(cast(sum(previous_handled) over () as double), 0) as previous_part,
        sum(previous_handled * previous_aht_s) over () / nullif(sum(previous_handled) over (), 0) as previous_mean_s
    from by_topic
)
select
    topic,
    contact_count,
    previous_contact_count,
    contact_count - previous_contact_count as contact_change_count,
    (contact_count - previous_contact_count)
        / nullif(cast(previous_contact_count as double), 0) as contact_change_ratio,
    moved / nullif(cast(all_moved as double), 0) as contact_part_ratio,
    aht_s,
    previous_aht_s,
    aht_s - previous_aht_s as aht_change_s,
    (handled_part - previous_part) * (coalesce(previous_aht_s, aht_s) - previous_mean_s) as mix_effect_s,
    coalesce(handled_part * (aht_s - previous_aht_s), 0) as rate_effect_s
from overall
order by contact_part_ratio desc nulls last, topic

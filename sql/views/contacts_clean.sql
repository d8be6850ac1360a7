-- title: Clean contacts
-- description: Every contact once, with standard labels and without impossible values.
-- Labels are in lower case with single blanks for blanks, hyphens and underscores, and known synonyms replaced.
-- Durations below zero, ends before starts, starts in the future and starts far before all others (see observed_period) are
-- NULL. The quality reports show what changed.
-- Added columns
--   is_inbound        direction inbound or unknown
--   is_answered       not abandoned as far as known
--   is_live           on a channel on which the customer waits (phone, chat or unknown)
--   is_offered        inbound and live, the base of abandonment and service level
--   is_fcr_eligible   inbound, answered, customer, start and topic (if the data has topics) known, the base of FCR
--   handle_s          talk + hold + wrap-up of an answered contact
--   closed_at         the end; without one the start, when the contact was abandoned, resolved or has a handle time
-- grain: one row per contact, that is per interaction_id unless is_key_shared
-- check: handle_s >= 0
-- check: is_answered or handle_s is null
-- check: closed_at >= started_at
with labelled as (
    select
        * replace (
            case when started_at <= now() and started_at >= (select observed_from from observed_period)
                then started_at end as started_at,
            case when ended_at >= started_at and started_at <= now()
                and started_at >= (select observed_from from observed_period) then ended_at end as ended_at,
            standard_label('channel', nullif(lower(trim(regexp_replace(channel, '[\s_-]+', ' ', 'g'))), '')) as channel,
            nullif(lower(trim(direction)), '') as direction,
            standard_label('queue', nullif(lower(trim(regexp_replace(queue, '[\s_-]+', ' ', 'g'))), '')) as queue,
            standard_label('team', nullif(lower(trim(regexp_replace(team, '[\s_-]+', ' ', 'g'))), '')) as team,
            standard_label('topic', nullif(lower(trim(regexp_replace(topic, '[\s_-]+', ' ', 'g'))), '')) as topic,
            standard_label('product', nullif(lower(trim(regexp_replace(product, '[\s_-]+', ' ', 'g'))), '')) as product,
            case when wait_s >= 0 then wait_s end as wait_s,
            case when talk_s >= 0 then talk_s end as talk_s,
            case when hold_s >= 0 then hold_s end as hold_s,
            case when wrap_s >= 0 then wrap_s end as wrap_s
        )
    from contacts_unique
),
flagged as (
    select
        *,
        coalesce(direction, 'inbound') = 'inbound' as is_inbound,
        not coalesce(is_abandoned, false) as is_answered,
        coalesce(channel, 'phone') in ('phone', 'chat') as is_live
    from labelled
)
select
    *,
    is_inbound and is_live as is_offered,
    is_inbound and is_answered and customer_id is not null and started_at is not null
        and (topic is not null or not (select is_topic_recorded from observed_period)) as is_fcr_eligible,
    case when is_answered and coalesce(talk_s, hold_s, wrap_s) is not null
        then coalesce(talk_s, 0) + coalesce(hold_s, 0) + coalesce(wrap_s, 0) end as handle_s,
    coalesce(
        ended_at,
        case when is_abandoned or is_resolved or coalesce(talk_s, hold_s, wrap_s) is not null then started_at end
    ) as closed_at
from flagged;

-- notes: contacts that no period contains
with figures as (
    select count(*) as all_count, count(*) - count(*) filter (where started_at <= now()) as left_out_count
    from interactions
)
select unnest([
    case when left_out_count > 0.001 * all_count then
        left_out_count || ' of ' || all_count || ' contacts have no start or one in the future: no period contains them'
        || case when left_out_count = all_count then '; cxql check shows whether a column has nearly the name started_at'
            else '' end
    end,
    case when stray_count > 0 then
        stray_count || ' of ' || all_count || ' contacts start before ' || cast(observed_from as date) || ' and apart from '
        || 'all others, by more than 30 days: no period contains them'
    end
])
from figures cross join observed_period;

-- notes: labels with several standard forms
select
    column_name || ' "' || label || '" has ' || count(distinct standard_label)
    || ' standard labels in label_synonyms: "' || min(standard_label) || '" is used'
from label_synonyms
group by column_name, label
having count(distinct standard_label) > 1
order by column_name, label

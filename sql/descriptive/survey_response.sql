-- title: Survey response
-- description: How many answered contacts got a survey answer, by channel and kind, and how many answers can be used.
-- Only answers about answered contacts count. A figure from few answers, or from one channel only, does not speak for
-- all contacts; a channel without any answer stands with 0. The share is that of known_count, the contacts whose time to
-- answer has elapsed by the end of the data: the newest have had none.
-- grain: one row per channel and kind of survey
-- param: since timestamp = 1970-01-01     # first contact start
-- param: until timestamp = 2200-01-01     # contacts before this time
-- param: within interval > 0 = 7 days     # answers that come later after the start of the contact are not counted
-- chart: bar x=channel y=response_ratio series=kind format=percent
-- check: response_ratio between 0 and 1
-- check: valid_count <= answer_count
-- check: surveyed_count <= known_count and known_count <= contact_count
with contacts as (
    select
        channel,
        count(*) as contact_count,
        count(*) filter (where started_at + $within <= observed_until) as known_count
    from observed_period cross join contacts_clean
    where is_answered and started_at >= $since and started_at < $until
    group by channel
),
answers as (
    select
        channel,
        kind,
        count(*) as answer_count,
        count(distinct interaction_id) filter (
            where started_at + $within <= observed_until and responded_at <= started_at + $within
        ) as surveyed_count,
        count(score) as valid_count
    from observed_period cross join survey_contacts
    where is_answered and started_at >= $since and started_at < $until
    group by channel, kind
),
kinds as (
    select distinct kind from answers
)
select
    contacts.channel,
    kinds.kind,
    contact_count,
    known_count,
    coalesce(surveyed_count, 0) as surveyed_count,
    coalesce(surveyed_count, 0) / nullif(cast(known_count as double), 0) as response_ratio,
    coalesce(answer_count, 0) as answer_count,
    coalesce(valid_count, 0) as valid_count
from contacts
cross join kinds
left join answers
    on (answers.channel is not distinct from contacts.channel)
    and (answers.kind is not distinct from kinds.kind)
order by contact_count desc, contacts.channel, kinds.kind;

-- notes: answers whose contact is unknown or was not answered
with figures as (
    select
        count(*) as answer_count,
        count(*) filter (where started_at is null) as unknown_count,
        count(*) filter (where not is_answered) as abandoned_count
    from survey_contacts
    where responded_at >= $since and responded_at < $until
)
select unnest([
    case when unknown_count > 0 then
        unknown_count || ' of ' || answer_count || ' survey answers are left out: their contact or its start is unknown'
    end,
    case when abandoned_count > 0 then
        abandoned_count || ' of ' || answer_count || ' survey answers are left out: their contact was not answered'
    end
])
from figures;

-- notes: a period that the data do not cover
select note from reports.period_coverage(since => $since, until => $until)

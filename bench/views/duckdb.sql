-- The shipped views of sql/views that the five reports read, in DuckDB's SQL, with what cxql's functions compute written
-- out. Times are compared as microseconds: arithmetic on timestamps with a zone goes through calendars.
set preserve_insertion_order = false;

create macro clean_label(label) as nullif(lower(trim(regexp_replace(label, '[\s_-]+', ' ', 'g'))), '');

-- calendar functions are faster on timestamps without a zone
create macro utc(zoned) as make_timestamp(epoch_us(zoned));

create macro days(number) as number * 86400000000;

-- a row is a repeat when the one before it is within 7 days; NULL within 7 days of the beginning of the data
create macro is_repeat_contact(at_us, previous_us, from_us) as
    case when at_us >= from_us + days(7) then coalesce(at_us - previous_us <= days(7), false) end;

-- NULL for repeats, and until 7 days have elapsed
create macro first_contact_resolved(at_us, previous_us, next_us, from_us, until_us) as
    case
        when is_repeat_contact(at_us, previous_us, from_us) then null
        when at_us >= from_us + days(7) and at_us + days(7) <= until_us then coalesce(next_us - at_us > days(7), true)
    end;

create macro rate(flag) as avg(flag::int);

create view observed_period as
select
    min(started_at) as observed_from,
    max(started_at) filter (started_at <= now()) as observed_until,
    count(topic) > 0 as is_topic_recorded
from interactions;

create view covered_period as
with span as (
    select date_trunc('day', observed_from) as first_day, date_trunc('day', observed_until) as last_day
    from observed_period
),
open_days as (
    select distinct date_trunc('day', utc(started_at)) as day
    from interactions
    where started_at <= (select observed_until from observed_period)
),
open_weekdays as (
    select distinct date_part('dow', day) as weekday from open_days
),
nearest as (
    select
        (
            select max(day) from (select unnest(generate_series(1, 7)) as number) as earlier, span,
                lateral (select first_day - to_days(number::int) as day) as days
            where date_part('dow', day) in (from open_weekdays)
        ) as open_before,
        (
            select min(day) from (select unnest(generate_series(1, 7)) as number) as later, span,
                lateral (select last_day + to_days(number::int) as day) as days
            where date_part('dow', day) in (from open_weekdays)
        ) as open_after
)
select
    if(last_day >= first_day + interval '13 days', open_before + interval '1 day', first_day) as covered_from,
    if(last_day >= first_day + interval '13 days', open_after, last_day + interval '1 day') as covered_until
from span, nearest;

create view label_synonyms as
select * from (
    values
        ('channel', 'voice', 'phone'),
        ('channel', 'call', 'phone'),
        ('channel', 'telephone', 'phone'),
        ('channel', 'e mail', 'email'),
        ('channel', 'mail', 'email'),
        ('channel', 'live chat', 'chat'),
        ('channel', 'webchat', 'chat'),
        ('channel', 'web chat', 'chat'),
        ('channel', 'social media', 'social'),
        ('topic', 'accounts', 'account'),
        ('topic', 'billing issue', 'billing'),
        ('topic', 'cancelation', 'cancellation'),
        ('topic', 'return', 'returns'),
        ('topic', 'tech support', 'technical support')
) as synonyms (column_name, label, standard_label);

create view contacts_unique as
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
    from interactions semi join repeated using (interaction_id)
),
kept as (
    select * exclude (version)
    from versions
    qualify
        version = 1
        or (
            count(started_at) over (partition by interaction_id) = count(*) over (partition by interaction_id)
            and count(agent_id) over (partition by interaction_id) = count(*) over (partition by interaction_id)
            and min(version) over (partition by interaction_id, started_at) = version
            and min(version) over (partition by interaction_id, agent_id) = version
        )
)
select *, false as is_key_shared from interactions anti join repeated using (interaction_id)
union all
select *, count(*) over (partition by interaction_id) > 1 from kept;

create view contacts_clean as
with labelled as (
    select
        * replace (
            if(started_at <= now(), started_at, null) as started_at,
            if(ended_at >= started_at and started_at <= now(), ended_at, null) as ended_at,
            clean_label(channel) as channel,
            nullif(lower(trim(direction)), '') as direction,
            clean_label(queue) as queue,
            clean_label(team) as team,
            clean_label(topic) as topic,
            clean_label(product) as product,
            if(wait_s >= 0, wait_s, null) as wait_s,
            if(talk_s >= 0, talk_s, null) as talk_s,
            if(hold_s >= 0, hold_s, null) as hold_s,
            if(wrap_s >= 0, wrap_s, null) as wrap_s
        )
    from contacts_unique
),
standard as (
    select
        labelled.* replace (
            coalesce(channels.standard_label, channel) as channel,
            coalesce(queues.standard_label, queue) as queue,
            coalesce(teams.standard_label, team) as team,
            coalesce(topics.standard_label, topic) as topic,
            coalesce(products.standard_label, product) as product
        )
    from labelled
    left join label_synonyms as channels on channels.column_name = 'channel' and channels.label = channel
    left join label_synonyms as queues on queues.column_name = 'queue' and queues.label = queue
    left join label_synonyms as teams on teams.column_name = 'team' and teams.label = team
    left join label_synonyms as topics on topics.column_name = 'topic' and topics.label = topic
    left join label_synonyms as products on products.column_name = 'product' and products.label = product
),
flagged as (
    select
        *,
        coalesce(direction, 'inbound') = 'inbound' as is_inbound,
        not coalesce(is_abandoned, false) as is_answered,
        coalesce(channel, 'phone') in ('phone', 'chat') as is_live
    from standard
)
select
    *,
    is_inbound and is_live as is_offered,
    is_inbound and is_answered and customer_id is not null and started_at is not null
        and (topic is not null or not (select is_topic_recorded from observed_period)) as is_fcr_eligible,
    if(
        is_answered and coalesce(talk_s, hold_s, wrap_s) is not null,
        coalesce(talk_s, 0) + coalesce(hold_s, 0) + coalesce(wrap_s, 0), null
    ) as handle_s,
    coalesce(
        ended_at,
        if(is_abandoned or is_resolved or coalesce(talk_s, hold_s, wrap_s) is not null, started_at, null)
    ) as closed_at
from flagged;

create view contact_outcomes as
with followed as (
    select
        *,
        epoch_us(started_at) as at_us,
        lag(at_us) over same_matter as previous_us,
        lead(at_us) over same_matter as next_us,
        epoch_us(observed_from) as from_us,
        epoch_us(observed_until) as until_us
    from contacts_clean cross join (select observed_from, observed_until from observed_period) as period
    window same_matter as (partition by is_fcr_eligible, customer_id, topic order by epoch_us(started_at), interaction_id)
)
select
    * exclude (observed_from, observed_until, at_us, previous_us, next_us, from_us, until_us),
    if(is_fcr_eligible, make_timestamptz(previous_us), null) as previous_contact_at,
    if(is_fcr_eligible, make_timestamptz(next_us), null) as next_contact_at,
    if(is_fcr_eligible, is_repeat_contact(at_us, previous_us, from_us), null) as is_repeat,
    if(is_fcr_eligible, not is_repeat_contact(at_us, previous_us, from_us), null) as is_first_contact,
    if(is_fcr_eligible, first_contact_resolved(at_us, previous_us, next_us, from_us, until_us), null)
        as is_first_contact_resolved
from followed;

create view surveys_clean as
select
    * replace (
        case
            when kind = 'nps' and score between 0 and 10 then score
            when kind = 'csat' and score between 1 and 5 then score
            when kind = 'ces' and score between 1 and 7 then score
        end as score
    )
from (select * replace (nullif(lower(trim(kind)), '') as kind) from surveys) as answers
qualify
    survey_id is null
    or row_number() over (
        partition by survey_id, kind order by responded_at desc nulls last, interaction_id, score
    ) = 1;

create view agent_names as
select agent_id, max(name) as agent_name, max(nullif(lower(trim(team)), '')) as agent_team
from agents
where agent_id is not null
group by agent_id;

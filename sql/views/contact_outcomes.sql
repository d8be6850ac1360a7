-- title: Contact outcomes
-- description: Each contact with what became of it within 7 days.
-- Repeats and first contacts are counted per customer and topic over the contacts that are is_fcr_eligible; on all
-- others these columns are NULL. Both ends of the data count: before 7 days since its beginning no contact is known to
-- be a repeat or a first contact, and whether a first contact was resolved is known when its 7 days have elapsed, not
-- as soon as a repeat is seen. What is not known is NULL.
-- grain: one row per contact, that is per interaction_id unless is_key_shared
-- check: previous_contact_at <= started_at
-- check: started_at <= next_contact_at
-- check: not (is_repeat and is_first_contact)
with contacts as (
    select contacts_clean.*, observed_from, observed_until from observed_period cross join contacts_clean
),
followed as (
    select
        *,
        lag(started_at) over same_matter as previous_at,
        lead(started_at) over same_matter as next_at,
        is_repeat_contact(started_at, interval '7 days', observed_from) over same_matter as is_repeated,
        first_contact_resolved(started_at, interval '7 days', observed_until, observed_from)
            over same_matter as is_resolved_first
    from contacts
    window same_matter as (partition by is_fcr_eligible, customer_id, topic order by started_at, interaction_id)
)
select
    * exclude (observed_from, observed_until, previous_at, next_at, is_repeated, is_resolved_first),
    case when is_fcr_eligible then previous_at end as previous_contact_at,
    case when is_fcr_eligible then next_at end as next_contact_at,
    case when is_fcr_eligible then is_repeated end as is_repeat,
    case when is_fcr_eligible then not is_repeated end as is_first_contact,
    case when is_fcr_eligible then is_resolved_first end as is_first_contact_resolved
from followed;

-- notes: first-contact resolution where the data is too short
select 'first-contact resolution is not known: the data would have to hold 7 days before and after a contact'
from observed_period
where observed_from + interval '7 days' > observed_until - interval '7 days'

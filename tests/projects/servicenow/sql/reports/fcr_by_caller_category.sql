-- title: First-contact resolution by caller and category
-- description: Callers and categories with the most repeats within the window.
-- grain: one row per caller and category with at least two incidents
-- param: window interval = 7 days         # another incident within this span means not resolved
-- param: max_rows integer = 100           # how many to list
-- check: fcr_ratio between 0 and 1
-- check: repeat_count < incident_count
with contacts as (
    select customer_id, topic, started_at, interaction_id, observed_from, observed_until
    from observed_period cross join contacts_clean
    where is_fcr_eligible
),
outcomes as (
    select
        customer_id,
        topic,
        is_repeat_contact(started_at, $window, observed_from)
            over (partition by customer_id, topic order by started_at, interaction_id) as is_repeat,
        first_contact_resolved(started_at, $window, observed_until, observed_from)
            over (partition by customer_id, topic order by started_at, interaction_id) as is_first_contact_resolved
    from contacts
)
select
    customer_id as caller,
    topic as category,
    count(*) as incident_count,
    count(*) filter (where is_repeat) as repeat_count,
    count(is_first_contact_resolved) as known_count,
    fcr(is_first_contact_resolved) as fcr_ratio
from outcomes
group by customer_id, topic
having count(*) > 1
order by repeat_count desc, incident_count desc, caller, category
limit $max_rows

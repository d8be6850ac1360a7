select count(*) as group_count, sum(contact_count) as contact_count, max(first_at) as latest_first_at
from (
    select customer_id, topic, count(*) as contact_count, min(started_at) as first_at
    from interactions
    group by customer_id, topic
)

-- title: Tickets in business time
-- description: First public reply and full resolution of each ticket in opening hours, and its SLA with the pause while pending.
-- first_reply_* is empty while nobody has replied; its SLA can be missed all the same. full_resolution_* is from the start to the
-- last solution, requester_wait_* leaves out the time in which the customer was asked.
-- grain: one row per ticket
-- check: first_reply_business_s <= first_reply_s
-- check: full_resolution_business_s <= full_resolution_s
-- check: requester_wait_s <= full_resolution_s
with metrics as (
    select
        ticket_id,
        max(business_s) filter (where metric = 'requester_wait_time') as requester_wait_business_s,
        max(elapsed_s) filter (where metric = 'requester_wait_time') as requester_wait_s,
        max(target_s) filter (where metric = 'first_reply_time') as first_reply_target_s,
        bool_or(is_breached) filter (where metric = 'first_reply_time') as is_first_reply_breached,
        max(breached_at) filter (where metric = 'first_reply_time') as first_reply_breached_at,
        max(target_s) filter (where metric = 'requester_wait_time') as requester_wait_target_s,
        bool_or(is_breached) filter (where metric = 'requester_wait_time') as is_requester_wait_breached,
        max(breached_at) filter (where metric = 'requester_wait_time') as requester_wait_breached_at
    from sla_times
    group by ticket_id
)
select
    ticket_id,
    created_at,
    status,
    date_part('epoch', first_reply_at - created_at) as first_reply_s,
    business_s(created_at, first_reply_at, 'support_ca') as first_reply_business_s,
    date_part('epoch', solved_at - created_at) as full_resolution_s,
    business_s(created_at, solved_at, 'support_ca') as full_resolution_business_s,
    requester_wait_s,
    requester_wait_business_s,
    first_reply_target_s,
    is_first_reply_breached,
    first_reply_breached_at,
    requester_wait_target_s,
    is_requester_wait_breached,
    requester_wait_breached_at
from tickets
left join metrics using (ticket_id)
order by created_at, ticket_id

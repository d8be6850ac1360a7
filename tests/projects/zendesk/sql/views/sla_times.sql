-- title: SLA times
-- description: How long the clock of each SLA metric ran for a ticket, its target, and whether and when that was missed.
-- The target is that of the ticket's policy for the priority of the moment, as the policy stood when it was applied; policies in
-- business hours are measured by the calendar support_ca, others around the clock. A ticket without a priority or with a
-- policy that has no such metric has no target, and nothing to miss.
-- grain: one row per ticket and metric
-- check: is_breached = (breached_at is not null) or target_s is null
-- check: business_s <= elapsed_s + 1e-6
with versions as (
    select
        ticket_id,
        metric,
        priority,
        target * 60 as target_s,
        business_hours,
        row_number() over (partition by ticket_id, metric, priority order by sla_policy_updated_at desc) as version
    from ticket_policy_export
    inner join policy_export using (sla_policy_id)
    where sla_policy_updated_at <= policy_applied_at
),
pieces as (
    select
        sla_clock.*,
        target_s,
        coalesce(business_hours, false) as is_business,
        date_part('epoch', ended_at - started_at) as elapsed_s,
        business_s(started_at, ended_at, 'support_ca') as business_s
    from sla_clock
    left join versions
        on versions.ticket_id = sla_clock.ticket_id and versions.metric = sla_clock.metric
        and versions.priority = sla_clock.priority and version = 1
),
counted as (
    select
        *,
        case when is_business then business_s else elapsed_s end as counted_s,
        coalesce(sum(case when is_business then business_s else elapsed_s end) over (
            partition by ticket_id, metric order by started_at rows between unbounded preceding and 1 preceding
        ), 0) as before_s
    from pieces
),
breaches as (
    select
        *,
        case
            when before_s + counted_s <= target_s then null
            when before_s >= target_s then started_at
            when is_business then business_add(started_at, target_s - before_s, 'support_ca')
            else started_at + (target_s - before_s) * interval '1 second'
        end as breached_at
    from counted
)
select
    ticket_id,
    metric,
    sum(elapsed_s) as elapsed_s,
    sum(business_s) as business_s,
    max_by(target_s, started_at) as target_s,
    case when count(target_s) > 0 then count(breached_at) > 0 end as is_breached,
    min(breached_at) as breached_at
from breaches
group by ticket_id, metric

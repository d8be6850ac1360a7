-- title: Reopened and transferred incidents
-- description: Share of incidents that were reopened, or passed to another group, by category and group.
-- grain: one row for all, then one per category, then one per group
-- section: All incidents
-- check: reopened_ratio between 0 and 1 and transferred_ratio between 0 and 1
select
    count(*) as incident_count,
    rate(reopen_count > 0) as reopened_ratio,
    rate(transfer_count > 0) as transferred_ratio,
    avg(transfer_count) as mean_transfer_count,
    rate(is_made_sla) as made_sla_ratio
from contacts_clean;

-- section: By category
-- chart: bar x=category y=reopened_ratio,transferred_ratio format=percent
-- check: reopened_ratio between 0 and 1 and transferred_ratio between 0 and 1
select
    topic as category,
    count(*) as incident_count,
    rate(reopen_count > 0) as reopened_ratio,
    rate(transfer_count > 0) as transferred_ratio,
    rate(is_made_sla) as made_sla_ratio
from contacts_clean
group by topic
order by incident_count desc, category;

-- section: By group
-- chart: bar x=assignment_group y=reopened_ratio,transferred_ratio format=percent
-- check: reopened_ratio between 0 and 1 and transferred_ratio between 0 and 1
select
    queue as assignment_group,
    count(*) as incident_count,
    rate(reopen_count > 0) as reopened_ratio,
    rate(transfer_count > 0) as transferred_ratio,
    rate(is_made_sla) as made_sla_ratio
from contacts_clean
group by queue
order by incident_count desc, assignment_group

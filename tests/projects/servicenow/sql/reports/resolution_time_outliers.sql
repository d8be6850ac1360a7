-- title: Resolution-time outliers
-- description: How long incidents take to be resolved, and how many are far from usual for their priority.
-- Far is beyond the limit on the modified z-score within a priority. Only incidents with a resolution time count.
-- grain: one row per priority, then one per incident
-- param: z_limit float = 3.5              # beyond this is an outlier
-- param: max_rows integer = 50            # how many incidents to list
-- section: By priority
-- chart: bar x=priority y=outlier_ratio format=percent
-- check: outlier_ratio between 0 and 1
-- check: median_h <= p90_h
with times as (
    select priority, date_part('epoch', resolved_at - opened_at) / 3600 as resolution_h
    from incidents
    where resolved_at is not null
),
scored as (
    select *, abs(modified_zscore(resolution_h) over (partition by priority)) > $z_limit as is_outlier from times
)
select
    priority,
    count(*) as incident_count,
    count(*) filter (where is_outlier) as outlier_count,
    rate(is_outlier) as outlier_ratio,
    avg(resolution_h) as mean_h,
    median(resolution_h) as median_h,
    percentile_cont(0.9) within group (order by resolution_h) as p90_h
from scored
group by priority
order by priority;

-- section: Farthest incidents
-- check: abs(modified_zscore) > 0
with times as (
    select
        number,
        priority,
        category,
        assignment_group,
        date_part('epoch', resolved_at - opened_at) / 3600 as resolution_h
    from incidents
    where resolved_at is not null
),
scored as (
    select
        *,
        zscore(resolution_h) over (partition by priority) as zscore,
        modified_zscore(resolution_h) over (partition by priority) as modified_zscore
    from times
)
select number, priority, category, assignment_group, resolution_h, zscore, modified_zscore
from scored
where abs(modified_zscore) > $z_limit
order by abs(modified_zscore) desc, number
limit $max_rows

-- title: Days to close
-- description: How many days cases take to be closed, and how many are still open, by kind of complaint.
-- grain: one row per kind of complaint
-- param: min_case_count integer = 100     # rarer kinds are left out
-- chart: bar x=complaint_type y=median_days,mean_days
-- check: median_days <= p90_days
-- check: open_count + closed_count = case_count
with times as (
    select topic, started_at, ended_at, date_part('epoch', ended_at - started_at) / 86400 as days from contacts_clean
)
select
    topic as complaint_type,
    count(*) as case_count,
    count(ended_at) as closed_count,
    count(*) - count(ended_at) as open_count,
    avg(days) as mean_days,
    median(days) as median_days,
    percentile_cont(0.9) within group (order by days) as p90_days,
    rate(days = 0) as same_day_ratio
from times
group by topic
having count(*) >= $min_case_count
order by case_count desc, complaint_type

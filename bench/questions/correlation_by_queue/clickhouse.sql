select
    queue,
    count() as contact_count,
    corrStable(talk_s, wait_s) as correlation,
    covarPopStable(talk_s, wait_s) / varPopStableIf(wait_s, talk_s is not null) as slope
from file('interactions/*.parquet', Parquet, 'queue LowCardinality(String), talk_s Nullable(Int32), wait_s Nullable(Int32)')
where queue <> ''
group by queue
order by queue

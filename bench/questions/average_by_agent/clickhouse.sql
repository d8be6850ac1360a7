select
    agent_id,
    count() as contact_count,
    avg(wait_s) as wait_avg_s,
    avg(talk_s) as talk_avg_s,
    avg(hold_s) as hold_avg_s,
    avg(wrap_s) as wrap_avg_s
from file(
    'interactions/*.parquet', Parquet,
    'agent_id LowCardinality(String), wait_s Nullable(Int32), talk_s Nullable(Int32), hold_s Nullable(Int32), wrap_s Nullable(Int32)'
)
where agent_id <> ''
group by agent_id
order by agent_id

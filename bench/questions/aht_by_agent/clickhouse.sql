select
    agent_id,
    count() as contact_count,
    avgIf(
        ifNull(talk_s, 0) + ifNull(hold_s, 0) + ifNull(wrap_s, 0),
        not is_abandoned and (talk_s is not null or hold_s is not null or wrap_s is not null)
    ) as aht_s
from file(
    'interactions/*.parquet', Parquet,
    'agent_id LowCardinality(String), talk_s Nullable(Int32), hold_s Nullable(Int32), wrap_s Nullable(Int32), is_abandoned Bool'
)
where agent_id <> ''
group by agent_id
order by agent_id

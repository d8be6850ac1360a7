-- one pass: the durations of an agent as an array (of the known ones), its moments beside it
with agents as (
    select
        agent_id,
        count() as contact_count,
        groupArray(talk_s) as durations,
        avg(talk_s) as mean,
        stddevSampStable(talk_s) as deviation
    from file('interactions/*.parquet', Parquet, 'agent_id LowCardinality(String), talk_s Nullable(Int32)')
    where agent_id <> ''
    group by agent_id
)
select
    agent_id,
    contact_count,
    arrayCount(x -> abs(x - assumeNotNull(mean)) > 3 * assumeNotNull(deviation), durations) as outlier_count,
    (arrayMax(durations) - mean) / deviation as score_max
from agents
order by agent_id

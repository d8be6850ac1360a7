with moments as (
    select agent_id, avg(talk_s) as mean, stddevSampStable(talk_s) as deviation
    from file('interactions/*.parquet', Parquet, 'agent_id LowCardinality(String), talk_s Nullable(Int32)')
    where agent_id <> ''
    group by agent_id
)
select
    contacts.agent_id as agent_id,
    count() as contact_count,
    countIf(abs(talk_s - mean) > 3 * deviation) as outlier_count,
    max((talk_s - mean) / deviation) as score_max
from file('interactions/*.parquet', Parquet, 'agent_id LowCardinality(String), talk_s Nullable(Int32)') as contacts
inner join moments on moments.agent_id = contacts.agent_id
group by agent_id
order by agent_id

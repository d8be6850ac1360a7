with middles as (
    select queue, quantileExactInclusive(0.5)(talk_s) as middle
    from file('interactions/*.parquet', Parquet, 'queue LowCardinality(String), talk_s Nullable(Int32)')
    where queue <> ''
    group by queue
),
deviations as (
    select
        contacts.queue as queue,
        any(middles.middle) as middle,
        quantileExactInclusive(0.5)(abs(talk_s - middles.middle)) as deviation
    from file('interactions/*.parquet', Parquet, 'queue LowCardinality(String), talk_s Nullable(Int32)') as contacts
    inner join middles on middles.queue = contacts.queue
    group by queue
)
select
    contacts.queue as queue,
    count() as contact_count,
    countIf(abs(0.6745 * (talk_s - middle) / deviation) > 3.5) as outlier_count,
    max(0.6745 * (talk_s - middle) / deviation) as score_max
from file('interactions/*.parquet', Parquet, 'queue LowCardinality(String), talk_s Nullable(Int32)') as contacts
inner join deviations on deviations.queue = contacts.queue
group by queue
order by queue

select
    channel,
    queue,
    count() as answer_count,
    if(countIf(score between 1 and 5) > 0, countIf(score between 4 and 5) / countIf(score between 1 and 5), null) as csat_ratio
from file(
    'interactions/*.parquet', Parquet,
    'interaction_id String, channel LowCardinality(String), queue LowCardinality(String)'
) as contacts
inner join (
    select interaction_id, score
    from file(
        'surveys.parquet', Parquet,
        'interaction_id String, kind LowCardinality(String), score Nullable(Int32)'
    )
    where kind = 'csat'
) as answers on answers.interaction_id = contacts.interaction_id
group by channel, queue
order by channel, queue

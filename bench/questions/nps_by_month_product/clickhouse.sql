select
    toStartOfMonth(responded_at) as month,
    product,
    count() as answer_count,
    100 * (countIf(score between 9 and 10) - countIf(score between 0 and 6)) / countIf(score between 0 and 10) as nps
from file('interactions/*.parquet', Parquet, 'interaction_id String, product LowCardinality(String)') as contacts
inner join (
    select interaction_id, responded_at, score
    from file(
        'surveys.parquet', Parquet,
        'interaction_id String, responded_at DateTime64(6, \'UTC\'), kind LowCardinality(String), score Nullable(Int32)'
    )
    where kind = 'nps'
) as answers on answers.interaction_id = contacts.interaction_id
group by month, product
order by month, product

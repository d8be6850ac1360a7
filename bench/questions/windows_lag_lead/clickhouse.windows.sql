with contacts as (
    select
        topic,
        toInt64(toUnixTimestamp(started_at)) as at,
        at - lagInFrame(toNullable(at)) over steps as gap_before,
        leadInFrame(toNullable(at)) over steps - at as gap_after
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, topic LowCardinality(String), started_at DateTime(\'UTC\')'
    )
    where customer_id <> '' and topic <> ''
    window steps as (
        partition by customer_id, topic order by started_at rows between unbounded preceding and unbounded following
    )
)
select
    topic,
    count(gap_before) as followed_count,
    avg(gap_before) as gap_avg_s,
    countIf(gap_before <= 7 * 86400 and gap_after <= 7 * 86400) as between_count
from contacts
group by topic
order by topic

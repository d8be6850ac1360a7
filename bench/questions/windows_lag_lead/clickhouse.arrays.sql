-- per customer and topic the gaps between its contacts; a contact between two short gaps has one before and one after
with groups as (
    select
        topic,
        arrayPopFront(arrayDifference(arraySort(groupArray(toUnixTimestamp(started_at))))) as gaps,
        arrayCount((before, after) -> before <= 7 * 86400 and after <= 7 * 86400, arrayPopBack(gaps), arrayPopFront(gaps)) as between
    from file(
        'interactions/*.parquet', Parquet,
        'customer_id String, topic LowCardinality(String), started_at DateTime(\'UTC\')'
    )
    where customer_id <> '' and topic <> ''
    group by customer_id, topic
)
select
    topic,
    sum(length(gaps)) as followed_count,
    if(followed_count > 0, sum(arraySum(gaps)) / followed_count, null) as gap_avg_s,
    sum(between) as between_count
from groups
group by topic
order by topic

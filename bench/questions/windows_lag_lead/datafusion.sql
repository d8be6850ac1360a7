set datafusion.execution.parquet.schema_force_view_types = false;
with contacts as (
    select
        topic,
        arrow_cast(started_at, 'Int64') - lag(arrow_cast(started_at, 'Int64')) over steps as gap_before,
        lead(arrow_cast(started_at, 'Int64')) over steps - arrow_cast(started_at, 'Int64') as gap_after
    from interactions
    where customer_id is not null and topic is not null
    window steps as (partition by customer_id, topic order by started_at)
)
select
    topic,
    count(gap_before) as followed_count,
    avg(gap_before) / 1e6 as gap_avg_s,
    count(*) filter (where gap_before <= 7 * 86400000000 and gap_after <= 7 * 86400000000) as between_count
from contacts
group by topic
order by topic

with scores as (
    select
        queue,
        channel,
        zscore(coalesce(talk_s, 0) + coalesce(hold_s, 0) + coalesce(wrap_s, 0)) over (partition by queue, channel) as score
    from interactions
    where queue is not null and channel is not null
)
select
    queue,
    channel,
    count(*) as contact_count,
    count(*) filter (where abs(score) > 3) as outlier_count,
    max(score) as score_max
from scores
group by queue, channel
order by queue, channel

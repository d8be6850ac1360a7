with scores as (
    select queue, modified_zscore(talk_s) over (partition by queue) as score
    from interactions
    where queue is not null
)
select
    queue,
    count(*) as contact_count,
    count(*) filter (where abs(score) > 3.5) as outlier_count,
    max(score) as score_max
from scores
group by queue
order by queue

with medians as (
    select queue, median(talk_s) as middle, mad(talk_s::double) as deviation
    from interactions
    where queue is not null
    group by queue
)
select
    interactions.queue,
    count(*) as contact_count,
    count(*) filter (abs(0.6745 * (talk_s - middle) / deviation) > 3.5) as outlier_count,
    max(0.6745 * (talk_s - middle) / deviation) as score_max
from interactions
inner join medians on medians.queue = interactions.queue
group by interactions.queue
order by interactions.queue

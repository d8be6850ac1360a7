with middles as (
    select queue, median(cast(talk_s as double)) as middle from interactions where queue is not null group by queue
),
deviations as (
    select interactions.queue, any_value(middle) as middle, median(abs(talk_s - middle)) as deviation
    from middles
    inner join interactions on middles.queue = interactions.queue
    group by interactions.queue
)
select
    interactions.queue,
    count(*) as contact_count,
    count(*) filter (where abs(0.6745 * (talk_s - middle) / deviation) > 3.5) as outlier_count,
    max(0.6745 * (talk_s - middle) / deviation) as score_max
from deviations
inner join interactions on deviations.queue = interactions.queue
group by interactions.queue
order by interactions.queue

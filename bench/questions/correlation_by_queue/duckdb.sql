select
    queue,
    count(*) as contact_count,
    corr(talk_s, wait_s) as correlation,
    regr_slope(talk_s, wait_s) as slope
from interactions
where queue is not null
group by queue
order by queue

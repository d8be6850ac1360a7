select date_trunc('day', started_at) as day_at, count(*) as contact_count, avg(talk_s) as talk_avg_s
from interactions
group by day_at
order by day_at

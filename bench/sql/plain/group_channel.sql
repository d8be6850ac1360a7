select channel, count(*) as contact_count, avg(talk_s) as talk_avg_s, sum(wait_s) as wait_sum_s
from interactions
group by channel
order by channel

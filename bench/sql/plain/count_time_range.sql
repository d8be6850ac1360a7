select count(*) as contact_count, sum(talk_s) as talk_s
from interactions
where started_at >= timestamp '2025-03-01 00:00:00' and started_at < timestamp '2025-03-08 00:00:00'

-- ours
select service_level(wait_s, is_abandoned, 20) as value from interactions;

-- built-in
select
    avg(case when wait_s < 0 or is_abandoned is null then null when wait_s <= 20 and not is_abandoned then 1.0 when wait_s >= 0 then 0.0 end) as value
from interactions

select
    sum(wait_s) as wait_sum_s,
    avg(talk_s) as talk_avg_s,
    avg(hold_s) as hold_avg_s,
    min(wrap_s) as wrap_min_s,
    max(transfer_count) as transfer_max,
    count(agent_id) as answered_count
from interactions

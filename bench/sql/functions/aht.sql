-- ours
select aht(talk_s, hold_s, wrap_s, is_abandoned) as value from interactions;

-- built-in
select
    avg(case when not is_abandoned and (talk_s >= 0 or hold_s >= 0 or wrap_s >= 0) then
        case when talk_s >= 0 then talk_s else 0 end
        + case when hold_s >= 0 then hold_s else 0 end
        + case when wrap_s >= 0 then wrap_s else 0 end
    end) as value
from interactions

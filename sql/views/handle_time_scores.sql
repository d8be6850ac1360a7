-- title: Handle-time scores
-- description: Each handled contact with its distance from the usual handle time.
-- Usual is what the same agent does on the same channel. zscore counts standard deviations from the mean,
-- modified_zscore median absolute deviations from the median; is_outlier is beyond 3.5 on it (Iglewicz and Hoaglin
-- 1993).
-- grain: one row per handled contact
-- check: handle_s >= 0
with handled as (
    select interaction_id, agent_id, channel, topic, product, started_at, handle_s
    from contacts_clean
    where handle_s is not null and agent_id is not null
),
scored as (
    select
        *,
        zscore(handle_s) over (partition by agent_id, channel) as zscore,
        modified_zscore(handle_s) over (partition by agent_id, channel) as modified_zscore
    from handled
)
select *, abs(modified_zscore) > 3.5 as is_outlier from scored

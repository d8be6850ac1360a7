-- title: Handle-time scores
-- description: Each handled contact with its distance from the usual handle time.
-- Usual is what the same agent does on the same channel. Handle times are skewed, a few last many times as long as
-- most, so both scores are those of ln(1 + handle_s): on the times themselves 5 to 8 ordinary contacts of 100 would be
-- outliers. zscore counts standard deviations from the mean, modified_zscore median absolute deviations from the
-- median; is_outlier is beyond 3.5 on it (Iglewicz and Hoaglin 1993), and NULL where the agent has fewer than 20
-- contacts on the channel (usual_count): they say nothing about what is usual.
-- grain: one row per handled contact
-- check: handle_s >= 0
-- check: usual_count > 0
with handled as (
    select
        interaction_id, agent_id, channel, topic, product, started_at, handle_s,
        ln(1 + cast(handle_s as double)) as log_handle
    from contacts_clean
    where handle_s is not null and agent_id is not null
),
scored as (
    select
        * exclude (log_handle),
        count(*) over (partition by agent_id, channel) as usual_count,
        zscore(log_handle) over (partition by agent_id, channel) as zscore,
        modified_zscore(log_handle) over (partition by agent_id, channel) as modified_zscore
    from handled
)
select *, case when usual_count >= 20 then abs(modified_zscore) > 3.5 end as is_outlier from scored

select * from interactions order by customer_id, started_at, interaction_id

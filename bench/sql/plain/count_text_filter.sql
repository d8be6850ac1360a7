select count(*) as contact_count from interactions where text like '%refund%'

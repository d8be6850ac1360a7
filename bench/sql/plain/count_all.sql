select count(*) as contact_count from interactions

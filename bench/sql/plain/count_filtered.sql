select count(*) as contact_count from interactions where wait_s > 60 and is_abandoned

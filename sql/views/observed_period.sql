-- title: Observed period
-- description: The stretch of time that the data covers.
-- Whether a contact was followed by another is known up to observed_until only. It comes from the contacts' own
-- starts, so that an old extract gives the same figures on any day.
-- grain: one row
-- check: observed_from <= observed_until
select min(started_at) as observed_from, max(started_at) as observed_until from contacts_clean

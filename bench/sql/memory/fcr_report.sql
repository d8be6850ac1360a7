select * from reports.fcr_by_topic

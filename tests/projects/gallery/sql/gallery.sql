-- title: Gallery of charts
-- description: Every kind of chart that a report can hold, each drawn from the table below it. The figures are made up.
-- grain: one row per mark of a chart
-- section: Figures with the period before
-- chart: figure x=kpi value=value previous=previous low=low high=high p_value=p_value unit=unit
-- check: p_value between 0 and 1
select * from (values
    ('contacts', 'count', 1583, 1724, null, null, null),
    ('first-contact resolution', 'ratio', 0.7612, 0.7708, 0.7332, 0.7871, 0.617),
    ('service level', 'ratio', 0.7274, 0.7568, 0.6999, 0.7533, 0.126),
    ('average handle time', 'seconds', 435.71, 428.42, null, null, null),
    ('net promoter score', 'points', 16.8, 16.1, null, null, null),
    ('abandonment rate', 'ratio', 0.0563, 0.0392, 0.0440, 0.0718, 0.041),
    ('cost of one contact', 'EUR', 6.42, 6.42, null, null, null),
    ('open contacts', 'count', null, 10, null, null, null)
) as figures (kpi, unit, value, previous, low, high, p_value);

-- section: One figure
-- chart: figure value=fcr_ratio previous=previous_ratio p_value=p_value format=percent
select 0.7612 as fcr_ratio, 0.7204 as previous_ratio, 0.0004 as p_value;

-- section: Bars with intervals
-- chart: bar x=topic y=fcr_ratio low=low high=high format=percent title="First-contact resolution by topic, with 95% intervals"
-- check: fcr_ratio between low and high
select * from (values
    ('billing', 0.62, 0.58, 0.66), ('delivery', 0.71, 0.68, 0.74), ('technical support', 0.55, 0.50, 0.60),
    ('returns', 0.81, 0.78, 0.84), ('account', 0.77, 0.73, 0.81), ('cancellation', 0.44, 0.36, 0.52)
) as topics (topic, fcr_ratio, low, high);

-- section: Bars side by side, one value missing
-- chart: bar x=topic y=observed_ratio,logged_ratio format=percent
select * from (values
    ('billing', 0.62, 0.70), ('delivery', 0.71, 0.80), ('technical support', 0.55, null), ('returns', 0.81, 0.83),
    ('account', 0.77, 0.79)
) as topics (topic, observed_ratio, logged_ratio);

-- section: Bars on one another
-- chart: bar x=month y=contact_count series=channel layout=stacked
select
    make_date(2025, month.value + 1, 1) as month,
    channels.channel,
    cast(round(channels.base * (1 + 0.3 * sin(month.value * channels.pace))) as bigint) as contact_count
from range(0, 12) as month
cross join (values ('phone', 420, 0.5), ('chat', 260, 0.9), ('email', 140, 1.3)) as channels (channel, base, pace)
order by month.value, channels.base desc;

-- section: Lying bars, long names
-- chart: bar x=reason y=contact_count layout=horizontal
select * from (values
    ('The invoice shows a service that was never ordered', 412),
    ('The parcel is marked as delivered and nobody has seen it', 367),
    ('账户余额与账单金额不一致，需要人工核对', 251),
    ('Password', 198),
    ('Wants to speak to somebody who can decide', 96)
) as reasons (reason, contact_count);

-- section: Lying bars on one another
-- chart: bar x=queue y=contact_count series=outcome layout=stacked,horizontal
select * from (values
    ('billing', 'solved', 310), ('billing', 'transferred', 90), ('billing', 'abandoned', 40),
    ('technical', 'solved', 220), ('technical', 'transferred', 160), ('technical', 'abandoned', 75),
    ('sales', 'solved', 180), ('sales', 'transferred', 25), ('sales', 'abandoned', 12)
) as outcomes (queue, outcome, contact_count);

-- section: Bars below zero
-- chart: bar x=agent y=fcr_zscore,logged_zscore
select * from (values
    ('Ada', 1.2, 0.9), ('Ben', -0.4, -0.2), ('Carla', 0.3, -0.3), ('Dan', -5.2, -4.8), ('Eve', 2.1, 1.1), ('Finn', 0.0, 0.5)
) as agents (agent, fcr_zscore, logged_zscore);

-- section: A line with its interval
-- chart: line x=month y=nps low=nps_low high=nps_high format=points title="Net promoter score"
with months as (
    select month.value as number, round(12 + 6 * sin(month.value * 0.7) + month.value * 0.8, 1) as nps
    from range(0, 12) as month
)
select
    make_date(2025, number + 1, 1) as month, nps, round(nps - 5.5, 1) as nps_low,
    round(nps + 5.5, 1) as nps_high
from months
order by number;

-- section: Lines with names at their ends
-- chart: line x=week y=service_level_ratio series=queue format=percent
select
    cast(date '2025-01-06' + week.value * interval '7 days' as date) as week,
    queues.queue,
    round(queues.base + 0.06 * sin(week.value * queues.pace) + 0.03 * cos(week.value * queues.pace * 2.3), 4) as service_level_ratio
from range(0, 26) as week
cross join (values ('billing', 0.78, 0.6), ('technical', 0.66, 0.9), ('sales', 0.90, 0.4), ('vip', 0.72, 1.4)) as queues (queue, base, pace)
order by queues.base, week.value;

-- section: Days with a running mean
-- chart: line x=day y=contact_count,mean_7_days
with days as (
    select
        day.value as number,
        cast(date '2025-01-01' + day.value * interval '1 day' as date) as day,
        cast(round(60 + 18 * sin(day.value * 2 * pi() / 7) + 12 * sin(day.value / 50.0)) as bigint) as contact_count
    from range(0, 180) as day
)
select
    day, contact_count,
    round(avg(contact_count) over (order by number rows between 6 preceding and current row), 2) as mean_7_days
from days
order by day;

-- section: Many lines
-- chart: line x=week y=contact_count series=topic
select
    cast(date '2025-01-06' + week.value * interval '7 days' as date) as week,
    'topic ' || lpad(cast(topic.value as text), 2, '0') as topic,
    cast(round(10 + topic.value * 4 + 6 * sin(week.value * 0.8 + topic.value)) as bigint) as contact_count
from range(0, 16) as week cross join range(1, 21) as topic
order by topic, week;

-- section: An area with gaps
-- chart: area x=month y=csat_ratio low=low high=high format=percent
select * from (values
    (date '2025-01-01', 0.61, 0.55, 0.67), (date '2025-02-01', 0.63, 0.57, 0.69), (date '2025-03-01', 0.66, 0.60, 0.72),
    (date '2025-04-01', null, null, null), (date '2025-05-01', 0.58, 0.50, 0.66), (date '2025-06-01', 0.60, 0.53, 0.67),
    (date '2025-07-01', null, null, null), (date '2025-08-01', 0.70, 0.63, 0.77), (date '2025-09-01', null, null, null),
    (date '2025-10-01', 0.68, 0.61, 0.75), (date '2025-11-01', 0.69, 0.63, 0.75)
) as months (month, csat_ratio, low, high);

-- section: Areas on one another
-- chart: area x=month y=contact_ratio series=channel format=percent
with shares as (
    select month.value as number, round(0.5 - 0.015 * month.value, 3) as phone, round(0.2 + 0.012 * month.value, 3) as chat
    from range(0, 12) as month
)
select
    make_date(2025, number + 1, 1) as month,
    channels.channel,
    round(case channels.channel when 'phone' then phone when 'chat' then chat else 1 - phone - chat end, 3) as contact_ratio
from shares cross join (values ('phone'), ('chat'), ('email')) as channels (channel)
order by number, channel desc;

-- section: Points with their trend
-- chart: scatter x=handle_s y=fcr_ratio series=team label=agent trend=linear format=percent
select
    'agent ' || cast(agent.value as text) as agent,
    case agent.value % 3 when 0 then 'north' when 1 then 'south' else 'east' end as team,
    round(260 + 340 * abs(sin(agent.value * 12.9898)), 1) as handle_s,
    round(0.95 - 0.0006 * (260 + 340 * abs(sin(agent.value * 12.9898))) + 0.09 * sin(agent.value * 78.233), 4) as fcr_ratio
from range(1, 61) as agent
order by agent.value;

-- section: Hours of the week
-- chart: heatmap x=hour y=weekday value=contact_count
select
    weekday.value as weekday,
    hour.value as hour,
    case
        when weekday.value = 7 and hour.value < 8 then null
        else cast(round(58 * exp(-power((hour.value - 13) / 4.5, 2)) * case when weekday.value > 5 then 0.4 else 1 end + hour.value % 3) as bigint)
    end as contact_count
from range(1, 8) as weekday cross join range(0, 24) as hour
order by weekday.value, hour.value;

-- section: Cohorts
-- chart: heatmap x=months_later y=cohort value=active_ratio format=percent
select
    '2025-' || lpad(cast(cohort.value as text), 2, '0') as cohort,
    later.value as months_later,
    round(1 / (1 + 0.35 * later.value) + case when later.value > 0 then 0.01 * cohort.value else 0 end, 3) as active_ratio
from range(1, 7) as cohort cross join range(0, 6) as later
where cohort.value + later.value <= 7
order by cohort.value, later.value;

-- section: Distribution
-- chart: histogram x=handle_s format=duration
select round(-210 * ln(1 - (call.value + 0.5) / 600.0) + 45 * (1 + sin(call.value * 7.0)), 1) as handle_s
from range(0, 600) as call
order by handle_s;

-- section: Bins that the statement made
-- chart: histogram x=waited_from_s y=contact_count format=duration
select bin.value * 10 as waited_from_s, cast(round(900 * exp(-bin.value / 6.0)) as bigint) as contact_count
from range(0, 24) as bin
order by bin.value;

-- section: Quartiles
-- chart: box x=queue y=handle_s format=duration
select
    queues.queue,
    round(-queues.scale * ln(1 - (call.value + 0.5) / 120.0) + 40, 1) as handle_s
from range(0, 120) as call
cross join (values ('billing', 150), ('technical support', 310), ('sales', 200), ('售后服务', 250)) as queues (queue, scale)
order by queues.queue, handle_s;

-- section: Quartiles that the statement made
-- chart: box x=channel y=p5,p25,median,p75,p95 format=duration
select * from (values
    ('phone', 60, 180, 310, 520, 960), ('chat', 120, 260, 430, 700, 1250), ('email', 240, 420, 600, 900, 1700)
) as channels (channel, p5, p25, median, p75, p95);

-- section: Shares
-- chart: pie x=channel y=contact_count
select * from (values
    ('phone', 8200), ('chat', 6100), ('email', 3900), ('web form', 1300), ('social media', 540)
) as channels (channel, contact_count);

-- section: Shares with a hole, small ones in one
-- chart: pie x=topic y=contact_count layout=donut
select 'topic ' || cast(topic.value as text) as topic, cast(round(4000 / (1.0 + topic.value)) as bigint) as contact_count
from range(1, 15) as topic
order by topic.value;

-- section: A funnel
-- chart: funnel x=step y=customer_count
select * from (values
    ('views a product', 5200), ('puts it into the basket', 2100), ('begins to pay', 1400), ('has paid', 310)
) as steps (step, customer_count);

-- section: Pareto
-- chart: pareto x=topic y=repeat_count
select * from (values
    ('billing', 420), ('delivery', 310), ('technical support', 520), ('returns', 150), ('account', 90), ('cancellation', 60),
    ('product question', 30)
) as topics (topic, repeat_count);

-- section: Pareto of many
-- chart: pareto x=reason y=contact_count
select
    'A reason for calling, number ' || cast(reason.value as text) as reason,
    cast(round(1200 / (1.0 + reason.value)) as bigint) as contact_count
from range(0, 30) as reason
order by reason.value;

-- section: Sparklines
-- chart: sparkline x=month y=nps series=product format=points
select
    make_date(2025, month.value + 1, 1) as month,
    products.product,
    case when products.product = 'mobile' and month.value in (5, 6) then null
        else round(products.base + 9 * sin(month.value * products.pace), 1) end as nps
from range(0, 12) as month
cross join (values ('broadband', 14, 0.6), ('mobile', 22, 1.1), ('television', 3, 0.4), ('roaming', -8, 1.7)) as products (product, base, pace)
order by products.base desc, month.value;

-- section: Nothing to draw
-- chart: line x=month y=contact_count
select date '2025-01-01' as month, 1 as contact_count where false

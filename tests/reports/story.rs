//! The reports find what was planted in the sample data. `data/README.md` tells the story.

use crate::program::{Project, assert_is};

#[test]
fn the_kpi_overview_is_what_pandas_computes() {
    assert_is(&Project::shipped().run("kpi_overview", 1, &[]), "sample_kpi.csv");
}

#[test]
fn the_two_agents_who_solve_little_are_found_and_nobody_else() {
    let agents = Project::shipped().run("agents_low_resolution", 1, &[]);
    let mut low =
        agents.filter(&[("is_low", "true")]).texts("agent_id").into_iter().map(String::from).collect::<Vec<_>>();
    low.sort();
    assert_eq!(low, ["A0004", "A0018"]);
    // both measures show it, the repeats and what the agents logged themselves
    for agent in ["A0004", "A0018"] {
        assert!(agents.number(&[("agent_id", agent)], "fcr_zscore") < -5.0);
        assert!(agents.number(&[("agent_id", agent)], "logged_zscore") < -5.0);
    }
}

#[test]
fn billing_is_understaffed_on_monday_mornings_and_no_other_hour_is() {
    let hours = Project::shipped().run("understaffed_hours", 1, &[]);
    assert!(hours.texts("queue").iter().all(|queue| *queue == "billing"), "{hours:?}");
    assert!(hours.texts("weekday").iter().all(|weekday| *weekday == "1"), "{hours:?}");
    let mut found = hours.texts("hour");
    found.sort_by_key(|hour| hour.parse::<u8>().unwrap_or(99));
    assert_eq!(found, ["8", "9", "10"]);
}

#[test]
fn the_heat_map_of_service_level_shows_monday_morning() {
    let cells = Project::shipped().run("service_level_by_hour_of_week", 1, &["queue=billing"]);
    assert_eq!(cells.rows.len(), 7 * 24);
    let level =
        |weekday: &str, hour: &str| cells.number(&[("weekday", weekday), ("hour", hour)], "service_level_ratio");
    for hour in ["8", "9", "10"] {
        assert!(level("1", hour) < 0.3, "Monday {hour}: {}", level("1", hour));
        assert!(level("2", hour) > 0.5, "Tuesday {hour}: {}", level("2", hour));
    }
}

#[test]
fn the_release_raises_contacts_and_handle_time_of_its_topic_for_four_weeks() {
    let spikes = Project::shipped().run("topic_spikes", 1, &[]);
    let release = spikes.filter(&[("topic", "technical support"), ("product", "atlas")]);
    assert_eq!(release.texts("week"), ["2025-06-16", "2025-06-23", "2025-06-30", "2025-07-07"]);
    assert!(release.numbers("contact_zscore")[0] > 5.0 && release.numbers("aht_zscore")[0] > 5.0);
    // the effect falls from week to week
    assert!(release.numbers("contact_count").is_sorted_by(|a, b| a >= b), "{release:?}");
}

#[test]
fn before_and_after_the_release_differ_in_handle_time_on_its_topic_alone() {
    let verdict = |topic: &str, kpi: &str| {
        let figures = Project::shipped().run("before_after", 1, &["changed_at=2025-06-16", topic]);
        figures.filter(&[("kpi", kpi)]).texts("verdict").join(", ")
    };
    assert_eq!(verdict("topic=technical support", "average handle time"), "worse");
    assert_eq!(verdict("topic=technical support", "transfer rate"), "no difference shown");
    assert_eq!(verdict("topic=billing", "average handle time"), "no difference shown");
}

#[test]
fn handle_time_of_orders_begins_as_outliers_and_becomes_usual() {
    let project = Project::shipped();
    let months = project.run("handle_time_outliers", 1, &[]);
    let share = |month: &str| months.number(&[("month", month)], "outlier_ratio");
    assert!(share("2025-12-01") > 2.0 * share("2025-08-01"), "{months:?}");
    let queues = project.run("aht_by_queue", 2, &[]);
    let aht = |month: &str, queue: &str| queues.number(&[("month", month), ("queue", queue)], "aht_s");
    assert!(aht("2025-12-01", "orders") > 1.5 * aht("2025-08-01", "orders"));
    assert!(aht("2025-12-01", "billing") < 1.2 * aht("2025-08-01", "billing"));
}

#[test]
fn since_when_outliers_of_orders_are_usual_is_told_and_of_no_other_queue() {
    let queues = Project::shipped().run("outliers_over_time", 2, &[]);
    for queue in queues.texts("label") {
        let since = queues.filter(&[("label", queue)]).texts("usual_since").join("");
        assert_eq!(since, if queue == "orders" { "2025-11-01" } else { "" }, "{queues:?}");
    }
    let months = Project::shipped().run("outliers_over_time", 1, &[]);
    let share = |month: &str, of: &str| months.number(&[("month", month), ("label", "orders")], of);
    // fences that are computed anew hide it
    assert!(share("2025-12-01", "outlier_ratio") > 0.1 && share("2025-12-01", "month_outlier_ratio") < 0.02);
}

#[test]
fn the_release_and_the_slower_orders_are_changes_of_the_weekly_handle_time() {
    let changes = Project::shipped().run("change_points", 1, &[]);
    let of_aht = changes.filter(&[("kpi", "average handle time")]);
    assert_eq!(of_aht.texts("since_week"), ["2025-06-16", "2025-07-14", "2025-11-03"], "{changes:?}");
    assert!(of_aht.numbers("p_adjusted").iter().all(|p| *p < 0.001), "{changes:?}");
}

#[test]
fn customers_leave_more_often_the_more_they_had_to_come_back() {
    let churn = Project::shipped().run("churn_after_repeats", 1, &[]);
    assert_eq!(churn.texts("repeat_count"), ["0", "1", "2", "3", "4"]);
    assert!(churn.numbers("churn_ratio").is_sorted(), "{churn:?}");
    // not by chance: the intervals of none and of four do not meet
    assert!(churn.numbers("churn_low_ratio")[4] > churn.numbers("churn_high_ratio")[0], "{churn:?}");
}

#[test]
fn resolution_goes_with_satisfaction_and_with_staying() {
    let relations = Project::shipped().run("relations", 1, &[]);
    let figure = |relation: &str, column: &str| relations.number(&[("relation", relation)], column);
    // planted: an unsolved contact takes 2.3 points of the latent satisfaction, which has a deviation of .85 by chance
    assert!(figure("first-contact resolution and CSAT score", "low") > 0.4, "{relations:?}");
    assert!(figure("first-contact resolution and churn", "high") < -0.1, "{relations:?}");
    // planted: at most half a point for the longest handle time
    assert!(figure("handle time and CSAT score", "estimate") < 0.0, "{relations:?}");
    assert!(figure("handle time and CSAT score", "estimate") > -0.2, "{relations:?}");
    assert_eq!(Project::shipped().run("relations", 2, &[]).rows.len(), 42);
}

#[test]
fn what_customers_write_goes_with_their_scores() {
    let by_score = Project::shipped().query(
        "select case when score >= 9 then 'promoter' when score <= 6 then 'detractor' else 'passive' end as who, \
         avg(sentiment(comment, language)) as mean_sentiment \
         from surveys_clean where kind = 'nps' and score is not null and language = 'en' group by who",
    );
    let mean = |who: &str| by_score.number(&[("who", who)], "mean_sentiment");
    assert!(mean("promoter") > 0.3 && mean("detractor") < -0.1, "{by_score:?}");
}

#[test]
fn every_spelling_of_a_topic_and_channel_is_found_and_mended() {
    let project = Project::shipped();
    let variants = project.run("label_variants", 1, &[]);
    let technical = variants.filter(&[("column_name", "topic"), ("standard_label", "technical support")]);
    let mut labels = technical.texts("label");
    labels.sort_unstable();
    assert_eq!(
        labels,
        ["TECHNICAL SUPPORT ", "Tech Support", "Technical Support", "tech support", "technical support"]
    );
    let clean = project.query("select distinct topic from contacts_clean where topic is not null order by topic");
    let topics = ["account", "billing", "cancellation", "delivery", "product question", "returns", "technical support"];
    assert_eq!(clean.texts("topic"), topics);
    let clean = project.query("select distinct channel from contacts_clean where channel is not null order by channel");
    assert_eq!(clean.texts("channel"), ["chat", "email", "phone", "social", "web"]);
}

/// The plain SQL here shares nothing with the views: a self-join, no window function, no function of ours.
#[test]
fn first_contact_resolution_is_the_same_by_window_functions_and_by_self_join() {
    let project = Project::shipped();
    let report = project.run("fcr_by_topic", 1, &["window=7 days"]);
    let plain = project.query(
        "with contacts as ( \
             select distinct interaction_id, customer_id, started_at, \
                 case lower(trim(translate(topic, '-_', '  '))) \
                     when 'tech support' then 'technical support' when 'return' then 'returns' \
                     when 'accounts' then 'account' when 'cancelation' then 'cancellation' \
                     else lower(trim(translate(topic, '-_', '  '))) end as topic \
             from interactions \
             where direction = 'inbound' and (is_abandoned is null or not is_abandoned) and customer_id is not null \
                 and topic is not null and started_at < timestamp '2026-01-01' \
         ), \
         ends as ( \
             select min(started_at) as begins_at, max(started_at) as ends_at \
             from interactions where started_at < timestamp '2026-01-01' \
         ), \
         pairs as ( \
             select a.interaction_id as earlier, b.interaction_id as later \
             from contacts as a inner join contacts as b on a.customer_id = b.customer_id and a.topic = b.topic \
             where a.interaction_id <> b.interaction_id \
                 and (a.started_at < b.started_at or (a.started_at = b.started_at and a.interaction_id < b.interaction_id)) \
                 and b.started_at <= a.started_at + interval '7 days' \
         ), \
         repeats as (select distinct later from pairs), \
         followed as (select distinct earlier from pairs), \
         firsts as ( \
             select topic, started_at, earlier \
             from contacts left join repeats on later = interaction_id left join followed on earlier = interaction_id \
             cross join ends where later is null and started_at >= begins_at + interval '7 days' \
         ) \
         select topic, \
             count(*) filter (where started_at + interval '7 days' <= ends_at) as known_count, \
             count(*) filter (where earlier is null and started_at + interval '7 days' <= ends_at) as resolved_count \
         from firsts cross join ends group by topic order by topic",
    );
    assert_eq!(plain.rows.len(), 7);
    for row in &plain.rows {
        let topic = [("topic", row[0].as_str())];
        let known = plain.number(&topic, "known_count");
        let resolved = plain.number(&topic, "resolved_count");
        assert_eq!(report.number(&topic, "known_count"), known, "{topic:?}");
        assert_eq!(report.number(&topic, "resolved_count"), resolved, "{topic:?}");
        assert!((report.number(&topic, "fcr_ratio") - resolved / known).abs() < 1e-12, "{topic:?}");
    }
}

/// The counts of dirt come from the raw tables by plain SQL.
#[test]
fn the_dirt_is_counted() {
    let project = Project::shipped();
    let quality = project.run("data_quality", 1, &[]);
    let found = |table: &str, column: &str, check: &str| {
        quality.number(&[("table_name", table), ("column_name", column), ("check_name", check)], "affected_count")
    };
    let counted = |sql: &str| project.query(&format!("select count(*) as n from {sql}")).numbers("n")[0];
    let cases = [
        (found("interactions", "topic", "missing"), counted("interactions where topic is null")),
        (found("interactions", "customer_id", "missing"), counted("interactions where customer_id is null")),
        (
            found("interactions", "agent_id", "missing"),
            counted("interactions where agent_id is null and is_abandoned is distinct from true"),
        ),
        (found("interactions", "wait_s", "below zero"), counted("interactions where wait_s < 0")),
        (
            found("interactions", "ended_at", "ended before started"),
            counted("interactions where ended_at < started_at"),
        ),
        (
            found("interactions", "started_at", "in the future"),
            counted("interactions where started_at >= timestamp '2030-01-01'"),
        ),
        (
            found("surveys", "score", "nps score off the scale"),
            counted("surveys where kind = 'nps' and (score < 0 or score > 10)"),
        ),
        (
            found("surveys", "score", "csat score off the scale"),
            counted("surveys where kind = 'csat' and (score < 1 or score > 5)"),
        ),
        (
            found("surveys", "score", "ces score off the scale"),
            counted("surveys where kind = 'ces' and (score < 1 or score > 7)"),
        ),
        (
            found("surveys", "interaction_id", "dangling reference"),
            counted("surveys where interaction_id not in (select interaction_id from interactions)"),
        ),
        (
            found("interactions", "interaction_id", "duplicate key"),
            counted("interactions") - counted("(select distinct interaction_id from interactions)"),
        ),
    ];
    for (at, (found, counted)) in cases.into_iter().enumerate() {
        assert_eq!(found, counted, "case {at}");
        assert!(found > 0.0, "case {at}: nothing is planted");
    }
    assert_eq!(found("interactions", "started_at", "in the future"), 2.0);
}

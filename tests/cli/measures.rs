//! What the figures of shipped reports rest on: rows without a wait, repeated keys, parts of a period, few weeks.
//!
//! Expected values are worked out by hand, in the comments.

use std::fmt::Write;

use chrono::{Days, NaiveDate};

use super::program::{Folder, Ran};

const HEADER: &str =
    "interaction_id,customer_id,agent_id,started_at,ended_at,channel,queue,topic,is_abandoned,wait_s,talk_s\n";

fn contacts(rows: &str) -> Folder {
    let tables = "[tables.interactions]\npath = \"contacts.csv\"\n";
    Folder::with(&[("cxql.toml", tables), ("data/contacts.csv", &format!("{HEADER}{rows}"))])
}

/// The named columns of the rows of a CSV result.
fn columns(ran: &Ran, names: &[&str]) -> Vec<Vec<String>> {
    let text = ran.out();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    let header = lines.next().unwrap_or_default();
    let at: Vec<usize> = names
        .iter()
        .map(|name| header.iter().position(|column| column == name).unwrap_or_else(|| panic!("{name}: {header:?}")))
        .collect();
    lines.map(|line| at.iter().map(|at| line[*at].clone()).collect()).collect()
}

fn notes(ran: &Ran) -> Vec<&str> {
    ran.err.lines().filter_map(|line| line.strip_prefix("note: ")).collect()
}

/// 4 contacts answered within 20 s, 1 abandoned without a wait, 1 answered without a wait, 1 of unknown outcome.
fn queue() -> Folder {
    let mut rows = String::new();
    for (id, outcome, wait) in [
        (1, "false", "3"),
        (2, "false", "5"),
        (3, "false", "9"),
        (4, "false", "20"),
        (5, "true", ""),
        (6, "false", ""),
        (7, "", "4"),
    ] {
        let talk = if outcome == "false" { "60" } else { "" };
        writeln!(
            rows,
            "I{id},C{id},A1,2025-03-03T10:0{id}:00,2025-03-03T10:0{id}:59,phone,q,t,{outcome},{wait},{talk}"
        )
        .expect("a string can be written");
    }
    contacts(&rows)
}

#[test]
fn an_abandoned_contact_without_a_wait_counts_in_the_service_level() {
    let folder = queue();
    let ran = folder.cxql(&["run", "service_level_by_queue", "--section", "1", "-f", "csv"]);
    let names = [
        "offered_count",
        "answered_count",
        "abandoned_count",
        "abandoned_without_wait_count",
        "offered_ratio",
        "answered_ratio",
        "late_abandons_ratio",
        "abandons_met_ratio",
        "short_met_ratio",
        "short_excluded_ratio",
    ];
    // offered 4 / (4 + 1); the others leave the abandon out: 4 / 4
    assert_eq!(columns(&ran, &names), [["5", "4", "1", "1", "0.8", "1.0", "1.0", "1.0", "1.0", "1.0"]]);
    assert_eq!(
        notes(&ran),
        [
            "1 of 1 abandoned contacts have no wait: they count in offered_ratio and are left out of the definitions \
             that need their wait",
            "1 of 5 answered contacts are left out: they have no wait",
            "1 of 7 offered contacts are left out: abandoned or not is unknown",
        ]
    );
    let ran = folder.cxql(&["run", "service_level_by_hour_of_week", "-f", "csv"]);
    let hours = columns(&ran, &["offered_count", "abandoned_count", "service_level_ratio"]);
    let busy: Vec<_> = hours.iter().filter(|hour| hour[0] != "0").collect();
    assert_eq!(busy, [&["5", "1", "0.8"]]);
}

#[test]
fn abandonment_has_a_band_for_contacts_without_a_wait() {
    let folder = queue();
    let ran = folder.cxql(&["run", "abandonment", "--section", "1", "-f", "csv"]);
    // 1 of 6 whose outcome is known; without short ones the abandon without a wait is left out: 0 of 5
    let names = ["offered_count", "abandoned_count", "abandoned_without_wait_count", "without_short_ratio"];
    assert_eq!(columns(&ran, &names), [["6", "1", "1", "0.0"]]);
    let ran = folder.cxql(&["run", "abandonment", "--section", "2", "-f", "csv"]);
    let names = ["waited", "waiting_count", "ended_count", "abandoned_count", "hazard_ratio"];
    assert_eq!(
        columns(&ran, &names),
        [["0 s", "4", "3", "0", ""], ["20 s", "1", "1", "0", ""], ["unknown", "", "2", "1", ""]]
    );
}

#[test]
fn contacts_that_differ_in_start_and_agent_are_no_copies() {
    let row = |id: &str, agent: &str, start: &str, end: &str| {
        format!("{id},C1,{agent},2025-03-{start}:00,2025-03-{end}:00,phone,q,t,false,5,60\n")
    };
    let rows = [
        // two contacts
        row("X1", "A1", "01T10:00", "01T10:05"),
        row("X1", "A2", "02T10:00", "02T10:05"),
        // the older of two contacts, twice
        row("X2", "A1", "01T11:00", "01T11:05"),
        row("X2", "A1", "01T11:00", "01T11:05"),
        row("X2", "A2", "02T11:00", "02T11:05"),
        // versions: one start, one agent, an unknown agent
        row("X3", "A1", "01T12:00", "01T12:05"),
        row("X3", "A2", "01T12:00", "01T12:09"),
        row("X4", "A1", "01T13:00", "01T13:05"),
        row("X4", "A1", "03T13:00", "03T13:09"),
        row("X5", "", "01T14:00", "01T14:05"),
        row("X5", "A3", "03T14:00", "03T14:09"),
        // no key, and a key of one row
        row("", "A1", "01T15:00", "01T15:05"),
        row("", "A1", "01T15:00", "01T15:05"),
        row("X6", "A1", "04T15:00", "04T15:05"),
    ];
    let folder = contacts(&rows.concat());
    folder.write("data/surveys.csv", "survey_id,interaction_id,kind,score,responded_at\nS1,X1,csat,5,2025-03-05T00:00:00\nS1,X1,nps,9,2025-03-05T00:00:00\nS2,X3,csat,4,2025-03-05T00:00:00\nS2,X3,csat,3,2025-03-06T00:00:00\n");
    let tables = "[tables.interactions]\npath = \"contacts.csv\"\n[tables.surveys]\npath = \"surveys.csv\"\n";
    folder.write("cxql.toml", tables);
    let sql = "select interaction_id as id, agent_id, cast(started_at as date) as day, is_key_shared from contacts_unique \
               where interaction_id is not null order by 1, 3";
    let ran = folder.query(sql);
    assert_eq!(
        ran.out(),
        "id,agent_id,day,is_key_shared\nX1,A1,2025-03-01,true\nX1,A2,2025-03-02,true\nX2,A1,2025-03-01,true\n\
         X2,A2,2025-03-02,true\nX3,A2,2025-03-01,false\nX4,A1,2025-03-03,false\nX5,A3,2025-03-03,false\n\
         X6,A1,2025-03-04,false\n"
    );
    // left out: one each of X2, X3, X4 and X5
    let [shared, left_out] = notes(&ran)[..] else { panic!("{ran:?}") };
    assert!(left_out.starts_with("4 of 14 contacts (28.6 %) share their interaction_id"), "{left_out}");
    assert!(left_out.contains("see cxql run duplicates"), "{left_out}");
    assert!(shared.starts_with("4 of 14 contacts (28.6 %) have one of 2 interaction_ids"), "{shared}");
    // rows without a key stay
    assert_eq!(folder.query("select count(*) as n from contacts_clean where interaction_id is null").out(), "n\n2\n");
    // an answer never multiplies; one that names a shared key has no contact
    let ran = folder.query("select survey_id, kind, score, agent_id from survey_contacts order by 1, 2");
    assert_eq!(ran.out(), "survey_id,kind,score,agent_id\nS1,csat,5,\nS1,nps,9,\nS2,csat,3,A2\n");
    assert!(ran.err.contains("1 of 4 survey answers (25.0 %) share their survey_id and kind"), "{ran:?}");
    let ran = folder.cxql(&["run", "duplicates", "--section", "1", "-f", "csv"]);
    let found = columns(&ran, &["interaction_id", "row_count", "contact_count"]);
    assert_eq!(found, [["X2", "3", "2"], ["X1", "2", "2"], ["X3", "2", "1"], ["X4", "2", "1"], ["X5", "2", "1"]]);
    let text = folder.cxql(&["check", "contacts_unique"]).out();
    assert!(text.contains("note  view   contacts_unique: 4 of 14 contacts (28.6 %) share"), "{text}");
}

#[test]
fn one_copy_of_a_hundred_is_no_note() {
    let mut rows = String::new();
    for id in 0..200 {
        writeln!(rows, "I{id},C1,A1,2025-03-03T10:00:00,2025-03-03T10:05:00,phone,q,t,false,5,60").expect("a string");
    }
    let twice = rows.lines().next().expect("a row").to_string();
    // 2 of 202 rows go, 0.99 %; then 3 of 203, 1.5 %
    let folder = contacts(&format!("{rows}{twice}\n{twice}\n"));
    assert!(notes(&folder.query("select count(*) from contacts_clean")).is_empty());
    let folder = contacts(&format!("{rows}{twice}\n{twice}\n{twice}\n"));
    let ran = folder.query("select count(*) from contacts_clean");
    assert!(notes(&ran)[0].starts_with("3 of 203 contacts (1.5 %)"), "{ran:?}");
}

#[test]
fn occupancy_of_a_day_counts_that_day_alone() {
    let states = "agent_id,state,started_at,ended_at\n\
                  A1,idle,2025-03-02T20:00:00,2025-03-03T01:00:00\n\
                  A1,on_contact,2025-03-03T01:00:00,2025-03-03T04:00:00\n\
                  A1,on_contact,2025-03-03T22:00:00,2025-03-04T06:00:00\n\
                  A1,idle,2025-03-04T06:00:00,2025-03-04T07:00:00\n\
                  A1,idle,2025-03-03T05:00:00,\n\
                  A2,idle,2025-03-02T00:00:00,2025-03-05T00:00:00\n";
    let tables = "[tables.agent_states]\npath = \"states.csv\"\n";
    let folder = Folder::with(&[("cxql.toml", tables), ("data/states.csv", states)]);
    let day = ["-p", "since=2025-03-03", "-p", "until=2025-03-04", "-f", "csv"];
    let ran = folder.cxql(&[&["run", "occupancy_by_agent", "--section", "1"][..], &day].concat());
    // A1: on contact 3 + 2 h, idle 1 h of the five: 5 / 6. A2: idle all 24 hours.
    let found = columns(&ran, &["agent_id", "state_count", "contact_h", "idle_h", "occupancy_ratio"]);
    assert_eq!(found, [["A1", "3", "5.0", "1.0", "0.8333333333333334"], ["A2", "1", "0.0", "24.0", "0.0"]]);
    assert!(ran.err.contains("1 of 5 states have no end: left out"), "{ran:?}");
    let ran = folder.cxql(&[&["run", "occupancy_by_agent", "--section", "2"][..], &day].concat());
    let found = columns(&ran, &["hour", "contact_h", "idle_h"]);
    assert_eq!(found.len(), 24);
    assert_eq!(found[0], ["0", "0.0", "2.0"]);
    assert_eq!(found[3], ["3", "1.0", "1.0"]);
    assert_eq!(found[23], ["23", "1.0", "1.0"]);
}

#[test]
fn half_hours_of_a_day_have_no_time_before_or_after_it() {
    let states = "agent_id,state,started_at,ended_at\n\
                  A1,idle,2025-03-02T20:00:00,2025-03-03T01:10:00\n\
                  A1,on_contact,2025-03-03T01:10:00,2025-03-03T04:00:00\n\
                  A1,on_contact,2025-03-03T22:00:00,2025-03-04T06:00:00\n\
                  A2,break,2025-03-02T00:00:00,2025-03-05T00:00:00\n";
    let tables = "[tables.agent_states]\npath = \"states.csv\"\n";
    let folder = Folder::with(&[("cxql.toml", tables), ("data/states.csv", states)]);
    let day = ["-p", "since=2025-03-03", "-p", "until=2025-03-04", "-f", "csv"];
    let ran = folder.cxql(&[&["run", "occupancy_by_half_hour", "--section", "1"][..], &day].concat());
    let found = columns(&ran, &["half_hour", "contact_h", "idle_h", "other_h", "occupancy_ratio"]);
    assert_eq!(found.len(), 48);
    assert_eq!(found[0], ["00:00", "0.0", "0.5", "0.5", "0.0"]);
    // ten minutes idle and twenty on the contact: 2 / 3
    assert_eq!(found[2][0], "01:00");
    assert_eq!(found[2][4], "0.6666666666666666");
    assert_eq!(found[8], ["04:00", "0.0", "0.0", "0.5", ""]);
    assert_eq!(found[47], ["23:30", "0.5", "0.0", "0.5", "1.0"]);
    let hours: f64 = found.iter().map(|row| row[1].parse::<f64>().expect("a number")).sum();
    // 2 h 50 min and 2 h of the eight
    assert!((hours - (2.0 + 50.0 / 60.0 + 2.0)).abs() < 1e-9, "{hours}");
}

/// Contacts of one topic: `counts` in the weeks from Monday, 2025-01-06, on Monday and Sunday.
fn weeks(counts: &[usize]) -> Folder {
    let mut rows = String::new();
    let monday = NaiveDate::from_ymd_opt(2025, 1, 6).expect("a date");
    for (week, count) in (0..).zip(counts) {
        for contact in 0..*count {
            let day = monday + Days::new(7 * week + if contact == 0 { 6 } else { 0 });
            writeln!(rows, "I{week}-{contact},C{contact},A1,{day}T08:00:00,,phone,q,t,false,5,60").expect("a string");
        }
    }
    contacts(&rows)
}

fn spikes(folder: &Folder, args: &[&str]) -> Vec<Vec<String>> {
    let ran = folder.cxql(&[&["run", "topic_spikes", "--section", "1", "-f", "csv"][..], args].concat());
    columns(&ran, &["week", "what", "contact_count"])
}

#[test]
fn a_week_is_unusual_beyond_chance_and_after_enough_weeks() {
    // alike weeks: 30 on 24 and 26 is within chance, (30 - 25) / sqrt(25) = 1; without the floor of chance it was far out
    let usual = [25, 24, 25, 26, 25, 25, 25, 24, 25, 26, 25, 25];
    let folder = weeks(&[&usual[..], &[30, 25]].concat());
    assert!(spikes(&folder, &[]).is_empty());
    // (60 - 25) / 5 = 7
    let folder = weeks(&[&usual[..], &[60, 25]].concat());
    assert_eq!(spikes(&folder, &[]), [["2025-03-31", "more contacts", "60"]]);
    // (2 - 25) / 5 = -4.6: below usual, shown on request
    let folder = weeks(&[&usual[..], &[2, 25]].concat());
    assert!(spikes(&folder, &[]).is_empty());
    assert_eq!(spikes(&folder, &["-p", "also_below=true"]), [["2025-03-31", "fewer contacts", "2"]]);
    // four whole weeks say nothing about what is usual
    let folder = weeks(&[25, 26, 25, 90]);
    let ran = folder.cxql(&["run", "topic_spikes", "--section", "1", "-f", "csv"]);
    assert_eq!(ran.out().lines().count(), 1, "{ran:?}");
    assert!(ran.err.contains("1 of 1 topics with their product have fewer than 12 whole weeks"), "{ran:?}");
}

#[test]
fn a_long_tail_is_no_outlier() {
    // handle times at the quantiles of a log-normal with median 300 s and sigma 0.8: exp(ln 300 + 0.8 z), z in steps of
    // 0.01 as often as the normal density says. Of a normal distribution 0.05 % lie beyond 3.5; one of six hours is none.
    let mut rows = String::new();
    let mut id = 0;
    for step in -330..=330 {
        let z = f64::from(step) / 100.0;
        let copies = (20.0 * (-z * z / 2.0).exp()).round() as usize;
        for _ in 0..copies {
            let talk = (300.0_f64.ln() + 0.8 * z).exp().round();
            writeln!(rows, "I{id},C1,A1,2025-03-03T10:00:00,,phone,q,t,false,5,{talk}").expect("a string");
            id += 1;
        }
    }
    writeln!(rows, "odd,C1,A1,2025-03-03T10:00:00,,phone,q,t,false,5,21600").expect("a string");
    // an agent with few contacts is not judged
    rows.push_str("few1,C1,A2,2025-03-03T10:00:00,,phone,q,t,false,5,60\nfew2,C1,A2,2025-03-03T10:00:00,,phone,q,t,false,5,9999\n");
    let folder = contacts(&rows);
    let sql = "select interaction_id from handle_time_scores where is_outlier";
    assert_eq!(folder.query(sql).out(), "interaction_id\nodd\n");
    let sql = "select count(*) as n, count(is_outlier) as judged from handle_time_scores where agent_id = 'A2'";
    assert_eq!(folder.query(sql).out(), "n,judged\n2,0\n");
    let ran = folder.cxql(&["run", "handle_time_outliers", "--section", "2", "-f", "csv"]);
    assert!(ran.err.contains("2 of "), "{ran:?}");
    assert!(ran.err.contains("contacts are not judged: their agent has fewer than 20 on the channel"), "{ran:?}");
}

#[test]
fn a_channel_without_survey_answers_stands_with_zero() {
    let folder = contacts(
        "I1,C1,A1,2025-03-03T10:00:00,,phone,q,t,false,5,60\nI2,C2,A1,2025-03-03T10:00:00,,phone,q,t,true,5,\n\
         I3,C3,A1,2025-03-03T10:00:00,,chat,q,t,false,5,60\nI4,C4,A1,2025-03-10T10:00:00,,phone,q,t,true,5,\n",
    );
    folder.write(
        "data/surveys.csv",
        "survey_id,interaction_id,kind,score,responded_at\nS1,I1,csat,5,2025-03-05T00:00:00\n\
         S2,I2,csat,1,2025-03-05T00:00:00\nS3,I9,csat,1,2025-03-05T00:00:00\n",
    );
    let tables = "[tables.interactions]\npath = \"contacts.csv\"\n[tables.surveys]\npath = \"surveys.csv\"\n";
    folder.write("cxql.toml", tables);
    let ran = folder.cxql(&["run", "survey_response", "-f", "csv"]);
    // one answered phone contact with an answer; the answers about I2, abandoned, and I9, unknown, are left out. The data
    // ends 7 days later with I4, abandoned: the time to answer has elapsed
    let found = columns(&ran, &["channel", "contact_count", "surveyed_count", "response_ratio", "answer_count"]);
    assert_eq!(found, [["chat", "1", "0", "0.0", "0"], ["phone", "1", "1", "1.0", "1"]]);
    assert!(ran.err.contains("1 of 3 survey answers are left out: their contact or its start is unknown"), "{ran:?}");
    assert!(ran.err.contains("1 of 3 survey answers are left out: their contact was not answered"), "{ran:?}");
}

#[test]
fn first_contact_resolution_notes_what_it_leaves_out() {
    // I2 has no customer, I3 no topic, I4 no agent, I5 is abandoned: 2 of the 4 answered are left out, 1 more by agent
    let folder = contacts(
        "I1,C1,A1,2025-03-03T10:00:00,,phone,q,t,false,5,60\nI2,,A1,2025-03-03T10:00:00,,phone,q,t,false,5,60\n\
         I3,C3,A1,2025-03-03T10:00:00,,phone,q,,false,5,60\nI4,C4,,2025-03-03T10:00:00,,phone,q,t,false,5,60\n\
         I5,C5,A1,2025-03-03T10:00:00,,phone,q,t,true,5,\n",
    );
    let customer = "2 of 4 answered inbound contacts are left out: no customer or topic";
    let agent = "1 of 4 answered inbound contacts are left out: no agent is known";
    folder.cxql(&["run", "fcr_by_topic"]).says(customer);
    folder.cxql(&["run", "repeat_contacts", "--section", "1"]).says(customer);
    folder.cxql(&["run", "fcr_by_agent"]).says(customer).says(agent);
    folder.cxql(&["run", "agents_low_resolution"]).says(customer).says(agent);
}

/// `contacts_unique` as it was written with joins, of which only the repeated keys were sorted.
const UNIQUE_BY_JOINS: &str = "
with repeated as (
    select interaction_id from interactions where interaction_id is not null group by interaction_id having count(*) > 1
),
versions as (
    select
        *,
        row_number() over (
            partition by interaction_id
            order by ended_at desc nulls last, started_at desc nulls last, is_resolved desc nulls last, agent_id, topic
        ) as version
    from interactions
    where interaction_id in (select interaction_id from repeated)
),
marked as (
    select
        *,
        version = 1
        or (
            count(started_at) over (partition by interaction_id) = count(*) over (partition by interaction_id)
            and count(agent_id) over (partition by interaction_id) = count(*) over (partition by interaction_id)
            and min(version) over (partition by interaction_id, started_at) = version
            and min(version) over (partition by interaction_id, agent_id) = version
        ) as is_kept
    from versions
)";

/// Random rows: keys that repeat, with and without starts and agents; every way of evaluating the windows.
#[test]
fn windows_over_repeated_keys_keep_the_rows_that_joins_kept() {
    use rand::{Rng, SeedableRng};
    let mut random = rand_pcg::Pcg64::seed_from_u64(22);
    for (round, share) in [0.0, 0.02, 0.2, 0.7].into_iter().enumerate() {
        let mut rows = String::new();
        for row in 0..3000 {
            let id = match random.random_bool(share) {
                true if random.random_bool(0.05) => String::new(),
                true => format!("I{}", random.random_range(0..300)),
                false => format!("J{row}"),
            };
            let agent = if random.random_bool(0.9) { format!("A{}", random.random_range(0..4)) } else { String::new() };
            let mut at = |hour: u32, known: f64| match random.random_bool(known) {
                true => format!("2025-03-0{}T{hour:02}:00:00", random.random_range(1..5)),
                false => String::new(),
            };
            let (start, end) = (at(9, 0.95), at(10, 0.9));
            writeln!(rows, "{id},C1,{agent},{start},{end},phone,q,t{},false,5,60", row % 3).expect("a string");
        }
        let folder = contacts(&rows);
        for engine in [
            "unique_keys = false",
            "unique_keys_min_rows = 0",
            "unique_keys_min_rows = 0\nunique_keys_buffer_bytes = 1000",
            "window_fetch = false\nhash_window_agg = false",
        ] {
            let tables = "[tables.interactions]\npath = \"contacts.csv\"\n";
            folder.write("cxql.toml", format!("{tables}[engine]\n{engine}\n"));
            let list = "interaction_id, agent_id, started_at, ended_at, topic";
            let same = |found: &str, expected: &str| {
                let (found, expected) = (folder.query(found).out(), folder.query(expected).out());
                assert_eq!(found.lines().count(), expected.lines().count(), "round {round}, {engine}");
                assert_eq!(found, expected, "round {round}, {engine}");
            };
            same(
                &format!("select {list}, is_key_shared from contacts_unique order by 1, 2, 3, 4, 5, 6"),
                &format!(
                    "{UNIQUE_BY_JOINS} select {list}, false as is_key_shared from interactions where not exists \
                     (select 1 from repeated where repeated.interaction_id = interactions.interaction_id) union all \
                     select {list}, count(*) over (partition by interaction_id) > 1 from marked where is_kept order by 1, 2, 3, 4, 5, 6"
                ),
            );
            same(
                &format!("select {list}, version, is_kept from contacts_repeated order by 1, 2, 3, 4, 5, 6"),
                &format!("{UNIQUE_BY_JOINS} select {list}, version, is_kept from marked order by 1, 2, 3, 4, 5, 6"),
            );
        }
    }
}

//! Mappings to the interaction model: what fits is converted once, the rest is pointed at where it is written.

use super::program::Folder;

/// A project with a view `interactions` over one contact.
fn mapped(columns: &str) -> Folder {
    let folder = Folder::new();
    folder.make("data/raw/a.parquet", "select 1 as one");
    folder.write("sql/views/interactions.sql", format!("select {columns}\nfrom raw\n"));
    folder
}

const KEYS: &str = "'a' as interaction_id, timestamp '2025-01-01 10:00:00' as started_at";

#[test]
fn a_column_of_a_wrong_type_is_pointed_at_in_its_view() {
    let cases = [
        ("1 as interaction_id, '01.02.2025' as started_at", "started_at", "to_timestamp(...) as started_at"),
        ("'a' as interaction_id, 1735725600 as started_at", "started_at", "to_timestamp_seconds(...) as started_at"),
        (&format!("{KEYS}, 'yes' as is_abandoned"), "is_abandoned", "(... = 'yes') as is_abandoned"),
        (&format!("{KEYS}, '12' as wait_s"), "wait_s", "cast(... as double) as wait_s"),
        (&format!("{KEYS}, interval '5 minutes' as talk_s"), "talk_s", "extract(epoch from ...) as talk_s"),
        (&format!("{KEYS}, 7.0::double as customer_id"), "customer_id", "as text) as customer_id"),
        (&format!("{KEYS}, ['a', 'b'] as topic"), "topic", "...[1] as topic"),
        (&format!("{KEYS}, struct('a' as x) as queue"), "queue", "get_field(..., 'FIELD') as queue"),
    ];
    for (columns, column, write) in cases {
        let folder = mapped(columns);
        for args in [["run", "kpi_overview"], ["query", "select * from interactions"], ["run", "channel_mix"]] {
            let ran = folder.cxql(&args);
            ran.fails(
                1,
                &[&format!("`interactions.{column}`"), "sql/views/interactions.sql:1", "view `interactions`", write],
            );
        }
        assert_eq!(folder.cxql(&["check", "interactions"]).code, 1);
    }
}

#[test]
fn every_remedy_that_an_error_names_works() {
    let columns = "cast(cast(7.0::double as bigint) as text) as interaction_id, to_timestamp('2025-01-01 10:00:00') as started_at, \
                   to_timestamp('01.01.2025 10:05', '%d.%m.%Y %H:%M') as ended_at, ('yes' = 'yes') as is_abandoned, \
                   cast('12' as double) as wait_s, extract(epoch from cast('00:05:12' as time)) as hold_s, \
                   extract(epoch from interval '5 minutes') as talk_s, try_cast('x' as double) as wrap_s, \
                   ['a', 'b'][1] as topic, array_to_string(['a', 'b'], ', ') as text, \
                   get_field(struct('a' as x), 'x') as queue, 1 as agent_id";
    let folder = mapped(columns);
    let sql = "select interaction_id, is_abandoned, wait_s, hold_s, talk_s, wrap_s, topic, queue, agent_id from contacts_clean";
    let row = "7,true,12.0,312.0,300.0,,a,a,1\n";
    let out = folder.query(sql).out();
    assert!(out.ends_with(row), "{out}");
    let check = folder.cxql(&["check"]);
    assert!(check.out().ends_with(" 0 failed\n"), "{}", check.text());
}

#[test]
fn integer_ids_and_flags_of_0_and_1_run_all_reports() {
    let folder = Folder::new();
    folder.make(
        "data/interactions.parquet",
        "select cast(value as decimal(18, 0)) as interaction_id, value % 10 as customer_id, value % 3 as agent_id, \
         to_timestamp_seconds(1735718400 + value * 3600) as started_at, 'phone' as channel, 'billing' as topic, \
         cast(value % 4 = 0 as int) as is_abandoned, cast(value % 2 as double) as is_resolved, \
         10 as wait_s, 60 as talk_s from range(300)",
    );
    folder.make(
        "data/surveys.parquet",
        "select value as survey_id, value * 2 as interaction_id, value % 10 as customer_id, 'nps' as kind, \
         cast(value % 11 as int) as score, date '2025-01-05' as responded_at from range(50)",
    );
    folder.make("data/agents.parquet", "select value as agent_id, 'Agent ' || value as name from range(3)");
    let args = |sql: &str| folder.cxql(&["query", sql, "--data", "data"]);
    // by hand: 300 contacts, every fourth abandoned, every second resolved; the 50 answers are about contacts 0 to 98
    let sql = "select count(*) as n, count(*) filter (where is_abandoned) as a, count(*) filter (where is_resolved) as r \
               from interactions";
    assert_eq!(args(sql).out(), "n,a,r\n300,75,150\n");
    let sql = "select count(*) as n from surveys join interactions using (interaction_id)";
    assert_eq!(args(sql).out(), "n\n50\n");
    assert_eq!(args("select count(*) as n from interactions where customer_id = 3").out(), "n\n30\n");
    assert_eq!(args("select count(*) as n from interactions where customer_id = '3'").out(), "n\n30\n");
    let check = folder.cxql(&["check", "--data", "data"]);
    assert!(check.out().ends_with(" 0 failed\n"), "{}", check.text());
    let ran = folder.cxql(&["run", "aht_by_agent", "--data", "data"]);
    assert!(ran.out().contains("Agent 1"), "{}", ran.text());
}

#[test]
fn a_flag_of_another_number_is_an_error_and_not_true() {
    let folder = mapped(&format!("{KEYS}, 2 as is_abandoned"));
    folder.cxql(&["run", "kpi_overview"]).fails(1, &["`interactions.is_abandoned`", "2", "(... = 1) as is_abandoned"]);
}

#[test]
fn a_table_that_does_not_fit_is_read_as_it_is_but_not_by_shipped_reports() {
    let folder = Folder::new();
    folder.make("data/orders.parquet", "select 1 as order_id, '12.50' as amount, '2025-01-01 10:00:00' as ordered_at");
    let query = |args: &[&str]| folder.cxql(&[args, &["--data", "data"]].concat());
    let ran = query(&["query", "select order_id, amount from orders"]);
    assert_eq!(ran.out(), "order_id,amount\n1,12.50\n");
    ran.says("`orders.amount` is text").says("`orders.ordered_at` is text");
    folder.make("data/interactions.parquet", "select 'a' as interaction_id, '2025-01-01 10:00:00' as started_at");
    let ran = query(&["run", "kpi_overview"]);
    ran.fails(1, &["`interactions.started_at` is text", "a timestamp", "sql/views/interactions.sql"]);
    // what the error says to write works
    let view = "select * replace (to_timestamp(started_at) as started_at) from interactions";
    assert!(ran.err.contains(view), "{}", ran.err);
    folder.write("sql/views/interactions.sql", view);
    assert!(query(&["run", "kpi_overview"]).out().contains("contacts"));
}

#[test]
fn check_names_columns_that_are_nearly_those_of_the_model_and_figures_without_a_value() {
    let folder = mapped("'a' as interaction_id, timestamp '2025-01-01 10:00:00' as startet_at, 'b' as \"customerId\"");
    let check = folder.cxql(&["check"]);
    assert!(check.err.contains("`startet_at`") && check.err.contains("`started_at`"), "{}", check.err);
    assert!(check.err.contains("`customerId`") && check.err.contains("`customer_id`"), "{}", check.err);
    let text = format!("{}{}", check.text(), check.err);
    let line = text.lines().find(|line| line.contains("kpi_overview") && line.contains("NULL throughout"));
    let line = line.unwrap_or_default();
    assert!(line.contains("service level") && line.contains("average handle time"), "{line}");
    let folder = mapped(KEYS);
    let check = folder.cxql(&["check"]);
    assert!(!check.err.contains("nearly") && !check.err.contains("none of the interaction model's"), "{}", check.err);
}

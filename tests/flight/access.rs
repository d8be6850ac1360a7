//! What roles take out stays out, whatever somebody asks.

use std::collections::BTreeSet;

use arrow_flight::sql::{CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables};
use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::arrow::util::display::array_value_to_string;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tonic::Code;

use crate::server::{Client, Served, fetch, query, run, sample, status};

/// `[users]` with the token `token of NAME`.
pub(crate) fn user(name: &str, roles: &[&str]) -> String {
    let hash: String = Sha256::digest(token(name)).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[users.{name}]\ntoken = '{hash}'\nroles = {roles:?}\n")
}

pub(crate) fn token(name: &str) -> String {
    format!("token-of-{name}")
}

pub(crate) async fn as_user(served: &Served, name: &str) -> Client {
    let mut client = served.client().await;
    client.set_token(token(name));
    client
}

const ROLES: &str = "
[keys]
surveys = ['survey_id']
customers = ['customer_id']

[roles.europe]
tables = ['customers', 'interactions', 'contacts_clean', 'reports.aht_by_agent']
rows = { customers = \"region = 'Europe'\", interactions = \"lower(channel) = 'chat'\" }
[roles.europe.masks.customers]
birth_date = 'null'
city = \"left(city, 1) || '***'\"
acquisition_cost = 'round(acquisition_cost, -1)'

[roles.america]
tables = ['customers']
rows.customers = \"region = 'North America'\"

[roles.costs]
tables = ['customers']
masks.customers = { city = 'null', birth_date = \"date_trunc('year', birth_date)\" }

[roles.analyst]
schemas = ['public', 'reports']
";

fn config() -> String {
    [
        ROLES.to_owned(),
        user("ana", &["europe"]),
        user("ben", &["europe", "america"]),
        user("cia", &["costs", "america"]),
        user("dan", &["analyst"]),
        user("eve", &["admin"]),
    ]
    .join("\n")
}

fn served() -> Served {
    Served::start(&[("cxql.toml", &config())], &["--data", &sample()])
}

/// All values of a result as texts.
fn cells(batch: &RecordBatch) -> Vec<String> {
    let cell = |column: &Arc<dyn Array>, row| match column.is_null(row) {
        true => "NULL".to_owned(),
        false => array_value_to_string(column, row).unwrap(),
    };
    batch.columns().iter().flat_map(|column| (0..batch.num_rows()).map(move |row| cell(column, row))).collect()
}

async fn ask(client: &mut Client, sql: &str) -> Vec<String> {
    cells(&query(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")))
}

async fn number(client: &mut Client, sql: &str) -> i64 {
    query(client, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
        .column(0)
        .as_primitive::<Int64Type>()
        .value(0)
}

/// Words of the sample data that only hidden rows and masked columns have.
const HIDDEN: [&str; 8] =
    ["Chengdu", "Toronto", "Manila", "Asia Pacific", "North America", "Berlin", "Lisbon", "phone"];

#[tokio::test]
async fn rows_and_columns_that_are_taken_out_are_in_no_form_of_query() {
    let served = served();
    let (mut ana, mut eve) = (as_user(&served, "ana").await, as_user(&served, "eve").await);
    let allowed = ask(&mut eve, "select customer_id from customers where region = 'Europe'").await;
    let allowed: BTreeSet<String> = allowed.into_iter().collect();
    let all = number(&mut eve, "select count(*) from customers").await;
    assert!(allowed.len() > 100 && (allowed.len() as i64) < all, "{}", allowed.len());
    let (first, last) = (allowed.first().unwrap().clone(), allowed.last().unwrap().clone());
    // every one of these has customers in its first column
    for sql in [
        "select customer_id from customers",
        "select * from customers",
        "select customer_id from CXQL.PUBLIC.Customers",
        "select customer_id from \"public\".\"customers\"",
        "select * from (select * from customers) as c",
        "with c as (select * from customers) select * from c",
        "with recursive c as (select customer_id from customers union all select customer_id from c where false) select * from c",
        "select a.customer_id from customers a join customers b on a.customer_id = b.customer_id",
        "select b.customer_id from (values (1)) v(x) cross join customers b",
        "select a.customer_id from customers a full join customers b using (customer_id)",
        "select customer_id from customers where customer_id in (select customer_id from customers)",
        "select a.customer_id from customers a where exists (select 1 from customers b where b.customer_id = a.customer_id)",
        "select customer_id from customers union select customer_id from customers",
        "select customer_id from customers intersect select customer_id from customers",
        "select distinct customer_id from customers",
        "select customer_id from customers group by customer_id having count(*) > 0",
        "select customer_id, row_number() over (order by customer_id) from customers",
        "select unnest(array_agg(customer_id)) from customers",
        "select customer_id from customers where region = 'Europe' or region <> 'Europe' or region is null",
        "select customer_id from customers where region <> 'nowhere' and customer_id > ''",
        "select customer_id from customers order by signed_up_at desc",
    ] {
        let batch = query(&mut ana, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let got: BTreeSet<String> = batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        assert_eq!(got, allowed, "{sql}");
        for word in HIDDEN {
            assert!(!cells(&batch).iter().any(|cell| cell == word), "{sql}: {word}");
        }
    }
    // what files say about themselves counts everything
    for (sql, expected) in [
        ("select count(*) from customers", allowed.len().to_string()),
        ("select count(customer_id) from customers", allowed.len().to_string()),
        ("select min(customer_id) from customers", first.clone()),
        ("select max(customer_id) from customers", last.clone()),
        ("select count(birth_date) from customers", "0".into()),
        ("select max(birth_date) from customers", "NULL".into()),
        ("select min(region) from customers", "Europe".into()),
        ("select max(length(city)) from customers", "4".into()),
        ("select count(*) from customers where city = 'Berlin'", "0".into()),
        ("select count(*) from customers where city like 'Ber%'", "0".into()),
        ("select count(*) from customers where birth_date > date '1900-01-01'", "0".into()),
        ("select count(*) from customers where region = 'Asia Pacific'", "0".into()),
        ("select count(*) from customers where region in ('Asia Pacific', 'North America')", "0".into()),
        ("select count(*) from customers where region between 'F' and 'Z'", "0".into()),
        ("select count(*) from customers where acquisition_cost <> round(acquisition_cost, -1)", "0".into()),
        ("select count(*) from (select 1 from customers limit 1000000)", allowed.len().to_string()),
        ("select count(*) from (select * from customers where region <> 'Europe' limit 5)", "0".into()),
        ("select count(distinct lower(channel)) from interactions", "1".into()),
        ("select count(*) from contacts_clean where channel <> 'chat'", "0".into()),
    ] {
        assert_eq!(ask(&mut ana, sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn views_and_reports_are_made_of_what_is_left() {
    let served = served();
    let (mut ana, mut eve) = (as_user(&served, "ana").await, as_user(&served, "eve").await);
    let own = "interaction_id in (select interaction_id from interactions where lower(channel) = 'chat')";
    let expected = format!("select count(*) from contacts_clean where {own}");
    let chats = number(&mut eve, &expected).await;
    assert!(chats > 100);
    assert_eq!(number(&mut ana, "select count(*) from contacts_clean").await, chats);
    let sql = "select sum(contact_count) from reports.aht_by_agent";
    let expected = format!("{expected} and handle_s is not null and agent_id is not null");
    assert_eq!(number(&mut ana, sql).await, number(&mut eve, &expected).await);
    assert!(number(&mut ana, sql).await < number(&mut eve, sql).await);
    // a whole schema, but nothing of the server's own
    let mut dan = as_user(&served, "dan").await;
    assert_eq!(number(&mut dan, sql).await, number(&mut eve, sql).await);
    assert_eq!(query(&mut dan, "select * from system.queries").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_condition_of_the_user_sees_no_row_that_is_not_there() {
    let served = served();
    let (mut ana, mut eve) = (as_user(&served, "ana").await, as_user(&served, "eve").await);
    // fails for a row of another region, and would say so
    let sql = "select count(*) from customers where 1 / (case when region = 'Europe' then 1 else 0 end) = 1";
    assert!(query(&mut eve, sql).await.is_err());
    assert!(number(&mut ana, sql).await > 100);
    // values in errors are those of the mask
    let error = query(&mut ana, "select cast(city as int) from customers").await.unwrap_err();
    assert!(error.message().contains("***"), "{error:?}");
    for word in HIDDEN {
        assert!(!error.message().contains(word), "{error:?}");
    }
    let error = query(&mut ana, "select cast(region as int) from customers").await.unwrap_err();
    assert!(error.message().contains("Europe"), "{error:?}");
}

#[tokio::test]
async fn plans_show_nothing_of_what_is_below() {
    let served = served();
    let mut ana = as_user(&served, "ana").await;
    for table in ["customers", "interactions", "contacts_clean", "reports.aht_by_agent"] {
        for form in ["explain", "explain verbose", "explain analyze", "explain analyze verbose", "explain format tree"]
        {
            for rest in ["", " limit 3"] {
                let sql = format!("{form} select * from {table}{rest}");
                let text = ask(&mut ana, &sql).await.join("\n");
                let hidden = [
                    "parquet",
                    "Europe",
                    "chat",
                    "file_groups",
                    "surveys",
                    "contacts_unique",
                    "label_synonyms",
                    "agent_names",
                    "birth_date IS",
                    "left(",
                    "Rows=Exact",
                    "Exact(",
                    "FilterExec",
                    "round(",
                ];
                for word in hidden {
                    // what was asked for may be named
                    assert!(table.contains(word) || !text.contains(word), "{sql}: {word} in {text}");
                }
            }
        }
    }
    let text = ask(&mut ana, "explain analyze select customer_id from customers").await.join("\n");
    assert!(text.contains("BarrierExec: customers"), "{text}");
}

#[tokio::test]
async fn what_is_not_granted_is_not_there() {
    let served = served();
    let mut ana = as_user(&served, "ana").await;
    for sql in [
        "select * from surveys",
        "select * from public.surveys",
        "select * from reports.kpi_overview",
        "select * from contacts_unique",
        "select * from agents",
        "select 1 where exists (select 1 from surveys)",
        "with a as (select * from surveys) select 1",
        "select (select max(score) from surveys)",
        "describe surveys",
        "explain select * from surveys",
        "show columns from surveys",
        "show create table surveys",
        "select * from system.queries",
        "select * from system.sessions",
        "select * from customers, surveys",
    ] {
        let error = query(&mut ana, sql).await.expect_err(sql);
        assert!(matches!(error.code(), Code::NotFound | Code::InvalidArgument), "{sql}: {error:?}");
        for word in ["survey_id", "agent_states", "orders", "label_synonyms", "parquet"] {
            assert!(!error.message().contains(word), "{sql}: {error:?}");
        }
    }
    // what is near is not told, and what is granted is
    let error = query(&mut ana, "select * from survey").await.unwrap_err();
    assert!(!error.message().contains("surveys"), "{error:?}");
    let error = query(&mut ana, "select * from custmers").await.unwrap_err();
    assert!(error.message().contains("did you mean `customers`?"), "{error:?}");
    let error = query(&mut ana, "select * from reports.aht_by_agnt").await.unwrap_err();
    assert!(error.message().contains("aht_by_agent") && !error.message().contains("aht_by_queue"), "{error:?}");
    let refused = ana.prepare("select count(*) from surveys where score > ?".into(), None).await.err();
    assert_eq!(status(refused.expect("it is not there")).code(), Code::NotFound);
}

#[tokio::test]
async fn metadata_tells_of_what_is_granted() {
    let served = served();
    let mut ana = as_user(&served, "ana").await;
    let granted = BTreeSet::from(["customers", "interactions", "contacts_clean", "aht_by_agent"]);
    let own = "where table_schema <> 'information_schema'";
    for sql in [
        format!("select distinct table_name from information_schema.tables {own}"),
        format!("select distinct table_name from information_schema.columns {own}"),
        format!("select distinct table_name from information_schema.views {own}"),
    ] {
        let got = ask(&mut ana, &sql).await;
        assert_eq!(got.iter().map(String::as_str).collect::<BTreeSet<_>>(), granted, "{sql}");
    }
    let sql = format!("select definition from information_schema.views {own}");
    assert!(ask(&mut ana, &sql).await.iter().all(|text| text == "NULL"));
    let text = ask(&mut ana, "show tables").await.join(" ");
    assert!(text.contains("customers") && !text.contains("surveys"), "{text}");
    assert!(ask(&mut ana, "describe customers").await.contains(&"birth_date".to_owned()));
    let request = CommandGetTables { include_schema: true, ..Default::default() };
    let info = ana.get_tables(request).await.unwrap();
    let batch = fetch(&mut ana, info).await.unwrap();
    let schemas = batch.column_by_name("db_schema_name").unwrap().as_string::<i32>();
    let names = batch.column_by_name("table_name").unwrap().as_string::<i32>();
    let listed = names.iter().flatten().zip(schemas.iter().flatten());
    let got: BTreeSet<&str> =
        listed.filter(|(_, schema)| *schema != "information_schema").map(|(name, _)| name).collect();
    assert_eq!(got, granted);
    let info = ana.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    let text = cells(&fetch(&mut ana, info).await.unwrap()).join(" ");
    assert!(!text.contains("system"), "{text}");
    for (table, expected) in [("customers", 1), ("surveys", 0)] {
        let info =
            ana.get_primary_keys(CommandGetPrimaryKeys { table: table.into(), ..Default::default() }).await.unwrap();
        assert_eq!(fetch(&mut ana, info).await.unwrap().num_rows(), expected, "{table}");
    }
}

#[tokio::test]
async fn prepared_statements_read_what_is_left() {
    let served = served();
    let mut ana = as_user(&served, "ana").await;
    for (condition, value, is_there) in [
        ("region", "Europe", true),
        ("region", "Asia Pacific", false),
        ("city", "Berlin", false),
        ("city", "B***", true),
    ] {
        let sql = format!("select count(*) as n from customers where {condition} = $1");
        let mut prepared = ana.prepare(sql.clone(), None).await.unwrap();
        let schema = Schema::new(vec![Field::new("1", DataType::Utf8, true)]);
        let values = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringArray::from(vec![value]))]).unwrap();
        prepared.set_parameters(values).unwrap();
        let info = prepared.execute().await.unwrap();
        let batch = fetch(&mut ana, info).await.unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0) > 0, is_there, "{sql} {value}");
    }
}

#[tokio::test]
async fn several_roles_show_what_one_of_them_shows() {
    let served = served();
    let mut eve = as_user(&served, "eve").await;
    let mut ben = as_user(&served, "ben").await;
    let regions = ask(&mut ben, "select distinct region from customers order by 1").await;
    assert_eq!(regions, ["Europe", "North America"]);
    // each row as the role that shows the most of it
    let masked = ask(&mut ben, "select distinct region, city like '%***' as m from customers order by 1").await;
    assert_eq!(masked, ["Europe", "North America", "true", "false"]);
    assert_eq!(number(&mut ben, "select count(birth_date) from customers where region = 'Europe'").await, 0);
    let known = "select count(birth_date) from customers where region = 'North America'";
    assert_eq!(number(&mut ben, known).await, number(&mut eve, known).await);
    // ben's second role adds no table
    assert!(query(&mut ben, "select * from surveys").await.is_err());
    // all rows by one role, some of them in full by the other
    let mut cia = as_user(&served, "cia").await;
    let all = "select count(*) from customers";
    assert_eq!(number(&mut cia, all).await, number(&mut eve, all).await);
    let sql = "select distinct region from customers where city is not null";
    assert_eq!(ask(&mut cia, sql).await, ["North America"]);
    let sql = "select count(*) from customers where region <> 'North America' and birth_date <> date_trunc('year', birth_date)";
    assert_eq!(number(&mut cia, sql).await, 0);
    assert!(number(&mut eve, sql).await > 0);
}

#[test]
fn roles_that_cannot_be_are_refused_at_the_start() {
    let cases = [
        ("[roles.a]\n", "the role grants nothing"),
        ("[roles.a]\nschemas = ['pubilc']\n", "did you mean `public`?"),
        ("[roles.a]\nschemas = ['system']\n", "there is no schema `system`"),
        ("[roles.a]\ntables = ['survyes']\n", "did you mean `surveys`?"),
        ("[roles.a]\ntables = ['reports.kpi']\n", "there is no table, view or report `reports.kpi`"),
        ("[roles.a]\nschemas = ['public']\nrows.surveys = 'scor > 3'\n", "did you mean `score`?"),
        ("[roles.a]\nschemas = ['public']\nrows.surveys = 'score >'\n", "cxql.toml:3, [roles.a] rows, surveys"),
        ("[roles.a]\nschemas = ['public']\nrows.surveys = 'score > 3; select 1'\n", "unexpected `;`"),
        ("[roles.a]\nschemas = ['public']\nrows.surveys = 'score + 1'\n", "a condition is wanted, this is bigint"),
        ("[roles.a]\nschemas = ['public']\nrows.surveys = 'score > (select 1)'\n", "a subquery cannot stand here"),
        ("[roles.a]\nschemas = ['public']\nrows.surveys = 'max(score) > 1'\n", "an aggregate cannot stand here"),
        ("[roles.a]\nschemas = ['public']\nrows.surveys = 'score > $1'\n", "a parameter cannot stand here"),
        (
            "[roles.a]\nschemas = ['public']\nmasks.surveys.scor = 'null'\n",
            "`surveys` has no column `scor`; did you mean",
        ),
        ("[roles.a]\nschemas = ['public']\nmasks.surveys.score = '[1]'\n", "`score` is integer"),
        // can be planned, cannot be computed
        (
            "[roles.a]\nschemas = ['public']\n\n[roles.a.masks.surveys]\nscore = \"'hidden'\"\n",
            "cxql.toml:5, [roles.a] masks, surveys, score",
        ),
        ("[roles.a]\nschemas = ['public']\nmasks.surveys.score = \"'hidden'\"\n", "'hidden'"),
        ("[roles.a]\nschemas = ['public']\nrows.surveys = '1 / (1 - 1) > 0'\n", "ivide by zero"),
        ("[roles.a]\nschemas = ['public']\nmask.surveys.score = '1'\n", "did you mean `masks`?"),
        ("[roles.admin]\nschemas = ['public']\n", "the role is there already"),
        ("[roles.a]\nschemas = ['public']\n", "nobody logs in"),
    ];
    for (text, expected) in cases {
        let users = if expected == "nobody logs in" { String::new() } else { user("ana", &["a"]) };
        let config = format!("{text}{users}");
        let out = run(&[("cxql.toml", &config)], &["serve", "--listen", "127.0.0.1:0", "--data", &sample()]);
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(log.contains(expected) && log.contains("cxql.toml"), "{text}: {log}");
        assert_eq!(out.status.code(), Some(2), "{text}: {log}");
    }
    for (users, expected) in [
        (user("ana", &["b"]), "there is no role `b`"),
        (user("ana", &["a"]) + &user("ben", &[]), "[users.ben] in cxql.toml: the user has no role"),
    ] {
        let config = format!("[roles.a]\nschemas = ['public']\n{users}");
        let out = run(&[("cxql.toml", &config)], &["serve", "--listen", "127.0.0.1:0", "--data", &sample()]);
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(log.contains(expected) && out.status.code() == Some(2), "{log}");
    }
}

#[tokio::test]
async fn rows_of_a_table_below_a_view_of_its_name_are_those_of_the_view() {
    let files = [
        (
            "cxql.toml",
            format!("[roles.a]\ntables = ['calls', 'all_calls']\nrows.calls = \"team = 'a'\"\n{}", user("ana", &["a"])),
        ),
        ("data/calls.csv", "id,team\n1,A\n2,B\n3,oops\n".to_owned()),
        ("sql/views/calls.sql", "select id, lower(team) as team from calls\n".to_owned()),
        ("sql/views/all_calls.sql", "select * from calls union all select id, team from other\n".to_owned()),
        ("data/other.csv", "id,team\n9,z\n".to_owned()),
    ];
    let config = format!("{}[tables.calls]\npath = 'calls.csv'\n[tables.other]\npath = 'other.csv'\n", files[0].1);
    let mut files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    files[0].1 = &config;
    let served = Served::start(&files, &[]);
    let mut ana = as_user(&served, "ana").await;
    assert_eq!(ask(&mut ana, "select * from calls").await, ["1", "a"]);
    // a granted view brings what is granted nowhere else, and of what is restricted the rest
    assert_eq!(ask(&mut ana, "select * from all_calls order by id").await, ["1", "9", "a", "z"]);
    assert_eq!(query(&mut ana, "select * from other").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn errors_of_what_is_below_say_nothing_of_it() {
    let roles = "[roles.a]\ntables = ['calls', 'broken']\nrows.calls = \"team = 'a'\"\n";
    let tables = "[tables.calls]\npath = 'calls.csv'\ncolumns = { n = 'integer' }\n";
    let config = format!("{roles}{tables}{}{}", user("ana", &["a"]), user("eve", &["admin"]));
    let served = Served::start(
        &[
            ("cxql.toml", &config),
            ("data/calls.csv", "n,team\n1,a\n2,a\nhidden-value,b\n"),
            ("sql/views/broken.sql", "select * from hidden_table\n"),
        ],
        &[],
    );
    let (mut ana, mut eve) = (as_user(&served, "ana").await, as_user(&served, "eve").await);
    for (table, word) in [("calls", "hidden-value"), ("broken", "hidden_table")] {
        let sql = format!("select * from {table}");
        let error = query(&mut eve, &sql).await.unwrap_err();
        assert!(error.message().contains(word), "{error:?}");
        let error = query(&mut ana, &sql).await.unwrap_err();
        assert!(
            error.message().contains("the server's log says why") && !error.message().contains("hidden"),
            "{error:?}"
        );
        served.says(word);
    }
}

#[test]
fn a_way_around_a_condition_is_warned_of() {
    let roles = "[roles.a]\nschemas = ['public']\nrows.clean = \"team = 'a'\"\n";
    let served = Served::start(
        &[
            ("cxql.toml", &format!("{roles}[tables.calls]\npath = 'calls.csv'\n{}", user("ana", &["a"]))),
            ("data/calls.csv", "id,team\n1,a\n"),
            ("sql/views/clean.sql", "select * from calls\n"),
        ],
        &[],
    );
    let log = served.log();
    assert!(log.contains("restricts a view") && log.contains("view=\"clean\" table=\"calls\""), "{log}");
}

/// A call of a report is restricted as the report: granted by its name, over filtered tables, with its own masks.
#[tokio::test]
async fn reports_with_arguments_are_restricted_as_reports() {
    let roles = "[roles.masked]\ntables = ['reports.aht_by_agent']\nrows.interactions = \"lower(channel) = 'chat'\"\n\
                 [roles.masked.masks.'reports.aht_by_agent']\nagent_name = \"'hidden'\"\n";
    let config = [config(), roles.to_owned(), user("fay", &["masked"])].join("\n");
    let served = Served::start(&[("cxql.toml", &config)], &["--data", &sample()]);
    let mut eve = as_user(&served, "eve").await;
    let report = "reports.aht_by_agent(since => '2025-02-01', until => '2025-06-01')";
    let contacts = format!("select cast(sum(contact_count) as bigint) from {report}");
    let chats = "select count(*) from contacts_clean where handle_s is not null and agent_id is not null and \
                 interaction_id in (select interaction_id from interactions where lower(channel) = 'chat') and \
                 started_at >= '2025-02-01' and started_at < '2025-06-01'";
    let (all, chats) = (number(&mut eve, &contacts).await, number(&mut eve, chats).await);
    assert!(chats > 0 && chats < all, "{chats} {all}");
    for name in ["ana", "fay"] {
        let mut client = as_user(&served, name).await;
        assert_eq!(number(&mut client, &contacts).await, chats, "{name}");
        // neither a call nor the name that stands for it reaches another report
        for sql in [
            "select * from reports.kpi_overview()",
            "select * from reports.\"kpi_overview()\"",
            "select * from reports.\"kpi_overview(since => '2025-01-01')\"",
        ] {
            let error = query(&mut client, sql).await.expect_err(sql);
            let text = error.message();
            assert!(text.contains("there is no") && !text.contains("parameter"), "{name}, {sql}: {text}");
        }
        let plan = ask(&mut client, &format!("explain {contacts}")).await.join("\n");
        assert!(plan.contains("BarrierExec") && !plan.contains("contacts_clean"), "{plan}");
    }
    let mut fay = as_user(&served, "fay").await;
    assert_eq!(ask(&mut fay, &format!("select distinct agent_name from {report}")).await, ["hidden"]);
}

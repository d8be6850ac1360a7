//! Statements: rows, types, errors, cancellation.

use std::sync::Arc;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{Any, CommandStatementQuery, CommandStatementUpdate, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, FlightDescriptor, FlightInfo, Ticket};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::{Code, Request};

use crate::server::{Client, Served, fetch, query, sample, status};

async fn refused(client: &mut Client, sql: &str) -> tonic::Status {
    query(client, sql).await.expect_err(sql)
}

/// Answers long enough to see that something stops them.
const ENDLESS: &str = "select x, x * 2 as y from generate_series(1, 1000000000000) a(x)";

#[tokio::test]
async fn rows_come_as_they_were_promised() {
    let served = Served::sample();
    let mut client = served.client().await;
    let sql =
        "select interaction_id, started_at, channel, wait_s, is_resolved from interactions order by 1, 2 limit 5000";
    let batch = query(&mut client, sql).await.unwrap();
    assert_eq!(batch.num_rows(), 5000);
    let types: Vec<DataType> = batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    // texts are views within the engine
    assert_eq!(types, [DataType::Utf8, at, DataType::Utf8, DataType::Int32, DataType::Boolean]);
    let field = batch.schema().field(0).clone();
    let metadata = |key: &str| field.metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).cloned();
    assert_eq!(metadata("TABLE_NAME").as_deref(), Some("interactions"));
    assert_eq!(metadata("SCHEMA_NAME").as_deref(), Some("public"));
    assert_eq!(metadata("TYPE_NAME").as_deref(), Some("VARCHAR"));
}

#[tokio::test]
async fn every_kind_of_statement_that_reads_is_taken() {
    let served = Served::sample();
    let mut client = served.client().await;
    for sql in [
        "select * from reports.kpi_overview",
        "select nps(score) as nps from surveys where kind = 'nps';",
        "with a as (select 1 as x) select * from a union all select 2 order by x",
        "explain select count(*) from interactions",
        "explain analyze select count(*) from interactions",
        "describe interactions",
        "show tables",
        "show columns from interactions",
        "select * from information_schema.columns where table_name = 'surveys'",
        "values (1, 'a'), (2, null)",
        "select arrow_cast('a', 'Dictionary(Int32, Utf8)') as coded, ['a', null] as list, {a: 1} as struct, \
         map {'k': 1} as map, x'00ff' as bytes, interval '1 month' as month, null as nothing, \
         arrow_cast(1.5, 'Decimal128(10, 2)') as decimal, arrow_cast('b', 'Utf8View') as view, \
         arrow_cast(['a'], 'ListView(Utf8View)') as views, arrow_cast(1.5, 'Float16') as half",
        "select * from interactions where 1 = 0",
    ] {
        let info = client.execute(sql.to_owned(), None).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        fetch(&mut client, info).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let names = query(&mut client, "with interactions as (select 1 as a) select a from interactions").await.unwrap();
    // a query of the statement itself is no table
    assert_eq!(names.schema().field(0).metadata().get("ARROW:FLIGHT:SQL:TABLE_NAME"), None);
}

#[tokio::test]
async fn nothing_but_reading_is_allowed() {
    let served = Served::sample();
    let mut client = served.client().await;
    for sql in [
        "insert into surveys values (1)",
        "update surveys set score = 1",
        "delete from surveys",
        "drop table surveys",
        "create table t as select 1",
        "create view v as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "copy surveys to '/tmp/out.parquet'",
        "select 1 as a into t",
        "set datafusion.execution.batch_size = 1",
        "set time zone = '+01:00'",
        "reset datafusion.execution.batch_size",
        "begin",
        "prepare p as select 1",
        "explain analyze insert into surveys select * from surveys",
        "truncate table surveys",
    ] {
        let error = refused(&mut client, sql).await;
        assert!(
            matches!(error.code(), Code::PermissionDenied)
                || (error.code() == Code::InvalidArgument && sql.starts_with("truncate")),
            "{sql}: {error:?}"
        );
        let update = status(client.execute_update(sql.to_owned(), None).await.expect_err(sql));
        assert_eq!(update.code(), error.code(), "{sql}");
    }
    let error = status(client.execute_update("select 1".to_owned(), None).await.unwrap_err());
    assert!(error.message().contains("send it as a query"), "{error}");
    // files of the server are no tables
    let error = refused(&mut client, &format!("select * from '{}/surveys.parquet'", sample())).await;
    assert_eq!(error.code(), Code::NotFound, "{error:?}");
}

#[tokio::test]
async fn errors_have_codes_and_places() {
    let served = Served::start(
        &[
            ("cxql.toml", "[tables.broken]\npath = 'broken.parquet'\n[tables.gone]\npath = 'gone.parquet'\n"),
            ("broken.parquet", "this is no Parquet file at all"),
        ],
        &["--memory", "64MB"],
    );
    let mut client = served.client().await;
    let cases = [
        ("selct 1", Code::InvalidArgument, "<query>:1:1"),
        ("select 1;\nselect 2", Code::InvalidArgument, "one statement at a time"),
        ("", Code::InvalidArgument, "no statement"),
        ("select 1,\n  colour", Code::NotFound, "<query>:2:3"),
        ("select *\nfrom nowhere", Code::NotFound, "<query>:2:6"),
        ("select nsp(1)", Code::NotFound, "did you mean `nps`?"),
        ("select abs('a', 'b')", Code::InvalidArgument, "<query>:1:8"),
        ("select cast('x' as int)", Code::InvalidArgument, "try_cast"),
        ("select 1 / a from (values (0)) t(a)", Code::InvalidArgument, "nullif"),
        ("select * from broken", Code::DataLoss, "it is no whole Parquet file"),
        ("select $1", Code::InvalidArgument, "parameters without values: $1"),
        ("select array_agg(x) from generate_series(1, 30000000) a(x)", Code::ResourceExhausted, "--memory"),
    ];
    for (sql, code, text) in cases {
        let error = refused(&mut client, sql).await;
        assert_eq!(error.code(), code, "{sql}: {error:?}");
        assert!(error.message().contains(text), "{sql}: {error:?}");
        for inside in ["DataFusion", "External", "Some(", "Error during planning"] {
            assert!(!error.message().contains(inside), "{sql}: {error:?}");
        }
    }
    // the server goes on
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn large_results_come_in_messages_that_clients_take() {
    let served = Served::sample();
    let mut client = served.client().await;
    let sql = "select x, repeat('abcdefghij', 100) as text from generate_series(1, 40000) a(x) order by x";
    for compression in ["none", "lz4", "zstd"] {
        let mut client = served.client().await;
        client.set_header("x-cxql-compression", compression);
        let batch = query(&mut client, sql).await.unwrap();
        let numbers = batch.column(0).as_primitive::<Int64Type>();
        assert_eq!((numbers.len(), numbers.value(39_999)), (40_000, 40_000), "{compression}");
        assert_eq!(batch.column(1).as_string::<i32>().value(39_999).len(), 1000);
    }
    client.set_header("x-cxql-compression", "rar");
    let info = client.execute("select 1".to_owned(), None).await.unwrap();
    let error = fetch(&mut client, info).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains("lz4, zstd or none"), "{error:?}");
}

#[tokio::test]
async fn compression_makes_messages_smaller() {
    let served = Served::sample();
    let mut bytes = Vec::new();
    for compression in ["none", "zstd"] {
        let mut client = served.client().await;
        let info = client.execute("select 1 as a from generate_series(1, 100000)".to_owned(), None).await.unwrap();
        let mut request = Request::new(info.endpoint[0].ticket.clone().unwrap());
        request.metadata_mut().insert("x-cxql-compression", compression.parse().unwrap());
        let mut raw = FlightServiceClient::new(served.channel().await);
        let data: Vec<_> = raw.do_get(request).await.unwrap().into_inner().try_collect().await.unwrap();
        bytes.push(data.iter().map(|data| data.data_body.len()).sum::<usize>());
    }
    assert!(bytes[1] * 10 < bytes[0], "{bytes:?}");
}

#[tokio::test]
async fn a_ticket_is_fetched_twice_alike() {
    let served = Served::sample();
    let mut client = served.client().await;
    let sql =
        "select a.topic, count(*) as n from interactions a join surveys b using (interaction_id) group by 1 order by 1";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let first = fetch(&mut client, info.clone()).await.unwrap();
    assert!(first.num_rows() > 1);
    assert_eq!(first, fetch(&mut client, info).await.unwrap());
}

#[tokio::test]
async fn tickets_cannot_be_guessed() {
    let served = Served::sample();
    let mut client = served.client().await;
    for handle in [vec![], vec![0; 16], b"select 1".to_vec()] {
        let ticket = TicketStatementQuery { statement_handle: handle.into() }.as_any().encode_to_vec();
        let error = status(client.do_get(Ticket { ticket: ticket.into() }).await.err().unwrap());
        assert_eq!(error.code(), Code::NotFound);
    }
}

#[tokio::test]
async fn malformed_requests_are_the_clients_fault() {
    let served = Served::sample();
    let mut raw = FlightServiceClient::new(served.channel().await);
    let broken = Any { type_url: CommandStatementQuery::type_url().into(), value: vec![0xff; 9].into() };
    for bytes in [b"garbage".to_vec(), broken.encode_to_vec()] {
        let error = raw.get_flight_info(FlightDescriptor::new_cmd(bytes.clone())).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        let error = raw.do_get(Ticket { ticket: bytes.into() }).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    }
    let error = raw.get_flight_info(FlightDescriptor::new_path(vec!["a".into()])).await.unwrap_err();
    assert!(error.message().contains("holds a command"), "{error:?}");
    let update = CommandStatementUpdate { query: "select 1".into(), transaction_id: None };
    let error = raw.get_flight_info(FlightDescriptor::new_cmd(update.as_any().encode_to_vec())).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented, "{error:?}");
    let action = Action { r#type: "Nonsense".into(), body: Default::default() };
    assert_eq!(raw.do_action(action).await.unwrap_err().code(), Code::Unimplemented);
    let statement = CommandStatementQuery { query: format!("select '{}'", "x".repeat(20 << 20)), transaction_id: None };
    let error = raw.get_flight_info(FlightDescriptor::new_cmd(statement.as_any().encode_to_vec())).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange, "{error:?}");
}

#[tokio::test]
async fn the_schema_is_told_without_running() {
    let served = Served::sample();
    let mut raw = FlightServiceClient::new(served.channel().await);
    let command = CommandStatementQuery { query: ENDLESS.into(), transaction_id: None }.as_any().encode_to_vec();
    let descriptor = FlightDescriptor::new_cmd(command);
    let info = raw.get_flight_info(descriptor.clone()).await.unwrap().into_inner();
    let schema = raw.get_schema(descriptor.clone()).await.unwrap().into_inner();
    assert_eq!(schema.schema, info.schema);
    let poll = raw.poll_flight_info(descriptor).await.unwrap().into_inner();
    assert!(poll.flight_descriptor.is_none() && poll.info.is_some_and(|info| info.endpoint.len() == 1));
}

#[tokio::test]
async fn queries_are_cancelled_by_their_info() {
    let served = Served::sample();
    let mut client = served.client().await;
    for is_old in [false, true] {
        let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
        let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert!(cancel(&mut client, &info, is_old).await);
        let end = stream.try_for_each(|_| async { Ok(()) }).await;
        assert_eq!(status(end.unwrap_err()).code(), Code::Cancelled);
        // there is nothing left to cancel or to fetch
        assert!(!cancel(&mut client, &info, is_old).await);
        assert_eq!(fetch(&mut client, info).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn a_query_is_cancelled_however_many_tickets_came_after_its_own() {
    let served = Served::sample();
    let mut client = served.client().await;
    let first = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(first.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    // more than are kept
    let mut last = None;
    for _ in 0..2_100 {
        last = Some(client.execute("select 1 as a".to_owned(), None).await.unwrap());
    }
    assert_eq!(fetch(&mut client, last.unwrap()).await.unwrap().num_rows(), 1);
    assert!(cancel(&mut client, &first, false).await);
    let end = stream.try_for_each(|_| async { Ok(()) }).await;
    assert_eq!(status(end.unwrap_err()).code(), Code::Cancelled);
}

async fn cancel(client: &mut Client, info: &FlightInfo, is_old: bool) -> bool {
    if is_old {
        let body = arrow_flight::sql::ActionCancelQueryRequest { info: info.encode_to_vec().into() }.as_any();
        let action = Action { r#type: "CancelQuery".into(), body: body.encode_to_vec().into() };
        let answer = client.do_action(action).await.unwrap().message().await.unwrap().unwrap();
        let result = Any::decode(&*answer.body).unwrap();
        result.unpack::<arrow_flight::sql::ActionCancelQueryResult>().unwrap().unwrap().result == 1
    } else {
        let body = CancelFlightInfoRequest { info: Some(info.clone()) }.encode_to_vec();
        let action = Action { r#type: "CancelFlightInfo".into(), body: body.into() };
        let answer = client.do_action(action).await.unwrap().message().await.unwrap().unwrap();
        CancelFlightInfoResult::decode(&*answer.body).unwrap().status == 1
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_query() {
    let served = Served::sample();
    let mut client = served.client().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    // the query of a stream is forgotten when it ends: only the ticket is still there to be cancelled, and then nothing
    let mut rounds = 0;
    while cancel(&mut client, &info, false).await {
        rounds += 1;
        assert!(rounds < 3, "the query still runs");
    }
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn queries_wait_for_their_turn() {
    let config = "[serve]\nmax_queries = 1\nqueue_s = 1\n";
    let served = Served::start(&[("cxql.toml", config)], &["--data", &sample()]);
    let mut client = served.client().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    let error = refused(&mut client, "select 1 as a").await;
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.message().contains("1 queries are running"), "{error:?}");
    // metadata needs no turn
    client.get_catalogs().await.unwrap();
    drop(stream);
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn a_query_has_its_time() {
    let served = Served::start(&[("cxql.toml", "[serve]\ntimeout_s = 1\n")], &["--data", &sample()]);
    let mut client = served.client().await;
    let sql = "select count(*) from generate_series(1, 1000000000000) a(x) where x % 7 <> 1";
    let error = refused(&mut client, sql).await;
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.message().contains("longer than 1 seconds"), "{error:?}");
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn the_server_says_that_it_is_well() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let served = Served::sample();
    let mut health = HealthClient::new(served.channel().await);
    for service in ["", "arrow.flight.protocol.FlightService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service}");
    }
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let served = Arc::new(Served::sample());
    let tasks = (0..16).map(|number: i64| {
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let mut client = served.client().await;
            let sql = format!("select count(*) + {number} as n from generate_series(1, 100000)");
            let batch = query(&mut client, &sql).await.unwrap();
            assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 100_000 + number);
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn columns_are_named_as_they_were_typed() {
    let served = Served::sample();
    let mut client = served.client().await;
    let sql = "select channel, round(avg(wait_s), 6), count(*) filter (where is_abandoned), count(*), count(*) \
               from interactions group by channel order by count(*)";
    let batch = query(&mut client, sql).await.unwrap();
    let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    let expected =
        ["channel", "round(avg(wait_s), 6)", "count(*) filter (where is_abandoned)", "count(*)", "count(*) (2)"];
    assert_eq!(names, expected);
    let prepared = client.prepare("select abs(wait_s) + ? from interactions".to_owned(), None).await.unwrap();
    assert_eq!(prepared.dataset_schema().unwrap().field(0).name(), "abs(wait_s) + ?");
    let types = query(&mut client, "describe interactions").await.unwrap();
    let types: Vec<&str> = types.column(1).as_string::<i32>().iter().flatten().collect();
    assert!(types.contains(&"timestamp with time zone") && types.contains(&"text"), "{types:?}");
}

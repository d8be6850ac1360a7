//! What those who run a server see of it: queries, metrics, logs; and the command line as a client.

use std::io::{Read, Write};
use std::net::TcpStream;

use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{Action, FlightDescriptor};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, UInt64Type};
use futures::TryStreamExt;
use prost::Message;
use tonic::{Code, Request};

use crate::access::{as_user, token, user};
use crate::server::{Served, command, fetch, query, run, sample};
use crate::tls::Authority;

const ENDLESS: &str = "select count(*) from generate_series(1, 1000000000000) a(x) where x % 7 <> 1";

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.unwrap_or("NULL").to_owned()).collect()
}

fn users() -> String {
    let roles = "[roles.some]\ntables = ['customers']\nrows.customers = \"region = 'Europe'\"\n";
    format!("{roles}{}{}", user("ana", &["some"]), user("eve", &["admin"]))
}

#[tokio::test]
async fn queries_are_written_down() {
    let served = Served::start(&[("cxql.toml", &users())], &["--data", &sample()]);
    let (mut ana, mut eve) = (as_user(&served, "ana").await, as_user(&served, "eve").await);
    let sql = "select x, 'of ana' as t from generate_series(1, 50000) a(x)";
    assert_eq!(query(&mut ana, sql).await.unwrap().num_rows(), 50_000);
    let same = "SELECT x, 'of eve' AS t FROM generate_series(1, 7) a(x)";
    query(&mut eve, same).await.unwrap();
    let error = query(&mut ana, "select * from surveys").await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let id = error.metadata().get("x-cxql-query-id").unwrap().to_str().unwrap().to_owned();
    // planned and never fetched
    ana.execute("select 77".to_owned(), None).await.unwrap();
    let batch = query(&mut eve, "select * from system.queries order by started_at").await.unwrap();
    assert_eq!(texts(&batch, "user_name"), ["ana", "eve", "ana", "ana", "eve"]);
    assert_eq!(texts(&batch, "outcome"), ["finished", "finished", "failed", "planned", "planning"]);
    assert_eq!(texts(&batch, "error_code"), ["NULL", "NULL", "NOT_FOUND", "NULL", "NULL"]);
    assert_eq!(texts(&batch, "statement")[..2], [sql, same]);
    assert_eq!(texts(&batch, "query_id")[2], id);
    let fingerprints = texts(&batch, "fingerprint");
    assert!(fingerprints[0] == fingerprints[1] && fingerprints[0] != fingerprints[2], "{fingerprints:?}");
    let rows = batch.column_by_name("row_count").unwrap().as_primitive::<UInt64Type>();
    assert_eq!((rows.value(0), rows.value(1), rows.value(2)), (50_000, 7, 0));
    let bytes = batch.column_by_name("byte_count").unwrap().as_primitive::<UInt64Type>();
    assert!(bytes.value(0) > 50_000 * 8 && bytes.value(1) < 10_000, "{bytes:?}");
    let elapsed = batch.column_by_name("elapsed_s").unwrap().as_primitive::<Float64Type>();
    assert!(elapsed.value(0) > 0.0);
    // what is one's own is not more open to somebody with a role
    assert_eq!(query(&mut ana, "select * from system.queries").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_ticket_fetched_twice_is_two_queries() {
    let served = Served::sample();
    let mut client = served.client().await;
    let info = client.execute("select 1 as a".to_owned(), None).await.unwrap();
    fetch(&mut client, info.clone()).await.unwrap();
    fetch(&mut client, info).await.unwrap();
    let sql = "select count(distinct query_id) as n from system.queries where outcome = 'finished' and row_count = 1";
    let batch = query(&mut client, sql).await.unwrap();
    assert!(format!("{batch:?}").contains("  2,\n"), "{batch:?}");
}

#[tokio::test]
async fn a_running_query_is_stopped_by_its_id() {
    let served = Served::start(&[("cxql.toml", &users())], &["--data", &sample()]);
    let (mut ana, mut eve) = (as_user(&served, "ana").await, as_user(&served, "eve").await);
    for by_admin in [false, true] {
        let info = ana.execute(ENDLESS.to_owned(), None).await.unwrap();
        let mut rows = ana.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        let id = rows.headers().get("x-cxql-query-id").unwrap().to_str().unwrap().to_owned();
        let action = || Action { r#type: "cxql.CancelQueryId".into(), body: id.clone().into_bytes().into() };
        let mut other = as_user(&served, "eve").await;
        let who = if by_admin { &mut other } else { &mut ana };
        who.do_action(action()).await.unwrap();
        let error = crate::server::status(rows.try_next().await.unwrap_err());
        assert_eq!(error.code(), Code::Cancelled, "{error:?}");
        let sql = format!("select outcome from system.queries where query_id = '{id}'");
        assert_eq!(texts(&query(&mut eve, &sql).await.unwrap(), "outcome"), ["cancelled"]);
        let again = crate::server::status(ana.do_action(action()).await.unwrap_err());
        assert_eq!(again.code(), Code::NotFound);
    }
    // nobody stops the queries of others without being told to
    let info = eve.execute(ENDLESS.to_owned(), None).await.unwrap();
    let rows = eve.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let id = rows.headers().get("x-cxql-query-id").unwrap().to_str().unwrap().to_owned();
    let action = Action { r#type: "cxql.CancelQueryId".into(), body: id.into_bytes().into() };
    assert_eq!(crate::server::status(ana.do_action(action).await.unwrap_err()).code(), Code::NotFound);
}

fn http(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn prometheus_reads_metrics() {
    let config = "[serve]\nmetrics = '127.0.0.1:0'\n";
    let served = Served::start(&[("cxql.toml", config)], &["--data", &sample()]);
    let log = served.log();
    let address = log.split("metrics on http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let mut client = served.client().await;
    query(&mut client, "select x from generate_series(1, 123) a(x)").await.unwrap();
    query(&mut client, "select nothing").await.unwrap_err();
    let text = http(&address, "/metrics");
    for line in [
        "HTTP/1.1 200",
        "cxql_queries_total{outcome=\"finished\"} 1\n",
        "cxql_queries_total{outcome=\"failed\"} 1\n",
        "cxql_rows_total 123\n",
        "cxql_queries_running 0\n",
        "cxql_query_seconds_count 2\n",
        "cxql_sessions 1\n",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(http(&address, "/other").starts_with("HTTP/1.1 404"));
    // one that asks for half a page is dropped, and others are answered meanwhile
    let mut slow = TcpStream::connect(&address).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
    assert!(http(&address, "/metrics").starts_with("HTTP/1.1 200"));
    slow.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    assert_eq!(slow.read(&mut [0; 100]).unwrap(), 0);
    let out = run(&[("cxql.toml", "[serve]\nmetrics = '0.0.0.0:0'\n")], &["serve", "--listen", "127.0.0.1:0"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && text.contains("[serve] metrics") && text.contains("--open"), "{text}");
}

#[tokio::test]
async fn the_log_is_json_when_asked_and_has_no_secret() {
    let config = format!("[serve]\nlog = 'json'\n{}", users());
    let mut served = Served::start(&[("cxql.toml", &config)], &["--data", &sample()]);
    let mut ana = as_user(&served, "ana").await;
    query(&mut ana, "select 'a-secret-in-a-statement' as a").await.unwrap();
    query(&mut ana, "select nothing('a-secret-in-a-statement')").await.unwrap_err();
    let mut wrong = served.client().await;
    wrong.set_header("authorization", "Basic YW5hOm15LXBhc3N3b3Jk");
    assert_eq!(query(&mut wrong, "select 1").await.unwrap_err().code(), Code::Unauthenticated);
    drop((ana, wrong));
    served.says("failed login");
    #[cfg(unix)]
    {
        served.signal("TERM");
        served.wait();
    }
    let log = served.log();
    for line in log.lines() {
        assert!(line.starts_with("{\"timestamp\":\"") && line.ends_with('}'), "{line}");
    }
    let ended: Vec<&str> = log.lines().filter(|line| line.contains("\"query ended\"")).collect();
    assert_eq!(ended.len(), 2, "{log}");
    for field in ["\"query_id\":\"", "\"user\":\"ana\"", "\"outcome\":\"finished\"", "\"rows\":1", "\"level\":\"INFO\""]
    {
        assert!(ended[0].contains(field), "{field} in {}", ended[0]);
    }
    assert!(ended[1].contains("\"code\":\"NOT_FOUND\""), "{}", ended[1]);
    for secret in ["a-secret", &token("ana"), "my-password", "YW5hOm15"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn one_query_does_not_take_the_memory_of_all() {
    let config = "[serve]\nquery_memory = '32MB'\n";
    let served = Served::start(&[("cxql.toml", config)], &["--data", &sample(), "--memory", "4GB"]);
    let mut client = served.client().await;
    let sql = "select array_agg(x) from generate_series(1, 30000000) a(x)";
    let error = query(&mut client, sql).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert_eq!(query(&mut client, "select count(*) as n from interactions").await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn answers_name_their_query() {
    let served = Served::sample();
    let mut client = served.client().await;
    let command = CommandStatementQuery { query: "select 1".into(), transaction_id: None };
    let request = Request::new(FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
    let response = client.inner_mut().get_flight_info(request).await.unwrap();
    let planned = response.metadata().get("x-cxql-query-id").unwrap().clone();
    let ticket = response.into_inner().endpoint[0].ticket.clone().unwrap();
    let fetched = client.inner_mut().do_get(ticket).await.unwrap();
    assert_eq!(fetched.metadata().get("x-cxql-query-id"), Some(&planned));
}

#[tokio::test]
async fn services_describe_themselves() {
    use prost_types::FileDescriptorProto;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let served = Served::sample();
    let mut client = ServerReflectionClient::new(served.channel().await);
    let asks = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("arrow.flight.protocol.FlightService".into()),
        MessageRequest::FileByFilename("google/protobuf/timestamp.proto".into()),
    ];
    let asks = asks.map(|ask| ServerReflectionRequest { host: String::new(), message_request: Some(ask) });
    let answers = client.server_reflection_info(futures::stream::iter(asks)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map_ok(|answer| answer.message_response.unwrap()).try_collect().await.unwrap();
    let MessageResponse::ListServicesResponse(list) = &answers[0] else { panic!("{answers:?}") };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["arrow.flight.protocol.FlightService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
    let MessageResponse::FileDescriptorResponse(files) = &answers[1] else { panic!("{answers:?}") };
    let file = FileDescriptorProto::decode(&*files.file_descriptor_proto[0]).unwrap();
    assert_eq!(file.service[0].method.len(), 10);
    assert!(matches!(answers[2], MessageResponse::FileDescriptorResponse(_)));
}

#[tokio::test]
async fn the_command_line_asks_a_server() {
    let served = Served::start(&[("cxql.toml", &users())], &["--data", &sample()]);
    let url = format!("grpc://{}", served.address);
    let folder = tempfile::tempdir().unwrap();
    let ask = |args: &[&str], token: Option<&str>| {
        let mut all = vec!["query", "--server", &url];
        all.extend(args);
        let mut command = command(folder.path(), &all);
        if let Some(token) = token {
            command.env("CXQL_TOKEN", token);
        }
        command.output().unwrap()
    };
    let out = ask(&["select distinct region from customers"], Some(&token("ana")));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "region\nEurope\n", "{out:?}");
    let out = ask(&["select 1 as a", "-f", "json"], Some(&token("eve")));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "[\n{\"a\":1}\n]\n", "{out:?}");
    let out = ask(&["select colour from customers"], Some(&token("eve")));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && text.contains("<query>:1:8"), "{text}");
    let out = ask(&["select 1"], None);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && text.contains("a login is wanted"), "{text}");
    let out = ask(&["--explain", "select * from customers"], Some(&token("ana")));
    assert!(String::from_utf8_lossy(&out.stdout).contains("BarrierExec"), "{out:?}");
    let out = ask(&["--cancel", "c0ffee00-0000-4000-8000-000000000000"], Some(&token("ana")));
    assert!(String::from_utf8_lossy(&out.stderr).contains("there is no running query"), "{out:?}");
    let args = ["query", "--server", "grpc://example.org:1", "--user", "ana", "select 1"];
    let out = command(folder.path(), &args).output().unwrap();
    assert!(out.status.code() == Some(2) && String::from_utf8_lossy(&out.stderr).contains("unencrypted"), "{out:?}");
}

#[test]
fn the_command_line_asks_a_server_over_tls() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign();
    let config = format!("[serve]\ncertificate = 'certificate.pem'\nkey = 'key.pem'\n{}", users());
    let files = [("cxql.toml", config.as_str()), ("certificate.pem", &certificate), ("key.pem", &key)];
    let served = Served::start(&files, &["--data", &sample()]);
    let url = served.address.replace("127.0.0.1", "grpc+tls://localhost");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(folder.path().join("other.pem"), Authority::new().pem()).unwrap();
    let ask = |ca: &str| {
        let args = ["query", "--server", &url, "--ca", ca, "select distinct region from customers"];
        command(folder.path(), &args).env("CXQL_TOKEN", token("ana")).output().unwrap()
    };
    let out = ask("ca.pem");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "region\nEurope\n", "{out:?}");
    for (ca, code, text) in [("other.pem", 1, "certificate"), ("none.pem", 2, "--ca: cannot read")] {
        let out = ask(ca);
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.code() == Some(code) && told.contains(text), "{told}");
        assert!(!told.contains(&token("ana")), "{told}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_stops_the_query_at_the_server() {
    use std::process::{Command, Stdio};
    let served = Served::sample();
    let mut client = served.client().await;
    let url = format!("grpc://{}", served.address);
    let mut child = command(served.folder.path(), &["query", "--server", &url, ENDLESS])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = "select outcome from system.queries where statement like 'select count(*) from generate%'";
    while texts(&query(&mut client, state).await.unwrap(), "outcome") != ["running"] {}
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    while texts(&query(&mut client, state).await.unwrap(), "outcome") != ["cancelled"] {}
}

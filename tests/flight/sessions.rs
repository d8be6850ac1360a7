//! Sessions of clients: options, cookies, ends.

use std::collections::HashMap;

use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightInfo};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::array_value_to_string;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::access::{as_user, token, user};
use crate::ingest::{APPEND, CREATE, bring, number, rows};
use crate::server::{Client, Served, query, sample};

#[derive(Clone, PartialEq, Message)]
struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 3, 4")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Float(f64),
}

#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Refused {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, Reason>,
}

#[derive(Clone, PartialEq, Message)]
struct Reason {
    #[prost(int32, tag = "1")]
    value: i32,
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn action(name: &str, options: &[(&str, Value)]) -> Action {
    let value = |value: &Value| OptionValue { value: Some(value.clone()) };
    let options = options.iter().map(|(name, of)| ((*name).to_owned(), value(of))).collect();
    Action { r#type: name.into(), body: Options { options }.encode_to_vec().into() }
}

async fn set(client: &mut Client, options: &[(&str, Value)]) -> HashMap<String, i32> {
    let answer =
        client.do_action(action("SetSessionOptions", options)).await.unwrap().message().await.unwrap().unwrap();
    let errors = Refused::decode(answer.body).unwrap().errors;
    errors.into_iter().map(|(name, reason)| (name, reason.value)).collect()
}

async fn get(client: &mut Client) -> HashMap<String, Option<Value>> {
    let answer = client.do_action(action("GetSessionOptions", &[])).await.unwrap().message().await.unwrap().unwrap();
    let options = Options::decode(answer.body).unwrap().options;
    options.into_iter().map(|(name, option)| (name, option.value)).collect()
}

fn served() -> Served {
    let config = format!("{}{}", user("tool", &["admin"]), user("other", &["admin"]));
    Served::start(&[("cxql.toml", &config)], &["--data", &sample()])
}

/// A client that has logged in with the token of `tool`.
async fn login(served: &Served) -> Client {
    let mut raw = FlightServiceClient::new(served.channel().await);
    let mut request = Request::new(futures::stream::empty());
    request.metadata_mut().insert("authorization", format!("Bearer {}", token("tool")).parse().unwrap());
    let response = raw.handshake(request).await.unwrap();
    let header = response.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
    let mut client = served.client().await;
    client.set_token(header.strip_prefix("Bearer ").unwrap().to_owned());
    client
}

#[tokio::test]
async fn options_hold_for_one_login() {
    let served = served();
    let (mut one, mut two) = (login(&served).await, login(&served).await);
    let options = [("schema", text("reports")), ("time_zone", text("Europe/Berlin")), ("catalog", text("cxql"))];
    assert_eq!(set(&mut one, &options).await, HashMap::new());
    assert!(query(&mut one, "select * from kpi_overview").await.unwrap().num_rows() > 0);
    assert_eq!(query(&mut two, "select * from kpi_overview").await.unwrap_err().code(), Code::NotFound);
    let got = get(&mut one).await;
    assert_eq!(got["schema"], Some(text("reports")));
    assert_eq!(got["time_zone"], Some(text("Europe/Berlin")));
    assert_eq!(get(&mut two).await["schema"], Some(text("public")));
    let batch = query(&mut one, "select now() as at").await.unwrap();
    assert!(batch.schema().field(0).data_type().to_string().contains("Europe/Berlin"), "{:?}", batch.schema());
    let batch = query(&mut two, "select now() as at").await.unwrap();
    assert!(batch.schema().field(0).data_type().to_string().contains("UTC"), "{:?}", batch.schema());
    // taken back
    assert_eq!(set(&mut one, &[("schema", text(""))]).await, HashMap::new());
    assert!(query(&mut one, "select * from customers limit 1").await.is_ok());
}

#[tokio::test]
async fn wrong_options_are_named() {
    let served = served();
    let mut client = login(&served).await;
    let refused = set(
        &mut client,
        &[
            ("colour", text("red")),
            ("schema", text("nowhere")),
            ("time_zone", text("Mars")),
            ("timeout_s", Value::Integer(0)),
            ("catalog", text("other")),
        ],
    )
    .await;
    let expected = [("colour", 1), ("schema", 2), ("time_zone", 2), ("timeout_s", 2), ("catalog", 2)];
    assert_eq!(refused, expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    assert_eq!(get(&mut client).await["schema"], Some(text("public")));
    let broken = Action { r#type: "SetSessionOptions".into(), body: vec![0xff].into() };
    assert!(client.do_action(broken).await.is_err());
}

#[tokio::test]
async fn a_session_has_its_time_limit() {
    let served = served();
    let mut client = login(&served).await;
    assert_eq!(set(&mut client, &[("timeout_s", Value::Float(0.2))]).await, HashMap::new());
    let sql = "select count(*) from generate_series(1, 1000000000000) a(x) where x % 7 <> 1";
    let error = query(&mut client, sql).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
    assert!(error.message().contains("0.2 seconds"), "{error:?}");
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap().num_rows(), 1);
}

/// A request by hand, with a static token and cookies.
struct Raw(FlightServiceClient<Channel>, Option<String>);

impl Raw {
    async fn new(served: &Served) -> Self {
        Self(FlightServiceClient::new(served.channel().await), None)
    }

    fn request<T>(&self, user: &str, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", token(user)).parse().unwrap());
        if let Some(cookie) = &self.1 {
            request.metadata_mut().insert("cookie", cookie.parse().unwrap());
        }
        request
    }

    async fn act(&mut self, user: &str, action: Action) -> Result<MetadataMap, Status> {
        let request = self.request(user, action);
        Ok(self.0.do_action(request).await?.metadata().clone())
    }

    async fn info(&mut self, user: &str, sql: &str) -> Result<FlightInfo, Status> {
        let command = CommandStatementQuery { query: sql.into(), transaction_id: None };
        let request = self.request(user, FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
        Ok(self.0.get_flight_info(request).await?.into_inner())
    }
}

#[tokio::test]
async fn a_client_without_a_login_has_a_cookie() {
    let served = served();
    let mut raw = Raw::new(&served).await;
    let headers = raw.act("tool", action("SetSessionOptions", &[("schema", text("reports"))])).await.unwrap();
    let cookie = headers.get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("arrow_flight_session_id="), "{cookie}");
    let sql = "select * from kpi_overview";
    assert_eq!(raw.info("tool", sql).await.unwrap_err().code(), Code::NotFound);
    raw.1 = Some(format!("a=b; {cookie}"));
    assert!(raw.info("tool", sql).await.is_ok());
    // another user's cookie is none
    assert_eq!(raw.info("other", sql).await.unwrap_err().code(), Code::Unauthenticated);
    let headers = raw.act("tool", action("CloseSession", &[])).await.unwrap();
    assert!(headers.get("set-cookie").unwrap().to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(raw.info("tool", sql).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn tables_stay_when_an_option_is_set() {
    let served = Served::start(&[], &["--data", &sample(), "--allow-ingest"]);
    let mut client = served.client().await;
    bring(&mut client, "mine", None, CREATE, vec![rows(&[1, 2])]).await.unwrap();
    let request = Request::new(action("SetSessionOptions", &[("time_zone", text("Europe/Berlin"))]));
    let response = client.inner_mut().do_action(request).await.unwrap();
    let cookie = response.metadata().get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    let mut own = served.client().await;
    own.set_header("cookie", cookie);
    assert_eq!(number(&mut own, "select sum(a) from scratch.mine").await, 3);
    // from then on they are tables of two sessions
    bring(&mut own, "mine", None, APPEND, vec![rows(&[3])]).await.unwrap();
    bring(&mut own, "other", None, CREATE, vec![rows(&[9])]).await.unwrap();
    assert_eq!(number(&mut own, "select sum(a) from scratch.mine").await, 6);
    assert_eq!(number(&mut client, "select sum(a) from scratch.mine").await, 3);
    assert_eq!(query(&mut client, "select * from scratch.other").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_header_names_the_schema_and_the_form_of_timestamps() {
    let served = Served::sample();
    let mut client = served.client().await;
    let sql = "select * from kpi_overview";
    assert_eq!(query(&mut client, sql).await.unwrap_err().code(), Code::NotFound);
    let mut own = served.client().await;
    own.set_header("x-cxql-schema", "reports");
    assert!(query(&mut own, sql).await.unwrap().num_rows() > 0);
    let prepared = own.prepare(sql.to_owned(), None).await.unwrap();
    assert!(!prepared.dataset_schema().unwrap().fields().is_empty());
    // other schemas are named as before
    assert!(query(&mut own, "select * from public.customers limit 1").await.is_ok());
    let mut other = served.client().await;
    other.set_header("schema", "reports");
    assert!(query(&mut other, sql).await.unwrap().num_rows() > 0);
    own.set_header("x-cxql-schema", "nowhere");
    let error = query(&mut own, sql).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert!(error.message().contains("there is no schema `nowhere`"), "{error:?}");

    let sql = "select min(started_at) as at, array_agg(started_at) as all_at from interactions where started_at < ?";
    let mut own = served.client().await;
    own.set_header("x-cxql-timestamps", "utc");
    let at = "2025-01-02T00:00:00Z";
    for (client, unzoned) in [(&mut client, false), (&mut own, true)] {
        let batch = query(client, &sql.replace('?', &format!("timestamptz '{at}'"))).await.unwrap();
        let first = batch.column(0).data_type().clone();
        assert_eq!(matches!(first, DataType::Timestamp(_, None)), unzoned, "{first}");
        let DataType::List(item) = batch.column(1).data_type() else { panic!("no list") };
        assert_eq!(item.data_type(), &first);
        // the first contact of the sample data
        let shown = arrow_text(&batch);
        assert!(shown.starts_with("2025-01-01T07:58:51"), "{shown}");
        let prepared = client.prepare(sql.to_owned(), None).await.unwrap();
        assert_eq!(prepared.dataset_schema().unwrap().field(0).data_type(), &first);
    }
    own.set_header("x-cxql-timestamps", "local");
    let error = query(&mut own, "select 1").await.unwrap_err();
    assert!(error.message().contains("utc or zoned is wanted, got `local`"), "{error:?}");
}

fn arrow_text(batch: &RecordBatch) -> String {
    array_value_to_string(batch.column(0), 0).unwrap()
}

#[tokio::test]
async fn sessions_are_listed_for_those_who_may_see_them() {
    let served = served();
    let mut client = login(&served).await;
    set(&mut client, &[("timeout_s", Value::Integer(90)), ("time_zone", text("+02:00"))]).await;
    query(&mut client, "select 1 as a").await.unwrap();
    let mut other = as_user(&served, "other").await;
    let sql = "select user_name, kind, time_zone, timeout_s, query_count from system.sessions where kind = 'login'";
    let batch = query(&mut other, sql).await.unwrap();
    assert_eq!(batch.num_rows(), 1);
    let text = format!("{batch:?}");
    assert!(text.contains("\"tool\"") && text.contains("\"+02:00\"") && text.contains("90.0"), "{text}");
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends() {
    let config = format!("[serve]\nidle_s = 1\n{}", user("tool", &["admin"]));
    let served = Served::start(&[("cxql.toml", &config)], &["--data", &sample()]);
    let mut client = login(&served).await;
    assert!(query(&mut client, "select 1 as a").await.is_ok());
    // a second user asks until the first has been idle for a second: its login is over then
    let mut other = as_user(&served, "tool").await;
    let wait = "select count(*) from system.sessions where kind = 'login'";
    let started = std::time::Instant::now();
    loop {
        let batch = query(&mut other, wait).await.unwrap();
        let text = format!("{batch:?}");
        if text.contains("  0,\n") {
            break;
        }
        assert!(started.elapsed().as_secs() < 30, "{text}");
    }
    assert_eq!(query(&mut client, "select 1 as a").await.unwrap_err().code(), Code::Unauthenticated);
}
